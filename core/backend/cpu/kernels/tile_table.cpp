// The table of this instruction set, filled at the first use.
#include "backend/cpu/tile_kernels.h"

namespace sn::cpu::SN_ISA {

const TileKernels& tile_kernels() {
    static const TileKernels table = [] {
        TileKernels t = {};
        register_tile_unary_f32(t);
        register_tile_unary_f64(t);
        register_tile_unary_other(t);
        register_tile_binary_float(t);
        register_tile_binary_int(t);
        register_tile_compare(t);
        register_tile_ternary(t);
        register_tile_fused(t);
        register_tile_chains(t);
        register_tile_cast(t);
        register_tile_move(t);
        return t;
    }();
    return table;
}

}  // namespace sn::cpu::SN_ISA
