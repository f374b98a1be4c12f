#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "op/op.h"
#include "record/tensor.h"

namespace sn {

// What a custom function (written in Python) or a hook adds to a tape entry.
struct GradExtra {
    std::function<void(GradCall&)> backward;                  // replaces the op's gradient rule
    std::vector<std::function<Tensor(const Tensor&)>> hooks;  // leaf: applied to the gradient
    Tensor grad;                                              // leaf: the accumulated gradient
};

struct GradInput {
    Ref<GradNode> node;  // null: this input needs no gradient
    uint32_t output = 0;
    Ref<Value> saved;
    Meta meta;
};
struct GradOutput {
    Ref<Value> saved;
    Meta meta;
    Tensor pending;  // the gradient that has arrived so far, during a walk
};

// A leaf's entry: where backward() accumulates `extra->grad`.
Ref<GradNode> make_leaf(const Meta& meta);

struct BackwardOptions {
    bool create_graph = false;
    bool accumulate = true;           // into leaves' grad; false: only the targets are returned
    std::span<const Tensor> targets;  // gradients to return (tensors on the tape)
};
// Walks the tape from `roots` with the given output gradients (same length).
std::vector<Tensor> backward(std::span<const Tensor> roots, std::span<const Tensor> gradients,
                             const BackwardOptions& options);

// Gives up the values saved by entries that a backward pass has used. Called by optimizer.step(),
// before the window is flushed, so that activations and old parameters need no memory of their own.
void release_consumed();

}  // namespace sn
