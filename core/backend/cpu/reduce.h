#pragma once
#include <cstdint>

#include "backend/cpu/program.h"
#include "backend/cpu/reduce_kernels.h"
#include "base/dtype.h"

namespace sn::cpu {

// What each kind of reduction asks of the kernels: by whole operands, in tile programs, and for
// what a bundle takes along.
struct ReduceParts {
    Accumulate what;
    bool find = false;    // then where the value is
    bool divide = false;  // then by the number of elements
};
constexpr ReduceParts reduce_parts(ReduceKind kind) {
    switch (kind) {
        case ReduceKind::kSum: break;
        case ReduceKind::kMean: return {.what = Accumulate::kSum, .divide = true};
        case ReduceKind::kProd: return {Accumulate::kProd};
        case ReduceKind::kMax: return {Accumulate::kMax};
        case ReduceKind::kMin: return {Accumulate::kMin};
        case ReduceKind::kAny: return {Accumulate::kAny};
        case ReduceKind::kAll: return {Accumulate::kAll};
        case ReduceKind::kVar: return {.what = Accumulate::kMoments, .divide = true};
        case ReduceKind::kArgMax: return {.what = Accumulate::kMax, .find = true};
        case ReduceKind::kArgMin: return {.what = Accumulate::kMin, .find = true};
    }
    return {Accumulate::kSum};
}

// A reduction of a strided operand over any of its axes. The bits are those of the same reduction
// in a tile program, over the reduced axes flattened in logical order, whatever the layout.
struct ReduceCall {
    ReduceKind kind;
    DType dtype;      // of the input
    DType out_dtype;  // sums, products, max, min: the input is converted to it first (f16 and
                      // bf16 accumulate in f32 and round once); any, all: bool; arg*: int64
    int rank;
    const int64_t* shape;
    const int64_t* strides;  // in elements
    uint64_t axes;           // bit d: dimension d is reduced
    const void* in;
    void* out;
    void* out_mean = nullptr;              // kVar only: the mean too, when wanted
    double correction = 0;                 // kVar: the variance is M2 / max(n - correction, 0)
    const int64_t* out_strides = nullptr;  // one per input dimension (those of reduced ones are not
                                           // read), shared by out_mean; null: row-major
};

// Over nothing: sum 0, product 1, any false, all true, mean and variance NaN; the others have no
// identity and fail with kValue. arg*: the first index along the flattened reduced axes; NaN wins.
void reduce(const ReduceCall& call);

}  // namespace sn::cpu
