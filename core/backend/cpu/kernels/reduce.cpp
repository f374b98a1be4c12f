// The fixed reduction tree (design note 001), vectorised three ways: along contiguous rows, along
// contiguous columns, and between partial results. Every way executes the same tree per result.
#include <cstring>
#include <limits>

#include "backend/cpu/reduce_kernels.h"
#include "backend/cpu/simd.h"

namespace sn::cpu::SN_ISA {

const ReduceKernels& reduce_kernels();

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

template <class T>
struct Lanes {
    VecN<T, kWidth<T>> v[kParts<T>];
};

template <class T>
SN_INLINE Lanes<T> load_lanes(const T* p) {
    Lanes<T> r;
    std::memcpy(&r, p, sizeof(r));
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

// U sequences of n <= kReduceBlock elements at once, so that U chains of additions overlap.
template <class T, class Op, int U>
inline void reduce_blocks(const T* x, int64_t stride, int64_t n, T* out) {
    Chain<T, Op> acc[U][kParts<T>];
    int64_t i = 0;
    for (; i + kReduceLanes <= n; i += kReduceLanes) {
#pragma GCC unroll 4
        for (int u = 0; u < U; ++u) {
            const Lanes<T> now = load_lanes(x + u * stride + i);
            for (int k = 0; k < kParts<T>; ++k) acc[u][k].step(now.v[k]);
        }
    }
#pragma GCC unroll 4
    for (int u = 0; u < U; ++u) {
        if (i < n) {
            const Lanes<T> now = load_tail(x + u * stride + i, n - i, Op::template identity<T>());
            for (int k = 0; k < kParts<T>; ++k) acc[u][k].step(now.v[k]);
        }
        Lanes<T> lanes;
        for (int k = 0; k < kParts<T>; ++k) lanes.v[k] = acc[u][k].value();
        out[u] = fold<T, Op>(lanes);
    }
}

// Second pass of moments: the squares about each sequence's mean.
template <class T, int U>
inline void square_blocks(const T* x, int64_t stride, int64_t n, const T* sum, T* m2) {
    using V = VecN<T, kWidth<T>>;
    Lanes<T> acc[U];
    T mean[U];
    for (int u = 0; u < U; ++u) {
        acc[u] = Lanes<T>{};
        mean[u] = sum[u] / static_cast<T>(n);
    }
    int64_t i = 0;
    for (; i + kReduceLanes <= n; i += kReduceLanes) {
#pragma GCC unroll 4
        for (int u = 0; u < U; ++u) {
            const Lanes<T> now = load_lanes(x + u * stride + i);
            for (int k = 0; k < kParts<T>; ++k) {
                const V d = now.v[k] - mean[u];
                acc[u].v[k] = fma(d, d, acc[u].v[k]);
            }
        }
    }
    for (int u = 0; u < U; ++u) {
        if (i < n) {
            alignas(64) T d[kReduceLanes] = {};
            for (int64_t l = 0; l < n - i; ++l) d[l] = x[u * stride + i + l] - mean[u];
            const Lanes<T> now = load_lanes(d);
            for (int k = 0; k < kParts<T>; ++k) {
                acc[u].v[k] = fma(now.v[k], now.v[k], acc[u].v[k]);
            }
        }
        m2[u] = fold<T, Sum>(acc[u]);
    }
}

struct Moments {};  // accumulates as Sum, with a second plane

template <class T, class Op>
void many_blocks(const T* x, int64_t stride, int64_t count, int64_t n, T* out, T* m2) {
    int64_t i = 0;
    if constexpr (__is_same(Op, Moments)) {
        for (; i + 4 <= count; i += 4) {
            reduce_blocks<T, Sum, 4>(x + i * stride, stride, n, out + i);
            square_blocks<T, 4>(x + i * stride, stride, n, out + i, m2 + i);
        }
        for (; i + 2 <= count; i += 2) {
            reduce_blocks<T, Sum, 2>(x + i * stride, stride, n, out + i);
            square_blocks<T, 2>(x + i * stride, stride, n, out + i, m2 + i);
        }
        for (; i < count; ++i) {
            reduce_blocks<T, Sum, 1>(x + i * stride, stride, n, out + i);
            square_blocks<T, 1>(x + i * stride, stride, n, out + i, m2 + i);
        }
    } else {
        for (; i + 4 <= count; i += 4) {
            reduce_blocks<T, Op, 4>(x + i * stride, stride, n, out + i);
        }
        for (; i + 2 <= count; i += 2) {
            reduce_blocks<T, Op, 2>(x + i * stride, stride, n, out + i);
        }
        for (; i < count; ++i) reduce_blocks<T, Op, 1>(x + i * stride, stride, n, out + i);
    }
}

template <class T, class Op>
void merge(T* __restrict a, T* __restrict a_m2, const T* __restrict b, const T* __restrict b_m2,
           int64_t count, int64_t na, int64_t nb) {
    if constexpr (__is_same(Op, Moments)) {
        // Chan's update in the form that carries sums, so that the mean is exactly sum / n.
        const T fa = static_cast<T>(na), fb = static_cast<T>(nb);
        const T weight = static_cast<T>(static_cast<double>(na) * static_cast<double>(nb) /
                                        static_cast<double>(na + nb));
        for (int64_t i = 0; i < count; ++i) {
            const T delta = b[i] / fb - a[i] / fa;
            a_m2[i] = fused<T>(delta * delta, weight, a_m2[i] + b_m2[i]);
            a[i] = a[i] + b[i];
        }
    } else {
        for (int64_t i = 0; i < count; ++i) a[i] = Op::apply(a[i], b[i]);
    }
}

// One row of several blocks: partials, then the pairwise tree over the block index. A block without
// a partner moves up as it is, which equals padding with the identity.
template <class T, class Op>
void long_row(const T* x, int64_t n, T* out, T* m2) {
    T part[kReduceChunk / kReduceBlock], part_m2[kReduceChunk / kReduceBlock];
    const int64_t full = n / kReduceBlock, rest = n % kReduceBlock;
    many_blocks<T, Op>(x, kReduceBlock, full, kReduceBlock, part, part_m2);
    int64_t blocks = full;
    if (rest) {
        many_blocks<T, Op>(x + full * kReduceBlock, 0, 1, rest, part + full, part_m2 + full);
        ++blocks;
    }
    for (int64_t width = 1; width < blocks; width *= 2) {
        for (int64_t i = 0; i + width < blocks; i += 2 * width) {
            const int64_t right = (i + 2 * width) * kReduceBlock;
            merge<T, Op>(part + i, part_m2 + i, part + i + width, part_m2 + i + width, 1,
                         width * kReduceBlock,
                         (right < n ? right : n) - (i + width) * kReduceBlock);
        }
    }
    *out = part[0];
    if constexpr (__is_same(Op, Moments)) *m2 = part_m2[0];
}

template <class T, class Op>
void rows(const void* x, int64_t stride, int64_t count, int64_t n, void* out, void* m2) {
    const T* p = static_cast<const T*>(x);
    if (n <= kReduceBlock) {
        many_blocks<T, Op>(p, stride, count, n, static_cast<T*>(out), static_cast<T*>(m2));
        return;
    }
    for (int64_t r = 0; r < count; ++r) {
        long_row<T, Op>(p + r * stride, n, static_cast<T*>(out) + r, static_cast<T*>(m2) + r);
    }
}

// ---- columns
// -------------------------------------------------------------------------------------

template <class T, class Op>
inline void column_step(T* __restrict acc, const T* __restrict x, int64_t width) {
    for (int64_t c = 0; c < width; ++c) acc[c] = Op::apply(acc[c], x[c]);
}
template <class T, class Op>
inline void column_step2(T* __restrict acc, const T* __restrict x, const T* __restrict y,
                         int64_t width) {
    for (int64_t c = 0; c < width; ++c) acc[c] = Op::apply(Op::apply(acc[c], x[c]), y[c]);
}
template <class T, class Op>
inline void column_step4(T* __restrict acc, const T* __restrict x, const T* __restrict y,
                         const T* __restrict z, const T* __restrict w, int64_t width) {
    for (int64_t c = 0; c < width; ++c) {
        acc[c] = Op::apply(Op::apply(Op::apply(Op::apply(acc[c], x[c]), y[c]), z[c]), w[c]);
    }
}
template <class T, class Op>
inline void column_start(T* __restrict acc, const T* __restrict x, int64_t width) {
    for (int64_t c = 0; c < width; ++c) acc[c] = Op::apply(Op::template identity<T>(), x[c]);
}

// acc is [16][width]. Lanes past n were never started: they hold the identity in spirit.
template <class T, class Op>
void fold_columns(T* acc, int64_t n, int64_t width, T* out) {
    for (int half = kReduceLanes / 2; half >= 1; half /= 2) {
        for (int l = 0; l < half && l + half < n; ++l) {
            column_step<T, Op>(acc + l * width, acc + (l + half) * width, width);
        }
    }
    std::memcpy(out, acc, static_cast<size_t>(width) * sizeof(T));
}

template <class T, class Op>
void reduce_columns(const T* base, const int64_t* offsets, int64_t n, int64_t width, T* acc,
                    T* out) {
    int64_t i = 0;
    for (; i < n && i < kReduceLanes; ++i) {
        column_start<T, Op>(acc + i * width, base + offsets[i], width);
    }
    for (; i + 4 * kReduceLanes <= n; i += 4 * kReduceLanes) {
        const int64_t* o = offsets + i;
        for (int l = 0; l < kReduceLanes; ++l) {
            column_step4<T, Op>(acc + l * width, base + o[l], base + o[l + kReduceLanes],
                                base + o[l + 2 * kReduceLanes], base + o[l + 3 * kReduceLanes],
                                width);
        }
    }
    for (; i + 2 * kReduceLanes <= n; i += 2 * kReduceLanes) {
        for (int l = 0; l < kReduceLanes; ++l) {
            column_step2<T, Op>(acc + l * width, base + offsets[i + l],
                                base + offsets[i + l + kReduceLanes], width);
        }
    }
    for (; i < n; ++i) {
        column_step<T, Op>(acc + (i % kReduceLanes) * width, base + offsets[i], width);
    }
    fold_columns<T, Op>(acc, n, width, out);
}

template <class T>
void square_columns(const T* base, const int64_t* offsets, int64_t n, int64_t width, T* acc,
                    const T* sum, T* m2) {
    T mean[kReduceStrip];
    for (int64_t c = 0; c < width; ++c) mean[c] = sum[c] / static_cast<T>(n);
    const int64_t lanes = n < kReduceLanes ? n : kReduceLanes;
    std::memset(acc, 0, static_cast<size_t>(lanes * width) * sizeof(T));
    for (int64_t i = 0; i < n; ++i) {
        T* __restrict a = acc + (i % kReduceLanes) * width;
        const T* __restrict x = base + offsets[i];
        for (int64_t c = 0; c < width; ++c) {
            const T d = x[c] - mean[c];
            a[c] = fused<T>(d, d, a[c]);
        }
    }
    fold_columns<T, Sum>(acc, n, width, m2);
}

template <class T, class Op>
void cols(const void* base, const int64_t* offsets, int64_t n, int64_t count, void* scratch,
          void* out, void* m2) {
    // Moments read each block twice: a narrow strip keeps the block in the second-level cache.
    const int64_t strip = __is_same(Op, Moments) ? 128 : kReduceStrip;
    for (int64_t c = 0; c < count; c += strip) {
        const int64_t width = count - c < strip ? count - c : strip;
        const T* b = static_cast<const T*>(base) + c;
        T* o = static_cast<T*>(out) + c;
        T* acc = static_cast<T*>(scratch);
        if constexpr (__is_same(Op, Moments)) {
            reduce_columns<T, Sum>(b, offsets, n, width, acc, o);
            square_columns<T>(b, offsets, n, width, acc, o, static_cast<T*>(m2) + c);
        } else {
            reduce_columns<T, Op>(b, offsets, n, width, acc, o);
        }
    }
}

// ---- the rest
// ------------------------------------------------------------------------------------

template <class T, class Op>
void merge_erased(void* a, void* a_m2, const void* b, const void* b_m2, int64_t count, int64_t na,
                  int64_t nb) {
    merge<T, Op>(static_cast<T*>(a), static_cast<T*>(a_m2), static_cast<const T*>(b),
                 static_cast<const T*>(b_m2), count, na, nb);
}

template <class T>
void find(const void* x, int64_t stride, int64_t count, int64_t n, const void* value,
          int64_t* index) {
    for (int64_t r = 0; r < count; ++r) {
        const T* p = static_cast<const T*>(x) + r * stride;
        const T v = static_cast<const T*>(value)[r];
        const bool nan = v != v;
        int64_t found = -1;
        for (int64_t i = 0; i < n && found < 0; i += 64) {
            const int64_t width = n - i < 64 ? n - i : 64;
            // A branch-free test per 64 elements vectorises; the exact position is found once.
            int hit = 0;
            for (int64_t j = 0; j < width; ++j) {
                hit |= (p[i + j] == v) | (nan & (p[i + j] != p[i + j]));
            }
            if (!hit) continue;
            for (int64_t j = 0; j < width; ++j) {
                if (p[i + j] == v || (nan && p[i + j] != p[i + j])) {
                    found = i + j;
                    break;
                }
            }
        }
        index[r] = found;
    }
}

template <class T>
void find_cols(const void* base, const int64_t* offsets, int64_t n, int64_t count,
               const void* value, int64_t* index) {
    for (int64_t c = 0; c < count; c += kReduceStrip) {
        const int64_t width = count - c < kReduceStrip ? count - c : kReduceStrip;
        const T* __restrict v = static_cast<const T*>(value) + c;
        int32_t found[kReduceStrip];
        bool nan = false;
        for (int64_t j = 0; j < width; ++j) {
            found[j] = -1;
            nan |= v[j] != v[j];
        }
        for (int64_t i = n - 1; i >= 0; --i) {  // backwards: the last to write is the first index
            const T* __restrict p = static_cast<const T*>(base) + offsets[i] + c;
            const int32_t position = static_cast<int32_t>(i);
            if (!nan) {
                for (int64_t j = 0; j < width; ++j) found[j] = p[j] == v[j] ? position : found[j];
                continue;
            }
            for (int64_t j = 0; j < width; ++j) {
                const bool hit = (p[j] == v[j]) | ((v[j] != v[j]) & (p[j] != p[j]));
                found[j] = hit ? position : found[j];
            }
        }
        for (int64_t j = 0; j < width; ++j) index[c + j] = found[j];
    }
}

template <class T>
void divide(void* x, int64_t count, double by) {
    T* p = static_cast<T*>(x);
    const T d = static_cast<T>(by);
    for (int64_t i = 0; i < count; ++i) p[i] = p[i] / d;
}

template <class T, class Op>
constexpr void fill_one(ReduceKernels& k, Accumulate what, DType dtype) {
    k.rows[static_cast<int>(what)][static_cast<int>(dtype)] = rows<T, Op>;
    k.cols[static_cast<int>(what)][static_cast<int>(dtype)] = cols<T, Op>;
    k.merge[static_cast<int>(what)][static_cast<int>(dtype)] = merge_erased<T, Op>;
}

// U: the unsigned twin of an integer type, so that sums and products wrap.
template <class T, class U>
constexpr void fill(ReduceKernels& k, DType dtype) {
    fill_one<U, Sum>(k, Accumulate::kSum, dtype);
    fill_one<U, Prod>(k, Accumulate::kProd, dtype);
    fill_one<T, Max>(k, Accumulate::kMax, dtype);
    fill_one<T, Min>(k, Accumulate::kMin, dtype);
    k.find[static_cast<int>(dtype)] = find<T>;
    k.find_cols[static_cast<int>(dtype)] = find_cols<T>;
    if constexpr (std::numeric_limits<T>::has_infinity) {
        fill_one<T, Moments>(k, Accumulate::kMoments, dtype);
        k.divide[static_cast<int>(dtype)] = divide<T>;
    }
}

constexpr ReduceKernels make() {
    ReduceKernels k{};
    fill<uint8_t, uint8_t>(k, DType::kBool);
    fill_one<uint8_t, Any>(k, Accumulate::kAny, DType::kBool);
    fill_one<uint8_t, All>(k, Accumulate::kAll, DType::kBool);
    fill<int8_t, uint8_t>(k, DType::kI8);
    fill<int16_t, uint16_t>(k, DType::kI16);
    fill<int32_t, uint32_t>(k, DType::kI32);
    fill<int64_t, uint64_t>(k, DType::kI64);
    fill<uint8_t, uint8_t>(k, DType::kU8);
    fill<uint16_t, uint16_t>(k, DType::kU16);
    fill<uint32_t, uint32_t>(k, DType::kU32);
    fill<uint64_t, uint64_t>(k, DType::kU64);
    fill<float, float>(k, DType::kF32);
    fill<double, double>(k, DType::kF64);
    return k;
}

constinit const ReduceKernels kKernels = make();

}  // namespace

const ReduceKernels& reduce_kernels() { return kKernels; }

}  // namespace sn::cpu::SN_ISA
