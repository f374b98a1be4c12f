// Two operations in one loop, each rounded by itself (kFusedPairs in tile_kernels.h): it saves a
// pass over a tile in L1, and changes no bit.
#include "backend/cpu/kernels/tile_loops.h"

namespace sn::cpu::SN_ISA {
namespace {

// What one step does after its arithmetic.
struct AsIs {
    template <class V>
    SN_INLINE static V apply(V x) {
        return x;
    }
};
#define SN_FUSED(name, first, second)             \
    template <class Round>                        \
    struct Fused_##name {                         \
        template <class V>                        \
        SN_INLINE static V apply(V a, V b, V c) { \
            const V t = Round::apply(first);      \
            return Round::apply(second);          \
        }                                         \
    };
SN_FUSED(multiply_add, a* b, t + c)
SN_FUSED(multiply_subtract, a* b, t - c)
SN_FUSED(multiply_subtract_from, a* b, c - t)
SN_FUSED(multiply_multiply, a* b, t* c)
SN_FUSED(add_multiply, a + b, t* c)
SN_FUSED(subtract_multiply, a - b, t* c)
SN_FUSED(add_add, a + b, t + c)
#undef SN_FUSED

template <template <class> class Op, int s>
SN_INLINE void set(TileFn3 (*row)[8]) {
    row[kF32][s] = vector_entry3<float, Op<AsIs>, s>;
    row[kF64][s] = vector_entry3<double, Op<AsIs>, s>;
    row[kF16][s] = vector_entry3<float, Op<RoundF16>, s>;
    row[kBF16][s] = vector_entry3<float, Op<RoundBF16>, s>;
    if constexpr (s > 0) set<Op, s - 1>(row);
}

template <class Round>
struct Tail_subtract_exp {
    template <class V>
    SN_INLINE static V apply(V a, V b) {
        return Round::apply(math::exp(Round::apply(a - b)));
    }
};
template <template <class> class Op, int v>
SN_INLINE void set_tail(TileFn2 (*row)[3]) {
    row[kF32][v] = vector_entry2<float, Op<AsIs>, v, true>;
    row[kF64][v] = vector_entry2<double, Op<AsIs>, v>;
    row[kF16][v] = vector_entry2<float, Op<RoundF16>, v>;
    row[kBF16][v] = vector_entry2<float, Op<RoundBF16>, v>;
    if constexpr (v > 0) set_tail<Op, v - 1>(row);
}

// The softmax's loop: the chain of additions hides behind the exponentials.
void subtract_exp_sum(void* dst, const void* a, const void* b, int64_t n, float* sum) {
    constexpr int lanes = 16, w = kLanes<float>, parts = lanes / w;
    float* d = static_cast<float*>(dst);
    const float* x = static_cast<const float*>(a);
    const F32 shift = splat(*static_cast<const float*>(b));
    F32 acc[parts] = {};
    int64_t i = 0;
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
        for (int k = 0; k < 2 * parts; ++k) {
            const F32 e = math::exp(load<F32>(x + i + k * w) - shift);
            store<F32>(d + i + k * w, e);
            acc[k % parts] = acc[k % parts] + e;
        }
    }
    while (i < n) {
        const int64_t count = n - i < lanes ? n - i : lanes;
        alignas(64) float piece[lanes] = {};
        std::memcpy(piece, x + i, static_cast<size_t>(count) * sizeof(float));
        for (int k = 0; k < parts; ++k)
            store<F32>(piece + k * w, math::exp(load<F32>(piece + k * w) - shift));
        for (int64_t l = count; l < lanes; ++l) piece[l] = 0;
        for (int k = 0; k < parts; ++k) acc[k] = acc[k] + load<F32>(piece + k * w);
        std::memcpy(d + i, piece, static_cast<size_t>(count) * sizeof(float));
        i += count;
    }
    alignas(64) float lane[lanes];
    for (int k = 0; k < parts; ++k) store<F32>(lane + k * w, acc[k]);
    for (int half = lanes / 2; half >= 1; half /= 2) {
        for (int l = 0; l < half; ++l) lane[l] = lane[l] + lane[l + half];
    }
    *sum = lane[0];
}

}  // namespace

void register_tile_fused(TileKernels& t) {
    t.exp_sum = subtract_exp_sum;
    set_tail<Tail_subtract_exp, 2>(t.fused_tail[find_fused_tail(kTile_subtract, kTile_exp)]);
    const auto row = [&](TileOp first, TileOp second, int swapped) {
        return t.fused[find_fused_pair(first, second, swapped != 0)];
    };
    // Sums and products commute: both orders are one loop.
    for (int swapped = 0; swapped < 2; ++swapped) {
        set<Fused_multiply_add, 7>(row(kTile_multiply, kTile_add, swapped));
        set<Fused_multiply_multiply, 7>(row(kTile_multiply, kTile_multiply, swapped));
        set<Fused_add_multiply, 7>(row(kTile_add, kTile_multiply, swapped));
        set<Fused_subtract_multiply, 7>(row(kTile_subtract, kTile_multiply, swapped));
        set<Fused_add_add, 7>(row(kTile_add, kTile_add, swapped));
    }
    set<Fused_multiply_subtract, 7>(row(kTile_multiply, kTile_subtract, 0));
    set<Fused_multiply_subtract_from, 7>(row(kTile_multiply, kTile_subtract, 1));
}

}  // namespace sn::cpu::SN_ISA
