#pragma once
// A recorded call that runs again and again as one window, on values that are bound anew: what
// sn.compile makes of a function. Which tensors these are, and what becomes of the results, is the
// caller's business (bindings/compiled.cpp).
#include <memory>
#include <string>
#include <vector>

#include "op/random.h"
#include "runtime/model.h"

namespace sn {

class CompiledGraph {
public:
    // What a window holds, with these results. `before`: the generator when the recording began.
    // The inputs' names are the caller's to fill in.
    CompiledGraph(const Recorder& window, const RecordWatch& watch, std::vector<ValueId> outputs,
                  RandomState before);

    const Model& model() const { return model_; }
    Model& model() { return model_; }

    // Picks the plan for these values, which have buffers, or makes it. `replaced`, by input: how
    // many references to the value there are when nobody but the caller will ask for it; 0 where
    // others will. May fail; nothing has happened then.
    void choose(std::span<const Ref<Value>> inputs, std::span<const uint32_t> replaced);
    // Runs the plan that was chosen. `outputs` are fresh values. Does not wait.
    // `again`: with the numbers of a new call, not with those that were recorded.
    void run(Recorder& recorder, std::span<const Ref<Value>> inputs,
             std::span<Value* const> outputs, bool again = true);
    // What a number is from the next run on.
    void set_number(size_t scalar, double value);
    // How many kernels a run has; 0 when none was planned yet.
    size_t kernels() const;

private:
    // Plans differ in how inputs lie in memory, and in which of them may be written over.
    struct Variant {
        std::vector<Dims> strides;
        std::vector<uint8_t> donated;
        MatmulPrecision precision;
        std::shared_ptr<const Plan> plan;
    };
    Model model_;
    std::shared_ptr<const StoredGraph> stored_;
    std::vector<Variant> variants_;  // the latest first
    uint64_t generation_ = 0;
    std::vector<uint8_t> donated_;  // scratch
    std::vector<Scalar> numbers_;
    bool drawn_ = false;  // numbers differ from call to call
};

// How two recordings of one function differ: a text that names the first line where they do, or an
// empty one. `numbers_only`: whether numbers are all that differs.
std::string difference(const Model& a, const Model& b, bool* numbers_only);

}  // namespace sn
