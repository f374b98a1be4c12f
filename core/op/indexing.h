#pragma once
#include <vector>

#include "op/scatter_kind.h"
#include "record/tensor.h"

namespace sn {

// One item of x[...].
struct IndexItem {
    enum Kind : uint8_t { kInteger, kSlice, kNewaxis, kEllipsis, kTensor };
    Kind kind = kSlice;
    bool has_start = false, has_stop = false, has_step = false;
    int64_t start = 0, stop = 0, step = 1;  // kSlice; kInteger: the index is `start`
    Tensor tensor;                          // kTensor: of integers (any shape), or bool (a mask)
};

// x[items], by NumPy's rules. Basic items (integers, slices, newaxis, ellipsis) give views whose
// positions are runtime arguments; integer tensors gather; masks wait for their values.
Tensor index(const Tensor& x, const IndexItem* items, int n);
// x with x[items] replaced by `value`, which broadcasts to that shape and takes the dtype of x.
Tensor index_update(const Tensor& x, const IndexItem* items, int n, const Tensor& value);

Tensor take(const Tensor& x, const Tensor& indices, int64_t axis);  // indices of any rank
Tensor take_along_axis(const Tensor& x, const Tensor& indices, int64_t axis);  // gather
// x with `values` added at `indices` (of any rank) along axis, in source order: on zeros, the
// gradient of take. Deterministic for every number of threads.
Tensor index_add(const Tensor& x, const Tensor& indices, const Tensor& values, int64_t axis);
// The same for gather: values has the shape of indices.
Tensor scatter_add(const Tensor& x, const Tensor& indices, const Tensor& values, int64_t axis);
Tensor scatter(const Tensor& x, const Tensor& indices, const Tensor& values, int64_t axis);
// x with the values at its indices reduced to a product, the largest or the smallest, x included.
Tensor scatter_reduce(const Tensor& x, const Tensor& indices, const Tensor& values, int64_t axis,
                      ScatterKind kind);
// NumPy advanced indexing over leading dims: x[i0, i1, ...] with broadcast integer index tensors.
Tensor gather_nd(const Tensor& x, std::span<const Tensor> indices);
// accumulate: add at the destinations in source order; else the last writer wins.
Tensor scatter_nd(const Tensor& x, std::span<const Tensor> indices, const Tensor& values,
                  bool accumulate);
Tensor one_hot(const Tensor& indices, int64_t classes, DType dtype);
// Rows of `weight`; the row `padding_idx` (-1: none) gets no gradient.
Tensor embedding(const Tensor& indices, const Tensor& weight, int64_t padding_idx = -1);
// One int64 tensor per dimension of x with the positions of elements that are not zero, in
// row-major order. Waits for the number of them.
std::vector<Tensor> nonzero(const Tensor& x);

void register_indexing_ops();

}  // namespace sn
