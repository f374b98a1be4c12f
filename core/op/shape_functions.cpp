// Public functions of movement that are made of reshape, slice, concat and their like: splitting
// and joining by dimension, grids of indices, diagonals, windows, tensors like others.
#include <algorithm>
#include <numeric>

#include "op/api.h"
#include "op/function.h"
#include "op/rules.h"
#include "record/read.h"

namespace sn {

namespace {

// A vector of int64 from host numbers.
Tensor numbers(const std::vector<int64_t>& values, Device device) {
    const int64_t n = static_cast<int64_t>(values.size()), step = 1;
    return from_memory(values.data(), {&n, 1}, {&step, 1}, DType::kI64, device);
}

[[noreturn]] void fail_rank(const char* op, const Tensor& x, int rank, const char* more) {
    fail(ErrorKind::kShape, op, "x has shape %s; %d dimension%s%s required",
         format_shape(x.shape()).c_str(), rank, rank == 1 ? "" : "s", more);
}
void need_at_least(const char* op, const Tensor& x, int rank) {
    if (x.rank() < rank) fail_rank(op, x, rank, " or more are");
}
void need_exactly(const char* op, const Tensor& x, int rank) {
    if (x.rank() != rank) fail_rank(op, x, rank, rank == 1 ? " is" : " are");
}

Tensor atleast(const Tensor& x, int rank) {
    Tensor out = x.is_scalar() ? full({}, x, x.dtype(), x.device()) : x;
    if (out.rank() == 0) out = reshape(out, Dims(static_cast<size_t>(rank), 1));
    if (out.rank() == 1 && rank >= 2) out = unsqueeze(out, 0);
    if (out.rank() == 2 && rank == 3) out = unsqueeze(out, 2);
    return out;
}
template <int rank>
Results atleast_function(const Args& a) {
    Results out;
    for (const Tensor& x : a.tensors(0)) out.push_back(atleast(x, rank));
    return out;
}

// Parts by NumPy's rule: a count gives parts that differ by at most one, a list the positions of
// the cuts.
Results cut(const char* op, const Tensor& x, DimSpan where, bool count, int64_t axis, bool even) {
    const int at = normalize_axis(op, axis, x.rank());
    const int64_t n = x.size(at);
    Dims bounds{0};
    if (count) {
        const int64_t parts = where.empty() ? 0 : where[0];
        if (parts <= 0 || (even && n % parts != 0)) {
            fail(ErrorKind::kValue, op,
                 "%lld parts are asked of axis %d with size %lld; the number must be 1 or more%s",
                 ll(parts), at, ll(n), even ? " and divide the size" : "");
        }
        for (int64_t i = 1; i <= parts; ++i)
            bounds.push_back(bounds.back() + n / parts + (i <= n % parts ? 1 : 0));
    } else {
        for (int64_t cut : where)
            bounds.push_back(std::clamp<int64_t>(cut < 0 ? cut + n : cut, 0, n));
        bounds.push_back(n);
    }
    Results out;
    for (size_t i = 1; i < bounds.size(); ++i)
        out.push_back(
            narrow(x, at, bounds[i - 1], std::max<int64_t>(bounds[i] - bounds[i - 1], 0)));
    return out;
}

Results split_along(const char* op, const Args& a, int least, int64_t axis) {
    need_at_least(op, a.tensor(0), least);
    return cut(op, a.tensor(0), a.ints(1), a.single(1), axis, true);
}

Tensor column_stack(const Args& a) {
    std::vector<Tensor> in;
    for (const Tensor& x : a.tensors(0))
        in.push_back(x.rank() <= 1 ? reshape(x, Dims{x.numel(), 1}) : x);
    return concat(in, 1);
}

Tensor block_diag(const Args& a) {
    int64_t rows = 0, columns = 0;
    DType dtype = DType::kBool;
    std::vector<Tensor> in;
    for (const Tensor& given : a.tensors(0)) {
        if (given.rank() > 2) {
            fail(ErrorKind::kShape, "block_diag",
                 "an operand has shape %s; at most two dimensions are allowed",
                 format_shape(given.shape()).c_str());
        }
        const Tensor x = atleast(given, 2);
        rows += x.size(0);
        columns += x.size(1);
        dtype = in.empty() ? x.dtype() : promote(dtype, x.dtype());
        in.push_back(x);
    }
    if (in.empty()) return full(Dims{1, 0}, 0, DType::kF32, Device());
    std::vector<Tensor> bands;
    int64_t before = 0;
    for (const Tensor& x : in) {
        const int64_t low[2] = {0, before}, high[2] = {0, columns - before - x.size(1)};
        bands.push_back(pad(cast(x, dtype), low, high, 0));
        before += x.size(1);
    }
    return concat(bands, 0);
}

Tensor cartesian_prod(const Args& a) {
    const std::vector<Tensor>& in = a.tensors(0);
    if (in.empty())
        fail(ErrorKind::kValue, "cartesian_prod", "no tensor is given; one is required");
    Dims shape;
    for (const Tensor& x : in) {
        need_exactly("cartesian_prod", x, 1);
        shape.push_back(x.size(0));
    }
    if (in.size() == 1) return alias(in[0]);
    std::vector<Tensor> columns;
    for (size_t i = 0; i < in.size(); ++i) {
        Dims line(in.size(), 1);
        line[i] = in[i].size(0);
        columns.push_back(reshape(expand(reshape(in[i], line), shape), Dims{numel(shape)}));
    }
    return stack(columns, 1);
}

Tensor combinations(const Tensor& x, int64_t r, bool repeated) {
    need_exactly("combinations", x, 1);
    if (r < 0) fail(ErrorKind::kValue, "combinations", "r is %lld; it must be 0 or more", ll(r));
    if (r == 0) return full(Dims{0}, 0, x.dtype(), x.device());
    const int64_t n = x.size(0);
    std::vector<int64_t> all, at(static_cast<size_t>(r));
    for (int64_t i = 0; i < r; ++i) at[static_cast<size_t>(i)] = repeated ? 0 : i;
    const auto top = [&](int64_t i) { return repeated ? n - 1 : n - r + i; };
    while (n > 0 && (repeated || r <= n)) {
        all.insert(all.end(), at.begin(), at.end());
        int64_t i = r - 1;
        while (i >= 0 && at[static_cast<size_t>(i)] == top(i)) --i;
        if (i < 0) break;
        const int64_t next = ++at[static_cast<size_t>(i)];
        for (int64_t j = i + 1; j < r; ++j)
            at[static_cast<size_t>(j)] = repeated ? next : next + j - i;
    }
    const int64_t rows = static_cast<int64_t>(all.size()) / r;
    return take(x, reshape(numbers(all, x.device()), Dims{rows, r}), 0);
}

Tensor triangle_indices(const char* op, const Args& a, bool lower) {
    const int64_t rows = a.integer(0), columns = a.integer(1), offset = a.integer(2);
    if (rows < 0 || columns < 0) {
        fail(ErrorKind::kValue, op, "the sizes are %lld and %lld; they must be 0 or more", ll(rows),
             ll(columns));
    }
    std::vector<int64_t> r, c;
    for (int64_t i = 0; i < rows; ++i) {
        const int64_t from = lower ? 0 : std::clamp<int64_t>(i + offset, 0, columns);
        const int64_t to = lower ? std::clamp<int64_t>(i + offset + 1, 0, columns) : columns;
        for (int64_t j = from; j < to; ++j) {
            r.push_back(i);
            c.push_back(j);
        }
    }
    const int64_t n = static_cast<int64_t>(r.size());
    r.insert(r.end(), c.begin(), c.end());
    const Tensor out = reshape(numbers(r, a.has(4) ? a.device(4) : Device()), Dims{2, n});
    return a.has(3) ? cast(out, a.dtype(3)) : out;
}

Tensor rot90(const Tensor& x, int64_t k, DimSpan axes) {
    if (axes.size() != 2) {
        fail(ErrorKind::kValue, "rot90", "%zu axes are given; two are required", axes.size());
    }
    need_at_least("rot90", x, 2);
    const int a = normalize_axis("rot90", axes[0], x.rank());
    const int b = normalize_axis("rot90", axes[1], x.rank());
    if (a == b) fail(ErrorKind::kValue, "rot90", "both axes are %d; they must differ", a);
    const int64_t first[1] = {a}, second[1] = {b}, both[2] = {a, b};
    switch (((k % 4) + 4) % 4) {
        case 1: return transpose(flip(x, second), a, b);
        case 2: return flip(x, both);
        case 3: return transpose(flip(x, first), a, b);
        default: return clone(x);
    }
}

Tensor vander(const Tensor& x, int64_t n, bool increasing) {
    need_exactly("vander", x, 1);
    if (n < 0) fail(ErrorKind::kValue, "vander", "N is %lld; it must be 0 or more", ll(n));
    if (n == 0) return full(Dims{x.size(0), 0}, 0, x.dtype(), x.device());
    const Tensor base = is_bool(x.dtype()) ? cast(x, DType::kI64) : x;
    Tensor out = unsqueeze(ones_like(base), -1);
    if (n > 1) {
        const Tensor rest = cumprod(expand(unsqueeze(base, -1), Dims{x.size(0), n - 1}), -1);
        const Tensor both[2] = {out, rest};
        out = concat(both, -1);
    }
    const int64_t last[1] = {-1};
    return increasing ? out : flip(out, last);
}

// x on the diagonal of the last two of rank + 1 dimensions, moved to where it is wanted.
Tensor diag_embed(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2) {
    const int rank = x.rank() + 1;
    need_at_least("diag_embed", x, 1);
    const int a = normalize_axis("diag_embed", dim1, rank);
    const int b = normalize_axis("diag_embed", dim2, rank);
    if (a == b)
        fail(ErrorKind::kValue, "diag_embed", "both dimensions are %d; they must differ", a);
    const int64_t n = x.size(-1), side = n + std::abs(offset);
    // Rows are the elements; a column of zeros that wraps around puts them on the diagonal.
    Dims low(static_cast<size_t>(x.rank()), 0), high(static_cast<size_t>(x.rank()), 0);
    low.back() = offset < 0 ? -offset : 0;
    high.back() = offset > 0 ? offset : 0;
    const Tensor line = pad(x, low, high, 0);  // element i stands at row i of the matrix
    const Tensor on = equal(unsqueeze(arange(offset, 1, side, DType::kI64, x.device()), -1),
                            arange(0, 1, side, DType::kI64, x.device()));
    const Tensor m = where(on, unsqueeze(line, -1), scalar_operand("diag_embed", 0, x.dtype()));
    const int64_t from[2] = {-2, -1}, to[2] = {a, b};
    return moveaxis(m, from, to);
}

// Windows of `size` elements along an axis, every `step`-th, in a new last dimension.
Tensor unfold(const Tensor& x, int64_t axis, int64_t size, int64_t step) {
    if (x.rank() == 0) {
        normalize_axis("unfold", axis, 1);
        if (size < 0 || size > 1 || step <= 0) {
            fail(ErrorKind::kValue, "unfold",
                 "size is %lld and step %lld for one element; 0 or 1, "
                 "and 1 or more are required",
                 ll(size), ll(step));
        }
        return narrow(reshape(x, Dims{1}), 0, 0, size);
    }
    const int at = normalize_axis("unfold", axis, x.rank());
    const int64_t n = x.size(at);
    if (size < 0 || size > n || step <= 0) {
        fail(ErrorKind::kValue, "unfold",
             "size is %lld and step %lld for axis %d of shape %s; the size must be 0 to %lld and "
             "the step 1 or more",
             ll(size), ll(step), at, format_shape(x.shape()).c_str(), ll(n));
    }
    const int64_t count = (n - size) / step + 1;
    const Tensor first = reshape(arange(0, step, count, DType::kI64, x.device()), Dims{count, 1});
    const Tensor windows = take(x, first + arange(0, 1, size, DType::kI64, x.device()), at);
    const int64_t from[1] = {at + 1}, to[1] = {-1};
    return moveaxis(windows, from, to);
}

Tensor fill_diagonal(const Args& a) {
    const Tensor &x = a.tensor(0), &value = a.tensor(1);
    const Dims& shape = x.shape();
    const bool even =
        std::all_of(shape.begin(), shape.end(), [&](int64_t n) { return n == shape[0]; });
    if (x.rank() < 2 || (x.rank() > 2 && !even) || value.rank() != 0) {
        fail(ErrorKind::kShape, "fill_diagonal_",
             "the tensor has shape %s, the value %s; a matrix, or more dimensions that are all "
             "equal, and a single number are required",
             format_shape(shape).c_str(), format_shape(value.shape()).c_str());
    }
    int64_t step = 0, place = 1;  // between two elements of the diagonal, in the order of rows
    for (size_t i = shape.size(); i-- > 0; place *= shape[i]) step += place;
    const int64_t end =
        a.flag(2) && x.rank() == 2 ? x.numel() : std::min(shape[0], shape[1]) * step;
    const Tensor at = arange(int64_t{0}, int64_t{1}, x.numel(), DType::kI64, x.device());
    const Tensor diagonal = logical_and(equal(remainder(at, step), int64_t{0}), less(at, end));
    return where(reshape(diagonal, shape), cast(value, x.dtype()), x);
}

Tensor new_filled(const Args& a, const Tensor& value, int dtype, int device) {
    const Tensor& x = a.tensor(0);
    return full(a.ints(1), value, a.has(dtype) ? a.dtype(dtype) : x.dtype(),
                a.has(device) ? a.device(device) : x.device());
}

Tensor logspace(const Args& a) {
    const int64_t n = a.integer(2);
    if (n < 0) fail(ErrorKind::kValue, "logspace", "steps is %lld; it must be 0 or more", ll(n));
    const DType dtype = a.has(4) ? a.dtype(4) : DType::kF32;
    const Tensor line =
        linspace(a.tensor(0), a.tensor(1), n, true, DType::kF64, a.has(5) ? a.device(5) : Device());
    return cast(pow(full({}, a.real(3), DType::kF64, Device()), line), dtype);
}

}  // namespace

void register_shape_functions() {
    register_function({
        .signature = "atleast_1d(*tensors: Tensors) -> Tensor | tuple[Tensor, ...]",
        .doc = R"(Each tensor with one dimension or more; a tuple for several.

>>> sn.atleast_1d(sn.tensor(3)).shape
(1,)
)",
        .call_many = atleast_function<1>,
        .method = false,
    });
    register_function({
        .signature = "atleast_2d(*tensors: Tensors) -> Tensor | tuple[Tensor, ...]",
        .doc = R"(Each tensor with two dimensions or more; a vector becomes a row.

>>> sn.atleast_2d(sn.arange(3)).shape
(1, 3)
)",
        .call_many = atleast_function<2>,
        .method = false,
    });
    register_function({
        .signature = "atleast_3d(*tensors: Tensors) -> Tensor | tuple[Tensor, ...]",
        .doc = R"(Each tensor with three dimensions or more; a matrix gets a last dimension of 1.

>>> sn.atleast_3d(sn.ones((2, 3))).shape
(2, 3, 1)
)",
        .call_many = atleast_function<3>,
        .method = false,
    });
    register_function({
        .signature =
            "tensor_split(x: Tensor, indices_or_sections|sections: Ints, axis: int = 0) -> "
            "tuple[Tensor, ...]",
        .doc = R"(Views of consecutive parts by NumPy's rule.

indices_or_sections : a number of parts, whose sizes differ by at most one; or the positions of the
    cuts.

>>> [t.tolist() for t in sn.tensor_split(sn.arange(5), 2)]
[[0, 1, 2], [3, 4]]
>>> [t.tolist() for t in sn.tensor_split(sn.arange(5), (1, 3))]
[[0], [1, 2], [3, 4]]
)",
        .call_many =
            [](const Args& a) {
                return cut("tensor_split", a.tensor(0), a.ints(1), a.single(1), a.integer(2),
                           false);
            },
    });
    register_function({
        .signature = "hsplit(x: Tensor, indices_or_sections: Ints) -> tuple[Tensor, ...]",
        .doc = R"(Views of parts along the second dimension, of a vector along the first.

>>> [t.shape for t in sn.hsplit(sn.ones((2, 4)), 2)]
[(2, 2), (2, 2)]
)",
        .call_many =
            [](const Args& a) {
                return split_along("hsplit", a, 1, a.tensor(0).rank() == 1 ? 0 : 1);
            },
    });
    register_function({
        .signature = "vsplit(x: Tensor, indices_or_sections: Ints) -> tuple[Tensor, ...]",
        .doc = R"(Views of parts along the first dimension.

>>> [t.shape for t in sn.vsplit(sn.ones((4, 2)), 2)]
[(2, 2), (2, 2)]
)",
        .call_many = [](const Args& a) { return split_along("vsplit", a, 2, 0); },
    });
    register_function({
        .signature = "dsplit(x: Tensor, indices_or_sections: Ints) -> tuple[Tensor, ...]",
        .doc = R"(Views of parts along the third dimension.

>>> [t.shape for t in sn.dsplit(sn.ones((1, 2, 4)), (1, 3))]
[(1, 2, 1), (1, 2, 2), (1, 2, 1)]
)",
        .call_many = [](const Args& a) { return split_along("dsplit", a, 3, 2); },
    });
    register_function({
        .signature = "split_with_sizes(x: Tensor, split_sizes: Ints, axis: int = 0) -> "
                     "tuple[Tensor, ...]",
        .doc = R"(Views of consecutive parts of the given sizes, which must add up.

>>> [t.tolist() for t in sn.split_with_sizes(sn.arange(3), (1, 2))]
[[0], [1, 2]]
)",
        .call_many = [](const Args& a) { return split(a.tensor(0), a.ints(1), a.integer(2)); },
    });
    register_function({
        .signature = "column_stack(tensors: Tensors) -> Tensor",
        .doc = R"(Tensors joined along the second dimension; a vector counts as a column.

>>> sn.column_stack([sn.arange(2), sn.arange(2)]).tolist()
[[0, 0], [1, 1]]
)",
        .call = column_stack,
        .method = false,
    });
    register_function({
        .signature = "block_diag(*tensors: Tensors) -> Tensor",
        .doc = R"(A matrix with the given matrices (vectors as rows) along its diagonal.

>>> sn.block_diag(sn.ones((1, 2)), sn.tensor([[3.0]])).tolist()
[[1.0, 1.0, 0.0], [0.0, 0.0, 3.0]]
)",
        .call = block_diag,
        .method = false,
    });
    register_function({
        .signature = "cartesian_prod(*tensors: Tensors) -> Tensor",
        .doc = R"(Every choice of one element from each vector, as the rows of a matrix.

>>> sn.cartesian_prod(sn.arange(2), sn.tensor([5, 6])).tolist()
[[0, 5], [0, 6], [1, 5], [1, 6]]
)",
        .call = cartesian_prod,
        .method = false,
    });
    register_function({
        .signature =
            "combinations(x: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor",
        .doc = R"(Every choice of r elements of a vector, in order, as the rows of a matrix.

>>> sn.combinations(sn.arange(3)).tolist()
[[0, 1], [0, 2], [1, 2]]
)",
        .call = [](const Args& a) { return combinations(a.tensor(0), a.integer(1), a.flag(2)); },
        .method = false,
    });
    register_function({
        .signature = "tril_indices(row: int, col: int, offset: int = 0, dtype: DType? = None, "
                     "device: Device? = None) -> Tensor",
        .doc = R"(Rows and columns of the elements on and below a diagonal, as a (2, n) tensor.

>>> sn.tril_indices(2, 2).tolist()
[[0, 1, 1], [0, 0, 1]]
)",
        .call = [](const Args& a) { return triangle_indices("tril_indices", a, true); },
        .method = false,
    });
    register_function({
        .signature = "triu_indices(row: int, col: int, offset: int = 0, dtype: DType? = None, "
                     "device: Device? = None) -> Tensor",
        .doc = R"(Rows and columns of the elements on and above a diagonal, as a (2, n) tensor.

>>> sn.triu_indices(2, 2).tolist()
[[0, 0, 1], [0, 1, 1]]
)",
        .call = [](const Args& a) { return triangle_indices("triu_indices", a, false); },
        .method = false,
    });
    register_function({
        .signature = "rot90(x: Tensor, k: int = 1, axes|dims: Ints = (0, 1)) -> Tensor",
        .doc = R"(x turned k times by a quarter, from the first axis towards the second.

>>> sn.rot90(sn.tensor([[1, 2], [3, 4]])).tolist()
[[2, 4], [1, 3]]
)",
        .call = [](const Args& a) { return rot90(a.tensor(0), a.integer(1), a.ints(2)); },
    });
    register_function({
        .signature = "fliplr(x: Tensor) -> Tensor",
        .doc = R"(A view with the order of the second dimension reversed.

>>> sn.fliplr(sn.tensor([[1, 2], [3, 4]])).tolist()
[[2, 1], [4, 3]]
)",
        .call =
            [](const Args& a) {
                need_at_least("fliplr", a.tensor(0), 2);
                const int64_t axis[1] = {1};
                return flip(a.tensor(0), axis);
            },
    });
    register_function({
        .signature = "flipud(x: Tensor) -> Tensor",
        .doc = R"(A view with the order of the first dimension reversed.

>>> sn.flipud(sn.tensor([[1, 2], [3, 4]])).tolist()
[[3, 4], [1, 2]]
)",
        .call =
            [](const Args& a) {
                need_at_least("flipud", a.tensor(0), 1);
                const int64_t axis[1] = {0};
                return flip(a.tensor(0), axis);
            },
    });
    register_function({
        .signature = "vander(x: Tensor, N: int? = None, increasing: bool = False) -> Tensor",
        .doc = R"(Vandermonde matrix: the powers of each element of a vector, as rows.

N : the number of columns; as many as elements by default.
increasing : whether powers grow from left to right.

>>> sn.vander(sn.tensor([1, 2, 3]), increasing=True).tolist()
[[1, 1, 1], [1, 2, 4], [1, 3, 9]]
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                return vander(x, a.has(1) ? a.integer(1) : x.numel(), a.flag(2));
            },
        .method = false,
    });
    register_function({
        .signature = "diag_embed(x: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> "
                     "Tensor",
        .doc = R"(Matrices with the rows of x on a diagonal and zeros elsewhere.

>>> sn.diag_embed(sn.tensor([[1, 2]])).tolist()
[[[1, 0], [0, 2]]]
)",
        .call =
            [](const Args& a) {
                return diag_embed(a.tensor(0), a.integer(1), a.integer(2), a.integer(3));
            },
    });
    register_function({
        .signature = "diagflat(x: Tensor, offset: int = 0) -> Tensor",
        .doc = R"(The matrix with the flattened x on a diagonal.

>>> sn.diagflat(sn.tensor([[1], [2]])).tolist()
[[1, 0], [0, 2]]
)",
        .call =
            [](const Args& a) {
                return diag(reshape(a.tensor(0), Dims{a.tensor(0).numel()}), a.integer(1));
            },
    });
    register_function({
        .signature = "unfold(x: Tensor, dimension: int, size: int, step: int) -> Tensor",
        .doc = R"(Windows of `size` elements along a dimension, every `step`-th, in a new last one.

A copy: values never change, so nothing can be seen through it.

>>> sn.unfold(sn.arange(5), 0, 3, 2).tolist()
[[0, 1, 2], [2, 3, 4]]
)",
        .call =
            [](const Args& a) {
                return unfold(a.tensor(0), a.integer(1), a.integer(2), a.integer(3));
            },
    });
    register_function({
        .signature = "select(x: Tensor, axis: int, index: int) -> Tensor",
        .doc = R"(A view of x at one index along an axis, without that axis.

>>> sn.select(sn.arange(4).reshape((2, 2)), 1, 0).tolist()
[0, 2]
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                const int at = normalize_axis("select", a.integer(1), x.rank());
                const int64_t n = x.size(at), given = a.integer(2);
                if (given < -n || given >= n) {
                    fail(ErrorKind::kIndex, "select",
                         "index %lld is out of range for axis %d with size %lld; it must be in "
                         "[%lld, %lld]",
                         ll(given), at, ll(n), ll(-n), ll(n - 1));
                }
                const int64_t axes[1] = {at};
                return squeeze(narrow(x, at, given < 0 ? given + n : given, 1), axes);
            },
    });
    register_function({
        .signature = "t(x: Tensor) -> Tensor",
        .doc = R"(The transpose of a matrix; vectors and numbers as they are. A view.

>>> sn.t(sn.ones((2, 3))).shape
(3, 2)
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                if (x.rank() > 2) {
                    fail(ErrorKind::kShape, "t",
                         "x has shape %s; at most two dimensions are allowed; use mT or permute",
                         format_shape(x.shape()).c_str());
                }
                return x.rank() < 2 ? alias(x) : transpose(x, 0, 1);
            },
        .aliases = "t_",
    });
    register_function({
        .signature = "reshape_as(x: Tensor, other: Tensor) -> Tensor",
        .doc = R"(x in the shape of other.

>>> sn.reshape_as(sn.arange(4), sn.zeros((2, 2))).shape
(2, 2)
)",
        .call = [](const Args& a) { return reshape(a.tensor(0), a.tensor(1).shape()); },
        .aliases = "view_as",
    });
    register_function({
        .signature = "new_zeros(x: Tensor, size|shape: Ints, dtype: DType? = None, "
                     "device: Device? = None) -> Tensor",
        .doc = R"(Zeros of a given shape with the dtype and device of x.

>>> sn.new_zeros(sn.arange(2), (2,)).tolist()
[0, 0]
)",
        .call = [](const Args& a) { return new_filled(a, 0, 2, 3); },
        .aliases = "new_empty",
    });
    register_function({
        .signature = "new_ones(x: Tensor, size|shape: Ints, dtype: DType? = None, "
                     "device: Device? = None) -> Tensor",
        .doc = R"(Ones of a given shape with the dtype and device of x.

>>> sn.new_ones(sn.arange(2), (2,)).tolist()
[1, 1]
)",
        .call = [](const Args& a) { return new_filled(a, 1, 2, 3); },
    });
    register_function({
        .signature = "new_full(x: Tensor, size|shape: Ints, fill_value: Operand, "
                     "dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(A tensor of one number, with a given shape and the dtype and device of x.

>>> sn.new_full(sn.arange(2), (2,), 7).tolist()
[7, 7]
)",
        .call = [](const Args& a) { return new_filled(a, a.tensor(2), 3, 4); },
    });
    register_function({
        .signature = "fill(x: Tensor, value: Operand) -> Tensor",
        .doc = R"(A tensor like x with every element replaced by one number.

>>> sn.fill(sn.arange(2), 7).tolist()
[7, 7]
)",
        .call =
            [](const Args& a) {
                const Tensor &x = a.tensor(0), &v = a.tensor(1);
                if (v.rank() != 0) {
                    fail(ErrorKind::kShape, "fill",
                         "value has shape %s; a single number is required",
                         format_shape(v.shape()).c_str());
                }
                if (v.is_scalar()) return full(x.shape(), v, x.dtype(), x.device());
                return expand(cast(v, x.dtype()), x.shape());
            },
        .aliases = "fill_",
    });
    register_function({
        .signature = "zero_(x: Tensor) -> Tensor",
        .doc = R"(Fills the tensor with zeros; returns it.

>>> x = sn.arange(2)
>>> x.zero_().tolist(), x.tolist()
([0, 0], [0, 0])
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                return full(x.shape(), int64_t{0}, x.dtype(), x.device());
            },
    });
    register_function({
        .signature = "fill_diagonal_(x: Tensor, fill_value: Operand, wrap: bool = False) -> Tensor",
        .doc = R"(Writes a number to the main diagonal of the tensor; returns it.

x : of two dimensions, or of more that are all equal.
wrap : whether the diagonal of a tall matrix begins again below its first end, after an empty row.

>>> sn.zeros((2, 3)).fill_diagonal_(5).tolist()
[[5.0, 0.0, 0.0], [0.0, 5.0, 0.0]]
)",
        .call = fill_diagonal,
    });
    register_function({
        .signature = "Tensor.sum_to_size(x: Tensor, size|shape: Ints) -> Tensor",
        .doc = R"(Sums over the dimensions along which a tensor of the given shape broadcasts to x.

>>> sn.ones((2, 3)).sum_to_size(1, 3).tolist()
[[2.0, 2.0, 2.0]]
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                const Dims shape(a.ints(1));
                const bool fits = shape.size() <= x.shape().size() &&
                                  broadcast_shapes("sum_to_size", shape, x.shape()) == x.shape();
                if (!fits) {
                    fail(ErrorKind::kShape, "sum_to_size",
                         "the size is %s and the tensor has shape %s; the size must broadcast to "
                         "that shape",
                         format_shape(shape).c_str(), format_shape(x.shape()).c_str());
                }
                return sum_to(x, shape);
            },
    });
    register_function({
        .signature = "is_nonzero(x: Tensor) -> bool",
        .doc = R"(Whether the only element is not zero; waits for it.

>>> sn.is_nonzero(sn.tensor([0.5]))
True
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                if (x.numel() != 1) {
                    fail(ErrorKind::kShape, "is_nonzero",
                         "the tensor has shape %s; a single element is required; use x.any() or "
                         "x.all()",
                         format_shape(x.shape()).c_str());
                }
                return not_equal(reshape(x.detach(), Dims{}), int64_t{0});
            },
    });
    register_function({
        .signature = "take_along_dim(x: Tensor, indices: Tensor, axis: int? = None) -> Tensor",
        .doc = R"(take_along_axis along a dimension, or along the flattened tensors.

>>> x = sn.tensor([[3, 1], [2, 4]])
>>> sn.take_along_dim(x, x.argsort(dim=1), dim=1).tolist()
[[1, 3], [2, 4]]
>>> sn.take_along_dim(x, sn.tensor([0, 3])).tolist()
[3, 4]
)",
        .call =
            [](const Args& a) {
                const Tensor &x = a.tensor(0), &index = a.tensor(1);
                if (a.has(2)) return take_along_axis(x, index, a.integer(2));
                return take_along_axis(reshape(x, Dims{-1}), reshape(index, Dims{-1}), 0);
            },
    });
    register_function({
        .signature = "scalar_tensor(value: Operand, dtype: DType? = None, device: Device? = None) "
                     "-> Tensor",
        .doc = R"(A tensor without dimensions, float32 by default.

>>> sn.scalar_tensor(3)
tensor(3.)
)",
        .call =
            [](const Args& a) {
                return full({}, a.tensor(0), a.has(1) ? a.dtype(1) : DType::kF32,
                            a.has(2) ? a.device(2) : Device());
            },
        .method = false,
    });
    register_function({
        .signature = "logspace(start: Operand, end|stop: Operand, steps|num: int, "
                     "base: float = 10.0, dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(base to the power of evenly spaced exponents, both ends included.

>>> sn.logspace(0, 2, 3).tolist()
[1.0, 10.0, 100.0]
)",
        .call = logspace,
        .method = false,
    });
}

}  // namespace sn
