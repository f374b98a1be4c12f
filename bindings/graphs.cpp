// Graphs that stand by themselves (sn.trace, sn.load), for sennit/_graph.py.
#include <algorithm>

#include "nb.h"
#include "op/checks.h"
#include "op/control.h"
#include "op/op.h"
#include "op/random.h"
#include "record/recorder.h"
#include "record/trace.h"
#include "runtime/freeze.h"
#include "runtime/graph_file.h"
#include "runtime/model.h"
#include "runtime/open_sizes.h"
#include "tensor_type.h"

namespace sn::py {

namespace {

thread_local const Trace* graph_trace = nullptr;  // of the sn.trace that is under way

std::vector<Tensor> tensors_of(nb::handle list, const char* op) {
    std::vector<Tensor> tensors;
    for (nb::handle item : list) tensors.push_back(to_tensor(op, "tensor", item.ptr()));
    return tensors;
}

nb::list wrapped(const std::vector<Tensor>& tensors) {
    nb::list list;
    for (const Tensor& t : tensors) list.append(steal(wrap(t)));
    return list;
}

// A traced call must leave what it was given as it was: a graph has no effects.
void check_unwritten(const Trace& trace, const Model& model, nb::handle handles) {
    size_t i = 0;
    for (nb::handle handle : handles) {
        const ModelInput& input = model.inputs[i];
        if (trace.id_of(get(handle.ptr())) != model.graph.inputs[i]) {
            fail(ErrorKind::kValue, "trace",
                 "the function writes '%s' in place; a graph has no effects on what it is given; "
                 "%s",
                 input.name.c_str(),
                 input.role == InputRole::kParameter
                     ? "call model.eval() first (in training mode layers update their statistics)"
                     : "work on a copy (x.clone()) and return it");
        }
        ++i;
    }
}

// The handle shows another tensor, without a write to anything: returns what it showed.
Tensor exchange(PyObject* o, Tensor tensor) {
    PyTensor* p = as_py(o);
    if (!p->cell) return std::exchange(p->tensor, std::move(tensor));
    if (p->cell->base) {
        fail(ErrorKind::kValue, "trace",
             "a tensor of shape %s that a graph is to write is a view of another one; name that "
             "one, or clone it",
             format_shape(get(o).shape()).c_str());
    }
    ++p->cell->version;  // views of it are read anew
    return std::exchange(p->cell->current, std::move(tensor));
}

// Handles that show placeholders of a trace for a while: whatever refers to them (modules,
// optimizers, closures) is traced.
class Shown {
public:
    Shown() = default;
    Shown(const Shown&) = delete;
    Shown& operator=(const Shown&) = delete;
    void show(nb::handle handle, const Tensor& placeholder) {
        const Tensor& before = get(handle.ptr());
        Tensor shown = placeholder;
        if (before.requires_grad()) {
            if (!before.node()->leaf) {
                fail(ErrorKind::kValue, "trace",
                     "a tensor among `mutable` is the result of operations; only leaves can be "
                     "written by a graph");
            }
            shown = Tensor(placeholder.value(), make_leaf(placeholder.value()->meta), 0);
        }
        before_.emplace_back(nb::borrow(handle), exchange(handle.ptr(), std::move(shown)));
    }
    ~Shown() {
        for (auto& [handle, tensor] : before_) exchange(handle.ptr(), std::move(tensor));
    }

private:
    std::vector<std::pair<nb::object, Tensor>> before_;
};

// Calls `function(placeholders)` once. `inputs`: tuples (name, whether it is a parameter, shape,
// dtype, device), arguments first. The last of them stand for `mutables`, tensors that the function
// may write. Returns the graph and the tensors that it has captured.
nb::tuple trace_graph(nb::object function, nb::handle inputs, nb::handle mutables) {
    return guarded([&] {
        if (current_trace()) {
            fail(ErrorKind::kValue, "trace",
                 "sn.trace is called inside of a function that is being traced; trace first, and "
                 "call the graph inside");
        }
        const RandomState before = random_state();
        const struct Restore {
            const RandomState& state;
            ~Restore() {
                set_random_state(state);
                graph_trace = nullptr;
            }
        } restore{before};
        Trace trace(Randomness::kSame);
        std::vector<ModelInput> placeholders;
        nb::list handles;
        std::vector<Tensor> stand_ins;
        for (nb::handle item : inputs) {
            const nb::tuple t = nb::borrow<nb::tuple>(item);
            ModelInput input;
            input.name = nb::cast<std::string>(t[0]);
            input.role = nb::cast<bool>(t[1]) ? InputRole::kParameter : InputRole::kArgument;
            Meta meta;
            bool single = false;
            const nb::object shape = t[2], dtype = t[3], device = t[4];
            SN_CHECK(to_ints(shape.ptr(), &meta.shape, &single));
            meta.dtype = to_dtype("trace", dtype.ptr());
            meta.device = to_device("trace", device.ptr());
            stand_ins.push_back(trace.placeholder(meta));
            placeholders.push_back(std::move(input));
        }
        const size_t fixed = stand_ins.size() - nb::len(mutables);
        for (size_t i = 0; i < fixed; ++i) handles.append(steal(wrap(stand_ins[i])));
        std::vector<Tensor> outputs;
        std::vector<uint32_t> updates;
        {
            Shown shown;
            const RecordInto scope(trace);
            graph_trace = &trace;
            size_t next = fixed;
            for (nb::handle handle : mutables) shown.show(handle, stand_ins[next++]);
            nb::object made = steal(PyObject_CallOneArg(function.ptr(), handles.ptr()));
            if (!made.is_valid()) raise_python();
            outputs = tensors_of(made, "trace");
            next = fixed;
            for (nb::handle handle : mutables) {
                const Tensor& after = get(handle.ptr());
                if (after.value() != stand_ins[next].value()) {
                    updates.push_back(static_cast<uint32_t>(next));
                    outputs.push_back(after.detach());
                }
                ++next;
            }
        }
        if (random_state().seed != before.seed) {
            fail(ErrorKind::kValue, "trace",
                 "the function seeds the random numbers; a graph draws from the generator as it is "
                 "at each call; seed it outside");
        }
        if (!trace.regions().empty()) {
            fail(
                ErrorKind::kValue, "trace",
                "the function calls an sn.Function, whose gradient is Python code that a graph "
                "cannot hold; trace it inside `with sn.no_grad():`, for a graph without gradients");
        }
        std::vector<Tensor> constants;
        Model model = model_of(trace, outputs, std::move(placeholders), before.counter, &constants);
        model.updates = std::move(updates);
        check_unwritten(trace, model, handles);
        return nb::make_tuple(nb::cast(std::move(model)), wrapped(constants));
    });
}

// Whether a tensor belongs to an sn.trace that is under way (or to a trace inside of it).
bool in_graph_trace(nb::handle tensors) {
    if (!graph_trace) return false;
    for (nb::handle t : tensors)
        if (is_tensor(t.ptr()) && trace_of(get(t.ptr()))) return true;
    return false;
}

// The graph of a function that was traced at several example sizes. `probes`: tuples (sizes,
// program, constants); `sizes`: (name, least, most, multiple); `dims`: (input, axis, which size);
// `comparisons`: (relation, left less right by probe, where).
Model open_graph(nb::handle probes, nb::handle sizes, nb::handle dims, nb::handle comparisons) {
    return guarded([&] {
        std::vector<Probe> traced;
        for (nb::handle item : probes) {
            const nb::tuple t = nb::borrow<nb::tuple>(item);
            traced.push_back({nb::cast<std::vector<int64_t>>(t[0]), nb::cast<Model>(t[1]),
                              tensors_of(t[2], "trace")});
        }
        std::vector<OpenSize> open;
        for (nb::handle item : sizes) {
            const nb::tuple t = nb::borrow<nb::tuple>(item);
            open.push_back({nb::cast<std::string>(t[0]), nb::cast<int64_t>(t[1]),
                            nb::cast<int64_t>(t[2]), nb::cast<int64_t>(t[3])});
        }
        std::vector<OpenDim> where;
        for (nb::handle item : dims) {
            const nb::tuple t = nb::borrow<nb::tuple>(item);
            where.push_back(
                {nb::cast<uint32_t>(t[0]), nb::cast<uint32_t>(t[1]), nb::cast<uint32_t>(t[2])});
        }
        std::vector<ProbeComparison> compared;
        for (nb::handle item : comparisons) {
            const nb::tuple t = nb::borrow<nb::tuple>(item);
            compared.push_back({static_cast<SizeRelation>(nb::cast<int>(t[0])),
                                nb::cast<std::vector<int64_t>>(t[1]), nb::cast<std::string>(t[2])});
        }
        return with_open_sizes(std::move(traced), std::move(open), std::move(where), compared);
    });
}

// (divisor, [(coefficient, [name or (value id, axis) ...]) ...])
nb::tuple size_tuple(const Model& m, const SizeExpr& e) {
    nb::list terms;
    for (const SizeTerm& term : e.terms) {
        nb::list factors;
        for (const SizeFactor& f : term.factors) {
            if (f.open != kNone)
                factors.append(m.sizes[f.open].name);
            else
                factors.append(nb::make_tuple(f.value, f.axis));
        }
        terms.append(nb::make_tuple(term.coefficient, factors));
    }
    return nb::make_tuple(e.divisor, terms);
}

// Sizes of values that are open: (value id, axis, expression).
nb::list open_shapes_of(const Model& m) {
    nb::list list;
    for (const OpenDim& d : m.open_dims)
        list.append(nb::make_tuple(m.graph.inputs[d.input], d.axis,
                                   size_tuple(m, SizeExpr::of({d.open, kNone, 0}))));
    for (const OpenShape& s : m.open_inputs)
        list.append(nb::make_tuple(m.graph.inputs[s.node], s.axis, size_tuple(m, s.size)));
    for (const OpenShape& s : m.open_shapes)
        list.append(nb::make_tuple(m.graph.nodes[s.node].first_out + s.output, s.axis,
                                   size_tuple(m, s.size)));
    return list;
}

// Attributes that are open: (node, name, position in a list or None, expression).
nb::list open_attributes_of(const Model& m) {
    nb::list list;
    for (const OpenWord& w : m.open_words) {
        const Node& n = m.graph.nodes[w.node];
        const OpDef& def = op_def(n.op);
        const auto words = m.graph.attr(n);
        uint32_t at = 0;
        for (size_t k = 0; k < def.attr_types.size(); ++k) {
            const bool many = def.attr_types[k] == AttrType::kInts;
            const uint32_t length = many ? 1 + static_cast<uint32_t>(words[at]) : 1;
            if (w.word < at + length) {
                nb::object position = many ? nb::cast(w.word - at - 1) : nb::none();
                list.append(
                    nb::make_tuple(w.node, def.attr_names[k], position, size_tuple(m, w.size)));
                break;
            }
            at += length;
        }
    }
    return list;
}

// Numbers that follow from sizes: (value id, form, scale, expression); form as in SizeForm.
nb::list open_numbers_of(const Model& m) {
    nb::list list;
    for (size_t i = 0; i < m.numbers.size(); ++i) {
        const ModelNumber& n = m.numbers[i];
        if (n.role != NumberRole::kSize) continue;
        nb::object scale = n.value.kind == ScalarKind::kFloat ? nb::cast(n.scale) : nb::none();
        list.append(nb::make_tuple(m.graph.scalars[i], static_cast<int>(n.form), scale,
                                   size_tuple(m, n.size)));
    }
    return list;
}

nb::object attr_value(AttrType type, const AttrView& attrs, int k) {
    switch (type) {
        case AttrType::kInt: return nb::cast(attrs.i(k));
        case AttrType::kFloat: return nb::cast(attrs.f(k));
        case AttrType::kBool: return nb::cast(attrs.b(k));
        case AttrType::kDType: return steal(from_dtype(attrs.dtype(k)));
        case AttrType::kInts: return steal(from_shape(Dims(attrs.ints(k))));
    }
    return nb::none();
}

// By value: (name or "", shape, dtype).
nb::list values_of(const Model& m) {
    nb::list list;
    for (ValueId v = 0; v < m.graph.values.size(); ++v) {
        const ValueInfo& info = m.graph.values[v];
        std::string name;
        if (info.kind == ValueKind::kInput) name = m.inputs[info.source].name;
        list.append(nb::make_tuple(name, steal(from_shape(info.meta.shape)),
                                   steal(from_dtype(info.meta.dtype))));
    }
    return list;
}

nb::object number_object(const Scalar& s) {
    if (s.kind == ScalarKind::kFloat) return nb::cast(s.f);
    if (s.kind == ScalarKind::kBool) return nb::cast(s.i != 0);
    return nb::cast(s.i);
}

// By number: its value id, and its value (a text for those that every call has anew).
nb::list numbers_of(const Model& m) {
    nb::list list;
    for (size_t i = 0; i < m.numbers.size(); ++i) {
        const ModelNumber& n = m.numbers[i];
        nb::object value;
        if (n.role == NumberRole::kSeed)
            value = nb::cast(std::string("seed"));
        else if (n.role == NumberRole::kDraw)
            value = nb::cast("draw " + std::to_string(n.value.i));
        else
            value = number_object(n.value);
        list.append(nb::make_tuple(m.graph.scalars[i], value));
    }
    return list;
}

// By node: (op, operands, attributes, results, where, whether gradients flow through it).
nb::list nodes_of(const Model& m) {
    nb::list list;
    const Graph& g = m.graph;
    for (NodeId id = 0; id < g.nodes.size(); ++id) {
        const Node& n = g.nodes[id];
        const OpDef& def = op_def(n.op);
        nb::list in, out;
        for (ValueId v : g.in(n)) in.append(v);
        for (uint32_t k = 0; k < n.n_out; ++k) out.append(n.first_out + k);
        nb::dict attrs;
        const AttrView view = attr_view(g, n);
        // Where blocks are is of use to no reader; blocks() has them.
        for (size_t k = is_control(def) ? 2 : 0; k < def.attr_types.size(); ++k)
            attrs[def.attr_names[k]] = attr_value(def.attr_types[k], view, static_cast<int>(k));
        list.append(
            nb::make_tuple(def.name, in, attrs, out, site_text(m.sites[id]), m.taped[id] != 0));
    }
    return list;
}

// (kind, op names, where, buffers that it reads and that it writes, nanoseconds)
nb::tuple step_tuple(const Model& m, const Plan& plan, size_t k) {
    const Step& step = plan.steps[k];
    const Group& group = plan.groups[k];
    nb::list ops, reads, writes;
    for (NodeId n : group.nodes) ops.append(op_def(plan.graph.nodes[n].op).name);
    for_each_access(step, [&](const Slot& slot, bool write) {
        if (slot.buffer == step.workspace.buffer) return;
        const PlanBuffer& b = plan.buffers[slot.buffer];
        constexpr const char* kKinds[] = {"input ", "output ", "arena ", "constant "};
        const size_t number = b.kind == BufferKind::kArena ? b.offset : b.index;
        const std::string name = kKinds[static_cast<int>(b.kind)] + std::to_string(number);
        const nb::tuple place = nb::make_tuple(slot.buffer, name, b.bytes);
        // What was there before is read, and its place taken.
        const bool taken =
            b.kind == BufferKind::kInput || (b.kind == BufferKind::kArena && b.first < k);
        if (!write || taken) reads.append(place);
        if (write) writes.append(place);
    });
    const char* kind = !step.program ? "kernel" : step.kernel ? "kernel+epilogue" : "program";
    const std::string where = step.origin < m.sites.size() ? site_text(m.sites[step.origin]) : "";
    return nb::make_tuple(kind, ops, where, reads, writes, step.cost);
}

// What the plan of a call needs: bytes by what they are for, and where each piece is alive.
nb::dict plan_dict(const Model& m) {
    const std::shared_ptr<const Plan> plan = plan_of(m);
    nb::dict d;
    int64_t outputs = 0, constants = 0;
    nb::list buffers;
    for (const PlanBuffer& b : plan->buffers) {
        const auto bytes = static_cast<int64_t>(b.bytes);
        if (b.kind == BufferKind::kOutput) outputs += bytes;
        if (b.kind == BufferKind::kConstant) constants += bytes;
        if (b.kind == BufferKind::kArena)
            buffers.append(nb::make_tuple(b.offset, b.bytes, b.first, b.last));
    }
    nb::list steps, order;
    for (size_t k = 0; k < plan->steps.size(); ++k) steps.append(step_tuple(m, *plan, k));
    for (const GraphEdge& e : plan->edges) order.append(nb::make_tuple(e.from, e.to));
    d["steps"] = steps;
    d["order"] = order;
    d["arena"] = plan->arena_bytes;
    d["outputs"] = outputs;
    d["folded"] = constants;
    d["kernels"] = plan->steps.size();
    d["buffers"] = buffers;
    return d;
}

// For sennit/_bundle.py: the plans' bytes, the tensors' bytes, and what kernels they need.
nb::tuple freeze_model(const Model& m, const std::vector<std::vector<int64_t>>& sizes,
                       nb::handle stand, const std::vector<std::string>& results) {
    const std::vector<Tensor> tensors = tensors_of(stand, "bundle");
    const Frozen made = guarded([&] {
        std::vector<Model> variants;
        for (const std::vector<int64_t>& at : sizes)
            variants.push_back(m.sizes.empty() ? m : at_sizes(m, at));
        return freeze(m, variants, sizes, tensors, results);
    });
    nb::list needs;
    for (const std::string& line : made.needs) needs.append(line);
    return nb::make_tuple(nb::bytes(made.plans.data(), made.plans.size()),
                          nb::bytes(made.data.data(), made.data.size()), needs);
}

}  // namespace

void init_graphs(nb::module_& m) {
    nb::class_<Model>(m, "Program")
        .def("call",
             [](const Model& p, nb::handle inputs) {
                 return guarded([&] { return wrapped(call(p, tensors_of(inputs, "graph"))); });
             })
        .def("inputs",
             [](const Model& p) {  // by input: (name, role, value id, requires_grad)
                 nb::list list;
                 constexpr const char* kRoles[] = {"argument", "parameter", "constant"};
                 for (size_t i = 0; i < p.inputs.size(); ++i)
                     list.append(nb::make_tuple(p.inputs[i].name,
                                                kRoles[static_cast<int>(p.inputs[i].role)],
                                                p.graph.inputs[i], p.inputs[i].requires_grad));
                 return list;
             })
        .def("outputs",
             [](const Model& p) {
                 nb::list list;
                 for (ValueId v : p.graph.outputs) list.append(v);
                 return list;
             })
        .def("numbers_of_call",
             [](const Model& p) {
                 return guarded([&] {
                     RandomState state = random_state();
                     nb::list list;
                     for (const Tensor& t : numbers_of_call(p, state))
                         list.append(number_object(t.value()->scalar));
                     set_random_state(state);
                     return list;
                 });
             })
        .def(
            "call_node",
            [](const Model& p, NodeId id, nb::handle inputs, nb::object first_draw) {
                return guarded([&] {
                    if (id >= p.graph.nodes.size())
                        fail(ErrorKind::kValue, "graph", "there is no node %u", id);
                    const Node& n = p.graph.nodes[id];
                    std::vector<Tensor> in, out(n.n_out);
                    for (nb::handle x : inputs)
                        in.push_back(to_operand("graph", "operand", x.ptr()));
                    Attrs attrs;
                    for (int64_t word : p.graph.attr(n)) attrs.i(word);
                    if (!is_control(op_def(n.op))) check_call(op_def(n.op), in, attrs);
                    // Blocks draw the numbers that they would in a call which began at `first`,
                    // or those that come next.
                    NodeCalls calls{{}, random_state()};
                    if (!first_draw.is_none())
                        calls.random.counter = nb::cast<uint64_t>(first_draw);
                    else if (is_control(op_def(n.op)))
                        calls.random.counter -= static_cast<uint64_t>(attr_view(p.graph, n).i(1));
                    call_node(p, id, in, attrs, out, calls);
                    if (calls.further > 0) {
                        RandomState now = random_state();
                        now.counter += calls.further;
                        set_random_state(now);
                    }
                    return wrapped(out);
                });
            },
            nb::arg("node"), nb::arg("inputs"), nb::arg("first_draw").none() = nb::none())
        .def("conditions",
             [](const Model& p) {  // (relation, expression, where)
                 nb::list list;
                 for (const SizeCondition& c : p.conditions)
                     list.append(nb::make_tuple(static_cast<int>(c.relation),
                                                size_tuple(p, c.difference), site_text(c.site)));
                 return list;
             })
        .def("take_conditions",
             [](Model& p, const Model& from) {
                 SN_CHECK(p.sizes.size() == from.sizes.size());
                 p.conditions.insert(p.conditions.end(), from.conditions.begin(),
                                     from.conditions.end());
             })
        .def("updates", [](const Model& p) { return p.updates; })
        .def("draws", [](const Model& p) { return p.draws; })
        .def("sizes",
             [](const Model& p) {  // by open size: (name, least, most, multiple, example)
                 nb::list list;
                 for (const OpenSize& s : p.sizes)
                     list.append(nb::make_tuple(s.name, s.least, s.most, s.multiple, s.example));
                 return list;
             })
        .def("open_shapes", &open_shapes_of)
        .def("open_attributes", &open_attributes_of)
        .def("open_numbers", &open_numbers_of)
        .def("at",
             [](const Model& p, const std::vector<int64_t>& sizes) {
                 return guarded([&] { return at_sizes(p, sizes); });
             })
        .def("blocks",
             [](const Model& p, NodeId id) {  // of a node
                 const Node& n = p.graph.nodes.at(id);
                 nb::list list;
                 if (!is_control(op_def(n.op))) return list;
                 for (int64_t k : attr_view(p.graph, n).ints(0))
                     list.append(nb::cast(*p.blocks[static_cast<size_t>(k)]));
                 return list;
             })
        .def("values", &values_of)
        .def("numbers", &numbers_of)
        .def("nodes", &nodes_of)
        .def("plan", [](const Model& p) { return guarded([&] { return plan_dict(p); }); })
        .def(
            "write",
            [](Model& p, const std::string& signature, const std::vector<std::string>& trained) {
                p.signature = signature;
                for (ModelInput& input : p.inputs)
                    input.requires_grad = std::ranges::find(trained, input.name) != trained.end();
                return guarded([&] { return write_graph(p); });
            },
            nb::arg("signature") = "null", nb::arg("trained") = std::vector<std::string>())
        .def("freeze", &freeze_model)
        .def("signature", [](const Model& p) { return p.signature; })
        .def("apply",
             [](const Model& p, const std::string& pass, nb::handle constants) {
                 return guarded([&] {
                     std::vector<Tensor> tensors = tensors_of(constants, "optimize");
                     Model made = apply_pass(p, pass, &tensors);
                     return nb::make_tuple(nb::cast(std::move(made)), wrapped(tensors));
                 });
             })
        .def("cut", [](const Model& p, const std::vector<ValueId>& outputs) {
            return guarded([&] {
                std::vector<uint32_t> kept;
                Model made = cut(p, outputs, &kept);
                return nb::make_tuple(nb::cast(std::move(made)), nb::cast(kept));
            });
        });
    m.def("trace_graph", &trace_graph);
    m.def("open_graph", &open_graph);
    m.def(
        "set_size_class", [](nb::handle type) { return steal(set_size_class(type.ptr())); },
        nb::arg("type").none());
    m.def("in_graph_trace", &in_graph_trace);
    m.def("read_graph", [](const nb::bytes& text) {
        return guarded([&] { return read_graph({text.c_str(), text.size()}); });
    });
}

}  // namespace sn::py
