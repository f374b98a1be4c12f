#pragma once
// The model of a bundle, read from its bytes once.
#include "op/op.h"
#include "plan/archive.h"

namespace sn {

const std::vector<FrozenOp>& frozen_ops();
// With plans that can run. Fails when the processor lacks the bundle's instruction set.
const FrozenModel& thawed();

}  // namespace sn
