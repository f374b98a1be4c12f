#pragma once
#include "args.h"

namespace sn::cuda {

// An element of a product is a chain of fused multiply-adds in segments of k (docs/design/001).
inline constexpr int kSegment = 1024;

struct MatmulArgs {
    const void* a;
    const void* b;
    void* c;
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, c_row, c_col;  // strides
    int64_t tiles_m, tiles_n, batch;
    int64_t parts;      // 1, or as many as there are segments: blocks of their own sum each
    int64_t part_step;  // distance of the results of two parts
    Strided<3> stacks;  // of the batch dimensions: strides in a, b and c
};

// Adds what the segments came to, left to right.
struct AddPartsArgs {
    const void* parts;  // [parts][count]
    void* to;
    int64_t count, part_count;
    Strided<1> strided;  // where element i of the result lies
};

}  // namespace sn::cuda
