// Gathers and scatters. All positions are checked before anything is written; a scatter adds up, or
// overwrites, in the order of its sources.
#include <type_traits>

#include "backend/reference/reference.h"
#include "backend/value_error.h"
#include "base/error.h"
#include "op/scatter_kind.h"

namespace sn::reference {
namespace {

// The indices (int32 or int64) as positions in an axis of `size`.
std::vector<int64_t> resolve(const char* op, const TensorView& indices, int64_t axis, int64_t size,
                             bool negative) {
    std::vector<int64_t> positions;
    with_type(indices.dtype, [&](auto zero) {
        for (auto given : read<decltype(zero)>(indices)) {
            const int64_t index = static_cast<int64_t>(given);
            const int64_t position = index < 0 && negative ? index + size : index;
            if (position < 0 || position >= size)
                fail_index(op, index, static_cast<int64_t>(positions.size()), indices, axis, size,
                           negative);
            positions.push_back(position);
        }
    });
    return positions;
}

// Where each element of a row-major result lies in row-major x: rows along an axis.
std::vector<int64_t> places_of_rows(const Axis& x, const std::vector<int64_t>& rows) {
    std::vector<int64_t> places;
    for (int64_t o = 0; o < x.outer; ++o)
        for (int64_t row : rows)
            for (int64_t i = 0; i < x.inner; ++i) places.push_back(x.at(o, row, i));
    return places;
}
// The same where every element has an index of its own along the axis.
std::vector<int64_t> places_along(const char* op, const TensorView& x, const TensorView& indices,
                                  int64_t axis) {
    std::vector<int64_t> places = resolve(op, indices, axis, x.rank == 0 ? 1 : x.shape[axis], true);
    for (size_t e = 0; e < places.size(); ++e) {
        int64_t rest = static_cast<int64_t>(e), place = 0, step = 1;
        for (int d = x.rank; d-- > 0;) {
            place += (d == axis ? places[e] : rest % indices.shape[d]) * step;
            rest /= indices.shape[d];
            step *= x.shape[d];
        }
        places[e] = place;
    }
    return places;
}
// The same for one index per leading dimension.
std::vector<int64_t> places_nd(const char* op, const TensorView& x, const TensorView* indices,
                               int count) {
    std::vector<int64_t> rows(static_cast<size_t>(indices[0].numel()), 0);
    for (int d = 0; d < count; ++d) {
        const std::vector<int64_t> positions = resolve(op, indices[d], d, x.shape[d], true);
        for (size_t i = 0; i < rows.size(); ++i) rows[i] = rows[i] * x.shape[d] + positions[i];
    }
    const int64_t inner = product(x.shape, count, x.rank);
    std::vector<int64_t> places;
    for (int64_t row : rows)
        for (int64_t i = 0; i < inner; ++i) places.push_back(row * inner + i);
    return places;
}

void gather(const KernelCall& c, const std::vector<int64_t>& places) {
    const std::vector<Bits> x = read_bits(c.in[0]);
    std::vector<Bits> out;
    for (int64_t place : places) out.push_back(x[place]);
    write_bits(c.out[0], out);
}

// f16 and bf16 are summed in f32 and rounded once; bool is "or".
void scatter(const KernelCall& c, const TensorView& values, const std::vector<int64_t>& places,
             bool accumulate) {
    if (!accumulate) {
        std::vector<Bits> out = read_bits(c.in[0]);
        const std::vector<Bits> from = read_bits(values);
        for (size_t e = 0; e < places.size(); ++e) out[places[e]] = from[e];
        write_bits(c.out[0], out);
        return;
    }
    with_type(c.out[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        std::vector<T> out = read<T>(c.in[0]);
        const std::vector<T> from = read<T>(values);
        for (size_t e = 0; e < places.size(); ++e) {
            T& to = out[places[e]];
            if constexpr (std::is_floating_point_v<T>)
                to += from[e];
            else if (is_bool(c.out[0].dtype))
                to = to | from[e];
            else
                to = static_cast<T>(static_cast<uint64_t>(to) + static_cast<uint64_t>(from[e]));
        }
        write(c.out[0], out);
    });
}

void take_rows(const KernelCall& c, const char* op, int64_t axis, bool negative) {
    const Axis x(c.in[0], axis);
    gather(c, places_of_rows(x, resolve(op, c.in[1], axis, x.n, negative)));
}
void take(const KernelCall& c) { take_rows(c, "take", c.attrs[0], true); }
void embedding(const KernelCall& c) { take_rows(c, "embedding", 0, false); }

void index_add(const KernelCall& c) {
    const Axis x(c.in[0], c.attrs[0]);
    scatter(c, c.in[2], places_of_rows(x, resolve("index_add", c.in[1], c.attrs[0], x.n, true)),
            true);
}

void take_along_axis(const KernelCall& c) {
    gather(c, places_along("take_along_axis", c.in[0], c.in[1], c.attrs[0]));
}
void scatter_along(const KernelCall& c) {  // attributes: axis, accumulate
    scatter(c, c.in[2], places_along("scatter", c.in[0], c.in[1], c.attrs[0]), c.attrs[1] != 0);
}

// Products, largest or smallest in source order; NaN wins. Attributes: axis, kind.
void scatter_reduce(const KernelCall& c) {
    const std::vector<int64_t> places =
        places_along("scatter_reduce", c.in[0], c.in[1], c.attrs[0]);
    with_type(c.out[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        std::vector<T> out = read<T>(c.in[0]);
        const std::vector<T> from = read<T>(c.in[2]);
        for (size_t e = 0; e < places.size(); ++e) {
            T& to = out[places[e]];
            const T v = from[e];
            switch (static_cast<ScatterKind>(c.attrs[1])) {
                case ScatterKind::kProd:
                    if constexpr (std::is_floating_point_v<T>)
                        to *= v;
                    else
                        to = static_cast<T>(static_cast<uint64_t>(to) * static_cast<uint64_t>(v));
                    break;
                case ScatterKind::kMax: to = v > to || v != v ? v : to; break;
                case ScatterKind::kMin: to = v < to || v != v ? v : to; break;
            }
        }
        write(c.out[0], out);
    });
}

void gather_nd(const KernelCall& c) {
    gather(c, places_nd("gather_nd", c.in[0], c.in + 1, c.n_in - 1));
}
void scatter_nd(const KernelCall& c) {  // attribute: accumulate
    scatter(c, c.in[1], places_nd("scatter_nd", c.in[0], c.in + 2, c.n_in - 2), c.attrs[0] != 0);
}

void one_hot(const KernelCall& c) {  // attribute: classes
    const int64_t classes = c.attrs[0];
    std::vector<Bits> out(static_cast<size_t>(c.out[0].numel()), 0);
    Bits one = 0;
    store_cell(c.out[0].dtype, &one, scalar_cell(c.out[0].dtype, Scalar::of_int(1)));
    size_t row = 0;
    for (int64_t k : resolve("one_hot", c.in[0], c.in[0].rank, classes, false))
        out[row++ * static_cast<size_t>(classes) + static_cast<size_t>(k)] = one;
    write_bits(c.out[0], out);
}

// out[dimension][k]: the coordinates of the k-th true element. Attribute: their number.
void nonzero(const KernelCall& c) {
    const TensorView& mask = c.in[0];
    const int64_t count = c.attrs[0];
    const std::vector<uint8_t> values = read<uint8_t>(mask);
    std::vector<int64_t> found;
    for (size_t i = 0; i < values.size(); ++i)
        if (values[i]) found.push_back(static_cast<int64_t>(i));
    SN_CHECK(static_cast<int64_t>(found.size()) == count);
    std::vector<int64_t> out(static_cast<size_t>(mask.rank * count));
    for (int64_t k = 0; k < count; ++k) {
        for (int d = mask.rank; d-- > 0;) {
            out[d * count + k] = found[k] % mask.shape[d];
            found[k] /= mask.shape[d];
        }
    }
    write(c.out[0], out);
}

}  // namespace

void register_indexing(KernelTable& table) {
    table.add("take", take);
    table.add("embedding", embedding);
    table.add("index_add", index_add);
    table.add("take_along_axis", take_along_axis);
    table.add("scatter", scatter_along);
    table.add("scatter_reduce", scatter_reduce);
    table.add("gather_nd", gather_nd);
    table.add("scatter_nd", scatter_nd);
    table.add("one_hot", one_hot);
    table.add("nonzero", nonzero);
}

}  // namespace sn::reference
