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

Tensor floated(const Tensor& x) { return is_float(x.dtype()) ? x : cast(x, DType::kF32); }
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

// ---- histograms

Tensor bincount(const Args& a) {
    const Tensor& x = a.tensor(0);
    if (x.rank() != 1 || !is_int(x.dtype())) {
        fail(ErrorKind::kShape, "bincount",
             "x has shape %s and dtype %s; a vector of integers is required",
             format_shape(x.shape()).c_str(), dtype_name(x.dtype()));
    }
    const int64_t least = a.integer(2);
    if (least < 0) {
        fail(ErrorKind::kValue, "bincount", "minlength is %lld; it must be 0 or more", ll(least));
    }
    const NoGrad off;
    int64_t bins = least;
    if (x.numel() > 0) {
        if (read_number("bincount", min(x, {}, false)).as_int() < 0) {
            fail(ErrorKind::kValue, "bincount", "x holds a negative number; all must be 0 or more");
        }
        bins = std::max(bins, read_number("bincount", max(x, {}, false)).as_int() + 1);
    }
    if (!a.has(1)) {
        const Tensor zero = full(Dims{bins}, 0, DType::kI64, x.device());
        return scatter_add(zero, x, 1, 0);
    }
    const Tensor& weights = a.tensor(1);
    if (!(weights.shape() == x.shape())) {
        fail(ErrorKind::kShape, "bincount", "x has shape %s and the weights %s; they must be equal",
             format_shape(x.shape()).c_str(), format_shape(weights.shape()).c_str());
    }
    const Tensor w = is_float(weights.dtype()) ? weights : cast(weights, DType::kF64);
    return scatter_add(full(Dims{bins}, 0, w.dtype(), x.device()), x, w, 0);
}

// Sorted boundaries of every row of values: how many are below (or not above) each value.
Tensor rows_searched(const Tensor& sorted, const Tensor& values, bool right) {
    const Tensor s = unsqueeze(sorted, -2), v = unsqueeze(values, -1);
    const int64_t last[1] = {-1};
    // NaN counts as the largest of all.
    const Tensor nan = is_float(v.dtype()) ? isnan(v) : not_equal(v, v);
    const Tensor passed = right ? less_equal(s, v) : less(s, v);
    return sum(cast(logical_or(passed, nan), DType::kI64), last, false);
}

Tensor searchsorted_function(const Args& a) {
    const bool named = a.has(2);
    if (named && a.text(2) != "left" && a.text(2) != "right") {
        fail(ErrorKind::kValue, "searchsorted", "side is '%.*s'; it must be 'left' or 'right'",
             static_cast<int>(a.text(2).size()), a.text(2).data());
    }
    if (named && a.flag(4) && a.text(2) == "left") {
        fail(ErrorKind::kValue, "searchsorted",
             "side is 'left' and right is True; they contradict each other; give one of them");
    }
    const bool right = a.flag(4) || (named && a.text(2) == "right");
    Tensor sorted = a.tensor(0);
    const Tensor& values = a.tensor(1);
    if (a.has(3)) {
        if (!(a.tensor(3).shape() == sorted.shape()) || !is_int(a.tensor(3).dtype())) {
            fail(ErrorKind::kShape, "searchsorted",
                 "the sorter has shape %s and dtype %s for sorted %s; integers of the same shape "
                 "are required",
                 format_shape(a.tensor(3).shape()).c_str(), dtype_name(a.tensor(3).dtype()),
                 format_shape(sorted.shape()).c_str());
        }
        sorted = take_along_axis(sorted, a.tensor(3), sorted.rank() - 1);
    }
    if (!values.weak() && values.dtype() != sorted.dtype()) {
        const bool mixed = is_float(values.dtype()) != is_float(sorted.dtype());
        if (mixed) {
            fail(ErrorKind::kDType, "searchsorted",
                 "the sorted tensor has dtype %s and the values %s; convert one with .astype",
                 dtype_name(sorted.dtype()), dtype_name(values.dtype()));
        }
    }
    Tensor out;
    if (sorted.rank() == 1) {
        out = searchsorted(sorted, values, right);
    } else {
        bool fits = sorted.rank() > 0 && values.rank() == sorted.rank();
        for (int d = 0; fits && d + 1 < sorted.rank(); ++d) fits = values.size(d) == sorted.size(d);
        if (!fits) {
            fail(ErrorKind::kShape, "searchsorted",
                 "the sorted tensor has shape %s and the values %s; a vector is required, or equal "
                 "sizes but for the last",
                 format_shape(sorted.shape()).c_str(), format_shape(values.shape()).c_str());
        }
        out = rows_searched(sorted.detach(), values.detach(), right);
    }
    return a.flag(5) ? cast(out, DType::kI32) : out;
}

Tensor bucketize(const Args& a) {
    if (a.tensor(1).rank() != 1) {
        fail(ErrorKind::kShape, "bucketize", "the boundaries have shape %s; a vector is required",
             format_shape(a.tensor(1).shape()).c_str());
    }
    const Tensor out = searchsorted(a.tensor(1), a.tensor(0), a.flag(3));
    return a.flag(2) ? cast(out, DType::kI32) : out;
}

// Counts between edges; the last bin holds its right edge too. weights: what each element counts.
Tensor counted(const Tensor& values, const Tensor& edges, const Tensor& weights) {
    const int64_t bins = edges.size(0) - 1;
    const Tensor v = flattened(values);
    const Tensor top = narrow(edges, 0, bins, 1), bottom = narrow(edges, 0, 0, 1);
    const Tensor inside = logical_and(greater_equal(v, bottom), less_equal(v, top));
    const Tensor found = searchsorted(edges, v, true) - 1;
    const Tensor bin = minimum(maximum(found, 0), bins - 1);
    const Tensor w = where(inside, given(weights) ? flattened(weights) : Tensor(1.0), 0.0);
    const Tensor zero = full(Dims{bins}, 0, values.dtype(), values.device());
    return scatter_add(zero, bin, expand(cast(w, values.dtype()), v.shape()), 0);
}

// The ends of a histogram's range: those given, or those of the data; one apart where equal.
void histogram_range(const char* op, const Tensor& x, double* low, double* high) {
    if (!(*low <= *high) || !std::isfinite(*low) || !std::isfinite(*high)) {
        fail(ErrorKind::kValue, op, "the range is [%g, %g]; finite numbers in order are required",
             *low, *high);
    }
    if (*low == *high && x.numel() > 0 && *low == 0 && *high == 0) {
        *low = read_number(op, min(x, {}, false)).as_double();
        *high = read_number(op, max(x, {}, false)).as_double();
        if (!std::isfinite(*low) || !std::isfinite(*high)) {
            fail(ErrorKind::kValue, op, "x spans [%g, %g]; a finite range is required", *low,
                 *high);
        }
    }
    if (*low == *high) {
        *low -= 1;
        *high += 1;
    }
}

Tensor histc(const Args& a) {
    const NoGrad off;
    const Tensor& x = a.tensor(0);
    const int64_t bins = a.integer(1);
    if (bins <= 0) {
        fail(ErrorKind::kValue, "histc", "bins is %lld; it must be 1 or more", ll(bins));
    }
    double low = a.real(2), high = a.real(3);
    histogram_range("histc", x, &low, &high);
    // The bin is computed, not searched: (x - low) * bins / (high - low), truncated.
    const Tensor v = flattened(x), wide = cast(v, DType::kF64);
    const Tensor inside = logical_and(greater_equal(wide, low), less_equal(wide, high));
    const Tensor scaled = (wide - low) / (high - low) * static_cast<double>(bins);
    const Tensor bin = minimum(cast(where(inside, scaled, 0.0), DType::kI64), bins - 1);
    return scatter_add(full(Dims{bins}, 0, x.dtype(), x.device()), bin, cast(inside, x.dtype()), 0);
}

Results histogram(const Args& a) {
    const NoGrad off;
    const Tensor& x = a.tensor(0);
    require_float("histogram", "x", x.dtype());
    Tensor edges = a.tensor(1);
    if (edges.rank() == 0) {
        const int64_t bins = read_number("histogram", edges).as_int();
        if (bins <= 0) {
            fail(ErrorKind::kValue, "histogram", "bins is %lld; it must be 1 or more", ll(bins));
        }
        double low = 0, high = 0;
        if (a.has(2)) {
            low = read_number("histogram", a.tensors(2)[0]).as_double();
            high = read_number("histogram", a.tensors(2)[1]).as_double();
            if (low == high) low -= 0.5, high += 0.5;
        } else if (x.numel() > 0) {
            low = read_number("histogram", min(x, {}, false)).as_double();
            high = read_number("histogram", max(x, {}, false)).as_double();
            if (low == high) low -= 0.5, high += 0.5;
        } else {
            high = 1;
        }
        if (!(low < high) || !std::isfinite(low) || !std::isfinite(high)) {
            fail(ErrorKind::kValue, "histogram",
                 "the range is [%g, %g]; finite numbers in order are required", low, high);
        }
        edges = linspace(low, high, bins + 1, true, x.dtype(), x.device());
    } else if (edges.rank() != 1 || edges.size(0) < 2 || edges.dtype() != x.dtype()) {
        fail(ErrorKind::kShape, "histogram",
             "the edges have shape %s and dtype %s; a vector of two or more with dtype %s is "
             "required",
             format_shape(edges.shape()).c_str(), dtype_name(edges.dtype()), dtype_name(x.dtype()));
    }
    if (a.has(3) && !(a.tensor(3).shape() == x.shape())) {
        fail(ErrorKind::kShape, "histogram",
             "x has shape %s and the weights %s; they must be equal",
             format_shape(x.shape()).c_str(), format_shape(a.tensor(3).shape()).c_str());
    }
    Tensor h = counted(x, edges, a.has(3) ? a.tensor(3) : Tensor());
    if (a.flag(4)) {
        const int64_t n = h.size(0);
        h = h / sum(h, {}, false) / (narrow(edges, 0, 1, n) - narrow(edges, 0, 0, n));
    }
    return {h, edges};
}

// ---- distinct elements

// Values along an axis as rows, the first of each run of equal ones marked.
Results runs(const Tensor& rows, const Tensor& original, int axis, bool flat, bool inverse,
             bool counts, const Tensor& order) {
    const int64_t n = rows.size(0);
    Tensor first = full(Dims{n}, true, DType::kBool, rows.device());
    if (n > 1) {
        Tensor differ = not_equal(narrow(rows, 0, 1, n - 1), narrow(rows, 0, 0, n - 1));
        if (differ.rank() > 1) {
            Dims others;
            for (int d = 1; d < differ.rank(); ++d) others.push_back(d);
            differ = any(differ, others, false);
        }
        const Tensor parts[2] = {full(Dims{1}, true, DType::kBool, rows.device()), differ};
        first = concat(parts, 0);
    }
    const Tensor starts = n ? nonzero(first)[0] : full(Dims{0}, 0, DType::kI64, rows.device());
    const int64_t count = starts.numel();
    Results out;
    const Tensor values = take(rows, starts, 0);
    const int64_t front[1] = {0}, back[1] = {axis};
    out.push_back(flat ? values : moveaxis(values, front, back));
    if (inverse) {
        Tensor run = cumsum(cast(first, DType::kI64), 0) - 1;
        if (given(order))
            run = scatter(full(Dims{n}, 0, DType::kI64, rows.device()), order, run, 0);
        out.push_back(flat ? reshape(run, original.shape()) : run);
    }
    if (counts) {
        const Tensor ends[2] = {starts, full(Dims{1}, n, DType::kI64, rows.device())};
        const Tensor bounds = concat(ends, 0);
        out.push_back(narrow(bounds, 0, 1, count) - narrow(bounds, 0, 0, count));
    }
    return out;
}

// The axis in front, or all elements in a row.
Tensor as_rows(const char* op, const Args& a, int dim, int* axis, bool* flat) {
    const Tensor x = a.tensor(0).detach();
    *flat = !a.has(dim);
    *axis = 0;
    if (*flat) return flattened(x);
    *axis = normalize_axis(op, a.integer(dim), x.rank());
    const int64_t from[1] = {*axis}, to[1] = {0};
    return moveaxis(x, from, to);
}

Results unique_consecutive(const Args& a) {
    const NoGrad off;
    int axis;
    bool flat;
    const Tensor rows = as_rows("unique_consecutive", a, 3, &axis, &flat);
    return runs(rows, a.tensor(0), axis, flat, a.flag(1), a.flag(2), Tensor());
}

Results unique(const Args& a) {
    const NoGrad off;
    int axis;
    bool flat;
    Tensor rows = as_rows("unique", a, 4, &axis, &flat);
    const int64_t n = rows.size(0);
    if (!flat && n > 0 && rows.numel() == 0) {
        fail(ErrorKind::kShape, "unique",
             "x has shape %s: its parts along axis %d are empty, so none is distinct",
             format_shape(a.tensor(0).shape()).c_str(), axis);
    }
    // Rows are sorted column by column, the first column last: stable sorts make it the most
    // significant one.
    Tensor order = arange(0, 1, n, DType::kI64, rows.device());
    const int64_t columns = n ? rows.numel() / n : 0;
    const Tensor matrix = reshape(rows, Dims{n, columns});
    for (int64_t c = columns; c-- > 0;) {
        const Tensor column = take(reshape(narrow(matrix, 1, c, 1), Dims{n}), order, 0);
        order = take(order, argsort(column, 0, false), 0);
    }
    rows = take(rows, order, 0);
    return runs(rows, a.tensor(0), axis, flat, a.flag(2), a.flag(3), order);
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
        const Tensor m = matmul(centred, transpose(centred, 0, 1)) / norm;
        return x.size(0) == 1 ? reshape(m, Dims{}) : m;
    }
    // Sums of weights in f64: what is left after the correction may be small.
    const Tensor wide = cast(w, DType::kF64), total = sum(wide, {}, false);
    w = cast(w, x.dtype());
    const Tensor centred = x - sum(x * w, last, true) / cast(total, x.dtype());
    Tensor norm = total - correction;
    if (given(quality) && correction != 0)
        norm = total - sum(wide * cast(quality, DType::kF64), {}, false) / total * correction;
    norm = cast(where(greater(norm, 0.0), norm, 0.0), x.dtype());
    const Tensor m = matmul(centred * w, transpose(centred, 0, 1)) / norm;
    return x.size(0) == 1 ? reshape(m, Dims{}) : m;
}

Tensor corrcoef(const Tensor& x) {
    const Tensor c = covariance(x, 1, Tensor(), Tensor());
    if (c.rank() == 0) return c / c;
    const Tensor s = sqrt(diagonal(c, 0, 0, 1));
    return clip(c / unsqueeze(s, 1) / unsqueeze(s, 0), -1.0, 1.0);
}

Tensor isin(const Args& a) {
    const NoGrad off;
    const Tensor& x = a.tensor(0);
    const Tensor tests = a.tensor(1).is_scalar()
                             ? full(Dims{1}, a.tensor(1), a.tensor(1).dtype(), x.device())
                             : flattened(a.tensor(1));
    const DType dtype = x.is_scalar()
                            ? tests.dtype()
                            : (a.tensor(1).weak() ? x.dtype() : promote(x.dtype(), tests.dtype()));
    const Tensor v = x.is_scalar() ? full({}, x, dtype, tests.device()) : cast(x, dtype);
    Tensor found;
    if (tests.numel() == 0) {
        found = full(v.shape(), false, DType::kBool, v.device());
    } else {
        const Tensor s = sort(cast(tests, dtype), 0, false);
        const Tensor at = minimum(searchsorted(s, v, false), s.numel() - 1);
        found = equal(take(s, at, 0), v);
    }
    return a.flag(3) ? logical_not(found) : found;
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
        .signature = "bincount(x: Tensor, weights: Tensor? = None, minlength: int = 0) -> Tensor",
        .doc = R"(How often each of 0, 1, 2 ... occurs in a vector, or the sum of their weights.

>>> sn.bincount(sn.tensor([0, 2, 2])).tolist()
[1, 0, 2]
)",
        .call = bincount,
    });
    register_function({
        .signature = "histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor",
        .doc = R"(Counts of the elements in bins of equal width between min and max.

Where min and max are both 0, they are those of the elements. Elements outside are not counted.

>>> sn.histc(sn.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3).tolist()
[0.0, 2.0, 1.0, 0.0]
)",
        .call = histc,
    });
    register_function({
        .signature = "histogram(x: Tensor, bins: Operand, range: Tensors? = None, "
                     "weight: Tensor? = None, density: bool = False) -> tuple[Tensor, Tensor]",
        .doc = R"(Counts between edges, and the edges.

Parameters
----------
bins : a number of bins of equal width, or their increasing edges.
range : the two ends, by default those of the elements.
weight : what each element counts, 1 by default.
density : whether counts are divided by their sum and the widths of the bins.

>>> [t.tolist() for t in sn.histogram(sn.tensor([1.0, 2.0, 1.0]), 2, range=(0.0, 3.0))]
[[2.0, 1.0], [0.0, 1.5, 3.0]]
)",
        .call_many = histogram,
    });
    register_function({
        .signature = "searchsorted(sorted: Tensor, values: Operand, side: str? = None, "
                     "sorter: Tensor? = None, right: bool = False, out_int32: bool = False) -> "
                     "Tensor",
        .doc = R"(Positions (int64) at which values go into sorted numbers to keep them sorted.

sorted : a vector, or rows along the last axis, each for the row of values in the same place.
side : "left" for the place before equal elements, "right" (or right=True) for that behind.
sorter : indices that sort, such as argsort gives.
out_int32 : whether positions are int32.

>>> sn.searchsorted(sn.arange(4), sn.arange(1, 3)).tolist()
[1, 2]
)",
        .call = searchsorted_function,
    });
    register_function({
        .signature = "bucketize(x: Operand, boundaries: Tensor, out_int32: bool = False, "
                     "right: bool = False) -> Tensor",
        .doc = R"(The number of boundaries below each element: its bucket.

right : whether a boundary counts that is equal.

>>> sn.bucketize(sn.tensor([0, 1, 5]), sn.tensor([1, 3])).tolist()
[0, 0, 2]
)",
        .call = bucketize,
    });
    register_function({
        .signature = "unique(x: Tensor, sorted: bool = True, return_inverse: bool = False, "
                     "return_counts: bool = False, axis: int? = None) -> "
                     "Tensor | tuple[Tensor, ...]",
        .doc = R"(The distinct elements, or the distinct parts along an axis, ascending.

Parameters
----------
sorted : accepted for PyTorch's sake; the result is always sorted.
return_inverse : also where each element's value stands in the result.
return_counts : also how often each occurs.

Every NaN counts as distinct. Waits for the values, since the result's size depends on them.

>>> sn.unique(sn.tensor([3, 1, 3])).tolist()
[1, 3]
>>> [t.tolist() for t in sn.unique(sn.tensor([3, 1, 3]), return_counts=True)]
[[1, 3], [1, 2]]
)",
        .call_many = unique,
    });
    register_function({
        .signature = "unique_consecutive(x: Tensor, return_inverse: bool = False, "
                     "return_counts: bool = False, axis: int? = None) -> "
                     "Tensor | tuple[Tensor, ...]",
        .doc = R"(The first of each run of equal elements (or equal parts along an axis), in order.

return_inverse, return_counts : as those of `unique`.

>>> sn.unique_consecutive(sn.tensor([1, 1, 2, 1])).tolist()
[1, 2, 1]
)",
        .call_many = unique_consecutive,
    });
    register_function({
        .signature = "isin(elements|x: Operand, test_elements: Operand, "
                     "assume_unique: bool = False, invert: bool = False) -> Tensor",
        .doc = R"(True where an element is among the test elements (invert: where it is not).

>>> sn.isin(sn.tensor([1, 2, 3]), sn.tensor([3, 1])).tolist()
[True, False, True]
)",
        .call = isin,
        .method = false,
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
