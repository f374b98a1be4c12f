// The fixed reduction tree of design note 001, and the kernels that are one reduction per result.
#include <limits>
#include <type_traits>

#include "backend/reference/reference.h"
#include "backend/value_error.h"
#include "base/error.h"

namespace sn::reference {
namespace {

using cpu::ReduceKind;

// Integers wrap: sums and products are computed unsigned.
template <class T>
struct Word {
    using type = std::make_unsigned_t<T>;
};
template <>
struct Word<float> {
    using type = float;
};
template <>
struct Word<double> {
    using type = double;
};

template <class T>
T combine(ReduceKind kind, T a, T x) {
    using W = typename Word<T>::type;
    switch (kind) {
        case ReduceKind::kProd: return static_cast<T>(static_cast<W>(a) * static_cast<W>(x));
        case ReduceKind::kMax: return x > a || x != x ? x : a;
        case ReduceKind::kMin: return x < a || x != x ? x : a;
        case ReduceKind::kAny: return a != T(0) || x != T(0);
        case ReduceKind::kAll: return a != T(0) && x != T(0);
        default: return static_cast<T>(static_cast<W>(a) + static_cast<W>(x));
    }
}

template <class T>
T identity(ReduceKind kind) {
    using Limits = std::numeric_limits<T>;
    switch (kind) {
        case ReduceKind::kProd:
        case ReduceKind::kAll: return T(1);
        case ReduceKind::kMax: return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
        case ReduceKind::kMin: return Limits::has_infinity ? Limits::infinity() : Limits::max();
        default: return T(0);
    }
}

template <class T>
T fold_lanes(ReduceKind kind, T* lanes) {
    for (int64_t half = kReduceLanes / 2; half >= 1; half /= 2)
        for (int64_t l = 0; l < half; ++l) lanes[l] = combine(kind, lanes[l], lanes[l + half]);
    return lanes[0];
}

// What a stretch of a row comes to: a value, and for a variance the squares about its mean.
template <class T>
struct Partial {
    T value;
    T squares = 0;
    int64_t n = 0;
};

template <class T>
Partial<T> reduce_block(ReduceKind kind, const T* x, int64_t n) {
    T lanes[kReduceLanes];
    for (T& lane : lanes) lane = identity<T>(kind);
    for (int64_t i = 0; i < n; ++i)
        lanes[i % kReduceLanes] = combine(kind, lanes[i % kReduceLanes], x[i]);
    Partial<T> result{fold_lanes(kind, lanes)};
    result.n = n;
    if constexpr (std::is_floating_point_v<T>) {
        if (kind == ReduceKind::kVar) {
            const T mean = result.value / static_cast<T>(n);
            T squares[kReduceLanes] = {};
            for (int64_t i = 0; i < n; ++i) {
                const T d = x[i] - mean;
                T& lane = squares[i % kReduceLanes];
                lane = sizeof(T) == 4 ? static_cast<T>(__builtin_fmaf(d, d, lane))
                                      : static_cast<T>(__builtin_fma(d, d, lane));
            }
            result.squares = fold_lanes(ReduceKind::kSum, squares);
        }
    }
    return result;
}

template <class T>
Partial<T> merge(ReduceKind kind, const Partial<T>& a, const Partial<T>& b) {
    Partial<T> result{combine(kind, a.value, b.value)};
    result.n = a.n + b.n;
    if constexpr (std::is_floating_point_v<T>) {
        if (kind == ReduceKind::kVar) {
            const double na = static_cast<double>(a.n), nb = static_cast<double>(b.n);
            const T weight = static_cast<T>(na * nb / (na + nb));
            const T delta = b.value / static_cast<T>(b.n) - a.value / static_cast<T>(a.n);
            const T squares = a.squares + b.squares;
            result.squares = sizeof(T) == 4
                                 ? static_cast<T>(__builtin_fmaf(delta * delta, weight, squares))
                                 : static_cast<T>(__builtin_fma(delta * delta, weight, squares));
        }
    }
    return result;
}

// Blocks are merged pairwise; one without a partner moves up as it is.
template <class T>
Partial<T> reduce_row(ReduceKind kind, const std::vector<T>& x) {
    const int64_t n = static_cast<int64_t>(x.size());
    std::vector<Partial<T>> level;
    for (int64_t i = 0; i < n || level.empty(); i += kReduceBlock)
        level.push_back(
            reduce_block(kind, x.data() + i, n - i < kReduceBlock ? n - i : kReduceBlock));
    while (level.size() > 1) {
        std::vector<Partial<T>> next;
        for (size_t i = 0; i + 1 < level.size(); i += 2)
            next.push_back(merge(kind, level[i], level[i + 1]));
        if (level.size() % 2) next.push_back(level.back());
        level = next;
    }
    return level[0];
}

template <class T>
int64_t first_index(const std::vector<T>& x, T wanted) {
    for (size_t i = 0; i < x.size(); ++i)
        if (x[i] == wanted || (x[i] != x[i] && wanted != wanted)) return static_cast<int64_t>(i);
    return -1;
}

}  // namespace

Cell reduce_cells(ReduceKind kind, DType dtype, const std::vector<Cell>& cells, Cell* mean) {
    return with_type(dtype, [&](auto zero) {
        using T = decltype(zero);
        std::vector<T> x;
        for (Cell cell : cells) x.push_back(cell.get<T>());
        if (kind == ReduceKind::kArgMax || kind == ReduceKind::kArgMin) {
            const ReduceKind value =
                kind == ReduceKind::kArgMax ? ReduceKind::kMax : ReduceKind::kMin;
            return Cell::of<int64_t>(first_index(x, reduce_row(value, x).value));
        }
        Partial<T> result = reduce_row(kind, x);
        const T n = static_cast<T>(x.size());
        if (mean) *mean = round_cell(dtype, Cell::of<T>(result.value / n));
        if (kind == ReduceKind::kMean) return round_cell(dtype, Cell::of<T>(result.value / n));
        if (kind == ReduceKind::kVar) return round_cell(dtype, Cell::of<T>(result.squares / n));
        return round_cell(dtype, Cell::of<T>(result.value));
    });
}

namespace {

// Calls f(offset of the input's elements of one result, result number) for all results in row-major
// order; `members` are the offsets of the reduced elements relative to it.
struct Reduction {
    std::vector<int64_t> starts, members;
    Reduction(const TensorView& x, const std::vector<int64_t>& axes) {
        std::vector<int64_t> kept_shape, kept_strides, shape, strides;
        for (int d = 0; d < x.rank; ++d) {
            bool reduced = false;
            for (int64_t axis : axes) reduced |= axis == d;
            (reduced ? shape : kept_shape).push_back(x.shape[d]);
            (reduced ? strides : kept_strides).push_back(x.strides[d]);
        }
        starts =
            offsets_of(kept_shape.data(), kept_strides.data(), static_cast<int>(kept_shape.size()));
        members = offsets_of(shape.data(), strides.data(), static_cast<int>(shape.size()));
    }
};

// The dtype that elements are converted to before they are combined.
DType staged_dtype(ReduceKind kind, const TensorView& x, const TensorView& out) {
    if (kind == ReduceKind::kAny || kind == ReduceKind::kAll) return DType::kBool;
    if (kind == ReduceKind::kArgMax || kind == ReduceKind::kArgMin) return x.dtype;
    return out.dtype;
}

void reduce(ReduceKind kind, const KernelCall& c, const std::vector<int64_t>& axes) {
    const TensorView &x = c.in[0], &out = c.out[0];
    if (out.numel() == 0) return;
    const Reduction r(x, axes);
    const bool extreme = kind == ReduceKind::kMax || kind == ReduceKind::kMin;
    const bool index = kind == ReduceKind::kArgMax || kind == ReduceKind::kArgMin;
    if (r.members.empty() && (extreme || index)) {
        fail(ErrorKind::kValue, index ? "argmax" : "max",
             "there is nothing to reduce (a reduced axis has size 0); max, min, argmax and argmin "
             "have no value for nothing; give the axis at least one element");
    }
    const DType staged = staged_dtype(kind, x, out);
    // Between f16, bf16 and f32 numbers are combined in f32 and rounded once, at the end.
    const bool cast = !(is_float(staged) && compute_dtype(staged) == compute_dtype(x.dtype));
    const int64_t size = static_cast<int64_t>(dtype_size(x.dtype));
    std::vector<Cell> cells(r.members.size());
    std::vector<Bits> results, means;
    for (int64_t start : r.starts) {
        for (size_t i = 0; i < cells.size(); ++i) {
            cells[i] = load_cell(x.dtype, x.as<char>() + (start + r.members[i]) * size);
            if (cast) cells[i] = cast_cell(x.dtype, staged, cells[i]);
        }
        Cell mean;
        const Cell result =
            reduce_cells(kind, staged, cells, kind == ReduceKind::kVar ? &mean : nullptr);
        results.push_back(0);
        store_cell(out.dtype, &results.back(), result);
        means.push_back(0);
        store_cell(out.dtype, &means.back(), mean);
    }
    write_bits(out, results);
    if (c.n_out > 1) write_bits(c.out[1], means);
}

template <ReduceKind kind>
void reduce_axes(const KernelCall& c) {  // attributes: axes, keepdims
    reduce(kind, c, Words(c.attrs).list());
}
template <ReduceKind kind>
void reduce_axis(const KernelCall& c) {  // attributes: axis, keepdims
    reduce(kind, c, {c.attrs[0]});
}

// Attributes: classes, ignore_index, dtype of the numbers, dtype of the weights.
void check_labels(const KernelCall& c) {
    const std::vector<int64_t> labels = read<int64_t>(c.in[0]);
    const int64_t classes = c.attrs[0], ignore_index = c.attrs[1];
    with_type(c.out[1].dtype, [&](auto weight_zero) {
        using W = decltype(weight_zero);
        const std::vector<W> class_weights = c.n_in > 1 ? read<W>(c.in[1]) : std::vector<W>();
        std::vector<int64_t> numbers;
        std::vector<W> weights;
        double total = 0;
        for (size_t i = 0; i < labels.size(); ++i) {
            const int64_t label = labels[i];
            const bool ignored = label == ignore_index;
            if (!ignored && (label < 0 || label >= classes))
                fail_label(c.in[0], label, static_cast<int64_t>(i), classes, ignore_index);
            numbers.push_back(ignored ? -1 : label);
            weights.push_back(ignored ? W(0) : class_weights.empty() ? W(1) : class_weights[label]);
            total += static_cast<double>(weights.back());
        }
        with_type(c.out[0].dtype, [&](auto number_zero) {
            write(c.out[0], std::vector<decltype(number_zero)>(numbers.begin(), numbers.end()));
        });
        write(c.out[1], weights);
        write(c.out[2], std::vector<W>{static_cast<W>(total)});
    });
}

}  // namespace

void register_reduce(KernelTable& table) {
    table.add("sum", reduce_axes<ReduceKind::kSum>);
    table.add("sum_wide", reduce_axes<ReduceKind::kSum>);
    table.add("prod", reduce_axes<ReduceKind::kProd>);
    table.add("max", reduce_axes<ReduceKind::kMax>);
    table.add("min", reduce_axes<ReduceKind::kMin>);
    table.add("any", reduce_axes<ReduceKind::kAny>);
    table.add("all", reduce_axes<ReduceKind::kAll>);
    table.add("mean", reduce_axes<ReduceKind::kMean>);
    table.add("var", reduce_axes<ReduceKind::kVar>);
    table.add("var_mean", reduce_axes<ReduceKind::kVar>);
    table.add("argmax", reduce_axis<ReduceKind::kArgMax>);
    table.add("argmin", reduce_axis<ReduceKind::kArgMin>);
    table.add("check_labels", check_labels);
}

}  // namespace sn::reference
