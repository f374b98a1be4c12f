#include "backend/cpu/simd.h"

// The compiler knows nothing of the register's value afterwards.
#if defined(__x86_64__)
#define SN_OPAQUE(v) asm volatile("" : "+v"(v))
#else
#define SN_OPAQUE(v) asm volatile("" : "+w"(v))
#endif

namespace sn::cpu::SN_ISA {

double multiply_add_loop(int64_t steps);

// Twelve independent chains hide the latency of two multiply-add units (4 cycles each) at every
// level and fit the 16 registers of AVX2; nothing else runs in the loop.
double multiply_add_loop(int64_t steps) {
    constexpr int kChains = 12;
    F32 chains[kChains], a = splat(1.0f), b = splat(1e-9f);
    for (F32& chain : chains) {
        chain = F32{};
        SN_OPAQUE(chain);  // equal chains would be computed once
    }
    for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 12
        for (int j = 0; j < kChains; ++j) chains[j] = fma(chains[j], a, b);
        SN_OPAQUE(a);
        SN_OPAQUE(b);
    }
    F32 sum{};
    for (const F32& chain : chains) sum += chain;
    float lanes[kLanes<float>];
    store(lanes, sum);
    static volatile float sink;
    sink = lanes[0];
    (void)sink;
    return 2.0 * kChains * kLanes<float> * static_cast<double>(steps);
}

}  // namespace sn::cpu::SN_ISA

#undef SN_OPAQUE
