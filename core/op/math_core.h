#pragma once
// Ground of core/op/math.h: traits, bits, rounding. Included by it only.
//
// A function here is a template on V, a native vector (in kernels, where SN_ISA is defined and
// everything lives in the level's namespace) or a scalar float or double. Both run the same
// operations lane by lane, so they give the same bits.
#if !defined(__CUDACC_RTC__)  // there device.cuh has the types
#include <cstddef>
#include <cstdint>
#endif

#if defined(SN_ISA)
#include "backend/cpu/simd.h"
#define SN_MATH_BEGIN namespace sn::cpu::SN_ISA::math {
#else
#define SN_MATH_BEGIN namespace sn::math {
#endif
#define SN_MATH_END }

#if defined(__CUDACC__)
#define SN_FN __device__ __forceinline__
#define SN_HEAVY __device__ __noinline__
#else
#define SN_FN [[gnu::always_inline]] inline
// Long f64 functions are called, not inlined: one copy serves the f64 loop and both halves of f32.
#define SN_HEAVY [[gnu::noinline]] inline
#endif

SN_MATH_BEGIN

// Elem: type of a lane. U, I: bits of V as unsigned and signed integers. kScalar: V is one number.
template <class V>
struct Traits;  // of scalars: below
#if !defined(__CUDACC__)
template <class V>
struct Traits {
    template <class T>
    struct Bare {
        using type = T;
    };
    template <class T>
    struct Bare<T&> {
        using type = T;
    };
    using Elem = typename Bare<decltype(V{}[0])>::type;
    using I = decltype(V{} == V{});
    template <size_t bytes, int = 0>
    struct Word {
        typedef uint32_t type __attribute__((vector_size(sizeof(V))));
    };
    template <int dummy>
    struct Word<8, dummy> {
        typedef uint64_t type __attribute__((vector_size(sizeof(V))));
    };
    using U = typename Word<sizeof(Elem)>::type;
    static constexpr bool kScalar = false;
};
#endif
#define SN_SCALAR_TRAITS(T, Signed, Unsigned) \
    template <>                               \
    struct Traits<T> {                        \
        using Elem = T;                       \
        using I = Signed;                     \
        using U = Unsigned;                   \
        static constexpr bool kScalar = true; \
    };
SN_SCALAR_TRAITS(float, int32_t, uint32_t)
SN_SCALAR_TRAITS(double, int64_t, uint64_t)
SN_SCALAR_TRAITS(bool, int8_t, uint8_t)
SN_SCALAR_TRAITS(int8_t, int8_t, uint8_t)
SN_SCALAR_TRAITS(int16_t, int16_t, uint16_t)
SN_SCALAR_TRAITS(int32_t, int32_t, uint32_t)
SN_SCALAR_TRAITS(int64_t, int64_t, uint64_t)
SN_SCALAR_TRAITS(uint8_t, int8_t, uint8_t)
SN_SCALAR_TRAITS(uint16_t, int16_t, uint16_t)
SN_SCALAR_TRAITS(uint32_t, int32_t, uint32_t)
SN_SCALAR_TRAITS(uint64_t, int64_t, uint64_t)
#undef SN_SCALAR_TRAITS

template <class V>
using Elem = typename Traits<V>::Elem;
template <class V>
using Bits = typename Traits<V>::U;
template <class V>
inline constexpr bool kIsFloat = false;
template <>
inline constexpr bool kIsFloat<float> = true;
template <>
inline constexpr bool kIsFloat<double> = true;
template <class V>
inline constexpr bool kFloating = kIsFloat<Elem<V>>;
template <class V>
inline constexpr bool kWide = sizeof(Elem<V>) == 8;  // of floats: f64
template <class V>
inline constexpr bool kSigned = static_cast<Elem<V>>(-1) < static_cast<Elem<V>>(1);

// ---- the few helpers that everything else is written with

template <class To, class From>
SN_FN To as(From x) {  // the same bits as another type
    static_assert(sizeof(To) == sizeof(From));
    To y;
    __builtin_memcpy(&y, &x, sizeof(To));
    return y;
}

template <class V>
SN_FN V all(Elem<V> c) {  // c in every lane
    if constexpr (Traits<V>::kScalar) {
        return c;
    } else {
        return c - V{};  // keeps -0
    }
}

#if defined(SN_ISA) && !defined(__FMA__) && !defined(__ARM_FEATURE_FMA)
SN_FN float fma(float a, float b, float c) { return a * b + c; }
SN_FN double fma(double a, double b, double c) { return a * b + c; }
#else
SN_FN float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SN_FN double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
#endif
SN_FN float sqrt(float x) { return __builtin_sqrtf(x); }
SN_FN double sqrt(double x) { return __builtin_sqrt(x); }
SN_FN float floor(float x) { return __builtin_floorf(x); }
SN_FN double floor(double x) { return __builtin_floor(x); }
SN_FN float ceil(float x) { return __builtin_ceilf(x); }
SN_FN double ceil(double x) { return __builtin_ceil(x); }
SN_FN float trunc(float x) { return __builtin_truncf(x); }
SN_FN double trunc(double x) { return __builtin_trunc(x); }
SN_FN float round(float x) { return __builtin_rintf(x); }
SN_FN double round(double x) { return __builtin_rint(x); }
SN_FN bool any(bool m) { return m; }

#if defined(SN_ISA)
using SN_ISA::any;
using SN_ISA::ceil;
using SN_ISA::floor;
using SN_ISA::fma;
using SN_ISA::round;
using SN_ISA::sqrt;
using SN_ISA::trunc;
#endif

// f on a f32 V through f64, where a direct f32 version would need as much care and be rarely used.
template <class V, class F, class... More>
SN_FN V via_f64(F f, V x, More... more) {
    if constexpr (kWide<V>) {
        return f(x, more...);
    } else if constexpr (Traits<V>::kScalar) {
        return static_cast<float>(f(static_cast<double>(x), static_cast<double>(more)...));
    } else {
#if defined(SN_ISA)
        return narrow(f(widen_low(x), widen_low(more)...), f(widen_high(x), widen_high(more)...));
#endif
    }
}

// f on the lanes where mask is set, one by one: rare cases that branch. Other lanes keep `value`.
template <class M, class V, class F, class... Args>
SN_FN V where_rare(M mask, V value, F f, Args... args) {
    if constexpr (Traits<V>::kScalar) {
        return mask ? f(args...) : value;
    } else {
        if (any(mask)) [[unlikely]] {
            for (size_t i = 0; i < sizeof(V) / sizeof(Elem<V>); ++i) {
                if (mask[i]) value[i] = f(static_cast<Elem<V>>(args[i])...);
            }
        }
        return value;
    }
}

// a * b + c where c nearly cancels the product, of which every bit counts then. A level without the
// instruction splits the factors in halves whose products are exact (Dekker, "A floating-point
// technique for extending the available precision", 1971).
template <class V>
SN_FN V exact_fma(V a, V b, V c) {
#if defined(SN_ISA) && !defined(__FMA__) && !defined(__ARM_FEATURE_FMA)
    constexpr Elem<V> kSplit = kWide<V> ? Elem<V>(0x1p27) + 1 : Elem<V>(0x1p12) + 1;
    const V a_high = kSplit * a - (kSplit * a - a), a_low = a - a_high;
    const V b_high = kSplit * b - (kSplit * b - b), b_low = b - b_high;
    const V p = a * b;
    const V rest = (((a_high * b_high - p) + a_high * b_low) + a_low * b_high) + a_low * b_low;
    return (p + c) + (rest == rest ? rest : V{});  // no rest where the split overflows
#else
    return fma(a, b, c);
#endif
}

// c0 + x * (c1 + x * (c2 + ...)), fused.
template <class V>
SN_FN V horner(V, Elem<V> c) {
    return all<V>(c);
}
template <class V, class... C>
SN_FN V horner(V x, Elem<V> c, C... more) {
    return fma(horner(x, static_cast<Elem<V>>(more)...), x, all<V>(c));
}

// ---- bits of floating-point numbers

template <class V>
struct Format;  // of Elem
template <>
struct Format<float> {
    static constexpr int kMantissa = 23;
    static constexpr uint32_t kBias = 127, kSign = 0x80000000u, kInf = 0x7f800000u;
    static constexpr uint32_t kSqrtHalf = 0x3f3504f3u;  // bits of sqrt(1/2)
    static constexpr float kMagic = 0x1.8p23f;          // adding it rounds to an integer
    static constexpr float kInteger = 0x1p23f;          // its low bits are an integer
    static constexpr float kMinNormal = 0x1p-126f, kUp = 0x1p23f, kUpLog2 = 23;
};
template <>
struct Format<double> {
    static constexpr int kMantissa = 52;
    static constexpr uint64_t kBias = 1023, kSign = 0x8000000000000000u, kInf = 0x7ff0000000000000u;
    static constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdu;
    static constexpr double kMagic = 0x1.8p52, kInteger = 0x1p52;
    static constexpr double kMinNormal = 0x1p-1022, kUp = 0x1p52, kUpLog2 = 52;
};
template <class V>
using Fmt = Format<Elem<V>>;

template <class V>
SN_FN V infinity() {
    return all<V>(static_cast<Elem<V>>(__builtin_inff()));
}
template <class V>
SN_FN V nan() {
    return all<V>(static_cast<Elem<V>>(__builtin_nanf("")));
}
template <class V>
SN_FN V magnitude(V x) {
    return as<V>(as<Bits<V>>(x) & ~Fmt<V>::kSign);
}
template <class V>
SN_FN Bits<V> sign_bits(V x) {
    return as<Bits<V>>(x) & Fmt<V>::kSign;
}
// |x| with the sign of y, for x known to be positive.
template <class V>
SN_FN V with_sign(V positive, V y) {
    return as<V>(as<Bits<V>>(positive) | sign_bits(y));
}
// 2^k for an integer k, given k + kMagic, |k| small enough for a normal result.
template <class V>
SN_FN V exp2_of_magic(V k_plus_magic) {
    return as<V>((as<Bits<V>>(k_plus_magic) + Fmt<V>::kBias) << Fmt<V>::kMantissa);
}
// NaN passes through both.
template <class V>
SN_FN V at_most(V x, Elem<V> hi) {
    const V h = all<V>(hi);
#if defined(SN_ISA) && defined(__AVX512F__)
    // One instruction with just this meaning, which GCC does not find for vectors.
    if constexpr (__is_same(V, F32)) return (V)_mm512_min_ps((__m512)h, (__m512)x);
    if constexpr (__is_same(V, F64)) return (V)_mm512_min_pd((__m512d)h, (__m512d)x);
#elif defined(SN_ISA) && defined(__AVX2__)
    if constexpr (__is_same(V, F32)) return (V)__builtin_ia32_minps256(h, x);
    if constexpr (__is_same(V, F64)) return (V)__builtin_ia32_minpd256(h, x);
#endif
    return h < x ? h : x;
}
template <class V>
SN_FN V at_least(V x, Elem<V> lo) {
    const V l = all<V>(lo);
#if defined(SN_ISA) && defined(__AVX512F__)
    if constexpr (__is_same(V, F32)) return (V)_mm512_max_ps((__m512)l, (__m512)x);
    if constexpr (__is_same(V, F64)) return (V)_mm512_max_pd((__m512d)l, (__m512d)x);
#elif defined(SN_ISA) && defined(__AVX2__)
    if constexpr (__is_same(V, F32)) return (V)__builtin_ia32_maxps256(l, x);
    if constexpr (__is_same(V, F64)) return (V)__builtin_ia32_maxpd256(l, x);
#endif
    return l > x ? l : x;
}

SN_MATH_END
