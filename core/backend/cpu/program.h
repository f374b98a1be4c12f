#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/dtype.h"

namespace sn::cpu {

// A tile program: a fused group of elementwise operations and row reductions, run over tiles that
// stay in L1. A program is a short list of instructions; each is one vectorised loop, compiled
// ahead of time for every instruction set, so nothing is compiled at run time.
//
// Loop space. `shape` is the logical (row-major) iteration space of the group. Its last `row_dims`
// dimensions, flattened in logical order, form the row that reductions run along (0: no
// reductions). A value is FULL (one element per point) or ROW (one element per row).
class Program;

// kVar is the biased variance M2 / n. The last two are for reduce() only (reduce.h).
enum class ReduceKind : uint8_t {
    kSum,
    kProd,
    kMax,
    kMin,
    kAny,
    kAll,
    kMean,
    kVar,
    kArgMax,
    kArgMin,
};

struct ProgramBindings {
    void* const* buffers;   // by the binding index given to input() and output()
    const Scalar* scalars;  // by the index given to scalar()
};

class ProgramBuilder {
public:
    ProgramBuilder(std::span<const int64_t> shape, int row_dims);
    ~ProgramBuilder();

    // Reads a buffer. Strides are in elements, one per loop dimension; 0 broadcasts. An operand
    // that does not vary along the row dimensions is a ROW value. Returns a value number.
    int input(DType dtype, std::span<const int64_t> strides, int binding);
    // A runtime number, converted to `dtype` (constant over the whole run).
    int scalar(DType dtype, int scalar_binding);
    // An elementwise operation by its tile number (op/elementwise.h), computed in `dtype`, the
    // dtype of its (already cast) arguments. The result's dtype follows the op's rule (comparison:
    // bool). ROW arguments are broadcast; the result is ROW when all arguments are ROW or scalar.
    int apply(int tile_op, DType dtype, std::span<const int> args);
    int cast(int value, DType to);
    // FULL -> ROW along the row, by the fixed tree of design note 001.
    int reduce(ReduceKind kind, int value);
    // Writes a value; strides as in input() (for a ROW value those of the row dimensions are 0).
    void output(int value, std::span<const int64_t> strides, int binding);

    // Number of elements of a row that one program can hold in its tiles; a group with a reduction
    // over longer rows must be split by the caller.
    static int64_t max_row(DType widest);

    std::shared_ptr<const Program> finish();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
    friend class Program;
};

// Runs the whole space in parallel.
void run_program(const Program& program, const ProgramBindings& bindings);
// Runs rows [row0, row0+rows) x columns [col0, col0+cols) of a two-dimensional space without
// reductions, on the calling thread: the epilogue of a matrix product while its tile is in cache.
// `tile`/`tile_ld` replace the buffer of binding `tile_binding` (the accumulated product).
void run_program_block(const Program& program, const ProgramBindings& bindings, int tile_binding,
                       const void* tile, int64_t tile_ld, int64_t row0, int64_t rows, int64_t col0,
                       int64_t cols);
std::string print_program(const Program& program);
int64_t program_bytes(const Program& program);  // memory traffic of one run
double program_cost(const Program& program);    // estimated nanoseconds on one core

}  // namespace sn::cpu
