#include "record/read.h"

#include <cstring>

#include "backend/backend.h"
#include "base/error.h"
#include "op/movement.h"
#include "plan/execute.h"
#include "record/recorder.h"
#include "record/tape.h"
#include "record/trace.h"

namespace sn {

void materialize(const Tensor& x) {
    Value* v = x.value().get();
    stop_watch("it needs the memory of", v->meta);
    if (v->kind == ValueState::kPending) {
        if (!v->recorder || v->recorder->kind() == Recorder::Kind::kTrace) {
            fail(ErrorKind::kValue, "trace",
                 "the elements of a tensor of shape %s that was made inside of a traced function "
                 "(sn.vmap, sn.jacfwd ...) are asked for after the function has ended; return it "
                 "from the function instead of keeping it",
                 format_shape(v->meta.shape).c_str());
        }
        v->recorder->flush();
        return;
    }
    if (v->kind == ValueState::kScalar) {
        // A number becomes a tensor of rank 0.
        const OutsideTraces scope;
        Tensor made = full({}, x, v->meta.dtype, v->meta.device);
        materialize(made);
        Value* m = made.value().get();
        v->strides.clear();
        v->buffer = m->buffer;
        v->offset = m->offset;
        v->kind = ValueState::kBuffer;
        v->epoch = 0;
    }
}

void wait_ready(const Tensor& x) {
    stop_watch("it reads elements of", x.value()->meta);
    materialize(x);
    Value& v = *x.value();
    const HeldBuffer buffer = v.buffer;
    if (buffer->state() == BufferState::kPending) {
        WaitScope scope;
        try {
            wait(*buffer, wait_hooks().poll);
        } catch (const Error&) {
            // Settled below: the failure may not concern this value.
        }
    }
    if (buffer->state() == BufferState::kFailed) settle_failures(Recorder::window());
    if (buffer->state() == BufferState::kFailed) {
        Recorder::window().take_failure();  // it is told now
        std::rethrow_exception(buffer->error());
    }
}

const void* read_values(const Tensor& x, Tensor* keep) {
    stop_watch("it reads elements of", x.value()->meta);
    const Tensor t = readable(x);
    {
        const OutsideTraces scope;
        *keep = contiguous(t);
    }
    wait_ready(*keep);
    const Device device = t.device();
    if (!host_visible(device)) {
        const Value& v = *keep->value();
        const size_t size = dtype_size(v.meta.dtype);
        const size_t bytes = static_cast<size_t>(numel(v.meta.shape)) * size;
        BufferRef copy = Buffer::allocate(device_allocator({}), bytes);
        if (bytes > 0) {
            const WaitScope scope;
            const char* from =
                static_cast<const char*>(v.buffer->data()) + v.offset * static_cast<int64_t>(size);
            backend(device).copy_to_host(device.index, copy->data(), from, bytes);
        }
        *keep = from_buffer(std::move(copy), 0, v.meta.shape, v.strides, v.meta.dtype, {});
    }
    const Value& v = *keep->value();
    if (!is_contiguous(v.meta.shape, v.strides)) {
        fail(ErrorKind::kInternal, "read", "a contiguous copy has strides %s",
             format_shape(v.strides).c_str());
    }
    return static_cast<const char*>(v.buffer->data()) +
           v.offset * static_cast<int64_t>(dtype_size(v.meta.dtype));
}

void require_host_memory(const char* op, const Tensor& x) {
    if (host_visible(x.device())) return;
    fail(ErrorKind::kDevice, op,
         "a tensor of shape %s is on '%s', whose memory Python and NumPy cannot read; copy it to "
         "the "
         "host first: x.to(\"cpu\")",
         format_shape(x.shape()).c_str(), device_name(x.device()).c_str());
}

Tensor from_buffer(BufferRef buffer, int64_t offset, DimSpan shape, DimSpan strides, DType dtype,
                   Device device) {
    Ref<Value> v(new Value);
    v->kind = ValueState::kBuffer;
    v->meta = {Dims(shape), dtype, device};
    v->strides = Dims(strides);
    v->offset = offset;
    v->buffer = std::move(buffer);
    return Tensor(std::move(v));
}

Tensor from_memory(const void* data, DimSpan shape, DimSpan strides, DType dtype, Device device) {
    const size_t size = dtype_size(dtype);
    const int64_t count = numel(shape);
    BufferRef buffer =
        Buffer::allocate(device_allocator(device), static_cast<size_t>(count) * size);
    std::vector<char> staged;
    const char* from = static_cast<const char*>(data);
    if (!is_contiguous(shape, strides) && count > 0) {
        staged.resize(static_cast<size_t>(count) * size);
        Dims index(shape.size(), 0);
        int64_t at = 0;
        for (int64_t i = 0; i < count; ++i) {
            std::memcpy(staged.data() + static_cast<size_t>(i) * size,
                        from + at * static_cast<int64_t>(size), size);
            for (size_t d = shape.size(); d-- > 0;) {
                at += strides[d];
                if (++index[d] < shape[d]) break;
                at -= strides[d] * shape[d];
                index[d] = 0;
            }
        }
        from = staged.data();
    }
    if (count > 0)
        backend(device).copy_from_host(device.index, buffer->data(), from,
                                       static_cast<size_t>(count) * size);
    return from_buffer(std::move(buffer), 0, shape, contiguous_strides(shape), dtype, device);
}

Tensor copy_to_device(const Tensor& x, Device device) {
    if (x.device() == device) return x;
    Tensor keep;
    const void* data = read_values(x, &keep);
    Tensor copy =
        !host_visible(x.device()) && device == Device{}
            ? keep
            : from_memory(data, x.shape(), contiguous_strides(x.shape()), x.dtype(), device);
    if (!grad_enabled() || !x.requires_grad()) return copy;
    Ref<GradNode> node(GradNode::make(1, 1));
    node->inputs[0] = {x.node(), x.output(), nullptr, x.value()->meta};
    node->outputs[0].meta = copy.value()->meta;
    node->extra = std::make_unique<GradExtra>();
    const Device home = x.device();
    node->extra->backward = [home](GradCall& c) { c.set(0, copy_to_device(c.grad(), home)); };
    return Tensor(copy.value(), node, 0);
}

void finish_recorded() {
    Recorder& recorder = Recorder::window();
    if (recorder.watch) recorder.watch->stop("it waits for all work (sn.synchronize)");
    recorder.flush();
    recorder.lane().drain();
    settle_failures(recorder);
    std::exception_ptr lost;
    try {
        const WaitScope scope;
        synchronize_devices();
    } catch (...) {
        lost = std::current_exception();
    }
    if (std::exception_ptr failure = recorder.take_failure()) std::rethrow_exception(failure);
    if (lost) std::rethrow_exception(lost);
}

}  // namespace sn
