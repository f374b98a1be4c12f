#pragma once
#include "args.h"

namespace sn::cuda {

// What is sorted: a number that has the order of the elements, and where the element stood. No two
// items of a row are equal, so there is one order, and it is that of a stable sort.
struct alignas(16) SortItem {
    uint64_t key;
    uint64_t index;
};
inline constexpr int kSortTile = 1024, kSortThreads = 512;

// A tensor seen as [outer][n][inner]; a row runs along n, and row o * inner + c is that of (o, c).
struct SortKeysArgs {
    const void* x;
    SortItem* items;  // [row][n]
    int64_t count, n, inner;
    int32_t descending;
};
struct SortArgs {
    const SortItem* from;
    SortItem* to;
    int64_t rows, n;
    int64_t width;   // tiles: a power of two that holds a row or is a tile; merges: of sorted runs
    int64_t pieces;  // tiles of a row
};
struct SortedArgs {
    const void* x;
    const SortItem* items;
    void* values;                // or null
    int64_t* indices;            // or null
    int64_t count, k, n, inner;  // the first k of each row are wanted
};

struct SearchArgs {
    const void* sorted;
    const void* values;
    int64_t* out;
    int64_t count, n, per_row;  // values of one sorted row
    int32_t right;
};

}  // namespace sn::cuda
