// Tile loops of the unary operations on f32, and on f16 and bf16 through it.
#include "backend/cpu/kernels/tile_loops.h"

namespace sn::cpu::SN_ISA {
namespace {
#define SN_EW1(name, cls, res, expression, ...) SN_UNARY_##cls##_##res(name, expression)
#define SN_UNARY_FLOAT_SAME(name, expression) SN_TILE_OP1(name, expression)
#define SN_UNARY_NUMERIC_SAME(name, expression) SN_TILE_OP1(name, expression)
#define SN_UNARY_FLOAT_BOOL(name, expression)
#define SN_UNARY_NUMERIC_BOOL(name, expression)
#define SN_UNARY_ANY_BOOL(name, expression)
#define SN_UNARY_INTBOOL_SAME(name, expression)
#include "op/elementwise_unary.inc"
}  // namespace

void register_tile_unary_f32(TileKernels& t) {
#undef SN_UNARY_FLOAT_SAME
#undef SN_UNARY_NUMERIC_SAME
#define SN_UNARY_FLOAT_SAME(name, expression)                                        \
    t.unary[kTile_##name][kF32] = vector_loop1<float, Op_##name>;                    \
    t.unary[kTile_##name][kF16] = vector_loop1<float, Rounded<Op_##name, RoundF16>>; \
    t.unary[kTile_##name][kBF16] = vector_loop1<float, Rounded<Op_##name, RoundBF16>>;
#define SN_UNARY_NUMERIC_SAME(name, expression) SN_UNARY_FLOAT_SAME(name, expression)
#include "op/elementwise_unary.inc"
}

}  // namespace sn::cpu::SN_ISA
