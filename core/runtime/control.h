#pragma once
// Calls of control nodes (op/control.h, docs/design/016-control-flow.md): branches and loops whose
// blocks are graphs of their own. Where ops are recorded into a window, the condition is read and
// the nodes of the blocks are called, as often as it takes; in a trace, a node is appended.
#include <memory>
#include <span>
#include <vector>

#include "op/control.h"
#include "runtime/model.h"

namespace sn {

using BlockRef = std::shared_ptr<const Model>;

// A control op with its attributes.
struct Control {
    ControlKind kind = ControlKind::kCond;
    // cond: if true, if false; while_loop: condition, body; scan: body.
    std::vector<BlockRef> blocks;
    int64_t draw = 0;                         // random draws before it
    int64_t max_steps = -1;                   // while_loop; -1: no limit
    int64_t carries = 0, xs = 0, length = 0;  // scan
    bool reverse = false;

    OpId op() const { return control_op(kind); }
    const char* name() const { return op_def(op()).name; }
    // How many of the operands change from call to call of a block.
    size_t carried() const;
    // The types of what block `k` is called with, when the operands have these.
    std::vector<Meta> block_inputs(std::span<const Meta> in) const;
};
// `blocks`: those of the graph that the node is in.
Control control_of(OpId op, const Attrs& attrs, std::span<const BlockRef> blocks);

// The types of the results. Fails when blocks, operands and attributes do not fit each other.
std::vector<Meta> control_types(const Control& control, std::span<const Meta> in);

void call_control(const Control& control, std::span<const Tensor> in, std::span<Tensor> out,
                  NodeCalls& calls);

// How many steps a loop may make where it runs; 0: no limit. For programs that run files of others.
void set_most_steps(int64_t steps);

// Appends a node (whose blocks have no open sizes) to the trace, and puts it on the tape.
std::vector<Tensor> record_control(Trace& trace, Control control, std::span<const Tensor> in);
// Whether nodes come onto the tape, with what their gradients need (on this thread; false while a
// graph is rewritten, in which nothing is differentiated). Returns what was.
bool set_control_tape(bool on);
// The same without the tape.
std::vector<Tensor> append_control(Trace& trace, const Control& control,
                                   std::span<const Tensor> in);
// ... on the tape of the trace (control_grad.cpp).
std::vector<Tensor> record_differentiable(Trace& trace, const Control& control,
                                          std::span<const Tensor> in);

// A call for a batch of `size` examples, in the current recorder (control_batch.cpp).
std::vector<Batched> control_for_all(const Control& control, std::span<const Batched> in,
                                     int64_t size);

// What has been recorded, as a block. Its inputs are the placeholders of the trace; a trace that
// has captured anything else is none.
Model block_of(Trace& trace, std::span<const Tensor> outputs);
// A block with further inputs, which it does not read.
Model with_inputs(Model block, std::span<const Meta> more);
// The results of a block for one call of it, in the current recorder.
std::vector<Tensor> call_block(const Model& block, std::span<const Tensor> inputs,
                               std::span<const int64_t> sizes, RandomState& random);

// Whether blocks of the graph draw random numbers.
bool blocks_draw(const Model& model);
bool draws(const Control& control);

}  // namespace sn
