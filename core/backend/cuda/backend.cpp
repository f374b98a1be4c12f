#include "backend/backend.h"

#include <algorithm>
#include <mutex>

#include "backend/cuda/code.h"
#include "backend/cuda/device.h"
#include "backend/cuda/host.h"
#include "backend/cuda/program.h"
#include "backend/cuda/program_source.h"
#include "base/buffer.h"

namespace sn::cuda {

void register_wrappers(KernelTable& table);  // wrap.cpp

namespace {

class CudaBackend final : public Backend {
public:
    const char* name() const override { return "cuda"; }
    int device_count() const override { return std::min(libraries().driver.devices, kMaxDevices); }
    Allocator& allocator(int index) override { return gpu(index).memory; }
    const KernelTable& kernels() const override {
        static const KernelTable* table = [] {
            auto* made = new KernelTable;
            register_wrappers(*made);
            add_host_kernels(*made);
            return made;
        }();
        return *table;
    }
    int64_t max_program_row(DType) const override { return kMaxProgramRow; }
    std::shared_ptr<const CompiledProgram> compile(const ProgramSpec& spec) override {
        return compile_program(spec);
    }
    void run_program(int index, const CompiledProgram& program, void* const* buffers,
                     const Scalar* scalars) override {
        cuda::run_program(index, program, buffers, scalars, nullptr);
    }
    // The whole product first, in its compute dtype, then the program over it.
    void run_with_epilogue(KernelFn kernel, KernelCall& call, const CompiledProgram& program,
                           void* const* buffers, const Scalar* scalars) override {
        const int index = call.device.index;
        TensorView product = call.out[0];
        product.dtype = compute_dtype(product.dtype);
        BufferRef scratch;
        if (!program.spec()->product_in_output) {
            scratch = Buffer::allocate(
                allocator(index), static_cast<size_t>(product.numel()) * dtype_size(product.dtype));
            product.data = scratch->data();
        }
        KernelCall inner = call;
        inner.out = &product;
        kernel(inner);
        // The scratch is free again once the program is issued: later work comes later.
        cuda::run_program(index, program, buffers, scalars, product.data);
    }
    void copy_from_host(int index, void* device, const void* host, size_t bytes) override {
        gpu(index).staging.copy_to_device(device, host, bytes);
    }
    void copy_to_host(int index, void* host, const void* device, size_t bytes) override {
        gpu(index).staging.copy_to_host(host, device, bytes);
    }
    Allocator* pinned_allocator() override { return &pinned_memory(); }
    void copy_from_pinned(int index, Buffer& to, HeldBuffer from, const void* at,
                          size_t bytes) override {
        gpu(index).transfers.upload(to.data(), std::move(from), at, bytes);
    }
    UniqueFunction<void()> copy_to_pinned(int index, void* to, const void* from,
                                          size_t bytes) override {
        return gpu(index).transfers.download(to, from, bytes);
    }
    void copy_between(int to_index, void* to, int from_index, const void* from,
                      size_t bytes) override {
        cuda::copy_between(gpu(to_index), to, gpu(from_index), from, bytes);
    }
    void settle(int index, const void* data) override {
        if (Gpu* started = started_gpu(index)) started->transfers.settle(data);
    }
    bool host_visible() const override { return false; }
    bool in_order() const override { return true; }
    void synchronize(int index) override {
        if (Gpu* started = started_gpu(index)) started->synchronize();
    }
};

}  // namespace

std::string load_backend() {
    if (std::string problem = device_problem(); !problem.empty()) return problem;
    static std::once_flag once;
    std::call_once(once, [] { register_backend(std::make_unique<CudaBackend>()); });
    return {};
}

}  // namespace sn::cuda
