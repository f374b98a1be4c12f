#pragma once
#include "backend/cpu/kernels/gemm_micro.h"
#include "base/dtype.h"

// Packers: they copy a panel of an operand of any layout and dtype into the order in which the
// register tile reads it. `width` is the panel's fixed size across (Tile::rows for a, Tile::cols
// for b); element (r, k) goes to dst[k * width + r]. A panel with fewer valid rows is filled up
// with zeros, whose products are never stored; k is never padded.
namespace sn::cpu::SN_ISA {

// An operand seen from its panels: r runs across a panel, k along it.
template <class T>
struct PackSource {
    const void* data;
    DType dtype;
    int64_t r_stride, k_stride;

    bool native() const { return dtype == (sizeof(T) == 8 ? DType::kF64 : DType::kF32); }
    const void* at(int64_t r, int64_t k) const {
        return static_cast<const char*>(data) +
               (r * r_stride + k * k_stride) * int64_t(dtype_size(dtype));
    }
};

// (a0 b0 a1 b1 ...) of the low and high halves: one stage of a transposition.
template <int L, class V>
[[gnu::always_inline]] inline void zip(V a, V b, V& low, V& high) {
    if constexpr (L == 16) {
        low = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        high = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,
                                       15, 31);
    } else if constexpr (L == 8) {
        low = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
        high = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    } else if constexpr (L == 4) {
        low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
        high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    } else {
        low = __builtin_shufflevector(a, b, 0, 2);
        high = __builtin_shufflevector(a, b, 1, 3);
    }
}

// L vectors, transposed in registers: log2(L) perfect shuffles of the whole set.
template <class T>
[[gnu::always_inline]] inline void transpose(Vec<T>* v) {
    constexpr int L = Tile<T>::lanes;
#pragma GCC unroll 4
    for (int stage = 1; stage < L; stage *= 2) {
        Vec<T> w[L];
#pragma GCC unroll 8
        for (int i = 0; i < L / 2; ++i) zip<L>(v[i], v[i + L / 2], w[2 * i], w[2 * i + 1]);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) v[i] = w[i];
    }
}

// k is contiguous in the source: transposed L x L at a time. Groups of L rows overlap in dst by
// their unused lanes, which a later store of the same loop overwrites: so up to one vector is
// written past the panel, panels are packed in ascending order and a buffer has that much slack.
template <class T, int W, class E>
void pack_transposed(const E* src, int64_t r_stride, int64_t valid, int64_t kc, T* dst) {
    constexpr int L = Tile<T>::lanes;
    constexpr int groups = (W + L - 1) / L;
    const auto square = [&](int64_t k, int g, Vec<T>* v) {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) {
            const int r = g * L + i;
            v[i] = r < W && r < valid ? load(src + r * r_stride + k) : Vec<T>{};
        }
        transpose<T>(v);
    };
    const int64_t whole = kc / L * L;
    if constexpr (W % L == 0 || groups == 1) {
        // One group after the other: with rows a power of two apart, more streams than the
        // first-level cache has ways would evict each other.
        for (int g = 0; g < groups; ++g)
            for (int64_t k = 0; k < whole; k += L) {
                Vec<T> v[L];
                square(k, g, v);
#pragma GCC unroll 16
                for (int i = 0; i < L; ++i) store(dst + (k + i) * W + g * L, v[i]);
            }
    } else {
        for (int64_t k = 0; k < whole; k += L) {
            Vec<T> v[groups][L];
            for (int g = 0; g < groups; ++g) square(k, g, v[g]);
            for (int i = 0; i < L; ++i)
                for (int g = 0; g < groups; ++g) store(dst + (k + i) * W + g * L, v[g][i]);
        }
    }
    for (int64_t k = whole; k < kc; ++k)
        for (int r = 0; r < W; ++r)
            dst[k * W + r] = r < valid ? widen(src[r * r_stride + k]) : T(0);
}

// The rows of one k are contiguous in the source: copied.
template <class T, int W, class E>
void pack_copied(const E* src, int64_t k_stride, int64_t valid, int64_t kc, T* dst) {
    constexpr int L = Tile<T>::lanes;
    // Rows far apart are pieces that no hardware prefetcher foresees.
    constexpr int64_t kRowsAhead = 24;
    const auto fetch = [&](int64_t k) __attribute__((always_inline)) {
        const char* row = reinterpret_cast<const char*>(src + (k + kRowsAhead) * k_stride);
        __builtin_prefetch(row);
        __builtin_prefetch(row + W * sizeof(E) - 1);
    };
    if (valid == W) {
        if constexpr (sizeof(E) == sizeof(T) && W % L != 0) {
            // Of a fixed length: a few moves of the widths that fit, not one element at a time.
            for (int64_t k = 0; k < kc; ++k) {
                fetch(k);
                memcpy(dst + k * W, src + k * k_stride, W * sizeof(T));
            }
            return;
        }
        for (int64_t k = 0; k < kc; ++k) {
            fetch(k);
            int r = 0;
#pragma GCC unroll 4
            for (; r + L <= W; r += L) store(dst + k * W + r, load(src + k * k_stride + r));
            for (; r < W; ++r) dst[k * W + r] = widen(src[k * k_stride + r]);
        }
        return;
    }
    for (int64_t k = 0; k < kc; ++k)
        for (int r = 0; r < W; ++r)
            dst[k * W + r] = r < valid ? widen(src[k * k_stride + r]) : T(0);
}

// Adjacent panels of b, n columns in all, whose rows are contiguous and may come from memory:
// eight rows at a time in long runs, which the prefetchers follow.
template <class T, int W, class E>
void pack_streamed(const E* src, int64_t k_stride, int64_t n, int64_t kc, T* dst) {
    constexpr int L = Tile<T>::lanes;
    constexpr int U = 8;
    const int64_t whole = n / W * W;
    for (int64_t k = 0; k < kc; k += U) {
        const int rows = kc - k < U ? int(kc - k) : U;
        for (int64_t j = 0; j < whole; j += W)
            for (int u = 0; u < rows; ++u)
#pragma GCC unroll 4
                for (int i = 0; i < W; i += L)
                    store(dst + j * kc + (k + u) * W + i, load(src + (k + u) * k_stride + j + i));
    }
    if (whole < n) pack_copied<T, W>(src + whole, k_stride, n - whole, kc, dst + whole * kc);
}

// Calls f(pointer to typed elements).
template <class T, class F>
[[gnu::always_inline]] inline void with_elements(DType dtype, const void* data, F f) {
    if constexpr (sizeof(T) == 8) {
        f(static_cast<const double*>(data));
    } else {
        if (dtype == DType::kF32) return f(static_cast<const float*>(data));
        if (dtype == DType::kBF16) return f(static_cast<const Bf16*>(data));
        f(static_cast<const F16*>(data));
    }
}

// Rows [r0, r0 + valid) and terms [k0, k0 + kc) of src.
template <class T, int W>
void pack_panel(const PackSource<T>& src, int64_t r0, int64_t valid, int64_t k0, int64_t kc,
                T* dst) {
    with_elements<T>(src.dtype, src.at(r0, k0), [&](const auto* p) {
        if (src.r_stride == 1) return pack_copied<T, W>(p, src.k_stride, valid, kc, dst);
        if (src.k_stride == 1) return pack_transposed<T, W>(p, src.r_stride, valid, kc, dst);
        for (int64_t k = 0; k < kc; ++k)
            for (int r = 0; r < W; ++r)
                dst[k * W + r] = r < valid ? widen(p[r * src.r_stride + k * src.k_stride]) : T(0);
    });
}

}  // namespace sn::cpu::SN_ISA
