#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <new>
#include <thread>

#include "base/error.h"
#include "base/system.h"
#include "engine/pool.h"
#include "engine/pool_job.h"
#include "engine/trace.h"
#include "engine/wait.h"

namespace sn {

// One access of a task, and one range whose last writer failed. Entries of finished tasks are
// dropped when somebody passes by, so a variable that nobody uses at the moment costs nothing to
// push on.
struct Use {
    int64_t begin, end;
    TaskId task;
};
struct Poison {
    int64_t begin, end;
    uint64_t order;  // push order of the task that failed first
    std::exception_ptr error;
};
struct VarState {
    std::vector<Use> writes, reads;
    size_t prune_reads_at = 16;
    std::vector<Poison> poison;
};

namespace {

using Lock = std::unique_lock<std::mutex>;
constexpr auto kPollInterval = std::chrono::milliseconds(20);
constexpr size_t kMaxFailures = 1024;  // remembered for wait(task) and synchronize

enum class Stage : uint8_t { kFree, kWaiting, kReady, kRunning };

// Cells are recycled, with the room that their vectors have got; a TaskId is cell and generation.
struct Cell {
    Task task;
    uint32_t index = 0, generation = 0;
    Stage stage = Stage::kFree;
    bool needed = false;         // at exit
    int blockers = 0;            // unfinished tasks that this one comes after
    uint64_t order = 0;          // push order
    uint64_t cause_order = 0;    // with `error`: order of the task that failed first
    uint64_t visit = 0;          // stamp of the last search that saw it
    std::exception_ptr error;    // why it does not run, or how it ended
    std::vector<TaskId> before;  // tasks that it comes after
    std::vector<TaskId> after;   // tasks that come after it
    TaskId id() const { return uint64_t{generation} << 32 | index; }
};

struct ReadyEntry {
    int priority;
    uint64_t order;
    TaskId task;
    bool operator<(const ReadyEntry& other) const {  // std heaps have the greatest on top
        return priority != other.priority ? priority < other.priority : order > other.order;
    }
};

struct Failure {
    TaskId task;
    uint64_t order;
    bool original;  // threw itself; the others were skipped because of it
    bool reported;
    std::exception_ptr error;
};

// The engine takes one lock at push and one at completion. Tasks are plans, copies, files: tens of
// microseconds and more; work inside a plan is ordered by run_graph, without it.
class Engine final : public PoolJob {
public:
    Engine();

    TaskId push(Task task);
    void wait(TaskId task, InterruptPoll poll);
    void wait(const Var& var, int64_t begin, int64_t end, InterruptPoll poll);
    void wait(Buffer& buffer, InterruptPoll poll);
    void synchronize(InterruptPoll poll);
    void help() override;
    void set_mode(EngineMode mode);
    void set_blocking_threads(int count);
    void shutdown();

    Cell* find(TaskId task) {  // null when it has finished
        const auto index = static_cast<uint32_t>(task);
        if (task == 0 || index >= cells_.size()) return nullptr;
        Cell& cell = cells_[index];
        return cell.generation == task >> 32 && cell.stage != Stage::kFree ? &cell : nullptr;
    }
    void notify() {  // something that threads may wait for has happened
        if (waiters_.load() == 0) return;
        Lock lock(mutex);
        changed_.notify_all();
    }
    Var var_of(Buffer& buffer);
    void prepare_fork();
    void after_fork(bool child);

    std::mutex mutex;
    std::atomic<EngineMode> mode{EngineMode::kThreaded};
    std::atomic<int64_t> pending{0};

private:
    Cell& new_cell();
    void track(Cell& cell);
    void make_ready(Cell& cell);
    Cell* take(Lane lane);
    void take(Cell& cell);
    void run(Cell& cell, Lock& lock);
    void finish(Cell& cell, Lock& lock);
    void announce(Lock& lock);
    bool drains_here(Lane lane) const;
    void drain(Lock& lock);
    Cell* find_helpable(std::vector<std::pair<TaskId, size_t>>& path, uint64_t stamp);
    bool may_run(const Cell& cell) const;
    template <class Done>
    void wait_until(Lock& lock, InterruptPoll poll, TaskId target, Done done);
    void remember(Cell& cell);
    void report(const std::exception_ptr& error);
    void blocking_main();

    std::deque<Cell> cells_;  // addresses stay
    std::vector<uint32_t> free_;
    std::vector<ReadyEntry> ready_[3];  // heaps, by lane; taken tasks leave stale entries
    int ready_count_[3] = {0, 0, 0};    // without the stale ones
    int running_[3] = {0, 0, 0};
    int unannounced_ = 0;  // compute tasks that workers have not been told of
    uint64_t pushed_ = 0, searches_ = 0;
    std::deque<Failure> failures_;
    std::atomic<int> waiters_{0};
    std::condition_variable changed_, blocking_work_;
    int blocking_limit_ = 4, blocking_started_ = 0, blocking_idle_ = 0;
    bool closed_ = false;
};

thread_local bool draining = false;
thread_local bool on_blocking_thread = false;

// Never destroyed, like the pool. Made at first use, so that importing starts nothing.
Engine& engine() {
    static Engine* instance = new Engine;
    return *instance;
}

Engine::Engine() {
    if (const char* value = std::getenv("SENNIT_ENGINE"); value && *value) {
        if (std::strcmp(value, "serial") == 0)
            mode = EngineMode::kSerial;
        else if (std::strcmp(value, "threaded") != 0)
            fail(ErrorKind::kValue, "engine",
                 "SENNIT_ENGINE is '%s'; 'threaded' or 'serial' is required", value);
    }
    pool_threads();  // its fork handlers have to be registered before ours
    system::at_fork([] { engine().prepare_fork(); }, [] { engine().after_fork(false); },
                    [] { engine().after_fork(true); });
    std::atexit(shutdown_engine);
    pool_publish_engine(*this);
}

// ---- dependencies ----

bool overlaps(int64_t a_begin, int64_t a_end, int64_t b_begin, int64_t b_end) {
    return a_begin < b_end && b_begin < a_end;
}

Cell& Engine::new_cell() {
    if (free_.empty()) {
        cells_.emplace_back();
        cells_.back().index = static_cast<uint32_t>(cells_.size() - 1);
        free_.push_back(cells_.back().index);
    }
    Cell& cell = cells_[free_.back()];
    free_.pop_back();
    ++cell.generation;
    cell.order = ++pushed_;
    cell.stage = Stage::kWaiting;
    return cell;
}

// Adds the edges from pending tasks to a new one, and the new one's accesses for those to come.
void Engine::track(Cell& cell) {
    const uint64_t stamp = ++searches_;
    cell.visit = stamp;
    for (const Access& access : cell.task.accesses) {
        const bool write = access.mode != AccessMode::kRead;
        auto come_after = [&](std::vector<Use>& uses) {
            std::erase_if(uses, [&](const Use& use) {
                Cell* earlier = find(use.task);
                if (!earlier) return true;
                if (earlier == &cell || !overlaps(use.begin, use.end, access.begin, access.end))
                    return false;
                if (earlier->visit != stamp) {  // once, however many ranges meet
                    earlier->visit = stamp;
                    earlier->after.push_back(cell.id());
                    cell.before.push_back(use.task);
                    ++cell.blockers;
                }
                // Who comes after a write of the whole range comes after all that the write waits
                // for: chains of writes keep one entry.
                return write && access.begin <= use.begin && use.end <= access.end;
            });
        };
        VarState& var = *access.var;
        come_after(var.writes);
        if (write) {
            come_after(var.reads);
            var.writes.push_back({access.begin, access.end, cell.id()});
        } else {
            if (var.reads.size() >= var.prune_reads_at) {
                std::erase_if(var.reads, [&](const Use& use) { return !find(use.task); });
                var.prune_reads_at = std::max<size_t>(16, 2 * var.reads.size());
            }
            var.reads.push_back({access.begin, access.end, cell.id()});
        }
    }
}

// Takes [begin, end) out of the failed ranges.
void heal(std::vector<Poison>& list, int64_t begin, int64_t end) {
    for (size_t i = 0; i < list.size();) {
        if (!overlaps(list[i].begin, list[i].end, begin, end)) {
            ++i;
            continue;
        }
        Poison old = std::move(list[i]);
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
        if (begin < old.end && end < old.end) list.push_back({end, old.end, old.order, old.error});
        if (old.begin < begin) list.push_back({old.begin, begin, old.order, std::move(old.error)});
    }
}

void inherit(Cell& cell, uint64_t order, const std::exception_ptr& error) {
    if (cell.error && cell.cause_order <= order) return;
    cell.error = error;
    cell.cause_order = order;
}

// All that the task comes after is done, so the failures of what it reads are known.
void Engine::make_ready(Cell& cell) {
    for (const Access& access : cell.task.accesses) {
        if (access.mode == AccessMode::kWrite) continue;
        for (const Poison& poison : access.var->poison)
            if (overlaps(poison.begin, poison.end, access.begin, access.end))
                inherit(cell, poison.order, poison.error);
    }
    cell.stage = Stage::kReady;
    const int lane = static_cast<int>(cell.task.lane);
    ready_[lane].push_back({cell.task.priority, cell.order, cell.id()});
    std::push_heap(ready_[lane].begin(), ready_[lane].end());
    ++ready_count_[lane];
    if (cell.task.lane == Lane::kCompute) ++unannounced_;
}

// ---- running ----

void Engine::take(Cell& cell) {
    const int lane = static_cast<int>(cell.task.lane);
    cell.stage = Stage::kRunning;
    ++running_[lane];
    if (--ready_count_[lane] == 0) {
        ready_[lane].clear();
        if (cell.task.lane == Lane::kCompute) pool_quiet(*this);
    }
}

Cell* Engine::take(Lane lane) {
    std::vector<ReadyEntry>& heap = ready_[static_cast<int>(lane)];
    while (!heap.empty()) {
        std::pop_heap(heap.begin(), heap.end());
        Cell* cell = find(heap.back().task);
        heap.pop_back();
        if (!cell || cell->stage != Stage::kReady) continue;
        take(*cell);
        return cell;
    }
    return nullptr;
}

void Engine::run(Cell& cell, Lock& lock) {
    lock.unlock();
    {
        PieceScope scope(this);
        FloatScope float_scope;
        if (!cell.error) {
            try {
                TraceScope trace("task");
                if (trace.wanted()) trace.name(cell.task.name);
                cell.task.run();
            } catch (...) {
                inherit(cell, cell.order, std::current_exception());
            }
        }
        // What the task holds is let go before anybody can see that it is done.
        cell.task.run.reset();
        // `done` may wake threads that report the failure, so it has to be on the list before.
        if (cell.error) remember(cell);
        if (cell.task.done) {
            try {
                cell.task.done(cell.error);
            } catch (...) {
                if (!cell.error) {
                    inherit(cell, cell.order, std::current_exception());
                    remember(cell);
                }
            }
            cell.task.done.reset();
        }
    }
    lock.lock();
    finish(cell, lock);
}

void Engine::finish(Cell& cell, Lock& lock) {
    for (const Access& access : cell.task.accesses) {
        if (access.mode == AccessMode::kRead) continue;
        heal(access.var->poison, access.begin, access.end);
        if (cell.error)
            access.var->poison.push_back({access.begin, access.end, cell.cause_order, cell.error});
    }
    for (TaskId next : cell.after) {
        Cell& after = *find(next);
        if (--after.blockers == 0) make_ready(after);
    }
    --running_[static_cast<int>(cell.task.lane)];
    std::vector<Access> accesses = std::move(cell.task.accesses);  // may hold the last references
    std::exception_ptr error = std::move(cell.error);
    cell.error = nullptr;
    cell.task = {};
    cell.before.clear();
    cell.after.clear();
    cell.blockers = 0;
    cell.needed = false;
    cell.stage = Stage::kFree;
    free_.push_back(cell.index);
    pending.fetch_sub(1);
    if (waiters_.load() > 0) changed_.notify_all();
    announce(lock);
    lock.unlock();
    accesses.clear();
    error = nullptr;
    lock.lock();
}

// Tells those who may run what has become ready: this thread itself, or the workers.
void Engine::announce(Lock& lock) {
    const int compute = std::exchange(unannounced_, 0);
    if (ready_count_[1] > 0 && !drains_here(Lane::kBlocking)) {
        blocking_work_.notify_all();
        system::SignalsBlocked no_signals;
        for (int idle = blocking_idle_; idle < ready_count_[1]; ++idle) {
            if (blocking_started_ >= blocking_limit_) break;
            try {
                std::thread([this] { blocking_main(); }).detach();
                ++blocking_started_;
            } catch (const std::exception&) {
                break;  // those that run will do; without any, waiting threads do
            }
        }
    }
    if (drains_here(Lane::kCompute))
        drain(lock);
    else if (compute > 0)
        pool_more(*this, compute);
    if (ready_count_[2] > 0 && waiters_.load() > 0) changed_.notify_all();
}

// Serial mode, and a pool without workers: the thread that makes a task ready runs it.
bool Engine::drains_here(Lane lane) const {
    if (mode.load(std::memory_order_relaxed) == EngineMode::kSerial) return true;
    return lane == Lane::kCompute && pool_threads() == 1;
}

void Engine::drain(Lock& lock) {
    if (draining) return;  // a task pushed or finished one more: the loop below us takes it
    draining = true;
    for (;;) {
        // Over the lanes in push order, as the serial mode promises.
        Cell* next = nullptr;
        for (Lane lane : {Lane::kCompute, Lane::kBlocking, Lane::kCaller}) {
            if (!drains_here(lane) || ready_count_[static_cast<int>(lane)] == 0) continue;
            for (const ReadyEntry& entry : ready_[static_cast<int>(lane)]) {
                Cell* cell = find(entry.task);
                if (cell && cell->stage == Stage::kReady && (!next || cell->order < next->order))
                    next = cell;
            }
        }
        if (!next) break;
        take(*next);
        run(*next, lock);
    }
    draining = false;
}

void Engine::help() {
    Lock lock(mutex);
    if (Cell* cell = take(Lane::kCompute)) run(*cell, lock);
}

void Engine::blocking_main() {
    on_blocking_thread = true;
    system::set_thread_name("sennit-io");
    Lock lock(mutex);
    while (blocking_started_ <= blocking_limit_) {
        if (Cell* cell = take(Lane::kBlocking)) {
            run(*cell, lock);
            continue;
        }
        ++blocking_idle_;
        blocking_work_.wait(lock);
        --blocking_idle_;
    }
    --blocking_started_;
}

TaskId Engine::push(Task task) {
    for (const Access& access : task.accesses) SN_CHECK(access.var && access.begin <= access.end);
    Lock lock(mutex);
    Cell& cell = new_cell();
    const TaskId id = cell.id();
    cell.task = std::move(task);
    pending.fetch_add(1);
    track(cell);
    if (cell.blockers == 0) {
        make_ready(cell);
        announce(lock);
    }
    return id;
}

// ---- waiting ----

// May this thread run the (ready) task while it waits? Workers keep off Python and blocking calls.
bool Engine::may_run(const Cell& cell) const {
    switch (cell.task.lane) {
        case Lane::kCompute: return true;
        case Lane::kBlocking:
            return on_blocking_thread || blocking_started_ == 0 || drains_here(Lane::kBlocking);
        case Lane::kCaller: return pool_thread_index() == 0 && !on_blocking_thread;
    }
    return false;
}

// A ready task among those that the target comes after (or the target itself). Running any other
// task could deadlock: that one may wait for a task that is suspended below us on this stack. The
// path of the search is kept between calls, so that a long chain is walked once.
Cell* Engine::find_helpable(std::vector<std::pair<TaskId, size_t>>& path, uint64_t stamp) {
    while (!path.empty()) {
        auto& [id, next] = path.back();
        Cell* cell = find(id);
        if (cell && cell->stage == Stage::kReady && may_run(*cell)) return cell;
        Cell* below = nullptr;
        if (cell && cell->stage == Stage::kWaiting)
            while (!below && next < cell->before.size()) {
                below = find(cell->before[next++]);
                if (below && below->visit == stamp) below = nullptr;
            }
        if (below) {
            below->visit = stamp;
            path.emplace_back(below->id(), 0);
        } else {
            path.pop_back();
        }
    }
    return nullptr;
}

void outside_tasks(const char* op) {
    if (pool_depth() > 0)
        fail(ErrorKind::kValue, op,
             "called from a task, which would wait for itself; wait for a value or task instead");
}

template <class Done>
void Engine::wait_until(Lock& lock, InterruptPoll poll, TaskId target, Done done) {
    struct Count {
        std::atomic<int>& value;
        explicit Count(std::atomic<int>& v) : value(v) { value.fetch_add(1); }
        ~Count() { value.fetch_sub(1); }
    } count(waiters_);
    std::vector<std::pair<TaskId, size_t>> path;
    int64_t spin_until = 0;
    auto next_poll = std::chrono::steady_clock::now() + kPollInterval;
    while (!done()) {
        if (poll && std::chrono::steady_clock::now() >= next_poll) {
            lock.unlock();
            const bool stop = poll();
            lock.lock();
            if (stop) throw Interrupted();
            next_poll = std::chrono::steady_clock::now() + kPollInterval;
            continue;
        }
        if (path.empty() && target) path.emplace_back(target, 0);
        const uint64_t stamp = ++searches_;
        bool helped = false;
        while (Cell* cell = target ? find_helpable(path, stamp) : nullptr) {
            helped = true;
            take(*cell);
            run(*cell, lock);
            if (poll && std::chrono::steady_clock::now() >= next_poll) break;
        }
        if (!target && pool_depth() == 0) {  // synchronize: everything is waited for
            Cell* cell = take(Lane::kCompute);
            if (!cell && pool_thread_index() == 0 && !on_blocking_thread)
                cell = take(Lane::kCaller);
            if (cell) {
                helped = true;
                run(*cell, lock);
            }
        }
        if (helped || done()) continue;
        // A task that runs elsewhere shares its kernels: this thread would be idle otherwise.
        const bool outermost = pool_depth() == 0 && !on_blocking_thread;
        if (outermost) {
            lock.unlock();
            const bool shared = pool_help_any();
            lock.lock();
            if (shared) {
                spin_until = 0;
                continue;
            }
        }
        // Most waits end within microseconds of the last piece of work: look again before sleeping.
        if (pool_may_spin()) {
            const int64_t now = now_nanos();
            if (spin_until == 0) spin_until = now + kSpinNanos / 2;
            if (now < spin_until) {
                lock.unlock();
                for (int i = 0; i < 32; ++i) spin_pause();
                lock.lock();
                continue;
            }
        }
        // The next kernel is not announced to sleepers here; they look for it now and then.
        constexpr std::chrono::microseconds kLook{100};
        if (outermost && pool_may_spin())
            changed_.wait_for(lock, kLook);
        else
            changed_.wait_for(lock, kPollInterval);
        if (!outermost) spin_until = 0;
    }
}

void Engine::wait(TaskId task, InterruptPoll poll) {
    Lock lock(mutex);
    wait_until(lock, poll, task, [&] { return find(task) == nullptr; });
    for (const Failure& failure : failures_) {
        if (failure.task != task) continue;
        const std::exception_ptr error = failure.error;
        report(error);
        lock.unlock();
        std::rethrow_exception(error);
    }
}

void Engine::wait(const Var& var, int64_t begin, int64_t end, InterruptPoll poll) {
    Lock lock(mutex);
    std::vector<TaskId> writers;
    for (const Use& use : var->writes)
        if (overlaps(use.begin, use.end, begin, end)) writers.push_back(use.task);
    for (TaskId writer : writers)
        wait_until(lock, poll, writer, [&] { return find(writer) == nullptr; });
    const Poison* first = nullptr;
    for (const Poison& poison : var->poison)
        if (overlaps(poison.begin, poison.end, begin, end) &&
            (!first || poison.order < first->order))
            first = &poison;
    if (!first) return;
    const std::exception_ptr error = first->error;
    report(error);
    lock.unlock();
    std::rethrow_exception(error);
}

void Engine::wait(Buffer& buffer, InterruptPoll poll) {
    while (buffer.state() == BufferState::kPending) {
        Lock lock(mutex);
        // Its window may give it a producer (first, or a new one) while we look.
        const TaskId producer = buffer.producer.load();
        wait_until(lock, poll, producer, [&] {
            return buffer.state() != BufferState::kPending || buffer.producer != producer ||
                   (producer && !find(producer));
        });
        SN_CHECK(buffer.state() != BufferState::kPending || buffer.producer != producer);
    }
    if (buffer.state() != BufferState::kFailed) return;
    {
        Lock lock(mutex);
        report(buffer.error());
    }
    std::rethrow_exception(buffer.error());
}

void Engine::synchronize(InterruptPoll poll) {
    outside_tasks("synchronize");
    Lock lock(mutex);
    wait_until(lock, poll, 0, [&] { return pending.load() == 0; });
    std::exception_ptr error;
    uint64_t order = 0;
    for (const Failure& failure : failures_)
        if (failure.original && !failure.reported && (!error || failure.order < order)) {
            error = failure.error;
            order = failure.order;
        }
    std::deque<Failure> forgotten = std::move(failures_);
    failures_.clear();
    lock.unlock();
    forgotten.clear();
    if (error) std::rethrow_exception(error);
}

void Engine::remember(Cell& cell) {
    Lock lock(mutex);
    if (failures_.size() == kMaxFailures) failures_.pop_front();
    failures_.push_back(
        {cell.id(), cell.cause_order, cell.cause_order == cell.order, false, cell.error});
}

void Engine::report(const std::exception_ptr& error) {
    for (Failure& failure : failures_)
        if (failure.error == error) failure.reported = true;
}

// ---- modes, exit, fork ----

void Engine::set_mode(EngineMode next) {
    outside_tasks("set_engine_mode");
    Lock lock(mutex);
    wait_until(lock, nullptr, 0, [&] { return pending.load() == 0; });
    mode = closed_ ? EngineMode::kSerial : next;
}

void Engine::set_blocking_threads(int count) {
    if (count < 1 || count > 256)
        fail(ErrorKind::kValue, "set_blocking_threads",
             "the number of threads is %d; a number from 1 to 256 is required", count);
    Lock lock(mutex);
    blocking_limit_ = count;
    blocking_work_.notify_all();
}

void Engine::shutdown() {
    Lock lock(mutex);
    if (std::exchange(closed_, true)) return;
    std::vector<TaskId> needed;
    for (Cell& cell : cells_)
        if (cell.stage != Stage::kFree && cell.task.must_finish) needed.push_back(cell.id());
    for (size_t i = 0; i < needed.size(); ++i) {
        Cell* cell = find(needed[i]);
        if (!cell || std::exchange(cell->needed, true)) continue;
        needed.insert(needed.end(), cell->before.begin(), cell->before.end());
    }
    for (Cell& cell : cells_)
        if ((cell.stage == Stage::kWaiting || cell.stage == Stage::kReady) && !cell.needed)
            inherit(cell, cell.order,
                    std::make_exception_ptr(
                        Error(ErrorKind::kValue, *cell.task.name ? cell.task.name : "engine",
                              "was dropped because the process exits; call synchronize() first")));
    for (TaskId id : needed) wait_until(lock, nullptr, id, [&] { return find(id) == nullptr; });
    // What runs may use objects that die with the process; but a stuck task must not hang the exit.
    const int64_t limit = now_nanos() + 2'000'000'000;
    wait_until(lock, nullptr, 0, [&] {
        return pending.load() == 0 || ready_count_[0] + ready_count_[1] + running_[0] == 0 ||
               now_nanos() > limit;
    });
    mode = EngineMode::kSerial;
}

Var Engine::var_of(Buffer& buffer) {
    Lock lock(mutex);
    if (!buffer.tracker) buffer.tracker = make_var();
    return std::static_pointer_cast<VarState>(buffer.tracker);
}

// A child has only the forking thread: tasks that run in others would never end there. So let what
// is under way finish first, for a while, and fail in the child what has not.
void Engine::prepare_fork() {
    mutex.lock();
    if (pool_depth() > 0 || draining) return;
    Lock lock(mutex, std::adopt_lock);
    const int64_t limit = now_nanos() + 2'000'000'000;
    wait_until(lock, nullptr, 0, [&] {
        return ready_count_[0] + ready_count_[1] + running_[0] + running_[1] == 0 ||
               now_nanos() > limit;
    });
    lock.release();
}

void Engine::after_fork(bool child) {
    if (!child) return mutex.unlock();
    new (&mutex) std::mutex;
    new (&changed_) std::condition_variable;
    new (&blocking_work_) std::condition_variable;
    waiters_ = 0;
    blocking_started_ = blocking_idle_ = 0;
    pool_publish_engine(*this);
    const std::exception_ptr error = std::make_exception_ptr(
        Error(ErrorKind::kValue, "fork",
              "this value was still being computed when the process forked, and the child has "
              "not the thread that computes it; call synchronize() before forking"));
    Lock lock(mutex);
    std::vector<Cell*> lost;
    for (Cell& cell : cells_) {
        const bool ours = cell.stage == Stage::kRunning && pool_depth() > 0;
        if (cell.stage == Stage::kFree || ours) continue;
        if (cell.stage == Stage::kReady) --ready_count_[static_cast<int>(cell.task.lane)];
        if (cell.stage != Stage::kRunning) ++running_[static_cast<int>(cell.task.lane)];
        cell.stage = Stage::kRunning;
        cell.blockers = 1 << 30;  // its turn comes below, not when those before it end
        inherit(cell, cell.order, error);
        // Its callable may be half way in another thread's hands: abandoned, not destroyed.
        new UniqueFunction<void()>(std::move(cell.task.run));
        lost.push_back(&cell);
    }
    std::sort(lost.begin(), lost.end(), [](Cell* a, Cell* b) { return a->order < b->order; });
    lock.unlock();
    for (Cell* cell : lost) {
        remember(*cell);
        if (cell->task.done) cell->task.done(cell->error);
        lock.lock();
        finish(*cell, lock);
        lock.unlock();
    }
}

}  // namespace

// ---- the public face ----

Var make_var() { return std::make_shared<VarState>(); }
Var var_of(Buffer& buffer) { return engine().var_of(buffer); }

TaskId push(Task task) { return engine().push(std::move(task)); }
void wait(TaskId task, InterruptPoll poll) { engine().wait(task, poll); }
void wait(const Var& var, int64_t begin, int64_t end, InterruptPoll poll) {
    engine().wait(var, begin, end, poll);
}
void wait(Buffer& buffer, InterruptPoll poll) {
    if (buffer.state() != BufferState::kReady) engine().wait(buffer, poll);
}
bool is_done(TaskId task) {
    Lock lock(engine().mutex);
    return engine().find(task) == nullptr;
}
void synchronize(InterruptPoll poll) { engine().synchronize(poll); }

void mark_ready(Buffer& buffer) {
    buffer.set_ready();
    engine().notify();
}
void mark_failed(Buffer& buffer, const std::exception_ptr& error) {
    buffer.set_failed(error);
    engine().notify();
}

EngineMode engine_mode() { return engine().mode; }
void set_engine_mode(EngineMode mode) { engine().set_mode(mode); }
void set_blocking_threads(int count) { engine().set_blocking_threads(count); }
int64_t pending_tasks() { return engine().pending; }
void shutdown_engine() { engine().shutdown(); }

namespace {
WaitHooks hooks;
}
void set_wait_hooks(WaitHooks h) { hooks = h; }
const WaitHooks& wait_hooks() { return hooks; }

}  // namespace sn
