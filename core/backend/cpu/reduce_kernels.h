#pragma once
#include <cstdint>

#include "base/dtype.h"

namespace sn::cpu {

// The leaves under reduce.cpp and the tile interpreter, compiled once per instruction set. Results
// and partials are of the compute dtype (f32 for f16 and bf16, whose elements are widened as they
// are read; merge and divide, which see partials only, have none for them). They define the tree of
// design note 001: blocks of 1,024 elements, 16 lanes in a block, pairwise over lanes and then over
// blocks.
inline constexpr int64_t kReduceBlock = 1024;
inline constexpr int kReduceLanes = 16;
// Sixty-four blocks, a power of two, so that a tree over chunks of blocks is the tree over blocks.
inline constexpr int64_t kReduceChunk = 64 * kReduceBlock;

// What is accumulated; a mean is a sum, a variance is moments, and both are finished by division.
enum class Accumulate : uint8_t { kSum, kProd, kMax, kMin, kAny, kAll, kMoments };
inline constexpr int kNumAccumulates = 7;

struct ReduceKernels {
    // Reduces `rows` rows of n <= kReduceChunk contiguous elements that lie `stride` elements
    // apart. `out` gets one partial per row; `m2` (moments only) the sum of squares about the row's
    // mean.
    using Rows = void (*)(const void* x, int64_t stride, int64_t rows, int64_t n, void* out,
                          void* m2);
    // Reduces, for each of `cols` contiguous columns, the n <= kReduceBlock elements at
    // base + offsets[i]. `scratch` holds cols_scratch(dtype) bytes.
    using Cols = void (*)(const void* base, const int64_t* offsets, int64_t n, int64_t cols,
                          void* scratch, void* out, void* m2);
    // a = a (+) b for `count` partials that stand for na and nb elements.
    using Merge = void (*)(void* a, void* a_m2, const void* b, const void* b_m2, int64_t count,
                           int64_t na, int64_t nb);
    // The first index of each row, of n contiguous elements, whose element equals `value[row]` or
    // is NaN when that is; -1 if none.
    using Find = void (*)(const void* x, int64_t stride, int64_t rows, int64_t n, const void* value,
                          int64_t* index);
    Rows rows[kNumAccumulates][kNumDTypes];
    Cols cols[kNumAccumulates][kNumDTypes];
    // Sums of bools and of integers of fewer than 64 bits, in 64 bits; exact, so in any order.
    Rows wide_rows[kNumDTypes];
    Cols wide_cols[kNumDTypes];
    Merge merge[kNumAccumulates][kNumDTypes];
    Find find[kNumDTypes];
    // The same down columns, n <= kReduceBlock.
    using FindCols = void (*)(const void* base, const int64_t* offsets, int64_t n, int64_t cols,
                              const void* value, int64_t* index);
    FindCols find_cols[kNumDTypes];
    void (*divide[kNumDTypes])(void* x, int64_t count, double by);  // floats only
};

// Columns that the Cols kernels hold in their accumulators at a time.
inline constexpr int64_t kReduceStrip = 512;
constexpr int64_t cols_scratch(DType dtype) {
    return kReduceLanes * kReduceStrip * static_cast<int64_t>(dtype_size(dtype));
}

// Each level's namespace defines: const ReduceKernels& reduce_kernels();

}  // namespace sn::cpu
