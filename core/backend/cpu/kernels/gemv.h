#pragma once
#include "backend/cpu/kernels/gemm_block.h"

// Matrix times vector: memory bound, so the matrix is read once, in place, in long runs.
namespace sn::cpu::SN_ISA {

// out[j] for n outputs whose weights are contiguous (one run of n per term). Eight terms pass over
// the outputs at a time; the chains wait in `out` meanwhile, exactly.
template <class T, class E>
void gemv_across(int64_t n, int64_t kc, const T* x, const E* w, int64_t k_stride, T* out) {
    constexpr int L = Tile<T>::lanes;
    constexpr int U = 8;
    for (int64_t j = 0; j < n; ++j) out[j] = 0;
    int64_t k = 0;
    for (; k + U <= kc; k += U) {
        Vec<T> xs[U];
        for (int u = 0; u < U; ++u) xs[u] = splat(x[k + u]);
        const E* row = w + k * k_stride;
        int64_t j = 0;
        for (; j + L <= n; j += L) {
            Vec<T> sum = load(out + j);
#pragma GCC unroll 8
            for (int u = 0; u < U; ++u) sum = fma(xs[u], load(row + u * k_stride + j), sum);
            store(out + j, sum);
        }
        for (; j < n; ++j)
            for (int u = 0; u < U; ++u)
                out[j] = fma(x[k + u], widen(row[u * k_stride + j]), out[j]);
    }
    for (; k < kc; ++k)
        for (int64_t j = 0; j < n; ++j) out[j] = fma(x[k], widen(w[k * k_stride + j]), out[j]);
}

// The same for weights that are contiguous along k (one run per output): lanes are outputs, so
// squares of L outputs by L terms are turned in registers.
template <class T, class E>
void gemv_along(int64_t n, int64_t kc, const T* x, const E* w, int64_t r_stride, T* out) {
    constexpr int L = Tile<T>::lanes;
    for (int64_t j = 0; j < n; j += L) {
        const int64_t valid = least(L, n - j);
        const E* rows = w + j * r_stride;
        Vec<T> sum{};
        int64_t k = 0;
        for (; k + L <= kc; k += L) {
            Vec<T> v[L];
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i) v[i] = load(rows + (i < valid ? i : 0) * r_stride + k);
            transpose<T>(v);
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i) sum = fma(splat(x[k + i]), v[i], sum);
        }
        T sums[L];
        store(sums, sum);
        for (int64_t i = 0; i < valid; ++i) {
            T s = sums[i];
            for (int64_t t = k; t < kc; ++t) s = fma(x[t], widen(rows[i * r_stride + t]), s);
            out[j + i] = s;
        }
    }
}

// One output: a chain alone would wait for its own last term, so six segments go side by side.
template <class T>
T dot(int64_t k, const T* x, const T* w) {
    constexpr int U = 6;
    T total = 0;
    bool first = true;
    for (int64_t k0 = 0; k0 < k;) {
        T s[U] = {};
        int count = 1;
        if (k - k0 >= U * kSegment) {
            count = U;
            for (int64_t t = 0; t < kSegment; ++t)
#pragma GCC unroll 8
                for (int u = 0; u < U; ++u)
                    s[u] = fma(x[k0 + u * kSegment + t], w[k0 + u * kSegment + t], s[u]);
        } else {
            for (int64_t t = k0; t < least(k, k0 + kSegment); ++t) s[0] = fma(x[t], w[t], s[0]);
        }
        for (int u = 0; u < count; ++u) total = first && u == 0 ? s[0] : total + s[u];
        first = false;
        k0 += count * kSegment;
    }
    return total;
}

// All segments for outputs [0, n): `out` receives the sums, `part` is room for n more.
template <class T>
void gemv(int64_t n, int64_t k, const T* x, const PackSource<T>& w, int64_t r0, T* out, T* part) {
    if (n == 1 && w.native() && w.k_stride == 1) {
        *out = dot(k, x, static_cast<const T*>(w.at(r0, 0)));
        return;
    }
    for (int64_t k0 = 0; k0 < k; k0 += kSegment) {
        const int64_t kc = least(kSegment, k - k0);
        T* to = k0 == 0 ? out : part;
        with_elements<T>(w.dtype, w.at(r0, k0), [&](const auto* p) {
            if (w.r_stride == 1)
                gemv_across(n, kc, x + k0, p, w.k_stride, to);
            else
                gemv_along(n, kc, x + k0, p, w.r_stride, to);
        });
        if (k0 > 0)
            for (int64_t j = 0; j < n; ++j) out[j] += part[j];
    }
}

}  // namespace sn::cpu::SN_ISA
