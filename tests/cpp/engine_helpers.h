#pragma once
// What the tests of the pool and of the engine share.
#include <chrono>
#include <initializer_list>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "engine/engine.h"
#include "engine/pool.h"
#include "engine/pool_job.h"

namespace sn::test {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr int kScale = 10;  // sanitizers are slow: fewer rounds
#else
inline constexpr int kScale = 1;
#endif

inline void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

inline void busy_us(int us) {
    const int64_t end = now_nanos() + us * 1000;
    while (now_nanos() < end) spin_pause();
}

// Runs a test body with several sizes of the pool, and puts the size back.
template <class Body>
void with_threads(std::initializer_list<int> sizes, Body body) {
    const int before = pool_threads();
    for (int size : sizes) {
        synchronize();
        set_pool_threads(size);
        CHECK_EQ(pool_threads(), size);
        body();
        synchronize();
    }
    set_pool_threads(before);
}

inline Task task_of(std::vector<Access> accesses, UniqueFunction<void()> run) {
    Task task;
    task.run = std::move(run);
    task.accesses = std::move(accesses);
    return task;
}

}  // namespace sn::test
