// Control nodes for a batch of examples (sn.vmap): every example gets the bits that it has alone.
//
// A condition that all examples share decides for all. Where it differs, both branches are
// computed and one is chosen for each example, and a loop goes on until the last example is done.
// An example that does not take a branch (or is done) is computed there with the operands of one
// that does: what its own would give (infinities, errors) must reach neither results nor gradients.
#include <algorithm>

#include "op/api.h"
#include "op/batching.h"
#include "record/tape.h"
#include "runtime/control.h"

#if !defined(SN_RUNTIME)

namespace sn {

namespace {

using Flags = std::vector<uint8_t>;

Flags flags_of(std::span<const Batched> tensors) {
    Flags flags;
    for (const Batched& b : tensors) flags.push_back(b.batched);
    return flags;
}

// With the batch in dimension 0, also where all examples share it.
Tensor spread(const Batched& b, int64_t size) {
    if (b.batched) return b.tensor;
    Dims shape = b.tensor.shape();
    shape.insert(0, size);
    return expand(unsqueeze(b.tensor, 0), shape);
}

// A value of each example beside one of more dimensions.
Tensor beside(const Tensor& per_example, const Tensor& x) {
    Dims shape(static_cast<size_t>(x.rank()), 1);
    shape[0] = x.size(0);
    return reshape(per_example, shape);
}

Tensor chosen(const Tensor& mask, const Tensor& yes, const Tensor& no) {
    return where(beside(mask, yes), yes, no);
}

// Examples that are not in the mask get what the first one in it has.
std::vector<Batched> only(const Tensor& mask, std::span<const Batched> in) {
    if (mask.numel() == 0) return {in.begin(), in.end()};
    const Tensor first = argmax(cast(mask, DType::kI32), 0, false);
    std::vector<Batched> made;
    for (const Batched& b : in) {
        if (!b.batched) {
            made.push_back(b);
            continue;
        }
        const Tensor other = unsqueeze(take(detached(b.tensor), first, 0), 0);
        made.push_back({chosen(mask, b.tensor, other), true});
    }
    return made;
}

Tensor any_of(const Tensor& mask) {
    const int64_t all[] = {0};
    return any(mask, all, false);
}

void call_for_all(const Model& m, NodeId id, std::span<const Batched> in, int64_t size,
                  std::vector<Batched>& values) {
    const Graph& g = m.graph;
    const Node& n = g.nodes[id];
    const OpDef& def = op_def(n.op);
    const SiteScope site(m.sites[id]);
    const struct Restore {
        bool mode = grad_enabled();
        ~Restore() { set_grad_enabled(mode); }
    } restore;
    set_grad_enabled(restore.mode && m.taped[id]);
    Attrs attrs;
    for (int64_t word : g.attr(n)) attrs.i(word);
    std::vector<Tensor> given, out(n.n_out);
    for (const Batched& b : in) given.push_back(b.tensor);
    const Flags flags = flags_of(in);
    if (is_control(def)) {
        const std::vector<Batched> made =
            control_for_all(control_of(n.op, attrs, m.blocks), in, size);
        for (uint32_t k = 0; k < n.n_out; ++k) values[n.first_out + k] = made[k];
        return;
    }
    const bool batched = std::ranges::any_of(flags, [](uint8_t f) { return f != 0; });
    if (batched) {
        BatchCall c{def, given, flags, attr_view(g, n), size, Randomness::kSame, out};
        call_batched(c, {&g.values[n.first_out], n.n_out});
    } else {
        record(n.op, given, attrs, out);
    }
    for (uint32_t k = 0; k < n.n_out; ++k)
        values[n.first_out + k] = {grad_enabled() ? out[k] : out[k].detach(), batched};
}

std::vector<Batched> block_for_all(const Model& m, std::span<const Batched> inputs, int64_t size) {
    const Graph& g = m.graph;
    std::vector<Batched> values(g.values.size());
    for (size_t i = 0; i < inputs.size(); ++i) values[g.inputs[i]] = inputs[i];
    for (size_t i = 0; i < g.scalars.size(); ++i)
        values[g.scalars[i]] = {Tensor(m.numbers[i].value), false};
    for (NodeId id = 0; id < g.nodes.size(); ++id) {
        std::vector<Batched> in;
        for (ValueId v : g.in(g.nodes[id])) in.push_back(values[v]);
        call_for_all(m, id, in, size, values);
    }
    std::vector<Batched> results;
    for (ValueId v : g.outputs) results.push_back(values[v]);
    return results;
}

Meta with_batch(Meta m, bool batched, int64_t size) {
    if (batched) m.shape.insert(0, size);
    return m;
}

// A block for all examples. `inputs`: types of one example; `flags`: which of them are batched.
// `make` computes the results in the trace of the block.
template <class Make>
Model traced_block(std::span<const Meta> inputs, const Flags& flags, int64_t size, Make make) {
    Trace trace(Randomness::kSame);
    std::vector<Batched> in;
    for (size_t i = 0; i < inputs.size(); ++i)
        in.push_back(
            {trace.placeholder(with_batch(inputs[i], flags[i] != 0, size)), flags[i] != 0});
    std::vector<Tensor> out;
    {
        const RecordInto scope(trace);
        out = make(in);
    }
    return block_of(trace, out);
}

std::vector<Tensor> tensors_of(std::span<const Batched> made, const Flags& spread_out,
                               int64_t size) {
    std::vector<Tensor> out;
    for (size_t k = 0; k < made.size(); ++k)
        out.push_back(spread_out[k] ? spread(made[k], size) : made[k].tensor);
    return out;
}

// Which results of a block differ between examples.
Flags results_of(const Model& block, std::span<const Meta> inputs, const Flags& flags,
                 int64_t size) {
    Flags found;
    traced_block(inputs, flags, size, [&](std::span<const Batched> in) {
        const std::vector<Batched> made = block_for_all(block, in, size);
        found = flags_of(made);
        return tensors_of(made, Flags(made.size(), 0), size);
    });
    return found;
}

BlockRef shared(Model block) { return std::make_shared<const Model>(std::move(block)); }

BlockRef block_with(const Model& block, std::span<const Meta> inputs, const Flags& flags,
                    const Flags& out, int64_t size) {
    return shared(traced_block(inputs, flags, size, [&](std::span<const Batched> in) {
        return tensors_of(block_for_all(block, in, size), out, size);
    }));
}

Flags either(Flags a, const Flags& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] |= b[i];
    return a;
}

std::vector<Tensor> called(const Control& c, std::span<const Tensor> in, size_t n_out) {
    NodeCalls calls{{}, random_state()};
    if (const Trace* trace = current_trace()) calls.random.counter = trace->first_draw();
    std::vector<Tensor> out(n_out);
    call_control(c, in, out, calls);
    return out;
}

std::vector<Batched> flagged(std::span<const Tensor> tensors, const Flags& flags) {
    std::vector<Batched> list;
    for (size_t i = 0; i < tensors.size(); ++i) list.push_back({tensors[i], flags[i] != 0});
    return list;
}

std::vector<Batched> cond_for_all(const Control& c, std::span<const Batched> in, int64_t size,
                                  std::span<const Meta> types) {
    const std::span<const Batched> given = in.subspan(1);
    const Flags flags = flags_of(given);
    const Model &yes = *c.blocks[0], &no = *c.blocks[1];
    Control made;
    made.kind = ControlKind::kCond;
    if (!in[0].batched) {
        const Flags out =
            either(results_of(yes, types, flags, size), results_of(no, types, flags, size));
        made.blocks = {block_with(yes, types, flags, out, size),
                       block_with(no, types, flags, out, size)};
        std::vector<Tensor> operands{in[0].tensor};
        for (const Batched& b : given) operands.push_back(b.tensor);
        return flagged(called(made, operands, out.size()), out);
    }
    const Tensor& mask = in[0].tensor;
    const Flags all(yes.graph.outputs.size(), 1);
    std::vector<std::vector<Tensor>> sides;
    for (const Model* side : {&yes, &no}) {
        const Tensor here = side == &yes ? mask : logical_not(mask);
        // A side that no example takes is not computed.
        const BlockRef nothing =
            shared(traced_block(types, flags, size, [&](std::span<const Batched>) {
                std::vector<Tensor> zeros;
                for (ValueId v : side->graph.outputs) {
                    const Meta m = with_batch(side->graph.meta(v), true, size);
                    zeros.push_back(full(m.shape, Tensor(0), m.dtype, m.device));
                }
                return zeros;
            }));
        made.blocks = {block_with(*side, types, flags, all, size), nothing};
        std::vector<Tensor> operands{any_of(here)};
        for (const Batched& b : only(here, given)) operands.push_back(b.tensor);
        sides.push_back(called(made, operands, all.size()));
    }
    std::vector<Batched> results;
    for (size_t k = 0; k < all.size(); ++k)
        results.push_back({chosen(mask, sides[0][k], sides[1][k]), true});
    return results;
}

// The flags of the operands of a loop when carries that become batched are so from the start.
template <class Step>
Flags settled(Flags flags, size_t carries, Step step) {
    while (true) {
        const Flags out = step(flags);
        bool changed = false;
        for (size_t j = 0; j < carries; ++j) {
            changed |= out[j] && !flags[j];
            flags[j] |= out[j];
        }
        if (!changed) return flags;
    }
}

std::vector<Batched> while_for_all(const Control& c, std::span<const Batched> in, int64_t size,
                                   std::span<const Meta> types) {
    const size_t carries = c.carried();
    const Model &test = *c.blocks[0], &body = *c.blocks[1];
    Flags flags = settled(flags_of(in), carries,
                          [&](const Flags& f) { return results_of(body, types, f, size); });
    const bool apart = results_of(test, types, flags, size)[0] != 0;
    if (apart) std::fill_n(flags.begin(), carries, 1);
    const Flags out(flags.begin(), flags.begin() + static_cast<ptrdiff_t>(carries));
    std::vector<Tensor> operands;
    for (size_t i = 0; i < in.size(); ++i)
        operands.push_back(flags[i] ? spread(in[i], size) : in[i].tensor);
    Control made;
    made.kind = ControlKind::kWhile;
    made.max_steps = c.max_steps;
    if (!apart) {
        made.blocks = {block_with(test, types, flags, {0}, size),
                       block_with(body, types, flags, out, size)};
        return flagged(called(made, operands, carries), out);
    }
    // One more carry: which examples go on.
    const std::vector<Batched> start = flagged(operands, flags);
    Tensor going = block_for_all(test, start, size)[0].tensor;
    std::vector<Meta> more(types.begin(), types.end());
    more.insert(more.begin() + static_cast<ptrdiff_t>(carries),
                Meta{{}, DType::kBool, operands[0].device()});
    Flags more_flags = flags;
    more_flags.insert(more_flags.begin() + static_cast<ptrdiff_t>(carries), 1);
    operands.insert(operands.begin() + static_cast<ptrdiff_t>(carries), going);
    made.blocks = {
        shared(traced_block(more, more_flags, size,
                            [&](std::span<const Batched> given) {
                                return std::vector<Tensor>{any_of(given[carries].tensor)};
                            })),
        shared(traced_block(more, more_flags, size, [&](std::span<const Batched> given) {
            const Tensor& mask = given[carries].tensor;
            std::vector<Batched> operands(given.begin(), given.end());
            operands.erase(operands.begin() + static_cast<ptrdiff_t>(carries));
            const std::vector<Tensor> next =
                tensors_of(block_for_all(body, only(mask, operands), size), out, size);
            std::vector<Tensor> results;
            for (size_t j = 0; j < carries; ++j) {
                results.push_back(chosen(mask, next[j], operands[j].tensor));
                operands[j].tensor = results.back();
            }
            const Batched again = block_for_all(test, only(mask, operands), size)[0];
            results.push_back(logical_and(mask, spread(again, size)));
            return results;
        }))};
    std::vector<Tensor> results = called(made, operands, carries + 1);
    results.pop_back();
    return flagged(results, out);
}

std::vector<Batched> scan_for_all(const Control& c, std::span<const Batched> in, int64_t size,
                                  std::span<const Meta> types) {
    const auto carries = static_cast<size_t>(c.carries), xs = static_cast<size_t>(c.xs);
    const Model& body = *c.blocks[0];
    const Flags flags = settled(flags_of(in), carries,
                                [&](const Flags& f) { return results_of(body, types, f, size); });
    Flags out = results_of(body, types, flags, size);
    std::copy_n(flags.begin(), carries, out.begin());
    const int64_t batch[] = {0}, second[] = {1};
    std::vector<Tensor> operands;
    for (size_t i = 0; i < in.size(); ++i) {
        Tensor t = flags[i] ? spread(in[i], size) : in[i].tensor;
        if (flags[i] && i >= carries && i < carries + xs) t = moveaxis(t, batch, second);
        operands.push_back(std::move(t));
    }
    Control made = c;
    made.draw = 0;
    made.blocks = {block_with(body, types, flags, out, size)};
    std::vector<Batched> results = flagged(called(made, operands, out.size()), out);
    for (size_t k = carries; k < results.size(); ++k)
        if (results[k].batched) results[k].tensor = moveaxis(results[k].tensor, second, batch);
    return results;
}

}  // namespace

std::vector<Batched> control_for_all(const Control& c, std::span<const Batched> in, int64_t size) {
    if (draws(c))
        fail(ErrorKind::kValue, c.name(),
             "a function that '%s' calls draws random numbers inside of sn.vmap, which cannot say "
             "what that means for each example; draw outside and pass the numbers as operands",
             c.name());
    std::vector<Meta> types;
    bool any = false;
    for (const Batched& b : in) {
        types.push_back(b.tensor.value()->meta);
        if (b.batched) types.back().shape.erase(0);
        any |= b.batched;
    }
    if (!any) {
        std::vector<Tensor> operands;
        for (const Batched& b : in) operands.push_back(b.tensor);
        const size_t n = control_types(c, types).size();
        return flagged(called(c, operands, n), Flags(n, 0));
    }
    const std::vector<Meta> given = c.block_inputs(types);
    switch (c.kind) {
        case ControlKind::kCond: return cond_for_all(c, in, size, given);
        case ControlKind::kWhile: return while_for_all(c, in, size, given);
        case ControlKind::kScan: return scan_for_all(c, in, size, given);
    }
    return {};
}

}  // namespace sn

#endif
