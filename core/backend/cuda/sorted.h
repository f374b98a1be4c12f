#pragma once
#include <cstdint>

#include "backend/cuda/kernels/sort_args.h"
#include "base/device.h"

namespace sn::cuda {

// Sorts rows of n items each, stably; `memory` has room for two copies of them, and the first holds
// the items. Returns the copy that is sorted.
SortItem* sort_rows(Device device, SortItem* memory, int64_t rows, int64_t n);
inline size_t sort_bytes(int64_t items) {
    return static_cast<size_t>(items) * 2 * sizeof(SortItem);
}

}  // namespace sn::cuda
