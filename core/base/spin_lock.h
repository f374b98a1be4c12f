#pragma once
#include <atomic>
#include <thread>

namespace sn {

// For sections of some tens of nanoseconds, where a mutex costs more than what it guards. Gives way
// to others after a while: the holder may have lost its CPU. For use with std::lock_guard.
class SpinLock {
public:
    void lock() {
        for (int spins = 0; flag_.exchange(true, std::memory_order_acquire);)
            while (flag_.load(std::memory_order_relaxed))
                if (++spins > 200) std::this_thread::yield();
    }
    void unlock() { flag_.store(false, std::memory_order_release); }

private:
    std::atomic<bool> flag_{false};
};

}  // namespace sn
