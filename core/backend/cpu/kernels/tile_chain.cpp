// Chains (kTileChains in tile_kernels.h): several operations in one loop, in registers. An
// optimizer's update that goes through tiles reads and writes the first-level cache for every
// operation: seven of Adam take three times as long as its memory traffic.
#include <utility>

#include "backend/cpu/kernels/tile_loops.h"

namespace sn::cpu::SN_ISA {
namespace {

// A step's operation, found in the lists of all.
template <int op, class V>
SN_INLINE V apply([[maybe_unused]] V x, [[maybe_unused]] V y, [[maybe_unused]] V z) {
#define SN_EW1(name, cls, res, expression, ...) \
    if constexpr (op == kTile_##name) return (expression);
#define SN_EW2(name, cls, res, expression, ...) \
    if constexpr (op == kTile_##name) return (expression);
#define SN_EW3(name, cls, res, expression, ...) \
    if constexpr (op == kTile_##name) return (expression);
#include "op/elementwise_binary.inc"
#include "op/elementwise_ternary.inc"
#include "op/elementwise_unary.inc"
#undef SN_EW1
#undef SN_EW2
#undef SN_EW3
}

template <int c, int s, class V>
SN_INLINE void run_step(const V* in, V* done) {
    constexpr TileChain::Step step = kTileChains[c].steps[s];
    const auto arg = [&](int8_t a) {
        return a < 0 ? V{} : a < kChainStep ? in[a] : done[a - kChainStep];
    };
    done[s] = apply<step.op, V>(arg(step.args[0]), arg(step.args[1]), arg(step.args[2]));
}
template <int c, class V, int... s>
SN_INLINE void run_steps(const V* in, V* done, std::integer_sequence<int, s...>) {
    (run_step<c, s>(in, done), ...);
}

template <int c>
void chain_loop(void* const* results, const void* const* inputs, int64_t n) {
    constexpr TileChain chain = kTileChains[c];
    constexpr int w = kLanes<float>;
    const float* from[chain.num_inputs];
    float* to[chain.num_results];
    F32 in[chain.num_inputs], done[chain.num_steps];
    for (int i = 0; i < chain.num_inputs; ++i) {
        from[i] = static_cast<const float*>(inputs[i]);
        if (chain.scalars >> i & 1) in[i] = splat(*from[i]);
    }
    for (int r = 0; r < chain.num_results; ++r) to[r] = static_cast<float*>(results[r]);
    constexpr auto steps = std::make_integer_sequence<int, chain.num_steps>();
    int64_t at = 0;
    for (; at + w <= n; at += w) {
#pragma GCC unroll 8
        for (int i = 0; i < chain.num_inputs; ++i)
            if (!(chain.scalars >> i & 1)) in[i] = load<F32>(from[i] + at);
        run_steps<c>(in, done, steps);
#pragma GCC unroll 8
        for (int r = 0; r < chain.num_results; ++r) store<F32>(to[r] + at, done[chain.results[r]]);
    }
    if (at == n) return;
    for (int i = 0; i < chain.num_inputs; ++i)
        if (!(chain.scalars >> i & 1)) in[i] = load_part<F32>(from[i] + at, n - at);
    run_steps<c>(in, done, steps);
    for (int r = 0; r < chain.num_results; ++r)
        store_part<F32>(to[r] + at, done[chain.results[r]], n - at);
}

template <int... c>
void set_chains(TileKernels& t, std::integer_sequence<int, c...>) {
    ((t.chains[c] = chain_loop<c>), ...);
}

}  // namespace

void register_tile_chains(TileKernels& t) {
    set_chains(t, std::make_integer_sequence<int, kNumTileChains>());
}

}  // namespace sn::cpu::SN_ISA
