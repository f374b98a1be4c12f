#pragma once
#include <cstddef>
#include <utility>

namespace sn {

// A counted reference to an object that carries its own count, in one of two ways:
//   `uint32_t refs` (born with 0) and `static void destroy(T*)`: not atomic, for objects that one
//   thread, or a lock, guards;
//   `retain()` and `release()`: for objects shared between threads.
template <class T>
class Ref {
public:
    Ref() = default;
    Ref(std::nullptr_t) {}  // NOLINT: implicit, "none"
    explicit Ref(T* object) : object_(object) { hold(); }
    Ref(const Ref& other) : object_(other.object_) { hold(); }
    Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    Ref& operator=(const Ref& other) {
        if (object_ != other.object_) Ref(other).swap(*this);
        return *this;
    }
    Ref& operator=(Ref&& other) noexcept {
        Ref(std::move(other)).swap(*this);
        return *this;
    }
    ~Ref() { drop(); }

    // Takes over one count that the caller holds.
    static Ref adopt(T* object) {
        Ref ref;
        ref.object_ = object;
        return ref;
    }
    // Gives the pointer and its count to the caller.
    T* detach() { return std::exchange(object_, nullptr); }
    void reset() { Ref().swap(*this); }
    void swap(Ref& other) noexcept { std::swap(object_, other.object_); }

    T* get() const { return object_; }
    T* operator->() const { return object_; }
    T& operator*() const { return *object_; }
    explicit operator bool() const { return object_ != nullptr; }
    bool operator==(const Ref& other) const { return object_ == other.object_; }

private:
    void hold() {
        if (!object_) return;
        if constexpr (requires(T* object) { object->retain(); })
            object_->retain();
        else
            ++object_->refs;
    }
    void drop() {
        if (!object_) return;
        if constexpr (requires(T* object) { object->retain(); })
            object_->release();
        else if (--object_->refs == 0)
            T::destroy(object_);
    }

    T* object_ = nullptr;
};

}  // namespace sn
