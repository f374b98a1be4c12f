#include "backend/cuda/exchange.h"

#include <mutex>

#include "backend/cuda/device.h"
#include "base/error.h"

namespace sn::cuda {

namespace {

Stream stream_of(int64_t number) { return reinterpret_cast<Stream>(number); }

// `later` goes on when all that `earlier` has been given by now is done.
void order(int device, Stream earlier, Stream later) {
    static std::mutex lock;  // an event is recorded and waited for before the next use of it
    static Event events[kMaxDevices] = {};
    const Driver& driver = libraries().driver;
    gpu(device).use();
    const std::lock_guard guard(lock);
    Event& event = events[device];
    constexpr unsigned kNoTiming = 2;
    if (!event) check(driver.create_event(&event, kNoTiming), "creating an event");
    check(driver.record_event(event, earlier), "marking a place in a stream");
    check(driver.wait_event(later, event, 0), "letting a stream wait for another");
}

struct Foreign {
    int device;
    void* owner;
    void (*release)(void*);
};

void release_foreign(void* held) {
    auto* foreign = static_cast<Foreign*>(held);
    try {
        gpu(foreign->device).synchronize();
    } catch (const Error&) {
        // The device is lost, and nothing runs on it: whoever uses it next is told.
    }
    foreign->release(foreign->owner);
    delete foreign;
}

}  // namespace

int64_t stream_number(int device) { return reinterpret_cast<int64_t>(gpu(device).stream); }

void let_stream_wait(int device, int64_t stream) {
    if (stream != stream_number(device)) order(device, gpu(device).stream, stream_of(stream));
}

void wait_for_stream(int device, int64_t stream) {
    if (stream != stream_number(device)) order(device, stream_of(stream), gpu(device).stream);
}

int device_of(const void* memory) {
    constexpr int kOrdinal = 9;  // CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    int device = -1;
    const auto pointer = reinterpret_cast<DevicePointer>(memory);
    return libraries().driver.pointer_attribute(&device, kOrdinal, pointer) == 0 ? device : -1;
}

BufferRef adopt(int device, void* data, size_t bytes, void* owner, void (*release)(void* owner)) {
    return Buffer::borrow(data, bytes, new Foreign{device, owner, release}, release_foreign, true);
}

}  // namespace sn::cuda
