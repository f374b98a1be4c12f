#pragma once
#include "args.h"

namespace sn::cuda {

// Keys, and in gradients queries, are summed in blocks (docs/design/008).
inline constexpr int kAttentionBlock = 128;
inline constexpr int kAttentionRows = 16;  // of scores that a block of threads works on

// Rows of scores of some matrices (batch entries and heads): [matrix][query][key].
struct ScoreArgs {
    void* scores;  // products of queries and keys; probabilities replace them
    int64_t matrices, first_matrix, queries, keys, blocks;
    double scale;
    int64_t left, right;
    const void* mask;  // or null
    int32_t truth;     // the mask is bool: where it is false, nothing is seen
    int32_t dropped;
    Strided<1> mask_at;  // [all matrices][query][key]
    uint64_t seed, draw, limit;
    double kept;  // what a number that is not dropped is multiplied by
    // forward
    void* shrink;       // [row][block]: what sums of earlier blocks are multiplied by
    void* inverse;      // [row]
    void* lse;          // in the compute type, of all matrices
    Strided<1> lse_at;  // [all matrices][query]
    // backward
    void* slopes;  // products of the results' gradients and the values; the scores' gradients
    const void* out;
    const void* dout;
    int64_t width;               // of a value
    Strided<1> out_at, dout_at;  // [all matrices][query][feature]
    void* mask_grad;             // or null
    Strided<1> mask_grad_at;
};

// c = (sums over blocks of k of chains) * scale + 0, for a of the compute type.
struct BlockedArgs {
    const void* a;
    const void* b;
    void* c;
    int64_t m, n, k, matrices;
    int64_t repeats, a_repeat, b_repeat;  // matrices that are summed one after the other
    int64_t a_row, a_col, b_row, b_col, c_row, c_col;
    int64_t tiles_m, tiles_n;
    const void* shrink;   // [matrix][row][block], or null
    const void* inverse;  // [matrix][row], or null: `scale`
    int64_t blocks;
    double scale;
    Strided<3> stacks;
};

}  // namespace sn::cuda
