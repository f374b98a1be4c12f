// Runs a lowered program: cuts the space into tiles, points the places at them, and interprets.
#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "backend/cpu/program_impl.h"
#include "backend/cpu/reduce.h"
#include "base/error.h"
#include "engine/pool.h"

namespace sn::cpu {
namespace {

struct Tile {
    int64_t row0, rows, col0, cols;
    int64_t index[kMaxLoopDims];  // of row0, one per batch dimension
};

// Asks for the lines that the next tile touches, an even share before every instruction.
class Ahead {
public:
    void add(const char* from, int64_t lines, bool writes) {
        if (count_ == kMost) return;
        for (int i = 0; i < count_; ++i) {
            if (from_[i] == from) return;  // in place: one stream
        }
        from_[count_] = from;
        lines_[count_] = lines;
        writes_[count_++] = writes;
    }
    void step(int64_t steps) {
        ++step_;
        for (int i = 0; i < count_; ++i) {
            const int64_t end = lines_[i] * step_ / steps;
            for (int64_t line = lines_[i] * (step_ - 1) / steps; line < end; ++line) {
                if (writes_[i])
                    __builtin_prefetch(from_[i] + line * kLine, 1, 2);
                else
                    __builtin_prefetch(from_[i] + line * kLine, 0, 2);
            }
        }
    }
    static constexpr int64_t kLine = 64;

private:
    static constexpr int kMost = 8;
    const char* from_[kMost];
    int64_t lines_[kMost];
    bool writes_[kMost];
    int count_ = 0;
    int64_t step_ = 0;
};

struct Run {
    const Lowered& low;
    const ProgramBindings& bind;
    char* scratch;
    void** places;
    // run_program_block puts the accumulated product in the place of one binding's buffer.
    int tile_binding = -1;
    const char* tile_base = nullptr;
    int64_t tile_ld = 0;
    bool streaming = false;

    void start(int64_t rows);  // of the largest tile
    void tile(const Tile& t);
    void large_tile(const Tile& t, const Tile* next);
    void execute_and_ask(const Instr& in, const Tile& t, Ahead& ahead);

private:
    char* base(const View& v) const { return static_cast<char*>(bind.buffers[v.binding]); }
    int64_t row_offset(const View& v, const Tile& t) const {
        if (v.linear_rows) return t.row0 * v.row_stride;
        int64_t offset = 0;
        for (size_t d = 0; d < v.batch.size(); ++d) offset += t.index[d] * v.batch[d];
        return offset;
    }
    char* address(const View& v, const Tile& t) const {
        const int64_t size = static_cast<int64_t>(dtype_size(v.dtype));
        if (v.binding == tile_binding) {
            return const_cast<char*>(tile_base) + (t.row0 * tile_ld + t.col0) * size;
        }
        return base(v) + (row_offset(v, t) + t.col0 * v.col_stride) * size;
    }
    void execute(const Instr& in, const Tile& t);
    void move(const Instr& in, const Tile& t);
    void move_row(const Instr& in, const View& v, char* memory, char* tile, int64_t n) const;
    void reduce_rows(const Instr& in, const Tile& t) const;
    void finish_reduction(const Instr& in, const Tile& t) const;
    void reduce_piece(const Instr& in, int64_t piece, int64_t cols) const;
    void merge_pieces(const Instr& in, const Tile& t) const;
    void exp_sum_row(const Instr& in, char* dst, const float* x, const float* shift, int64_t cols,
                     float* sum, Ahead* ahead) const;
    void scalar_cell(const Instr& in) const;
    void chain(const Instr& in, int64_t begin, int64_t end) const;
};

void next(const std::vector<int64_t>& shape, int64_t* index) {
    for (size_t d = shape.size(); d-- > 0;) {
        if (++index[d] < shape[d]) return;
        index[d] = 0;
    }
}

void Run::scalar_cell(const Instr& in) const {
    const Scalar& s = bind.scalars[in.view];
    void* cell = places[in.dst];
    switch (in.dtype) {
        case DType::kBool:
            *static_cast<uint8_t*>(cell) = s.kind == ScalarKind::kFloat ? s.f != 0 : s.i != 0;
            break;
        case DType::kI8:
        case DType::kU8: *static_cast<int8_t*>(cell) = static_cast<int8_t>(s.as_int()); break;
        case DType::kI16:
        case DType::kU16: *static_cast<int16_t*>(cell) = static_cast<int16_t>(s.as_int()); break;
        case DType::kI32:
        case DType::kU32: *static_cast<int32_t*>(cell) = static_cast<int32_t>(s.as_int()); break;
        case DType::kI64:
        case DType::kU64: *static_cast<int64_t*>(cell) = s.as_int(); break;
        case DType::kF16:
            *static_cast<float*>(cell) = f16_to_f32(f32_to_f16(static_cast<float>(s.as_double())));
            break;
        case DType::kBF16:
            *static_cast<float*>(cell) =
                bf16_to_f32(f32_to_bf16(static_cast<float>(s.as_double())));
            break;
        case DType::kF32: *static_cast<float*>(cell) = static_cast<float>(s.as_double()); break;
        case DType::kF64: *static_cast<double*>(cell) = s.as_double(); break;
        case DType::kC64:
        case DType::kC128: SN_CHECK(false);  // programs compute with their parts
    }
}

// One run of columns between memory and a tile.
void Run::move_row(const Instr& in, const View& v, char* memory, char* tile, int64_t n) const {
    const TileKernels& k = *low.tables->tile;
    const int d = static_cast<int>(v.dtype);
    const int64_t size = static_cast<int64_t>(dtype_size(v.dtype));
    const int64_t tile_size = static_cast<int64_t>(tile_element_size(v.dtype));
    const auto piece = [&](char* m, char* t, int64_t stride, int64_t count) {
        if (in.step == Step::kStore) {
            if (stride == 1)
                k.store[d](m, t, count);
            else
                k.scatter[d](m, stride, t, count);
        } else {
            if (stride == 1)
                k.load[d](t, m, count);
            else
                k.gather[d](t, m, stride, count);
        }
    };
    if (v.linear_cols) {
        piece(memory, tile, v.binding == tile_binding ? 1 : v.col_stride, n);
        return;
    }
    // The row spans several dimensions (and is whole): walk the outer ones.
    const std::vector<int64_t>& shape = low.space.row;
    const size_t inner = shape.size() - 1;
    int64_t index[kMaxLoopDims] = {};
    for (int64_t done = 0; done < n; done += shape[inner]) {
        int64_t offset = 0;
        for (size_t i = 0; i < inner; ++i) offset += index[i] * v.row[i];
        piece(memory + offset * size, tile + done * tile_size, v.row[inner], shape[inner]);
        for (size_t i = inner; i-- > 0;) {
            if (++index[i] < shape[i]) break;
            index[i] = 0;
        }
    }
}

// Rows of a few bytes, for which a call each would be most of the time; false: they are not such.
bool move_short_rows(char* memory, int64_t stride, char* tile, int64_t bytes, int64_t rows,
                     bool store) {
    const auto all = [&](auto width) {
        constexpr size_t kBytes = decltype(width)::value;
        for (int64_t r = 0; r < rows; ++r, memory += stride, tile += kBytes)
            store ? std::memcpy(memory, tile, kBytes) : std::memcpy(tile, memory, kBytes);
        return true;
    };
    switch (bytes) {
        case 2: return all(std::integral_constant<size_t, 2>());
        case 4: return all(std::integral_constant<size_t, 4>());
        case 8: return all(std::integral_constant<size_t, 8>());
        case 12: return all(std::integral_constant<size_t, 12>());
        case 16: return all(std::integral_constant<size_t, 16>());
        default: return false;
    }
}

void Run::move(const Instr& in, const Tile& t) {
    const View& v = low.views[static_cast<size_t>(in.view)];
    const TileKernels& k = *low.tables->tile;
    const int d = static_cast<int>(v.dtype);
    const int64_t size = static_cast<int64_t>(dtype_size(v.dtype));
    const int64_t tile_size = static_cast<int64_t>(tile_element_size(v.dtype));
    char* tile = static_cast<char*>(places[in.step == Step::kStore ? in.args[0] : in.dst]);
    char* memory = in.level == Level::kScalar ? base(v) : address(v, t);

    if (in.level == Level::kScalar) {
        if (in.step == Step::kStore)
            k.store[d](memory, tile, 1);
        else
            k.load[d](tile, memory, 1);
        return;
    }
    if (in.level == Level::kRow) {
        if (v.linear_rows || t.rows == 1) {
            if (in.step == Step::kStore)
                k.scatter[d](memory, v.row_stride, tile, t.rows);
            else
                k.gather[d](tile, memory, v.row_stride, t.rows);
            return;
        }
        Tile row = t;
        for (int64_t r = 0; r < t.rows; ++r) {
            char* m = base(v) + row_offset(v, row) * size;
            if (in.step == Step::kStore)
                k.store[d](m, tile + r * tile_size, 1);
            else
                k.load[d](tile + r * tile_size, m, 1);
            next(low.space.batch, row.index);
        }
        return;
    }
    if (in.step == Step::kLoad && t.rows > 1 && v.linear_cols && v.col_stride != 1 &&
        !v.batch.empty() && v.batch.back() == 1 &&
        t.index[v.batch.size() - 1] + t.rows <= low.space.batch.back()) {
        // Transposed: read along memory. 16-bit floats are turned round before they are converted.
        const bool plain = compute_dtype(v.dtype) == v.dtype;
        char* raw = plain ? tile : scratch + low.stage_offset;
        k.transpose[std::countr_zero(static_cast<uint64_t>(size))](
            raw, memory, t.cols, t.rows, t.cols * size, v.col_stride * size);
        if (!plain) k.load[d](tile, raw, t.rows * t.cols);
        return;
    }
    const int64_t bytes_per_row = t.cols * tile_size;
    if (v.linear_rows && v.linear_cols && v.col_stride == 1 && v.row_stride == t.cols &&
        t.rows > 1) {
        if (in.step == Step::kStore)
            k.store[d](memory, tile, t.rows * t.cols);
        else
            k.load[d](tile, memory, t.rows * t.cols);
        return;
    }
    if (v.linear_rows && v.linear_cols && v.col_stride == 1 && compute_dtype(v.dtype) == v.dtype &&
        move_short_rows(memory, v.row_stride * size, tile, bytes_per_row, t.rows,
                        in.step == Step::kStore))
        return;
    if (v.linear_rows || t.rows == 1) {
        for (int64_t r = 0; r < t.rows; ++r) {
            move_row(in, v, memory + r * v.row_stride * size, tile + r * bytes_per_row, t.cols);
        }
        return;
    }
    Tile row = t;
    for (int64_t r = 0; r < t.rows; ++r) {
        char* m = base(v) + (row_offset(v, row) + t.col0 * v.col_stride) * size;
        move_row(in, v, m, tile + r * bytes_per_row, t.cols);
        next(low.space.batch, row.index);
    }
}

void Run::reduce_rows(const Instr& in, const Tile& t) const {
    const int d = static_cast<int>(compute_dtype(in.arg_dtype));
    const auto rows = low.tables->reduce->rows[static_cast<int>(reduce_parts(in.reduce).what)][d];
    char* out = static_cast<char*>(places[in.dst]);
    const char* x = static_cast<const char*>(places[in.args[0]]);
    const int64_t size = in.sizes[0];
    char* mean = in.dst2 >= 0 ? static_cast<char*>(places[in.dst2]) : nullptr;
    if (mean) {
        rows(x, t.cols, t.rows, t.cols, mean, out);
    } else if (in.reduce == ReduceKind::kVar) {
        alignas(64) double sums[64];  // only the squares are wanted
        for (int64_t r = 0; r < t.rows; r += 64) {
            rows(x + r * t.cols * size, t.cols, std::min<int64_t>(64, t.rows - r), t.cols, sums,
                 out + r * size);
        }
    } else {
        rows(x, t.cols, t.rows, t.cols, out, nullptr);
    }
    finish_reduction(in, t);
}

void Run::finish_reduction(const Instr& in, const Tile& t) const {
    const int d = static_cast<int>(compute_dtype(in.arg_dtype));
    for (int32_t place : in.results()) {
        if (place < 0) continue;
        void* result = places[place];
        if (in.reduce >= ReduceKind::kMean)
            low.tables->reduce->divide[d](result, t.rows, static_cast<double>(t.cols));
        if (compute_dtype(in.dtype) != in.dtype) {
            low.tables->tile->cast[d][static_cast<int>(in.dtype)](result, result, t.rows);
        }
    }
}

// One row's partial over a piece. Pieces are a power of two of blocks, so that the tree over them
// is the tree over blocks.
void Run::reduce_piece(const Instr& in, int64_t piece, int64_t cols) const {
    const int d = static_cast<int>(compute_dtype(in.arg_dtype));
    const auto rows = low.tables->reduce->rows[static_cast<int>(reduce_parts(in.reduce).what)][d];
    char* part = scratch + in.partials + piece * in.sizes[0];
    rows(places[in.args[0]], cols, 1, cols, part, part + kMaxPieces * in.sizes[0]);
}

void Run::merge_pieces(const Instr& in, const Tile& t) const {
    const int d = static_cast<int>(compute_dtype(in.arg_dtype));
    const auto merge = low.tables->reduce->merge[static_cast<int>(reduce_parts(in.reduce).what)][d];
    const int64_t size = in.sizes[0], n = t.cols, pieces = (n + low.piece - 1) / low.piece;
    char* part = scratch + in.partials;
    char* m2 = part + kMaxPieces * size;
    for (int64_t width = 1; width < pieces; width *= 2) {
        for (int64_t i = 0; i + width < pieces; i += 2 * width) {
            const int64_t middle = (i + width) * low.piece, end = middle + width * low.piece;
            merge(part + i * size, m2 + i * size, part + (i + width) * size,
                  m2 + (i + width) * size, 1, width * low.piece, std::min(end, n) - middle);
        }
    }
    const bool moments = in.reduce == ReduceKind::kVar;
    std::memcpy(places[in.dst], moments ? m2 : part, static_cast<size_t>(size));
    if (in.dst2 >= 0) std::memcpy(places[in.dst2], part, static_cast<size_t>(size));
    finish_reduction(in, t);
}

// At most two blocks.
void Run::exp_sum_row(const Instr& in, char* dst, const float* x, const float* shift, int64_t cols,
                      float* sum, Ahead* ahead) const {
    float part[2];
    int blocks = 0;
    for (int64_t c = 0; c < cols; c += kReduceBlock) {
        if (ahead) {  // one step per slice
            for (int64_t s = 0; s < kReduceBlock; s += kSlice) ahead->step(low.steps);
        }
        in.exp_sum(dst + c * 4, x + c, shift, std::min(kReduceBlock, cols - c), &part[blocks++]);
    }
    *sum = blocks == 2 ? part[0] + part[1] : part[0];
}

// Elements [begin, end) of the tile.
void Run::chain(const Instr& in, int64_t begin, int64_t end) const {
    const TileChain& c = kTileChains[in.op - kNumTileOps - kNumFusedPairs - kNumFusedTails];
    const void* inputs[kMaxChainInputs];
    void* results[kMaxChainResults];
    for (int i = 0; i < c.num_inputs; ++i) {
        const auto* at = static_cast<const float*>(places[in.args[static_cast<size_t>(i)]]);
        inputs[i] = c.scalars >> i & 1 ? at : at + begin;
    }
    const auto dst = in.results();
    for (int r = 0; r < c.num_results; ++r)
        results[r] = static_cast<float*>(places[dst[static_cast<size_t>(r)]]) + begin;
    in.chain(results, inputs, end - begin);
}

inline void Run::execute(const Instr& in, const Tile& t) {
    const int64_t n = in.level == Level::kFull  ? t.rows * t.cols
                      : in.level == Level::kRow ? t.rows
                                                : 1;
    void* const* p = places;
    switch (in.step) {
        case Step::kUnary: in.f1(p[in.dst], p[in.args[0]], n); break;
        case Step::kBinary: in.f2(p[in.dst], p[in.args[0]], p[in.args[1]], n); break;
        case Step::kTernary:
            in.f3(p[in.dst], p[in.args[0]], p[in.args[1]], p[in.args[2]], n);
            break;
        case Step::kBinaryRows:
        case Step::kTernaryRows: {
            char* at[3] = {};
            int64_t step[3] = {};
            const int count = in.step == Step::kBinaryRows ? 2 : 3;
            for (int i = 0; i < count; ++i) {
                at[i] = static_cast<char*>(p[in.args[static_cast<size_t>(i)]]);
                step[i] = in.sizes[static_cast<size_t>(i)];
                if (in.scalar_args >> i & 1)
                    step[i] = 0;
                else if (!(in.row_args >> i & 1))
                    step[i] *= t.cols;
            }
            char* dst = static_cast<char*>(p[in.dst]);
            for (int64_t r = 0; r < t.rows; ++r) {
                if (count == 2)
                    in.f2(dst, at[0], at[1], t.cols);
                else
                    in.f3(dst, at[0], at[1], at[2], t.cols);
                for (int i = 0; i < 3; ++i) at[i] += step[i];
                dst += t.cols * in.sizes[3];
            }
            break;
        }
        case Step::kExpSum: {
            char* dst = static_cast<char*>(p[in.dst]);
            const float* x = static_cast<const float*>(p[in.args[0]]);
            const float* shift = static_cast<const float*>(p[in.args[1]]);
            const bool rows = in.row_args != 0;
            for (int64_t r = 0; r < t.rows; ++r) {
                // The sum may lie where the shift does.
                exp_sum_row(in, dst + r * t.cols * 4, x + r * t.cols, shift + (rows ? r : 0),
                            t.cols, static_cast<float*>(p[in.dst2]) + r, nullptr);
            }
            break;
        }
        case Step::kReduced: break;
        case Step::kReduce: reduce_rows(in, t); break;
        case Step::kExpand: {
            const int64_t size = static_cast<int64_t>(tile_element_size(in.dtype));
            char* dst = static_cast<char*>(p[in.dst]);
            const char* src = static_cast<const char*>(p[in.args[0]]);
            for (int64_t r = 0; r < t.rows; ++r)
                in.f1(dst + r * t.cols * size, src + r * size, t.cols);
            break;
        }
        case Step::kFill: in.f1(p[in.dst], p[in.args[0]], n); break;
        case Step::kLoad:
        case Step::kStore: move(in, t); break;
        case Step::kLoadColumns: {
            const View& v = low.views[static_cast<size_t>(in.view)];
            const size_t bytes = static_cast<size_t>(t.cols) * tile_element_size(v.dtype);
            char* dst = static_cast<char*>(p[in.dst]);
            move_row(in, v, base(v), dst, t.cols);
            for (int64_t r = 1; r < t.rows; ++r)
                std::memcpy(dst + static_cast<size_t>(r) * bytes, dst, bytes);
            break;
        }
        case Step::kScalarCell: scalar_cell(in); break;
        case Step::kChain: chain(in, 0, n); break;
    }
}

void Run::start(int64_t rows) {
    for (size_t i = 0; i < low.places.size(); ++i) places[i] = scratch + low.places[i].offset;
    const Tile whole{0, std::min(rows, low.tile_rows), 0, low.tile_cols, {}};
    for (const Instr& in : low.prologue) execute(in, whole);
}

inline void Run::tile(const Tile& t) {
    for (int32_t place : low.direct) {
        places[place] =
            address(low.views[static_cast<size_t>(low.places[static_cast<size_t>(place)].view)], t);
    }
    for (const Instr& in : low.body) execute(in, t);
}

// An instruction in slices, with requests between them: more at once than the machine's buffers for
// misses would wait for each other.
void Run::execute_and_ask(const Instr& in, const Tile& t, Ahead& ahead) {
    const bool loop = in.step == Step::kUnary || in.step == Step::kBinary;
    if (!loop || t.rows != 1) {
        ahead.step(low.steps);
        execute(in, t);
        return;
    }
    char* const dst = static_cast<char*>(places[in.dst]);
    const char* const a = static_cast<const char*>(places[in.args[0]]);
    const int64_t step_a = in.scalar_args & 1 ? 0 : in.sizes[0];
    const char* const b = in.args[1] < 0 ? nullptr : static_cast<const char*>(places[in.args[1]]);
    const int64_t step_b = in.scalar_args & 2 ? 0 : in.sizes[1];
    for (int64_t c = 0; c < t.cols; c += kSlice) {
        const int64_t n = std::min(kSlice, t.cols - c);
        ahead.step(low.steps);
        if (in.step == Step::kUnary)
            in.f1(dst + c * in.sizes[3], a + c * step_a, n);
        else
            in.f2(dst + c * in.sizes[3], a + c * step_a, b + c * step_b, n);
    }
}

// A tile of a program that moves much memory or has long rows. `next`: null for the last one.
void Run::large_tile(const Tile& t, const Tile* next) {
    char* targets[kMaxStreams];
    Ahead ahead;
    for (int32_t place : low.direct) {
        const View& v = low.views[static_cast<size_t>(low.places[static_cast<size_t>(place)].view)];
        places[place] = address(v, t);
        if (!next || v.level != Level::kFull || (streaming && v.is_output)) continue;
        const int64_t bytes = next->rows * next->cols * static_cast<int64_t>(dtype_size(v.dtype));
        ahead.add(address(v, *next), bytes / Ahead::kLine, v.is_output);
    }
    const size_t streams = streaming ? low.streams.size() : 0;
    for (size_t i = 0; i < streams; ++i) {
        const auto [place, offset] = low.streams[i];
        targets[i] = static_cast<char*>(places[place]);
        places[place] = scratch + offset;
    }
    const auto flush = [&](size_t i, int64_t count, int64_t col) {
        const int32_t place = low.streams[i].first;
        const int64_t size =
            static_cast<int64_t>(dtype_size(low.places[static_cast<size_t>(place)].dtype));
        low.tables->tile->stream(targets[i] + col * size, places[place], count * size);
    };
    if (low.phases.empty()) {
        for (const Instr& in : low.body) {
            if (in.step == Step::kChain) {
                const int64_t n = t.rows * t.cols;
                for (int64_t at = 0; at < n; at += kChainSlice) {
                    ahead.step(low.steps);
                    chain(in, at, std::min(n, at + kChainSlice));
                }
                continue;
            }
            ahead.step(low.steps);
            execute(in, t);
        }
        for (size_t i = 0; i < streams; ++i) flush(i, t.rows * t.cols, 0);
        return;
    }
    const auto to_staging = [&](const std::vector<int>& list) {
        for (int i : list) {
            const auto [place, offset] = low.streams[static_cast<size_t>(i)];
            places[place] = scratch + offset;
        }
    };
    for (const Phase& phase : low.phases) {
        const Instr* const body = low.body.data();
        const int64_t piece = phase.pieces ? low.piece : t.cols;
        for (int64_t col = 0; col < t.cols; col += piece) {
            Tile part = t;
            part.col0 = t.col0 + col;
            part.cols = std::min(piece, t.cols - col);
            for (int i = phase.begin; i < phase.end; ++i) {
                if (phase.pieces && body[i].step == Step::kReduce) {
                    ahead.step(low.steps);
                    reduce_piece(body[i], col / piece, part.cols);
                } else if (phase.pieces && body[i].step == Step::kExpSum) {
                    const Instr& in = body[i++];  // with the sum that follows
                    exp_sum_row(in, static_cast<char*>(places[in.dst]),
                                static_cast<const float*>(places[in.args[0]]),
                                static_cast<const float*>(places[in.args[1]]), part.cols,
                                reinterpret_cast<float*>(scratch + body[i].partials) + col / piece,
                                &ahead);
                } else if (next && body[i].level == Level::kFull) {
                    execute_and_ask(body[i], part, ahead);
                } else {
                    ahead.step(low.steps);
                    execute(body[i], part);
                }
            }
            if (streaming) {
                for (int i : phase.streams) flush(static_cast<size_t>(i), part.cols, col);
            }
            for (auto [place, bytes] : phase.moving)
                places[place] = static_cast<char*>(places[place]) + bytes;
            if (streaming) to_staging(phase.same_staging);
        }
        if (!phase.pieces) continue;
        const int64_t pieces = (t.cols + piece - 1) / piece;
        for (auto [place, bytes] : phase.moving)
            places[place] = static_cast<char*>(places[place]) - bytes * pieces;
        if (streaming) to_staging(phase.same_staging);
        for (int i = phase.begin; i < phase.end; ++i) {
            if (body[i].step == Step::kReduce || body[i].step == Step::kReduced)
                merge_pieces(body[i], t);
        }
    }
}

void locate(const Lowered& low, int64_t number, Tile* t) {
    const Space& s = low.space;
    const int64_t row_tile = number / low.col_tiles, col_tile = number % low.col_tiles;
    t->row0 = row_tile * low.tile_rows;
    t->rows = std::min(low.tile_rows, s.rows - t->row0);
    t->col0 = col_tile * low.tile_cols;
    t->cols = std::min(low.tile_cols, s.cols - t->col0);
    int64_t rest = t->row0;
    for (size_t d = s.batch.size(); d-- > 0;) {
        t->index[d] = d ? rest % s.batch[d] : rest;
        if (d) rest /= s.batch[d];
    }
}

void run_tiles(const Lowered& low, const ProgramBindings& bind, bool streaming, int64_t begin,
               int64_t end) {
    char* scratch = static_cast<char*>(thread_scratch(static_cast<size_t>(low.scratch_bytes)));
    Run run{low, bind, scratch, reinterpret_cast<void**>(scratch)};
    run.streaming = streaming;
    run.start(low.tile_rows);
    Tile t, following;
    locate(low, begin, &following);
    const bool large = low.prefetch || streaming || !low.phases.empty();
    for (int64_t at = begin; at < end; ++at) {
        t = following;
        const bool last = at + 1 == end;
        if (!last) locate(low, at + 1, &following);
        if (large)
            run.large_tile(t, last || !low.prefetch ? nullptr : &following);
        else
            run.tile(t);
    }
    if (streaming) low.tables->tile->finish_stream();
}

// Streaming wants outputs that are only written.
bool may_stream(const Lowered& low, const ProgramBindings& bind) {
    for (const auto& stream : low.streams) {
        const int place_view = low.places[static_cast<size_t>(stream.first)].view;
        const View& out = low.views[static_cast<size_t>(place_view)];
        for (const View& v : low.views) {
            if (!v.is_output && bind.buffers[v.binding] == bind.buffers[out.binding]) return false;
        }
    }
    return !low.streams.empty();
}

// The longest row that is run with others in one tile.
constexpr int64_t kShortRow = 512;

// Whether the block is whole short rows, product included, that one loop may run through: then what
// an instruction costs besides its loop is paid once for several rows.
bool in_several_rows(const Program& program, const ProgramBindings& bindings, int tile_binding,
                     const char* tile_base, int64_t tile_ld, int64_t rows, int64_t cols) {
    if (rows == 1 || cols > kShortRow || cols != program.shape[1] || tile_ld != cols) return false;
    const Lowered& low = program.rows();
    if (low.tile_rows == 1) return false;
    const auto buffer = [&](int binding) {
        return binding == tile_binding ? tile_base
                                       : static_cast<const char*>(bindings.buffers[binding]);
    };
    for (auto [output, input] : low.hazards)
        if (buffer(output) == buffer(input)) return false;
    for (const View& v : low.views)
        if (v.binding == tile_binding && v.row_stride != cols) return false;
    return true;
}

}  // namespace

void run_program(const Program& program, const ProgramBindings& bindings) {
    const Lowered* low = &program.main;
    for (auto [output, input] : low->hazards) {
        if (bindings.buffers[output] != bindings.buffers[input]) continue;
        low = &program.late();
        break;
    }
    const Space& s = low->space;
    if (s.rows == 0 || (s.cols == 0 && program.row_dims == 0)) return;
    const int64_t tiles = low->row_tiles * low->col_tiles;
    const bool streaming = may_stream(*low, bindings);
    if (tiles <= 2 * low->chunk) {
        run_tiles(*low, bindings, streaming, 0, tiles);
        return;
    }
    parallel_for(tiles, low->chunk, [&](int64_t begin, int64_t end) {
        run_tiles(*low, bindings, streaming, begin, end);
    });
}

void run_program_block(const Program& program, const ProgramBindings& bindings, int tile_binding,
                       const void* tile, int64_t tile_ld, int64_t row0, int64_t rows, int64_t col0,
                       int64_t cols) {
    const char* tile_base = static_cast<const char*>(tile);
    for (const View& v : program.main.views) {
        if (v.binding != tile_binding) continue;
        tile_base -= (row0 * tile_ld + col0) * static_cast<int64_t>(dtype_size(v.dtype));
        break;
    }
    const bool several =
        in_several_rows(program, bindings, tile_binding, tile_base, tile_ld, rows, cols);
    const Lowered& low = several ? program.rows() : program.block();
    char* scratch = static_cast<char*>(thread_scratch(static_cast<size_t>(low.scratch_bytes)));
    Run run{low, bindings, scratch, reinterpret_cast<void**>(scratch)};
    run.tile_binding = tile_binding;
    run.tile_ld = tile_ld;
    run.tile_base = tile_base;
    run.start(rows);
    Tile t{};
    for (int64_t r = 0; r < rows; r += low.tile_rows) {
        t.row0 = t.index[0] = row0 + r;
        t.rows = std::min(low.tile_rows, rows - r);
        for (int64_t c = 0; c < cols; c += low.tile_cols) {
            t.col0 = col0 + c;
            t.cols = std::min(low.tile_cols, cols - c);
            run.tile(t);
        }
    }
}

int64_t program_bytes(const Program& program) {
    int64_t bytes = 0;
    const Space& s = program.main.space;
    for (const View& v : program.main.views) {
        int64_t count = 1;
        for (size_t d = 0; d < v.batch.size(); ++d) count *= v.batch[d] ? s.batch[d] : 1;
        for (size_t d = 0; d < v.row.size(); ++d) count *= v.row[d] ? s.row[d] : 1;
        bytes += count * static_cast<int64_t>(dtype_size(v.dtype));
    }
    return bytes;
}

double program_cost(const Program& program) {
    const Lowered& low = program.main;
    const double tiles = static_cast<double>(low.row_tiles * low.col_tiles);
    const double points = static_cast<double>(low.space.rows * low.space.cols);
    // The last tile may be short, and a small program is one short tile.
    const double full = static_cast<double>(low.tile_rows * low.tile_cols) * tiles;
    return 60 + low.tile_cost * tiles * (full > 0 ? points / full : 0);
}

}  // namespace sn::cpu
