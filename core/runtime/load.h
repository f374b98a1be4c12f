#pragma once
// A model file as a graph with its tensors: what Graph.save wrote, or any program that follows
// docs/design/011-graphs.md.
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "runtime/model.h"

namespace sn {

inline constexpr std::string_view kGraphKey = "sennit.graph";  // of the metadata

struct SavedModel {
    Model model;
    std::vector<Tensor> stand;  // parameters and constants: the inputs after the arguments
    std::string name;           // of the function or module that was traced
    std::string graph;          // as text
    // By result: its path in what a call returns. Without those that are new parameters.
    std::vector<std::string> outputs;
    std::map<std::string, std::string> metadata;  // what else the file says
    size_t n_arguments = 0;
};

// Everything is checked; anything wrong is a FileError. The tensors lie in `file`, which they keep.
SavedModel read_model(std::shared_ptr<const FileBytes> file, bool checksum);

}  // namespace sn
