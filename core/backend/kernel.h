#pragma once
#include <cstddef>
#include <cstdint>

#include "base/device.h"
#include "base/dtype.h"

namespace sn {

class Buffer;

// Where a kernel finds one tensor. Strides are in elements. Plain data: kernels of every
// instruction set read it, so it holds no container.
struct TensorView {
    void* data;
    const int64_t* shape;
    const int64_t* strides;
    int rank;
    DType dtype;
    // An operand that no step of its window writes: the buffer that `data` lies in, with which
    // other forms of it may be kept (base/derived.h). Else null.
    Buffer* buffer = nullptr;
    // A runtime number: `data` is memory of the host, whatever the device.
    bool on_host = false;

    template <class T>
    T* as() const {
        return static_cast<T*>(data);
    }
    int64_t numel() const {
        int64_t n = 1;
        for (int i = 0; i < rank; ++i) n *= shape[i];
        return n;
    }
};

// What products of f32 may be computed with on a device that has faster ways than f32 throughout:
// an allowance, which a device without them takes no notice of. The names are PyTorch's.
enum class MatmulPrecision : uint8_t {
    kHighest,  // f32
    kHigh,     // TF32: 10 bits of each factor's fraction
    kMedium,   // bf16: 7 bits
};

// One call of an op's kernel. A scalar operand is a TensorView whose data points to one element,
// already converted to its dtype, with rank 0.
struct KernelCall {
    const TensorView* in;
    int n_in;
    const TensorView* out;
    int n_out;
    const int64_t* attrs;  // words, in the order of the op's schema (a list: its length, its items)
    const void* epilogue;  // the back-end's fused program to run on the result, or null
    void* workspace;       // as many bytes as the kernel's workspace function asked for
    uint16_t op = 0;       // which op it is
    Device device = {};    // where the tensors are
    MatmulPrecision precision = MatmulPrecision::kHighest;
};
using KernelFn = void (*)(const KernelCall&);
// Bytes of workspace for a call; only shapes, strides, dtypes and attrs may be read.
using WorkspaceFn = size_t (*)(const KernelCall&);

// kernel[op] of one back-end: dense, filled at load. `add` is called with the op's name.
class KernelTable {
public:
    void add(const char* op, KernelFn kernel, WorkspaceFn workspace = nullptr);
    KernelFn kernel(uint16_t op) const { return op < size_ ? kernels_[op] : nullptr; }
    WorkspaceFn workspace(uint16_t op) const { return op < size_ ? workspaces_[op] : nullptr; }

private:
    void reserve(int size);
    KernelFn* kernels_ = nullptr;
    WorkspaceFn* workspaces_ = nullptr;
    int size_ = 0;
};

}  // namespace sn
