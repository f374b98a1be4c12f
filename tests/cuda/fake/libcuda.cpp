// A CUDA driver without a GPU, for tests: the functions of libcuda.so.1 that Sennit uses, as NVIDIA
// documents them. Device memory is memory of the host that can be touched only while a copy or a
// kernel runs, so that code which takes a device's pointer for one of the host crashes. Kernels are
// libraries that the fake NVRTC (libnvrtc.cpp) has compiled through the thread-block shim.
//
// Set by the environment:
//   SENNIT_FAKE_DEVICES=1        how many GPUs there are
//   SENNIT_FAKE_VERSION=13000    the driver's CUDA version
//   SENNIT_FAKE_CAPABILITY=90    compute capability
//   SENNIT_FAKE_MEMORY=256       MiB of each device
//   SENNIT_FAKE_INIT=0           what cuInit returns
//   SENNIT_FAKE_LOST_AFTER=-1    launches until the device is lost (CUDA_ERROR_LAUNCH_FAILED)
//   SENNIT_FAKE_SLOW=0           milliseconds that each wait takes
//   SENNIT_FAKE_PEERS=1          0: no device reaches another one's memory by itself
//   SENNIT_FAKE_NO_PINNED=0      1: page-locked memory cannot be had
//   SENNIT_FAKE_LAZY=0           1: what is issued runs when somebody waits for it, as late as it
//                                may: page-locked memory is read then, other memory at the call;
//                                2: the same for a device's first stream, while others run at once;
//                                3: the first stream runs at once, and others late
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;

namespace {

enum : CUresult {
    kSuccess = 0,
    kInvalidValue = 1,
    kOutOfMemory = 2,
    kNotInitialized = 3,
    kNoDevice = 100,
    kInvalidDevice = 101,
    kInvalidImage = 200,
    kInvalidContext = 201,
    kNoBinaryForGpu = 209,
    kInvalidHandle = 400,
    kNotFound = 500,
    kNotReady = 600,
    kPeerAlreadyEnabled = 704,
    kLaunchFailed = 719,
};

long setting(const char* name, long otherwise) {
    const char* text = std::getenv(name);
    return text ? std::atol(text) : otherwise;
}

// As tests/cuda/shim/cuda_shim.h has it.
struct ShimLaunch {
    uint32_t blocks[3];
    uint32_t threads[3];
    uint32_t shared_bytes;
};

}  // namespace

struct CUctx_st {
    int device = 0;
    char* memory = nullptr;
    size_t bytes = 0, used = 0;
    std::map<char*, size_t> live;  // allocations
    int streams = 0;
    std::map<CUctx_st*, bool> peers;
};
struct CUstream_st {
    CUctx_st* context;
    std::deque<std::function<void()>> queue;
    uint64_t issued = 0, done = 0;
    bool first = false;  // of its device
};
struct CUevent_st {
    CUstream_st* stream = nullptr;
    uint64_t at = 0;
};
struct CUmod_st {
    void* library;
};
struct CUfunc_st {
    void (*run)(const ShimLaunch*, const void*);
    int dynamic_shared = 48 << 10;
};

namespace {

std::recursive_mutex lock;
bool initialized = false;
long launches = 0;
bool lost = false;
std::vector<CUctx_st*> contexts;
std::map<char*, size_t> pinned;
thread_local CUctx_st* current = nullptr;

using Guard = std::lock_guard<std::recursive_mutex>;

long device_count() { return setting("SENNIT_FAKE_DEVICES", 1); }

CUresult state() {
    if (!initialized) return kNotInitialized;
    if (lost) return kLaunchFailed;
    return current ? kSuccess : kInvalidContext;
}

// The memory of all devices can be touched while this lives.
struct Touch {
    Touch() {
        if (depth++ == 0) protect(PROT_READ | PROT_WRITE);
    }
    ~Touch() {
        if (--depth == 0) protect(PROT_NONE);
    }
    static inline int depth = 0;  // a wait for another stream runs inside of one
    static void protect(int how) {
        for (CUctx_st* c : contexts)
            if (c && mprotect(c->memory, c->bytes, how) != 0) std::abort();
    }
};

// Whether a range lies inside one allocation of a device.
bool inside(const CUctx_st* context, CUdeviceptr at, size_t bytes) {
    char* p = reinterpret_cast<char*>(at);
    auto it = context->live.upper_bound(p);
    if (it == context->live.begin()) return false;
    --it;
    return p + bytes <= it->first + it->second;
}

bool is_pinned(const void* p) {
    auto it = pinned.upper_bound(static_cast<char*>(const_cast<void*>(p)));
    if (it == pinned.begin()) return false;
    --it;
    return p < it->first + it->second;
}

void run_until(CUstream_st* s, uint64_t until) {
    while (s->done < until && !s->queue.empty()) {
        const auto work = std::move(s->queue.front());
        s->queue.pop_front();
        if (!lost) {
            const Touch touch;
            work();
        }
        ++s->done;
    }
}

CUresult issue(CUstream_st* s, std::function<void()> work) {
    s->queue.push_back(std::move(work));
    ++s->issued;
    const long late = setting("SENNIT_FAKE_LAZY", 0);
    if (late == 0 || (late == 2 && !s->first) || (late == 3 && s->first)) run_until(s, s->issued);
    return lost ? kLaunchFailed : kSuccess;
}

// The default streams (0 and 1: of the context, 2: of a thread; here one for all threads).
CUstream_st* stream_of(CUstream_st* handle) {
    const auto number = reinterpret_cast<uintptr_t>(handle);
    if (number > 2) return handle;
    static std::map<std::pair<CUctx_st*, bool>, CUstream_st*> made;
    CUstream_st*& stream = made[{current, number == 2}];
    if (!stream) stream = new CUstream_st{current, {}};
    return stream;
}

const std::pair<CUresult, std::pair<const char*, const char*>> kErrors[] = {
    {0, {"CUDA_SUCCESS", "no error"}},
    {1, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
    {2, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
    {3, {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"}},
    {100, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
    {101, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
    {200, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
    {201, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
    {209, {"CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution"}},
    {400, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
    {500, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
    {719, {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
    {803, {"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver"}},
    {999, {"CUDA_ERROR_UNKNOWN", "unknown error"}},
};

}  // namespace

API CUresult cuInit(unsigned flags) {
    const Guard guard(lock);
    if (flags != 0) return kInvalidValue;
    if (const long result = setting("SENNIT_FAKE_INIT", 0)) return static_cast<CUresult>(result);
    if (device_count() == 0) return kNoDevice;
    initialized = true;
    return kSuccess;
}

API CUresult cuDriverGetVersion(int* version) {
    *version = static_cast<int>(setting("SENNIT_FAKE_VERSION", 13000));
    return kSuccess;
}

API CUresult cuGetErrorName(CUresult error, const char** text) {
    for (const auto& [code, words] : kErrors)
        if (code == error) return *text = words.first, kSuccess;
    *text = nullptr;
    return kInvalidValue;
}

API CUresult cuGetErrorString(CUresult error, const char** text) {
    for (const auto& [code, words] : kErrors)
        if (code == error) return *text = words.second, kSuccess;
    *text = nullptr;
    return kInvalidValue;
}

API CUresult cuDeviceGetCount(int* count) {
    if (!initialized) return kNotInitialized;
    *count = static_cast<int>(device_count());
    return kSuccess;
}

API CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    if (!initialized) return kNotInitialized;
    if (ordinal < 0 || ordinal >= device_count()) return kInvalidDevice;
    *device = ordinal;
    return kSuccess;
}

API CUresult cuDeviceGetName(char* name, int bytes, CUdevice) {
    std::snprintf(name, static_cast<size_t>(bytes), "Fake GPU");
    return kSuccess;
}

API CUresult cuDeviceGetAttribute(int* value, int which, CUdevice device) {
    if (device < 0 || device >= device_count()) return kInvalidDevice;
    const int capability = static_cast<int>(setting("SENNIT_FAKE_CAPABILITY", 90));
    switch (which) {
        case 16: *value = 4; return kSuccess;  // multiprocessors
        case 75: *value = capability / 10; return kSuccess;
        case 76: *value = capability % 10; return kSuccess;
        case 97: *value = 227 << 10; return kSuccess;  // shared memory that a block may ask for
        default: return kInvalidValue;
    }
}

API CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice) {
    *bytes = static_cast<size_t>(setting("SENNIT_FAKE_MEMORY", 256)) << 20;
    return kSuccess;
}

API CUresult cuDevicePrimaryCtxRetain(CUctx_st** context, CUdevice device) {
    const Guard guard(lock);
    if (!initialized) return kNotInitialized;
    if (device < 0 || device >= device_count()) return kInvalidDevice;
    contexts.resize(static_cast<size_t>(device_count()));
    CUctx_st*& made = contexts[static_cast<size_t>(device)];
    if (!made) {
        auto* c = new CUctx_st;
        c->device = device;
        cuDeviceTotalMem_v2(&c->bytes, device);
        void* memory =
            mmap(nullptr, c->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return kOutOfMemory;
        c->memory = static_cast<char*>(memory);
        made = c;
    }
    *context = made;
    return kSuccess;
}

API CUresult cuCtxSetCurrent(CUctx_st* context) {
    if (!initialized) return kNotInitialized;
    current = context;
    return kSuccess;
}

API CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    *free = current->bytes - current->used;
    *total = current->bytes;
    return kSuccess;
}

API CUresult cuMemAlloc_v2(CUdeviceptr* memory, size_t bytes) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    if (bytes == 0) return kInvalidValue;
    const size_t rounded = (bytes + 511) / 512 * 512;
    char* at = current->memory;  // the first gap that is large enough
    for (const auto& [begin, size] : current->live) {
        if (static_cast<size_t>(begin - at) >= rounded) break;
        at = begin + size;
    }
    if (at + rounded > current->memory + current->bytes) return kOutOfMemory;
    current->live[at] = rounded;
    current->used += rounded;
    {
        const Touch touch;
        std::memset(at, 0xff, rounded);  // nothing is zeroed, and reads of it show
    }
    *memory = reinterpret_cast<CUdeviceptr>(at);
    return kSuccess;
}

API CUresult cuMemFree_v2(CUdeviceptr memory) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    const auto it = current->live.find(reinterpret_cast<char*>(memory));
    if (it == current->live.end()) return kInvalidValue;
    current->used -= it->second;
    current->live.erase(it);
    return kSuccess;
}

API CUresult cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    if (setting("SENNIT_FAKE_NO_PINNED", 0)) return kOutOfMemory;
    *memory = std::malloc(bytes);
    pinned[static_cast<char*>(*memory)] = bytes;
    return kSuccess;
}

API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream_st* s) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    s = stream_of(s);
    if (s->context != current) return kInvalidHandle;
    if (!inside(current, to, bytes)) return kInvalidValue;
    char* target = reinterpret_cast<char*>(to);
    if (is_pinned(from)) return issue(s, [=] { std::memcpy(target, from, bytes); });
    std::string copy(static_cast<const char*>(from), bytes);
    return issue(s, [=] { std::memcpy(target, copy.data(), bytes); });
}

API CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream_st* s) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    s = stream_of(s);
    if (s->context != current) return kInvalidHandle;
    if (!inside(current, from, bytes)) return kInvalidValue;
    const char* source = reinterpret_cast<const char*>(from);
    const CUresult result = issue(s, [=] { std::memcpy(to, source, bytes); });
    if (!is_pinned(to)) run_until(s, s->issued);  // waits, for memory that is not page-locked
    return result;
}

API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream_st* s) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    s = stream_of(s);
    if (!inside(current, to, bytes) || !inside(current, from, bytes)) return kInvalidValue;
    return issue(s, [=] {
        std::memcpy(reinterpret_cast<char*>(to), reinterpret_cast<const char*>(from), bytes);
    });
}

API CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream_st* s) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    s = stream_of(s);
    if (!inside(current, to, bytes)) return kInvalidValue;
    return issue(s, [=] { std::memset(reinterpret_cast<char*>(to), value, bytes); });
}

API CUresult cuStreamCreate(CUstream_st** stream, unsigned) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    *stream = new CUstream_st{current, {}};
    (*stream)->first = current->streams++ == 0;
    return kSuccess;
}

API CUresult cuStreamSynchronize(CUstream_st* stream) {
    usleep(static_cast<useconds_t>(1000 * setting("SENNIT_FAKE_SLOW", 0)));
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    stream = stream_of(stream);
    run_until(stream, stream->issued);
    return lost ? kLaunchFailed : kSuccess;
}

API CUresult cuEventCreate(CUevent_st** event, unsigned) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    *event = new CUevent_st;
    return kSuccess;
}

API CUresult cuEventRecord(CUevent_st* event, CUstream_st* stream) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    stream = stream_of(stream);
    event->stream = stream;
    event->at = stream->issued;
    return kSuccess;
}

API CUresult cuEventQuery(CUevent_st* event) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    return !event->stream || event->stream->done >= event->at ? kSuccess : kNotReady;
}

// What the event has recorded until now, whatever it records later.
API CUresult cuStreamWaitEvent(CUstream_st* stream, CUevent_st* event, unsigned flags) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    if (flags != 0) return kInvalidValue;
    stream = stream_of(stream);
    CUstream_st* other = event->stream;
    const uint64_t at = event->at;
    stream = stream_of(stream);
    if (!other || other == stream) return kSuccess;
    return issue(stream, [=] { run_until(other, at); });
}

API CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
    if (device == peer) return kInvalidDevice;
    *can = setting("SENNIT_FAKE_PEERS", 1) != 0;
    return kSuccess;
}

API CUresult cuCtxEnablePeerAccess(CUctx_st* peer, unsigned flags) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    if (flags != 0 || peer == current || !setting("SENNIT_FAKE_PEERS", 1)) return kInvalidValue;
    if (current->peers[peer]) return kPeerAlreadyEnabled;
    current->peers[peer] = true;
    return kSuccess;
}

API CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUctx_st* to_context, CUdeviceptr from,
                               CUctx_st* from_context, size_t bytes, CUstream_st* s) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    s = stream_of(s);
    if (s->context != from_context) return kInvalidHandle;
    if (!inside(to_context, to, bytes) || !inside(from_context, from, bytes)) return kInvalidValue;
    return issue(s, [=] {
        std::memcpy(reinterpret_cast<char*>(to), reinterpret_cast<const char*>(from), bytes);
    });
}

API CUresult cuMemFreeHost(void* memory) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    if (pinned.erase(static_cast<char*>(memory)) == 0) return kInvalidValue;
    std::free(memory);
    return kSuccess;
}

API CUresult cuEventSynchronize(CUevent_st* event) {
    usleep(static_cast<useconds_t>(1000 * setting("SENNIT_FAKE_SLOW", 0)));
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    if (event->stream) run_until(event->stream, event->at);
    return lost ? kLaunchFailed : kSuccess;
}

API CUresult cuPointerGetAttribute(void* value, int which, CUdeviceptr memory) {
    const Guard guard(lock);
    if (!initialized) return kNotInitialized;
    if (which != 9) return kInvalidValue;  // the device's number
    for (const CUctx_st* c : contexts)
        if (c && inside(c, memory, 1)) return *static_cast<int*>(value) = c->device, kSuccess;
    return kInvalidValue;
}

// An image of the fake NVRTC: "FAKE" (code of one generation of
// devices) or "FPTX" (of all that are no older), the
// architecture, the size of the library, the library.
API CUresult cuModuleLoadData(CUmod_st** module, const void* image) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    const char* data = static_cast<const char*>(image);
    const bool portable = std::memcmp(data, "FPTX", 4) == 0;
    if (!portable && std::memcmp(data, "FAKE", 4) != 0) return kInvalidImage;
    uint32_t arch;
    uint64_t bytes;
    std::memcpy(&arch, data + 4, sizeof arch);
    std::memcpy(&bytes, data + 8, sizeof bytes);
    const auto mine = static_cast<uint32_t>(setting("SENNIT_FAKE_CAPABILITY", 90));
    const bool older = arch <= mine;
    if (!older || (!portable && arch / 10 != mine / 10)) return kNoBinaryForGpu;
    const int file = memfd_create("kernel", 0);
    for (uint64_t done = 0; done < bytes;) {
        const ssize_t part = write(file, data + 16 + done, bytes - done);
        if (part <= 0) return kOutOfMemory;
        done += static_cast<uint64_t>(part);
    }
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    void* library =
        dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // `file` stays open: one path each
    if (!library) {
        std::fprintf(stderr, "fake driver: %s\n", dlerror());
        return kInvalidImage;
    }
    *module = new CUmod_st{library};
    return kSuccess;
}

API CUresult cuModuleGetFunction(CUfunc_st** function, CUmod_st* module, const char* name) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    void* symbol = dlsym(module->library, name);
    if (!symbol) return kNotFound;
    *function = new CUfunc_st{reinterpret_cast<void (*)(const ShimLaunch*, const void*)>(symbol)};
    return kSuccess;
}

API CUresult cuFuncSetAttribute(CUfunc_st* function, int which, int value) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    if (which != 8 || value < 0 || value > (227 << 10)) return kInvalidValue;
    function->dynamic_shared = value;
    return kSuccess;
}

API CUresult cuLaunchKernel(CUfunc_st* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                            unsigned block_x, unsigned block_y, unsigned block_z,
                            unsigned shared_bytes, CUstream_st* stream, void** params,
                            void** extra) {
    const Guard guard(lock);
    if (const CUresult bad = state()) return bad;
    stream = stream_of(stream);
    if (stream->context != current) return kInvalidHandle;
    const bool empty = !grid_x || !grid_y || !grid_z || !block_x || !block_y || !block_z;
    if (params || !extra || empty || grid_x > 0x7fffffffu || grid_y > 65535 || grid_z > 65535 ||
        block_x * block_y * block_z > 1024 || block_z > 64 ||
        shared_bytes > static_cast<unsigned>(function->dynamic_shared))
        return kInvalidValue;
    const char* data = nullptr;
    size_t bytes = 0;
    for (int i = 0; extra[i]; i += 2) {
        if (extra[i] == reinterpret_cast<void*>(1))
            data = static_cast<const char*>(extra[i + 1]);
        else if (extra[i] == reinterpret_cast<void*>(2))
            bytes = *static_cast<size_t*>(extra[i + 1]);
        else
            return kInvalidValue;
    }
    if (!data || bytes > 4096) return kInvalidValue;
    const long limit = setting("SENNIT_FAKE_LOST_AFTER", -1);
    const bool fails = limit >= 0 && ++launches > limit;
    const ShimLaunch shape{{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes};
    // Arguments are copied at the call, to where any struct may lie.
    auto args = std::make_shared<std::vector<max_align_t>>(bytes / sizeof(max_align_t) + 1);
    std::memcpy(args->data(), data, bytes);
    const auto run = function->run;
    return issue(stream, [=] {
        if (fails)
            lost = true;
        else
            run(&shape, args->data());
    });
}
