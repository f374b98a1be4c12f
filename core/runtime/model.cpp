#include "runtime/model.h"

#include <algorithm>

#include "op/api.h"
#include "op/checks.h"
#include "op/control.h"
#include "op/random.h"
#include "record/read.h"
#include "record/tape.h"
#include "runtime/control.h"

namespace sn {

namespace {

void add_constant(Model& m, const Tensor& value, std::vector<Tensor>* constants) {
    std::string name = "constant." + std::to_string(constants->size());
    while (std::ranges::any_of(m.inputs, [&](const ModelInput& i) { return i.name == name; }))
        name += '_';
    m.inputs.push_back({std::move(name), InputRole::kConstant, false});
    constants->push_back(value);
}

}  // namespace

// Seed and number are the last two operands of a draw.
void find_draws(Model& m, uint64_t draws_before) {
    for (const Node& n : m.graph.nodes) {
        if (!op_def(n.op).draws || n.n_in < 2) continue;
        const auto in = m.graph.in(n);
        const ValueInfo &seed = m.graph.values[in[n.n_in - 2]],
                        &draw = m.graph.values[in[n.n_in - 1]];
        if (seed.kind != ValueKind::kScalar || draw.kind != ValueKind::kScalar) continue;
        ModelNumber& number = m.numbers[draw.source];
        if (number.role == NumberRole::kDraw) continue;
        if (static_cast<uint64_t>(number.value.i) < draws_before) continue;
        number = {Scalar::of_int(number.value.i - static_cast<int64_t>(draws_before)),
                  NumberRole::kDraw};
        m.numbers[seed.source] = {Scalar::of_int(0), NumberRole::kSeed};
    }
}

Model model_of(Trace& trace, std::span<const Tensor> outputs, std::vector<ModelInput> placeholders,
               uint64_t draws_before, std::vector<Tensor>* constants) {
    Model m;
    std::vector<ValueId> ids;
    {
        const NoGrad no_grad;
        const RecordInto scope(trace);
        for (const Tensor& t : outputs) {
            // A number becomes a tensor of rank 0.
            const Tensor made = t.is_scalar() ? full({}, t, t.dtype(), t.device()) : t;
            ids.push_back(trace.bind(made, made.dtype()));
        }
    }
    m.graph = trace.graph;
    m.graph.outputs = std::move(ids);
    m.blocks = trace.blocks;
    m.inputs = std::move(placeholders);
    for (size_t i = m.inputs.size(); i < m.graph.inputs.size(); ++i) {
        add_constant(m, trace.without_relays(trace.captured(i)).detach(), constants);
    }
    for (const Scalar& s : trace.scalars) m.numbers.push_back({s, NumberRole::kConstant});
    m.sites = trace.sites;
    for (NodeId id = 0; id < m.graph.nodes.size(); ++id) {
        m.graph.nodes[id].origin = id;
        m.taped.push_back(trace.taped(id));
    }
    m.draws = static_cast<int64_t>(random_state().counter - draws_before);
    find_draws(m, draws_before);
    return m;
}

Scalar number_of_size(const ModelNumber& number, int64_t size) {
    if (number.value.kind != ScalarKind::kFloat) return Scalar::of_int(size);
    return Scalar::of_float(size_number(number.form, number.scale, size));
}

namespace {

[[noreturn]] void fail_shape(const Model& model, size_t i, const Dims& given) {
    std::string want = format_shape(model.graph.meta(model.graph.inputs[i]).shape);
    if (!model.sizes.empty()) {
        Dims shape = model.graph.meta(model.graph.inputs[i]).shape;
        want = "(";
        for (size_t axis = 0; axis < shape.size(); ++axis) {
            const auto dim = std::ranges::find_if(
                model.open_dims, [&](const OpenDim& d) { return d.input == i && d.axis == axis; });
            want += axis ? ", " : "";
            want += dim == model.open_dims.end() ? std::to_string(shape[axis])
                                                 : model.sizes[dim->open].name;
        }
        want += ")";
    }
    fail(ErrorKind::kShape, "graph",
         "'%s' has shape %s; this graph was made for %s; trace the function again for other "
         "shapes",
         model.inputs[i].name.c_str(), format_shape(given).c_str(), want.c_str());
}

void check_input(const Model& model, size_t i, const Tensor& given, const Dims& shape) {
    const Meta& want = model.graph.meta(model.graph.inputs[i]);
    const char* name = model.inputs[i].name.c_str();
    if (!(given.shape() == shape)) fail_shape(model, i, given.shape());
    if (given.dtype() != want.dtype) {
        fail(ErrorKind::kDType, "graph",
             "'%s' is %s; this graph was made for %s; convert it with x.astype(sn.%s)", name,
             dtype_name(given.dtype()), dtype_name(want.dtype), dtype_name(want.dtype));
    }
    if (!(given.device() == want.device)) {
        fail(ErrorKind::kDevice, "graph",
             "'%s' is on %s; this graph was made for %s; move it with x.to('%s')", name,
             device_name(given.device()).c_str(), device_name(want.device).c_str(),
             device_name(want.device).c_str());
    }
}

// The open sizes of a call; every argument is checked.
std::vector<int64_t> check_inputs(const Model& model, std::span<const Tensor> inputs) {
    const Graph& g = model.graph;
    std::vector<int64_t> sizes(model.sizes.size(), -1);
    size_t next = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
        Dims want = g.meta(g.inputs[i]).shape;
        const Dims& given = inputs[i].shape();
        for (; next < model.open_dims.size() && model.open_dims[next].input == i; ++next) {
            const OpenDim& dim = model.open_dims[next];
            if (given.size() != want.size()) continue;
            int64_t& size = sizes[dim.open];
            if (size < 0) {
                size = given[dim.axis];
                check_open_size(model.sizes[dim.open], size);
            } else if (size != given[dim.axis]) {
                fail(ErrorKind::kShape, "graph",
                     "'%s' has shape %s, and the size '%s' along axis %u is %lld in an argument "
                     "before it; sizes of one name must be equal",
                     model.inputs[i].name.c_str(), format_shape(given).c_str(),
                     model.sizes[dim.open].name.c_str(), dim.axis, static_cast<long long>(size));
            }
            want[dim.axis] = size;
        }
        check_input(model, i, inputs[i], want);
    }
    for (const SizeCondition& c : model.conditions) check_condition(c, model.sizes, sizes);
    return sizes;
}

}  // namespace

std::vector<Tensor> numbers_of_call(const Model& model, RandomState& state) {
    std::vector<Tensor> numbers;
    for (const ModelNumber& n : model.numbers) {
        switch (n.role) {
            case NumberRole::kConstant:
            case NumberRole::kSize: numbers.emplace_back(n.value); break;
            case NumberRole::kSeed: numbers.emplace_back(static_cast<int64_t>(state.seed)); break;
            case NumberRole::kDraw:
                numbers.emplace_back(static_cast<int64_t>(state.counter) + n.value.i);
                break;
        }
    }
    state.counter += static_cast<uint64_t>(model.draws);
    return numbers;
}

void call_node(const Model& model, NodeId id, std::span<const Tensor> in, const Attrs& attrs,
               std::span<Tensor> out, NodeCalls& calls) {
    const SiteScope site(model.sites[id]);
    const struct Restore {
        bool mode = grad_enabled();
        ~Restore() { set_grad_enabled(mode); }
    } restore;
    set_grad_enabled(restore.mode && model.taped[id]);
    const OpDef& def = op_def(model.graph.nodes[id].op);
    if (is_control(def))
        call_control(control_of(def.id, attrs, model.blocks), in, out, calls);
    else
        record(def.id, in, attrs, out);
}

std::vector<Tensor> call(const Model& model, std::span<const Tensor> inputs, RandomState& state) {
    SN_CHECK(inputs.size() == model.graph.inputs.size());
    const std::vector<int64_t> sizes = check_inputs(model, inputs);
    if (model.draws > 0 || blocks_draw(model)) {
        // As at a draw in code: sn.vmap says what it means for each example.
        const Trace* trace = current_trace();
        if (trace && trace->randomness() == Randomness::kError) next_draw("graph");
    }
    NodeCalls calls{sizes, state};
    const std::vector<Tensor> numbers = numbers_of_call(model, state);
    std::vector<Tensor> results = call_nodes(model, inputs, numbers, calls);
    state.counter += calls.further;
    return results;
}

std::vector<Tensor> call(const Model& model, std::span<const Tensor> inputs) {
    RandomState state = random_state();
    const uint64_t before = state.counter;
    std::vector<Tensor> results = call(model, inputs, state);
    // Blocks wait for values, and other threads may have drawn meanwhile.
    RandomState now = random_state();
    now.counter += state.counter - before;
    if (state.counter != before) set_random_state(now);
    return results;
}

std::vector<Tensor> call_nodes(const Model& model, std::span<const Tensor> inputs,
                               std::span<const Tensor> numbers, NodeCalls& calls) {
    const Graph& g = model.graph;
    const bool open = !model.sizes.empty();
    std::vector<Tensor> values(g.values.size());
    for (size_t i = 0; i < inputs.size(); ++i) values[g.inputs[i]] = inputs[i];
    for (size_t i = 0; i < numbers.size(); ++i) values[g.scalars[i]] = numbers[i];
    // A value that nobody reads any more is let go at once: large graphs run in several windows.
    std::vector<NodeId> last_use(g.values.size(), 0);
    for (NodeId id = 0; id < g.nodes.size(); ++id)
        for (ValueId v : g.in(g.nodes[id])) last_use[v] = id;
    for (ValueId v : g.outputs) last_use[v] = kNone;
    // With open sizes: the shapes of all values so far. With blocks or open sizes: which numbers
    // have been computed.
    const bool later = open || !model.blocks.empty();
    std::vector<Dims> shapes(open ? g.values.size() : 0);
    std::vector<uint8_t> computed(later ? g.values.size() : 0, 0);
    if (open)
        for (size_t i = 0; i < inputs.size(); ++i) shapes[g.inputs[i]] = inputs[i].shape();
    const auto factor = [&](const SizeFactor& f) {
        return f.open != kNone ? calls.sizes[f.open] : shapes[f.value][f.axis];
    };
    size_t next_word = 0;
    std::vector<Tensor> in, out;
    for (NodeId id = 0; id < g.nodes.size(); ++id) {
        const Node& n = g.nodes[id];
        in.clear();
        for (ValueId v : g.in(n)) {
            if (later && g.values[v].kind == ValueKind::kScalar && !computed[v]) {
                computed[v] = 1;
                const ModelNumber& number = model.numbers[g.values[v].source];
                if (number.role == NumberRole::kSize)
                    values[v] = Tensor(number_of_size(number, evaluate(number.size, factor)));
                else if (number.role == NumberRole::kDraw && calls.further > 0)
                    values[v] =
                        Tensor(values[v].value()->scalar.i + static_cast<int64_t>(calls.further));
            }
            in.push_back(values[v]);
        }
        out.assign(n.n_out, Tensor());
        Attrs attrs;
        uint32_t word = 0;
        for (int64_t w : g.attr(n)) {
            if (next_word < model.open_words.size() && model.open_words[next_word].node == id &&
                model.open_words[next_word].word == word)
                w = evaluate(model.open_words[next_word++].size, factor);
            attrs.i(w);
            ++word;
        }
        // Other sizes than those of the example may be against what the rules take for granted.
        if (open && !is_control(op_def(n.op))) check_call(op_def(n.op), in, attrs);
        call_node(model, id, in, attrs, out, calls);
        for (uint32_t k = 0; k < n.n_out; ++k) {
            const ValueId v = n.first_out + k;
            const Meta& want = g.meta(v);
            SN_CHECK(out[k].dtype() == want.dtype && (open || out[k].shape() == want.shape));
            if (open) shapes[v] = out[k].shape();
            if (last_use[v] > id) values[v] = std::move(out[k]);
        }
        for (ValueId v : g.in(n))
            if (last_use[v] == id) values[v] = Tensor();
    }
    std::vector<Tensor> results;
    for (ValueId v : g.outputs) results.push_back(values[v]);
    return results;
}

namespace {

void require_fixed(const Model& model, const char* op) {
    if (model.sizes.empty()) return;
    fail(ErrorKind::kValue, op,
         "the size '%s' of this graph is open; give the sizes first: graph.bind(%s=%lld)",
         model.sizes[0].name.c_str(), model.sizes[0].name.c_str(),
         static_cast<long long>(model.sizes[0].example));
}

}  // namespace

std::shared_ptr<const Plan> plan_of(const Model& model) {
    require_fixed(model, "memory_plan");
    for (const Node& n : model.graph.nodes) {
        if (!is_control(op_def(n.op))) continue;
        fail(ErrorKind::kValue, "memory_plan",
             "the graph has control flow ('%s'), so that only a call decides what runs; plan its "
             "blocks: graph.nodes[k].blocks[0].memory_plan()",
             op_def(n.op).name);
    }
    std::vector<Dims> strides;
    for (ValueId v : model.graph.inputs)
        strides.push_back(contiguous_strides(model.graph.meta(v).shape));
    const std::vector<uint8_t> donated(strides.size(), 0);
    return build_plan(model.graph, strides, donated);
}

// ---- rewriting

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

Model rewritten(const Model& model, Program p) {
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
    for (NodeId id = 0; id < p.graph.nodes.size(); ++id) {
        uint32_t& origin = p.graph.nodes[id].origin;
        m.sites.push_back(origin < model.sites.size() ? model.sites[origin] : 0);
        origin = id;
    }
    m.taped.assign(p.graph.nodes.size(), 0);
    m.graph = std::move(p.graph);
    return m;
}

Model lower_pass(const Model& model, std::vector<Tensor>*) {
    return rewritten(model, lower(model.graph));
}

Model simplify_pass(const Model& model, std::vector<Tensor>*) {
    Program p = program_of(model);
    simplify(p);
    return rewritten(model, std::move(p));
}

Model fold_pass(const Model& model, std::vector<Tensor>* constants) {
    Program p = program_of(model);
    const std::vector<BufferRef> buffers = fold(p);
    const Graph& g = p.graph;
    const size_t before = model.graph.inputs.size();
    std::vector<Tensor> folded;
    for (size_t i = 0; i < buffers.size(); ++i) {
        const Meta& meta = g.meta(g.inputs[before + i]);
        folded.push_back(from_buffer(buffers[i], 0, meta.shape, contiguous_strides(meta.shape),
                                     meta.dtype, meta.device));
    }
    Model m = rewritten(model, std::move(p));
    for (const Tensor& t : folded) add_constant(m, t, constants);
    return m;
}

struct GraphPass {
    const char* name;
    Model (*apply)(const Model&, std::vector<Tensor>*);
};
constexpr GraphPass kPasses[] = {
    {"lower", lower_pass}, {"simplify", simplify_pass}, {"fold", fold_pass}};

}  // namespace

Model apply_pass(const Model& model, std::string_view pass, std::vector<Tensor>* constants) {
    require_fixed(model, "optimize");
    std::string known;
    for (size_t i = 0; i < std::size(kPasses); ++i) {
        if (pass == kPasses[i].name) {
            Model m = kPasses[i].apply(model, constants);
            const std::string broken = verify(m.graph);
            if (!broken.empty())
                fail(ErrorKind::kInternal, "optimize", "after %s: %s", kPasses[i].name,
                     broken.c_str());
            // Blocks have no constants, in whose place folded values could stand.
            if (kPasses[i].apply != fold_pass)
                for (BlockRef& block : m.blocks)
                    block = std::make_shared<const Model>(apply_pass(*block, pass, nullptr));
            return m;
        }
        known += std::string(i ? ", " : "") + kPasses[i].name;
    }
    fail(ErrorKind::kValue, "optimize", "there is no pass '%.*s'; the passes are %s",
         static_cast<int>(pass.size()), pass.data(), known.c_str());
}

Model cut(const Model& model, std::span<const ValueId> outputs, std::vector<uint32_t>* kept) {
    const Graph& old = model.graph;
    std::vector<uint8_t> needed(old.values.size(), 0);
    for (ValueId v : outputs) {
        SN_CHECK(v < old.values.size());
        needed[v] = 1;
    }
    const bool whole = std::ranges::equal(outputs, old.outputs);
    if (whole)
        for (uint32_t i : model.updates) needed[old.inputs[i]] = 1;
    // Expressions may read sizes of values that are not needed otherwise.
    const auto need_sizes = [&](const SizeExpr& e) {
        for (const SizeTerm& term : e.terms)
            for (const SizeFactor& f : term.factors)
                if (f.open == kNone) needed[f.value] = 1;
    };
    std::vector<uint8_t> wanted(old.nodes.size(), 0);
    size_t word = model.open_words.size();
    for (NodeId id = static_cast<NodeId>(old.nodes.size()); id-- > 0;) {
        const Node& n = old.nodes[id];
        for (uint32_t k = 0; k < n.n_out; ++k) wanted[id] |= needed[n.first_out + k];
        for (; word > 0 && model.open_words[word - 1].node == id; --word)
            if (wanted[id]) need_sizes(model.open_words[word - 1].size);
        if (!wanted[id]) continue;
        for (ValueId v : old.in(n)) {
            needed[v] = 1;
            if (old.values[v].kind == ValueKind::kScalar)
                need_sizes(model.numbers[old.values[v].source].size);
        }
    }
    Model m;
    m.blocks = model.blocks;
    m.draws = model.draws;
    m.signature = model.signature;
    m.sizes = model.sizes;
    m.conditions = model.conditions;
    std::vector<ValueId> to(old.values.size(), kNone);
    for (size_t i = 0; i < old.inputs.size(); ++i) {
        if (model.inputs[i].role != InputRole::kArgument && !needed[old.inputs[i]]) continue;
        to[old.inputs[i]] = m.graph.add_input(old.meta(old.inputs[i]));
        if (whole)
            for (uint32_t update : model.updates)
                if (update == i) m.updates.push_back(static_cast<uint32_t>(m.inputs.size()));
        for (const OpenDim& d : model.open_dims)
            if (d.input == i)
                m.open_dims.push_back({static_cast<uint32_t>(m.inputs.size()), d.axis, d.open});
        m.inputs.push_back(model.inputs[i]);
        kept->push_back(static_cast<uint32_t>(i));
    }
    for (size_t i = 0; i < old.scalars.size(); ++i) {
        const ValueId v = old.scalars[i];
        if (!needed[v]) continue;
        to[v] = m.graph.add_scalar(old.meta(v).dtype, old.meta(v).device);
        m.numbers.push_back(model.numbers[i]);
    }
    std::vector<NodeId> node_to(old.nodes.size(), kNone);
    for (NodeId id = 0; id < old.nodes.size(); ++id) {
        if (!wanted[id]) continue;
        const Node& n = old.nodes[id];
        node_to[id] = static_cast<NodeId>(m.graph.nodes.size());
        std::vector<ValueId> in;
        std::vector<Meta> out;
        for (ValueId v : old.in(n)) in.push_back(to[v]);
        for (uint32_t k = 0; k < n.n_out; ++k) out.push_back(old.meta(n.first_out + k));
        const ValueId first = m.graph.add_node(n.op, in, old.attr(n), out,
                                               static_cast<uint32_t>(m.graph.nodes.size()));
        for (uint32_t k = 0; k < n.n_out; ++k) to[n.first_out + k] = first + k;
        m.sites.push_back(model.sites[id]);
        m.taped.push_back(model.taped[id]);
    }
    for (ValueId v : outputs) m.graph.outputs.push_back(to[v]);
    const auto moved = [&](SizeExpr e) {
        for (SizeTerm& term : e.terms)
            for (SizeFactor& f : term.factors)
                if (f.open == kNone) f.value = to[f.value];
        return e;
    };
    for (ModelNumber& n : m.numbers) n.size = moved(n.size);
    for (const OpenWord& w : model.open_words)
        if (wanted[w.node]) m.open_words.push_back({node_to[w.node], w.word, moved(w.size)});
    for (const OpenShape& s : model.open_shapes)
        if (wanted[s.node])
            m.open_shapes.push_back({node_to[s.node], s.output, s.axis, moved(s.size)});
    return m;
}

}  // namespace sn
