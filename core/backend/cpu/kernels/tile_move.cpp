// Memory to tile and back, contiguous and strided; constants and ramps.
#include "backend/cpu/kernels/tile_loops.h"
#include "backend/cpu/kernels/transpose.h"

namespace sn::cpu::SN_ISA {
namespace {

template <int size>
void copy(void* dst, const void* src, int64_t n) {
    std::memmove(dst, src, static_cast<size_t>(n) * size);
}

struct ConvertF16 {
    SN_INLINE static F32 widen(H16 h) { return f16_to_f32(h); }
    SN_INLINE static H16 narrow(F32 x) { return f32_to_f16(x); }
};
struct ConvertBF16 {
    SN_INLINE static F32 widen(H16 h) { return bf16_to_f32(h); }
    SN_INLINE static H16 narrow(F32 x) { return f32_to_bf16(x); }
};
template <class Convert>
[[gnu::noinline]] void load_16(void* tile, const void* memory, int64_t n) {
    constexpr int64_t w = kLanes<float>;
    float* d = static_cast<float*>(tile);
    const uint16_t* p = static_cast<const uint16_t*>(memory);
    for (; n >= w; n -= w, p += w, d += w) store<F32>(d, Convert::widen(load<H16>(p)));
    if (n) store_part<F32>(d, Convert::widen(load_part<H16>(p, n)), n);
}
template <class Convert>
[[gnu::noinline]] void store_16(void* memory, const void* tile, int64_t n) {
    constexpr int64_t w = kLanes<float>;
    uint16_t* d = static_cast<uint16_t*>(memory);
    const float* p = static_cast<const float*>(tile);
    for (; n >= w; n -= w, p += w, d += w) store<H16>(d, Convert::narrow(load<F32>(p)));
    if (n) store_part<H16>(d, Convert::narrow(load_part<F32>(p, n)), n);
}

template <class T>
[[gnu::noinline]] void fill(void* tile, const void* value, int64_t n) {
    T* d = static_cast<T*>(tile);
    const T x = *static_cast<const T*>(value);
    for (int64_t i = 0; i < n; ++i) d[i] = x;
}
// Elements 0, 2, 4 ... of two vectors.
template <class V>
SN_INLINE V even_lanes(V a, V b) {
    constexpr int n = sizeof(V) / sizeof(a[0]);
    if constexpr (n == 2)
        return __builtin_shufflevector(a, b, 0, 2);
    else if constexpr (n == 4)
        return __builtin_shufflevector(a, b, 0, 2, 4, 6);
    else if constexpr (n == 8)
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
    else
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28,
                                       30);
}
// d[i] = p[2 i]: a part of complex numbers. The element behind the last one is not touched.
template <class T>
SN_INLINE void gather_pairs(T* d, const T* p, int64_t n) {
    constexpr int L = kLanes<T> < 16 ? kLanes<T> : 16;
    using V = VecN<T, L>;
    int64_t i = 0;
    for (; i + L < n; i += L) store(d + i, even_lanes(load<V>(p + 2 * i), load<V>(p + 2 * i + L)));
    for (; i < n; ++i) d[i] = p[2 * i];
}

template <class T>
[[gnu::noinline]] void gather(void* tile, const void* memory, int64_t stride, int64_t n) {
    if (stride == 1) return copy<sizeof(T)>(tile, memory, n);
    if (stride == 0) return fill<T>(tile, memory, n);
    T* d = static_cast<T*>(tile);
    const T* p = static_cast<const T*>(memory);
    if (stride == 2) return gather_pairs(d, p, n);
    for (int64_t i = 0; i < n; ++i) d[i] = p[i * stride];
}
template <class T>
[[gnu::noinline]] void scatter(void* memory, int64_t stride, const void* tile, int64_t n) {
    if (stride == 1) return copy<sizeof(T)>(memory, tile, n);
    T* d = static_cast<T*>(memory);
    const T* p = static_cast<const T*>(tile);
    if (stride == 2) {
        for (int64_t i = 0; i < n; ++i) d[i * 2] = p[i];
        return;
    }
    for (int64_t i = 0; i < n; ++i) d[i * stride] = p[i];
}
template <class Convert>
void gather_16(void* tile, const void* memory, int64_t stride, int64_t n) {
    if (stride == 1) return load_16<Convert>(tile, memory, n);
    uint16_t piece[kPiece];
    for (int64_t i = 0; i < n; i += kPiece) {
        const int64_t m = n - i < kPiece ? n - i : kPiece;
        gather<uint16_t>(piece, static_cast<const uint16_t*>(memory) + i * stride, stride, m);
        load_16<Convert>(static_cast<float*>(tile) + i, piece, m);
    }
}
template <class Convert>
void scatter_16(void* memory, int64_t stride, const void* tile, int64_t n) {
    if (stride == 1) return store_16<Convert>(memory, tile, n);
    uint16_t piece[kPiece];
    for (int64_t i = 0; i < n; i += kPiece) {
        const int64_t m = n - i < kPiece ? n - i : kPiece;
        store_16<Convert>(piece, static_cast<const float*>(tile) + i, m);
        scatter<uint16_t>(static_cast<uint16_t*>(memory) + i * stride, stride, piece, m);
    }
}

// The lines of an output that is larger than the caches: written without being read first.
[[gnu::noinline]] void stream(void* dst, const void* src, int64_t n) {
#if defined(__x86_64__)
    char* d = static_cast<char*>(dst);
    const char* s = static_cast<const char*>(src);
    const int64_t to_line = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(d) & 63);
    const int64_t head = to_line < n ? to_line : n;
    std::memcpy(d, s, static_cast<size_t>(head));
    int64_t i = head;
    for (; i + 64 <= n; i += 64) {
#if defined(__AVX512F__)
        _mm512_stream_si512(reinterpret_cast<__m512i*>(d + i), _mm512_loadu_si512(s + i));
#else
        for (int k = 0; k < 64; k += 16)
            _mm_stream_si128(reinterpret_cast<__m128i*>(d + i + k),
                             _mm_loadu_si128(reinterpret_cast<const __m128i*>(s + i + k)));
#endif
    }
    std::memcpy(d + i, s + i, static_cast<size_t>(n - i));
#else
    std::memcpy(dst, src, static_cast<size_t>(n));
#endif
}
void finish_stream() {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

// Floats: in f64, product and sum rounded one by one (no fma, which some levels lack), then to T.
template <class T>
[[gnu::noinline]] void iota_float(void* tile, const void* start, const void* step, int64_t first,
                                  int64_t n) {
    T* d = static_cast<T*>(tile);
    const double s = *static_cast<const double*>(start), k = *static_cast<const double*>(step);
    for (int64_t i = 0; i < n; ++i) d[i] = static_cast<T>(s + static_cast<double>(first + i) * k);
}
template <class Round>
void iota_rounded(void* tile, const void* start, const void* step, int64_t first, int64_t n) {
    iota_float<float>(tile, start, step, first, n);
    vector_loop1<float, Round>(tile, tile, n);
}
template <class T>
[[gnu::noinline]] void iota_int(void* tile, const void* start, const void* step, int64_t first,
                                int64_t n) {
    T* d = static_cast<T*>(tile);
    const uint64_t s = *static_cast<const uint64_t*>(start),
                   k = *static_cast<const uint64_t*>(step);
    for (int64_t i = 0; i < n; ++i) d[i] = static_cast<T>(s + static_cast<uint64_t>(first + i) * k);
}

template <class T>
SN_INLINE void set_size(TileKernels& t, int d) {
    t.load[d] = t.store[d] = copy<sizeof(T)>;
    t.gather[d] = gather<T>;
    t.scatter[d] = scatter<T>;
    t.fill[d] = fill<T>;
}

}  // namespace

void register_tile_move(TileKernels& t) {
#define SN_SET(T)                                    \
    set_size<math::Bits<T>>(t, TileDType<T>::value); \
    t.iota[TileDType<T>::value] = iota_int<math::Bits<T>>;
    SN_EACH_INT(SN_SET)
#undef SN_SET
    set_size<uint8_t>(t, static_cast<int>(DType::kBool));
    set_size<uint32_t>(t, kF32);
    set_size<uint64_t>(t, kF64);
    for (int i = 0; i < 4; ++i) t.transpose[i] = transpose_fn(int64_t{1} << i);
    t.stream = stream;
    t.finish_stream = finish_stream;
    t.iota[kF32] = iota_float<float>;
    t.iota[kF64] = iota_float<double>;
    t.iota[kF16] = iota_rounded<RoundF16>;
    t.iota[kBF16] = iota_rounded<RoundBF16>;
    t.load[kF16] = load_16<ConvertF16>;
    t.load[kBF16] = load_16<ConvertBF16>;
    t.store[kF16] = store_16<ConvertF16>;
    t.store[kBF16] = store_16<ConvertBF16>;
    t.gather[kF16] = gather_16<ConvertF16>;
    t.gather[kBF16] = gather_16<ConvertBF16>;
    t.scatter[kF16] = scatter_16<ConvertF16>;
    t.scatter[kBF16] = scatter_16<ConvertBF16>;
    t.fill[kF16] = t.fill[kBF16] = t.fill[kF32];
}

}  // namespace sn::cpu::SN_ISA
