// The fixed reduction tree (design note 001), vectorised three ways: along contiguous rows, along
// contiguous columns, and between partial results. Every way executes the same tree per result.
#include "backend/cpu/kernels/reduce_lanes.h"

namespace sn::cpu::SN_ISA {

const ReduceKernels& reduce_kernels();

namespace {

// U sequences of n <= kReduceBlock elements at once, so that U chains of additions overlap.
template <class E, class Op, int U>
inline void reduce_blocks(const E* x, int64_t stride, int64_t n, Acc<E>* out) {
    using T = Acc<E>;
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
template <class E, int U>
inline void square_blocks(const E* x, int64_t stride, int64_t n, const Acc<E>* sum, Acc<E>* m2) {
    using T = Acc<E>;
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
            const Lanes<T> tail = load_tail(x + u * stride + i, n - i, T(0));
            std::memcpy(d, &tail, sizeof d);
            for (int64_t l = 0; l < n - i; ++l) d[l] = d[l] - mean[u];
            const Lanes<T> now = load_lanes(d);
            for (int k = 0; k < kParts<T>; ++k) {
                acc[u].v[k] = fma(now.v[k], now.v[k], acc[u].v[k]);
            }
        }
        m2[u] = fold<T, Sum>(acc[u]);
    }
}

struct Moments {};  // accumulates as Sum, with a second plane

// Rows that share a page, of at most so many elements, are reduced one after the other: the
// processor overlaps their chains by itself, and its prefetchers follow one stream, not four that
// jump within a page (256 columns out of memory on Zen 3: 3.2 ms against 4.4).
constexpr int64_t kShortRow = 512;
constexpr int64_t kPage = 4096;

template <class E, class Op>
void sums_of_blocks(const E* x, int64_t stride, int64_t count, int64_t n, Acc<E>* out) {
    int64_t i = 0;
    if (n > kShortRow || stride * static_cast<int64_t>(sizeof(E)) >= kPage) {
        for (; i + 4 <= count; i += 4) reduce_blocks<E, Op, 4>(x + i * stride, stride, n, out + i);
        for (; i + 2 <= count; i += 2) reduce_blocks<E, Op, 2>(x + i * stride, stride, n, out + i);
    }
    for (; i < count; ++i) reduce_blocks<E, Op, 1>(x + i * stride, stride, n, out + i);
}

template <class E, class Op>
void many_blocks(const E* x, int64_t stride, int64_t count, int64_t n, Acc<E>* out, Acc<E>* m2) {
    if constexpr (__is_same(Op, Moments)) {
        int64_t i = 0;
        for (; i + 4 <= count; i += 4) {
            sums_of_blocks<E, Sum>(x + i * stride, stride, 4, n, out + i);
            square_blocks<E, 4>(x + i * stride, stride, n, out + i, m2 + i);
        }
        for (; i + 2 <= count; i += 2) {
            sums_of_blocks<E, Sum>(x + i * stride, stride, 2, n, out + i);
            square_blocks<E, 2>(x + i * stride, stride, n, out + i, m2 + i);
        }
        for (; i < count; ++i) {
            sums_of_blocks<E, Sum>(x + i * stride, stride, 1, n, out + i);
            square_blocks<E, 1>(x + i * stride, stride, n, out + i, m2 + i);
        }
    } else {
        sums_of_blocks<E, Op>(x, stride, count, n, out);
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
template <class E, class Op>
void long_row(const E* x, int64_t n, Acc<E>* out, Acc<E>* m2) {
    using T = Acc<E>;
    T part[kReduceChunk / kReduceBlock], part_m2[kReduceChunk / kReduceBlock];
    const int64_t full = n / kReduceBlock, rest = n % kReduceBlock;
    many_blocks<E, Op>(x, kReduceBlock, full, kReduceBlock, part, part_m2);
    int64_t blocks = full;
    if (rest) {
        many_blocks<E, Op>(x + full * kReduceBlock, 0, 1, rest, part + full, part_m2 + full);
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

template <class E, class Op>
void rows(const void* x, int64_t stride, int64_t count, int64_t n, void* out, void* m2) {
    using T = Acc<E>;
    const E* p = static_cast<const E*>(x);
    if (n <= kReduceBlock) {
        many_blocks<E, Op>(p, stride, count, n, static_cast<T*>(out), static_cast<T*>(m2));
        return;
    }
    for (int64_t r = 0; r < count; ++r) {
        long_row<E, Op>(p + r * stride, n, static_cast<T*>(out) + r, static_cast<T*>(m2) + r);
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
inline constexpr bool kFloatExtreme =
    (__is_same(Op, Max) || __is_same(Op, Min)) && (__is_same(T, float) || __is_same(T, double));
// Maxima and minima of floats: the machine's instruction keeps an accumulator that is NaN and
// passes over a NaN that comes in. Those are looked for on the way, and put in afterwards.
template <class T, class Op>
inline void extreme_step4(T* __restrict acc, const T* const (&rows)[4], int64_t width) {
    using V = Vec<T>;
    constexpr int64_t w = kLanes<T>;
    const auto best = [](V x, V a) { return __is_same(Op, Max) ? raw_max(x, a) : raw_min(x, a); };
    NanSeen<T> nan;
    int64_t c = 0;
    for (; c + w <= width; c += w) {
        const V x = load<V>(rows[0] + c), y = load<V>(rows[1] + c);
        const V z = load<V>(rows[2] + c), u = load<V>(rows[3] + c);
        nan.look(x, y);
        nan.look(z, u);
        store<V>(acc + c, best(u, best(z, best(y, best(x, load<V>(acc + c))))));
    }
    for (; c < width; ++c) {
        for (const T* row : rows) acc[c] = Op::apply(acc[c], row[c]);
    }
    if (!nan.any()) return;
    for (const T* row : rows)
        for (c = 0; c < width; ++c) acc[c] = row[c] != row[c] ? row[c] : acc[c];
}
template <class T, class Op>
inline void column_step4(T* __restrict acc, const T* __restrict x, const T* __restrict y,
                         const T* __restrict z, const T* __restrict w, int64_t width) {
    if constexpr (kFloatExtreme<T, Op>) {
        extreme_step4<T, Op>(acc, {x, y, z, w}, width);
        return;
    }
    for (int64_t c = 0; c < width; ++c) {
        acc[c] = Op::apply(Op::apply(Op::apply(Op::apply(acc[c], x[c]), y[c]), z[c]), w[c]);
    }
}
// acc = ((acc + x[0]) + x[1]) ... of columns that are widened as they are read; a `start` begins
// with the identity.
template <class E, class Op, int N, bool start = false>
inline void half_step(float* acc, const E* const (&x)[N], int64_t width) {
    constexpr int64_t w = kLanes<float>;
    int64_t c = 0;
    for (; c < width; c += w) {
        const int64_t m = width - c < w ? width - c : w;
        F32 a = start    ? splat(Op::template identity<float>())
                : m == w ? load<F32>(acc + c)
                         : load_part<F32>(acc + c, m);
#pragma GCC unroll 4
        for (int k = 0; k < N; ++k) {
            const uint16_t* from = &x[k][c].bits;
            a = Op::apply(a, widen(m == w ? load<H16>(from) : load_part<H16>(from, m), E()));
        }
        if (m == w)
            store<F32>(acc + c, a);
        else
            store_part<F32>(acc + c, a, m);
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

// Halves: the same steps.
template <class E, class Op>
void reduce_half_columns(const E* base, const int64_t* offsets, int64_t n, int64_t width,
                         float* acc, float* out) {
    constexpr int64_t L = kReduceLanes;
    int64_t i = 0;
    for (; i < n && i < L; ++i)
        half_step<E, Op, 1, true>(acc + i * width, {base + offsets[i]}, width);
    for (; i + 4 * L <= n; i += 4 * L) {
        const int64_t* o = offsets + i;
        for (int l = 0; l < L; ++l) {
            half_step<E, Op, 4>(
                acc + l * width,
                {base + o[l], base + o[l + L], base + o[l + 2 * L], base + o[l + 3 * L]}, width);
        }
    }
    for (; i < n; ++i) half_step<E, Op, 1>(acc + (i % L) * width, {base + offsets[i]}, width);
    fold_columns<float, Op>(acc, n, width, out);
}

template <class E, class Op>
void reduce_columns(const E* base, const int64_t* offsets, int64_t n, int64_t width, Acc<E>* acc,
                    Acc<E>* out) {
    using T = Acc<E>;
    if constexpr (kIsHalf<E>) {
        reduce_half_columns<E, Op>(base, offsets, n, width, acc, out);
        return;
    } else {
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
}

template <class E>
void square_columns(const E* base, const int64_t* offsets, int64_t n, int64_t width, Acc<E>* acc,
                    const Acc<E>* sum, Acc<E>* m2) {
    using T = Acc<E>;
    T mean[kReduceStrip];
    for (int64_t c = 0; c < width; ++c) mean[c] = sum[c] / static_cast<T>(n);
    const int64_t lanes = n < kReduceLanes ? n : kReduceLanes;
    std::memset(acc, 0, static_cast<size_t>(lanes * width) * sizeof(T));
    for (int64_t i = 0; i < n; ++i) {
        T* __restrict a = acc + (i % kReduceLanes) * width;
        if constexpr (kIsHalf<E>) {
            constexpr int64_t w = kLanes<float>;
            for (int64_t c = 0; c < width; c += w) {
                const int64_t m = width - c < w ? width - c : w;
                const F32 wide = widen(load_part<H16>(&base[offsets[i] + c].bits, m), E());
                const F32 d = wide - load_part<F32>(mean + c, m);
                store_part<F32>(a + c, fma(d, d, load_part<F32>(a + c, m)), m);
            }
        } else {
            const T* __restrict x = base + offsets[i];
            for (int64_t c = 0; c < width; ++c) {
                const T d = x[c] - mean[c];
                a[c] = fused<T>(d, d, a[c]);
            }
        }
    }
    fold_columns<T, Sum>(acc, n, width, m2);
}

template <class E, class Op>
void cols(const void* base, const int64_t* offsets, int64_t n, int64_t count, void* scratch,
          void* out, void* m2) {
    using T = Acc<E>;
    // Moments read each block twice: a narrow strip keeps the block in the second-level cache.
    const int64_t strip = __is_same(Op, Moments) ? 128 : kReduceStrip;
    for (int64_t c = 0; c < count; c += strip) {
        const int64_t width = count - c < strip ? count - c : strip;
        const E* b = static_cast<const E*>(base) + c;
        T* o = static_cast<T*>(out) + c;
        T* acc = static_cast<T*>(scratch);
        if constexpr (__is_same(Op, Moments)) {
            reduce_columns<E, Sum>(b, offsets, n, width, acc, o);
            square_columns<E>(b, offsets, n, width, acc, o, static_cast<T*>(m2) + c);
        } else {
            reduce_columns<E, Op>(b, offsets, n, width, acc, o);
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

// Where the first element of `count` <= 64 is that equals v, or is NaN when v is; -1 if nowhere. A
// branch-free test of all of them vectorises; the exact position is found once.
template <class T>
inline int find_within(const T* p, int64_t count, T v) {
    const bool nan = v != v;
    int hit = 0;
    for (int64_t j = 0; j < count; ++j) hit |= (p[j] == v) | (nan & (p[j] != p[j]));
    if (!hit) return -1;
    for (int64_t j = 0;; ++j)
        if (p[j] == v || (nan && p[j] != p[j])) return static_cast<int>(j);
}

// Up to 64 elements in the form that they are computed in.
template <class E>
SN_INLINE const Acc<E>* widened(const E* p, int64_t count, Acc<E>* room) {
    if constexpr (kIsHalf<E>) {
        constexpr int64_t w = kLanes<float>;
        int64_t j = 0;
        for (; j + w <= count; j += w) store<F32>(room + j, widen(load<H16>(&p[j].bits), E()));
        if (j < count)
            store_part<F32>(room + j, widen(load_part<H16>(&p[j].bits, count - j), E()), count - j);
        return room;
    } else {
        return p;
    }
}

template <class E>
void find(const void* x, int64_t stride, int64_t count, int64_t n, const void* value,
          int64_t* index) {
    using T = Acc<E>;
    for (int64_t r = 0; r < count; ++r) {
        const E* p = static_cast<const E*>(x) + r * stride;
        const T v = static_cast<const T*>(value)[r];
        alignas(64) T room[64];
        int64_t found = -1;
        for (int64_t i = 0; i < n && found < 0; i += 64) {
            const int64_t width = n - i < 64 ? n - i : 64;
            const int at = find_within<T>(widened(p + i, width, room), width, v);
            if (at >= 0) found = i + at;
        }
        index[r] = found;
    }
}

template <class E>
void find_cols(const void* base, const int64_t* offsets, int64_t n, int64_t count,
               const void* value, int64_t* index) {
    using T = Acc<E>;
    constexpr int64_t kStrip = kIsHalf<E> ? 64 : kReduceStrip;
    for (int64_t c = 0; c < count; c += kStrip) {
        const int64_t width = count - c < kStrip ? count - c : kStrip;
        const T* __restrict v = static_cast<const T*>(value) + c;
        int32_t found[kStrip];
        alignas(64) T room[64];
        bool nan = false;
        for (int64_t j = 0; j < width; ++j) {
            found[j] = -1;
            nan |= v[j] != v[j];
        }
        for (int64_t i = n - 1; i >= 0; --i) {  // backwards: the last to write is the first index
            const T* __restrict p =
                widened(static_cast<const E*>(base) + offsets[i] + c, width, room);
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

// Integer sums in 64 bits. Inside a block 32 bits are enough for elements of up to 16.
template <class E>
void wide_rows(const void* x, int64_t stride, int64_t count, int64_t n, void* out, void*) {
    using Short = __typeof__(static_cast<E>(0) + 0);
    using Block = std::conditional_t<sizeof(E) <= 2, Short, int64_t>;
    for (int64_t r = 0; r < count; ++r) {
        const E* p = static_cast<const E*>(x) + r * stride;
        uint64_t total = 0;
        for (int64_t i = 0; i < n; i += kReduceBlock) {
            const int64_t end = n - i < kReduceBlock ? n : i + kReduceBlock;
            Block sum = 0;
            for (int64_t j = i; j < end; ++j) sum = static_cast<Block>(sum + p[j]);
            total += static_cast<uint64_t>(static_cast<int64_t>(sum));
        }
        static_cast<uint64_t*>(out)[r] = total;
    }
}
template <class E>
void wide_cols(const void* base, const int64_t* offsets, int64_t n, int64_t count, void*, void* out,
               void*) {
    using Block = std::conditional_t<sizeof(E) <= 2, int32_t, int64_t>;
    for (int64_t c = 0; c < count; c += kReduceStrip) {
        const int64_t width = count - c < kReduceStrip ? count - c : kReduceStrip;
        Block sum[kReduceStrip] = {};
        const E* b = static_cast<const E*>(base) + c;
        int64_t i = 0;
        for (; i + 4 <= n; i += 4) {
            const E *p = b + offsets[i], *q = b + offsets[i + 1], *r = b + offsets[i + 2],
                    *s = b + offsets[i + 3];
            for (int64_t j = 0; j < width; ++j)
                sum[j] = static_cast<Block>(sum[j] + (Block(p[j]) + Block(q[j])) +
                                            (Block(r[j]) + Block(s[j])));
        }
        for (; i < n; ++i) {
            const E* p = b + offsets[i];
            for (int64_t j = 0; j < width; ++j) sum[j] = static_cast<Block>(sum[j] + p[j]);
        }
        uint64_t* o = static_cast<uint64_t*>(out) + c;
        for (int64_t j = 0; j < width; ++j)
            o[j] = static_cast<uint64_t>(static_cast<int64_t>(sum[j]));
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

template <class E>
constexpr void fill_half(ReduceKernels& k, DType dtype) {
    const int d = static_cast<int>(dtype);
    const auto one = [&](Accumulate what, ReduceKernels::Rows r, ReduceKernels::Cols c) {
        k.rows[static_cast<int>(what)][d] = r;
        k.cols[static_cast<int>(what)][d] = c;
    };
    one(Accumulate::kSum, rows<E, Sum>, cols<E, Sum>);
    one(Accumulate::kProd, rows<E, Prod>, cols<E, Prod>);
    one(Accumulate::kMax, rows<E, Max>, cols<E, Max>);
    one(Accumulate::kMin, rows<E, Min>, cols<E, Min>);
    one(Accumulate::kMoments, rows<E, Moments>, cols<E, Moments>);
    k.find[d] = find<E>;
    k.find_cols[d] = find_cols<E>;
}
template <class E>
constexpr void fill_wide(ReduceKernels& k, DType dtype) {
    k.wide_rows[static_cast<int>(dtype)] = wide_rows<E>;
    k.wide_cols[static_cast<int>(dtype)] = wide_cols<E>;
}

constexpr ReduceKernels make() {
    ReduceKernels k{};
    fill_half<F16Bits>(k, DType::kF16);
    fill_half<BF16Bits>(k, DType::kBF16);
    fill_wide<uint8_t>(k, DType::kBool);
    fill_wide<int8_t>(k, DType::kI8);
    fill_wide<int16_t>(k, DType::kI16);
    fill_wide<int32_t>(k, DType::kI32);
    fill_wide<uint8_t>(k, DType::kU8);
    fill_wide<uint16_t>(k, DType::kU16);
    fill_wide<uint32_t>(k, DType::kU32);
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
