#pragma once
#include "sort_args.h"

namespace sn::cuda {

// Indices of one tensor, checked before anything is read or written by them.
struct CheckIndexArgs {
    const void* indices;
    int64_t count, size;
    int32_t negative;  // they may count from the end
    ErrorWord* error;
};

// Rows along an axis of a tensor seen as [outer][n][inner].
struct RowsArgs {
    const void* x;
    const void* indices;
    void* out;
    int64_t count;  // of elements of the result
    int64_t n, inner, rows;
};

// Targets of a scatter, or places that a gather reads, by one of three kinds of indices.
struct PlaceArgs {
    const void* indices[kMaxRank];  // the first alone, but for `dims`
    int64_t count;
    int64_t n, axis_step;  // size of the axis, and its stride
    int32_t dims;          // tensors of indices, one for each leading dimension
    int64_t sizes[kMaxRank];
    Strided<1> others;  // along an axis: strides of the other dimensions, over the indices' shape
    SortItem* items;    // keys: place and source
    const void* x;      // gathers
    void* out;
    int64_t inner;
};

// Sources sorted by their target: a run of equal keys is combined in order.
struct CombineArgs {
    const void* from;
    void* out;
    const SortItem* items;
    int64_t count, inner, outer;
    int64_t from_outer, out_outer;  // distances of two outer indices
};

struct OneHotArgs {
    const void* indices;
    void* out;
    int64_t count, classes;
};

inline constexpr int kNonzeroStretch = 1024, kMaxDims = 32;
struct NonzeroArgs {
    const uint8_t* mask;
    int64_t* starts;  // how many stand before each stretch
    int64_t* out;     // [rank][found]
    int64_t count, stretches, found;
    int32_t rank;
    int64_t shape[kMaxDims];
};

}  // namespace sn::cuda
