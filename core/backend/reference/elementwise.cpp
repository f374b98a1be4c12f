// The elementwise operations: the lists of core/op/elementwise_*.inc, instantiated with one number.
#include <type_traits>

#include "backend/reference/reference.h"
#include "op/elementwise.h"
#include "op/math.h"

namespace sn::reference {
namespace {

#define SN_EW1(name, cls, res, expression, ...) \
    struct Op_##name {                          \
        template <class V>                      \
        static auto apply(const V* v) {         \
            const V x = v[0];                   \
            return (expression);                \
        }                                       \
    };
#define SN_EW2(name, cls, res, expression, ...) \
    struct Op_##name {                          \
        template <class V>                      \
        static auto apply(const V* v) {         \
            const V x = v[0], y = v[1];         \
            return (expression);                \
        }                                       \
    };
#define SN_EW3(name, cls, res, expression, ...)   \
    struct Op_##name {                            \
        template <class V>                        \
        static auto apply(const V* v) {           \
            const V x = v[0], y = v[1], z = v[2]; \
            return (expression);                  \
        }                                         \
    };
// clang-format off
#include "op/elementwise_unary.inc"
#include "op/elementwise_binary.inc"
#include "op/elementwise_ternary.inc"
// clang-format on
#undef SN_EW1
#undef SN_EW2
#undef SN_EW3

template <class Op, class T, int op>
Cell run(const Cell* args) {
    if constexpr (kTileOpInfo[op].result == TileResult::SELECT) {
        return args[0].get<uint8_t>() ? args[1] : args[2];
    } else {
        T values[3];
        for (int i = 0; i < tile_arity(op); ++i) values[i] = args[i].get<T>();
        if constexpr (kTileOpInfo[op].result == TileResult::BOOL)
            return Cell::of<uint8_t>(Op::apply(values) ? 1 : 0);
        else
            return Cell::of<T>(static_cast<T>(Op::apply(values)));
    }
}

template <class Op, int op, DType d, class T>
constexpr CellFn entry() {
    if constexpr (class_has(kTileOpInfo[op].dtypes, d))
        return run<Op, T, op>;
    else
        return nullptr;
}

template <class Op, int op>
CellFn find(DType dtype) {
    switch (dtype) {
        case DType::kBool: return entry<Op, op, DType::kBool, bool>();
        case DType::kI8: return entry<Op, op, DType::kI8, int8_t>();
        case DType::kI16: return entry<Op, op, DType::kI16, int16_t>();
        case DType::kI32: return entry<Op, op, DType::kI32, int32_t>();
        case DType::kI64: return entry<Op, op, DType::kI64, int64_t>();
        case DType::kU8: return entry<Op, op, DType::kU8, uint8_t>();
        case DType::kU16: return entry<Op, op, DType::kU16, uint16_t>();
        case DType::kU32: return entry<Op, op, DType::kU32, uint32_t>();
        case DType::kU64: return entry<Op, op, DType::kU64, uint64_t>();
        case DType::kF64: return entry<Op, op, DType::kF64, double>();
        default: return entry<Op, op, DType::kF32, float>();
    }
}

using FindFn = CellFn (*)(DType);
constexpr FindFn kFind[kNumTileOps] = {
#define SN_EW1(name, ...) find<Op_##name, kTile_##name>,
#define SN_EW2(name, ...) find<Op_##name, kTile_##name>,
#define SN_EW3(name, ...) find<Op_##name, kTile_##name>,
// clang-format off
#include "op/elementwise_unary.inc"
#include "op/elementwise_binary.inc"
#include "op/elementwise_ternary.inc"
// clang-format on
#undef SN_EW1
#undef SN_EW2
#undef SN_EW3
};

// The next f16 or bf16 is not the next f32 rounded: 16-bit patterns are counted.
template <DType dtype>
Cell next_half(const Cell* args) {
    const float x = args[0].get<float>(), y = args[1].get<float>();
    if (x != x) return args[0];
    if (y != y || x == y) return args[1];
    uint64_t bits = 0;
    store_cell(dtype, &bits, args[0]);
    const bool away = (x < y) == (x > 0.0f);  // the magnitude grows
    bits = x == 0.0f ? (y < 0.0f ? 0x8001 : 1) : away ? bits + 1 : bits - 1;
    return load_cell(dtype, &bits);
}

}  // namespace

CellFn elementwise(int tile_op, DType dtype) {
    if (tile_op == kTile_nextafter && dtype == DType::kF16) return next_half<DType::kF16>;
    if (tile_op == kTile_nextafter && dtype == DType::kBF16) return next_half<DType::kBF16>;
    return kFind[tile_op](dtype);
}

}  // namespace sn::reference
