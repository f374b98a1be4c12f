// Movement: ops that place elements without computing on them. Views (reshape, permute, expand,
// slice) only change strides; the others copy.
#include "op/movement.h"

#include <algorithm>

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/rules.h"
#include "record/read.h"
#include "record/tape.h"

namespace sn {

void register_movement_functions();
void register_barrier();

namespace {

Device attr_device(int64_t word) {
    return {static_cast<uint8_t>(word >> 8), static_cast<uint8_t>(word & 0xff)};
}

// Sizes with one -1 filled in so that the number of elements is that of `from`.
Dims resolve_reshape(const char* op, DimSpan from, DimSpan to) {
    Dims out(to);
    const int64_t count = numel(from);
    int open = -1;
    int64_t known = 1;
    for (size_t i = 0; i < out.size(); ++i) {
        if (out[i] == -1 && open < 0) {
            open = static_cast<int>(i);
        } else if (out[i] < 0) {
            fail(ErrorKind::kShape, op,
                 "the new shape is %s; sizes must be 0 or more, and at most one may be -1; check "
                 "size %lld",
                 format_shape(to).c_str(), ll(out[i]));
        } else {
            known *= out[i];
        }
    }
    if (open >= 0 && known != 0 && count % known == 0) {
        out[open] = count / known;
        known = count;
    }
    if (known != count || (open >= 0 && out[open] == -1)) {
        fail(ErrorKind::kShape, op,
             "shape %s has %lld elements and cannot become %s; both must have the same number of "
             "elements; use -1 for one size to have it computed",
             format_shape(from).c_str(), ll(count), format_shape(to).c_str());
    }
    return out;
}

Dims resolve_expand(const char* op, DimSpan from, DimSpan to) {
    Dims out(to);
    const size_t shift = to.size() - std::min(to.size(), from.size());
    bool fits = to.size() >= from.size();
    for (size_t i = 0; fits && i < to.size(); ++i) {
        const int64_t have = i < shift ? 1 : from[i - shift];
        if (out[i] == -1 && i >= shift) out[i] = have;
        fits = out[i] >= 0 && (have == out[i] || have == 1);
    }
    if (!fits) {
        fail(ErrorKind::kShape, op,
             "shape %s cannot be expanded to %s; aligned at the last dimension, each size must be "
             "equal or 1 (a -1 keeps it); unsqueeze to say where dimensions of size 1 belong",
             format_shape(from).c_str(), format_shape(to).c_str());
    }
    return out;
}

Dims inverse_permutation(DimSpan axes) {
    Dims inverse(axes.size(), 0);
    for (size_t i = 0; i < axes.size(); ++i) inverse[axes[i]] = static_cast<int64_t>(i);
    return inverse;
}

// The shared shape rule of slice and slice_update: `sizes` elements of x, `steps` apart. The starts
// are numbers of the run and were checked where they were made.
void check_region(const char* op, DimSpan shape, DimSpan sizes, DimSpan steps, size_t starts) {
    bool fits =
        sizes.size() == shape.size() && steps.size() == shape.size() && starts == shape.size();
    for (size_t i = 0; fits && i < shape.size(); ++i) {
        fits = sizes[i] >= 0 && steps[i] != 0 &&
               (sizes[i] == 0 || (sizes[i] - 1) * std::abs(steps[i]) < shape[i]);
    }
    if (!fits) {
        fail(
            ErrorKind::kShape, op,
            "a region of sizes %s with steps %s does not lie in shape %s; it needs one start, size "
            "and step per dimension, and must fit; check the sizes",
            format_shape(sizes).c_str(), format_shape(steps).c_str(), format_shape(shape).c_str());
    }
}

std::vector<Tensor> scalar_inputs(const GradCall& c, int from) {
    std::vector<Tensor> scalars;
    for (int i = from; i < c.n_in(); ++i) scalars.push_back(c.in(i));
    return scalars;
}

// ---- calls from files

void check_permute(const CheckCall& c) {
    c.tensors(0, 1);
    for (int64_t axis : c.attrs.ints(0)) c.axis(axis);
}
// The region lies in x: starts are numbers of the graph, behind `first` tensors.
template <size_t first>
void check_slice(const CheckCall& c) {
    const Dims& x = c.shape(0);
    c.operands(first + x.size(), first + x.size());
    const bool number = first == 2 && c.in[1].is_scalar();
    for (size_t i = 0; i < first; ++i)
        c.require(!c.in[i].is_scalar() || (i == 1 && number), "a tensor is required");
    c.require(first == 1 || number || c.dtype(1) == c.dtype(0), "the part has another dtype");
    const DimSpan sizes = c.attrs.ints(0), steps = c.attrs.ints(1);
    c.require(sizes.size() == x.size() && steps.size() == x.size(), "an attribute is too short");
    for (size_t d = 0; d < x.size(); ++d) {
        c.require(
            sizes[d] >= 0 && sizes[d] <= x[d] && steps[d] >= -x[d] - 1 && steps[d] <= x[d] + 1,
            "sizes or steps are out of range");
        const Tensor& start = c.in[first + d];
        c.require(start.is_scalar() && start.dtype() == DType::kI64, "a start is no integer");
        const int64_t from = start.value()->scalar.i;
        c.require(from >= -1 && from <= x[d], "a start is out of range");
        if (sizes[d] == 0) continue;
        const int64_t to = from + (sizes[d] - 1) * steps[d];
        c.require(from >= 0 && from < x[d] && to >= 0 && to < x[d], "the region leaves the tensor");
    }
}
void check_concat(const CheckCall& c) {
    c.tensors(0, c.in.size());
    c.one_dtype(0, c.in.size());
    c.axis(c.attrs.i(0));
    for (size_t i = 0; i < c.in.size(); ++i)
        c.require(c.rank(i) == c.rank(0), "operands differ in rank");
}
void check_pad(const CheckCall& c) {
    c.require(!c.in[0].is_scalar() &&
                  (c.in[1].is_scalar() || (c.rank(1) == 0 && c.dtype(1) == c.dtype(0))),
              "the value is no number of the tensor's dtype");
    for (int k : {0, 1})
        for (int64_t width : c.attrs.ints(k)) c.require(width >= 0, "a width is negative");
}
void check_full(const CheckCall& c) {
    c.require(c.in[0].is_scalar() || (c.rank(0) == 0 && c.dtype(0) == c.attrs.dtype(1)),
              "the value is no number of the result's dtype");
    c.on_cpu(c.attrs.i(2));
}
template <int dtype>
void check_range(const CheckCall& c) {
    c.tensors(0, 0);
    c.require(
        c.attrs.i(0) >= 0 && c.attrs.i(0) < int64_t{1} << 48 && !is_complex(c.attrs.dtype(dtype)),
        "attributes are out of range");
    c.on_cpu(c.attrs.i(dtype + 1));
}

// ---- batching rules: the batch is one more dimension in front

bool batch_reshape(BatchCall& c) {
    const Dims shape = resolve_reshape(c.def.name, c.shape(0), c.attrs.ints(0));
    return c.call({c.in[0]}, EditedAttrs(c).ints(0, with_front(c.size, shape)).get());
}

bool batch_permute(BatchCall& c) {
    const Dims axes = with_front(0, next_axes(c.attrs.ints(0)));
    return c.call({c.in[0]}, EditedAttrs(c).ints(0, axes).get());
}

bool batch_expand(BatchCall& c) {
    const Dims shape = resolve_expand(c.def.name, c.shape(0), c.attrs.ints(0));
    return c.call({c.raised(0, static_cast<int>(shape.size()))},
                  EditedAttrs(c).ints(0, with_front(c.size, shape)).get());
}

// slice, and slice_update, whose operand 1 is the part.
template <size_t starts>
bool batch_region(BatchCall& c) {
    if (c.any_batched(starts, c.in.size())) return false;
    std::vector<Tensor> in{c.spread(0)};
    if (starts == 2) in.push_back(c.raised(1, c.rank(0)));
    in.push_back(int_scalar(0));
    in.insert(in.end(), c.in.begin() + starts, c.in.end());
    return c.call(in, EditedAttrs(c)
                          .ints(0, with_front(c.size, c.attrs.ints(0)))
                          .ints(1, with_front(1, c.attrs.ints(1)))
                          .get());
}

bool batch_pad(BatchCall& c) {
    if (c.batched[1]) return false;
    return c.call(c.in, EditedAttrs(c)
                            .ints(0, with_front(0, c.attrs.ints(0)))
                            .ints(1, with_front(0, c.attrs.ints(1)))
                            .get());
}

bool batch_full(BatchCall& c) {
    const DimSpan shape = c.attrs.ints(0);
    const Tensor value = cast(c.in[0], c.attrs.dtype(1));
    const int64_t flat[] = {c.size};
    Dims ones(shape.size() + 1, 1);
    ones[0] = c.size;
    c.out[0] = expand(reshape(reshape(value, flat), ones), with_front(c.size, shape));
    return true;
}

Tensor zeros_of(const Meta& meta) { return full(meta.shape, 0, meta.dtype, meta.device); }

}  // namespace

// --- scalars ------------------------------------------------------------------------------------

Tensor scalar_operand(std::string_view op, const Tensor& value, DType dtype) {
    if (!value.is_scalar()) {
        if (value.rank() != 0 && value.numel() != 1) {
            fail(ErrorKind::kShape, op,
                 "the value has shape %s; one number is required; use where "
                 "or slicing to place many",
                 format_shape(value.shape()).c_str());
        }
        if (value.weak() && value.value()->kind == ValueState::kBuffer)  // on any device
            return scalar_operand(op, Tensor(read_number(op, value)), dtype);
        const Tensor flat = value.rank() == 0 ? value : reshape(value, {});
        return cast(flat, dtype);
    }
    const Scalar s = value.value()->scalar;
    if (is_inexact(dtype)) return Tensor(s.as_double());
    if (is_bool(dtype)) return Tensor(s.kind == ScalarKind::kFloat ? s.f != 0 : s.i != 0);
    return Tensor(s.as_int());
}

Tensor value_operand(std::string_view op, const Tensor& value, const Tensor& x) {
    if (value.is_scalar()) return scalar_operand(op, value, x.dtype());
    return value.weak() ? full({}, value, x.dtype(), x.device()) : cast(value, x.dtype());
}

Tensor int_scalar(int64_t value) { return Tensor(value); }

Scalar read_number(std::string_view op, const Tensor& value) {
    if (value.is_scalar()) return value.value()->scalar;
    if (value.numel() != 1) {
        fail(ErrorKind::kShape, op, "an argument has shape %s; one number is required",
             format_shape(value.shape()).c_str());
    }
    const bool real = is_float(value.dtype());
    Tensor keep;
    const void* data = read_values(cast(value, real ? DType::kF64 : DType::kI64), &keep);
    return real ? Scalar::of_float(*static_cast<const double*>(data))
                : Scalar::of_int(*static_cast<const int64_t*>(data));
}

// --- typed functions ----------------------------------------------------------------------------

Tensor reshape(const Tensor& x, DimSpan shape) {
    static const OpId id = find_op("reshape");
    if (std::ranges::equal(x.shape(), shape)) return x;
    if (x.is_scalar()) return full(shape, x, x.dtype(), x.device());
    return record(id, {x}, Attrs().ints(shape));
}

Tensor permute(const Tensor& x, DimSpan axes) {
    static const OpId id = find_op("permute");
    Dims order;
    for (int64_t a : axes) order.push_back(normalize_axis("permute", a, x.rank()));
    bool same = static_cast<int>(order.size()) == x.rank();
    for (size_t i = 0; same && i < order.size(); ++i) same = order[i] == static_cast<int64_t>(i);
    return same ? x : record(id, {x}, Attrs().ints(order));
}

Tensor expand(const Tensor& x, DimSpan shape) {
    static const OpId id = find_op("expand");
    if (std::ranges::equal(x.shape(), shape)) return x;
    if (x.is_scalar()) return full(shape, x, x.dtype(), x.device());
    return record(id, {x}, Attrs().ints(shape));
}

Tensor slice(const Tensor& x, std::span<const Tensor> starts, DimSpan sizes, DimSpan steps) {
    static const OpId id = find_op("slice");
    std::vector<Tensor> in{x};
    in.insert(in.end(), starts.begin(), starts.end());
    return record(id, in, Attrs().ints(sizes).ints(steps));
}

Tensor slice(const Tensor& x, DimSpan starts, DimSpan sizes, DimSpan steps) {
    bool whole = true;
    std::vector<Tensor> scalars;
    for (size_t i = 0; i < starts.size(); ++i) {
        whole = whole && sizes[i] == x.size(static_cast<int>(i)) && steps[i] == 1;
        // Clamped so that an empty part does not point behind the end.
        scalars.push_back(int_scalar(sizes[i] == 0 ? 0 : starts[i]));
    }
    return whole ? x : slice(x, std::span<const Tensor>(scalars), sizes, steps);
}

Tensor narrow(const Tensor& x, int64_t axis, int64_t start, int64_t size) {
    Dims starts(x.shape().size(), 0), sizes(x.shape()), steps(x.shape().size(), 1);
    starts[axis] = start;
    sizes[axis] = size;
    return slice(x, starts, sizes, steps);
}

Tensor slice_update(const Tensor& x, const Tensor& part, std::span<const Tensor> starts,
                    DimSpan sizes, DimSpan steps) {
    static const OpId id = find_op("slice_update");
    std::vector<Tensor> in{x, value_operand("slice_update", part, x)};
    in.insert(in.end(), starts.begin(), starts.end());
    return record(id, in, Attrs().ints(sizes).ints(steps));
}

Tensor concat(std::span<const Tensor> xs, int64_t axis) {
    static const OpId id = find_op("concat");
    if (xs.empty()) {
        fail(ErrorKind::kValue, "concat", "the list of tensors is empty; at least one is required");
    }
    if (xs.size() == 1) return xs[0];
    DType dtype = xs[0].dtype();
    int rank = 0;
    for (const Tensor& x : xs) {
        dtype = promote(dtype, x.dtype());
        rank = std::max(rank, x.rank());
    }
    std::vector<Tensor> in;
    for (const Tensor& x : xs) {
        // A vector without elements joins anything, as in PyTorch: the start of many a loop.
        const bool nothing = x.rank() == 1 && x.numel() == 0 && rank > 1;
        if (!nothing) in.push_back(cast(x, dtype));
    }
    if (in.size() == 1) return clone(in[0]);
    return record(id, in, Attrs().i(normalize_axis("concat", axis, in[0].rank())));
}

Tensor stack(std::span<const Tensor> xs, int64_t axis) {
    if (xs.empty()) {
        fail(ErrorKind::kValue, "stack", "the list of tensors is empty; at least one is required");
    }
    const int at = normalize_axis("stack", axis, xs[0].rank() + 1);
    std::vector<Tensor> in;
    for (const Tensor& x : xs) {
        if (!(x.shape() == xs[0].shape())) {
            fail(
                ErrorKind::kShape, "stack",
                "the tensors have shapes %s and %s; all must be equal; use concat to join along an "
                "axis that exists",
                format_shape(xs[0].shape()).c_str(), format_shape(x.shape()).c_str());
        }
        in.push_back(unsqueeze(x, at));
    }
    return concat(in, at);
}

std::vector<Tensor> split(const Tensor& x, DimSpan sizes, int64_t axis) {
    const int at = normalize_axis("split", axis, x.rank());
    int64_t total = 0;
    for (int64_t s : sizes) total += s;
    if (total != x.size(at) || std::ranges::any_of(sizes, [](int64_t s) { return s < 0; })) {
        fail(
            ErrorKind::kShape, "split",
            "sizes %s add up to %lld, but axis %d of shape %s has %lld elements; sizes must not be "
            "negative and must add up; pass one int for parts of equal size",
            format_shape(sizes).c_str(), ll(total), at, format_shape(x.shape()).c_str(),
            ll(x.size(at)));
    }
    std::vector<Tensor> parts;
    int64_t start = 0;
    for (int64_t s : sizes) {
        parts.push_back(narrow(x, at, start, s));
        start += s;
    }
    return parts;
}

Tensor full(DimSpan shape, const Tensor& value, DType dtype, Device device) {
    static const OpId id = find_op("full");
    if (is_complex(value.dtype()) && is_complex(dtype)) {
        const DType part = real_dtype(dtype);
        const Tensor re = full(shape, real(value), part, device);
        return Parts(re, full(shape, imag(value), part, device)).join(dtype);
    }
    return record(id, {scalar_operand("full", value, dtype)},
                  Attrs().ints(shape).dtype(dtype).i(device.backend << 8 | device.index));
}

Tensor zeros_like(const Tensor& x) { return full(x.shape(), 0, x.dtype(), x.device()); }
Tensor ones_like(const Tensor& x) { return full(x.shape(), 1, x.dtype(), x.device()); }

Tensor arange(const Tensor& start, const Tensor& step, int64_t count, DType dtype, Device device) {
    static const OpId id = find_op("arange");
    const DType number = is_float(dtype) ? dtype : DType::kI64;
    return record(id,
                  {scalar_operand("arange", start, number), scalar_operand("arange", step, number)},
                  Attrs().i(count).dtype(dtype).i(device.backend << 8 | device.index));
}

Tensor linspace(const Tensor& start, const Tensor& stop, int64_t count, bool endpoint, DType dtype,
                Device device) {
    static const OpId id = find_op("linspace");
    const DType number = is_float(dtype) ? dtype : DType::kF64;
    return record(
        id, {scalar_operand("linspace", start, number), scalar_operand("linspace", stop, number)},
        Attrs().i(count).b(endpoint).dtype(dtype).i(device.backend << 8 | device.index));
}

Tensor squeeze(const Tensor& x, DimSpan axes) {
    Dims shape;
    const Dims gone = normalize_axes("squeeze", axes, x.rank());
    for (int i = 0; i < x.rank(); ++i) {
        const bool drop = std::ranges::find(gone, i) != gone.end();
        if (!drop) shape.push_back(x.size(i));
        if (drop && x.size(i) != 1) {
            fail(ErrorKind::kValue, "squeeze",
                 "axis %d of shape %s has size %lld; only axes of size 1 can be dropped; leave out "
                 "`axis` to drop those that can be",
                 i, format_shape(x.shape()).c_str(), ll(x.size(i)));
        }
    }
    return reshape(x, shape);
}

Tensor unsqueeze(const Tensor& x, int64_t axis) {
    Dims shape(x.shape());
    shape.insert(normalize_axis("unsqueeze", axis, x.rank() + 1), 1);
    return reshape(x, shape);
}

Tensor transpose(const Tensor& x, int64_t a, int64_t b) {
    Dims order = all_axes(x.rank());
    std::swap(order[normalize_axis("transpose", a, x.rank())],
              order[normalize_axis("transpose", b, x.rank())]);
    return permute(x, order);
}

Tensor moveaxis(const Tensor& x, DimSpan source, DimSpan destination) {
    if (source.size() != destination.size()) {
        fail(ErrorKind::kValue, "moveaxis",
             "source has %zu axes and destination has %zu; both must have as many", source.size(),
             destination.size());
    }
    normalize_axes("moveaxis", source, x.rank());  // each may appear once
    normalize_axes("moveaxis", destination, x.rank());
    Dims order(x.shape().size(), -1), rest = all_axes(x.rank());
    for (size_t i = 0; i < source.size(); ++i) {
        const int from = normalize_axis("moveaxis", source[i], x.rank());
        order[normalize_axis("moveaxis", destination[i], x.rank())] = from;
        rest.erase(std::ranges::find(rest, from) - rest.begin());
    }
    size_t next = 0;
    for (int64_t& axis : order)
        if (axis < 0) axis = rest[next++];
    return permute(x, order);
}

Tensor contiguous(const Tensor& x) {
    static const OpId id = find_op("contiguous");
    const Value& v = *x.value();
    if (v.kind == ValueState::kBuffer && is_contiguous(v.meta.shape, v.strides)) return x;
    if (x.is_scalar()) return full({}, x, x.dtype(), x.device());
    return record(id, {x});
}

// A value of its own, never the value of x: handles tell views from copies by it.
Tensor clone(const Tensor& x) {
    static const OpId id = find_op("contiguous");
    return x.is_scalar() ? full({}, x, x.dtype(), x.device()) : record(id, {x});
}

Tensor alias(const Tensor& x) {
    static const OpId id = find_op("reshape");
    return record(id, {x}, Attrs().ints(x.shape()));
}

Tensor flip(const Tensor& x, DimSpan axes) {
    Dims starts(x.shape().size(), 0), steps(x.shape().size(), 1);
    for (int64_t axis : normalize_axes("flip", axes, x.rank())) {
        starts[axis] = x.size(static_cast<int>(axis)) - 1;
        steps[axis] = -1;
    }
    return slice(x, starts, x.shape(), steps);
}

Tensor roll(const Tensor& x, int64_t shift, int64_t axis) {
    const int at = normalize_axis("roll", axis, x.rank());
    const int64_t n = x.size(at);
    const int64_t by = n == 0 ? 0 : (shift % n + n) % n;
    if (by == 0) return clone(x);
    const Tensor parts[2] = {narrow(x, at, n - by, by), narrow(x, at, 0, n - by)};
    return concat(parts, at);
}

Tensor triangle_mask(int64_t rows, int64_t columns, int64_t k, bool lower, Device device) {
    const Tensor row = reshape(arange(k, 1, rows, DType::kI64, device), Dims{rows, 1});
    const Tensor column = arange(0, 1, columns, DType::kI64, device);
    return lower ? less_equal(column, row) : greater_equal(column, row);
}

// --- records ------------------------------------------------------------------------------------

void register_movement_ops() {
    register_op({
        .name = "reshape",
        .schema = "shape:ints",
        .doc = "The elements of x, in row-major order, under another shape; one size may be -1.",
        .infer =
            [](InferCall& c) {
                c.out[0].shape = resolve_reshape(c.op, c.in[0]->shape, c.attrs.ints(0));
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad = [](GradCall& c) { c.set(0, reshape(c.grad(), c.in_meta(0).shape)); },
        .batch = batch_reshape,
        .check = check_tensor,
        .moves = true,
        .view =
            [](ViewCall& c) {
                return reshape_strides(c.in->shape, c.in_strides, c.out->shape, &c.strides);
            },
        .view_update = [](const Tensor& base, const Tensor& part, std::span<const Tensor>,
                          AttrView) { return reshape(part, base.shape()); },
        .layout = Layout::kAny,
    });
    register_op({
        .name = "permute",
        .schema = "axes:ints",
        .doc = "Dimension i of the result is dimension axes[i] of x.",
        .infer =
            [](InferCall& c) {
                const DimSpan axes = c.attrs.ints(0);
                const Dims& shape = c.in[0]->shape;
                Dims seen(shape.size(), 0);
                bool fits = axes.size() == shape.size();
                for (size_t i = 0; fits && i < axes.size(); ++i) fits = seen[axes[i]]++ == 0;
                if (!fits) {
                    fail(ErrorKind::kValue, c.op,
                         "axes are %s for shape %s; each of its %zu dimensions must appear once",
                         format_shape(axes).c_str(), format_shape(shape).c_str(), shape.size());
                }
                for (int64_t a : axes) c.out[0].shape.push_back(shape[a]);
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad =
            [](GradCall& c) { c.set(0, permute(c.grad(), inverse_permutation(c.attrs.ints(0)))); },
        .batch = batch_permute,
        .check = check_permute,
        .moves = true,
        .view =
            [](ViewCall& c) {
                for (int64_t a : c.attrs.ints(0)) c.strides.push_back(c.in_strides[a]);
                return true;
            },
        .view_update =
            [](const Tensor&, const Tensor& part, std::span<const Tensor>, AttrView attrs) {
                return permute(part, inverse_permutation(attrs.ints(0)));
            },
        .layout = Layout::kAny,
    });
    register_op({
        .name = "expand",
        .schema = "shape:ints",
        .doc = "x repeated along dimensions of size 1, and along new ones in front; no copy.",
        .infer =
            [](InferCall& c) {
                c.out[0].shape = resolve_expand(c.op, c.in[0]->shape, c.attrs.ints(0));
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad = [](GradCall& c) { c.set(0, c.grad()); },  // the walk sums to the input's shape
        .batch = batch_expand,
        .check = check_tensor,
        .moves = true,
        .view =
            [](ViewCall& c) {
                c.strides = broadcast_strides(c.in->shape, c.in_strides, c.out->shape);
                return true;
            },
        .view_update = [](const Tensor& base, const Tensor& part, std::span<const Tensor>,
                          AttrView) -> Tensor {
            if (base.numel() == part.numel()) return reshape(part, base.shape());
            fail(ErrorKind::kValue, "expand",
                 "a write into shape %s, expanded from %s, would write elements more than once; "
                 "write into a copy: x.clone()",
                 format_shape(part.shape()).c_str(), format_shape(base.shape()).c_str());
        },
        .layout = Layout::kAny,
    });
    register_op({
        .name = "slice",
        .n_in = -1,
        .schema = "sizes:ints steps:ints",
        .doc =
            "A box of x: sizes[d] elements from start d on, steps[d] apart (it may be negative).",
        .infer =
            [](InferCall& c) {
                const DimSpan sizes = c.attrs.ints(0);
                check_region(c.op, c.in[0]->shape, sizes, c.attrs.ints(1), c.in.size() - 1);
                c.out[0].shape = Dims(sizes);
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad =
            [](GradCall& c) {
                const std::vector<Tensor> starts = scalar_inputs(c, 1);
                const DimSpan sizes = c.attrs.ints(0), steps = c.attrs.ints(1);
                Tensor all = c.arrived(0), part = c.grad();
                if (all)
                    part = slice(all, starts, sizes, steps) + part;
                else
                    all = zeros_of(c.in_meta(0));
                c.set_total(0, slice_update(all, part, starts, sizes, steps));
            },
        .batch = batch_region<1>,
        .check = check_slice<1>,
        .moves = true,
        .view =
            [](ViewCall& c) {
                const DimSpan steps = c.attrs.ints(1);
                for (size_t i = 0; i < steps.size(); ++i) {
                    c.strides.push_back(c.in_strides[i] * steps[i]);
                    c.scalar_factors.push_back(c.in_strides[i]);
                }
                return true;
            },
        .view_update =
            [](const Tensor& base, const Tensor& part, std::span<const Tensor> starts,
               AttrView attrs) {
                return slice_update(base, part, starts, attrs.ints(0), attrs.ints(1));
            },
        .layout = Layout::kAny,
    });
    register_op({
        .name = "slice_update",
        .n_in = -1,
        .schema = "sizes:ints steps:ints",
        .doc = "x (operand 0) with the box that slice would read replaced by part (operand 1).",
        .infer =
            [](InferCall& c) {
                const DimSpan sizes = c.attrs.ints(0);
                check_region(c.op, c.in[0]->shape, sizes, c.attrs.ints(1), c.in.size() - 2);
                if (!broadcastable_to(c.in[1]->shape, sizes)) {
                    fail(ErrorKind::kShape, c.op,
                         "a value of shape %s does not fit a part of shape %s; it must have that "
                         "shape "
                         "or broadcast to it",
                         format_shape(c.in[1]->shape).c_str(), format_shape(sizes).c_str());
                }
                c.out[0].shape = c.in[0]->shape;
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad =
            [](GradCall& c) {
                const std::vector<Tensor> starts = scalar_inputs(c, 2);
                const DimSpan sizes = c.attrs.ints(0), steps = c.attrs.ints(1);
                if (c.needs(0)) c.set(0, slice_update(c.grad(), 0, starts, sizes, steps));
                if (c.needs(1)) c.set(1, slice(c.grad(), starts, sizes, steps));
            },
        .batch = batch_region<2>,
        .check = check_slice<2>,
        .moves = true,
        .layout = Layout::kAny,
        .inplace_in = 0,
    });
    register_op({
        .name = "concat",
        .n_in = -1,
        .schema = "axis:int",
        .doc = "The tensors joined along an axis; the other sizes must agree.",
        .infer =
            [](InferCall& c) {
                const int64_t axis = c.attrs.i(0);
                Meta& out = c.out[0];
                out = *c.in[0];
                for (size_t k = 1; k < c.in.size(); ++k) {
                    const Dims& shape = c.in[k]->shape;
                    bool fits = shape.size() == out.shape.size();
                    for (size_t d = 0; fits && d < shape.size(); ++d)
                        fits = static_cast<int64_t>(d) == axis || shape[d] == out.shape[d];
                    if (!fits) {
                        fail(ErrorKind::kShape, c.op,
                             "tensor 0 has shape %s and tensor %zu has %s; all sizes but that of "
                             "axis "
                             "%lld must be equal; use stack for a new axis",
                             format_shape(c.in[0]->shape).c_str(), k, format_shape(shape).c_str(),
                             ll(axis));
                    }
                    out.shape[axis] += shape[axis];
                }
            },
        .grad =
            [](GradCall& c) {
                const int64_t axis = c.attrs.i(0);
                int64_t start = 0;
                for (int k = 0; k < c.n_in(); ++k) {
                    const int64_t size = c.in_meta(k).shape[axis];
                    if (c.needs(k)) c.set(k, narrow(c.grad(), axis, start, size));
                    start += size;
                }
            },
        .batch = batch_axis<0>,
        .check = check_concat,
        .moves = true,
        .layout = Layout::kAny,
    });
    register_op({
        .name = "pad",
        .n_in = 2,
        .schema = "low:ints high:ints",
        .doc =
            "x with low[d] elements of `value` before and high[d] behind it, along each dimension.",
        .infer =
            [](InferCall& c) {
                const DimSpan low = c.attrs.ints(0), high = c.attrs.ints(1);
                Meta& out = c.out[0];
                out = *c.in[0];
                if (low.size() != out.shape.size() || high.size() != out.shape.size()) {
                    fail(ErrorKind::kShape, c.op,
                         "widths %s and %s for shape %s; one of each per dimension is required",
                         format_shape(low).c_str(), format_shape(high).c_str(),
                         format_shape(out.shape).c_str());
                }
                for (size_t i = 0; i < low.size(); ++i) out.shape[i] += low[i] + high[i];
            },
        .grad =
            [](GradCall& c) {
                const Dims& shape = c.in_meta(0).shape;
                const Tensor inner = slice(c.grad(), c.attrs.ints(0), shape, Dims(shape.size(), 1));
                if (c.needs(0)) c.set(0, inner);
                if (c.needs(1)) c.set(1, sum(c.grad(), {}, false) - sum(inner, {}, false));
            },
        .batch = batch_pad,
        .check = check_pad,
        .moves = true,
        .layout = Layout::kAny,
    });
    register_op({
        .name = "contiguous",
        .doc = "The same elements in row-major order without gaps.",
        .infer = [](InferCall& c) { c.out[0] = *c.in[0]; },
        .grad = [](GradCall& c) { c.set(0, c.grad()); },
        .batch = batch_leading,
        .check = check_tensor,
        .moves = true,
        .layout = Layout::kAny,
    });
    register_op({
        .name = "full",
        .schema = "shape:ints dtype:dtype device:int",
        .doc = "One number (operand 0) in every element.",
        .infer =
            [](InferCall& c) {
                c.out[0] = {Dims(c.attrs.ints(0)), c.attrs.dtype(1), attr_device(c.attrs.i(2))};
                for (int64_t size : c.out[0].shape) {
                    if (size < 0) {
                        fail(ErrorKind::kShape, c.op,
                             "shape %s has a negative size; sizes must be 0 or "
                             "more",
                             format_shape(c.out[0].shape).c_str());
                    }
                }
            },
        .grad = [](GradCall& c) { c.set(0, sum(c.grad(), {}, false)); },
        .batch = batch_full,
        .check = check_full,
        .moves = true,
        .layout = Layout::kAny,
    });
    register_op({
        .name = "arange",
        .n_in = 2,
        .schema = "count:int dtype:dtype device:int",
        .doc = "start + i * step for i in [0, count); in float64 or int64, rounded once.",
        .infer =
            [](InferCall& c) {
                c.out[0] = {Dims{c.attrs.i(0)}, c.attrs.dtype(1), attr_device(c.attrs.i(2))};
            },
        .check = check_range<1>,
    });
    register_op({
        .name = "linspace",
        .n_in = 2,
        .schema = "count:int endpoint:bool dtype:dtype device:int",
        .doc = "count numbers from start to stop at equal distances; both ends are exact.",
        .infer =
            [](InferCall& c) {
                c.out[0] = {Dims{c.attrs.i(0)}, c.attrs.dtype(2), attr_device(c.attrs.i(3))};
            },
        .check = check_range<2>,
    });
    register_barrier();
    register_movement_functions();
}

}  // namespace sn
