// The passes that a graph can be asked for one by one (Graph.optimize). Those that do not depend on
// sizes leave open ones open.
#include <algorithm>

#include "op/api.h"
#include "op/op.h"
#include "record/read.h"
#include "runtime/control.h"
#include "runtime/model.h"

namespace sn {

namespace {

Program program_of(const Model& model) {
    Program p;
    p.graph = model.graph;
    for (size_t i = 0; i < model.numbers.size(); ++i) {
        const ModelNumber& n = model.numbers[i];
        p.scalars.push_back(
            {n.role == NumberRole::kConstant ? -1 : static_cast<int32_t>(i), n.value});
    }
    return p;
}

// What is open in a graph, for passes that look at shapes.
struct Open {
    explicit Open(const Model& model) : model_(model), nodes(model.graph.nodes.size(), 0) {
        if (model.sizes.empty()) return;
        const Graph& g = model.graph;
        std::vector<uint8_t> values(g.values.size(), 0);
        for (const OpenDim& d : model.open_dims) values[g.inputs[d.input]] = 1;
        for (const OpenShape& s : model.open_shapes)
            values[g.nodes[s.node].first_out + s.output] = 1;
        for (const OpenWord& w : model.open_words) nodes[w.node] = 1;
        for (NodeId id = 0; id < g.nodes.size(); ++id) {
            for (ValueId v : g.in(g.nodes[id])) nodes[id] |= values[v];
            for (uint32_t k = 0; k < g.nodes[id].n_out; ++k)
                nodes[id] |= values[g.nodes[id].first_out + k];
        }
        read.assign(g.values.size(), 0);
        const auto see = [&](const SizeExpr& e) {
            for (const SizeTerm& term : e.terms)
                for (const SizeFactor& f : term.factors)
                    if (f.open == kNone) read[f.value] = 1;
        };
        for (const OpenWord& w : model.open_words) see(w.size);
        for (const ModelNumber& n : model.numbers) see(n.size);
    }
    // Whether the open attributes of two nodes are the same.
    bool same_words(NodeId a, NodeId b) const {
        const auto of = [&](NodeId id) {
            return std::ranges::equal_range(model_.open_words, id, {}, &OpenWord::node);
        };
        return std::ranges::equal(of(a), of(b), [](const OpenWord& x, const OpenWord& y) {
            return x.word == y.word && x.size == y.size;
        });
    }

    const Model& model_;
    std::vector<uint8_t> nodes;  // by node: a shape or an attribute follows from open sizes
    std::vector<uint8_t> read;   // by value: an expression reads a size of it
};

// `moved`: by value of the former graph, the value that it has become.
Model rewritten(const Model& model, Program p, const std::vector<ValueId>& moved) {
    Model m;
    m.blocks = model.blocks;
    m.inputs = model.inputs;
    m.draws = model.draws;
    m.updates = model.updates;
    m.signature = model.signature;
    for (const ScalarSource& s : p.scalars) {
        if (s.slot >= 0)
            m.numbers.push_back(model.numbers[static_cast<size_t>(s.slot)]);
        else
            m.numbers.push_back({s.constant, NumberRole::kConstant});
    }
    const auto expression = [&](SizeExpr e) {
        for (SizeTerm& term : e.terms)
            for (SizeFactor& f : term.factors)
                if (f.open == kNone) f.value = moved[f.value];
        return e;
    };
    m.sizes = model.sizes;
    m.open_dims = model.open_dims;
    m.open_inputs = model.open_inputs;
    m.conditions = model.conditions;
    if (!model.sizes.empty())
        for (ModelNumber& n : m.numbers) n.size = expression(n.size);
    for (NodeId id = 0; id < p.graph.nodes.size(); ++id) {
        uint32_t& origin = p.graph.nodes[id].origin;
        m.sites.push_back(origin < model.sites.size() ? model.sites[origin] : 0);
        for (const OpenWord& w :
             std::ranges::equal_range(model.open_words, origin, {}, &OpenWord::node))
            m.open_words.push_back({id, w.word, expression(w.size)});
        for (const OpenShape& s :
             std::ranges::equal_range(model.open_shapes, origin, {}, &OpenShape::node))
            m.open_shapes.push_back({id, s.output, s.axis, expression(s.size)});
        origin = id;
    }
    m.taped.assign(p.graph.nodes.size(), 0);
    m.graph = std::move(p.graph);
    return m;
}

Model lower_pass(const Model& model, std::vector<Tensor>*) {
    require_fixed(model, "optimize");
    return rewritten(model, lower(model.graph), {});
}

Model simplified(const Model& model, SimplifyWhat what) {
    Program p = program_of(model);
    const Open open(model);
    std::vector<ValueId> moved;
    const auto same = [&](NodeId a, NodeId b) { return open.same_words(a, b); };
    SimplifyOptions options{what, open.nodes, open.read, same, &moved};
    simplify(p, options);
    return rewritten(model, std::move(p), moved);
}

Model simplify_pass(const Model& model, std::vector<Tensor>*) {
    return simplified(model, SimplifyWhat::kAll);
}
Model dead_code_pass(const Model& model, std::vector<Tensor>*) {
    return simplified(model, SimplifyWhat::kDeadCode);
}
Model common_pass(const Model& model, std::vector<Tensor>*) {
    return simplified(model, SimplifyWhat::kCommon);
}
Model identities_pass(const Model& model, std::vector<Tensor>*) {
    return simplified(model, SimplifyWhat::kIdentities);
}

Model fold_pass(const Model& model, std::vector<Tensor>* constants) {
    Program p = program_of(model);
    const Open open(model);
    std::vector<ValueId> moved;
    const std::vector<BufferRef> buffers = fold(p, open.nodes, open.read, &moved);
    const Graph& g = p.graph;
    const size_t before = model.graph.inputs.size();
    std::vector<Tensor> folded;
    for (size_t i = 0; i < buffers.size(); ++i) {
        const Meta& meta = g.meta(g.inputs[before + i]);
        folded.push_back(from_buffer(buffers[i], 0, meta.shape, contiguous_strides(meta.shape),
                                     meta.dtype, meta.device));
    }
    Model m = rewritten(model, std::move(p), moved);
    for (const Tensor& t : folded) add_constant(m, t, constants);
    return m;
}

// ---- recomputation

// Smaller values are not worth a second computation, and a value must be kept for so many nodes
// that are not interested in it.
constexpr int64_t kLeastKept = 16 << 10;
constexpr NodeId kLeastGap = 8;

int64_t bytes_of(const Meta& m) {
    return numel(m.shape) * static_cast<int64_t>(dtype_size(m.dtype));
}

// A value that is computed again for its late users.
struct Again {
    NodeId node = 0;
    NodeId late = kNone;    // the first of the late users
    ValueId after = kNone;  // a value that is there shortly before
};

// Elementwise results that are kept over a long time although everything that they are made of is
// kept, too.
std::vector<Again> find_again(const Graph& g) {
    std::vector<std::vector<NodeId>> users(g.values.size());
    for (NodeId id = 0; id < g.nodes.size(); ++id)
        for (ValueId v : g.in(g.nodes[id]))
            if (users[v].empty() || users[v].back() != id) users[v].push_back(id);
    std::vector<uint8_t> lives_on(g.values.size(), 0);
    for (ValueId v : g.outputs) lives_on[v] = 1;
    std::vector<Again> found;
    for (NodeId id = 0; id < g.nodes.size(); ++id) {
        const Node& n = g.nodes[id];
        const OpDef& def = op_def(n.op);
        if (!(def.tile_op >= 0 || def.cast) || !def.pure || def.draws || n.n_out != 1) continue;
        const ValueId v = n.first_out;
        const int64_t bytes = bytes_of(g.meta(v));
        if (lives_on[v] || bytes < kLeastKept || users[v].size() < 2) continue;
        size_t late = 0;
        NodeId gap = 0;
        for (size_t k = 1; k < users[v].size(); ++k) {
            if (users[v][k] - users[v][k - 1] <= gap) continue;
            gap = users[v][k] - users[v][k - 1];
            late = k;
        }
        if (gap < kLeastGap) continue;
        const NodeId first = users[v][late];
        bool kept = false, all = true;
        for (ValueId u : g.in(n)) {
            const ValueInfo& info = g.values[u];
            if (info.kind == ValueKind::kScalar) continue;
            const bool stays = info.kind == ValueKind::kInput || lives_on[u] ||
                               (!users[u].empty() && users[u].back() >= first);
            all &= stays || bytes_of(info.meta) * 8 <= bytes;
            kept = true;
        }
        if (!all || !kept) continue;
        // What was computed last before: only then is it time.
        NodeId last = first - 1;
        while (last > users[v][late - 1] && op_def(g.nodes[last].op).view) --last;
        if (last > users[v][late - 1]) found.push_back({id, first, g.nodes[last].first_out});
    }
    return found;
}

// Cheap values are computed again where they are read much later, if a call takes less memory then.
Model recompute_pass(const Model& model, std::vector<Tensor>*) {
    require_fixed(model, "optimize");
    const Graph& g = model.graph;
    const std::vector<Again> list = find_again(g);
    if (list.empty() || !model.blocks.empty()) return model;  // control flow has no plan
    static const OpId barrier = find_op("barrier");
    Program p = program_of(model);
    Graph fresh;
    fresh.reserve_as(g);
    std::vector<ValueId> to(g.values.size(), kNone);
    for (ValueId v : g.inputs) to[v] = fresh.add_input(g.meta(v));
    for (ValueId v : g.scalars) to[v] = fresh.add_scalar(g.meta(v).dtype, g.meta(v).device);
    std::vector<ValueId> in;
    for (NodeId id = 0; id < g.nodes.size(); ++id) {
        for (const Again& a : list) {
            if (a.late != id) continue;
            const Node& n = g.nodes[a.node];
            in.clear();
            bool held = false;  // one operand that waits is enough
            for (ValueId u : g.in(n)) {
                ValueId x = to[u];
                if (!held && g.values[u].kind != ValueKind::kScalar) {
                    const ValueId pair[] = {x, to[a.after]};
                    x = fresh.add_node(barrier, pair, {}, {&g.meta(u), 1}, a.node);
                    // For all who come after it: else what they need would be computed, and kept,
                    // when the value is computed for the first time (a slope beside an activation).
                    to[u] = x;
                    held = true;
                }
                in.push_back(x);
            }
            const ValueId made = fresh.take_node(g, n, in);
            fresh.nodes.back().origin = a.node;
            to[n.first_out] = made;  // for this user, and those after it
        }
        in.clear();
        for (ValueId v : g.in(g.nodes[id])) in.push_back(to[v]);
        const ValueId first = fresh.take_node(g, g.nodes[id], in);
        for (uint32_t k = 0; k < g.nodes[id].n_out; ++k) to[g.nodes[id].first_out + k] = first + k;
    }
    for (ValueId v : g.outputs) fresh.outputs.push_back(to[v]);
    p.graph = std::move(fresh);
    Model made = rewritten(model, std::move(p), to);
    return plan_of(made)->arena_bytes < plan_of(model)->arena_bytes ? made : model;
}

struct GraphPass {
    const char* name;
    Model (*apply)(const Model&, std::vector<Tensor>*);
};
constexpr GraphPass kPasses[] = {
    {"simplify", simplify_pass},
    {"dead_code", dead_code_pass},
    {"common_subexpressions", common_pass},
    {"identities", identities_pass},
    {"fold", fold_pass},
    {"lower", lower_pass},
    {"recompute", recompute_pass},
};

}  // namespace

Model apply_pass(const Model& model, std::string_view pass, std::vector<Tensor>* constants) {
    std::string known;
    for (size_t i = 0; i < std::size(kPasses); ++i) {
        if (pass == kPasses[i].name) {
            Model m = kPasses[i].apply(model, constants);
            const std::string broken = verify(m.graph);
            if (!broken.empty())
                fail(ErrorKind::kInternal, "optimize", "after %s: %s", kPasses[i].name,
                     broken.c_str());
            // Blocks have no constants, in whose place folded values could stand; and where sizes
            // are open, theirs are those of the graph around them.
            if (kPasses[i].apply != fold_pass && model.sizes.empty())
                for (BlockRef& block : m.blocks)
                    block = std::make_shared<const Model>(apply_pass(*block, pass, nullptr));
            return m;
        }
        known += std::string(i ? ", " : "") + kPasses[i].name;
    }
    fail(ErrorKind::kValue, "optimize", "there is no pass '%.*s'; the passes are %s",
         static_cast<int>(pass.size()), pass.data(), known.c_str());
}

}  // namespace sn
