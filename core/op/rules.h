#pragma once
// What several op families say the same way in their shape, gradient and lowering rules.
#include "base/function_ref.h"
#include "op/op.h"
#include "record/tensor.h"

namespace sn {

Dims all_axes(int rank);
Dims trailing_axes(int rank, int64_t count);
Dims keepdims_shape(DimSpan shape, DimSpan axes);  // sizes along `axes` (sorted) become 1
Dims reduced_shape(DimSpan shape, DimSpan axes, bool keepdims);
int64_t count_along(DimSpan shape, DimSpan axes);  // elements that one result stands for
// Composite ops compute in this dtype and round once, at their end: f32 for f16 and bf16.
Tensor to_compute(const Tensor& x);
// x with `axis` moved to the end (a view), and the way back.
Tensor axis_to_last(const Tensor& x, int axis);
Tensor axis_from_last(const Tensor& x, int axis);

// A number with an axis counts as a vector of one, as in PyTorch: x as such a vector, and a result
// with one element as a number again where x was one.
Tensor vector_of(const Tensor& x);
Tensor like(const Tensor& out, const Tensor& x);

inline bool given(const Tensor& t) { return static_cast<bool>(t); }
// The operands that are given, for ops with optional ones.
class Given {
public:
    Given(const Tensor& a, const Tensor& b, const Tensor& c = {}) {
        for (const Tensor* t : {&a, &b, &c})
            if (*t) items_[count_++] = *t;
    }
    std::span<const Tensor> items() const { return {items_, count_}; }

private:
    Tensor items_[3];
    size_t count_ = 0;
};

// The gradient of a kernel: that of the same numbers made of ordinary ops. `compose` gets the
// operands (those at `reads`; the others are empty) and gives the op's results, which may be empty
// where no gradient goes through them.
using Compose = FunctionRef<std::vector<Tensor>(std::span<const Tensor>)>;
void grad_composed(GradCall& c, std::span<const int> reads, Compose compose);

void require_float(const char* op, const char* what, DType dtype);
inline long long ll(int64_t v) { return static_cast<long long>(v); }  // for printf formats

}  // namespace sn
