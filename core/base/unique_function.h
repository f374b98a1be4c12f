#pragma once
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace sn {

// An owning callable that can be moved but not copied, so that it may hold what cannot be copied.
// Up to 48 bytes of captures lie inside; larger callables are allocated.
template <class Signature>
class UniqueFunction;

template <class R, class... Args>
class UniqueFunction<R(Args...)> {
public:
    UniqueFunction() = default;
    UniqueFunction(std::nullptr_t) {}  // NOLINT: implicit, "no function"

    template <class F>
        requires(!std::is_same_v<std::remove_cvref_t<F>, UniqueFunction> &&
                 std::is_invocable_r_v<R, std::remove_cvref_t<F>&, Args...>)
    UniqueFunction(F&& function) {  // NOLINT: implicit on purpose, call sites pass lambdas
        using Held = std::remove_cvref_t<F>;
        if constexpr (fits<Held>()) {
            new (storage_) Held(std::forward<F>(function));
            table_ = &kInside<Held>;
        } else {
            new (storage_) Held*(new Held(std::forward<F>(function)));
            table_ = &kOutside<Held>;
        }
    }

    UniqueFunction(UniqueFunction&& other) noexcept { take(other); }
    UniqueFunction& operator=(UniqueFunction&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    ~UniqueFunction() { reset(); }

    void reset() {
        if (table_) std::exchange(table_, nullptr)->destroy(storage_);
    }
    explicit operator bool() const { return table_ != nullptr; }
    R operator()(Args... args) { return table_->call(storage_, std::forward<Args>(args)...); }

private:
    static constexpr size_t kInlineBytes = 48;

    struct Table {
        R (*call)(void*, Args&&...);
        void (*move)(void* to, void* from);  // and destroys what was moved from
        void (*destroy)(void*);
    };

    template <class Held>
    static constexpr bool fits() {
        return sizeof(Held) <= kInlineBytes && alignof(Held) <= alignof(std::max_align_t) &&
               std::is_nothrow_move_constructible_v<Held>;
    }

    template <class Held>
    static constexpr Table kInside{
        [](void* held, Args&&... args) -> R {
            return (*static_cast<Held*>(held))(std::forward<Args>(args)...);
        },
        [](void* to, void* from) {
            new (to) Held(std::move(*static_cast<Held*>(from)));
            static_cast<Held*>(from)->~Held();
        },
        [](void* held) { static_cast<Held*>(held)->~Held(); }};

    template <class Held>
    static constexpr Table kOutside{
        [](void* held, Args&&... args) -> R {
            return (**static_cast<Held**>(held))(std::forward<Args>(args)...);
        },
        [](void* to, void* from) { new (to) Held*(*static_cast<Held**>(from)); },
        [](void* held) { delete *static_cast<Held**>(held); }};

    void take(UniqueFunction& other) {
        if (!other.table_) return;
        other.table_->move(storage_, other.storage_);
        table_ = std::exchange(other.table_, nullptr);
    }

    const Table* table_ = nullptr;
    alignas(std::max_align_t) unsigned char storage_[kInlineBytes];
};

}  // namespace sn
