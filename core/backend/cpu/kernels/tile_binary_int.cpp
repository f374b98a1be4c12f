// Tile loops of the binary operations with integer results.
#include "backend/cpu/kernels/tile_loops.h"

namespace sn::cpu::SN_ISA {
namespace {
#define SN_EW2(name, cls, res, expression, ...) SN_BINARY_##cls##_##res(name, expression)
#define SN_BINARY_FLOAT_SAME(name, expression)
#define SN_BINARY_NUMERIC_SAME(name, expression) SN_TILE_OP2(name, expression)
#define SN_BINARY_ANY_BOOL(name, expression)
#define SN_BINARY_INTBOOL_SAME(name, expression) SN_TILE_OP2(name, expression)
#define SN_BINARY_INT_SAME(name, expression) SN_TILE_OP2(name, expression)
#include "op/elementwise_binary.inc"

template <class Op>
SN_INLINE void set_ints(TileFn2 (*row)[3]) {
#define SN_SET(T) set_plain2<T, T, Op>(row);
    SN_EACH_INT(SN_SET)
#undef SN_SET
}
}  // namespace

void register_tile_binary_int(TileKernels& t) {
#undef SN_BINARY_NUMERIC_SAME
#undef SN_BINARY_INTBOOL_SAME
#undef SN_BINARY_INT_SAME
#define SN_BINARY_NUMERIC_SAME(name, expression) \
    set_ints<Op_##name>(t.binary[kTile_##name - kNumTileOps1]);
#define SN_BINARY_INTBOOL_SAME(name, expression)                \
    set_ints<Op_##name>(t.binary[kTile_##name - kNumTileOps1]); \
    set_plain2<bool, bool, Op_##name>(t.binary[kTile_##name - kNumTileOps1]);
#define SN_BINARY_INT_SAME(name, expression) SN_BINARY_NUMERIC_SAME(name, expression)
#include "op/elementwise_binary.inc"
}

}  // namespace sn::cpu::SN_ISA
