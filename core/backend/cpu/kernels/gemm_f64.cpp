#include "backend/cpu/kernels/gemm_float.h"
#include "backend/cpu/part.h"

namespace sn::cpu::SN_ISA {

SN_PART(matmul, f64, (const GemmCall& call)) { gemm_float<double>(call); }
SN_PART(matmul__pack, f64, (const GemmOperand& b, int64_t k, int64_t n, void* packed)) {
    pack_b_float<double>(b, k, n, packed);
}

}  // namespace sn::cpu::SN_ISA
