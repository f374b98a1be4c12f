#include "record/read.h"

#include <cstring>

#include "backend/backend.h"
#include "base/error.h"
#include "engine/engine.h"
#include "op/movement.h"
#include "plan/execute.h"
#include "plan/run.h"
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
    const Device device = v.meta.device;
    backend(device).settle(device.index, buffer->data());
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

namespace {

// The tensor with its elements in row-major order without gaps, where it lies; issued, on a device.
Tensor dense(const Tensor& x) {
    stop_watch("it reads elements of", x.value()->meta);
    const Tensor t = readable(x);
    Tensor made;
    {
        const OutsideTraces scope;
        made = contiguous(t);
    }
    wait_ready(made);
    return made;
}

char* address(const Tensor& x) {
    const Value& v = *x.value();
    return static_cast<char*>(v.buffer->data()) +
           v.offset * static_cast<int64_t>(dtype_size(v.meta.dtype));
}

size_t bytes_of(const Tensor& x) {
    return static_cast<size_t>(numel(x.shape())) * dtype_size(x.dtype());
}

Tensor over(BufferRef buffer, const Tensor& x, Device device) {
    return from_buffer(std::move(buffer), 0, x.shape(), contiguous_strides(x.shape()), x.dtype(),
                       device);
}

// Copies that do not wait, where both sides allow it; nothing otherwise.
Tensor copy_without_waiting(const Tensor& x, Device device) {
    const Device home = x.device();
    Backend &from = backend(home), &to = backend(device);
    if (!to.host_visible()) {
        const bool peers = home.backend == device.backend;
        if (!peers && !(host_visible(home) && is_pinned(x))) return {};
        const Tensor source = dense(x);
        if (!peers && !is_pinned(source)) return {};  // what has become dense lies elsewhere
        BufferRef buffer = Buffer::allocate(device_allocator(device), bytes_of(source));
        if (bytes_of(source) == 0) {
        } else if (peers) {
            to.copy_between(device.index, buffer->data(), home.index, address(source),
                            bytes_of(source));
        } else {
            to.copy_from_pinned(device.index, *buffer, source.value()->buffer, address(source),
                                bytes_of(source));
        }
        return over(std::move(buffer), source, device);
    }
    Allocator* pinned = from.pinned_allocator();
    if (!pinned || !(device == Device{}) || numel(x.shape()) == 0) return {};
    const Tensor source = dense(x);
    BufferRef buffer = Buffer::pending(*pinned, bytes_of(source));
    buffer->materialise();
    Task task;
    task.lane = Lane::kBlocking;
    task.name = "copy to the host";
    task.run = [held = HeldBuffer(source.value()->buffer),
                arrive = from.copy_to_pinned(home.index, buffer->data(), address(source),
                                             bytes_of(source))]() mutable { arrive(); };
    task.done = [buffer](const std::exception_ptr& error) {
        if (error)
            mark_failed(*buffer, error);
        else
            mark_ready(*buffer);
    };
    buffer->producer = push(std::move(task));
    Tensor made = over(std::move(buffer), source, device);
    static const RunLane* elsewhere = new RunLane;  // windows wait for what is not of their lane
    made.value()->lane = elsewhere;
    return made;
}

// A copy of `x` whose gradient goes back to where x is.
Tensor with_history(const Tensor& x, Tensor copy) {
    if (!grad_enabled() || !x.requires_grad()) return copy;
    Ref<GradNode> node(GradNode::make(1, 1));
    node->inputs[0] = {x.node(), x.output(), nullptr, x.value()->meta};
    node->outputs[0].meta = copy.value()->meta;
    node->extra = std::make_unique<GradExtra>();
    const Device home = x.device();
    node->extra->backward = [home](GradCall& c) { c.set(0, copy_to_device(c.grad(), home)); };
    return Tensor(copy.value(), node, 0);
}

}  // namespace

Tensor copy_to_device(const Tensor& x, Device device, bool non_blocking) {
    if (x.device() == device) return x;
    Tensor copy;
    // Copies to a device are ordered with its work, so that nobody can tell that they do not wait.
    if (non_blocking || !host_visible(device)) copy = copy_without_waiting(x, device);
    if (!copy.value()) {
        Tensor keep;
        const void* data = read_values(x, &keep);
        copy = !host_visible(x.device()) && device == Device{}
                   ? keep
                   : from_memory(data, x.shape(), contiguous_strides(x.shape()), x.dtype(), device);
    }
    return with_history(x, std::move(copy));
}

bool is_pinned(const Tensor& x) {
    const Tensor t = readable(x);
    const Value& v = *t.value();
    if (v.kind == ValueState::kPending) materialize(t);  // a part of a tensor lies where that does
    if (!host_visible(v.meta.device) || v.kind != ValueState::kBuffer || !v.buffer->allocator())
        return false;
    for (int i = 0; i < backend_count(); ++i)
        if (backend({static_cast<uint8_t>(i), 0}).pinned_allocator() == v.buffer->allocator())
            return true;
    return false;
}

Tensor pin_memory(const Tensor& x, Device device) {
    Allocator* pinned = backend(device).pinned_allocator();
    if (!pinned) {
        fail(ErrorKind::kDevice, "pin_memory",
             "'%s' does not copy from page-locked memory; 'cuda' does; leave the device out",
             device_name(device).c_str());
    }
    if (!host_visible(x.device())) {
        fail(ErrorKind::kDevice, "pin_memory",
             "a tensor of shape %s is on '%s'; only memory of the host can be page-locked: copy it "
             "with x.to(\"cpu\", non_blocking=True), which lies in such memory",
             format_shape(x.shape()).c_str(), device_name(x.device()).c_str());
    }
    if (is_pinned(x)) return x;
    Tensor keep;
    const void* data = read_values(x, &keep);
    BufferRef buffer = Buffer::allocate(*pinned, bytes_of(keep));
    if (bytes_of(keep) > 0) std::memcpy(buffer->data(), data, bytes_of(keep));
    return with_history(x, over(std::move(buffer), keep, x.device()));
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
