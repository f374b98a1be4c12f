#pragma once
// Packed weights have result channels in lanes, users' weights mostly have them outermost: whole
// vectors are moved through a transposition in registers.
#include "backend/cpu/kernels/conv_tile.h"

namespace sn::cpu::SN_ISA {

template <int... kIndex>
struct Indices {};
template <int kCount, int... kIndex>
struct MakeIndices : MakeIndices<kCount - 1, kCount - 1, kIndex...> {};
template <int... kIndex>
struct MakeIndices<0, kIndex...> {
    using type = Indices<kIndex...>;
};

// Swaps the off-diagonal blocks of size kStep of two rows.
template <class T, int kStep, int... kIndex>
SN_INLINE void exchange(Vec<T>& a, Vec<T>& b, Indices<kIndex...>) {
    constexpr int kL = kLanes<T>;
    const Vec<T> low =
        __builtin_shufflevector(a, b, (kIndex & kStep ? kL + kIndex - kStep : kIndex)...);
    b = __builtin_shufflevector(a, b, (kIndex & kStep ? kL + kIndex : kIndex + kStep)...);
    a = low;
}

template <class T, int kStep>
SN_INLINE void exchange_rows(Vec<T>* r) {
    if constexpr (kStep < kLanes<T>) {
        SN_UNROLL
        for (int i = 0; i < kLanes<T>; ++i)
            if (!(i & kStep))
                exchange<T, kStep>(r[i], r[i + kStep], typename MakeIndices<kLanes<T>>::type{});
        exchange_rows<T, kStep * 2>(r);
    }
}

// A square of kLanes vectors.
template <class T>
SN_INLINE void transpose(Vec<T>* r) {
    exchange_rows<T, 1>(r);
}

// to[row(q)][col] = from[col * col_stride + q] for q < length; columns behind `cols` become zero.
template <class T, class Row>
SN_INLINE void lines_to_rows(const T* from, int64_t col_stride, int cols, int64_t length, T* to,
                             Row row) {
    constexpr int kL = kLanes<T>;
    for (int half = 0; half < kTileVectors; ++half) {
        const int count = cols - half * kL < kL ? cols - half * kL : kL;
        for (int64_t q = 0; q < length; q += kL) {
            const int n = static_cast<int>(length - q < kL ? length - q : kL);
            Vec<T> r[kL];
            const T* line = from + half * kL * col_stride + q;
            if (count == kL && n == kL) {
                SN_UNROLL
                for (int i = 0; i < kL; ++i) r[i] = load<Vec<T>>(line + i * col_stride);
            } else {
                SN_UNROLL
                for (int i = 0; i < kL; ++i)
                    r[i] = i < count ? load_head<T>(line + i * col_stride, n) : Vec<T>{};
            }
            transpose<T>(r);
            SN_UNROLL
            for (int i = 0; i < kL; ++i)
                if (i < n) store(to + row(q + i) * kTileCols<T> + half * kL, r[i]);
        }
    }
}

// The inverse: to[col * col_stride + q] = from(row(q), half)[col], where from gives a vector.
template <class T, class From>
SN_INLINE void rows_to_lines(From from, T* to, int64_t col_stride, int cols, int64_t length) {
    constexpr int kL = kLanes<T>;
    for (int half = 0; half * kL < cols; ++half) {
        const int count = cols - half * kL < kL ? cols - half * kL : kL;
        for (int64_t q = 0; q < length; q += kL) {
            const int n = static_cast<int>(length - q < kL ? length - q : kL);
            Vec<T> r[kL];
            SN_UNROLL
            for (int i = 0; i < kL; ++i) r[i] = i < n ? from(q + i, half) : Vec<T>{};
            transpose<T>(r);
            T* line = to + half * kL * col_stride + q;
            SN_UNROLL
            for (int i = 0; i < kL; ++i)
                if (i < count) store_head<T>(line + i * col_stride, r[i], n);
        }
    }
}

// How a weight's (tap, channel) pairs lie in memory, for moving them in lines of consecutive
// elements.
struct WeightLines {
    bool taps;      // the taps of one channel are consecutive
    bool merged;    // and so are the channels
    bool channels;  // the channels of one tap are consecutive
};
inline WeightLines weight_lines(const ConvShape& s, const int64_t* strides,
                                int64_t channel_stride) {
    WeightLines lines{true, false, channel_stride == 1};
    int64_t taps = 1;
    for (int d = 2; d >= 0; --d) {
        lines.taps = lines.taps && (s.kernel[d] == 1 || strides[2 + d] == taps);
        taps *= s.kernel[d];
    }
    lines.merged = lines.taps && channel_stride == taps;
    return lines;
}

}  // namespace sn::cpu::SN_ISA
