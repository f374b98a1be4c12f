// Tile loops of the ternary operations.
#include "backend/cpu/kernels/tile_loops.h"

namespace sn::cpu::SN_ISA {
namespace {
#define SN_EW3(name, cls, res, expression, ...) SN_TERNARY_##cls##_##res(name, expression)
#define SN_TERNARY_FLOAT_SAME(name, expression) SN_TILE_OP3(name, expression)
#define SN_TERNARY_NUMERIC_SAME(name, expression) SN_TILE_OP3(name, expression)
#define SN_TERNARY_ANY_SELECT(name, expression)         \
    struct Op_##name {                                  \
        template <class T>                              \
        SN_INLINE static T apply(uint8_t x, T y, T z) { \
            return (expression);                        \
        }                                               \
    };
#include "op/elementwise_ternary.inc"

template <class T, class Op>
[[gnu::noinline]] void plain_loop3(void* dst, const void* a, const void* b, const void* c,
                                   int64_t n) {
    T* d = static_cast<T*>(dst);
    const T *p = static_cast<const T*>(a), *q = static_cast<const T*>(b),
            *r = static_cast<const T*>(c);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) d[i] = static_cast<T>(Op::apply(p[i], q[i], r[i]));
}
template <class T, class Op>
[[gnu::noinline]] void select_loop(void* dst, const void* a, const void* b, const void* c,
                                   int64_t n) {
    T* d = static_cast<T*>(dst);
    const uint8_t* p = static_cast<const uint8_t*>(a);
    const T *q = static_cast<const T*>(b), *r = static_cast<const T*>(c);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
        const T y = q[i], z = r[i];  // both read, so that the compiler may blend
        d[i] = Op::apply(p[i], y, z);
    }
}
template <TileFn3 loop, int size_a, int size, int s>
SN_INLINE void set_pieces(TileFn3* entry) {
    entry[s] = s ? pieces3<loop, size_a, size, s> : loop;
    if constexpr (s > 0) set_pieces<loop, size_a, size, s - 1>(entry);
}
template <class Op>
SN_INLINE void set_ints(TileFn3 (*row)[8]) {
#define SN_SET(T) set_pieces<plain_loop3<T, Op>, sizeof(T), sizeof(T), 7>(row[TileDType<T>::value]);
    SN_EACH_INT(SN_SET)
#undef SN_SET
}
// A selection moves bits: one loop per element size.
template <class Op>
SN_INLINE void set_selects(TileFn3 (*row)[8]) {
    TileFn3 by_size[4][8];
    set_pieces<select_loop<uint8_t, Op>, 1, 1, 7>(by_size[0]);
    set_pieces<select_loop<uint16_t, Op>, 1, 2, 7>(by_size[1]);
    set_pieces<select_loop<uint32_t, Op>, 1, 4, 7>(by_size[2]);
    set_pieces<select_loop<uint64_t, Op>, 1, 8, 7>(by_size[3]);
    for (int d = 0; d <= kF64; ++d) {
        const size_t size = tile_element_size(static_cast<DType>(d));
        const int k = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
        for (int s = 0; s < 8; ++s) row[d][s] = by_size[k][s];
    }
}
}  // namespace

void register_tile_ternary(TileKernels& t) {
#undef SN_TERNARY_FLOAT_SAME
#undef SN_TERNARY_NUMERIC_SAME
#undef SN_TERNARY_ANY_SELECT
#define SN_TERNARY_FLOAT_SAME(name, expression) \
    set_float3_variant<Op_##name, 7>(t.ternary[kTile_##name - kEndTileOps2]);
#define SN_TERNARY_NUMERIC_SAME(name, expression) \
    SN_TERNARY_FLOAT_SAME(name, expression)       \
    set_ints<Op_##name>(t.ternary[kTile_##name - kEndTileOps2]);
#define SN_TERNARY_ANY_SELECT(name, expression) \
    set_selects<Op_##name>(t.ternary[kTile_##name - kEndTileOps2]);
#include "op/elementwise_ternary.inc"
}

}  // namespace sn::cpu::SN_ISA
