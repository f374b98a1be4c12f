#pragma once
#include "record/tensor.h"

namespace sn {

Tensor matmul(const Tensor& x, const Tensor& y);  // NumPy rules: any rank, batch broadcasting
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);  // bias may be empty
Tensor vecdot(const Tensor& x, const Tensor& y, int64_t axis);
Tensor outer(const Tensor& x, const Tensor& y);
// Sums products over pairs of axes; the kept axes of the left come first, then those of
// the right. A size of 1 broadcasts.
Tensor tensordot(const Tensor& left, const Tensor& right, DimSpan x_axes, DimSpan y_axes);

void register_linalg_ops();

}  // namespace sn
