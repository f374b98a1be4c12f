#include "backend/cpu/needs.h"

#if !defined(SN_RUNTIME)

#include <algorithm>
#include <cstddef>

#include "backend/cpu/cpu_tables.h"
#include "backend/cpu/program.h"
#include "backend/cpu/reduce.h"
#include "backend/cpu/wrap.h"
#include "op/op.h"

namespace sn::cpu {

namespace {

constexpr const char* kShortNames[kNumDTypes] = {"bool", "i8",  "i16", "i32", "i64",
                                                 "u8",   "u16", "u32", "u64", "f16",
                                                 "bf16", "f32", "f64", "c64", "c128"};

template <class Table, class Word>
std::string line(const char* name, const Table& table, const Word& word) {
    const auto at = reinterpret_cast<const char*>(&word) - reinterpret_cast<const char*>(&table);
    return std::string(name) + " " + std::to_string(at);
}

// Whether a convolution may be depthwise, which has tiles of its own. Attributes: three lists and
// dilations, then the groups.
bool has_groups(const Step& step) {
    AttrWords words(step.attrs.data());
    int64_t count;
    for (int i = 0; i < 4; ++i) words.list(&count);
    return words.next() > 1;
}

}  // namespace

void Needs::add(const Plan& plan) {
    for (const Step& step : plan.steps) {
        if (step.program) add_program(*step.program->spec());
        if (step.kernel) add_kernel(step);
    }
}

void Needs::add_moves(const std::set<DType>& dtypes) {
    const TileKernels& t = *cpu_tables().tile;
    const auto word = [&](const auto& entry) { lines_.insert(line("tile", t, entry)); };
    word(t.stream);
    word(t.finish_stream);
    for (const TransposeFn& turn : t.transpose) word(turn);
    for (const DType dtype : dtypes) {
        const int d = static_cast<int>(dtype);
        word(t.load[d]);
        word(t.store[d]);
        word(t.gather[d]);
        word(t.scatter[d]);
        word(t.fill[d]);
        for (const DType to : dtypes) word(t.cast[d][static_cast<int>(to)]);
    }
}

// `kind`: ReduceKind; negative for ops that find or do several things.
void Needs::add_reduction(int kind, DType dtype) {
    const ReduceKernels& r = *cpu_tables().reduce;
    const auto word = [&](const auto& entry) { lines_.insert(line("reduce", r, entry)); };
    const int d = static_cast<int>(dtype);
    const auto add = [&](ReduceParts parts) {
        const int what = static_cast<int>(parts.what);
        word(r.rows[what][d]);
        word(r.cols[what][d]);
        word(r.merge[what][d]);
        if (parts.find) {
            word(r.find[d]);
            word(r.find_cols[d]);
        }
        if (parts.divide) word(r.divide[d]);
    };
    if (kind < 0) {
        for (const ReduceKind each : {ReduceKind::kArgMax, ReduceKind::kArgMin, ReduceKind::kVar})
            add(reduce_parts(each));
        return;
    }
    add(reduce_parts(static_cast<ReduceKind>(kind)));
    if (static_cast<ReduceKind>(kind) == ReduceKind::kSum) {
        word(r.wide_rows[d]);
        word(r.wide_cols[d]);
    }
}

void Needs::add_program(const ProgramSpec& spec) {
    const TileKernels& t = *cpu_tables().tile;
    const auto word = [&](const auto& entry) { lines_.insert(line("tile", t, entry)); };
    std::set<DType> dtypes;
    std::set<std::pair<int, DType>> used;  // tile op, the dtype that it computes in
    const auto see = [&](DType dtype) {
        dtypes.insert(dtype);
        dtypes.insert(compute_dtype(dtype));
    };
    for (const ProgramSpec::Input& in : spec.inputs) see(in.dtype);
    for (const ProgramSpec::Output& out : spec.outputs) see(out.dtype);
    for (const ProgramSpec::Instruction& in : spec.instructions) {
        if (in.kind != ProgramSpec::Kind::kReduce) see(in.dtype);
        if (in.kind != ProgramSpec::Kind::kElementwise) continue;
        const int op = op_def(in.op).tile_op, d = static_cast<int>(in.dtype);
        see(kTileOpInfo[op].result == TileResult::BOOL ? DType::kBool : in.dtype);
        if (kTileOpInfo[op].result == TileResult::SELECT) see(DType::kBool);
        used.emplace(op, in.dtype);
        if (op < kNumTileOps1) {
            word(t.unary[op][d]);
        } else if (op < kEndTileOps2) {
            for (const TileFn2& f : t.binary[op - kNumTileOps1][d]) word(f);
        } else {
            for (const TileFn3& f : t.ternary[op - kEndTileOps2][d]) word(f);
        }
    }
    for (const auto& [op, dtype] : used) {
        const int d = static_cast<int>(dtype);
        for (int i = 0; i < kNumFusedPairs; ++i)
            if (kFusedPairs[i].first == op && used.contains({kFusedPairs[i].second, dtype}))
                for (const TileFn3& f : t.fused[i][d]) word(f);
        for (int i = 0; i < kNumFusedTails; ++i)
            if (kFusedTails[i].first == op && used.contains({kFusedTails[i].second, dtype})) {
                for (const TileFn2& f : t.fused_tail[i][d]) word(f);
                if (dtype == DType::kF32) word(t.exp_sum);
            }
    }
    for (int c = 0; c < kNumTileChains; ++c) {
        const TileChain& chain = kTileChains[c];
        if (std::all_of(chain.steps, chain.steps + chain.num_steps, [&](const TileChain::Step& s) {
                return used.contains({s.op, DType::kF32});
            }))
            word(t.chains[c]);
    }
    for (const ProgramSpec::Instruction& in : spec.instructions)
        if (in.kind == ProgramSpec::Kind::kReduce)
            for (const DType dtype : dtypes) add_reduction(op_def(in.op).reduce_kind, dtype);
    add_moves(dtypes);
}

void Needs::add_kernel(const Step& step) {
    const OpDef& def = op_def(step.op);
    lines_.insert(std::string("kernel ") + def.name);
    std::set<DType> dtypes;
    for (const std::vector<TensorView>* views : {&step.in, &step.out})
        for (const TensorView& view : *views) {
            dtypes.insert(view.dtype);
            dtypes.insert(compute_dtype(view.dtype));
        }
    const auto parts = [&](const std::string& name) {
        for (const DType dtype : dtypes)
            lines_.insert("part " + name + " " + kShortNames[static_cast<int>(dtype)]);
    };
    parts(def.name);
    const std::string family = kernel_family(step.op);
    if (family.empty()) return;
    lines_.insert("family " + family);
    if (family == "conv" && has_groups(step)) parts("conv_lanewise");
    if (family != "reduce") return;
    if (def.reduce_kind == static_cast<int>(ReduceKind::kAny) ||
        def.reduce_kind == static_cast<int>(ReduceKind::kAll))
        dtypes.insert(DType::kBool);
    for (const DType dtype : dtypes) add_reduction(def.reduce_kind, dtype);
    add_moves(dtypes);
}

}  // namespace sn::cpu

#endif
