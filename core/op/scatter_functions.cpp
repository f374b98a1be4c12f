// Public functions of scattering and of positions: reductions at indices, segments, fills.
#include <algorithm>
#include <limits>

#include "op/api.h"
#include "op/function.h"
#include "op/rules.h"
#include "record/read.h"
#include "record/tape.h"

namespace sn {

namespace {

// The number that changes nothing in a reduction, in a dtype.
Tensor identity(ScatterKind kind, DType dtype) {
    if (kind == ScatterKind::kProd) return Tensor(1);
    const bool low = kind == ScatterKind::kMax;
    if (is_float(dtype)) {
        constexpr double inf = std::numeric_limits<double>::infinity();
        return Tensor(low ? -inf : inf);
    }
    if (is_bool(dtype)) return Tensor(!low);
    const int bits = static_cast<int>(8 * dtype_size(dtype));
    if (is_unsigned_int(dtype)) return Tensor(low ? int64_t{0} : int64_t{-1});  // wraps to all ones
    const int64_t top = static_cast<int64_t>(~uint64_t{0} >> (65 - bits));
    return Tensor(low ? -top - 1 : top);
}

// The reductions that scatter_reduce, index_reduce and segment_reduce share.
Tensor reduce_at(const char* op, const Tensor& x, int64_t axis, const Tensor& indices,
                 const Tensor& values, std::string_view how, bool include_self) {
    if (how == "sum" || how == "mean" || how == "add") {
        const Tensor base = include_self ? x : scatter(x, indices, 0, axis);
        const Tensor total = scatter_add(base, indices, values, axis);
        if (how != "mean") return total;
        const Tensor one = ones_like(x);
        const Tensor before = include_self ? one : scatter(one, indices, 0, axis);
        const Tensor n = scatter_add(before, indices, 1, axis);
        const Tensor count = where(equal(n, 0), 1, n);
        return is_float(x.dtype()) ? total / count : floor_divide(total, count);
    }
    ScatterKind kind;
    if (how == "prod" || how == "multiply")
        kind = ScatterKind::kProd;
    else if (how == "amax" || how == "max")
        kind = ScatterKind::kMax;
    else if (how == "amin" || how == "min")
        kind = ScatterKind::kMin;
    else
        fail(ErrorKind::kValue, op,
             "the reduction is '%.*s'; it must be 'sum', 'prod', 'mean', 'amax' or 'amin'",
             static_cast<int>(how.size()), how.data());
    const Tensor base = include_self ? x : scatter(x, indices, identity(kind, x.dtype()), axis);
    return scatter_reduce(base, indices, values, axis, kind);
}

void same_dtype(const char* op, const Tensor& x, const Tensor& src) {
    if (src.weak() || x.dtype() == src.dtype()) return;
    fail(ErrorKind::kDType, op,
         "x has dtype %s and the values %s; they must be equal; convert one "
         "with .astype",
         dtype_name(x.dtype()), dtype_name(src.dtype()));
}

Tensor scatter_function(const Args& a) {
    const Tensor x = vector_of(a.tensor(0)), i = vector_of(a.tensor(2));
    const Tensor v = a.tensor(3).is_scalar() ? a.tensor(3) : vector_of(a.tensor(3));
    same_dtype("scatter", x, v);
    if (!a.has(4)) return like(scatter(x, i, v, a.integer(1)), a.tensor(0));
    if (a.text(4) != "add" && a.text(4) != "multiply") {
        fail(ErrorKind::kValue, "scatter", "reduce is '%.*s'; it must be 'add' or 'multiply'",
             static_cast<int>(a.text(4).size()), a.text(4).data());
    }
    return like(reduce_at("scatter", x, a.integer(1), i, v, a.text(4), true), a.tensor(0));
}

Tensor scatter_reduce_function(const Args& a) {
    const Tensor x = vector_of(a.tensor(0)), i = vector_of(a.tensor(2)), v = vector_of(a.tensor(3));
    same_dtype("scatter_reduce", x, v);
    return like(reduce_at("scatter_reduce", x, a.integer(1), i, v, a.text(4), a.flag(5)),
                a.tensor(0));
}

// Indices along one axis, spread over the shape of the values.
Tensor spread(const char* op, const Tensor& x, int axis, const Tensor& indices,
              const Tensor& values) {
    if (indices.rank() > 1) {
        fail(ErrorKind::kShape, op, "the indices have shape %s; a vector is required",
             format_shape(indices.shape()).c_str());
    }
    Dims line(x.shape().size(), 1), wanted(x.shape());
    line[axis] = wanted[axis] = indices.numel();
    if (!values.is_scalar() && !(values.shape() == wanted)) {
        fail(ErrorKind::kShape, op,
             "x has shape %s and the values %s; with %lld indices along axis %d they must have "
             "shape %s",
             format_shape(x.shape()).c_str(), format_shape(values.shape()).c_str(),
             ll(indices.numel()), axis, format_shape(wanted).c_str());
    }
    return expand(reshape(indices, line), wanted);
}

Tensor index_reduce(const Args& a) {
    const Tensor x = vector_of(a.tensor(0)), v = vector_of(a.tensor(3));
    const int at = normalize_axis("index_reduce", a.integer(1), x.rank());
    same_dtype("index_reduce", x, v);
    const std::string_view how = a.text(4);
    if (how == "sum") {
        fail(ErrorKind::kValue, "index_reduce",
             "the reduction is 'sum'; it must be 'prod', 'mean', 'amax' or 'amin'; use index_add");
    }
    const Tensor i = spread("index_reduce", x, at, a.tensor(2), v);
    return like(reduce_at("index_reduce", x, at, i, v, how, a.flag(5)), a.tensor(0));
}

Tensor index_add_function(const Args& a) {
    const Tensor x = vector_of(a.tensor(0)), i = vector_of(a.tensor(2));
    const int at = normalize_axis("index_add", a.integer(1), x.rank());
    Tensor v = a.tensor(3);
    if (!v.is_scalar()) {
        v = vector_of(v);
        if (i.rank() == 1) spread("index_add", x, at, i, v);
        same_dtype("index_add", x, v);
    }
    const Scalar alpha = read_number("index_add", a.tensor(4));
    if (alpha.as_double() != 1) v = v * a.tensor(4);
    return like(index_add(x, i, v, at), a.tensor(0));
}

Tensor index_fill(const Args& a) {
    const Tensor x = vector_of(a.tensor(0)), &value = a.tensor(3);
    if (value.rank() != 0) {
        fail(ErrorKind::kShape, "index_fill", "value has shape %s; a single number is required",
             format_shape(value.shape()).c_str());
    }
    const int at = normalize_axis("index_fill", a.integer(1), x.rank());
    const Tensor i = spread("index_fill", x, at, vector_of(a.tensor(2)), Tensor(0));
    const Tensor v = value.is_scalar() ? value : expand(cast(value, x.dtype()), i.shape());
    return like(scatter(x, i, v, at), a.tensor(0));
}

Tensor masked_scatter(const Args& a) {
    const Tensor &given = a.tensor(0), &mask = a.tensor(1), &src = a.tensor(2);
    if (!is_bool(mask.dtype())) {
        fail(ErrorKind::kDType, "masked_scatter", "the mask has dtype %s; bool is required",
             dtype_name(mask.dtype()));
    }
    same_dtype("masked_scatter", given, src);
    const Dims shape = broadcast_shapes("masked_scatter", given.shape(), mask.shape());
    const Tensor x = expand(given, shape), m = expand(mask, shape);
    const int64_t n = x.numel();
    const Tensor flags = reshape(m, Dims{n});
    const Tensor counts = cumsum(cast(flags, DType::kI64), 0);
    const int64_t needed =
        n == 0 ? 0 : read_number("masked_scatter", narrow(counts, 0, n - 1, 1)).as_int();
    if (needed > src.numel()) {
        fail(ErrorKind::kShape, "masked_scatter",
             "the mask has %lld true elements and the source %lld elements; at least as many are "
             "required",
             ll(needed), ll(src.numel()));
    }
    if (needed == 0) return clone(x);
    const Tensor at = maximum(counts - 1, 0);
    return where(m, reshape(take(reshape(src, Dims{src.numel()}), at, 0), shape), x);
}

Tensor put(const Args& a) {
    const Tensor &x = a.tensor(0), &src = a.tensor(2);
    const int64_t n = a.tensor(1).numel();
    same_dtype("put", x, src);
    if (src.numel() != n) {
        fail(ErrorKind::kShape, "put",
             "the indices have %lld elements and the source %lld; they must be equal", ll(n),
             ll(src.numel()));
    }
    const Tensor flat = reshape(x, Dims{x.numel()}), i = reshape(a.tensor(1), Dims{n});
    const Tensor v = reshape(src, Dims{n});
    return reshape(a.flag(3) ? scatter_add(flat, i, v, 0) : scatter(flat, i, v, 0), x.shape());
}

// The segment of each row, from lengths (which may be of several dimensions) or offsets.
Tensor segment_reduce(const Args& a) {
    const Tensor& data = a.tensor(0);
    const int axis = normalize_axis("segment_reduce", a.integer(4), data.rank());
    if (a.has(2) == a.has(3)) {
        fail(ErrorKind::kValue, "segment_reduce",
             "%s of lengths and offsets are given; one of them is required",
             a.has(2) ? "both" : "none");
    }
    Tensor lengths = a.has(2) ? a.tensor(2) : a.tensor(3);
    if (!is_int(lengths.dtype()) || lengths.rank() != axis + 1) {
        fail(ErrorKind::kShape, "segment_reduce",
             "lengths or offsets have shape %s and dtype %s; integers with %d dimension%s (those "
             "up to the axis) are required",
             format_shape(lengths.shape()).c_str(), dtype_name(lengths.dtype()), axis + 1,
             axis ? "s" : "");
    }
    lengths = cast(lengths, DType::kI64);
    const int64_t n = data.size(axis);
    const Tensor ends =
        a.has(2) ? cumsum(lengths, axis) : narrow(lengths, axis, 1, lengths.size(axis) - 1);
    const int64_t segments = ends.size(axis);
    // A row's segment is how many ends it has passed.
    const Tensor rows = arange(0, 1, n, DType::kI64, data.device());
    const int64_t last[1] = {-1};
    Tensor ids =
        axis == 0
            ? searchsorted(ends, rows, true)
            : sum(cast(less_equal(unsqueeze(ends, -2), reshape(rows, Dims{n, 1})), DType::kI64),
                  last, false);  // (..., n, segments) compared
    {
        const NoGrad off;
        const Tensor total = segments ? narrow(ends, axis, segments - 1, 1) : ends;
        const bool fits =
            segments == 0 ? n == 0
                          : read_number("segment_reduce", all(equal(total, n), {}, false)).as_int();
        if (!fits) {
            fail(ErrorKind::kValue, "segment_reduce",
                 "the lengths do not add up to the %lld rows along axis %d; they must", ll(n),
                 axis);
        }
    }
    Dims line(ids.shape()), wanted(data.shape()), shape(data.shape());
    for (int d = axis + 1; d < data.rank(); ++d) line.push_back(1);
    ids = expand(reshape(ids, line), wanted);
    shape[axis] = segments;
    const std::string_view how = a.text(1);
    double start = how == "prod" ? 1 : 0;
    if (how == "max") start = -std::numeric_limits<double>::infinity();
    if (how == "min") start = std::numeric_limits<double>::infinity();
    const bool given = a.has(6);
    if (how == "mean") {  // an empty segment is NaN unless it starts from something
        const Tensor zero = full(shape, 0, data.dtype(), data.device());
        const Tensor total = scatter_add(zero, ids, data, axis);
        const Tensor n_rows = scatter_add(zero, ids, 1, axis);
        const Tensor mean = total / n_rows;
        return given ? where(equal(n_rows, 0), a.tensor(6), mean) : mean;
    }
    const Tensor base =
        full(shape, given ? a.tensor(6) : Tensor(start), data.dtype(), data.device());
    return reduce_at("segment_reduce", base, axis, ids, data, how, true);
}

Tensor argwhere(const Tensor& x) {
    const NoGrad off;
    if (x.rank() == 0) {
        const bool set = read_number("argwhere", cast(not_equal(x, 0), DType::kI64)).as_int() != 0;
        return full(Dims{set ? 1 : 0, 0}, 0, DType::kI64, x.device());
    }
    return stack(nonzero(x), 1);
}

Tensor nonzero_static(const Args& a) {
    const int64_t size = a.integer(1);
    if (size < 0) {
        fail(ErrorKind::kValue, "nonzero_static", "size is %lld; it must be 0 or more", ll(size));
    }
    const Tensor found = argwhere(a.tensor(0));
    if (found.size(0) >= size) return narrow(found, 0, 0, size);
    const int64_t low[2] = {0, 0}, high[2] = {size - found.size(0), 0};
    return pad(found, low, high, a.tensor(2));
}

Results unravel_index(const Args& a) {
    const Tensor& indices = a.tensor(0);
    if (!is_int(indices.dtype())) {
        fail(ErrorKind::kDType, "unravel_index", "the indices have dtype %s; integers are required",
             dtype_name(indices.dtype()));
    }
    const DimSpan shape = a.ints(1);
    for (int64_t s : shape) {
        if (s >= 0) continue;
        fail(ErrorKind::kValue, "unravel_index", "the shape %s has a negative size",
             format_shape(shape).c_str());
    }
    Results out(shape.size());
    Tensor rest = cast(indices, DType::kI64);
    for (size_t d = shape.size(); d-- > 0;) {
        out[d] = remainder(rest, shape[d]);
        rest = floor_divide(rest, shape[d]);
    }
    return out;
}

// ---- parts that strides, slices and diagonals name

// The flat positions that a stride and an offset name, in the row-major order of x.
Tensor strided_places(const char* op, const Tensor& x, DimSpan size, DimSpan stride,
                      int64_t offset) {
    if (size.size() != stride.size()) {
        fail(ErrorKind::kValue, op, "%zu sizes and %zu strides are given; as many are required",
             size.size(), stride.size());
    }
    int64_t last = offset;
    Tensor places = full({}, offset, DType::kI64, x.device());
    for (size_t i = 0; i < size.size(); ++i) {
        if (size[i] < 0 || stride[i] < 0) {
            fail(ErrorKind::kValue, op, "size %lld with stride %lld; neither may be negative",
                 ll(size[i]), ll(stride[i]));
        }
        places = unsqueeze(places, -1) + arange(0, stride[i], size[i], DType::kI64, x.device());
        last += std::max<int64_t>(size[i] - 1, 0) * stride[i];
    }
    if (offset < 0 || (numel(size) > 0 && last >= x.numel())) {
        fail(ErrorKind::kIndex, op,
             "sizes %s with strides %s and offset %lld reach element %lld of %lld; all must be "
             "inside",
             format_shape(size).c_str(), format_shape(stride).c_str(), ll(offset), ll(last),
             ll(x.numel()));
    }
    return places;
}

Tensor as_strided(const Args& a) {
    const Tensor& x = a.tensor(0);
    return take(reshape(x, Dims{x.numel()}),
                strided_places("as_strided", x, a.ints(1), a.ints(2), a.has(3) ? a.integer(3) : 0),
                0);
}

Tensor as_strided_scatter(const Args& a) {
    const Tensor &x = a.tensor(0), &src = a.tensor(1);
    const Tensor places =
        strided_places("as_strided_scatter", x, a.ints(2), a.ints(3), a.has(4) ? a.integer(4) : 0);
    if (!(src.shape() == places.shape())) {
        fail(ErrorKind::kShape, "as_strided_scatter",
             "src has shape %s and the sizes are %s; they must be equal",
             format_shape(src.shape()).c_str(), format_shape(places.shape()).c_str());
    }
    const int64_t n = places.numel();
    return reshape(
        scatter(reshape(x, Dims{x.numel()}), reshape(places, Dims{n}), reshape(src, Dims{n}), 0),
        x.shape());
}

// `src` as the new contents of a part of x.
Tensor replaced(const char* op, const Tensor& x, const Tensor& part, const Tensor& src) {
    if (!(part.shape() == src.shape())) {
        fail(ErrorKind::kShape, op, "src has shape %s and the part %s; they must be equal",
             format_shape(src.shape()).c_str(), format_shape(part.shape()).c_str());
    }
    return cast(src, x.dtype());
}

Tensor select_scatter(const Args& a) {
    const Tensor &x = a.tensor(0), &src = a.tensor(1);
    const int at = normalize_axis("select_scatter", a.integer(2), x.rank());
    const int64_t n = x.size(at), index = a.integer(3) < 0 ? a.integer(3) + n : a.integer(3);
    if (index < 0 || index >= n) {
        fail(ErrorKind::kIndex, "select_scatter",
             "index %lld is out of range for axis %d with size %lld", ll(a.integer(3)), at, ll(n));
    }
    const int64_t axes[1] = {at};
    const Tensor new_part =
        replaced("select_scatter", x, squeeze(narrow(x, at, index, 1), axes), src);
    Dims sizes(x.shape()), steps(x.shape().size(), 1);
    sizes[at] = 1;
    std::vector<Tensor> starts(x.shape().size(), int_scalar(0));
    starts[static_cast<size_t>(at)] = int_scalar(index);
    return slice_update(x, unsqueeze(new_part, at), starts, sizes, steps);
}

Tensor slice_scatter(const Args& a) {
    const Tensor &x = a.tensor(0), &src = a.tensor(1);
    const int at = normalize_axis("slice_scatter", a.integer(2), x.rank());
    const int64_t n = x.size(at), step = a.integer(5);
    if (step <= 0) {
        fail(ErrorKind::kValue, "slice_scatter", "step is %lld; it must be 1 or more", ll(step));
    }
    const auto bound = [&](int i, int64_t otherwise) {
        if (!a.has(i)) return otherwise;
        const int64_t v = a.integer(i) < 0 ? a.integer(i) + n : a.integer(i);
        return std::clamp<int64_t>(v, 0, n);
    };
    const int64_t start = bound(3, 0), stop = std::max(bound(4, n), start);
    Dims sizes(x.shape()), steps(x.shape().size(), 1), begin(x.shape().size(), 0);
    sizes[at] = (stop - start + step - 1) / step;
    steps[at] = step;
    begin[at] = start;
    const Tensor new_part = replaced("slice_scatter", x, slice(x, begin, sizes, steps), src);
    if (sizes[at] == 0) return clone(x);
    std::vector<Tensor> starts(x.shape().size(), int_scalar(0));
    starts[static_cast<size_t>(at)] = int_scalar(start);
    return slice_update(x, new_part, starts, sizes, steps);
}

Tensor diagonal_scatter(const Args& a) {
    const Tensor &x = a.tensor(0), &src = a.tensor(1);
    const int64_t offset = a.integer(2);
    const int p = normalize_axis("diagonal_scatter", a.integer(3), x.rank());
    const int q = normalize_axis("diagonal_scatter", a.integer(4), x.rank());
    const Tensor new_part = replaced("diagonal_scatter", x, diagonal(x, offset, p, q), src);
    const int64_t from[2] = {p, q}, to[2] = {-2, -1};
    const Tensor m = moveaxis(x, from, to);
    const int64_t rows = m.size(-2), columns = m.size(-1);
    const Tensor on =
        equal(reshape(arange(offset, 1, rows, DType::kI64, x.device()), Dims{rows, 1}),
              arange(0, 1, columns, DType::kI64, x.device()));
    // The diagonal's element of each row, at every column; rows without one keep what they have.
    const int64_t skipped = std::clamp<int64_t>(offset < 0 ? -offset : 0, 0, rows);
    Dims low(static_cast<size_t>(new_part.rank()), 0), high(low);
    low.back() = skipped;
    high.back() = rows - skipped - new_part.size(-1);
    const Tensor line = unsqueeze(pad(new_part, low, high, 0), -1);
    return moveaxis(where(on, line, m), to, from);
}

}  // namespace

void register_scatter_functions() {
    register_function({
        .signature = "scatter(x: Tensor, axis: int, indices: Tensor, src|value: Operand, "
                     "reduce: str? = None) -> Tensor",
        .doc = R"(x with x[indices[i, j], j] = src[i, j] for axis 0, and so on.

Of several values for one place the last wins.

reduce : "add" or "multiply" combines with what is there instead; see scatter_reduce for more.

>>> sn.scatter(sn.zeros((3,)), 0, sn.arange(2), 5.0).tolist()
[5.0, 5.0, 0.0]
)",
        .call = scatter_function,
        .aliases = "scatter_",
    });
    register_function({
        .signature = "scatter_reduce(x: Tensor, axis: int, indices: Tensor, src: Tensor, "
                     "reduce: str, include_self: bool = True) -> Tensor",
        .doc = R"(x with all of src that goes to one place reduced, in source order.

reduce : "sum", "prod", "mean", "amax" or "amin".
include_self : whether what x holds there takes part. Places that nothing goes to stay as they are.

Raises
------
ShapeError : the indices have other dimensions than x.
IndexError : an index is out of range.

>>> index = sn.tensor([0, 0, 1])
>>> sn.scatter_reduce(sn.zeros(2), 0, index, sn.tensor([1.0, 4.0, 2.0]), "amax").tolist()
[4.0, 2.0]
)",
        .call = scatter_reduce_function,
        .aliases = "scatter_reduce_",
    });
    register_function({
        .signature = "index_reduce(x: Tensor, axis: int, indices: Tensor, source: Tensor, "
                     "reduce: str, include_self: bool = True) -> Tensor",
        .doc = R"(x with the rows of source that go to one index along an axis reduced.

reduce : "prod", "mean", "amax" or "amin"; index_add sums.

>>> source = sn.tensor([[2.0], [3.0]])
>>> sn.index_reduce(sn.ones((1, 1)), 0, sn.tensor([0, 0]), source, "prod").tolist()
[[6.0]]
)",
        .call = index_reduce,
        .aliases = "index_reduce_",
    });
    register_function({
        .signature = "index_add(x: Tensor, axis: int, indices: Tensor, source: Operand, "
                     "alpha: Operand = 1) -> Tensor",
        .doc = R"(x with alpha times the rows of source added at indices along an axis, in order.

>>> sn.index_add(sn.zeros((2, 2)), 0, sn.arange(1), sn.ones((1, 2)), alpha=2).tolist()
[[2.0, 2.0], [0.0, 0.0]]
)",
        .call = index_add_function,
        .aliases = "index_add_",
    });
    register_function({
        .signature = "index_fill(x: Tensor, axis: int, indices: Tensor, value: Operand) -> Tensor",
        .doc = R"(x with the rows at indices along an axis set to one number.

>>> sn.index_fill(sn.zeros((2, 2)), 0, sn.tensor([1]), 5).tolist()
[[0.0, 0.0], [5.0, 5.0]]
)",
        .call = index_fill,
        .aliases = "index_fill_",
    });
    register_function({
        .signature = "masked_scatter(x: Tensor, mask: Tensor, source: Tensor) -> Tensor",
        .doc = R"(x with the elements where mask is true replaced by those of source, in order.

>>> sn.masked_scatter(sn.zeros(3), sn.tensor([True, False, True]), sn.tensor([1.0, 2.0])).tolist()
[1.0, 0.0, 2.0]
)",
        .call = masked_scatter,
        .aliases = "masked_scatter_",
    });
    register_function({
        .signature = "put(x: Tensor, indices: Tensor, source: Tensor, accumulate: bool = False) -> "
                     "Tensor",
        .doc = R"(x with source written (or added) at indices of the flattened x.

>>> sn.put(sn.zeros((2, 2)), sn.tensor([3]), sn.tensor([5.0])).tolist()
[[0.0, 0.0], [0.0, 5.0]]
)",
        .call = put,
        .aliases = "put_",
    });
    register_function({
        .signature = "segment_reduce(data|x: Tensor, reduce: str, lengths: Tensor? = None, "
                     "offsets: Tensor? = None, axis: int = 0, unsafe: bool = False, "
                     "initial: Operand? = None) -> Tensor",
        .doc = R"(Consecutive rows along an axis reduced, segment by segment.

Parameters
----------
reduce : "sum", "mean", "max", "min" or "prod".
lengths : rows of each segment, which must add up; with an axis behind the first, one list for each
    of the positions before it.
offsets : instead, where segments start, and at last where they end.
initial : what each segment starts from; an empty segment gives it (without: 0, 1, NaN, -inf, inf).
unsafe : accepted for PyTorch's sake; lengths are always checked.

>>> sn.segment_reduce(sn.arange(5.0), "sum", lengths=sn.tensor([2, 3])).tolist()
[1.0, 9.0]
)",
        .call = segment_reduce,
        .method = false,
    });
    register_function({
        .signature = "argwhere(x: Tensor) -> Tensor",
        .doc = R"(Positions of the elements that are not zero, one row for each.

Waits for the values, since the result's size depends on them.

>>> sn.argwhere(sn.eye(2)).tolist()
[[0, 0], [1, 1]]
)",
        .call = [](const Args& a) { return argwhere(a.tensor(0)); },
    });
    register_function({
        .signature = "nonzero_static(x: Tensor, size: int, fill_value: Operand = -1) -> Tensor",
        .doc = R"(The first `size` rows of argwhere, filled up where there are fewer.

>>> sn.nonzero_static(sn.eye(2), size=3).tolist()
[[0, 0], [1, 1], [-1, -1]]
)",
        .call = nonzero_static,
    });
    register_function({
        .signature = "unravel_index(indices: Tensor, shape: Ints) -> tuple[Tensor, ...]",
        .doc = R"(Coordinates in a shape of positions in its row-major order.

>>> [t.tolist() for t in sn.unravel_index(sn.tensor([1, 5]), (2, 3))]
[[0, 1], [1, 2]]
)",
        .call_many = unravel_index,
        .method = false,
    });
    register_function({
        .signature = "as_strided(x: Tensor, size: Ints, stride: Ints, storage_offset: int? = None) "
                     "-> Tensor",
        .doc = R"(The elements at offset + sum of index * stride of x, counted in row-major order.

A copy, whatever the layout of x: strides are those of its logical order, never of its memory.

Raises
------
IndexError : a position lies outside of x.

>>> sn.as_strided(sn.arange(4), (2, 2), (1, 2)).tolist()
[[0, 2], [1, 3]]
)",
        .call = as_strided,
    });
    register_function({
        .signature = "as_strided_scatter(x: Tensor, src: Tensor, size: Ints, stride: Ints, "
                     "storage_offset: int? = None) -> Tensor",
        .doc = R"(x with the elements that as_strided names replaced by src.

>>> sn.as_strided_scatter(sn.zeros(4), sn.ones(2), (2,), (2,)).tolist()
[1.0, 0.0, 1.0, 0.0]
)",
        .call = as_strided_scatter,
    });
    register_function({
        .signature = "select_scatter(x: Tensor, src: Tensor, axis: int, index: int) -> Tensor",
        .doc = R"(x with x[..., index, ...] along an axis replaced by src.

>>> sn.select_scatter(sn.zeros((2, 2)), sn.ones(2), 0, 1).tolist()
[[0.0, 0.0], [1.0, 1.0]]
)",
        .call = select_scatter,
    });
    register_function({
        .signature = "slice_scatter(x: Tensor, src: Tensor, axis: int = 0, start: int? = None, "
                     "end: int? = None, step: int = 1) -> Tensor",
        .doc = R"(x with x[..., start:end:step, ...] along an axis replaced by src.

>>> sn.slice_scatter(sn.zeros(4), sn.ones(2), 0, 1, 3).tolist()
[0.0, 1.0, 1.0, 0.0]
)",
        .call = slice_scatter,
    });
    register_function({
        .signature = "diagonal_scatter(x: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, "
                     "dim2: int = 1) -> Tensor",
        .doc = R"(x with a diagonal of two dimensions replaced by src.

>>> sn.diagonal_scatter(sn.zeros((2, 2)), sn.ones(2)).tolist()
[[1.0, 0.0], [0.0, 1.0]]
)",
        .call = diagonal_scatter,
    });
}

}  // namespace sn
