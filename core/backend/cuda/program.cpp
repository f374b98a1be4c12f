#include "backend/cuda/program.h"

#include <atomic>

#include "backend/cuda/device.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/program_source.h"

namespace sn::cuda {

namespace {

class CudaProgram final : public CompiledProgram {
public:
    explicit CudaProgram(const ProgramSpec& spec) : spec_(spec), source_(program_source(spec)) {}
    std::string describe() const override {
        return "CUDA program, " + std::to_string(source_.blocks.x) + " blocks of " +
               std::to_string(source_.threads) + " threads\n" + source_.text;
    }
    double cost() const override { return 0; }  // to issue
    int64_t bytes() const override {
        int64_t per_point = 0, points = 1;
        for (int64_t size : spec_.shape) points *= size;
        for (const ProgramSpec::Input& in : spec_.inputs)
            if (!in.scalar) per_point += static_cast<int64_t>(dtype_size(in.dtype));
        for (const ProgramSpec::Output& out : spec_.outputs)
            per_point += static_cast<int64_t>(dtype_size(out.dtype));
        return per_point * points;
    }
    const ProgramSpec* spec() const override { return &spec_; }

    void run(int device, void* const* buffers, const Scalar* scalars, const void* product) const {
        if (source_.blocks.x == 0) return;
        SmallVec<uint64_t, 64> words(source_.args.bytes() / sizeof(uint64_t), 0);
        source_.args.fill(words.data(), buffers, scalars, product);
        launch(function(device), source_.blocks, source_.threads, source_.shared_bytes,
               words.data(), source_.args.bytes());
    }

private:
    // Compiled by the first run on a device.
    const Function& function(int device) const {
        std::atomic<const Function*>& known = functions_[device];
        const Function* found = known.load(std::memory_order_acquire);
        if (!found) {
            found = &generated_function(device, source_.text, source_.entry);
            known.store(found, std::memory_order_release);
        }
        return *found;
    }
    ProgramSpec spec_;
    ProgramSource source_;
    mutable std::atomic<const Function*> functions_[kMaxDevices] = {};
};

}  // namespace

std::shared_ptr<const CompiledProgram> compile_program(const ProgramSpec& spec) {
    return std::make_shared<CudaProgram>(spec);
}

void run_program(int device, const CompiledProgram& program, void* const* buffers,
                 const Scalar* scalars, const void* product) {
    static_cast<const CudaProgram&>(program).run(device, buffers, scalars, product);
}

}  // namespace sn::cuda
