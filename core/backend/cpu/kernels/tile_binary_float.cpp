// Tile loops of the binary operations with floating-point results.
#include "backend/cpu/kernels/tile_loops.h"

namespace sn::cpu::SN_ISA {
namespace {
#define SN_EW2(name, cls, res, expression, ...) SN_BINARY_##cls##_##res(name, expression)
#define SN_BINARY_FLOAT_SAME(name, expression) SN_TILE_OP2(name, expression)
#define SN_BINARY_NUMERIC_SAME(name, expression) SN_TILE_OP2(name, expression)
#define SN_BINARY_ANY_BOOL(name, expression)
#define SN_BINARY_INTBOOL_SAME(name, expression)
#define SN_BINARY_INT_SAME(name, expression)
#include "op/elementwise_binary.inc"

// The next f16 or bf16 value is not the next f32 value rounded: count in 16-bit patterns.
template <class From, class To>
SN_INLINE F32 next_16(F32 x, F32 y, From from, To to) {
    const U32 b = __builtin_convertvector(to(x), U32);
    const auto zero = x == 0.0f;
    const auto away = (x < y) == (x > 0.0f);
    U32 r = away ? b + 1u : b - 1u;
    r = bit_cast<U32>(zero) != 0u ? (bit_cast<U32>(y) >> 16 & 0x8000u) | 1u : r;
    const F32 moved = from(__builtin_convertvector(r, H16));
    return x != x ? x : (y != y || x == y ? y : moved);
}
struct NextF16 {
    SN_INLINE static F32 apply(F32 x, F32 y) {
        return next_16(
            x, y, [](H16 h) { return f16_to_f32(h); }, [](F32 v) { return f32_to_f16(v); });
    }
};
struct NextBF16 {
    SN_INLINE static F32 apply(F32 x, F32 y) {
        return next_16(
            x, y, [](H16 h) { return bf16_to_f32(h); }, [](F32 v) { return f32_to_bf16(v); });
    }
};
template <int v>
SN_INLINE void set_next_16(TileFn2 (*row)[3]) {
    row[kF16][v] = vector_entry2<float, NextF16, v>;
    row[kBF16][v] = vector_entry2<float, NextBF16, v>;
}
}  // namespace

void register_tile_binary_float(TileKernels& t) {
#undef SN_BINARY_FLOAT_SAME
#undef SN_BINARY_NUMERIC_SAME
#define SN_BINARY_FLOAT_SAME(name, expression) \
    set_float2<Op_##name>(t.binary[kTile_##name - kNumTileOps1]);
#define SN_BINARY_NUMERIC_SAME(name, expression) SN_BINARY_FLOAT_SAME(name, expression)
#include "op/elementwise_binary.inc"
    TileFn2(*next)[3] = t.binary[kTile_nextafter - kNumTileOps1];
    set_next_16<0>(next);
    set_next_16<1>(next);
    set_next_16<2>(next);
}

}  // namespace sn::cpu::SN_ISA
