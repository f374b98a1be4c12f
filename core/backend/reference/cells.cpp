// Numbers and strided tensors: the ground of the reference kernels.
#include <limits>
#include <type_traits>

#include "backend/reference/reference.h"

namespace sn::reference {

Cell load_cell(DType dtype, const void* memory) {
    uint64_t bits = 0;
    std::memcpy(&bits, memory, dtype_size(dtype));
    if (dtype == DType::kF16) return Cell::of(f16_to_f32(static_cast<uint16_t>(bits)));
    if (dtype == DType::kBF16) return Cell::of(bf16_to_f32(static_cast<uint16_t>(bits)));
    return {bits};
}

void store_cell(DType dtype, void* memory, Cell cell) {
    uint64_t bits = cell.bits;
    if (dtype == DType::kF16) bits = f32_to_f16(cell.get<float>());
    if (dtype == DType::kBF16) bits = f32_to_bf16(cell.get<float>());
    std::memcpy(memory, &bits, dtype_size(dtype));
}

Cell round_cell(DType dtype, Cell cell) {
    if (dtype == DType::kF16) return Cell::of(f16_to_f32(f32_to_f16(cell.get<float>())));
    if (dtype == DType::kBF16) return Cell::of(bf16_to_f32(f32_to_bf16(cell.get<float>())));
    return cell;
}

namespace {

// Float to integer truncates towards zero and saturates, NaN gives 0; integers keep the low bits.
template <class To, class From>
To convert(From x) {
    if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
        using Limits = std::numeric_limits<To>;
        if (x != x) return 0;
        const From end = static_cast<From>(Limits::max() / 2 + 1) * From(2);  // exact
        if (x >= end) return Limits::max();
        if (x <= static_cast<From>(Limits::lowest())) return Limits::lowest();
        return static_cast<To>(x);
    } else {
        return static_cast<To>(x);
    }
}

}  // namespace

Cell cast_cell(DType from, DType to, Cell cell) {
    return with_type(from, [&](auto from_zero) {
        const auto x = cell.get<decltype(from_zero)>();
        if (is_bool(to)) return Cell::of<uint8_t>(x != decltype(from_zero)(0));
        return with_type(to, [&](auto to_zero) {
            return round_cell(to, Cell::of(convert<decltype(to_zero)>(x)));
        });
    });
}

Cell scalar_cell(DType dtype, const Scalar& s) {
    if (is_bool(dtype))
        return Cell::of<uint8_t>(s.kind == ScalarKind::kFloat ? s.f != 0 : s.i != 0);
    return with_type(dtype, [&](auto zero) {
        using T = decltype(zero);
        if constexpr (std::is_floating_point_v<T>)
            return round_cell(dtype, Cell::of(static_cast<T>(s.as_double())));
        else
            return Cell::of(static_cast<T>(s.as_int()));
    });
}

int64_t product(const int64_t* shape, int from, int to) {
    int64_t n = 1;
    for (int d = from; d < to; ++d) n *= shape[d];
    return n;
}

std::vector<int64_t> offsets_of(const int64_t* shape, const int64_t* strides, int rank) {
    std::vector<int64_t> offsets;
    const int64_t n = product(shape, 0, rank);
    for (int64_t i = 0; i < n; ++i) {
        int64_t rest = i, at = 0;
        for (int d = rank; d-- > 0;) {
            at += rest % shape[d] * strides[d];
            rest /= shape[d];
        }
        offsets.push_back(at);
    }
    return offsets;
}

std::vector<Bits> read_bits(const TensorView& view) {
    std::vector<Bits> bits;
    const size_t size = dtype_size(view.dtype);
    for (int64_t at : offsets_of(view.shape, view.strides, view.rank)) {
        bits.push_back(0);
        std::memcpy(&bits.back(), view.as<char>() + at * static_cast<int64_t>(size), size);
    }
    return bits;
}

void write_bits(const TensorView& view, const std::vector<Bits>& bits) {
    if (!view.data) return;
    const size_t size = dtype_size(view.dtype);
    size_t i = 0;
    for (int64_t at : offsets_of(view.shape, view.strides, view.rank))
        std::memcpy(view.as<char>() + at * static_cast<int64_t>(size), &bits[i++], size);
}

double number_f64(const TensorView& scalar) {
    return with_type(scalar.dtype, [&](auto zero) {
        return static_cast<double>(load_cell(scalar.dtype, scalar.data).get<decltype(zero)>());
    });
}
int64_t number_i64(const TensorView& scalar) {
    return with_type(scalar.dtype, [&](auto zero) {
        return static_cast<int64_t>(load_cell(scalar.dtype, scalar.data).get<decltype(zero)>());
    });
}
Bits number_bits(const TensorView& scalar, DType dtype) {
    if (is_complex(dtype)) {
        const DType part = real_dtype(dtype);
        TensorView re = scalar, im = scalar;
        if (!is_complex(scalar.dtype)) return number_bits(scalar, part);
        re.dtype = im.dtype = real_dtype(scalar.dtype);
        im.data = scalar.as<char>() + dtype_size(im.dtype);
        return number_bits(re, part) | number_bits(im, part) << (8 * dtype_size(part));
    }
    const bool whole = is_int(dtype);  // integers wrap
    const Scalar number =
        whole ? Scalar::of_int(number_i64(scalar)) : Scalar::of_float(number_f64(scalar));
    uint64_t bits = 0;
    store_cell(dtype, &bits, scalar_cell(dtype, number));
    return bits;
}

}  // namespace sn::reference
