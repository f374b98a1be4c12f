// Products of matrices. SN_T: elements of a and b; SN_C: of c; a block of threads makes a tile of
// SN_M x SN_N of c, a thread SN_TM x SN_TN of it. SN_LONG: 1 where a block sums several segments.
#include "chain.cuh"
#include "matmul_args.h"
#if defined(SN_M)
#include "product.cuh"
#endif

using namespace sn::cuda;

#if defined(SN_M)
SN_KERNEL(matmul, MatmulArgs) {
    SN_SHARED Tile tiles[2];
    const int t = static_cast<int>(threadIdx.x);
    const int64_t per_matrix = args.tiles_m * args.tiles_n, per_part = per_matrix * args.batch;
    const bool a_along_k = args.a_col == 1, b_along_k = args.b_row == 1;
    for (int64_t w = blockIdx.x; w < per_part * args.parts; w += gridDim.x) {
        const int64_t part = w / per_part, matrix = w % per_part / per_matrix;
        // Tiles go in bands of eight rows of tiles, whose operands stay in the cache.
        const int64_t in_matrix = w % per_matrix, band = in_matrix / (8 * args.tiles_n);
        const int64_t height = smaller(args.tiles_m - band * 8, 8);
        const int64_t in_band = in_matrix - band * 8 * args.tiles_n;
        const int64_t row0 = (band * 8 + in_band % height) * kM, column0 = in_band / height * kN;
        int64_t at[3];
        args.stacks.offsets(matrix, at);
        const SN_T* a = static_cast<const SN_T*>(args.a) + at[0] + row0 * args.a_row;
        const SN_T* b = static_cast<const SN_T*>(args.b) + at[1] + column0 * args.b_col;
        SN_C* c = static_cast<SN_C*>(args.c) + part * args.part_step + at[2];
        const int64_t begin = args.parts > 1 ? part * kSegment : 0;
        const int64_t end = args.parts > 1 ? smaller(begin + kSegment, args.k) : args.k;
        const int64_t rows = args.m - row0, columns = args.n - column0;

        A next_a[kFetchA], next_b[kFetchB];
        const auto fetch = [&](int64_t k0) {
            SN_UNROLL(kFetchA)
            for (int f = 0; f < kFetchA; ++f) {
                const int e = t + f * kBlock;
                const int i = a_along_k ? e / kK : e % kM, k = a_along_k ? e % kK : e / kM;
                next_a[f] = i < rows && k0 + k < end
                                ? static_cast<A>(load(a, i * args.a_row + (k0 + k) * args.a_col))
                                : A(0);
            }
            SN_UNROLL(kFetchB)
            for (int f = 0; f < kFetchB; ++f) {
                const int e = t + f * kBlock;
                const int j = b_along_k ? e / kK : e % kN, k = b_along_k ? e % kK : e / kN;
                next_b[f] = j < columns && k0 + k < end
                                ? static_cast<A>(load(b, (k0 + k) * args.b_row + j * args.b_col))
                                : A(0);
            }
        };
        const auto put = [&](Tile& tile) {
            SN_UNROLL(kFetchA)
            for (int f = 0; f < kFetchA; ++f) {
                const int e = t + f * kBlock;
                const int i = a_along_k ? e / kK : e % kM, k = a_along_k ? e % kK : e / kM;
                tile.a[k][i] = next_a[f];
            }
            SN_UNROLL(kFetchB)
            for (int f = 0; f < kFetchB; ++f) {
                const int e = t + f * kBlock;
                const int j = b_along_k ? e / kK : e % kN, k = b_along_k ? e % kK : e / kN;
                tile.b[k][j] = next_b[f];
            }
        };

        A sums[kTM][kTN] = {};
#if SN_LONG
        A totals[kTM][kTN] = {};
#endif
        int side = 0;
        if (begin < end) {
            fetch(begin);
            put(tiles[0]);
        }
        __syncthreads();
        for (int64_t k0 = begin; k0 < end; k0 += kK, side ^= 1) {
#if SN_LONG
            if (k0 > begin && k0 % kSegment == 0) {
                for (int i = 0; i < kTM; ++i)
                    for (int j = 0; j < kTN; ++j) {
                        totals[i][j] = k0 == kSegment ? sums[i][j] : totals[i][j] + sums[i][j];
                        sums[i][j] = 0;
                    }
            }
#endif
            const bool more = k0 + kK < end;
            if (more) fetch(k0 + kK);
            if (end - k0 >= kK) {
                SN_UNROLL(kK)
                for (int k = 0; k < kK; ++k) multiply(tiles[side], k, t, sums);
            } else {  // never with zeros at the end: they would make +0 of -0
                for (int k = 0; k < static_cast<int>(end - k0); ++k)
                    multiply(tiles[side], k, t, sums);
            }
            if (more) put(tiles[side ^ 1]);
            __syncthreads();
        }
        for (int i = 0; i < kTM; ++i) {
            const int64_t row = row_of(t, i);
            for (int j = 0; j < kTN; ++j) {
                const int64_t column = column_of(t, j);
                if (row >= rows || column >= columns) continue;
                A sum = sums[i][j];
#if SN_LONG
                if (end > kSegment) sum = totals[i][j] + sum;
#endif
                store(c, (row0 + row) * args.c_row + (column0 + column) * args.c_col,
                      static_cast<Compute<SN_C>>(sum));
            }
        }
    }
}
#else

using A = Accumulator<SN_T>;

SN_KERNEL(add_parts, AddPartsArgs) {
    const A* parts = static_cast<const A*>(args.parts);
    SN_C* to = static_cast<SN_C*>(args.to);
    for (int64_t i = grid_index(); i < args.count; i += grid_stride()) {
        A sum = parts[i];
        for (int64_t p = 1; p < args.part_count; ++p) sum = sum + parts[p * args.count + i];
        store(to, args.strided.offset(i), static_cast<Compute<SN_C>>(sum));
    }
}
#endif
