// The reference device: host memory, one thread, programs run element by element.
#include "backend/backend.h"

#include <cstring>
#include <string>

#include "backend/reference/reference.h"
#include "base/error.h"
#include "memory/recycling.h"
#include "op/elementwise.h"
#include "op/op.h"

namespace sn {
namespace {

using reference::Cell;

class ReferenceProgram final : public CompiledProgram {
public:
    explicit ReferenceProgram(const ProgramSpec& spec) : spec_(spec) {}
    std::string describe() const override;
    double cost() const override { return 100.0 * static_cast<double>(points()); }
    int64_t bytes() const override {
        int64_t per_point = 0;
        for (const ProgramSpec::Input& in : spec_.inputs)
            if (!in.scalar) per_point += static_cast<int64_t>(dtype_size(in.dtype));
        for (const ProgramSpec::Output& out : spec_.outputs)
            per_point += static_cast<int64_t>(dtype_size(out.dtype));
        return per_point * points();
    }
    // `product`: the matrix that takes the place of input spec.product, or null.
    void run(void* const* buffers, const Scalar* scalars, const void* product) const;
    bool product_in_output() const { return spec_.product_in_output; }

private:
    int64_t points() const {
        return reference::product(spec_.shape.data(), 0, static_cast<int>(spec_.shape.size()));
    }
    ProgramSpec spec_;
};

std::string ReferenceProgram::describe() const {
    std::string text = "reference program over " + std::to_string(points()) + " points, rows of " +
                       std::to_string(spec_.row_dims) + " dimensions\n";
    size_t number = 0;
    for (const ProgramSpec::Input& in : spec_.inputs) {
        text += "  %" + std::to_string(number++) + " = " + (in.scalar ? "number " : "input ") +
                dtype_name(in.dtype) + "\n";
    }
    for (const ProgramSpec::Instruction& i : spec_.instructions) {
        const bool cast = i.kind == ProgramSpec::Kind::kCast;
        text += "  %" + std::to_string(number++) + " = " + (cast ? "cast" : op_def(i.op).name);
        for (int32_t a : i.args) text += " %" + std::to_string(a);
        text += std::string(" ") + dtype_name(i.dtype) + "\n";
    }
    for (const ProgramSpec::Output& out : spec_.outputs)
        text += "  output %" + std::to_string(out.value) + "\n";
    return text;
}

// A value along one row of the loop space: a cell per point, or one for the whole row.
struct RowValue {
    DType dtype = DType::kF32;
    std::vector<Cell> cells;
    bool full = false;
    Cell at(size_t i) const { return cells[full ? i : 0]; }
};

RowValue compute(const ProgramSpec::Instruction& instruction, const std::vector<RowValue>& values,
                 size_t row) {
    RowValue out;
    const OpDef& def = op_def(instruction.op);
    const RowValue& first = values[instruction.args[0]];
    if (instruction.kind == ProgramSpec::Kind::kReduce) {
        std::vector<Cell> cells(row);
        for (size_t i = 0; i < row; ++i) cells[i] = first.at(i);
        out.dtype = first.dtype;
        const auto kind = static_cast<cpu::ReduceKind>(def.reduce_kind);
        out.cells = {reference::reduce_cells(kind, first.dtype, cells)};
        return out;
    }
    for (int32_t a : instruction.args) out.full |= values[a].full;
    out.cells.resize(out.full ? row : 1);
    if (instruction.kind == ProgramSpec::Kind::kCast) {
        out.dtype = instruction.dtype;
        for (size_t i = 0; i < out.cells.size(); ++i)
            out.cells[i] = reference::cast_cell(first.dtype, out.dtype, first.at(i));
        return out;
    }
    const reference::CellFn apply = reference::elementwise(def.tile_op, instruction.dtype);
    SN_CHECK(apply);
    const bool test = def.result_rule == static_cast<uint8_t>(TileResult::BOOL);
    out.dtype = test ? DType::kBool : instruction.dtype;
    for (size_t i = 0; i < out.cells.size(); ++i) {
        Cell args[3];
        int count = 0;
        for (int32_t a : instruction.args) args[count++] = values[a].at(i);
        out.cells[i] = reference::round_cell(out.dtype, apply(args));
    }
    return out;
}

void ReferenceProgram::run(void* const* buffers, const Scalar* scalars, const void* product) const {
    const int rank = static_cast<int>(spec_.shape.size());
    // Without reductions any cut will do: the last dimension is a row.
    const int row_dims = spec_.row_dims == 0 && rank > 0 ? 1 : spec_.row_dims;
    const int lead = rank - row_dims;
    const int64_t* shape = spec_.shape.data();
    const size_t row = static_cast<size_t>(reference::product(shape, lead, rank));
    const size_t rows = static_cast<size_t>(reference::product(shape, 0, lead));

    struct Operand {
        std::vector<int64_t> starts, members;  // offsets of the rows, and of the points in a row
        bool full = false;
    };
    const auto operand = [&](const Dims& strides) {
        Operand o{reference::offsets_of(shape, strides.data(), lead),
                  reference::offsets_of(shape + lead, strides.data() + lead, row_dims)};
        for (int d = lead; d < rank; ++d) o.full |= strides[d] != 0;
        return o;
    };
    std::vector<Operand> inputs, outputs;
    for (const ProgramSpec::Input& in : spec_.inputs)
        inputs.push_back(in.scalar ? Operand() : operand(in.strides));
    for (const ProgramSpec::Output& out : spec_.outputs) outputs.push_back(operand(out.strides));

    for (size_t r = 0; r < rows; ++r) {
        // All of a row is read before any of it is written: an output may lie over an input.
        std::vector<RowValue> values;
        for (size_t k = 0; k < inputs.size(); ++k) {
            const ProgramSpec::Input& in = spec_.inputs[k];
            RowValue value{in.dtype, {}, inputs[k].full};
            if (in.scalar) {
                value.cells = {reference::scalar_cell(in.dtype, scalars[in.binding])};
            } else {
                const bool replaced = static_cast<int>(k) == spec_.product;
                const auto* base =
                    static_cast<const char*>(replaced ? product : buffers[in.binding]);
                for (size_t i = 0; i < (value.full ? row : 1); ++i) {
                    const int64_t at =
                        inputs[k].starts[r] + (value.full ? inputs[k].members[i] : 0);
                    value.cells.push_back(reference::load_cell(
                        in.dtype, base + at * static_cast<int64_t>(dtype_size(in.dtype))));
                }
            }
            values.push_back(std::move(value));
        }
        for (const ProgramSpec::Instruction& instruction : spec_.instructions)
            values.push_back(compute(instruction, values, row));
        for (size_t k = 0; k < outputs.size(); ++k) {
            const ProgramSpec::Output& out = spec_.outputs[k];
            for (size_t i = 0; i < (outputs[k].full ? row : 1); ++i) {
                const int64_t at =
                    outputs[k].starts[r] + (outputs[k].full ? outputs[k].members[i] : 0);
                reference::store_cell(out.dtype,
                                      static_cast<char*>(buffers[out.binding]) +
                                          at * static_cast<int64_t>(dtype_size(out.dtype)),
                                      values[out.value].at(i));
            }
        }
    }
}

class ReferenceBackend final : public Backend {
public:
    const char* name() const override { return "reference"; }
    int device_count() const override { return 1; }
    Allocator& allocator(int) override {
        static auto* made = new RecyclingAllocator("reference", 0);  // keeps nothing
        return *made;
    }
    const KernelTable& kernels() const override {
        static const KernelTable* table = [] {
            auto* made = new KernelTable;
            reference::register_movement(*made);
            reference::register_indexing(*made);
            reference::register_sorting_random(*made);
            reference::register_reduce(*made);
            reference::register_matmul_conv(*made);
            reference::register_pooling(*made);
            reference::register_recurrent(*made);
            reference::register_ctc(*made);
            reference::register_attention(*made);
            return made;
        }();
        return *table;
    }
    int64_t max_program_row(DType) const override { return int64_t{1} << 24; }
    std::shared_ptr<const CompiledProgram> compile(const ProgramSpec& spec) override {
        return std::make_shared<ReferenceProgram>(spec);
    }
    void run_program(int, const CompiledProgram& program, void* const* buffers,
                     const Scalar* scalars) override {
        static_cast<const ReferenceProgram&>(program).run(buffers, scalars, nullptr);
    }
    // The whole product first, in its compute dtype, then the program over it.
    void run_with_epilogue(KernelFn kernel, KernelCall& call, const CompiledProgram& program,
                           void* const* buffers, const Scalar* scalars) override {
        const auto& compiled = static_cast<const ReferenceProgram&>(program);
        TensorView product = call.out[0];
        product.dtype = compute_dtype(product.dtype);
        std::vector<char> scratch;
        if (!compiled.product_in_output()) {
            scratch.resize(static_cast<size_t>(product.numel()) * dtype_size(product.dtype));
            product.data = scratch.data();
        }
        KernelCall inner = call;
        inner.out = &product;
        kernel(inner);
        compiled.run(buffers, scalars, product.data);
    }
    void copy_from_host(int, void* device, const void* host, size_t bytes) override {
        std::memcpy(device, host, bytes);
    }
    void copy_to_host(int, void* host, const void* device, size_t bytes) override {
        std::memcpy(host, device, bytes);
    }
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace sn
