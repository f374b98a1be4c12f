#include "base/buffer.h"

#include <utility>

#include "base/error.h"

namespace sn {
namespace {

struct Release {
    void (*run)(void*);
    void* owner;
    Release* next;
};

// A stack without a lock: buffers die on any thread, also in the middle of a kernel.
constinit std::atomic<Release*> releases{nullptr};

}  // namespace

BufferRef Buffer::allocate(Allocator& allocator, size_t bytes) {
    BufferRef buffer = pending(allocator, bytes);
    buffer->materialise();
    buffer->set_ready();
    return buffer;
}

BufferRef Buffer::pending(Allocator& allocator, size_t bytes) {
    return BufferRef::adopt(new Buffer(&allocator, bytes));
}

BufferRef Buffer::borrow(void* data, size_t bytes, void* owner, void (*release)(void*),
                         bool queued) {
    BufferRef buffer = BufferRef::adopt(new Buffer(nullptr, bytes));
    buffer->data_ = data;
    buffer->owner_ = owner;
    buffer->release_ = release;
    buffer->queued_ = queued;
    buffer->set_ready();
    return buffer;
}

void Buffer::materialise() {
    if (!data_ && bytes_ > 0) data_ = allocator_->allocate(bytes_);
}

void Buffer::place(BufferRef parent, size_t offset) {
    SN_CHECK(!data_ && offset <= parent->bytes() && bytes_ <= parent->bytes() - offset);
    data_ = static_cast<char*>(parent->data()) + offset;
    parent_ = std::move(parent);
}

void Buffer::take_over(Buffer& former) {
    SN_CHECK(!data_ && !former.parent_ && former.allocator_ == allocator_ &&
             former.bytes_ == bytes_);
    data_ = std::exchange(former.data_, nullptr);
    former.drop_derived();
}

void Buffer::set_failed(std::exception_ptr error) {
    error_ = std::move(error);
    state_.store(BufferState::kFailed, std::memory_order_release);
}

Buffer::~Buffer() {
    drop_derived();
    if (parent_) return;
    if (allocator_) {
        if (data_) allocator_->free(data_, bytes_);
    } else if (release_ && !queued_) {
        release_(owner_);
    } else if (release_) {
        auto* entry = new Release{release_, owner_, releases.load(std::memory_order_relaxed)};
        while (!releases.compare_exchange_weak(entry->next, entry, std::memory_order_release,
                                               std::memory_order_relaxed)) {
        }
    }
}

bool has_releases() { return releases.load(std::memory_order_relaxed) != nullptr; }

void drain_releases() {
    // A release may run code that drops more buffers, which then queue behind it.
    while (Release* entry = releases.exchange(nullptr, std::memory_order_acquire))
        while (entry) {
            Release* next = entry->next;
            entry->run(entry->owner);
            delete entry;
            entry = next;
        }
}

}  // namespace sn
