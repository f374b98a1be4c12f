// Reductions over any axes, and the labels of a classification.
#include <algorithm>

#include "backend/cpu/program.h"  // ReduceKind
#include "backend/cuda/device.h"
#include "backend/cuda/kernels/reduce_args.h"
#include "backend/cuda/wrap.h"
#include "backend/value_error.h"
#include "base/error.h"

namespace sn::cuda {

namespace {

using cpu::ReduceKind;

KernelSource::Axis kinds(std::initializer_list<ReduceKind> kinds) {
    KernelSource::Axis axis;
    for (ReduceKind kind : kinds) {
        const int code = static_cast<int>(kind);
        axis.push_back({code, {"SN_KIND=" + std::to_string(code)}});
    }
    return axis;
}
// Elements and results: of one dtype, or with results of another for each.
KernelSource::Axis same(std::initializer_list<DType> dtypes) {
    KernelSource::Axis axis = dtype_axis("SN_S", dtypes), result = dtype_axis("SN_R", dtypes);
    for (size_t i = 0; i < axis.size(); ++i)
        axis[i].definitions.push_back(result[i].definitions[0]);
    return axis;
}
KernelSource::Axis positions(std::initializer_list<DType> dtypes) {
    KernelSource::Axis axis = dtype_axis("SN_S", dtypes);
    for (KernelSource::Choice& choice : axis) choice.definitions.push_back("SN_R=int64_t");
    return axis;
}
KernelSource::Axis wide_sums() {
    KernelSource::Axis axis =
        dtype_axis("SN_S", {DType::kBool, DType::kI8, DType::kI16, DType::kI32, DType::kI64,
                            DType::kU8, DType::kU16, DType::kU32, DType::kU64});
    for (KernelSource::Choice& choice : axis) {
        const bool no_sign = is_unsigned_int(static_cast<DType>(choice.code));
        choice.definitions.push_back(no_sign ? "SN_R=uint64_t" : "SN_R=int64_t");
    }
    return axis;
}

// The two kernels of a reduction, for the kinds and dtypes that some ops have.
struct Reduction {
    KernelSource blocks, merge;
    explicit Reduction(Axes (*axes)())
        : blocks("reduce.cu", "reduce_blocks", axes), merge("reduce.cu", "reduce_merge", axes) {}
};
const Reduction kSums([] {
    return Axes{
        kinds({ReduceKind::kSum, ReduceKind::kProd}),
        same({DType::kI64, DType::kU64, DType::kF16, DType::kBF16, DType::kF32, DType::kF64})};
});
const Reduction kWideSums([] { return Axes{kinds({ReduceKind::kSum}), wide_sums()}; });
const Reduction kExtremes([] {
    return Axes{kinds({ReduceKind::kMax, ReduceKind::kMin}), same(kNumeric)};
});
const Reduction kTests([] {
    return Axes{kinds({ReduceKind::kAny, ReduceKind::kAll}), same({DType::kBool})};
});
const Reduction kMoments([] {
    return Axes{kinds({ReduceKind::kMean, ReduceKind::kVar}), same(kFloats)};
});
const Reduction kPositions([] {
    return Axes{kinds({ReduceKind::kArgMax, ReduceKind::kArgMin}), positions(kNumeric)};
});

const Reduction& reduction_of(ReduceKind kind) {
    switch (kind) {
        case ReduceKind::kSum:
        case ReduceKind::kProd: return kSums;
        case ReduceKind::kMax:
        case ReduceKind::kMin: return kExtremes;
        case ReduceKind::kAny:
        case ReduceKind::kAll: return kTests;
        case ReduceKind::kMean:
        case ReduceKind::kVar: return kMoments;
        default: return kPositions;
    }
}

bool is_position(ReduceKind kind) {
    return kind == ReduceKind::kArgMax || kind == ReduceKind::kArgMin;
}
int64_t blocks_of(int64_t n) { return std::max<int64_t>((n + kReduceBlock - 1) / kReduceBlock, 1); }

// Partial results of a row's blocks: values, then squares or positions.
struct Room {
    int64_t items;
    size_t value_bytes, more_bytes;
};
Room room_of(ReduceKind kind, const TensorView& x, const TensorView& out) {
    const int64_t results = out.numel(), n = results ? x.numel() / results : 0;
    const int64_t blocks = blocks_of(n);
    if (blocks == 1 || results == 0) return {0, 0, 0};
    const size_t items = static_cast<size_t>(results * blocks);
    const size_t size = dtype_size(compute_dtype(is_position(kind) ? x.dtype : out.dtype));
    const size_t more = is_position(kind) ? 8 : kind == ReduceKind::kVar ? size : 0;
    return {static_cast<int64_t>(items), (items * size + 15) / 16 * 16, items * more};
}

void reduce(const KernelCall& c, const Reduction& kernels, ReduceKind kind,
            std::span<const int64_t> axes, void* mean) {
    const TensorView &x = c.in[0], &out = c.out[0];
    ReduceArgs args{};
    args.results = out.numel();
    if (args.results == 0) return;
    // The result's strides by dimensions of the operand, whether or not it keeps the reduced ones.
    std::vector<int64_t> kept_shape, kept_in, kept_out, row_shape, row_in;
    const bool keeps = out.rank == x.rank;
    for (int d = 0, at = 0; d < x.rank; ++d) {
        if (std::find(axes.begin(), axes.end(), d) != axes.end()) {
            row_shape.push_back(x.shape[d]);
            row_in.push_back(x.strides[d]);
        } else {
            kept_shape.push_back(x.shape[d]);
            kept_in.push_back(x.strides[d]);
            kept_out.push_back(out.strides[keeps ? d : at++]);
        }
    }
    const Dimensions kept = merge_dimensions(kept_shape, {kept_in.data(), kept_out.data()}, true);
    const Dimensions row = merge_dimensions(row_shape, {row_in.data()}, false);
    SN_CHECK(kept.shape.size() <= kMaxRank && row.shape.size() <= kMaxRank);
    args.n = row.count;
    SN_CHECK(args.n > 0 || !(is_position(kind) || &kernels == &kExtremes));
    args.blocks = blocks_of(args.n);
    args.kept = strided_of<2>(kept);
    args.row = strided_of<1>(row);
    const auto last_step = [](const Dimensions& dims) {
        return dims.shape.empty() ? int64_t{1} << 62 : std::abs(dims.strides[0].back());
    };
    args.columns = last_step(kept) < last_step(row);
    args.in = x.data;
    args.out = out.data;
    args.out_mean = mean;
    const Room room = room_of(kind, x, out);
    args.value = c.workspace;
    args.more = static_cast<char*>(c.workspace) + room.value_bytes;
    const std::initializer_list<int> codes = {static_cast<int>(kind), static_cast<int>(x.dtype)};
    const int64_t items = args.results * args.blocks;
    launch(kernels.blocks.get(c.device, codes),
           grid_of_blocks((items + kReduceSlots - 1) / kReduceSlots), kReduceSlots * kReduceLanes,
           args);
    if (args.blocks == 1) return;
    args.merge_threads = 1;
    while (args.merge_threads < 256 && args.merge_threads * 2 < args.blocks)
        args.merge_threads *= 2;
    const int64_t groups = 256 / args.merge_threads;
    launch(kernels.merge.get(c.device, codes), grid_of_blocks((args.results + groups - 1) / groups),
           256, args);
}

template <ReduceKind kind>
void reduce_axes(const KernelCall& c) {  // attributes: axes, keepdims
    reduce(c, reduction_of(kind), kind, AttrWords(c.attrs).list(), nullptr);
}
void sum_wide(const KernelCall& c) {
    reduce(c, kWideSums, ReduceKind::kSum, AttrWords(c.attrs).list(), nullptr);
}
template <ReduceKind kind>
void reduce_axis(const KernelCall& c) {  // attributes: axis, keepdims
    reduce(c, reduction_of(kind), kind, {c.attrs, 1}, nullptr);
}
void var_mean(const KernelCall& c) {  // the two results have one layout
    reduce(c, kMoments, ReduceKind::kVar, AttrWords(c.attrs).list(), c.out[1].data);
}
template <ReduceKind kind>
size_t workspace(const KernelCall& c) {
    const Room room = room_of(kind, c.in[0], c.out[0]);
    return room.value_bytes + room.more_bytes;
}

// ---- labels -------------------------------------------------------------------------------------

const KernelSource kLabels("labels.cu", "check_labels", [] {
    return Axes{dtype_axis("SN_N", {DType::kI64, DType::kF32, DType::kF64}),
                dtype_axis("SN_W", {DType::kF32, DType::kF64})};
});
const KernelSource kWeights("labels.cu", "sum_weights", [] {
    return Axes{dtype_axis("SN_N", {DType::kI64, DType::kF32, DType::kF64}),
                dtype_axis("SN_W", {DType::kF32, DType::kF64})};
});

// Attributes: classes, ignore_index, dtype of the numbers, dtype of the weights.
void check_labels(const KernelCall& c) {
    const TensorView& labels = c.in[0];
    LabelArgs args{};
    args.labels = labels.as<int64_t>();
    args.class_weight = c.n_in > 1 ? c.in[1].data : nullptr;
    args.number = c.out[0].data;
    args.weight = c.out[1].data;
    args.total = c.out[2].data;
    args.count = labels.numel();
    args.classes = c.attrs[0];
    args.ignore_index = c.attrs[1];
    args.error = error_word(c.device.index);
    const std::initializer_list<int> codes = {static_cast<int>(c.out[0].dtype),
                                              static_cast<int>(c.out[1].dtype)};
    launch(kLabels.get(c.device, codes), grid_of(args.count), kThreads, args);
    launch(kWeights.get(c.device, codes), {1, 1, 1}, 256, args);
    ErrorReport report;
    if (take_error(c.device.index, &report))
        fail_label(labels, report.index, report.position, args.classes, args.ignore_index);
}

}  // namespace

void register_reduce_wrappers(KernelTable& table) {
    table.add("sum", reduce_axes<ReduceKind::kSum>, workspace<ReduceKind::kSum>);
    table.add("sum_wide", sum_wide, workspace<ReduceKind::kSum>);
    table.add("prod", reduce_axes<ReduceKind::kProd>, workspace<ReduceKind::kProd>);
    table.add("max", reduce_axes<ReduceKind::kMax>, workspace<ReduceKind::kMax>);
    table.add("min", reduce_axes<ReduceKind::kMin>, workspace<ReduceKind::kMin>);
    table.add("any", reduce_axes<ReduceKind::kAny>, workspace<ReduceKind::kAny>);
    table.add("all", reduce_axes<ReduceKind::kAll>, workspace<ReduceKind::kAll>);
    table.add("mean", reduce_axes<ReduceKind::kMean>, workspace<ReduceKind::kMean>);
    table.add("var", reduce_axes<ReduceKind::kVar>, workspace<ReduceKind::kVar>);
    table.add("var_mean", var_mean, workspace<ReduceKind::kVar>);
    table.add("argmax", reduce_axis<ReduceKind::kArgMax>, workspace<ReduceKind::kArgMax>);
    table.add("argmin", reduce_axis<ReduceKind::kArgMin>, workspace<ReduceKind::kArgMin>);
    table.add("check_labels", check_labels);
}

}  // namespace sn::cuda
