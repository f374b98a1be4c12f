#pragma once
// Control ops: their nodes call nested blocks. They stand in graphs that are kept (traces, models)
// and never in a window: a call that runs calls the nodes of its blocks (runtime/control.h).
#include "op/op.h"

namespace sn {

enum class ControlKind : uint8_t { kCond, kWhile, kScan };

// Control ops have any number of results.
inline bool is_control(const OpDef& def) { return def.n_out < 0; }
ControlKind control_kind(OpId op);
OpId control_op(ControlKind kind);

}  // namespace sn
