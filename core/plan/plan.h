#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/buffer.h"
#include "engine/graph.h"
#include "pass/pass.h"

namespace sn {

// Where a piece of memory of a plan comes from when it runs.
enum class BufferKind : uint8_t {
    kInput,     // the buffer of an input (an output may be written over a donated one)
    kOutput,    // a fresh buffer that a live value keeps
    kArena,     // a byte range of the plan's arena
    kConstant,  // computed when the plan was made
};

struct PlanBuffer {
    BufferKind kind = BufferKind::kArena;
    uint32_t index = 0;    // kInput: which input; kOutput: which output buffer; kConstant: which
    bool donated = false;  // kInput: steps may write over it
    size_t bytes = 0;
    size_t offset = 0;   // kArena
    uint32_t first = 0;  // steps in which it is alive
    uint32_t last = 0;
};

// A tensor inside a buffer. The offset may depend on runtime numbers (where a slice starts).
struct Slot {
    uint32_t buffer = kNone;  // kNone: scalar number `scalar`
    uint32_t scalar = 0;
    int64_t offset = 0;          // bytes
    SmallVec<int64_t, 2> terms;  // pairs: scalar index, bytes per unit
};

struct Step {
    NodeId origin = 0;          // recorded node, for errors and times
    OpId op = 0;                // of the kernel or of the program's last instruction
    OpId kernel_op = 0;         // of the kernel alone
    KernelFn kernel = nullptr;  // null: a program alone
    std::shared_ptr<const CompiledProgram> program;  // alone, or the kernel's epilogue
    Device device;
    std::vector<TensorView> in, out;  // kernel: shapes and strides; data is filled in
    std::vector<Slot> in_slots, out_slots;
    std::vector<Slot> bindings;     // program
    std::vector<uint32_t> scalars;  // which of the plan's numbers the program reads
    std::vector<uint8_t> writes;    // by binding: the program writes there
    std::vector<int64_t> attrs;
    Slot workspace;
    bool checks_values = false;
    bool overwrites_input = false;  // writes over a donated input
    uint32_t ops = 1;               // recorded ops that it does the work of
    double cost = 0;                // estimated nanoseconds
};

struct PlanOutput {
    Slot slot;
    Dims strides;             // elements
    bool overwrites = false;  // lies over a donated input (not: shows an input)
};

// Everything about running one structure of graph, computed once.
struct Plan {
    std::vector<Step> steps;
    std::vector<PlanBuffer> buffers;
    std::vector<ScalarSource> scalars;
    std::vector<DType> scalar_dtypes;
    std::vector<PlanOutput> outputs;       // in the order of the graph's outputs
    std::vector<uint32_t> output_buffers;  // plan buffers of kind kOutput, by index
    std::vector<BufferRef> constants;
    size_t arena_bytes = 0;
    Device device;
    MatmulPrecision precision = MatmulPrecision::kHighest;  // that its kernels are told
    double cost = 0;
    // Which steps wait for which, where running some at the same time pays; none: in order.
    std::vector<GraphEdge> edges;
    TaskGraph order;
    std::deque<Dims> dims;  // what the steps' views point into
    Graph graph;            // as it was after the passes, for explain()
    std::vector<Group> groups;
};

// Computes what depends on constants alone; returns the results, which the graph then takes as
// further inputs; the folded nodes are gone.
// Of a graph whose sizes are not all known: nodes that are open, values that are needed although no
// node reads them, and (by former value) what values have become.
std::vector<BufferRef> fold(Program& program, std::span<const uint8_t> open_nodes = {},
                            std::span<const uint8_t> needed = {},
                            std::vector<ValueId>* moved = nullptr);

// The program of a specification: one that some plan has already, or a new one.
std::shared_ptr<const CompiledProgram> compiled_program(Device device, const ProgramSpec& spec);

// Passes and plans a recorded graph. `donated`: inputs whose memory may be overwritten.
std::shared_ptr<const Plan> build_plan(const Graph& recorded, std::span<const Dims> input_strides,
                                       std::span<const uint8_t> donated,
                                       MatmulPrecision precision = matmul_precision());

// Gives arena offsets to the buffers of kind kArena for steps that run in order; returns the
// arena's size.
size_t place_in_arena(std::vector<PlanBuffer>& buffers);
// Decides whether independent steps run at the same time, gives arena offsets to go with that, and
// returns the arena's size.
size_t place_and_order(Plan& plan);

// Calls visit(slot, writes) for every buffer that a step reads or writes.
template <class Visit>
void for_each_access(const Step& step, Visit visit) {
    const auto see = [&](const Slot& slot, bool writes) {
        if (slot.buffer != kNone) visit(slot, writes);
    };
    for (const Slot& slot : step.in_slots) see(slot, false);
    for (const Slot& slot : step.out_slots) see(slot, true);
    for (size_t i = 0; i < step.bindings.size(); ++i) see(step.bindings[i], step.writes[i]);
    see(step.workspace, true);
}

// Independent check: no two buffers that are alive at once overlap, every slot lies inside its
// buffer, everything is written before it is read, nothing is written over while it is needed.
// Returns what is wrong, or an empty string.
std::string verify(const Plan& plan);
std::string verify_order(const Plan& plan);  // no two steps that may run together meet in memory
std::string print(const Plan& plan);

// Whether plans and passes are verified as they are made (tests, debug builds).
bool verify_plans();
void set_verify_plans(bool on);

}  // namespace sn
