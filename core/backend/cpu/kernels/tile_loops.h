#pragma once
// Loop templates of the tile kernels. An operation is a type with a static template apply().
//
// Two kinds of loop. Floating-point results: native vectors; the tail is copied to a full vector,
// so an element's bits do not depend on where the tile ends. Integer and bool results, exact
// however they are computed: scalar expressions that the compiler vectorises; `ivdep` is true
// because dst is an argument exactly or not at all.
#include "backend/cpu/simd.h"
#include "backend/cpu/tile_kernels.h"
#include "op/math.h"

namespace sn::cpu::SN_ISA {
namespace {

// What an argument list is called in the lists' expressions.
#define SN_TILE_OP1(name, ...)             \
    struct Op_##name {                     \
        template <class V>                 \
        SN_INLINE static auto apply(V x) { \
            return (__VA_ARGS__);          \
        }                                  \
    };
#define SN_TILE_OP2(name, ...)                  \
    struct Op_##name {                          \
        template <class V>                      \
        SN_INLINE static auto apply(V x, V y) { \
            return (__VA_ARGS__);               \
        }                                       \
    };
#define SN_TILE_OP3(name, ...)                       \
    struct Op_##name {                               \
        template <class V>                           \
        SN_INLINE static auto apply(V x, V y, V z) { \
            return (__VA_ARGS__);                    \
        }                                            \
    };

// ---- native vectors

template <class T, class Op>
[[gnu::noinline]] void vector_loop1(void* dst, const void* a, int64_t n) {
    using V = Vec<T>;
    constexpr int64_t w = kLanes<T>;
    T* d = static_cast<T*>(dst);
    const T* p = static_cast<const T*>(a);
    T in[w], out[w];
    T* tail_dst = nullptr;
    int64_t tail = 0;
    for (;;) {
        if constexpr (sizeof(T) == 4) {
            // Two at a time: their chains overlap better than those of two iterations.
            for (; n >= 2 * w; n -= 2 * w, p += 2 * w, d += 2 * w) {
                const V x = load<V>(p), y = load<V>(p + w);
                store<V>(d, Op::apply(x));
                store<V>(d + w, Op::apply(y));
            }
        }
        for (; n >= w; n -= w, p += w, d += w) store<V>(d, Op::apply(load<V>(p)));
        if (tail) break;
        if (n == 0) return;
        // Once more around the same loop, with the tail in a full vector.
        store<V>(in, load_part<V>(p, n));
        tail_dst = d;
        tail = n;
        p = in;
        d = out;
        n = w;
    }
    std::memcpy(tail_dst, out, static_cast<size_t>(tail) * sizeof(T));
}

// A step of 0 stays on one vector, in which a scalar argument has been repeated.
template <class T, class Op, bool pairs = false>
[[gnu::noinline]] void vector_loop2(T* d, const T* a, int64_t step_a, const T* b, int64_t step_b,
                                    int64_t n) {
    using V = Vec<T>;
    constexpr int64_t w = kLanes<T>;
    T in[2][w], out[w];
    T* tail_dst = nullptr;
    int64_t tail = 0;
    for (;;) {
        if constexpr (pairs) {
            for (; n >= 2 * w; n -= 2 * w, a += 2 * step_a, b += 2 * step_b, d += 2 * w) {
                const V x = load<V>(a), y = load<V>(b);
                const V x2 = load<V>(a + step_a), y2 = load<V>(b + step_b);
                store<V>(d, Op::apply(x, y));
                store<V>(d + w, Op::apply(x2, y2));
            }
        }
        for (; n >= w; n -= w, a += step_a, b += step_b, d += w)
            store<V>(d, Op::apply(load<V>(a), load<V>(b)));
        if (tail) break;
        if (n == 0) return;
        store<V>(in[0], load_part<V>(a, n));
        store<V>(in[1], load_part<V>(b, n));
        tail_dst = d;
        tail = n;
        a = in[0];
        b = in[1];
        d = out;
        n = w;
    }
    std::memcpy(tail_dst, out, static_cast<size_t>(tail) * sizeof(T));
}
template <class T, class Op, int variant, bool pairs = false>
void vector_entry2(void* dst, const void* a, const void* b, int64_t n) {
    constexpr int w = kLanes<T>;
    const T *p = static_cast<const T*>(a), *q = static_cast<const T*>(b);
    Vec<T> scalar;
    if constexpr (variant == kScalarVector) {
        scalar = splat(*p);
        p = reinterpret_cast<const T*>(&scalar);
    } else if constexpr (variant == kVectorScalar) {
        scalar = splat(*q);
        q = reinterpret_cast<const T*>(&scalar);
    }
    vector_loop2<T, Op, pairs>(static_cast<T*>(dst), p, variant == kScalarVector ? 0 : w, q,
                               variant == kVectorScalar ? 0 : w, n);
}

template <class T, class Op>
[[gnu::noinline]] void vector_loop3(T* d, const T* a, int64_t step_a, const T* b, int64_t step_b,
                                    const T* c, int64_t step_c, int64_t n) {
    using V = Vec<T>;
    constexpr int64_t w = kLanes<T>;
    T in[3][w], out[w];
    T* tail_dst = nullptr;
    int64_t tail = 0;
    for (;;) {
        for (; n >= w; n -= w, a += step_a, b += step_b, c += step_c, d += w)
            store<V>(d, Op::apply(load<V>(a), load<V>(b), load<V>(c)));
        if (tail) break;
        if (n == 0) return;
        store<V>(in[0], load_part<V>(a, n));
        store<V>(in[1], load_part<V>(b, n));
        store<V>(in[2], load_part<V>(c, n));
        tail_dst = d;
        tail = n;
        a = in[0];
        b = in[1];
        c = in[2];
        d = out;
        n = w;
    }
    std::memcpy(tail_dst, out, static_cast<size_t>(tail) * sizeof(T));
}
template <class T, class Op, int scalars>
void vector_entry3(void* dst, const void* a, const void* b, const void* c, int64_t n) {
    constexpr int w = kLanes<T>;
    const T* p[3] = {static_cast<const T*>(a), static_cast<const T*>(b), static_cast<const T*>(c)};
    Vec<T> scalar[3];
    for (int i = 0; i < 3; ++i) {
        if ((scalars >> i) & 1) {
            scalar[i] = splat(*p[i]);
            p[i] = reinterpret_cast<const T*>(&scalar[i]);
        }
    }
    vector_loop3<T, Op>(static_cast<T*>(dst), p[0], scalars & 1 ? 0 : w, p[1], scalars & 2 ? 0 : w,
                        p[2], scalars & 4 ? 0 : w, n);
}

// ---- scalar expressions

template <class T, class R, class Op>
[[gnu::noinline]] void plain_loop1(void* dst, const void* a, int64_t n) {
    R* d = static_cast<R*>(dst);
    const T* p = static_cast<const T*>(a);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) d[i] = static_cast<R>(Op::apply(p[i]));
}
template <class T, class R, class Op>
[[gnu::noinline]] void plain_loop2(void* dst, const void* a, const void* b, int64_t n) {
    R* d = static_cast<R*>(dst);
    const T *p = static_cast<const T*>(a), *q = static_cast<const T*>(b);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) d[i] = static_cast<R>(Op::apply(p[i], q[i]));
}

// A scalar argument is repeated in a short tile, and the loop run piece by piece: one loop per op
// and dtype serves all variants.
inline constexpr int64_t kPiece = 256;
[[gnu::noinline]] inline void repeat(char* piece, const void* scalar, int64_t size, int64_t n) {
    // Doubles what is there; a piece is short.
    std::memcpy(piece, scalar, static_cast<size_t>(size));
    for (int64_t have = 1; have < n; have *= 2) {
        const int64_t more = n - have < have ? n - have : have;
        std::memcpy(piece + have * size, piece, static_cast<size_t>(more * size));
    }
}
[[gnu::noinline]] inline void run_pieces2(TileFn2 loop, int64_t size, int64_t result_size,
                                          int variant, void* dst, const void* a, const void* b,
                                          int64_t n) {
    alignas(64) char piece[kPiece * 8];
    const char *p = static_cast<const char*>(a), *q = static_cast<const char*>(b);
    char* d = static_cast<char*>(dst);
    repeat(piece, variant == kScalarVector ? a : b, size, n < kPiece ? n : kPiece);
    for (int64_t i = 0; i < n; i += kPiece) {
        const int64_t m = n - i < kPiece ? n - i : kPiece;
        loop(d + i * result_size, variant == kScalarVector ? piece : p + i * size,
             variant == kVectorScalar ? piece : q + i * size, m);
    }
}
template <TileFn2 loop, int size, int result_size, int variant>
void pieces2(void* dst, const void* a, const void* b, int64_t n) {
    run_pieces2(loop, size, result_size, variant, dst, a, b, n);
}
// size_a: of the first argument; size: of the others and the result.
[[gnu::noinline]] inline void run_pieces3(TileFn3 loop, int64_t size_a, int64_t size, int scalars,
                                          void* dst, const void* a, const void* b, const void* c,
                                          int64_t n) {
    alignas(64) char piece[3][kPiece * 8];
    const char* p[3] = {static_cast<const char*>(a), static_cast<const char*>(b),
                        static_cast<const char*>(c)};
    int64_t step[3] = {size_a, size, size};
    for (int k = 0; k < 3; ++k) {
        if (!((scalars >> k) & 1)) continue;
        repeat(piece[k], p[k], step[k], n < kPiece ? n : kPiece);
        p[k] = piece[k];
        step[k] = 0;
    }
    for (int64_t i = 0; i < n; i += kPiece) {
        const int64_t m = n - i < kPiece ? n - i : kPiece;
        loop(static_cast<char*>(dst) + i * size, p[0] + i * step[0], p[1] + i * step[1],
             p[2] + i * step[2], m);
    }
}
template <TileFn3 loop, int size_a, int size, int scalars>
void pieces3(void* dst, const void* a, const void* b, const void* c, int64_t n) {
    run_pieces3(loop, size_a, size, scalars, dst, a, b, c, n);
}

// ---- 16-bit floats: computed in f32, the result rounded

struct RoundF16 {
    SN_INLINE static F32 apply(F32 x) { return round_f16(x); }
};
struct RoundBF16 {
    SN_INLINE static F32 apply(F32 x) { return round_bf16(x); }
};
template <class Op, class Round>
struct Rounded {
    template <class... V>
    SN_INLINE static F32 apply(V... x) {
        return Round::apply(Op::apply(x...));
    }
};

// ---- filling table rows

inline constexpr int kF16 = static_cast<int>(DType::kF16), kBF16 = static_cast<int>(DType::kBF16),
                     kF32 = static_cast<int>(DType::kF32), kF64 = static_cast<int>(DType::kF64);

template <class Op, int v>
SN_INLINE void set_float2_variant(TileFn2 (*row)[3]) {
    row[kF32][v] = vector_entry2<float, Op, v>;
    row[kF64][v] = vector_entry2<double, Op, v>;
    row[kF16][v] = vector_entry2<float, Rounded<Op, RoundF16>, v>;
    row[kBF16][v] = vector_entry2<float, Rounded<Op, RoundBF16>, v>;
}
template <class Op>
SN_INLINE void set_float2(TileFn2 (*row)[3]) {
    set_float2_variant<Op, 0>(row);
    set_float2_variant<Op, 1>(row);
    set_float2_variant<Op, 2>(row);
}
template <class Op, int s>
SN_INLINE void set_float3_variant(TileFn3 (*row)[8]) {
    row[kF32][s] = vector_entry3<float, Op, s>;
    row[kF64][s] = vector_entry3<double, Op, s>;
    row[kF16][s] = vector_entry3<float, Rounded<Op, RoundF16>, s>;
    row[kBF16][s] = vector_entry3<float, Rounded<Op, RoundBF16>, s>;
    if constexpr (s > 0) set_float3_variant<Op, s - 1>(row);
}

template <class T>
struct TileDType;
#define SN_TILE_DTYPE(T, d)                                      \
    template <>                                                  \
    struct TileDType<T> {                                        \
        static constexpr int value = static_cast<int>(DType::d); \
    };
SN_TILE_DTYPE(bool, kBool)
SN_TILE_DTYPE(int8_t, kI8)
SN_TILE_DTYPE(int16_t, kI16)
SN_TILE_DTYPE(int32_t, kI32)
SN_TILE_DTYPE(int64_t, kI64)
SN_TILE_DTYPE(uint8_t, kU8)
SN_TILE_DTYPE(uint16_t, kU16)
SN_TILE_DTYPE(uint32_t, kU32)
SN_TILE_DTYPE(uint64_t, kU64)
SN_TILE_DTYPE(float, kF32)
SN_TILE_DTYPE(double, kF64)
#undef SN_TILE_DTYPE

#define SN_EACH_INT(F) \
    F(int8_t) F(int16_t) F(int32_t) F(int64_t) F(uint8_t) F(uint16_t) F(uint32_t) F(uint64_t)

template <class T, class R, class Op>
SN_INLINE void set_plain2(TileFn2 (*row)[3]) {
    constexpr int d = TileDType<T>::value;
    row[d][0] = plain_loop2<T, R, Op>;
    row[d][1] = pieces2<plain_loop2<T, R, Op>, sizeof(T), sizeof(R), 1>;
    row[d][2] = pieces2<plain_loop2<T, R, Op>, sizeof(T), sizeof(R), 2>;
}

}  // namespace
}  // namespace sn::cpu::SN_ISA
