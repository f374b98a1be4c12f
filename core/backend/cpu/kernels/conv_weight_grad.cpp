#include "backend/cpu/kernels/conv_tile.h"
#include "backend/cpu/kernels/conv_transpose.h"
#include "backend/cpu/part.h"
#include "backend/cpu/scratch.h"
#include "engine/pool.h"

namespace sn::cpu::SN_ISA {
namespace {

// Fewer channels than this share a register tile with other taps.
constexpr int64_t kMinChannels = 8;

template <class T>
struct WeightGrad {
    const ConvShape* shape;
    const ConvPieces* pieces;
    const T* x;
    const T* dy;
    int64_t pixels;
    OuterKind kind;
    // dw as a matrix per unit (a group's block of columns): rows are (tap, channel).
    int64_t groups, channels, cols, blocks, rows;
    // Tiles of rows, the same for every unit.
    int64_t tiles;
    const int32_t* tile_row;     // tiles + 1
    const int64_t* row_offset;   // x element of a row, relative to tap (0, 0, 0) of the pixel
    const uint32_t* tile_masks;  // [tile][class]
};

template <class T, int kVectors>
OuterTile<T> pick(OuterKind kind, bool tail, int rows) {
    switch (kind) {
        case OuterKind::kChannels:
            return pick_outer<T, kVectors, OuterKind::kChannels, false>(rows);
        case OuterKind::kRows: return pick_outer<T, kVectors, OuterKind::kRows, false>(rows);
        default: break;
    }
    return tail ? pick_outer<T, kVectors, OuterKind::kLanewise, true>(rows)
                : pick_outer<T, kVectors, OuterKind::kLanewise, false>(rows);
}

// The pieces that `tap` is valid for, moved to the pixels it reads and joined where x and dy go on.
int64_t pieces_of_tap(const ConvPieces& geometry, const ConvPiece* all, int64_t count, int64_t tap,
                      ConvPiece* out) {
    const int64_t offset = geometry.tap_offset(tap);
    int64_t n = 0;
    for (int64_t i = 0; i < count; ++i) {
        ConvPiece piece = all[i];
        if (!geometry.valid[piece.pixel_class * geometry.taps + tap]) continue;
        piece.x += offset;
        if (n > 0 && out[n - 1].dy + out[n - 1].count == piece.dy &&
            out[n - 1].x + out[n - 1].count * geometry.x_step == piece.x)
            out[n - 1].count += piece.count;
        else
            out[n++] = piece;
    }
    return n;
}

// What one segment of pixels needs, whatever the tile.
template <class T>
struct Segment {
    int64_t first, last;  // output pixels
    const ConvPiece* pieces;
    int64_t count;
    OuterArgs<T> args;
    int vectors;
    T* result;
};

template <class T>
void run_tile(const WeightGrad<T>& g, Segment<T>& s, int64_t tile) {
    const int32_t row = g.tile_row[tile];
    s.args.result = s.result + row * kTileCols<T>;
    const bool tail = s.args.tail != kLanes<T>;
    const int rows = g.tile_row[tile + 1] - row;
    const OuterTile<T> run =
        s.vectors == 2 ? pick<T, 2>(g.kind, tail, rows) : pick<T, 1>(g.kind, tail, rows);
    run(s.args);
}

// Tiles within one tap: channels outside, so that the segment's x stays in the second-level cache
// over all taps. (Copying a tile's channels next to each other, to spare the caches their scattered
// rows, costs as much as it saves: measured with 64 to 512 channels.)
template <class T>
void run_channels(const WeightGrad<T>& g, Segment<T>& s, ConvPiece* memory) {
    constexpr int64_t kTiles = 128 / kTileRows<T>;
    const int64_t taps = g.pieces->taps;
    const int64_t tiles = g.tiles / taps;
    for (int64_t t0 = 0; t0 < tiles; t0 += kTiles) {
        const int64_t t1 = t0 + kTiles < tiles ? t0 + kTiles : tiles;
        for (int64_t tap = 0; tap < taps; ++tap) {
            s.args.pieces = memory;
            s.args.pieces_end = memory + pieces_of_tap(*g.pieces, s.pieces, s.count, tap, memory);
            for (int64_t t = tap * tiles + t0; t < tap * tiles + t1; ++t) {
                const int64_t channel = g.tile_row[t] - tap * g.channels;
                s.args.row_offset = &channel;
                run_tile(g, s, t);
            }
        }
    }
}

// Adds the segments [begin, end) of one unit, left to right, into `result` ([rows][kTileCols]).
template <class T>
void add_segments(const WeightGrad<T>& g, int64_t unit, int64_t begin, int64_t end, T* result) {
    constexpr int kL = kLanes<T>;
    constexpr int kCols = kTileCols<T>;
    const ConvShape& shape = *g.shape;
    const int64_t group = unit / g.blocks, col0 = unit % g.blocks * kCols;
    const int64_t left = g.cols - col0;
    const int cols = static_cast<int>(left < kCols ? left : kCols);
    Segment<T> s;
    s.vectors = cols > kL ? 2 : 1;
    s.result = result;
    s.args.tail = cols - (s.vectors - 1) * kL;
    s.args.masks = nullptr;
    // Columns of dy with a stride of a power of two would fight for a few cache sets, and a partial
    // block must not be read past its end.
    const bool copy = s.args.tail != kL || (g.tiles > 3 && shape.out_channels != kCols);
    const bool by_channels = g.kind == OuterKind::kChannels;
    const Scratch copied(copy ? kConvPixels * kCols * sizeof(T) : 0);
    const Scratch piece_memory(2 * kConvPixels * sizeof(ConvPiece));
    ConvPiece* all = static_cast<ConvPiece*>(piece_memory.data());

    const T* const x = g.x + (g.kind == OuterKind::kLanewise ? col0 : group * g.channels);
    s.args.x_step = g.pieces->x_step;
    for (int64_t segment = begin; segment < end; ++segment) {
        s.first = segment * kConvPixels;
        s.last = s.first + kConvPixels < g.pixels ? s.first + kConvPixels : g.pixels;
        s.args.x = x;
        s.args.x_ld = shape.in_channels;
        s.args.dy = g.dy + s.first * shape.out_channels + group * g.cols + col0;
        s.args.dy_ld = shape.out_channels;
        if (copy) {
            T* to = static_cast<T*>(copied.data());
            for (int64_t p = s.first; p < s.last; ++p, to += kCols) {
                const T* from = s.args.dy + (p - s.first) * shape.out_channels;
                if (s.vectors == 2) store(to, load<Vec<T>>(from));
                const int last = (s.vectors - 1) * kL;
                store(to + last, load_head<T>(from + last, s.args.tail));
            }
            s.args.dy = static_cast<T*>(copied.data());
            s.args.dy_ld = kCols;
        }
        s.pieces = all;
        s.count = g.pieces->cut(s.first, s.last, all);
        s.args.add = segment != begin;
        if (by_channels) {
            run_channels(g, s, all + kConvPixels);
            continue;
        }
        s.args.pieces = all;
        s.args.pieces_end = all + s.count;
        for (int64_t t = 0; t < g.tiles; ++t) {
            s.args.row_offset = g.row_offset + g.tile_row[t];
            s.args.masks = g.tile_masks + t * g.pieces->classes;
            run_tile(g, s, t);
        }
    }
}

// Where the sums of one unit are, and where they go.
template <class T>
struct Sums {
    const T* from;        // [row][kTileCols], of the first group of segments
    int64_t group_count;  // groups to be added, left to right
    int64_t group_stride;
    // One vector of the finished sums.
    Vec<T> at(int64_t row, int half) const {
        const T* p = from + row * kTileCols<T> + half * kLanes<T>;
        Vec<T> sum = load<Vec<T>>(p);
        for (int64_t i = 1; i < group_count; ++i) sum += load<Vec<T>>(p + i * group_stride);
        return sum;
    }
};

// Writes channels [c0, c1) of a unit in the accumulate dtype.
template <class T>
void write_unit(const WeightGrad<T>& g, int64_t unit, int64_t c0, int64_t c1, const Sums<T>& sums,
                T* dw, const int64_t* strides) {
    const ConvShape& s = *g.shape;
    const int64_t group = unit / g.blocks, col0 = unit % g.blocks * kTileCols<T>;
    const int64_t left = g.cols - col0;
    const int cols = static_cast<int>(left < kTileCols<T> ? left : kTileCols<T>);
    const int64_t taps = g.pieces->taps, channels = g.channels;
    T* const to = dw + (group * g.cols + col0) * strides[0];
    const WeightLines lines = weight_lines(s, strides, strides[1]);
    if (strides[0] != 1 && lines.merged) {
        rows_to_lines<T>(
            [&](int64_t q, int half) { return sums.at(q % taps * channels + c0 + q / taps, half); },
            to + c0 * strides[1], strides[0], cols, (c1 - c0) * taps);
        return;
    }
    if (strides[0] != 1 && lines.taps && taps > 1) {
        for (int64_t c = c0; c < c1; ++c)
            rows_to_lines<T>(
                [&](int64_t tap, int half) { return sums.at(tap * channels + c, half); },
                to + c * strides[1], strides[0], cols, taps);
        return;
    }
    int64_t rank = 0;
    for (int64_t kd = 0; kd < s.kernel[0]; ++kd)
        for (int64_t kh = 0; kh < s.kernel[1]; ++kh)
            for (int64_t kw = 0; kw < s.kernel[2]; ++kw, ++rank) {
                T* tap = to + kd * strides[2] + kh * strides[3] + kw * strides[4];
                if (strides[0] != 1 && lines.channels) {
                    rows_to_lines<T>(
                        [&](int64_t c, int half) {
                            return sums.at(rank * channels + c0 + c, half);
                        },
                        tap + c0 * strides[1], strides[0], cols, c1 - c0);
                    continue;
                }
                for (int64_t c = c0; c < c1; ++c)
                    for (int half = 0; half * kLanes<T> < cols; ++half) {
                        const Vec<T> v = sums.at(rank * channels + c, half);
                        for (int i = 0; i < kLanes<T> && half * kLanes<T> + i < cols; ++i)
                            tap[c * strides[1] + (half * kLanes<T> + i) * strides[0]] = v[i];
                    }
            }
}

template <class T>
void run_weight_grad(WeightGrad<T>& g, T* dw, const int64_t* strides) {
    const int64_t segments = g.pixels ? (g.pixels + kConvPixels - 1) / kConvPixels : 1;
    const int64_t group_count = (segments + kConvGroup - 1) / kConvGroup;
    const int64_t units = g.groups * g.blocks;
    const int64_t unit_size = g.rows * kTileCols<T>;
    const int64_t size = units * unit_size;
    // Either every group of segments has sums of its own, or one task walks all groups of its unit:
    // the same additions in the same order, so memory and the number of threads may choose. The
    // first way reads x once for all units, while it is in the cache.
    constexpr int64_t kSmallBytes = int64_t{8} << 20, kMaxBytes = int64_t{256} << 20;
    const int64_t bytes = size * group_count * static_cast<int64_t>(sizeof(T));
    const bool split =
        group_count > 1 && bytes <= (units < 2 * pool_threads() ? kMaxBytes : kSmallBytes);
    auto last_of = [&](int64_t group) {
        const int64_t last = (group + 1) * kConvGroup;
        return last < segments ? last : segments;
    };
    if (!split) {
        parallel_for(units, 1, [&](int64_t begin, int64_t end) {
            const Scratch memory(static_cast<size_t>(2 * unit_size) * sizeof(T));
            T* const sums = static_cast<T*>(memory.data());
            T* const next = sums + unit_size;
            for (int64_t unit = begin; unit < end; ++unit) {
                add_segments(g, unit, 0, last_of(0), sums);
                for (int64_t group = 1; group < group_count; ++group) {
                    add_segments(g, unit, group * kConvGroup, last_of(group), next);
                    for (int64_t i = 0; i < unit_size; ++i) sums[i] += next[i];
                }
                write_unit<T>(g, unit, 0, g.channels, {sums, 1, 0}, dw, strides);
            }
        });
        return;
    }
    const Scratch memory(static_cast<size_t>(size * group_count) * sizeof(T));
    T* const sums = static_cast<T*>(memory.data());
    parallel_for(units * group_count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
            const int64_t unit = task % units, group = task / units;
            add_segments(g, unit, group * kConvGroup, last_of(group),
                         sums + group * size + unit * unit_size);
        }
    });
    constexpr int64_t kChannels = 32;
    const int64_t pieces = (g.channels + kChannels - 1) / kChannels;
    parallel_for(units * pieces, 4, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
            const int64_t unit = task / pieces, c0 = task % pieces * kChannels;
            const int64_t c1 = c0 + kChannels < g.channels ? c0 + kChannels : g.channels;
            write_unit<T>(g, unit, c0, c1, {sums + unit * unit_size, group_count, size}, dw,
                          strides);
        }
    });
}

template <class T>
void weight_grad_as(const ConvShape& s, const T* x, const T* dy, T* dw, const int64_t* strides) {
    const ConvPieces pieces(s);
    WeightGrad<T> g;
    g.shape = &s;
    g.pieces = &pieces;
    g.x = x;
    g.dy = dy;
    g.pixels = s.batch * s.out[0] * s.out[1] * s.out[2];
    const bool lanewise = conv_is_depthwise(s);
    g.groups = lanewise ? 1 : s.groups;
    g.channels = lanewise ? 1 : s.in_channels / s.groups;
    g.cols = s.out_channels / g.groups;
    g.blocks = (g.cols + kTileCols<T> - 1) / kTileCols<T>;
    g.rows = pieces.taps * g.channels;
    if (g.rows == 0 || g.cols == 0) return;
    g.kind = lanewise                     ? OuterKind::kLanewise
             : g.channels >= kMinChannels ? OuterKind::kChannels
                                          : OuterKind::kRows;

    // Rows of dw in tiles of even height, within a tap where a tap has channels enough.
    const int64_t span = g.kind == OuterKind::kChannels ? g.channels : g.rows;
    const int64_t per_span = (span + kTileRows<T> - 1) / kTileRows<T>;
    g.tiles = g.rows / span * per_span;
    const int64_t masks = g.kind == OuterKind::kChannels ? 0 : g.tiles * pieces.classes;
    const Scratch memory(static_cast<size_t>(g.rows) * sizeof(int64_t) +
                         static_cast<size_t>(g.tiles + 1) * sizeof(int32_t) +
                         static_cast<size_t>(masks) * sizeof(uint32_t));
    int64_t* row_offset = static_cast<int64_t*>(memory.data());
    int32_t* tile_row = reinterpret_cast<int32_t*>(row_offset + g.rows);
    uint32_t* tile_masks = reinterpret_cast<uint32_t*>(tile_row + g.tiles + 1);
    for (int64_t row = 0; row < g.rows; ++row)
        row_offset[row] = pieces.tap_offset(row / g.channels) * s.in_channels + row % g.channels;
    for (int64_t t = 0; t <= g.tiles; ++t)
        tile_row[t] = static_cast<int32_t>(t / per_span * span + t % per_span * span / per_span);
    if (masks)
        for (int64_t t = 0; t < g.tiles; ++t)
            for (int64_t c = 0; c < pieces.classes; ++c) {
                uint32_t mask = 0;
                for (int32_t row = tile_row[t]; row < tile_row[t + 1]; ++row)
                    if (pieces.valid[c * pieces.taps + row / g.channels])
                        mask |= 1u << (row - tile_row[t]);
                tile_masks[t * pieces.classes + c] = mask;
            }
    g.row_offset = row_offset;
    g.tile_row = tile_row;
    g.tile_masks = tile_masks;
    run_weight_grad(g, dw, strides);
}

}  // namespace

SN_PART(conv_weight_grad, f32,
        (const ConvShape& s, const void* x, const void* dy, void* dw, const int64_t* strides)) {
    weight_grad_as(s, static_cast<const float*>(x), static_cast<const float*>(dy),
                   static_cast<float*>(dw), strides);
}
SN_PART(conv_weight_grad, f64,
        (const ConvShape& s, const void* x, const void* dy, void* dw, const int64_t* strides)) {
    weight_grad_as(s, static_cast<const double*>(x), static_cast<const double*>(dy),
                   static_cast<double*>(dw), strides);
}

void conv_weight_grad(const ConvShape& s, const void* x, const void* dy, void* dw,
                      const int64_t dw_strides[5]) {
    check_conv(s, "conv_weight_grad");
    if (s.dtype == DType::kF64) {
        SN_PART_NAME(conv_weight_grad, f64)(s, x, dy, dw, dw_strides);
        return;
    }
    if (s.dtype == DType::kF32) {
        SN_PART_NAME(conv_weight_grad, f32)(s, x, dy, dw, dw_strides);
        return;
    }
    // 16-bit floats: f32 copies of both sides, and a dense f32 result that is rounded once.
    const int64_t x_size = s.batch * s.in[0] * s.in[1] * s.in[2] * s.in_channels;
    const int64_t dy_size = s.batch * s.out[0] * s.out[1] * s.out[2] * s.out_channels;
    const int64_t size[5] = {s.out_channels, s.in_channels / s.groups, s.kernel[0], s.kernel[1],
                             s.kernel[2]};
    int64_t dense[5], dw_size = 1;
    for (int i = 4; i >= 0; --i) dense[i] = dw_size, dw_size *= size[i];
    const Scratch memory(static_cast<size_t>(x_size + dy_size + dw_size) * sizeof(float));
    float* const x32 = static_cast<float*>(memory.data());
    float* const dy32 = x32 + x_size;
    float* const dw32 = dy32 + dy_size;
    convert_tensor_to_f32(s.dtype, x, x32, x_size);
    convert_tensor_to_f32(s.dtype, dy, dy32, dy_size);
    SN_PART_NAME(conv_weight_grad, f32)(s, x32, dy32, dw32, dense);
    uint16_t* const out = static_cast<uint16_t*>(dw);
    for (int64_t row = 0; row < dw_size / size[4]; ++row) {
        int64_t at = 0, rest = row;
        for (int i = 3; i >= 0; --i) at += rest % size[i] * dw_strides[i], rest /= size[i];
        for (int64_t kw = 0; kw < size[4]; ++kw)
            convert_from_f32(s.dtype, dw32 + row * size[4] + kw, out + at + kw * dw_strides[4], 1);
    }
}

}  // namespace sn::cpu::SN_ISA
