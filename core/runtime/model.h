#pragma once
// A graph that stands by itself: recorded by calling a function once (sn.trace), or read from a
// file. It can be called, planned, rewritten and written to a file.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pass/pass.h"
#include "plan/plan.h"
#include "record/trace.h"

namespace sn {

// What an input of the graph stands for.
enum class InputRole : uint8_t {
    kArgument,   // given at every call
    kParameter,  // a parameter or buffer of a module, under its path
    kConstant,   // a tensor that the function met and that is neither
};
struct ModelInput {
    std::string name;
    InputRole role = InputRole::kArgument;
    bool requires_grad = false;  // of a parameter: what a file says of it
};

// What a scalar of the graph is at a call.
enum class NumberRole : uint8_t {
    kConstant,
    kSeed,  // the seed of the generator
    kDraw,  // a draw of this call: `value` counts from its first one
};
struct ModelNumber {
    Scalar value{};
    NumberRole role = NumberRole::kConstant;
};

struct Model {
    Graph graph;
    std::vector<ModelInput> inputs;    // by input index; arguments come first
    std::vector<ModelNumber> numbers;  // by scalar index
    std::vector<uint32_t> sites;       // by node
    std::vector<uint8_t> taped;        // by node: gradients flow through it
    int64_t draws = 0;                 // random draws of one call
    std::string signature;             // how arguments and results are nested: JSON, for the caller
};

// What has been recorded, as a graph with these results. `placeholders`: names and roles of the
// trace's placeholders; `draws_before`: the generator's count when the recording began.
// `constants` gets the tensors that the further inputs stand for.
Model model_of(Trace& trace, std::span<const Tensor> outputs, std::vector<ModelInput> placeholders,
               uint64_t draws_before, std::vector<Tensor>* constants);

// Gives the numbers of draws, and the seeds, their roles.
void find_draws(Model& model, uint64_t draws_before);

// Calls the recorded ops again in the current recorder. `inputs`: all of them, by input index.
std::vector<Tensor> call(const Model& model, std::span<const Tensor> inputs);

// The plan with which a call runs that finds an empty window and needs no gradient. Inputs are
// row-major.
std::shared_ptr<const Plan> plan_of(const Model& model);

// "lower", "simplify" and "fold" (pass/pass.h, plan/plan.h) on a graph of its own.
// A rewritten graph computes the same bits, and is not for gradients: what stood apart for their
// sake (a detached value and the value) may have become one. `constants` are by constant index, and
// get what folding has computed.
Model apply_pass(const Model& model, std::string_view pass, std::vector<Tensor>* constants);

// The part of a graph that some of its values (`outputs`, value ids) need, with all arguments and
// with the other inputs that are read; `kept`: these inputs, by their former index.
Model cut(const Model& model, std::span<const ValueId> outputs, std::vector<uint32_t>* kept);

}  // namespace sn
