// Public functions that count and compare: histograms, searches, distinct elements.
#include <algorithm>
#include <cmath>

#include "op/api.h"
#include "op/function.h"
#include "op/rules.h"
#include "record/read.h"
#include "record/tape.h"

namespace sn {

namespace {

Tensor flattened(const Tensor& x) { return reshape(x, Dims{x.numel()}); }

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
    const Tensor out = searchsorted(sorted, values, right);
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

void register_counting_functions() {
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
}

}  // namespace sn
