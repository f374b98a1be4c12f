#include "backend/cpu/gemm.h"

#include "backend/cpu/kernels/gemm_micro.h"
#include "backend/cpu/part.h"
#include "base/error.h"

namespace sn::cpu::SN_ISA {

extern "C" {
void SN_PART_NAME(matmul, f32)(const GemmCall& call);
void SN_PART_NAME(matmul, f64)(const GemmCall& call);
void SN_PART_NAME(matmul__pack, f32)(const GemmOperand& b, int64_t k, int64_t n, void* packed);
void SN_PART_NAME(matmul__pack, f64)(const GemmOperand& b, int64_t k, int64_t n, void* packed);
}
void gemm_int(const GemmCall& call);

namespace {

void gemm(const GemmCall& call) {
    if (call.m <= 0 || call.n <= 0 || call.batch <= 0) return;
    const DType a = call.a.dtype, b = call.b.dtype, c = call.c_dtype;
    const auto single = [](DType d) { return is_float(d) && d != DType::kF64; };
    if (single(a) && single(b) && single(c)) return SN_PART_NAME(matmul, f32)(call);
    if (a == DType::kF64 && b == DType::kF64 && c == DType::kF64)
        return SN_PART_NAME(matmul, f64)(call);
    if (is_int(a) && a == b && a == c && !call.epilogue && !call.packed_b) return gemm_int(call);
    fail(ErrorKind::kDType, "matmul",
         "the matrix core cannot multiply %s by %s into %s; one dtype "
         "for all (any mixture of float16, bfloat16 and float32) is required; try astype",
         dtype_name(a), dtype_name(b), dtype_name(c));
}

size_t packed_b_bytes(int64_t k, int64_t n, DType dtype) {
    const bool wide = dtype == DType::kF64;
    const int64_t cols = wide ? Tile<double>::cols : Tile<float>::cols;
    return size_t((n + cols - 1) / cols * cols * k) * (wide ? sizeof(double) : sizeof(float));
}

void pack_b(const GemmOperand& b, int64_t k, int64_t n, void* packed) {
    b.dtype == DType::kF64 ? SN_PART_NAME(matmul__pack, f64)(b, k, n, packed)
                           : SN_PART_NAME(matmul__pack, f32)(b, k, n, packed);
}

}  // namespace

const GemmKernels& gemm_kernels() {
    static constexpr GemmKernels kernels{gemm, packed_b_bytes, pack_b};
    return kernels;
}

}  // namespace sn::cpu::SN_ISA
