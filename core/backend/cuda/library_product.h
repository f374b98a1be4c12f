#pragma once
#include <cstdint>

#include "backend/cuda/kernels/matmul_args.h"
#include "backend/kernel.h"

namespace sn::cuda {

// Products by cuBLASLt: of f16 and bf16, with sums in f32, and of f32 where the mode allows TF32 or
// bf16 factors. All else, and whatever the library has no algorithm for, is left to the kernels
// here.

// Whether the library is asked for products of this dtype at all.
bool library_multiplies(DType dtype, MatmulPrecision precision);

// Issues the product; false when the library does not do it, and nothing was issued. `g` has
// pointers, sizes and strides; a stack has at most one dimension.
bool library_product(int device, const MatmulArgs& g, DType factors, DType result,
                     MatmulPrecision precision);

// How many products the library has computed, and how many were asked of it in vain.
struct LibraryRuns {
    int64_t computed = 0, refused = 0;
};
LibraryRuns library_runs();

}  // namespace sn::cuda
