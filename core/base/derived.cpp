#include "base/derived.h"

#include <mutex>
#include <vector>

namespace sn {

namespace {

constexpr size_t kMaxForms = 8;
std::atomic<int64_t> bytes_kept{0};

}  // namespace

struct DerivedForms {
    struct Form {
        DerivedKey key;
        BufferRef made;  // null: asked for once
    };
    std::mutex lock;
    std::vector<Form> forms;

    ~DerivedForms() {
        for (const Form& f : forms)
            if (f.made) bytes_kept.fetch_sub(static_cast<int64_t>(f.made->bytes()));
    }
    Form* find(const DerivedKey& key) {
        for (Form& f : forms)
            if (f.key == key) return &f;
        return nullptr;
    }
};

void Buffer::drop_derived() { delete derived_.exchange(nullptr, std::memory_order_acq_rel); }

DerivedForms& Buffer::derived() {
    if (DerivedForms* have = derived_.load(std::memory_order_acquire)) return *have;
    auto* fresh = new DerivedForms;
    DerivedForms* expected = nullptr;
    if (derived_.compare_exchange_strong(expected, fresh, std::memory_order_acq_rel)) return *fresh;
    delete fresh;
    return *expected;
}

BufferRef derived_form(Buffer& source, Allocator& allocator, const DerivedKey& key, size_t bytes,
                       FunctionRef<void(void*)> make) {
    DerivedForms& all = source.derived();
    {
        const std::lock_guard guard(all.lock);
        const DerivedForms::Form* form = all.find(key);
        if (form && form->made) return form->made;
        if (!form) {
            if (all.forms.size() < kMaxForms) all.forms.push_back({key, nullptr});
            return nullptr;
        }
    }
    // Not under the lock: `make` may run in parallel and help with work that wants the same buffer.
    BufferRef made = Buffer::allocate(allocator, bytes);
    make(made->data());
    const std::lock_guard guard(all.lock);
    DerivedForms::Form* form = all.find(key);
    if (!form->made) {
        form->made = made;
        bytes_kept.fetch_add(static_cast<int64_t>(bytes));
    }
    return form->made;
}

int64_t derived_bytes() { return bytes_kept.load(); }

}  // namespace sn
