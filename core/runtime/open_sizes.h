#pragma once
// Graphs with open sizes. A function is traced at several example sizes; what differs between the
// graphs is found to follow from the sizes, or the function has no graph for all of them.
#include <vector>

#include "runtime/model.h"

namespace sn {

// A trace at example sizes, by open size.
struct Probe {
    std::vector<int64_t> sizes;
    Model model;
    std::vector<Tensor> constants;
};

// A comparison of sizes that the function made: left less right, by probe; the same outcome in all.
struct ProbeComparison {
    SizeRelation relation = SizeRelation::kEqual;  // that held
    std::vector<int64_t> differences;
    std::string where;
};

// One graph out of several of the same function. The first one stands for all in what does not
// differ. Fails with the operation and its line when there is no such graph.
Model with_open_sizes(std::vector<Probe> probes, std::vector<OpenSize> sizes,
                      std::vector<OpenDim> dims, std::span<const ProbeComparison> comparisons);

// The graph for these sizes alone.
Model at_sizes(const Model& model, std::span<const int64_t> sizes);

// The same of a graph or block for inputs of these types.
Model instantiated(const Model& model, std::span<const int64_t> sizes,
                   std::span<const Meta> inputs);

// Finds Model::open_shapes of a graph that was read.
void find_open_shapes(Model& model);

}  // namespace sn
