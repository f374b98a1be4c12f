#include "backend/cpu/conv.h"

#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels/conv_tile.h"
#include "backend/cpu/kernels/conv_transpose.h"
#include "backend/cpu/part.h"
#include "backend/cpu/scratch.h"
#include "engine/pool.h"

namespace sn::cpu::SN_ISA {
namespace {

// The packed weight of a pass: [group][column block][k][kTileCols], zeros behind the last column.
// A depthwise convolution has one group whose columns are the channels and whose k are the taps.
struct Packing {
    int64_t groups, cols, channels, taps, k;
    bool reversed;
    // Strides of the source by group, column and channel.
    int64_t group_stride, col_stride, channel_stride;
};

Packing packing_of(const ConvShape& s, ConvPass pass, const int64_t* strides) {
    Packing p;
    const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
    p.taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
    p.reversed = pass == ConvPass::kDataGrad;
    if (conv_is_depthwise(s)) {
        p.groups = 1, p.cols = s.groups, p.channels = 1;
        p.group_stride = 0, p.col_stride = strides[0], p.channel_stride = 0;
    } else {
        p.groups = s.groups;
        p.group_stride = out * strides[0];
        p.cols = p.reversed ? in : out;
        p.channels = p.reversed ? out : in;
        p.col_stride = strides[p.reversed ? 1 : 0];
        p.channel_stride = strides[p.reversed ? 0 : 1];
    }
    p.k = p.taps * p.channels;
    return p;
}

int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t blocks_of(int64_t cols, int64_t width) { return (cols + width - 1) / width; }

// Channels [c0, c1) of one block of columns: `from` is the block's first column, `to` its rows.
template <class T>
void pack_block(const ConvShape& s, const Packing& p, const int64_t* strides, const T* from, T* to,
                int cols, int64_t c0, int64_t c1) {
    const WeightLines lines = weight_lines(s, strides, p.channel_stride);
    const int64_t taps = p.taps, channels = p.channels;
    const int64_t first = p.reversed ? taps - 1 : 0, step = p.reversed ? -1 : 1;
    const T* base = from + c0 * p.channel_stride;
    if (p.col_stride != 1 && lines.merged) {
        int64_t tap = 0, c = c0;
        lines_to_rows<T>(base, p.col_stride, cols, (c1 - c0) * taps, to, [&](int64_t q) {
            c = c0 + q / taps, tap = q % taps;
            return (first + step * tap) * channels + c;
        });
        return;
    }
    if (p.col_stride != 1 && lines.taps && taps > 1) {
        for (int64_t c = c0; c < c1; ++c)
            lines_to_rows<T>(from + c * p.channel_stride, p.col_stride, cols, taps, to,
                             [&](int64_t tap) { return (first + step * tap) * channels + c; });
        return;
    }
    int64_t rank = 0;
    for (int64_t kd = 0; kd < s.kernel[0]; ++kd)
        for (int64_t kh = 0; kh < s.kernel[1]; ++kh)
            for (int64_t kw = 0; kw < s.kernel[2]; ++kw, ++rank) {
                const T* tap = base + kd * strides[2] + kh * strides[3] + kw * strides[4];
                T* rows = to + ((first + step * rank) * channels + c0) * kTileCols<T>;
                if (p.col_stride != 1 && lines.channels) {
                    lines_to_rows<T>(tap, p.col_stride, cols, c1 - c0, rows,
                                     [](int64_t c) { return c; });
                    continue;
                }
                for (int64_t c = c0; c < c1; ++c, tap += p.channel_stride, rows += kTileCols<T>)
                    for (int i = 0; i < kTileCols<T>; ++i)
                        rows[i] = i < cols ? tap[i * p.col_stride] : T{0};
            }
}

template <class T>
void pack_weight_as(const ConvShape& s, ConvPass pass, const ConvWeight& w, T* packed) {
    const Packing p = packing_of(s, pass, w.strides);
    const int64_t blocks = blocks_of(p.cols, kTileCols<T>);
    const T* source = static_cast<const T*>(w.data);
    // Channels are cut as well, so that few columns still use every thread.
    constexpr int64_t kChannels = 32;
    const int64_t pieces = blocks_of(p.channels, kChannels);
    parallel_for(p.groups * blocks * pieces, 4, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
            const int64_t b = task / pieces, c0 = task % pieces * kChannels;
            const int64_t group = b / blocks, col0 = b % blocks * kTileCols<T>;
            pack_block<T>(s, p, w.strides, source + group * p.group_stride + col0 * p.col_stride,
                          packed + b * p.k * kTileCols<T>,
                          static_cast<int>(min_of(p.cols - col0, kTileCols<T>)), c0,
                          min_of(c0 + kChannels, p.channels));
        }
    });
}

}  // namespace

SN_PART(conv__pack, f32, (const ConvShape& s, ConvPass pass, const ConvWeight& w, void* packed)) {
    pack_weight_as<float>(s, pass, w, static_cast<float*>(packed));
}
SN_PART(conv__pack, f64, (const ConvShape& s, ConvPass pass, const ConvWeight& w, void* packed)) {
    pack_weight_as<double>(s, pass, w, static_cast<double*>(packed));
}

namespace {

size_t packed_weight_bytes(const ConvShape& s, ConvPass pass) {
    const int64_t strides[5] = {};
    const Packing p = packing_of(s, pass, strides);
    const size_t size = s.dtype == DType::kF64 ? sizeof(double) : sizeof(float);
    const int64_t width = s.dtype == DType::kF64 ? kTileCols<double> : kTileCols<float>;
    return static_cast<size_t>(p.groups * blocks_of(p.cols, width) * p.k * width) * size;
}

void pack_weight(const ConvShape& s, ConvPass pass, const ConvWeight& w, void* packed) {
    if (s.dtype == DType::kF64) {
        SN_PART_NAME(conv__pack, f64)(s, pass, w, packed);
    } else if (s.dtype == DType::kF32) {
        SN_PART_NAME(conv__pack, f32)(s, pass, w, packed);
    } else {
        // Any dense permutation of the dimensions spans exactly as many elements as it has.
        const int64_t size[5] = {s.out_channels, s.in_channels / s.groups, s.kernel[0], s.kernel[1],
                                 s.kernel[2]};
        int64_t span = 1;
        for (int i = 0; i < 5; ++i) span += (size[i] - 1) * w.strides[i];
        const Scratch widened(static_cast<size_t>(span) * sizeof(float));
        ConvWeight wide = w;
        wide.data = widened.data();
        convert_tensor_to_f32(s.dtype, w.data, static_cast<float*>(widened.data()), span);
        SN_PART_NAME(conv__pack, f32)(s, pass, wide, packed);
    }
}

// What a pass computes, with the sides of forward and data gradient told apart.
template <class T>
struct Gather {
    DType dtype;
    const T* source;
    const T* packed;
    void* result;
    int64_t groups, group_source, group_cols, result_channels;
    bool lanewise;
    bool fetches;  // a tile asks for the source pixels that the next one reads first
    const Epilogue* epilogue;
};

// The hardware does not see rows of pixels coming when each is long (1x1 with many channels: 68 ->
// 78 % of the peak) or when they come from memory (depthwise: a third of the time of a large
// batch). Otherwise asking costs up to a tenth.
bool fetches_ahead(const ConvShape& s, int64_t source_size, int64_t channels) {
    const int64_t size = s.dtype == DType::kF64 ? 8 : 4;
    constexpr int64_t kLongRow = 1 << 10, kCacheBytes = int64_t{4} << 20;
    bool one_tap = true, one_step = true;
    for (int d = 0; d < 3; ++d) {
        one_tap = one_tap && s.kernel[d] == 1;
        one_step = one_step && s.stride[d] == 1;
    }
    if (conv_is_depthwise(s)) return one_step && source_size * size >= kCacheBytes;
    return one_tap && (channels / s.groups * size >= kLongRow || source_size * size >= kCacheBytes);
}

// Tiles of depthwise convolutions; `tile` is a GatherTile.
template <class T>
void pick_lanewise(int vectors, bool tail, int rows, void* tile) {
    *static_cast<GatherTile<T>*>(tile) = vectors == 2 ? tail ? pick_gather<T, 2, true, true>(rows)
                                                             : pick_gather<T, 2, true, false>(rows)
                                         : tail       ? pick_gather<T, 1, true, true>(rows)
                                                      : pick_gather<T, 1, true, false>(rows);
}

}  // namespace

SN_PART(conv_lanewise, f32, (int vectors, bool tail, int rows, void* tile)) {
    pick_lanewise<float>(vectors, tail, rows, tile);
}
SN_PART(conv_lanewise, f64, (int vectors, bool tail, int rows, void* tile)) {
    pick_lanewise<double>(vectors, tail, rows, tile);
}

namespace {

template <class T, int kVectors>
GatherTile<T> pick(bool lanewise, bool tail, int rows) {
    if (lanewise) {
        GatherTile<T> tile;
        if constexpr (sizeof(T) == sizeof(double))
            SN_PART_NAME(conv_lanewise, f64)(kVectors, tail, rows, &tile);
        else
            SN_PART_NAME(conv_lanewise, f32)(kVectors, tail, rows, &tile);
        return tile;
    }
    return tail ? pick_gather<T, kVectors, false, true>(rows)
                : pick_gather<T, kVectors, false, false>(rows);
}

// The matrix that `steps` adds, if it is laid out like the result, at a row and column.
template <class T>
const T* matrix_of(const TileSteps* steps, int64_t ld, int64_t row, int64_t col) {
    for (int i = 0; steps && i < steps->count; ++i) {
        const TileOperand& of = steps->steps[i].of[0];
        if (steps->steps[i].kind == TileStepKind::kAdd &&
            of.row_bytes == ld * static_cast<int64_t>(sizeof(T)) && of.col_bytes != 0)
            return reinterpret_cast<const T*>(of.data) + row * ld + col;
    }
    return nullptr;
}

// One chunk of pixels by `count` blocks of columns of a group.
template <class T>
void gather_blocks(const ConvPlan& plan, const Gather<T>& g, int64_t task, int64_t group,
                   int64_t block, int64_t count) {
    constexpr int kL = kLanes<T>;
    constexpr int64_t kCols = kTileCols<T>;
    constexpr DType kDType = sizeof(T) == 8 ? DType::kF64 : DType::kF32;
    const ConvPlan::Task t = plan.task(task);
    const int64_t col0 = block * kCols;
    const int64_t cols = min_of(count * kCols, g.group_cols - col0);
    const int64_t blocks = blocks_of(g.group_cols, kCols);
    const int64_t first_row = t.first_image * plan.result_image + t.chunk->first_row;
    const int64_t first_col = group * g.group_cols + col0;
    const TileSteps* const steps = g.epilogue ? g.epilogue->steps : nullptr;
    const bool direct = g.epilogue ? g.epilogue->tile_in_output : g.dtype == kDType;
    const int64_t scratch_ld = count * kCols;
    const bool in_scratch = !direct && (!steps || plan.segments > 1);
    const Scratch scratch(in_scratch ? static_cast<size_t>(t.chunk->rows * scratch_ld) * sizeof(T)
                                     : 0);

    // Where the result goes, and where the sums of the segments are until then.
    const int64_t result_ld =
        steps ? steps->result_row_bytes / static_cast<int64_t>(sizeof(T)) : g.result_channels;
    T* const output = static_cast<T*>(steps ? static_cast<void*>(steps->result) : g.result) +
                      (steps || direct ? first_row * result_ld + first_col : 0);
    T* const sums = in_scratch ? static_cast<T*>(scratch.data()) : output;
    const int64_t sums_ld = in_scratch ? scratch_ld : result_ld;
    T* const result = steps ? output : sums;
    const T* const source =
        g.source + t.first_image * plan.source_image + (g.lanewise ? col0 : group * g.group_source);
    const T* const weight = g.packed + (group * blocks + block) * plan.k * kCols;
    GatherArgs<T> args;
    args.sums_ld = sums_ld;
    args.first_row = first_row;
    args.weight_step = plan.k * kCols;
    const T* const ahead = matrix_of<T>(steps, result_ld, first_row, first_col);
    // With whole blocks of columns and others, the pixels that one call has read should still be
    // near for the next.
    constexpr int64_t kNearBytes = 8 << 10;
    const bool one_call = cols % kCols == 0 || cols < kCols;
    const ConvTile* const tiles_end = plan.tiles + t.chunk->tile_end;
    args.pixel_end = plan.pixel_base + tiles_end[-1].first + tiles_end[-1].rows;
    for (int64_t segment = 0; segment < plan.segments; ++segment)
        for (const ConvTile *tile = plan.tiles + t.chunk->tile_begin, *next; tile != tiles_end;
             tile = next) {
            next = tile + 1;
            const int32_t* begin = plan.run_begin + tile->pixel_class * (plan.segments + 1);
            // A segment without valid taps adds nothing; pixels without any still become zero.
            const bool nothing_at_all = begin[0] == begin[plan.segments];
            if (begin[segment] == begin[segment + 1] && !(nothing_at_all && segment == 0)) continue;
            const int64_t tile_bytes = tile->rows * plan.k * static_cast<int64_t>(sizeof(T));
            const int64_t most = one_call ? INT32_MAX : 1 + kNearBytes / (tile_bytes + 1);
            while (next != tiles_end && next->pixel_class == tile->pixel_class &&
                   next->rows == tile->rows && next - tile < most)
                ++next;
            const bool last = begin[segment + 1] == begin[plan.segments];
            args.tiles = next - tile;
            args.add = begin[segment] != begin[0];
            args.steps = last ? steps : nullptr;
            args.result_ld = last && steps ? result_ld : sums_ld;
            args.runs = plan.runs + begin[segment];
            args.runs_end = plan.runs + begin[segment + 1];
            args.pixel_base = plan.pixel_base + tile->first;
            args.pixel_row = plan.pixel_row + tile->first;
            args.fetch_length = 0;
            if (g.fetches && args.runs != args.runs_end) {
                const ConvRun& run = args.runs_end[-1];
                args.fetch_from = run.offset;
                args.fetch_length = g.lanewise ? cols : run.length;
            }
            // All whole blocks, then what is left.
            for (int64_t b = 0; b < count; b += args.blocks) {
                const int64_t whole = cols / kCols - b;
                const int left = whole > 0 ? kCols : static_cast<int>(cols - b * kCols);
                const int vectors = left > kL ? 2 : 1;
                args.blocks = whole > 0 ? whole : 1;
                args.tail = left - (vectors - 1) * kL;
                // Scratch is as wide as the tile; source lanes and the output itself are not.
                const bool tail = args.tail != kL && (direct || steps || g.lanewise);
                args.source = source + (g.lanewise ? b * kCols : 0);
                args.weight = weight + b * args.weight_step;
                args.result = (last ? result : sums) + b * kCols;
                args.sums = sums + b * kCols;
                args.first_col = first_col + b * kCols;
                args.ahead = last && ahead ? ahead + b * kCols : nullptr;
                const GatherTile<T> run = vectors == 2 ? pick<T, 2>(g.lanewise, tail, tile->rows)
                                                       : pick<T, 1>(g.lanewise, tail, tile->rows);
                run(args);
                args.fetch_length = 0;
            }
        }

    if (steps) return;
    if (g.epilogue) {
        g.epilogue->run(g.epilogue->context, sums, sums_ld, 0, first_row, t.chunk->rows, first_col,
                        cols);
    } else if (!direct) {
        for (int64_t r = 0; r < t.chunk->rows; ++r)
            convert_from_f32(
                g.dtype, reinterpret_cast<const float*>(sums) + r * scratch_ld,
                static_cast<uint16_t*>(g.result) + (first_row + r) * g.result_channels + first_col,
                cols);
    }
}

template <class T>
void run_gather(const ConvPlan& plan, const Gather<T>& g) {
    const int64_t blocks = blocks_of(g.group_cols, kTileCols<T>);
    // Blocks whose weights stay in the second-level cache together are done tile by tile, so that
    // pixels are read and written whole; fewer when threads would have nothing to do.
    constexpr int64_t kCacheBytes = 256 << 10, kMaxBlocks = 8;
    const int64_t depth = min_of(plan.k, kGemmSegment);
    const int64_t block_bytes = depth * kTileCols<T> * static_cast<int64_t>(sizeof(T));
    int64_t count = block_bytes ? kCacheBytes / block_bytes : 1;
    count = plan.whole_rows ? blocks : min_of(min_of(count, kMaxBlocks), blocks);
    if (count < 1) count = 1;
    while (count > 1 &&
           plan.task_count * g.groups * blocks_of(blocks, count) < 4 * int64_t{pool_threads()})
        count = (count + 1) / 2;
    const int64_t pieces = blocks_of(blocks, count);
    parallel_for(plan.task_count * g.groups * pieces, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const int64_t column = i % (g.groups * pieces);
            const int64_t block = column % pieces * count;
            gather_blocks<T>(plan, g, i / (g.groups * pieces), column / pieces, block,
                             min_of(count, blocks - block));
        }
    });
}

}  // namespace

// `gather`: a Gather of the dtype.
SN_PART(conv, f32, (const ConvPlan& plan, const void* gather)) {
    run_gather<float>(plan, *static_cast<const Gather<float>*>(gather));
}
SN_PART(conv, f64, (const ConvPlan& plan, const void* gather)) {
    run_gather<double>(plan, *static_cast<const Gather<double>*>(gather));
}

namespace {

void run_pass(const ConvShape& s, ConvPass pass, const char* op, const void* source,
              const ConvWeight& w, void* result, const Epilogue* epilogue) {
    check_conv(s, op);
    const bool forward = pass == ConvPass::kForward;
    const int64_t* in = forward ? s.in : s.out;
    const int64_t source_channels = forward ? s.in_channels : s.out_channels;
    const int64_t result_channels = forward ? s.out_channels : s.in_channels;
    const int64_t source_size = s.batch * in[0] * in[1] * in[2] * source_channels;
    const int rows = s.dtype == DType::kF64 ? kTileRows<double> : kTileRows<float>;
    const ConvPlanOwner owner(s, pass, rows);
    if (owner.plan.task_count == 0 || result_channels == 0) return;

    const Scratch weights(w.packed ? 0 : packed_weight_bytes(s, pass));
    const void* packed = w.packed;
    if (!packed) {
        pack_weight(s, pass, w, weights.data());
        packed = weights.data();
    }
    const bool narrow = dtype_size(s.dtype) == 2;
    const Scratch widened(narrow ? static_cast<size_t>(source_size) * sizeof(float) : 0);
    if (narrow) {
        convert_tensor_to_f32(s.dtype, source, static_cast<float*>(widened.data()), source_size);
        source = widened.data();
    }
    const bool lanewise = conv_is_depthwise(s);
    const int64_t groups = lanewise ? 1 : s.groups;
    const bool fetches = fetches_ahead(s, source_size, source_channels);
    const auto gather = [&]<class T>(const T* from) {
        return Gather<T>{s.dtype,
                         from,
                         static_cast<const T*>(packed),
                         result,
                         groups,
                         source_channels / groups,
                         result_channels / groups,
                         result_channels,
                         lanewise,
                         fetches,
                         epilogue};
    };
    if (s.dtype == DType::kF64) {
        const auto wide = gather(static_cast<const double*>(source));
        SN_PART_NAME(conv, f64)(owner.plan, &wide);
    } else {
        const auto single = gather(static_cast<const float*>(source));
        SN_PART_NAME(conv, f32)(owner.plan, &single);
    }
}

void forward(const ConvShape& s, const void* x, const ConvWeight& w, void* y,
             const Epilogue* epilogue) {
    run_pass(s, ConvPass::kForward, "conv", x, w, y, epilogue);
}

void data_grad(const ConvShape& s, const void* dy, const ConvWeight& w, void* dx,
               const Epilogue* epilogue) {
    run_pass(s, ConvPass::kDataGrad, "conv_transpose", dy, w, dx, epilogue);
}

}  // namespace

void convert_to_f32(DType from, const void* source, float* result, int64_t n) {
    constexpr int kL = kLanes<float>;
    const uint16_t* h = static_cast<const uint16_t*>(source);
    const bool half = from == DType::kF16;
    int64_t i = 0;
    for (; i + kL <= n; i += kL) {
        const H16 v = load<H16>(h + i);
        store(result + i, half ? f16_to_f32(v) : bf16_to_f32(v));
    }
    if (i < n) {
        const H16 v = load_part<H16>(h + i, n - i);
        store_part(result + i, half ? f16_to_f32(v) : bf16_to_f32(v), n - i);
    }
}

void convert_from_f32(DType to, const float* source, void* result, int64_t n) {
    constexpr int kL = kLanes<float>;
    uint16_t* h = static_cast<uint16_t*>(result);
    const bool half = to == DType::kF16;
    int64_t i = 0;
    for (; i + kL <= n; i += kL) {
        const F32 v = load<F32>(source + i);
        store(h + i, half ? f32_to_f16(v) : f32_to_bf16(v));
    }
    if (i < n) {
        const F32 v = load_part<F32>(source + i, n - i);
        store_part(h + i, half ? f32_to_f16(v) : f32_to_bf16(v), n - i);
    }
}

void convert_tensor_to_f32(DType from, const void* source, float* result, int64_t n) {
    parallel_for(n, 1 << 16, [&](int64_t begin, int64_t end) {
        convert_to_f32(from, static_cast<const uint16_t*>(source) + begin, result + begin,
                       end - begin);
    });
}

const ConvKernels& conv_kernels() {
    static constexpr ConvKernels table = {
        &forward,     &data_grad,       &conv_weight_grad, &packed_weight_bytes,
        &pack_weight, kTileRows<float>, kTileCols<float>};
    return table;
}

}  // namespace sn::cpu::SN_ISA
