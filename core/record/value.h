#pragma once
#include <cstdint>

#include "base/buffer.h"
#include "base/device.h"
#include "base/dtype.h"
#include "base/ref.h"
#include "base/shape.h"
#include "ir/graph.h"

namespace sn {

class Recorder;

enum class ValueState : uint8_t {
    kPending,  // output of a node in a recorder's graph that has not been flushed
    kBuffer,   // has a buffer (whose contents may still be on their way)
    kScalar,   // a runtime number
};

// An immutable tensor value. Handles share it; nothing ever changes its elements.
struct Value {
    uint32_t refs = 0;
    ValueState kind = ValueState::kPending;
    bool weak = false;  // from Python numbers only: adopts the dtype of what it meets
    ValueId id = 0;     // in recorder's graph: of the pending node's output, or as an input
    Recorder* recorder =
        nullptr;         // pending: where; kBuffer and kScalar: last recorder that bound it
    uint64_t epoch = 0;  // kBuffer, kScalar: the window in which `id` is valid as an input
    Meta meta;
    Dims strides;        // kBuffer, in elements
    int64_t offset = 0;  // kBuffer, in elements
    HeldBuffer buffer;
    const void* lane = nullptr;  // kBuffer: the lane of windows that computes it
    Scalar scalar{};
    int32_t slot = -1;  // kScalar in a lowering: the runtime number it stands for
    // For state that a window rebinds (parameters, optimiser and batch-norm state): the value
    // before, which it keeps when the window fails, so that one bad label does not destroy a model.
    Ref<Value> former;
    uint32_t former_of = 0;  // while a flush looks for donations: values that replace this one

    static void destroy(Value* value);
    static void* operator new(size_t bytes);
    static void operator delete(void* p);
};

}  // namespace sn
