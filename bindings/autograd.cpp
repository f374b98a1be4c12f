// Gradients, custom functions, hooks, traces and recomputation, for sennit/autograd.py,
// sennit/_transforms.py and sennit/_checkpoint.py.
#include <algorithm>
#include <deque>
#include <set>

#include "base/error.h"
#include "nb.h"
#include "op/api.h"
#include "record/recorder.h"
#include "record/tape.h"
#include "record/trace.h"

namespace sn::py {

std::shared_ptr<PyObject> hold(PyObject* o) {
    return std::shared_ptr<PyObject>(Py_NewRef(o), [](PyObject* held) {
        const PyGILState_STATE gil = PyGILState_Ensure();
        Py_DECREF(held);
        PyGILState_Release(gil);
    });
}

Tensor lifted(Tensor made) {
    if (!current_trace() || trace_of(made)) return made;
    return alias(made);
}

namespace {

struct HookHandle {
    std::shared_ptr<GradHook> hook;
    void remove() { hook->call = nullptr; }
};

const char* interned(const std::string& name) {
    static std::set<std::string>* names = new std::set<std::string>;
    return names->insert(name).first->c_str();
}

std::vector<Tensor> tensor_list(nb::handle sequence, const char* op) {
    std::vector<Tensor> list;
    for (nb::handle item : sequence) list.push_back(to_tensor(op, "tensors", item.ptr()));
    return list;
}

nb::list wrap_list(std::span<const Tensor> tensors) {
    nb::list list;
    for (const Tensor& t : tensors) list.append(t ? steal(wrap(t)) : nb::none());
    return list;
}

// Whether somebody could differentiate what a backward pass from `roots` to `targets` computes:
// something else than these targets, fresh leaves, requires a gradient.
bool differentiable_again(std::span<const Tensor> roots, std::span<const Tensor> seeds,
                          const std::vector<Tensor>& targets) {
    if (current_trace()) return true;  // a replay may be differentiated
    for (const Tensor& t : seeds)
        if (t.requires_grad()) return true;
    for (const Tensor& t : targets)
        if (t.node() && !t.node()->leaf) return true;
    for (const Tensor& end : tape_boundary(roots, 0)) {
        bool own = false;
        for (const Tensor& t : targets) own |= t.node() == end.node();
        if (!own) return true;
    }
    return false;
}

// Gradients of `outputs` with respect to `inputs`; None where an input does not matter. With
// `stop`, what arrives at each input is a list, and goes no further. `create_graph` None: if
// anybody could use it.
nb::list gradients(nb::handle outputs, nb::handle inputs, nb::handle out_gradients,
                   nb::object create_graph, bool stop, nb::handle own) {
    return guarded([&] {
        const std::vector<Tensor> roots = tensor_list(outputs, "grad"),
                                  targets = tensor_list(inputs, "grad");
        std::vector<Tensor> seeds;
        if (!out_gradients.is_none()) {
            for (nb::handle g : out_gradients) {
                const size_t k = seeds.size();
                seeds.push_back(g.is_none() ? Tensor() : to_tensor("grad", "gradients", g.ptr()));
                if (k >= roots.size() || !seeds[k] || seeds[k].shape() == roots[k].shape())
                    continue;
                fail(ErrorKind::kShape, "grad",
                     "gradient %zu has shape %s, its output %s; they must be equal", k,
                     format_shape(seeds[k].shape()).c_str(),
                     format_shape(roots[k].shape()).c_str());
            }
            if (seeds.size() != roots.size()) {
                fail(ErrorKind::kValue, "grad",
                     "%zu gradients are given for %zu outputs; one for each is required (None for "
                     "ones)",
                     seeds.size(), roots.size());
            }
        }
        std::vector<Tensor> live_roots, live_seeds;
        for (size_t k = 0; k < roots.size(); ++k) {
            if (!roots[k].requires_grad()) continue;
            live_roots.push_back(roots[k]);
            live_seeds.push_back(k < seeds.size() && seeds[k] ? seeds[k]
                                                              : ones_like(roots[k].detach()));
        }
        BackwardOptions options;
        if (create_graph.is_none()) {
            std::vector<Tensor> ours = tensor_list(own, "grad");
            ours.insert(ours.end(), targets.begin(), targets.end());
            options.create_graph = differentiable_again(live_roots, live_seeds, ours);
        } else {
            options.create_graph = nb::cast<bool>(create_graph);
        }
        options.accumulate = false;
        options.targets = targets;
        options.stop_at_targets = stop;
        std::vector<std::vector<Tensor>> arrived(targets.size());
        options.arrived = &arrived;
        std::vector<Tensor> found(targets.size());
        if (!live_roots.empty() && !targets.empty())
            found = backward(live_roots, live_seeds, options);
        if (!stop) return wrap_list(found);
        nb::list result;
        for (const auto& list : arrived)
            result.append(list.empty() ? nb::object(nb::none()) : nb::object(wrap_list(list)));
        return result;
    });
}

// A fresh leaf over the same value, for functional gradients.
nb::object make_leaf_like(nb::handle x) {
    return guarded([&] {
        const Tensor t = to_tensor("grad", "x", x.ptr());
        if (!is_inexact(t.dtype())) {
            fail(ErrorKind::kGrad, "grad",
                 "an argument of dtype %s has no gradient; only floating-point tensors have; "
                 "convert it with x.astype(sn.float32)",
                 dtype_name(t.dtype()));
        }
        return steal(wrap(relay(t.detach())));
    });
}

// A leaf whose history continues: identity on the tape, so that an inner gradient can be
// differentiated again by an outer one.
nb::object make_relay(nb::handle x) {
    return guarded([&] {
        const Tensor t = to_tensor("grad", "x", x.ptr());
        if (!t.requires_grad()) return make_leaf_like(x);
        return steal(wrap(relay(t)));
    });
}

// ---- custom functions

// A tensor that a custom function keeps for its gradient: a result is kept without its own history,
// which would be a circle.
struct Saved {
    Tensor tensor;
    int output = -1;
};

// A Python function made the gradient rule of an entry: `backward(saved, *gradients)` gives one
// gradient (or a list of them, to be added one after the other) for each input.
std::function<void(GradCall&)> python_rule(nb::object backward_function, std::vector<Saved> saved,
                                           std::string name) {
    return [held = hold(backward_function.ptr()), saved = std::move(saved),
            name = std::move(name)](GradCall& c) {
        nb::list kept, arguments;
        for (const Saved& s : saved)
            kept.append(steal(wrap(s.output < 0 ? s.tensor
                                                : Tensor(s.tensor.value(), Ref<GradNode>(&c.node),
                                                         static_cast<uint32_t>(s.output)))));
        arguments.append(kept);
        for (const Tensor& g : c.out_grads) arguments.append(g ? steal(wrap(g)) : nb::none());
        nb::object result = steal(PyObject_CallObject(held.get(), nb::tuple(arguments).ptr()));
        if (!result.is_valid()) raise_python();
        nb::list list(result);
        if (list.size() != c.in_grads.size()) {
            fail(ErrorKind::kGrad, name,
                 "backward gave %zu gradients for %zu tensor inputs; return one for each "
                 "(None for those without)",
                 list.size(), c.in_grads.size());
        }
        std::vector<std::vector<Tensor>> further;
        for (size_t i = 0; i < list.size(); ++i) {
            nb::object item = list[i];
            if (item.is_none()) continue;
            if (!PyList_Check(item.ptr())) {
                c.set(static_cast<int>(i), to_tensor(name.c_str(), "gradient", item.ptr()));
                continue;
            }
            const std::vector<Tensor> several = tensor_list(item, name.c_str());
            c.set(static_cast<int>(i), several[0]);
            if (several.size() == 1) continue;
            further.resize(list.size());
            further[i].assign(several.begin() + 1, several.end());
        }
        c.node.extra->further = std::move(further);
    };
}

// Puts a custom function on the tape: `outputs` (computed without one) depend on `inputs`. In a
// trace it becomes a region from node `first` on: a replay calls `rewrap`, which calls this
// function with the replay's tensors.
nb::list custom_function(nb::handle inputs, nb::handle outputs, nb::object backward_function,
                         std::string name, nb::handle saved_tensors, nb::object rewrap,
                         uint32_t first) {
    return guarded([&] {
        const std::vector<Tensor> in = tensor_list(inputs, name.c_str()),
                                  raw = tensor_list(outputs, name.c_str()),
                                  keep = tensor_list(saved_tensors, name.c_str());
        std::vector<Tensor> out = raw;
        if (RecordWatch* watch = Recorder::window().watch) watch->custom |= grad_enabled();
        Trace* trace = rewrap.is_none() || !grad_enabled() ? nullptr : current_trace();
        if (trace) {  // results are values of the region's own
            const NoGrad no_grad;
            for (Tensor& t : out) {
                const ValueId id = trace->id_of(t);
                const NodeId made = id == kNone ? kNone : trace->graph.producer(id);
                if (made == kNone || made < first) t = alias(t);
            }
        }
        Ref<GradNode> node(
            GradNode::make(static_cast<int>(in.size()), static_cast<int>(out.size())));
        bool any = false;
        for (size_t i = 0; i < in.size(); ++i) {
            node->inputs[i] = {in[i].node(), in[i].output(), nullptr, in[i].value()->meta};
            any |= in[i].requires_grad();
        }
        std::vector<Saved> saved;
        for (const Tensor& t : keep) {
            saved.push_back({t, -1});
            for (size_t k = 0; k < raw.size() && !t.node(); ++k)
                if (raw[k].value() == t.value() && is_inexact(t.dtype()))
                    saved.back() = {out[k].detach(), static_cast<int>(k)};
        }
        node->site = current_site();
        node->extra = std::make_unique<GradExtra>();
        node->extra->name = interned(name);
        node->extra->backward = python_rule(backward_function, saved, name);
        nb::list results;
        for (size_t k = 0; k < out.size(); ++k) {
            node->outputs[k].meta = out[k].value()->meta;
            const bool differentiable = any && grad_enabled() && is_inexact(out[k].dtype());
            results.append(
                steal(wrap(differentiable ? Tensor(out[k].value(), node, static_cast<uint32_t>(k))
                                          : out[k].detach())));
        }
        if (trace) {
            TraceRegion region{first, static_cast<uint32_t>(trace->graph.nodes.size()), in, {}, {},
                               {}};
            for (const Tensor& t : out) region.out.push_back(t.detach());
            for (const Saved& s : saved) region.saved.push_back(s.tensor);
            region.wrap = [held = hold(rewrap.ptr())](const TraceRegion::Call& c) {
                nb::list lists;
                for (const auto& group : {c.in, c.out, c.saved}) {
                    nb::list tensors, flags;
                    for (const Batched& b : group) {
                        tensors.append(steal(wrap(b.tensor)));
                        flags.append(b.batched);
                    }
                    lists.append(tensors);
                    lists.append(flags);
                }
                lists.append(c.size);
                nb::object made = steal(PyObject_CallObject(held.get(), nb::tuple(lists).ptr()));
                if (!made.is_valid()) raise_python();
                return tensor_list(made, "custom function");
            };
            trace->add_region(std::move(region));
        }
        return results;
    });
}

// ---- traces

Randomness randomness_of(const std::string& text) {
    if (text == "error") return Randomness::kError;
    if (text == "different") return Randomness::kDifferent;
    if (text == "same") return Randomness::kSame;
    fail(ErrorKind::kValue, "vmap", "randomness is '%s'; it must be 'error', 'different' or 'same'",
         text.c_str());
}

// The traces of call_batched on this thread, with the sizes of their batches.
struct BatchTrace {
    Trace& trace;
    int64_t size;
    BatchTrace* before;
};
thread_local BatchTrace* innermost = nullptr;

nb::tuple lists_of(const std::vector<Batched>& tensors) {
    nb::list values, flags;
    for (const Batched& b : tensors) {
        values.append(steal(wrap(b.tensor)));
        flags.append(b.batched);
    }
    return nb::make_tuple(values, flags);
}

// Calls `function(leaves, ...)` once for one example of each batched tensor, and what it recorded
// for all of them. `function` gets the list of tensors and returns a list of tensors; the result is
// (tensors, whether each has the batch in dimension 0).
nb::tuple call_batched_function(nb::object function, nb::handle tensors, nb::handle batched,
                                int64_t size, const std::string& randomness) {
    return guarded([&] {
        const std::vector<Tensor> leaves = tensor_list(tensors, "vmap");
        Trace trace(randomness_of(randomness));
        if (RecordWatch* watch = Recorder::window().watch) watch->relayed = true;
        nb::list arguments;
        size_t i = 0;
        for (nb::handle flag : batched) {
            if (nb::cast<bool>(flag))
                arguments.append(steal(wrap(trace.example({leaves[i], true}))));
            else
                arguments.append(tensors[i]);
            ++i;
        }
        std::vector<Tensor> outputs;
        {
            BatchTrace here{trace, size, innermost};
            innermost = &here;
            struct Restore {
                BatchTrace* before;
                ~Restore() { innermost = before; }
            } restore{here.before};
            const RecordInto scope(trace);
            nb::object made = steal(PyObject_CallOneArg(function.ptr(), arguments.ptr()));
            if (!made.is_valid()) raise_python();
            outputs = tensor_list(made, "vmap");
        }
        return lists_of(trace.for_all(outputs, size));
    });
}

// Calls a function that needs values in the middle of call_batched's: `function(tensors, batched,
// size)` gets the tensors for all examples, outside of the trace, and its results (with the batch
// in dimension 0 when one of the tensors has it) become placeholders inside. None where there is
// nothing to wait for: outside of call_batched, or when all tensors can be read.
nb::object call_for_all(nb::handle tensors, nb::object function) {
    return guarded([&]() -> nb::object {
        const std::vector<Tensor> in = tensor_list(tensors, "vmap");
        if (!innermost || current_trace() != &innermost->trace) return nb::none();
        const bool needed = std::ranges::any_of(
            in, [](const Tensor& t) { return trace_of(t) || t.requires_grad(); });
        if (!needed) return nb::none();
        const int64_t size = innermost->size;
        Trace& trace = innermost->trace;
        const std::vector<Batched> whole = trace.for_all(in, size);
        const bool any = std::ranges::any_of(whole, [](const Batched& b) { return b.batched; });
        std::vector<Tensor> results;
        {
            struct Restore {
                BatchTrace* here = std::exchange(innermost, innermost->before);
                ~Restore() { innermost = here; }
            } restore;
            const RecordInto scope(trace.outer());
            nb::tuple lists = lists_of(whole);
            nb::object first = lists[0], second = lists[1];
            nb::object made = steal(PyObject_CallFunction(
                function.ptr(), "OOL", first.ptr(), second.ptr(), static_cast<long long>(size)));
            if (!made.is_valid()) raise_python();
            results = tensor_list(made, "vmap");
        }
        nb::list list;
        for (Tensor& t : results) list.append(steal(wrap(trace.example({std::move(t), any}))));
        return list;
    });
}

}  // namespace

PyObject* wrap_hook(std::shared_ptr<GradHook> hook) {
    return nb::cast(HookHandle{std::move(hook)}).release().ptr();
}

void init_autograd(nb::module_& m) {
    nb::class_<HookHandle>(m, "HookHandle")
        .def("remove", &HookHandle::remove, "Takes the hook away; a second time does nothing.")
        .def("__enter__", [](nb::object self) { return self; })
        .def("__exit__", [](HookHandle& h, nb::args) { h.remove(); });
    nb::class_<Writes>(m, "Writes")
        .def(nb::init<>())
        .def(
            "call",
            [](Writes& w, nb::object function) {
                const struct Watch {
                    Writes* before;
                    ~Watch() { watch_writes(before); }
                } watch{watch_writes(&w)};
                return function();
            },
            "Calls a function and notes what it writes in place.")
        .def("undo", [](Writes& w) { w.undo(); })
        .def("keep_outer", [](Writes& w, nb::list results) { w.keep_outer(results.ptr()); });

    m.def("grad_enabled", &grad_enabled);
    m.def("set_grad_enabled", &set_grad_enabled);
    m.def("gradients", &gradients, nb::arg("outputs"), nb::arg("inputs"),
          nb::arg("gradients").none(), nb::arg("create_graph").none(), nb::arg("stop") = false,
          nb::arg("own") = nb::list());
    m.def("differentiable", [](nb::handle tensors, nb::handle leaves) {
        return guarded([&] {
            return differentiable_again(tensor_list(tensors, "grad"), {},
                                        tensor_list(leaves, "grad"));
        });
    });
    // The tensor without its history, unless that leads to more than these leaves.
    m.def("settled", [](nb::handle x, nb::handle leaves) {
        return guarded([&] {
            const Tensor t = to_tensor("grad", "x", x.ptr());
            const Tensor roots[] = {t};
            if (!t.requires_grad() || differentiable_again(roots, {}, tensor_list(leaves, "grad")))
                return nb::borrow(x);
            return steal(wrap(t.detach()));
        });
    });
    m.def("make_leaf", &make_leaf_like);
    m.def("make_relay", &make_relay);
    m.def("custom_function", &custom_function, nb::arg("inputs"), nb::arg("outputs"),
          nb::arg("backward"), nb::arg("name"), nb::arg("saved"), nb::arg("rewrap").none(),
          nb::arg("first"));
    m.def("tracing", [] { return current_trace() != nullptr; });
    m.def("traced_nodes", [] {
        const Trace* trace = current_trace();
        return trace ? static_cast<uint32_t>(trace->graph.nodes.size()) : 0u;
    });
    m.def("call_batched", &call_batched_function);
    m.def("call_for_all", &call_for_all);
    m.def("tape_mark", &tape_mark);
    m.def("tape_boundary", [](nb::handle roots, uint64_t mark) {
        return guarded([&] { return wrap_list(tape_boundary(tensor_list(roots, "grad"), mark)); });
    });
    m.def("same_place", [](nb::handle a, nb::handle b) {
        const Tensor &x = get(a.ptr()), &y = get(b.ptr());
        return x.node() == y.node() && x.output() == y.output();
    });
    m.def("barrier", [](nb::handle x, nb::handle after) {
        return guarded([&] {
            return steal(
                wrap(barrier(to_tensor("barrier", "x", x.ptr()), tensor_list(after, "barrier"))));
        });
    });
    m.def("random_state", [] {
        const RandomState s = random_state();
        return nb::make_tuple(s.seed, s.counter);
    });
    m.def("set_random_state",
          [](uint64_t seed, uint64_t counter) { set_random_state({seed, counter}); });
}

}  // namespace sn::py
