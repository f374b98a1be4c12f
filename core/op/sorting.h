#pragma once
#include <utility>

#include "record/tensor.h"

namespace sn {

// NaN counts as larger than every number; equal elements keep their order.
Tensor sort(const Tensor& x, int64_t axis, bool descending);
Tensor argsort(const Tensor& x, int64_t axis, bool descending);
// Values and int64 indices of the k largest (smallest) elements, best first; ties: lowest index.
std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t k, int64_t axis, bool largest);
Tensor cumsum(const Tensor& x, int64_t axis);
Tensor cumprod(const Tensor& x, int64_t axis);
// The largest (smallest) element up to each; NaN stays.
Tensor running_max(const Tensor& x, int64_t axis);
Tensor running_min(const Tensor& x, int64_t axis);
Tensor logcumsumexp(const Tensor& x, int64_t axis);
// Positions at which `values` would go into the sorted vector: before equal elements, or behind.
Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right);

void register_sorting_ops();

}  // namespace sn
