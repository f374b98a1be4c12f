#include "op/autocast.h"

#include "op/api.h"

namespace sn {

namespace {

thread_local AutocastMode modes[2] = {{false, DType::kF16}, {false, DType::kBF16}};

}  // namespace

const AutocastMode& autocast_mode(bool cpu) { return modes[cpu]; }
void set_autocast_mode(bool cpu, AutocastMode mode) { modes[cpu] = mode; }
bool autocasting() { return modes[0].enabled || modes[1].enabled; }

uint32_t autocast_modes() {
    uint32_t word = 0;
    for (const AutocastMode& m : modes)
        word = word << 9 | (m.enabled ? 1u << 8 | static_cast<uint32_t>(m.dtype) : 0u);
    return word;
}

Tensor autocast(const Tensor& x, Autocast rule) {
    if (rule == Autocast::kKeep || !x || x.weak()) return x;
    const AutocastMode& mode = modes[x.device().backend == 0];
    const DType dtype = x.dtype();
    if (!mode.enabled || !is_float(dtype) || dtype == DType::kF64) return x;
    return cast(x, rule == Autocast::kLower ? mode.dtype : DType::kF32);
}

}  // namespace sn
