#pragma once
// Runs kernel sources on a CPU: a source compiled with
//
//   g++ -std=c++20 -O1 -ffp-contract=off -mfma -fPIC -shared -DSN_SHIM
//       -I tests/cuda/shim -I core -I core/backend/cuda/kernels
//
// is a library in which every kernel `k` is  extern "C" void k(const ShimLaunch*, const void*
// args). It runs the blocks one after the other and the threads of a block on one CPU thread. A
// thread that waits at a barrier (or a shuffle) is left there on a stack of its own while the next
// ones run; a kernel without barriers is a plain loop. Memory of a block is filled with a NaN
// pattern before each block. A barrier that some threads do not reach ends the process with a
// message.
//
// SENNIT_SHIM_REVERSE=1 runs blocks and threads in the opposite order: a result that changes with
// it has a race.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <type_traits>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

extern "C" {
struct ShimLaunch {
    uint32_t blocks[3] = {1, 1, 1};
    uint32_t threads[3] = {1, 1, 1};
    uint32_t shared_bytes = 0;
};
}

struct ShimDim {
    uint32_t x = 0, y = 0, z = 0;
};
static ShimDim threadIdx, blockIdx, blockDim, gridDim;

// Bounds of the section that holds all SN_SHARED variables; null without one.
extern "C" __attribute__((weak, visibility("hidden"))) char __start_sn_shared[];
extern "C" __attribute__((weak, visibility("hidden"))) char __stop_sn_shared[];

namespace shim {

#if defined(__x86_64__)
// Keeps what a call keeps, and changes stacks.
asm(R"(
.text
.type sn_shim_switch, @function
sn_shim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
extern "C" __attribute__((visibility("hidden"))) void sn_shim_switch(void** save, void* to);
#endif

inline constexpr int kMaxThreads = 1024, kWarpSize = 32;
inline constexpr size_t kStack = 256 << 10;

enum class Wait : uint8_t { kNone, kBlock, kWarp };

struct Fiber {
    char* stack = nullptr;
#if defined(__x86_64__)
    void* at = nullptr;
#else
    ucontext_t at;
#endif
    int thread = 0;
};

struct Warp {
    uint64_t slots[2][kWarpSize];
    uint32_t votes[2];
    uint32_t arrived = 0, generation = 0;
    int threads = 0;
};

struct State {
    Fiber fibers[kMaxThreads];
#if defined(__x86_64__)
    void* home = nullptr;
#else
    ucontext_t home;
#endif
    Warp warps[kMaxThreads / kWarpSize];
    Wait wait[kMaxThreads];  // by thread
    Fiber* of_thread[kMaxThreads];
    Fiber* idle[kMaxThreads];
    int num_idle = 0, made = 0;
    Fiber* running = nullptr;
    int total = 0, started = 0, finished = 0, at_barrier = 0;
    bool reverse = false;
    void (*body)(const void*) = nullptr;
    const void* args = nullptr;
    char* dynamic = nullptr;
    size_t dynamic_size = 0;
};
static State state;
static std::mutex mutex;

inline void set_thread(int t) {
    threadIdx.x = static_cast<uint32_t>(t) % blockDim.x;
    threadIdx.y = static_cast<uint32_t>(t) / blockDim.x % blockDim.y;
    threadIdx.z = static_cast<uint32_t>(t) / blockDim.x / blockDim.y;
}

inline void leave(Fiber* from) {  // to the scheduler
#if defined(__x86_64__)
    sn_shim_switch(&from->at, state.home);
#else
    swapcontext(&from->at, &state.home);
#endif
}
inline void enter(Fiber* to) {
    state.running = to;
#if defined(__x86_64__)
    sn_shim_switch(&state.home, to->at);
#else
    swapcontext(&state.home, &to->at);
#endif
}

// A fiber runs threads until none is left to start; one that waited goes on with the next.
inline void run_threads() {
    for (;;) {
        Fiber* self = state.running;
        while (state.started < state.total) {
            const int n = state.started++;
            const int t = state.reverse ? state.total - 1 - n : n;
            self->thread = t;
            state.of_thread[t] = self;
            state.wait[t] = Wait::kNone;
            set_thread(t);
            state.body(state.args);
            state.of_thread[t] = nullptr;
            ++state.finished;
        }
        state.idle[state.num_idle++] = self;
        leave(self);
    }
}

inline Fiber* take_fiber() {
    if (state.num_idle > 0) return state.idle[--state.num_idle];
    Fiber* f = &state.fibers[state.made++];
    f->stack = static_cast<char*>(std::aligned_alloc(4096, kStack));
#if defined(__x86_64__)
    uint64_t* top = reinterpret_cast<uint64_t*>(f->stack + kStack);
    *--top = 0;  // where run_threads would return to: it does not
    *--top = reinterpret_cast<uint64_t>(&run_threads);
    for (int i = 0; i < 6; ++i) *--top = 0;
    f->at = top;
#else
    getcontext(&f->at);
    f->at.uc_stack.ss_sp = f->stack;
    f->at.uc_stack.ss_size = kStack;
    f->at.uc_link = nullptr;
    makecontext(&f->at, &run_threads, 0);
#endif
    return f;
}

[[noreturn]] inline void diverged(const char* what) {
    std::fprintf(stderr,
                 "cuda_shim: %s in block (%u, %u, %u): of %d threads %d ended, %d wait at "
                 "__syncthreads() and the others at a shuffle or vote\n",
                 what, blockIdx.x, blockIdx.y, blockIdx.z, state.total, state.finished,
                 state.at_barrier);
    std::abort();
}

inline void wait_here(Wait kind) {
    Fiber* self = state.running;
    const int t = self->thread;
    state.wait[t] = kind;
    leave(self);
    set_thread(t);
}

inline void block_barrier() {
    if (state.total == 1) return;
    if (state.at_barrier + 1 == state.total) {  // the last one lets all go on
        state.at_barrier = 0;
        for (int t = 0; t < state.total; ++t)
            if (state.wait[t] == Wait::kBlock) state.wait[t] = Wait::kNone;
        return;
    }
    ++state.at_barrier;
    wait_here(Wait::kBlock);
}

// All threads of a warp give a value; afterwards each may read those of the others.
inline int warp_exchange(uint64_t value, bool vote) {
    const int t = state.running->thread, w = t / kWarpSize;
    Warp& warp = state.warps[w];
    const int side = static_cast<int>(warp.generation & 1);
    if (warp.arrived == 0) warp.votes[side] = 0;
    warp.slots[side][t % kWarpSize] = value;
    warp.votes[side] |= static_cast<uint32_t>(vote) << (t % kWarpSize);
    if (++warp.arrived == static_cast<uint32_t>(warp.threads)) {
        warp.arrived = 0;
        ++warp.generation;
        for (int i = w * kWarpSize; i < w * kWarpSize + warp.threads; ++i)
            if (state.wait[i] == Wait::kWarp) state.wait[i] = Wait::kNone;
    } else {
        wait_here(Wait::kWarp);
    }
    return side;
}

inline void run_block() {
    State& s = state;
    s.started = s.finished = s.at_barrier = 0;
    for (int w = 0; w * kWarpSize < s.total; ++w) {
        s.warps[w].arrived = s.warps[w].generation = 0;
        const int left = s.total - w * kWarpSize;
        s.warps[w].threads = left < kWarpSize ? left : kWarpSize;
    }
    if (__start_sn_shared) {
        char* first = __start_sn_shared;
        std::memset(first, 0xff, static_cast<size_t>(__stop_sn_shared - first));
    }
    if (s.dynamic_size) std::memset(s.dynamic, 0xff, s.dynamic_size);
    while (s.finished < s.total) {
        const int before = s.finished;
        bool moved = false;
        while (s.started < s.total) {
            enter(take_fiber());
            moved = true;
        }
        for (int n = 0; n < s.total; ++n) {
            const int t = s.reverse ? s.total - 1 - n : n;
            Fiber* f = s.of_thread[t];
            if (!f || s.wait[t] != Wait::kNone) continue;
            moved = true;
            enter(f);
        }
        if (!moved && s.finished == before) diverged("a barrier that not all threads reach");
        if (s.finished > 0 && s.at_barrier > 0) diverged("threads ended before a barrier");
    }
}

inline void run(const ShimLaunch& launch, void (*body)(const void*), const void* args) {
    const std::lock_guard lock(mutex);
    State& s = state;
    const char* order = std::getenv("SENNIT_SHIM_REVERSE");
    s.reverse = order && order[0] == '1';
    s.body = body;
    s.args = args;
    blockDim = {launch.threads[0], launch.threads[1], launch.threads[2]};
    gridDim = {launch.blocks[0], launch.blocks[1], launch.blocks[2]};
    const uint64_t threads = uint64_t(blockDim.x) * blockDim.y * blockDim.z;
    if (threads == 0 || threads > kMaxThreads) {
        std::fprintf(stderr, "cuda_shim: blocks of %llu threads (1 to %d are allowed)\n",
                     static_cast<unsigned long long>(threads), kMaxThreads);
        std::abort();
    }
    s.total = static_cast<int>(threads);
    if (launch.shared_bytes > s.dynamic_size) {
        std::free(s.dynamic);
        s.dynamic = static_cast<char*>(
            std::aligned_alloc(64, (launch.shared_bytes + 63) / 64 * size_t{64}));
    }
    s.dynamic_size = launch.shared_bytes;
    const uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z;
    for (uint64_t n = 0; n < blocks; ++n) {
        const uint64_t b = s.reverse ? blocks - 1 - n : n;
        blockIdx.x = static_cast<uint32_t>(b % gridDim.x);
        blockIdx.y = static_cast<uint32_t>(b / gridDim.x % gridDim.y);
        blockIdx.z = static_cast<uint32_t>(b / gridDim.x / gridDim.y);
        run_block();
    }
}

}  // namespace shim

#undef SN_DEVICE
#define SN_DEVICE [[maybe_unused]] inline
#define SN_SHARED static __attribute__((section("sn_shared")))
#define SN_DYNAMIC_SHARED(T, name) T* const name = reinterpret_cast<T*>(shim::state.dynamic)
#define SN_UNROLL(n)
#define SN_KERNEL_THREADS(name, Args, threads) SN_KERNEL(name, Args)
#define SN_KERNEL(name, Args)                                                                 \
    static void name##_body(const Args& args);                                                \
    extern "C" __attribute__((visibility("default"))) void name(const ShimLaunch* launch,     \
                                                                const void* args) {           \
        shim::run(                                                                            \
            *launch, [](const void* a) { name##_body(*static_cast<const Args*>(a)); }, args); \
    }                                                                                         \
    static void name##_body([[maybe_unused]] const Args& args)

static inline void __syncthreads() { shim::block_barrier(); }
static inline void __syncwarp() { shim::warp_exchange(0, false); }
static inline void __threadfence() {}

template <class T>
static inline T warp_shuffle(T x, int lane, int width = 32) {
    static_assert(sizeof(T) <= 8);
    uint64_t bits = 0;
    std::memcpy(&bits, &x, sizeof(T));
    const int side = shim::warp_exchange(bits, false);
    const int t = shim::state.running->thread, own = t % 32,
              from = own / width * width + lane % width;
    std::memcpy(&x, &shim::state.warps[t / 32].slots[side][from], sizeof(T));
    return x;
}
template <class T>
static inline T warp_shuffle_down(T x, int by, int width = 32) {
    const int own = static_cast<int>(shim::state.running->thread % width);
    return warp_shuffle(x, own + by < width ? own + by : own, width);
}
static inline uint32_t warp_ballot(bool vote) {
    const int side = shim::warp_exchange(0, vote);
    return shim::state.warps[shim::state.running->thread / 32].votes[side];
}

#define SN_SHIM_ATOMIC(name, expression)                        \
    template <class T>                                          \
    static inline T name(T* p, std::type_identity_t<T> x) {     \
        static_assert(std::is_integral_v<T> && sizeof(T) >= 4); \
        const T old = *p;                                       \
        *p = (expression);                                      \
        return old;                                             \
    }
SN_SHIM_ATOMIC(atomicAdd, static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) +
                                         static_cast<std::make_unsigned_t<T>>(x)))
SN_SHIM_ATOMIC(atomicMin, x < old ? x : old)
SN_SHIM_ATOMIC(atomicMax, x > old ? x : old)
SN_SHIM_ATOMIC(atomicOr, old | x)
SN_SHIM_ATOMIC(atomicAnd, old& x)
SN_SHIM_ATOMIC(atomicExch, x)
#undef SN_SHIM_ATOMIC
template <class T>
static inline T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> x) {
    static_assert(std::is_integral_v<T>);
    const T old = *p;
    if (old == expected) *p = x;
    return old;
}
