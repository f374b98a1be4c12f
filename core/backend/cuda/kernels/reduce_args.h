#pragma once
#include "args.h"

namespace sn::cuda {

// The fixed tree of reductions (docs/design/001): blocks of elements, dealt to lanes.
inline constexpr int kReduceBlock = 1024, kReduceLanes = 16;
inline constexpr int kReduceSlots = 32;  // blocks of the tree that a thread block takes at a time

struct ReduceArgs {
    const void* in;
    void* out;
    void* out_mean;         // of a variance, or null
    void* value;            // partial results, where a row has several blocks
    void* more;             // squares about the mean, or positions
    int64_t results, n;     // n: elements of a row
    int64_t blocks;         // of a row
    int32_t columns;        // neighbouring slots are neighbouring results, not blocks of one
    int32_t merge_threads;  // that merge the blocks of one result; a power of two
    Strided<2> kept;        // strides in the operand, in the result
    Strided<1> row;
};

struct LabelArgs {
    const int64_t* labels;
    const void* class_weight;  // or null
    void* number;
    void* weight;
    void* total;
    int64_t count, classes, ignore_index;
    ErrorWord* error;
};

}  // namespace sn::cuda
