#pragma once
#include <cstdint>

namespace sn::cpu {

// GFLOP/s of a loop of nothing but f32 multiply-adds in registers, on the threads of the pool: the
// ceiling that benchmarks compare products with. Takes some tens of milliseconds.
double fma_peak();

}  // namespace sn::cpu
