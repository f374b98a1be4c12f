// Stable sorts of rows: tiles in the memory of a block, then merges. SN_T: elements, for keys;
// SN_W: words as wide as elements, which are moved.
#include "device.cuh"
#include "sort_args.h"

using namespace sn::cuda;

SN_DEVICE bool before(const SortItem& a, const SortItem& b) {
    return a.key < b.key || (a.key == b.key && a.index < b.index);
}

#if defined(SN_T)
// NaN above all numbers, -0 equal to 0.
SN_DEVICE uint64_t key_of(Compute<SN_T> x) {
    using C = Compute<SN_T>;
    if constexpr (is_floating<C>) {
        if (x != x) return ~uint64_t(0);
        const uint64_t sign = uint64_t(1) << 63;
        const uint64_t bits = bits_as<uint64_t>(static_cast<double>(x) + 0.0);
        return bits & sign ? ~bits : bits | sign;
    } else if constexpr (static_cast<C>(-1) < static_cast<C>(1) && !is_boolean<C>) {
        return static_cast<uint64_t>(static_cast<int64_t>(x)) ^ uint64_t(1) << 63;
    } else {
        return static_cast<uint64_t>(x);
    }
}

SN_KERNEL(sort_keys, SortKeysArgs) {
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        // In the order of x; items go to their rows.
        const int64_t c = e % args.inner, i = e / args.inner % args.n,
                      o = e / (args.inner * args.n);
        const uint64_t key = key_of(load(static_cast<const SN_T*>(args.x), e));
        args.items[(o * args.inner + c) * args.n + i] = {args.descending ? ~key : key,
                                                         static_cast<uint64_t>(i)};
    }
}

SN_DEVICE bool below(Compute<SN_T> a, Compute<SN_T> b) { return a < b || (a == a && b != b); }

SN_KERNEL(search_sorted, SearchArgs) {
    const SN_T* values = static_cast<const SN_T*>(args.values);
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        const SN_T* row = static_cast<const SN_T*>(args.sorted) + e / args.per_row * args.n;
        const auto value = load(values, e);
        int64_t low = 0, high = args.n;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            const auto at = load(row, middle);
            if (args.right ? !below(value, at) : below(at, value))
                low = middle + 1;
            else
                high = middle;
        }
        args.out[e] = low;
    }
}
#elif defined(SN_W)

SN_KERNEL(sorted, SortedArgs) {
    const SN_W* x = static_cast<const SN_W*>(args.x);
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        const int64_t c = e % args.inner, j = e / args.inner % args.k,
                      o = e / (args.inner * args.k);
        const int64_t i = static_cast<int64_t>(args.items[(o * args.inner + c) * args.n + j].index);
        if (args.values) static_cast<SN_W*>(args.values)[e] = x[(o * args.n + i) * args.inner + c];
        if (args.indices) args.indices[e] = i;
    }
}
#else

// Bitonic sort of pieces of `width` items; a tile holds several pieces where they are short.
SN_KERNEL(sort_tiles, SortArgs) {
    SN_SHARED SortItem tile[kSortTile];
    const int width = static_cast<int>(args.width), together = kSortTile / width;
    const int64_t pieces = args.rows * args.pieces;
    for (int64_t first = static_cast<int64_t>(blockIdx.x) * together; first < pieces;
         first += static_cast<int64_t>(gridDim.x) * together) {
        const auto place = [&](int at) -> int64_t {  // -1: beyond the row
            const int64_t piece = first + at / width, row = piece / args.pieces;
            const int64_t i = piece % args.pieces * width + at % width;
            return piece < pieces && i < args.n ? row * args.n + i : -1;
        };
        for (int at = threadIdx.x; at < kSortTile; at += kSortThreads) {
            const int64_t from = place(at);
            tile[at] = from >= 0 ? args.from[from] : SortItem{~uint64_t(0), ~uint64_t(0)};
        }
        __syncthreads();
        for (int run = 2; run <= width; run *= 2) {
            for (int step = run / 2; step > 0; step /= 2) {
                for (int p = threadIdx.x; p < kSortTile / 2; p += kSortThreads) {
                    const int low = p / step * 2 * step + p % step, high = low + step;
                    const bool up = (low % width & run) == 0;
                    const SortItem a = tile[low], b = tile[high];
                    if (before(b, a) == up) {
                        tile[low] = b;
                        tile[high] = a;
                    }
                }
                __syncthreads();
            }
        }
        for (int at = threadIdx.x; at < kSortTile; at += kSortThreads) {
            const int64_t to = place(at);
            if (to >= 0) args.to[to] = tile[at];
        }
        __syncthreads();
    }
}

// Runs of `width` items are merged in pairs: each item finds how many of the other run come first.
SN_KERNEL(sort_merge, SortArgs) {
    for (int64_t e = grid_index(); e < args.rows * args.n; e += grid_stride()) {
        const int64_t row = e / args.n, i = e % args.n;
        const SortItem* from = args.from + row * args.n;
        const int64_t run = i / args.width, pair = run / 2 * 2 * args.width;
        const bool left = run % 2 == 0;
        const int64_t middle = smaller(pair + args.width, args.n);
        const int64_t begin = left ? middle : pair;
        const int64_t end = left ? smaller(middle + args.width, args.n) : middle;
        const SortItem item = from[i];
        int64_t low = begin, high = end;
        while (low < high) {
            const int64_t at = low + (high - low) / 2;
            if (before(from[at], item))
                low = at + 1;
            else
                high = at;
        }
        const int64_t own = i - (left ? pair : middle);
        args.to[row * args.n + pair + own + (low - begin)] = item;
    }
}
#endif
