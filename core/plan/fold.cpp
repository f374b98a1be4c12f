#include <numeric>

#include "op/op.h"
#include "plan/run.h"

namespace sn {

namespace {

// Larger results are made anew by each run: a plan must not hold much memory.
constexpr int64_t kMostBytes = 64 << 10;

int64_t bytes_of(const Meta& m) {
    return numel(m.shape) * static_cast<int64_t>(dtype_size(m.dtype));
}

// By value: known when the graph is planned. Runtime numbers are not, whatever they are today.
std::vector<uint8_t> find_constants(const Program& p, std::span<const uint8_t> open_nodes) {
    const Graph& g = p.graph;
    std::vector<uint8_t> known(g.values.size(), 0);
    for (size_t i = 0; i < g.scalars.size(); ++i) known[g.scalars[i]] = p.scalars[i].slot < 0;
    for (NodeId id = 0; id < g.nodes.size(); ++id) {
        const Node& n = g.nodes[id];
        const OpDef& def = op_def(n.op);
        // Views cost nothing as they are, and what is folded is stored row-major.
        bool folds = n.n_in > 0 && def.pure && !def.checks_values && !def.view &&
                     def.layout != Layout::kChannelsLast &&
                     !(id < open_nodes.size() && open_nodes[id]);
        for (ValueId v : g.in(n)) folds &= known[v] != 0;
        for (uint32_t k = 0; k < n.n_out; ++k)
            folds &= bytes_of(g.meta(n.first_out + k)) <= kMostBytes;
        for (uint32_t k = 0; k < n.n_out; ++k) known[n.first_out + k] = folds;
    }
    return known;
}

// Runs a graph whose only inputs are numbers.
std::vector<BufferRef> evaluate(const Graph& graph, std::vector<Scalar> numbers) {
    WindowRun run;
    run.plan = build_plan(graph, {}, {});
    for (const ScalarSource& s : run.plan->scalars)
        run.scalars.push_back(s.slot >= 0 ? numbers[static_cast<size_t>(s.slot)] : s.constant);
    std::vector<BufferRef> made(run.plan->buffers.size());
    for (size_t k = 0; k < run.plan->outputs.size(); ++k) {
        const PlanOutput& o = run.plan->outputs[k];
        SN_CHECK(o.slot.offset == 0 && o.slot.terms.empty() &&
                 is_contiguous(graph.meta(graph.outputs[k]).shape, o.strides));
        BufferRef& buffer = made[o.slot.buffer];
        if (!buffer)
            buffer = Buffer::pending(device_allocator(run.plan->device),
                                     run.plan->buffers[o.slot.buffer].bytes);
        run.outputs.push_back(buffer);
    }
    RunState state;
    run.execute(state, nullptr);
    if (run.failure) std::rethrow_exception(run.failure);
    return std::move(run.outputs);
}

}  // namespace

std::vector<BufferRef> fold(Program& program, std::span<const uint8_t> open_nodes,
                            std::span<const uint8_t> needed_values, std::vector<ValueId>* moved) {
    const Graph& g = program.graph;
    if (moved) {
        moved->resize(g.values.size());
        std::iota(moved->begin(), moved->end(), 0);
    }
    const std::vector<uint8_t> known = find_constants(program, open_nodes);
    // What other nodes read of the constants; a result that lives on is computed by every run.
    std::vector<uint8_t> read(g.values.size(), 0);
    for (const Node& n : g.nodes) {
        if (known[n.first_out]) continue;
        for (ValueId v : g.in(n)) read[v] = known[v] && g.producer(v) != kNone;
    }
    Graph constants;
    std::vector<Scalar> numbers;
    std::vector<ValueId> inside(g.values.size(), kNone);
    const auto bind = [&](ValueId v) {
        if (inside[v] == kNone) {
            inside[v] = constants.add_scalar(g.meta(v).dtype, g.meta(v).device);
            numbers.push_back(program.scalars[g.values[v].source].constant);
        }
        return inside[v];
    };
    std::vector<uint8_t> needed = read;
    for (NodeId id = static_cast<NodeId>(g.nodes.size()); id-- > 0;) {
        const Node& n = g.nodes[id];
        bool wanted = false;
        for (uint32_t k = 0; k < n.n_out; ++k) wanted |= needed[n.first_out + k];
        if (wanted && known[n.first_out])
            for (ValueId v : g.in(n)) needed[v] = 1;
    }
    std::vector<ValueId> folded;
    for (const Node& n : g.nodes) {
        bool wanted = false;
        for (uint32_t k = 0; k < n.n_out; ++k) wanted |= needed[n.first_out + k];
        if (!wanted || !known[n.first_out]) continue;
        std::vector<ValueId> in;
        std::vector<Meta> out;
        for (ValueId v : g.in(n)) in.push_back(bind(v));
        for (uint32_t k = 0; k < n.n_out; ++k) out.push_back(g.meta(n.first_out + k));
        const ValueId first = constants.add_node(n.op, in, g.attr(n), out, 0);
        for (uint32_t k = 0; k < n.n_out; ++k) {
            inside[n.first_out + k] = first + k;
            if (!read[n.first_out + k]) continue;
            constants.outputs.push_back(first + k);
            folded.push_back(n.first_out + k);
        }
    }
    if (folded.empty()) return {};
    std::vector<BufferRef> buffers = evaluate(constants, std::move(numbers));
    // What is still needed when others read the results.
    std::vector<uint8_t> made(g.values.size(), 0);
    for (ValueId v : folded) made[v] = 1;
    std::vector<uint8_t> alive(g.values.size(), 0);
    for (ValueId v : g.outputs) alive[v] = 1;
    for (ValueId v = 0; v < needed_values.size(); ++v) alive[v] |= needed_values[v];
    std::vector<uint8_t> kept(g.nodes.size(), 0);
    for (NodeId id = static_cast<NodeId>(g.nodes.size()); id-- > 0;) {
        const Node& n = g.nodes[id];
        kept[id] = op_def(n.op).checks_values;
        for (uint32_t k = 0; k < n.n_out; ++k) kept[id] |= alive[n.first_out + k];
        if (!kept[id]) continue;
        // A constant that lives on stays a node, with what it is made of.
        for (ValueId v : g.in(n)) alive[v] |= known[n.first_out] || !made[v];
    }
    Graph fresh;
    fresh.reserve_as(g);
    std::vector<ValueId> to(g.values.size(), kNone);
    for (ValueId v : g.inputs) to[v] = fresh.add_input(g.meta(v));
    for (ValueId v : g.scalars) to[v] = fresh.add_scalar(g.meta(v).dtype, g.meta(v).device);
    std::vector<ValueId> stand_in = to;
    for (ValueId v : folded) stand_in[v] = fresh.add_input(g.meta(v));
    std::vector<ValueId> in;
    for (NodeId id = 0; id < g.nodes.size(); ++id) {
        if (!kept[id]) continue;
        const Node& n = g.nodes[id];
        in.clear();
        for (ValueId v : g.in(n)) in.push_back(known[n.first_out] ? to[v] : stand_in[v]);
        const ValueId first = fresh.take_node(g, n, in);
        for (uint32_t k = 0; k < n.n_out; ++k) {
            to[n.first_out + k] = first + k;
            if (stand_in[n.first_out + k] == kNone) stand_in[n.first_out + k] = first + k;
        }
    }
    for (ValueId v : g.outputs) fresh.outputs.push_back(to[v]);
    if (moved)
        for (ValueId v = 0; v < g.values.size(); ++v)
            (*moved)[v] = to[v] != kNone ? to[v] : stand_in[v];
    program.graph = std::move(fresh);
    return buffers;
}

}  // namespace sn
