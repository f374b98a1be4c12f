#pragma once
#include <cstddef>

namespace sn::cpu {

// A lease of 64-byte aligned memory from the current thread's stack-like arena, returned when it
// goes out of scope. Unlike thread_scratch it survives nested use: a thread that waits in
// parallel_for may run somebody else's kernel, and an epilogue may want scratch of its own; both
// only push on top of what is leased.
class Scratch {
public:
    explicit Scratch(size_t bytes);
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    void* data() const { return data_; }
    template <class T>
    T* as() const {
        return static_cast<T*>(data_);
    }

private:
    void* data_;
    size_t bytes_;
    bool from_arena_;
};

}  // namespace sn::cpu
