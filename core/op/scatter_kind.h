#pragma once
#include <cstdint>

namespace sn {

// What scatter_reduce does where several values meet; an attribute of the op.
enum class ScatterKind : int64_t { kProd, kMax, kMin };

}  // namespace sn
