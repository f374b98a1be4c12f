#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/allocator.h"
#include "base/spin_lock.h"

namespace sn {

// Keeps what is freed and hands it out again. Two parts:
// small (up to 4 KiB): size classes in runs of 64 KiB, a free list per run;
// large: segments from the system, best fit, split on allocation and merged again on free.
// Whole segments go back to the system when more than `cache_limit` bytes are idle.
class RecyclingAllocator final : public Allocator {
public:
    // cache_limit < 0: the default, the larger of 256 MiB and 1/8 of memory_limit().
    explicit RecyclingAllocator(std::string name, int64_t cache_limit = -1);
    ~RecyclingAllocator() override;

    void* allocate(size_t bytes) override;
    void free(void* data, size_t bytes) noexcept override;

    MemoryStats stats() const override;
    int64_t in_use() const { return in_use_.load(std::memory_order_relaxed); }
    void reset_peak() override;
    int64_t release_cached() override;
    void set_cache_limit(int64_t bytes);
    const std::string& name() const { return name_; }

    // The allocator is usable in a forked child, whatever other threads did with it.
    void lock_for_fork();
    void unlock_after_fork();

private:
    struct Run;
    struct SmallSegment;
    struct Block;
    struct BySize {
        bool operator()(const Block* a, const Block* b) const;
    };

    void* allocate_small(int size_class);
    void free_small(void* data, int size_class) noexcept;
    Run* new_run(int size_class);
    void* allocate_large(size_t bytes);
    void free_large(void* data) noexcept;
    Block* new_segment(size_t bytes);
    void drop_segment(Block* block);
    int64_t trim(int64_t keep);
    void* system_allocate(size_t bytes);
    [[noreturn]] void fail_to_allocate(size_t bytes) const;
    void count(int64_t bytes);
    int64_t idle() const { return reserved_.load() - in_use_.load(); }

    static constexpr int kClasses = 20;
    const std::string name_;
    std::atomic<int64_t> cache_limit_, in_use_{0}, peak_{0}, reserved_{0}, n_system_alloc_{0};

    mutable SpinLock small_lock_;
    Run* partial_[kClasses] = {};  // runs with a free block
    std::vector<SmallSegment*> small_segments_;
    int64_t n_small_ = 0;

    std::mutex large_lock_;
    std::set<Block*, BySize> free_blocks_;  // the least that fits, at the lowest address
    std::unordered_map<void*, Block*> used_blocks_;
    std::atomic<int64_t> n_large_{0};
};

RecyclingAllocator& cpu_allocator(int index = 0);  // of device "cpu:<index>"
constexpr int kMaxCpuDevices = 64;

// What this process may use: the least of the control group's limit, the machine's memory, and what
// set_memory_limit says (0: nothing).
size_t memory_limit();
void set_memory_limit(size_t bytes);
// Would this many bytes more (beyond what is in use now) go over the limit? Plans ask before they
// run.
bool would_exceed(size_t bytes);
std::string format_bytes(size_t bytes);  // "1.50 GiB"

}  // namespace sn
