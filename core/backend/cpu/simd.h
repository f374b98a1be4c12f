#pragma once
// Native vectors for kernels that are compiled once per instruction set (SN_ISA names the level).
//
// A Vec<T> is exactly one machine register: GCC compiles vectors wider than the machine's badly, so
// kernels that want 16 logical lanes keep an array of native vectors. Everything lives in the ISA's
// namespace: a template instantiated here must never be merged with another level's by the linker.
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // false alarms in GCC 12's own header
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#if !defined(SN_ISA)
#error "simd.h is for kernel sources, compiled with -DSN_ISA=v2|avx2|avx512|neon"
#endif

namespace sn::cpu::SN_ISA {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

// Elements of T in one native vector.
template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T, int kBytes>
struct VecOfBytes {
    typedef T type __attribute__((vector_size(kBytes)));
};
template <class T>
using Vec = typename VecOfBytes<T, kVectorBytes>::type;
// A vector of `lanes` elements, for conversions between element sizes (may be narrower than
// native).
template <class T, int lanes>
using VecN = typename VecOfBytes<T, lanes* static_cast<int>(sizeof(T))>::type;

using F32 = Vec<float>;
using F64 = Vec<double>;
using I32 = Vec<int32_t>;
using I64 = Vec<int64_t>;
using U32 = Vec<uint32_t>;

#define SN_INLINE [[gnu::always_inline]] inline

// Unaligned load and store: operands may point into user memory.
template <class V, class T>
SN_INLINE V load(const T* p) {
    V v;
    __builtin_memcpy(&v, p, sizeof(V));
    return v;
}
template <class V, class T>
SN_INLINE void store(T* p, V v) {
    __builtin_memcpy(p, &v, sizeof(V));
}
// The first n elements (0 <= n <= lanes); the other lanes are zero.
template <class V, class T>
SN_INLINE V load_part(const T* p, int64_t n) {
    V v{};
    std::memcpy(&v, p, static_cast<size_t>(n) * sizeof(T));
    return v;
}
template <class V, class T>
SN_INLINE void store_part(T* p, V v, int64_t n) {
    std::memcpy(p, &v, static_cast<size_t>(n) * sizeof(T));
}

// x - 0 keeps every x, -0 and NaN included, so this is a plain broadcast.
template <class T>
SN_INLINE Vec<T> splat(T x) {
    return x - Vec<T>{};
}

template <class To, class From>
SN_INLINE To bit_cast(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To y;
    __builtin_memcpy(&y, &x, sizeof(To));
    return y;
}

// `mask` is the result of a comparison: -1 or 0 per lane.
template <class M, class V>
SN_INLINE V select(M mask, V a, V b) {
    return mask ? a : b;
}

// a * b + c with one rounding. The baseline level has no such instruction and rounds twice: it is
// outside the bit guarantee.
SN_INLINE F32 fma(F32 a, F32 b, F32 c) {
#if defined(__AVX512F__)
    return (F32)__builtin_ia32_vfmaddps512_mask(a, b, c, (unsigned short)-1, 4);
#elif defined(__FMA__)
    return (F32)__builtin_ia32_vfmaddps256(a, b, c);
#elif defined(__ARM_FEATURE_FMA)
    F32 r;
    for (int i = 0; i < kLanes<float>; ++i) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return r;
#else
    return a * b + c;
#endif
}
SN_INLINE F64 fma(F64 a, F64 b, F64 c) {
#if defined(__AVX512F__)
    return (F64)__builtin_ia32_vfmaddpd512_mask(a, b, c, (unsigned char)-1, 4);
#elif defined(__FMA__)
    return (F64)__builtin_ia32_vfmaddpd256(a, b, c);
#elif defined(__ARM_FEATURE_FMA)
    F64 r;
    for (int i = 0; i < kLanes<double>; ++i) r[i] = __builtin_fma(a[i], b[i], c[i]);
    return r;
#else
    return a * b + c;
#endif
}

SN_INLINE F32 sqrt(F32 x) {
#if defined(__AVX512F__)
    return (F32)__builtin_ia32_sqrtps512_mask(x, x, (unsigned short)-1, 4);
#elif defined(__AVX__)
    return (F32)__builtin_ia32_sqrtps256(x);
#elif defined(__SSE2__)
    return (F32)__builtin_ia32_sqrtps(x);
#else
    F32 r;
    for (int i = 0; i < kLanes<float>; ++i) r[i] = __builtin_sqrtf(x[i]);
    return r;
#endif
}
SN_INLINE F64 sqrt(F64 x) {
#if defined(__AVX512F__)
    return (F64)__builtin_ia32_sqrtpd512_mask(x, x, (unsigned char)-1, 4);
#elif defined(__AVX__)
    return (F64)__builtin_ia32_sqrtpd256(x);
#elif defined(__SSE2__)
    return (F64)__builtin_ia32_sqrtpd(x);
#else
    F64 r;
    for (int i = 0; i < kLanes<double>; ++i) r[i] = __builtin_sqrt(x[i]);
    return r;
#endif
}

// Rounding to integral values, exact on every level: floor, ceil, trunc, round (halves to even).
#if defined(__AVX512F__)
#define SN_ROUNDING(name, mode, builtin)                                                   \
    SN_INLINE F32 name(F32 x) { return (F32)_mm512_roundscale_ps((__m512)x, (mode) | 8); } \
    SN_INLINE F64 name(F64 x) { return (F64)_mm512_roundscale_pd((__m512d)x, (mode) | 8); }
#elif defined(__AVX__)
#define SN_ROUNDING(name, mode, builtin)                                              \
    SN_INLINE F32 name(F32 x) { return (F32)_mm256_round_ps((__m256)x, (mode) | 8); } \
    SN_INLINE F64 name(F64 x) { return (F64)_mm256_round_pd((__m256d)x, (mode) | 8); }
#elif defined(__SSE4_1__)
#define SN_ROUNDING(name, mode, builtin)                                           \
    SN_INLINE F32 name(F32 x) { return (F32)_mm_round_ps((__m128)x, (mode) | 8); } \
    SN_INLINE F64 name(F64 x) { return (F64)_mm_round_pd((__m128d)x, (mode) | 8); }
#else
#define SN_ROUNDING(name, mode, builtin)                                             \
    SN_INLINE F32 name(F32 x) {                                                      \
        for (int i = 0; i < kLanes<float>; ++i) x[i] = __builtin_##builtin##f(x[i]); \
        return x;                                                                    \
    }                                                                                \
    SN_INLINE F64 name(F64 x) {                                                      \
        for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_##builtin(x[i]);   \
        return x;                                                                    \
    }
#endif
SN_ROUNDING(round, 0, rint)
SN_ROUNDING(floor, 1, floor)
SN_ROUNDING(ceil, 2, ceil)
SN_ROUNDING(trunc, 3, trunc)
#undef SN_ROUNDING

// NaN propagates: a NaN in either argument gives NaN. Of +0 and -0, the one in `b` is returned.
template <class V>
SN_INLINE V max_nan(V a, V b) {
    V m = a > b ? a : b;
    return a != a ? a : m;
}
template <class V>
SN_INLINE V min_nan(V a, V b) {
    V m = a < b ? a : b;
    return a != a ? a : m;
}

// True when any lane of a comparison result is set.
template <class M>
SN_INLINE bool any(M mask) {
#if defined(__AVX512F__)
    typedef long long W __attribute__((vector_size(64)));
    return __builtin_ia32_ptestmq512(bit_cast<W>(mask), bit_cast<W>(mask), (unsigned char)-1) != 0;
#elif defined(__AVX2__)
    typedef long long W __attribute__((vector_size(32)));
    return !__builtin_ia32_ptestz256(bit_cast<W>(mask), bit_cast<W>(mask));
#elif defined(__SSE4_1__)
    typedef long long W __attribute__((vector_size(16)));
    return !__builtin_ia32_ptestz128(bit_cast<W>(mask), bit_cast<W>(mask));
#else
    const I64 w = bit_cast<I64>(mask);
    return (w[0] | w[1]) != 0;
#endif
}

// One native f32 vector as two f64 vectors, and back (rounding). GCC 12 takes apart generic vector
// conversions between element sizes, hence the intrinsics.
SN_INLINE F64 widen_low(F32 x) {
#if defined(__AVX512F__)
    return (F64)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x));
#elif defined(__AVX__)
    return (F64)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x));
#elif defined(__SSE2__)
    return (F64)_mm_cvtps_pd((__m128)x);
#else
    return F64{x[0], x[1]};
#endif
}
SN_INLINE F64 widen_high(F32 x) {
#if defined(__AVX512F__)
    return (F64)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)x, 1));
#elif defined(__AVX__)
    return (F64)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1));
#elif defined(__SSE2__)
    return (F64)_mm_cvtps_pd(_mm_movehl_ps((__m128)x, (__m128)x));
#else
    return F64{x[2], x[3]};
#endif
}
SN_INLINE F32 narrow(F64 lo, F64 hi) {
#if defined(__AVX512F__)
    return (F32)_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)lo)),
                                   _mm512_cvtpd_ps((__m512d)hi), 1);
#elif defined(__AVX__)
    return (F32)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)hi), _mm256_cvtpd_ps((__m256d)lo));
#elif defined(__SSE2__)
    return (F32)_mm_movelh_ps(_mm_cvtpd_ps((__m128d)lo), _mm_cvtpd_ps((__m128d)hi));
#else
    return F32{static_cast<float>(lo[0]), static_cast<float>(lo[1]), static_cast<float>(hi[0]),
               static_cast<float>(hi[1])};
#endif
}

// kLanes<float> bytes, zero-extended to one native vector: bool tiles as masks.
SN_INLINE I32 widen_bytes(const uint8_t* p) {
#if defined(__AVX512F__)
    return (I32)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p));
#elif defined(__AVX2__)
    return (I32)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
#else
    return I32{p[0], p[1], p[2], p[3]};
#endif
}

// 16-bit floats. Vectors of 16-bit patterns have as many lanes as a native f32 vector. The results
// are those of base/dtype.cpp, bit for bit, with or without conversion instructions.
using H16 = VecN<uint16_t, kLanes<float>>;

SN_INLINE F32 bf16_to_f32(H16 h) { return bit_cast<F32>(__builtin_convertvector(h, U32) << 16); }
SN_INLINE U32 bf16_bits(F32 x) {  // the rounded pattern in the high half of each lane
    const U32 u = bit_cast<U32>(x);
    const U32 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
    return bit_cast<U32>(x != x ? bit_cast<F32>((u & 0xffff0000u) | 0x400000u)
                                : bit_cast<F32>(rounded));
}
SN_INLINE H16 f32_to_bf16(F32 x) { return __builtin_convertvector(bf16_bits(x) >> 16, H16); }
// The nearest bf16 value, still as f32: what a bf16 tile holds.
SN_INLINE F32 round_bf16(F32 x) { return bit_cast<F32>(bf16_bits(x)); }

SN_INLINE F32 f16_to_f32(H16 h) {
#if defined(__AVX512F__)
    typedef short S __attribute__((vector_size(32)));
    return (F32)__builtin_ia32_vcvtph2ps512_mask(bit_cast<S>(h), F32{}, (unsigned short)-1, 4);
#elif defined(__F16C__)
    typedef short S __attribute__((vector_size(16)));
    return (F32)__builtin_ia32_vcvtph2ps256(bit_cast<S>(h));
#else
    const U32 w = __builtin_convertvector(h, U32);
    const U32 sign = (w & 0x8000u) << 16, magnitude = w & 0x7fffu;
    // 2^-24 * integer is exact for subnormals; normals move the exponent.
    const F32 small = __builtin_convertvector(bit_cast<I32>(magnitude), F32) * 0x1p-24f;
    U32 bits = magnitude < 0x400u ? bit_cast<U32>(small) : (magnitude << 13) + 0x38000000u;
    bits = magnitude >= 0x7c00u ? (magnitude << 13) + 0x70000000u : bits;
    bits = magnitude > 0x7c00u ? bits | 0x400000u : bits;
    return bit_cast<F32>(bits | sign);
#endif
}
SN_INLINE H16 f32_to_f16(F32 x) {
#if defined(__AVX512F__)
    typedef short S __attribute__((vector_size(32)));
    return bit_cast<H16>((S)__builtin_ia32_vcvtps2ph512_mask(x, 0, S{}, (unsigned short)-1));
#elif defined(__F16C__)
    return bit_cast<H16>(__builtin_ia32_vcvtps2ph256(x, 0));
#else
    const U32 u = bit_cast<U32>(x);
    const U32 sign = (u >> 16) & 0x8000u, m = u & 0x7fffffffu;
    // Adding 0.5 puts a subnormal half's last bit at the last bit of the sum: the addition rounds.
    const F32 shifted = bit_cast<F32>(m) + 0.5f;
    const U32 subnormal = bit_cast<U32>(shifted) - 0x3f000000u;
    U32 h = (m + 0xfffu + ((m >> 13) & 1u) - 0x38000000u) >> 13;
    h = m < 0x38800000u ? subnormal : h;
    h = m >= 0x477ff000u ? U32{} + 0x7c00u : h;
    h = m > 0x7f800000u ? (0x7e00u | ((m >> 13) & 0x3ffu)) : h;
    return __builtin_convertvector(h | sign, H16);
#endif
}
SN_INLINE F32 round_f16(F32 x) { return f16_to_f32(f32_to_f16(x)); }

// Horizontal trees over an array of native vectors that hold 16 (f32) or 8 (f64) logical lanes:
// lane i meets lane i + 8, then i + 4, i + 2, i + 1, whatever the native width (docs/design/001).
// `op` is called on vectors of several widths and on scalars.
inline constexpr int kLogicalF32 = 16, kLogicalF64 = 8;

template <class Op>
SN_INLINE float horizontal(const F32* v, Op op) {
#if defined(__AVX512F__)
    const auto o = op(__builtin_shufflevector(v[0], v[0], 0, 1, 2, 3, 4, 5, 6, 7),
                      __builtin_shufflevector(v[0], v[0], 8, 9, 10, 11, 12, 13, 14, 15));
#elif defined(__AVX__)
    const auto o = op(v[0], v[1]);
#endif
#if defined(__AVX__)
    const auto q =
        op(__builtin_shufflevector(o, o, 0, 1, 2, 3), __builtin_shufflevector(o, o, 4, 5, 6, 7));
#else
    const F32 q = op(op(v[0], v[2]), op(v[1], v[3]));
#endif
    return op(op(float(q[0]), float(q[2])), op(float(q[1]), float(q[3])));
}
template <class Op>
SN_INLINE double horizontal(const F64* v, Op op) {
#if defined(__AVX512F__)
    const auto q = op(__builtin_shufflevector(v[0], v[0], 0, 1, 2, 3),
                      __builtin_shufflevector(v[0], v[0], 4, 5, 6, 7));
    return op(op(double(q[0]), double(q[2])), op(double(q[1]), double(q[3])));
#elif defined(__AVX__)
    const F64 q = op(v[0], v[1]);
    return op(op(double(q[0]), double(q[2])), op(double(q[1]), double(q[3])));
#else
    const F64 p = op(op(v[0], v[2]), op(v[1], v[3]));
    return op(double(p[0]), double(p[1]));
#endif
}
SN_INLINE float horizontal_sum(const F32* v) {
    return horizontal(v, [](auto a, auto b) { return a + b; });
}
SN_INLINE double horizontal_sum(const F64* v) {
    return horizontal(v, [](auto a, auto b) { return a + b; });
}
SN_INLINE float horizontal_max(const F32* v) {
    return horizontal(v, [](auto a, auto b) { return max_nan(a, b); });
}
SN_INLINE double horizontal_max(const F64* v) {
    return horizontal(v, [](auto a, auto b) { return max_nan(a, b); });
}
SN_INLINE float horizontal_min(const F32* v) {
    return horizontal(v, [](auto a, auto b) { return min_nan(a, b); });
}
SN_INLINE double horizontal_min(const F64* v) {
    return horizontal(v, [](auto a, auto b) { return min_nan(a, b); });
}

}  // namespace sn::cpu::SN_ISA
