// The public functions of indexing by tensors.
#include <algorithm>

#include "op/api.h"
#include "op/function.h"
#include "op/rules.h"
#include "record/read.h"
#include "record/tape.h"

namespace sn {

namespace {

Tensor take_function(const Args& a) {
    const Tensor& x = a.tensor(0);
    if (!a.has(2)) return take(x.rank() == 1 ? x : reshape(x, Dims{-1}), a.tensor(1), 0);
    return take(x, a.tensor(1), a.integer(2));
}

// NumPy's rule: the dimensions other than the axis broadcast.
Tensor take_along_axis_function(const Args& a) {
    Tensor x = a.tensor(0), indices = a.tensor(1);
    if (x.rank() != indices.rank()) {
        fail(ErrorKind::kShape, "take_along_axis",
             "x has shape %s and the indices have shape %s; as many dimensions are required",
             format_shape(x.shape()).c_str(), format_shape(indices.shape()).c_str());
    }
    const int at = normalize_axis("take_along_axis", a.integer(2), x.rank());
    Dims left(x.shape()), right(indices.shape());
    left[at] = right[at] = 1;
    const Dims both = broadcast_shapes("take_along_axis", left, right);
    left = right = both;
    left[at] = x.size(at);
    right[at] = indices.size(at);
    return take_along_axis(expand(x, left), expand(indices, right), at);
}

Tensor index_select_function(const Args& a) {
    if (a.tensor(2).rank() > 1) {
        fail(ErrorKind::kShape, "index_select",
             "the indices have shape %s; a vector is required; use "
             "take for more dimensions",
             format_shape(a.tensor(2).shape()).c_str());
    }
    const Tensor out =
        take(vector_of(a.tensor(0)), reshape(a.tensor(2), Dims{a.tensor(2).numel()}), a.integer(1));
    return like(out, a.tensor(0));
}

// An IndexItem for `axis` behind whole slices.
std::vector<IndexItem> items_at(int axis, const Tensor& indices) {
    std::vector<IndexItem> items(axis + 1);
    items[axis].kind = IndexItem::kTensor;
    items[axis].tensor = indices;
    return items;
}

Tensor index_copy_function(const Args& a) {
    const Tensor x = vector_of(a.tensor(0));
    const std::vector<IndexItem> items =
        items_at(normalize_axis("index_copy", a.integer(1), x.rank()), vector_of(a.tensor(2)));
    return like(index_update(x, items.data(), static_cast<int>(items.size()), a.tensor(3)),
                a.tensor(0));
}

Tensor masked_fill_function(const Args& a) {
    const Tensor &x = a.tensor(0), &mask = a.tensor(1), &value = a.tensor(2);
    if (!is_bool(mask.dtype())) {
        fail(ErrorKind::kDType, "masked_fill", "the mask has dtype %s; bool is required",
             dtype_name(mask.dtype()));
    }
    return where(mask, value_operand("masked_fill", value, x), x);
}

Tensor masked_select_function(const Args& a) {
    const Dims shape = broadcast_shapes("masked_select", a.tensor(0).shape(), a.tensor(1).shape());
    IndexItem item;
    item.kind = IndexItem::kTensor;
    item.tensor = expand(a.tensor(1), shape);
    return index(expand(a.tensor(0), shape), &item, 1);
}

Tensor one_hot_function(const Args& a) {
    const Tensor& indices = a.tensor(0);
    int64_t classes = a.integer(1);
    if (classes == -1) {
        classes =
            indices.numel() == 0 ? 0 : read_number("one_hot", max(indices, {}, false)).as_int() + 1;
    }
    if (classes < 0) {
        fail(ErrorKind::kValue, "one_hot",
             "num_classes is %lld; it must be 0 or more, or -1 to have "
             "it read off the indices",
             ll(classes));
    }
    return one_hot(indices, classes, a.has(2) ? a.dtype(2) : DType::kI64);
}

Tensor embedding_function(const Args& a) {
    const Tensor& weight = a.tensor(1);
    int64_t padding = a.has(2) ? a.integer(2) : -1;
    if (a.has(2)) {
        const int64_t rows = weight.rank() > 0 ? weight.size(0) : 0;
        if (padding < -rows || padding >= rows) {
            fail(ErrorKind::kIndex, "embedding",
                 "padding_idx is %lld for %lld rows; it must be in "
                 "[%lld, %lld]",
                 ll(padding), ll(rows), ll(-rows), ll(rows - 1));
        }
        if (padding < 0) padding += rows;
    }
    return embedding(a.tensor(0), weight, padding);
}

}  // namespace

void register_indexing_functions() {
    register_function({
        .signature = "take(x: Tensor, indices: Tensor, axis: int? = None) -> Tensor",
        .doc = R"(The elements of x at indices along an axis (of the flattened x without one).

The indices' dimensions take the place of the axis. Negative indices count from the end.

Raises
------
IndexError : an index is out of range; the message says which and where.

>>> sn.take(sn.arange(5) * 10, sn.arange(2), 0).tolist()
[0, 10]
)",
        .call = take_function,
    });
    register_function({
        .signature = "index_select(x: Tensor, axis: int, indices: Tensor) -> Tensor",
        .doc = R"(The elements of x at a vector of indices along an axis.

>>> sn.index_select(sn.zeros((2, 3)), 1, sn.arange(2)).shape
(2, 2)
)",
        .call = index_select_function,
    });
    register_function({
        .signature = "take_along_axis(x: Tensor, indices: Tensor, axis: int = -1) -> Tensor",
        .doc = R"(Elements of x at indices along an axis, one row of indices for each row of x.

The other dimensions broadcast.

>>> x = sn.arange(4).reshape((2, 2))
>>> sn.take_along_axis(x, sn.argsort(x, 1, descending=True), 1).tolist()
[[1, 0], [3, 2]]
)",
        .call = take_along_axis_function,
    });
    register_function({
        .signature = "gather(x: Tensor, axis: int, indices: Tensor) -> Tensor",
        .doc = R"(out[i, j] = x[indices[i, j], j] for axis 0 and two dimensions, and so on.

The indices may be smaller than x along the other dimensions.

>>> sn.gather(sn.arange(4).reshape((2, 2)), 1, sn.zeros((2, 1), dtype=sn.int64)).tolist()
[[0], [2]]
)",
        .call =
            [](const Args& a) {
                const Tensor x = vector_of(a.tensor(0)), i = vector_of(a.tensor(2));
                return like(take_along_axis(x, i, a.integer(1)), a.tensor(2));
            },
    });
    register_function({
        .signature = "scatter_add(x: Tensor, axis: int, indices: Tensor, src: Operand) -> Tensor",
        .doc =
            R"(x with src added at indices along an axis, in source order: the same bits every time.

>>> sn.scatter_add(sn.zeros((2,)), 0, sn.zeros((3,), dtype=sn.int64), sn.ones((3,))).tolist()
[3.0, 0.0]
)",
        .call =
            [](const Args& a) {
                const Tensor x = vector_of(a.tensor(0)), i = vector_of(a.tensor(2));
                const Tensor v = a.tensor(3).is_scalar() ? a.tensor(3) : vector_of(a.tensor(3));
                return like(scatter_add(x, i, v, a.integer(1)), a.tensor(0));
            },
        .aliases = "scatter_add_",
    });
    register_function({
        .signature = "index_copy(x: Tensor, axis: int, indices: Tensor, source: Operand) -> Tensor",
        .doc = R"(x with the rows at indices along an axis replaced; of several the last wins.

>>> sn.index_copy(sn.zeros((2, 2)), 0, sn.arange(1), sn.ones((1, 2))).tolist()
[[1.0, 1.0], [0.0, 0.0]]
)",
        .call = index_copy_function,
        .aliases = "index_copy_",
    });
    register_function({
        .signature = "gather_nd(x: Tensor, indices: Tensors) -> Tensor",
        .doc = R"(x[i0, i1, ...] with index tensors (which broadcast) over the leading dimensions.

>>> sn.gather_nd(sn.arange(4).reshape((2, 2)), [sn.arange(2), sn.arange(2)]).tolist()
[0, 3]
)",
        .call = [](const Args& a) { return gather_nd(a.tensor(0), a.tensors(1)); },
    });
    register_function({
        .signature = "index_put(x: Tensor, indices: Tensors, values: Operand, "
                     "accumulate: bool = False) -> Tensor",
        .doc = R"(x with values written (or added, in source order) at x[i0, i1, ...].

>>> sn.index_put(sn.zeros((3,)), [sn.arange(2)], 1.0).tolist()
[1.0, 1.0, 0.0]
)",
        .call =
            [](const Args& a) {
                // A mask stands for the indices of its true elements, one tensor per dimension.
                std::vector<Tensor> indices;
                for (const Tensor& t : a.tensors(1)) {
                    if (!is_bool(t.dtype())) {
                        indices.push_back(t);
                        continue;
                    }
                    for (const Tensor& i : nonzero(t)) indices.push_back(i);
                }
                return scatter_nd(a.tensor(0), indices, a.tensor(2), a.flag(3));
            },
        .aliases = "scatter_nd index_put_",
    });
    register_function({
        .signature =
            "one_hot(indices: Tensor, num_classes: int = -1, dtype: DType? = None) -> Tensor",
        .doc = R"(A new last dimension with 1 at the index and 0 elsewhere (int64 by default).

Raises
------
IndexError : an index is negative or not below num_classes.

>>> sn.one_hot(sn.arange(2), 3).tolist()
[[1, 0, 0], [0, 1, 0]]
)",
        .call = one_hot_function,
        .method = false,
    });
    register_function({
        .signature =
            "embedding(indices: Tensor, weight: Tensor, padding_idx: int? = None) -> Tensor",
        .doc = R"(Rows of a (rows, features) matrix; the row padding_idx gets no gradient.

Raises
------
IndexError : an index is negative or not below the number of rows.

>>> sn.embedding(sn.arange(2), sn.eye(3)).tolist()
[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
)",
        .call = embedding_function,
        .method = false,
    });
    register_function({
        .signature = "nonzero(x: Tensor) -> tuple[Tensor, ...]",
        .doc = R"(One int64 tensor per dimension with the positions of elements that are not zero.

Waits for the values, since the result's size depends on them.

>>> [t.tolist() for t in sn.nonzero(sn.eye(2))]
[[0, 1], [0, 1]]
)",
        .call_many = [](const Args& a) { return Results(nonzero(a.tensor(0))); },
    });
    register_function({
        .signature =
            "count_nonzero(x: Tensor, axis: Ints? = None, keepdims: bool = False) -> Tensor",
        .doc = R"(How many elements are not zero.

>>> int(sn.count_nonzero(sn.eye(3)))
3
)",
        .call =
            [](const Args& a) {
                const Tensor mask = not_equal(a.tensor(0), 0);
                const bool number = mask.rank() == 0 && a.has(1) && !a.ints(1).empty();
                if (number) normalize_axes("count_nonzero", a.ints(1), 1);
                return sum(cast(mask, DType::kI64), a.has(1) && !number ? a.ints(1) : DimSpan(),
                           a.flag(2));
            },
    });
    register_function({
        .signature = "masked_fill(x: Tensor, mask: Tensor, value: Operand) -> Tensor",
        .doc = R"(x with value where mask is true.

>>> sn.masked_fill(sn.arange(3), sn.arange(3) > 0, 7).tolist()
[0, 7, 7]
)",
        .call = masked_fill_function,
        .aliases = "masked_fill_",
    });
    register_function({
        .signature = "masked_select(x: Tensor, mask: Tensor) -> Tensor",
        .doc = R"(The elements of x where mask is true, as a vector; waits for the mask's values.

>>> sn.masked_select(sn.arange(3), sn.arange(3) > 0).tolist()
[1, 2]
)",
        .call = masked_select_function,
    });
}

}  // namespace sn
