// From the recorded program to instructions over tiles: which operands are read in place, which
// values share a slot, which operations are done in one loop, and how large a tile is.
#include <algorithm>

#include "backend/cpu/program_impl.h"
#include "base/error.h"

namespace sn::cpu {
namespace {

// The first-level cache, less what the operands' streams and the stack want.
constexpr int64_t kTileBudget = 24 * 1024;
constexpr int64_t kMinTile = 256, kMaxTile = 4096, kMaxStreamTile = 512;
constexpr int64_t kTransposeTile = 64;
// Rows at least this long are combined with one-per-row values by one loop per row; for shorter
// ones it is cheaper to repeat the value for every point first.
constexpr int64_t kMinRowLoop = 48;
constexpr double kTaskNanoseconds = 15000;
constexpr int64_t kPrefetchBytes = 2 << 20;
// Large programs are cut in about so many tasks: enough to balance, few first tiles to wait for.
constexpr int64_t kTasks = 128;

bool plain(DType d) { return compute_dtype(d) == d; }  // memory and tile representation agree
int64_t align_up(int64_t n) { return (n + 63) & ~int64_t{63}; }

class Lowering {
public:
    Lowering(const Program& program, Form form) : p_(program), form_(form) {
        out_.tables = &cpu_tables();
        tile_ = out_.tables->tile;
    }
    Lowered run();

private:
    const Program& p_;
    Form form_;
    Lowered out_;
    const TileKernels* tile_;
    std::vector<Level> level_;
    std::vector<int> place_, full_place_, row_place_;  // by value; -1: not there yet
    std::vector<int> absorbed_by_, absorbs_;           // fused pairs and chains, by value
    std::vector<ChainMatch> chains_;
    std::vector<std::vector<int>> outputs_;  // by value: views that it is written to
    std::vector<int> late_stores_;
    bool one_row_ = false, whole_rows_ = true;

    void find_levels();
    void choose_tile();
    void emit_chain(const ChainMatch& m);
    void emit_outputs(int v);
    void find_pairs();
    int find_twin(int v) const;
    void emit_value(int v);
    void emit_elementwise(int v, int op, DType compute, const int* args, int num_args, int fused);
    void emit_store(int v, int view);
    int input_place(int v);
    int place_of(int v);
    int as_full(int v);
    int as_row(int v);
    bool is_direct(const View& view) const;
    int result_place(int v);
    int new_place(PlaceKind kind, DType dtype, int view = -1);
    Instr& emit(Instr instr, bool prologue);
    bool single(Level level) const {
        return level == Level::kScalar || (level == Level::kRow && one_row_);
    }
    void find_ranges();
    void assign_slots();
    void find_hazards();
    void estimate();
};

void Lowering::find_levels() {
    level_.resize(p_.values.size());
    for (size_t i = 0; i < p_.values.size(); ++i) {
        const Value& v = p_.values[i];
        switch (v.kind) {
            case ValueKind::kInput: level_[i] = out_.views[static_cast<size_t>(v.op)].level; break;
            case ValueKind::kScalar: level_[i] = Level::kScalar; break;
            case ValueKind::kReduce: level_[i] = Level::kRow; break;
            default:
                level_[i] = Level::kScalar;
                for (int a = 0; a < v.num_args; ++a) {
                    level_[i] = std::max(level_[i], level_[static_cast<size_t>(v.args[a])]);
                }
        }
    }
}

void Lowering::choose_tile() {
    // Bytes that are live at once per point, roughly: computed values by their last use in recorded
    // order, and all streams.
    std::vector<size_t> last(p_.values.size(), 0);
    for (size_t i = 0; i < p_.values.size(); ++i) {
        const Value& v = p_.values[i];
        if (!v.uses) continue;
        for (int a = 0; a < v.num_args; ++a) last[static_cast<size_t>(v.args[a])] = i;
    }
    const auto bytes = [&](size_t i) -> int64_t {
        const Value& v = p_.values[i];
        if (!v.uses || level_[i] != Level::kFull || v.kind == ValueKind::kInput) return 0;
        return static_cast<int64_t>(tile_element_size(v.dtype));
    };
    std::vector<int64_t> ends(p_.values.size(), 0);
    int64_t live = 0, most = 0, streams = 0;
    for (size_t i = 0; i < p_.values.size(); ++i) {
        live += bytes(i);
        most = std::max(most, live);
        ends[std::max(last[i], i)] += bytes(i);
        live -= ends[i];
    }
    for (const View& v : out_.views) {
        if (v.level == Level::kFull) streams += static_cast<int64_t>(dtype_size(v.dtype));
    }
    most = std::max<int64_t>(1, most + streams);
    // Where memory is the limit, the next tile's lines are asked for while this one is computed: in
    // small tiles, so that few requests wait at a time.
    const Space& s = out_.space;
    out_.prefetch =
        !is_block(form_) && p_.values.size() < 64 && streams * s.rows * s.cols > kPrefetchBytes;
    int64_t tile = kMinTile;
    while (tile * 2 <= (out_.prefetch ? kMaxStreamTile : kMaxTile) &&
           tile * 2 * most <= kTileBudget)
        tile *= 2;

    bool transposed = false;
    for (const View& v : out_.views) {
        transposed |=
            v.level == Level::kFull && !v.batch.empty() && v.batch.back() == 1 && v.col_stride != 1;
    }
    if (form_ == Form::kBlock) {
        out_.tile_rows = 1;
        out_.tile_cols = std::min(s.cols, tile);
    } else if (form_ == Form::kRows) {
        out_.tile_cols = s.cols;
        out_.tile_rows = tile / std::max<int64_t>(s.cols, 1);
    } else if (p_.row_dims > 0) {
        out_.tile_cols = s.cols;
        // Four rows of at most one block each are reduced at once: their chains of additions
        // overlap.
        const int64_t together = s.cols <= kReduceBlock ? 4 : 1;
        out_.tile_rows = std::max(together, tile / std::max<int64_t>(s.cols, 1));
    } else if (transposed && s.rows > 1) {
        out_.tile_cols = std::min(s.cols, kTransposeTile);
        out_.tile_rows = kTransposeTile;
    } else if (s.cols <= tile) {
        out_.tile_cols = s.cols;
        out_.tile_rows = std::max<int64_t>(1, tile / std::max<int64_t>(s.cols, 1));
    } else {
        out_.tile_rows = 1;
        out_.tile_cols = tile;
    }
    out_.tile_rows = std::max<int64_t>(1, std::min(out_.tile_rows, s.rows));
    out_.tile_cols = std::max<int64_t>(1, out_.tile_cols);
    out_.row_tiles = (s.rows + out_.tile_rows - 1) / out_.tile_rows;
    out_.col_tiles = std::max<int64_t>(1, (s.cols + out_.tile_cols - 1) / out_.tile_cols);
    one_row_ = out_.tile_rows == 1;
    whole_rows_ = out_.col_tiles == 1;
}

void Lowering::emit_chain(const ChainMatch& m) {
    const TileChain& c = kTileChains[m.chain];
    Instr in;
    in.step = Step::kChain;
    in.level = Level::kFull;
    in.dtype = in.arg_dtype = DType::kF32;
    in.op = kNumTileOps + kNumFusedPairs + kNumFusedTails + m.chain;
    in.chain = tile_->chains[m.chain];
    for (int i = 0; i < c.num_inputs; ++i)
        in.args[static_cast<size_t>(i)] = place_of(m.inputs[static_cast<size_t>(i)]);
    int32_t* const dst[] = {&in.dst, &in.dst2, &in.dst3};
    for (int r = 0; r < c.num_results; ++r) {
        const int value = m.steps[static_cast<size_t>(c.results[r])];
        *dst[r] = place_[static_cast<size_t>(value)] = result_place(value);
    }
    emit(in, false);
    for (int r = 0; r < c.num_results; ++r)
        emit_outputs(m.steps[static_cast<size_t>(c.results[r])]);
}

// u = x * y, v = u + z with no other use of u: one loop, two roundings, the same bits.
void Lowering::find_pairs() {
    absorbs_.assign(p_.values.size(), -1);
    for (size_t i = 0; i < p_.values.size(); ++i) {
        const Value& v = p_.values[i];
        if (!v.uses || v.kind != ValueKind::kApply || v.num_args > 2 || !is_float(v.compute) ||
            level_[i] != Level::kFull || absorbed_by_[i] >= 0) {
            continue;
        }
        for (int k = 0; k < v.num_args; ++k) {
            const size_t u = static_cast<size_t>(v.args[k]);
            const Value& first = p_.values[u];
            if (first.kind != ValueKind::kApply || first.num_args != 2 || first.uses != 1 ||
                first.compute != v.compute || level_[u] != Level::kFull || absorbs_[u] >= 0 ||
                absorbed_by_[u] >= 0) {
                continue;
            }
            const int d = static_cast<int>(v.compute);
            if (v.num_args == 1) {
                const int tail = find_fused_tail(first.op, v.op);
                if (tail < 0 || !tile_->fused_tail[tail][d][0]) continue;
            } else {
                const int pair = find_fused_pair(first.op, v.op, k == 1);
                if (pair < 0 || !tile_->fused[pair][d][0]) continue;
            }
            absorbs_[i] = static_cast<int>(u);
            absorbed_by_[u] = static_cast<int>(i);
            break;
        }
    }
}

int Lowering::new_place(PlaceKind kind, DType dtype, int view) {
    out_.places.push_back({kind, dtype, view});
    const int place = static_cast<int>(out_.places.size()) - 1;
    if (kind == PlaceKind::kDirect) out_.direct.push_back(place);
    return place;
}

Instr& Lowering::emit(Instr instr, bool prologue) {
    std::vector<Instr>& list = prologue ? out_.prologue : out_.body;
    list.push_back(instr);
    return list.back();
}

// Whether a tile of the view is contiguous memory in tile representation.
bool Lowering::is_direct(const View& v) const {
    if (!plain(v.dtype)) return false;
    if (v.level == Level::kRow) return one_row_ || (v.linear_rows && v.row_stride == 1);
    if (v.level != Level::kFull) return false;
    if (!v.linear_cols || (v.col_stride != 1 && out_.space.cols > 1)) return false;
    return one_row_ || (whole_rows_ && v.linear_rows && v.row_stride == out_.space.cols);
}

int Lowering::input_place(int value) {
    const int view = p_.values[static_cast<size_t>(value)].op;
    const View& v = out_.views[static_cast<size_t>(view)];
    Instr load;
    load.step = Step::kLoad;
    load.dtype = v.dtype;
    load.level = v.level;
    load.view = view;
    if (v.level == Level::kScalar) {
        load.dst = new_place(PlaceKind::kCell, v.dtype);
        emit(load, true);
        return load.dst;
    }
    // In the late form an input that is itself an output is copied before anything is written.
    const bool copied = form_ == Form::kLate && !outputs_[static_cast<size_t>(value)].empty();
    if (is_direct(v) && !copied) return new_place(PlaceKind::kDirect, v.dtype, view);
    const bool same_for_rows =
        std::all_of(v.batch.begin(), v.batch.end(), [](int64_t stride) { return stride == 0; });
    if (v.level == Level::kFull && same_for_rows && whole_rows_ && !one_row_) {
        load.step = Step::kLoadColumns;
        load.dst = new_place(PlaceKind::kConstant, v.dtype);
        emit(load, true);
        return load.dst;
    }
    load.dst = new_place(v.level == Level::kRow ? PlaceKind::kRowSlot : PlaceKind::kSlot, v.dtype);
    emit(load, false);
    return load.dst;
}

int Lowering::place_of(int value) {
    int& place = place_[static_cast<size_t>(value)];
    if (place >= 0) return place;
    const Value& v = p_.values[static_cast<size_t>(value)];
    if (v.kind == ValueKind::kInput) return place = input_place(value);
    SN_CHECK(v.kind == ValueKind::kScalar);
    Instr cell;
    cell.step = Step::kScalarCell;
    cell.level = Level::kScalar;
    cell.dtype = v.dtype;
    cell.view = v.op;
    cell.dst = new_place(PlaceKind::kCell, v.dtype);
    emit(cell, true);
    return place = cell.dst;
}

// The value once per point.
int Lowering::as_full(int value) {
    const Level level = level_[static_cast<size_t>(value)];
    if (level == Level::kFull) return place_of(value);
    int& place = full_place_[static_cast<size_t>(value)];
    if (place >= 0) return place;
    const DType dtype = p_.values[static_cast<size_t>(value)].dtype;
    Instr fill;
    fill.dtype = dtype;
    fill.args[0] = place_of(value);
    fill.f1 = tile_->fill[static_cast<int>(dtype)];
    fill.step = single(level) ? Step::kFill : Step::kExpand;
    const bool constant = level == Level::kScalar;
    fill.dst = place = new_place(constant ? PlaceKind::kConstant : PlaceKind::kSlot, dtype);
    emit(fill, constant);
    return place;
}

// A scalar once per row.
int Lowering::as_row(int value) {
    if (level_[static_cast<size_t>(value)] == Level::kRow || one_row_) return place_of(value);
    int& place = row_place_[static_cast<size_t>(value)];
    if (place >= 0) return place;
    const DType dtype = p_.values[static_cast<size_t>(value)].dtype;
    Instr fill;
    fill.step = Step::kFill;
    fill.level = Level::kRow;
    fill.dtype = dtype;
    fill.args[0] = place_of(value);
    fill.f1 = tile_->fill[static_cast<int>(dtype)];
    fill.dst = place = new_place(PlaceKind::kRowSlot, dtype);
    emit(fill, false);
    return place;
}

// Where the instruction that computes a value puts it: straight into an output where possible.
int Lowering::result_place(int value) {
    const DType dtype = p_.values[static_cast<size_t>(value)].dtype;
    const Level level = level_[static_cast<size_t>(value)];
    if (level == Level::kScalar) return new_place(PlaceKind::kCell, dtype);
    if (form_ != Form::kLate) {
        for (int& view : outputs_[static_cast<size_t>(value)]) {
            const View& v = out_.views[static_cast<size_t>(view)];
            if (v.level != level || !is_direct(v)) continue;
            const int place = new_place(PlaceKind::kDirect, dtype, view);
            view = -1;  // done
            return place;
        }
    }
    return new_place(level == Level::kRow ? PlaceKind::kRowSlot : PlaceKind::kSlot, dtype);
}

void Lowering::emit_elementwise(int value, int op, DType compute, const int* args, int num_args,
                                int fused) {
    const Level level = level_[static_cast<size_t>(value)];
    Instr in;
    in.level = level;
    in.op = op;
    in.dtype = p_.values[static_cast<size_t>(value)].dtype;
    in.arg_dtype = compute;
    for (int i = 0; i < num_args; ++i) {
        const Level have = level_[static_cast<size_t>(args[i])];
        const DType dtype = p_.values[static_cast<size_t>(args[i])].dtype;
        in.sizes[static_cast<size_t>(i)] = static_cast<uint8_t>(tile_element_size(dtype));
        in.args[static_cast<size_t>(i)] = place_of(args[i]);
        if (have == level || single(level)) continue;
        if (single(have)) {
            in.scalar_args |= static_cast<uint8_t>(1 << i);
        } else if (out_.tile_cols >= kMinRowLoop) {
            in.row_args |= static_cast<uint8_t>(1 << i);
        } else {
            in.args[static_cast<size_t>(i)] = as_full(args[i]);
        }
    }
    in.sizes[3] = static_cast<uint8_t>(tile_element_size(in.dtype));
    const int bits = in.row_args | in.scalar_args;
    const bool rows = in.row_args != 0;
    if (num_args == 1) {
        in.step = Step::kUnary;
        in.f1 = op < 0 ? tile_->cast[static_cast<int>(compute)][static_cast<int>(in.dtype)]
                       : tile_->op1(op, compute);
    } else if (num_args == 2) {
        in.step = rows ? Step::kBinaryRows : Step::kBinary;
        in.f2 = fused >= 0 ? tile_->fused_tail[fused][static_cast<int>(compute)][bits]
                           : tile_->op2(op, compute, bits);
        if (fused >= 0) in.op = kNumTileOps + kNumFusedPairs + fused;
    } else {
        in.step = rows ? Step::kTernaryRows : Step::kTernary;
        in.f3 = fused >= 0 ? tile_->fused[fused][static_cast<int>(compute)][bits]
                           : tile_->op3(op, compute, bits);
        if (fused >= 0) in.op = kNumTileOps + fused;
    }
    if (!in.f1) {
        fail(ErrorKind::kDType, op < 0 ? "cast" : kTileOpInfo[op].name,
             "it is not defined on %s; cast the argument first", dtype_name(compute));
    }
    in.dst = place_[static_cast<size_t>(value)] = result_place(value);
    emit(in, level == Level::kScalar);
}

// The mean that goes with a variance of the same value, or the other way round: one instruction.
int Lowering::find_twin(int value) const {
    const Value& v = p_.values[static_cast<size_t>(value)];
    const int mean = static_cast<int>(ReduceKind::kMean), var = static_cast<int>(ReduceKind::kVar);
    if (v.op != mean && v.op != var) return -1;
    // The partner is recorded near: a search over the whole program would be quadratic.
    const size_t end = std::min(p_.values.size(), static_cast<size_t>(value) + 32);
    for (size_t i = static_cast<size_t>(value) + 1; i < end; ++i) {
        const Value& w = p_.values[i];
        if (w.kind == ValueKind::kReduce && w.uses && w.args[0] == v.args[0] &&
            w.op == mean + var - v.op) {
            return static_cast<int>(i);
        }
    }
    return -1;
}

void Lowering::emit_value(int value) {
    const Value& v = p_.values[static_cast<size_t>(value)];
    for (const ChainMatch& m : chains_)
        if (m.last() == value) return emit_chain(m);
    if (v.kind == ValueKind::kApply) {
        const int first = absorbs_[static_cast<size_t>(value)];
        if (first < 0) {
            emit_elementwise(value, v.op, v.compute, v.args.data(), v.num_args, -1);
        } else if (v.num_args == 1) {
            const Value& u = p_.values[static_cast<size_t>(first)];
            emit_elementwise(value, v.op, v.compute, u.args.data(), 2, find_fused_tail(u.op, v.op));
        } else {
            const Value& u = p_.values[static_cast<size_t>(first)];
            const bool swapped = v.args[0] != first;
            const int args[3] = {u.args[0], u.args[1], swapped ? v.args[0] : v.args[1]};
            emit_elementwise(value, v.op, v.compute, args, 3, find_fused_pair(u.op, v.op, swapped));
        }
    } else if (v.kind == ValueKind::kCast) {
        const DType from = p_.values[static_cast<size_t>(v.args[0])].dtype;
        emit_elementwise(value, -1, from, v.args.data(), 1, -1);
    } else {
        Instr in;
        in.step = Step::kReduce;
        in.level = Level::kRow;
        in.dtype = v.dtype;
        in.arg_dtype = v.dtype;
        in.sizes[0] = static_cast<uint8_t>(tile_element_size(v.dtype));
        in.reduce = static_cast<ReduceKind>(v.op);
        int& place = place_[static_cast<size_t>(value)];
        if (place < 0) {
            const int twin = find_twin(value);
            in.args[0] = as_full(v.args[0]);
            in.dst = place = result_place(value);
            if (twin >= 0) {
                in.dst2 = place_[static_cast<size_t>(twin)] = result_place(twin);
                if (in.reduce == ReduceKind::kMean) std::swap(in.dst, in.dst2);
                in.reduce = ReduceKind::kVar;
            }
            emit(in, false);
        }
    }
    emit_outputs(value);
}

void Lowering::emit_outputs(int value) {
    for (int view : outputs_[static_cast<size_t>(value)]) {
        if (view < 0) continue;
        if (form_ == Form::kLate)
            late_stores_.push_back(view);
        else
            emit_store(value, view);
    }
}

void Lowering::emit_store(int value, int view) {
    const View& v = out_.views[static_cast<size_t>(view)];
    Instr in;
    in.step = Step::kStore;
    in.level = v.level;
    in.dtype = v.dtype;
    in.view = view;
    in.args[0] = v.level == Level::kFull  ? as_full(value)
                 : v.level == Level::kRow ? as_row(value)
                                          : place_of(value);
    emit(in, false);
}

void Lowering::find_ranges() {
    for (int i = 0; i < static_cast<int>(out_.body.size()); ++i) {
        const Instr& in = out_.body[static_cast<size_t>(i)];
        for (int32_t a : in.args) {
            if (a >= 0) out_.places[static_cast<size_t>(a)].last = i;
        }
        for (int32_t place : in.results()) {
            if (place < 0) continue;
            Place& d = out_.places[static_cast<size_t>(place)];
            if (d.first < 0) d.first = i;
            d.last = std::max(d.last, i);
        }
    }
}

bool is_loop(Step s) { return s <= Step::kTernaryRows; }

// Linear scan. A result may take the slot of an argument that ends here: the loops allow it when
// the elements have the same size.
void Lowering::assign_slots() {
    int64_t widest = 1;
    for (const Place& p : out_.places) {
        widest = std::max(widest, static_cast<int64_t>(tile_element_size(p.dtype)));
    }
    out_.slot_bytes = align_up(out_.tile_rows * out_.tile_cols * widest);
    // Slots at multiples of 4 KiB would compete for the same sets of the first-level cache.
    if (out_.slot_bytes % 4096 == 0) out_.slot_bytes += 128;
    out_.row_slot_bytes = align_up(out_.tile_rows * widest);

    struct Pool {
        std::vector<int> free;
        std::vector<int> slot;  // by place
        int count = 0;
    } pools[2];
    for (Pool& pool : pools) pool.slot.assign(out_.places.size(), -1);
    const auto pool_of = [&](const Place& p) -> Pool* {
        return p.kind == PlaceKind::kSlot      ? &pools[0]
               : p.kind == PlaceKind::kRowSlot ? &pools[1]
                                               : nullptr;
    };
    for (int i = 0; i < static_cast<int>(out_.body.size()); ++i) {
        const Instr& in = out_.body[static_cast<size_t>(i)];
        Place* d = in.dst >= 0 ? &out_.places[static_cast<size_t>(in.dst)] : nullptr;
        const auto release = [&](bool same_size) {
            for (int32_t a : in.args) {
                if (a < 0) continue;
                const Place& p = out_.places[static_cast<size_t>(a)];
                Pool* pool = pool_of(p);
                if (!pool || p.last != i || pool->slot[static_cast<size_t>(a)] < 0) continue;
                const bool same = is_loop(in.step) && d && d->kind == p.kind &&
                                  tile_element_size(d->dtype) == tile_element_size(p.dtype);
                if (same != same_size) continue;
                pool->free.push_back(pool->slot[static_cast<size_t>(a)]);
                pool->slot[static_cast<size_t>(a)] = -1;
            }
        };
        release(true);
        for (int32_t place : in.results()) {
            Pool* home = place >= 0 ? pool_of(out_.places[static_cast<size_t>(place)]) : nullptr;
            if (!home) continue;
            int slot = home->count;
            if (home->free.empty()) {
                ++home->count;
            } else {
                slot = home->free.back();
                home->free.pop_back();
            }
            home->slot[static_cast<size_t>(place)] = slot;
            out_.places[static_cast<size_t>(place)].offset = slot;  // made an address below
        }
        release(false);
        for (int32_t place : in.results()) {  // never read
            if (place < 0 || out_.places[static_cast<size_t>(place)].last != i) continue;
            Pool* home = pool_of(out_.places[static_cast<size_t>(place)]);
            if (home) home->free.push_back(home->slot[static_cast<size_t>(place)]);
        }
    }

    int64_t at = align_up(static_cast<int64_t>(out_.places.size() * sizeof(void*)));
    const int64_t row_base = at, slot_base = row_base + pools[1].count * out_.row_slot_bytes;
    at = slot_base + pools[0].count * out_.slot_bytes;
    for (Place& p : out_.places) {
        switch (p.kind) {
            case PlaceKind::kSlot: p.offset = slot_base + p.offset * out_.slot_bytes; break;
            case PlaceKind::kRowSlot: p.offset = row_base + p.offset * out_.row_slot_bytes; break;
            case PlaceKind::kCell:
                p.offset = at;
                at += 64;
                break;
            case PlaceKind::kConstant:
                p.offset = at;
                at += out_.slot_bytes;
                break;
            case PlaceKind::kDirect: break;
        }
    }
    out_.num_slots = pools[0].count;
    out_.stage_offset = at;
    out_.scratch_bytes = at + out_.slot_bytes + out_.row_slot_bytes;
}

void Lowering::find_hazards() {
    if (form_ == Form::kLate) return;
    std::vector<int> read(out_.views.size(), -1);
    for (const Place& p : out_.places) {
        if (p.kind != PlaceKind::kDirect || out_.views[static_cast<size_t>(p.view)].is_output)
            continue;
        int& r = read[static_cast<size_t>(p.view)];
        r = std::max(r, p.last);
    }
    std::vector<std::pair<int, int>> written;  // position, view
    for (int i = 0; i < static_cast<int>(out_.body.size()); ++i) {
        const Instr& in = out_.body[static_cast<size_t>(i)];
        if (in.step == Step::kStore) {
            written.push_back({i, in.view});
        } else {
            if (in.step == Step::kLoad) read[static_cast<size_t>(in.view)] = i;
            for (int32_t place : in.results()) {
                if (place < 0) continue;
                const Place& d = out_.places[static_cast<size_t>(place)];
                if (d.kind == PlaceKind::kDirect) written.push_back({i, d.view});
            }
        }
    }
    for (auto [position, output] : written) {
        for (size_t view = 0; view < read.size(); ++view) {
            if (read[view] <= position || out_.views[view].level < Level::kRow) continue;
            out_.hazards.push_back(
                {out_.views[static_cast<size_t>(output)].binding, out_.views[view].binding});
        }
    }
}

void Lowering::estimate() {
    const double points = static_cast<double>(out_.tile_rows * out_.tile_cols);
    double cost = 20;
    for (const Instr& in : out_.body) {
        const double n = in.level == Level::kFull || in.step == Step::kReduce
                             ? points
                             : static_cast<double>(out_.tile_rows);
        double each = 0.06 * static_cast<double>(tile_element_size(in.dtype)) / 4;
        const bool math = is_loop(in.step) && in.op >= 0 && in.op < kNumTileOps &&
                          kTileOpInfo[in.op].dtypes == TileClass::FLOAT;
        if (math) each *= in.step == Step::kUnary ? 6 : 3;
        if (in.step == Step::kLoad || in.step == Step::kStore) each *= 2;
        if (in.step == Step::kChain) each *= 4;
        cost += 5 + n * each;
    }
    for (const View& v : out_.views) {
        if (v.level == Level::kFull)
            cost += points * 0.06 * static_cast<double>(dtype_size(v.dtype));
    }
    out_.tile_cost = cost;
    out_.chunk = std::max({int64_t{1}, static_cast<int64_t>(kTaskNanoseconds / cost),
                           out_.row_tiles * out_.col_tiles / kTasks});
}

Lowered Lowering::run() {
    collapse(p_, form_, &out_.space, &out_.views);
    SN_CHECK(p_.row_dims == 0 || out_.space.cols <= kReduceChunk);
    find_levels();
    choose_tile();
    absorbed_by_.assign(p_.values.size(), -1);
    chains_ = find_chains(p_, level_, *tile_);
    for (const ChainMatch& m : chains_) {
        for (int s = 0; s + 1 < kTileChains[m.chain].num_steps; ++s)
            absorbed_by_[static_cast<size_t>(m.steps[static_cast<size_t>(s)])] = m.last();
    }
    find_pairs();
    const size_t count = p_.values.size();
    place_.assign(count, -1);
    full_place_.assign(count, -1);
    row_place_.assign(count, -1);
    outputs_.resize(count);
    for (size_t i = 0; i < p_.operands.size(); ++i) {
        const Operand& o = p_.operands[i];
        if (!o.is_output) continue;
        outputs_[static_cast<size_t>(o.value)].push_back(static_cast<int>(i));
        // Every point of a program without reductions is written, and so is every row of one with.
        View& v = out_.views[i];
        if (v.level == Level::kScalar || level_[static_cast<size_t>(o.value)] == Level::kFull) {
            v.level = p_.row_dims > 0 && level_[static_cast<size_t>(o.value)] != Level::kFull
                          ? Level::kRow
                          : Level::kFull;
        }
    }
    for (size_t i = 0; i < count; ++i) {
        const Value& v = p_.values[i];
        if (!v.uses || absorbed_by_[i] >= 0) continue;
        if (v.kind == ValueKind::kInput || v.kind == ValueKind::kScalar) {
            for (int view : outputs_[i]) late_stores_.push_back(view);
            if (form_ == Form::kLate && !outputs_[i].empty()) place_of(static_cast<int>(i));
        } else {
            emit_value(static_cast<int>(i));
        }
    }
    for (int view : late_stores_) emit_store(p_.operands[static_cast<size_t>(view)].value, view);
    find_ranges();
    assign_slots();
    find_hazards();
    estimate();
    tune_large(p_, form_, &out_);
    return std::move(out_);
}

}  // namespace

Lowered lower(const Program& program, Form form) { return Lowering(program, form).run(); }

}  // namespace sn::cpu
