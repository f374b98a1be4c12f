#pragma once
#include <cstdint>

#include "base/dtype.h"

// The matrix core as attention sees it: products of blocks that lie in the second-level cache. The
// register tile and the vectors of elementwise code come from headers that exclude each other, so
// these are declarations only; attention_product.cpp is compiled with the tile.
namespace sn::cpu::SN_ISA {

// One operand of a call, seen as rows of `width` numbers: strides in elements.
struct RowSource {
    const void* data;
    DType dtype;
    int64_t row_stride, col_stride;
};

// Columns of one register tile.
template <class T>
inline constexpr int64_t kPanel =
#if defined(__AVX512F__)
    128 / int64_t(sizeof(T));
#elif defined(__AVX2__)
    64 / int64_t(sizeof(T));
#else
    32 / int64_t(sizeof(T));
#endif

// a of a product: by_rows, rows `stride` apart with k contiguous; else the rows of one k are
// contiguous and successive k `stride` apart.
template <class T>
struct LeftBlock {
    const T* data;
    int64_t stride;
    bool by_rows;
};
// b of a product: rows (k) `stride` apart; panels of kPanel columns `panel` apart.
template <class T>
struct RightBlock {
    const T* data;
    int64_t stride, panel;
};

// c = a b, or c = c + a b with `add`: every element one chain of fused multiply-adds over k from
// +0. n is rounded up to whole vectors, which b and c must have room for.
void block_product(int64_t m, int64_t n, int64_t k, LeftBlock<float> a, RightBlock<float> b,
                   float* c, int64_t ldc, bool add);
void block_product(int64_t m, int64_t n, int64_t k, LeftBlock<double> a, RightBlock<double> b,
                   double* c, int64_t ldc, bool add);

// Rows of a source, transposed into panels: element (row, col) at panel row / kPanel, position
// [col][row % kPanel]. Missing rows of the last panel are zeros. One vector past the end is
// written.
void pack_turned(const RowSource& source, int64_t rows, int64_t width, float* panels);
void pack_turned(const RowSource& source, int64_t rows, int64_t width, double* panels);

// Rows of a source, copied (and widened) to rows `ld` apart; columns up to ld are zeros.
void copy_rows(const RowSource& source, int64_t rows, int64_t width, float* to, int64_t ld);
void copy_rows(const RowSource& source, int64_t rows, int64_t width, double* to, int64_t ld);

}  // namespace sn::cpu::SN_ISA
