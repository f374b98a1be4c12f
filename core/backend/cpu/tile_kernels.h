#pragma once
// Table of the tile loops: what the tile interpreter calls. One table per instruction set.
//
// A tile is a contiguous run of elements in the compute representation of its dtype: bool one byte
// (0 or 1), integers and f32, f64 as they are, f16 and bf16 as f32 storage that holds representable
// values. Every loop takes any n and any alignment, gives the same bits for an element wherever it
// stands in the tile, and allows dst to be exactly one of its arguments (when the elements have the
// same size).
#include <cstdint>

#include "base/dtype.h"
#include "op/elementwise.h"

namespace sn::cpu {

using TileFn1 = void (*)(void* dst, const void* a, int64_t n);
using TileFn2 = void (*)(void* dst, const void* a, const void* b, int64_t n);
using TileFn3 = void (*)(void* dst, const void* a, const void* b, const void* c, int64_t n);
using TileExpSumFn = void (*)(void* dst, const void* a, const void* b, int64_t n, float* sum);
// Strides count elements. Memory representation on one side, tile on the other.
using TileGatherFn = void (*)(void* tile, const void* memory, int64_t stride, int64_t n);
using TileScatterFn = void (*)(void* memory, int64_t stride, const void* tile, int64_t n);
// tile[i] = start + (first + i) * step. start and step are double for floats, int64 for integers.
using TileIotaFn = void (*)(void* tile, const void* start, const void* step, int64_t first,
                            int64_t n);
// A transposition: dst + j * dj holds the row i = 0..ni, src + i * si the row j = 0..nj (in bytes).
using TransposeFn = void (*)(char* dst, const char* src, int64_t ni, int64_t nj, int64_t dj,
                             int64_t si);

// Which arguments point to one element instead of n: bit i for argument i. All arguments scalar is
// not a case (compute one element instead).
enum TileVariant : int { kVectorVector = 0, kScalarVector = 1, kVectorScalar = 2 };

// Two operations in one loop: second(first(a, b), c), or second(c, first(a, b)) when `swapped`.
// Each step rounds by itself, so the result is that of the two separate loops.
struct FusedPair {
    TileOp first, second;
    bool swapped;
};
inline constexpr FusedPair kFusedPairs[] = {
    {kTile_multiply, kTile_add, false},      {kTile_multiply, kTile_add, true},
    {kTile_multiply, kTile_subtract, false}, {kTile_multiply, kTile_subtract, true},
    {kTile_multiply, kTile_multiply, false}, {kTile_multiply, kTile_multiply, true},
    {kTile_add, kTile_multiply, false},      {kTile_add, kTile_multiply, true},
    {kTile_subtract, kTile_multiply, false}, {kTile_subtract, kTile_multiply, true},
    {kTile_add, kTile_add, false},           {kTile_add, kTile_add, true},
};
inline constexpr int kNumFusedPairs = sizeof(kFusedPairs) / sizeof(kFusedPairs[0]);

// The index in kFusedPairs, or -1.
constexpr int find_fused_pair(int first, int second, bool swapped) {
    for (int i = 0; i < kNumFusedPairs; ++i) {
        const FusedPair& p = kFusedPairs[i];
        if (p.first == first && p.second == second && p.swapped == swapped) return i;
    }
    return -1;
}

// The same with a second operation of one argument: second(first(a, b)).
struct FusedTail {
    TileOp first, second;
};
inline constexpr FusedTail kFusedTails[] = {{kTile_subtract, kTile_exp}};
inline constexpr int kNumFusedTails = sizeof(kFusedTails) / sizeof(kFusedTails[0]);

constexpr int find_fused_tail(int first, int second) {
    for (int i = 0; i < kNumFusedTails; ++i) {
        if (kFusedTails[i].first == first && kFusedTails[i].second == second) return i;
    }
    return -1;
}

// A longer program with a loop of its own, that keeps what lies between in registers: f32 only, and
// each step rounds by itself. Step k's arguments are inputs, or earlier steps (kChainStep + k).
inline constexpr int kMaxChainInputs = 8, kMaxChainSteps = 8, kMaxChainResults = 3;
inline constexpr int8_t kChainStep = 16;
struct TileChain {
    struct Step {
        int op;
        int8_t args[3];
    };
    const char* name;
    int num_inputs, num_steps, num_results;
    uint32_t scalars;  // bit i: input i is one element
    Step steps[kMaxChainSteps];
    int8_t results[kMaxChainResults];  // steps, ascending; the last step is one of them
};
inline constexpr TileChain kTileChains[] = {
    // The update of Adam and AdamW: both moments, then the parameter. Inputs: first moment,
    // gradient, its weight, second moment, its weight, rate, eps, parameter.
    {"adam",
     8,
     7,
     3,
     0b01110100,
     {{kTile_lerp, {0, 1, 2}},
      {kTile_multiply, {1, 1, -1}},
      {kTile_lerp, {3, kChainStep + 1, 4}},
      {kTile_multiply, {kChainStep + 0, 5, -1}},
      {kTile_sqrt, {kChainStep + 2, -1, -1}},
      {kTile_add, {kChainStep + 4, 6, -1}},
      {kTile_addcdiv, {7, kChainStep + 3, kChainStep + 5}}},
     {0, 2, 6}},
};
inline constexpr int kNumTileChains = sizeof(kTileChains) / sizeof(kTileChains[0]);
using TileChainFn = void (*)(void* const* results, const void* const* inputs, int64_t n);

// Null where the op is not defined on the dtype. The dtype is that of the arguments (for `where`,
// that of the second and third).
struct TileKernels {
    TileFn1 unary[kNumTileOps1][kNumDTypes];
    TileFn2 binary[kNumTileOps2][kNumDTypes][3];   // by TileVariant
    TileFn3 ternary[kNumTileOps3][kNumDTypes][8];  // bit i: argument i is one element
    TileFn3 fused[kNumFusedPairs][kNumDTypes][8];  // floats only; bits for a, b, c

    TileFn2 fused_tail[kNumFusedTails][kNumDTypes][3];  // floats only
    TileChainFn chains[kNumTileChains];
    // f32: dst = exp(a - b[0]) for n <= kReduceBlock elements, and their sum by the tree.
    TileExpSumFn exp_sum;

    TileFn1 cast[kNumDTypes][kNumDTypes];  // [from][to], between tiles
    TileFn1 load[kNumDTypes];              // contiguous memory -> tile
    TileFn1 store[kNumDTypes];             // tile -> contiguous memory
    // Copies n bytes past the caches where the machine can; the writer ends with finish_stream().
    TileFn1 stream;
    void (*finish_stream)();
    TileGatherFn gather[kNumDTypes];
    TileScatterFn scatter[kNumDTypes];
    TransposeFn transpose[4];  // by log2 of the element's size; memory representation on both sides
    TileFn1 fill[kNumDTypes];  // every element of the tile = a[0], a tile element
    TileIotaFn iota[kNumDTypes];

    TileFn1 op1(int op, DType d) const { return unary[op][static_cast<int>(d)]; }
    TileFn2 op2(int op, DType d, int variant) const {
        return binary[op - kNumTileOps1][static_cast<int>(d)][variant];
    }
    TileFn3 op3(int op, DType d, int scalars) const {
        return ternary[op - kEndTileOps2][static_cast<int>(d)][scalars];
    }
};

#define SN_TILE_DECLARE(isa)                         \
    namespace isa {                                  \
    const TileKernels& tile_kernels();               \
    void register_tile_unary_f32(TileKernels& t);    \
    void register_tile_unary_f64(TileKernels& t);    \
    void register_tile_unary_other(TileKernels& t);  \
    void register_tile_binary_float(TileKernels& t); \
    void register_tile_binary_int(TileKernels& t);   \
    void register_tile_compare(TileKernels& t);      \
    void register_tile_ternary(TileKernels& t);      \
    void register_tile_fused(TileKernels& t);        \
    void register_tile_chains(TileKernels& t);       \
    void register_tile_cast(TileKernels& t);         \
    void register_tile_move(TileKernels& t);         \
    }
SN_TILE_DECLARE(v2)
SN_TILE_DECLARE(avx2)
SN_TILE_DECLARE(avx512)
SN_TILE_DECLARE(neon)
#undef SN_TILE_DECLARE

// Size of one element of a tile.
constexpr size_t tile_element_size(DType d) { return dtype_size(compute_dtype(d)); }

}  // namespace sn::cpu
