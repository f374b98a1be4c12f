// What a lowered program of long rows or much memory gets on top: phases, streamed outputs, joined
// loops. None of it moves a value to another place.
#include <algorithm>

#include "backend/cpu/program_impl.h"

namespace sn::cpu {
namespace {

// Outputs together at least this large are written past the caches: whoever reads them next would
// not find them there anyway.
constexpr int64_t kStreamBytes = 24 << 20;
// Columns of a piece of a long row: two blocks, whose chains of additions overlap.
constexpr int64_t kRowPiece = 2 * kReduceBlock;

class Tuning {
public:
    Tuning(const Program& program, Form form, Lowered* out)
        : p_(program), form_(form), out_(*out) {}
    void find_phases();
    void find_streams();
    void join_sums();
    void count_steps();

private:
    const Program& p_;
    Form form_;
    Lowered& out_;
};

// Cuts the body of a program over long rows into phases.
void Tuning::find_phases() {
    if (p_.row_dims == 0 || out_.tile_rows != 1 || out_.space.cols <= kRowPiece) return;
    // Pieces of one slot must not overlap, whichever values it holds: one element size.
    int64_t size = 0;
    for (const Place& p : out_.places) {
        if (p.kind != PlaceKind::kSlot) continue;
        const int64_t s = static_cast<int64_t>(tile_element_size(p.dtype));
        if (size && s != size) return;
        size = s;
    }
    const int count = static_cast<int>(out_.body.size());
    const auto in_pieces = [&](const Instr& in) {
        switch (in.step) {
            case Step::kReduce: return true;
            case Step::kLoad:
            case Step::kStore: {
                const View& v = out_.views[static_cast<size_t>(in.view)];
                return in.level == Level::kFull && v.linear_cols;
            }
            case Step::kUnary:
            case Step::kBinary:
            case Step::kTernary:
            case Step::kFill: return in.level == Level::kFull;
            default: return false;
        }
    };
    std::vector<uint8_t> reduced(out_.places.size(), 0);  // in the phase that is growing
    int reductions = 0;
    bool useful = false;
    for (int i = 0; i < count; ++i) {
        Instr& in = out_.body[static_cast<size_t>(i)];
        const bool pieces = in_pieces(in);
        bool waits = false;
        for (int32_t a : in.args) waits |= a >= 0 && reduced[static_cast<size_t>(a)];
        if (out_.phases.empty() || out_.phases.back().pieces != pieces || waits) {
            out_.phases.push_back({i, i, pieces, {}, {}, {}});
            std::fill(reduced.begin(), reduced.end(), uint8_t{0});
        }
        Phase& phase = out_.phases.back();
        phase.end = i + 1;
        if (!pieces) continue;
        const auto moves = [&](int32_t place, int64_t bytes) {
            const std::pair<int32_t, int32_t> entry{place, static_cast<int32_t>(bytes * kRowPiece)};
            for (const auto& known : phase.moving) {
                if (known.first == place) return;
            }
            phase.moving.push_back(entry);
        };
        if (in.step == Step::kReduce) {
            in.partials = reductions++;
            for (int32_t place : in.results()) {
                if (place >= 0) reduced[static_cast<size_t>(place)] = 1;
            }
        } else if (in.dst >= 0) {
            const DType dtype = out_.places[static_cast<size_t>(in.dst)].dtype;
            moves(in.dst, static_cast<int64_t>(tile_element_size(dtype)));
        }
        useful |= phase.end - phase.begin > 1;
        if (in.step == Step::kFill) continue;
        for (size_t a = 0; a < in.args.size() && in.args[a] >= 0; ++a) {
            if (in.scalar_args >> a & 1) continue;
            const DType dtype = out_.places[static_cast<size_t>(in.args[a])].dtype;
            moves(in.args[a], static_cast<int64_t>(tile_element_size(dtype)));
        }
    }
    if (!useful) {
        out_.phases.clear();
        return;
    }
    out_.piece = kRowPiece;
    for (Instr& in : out_.body) {
        if (in.partials >= 0)
            in.partials = static_cast<int>(out_.scratch_bytes) +
                          in.partials * static_cast<int>(2 * kMaxPieces * sizeof(double));
    }
    out_.scratch_bytes += reductions * static_cast<int64_t>(2 * kMaxPieces * sizeof(double));
}

// An exponential and the sum of it become one loop. Last, because nothing else looks into it; what
// lies where stays as it was.
void Tuning::join_sums() {
    if (out_.space.cols > kRowPiece && out_.phases.empty()) return;
    for (size_t i = 0; i + 1 < out_.body.size(); ++i) {
        Instr& in = out_.body[i];
        Instr& sum = out_.body[i + 1];
        if ((in.step != Step::kBinary && in.step != Step::kBinaryRows) ||
            in.op != kNumTileOps + kNumFusedPairs + find_fused_tail(kTile_subtract, kTile_exp) ||
            in.level != Level::kFull || (in.row_args | in.scalar_args) != 2 ||
            in.dtype != DType::kF32 || sum.step != Step::kReduce || sum.args[0] != in.dst ||
            sum.reduce != ReduceKind::kSum) {
            continue;
        }
        bool together = out_.phases.empty();
        for (const Phase& phase : out_.phases) {
            const int at = static_cast<int>(i);
            together |= phase.pieces && at >= phase.begin && at + 1 < phase.end;
        }
        if (!together) continue;
        in.step = Step::kExpSum;
        in.dst2 = sum.dst;
        in.exp_sum = out_.tables->tile->exp_sum;
        sum.step = Step::kReduced;
    }
}

// How many shares of prefetching a tile has: large_tile() in program_run.cpp.
void Tuning::count_steps() {
    const auto parts = [&](int64_t of) { return (out_.space.cols + of - 1) / of; };
    out_.steps = 0;
    if (out_.phases.empty()) {
        const int64_t slices = (out_.tile_rows * out_.tile_cols + kChainSlice - 1) / kChainSlice;
        for (const Instr& in : out_.body) out_.steps += in.step == Step::kChain ? slices : 1;
        return;
    }
    for (const Phase& phase : out_.phases) {
        for (int i = phase.begin; i < phase.end; ++i) {
            const Instr& in = out_.body[static_cast<size_t>(i)];
            if (in.step == Step::kReduced) continue;
            if (in.step == Step::kExpSum || in.step == Step::kUnary || in.step == Step::kBinary)
                out_.steps += in.level == Level::kFull ? parts(kSlice) : 1;
            else
                out_.steps += phase.pieces ? parts(kRowPiece) : 1;
        }
    }
}

// Outputs that are larger than the caches and written once are staged in scratch and streamed.
void Tuning::find_streams() {
    if (form_ != Form::kMain || !out_.prefetch) return;
    int64_t bytes = 0;
    for (const View& v : out_.views) {
        if (v.is_output && v.level == Level::kFull)
            bytes += out_.space.rows * out_.space.cols * static_cast<int64_t>(dtype_size(v.dtype));
    }
    if (bytes < kStreamBytes) return;
    for (int32_t place : out_.direct) {
        const View& v =
            out_.views[static_cast<size_t>(out_.places[static_cast<size_t>(place)].view)];
        if (!v.is_output || v.level != Level::kFull || out_.streams.size() == kMaxStreams) continue;
        const int number = static_cast<int>(out_.streams.size());
        out_.streams.push_back({place, out_.scratch_bytes});
        out_.scratch_bytes += out_.slot_bytes;
        const Place& p = out_.places[static_cast<size_t>(place)];
        for (Phase& phase : out_.phases) {
            if (p.first < phase.begin || p.first >= phase.end) continue;
            phase.streams.push_back(number);
            // What no other phase reads stays in the same lines for all pieces.
            if (phase.pieces && p.last < phase.end) phase.same_staging.push_back(number);
        }
    }
}

}  // namespace

void tune_large(const Program& program, Form form, Lowered* out) {
    Tuning tuning(program, form, out);
    tuning.find_phases();
    tuning.find_streams();
    tuning.join_sums();
    tuning.count_steps();
}

}  // namespace sn::cpu
