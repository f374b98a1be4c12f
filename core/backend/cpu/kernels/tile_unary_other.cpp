// Tile loops of the unary operations on integers and bool, and of those with a bool result.
#include "backend/cpu/kernels/tile_loops.h"

namespace sn::cpu::SN_ISA {
namespace {

#define SN_EW1(name, cls, res, expression, ...) SN_UNARY_##cls##_##res(name, expression)
#define SN_UNARY_FLOAT_SAME(name, expression)
#define SN_UNARY_NUMERIC_SAME(name, expression) SN_TILE_OP1(name, expression)
#define SN_UNARY_FLOAT_BOOL(name, expression) SN_TILE_OP1(name, expression)
#define SN_UNARY_NUMERIC_BOOL(name, expression) SN_TILE_OP1(name, expression)
#define SN_UNARY_ANY_BOOL(name, expression) SN_TILE_OP1(name, expression)
#define SN_UNARY_INTBOOL_SAME(name, expression) SN_TILE_OP1(name, expression)
#include "op/elementwise_unary.inc"

template <class T, class Op>
SN_INLINE void set_int(TileFn1* row) {
    row[TileDType<T>::value] = plain_loop1<T, T, Op>;
}
template <class T, class Op>
SN_INLINE void set_test(TileFn1* row) {
    row[TileDType<T>::value] = plain_loop1<T, uint8_t, Op>;
}
template <class Op>
SN_INLINE void set_ints(TileFn1* row) {
#define SN_SET(T) set_int<T, Op>(row);
    SN_EACH_INT(SN_SET)
#undef SN_SET
}
template <class Op>
SN_INLINE void set_float_tests(TileFn1* row) {
    set_test<float, Op>(row);
    set_test<double, Op>(row);
    row[kF16] = row[kBF16] = row[kF32];
}
template <class Op>
SN_INLINE void set_int_tests(TileFn1* row) {
#define SN_SET(T) set_test<T, Op>(row);
    SN_EACH_INT(SN_SET)
#undef SN_SET
}

}  // namespace

void register_tile_unary_other(TileKernels& t) {
#undef SN_UNARY_NUMERIC_SAME
#undef SN_UNARY_FLOAT_BOOL
#undef SN_UNARY_NUMERIC_BOOL
#undef SN_UNARY_ANY_BOOL
#undef SN_UNARY_INTBOOL_SAME
#define SN_UNARY_NUMERIC_SAME(name, expression) set_ints<Op_##name>(t.unary[kTile_##name]);
#define SN_UNARY_FLOAT_BOOL(name, expression) set_float_tests<Op_##name>(t.unary[kTile_##name]);
#define SN_UNARY_NUMERIC_BOOL(name, expression)        \
    set_float_tests<Op_##name>(t.unary[kTile_##name]); \
    set_int_tests<Op_##name>(t.unary[kTile_##name]);
#define SN_UNARY_ANY_BOOL(name, expression) \
    SN_UNARY_NUMERIC_BOOL(name, expression) \
    set_test<bool, Op_##name>(t.unary[kTile_##name]);
#define SN_UNARY_INTBOOL_SAME(name, expression) \
    set_ints<Op_##name>(t.unary[kTile_##name]); \
    set_int<bool, Op_##name>(t.unary[kTile_##name]);
#include "op/elementwise_unary.inc"
}

}  // namespace sn::cpu::SN_ISA
