#pragma once
#include "backend/kernel.h"

namespace sn {

// Values that a kernel cannot use, in the same words on every device. Positions are flat indices in
// row-major order.

// An index that does not fit: `index` stands at element `position` of the tensor `indices` and
// looks into `axis` of size `size`. negative: indices may count from the end.
[[noreturn]] void fail_index(const char* op, int64_t index, int64_t position,
                             const TensorView& indices, int64_t axis, int64_t size, bool negative);
// A label that names no class.
[[noreturn]] void fail_label(const TensorView& labels, int64_t label, int64_t position,
                             int64_t classes, int64_t ignore_index);

}  // namespace sn
