#pragma once
#include <vector>

#include "record/tensor.h"

namespace sn {

Tensor reshape(const Tensor& x, DimSpan shape);  // one size may be -1
Tensor permute(const Tensor& x, DimSpan axes);
Tensor expand(const Tensor& x, DimSpan shape);  // broadcast view; -1 keeps a size
// starts: one scalar tensor per dimension (runtime arguments); sizes and steps are static.
Tensor slice(const Tensor& x, std::span<const Tensor> starts, DimSpan sizes, DimSpan steps);
Tensor slice(const Tensor& x, DimSpan starts, DimSpan sizes, DimSpan steps);
// The part [start, start + size) of one axis.
Tensor narrow(const Tensor& x, int64_t axis, int64_t start, int64_t size);
// x with the given region replaced by `part` (computed in place when nobody else holds x). `part`
// may be of any shape that broadcasts to `sizes`; it is converted to the dtype of x.
Tensor slice_update(const Tensor& x, const Tensor& part, std::span<const Tensor> starts,
                    DimSpan sizes, DimSpan steps);
Tensor concat(std::span<const Tensor> xs, int64_t axis);
Tensor stack(std::span<const Tensor> xs, int64_t axis);
std::vector<Tensor> split(const Tensor& x, DimSpan sizes, int64_t axis);
Tensor pad(const Tensor& x, DimSpan low, DimSpan high, const Tensor& value);  // constant mode
// mode: "reflect", "replicate" or "circular"
Tensor pad_mode(const Tensor& x, DimSpan low, DimSpan high, std::string_view mode);
Tensor full(DimSpan shape, const Tensor& value, DType dtype, Device device);
Tensor zeros_like(const Tensor& x);
Tensor ones_like(const Tensor& x);
Tensor arange(const Tensor& start, const Tensor& step, int64_t count, DType dtype, Device device);
Tensor linspace(const Tensor& start, const Tensor& stop, int64_t count, bool endpoint, DType dtype,
                Device device);
Tensor squeeze(const Tensor& x, DimSpan axes);
Tensor unsqueeze(const Tensor& x, int64_t axis);
Tensor transpose(const Tensor& x, int64_t a, int64_t b);
Tensor moveaxis(const Tensor& x, DimSpan source, DimSpan destination);
Tensor contiguous(const Tensor& x);
Tensor clone(const Tensor& x);  // another value
// x itself for what is computed from it, but not merged with what else is computed from x, and not
// before `after` is there: recomputation that must not be undone.
Tensor barrier(const Tensor& x, std::span<const Tensor> after);
Tensor alias(const Tensor& x);               // a view of all of x
Tensor flip(const Tensor& x, DimSpan axes);  // axes empty: none
Tensor roll(const Tensor& x, int64_t shift, int64_t axis);
Tensor diagonal(const Tensor& x, int64_t offset, int64_t axis1, int64_t axis2);  // a view
Tensor diag(const Tensor& x, int64_t k);  // of a matrix; or the matrix with this diagonal
// True on and below (lower) or above the k-th diagonal of the last two dimensions.
Tensor triangle_mask(int64_t rows, int64_t columns, int64_t k, bool lower, Device device);

// A runtime argument of exactly this dtype (not weak), from a number or a rank-0 tensor.
Tensor scalar_operand(std::string_view op, const Tensor& value, DType dtype);
// What is written into x: a number stays one, a tensor is converted.
Tensor value_operand(std::string_view op, const Tensor& value, const Tensor& x);
Tensor int_scalar(int64_t value);
// The number that a scalar or a tensor of one element holds (waits for it).
Scalar read_number(std::string_view op, const Tensor& value);

void register_movement_ops();

}  // namespace sn
