#pragma once
#include "record/tensor.h"

namespace sn {

// What sn.autocast does with the float operands of a public function (FunctionDef::autocast). The
// rest promotes, as always.
enum class Autocast : uint8_t {
    kKeep,   // nothing
    kLower,  // casts them to autocast's dtype: products, where tensor cores and bandwidth count
    kFull,   // casts them to f32: where a short fraction or range would be felt
};

// Of the calling thread. Devices are of two kinds here: the CPU, and all others.
struct AutocastMode {
    bool enabled = false;
    DType dtype = DType::kBF16;
    friend bool operator==(const AutocastMode&, const AutocastMode&) = default;
};
const AutocastMode& autocast_mode(bool cpu);
void set_autocast_mode(bool cpu, AutocastMode mode);
bool autocasting();  // on any kind of device
// Both modes as one number, for what was recorded under them.
uint32_t autocast_modes();

// An operand as a function of this class takes it: itself, or cast. float64, integers and Python
// numbers stay what they are.
Tensor autocast(const Tensor& x, Autocast rule);

}  // namespace sn
