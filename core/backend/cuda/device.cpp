#include "backend/cuda/device.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/error.h"
#include "base/system.h"

namespace sn::cuda {

namespace {

std::atomic<Gpu*> gpus[kMaxDevices];
std::mutex starting;
// A child of a fork shares the parent's context, which the driver does not allow.
std::atomic<bool> forked{false};

int attribute(DeviceHandle device, int which) {
    int value = 0;
    check(libraries().driver.device_attribute(&value, which, device), "asking for a property");
    return value;
}

Properties read_properties(DeviceHandle device) {
    constexpr int kMultiprocessors = 16, kMajor = 75, kMinor = 76, kSharedOptin = 97;
    const Driver& driver = libraries().driver;
    Properties p;
    char name[256] = {};
    check(driver.device_name(name, sizeof name - 1, device), "asking for a device's name");
    p.name = name;
    p.capability = attribute(device, kMajor) * 10 + attribute(device, kMinor);
    p.multiprocessors = attribute(device, kMultiprocessors);
    p.shared_bytes = attribute(device, kSharedOptin);
    check(driver.device_memory(&p.memory, device), "asking for a device's memory");
    return p;
}

}  // namespace

Gpu::Gpu(int at) : index(at), memory(*this), staging(*this), transfers(*this) {
    const Driver& driver = libraries().driver;
    DeviceHandle device = 0;
    check(driver.device_get(&device, at), "opening the device");
    properties = read_properties(device);
    const Compiler& compiler = libraries().compiler;
    const std::string where = "cuda:" + std::to_string(at) + " (" + properties.name + ")";
    if (compiler && properties.capability < compiler.known.front()) {
        fail(
            ErrorKind::kDevice, "device",
            "%s has compute capability %d.%d, and NVRTC %d.%d compiles for %d.%d and later; use an "
            "older NVRTC (pip install 'sennit[cuda12]'), or another GPU",
            where.c_str(), properties.capability / 10, properties.capability % 10, compiler.major,
            compiler.minor, compiler.known.front() / 10, compiler.known.front() % 10);
    }
    // The primary context is the one that other libraries of the process use too.
    check(driver.retain_context(&context, device), "starting the device");
    use();
    constexpr unsigned kNonBlocking = 1;
    check(driver.create_stream(&stream, kNonBlocking), "creating a stream");
    DevicePointer word = 0;
    check(driver.allocate(&word, sizeof(ErrorWord)), "starting the device");
    check(driver.fill_bytes(word, 0, sizeof(ErrorWord), stream), "starting the device");
    error_word = reinterpret_cast<ErrorWord*>(word);
}

void Gpu::use() const {
    if (forked.load(std::memory_order_relaxed)) [[unlikely]] {
        fail(ErrorKind::kDevice, "cuda",
             "this process was forked from one that had used CUDA, where it cannot be used; start "
             "processes with multiprocessing's \"spawn\" or \"forkserver\"");
    }
    check(libraries().driver.set_context(context), "choosing the device");
}

void Gpu::synchronize() {
    use();
    check(libraries().driver.synchronize_stream(stream), "waiting for the device");
    transfers.synchronize();
}

void Gpu::reach(const Gpu& other) {
    if (reached_[other.index].load(std::memory_order_acquire)) return;
    const Driver& driver = libraries().driver;
    int can = 0;
    check(driver.can_access_peer(&can, index, other.index), "asking for peer access");
    use();
    constexpr Result kAlreadyEnabled = 704;
    if (can) {
        const Result result = driver.enable_peer_access(other.context, 0);
        if (result != kAlreadyEnabled) check(result, "enabling peer access");
    }
    reached_[other.index].store(true, std::memory_order_release);
}

Gpu* started_gpu(int index) { return gpus[index].load(std::memory_order_acquire); }

Gpu& gpu(int index) {
    if (Gpu* found = started_gpu(index)) [[likely]]
        return *found;
    const std::lock_guard guard(starting);
    if (Gpu* found = started_gpu(index)) return *found;
    SN_CHECK(index >= 0 && index < std::min(libraries().driver.devices, kMaxDevices));
    static const bool watched = [] {
        system::at_fork([] {}, [] {}, [] { forked.store(true); });
        return true;
    }();
    (void)watched;
    auto* made = new Gpu(index);
    gpus[index].store(made, std::memory_order_release);
    return *made;
}

Properties properties(int index) {
    if (const Gpu* found = started_gpu(index)) return found->properties;
    DeviceHandle device = 0;
    check(libraries().driver.device_get(&device, index), "opening the device");
    return read_properties(device);
}

ErrorWord* error_word(int device) { return gpu(device).error_word; }

bool take_error(int device, ErrorReport* report) {
    Gpu& g = gpu(device);
    g.staging.copy_to_host(report, g.error_word, sizeof *report);
    if (report->set == 0) return false;
    check(libraries().driver.fill_bytes(reinterpret_cast<DevicePointer>(g.error_word), 0,
                                        sizeof *report, g.stream),
          "clearing an error");
    return true;
}

}  // namespace sn::cuda
