// Convolutions, their data gradients (SN_PASS 0) and weight gradients (SN_PASS 1) as products whose
// rows are gathered. A tap outside of the image is left out of its row's chain, not multiplied by
// 0. SN_T: elements; SN_C: of the result; SN_M ...: the tile (product.cuh); without them one thread
// makes one element, for groups of few channels.
#include "device.cuh"

#include "window_args.h"
#if defined(SN_M)
#include "product.cuh"
#else
#include "chain.cuh"
#endif

using namespace sn::cuda;

// The position in the source of a tap, in one dimension; -1: there is none.
SN_DEVICE int64_t source_position(const ConvArgs& args, int d, int64_t position, int64_t tap) {
    int64_t at = position * args.factor[d] + args.start[d] + tap * args.step[d];
    if (at < 0) return -1;
    if (args.divisor[d] != 1) {
        const int64_t whole = at / args.divisor[d];
        if (whole * args.divisor[d] != at) return -1;
        at = whole;
    }
    return at < args.source_shape[d] ? at : -1;
}

struct Pixel {
    int64_t batch, at[3];
};
SN_DEVICE Pixel pixel_of(int64_t index, const int64_t* shape) {
    Pixel p;
    for (int d = 2; d >= 0; --d) {
        const int64_t rest = index / shape[d];
        p.at[d] = index - rest * shape[d];
        index = rest;
    }
    p.batch = index;
    return p;
}
struct Tap {
    int64_t at[3], channel;
};
// Taps run outside, the source's channels inside.
SN_DEVICE Tap tap_of(const ConvArgs& args, int64_t index) {
    Tap t;
    int64_t rest = index / args.depth;
    t.channel = index - rest * args.depth;
    for (int d = 2; d >= 0; --d) {
        const int64_t next = rest / args.kernel[d];
        t.at[d] = rest - next * args.kernel[d];
        rest = next;
    }
    return t;
}
// Where a tap of a pixel is in the source, without the channels of earlier groups; -1: outside.
SN_DEVICE int64_t source_offset(const ConvArgs& args, const Pixel& p, const Tap& tap) {
    int64_t offset = p.batch * args.source_strides[0] + tap.channel * args.source_strides[1];
    for (int d = 0; d < 3; ++d) {
        const int64_t at = source_position(args, d, p.at[d], tap.at[d]);
        if (at < 0) return -1;
        offset += at * args.source_strides[2 + d];
    }
    return offset;
}
SN_DEVICE int64_t pixel_offset(const ConvArgs& args, const Pixel& p) {
    int64_t offset = p.batch * args.pixel_strides[0];
    for (int d = 0; d < 3; ++d) offset += p.at[d] * args.pixel_strides[2 + d];
    return offset;
}

#if defined(SN_M)
SN_KERNEL(conv, ConvArgs) {
    SN_SHARED Tile tiles[2];
    SN_SHARED uint8_t valid[2][kK][kM];
    // Whether all rows of a slice have their taps; three, since one is read while the next is
    // written and the one after that is cleared.
    SN_SHARED int whole[3];
    const int t = static_cast<int>(threadIdx.x);
    const int64_t per_group = args.tiles_m * args.tiles_n, per_part = per_group * args.groups;
    const SN_T* source = static_cast<const SN_T*>(args.source);
    const SN_T* factors = static_cast<const SN_T*>(args.factors);
    for (int64_t w = blockIdx.x; w < per_part * args.parts; w += gridDim.x) {
        const int64_t part = w / per_part, group = w % per_part / per_group;
        const int64_t row0 = w % per_group % args.tiles_m * kM;
        const int64_t column0 = w % per_group / args.tiles_m * kN;
        const int64_t begin = part * args.part, end = smaller(begin + args.part, args.k);
        const int64_t rows = args.rows - row0, columns = args.columns - column0;
        const int64_t first_channel = group * args.depth * args.source_strides[1];

        A next_a[kFetchA], next_b[kFetchB];
        bool next_valid[kFetchA];
        const auto fetch = [&](int64_t k0) {
            SN_UNROLL(kFetchA)
            for (int f = 0; f < kFetchA; ++f) {
                const int e = t + f * kBlock;
                // Neighbouring threads read neighbouring channels.
                const int i = SN_PASS ? e % kM : e / kK, k = SN_PASS ? e / kM : e % kK;
                next_a[f] = 0;
                next_valid[f] = true;
                if (i >= rows || k0 + k >= end) continue;
                const int64_t pixel = SN_PASS ? k0 + k : row0 + i,
                              tap = SN_PASS ? row0 + i : k0 + k;
                const int64_t from =
                    source_offset(args, pixel_of(pixel, args.pixel_shape), tap_of(args, tap));
                next_valid[f] = from >= 0;
                if (from >= 0) next_a[f] = load(source, first_channel + from);
            }
            SN_UNROLL(kFetchB)
            for (int f = 0; f < kFetchB; ++f) {
                const int e = t + f * kBlock;
                const int j = e % kN, k = e / kN;
                next_b[f] = 0;
                if (j >= columns || k0 + k >= end) continue;
                if constexpr (SN_PASS) {
                    const Pixel p = pixel_of(k0 + k, args.pixel_shape);
                    const int64_t feature = group * args.columns + column0 + j;
                    next_b[f] =
                        load(factors, pixel_offset(args, p) + feature * args.pixel_strides[1]);
                } else {
                    next_b[f] =
                        load(factors, (group * args.k + k0 + k) * args.columns + column0 + j);
                }
            }
        };
        const auto put = [&](int side, int flag) {
            bool all = true;
            SN_UNROLL(kFetchA)
            for (int f = 0; f < kFetchA; ++f) {
                const int e = t + f * kBlock;
                const int i = SN_PASS ? e % kM : e / kK, k = SN_PASS ? e / kM : e % kK;
                tiles[side].a[k][i] = next_a[f];
                valid[side][k][i] = next_valid[f];
                all = all && next_valid[f];
            }
            SN_UNROLL(kFetchB)
            for (int f = 0; f < kFetchB; ++f) {
                const int e = t + f * kBlock;
                tiles[side].b[e / kN][e % kN] = next_b[f];
            }
            if (!all) whole[flag] = 0;
        };

        A sums[kTM][kTN] = {};
        uint32_t seen = 0;  // rows with a tap in the segment
#if SN_LONG
        A totals[kTM][kTN] = {};
        uint32_t any = 0;  // rows with a segment that is closed
        const auto close = [&] {
            for (int i = 0; i < kTM; ++i) {
                if (!(seen >> i & 1)) continue;
                for (int j = 0; j < kTN; ++j) {
                    totals[i][j] = any >> i & 1 ? totals[i][j] + sums[i][j] : sums[i][j];
                    sums[i][j] = 0;
                }
            }
            any |= seen;
            seen = 0;
        };
#endif
        __syncthreads();  // the block may come from another tile
        if (t < 3) whole[t] = 1;
        __syncthreads();
        if (begin < end) {
            fetch(begin);
            put(0, 0);
        }
        __syncthreads();
        int side = 0, flag = 0;
        for (int64_t k0 = begin; k0 < end; k0 += kK) {
#if SN_LONG
            if (k0 > begin && k0 % args.segment == 0) close();
#endif
            const bool more = k0 + kK < end;
            if (more) fetch(k0 + kK);
            const int count = static_cast<int>(smaller(end - k0, kK));
            if (whole[flag] && count == kK) {
                SN_UNROLL(kK)
                for (int k = 0; k < kK; ++k) multiply(tiles[side], k, t, sums);
                seen = ~0u;
            } else {
                for (int k = 0; k < count; ++k) {
                    const Tile& tile = tiles[side];
                    for (int i = 0; i < kTM; ++i) {
                        const int row = row_of(t, i);
                        if (!valid[side][k][row]) continue;
                        seen |= 1u << i;
                        const A a = tile.a[k][row];
                        for (int j = 0; j < kTN; ++j)
                            sums[i][j] = multiply_add(a, tile.b[k][column_of(t, j)], sums[i][j]);
                    }
                }
            }
            const int next_flag = flag == 2 ? 0 : flag + 1;
            if (more) put(side ^ 1, next_flag);
            if (t == 0) whole[next_flag == 2 ? 0 : next_flag + 1] = 1;
            __syncthreads();
            side ^= 1;
            flag = next_flag;
        }
#if SN_LONG
        close();
#endif
        for (int i = 0; i < kTM; ++i) {
            const int64_t row = row_of(t, i);
            if (row >= rows) continue;
            int64_t at = 0;
            if constexpr (!SN_PASS) at = pixel_offset(args, pixel_of(row0 + row, args.pixel_shape));
            for (int j = 0; j < kTN; ++j) {
                const int64_t column = column_of(t, j);
                if (column >= columns) continue;
#if SN_LONG
                const A sum = totals[i][j];
#else
                const A sum = sums[i][j];
#endif
                if constexpr (SN_PASS) {
                    const int64_t line = (part * args.groups + group) * args.rows + row0 + row;
                    static_cast<A*>(args.result)[line * args.columns + column0 + column] = sum;
                } else {
                    const int64_t channel = group * args.columns + column0 + column;
                    store(static_cast<SN_C*>(args.result), at + channel * args.pixel_strides[1],
                          sum);
                }
            }
        }
    }
}
#else

// The chain of one element over [begin, end) of k.
template <class F>
SN_DEVICE Compute<SN_T> chain(int64_t begin, int64_t end, int64_t segment, F term) {
    using A = Compute<SN_T>;
    A total = 0, sum = 0;
    bool any = false, seen = false;
    for (int64_t k = begin; k < end; ++k) {
        if (k % segment == 0 && seen) {
            total = any ? total + sum : sum;
            any = true;
            seen = false;
            sum = 0;
        }
        A a, b;
        if (!term(k, &a, &b)) continue;
        seen = true;
        sum = multiply_add(a, b, sum);
    }
    if (seen) total = any ? total + sum : sum;
    return total;
}

SN_KERNEL(conv_elements, ConvArgs) {
    const SN_T* source = static_cast<const SN_T*>(args.source);
    const SN_T* factors = static_cast<const SN_T*>(args.factors);
    const int64_t channels = args.columns * args.groups;
    for (int64_t e = grid_index(); e < args.rows * channels * args.parts; e += grid_stride()) {
        const int64_t channel = e % channels, row = e / channels % args.rows;
        const int64_t part = e / channels / args.rows;
        const int64_t group = channel / args.columns, column = channel % args.columns;
        const int64_t first_channel = group * args.depth * args.source_strides[1];
        const int64_t begin = part * args.part, end = smaller(begin + args.part, args.k);
        if constexpr (SN_PASS) {
            const Tap tap = tap_of(args, row);
            static_cast<Compute<SN_T>*>(
                args.result)[((part * args.groups + group) * args.rows + row) * args.columns +
                             column] =
                chain(begin, end, args.segment, [&](int64_t k, Compute<SN_T>* a, Compute<SN_T>* b) {
                    const Pixel p = pixel_of(k, args.pixel_shape);
                    const int64_t from = source_offset(args, p, tap);
                    if (from < 0) return false;
                    *a = load(source, first_channel + from);
                    *b = load(factors, pixel_offset(args, p) + channel * args.pixel_strides[1]);
                    return true;
                });
        } else {
            const Pixel p = pixel_of(row, args.pixel_shape);
            store(
                static_cast<SN_C*>(args.result),
                pixel_offset(args, p) + channel * args.pixel_strides[1],
                chain(begin, end, args.segment, [&](int64_t k, Compute<SN_T>* a, Compute<SN_T>* b) {
                    const int64_t from = source_offset(args, p, tap_of(args, k));
                    if (from < 0) return false;
                    *a = load(source, first_channel + from);
                    *b = load(factors, (group * args.k + k) * args.columns + column);
                    return true;
                }));
        }
    }
}
#endif
