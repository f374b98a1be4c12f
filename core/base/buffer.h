#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>

#include "base/allocator.h"
#include "base/ref.h"

namespace sn {

class Buffer;
struct DerivedForms;
using BufferRef = Ref<Buffer>;

enum class BufferState : uint8_t { kPending, kReady, kFailed };

// A piece of storage with a count of its holders. The result of work that still runs is a buffer
// in state kPending, without memory until that work starts; it turns kReady or kFailed once, for
// good, and then never changes, so whoever has seen kReady may read without a lock.
class Buffer {
public:
    static BufferRef allocate(Allocator& allocator, size_t bytes);  // kReady
    static BufferRef pending(Allocator& allocator, size_t bytes);
    // Memory that belongs to somebody else; `release(owner)` runs when the last holder is gone.
    // Queued: not then and there but by drain_releases, for owners that need a lock which the last
    // holder may not have (Python objects need the GIL).
    static BufferRef borrow(void* data, size_t bytes, void* owner, void (*release)(void* owner),
                            bool queued);

    void* data() const { return data_; }
    size_t bytes() const { return bytes_; }
    Allocator* allocator() const { return allocator_; }  // null: borrowed
    BufferState state() const { return state_.load(std::memory_order_acquire); }
    bool unique() const { return count_.load(std::memory_order_acquire) == 1; }
    const std::exception_ptr& error() const { return error_; }  // once state() is kFailed

    void materialise();  // gives a pending buffer its memory; no effect when it has it
    // A pending buffer may also come to lie in (a part of) another one, such as a plan's arena.
    void place(BufferRef parent, size_t offset);
    // Becomes the owner of the memory of a buffer that nobody reads any more: a result written in
    // place. The other one is left without memory.
    void take_over(Buffer& former);
    // A failed or pending buffer gets contents after all, under the record lock with nothing
    // running: the part of a failed window that did not depend on the failure (plan/replay.cpp).
    void repair() { state_.store(BufferState::kReady, std::memory_order_release); }
    // By the work that produces it; through the engine (engine.h), which wakes those who wait.
    void set_ready() { state_.store(BufferState::kReady, std::memory_order_release); }
    void set_failed(std::exception_ptr error);

    void retain() { count_.fetch_add(1, std::memory_order_relaxed); }
    void release() {
        if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    // Values and exports that show this buffer's elements. Work in flight holds references too, but
    // does not count: a buffer with one holder may be written over once that holder is gone.
    std::atomic<int32_t> holders{0};

    // Other forms of the contents that kernels keep with them: see derived.h.
    DerivedForms& derived();

    // For the engine: the task that will produce this buffer (0: none), and its dependencies.
    std::atomic<uint64_t> producer{0};
    std::shared_ptr<void> tracker;

private:
    Buffer(Allocator* allocator, size_t bytes) : bytes_(bytes), allocator_(allocator) {}
    ~Buffer();
    void drop_derived();

    std::atomic<uint32_t> count_{1};
    std::atomic<BufferState> state_{BufferState::kPending};
    bool queued_ = false;
    void* data_ = nullptr;
    size_t bytes_;
    Allocator* allocator_;
    void* owner_ = nullptr;
    void (*release_)(void*) = nullptr;
    BufferRef parent_;
    std::atomic<DerivedForms*> derived_{nullptr};
    std::exception_ptr error_;
};

// A reference that counts as a holder.
class HeldBuffer {
public:
    HeldBuffer() = default;
    HeldBuffer(BufferRef buffer) : ref_(std::move(buffer)) { count(1); }  // NOLINT: implicit
    HeldBuffer(const HeldBuffer& other) : ref_(other.ref_) { count(1); }
    HeldBuffer(HeldBuffer&& other) noexcept : ref_(std::move(other.ref_)) {}
    HeldBuffer& operator=(HeldBuffer other) noexcept {
        ref_.swap(other.ref_);
        return *this;
    }
    ~HeldBuffer() { count(-1); }
    const BufferRef& ref() const { return ref_; }
    Buffer* operator->() const { return ref_.get(); }
    Buffer& operator*() const { return *ref_; }
    explicit operator bool() const { return static_cast<bool>(ref_); }

private:
    void count(int32_t by) {
        if (ref_) ref_->holders.fetch_add(by, std::memory_order_acq_rel);
    }
    BufferRef ref_;
};

// Owners whose buffers are gone wait here until somebody who may release them comes by.
bool has_releases();
void drain_releases();

}  // namespace sn
