// The text form of a program: what explain() and the design notes show.
#include <cstdio>

#include "backend/cpu/program_impl.h"

namespace sn::cpu {
namespace {

void append(std::string& out, const char* format, auto... values) {
    char text[256];
    std::snprintf(text, sizeof text, format, values...);
    out += text;
}

std::string list(const std::vector<int64_t>& v) {
    std::string s = "[";
    for (size_t i = 0; i < v.size(); ++i) s += (i ? ", " : "") + std::to_string(v[i]);
    return s + "]";
}

const char* level_name(Level level) {
    return level == Level::kFull ? "full" : level == Level::kRow ? "row" : "scalar";
}

std::string place_name(const Lowered& low, int32_t place) {
    if (place < 0) return "-";
    const Place& p = low.places[static_cast<size_t>(place)];
    switch (p.kind) {
        case PlaceKind::kSlot: return "t" + std::to_string(p.offset / 64);
        case PlaceKind::kRowSlot: return "r" + std::to_string(p.offset / 64);
        case PlaceKind::kCell: return "c" + std::to_string(place);
        case PlaceKind::kConstant: return "k" + std::to_string(place);
        case PlaceKind::kDirect: {
            const View& v = low.views[static_cast<size_t>(p.view)];
            return (v.is_output ? "out" : "in") + std::to_string(v.binding);
        }
    }
    return "?";
}

std::string operation(const Instr& in) {
    constexpr const char* kReduceNames[] = {"sum", "prod", "max",  "min",
                                            "any", "all",  "mean", "var"};
    switch (in.step) {
        case Step::kReduce:
            return std::string("reduce_") + kReduceNames[static_cast<int>(in.reduce)];
        case Step::kReduced: return "reduce_sum, done above";
        case Step::kExpand: return "expand";
        case Step::kFill: return "fill";
        case Step::kLoad: return "load";
        case Step::kStore: return "store";
        case Step::kLoadColumns: return "load_columns";
        case Step::kScalarCell: return "scalar " + std::to_string(in.view);
        default: break;
    }
    if (in.op < 0) return std::string("cast<") + dtype_name(in.arg_dtype) + ">";
    if (in.op < kNumTileOps) return kTileOpInfo[in.op].name;
    if (in.step == Step::kChain)
        return kTileChains[in.op - kNumTileOps - kNumFusedPairs - kNumFusedTails].name;
    if (in.op >= kNumTileOps + kNumFusedPairs) {
        const FusedTail& tail = kFusedTails[in.op - kNumTileOps - kNumFusedPairs];
        return std::string(kTileOpInfo[tail.first].name) + "+" + kTileOpInfo[tail.second].name;
    }
    const FusedPair& pair = kFusedPairs[in.op - kNumTileOps];
    return std::string(kTileOpInfo[pair.first].name) + "+" + kTileOpInfo[pair.second].name +
           (pair.swapped ? "'" : "");
}

void print_list(std::string& out, const Lowered& low, const char* title,
                const std::vector<Instr>& body) {
    if (body.empty()) return;
    append(out, "%s\n", title);
    for (const Instr& in : body) {
        out += "  ";
        if (in.step == Step::kStore) {
            append(out, "out%d", low.views[static_cast<size_t>(in.view)].binding);
        } else {
            out += place_name(low, in.dst);
            for (int32_t more : {in.dst2, in.dst3})
                if (more >= 0) out += ", " + place_name(low, more);
        }
        append(out, ": %s %s = %s", dtype_name(in.dtype), level_name(in.level),
               operation(in).c_str());
        if (in.step == Step::kLoad || in.step == Step::kLoadColumns) {
            append(out, " in%d", low.views[static_cast<size_t>(in.view)].binding);
        }
        for (size_t a = 0; a < in.args.size() && in.args[a] >= 0; ++a) {
            out += ' ' + place_name(low, in.args[a]);
            if (in.row_args >> a & 1) out += "[row]";
        }
        out += '\n';
    }
}

}  // namespace

std::string print_program(const Program& program) {
    const Lowered& low = program.main;
    std::string out;
    append(out, "program over %s, rows %lld x columns %lld, tile %lld x %lld, %lld tiles, ",
           list(program.shape).c_str(), static_cast<long long>(low.space.rows),
           static_cast<long long>(low.space.cols), static_cast<long long>(low.tile_rows),
           static_cast<long long>(low.tile_cols),
           static_cast<long long>(low.row_tiles * low.col_tiles));
    append(out, "%d slots of %lld bytes, %s\n", low.num_slots,
           static_cast<long long>(low.slot_bytes), low.tables->isa);
    for (const View& v : low.views) {
        append(out, "  %s%d: %s %s rows %s columns %s\n", v.is_output ? "out" : "in", v.binding,
               dtype_name(v.dtype), level_name(v.level), list(v.batch).c_str(),
               list(v.row).c_str());
    }
    print_list(out, low, "once per task", low.prologue);
    print_list(out, low, "once per tile", low.body);
    for (const Phase& phase : low.phases) {
        append(out, "phase %d to %d", phase.begin, phase.end - 1);
        if (phase.pieces) append(out, " by %lld columns", static_cast<long long>(low.piece));
        out += '\n';
    }
    return out;
}

}  // namespace sn::cpu
