#include "backend/cuda/transfer.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "backend/cuda/device.h"
#include "base/error.h"
#include "engine/wait.h"
#include "memory/recycling.h"

namespace sn::cuda {

namespace {

constexpr unsigned kNoTiming = 2, kNonBlocking = 1, kPortable = 1;
constexpr size_t kPage = 4096;

}  // namespace

// ---- page-locked memory

PinnedMemory& pinned_memory() {
    static auto* made = new PinnedMemory;
    return *made;
}

void* PinnedMemory::allocate(size_t bytes) {
    const size_t rounded = (std::max<size_t>(bytes, 1) + kPage - 1) / kPage * kPage;
    const std::lock_guard guard(lock_);
    ++n_alloc_;
    void* data = nullptr;
    size_t size = rounded;
    const auto found = free_.lower_bound(rounded);
    if (found != free_.end() && found->first <= 2 * rounded) {
        size = found->first;
        data = found->second;
        free_.erase(found);
        cached_ -= static_cast<int64_t>(size);
    } else {
        gpu(0).use();
        const Result result = libraries().driver.allocate_pinned(&data, rounded, kPortable);
        if (result == kOutOfMemory) {
            fail(ErrorKind::kMemory, "pin_memory",
                 "the system has no %s of page-locked memory left, of which %s are in use by "
                 "tensors and %s cached; pin less (sn.cuda.empty_cache() gives the cache back)",
                 format_bytes(rounded).c_str(), format_bytes(static_cast<size_t>(in_use_)).c_str(),
                 format_bytes(static_cast<size_t>(cached_)).c_str());
        }
        check(result, "allocating page-locked memory");
        ++n_system_alloc_;
    }
    used_[data] = size;
    in_use_ += static_cast<int64_t>(size);
    peak_ = std::max(peak_, in_use_);
    return data;
}

void PinnedMemory::free(void* data, size_t) noexcept {
    if (!data) return;
    const std::lock_guard guard(lock_);
    const auto entry = used_.find(data);
    if (entry == used_.end()) {
        std::fprintf(stderr, "sennit: page-locked memory that was not given out is freed\n");
        std::abort();
    }
    in_use_ -= static_cast<int64_t>(entry->second);
    cached_ += static_cast<int64_t>(entry->second);
    free_.emplace(entry->second, data);
    used_.erase(entry);
}

MemoryStats PinnedMemory::stats() const {
    const std::lock_guard guard(lock_);
    MemoryStats s;
    s.in_use = in_use_;
    s.peak = peak_;
    s.cached = cached_;
    s.reserved = in_use_ + cached_;
    s.n_alloc = n_alloc_;
    s.n_system_alloc = n_system_alloc_;
    s.n_cache_hit = n_alloc_ - n_system_alloc_;
    return s;
}

void PinnedMemory::reset_peak() {
    const std::lock_guard guard(lock_);
    peak_ = in_use_;
}

int64_t PinnedMemory::release_cached() {
    const std::lock_guard guard(lock_);
    if (free_.empty()) return 0;
    gpu(0).use();
    int64_t released = 0;
    for (const auto& [size, data] : free_) {
        check(libraries().driver.free_pinned(data), "giving page-locked memory back");
        released += static_cast<int64_t>(size);
    }
    free_.clear();
    cached_ -= released;
    return released;
}

// ---- copies

void Transfers::start() {
    gpu_.use();
    if (issued_) return;
    const Driver& driver = libraries().driver;
    if (!stream_) check(driver.create_stream(&stream_, kNonBlocking), "creating a stream");
    check(driver.create_event(&issued_, kNoTiming), "creating an event");
}

Event Transfers::event() {
    if (!spare_.empty()) {
        Event taken = spare_.back();
        spare_.pop_back();
        return taken;
    }
    Event made = nullptr;
    check(libraries().driver.create_event(&made, kNoTiming), "creating an event");
    return made;
}

// What comes next on this stream comes after what has been issued on the main one.
void Transfers::follow() {
    const Driver& driver = libraries().driver;
    check(driver.record_event(issued_, gpu_.stream), "ordering copies");
    check(driver.wait_event(stream_, issued_, 0), "ordering copies");
}

// Forgets uploads that have ended.
void Transfers::let_go() {
    while (!uploads_.empty()) {
        Upload& first = uploads_.front();
        if (libraries().driver.query_event(first.event) != 0) return;
        if (first.to) arriving_.fetch_sub(1, std::memory_order_release);
        spare_.push_back(first.event);
        uploads_.pop_front();
    }
}

void Transfers::upload(const void* to, HeldBuffer from, const void* at, size_t bytes) {
    const Driver& driver = libraries().driver;
    const std::lock_guard guard(lock_);
    start();
    let_go();
    follow();
    const Event end = event();
    check(driver.copy_to_device(reinterpret_cast<DevicePointer>(to), at, bytes, stream_),
          "copying to the device");
    check(driver.record_event(end, stream_), "copying to the device");
    uploads_.push_back({to, end, std::move(from)});
    arriving_.fetch_add(1, std::memory_order_release);
}

UniqueFunction<void()> Transfers::download(void* to, const void* from, size_t bytes) {
    const Driver& driver = libraries().driver;
    const std::lock_guard guard(lock_);
    start();
    follow();
    const Event end = event();
    check(driver.copy_to_host(to, reinterpret_cast<DevicePointer>(from), bytes, stream_),
          "copying to the host");
    check(driver.record_event(end, stream_), "copying to the host");
    return [this, end] {
        const WaitScope scope;
        gpu_.use();
        const Result result = libraries().driver.synchronize_event(end);
        {
            const std::lock_guard again(lock_);
            spare_.push_back(end);
        }
        check(result, "copying to the host");
    };
}

// Also when memory is freed, so nothing is raised: a device that fails here fails again in the next
// call that may say so.
void Transfers::settle_slowly(const void* data) noexcept {
    const Driver& driver = libraries().driver;
    const std::lock_guard guard(lock_);
    for (Upload& u : uploads_) {
        if (u.to != data) continue;
        driver.set_context(gpu_.context);
        driver.wait_event(gpu_.stream, u.event, 0);
        u.to = nullptr;
        arriving_.fetch_sub(1, std::memory_order_release);
    }
}

void Transfers::synchronize() {
    Stream stream;
    {
        const std::lock_guard guard(lock_);
        if (!issued_) return;
        stream = stream_;
    }
    check(libraries().driver.synchronize_stream(stream), "waiting for the device");
    const std::lock_guard guard(lock_);
    let_go();
}

void copy_between(Gpu& to_gpu, void* to, Gpu& from_gpu, const void* from, size_t bytes) {
    const Driver& driver = libraries().driver;
    to_gpu.reach(from_gpu);
    from_gpu.reach(to_gpu);
    const std::lock_guard guard(from_gpu.peer_lock);
    // An event records and waits as of its calls, so one on each side serves all copies.
    const auto order = [&](Gpu& first, Event& event, Gpu& second) {
        first.use();
        if (!event) check(driver.create_event(&event, kNoTiming), "creating an event");
        check(driver.record_event(event, first.stream), "ordering devices");
        second.use();
        check(driver.wait_event(second.stream, event, 0), "ordering devices");
    };
    order(to_gpu, from_gpu.peer_ready[to_gpu.index], from_gpu);
    check(driver.copy_peer(reinterpret_cast<DevicePointer>(to), to_gpu.context,
                           reinterpret_cast<DevicePointer>(from), from_gpu.context, bytes,
                           from_gpu.stream),
          "copying between devices");
    order(from_gpu, from_gpu.peer_done, to_gpu);
}

}  // namespace sn::cuda
