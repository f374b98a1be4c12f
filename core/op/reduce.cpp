#include "op/reduce.h"

#include <cmath>
#include <limits>

#include "backend/cpu/program.h"
#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"

namespace sn {

namespace {

using cpu::ReduceKind;

constexpr const char* kReduceSchema = "axes:ints keepdims:bool";

// ---- rules --------------------------------------------------------------------------------------

void infer_reduce(InferCall& c) {
    c.out[0].shape = reduced_shape(c.in[0]->shape, c.attrs.ints(0), c.attrs.b(1));
    c.out[0].dtype = c.in[0]->dtype;
}

void require_elements(const char* op, DimSpan shape, DimSpan axes) {
    if (count_along(shape, axes) != 0) return;
    fail(ErrorKind::kValue, op,
         "the reduced axes of shape %s hold no element, and there is no %s of nothing; reduce axes "
         "of size 1 or more",
         format_shape(shape).c_str(), op);
}

void infer_extremum(InferCall& c) {
    require_elements(c.op, c.in[0]->shape, c.attrs.ints(0));
    infer_reduce(c);
}

// Of bools and integers of fewer than 64 bits.
void infer_sum_wide(InferCall& c) {
    const DType from = c.in[0]->dtype;
    infer_reduce(c);
    c.out[0].dtype = is_unsigned_int(from) ? DType::kU64 : DType::kI64;
}

void infer_mean(InferCall& c) {
    require_float(c.op, "x", c.in[0]->dtype);
    infer_reduce(c);
}

void infer_arg(InferCall& c) {
    const int64_t axis[] = {c.attrs.i(0)};
    require_elements(c.op, c.in[0]->shape, axis);
    c.out[0].shape = reduced_shape(c.in[0]->shape, axis, c.attrs.b(1));
    c.out[0].dtype = DType::kI64;
}

// The output, or its gradient, with the reduced axes back in place as ones.
Tensor restored(const Tensor& y, const GradCall& c) {
    return reshape(y, keepdims_shape(c.in_meta(0).shape, c.attrs.ints(0)));
}
double count(const GradCall& c) {
    return static_cast<double>(count_along(c.in_meta(0).shape, c.attrs.ints(0)));
}

void grad_sum(GradCall& c) { c.set(0, expand(restored(c.grad(), c), c.in_meta(0).shape)); }

void grad_mean(GradCall& c) {
    c.set(0, expand(to_compute(restored(c.grad(), c)) / count(c), c.in_meta(0).shape));
}

void grad_var(GradCall& c) {
    const Tensor x = to_compute(c.in(0));
    const Tensor g = to_compute(restored(c.grad(), c)) * (2.0 / count(c));
    c.set(0, g * (x - mean(x, c.attrs.ints(0), true)));
}

// Ties share the gradient evenly.
void grad_extremum(GradCall& c) {
    const Tensor hit = cast(equal(c.in(0), restored(c.out(0), c)), compute_dtype(c.grad().dtype()));
    const Tensor share = to_compute(restored(c.grad(), c)) / sum(hit, c.attrs.ints(0), true);
    c.set(0, hit * share);
}

// The product of all the others along the last axis, from a binary tree of products walked down
// again: no division, so zeros are exact, and so is every further derivative.
Tensor product_of_others(Tensor x) {
    const int64_t n = x.size(-1), rank = x.rank();
    int64_t padded = 1;
    while (padded < n) padded *= 2;
    if (padded != n) {
        Dims low(rank, 0), high(rank, 0);
        high[rank - 1] = padded - n;
        x = pad(x, low, high, 1.0);
    }
    std::vector<Tensor> even, odd;
    Tensor level = x;
    while (level.size(-1) > 1) {
        Dims pairs(level.shape());
        pairs[rank - 1] /= 2;
        const Dims flat(pairs);
        pairs.push_back(2);
        const Tensor split = reshape(level, pairs);
        even.push_back(reshape(narrow(split, rank, 0, 1), flat));
        odd.push_back(reshape(narrow(split, rank, 1, 1), flat));
        level = even.back() * odd.back();
    }
    Tensor others = ones_like(level);
    for (size_t k = even.size(); k-- > 0;) {
        Dims shape(others.shape());
        shape[rank - 1] *= 2;
        const Tensor parts[] = {others * odd[k], others * even[k]};
        others = reshape(stack(parts, rank), shape);
    }
    return padded == n ? others : narrow(others, rank - 1, 0, n);
}

void grad_prod(GradCall& c) {
    const Tensor x = to_compute(c.in(0));
    const DimSpan axes = c.attrs.ints(0);
    const int rank = x.rank(), kept = rank - static_cast<int>(axes.size());
    // Kept axes first, the reduced ones flattened behind them.
    Dims order, flat, back(rank, 0);
    for (int i = 0; i < rank; ++i) {
        bool reduced = false;
        for (int64_t axis : axes) reduced |= axis == i;
        if (!reduced) order.push_back(i);
    }
    for (int i = 0; i < kept; ++i) flat.push_back(x.shape()[order[i]]);
    flat.push_back(count_along(x.shape(), axes));
    for (int64_t axis : axes) order.push_back(axis);
    for (int i = 0; i < rank; ++i) back[order[i]] = i;
    const Tensor turned = permute(x, order);
    const Tensor others =
        permute(reshape(product_of_others(reshape(turned, flat)), turned.shape()), back);
    c.set(0, to_compute(restored(c.grad(), c)) * others);
}

// ---- composite reductions: stable, in the compute dtype, rounded once ---------------------------

void lower_logsumexp(LowerCall& c) {
    const DimSpan axes = c.attrs.ints(0);
    const Tensor x = to_compute(c.in[0]);
    const Tensor top = max(x, axes, true);
    // An infinite maximum is the result; subtracting it would give NaN.
    const Tensor shift = where(isfinite(top), top, 0.0);
    const Tensor y = log(sum(exp(x - shift), axes, true)) + shift;
    c.out[0] = cast(reshape(y, reduced_shape(x.shape(), axes, c.attrs.b(1))), c.in[0].dtype());
}
void grad_logsumexp(GradCall& c) {
    const Tensor y = to_compute(restored(c.out(0), c));
    const Tensor weight = exp(to_compute(c.in(0)) - where(isfinite(y), y, 0.0));
    c.set(0, to_compute(restored(c.grad(), c)) * weight);
}

double bessel(int64_t n, double correction) {
    return static_cast<double>(n) / std::fmax(static_cast<double>(n) - correction, 0.0);
}

void lower_std(LowerCall& c) {
    const DimSpan axes = c.attrs.ints(0);
    const Tensor x = to_compute(c.in[0]);
    Tensor v = var(x, axes, 0.0, c.attrs.b(1));
    if (c.attrs.f(2) != 0.0) v = v * bessel(count_along(x.shape(), axes), c.attrs.f(2));
    c.out[0] = cast(sqrt(v), c.in[0].dtype());
}
// Zero where the deviation is zero, as for a norm.
void grad_std(GradCall& c) {
    const DimSpan axes = c.attrs.ints(0);
    const Tensor x = to_compute(c.in(0));
    const Tensor s = to_compute(restored(c.out(0), c));
    const Tensor flat = equal(s, 0.0);
    const double n = std::fmax(count(c) - c.attrs.f(2), 0.0);
    const Tensor g = to_compute(restored(c.grad(), c)) / (where(flat, 1.0, s) * n);
    c.set(0, where(flat, 0.0, g) * (x - mean(x, axes, true)));
}

void lower_norm2(LowerCall& c) {
    const Tensor x = to_compute(c.in[0]);
    c.out[0] = cast(sqrt(sum(x * x, c.attrs.ints(0), c.attrs.b(1))), c.in[0].dtype());
}
void grad_norm2(GradCall& c) {
    const Tensor y = to_compute(restored(c.out(0), c));
    const Tensor zero = equal(y, 0.0);
    const Tensor g = to_compute(restored(c.grad(), c)) / where(zero, 1.0, y);
    c.set(0, where(zero, 0.0, g) * to_compute(c.in(0)));
}

// ---- calls --------------------------------------------------------------------------------------

// Ops always get an explicit, non-empty list of axes; a tensor of rank 0 reduces as one of size 1.
Tensor call_reduce(OpId id, const char* op, const Tensor& x, DimSpan axes, bool keepdims,
                   const double* extra = nullptr) {
    Attrs attrs;
    if (x.rank() == 0) {
        normalize_axes(op, axes, 0);
        const int64_t one[] = {1}, first[] = {0};
        attrs.ints(first).b(false);
        if (extra) attrs.f(*extra);
        return record(id, {reshape(x, one)}, attrs);
    }
    attrs.ints(axes.empty() ? all_axes(x.rank()) : normalize_axes(op, axes, x.rank())).b(keepdims);
    if (extra) attrs.f(*extra);
    return record(id, {x}, attrs);
}

// Sums and products of small integers are 64 bits wide.
Tensor widened(const Tensor& x) {
    if (is_inexact(x.dtype())) return x;
    return cast(x, is_unsigned_int(x.dtype()) ? DType::kU64 : DType::kI64);
}
Tensor floated(const Tensor& x) { return is_inexact(x.dtype()) ? x : cast(x, DType::kF32); }
Tensor truth(const Tensor& x) { return is_bool(x.dtype()) ? x : not_equal(x, 0); }

}  // namespace

// Many integers are widened as they are read, few in a loop that what comes before and after may
// share; the sums are exact either way.
constexpr int64_t kManyIntegers = 1 << 15;

Tensor sum(const Tensor& x, DimSpan axes, bool keepdims) {
    static const OpId id = find_op("sum"), wide = find_op("sum_wide");
    if (!is_inexact(x.dtype()) && dtype_size(x.dtype()) < 8 && numel(x.shape()) >= kManyIntegers)
        return call_reduce(wide, "sum", x, axes, keepdims);
    return call_reduce(id, "sum", widened(x), axes, keepdims);
}
Tensor prod(const Tensor& x, DimSpan axes, bool keepdims) {
    static const OpId id = find_op("prod");
    return call_reduce(id, "prod", widened(x), axes, keepdims);
}
Tensor mean(const Tensor& x, DimSpan axes, bool keepdims) {
    static const OpId id = find_op("mean");
    return call_reduce(id, "mean", floated(x), axes, keepdims);
}
Tensor max(const Tensor& x, DimSpan axes, bool keepdims) {
    if (is_bool(x.dtype())) return any(x, axes, keepdims);
    static const OpId id = find_op("max");
    return call_reduce(id, "max", x, axes, keepdims);
}
Tensor min(const Tensor& x, DimSpan axes, bool keepdims) {
    if (is_bool(x.dtype())) return all(x, axes, keepdims);
    static const OpId id = find_op("min");
    return call_reduce(id, "min", x, axes, keepdims);
}
Tensor any(const Tensor& x, DimSpan axes, bool keepdims) {
    static const OpId id = find_op("any");
    return call_reduce(id, "any", truth(x), axes, keepdims);
}
Tensor all(const Tensor& x, DimSpan axes, bool keepdims) {
    static const OpId id = find_op("all");
    return call_reduce(id, "all", truth(x), axes, keepdims);
}

Tensor var(const Tensor& x, DimSpan axes, double correction, bool keepdims) {
    static const OpId id = find_op("var");
    const Tensor f = floated(x);
    if (correction == 0.0) return call_reduce(id, "var", f, axes, keepdims);
    const Dims chosen = axes.empty() ? all_axes(x.rank()) : normalize_axes("var", axes, x.rank());
    const double scale = bessel(count_along(x.shape(), chosen), correction);
    return cast(call_reduce(id, "var", to_compute(f), axes, keepdims) * scale,
                real_dtype(f.dtype()));
}
Tensor standard_deviation(const Tensor& x, DimSpan axes, double correction, bool keepdims) {
    static const OpId id = find_op("std");
    return call_reduce(id, "std", floated(x), axes, keepdims, &correction);
}
Tensor logsumexp(const Tensor& x, DimSpan axes, bool keepdims) {
    static const OpId id = find_op("logsumexp");
    // Complex ones are shifted by the largest real part; the result does not depend on it.
    if (is_complex(x.dtype())) {
        if (x.numel() == 0) return log(sum(exp(x), axes, keepdims));
        const auto largest = [&](bool keep) {
            const Tensor top = max(real(x).detach(), axes, keep);
            return where(isfinite(top), top, 0.0);
        };
        return log(sum(exp(x - largest(true)), axes, keepdims)) + largest(keepdims);
    }
    return call_reduce(id, "logsumexp", floated(x), axes, keepdims);
}
Tensor count_nonzero(const Tensor& x, DimSpan axes, bool keepdims) {
    return sum(truth(x), axes, keepdims);
}

Tensor vector_norm(const Tensor& x, double order, DimSpan axes, bool keepdims) {
    if (!is_complex(x.dtype())) require_float("vector_norm", "x", x.dtype());
    static const OpId norm2 = find_op("norm2");
    if (order == 2.0) return call_reduce(norm2, "vector_norm", x, axes, keepdims);
    if (std::isinf(order))
        return order > 0 ? max(abs(x), axes, keepdims) : min(abs(x), axes, keepdims);
    if (order == 0.0) return cast(count_nonzero(x, axes, keepdims), real_dtype(x.dtype()));
    if (order == 1.0) return sum(abs(x), axes, keepdims);
    const Tensor p = sum(pow(abs(to_compute(x)), order), axes, keepdims);
    return cast(pow(p, 1.0 / order), real_dtype(x.dtype()));
}

namespace {

Tensor arg_extremum(OpId id, const char* op, const Tensor& x, int64_t axis, bool keepdims) {
    const Tensor values = is_bool(x.dtype()) ? cast(x, DType::kU8) : x;
    if (x.rank() == 0) {
        const int64_t one[] = {1};
        return record(id, {reshape(values, one)}, Attrs().i(0).b(false));
    }
    return record(id, {values}, Attrs().i(normalize_axis(op, axis, x.rank())).b(keepdims));
}

}  // namespace

Tensor argmax(const Tensor& x, int64_t axis, bool keepdims) {
    static const OpId id = find_op("argmax");
    return arg_extremum(id, "argmax", x, axis, keepdims);
}
Tensor argmin(const Tensor& x, int64_t axis, bool keepdims) {
    static const OpId id = find_op("argmin");
    return arg_extremum(id, "argmin", x, axis, keepdims);
}

Tensor sum_to(const Tensor& x, DimSpan shape) {
    if (DimSpan(x.shape()).size() == shape.size() && x.shape() == Dims(shape)) return x;
    if (!broadcastable_to(shape, x.shape())) {
        fail(ErrorKind::kShape, "sum_to",
             "shape %s cannot be summed to %s; the target must "
             "broadcast to the tensor's shape",
             format_shape(x.shape()).c_str(), format_shape(shape).c_str());
    }
    Dims axes;
    const size_t shift = x.shape().size() - shape.size();
    for (size_t i = 0; i < x.shape().size(); ++i)
        if (i < shift || (shape[i - shift] == 1 && x.shape()[i] != 1)) axes.push_back(i);
    const Tensor y = axes.empty() ? x : sum(x, axes, true);
    return reshape(y, shape);
}

// ---- public functions ---------------------------------------------------------------------------

namespace {

using ReduceFn = Tensor (*)(const Tensor&, DimSpan, bool);

// axis=() reduces nothing, as in NumPy; axis=None reduces everything. Reducing nothing is reducing
// one more axis, of size 1.
template <class F>
Tensor over_axes(const Tensor& x, const Args& a, int axis, bool keepdims, F reduce) {
    if (x.rank() == 0 && a.has(axis) && !a.ints(axis).empty()) {
        // A number with an axis counts as a vector of one, as in PyTorch.
        const int64_t only[] = {0};
        normalize_axes("axis", a.ints(axis), 1);
        return reduce(reshape(x, Dims{1}), DimSpan(only), false);
    }
    if (a.has(axis) && a.ints(axis).empty()) {
        const int64_t last[] = {x.rank()};
        return reduce(unsqueeze(x, x.rank()), DimSpan(last), false);
    }
    return reduce(x, a.has(axis) ? a.ints(axis) : DimSpan(), keepdims);
}

template <ReduceFn reduce>
Tensor call_plain(const Args& a) {  // (x, axis, keepdims)
    return over_axes(a.tensor(0), a, 1, a.flag(2), reduce);
}
template <ReduceFn reduce>
Tensor call_typed(const Args& a) {  // (x, axis, dtype, keepdims)
    const Tensor x = a.has(2) ? cast(a.tensor(0), a.dtype(2)) : a.tensor(0);
    const Tensor y = over_axes(x, a, 1, a.flag(3), reduce);
    return a.has(2) ? cast(y, a.dtype(2)) : y;
}
template <Tensor (*reduce)(const Tensor&, DimSpan, double, bool)>
Tensor call_spread(const Args& a) {  // (x, axis, correction, keepdims)
    const double correction = a.real(2);
    return over_axes(a.tensor(0), a, 1, a.flag(3),
                     [=](const Tensor& x, DimSpan axes, bool keepdims) {
                         return reduce(x, axes, correction, keepdims);
                     });
}
template <Tensor (*find)(const Tensor&, int64_t, bool)>
Tensor call_arg(const Args& a) {  // (x, axis, keepdims)
    const Tensor& x = a.tensor(0);
    if (a.has(1))
        return find(x.rank() ? x : reshape(x, Dims{1}), a.integer(1), a.flag(2) && x.rank());
    const int64_t flat[] = {-1};
    const Tensor y = find(reshape(x, flat), 0, false);
    return a.flag(2) ? reshape(y, Dims(x.rank(), 1)) : y;
}
Tensor without_nan(const Tensor& x) { return is_inexact(x.dtype()) ? where(isnan(x), 0.0, x) : x; }

void register_basic_functions() {
    register_function({.signature = "sum(x: Tensor, axis: Ints? = None, dtype: DType? = None, "
                                    "keepdims: bool = False) -> Tensor",
                       .doc = R"(Sum of the elements over one, several or all axes.

Parameters
----------
x : Tensor
    Any shape. Integers and bools are summed in 64 bits; float16 and bfloat16 accumulate in float32
    and round once.
axis : int, tuple of int or None
    The axes to sum over; None sums everything.
dtype : DType or None
    Convert to this dtype first, and return it.
keepdims : bool
    Keep the summed axes with size 1.

Returns
-------
Tensor
    The shape of `x` without the axes. The bits do not depend on threads or layout: the order of the
    additions is a fixed tree over the logical index (design note 001).

Raises
------
IndexError
    When an axis is outside of the rank.

Examples
--------
>>> sn.sum(sn.tensor([[1, 2], [3, 4]]), axis=0).tolist()
[4, 6]
)",
                       .autocast = Autocast::kFull,
                       .call = call_typed<sum>});
    register_function({.signature = "prod(x: Tensor, axis: Ints? = None, dtype: DType? = None, "
                                    "keepdims: bool = False) -> Tensor",
                       .doc = R"(Product of the elements over one, several or all axes.

Parameters and dtypes are those of `sum`. The gradient is exact where elements are zero.

Examples
--------
>>> sn.prod(sn.tensor([[1, 2], [3, 4]]), axis=1).tolist()
[2, 12]
)",
                       .autocast = Autocast::kFull,
                       .call = call_typed<prod>});
    register_function({.signature = "mean(x: Tensor, axis: Ints? = None, dtype: DType? = None, "
                                    "keepdims: bool = False) -> Tensor",
                       .doc = R"(Arithmetic mean over one, several or all axes.

Parameters are those of `sum`. Integers and bools average to float32; the mean of nothing is NaN.

Examples
--------
>>> sn.mean(sn.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1).tolist()
[1.5, 3.5]
)",
                       .call = call_typed<mean>});
    register_function({.signature = "var(x: Tensor, axis: Ints? = None, correction: float = 0.0, "
                                    "keepdims: bool = False) -> Tensor",
                       .doc = R"(Variance over one, several or all axes.

The sum of squared distances from the mean, divided by ``n - correction``. It is centred per block
and merged (Chan, Golub, LeVeque 1979), so it does not lose digits for data far from zero.

Parameters
----------
x : Tensor
    Floating point; integers become float32.
axis : int, tuple of int or None
    The axes to reduce; None takes all.
correction : float
    0 for a population (the Array API's default), 1 for a sample (PyTorch's default).
keepdims : bool
    Keep the reduced axes with size 1.

Examples
--------
>>> sn.var(sn.tensor([1.0, 2.0, 3.0, 4.0])).item()
1.25
)",
                       .call = call_spread<var>});
    register_function({.signature = "std(x: Tensor, axis: Ints? = None, correction: float = 0.0, "
                                    "keepdims: bool = False) -> Tensor",
                       .doc = R"(Standard deviation: the square root of `var`, with its parameters.

The gradient is zero where the deviation is zero.

Examples
--------
>>> sn.std(sn.tensor([1.0, 1.0, 3.0, 3.0])).item()
1.0
)",
                       .call = call_spread<standard_deviation>});
    register_function({.signature =
                           "var_mean(x: Tensor, axis: Ints? = None, correction: float = 0.0, "
                           "keepdims: bool = False) -> tuple[Tensor, Tensor]",
                       .doc = R"(Variance and mean, as `var` and `mean` give them.

Examples
--------
>>> variance, average = sn.var_mean(sn.tensor([1.0, 3.0]))
>>> variance.item(), average.item()
(1.0, 2.0)
)",
                       .call_many = [](const Args& a) {
                           Results both{call_spread<var>(a)};
                           both.push_back(over_axes(a.tensor(0), a, 1, a.flag(3), mean));
                           return both;
                       }});
}

void register_order_functions() {
    register_function(
        {.signature = "max(x: Tensor, axis: Ints? = None, keepdims: bool = False) -> Tensor",
         .doc = R"(Largest element over one, several or all axes.

Returns values only, also with an axis (the Array API's rule; `argmax` gives positions). NaN wins.
The gradient is shared evenly among equal largest elements.

Raises
------
ValueError
    When the reduced axes hold no element.

Examples
--------
>>> sn.max(sn.tensor([[1, 5], [7, 2]]), axis=1).tolist()
[5, 7]
)",
         .call = call_plain<max>,
         .aliases = "amax"});
    register_function(
        {.signature = "min(x: Tensor, axis: Ints? = None, keepdims: bool = False) -> Tensor",
         .doc = R"(Smallest element over one, several or all axes. See `max`.

Examples
--------
>>> sn.min(sn.tensor([[1, 5], [7, 2]]), axis=1).tolist()
[1, 2]
)",
         .call = call_plain<min>,
         .aliases = "amin"});
    register_function(
        {.signature = "argmax(x: Tensor, axis: int? = None, keepdims: bool = False) -> Tensor",
         .doc = R"(Position (int64) of the largest element: the first one when several are equal;
NaN wins.

axis=None looks at the flattened tensor.

Examples
--------
>>> sn.argmax(sn.tensor([[1, 5], [7, 2]]), axis=1).tolist()
[1, 0]
)",
         .call = call_arg<argmax>});
    register_function(
        {.signature = "argmin(x: Tensor, axis: int? = None, keepdims: bool = False) -> Tensor",
         .doc = R"(Position (int64) of the smallest element: the first one when several are equal;
NaN wins.

Examples
--------
>>> sn.argmin(sn.tensor([[1, 5], [7, 2]]), axis=1).tolist()
[0, 1]
)",
         .call = call_arg<argmin>});
    register_function(
        {.signature = "any(x: Tensor, axis: Ints? = None, keepdims: bool = False) -> Tensor",
         .doc = R"(True where any element is non-zero; False over nothing.

Examples
--------
>>> sn.any(sn.tensor([[0, 0], [0, 2]]), axis=1).tolist()
[False, True]
)",
         .call = call_plain<any>});
    register_function(
        {.signature = "all(x: Tensor, axis: Ints? = None, keepdims: bool = False) -> Tensor",
         .doc = R"(True where every element is non-zero; True over nothing.

Examples
--------
>>> sn.all(sn.tensor([[0, 1], [1, 2]]), axis=1).tolist()
[False, True]
)",
         .call = call_plain<all>});
}

void register_composite_functions() {
    register_function(
        {.signature = "logsumexp(x: Tensor, axis: Ints? = None, keepdims: bool = False) -> Tensor",
         .doc = R"(Logarithm of the sum of exponentials, without overflow.

Examples
--------
>>> round(sn.logsumexp(sn.tensor([1000.0, 1000.0])).item(), 3)
1000.693
)",
         .autocast = Autocast::kFull,
         .call = call_plain<logsumexp>});
    register_function({.signature =
                           "vector_norm(x: Tensor, axis: Ints? = None, keepdims: bool = False, "
                           "ord: float = 2.0) -> Tensor",
                       .doc = R"(Vector norm of order `ord` over one, several or all axes:
``sum(abs(x)**ord)**(1/ord)``.

inf and -inf are the largest and smallest magnitude, 0 counts the non-zeros. The gradient of the
2-norm at zero is zero.

Examples
--------
>>> sn.vector_norm(sn.tensor([3.0, 4.0])).item()
5.0
)",
                       .call = [](const Args& a) {
                           const double order = a.real(3);
                           return over_axes(a.tensor(0), a, 1, a.flag(2),
                                            [=](const Tensor& x, DimSpan axes, bool keepdims) {
                                                return vector_norm(x, order, axes, keepdims);
                                            });
                       }});
    register_function(
        {.signature = "nansum(x: Tensor, axis: Ints? = None, keepdims: bool = False) -> Tensor",
         .doc = R"(Sum that counts NaN as zero.

Examples
--------
>>> sn.nansum(sn.tensor([1.0, float("nan"), 2.0])).item()
3.0
)",
         .call = [](const Args& a) {
             return over_axes(without_nan(a.tensor(0)), a, 1, a.flag(2), sum);
         }});
    register_function(
        {.signature = "nanmean(x: Tensor, axis: Ints? = None, keepdims: bool = False) -> Tensor",
         .doc = R"(Mean of the elements that are not NaN.

Examples
--------
>>> sn.nanmean(sn.tensor([1.0, float("nan"), 2.0])).item()
1.5
)",
         .call = [](const Args& a) {
             const Tensor x = floated(a.tensor(0));
             const Tensor total = over_axes(without_nan(x), a, 1, a.flag(2), sum);
             return total / over_axes(logical_not(isnan(x)), a, 1, a.flag(2), sum);
         }});
    register_function(
        {.signature = "sum_to(x: Tensor, shape: Ints) -> Tensor",
         .doc = R"(Sums away what broadcasting from `shape` to the shape of `x` has added.

Examples
--------
>>> sn.sum_to(sn.ones((4, 3)), (1, 3)).tolist()
[[4.0, 4.0, 4.0]]
)",
         .call = [](const Args& a) { return sum_to(a.tensor(0), a.ints(1)); }});
}

// Calls from files.
void check_reduction(const CheckCall& c) {
    const auto kind = static_cast<ReduceKind>(c.def.reduce_kind);
    const DType dtype = c.dtype(0);
    check_axes(c);
    if (kind == ReduceKind::kAny || kind == ReduceKind::kAll)
        c.require(is_bool(dtype), "the operand is not bool");
    else if (kind == ReduceKind::kMax || kind == ReduceKind::kMin)
        c.require(!is_bool(dtype), "the operand is bool");
    else
        c.require(is_float(dtype) || dtype == DType::kI64 || dtype == DType::kU64,
                  "the operand has no dtype that sums have");
}
void check_arg(const CheckCall& c) {
    check_axis<0>(c);
    c.require(!is_bool(c.dtype(0)), "the operand is bool");
}
void check_sum_wide(const CheckCall& c) {
    check_axes(c);
    c.require(is_bool(c.dtype(0)) || is_int(c.dtype(0)), "the operand is no integer");
}

void register_reduction(const char* name, ReduceKind kind, InferFn infer, GradFn grad,
                        uint32_t saves, const char* doc) {
    register_op({.name = name,
                 .schema = kReduceSchema,
                 .doc = doc,
                 .infer = infer,
                 .grad = grad,
                 .saves = saves,
                 .batch = batch_axes<0>,
                 .check = check_reduction,
                 .reduce_kind = static_cast<int>(kind),
                 .layout = Layout::kAny});
}

}  // namespace

void register_reduce_ops() {
    const uint32_t x = save_in(0), y = save_out(0);
    register_reduction("sum", ReduceKind::kSum, infer_reduce, grad_sum, 0, "Sum over axes.");
    register_op({.name = "sum_wide",
                 .schema = kReduceSchema,
                 .doc = "Sum of bools or integers over axes, in 64 bits.",
                 .infer = infer_sum_wide,
                 .batch = batch_axes<0>,
                 .check = check_sum_wide,
                 .layout = Layout::kAny});
    register_reduction("prod", ReduceKind::kProd, infer_reduce, grad_prod, x, "Product over axes.");
    register_reduction("max", ReduceKind::kMax, infer_extremum, grad_extremum, x | y,
                       "Largest element over axes.");
    register_reduction("min", ReduceKind::kMin, infer_extremum, grad_extremum, x | y,
                       "Smallest element over axes.");
    register_reduction("any", ReduceKind::kAny, infer_reduce, nullptr, 0, "Logical or over axes.");
    register_reduction("all", ReduceKind::kAll, infer_reduce, nullptr, 0, "Logical and over axes.");
    register_reduction("mean", ReduceKind::kMean, infer_mean, grad_mean, 0, "Mean over axes.");
    register_reduction("var", ReduceKind::kVar, infer_mean, grad_var, x,
                       "Biased variance over axes.");
    register_op({.name = "argmax",
                 .schema = "axis:int keepdims:bool",
                 .doc = "Position of the largest element along an axis.",
                 .infer = infer_arg,
                 .batch = batch_axis<0>,
                 .check = check_arg,
                 .layout = Layout::kAny});
    register_op({.name = "argmin",
                 .schema = "axis:int keepdims:bool",
                 .doc = "Position of the smallest element along an axis.",
                 .infer = infer_arg,
                 .batch = batch_axis<0>,
                 .check = check_arg,
                 .layout = Layout::kAny});
    register_op({.name = "logsumexp",
                 .schema = kReduceSchema,
                 .doc = "log(sum(exp(x))) over axes.",
                 .infer = infer_extremum,
                 .grad = grad_logsumexp,
                 .saves = x | y,
                 .lower = lower_logsumexp,
                 .batch = batch_axes<0>,
                 .check = check_float_axes});
    register_op({.name = "std",
                 .schema = "axes:ints keepdims:bool correction:float",
                 .doc = "Standard deviation over axes.",
                 .infer = infer_mean,
                 .grad = grad_std,
                 .saves = x | y,
                 .lower = lower_std,
                 .batch = batch_axes<0>,
                 .check = check_float_axes});
    register_op({.name = "norm2",
                 .schema = kReduceSchema,
                 .doc = "Euclidean norm over axes.",
                 .infer = infer_mean,
                 .grad = grad_norm2,
                 .saves = x | y,
                 .lower = lower_norm2,
                 .batch = batch_axes<0>,
                 .check = check_float_axes});
    register_basic_functions();
    register_order_functions();
    register_composite_functions();
}

}  // namespace sn
