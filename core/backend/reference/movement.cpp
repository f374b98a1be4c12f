// Ops that place elements: copies, slices, concatenation, padding, and tensors made of numbers.
#include <type_traits>

#include "backend/reference/reference.h"

namespace sn::reference {
namespace {

// Row-major positions within `shape` of the box that begins at `start`, in steps.
std::vector<int64_t> box(const TensorView& whole, const std::vector<int64_t>& start,
                         const std::vector<int64_t>& sizes, const std::vector<int64_t>& steps) {
    std::vector<int64_t> strides(start.size());
    int64_t base = 0, step = 1;
    for (int d = whole.rank; d-- > 0;) {
        base += start[d] * step;
        strides[d] = steps[d] * step;
        step *= whole.shape[d];
    }
    std::vector<int64_t> places = offsets_of(sizes.data(), strides.data(), whole.rank);
    for (int64_t& place : places) place += base;
    return places;
}

// The elements of `part` go where `whole` has the box.
void put_box(const TensorView& whole, std::vector<Bits>& to, const TensorView& part,
             const std::vector<int64_t>& start) {
    const std::vector<int64_t> sizes(part.shape, part.shape + part.rank), steps(start.size(), 1);
    const std::vector<Bits> from = read_bits(part);
    size_t i = 0;
    for (int64_t place : box(whole, start, sizes, steps)) to[place] = from[i++];
}

// The elements of the input in row-major order: a copy, whatever the shape of the result.
void copy(const KernelCall& c) { write_bits(c.out[0], read_bits(c.in[0])); }

// Operands: tensor, part (or a number), one start per dimension. Attributes: sizes, steps.
void slice_update(const KernelCall& c) {
    const TensorView &part = c.in[1], &out = c.out[0];
    Words words(c.attrs);
    const std::vector<int64_t> sizes = words.list(), steps = words.list();
    std::vector<int64_t> start, spread;
    for (int d = 0; d < out.rank; ++d) {
        start.push_back(number_i64(c.in[2 + d]));
        const int p = d - (out.rank - part.rank);
        spread.push_back(p < 0 || part.shape[p] == 1 ? 0 : part.strides[p]);
    }
    const TensorView broadcast{part.data, sizes.data(), spread.data(), out.rank, part.dtype};
    std::vector<Bits> to = read_bits(c.in[0]);
    const bool number = part.dtype != out.dtype;
    const std::vector<Bits> from = number ? std::vector<Bits>() : read_bits(broadcast);
    size_t i = 0;
    for (int64_t place : box(out, start, sizes, steps))
        to[place] = number ? number_bits(part, out.dtype) : from[i++];
    write_bits(out, to);
}

void concat(const KernelCall& c) {  // attribute: axis
    const TensorView& out = c.out[0];
    std::vector<Bits> to(static_cast<size_t>(out.numel()));
    std::vector<int64_t> start(static_cast<size_t>(out.rank), 0);
    for (int k = 0; k < c.n_in; ++k) {
        put_box(out, to, c.in[k], start);
        start[c.attrs[0]] += c.in[k].shape[c.attrs[0]];
    }
    write_bits(out, to);
}

void pad(const KernelCall& c) {  // operands: tensor, number; attributes: low, high
    const TensorView& out = c.out[0];
    std::vector<Bits> to(static_cast<size_t>(out.numel()), number_bits(c.in[1], out.dtype));
    put_box(out, to, c.in[0], Words(c.attrs).list());
    write_bits(out, to);
}

void full(const KernelCall& c) {
    const TensorView& out = c.out[0];
    write_bits(
        out, std::vector<Bits>(static_cast<size_t>(out.numel()), number_bits(c.in[0], out.dtype)));
}

// Operands: real and imaginary part, broadcast, or numbers.
void complex(const KernelCall& c) {
    const TensorView& out = c.out[0];
    const DType part = real_dtype(out.dtype);
    std::vector<Bits> parts[2];
    for (int k = 0; k < 2; ++k) {
        const TensorView& x = c.in[k];
        if (x.dtype != part) {
            parts[k].assign(static_cast<size_t>(out.numel()), number_bits(x, part));
            continue;
        }
        std::vector<int64_t> spread;
        for (int d = 0; d < out.rank; ++d) {
            const int p = d - (out.rank - x.rank);
            spread.push_back(p < 0 || x.shape[p] == 1 ? 0 : x.strides[p]);
        }
        parts[k] = read_bits({x.data, out.shape, spread.data(), out.rank, part});
    }
    for (size_t i = 0; i < parts[0].size(); ++i)
        parts[0][i] |= parts[1][i] << (8 * dtype_size(part));
    write_bits(out, parts[0]);
}

// out[i] = value(i), a double or an int64_t.
template <class Value>
void generate(const TensorView& out, Value value) {
    std::vector<Bits> bits;
    for (int64_t i = 0, n = out.numel(); i < n; ++i) {
        const auto v = value(i);
        bits.push_back(0);
        store_cell(out.dtype, &bits.back(), with_type(out.dtype, [&](auto zero) {
                       if (is_bool(out.dtype)) return Cell::of<uint8_t>(v != 0);
                       return Cell::of(static_cast<decltype(zero)>(v));
                   }));
    }
    write_bits(out, bits);
}

void arange(const KernelCall& c) {
    if (is_float(c.out[0].dtype)) {
        const double start = number_f64(c.in[0]), step = number_f64(c.in[1]);
        generate(c.out[0], [=](int64_t i) { return start + static_cast<double>(i) * step; });
        return;
    }
    const uint64_t start = static_cast<uint64_t>(number_i64(c.in[0]));
    const uint64_t step = static_cast<uint64_t>(number_i64(c.in[1]));
    generate(c.out[0], [=](int64_t i) {
        return static_cast<int64_t>(start + static_cast<uint64_t>(i) * step);
    });
}

// Counted from the nearer end, so that both ends are exact; without the endpoint, the numbers of
// one more, less the last. Attributes: count, endpoint.
void linspace(const KernelCall& c) {
    const double start = number_f64(c.in[0]), stop = number_f64(c.in[1]);
    const int64_t steps = c.attrs[1] ? c.attrs[0] - 1 : c.attrs[0];
    const double n = steps > 0 ? static_cast<double>(steps) : 1.0, span = stop - start;
    const bool overflows = span - span != 0 && start - start == 0 && stop - stop == 0;
    const double step = overflows ? stop / n - start / n : span / n;
    generate(c.out[0], [=](int64_t i) {
        const bool lower = 2 * i <= steps;
        return lower ? start + static_cast<double>(i) * step
                     : stop - static_cast<double>(steps - i) * step;
    });
}

}  // namespace

void register_movement(KernelTable& table) {
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

}  // namespace sn::reference
