#include "engine/pool.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "base/cgroup.h"
#include "base/error.h"
#include "base/spin_lock.h"
#include "base/system.h"
#include "engine/engine.h"
#include "engine/pool_job.h"
#include "engine/trace.h"

namespace sn {
namespace {

constexpr int kSlots = 64;  // one bit each in `active`; jobs that find none free run in the caller
constexpr int kMaxThreads = 1024;
constexpr int kWakeAtOnce = 2;  // each costs the caller a system call; those woken wake others

// Where a job lies while workers may join it. Slots are never freed, so a worker can always look
// into one; `users` counts those who look, and the owner leaves only when it is zero.
struct alignas(64) Slot {
    std::atomic<PoolJob*> job{nullptr};
    std::atomic<int> users{0};
    std::atomic<uint32_t> signal{0};  // what the owner sleeps on while others finish their pieces
    std::atomic<bool> asleep{false};
    std::atomic<bool> taken{false};
};

struct Pool {
    Slot slots[kSlots];
    alignas(64) std::atomic<uint64_t> active{0};  // slots with ready work: all that spinners read
    // A worker goes to sleep by adding itself to `sleepers`, and gets up with a wake-up. Who wakes
    // takes it off `sleepers` at once, so that others do not pay for waking it again while it is
    // on its way (some microseconds each, and much longer on a busy machine).
    alignas(64) std::atomic<int> sleepers{0};
    std::atomic<uint32_t> wake_ups{0};
    std::atomic<int> threads{0};  // 0: not chosen yet
    std::atomic<bool> started{false}, stop{false}, may_spin{false};
    std::atomic<uint32_t> scratch_generation{0};
    std::atomic<int64_t> scratch_total{0};
    std::mutex mutex;  // of all below
    std::vector<std::thread> workers;
    std::string reason;
};

void forget_threads_in_child();

// Never destroyed: workers may still look at it while the process exits. The compiler makes it, but
// for a mutex of MinGW's, which wants a call when the library is loaded.
#if defined(_WIN32)
#define SN_CONSTINIT
#define SN_CONSTEXPR
#else
#define SN_CONSTINIT constinit
#define SN_CONSTEXPR constexpr
#endif
union Undying {
    SN_CONSTEXPR Undying() : pool() {}
    ~Undying() {}
    Pool pool;
};
SN_CONSTINIT Undying undying;
#undef SN_CONSTINIT
#undef SN_CONSTEXPR
inline Pool& pool() { return undying.pool; }

struct ScratchLevel {
    void* data = nullptr;
    size_t bytes = 0;
};

// Per thread, without constructors so that access is a plain load. The scratch is freed by
// ScratchOwner, which is touched only when scratch grows.
struct ThreadState {
    PoolJob* current;
    ScratchLevel* scratch;
    int scratch_levels;
    int depth;
    int index;
    int inline_scopes;
    int slot_hint;
    uint32_t scratch_generation;
};
#if defined(__linux__)
__attribute__((tls_model("initial-exec")))
#endif
thread_local constinit ThreadState state{};

void free_scratch() {
    for (int i = 0; i < state.scratch_levels; ++i) {
        pool().scratch_total.fetch_sub(static_cast<int64_t>(state.scratch[i].bytes));
        system::free_aligned(state.scratch[i].data);
    }
    delete[] state.scratch;
    state.scratch = nullptr;
    state.scratch_levels = 0;
}

struct ScratchOwner {
    ~ScratchOwner() { free_scratch(); }
};
thread_local ScratchOwner scratch_owner;

// ---- size ----

// Spinning pays only when every thread of the pool has a core to itself; under a quota that is not
// a whole number of cores, spinning eats time that work needs.
void set_size(Pool& p, int count, std::string reason) {
    const double quota = cgroup_cpu_quota();
    p.may_spin = count <= system::usable_cpus() && (quota <= 0 || count <= quota);
    p.reason = std::move(reason);
    p.threads.store(count, std::memory_order_release);
}

int choose_size(Pool& p) {
    std::lock_guard lock(p.mutex);
    if (p.threads > 0) return p.threads;
    [[maybe_unused]] static const bool registered = [] {
        system::at_fork(nullptr, nullptr, forget_threads_in_child);
        return true;
    }();
    char text[200];
    if (const char* value = std::getenv("SENNIT_NUM_THREADS"); value && *value) {
        char* end = nullptr;
        const long count = std::strtol(value, &end, 10);
        if (*end || count < 1 || count > kMaxThreads)
            fail(ErrorKind::kValue, "pool",
                 "SENNIT_NUM_THREADS is '%s'; a whole number from 1 to %d is required; unset it "
                 "to use all CPUs of this process",
                 value, kMaxThreads);
        std::snprintf(text, sizeof text, "%ld: SENNIT_NUM_THREADS says so", count);
        set_size(p, static_cast<int>(count), text);
        return p.threads;
    }
    const int cpus = std::min(system::usable_cpus(), kMaxThreads);
    const double quota = cgroup_cpu_quota();
    const int count = quota > 0 ? std::min(cpus, static_cast<int>(std::ceil(quota))) : cpus;
    if (count < cpus)
        std::snprintf(text, sizeof text,
                      "%d: the control group's quota is %.2f CPUs (of %d that this process may "
                      "run on)",
                      count, quota, cpus);
    else
        std::snprintf(text, sizeof text, "%d: the CPUs that this process may run on", count);
    set_size(p, count, text);
    return count;
}

// ---- workers ----

void wake_workers(Pool& p, int wanted) {
    int sleeping = p.sleepers.load(), count;
    do {
        count = std::min(wanted, sleeping);
        if (count <= 0) return;
    } while (!p.sleepers.compare_exchange_weak(sleeping, sleeping - count));
    p.wake_ups.fetch_add(static_cast<uint32_t>(count));
    for (int i = 0; i < count; ++i) system::wake_one(p.wake_ups);
}

void sleep_until_woken(Pool& p) {
    uint32_t wake_ups = p.wake_ups.load();
    for (;;) {
        if (wake_ups == 0) {
            system::sleep_while(p.wake_ups, 0);
            wake_ups = p.wake_ups.load();
        } else if (p.wake_ups.compare_exchange_weak(wake_ups, wake_ups - 1)) {
            return;
        }
    }
}

bool nested_in(const PoolJob* job, const PoolJob* ancestor) {
    for (job = job->parent; job; job = job->parent)
        if (job == ancestor) return true;
    return false;
}

void signal_owner(Slot& slot) {
    slot.signal.fetch_add(1);
    system::wake_all(slot.signal);
}

// Looks into a slot and helps its job (with `ancestor`: only if nested in that).
bool visit(Pool& p, int index, const PoolJob* ancestor) {
    Slot& slot = p.slots[index];
    slot.users.fetch_add(1);
    PoolJob* job = slot.job.load();
    const bool helps = job && (!ancestor || nested_in(job, ancestor));
    if (helps) job->help();
    if (slot.users.fetch_sub(1) == 1 && slot.asleep.load()) signal_owner(slot);
    return helps;
}

void drop_stale_scratch(Pool& p) {
    const uint32_t generation = p.scratch_generation.load(std::memory_order_relaxed);
    if (state.scratch_generation == generation) return;
    state.scratch_generation = generation;
    free_scratch();
}

void worker_main(int index) {
    Pool& p = pool();
    state.index = index;
    state.slot_hint = index % (kSlots - 1);
    char name[16];
    std::snprintf(name, sizeof name, "sennit-%d", index);
    system::set_thread_name(name);
    FloatScope float_scope;
    int64_t idle_since = 0;
    for (int64_t spins = 0;;) {
        if (const uint64_t active = p.active.load(std::memory_order_acquire)) {
            // Low slots first: pieces of running operations come before new tasks (slot 63).
            if (visit(p, __builtin_ctzll(active), nullptr)) {
                spins = 0;
                continue;
            }
        }
        if (p.stop.load(std::memory_order_acquire)) return;
        if (p.may_spin.load(std::memory_order_relaxed)) {
            if (spins++ % 32 != 0) {
                spin_pause();
                continue;
            }
            const int64_t now = now_nanos();
            if (spins == 1) idle_since = now;
            if (now - idle_since < kSpinNanos) continue;
        }
        drop_stale_scratch(p);
        p.sleepers.fetch_add(1);
        // Those who publish set `active` and then read `sleepers`; we write and read the other way
        // round, so one of the two sees the other. Who stays up wakes one sleeper, which may be
        // itself: the number of both stays right.
        if (p.active.load() != 0 || p.stop.load() ||
            state.scratch_generation != p.scratch_generation.load())
            wake_workers(p, 1);
        sleep_until_woken(p);
        if (p.active.load(std::memory_order_relaxed)) wake_workers(p, kWakeAtOnce);
        spins = 0;
    }
}

void start_workers(Pool& p) {
    std::lock_guard lock(p.mutex);
    if (p.started) return;
    system::SignalsBlocked no_signals;
    try {
        for (int i = 1; i < p.threads; ++i) p.workers.emplace_back(worker_main, i);
    } catch (const std::exception&) {
        // The system gives no more threads: work with those that there are.
    }
    p.started.store(true, std::memory_order_release);
}

void stop_workers(Pool& p) {
    p.stop = true;
    wake_workers(p, kMaxThreads);
    for (std::thread& worker : p.workers) worker.join();
    p.workers.clear();
    p.stop = false;
    p.started = false;
}

// Only the forking thread lives on in the child. Its pool starts again with the next work.
void forget_threads_in_child() {
    Pool& p = pool();
    new (&p.mutex) std::mutex;
    new std::vector<std::thread>(std::move(p.workers));  // leaked: they cannot be joined here
    new (&p.workers) std::vector<std::thread>;
    for (int i = 0; i < kSlots; ++i) {
        if (i != kSlots - 1) p.slots[i].job = nullptr;  // the engine's own job stays
        p.slots[i].users = 0;
        p.slots[i].asleep = false;
        p.slots[i].taken = false;
    }
    p.active = 0;
    p.sleepers = 0;
    p.wake_ups = 0;
    p.started = false;
    p.stop = false;
    state.index = 0;
}

bool find_slot(Pool& p, PoolJob& job) {
    for (int i = 0; i < kSlots - 1; ++i) {
        const int index = (state.slot_hint + i) % (kSlots - 1);
        Slot& slot = p.slots[index];
        if (slot.taken.load(std::memory_order_relaxed) || slot.taken.exchange(true)) continue;
        job.slot = index;
        if (state.depth == 0) state.slot_hint = index;
        return true;
    }
    return false;
}

// The chunks lie in parts, one per thread while there are few: a thread begins with its own and
// then helps with the others. So the thread that wrote a part of a tensor mostly reads that part in
// the next operation too, from its own cache.
class ParallelFor final : public PoolJob {
public:
    ParallelFor(int64_t n, int64_t grain, int64_t chunks, FunctionRef<void(int64_t, int64_t)> body)
        : n_(n),
          grain_(grain),
          body_(body),
          count_(static_cast<int>(std::min<int64_t>({pool_threads(), int64_t{kMaxParts}, chunks}))),
          limit_(chunks) {
        for (int i = 0; i < count_; ++i) {
            parts_[i].next.store(chunks * i / count_, std::memory_order_relaxed);
            parts_[i].end = chunks * (i + 1) / count_;
        }
    }

    void help() override {
        PieceScope scope(this);
        const TraceScope trace("pieces");
        for (int i = 0; i < count_; ++i) run_part(parts_[(state.index + i) % count_]);
        pool_quiet(*this);  // all claimed
    }

    void rethrow() {
        if (failed_.load(std::memory_order_acquire)) std::rethrow_exception(error_);
    }

private:
    static constexpr int kMaxParts = 16;
    struct alignas(64) Part {
        std::atomic<int64_t> next;
        int64_t end;
    };

    void run_part(Part& part) {
        while (part.next.load(std::memory_order_relaxed) < part.end) {
            const int64_t chunk = part.next.fetch_add(1, std::memory_order_relaxed);
            if (chunk >= part.end || chunk >= limit_.load(std::memory_order_relaxed)) return;
            try {
                body_(chunk * grain_, std::min(n_, chunk * grain_ + grain_));
            } catch (...) {
                record(chunk);
            }
        }
    }

    // Chunks above the lowest failed one need not run; those below still do, and may fail too.
    void record(int64_t chunk) {
        std::lock_guard lock(lock_);
        if (chunk >= limit_.load(std::memory_order_relaxed)) return;
        limit_.store(chunk, std::memory_order_relaxed);
        error_ = std::current_exception();
        failed_.store(true, std::memory_order_release);
    }

    const int64_t n_, grain_;
    const FunctionRef<void(int64_t, int64_t)> body_;
    const int count_;
    Part parts_[kMaxParts];
    std::atomic<int64_t> limit_;
    std::atomic<bool> failed_{false};
    SpinLock lock_;
    std::exception_ptr error_;
};

}  // namespace

// ---- jobs ----

bool pool_may_spin() { return pool().may_spin.load(std::memory_order_relaxed); }
int pool_depth() { return state.depth; }

bool pool_publish(PoolJob& job, int wanted) {
    Pool& p = pool();
    if (pool_threads() == 1) return false;
    if (!p.started.load(std::memory_order_acquire)) start_workers(p);
    if (!find_slot(p, job)) return false;
    job.parent = state.current;
    p.slots[job.slot].job.store(&job);
    if (wanted > 0) pool_more(job, wanted);
    return true;
}

void pool_publish_engine(PoolJob& job) {
    job.slot = kSlots - 1;
    pool().slots[kSlots - 1].job.store(&job);
}

void pool_more(PoolJob& job, int wanted) {
    Pool& p = pool();
    if (job.slot == kSlots - 1 && !p.started.load(std::memory_order_acquire)) {
        if (pool_threads() == 1) return;
        start_workers(p);
    }
    p.active.fetch_or(uint64_t{1} << job.slot);
    if (p.sleepers.load() > 0) wake_workers(p, std::min(wanted, kWakeAtOnce));
    // Owners (of this job and around it) that went to sleep while others run their last pieces.
    for (PoolJob* owner = &job; owner; owner = owner->parent)
        if (owner->slot >= 0) pool_signal(*owner);
}

void pool_quiet(PoolJob& job) {
    Pool& p = pool();
    const uint64_t bit = uint64_t{1} << job.slot;
    if (p.active.load(std::memory_order_relaxed) & bit) p.active.fetch_and(~bit);
}

bool pool_help_nested(PoolJob& ancestor) {
    Pool& p = pool();
    for (uint64_t active = p.active.load(); active; active &= active - 1)
        if (visit(p, __builtin_ctzll(active), &ancestor)) return true;
    return false;
}

bool pool_help_any() {
    Pool& p = pool();
    uint64_t active = p.active.load() & ~(uint64_t{1} << (kSlots - 1));
    for (; active; active &= active - 1)
        if (visit(p, __builtin_ctzll(active), nullptr)) return true;
    return false;
}

void pool_wait(PoolJob& job, FunctionRef<bool()> ready) {
    // Even where spinning does not pay, the last piece often ends within a microsecond.
    constexpr int64_t kShortSpinNanos = 2'000;
    Pool& p = pool();
    Slot& slot = p.slots[job.slot];
    const int64_t limit = pool_may_spin() ? kSpinNanos : kShortSpinNanos;
    int64_t since = 0;
    for (int64_t spins = 0; !ready();) {
        if (p.active.load(std::memory_order_relaxed) && pool_help_nested(job)) {
            spins = 0;
            continue;
        }
        spin_pause();
        if (spins++ % 32 != 0) continue;
        const int64_t now = now_nanos();
        if (spins == 1) since = now;
        if (now - since < limit) continue;
        const uint32_t seen = slot.signal.load();
        slot.asleep.store(true);
        if (!ready() && !pool_help_nested(job)) system::sleep_while(slot.signal, seen);
        slot.asleep.store(false);
    }
}

void pool_signal(PoolJob& job) {
    Slot& slot = pool().slots[job.slot];
    if (slot.asleep.load()) signal_owner(slot);
}

void pool_retire(PoolJob& job) {
    Slot& slot = pool().slots[job.slot];
    pool_quiet(job);
    slot.job.store(nullptr);
    if (slot.users.load() != 0) pool_wait(job, [&] { return slot.users.load() == 0; });
    slot.taken.store(false, std::memory_order_release);
}

PieceScope::PieceScope() : PieceScope(state.current) {}

PieceScope::PieceScope(PoolJob* job) : outer_(state.current) {
    state.current = job;
    ++state.depth;
}

PieceScope::~PieceScope() {
    state.current = outer_;
    --state.depth;
}

// ---- the public face ----

int pool_threads() {
    Pool& p = pool();
    const int count = p.threads.load(std::memory_order_acquire);
    return count > 0 ? count : choose_size(p);
}

std::string pool_size_reason() {
    pool_threads();
    Pool& p = pool();
    std::lock_guard lock(p.mutex);
    return p.reason;
}

void set_pool_threads(int count) {
    if (count < 1 || count > kMaxThreads)
        fail(ErrorKind::kValue, "set_num_threads",
             "the number of threads is %d; a number from 1 to %d is required", count, kMaxThreads);
    if (state.depth > 0)
        fail(ErrorKind::kValue, "set_num_threads",
             "called from work that runs on the pool; call it from the program's own thread");
    if (pool_threads() == count) return;
    Pool& p = pool();
    for (int i = 0; i < kSlots - 1; ++i)
        while (p.slots[i].taken.load()) std::this_thread::yield();
    {
        std::lock_guard lock(p.mutex);
        stop_workers(p);
        set_size(p, count, std::to_string(count) + ": set_num_threads says so");
    }
    if (p.active.load() != 0 && count > 1) start_workers(p);
}

int pool_thread_index() { return state.index; }

// Apart, so that the inline path of parallel_for needs no stack frame for the job.
__attribute__((noinline)) static bool run_with_workers(int64_t n, int64_t grain,
                                                       FunctionRef<void(int64_t, int64_t)> body) {
    const int64_t chunks = (n - 1) / grain + 1;
    ParallelFor job(n, grain, chunks, body);
    if (!pool_publish(job, static_cast<int>(std::min<int64_t>(chunks - 1, kMaxThreads))))
        return false;
    job.help();
    pool_retire(job);
    job.rethrow();
    return true;
}

void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    if (n > grain && state.inline_scopes == 0 && pool_threads() > 1 &&
        engine_mode() != EngineMode::kSerial && run_with_workers(n, grain, body))
        return;
    PieceScope scope;
    for (int64_t begin = 0; begin < n; begin += grain)
        body(begin, begin + std::min(n - begin, grain));
}

InlineScope::InlineScope() { ++state.inline_scopes; }
InlineScope::~InlineScope() { --state.inline_scopes; }

#if defined(__x86_64__)
// MXCSR: all exceptions masked, round to nearest, neither flush-to-zero nor denormals-are-zero.
FloatScope::FloatScope() : saved_(_mm_getcsr()) {
    if ((saved_ & ~0x3Fu) != 0x1F80u) _mm_setcsr(0x1F80u);
}
FloatScope::~FloatScope() {
    if ((saved_ & ~0x3Fu) != 0x1F80u) _mm_setcsr(static_cast<unsigned>(saved_));
}
#elif defined(__aarch64__)
FloatScope::FloatScope() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" ::"r"(uint64_t{0}));
}
FloatScope::~FloatScope() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }
#else
FloatScope::FloatScope() : saved_(0) {}
FloatScope::~FloatScope() {}
#endif

// ---- scratch ----

void* thread_scratch(size_t bytes) {
    if (state.depth < state.scratch_levels && bytes <= state.scratch[state.depth].bytes) [[likely]]
        return state.scratch[state.depth].data;
    Pool& p = pool();
    (void)scratch_owner;
    if (state.depth >= state.scratch_levels) {
        if (state.scratch_levels == 0) state.scratch_generation = p.scratch_generation.load();
        const int levels = state.depth + 4;
        auto* grown = new ScratchLevel[static_cast<size_t>(levels)];
        std::copy_n(state.scratch, state.scratch_levels, grown);
        delete[] state.scratch;
        state.scratch = grown;
        state.scratch_levels = levels;
    }
    ScratchLevel& level = state.scratch[state.depth];
    constexpr size_t kHuge = system::kHugePage;
    // Growing by halves keeps the number of times small when sizes creep up.
    const size_t target = std::max(bytes, level.bytes + level.bytes / 2);
    const size_t unit = target >= kHuge ? kHuge : size_t{4096};
    const size_t rounded = (target + unit - 1) / unit * unit;
    system::free_aligned(level.data);
    p.scratch_total.fetch_sub(static_cast<int64_t>(level.bytes));
    level = {};
    void* data = system::allocate_aligned(unit, rounded);
    if (!data)
        fail(ErrorKind::kMemory, "scratch",
             "a kernel needs %zu bytes of scratch, which the system does not give; smaller inputs "
             "or fewer threads need less",
             rounded);
    level = {data, rounded};
    p.scratch_total.fetch_add(static_cast<int64_t>(rounded));
    return data;
}

int64_t scratch_bytes() { return pool().scratch_total.load(); }

void release_scratch() {
    Pool& p = pool();
    if (state.depth == 0) free_scratch();
    state.scratch_generation = p.scratch_generation.fetch_add(1) + 1;
    // Workers free theirs on the way to sleep; those asleep have to get up for it.
    wake_workers(p, kMaxThreads);
}

}  // namespace sn
