#include "backend/backend.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "backend/cpu/cpu_tables.h"
#include "backend/cpu/epilogue.h"
#include "backend/cpu/kernel_sets.h"
#include "backend/cpu/program.h"
#include "backend/cpu/tile_steps.h"
#include "memory/recycling.h"
#include "op/op.h"

namespace sn {

namespace cpu {
void register_cpu_wrappers(KernelTable& table);  // wrap_*.cpp
}

namespace {

class CpuProgram final : public CompiledProgram {
public:
    explicit CpuProgram(const ProgramSpec& spec);
#if defined(SN_RUNTIME)
    std::string describe() const override { return {}; }  // which nobody asks for there
#else
    std::string describe() const override { return cpu::print_program(*program_); }
#endif
    double cost() const override { return cpu::program_cost(*program_); }
    int64_t bytes() const override { return cpu::program_bytes(*program_); }
#if !defined(SN_RUNTIME)
    const ProgramSpec* spec() const override { return &spec_; }
#endif

    const cpu::Program& program() const { return *program_; }
    int product_binding() const { return product_binding_; }
    bool product_in_output() const { return product_in_output_; }
    // What an epilogue walks along with the product, each buffer once.
    const SmallVec<EpilogueStream, 6>& streams() const { return streams_; }
    const SmallVec<int, 6>& stream_bindings() const { return stream_bindings_; }
    // What it does, if that is little enough for accumulators.
    const cpu::StepList& steps() const { return steps_; }

private:
    void add_stream(DType dtype, DimSpan strides, int binding);

    std::shared_ptr<const cpu::Program> program_;
    SmallVec<EpilogueStream, 6> streams_;
    SmallVec<int, 6> stream_bindings_;
    cpu::StepList steps_;
    int product_binding_ = -1;
    bool product_in_output_ = false;
#if !defined(SN_RUNTIME)
    ProgramSpec spec_;
#endif
};

CpuProgram::CpuProgram(const ProgramSpec& spec)
    : steps_(spec), product_in_output_(spec.product_in_output) {
#if !defined(SN_RUNTIME)
    spec_ = spec;
#endif
    cpu::ProgramBuilder builder(spec.shape, spec.row_dims);
    std::vector<int> values;
    int bindings = 0;
    for (const ProgramSpec::Input& in : spec.inputs)
        if (!in.scalar) bindings = std::max(bindings, in.binding + 1);
    for (const ProgramSpec::Output& out : spec.outputs)
        bindings = std::max(bindings, out.binding + 1);
    product_binding_ = bindings;  // one past the others: its pointer is the tile of the moment
    for (size_t i = 0; i < spec.inputs.size(); ++i) {
        const ProgramSpec::Input& in = spec.inputs[i];
        if (in.scalar) {
            values.push_back(builder.scalar(in.dtype, in.binding));
        } else {
            const int binding = static_cast<int>(i) == spec.product ? product_binding_ : in.binding;
            values.push_back(builder.input(in.dtype, in.strides, binding));
            if (binding != product_binding_) add_stream(in.dtype, in.strides, binding);
        }
    }
    for (const ProgramSpec::Instruction& instruction : spec.instructions) {
        SmallVec<int, 4> args;
        for (int32_t a : instruction.args) args.push_back(values[a]);
        switch (instruction.kind) {
            case ProgramSpec::Kind::kCast:
                values.push_back(builder.cast(args[0], instruction.dtype));
                break;
            case ProgramSpec::Kind::kReduce:
                values.push_back(builder.reduce(
                    static_cast<cpu::ReduceKind>(op_def(instruction.op).reduce_kind), args[0]));
                break;
            case ProgramSpec::Kind::kElementwise:
                values.push_back(
                    builder.apply(op_def(instruction.op).tile_op, instruction.dtype, args));
                break;
        }
    }
    for (const ProgramSpec::Output& out : spec.outputs) {
        builder.output(values[out.value], out.strides, out.binding);
        add_stream(out.dtype, out.strides, out.binding);
    }
    program_ = builder.finish();
}

void CpuProgram::add_stream(DType dtype, DimSpan strides, int binding) {
    if (strides.size() != 2 || strides[0] == 0 || strides[1] != 1) return;
    for (int known : stream_bindings_)
        if (known == binding) return;
    const auto size = static_cast<int64_t>(dtype_size(dtype));
    streams_.push_back({nullptr, strides[0] * size, size});
    stream_bindings_.push_back(binding);
}

// What the kernel's epilogue callback needs to run a program on a block.
struct EpilogueContext {
    const CpuProgram* program;
    cpu::ProgramBindings bindings;
    int64_t rows;  // of one matrix of the batch
};

void run_epilogue(void* context, const void* tile, int64_t tile_ld, int64_t batch, int64_t row0,
                  int64_t rows, int64_t col0, int64_t cols) {
    const auto& c = *static_cast<const EpilogueContext*>(context);
    cpu::run_program_block(c.program->program(), c.bindings, c.program->product_binding(), tile,
                           tile_ld, batch * c.rows + row0, rows, col0, cols);
}

class CpuBackend final : public Backend {
public:
    CpuBackend() {
        const char* text = std::getenv("SENNIT_CPU_DEVICES");
        const int wanted = text ? std::atoi(text) : 1;
        count_ = std::clamp(wanted, 1, kMaxCpuDevices);
    }
    const char* name() const override { return "cpu"; }
    int device_count() const override { return count_; }
    Allocator& allocator(int index) override { return cpu_allocator(index); }
    const KernelTable& kernels() const override {
        static const KernelTable* table = [] {
            auto* made = new KernelTable;
            cpu::kernel_sets().register_kernels(*made);
            cpu::register_cpu_wrappers(*made);
            return made;
        }();
        return *table;
    }
    int64_t max_program_row(DType widest) const override {
        return cpu::ProgramBuilder::max_row(widest);
    }
    std::shared_ptr<const CompiledProgram> compile(const ProgramSpec& spec) override {
        return std::make_shared<CpuProgram>(spec);
    }
    void run_program(int, const CompiledProgram& program, void* const* buffers,
                     const Scalar* scalars) override {
        cpu::run_program(static_cast<const CpuProgram&>(program).program(), {buffers, scalars});
    }
    void run_with_epilogue(KernelFn kernel, KernelCall& call, const CompiledProgram& program,
                           void* const* buffers, const Scalar* scalars) override {
        const auto& compiled = static_cast<const CpuProgram&>(program);
        const TensorView& out = call.out[0];
        EpilogueContext context{
            &compiled, {buffers, scalars}, out.rank >= 2 ? out.shape[out.rank - 2] : 1};
        SmallVec<EpilogueStream, 6> streams = compiled.streams();
        for (size_t i = 0; i < streams.size(); ++i)
            streams[i].data = static_cast<const char*>(buffers[compiled.stream_bindings()[i]]);
        Epilogue epilogue{run_epilogue, &context, compiled.product_in_output()};
        epilogue.rows = context.rows;
        epilogue.streams = streams.data();
        epilogue.stream_count = static_cast<int>(streams.size());
        cpu::BoundSteps steps;
        // A product that is kept beside the result has to be stored too: that is for the program.
        const TileSteps* bound = steps.bind(compiled.steps(), buffers, scalars);
        if (bound && (!compiled.product_in_output() || bound->result == out.data))
            epilogue.steps = bound;
        call.epilogue = &epilogue;
        kernel(call);
    }
    void copy_from_host(int, void* device, const void* host, size_t bytes) override {
        std::memcpy(device, host, bytes);
    }
    void copy_to_host(int, void* host, const void* device, size_t bytes) override {
        std::memcpy(host, device, bytes);
    }

private:
    int count_ = 1;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace sn
