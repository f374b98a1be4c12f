#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "backend/cuda/driver.h"
#include "backend/cuda/kernels/args.h"
#include "backend/cuda/memory.h"
#include "backend/cuda/transfer.h"

namespace sn::cuda {

inline constexpr int kMaxDevices = 64;

using ErrorReport = ErrorWord;  // on the host

struct Properties {
    std::string name;
    int capability = 0;  // 90: compute capability 9.0
    int multiprocessors = 0;
    int shared_bytes = 0;  // that a block may ask for
    size_t memory = 0;
};

// A GPU of this process. It is started (context, stream) by whoever first works on it; all kernels
// on it are issued, in order, on one stream.
class Gpu {
public:
    explicit Gpu(int index);  // fails where the device cannot be used
    const int index;
    Context context = nullptr;
    Stream stream = nullptr;
    Properties properties;
    DeviceMemory memory;
    Staging staging;
    Transfers transfers;
    ErrorWord* error_word = nullptr;

    // The calling thread's driver calls concern this device from now on.
    void use() const;
    void synchronize();
    // Copies to and from the other device need not go through the host, where both can do that.
    void reach(const Gpu& other);

    // Of copies to other devices.
    std::mutex peer_lock;
    Event peer_ready[kMaxDevices] = {};  // of the other device
    Event peer_done = nullptr;

private:
    std::atomic<bool> reached_[kMaxDevices] = {};
};

Gpu& gpu(int index);               // starts it
Gpu* started_gpu(int index);       // null: nobody has worked on it
Properties properties(int index);  // without starting it

// A word in device memory for kernels that check values. take_error waits for the device; true when
// a kernel has set the word, which is zero again then.
ErrorWord* error_word(int device);
bool take_error(int device, ErrorReport* report);

}  // namespace sn::cuda
