#pragma once
// Numbers of the elementwise operations, made from the lists
// elementwise_{unary,binary,ternary}.inc.
#include <cstdint>

#include "base/dtype.h"

namespace sn {

// The dtypes that an elementwise op is defined on. Complex numbers are in none: see complex.h.
enum class TileClass : uint8_t { FLOAT, NUMERIC, INT, INTBOOL, BOOL, ANY };
// SELECT: the first argument is bool, the others and the result share the dtype.
enum class TileResult : uint8_t { SAME, BOOL, SELECT };

constexpr bool class_has(TileClass c, DType d) {
    if (is_complex(d)) return false;
    switch (c) {
        case TileClass::FLOAT: return is_float(d);
        case TileClass::NUMERIC: return !is_bool(d);
        case TileClass::INT: return is_int(d);
        case TileClass::INTBOOL: return is_int(d) || is_bool(d);
        case TileClass::BOOL: return is_bool(d);
        case TileClass::ANY: return true;
    }
    return false;
}

enum TileOp : int {
#define SN_EW1(name, ...) kTile_##name,
#include "op/elementwise_unary.inc"
#undef SN_EW1
    kNumTileOps1,
    kTile_last_unary_ = kNumTileOps1 - 1,
#define SN_EW2(name, ...) kTile_##name,
#include "op/elementwise_binary.inc"
#undef SN_EW2
    kEndTileOps2,
    kTile_last_binary_ = kEndTileOps2 - 1,
#define SN_EW3(name, ...) kTile_##name,
#include "op/elementwise_ternary.inc"
#undef SN_EW3
    kNumTileOps,
};
inline constexpr int kNumTileOps2 = kEndTileOps2 - kNumTileOps1;
inline constexpr int kNumTileOps3 = kNumTileOps - kEndTileOps2;

constexpr int tile_arity(int op) { return op < kNumTileOps1 ? 1 : op < kEndTileOps2 ? 2 : 3; }

struct TileOpInfo {
    const char* name;
    TileClass dtypes;
    TileResult result;
};
inline constexpr TileOpInfo kTileOpInfo[kNumTileOps] = {
#define SN_EW1(name, cls, res, ...) {#name, TileClass::cls, TileResult::res},
#define SN_EW2(name, cls, res, ...) {#name, TileClass::cls, TileResult::res},
#define SN_EW3(name, cls, res, ...) {#name, TileClass::cls, TileResult::res},
// clang-format off: the order is that of the numbers
#include "op/elementwise_unary.inc"
#include "op/elementwise_binary.inc"
#include "op/elementwise_ternary.inc"
// clang-format on
#undef SN_EW1
#undef SN_EW2
#undef SN_EW3
};

// The dtype an elementwise op computes in, given the promoted dtype of its operands; fails when the
// op is not defined there. `weak`: all operands are Python numbers.
DType elementwise_compute_dtype(const char* op, TileClass cls, DType dtype, bool weak);

constexpr DType tile_result(int op, DType argument) {
    return kTileOpInfo[op].result == TileResult::BOOL ? DType::kBool : argument;
}

}  // namespace sn
