#include <algorithm>

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/conv.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"

namespace sn {

namespace {

// Attributes 0-4 of every op here: kernel, stride, pad, dilation, ceil; averages add
// include_pad and divisor; gradients end with the input's spatial sizes.
#define SN_POOL_SCHEMA "kernel:ints stride:ints pad:ints dilation:ints ceil:bool"
#define SN_AVERAGE_SCHEMA SN_POOL_SCHEMA " include_pad:bool divisor:int"

Attrs pool_attrs(const AttrView& a) {
    Attrs out;
    out.ints(a.ints(0)).ints(a.ints(1)).ints(a.ints(2)).ints(a.ints(3)).b(a.b(4));
    return out;
}
Attrs average_attrs(const AttrView& a) { return pool_attrs(a).b(a.b(5)).i(a.i(6)); }

constexpr const char* kMaxNames[] = {"max_pool1d", "max_pool2d", "max_pool3d"};
constexpr const char* kAverageNames[] = {"avg_pool1d", "avg_pool2d", "avg_pool3d"};

Dims pooled_shape(const char* const (&names)[3], const Dims& x, const AttrView& a) {
    const char* op = names[std::clamp<size_t>(a.ints(0).size(), 1, 3) - 1];
    const DimSpan kernel = a.ints(0), stride = a.ints(1), pad = a.ints(2), dilation = a.ints(3);
    if (x.size() != kernel.size() + 2) {
        fail(ErrorKind::kShape, op,
             "x has shape %s; a window of %zu dimensions needs (N, C, and "
             "%zu more)",
             format_shape(x).c_str(), kernel.size(), kernel.size());
    }
    Dims out{x[0], x[1]};
    for (size_t d = 0; d < kernel.size(); ++d) {
        const int64_t extent = dilation[d] * (kernel[d] - 1) + 1;
        const int64_t space = x[d + 2] + 2 * pad[d] - extent;
        if (space < 0) {
            fail(ErrorKind::kShape, op,
                 "the window covers %lld elements of dimension %zu and the "
                 "padded input has %lld (input %s, padding %lld); use a smaller window",
                 ll(extent), d + 2, ll(x[d + 2] + 2 * pad[d]), format_shape(x).c_str(), ll(pad[d]));
        }
        int64_t size = (a.b(4) ? (space + stride[d] - 1) / stride[d] : space / stride[d]) + 1;
        // The last window must begin inside the input or its left padding.
        if (a.b(4) && (size - 1) * stride[d] >= x[d + 2] + pad[d]) --size;
        out.push_back(size);
    }
    return out;
}

// Calls from files, whose windows are over an image of shape x.
void check_windows(const CheckCall& c, DimSpan x) {
    c.tensors(0, c.in.size());
    c.floating(0);
    const size_t n = c.attrs.ints(0).size();
    c.require(n >= 1 && n <= 3 && x.size() == n + 2, "the operand has the wrong rank");
    for (int k = 1; k < 4; ++k) c.require(c.attrs.ints(k).size() == n, "an attribute is too short");
    constexpr int64_t kMost = int64_t{1} << 31;
    for (size_t d = 0; d < n; ++d) {
        const int64_t kernel = c.attrs.ints(0)[d], stride = c.attrs.ints(1)[d],
                      pad = c.attrs.ints(2)[d], dilation = c.attrs.ints(3)[d];
        c.require(kernel >= 1 && stride >= 1 && dilation >= 1 && kernel < kMost && stride < kMost &&
                      dilation < kMost && pad >= 0 && 2 * pad <= dilation * (kernel - 1) + 1,
                  "kernel, stride, padding or dilation are out of range");
    }
}
void check_window(const CheckCall& c) { check_windows(c, c.shape(0)); }
template <int spatial_attr>
void check_pool_grad(const CheckCall& c) {
    c.require(c.rank(0) >= 3, "the operand has the wrong rank");
    Dims x{c.shape(0)[0], c.shape(0)[1]};
    for (int64_t size : c.attrs.ints(spatial_attr)) x.push_back(size);
    for (int64_t size : x) c.require(size >= 0, "a size is negative");
    check_windows(c, x);
    c.require(pooled_shape(kAverageNames, x, c.attrs) == c.shape(0), "shapes do not fit");
}
// Positions may be any numbers: kernels compare them with places, and leave out what is none.
void check_max_grad(const CheckCall& c) {
    check_pool_grad<5>(c);
    c.require(c.dtype(1) == DType::kI64 && c.shape(1) == c.shape(0), "positions do not fit");
}

void infer_max_pool(InferCall& c) {
    for (Meta& out : c.out) out.shape = pooled_shape(kMaxNames, c.in[0]->shape, c.attrs);
    c.out[0].dtype = c.in[0]->dtype;
    c.out[1].dtype = DType::kI64;
}
void infer_avg_pool(InferCall& c) {
    c.out[0].shape = pooled_shape(kAverageNames, c.in[0]->shape, c.attrs);
    c.out[0].dtype = c.in[0]->dtype;
}
template <int spatial_attr>
void infer_pool_grad(InferCall& c) {
    const Dims& g = c.in[0]->shape;
    Dims out{g[0], g[1]};
    for (int64_t size : c.attrs.ints(spatial_attr)) out.push_back(size);
    c.out[0].shape = out;
    c.out[0].dtype = c.in[0]->dtype;
}
DimSpan spatial_of(const Meta& m) { return DimSpan(m.shape).subspan(2); }

void grad_max_pool(GradCall& c) {
    static const OpId id = find_op("max_pool_grad");
    if (!c.has_grad(0)) return;
    c.set(0, record(id, {c.grad(), c.out(1)}, pool_attrs(c.attrs).ints(spatial_of(c.in_meta(0)))));
}
// What the forward pass chose, picked again: linear in the gradient.
void grad_max_pool_grad(GradCall& c) {
    const Tensor &g = c.grad(), index = c.in(1);
    const int64_t flat[] = {g.size(0), g.size(1), g.numel() == 0 ? 0 : -1};
    const int64_t flat_index[] = {g.size(0), g.size(1), index.numel() == 0 ? 0 : -1};
    const Tensor picked = take_along_axis(reshape(g, flat), reshape(index, flat_index), 2);
    c.set(0, reshape(picked, index.shape()));
}
void grad_avg_pool(GradCall& c) {
    static const OpId id = find_op("avg_pool_grad");
    c.set(0, record(id, {c.grad()}, average_attrs(c.attrs).ints(spatial_of(c.in_meta(0)))));
}
void grad_avg_pool_grad(GradCall& c) {
    static const OpId id = find_op("avg_pool");
    c.set(0, record(id, {c.grad()}, average_attrs(c.attrs)));
}

// Images of all examples are one batch of images.
bool batch_pool(BatchCall& c) {
    std::vector<Tensor> in;
    for (size_t i = 0; i < c.in.size(); ++i) in.push_back(joined_images(c.spread(i)));
    c.call(in, same_attrs(c));
    for (Tensor& y : c.out) y = split_images(y, c.size);
    return true;
}

void check_pool(const char* const (&names)[3], const Tensor& x, const PoolGeometry& g) {
    const size_t rank = g.kernel.size();
    const char* op = names[std::clamp<size_t>(rank, 1, 3) - 1];
    if (static_cast<size_t>(x.rank()) != rank + 2) {
        fail(ErrorKind::kShape, op,
             "x has shape %s; (N, C) and %zu spatial dimensions are required",
             format_shape(x.shape()).c_str(), rank);
    }
    for (size_t d = 0; d < rank; ++d) {
        if (g.kernel[d] < 1 || g.stride[d] < 1 || g.dilation[d] < 1) {
            fail(ErrorKind::kValue, op, "kernel %s, stride %s, dilation %s; all must be 1 or more",
                 format_shape(g.kernel).c_str(), format_shape(g.stride).c_str(),
                 format_shape(g.dilation).c_str());
        }
        if (g.pad[d] < 0 || 2 * g.pad[d] > g.dilation[d] * (g.kernel[d] - 1) + 1) {
            fail(ErrorKind::kValue, op,
                 "padding is %s and the kernel %s; padding must be at most "
                 "half of what the window covers, so that no window is empty",
                 format_shape(g.pad).c_str(), format_shape(g.kernel).c_str());
        }
    }
}

Attrs attrs_of(const PoolGeometry& g) {
    Attrs out;
    out.ints(g.kernel).ints(g.stride).ints(g.pad).ints(g.dilation).b(g.ceil_mode);
    return out;
}

// One adaptive axis: window i of n covers [floor(i size / n), ceil((i + 1) size / n)).
int64_t window_begin(int64_t i, int64_t size, int64_t n) { return i * size / n; }
int64_t window_end(int64_t i, int64_t size, int64_t n) { return ((i + 1) * size + n - 1) / n; }

// (n, elements): which elements of an axis each window covers; short windows repeat the last one.
Tensor window_elements(int64_t size, int64_t n, Device device) {
    int64_t most = 0;
    for (int64_t i = 0; i < n; ++i)
        most = std::max(most, window_end(i, size, n) - window_begin(i, size, n));
    const Tensor i = arange(0, 1, n, DType::kI64, device);
    const Tensor step = arange(0, 1, most, DType::kI64, device);
    const Tensor begin = floor_divide(i * int_scalar(size), int_scalar(n));
    const Tensor last =
        floor_divide((i + int_scalar(1)) * int_scalar(size) - int_scalar(1), int_scalar(n));
    const int64_t column[] = {n, 1};
    return minimum(reshape(begin, column) + step, reshape(last, column));
}

template <class Reduce>
Tensor adaptive_axis(const Tensor& x, int axis, int64_t n, Reduce reduce) {
    const int64_t at[] = {axis}, size = x.size(axis);
    if (n == size) return x;
    if (n == 1) return reduce(x, DimSpan(at), true);
    std::vector<Tensor> parts;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t begin = window_begin(i, size, n);
        parts.push_back(
            reduce(narrow(x, axis, begin, window_end(i, size, n) - begin), DimSpan(at), true));
    }
    return concat(parts, axis);
}

// When every size is a multiple of its result, the windows are those of an ordinary pooling.
bool even_windows(const char* op, const Tensor& x, DimSpan output_size, PoolGeometry* g) {
    const size_t rank = output_size.size();
    if (static_cast<size_t>(x.rank()) != rank + 2) {
        fail(ErrorKind::kShape, op,
             "x has shape %s; (N, C) and %zu spatial dimensions are required",
             format_shape(x.shape()).c_str(), rank);
    }
    bool even = true;
    for (size_t d = 0; d < rank; ++d) {
        const int64_t n = output_size[d], size = x.size(static_cast<int>(d) + 2);
        if (n < 1 || size < 1) {
            fail(ErrorKind::kValue, op, "output size %s for x of shape %s; both must be 1 or more",
                 format_shape(output_size).c_str(), format_shape(x.shape()).c_str());
        }
        even &= size % n == 0;
        g->kernel.push_back(std::max<int64_t>(size / n, 1));
    }
    g->stride = g->kernel;
    g->pad = Dims(rank, 0);
    g->dilation = Dims(rank, 1);
    return even;
}

bool all_ones(DimSpan sizes) {
    return std::all_of(sizes.begin(), sizes.end(), [](int64_t n) { return n == 1; });
}

}  // namespace

MaxPoolResult max_pool(const Tensor& x, const PoolGeometry& geometry) {
    static const OpId id = find_op("max_pool");
    check_pool(kMaxNames, x, geometry);
    if (is_bool(x.dtype()))
        fail(ErrorKind::kDType, kMaxNames[geometry.kernel.size() - 1],
             "x is bool; numbers are required");
    Tensor out[2];
    record(id, {&x, 1}, attrs_of(geometry), out);
    return {out[0], out[1]};
}

Tensor avg_pool(const Tensor& x, const PoolGeometry& geometry, bool count_include_pad,
                int64_t divisor_override) {
    static const OpId id = find_op("avg_pool");
    check_pool(kAverageNames, x, geometry);
    require_float(kAverageNames[geometry.kernel.size() - 1], "x", x.dtype());
    return record(id, {x}, attrs_of(geometry).b(count_include_pad).i(divisor_override));
}

Tensor adaptive_avg_pool(const Tensor& x, DimSpan output_size) {
    PoolGeometry g;
    const bool even = even_windows("adaptive_avg_pool", x, output_size, &g);
    if (all_ones(output_size)) return mean(x, trailing_axes(x.rank(), output_size.size()), true);
    if (even) return avg_pool(x, g, true, 0);
    // The average over a box is the average of averages along each axis.
    Tensor y = to_compute(x);
    for (size_t d = 0; d < output_size.size(); ++d)
        y = adaptive_axis(y, static_cast<int>(d) + 2, output_size[d], mean);
    return cast(y, x.dtype());
}

MaxPoolResult adaptive_max_pool(const Tensor& x, DimSpan output_size) {
    PoolGeometry g;
    const size_t rank = output_size.size();
    const bool even = even_windows("adaptive_max_pool", x, output_size, &g);
    if (is_bool(x.dtype()))
        fail(ErrorKind::kDType, "adaptive_max_pool", "x is bool; numbers are required");
    if (even && !all_ones(output_size)) return max_pool(x, g);
    int64_t plane = 1, windows = 1;
    for (size_t d = 0; d < rank; ++d) {
        plane *= x.size(static_cast<int>(d) + 2);
        windows *= output_size[d];
    }
    const int64_t flat[] = {x.size(0), x.size(1), plane};
    const Tensor planes = reshape(x, flat);
    Tensor index;
    if (all_ones(output_size)) {
        index = argmax(planes, 2, true);
    } else {
        // Positions of the elements of each window in the plane. A window that is smaller than the
        // largest one repeats its last element, which changes neither the maximum nor the first
        // place of it.
        Tensor at = int_scalar(0);
        for (size_t d = 0; d < rank; ++d) {
            Dims shape(2 * rank, 1);
            const Tensor axis =
                window_elements(x.size(static_cast<int>(d) + 2), output_size[d], x.device());
            shape[d] = axis.size(0);
            shape[rank + d] = axis.size(1);
            at = at * int_scalar(x.size(static_cast<int>(d) + 2)) + reshape(axis, shape);
        }
        const int64_t by_window[] = {windows, -1};
        at = reshape(at, by_window);
        const Tensor best = argmax(take(planes, at, 2), 3, false);
        const Tensor first = arange(0, at.size(1), windows, DType::kI64, x.device());
        const int64_t all[] = {-1};
        index = take(reshape(at, all), best + first, 0);
    }
    Dims shape{x.size(0), x.size(1)};
    for (int64_t n : output_size) shape.push_back(n);
    return {reshape(take_along_axis(planes, index, 2), shape), reshape(index, shape)};
}

// ---- public functions ---------------------------------------------------------------------------

namespace {

template <class F>
auto batched(const Tensor& x, int spatial_rank, F body) {
    return body(x.rank() == spatial_rank + 1 ? unsqueeze(x, 0) : x);
}
Tensor unbatched(const Tensor& like, int spatial_rank, const Tensor& y) {
    const int64_t first[] = {0};
    return like.rank() == spatial_rank + 1 ? squeeze(y, first) : y;
}

PoolGeometry geometry(const char* op, const Args& a, int rank) {  // x kernel_size stride padding
    PoolGeometry g;
    g.kernel = spatial_list(op, "kernel_size", a.ints(1), a.single(1), rank);
    g.stride = a.has(2) ? spatial_list(op, "stride", a.ints(2), a.single(2), rank) : g.kernel;
    g.pad = spatial_list(op, "padding", a.ints(3), a.single(3), rank);
    g.dilation = Dims(rank, 1);
    return g;
}

template <int R>
MaxPoolResult call_max(const Args& a) {  // ... dilation ceil_mode
    PoolGeometry g = geometry(kMaxNames[R - 1], a, R);
    g.dilation = spatial_list(kMaxNames[R - 1], "dilation", a.ints(4), a.single(4), R);
    g.ceil_mode = a.flag(5);
    return batched(a.tensor(0), R, [&](const Tensor& x) {
        const MaxPoolResult r = max_pool(x, g);
        return MaxPoolResult{unbatched(a.tensor(0), R, r.y), unbatched(a.tensor(0), R, r.index)};
    });
}
template <int R>
Tensor call_max_values(const Args& a) {
    return call_max<R>(a).y;
}
template <int R>
Results call_max_both(const Args& a) {
    const MaxPoolResult r = call_max<R>(a);
    return {r.y, r.index};
}
template <int R>
Tensor call_avg(const Args& a) {  // ... ceil_mode count_include_pad divisor_override
    PoolGeometry g = geometry(kAverageNames[R - 1], a, R);
    g.ceil_mode = a.flag(4);
    const int64_t divisor = a.has(6) ? a.integer(6) : 0;
    if (a.has(6) && divisor == 0)
        fail(ErrorKind::kValue, kAverageNames[R - 1], "divisor_override is 0; it must not be zero");
    return batched(a.tensor(0), R, [&](const Tensor& x) {
        return unbatched(a.tensor(0), R, avg_pool(x, g, a.flag(5), divisor));
    });
}
template <int R>
Tensor call_adaptive_avg(const Args& a) {
    const Dims size = spatial_list("adaptive_avg_pool", "output_size", a.ints(1), a.single(1), R);
    return batched(a.tensor(0), R, [&](const Tensor& x) {
        return unbatched(a.tensor(0), R, adaptive_avg_pool(x, size));
    });
}
template <int R>
Results call_adaptive_max_both(const Args& a) {
    const Dims size = spatial_list("adaptive_max_pool", "output_size", a.ints(1), a.single(1), R);
    return batched(a.tensor(0), R, [&](const Tensor& x) {
        const MaxPoolResult r = adaptive_max_pool(x, size);
        return Results{unbatched(a.tensor(0), R, r.y), unbatched(a.tensor(0), R, r.index)};
    });
}
template <int R>
Tensor call_adaptive_max(const Args& a) {
    return call_adaptive_max_both<R>(a)[0];
}

#define SN_MAX_ARGS                                                            \
    "(x: Tensor, kernel_size: Ints, stride: Ints? = None, padding: Ints = 0, " \
    "dilation: Ints = 1, ceil_mode: bool = False) -> "
#define SN_AVG_ARGS                                                            \
    "(x: Tensor, kernel_size: Ints, stride: Ints? = None, padding: Ints = 0, " \
    "ceil_mode: bool = False, count_include_pad: bool = True, "                \
    "divisor_override: int? = None) -> Tensor"

void register_max_functions() {
    register_function({.signature = "max_pool1d" SN_MAX_ARGS "Tensor",
                       .doc = R"(Largest element in each window of a sequence (N, C, L). See
`max_pool2d`.

Examples
--------
>>> sn.max_pool1d(sn.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
[[[3.0, 2.0]]]
)",
                       .call = call_max_values<1>,
                       .method = false});
    register_function({.signature = "max_pool2d" SN_MAX_ARGS "Tensor",
                       .doc = R"(Largest element in each window of an image.

Parameters
----------
x : Tensor
    (N, C, H, W), or (C, H, W) for one image.
kernel_size : int or tuple of int
    The window.
stride : int or tuple of int or None
    Step between windows; None: the window's size.
padding : int or tuple of int
    Elements of -inf on both sides; at most half of the window.
dilation : int or tuple of int
    Step between the elements of a window.
ceil_mode : bool
    Keep a last window that reaches over the edge.

Returns
-------
Tensor
    (N, C, H', W'). NaN wins; among equal elements the first one gets the gradient.

Examples
--------
>>> sn.max_pool2d(sn.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 2).tolist()
[[[[4.0]]]]
)",
                       .call = call_max_values<2>,
                       .method = false});
    register_function({.signature = "max_pool3d" SN_MAX_ARGS "Tensor",
                       .doc = R"(Largest element in each window of a volume (N, C, D, H, W). See
`max_pool2d`.

Examples
--------
>>> sn.max_pool3d(sn.ones((1, 1, 4, 4, 4)), 2).shape
(1, 1, 2, 2, 2)
)",
                       .call = call_max_values<3>,
                       .method = false});
    const char* both = R"(Max pooling that also returns where each result stood.

Parameters are those of the pooling without indices.

Returns
-------
tuple of Tensor
    The values, and int64 positions in the flattened spatial plane of the input.

Examples
--------
>>> values, index = sn.max_pool1d_with_indices(sn.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
>>> index.tolist()
[[[1, 2]]]
)";
    register_function({.signature = "max_pool1d_with_indices" SN_MAX_ARGS "tuple[Tensor, Tensor]",
                       .doc = both,
                       .call_many = call_max_both<1>,
                       .method = false});
    register_function({.signature = "max_pool2d_with_indices" SN_MAX_ARGS "tuple[Tensor, Tensor]",
                       .doc = both,
                       .call_many = call_max_both<2>,
                       .method = false});
    register_function({.signature = "max_pool3d_with_indices" SN_MAX_ARGS "tuple[Tensor, Tensor]",
                       .doc = both,
                       .call_many = call_max_both<3>,
                       .method = false});
}

void register_avg_functions() {
    register_function({.signature = "avg_pool1d" SN_AVG_ARGS,
                       .doc = R"(Mean of each window of a sequence (N, C, L). See `avg_pool2d`.

Examples
--------
>>> sn.avg_pool1d(sn.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
[[[2.0, 1.0]]]
)",
                       .call = call_avg<1>,
                       .method = false});
    register_function({.signature = "avg_pool2d" SN_AVG_ARGS,
                       .doc = R"(Mean of each window of an image.

Parameters
----------
x : Tensor
    (N, C, H, W), or (C, H, W) for one image. Half types accumulate in float32.
kernel_size, stride, padding, ceil_mode
    As in `max_pool2d`; padding is with zeros.
count_include_pad : bool
    Whether padding counts in the divisor.
divisor_override : int or None
    Divide by this instead of the number of elements.

Returns
-------
Tensor
    (N, C, H', W').

Examples
--------
>>> sn.avg_pool2d(sn.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 2).tolist()
[[[[2.5]]]]
)",
                       .call = call_avg<2>,
                       .method = false});
    register_function({.signature = "avg_pool3d" SN_AVG_ARGS,
                       .doc = R"(Mean of each window of a volume (N, C, D, H, W). See `avg_pool2d`.

Examples
--------
>>> sn.avg_pool3d(sn.ones((1, 1, 4, 4, 4)), 2).shape
(1, 1, 2, 2, 2)
)",
                       .call = call_avg<3>,
                       .method = false});
}

void register_adaptive_functions() {
    const char* avg = R"(Means of windows chosen so that the result has `output_size`, whatever
the input's size.

Window i of n covers the elements from floor(i L / n) up to ceil((i + 1) L / n).

Examples
--------
>>> sn.adaptive_avg_pool1d(sn.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 1).tolist()
[[[1.5]]]
)";
    const char* max = R"(Largest elements of windows chosen so that the result has `output_size`.

Window i of n covers the elements from floor(i L / n) up to ceil((i + 1) L / n).

Examples
--------
>>> sn.adaptive_max_pool1d(sn.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 1).tolist()
[[[3.0]]]
)";
#define SN_ADAPTIVE(kind, R)                                                               \
    register_function({.signature =                                                        \
                           "adaptive_" #kind "_pool" #R "d(x: Tensor, output_size: Ints) " \
                           "-> Tensor",                                                    \
                       .doc = kind,                                                        \
                       .call = call_adaptive_##kind<R>,                                    \
                       .method = false});
    SN_ADAPTIVE(avg, 1)
    SN_ADAPTIVE(avg, 2)
    SN_ADAPTIVE(avg, 3)
    SN_ADAPTIVE(max, 1)
    SN_ADAPTIVE(max, 2)
    SN_ADAPTIVE(max, 3)
#undef SN_ADAPTIVE
    const char* both = R"(Adaptive max pooling that also returns where each result stood.

Window i of n covers the elements from floor(i L / n) up to ceil((i + 1) L / n). Among equal elements
the first one counts, and gets the gradient.

Returns
-------
tuple of Tensor
    The values, and int64 positions in the flattened spatial plane of the input.

Examples
--------
>>> x = sn.tensor([[[1.0, 3.0, 2.0, 0.0]]])
>>> values, index = sn.adaptive_max_pool1d_with_indices(x, 2)
>>> index.tolist()
[[[1, 2]]]
)";
#define SN_ADAPTIVE_BOTH(R)                                                                       \
    register_function({.signature =                                                               \
                           "adaptive_max_pool" #R "d_with_indices(x: Tensor, output_size: Ints) " \
                           "-> tuple[Tensor, Tensor]",                                            \
                       .doc = both,                                                               \
                       .call_many = call_adaptive_max_both<R>,                                    \
                       .method = false});
    SN_ADAPTIVE_BOTH(1)
    SN_ADAPTIVE_BOTH(2)
    SN_ADAPTIVE_BOTH(3)
#undef SN_ADAPTIVE_BOTH
}

}  // namespace

void register_pool_ops() {
    register_op({.name = "max_pool",
                 .n_out = 2,
                 .schema = SN_POOL_SCHEMA,
                 .doc = "Largest element of each window and its position.",
                 .infer = infer_max_pool,
                 .grad = grad_max_pool,
                 .saves = save_out(1),
                 .batch = batch_pool,
                 .check = check_window,
                 .layout = Layout::kChannelsLast,
                 .channels_last_in = 0b1,
                 .optional_out = 0b10});
    register_op({.name = "max_pool_grad",
                 .n_in = 2,
                 .schema = SN_POOL_SCHEMA " spatial:ints",
                 .doc = "Sums values at the positions that windows chose.",
                 .infer = infer_pool_grad<5>,
                 .grad = grad_max_pool_grad,
                 .saves = save_in(1),
                 .batch = batch_pool,
                 .check = check_max_grad,
                 .layout = Layout::kChannelsLast,
                 .channels_last_in = 0b11});
    register_op({.name = "avg_pool",
                 .schema = SN_AVERAGE_SCHEMA,
                 .doc = "Mean of each window.",
                 .infer = infer_avg_pool,
                 .grad = grad_avg_pool,
                 .batch = batch_pool,
                 .check = check_window,
                 .layout = Layout::kChannelsLast,
                 .channels_last_in = 0b1});
    register_op({.name = "avg_pool_grad",
                 .schema = SN_AVERAGE_SCHEMA " spatial:ints",
                 .doc = "The adjoint of avg_pool.",
                 .infer = infer_pool_grad<7>,
                 .grad = grad_avg_pool_grad,
                 .batch = batch_pool,
                 .check = check_pool_grad<7>,
                 .layout = Layout::kChannelsLast,
                 .channels_last_in = 0b1});
    register_max_functions();
    register_avg_functions();
    register_adaptive_functions();
}

}  // namespace sn
