// Finds the chains of tile_kernels.h in a program.
#include "backend/cpu/program_impl.h"

namespace sn::cpu {
namespace {

class Matching {
public:
    Matching(const Program& program, const std::vector<Level>& levels)
        : p_(program), levels_(levels) {}
    bool match(int chain, int last, ChainMatch* m) const {
        m->chain = chain;
        m->inputs.fill(-1);
        m->steps.fill(-1);
        return step(kTileChains[chain].num_steps - 1, last, m) && stands_alone(*m);
    }

private:
    bool step(int step, int value, ChainMatch* m) const;
    bool argument(int8_t arg, int value, ChainMatch* m) const;
    bool stands_alone(const ChainMatch& m) const;

    const Program& p_;
    const std::vector<Level>& levels_;
};

bool Matching::argument(int8_t arg, int value, ChainMatch* m) const {
    if (arg >= kChainStep) return step(arg - kChainStep, value, m);
    int& bound = m->inputs[static_cast<size_t>(arg)];
    if (bound >= 0) return bound == value;
    bound = value;
    const bool scalar = kTileChains[m->chain].scalars >> arg & 1;
    return p_.values[static_cast<size_t>(value)].dtype == DType::kF32 &&
           levels_[static_cast<size_t>(value)] == (scalar ? Level::kScalar : Level::kFull);
}

bool Matching::step(int step, int value, ChainMatch* m) const {
    int& bound = m->steps[static_cast<size_t>(step)];
    if (bound >= 0) return bound == value;
    const TileChain::Step& s = kTileChains[m->chain].steps[step];
    const Value& v = p_.values[static_cast<size_t>(value)];
    if (v.kind != ValueKind::kApply || v.op != s.op || v.compute != DType::kF32 ||
        levels_[static_cast<size_t>(value)] != Level::kFull)
        return false;
    bound = value;
    // Sums and products commute, except for which of two NaNs they keep.
    const bool commutes = s.op == kTile_multiply || s.op == kTile_add;
    const ChainMatch before = *m;
    for (int order = 0; order < (commutes ? 2 : 1); ++order) {
        bool all = true;
        for (int k = 0; k < v.num_args && all; ++k)
            all = argument(s.args[k], v.args[static_cast<size_t>(order ? 1 - k : k)], m);
        if (all) return true;
        *m = before;
    }
    return false;
}

// Whether nothing outside of the chain reads its steps, but for outputs that are its results.
bool Matching::stands_alone(const ChainMatch& m) const {
    const TileChain& c = kTileChains[m.chain];
    for (int s = 0; s < c.num_steps; ++s) {
        const int value = m.steps[static_cast<size_t>(s)];
        bool result = false;
        for (int r = 0; r < c.num_results; ++r) result |= c.results[r] == s;
        int uses = 0;
        for (int t = 0; t < c.num_steps; ++t)
            for (int8_t a : c.steps[t].args) uses += a == kChainStep + s;
        for (const Operand& o : p_.operands) uses += result && o.is_output && o.value == value;
        const bool last = s + 1 == c.num_steps;  // may be read by what comes after
        if (!last && uses != p_.values[static_cast<size_t>(value)].uses) return false;
    }
    return true;
}

}  // namespace

std::vector<ChainMatch> find_chains(const Program& program, const std::vector<Level>& levels,
                                    const TileKernels& tile) {
    std::vector<ChainMatch> found;
    const Matching matching(program, levels);
    for (size_t i = 0; i < program.values.size(); ++i) {
        const Value& v = program.values[i];
        if (v.kind != ValueKind::kApply || !v.uses) continue;
        for (int c = 0; c < kNumTileChains; ++c) {
            const TileChain& chain = kTileChains[c];
            ChainMatch m;
            if (v.op == chain.steps[chain.num_steps - 1].op && tile.chains[c] &&
                matching.match(c, static_cast<int>(i), &m)) {
                found.push_back(m);
                break;
            }
        }
    }
    return found;
}

}  // namespace sn::cpu
