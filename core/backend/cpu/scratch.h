#pragma once
#include <cstddef>

namespace sn::cpu {

// A lease of 64-byte aligned memory, returned when it goes out of scope: from the current thread's
// stack-like arena or, when large, from blocks that all threads share. Unlike thread_scratch it
// survives nested use: a thread that waits in parallel_for may run somebody else's kernel, and an
// epilogue may want scratch of its own; both only push on top of what is leased.
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
    size_t bytes_;  // of kShared: the whole block
    enum class From : unsigned char { kArena, kHeap, kShared } from_;
};

}  // namespace sn::cpu
