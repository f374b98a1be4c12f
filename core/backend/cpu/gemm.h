#pragma once
#include <cstddef>
#include <cstdint>

#include "backend/cpu/epilogue.h"
#include "base/dtype.h"

namespace sn::cpu {

// Length of the segments of k, part of the numerics: every element of a product is
//   ((s0 + s1) + s2) + ...,   s = fma chain over k in order, starting from +0,
// over consecutive segments of kGemmSegment terms. Nothing else may change a bit. Changing it
// changes sn.numerics_version; docs/design/004-matrix-core.md has the measurements.
inline constexpr int64_t kGemmSegment = 1024;

// A matrix of any layout: strides count elements and may be zero (a broadcast dimension).
struct GemmOperand {
    const void* data;
    DType dtype;
    int64_t row_stride;
    int64_t col_stride;
};

// c[b] = epilogue(a[b] @ b[b]) with a: [m, k], b: [k, n], c: [m, n].
// Floats: a, b, c each any of f32/f16/bf16 (f32 accumulation, one rounding at the end), or all f64.
// Integers: one dtype for all three, exact modulo 2^bits, no epilogue.
struct GemmCall {
    int64_t m, n, k;
    GemmOperand a, b;
    void* c;
    DType c_dtype;
    int64_t c_row_stride;
    int64_t c_col_stride = 1;
    int64_t batch = 1;
    // Start of each batch's matrices, in elements; null means no offset.
    const int64_t* a_offsets = nullptr;
    const int64_t* b_offsets = nullptr;
    const int64_t* c_offsets = nullptr;
    const Epilogue* epilogue = nullptr;
    // b already packed by pack_b (one matrix, shared by every batch); b.data is then not read.
    const void* packed_b = nullptr;
};

// One instruction set's entry points.
struct GemmKernels {
    void (*gemm)(const GemmCall& call);
    // Bytes of the packed form of a float matrix b: [k, n] (64-byte alignment wanted). It holds f32
    // for f16 and bf16, and belongs to this instruction set: it is never saved.
    size_t (*packed_b_bytes)(int64_t k, int64_t n, DType dtype);
    void (*pack_b)(const GemmOperand& b, int64_t k, int64_t n, void* packed);
};

// Each level's namespace defines: const GemmKernels& gemm_kernels();

}  // namespace sn::cpu
