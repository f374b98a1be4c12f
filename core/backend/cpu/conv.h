#pragma once
#include <cstddef>
#include <cstdint>

#include "backend/cpu/epilogue.h"
#include "base/dtype.h"

namespace sn::cpu {

// The geometry of a convolution of spatial rank 3; lower ranks put sizes of 1 (kernel 1, stride 1,
// dilation 1, padding 0) in front. Activations are dense and channels last in memory:
// x is [batch, in, in_channels] and y is [batch, out, out_channels]. The upper padding is implied
// by `out`: a tap that falls outside of x contributes nothing.
struct ConvShape {
    DType dtype = DType::kF32;  // f16, bf16, f32 or f64
    int64_t batch = 1;
    int64_t in_channels = 1, out_channels = 1, groups = 1;
    int64_t in[3] = {1, 1, 1};
    int64_t out[3] = {1, 1, 1};
    int64_t kernel[3] = {1, 1, 1};
    int64_t stride[3] = {1, 1, 1};
    int64_t dilation[3] = {1, 1, 1};
    int64_t pad_lo[3] = {0, 0, 0};
};

// w is [out_channels, in_channels / groups, kernel...] with any strides, in elements.
struct ConvWeight {
    const void* data = nullptr;
    int64_t strides[5] = {0, 0, 0, 0, 0};
    // The packed form for the pass in question; `data` is then not read.
    const void* packed = nullptr;
};

enum class ConvPass : uint8_t { kForward, kDataGrad };

// Numerics (design note 005). An element of y is a chain of fused multiply-adds over k = (kd, kh,
// kw, channel), in segments of kGemmSegment absolute positions of k that are added left to right;
// an element of dx is the same over k = (taps in descending order, out channel). Taps outside of
// the image are skipped. An element of dw is a chain over output pixels in ascending order, in
// segments of kConvPixels pixels that are added left to right within a group of kConvGroup
// segments; the groups are added left to right.
inline constexpr int64_t kConvPixels = 256;
inline constexpr int64_t kConvGroup = 16;

// One instruction set's entry points. Everything runs in parallel on the pool.
struct ConvKernels {
    // y = epilogue(x * w). The epilogue sees the matrix [batch * out pixels, out_channels].
    void (*forward)(const ConvShape& shape, const void* x, const ConvWeight& w, void* y,
                    const Epilogue* epilogue);
    // dx from dy: the adjoint, which is also the transposed convolution's forward pass. The
    // epilogue sees the matrix [batch * in pixels, in_channels].
    void (*data_grad)(const ConvShape& shape, const void* dy, const ConvWeight& w, void* dx,
                      const Epilogue* epilogue);
    // dw, shaped and strided like w, in the shape's dtype.
    void (*weight_grad)(const ConvShape& shape, const void* x, const void* dy, void* dw,
                        const int64_t dw_strides[5]);
    // The packed form holds the accumulate dtype, wants 64-byte alignment and belongs to this
    // instruction set: it is never saved. It depends on dtype, channels, groups and kernel only.
    size_t (*packed_weight_bytes)(const ConvShape& shape, ConvPass pass);
    void (*pack_weight)(const ConvShape& shape, ConvPass pass, const ConvWeight& w, void* packed);
    int tile_rows, tile_cols;  // of the f32 register tile, for the gym
};

// Each level's namespace defines: const ConvKernels& conv_kernels();

}  // namespace sn::cpu
