#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "op/op.h"
#include "record/tensor.h"

namespace sn {

// Called with the gradient of one output before it flows on; a tensor that it returns replaces it.
// Whoever added it takes it away by emptying `call`: that must not keep the tape alive.
struct GradHook {
    std::function<Tensor(const Tensor&)> call;
    uint32_t output = 0;
};
// What a custom function (written in Python) or a hook adds to a tape entry.
struct GradExtra {
    std::function<void(GradCall&)> backward;       // replaces the op's gradient rule
    const char* name = nullptr;                    // of the custom function, interned
    std::vector<std::shared_ptr<GradHook>> hooks;  // in the order in which they were added
    std::vector<std::vector<Tensor>> further;      // by input: what the rule adds one by one
    Tensor grad;                                   // leaf: the accumulated gradient
};
std::shared_ptr<GradHook> add_hook(const Tensor& tensor, GradHook hook);

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

// The tensor as a place on the tape of its own: a leaf, or an entry that leads to its history.
Tensor relay(const Tensor& tensor);

struct BackwardOptions {
    bool create_graph = false;
    bool accumulate = true;           // into leaves' grad; false: only the targets are returned
    std::span<const Tensor> targets;  // gradients to return (tensors on the tape)
    // The walk ends at the targets, and does not touch them: it may run inside of another walk.
    // Gradients that arrive at one are given one by one, not summed.
    bool stop_at_targets = false;
    std::vector<std::vector<Tensor>>* arrived = nullptr;  // with stop_at_targets, by target
};
// Walks the tape from `roots` with the given output gradients (same length).
std::vector<Tensor> backward(std::span<const Tensor> roots, std::span<const Tensor> gradients,
                             const BackwardOptions& options);

// The entries recorded from now on have this number or a larger one.
uint64_t tape_mark();
// What the tape of `roots` ends at: leaves, and entries older than `mark`. Tensors without
// elements, which only stand for their place on the tape.
std::vector<Tensor> tape_boundary(std::span<const Tensor> roots, uint64_t mark);
// The op whose gradient is being computed on this thread, or null: for errors.
const char* gradient_of();

// Gives up the values saved by entries that a backward pass has used. Called by optimizer.step(),
// before the window is flushed, so that activations and old parameters need no memory of their own.
void release_consumed();

}  // namespace sn
