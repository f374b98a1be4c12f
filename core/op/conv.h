#pragma once
#include "record/tensor.h"

namespace sn {

// Lists have one entry per spatial dimension (one to three); pad_high may differ from pad_low.
struct ConvGeometry {
    Dims stride, pad_low, pad_high, dilation;
    int64_t groups = 1;
};
// x: (N, C, spatial...), weight: (O, C / groups, kernel...), bias: (O,) or empty.
Tensor conv(const Tensor& x, const Tensor& weight, const Tensor& bias,
            const ConvGeometry& geometry);
// The adjoint of conv: x: (N, C, spatial...), weight: (C, O / groups, kernel...), bias: (O,) or
// empty.
Tensor conv_transpose(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const ConvGeometry& geometry, DimSpan output_padding);

struct PoolGeometry {
    Dims kernel, stride, pad, dilation;
    bool ceil_mode = false;
};
struct MaxPoolResult {
    Tensor y, index;  // index: int64 position in the flattened spatial plane
};
MaxPoolResult max_pool(const Tensor& x, const PoolGeometry& geometry);
Tensor avg_pool(const Tensor& x, const PoolGeometry& geometry, bool count_include_pad,
                int64_t divisor_override);
Tensor adaptive_avg_pool(const Tensor& x, DimSpan output_size);
MaxPoolResult adaptive_max_pool(const Tensor& x, DimSpan output_size);

// (examples, N, ...) as (examples * N, ...), and back: for batching rules.
Tensor joined_images(const Tensor& x);
Tensor split_images(const Tensor& x, int64_t examples);

void register_conv_ops();
void register_pool_ops();  // called by register_conv_ops

// One value per spatial dimension from an int or a list.
Dims spatial_list(const char* op, const char* what, DimSpan values, bool single, int rank);

}  // namespace sn
