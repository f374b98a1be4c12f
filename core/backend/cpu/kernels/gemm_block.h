#pragma once
#include <span>

#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels/gemm_pack.h"

// One thread's work: a block of the output over all of k, from operands that are read in place,
// were packed before, or are packed here segment by segment.
namespace sn::cpu::SN_ISA {

inline constexpr int64_t kSegment = kGemmSegment;

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// One matrix product [m, k] x [k, n]; r of `a` is a row, r of `b` a column of the output.
template <class T>
struct Problem {
    int64_t m, n, k;
    PackSource<T> a, b;
    const T* packed_b;
    void* c;
    DType c_dtype;
    int64_t c_row_stride, c_col_stride;
    const Epilogue* epilogue;
    int64_t batch;
    bool parallel;  // may use other threads

    int64_t segments() const { return ceil_div(k, kSegment); }
    // Sums may be accumulated in c itself.
    bool direct() const {
        return epilogue ? epilogue->tile_in_output
                        : c_col_stride == 1 && dtype_size(c_dtype) == sizeof(T);
    }
};

// Panels of a for the register tile; panel p at data + p * panel_stride.
template <class T>
struct AView {
    const T* data;
    bool by_rows;
    int64_t stride, panel_stride;
};
template <class T>
struct BView {
    const T* data;
    int64_t stride, panel_stride;
    const T* tail;  // the last panel when it is narrower than a tile; width Tile::cols
};

template <class T>
using MicroFn = void (*)(int64_t, const T*, int64_t, const T*, int64_t, T*, int64_t, Carry,
                         const char*, int64_t, int64_t);

// Heights of the register tile: any number of rows is a sum of few of them.
#if defined(__AVX512F__) || defined(__aarch64__)
#define SN_TILE_HEIGHTS(X) X(12) X(8) X(4) X(2) X(1)
#else
#define SN_TILE_HEIGHTS(X) X(6) X(4) X(2) X(1)
#endif

// What a product fetches meanwhile: rows of the panels that are packed next, or of the matrices
// that the epilogue of this block will read and write.
struct Ahead {
    const char* data;
    int64_t row_bytes, panel_bytes, rows;
};

// rows <= Tile::rows, cols <= Tile::cols of one tile.
template <class T>
void run_tile(int64_t rows, int64_t cols, int64_t kc, const AView<T>& a, const T* ap, const T* bp,
              int64_t b_stride, T* c, int64_t ldc, Carry carry, const Ahead& ahead) {
    constexpr int L = Tile<T>::lanes;
    struct Height {
        int rows;
        MicroFn<T> fn[2][2];
    };
#define SN_HEIGHT(h)                                  \
    {h,                                               \
     {{micro<T, h, 1, false>, micro<T, h, 2, false>}, \
      {micro<T, h, 1, true>, micro<T, h, 2, true>}}},
    static constexpr Height heights[] = {SN_TILE_HEIGHTS(SN_HEIGHT)};
#undef SN_HEIGHT
    const int vecs = cols > L ? 1 : 0;
    const bool whole = cols == L || cols == 2 * L;
    alignas(64) T edge[Tile<T>::rows * Tile<T>::cols];
    for (const Height* h = heights; rows > 0; ++h) {
        for (; rows >= h->rows; rows -= h->rows) {
            if (whole) {
                h->fn[a.by_rows][vecs](kc, ap, a.stride, bp, b_stride, c, ldc, carry, ahead.data,
                                       ahead.row_bytes, ahead.rows);
            } else {
                // A narrow tile is computed beside c, its unused columns on zeros.
                if (carry != Carry::kStore)
                    for (int r = 0; r < h->rows; ++r)
                        for (int64_t j = 0; j < 2 * L; ++j)
                            edge[r * 2 * L + j] = j < cols ? c[r * ldc + j] : T(0);
                h->fn[a.by_rows][vecs](kc, ap, a.stride, bp, b_stride, edge, 2 * L, carry,
                                       ahead.data, ahead.row_bytes, ahead.rows);
                for (int r = 0; r < h->rows; ++r)
                    for (int64_t j = 0; j < cols; ++j) c[r * ldc + j] = edge[r * 2 * L + j];
            }
            ap += a.by_rows ? h->rows * a.stride : h->rows;
            c += h->rows * ldc;
        }
    }
}

// Asks for the heads of the next panel's rows: each is a new stream to the prefetchers, which need
// a few misses to notice.
template <class T>
[[gnu::always_inline]] inline void prefetch_rows(const T* a, int64_t stride, int64_t rows,
                                                 int64_t kc) {
    const int64_t head = least(kc, 512 / int64_t(sizeof(T)));
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t k = 0; k < head; k += 64 / int64_t(sizeof(T)))
            __builtin_prefetch(a + r * stride + k);
}

// One segment of an [m, n] block. b's panel stays in the second-level cache while a's panels pass;
// each pass over a panel of b is enough to fetch one of `ahead`.
template <class T>
void run_segment(int64_t m, int64_t n, int64_t kc, const AView<T>& a, const BView<T>& b, T* c,
                 int64_t ldc, Carry carry, std::span<const Ahead> ahead = {}) {
    constexpr int MR = Tile<T>::rows, NR = Tile<T>::cols;
    for (int64_t j = 0; j < n; j += NR) {
        const int64_t cols = least(NR, n - j);
        const bool tail = cols < NR && b.tail;
        const T* bp = tail ? b.tail : b.data + j / NR * b.panel_stride;
        for (int64_t i = 0; i < m; i += MR) {
            if (a.by_rows && j == 0 && i + MR < m)
                prefetch_rows(a.data + (i / MR + 1) * a.panel_stride, a.stride,
                              least(MR, m - i - MR), kc);
            Ahead fetch{reinterpret_cast<const char*>(c), 0, 0, 0};
            if (size_t(i / MR) < ahead.size()) {
                fetch = ahead[size_t(i / MR)];
                fetch.data += j / NR * fetch.panel_bytes;
            }
            run_tile(least(MR, m - i), cols, kc, a, a.data + i / MR * a.panel_stride, bp,
                     tail ? NR : b.stride, c + i * ldc + j, ldc, carry, fetch);
        }
    }
}

// n sums rounded to nearest even into a row of f16 or bf16; NaN stays NaN.
inline void narrow_row(const float* x, int64_t n, DType dtype, uint16_t* out) {
    int64_t i = 0;
#if defined(__F16C__)
    if (dtype == DType::kF16)
        for (; i + 8 <= n; i += 8) {
            const __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), h);
        }
#endif
    if (dtype == DType::kF16) {
        for (; i < n; ++i) out[i] = f32_to_f16(x[i]);
        return;
    }
    // The same arithmetic as f32_to_bf16, in a form that becomes vector code.
    for (; i < n; ++i) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        const uint32_t nan = (bits >> 16) | 0x40;
        out[i] = uint16_t((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
    }
}

inline void store_value(float x, DType dtype, void* c, int64_t i) {
    if (dtype == DType::kF32)
        static_cast<float*>(c)[i] = x;
    else
        narrow_row(&x, 1, dtype, static_cast<uint16_t*>(c) + i);
}
inline void store_value(double x, DType, void* c, int64_t i) { static_cast<double*>(c)[i] = x; }

// Hands finished sums to the epilogue, or rounds and scatters them into c.
template <class T>
void finish(const Problem<T>& p, const T* tile, int64_t ld, int64_t i0, int64_t m, int64_t j0,
            int64_t n) {
    if (p.epilogue) {
        p.epilogue->run(p.epilogue->context, tile, ld, p.batch, i0, m, j0, n);
    } else if (!p.direct()) {
        for (int64_t i = 0; i < m; ++i) {
            const int64_t to = (i0 + i) * p.c_row_stride + j0 * p.c_col_stride;
            if constexpr (sizeof(T) == 4) {
                if (p.c_col_stride == 1 && p.c_dtype != DType::kF32) {
                    narrow_row(tile + i * ld, n, p.c_dtype, static_cast<uint16_t*>(p.c) + to);
                    continue;
                }
            }
            for (int64_t j = 0; j < n; ++j)
                store_value(tile[i * ld + j], p.c_dtype, p.c, to + j * p.c_col_stride);
        }
    }
}

// How a block gets an operand.
enum class From : uint8_t {
    kPlace,   // read in place
    kPacked,  // packed before, all of it
    kHere,    // packed by the block, one segment at a time
    kStream,  // b only: packed by the block in short pieces of a segment, in long runs of memory
};

// Terms of a streamed piece, and columns of a block that is streamed: the piece and the sums stay
// in the second-level cache, of which processors with AVX2 alone have as little as 512 KiB.
inline constexpr int64_t kStreamTerms = 128;
#if defined(__AVX2__) && !defined(__AVX512F__)
inline constexpr int64_t kStreamCols = 256;
#else
inline constexpr int64_t kStreamCols = 1024;
#endif

// Elements from one packed panel of a to the next: the packer's overhang, whole cache lines.
template <class T>
int64_t a_panel_stride(int64_t kc) {
    return round_up(kc * Tile<T>::rows + Tile<T>::lanes, 64 / int64_t(sizeof(T)));
}

// a packed whole: segment after segment, each with all its panels.
template <class T>
int64_t a_packed_size(int64_t m, int64_t k) {
    return ceil_div(k, kSegment) * ceil_div(m, Tile<T>::rows) *
           a_panel_stride<T>(least(k, kSegment));
}
template <class T>
int64_t a_packed_offset(int64_t m, int64_t k, int64_t panel, int64_t segment) {
    return (segment * ceil_div(m, Tile<T>::rows) + panel) * a_panel_stride<T>(least(k, kSegment));
}

// b packed whole: panel after panel, each with all of k.
template <class T>
int64_t b_packed_size(int64_t n, int64_t k) {
    return round_up(n, Tile<T>::cols) * k;
}

template <class T>
struct Block {
    From a_from, b_from;
    const T* a_packed;  // kPacked: of the whole matrix
    const T* b_packed;  // kPacked: first panel belongs to column b_first
    int64_t b_first;
    int64_t b_k0, b_k;  // terms of k that b_packed holds
    T* a_buffer;        // kHere: room for one segment of the block's rows
    T* b_buffer;        // kHere, kStream, or kPlace with a narrow last panel (one panel)
    T* part;            // kStream: room for the block's sums
};

// Rows of c that are few enough for b to be read in place: a row of b meets all of them, so a
// packed copy would be read about as often as it is written.
inline constexpr int64_t kPlaceRows = 8;

// A piece of count terms for m rows of n sums, b's rows in place: four terms pass over the sums at
// a time, which stay in the cache.
template <class T, class E>
void few_rows(int64_t m, int64_t n, int64_t count, const AView<T>& a, const E* b, int64_t b_stride,
              T* sums, bool first) {
    constexpr int L = Tile<T>::lanes, MR = Tile<T>::rows, U = 4;
    const T* x[kPlaceRows];
    const int64_t step = a.by_rows ? 1 : a.stride;
    for (int64_t r = 0; r < m; ++r)
        x[r] = a.data + r / MR * a.panel_stride + r % MR * (a.by_rows ? a.stride : 1);
    if (first)
        for (int64_t i = 0; i < m * n; ++i) sums[i] = 0;
    int64_t k = 0;
    for (; k + U <= count; k += U) {
        const E* row = b + k * b_stride;
        int64_t j = 0;
        for (; j + 2 * L <= n; j += 2 * L) {
            Vec<T> w[U][2];
#pragma GCC unroll 4
            for (int u = 0; u < U; ++u)
#pragma GCC unroll 2
                for (int v = 0; v < 2; ++v) w[u][v] = load(row + u * b_stride + j + v * L);
            for (int64_t r = 0; r < m; ++r) {
                T* to = sums + r * n + j;
                Vec<T> s0 = load(to), s1 = load(to + L);
#pragma GCC unroll 4
                for (int u = 0; u < U; ++u) {
                    const Vec<T> xs = splat(x[r][(k + u) * step]);
                    s0 = fma(xs, w[u][0], s0);
                    s1 = fma(xs, w[u][1], s1);
                }
                store(to, s0);
                store(to + L, s1);
            }
        }
        for (; j < n; ++j)
            for (int64_t r = 0; r < m; ++r)
                for (int u = 0; u < U; ++u)
                    sums[r * n + j] =
                        fma(x[r][(k + u) * step], widen(row[u * b_stride + j]), sums[r * n + j]);
    }
    for (; k < count; ++k)
        for (int64_t r = 0; r < m; ++r)
            for (int64_t j = 0; j < n; ++j)
                sums[r * n + j] = fma(x[r][k * step], widen(b[k * b_stride + j]), sums[r * n + j]);
}

// One segment with b streamed. The chains wait in `part` from piece to piece: its rows are close
// together, where those of c may be a power of two apart and evict each other.
template <class T>
void stream_segment(const Problem<T>& p, const Block<T>& block, const AView<T>& a, int64_t m,
                    int64_t j0, int64_t n, int64_t k0, int64_t kc, bool first, T* c, int64_t ldc) {
    constexpr int NR = Tile<T>::cols;
    for (int64_t k = 0; k < kc; k += kStreamTerms) {
        const int64_t count = least(kStreamTerms, kc - k);
        if (m <= kPlaceRows) {
            AView<T> piece = a;
            piece.data += a.by_rows ? k : k * a.stride;
            with_elements<T>(p.b.dtype, p.b.at(j0, k0 + k), [&](const auto* src) {
                few_rows(m, n, count, piece, src, p.b.k_stride, block.part, k == 0);
            });
            continue;
        }
        with_elements<T>(p.b.dtype, p.b.at(j0, k0 + k), [&](const auto* src) {
            pack_streamed<T, NR>(src, p.b.k_stride, n, count, block.b_buffer);
        });
        AView<T> piece = a;
        piece.data += a.by_rows ? k : k * a.stride;
        const int64_t size = int64_t(dtype_size(p.b.dtype));
        const Ahead ahead{static_cast<const char*>(p.b.at(j0, k0 + k + count)), p.b.k_stride * size,
                          NR * size, count};
        run_segment(m, n, count, piece, {block.b_buffer, NR, count * NR, nullptr}, block.part, n,
                    k == 0 ? Carry::kStore : Carry::kContinue, {&ahead, 1});
    }
    for (int64_t i = 0; i < m; ++i) {
        const T* sums = block.part + i * n;
        if (first)
            memcpy(c + i * ldc, sums, size_t(n) * sizeof(T));
        else
            for (int64_t j = 0; j < n; ++j) c[i * ldc + j] += sums[j];
    }
}

// The lines of the epilogue's matrices for a block at (i0, j0).
inline constexpr size_t kMaxAhead = 6;
template <class T>
size_t epilogue_ahead(const Problem<T>& p, int64_t i0, int64_t m, int64_t j0, Ahead* ahead) {
    const Epilogue& e = *p.epilogue;
    const size_t count = e.stream_count < int(kMaxAhead) ? size_t(e.stream_count) : kMaxAhead;
    for (size_t k = 0; k < count; ++k) {
        const EpilogueStream& s = e.streams[k];
        ahead[k] = {s.data + (p.batch * e.rows + i0) * s.row_bytes + j0 * s.element_bytes,
                    s.row_bytes, Tile<T>::cols * s.element_bytes, m};
    }
    return count;
}

// Rows [i0, i0 + m) and columns [j0, j0 + n), segments [s0, s1), accumulated at c; `last` when
// these segments complete the sums. i0 and j0 lie on panel borders.
template <class T>
void run_block(const Problem<T>& p, const Block<T>& block, int64_t i0, int64_t m, int64_t j0,
               int64_t n, int64_t s0, int64_t s1, bool last, T* c, int64_t ldc) {
    constexpr int MR = Tile<T>::rows, NR = Tile<T>::cols;
    // Columns finished at a time: the epilogue finds them in the second-level cache.
    constexpr int64_t kGroup = 16 * NR;
    // Rows finished at a time: what the epilogue reads and writes stays there too.
    const int64_t height = p.epilogue && p.epilogue->stream_count ? 4 * MR : round_up(m, MR);
    for (int64_t s = s0; s < s1; ++s) {
        const int64_t k0 = s * kSegment, kc = least(kSegment, p.k - k0);
        AView<T> a;
        if (block.a_from == From::kPlace) {
            const T* data = static_cast<const T*>(p.a.at(i0, k0));
            // With one term or one row a stride does not matter, but must not lie.
            a = p.a.r_stride == 1 && p.a.k_stride != 1
                    ? AView<T>{data, false, p.a.k_stride, MR}
                    : AView<T>{data, true, p.a.r_stride, MR * p.a.r_stride};
        } else if (block.a_from == From::kPacked) {
            a = {block.a_packed + a_packed_offset<T>(p.m, p.k, i0 / MR, s), false, MR,
                 a_panel_stride<T>(least(p.k, kSegment))};
        } else {
            a = {block.a_buffer, false, MR, a_panel_stride<T>(kc)};
            for (int64_t i = 0; i < m; i += MR)
                pack_panel<T, MR>(p.a, i0 + i, least(MR, m - i), k0, kc,
                                  block.a_buffer + i / MR * a.panel_stride);
        }
        if (block.b_from == From::kStream) {
            stream_segment(p, block, a, m, j0, n, k0, kc, s == 0, c, ldc);
            if (last && s + 1 == s1) finish(p, c, ldc, i0, m, j0, n);
            continue;
        }
        BView<T> b;
        if (block.b_from == From::kPlace) {
            b = {static_cast<const T*>(p.b.at(j0, k0)), p.b.k_stride, NR, nullptr};
            const int64_t narrow = n % NR;
            if (narrow != 0 && narrow != Tile<T>::lanes) {
                pack_panel<T, NR>(p.b, j0 + n - narrow, narrow, k0, kc, block.b_buffer);
                b.tail = block.b_buffer;
            }
        } else if (block.b_from == From::kPacked) {
            b = {block.b_packed + (j0 - block.b_first) * block.b_k + (k0 - block.b_k0) * NR, NR,
                 NR * block.b_k, nullptr};
        } else {
            b = {block.b_buffer, NR, kc * NR, nullptr};
            for (int64_t j = 0; j < n; j += NR)
                pack_panel<T, NR>(p.b, j0 + j, least(NR, n - j), k0, kc, block.b_buffer + j * kc);
        }
        const Carry carry = s > 0 ? Carry::kAdd : Carry::kStore;
        if (!last || s + 1 < s1 || (p.direct() && !p.epilogue)) {
            run_segment(m, n, kc, a, b, c, ldc, carry);
            continue;
        }
        for (int64_t j = 0; j < n; j += kGroup) {
            const int64_t cols = least(kGroup, n - j);
            BView<T> group = b;
            group.data += j / NR * b.panel_stride;
            for (int64_t i = 0; i < m; i += height) {
                const int64_t rows = least(height, m - i);
                AView<T> part = a;
                part.data += i / MR * a.panel_stride;
                Ahead ahead[kMaxAhead];
                const size_t count =
                    p.epilogue ? epilogue_ahead(p, i0 + i, rows, j0 + j, ahead) : 0;
                run_segment(rows, cols, kc, part, group, c + i * ldc + j, ldc, carry,
                            {ahead, count});
                finish(p, c + i * ldc + j, ldc, i0 + i, rows, j0 + j, cols);
            }
        }
    }
}

}  // namespace sn::cpu::SN_ISA
