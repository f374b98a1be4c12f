// The public functions of movement: shapes, joining and splitting, order of elements.
#include <algorithm>

#include "op/api.h"
#include "op/function.h"
#include "op/rules.h"
#include "record/read.h"
#include "record/tape.h"

namespace sn {

void register_creation_functions();

namespace {

// "axis: int? = None": the given axis, or a default.
int64_t axis_or(const Args& a, int i, int64_t otherwise) {
    return a.has(i) ? a.integer(i) : otherwise;
}

// A number has one dimension to exchange with itself, as in PyTorch.
Tensor exchange(const Tensor& x, int64_t a, int64_t b) {
    if (x.rank() > 0) return transpose(x, a, b);
    normalize_axis("transpose", a, 1);
    normalize_axis("transpose", b, 1);
    return alias(x);
}

// reshape(copy=False): the strides must allow a view.
void require_view(const Tensor& x, DimSpan shape) {
    if (x.is_scalar()) return;
    materialize(x.detach());
    Dims strides;
    const Value& v = *x.value();
    if (reshape_strides(v.meta.shape, v.strides, shape, &strides)) return;
    fail(ErrorKind::kValue, "reshape",
         "copy=False, but shape %s with strides %s cannot become %s without a copy; leave copy out",
         format_shape(v.meta.shape).c_str(), format_shape(v.strides).c_str(),
         format_shape(shape).c_str());
}

Tensor flatten_all(const Tensor& x) { return reshape(x, Dims{-1}); }

Tensor flatten(const Tensor& x, int64_t first, int64_t last) {
    if (x.rank() == 0) return reshape(x, Dims{1});
    const int from = normalize_axis("flatten", first, x.rank());
    const int to = normalize_axis("flatten", last, x.rank());
    if (from > to) {
        fail(ErrorKind::kValue, "flatten",
             "start_dim %d lies behind end_dim %d; it must not; swap them", from, to);
    }
    Dims shape;
    int64_t merged = 1;
    for (int i = 0; i < x.rank(); ++i) {
        if (i >= from && i <= to) merged *= x.size(i);
        if (i < from || i > to) shape.push_back(x.size(i));
        if (i == to) shape.push_back(merged);
    }
    return reshape(x, shape);
}

Tensor unflatten(const Tensor& x, int64_t axis, DimSpan sizes) {
    const int at = normalize_axis("unflatten", axis, x.rank());
    Dims part(sizes), shape;
    int64_t known = 1, open = -1;
    for (size_t i = 0; i < part.size(); ++i) {
        if (part[i] == -1)
            open = static_cast<int64_t>(i);
        else
            known *= part[i];
    }
    if (open >= 0 && known > 0) part[open] = x.size(at) / known;
    if (numel(part) != x.size(at)) {
        fail(ErrorKind::kShape, "unflatten",
             "axis %d of shape %s has size %lld and cannot become %s; the product must be equal; "
             "use -1 for one size",
             at, format_shape(x.shape()).c_str(), ll(x.size(at)), format_shape(sizes).c_str());
    }
    for (int i = 0; i < x.rank(); ++i) {
        if (i != at)
            shape.push_back(x.size(i));
        else
            for (int64_t s : part) shape.push_back(s);
    }
    return reshape(x, shape);
}

Tensor squeeze_all(const Tensor& x) {
    Dims shape;
    for (int64_t s : x.shape())
        if (s != 1) shape.push_back(s);
    return reshape(x, shape);
}

Tensor expand_dims(const Tensor& x, DimSpan axes) {
    const int rank = x.rank() + static_cast<int>(axes.size());
    Tensor out = x;
    for (int64_t axis : normalize_axes("expand_dims", axes, rank)) out = unsqueeze(out, axis);
    return out;
}

Tensor tile(const Tensor& x, DimSpan repetitions) {
    // [a, b] -> [1, a, 1, b] -> expand -> [ra, a, rb, b] -> merge the pairs.
    const int rank = std::max(x.rank(), static_cast<int>(repetitions.size()));
    Dims split, wide, merged;
    for (int i = 0; i < rank; ++i) {
        const int xi = i - (rank - x.rank());
        const int ri = i - (rank - static_cast<int>(repetitions.size()));
        const int64_t size = xi < 0 ? 1 : x.size(xi), times = ri < 0 ? 1 : repetitions[ri];
        if (times < 0) {
            fail(ErrorKind::kValue, "tile", "repetitions are %s; they must be 0 or more",
                 format_shape(repetitions).c_str());
        }
        split.push_back(1);
        split.push_back(size);
        wide.push_back(times);
        wide.push_back(size);
        merged.push_back(times * size);
    }
    return clone(reshape(expand(reshape(x, split), wide), merged));
}

Tensor repeat(const Tensor& x, const Tensor& repeats, bool flat, int64_t axis) {
    if (flat) return repeat(flatten_all(x), repeats, false, 0);
    const int at = normalize_axis("repeat", axis, x.rank());
    if (repeats.is_scalar()) {
        const int64_t times = repeats.value()->scalar.as_int();
        if (times < 0) {
            fail(ErrorKind::kValue, "repeat", "repeats is %lld; it must be 0 or more", ll(times));
        }
        Dims split(x.shape()), merged(x.shape());
        split.insert(at + 1, 1);
        Dims wide(split);
        wide[at + 1] = times;
        merged[at] *= times;
        return clone(reshape(expand(reshape(x, split), wide), merged));
    }
    if (repeats.rank() > 1 || (repeats.numel() != 1 && repeats.numel() != x.size(at))) {
        fail(ErrorKind::kShape, "repeat",
             "repeats has shape %s for axis %d of shape %s; it must be a number or one number per "
             "element of the axis",
             format_shape(repeats.shape()).c_str(), at, format_shape(x.shape()).c_str());
    }
    const Tensor counts = expand(cast(repeats, DType::kI64), Dims{x.size(at)});
    const Tensor ends = cumsum(counts, 0);
    const int64_t n = x.size(at);
    Tensor keep;
    const int64_t total = n == 0 ? 0 : static_cast<const int64_t*>(read_values(ends, &keep))[n - 1];
    if (n > 0) {
        const int64_t* end = static_cast<const int64_t*>(read_values(ends, &keep));
        for (int64_t i = 0; i < n; ++i) {
            if (end[i] >= (i ? end[i - 1] : 0)) continue;
            fail(ErrorKind::kValue, "repeat", "repeats[%lld] is %lld; it must be 0 or more", ll(i),
                 ll(end[i] - (i ? end[i - 1] : 0)));
        }
    }
    const Tensor positions = arange(0, 1, total, DType::kI64, x.device());
    return take(x, searchsorted(ends, positions, true), at);
}

Results split_function(const Args& a) {
    const Tensor& x = a.tensor(0);
    const int at = normalize_axis("split", a.integer(2), x.rank());
    if (!a.single(1)) return split(x, a.ints(1), at);
    const int64_t size = a.ints(1)[0], n = x.size(at);
    if (size <= 0) {
        fail(ErrorKind::kValue, "split", "the size of a part is %lld; it must be 1 or more",
             ll(size));
    }
    Dims sizes;
    for (int64_t start = 0; start < n; start += size) sizes.push_back(std::min(size, n - start));
    if (n == 0) sizes.push_back(0);
    return split(x, sizes, at);
}

Results chunk_function(const Args& a) {
    const Tensor& x = a.tensor(0);
    const int64_t chunks = a.integer(1);
    const int at = normalize_axis("chunk", a.integer(2), x.rank());
    if (chunks <= 0) {
        fail(ErrorKind::kValue, "chunk", "chunks is %lld; it must be 1 or more", ll(chunks));
    }
    const int64_t n = x.size(at), size = std::max<int64_t>((n + chunks - 1) / chunks, 1);
    Dims sizes;
    for (int64_t start = 0; start < n; start += size) sizes.push_back(std::min(size, n - start));
    if (n == 0) sizes.push_back(0);
    return split(x, sizes, at);
}

Results unstack_function(const Args& a) {
    const Tensor& x = a.tensor(0);
    const int at = normalize_axis("unstack", a.integer(1), x.rank());
    const int64_t axes[1] = {at};
    Results out;
    for (int64_t i = 0; i < x.size(at); ++i) out.push_back(squeeze(narrow(x, at, i, 1), axes));
    return out;
}

Results broadcast_function(const Args& a) {
    Dims shape;
    for (const Tensor& x : a.tensors(0))
        shape = broadcast_shapes("broadcast_tensors", shape, x.shape());
    Results out;
    for (const Tensor& x : a.tensors(0)) out.push_back(expand(x, shape));
    return out;
}

Tensor roll_function(const Args& a) {
    const Tensor& x = a.tensor(0);
    const DimSpan shifts = a.ints(1);
    if (!a.has(2)) {
        if (shifts.empty()) {
            fail(ErrorKind::kValue, "roll", "no shift is given; one number is required");
        }
        int64_t total = 0;
        for (int64_t s : shifts) total += s;
        return reshape(roll(flatten_all(x), total, 0), x.shape());
    }
    const DimSpan axes = a.ints(2);
    if ((shifts.size() != axes.size() && shifts.size() != 1) || shifts.empty()) {
        fail(ErrorKind::kValue, "roll",
             "%zu shifts are given for %zu axes; one for each axis, or "
             "one for all, is required",
             shifts.size(), axes.size());
    }
    Tensor out = x;
    for (size_t i = 0; i < axes.size(); ++i)
        out = roll(out, shifts[shifts.size() == 1 ? 0 : i], axes[i]);
    return out;
}

Tensor pad_function(const Args& a) {
    const Tensor& x = a.tensor(0);
    const DimSpan widths = a.ints(1);
    const std::string_view mode = a.text(2);
    if (widths.size() % 2 != 0 || static_cast<int>(widths.size()) > 2 * x.rank()) {
        fail(ErrorKind::kShape, "pad",
             "pad has %zu widths for shape %s; it takes pairs (before, behind), the last dimension "
             "first, at most one per dimension",
             widths.size(), format_shape(x.shape()).c_str());
    }
    Dims low(x.shape().size(), 0), high(x.shape().size(), 0);
    for (size_t i = 0; i < widths.size() / 2; ++i) {
        low[x.rank() - 1 - static_cast<int>(i)] = widths[2 * i];
        high[x.rank() - 1 - static_cast<int>(i)] = widths[2 * i + 1];
    }
    if (mode == "constant") return pad(x, low, high, a.has(3) ? a.tensor(3) : Tensor(0));
    if (mode == "edge" || mode == "replicate") return pad_mode(x, low, high, "replicate");
    if (mode == "wrap" || mode == "circular") return pad_mode(x, low, high, "circular");
    if (mode == "reflect") return pad_mode(x, low, high, "reflect");
    fail(ErrorKind::kValue, "pad",
         "mode is '%.*s'; it must be 'constant', 'reflect', 'replicate' or "
         "'circular'",
         static_cast<int>(mode.size()), mode.data());
}

// Diagonals as a slice of the flattened last two dimensions, so that they are views of x.
}  // namespace

Tensor diagonal(const Tensor& x, int64_t offset, int64_t axis1, int64_t axis2) {
    const int a = normalize_axis("diagonal", axis1, x.rank());
    const int b = normalize_axis("diagonal", axis2, x.rank());
    if (a == b) {
        fail(ErrorKind::kValue, "diagonal", "axis1 and axis2 are both %d; they must differ", a);
    }
    const int64_t source[2] = {a, b}, last[2] = {-2, -1};
    const Tensor m = moveaxis(x, source, last);
    const int64_t rows = m.size(-2), columns = m.size(-1);
    const int64_t count =
        offset >= 0 ? std::min(rows, columns - offset) : std::min(rows + offset, columns);
    Dims shape(m.shape());
    shape.pop_back();
    shape.back() = rows * columns;
    Dims starts(shape.size(), 0), sizes(shape), steps(shape.size(), 1);
    sizes.back() = std::max<int64_t>(count, 0);
    if (count > 0) {
        starts[shape.size() - 1] = offset >= 0 ? offset : -offset * columns;
        steps.back() = columns + 1;
    }
    return slice(reshape(m, shape), starts, sizes, steps);
}

Tensor diag(const Tensor& x, int64_t k) {
    if (x.rank() == 2) return diagonal(x, k, 0, 1);
    if (x.rank() != 1) {
        fail(ErrorKind::kShape, "diag",
             "x has shape %s; a vector or a matrix is required; use "
             "diagonal for more dimensions",
             format_shape(x.shape()).c_str());
    }
    const int64_t n = x.size(0), side = n + std::abs(k);
    const Tensor zero = full(Dims{side * side}, 0, x.dtype(), x.device());
    if (n == 0) return reshape(zero, Dims{side, side});
    const Tensor start[1] = {int_scalar(k >= 0 ? k : -k * side)};
    const int64_t sizes[1] = {n}, steps[1] = {side + 1};
    return reshape(slice_update(zero, x, start, sizes, steps), Dims{side, side});
}

namespace {

Tensor triangle(const char* op, const Tensor& x, int64_t k, bool lower) {
    if (x.rank() < 2) {
        fail(ErrorKind::kShape, op, "x has shape %s; two or more dimensions are required",
             format_shape(x.shape()).c_str());
    }
    return where(triangle_mask(x.size(-2), x.size(-1), k, lower, x.device()), x,
                 scalar_operand(op, 0, x.dtype()));
}

Tensor concat_function(const Args& a) {
    if (a.has(1)) return concat(a.tensors(0), a.integer(1));
    std::vector<Tensor> flat;
    for (const Tensor& x : a.tensors(0)) flat.push_back(flatten_all(x));
    return concat(flat, 0);
}

Tensor join(const Args& a, int rank, int64_t axis) {
    std::vector<Tensor> in;
    for (Tensor x : a.tensors(0)) {
        if (x.rank() == 0) x = reshape(x, Dims{1});
        if (x.rank() == 1 && rank >= 2) x = unsqueeze(x, 0);
        if (x.rank() == 2 && rank == 3) x = unsqueeze(x, 2);
        in.push_back(x);
    }
    return concat(in, rank == 1 && !in.empty() && in[0].rank() == 1 ? 0 : axis);
}

}  // namespace

void register_movement_functions() {
    register_function({
        .signature = "reshape(x: Tensor, shape: Ints, copy: bool? = None) -> Tensor",
        .doc = R"(The elements of x, in row-major order, under another shape.

Parameters
----------
shape : new sizes with the same product; one of them may be -1.
copy : True for a copy of its own; False fails where a view is not possible; None gives a view
    where the strides allow one.

Raises
------
ShapeError : the numbers of elements differ.

>>> sn.reshape(sn.arange(6), (2, -1)).tolist()
[[0, 1, 2], [3, 4, 5]]
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                const Tensor out = reshape(x, a.ints(1));
                if (a.has(2) && !a.flag(2)) require_view(x, out.shape());
                return a.has(2) && a.flag(2) ? clone(out) : out;
            },
    });
    register_function({
        .signature = "view(x: Tensor, shape|size: Ints) -> Tensor",
        .doc = R"(reshape under its PyTorch name; copies where the strides ask for it.

>>> sn.arange(4).view((2, 2)).tolist()
[[0, 1], [2, 3]]
)",
        .call = [](const Args& a) { return reshape(a.tensor(0), a.ints(1)); },
    });
    register_function({
        .signature = "flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor",
        .doc = R"(Dimensions start_dim to end_dim (included) merged into one.

>>> sn.flatten(sn.zeros((2, 3, 4)), 1).shape
(2, 12)
)",
        .call = [](const Args& a) { return flatten(a.tensor(0), a.integer(1), a.integer(2)); },
        .aliases = "ravel",
    });
    register_function({
        .signature = "unflatten(x: Tensor, axis: int, sizes: Ints) -> Tensor",
        .doc = R"(One dimension split into several; one of the sizes may be -1.

>>> sn.unflatten(sn.zeros((2, 12)), 1, (3, -1)).shape
(2, 3, 4)
)",
        .call = [](const Args& a) { return unflatten(a.tensor(0), a.integer(1), a.ints(2)); },
    });
    register_function({
        .signature = "permute_dims(x: Tensor, axes|dims: Ints) -> Tensor",
        .doc = R"(A view whose dimension i is dimension axes[i] of x.

Raises
------
ValueError : an axis is missing or given twice.

>>> sn.permute_dims(sn.zeros((2, 3, 4)), (2, 0, 1)).shape
(4, 2, 3)
)",
        .call = [](const Args& a) { return permute(a.tensor(0), a.ints(1)); },
        .aliases = "permute",
    });
    register_function({
        .signature = "transpose(x: Tensor, dim0: int? = None, dim1: int? = None) -> Tensor",
        .doc = R"(A view with two dimensions exchanged; without dimensions, all in reverse order.

>>> sn.transpose(sn.zeros((2, 3, 4)), 0, 1).shape
(3, 2, 4)
>>> sn.transpose(sn.zeros((2, 3, 4))).shape
(4, 3, 2)
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                if (a.has(1)) return exchange(x, a.integer(1), axis_or(a, 2, -1));
                Dims order = all_axes(x.rank());
                std::ranges::reverse(order);
                return permute(x, order);
            },
        .aliases = "transpose_",
    });
    register_function({
        .signature = "swapaxes(x: Tensor, axis1|axis0|dim0: int, axis2|dim1: int) -> Tensor",
        .doc = R"(A view with two dimensions exchanged.

>>> sn.swapaxes(sn.zeros((2, 3, 4)), 0, 2).shape
(4, 3, 2)
)",
        .call = [](const Args& a) { return exchange(a.tensor(0), a.integer(1), a.integer(2)); },
        .aliases = "swapdims swapaxes_ swapdims_",
    });
    register_function({
        .signature = "matrix_transpose(x: Tensor) -> Tensor",
        .doc = R"(A view with the last two dimensions exchanged.

>>> sn.matrix_transpose(sn.zeros((5, 2, 3))).shape
(5, 3, 2)
)",
        .call =
            [](const Args& a) {
                if (a.tensor(0).rank() < 2) {
                    fail(ErrorKind::kShape, "matrix_transpose",
                         "x has shape %s; two or more dimensions "
                         "are required",
                         format_shape(a.tensor(0).shape()).c_str());
                }
                return transpose(a.tensor(0), -2, -1);
            },
    });
    register_function({
        .signature = "adjoint(x: Tensor) -> Tensor",
        .doc = R"(The last two dimensions exchanged, and complex numbers conjugated.

>>> sn.adjoint(sn.tensor([[1j, 2j]])).tolist()
[[-1j], [-2j]]
)",
        .call =
            [](const Args& a) {
                if (a.tensor(0).rank() < 2) {
                    fail(ErrorKind::kShape, "adjoint",
                         "x has shape %s; two or more dimensions are required",
                         format_shape(a.tensor(0).shape()).c_str());
                }
                return conj(transpose(a.tensor(0), -2, -1));
            },
    });
    register_function({
        .signature = "moveaxis(x: Tensor, source: Ints, destination: Ints) -> Tensor",
        .doc = R"(A view with dimensions moved to other places; the rest keep their order.

>>> sn.moveaxis(sn.zeros((2, 3, 4)), 0, -1).shape
(3, 4, 2)
)",
        .call = [](const Args& a) { return moveaxis(a.tensor(0), a.ints(1), a.ints(2)); },
        .aliases = "movedim",
    });
    register_function({
        .signature = "squeeze(x: Tensor, axis: Ints? = None) -> Tensor",
        .doc = R"(Without the given dimensions of size 1 (all of them by default); a view.

Raises
------
ValueError : a given dimension has another size.

>>> sn.squeeze(sn.zeros((1, 3, 1)), 0).shape
(3, 1)
)",
        .call =
            [](const Args& a) {
                return a.has(1) ? squeeze(a.tensor(0), a.ints(1)) : squeeze_all(a.tensor(0));
            },
        .aliases = "squeeze_",
    });
    register_function({
        .signature = "expand_dims(x: Tensor, axis: Ints = 0) -> Tensor",
        .doc = R"(With new dimensions of size 1 at the given places of the result; a view.

>>> sn.expand_dims(sn.zeros((3,)), (0, 2)).shape
(1, 3, 1)
)",
        .call = [](const Args& a) { return expand_dims(a.tensor(0), a.ints(1)); },
        .aliases = "unsqueeze unsqueeze_",
    });
    register_function({
        .signature = "broadcast_to(x: Tensor, shape|size: Ints) -> Tensor",
        .doc = R"(x repeated along dimensions of size 1 and new ones in front, without a copy.

A size of -1 keeps the size of x.

Raises
------
ShapeError : a size of x is neither equal nor 1.

>>> sn.broadcast_to(sn.arange(3), (2, 3)).tolist()
[[0, 1, 2], [0, 1, 2]]
)",
        .call = [](const Args& a) { return expand(a.tensor(0), a.ints(1)); },
        .aliases = "expand",
    });
    register_function({
        .signature = "expand_as(x: Tensor, other: Tensor) -> Tensor",
        .doc = R"(x broadcast to the shape of other, without a copy.

>>> sn.expand_as(sn.zeros((1, 3)), sn.zeros((2, 3))).shape
(2, 3)
)",
        .call = [](const Args& a) { return expand(a.tensor(0), a.tensor(1).shape()); },
    });
    register_function({
        .signature = "broadcast_tensors(*tensors: Tensors) -> list[Tensor]",
        .doc = R"(All tensors broadcast to their common shape, without copies.

>>> [t.shape for t in sn.broadcast_tensors(sn.zeros((3, 1)), sn.zeros((2,)))]
[(3, 2), (3, 2)]
)",
        .call_many = broadcast_function,
        .aliases = "broadcast_arrays",
        .method = false,
    });
    register_function({
        .signature = "concat(tensors: Tensors, axis: int? = 0) -> Tensor",
        .doc = R"(Tensors joined along an axis that exists; None joins them flattened.

The result has the dtype that all promote to.

Raises
------
ShapeError : sizes other than that of `axis` differ.

>>> sn.concat([sn.arange(2), sn.arange(3)]).tolist()
[0, 1, 0, 1, 2]
)",
        .call = concat_function,
        .aliases = "cat concatenate",
        .method = false,
    });
    register_function({
        .signature = "stack(tensors: Tensors, axis: int = 0) -> Tensor",
        .doc = R"(Tensors of one shape joined along a new axis.

>>> sn.stack([sn.arange(2), sn.arange(2)], axis=1).tolist()
[[0, 0], [1, 1]]
)",
        .call = [](const Args& a) { return stack(a.tensors(0), a.integer(1)); },
        .method = false,
    });
    register_function({
        .signature = "hstack(tensors: Tensors) -> Tensor",
        .doc = R"(Tensors joined along the second axis, vectors along the first.

>>> sn.hstack([sn.arange(2), sn.arange(1)]).tolist()
[0, 1, 0]
)",
        .call = [](const Args& a) { return join(a, 1, 1); },
        .method = false,
    });
    register_function({
        .signature = "vstack(tensors: Tensors) -> Tensor",
        .doc = R"(Tensors joined along the first axis; a vector counts as a row.

>>> sn.vstack([sn.arange(2), sn.arange(2)]).tolist()
[[0, 1], [0, 1]]
)",
        .call = [](const Args& a) { return join(a, 2, 0); },
        .aliases = "row_stack",
        .method = false,
    });
    register_function({
        .signature = "dstack(tensors: Tensors) -> Tensor",
        .doc = R"(Tensors joined along the third axis.

>>> sn.dstack([sn.arange(2), sn.arange(2)]).shape
(1, 2, 2)
)",
        .call = [](const Args& a) { return join(a, 3, 2); },
        .method = false,
    });
    register_function({
        .signature =
            "split(x: Tensor, split_size_or_sections: Ints, axis: int = 0) -> list[Tensor]",
        .doc = R"(Views of consecutive parts: an int gives their size, a list the size of each.

>>> [t.tolist() for t in sn.split(sn.arange(5), 2)]
[[0, 1], [2, 3], [4]]
>>> [t.tolist() for t in sn.split(sn.arange(5), [1, 4])]
[[0], [1, 2, 3, 4]]
)",
        .call_many = split_function,
    });
    register_function({
        .signature = "chunk(x: Tensor, chunks: int, axis: int = 0) -> list[Tensor]",
        .doc =
            R"(Views of at most `chunks` consecutive parts of equal size (the last may be shorter).

>>> [t.tolist() for t in sn.chunk(sn.arange(5), 2)]
[[0, 1, 2], [3, 4]]
)",
        .call_many = chunk_function,
    });
    register_function({
        .signature = "unstack(x: Tensor, axis: int = 0) -> tuple[Tensor, ...]",
        .doc = R"(Views of the elements of an axis, without that axis.

>>> [t.tolist() for t in sn.unstack(sn.arange(4).reshape((2, 2)))]
[[0, 1], [2, 3]]
)",
        .call_many = unstack_function,
        .aliases = "unbind",
    });
    register_function({
        .signature = "narrow(x: Tensor, axis: int, start: int, length: int) -> Tensor",
        .doc = R"(A view of `length` elements of an axis from `start` on.

>>> sn.narrow(sn.arange(5), 0, 1, 3).tolist()
[1, 2, 3]
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                const int at = normalize_axis("narrow", a.integer(1), x.rank());
                const int64_t n = x.size(at), length = a.integer(3);
                const int64_t start = a.integer(2) < 0 ? a.integer(2) + n : a.integer(2);
                if (start < 0 || length < 0 || start + length > n) {
                    fail(
                        ErrorKind::kIndex, "narrow",
                        "elements %lld to %lld of axis %d are asked for, which has %lld; start and "
                        "start + length must lie in [0, %lld]",
                        ll(start), ll(start + length), at, ll(n), ll(n));
                }
                return narrow(x, at, start, length);
            },
    });
    register_function({
        .signature = "tile(x: Tensor, repetitions|dims: Ints) -> Tensor",
        .doc = R"(x laid side by side, repetitions[d] times along each dimension.

>>> sn.tile(sn.arange(2), (2, 2)).tolist()
[[0, 1, 0, 1], [0, 1, 0, 1]]
)",
        .call = [](const Args& a) { return tile(a.tensor(0), a.ints(1)); },
    });
    register_function({
        .signature =
            "repeat(x: Tensor, repeats: Operand, axis: int? = None, output_size: int? = None) -> "
            "Tensor",
        .doc = R"(Each element repeated, as in the Array API (PyTorch calls this repeat_interleave).

Parameters
----------
repeats : a number, or one number per element of the axis.
axis : None repeats the elements of the flattened tensor.
output_size : the size that the axis will have; a check of what `repeats` adds up to.

>>> sn.repeat(sn.arange(3), 2).tolist()
[0, 0, 1, 1, 2, 2]
)",
        .call =
            [](const Args& a) {
                const bool flat = !a.has(2) || a.tensor(0).rank() == 0;
                const Tensor out = repeat(a.tensor(0), a.tensor(1), flat, axis_or(a, 2, 0));
                const int64_t size = out.size(flat ? 0 : static_cast<int>(axis_or(a, 2, 0)));
                if (a.has(3) && a.integer(3) != size) {
                    fail(ErrorKind::kValue, "repeat",
                         "output_size is %lld and the repeats add up to %lld; they must be equal",
                         ll(a.integer(3)), ll(size));
                }
                return out;
            },
        .aliases = "repeat_interleave",
    });
    register_function({
        .signature = "roll(x: Tensor, shift|shifts: Ints, axis|dims: Ints? = None) -> Tensor",
        .doc =
            R"(Elements moved by `shift` along axes; what leaves at the end comes in at the start.

>>> sn.roll(sn.arange(4), 1).tolist()
[3, 0, 1, 2]
)",
        .call = roll_function,
    });
    register_function({
        .signature = "flip(x: Tensor, axis|dims: Ints? = None) -> Tensor",
        .doc = R"(A view with the order along the axes (all by default) reversed.

>>> sn.flip(sn.arange(3)).tolist()
[2, 1, 0]
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                return flip(x, a.has(1) ? a.ints(1) : DimSpan(all_axes(x.rank())));
            },
    });
    register_function({
        .signature =
            "pad(x: Tensor, pad: Ints, mode: str = \"constant\", value: Operand? = None) -> Tensor",
        .doc = R"(x with elements added around it (or cropped, where a width is negative).

Parameters
----------
pad : pairs (before, behind), the last dimension first.
mode : "constant", "reflect", "replicate" (or "edge"), "circular" (or "wrap").
value : what to fill with, in mode "constant"; None: zero.

>>> sn.pad(sn.arange(3), (1, 2), value=9).tolist()
[9, 0, 1, 2, 9, 9]
>>> sn.pad(sn.arange(3), (1, 2), mode="reflect").tolist()
[1, 0, 1, 2, 1, 0]
)",
        .call = pad_function,
    });
    register_function({
        .signature = "tril(x: Tensor, k|diagonal: int = 0) -> Tensor",
        .doc = R"(x with zeros above the k-th diagonal of the last two dimensions.

>>> sn.tril(sn.ones((2, 2))).tolist()
[[1.0, 0.0], [1.0, 1.0]]
)",
        .call = [](const Args& a) { return triangle("tril", a.tensor(0), a.integer(1), true); },
        .aliases = "tril_",
    });
    register_function({
        .signature = "triu(x: Tensor, k|diagonal: int = 0) -> Tensor",
        .doc = R"(x with zeros below the k-th diagonal of the last two dimensions.

>>> sn.triu(sn.ones((2, 2))).tolist()
[[1.0, 1.0], [0.0, 1.0]]
)",
        .call = [](const Args& a) { return triangle("triu", a.tensor(0), a.integer(1), false); },
        .aliases = "triu_",
    });
    register_function({
        .signature =
            "diagonal(x: Tensor, offset: int = 0, axis1|dim1: int = 0, axis2|dim2: int = 1) -> "
            "Tensor",
        .doc = R"(The diagonals of two dimensions, along a new last dimension.

>>> sn.diagonal(sn.arange(6).reshape((2, 3)), 1).tolist()
[1, 5]
)",
        .call =
            [](const Args& a) {
                return diagonal(a.tensor(0), a.integer(1), a.integer(2), a.integer(3));
            },
    });
    register_function({
        .signature = "diag(x: Tensor, k|diagonal: int = 0) -> Tensor",
        .doc = R"(The k-th diagonal of a matrix, or the matrix with a vector on its k-th diagonal.

>>> sn.diag(sn.arange(2)).tolist()
[[0, 0], [0, 1]]
)",
        .call = [](const Args& a) { return diag(a.tensor(0), a.integer(1)); },
    });
    register_function({
        .signature = "clone(x: Tensor) -> Tensor",
        .doc =
            R"(A tensor of its own with the same elements: writes to one do not show in the other.

>>> sn.clone(sn.arange(2)).tolist()
[0, 1]
)",
        .call = [](const Args& a) { return clone(a.tensor(0)); },
        .aliases = "copy",
    });
    register_function({
        .signature = "contiguous(x: Tensor) -> Tensor",
        .doc = R"(The same elements in row-major order in memory.

>>> sn.contiguous(sn.zeros((2, 3)).transpose(0, 1)).shape
(3, 2)
)",
        .call = [](const Args& a) { return contiguous(a.tensor(0)); },
    });
    register_creation_functions();
}

}  // namespace sn
