#pragma once
// A graph as text: what a model file's metadata holds (docs/design/011-graphs.md has the format).
#include <string>
#include <string_view>

#include "runtime/model.h"

namespace sn {

inline constexpr std::string_view kGraphFormat = "sennit graph";
// Version 1 knows no open sizes, and version 2 no blocks. The least is written that will do, so
// that older readers read it.
inline constexpr int kGraphVersion = 3;

// Fails for what a file cannot hold: an op that only its maker can call.
std::string write_graph(const Model& model);

// Believes nothing: the text is checked against its grammar, every id, name and attribute against
// what it stands for, and every call by the op's own rules; shapes and dtypes of results must be
// those that the rules give. Anything else is a FileError.
Model read_graph(std::string_view text);

}  // namespace sn
