#pragma once
#include "backend/cpu/conv_plan.h"
#include "backend/cpu/kernels/tile_steps.h"
#include "backend/cpu/simd.h"

namespace sn::cpu::SN_ISA {

// The register tile: kTileRows pixels (or rows of dw) by two vectors of channels. Twelve rows leave
// room for two vectors of weights and a broadcast in 32 registers, six in 16. Code for ARM is
// large, and libsennit is to have three megabytes at most: there, tiles of f64 are half as high,
// which is still more chains than the multipliers can start. No bit depends on the height.
#if defined(__AVX512F__) || defined(__aarch64__)
template <class T>
inline constexpr int kTileRows = 12;
#if defined(__aarch64__) && defined(SN_RUNTIME)
template <>
inline constexpr int kTileRows<double> = 6;
#endif
#else
template <class T>
inline constexpr int kTileRows = 6;
#endif
inline constexpr int kTileVectors = 2;
template <class T>
inline constexpr int kTileCols = kTileVectors * kLanes<T>;

#if defined(__AVX2__) && !defined(__AVX512F__)
alignas(32) static constexpr int32_t kHeadMask32[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
alignas(32) static constexpr int64_t kHeadMask64[8] = {-1, -1, -1, -1};
#endif

// The first n lanes of a vector, without touching memory behind them.
template <class T>
SN_INLINE Vec<T> load_head(const T* p, int n) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        return (Vec<T>)__builtin_ia32_loadups512_mask(p, Vec<T>{}, (unsigned short)((1u << n) - 1));
    else
        return (Vec<T>)__builtin_ia32_loadupd512_mask(p, Vec<T>{}, (unsigned char)((1u << n) - 1));
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4)
        return (Vec<T>)__builtin_ia32_maskloadps256((const F32*)p, load<I32>(kHeadMask32 + 8 - n));
    else
        return (Vec<T>)__builtin_ia32_maskloadpd256((const F64*)p,
                                                    load<VecN<long long, 4>>(kHeadMask64 + 4 - n));
#else
    return load_part<Vec<T>>(p, n);
#endif
}
template <class T>
SN_INLINE void store_head(T* p, Vec<T> v, int n) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        __builtin_ia32_storeups512_mask(p, v, (unsigned short)((1u << n) - 1));
    else
        __builtin_ia32_storeupd512_mask(p, v, (unsigned char)((1u << n) - 1));
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4)
        __builtin_ia32_maskstoreps256((F32*)p, load<I32>(kHeadMask32 + 8 - n), v);
    else
        __builtin_ia32_maskstorepd256((F64*)p, load<VecN<long long, 4>>(kHeadMask64 + 4 - n), v);
#else
    store_part(p, v, n);
#endif
}

// Vector j of kVectors; the last one has `tail` lanes in memory when kTail.
template <class T, bool kTail, int kVectors>
SN_INLINE Vec<T> load_lanes(const T* p, int j, int tail) {
    if (kTail && j == kVectors - 1) return load_head<T>(p + j * kLanes<T>, tail);
    return load<Vec<T>>(p + j * kLanes<T>);
}

// Loops over the rows of a tile must be gone before registers are allocated: a loop that is left
// would keep the accumulators in memory.
#define SN_UNROLL _Pragma("GCC unroll 16")

// Register tiles of a forward or data-gradient pass over one segment of k: `tiles` of them, of one
// class and height, one behind the other, each over `blocks` blocks of columns side by side.
template <class T>
struct GatherArgs {
    const T* source;  // of the group of images, at the first channel
    const int64_t* pixel_base;
    const int32_t* pixel_row;
    int64_t tiles;
    // A tile asks for this many source elements of each pixel of the next one, from `fetch_from`
    // on; 0: it does not.
    int64_t fetch_length, fetch_from;
    const int64_t* pixel_end;  // behind the chunk's last pixel_base
    const ConvRun* runs;
    const ConvRun* runs_end;
    int64_t blocks;
    const T* weight;      // [k][kTileCols]
    int64_t weight_step;  // elements from block to block
    T* result;            // of the chunk, at the first column
    int64_t result_ld;
    const T* sums;  // like result: of the segments before, if any
    int64_t sums_ld;
    int tail;  // lanes of the last vector (kTail kernels, of one block)
    bool add;  // a later segment: added to `sums`
    // The last segment: what is done before the result is stored, or null, and where in the matrix
    // the chunk and the columns are.
    const TileSteps* steps;
    int64_t first_row, first_col;
    const T* ahead;  // a matrix that `steps` reads, placed like result, or null
};

// Lanes are result channels. A plain convolution broadcasts a source channel to them, a depthwise
// one (kLanewise) multiplies channel by channel.
template <class T, int kRows, int kVectors, bool kLanewise, bool kTail>
void gather_tiles(const GatherArgs<T>& args) {
    using V = Vec<T>;
    constexpr int kL = kLanes<T>;
    constexpr int kLine = 64 / static_cast<int>(sizeof(T));
    const int64_t* base = args.pixel_base;
    const int32_t* row = args.pixel_row;
    T* const result_end = args.result + args.blocks * kTileCols<T>;
    for (int64_t tile = args.tiles; tile > 0; --tile, base += kRows, row += kRows) {
        const T* p[kRows];
        SN_UNROLL
        for (int i = 0; i < kRows; ++i) p[i] = args.source + base[i];
        int64_t at[kRows];  // of the rows in the result
        SN_UNROLL
        for (int i = 0; i < kRows; ++i) at[i] = row[i] * args.result_ld;
        const T* weight = args.weight;
        // The result's lines arrive while the sums are made; otherwise the stores would wait for
        // them.
        const auto ask = [&](const T* y) __attribute__((always_inline)) {
            SN_UNROLL
            for (int i = 0; i < kRows; ++i) {
                SN_UNROLL
                for (int j = 0; j < kVectors * kL; j += kLine) __builtin_prefetch(y + at[i] + j, 1);
            }
        };
        if (args.fetch_length) {
            const int64_t* const end =
                base + 2 * kRows < args.pixel_end ? base + 2 * kRows : args.pixel_end;
            for (const int64_t* next = base + kRows; next < end; ++next) {
                const T* from = args.source + *next + args.fetch_from;
                for (int64_t c = 0; c < args.fetch_length; c += kLine)
                    __builtin_prefetch(from + c, 0, 2);
            }
        }
        if constexpr (!kLanewise) ask(args.result);
        for (T* y = args.result; y != result_end; y += kTileCols<T>, weight += args.weight_step) {
            const int64_t moved = y - args.result;
            if (args.ahead) {
                SN_UNROLL
                for (int i = 0; i < kRows; ++i) {
                    SN_UNROLL
                    for (int j = 0; j < kVectors * kL; j += kLine)
                        __builtin_prefetch(args.ahead + moved + at[i] + j);
                }
            }
            if constexpr (!kLanewise) ask(y + kTileCols<T>);
            V acc[kRows][kVectors] = {};
            for (const ConvRun* run = args.runs; run != args.runs_end; ++run) {
                const T* w = weight + static_cast<int64_t>(run->k) * kTileCols<T>;
                int64_t c = run->offset;
                if constexpr (kLanewise) c += moved;
                // The runs of a depthwise convolution are single taps.
                const int64_t end = c + (kLanewise ? 1 : run->length);
                for (; c < end; ++c, w += kTileCols<T>) {
                    V b[kVectors];
                    for (int j = 0; j < kVectors; ++j) b[j] = load<V>(w + j * kL);
                    SN_UNROLL
                    for (int i = 0; i < kRows; ++i) {
                        if constexpr (kLanewise) {
                            for (int j = 0; j < kVectors; ++j) {
                                const V a = load_lanes<T, kTail, kVectors>(p[i] + c, j, args.tail);
                                acc[i][j] = fma(a, b[j], acc[i][j]);
                            }
                        } else {
                            const V a = splat<T>(p[i][c]);
                            for (int j = 0; j < kVectors; ++j) acc[i][j] = fma(a, b[j], acc[i][j]);
                        }
                    }
                }
            }
            if (args.add) {
                SN_UNROLL
                for (int i = 0; i < kRows; ++i) {
                    const T* from = args.sums + moved + row[i] * args.sums_ld;
                    SN_UNROLL
                    for (int j = 0; j < kVectors; ++j)
                        acc[i][j] = load_lanes<T, kTail, kVectors>(from, j, args.tail) + acc[i][j];
                }
            }
            if (args.steps) {
                run_tile_steps<T>(
                    *args.steps, args.first_col + moved, acc,
                    [&](const T* of, int j) __attribute__((always_inline)) {
                        if (kTail && j == kVectors - 1) return load_head<T>(of, args.tail);
                        return load<V>(of);
                    },
                    [&](int i) __attribute__((always_inline)) { return args.first_row + row[i]; });
            }
            SN_UNROLL
            for (int i = 0; i < kRows; ++i) {
                SN_UNROLL
                for (int j = 0; j < kVectors; ++j)
                    if (kTail && j == kVectors - 1)
                        store_head<T>(y + at[i] + j * kL, acc[i][j], args.tail);
                    else
                        store(y + at[i] + j * kL, acc[i][j]);
            }
        }
    }
}

// One register tile of a weight gradient over one segment of pixels.
template <class T>
struct OuterArgs {
    const T* x;                 // at the first channel of the group (and of the lanes, if lanewise)
    int64_t x_ld;               // elements from pixel to pixel
    const int64_t* row_offset;  // x element of each row of dw, relative to the pixel
    const ConvPiece* pieces;
    const ConvPiece* pieces_end;
    const uint32_t* masks;  // rows that a piece's class contributes to
    int64_t x_step;         // pixels
    const T* dy;            // of the segment, at the first column
    int64_t dy_ld;
    T* result;  // [rows][kTileCols]
    int tail;
    bool add;
};

enum class OuterKind { kChannels, kRows, kLanewise };

// kChannels: rows are consecutive channels of one tap, and every piece counts for all of them.
// kRows: rows are any (tap, channel) pairs, with masks at the image's border. kLanewise: depthwise,
// rows are taps.
template <class T, int kRows, int kVectors, OuterKind kKind, bool kTail>
void outer_tile(const OuterArgs<T>& args) {
    using V = Vec<T>;
    constexpr int kL = kLanes<T>;
    constexpr uint32_t kAll = (1u << kRows) - 1;
    // Consecutive channels need one pointer, with the row as a constant offset.
    constexpr bool kOnePointer = kKind == OuterKind::kChannels;
    const T* p[kRows];
    SN_UNROLL
    for (int i = 0; i < kRows; ++i) p[i] = args.x + args.row_offset[kOnePointer ? 0 : i];
    V acc[kRows][kVectors] = {};
    // The sums so far were last touched a whole segment ago.
    if (args.add) {
        SN_UNROLL
        for (int i = 0; i < kRows; ++i) SN_UNROLL
        for (int j = 0; j < kVectors; ++j)
            __builtin_prefetch(args.result + i * kTileCols<T> + j * kL, 1);
    }
    const int64_t x_step = args.x_step * args.x_ld, dy_ld = args.dy_ld;
    for (const ConvPiece* piece = args.pieces; piece != args.pieces_end; ++piece) {
        const T* dy = args.dy + piece->dy * dy_ld;
        const T* dy_end = dy + piece->count * dy_ld;
        int64_t x = piece->x * args.x_ld;
        const uint32_t mask = kKind == OuterKind::kChannels ? kAll : args.masks[piece->pixel_class];
        if constexpr (kOnePointer) {
            for (const T* px = p[0] + x; dy != dy_end; dy += dy_ld, px += x_step) {
                V b[kVectors];
                for (int j = 0; j < kVectors; ++j) b[j] = load<V>(dy + j * kL);
                SN_UNROLL
                for (int i = 0; i < kRows; ++i) {
                    const V a = splat<T>(px[i]);
                    for (int j = 0; j < kVectors; ++j) acc[i][j] = fma(a, b[j], acc[i][j]);
                }
            }
        } else if (mask == kAll) {
            for (; dy != dy_end; dy += dy_ld, x += x_step) {
                V b[kVectors];
                for (int j = 0; j < kVectors; ++j) b[j] = load<V>(dy + j * kL);
                SN_UNROLL
                for (int i = 0; i < kRows; ++i) {
                    if constexpr (kKind == OuterKind::kLanewise) {
                        for (int j = 0; j < kVectors; ++j) {
                            const V a = load_lanes<T, kTail, kVectors>(p[i] + x, j, args.tail);
                            acc[i][j] = fma(a, b[j], acc[i][j]);
                        }
                    } else {
                        const V a = splat<T>(p[i][x]);
                        for (int j = 0; j < kVectors; ++j) acc[i][j] = fma(a, b[j], acc[i][j]);
                    }
                }
            }
        } else if (mask != 0) {
            for (; dy != dy_end; dy += dy_ld, x += x_step) {
                V b[kVectors];
                for (int j = 0; j < kVectors; ++j) b[j] = load<V>(dy + j * kL);
                SN_UNROLL
                for (int i = 0; i < kRows; ++i) {
                    if (!(mask >> i & 1)) continue;
                    for (int j = 0; j < kVectors; ++j) {
                        V a;
                        if constexpr (kKind == OuterKind::kLanewise)
                            a = load_lanes<T, kTail, kVectors>(p[i] + x, j, args.tail);
                        else
                            a = splat<T>(p[i][x]);
                        acc[i][j] = fma(a, b[j], acc[i][j]);
                    }
                }
            }
        }
    }
    if (args.add) {
        SN_UNROLL
        for (int i = 0; i < kRows; ++i) SN_UNROLL
        for (int j = 0; j < kVectors; ++j)
            acc[i][j] = load<V>(args.result + i * kTileCols<T> + j * kL) + acc[i][j];
    }
    SN_UNROLL
    for (int i = 0; i < kRows; ++i) SN_UNROLL
    for (int j = 0; j < kVectors; ++j) store(args.result + i * kTileCols<T> + j * kL, acc[i][j]);
}

// Kernels by the number of rows.
template <class T>
using GatherTile = void (*)(const GatherArgs<T>&);
template <class T>
using OuterTile = void (*)(const OuterArgs<T>&);

#define SN_SIX_ROWS SN_ROWS(1), SN_ROWS(2), SN_ROWS(3), SN_ROWS(4), SN_ROWS(5), SN_ROWS(6)
#define SN_TWELVE_ROWS \
    SN_SIX_ROWS, SN_ROWS(7), SN_ROWS(8), SN_ROWS(9), SN_ROWS(10), SN_ROWS(11), SN_ROWS(12)

template <class T, int kVectors, bool kLanewise, bool kTail>
GatherTile<T> pick_gather(int rows) {
#define SN_ROWS(n) &gather_tiles<T, n, kVectors, kLanewise, kTail>
    if constexpr (kTileRows<T> == 12) {
        static constexpr GatherTile<T> table[] = {SN_TWELVE_ROWS};
        return table[rows - 1];
    } else {
        static constexpr GatherTile<T> table[] = {SN_SIX_ROWS};
        return table[rows - 1];
    }
#undef SN_ROWS
}

template <class T, int kVectors, OuterKind kKind, bool kTail>
OuterTile<T> pick_outer(int rows) {
#define SN_ROWS(n) &outer_tile<T, n, kVectors, kKind, kTail>
    if constexpr (kTileRows<T> == 12) {
        static constexpr OuterTile<T> table[] = {SN_TWELVE_ROWS};
        return table[rows - 1];
    } else {
        static constexpr OuterTile<T> table[] = {SN_SIX_ROWS};
        return table[rows - 1];
    }
#undef SN_ROWS
}
#undef SN_TWELVE_ROWS
#undef SN_SIX_ROWS

// n elements of a 16-bit float as f32, and back with one rounding.
void convert_to_f32(DType from, const void* source, float* result, int64_t n);
void convert_from_f32(DType to, const float* source, void* result, int64_t n);
// A whole tensor, in parallel.
void convert_tensor_to_f32(DType from, const void* source, float* result, int64_t n);

void conv_weight_grad(const ConvShape& shape, const void* x, const void* dy, void* dw,
                      const int64_t dw_strides[5]);

}  // namespace sn::cpu::SN_ISA
