#pragma once
#include "backend/cpu/conv.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/pooling.h"
#include "backend/kernel.h"

namespace sn::cpu {

// The op-level kernels of the instruction set that cpu_tables() chose.
struct KernelSets {
    const GemmKernels* gemm;
    const ConvKernels* conv;
    const PoolKernels* pool;
    void (*register_kernels)(KernelTable& table);  // kernels that are one function per op
    double (*multiply_add_loop)(int64_t steps);    // returns the floating-point operations done
};
const KernelSets& kernel_sets();

}  // namespace sn::cpu
