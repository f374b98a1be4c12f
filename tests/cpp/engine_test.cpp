// The dependency scheduler, graph replay, forks and exits, and what each costs.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/error.h"
#include "check.h"
#include "engine/engine.h"
#include "engine/graph.h"
#include "engine/pool.h"
#include "engine_helpers.h"
#include "memory/recycling.h"

#if defined(__SANITIZE_THREAD__)
constexpr bool kCanFork = false;  // not after threads have been started
#else
constexpr bool kCanFork = true;
#endif

using namespace sn;
using namespace sn::test;

namespace {

const char* self_path = "";

// Random tasks over byte ranges: each mixes what it reads into what it writes. Any order other than
// one that the dependencies allow gives other bytes than running the tasks one by one.
void random_tasks(unsigned seed, int count) {
    constexpr int kVars = 5, kBytes = 64;
    struct Step {
        int var, begin, end;
        AccessMode mode;
    };
    std::mt19937 random(seed);
    std::vector<std::vector<Step>> program;
    for (int i = 0; i < count; ++i) {
        std::vector<Step> steps;
        std::set<int> used;
        for (int k = static_cast<int>(random() % 4) + 1; k-- > 0;) {
            const int var = static_cast<int>(random() % kVars);
            if (!used.insert(var).second) continue;
            const int begin = static_cast<int>(random() % kBytes);
            const int end =
                begin + 1 + static_cast<int>(random() % static_cast<unsigned>(kBytes - begin));
            steps.push_back({var, begin, end, static_cast<AccessMode>(random() % 3 + 1)});
        }
        program.push_back(steps);
    }
    auto execute = [](unsigned char (*memory)[kBytes], const std::vector<Step>& steps, int i) {
        uint32_t mix = 17u * static_cast<uint32_t>(i) + 1;
        for (const Step& step : steps)
            if (step.mode != AccessMode::kWrite)
                for (int b = step.begin; b < step.end; ++b) mix = mix * 31 + memory[step.var][b];
        for (const Step& step : steps)
            if (step.mode != AccessMode::kRead)
                for (int b = step.begin; b < step.end; ++b) {
                    mix = mix * 1664525 + 1013904223;
                    memory[step.var][b] = static_cast<unsigned char>(mix >> 24);
                }
    };
    unsigned char expected[kVars][kBytes] = {}, actual[kVars][kBytes] = {};
    for (int i = 0; i < count; ++i) execute(expected, program[static_cast<size_t>(i)], i);
    std::vector<Var> vars;
    for (int v = 0; v < kVars; ++v) vars.push_back(make_var());
    for (int i = 0; i < count; ++i) {
        Task task;
        for (const Step& step : program[static_cast<size_t>(i)])
            task.accesses.push_back(
                {vars[static_cast<size_t>(step.var)], step.mode, step.begin, step.end});
        task.priority = static_cast<int>(random() % 3);
        task.lane = static_cast<Lane>(random() % 3);
        task.run = [&, i] {
            if (i % 7 == 0) busy_us(30);
            execute(actual, program[static_cast<size_t>(i)], i);
        };
        push(std::move(task));
    }
    synchronize();
    CHECK(std::memcmp(expected, actual, sizeof expected) == 0);
    CHECK_EQ(pending_tasks(), 0);
}

TEST(engine_order) {
    with_threads({1, 2, 4}, [] {
        for (unsigned seed = 0; seed < 40u / kScale; ++seed) random_tasks(seed, 150);
    });
}

TEST(engine_order_serial) {
    set_engine_mode(EngineMode::kSerial);
    for (unsigned seed = 0; seed < 20u / kScale; ++seed) random_tasks(seed, 150);
    // Done when push returns, on this thread, in all lanes.
    const auto me = std::this_thread::get_id();
    for (Lane lane : {Lane::kCompute, Lane::kBlocking, Lane::kCaller}) {
        bool ran = false;
        Task task = task_of({}, [&] { ran = std::this_thread::get_id() == me; });
        task.lane = lane;
        const TaskId id = push(std::move(task));
        CHECK(ran && is_done(id));
    }
    set_engine_mode(EngineMode::kThreaded);
}

TEST(engine_priority) {
    with_threads({2}, [] {
        Var gate = make_var();
        std::vector<int> order;
        std::mutex lock;
        std::atomic<bool> open{false};
        push(task_of({{gate, AccessMode::kWrite}}, [&] {
            while (!open) sleep_ms(1);
        }));
        std::vector<TaskId> ids;
        for (int i = 0; i < 6; ++i) {
            Task task = task_of({{gate, AccessMode::kRead}}, [&, i] {
                std::lock_guard guard(lock);
                order.push_back(i);
                sleep_ms(1);
            });
            task.priority = i % 3;
            ids.push_back(push(std::move(task)));
        }
        open = true;
        for (TaskId id : ids)  // without helping: the one worker takes them by priority
            while (!is_done(id)) sleep_ms(1);
        CHECK(order == (std::vector<int>{2, 5, 1, 4, 0, 3}));
    });
}

void check_errors() {
    Var a = make_var(), b = make_var(), c = make_var();
    std::atomic<int> ran{0};
    std::exception_ptr seen;
    push(task_of({{a, AccessMode::kWrite, 0, 100}},
                 [] { throw std::runtime_error("first cause"); }));
    Task skipped =
        task_of({{a, AccessMode::kRead, 50, 60}, {b, AccessMode::kWrite}}, [&] { ++ran; });
    skipped.done = [&](const std::exception_ptr& error) { seen = error; };
    const TaskId id = push(std::move(skipped));
    push(task_of({{b, AccessMode::kRead}, {c, AccessMode::kUpdate}}, [&] { ++ran; }));
    // Another range of `a` is well; a task that only overwrites `b` runs and heals it.
    const TaskId fine = push(task_of({{a, AccessMode::kRead, 100, 200}}, [] {}));
    wait(fine);
    CHECK_THROWS(wait(id), "first cause");
    CHECK(seen != nullptr);
    CHECK_THROWS(wait(c), "first cause");
    CHECK_THROWS(wait(c), "first cause");  // the value stays bad
    CHECK_EQ(ran.load(), 0);
    wait(push(task_of({{b, AccessMode::kWrite}}, [&] { ++ran; })));
    wait(b);
    wait(push(task_of({{b, AccessMode::kRead}}, [&] { ++ran; })));
    CHECK_EQ(ran.load(), 2);
    // A write into the middle heals that range only.
    push(task_of({{a, AccessMode::kWrite, 40, 60}}, [] {}));
    wait(a, 40, 60);
    CHECK_THROWS(wait(a, 0, 40), "first cause");
    CHECK_THROWS(wait(a, 60, 61), "first cause");
    synchronize();  // reported already, so not again
    push(task_of({}, [] { throw std::runtime_error("one"); }));
    push(task_of({}, [] { throw std::runtime_error("two"); }));
    CHECK_THROWS(synchronize(), "one");
    synchronize();
}

TEST(engine_errors) {
    with_threads({1, 2, 4}, check_errors);
    set_engine_mode(EngineMode::kSerial);
    check_errors();
    set_engine_mode(EngineMode::kThreaded);
}

TEST(engine_blocking_lane) {
    with_threads({1, 2}, [] {
        // Two tasks that wait for each other need two threads; compute goes on meanwhile.
        std::atomic<int> here{0};
        auto meet = [&] {
            ++here;
            while (here < 2) sleep_ms(1);
        };
        for (int i = 0; i < 2; ++i) {
            Task task = task_of({}, meet);
            task.lane = Lane::kBlocking;
            push(std::move(task));
        }
        Var file = make_var();
        std::atomic<bool> written{false}, ordered{false};
        Task write = task_of({{file, AccessMode::kWrite}}, [&] {
            sleep_ms(20);
            written = true;
        });
        write.lane = Lane::kBlocking;
        push(std::move(write));
        const TaskId after =
            push(task_of({{file, AccessMode::kRead}}, [&] { ordered = written.load(); }));
        std::atomic<int> computed{0};
        for (int i = 0; i < 10; ++i) wait(push(task_of({}, [&] { ++computed; })));
        CHECK_EQ(computed.load(), 10);
        wait(after);
        CHECK(ordered.load());
        synchronize();
    });
}

TEST(engine_caller_lane) {
    with_threads({3}, [] {
        const auto me = std::this_thread::get_id();
        Var value = make_var();
        std::atomic<int> here{0}, ran{0};
        for (int i = 0; i < 20; ++i) {
            push(task_of({{value, AccessMode::kUpdate}}, [&] {
                busy_us(10);
                ++ran;
            }));
            Task callback = task_of({{value, AccessMode::kUpdate}},
                                    [&] { here += std::this_thread::get_id() == me; });
            callback.lane = Lane::kCaller;
            push(std::move(callback));
        }
        wait(value);
        CHECK_EQ(here.load(), 20);
        CHECK_EQ(ran.load(), 20);
    });
}

TEST(engine_nested_waits) {
    with_threads({1, 2, 4}, [] {
        std::atomic<int> leaves{0};
        // Every task pushes two more and waits for them: more waiting tasks than threads.
        std::function<void(int)> tree = [&](int depth) {
            if (depth == 0) {
                ++leaves;
                return;
            }
            const TaskId left = push(task_of({}, [&tree, depth] { tree(depth - 1); }));
            const TaskId right = push(task_of({}, [&tree, depth] { tree(depth - 1); }));
            wait(left);
            wait(right);
        };
        wait(push(task_of({}, [&] { tree(7); })));
        CHECK_EQ(leaves.load(), 128);
        CHECK_THROWS(wait(push(task_of({}, [] { synchronize(); }))), "synchronize");
        try {
            synchronize();
        } catch (const std::exception&) {
        }
    });
}

TEST(engine_chain_is_walked_once) {
    with_threads({2}, [] {
        Var value = make_var();
        std::atomic<bool> open{false};
        int64_t sum = 0;
        Task gate = task_of({{value, AccessMode::kWrite}}, [&] {
            while (!open) sleep_ms(1);
        });
        gate.lane = Lane::kBlocking;
        push(std::move(gate));
        const int length = 20000 / kScale;
        for (int i = 0; i < length; ++i)
            push(task_of({{value, AccessMode::kUpdate}}, [&] { ++sum; }));
        CHECK(pending_tasks() > length);
        open = true;
        const int64_t start = now_nanos();
        wait(value);
        CHECK_EQ(sum, length);
        std::printf("  chain: %.0f ns per task\n",
                    static_cast<double>(now_nanos() - start) / length);
    });
}

TEST(engine_interrupt) {
    with_threads({1, 2}, [] {
        std::atomic<bool> open{false};
        Task gate = task_of({}, [&] {
            while (!open) sleep_ms(1);
        });
        gate.lane = Lane::kBlocking;
        const TaskId id = push(std::move(gate));
        static int polls;
        polls = 0;
        CHECK_THROWS(wait(id, [] { return ++polls == 3; }), "interrupted");
        CHECK_EQ(polls, 3);
        CHECK_THROWS(synchronize([]() -> bool { throw std::runtime_error("signal"); }), "signal");
        CHECK(!is_done(id));
        open = true;
        wait(id);
        synchronize();
    });
}

TEST(engine_buffers) {
    with_threads({1, 2}, [] {
        BufferRef good = Buffer::pending(cpu_allocator(), 4096);
        BufferRef bad = Buffer::pending(cpu_allocator(), 4096);
        auto produce = [](BufferRef buffer, bool fails) {
            Task task;
            task.accesses = {{var_of(*buffer), AccessMode::kWrite}};
            task.run = [buffer, fails] {
                buffer->materialise();
                sleep_ms(5);
                if (fails) throw Error(ErrorKind::kIndex, "take", "index 9 of 3");
                std::memset(buffer->data(), 7, buffer->bytes());
            };
            task.done = [buffer](const std::exception_ptr& error) {
                error ? mark_failed(*buffer, error) : mark_ready(*buffer);
            };
            buffer->producer = push(std::move(task));
        };
        produce(good, false);
        produce(bad, true);
        wait(*good);
        CHECK_EQ(static_cast<char*>(good->data())[4095], 7);
        CHECK_THROWS(wait(*bad), "index 9 of 3");
        CHECK_THROWS(wait(*bad), "index 9 of 3");
        synchronize();
        // Marked by somebody else while a thread waits.
        BufferRef outside = Buffer::pending(cpu_allocator(), 64);
        std::thread other([&] {
            sleep_ms(30);
            mark_ready(*outside);
        });
        wait(*outside);
        other.join();
        CHECK(good->unique() && bad->unique());
    });
    CHECK_EQ(cpu_allocator().stats().in_use, 0);
}

TEST(engine_many_pushers) {
    with_threads({1, 3}, [] {
        Var shared = make_var();
        int64_t sum = 0;
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&] {
                for (int i = 0; i < 1000 / kScale; ++i) {
                    const TaskId id =
                        push(task_of({{shared, AccessMode::kUpdate}}, [&] { ++sum; }));
                    if (i % 10 == 0) wait(id);
                }
            });
        for (std::thread& thread : threads) thread.join();
        synchronize();
        CHECK_EQ(sum, 4 * (1000 / kScale));
    });
}

// ---- graphs ----

struct GraphState {
    std::vector<std::atomic<int>> order;
    std::atomic<int> clock{0};
    std::vector<int> throws;
    explicit GraphState(size_t n) : order(n) {}
};

void check_graph(unsigned seed, bool with_errors) {
    std::mt19937 random(seed);
    const int n = 2 + static_cast<int>(random() % 120);
    std::vector<GraphEdge> edges;
    for (int to = 1; to < n; ++to)
        for (int k = static_cast<int>(random() % 4); k-- > 0;)
            edges.push_back({static_cast<int32_t>(random() % static_cast<unsigned>(to)), to});
    std::vector<int32_t> priority;
    for (int i = 0; i < n; ++i) priority.push_back(static_cast<int32_t>(random() % 3));
    const TaskGraph graph = TaskGraph::build(n, edges, {}, priority);
    GraphScratch scratch;
    for (int replay = 0; replay < 3; ++replay) {
        GraphState state(static_cast<size_t>(n));
        state.throws.assign(static_cast<size_t>(n), 0);
        int lowest = -1;
        if (with_errors)
            for (int i = 0; i < 3; ++i) state.throws[random() % static_cast<unsigned>(n)] = 1;
        std::vector<int> dead(static_cast<size_t>(n), 0);
        for (int i = 0; i < n; ++i) {
            for (const GraphEdge& edge : edges)
                if (edge.to == i && dead[static_cast<size_t>(edge.from)])
                    dead[static_cast<size_t>(i)] = 1;
            if (state.throws[static_cast<size_t>(i)] && !dead[static_cast<size_t>(i)]) {
                dead[static_cast<size_t>(i)] = 1;
                if (lowest < 0) lowest = i;
            }
        }
        auto node = [](void* context, int i) {
            auto& s = *static_cast<GraphState*>(context);
            if (i % 5 == 0) parallel_for(4, 1, [](int64_t, int64_t) { busy_us(2); });
            if (s.throws[static_cast<size_t>(i)]) throw i;
            s.order[static_cast<size_t>(i)] = ++s.clock;
        };
        int caught = -1;
        try {
            run_graph(graph, scratch, node, &state);
        } catch (int i) {
            caught = i;
        }
        CHECK_EQ(caught, lowest);
        if (lowest < 0) CHECK_EQ(state.clock.load(), n);
        for (const GraphEdge& edge : edges) {
            const int from = state.order[static_cast<size_t>(edge.from)];
            const int to = state.order[static_cast<size_t>(edge.to)];
            CHECK(to == 0 || (from > 0 && from < to));
        }
    }
}

TEST(graph_random) {
    with_threads({1, 2, 4}, [] {
        for (unsigned seed = 0; seed < 60u / kScale; ++seed) {
            check_graph(seed, false);
            check_graph(seed, true);
        }
    });
}

TEST(graph_branches_run_together) {
    with_threads({2}, [] {
        // Two nodes that wait for each other: both must be running at once.
        const TaskGraph graph = TaskGraph::build(
            4, std::vector<GraphEdge>{{0, 1}, {0, 2}, {1, 3}, {2, 3}}, std::vector<float>(4, 1e6f));
        CHECK(!graph.is_chain());
        CHECK_NEAR(graph.critical_path_ns(), 3e6, 1);
        std::atomic<int> here{0};
        GraphScratch scratch;
        for (int i = 0; i < 50 / kScale; ++i) {
            here = 0;
            if (i % 10 == 0) sleep_ms(2);  // from sleeping and from spinning workers
            run_graph(
                graph, scratch,
                [](void* context, int node) {
                    auto& count = *static_cast<std::atomic<int>*>(context);
                    if (node == 1 || node == 2) {
                        ++count;
                        while (count < 2) std::this_thread::yield();
                    }
                },
                &here);
        }
        CHECK_EQ(here.load(), 2);
    });
}

TEST(graph_in_task) {
    with_threads({1, 2, 4}, [] {
        std::vector<GraphEdge> edges;
        for (int i = 1; i < 20; ++i) edges.push_back({0, i});
        const TaskGraph graph = TaskGraph::build(20, edges);
        std::atomic<int> ran{0};
        for (int i = 0; i < 20; ++i)
            push(task_of({}, [&] {
                GraphScratch scratch;
                run_graph(
                    graph, scratch,
                    [](void* context, int) {
                        parallel_for(3, 1, [&](int64_t, int64_t) {
                            ++*static_cast<std::atomic<int>*>(context);
                        });
                    },
                    &ran);
            }));
        synchronize();
        CHECK_EQ(ran.load(), 20 * 20 * 3);
    });
}

TEST(graph_chain_is_inline) {
    const TaskGraph graph = TaskGraph::build(3, std::vector<GraphEdge>{{0, 1}, {1, 2}, {0, 2}});
    CHECK(graph.is_chain());
    CHECK(!TaskGraph::build(3, std::vector<GraphEdge>{{0, 2}, {1, 2}}).is_chain());
    CHECK(TaskGraph::build(0, {}).is_chain() && TaskGraph::build(1, {}).is_chain());
    GraphScratch scratch;
    std::vector<int> order;
    run_graph(
        graph, scratch,
        [](void* context, int i) { static_cast<std::vector<int>*>(context)->push_back(i); },
        &order);
    CHECK(order == (std::vector<int>{0, 1, 2}));
}

// Everything at once from several threads: tasks with graphs and nested loops inside, waits, and a
// pool without a core for each thread.
TEST(all_together) {
    with_threads({2, 6}, [] {
        std::vector<GraphEdge> edges;
        for (int i = 1; i < 24; ++i) edges.push_back({(i - 1) / 3, i});
        const TaskGraph graph = TaskGraph::build(24, edges);
        Var shared = make_var();
        int64_t ordered = 0;
        std::atomic<int64_t> counted{0};
        const int rounds = 200 / kScale;
        auto user = [&](unsigned seed) {
            std::mt19937 random(seed);
            GraphScratch scratch;
            auto node = [](void* context, int i) {
                auto& count = *static_cast<std::atomic<int64_t>*>(context);
                parallel_for(1 + i % 4, 1, [&](int64_t b, int64_t e) { count += e - b; });
            };
            for (int i = 0; i < rounds; ++i) {
                const bool update = random() % 2 == 0;
                Task task = task_of({{shared, update ? AccessMode::kUpdate : AccessMode::kRead}},
                                    [&, update] {
                                        GraphScratch own;
                                        run_graph(graph, own, node, &counted);
                                        if (update) ++ordered;
                                    });
                task.lane = random() % 4 == 0 ? Lane::kBlocking : Lane::kCompute;
                const TaskId id = push(std::move(task));
                if (!update) push(task_of({{shared, AccessMode::kUpdate}}, [&] { ++ordered; }));
                switch (random() % 4) {
                    case 0: run_graph(graph, scratch, node, &counted); break;
                    case 1: wait(id); break;
                    case 2: parallel_for(60, 1, [&](int64_t b, int64_t e) { counted += e - b; });
                }
            }
        };
        std::vector<std::thread> users;
        for (unsigned t = 0; t < 3; ++t) users.emplace_back(user, t);
        for (std::thread& thread : users) thread.join();
        synchronize();
        CHECK_EQ(ordered, 3 * rounds);
        CHECK_EQ(counted.load() % 60, 0);  // a graph counts 60 as well
    });
}

// ---- processes ----

TEST(fork_in_use) {
    if (!kCanFork) return;
    with_threads({2, 4}, [] {
        std::atomic<int64_t> sum{0};
        parallel_for(100, 1, [&](int64_t b, int64_t e) { sum += e - b; });
        std::atomic<bool> open{false};
        BufferRef stuck = Buffer::pending(cpu_allocator(), 64);
        Task task = task_of({}, [&] {
            while (!open) sleep_ms(1);
        });
        task.lane = Lane::kBlocking;
        task.done = [&](const std::exception_ptr& error) {
            error ? mark_failed(*stuck, error) : mark_ready(*stuck);
        };
        stuck->producer = push(std::move(task));
        for (int i = 0; i < 20; ++i) push(task_of({}, [] { busy_us(100); }));
        std::fflush(nullptr);
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);  // a child that hangs is a failure, not a hang of the test
            int bad = 0;
            std::atomic<int64_t> mine{0};
            for (int i = 0; i < 100; ++i)
                parallel_for(100, 1, [&](int64_t b, int64_t e) { mine += e - b; });
            bad |= mine != 10000;
            int done = 0;
            wait(push(task_of({}, [&] { done = 1; })));
            Task blocking = task_of({}, [&] { ++done; });
            blocking.lane = Lane::kBlocking;
            wait(push(std::move(blocking)));
            bad |= (done != 2) << 1;
            try {
                wait(*stuck);
                bad |= 4;
            } catch (const Error& error) {
                bad |= (std::strstr(error.what(), "fork") == nullptr) << 3;
            }
            cpu_allocator().free(cpu_allocator().allocate(100000), 100000);
            _exit(bad);
        }
        int status = 0;
        waitpid(child, &status, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        open = true;
        wait(*stuck);
        parallel_for(100, 1, [&](int64_t b, int64_t e) { sum += e - b; });
        CHECK_EQ(sum.load(), 200);
    });
}

// Run as a program of its own: exits with work pending, some of which has to be finished.
int exit_with_pending_work() {
    Var data = make_var();
    set_pool_threads(2);
    static std::atomic<int> computed{0}, dropped{0};
    push(task_of({{data, AccessMode::kWrite}}, [] {
        sleep_ms(50);
        ++computed;
    }));
    Task write = task_of({{data, AccessMode::kRead}}, [] {
        sleep_ms(20);
        std::printf("written %d\n", computed.load());
        std::fflush(stdout);
    });
    write.lane = Lane::kBlocking;
    write.must_finish = true;
    push(std::move(write));
    Var other = make_var();
    for (int i = 0; i < 1000; ++i)
        push(task_of({{other, AccessMode::kUpdate}}, [] {
            sleep_ms(10);
            ++dropped;
        }));
    return 0;
}

TEST(exit_with_pending) {
    const int64_t start = now_nanos();
    FILE* child = popen((std::string(self_path) + " --exit-with-pending-work").c_str(), "r");
    char line[100] = "";
    CHECK(child && std::fgets(line, sizeof line, child));
    CHECK_EQ(std::string(line), std::string("written 1\n"));
    CHECK_EQ(pclose(child), 0);
    CHECK(now_nanos() - start < 5'000'000'000);  // the thousand tasks would take ten seconds
}

// ---- costs ----

TEST(costs) {
    const int rounds = 20000 / kScale;
    auto measure = [&](const char* what, auto&& body) {
        double best = 1e18;
        for (int pass = 0; pass < 7; ++pass) {
            const int64_t start = now_nanos();
            for (int i = 0; i < rounds; ++i) body();
            best = std::min(best, static_cast<double>(now_nanos() - start) / rounds);
        }
        std::printf("  %-46s %8.1f ns\n", what, best);
    };
    with_threads({2}, [&] {
        measure("parallel_for, 1 chunk",
                [] { parallel_for(1, 1, [](int64_t, int64_t) { asm volatile(""); }); });
        measure("parallel_for, 2 chunks, warm worker",
                [] { parallel_for(2, 1, [](int64_t, int64_t) { asm volatile(""); }); });
        measure("parallel_for, 16 chunks, warm worker",
                [] { parallel_for(16, 1, [](int64_t, int64_t) { asm volatile(""); }); });
        measure("push + wait, no accesses", [] { wait(push(task_of({}, [] {}))); });
        Var a = make_var(), b = make_var();
        measure("push, read and update (in flight)",
                [&] { push(task_of({{a, AccessMode::kRead}, {b, AccessMode::kUpdate}}, [] {})); });
        synchronize();
        std::vector<GraphEdge> edges;
        for (int i = 1; i < 64; ++i) edges.push_back({(i - 1) / 2, i});
        const TaskGraph tree = TaskGraph::build(64, edges);
        const TaskGraph brief = TaskGraph::build(64, edges, std::vector<float>(64, 100.f));
        GraphScratch scratch;
        measure("run_graph, 64 empty nodes in parallel, each", [&] {
            if (static int turn = 0; turn++ % 64 == 0)
                run_graph(tree, scratch, [](void*, int) {}, nullptr);
        });
        measure("run_graph, 64 empty nodes inline, each", [&] {
            if (static int turn = 0; turn++ % 64 == 0)
                run_graph(brief, scratch, [](void*, int) {}, nullptr);
        });
        double best = 1e18;
        for (int i = 0; i < 20; ++i) {
            sleep_ms(2);
            const int64_t start = now_nanos();
            parallel_for(2, 1, [](int64_t, int64_t) { busy_us(200); });
            best = std::min(best, static_cast<double>(now_nanos() - start) - 200e3);
        }
        std::printf("  %-46s %8.1f ns\n", "2 x 200 us from a sleeping worker, beyond 200 us", best);
    });
    set_engine_mode(EngineMode::kSerial);
    measure("push, serial engine", [] { push(task_of({}, [] {})); });
    set_engine_mode(EngineMode::kThreaded);
}

}  // namespace

int main(int argc, char** argv) {
    self_path = argv[0];
    if (argc > 1 && std::strcmp(argv[1], "--exit-with-pending-work") == 0)
        return exit_with_pending_work();
    set_engine_mode(EngineMode::kThreaded);  // the tests of the serial engine ask for it themselves
    return sn::test::run(argc, argv);
}
