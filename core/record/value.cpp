#include "record/value.h"

#include <cstdlib>
#include <new>

#include "record/recorder.h"
#include "record/tape.h"
#include "record/tensor.h"

namespace sn {

namespace {

// Values and tape entries are made and dropped at every op call; a free list makes that a few
// nanoseconds. Guarded by the record lock like everything here.
struct FreeList {
    void* head = nullptr;
    size_t count = 0;
};
FreeList value_list;
constexpr size_t kMaxFree = 16384;

}  // namespace

void* Value::operator new(size_t bytes) {
    if (void* p = value_list.head) {
        value_list.head = *static_cast<void**>(p);
        --value_list.count;
        return p;
    }
    return ::operator new(bytes);
}

void Value::operator delete(void* p) {
    if (value_list.count >= kMaxFree) {
        ::operator delete(p);
        return;
    }
    *static_cast<void**>(p) = value_list.head;
    value_list.head = p;
    ++value_list.count;
}

void Value::destroy(Value* value) {
    if (value->kind == ValueState::kPending && value->recorder)
        value->recorder->holders[value->id] = nullptr;
    delete value;
}

Tensor::Tensor(Scalar v) : value_(new Value) {
    value_->kind = ValueState::kScalar;
    value_->weak = true;
    value_->scalar = v;
    value_->meta.dtype = v.kind == ScalarKind::kFloat ? DType::kF64
                         : v.kind == ScalarKind::kInt ? DType::kI64
                                                      : DType::kBool;
}
Tensor::Tensor(double v) : Tensor(Scalar::of_float(v)) {}
Tensor::Tensor(int64_t v) : Tensor(Scalar::of_int(v)) {}

}  // namespace sn
