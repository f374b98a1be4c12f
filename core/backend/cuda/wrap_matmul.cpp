// Products of matrices, of any strides.
#include <algorithm>

#include "backend/cuda/kernels/matmul_args.h"
#include "backend/cuda/library_product.h"
#include "backend/cuda/product.h"
#include "backend/cuda/product_tiles.h"
#include "backend/cuda/wrap.h"
#include "base/error.h"

namespace sn::cuda {

namespace {

// ---- sources: elements and results of one dtype, or results in the dtype of the sums

KernelSource::Axis elements(std::initializer_list<DType> dtypes) {
    KernelSource::Axis axis = dtype_axis("SN_T", dtypes);
    const KernelSource::Axis result = dtype_axis("SN_C", dtypes);
    for (size_t i = 0; i < axis.size(); ++i)
        axis[i].definitions.push_back(result[i].definitions[0]);
    return axis;
}
// The results are float whatever the elements are.
constexpr int kFloatResult = 100;
KernelSource::Axis elements_and_sums(std::initializer_list<DType> dtypes) {
    KernelSource::Axis axis = elements(dtypes);
    for (const DType half : {DType::kF16, DType::kBF16}) {
        KernelSource::Choice choice = dtype_axis("SN_T", {half})[0];
        choice.code += kFloatResult;
        choice.definitions.push_back("SN_C=float");
        axis.push_back(choice);
    }
    return axis;
}

constexpr ProductTile kTiles[] = {{128, 128, 8, 8}, {64, 64, 4, 4}, {16, 64, 2, 2}};

constexpr std::initializer_list<DType> kWideTypes = {DType::kF64, DType::kI64, DType::kU64};
constexpr std::initializer_list<DType> kNarrowTypes = {DType::kF16, DType::kBF16, DType::kF32,
                                                       DType::kI8,  DType::kI16,  DType::kI32,
                                                       DType::kU8,  DType::kU16,  DType::kU32};
const KernelSource kNarrow("matmul.cu", "matmul", [] {
    return Axes{elements_and_sums(kNarrowTypes), tile_axis(kTiles, {0, 1, 2}),
                number_axis("SN_LONG", {0, 1})};
});
// Eight-byte sums of a large tile would not fit the registers.
const KernelSource kWide("matmul.cu", "matmul", [] {
    return Axes{elements(kWideTypes), tile_axis(kTiles, {1, 2}), number_axis("SN_LONG", {0, 1})};
});
const KernelSource kAddParts("matmul.cu", "add_parts",
                             [] { return Axes{elements_and_sums(kFloats)}; });

// A stack of matrices: the batch dimensions in the shape of the result, where broadcast ones have
// stride 0.
std::vector<int64_t> stack_strides(const TensorView& v, int batch_rank) {
    std::vector<int64_t> strides(static_cast<size_t>(batch_rank), 0);
    for (int i = 0; i < v.rank - 2; ++i)
        if (v.shape[i] != 1) strides[batch_rank - (v.rank - 2) + i] = v.strides[i];
    return strides;
}

struct Product {
    MatmulArgs args{};
    Dimensions stacks;
    int tile = 0;
    int64_t segments = 1;
    bool split = false;  // segments are summed side by side and added afterwards
};

// Everything but the pointers; reads shapes and strides alone.
Product plan(const KernelCall& call) {
    const TensorView &a = call.in[0], &b = call.in[1], &c = call.out[0];
    Product p;
    MatmulArgs& g = p.args;
    g.m = c.shape[c.rank - 2];
    g.n = c.shape[c.rank - 1];
    g.k = a.shape[a.rank - 1];
    g.a_row = a.strides[a.rank - 2];
    g.a_col = a.strides[a.rank - 1];
    g.b_row = b.strides[b.rank - 2];
    g.b_col = b.strides[b.rank - 1];
    g.c_row = c.strides[c.rank - 2];
    g.c_col = c.strides[c.rank - 1];
    const int batch_rank = c.rank - 2;
    const std::vector<int64_t> sa = stack_strides(a, batch_rank), sb = stack_strides(b, batch_rank),
                               sc = stack_strides(c, batch_rank);
    p.stacks = merge_dimensions({c.shape, static_cast<size_t>(batch_rank)},
                                {sa.data(), sb.data(), sc.data()}, false);
    // Rows that all lie at one distance and share b are one tall matrix.
    if (p.stacks.shape.size() == 1 && p.stacks.strides[1][0] == 0 &&
        p.stacks.strides[0][0] == g.m * g.a_row && p.stacks.strides[2][0] == g.m * g.c_row) {
        g.m *= p.stacks.shape[0];
        p.stacks = merge_dimensions({}, {sa.data(), sb.data(), sc.data()}, false);
    }
    g.batch = p.stacks.count;
    const bool wide = dtype_size(a.dtype) == 8;
    const auto tiles_of = [&](const ProductTile& tile) {
        return (g.m + tile.m - 1) / tile.m * ((g.n + tile.n - 1) / tile.n) * g.batch;
    };
    // Large tiles where there are enough of them to keep a large device busy.
    const int64_t enough = 192;
    p.segments = std::max<int64_t>((g.k + kSegment - 1) / kSegment, 1);
    if (std::min(g.m, g.n) <= 16)
        p.tile = 2;
    else
        p.tile = !wide && tiles_of(kTiles[0]) >= enough ? 0 : 1;
    p.split = p.segments > 1 && is_float(a.dtype) && tiles_of(kTiles[p.tile]) < enough;
    return p;
}

size_t workspace(const KernelCall& call) {
    // Where the library refuses after all, segments are summed one after the other, with equal
    // bits.
    if (call.out[0].numel() == 0 || library_multiplies(call.in[0].dtype, call.precision)) return 0;
    const Product p = plan(call);
    if (!p.split) return 0;
    return static_cast<size_t>(p.segments * call.out[0].numel()) *
           dtype_size(compute_dtype(call.in[0].dtype));
}

// How sums are cut: into segments, which blocks of their own may sum; those without such blocks;
// not.
enum class Cut { kSplit, kSegments, kNone };

void run(const KernelCall& call, Cut cut) {
    const TensorView &a = call.in[0], &b = call.in[1], &c = call.out[0];
    if (c.numel() == 0) return;
    Product p = plan(call);
    if (cut == Cut::kNone) p.segments = 1;
    if (cut != Cut::kSplit) p.split = false;
    MatmulArgs& g = p.args;
    SN_CHECK(p.stacks.shape.size() <= kMaxRank && b.dtype == a.dtype);
    g.a = a.data;
    g.b = b.data;
    g.c = c.data;
    g.stacks = strided_of<3>(p.stacks);
    if (library_product(call.device.index, g, a.dtype, c.dtype, call.precision)) return;
    g.parts = p.split ? p.segments : 1;
    const bool halves = compute_dtype(a.dtype) != a.dtype;
    const bool float_result = halves && c.dtype == DType::kF32;
    SN_CHECK(float_result || c.dtype == a.dtype);
    int code = static_cast<int>(a.dtype) + (float_result ? kFloatResult : 0);
    const int result_code = code;
    if (p.split) {  // sums of the segments, row-major, one plane for each
        g.c = call.workspace;
        g.c_row = g.n;
        g.c_col = 1;
        g.part_step = g.m * g.n * g.batch;
        int64_t step = g.m * g.n;
        for (size_t d = p.stacks.shape.size(); d-- > 0; step *= p.stacks.shape[d])
            p.stacks.strides[2][d] = step;
        if (halves) code = static_cast<int>(a.dtype) + kFloatResult;
    }
    if (g.n <= 16 && g.m > 16) {  // the same product, turned
        std::swap(g.a, g.b);
        std::swap(g.m, g.n);
        const int64_t a_row = g.a_row, a_col = g.a_col;
        g.a_row = g.b_col;
        g.a_col = g.b_row;
        g.b_row = a_col;
        g.b_col = a_row;
        std::swap(g.c_row, g.c_col);
        if (!p.stacks.strides.empty()) std::swap(p.stacks.strides[0], p.stacks.strides[1]);
    }
    g.stacks = strided_of<3>(p.stacks);
    const ProductTile& tile = kTiles[p.tile];
    g.tiles_m = (g.m + tile.m - 1) / tile.m;
    g.tiles_n = (g.n + tile.n - 1) / tile.n;
    const bool several = p.segments > 1 && !p.split;
    const KernelSource& source = dtype_size(a.dtype) == 8 ? kWide : kNarrow;
    launch(source.get(call.device, {code, p.tile, several ? 1 : 0}),
           grid_of_blocks(g.tiles_m * g.tiles_n * g.batch * g.parts), tile.threads(), g);
    if (!p.split) return;
    const Dimensions result =
        merge_dimensions({c.shape, static_cast<size_t>(c.rank)}, {c.strides}, false);
    AddPartsArgs add{call.workspace, c.data, c.numel(), g.parts, strided_of<1>(result)};
    launch(kAddParts.get(call.device, {result_code}), grid_of(add.count), kThreads, add);
}
void matmul(const KernelCall& call) { run(call, call.workspace ? Cut::kSplit : Cut::kSegments); }

}  // namespace

namespace {

void product(Device device, const TensorView& a, const TensorView& b, const TensorView& c,
             Cut cut) {
    const TensorView in[2] = {a, b};
    KernelCall call{in, 2, &c, 1, nullptr, nullptr, nullptr};
    call.device = device;
    run(call, cut);
}

}  // namespace

void chain_product(Device device, const TensorView& a, const TensorView& b, const TensorView& c) {
    product(device, a, b, c, Cut::kNone);
}
void segmented_product(Device device, const TensorView& a, const TensorView& b,
                       const TensorView& c) {
    product(device, a, b, c, Cut::kSegments);
}

void register_matmul_wrapper(KernelTable& table) { table.add("matmul", matmul, workspace); }

}  // namespace sn::cuda
