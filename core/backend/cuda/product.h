#pragma once
#include "backend/kernel.h"

namespace sn::cuda {

// Products of two stacks of matrices, where an element is one chain over all of k; c is of the
// compute dtype of a and b.
void chain_product(Device device, const TensorView& a, const TensorView& b, const TensorView& c);
// The same by the segments of a matrix product, without room for segments side by side.
void segmented_product(Device device, const TensorView& a, const TensorView& b,
                       const TensorView& c);

}  // namespace sn::cuda
