#pragma once
// Memory that Sennit and other libraries of the process share: what runs before what, and how long
// it lives. Streams are numbers, as in DLPack and in Numba's CUDA array interface: 1 is the legacy
// default stream, 2 the default stream of the calling thread, others are handles of the driver.
#include <cstdint>

#include "base/buffer.h"

namespace sn::cuda {

inline constexpr int64_t kLegacyStream = 1, kThreadStream = 2;

int64_t stream_number(int device);  // of all of Sennit's work on it
// What `stream` is given from now on runs after all that Sennit has issued on the device.
void let_stream_wait(int device, int64_t stream);
// What Sennit issues from now on runs after all that `stream` has been given.
void wait_for_stream(int device, int64_t stream);

// The device whose memory this is; -1: it is none of a GPU.
int device_of(const void* memory);

// A buffer over memory of another library. `release(owner)` runs after the last holder is gone and
// the device has done what was issued until then, since the other library may use it again at once.
BufferRef adopt(int device, void* data, size_t bytes, void* owner, void (*release)(void* owner));

}  // namespace sn::cuda
