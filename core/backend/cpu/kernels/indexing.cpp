// Gathers and scatters. Positions are resolved and checked first, into the workspace, so that
// nothing has been written when an index does not fit. A destination is only ever touched by one
// thread, in source order: sums and last writers do not depend on the number of threads.
#include "backend/cpu/copy.h"
#include "backend/cpu/tile_kernels.h"
#include "backend/value_error.h"
#include "base/error.h"
#include "engine/pool.h"
#include "op/scatter_kind.h"

namespace sn::cpu::SN_ISA {

const TileKernels& tile_kernels();

namespace {

constexpr int kMaxDims = 32;

int64_t product(const int64_t* shape, int from, int to) {
    int64_t n = 1;
    for (int d = from; d < to; ++d) n *= shape[d];
    return n;
}

// Reads index i, whatever its width.
struct IndexReader {
    const TensorView& view;
    SN_INLINE int64_t operator[](int64_t i) const {
        return view.dtype == DType::kI32 ? view.as<int32_t>()[i] : view.as<int64_t>()[i];
    }
};

SN_INLINE int64_t checked(const char* op, const TensorView& indices, int64_t i, int64_t axis,
                          int64_t size, bool negative) {
    const int64_t given = IndexReader{indices}[i];
    const int64_t index = given < 0 && negative ? given + size : given;
    if (static_cast<uint64_t>(index) >= static_cast<uint64_t>(size)) [[unlikely]]
        fail_index(op, given, i, indices, axis, size, negative);
    return index;
}

void resolve(const char* op, const TensorView& indices, int64_t axis, int64_t size, bool negative,
             int64_t* rows) {
    parallel_for(count_elements(indices), 16384, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            rows[i] = checked(op, indices, i, axis, size, negative);
    });
}

// --- rows ---------------------------------------------------------------------------------------

// out[o][i][:] = x[o][rows[i]][:], rows of `bytes` each.
void gather_rows(char* out, const char* x, const int64_t* rows, int64_t outer, int64_t n,
                 int64_t x_rows, int64_t bytes) {
    parallel_for(outer * n, grain_for(bytes + 8), [&](int64_t begin, int64_t end) {
        int64_t o = begin / n, i = begin % n;
        const auto run = [&](auto copy) {
            for (int64_t k = begin; k < end; ++k) {
                copy(out + k * bytes, x + (o * x_rows + rows[i]) * bytes);
                if (++i == n) {
                    i = 0;
                    ++o;
                }
            }
        };
        switch (bytes) {
            case 1: run([](char* d, const char* s) { std::memcpy(d, s, 1); }); break;
            case 2: run([](char* d, const char* s) { std::memcpy(d, s, 2); }); break;
            case 4: run([](char* d, const char* s) { std::memcpy(d, s, 4); }); break;
            case 8: run([](char* d, const char* s) { std::memcpy(d, s, 8); }); break;
            case 16: run([](char* d, const char* s) { std::memcpy(d, s, 16); }); break;
            default:
                run([bytes](char* d, const char* s) {
                    std::memcpy(d, s, static_cast<size_t>(bytes));
                });
        }
    });
}

// One element per index, checked as it is read: out[i] = x[indices[i]].
template <class T, class I>
void take_elements(const char* op, T* out, const T* x, const TensorView& indices, int64_t axis,
                   int64_t size, bool negative) {
    const I* from = indices.as<I>();
    const int64_t wrap = negative ? size : 0;
    parallel_for(count_elements(indices), 16384, [&](int64_t begin, int64_t end) {
        constexpr int64_t kPiece = 512;
        int64_t rows[kPiece];
        for (int64_t i = begin; i < end; i += kPiece) {
            const int64_t n = end - i < kPiece ? end - i : kPiece;
            int bad = 0;
            for (int64_t j = 0; j < n; ++j) {
                const int64_t given = from[i + j];
                rows[j] = given + (given < 0 ? wrap : 0);
                bad |= static_cast<uint64_t>(rows[j]) >= static_cast<uint64_t>(size);
            }
            for (int64_t j = 0; bad && j < n; ++j)
                checked(op, indices, i + j, axis, size, negative);
            for (int64_t j = 0; j < n; ++j) out[i + j] = x[rows[j]];
        }
    });
}

struct Set {
    template <class T>
    SN_INLINE static void apply(T& to, T v) {
        to = v;
    }
};
struct Add {
    template <class T>
    SN_INLINE static void apply(T& to, T v) {
        to = static_cast<T>(to + v);
    }
};
struct Or {
    template <class T>
    SN_INLINE static void apply(T& to, T v) {
        to = static_cast<T>(to | v);
    }
};
struct Multiply {
    template <class T>
    SN_INLINE static void apply(T& to, T v) {
        to = static_cast<T>(to * v);
    }
};
struct Largest {  // NaN wins
    template <class T>
    SN_INLINE static void apply(T& to, T v) {
        to = v > to || v != v ? v : to;
    }
};
struct Smallest {
    template <class T>
    SN_INLINE static void apply(T& to, T v) {
        to = v < to || v != v ? v : to;
    }
};

// How a scatter is cut: by columns where there are enough of them, else by ranges of destinations.
// Both leave the order at a destination alone.
constexpr int64_t kColumns = 64;

// Calls f(source) for all n sources, those of one place in order and by one thread. Every range
// looks at all places, some thousands at a time, and lists its own without a branch: half of the
// branches would be mispredicted.
template <class F>
void by_ranges(const int64_t* places, int64_t n, int64_t out_count, F f) {
    const int64_t ranges = pool_threads();
    if (ranges == 1) {
        for (int64_t i = 0; i < n; ++i) f(i);
        return;
    }
    parallel_for(ranges, 1, [&](int64_t begin, int64_t end) {
        constexpr int64_t kPiece = 2048;
        int32_t list[kPiece];
        const int64_t low = out_count * begin / ranges, high = out_count * end / ranges;
        const uint64_t width = static_cast<uint64_t>(high - low);
        for (int64_t i = 0; i < n; i += kPiece) {
            const int64_t count = n - i < kPiece ? n - i : kPiece;
            int64_t kept = 0;
            for (int64_t j = 0; j < count; ++j) {
                list[kept] = static_cast<int32_t>(j);
                kept += static_cast<uint64_t>(places[i + j] - low) < width;
            }
            for (int64_t j = 0; j < kept; ++j) f(i + list[j]);
        }
    });
}

template <class T, class Op>
void scatter_rows(T* out, const T* values, const int64_t* rows, int64_t outer, int64_t n,
                  int64_t out_rows, int64_t inner) {
    const int64_t blocks = (inner + kColumns - 1) / kColumns;
    if (outer * blocks > 1 || n < 16384) {
        const int64_t width = inner < kColumns ? inner : kColumns;
        parallel_for(outer * blocks, grain_for(n * width * static_cast<int64_t>(sizeof(T))),
                     [&](int64_t begin, int64_t end) {
                         for (int64_t k = begin; k < end; ++k) {
                             const int64_t o = k / blocks, from = k % blocks * kColumns;
                             const int64_t m = inner - from < kColumns ? inner - from : kColumns;
                             T* base = out + o * out_rows * inner + from;
                             const T* v = values + o * n * inner + from;
                             for (int64_t i = 0; i < n; ++i, v += inner) {
                                 T* to = base + rows[i] * inner;
                                 for (int64_t c = 0; c < m; ++c) Op::apply(to[c], v[c]);
                             }
                         }
                     });
        return;
    }
    const auto one = [&](int64_t i) {
        for (int64_t c = 0; c < inner; ++c)
            Op::apply(out[rows[i] * inner + c], values[i * inner + c]);
    };
    by_ranges(rows, n, out_rows, one);
}

// Rows that all start from one value, added to by source: nothing but the result is written, and
// every row of it once. The sources of a row come in order, by a counting sort of the rows.
//   out[r][:] = start + values[first source of r][:] + values[second][:] + ...
constexpr int64_t kSegmentBytes = 64;     // a row is worth finding its sources first
constexpr int64_t kStreamOut = 24 << 20;  // such an output is not in a cache when it is read
constexpr int64_t kAhead = 4;             // sources whose rows are asked for in advance

int64_t segment_words(int64_t n, int64_t out_rows) { return n + out_rows + 1; }

template <class T>
void add_segments(T* out, T start, const T* values, const int64_t* rows, int64_t n,
                  int64_t out_rows, int64_t inner, int32_t* words) {
    int32_t* ends = words;  // of row r's sources in `order`; before that, their beginning
    int32_t* order = words + out_rows + 1;
    std::memset(ends, 0, static_cast<size_t>(out_rows + 1) * sizeof(int32_t));
    for (int64_t i = 0; i < n; ++i) ++ends[rows[i] + 1];
    for (int64_t r = 0; r < out_rows; ++r) ends[r + 1] += ends[r];
    for (int64_t i = 0; i < n; ++i) order[ends[rows[i]]++] = static_cast<int32_t>(i);
    const int64_t bytes = inner * static_cast<int64_t>(sizeof(T));
    const bool streaming = out_rows * bytes >= kStreamOut;
    const TileKernels& tile = tile_kernels();
    parallel_for(out_rows, grain_for(bytes), [&](int64_t begin, int64_t end) {
        constexpr int64_t kPiece = 1024;
        alignas(64) T piece[kPiece];
        int32_t at = begin ? ends[begin - 1] : 0;
        for (int64_t r = begin; r < end; ++r) {
            const int32_t first = at;
            at = ends[r];
            for (int64_t p = first; p < at; ++p) {
                if (p + kAhead >= n) break;
                const char* next =
                    reinterpret_cast<const char*>(values + order[p + kAhead] * inner);
                for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(next + b, 0, 2);
            }
            for (int64_t c = 0; c < inner; c += kPiece) {
                const int64_t m = inner - c < kPiece ? inner - c : kPiece;
                T* to = out + r * inner + c;
                T* __restrict sum = streaming ? piece : to;
                for (int64_t k = 0; k < m; ++k) sum[k] = start;
                for (int32_t p = first; p < at; ++p) {
                    const T* __restrict v = values + order[p] * inner + c;
                    for (int64_t k = 0; k < m; ++k) Add::apply(sum[k], v[k]);
                }
                if (streaming) tile.stream(to, sum, m * static_cast<int64_t>(sizeof(T)));
            }
        }
        if (streaming) tile.finish_stream();
    });
}

// --- lines: gather and scatter along an axis ----------------------------------------------------

// Where element e of `indices` reads or writes in a contiguous tensor of shape `shape`.
void resolve_lines(const char* op, const TensorView& indices, const int64_t* shape, int64_t axis,
                   int64_t* places) {
    const int rank = indices.rank;
    int64_t strides[kMaxDims], step = 1;
    for (int d = rank - 1; d >= 0; --d) {
        strides[d] = step;
        step *= shape[d];
    }
    parallel_for(count_elements(indices), 16384, [&](int64_t begin, int64_t end) {
        int64_t at[kMaxDims], base = 0, rest = begin;
        for (int d = rank - 1; d >= 0; --d) {
            at[d] = rest % indices.shape[d];
            rest /= indices.shape[d];
            if (d != axis) base += at[d] * strides[d];
        }
        const int64_t along = rank == 0 ? 1 : strides[axis];
        const int64_t size = rank == 0 ? 1 : shape[axis];
        for (int64_t e = begin; e < end; ++e) {
            places[e] = base + checked(op, indices, e, axis, size, true) * along;
            for (int d = rank - 1; d >= 0; --d) {
                if (d != axis) base += strides[d];
                if (++at[d] < indices.shape[d]) break;
                if (d != axis) base -= indices.shape[d] * strides[d];
                at[d] = 0;
            }
        }
    });
}

template <class T>
void gather_places(T* out, const T* x, const int64_t* places, int64_t n) {
    parallel_for(n, 16384, [&](int64_t begin, int64_t end) {
        for (int64_t e = begin; e < end; ++e) out[e] = x[places[e]];
    });
}

template <class T, class Op>
void scatter_places(T* out, const T* values, const int64_t* places, int64_t outer, int64_t n,
                    int64_t inner, int64_t out_count) {
    const int64_t blocks = (inner + kColumns - 1) / kColumns;
    if (outer * blocks > 1 || n < 16384) {
        const int64_t width = inner < kColumns ? inner : kColumns;
        parallel_for(outer * blocks, grain_for(n * width * 16), [&](int64_t begin, int64_t end) {
            for (int64_t k = begin; k < end; ++k) {
                const int64_t o = k / blocks, from = k % blocks * kColumns;
                const int64_t to = from + kColumns < inner ? from + kColumns : inner;
                for (int64_t i = 0; i < n; ++i) {
                    const int64_t row = (o * n + i) * inner;
                    for (int64_t c = row + from; c < row + to; ++c)
                        Op::apply(out[places[c]], values[c]);
                }
            }
        });
        return;
    }
    const int64_t count = n * inner;
    const auto one = [&](int64_t e) { Op::apply(out[places[e]], values[e]); };
    by_ranges(places, count, out_count, one);
}

// --- dtypes: 16-bit floats are summed in f32 and rounded once
// -------------------------------------

// What scatter_rows and scatter_places have in common: `rows` positions for `n` sources, written by
// `run(T* out, const T* values, Op)`.
template <class Run>
void dispatch_scatter(const TensorView& x, const TensorView& out, const TensorView& values,
                      bool accumulate, char* scratch, Run run) {
    const int64_t count = count_elements(out), given = count_elements(values);
    if (out.data != x.data) strided_copy(out, x);
    if (accumulate && is_half(out.dtype)) {
        const bool bf16 = out.dtype == DType::kBF16;
        float* sums = reinterpret_cast<float*>(scratch);
        float* wide = sums + count;
        halves_to_f32(out.as<uint16_t>(), sums, count, bf16);
        halves_to_f32(values.as<uint16_t>(), wide, given, bf16);
        run(sums, static_cast<const float*>(wide), Add());
        f32_to_halves(sums, out.as<uint16_t>(), count, bf16);
        return;
    }
    const auto typed = [&](auto zero, auto op) {
        using T = decltype(zero);
        run(out.as<T>(), static_cast<const T*>(values.as<T>()), op);
    };
    if (!accumulate) {
        switch (element_size(out.dtype)) {
            case 1: typed(uint8_t(), Set()); break;
            case 2: typed(uint16_t(), Set()); break;
            case 4: typed(uint32_t(), Set()); break;
            default: typed(uint64_t(), Set());
        }
        return;
    }
    switch (out.dtype) {
        case DType::kF32: typed(float(), Add()); break;
        case DType::kF64: typed(double(), Add()); break;
        case DType::kBool: typed(uint8_t(), Or()); break;
        case DType::kI8:
        case DType::kU8: typed(uint8_t(), Add()); break;
        case DType::kI16:
        case DType::kU16: typed(uint16_t(), Add()); break;
        case DType::kI32:
        case DType::kU32: typed(uint32_t(), Add()); break;
        default: typed(uint64_t(), Add());
    }
}

// The same for other reductions than sums, which look at the sign of integers.
template <class Op, class Run>
void dispatch_combine(const TensorView& x, const TensorView& out, const TensorView& values,
                      char* scratch, Run run) {
    if (is_half(out.dtype)) {
        const int64_t count = count_elements(out), given = count_elements(values);
        const bool bf16 = out.dtype == DType::kBF16;
        float* results = reinterpret_cast<float*>(scratch);
        float* wide = results + count;
        halves_to_f32(x.as<uint16_t>(), results, count, bf16);
        halves_to_f32(values.as<uint16_t>(), wide, given, bf16);
        run(results, static_cast<const float*>(wide), Op());
        f32_to_halves(results, out.as<uint16_t>(), count, bf16);
        return;
    }
    if (out.data != x.data) strided_copy(out, x);
    const auto typed = [&](auto zero) {
        using T = decltype(zero);
        run(out.as<T>(), static_cast<const T*>(values.as<T>()), Op());
    };
    switch (out.dtype) {
        case DType::kF32: typed(float()); break;
        case DType::kF64: typed(double()); break;
        case DType::kI8: typed(int8_t()); break;
        case DType::kI16: typed(int16_t()); break;
        case DType::kI32: typed(int32_t()); break;
        case DType::kI64: typed(int64_t()); break;
        case DType::kU16: typed(uint16_t()); break;
        case DType::kU32: typed(uint32_t()); break;
        case DType::kU64: typed(uint64_t()); break;
        default: typed(uint8_t());
    }
}

// Positions first, 64-byte aligned; then f32 sums where they are needed.
size_t positions_bytes(int64_t count) { return (static_cast<size_t>(count) * 8 + 63) / 64 * 64; }
char* scratch_behind(const KernelCall& c, int64_t count) {
    return static_cast<char*>(c.workspace) + positions_bytes(count);
}
size_t scatter_bytes(int64_t positions, const TensorView& out, const TensorView& values,
                     bool accumulate) {
    size_t bytes = positions_bytes(positions);
    if (accumulate && is_half(out.dtype))
        bytes += static_cast<size_t>(count_elements(out) + count_elements(values)) * sizeof(float);
    return bytes;
}

// --- ops ----------------------------------------------------------------------------------------

void take_rows(const KernelCall& c, const char* op, int64_t axis, bool negative) {
    const TensorView &x = c.in[0], &indices = c.in[1];
    const int at = static_cast<int>(axis);
    const int64_t n = count_elements(indices);
    const int64_t outer = product(x.shape, 0, at), inner = product(x.shape, at + 1, x.rank);
    if (outer * inner == 1 && element_size(x.dtype) <= 8) {
        const auto typed = [&](auto zero) {
            using T = decltype(zero);
            if (indices.dtype == DType::kI32)
                take_elements<T, int32_t>(op, c.out[0].as<T>(), x.as<T>(), indices, axis,
                                          x.shape[at], negative);
            else
                take_elements<T, int64_t>(op, c.out[0].as<T>(), x.as<T>(), indices, axis,
                                          x.shape[at], negative);
        };
        switch (element_size(x.dtype)) {
            case 1: typed(uint8_t()); break;
            case 2: typed(uint16_t()); break;
            case 4: typed(uint32_t()); break;
            default: typed(uint64_t());
        }
        return;
    }
    int64_t* rows = static_cast<int64_t*>(c.workspace);
    resolve(op, indices, axis, x.shape[at], negative, rows);
    if (outer * n * inner == 0) return;
    gather_rows(c.out[0].as<char>(), x.as<char>(), rows, outer, n, x.shape[at],
                inner * element_size(x.dtype));
}
void take(const KernelCall& c) { take_rows(c, "take", c.attrs[0], true); }
void embedding(const KernelCall& c) { take_rows(c, "embedding", 0, false); }
size_t take_workspace(const KernelCall& c) { return positions_bytes(count_elements(c.in[1])); }

// Whether x is one element, repeated.
bool is_one_element(const TensorView& x) {
    for (int d = 0; d < x.rank; ++d)
        if (x.shape[d] > 1 && x.strides[d] != 0) return false;
    return true;
}

// Whether index_add() may go by the rows of its result.
bool adds_segments(const KernelCall& c) {
    const TensorView& out = c.out[0];
    const int64_t rows = c.attrs[0] == 0 && out.rank > 0 ? out.shape[0] : 0;
    return (out.dtype == DType::kF32 || out.dtype == DType::kF64) && rows > 0 &&
           is_one_element(c.in[0]) &&
           count_elements(out) / rows * element_size(out.dtype) >= kSegmentBytes &&
           count_elements(c.in[1]) + rows < INT32_MAX;
}

void index_add(const KernelCall& c) {
    const TensorView &x = c.in[0], &indices = c.in[1], &values = c.in[2], &out = c.out[0];
    const int axis = static_cast<int>(c.attrs[0]);
    const int64_t n = count_elements(indices), size = x.shape[axis];
    const int64_t outer = product(x.shape, 0, axis), inner = product(x.shape, axis + 1, x.rank);
    int64_t* rows = static_cast<int64_t*>(c.workspace);
    resolve("index_add", indices, axis, size, true, rows);
    if (adds_segments(c)) {
        int32_t* words = reinterpret_cast<int32_t*>(scratch_behind(c, n));
        const auto typed = [&](auto zero) {
            using T = decltype(zero);
            add_segments<T>(out.as<T>(), x.as<T>()[0], values.as<T>(), rows, n, size, inner, words);
        };
        out.dtype == DType::kF32 ? typed(float()) : typed(double());
        return;
    }
    dispatch_scatter(x, out, values, true, scratch_behind(c, n),
                     [&](auto* to, auto* from, auto op) {
                         using T = __typeof__(*to);
                         if (outer * n * inner > 0)
                             scatter_rows<T, decltype(op)>(to, from, rows, outer, n, size, inner);
                     });
}
size_t index_add_workspace(const KernelCall& c) {
    const int64_t n = count_elements(c.in[1]);
    if (adds_segments(c))
        return positions_bytes(n) +
               static_cast<size_t>(segment_words(n, c.out[0].shape[0])) * sizeof(int32_t);
    return scatter_bytes(n, c.out[0], c.in[2], true);
}

void take_along_axis(const KernelCall& c) {
    const TensorView &x = c.in[0], &indices = c.in[1], &out = c.out[0];
    const int64_t n = count_elements(indices);
    int64_t* places = static_cast<int64_t*>(c.workspace);
    resolve_lines("take_along_axis", indices, x.shape, c.attrs[0], places);
    switch (element_size(x.dtype)) {
        case 1: gather_places(out.as<uint8_t>(), x.as<uint8_t>(), places, n); break;
        case 2: gather_places(out.as<uint16_t>(), x.as<uint16_t>(), places, n); break;
        case 4: gather_places(out.as<uint32_t>(), x.as<uint32_t>(), places, n); break;
        case 8: gather_places(out.as<uint64_t>(), x.as<uint64_t>(), places, n); break;
        default: gather_places(out.as<Wide>(), x.as<Wide>(), places, n);
    }
}

void scatter(const KernelCall& c) {
    const TensorView &x = c.in[0], &indices = c.in[1], &values = c.in[2], &out = c.out[0];
    const int axis = static_cast<int>(c.attrs[0]);
    const int64_t count = count_elements(indices);
    int64_t* places = static_cast<int64_t*>(c.workspace);
    resolve_lines("scatter", indices, x.shape, axis, places);
    const int64_t outer = product(indices.shape, 0, axis);
    const int64_t inner = product(indices.shape, axis + 1, indices.rank);
    dispatch_scatter(x, out, values, c.attrs[1] != 0, scratch_behind(c, count),
                     [&](auto* to, auto* from, auto op) {
                         using T = __typeof__(*to);
                         if (count > 0) {
                             scatter_places<T, decltype(op)>(to, from, places, outer,
                                                             indices.shape[axis], inner,
                                                             count_elements(out));
                         }
                     });
}
size_t scatter_workspace(const KernelCall& c) {
    return scatter_bytes(count_elements(c.in[1]), c.out[0], c.in[2], c.attrs[1] != 0);
}

void scatter_reduce(const KernelCall& c) {  // attributes: axis, kind
    const TensorView &x = c.in[0], &indices = c.in[1], &values = c.in[2], &out = c.out[0];
    const int axis = static_cast<int>(c.attrs[0]);
    const int64_t count = count_elements(indices);
    int64_t* places = static_cast<int64_t*>(c.workspace);
    resolve_lines("scatter_reduce", indices, x.shape, axis, places);
    const int64_t outer = product(indices.shape, 0, axis);
    const int64_t inner = product(indices.shape, axis + 1, indices.rank);
    const auto run = [&](auto* to, auto* from, auto op) {
        using T = __typeof__(*to);
        if (count > 0) {
            scatter_places<T, decltype(op)>(to, from, places, outer, indices.shape[axis], inner,
                                            count_elements(out));
        }
    };
    char* scratch = scratch_behind(c, count);
    switch (static_cast<ScatterKind>(c.attrs[1])) {
        case ScatterKind::kProd: dispatch_combine<Multiply>(x, out, values, scratch, run); break;
        case ScatterKind::kMax: dispatch_combine<Largest>(x, out, values, scratch, run); break;
        case ScatterKind::kMin: dispatch_combine<Smallest>(x, out, values, scratch, run); break;
    }
}
size_t scatter_reduce_workspace(const KernelCall& c) {
    return scatter_bytes(count_elements(c.in[1]), c.out[0], c.in[2], true);
}

// Row numbers of x seen as [product of the indexed dimensions, rest].
void resolve_nd(const char* op, const TensorView& x, const TensorView* indices, int count,
                int64_t* rows) {
    parallel_for(count_elements(indices[0]), 8192, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            int64_t row = 0;
            for (int d = 0; d < count; ++d)
                row = row * x.shape[d] + checked(op, indices[d], i, d, x.shape[d], true);
            rows[i] = row;
        }
    });
}

void gather_nd(const KernelCall& c) {
    const TensorView& x = c.in[0];
    const int count = c.n_in - 1;
    const int64_t n = count_elements(c.in[1]), inner = product(x.shape, count, x.rank);
    int64_t* rows = static_cast<int64_t*>(c.workspace);
    resolve_nd("gather_nd", x, c.in + 1, count, rows);
    if (n * inner == 0) return;
    gather_rows(c.out[0].as<char>(), x.as<char>(), rows, 1, n, product(x.shape, 0, count),
                inner * element_size(x.dtype));
}

void scatter_nd(const KernelCall& c) {
    const TensorView &x = c.in[0], &values = c.in[1], &out = c.out[0];
    const int count = c.n_in - 2;
    const int64_t n = count_elements(c.in[2]), inner = product(x.shape, count, x.rank);
    int64_t* rows = static_cast<int64_t*>(c.workspace);
    resolve_nd("scatter_nd", x, c.in + 2, count, rows);
    dispatch_scatter(x, out, values, c.attrs[0] != 0, scratch_behind(c, n),
                     [&](auto* to, auto* from, auto op) {
                         using T = __typeof__(*to);
                         if (n * inner > 0) {
                             scatter_rows<T, decltype(op)>(to, from, rows, 1, n,
                                                           product(x.shape, 0, count), inner);
                         }
                     });
}
size_t scatter_nd_workspace(const KernelCall& c) {
    return scatter_bytes(count_elements(c.in[2]), c.out[0], c.in[1], c.attrs[0] != 0);
}

void one_hot(const KernelCall& c) {
    const TensorView &indices = c.in[0], &out = c.out[0];
    const int64_t classes = c.attrs[0], size = element_size(out.dtype);
    alignas(16) char one[kMaxElement];
    int64_t number = 1;
    convert_scalar({&number, nullptr, nullptr, 0, DType::kI64}, out.dtype, one);
    char* base = out.as<char>();
    parallel_for(
        count_elements(indices), grain_for(classes * size), [&](int64_t begin, int64_t end) {
            std::memset(base + begin * classes * size, 0,
                        static_cast<size_t>((end - begin) * classes * size));
            for (int64_t i = begin; i < end; ++i) {
                const int64_t k = checked("one_hot", indices, i, indices.rank, classes, false);
                std::memcpy(base + (i * classes + k) * size, one, static_cast<size_t>(size));
            }
        });
}

// Blocks are counted, then written behind the sum of those before them.
constexpr int64_t kMaskBlock = 8192;

void nonzero(const KernelCall& c) {
    const TensorView& mask = c.in[0];
    const int64_t n = count_elements(mask), count = c.attrs[0];
    const int64_t blocks = (n + kMaskBlock - 1) / kMaskBlock;
    const uint8_t* m = mask.as<uint8_t>();
    int64_t* starts = static_cast<int64_t*>(c.workspace);
    int64_t* out = c.out[0].as<int64_t>();
    parallel_for(blocks, 8, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
            const int64_t stop = (b + 1) * kMaskBlock < n ? (b + 1) * kMaskBlock : n;
            int64_t found = 0;
            for (int64_t i = b * kMaskBlock; i < stop; ++i) found += m[i] != 0;
            starts[b] = found;
        }
    });
    int64_t total = 0;
    for (int64_t b = 0; b < blocks; ++b) {
        const int64_t found = starts[b];
        starts[b] = total;
        total += found;
    }
    SN_CHECK(total == count);
    parallel_for(blocks, 8, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
            const int64_t stop = (b + 1) * kMaskBlock < n ? (b + 1) * kMaskBlock : n;
            int64_t at = starts[b];
            for (int64_t i = b * kMaskBlock; i < stop; ++i) {
                if (!m[i]) continue;
                int64_t rest = i;
                for (int d = mask.rank - 1; d >= 0; --d) {
                    out[d * count + at] = rest % mask.shape[d];
                    rest /= mask.shape[d];
                }
                ++at;
            }
        }
    });
}
size_t nonzero_workspace(const KernelCall& c) {
    return static_cast<size_t>((count_elements(c.in[0]) / kMaskBlock + 1) * 8);
}

}  // namespace

void register_indexing(KernelTable& table) {
    table.add("take", take, take_workspace);
    table.add("embedding", embedding, take_workspace);
    table.add("index_add", index_add, index_add_workspace);
    table.add("take_along_axis", take_along_axis, take_workspace);
    table.add("scatter", scatter, scatter_workspace);
    table.add("scatter_reduce", scatter_reduce, scatter_reduce_workspace);
    table.add("gather_nd", gather_nd, take_workspace);
    table.add("scatter_nd", scatter_nd, scatter_nd_workspace);
    table.add("one_hot", one_hot);
    table.add("nonzero", nonzero, nonzero_workspace);
}

}  // namespace sn::cpu::SN_ISA
