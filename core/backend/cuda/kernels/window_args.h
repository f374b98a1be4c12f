#pragma once
#include "args.h"

namespace sn::cuda {

// Windows over images, in three dimensions: lower ranks have sizes of 1 in front. Tensors are
// [batch, channels, 3 of space] with any strides; indices run over channels fastest, as they lie.
struct PoolArgs {
    const void* x;         // of a gradient: that of the result
    const int64_t* index;  // a gradient of max: the winners
    void* y;
    int64_t* winners;  // of max, or null
    int64_t count, channels;
    int64_t in[3], out[3], kernel[3], stride[3], pad[3], dilation[3];
    int64_t x_strides[5], y_strides[5], index_strides[5];  // x: the larger image
    int64_t divisor;  // of an average; 0: the size of the window
    int32_t include_pad;
};

// Convolutions as products of matrices. Rows of a convolution and of its data gradient are result
// pixels, k runs over taps and then over the source's channels; in a weight gradient rows are taps
// and channels, and k runs over pixels. Columns are always the result's channels (of a weight
// gradient: the features), of one group.
inline constexpr int kPixelSegment = 256, kPixelGroup = 16;
struct ConvArgs {
    const void* source;
    const void* factors;  // weights, packed as [group][k][column]; of a weight gradient dy
    void* result;         // of a weight gradient [part][group][row][column]
    int64_t rows, columns, k, groups;
    int64_t depth;  // channels of the source in a group
    int64_t source_shape[3], pixel_shape[3], kernel[3];
    // The source pixel of a tap: (position * factor + start + tap * step) / divisor, where that
    // leaves no remainder.
    int64_t factor[3], start[3], step[3], divisor[3];
    int64_t source_strides[5], pixel_strides[5];  // the second of the result, or of dy
    int64_t tiles_m, tiles_n;
    int64_t segment;      // of k
    int64_t parts, part;  // blocks of their own for every `part` of k
};

}  // namespace sn::cuda
