#pragma once
#include <cstdint>

#include "base/dtype.h"

namespace sn::cpu {

// The geometry of a pooling of spatial rank 3; lower ranks put sizes of 1 in front. Tensors are
// dense and channels last in memory: x is [batch, in, channels], y and the indices [batch, out,
// channels]. ceil_mode is a larger `out`: windows are clipped to the image.
struct PoolShape {
    DType dtype = DType::kF32;
    int64_t batch = 1, channels = 1;
    int64_t in[3] = {1, 1, 1};
    int64_t out[3] = {1, 1, 1};
    int64_t kernel[3] = {1, 1, 1};
    int64_t stride[3] = {1, 1, 1};
    int64_t dilation[3] = {1, 1, 1};  // max pooling only
    int64_t pad_lo[3] = {0, 0, 0};
    int64_t pad_hi[3] = {0, 0, 0};  // bounds the divisor when padding counts
    bool count_include_pad = true;
    int64_t divisor_override = 0;  // 0: the window's size
};

// One instruction set's entry points. Everything runs in parallel on the pool; every sum is a chain
// in ascending order of the source positions, so the bits depend on the shape only.
struct PoolKernels {
    // Any dtype but bool. NaN wins; among equals (and NaNs) the first of the window. `index`, when
    // not null, receives the winner's position in the flattened spatial plane of its image and
    // channel. A window without a pixel gives the lowest value and the index -1.
    void (*max_forward)(const PoolShape& shape, const void* x, void* y, int64_t* index);
    // dx[i] = sum of dy over the windows that chose i. Indices that no window can hold are ignored.
    void (*max_backward)(const PoolShape& shape, const void* dy, const int64_t* index, void* dx);
    // Floats: f16 and bf16 are summed in f32 and rounded once.
    void (*average_forward)(const PoolShape& shape, const void* x, void* y);
    void (*average_backward)(const PoolShape& shape, const void* dy, void* dx);
};

// Each level's namespace defines: const PoolKernels& pool_kernels();

}  // namespace sn::cpu
