#pragma once
// The op-level kernels of the CPU: from a KernelCall to the raw interfaces of gemm.h, conv.h,
// pooling.h and reduce.h.
#include <cstdint>

#include "backend/kernel.h"

namespace sn::cpu {

// Reads attribute words in the order of the schema.
class AttrWords {
public:
    explicit AttrWords(const int64_t* words) : at_(words) {}
    int64_t next() { return *at_++; }
    const int64_t* list(int64_t* count) {
        *count = *at_++;
        const int64_t* items = at_;
        at_ += *count;
        return items;
    }

private:
    const int64_t* at_;
};

void register_cpu_wrappers(KernelTable& table);
void register_matmul_wrapper(KernelTable& table);
void register_conv_wrappers(KernelTable& table);
void register_pool_wrappers(KernelTable& table);
void register_reduce_wrappers(KernelTable& table);

// Which of the interfaces above an op's kernel calls: "gemm", "conv", "pool", "reduce", or "".
const char* kernel_family(uint16_t op);

}  // namespace sn::cpu
