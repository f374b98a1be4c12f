#pragma once
#include <vector>

#include "backend/backend.h"
#include "base/function_ref.h"
#include "ir/graph.h"

namespace sn {

// Where a scalar of a rewritten graph comes from: a runtime number of the recorded graph, or a
// constant of the rewriting (an epsilon).
struct ScalarSource {
    int32_t slot = -1;
    Scalar constant{};
};

// A graph on its way through the passes, with what they learn about it.
struct Program {
    Graph graph;
    std::vector<ScalarSource> scalars;  // by scalar index
    std::vector<Dims> strides;          // by value id, in elements (after assign_layout)
    std::vector<uint8_t> view;          // by node: computes nothing, its output reads its input
};

// Composite ops become simpler ones where the back-end has no kernel for them.
Program lower(const Graph& recorded);
// Removes nodes whose results nobody needs, merges equal pure nodes, drops operations that do
// nothing (a cast to the same dtype, a reshape to the same shape).
void simplify(Program& program);

// Parts of it, and for graphs whose sizes are not all known.
enum class SimplifyWhat : uint8_t { kAll, kDeadCode, kCommon, kIdentities };
struct SimplifyOptions {
    SimplifyWhat what = SimplifyWhat::kAll;
    // By node: its attributes or shapes are those of an example, so it may do something elsewhere.
    std::span<const uint8_t> open_nodes;
    std::span<const uint8_t> read;  // by value: needed though no node reads it
    // Whether two nodes that are equal at the example are equal at all sizes.
    FunctionRef<bool(NodeId, NodeId)> same_open;
    std::vector<ValueId>* moved = nullptr;  // by former value: what it has become
};
void simplify(Program& program, const SimplifyOptions& options);
// Gives every value its strides in memory and inserts the copies that kernels need; decides which
// nodes are views.
void assign_layout(Program& program, std::span<const Dims> input_strides);

Dims channels_last_strides(DimSpan shape);  // for [batch, channels, spatial...]

// Groups of nodes that run as one kernel.
struct Group {
    std::vector<NodeId> nodes;  // in order
    NodeId anchor = kNone;      // a matrix product or convolution whose epilogue the rest is
    bool fused = false;         // a program (with or without anchor); else one plain node
    Dims shape;                 // fused: loop space
    int row_dims = 0;
    Dims order;  // with an anchor: dimensions in the order of its matrix
};
// In an order in which they can run.
std::vector<Group> fuse(const Program& program);

}  // namespace sn
