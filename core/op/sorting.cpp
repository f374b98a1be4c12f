// Sorting, searching and scans.
//
// One order everywhere: NaN is larger than every number (last when ascending, first when
// descending), -0 equals 0, and equal elements keep their order.
#include "op/sorting.h"

#include <limits>

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"
#include "record/read.h"
#include "record/tape.h"

namespace sn {

namespace {

Tensor at_least_vector(const Tensor& x) { return x.rank() == 0 ? reshape(x, Dims{1}) : x; }

void same_as_input(InferCall& c) { c.out[0] = *c.in[0]; }

Tensor flip_axis(const Tensor& x, int64_t axis) {
    const int64_t axes[1] = {axis};
    return flip(x, axes);
}

// x moved by one along the axis: `first`, x[0], x[1], ..., without the last element.
Tensor shifted(const Tensor& x, const Tensor& first, int64_t axis) {
    const int at = static_cast<int>(axis);
    if (x.size(at) == 0) return x;
    Dims shape(x.shape());
    shape[axis] = 1;
    const Tensor parts[2] = {full(shape, first, x.dtype(), x.device()),
                             narrow(x, axis, 0, x.size(at) - 1)};
    return concat(parts, axis);
}

// out[j] = a[j] * out[j - 1] + b[j] along the axis.
Tensor linear_scan(const Tensor& a, const Tensor& b, int64_t axis) {
    static const OpId id = find_op("linear_scan");
    return record(id, {a, b}, Attrs().i(axis));
}

// s[j] = g[j] + a[j + 1] * s[j + 1]: how gradients flow back through a linear scan.
Tensor reverse_scan(const Tensor& a, const Tensor& g, int64_t axis) {
    const Tensor back = flip_axis(a, axis);
    return flip_axis(linear_scan(shifted(back, 0, axis), flip_axis(g, axis), axis), axis);
}

Tensor scan(const char* op, const Tensor& x, int64_t axis, OpId id) {
    const Tensor v =
        is_inexact(x.dtype()) ? x : cast(x, is_unsigned_int(x.dtype()) ? DType::kU64 : DType::kI64);
    if (x.rank() == 0) return clone(v);
    return record(id, {v}, Attrs().i(normalize_axis(op, axis, x.rank())));
}

Results topk_function(const Args& a) {
    auto [values, indices] = topk(a.tensor(0), a.integer(1), a.integer(2), a.flag(3));
    return {like(values, a.tensor(0)), like(indices, a.tensor(0))};
}

// Sorted values, where each run of equal ones starts, and what sorted them.
struct Runs {
    Tensor sorted, order, first;
};
Runs find_runs(const Tensor& x) {
    Runs r;
    const Tensor flat = reshape(x, Dims{-1});
    if (is_complex(x.dtype())) {  // by the real part, then by the imaginary one
        const Tensor by_imag = argsort(imag(flat), 0, false);
        r.order = take(by_imag, argsort(take(real(flat), by_imag, 0), 0, false), 0);
    } else {
        r.order = argsort(flat, 0, false);
    }
    r.sorted = take(flat, r.order, 0);
    const int64_t n = flat.numel();
    if (n == 0) {
        r.first = full(Dims{0}, 0, DType::kBool, x.device());
        return r;
    }
    const Tensor parts[2] = {
        full(Dims{1}, true, DType::kBool, x.device()),
        not_equal(narrow(r.sorted, 0, 1, n - 1), narrow(r.sorted, 0, 0, n - 1))};
    r.first = concat(parts, 0);
    return r;
}

Results unique_all(const Args& a) {
    const NoGrad off;
    const Tensor& x = a.tensor(0);
    const Runs r = find_runs(x);
    const Tensor starts = nonzero(r.first)[0];
    const Tensor ends[2] = {starts, full(Dims{1}, x.numel(), DType::kI64, x.device())};
    const Tensor bounds = concat(ends, 0);
    const int64_t count = starts.numel();
    const Tensor counts = narrow(bounds, 0, 1, count) - narrow(bounds, 0, 0, count);
    const Tensor run = cumsum(cast(r.first, DType::kI64), 0) - 1;
    const Tensor inverse =
        scatter(full(Dims{x.numel()}, 0, DType::kI64, x.device()), r.order, run, 0);
    return {take(r.sorted, starts, 0), take(r.order, starts, 0), reshape(inverse, x.shape()),
            counts};
}

}  // namespace

Tensor sort(const Tensor& x, int64_t axis, bool descending) {
    static const OpId id = find_op("sort");
    if (x.rank() == 0) return clone(x);
    return record(id, {x}, Attrs().i(normalize_axis("sort", axis, x.rank())).b(descending));
}

Tensor argsort(const Tensor& x, int64_t axis, bool descending) {
    static const OpId id = find_op("argsort");
    if (x.rank() == 0) return full({}, 0, DType::kI64, x.device());
    return record(id, {x}, Attrs().i(normalize_axis("argsort", axis, x.rank())).b(descending));
}

std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t k, int64_t axis, bool largest) {
    static const OpId id = find_op("topk");
    const Tensor v = at_least_vector(x);
    Tensor out[2];
    record(id, {&v, 1}, Attrs().i(k).i(normalize_axis("topk", axis, v.rank())).b(largest), out);
    return {out[0], out[1]};
}

Tensor cumsum(const Tensor& x, int64_t axis) {
    static const OpId id = find_op("cumsum");
    return scan("cumsum", x, axis, id);
}

Tensor cumprod(const Tensor& x, int64_t axis) {
    static const OpId id = find_op("cumprod");
    return scan("cumprod", x, axis, id);
}

Tensor running_max(const Tensor& x, int64_t axis) {
    static const OpId id = find_op("running_max");
    if (x.rank() == 0) return clone(x);
    return record(id, {x}, Attrs().i(normalize_axis("cummax", axis, x.rank())));
}
Tensor running_min(const Tensor& x, int64_t axis) {
    static const OpId id = find_op("running_min");
    if (x.rank() == 0) return clone(x);
    return record(id, {x}, Attrs().i(normalize_axis("cummin", axis, x.rank())));
}
Tensor logcumsumexp(const Tensor& x, int64_t axis) {
    static const OpId id = find_op("logcumsumexp");
    require_float("logcumsumexp", "x", real_dtype(x.dtype()));
    if (x.rank() == 0) return clone(x);
    return record(id, {x}, Attrs().i(normalize_axis("logcumsumexp", axis, x.rank())));
}

Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right) {
    static const OpId id = find_op("searchsorted");
    const Tensor v =
        values.is_scalar() ? full({}, values, sorted.dtype(), sorted.device()) : values;
    const DType dtype = promote(sorted.dtype(), v.dtype());
    return record(id, {cast(sorted, dtype), cast(v, dtype)}, Attrs().b(right));
}

namespace {

// Each example's own vector is a row, and its values, of any shape, are the row's.
bool batch_searchsorted(BatchCall& c) {
    if (c.rank(0) > 1) return batch_leading(c);
    if (!c.batched[0]) return c.call(c.in, same_attrs(c));
    const int64_t rows[] = {c.size, numel(c.shape(1))};
    if (!c.call({c.in[0], reshape(c.spread(1), rows)}, same_attrs(c))) return false;
    c.out[0] = reshape(c.out[0], with_front(c.size, c.shape(1)));
    return true;
}

void register_sorting_functions() {
    register_function({
        .signature =
            "sort(x: Tensor, axis: int = -1, descending: bool = False, stable: bool = True) "
            "-> Tensor",
        .doc = R"(Sorted along an axis; NaN counts as larger than every number.

The sort is always stable.

>>> sn.sort(sn.arange(3), descending=True).tolist()
[2, 1, 0]
)",
        .call = [](const Args& a) { return sort(a.tensor(0), a.integer(1), a.flag(2)); },
    });
    register_function({
        .signature = "argsort(x: Tensor, axis: int = -1, descending: bool = False, "
                     "stable: bool = True) -> Tensor",
        .doc = R"(The int64 indices that sort x along an axis; equal elements keep their order.

>>> sn.argsort(sn.arange(3), descending=True).tolist()
[2, 1, 0]
)",
        .call = [](const Args& a) { return argsort(a.tensor(0), a.integer(1), a.flag(2)); },
    });
    register_function({
        .signature = "topk(x: Tensor, k: int, axis: int = -1, largest: bool = True, "
                     "sorted: bool = True) -> tuple[Tensor, Tensor]",
        .doc = R"(Values and int64 indices of the k largest (or smallest) elements, best first.

Of equal elements the one with the lowest index comes first. NaN counts as largest.

Raises
------
ValueError : k is negative or larger than the axis.

>>> values, indices = sn.topk(sn.arange(5), 2)
>>> values.tolist(), indices.tolist()
([4, 3], [4, 3])
)",
        .call_many = topk_function,
    });
    register_function({
        .signature = "cumulative_sum(x: Tensor, axis: int? = None, dtype: DType? = None, "
                     "include_initial: bool = False) -> Tensor",
        .doc =
            R"(Sums of all elements up to each, along an axis (needed for more than one dimension).

Integers are summed in int64 (uint64 for unsigned ones), float16 and bfloat16 in float32.

>>> sn.cumulative_sum(sn.arange(4)).tolist()
[0, 1, 3, 6]
)",
        .autocast = Autocast::kFull,
        .call =
            [](const Args& a) {
                const Tensor x = a.has(2) ? cast(a.tensor(0), a.dtype(2)) : a.tensor(0);
                if (!a.has(1) && x.rank() > 1) {
                    fail(ErrorKind::kValue, "cumulative_sum",
                         "x has shape %s and no axis is given; "
                         "with more than one dimension it is required",
                         format_shape(x.shape()).c_str());
                }
                const int64_t axis =
                    a.has(1) ? normalize_axis("cumulative_sum", a.integer(1), x.rank()) : 0;
                Tensor out = cumsum(x, axis);
                if (a.has(2)) out = cast(out, a.dtype(2));
                if (!a.flag(3)) return out;
                Dims shape(out.shape());
                shape[axis] = 1;
                const Tensor parts[2] = {full(shape, 0, out.dtype(), out.device()), out};
                return concat(parts, axis);
            },
    });
    register_function({
        .signature = "cumsum(x: Tensor, axis: int, dtype: DType? = None) -> Tensor",
        .doc = R"(Sums of all elements up to each, along an axis.

>>> sn.cumsum(sn.ones((3,)), 0).tolist()
[1.0, 2.0, 3.0]
)",
        .autocast = Autocast::kFull,
        .call =
            [](const Args& a) {
                if (!a.has(2)) return cumsum(a.tensor(0), a.integer(1));
                return cast(cumsum(cast(a.tensor(0), a.dtype(2)), a.integer(1)), a.dtype(2));
            },
        .aliases = "cumsum_",
    });
    register_function({
        .signature = "cumulative_prod(x: Tensor, axis: int? = None, dtype: DType? = None, "
                     "include_initial: bool = False) -> Tensor",
        .doc = R"(Products of all elements up to each, along an axis.

>>> sn.cumulative_prod(sn.arange(1, 5)).tolist()
[1, 2, 6, 24]
)",
        .autocast = Autocast::kFull,
        .call =
            [](const Args& a) {
                const Tensor x = a.has(2) ? cast(a.tensor(0), a.dtype(2)) : a.tensor(0);
                if (!a.has(1) && x.rank() > 1) {
                    fail(ErrorKind::kValue, "cumulative_prod",
                         "x has shape %s and no axis is given; "
                         "with more than one dimension it is required",
                         format_shape(x.shape()).c_str());
                }
                const int64_t axis =
                    a.has(1) ? normalize_axis("cumulative_prod", a.integer(1), x.rank()) : 0;
                Tensor out = cumprod(x, axis);
                if (a.has(2)) out = cast(out, a.dtype(2));
                if (!a.flag(3)) return out;
                Dims shape(out.shape());
                shape[axis] = 1;
                const Tensor parts[2] = {full(shape, 1, out.dtype(), out.device()), out};
                return concat(parts, axis);
            },
    });
    register_function({
        .signature = "cumprod(x: Tensor, axis: int, dtype: DType? = None) -> Tensor",
        .doc = R"(Products of all elements up to each, along an axis.

>>> sn.cumprod(sn.full((3,), 2.0), 0).tolist()
[2.0, 4.0, 8.0]
)",
        .autocast = Autocast::kFull,
        .call =
            [](const Args& a) {
                if (!a.has(2)) return cumprod(a.tensor(0), a.integer(1));
                return cast(cumprod(cast(a.tensor(0), a.dtype(2)), a.integer(1)), a.dtype(2));
            },
        .aliases = "cumprod_",
    });
    register_function({
        .signature = "unique_values(x: Tensor) -> Tensor",
        .doc = R"(The distinct elements, ascending; every NaN counts as distinct.

>>> sn.unique_values(sn.arange(4) % 2).tolist()
[0, 1]
)",
        .call =
            [](const Args& a) {
                const NoGrad off;
                const Runs r = find_runs(a.tensor(0));
                return take(r.sorted, nonzero(r.first)[0], 0);
            },
    });
    register_function({
        .signature = "unique_all(x: Tensor) -> UniqueAllResult",
        .doc =
            R"(Distinct elements, their first positions, for each element of x the position of its
value among them, and their counts.

>>> [t.tolist() for t in sn.unique_all(sn.arange(4) % 2)]
[[0, 1], [0, 1], [0, 1, 0, 1], [2, 2]]
)",
        .call_many = unique_all,
    });
    register_function({
        .signature = "unique_counts(x: Tensor) -> UniqueCountsResult",
        .doc = R"(Distinct elements and how often each occurs.

>>> [t.tolist() for t in sn.unique_counts(sn.arange(4) % 3)]
[[0, 1, 2], [2, 1, 1]]
)",
        .call_many =
            [](const Args& a) {
                const Results all = unique_all(a);
                return Results{all[0], all[3]};
            },
    });
    register_function({
        .signature = "unique_inverse(x: Tensor) -> UniqueInverseResult",
        .doc = R"(Distinct elements, and for each element of x the position of its value among them.

>>> [t.tolist() for t in sn.unique_inverse(sn.arange(4) % 2)]
[[0, 1], [0, 1, 0, 1]]
)",
        .call_many =
            [](const Args& a) {
                const Results all = unique_all(a);
                return Results{all[0], all[2]};
            },
    });
}

}  // namespace

namespace {

// Calls from files.
void check_cumulative(const CheckCall& c) {
    check_axis<0>(c);
    c.require(is_float(c.dtype(0)) || c.dtype(0) == DType::kI64 || c.dtype(0) == DType::kU64,
              "the operand has no dtype that sums have");
}
void check_numeric(const CheckCall& c) {
    check_axis<0>(c);
    c.require(!is_bool(c.dtype(0)), "the operand is bool");
}
void check_float_axis(const CheckCall& c) {
    check_axis<0>(c);
    c.floating(0);
}
void check_scan(const CheckCall& c) {
    check_axis<0, 2>(c);
    c.one_dtype(0, 2);
    c.floating(0);
    c.require(c.shape(0) == c.shape(1), "operands have different shapes");
}
void check_search(const CheckCall& c) {
    c.tensors(0, 2);
    c.one_dtype(0, 2);
}

}  // namespace

void register_sorting_ops() {
    register_op({
        .name = "sort",
        .schema = "axis:int descending:bool",
        .doc = "Sorted along an axis; stable; NaN counts as largest.",
        .infer = same_as_input,
        .grad =
            [](GradCall& c) {
                const int64_t axis = c.attrs.i(0);
                const Tensor zero =
                    full(c.in_meta(0).shape, 0, c.in_meta(0).dtype, c.in_meta(0).device);
                c.set(0, scatter(zero, argsort(c.in(0), axis, c.attrs.b(1)), c.grad(), axis));
            },
        .saves = save_in(0),
        .batch = batch_axis<0>,
        .check = check_axis<0>,
    });
    register_op({
        .name = "argsort",
        .schema = "axis:int descending:bool",
        .doc = "Indices that sort x along an axis; equal elements keep their order.",
        .infer =
            [](InferCall& c) {
                c.out[0].shape = c.in[0]->shape;
                c.out[0].dtype = DType::kI64;
            },
        .batch = batch_axis<0>,
        .check = check_axis<0>,
    });
    register_op({
        .name = "topk",
        .n_out = 2,
        .schema = "k:int axis:int largest:bool",
        .doc = "Values and indices of the k largest or smallest elements, best first.",
        .infer =
            [](InferCall& c) {
                const int64_t k = c.attrs.i(0), axis = c.attrs.i(1);
                c.out[0] = *c.in[0];
                if (k < 0 || k > c.in[0]->shape[axis]) {
                    fail(ErrorKind::kValue, c.op,
                         "k is %lld for axis %lld of shape %s; it must be between 0 and %lld",
                         ll(k), ll(axis), format_shape(c.in[0]->shape).c_str(),
                         ll(c.in[0]->shape[axis]));
                }
                c.out[0].shape[axis] = k;
                c.out[1] = c.out[0];
                c.out[1].dtype = DType::kI64;
            },
        .grad =
            [](GradCall& c) {
                if (!c.has_grad(0)) return;
                const Tensor zero =
                    full(c.in_meta(0).shape, 0, c.in_meta(0).dtype, c.in_meta(0).device);
                c.set(0, scatter(zero, c.out(1), c.grad(), c.attrs.i(1)));
            },
        .saves = save_out(1),
        .batch = batch_axis<1>,
        .check = check_axis<1>,
    });
    register_op({
        .name = "cumsum",
        .schema = "axis:int",
        .doc = "Running sums along an axis, in blocks of fixed length.",
        .infer = same_as_input,
        .grad =
            [](GradCall& c) {
                const int64_t axis = c.attrs.i(0);
                c.set(0, flip_axis(cumsum(flip_axis(c.grad(), axis), axis), axis));
            },
        .batch = batch_axis<0>,
        .check = check_cumulative,
    });
    register_op({
        .name = "cumprod",
        .schema = "axis:int",
        .doc = "Running products along an axis, in blocks of fixed length.",
        .infer = same_as_input,
        // Without dividing, so that zeros in x are no special case: the product before an
        // element, times what the rest makes of it.
        .grad =
            [](GradCall& c) {
                const int64_t axis = c.attrs.i(0);
                c.set(0, shifted(c.out(0), 1, axis) * reverse_scan(c.in(0), c.grad(), axis));
            },
        .saves = save_in(0) | save_out(0),
        .batch = batch_axis<0>,
        .check = check_cumulative,
    });
    register_op({
        .name = "running_max",
        .schema = "axis:int",
        .doc = "The largest element up to each along an axis; NaN stays.",
        .infer = same_as_input,
        .batch = batch_axis<0>,
        .check = check_numeric,
    });
    register_op({
        .name = "running_min",
        .schema = "axis:int",
        .doc = "The smallest element up to each along an axis; NaN stays.",
        .infer = same_as_input,
        .batch = batch_axis<0>,
        .check = check_numeric,
    });
    register_op({
        .name = "logcumsumexp",
        .schema = "axis:int",
        .doc = "Logarithms of the running sums of exponentials along an axis, in blocks of fixed "
               "length.",
        .infer = same_as_input,
        // exp(x[j]) * sum over i >= j of g[i] exp(-out[i]): positive and negative parts of g
        // apart, so that all stays on the scale of logarithms.
        .grad =
            [](GradCall& c) {
                const int64_t axis = c.attrs.i(0);
                const Tensor x = c.in(0), out = c.out(), g = c.grad();
                const double none = -std::numeric_limits<double>::infinity();
                const Tensor empty = equal(out, none);  // nothing has been added up to there
                const Tensor base = where(empty, 0.0, out);
                const auto part = [&](const Tensor& weight) {  // of weights that are not negative
                    const Tensor live = logical_and(greater(weight, 0.0), logical_not(empty));
                    const Tensor term = log(where(live, weight, 1.0)) - base;
                    const Tensor back = flip_axis(where(live, term, none), axis);
                    return exp(flip_axis(logcumsumexp(back, axis), axis) + x);
                };
                c.set(0, part(relu(g)) - part(relu(negative(g))));
            },
        .saves = save_in(0) | save_out(0),
        .batch = batch_axis<0>,
        .check = check_float_axis,
    });
    register_op({
        .name = "linear_scan",
        .n_in = 2,
        .schema = "axis:int",
        .doc = "out[j] = a[j] * out[j - 1] + b[j] along an axis.",
        .infer =
            [](InferCall& c) {
                c.out[0] = *c.in[1];
                SN_CHECK(c.in[0]->shape == c.in[1]->shape && c.in[0]->dtype == c.in[1]->dtype);
            },
        .grad =
            [](GradCall& c) {
                const int64_t axis = c.attrs.i(0);
                const Tensor s = reverse_scan(c.in(0), c.grad(), axis);
                if (c.needs(0)) c.set(0, s * shifted(c.out(0), 0, axis));
                if (c.needs(1)) c.set(1, s);
            },
        .saves = save_in(0) | save_out(0),
        .batch = batch_axis<0>,
        .check = check_scan,
    });
    register_op({
        .name = "searchsorted",
        .n_in = 2,
        .schema = "right:bool",
        .doc = "Where values go into a sorted vector, or into that of their row: before equal "
               "elements, or behind.",
        .infer =
            [](InferCall& c) {
                const Dims &sorted = c.in[0]->shape, &values = c.in[1]->shape;
                bool fits =
                    sorted.size() == 1 || (sorted.size() > 1 && values.size() == sorted.size());
                for (size_t d = 0; fits && d + 1 < sorted.size(); ++d)
                    fits = values[d] == sorted[d];
                if (!fits) {
                    fail(ErrorKind::kShape, c.op,
                         "the sorted tensor has shape %s and the values %s; a vector is required, "
                         "or equal sizes but for the last",
                         format_shape(sorted).c_str(), format_shape(values).c_str());
                }
                c.out[0].shape = c.in[1]->shape;
                c.out[0].dtype = DType::kI64;
            },
        .batch = batch_searchsorted,
        .check = check_search,
    });
    register_sorting_functions();
}

}  // namespace sn
