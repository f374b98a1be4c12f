#include "backend/cpu/scratch.h"

#include <cstdint>

#include "base/error.h"
#include "base/system.h"

namespace sn::cpu {
namespace {

constexpr size_t kHugePage = system::kHugePage;
// What an idle thread may keep; a larger lease is given back at once.
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
    Arena& a = arena;
    // Nested leases that did not fit count too: the next one at the bottom makes room for them.
    if (a.used + bytes_ > a.capacity || (a.used == 0 && a.wanted > a.capacity)) [[unlikely]] {
        const size_t need = a.used + a.overflow + bytes_;
        if (need > a.wanted) a.wanted = need;
        if (a.used == 0 && a.overflow == 0 && a.wanted <= kKeepBytes) {
            const size_t capacity = round_up(a.wanted, a.wanted >= kHugePage ? kHugePage : 65536);
            system::free_aligned(a.base);
            a.base = nullptr;
            a.capacity = 0;
            a.base = static_cast<char*>(allocate(capacity));
            a.capacity = capacity;
        }
    }
    from_arena_ = a.used + bytes_ <= a.capacity;
    if (from_arena_) {
        data_ = a.base + a.used;
        a.used += bytes_;
    } else {
        data_ = allocate(round_up(bytes_, bytes_ >= kHugePage ? kHugePage : 64));
        a.overflow += bytes_;
    }
}

Scratch::~Scratch() {
    Arena& a = arena;
    if (from_arena_) {
        a.used -= bytes_;
    } else {
        a.overflow -= bytes_;
        system::free_aligned(data_);
    }
}

}  // namespace sn::cpu
