#pragma once
#include "record/tensor.h"

namespace sn {

// axes empty: all of them. Results follow the Array API: integers and bools sum to 64 bits and
// average to float32; f16 and bf16 accumulate in f32 and round once.
Tensor sum(const Tensor& x, DimSpan axes, bool keepdims);
Tensor prod(const Tensor& x, DimSpan axes, bool keepdims);
Tensor mean(const Tensor& x, DimSpan axes, bool keepdims);
Tensor var(const Tensor& x, DimSpan axes, double correction, bool keepdims);
Tensor standard_deviation(const Tensor& x, DimSpan axes, double correction, bool keepdims);
Tensor max(const Tensor& x, DimSpan axes, bool keepdims);
Tensor min(const Tensor& x, DimSpan axes, bool keepdims);
Tensor any(const Tensor& x, DimSpan axes, bool keepdims);
Tensor all(const Tensor& x, DimSpan axes, bool keepdims);
Tensor argmax(const Tensor& x, int64_t axis, bool keepdims);
Tensor argmin(const Tensor& x, int64_t axis, bool keepdims);
Tensor logsumexp(const Tensor& x, DimSpan axes, bool keepdims);
Tensor count_nonzero(const Tensor& x, DimSpan axes, bool keepdims);
Tensor vector_norm(const Tensor& x, double order, DimSpan axes, bool keepdims);
Tensor sum_to(const Tensor& x, DimSpan shape);  // undoes broadcasting

void register_reduce_ops();

}  // namespace sn
