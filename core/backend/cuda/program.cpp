#include "backend/cuda/program.h"

#include <algorithm>

#include "backend/cuda/host.h"
#include "op/op.h"

namespace sn::cuda {

namespace {

class CudaProgram final : public CompiledProgram {
public:
    explicit CudaProgram(const ProgramSpec& spec)
        : spec_(spec), cpu_(backend(Device{}).compile(spec)) {}
    std::string describe() const override { return "on the CPU: " + cpu_->describe(); }
    double cost() const override { return 0; }  // to issue
    int64_t bytes() const override { return cpu_->bytes(); }
    const ProgramSpec* spec() const override { return &spec_; }

    void run(int device, void* const* buffers, const Scalar* scalars, void* product) const {
        SmallVec<void*, 16> bound;
        ProgramSpec spec = spec_;
        int count = 0;
        for (const ProgramSpec::Input& in : spec.inputs)
            if (!in.scalar) count = std::max(count, in.binding + 1);
        for (const ProgramSpec::Output& out : spec.outputs)
            count = std::max(count, out.binding + 1);
        for (int i = 0; i < count; ++i) bound.push_back(buffers[i]);
        if (product) {
            spec.inputs[static_cast<size_t>(spec.product)].binding = count;
            spec.product = -1;
            bound.push_back(product);
            const auto alone = backend(Device{}).compile(spec);
            run_program_on_host(device, spec, *alone, bound.data(), scalars);
            return;
        }
        run_program_on_host(device, spec, *cpu_, bound.data(), scalars);
    }
    bool product_in_output() const { return spec_.product_in_output; }

private:
    ProgramSpec spec_;
    std::shared_ptr<const CompiledProgram> cpu_;
};

}  // namespace

std::shared_ptr<const CompiledProgram> compile_program(const ProgramSpec& spec) {
    return std::make_shared<CudaProgram>(spec);
}

void run_program(int device, const CompiledProgram& program, void* const* buffers,
                 const Scalar* scalars, void* product) {
    static_cast<const CudaProgram&>(program).run(device, buffers, scalars, product);
}

bool product_in_output(const CompiledProgram& program) {
    return static_cast<const CudaProgram&>(program).product_in_output();
}

int64_t max_program_row(DType widest) { return backend(Device{}).max_program_row(widest); }

}  // namespace sn::cuda
