#pragma once
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "base/unique_function.h"

namespace sn {

// The dependency scheduler. Work is pushed as tasks that say what they read and write; tasks that
// touch the same bytes run in the order in which they were pushed (many readers or one writer),
// all others whenever a thread is free. `docs/design/003-engine.md` tells why it is as it is.

using TaskId = uint64_t;  // 0: no task

// Called about every 20 ms by waiting threads; true ends the wait with `Interrupted` (the work goes
// on). It may throw itself. The binding checks for Ctrl-C in it.
using InterruptPoll = bool (*)();
struct Interrupted : std::exception {
    const char* what() const noexcept override { return "the wait was interrupted"; }
};

// Something that tasks read and write: a buffer, a file, a random state. Shared by the holder and
// the tasks that use it.
struct VarState;
using Var = std::shared_ptr<VarState>;
Var make_var();
Var var_of(Buffer& buffer);  // the buffer's own; made on first use

enum class AccessMode : uint8_t {
    kRead = 1,
    kWrite = 2,   // what was there before does not matter, a failure included
    kUpdate = 3,  // reads and writes
};
struct Access {
    Var var;
    AccessMode mode = AccessMode::kRead;
    int64_t begin = 0;  // bytes
    int64_t end = std::numeric_limits<int64_t>::max();
};

enum class Lane : uint8_t {
    kCompute,   // pool workers and waiting threads
    kBlocking,  // own threads, which may block: files, network, data loading
    kCaller,    // only threads that wait in the engine, for what must not run on a worker (Python)
};

struct Task {
    UniqueFunction<void()> run;
    std::vector<Access> accesses;
    // Runs once, after `run` or in its place when an input failed (with the first cause), and
    // before anything that depends on the task. Must be short and not throw.
    UniqueFunction<void(const std::exception_ptr& error)> done;
    int priority = 0;  // higher first; equal ones in push order
    Lane lane = Lane::kCompute;
    bool must_finish = false;  // also when the process exits
    const char* name = "";     // static text, for error messages
};

enum class EngineMode : uint8_t {
    kThreaded,
    kSerial,  // every task runs in push, in order: the twin for debugging, same results and errors
};

// The calls of the engine. All may be made from any thread, from inside tasks too.

TaskId push(Task task);

// Wait for a task, for the writes of (a range of) a variable, for a buffer; each rethrows the first
// cause when that failed. While they wait, threads run tasks that they wait for.
void wait(TaskId task, InterruptPoll poll = nullptr);
void wait(const Var& var, int64_t begin = 0, int64_t end = std::numeric_limits<int64_t>::max(),
          InterruptPoll poll = nullptr);
void wait(Buffer& buffer, InterruptPoll poll = nullptr);
bool is_done(TaskId task);

// Waits for everything; rethrows the oldest failure that no wait has reported yet, and forgets all.
void synchronize(InterruptPoll poll = nullptr);

// Turn a pending buffer and wake those who wait for it. For `done`, or earlier, from inside a task.
void mark_ready(Buffer& buffer);
void mark_failed(Buffer& buffer, const std::exception_ptr& error);

EngineMode engine_mode();               // initially SENNIT_ENGINE=threaded|serial
void set_engine_mode(EngineMode mode);  // waits for everything first
void set_blocking_threads(int count);   // initially 4; started when needed
int64_t pending_tasks();

// At exit (registered with atexit; the binding calls it earlier): finishes tasks that must finish
// and what they need, drops the rest, and runs what is pushed later at once.
void shutdown_engine();

}  // namespace sn
