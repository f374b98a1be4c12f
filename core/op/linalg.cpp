#include "op/linalg.h"

#include <algorithm>

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"

namespace sn {

namespace {

// x: [batch..., m, k], y: [batch..., k, n] of one dtype; batch dimensions broadcast.
void check_matmul(const CheckCall& c) {
    c.tensors(0, 2);
    c.one_dtype(0, 2);
    c.require(c.rank(0) >= 2 && c.rank(1) >= 2 && !is_bool(c.dtype(0)),
              "an operand is no matrix of numbers");
}
void infer_matmul(InferCall& c) {
    const Dims &a = c.in[0]->shape, &b = c.in[1]->shape;
    if (a[a.size() - 1] != b[b.size() - 2]) {
        fail(ErrorKind::kShape, c.op,
             "shapes %s and %s do not fit: the last dimension of the first (%lld) must equal the "
             "second to last of the second (%lld); transpose one of them, or check the layer sizes",
             format_shape(a).c_str(), format_shape(b).c_str(), ll(a[a.size() - 1]),
             ll(b[b.size() - 2]));
    }
    const DimSpan a_batch = DimSpan(a).first(a.size() - 2),
                  b_batch = DimSpan(b).first(b.size() - 2);
    for (size_t i = 1; i <= std::min(a_batch.size(), b_batch.size()); ++i) {
        const int64_t n = a_batch[a_batch.size() - i], m = b_batch[b_batch.size() - i];
        if (n == m || n == 1 || m == 1) continue;
        fail(ErrorKind::kShape, c.op,
             "the batch dimensions of shapes %s and %s do not broadcast (%lld against %lld); all "
             "but the last two dimensions must be equal or 1, aligned at the end",
             format_shape(a).c_str(), format_shape(b).c_str(), ll(n), ll(m));
    }
    Dims shape = broadcast_shapes(c.op, a_batch, b_batch);
    shape.push_back(a[a.size() - 2]);
    shape.push_back(b[b.size() - 1]);
    c.out[0].shape = shape;
    c.out[0].dtype = c.in[0]->dtype;
}

Tensor matrices(const Tensor& x, const Tensor& y) {
    static const OpId id = find_op("matmul");
    return record(id, {x, y});
}
Tensor turned(const Tensor& x) { return transpose(x, -1, -2); }
// All leading dimensions as one.
Tensor as_rows(const Tensor& x) {
    Dims shape{1, x.size(-1)};  // not -1, which no elements cannot fix
    for (int i = 0; i + 1 < x.rank(); ++i) shape[0] *= x.size(i);
    return x.rank() == 2 ? x : reshape(x, shape);
}

double matmul_work(const WorkCall& c) {
    return static_cast<double>(numel(c.out.shape)) * static_cast<double>(c.in[0]->shape.back());
}

void grad_matmul(GradCall& c) {
    const Tensor& g = c.grad();
    if (c.needs(0)) c.set(0, matrices(g, turned(c.in(1))));
    if (!c.needs(1)) return;
    const Tensor x = c.in(0);
    // A weight shared by a batch has one gradient: one product over all rows, not a sum of many.
    if (c.in_meta(1).shape.size() == 2 && x.rank() > 2 && g.numel() != 0)
        c.set(1, matrices(turned(as_rows(x)), as_rows(g)));
    else
        c.set(1, matrices(turned(x), g));
}

// Matrices of one example are matrices of the batch; leading dimensions of the example keep their
// places counted from the end.
bool batch_matmul(BatchCall& c) {
    if (c.batched[1] && c.rank(1) == 2 && c.rank(0) > 2) {
        // A matrix that an example shares stays one product of all its rows, also in the gradient.
        const Tensor& x = c.in[0];
        Dims rows{numel(c.shape(0).first(c.rank(0) - 1)), x.size(-1)}, out(c.shape(0));
        if (c.batched[0]) rows.insert(0, c.size);
        c.call({reshape(x, rows), c.in[1]}, {});
        out[c.rank(0) - 1] = c.in[1].size(-1);
        out.insert(0, c.size);
        c.out[0] = reshape(c.out[0], out);
        return true;
    }
    const int rank = std::max(c.rank(0), c.rank(1));
    return c.call({c.raised(0, rank), c.raised(1, rank)}, {});
}

[[noreturn]] void fail_scalar(const char* op, const Tensor& x, const Tensor& y) {
    fail(ErrorKind::kShape, op,
         "operands have shapes %s and %s; both need at least one dimension; use * for a product "
         "with a number",
         format_shape(x.shape()).c_str(), format_shape(y.shape()).c_str());
}

// Both operands in the dtype of the result.
void promote_pair(const char* op, Tensor* x, Tensor* y) {
    const DType dtype = promote(x->dtype(), y->dtype());
    if (is_bool(dtype)) {
        fail(ErrorKind::kDType, op,
             "both operands are bool; products need numbers; convert with "
             ".astype(sn.int64) or another dtype");
    }
    // A real operand of a complex product stays real: it has no imaginary part to multiply with.
    for (Tensor* t : {x, y}) *t = cast(*t, is_complex(t->dtype()) ? dtype : real_dtype(dtype));
}

}  // namespace

Tensor matmul(const Tensor& x, const Tensor& y) {
    Tensor a = x, b = y;
    if (a.rank() == 0 || b.rank() == 0) fail_scalar("matmul", x, y);
    promote_pair("matmul", &a, &b);
    const bool row = a.rank() == 1, column = b.rank() == 1;
    if (row) a = unsqueeze(a, 0);
    if (column) b = unsqueeze(b, 1);
    Tensor out = matrices(a, b);
    if (!row && !column) return out;
    Dims axes;
    if (row) axes.push_back(out.rank() - 2);
    if (column) axes.push_back(out.rank() - 1);
    return squeeze(out, axes);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
    if (x.rank() == 0 || weight.rank() != 2 || x.size(-1) != weight.size(1)) {
        fail(ErrorKind::kShape, "linear",
             "input of shape %s and weight of shape %s do not fit; the input must be (..., "
             "in_features) and the weight (out_features, in_features); check the size of the "
             "layer before this one",
             format_shape(x.shape()).c_str(), format_shape(weight.shape()).c_str());
    }
    const Tensor y = matmul(x, turned(weight));
    if (!bias) return y;
    if (bias.rank() != 1 || bias.size(0) != weight.size(0)) {
        fail(ErrorKind::kShape, "linear", "bias has shape %s; a weight of shape %s needs (%lld,)",
             format_shape(bias.shape()).c_str(), format_shape(weight.shape()).c_str(),
             ll(weight.size(0)));
    }
    return y + bias;
}

Tensor vecdot(const Tensor& x, const Tensor& y, int64_t axis) {
    Tensor a = x, b = y;
    if (a.rank() == 0 || b.rank() == 0) fail_scalar("vecdot", x, y);
    promote_pair("vecdot", &a, &b);
    // The axis counts from the end in both, so that the other dimensions broadcast.
    if (axis >= 0)
        axis = normalize_axis("vecdot", axis, std::max(a.rank(), b.rank())) -
               std::max(a.rank(), b.rank());
    const int ax = normalize_axis("vecdot", axis, a.rank());
    const int bx = normalize_axis("vecdot", axis, b.rank());
    if (a.size(ax) != b.size(bx)) {
        fail(ErrorKind::kShape, "vecdot",
             "shapes %s and %s have sizes %lld and %lld along axis %lld; the contracted axis must "
             "have one size",
             format_shape(a.shape()).c_str(), format_shape(b.shape()).c_str(), ll(a.size(ax)),
             ll(b.size(bx)), ll(axis));
    }
    const DType dtype = promote(a.dtype(), b.dtype());
    const Tensor product = to_compute(axis_to_last(conj(a), ax)) * to_compute(axis_to_last(b, bx));
    const int64_t last[] = {-1};
    return cast(sum(product, last, false), dtype);
}

Tensor outer(const Tensor& x, const Tensor& y) {
    if (x.rank() != 1 || y.rank() != 1) {
        fail(ErrorKind::kShape, "outer", "operands have shapes %s and %s; both must be vectors",
             format_shape(x.shape()).c_str(), format_shape(y.shape()).c_str());
    }
    return unsqueeze(x, 1) * y;
}

Tensor tensordot(const Tensor& left, const Tensor& right, DimSpan x_axes, DimSpan y_axes) {
    Tensor x = left, y = right;
    if (x_axes.size() != y_axes.size()) {
        fail(ErrorKind::kValue, "tensordot",
             "%zu axes of the first operand and %zu of the second; "
             "the lists must be equally long",
             x_axes.size(), y_axes.size());
    }
    Dims x_sum, y_sum, x_order, y_order, kept, x_flat, y_flat;
    int64_t inner = 1, x_outer = 1, y_outer = 1;
    for (size_t i = 0; i < x_axes.size(); ++i) {
        x_sum.push_back(normalize_axis("tensordot", x_axes[i], x.rank()));
        y_sum.push_back(normalize_axis("tensordot", y_axes[i], y.rank()));
        // A size of 1 broadcasts, as in PyTorch: the sum of products is a product with the sum.
        const int64_t n = x.size(x_sum[i]), m = y.size(y_sum[i]);
        if (n == 1 && m != 1)
            y = cast(sum(y, DimSpan(y_sum).subspan(i, 1), true), y.dtype());
        else if (m == 1 && n != 1)
            x = cast(sum(x, DimSpan(x_sum).subspan(i, 1), true), x.dtype());
        else if (n != m) {
            fail(ErrorKind::kShape, "tensordot",
                 "axis %lld of shape %s and axis %lld of shape %s have different sizes",
                 ll(x_axes[i]), format_shape(x.shape()).c_str(), ll(y_axes[i]),
                 format_shape(y.shape()).c_str());
        }
        inner *= x.size(x_sum[i]);
    }
    const auto holds = [](const Dims& list, int64_t v) {
        for (int64_t x : list)
            if (x == v) return true;
        return false;
    };
    y_order = y_sum;
    for (int i = 0; i < x.rank(); ++i) {
        if (holds(x_sum, i)) continue;
        x_order.push_back(i);
        kept.push_back(x.size(i));
        x_outer *= x.size(i);
    }
    for (int64_t axis : x_sum) x_order.push_back(axis);
    for (int i = 0; i < y.rank(); ++i) {
        if (holds(y_sum, i)) continue;
        y_order.push_back(i);
        kept.push_back(y.size(i));
        y_outer *= y.size(i);
    }
    const int64_t xs[] = {x_outer, inner}, ys[] = {inner, y_outer};
    return reshape(matmul(reshape(permute(x, x_order), xs), reshape(permute(y, y_order), ys)),
                   kept);
}

void register_linalg_ops() {
    register_op({.name = "matmul",
                 .n_in = 2,
                 .doc = "Matrix product over the last two axes.",
                 .infer = infer_matmul,
                 .grad = grad_matmul,
                 .saves = save_in(0) | save_in(1),
                 .batch = batch_matmul,
                 .check = check_matmul,
                 .work = matmul_work,
                 .layout = Layout::kAny,
                 .epilogue = true});

    register_function({.signature = "matmul(x: Tensor, other: Tensor) -> Tensor",
                       .doc = R"(Matrix product, the function behind ``x @ other``.

Parameters
----------
x : Tensor
    (..., m, k), or (k,), which counts as one row.
other : Tensor
    (..., k, n), or (k,), which counts as one column. Leading (batch) dimensions broadcast.

Returns
-------
Tensor
    (..., m, n), without the dimensions that a vector did not have. float16 and bfloat16 accumulate
    in float32 and round once; integers wrap. Every element is one chain of fused multiply-adds over
    k in fixed segments (design note 004), so its bits do not depend on the other rows.

Raises
------
ShapeError
    When the inner sizes differ or the batch dimensions do not broadcast.

Examples
--------
>>> sn.matmul(sn.tensor([[1.0, 2.0]]), sn.tensor([[3.0], [4.0]])).tolist()
[[11.0]]
)",
                       .autocast = Autocast::kLower,
                       .call = [](const Args& a) { return matmul(a.tensor(0), a.tensor(1)); }});
    register_function(
        {.signature = "linear(x: Tensor, weight: Tensor, bias: Tensor? = None) -> Tensor",
         .doc = R"(Affine map ``x @ weight.T + bias``.

Parameters
----------
x : Tensor
    (..., in_features).
weight : Tensor
    (out_features, in_features).
bias : Tensor or None
    (out_features,). Added while the product is still in cache.

Returns
-------
Tensor
    (..., out_features).

Examples
--------
>>> sn.linear(sn.tensor([1.0, 2.0]), sn.tensor([[3.0, 4.0]]), sn.tensor([0.5])).tolist()
[11.5]
)",
         .autocast = Autocast::kLower,
         .call = [](const Args& a) { return linear(a.tensor(0), a.tensor(1), a.tensor(2)); },
         .method = false});
    register_function(
        {.signature = "vecdot(x: Tensor, other: Tensor, axis: int = -1) -> Tensor",
         .doc = R"(Dot products of vectors along an axis; the other dimensions broadcast.

Examples
--------
>>> sn.vecdot(sn.tensor([[1.0, 2.0], [3.0, 4.0]]), sn.tensor([1.0, 1.0])).tolist()
[3.0, 7.0]
)",
         .autocast = Autocast::kLower,
         .call = [](const Args& a) { return vecdot(a.tensor(0), a.tensor(1), a.integer(2)); }});
    register_function({
        .signature = "dot(x: Tensor, other: Tensor) -> Tensor",
        .doc = R"(Dot product of two vectors, of which none is conjugated (`vecdot` conjugates the
first). Use `matmul` or `vecdot` for more dimensions.

Examples
--------
>>> sn.dot(sn.tensor([1.0, 2.0]), sn.tensor([3.0, 4.0])).item()
11.0
)",
        .call =
            [](const Args& a) {
                if (a.tensor(0).rank() != 1 || a.tensor(1).rank() != 1) {
                    fail(ErrorKind::kShape, "dot",
                         "operands have shapes %s and %s; both must be "
                         "vectors; use matmul for matrices and vecdot for batches",
                         format_shape(a.tensor(0).shape()).c_str(),
                         format_shape(a.tensor(1).shape()).c_str());
                }
                const Tensor& x = a.tensor(0);
                return vecdot(is_complex(x.dtype()) ? conj(x) : x, a.tensor(1), -1);
            },
    });
    register_function(
        {.signature = "outer(x: Tensor, other|vec2: Tensor) -> Tensor",
         .doc = R"(Every product of an element of one vector with an element of another: (m,),
(n,) to (m, n).

Examples
--------
>>> sn.outer(sn.tensor([1, 2]), sn.tensor([3, 4])).tolist()
[[3, 4], [6, 8]]
)",
         .call = [](const Args& a) { return outer(a.tensor(0), a.tensor(1)); }});
    register_function({.signature = "tensordot(x: Tensor, other: Tensor, axes|dims: Axes = 2, "
                                    "other_axes: Ints? = None) -> Tensor",
                       .doc = R"(Sum of products over axes of both tensors.

Parameters
----------
x, other : Tensor
    Any shapes.
axes : int, or pair of sequences of int
    An int n contracts the last n axes of `x` with the first n of `other`. A pair names axes of `x`
    and axes of `other`, in the same order. (One sequence names those of `x`, and `other_axes` those
    of `other`.)

Examples
--------
>>> sn.tensordot(sn.ones((2, 3, 4)), sn.ones((3, 4, 5)), axes=2).shape
(2, 5)
)",
                       .call = [](const Args& a) {
                           const Tensor &x = a.tensor(0), &y = a.tensor(1);
                           if (a.has(3)) return tensordot(x, y, a.ints(2), a.ints(3));
                           if (a.paired(2)) {
                               const size_t half = a.ints(2).size() / 2;
                               return tensordot(x, y, a.ints(2).first(half),
                                                a.ints(2).subspan(half));
                           }
                           const int64_t n = a.ints(2).empty() ? 0 : a.ints(2)[0];
                           if (!a.single(2) || n < 0 || n > x.rank() || n > y.rank()) {
                               fail(ErrorKind::kValue, "tensordot",
                                    "axes must be a count between 0 and the ranks (%d and %d), or "
                                    "two equally long "
                                    "sequences in axes and other_axes",
                                    x.rank(), y.rank());
                           }
                           Dims first;
                           for (int64_t i = 0; i < n; ++i) first.push_back(i);
                           return tensordot(x, y, trailing_axes(x.rank(), n), first);
                       }});
}

}  // namespace sn
