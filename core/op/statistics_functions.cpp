// Public functions of order statistics, histograms, scans, differences and moments.
#include <algorithm>
#include <cmath>
#include <limits>

#include "op/api.h"
#include "op/function.h"
#include "op/rules.h"
#include "record/read.h"
#include "record/tape.h"

namespace sn {

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Tensor floated(const Tensor& x) { return is_inexact(x.dtype()) ? x : cast(x, DType::kF32); }
Tensor flattened(const Tensor& x) { return reshape(x, Dims{x.numel()}); }

// Values at one int64 position per line, kept as a dimension of 1 or dropped.
Results picked(const Tensor& x, const Tensor& at, int axis, bool keepdims, const Tensor& given) {
    const Tensor values = take_along_axis(x, at, axis);
    if (given.rank() == 0) return {reshape(values, Dims{}), reshape(at, Dims{})};
    if (keepdims) return {values, at};
    const int64_t axes[1] = {axis};
    return {squeeze(values, axes), squeeze(at, axes)};
}

int axis_of(const char* op, int64_t axis, const Tensor& x) {
    const int at = normalize_axis(op, axis, std::max(x.rank(), 1));
    if (x.rank() > 0 && x.size(at) == 0) {
        fail(ErrorKind::kIndex, op, "axis %d of shape %s has no element; one is required", at,
             format_shape(x.shape()).c_str());
    }
    return at;
}

// ---- order statistics

Tensor positions(const Tensor& like_, int64_t value, int axis) {
    Dims shape(like_.shape());
    shape[axis] = 1;
    return full(shape, value, DType::kI64, like_.device());
}

Results kthvalue(const Args& a) {
    const Tensor x = vector_of(a.tensor(0));
    const int at = axis_of("kthvalue", a.integer(2), a.tensor(0));
    const int64_t k = a.integer(1);
    if (k < 1 || k > x.size(at)) {
        fail(ErrorKind::kValue, "kthvalue",
             "k is %lld for axis %d with size %lld; it must be 1 to "
             "%lld",
             ll(k), at, ll(x.size(at)), ll(x.size(at)));
    }
    const Tensor order = argsort(x.detach(), at, false);
    return picked(x, narrow(order, at, k - 1, 1), at, a.flag(3), a.tensor(0));
}

// The lower of two middle elements. ignore_nan: of those that are numbers; else NaN wins.
Results median_along(const char* op, const Tensor& given, int64_t axis, bool keepdims,
                     bool ignore_nan) {
    const Tensor x = vector_of(given);
    const int at = axis_of(op, axis, given);
    const int64_t n = x.size(at);
    const Tensor plain = x.detach(), order = argsort(plain, at, false);
    Tensor middle = positions(x, (n - 1) / 2, at);
    if (is_float(x.dtype())) {  // NaN are sorted to the end
        const int64_t axes[1] = {at};
        const Tensor numbers = sum(cast(logical_not(isnan(plain)), DType::kI64), axes, true);
        if (ignore_nan)
            middle = floor_divide(maximum(numbers - 1, 0), 2);
        else
            middle = where(less(numbers, n), minimum(numbers, n - 1), middle);
    }
    return picked(x, take_along_axis(order, middle, at), at, keepdims, given);
}

template <bool ignore_nan>
Results median_function(const Args& a) {
    const char* op = ignore_nan ? "nanmedian" : "median";
    if (a.has(1)) return median_along(op, a.tensor(0), a.integer(1), a.flag(2), ignore_nan);
    if (a.tensor(0).numel() == 0) {
        const Tensor& x = a.tensor(0);
        return {full({}, is_float(x.dtype()) ? kNan : 0.0, x.dtype(), x.device())};
    }
    return {median_along(op, flattened(a.tensor(0)), 0, false, ignore_nan)[0]};
}

// The most frequent value; of several the smallest. The index is that of its last occurrence.
Results mode_function(const Args& a) {
    const Tensor x = vector_of(a.tensor(0));
    const int at = axis_of("mode", a.integer(1), a.tensor(0));
    const int64_t n = x.size(at);
    const Tensor plain = x.detach(), order = argsort(plain, at, false);
    const Tensor sorted = take_along_axis(plain, order, at);
    Dims line(x.shape().size(), 1);
    line[at] = n;
    const Tensor place = expand(reshape(arange(0, 1, n, DType::kI64, x.device()), line), x.shape());
    // How long the run of equal elements is that ends at each place.
    Tensor start = place;
    if (n > 1) {
        const Tensor same = equal(narrow(sorted, at, 1, n - 1), narrow(sorted, at, 0, n - 1));
        const Tensor fresh = where(same, 0, narrow(place, at, 1, n - 1));
        const Tensor parts[2] = {narrow(place, at, 0, 1), fresh};
        start = running_max(concat(parts, at), at);
    }
    const Tensor best = argmax(place - start, at, true);
    const Tensor index = take_along_axis(order, best, at);
    return picked(x, index, at, a.flag(2), a.tensor(0));
}

// Quantiles by the rank q * (n - 1) between sorted neighbours.
Tensor quantile(const char* op, const Args& a, bool ignore_nan) {
    const Tensor& given = a.tensor(0);
    require_float(op, "x", given.dtype());
    Tensor q = a.tensor(1);
    if (q.is_scalar()) q = full({}, q, given.dtype(), given.device());
    if (q.rank() > 1 || q.dtype() != given.dtype()) {
        fail(ErrorKind::kShape, op,
             "q has shape %s and dtype %s; a number or vector of dtype %s is required",
             format_shape(q.shape()).c_str(), dtype_name(q.dtype()), dtype_name(given.dtype()));
    }
    const std::string_view how = a.text(4);
    if (how != "linear" && how != "lower" && how != "higher" && how != "nearest" &&
        how != "midpoint") {
        fail(ErrorKind::kValue, op,
             "interpolation is '%.*s'; it must be 'linear', 'lower', "
             "'higher', 'nearest' or 'midpoint'",
             static_cast<int>(how.size()), how.data());
    }
    {
        const NoGrad off;
        const Tensor inside = logical_and(greater_equal(q, 0), less_equal(q, 1));
        if (q.numel() > 0 && !read_number(op, all(inside, {}, false)).as_int())
            fail(ErrorKind::kValue, op, "q holds a number outside of [0, 1]; all must be inside");
    }
    if (given.numel() == 0) {
        fail(ErrorKind::kValue, op, "x has shape %s and no element; one is required",
             format_shape(given.shape()).c_str());
    }
    const bool flat = !a.has(2);
    const Tensor x = flat ? flattened(given) : vector_of(given);
    const int at = flat ? 0 : axis_of(op, a.integer(2), given);
    const Tensor last = axis_to_last(x, at);  // (..., n)
    const int64_t n = last.size(-1);
    const Tensor order = argsort(last.detach(), -1, false);
    const Tensor sorted = take_along_axis(last, order, -1);
    const int64_t axes[1] = {-1};
    // Ranks: (..., number of quantiles).
    const Tensor qs = reshape(q, Dims{q.numel()});
    const Tensor numbers =
        sum(cast(logical_not(isnan(last.detach())), DType::kI64), axes, true);  // (..., 1)
    Dims wide(last.shape());
    wide.back() = q.numel();
    Tensor rank;
    if (ignore_nan)
        rank = cast(maximum(numbers - 1, 0), x.dtype()) * qs;
    else  // any NaN makes all quantiles NaN: take one
        rank = where(less(numbers, n), static_cast<double>(n - 1), qs * static_cast<double>(n - 1));
    rank = expand(rank, wide);
    Tensor low = rank, high = rank;
    if (how == "lower") low = high = floor(rank);
    if (how == "higher") low = high = ceil(rank);
    if (how == "nearest") low = high = round(rank);
    if (how == "linear" || how == "midpoint") {
        low = floor(rank);
        high = ceil(rank);
    }
    const Tensor below = take_along_axis(sorted, cast(low, DType::kI64), -1);
    Tensor out = below;
    if (how == "linear" || how == "midpoint") {
        const Tensor above = take_along_axis(sorted, cast(high, DType::kI64), -1);
        out =
            lerp(below, above, how == "linear" ? rank - low : full({}, 0.5, x.dtype(), x.device()));
    }
    // (..., q) to (q, ...), then the axis where it is kept.
    const int64_t from[1] = {-1}, to[1] = {0};
    out = moveaxis(out, from, to);
    if (a.flag(3)) {
        if (flat || given.rank() == 0) {
            Dims shape(static_cast<size_t>(given.rank()), 1);
            shape.insert(0, q.numel());
            out = reshape(out, shape);
        } else {
            out = unsqueeze(out, at + 1);
        }
    }
    const int64_t first[1] = {0};
    return q.rank() == 0 ? squeeze(out, first) : out;
}

Results aminmax(const Args& a) {
    const Tensor& x = a.tensor(0);
    const bool keepdims = a.flag(2);
    if (x.rank() == 0 || !a.has(1)) {
        if (a.has(1)) normalize_axis("aminmax", a.integer(1), 1);
        const bool keep = keepdims && x.rank() > 0;
        return {min(x, {}, keep), max(x, {}, keep)};
    }
    const int64_t axes[1] = {a.integer(1)};
    return {min(x, axes, keepdims), max(x, axes, keepdims)};
}

// Values of a running extreme with the position of the latest element that equals it.
template <bool largest>
Results running_extreme(const Args& a) {
    const char* op = largest ? "cummax" : "cummin";
    const Tensor x = vector_of(a.tensor(0));
    const int at = normalize_axis(op, a.integer(1), x.rank());
    Tensor index;
    {
        const NoGrad off;
        const Tensor plain = x.detach();
        const Tensor best = largest ? running_max(plain, at) : running_min(plain, at);
        Tensor hit = equal(plain, best);
        if (is_float(x.dtype())) hit = logical_or(hit, isnan(plain));
        Dims line(x.shape().size(), 1);
        line[at] = x.size(at);
        const Tensor place = reshape(arange(0, 1, x.size(at), DType::kI64, x.device()), line);
        index = running_max(where(hit, place, 0), at);
    }
    return {like(take_along_axis(x, index, at), a.tensor(0)), like(index, a.tensor(0))};
}

// ---- differences and integrals

Tensor diff_once(const Tensor& x, int at) {
    const int64_t n = x.size(at);
    if (n == 0) return x;
    const Tensor after = narrow(x, at, 1, n - 1), before = narrow(x, at, 0, n - 1);
    return is_bool(x.dtype()) ? logical_xor(after, before) : after - before;
}

Tensor diff_function(const Args& a) {
    const Tensor& x = a.tensor(0);
    const int64_t n = a.integer(1);
    if (x.rank() == 0) {
        fail(ErrorKind::kShape, "diff", "x has no dimensions; one or more are required");
    }
    if (n < 0) fail(ErrorKind::kValue, "diff", "n is %lld; it must be 0 or more", ll(n));
    const int at = normalize_axis("diff", a.integer(2), x.rank());
    if (n == 0) return clone(x);
    std::vector<Tensor> parts;
    const auto part = [&](int i) {
        if (!a.has(i)) return;
        Tensor t = a.tensor(i);
        if (t.rank() == 0) {
            Dims shape(x.shape());
            shape[at] = 1;
            t = expand(t.is_scalar() ? full({}, t, x.dtype(), x.device()) : t, shape);
        }
        parts.push_back(t);
    };
    part(3);
    parts.push_back(x);
    part(4);
    Tensor out = parts.size() == 1 ? x : concat(parts, at);
    for (int64_t i = 0; i < n && out.size(at) > 0; ++i) out = diff_once(out, at);
    return out;
}

// Widths between points along an axis, from x (points) or dx (one width).
Tensor trapezes(const char* op, const Args& a, int at) {
    const Tensor& y = a.tensor(0);
    const int64_t n = y.size(at);
    const Tensor heights = n < 1 ? y : narrow(y, at, 1, n - 1) + narrow(y, at, 0, n - 1);
    if (!a.has(1)) return heights * a.tensor(2) / 2.0;
    const Tensor& x = a.tensor(1);
    if (x.rank() == 0) {
        fail(ErrorKind::kShape, op, "the points have no dimensions; one or more are required");
    }
    Tensor points = x;
    if (x.rank() == 1 && y.rank() > 1) {
        if (x.size(0) != n) {
            fail(ErrorKind::kShape, op, "%lld points are given for axis %d of shape %s",
                 ll(x.size(0)), at, format_shape(y.shape()).c_str());
        }
        Dims line(y.shape().size(), 1);
        line[at] = n;
        points = reshape(x, line);
    }
    const int pa = points.rank() - (y.rank() - at);
    if (pa < 0) {
        fail(ErrorKind::kShape, op, "the points have shape %s for axis %d of shape %s",
             format_shape(x.shape()).c_str(), at, format_shape(y.shape()).c_str());
    }
    return heights * diff_once(points, pa) / 2.0;
}

Tensor trapezoid(const Args& a) {
    const int at = normalize_axis("trapezoid", a.integer(3), a.tensor(0).rank());
    const int64_t from_end[1] = {at - a.tensor(0).rank()};
    const Tensor parts = trapezes("trapezoid", a, at);
    return sum(parts, from_end, false);
}

Tensor cumulative_trapezoid(const Args& a) {
    const int at = normalize_axis("cumulative_trapezoid", a.integer(3), a.tensor(0).rank());
    return cumsum(trapezes("cumulative_trapezoid", a, at), at - a.tensor(0).rank());
}

// Second-order differences inside, first- or second-order ones at the ends (Fornberg 1988), for
// points that may lie unevenly.
Tensor gradient_along(const Tensor& x, int at, const Tensor& spacing, int64_t edge_order) {
    const int64_t n = x.size(at);
    if (n < edge_order + 1) {
        fail(ErrorKind::kShape, "gradient",
             "axis %d of shape %s has size %lld; edge_order %lld "
             "needs %lld or more",
             at, format_shape(x.shape()).c_str(), ll(n), ll(edge_order), ll(edge_order + 1));
    }
    const auto part = [&](int64_t from, int64_t size) { return narrow(x, at, from, size); };
    const bool even = spacing.rank() == 0;
    Tensor h;  // widths, shaped along the axis
    if (!even) {
        Dims line(x.shape().size(), 1);
        line[at] = n - 1;
        h = reshape(diff_once(spacing, 0), line);
    }
    const auto width = [&](int64_t from, int64_t size) {
        return even ? spacing : narrow(h, at, from, size);
    };
    std::vector<Tensor> parts;
    const auto end = [&](bool start) {
        const int64_t i = start ? 0 : n - 1, step = start ? 1 : -1;
        if (edge_order == 1)
            return (part(start ? 1 : n - 1, 1) - part(start ? 0 : n - 2, 1)) /
                   width(start ? 0 : n - 2, 1);
        const Tensor p = width(start ? 0 : n - 2, 1), q = width(start ? 1 : n - 3, 1);
        const Tensor a = negative((p * 2.0 + q) / (p * (p + q))), b = (p + q) / (p * q);
        const Tensor c = negative(p / (q * (p + q)));
        const Tensor d = part(i, 1) * a + part(i + step, 1) * b + part(i + 2 * step, 1) * c;
        return start ? d : negative(d);
    };
    parts.push_back(end(true));
    if (n > 2) {
        const Tensor left = part(0, n - 2), middle = part(1, n - 2), right = part(2, n - 2);
        if (even) {
            parts.push_back((right - left) / (spacing * 2.0));
        } else {
            const Tensor p = width(0, n - 2), q = width(1, n - 2);
            parts.push_back(left * negative(q / (p * (p + q))) + middle * ((q - p) / (p * q)) +
                            right * (p / (q * (p + q))));
        }
    }
    if (n > 1) parts.push_back(end(false));
    return concat(parts, at);
}

Results gradient(const Args& a) {
    const Tensor x = floated(a.tensor(0));
    Dims axes;
    if (a.has(2))
        for (int64_t d : a.ints(2)) axes.push_back(normalize_axis("gradient", d, x.rank()));
    else
        axes = all_axes(x.rank());
    const int64_t order = a.integer(3);
    if (order != 1 && order != 2) {
        fail(ErrorKind::kValue, "gradient", "edge_order is %lld; it must be 1 or 2", ll(order));
    }
    for (size_t i = 0; i < axes.size(); ++i)
        for (size_t j = i + 1; j < axes.size(); ++j)
            if (axes[i] == axes[j])
                fail(ErrorKind::kValue, "gradient", "axis %lld is given twice", ll(axes[i]));
    std::vector<Tensor> spacing;
    if (a.has(1)) spacing = a.tensors(1);
    const size_t n = axes.size();
    if (a.has(1) && spacing.size() != n) {
        fail(ErrorKind::kValue, "gradient",
             "%zu spacings are given for %zu axes; one for each is required", spacing.size(), n);
    }
    Results out;
    for (size_t i = 0; i < n; ++i) {
        Tensor s = spacing.empty() ? Tensor(1.0) : spacing[i];
        if (s.rank() > 1 || (s.rank() == 1 && s.size(0) != x.size(static_cast<int>(axes[i])))) {
            fail(ErrorKind::kShape, "gradient",
                 "the points of axis %lld have shape %s; a number or a vector of %lld is required",
                 ll(axes[i]), format_shape(s.shape()).c_str(),
                 ll(x.size(static_cast<int>(axes[i]))));
        }
        out.push_back(gradient_along(x, static_cast<int>(axes[i]), s, order));
    }
    return out;
}

// ---- moments

// Covariances of the rows of x. Weights: fweights count observations, aweights say how good they
// are.
Tensor covariance(const Tensor& given_x, double correction, const Tensor& counts,
                  const Tensor& quality) {
    if (given_x.rank() > 2 || is_bool(given_x.dtype())) {
        fail(ErrorKind::kShape, "cov",
             "x has shape %s and dtype %s; at most two dimensions of numbers are required",
             format_shape(given_x.shape()).c_str(), dtype_name(given_x.dtype()));
    }
    const Tensor x =
        floated(given_x.rank() < 2 ? reshape(given_x, Dims{1, given_x.numel()}) : given_x);
    const int64_t n = x.size(1);
    Tensor w;
    const auto weight = [&](const char* what, const Tensor& t, bool integer) {
        if (!given(t)) return;
        if (t.rank() > 1 || t.numel() != n || (integer && !is_int(t.dtype())) ||
            (!integer && !is_float(t.dtype()))) {
            fail(ErrorKind::kShape, "cov",
                 "%s has shape %s and dtype %s; a vector of %lld %s is "
                 "required",
                 what, format_shape(t.shape()).c_str(), dtype_name(t.dtype()), ll(n),
                 integer ? "integers" : "floats");
        }
        {
            const NoGrad off;
            if (n && read_number("cov", any(less(t.detach(), 0), {}, false)).as_int())
                fail(ErrorKind::kValue, "cov", "%s holds a negative number", what);
        }
        w = given(w) ? w * t : reshape(t, Dims{n});
    };
    weight("fweights", counts, true);
    weight("aweights", quality, false);
    const int64_t last[1] = {-1};
    if (!given(w)) {
        const Tensor centred = x - mean(x, last, true);
        const double norm = std::max(static_cast<double>(n) - correction, 0.0);
        const Tensor m = matmul(centred, transpose(conj(centred), 0, 1)) / norm;
        return x.size(0) == 1 ? reshape(m, Dims{}) : m;
    }
    // Sums of weights in f64: what is left after the correction may be small.
    const Tensor wide = cast(w, DType::kF64), total = sum(wide, {}, false);
    w = cast(w, real_dtype(x.dtype()));
    const Tensor centred = x - sum(x * w, last, true) / cast(total, real_dtype(x.dtype()));
    Tensor norm = total - correction;
    if (given(quality) && correction != 0)
        norm = total - sum(wide * cast(quality, DType::kF64), {}, false) / total * correction;
    norm = cast(where(greater(norm, 0.0), norm, 0.0), real_dtype(x.dtype()));
    const Tensor m = matmul(centred * w, transpose(conj(centred), 0, 1)) / norm;
    return x.size(0) == 1 ? reshape(m, Dims{}) : m;
}

Tensor corrcoef(const Tensor& x) {
    const Tensor c = covariance(x, 1, Tensor(), Tensor());
    if (c.rank() == 0) return c / c;
    const Tensor s = sqrt(real(diagonal(c, 0, 0, 1)));
    const Tensor r = c / unsqueeze(s, 1) / unsqueeze(s, 0);
    if (!is_complex(r.dtype())) return clip(r, -1.0, 1.0);
    return complex(clip(real(r), -1.0, 1.0), clip(imag(r), -1.0, 1.0));
}

}  // namespace

void register_statistics_functions() {
    register_function({
        .signature = "kthvalue(x: Tensor, k: int, axis: int = -1, keepdims: bool = False) -> "
                     "tuple[Tensor, Tensor]",
        .doc = R"(The k-th smallest element (counted from 1) along an axis, and its position.

NaN counts as the largest; of equal elements the first comes first.

>>> [t.item() for t in sn.kthvalue(sn.tensor([3, 1, 2]), 2)]
[2, 2]
)",
        .call_many = kthvalue,
    });
    register_function({
        .signature = "median(x: Tensor, axis: int? = None, keepdims: bool = False) -> "
                     "Tensor | tuple[Tensor, Tensor]",
        .doc = R"(The median; of an even number of elements the lower one of the middle two.

Without an axis that of all elements; with one, values and positions. NaN wins.

>>> sn.median(sn.tensor([3.0, 1.0, 2.0, 4.0])).item()
2.0
>>> [t.tolist() for t in sn.median(sn.tensor([[3, 1, 2]]), axis=1)]
[[2], [2]]
)",
        .call_many = median_function<false>,
    });
    register_function({
        .signature = "nanmedian(x: Tensor, axis: int? = None, keepdims: bool = False) -> "
                     "Tensor | tuple[Tensor, Tensor]",
        .doc = R"(The median of the elements that are not NaN, as `median`.

>>> sn.nanmedian(sn.tensor([3.0, float("nan"), 1.0])).item()
1.0
)",
        .call_many = median_function<true>,
    });
    register_function({
        .signature = "mode(x: Tensor, axis: int = -1, keepdims: bool = False) -> "
                     "tuple[Tensor, Tensor]",
        .doc =
            R"(The most frequent value along an axis (of several the smallest) and its last position.

>>> [t.item() for t in sn.mode(sn.tensor([2, 1, 2, 3]))]
[2, 2]
)",
        .call_many = mode_function,
    });
    register_function({
        .signature = "quantile(x: Tensor, q: Operand, axis: int? = None, keepdims: bool = False, "
                     "interpolation: str = \"linear\") -> Tensor",
        .doc = R"(Quantiles: the values at rank q * (n - 1) of the sorted elements.

Parameters
----------
q : a number in [0, 1], or a vector of them, which becomes the first dimension of the result.
axis : None takes all elements.
interpolation : between neighbours: "linear", "lower", "higher", "nearest" or "midpoint".

A NaN among the elements makes the result NaN; `nanquantile` leaves them out.

>>> sn.quantile(sn.tensor([1.0, 2.0, 4.0]), 0.75).item()
3.0
)",
        .call = [](const Args& a) { return quantile("quantile", a, false); },
    });
    register_function({
        .signature = "nanquantile(x: Tensor, q: Operand, axis: int? = None, "
                     "keepdims: bool = False, interpolation: str = \"linear\") -> Tensor",
        .doc = R"(Quantiles of the elements that are not NaN, as `quantile`.

>>> sn.nanquantile(sn.tensor([1.0, float("nan"), 3.0]), 0.5).item()
2.0
)",
        .call = [](const Args& a) { return quantile("nanquantile", a, true); },
    });
    register_function({
        .signature = "msort(x: Tensor) -> Tensor",
        .doc = R"(Sorted along the first axis.

>>> sn.msort(sn.tensor([[3, 1], [2, 4]])).tolist()
[[2, 1], [3, 4]]
)",
        .call = [](const Args& a) { return sort(a.tensor(0), 0, false); },
    });
    register_function({
        .signature = "aminmax(x: Tensor, axis: int? = None, keepdims: bool = False) -> "
                     "tuple[Tensor, Tensor]",
        .doc = R"(The smallest and the largest element.

>>> [t.item() for t in sn.aminmax(sn.tensor([3, 1, 2]))]
[1, 3]
)",
        .call_many = aminmax,
    });
    register_function({
        .signature = "cummax(x: Tensor, axis: int) -> tuple[Tensor, Tensor]",
        .doc = R"(The largest element up to each along an axis, and the latest position of it.

>>> [t.tolist() for t in sn.cummax(sn.tensor([1, 3, 2]), 0)]
[[1, 3, 3], [0, 1, 1]]
)",
        .call_many = running_extreme<true>,
    });
    register_function({
        .signature = "cummin(x: Tensor, axis: int) -> tuple[Tensor, Tensor]",
        .doc = R"(The smallest element up to each along an axis, and the latest position of it.

>>> [t.tolist() for t in sn.cummin(sn.tensor([2, 3, 1]), 0)]
[[2, 2, 1], [0, 0, 2]]
)",
        .call_many = running_extreme<false>,
    });
    register_function({
        .signature = "logcumsumexp(x: Tensor, axis: int) -> Tensor",
        .doc = R"(Logarithms of the running sums of exponentials along an axis, without overflow.

>>> sn.logcumsumexp(sn.zeros(2), 0).tolist()
[0.0, 0.6931...]
)",
        .call =
            [](const Args& a) {
                const Tensor x = vector_of(a.tensor(0));
                return like(logcumsumexp(x, a.integer(1)), a.tensor(0));
            },
    });
    register_function({
        .signature = "diff(x: Tensor, n: int = 1, axis: int = -1, prepend: Operand? = None, "
                     "append: Operand? = None) -> Tensor",
        .doc = R"(Differences of neighbours along an axis, taken n times.

prepend, append : what is put before and behind x along the axis first.

>>> sn.diff(sn.tensor([1, 3, 6]), prepend=0).tolist()
[1, 2, 3]
)",
        .call = diff_function,
    });
    register_function({
        .signature = "trapezoid(y: Tensor, x: Tensor? = None, dx: Operand = 1, axis: int = -1) -> "
                     "Tensor",
        .doc = R"(Integral along an axis by the trapezoidal rule.

x : the points at which y is known; without, they are dx apart.

>>> sn.trapezoid(sn.tensor([1.0, 2.0, 3.0])).item()
4.0
)",
        .call = trapezoid,
        .aliases = "trapz",
        .method = false,
    });
    register_function({
        .signature = "cumulative_trapezoid(y: Tensor, x: Tensor? = None, dx: Operand = 1, "
                     "axis: int = -1) -> Tensor",
        .doc = R"(Running integrals along an axis by the trapezoidal rule.

>>> sn.cumulative_trapezoid(sn.tensor([1.0, 2.0, 3.0])).tolist()
[1.5, 4.0]
)",
        .call = cumulative_trapezoid,
        .method = false,
    });
    register_function({
        .signature = "gradient(x: Tensor, spacing: Tensors? = None, axis: Ints? = None, "
                     "edge_order: int = 1) -> tuple[Tensor, ...]",
        .doc =
            R"(Numerical derivatives along axes: central differences inside, one-sided at the ends.

Parameters
----------
spacing : for each axis a distance or a vector of points; 1 by default.
axis : all by default; one result for each.
edge_order : 1 or 2, the order of the differences at the ends.

>>> [t.tolist() for t in sn.gradient(sn.tensor([1.0, 2.0, 4.0]))]
[[1.0, 1.5, 2.0]]
)",
        .call_many = gradient,
        .method = false,
    });
    register_function({
        .signature = "cov(x: Tensor, correction: float = 1.0, fweights: Tensor? = None, "
                     "aweights: Tensor? = None) -> Tensor",
        .doc = R"(Covariances of variables (rows) from observations (columns).

Parameters
----------
correction : sums are divided by n - correction.
fweights : how often each observation counts, integers.
aweights : how reliable each observation is, floats.

>>> sn.cov(sn.tensor([[0.0, 2.0], [2.0, 0.0]])).tolist()
[[2.0, -2.0], [-2.0, 2.0]]
)",
        .call =
            [](const Args& a) {
                return covariance(a.tensor(0), a.real(1), a.has(2) ? a.tensor(2) : Tensor(),
                                  a.has(3) ? a.tensor(3) : Tensor());
            },
    });
    register_function({
        .signature = "corrcoef(x: Tensor) -> Tensor",
        .doc = R"(Pearson's correlations of variables (rows) from observations (columns).

>>> sn.corrcoef(sn.tensor([[0.0, 2.0], [2.0, 0.0]])).tolist()
[[1.0, -1.0], [-1.0, 1.0]]
)",
        .call = [](const Args& a) { return corrcoef(a.tensor(0)); },
    });
    register_function({
        .signature = "std_mean(x: Tensor, axis: Ints? = None, correction: float = 0.0, "
                     "keepdims: bool = False) -> tuple[Tensor, Tensor]",
        .doc = R"(Standard deviation and mean, as `std` and `mean` give them.

>>> [t.item() for t in sn.std_mean(sn.tensor([1.0, 3.0]))]
[1.0, 2.0]
)",
        .call_many =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                const bool number = x.rank() == 0 && a.has(1) && !a.ints(1).empty();
                if (number) normalize_axes("std_mean", a.ints(1), 1);
                const DimSpan axes = a.has(1) && !number ? a.ints(1) : DimSpan();
                return Results{standard_deviation(x, axes, a.real(2), a.flag(3)),
                               mean(x, axes, a.flag(3))};
            },
    });
}

}  // namespace sn
