#include "backend/cpu/kernels/gemm_float.h"

namespace sn::cpu::SN_ISA {

void gemm_f64(const GemmCall& call) { gemm_float<double>(call); }
void pack_b_f64(const GemmOperand& b, int64_t k, int64_t n, void* packed) {
    pack_b_float<double>(b, k, n, packed);
}

}  // namespace sn::cpu::SN_ISA
