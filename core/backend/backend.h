#pragma once
#include <memory>
#include <string>
#include <vector>

#include "backend/kernel.h"
#include "base/allocator.h"
#include "base/buffer.h"
#include "base/device.h"
#include "base/unique_function.h"
#include "ir/graph.h"

namespace sn {

// A fused group of elementwise ops and row reductions, free of any device: what a back-end turns
// into something that runs (a tile program, generated source).
struct ProgramSpec {
    struct Input {
        DType dtype = DType::kF32;
        bool scalar = false;  // a runtime number: binding is an index into the scalars
        Dims strides;         // per loop dimension, in elements; 0 broadcasts
        int binding = 0;
    };
    enum class Kind : uint8_t { kElementwise, kCast, kReduce };
    struct Instruction {
        Kind kind = Kind::kElementwise;
        OpId op = 0;                // kElementwise, kReduce
        DType dtype = DType::kF32;  // kElementwise: computed in; kCast: the target
        SmallVec<int32_t, 4> args;  // value numbers: inputs first, then instructions in order
    };
    struct Output {
        int value = 0;
        DType dtype = DType::kF32;
        Dims strides;
        int binding = 0;
    };
    Dims shape;        // loop space, row-major
    int row_dims = 0;  // trailing dimensions that reductions run along
    std::vector<Input> inputs;
    std::vector<Instruction> instructions;
    std::vector<Output> outputs;
    // Epilogue of a matrix product or convolution: the input that is the product (or -1). The loop
    // space is then [rows, columns] of the product.
    int product = -1;
    bool product_in_output = false;  // accumulated in the buffer of the product's binding
};

class CompiledProgram {
public:
    virtual ~CompiledProgram() = default;
    virtual std::string describe() const = 0;
    virtual double cost() const = 0;    // estimated nanoseconds
    virtual int64_t bytes() const = 0;  // memory traffic
    // What it was made of, where that was kept: for a bundle, which makes it anew.
    virtual const ProgramSpec* spec() const { return nullptr; }
};

// A kind of device. Nothing outside backend/ knows more of a device than this.
class Backend {
public:
    virtual ~Backend() = default;
    virtual const char* name() const = 0;
    virtual int device_count() const = 0;
    virtual Allocator& allocator(int index) = 0;
    virtual const KernelTable& kernels() const = 0;
    virtual int64_t max_program_row(DType widest) const = 0;
    virtual std::shared_ptr<const CompiledProgram> compile(const ProgramSpec& spec) = 0;
    // On the device of that index.
    virtual void run_program(int index, const CompiledProgram& program, void* const* buffers,
                             const Scalar* scalars) = 0;
    // Runs a kernel with a program on its result while that is in cache.
    virtual void run_with_epilogue(KernelFn kernel, KernelCall& call,
                                   const CompiledProgram& program, void* const* buffers,
                                   const Scalar* scalars) = 0;
    // Between this back-end's memory and the host's, after all work that was issued before. The
    // host's memory may be used at once after either.
    virtual void copy_from_host(int index, void* device, const void* host, size_t bytes) = 0;
    virtual void copy_to_host(int index, void* host, const void* device, size_t bytes) = 0;
    // Page-locked memory of the host, which a device copies from and to by itself while kernels
    // run; null: there is none.
    virtual Allocator* pinned_allocator() { return nullptr; }
    // Issues a copy from page-locked memory, which `from` holds until it has been read, to memory
    // that nothing uses yet. Work that uses it waits for the copy from settle() on.
    virtual void copy_from_pinned(int /*index*/, Buffer& /*to*/, HeldBuffer /*from*/,
                                  const void* /*at*/, size_t /*bytes*/) {}
    // Issues a copy to page-locked memory after all work that was issued before. Whoever calls the
    // function that it returns waits for it; `from` has to live until then.
    virtual UniqueFunction<void()> copy_to_pinned(int /*index*/, void* /*to*/, const void* /*from*/,
                                                  size_t /*bytes*/) {
        return {};
    }
    // Issues a copy from one device of this back-end to another one, after all work that was issued
    // before on both.
    virtual void copy_between(int /*to_index*/, void* /*to*/, int /*from_index*/,
                              const void* /*from*/, size_t /*bytes*/) {}
    // Before work is issued that touches a buffer's memory, which begins at `data`.
    virtual void settle(int /*index*/, const void* /*data*/) {}
    // True when the host may read device memory through its pointer.
    virtual bool host_visible() const { return true; }
    // True when a kernel is only issued by its call, and the device runs in order what was issued:
    // issuing takes no time worth planning, and steps of a plan never run at the same time.
    virtual bool in_order() const { return false; }
    // Waits for what has been issued; raises what failed.
    virtual void synchronize(int) {}
};

// Back-ends live as long as the process; one may be added while others are in use.
void register_backend(std::unique_ptr<Backend> backend);
int backend_count();
Backend& backend(Device device);
inline bool host_visible(Device device) { return backend(device).host_visible(); }
inline Allocator& device_allocator(Device device) {
    return backend(device).allocator(device.index);
}
// "cpu", "cpu:1", "cuda:0". Fails with kDevice, saying what is missing on this machine.
Device parse_device(const std::string& name);
// Of plans that are made from now on, by any thread.
MatmulPrecision matmul_precision();
void set_matmul_precision(MatmulPrecision precision);
// Waits for all devices; raises what failed.
void synchronize_devices();
// Why a kind of device is not there ("cuda"), with what to install; empty when it is. Looks for it
// the first time.
std::string unavailable_reason(const std::string& kind);

}  // namespace sn
