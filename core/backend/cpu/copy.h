#pragma once
// For kernel sources: copies between any strides, and numbers that come in as operands.
#include <cstddef>
#include <cstdint>

#include "backend/cpu/simd.h"
#include "backend/kernel.h"

namespace sn::cpu::SN_ISA {

// Views of one shape and element size that do not overlap (dtypes are not looked at). Strides may
// be negative; those of src may be 0. Other back-end code reaches this as the kernel of
// `contiguous`.
void strided_copy(const TensorView& dst, const TensorView& src);

double scalar_f64(const TensorView& scalar);
int64_t scalar_i64(const TensorView& scalar);
// Writes the number as one element of `dtype` (at most kMaxElement bytes).
inline constexpr int kMaxElement = 16;
void convert_scalar(const TensorView& scalar, DType dtype, void* out);

// 16-bit floats to and from f32, in parallel: for kernels that compute in f32 and round once.
void halves_to_f32(const uint16_t* in, float* out, int64_t n, bool bf16);
void f32_to_halves(const float* in, uint16_t* out, int64_t n, bool bf16);
SN_INLINE bool is_half(DType d) { return d == DType::kF16 || d == DType::kBF16; }

// dtype_size and TensorView::numel are inline functions of every level: kernels have their own, so
// that none of their code can be taken for another level's.
SN_INLINE int64_t element_size(DType dtype) {
    constexpr uint8_t sizes[kNumDTypes] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
    return sizes[static_cast<int>(dtype)];
}
// The bits of a complex128, for kernels that only move elements.
struct Wide {
    uint64_t low, high;
};
SN_INLINE int64_t count_elements(const TensorView& view) {
    int64_t n = 1;
    for (int i = 0; i < view.rank; ++i) n *= view.shape[i];
    return n;
}
// Elements per chunk of parallel work that moves `bytes` for each.
SN_INLINE int64_t grain_for(int64_t bytes) {
    const int64_t grain = 131072 / (bytes > 0 ? bytes : 1);
    return grain > 0 ? grain : 1;
}

}  // namespace sn::cpu::SN_ISA
