// Reductions by the fixed tree. SN_KIND: what is done, as in ReduceKind; SN_S: elements; SN_R:
// elements of the result.
#include "device.cuh"
#include "reduce_args.h"

using namespace sn::cuda;

enum Kind { kSum, kProd, kMax, kMin, kAny, kAll, kMean, kVar, kArgMax, kArgMin };
inline constexpr bool kIndex = SN_KIND == kArgMax || SN_KIND == kArgMin;
inline constexpr bool kLargest = SN_KIND == kMax || SN_KIND == kArgMax;

template <bool index>
struct Accumulated {  // the numbers are combined in the result's type
    using type = Compute<SN_R>;
};
template <>
struct Accumulated<true> {
    using type = Compute<SN_S>;
};
using A = typename Accumulated<kIndex>::type;

// What a stretch of a row comes to. `more` is the sum of squares about the mean of a variance, or
// the position of an extreme element.
template <bool index>
struct MoreOf {
    using type = A;
};
template <>
struct MoreOf<true> {
    using type = int64_t;
};
using More = typename MoreOf<kIndex>::type;
struct Partial {
    A value;
    More more;
};

SN_DEVICE A start_value() {
    if constexpr (SN_KIND == kProd || SN_KIND == kAll)
        return A(1);
    else if constexpr (kLargest)
        return lowest<A>();
    else if constexpr (SN_KIND == kMin || SN_KIND == kArgMin)
        return highest<A>();
    else
        return A(0);
}

template <class T>
SN_DEVICE T wrapped(T a, T b) {  // integers are summed and multiplied modulo 2^bits
    if constexpr (is_floating<T>)
        return SN_KIND == kProd ? a * b : a + b;
    else
        return static_cast<T>(SN_KIND == kProd
                                  ? static_cast<uint64_t>(a) * static_cast<uint64_t>(b)
                                  : static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
SN_DEVICE A combine(A a, A x) {
    if constexpr (SN_KIND == kMax)
        return x > a || x != x ? x : a;
    else if constexpr (SN_KIND == kMin)
        return x < a || x != x ? x : a;
    else if constexpr (SN_KIND == kAny)
        return a || x;
    else if constexpr (SN_KIND == kAll)
        return a && x;
    else
        return wrapped(a, x);
}
// The more extreme element; NaN before all numbers, and among equals the first.
SN_DEVICE void take_extreme(Partial& a, A x, int64_t at) {
    const bool nan = x != x, own_nan = a.value != a.value;
    const bool better = kLargest ? x > a.value : x < a.value;
    const bool equal = x == a.value || (nan && own_nan);
    if ((nan && !own_nan) || (better && !own_nan) || (equal && at < a.more)) {
        a.value = x;
        a.more = at;
    }
}

template <class T>
SN_DEVICE T fused(T a, T b, T c) {
    if constexpr (sizeof(T) == 4)
        return __builtin_fmaf(a, b, c);
    else
        return __builtin_fma(a, b, c);
}

// Folds the lanes of all slots in `memory`; afterwards lane 0 has the slot's value. `sum`: the
// squares of a variance, which are added.
template <class T>
SN_DEVICE void fold_lanes(T (&memory)[kReduceSlots][kReduceLanes], int slot, int lane, bool sum) {
    __syncthreads();
    for (int half = kReduceLanes / 2; half >= 1; half /= 2) {
        if (lane < half) {
            T& mine = memory[slot][lane];
            if (sum)
                mine = static_cast<T>(mine + memory[slot][lane + half]);
            else
                mine = combine(mine, memory[slot][lane + half]);
        }
        __syncthreads();
    }
}

SN_DEVICE void finish(const ReduceArgs& args, int64_t result, const Partial& p) {
    int64_t at[2];
    args.kept.offsets(result, at);
    SN_R* out = static_cast<SN_R*>(args.out);
    if constexpr (kIndex) {
        out[at[1]] = static_cast<SN_R>(p.more);
    } else if constexpr (SN_KIND == kMean) {
        store(out, at[1], p.value / static_cast<A>(args.n));
    } else if constexpr (SN_KIND == kVar) {
        const A n = static_cast<A>(args.n);
        store(out, at[1], p.more / n);
        if (args.out_mean) store(static_cast<SN_R*>(args.out_mean), at[1], p.value / n);
    } else {
        store(out, at[1], p.value);
    }
}

// One block of the tree for each slot.
SN_KERNEL(reduce_blocks, ReduceArgs) {
    SN_SHARED A values[kReduceSlots][kReduceLanes];
    SN_SHARED More mores[kReduceSlots][kReduceLanes];
    const int t = threadIdx.x;
    const int slot = args.columns ? t % kReduceSlots : t / kReduceLanes;
    const int lane = args.columns ? t / kReduceSlots : t % kReduceLanes;
    const int64_t items = args.results * args.blocks;
    const SN_S* in = static_cast<const SN_S*>(args.in);
    for (int64_t first = static_cast<int64_t>(blockIdx.x) * kReduceSlots; first < items;
         first += static_cast<int64_t>(gridDim.x) * kReduceSlots) {
        const int64_t item = first + slot;
        const bool there = item < items;
        const int64_t result = args.columns ? item % args.results : item / args.blocks;
        const int64_t block = args.columns ? item / args.results : item % args.blocks;
        const int64_t begin = block * kReduceBlock;
        const int64_t end = there ? smaller(begin + kReduceBlock, args.n) : 0;
        int64_t at[2] = {0, 0};
        if (there) args.kept.offsets(result, at);
        const int64_t step = args.row.rank == 1 ? args.row.strides[0][0] : 0;
        const auto element = [&](int64_t i) {
            const int64_t offset = args.row.rank == 1 ? i * step : args.row.offset(i);
            return cast_to<SN_R, SN_S>(load(in, at[0] + offset));
        };
        Partial p{start_value(), More(0)};
        if constexpr (kIndex) {
            p.more = highest<int64_t>();
            for (int64_t i = begin + lane; i < end; i += kReduceLanes) {
                const int64_t offset = args.row.rank == 1 ? i * step : args.row.offset(i);
                take_extreme(p, load(in, at[0] + offset), i);
            }
            values[slot][lane] = p.value;
            mores[slot][lane] = p.more;
            __syncthreads();
            for (int half = kReduceLanes / 2; half >= 1; half /= 2) {
                if (lane < half) {
                    Partial mine{values[slot][lane], mores[slot][lane]};
                    take_extreme(mine, values[slot][lane + half], mores[slot][lane + half]);
                    values[slot][lane] = mine.value;
                    mores[slot][lane] = mine.more;
                }
                __syncthreads();
            }
            p = {values[slot][0], mores[slot][0]};
        } else {
            for (int64_t i = begin + lane; i < end; i += kReduceLanes)
                p.value = combine(p.value, element(i));
            values[slot][lane] = p.value;
            fold_lanes(values, slot, lane, false);
            p.value = values[slot][0];
            if constexpr (SN_KIND == kVar) {
                const A mean = p.value / static_cast<A>(end - begin);
                A squares = 0;
                for (int64_t i = begin + lane; i < end; i += kReduceLanes) {
                    const A d = element(i) - mean;
                    squares = fused<A>(d, d, squares);
                }
                mores[slot][lane] = squares;
                fold_lanes(mores, slot, lane, true);
                p.more = mores[slot][0];
            }
        }
        if (there && lane == 0) {
            if (args.blocks == 1) {
                finish(args, result, p);
            } else {
                static_cast<A*>(args.value)[item] = p.value;
                if constexpr (kIndex || SN_KIND == kVar)
                    static_cast<More*>(args.more)[item] = p.more;
            }
        }
        __syncthreads();  // the lanes' memory is used again
    }
}

// Merges the blocks of a row pairwise; one without a partner moves up as it is.
SN_KERNEL(reduce_merge, ReduceArgs) {
    const int group = args.merge_threads, groups = blockDim.x / group;
    const int t = threadIdx.x % group;
    const int64_t result_step = args.columns ? 1 : args.blocks;
    const int64_t block_step = args.columns ? args.results : 1;
    for (int64_t first = static_cast<int64_t>(blockIdx.x) * groups; first < args.results;
         first += static_cast<int64_t>(gridDim.x) * groups) {
        const int64_t result = first + threadIdx.x / group;
        const bool there = result < args.results;
        A* values = static_cast<A*>(args.value) + result * result_step;
        More* mores = static_cast<More*>(args.more) + result * result_step;
        const auto read = [&](int64_t block) {
            Partial p{values[block * block_step], More(0)};
            if constexpr (kIndex || SN_KIND == kVar) p.more = mores[block * block_step];
            return p;
        };
        for (int64_t reach = 1; reach < args.blocks; reach *= 2) {
            for (int64_t i = t; there && (2 * i + 1) * reach < args.blocks; i += group) {
                const int64_t left = 2 * i * reach, right = left + reach;
                Partial p = read(left);
                const Partial q = read(right);
                if constexpr (kIndex) {
                    take_extreme(p, q.value, q.more);
                } else {
                    if constexpr (SN_KIND == kVar) {
                        const int64_t middle = right * kReduceBlock;
                        const double na = static_cast<double>(reach * kReduceBlock);
                        const int64_t nq = smaller(middle + reach * kReduceBlock, args.n) - middle;
                        const double nb = static_cast<double>(nq);
                        const A weight = static_cast<A>(na * nb / (na + nb));
                        const A delta = q.value / static_cast<A>(nq) -
                                        p.value / static_cast<A>(reach * kReduceBlock);
                        p.more = fused<A>(delta * delta, weight, p.more + q.more);
                    }
                    p.value = combine(p.value, q.value);
                }
                values[left * block_step] = p.value;
                if constexpr (kIndex || SN_KIND == kVar) mores[left * block_step] = p.more;
            }
            __syncthreads();
        }
        if (there && t == 0) finish(args, result, read(0));
    }
}
