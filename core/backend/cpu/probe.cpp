#include "backend/cpu/probe.h"

#include <algorithm>
#include <chrono>

#include "backend/cpu/kernel_sets.h"
#include "engine/pool.h"

namespace sn::cpu {

double fma_peak() {
    using Clock = std::chrono::steady_clock;
    const auto loop = kernel_sets().multiply_add_loop;
    const int64_t threads = pool_threads();
    // About 5 ms per thread; the best of several, since whatever else runs only slows it.
    constexpr int64_t kSteps = 500'000;
    double best = 0;
    for (int repeat = 0; repeat < 9; ++repeat) {
        double flops = 0;
        const auto begin = Clock::now();
        parallel_for(threads, 1, [&](int64_t first, int64_t) {
            const double done = loop(kSteps);
            if (first == 0) flops = done * static_cast<double>(threads);
        });
        const std::chrono::duration<double> took = Clock::now() - begin;
        best = std::max(best, 1e-9 * flops / took.count());
    }
    return best;
}

}  // namespace sn::cpu
