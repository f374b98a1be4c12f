#pragma once
// What the reduction tree is made of (reduce.cpp): how elements combine, the 16 lanes of a block as
// native vectors, and how lanes are loaded and folded.
#include <cstring>
#include <limits>
#include <type_traits>

#include "backend/cpu/reduce_kernels.h"
#include "backend/cpu/simd.h"

namespace sn::cpu::SN_ISA {
namespace {

// Lanes of one native vector (at most 16), and native vectors in the 16 logical lanes.
template <class T>
inline constexpr int kWidth = kLanes<T> < kReduceLanes ? kLanes<T> : kReduceLanes;
template <class T>
inline constexpr int kParts = kReduceLanes / kWidth<T>;

template <class T>
inline T fused(T a, T b, T c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    if constexpr (sizeof(T) == 4)
        return __builtin_fmaf(a, b, c);
    else
        return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}
// Combining steps, for vectors and scalars alike. The sum's identity is +0: an accumulator that
// starts there is never -0, so that adding a padding zero keeps its bits.
struct Sum {
    template <class T>
    static constexpr T identity() {
        return 0;
    }
    template <class V>
    static V apply(V a, V x) {
        return static_cast<V>(a + x);
    }
};
struct Prod {
    template <class T>
    static constexpr T identity() {
        return 1;
    }
    template <class V>
    static V apply(V a, V x) {
        return static_cast<V>(a * x);
    }
};
struct Max {  // NaN wins, and an accumulator that is NaN stays
    template <class T>
    static constexpr T identity() {
        return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                    : std::numeric_limits<T>::lowest();
    }
    template <class V>
    static V apply(V a, V x) {
        return ((x > a) | (x != x)) ? x : a;
    }
};
struct Min {
    template <class T>
    static constexpr T identity() {
        return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity()
                                                    : std::numeric_limits<T>::max();
    }
    template <class V>
    static V apply(V a, V x) {
        return ((x < a) | (x != x)) ? x : a;
    }
};
struct Any {
    template <class T>
    static constexpr T identity() {
        return 0;
    }
    template <class V>
    static V apply(V a, V x) {
        return static_cast<V>(a | x);
    }
};
struct All {
    template <class T>
    static constexpr T identity() {
        return 1;
    }
    template <class V>
    static V apply(V a, V x) {
        return static_cast<V>(a & x);
    }
};

// Vector steps of a chain. For max and min of floats the comparison that finds NaN stays out of the
// chain: it only raises a flag, and a flagged lane becomes NaN at the end. `x > a ? x : a` is one
// instruction, which GCC does not find by itself.
template <class V>
SN_INLINE V raw_max(V x, V a) {
#if defined(__AVX512F__)
    if constexpr (__is_same(V, F32)) {
        return (V)__builtin_ia32_maxps512_mask(x, a, a, (unsigned short)-1, 4);
    }
#elif defined(__AVX2__)
    if constexpr (__is_same(V, F32)) return (V)__builtin_ia32_maxps256(x, a);
#endif
    return x > a ? x : a;
}
template <class V>
SN_INLINE V raw_min(V x, V a) {
#if defined(__AVX512F__)
    if constexpr (__is_same(V, F32)) {
        return (V)__builtin_ia32_minps512_mask(x, a, a, (unsigned short)-1, 4);
    }
#elif defined(__AVX2__)
    if constexpr (__is_same(V, F32)) return (V)__builtin_ia32_minps256(x, a);
#endif
    return x < a ? x : a;
}
// Whether a NaN has been among the elements; one comparison looks at two vectors.
template <class T>
struct NanSeen {
    using V = Vec<T>;
#if defined(__AVX512F__)
    unsigned seen = 0;
    SN_INLINE void look(V x, V y) {
        if constexpr (sizeof(T) == 4)
            seen |= __builtin_ia32_cmpps512_mask(x, y, 3, (unsigned short)-1, 4);
        else
            seen |= __builtin_ia32_cmppd512_mask(x, y, 3, (unsigned char)-1, 4);
    }
    bool any() const { return seen != 0; }
#else
    decltype(V{} != V{}) seen{};
    SN_INLINE void look(V x, V y) {
#if defined(__AVX2__)
        if constexpr (sizeof(T) == 4)
            seen |= (decltype(seen))__builtin_ia32_cmpps256(x, y, 3);
        else
            seen |= (decltype(seen))__builtin_ia32_cmppd256(x, y, 3);
#else
        seen |= (x != x) | (y != y);
#endif
    }
    bool any() const {
        bool found = false;
        for (int l = 0; l < kLanes<T>; ++l) found |= seen[l] != 0;
        return found;
    }
#endif
};
template <class T, class Op>
struct Chain {
    using V = VecN<T, kWidth<T>>;
    V acc = V{} + Op::template identity<T>();
    SN_INLINE void step(V x) { acc = Op::apply(acc, x); }
    SN_INLINE V value() const { return acc; }
};
template <class T, class Op>
struct ExtremeChain {
    using V = VecN<T, kWidth<T>>;
    V acc = V{} + Op::template identity<T>();
    V nan = V{};  // the last NaN seen
    SN_INLINE void step(V x) {
        nan = x != x ? x : nan;
        acc = __is_same(Op, Max) ? raw_max(x, acc) : raw_min(x, acc);
    }
    SN_INLINE V value() const { return nan != nan ? nan : acc; }
};
template <>
struct Chain<float, Max> : ExtremeChain<float, Max> {};
template <>
struct Chain<float, Min> : ExtremeChain<float, Min> {};
template <>
struct Chain<double, Max> : ExtremeChain<double, Max> {};
template <>
struct Chain<double, Min> : ExtremeChain<double, Min> {};

// What an element is in memory, where it is not what it is computed in.
struct F16Bits {
    uint16_t bits;
};
struct BF16Bits {
    uint16_t bits;
};
SN_INLINE F32 widen(H16 h, F16Bits) { return f16_to_f32(h); }
SN_INLINE F32 widen(H16 h, BF16Bits) { return bf16_to_f32(h); }
template <class E>
inline constexpr bool kIsHalf = __is_same(E, F16Bits) || __is_same(E, BF16Bits);
// What E is accumulated in.
template <class E>
struct AccumulatedAs {
    using Type = E;
};
template <>
struct AccumulatedAs<F16Bits> {
    using Type = float;
};
template <>
struct AccumulatedAs<BF16Bits> {
    using Type = float;
};
template <class E>
using Acc = typename AccumulatedAs<E>::Type;

template <class T>
struct Lanes {
    VecN<T, kWidth<T>> v[kParts<T>];
};

template <class E>
SN_INLINE Lanes<float> load_half_lanes(const E* p) {
    Lanes<float> r;
    for (int k = 0; k < kParts<float>; ++k)
        r.v[k] = widen(load<H16>(&p[k * kWidth<float>].bits), E());
    return r;
}
SN_INLINE Lanes<float> load_lanes(const F16Bits* p) { return load_half_lanes(p); }
SN_INLINE Lanes<float> load_lanes(const BF16Bits* p) { return load_half_lanes(p); }

template <class T>
SN_INLINE Lanes<T> load_lanes(const T* p) {
    Lanes<T> r;
    // A vector at a time: one copy of all 16 lanes goes by way of memory in 16-byte pieces where
    // vectors are narrower (GCC 12), and each addition then waits for the stores.
    for (int k = 0; k < kParts<T>; ++k) r.v[k] = load<VecN<T, kWidth<T>>>(p + k * kWidth<T>);
    return r;
}

// Pairwise over the lanes: (l, l + N/2), then (l, l + N/4), ...
template <class T, class Op, int N>
inline T fold_vector(VecN<T, N> v) {
    if constexpr (N == 1) {
        return v[0];
    } else {
        VecN<T, N / 2> low, high;
        std::memcpy(&low, &v, sizeof(low));
        std::memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof(low), sizeof(high));
        return fold_vector<T, Op, N / 2>(Op::apply(low, high));
    }
}
template <class T, class Op>
inline T fold(Lanes<T> a) {
    for (int half = kParts<T> / 2; half >= 1; half /= 2) {
        for (int k = 0; k < half; ++k) a.v[k] = Op::apply(a.v[k], a.v[k + half]);
    }
    return fold_vector<T, Op, kWidth<T>>(a.v[0]);
}

// The last `count` < 16 elements, and `fill` behind them. Rows of a few elements (classes, heads)
// are nothing but a tail: f32 uses masked loads where they exist.
template <class T>
SN_INLINE Lanes<T> load_tail(const T* p, int64_t count, T fill) {
#if defined(__AVX512F__)
    if constexpr (__is_same(T, float)) {
        const auto mask = static_cast<unsigned short>((1u << count) - 1);
        return {{(F32)__builtin_ia32_loadups512_mask(p, splat(fill), mask)}};
    }
#elif defined(__AVX2__)
    if constexpr (__is_same(T, float)) {
        alignas(64) static constexpr int32_t kMask[32] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                                          -1, -1, -1, -1, -1, -1, -1, -1};
        Lanes<T> r;
        for (int k = 0; k < 2; ++k) {
            const I32 mask = load<I32>(kMask + 16 - count + 8 * k);
            const F32 v = (F32)__builtin_ia32_maskloadps256((const F32*)(p + 8 * k), mask);
            r.v[k] = mask ? v : splat(fill);
        }
        return r;
    }
#endif
    alignas(64) T buffer[kReduceLanes];
    for (int l = 0; l < kReduceLanes; ++l) buffer[l] = fill;
    for (int64_t l = 0; l < count; ++l) buffer[l] = p[l];
    return load_lanes(buffer);
}

template <class E>
SN_INLINE Lanes<float> load_half_tail(const E* p, int64_t count, float fill) {
    E raw[kReduceLanes] = {};
    std::memcpy(raw, p, static_cast<size_t>(count) * sizeof(E));
    alignas(64) float wide[kReduceLanes];
    const Lanes<float> all = load_half_lanes(raw);
    std::memcpy(wide, &all, sizeof wide);
    return load_tail(wide, count, fill);
}
SN_INLINE Lanes<float> load_tail(const F16Bits* p, int64_t count, float fill) {
    return load_half_tail(p, count, fill);
}
SN_INLINE Lanes<float> load_tail(const BF16Bits* p, int64_t count, float fill) {
    return load_half_tail(p, count, fill);
}

}  // namespace
}  // namespace sn::cpu::SN_ISA
