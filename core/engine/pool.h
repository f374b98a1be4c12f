#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/function_ref.h"

namespace sn {

// Runs body over [0, n) cut into chunks of `grain` (the last one shorter). The boundaries depend on
// n and grain only, never on the number of threads, so a kernel that accumulates per chunk gives
// the same bits everywhere. Runs inline when one chunk is enough, when the pool has one thread, and
// in the serial engine. Calls may nest. When bodies throw, the exception of the lowest chunk is
// rethrown in the caller.
// Sleeping workers are woken (some microseconds for the caller): choose a grain that makes a chunk
// worth 5 us or more, or open an InlineScope where all the work is shorter than about 30 us.
void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t begin, int64_t end)> body);

int pool_threads();                // threads that work, the caller included
void set_pool_threads(int count);  // count >= 1; waits for running work first
int pool_thread_index();  // 0 .. pool_threads()-1 while in a body; 0 on a thread outside the pool
std::string pool_size_reason();  // why the pool has the size that it has, in words

// Grow-only scratch of the current thread, 64-byte aligned, valid until the next call on it in the
// same body. Each nesting depth has its own: what a caller took before parallel_for stays valid
// while the bodies take theirs.
void* thread_scratch(size_t bytes);
int64_t scratch_bytes();  // of all threads
void release_scratch();   // this thread's at once (outside bodies), the idle workers' soon after

// While one is open on a thread, its parallel_for calls run inline, chunk by chunk.
class InlineScope {
public:
    InlineScope();
    ~InlineScope();
    InlineScope(const InlineScope&) = delete;
    InlineScope& operator=(const InlineScope&) = delete;
};

// The floating-point environment that the numerics promise needs: round to nearest, denormals kept.
// Workers live in it; callers (whose environment belongs to the user) open it around execution.
class FloatScope {
public:
    FloatScope();
    ~FloatScope();
    FloatScope(const FloatScope&) = delete;
    FloatScope& operator=(const FloatScope&) = delete;

private:
    uint64_t saved_;
};

}  // namespace sn
