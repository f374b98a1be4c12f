#pragma once
#include "record/tensor.h"

namespace sn {

// Flushes the window that makes the value, so that it has a buffer; does not wait for the contents.
void materialize(const Tensor& x);
// Waits for the contents (and raises what made them fail).
void wait_ready(const Tensor& x);
// Flushes, waits and returns a pointer to the elements in row-major order without gaps, on the
// host; `keep` holds them (as a tensor of the CPU where they were copied there). For ops whose
// result shape depends on values.
const void* read_values(const Tensor& x, Tensor* keep);
// Fails unless the host can read the elements through a pointer.
void require_host_memory(const char* op, const Tensor& x);
// A tensor over memory that belongs to somebody else (zero-copy) or a fresh copy of it.
Tensor from_memory(const void* data, DimSpan shape, DimSpan strides, DType dtype, Device device);
Tensor from_buffer(BufferRef buffer, int64_t offset, DimSpan shape, DimSpan strides, DType dtype,
                   Device device);
// A copy on another device (itself when it is there already); gradients flow back. non_blocking:
// one to the host may arrive later, which whoever reads it waits for. Those to a device always may.
Tensor copy_to_device(const Tensor& x, Device device, bool non_blocking = false);
// In page-locked memory of the host, for copies to and from `device` that take place while others
// run; itself when it lies there.
Tensor pin_memory(const Tensor& x, Device device);
bool is_pinned(const Tensor& x);
// Runs what this thread has recorded, waits for it, and raises what failed.
void finish_recorded();

}  // namespace sn
