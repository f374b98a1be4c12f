#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <vector>

#include "op/op.h"
#include "pass/pass.h"

namespace sn {

namespace {

uint64_t mix(uint64_t h, uint64_t x) {
    h ^= x + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
    return h * 0xff51afd7ed558ccdull;
}

// Nodes by a hash: a table with room for as many as there will be.
class Seen {
public:
    explicit Seen(size_t nodes) {
        size_t size = 64;
        while (size < 2 * nodes) size *= 2;
        slots_.assign(size, {0, kNone});
    }
    // The first node of this hash for which `equal` holds, or kNone; `id` is then added.
    template <class Equal>
    NodeId find_or_add(uint64_t hash, NodeId id, Equal equal) {
        const size_t mask = slots_.size() - 1;
        for (size_t at = hash & mask;; at = (at + 1) & mask) {
            Slot& slot = slots_[at];
            if (slot.node == kNone) {
                slot = {hash, id};
                return kNone;
            }
            if (slot.hash == hash && equal(slot.node)) return slot.node;
        }
    }

private:
    struct Slot {
        uint64_t hash;
        NodeId node;
    };
    std::vector<Slot> slots_;
};

// A node that returns its input unchanged.
bool does_nothing(const Graph& g, const Node& n) {
    const OpDef& def = op_def(n.op);
    if (n.n_in != 1 || n.n_out != 1 || !(def.cast || def.view)) return false;
    const Meta& in = g.meta(g.in(n)[0]);
    const Meta& out = g.meta(n.first_out);
    if (!(in.shape == out.shape) || in.dtype != out.dtype) return false;
    if (def.cast) return g.values[g.in(n)[0]].kind != ValueKind::kScalar;
    // A view of the same shape with the same strides, tried on contiguous ones.
    ViewCall call{attr_view(g, n), &in, {}, &out, {}, 0, {}};
    const Dims strides = contiguous_strides(in.shape);
    call.in_strides = strides;
    if (!def.view(call) || call.offset != 0) return false;
    for (size_t i = 0; i < strides.size(); ++i)
        if (in.shape[i] > 1 && call.strides[i] != strides[i]) return false;
    return true;
}

}  // namespace

void simplify(Program& program) {
    simplify(program, {SimplifyWhat::kAll, {}, {}, [](NodeId, NodeId) { return true; }, nullptr});
}

void simplify(Program& program, const SimplifyOptions& options) {
    const Graph& old = program.graph;
    const auto wants = [&](SimplifyWhat what) {
        return options.what == SimplifyWhat::kAll || options.what == what;
    };
    const bool identities = wants(SimplifyWhat::kIdentities);
    const bool common = wants(SimplifyWhat::kCommon);
    const auto is_open = [&](NodeId id) {
        return id < options.open_nodes.size() && options.open_nodes[id];
    };
    // Values that are known to be others.
    std::vector<ValueId> same(old.values.size());
    std::iota(same.begin(), same.end(), 0);
    for (const Node& n : old.nodes) {
        const SameAsFn same_as = identities ? op_def(n.op).same_as : nullptr;
        const ValueId v = same_as ? same_as(old, n) : kNone;
        if (v != kNone) same[n.first_out] = same[v];
    }
    std::vector<uint8_t> needed(old.nodes.size(), 0);
    const auto need = [&](ValueId v) {
        v = same[v];
        if (old.producer(v) != kNone) needed[old.producer(v)] = 1;
    };
    for (ValueId v : old.outputs) need(v);
    for (ValueId v = 0; v < options.read.size(); ++v)
        if (options.read[v]) need(v);
    if (!wants(SimplifyWhat::kDeadCode)) std::ranges::fill(needed, uint8_t{1});
    for (NodeId id = static_cast<NodeId>(old.nodes.size()); id-- > 0;) {
        const Node& n = old.nodes[id];
        // A check that fails on bad values is wanted even when nobody reads its result.
        if (op_def(n.op).checks_values) needed[id] = 1;
        if (needed[id])
            for (ValueId v : old.in(n)) need(v);
    }

    Graph fresh;
    fresh.reserve_as(old);
    std::vector<ValueId> to(old.values.size(), kNone);
    for (ValueId v : old.inputs) to[v] = fresh.add_input(old.meta(v));
    // Equal constants of the rewriting are one scalar.
    std::vector<ScalarSource> scalars;
    std::map<std::array<int64_t, 5>, ValueId> constants;
    for (size_t i = 0; i < old.scalars.size(); ++i) {
        const ValueId v = old.scalars[i];
        const ScalarSource& source = program.scalars[i];
        const Meta& m = old.meta(v);
        std::array<int64_t, 5> key{static_cast<int64_t>(m.dtype), source.slot, 0, 0,
                                   m.device.backend * 256 + m.device.index};
        if (source.slot < 0) {
            key[2] = source.constant.i;
            key[3] = static_cast<int64_t>(source.constant.kind);
        }
        if (!common) key[4] += static_cast<int64_t>(i + 1) << 32;  // each stays by itself
        const auto [it, is_new] = constants.emplace(key, kNone);
        if (is_new) {
            it->second = fresh.add_scalar(m.dtype, m.device);
            scalars.push_back(source);
        }
        to[v] = it->second;
    }

    Seen seen(old.nodes.size());
    for (NodeId id = 0; id < old.nodes.size(); ++id) {
        const Node& n = old.nodes[id];
        if (!needed[id]) continue;
        const OpDef& def = op_def(n.op);
        if (identities && !is_open(id) && does_nothing(old, n)) {
            to[n.first_out] = to[same[old.in(n)[0]]];
            continue;
        }
        SmallVec<ValueId, 8> in;
        for (ValueId v : old.in(n)) in.push_back(to[same[v]]);
        uint64_t h = mix(n.op, n.n_attrs);
        for (ValueId v : in) h = mix(h, v);
        for (int64_t word : old.attr(n)) h = mix(h, static_cast<uint64_t>(word));
        NodeId same = kNone;
        if (def.pure && common) {
            same = seen.find_or_add(h, static_cast<NodeId>(fresh.nodes.size()), [&](NodeId other) {
                const Node& c = fresh.nodes[other];
                return c.op == n.op &&
                       fresh.meta(c.first_out).device == old.meta(n.first_out).device &&
                       std::ranges::equal(fresh.in(c), std::span<const ValueId>(in)) &&
                       std::ranges::equal(fresh.attr(c), old.attr(n)) &&
                       (!is_open(id) || options.same_open(c.origin, id));
            });
        }
        if (same != kNone) {
            for (uint32_t k = 0; k < n.n_out; ++k)
                to[n.first_out + k] = fresh.nodes[same].first_out + k;
            continue;
        }
        const ValueId first = fresh.take_node(old, n, in);
        for (uint32_t k = 0; k < n.n_out; ++k) to[n.first_out + k] = first + k;
    }
    for (ValueId v : old.outputs) fresh.outputs.push_back(to[same[v]]);
    if (options.moved) {
        options.moved->resize(old.values.size());
        for (ValueId v = 0; v < old.values.size(); ++v) (*options.moved)[v] = to[same[v]];
    }
    program.graph = std::move(fresh);
    program.scalars = std::move(scalars);
}

}  // namespace sn
