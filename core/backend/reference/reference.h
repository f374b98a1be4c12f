#pragma once
// The reference back-end: what every op means, in plain loops. It is the oracle of the tests, which
// demand the bits of the CPU's kernels from it, and the template for a new device. Nothing here is
// fast, and nothing here knows of an instruction set, a tile or a thread.
//
// A kernel reads its operands whole into row-major vectors, whatever their strides, computes, and
// writes its result through the strides of the output.
#include <cstdint>
#include <cstring>
#include <vector>

#include "backend/cpu/program.h"  // ReduceKind
#include "backend/kernel.h"
#include "base/dtype.h"

namespace sn::reference {

// ---- numbers that are part of the numerics (design note 001), written down once more

inline constexpr int64_t kReduceBlock = 1024, kReduceLanes = 16;
inline constexpr int64_t kMatmulSegment = 1024;
inline constexpr int64_t kPixelSegment = 256, kPixelGroup = 16;  // of a weight gradient
inline constexpr int64_t kScanBlock = 1024;

// ---- cells: one number of any dtype in eight bytes

// `Cell` holds a number in its compute type: f16 and bf16 are floats, bool is a byte.
struct Cell {
    uint64_t bits = 0;
    template <class T>
    T get() const {
        T value;
        std::memcpy(&value, &bits, sizeof(T));
        return value;
    }
    template <class T>
    static Cell of(T value) {
        Cell cell;
        std::memcpy(&cell.bits, &value, sizeof(T));
        return cell;
    }
};

Cell load_cell(DType dtype, const void* memory);
void store_cell(DType dtype, void* memory, Cell cell);
Cell cast_cell(DType from, DType to, Cell cell);
Cell round_cell(DType dtype, Cell cell);  // an f32 result to the values of f16 or bf16
Cell scalar_cell(DType dtype, const Scalar& scalar);

// Calls f with a zero of the compute type of `dtype`.
template <class F>
decltype(auto) with_type(DType dtype, F f) {
    switch (dtype) {
        case DType::kBool:
        case DType::kU8: return f(uint8_t());
        case DType::kU16: return f(uint16_t());
        case DType::kU32: return f(uint32_t());
        case DType::kU64: return f(uint64_t());
        case DType::kI8: return f(int8_t());
        case DType::kI16: return f(int16_t());
        case DType::kI32: return f(int32_t());
        case DType::kI64: return f(int64_t());
        case DType::kF64: return f(double());
        default: return f(float());
    }
}

// ---- tensors as row-major vectors

// Offsets, in elements, of the elements of a tensor in row-major order.
std::vector<int64_t> offsets_of(const int64_t* shape, const int64_t* strides, int rank);
int64_t product(const int64_t* shape, int from, int to);

// The elements as they lie in memory, for kernels that only move them.
using Bits = unsigned __int128;  // any element: a complex128 has 16 bytes
std::vector<Bits> read_bits(const TensorView& view);
void write_bits(const TensorView& view, const std::vector<Bits>& bits);

// The elements in compute type T; writing rounds f16 and bf16. An output without memory is one that
// nobody reads.
template <class T>
std::vector<T> read(const TensorView& view) {
    std::vector<T> values;
    const auto* base = static_cast<const char*>(view.data);
    const int64_t size = static_cast<int64_t>(dtype_size(view.dtype));
    for (int64_t at : offsets_of(view.shape, view.strides, view.rank))
        values.push_back(load_cell(view.dtype, base + at * size).get<T>());
    return values;
}
template <class T>
void write(const TensorView& view, const std::vector<T>& values) {
    if (!view.data) return;
    auto* base = static_cast<char*>(view.data);
    const int64_t size = static_cast<int64_t>(dtype_size(view.dtype));
    size_t i = 0;
    for (int64_t at : offsets_of(view.shape, view.strides, view.rank))
        store_cell(view.dtype, base + at * size, Cell::of<T>(values[i++]));
}

// A number given as an operand.
double number_f64(const TensorView& scalar);
int64_t number_i64(const TensorView& scalar);
Bits number_bits(const TensorView& scalar, DType dtype);  // as it lies in memory

// A tensor seen along one axis: [outer][n][inner].
struct Axis {
    int64_t outer, n, inner;
    Axis(const TensorView& x, int64_t axis)
        : outer(product(x.shape, 0, static_cast<int>(axis))),
          n(x.rank == 0 ? 1 : x.shape[axis]),
          inner(product(x.shape, static_cast<int>(axis) + 1, x.rank)) {}
    int64_t at(int64_t o, int64_t i, int64_t c) const { return (o * n + i) * inner + c; }
};

// Reads attribute words in the order of the op's schema.
class Words {
public:
    explicit Words(const int64_t* words) : at_(words) {}
    int64_t next() { return *at_++; }
    std::vector<int64_t> list() {
        const int64_t count = next();
        at_ += count;
        return {at_ - count, at_};
    }

private:
    const int64_t* at_;
};

// ---- elementwise operations and reductions, shared with programs

// Null where the op is not defined on the dtype, which is that of the arguments.
using CellFn = Cell (*)(const Cell* args);
CellFn elementwise(int tile_op, DType dtype);
// Reduces n cells of `dtype` by the fixed tree; the result is rounded to `dtype`. kVar gives the
// mean too, when asked.
Cell reduce_cells(cpu::ReduceKind kind, DType dtype, const std::vector<Cell>& cells,
                  Cell* mean = nullptr);

void register_movement(KernelTable& table);
void register_indexing(KernelTable& table);
void register_sorting_random(KernelTable& table);
void register_reduce(KernelTable& table);
void register_matmul_conv(KernelTable& table);
void register_pooling(KernelTable& table);
void register_recurrent(KernelTable& table);
void register_attention(KernelTable& table);
void register_ctc(KernelTable& table);

}  // namespace sn::reference
