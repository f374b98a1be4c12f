// Gathers and scatters. Indices are checked on the device first, and the check is waited for, so
// that a bad one raises what it raises on the CPU and nothing has been written; a scatter sorts its
// sources by target and combines those of a target in order.
#include <algorithm>

#include "backend/cuda/kernels/indexing_args.h"
#include "backend/cuda/sorted.h"
#include "backend/cuda/wrap.h"
#include "backend/value_error.h"
#include "base/error.h"
#include "op/scatter_kind.h"

namespace sn::cuda {

namespace {

KernelSource::Axis index_axis() { return dtype_axis("SN_I", {DType::kI32, DType::kI64}); }

const KernelSource kCheck("indexing.cu", "check_index", [] { return Axes{index_axis()}; });
const KernelSource kTakeRows("indexing.cu", "take_rows",
                             [] { return Axes{index_axis(), word_axis()}; });
const KernelSource kTakeAlong("indexing.cu", "take_along",
                              [] { return Axes{index_axis(), word_axis()}; });
const KernelSource kTakeNd("indexing.cu", "take_nd",
                           [] { return Axes{dtype_axis("SN_I", {DType::kI64}), word_axis()}; });
const KernelSource kRowKeys("indexing.cu", "row_keys", [] { return Axes{index_axis()}; });
const KernelSource kAlongKeys("indexing.cu", "along_keys", [] { return Axes{index_axis()}; });
enum Combine { kAdd, kProd, kMax, kMin, kWrite };  // the first four as in indexing.cu
const KernelSource kCombine("indexing.cu", "combine_runs", [] {
    return Axes{number_axis("SN_KIND", {kAdd, kProd, kMax, kMin}), dtype_axis("SN_T", kReal)};
});
const KernelSource kWriteRuns("indexing.cu", "write_runs", [] { return Axes{word_axis()}; });
const KernelSource kOneHot("indexing.cu", "one_hot",
                           [] { return Axes{index_axis(), dtype_axis("SN_T", kReal)}; });
const KernelSource kCountNonzero("indexing.cu", "count_nonzero", [] { return Axes{}; });
const KernelSource kScanNonzero("indexing.cu", "scan_nonzero", [] { return Axes{}; });
const KernelSource kWriteNonzero("indexing.cu", "write_nonzero", [] { return Axes{}; });

int64_t product(const int64_t* shape, int from, int to) {
    int64_t n = 1;
    for (int d = from; d < to; ++d) n *= shape[d];
    return n;
}

void check(const KernelCall& c, const char* op, const TensorView& indices, int64_t axis,
           int64_t size, bool negative) {
    CheckIndexArgs args{indices.data, indices.numel(), size, negative, error_word(c.device.index)};
    if (args.count == 0) return;
    launch(kCheck.get(c.device, {static_cast<int>(indices.dtype)}), grid_of(args.count), kThreads,
           args);
    ErrorReport report;
    if (take_error(c.device.index, &report))
        fail_index(op, report.index, report.position, indices, axis, size, negative);
}

// ---- gathers

void take_rows(const KernelCall& c, const char* op, int64_t axis, bool negative) {
    const TensorView &x = c.in[0], &indices = c.in[1], &out = c.out[0];
    const int at = static_cast<int>(axis);
    check(c, op, indices, axis, x.shape[at], negative);
    RowsArgs args{};
    args.x = x.data;
    args.indices = indices.data;
    args.out = out.data;
    args.n = x.shape[at];
    args.inner = product(x.shape, at + 1, x.rank);
    args.rows = indices.numel();
    args.count = out.numel();
    // Elements of a row that lie side by side are moved together.
    size_t size = dtype_size(x.dtype);
    const auto addresses =
        reinterpret_cast<uintptr_t>(x.data) | reinterpret_cast<uintptr_t>(out.data);
    while (size < 16 && args.inner > 0 && args.inner % 2 == 0 && addresses % (2 * size) == 0) {
        size *= 2;
        args.inner /= 2;
        args.count /= 2;
    }
    launch(kTakeRows.get(c.device, {static_cast<int>(indices.dtype), static_cast<int>(size)}),
           grid_of(args.count), kThreads, args);
}
void take(const KernelCall& c) { take_rows(c, "take", c.attrs[0], true); }
void embedding(const KernelCall& c) { take_rows(c, "embedding", 0, false); }

// An index for every element, along an axis of x.
PlaceArgs places_along(const KernelCall& c, const char* op, int64_t axis) {
    const TensorView &x = c.in[0], &indices = c.in[1];
    PlaceArgs args{};
    args.n = x.rank == 0 ? 1 : x.shape[axis];
    check(c, op, indices, axis, args.n, true);
    args.indices[0] = indices.data;
    args.count = indices.numel();
    args.axis_step = 1;
    std::vector<int64_t> others(static_cast<size_t>(x.rank));
    int64_t step = 1;
    for (int d = x.rank; d-- > 0; step *= x.shape[d]) {
        others[d] = d == axis ? 0 : step;
        if (d == axis) args.axis_step = step;
    }
    const Dimensions dims = merge_dimensions({indices.shape, static_cast<size_t>(indices.rank)},
                                             {others.data()}, false);
    SN_CHECK(dims.shape.size() <= kMaxRank);
    args.others = strided_of<1>(dims);
    return args;
}

void take_along_axis(const KernelCall& c) {
    PlaceArgs args = places_along(c, "take_along_axis", c.attrs[0]);
    args.x = c.in[0].data;
    args.out = c.out[0].data;
    launch(kTakeAlong.get(c.device, {static_cast<int>(c.in[1].dtype),
                                     static_cast<int>(dtype_size(c.in[0].dtype))}),
           grid_of(args.count), kThreads, args);
}

// An index for each of `count` leading dimensions of x.
PlaceArgs places_nd(const KernelCall& c, const char* op, const TensorView* indices, int count) {
    const TensorView& x = c.in[0];
    SN_CHECK(count <= kMaxRank);
    PlaceArgs args{};
    for (int d = 0; d < count; ++d) {
        check(c, op, indices[d], d, x.shape[d], true);
        args.indices[d] = indices[d].data;
        args.sizes[d] = x.shape[d];
    }
    args.dims = count;
    args.count = indices[0].numel();
    args.inner = product(x.shape, count, x.rank);
    return args;
}

void gather_nd(const KernelCall& c) {
    PlaceArgs args = places_nd(c, "gather_nd", c.in + 1, c.n_in - 1);
    args.x = c.in[0].data;
    args.out = c.out[0].data;
    launch(kTakeNd.get(c.device, {static_cast<int>(c.in[1].dtype),
                                  static_cast<int>(dtype_size(c.in[0].dtype))}),
           grid_of(args.count * args.inner), kThreads, args);
}

// ---- scatters

// Sources at items [count], each of `inner` elements, for every one of `outer` indices.
void combine(const KernelCall& c, const TensorView& values, const SortItem* items, Combine kind,
             int64_t count, int64_t inner, int64_t outer, int64_t from_outer, int64_t out_outer) {
    const TensorView& out = c.out[0];
    if (count * inner * outer == 0) return;
    items = sort_rows(c.device, const_cast<SortItem*>(items), 1, count);
    const CombineArgs args{values.data, out.data, items,      count,
                           inner,       outer,    from_outer, out_outer};
    const Function& kernel =
        kind == kWrite ? kWriteRuns.get(c.device, {static_cast<int>(dtype_size(out.dtype))})
                       : kCombine.get(c.device, {kind, static_cast<int>(out.dtype)});
    launch(kernel, grid_of(count * inner * outer), kThreads, args);
}

// The result begins as x.
void begin_with(const KernelCall& c) {
    if (c.out[0].data != c.in[0].data) strided_copy(c.device, c.out[0], c.in[0]);
}

void index_add(const KernelCall& c) {
    const TensorView &x = c.in[0], &indices = c.in[1], &values = c.in[2];
    const int axis = static_cast<int>(c.attrs[0]);
    const int64_t size = x.shape[axis];
    check(c, "index_add", indices, axis, size, true);
    begin_with(c);
    PlaceArgs args{};
    args.indices[0] = indices.data;
    args.sizes[0] = size;
    args.dims = 1;
    args.count = indices.numel();
    args.items = static_cast<SortItem*>(c.workspace);
    launch(kRowKeys.get(c.device, {static_cast<int>(indices.dtype)}), grid_of(args.count), kThreads,
           args);
    const int64_t outer = product(x.shape, 0, axis), inner = product(x.shape, axis + 1, x.rank);
    combine(c, values, args.items, kAdd, args.count, inner, outer, args.count * inner,
            size * inner);
}

void scatter_along(const KernelCall& c, const char* op, Combine kind) {
    PlaceArgs args = places_along(c, op, c.attrs[0]);
    begin_with(c);
    args.items = static_cast<SortItem*>(c.workspace);
    launch(kAlongKeys.get(c.device, {static_cast<int>(c.in[1].dtype)}), grid_of(args.count),
           kThreads, args);
    combine(c, c.in[2], args.items, kind, args.count, 1, 1, 0, 0);
}
void scatter(const KernelCall& c) {  // attributes: axis, accumulate
    scatter_along(c, "scatter", c.attrs[1] ? kAdd : kWrite);
}
void scatter_reduce(const KernelCall& c) {  // attributes: axis, kind
    const auto kind = static_cast<ScatterKind>(c.attrs[1]);
    scatter_along(c, "scatter_reduce",
                  kind == ScatterKind::kProd  ? kProd
                  : kind == ScatterKind::kMax ? kMax
                                              : kMin);
}

void scatter_nd(const KernelCall& c) {  // attribute: accumulate
    PlaceArgs args = places_nd(c, "scatter_nd", c.in + 2, c.n_in - 2);
    begin_with(c);
    args.items = static_cast<SortItem*>(c.workspace);
    launch(kRowKeys.get(c.device, {static_cast<int>(c.in[2].dtype)}), grid_of(args.count), kThreads,
           args);
    combine(c, c.in[1], args.items, c.attrs[0] ? kAdd : kWrite, args.count, args.inner, 1, 0, 0);
}

template <int operand>
size_t sources_workspace(const KernelCall& c) {
    return sort_bytes(c.in[operand].numel());
}

// ---- others

void one_hot(const KernelCall& c) {  // attribute: classes
    const TensorView& indices = c.in[0];
    check(c, "one_hot", indices, indices.rank, c.attrs[0], false);
    const OneHotArgs args{indices.data, c.out[0].data, c.out[0].numel(), c.attrs[0]};
    launch(
        kOneHot.get(c.device, {static_cast<int>(indices.dtype), static_cast<int>(c.out[0].dtype)}),
        grid_of(args.count), kThreads, args);
}

int64_t stretches_of(const TensorView& mask) {
    return (mask.numel() + kNonzeroStretch - 1) / kNonzeroStretch;
}

// out[dimension][k]: the coordinates of the k-th true element. Attribute: their number.
void nonzero(const KernelCall& c) {
    const TensorView& mask = c.in[0];
    NonzeroArgs args{};
    args.mask = mask.as<uint8_t>();
    args.starts = static_cast<int64_t*>(c.workspace);
    args.out = c.out[0].as<int64_t>();
    args.count = mask.numel();
    args.stretches = stretches_of(mask);
    args.found = c.attrs[0];
    args.rank = mask.rank;
    std::copy(mask.shape, mask.shape + mask.rank, args.shape);
    if (args.found == 0) return;
    launch(kCountNonzero.get(c.device, {}), grid_of_blocks(args.stretches), 256, args);
    launch(kScanNonzero.get(c.device, {}), {1, 1, 1}, 256, args);
    launch(kWriteNonzero.get(c.device, {}), grid_of_blocks(args.stretches), 256, args);
}
size_t nonzero_workspace(const KernelCall& c) {
    return static_cast<size_t>(stretches_of(c.in[0])) * sizeof(int64_t);
}

}  // namespace

void register_indexing_wrappers(KernelTable& table) {
    table.add("take", take);
    table.add("embedding", embedding);
    table.add("take_along_axis", take_along_axis);
    table.add("gather_nd", gather_nd);
    table.add("index_add", index_add, sources_workspace<1>);
    table.add("scatter", scatter, sources_workspace<1>);
    table.add("scatter_reduce", scatter_reduce, sources_workspace<1>);
    table.add("scatter_nd", scatter_nd, sources_workspace<2>);
    table.add("one_hot", one_hot);
    table.add("nonzero", nonzero, nonzero_workspace);
}

}  // namespace sn::cuda
