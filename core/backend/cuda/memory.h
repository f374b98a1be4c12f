#pragma once
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "backend/cuda/driver.h"
#include "base/allocator.h"

namespace sn::cuda {

class Gpu;

// Memory of one device. What is freed is kept and handed out again at once: work is issued on one
// stream, so whatever still uses the memory comes before whatever will.
//
// Blocks are cut from segments of the driver, best fit, and merged again on free; small blocks (up
// to 1 MiB) have segments of their own, so that they do not break up large ones. Segments that are
// idle as a whole go back to the driver when it has no more, or when the program says so. (Segments
// of virtual memory, which grow in place, could take the place of cuMemAlloc in new_segment.)
class DeviceMemory final : public Allocator {
public:
    explicit DeviceMemory(Gpu& gpu) : gpu_(gpu) {}

    void* allocate(size_t bytes) override;
    void free(void* data, size_t bytes) noexcept override;
    MemoryStats stats() const override;
    void reset_peak() override;
    int64_t release_cached() override;

    void set_limit(int64_t bytes);  // most that may be reserved; 0: what the device has
    int64_t limit() const { return limit_; }

private:
    struct Block {
        char* data;
        size_t bytes;
        Block* previous;  // neighbours in the segment; none at its ends
        Block* next;
        bool free, small;
    };
    struct BySize {
        bool operator()(const Block* a, const Block* b) const {
            return a->bytes != b->bytes ? a->bytes < b->bytes : a->data < b->data;
        }
    };
    using FreeBlocks = std::set<Block*, BySize>;

    Block* take(size_t bytes, bool small);
    Block* new_segment(size_t bytes, bool small);
    int64_t release_segments();
    [[noreturn]] void fail_to_allocate(size_t bytes) const;

    Gpu& gpu_;
    mutable std::mutex lock_;
    FreeBlocks free_[2];  // [small]
    std::unordered_map<void*, Block*> used_;
    int64_t limit_ = 0, in_use_ = 0, peak_ = 0, reserved_ = 0, n_alloc_ = 0, n_system_alloc_ = 0;
};

// Copies between the host and a device, through page-locked memory, which the device can read by
// itself. From any thread.
class Staging {
public:
    explicit Staging(Gpu& gpu) : gpu_(gpu) {}
    // After all work that was issued before; `from` has been read when it returns.
    void copy_to_device(void* to, const void* from, size_t bytes);
    // Waits for all work that was issued before.
    void copy_to_host(void* to, const void* from, size_t bytes);

private:
    static constexpr size_t kBytes = size_t{4} << 20;
    struct Block {
        char* data = nullptr;
        Event event = nullptr;  // of the last copy that uses it
    };
    bool start();

    Gpu& gpu_;
    std::mutex lock_;
    Block blocks_[2];
    bool started_ = false;
};

}  // namespace sn::cuda
