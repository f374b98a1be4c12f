#pragma once
#include "args.h"

namespace sn::cuda {

// A number that goes into every element: its bits in the dtype of the elements, or where they are.
struct Number {
    uint64_t bits[2];
    const void* at;  // memory of the device, or null
};

struct CopyArgs {
    void* to;
    const void* from;
    int64_t count;
    Strided<2> loop;  // strides in `to`, in `from`
};

// Blocks of kTile x kTile elements of two dimensions: one dense in `to`, one dense in `from`.
inline constexpr int kTile = 32, kTileRows = 8;
struct TransposeArgs {
    void* to;
    const void* from;
    int64_t n, m;                // sizes of the dimension dense in `to` and of that dense in `from`
    int64_t to_step, from_step;  // distance of the second in `to`, of the first in `from`
    int64_t n_tiles, m_tiles, outer_count;
    Strided<2> outer;
};

struct FillArgs {
    void* to;
    Number value;
    int64_t count;
    Strided<1> loop;
};

struct PadArgs {
    void* to;
    const void* from;
    Number value;
    int64_t count;
    int32_t rank, wide;
    int64_t shape[kMaxRank];                // of the result
    int64_t low[kMaxRank], size[kMaxRank];  // where the operand begins in it, and its shape
    int64_t to_strides[kMaxRank], from_strides[kMaxRank];
};

struct ArangeArgs {
    void* to;
    int64_t count;
    int64_t whole_start, whole_step;  // of integers
    double start, step;
};

struct LinspaceArgs {
    void* to;
    int64_t count, steps;
    double start, stop, step;
};

}  // namespace sn::cuda
