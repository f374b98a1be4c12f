#include "backend/cpu/kernels/attention_product.h"

#include "backend/cpu/kernels/gemm_block.h"

namespace sn::cpu::SN_ISA {

namespace {

template <class T>
void product(int64_t m, int64_t n, int64_t k, LeftBlock<T> a, RightBlock<T> b, T* c, int64_t ldc,
             bool add) {
    constexpr int64_t MR = Tile<T>::rows, NR = Tile<T>::cols;
    static_assert(NR == kPanel<T>);
    n = round_up(n, Tile<T>::lanes);
    const AView<T> view{a.data, a.by_rows, a.stride, 0};
    for (int64_t j = 0; j < n; j += NR)
        for (int64_t i = 0; i < m; i += MR)
            run_tile(least(MR, m - i), least(NR, n - j), k, view,
                     a.data + (a.by_rows ? i * a.stride : i), b.data + j / NR * b.panel, b.stride,
                     c + i * ldc + j, ldc, add ? Carry::kAdd : Carry::kStore,
                     {reinterpret_cast<const char*>(c), 0, 0, 0});
}

template <class T>
void turned(const RowSource& s, int64_t rows, int64_t width, T* panels) {
    constexpr int64_t NR = Tile<T>::cols;
    const PackSource<T> source{s.data, s.dtype, s.row_stride, s.col_stride};
    for (int64_t r = 0; r < rows; r += NR)
        pack_panel<T, NR>(source, r, least(NR, rows - r), 0, width, panels + r * width);
}

template <class T>
void copied(const RowSource& s, int64_t rows, int64_t width, T* to, int64_t ld) {
    constexpr int64_t L = Tile<T>::lanes;
    with_elements<T>(s.dtype, s.data, [&](const auto* from) {
        for (int64_t r = 0; r < rows; ++r, to += ld, from += s.row_stride) {
            int64_t i = 0;
            if (s.col_stride == 1)
                for (; i + L <= width; i += L) store(to + i, load(from + i));
            for (; i < width; ++i) to[i] = widen(from[i * s.col_stride]);
            for (; i < ld; ++i) to[i] = 0;
        }
    });
}

}  // namespace

#define SN_PRODUCTS(T)                                                                         \
    void block_product(int64_t m, int64_t n, int64_t k, LeftBlock<T> a, RightBlock<T> b, T* c, \
                       int64_t ldc, bool add) {                                                \
        product<T>(m, n, k, a, b, c, ldc, add);                                                \
    }                                                                                          \
    void pack_turned(const RowSource& source, int64_t rows, int64_t width, T* panels) {        \
        turned<T>(source, rows, width, panels);                                                \
    }                                                                                          \
    void copy_rows(const RowSource& source, int64_t rows, int64_t width, T* to, int64_t ld) {  \
        copied<T>(source, rows, width, to, ld);                                                \
    }
SN_PRODUCTS(float)
SN_PRODUCTS(double)
#undef SN_PRODUCTS

}  // namespace sn::cpu::SN_ISA
