// The thread pool: chunks, nesting, exceptions, scratch memory and the floating-point environment.
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "engine/engine.h"
#include "engine/pool.h"
#include "engine_helpers.h"

using namespace sn;
using namespace sn::test;

namespace {

TEST(pool_chunks) {
    std::printf("  pool: %s\n", pool_size_reason().c_str());
    with_threads({1, 2, 3, 8}, [] {
        for (int64_t n : {0, 1, 2, 7, 64, 1000})
            for (int64_t grain : {1, 3, 64, 5000}) {
                std::mutex lock;
                std::set<std::pair<int64_t, int64_t>> seen, expected;
                std::atomic<int> bad_index{0};
                parallel_for(n, grain, [&](int64_t begin, int64_t end) {
                    if (pool_thread_index() < 0 || pool_thread_index() >= pool_threads())
                        ++bad_index;
                    std::lock_guard guard(lock);
                    if (!seen.insert({begin, end}).second) ++bad_index;
                });
                for (int64_t b = 0; b < n; b += grain) expected.insert({b, std::min(n, b + grain)});
                CHECK(seen == expected);
                CHECK_EQ(bad_index.load(), 0);
            }
    });
}

TEST(pool_nested) {
    with_threads({1, 2, 5}, [] {
        std::atomic<int64_t> sum{0};
        const int rounds = 300 / kScale;
        for (int round = 0; round < rounds; ++round)
            parallel_for(4, 1, [&](int64_t, int64_t) {
                parallel_for(8, 2, [&](int64_t b, int64_t e) {
                    parallel_for(
                        3, 1, [&](int64_t begin, int64_t end) { sum += (end - begin) * (e - b); });
                });
            });
        CHECK_EQ(sum.load(), rounds * 4 * 8 * 3);
    });
}

TEST(pool_concurrent_callers) {
    with_threads({2, 4}, [] {
        std::atomic<int64_t> sum{0};
        std::vector<std::thread> callers;
        for (int t = 0; t < 4; ++t)
            callers.emplace_back([&] {
                for (int i = 0; i < 2000 / kScale; ++i)
                    parallel_for(10, 3, [&](int64_t begin, int64_t end) { sum += end - begin; });
            });
        for (std::thread& caller : callers) caller.join();
        CHECK_EQ(sum.load(), 4 * (2000 / kScale) * 10);
    });
}

TEST(pool_lowest_exception) {
    with_threads({1, 2, 4}, [] {
        for (int round = 0; round < 200 / kScale; ++round) {
            int64_t caught = -1;
            try {
                parallel_for(500, 1, [&](int64_t begin, int64_t) {
                    if (begin >= 37 && begin % 2 == 1) throw begin;
                });
            } catch (int64_t chunk) {
                caught = chunk;
            }
            CHECK_EQ(caught, 37);
        }
    });
}

TEST(pool_scratch_levels) {
    with_threads({1, 3}, [] {
        auto* outer = static_cast<int64_t*>(thread_scratch(1000 * sizeof(int64_t)));
        CHECK_EQ(reinterpret_cast<uintptr_t>(outer) % 64, 0u);
        for (int i = 0; i < 1000; ++i) outer[i] = i;
        std::atomic<int> bad{0};
        parallel_for(64, 1, [&](int64_t begin, int64_t) {
            auto* mine = static_cast<int64_t*>(thread_scratch(5000 * sizeof(int64_t)));
            for (int i = 0; i < 5000; ++i) mine[i] = begin;
            parallel_for(4, 1,
                         [&](int64_t, int64_t) { std::memset(thread_scratch(100), 0xAB, 100); });
            for (int i = 0; i < 5000; ++i) bad += mine[i] != begin;
        });
        for (int i = 0; i < 1000; ++i) bad += outer[i] != i;
        CHECK_EQ(bad.load(), 0);
    });
    thread_scratch(3 << 20);
    CHECK(scratch_bytes() >= 3 << 20);
    release_scratch();
    for (int i = 0; i < 200 && scratch_bytes() > 0; ++i) sleep_ms(5);
    CHECK_EQ(scratch_bytes(), 0);
}

#if defined(__x86_64__)
TEST(pool_float_environment) {
    with_threads({4}, [] {
        // A caller that flushes denormals (as some libraries set it) must not change results.
        const unsigned before = _mm_getcsr();
        _mm_setcsr(before | 0x8040);
        std::atomic<int> workers_wrong{0};
        parallel_for(100, 1, [&](int64_t, int64_t) {
            if (pool_thread_index() > 0 && (_mm_getcsr() & 0x8040)) ++workers_wrong;
            busy_us(20);
        });
        CHECK_EQ(workers_wrong.load(), 0);
        unsigned inside = 0;
        wait(push(task_of({}, [&] { inside = _mm_getcsr(); })));
        CHECK_EQ(inside & 0x8040u, 0u);
        CHECK_EQ(_mm_getcsr() & 0x8040u, 0x8040u);
        _mm_setcsr(before);
    });
}
#endif

TEST(pool_resize_from_body_fails) {
    with_threads({2}, [] {
        CHECK_THROWS(parallel_for(2, 1, [](int64_t, int64_t) { set_pool_threads(3); }),
                     "set_num_threads");
        CHECK_THROWS(set_pool_threads(0), "set_num_threads");
    });
}

TEST(pool_inline_scope) {
    with_threads({4}, [] {
        InlineScope scope;
        const auto me = std::this_thread::get_id();
        parallel_for(50, 1, [&](int64_t, int64_t) { CHECK(std::this_thread::get_id() == me); });
    });
}

}  // namespace

int main(int argc, char** argv) {
    set_engine_mode(EngineMode::kThreaded);
    return sn::test::run(argc, argv);
}
