#pragma once
// What the files of sn.compile share: guards.cpp watches Python objects, recording.cpp makes a
// specialisation of one recorded call, compiled.cpp calls it.
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "py.h"
#include "record/recorder.h"
#include "runtime/compiled.h"

namespace sn::py {

// A counted reference to a Python object, under the GIL.
class Held {
public:
    Held() = default;
    explicit Held(PyObject* o) : o_(Py_XNewRef(o)) {}
    static Held steal(PyObject* o) {
        Held h;
        h.o_ = o;
        return h;
    }
    Held(const Held& other) : o_(Py_XNewRef(other.o_)) {}
    Held(Held&& other) noexcept : o_(std::exchange(other.o_, nullptr)) {}
    Held& operator=(Held other) noexcept {
        std::swap(o_, other.o_);
        return *this;
    }
    ~Held() { Py_XDECREF(o_); }
    PyObject* get() const { return o_; }
    explicit operator bool() const { return o_ != nullptr; }

private:
    PyObject* o_ = nullptr;
};

// Whether two objects stand for the same in a recording: one object, or equal numbers, strings and
// tuples of them.
bool same_object(PyObject* a, PyObject* b);
std::string short_repr(PyObject* o);

// ---- guards: containers with what was in them

enum class GuardKind : uint8_t { kDict, kNames, kList, kCell, kSet };
struct Guard {
    GuardKind kind;
    Held object;
    std::string path;
    std::vector<std::pair<Held, Held>> items;  // key (kDict, kNames) and value; null: absent
    std::vector<uint8_t> free;                 // by item, or empty: any float will do
    bool fits(size_t i, PyObject* value) const {
        PyObject* before = items[i].second.get();
        return value == before || same_object(value, before) ||
               (i < free.size() && free[i] && value && PyFloat_CheckExact(value));
    }
};
struct GuardSet {
    std::vector<Guard> guards;
    // The first difference: as a text, when `why` is given.
    bool holds(std::string* why = nullptr) const;
    // What differs are numbers alone.
    bool only_numbers_differ() const;
    void renew();  // takes everything as it is now
    // Entries of dicts that are floats and differ: dict and key.
    std::vector<std::pair<Held, Held>> changed_floats() const;
    void release(PyObject* dict, PyObject* key);  // any float will do there from now on
};

// ---- arguments and results: trees of tensors and other objects

struct TreeNode {
    enum Kind : uint8_t { kTensor, kTuple, kList, kDict, kNamedTuple, kObject } kind;
    uint32_t index = 0;  // kTensor: which
    uint32_t count = 0;  // of children, which follow
    Held object;         // kObject: it; kDict: tuple of keys; kNamedTuple: the type
};
using Tree = std::vector<TreeNode>;
// Appends the tree of an object; `tensors` get its tensors, each once, in order. What is nested too
// deeply, or in itself, is an object.
void plant(Tree& tree, PyObject* o, std::vector<PyObject*>& tensors, int depth = 0);
// Whether an object has this tree; fills in its tensors.
bool matches(const Tree& tree, size_t& at, PyObject* o, std::vector<PyObject*>& tensors);

// ---- numbers that are computed anew at each call

// A float that remembers how it was computed (sennit/_compile.py): while a call is recorded it
// stands in the place of a learning rate. Null: none was made yet.
extern PyTypeObject* number_type;
inline bool is_traced_number(PyObject* o) { return noting && Py_TYPE(o) == number_type; }
void note_number(PyObject* o, const Tensor& operand);  // it has become an operand
void note_leak();                                      // ... or something that is not followed

struct Term {
    enum Op : uint8_t { kSource, kConstant, kNegative, kAdd, kSubtract, kMultiply, kDivide } op;
    uint32_t source = 0;
    double constant = 0;
};
using Formula = std::vector<Term>;  // postfix
Formula to_formula(PyObject* o);
double evaluate(const Formula& f, std::span<const double> sources);
// A comparison of numbers that the function has made, and how it went.
struct Condition {
    Formula left, right;
    int op = Py_EQ;
    bool outcome = false;
};

// ---- one recorded call

// A tensor that a recording knows: an argument, or one that it met otherwise.
struct Port {
    Held handle;  // null: an argument
    std::string name;
    Meta meta;
    bool taped = false;  // requires a gradient
    bool leaf = false;
    bool has_grad = false;
    Meta grad_meta;
};
struct Source {
    enum Kind : uint8_t { kPort, kGrad, kConstant } kind = kPort;
    uint32_t index = 0;  // of the port, or of the constant
    friend bool operator==(const Source&, const Source&) = default;
};
// A value after the call.
struct Outcome {
    enum Kind : uint8_t { kOutput, kSource, kNone } kind = kNone;
    uint32_t output = 0;
    Source source;
    friend bool operator==(const Outcome&, const Outcome&) = default;
};
struct Effect {
    uint32_t port = 0;
    bool grad = false;   // of the port's gradient; else of its value
    bool state = false;  // keeps its former value when the run fails
    Outcome value;
    friend bool operator==(const Effect&, const Effect&) = default;
};
struct Result {
    Outcome value;
    bool taped = false;   // requires a gradient
    Held handle;          // a tensor from before the call, as it is ...
    int32_t port = -1;    // ... or one of the ports
    Ref<GradNode> spent;  // taped, and its gradient was computed by the call
};

struct Specialisation {
    Tree arguments, returned;
    Held names;  // of keyword arguments, a tuple or null
    std::vector<int32_t>
        objects;               // by argument tensor: a port with a handle that it must be, or -1
    uint32_t n_arguments = 0;  // ports that are arguments come first
    bool grad_mode = false;
    uint32_t autocast = 0;  // autocast_modes()
    std::vector<Port> ports;
    std::vector<Source> inputs;  // by graph input
    // By graph input: references to a value that goes out of use, the handle's and ours; 0: it
    // stays.
    std::vector<uint32_t> replaced;
    std::vector<Tensor> constants;
    std::vector<Effect> effects;
    std::vector<Result> results;
    bool on_tape = false;  // a gradient is to flow through it: its ops are called again
    bool changes = false;  // values of ports
    std::vector<std::pair<Held, Held>> rates;            // sources of formulas: dict and key
    std::vector<std::pair<uint32_t, Formula>> formulas;  // by scalar of the graph
    std::vector<Condition> conditions;
    bool leaked = false;    // a number went where it is not followed
    bool compared = false;  // with a second recording, or under guards where others were
    std::unique_ptr<CompiledGraph> graph;
    int64_t runs = 0;
};
using SpecialisationRef = std::shared_ptr<Specialisation>;

// What became of a call that was to be recorded.
struct Recorded {
    Held result;             // null: a Python exception is set
    SpecialisationRef made;  // null: see why
    std::string why;
    bool again = false;  // the next call may do better
};
Recorded record_call(PyObject* function, PyObject* const* args, size_t n_args, PyObject* names,
                     const std::unordered_map<PyObject*, std::string>& reachable);
bool recording_now();  // on this thread
// How two recordings differ; empty: they agree.
std::string compare(const Specialisation& a, const Specialisation& b, bool* numbers_only);

}  // namespace sn::py
