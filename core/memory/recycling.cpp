#include "memory/recycling.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <new>

#include "base/cgroup.h"
#include "base/error.h"
#include "base/system.h"
#include "engine/pool.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define SN_POISON(data, bytes) __asan_poison_memory_region(data, bytes)
#define SN_UNPOISON(data, bytes) __asan_unpoison_memory_region(data, bytes)
#else
#define SN_POISON(data, bytes) (void)0
#define SN_UNPOISON(data, bytes) (void)0
#endif

namespace sn {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kSmallMax = 4096;
constexpr size_t kRunBytes = 64 << 10;
constexpr size_t kHuge = system::kHugePage;
constexpr int kRuns = static_cast<int>(kHuge / kRunBytes);
// Large blocks are multiples of this, so that what splits and merges leave is not dust.
constexpr size_t kLargeUnit = 1024;
constexpr size_t kSegmentBytes = size_t{16} << 20;

// Classes: 64, 128, ... 512, then four steps per power of two up to 4096. At most 25 % is lost.
int class_of(size_t bytes) {
    if (bytes <= 512) return static_cast<int>((bytes + kAlign - 1) / kAlign) - 1 + (bytes == 0);
    const int power =
        static_cast<int>(std::bit_width(bytes - 1)) - 1;  // 2^power < bytes <= 2^(power + 1)
    const size_t step = size_t{1} << (power - 2);
    const auto part = static_cast<int>((bytes - (size_t{1} << power) + step - 1) / step);
    return 8 + (power - 9) * 4 + part - 1;
}

size_t class_bytes(int size_class) {
    if (size_class < 8) return static_cast<size_t>(size_class + 1) * kAlign;
    const int power = 9 + (size_class - 8) / 4, part = (size_class - 8) % 4 + 1;
    return (size_t{1} << power) + static_cast<size_t>(part) * (size_t{1} << (power - 2));
}

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// In builds for debugging, reads of memory that nobody has written or that was freed show up as
// NaN (all bits set is a NaN in every float format) and as odd integers.
void mark_new([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#if defined(SENNIT_DEBUG_MEMORY)
    std::memset(data, 0xFF, bytes);
#endif
}
void mark_freed([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#if defined(SENNIT_DEBUG_MEMORY)
    std::memset(data, 0xF7, bytes);
#endif
}

std::atomic<size_t> chosen_limit{0};
std::atomic<int64_t> reserved_by_all{0};

std::mutex devices_lock;
std::atomic<RecyclingAllocator*> devices[kMaxCpuDevices];  // never destroyed: buffers outlive all

template <class Function>
void for_each_device(Function function) {
    for (auto& slot : devices)
        if (RecyclingAllocator* device = slot.load(std::memory_order_acquire)) function(*device);
}

int64_t in_use_on_devices() {
    int64_t sum = 0;
    for_each_device([&](RecyclingAllocator& device) { sum += device.in_use(); });
    return sum;
}

// A child may allocate, whatever other threads were doing here at the fork. Registered when the
// library is loaded, before the engine's handlers and so called after its own, which let tasks
// (that allocate) finish first.
void lock_all() {
    devices_lock.lock();
    for_each_device([](RecyclingAllocator& device) { device.lock_for_fork(); });
}
void unlock_all() {
    for_each_device([](RecyclingAllocator& device) { device.unlock_after_fork(); });
    devices_lock.unlock();
}
[[maybe_unused]] const bool registered = [] {
    system::at_fork(lock_all, unlock_all, unlock_all);
    return true;
}();

}  // namespace

// Headers of the runs of a small segment lie in its first bytes; a block finds its run by address.
struct RecyclingAllocator::Run {
    void* free;   // list through the blocks
    char* fresh;  // blocks from here on have never been used
    char* end;
    Run* next;  // in partial_[size_class]
    Run* previous;
    int32_t live;
    int32_t size_class;  // -1: the run is idle
};

struct RecyclingAllocator::SmallSegment {
    Run runs[kRuns];
    int idle_runs;
};

struct RecyclingAllocator::Block {
    char* data;
    size_t bytes;
    Block* previous;  // neighbours in the segment; none at its ends
    Block* next;
    bool free;
};

bool RecyclingAllocator::BySize::operator()(const Block* a, const Block* b) const {
    return a->bytes != b->bytes ? a->bytes < b->bytes : a->data < b->data;
}

RecyclingAllocator::RecyclingAllocator(std::string name, int64_t cache_limit)
    : name_(std::move(name)), cache_limit_(cache_limit) {
    if (cache_limit < 0) {
        const auto limit = static_cast<int64_t>(memory_limit());
        cache_limit_ = std::max(int64_t{256} << 20, limit / 8);
    }
}

RecyclingAllocator::~RecyclingAllocator() { release_cached(); }

void RecyclingAllocator::count(int64_t bytes) {
    const int64_t now = in_use_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    int64_t peak = peak_.load(std::memory_order_relaxed);
    while (now > peak && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
    }
}

void* RecyclingAllocator::allocate(size_t bytes) {
    const bool small = bytes <= kSmallMax;
    const int size_class = small ? class_of(bytes) : -1;
    void* data = small ? allocate_small(size_class) : allocate_large(bytes);
    if (!data) [[unlikely]] {
        for_each_device([](RecyclingAllocator& device) { device.release_cached(); });
        release_cached();
        data = small ? allocate_small(size_class) : allocate_large(bytes);
        if (!data) fail_to_allocate(bytes);
    }
    if (small) {
        count(static_cast<int64_t>(class_bytes(size_class)));
        SN_UNPOISON(data, class_bytes(size_class));
        mark_new(data, class_bytes(size_class));
    }
    return data;
}

void RecyclingAllocator::fail_to_allocate(size_t bytes) const {
    fail(ErrorKind::kMemory, "allocate",
         "%s were asked for on %s, where %s are in use (%s on all CPU devices); the limit is %s; "
         "use smaller batches, or checkpoint() parts of the model",
         format_bytes(bytes).c_str(), name_.c_str(),
         format_bytes(static_cast<size_t>(in_use_.load())).c_str(),
         format_bytes(static_cast<size_t>(in_use_on_devices())).c_str(),
         format_bytes(memory_limit()).c_str());
}

void RecyclingAllocator::free(void* data, size_t bytes) noexcept {
    if (!data) return;
    if (bytes > kSmallMax) return free_large(data);
    const int size_class = class_of(bytes);
    mark_freed(data, class_bytes(size_class));
    in_use_.fetch_sub(static_cast<int64_t>(class_bytes(size_class)), std::memory_order_relaxed);
    free_small(data, size_class);
}

// ---- small ----

void* RecyclingAllocator::allocate_small(int size_class) {
    std::lock_guard lock(small_lock_);
    ++n_small_;
    Run* run = partial_[size_class];
    if (!run) [[unlikely]]
        run = new_run(size_class);
    if (!run) return nullptr;
    void* data = run->free;
    if (data) {
        SN_UNPOISON(data, sizeof(void*));
        run->free = *static_cast<void**>(data);
    } else {
        data = run->fresh;
        run->fresh += class_bytes(size_class);
    }
    ++run->live;
    if (!run->free && run->fresh == run->end) {  // full: out of the list, whose head it is
        partial_[size_class] = run->next;
        if (run->next) run->next->previous = nullptr;
        run->next = nullptr;
    }
    return data;
}

void RecyclingAllocator::free_small(void* data, int size_class) noexcept {
    auto* segment =
        reinterpret_cast<SmallSegment*>(reinterpret_cast<uintptr_t>(data) & ~(kHuge - 1));
    std::lock_guard lock(small_lock_);
    Run& run = segment->runs[(static_cast<char*>(data) - reinterpret_cast<char*>(segment)) /
                             static_cast<std::ptrdiff_t>(kRunBytes)];
    const bool was_full = !run.free && run.fresh == run.end;
    *static_cast<void**>(data) = run.free;
    run.free = data;
    SN_POISON(data, class_bytes(size_class));
    Run*& head = partial_[size_class];
    if (was_full) {
        run.previous = nullptr;
        run.next = head;
        if (head) head->previous = &run;
        head = &run;
    }
    // An empty run becomes idle for all classes, unless it is the last with room in its own.
    if (--run.live == 0 && (run.next || run.previous)) {
        (run.previous ? run.previous->next : head) = run.next;
        if (run.next) run.next->previous = run.previous;
        run.size_class = -1;
        ++segment->idle_runs;
    }
}

RecyclingAllocator::Run* RecyclingAllocator::new_run(int size_class) {
    SmallSegment* segment = nullptr;
    for (SmallSegment* candidate : small_segments_)
        if (candidate->idle_runs > 0) segment = candidate;
    if (!segment) {
        void* data = system_allocate(kHuge);
        if (!data) return nullptr;
        segment = new (data) SmallSegment;
        for (Run& run : segment->runs)
            run = Run{nullptr, nullptr, nullptr, nullptr, nullptr, 0, -1};
        segment->idle_runs = kRuns;
        small_segments_.push_back(segment);
    }
    const auto index = std::find_if(segment->runs, segment->runs + kRuns,
                                    [](const Run& r) { return r.size_class < 0; }) -
                       segment->runs;
    Run& run = segment->runs[index];
    const size_t bytes = class_bytes(size_class);
    char* begin = reinterpret_cast<char*>(segment) + static_cast<size_t>(index) * kRunBytes;
    char* end = begin + kRunBytes;
    if (index == 0) begin += round_up(sizeof(SmallSegment), kAlign);
    run = Run{nullptr,   begin,   begin + static_cast<size_t>(end - begin) / bytes * bytes,
              nullptr,   nullptr, 0,
              size_class};
    --segment->idle_runs;
    SN_POISON(begin, static_cast<size_t>(end - begin));
    partial_[size_class] = &run;
    return &run;
}

// ---- large ----

void* RecyclingAllocator::allocate_large(size_t bytes) {
    if (bytes > memory_limit()) return nullptr;
    const size_t rounded = round_up(bytes, kLargeUnit);
    std::lock_guard lock(large_lock_);
    n_large_.fetch_add(1, std::memory_order_relaxed);
    Block key{nullptr, rounded, nullptr, nullptr, true};
    auto found = free_blocks_.lower_bound(&key);
    Block* block;
    if (found != free_blocks_.end()) {
        block = *found;
        free_blocks_.erase(found);
    } else {
        block = new_segment(rounded);
        if (!block) return nullptr;
    }
    if (block->bytes - rounded > kSmallMax) {  // what is left can serve a large request
        auto* rest =
            new Block{block->data + rounded, block->bytes - rounded, block, block->next, true};
        if (block->next) block->next->previous = rest;
        block->next = rest;
        block->bytes = rounded;
        free_blocks_.insert(rest);
    }
    block->free = false;
    used_blocks_[block->data] = block;
    count(static_cast<int64_t>(block->bytes));
    SN_UNPOISON(block->data, block->bytes);
    mark_new(block->data, block->bytes);
    return block->data;
}

void RecyclingAllocator::free_large(void* data) noexcept {
    std::lock_guard lock(large_lock_);
    const auto entry = used_blocks_.find(data);
    if (entry == used_blocks_.end()) {
        std::fprintf(stderr, "sennit: a block that %s did not give out is freed\n", name_.c_str());
        std::abort();
    }
    Block* block = entry->second;
    used_blocks_.erase(entry);
    mark_freed(data, block->bytes);
    SN_POISON(data, block->bytes);
    in_use_.fetch_sub(static_cast<int64_t>(block->bytes), std::memory_order_relaxed);
    auto absorb = [](Block* left, Block* right) {
        left->bytes += right->bytes;
        left->next = right->next;
        if (right->next) right->next->previous = left;
        delete right;
    };
    if (block->next && block->next->free) {
        free_blocks_.erase(block->next);
        absorb(block, block->next);
    }
    if (block->previous && block->previous->free) {
        block = block->previous;
        free_blocks_.erase(block);
        absorb(block, block->next);
    }
    block->free = true;
    free_blocks_.insert(block);
    // Only a whole segment can go back, and looking for one takes a while.
    const int64_t limit = cache_limit_.load(std::memory_order_relaxed);
    if (!block->previous && !block->next && idle() > limit) trim(limit);
}

RecyclingAllocator::Block* RecyclingAllocator::new_segment(size_t bytes) {
    // Larger requests get a segment of their own, which can go back to the system on its own.
    const size_t size = bytes > kSegmentBytes / 2 ? round_up(bytes, kHuge) : kSegmentBytes;
    auto* data = static_cast<char*>(system_allocate(size));
    if (!data) return nullptr;
    SN_POISON(data, size);
    return new Block{data, size, nullptr, nullptr, true};
}

void RecyclingAllocator::drop_segment(Block* block) {
    SN_UNPOISON(block->data, block->bytes);
    system::unmap_memory(block->data, block->bytes);
    reserved_.fetch_sub(static_cast<int64_t>(block->bytes));
    reserved_by_all.fetch_sub(static_cast<int64_t>(block->bytes));
    delete block;
}

// Gives whole idle segments back, the largest first, until at most `keep` bytes are idle. With the
// lock of the large part held.
int64_t RecyclingAllocator::trim(int64_t keep) {
    int64_t released = 0;
    for (auto it = free_blocks_.end(); it != free_blocks_.begin() && idle() > keep;) {
        Block* block = *--it;
        if (block->previous || block->next) continue;
        released += static_cast<int64_t>(block->bytes);
        it = free_blocks_.erase(it);
        drop_segment(block);
    }
    return released;
}

int64_t RecyclingAllocator::release_cached() {
    int64_t released = 0;
    {
        std::lock_guard lock(small_lock_);
        // The runs kept for their class's next allocation are idle here too.
        for (Run*& head : partial_)
            for (Run* run = head; run;) {
                Run* next = run->next;
                if (run->live == 0) {
                    (run->previous ? run->previous->next : head) = next;
                    if (next) next->previous = run->previous;
                    run->size_class = -1;
                    ++reinterpret_cast<SmallSegment*>(reinterpret_cast<uintptr_t>(run) &
                                                      ~(kHuge - 1))
                          ->idle_runs;
                }
                run = next;
            }
        std::erase_if(small_segments_, [&](SmallSegment* segment) {
            if (segment->idle_runs < kRuns) return false;
            SN_UNPOISON(segment, kHuge);
            system::unmap_memory(segment, kHuge);
            released += static_cast<int64_t>(kHuge);
            return true;
        });
        reserved_.fetch_sub(released);
        reserved_by_all.fetch_sub(released);
    }
    std::lock_guard lock(large_lock_);
    return released + trim(0);
}

// Memory from the system, 2 MiB aligned and in huge pages; null when there is no more of it.
void* RecyclingAllocator::system_allocate(size_t bytes) {
    if (bytes + static_cast<size_t>(reserved_by_all.load()) > memory_limit()) return nullptr;
    void* data = system::map_memory(bytes);
    if (!data) return nullptr;
    n_system_alloc_.fetch_add(1, std::memory_order_relaxed);
    reserved_.fetch_add(static_cast<int64_t>(bytes));
    reserved_by_all.fetch_add(static_cast<int64_t>(bytes));
    return data;
}

// ---- statistics and limits ----

MemoryStats RecyclingAllocator::stats() const {
    MemoryStats s;
    s.in_use = in_use_;
    s.peak = std::max(peak_.load(), s.in_use);
    s.reserved = reserved_;
    s.cached = s.reserved - s.in_use;
    {
        std::lock_guard lock(small_lock_);
        s.n_alloc = n_small_;
    }
    s.n_alloc += n_large_;
    s.n_system_alloc = n_system_alloc_;
    s.n_cache_hit = s.n_alloc - s.n_system_alloc;
    return s;
}

void RecyclingAllocator::reset_peak() { peak_ = in_use_.load(); }

void RecyclingAllocator::set_cache_limit(int64_t bytes) {
    cache_limit_ = std::max<int64_t>(bytes, 0);
    std::lock_guard lock(large_lock_);
    trim(cache_limit_);
}

void RecyclingAllocator::lock_for_fork() {
    large_lock_.lock();
    small_lock_.lock();
}

void RecyclingAllocator::unlock_after_fork() {
    small_lock_.unlock();
    large_lock_.unlock();
}

RecyclingAllocator& cpu_allocator(int index) {
    if (index < 0 || index >= kMaxCpuDevices)
        fail(ErrorKind::kDevice, "device", "cpu:%d does not exist; cpu:0 to cpu:%d do", index,
             kMaxCpuDevices - 1);
    if (RecyclingAllocator* device = devices[index].load(std::memory_order_acquire)) return *device;
    std::lock_guard lock(devices_lock);
    if (!devices[index].load())
        devices[index] = new RecyclingAllocator("cpu:" + std::to_string(index));
    return *devices[index];
}

size_t memory_limit() {
    static const size_t system_limit = [] {
        size_t limit = size_t{1} << 62;
        for (int64_t bytes : {cgroup_memory_limit(), system::physical_memory()})
            if (bytes > 0) limit = std::min(limit, static_cast<size_t>(bytes));
        return limit;
    }();
    const size_t chosen = chosen_limit.load(std::memory_order_relaxed);
    return chosen > 0 ? std::min(chosen, system_limit) : system_limit;
}

void set_memory_limit(size_t bytes) { chosen_limit = bytes; }

bool would_exceed(size_t bytes) {
    const size_t limit = memory_limit();
    const auto ours = static_cast<size_t>(in_use_on_devices() + scratch_bytes());
    if (bytes > limit || ours > limit - bytes) return true;
    if (ours + bytes < limit / 2) return false;
    // Near the limit, what the rest of the process holds counts too (reading it takes 10 us).
    const int64_t others = system::resident_memory() - reserved_by_all - scratch_bytes();
    return static_cast<size_t>(std::max<int64_t>(0, others)) > limit - bytes - ours;
}

std::string format_bytes(size_t bytes) {
    char text[48];
    const char* units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = static_cast<double>(bytes);
    int unit = -1;
    while (value >= 1024 && unit < 5) {
        value /= 1024;
        ++unit;
    }
    if (unit < 0)
        std::snprintf(text, sizeof text, "%zu bytes", bytes);
    else
        std::snprintf(text, sizeof text, "%.2f %s", value, units[unit]);
    return text;
}

}  // namespace sn
