#pragma once
// A graph that stands by itself: recorded by calling a function once (sn.trace), or read from a
// file. It can be called, planned, rewritten and written to a file.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "op/random.h"
#include "pass/pass.h"
#include "plan/plan.h"
#include "record/trace.h"
#include "runtime/size.h"

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
    kSize,  // follows from open sizes; `value` is that of the example
};
struct ModelNumber {
    Scalar value{};
    NumberRole role = NumberRole::kConstant;
    SizeForm form = SizeForm::kPlain;  // of kSize
    double scale = 1;                  // of kSize: the factor of a float
    SizeExpr size{};                   // of kSize
};
Scalar number_of_size(const ModelNumber& number, int64_t size);

// A size of an argument that is left open.
struct OpenDim {
    uint32_t input = 0, axis = 0;
    uint32_t open = 0;  // which of Model::sizes
};
// A word of the attributes of a node that depends on open sizes.
struct OpenWord {
    NodeId node = 0;
    uint32_t word = 0;
    SizeExpr size;
};
// A size of a result, for people and other formats: the rules find it out at each call.
struct OpenShape {
    NodeId node = 0;
    uint32_t output = 0, axis = 0;
    SizeExpr size;
};

// The graph of a function or, nested in another one, of a *block*: what a control node calls
// (runtime/control.h). The inputs of a block are arguments, and its open sizes are those of the
// graph around it.
struct Model {
    Graph graph;
    std::vector<std::shared_ptr<const Model>> blocks;  // by the attribute of control nodes
    std::vector<ModelInput> inputs;                    // by input index; arguments come first
    std::vector<ModelNumber> numbers;                  // by scalar index
    std::vector<uint32_t> sites;                       // by node
    std::vector<uint8_t> taped;                        // by node: gradients flow through it
    int64_t draws = 0;                                 // random draws of one call
    // Parameters that a call gives new values, by input index: those of the last outputs.
    std::vector<uint32_t> updates;
    std::string signature;  // how arguments and results are nested: JSON, for the caller
    // Of a graph with open sizes (runtime/open_sizes.h); empty in others.
    std::vector<OpenSize> sizes;
    std::vector<OpenDim> open_dims;
    std::vector<OpenWord> open_words;  // ascending
    std::vector<OpenShape> open_shapes;
    std::vector<OpenShape> open_inputs;  // of a block: `node` is the input
    std::vector<SizeCondition> conditions;
};

// What has been recorded, as a graph with these results. `placeholders`: names and roles of the
// trace's placeholders; `draws_before`: the generator's count when the recording began.
// `constants` gets the tensors that the further inputs stand for.
Model model_of(Trace& trace, std::span<const Tensor> outputs, std::vector<ModelInput> placeholders,
               uint64_t draws_before, std::vector<Tensor>* constants);

// Gives the numbers of draws, and the seeds, their roles.
void find_draws(Model& model, uint64_t draws_before);

// Calls the recorded ops again in the current recorder. `inputs`: all of them, by input index.
// Returns the outputs; the caller gives the last ones to the parameters in `updates`.
std::vector<Tensor> call(const Model& model, std::span<const Tensor> inputs);
// The same with a generator of the caller's.
std::vector<Tensor> call(const Model& model, std::span<const Tensor> inputs, RandomState& state);
// The numbers of one call (sizes: those of the example), by scalar index; the generator has then
// made this call's draws, but for those of blocks.
std::vector<Tensor> numbers_of_call(const Model& model, RandomState& state);

// A call that is under way.
struct NodeCalls {
    std::span<const int64_t> sizes;  // open ones
    RandomState random;              // before the call's first draw
    uint64_t further = 0;            // draws that blocks have made so far
};
// Calls one of the nodes again, under its source line, in the current recorder.
void call_node(const Model& model, NodeId id, std::span<const Tensor> in, const Attrs& attrs,
               std::span<Tensor> out, NodeCalls& calls);
// All of them with the numbers given, by scalar index (those that are sizes are computed).
std::vector<Tensor> call_nodes(const Model& model, std::span<const Tensor> inputs,
                               std::span<const Tensor> numbers, NodeCalls& calls);

// The plan with which a call runs that finds an empty window and needs no gradient. Inputs are
// row-major.
std::shared_ptr<const Plan> plan_of(const Model& model);

// "lower", "simplify" and "fold" (pass/pass.h, plan/plan.h) on a graph of its own.
// A rewritten graph computes the same bits, and is not for gradients: what stood apart for their
// sake (a detached value and the value) may have become one. `constants` are by constant index, and
// get what folding has computed.
Model apply_pass(const Model& model, std::string_view pass, std::vector<Tensor>* constants);

// The part of a graph that some of its values (`outputs`, value ids) need, with all arguments and
// with the other inputs that are read; `kept`: these inputs, by their former index. With all
// outputs it keeps the updates.
Model cut(const Model& model, std::span<const ValueId> outputs, std::vector<uint32_t>* kept);

}  // namespace sn
