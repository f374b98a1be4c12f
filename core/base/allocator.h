#pragma once
#include <cstddef>

namespace sn {

// Where buffers get their memory: 64-byte aligned. Implementations are thread-safe.
class Allocator {
public:
    virtual ~Allocator() = default;
    virtual void* allocate(size_t bytes) = 0;                  // fails with ErrorKind::kMemory
    virtual void free(void* data, size_t bytes) noexcept = 0;  // `bytes` as allocated
};

}  // namespace sn
