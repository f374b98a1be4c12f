#include "backend/cpu/kernels/gemm_float.h"

namespace sn::cpu::SN_ISA {

void gemm_f32(const GemmCall& call) { gemm_float<float>(call); }
void pack_b_f32(const GemmOperand& b, int64_t k, int64_t n, void* packed) {
    pack_b_float<float>(b, k, n, packed);
}

}  // namespace sn::cpu::SN_ISA
