#pragma once
// What the sources of fused programs (program_source.cpp) are written with.
#include "device.cuh"

namespace sn {

// ---- division by a number that the host knows, without one

// For numbers below 2^31: (n + high half of n * magic) >> shift.
struct Divider {
    long long size;
    uint32_t magic, shift;
};
template <class Index>
SN_DEVICE Index quotient(Index n, const Divider& d) {
    if constexpr (sizeof(Index) == 4)
        return (static_cast<uint32_t>((static_cast<uint64_t>(n) * d.magic) >> 32) + n) >> d.shift;
    else
        return n / static_cast<Index>(d.size);
}

// ---- several elements in one access

template <class T, int n>
struct alignas(n * sizeof(T)) Pack {
    T x[n];
};

// ---- the next f16 or bf16: patterns are counted, the next float rounded would be another

template <class T>
SN_DEVICE float next_half(float x, float y) {
    if (x != x) return x;
    if (y != y || x == y) return y;
    T half = narrow<T>(x);
    const bool away = (x < y) == (x > 0.0f);  // the magnitude grows
    const int bits = half.bits;
    half.bits = static_cast<uint16_t>(x == 0.0f ? (y < 0.0f ? 0x8001 : 1)
                                      : away    ? bits + 1
                                                : bits - 1);
    return widen(half);
}

// ---- reductions: the tree of design note 001

// The numbers are those of cpu::ReduceKind.
enum Reduction { kSum, kProd, kMax, kMin, kAny, kAll, kMean, kVar };

inline constexpr int kReduceBlock = 1024, kReduceLanes = 16;

template <int kind, class T>
SN_DEVICE T identity() {
    if constexpr (kind == kProd || kind == kAll)
        return T(1);
    else if constexpr (kind == kMax)
        return lowest<T>();
    else if constexpr (kind == kMin)
        return highest<T>();
    else
        return T(0);
}
template <int kind, class T>
SN_DEVICE T combine(T a, T x) {
    if constexpr (kind == kMax)
        return x > a || x != x ? x : a;
    else if constexpr (kind == kMin)
        return x < a || x != x ? x : a;
    else if constexpr (kind == kAny)
        return static_cast<T>(a != T(0) || x != T(0));
    else if constexpr (kind == kAll)
        return static_cast<T>(a != T(0) && x != T(0));
    else if constexpr (is_floating<T> && kind == kProd)
        return a * x;
    else if constexpr (is_floating<T>)
        return a + x;
    else if constexpr (kind == kProd)  // integers wrap
        return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(x));
    else
        return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(x));
}

// Of the values of 16 neighbouring threads; the first has the result.
template <int kind, class T>
SN_DEVICE T fold_lanes(T x) {
    SN_UNROLL(4)
    for (int half = kReduceLanes / 2; half > 0; half /= 2)
        x = combine<kind>(x, warp_shuffle_down(x, half, kReduceLanes));
    return x;
}
template <class T>
SN_DEVICE T first_lane(T x) {
    return warp_shuffle(x, 0, kReduceLanes);
}

// A stretch of a row of which a variance is asked: its sum, and the squares about its mean.
template <class T>
struct Moments {
    T sum, squares;
    long long n;
};
template <class T>
SN_DEVICE Moments<T> first_lane(const Moments<T>& m) {
    return {first_lane(m.sum), first_lane(m.squares), m.n};
}
SN_DEVICE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SN_DEVICE double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }

template <int kind, class T>
SN_DEVICE T merge(T a, T b) {
    return combine<kind>(a, b);
}
template <int kind, class T>
SN_DEVICE Moments<T> merge(const Moments<T>& a, const Moments<T>& b) {
    const double na = static_cast<double>(a.n), nb = static_cast<double>(b.n);
    const T weight = static_cast<T>(na * nb / (na + nb));
    const T delta = b.sum / static_cast<T>(b.n) - a.sum / static_cast<T>(a.n);
    return {a.sum + b.sum, fused(delta * delta, weight, a.squares + b.squares), a.n + b.n};
}

// Merges what is given, in order, pairwise: neighbours, then neighbours of those, and one without a
// partner moves up as it is. Level k holds the 2^k last ones that wait for as many more.
template <int kind, class P>
struct Tree {
    P level[32];
    uint32_t count = 0;

    SN_DEVICE void push(P p) {
        int k = 0;
        SN_UNROLL(1)
        for (; count >> k & 1; ++k) p = merge<kind>(level[k], p);
        level[k] = p;
        ++count;
    }
    SN_DEVICE P result() const {
        int k = 0;
        SN_UNROLL(1)
        while (k < 31 && !(count >> k & 1)) ++k;
        P p = level[k];
        SN_UNROLL(1)
        for (++k; k < 32 && count >> k; ++k)
            if (count >> k & 1) p = merge<kind>(level[k], p);
        return p;
    }
};

// The result of a row from those of its parts: `parts` groups of 16 threads made one each, of which
// the first `used` had something. All of them get it.
template <int kind, class P>
SN_DEVICE void give_part(const Tree<kind, P>& own, P* shared, int group, int lane) {
    if (lane == 0 && own.count) shared[group] = own.result();
}
template <int kind, class P>
SN_DEVICE P take_parts(const P* shared, int first, int used) {
    Tree<kind, P> all;
    SN_UNROLL(1)
    for (int k = 0; k < used; ++k) all.push(shared[first + k]);
    return all.result();
}

// How many elements of a row of `columns` a lane meets in the block that its first one begins.
template <class Index>
SN_DEVICE int lane_count(Index columns, Index first) {
    if (first >= columns) return 0;
    const Index left = (columns - first + (kReduceLanes - 1)) / kReduceLanes;
    return left < kReduceBlock / kReduceLanes ? static_cast<int>(left)
                                              : kReduceBlock / kReduceLanes;
}

}  // namespace sn
