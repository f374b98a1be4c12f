#pragma once
#include "backend/kernel.h"

namespace sn::cpu {

// An index that does not fit: `index` stands at element `position` of the tensor `indices` and
// looks into `axis` of size `size`. negative: indices may count from the end.
[[noreturn]] void fail_index(const char* op, int64_t index, int64_t position,
                             const TensorView& indices, int64_t axis, int64_t size, bool negative);

}  // namespace sn::cpu
