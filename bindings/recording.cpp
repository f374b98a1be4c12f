// One call of a function, recorded for sn.compile: it runs as any call does, into the window of its
// thread, and what it has read, written and returned is noted by handle.
#include <algorithm>
#include <cstring>

#include "compiled.h"
#include "op/op.h"
#include "record/read.h"

namespace sn::py {

bool noting = false;

namespace {

struct Noted {
    Held handle;
    Tensor before, grad;
    int32_t argument = -1;
};

struct Recording {
    RecordWatch watch;
    Recorder* window = nullptr;
    PyThreadState* thread = nullptr;
    uint64_t epoch = 0;
    std::vector<Noted> noted;
    std::unordered_map<PyObject*, uint32_t> index;
    std::unordered_map<const Value*, Source> sources;  // kPort and kGrad count `noted`
    int64_t alive = 0;                                 // handles that were made in it
    std::string again;                                 // why this call does not count
    std::vector<std::pair<Ref<Value>, Held>> numbers;  // that became operands
    bool leaked = false;
    RandomState generator;
};

Recording* recording = nullptr;  // under the GIL; one at a time
uint64_t epochs = 0;

Recording* ours() {
    return recording && recording->thread == PyThreadState_Get() ? recording : nullptr;
}

// The same value as an object of its own, so that two handles can be told apart by their values.
Ref<Value> twin(const Value& v) {
    Ref<Value> copy(new Value);
    copy->kind = ValueState::kBuffer;
    copy->weak = v.weak;
    copy->meta = v.meta;
    copy->strides = v.strides;
    copy->offset = v.offset;
    copy->buffer = v.buffer;
    copy->lane = v.lane;
    return copy;
}

// Makes `t` the only one of its value, and remembers where it comes from.
void claim(Recording& r, Tensor& t, Source source) {
    const Value& v = *t.value();
    if (v.kind != ValueState::kBuffer) {
        r.watch.stop("it uses a tensor of shape " + format_shape(v.meta.shape) +
                     " that another thread or a trace computes");
        return;
    }
    if (r.sources.contains(t.value().get())) t = Tensor(twin(v), t.node(), t.output());
    r.sources.emplace(t.value().get(), source);
}

void note(Recording& r, PyObject* o, int32_t argument) {
    PyTensor* p = as_py(o);
    const auto number = static_cast<uint32_t>(r.noted.size());
    if (!r.index.emplace(o, number).second) return;
    if (p->cell) {
        read(*p->cell);
        // A view whose base has changed is computed anew: in this call, which is of no use.
        if (p->cell->current.value()->kind == ValueState::kPending &&
            p->cell->current.value()->recorder == r.window && r.again.empty())
            r.again = "a view of a tensor that has changed is read anew";
    }
    if (!r.again.empty()) return;
    Tensor& place = p->cell ? p->cell->current : p->tensor;
    claim(r, place, {Source::kPort, number});
    Noted n{Held(o), place, {}, argument};
    if (place.node() && place.node()->leaf && place.node()->extra->grad) {
        claim(r, place.node()->extra->grad, {Source::kGrad, number});
        n.grad = place.node()->extra->grad;
    }
    r.noted.push_back(std::move(n));
}

}  // namespace

void note_handle(PyObject* o) {
    Recording* r = ours();
    if (r && as_py(o)->born != r->epoch && r->watch.active() && r->again.empty()) note(*r, o, -1);
}

void note_birth(PyTensor* p) {
    if (Recording* r = ours()) {
        p->born = r->epoch;
        ++r->alive;
    }
}

void note_death(const PyTensor* p) {
    if (recording && p->born == recording->epoch) --recording->alive;
}

bool made_in_recording(const PyTensor* p) {
    const Recording* r = ours();
    return r && p->born == r->epoch;
}

PyTypeObject* number_type = nullptr;

void note_number(PyObject* o, const Tensor& operand) {
    if (Recording* r = ours()) r->numbers.emplace_back(operand.value(), Held(o));
}

void note_leak() {
    if (Recording* r = ours()) r->leaked = true;
}

// A formula of Python: nested tuples (operation, operands ...).
Formula to_formula(PyObject* o) {
    const std::string op = PyUnicode_AsUTF8(PyTuple_GET_ITEM(o, 0));
    if (op == "source")
        return {{Term::kSource, static_cast<uint32_t>(PyLong_AsLong(PyTuple_GET_ITEM(o, 1))), 0}};
    if (op == "constant") return {{Term::kConstant, 0, PyFloat_AsDouble(PyTuple_GET_ITEM(o, 1))}};
    Formula f;
    for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(o); ++i) {
        const Formula part = to_formula(PyTuple_GET_ITEM(o, i));
        f.insert(f.end(), part.begin(), part.end());
    }
    f.push_back({op == "neg"   ? Term::kNegative
                 : op == "add" ? Term::kAdd
                 : op == "sub" ? Term::kSubtract
                 : op == "mul" ? Term::kMultiply
                               : Term::kDivide,
                 0, 0});
    return f;
}

double evaluate(const Formula& f, std::span<const double> sources) {
    SmallVec<double, 8> stack;
    const auto pop = [&] {
        const double v = stack.back();
        stack.pop_back();
        return v;
    };
    for (const Term& t : f) {
        if (t.op == Term::kSource) {
            stack.push_back(sources[t.source]);
        } else if (t.op == Term::kConstant) {
            stack.push_back(t.constant);
        } else if (t.op == Term::kNegative) {
            stack.push_back(-pop());
        } else {
            const double y = pop(), x = pop();
            stack.push_back(t.op == Term::kAdd        ? x + y
                            : t.op == Term::kSubtract ? x - y
                            : t.op == Term::kMultiply ? x * y
                                                      : x / y);
        }
    }
    return pop();
}

bool recording_now() { return ours() != nullptr; }

namespace {

// The recording becomes a specialisation, or says why it cannot.
class Reading {
public:
    Reading(Recording& r, const std::unordered_map<PyObject*, std::string>& reachable)
        : r_(r), reachable_(reachable), s_(std::make_shared<Specialisation>()) {}

    SpecialisationRef read(PyObject* result);
    std::string why;
    bool again = false;

private:
    bool refuse(std::string text, bool again_ = false) {
        if (why.empty()) {
            why = std::move(text);
            again = again_;
        }
        return false;
    }
    bool read_ports();
    bool read_result(PyObject* result);
    bool read_effects();
    bool read_inputs();
    bool check_tape();
    Outcome outcome(const Tensor& t);
    Source constant(const Ref<Value>& v);

    Recording& r_;
    const std::unordered_map<PyObject*, std::string>& reachable_;
    SpecialisationRef s_;
    std::vector<ValueId> outputs_;
};

std::string name_of(const Noted& n, const std::unordered_map<PyObject*, std::string>& reachable) {
    const auto it = reachable.find(n.handle.get());
    if (it != reachable.end()) return it->second;
    return n.argument >= 0 ? "argument " + std::to_string(n.argument)
                           : "a tensor of shape " + format_shape(n.before.shape());
}

bool Reading::read_ports() {
    // Arguments first, in order; they were noted first.
    for (const Noted& n : r_.noted) {
        Port port;
        port.name = name_of(n, reachable_);
        if (n.argument < 0) {
            if (!reachable_.contains(n.handle.get()))
                return refuse("it uses " + port.name +
                              " that is found neither in its arguments nor in its closure, its "
                              "globals and what these hold");
            port.handle = n.handle;
        }
        port.meta = n.before.value()->meta;
        port.taped = n.before.requires_grad();
        port.leaf = port.taped && n.before.node()->leaf;
        if (port.leaf) {
            for (const auto& hook : n.before.node()->extra->hooks)
                if (hook->call) return refuse(port.name + " has a hook (register_hook)");
        }
        port.has_grad = static_cast<bool>(n.grad);
        if (n.grad) port.grad_meta = n.grad.value()->meta;
        s_->ports.push_back(std::move(port));
    }
    return true;
}

Source Reading::constant(const Ref<Value>& v) {
    for (uint32_t i = 0; i < s_->constants.size(); ++i)
        if (s_->constants[i].value() == v) return {Source::kConstant, i};
    s_->constants.emplace_back(v);
    return {Source::kConstant, static_cast<uint32_t>(s_->constants.size() - 1)};
}

Outcome Reading::outcome(const Tensor& t) {
    const Ref<Value>& v = t.value();
    Outcome o;
    if (v->kind == ValueState::kPending && v->recorder == r_.window) {
        o.kind = Outcome::kOutput;
        const auto at = std::ranges::find(outputs_, v->id);
        o.output = static_cast<uint32_t>(at - outputs_.begin());
        if (at == outputs_.end()) outputs_.push_back(v->id);
    } else if (v->kind == ValueState::kBuffer) {
        o.kind = Outcome::kSource;
        const auto it = r_.sources.find(v.get());
        o.source = it == r_.sources.end() ? constant(v) : it->second;
    } else {
        refuse("a tensor of shape " + format_shape(t.shape()) + " comes from elsewhere");
    }
    return o;
}

bool plain(PyObject* o) {
    return o == Py_None || PyBool_Check(o) || PyLong_CheckExact(o) || PyFloat_CheckExact(o) ||
           PyUnicode_CheckExact(o);
}

bool Reading::read_result(PyObject* result) {
    std::vector<PyObject*> tensors;
    plant(s_->returned, result, tensors);
    for (const TreeNode& n : s_->returned)
        if (n.kind == TreeNode::kObject && !plain(n.object.get()))
            return refuse("it returns a " + type_name(n.object.get()) +
                          "; tensors, numbers, strings, None, and tuples, lists and dicts of them "
                          "can be returned again");
    int64_t made = 0;
    std::unordered_set<const Cell*> roots;
    for (PyObject* o : tensors) {
        PyTensor* p = as_py(o);
        Result res;
        if (p->born != r_.epoch) {
            const auto it = r_.index.find(o);
            if (it == r_.index.end())
                res.handle = Held(o);
            else
                res.port = static_cast<int32_t>(it->second);
            if (res.handle && !reachable_.contains(o))
                return refuse(
                    "it returns a tensor that is found neither in its arguments nor in "
                    "its closure, its globals and what these hold");
            s_->results.push_back(std::move(res));
            continue;
        }
        ++made;
        if (p->cell) {
            const Cell* root = p->cell.get();
            while (root->base) root = root->base.get();
            if (!roots.insert(root).second)
                return refuse("it returns a tensor and a view of it; return a copy (x.clone())");
            for (const Noted& n : r_.noted) {
                const Cell* other = as_py(n.handle.get())->cell.get();
                while (other && other->base) other = other->base.get();
                if (other == root)
                    return refuse("it returns a view of " + name_of(n, reachable_) +
                                  "; return a copy (x.clone())");
            }
        }
        const Tensor& t = p->cell ? sn::read(*p->cell) : p->tensor;
        res.value = outcome(t);
        res.taped = t.requires_grad();
        if (res.taped && t.node()->leaf)
            return refuse("it returns a new leaf that requires a gradient");
        if (res.taped && (t.node()->consumed || t.node()->released)) {
            Ref<GradNode> spent(GradNode::make(0, 1));
            spent->outputs[0].meta = t.value()->meta;
            spent->released = true;
            spent->site = t.node()->site;
            spent->extra = std::make_unique<GradExtra>();
            spent->extra->name = "compile";
            res.spent = std::move(spent);
        }
        s_->results.push_back(std::move(res));
    }
    if (r_.alive != made) PyGC_Collect();  // frames and functions that hold each other
    // One that is returned may be kept elsewhere too: the tree holds as many references as it says.
    for (size_t i = 0; i < tensors.size(); ++i) {
        Py_ssize_t held = 0;
        for (const TreeNode& n : s_->returned) held += n.kind == TreeNode::kTensor && n.index == i;
        if (as_py(tensors[i])->born == r_.epoch && Py_REFCNT(tensors[i]) > held)
            return refuse("it keeps a tensor that it returns", true);
    }
    if (r_.alive != made) {
        return refuse("it keeps " + std::to_string(r_.alive - made) +
                          " tensors that it has made (state that is created, or a list that grows)",
                      true);
    }
    return true;
}

bool Reading::read_effects() {
    for (uint32_t i = 0; i < r_.noted.size(); ++i) {
        const Noted& n = r_.noted[i];
        const PyTensor* p = as_py(n.handle.get());
        const Tensor& now = p->cell ? p->cell->current : p->tensor;
        const std::string& name = s_->ports[i].name;
        if (!(now.node() == n.before.node()))
            return refuse(s_->ports[i].taped == now.requires_grad()
                              ? "it gives " + name + " another history"
                              : "it changes whether " + name + " requires a gradient");
        if (!(now.value() == n.before.value())) {
            if (p->cell && p->cell->base) return refuse("it writes through a view, " + name);
            if (now.shape() != s_->ports[i].meta.shape || now.dtype() != s_->ports[i].meta.dtype)
                return refuse("it gives " + name + " another shape or dtype");
            Effect e{i, false, static_cast<bool>(now.value()->former), outcome(now)};
            s_->changes = true;
            s_->effects.push_back(e);
        }
        if (!s_->ports[i].leaf) continue;
        const Tensor& grad = now.node()->extra->grad;
        if (grad.value() == n.grad.value()) continue;
        if (grad && grad.requires_grad())
            return refuse("the gradient that it leaves can be differentiated again");
        Effect e{i, true, false, {}};
        if (grad) e.value = outcome(grad);
        s_->effects.push_back(e);
    }
    return true;
}

bool Reading::read_inputs() {
    for (const Ref<Value>& v : r_.window->inputs) {
        const auto it = r_.sources.find(v.get());
        s_->inputs.push_back(it == r_.sources.end() ? constant(v) : it->second);
    }
    std::unordered_set<uint64_t> gone;
    const auto key = [](bool grad, uint32_t port) { return uint64_t{port} * 2 + grad; };
    for (const Effect& e : s_->effects) gone.insert(key(e.grad, e.port));
    for (const Source& from : s_->inputs)
        s_->replaced.push_back(from.kind != Source::kConstant &&
                                       gone.contains(key(from.kind == Source::kGrad, from.index))
                                   ? 2
                                   : 0);
    return true;
}

// Whether gradients are to flow through later calls, and whether they can.
bool Reading::check_tape() {
    bool spent = false;
    for (const Result& res : s_->results) {
        spent |= static_cast<bool>(res.spent);
        s_->on_tape |= res.taped && !res.spent;
    }
    const RecordWatch& w = r_.watch;
    if (!s_->on_tape) {
        for (const Port& port : s_->ports)
            if (w.walked && port.taped && !port.leaf)
                return refuse("it computes gradients, and uses " + port.name +
                              ", which has a history of its own");
        return true;
    }
    if (spent || w.walked || w.relayed)
        return refuse(
            "it computes gradients, and returns a tensor that requires one; return loss.detach(), "
            "or call backward() on everything inside");
    if (w.custom)
        return refuse("it returns a tensor whose gradient is written in Python (sn.Function)");
    for (const Effect& e : s_->effects)
        if (s_->ports[e.port].taped)
            return refuse("it changes " + s_->ports[e.port].name +
                          ", which requires a gradient, and returns a tensor that requires one");
    return true;
}

SpecialisationRef Reading::read(PyObject* result) {
    if (random_state().seed != r_.generator.seed) {
        refuse("it seeds the random numbers");
        return nullptr;
    }
    if (!read_ports() || !read_result(result) || !read_effects() || !read_inputs() ||
        !check_tape() || !why.empty())
        return nullptr;
    s_->graph = std::make_unique<CompiledGraph>(*r_.window, r_.watch, outputs_, r_.generator);
    s_->leaked = r_.leaked;
    for (const auto& [value, number] : r_.numbers) {
        if (!r_.window->holds(*value)) continue;  // nobody took it
        const Held formula = Held::steal(PyObject_GetAttrString(number.get(), "formula"));
        if (!formula) raise_python();
        s_->formulas.emplace_back(r_.window->graph.values[value->id].source,
                                  to_formula(formula.get()));
    }
    for (size_t i = 0; i < s_->inputs.size(); ++i) {
        const Source& from = s_->inputs[i];
        ModelInput& input = s_->graph->model().inputs[i];
        input.name = from.kind == Source::kConstant ? "constant" : s_->ports[from.index].name;
        if (from.kind == Source::kGrad) input.name += ".grad";
    }
    return s_;
}

struct Finish {
    Recording& r;
    ~Finish() {
        r.window->watch = nullptr;
        recording = nullptr;
        noting = false;
    }
};

// Runs what was recorded as later calls will run it, so that its plan is there when they come.
// False: somebody holds more of it than they will.
bool run_recorded(Specialisation& s, Recorder& window) {
    const std::vector<ValueId>& ids = s.graph->model().graph.outputs;
    if (s.on_tape || window.graph.nodes.empty()) return false;
    size_t held = 0;
    for (const Value* v : window.holders) held += v != nullptr;
    std::vector<Value*> outputs;
    for (ValueId v : ids) outputs.push_back(window.holders[v]);
    if (held != outputs.size() || std::ranges::count(outputs, nullptr)) return false;
    const auto run = [&] {
        // Handles show the new values already.
        std::vector<uint32_t> replaced(s.inputs.size(), 0);
        for (size_t i = 0; i < s.inputs.size(); ++i)
            if (s.replaced[i])
                replaced[i] =
                    1 + static_cast<uint32_t>(std::ranges::count_if(outputs, [&](const Value* v) {
                        return v->former == window.inputs[i];
                    }));
        s.graph->choose(window.inputs, replaced);
        s.graph->run(window, window.inputs, outputs, false);
    };
    const Recorder::RunFn as(run);
    window.flush(&as);
    return true;
}

}  // namespace

Recorded record_call(PyObject* function, PyObject* const* args, size_t n_args, PyObject* names,
                     const std::unordered_map<PyObject*, std::string>& reachable) {
    Recorded made;
    if (recording) {  // of another thread
        made.result = Held::steal(PyObject_Vectorcall(function, args, n_args, names));
        made.why = "another thread records";
        made.again = true;
        return made;
    }
    Recording r;
    r.window = &Recorder::window();
    r.window->flush();
    Specialisation head;  // of the arguments
    std::vector<PyObject*> tensors;
    const size_t n_all = n_args + (names ? static_cast<size_t>(PyTuple_GET_SIZE(names)) : 0);
    for (size_t i = 0; i < n_all; ++i) plant(head.arguments, args[i], tensors);
    r.thread = PyThreadState_Get();
    r.epoch = ++epochs;
    r.generator = random_state();
    const bool grad_mode = grad_enabled();
    const uint32_t autocast = autocast_modes();
    {
        recording = &r;
        noting = true;
        r.window->watch = &r.watch;
        const Finish finish{r};
        // Arguments are noted first. One that is found elsewhere too must be that very tensor.
        for (PyObject* o : tensors) {
            head.objects.push_back(reachable.contains(o) ? 0 : -1);
            if (head.objects.back() < 0) {
                const size_t before = r.noted.size();
                note(r, o, static_cast<int32_t>(head.n_arguments));
                if (r.noted.size() > before) ++head.n_arguments;
            }
        }
        for (PyObject* o : tensors) note(r, o, -1);
        made.result = Held::steal(PyObject_Vectorcall(function, args, n_args, names));
        if (!made.result) return made;
        if (r.watch.active() && r.again.empty()) {
            Reading reading(r, reachable);
            made.made = reading.read(made.result.get());
            made.why = reading.why;
            made.again = reading.again;
        }
    }
    if (!r.watch.active()) {
        made.why = r.watch.stopped;
        if (const std::string where = site_text(r.watch.site); !where.empty())
            made.why += " (" + where + ")";
    } else if (!r.again.empty()) {
        made.why = r.again;
        made.again = true;
    }
    if (made.made) {
        Specialisation& s = *made.made;
        s.arguments = std::move(head.arguments);
        s.n_arguments = head.n_arguments;
        s.names = Held(names);
        s.grad_mode = grad_mode;
        s.autocast = autocast;
        for (size_t i = 0; i < tensors.size(); ++i)
            s.objects.push_back(head.objects[i] < 0 ? -1
                                                    : static_cast<int32_t>(r.index.at(tensors[i])));
    }
    r.noted.clear();  // what is replaced may be written over
    if (!made.made || !run_recorded(*made.made, *r.window)) r.window->flush();
    return made;
}

namespace {

std::string compare_constants(const Specialisation& a, const Specialisation& b) {
    if (a.constants.size() != b.constants.size()) return "it makes other tensors from Python data";
    for (size_t i = 0; i < a.constants.size(); ++i) {
        const Tensor &x = a.constants[i], &y = b.constants[i];
        if (x.value() == y.value()) continue;
        if (!(x.shape() == y.shape()) || x.dtype() != y.dtype())
            return "a tensor that it makes from Python data has another shape or dtype";
        Tensor keep_x, keep_y;
        const void *p = read_values(x, &keep_x), *q = read_values(y, &keep_y);
        if (std::memcmp(p, q, static_cast<size_t>(x.numel()) * dtype_size(x.dtype())) != 0)
            return "a tensor of shape " + format_shape(x.shape()) +
                   " that it makes from Python data has other elements in every call; make it "
                   "outside, and pass it as an argument";
    }
    return {};
}

}  // namespace

std::string compare(const Specialisation& a, const Specialisation& b, bool* numbers_only) {
    *numbers_only = false;
    bool numbers = false;
    const std::string graphs = difference(a.graph->model(), b.graph->model(), &numbers);
    if (!graphs.empty() && !numbers) return graphs;
    if (a.ports.size() != b.ports.size()) return "it uses other tensors";
    for (size_t i = 0; i < a.ports.size(); ++i)
        if (a.ports[i].handle.get() != b.ports[i].handle.get())
            return "it uses " + a.ports[i].name + " in one recording and " + b.ports[i].name +
                   " in the other";
    if (a.inputs != b.inputs) return "it reads tensors in another order";
    if (a.effects != b.effects) return "it changes other tensors";
    if (std::string text = compare_constants(a, b); !text.empty()) return text;
    const auto same_node = [](const TreeNode& x, const TreeNode& y) {
        return x.kind == y.kind && x.index == y.index && x.count == y.count &&
               same_object(x.object.get(), y.object.get());
    };
    if (!std::ranges::equal(a.returned, b.returned, same_node)) return "it returns something else";
    const auto same_result = [](const Result& x, const Result& y) {
        return x.value == y.value && x.taped == y.taped && x.handle.get() == y.handle.get() &&
               x.port == y.port && static_cast<bool>(x.spent) == static_cast<bool>(y.spent);
    };
    if (!std::ranges::equal(a.results, b.results, same_result)) return "it returns other tensors";
    *numbers_only = numbers;
    return graphs;
}

}  // namespace sn::py
