#pragma once
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/dtype.h"

// The register tile of the matrix core. Included by gemm_*.cpp only.
namespace sn::cpu::SN_ISA {

#if defined(__AVX512F__)
inline constexpr int kVecBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVecBytes = 32;
#else
inline constexpr int kVecBytes = 16;
#endif

typedef float VecF __attribute__((vector_size(kVecBytes)));
typedef double VecD __attribute__((vector_size(kVecBytes)));
template <class T>
struct VecOf;
template <>
struct VecOf<float> {
    using type = VecF;
};
template <>
struct VecOf<double> {
    using type = VecD;
};
template <class T>
using Vec = typename VecOf<T>::type;

// Tile sizes: accumulators, one row of b and a broadcast fit the register file (32 registers at
// AVX-512 and NEON, 16 below).
template <class T>
struct Tile {
    static constexpr int lanes = kVecBytes / int(sizeof(T));
#if defined(__AVX512F__) || defined(__aarch64__)
    static constexpr int rows = 12;
#else
    static constexpr int rows = 6;
#endif
    static constexpr int vecs = 2;
    static constexpr int cols = vecs * lanes;
};

[[gnu::always_inline]] inline VecF load(const float* p) {
    VecF v;
    memcpy(&v, p, sizeof v);
    return v;
}
[[gnu::always_inline]] inline VecD load(const double* p) {
    VecD v;
    memcpy(&v, p, sizeof v);
    return v;
}
// Elements of operands in their own dtype, widened exactly to the type of the sums.
struct Bf16 {
    uint16_t bits;
};
struct F16 {
    uint16_t bits;
};
[[gnu::always_inline]] inline float widen(Bf16 x) {
    const uint32_t bits = uint32_t(x.bits) << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
[[gnu::always_inline]] inline float widen(F16 x) {
#if defined(__F16C__)
    return _cvtsh_ss(x.bits);
#else
    return f16_to_f32(x.bits);
#endif
}
[[gnu::always_inline]] inline float widen(float x) { return x; }
[[gnu::always_inline]] inline double widen(double x) { return x; }

// (The maskz forms are those whose headers do not make GCC 12 warn; the masks fold away.)
[[gnu::always_inline]] inline VecF load(const Bf16* p) {
#if defined(__AVX512F__)
    const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return (VecF)_mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, h), 16);
#elif defined(__AVX2__)
    const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return (VecF)_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16);
#else
    return VecF{widen(p[0]), widen(p[1]), widen(p[2]), widen(p[3])};
#endif
}
[[gnu::always_inline]] inline VecF load(const F16* p) {
#if defined(__AVX512F__)
    const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return (VecF)_mm512_maskz_cvtph_ps(0xffff, h);
#elif defined(__F16C__)
    return (VecF)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
    return VecF{widen(p[0]), widen(p[1]), widen(p[2]), widen(p[3])};
#endif
}

template <class T>
[[gnu::always_inline]] inline void store(T* p, Vec<T> v) {
    memcpy(p, &v, sizeof v);
}

[[gnu::always_inline]] inline VecF splat(float x) {
#if defined(__AVX512F__)
    return (VecF)_mm512_set1_ps(x);
#elif defined(__AVX2__)
    return (VecF)_mm256_set1_ps(x);
#else
    return VecF{x, x, x, x};
#endif
}
[[gnu::always_inline]] inline VecD splat(double x) {
#if defined(__AVX512F__)
    return (VecD)_mm512_set1_pd(x);
#elif defined(__AVX2__)
    return (VecD)_mm256_set1_pd(x);
#else
    return VecD{x, x};
#endif
}

// a * b + c, rounded once wherever the machine can.
[[gnu::always_inline]] inline VecF fma(VecF a, VecF b, VecF c) {
#if defined(__AVX512F__)
    return (VecF)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (VecF)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    for (int i = 0; i < 4; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
#else
    return a * b + c;
#endif
}
[[gnu::always_inline]] inline VecD fma(VecD a, VecD b, VecD c) {
#if defined(__AVX512F__)
    return (VecD)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
    return (VecD)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
    for (int i = 0; i < 2; ++i) c[i] = __builtin_fma(a[i], b[i], c[i]);
    return c;
#else
    return a * b + c;
#endif
}
[[gnu::always_inline]] inline float fma(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}
[[gnu::always_inline]] inline double fma(double a, double b, double c) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

// What a tile's chain of terms starts from, and where its result goes.
enum class Carry : uint8_t {
    kStore,     // from zero; c = chain
    kAdd,       // from zero; c = c + chain: a whole later segment
    kContinue,  // from c; c = chain: a later piece of the same segment
};

// The chains of kc terms of c[MR][NV vectors]. Meanwhile 128 bytes per term from `ahead` on,
// ahead_rows rows that are ahead_stride bytes apart, are asked into the second-level cache for
// whoever comes next.
// by_rows: a is read in place, rows a_stride apart and k contiguous. Otherwise the rows of one k
// are contiguous and successive k a_stride apart: a packed panel, or a transposed operand in place.
template <class T, int MR, int NV, bool by_rows>
void micro(int64_t kc, const T* a, int64_t a_stride, const T* b, int64_t b_stride, T* c,
           int64_t ldc, Carry carry, const char* ahead, int64_t ahead_stride, int64_t ahead_rows) {
    constexpr int L = Tile<T>::lanes;
    constexpr int64_t kAheadB = 16;
    Vec<T> acc[MR][NV];
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r) {
        // The sums are wanted only after the loop: time enough for the lines to arrive.
        __builtin_prefetch(c + r * ldc, 1);
        if constexpr (NV * kVecBytes > 64) __builtin_prefetch(c + r * ldc + NV * L - 1, 1);
#pragma GCC unroll 8
        for (int j = 0; j < NV; ++j) acc[r][j] = Vec<T>{};
    }
    if (carry == Carry::kContinue) {
#pragma GCC unroll 16
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 8
            for (int j = 0; j < NV; ++j) acc[r][j] = load(c + r * ldc + j * L);
    }
    // Three rows to a base register: [base], [base + s], [base + 2 s].
    const T* base[(MR + 2) / 3];
    if constexpr (by_rows) {
#pragma GCC unroll 4
        for (int g = 0; g < (MR + 2) / 3; ++g) base[g] = a + 3 * g * a_stride;
    }
#pragma GCC unroll 1
    for (int64_t k = 0; k < kc; ++k) {
        // b comes from the second-level cache at best.
        __builtin_prefetch(b + kAheadB * b_stride);
        if constexpr (NV * kVecBytes > 64) __builtin_prefetch(b + kAheadB * b_stride + NV * L - 1);
        __builtin_prefetch(ahead, 0, 2);
        __builtin_prefetch(ahead + 127, 0, 2);
        ahead += k + 1 < ahead_rows ? ahead_stride : 0;
        Vec<T> row[NV];
#pragma GCC unroll 8
        for (int j = 0; j < NV; ++j) row[j] = load(b + j * L);
#pragma GCC unroll 16
        for (int r = 0; r < MR; ++r) {
            Vec<T> x;
            if constexpr (by_rows)
                x = splat(base[r / 3][(r % 3) * a_stride]);
            else
                x = splat(a[r]);
#pragma GCC unroll 8
            for (int j = 0; j < NV; ++j) acc[r][j] = fma(x, row[j], acc[r][j]);
        }
        b += b_stride;
        if constexpr (by_rows) {
#pragma GCC unroll 4
            for (int g = 0; g < (MR + 2) / 3; ++g) ++base[g];
        } else {
            a += a_stride;
        }
    }
    if (carry == Carry::kAdd) {
#pragma GCC unroll 16
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 8
            for (int j = 0; j < NV; ++j)
                store(c + r * ldc + j * L, load(c + r * ldc + j * L) + acc[r][j]);
    } else {
#pragma GCC unroll 16
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 8
            for (int j = 0; j < NV; ++j) store(c + r * ldc + j * L, acc[r][j]);
    }
}

}  // namespace sn::cpu::SN_ISA
