#include "op/conv.h"

#include <algorithm>

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"

namespace sn {

// Three bilinear ops, each the gradient of the others, so that every order of derivative is one of
// them again. Activations are (N, C, spatial...) to the user and channels last in memory.

namespace {

constexpr const char* kConvNames[] = {"conv1d", "conv2d", "conv3d"};
constexpr const char* kTransposeNames[] = {"conv_transpose1d", "conv_transpose2d",
                                           "conv_transpose3d"};

// Attributes 0-4 of all three: stride, pad_low, pad_high, dilation, groups.
#define SN_CONV_SCHEMA "stride:ints pad_low:ints pad_high:ints dilation:ints groups:int"
Attrs geometry_attrs(const AttrView& a) {
    Attrs out;
    out.ints(a.ints(0)).ints(a.ints(1)).ints(a.ints(2)).ints(a.ints(3)).i(a.i(4));
    return out;
}

void check_weight(const char* op, const Dims& x, const Dims& w, int64_t groups) {
    const size_t rank = std::clamp<size_t>(w.size(), 3, 5) - 2;
    if (x.size() < 3 || x.size() > 5 || w.size() != x.size()) {
        fail(ErrorKind::kShape, op,
             "input has shape %s and weight %s; required are (N, C, %s) and (O, C / groups, %s)",
             format_shape(x).c_str(), format_shape(w).c_str(),
             rank == 1   ? "length"
             : rank == 2 ? "height, width"
                         : "depth, height, width",
             rank == 1   ? "kernel"
             : rank == 2 ? "kernel height, width"
                         : "kernel depth, height, width");
    }
    if (groups < 1 || w[0] % groups != 0 || x[1] % groups != 0) {
        fail(ErrorKind::kShape, op,
             "groups=%lld must divide the channels of input %s (%lld) and the outputs of weight %s "
             "(%lld)",
             ll(groups), format_shape(x).c_str(), ll(x[1]), format_shape(w).c_str(), ll(w[0]));
    }
    if (x[1] != w[1] * groups) {
        fail(ErrorKind::kShape, op,
             "input %s has %lld channels; weight %s with groups=%lld needs %lld; check in_channels "
             "of the layer, and that the input is (N, C, ...) and not channels last",
             format_shape(x).c_str(), ll(x[1]), format_shape(w).c_str(), ll(groups),
             ll(w[1] * groups));
    }
}

void infer_conv(InferCall& c) {
    const Dims &x = c.in[0]->shape, &w = c.in[1]->shape;
    const AttrView& a = c.attrs;
    const char* op = kConvNames[std::clamp<size_t>(w.size(), 3, 5) - 3];
    check_weight(op, x, w, a.i(4));
    Dims out{x[0], w[0]};
    for (size_t d = 0; d + 2 < x.size(); ++d) {
        const int64_t extent = a.ints(3)[d] * (w[d + 2] - 1) + 1;
        const int64_t padded = x[d + 2] + a.ints(1)[d] + a.ints(2)[d];
        if (padded < extent) {
            fail(ErrorKind::kShape, op,
                 "the kernel covers %lld elements of dimension %zu (weight %s, dilation %lld) and "
                 "the padded input has %lld (input %s, padding %lld + %lld); use more padding or a "
                 "smaller kernel",
                 ll(extent), d + 2, format_shape(w).c_str(), ll(a.ints(3)[d]), ll(padded),
                 format_shape(x).c_str(), ll(a.ints(1)[d]), ll(a.ints(2)[d]));
        }
        out.push_back((padded - extent) / a.ints(0)[d] + 1);
    }
    c.out[0].shape = out;
    c.out[0].dtype = c.in[0]->dtype;
}

// in: gradient of the output (N, O, out...), weight; attribute 5: the input's spatial sizes.
// Calls from files: geometry of a convolution of x with a weight to `out`.
void check_geometry(const CheckCall& c, DimSpan x, DimSpan w, const Dims* out) {
    c.tensors(0, 2);
    c.one_dtype(0, 2);
    c.floating(0);
    const size_t n = c.attrs.ints(0).size();
    const int64_t groups = c.attrs.i(4);
    c.require(n >= 1 && n <= 3 && x.size() == n + 2 && w.size() == n + 2 &&
                  (!out || out->size() == n + 2),
              "operands differ in rank");
    c.require(groups >= 1 && w[0] % groups == 0 && x[1] == w[1] * groups &&
                  (!out || ((*out)[0] == x[0] && (*out)[1] == w[0])),
              "channels do not fit");
    for (int k = 1; k < 4; ++k) c.require(c.attrs.ints(k).size() == n, "an attribute is too short");
    constexpr int64_t kMost = int64_t{1} << 31;
    for (size_t d = 0; d < n; ++d) {
        const int64_t stride = c.attrs.ints(0)[d], low = c.attrs.ints(1)[d],
                      high = c.attrs.ints(2)[d], dilation = c.attrs.ints(3)[d];
        c.require(stride >= 1 && dilation >= 1 && stride < kMost && dilation < kMost && low >= 0 &&
                      high > -kMost && low < kMost && high < kMost && w[d + 2] >= 1 &&
                      w[d + 2] < kMost,
                  "stride, dilation, padding or kernel are out of range");
        const int64_t room = x[d + 2] + low + high - (dilation * (w[d + 2] - 1) + 1);
        c.require(room >= 0 && (!out || (*out)[d + 2] == room / stride + 1),
                  "the kernel does not fit");
    }
}
void check_conv(const CheckCall& c) { check_geometry(c, c.shape(0), c.shape(1), nullptr); }
void check_data_grad(const CheckCall& c) {
    c.require(c.rank(0) >= 3 && c.rank(1) >= 3, "operands have too few dimensions");
    c.require(c.attrs.i(4) >= 1 && c.attrs.i(4) < int64_t{1} << 31, "groups are out of range");
    Dims x{c.shape(0)[0], c.shape(1)[1] * c.attrs.i(4)};
    for (int64_t size : c.attrs.ints(5)) x.push_back(size);
    for (int64_t size : x) c.require(size >= 0, "a size is negative");
    check_geometry(c, x, c.shape(1), &c.shape(0));
}
void check_weight_grad(const CheckCall& c) {
    c.require(c.rank(0) >= 3 && c.rank(1) >= 3, "operands have too few dimensions");
    c.require(c.attrs.i(4) >= 1 && c.shape(0)[1] % c.attrs.i(4) == 0, "channels do not fit");
    Dims w{c.shape(1)[1], c.shape(0)[1] / c.attrs.i(4)};
    for (int64_t size : c.attrs.ints(5)) w.push_back(size);
    check_geometry(c, c.shape(0), w, &c.shape(1));
}

void infer_data_grad(InferCall& c) {
    const Dims &g = c.in[0]->shape, &w = c.in[1]->shape;
    Dims out{g[0], w[1] * c.attrs.i(4)};
    for (int64_t size : c.attrs.ints(5)) out.push_back(size);
    c.out[0].shape = out;
    c.out[0].dtype = c.in[0]->dtype;
}

// in: input, gradient of the output; attribute 5: the kernel's sizes.
void infer_weight_grad(InferCall& c) {
    const Dims &x = c.in[0]->shape, &g = c.in[1]->shape;
    Dims out{g[1], x[1] / c.attrs.i(4)};
    for (int64_t size : c.attrs.ints(5)) out.push_back(size);
    c.out[0].shape = out;
    c.out[0].dtype = c.in[0]->dtype;
}

Tensor forward(const Tensor& x, const Tensor& w, const AttrView& a) {
    static const OpId id = find_op("conv");
    return record(id, {x, w}, geometry_attrs(a));
}
Tensor data_grad(const Tensor& g, const Tensor& w, const AttrView& a, DimSpan spatial) {
    static const OpId id = find_op("conv_data_grad");
    return record(id, {g, w}, geometry_attrs(a).ints(spatial));
}
Tensor weight_grad(const Tensor& x, const Tensor& g, const AttrView& a, DimSpan kernel) {
    static const OpId id = find_op("conv_weight_grad");
    return record(id, {x, g}, geometry_attrs(a).ints(kernel));
}
DimSpan spatial_of(const Meta& m) { return DimSpan(m.shape).subspan(2); }

// Each pixel of the output meets each weight of its channel, in all three passes.
enum Pass { kForward, kDataGrad, kWeightGrad };
template <Pass pass>
double work_of(const WorkCall& c) {
    const Dims& y = pass == kForward    ? c.out.shape
                    : pass == kDataGrad ? c.in[0]->shape
                                        : c.in[1]->shape;
    const Dims& w = pass == kWeightGrad ? c.out.shape : c.in[1]->shape;
    return static_cast<double>(numel(y)) * static_cast<double>(numel(w)) /
           static_cast<double>(std::max<int64_t>(1, w[0]));
}

void grad_conv(GradCall& c) {  // y = x * w
    if (c.needs(0)) c.set(0, data_grad(c.grad(), c.in(1), c.attrs, spatial_of(c.in_meta(0))));
    if (c.needs(1)) c.set(1, weight_grad(c.in(0), c.grad(), c.attrs, spatial_of(c.in_meta(1))));
}
void grad_data_grad(GradCall& c) {  // linear in dy and in w
    if (c.needs(0)) c.set(0, forward(c.grad(), c.in(1), c.attrs));
    if (c.needs(1)) c.set(1, weight_grad(c.grad(), c.in(0), c.attrs, spatial_of(c.in_meta(1))));
}
void grad_weight_grad(GradCall& c) {  // linear in x and in dy
    if (c.needs(0)) c.set(0, data_grad(c.in(1), c.grad(), c.attrs, spatial_of(c.in_meta(0))));
    if (c.needs(1)) c.set(1, forward(c.in(0), c.grad(), c.attrs));
}

// (examples, N, C, ...) as (N, examples * C, ...): groups of channels of their own, and back.
Tensor joined_channels(const Tensor& x) {
    Dims order = all_axes(x.rank());
    std::swap(order[0], order[1]);
    const Tensor turned = permute(x, order);
    Dims shape = turned.shape();
    shape.erase(2);
    shape[1] = turned.size(1) * turned.size(2);
    return reshape(turned, shape);
}
Tensor split_channels(const Tensor& x, int64_t examples) {
    Dims shape = x.shape();
    shape[1] = x.size(1) / examples;
    shape.insert(1, examples);
    Dims order = all_axes(static_cast<int>(shape.size()));
    std::swap(order[0], order[1]);
    return permute(reshape(x, shape), order);
}

// With one weight for all, the examples' images are one batch of images. With a weight for each,
// the examples are groups of channels.
template <Pass pass>
bool batch_conv(BatchCall& c) {
    const int64_t groups = c.attrs.i(4);
    if (pass != kWeightGrad && !c.batched[1]) {
        c.call({joined_images(c.in[0]), c.in[1]}, same_attrs(c));
        c.out[0] = split_images(c.out[0], c.size);
        return true;
    }
    if (pass == kWeightGrad) {
        if (!c.batched[0] && groups == 1)  // one image, several gradients: more output channels
            c.call({c.in[0], joined_channels(c.in[1])}, same_attrs(c));
        else
            c.call({joined_channels(c.spread(0)), joined_channels(c.spread(1))},
                   EditedAttrs(c).word(4, groups * c.size).get());
        c.out[0] = split_images(c.out[0], c.size);
        return true;
    }
    const Tensor weights = joined_images(c.in[1]);
    if (pass == kForward && !c.batched[0] && groups == 1)
        c.call({c.in[0], weights}, same_attrs(c));
    else
        c.call({joined_channels(c.spread(0)), weights},
               EditedAttrs(c).word(4, groups * c.size).get());
    c.out[0] = split_channels(c.out[0], c.size);
    return true;
}

// ---- arguments ----------------------------------------------------------------------------------

void check_geometry(const char* op, const ConvGeometry& g) {
    for (size_t d = 0; d < g.stride.size(); ++d) {
        if (g.stride[d] >= 1 && g.dilation[d] >= 1 && g.pad_low[d] >= 0) continue;
        fail(ErrorKind::kValue, op,
             "stride %s, dilation %s and padding %s; strides and dilations "
             "must be 1 or more, paddings 0 or more",
             format_shape(g.stride).c_str(), format_shape(g.dilation).c_str(),
             format_shape(g.pad_low).c_str());
    }
}

// Both operands in the dtype of the result; a real one beside a complex one stays real.
void promote_operands(const char* op, Tensor* x, Tensor* w) {
    const DType dtype = promote(x->dtype(), w->dtype());
    require_float(op, "the input", real_dtype(dtype));
    for (Tensor* t : {x, w}) *t = cast(*t, is_complex(t->dtype()) ? dtype : real_dtype(dtype));
}

Tensor with_bias(const char* op, const Tensor& y, const Tensor& bias) {
    if (!bias) return y;
    if (bias.rank() != 1 || bias.size(0) != y.size(1)) {
        fail(ErrorKind::kShape, op, "bias has shape %s; %lld output channels need (%lld,)",
             format_shape(bias.shape()).c_str(), ll(y.size(1)), ll(y.size(1)));
    }
    Dims shape(y.rank() - 1, 1);
    shape[0] = y.size(1);
    return y + reshape(cast(bias, y.dtype()), shape);
}

const char* name_by_rank(const char* const (&names)[3], const Tensor& weight) {
    return names[std::clamp(weight.rank(), 3, 5) - 3];
}

Attrs attrs_of(const ConvGeometry& g) {
    Attrs out;
    out.ints(g.stride).ints(g.pad_low).ints(g.pad_high).ints(g.dilation).i(g.groups);
    return out;
}

}  // namespace

Tensor joined_images(const Tensor& x) {
    Dims shape = x.shape();
    shape.erase(1);
    shape[0] = x.size(0) * x.size(1);
    return reshape(x, shape);
}
Tensor split_images(const Tensor& x, int64_t examples) {
    Dims shape = x.shape();
    shape[0] = x.size(0) / examples;
    shape.insert(0, examples);
    return reshape(x, shape);
}

Tensor conv(const Tensor& x, const Tensor& weight, const Tensor& bias,
            const ConvGeometry& geometry) {
    static const OpId id = find_op("conv");
    const char* op = name_by_rank(kConvNames, weight);
    check_weight(op, x.shape(), weight.shape(), geometry.groups);
    check_geometry(op, geometry);
    Tensor a = x, w = weight;
    promote_operands(op, &a, &w);
    return with_bias(op, record(id, {a, w}, attrs_of(geometry)), bias);
}

Tensor conv_transpose(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const ConvGeometry& geometry, DimSpan output_padding) {
    static const OpId id = find_op("conv_data_grad");
    const char* op = name_by_rank(kTransposeNames, weight);
    if (x.rank() < 3 || x.rank() > 5 || weight.rank() != x.rank() || x.size(1) != weight.size(0)) {
        fail(
            ErrorKind::kShape, op,
            "input has shape %s and weight %s; required are (N, C, spatial...) and (C, O / groups, "
            "kernel...) with one C",
            format_shape(x.shape()).c_str(), format_shape(weight.shape()).c_str());
    }
    if (geometry.groups < 1 || x.size(1) % geometry.groups != 0) {
        fail(ErrorKind::kShape, op, "groups=%lld must divide the %lld channels of input %s",
             ll(geometry.groups), ll(x.size(1)), format_shape(x.shape()).c_str());
    }
    check_geometry(op, geometry);
    ConvGeometry g = geometry;
    Dims spatial;
    for (size_t d = 0; d < output_padding.size(); ++d) {
        if (output_padding[d] < 0 || output_padding[d] >= std::max(g.stride[d], g.dilation[d])) {
            fail(ErrorKind::kValue, op,
                 "output_padding is %lld; it must be 0 or more and smaller "
                 "than the stride (%lld) or the dilation (%lld)",
                 ll(output_padding[d]), ll(g.stride[d]), ll(g.dilation[d]));
        }
        spatial.push_back((x.size(d + 2) - 1) * g.stride[d] - g.pad_low[d] - g.pad_high[d] +
                          g.dilation[d] * (weight.size(d + 2) - 1) + output_padding[d] + 1);
        if (spatial[d] < 1) {
            fail(ErrorKind::kShape, op,
                 "input %s with weight %s and padding %lld gives the size "
                 "%lld in dimension %zu; use less padding",
                 format_shape(x.shape()).c_str(), format_shape(weight.shape()).c_str(),
                 ll(g.pad_low[d]), ll(spatial[d]), d + 2);
        }
        // What is added at the end of the result is padding that the convolution does not have.
        g.pad_high[d] -= output_padding[d];
    }
    Tensor a = x, w = weight;
    promote_operands(op, &a, &w);
    return with_bias(op, record(id, {a, w}, attrs_of(g).ints(spatial)), bias);
}

Dims spatial_list(const char* op, const char* what, DimSpan values, bool single, int rank) {
    if (single || (values.size() == 1 && rank > 1)) return Dims(rank, values[0]);
    if (static_cast<int>(values.size()) != rank) {
        fail(ErrorKind::kValue, op, "%s is %s; one int or %d are required", what,
             format_shape(values).c_str(), rank);
    }
    return Dims(values);
}

// ---- public functions ---------------------------------------------------------------------------

namespace {

// Layers also take one sample without the batch dimension.
template <class F>
Tensor batched(const Tensor& x, int spatial_rank, F body) {
    if (x.rank() != spatial_rank + 1) return body(x);
    const int64_t first[] = {0};
    return squeeze(body(unsqueeze(x, 0)), first);
}

template <int R>
Tensor call_conv(const Args& a) {  // x weight bias stride padding dilation groups auto_pad
    const char* op = kConvNames[R - 1];
    const Tensor& w = a.tensor(1);
    const int rank = a.tensor(0).rank();
    if (w.rank() != R + 2 || (rank != R + 2 && rank != R + 1)) {
        constexpr const char* kForms[] = {"length", "height, width", "depth, height, width"};
        fail(ErrorKind::kShape, op,
             "input has shape %s and weight %s; required are (N, C, %s) or (C, %s), and "
             "(O, C / groups, kernel %s); check the rank of both",
             format_shape(a.tensor(0).shape()).c_str(), format_shape(w.shape()).c_str(),
             kForms[R - 1], kForms[R - 1], kForms[R - 1]);
    }
    ConvGeometry g;
    g.stride = spatial_list(op, "stride", a.ints(3), a.single(3), R);
    g.dilation = spatial_list(op, "dilation", a.ints(5), a.single(5), R);
    g.groups = a.integer(6);
    g.pad_low = g.pad_high = spatial_list(op, "padding", a.ints(4), a.single(4), R);
    const std::string_view mode = a.text(7);
    if (mode == "same") {
        for (int d = 0; d < R; ++d) {
            if (g.stride[d] != 1) {
                fail(ErrorKind::kValue, op,
                     "padding is 'same' and the stride %lld; 'same' keeps the "
                     "size only with stride 1; give the padding as numbers",
                     ll(g.stride[d]));
            }
            const int64_t total = g.dilation[d] * (w.size(d + 2) - 1);
            g.pad_low[d] = total / 2;
            g.pad_high[d] = total - total / 2;
        }
    } else if (mode == "valid") {
        g.pad_low = g.pad_high = Dims(R, 0);
    } else if (mode != "explicit") {
        fail(ErrorKind::kValue, op, "auto_pad is '%.*s'; it must be 'explicit', 'same' or 'valid'",
             static_cast<int>(mode.size()), mode.data());
    }
    return batched(a.tensor(0), R, [&](const Tensor& x) { return conv(x, w, a.tensor(2), g); });
}

// (x, weight, bias, stride, padding, output_padding, groups, dilation)
template <int R>
Tensor call_conv_transpose(const Args& a) {
    const char* op = kTransposeNames[R - 1];
    ConvGeometry g;
    g.stride = spatial_list(op, "stride", a.ints(3), a.single(3), R);
    g.pad_low = g.pad_high = spatial_list(op, "padding", a.ints(4), a.single(4), R);
    g.groups = a.integer(6);
    g.dilation = spatial_list(op, "dilation", a.ints(7), a.single(7), R);
    const Dims extra = spatial_list(op, "output_padding", a.ints(5), a.single(5), R);
    return batched(a.tensor(0), R, [&](const Tensor& x) {
        return conv_transpose(x, a.tensor(1), a.tensor(2), g, extra);
    });
}

#define SN_CONV_ARGS                                                       \
    "(x: Tensor, weight: Tensor, bias: Tensor? = None, stride: Ints = 1, " \
    "padding: Ints = 0, dilation: Ints = 1, groups: int = 1, "             \
    "auto_pad: str = \"explicit\") -> Tensor"
#define SN_CONV_TRANSPOSE_ARGS                                                           \
    "(x: Tensor, weight: Tensor, bias: Tensor? = None, stride: Ints = 1, "               \
    "padding: Ints = 0, output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) " \
    "-> Tensor"

void register_conv_functions() {
    register_function({.signature = "conv1d" SN_CONV_ARGS,
                       .doc = R"(Convolution over sequences: (N, C, L) with (O, C / groups, K).
See `conv2d`.

Examples
--------
>>> sn.conv1d(sn.tensor([[[1.0, 2.0, 3.0]]]), sn.tensor([[[1.0, 1.0]]])).tolist()
[[[3.0, 5.0]]]
)",
                       .autocast = Autocast::kLower,
                       .call = call_conv<1>,
                       .method = false});
    register_function({.signature = "conv2d" SN_CONV_ARGS,
                       .doc = R"(Convolution (cross-correlation, as everywhere in deep learning)
over images.

Parameters
----------
x : Tensor
    (N, C, H, W), or (C, H, W) for one image. In memory it is kept channels last.
weight : Tensor
    (O, C / groups, KH, KW).
bias : Tensor or None
    (O,). Added while the result is in cache.
stride, padding, dilation : int or tuple of int
    One number for all, or one per spatial dimension. Padding is zeros on both sides.
groups : int
    Channels and outputs are split into this many independent groups; C for a depthwise convolution.
auto_pad : str
    "explicit" uses `padding`; "same" keeps the size (stride 1 only); "valid" does not pad.

Returns
-------
Tensor
    (N, O, H', W') with H' = (H + 2 padding - dilation (KH - 1) - 1) // stride + 1.

Raises
------
ShapeError
    When channels, groups or sizes do not fit.

Examples
--------
>>> sn.conv2d(sn.ones((1, 3, 8, 8)), sn.ones((4, 3, 3, 3)), padding=1).shape
(1, 4, 8, 8)
)",
                       .autocast = Autocast::kLower,
                       .call = call_conv<2>,
                       .method = false});
    register_function({.signature = "conv3d" SN_CONV_ARGS,
                       .doc = R"(Convolution over volumes: (N, C, D, H, W) with (O, C / groups,
KD, KH, KW). See `conv2d`.

Examples
--------
>>> sn.conv3d(sn.ones((1, 1, 4, 4, 4)), sn.ones((2, 1, 3, 3, 3))).shape
(1, 2, 2, 2, 2)
)",
                       .autocast = Autocast::kLower,
                       .call = call_conv<3>,
                       .method = false});
    register_function({.signature = "conv_transpose1d" SN_CONV_TRANSPOSE_ARGS,
                       .doc = R"(Transposed convolution over sequences: (N, C, L) with (C, O /
groups, K). See `conv_transpose2d`.

Examples
--------
>>> sn.conv_transpose1d(sn.tensor([[[1.0, 2.0]]]), sn.tensor([[[1.0, 1.0]]])).tolist()
[[[1.0, 3.0, 2.0]]]
)",
                       .autocast = Autocast::kLower,
                       .call = call_conv_transpose<1>,
                       .method = false});
    register_function({.signature = "conv_transpose2d" SN_CONV_TRANSPOSE_ARGS,
                       .doc = R"(Transposed convolution: the adjoint of `conv2d`, often used to
enlarge images.

Parameters
----------
x : Tensor
    (N, C, H, W), or (C, H, W) for one image.
weight : Tensor
    (C, O / groups, KH, KW).
bias : Tensor or None
    (O,).
stride, padding, dilation : int or tuple of int
    Those of the convolution whose adjoint this is.
output_padding : int or tuple of int
    Added to one side of the result: a strided convolution maps several sizes to one.
groups : int
    Independent groups of channels.

Returns
-------
Tensor
    (N, O, H', W') with H' = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1.

Examples
--------
>>> sn.conv_transpose2d(sn.ones((1, 3, 4, 4)), sn.ones((3, 2, 2, 2)), stride=2).shape
(1, 2, 8, 8)
)",
                       .autocast = Autocast::kLower,
                       .call = call_conv_transpose<2>,
                       .method = false});
    register_function({.signature = "conv_transpose3d" SN_CONV_TRANSPOSE_ARGS,
                       .doc = R"(Transposed convolution over volumes. See `conv_transpose2d`.

Examples
--------
>>> sn.conv_transpose3d(sn.ones((1, 1, 2, 2, 2)), sn.ones((1, 1, 2, 2, 2)), stride=2).shape
(1, 1, 4, 4, 4)
)",
                       .autocast = Autocast::kLower,
                       .call = call_conv_transpose<3>,
                       .method = false});
}

}  // namespace

void register_conv_ops() {
    const uint32_t both = save_in(0) | save_in(1);
    register_op({.name = "conv",
                 .n_in = 2,
                 .schema = SN_CONV_SCHEMA,
                 .doc = "Convolution of (N, C, spatial...) with (O, C / groups, kernel...).",
                 .infer = infer_conv,
                 .grad = grad_conv,
                 .saves = both,
                 .batch = batch_conv<kForward>,
                 .check = check_conv,
                 .work = work_of<kForward>,
                 .layout = Layout::kChannelsLast,
                 .channels_last_in = 0b01,
                 .channels_last_out = 0b1,
                 .epilogue = true});
    register_op({.name = "conv_data_grad",
                 .n_in = 2,
                 .schema = SN_CONV_SCHEMA " spatial:ints",
                 .doc = "The adjoint of a convolution with respect to its input.",
                 .infer = infer_data_grad,
                 .grad = grad_data_grad,
                 .saves = both,
                 .batch = batch_conv<kDataGrad>,
                 .check = check_data_grad,
                 .work = work_of<kDataGrad>,
                 .layout = Layout::kChannelsLast,
                 .channels_last_in = 0b01,
                 .channels_last_out = 0b1,
                 .epilogue = true});
    register_op({.name = "conv_weight_grad",
                 .n_in = 2,
                 .schema = SN_CONV_SCHEMA " kernel:ints",
                 .doc = "The adjoint of a convolution with respect to its weight.",
                 .infer = infer_weight_grad,
                 .grad = grad_weight_grad,
                 .saves = both,
                 .batch = batch_conv<kWeightGrad>,
                 .check = check_weight_grad,
                 .work = work_of<kWeightGrad>,
                 .layout = Layout::kChannelsLast,
                 .channels_last_in = 0b11,
                 .channels_last_out = 0});
    register_conv_functions();
    register_pool_ops();
}

}  // namespace sn
