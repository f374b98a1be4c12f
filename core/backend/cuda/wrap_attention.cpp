// Attention and its gradient: products over whole rows of scores, between which rows are worked on.
// Some heads at a time, so that their scores stay within kScoreBytes.
#include <algorithm>
#include <cstring>

#include "backend/cuda/kernels/attention_args.h"
#include "backend/cuda/product.h"
#include "backend/cuda/wrap.h"
#include "base/error.h"

namespace sn::cuda {

namespace {

constexpr size_t kScoreBytes = size_t{256} << 20;

KernelSource::Axis masks() {
    return dtype_axis("SN_S", {DType::kBool, DType::kF16, DType::kBF16, DType::kF32, DType::kF64});
}
const KernelSource kRows("attention.cu", "attention_rows",
                         [] { return Axes{dtype_axis("SN_T", kFloats), masks()}; });
const KernelSource kSlopes("attention.cu", "attention_slopes",
                           [] { return Axes{dtype_axis("SN_T", kFloats), masks()}; });
const KernelSource kProduct("attention_product.cu", "blocked_product", [] {
    KernelSource::Axis axis = dtype_axis("SN_T", kFloats);
    for (KernelSource::Choice& choice : axis)
        for (const char* size : {"SN_M=64", "SN_N=64", "SN_TM=4", "SN_TN=4"})
            choice.definitions.push_back(size);
    return Axes{axis};
});

// Shapes of a call. Heads that share keys follow each other.
struct Heads {
    int64_t lead, kv_heads, group, queries, keys, width, value_width;
    int64_t matrices() const { return lead * kv_heads * group; }
    int64_t blocks() const { return (keys + kAttentionBlock - 1) / kAttentionBlock; }
    explicit Heads(const KernelCall& c) {
        const TensorView &q = c.in[0], &k = c.in[1], &v = c.in[2];
        const int r = q.rank;
        lead = 1;
        for (int d = 0; d < r - 3; ++d) lead *= q.shape[d];
        kv_heads = k.shape[r - 3];
        group = kv_heads ? q.shape[r - 3] / kv_heads : 1;
        queries = q.shape[r - 2];
        keys = k.shape[r - 2];
        width = q.shape[r - 1];
        value_width = v.shape[r - 1];
    }
    // How many matrices of keys are worked on at a time, and what they need: `planes` of scores.
    int64_t together(size_t size, int planes) const {
        const size_t each = static_cast<size_t>(group * queries * keys * planes) * size;
        const size_t fits = std::max<size_t>(kScoreBytes / std::max<size_t>(each, 1), 1);
        return std::min<int64_t>(static_cast<int64_t>(fits), lead * kv_heads);
    }
};

// A stack of matrices as [matrix of keys][group][row][column], by offsets of the first.
struct Stack {
    const char* data;
    int64_t size;                         // of an element
    std::vector<int64_t> shape, strides;  // of lead dimensions and matrices of keys
    int64_t group_step, row, column;
    // Elements from the first to matrix n of keys.
    int64_t offset(int64_t n) const {
        int64_t at = 0;
        for (size_t d = shape.size(); d-- > 0; n /= shape[d]) at += n % shape[d] * strides[d];
        return at;
    }
};
Stack stack_of(const TensorView& v, int64_t kv_heads) {
    const int r = v.rank;
    Stack s;
    s.data = v.as<const char>();
    s.size = static_cast<int64_t>(dtype_size(v.dtype));
    for (int d = 0; d < r - 3; ++d) {
        s.shape.push_back(v.shape[d]);
        s.strides.push_back(v.strides[d]);
    }
    const int64_t group = kv_heads ? v.shape[r - 3] / kv_heads : 1;
    s.shape.push_back(kv_heads);
    s.strides.push_back(v.strides[r - 3] * group);
    s.group_step = v.strides[r - 3];
    s.row = v.strides[r - 2];
    s.column = v.strides[r - 1];
    return s;
}

// Strides over [matrix][row][column] of all matrices, or [matrix][row].
Strided<1> whole(const TensorView& v) {
    const Dimensions dims =
        merge_dimensions({v.shape, static_cast<size_t>(v.rank)}, {v.strides}, false);
    SN_CHECK(dims.shape.size() <= kMaxRank);
    return strided_of<1>(dims);
}

ScoreArgs scores_of(const KernelCall& c, const Heads& h, int rest) {
    ScoreArgs args{};
    args.queries = h.queries;
    args.keys = h.keys;
    args.blocks = h.blocks();
    std::memcpy(&args.scale, c.attrs, sizeof args.scale);
    args.left = c.attrs[1];
    args.right = c.attrs[2];
    if (c.attrs[3]) {
        const TensorView& mask = c.in[rest++];
        args.mask = mask.data;
        args.truth = is_bool(mask.dtype);
        args.mask_at = whole(mask);
    }
    args.dropped = c.attrs[4] != 0;
    if (args.dropped) {
        const double drop = number_f64(c.in[rest]), scaled = drop * 0x1p32;
        args.limit = scaled >= 0x1p32 ? uint64_t{1} << 32 : static_cast<uint64_t>(scaled);
        args.kept = 1 / (1 - drop);
        args.seed = static_cast<uint64_t>(number_i64(c.in[rest + 1]));
        args.draw = static_cast<uint64_t>(number_i64(c.in[rest + 2]));
    }
    return args;
}
int mask_code(const KernelCall& c, int rest) {
    return static_cast<int>(c.attrs[3] ? c.in[rest].dtype : c.in[0].dtype);
}

// [group][row of a][row of b] of one matrix of keys: chains over the features of a and b.
void products(const KernelCall& c, const Stack& a, const Stack& b, int64_t n, int64_t group,
              int64_t rows, int64_t columns, int64_t k, void* to) {
    const DType dtype = c.in[0].dtype;
    const int64_t a_shape[3] = {group, rows, k}, a_strides[3] = {a.group_step, a.row, a.column};
    const int64_t b_shape[3] = {1, k, columns}, b_strides[3] = {0, b.column, b.row};
    const int64_t c_shape[3] = {group, rows, columns}, c_strides[3] = {rows * columns, columns, 1};
    const auto at = [&](const Stack& s) {
        return const_cast<char*>(s.data + s.offset(n) * s.size);
    };
    chain_product(c.device, {at(a), a_shape, a_strides, 3, dtype},
                  {at(b), b_shape, b_strides, 3, dtype},
                  {to, c_shape, c_strides, 3, compute_dtype(dtype)});
}

void issue(const KernelCall& c, BlockedArgs& args, const Dimensions& stacks) {
    args.matrices = stacks.count;
    args.stacks = strided_of<3>(stacks);
    args.tiles_m = (args.m + 63) / 64;
    args.tiles_n = (args.n + 63) / 64;
    launch(kProduct.get(c.device, {static_cast<int>(c.in[0].dtype)}),
           grid_of_blocks(args.tiles_m * args.tiles_n * args.matrices), 256, args);
}

size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

void attention(const KernelCall& c) {
    const TensorView &q = c.in[0], &out = c.out[0];
    const Heads h(c);
    const size_t size = dtype_size(compute_dtype(q.dtype));
    if (h.matrices() * h.queries == 0) return;
    const int64_t together = h.together(size, 1), per = h.group * h.queries;
    ScoreArgs args = scores_of(c, h, 3);
    char* scores = static_cast<char*>(c.workspace);
    char* shrink = scores + rounded(static_cast<size_t>(together * per * h.keys) * size);
    char* inverse = shrink + rounded(static_cast<size_t>(together * per * h.blocks()) * size);
    args.scores = scores;
    args.shrink = shrink;
    args.inverse = inverse;
    args.lse = c.out[1].data;
    args.lse_at = whole(c.out[1]);
    const Stack sq = stack_of(q, h.kv_heads), sk = stack_of(c.in[1], h.kv_heads),
                sv = stack_of(c.in[2], h.kv_heads), so = stack_of(out, h.kv_heads);
    const Function& rows = kRows.get(c.device, {static_cast<int>(q.dtype), mask_code(c, 3)});
    for (int64_t first = 0; first < h.lead * h.kv_heads; first += together) {
        const int64_t count = std::min(together, h.lead * h.kv_heads - first);
        for (int64_t n = 0; n < count; ++n)
            products(c, sq, sk, first + n, h.group, h.queries, h.keys, h.width,
                     scores + static_cast<size_t>(n * per * h.keys) * size);
        args.matrices = count * h.group;
        args.first_matrix = first * h.group;
        launch(rows,
               grid_of_blocks((args.matrices * h.queries + kAttentionRows - 1) / kAttentionRows),
               256, args);
        for (int64_t n = 0; n < count; ++n) {
            BlockedArgs p{};
            const size_t row = static_cast<size_t>(n * per);
            p.a = scores + row * static_cast<size_t>(h.keys) * size;
            p.b = sv.data + sv.offset(first + n) * sv.size;
            p.c = const_cast<char*>(so.data) + so.offset(first + n) * so.size;
            p.m = h.queries;
            p.n = h.value_width;
            p.k = h.keys;
            p.repeats = 1;
            p.a_row = h.keys;
            p.a_col = 1;
            p.b_row = sv.row;
            p.b_col = sv.column;
            p.c_row = so.row;
            p.c_col = so.column;
            p.shrink = shrink + row * static_cast<size_t>(h.blocks()) * size;
            p.inverse = inverse + row * size;
            p.blocks = h.blocks();
            const int64_t shape[1] = {h.group}, a[1] = {h.queries * h.keys}, b[1] = {0},
                          to[1] = {so.group_step};
            issue(c, p, merge_dimensions(shape, {a, b, to}, false));
        }
    }
}
size_t attention_workspace(const KernelCall& c) {
    const Heads h(c);
    const size_t size = dtype_size(compute_dtype(c.in[0].dtype));
    const size_t rows = static_cast<size_t>(h.together(size, 1) * h.group * h.queries);
    return rounded(rows * static_cast<size_t>(h.keys) * size) +
           rounded(rows * static_cast<size_t>(h.blocks()) * size) + rounded(rows * size) + 64;
}

// Operands: q, k, v, out, lse, the gradient of out, and the rest. Results: gradients of q, k, v,
// and of the mask where it is asked for.
void attention_grad(const KernelCall& c) {
    const TensorView& q = c.in[0];
    const Heads h(c);
    const size_t size = dtype_size(compute_dtype(q.dtype));
    const int64_t together = h.together(size, 2), per = h.group * h.queries;
    ScoreArgs args = scores_of(c, h, 6);
    const size_t plane = rounded(static_cast<size_t>(together * per * h.keys) * size);
    char* weights = static_cast<char*>(c.workspace);
    char* slopes = weights + plane;
    args.scores = weights;
    args.slopes = slopes;
    args.out = c.in[3].data;
    args.out_at = whole(c.in[3]);
    args.lse = c.in[4].data;
    args.lse_at = whole(c.in[4]);
    args.dout = c.in[5].data;
    args.dout_at = whole(c.in[5]);
    args.width = h.value_width;
    if (c.attrs[5]) {
        args.mask_grad = c.out[3].data;
        args.mask_grad_at = whole(c.out[3]);
    }
    const Stack sq = stack_of(q, h.kv_heads), sk = stack_of(c.in[1], h.kv_heads),
                sv = stack_of(c.in[2], h.kv_heads), sg = stack_of(c.in[5], h.kv_heads),
                dq = stack_of(c.out[0], h.kv_heads), dk = stack_of(c.out[1], h.kv_heads),
                dv = stack_of(c.out[2], h.kv_heads);
    const int64_t matrices = h.lead * h.kv_heads;
    const bool rows_there = matrices > 0 && per * h.keys > 0;
    for (int64_t first = 0; first < matrices; first += together) {
        const int64_t count = std::min(together, matrices - first);
        for (int64_t n = 0; rows_there && n < count; ++n) {
            const size_t at = static_cast<size_t>(n * per * h.keys) * size;
            products(c, sq, sk, first + n, h.group, h.queries, h.keys, h.width, weights + at);
            products(c, sg, sv, first + n, h.group, h.queries, h.keys, h.value_width, slopes + at);
        }
        args.matrices = count * h.group;
        args.first_matrix = first * h.group;
        if (rows_there)
            launch(
                kSlopes.get(c.device, {static_cast<int>(q.dtype), mask_code(c, 6)}),
                grid_of_blocks((args.matrices * h.queries + kAttentionRows - 1) / kAttentionRows),
                256, args);
        for (int64_t n = 0; n < count; ++n) {
            const size_t at = static_cast<size_t>(n * per * h.keys) * size;
            const auto from = [&](const Stack& s) { return s.data + s.offset(first + n) * s.size; };
            BlockedArgs p{};
            p.blocks = 0;
            p.scale = args.scale;
            p.repeats = 1;
            p.a = slopes + at;
            p.b = from(sk);
            p.c = const_cast<char*>(from(dq));
            p.m = h.queries;
            p.n = h.width;
            p.k = h.keys;
            p.a_row = h.keys;
            p.a_col = 1;
            p.b_row = sk.row;
            p.b_col = sk.column;
            p.c_row = dq.row;
            p.c_col = dq.column;
            const int64_t shape[1] = {h.group}, a[1] = {h.queries * h.keys}, b[1] = {0},
                          to[1] = {dq.group_step};
            if (p.m * p.n > 0) issue(c, p, merge_dimensions(shape, {a, b, to}, false));
            // Of keys and values: over the queries of all heads that share them.
            p.m = h.keys;
            p.k = h.queries;
            p.repeats = h.group;
            p.a_repeat = h.queries * h.keys;
            p.a_row = 1;
            p.a_col = h.keys;
            const auto shared = [&](const char* left, const Stack& right, const Stack& result,
                                    int64_t columns, double scale) {
                p.a = left + at;
                p.b = from(right);
                p.c = const_cast<char*>(from(result));
                p.n = columns;
                p.scale = scale;
                p.b_repeat = right.group_step;
                p.b_row = right.row;
                p.b_col = right.column;
                p.c_row = result.row;
                p.c_col = result.column;
                const int64_t one[1] = {1}, none[1] = {0};
                if (p.m * p.n > 0) issue(c, p, merge_dimensions(one, {none, none, none}, false));
            };
            shared(slopes, sq, dk, h.width, args.scale);
            shared(weights, sg, dv, h.value_width, 1);
        }
    }
}
size_t attention_grad_workspace(const KernelCall& c) {
    const Heads h(c);
    const size_t size = dtype_size(compute_dtype(c.in[0].dtype));
    return 2 *
           rounded(static_cast<size_t>(h.together(size, 2) * h.group * h.queries * h.keys) * size);
}

}  // namespace

void register_attention_wrappers(KernelTable& table) {
    table.add("attention", attention, attention_workspace);
    table.add("attention_grad", attention_grad, attention_grad_workspace);
}

}  // namespace sn::cuda
