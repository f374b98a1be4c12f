#pragma once
// Rows at constant distances, and blocks that are transposed in registers.
#include <cstring>

#include "backend/cpu/simd.h"
#include "backend/cpu/tile_kernels.h"

namespace sn::cpu::SN_ISA {
namespace {

template <class T>
void copy_row(char* dst, const char* src, int64_t n, int64_t ds, int64_t ss) {
    constexpr int64_t kSize = sizeof(T);
    if (ds == kSize && ss == kSize) {
        std::memcpy(dst, src, static_cast<size_t>(n * kSize));
    } else if (ds == kSize && ss == 0) {
        T value;
        std::memcpy(&value, src, kSize);
        for (int64_t i = 0; i < n; ++i) std::memcpy(dst + i * kSize, &value, kSize);
    } else if (ds == kSize && ss == -kSize) {
        for (int64_t i = 0; i < n; ++i) std::memcpy(dst + i * kSize, src - i * kSize, kSize);
    } else {
        for (int64_t i = 0; i < n; ++i) std::memcpy(dst + i * ds, src + i * ss, kSize);
    }
}

template <class V>
SN_INLINE V interleave_low(V a, V b) {
    constexpr int n = sizeof(V) / sizeof(a[0]);
    if constexpr (n == 2)
        return __builtin_shufflevector(a, b, 0, 2);
    else if constexpr (n == 4)
        return __builtin_shufflevector(a, b, 0, 4, 1, 5);
    else if constexpr (n == 8)
        return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    else
        return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7,
                                       23);
}
template <class V>
SN_INLINE V interleave_high(V a, V b) {
    constexpr int n = sizeof(V) / sizeof(a[0]);
    if constexpr (n == 2)
        return __builtin_shufflevector(a, b, 1, 3);
    else if constexpr (n == 4)
        return __builtin_shufflevector(a, b, 2, 6, 3, 7);
    else if constexpr (n == 8)
        return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    else
        return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,
                                       15, 31);
}

// dst[j][i] = src[i][j] for an L x L block in registers: log2(L) rounds of perfect shuffles.
template <class T, int L>
SN_INLINE void transpose_block(char* dst, int64_t dj, const char* src, int64_t si) {
    using V = VecN<T, L>;
    V a[L], b[L];
    for (int i = 0; i < L; ++i) a[i] = load<V>(reinterpret_cast<const T*>(src + i * si));
    for (int round = 1; round < L; round *= 2) {
        for (int i = 0; i < L / 2; ++i) {
            b[2 * i] = interleave_low(a[i], a[i + L / 2]);
            b[2 * i + 1] = interleave_high(a[i], a[i + L / 2]);
        }
        for (int i = 0; i < L; ++i) a[i] = b[i];
    }
    for (int j = 0; j < L; ++j) store(reinterpret_cast<T*>(dst + j * dj), a[j]);
}

// dst[j][n] = src[n][j] for kCount rows of src, fewer than a block has: an image's few channels.
template <class T, int kCount>
SN_INLINE void interleave_rows(char* dst, int64_t dj, const char* src, int64_t si, int64_t nj) {
    for (int64_t j = 0; j < nj; ++j)
        for (int n = 0; n < kCount; ++n)
            std::memcpy(dst + j * dj + n * static_cast<int64_t>(sizeof(T)),
                        src + n * si + j * static_cast<int64_t>(sizeof(T)), sizeof(T));
}

// dst + j * dj holds the row i = 0..ni; src + i * si holds the row j = 0..nj.
template <class T>
void transpose_piece(char* dst, const char* src, int64_t ni, int64_t nj, int64_t dj, int64_t si) {
    constexpr int L = kLanes<T> < 16 ? kLanes<T> : 16;
    constexpr int64_t kSize = sizeof(T);
    int64_t i = 0;
    for (; i + L <= ni; i += L) {
        int64_t j = 0;
        for (; j + L <= nj; j += L)
            transpose_block<T, L>(dst + j * dj + i * kSize, dj, src + i * si + j * kSize, si);
        for (; j < nj; ++j)
            copy_row<T>(dst + j * dj + i * kSize, src + i * si + j * kSize, L, kSize, si);
    }
    for (; i + 4 <= ni; i += 4) interleave_rows<T, 4>(dst + i * kSize, dj, src + i * si, si, nj);
    if (ni - i == 3) interleave_rows<T, 3>(dst + i * kSize, dj, src + i * si, si, nj);
    if (ni - i == 2) interleave_rows<T, 2>(dst + i * kSize, dj, src + i * si, si, nj);
    if (ni - i == 1) interleave_rows<T, 1>(dst + i * kSize, dj, src + i * si, si, nj);
}

SN_INLINE TransposeFn transpose_fn(int64_t element_size) {
    switch (element_size) {
        case 1: return transpose_piece<uint8_t>;
        case 2: return transpose_piece<uint16_t>;
        case 4: return transpose_piece<uint32_t>;
        default: return transpose_piece<uint64_t>;
    }
}

}  // namespace
}  // namespace sn::cpu::SN_ISA
