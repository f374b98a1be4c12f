#pragma once
#include "backend/cpu/kernels/gemv.h"
#include "backend/cpu/scratch.h"
#include "base/error.h"
#include "engine/pool.h"

// The driver: chooses a path and cuts the output into blocks. Every path gives the same bits, so
// these choices may look at anything, the number of threads included.
namespace sn::cpu::SN_ISA {

// Multiply-adds below which other threads are not worth waking.
inline constexpr int64_t kParallelWork = int64_t{1} << 18;
// Products up to this much work are read in place where the layout allows.
inline constexpr int64_t kTinyWork = int64_t{1} << 15;
// A block's packed rows (or columns) of one segment should fill at most half of a 1 MiB
// second-level cache.
inline constexpr int64_t kBlockBytes = 384 << 10;
// A shared packed operand is bounded: it stays in the last-level cache, and memory stays small.
inline constexpr int64_t kSharedBytes = 16 << 20;

// Rows up to which a wide b from memory is streamed rather than packed by whole segments.
inline constexpr int64_t kStreamRows = 64;

// Tiles across b up to which rows of a whose terms are contiguous are read in place rather than
// packed. (AVX2: 2-5 % up to 128 columns, nothing at 384; not measured on the other levels.)
// Rows of such an a up to which several threads share it in place, each with columns of its own:
// they need not wait for each other between packing and multiplying. (AVX2 as well: 10-25 % of a
// product of 256 by 256, 5-15 % of 128 rows.)
#if defined(__AVX2__) && !defined(__AVX512F__)
inline constexpr int64_t kPlaceCols = 8;
inline constexpr int64_t kPlaceShared = 384;
#else
inline constexpr int64_t kPlaceCols = 2;
inline constexpr int64_t kPlaceShared = 0;
#endif

template <class T>
bool has_runs(const PackSource<T>& s) {
    return s.r_stride == 1 || s.k_stride == 1;
}
template <class T>
bool reads_in_place(const PackSource<T>& s) {
    return s.native() && has_runs(s);
}

template <class T>
bool shares_in_place(const Problem<T>& p) {
    return p.a.native() && p.a.k_stride == 1 && p.m <= kPlaceShared;
}

template <class Body>
void for_chunks(bool parallel, int64_t n, int64_t grain, Body body) {
    if (parallel && n > grain)
        parallel_for(n, grain, body);
    else if (n > 0)
        body(int64_t{0}, n);
}

// Panels per block, at most `limit`: the size with which the busiest thread has least to do, and
// of those the largest.
inline int64_t balanced(int64_t panels, int64_t limit, int64_t threads) {
    // One thread does them all, in blocks as equal as can be.
    if (threads == 1) return ceil_div(panels, ceil_div(panels, limit));
    int64_t best = 1, least_work = INT64_MAX;
    for (int64_t size = 1; size <= least(limit, panels); ++size) {
        const int64_t work = ceil_div(ceil_div(panels, size), threads) * size;
        if (work <= least_work) least_work = work, best = size;
    }
    return best;
}

template <class T>
void fill_zero(const Problem<T>& p) {
    if (p.direct()) {
        T* c = static_cast<T*>(p.c);
        for (int64_t i = 0; i < p.m; ++i)
            for (int64_t j = 0; j < p.n; ++j) c[i * p.c_row_stride + j] = 0;
        finish(p, c, p.c_row_stride, 0, p.m, 0, p.n);
        return;
    }
    Scratch row(size_t(p.n) * sizeof(T));
    for (int64_t j = 0; j < p.n; ++j) row.as<T>()[j] = 0;
    for (int64_t i = 0; i < p.m; ++i) finish(p, row.as<T>(), p.n, i, 1, 0, p.n);
}

// The product has one row or one column.
template <class T>
void run_vector(const Problem<T>& p, bool one_row) {
    constexpr int NR = Tile<T>::cols;
    const PackSource<T>& x = one_row ? p.a : p.b;
    const PackSource<T>& w = one_row ? p.b : p.a;
    const int64_t n = one_row ? p.n : p.m;
    const T* xs = static_cast<const T*>(x.data);
    Scratch copy(x.native() && x.k_stride == 1 ? 0 : size_t(p.k + Tile<T>::lanes) * sizeof(T));
    if (!(x.native() && x.k_stride == 1)) {
        pack_panel<T, 1>(x, 0, 1, 0, p.k, copy.as<T>());
        xs = copy.as<T>();
    }
    // Sums of one column in place when c's rows are adjacent, of one row when its columns are.
    const bool direct = p.direct() && (one_row || p.c_row_stride == 1);
    const bool parallel = p.parallel && n * p.k >= kParallelWork;
    // Long enough runs for the prefetchers, short enough for sums in the first-level cache.
    const int64_t threads = parallel ? pool_threads() : 1;
    const int64_t block = least(2048, round_up(ceil_div(n, threads), NR));
    for_chunks(parallel, n, block, [&](int64_t begin, int64_t end) {
        for (int64_t j = begin; j < end; j += block) {
            const int64_t count = least(block, end - j);
            Scratch scratch(size_t(2 * count) * sizeof(T));
            T* part = scratch.as<T>();
            T* out = direct ? static_cast<T*>(p.c) + j : part + count;
            gemv(count, p.k, xs, w, j, out, part);
            if (one_row)
                finish(p, out, count, 0, 1, j, count);
            else if (direct || !p.direct())
                finish(p, out, 1, j, count, 0, 1);
            else
                place_column(p, out, j, count);
        }
    });
}

// One column whose rows are not adjacent in an output that the epilogue updates in place.
template <class T>
void place_column(const Problem<T>& p, const T* sums, int64_t i0, int64_t m) {
    T* c = static_cast<T*>(p.c) + i0 * p.c_row_stride;
    for (int64_t i = 0; i < m; ++i) c[i * p.c_row_stride] = sums[i];
    finish(p, c, p.c_row_stride, i0, m, 0, 1);
}

// Few rows: a is packed once, every block of columns packs its own part of b and uses it while it
// is in cache. Also the one-block path of small products.
template <class T>
void run_by_columns(const Problem<T>& p, bool parallel) {
    constexpr int MR = Tile<T>::rows, NR = Tile<T>::cols;
    const int64_t segments = p.segments(), kc = least(p.k, kSegment);
    const bool tiny = p.m * p.n * p.k <= kTinyWork;
    // Packing pays only when a panel is used more than once or twice.
    const bool a_in_place =
        reads_in_place(p.a) && (tiny || p.n <= 2 * NR || (parallel && shares_in_place(p)));
    const bool b_in_place = p.b.native() && p.b.r_stride == 1 && (tiny || p.m <= MR);
    Block<T> block{};
    block.a_from = a_in_place ? From::kPlace : From::kPacked;
    const bool streams = p.b.r_stride == 1 && !tiny && p.m <= kStreamRows && p.n > 2 * NR;
    block.b_from = p.packed_b   ? From::kPacked
                   : streams    ? From::kStream
                   : b_in_place ? From::kPlace
                                : From::kHere;
    block.b_packed = p.packed_b;
    block.b_k = p.k;

    Scratch a_packed(a_in_place ? 0 : size_t(a_packed_size<T>(p.m, p.k)) * sizeof(T));
    if (!a_in_place) {
        block.a_packed = a_packed.as<T>();
        const int64_t panels = ceil_div(p.m, MR);
        const int64_t grain = most(1, (int64_t{1} << 15) / (MR * kc));
        for_chunks(parallel, panels * segments, grain, [&](int64_t begin, int64_t end) {
            for (int64_t t = begin; t < end; ++t) {
                const int64_t panel = t % panels, s = t / panels, k0 = s * kSegment;
                pack_panel<T, MR>(p.a, panel * MR, least(MR, p.m - panel * MR), k0,
                                  least(kSegment, p.k - k0),
                                  a_packed.as<T>() + a_packed_offset<T>(p.m, p.k, panel, s));
            }
        });
    }
    const int64_t threads = parallel ? pool_threads() : 1;
    const int64_t limit = block.b_from == From::kStream
                              ? kStreamCols / NR
                              : most(1, kBlockBytes / (kc * NR * int64_t(sizeof(T))));
    const int64_t width = balanced(ceil_div(p.n, NR), limit, threads) * NR;
    const bool direct = p.direct();
    for_chunks(parallel, p.n, width, [&](int64_t begin, int64_t end) {
        const int64_t cols = least(width, p.n);
        const int64_t b_room = block.b_from == From::kHere     ? round_up(cols, NR) * kc
                               : block.b_from == From::kStream ? round_up(cols, NR) * kStreamTerms
                               : block.b_from == From::kPlace && p.n % NR ? NR * kc
                                                                          : 0;
        const bool parts = block.b_from == From::kStream;
        const int64_t sums = p.m * cols;
        Scratch room(size_t(b_room + (parts ? sums : 0) + (direct ? 0 : sums)) * sizeof(T));
        Block<T> mine = block;
        mine.b_buffer = room.as<T>();
        mine.part = room.as<T>() + b_room + (direct ? 0 : sums);
        for (int64_t j = begin; j < end; j += width) {
            const int64_t n = least(width, end - j);
            T* c = direct ? static_cast<T*>(p.c) + j : room.as<T>() + b_room;
            run_block(p, mine, 0, p.m, j, n, 0, segments, true, c, direct ? p.c_row_stride : n);
        }
    });
}

template <class T>
void pack_b_panels(const PackSource<T>& b, int64_t j0, int64_t n, int64_t k0, int64_t k,
                   bool parallel, T* packed) {
    constexpr int NR = Tile<T>::cols;
    const int64_t panels = ceil_div(n, NR), segments = ceil_div(k, kSegment);
    const int64_t grain = most(1, (int64_t{1} << 15) / (NR * least(k, kSegment)));
    for_chunks(parallel, panels * segments, grain, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
            const int64_t panel = t % panels, from = t / panels * kSegment;
            pack_panel<T, NR>(b, j0 + panel * NR, least(NR, n - panel * NR), k0 + from,
                              least(kSegment, k - from), packed + (panel * k + from) * NR);
        }
    });
}

// Many rows: b is packed once for all (a part of it, when it is large), every block of rows packs
// its own part of a.
template <class T>
void run_by_rows(const Problem<T>& p, bool parallel) {
    constexpr int MR = Tile<T>::rows, NR = Tile<T>::cols;
    const int64_t kc = least(p.k, kSegment);
    const bool a_in_place = reads_in_place(p.a) && p.n <= (p.a.k_stride == 1 ? kPlaceCols : 2) * NR;
    const bool direct = p.direct();

    // The part of b: all of k when that leaves a useful width, else a group of segments.
    int64_t group = p.segments();
    int64_t cols = p.n;
    if (!p.packed_b) {
        const int64_t fits = kSharedBytes / int64_t(sizeof(T));
        cols = least(round_up(p.n, NR), most(least(p.n, 16 * NR), fits / p.k / NR * NR));
        cols = round_up(ceil_div(p.n, ceil_div(p.n, round_up(cols, NR))), NR);
        group = most(1, least(group, fits / (cols * kSegment)));
    }
    const int64_t threads = parallel ? pool_threads() : 1;
    const int64_t limit = most(1, kBlockBytes / (kc * MR * int64_t(sizeof(T))));
    const int64_t height = balanced(ceil_div(p.m, MR), limit, threads) * MR;

    Scratch packed(
        p.packed_b ? 0 : size_t(round_up(cols, NR) * least(p.k, group * kSegment)) * sizeof(T));
    // Sums that cross groups of segments outside of c need room for all rows.
    const bool grouped = group < p.segments();
    Scratch sums(grouped && !direct ? size_t(p.m * cols) * sizeof(T) : 0);
    for (int64_t j = 0; j < p.n; j += cols) {
        const int64_t n = least(cols, p.n - j);
        for (int64_t s0 = 0; s0 < p.segments(); s0 += group) {
            const int64_t s1 = least(s0 + group, p.segments());
            const int64_t k0 = s0 * kSegment, k = least(p.k, s1 * kSegment) - k0;
            Block<T> block{};
            block.a_from = a_in_place ? From::kPlace : From::kHere;
            block.b_from = From::kPacked;
            if (p.packed_b) {
                block.b_packed = p.packed_b;
                block.b_k = p.k;
            } else {
                pack_b_panels(p.b, j, n, k0, k, parallel, packed.as<T>());
                block.b_packed = packed.as<T>();
                block.b_first = j;
                block.b_k0 = k0;
                block.b_k = k;
            }
            for_chunks(parallel, p.m, height, [&](int64_t begin, int64_t end) {
                const int64_t rows = least(height, p.m);
                const int64_t a_room = a_in_place ? 0 : ceil_div(rows, MR) * a_panel_stride<T>(kc);
                Scratch room(size_t(a_room + (direct || grouped ? 0 : rows * n)) * sizeof(T));
                Block<T> mine = block;
                mine.a_buffer = room.as<T>();
                for (int64_t i = begin; i < end; i += height) {
                    const int64_t m = least(height, end - i);
                    T* c = direct    ? static_cast<T*>(p.c) + i * p.c_row_stride + j
                           : grouped ? sums.as<T>() + i * n
                                     : room.as<T>() + a_room;
                    run_block(p, mine, i, m, j, n, s0, s1, s1 == p.segments(), c,
                              direct ? p.c_row_stride : n);
                }
            });
        }
    }
}

// A small output with a long k: segments side by side, their results added in order.
template <class T>
void run_by_segments(const Problem<T>& p) {
    const int64_t size = p.m * p.n, segments = p.segments();
    Scratch room(size_t(size * segments) * sizeof(T));
    T* sums = room.as<T>();
    parallel_for(segments, 1, [&](int64_t begin, int64_t end) {
        for (int64_t s = begin; s < end; ++s) {
            Problem<T> q = p;
            q.k = least(kSegment, p.k - s * kSegment);
            q.a.data = p.a.at(0, s * kSegment);
            q.b.data = p.b.at(0, s * kSegment);
            q.c = sums + s * size;
            q.c_dtype = sizeof(T) == 8 ? DType::kF64 : DType::kF32;
            q.c_row_stride = p.n, q.c_col_stride = 1;
            q.epilogue = nullptr;
            run_by_columns(q, false);
        }
    });
    for (int64_t s = 1; s < segments; ++s)
        for (int64_t i = 0; i < size; ++i) sums[i] += sums[s * size + i];
    if (p.direct()) {
        T* c = static_cast<T*>(p.c);
        for (int64_t i = 0; i < p.m; ++i)
            memcpy(c + i * p.c_row_stride, sums + i * p.n, size_t(p.n) * sizeof(T));
        finish(p, c, p.c_row_stride, 0, p.m, 0, p.n);
    } else {
        finish(p, sums, p.n, 0, p.m, 0, p.n);
    }
}

template <class T>
void run_problem(Problem<T> p) {
    if (p.k == 0) return fill_zero(p);
    const bool one_row = p.m == 1 && !p.packed_b;
    if (one_row || (p.n == 1 && !p.packed_b)) {
        if (has_runs(one_row ? p.b : p.a)) return run_vector(p, one_row);
    }
    // c transposed is b transposed times a transposed, with the same chains: used to have
    // contiguous columns in c, and vectors across the longer side.
    if (!p.epilogue && !p.packed_b && ((p.c_row_stride == 1 && p.c_col_stride != 1) || p.n == 1)) {
        const PackSource<T> a = p.a;
        p.a = p.b;
        p.b = a;
        const int64_t m = p.m, stride = p.c_row_stride;
        p.m = p.n;
        p.n = m;
        p.c_row_stride = p.c_col_stride;
        p.c_col_stride = stride;
    }
    const bool parallel = p.parallel && p.m * p.n * p.k >= kParallelWork && pool_threads() > 1;
    const int64_t tiles = ceil_div(p.m, Tile<T>::rows) * ceil_div(p.n, Tile<T>::cols);
    if (parallel && !p.packed_b && tiles < 2 * pool_threads() && p.segments() > 1)
        run_by_segments(p);
    else if ((p.m <= 192 || (parallel && shares_in_place(p))) &&
             p.m * p.k <= kSharedBytes / int64_t(sizeof(T)) &&
             (p.m <= p.n || p.m <= 2 * Tile<T>::rows || !parallel))
        run_by_columns(p, parallel);
    else
        run_by_rows(p, parallel);
}

template <class T>
void gemm_float(const GemmCall& call) {
    constexpr DType accumulate = sizeof(T) == 8 ? DType::kF64 : DType::kF32;
    SN_CHECK(!call.epilogue || !call.epilogue->tile_in_output ||
             (call.c_dtype == accumulate && call.c_col_stride == 1));
    const int64_t work = call.m * call.n * call.k;
    auto run = [&](int64_t i, bool parallel) {
        auto source = [&](const GemmOperand& o, const int64_t* offsets, int64_t r, int64_t k) {
            const int64_t offset = offsets ? offsets[i] * int64_t(dtype_size(o.dtype)) : 0;
            return PackSource<T>{static_cast<const char*>(o.data) + offset, o.dtype, r, k};
        };
        Problem<T> p{};
        p.m = call.m, p.n = call.n, p.k = call.k;
        p.a = source(call.a, call.a_offsets, call.a.row_stride, call.a.col_stride);
        p.b = source(call.b, call.b_offsets, call.b.col_stride, call.b.row_stride);
        p.packed_b = static_cast<const T*>(call.packed_b);
        p.c = static_cast<char*>(call.c) +
              (call.c_offsets ? call.c_offsets[i] * int64_t(dtype_size(call.c_dtype)) : 0);
        p.c_dtype = call.c_dtype;
        p.c_row_stride = call.c_row_stride, p.c_col_stride = call.c_col_stride;
        p.epilogue = call.epilogue;
        p.batch = i;
        p.parallel = parallel;
        run_problem(p);
    };
    // Small products side by side; large ones one after the other, each on all threads.
    const int64_t grain = most(1, kParallelWork / most(1, work));
    if (call.batch > 1 && (work < 8 * kParallelWork || call.batch >= 4 * pool_threads())) {
        for_chunks(true, call.batch, grain, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) run(i, false);
        });
        return;
    }
    for (int64_t i = 0; i < call.batch; ++i) run(i, true);
}

template <class T>
void pack_b_float(const GemmOperand& b, int64_t k, int64_t n, void* packed) {
    if (k == 0 || n == 0) return;
    pack_b_panels(PackSource<T>{b.data, b.dtype, b.col_stride, b.row_stride}, 0, n, 0, k, true,
                  static_cast<T*>(packed));
}

}  // namespace sn::cpu::SN_ISA
