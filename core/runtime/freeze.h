#pragma once
// A model as a bundle holds it: plans that were made ahead of time, tensors, and the kernels that
// they need (docs/design/017-bundle.md).
#include <set>
#include <string>
#include <vector>

#include "runtime/model.h"

namespace sn {

struct Frozen {
    std::string plans;            // for PlanReader (plan/archive.h)
    std::string data;             // tensors and constants, at multiples of 64 bytes
    std::set<std::string> needs;  // cpu::Needs
};

// `variants`: the model at fixed sizes, with these sizes by open size of `open`; `stand`: its
// parameters and constants; `results`: names of results, without updates.
Frozen freeze(const Model& open, std::span<const Model> variants,
              const std::vector<std::vector<int64_t>>& sizes, std::span<const Tensor> stand,
              std::vector<std::string> results);

}  // namespace sn
