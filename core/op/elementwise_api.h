#pragma once
#include "op/elementwise.h"
#include "record/tensor.h"

namespace sn {

#define SN_EW1(name, ...) Tensor name(const Tensor& x);
#define SN_EW2(name, ...) Tensor name(const Tensor& x, const Tensor& y);
#define SN_EW3(name, ...) Tensor name(const Tensor& x, const Tensor& y, const Tensor& z);
#include "op/elementwise_binary.inc"
#include "op/elementwise_ternary.inc"
#include "op/elementwise_unary.inc"
#undef SN_EW1
#undef SN_EW2
#undef SN_EW3

Tensor cast(const Tensor& x, DType dtype);  // itself when the dtype is the same
inline Tensor operator+(const Tensor& x, const Tensor& y) { return add(x, y); }
inline Tensor operator-(const Tensor& x, const Tensor& y) { return subtract(x, y); }
inline Tensor operator*(const Tensor& x, const Tensor& y) { return multiply(x, y); }
inline Tensor operator/(const Tensor& x, const Tensor& y) { return divide(x, y); }
inline Tensor operator-(const Tensor& x) { return negative(x); }

}  // namespace sn
