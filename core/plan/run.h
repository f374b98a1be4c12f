#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "base/buffer.h"
#include "engine/engine.h"
#include "engine/wait.h"
#include "plan/plan.h"

namespace sn {

// Memory that the runs of one lane use one after the other.
struct RunState {
    std::vector<char*> base;     // by plan buffer
    std::vector<int64_t> cells;  // scalars as kernel operands
    GraphScratch scratch;        // of a plan with independent steps
    BufferRef arena;
};

// The graph of windows that run again and again (sn.compile), and the site of each node.
struct StoredGraph {
    Graph graph;
    std::vector<uint32_t> sites;
};

// What a value was before a window rebound it.
struct FormerValue {
    BufferRef buffer;  // null: the output is not state
    int64_t offset = 0;
    Dims strides;
};

// One window on its way: a plan with everything bound that a run needs. Nothing of the recording
// side is touched while it runs.
struct WindowRun {
    std::shared_ptr<const Plan> plan;
    std::vector<BufferRef> inputs;       // by input index
    std::vector<int64_t> input_offsets;  // bytes
    std::vector<BufferRef> outputs;      // by graph output
    std::vector<Scalar> scalars;         // by plan scalar
    std::vector<uint32_t> sites;         // by recorded node
    std::vector<FormerValue> former;     // by graph output; empty when none is state
    Graph graph;                         // as recorded, with its runtime numbers: for a replay
    std::shared_ptr<const StoredGraph> stored;  // ... or in the place of both
    std::vector<Scalar> numbers;
    std::vector<Dims> input_strides;
    std::atomic<bool> overwrote{false};  // a donated input has been written

    void clear();  // for the next window; keeps the memory of its vectors
    // Lets go of all buffers once the run has succeeded and submit() has seen its outputs; by the
    // second of the two. The next window's results may need the memory, and the recording side
    // looks at a finished run only when it submits again.
    void let_go();
    std::atomic<bool> one_is_through{false};
    // Runs it and turns the outputs' buffers ready or failed. Never throws.
    void execute(RunState& state, std::vector<double>* step_us);
    std::exception_ptr failure;
    const Graph& recorded() const { return stored ? stored->graph : graph; }
    uint32_t site(NodeId origin) const {
        const std::vector<uint32_t>& all = stored ? stored->sites : sites;
        return origin < all.size() ? all[origin] : 0;
    }

private:
    void bind(RunState& state);
    void run_step(const Step& step, RunState& state);
    void run_steps(RunState& state, std::vector<double>* step_us);
    void* address(const Slot& slot, RunState& state) const;
};

// Copies the elements of a tensor; strides count elements, `size` is that of one in bytes.
void copy_elements(char* to, DimSpan to_strides, const char* from, DimSpan from_strides,
                   DimSpan shape, size_t size);
// The same in a device's memory.
void copy_elements(Device device, char* to, DimSpan to_strides, const char* from,
                   DimSpan from_strides, DimSpan shape, size_t size);
int64_t slot_offset(const Slot& slot, const std::vector<Scalar>& scalars);

// The windows of one recorder: they run in order and share an arena. Short ones run in the caller,
// others on the pool; at most two are in flight.
class RunLane {
public:
    RunLane();
    std::shared_ptr<WindowRun> new_run();
    // A run in the caller is over when submit() returns.
    void retire_if_done(const std::shared_ptr<WindowRun>& run);
    void submit(std::shared_ptr<WindowRun> run, bool in_caller, std::vector<double>* step_us);
    bool idle();
    void wait_for_room();  // until at most one window is in flight
    void drain();
    void release_arena();  // waits, and gives the working memory back
    // Failed windows that have not been replayed, oldest first.
    std::vector<std::shared_ptr<WindowRun>> take_failed();
    bool has_failed() const { return any_failed_.load(std::memory_order_acquire); }

private:
    struct Shared;  // outlives the lane while tasks run
    std::shared_ptr<Shared> shared_;
    std::atomic<bool>& any_failed_;
    void retire(std::shared_ptr<WindowRun> run);

    std::vector<std::pair<TaskId, std::shared_ptr<WindowRun>>> in_flight_;
    // Finished runs, used again: their graphs are large, and fresh memory would be paged in anew.
    std::vector<std::shared_ptr<WindowRun>> spare_;
};

// Computes, node by node, what of a failed window does not depend on the failure. On the recording
// side, with the lane drained.
void replay(WindowRun& run);

}  // namespace sn
