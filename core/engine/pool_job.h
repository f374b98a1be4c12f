#pragma once
#include <atomic>
#include <cstdint>

#include "base/function_ref.h"
#include "base/system.h"

namespace sn {

// What the pool's workers join: a parallel_for, a graph being run, the engine's ready queue.
// A job lies in a slot of the pool from `publish` to `retire`; between them workers call `help`.
class PoolJob {
public:
    // Runs some of the work that is ready (on any thread, several at a time) and returns; must not
    // throw. Whoever takes the last ready piece calls pool_quiet, so that workers stop looking.
    virtual void help() = 0;

    PoolJob* parent = nullptr;  // the job whose piece the publisher was running
    int slot = -1;

protected:
    ~PoolJob() = default;
};

// Puts the job into a slot and calls for `wanted` workers. False: no slot or no workers; the caller
// has to do all the work itself.
bool pool_publish(PoolJob& job, int wanted);
// The engine keeps its job in the last slot for ever: workers look there when nothing else is
// ready.
void pool_publish_engine(PoolJob& job);
void pool_more(PoolJob& job, int wanted);  // pieces have become ready (again)
void pool_quiet(PoolJob& job);             // nothing is ready at the moment
// The owner waits until `ready`, helping with nested jobs, spinning for a while, then sleeping.
// Whoever makes `ready` true calls pool_signal after it.
void pool_wait(PoolJob& job, FunctionRef<bool()> ready);
void pool_signal(PoolJob& job);
// Takes the job out and waits until every worker has left it, helping with its nested jobs.
void pool_retire(PoolJob& job);

// Sets the job as current on this thread while a piece of it runs: nested jobs get it as parent,
// thread_scratch uses one more level.
class PieceScope {
public:
    PieceScope();  // a piece of the job that is current already
    explicit PieceScope(PoolJob* job);
    ~PieceScope();
    PieceScope(const PieceScope&) = delete;
    PieceScope& operator=(const PieceScope&) = delete;

private:
    PoolJob* outer_;
};

// Runs one piece of a job nested in `ancestor`; false when there was none. For waiting threads.
bool pool_help_nested(PoolJob& ancestor);
// Runs pieces of any job but the engine's, as a worker does; false when nothing was ready. For
// threads of the program that wait for a task: the kernels that the task runs are shared with them.
bool pool_help_any();
bool pool_may_spin();  // false where spinning would take a core from somebody who works
int pool_depth();      // pieces open on this thread, one in another
constexpr int64_t kSpinNanos = 100'000;

inline int64_t now_nanos() { return system::steady_nanoseconds(); }

inline void spin_pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace sn
