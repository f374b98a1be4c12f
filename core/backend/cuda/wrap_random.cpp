// Random numbers, and scans along an axis.
#include <cmath>
#include <cstring>

#include "backend/cuda/kernels/random_args.h"
#include "backend/cuda/wrap.h"

namespace sn::cuda {

namespace {

KernelSource::Axis floats() {
    KernelSource::Axis axis = dtype_axis("SN_T", kFloats);
    for (KernelSource::Choice& choice : axis) choice.definitions.push_back("SN_FLOAT=1");
    return axis;
}
const KernelSource kUniform("random.cu", "uniform", [] { return Axes{floats()}; });
const KernelSource kNormal("random.cu", "normal", [] { return Axes{floats()}; });
const KernelSource kIntegers("random.cu", "integers",
                             [] { return Axes{dtype_axis("SN_T", kInts)}; });
const KernelSource kDropout("random.cu", "dropout",
                            [] { return Axes{dtype_axis("SN_T", {DType::kBool})}; });

// Operands: two numbers, seed, draw.
RandomArgs draw_of(const KernelCall& c, int seed) {
    RandomArgs args{};
    args.out = c.out[0].data;
    args.count = c.out[0].numel();
    args.seed = static_cast<uint64_t>(number_i64(c.in[seed]));
    args.draw = static_cast<uint64_t>(number_i64(c.in[seed + 1]));
    return args;
}
void issue(const KernelCall& c, const KernelSource& source, const RandomArgs& args,
           int64_t per_thread) {
    if (args.count == 0) return;
    launch(source.get(c.device, {static_cast<int>(c.out[0].dtype)}),
           grid_of((args.count + per_thread - 1) / per_thread + 15), kThreads, args);
}

// The number of the next lower magnitude, or below zero of the next higher: the neighbour below.
template <class Word>
Word word_below(Word bits) {
    const Word sign = static_cast<Word>(Word{1} << (8 * sizeof(Word) - 1));
    if ((bits & static_cast<Word>(~sign)) == 0) return static_cast<Word>(sign | 1);
    return static_cast<Word>(bits & sign ? bits + 1 : bits - 1);
}

// The largest number of the dtype that is less than `high` (or low, where they are equal), for
// numbers of the compute type.
double largest_below(DType dtype, double low, double high) {
    if (!(low < high)) return low;
    switch (dtype) {
        case DType::kF64: return std::nextafter(high, low);
        case DType::kF32: return std::nextafterf(static_cast<float>(high), static_cast<float>(low));
        case DType::kF16: {
            const uint16_t bits = f32_to_f16(static_cast<float>(high));
            return f16_to_f32(f16_to_f32(bits) < high ? bits : word_below(bits));
        }
        default: {
            const uint16_t bits = f32_to_bf16(static_cast<float>(high));
            return bf16_to_f32(bf16_to_f32(bits) < high ? bits : word_below(bits));
        }
    }
}

void uniform(const KernelCall& c) {  // operands: low, high, seed, draw
    RandomArgs args = draw_of(c, 2);
    args.first = number_f64(c.in[0]);
    args.second = number_f64(c.in[1]);
    const bool wide = c.out[0].dtype == DType::kF64;
    if (!wide) {
        args.first = static_cast<float>(args.first);
        args.second = static_cast<float>(args.second);
    }
    args.top = largest_below(c.out[0].dtype, args.first, args.second);
    issue(c, kUniform, args, wide ? 2 : 4);
}
void normal(const KernelCall& c) {  // operands: mean, deviation, seed, draw
    RandomArgs args = draw_of(c, 2);
    args.first = number_f64(c.in[0]);
    args.second = number_f64(c.in[1]);
    issue(c, kNormal, args, c.out[0].dtype == DType::kF64 ? 2 : 4);
}
void integers(const KernelCall& c) {  // operands: low, high, seed, draw
    RandomArgs args = draw_of(c, 2);
    args.low = static_cast<uint64_t>(number_i64(c.in[0]));
    args.range = static_cast<uint64_t>(number_i64(c.in[1])) - args.low;
    issue(c, kIntegers, args, 2);
}
void dropout_mask(const KernelCall& c) {  // operands: probability, seed, draw
    RandomArgs args = draw_of(c, 1);
    const double scaled = number_f64(c.in[0]) * 0x1p32;
    args.limit = scaled >= 0x1p32 ? uint64_t{1} << 32 : static_cast<uint64_t>(scaled);
    issue(c, kDropout, args, 4);
}

// ---- scans --------------------------------------------------------------------------------------

enum Scan { kSum, kProduct, kMax, kMin, kLogAddExp };  // as in scan.cu

struct ScanKernels {
    KernelSource totals, before, scan;
    explicit ScanKernels(Axes (*axes)())
        : totals("scan.cu", "block_totals", axes),
          before("scan.cu", "totals_before", axes),
          scan("scan.cu", "scan", axes) {}
};
const ScanKernels kScans([] {
    return Axes{number_axis("SN_KIND", {kSum, kProduct, kMax, kMin}), dtype_axis("SN_T", kReal)};
});
const ScanKernels kLogScans([] {
    return Axes{number_axis("SN_KIND", {kLogAddExp}), dtype_axis("SN_T", kFloats)};
});
const KernelSource kLinear("scan.cu", "linear_scan",
                           [] { return Axes{dtype_axis("SN_T", kFloats)}; });

ScanArgs scan_of(const TensorView& x, int64_t axis) {
    ScanArgs args{};
    args.x = x.data;
    args.n = x.rank ? x.shape[axis] : 1;
    args.inner = 1;
    for (int d = static_cast<int>(axis) + 1; d < x.rank; ++d) args.inner *= x.shape[d];
    args.lines = args.n ? x.numel() / args.n : 0;
    args.blocks = (args.n + kScanBlock - 1) / kScanBlock;
    return args;
}

template <Scan kind>
void scan(const KernelCall& c) {  // attribute: axis
    ScanArgs args = scan_of(c.in[0], c.attrs[0]);
    if (args.lines * args.n == 0) return;
    args.out = c.out[0].data;
    args.totals = c.workspace;
    const ScanKernels& kernels = kind == kLogAddExp ? kLogScans : kScans;
    const std::initializer_list<int> codes = {kind, static_cast<int>(c.in[0].dtype)};
    const Grid grid = grid_of(args.lines * args.blocks);
    if (args.blocks > 1) {
        launch(kernels.totals.get(c.device, codes), grid, kThreads, args);
        launch(kernels.before.get(c.device, codes), grid_of(args.lines), kThreads, args);
    }
    launch(kernels.scan.get(c.device, codes), grid, kThreads, args);
}
size_t scan_workspace(const KernelCall& c) {
    const ScanArgs args = scan_of(c.in[0], c.attrs[0]);
    if (args.blocks <= 1) return 0;
    return static_cast<size_t>(args.lines * args.blocks) * dtype_size(compute_dtype(c.in[0].dtype));
}

void linear_scan(const KernelCall& c) {  // attribute: axis
    ScanArgs args = scan_of(c.in[1], c.attrs[0]);
    args.a = c.in[0].data;
    args.out = c.out[0].data;
    launch(kLinear.get(c.device, {static_cast<int>(c.in[1].dtype)}), grid_of(args.lines), kThreads,
           args);
}

}  // namespace

void register_random_wrappers(KernelTable& table) {
    table.add("random_uniform", uniform);
    table.add("random_normal", normal);
    table.add("random_integers", integers);
    table.add("dropout_mask", dropout_mask);
    table.add("cumsum", scan<kSum>, scan_workspace);
    table.add("cumprod", scan<kProduct>, scan_workspace);
    table.add("running_max", scan<kMax>, scan_workspace);
    table.add("running_min", scan<kMin>, scan_workspace);
    table.add("logcumsumexp", scan<kLogAddExp>, scan_workspace);
    table.add("linear_scan", linear_scan);
}

}  // namespace sn::cuda
