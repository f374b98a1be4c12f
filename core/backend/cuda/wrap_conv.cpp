// Convolutions and their gradients.
#include <algorithm>

#include "backend/cuda/kernels/matmul_args.h"
#include "backend/cuda/kernels/window_args.h"
#include "backend/cuda/product_tiles.h"
#include "backend/cuda/wrap.h"
#include "base/error.h"

namespace sn::cuda {

namespace {

constexpr int kFloatResult = 100;
// Elements, and results of the same dtype or (of halves, for an epilogue) float.
KernelSource::Axis elements(std::initializer_list<DType> dtypes) {
    KernelSource::Axis axis = dtype_axis("SN_T", dtypes);
    const KernelSource::Axis result = dtype_axis("SN_C", dtypes);
    for (size_t i = 0; i < dtypes.size(); ++i)
        axis[i].definitions.push_back(result[i].definitions[0]);
    for (size_t i = 0; i < dtypes.size(); ++i) {
        const DType dtype = static_cast<DType>(axis[i].code);
        if (compute_dtype(dtype) == dtype) continue;
        KernelSource::Choice choice{axis[i].code + kFloatResult,
                                    {axis[i].definitions[0], "SN_C=float"}};
        axis.push_back(std::move(choice));
    }
    return axis;
}
constexpr ProductTile kTiles[] = {{128, 128, 8, 8}, {128, 64, 8, 4}, {64, 64, 4, 4}};
enum Pass { kGather, kWeight };
const KernelSource kConv("conv.cu", "conv", [] {
    return Axes{elements({DType::kF16, DType::kBF16, DType::kF32}), tile_axis(kTiles, {0, 1, 2}),
                number_axis("SN_PASS", {kGather, kWeight}), number_axis("SN_LONG", {0, 1})};
});
const KernelSource kWide("conv.cu", "conv", [] {  // the registers hold fewer sums of eight bytes
    return Axes{elements({DType::kF64}), tile_axis(kTiles, {2}),
                number_axis("SN_PASS", {kGather, kWeight}), number_axis("SN_LONG", {0, 1})};
});
const KernelSource kElements("conv.cu", "conv_elements", [] {
    return Axes{elements(kFloats), number_axis("SN_PASS", {kGather, kWeight})};
});
const KernelSource kAddParts("matmul.cu", "add_parts", [] { return Axes{elements(kFloats)}; });

int64_t volume(const int64_t* sizes) { return sizes[0] * sizes[1] * sizes[2]; }

void spread_strides(const TensorView& v, int64_t (&strides)[5]) {
    const int lead = 5 - v.rank;
    strides[0] = v.strides[0];
    strides[1] = v.strides[1];
    for (int d = 2; d < v.rank; ++d) strides[lead + d] = v.strides[d];
}

// x has the channels, y the features. Attributes: stride, pad_low, pad_high, dilation, groups.
// `transposed`: pixels are those of x, which looks for them in y.
ConvArgs conv_of(const TensorView& x, const TensorView& w, const TensorView& y,
                 const int64_t* attrs, bool transposed) {
    ConvArgs c{};
    AttrWords words(attrs);
    const auto stride = words.list(), pad = words.list();
    words.list();
    const auto dilation = words.list();
    c.groups = words.next();
    const TensorView &source = transposed ? y : x, &pixels = transposed ? x : y;
    const int lead = 5 - x.rank;
    for (int d = 0; d < 3; ++d) {
        const bool own = d >= lead;
        const size_t at = static_cast<size_t>(d - lead);
        c.source_shape[d] = own ? source.shape[2 + at] : 1;
        c.pixel_shape[d] = own ? pixels.shape[2 + at] : 1;
        c.kernel[d] = own ? w.shape[2 + at] : 1;
        const int64_t by = own ? stride[at] : 1, low = own ? pad[at] : 0,
                      apart = own ? dilation[at] : 1;
        c.factor[d] = transposed ? 1 : by;
        c.divisor[d] = transposed ? by : 1;
        c.step[d] = apart;
        // Taps of a gradient run downwards, so that k runs upwards in dy.
        c.start[d] = transposed ? low - (c.kernel[d] - 1) * apart : -low;
    }
    c.depth = source.shape[1] / c.groups;
    c.columns = pixels.shape[1] / c.groups;
    spread_strides(source, c.source_strides);
    spread_strides(pixels, c.pixel_strides);
    return c;
}

int code_of(DType elements, DType result) {
    const bool float_result = result == DType::kF32 && elements != DType::kF32;
    SN_CHECK(float_result || result == elements);
    return static_cast<int>(elements) + (float_result ? kFloatResult : 0);
}

void issue(Device device, ConvArgs& args, DType dtype, DType result, Pass pass) {
    const int code = code_of(dtype, result);
    if (args.columns < 8) {
        launch(kElements.get(device, {code, pass}),
               grid_of(args.rows * args.columns * args.groups * args.parts), kThreads, args);
        return;
    }
    const bool wide = dtype_size(dtype) == 8;
    const auto tiles_of = [&](const ProductTile& tile) {
        return (args.rows + tile.m - 1) / tile.m * ((args.columns + tile.n - 1) / tile.n) *
               args.groups * args.parts;
    };
    const int64_t enough = 192;  // tiles that keep a large device busy
    int at = 2;
    if (!wide && args.columns > 64 && tiles_of(kTiles[0]) >= enough)
        at = 0;
    else if (!wide && args.columns > 32 && tiles_of(kTiles[1]) >= enough)
        at = 1;
    const ProductTile& tile = kTiles[at];
    args.tiles_m = (args.rows + tile.m - 1) / tile.m;
    args.tiles_n = (args.columns + tile.n - 1) / tile.n;
    const int several = std::min(args.part, args.k) > args.segment;
    launch((wide ? kWide : kConv).get(device, {code, at, pass, several}),
           grid_of_blocks(tiles_of(tile)), tile.threads(), args);
}

// The weight as [group][taps][depth][column] with the given strides of w; the taps reversed where
// `transposed`.
void pack_weight(const KernelCall& c, const ConvArgs& args, const TensorView& w, bool transposed) {
    const int64_t shape[6] = {args.groups,    args.kernel[0], args.kernel[1],
                              args.kernel[2], args.depth,     args.columns};
    int64_t strides[6], to_strides[6], offset = 0;
    const int lead = 5 - w.rank;
    const int64_t features = transposed ? args.depth : args.columns;
    strides[0] = features * w.strides[0];
    for (int d = 0; d < 3; ++d) {
        const int64_t step = d >= lead ? w.strides[2 + d - lead] : 0;
        strides[1 + d] = transposed ? -step : step;
        if (transposed) offset += (args.kernel[d] - 1) * step;
    }
    strides[4] = transposed ? w.strides[0] : w.strides[1];
    strides[5] = transposed ? w.strides[1] : w.strides[0];
    int64_t step = 1;
    for (int d = 6; d-- > 0; step *= shape[d]) to_strides[d] = step;
    char* first = w.as<char>() + offset * static_cast<int64_t>(dtype_size(w.dtype));
    strided_copy(c.device, {c.workspace, shape, to_strides, 6, w.dtype},
                 {first, shape, strides, 6, w.dtype});
}

void gather(const KernelCall& c, ConvArgs args, const TensorView& source, const TensorView& w,
            bool transposed) {
    const TensorView& out = c.out[0];
    pack_weight(c, args, w, transposed);
    args.source = source.data;
    args.factors = c.workspace;
    args.result = out.data;
    args.rows = out.shape[0] * volume(args.pixel_shape);
    args.k = volume(args.kernel) * args.depth;
    args.segment = kSegment;
    args.parts = 1;
    args.part = std::max<int64_t>(args.k, 1);
    issue(c.device, args, source.dtype, out.dtype, kGather);
}
void conv(const KernelCall& c) {
    const TensorView &x = c.in[0], &w = c.in[1], &y = c.out[0];
    if (y.numel() == 0) return;
    gather(c, conv_of(x, w, y, c.attrs, false), x, w, false);
}
void conv_data_grad(const KernelCall& c) {
    const TensorView &dy = c.in[0], &w = c.in[1], &dx = c.out[0];
    if (dx.numel() == 0) return;
    gather(c, conv_of(dx, w, dy, c.attrs, true), dy, w, true);
}
size_t weight_workspace(const KernelCall& c) {
    return static_cast<size_t>(c.in[1].numel()) * dtype_size(c.in[1].dtype);
}

int64_t parts_of(int64_t pixels) {
    constexpr int64_t group = kPixelSegment * kPixelGroup;
    return std::max<int64_t>((pixels + group - 1) / group, 1);
}
int64_t pixels_of(const TensorView& x, const TensorView& dy) {
    if (x.numel() == 0 || dy.numel() == 0) return 0;
    int64_t pixels = dy.shape[0];
    for (int d = 2; d < dy.rank; ++d) pixels *= dy.shape[d];
    return pixels;
}

void conv_weight_grad(const KernelCall& c) {
    const TensorView &x = c.in[0], &dy = c.in[1], &dw = c.out[0];
    if (dw.numel() == 0) return;
    ConvArgs args = conv_of(x, dw, dy, c.attrs, false);
    args.source = x.data;
    args.factors = dy.data;
    args.result = c.workspace;
    args.k = pixels_of(x, dy);
    args.rows = volume(args.kernel) * args.depth;
    args.segment = kPixelSegment;
    args.parts = parts_of(args.k);
    args.part = kPixelSegment * kPixelGroup;
    issue(c.device, args, x.dtype, x.dtype, kWeight);
    // From [group][taps][channel][feature] to where they belong.
    const int64_t shape[6] = {args.groups,    args.kernel[0], args.kernel[1],
                              args.kernel[2], args.depth,     args.columns};
    int64_t strides[6] = {args.columns * dw.strides[0]};
    const int lead = 5 - dw.rank;
    for (int d = 0; d < 3; ++d) strides[1 + d] = d >= lead ? dw.strides[2 + d - lead] : 0;
    strides[4] = dw.strides[1];
    strides[5] = dw.strides[0];
    const AddPartsArgs add{c.workspace, dw.data, dw.numel(), args.parts,
                           strided_of<1>(merge_dimensions(shape, {strides}, false))};
    launch(kAddParts.get(c.device, {code_of(x.dtype, dw.dtype)}), grid_of(add.count), kThreads,
           add);
}
size_t weight_grad_workspace(const KernelCall& c) {
    return static_cast<size_t>(parts_of(pixels_of(c.in[0], c.in[1])) * c.out[0].numel()) *
           dtype_size(compute_dtype(c.in[0].dtype));
}

}  // namespace

void register_conv_wrappers(KernelTable& table) {
    table.add("conv", conv, weight_workspace);
    table.add("conv_data_grad", conv_data_grad, weight_workspace);
    table.add("conv_weight_grad", conv_weight_grad, weight_grad_workspace);
}

}  // namespace sn::cuda
