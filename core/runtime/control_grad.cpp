// Gradients of control nodes in a trace, which are control nodes: of a branch, the branch of the
// gradients; of a scan, the scan backwards over the carries that it has kept. A while loop is
// differentiated as a scan of its most steps.
#include <algorithm>

#include "op/api.h"
#include "record/tape.h"
#include "runtime/control.h"

#if !defined(SN_RUNTIME)

namespace sn {

namespace {

// What is added to the first gradient that arrives, and changes no bit of it.
Tensor nothing(const Meta& m) { return full(m.shape, Tensor(-0.0), m.dtype, m.device); }

std::vector<Meta> metas_of(std::span<const Tensor> tensors) {
    std::vector<Meta> types;
    for (const Tensor& t : tensors) types.push_back(t.value()->meta);
    return types;
}

struct GradMode {
    bool before = grad_enabled();
    explicit GradMode(bool mode) { set_grad_enabled(mode); }
    ~GradMode() { set_grad_enabled(before); }
};

// Which operands gradients are wanted for; several that are one tensor share a target.
struct Targets {
    std::vector<int> of;          // by operand: the target, or -1
    std::vector<size_t> first;    // by target: its first operand
    std::vector<uint8_t> seeded;  // by target: begins with what has arrived so far

    void add(size_t operand, int with = -1, bool seed = false) {
        if (with < 0) {
            with = static_cast<int>(first.size());
            first.push_back(operand);
            seeded.push_back(seed);
        }
        of[operand] = with;
    }
};

// What has arrived at a seeded target is part of its total, so that sums keep their order.
Tensor taken(GradCall& g, size_t operand) {
    const Tensor arrived = g.arrived(static_cast<int>(operand));
    if (!arrived) return nothing(g.in_meta(static_cast<int>(operand)));
    const GradInput& slot = g.node.inputs[operand];
    slot.node->outputs[slot.output].pending = Tensor();
    return arrived;
}

// The gradient of a block, as a block: of its operands, the gradients of results `live`, and what
// has arrived at seeded targets. `again`: it is differentiable itself.
struct Vjp {
    const Model& block;
    const Targets& targets;
    std::span<const size_t> live;
    bool again;

    Model make(std::span<const Meta> in) const;
};

Model Vjp::make(std::span<const Meta> in) const {
    Trace trace(Randomness::kSame);
    std::vector<Tensor> given, leaves, roots, seeds, totals, incoming;
    for (const Meta& m : in) given.push_back(trace.placeholder(m));
    for (size_t k : live)
        incoming.push_back(trace.placeholder(block.graph.meta(block.graph.outputs[k])));
    std::vector<Tensor> arrived(targets.first.size());
    for (size_t t = 0; t < arrived.size(); ++t)
        if (targets.seeded[t]) arrived[t] = trace.placeholder(in[targets.first[t]]);
    {
        const RecordInto scope(trace);
        const GradMode on(true);
        for (size_t operand : targets.first) leaves.push_back(relay(given[operand]));
        for (size_t i = 0; i < given.size(); ++i)
            if (targets.of[i] >= 0) given[i] = leaves[static_cast<size_t>(targets.of[i])];
        RandomState random{0, trace.first_draw()};
        const std::vector<Tensor> made = call_block(block, given, {}, random);
        for (size_t t = 0; t < leaves.size(); ++t) {
            if (!arrived[t]) continue;
            roots.push_back(leaves[t]);
            seeds.push_back(arrived[t]);
        }
        for (size_t k = 0; k < live.size(); ++k) {
            if (!made[live[k]].requires_grad()) continue;
            roots.push_back(made[live[k]]);
            seeds.push_back(incoming[k]);
        }
        BackwardOptions options;
        options.create_graph = again;
        options.accumulate = false;
        options.targets = leaves;
        totals.resize(leaves.size());
        if (!roots.empty() && !leaves.empty()) totals = backward(roots, seeds, options);
        const NoGrad no_grad;
        for (size_t t = 0; t < totals.size(); ++t)
            if (!totals[t]) totals[t] = nothing(in[targets.first[t]]);
    }
    return block_of(trace, totals);
}

Trace& trace_here(const char* op) {
    if (Trace* trace = current_trace()) return *trace;
    fail(ErrorKind::kGrad, op,
         "the gradient of a traced '%s' is asked for after its trace has ended; compute it inside "
         "of the traced function",
         op);
}

void check_draws(const Control& c) {
    if (!draws(c)) return;
    fail(ErrorKind::kGrad, c.name(),
         "a function that '%s' calls draws random numbers (dropout, sn.random), and the gradient "
         "in a trace cannot draw them again; draw them outside and pass them as operands, or "
         "differentiate outside of the trace",
         c.name());
}

bool wants(const GradCall& g, size_t i) {
    return g.needs(static_cast<int>(i)) && is_inexact(g.in_meta(static_cast<int>(i)).dtype);
}

// A target that has one already: the same tensor.
int same_operand(const GradCall& g, const Targets& targets, size_t shift, size_t i) {
    const GradInput& mine = g.node.inputs[i + shift];
    for (size_t t = 0; t < targets.first.size(); ++t) {
        const GradInput& other = g.node.inputs[targets.first[t] + shift];
        if (targets.seeded[t] && other.node.get() == mine.node.get() && other.output == mine.output)
            return static_cast<int>(t);
    }
    return -1;
}

void cond_gradient(const Control& c, GradCall& g) {
    check_draws(c);
    const auto n = static_cast<size_t>(g.n_in());
    std::vector<Tensor> in;
    for (size_t i = 0; i < n; ++i) in.push_back(g.in(static_cast<int>(i)));
    const std::vector<Meta> types = metas_of(std::span(in).subspan(1));
    Targets targets;
    targets.of.assign(n - 1, -1);
    for (size_t i = 1; i < n; ++i)
        if (wants(g, i)) targets.add(i - 1, same_operand(g, targets, 1, i - 1), true);
    std::vector<size_t> live;
    for (size_t k = 0; k < g.out_grads.size(); ++k) {
        if (!g.has_grad(static_cast<int>(k))) continue;
        live.push_back(k);
        in.push_back(g.grad(static_cast<int>(k)));
    }
    for (size_t operand : targets.first) in.push_back(taken(g, operand + 1));
    Control made;
    made.kind = ControlKind::kCond;
    for (const BlockRef& block : c.blocks)
        made.blocks.push_back(
            std::make_shared<const Model>(Vjp{*block, targets, live, grad_enabled()}.make(types)));
    const std::vector<Tensor> totals = record_control(trace_here(c.name()), std::move(made), in);
    for (size_t t = 0; t < targets.first.size(); ++t)
        g.set(static_cast<int>(targets.first[t]) + 1, totals[t]);
}

// The results of a scan from `saved` on are the carries before each step.
void scan_gradient(const Control& c, size_t saved, GradCall& g) {
    check_draws(c);
    const auto n = static_cast<size_t>(g.n_in()), carries = static_cast<size_t>(c.carries),
               xs = static_cast<size_t>(c.xs);
    const Model& body = *c.blocks[0];
    std::vector<Meta> types;
    for (size_t i = 0; i < n; ++i) types.push_back(g.in_meta(static_cast<int>(i)));
    types = c.block_inputs(types);
    Targets targets;
    targets.of.assign(n, -1);
    std::vector<Tensor> first, rows, rest;  // operands: carries, rows, others
    std::vector<size_t> live;
    // Gradients of results arrive before those of the next step, as they do line by line.
    for (size_t k = carries; k < g.out_grads.size(); ++k)
        if (g.has_grad(static_cast<int>(k))) live.push_back(k);
    const size_t results = live.size();
    for (size_t j = 0; j < carries; ++j) {
        if (!is_inexact(types[j].dtype)) continue;
        targets.add(j);
        live.push_back(j);
        first.push_back(g.has_grad(static_cast<int>(j)) ? g.grad(static_cast<int>(j))
                                                        : nothing(types[j]));
    }
    const size_t carried = first.size();
    for (size_t i = carries + xs; i < n; ++i)
        if (wants(g, i)) targets.add(i, same_operand(g, targets, 0, i), true);
    const size_t summed = targets.first.size();
    for (size_t i = carries; i < carries + xs; ++i)
        if (wants(g, i)) targets.add(i);
    for (size_t t = carried; t < summed; ++t) first.push_back(taken(g, targets.first[t]));
    for (size_t j = 0; j < carries; ++j) rows.push_back(g.out(static_cast<int>(saved + j)));
    for (size_t i = carries; i < carries + xs; ++i) rows.push_back(g.in(static_cast<int>(i)));
    for (size_t k = 0; k < results; ++k) rows.push_back(g.grad(static_cast<int>(live[k])));
    for (size_t i = carries + xs; i < n; ++i) rest.push_back(g.in(static_cast<int>(i)));

    // The block of the gradient takes (operands, gradients, what has arrived); the scan calls it
    // with (gradients of carries, sums), (carries, rows, gradients of results), (others).
    Model block = Vjp{body, targets, live, grad_enabled()}.make(types);
    std::vector<ValueId> order;
    const std::vector<ValueId>& old = block.graph.inputs;
    const size_t incoming = n;  // then the gradients, by `live`; then what has arrived
    for (size_t k = results; k < live.size(); ++k) order.push_back(old[incoming + k]);
    for (size_t t = incoming + live.size(); t < old.size(); ++t) order.push_back(old[t]);
    for (size_t i = 0; i < carries + xs; ++i) order.push_back(old[i]);
    for (size_t k = 0; k < results; ++k) order.push_back(old[incoming + k]);
    for (size_t i = carries + xs; i < n; ++i) order.push_back(old[i]);
    SN_CHECK(order.size() == old.size());
    block.graph.inputs = std::move(order);
    for (uint32_t i = 0; i < block.graph.inputs.size(); ++i)
        block.graph.values[block.graph.inputs[i]].source = i;

    Control made;
    made.kind = ControlKind::kScan;
    made.blocks = {std::make_shared<const Model>(std::move(block))};
    made.carries = static_cast<int64_t>(first.size());
    made.xs = static_cast<int64_t>(rows.size());
    made.length = c.length;
    made.reverse = !c.reverse;
    std::vector<Tensor> in = std::move(first);
    in.insert(in.end(), rows.begin(), rows.end());
    in.insert(in.end(), rest.begin(), rest.end());
    const std::vector<Tensor> totals = record_control(trace_here(c.name()), std::move(made), in);
    for (size_t t = 0; t < targets.first.size(); ++t)
        if (g.needs(static_cast<int>(targets.first[t])))
            g.set(static_cast<int>(targets.first[t]), totals[t]);
}

// Puts the results of a node on the tape; those from `saved` on are kept for the gradient.
void put_on_tape(const Control& c, std::span<const Tensor> in, std::span<Tensor> out, size_t saved,
                 std::function<void(GradCall&)> gradient) {
    Ref<GradNode> node(GradNode::make(static_cast<int>(in.size()), static_cast<int>(out.size())));
    for (size_t i = 0; i < in.size(); ++i)
        node->inputs[i] = {in[i].node(), in[i].output(), in[i].value(), in[i].value()->meta};
    node->site = current_site();
    node->extra = std::make_unique<GradExtra>();
    node->extra->name = c.name();
    node->extra->backward = std::move(gradient);
    for (size_t k = 0; k < out.size(); ++k) {
        node->outputs[k].meta = out[k].value()->meta;
        if (k >= saved) node->outputs[k].saved = out[k].value();
        if (is_inexact(out[k].dtype()))
            out[k] = Tensor(out[k].value(), node, static_cast<uint32_t>(k));
    }
}

// A loop of at most max_steps as a scan whose steps do nothing when it is over.
Control as_scan(const Control& c, std::span<const Meta> types) {
    const size_t carries = c.carried();
    Control choice, scan;
    choice.kind = ControlKind::kCond;
    {
        Trace same(Randomness::kSame);
        std::vector<Tensor> in;
        for (const Meta& m : types) in.push_back(same.placeholder(m));
        in.resize(carries);
        choice.blocks = {c.blocks[1], std::make_shared<const Model>(block_of(same, in))};
    }
    Trace trace(Randomness::kSame);
    std::vector<Tensor> in, out;
    for (const Meta& m : types) in.push_back(trace.placeholder(m));
    {
        const RecordInto scope(trace);
        RandomState random{0, trace.first_draw()};
        std::vector<Tensor> operands = call_block(*c.blocks[0], in, {}, random);
        operands.insert(operands.end(), in.begin(), in.end());
        out = append_control(trace, choice, operands);
    }
    scan.kind = ControlKind::kScan;
    scan.blocks = {std::make_shared<const Model>(block_of(trace, out))};
    scan.carries = static_cast<int64_t>(carries);
    scan.length = c.max_steps;
    scan.draw = c.draw;
    return scan;
}

}  // namespace

std::vector<Tensor> record_differentiable(Trace& trace, const Control& c,
                                          std::span<const Tensor> given) {
    std::vector<Tensor> in;
    for (const Tensor& t : given)
        in.push_back(t.is_scalar() ? full({}, t, t.dtype(), t.device()) : t);
    if (c.kind == ControlKind::kCond) {
        std::vector<Tensor> out = append_control(trace, c, in);
        put_on_tape(c, in, out, out.size(), [c](GradCall& g) { cond_gradient(c, g); });
        return out;
    }
    if (c.kind == ControlKind::kWhile) {
        const std::vector<Meta> types = metas_of(in);
        if (c.max_steps >= 0 && !draws(c)) {
            control_types(c, types);  // errors are of the loop
            return record_differentiable(trace, as_scan(c, types), in);
        }
        std::vector<Tensor> out = append_control(trace, c, in);
        put_on_tape(c, in, out, out.size(), [c](GradCall&) {
            check_draws(c);
            fail(ErrorKind::kGrad, "while_loop",
                 "a gradient through a loop in a trace needs the carries of all steps, and nothing "
                 "says how many there are at most; give max_steps=..., or use sn.scan");
        });
        return out;
    }
    Control kept = c;
    Model body = *c.blocks[0];
    for (size_t j = 0; j < static_cast<size_t>(c.carries); ++j)
        body.graph.outputs.push_back(body.graph.inputs[j]);
    const size_t saved = c.blocks[0]->graph.outputs.size();
    kept.blocks[0] = std::make_shared<const Model>(std::move(body));
    std::vector<Tensor> out = append_control(trace, kept, in);
    put_on_tape(kept, in, out, saved,
                [kept, saved](GradCall& g) { scan_gradient(kept, saved, g); });
    return out;
}

}  // namespace sn

#endif
