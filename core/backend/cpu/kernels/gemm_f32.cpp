#include "backend/cpu/kernels/gemm_float.h"
#include "backend/cpu/part.h"

namespace sn::cpu::SN_ISA {

SN_PART(matmul, f32, (const GemmCall& call)) { gemm_float<float>(call); }
SN_PART(matmul__pack, f32, (const GemmOperand& b, int64_t k, int64_t n, void* packed)) {
    pack_b_float<float>(b, k, n, packed);
}

}  // namespace sn::cpu::SN_ISA
