#include "backend/cuda/memory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backend/cuda/device.h"
#include "base/error.h"
#include "engine/wait.h"
#include "memory/recycling.h"

namespace sn::cuda {

namespace {

constexpr size_t kUnit = 512;  // what cuMemAlloc aligns to, and no less than a sector of any GPU
constexpr size_t kSmallMax = size_t{1} << 20;
constexpr size_t kSmallSegment = size_t{2} << 20;
constexpr size_t kSegment = size_t{20} << 20;
// What is left of a large block is worth keeping apart from here on.
constexpr size_t kLargeRest = size_t{64} << 10;

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

void* DeviceMemory::allocate(size_t bytes) {
    const size_t rounded = round_up(std::max<size_t>(bytes, 1), kUnit);
    const bool small = rounded <= kSmallMax;
    const std::lock_guard guard(lock_);
    ++n_alloc_;
    Block* block = take(rounded, small);
    if (!block) block = new_segment(rounded, small);
    if (!block && release_segments() > 0) block = new_segment(rounded, small);
    if (!block) fail_to_allocate(bytes);
    const size_t rest = block->bytes - rounded;
    if (rest >= (small ? kUnit : kLargeRest)) {
        auto* other = new Block{block->data + rounded, rest, block, block->next, true, small};
        if (block->next) block->next->previous = other;
        block->next = other;
        block->bytes = rounded;
        free_[small].insert(other);
    }
    block->free = false;
    used_[block->data] = block;
    in_use_ += static_cast<int64_t>(block->bytes);
    peak_ = std::max(peak_, in_use_);
    return block->data;
}

DeviceMemory::Block* DeviceMemory::take(size_t bytes, bool small) {
    Block key{nullptr, bytes, nullptr, nullptr, true, small};
    const auto found = free_[small].lower_bound(&key);
    if (found == free_[small].end()) return nullptr;
    Block* block = *found;
    free_[small].erase(found);
    return block;
}

DeviceMemory::Block* DeviceMemory::new_segment(size_t bytes, bool small) {
    const size_t size = small                  ? kSmallSegment
                        : bytes > kSegment / 2 ? round_up(bytes, kSmallSegment)
                                               : kSegment;
    if (limit_ > 0 && reserved_ + static_cast<int64_t>(size) > limit_) return nullptr;
    gpu_.use();
    DevicePointer data = 0;
    const Result result = libraries().driver.allocate(&data, size);
    if (result == kOutOfMemory) return nullptr;
    check(result, "allocating memory");
    ++n_system_alloc_;
    reserved_ += static_cast<int64_t>(size);
    return new Block{reinterpret_cast<char*>(data), size, nullptr, nullptr, true, small};
}

void DeviceMemory::free(void* data, size_t) noexcept {
    if (!data) return;
    // A copy that nobody has used may still be on its way there.
    gpu_.transfers.settle(data);
    const std::lock_guard guard(lock_);
    const auto entry = used_.find(data);
    if (entry == used_.end()) {
        std::fprintf(stderr, "sennit: a block that cuda:%d did not give out is freed\n",
                     gpu_.index);
        std::abort();
    }
    Block* block = entry->second;
    used_.erase(entry);
    in_use_ -= static_cast<int64_t>(block->bytes);
    FreeBlocks& blocks = free_[block->small];
    const auto absorb = [](Block* left, Block* right) {
        left->bytes += right->bytes;
        left->next = right->next;
        if (right->next) right->next->previous = left;
        delete right;
    };
    if (block->next && block->next->free) {
        blocks.erase(block->next);
        absorb(block, block->next);
    }
    if (block->previous && block->previous->free) {
        block = block->previous;
        blocks.erase(block);
        absorb(block, block->next);
    }
    block->free = true;
    blocks.insert(block);
}

// Segments that are idle as a whole; with the lock held.
int64_t DeviceMemory::release_segments() {
    int64_t released = 0;
    bool waited = false;
    for (FreeBlocks& blocks : free_) {
        std::erase_if(blocks, [&](Block* block) {
            if (block->previous || block->next) return false;
            if (!waited) gpu_.synchronize();  // work in flight may still use what was freed
            waited = true;
            check(libraries().driver.free(reinterpret_cast<DevicePointer>(block->data)),
                  "giving memory back");
            released += static_cast<int64_t>(block->bytes);
            delete block;
            return true;
        });
    }
    reserved_ -= released;
    return released;
}

void DeviceMemory::fail_to_allocate(size_t bytes) const {
    size_t largest = 0, free = 0, total = 0;
    for (const FreeBlocks& blocks : free_)
        if (!blocks.empty()) largest = std::max(largest, (*blocks.rbegin())->bytes);
    if (libraries().driver.memory_info(&free, &total) != 0) total = gpu_.properties.memory;
    const auto text = [](auto count) { return format_bytes(static_cast<size_t>(count)); };
    const std::string cap =
        limit_ > 0 ? " (of which this process may have " + text(limit_) + ")" : "";
    fail(ErrorKind::kMemory, "allocate",
         "%s were asked for on cuda:%d, where %s are in use by tensors and %s are cached (the "
         "largest "
         "piece: %s); the device has %s, %s of them free%s; use smaller batches or narrower "
         "dtypes, checkpoint() parts of the model, or stop other processes (nvidia-smi lists them)",
         text(bytes).c_str(), gpu_.index, text(in_use_).c_str(), text(reserved_ - in_use_).c_str(),
         text(largest).c_str(), text(total).c_str(), text(free).c_str(), cap.c_str());
}

MemoryStats DeviceMemory::stats() const {
    const std::lock_guard guard(lock_);
    MemoryStats s;
    s.in_use = in_use_;
    s.peak = peak_;
    s.reserved = reserved_;
    s.cached = reserved_ - in_use_;
    s.n_alloc = n_alloc_;
    s.n_system_alloc = n_system_alloc_;
    s.n_cache_hit = n_alloc_ - n_system_alloc_;
    return s;
}

void DeviceMemory::reset_peak() {
    const std::lock_guard guard(lock_);
    peak_ = in_use_;
}

int64_t DeviceMemory::release_cached() {
    pinned_memory().release_cached();  // whoever asks for the device's cache wants this one, too
    const std::lock_guard guard(lock_);
    return release_segments();
}

void DeviceMemory::set_limit(int64_t bytes) {
    const std::lock_guard guard(lock_);
    limit_ = std::max<int64_t>(bytes, 0);
}

// ---- copies

bool Staging::start() {
    if (started_) return blocks_[0].data != nullptr;
    started_ = true;
    const Driver& driver = libraries().driver;
    for (Block& block : blocks_) {
        void* data = nullptr;
        constexpr unsigned kNoTiming = 2;
        if (driver.allocate_pinned(&data, kBytes, 0) != 0) return false;
        check(driver.create_event(&block.event, kNoTiming), "creating an event");
        block.data = static_cast<char*>(data);
    }
    return true;
}

// Two blocks: the host fills one while the device reads the other.
void Staging::copy_to_device(void* to, const void* from, size_t bytes) {
    const WaitScope scope;
    const Driver& driver = libraries().driver;
    const std::lock_guard guard(lock_);
    gpu_.use();
    auto target = reinterpret_cast<DevicePointer>(to);
    const auto* source = static_cast<const char*>(from);
    if (!start()) {  // the driver stages it by itself, and has read it when it returns
        check(driver.copy_to_device(target, source, bytes, gpu_.stream), "copying to the device");
        check(driver.synchronize_stream(gpu_.stream), "copying to the device");
        return;
    }
    for (size_t done = 0, turn = 0; done < bytes; ++turn) {
        Block& block = blocks_[turn % 2];
        const size_t part = std::min(kBytes, bytes - done);
        check(driver.synchronize_event(block.event), "waiting for a copy");
        std::memcpy(block.data, source + done, part);
        check(driver.copy_to_device(target + done, block.data, part, gpu_.stream),
              "copying to the device");
        check(driver.record_event(block.event, gpu_.stream), "copying to the device");
        done += part;
    }
}

void Staging::copy_to_host(void* to, const void* from, size_t bytes) {
    const WaitScope scope;
    const Driver& driver = libraries().driver;
    const std::lock_guard guard(lock_);
    gpu_.use();
    auto* target = static_cast<char*>(to);
    const auto source = reinterpret_cast<DevicePointer>(from);
    if (!start()) {
        check(driver.copy_to_host(target, source, bytes, gpu_.stream), "copying to the host");
        check(driver.synchronize_stream(gpu_.stream), "copying to the host");
        return;
    }
    const auto issue = [&](size_t at) {
        Block& block = blocks_[at / kBytes % 2];
        check(driver.synchronize_event(block.event), "waiting for a copy");
        check(
            driver.copy_to_host(block.data, source + at, std::min(kBytes, bytes - at), gpu_.stream),
            "copying to the host");
        check(driver.record_event(block.event, gpu_.stream), "copying to the host");
    };
    if (bytes > 0) issue(0);
    for (size_t at = 0; at < bytes; at += kBytes) {
        if (at + kBytes < bytes) issue(at + kBytes);
        const Block& block = blocks_[at / kBytes % 2];
        check(driver.synchronize_event(block.event), "copying to the host");
        std::memcpy(target + at, block.data, std::min(kBytes, bytes - at));
    }
}

}  // namespace sn::cuda
