#include "backend/value_error.h"

#include "base/error.h"
#include "base/shape.h"

namespace sn {

namespace {

Dims position_in(const TensorView& tensor, int64_t position) {
    Dims at(static_cast<size_t>(tensor.rank), 0);
    for (int d = tensor.rank; d-- > 0;) {
        at[d] = position % tensor.shape[d];
        position /= tensor.shape[d];
    }
    return at;
}
long long ll(int64_t v) { return static_cast<long long>(v); }

}  // namespace

void fail_index(const char* op, int64_t index, int64_t position, const TensorView& indices,
                int64_t axis, int64_t size, bool negative) {
    const Dims at = position_in(indices, position);
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

void fail_label(const TensorView& labels, int64_t label, int64_t position, int64_t classes,
                int64_t ignore_index) {
    fail(ErrorKind::kIndex, "cross_entropy",
         "label %lld at position %s names no class (there are %lld); labels must be 0 to %lld, or "
         "ignore_index (%lld); check the data set, and the output size of the last layer",
         ll(label), format_shape(position_in(labels, position)).c_str(), ll(classes),
         ll(classes - 1), ll(ignore_index));
}

}  // namespace sn
