// Products whose sums are cut into blocks of 128 of k (docs/design/008). SN_T: elements of b and of
// the result; a is of their compute type.
#include "device.cuh"

#include "attention_args.h"
#include "product.cuh"

using namespace sn::cuda;

SN_KERNEL(blocked_product, BlockedArgs) {
    SN_SHARED Tile tile;
    const int t = static_cast<int>(threadIdx.x);
    const int64_t per_matrix = args.tiles_m * args.tiles_n;
    const bool a_along_k = args.a_col == 1, b_along_k = args.b_row == 1;
    for (int64_t w = blockIdx.x; w < per_matrix * args.matrices; w += gridDim.x) {
        const int64_t matrix = w / per_matrix;
        const int64_t row0 = w % per_matrix / args.tiles_n * kM;
        const int64_t column0 = w % per_matrix % args.tiles_n * kN;
        const int64_t rows = args.m - row0, columns = args.n - column0;
        int64_t at[3];
        args.stacks.offsets(matrix, at);
        const A* a = static_cast<const A*>(args.a) + at[0] + row0 * args.a_row;
        const SN_T* b = static_cast<const SN_T*>(args.b) + at[1] + column0 * args.b_col;
        SN_T* c = static_cast<SN_T*>(args.c) + at[2];
        A totals[kTM][kTN] = {}, sums[kTM][kTN] = {};
        for (int64_t repeat = 0; repeat < args.repeats;
             ++repeat, a += args.a_repeat, b += args.b_repeat) {
            for (int64_t k0 = 0; k0 < args.k; k0 += kK) {
                for (int e = t; e < kM * kK; e += kBlock) {
                    const int i = a_along_k ? e / kK : e % kM, k = a_along_k ? e % kK : e / kM;
                    tile.a[k][i] = i < rows && k0 + k < args.k
                                       ? a[i * args.a_row + (k0 + k) * args.a_col]
                                       : A(0);
                }
                for (int e = t; e < kN * kK; e += kBlock) {
                    const int j = b_along_k ? e / kK : e % kN, k = b_along_k ? e % kK : e / kN;
                    tile.b[k][j] = j < columns && k0 + k < args.k
                                       ? load(b, (k0 + k) * args.b_row + j * args.b_col)
                                       : A(0);
                }
                __syncthreads();
                if (args.k - k0 >= kK) {
                    SN_UNROLL(kK)
                    for (int k = 0; k < kK; ++k) multiply(tile, k, t, sums);
                } else {
                    for (int k = 0; k < static_cast<int>(args.k - k0); ++k)
                        multiply(tile, k, t, sums);
                }
                const int64_t next = k0 + kK;
                if (next % kAttentionBlock == 0 || next >= args.k) {
                    for (int i = 0; i < kTM; ++i) {
                        const int64_t row = row_of(t, i);
                        A shrink = 1;
                        if (args.shrink && row < rows)
                            shrink = static_cast<const A*>(
                                args.shrink)[(matrix * args.m + row0 + row) * args.blocks +
                                             k0 / kAttentionBlock];
                        for (int j = 0; j < kTN; ++j) {
                            const A before = args.shrink ? totals[i][j] * shrink : totals[i][j];
                            totals[i][j] = before + sums[i][j];
                            sums[i][j] = 0;
                        }
                    }
                }
                __syncthreads();
            }
        }
        for (int i = 0; i < kTM; ++i) {
            const int64_t row = row_of(t, i);
            if (row >= rows) continue;
            const A by = args.inverse
                             ? static_cast<const A*>(args.inverse)[matrix * args.m + row0 + row]
                             : static_cast<A>(args.scale);
            for (int j = 0; j < kTN; ++j) {
                const int64_t column = column_of(t, j);
                if (column < columns)
                    store(c, (row0 + row) * args.c_row + (column0 + column) * args.c_col,
                          totals[i][j] * by + A(0));
            }
        }
    }
}
