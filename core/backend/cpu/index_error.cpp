#include "backend/cpu/index_error.h"

#include "base/error.h"
#include "base/shape.h"

namespace sn::cpu {

void fail_index(const char* op, int64_t index, int64_t position, const TensorView& indices,
                int64_t axis, int64_t size, bool negative) {
    Dims at(static_cast<size_t>(indices.rank), 0);
    for (int d = indices.rank - 1; d >= 0; --d) {
        at[d] = position % indices.shape[d];
        position /= indices.shape[d];
    }
    const auto ll = [](int64_t v) { return static_cast<long long>(v); };
    if (size == 0) {
        fail(ErrorKind::kIndex, op,
             "index %lld at position %s of the indices looks into axis %lld, "
             "which has size 0; there is nothing to take",
             ll(index), format_shape(at).c_str(), ll(axis));
    }
    fail(
        ErrorKind::kIndex, op,
        "index %lld at position %s of the indices is out of range for axis %lld with size %lld; it "
        "must be in [%lld, %lld]",
        ll(index), format_shape(at).c_str(), ll(axis), ll(size), ll(negative ? -size : 0),
        ll(size - 1));
}

}  // namespace sn::cpu
