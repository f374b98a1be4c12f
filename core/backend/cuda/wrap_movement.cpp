// Ops that place elements: copies, slices, concatenation, padding, and tensors made of numbers.
#include <algorithm>
#include <cstdlib>

#include "backend/cuda/kernels/movement_args.h"
#include "backend/cuda/wrap.h"
#include "base/error.h"

namespace sn::cuda {

namespace {

const KernelSource kCopy("movement.cu", "copy", [] { return Axes{word_axis()}; });
const KernelSource kTranspose("movement.cu", "transpose", [] { return Axes{word_axis()}; });
const KernelSource kFill("movement.cu", "fill", [] { return Axes{word_axis()}; });
const KernelSource kPad("movement.cu", "pad", [] { return Axes{word_axis()}; });
const KernelSource kArange("movement.cu", "arange", [] { return Axes{dtype_axis("SN_T", kReal)}; });
const KernelSource kLinspace("movement.cu", "linspace",
                             [] { return Axes{dtype_axis("SN_T", kReal)}; });

std::span<const int64_t> shape_of(const TensorView& view) {
    return {view.shape, static_cast<size_t>(view.rank)};
}

// Elements that lie side by side in both operands become wider ones, as wide as addresses allow.
// `size`: bytes of an element.
void widen(Dimensions& dims, const void* a, const void* b, size_t* size) {
    const auto addresses = reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b);
    const size_t last = dims.shape.size() - 1;
    while (!dims.shape.empty() && *size < 16) {
        bool fits = dims.shape[last] % 2 == 0 && addresses % (2 * *size) == 0;
        for (const std::vector<int64_t>& steps : dims.strides) {
            fits = fits && steps[last] == 1;
            for (size_t d = 0; d < last; ++d) fits = fits && steps[d] % 2 == 0;
        }
        if (!fits) return;
        *size *= 2;
        dims.shape[last] /= 2;
        dims.count /= 2;
        for (std::vector<int64_t>& steps : dims.strides)
            for (size_t d = 0; d < last; ++d) steps[d] /= 2;
    }
}

// The dimension to be turned against the last one, which is dense in the result: dense in the
// operand, and both long enough for tiles. -1: none.
int turned_dimension(const Dimensions& dims) {
    const int last = static_cast<int>(dims.shape.size()) - 1;
    if (last < 1 || dims.strides[0][last] != 1 || std::abs(dims.strides[1][last]) == 1) return -1;
    if (dims.shape[last] < 8) return -1;
    for (int d = 0; d < last; ++d)
        if (dims.strides[1][d] == 1 && dims.shape[d] >= 8) return d;
    return -1;
}

void transpose(Device device, const Dimensions& dims, int turned, void* to, const void* from,
               size_t size) {
    const int last = static_cast<int>(dims.shape.size()) - 1;
    Dimensions outer;
    outer.strides.resize(2);
    for (int d = 0; d < last; ++d) {
        if (d == turned) continue;
        outer.shape.push_back(dims.shape[d]);
        outer.count *= dims.shape[d];
        for (int k = 0; k < 2; ++k) outer.strides[k].push_back(dims.strides[k][d]);
    }
    TransposeArgs args{};
    args.n = dims.shape[last];
    args.m = dims.shape[turned];
    args.to_step = dims.strides[0][turned];
    args.from_step = dims.strides[1][last];
    args.n_tiles = (args.n + kTile - 1) / kTile;
    args.m_tiles = (args.m + kTile - 1) / kTile;
    const Function& kernel = kTranspose.get(device, {static_cast<int>(size)});
    for_each_loop<2>(outer, [&](const Strided<2>& loop, int64_t count, const int64_t* offsets) {
        args.outer = loop;
        args.outer_count = count;
        args.to = static_cast<char*>(to) + offsets[0] * static_cast<int64_t>(size);
        args.from = static_cast<const char*>(from) + offsets[1] * static_cast<int64_t>(size);
        launch(kernel, grid_of_blocks(args.n_tiles * args.m_tiles * count), kTile * kTileRows,
               args);
    });
}

}  // namespace

void strided_copy(Device device, const TensorView& to, const TensorView& from) {
    Dimensions dims = merge_dimensions(shape_of(to), {to.strides, from.strides}, true);
    if (dims.count == 0) return;
    size_t size = dtype_size(to.dtype);
    const int turned = turned_dimension(dims);
    if (turned >= 0) return transpose(device, dims, turned, to.data, from.data, size);
    widen(dims, to.data, from.data, &size);
    const Function& kernel = kCopy.get(device, {static_cast<int>(size)});
    for_each_loop<2>(dims, [&](const Strided<2>& loop, int64_t count, const int64_t* offsets) {
        const int64_t bytes = static_cast<int64_t>(size);
        const CopyArgs args{to.as<char>() + offsets[0] * bytes,
                            from.as<const char>() + offsets[1] * bytes, count, loop};
        launch(kernel, grid_of(count), kThreads, args);
    });
}

void strided_fill(Device device, const TensorView& to, const Number& value) {
    const Dimensions dims = merge_dimensions(shape_of(to), {to.strides}, true);
    const int64_t size = static_cast<int64_t>(dtype_size(to.dtype));
    const Function& kernel = kFill.get(device, {static_cast<int>(size)});
    for_each_loop<1>(dims, [&](const Strided<1>& loop, int64_t count, const int64_t* offsets) {
        const FillArgs args{to.as<char>() + offsets[0] * size, value, count, loop};
        launch(kernel, grid_of(count), kThreads, args);
    });
}

namespace {

// The elements of the input in row-major order, whatever the shape of the result.
void copy(const KernelCall& c) {
    TensorView to = c.out[0], from = c.in[0];
    bool same = to.rank == from.rank;
    for (int d = 0; same && d < to.rank; ++d) same = to.shape[d] == from.shape[d];
    std::vector<int64_t> strides;
    if (!same) {  // one of the two is dense: it takes the other's shape
        const bool dense = is_contiguous(to);
        SN_CHECK(dense || is_contiguous(from));
        TensorView& turned = dense ? to : from;
        const TensorView& other = dense ? from : to;
        strides.resize(static_cast<size_t>(other.rank));
        int64_t step = 1;
        for (int d = other.rank; d-- > 0; step *= other.shape[d]) strides[d] = step;
        turned.shape = other.shape;
        turned.rank = other.rank;
        turned.strides = strides.data();
    }
    strided_copy(c.device, to, from);
}

// Strides by which `part` is read over `whole`, aligned at the last dimension.
std::vector<int64_t> broadcast_strides(const TensorView& part, int rank) {
    std::vector<int64_t> strides(static_cast<size_t>(rank), 0);
    for (int d = 0; d < part.rank; ++d)
        if (part.shape[d] != 1) strides[rank - part.rank + d] = part.strides[d];
    return strides;
}

// Operands: tensor, part (or a number), one start per dimension. Attributes: sizes, steps.
void slice_update(const KernelCall& c) {
    const TensorView &part = c.in[1], &out = c.out[0];
    AttrWords words(c.attrs);
    const std::span<const int64_t> sizes = words.list(), steps = words.list();
    if (c.in[0].data != out.data) strided_copy(c.device, out, c.in[0]);
    TensorView box = out;
    std::vector<int64_t> strides;
    int64_t begin = 0;
    for (int d = 0; d < out.rank; ++d) {
        begin += number_i64(c.in[2 + d]) * out.strides[d];
        strides.push_back(steps[d] * out.strides[d]);
    }
    box.data = out.as<char>() + begin * static_cast<int64_t>(dtype_size(out.dtype));
    box.shape = sizes.data();
    box.strides = strides.data();
    if (part.on_host) return strided_fill(c.device, box, number_of(part, out.dtype));
    const std::vector<int64_t> spread = broadcast_strides(part, out.rank);
    TensorView from = box;
    from.data = part.data;
    from.strides = spread.data();
    strided_copy(c.device, box, from);
}

void concat(const KernelCall& c) {  // attribute: axis
    const TensorView& out = c.out[0];
    const int64_t axis = c.attrs[0];
    int64_t start = 0;
    for (int k = 0; k < c.n_in; ++k) {
        TensorView box = out;
        box.shape = c.in[k].shape;
        box.data = out.as<char>() +
                   start * out.strides[axis] * static_cast<int64_t>(dtype_size(out.dtype));
        strided_copy(c.device, box, c.in[k]);
        start += c.in[k].shape[axis];
    }
}

void pad(const KernelCall& c) {  // operands: tensor, number; attributes: low, high
    const TensorView &out = c.out[0], &in = c.in[0];
    const std::span<const int64_t> low = AttrWords(c.attrs).list();
    const Number value = number_of(c.in[1], out.dtype);
    const int64_t size = static_cast<int64_t>(dtype_size(out.dtype));
    if (out.rank > kMaxRank) {
        strided_fill(c.device, out, value);
        TensorView box = out;
        int64_t begin = 0;
        for (int d = 0; d < out.rank; ++d) begin += low[d] * out.strides[d];
        box.data = out.as<char>() + begin * size;
        box.shape = in.shape;
        return strided_copy(c.device, box, in);
    }
    PadArgs args{};
    args.to = out.data;
    args.from = in.data;
    args.value = value;
    args.count = out.numel();
    // A dimension that is not padded becomes part of the one before it, where strides allow.
    int rank = 0;
    for (int d = 0; d < out.rank; ++d) {
        const bool joins = rank > 0 && in.shape[d] == out.shape[d] &&
                           args.to_strides[rank - 1] == out.shape[d] * out.strides[d] &&
                           args.from_strides[rank - 1] == in.shape[d] * in.strides[d];
        const int64_t times = joins ? out.shape[d] : 1;
        if (!joins) {
            args.shape[rank] = out.shape[d];
            args.size[rank] = in.shape[d];
            args.low[rank++] = low[d];
        }
        args.shape[rank - 1] *= times;
        args.size[rank - 1] *= times;
        args.low[rank - 1] *= times;
        args.to_strides[rank - 1] = out.strides[d];
        args.from_strides[rank - 1] = in.strides[d];
    }
    args.rank = rank;
    args.wide = args.count >= int64_t{1} << 31;
    launch(kPad.get(c.device, {static_cast<int>(size)}), grid_of(args.count), kThreads, args);
}

void full(const KernelCall& c) {
    strided_fill(c.device, c.out[0], number_of(c.in[0], c.out[0].dtype));
}

// Operands: real and imaginary part, broadcast, or numbers.
void complex(const KernelCall& c) {
    const TensorView& out = c.out[0];
    const DType part = real_dtype(out.dtype);
    std::vector<int64_t> strides(out.strides, out.strides + out.rank);
    for (int64_t& stride : strides) stride *= 2;
    for (int k = 0; k < 2; ++k) {
        TensorView to = out;
        to.dtype = part;
        to.strides = strides.data();
        to.data = out.as<char>() + static_cast<size_t>(k) * dtype_size(part);
        if (c.in[k].on_host) {
            strided_fill(c.device, to, number_of(c.in[k], part));
            continue;
        }
        const std::vector<int64_t> spread = broadcast_strides(c.in[k], out.rank);
        TensorView from = to;
        from.data = c.in[k].data;
        from.strides = spread.data();
        strided_copy(c.device, to, from);
    }
}

void arange(const KernelCall& c) {
    const TensorView& out = c.out[0];
    ArangeArgs args{out.data, out.numel(), 0, 0, 0, 0};
    if (is_float(out.dtype)) {
        args.start = number_f64(c.in[0]);
        args.step = number_f64(c.in[1]);
    } else {
        args.whole_start = number_i64(c.in[0]);
        args.whole_step = number_i64(c.in[1]);
    }
    launch(kArange.get(c.device, {static_cast<int>(out.dtype)}), grid_of(args.count), kThreads,
           args);
}

// Counted from the nearer end, so that both ends are exact; without the endpoint, the numbers of
// one more, less the last. Attributes: count, endpoint.
void linspace(const KernelCall& c) {
    const double start = number_f64(c.in[0]), stop = number_f64(c.in[1]);
    const int64_t steps = c.attrs[1] ? c.attrs[0] - 1 : c.attrs[0];
    const double n = steps > 0 ? static_cast<double>(steps) : 1.0, span = stop - start;
    const bool overflows = span - span != 0 && start - start == 0 && stop - stop == 0;
    const double step = overflows ? stop / n - start / n : span / n;
    const LinspaceArgs args{c.out[0].data, c.attrs[0], steps, start, stop, step};
    launch(kLinspace.get(c.device, {static_cast<int>(c.out[0].dtype)}), grid_of(args.count),
           kThreads, args);
}

}  // namespace

void register_movement_wrappers(KernelTable& table) {
    table.add("contiguous", copy);
    table.add("reshape", copy);
    table.add("slice_update", slice_update);
    table.add("concat", concat);
    table.add("pad", pad);
    table.add("full", full);
    table.add("complex", complex);
    table.add("arange", arange);
    table.add("linspace", linspace);
}

}  // namespace sn::cuda
