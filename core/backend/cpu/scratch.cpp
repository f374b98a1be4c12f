#include "backend/cpu/scratch.h"

#include <cstdint>
#include <mutex>

#include "base/error.h"
#include "base/spin_lock.h"
#include "base/system.h"

namespace sn::cpu {
namespace {

constexpr size_t kHugePage = system::kHugePage;
// Leases from this size on are not the thread's: whichever thread leads the next large kernel has
// the memory of the last one.
constexpr size_t kSharedBytes = size_t{1} << 20;
// What is kept of those; more is given back at once.
constexpr size_t kKeepBytes = size_t{64} << 20;

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

void* allocate(size_t bytes) {
    const bool large = bytes >= kHugePage;
    void* data = system::allocate_aligned(large ? kHugePage : 64, bytes);
    if (!data)
        fail(ErrorKind::kMemory, "scratch",
             "a kernel's scratch of %zu bytes cannot be allocated; "
             "less memory in use is required; try smaller batches",
             bytes);
    return data;
}

// Idle large blocks. There are as many as were leased at one time, and each as large as was needed.
class LargeBlocks {
public:
    // The smallest that holds `bytes`. If there is none, a new one takes the place of the largest.
    void* take(size_t bytes, size_t* capacity) {
        Block found{};
        {
            std::lock_guard guard(lock_);
            size_t best = count_;
            for (size_t i = 0; i < count_; ++i)
                if (best == count_ || better(blocks_[i], blocks_[best], bytes)) best = i;
            if (best < count_) {
                found = blocks_[best];
                blocks_[best] = blocks_[--count_];
                kept_ -= found.capacity;
            }
        }
        if (found.capacity < bytes) {
            system::free_aligned(found.data);
            found.capacity = round_up(bytes, kHugePage);
            found.data = allocate(found.capacity);
        }
        *capacity = found.capacity;
        return found.data;
    }
    void give(void* data, size_t capacity) {
        {
            std::lock_guard guard(lock_);
            if (count_ < kMost && kept_ + capacity <= kKeepBytes) {
                blocks_[count_++] = {data, capacity};
                kept_ += capacity;
                return;
            }
        }
        system::free_aligned(data);
    }

private:
    struct Block {
        void* data = nullptr;
        size_t capacity = 0;
    };
    static bool better(const Block& a, const Block& b, size_t bytes) {
        const bool fits = a.capacity >= bytes;
        if (fits != (b.capacity >= bytes)) return fits;
        return fits ? a.capacity < b.capacity : a.capacity > b.capacity;
    }
    static constexpr size_t kMost = 16;
    SpinLock lock_;
    Block blocks_[kMost];
    size_t count_ = 0, kept_ = 0;
};

LargeBlocks large_blocks;

struct Arena {
    char* base = nullptr;
    size_t capacity = 0, used = 0;
    size_t wanted = 0;  // the most that was ever leased at one time, overflow included
    size_t overflow = 0;
    ~Arena() { system::free_aligned(base); }
};

thread_local Arena arena;

}  // namespace

Scratch::Scratch(size_t bytes) : bytes_(round_up(bytes ? bytes : 1, 64)) {
    if (bytes_ >= kSharedBytes) {
        from_ = From::kShared;
        data_ = large_blocks.take(bytes_, &bytes_);
        return;
    }
    Arena& a = arena;
    // Nested leases that did not fit count too: the next one at the bottom makes room for them.
    if (a.used + bytes_ > a.capacity || (a.used == 0 && a.wanted > a.capacity)) [[unlikely]] {
        const size_t need = a.used + a.overflow + bytes_;
        if (need > a.wanted) a.wanted = need;
        if (a.used == 0 && a.overflow == 0) {
            const size_t capacity = round_up(a.wanted, a.wanted >= kHugePage ? kHugePage : 65536);
            system::free_aligned(a.base);
            a.base = nullptr;
            a.capacity = 0;
            a.base = static_cast<char*>(allocate(capacity));
            a.capacity = capacity;
        }
    }
    if (a.used + bytes_ <= a.capacity) {
        from_ = From::kArena;
        data_ = a.base + a.used;
        a.used += bytes_;
    } else {
        from_ = From::kHeap;
        data_ = allocate(bytes_);
        a.overflow += bytes_;
    }
}

Scratch::~Scratch() {
    Arena& a = arena;
    switch (from_) {
        case From::kShared: large_blocks.give(data_, bytes_); break;
        case From::kArena: a.used -= bytes_; break;
        case From::kHeap:
            a.overflow -= bytes_;
            system::free_aligned(data_);
            break;
    }
}

}  // namespace sn::cpu
