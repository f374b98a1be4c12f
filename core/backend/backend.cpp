#include "backend/backend.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/error.h"

namespace sn {

std::unique_ptr<Backend> make_cpu_backend();        // backend/cpu/backend.cpp
std::unique_ptr<Backend> make_reference_backend();  // backend/reference/backend.cpp
#if !defined(SN_RUNTIME)
namespace cuda {
std::string load_backend();  // backend/cuda/backend.cpp
}
#endif

namespace {

std::atomic<MatmulPrecision> precision{MatmulPrecision::kHighest};

// Kinds of devices that are looked for when they are first asked for. A loader registers a back-end
// of that name, or returns why it cannot, in words, with what to install.
struct Loader {
    const char* kind;
    std::string (*load)();
};
constexpr Loader kLoaders[] = {
#if !defined(SN_RUNTIME)
    {"cuda", cuda::load_backend},
#else
    {"cuda", [] { return std::string("this build of Sennit has no CUDA back-end"); }},
#endif
};

// Read without a lock by whatever runs; entries are only ever added.
struct Registry {
    static constexpr int kMost = 8;
    Backend* all[kMost] = {};
    std::atomic<int> count{0};
    std::mutex lock;

    Registry() {
        add(make_cpu_backend());
#if !defined(SN_RUNTIME)
        add(make_reference_backend());
#endif
    }
    void add(std::unique_ptr<Backend> backend) {
        const std::lock_guard guard(lock);
        const int at = count.load(std::memory_order_relaxed);
        SN_CHECK(at < kMost);
        all[at] = backend.release();
        count.store(at + 1, std::memory_order_release);
    }
};

Registry& registry() {
    static auto* made = new Registry;
    return *made;
}

int find_backend(const std::string& kind) {
    const Registry& r = registry();
    for (int i = 0; i < r.count.load(std::memory_order_acquire); ++i)
        if (kind == r.all[i]->name()) return i;
    return -1;
}

int parse_index(const std::string& name, const std::string& kind) {
    if (name.size() == kind.size()) return 0;
    const std::string digits = name.substr(kind.size() + 1);
    const bool number =
        !digits.empty() && digits.size() < 4 &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!number) {
        fail(ErrorKind::kDevice, "device", "'%s' is not a device; write it as '%s:0'", name.c_str(),
             kind.c_str());
    }
    return std::stoi(digits);
}

}  // namespace

void register_backend(std::unique_ptr<Backend> backend) { registry().add(std::move(backend)); }
int backend_count() { return registry().count.load(std::memory_order_acquire); }
Backend& backend(Device device) { return *registry().all[device.backend]; }

void synchronize_devices() {
    for (int i = 0; i < backend_count(); ++i) {
        Backend& b = *registry().all[i];
        if (!b.in_order()) continue;
        for (int k = 0; k < b.device_count(); ++k) b.synchronize(k);
    }
}

std::string device_name(Device device) {
    const Backend& b = backend(device);
    if (device.index == 0 && device.backend == 0) return b.name();
    return std::string(b.name()) + ":" + std::to_string(device.index);
}

std::string unavailable_reason(const std::string& kind) {
    if (find_backend(kind) >= 0) return {};
    for (const Loader& loader : kLoaders)
        if (kind == loader.kind) return loader.load();
    return {};
}

Device parse_device(const std::string& name) {
    const std::string kind = name.substr(0, name.find(':'));
    int at = find_backend(kind);
    if (at < 0) {
        const std::string reason = unavailable_reason(kind);
        at = find_backend(kind);
        if (!reason.empty()) {
            fail(ErrorKind::kDevice, "device",
                 "'%s' cannot be used here: %s; sn.doctor() tells what was looked for; use 'cpu' "
                 "instead",
                 name.c_str(), reason.c_str());
        }
        if (at < 0) {
            fail(ErrorKind::kDevice, "device", "'%s' is not a kind of device; 'cpu' and 'cuda' are",
                 name.c_str());
        }
    }
    const int index = parse_index(name, kind);
    const int count = registry().all[at]->device_count();
    if (index >= count) {
        fail(ErrorKind::kDevice, "device",
             "there is no device '%s'; this process has %d of kind '%s'%s", name.c_str(), count,
             kind.c_str(),
             at == 0 ? "; set SENNIT_CPU_DEVICES to get more before Sennit is imported" : "");
    }
    return {static_cast<uint8_t>(at), static_cast<uint8_t>(index)};
}

MatmulPrecision matmul_precision() { return precision.load(std::memory_order_relaxed); }
void set_matmul_precision(MatmulPrecision chosen) { precision = chosen; }

}  // namespace sn
