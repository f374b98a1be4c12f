#pragma once
#include <cstddef>
#include <cstdint>

namespace sn {

// All in bytes, blocks as rounded: reserved == in_use + cached.
struct MemoryStats {
    int64_t in_use = 0, peak = 0, cached = 0, reserved = 0;
    int64_t n_alloc = 0, n_system_alloc = 0, n_cache_hit = 0;
};

// Where buffers get their memory: 64-byte aligned. Implementations are thread-safe.
class Allocator {
public:
    virtual ~Allocator() = default;
    virtual void* allocate(size_t bytes) = 0;                  // fails with ErrorKind::kMemory
    virtual void free(void* data, size_t bytes) noexcept = 0;  // `bytes` as allocated

    virtual MemoryStats stats() const = 0;
    virtual void reset_peak() = 0;
    virtual int64_t release_cached() = 0;  // bytes given back to the system
};

}  // namespace sn
