// Indexing by tensors: gathers and scatters. Indices are checked, negative ones count from the end.
// Sums at a destination run in source order, and of several writers the last one wins, so results
// do not depend on threads. x[...] itself is in index.cpp.
#include "op/indexing.h"

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/op.h"
#include "op/rules.h"
#include "record/tape.h"

namespace sn {

void register_indexing_functions();

namespace {

// int32 and int64 are read as they are; other integers are converted.
Tensor index_tensor(const char* op, const Tensor& t) {
    if (t.is_scalar()) return full({}, t, DType::kI64, t.device());
    if (!is_int(t.dtype())) {
        fail(ErrorKind::kDType, op,
             "the indices have dtype %s; integers are required; convert with "
             ".astype(sn.int64)",
             dtype_name(t.dtype()));
    }
    return t.dtype() == DType::kI32 || t.dtype() == DType::kI64 ? t : cast(t, DType::kI64);
}

Dims take_shape(DimSpan shape, DimSpan indices, int64_t axis) {
    Dims out;
    for (int64_t i = 0; i < axis; ++i) out.push_back(shape[i]);
    for (int64_t s : indices) out.push_back(s);
    for (size_t i = axis + 1; i < shape.size(); ++i) out.push_back(shape[i]);
    return out;
}

void check_values_shape(InferCall& c, const Dims& values, const Dims& wanted) {
    if (values == wanted) return;
    fail(ErrorKind::kShape, c.op,
         "x has shape %s and the values have shape %s; with these indices the values must have "
         "shape %s",
         format_shape(c.in[0]->shape).c_str(), format_shape(values).c_str(),
         format_shape(wanted).c_str());
}

// gather and scatter: as many dimensions as x, and no larger than x but along `axis`.
void check_along_axis(InferCall& c, int64_t axis) {
    const Dims &x = c.in[0]->shape, &indices = c.in[1]->shape;
    // Nothing is read or written without indices, whatever the other sizes.
    if (numel(indices) == 0) return;
    bool fits = x.size() == indices.size();
    for (size_t d = 0; fits && d < x.size(); ++d)
        fits = static_cast<int64_t>(d) == axis || indices[d] <= x[d];
    if (!fits) {
        fail(
            ErrorKind::kShape, c.op,
            "x has shape %s and the indices have shape %s; they need as many dimensions, and sizes "
            "that are no larger but along axis %lld",
            format_shape(x).c_str(), format_shape(indices).c_str(), ll(axis));
    }
}

Dims nd_shape(InferCall& c, int first_index) {
    const Dims& x = c.in[0]->shape;
    const size_t count = c.in.size() - first_index;
    if (count == 0 || count > x.size()) {
        fail(ErrorKind::kIndex, c.op,
             "%zu index tensors are given for shape %s; between 1 and %zu "
             "are required",
             count, format_shape(x).c_str(), x.size());
    }
    Dims out(c.in[first_index]->shape);
    for (size_t d = count; d < x.size(); ++d) out.push_back(x[d]);
    return out;
}

std::vector<Tensor> broadcast_indices(const char* op, std::span<const Tensor> indices) {
    Dims shape;
    for (const Tensor& t : indices) shape = broadcast_shapes(op, shape, t.shape());
    std::vector<Tensor> out;
    // One dtype for all: kernels read them by one type.
    for (const Tensor& t : indices)
        out.push_back(expand(cast(index_tensor(op, t), DType::kI64), shape));
    return out;
}

Tensor values_for(const char* op, const Tensor& x, const Tensor& values, DimSpan shape) {
    const Tensor v = values.weak() && values.rank() == 0 ? full({}, values, x.dtype(), x.device())
                                                         : cast(values, x.dtype());
    if (!broadcastable_to(v.shape(), shape)) {
        fail(ErrorKind::kShape, op,
             "the values have shape %s; they must have shape %s or broadcast "
             "to it",
             format_shape(v.shape()).c_str(), format_shape(shape).c_str());
    }
    return expand(v, shape);
}

// ---- calls from files

void check_take(const CheckCall& c) {
    check_axis<0, 2>(c);
    c.index(1);
}
void check_embedding(const CheckCall& c) {
    c.tensors(0, 2);
    c.index(1);
}
void check_index_add(const CheckCall& c) {
    check_axis<0, 3>(c);
    c.index(1);
    c.require(c.dtype(2) == c.dtype(0), "values have another dtype");
}
// x, indices and perhaps values of one rank; indices leave no dimension of x but along the axis.
template <size_t count>
void check_along(const CheckCall& c) {
    check_axis<0, static_cast<int>(count)>(c);
    c.index(1);
    c.require(c.rank(0) == c.rank(1), "operands differ in rank");
    if (count == 3) c.require(c.dtype(2) == c.dtype(0), "values have another dtype");
}
void check_scatter_reduce(const CheckCall& c) {
    check_along<3>(c);
    c.require(c.attrs.i(1) >= 0 && c.attrs.i(1) <= static_cast<int64_t>(ScatterKind::kMin),
              "the kind of reduction is unknown");
}
template <size_t first>
void check_nd(const CheckCall& c) {
    c.operands(first + 1, first + static_cast<size_t>(c.rank(0)));
    c.tensors(0, c.in.size());
    for (size_t i = first; i < c.in.size(); ++i)
        c.require(c.dtype(i) == DType::kI64 && c.shape(i) == c.shape(first),
                  "indices are not int64 of one shape");
    if (first == 2) c.require(c.dtype(1) == c.dtype(0), "values have another dtype");
}
void check_one_hot(const CheckCall& c) {
    c.tensors(0, 1);
    c.index(0);
    c.require(c.attrs.i(0) >= 0 && !is_complex(c.attrs.dtype(1)), "attributes are out of range");
}

// ---- batching rules. Indices of one example are checked against its own sizes, so that a bad one
// is an error and not the next example's element: where both sides are batched, the example's
// number is one more index.

// Dimensions [from, from + count) moved to `to`.
Tensor move_dims(const Tensor& x, int64_t from, int64_t count, int64_t to) {
    Dims source, target;
    for (int64_t i = 0; i < count; ++i) {
        source.push_back(from + i);
        target.push_back(to + i);
    }
    return moveaxis(x, source, target);
}

bool batch_take(BatchCall& c) {
    const int64_t axis = c.attrs.i(0);
    if (!c.batched[1]) return c.call(c.in, EditedAttrs(c).word(0, axis + 1).get());
    const int64_t rank = c.rank(1);
    if (!c.batched[0]) {
        Tensor out;
        record(c.def.id, c.in, same_attrs(c), {&out, 1});
        c.out[0] = move_dims(out, axis, 1, 0);
        return true;
    }
    const Tensor x = move_dims(c.in[0], axis + 1, 1, 1);
    const Tensor indices[] = {c.numbers(static_cast<int>(rank)), c.in[1]};
    c.out[0] = move_dims(gather_nd(x, indices), 1, rank, axis + 1);
    return true;
}

// As take along axis 0, but for the row without a gradient.
bool batch_embedding(BatchCall& c) {
    if (!c.batched[0]) return c.call(c.in, same_attrs(c));
    const Tensor i = c.spread(1);
    const Tensor indices[] = {c.numbers(c.rank(1)), i};
    const Tensor found = gather_nd(c.in[0], indices);
    const int64_t row = c.attrs.i(0);
    c.out[0] = row < 0 || !found.requires_grad()
                   ? found
                   : where(unsqueeze(equal(i, Tensor(row)), -1), found.detach(), found);
    return true;
}

bool batch_index_add(BatchCall& c) {
    const int64_t axis = c.attrs.i(0);
    if (!c.batched[1])
        return c.call({c.spread(0), c.in[1], c.spread(2)}, EditedAttrs(c).word(0, axis + 1).get());
    const int64_t rank = c.rank(1);
    const Tensor x = move_dims(c.spread(0), axis + 1, 1, 1);
    const Tensor values = move_dims(c.spread(2), axis + 1, rank, 1);
    const Tensor indices[] = {c.numbers(static_cast<int>(rank)), c.in[1]};
    c.out[0] = move_dims(scatter_nd(x, indices, values, true), 1, 1, axis + 1);
    return true;
}

// gather_nd, and scatter_nd, whose operand 1 is the values.
template <size_t first>
bool batch_nd(BatchCall& c) {
    std::vector<Tensor> indices;
    for (size_t i = first; i < c.in.size(); ++i) indices.push_back(c.in[i]);
    if (first == 1 && !c.batched[0]) {
        for (size_t i = first; i < c.in.size(); ++i) indices[i - first] = c.spread(i);
        c.out[0] = gather_nd(c.in[0], indices);
        return true;
    }
    indices.insert(indices.begin(), c.numbers(c.rank(first)));
    const Tensor x = c.spread(0);
    c.out[0] =
        first == 1 ? gather_nd(x, indices) : scatter_nd(x, indices, c.spread(1), c.attrs.b(0));
    return true;
}

// Of several values written to one place only the last gets a gradient: where writing and reading
// back the numbers of the writers gives a writer its own number, it won.
Tensor writer_numbers(const Tensor& values) {
    return reshape(arange(0, 1, values.numel(), DType::kI64, values.device()), values.shape());
}

Tensor zeros_of(const Meta& m) { return full(m.shape, 0, m.dtype, m.device); }
// The same as one element, repeated by strides of 0: for index_add, which takes them as they are.
Tensor one_zero_of(const Meta& m) { return expand(full({}, 0, m.dtype, m.device), m.shape); }
Tensor unwritten(const Tensor& x) { return full(x.shape(), -1, DType::kI64, x.device()); }

}  // namespace

Tensor take(const Tensor& x, const Tensor& indices, int64_t axis) {
    static const OpId id = find_op("take");
    return record(id, {x, index_tensor("take", indices)},
                  Attrs().i(normalize_axis("take", axis, x.rank())));
}

Tensor take_along_axis(const Tensor& x, const Tensor& indices, int64_t axis) {
    static const OpId id = find_op("take_along_axis");
    return record(id, {x, index_tensor("take_along_axis", indices)},
                  Attrs().i(normalize_axis("take_along_axis", axis, x.rank())));
}

Tensor index_add(const Tensor& x, const Tensor& indices, const Tensor& values, int64_t axis) {
    static const OpId id = find_op("index_add");
    const int at = normalize_axis("index_add", axis, x.rank());
    const Tensor i = index_tensor("index_add", indices);
    return record(id,
                  {x, i, values_for("index_add", x, values, take_shape(x.shape(), i.shape(), at))},
                  Attrs().i(at));
}

namespace {

// Indices and values of a scatter. PyTorch reads a corner of values that are larger.
struct ScatterOperands {
    Tensor indices, values;
};
ScatterOperands scatter_operands(const char* op, const Tensor& x, const Tensor& indices,
                                 const Tensor& values) {
    const Tensor i = index_tensor(op, indices);
    Tensor v = values;
    if (v.rank() == i.rank() && !(v.shape() == i.shape())) {
        bool larger = true;
        for (int d = 0; d < v.rank(); ++d) larger = larger && v.size(d) >= i.size(d);
        if (larger) {
            v = slice(v, Dims(i.shape().size(), 0), i.shape(), Dims(i.shape().size(), 1));
        }
    }
    return {i, values_for(op, x, v, i.shape())};
}

Tensor record_scatter(const char* op, const Tensor& x, const Tensor& indices, const Tensor& values,
                      int64_t axis, bool accumulate) {
    static const OpId id = find_op("scatter");
    const ScatterOperands s = scatter_operands(op, x, indices, values);
    return record(id, {x, s.indices, s.values},
                  Attrs().i(normalize_axis(op, axis, x.rank())).b(accumulate));
}

// The product of values that meet gives each the product of the others. Where just one of them is
// zero, that product is taken without it; with more zeros every gradient is zero.
void grad_scatter_prod(GradCall& c) {
    const Tensor x = c.in(0), i = c.in(1), v = c.in(2), g = c.grad();
    const int64_t axis = c.attrs.i(0);
    const auto product = [&](const Tensor& a, const Tensor& b) {
        return scatter_reduce(a, i, b, axis, ScatterKind::kProd);
    };
    if (c.needs(0)) {
        const Tensor safe = where(equal(x, 0), 1, x);
        c.set(0, g * product(safe, v) / safe);
    }
    if (!c.needs(2)) return;
    const Tensor zero = equal(v, 0);
    const Tensor zeros =
        take_along_axis(scatter_add(zeros_like(x), i, cast(zero, v.dtype()), axis), i, axis);
    const Tensor lone = logical_and(zero, equal(zeros, 1));
    const Tensor rest = product(x, where(lone, 1, v));
    c.set(2, where(lone, take_along_axis(g * rest, i, axis),
                   take_along_axis(g * c.out(), i, axis) / where(zero, 1, v)));
}

// Equal extremes share the gradient.
void grad_scatter_extreme(GradCall& c) {
    const Tensor x = c.in(0), i = c.in(1), v = c.in(2), out = c.out();
    const int64_t axis = c.attrs.i(0);
    const Tensor x_is = cast(equal(x, out), out.dtype());
    const Tensor v_is = cast(equal(v, take_along_axis(out, i, axis)), out.dtype());
    const Tensor share = c.grad() / scatter_add(x_is, i, v_is, axis);
    if (c.needs(0)) c.set(0, where(equal(x, out), share, 0));
    if (c.needs(2)) c.set(2, v_is * take_along_axis(share, i, axis));
}

}  // namespace

Tensor scatter_reduce(const Tensor& x, const Tensor& indices, const Tensor& values, int64_t axis,
                      ScatterKind kind) {
    static const OpId id = find_op("scatter_reduce");
    const ScatterOperands s = scatter_operands("scatter_reduce", x, indices, values);
    return record(
        id, {x, s.indices, s.values},
        Attrs().i(normalize_axis("scatter_reduce", axis, x.rank())).i(static_cast<int64_t>(kind)));
}

Tensor scatter_add(const Tensor& x, const Tensor& indices, const Tensor& values, int64_t axis) {
    return record_scatter("scatter_add", x, indices, values, axis, true);
}

Tensor scatter(const Tensor& x, const Tensor& indices, const Tensor& values, int64_t axis) {
    return record_scatter("scatter", x, indices, values, axis, false);
}

Tensor gather_nd(const Tensor& x, std::span<const Tensor> indices) {
    static const OpId id = find_op("gather_nd");
    std::vector<Tensor> in = broadcast_indices("gather_nd", indices);
    in.insert(in.begin(), x);
    return record(id, in);
}

Tensor scatter_nd(const Tensor& x, std::span<const Tensor> indices, const Tensor& values,
                  bool accumulate) {
    static const OpId id = find_op("scatter_nd");
    std::vector<Tensor> in = broadcast_indices("scatter_nd", indices);
    Dims shape(in.empty() ? Dims() : in[0].shape());
    for (int d = static_cast<int>(in.size()); d < x.rank(); ++d) shape.push_back(x.size(d));
    const Tensor front[2] = {x, values_for("scatter_nd", x, values, shape)};
    in.insert(in.begin(), front, front + 2);
    return record(id, in, Attrs().b(accumulate));
}

Tensor one_hot(const Tensor& indices, int64_t classes, DType dtype) {
    static const OpId id = find_op("one_hot");
    return record(id, {index_tensor("one_hot", indices)}, Attrs().i(classes).dtype(dtype));
}

Tensor embedding(const Tensor& indices, const Tensor& weight, int64_t padding_idx) {
    static const OpId id = find_op("embedding");
    return record(id, {weight, index_tensor("embedding", indices)}, Attrs().i(padding_idx));
}

std::vector<Tensor> nonzero(const Tensor& x) {
    static const OpId id = find_op("nonzero");
    if (x.rank() == 0) {
        fail(ErrorKind::kShape, "nonzero",
             "x has no dimensions, so that its element has no position; "
             "one dimension or more is required; use reshape(x, (1,))");
    }
    const NoGrad off;
    const Tensor mask = is_bool(x.dtype()) ? x : not_equal(x, 0);
    const int64_t count =
        x.numel() == 0 ? 0
                       : read_number("nonzero", sum(cast(mask, DType::kI64), {}, false)).as_int();
    const Tensor all = record(id, {mask}, Attrs().i(count));
    std::vector<Tensor> out;
    for (int d = 0; d < x.rank(); ++d) out.push_back(reshape(narrow(all, 0, d, 1), Dims{count}));
    return out;
}

void register_indexing_ops() {
    register_op({
        .name = "take",
        .n_in = 2,
        .schema = "axis:int",
        .doc = "The elements of x at indices along an axis, which becomes the indices' dimensions.",
        .infer =
            [](InferCall& c) {
                c.out[0].shape = take_shape(c.in[0]->shape, c.in[1]->shape, c.attrs.i(0));
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad =
            [](GradCall& c) {
                c.set(0, index_add(one_zero_of(c.in_meta(0)), c.in(1), c.grad(), c.attrs.i(0)));
            },
        .saves = save_in(1),
        .batch = batch_take,
        .check = check_take,
        .moves = true,
        .checks_values = true,
    });
    register_op({
        .name = "embedding",
        .n_in = 2,
        .schema = "padding_idx:int",
        .doc = "Rows of a weight matrix; the row padding_idx (-1: none) gets no gradient.",
        .infer =
            [](InferCall& c) {
                if (c.in[0]->shape.size() != 2) {
                    fail(ErrorKind::kShape, c.op,
                         "the weight has shape %s; two dimensions (rows, "
                         "features) are required",
                         format_shape(c.in[0]->shape).c_str());
                }
                c.out[0].shape = take_shape(c.in[0]->shape, c.in[1]->shape, 0);
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad =
            [](GradCall& c) {
                const Tensor indices = c.in(1);
                Tensor g = c.grad();
                const int64_t padding = c.attrs.i(0);
                if (padding >= 0) g = where(unsqueeze(equal(indices, padding), -1), 0.0, g);
                c.set(0, index_add(one_zero_of(c.in_meta(0)), indices, g, 0));
            },
        .saves = save_in(1),
        .batch = batch_embedding,
        .check = check_embedding,
        .moves = true,
        .checks_values = true,
    });
    register_op({
        .name = "take_along_axis",
        .n_in = 2,
        .schema = "axis:int",
        .doc = "out[i, j] = x[indices[i, j], j] for axis 0, and so on for others.",
        .infer =
            [](InferCall& c) {
                check_along_axis(c, c.attrs.i(0));
                c.out[0].shape = c.in[1]->shape;
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad =
            [](GradCall& c) {
                c.set(0, scatter_add(zeros_of(c.in_meta(0)), c.in(1), c.grad(), c.attrs.i(0)));
            },
        .saves = save_in(1),
        .batch = batch_axis<0>,
        .check = check_along<2>,
        .moves = true,
        .checks_values = true,
    });
    register_op({
        .name = "index_add",
        .n_in = 3,
        .schema = "axis:int",
        .doc = "x with values added at indices along an axis, in source order.",
        .infer =
            [](InferCall& c) {
                check_values_shape(c, c.in[2]->shape,
                                   take_shape(c.in[0]->shape, c.in[1]->shape, c.attrs.i(0)));
                c.out[0].shape = c.in[0]->shape;
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad =
            [](GradCall& c) {
                if (c.needs(0)) c.set(0, c.grad());
                if (c.needs(2)) c.set(2, take(c.grad(), c.in(1), c.attrs.i(0)));
            },
        .saves = save_in(1),
        .batch = batch_index_add,
        .check = check_index_add,
        .any_layout_in = 1,
        .checks_values = true,
        .inplace_in = 0,
    });
    register_op({
        .name = "scatter",
        .n_in = 3,
        .schema = "axis:int accumulate:bool",
        .doc = "x with values added or written at indices along an axis: x[indices[i, j], j] for "
               "axis 0. Of several writers the last one wins.",
        .infer =
            [](InferCall& c) {
                check_along_axis(c, c.attrs.i(0));
                check_values_shape(c, c.in[2]->shape, c.in[1]->shape);
                c.out[0].shape = c.in[0]->shape;
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad =
            [](GradCall& c) {
                const Tensor i = c.in(1);
                const int64_t axis = c.attrs.i(0);
                const bool accumulate = c.attrs.b(1);
                if (c.needs(0)) c.set(0, accumulate ? c.grad() : scatter(c.grad(), i, 0, axis));
                if (!c.needs(2)) return;
                Tensor g = take_along_axis(c.grad(), i, axis);
                if (!accumulate) {
                    const Tensor mine = writer_numbers(g);
                    const Tensor last = scatter(unwritten(c.grad()), i, mine, axis);
                    g = where(equal(take_along_axis(last, i, axis), mine), g, 0.0);
                }
                c.set(2, g);
            },
        .saves = save_in(1),
        .batch = batch_axis<0>,
        .check = check_along<3>,
        .checks_values = true,
        .inplace_in = 0,
    });
    register_op({
        .name = "scatter_reduce",
        .n_in = 3,
        .schema = "axis:int kind:int",
        .doc = "x with the product, the largest or the smallest of itself and the values at "
               "indices along an axis, in source order; NaN wins.",
        .infer =
            [](InferCall& c) {
                check_along_axis(c, c.attrs.i(0));
                check_values_shape(c, c.in[2]->shape, c.in[1]->shape);
                c.out[0].shape = c.in[0]->shape;
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad =
            [](GradCall& c) {
                if (static_cast<ScatterKind>(c.attrs.i(1)) == ScatterKind::kProd)
                    grad_scatter_prod(c);
                else
                    grad_scatter_extreme(c);
            },
        .saves = save_in(0) | save_in(1) | save_in(2) | save_out(0),
        .batch = batch_axis<0>,
        .check = check_scatter_reduce,
        .checks_values = true,
        .inplace_in = 0,
    });
    register_op({
        .name = "gather_nd",
        .n_in = -1,
        .doc = "x[i0, i1, ...] with index tensors of one shape over the leading dimensions.",
        .infer =
            [](InferCall& c) {
                c.out[0].shape = nd_shape(c, 1);
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad =
            [](GradCall& c) {
                std::vector<Tensor> indices;
                for (int k = 1; k < c.n_in(); ++k) indices.push_back(c.in(k));
                c.set(0, scatter_nd(zeros_of(c.in_meta(0)), indices, c.grad(), true));
            },
        .saves = 0xfffe,
        .batch = batch_nd<1>,
        .check = check_nd<1>,
        .moves = true,
        .checks_values = true,
    });
    register_op({
        .name = "scatter_nd",
        .n_in = -1,
        .schema = "accumulate:bool",
        .doc = "x with values (operand 1) added or written at x[i0, i1, ...].",
        .infer =
            [](InferCall& c) {
                check_values_shape(c, c.in[1]->shape, nd_shape(c, 2));
                c.out[0].shape = c.in[0]->shape;
                c.out[0].dtype = c.in[0]->dtype;
            },
        .grad =
            [](GradCall& c) {
                std::vector<Tensor> indices;
                for (int k = 2; k < c.n_in(); ++k) indices.push_back(c.in(k));
                const bool accumulate = c.attrs.b(0);
                if (c.needs(0))
                    c.set(0, accumulate ? c.grad() : scatter_nd(c.grad(), indices, 0, false));
                if (!c.needs(1)) return;
                Tensor g = gather_nd(c.grad(), indices);
                if (!accumulate) {
                    const Tensor mine = writer_numbers(g);
                    const Tensor last = scatter_nd(unwritten(c.grad()), indices, mine, false);
                    g = where(equal(gather_nd(last, indices), mine), g, 0.0);
                }
                c.set(1, g);
            },
        .saves = 0xfffc,
        .batch = batch_nd<2>,
        .check = check_nd<2>,
        .checks_values = true,
        .inplace_in = 0,
    });
    register_op({
        .name = "nonzero",
        .schema = "count:int",
        .doc = "Row d: positions along dimension d of the `count` true elements of a mask.",
        .infer =
            [](InferCall& c) {
                c.out[0].shape = Dims{static_cast<int64_t>(c.in[0]->shape.size()), c.attrs.i(0)};
                c.out[0].dtype = DType::kI64;
            },
    });
    register_op({
        .name = "one_hot",
        .schema = "classes:int dtype:dtype",
        .doc = "A new last dimension with 1 at the index and 0 elsewhere.",
        .infer =
            [](InferCall& c) {
                c.out[0].shape = c.in[0]->shape;
                c.out[0].shape.push_back(c.attrs.i(0));
                c.out[0].dtype = c.attrs.dtype(1);
            },
        .batch = batch_leading,
        .check = check_one_hot,
        .checks_values = true,
    });
    register_indexing_functions();
}

}  // namespace sn
