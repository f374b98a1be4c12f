#pragma once
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "backend/cuda/driver.h"
#include "base/allocator.h"
#include "base/buffer.h"
#include "base/unique_function.h"

namespace sn::cuda {

class Gpu;

// Page-locked memory for tensors, which every device may read and write by itself. What is freed is
// kept: locking pages takes long. No copy uses it then, since copies hold the buffers they use.
class PinnedMemory final : public Allocator {
public:
    void* allocate(size_t bytes) override;
    void free(void* data, size_t bytes) noexcept override;
    MemoryStats stats() const override;
    void reset_peak() override;
    int64_t release_cached() override;

private:
    mutable std::mutex lock_;
    std::multimap<size_t, void*> free_;  // by size
    std::unordered_map<void*, size_t> used_;
    int64_t in_use_ = 0, peak_ = 0, cached_ = 0, n_alloc_ = 0, n_system_alloc_ = 0;
};
PinnedMemory& pinned_memory();

// Copies beside the kernels, on a stream of their own. Its copies come after all work that was
// issued on the main stream before them, because memory that is handed out may still be in use
// there; the main stream waits for a copy only once something uses what it brings.
class Transfers {
public:
    explicit Transfers(Gpu& gpu) : gpu_(gpu) {}
    // To memory that nothing uses yet. `from` is held until it has been read.
    void upload(const void* to, HeldBuffer from, const void* at, size_t bytes);
    // After all that was issued; call what it returns to wait. The device's memory has to live
    // until then.
    UniqueFunction<void()> download(void* to, const void* from, size_t bytes);
    // Before anything else touches the memory that an upload fills.
    void settle(const void* data) noexcept {
        if (arriving_.load(std::memory_order_acquire) > 0) settle_slowly(data);
    }
    void synchronize();  // waits for the stream

private:
    struct Upload {
        const void* to;  // null: the main stream waits for it already
        Event event;
        HeldBuffer from;
    };
    void start();
    Event event();
    void follow();
    void let_go();
    void settle_slowly(const void* data) noexcept;

    Gpu& gpu_;
    std::mutex lock_;
    Stream stream_ = nullptr;
    Event issued_ = nullptr;      // of the main stream
    std::deque<Upload> uploads_;  // that may not have ended, in order
    std::vector<Event> spare_;
    std::atomic<int> arriving_{0};
};

// Between two devices, directly where they can reach each other's memory.
void copy_between(Gpu& to_gpu, void* to, Gpu& from_gpu, const void* from, size_t bytes);

}  // namespace sn::cuda
