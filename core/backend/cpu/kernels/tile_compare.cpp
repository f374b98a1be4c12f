// Tile loops of the comparisons and logical operations: bool results of any dtype.
#include "backend/cpu/kernels/tile_loops.h"

namespace sn::cpu::SN_ISA {
namespace {
#define SN_EW2(name, cls, res, expression, ...) SN_COMPARE_##res(name, expression)
#define SN_COMPARE_BOOL(name, expression) SN_TILE_OP2(name, expression)
#define SN_COMPARE_SAME(name, expression)
#include "op/elementwise_binary.inc"

template <class Op>
SN_INLINE void set_all(TileFn2 (*row)[3]) {
#define SN_SET(T) set_plain2<T, uint8_t, Op>(row);
    SN_EACH_INT(SN_SET)
    SN_SET(float)
    SN_SET(double)
    SN_SET(bool)
#undef SN_SET
    for (int v = 0; v < 3; ++v) row[kF16][v] = row[kBF16][v] = row[kF32][v];
}
}  // namespace

void register_tile_compare(TileKernels& t) {
#undef SN_COMPARE_BOOL
#define SN_COMPARE_BOOL(name, expression) set_all<Op_##name>(t.binary[kTile_##name - kNumTileOps1]);
#include "op/elementwise_binary.inc"
}

}  // namespace sn::cpu::SN_ISA
