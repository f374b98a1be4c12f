#pragma once
// A tile of a product: what a block of threads keeps of both operands, and the sums of a thread.
// SN_T: elements; SN_M x SN_N: the tile, of which a thread makes SN_TM x SN_TN.
#include "chain.cuh"

namespace sn {

using A = Accumulator<SN_T>;

inline constexpr int kM = SN_M, kN = SN_N, kK = 16, kTM = SN_TM, kTN = SN_TN;
inline constexpr int kAcross = kN / kTN, kBlock = kM / kTM * kAcross;
// Rows (columns) of a thread come in packs of 16 bytes; packs lie as far apart as the tile allows,
// so that neighbouring threads read neighbouring packs.
inline constexpr int kWide = 16 / sizeof(A);
inline constexpr int kPM = kTM < kWide ? kTM : kWide, kPN = kTN < kWide ? kTN : kWide;
inline constexpr int kPad = kWide;
inline constexpr int kFetchA = kM * kK / kBlock, kFetchB = kN * kK / kBlock;

SN_DEVICE int row_of(int thread, int i) {
    return i / kPM * (kM / (kTM / kPM)) + thread / kAcross * kPM + i % kPM;
}
SN_DEVICE int column_of(int thread, int j) {
    return j / kPN * (kN / (kTN / kPN)) + thread % kAcross * kPN + j % kPN;
}

struct alignas(16) Tile {
    A a[kK][kM + kPad];
    A b[kK][kN + kPad];
};

// Multiplies one slice of k into the sums.
SN_DEVICE void multiply(const Tile& tile, int k, int thread, A (&sums)[kTM][kTN]) {
    A a[kTM], b[kTN];
    SN_UNROLL(kTM / kPM)
    for (int p = 0; p < kTM / kPM; ++p) {
        const auto& pack =
            *reinterpret_cast<const Pack<A, kPM>*>(&tile.a[k][row_of(thread, p * kPM)]);
        for (int i = 0; i < kPM; ++i) a[p * kPM + i] = pack.v[i];
    }
    SN_UNROLL(kTN / kPN)
    for (int p = 0; p < kTN / kPN; ++p) {
        const auto& pack =
            *reinterpret_cast<const Pack<A, kPN>*>(&tile.b[k][column_of(thread, p * kPN)]);
        for (int j = 0; j < kPN; ++j) b[p * kPN + j] = pack.v[j];
    }
    SN_UNROLL(kTM)
    for (int i = 0; i < kTM; ++i) {
        SN_UNROLL(kTN)
        for (int j = 0; j < kTN; ++j) sums[i][j] = multiply_add(a[i], b[j], sums[i][j]);
    }
}

}  // namespace sn
