// sennit.CompiledFunction: the fast path of sn.compile. A call looks for a specialisation whose
// guards and arguments fit, binds the values of its tensors, runs its plan and points the handles
// at the new values. Everything else (recording, messages) is in sennit/_compile.py.
#include <nanobind/stl/shared_ptr.h>

#include <algorithm>

#include "compiled.h"
#include "nb.h"
#include "op/op.h"
#include "plan/execute.h"
#include "record/read.h"
#include "record/trace.h"

namespace sn::py {

namespace {

struct Entry {
    std::shared_ptr<GuardSet> guards;
    std::vector<SpecialisationRef> list;  // the latest first
};

struct State {
    std::vector<Entry> entries;  // the latest first
    bool off = false;            // stays imperative
    int64_t check = 0, calls = 0, runs = 0;
    // Memory of a call, used again.
    std::vector<PyObject*> tensors;
    std::vector<Ref<Value>> inputs, outputs;
    std::vector<Value*> made;
    std::vector<PyObject*> handles;
    bool busy = false;
};

struct PyCompiled {
    PyObject_HEAD vectorcallfunc vectorcall;
    PyObject* function;
    PyObject* control;  // of sennit/_compile.py
    PyObject* dict;
    PyObject* weakrefs;
    State* state;
};
PyTypeObject* compiled_type = nullptr;
PyCompiled* as_compiled(PyObject* o) { return reinterpret_cast<PyCompiled*>(o); }

const Tensor& current(PyObject* o) {
    PyTensor* p = as_py(o);
    return p->cell ? read(*p->cell) : p->tensor;
}

bool fits(const Meta& a, const Meta& b) {
    return a.dtype == b.dtype && a.shape == b.shape && a.device == b.device;
}

bool has_hook(const GradNode& node) {
    if (node.extra)
        for (const auto& hook : node.extra->hooks)
            if (hook->call) return true;
    return false;
}

std::string describe(const Tensor& t) {
    return std::string(dtype_name(t.dtype())) + format_shape(t.shape()) + " on " +
           device_name(t.device());
}

// Whether a tensor is what the recording had in its place.
bool port_fits(const Port& port, const Tensor& t, std::string* why) {
    const auto differs = [&](const std::string& text) {
        if (why) *why = port.name + " " + text;
        return false;
    };
    const Meta& meta = t.value()->meta;
    if (!fits(meta, port.meta)) {
        if (!why) return false;
        const Tensor before(Ref<Value>(new Value));
        before.value()->meta = port.meta;
        return differs("was " + describe(before) + " and is now " + describe(t));
    }
    GradNode* node = t.node().get();
    if (port.taped != (node != nullptr))
        return differs(node ? "requires a gradient now" : "requires no gradient any more");
    if (!node) return true;
    if (node->leaf != port.leaf)
        return differs(port.leaf ? "has a history now" : "has no history any more");
    if (!port.leaf) return true;
    const Tensor& grad = node->extra->grad;
    if (static_cast<bool>(grad) != port.has_grad)
        return differs(grad ? "has a gradient now" : "has no gradient any more");
    if (grad && !fits(grad.value()->meta, port.grad_meta))
        return differs("has a gradient of another dtype");
    if (!node->extra->hooks.empty() && has_hook(*node)) return differs("has a hook now");
    return true;
}

// The floats that formulas start from; false: one is gone.
bool read_rates(const Specialisation& s, SmallVec<double, 8>& rates) {
    for (const auto& [dict, key] : s.rates) {
        PyObject* value = PyDict_GetItemWithError(dict.get(), key.get());
        if (!value || !PyFloat_CheckExact(value)) return false;
        rates.push_back(PyFloat_AS_DOUBLE(value));
    }
    return true;
}

bool holds(const Condition& c, std::span<const double> rates) {
    const double x = evaluate(c.left, rates), y = evaluate(c.right, rates);
    const bool now = c.op == Py_EQ   ? x == y
                     : c.op == Py_NE ? x != y
                     : c.op == Py_LT ? x < y
                     : c.op == Py_LE ? x <= y
                     : c.op == Py_GT ? x > y
                                     : x >= y;
    return now == c.outcome;
}

// The handles of a call, by port; false: it does not fit.
bool find_handles(const Specialisation& s, PyObject* const* args, size_t n_args, PyObject* names,
                  State& state, std::string* why) {
    const auto differs = [&](const char* text) {
        if (why) *why = text;
        return false;
    };
    if (s.grad_mode != grad_enabled())
        return differs(grad_enabled() ? "gradients are recorded now"
                                      : "gradients are not recorded now (sn.no_grad)");
    if (s.autocast != autocast_modes()) return differs("sn.autocast is another one now");
    const size_t n_all = n_args + (names ? static_cast<size_t>(PyTuple_GET_SIZE(names)) : 0);
    if (names != s.names.get() && (!names || !s.names || !same_object(names, s.names.get())))
        return differs("the call has other keyword arguments");
    if (!s.rates.empty()) {
        SmallVec<double, 8> rates;
        if (!read_rates(s, rates)) return differs("a number is no float any more");
        for (const Condition& c : s.conditions)
            if (!holds(c, {rates.data(), rates.size()}))
                return differs("a condition on a number has changed");
    }
    state.tensors.clear();
    size_t at = 0;
    for (size_t i = 0; i < n_all; ++i) {
        if (at == s.arguments.size()) return differs("the call has more arguments");
        const TreeNode& n = s.arguments[at];
        if (matches(s.arguments, at, args[i], state.tensors)) continue;
        if (why) {
            *why = "argument " + std::to_string(i) + " has another structure";
            if (n.kind == TreeNode::kObject)
                *why = "argument " + std::to_string(i) + " was " + short_repr(n.object.get()) +
                       " and is now " + short_repr(args[i]);
        }
        return false;
    }
    if (at != s.arguments.size()) return differs("the call has fewer arguments");
    state.handles.clear();
    for (size_t k = 0; k < s.objects.size(); ++k) {
        if (s.objects[k] < 0)
            state.handles.push_back(state.tensors[k]);
        else if (s.ports[static_cast<size_t>(s.objects[k])].handle.get() != state.tensors[k])
            return differs("an argument was a tensor of the function's own, and is another now");
    }
    for (size_t i = s.n_arguments; i < s.ports.size(); ++i)
        state.handles.push_back(s.ports[i].handle.get());
    for (size_t i = 0; i < s.ports.size(); ++i)
        if (!port_fits(s.ports[i], current(state.handles[i]), why)) return false;
    if (!s.changes) return true;
    // What is changed must not be there twice, nor be seen through a view.
    bool cells = false, views = false;
    for (const Effect& e : s.effects) cells |= !e.grad && as_py(state.handles[e.port])->cell;
    for (PyObject* o : state.handles) views |= as_py(o)->cell && as_py(o)->cell->base;
    if (cells && views) return differs("a view of a tensor that is changed is used too");
    for (size_t i = 0; i < s.n_arguments; ++i)
        for (size_t j = i + 1; j < s.ports.size(); ++j)
            if (state.handles[i] == state.handles[j])
                return differs("an argument is a tensor of the function's own now");
    return true;
}

const Tensor& tensor_of(const Specialisation& s, const State& state, const Source& from) {
    if (from.kind == Source::kConstant) return s.constants[from.index];
    const Tensor& t = current(state.handles[from.index]);
    return from.kind == Source::kGrad ? t.node()->extra->grad : t;
}

// Values that a window has yet to compute, or another lane is computing: brought about first.
// Whether anything had to be done, in which case others may have run meanwhile.
bool settle_inputs(const Specialisation& s, const State& state, Recorder& window) {
    bool done = false;
    for (const Source& from : s.inputs) {
        const Tensor t = tensor_of(s, state, from);
        const Value& v = *t.value();
        if (v.kind != ValueState::kBuffer) {
            materialize(t);
            done = true;
        } else if (v.lane && v.lane != &window.lane() &&
                   v.buffer->state() == BufferState::kPending) {
            window.prepare(t);
            done = true;
        }
    }
    return done;
}

void rebind_to(PyObject* o, Tensor value) {
    PyTensor* p = as_py(o);
    if (p->cell)
        write(*p->cell, std::move(value));
    else
        p->tensor = std::move(value);
}

PyObject* build(const Specialisation& s, size_t& at, const std::vector<Held>& tensors) {
    const TreeNode& n = s.returned[at++];
    const Py_ssize_t count = n.count;
    switch (n.kind) {
        case TreeNode::kTensor: return Py_NewRef(tensors[n.index].get());
        case TreeNode::kObject: return Py_NewRef(n.object.get());
        case TreeNode::kList: {
            PyObject* list = PyList_New(count);
            for (Py_ssize_t i = 0; i < count; ++i) PyList_SET_ITEM(list, i, build(s, at, tensors));
            return list;
        }
        case TreeNode::kDict: {
            PyObject* dict = PyDict_New();
            for (Py_ssize_t i = 0; i < count; ++i) {
                const Held value = Held::steal(build(s, at, tensors));
                PyDict_SetItem(dict, PyTuple_GET_ITEM(n.object.get(), i), value.get());
            }
            return dict;
        }
        case TreeNode::kTuple:
        case TreeNode::kNamedTuple: break;
    }
    Held tuple = Held::steal(PyTuple_New(count));
    for (Py_ssize_t i = 0; i < count; ++i) PyTuple_SET_ITEM(tuple.get(), i, build(s, at, tensors));
    if (n.kind == TreeNode::kTuple) return Py_NewRef(tuple.get());
    PyObject* named = PyObject_CallObject(n.object.get(), tuple.get());
    if (!named) raise_python();
    return named;
}

// Runs a specialisation on the handles that were found. Nothing has happened when it throws.
PyObject* run(Specialisation& s, State& state, Recorder& window) {
    if (!s.formulas.empty()) {
        SmallVec<double, 8> rates;
        read_rates(s, rates);
        for (const auto& [scalar, formula] : s.formulas)
            s.graph->set_number(scalar, evaluate(formula, {rates.data(), rates.size()}));
    }
    std::vector<Tensor> after;  // by output
    const size_t n_outputs = s.graph->model().graph.outputs.size();
    std::vector<Tensor> shown;  // values from before that results and effects show
    const auto keep_shown = [&](const Outcome& o) {
        if (o.kind == Outcome::kSource) shown.push_back(tensor_of(s, state, o.source).detach());
    };
    for (const Effect& e : s.effects) keep_shown(e.value);
    for (const Result& r : s.results) keep_shown(r.value);
    if (s.on_tape) {
        std::vector<Tensor> in;
        for (const Source& from : s.inputs) in.push_back(tensor_of(s, state, from));
        after = call(s.graph->model(), in);
    } else {
        state.inputs.clear();
        for (const Source& from : s.inputs)
            state.inputs.push_back(tensor_of(s, state, from).value());
        s.graph->choose(state.inputs, s.replaced);
        const Graph& g = s.graph->model().graph;
        after.reserve(n_outputs);
        for (ValueId v : g.outputs) {
            Ref<Value> made(new Value);
            made->meta = g.meta(v);
            after.emplace_back(std::move(made));
        }
    }
    // From here on nothing fails.
    size_t next = 0;
    const auto value_of = [&](const Outcome& o) {
        return o.kind == Outcome::kOutput   ? after[o.output]
               : o.kind == Outcome::kSource ? shown[next++]
                                            : Tensor();
    };
    for (const Effect& e : s.effects) {
        const Tensor before = current(state.handles[e.port]);
        Tensor now = value_of(e.value);
        if (e.grad) {
            before.node()->extra->grad = now.detach();
            continue;
        }
        if (e.state && now.value()->kind == ValueState::kPending) {
            const Value& v = *before.value();
            now.value()->former =
                v.kind == ValueState::kPending && v.former ? v.former : before.value();
        }
        rebind_to(state.handles[e.port], Tensor(now.value(), before.node(), before.output()));
    }
    std::vector<Held> results;
    results.reserve(s.results.size());
    for (const Result& r : s.results) {
        if (r.handle || r.port >= 0) {
            results.push_back(r.handle ? r.handle
                                       : Held(state.handles[static_cast<size_t>(r.port)]));
            continue;
        }
        Tensor t = value_of(r.value);
        if (r.spent) t = Tensor(t.value(), r.spent, 0);
        results.push_back(Held::steal(wrap(std::move(t))));
    }
    if (!s.on_tape) {
        state.made.clear();
        for (const Tensor& t : after) state.made.push_back(t.value().get());
        s.graph->run(window, state.inputs, state.made);
        state.inputs.clear();
    }
    ++s.runs;
    ++state.runs;
    size_t at = 0;
    return build(s, at, results);
}

// A specialisation that fits, moved to the front; null: none.
Specialisation* find(State& state, PyObject* const* args, size_t n_args, PyObject* names) {
    for (size_t i = 0; i < state.entries.size(); ++i) {
        if (!state.entries[i].guards->holds()) continue;
        auto& list = state.entries[i].list;
        for (size_t k = 0; k < list.size(); ++k) {
            if (!find_handles(*list[k], args, n_args, names, state, nullptr)) continue;
            const auto at = list.begin() + static_cast<std::ptrdiff_t>(k);
            std::rotate(list.begin(), at, at + 1);
            const auto entry = state.entries.begin() + static_cast<std::ptrdiff_t>(i);
            std::rotate(state.entries.begin(), entry, entry + 1);
            return state.entries.front().list.front().get();
        }
    }
    return nullptr;
}

PyObject* try_call(State& state, PyObject* const* args, size_t n_args, PyObject* names) {
    if (state.busy) return nullptr;
    const struct Busy {
        bool& flag;
        explicit Busy(bool& f) : flag(f) { flag = true; }
        ~Busy() { flag = false; }
    } busy(state.busy);
    Recorder& window = Recorder::window();
    // Waiting lets others run: what has been found before is found again.
    if (!window.lane().idle()) window.lane().wait_for_room();
    settle_failures(window);
    window.settle_for_launch();
    for (int tries = 0; tries < 4; ++tries) {
        Specialisation* s = find(state, args, n_args, names);
        if (!s) return nullptr;
        if (!s->on_tape && settle_inputs(*s, state, window)) continue;
        return run(*s, state, window);
    }
    return nullptr;
}

// Whether calls are to go through the function itself here.
bool calls_through() {
    return detect_nan() || current_trace() || recording_now() || watching_writes();
}

PyObject* call_compiled(PyObject* self, PyObject* const* args, size_t flags, PyObject* names) {
    PyCompiled* c = as_compiled(self);
    State& state = *c->state;
    const size_t n_args = static_cast<size_t>(PyVectorcall_NARGS(flags));
    SN_PY_TRY
    const size_t named = names ? static_cast<size_t>(PyTuple_GET_SIZE(names)) : 0;
    if (state.off || calls_through() || (symbols_exist && any_symbols(args, n_args + named)))
        return PyObject_Vectorcall(c->function, args, flags, names);
    ++state.calls;
    if (!state.check || state.calls % state.check) {
        if (PyObject* result = try_call(state, args, n_args, names)) return result;
    }
    SN_PY_CATCH(nullptr)
    // slow(compiled, args, names)
    Held all = Held::steal(PyTuple_New(static_cast<Py_ssize_t>(
        n_args + (names ? static_cast<size_t>(PyTuple_GET_SIZE(names)) : 0))));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(all.get()); ++i)
        PyTuple_SET_ITEM(all.get(), i, Py_NewRef(args[i]));
    return PyObject_CallMethod(c->control, "slow", "OO", all.get(), names ? names : Py_None);
}

PyObject* compiled_new(PyTypeObject* type, PyObject* args, PyObject*) {
    PyObject *function, *control;
    long long check;
    if (!PyArg_ParseTuple(args, "OOL", &function, &control, &check)) return nullptr;
    auto* c = as_compiled(type->tp_alloc(type, 0));
    if (!c) return nullptr;
    c->vectorcall = call_compiled;
    c->function = Py_NewRef(function);
    c->control = Py_NewRef(control);
    c->dict = nullptr;
    c->weakrefs = nullptr;
    c->state = new State;
    c->state->check = check;
    return reinterpret_cast<PyObject*>(c);
}

int compiled_traverse(PyObject* self, visitproc visit, void* arg) {
    PyCompiled* c = as_compiled(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(c->function);
    Py_VISIT(c->control);
    Py_VISIT(c->dict);
    // A function that is kept by what it depends on (model.step = sn.compile(...)).
    if (!c->state) return 0;
    for (const Entry& e : c->state->entries) {
        for (const Guard& g : e.guards->guards) {
            Py_VISIT(g.object.get());
            for (const auto& [key, value] : g.items) {
                Py_VISIT(key.get());
                Py_VISIT(value.get());
            }
        }
        for (const SpecialisationRef& s : e.list)
            for (const TreeNode& n : s->arguments) Py_VISIT(n.object.get());
    }
    return 0;
}
int compiled_clear(PyObject* self) {
    PyCompiled* c = as_compiled(self);
    if (c->state) c->state->entries.clear();
    Py_CLEAR(c->function);
    Py_CLEAR(c->control);
    Py_CLEAR(c->dict);
    return 0;
}
void compiled_dealloc(PyObject* self) {
    PyCompiled* c = as_compiled(self);
    PyTypeObject* type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (c->weakrefs) PyObject_ClearWeakRefs(self);
    compiled_clear(self);
    delete c->state;
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject* compiled_bind(PyObject* self, PyObject* object, PyObject*) {
    return object && object != Py_None ? PyMethod_New(self, object) : Py_NewRef(self);
}

PyObject* compiled_repr(PyObject* self) {
    return PyUnicode_FromFormat("<sn.compile of %R>", as_compiled(self)->function);
}

PyObject* explain(PyObject* self, PyObject*) {
    return PyObject_CallMethod(as_compiled(self)->control, "explain", nullptr);
}

// Like a function: copies are the same one, and a pickle holds the name.
PyObject* itself(PyObject* self, PyObject*) { return Py_NewRef(self); }
PyObject* reduce(PyObject* self, PyObject*) { return PyObject_GetAttrString(self, "__qualname__"); }

PyObject* get_function(PyObject* self, void*) { return Py_NewRef(as_compiled(self)->function); }
PyObject* get_control(PyObject* self, void*) { return Py_NewRef(as_compiled(self)->control); }

PyMethodDef compiled_methods[] = {
    {"explain", explain, METH_NOARGS,
     "explain($self, /)\n--\n\nWhat was recorded, what it depends on, and why calls were recorded "
     "again or run imperatively: a text."},
    {"__copy__", itself, METH_NOARGS, nullptr},
    {"__deepcopy__", itself, METH_O, nullptr},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyMemberDef compiled_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(PyCompiled, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PyCompiled, weakrefs), READONLY, nullptr},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(PyCompiled, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyGetSetDef compiled_getset[] = {
    {"__wrapped__", get_function, nullptr, "The function itself.", nullptr},
    {"_control", get_control, nullptr, nullptr, nullptr},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
#define SN_SLOT(slot, function) {slot, reinterpret_cast<void*>(function)}
PyType_Slot compiled_slots[] = {
    {Py_tp_doc,
     const_cast<char*>(
         "What `sn.compile` makes of a function: called like it.\n\nAttributes\n----------\n"
         "__wrapped__ : callable\n    The function itself.\n\nExamples\n--------\n"
         ">>> double = sn.compile(lambda x: x * 2)\n"
         ">>> [double(sn.tensor(3.0)).item() for _ in range(4)]\n"
         "[6.0, 6.0, 6.0, 6.0]\n"
         ">>> isinstance(double, sn.CompiledFunction)\nTrue\n"
         ">>> double.__wrapped__(sn.tensor(1.0)).item()\n2.0\n")},
    SN_SLOT(Py_tp_new, compiled_new),
    SN_SLOT(Py_tp_dealloc, compiled_dealloc),
    SN_SLOT(Py_tp_traverse, compiled_traverse),
    SN_SLOT(Py_tp_clear, compiled_clear),
    SN_SLOT(Py_tp_call, PyVectorcall_Call),
    SN_SLOT(Py_tp_descr_get, compiled_bind),
    SN_SLOT(Py_tp_repr, compiled_repr),
    {Py_tp_methods, compiled_methods},
    {Py_tp_members, compiled_members},
    {Py_tp_getset, compiled_getset},
    {0, nullptr},
};
PyType_Spec compiled_spec = {"sennit.CompiledFunction", sizeof(PyCompiled), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
                             compiled_slots};

// ---- for sennit/_compile.py

State& state_of(nb::handle o) { return *as_compiled(o.ptr())->state; }

struct Arguments {  // a call's, as the slow path has them
    std::vector<PyObject*> all;
    PyObject* names;
    size_t n_args;
    Arguments(const nb::tuple& values, nb::handle keywords)
        : names(keywords.is_none() ? nullptr : keywords.ptr()) {
        for (nb::handle h : values) all.push_back(h.ptr());
        n_args = all.size() - (names ? static_cast<size_t>(PyTuple_GET_SIZE(names)) : 0);
    }
};

std::shared_ptr<GuardSet> make_guards(nb::list list) {
    return guarded([&] {
        auto set = std::make_shared<GuardSet>();
        for (nb::handle item : list) {
            const nb::tuple t = nb::borrow<nb::tuple>(item);
            const std::string kind = nb::cast<std::string>(t[0]);
            Guard g;
            const nb::object object = t[1];
            g.object = Held(object.ptr());
            g.path = nb::cast<std::string>(t[2]);
            g.kind = kind == "dict"    ? GuardKind::kDict
                     : kind == "names" ? GuardKind::kNames
                     : kind == "list"  ? GuardKind::kList
                     : kind == "cell"  ? GuardKind::kCell
                                       : GuardKind::kSet;
            if (PyType_Check(object.ptr()))  // the attributes of a class
                g.object = Held(reinterpret_cast<PyTypeObject*>(object.ptr())->tp_dict);
            if (kind == "names")
                for (nb::handle name : nb::borrow<nb::tuple>(t[3]))
                    g.items.emplace_back(Held(name.ptr()), Held());
            set->guards.push_back(std::move(g));
        }
        set->renew();
        return set;
    });
}

}  // namespace

void init_compiled(PyObject* module) {
    PyObject* type = PyType_FromSpec(&compiled_spec);
    if (!type) raise_python();
    compiled_type = reinterpret_cast<PyTypeObject*>(type);
    PyModule_AddObjectRef(module, "CompiledFunction", type);
    nb::module_ m = nb::borrow<nb::module_>(module);
    nb::class_<GuardSet>(m, "Guards")
        .def("changed",
             [](const GuardSet& g) {
                 std::string why;
                 return guarded([&] {
                     return g.holds(&why) ? nb::object(nb::none()) : nb::object(nb::cast(why));
                 });
             })
        .def("only_numbers_changed", &GuardSet::only_numbers_differ)
        .def("changed_floats",
             [](const GuardSet& g) {
                 nb::list list;
                 for (const auto& [dict, key] : g.changed_floats())
                     list.append(nb::make_tuple(nb::borrow(dict.get()), nb::borrow(key.get())));
                 return list;
             })
        .def("release",
             [](GuardSet& g, nb::handle dict, nb::handle key) { g.release(dict.ptr(), key.ptr()); })
        .def("hold",
             [](GuardSet& set) {
                 for (Guard& g : set.guards) g.free.clear();
             })
        .def("renew", [](GuardSet& g) { guarded([&] { g.renew(); }); })
        .def("__len__", [](const GuardSet& g) { return g.guards.size(); });
    nb::class_<Specialisation>(m, "Specialisation")
        .def_ro("runs", &Specialisation::runs)
        .def_ro("on_tape", &Specialisation::on_tape)
        .def("operations",
             [](const Specialisation& s) { return s.graph->model().graph.nodes.size(); })
        .def("kernels", [](const Specialisation& s) { return s.graph->kernels(); })
        .def("draws", [](const Specialisation& s) { return s.graph->model().draws; })
        .def("constants", [](const Specialisation& s) { return s.constants.size(); })
        // Whether all numbers that differ from those of another recording are computed.
        .def("follows",
             [](const Specialisation& s, const Specialisation& other) {
                 const auto &a = s.graph->model().numbers, &b = other.graph->model().numbers;
                 if (s.leaked || a.size() != b.size()) return false;
                 for (size_t i = 0; i < a.size(); ++i) {
                     const bool known = std::ranges::any_of(
                         s.formulas, [&](const auto& f) { return f.first == i; });
                     const bool same =
                         a[i].role != NumberRole::kConstant ||
                         (a[i].value.kind == b[i].value.kind && a[i].value.i == b[i].value.i);
                     if (!known && !same) return false;
                 }
                 return true;
             })
        .def_rw("compared", &Specialisation::compared)
        .def_ro("leaked", &Specialisation::leaked)
        .def("set_rates",
             [](Specialisation& s, nb::list rates, nb::list conditions) {
                 guarded([&] {
                     for (nb::handle item : rates) {
                         const nb::tuple t = nb::borrow<nb::tuple>(item);
                         const nb::object dict = t[0], key = t[1];
                         s.rates.emplace_back(Held(dict.ptr()), Held(key.ptr()));
                     }
                     for (nb::handle item : conditions) {
                         const nb::tuple t = nb::borrow<nb::tuple>(item);
                         const nb::object left = t[1], right = t[2];
                         s.conditions.push_back({to_formula(left.ptr()), to_formula(right.ptr()),
                                                 nb::cast<int>(t[0]), nb::cast<bool>(t[3])});
                     }
                 });
             })
        .def("arguments",
             [](const Specialisation& s) {
                 nb::list list;
                 for (uint32_t i = 0; i < s.n_arguments; ++i)
                     list.append(nb::make_tuple(steal(from_dtype(s.ports[i].meta.dtype)),
                                                steal(from_shape(s.ports[i].meta.shape))));
                 return list;
             })
        // (name, whether it is read, its value changed, its gradient changed)
        .def("captured", [](const Specialisation& s) {
            nb::list list;
            for (size_t i = s.n_arguments; i < s.ports.size(); ++i) {
                bool is_read = false, value = false, grad = false;
                for (const Source& from : s.inputs)
                    is_read |= from.kind == Source::kPort && from.index == i;
                for (const Effect& e : s.effects)
                    if (e.port == i) (e.grad ? grad : value) = true;
                list.append(nb::make_tuple(s.ports[i].name, is_read, value, grad));
            }
            return list;
        });
    m.def("make_guards", &make_guards);
    // (result, specialisation or None, why, whether the next call may do better)
    m.def(
        "record_call",
        [](nb::handle function, nb::tuple values, nb::handle names, nb::dict reachable) {
            return guarded([&] {
                const Arguments a(values, names);
                std::unordered_map<PyObject*, std::string> found;
                for (auto [tensor, path] : reachable)
                    found.emplace(tensor.ptr(), nb::cast<std::string>(path));
                Recorded r = record_call(function.ptr(), a.all.data(), a.n_args, a.names, found);
                if (!r.result) raise_python();
                return nb::make_tuple(nb::borrow(r.result.get()),
                                      r.made ? nb::cast(std::move(r.made)) : nb::object(nb::none()),
                                      r.why, r.again);
            });
        },
        nb::arg("function"), nb::arg("values"), nb::arg("names").none(), nb::arg("reachable"));
    m.def("compare_recordings", [](const Specialisation& a, const Specialisation& b) {
        return guarded([&] {
            bool numbers = false;
            const std::string text = compare(a, b, &numbers);
            return nb::make_tuple(text, numbers);
        });
    });
    // A specialisation whose arguments fit, or None.
    m.def(
        "fitting",
        [](nb::list list, nb::handle compiled, nb::tuple values, nb::handle names) {
            return guarded([&]() -> nb::object {
                const Arguments a(values, names);
                for (nb::handle item : list)
                    if (find_handles(*nb::cast<SpecialisationRef>(item), a.all.data(), a.n_args,
                                     a.names, state_of(compiled), nullptr))
                        return nb::borrow(item);
                return nb::none();
            });
        },
        nb::arg("list"), nb::arg("compiled"), nb::arg("values"), nb::arg("names").none());
    m.def(
        "misfit",
        [](nb::handle item, nb::handle compiled, nb::tuple values, nb::handle names) {
            return guarded([&] {
                const Arguments a(values, names);
                std::string why;
                find_handles(*nb::cast<SpecialisationRef>(item), a.all.data(), a.n_args, a.names,
                             state_of(compiled), &why);
                return why;
            });
        },
        nb::arg("item"), nb::arg("compiled"), nb::arg("values"), nb::arg("names").none());
    // What calls try: (guards, list of specialisations) pairs.
    m.def("set_entries", [](nb::handle compiled, nb::list entries) {
        guarded([&] {
            std::vector<Entry> made;
            for (nb::handle item : entries) {
                const nb::tuple t = nb::borrow<nb::tuple>(item);
                Entry e{nb::cast<std::shared_ptr<GuardSet>>(t[0]), {}};
                for (nb::handle s : nb::borrow<nb::list>(t[1]))
                    e.list.push_back(nb::cast<SpecialisationRef>(s));
                made.push_back(std::move(e));
            }
            state_of(compiled).entries.swap(made);
        });
    });
    m.def("recording", &recording_now);
    m.def("set_number_type", [](nb::handle type) {
        number_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(type.ptr()));
    });
    m.def("set_imperative", [](nb::handle compiled) { state_of(compiled).off = true; });
    m.def("compiled_runs", [](nb::handle compiled) {
        return nb::make_tuple(state_of(compiled).calls, state_of(compiled).runs);
    });
}

}  // namespace sn::py
