// Python callables made from the registry's FunctionDefs: one generic argument reader for all.
#include <algorithm>
#include <deque>

#include "base/error.h"
#include "op/movement.h"
#include "op/op.h"
#include "py.h"
#include "record/recorder.h"
#include "tensor_type.h"

namespace sn::py {

namespace {

enum class ParamType : uint8_t {
    kTensor,
    kOperand,
    kTensors,
    kInt,
    kFloat,
    kBool,
    kStr,
    kInts,
    kOrder,
    kAxes,
    kDType,
    kDevice
};

struct Param {
    std::string name;
    PyObject* key = nullptr;         // interned
    SmallVec<PyObject*, 2> aliases;  // other frameworks' names of it
    ParamType type = ParamType::kTensor;
    bool optional = false;  // None allowed
    bool required = true;
    ArgValue fallback;
    std::string default_text;
};

struct Function {
    const FunctionDef* def = nullptr;
    std::string name;
    std::vector<Param> params;
    size_t positional = SIZE_MAX;  // how many may be given by position: those before "*"
    size_t gathers = SIZE_MAX;     // of "*tensors", which takes what positional arguments are left
    bool as_tuple = false;         // several results come as a tuple (else a list)
    bool bare = false;             // ... but a single one as itself
    bool none = false;             // returns nothing
    bool truth = false;            // returns a Python bool
    PyObject* result_type = nullptr;  // a named tuple
};

struct PyFunction {
    PyObject_HEAD vectorcallfunc vectorcall;
    Function* function;
    const std::string* in_place;  // the method's name, when it writes its result into the tensor
};
PyTypeObject* function_type = nullptr;

std::string_view trim(std::string_view s) {
    while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
    while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
    return s;
}

ParamType param_type(std::string_view text, const char* signature) {
    if (text == "Tensor") return ParamType::kTensor;
    if (text == "Operand") return ParamType::kOperand;
    if (text == "Tensors") return ParamType::kTensors;
    if (text == "int") return ParamType::kInt;
    if (text == "float") return ParamType::kFloat;
    if (text == "bool") return ParamType::kBool;
    if (text == "str") return ParamType::kStr;
    if (text == "Ints") return ParamType::kInts;
    if (text == "Order") return ParamType::kOrder;
    if (text == "Axes") return ParamType::kAxes;
    if (text == "DType") return ParamType::kDType;
    if (text == "Device") return ParamType::kDevice;
    fail(ErrorKind::kInternal, "register_function", "unknown parameter type '%.*s' in '%s'",
         static_cast<int>(text.size()), text.data(), signature);
}

void parse_default(Param& p, std::string_view text, const char* signature) {
    p.required = false;
    p.default_text = std::string(text);
    if (text == "None") return;
    p.fallback.given = true;
    const std::string value(text);
    switch (p.type) {
        case ParamType::kBool: p.fallback.scalar = Scalar::of_bool(text == "True"); return;
        case ParamType::kInt: p.fallback.scalar = Scalar::of_int(std::stoll(value)); return;
        case ParamType::kFloat: p.fallback.scalar = Scalar::of_float(std::stod(value)); return;
        case ParamType::kOperand:
            if (text == "True" || text == "False")
                p.fallback.tensor = Tensor(text == "True");
            else if (value.find_first_of(".e") == std::string::npos)
                p.fallback.tensor = Tensor(static_cast<int64_t>(std::stoll(value)));
            else
                p.fallback.tensor = Tensor(std::stod(value));
            return;
        case ParamType::kStr: {
            static std::deque<std::string>* kept = new std::deque<std::string>;
            p.fallback.text = kept->emplace_back(value.substr(1, value.size() - 2));
            return;
        }
        case ParamType::kAxes:
        case ParamType::kInts: {
            std::string_view rest = text;
            p.fallback.single = text.front() != '(';
            size_t at = 0;
            while (at < rest.size()) {
                const size_t end = rest.find_first_of(",)", at);
                const std::string item(
                    trim(rest.substr(at, end == std::string_view::npos ? end : end - at)));
                const size_t digit = item.find_first_of("-0123456789");
                if (digit != std::string::npos)
                    p.fallback.ints.push_back(std::stoll(item.substr(digit)));
                if (end == std::string_view::npos) break;
                at = end + 1;
            }
            return;
        }
        default: break;
    }
    fail(ErrorKind::kInternal, "register_function", "default '%s' does not fit its type in '%s'",
         value.c_str(), signature);
}

const char* alias_of(const std::string& name, size_t position) {
    if (name == "axis") return "dim";
    if (name == "keepdims") return "keepdim";
    if (name == "x" && position == 0) return "input";
    if (name == "y" && position == 1) return "other";
    if (name == "indices") return "index";
    return nullptr;
}

Function* parse_signature(const FunctionDef& def) {
    auto* f = new Function;
    f->def = &def;
    const std::string_view text = def.signature;
    const size_t open = text.find('('), close = text.rfind(") ->");
    SN_CHECK(open != std::string_view::npos && close != std::string_view::npos);
    f->name = std::string(text.substr(0, open));
    const std::string_view result = trim(text.substr(close + 4));
    f->bare = result.substr(0, 8) == "Tensor |";
    f->as_tuple = f->bare || result.substr(0, 5) == "tuple";
    if (!result.ends_with(']') && result != "Tensor" && result != "None" && result != "bool")
        f->result_type =
            PyUnicode_FromStringAndSize(result.data(), static_cast<Py_ssize_t>(result.size()));
    f->none = result == "None";
    f->truth = result == "bool";
    std::string_view rest = text.substr(open + 1, close - open - 1);
    while (!trim(rest).empty()) {
        // A comma inside a default's parentheses does not separate.
        size_t end = 0;
        for (int depth = 0; end < rest.size() && (rest[end] != ',' || depth); ++end)
            depth += rest[end] == '(' ? 1 : rest[end] == ')' ? -1 : 0;
        const std::string_view item = trim(rest.substr(0, end));
        rest = end < rest.size() ? rest.substr(end + 1) : std::string_view();
        if (item == "*") f->positional = f->params.size();
        if (item == "*" || item == "/") continue;
        Param p;
        const size_t colon = item.find(':'), equals = item.find('=');
        std::string_view name = trim(item.substr(0, colon));
        if (name.front() == '*') {
            f->gathers = f->params.size();
            name.remove_prefix(1);
        }
        for (size_t bar; (bar = name.rfind('|')) != std::string_view::npos;) {
            p.aliases.push_back(
                PyUnicode_InternFromString(std::string(name.substr(bar + 1)).c_str()));
            name = name.substr(0, bar);
        }
        p.name = std::string(name);
        std::string_view type = trim(
            item.substr(colon + 1, equals == std::string_view::npos ? equals : equals - colon - 1));
        if (!type.empty() && type.back() == '?') {
            p.optional = true;
            type.remove_suffix(1);
        }
        p.type = param_type(type, def.signature);
        if (equals != std::string_view::npos)
            parse_default(p, trim(item.substr(equals + 1)), def.signature);
        else if (p.optional)
            parse_default(p, "None", def.signature);
        p.key = PyUnicode_InternFromString(p.name.c_str());
        if (const char* alias = alias_of(p.name, f->params.size()))
            p.aliases.push_back(PyUnicode_InternFromString(alias));
        f->params.push_back(std::move(p));
    }
    return f;
}

[[noreturn]] void fail_type(const Function& f, const Param& p, const char* wanted, PyObject* o) {
    fail(ErrorKind::kType, f.name, "argument '%s' is %s; it must be %s", p.name.c_str(),
         type_name(o).c_str(), wanted);
}

// Takes one Python argument. Sequences of numbers given as several positional arguments have been
// gathered by the caller.
void read_argument(const Function& f, const Param& p, PyObject* o, ArgValue& out) {
    if (o == Py_None && (p.optional || !p.required)) {
        if (!p.optional && p.fallback.given) out = p.fallback;
        return;
    }
    out.given = true;
    switch (p.type) {
        case ParamType::kTensor:
            if (is_tensor(o))
                out.tensor = get(o);
            else
                out.tensor = to_tensor(f.name.c_str(), p.name.c_str(), o);
            return;
        case ParamType::kOperand:
            if (is_tensor(o))
                out.tensor = get(o);
            else
                out.tensor = to_operand(f.name.c_str(), p.name.c_str(), o);
            return;
        case ParamType::kTensors: {
            PyObject* sequence =
                PySequence_Check(o) && !is_tensor(o) ? PySequence_Fast(o, "") : nullptr;
            if (!sequence && is_tensor(o)) sequence = PySequence_List(o);
            if (!sequence) {
                PyErr_Clear();
                fail_type(f, p, "a list or tuple of tensors", o);
            }
            const Py_ssize_t n = PySequence_Fast_GET_SIZE(sequence);
            struct Drop {
                PyObject* o;
                ~Drop() { Py_DECREF(o); }
            } drop{sequence};
            for (Py_ssize_t i = 0; i < n; ++i)
                out.tensors.push_back(to_operand(f.name.c_str(), p.name.c_str(),
                                                 PySequence_Fast_GET_ITEM(sequence, i)));
            return;
        }
        case ParamType::kInt:
            out.scalar = Scalar::of_int(to_int(f.name.c_str(), p.name.c_str(), o));
            return;
        case ParamType::kBool: {
            const int truth = PyObject_IsTrue(o);
            if (truth < 0) raise_python();
            out.scalar = Scalar::of_bool(truth != 0);
            return;
        }
        case ParamType::kFloat:
            if (!to_scalar(o, &out.scalar)) {
                const double v = PyFloat_AsDouble(o);  // tensors of one element, numpy numbers
                if (v == -1.0 && PyErr_Occurred()) {
                    PyErr_Clear();
                    fail_type(f, p, "a number", o);
                }
                out.scalar = Scalar::of_float(v);
            }
            return;
        case ParamType::kOrder:
            if (!PyUnicode_Check(o)) {
                Param number;
                number.name = p.name;
                number.type = ParamType::kFloat;
                return read_argument(f, number, o, out);
            }
            [[fallthrough]];
        case ParamType::kStr: {
            Py_ssize_t length = 0;
            const char* text = PyUnicode_Check(o) ? PyUnicode_AsUTF8AndSize(o, &length) : nullptr;
            if (!text) fail_type(f, p, "a string", o);
            out.text = std::string_view(text, static_cast<size_t>(length));
            return;
        }
        case ParamType::kInts:
            if (!to_ints(o, &out.ints, &out.single))
                fail_type(f, p, "an int or a sequence of ints", o);
            return;
        case ParamType::kAxes: {
            if (to_ints(o, &out.ints, &out.single)) return;
            Dims second;
            if (!is_tensor(o) && PySequence_Check(o) && PySequence_Size(o) == 2) {
                PyObject *x = PySequence_GetItem(o, 0), *y = PySequence_GetItem(o, 1);
                const bool ok = x && y && to_ints(x, &out.ints, &out.single) &&
                                to_ints(y, &second, &out.single);
                Py_XDECREF(x);
                Py_XDECREF(y);
                if (ok && out.ints.size() == second.size()) {
                    for (int64_t axis : second) out.ints.push_back(axis);
                    out.single = false;
                    out.paired = true;
                    return;
                }
            }
            PyErr_Clear();
            fail_type(f, p, "an int, or two sequences of ints of one length", o);
        }
        case ParamType::kDType: out.dtype = to_dtype(f.name.c_str(), o); return;
        case ParamType::kDevice: out.device = to_device(f.name.c_str(), o); return;
    }
}

std::string call_text(const Function& f) {
    std::string text = f.name + "(";
    for (size_t i = 0; i < f.params.size(); ++i) {
        if (i) text += ", ";
        if (i == f.positional && i != f.gathers + 1) text += "*, ";
        if (i == f.gathers) text += "*";
        text += f.params[i].name;
        if (!f.params[i].required) text += "=" + f.params[i].default_text;
    }
    return text + ")";
}

// The results as the named tuple of sennit._results.
PyObject* named(const Function& f, PyObject* values) {
    struct Drop {
        PyObject* o;
        ~Drop() { Py_XDECREF(o); }
    } drop{values}, module{PyImport_ImportModule("sennit._results")};
    if (!module.o) raise_python();
    const Drop type{PyObject_GetAttr(module.o, f.result_type)};
    if (!type.o) raise_python();
    PyObject* result = PyObject_CallObject(type.o, values);
    if (!result) raise_python();
    return result;
}

bool is_int_like(PyObject* o) { return PyLong_Check(o) && !PyBool_Check(o); }

PyObject* call(const Function& f, PyObject* const* args, size_t n_args, PyObject* keywords) {
    const size_t n_params = f.params.size();
    constexpr size_t kInline = 12;
    ArgValue inline_values[kInline];
    std::vector<ArgValue> more;
    ArgValue* values = inline_values;
    if (n_params > kInline) {
        more.resize(n_params);
        values = more.data();
    }
    uint64_t seen = 0;
    PyObject* gathered = nullptr;
    struct Drop {
        PyObject*& o;
        ~Drop() { Py_XDECREF(o); }
    } drop{gathered};
    PyObject* positional[kInline + 1];
    // x.reshape(2, 3), sn.zeros(2, 3): trailing ints stand for one sequence.
    if (n_args > 1) {
        size_t at = 0;
        while (at < n_params && f.params[at].type != ParamType::kInts) ++at;
        if (at < n_params && at <= 1 && n_args > at + 1 && is_int_like(args[at])) {
            size_t end = at;
            while (end < n_args && is_int_like(args[end])) ++end;
            const bool next_takes_int =
                at + 1 < n_params &&
                (f.params[at + 1].type == ParamType::kInts || f.params[at + 1].required);
            if (end - at > 1 && !next_takes_int && (end == n_args || end - at > 1) &&
                !(at + 1 < n_params && f.params[at + 1].type == ParamType::kInt)) {
                gathered = PyTuple_New(static_cast<Py_ssize_t>(end - at));
                for (size_t i = at; i < end; ++i)
                    PyTuple_SET_ITEM(gathered, static_cast<Py_ssize_t>(i - at), Py_NewRef(args[i]));
                size_t count = 0;
                for (size_t i = 0; i < at && count <= kInline; ++i) positional[count++] = args[i];
                positional[count++] = gathered;
                for (size_t i = end; i < n_args && count <= kInline; ++i)
                    positional[count++] = args[i];
                args = positional;
                // Keyword values follow the positional ones in a vector call; they are read below
                // from the original array.
                n_args = count;
            }
        }
    }
    // sn.meshgrid(x, y): positional arguments that stand for a sequence of tensors.
    const size_t at = f.gathers;
    const bool none_given = at == n_args && !keywords;  // sn.meshgrid() is of no tensors
    if (none_given || (at < n_args &&
                       (is_tensor(args[at]) || !PySequence_Check(args[at]) || n_args > n_params))) {
        gathered = PyTuple_New(static_cast<Py_ssize_t>(n_args - at));
        for (size_t i = at; i < n_args; ++i)
            PyTuple_SET_ITEM(gathered, static_cast<Py_ssize_t>(i - at), Py_NewRef(args[i]));
        for (size_t i = 0; i < at; ++i) positional[i] = args[i];
        positional[at] = gathered;
        args = positional;
        n_args = at + 1;
    }
    const size_t most = std::min(n_params, f.positional);
    if (n_args > most) {
        fail(ErrorKind::kType, f.name,
             "%zu positional arguments are given; at most %zu are taken: %s", n_args, most,
             call_text(f).c_str());
    }
    for (size_t i = 0; i < n_args; ++i) {
        read_argument(f, f.params[i], args[i], values[i]);
        seen |= uint64_t{1} << i;
    }
    if (keywords) {
        const Py_ssize_t n_keywords = PyTuple_GET_SIZE(keywords) / 2;
        for (Py_ssize_t k = 0; k < n_keywords; ++k) {
            PyObject* name = PyTuple_GET_ITEM(keywords, 2 * k);
            PyObject* value = PyTuple_GET_ITEM(keywords, 2 * k + 1);
            size_t at = n_params;
            for (size_t i = 0; i < n_params; ++i) {
                const Param& p = f.params[i];
                bool meant = name == p.key || PyUnicode_Compare(name, p.key) == 0;
                for (PyObject* alias : p.aliases)
                    meant = meant || name == alias || PyUnicode_Compare(name, alias) == 0;
                if (meant) {
                    at = i;
                    break;
                }
            }
            if (at == n_params) {
                fail(ErrorKind::kType, f.name, "there is no argument '%s'; the call is %s",
                     PyUnicode_AsUTF8(name), call_text(f).c_str());
            }
            if (seen >> at & 1) {
                fail(ErrorKind::kType, f.name, "argument '%s' is given twice; the call is %s",
                     f.params[at].name.c_str(), call_text(f).c_str());
            }
            read_argument(f, f.params[at], value, values[at]);
            seen |= uint64_t{1} << at;
        }
    }
    for (size_t i = 0; i < n_params; ++i) {
        if (seen >> i & 1) continue;
        const Param& p = f.params[i];
        if (p.required) {
            fail(ErrorKind::kType, f.name, "argument '%s' is missing; the call is %s",
                 p.name.c_str(), call_text(f).c_str());
        }
        values[i] = p.fallback;
    }
    if (f.def->autocast != Autocast::kKeep && autocasting()) {
        for (size_t i = 0; i < n_params; ++i) {
            values[i].tensor = autocast(values[i].tensor, f.def->autocast);
            for (Tensor& t : values[i].tensors) t = autocast(t, f.def->autocast);
        }
    }
    const Args parsed(std::span<const ArgValue>(values, n_params));
    if (f.def->call) {
        Tensor result = f.def->call(parsed);
        if (f.none) Py_RETURN_NONE;
        if (f.truth) return PyBool_FromLong(read_number(f.name, result).as_int() != 0);
        PyObject* source = n_args > 0 && is_tensor(args[0]) ? args[0] : nullptr;
        if (!f.def->fresh && source && result.value() == get(source).value() &&
            result.node() == get(source).node())
            return Py_NewRef(source);  // an operation that had nothing to do
        return wrap(std::move(result), source);
    }
    Results results = f.def->call_many(parsed);
    if (f.none) Py_RETURN_NONE;
    PyObject* source = n_args > 0 && is_tensor(args[0]) ? args[0] : nullptr;
    if (f.bare && results.size() == 1) return wrap(std::move(results[0]), source);
    const bool as_tuple = f.as_tuple || f.result_type;
    PyObject* list = as_tuple ? PyTuple_New(static_cast<Py_ssize_t>(results.size()))
                              : PyList_New(static_cast<Py_ssize_t>(results.size()));
    for (size_t i = 0; i < results.size(); ++i) {
        PyObject* item = wrap(std::move(results[i]), source);
        if (as_tuple)
            PyTuple_SET_ITEM(list, static_cast<Py_ssize_t>(i), item);
        else
            PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), item);
    }
    return f.result_type ? named(f, list) : list;
}

PyObject* function_vectorcall(PyObject* self, PyObject* const* args, size_t nargsf,
                              PyObject* names) {
    const Function& f = *reinterpret_cast<PyFunction*>(self)->function;
    const size_t n = static_cast<size_t>(PyVectorcall_NARGS(nargsf));
    if (symbols_exist) {
        PyObject* made = call_with_symbols(self, args, n, names);
        if (made || PyErr_Occurred()) return made;
    }
    PyObject* keywords = nullptr;
    if (names && PyTuple_GET_SIZE(names) > 0) {
        // Pairs, so that the reader need not know where positional arguments end.
        const Py_ssize_t count = PyTuple_GET_SIZE(names);
        keywords = PyTuple_New(2 * count);
        if (!keywords) return nullptr;
        for (Py_ssize_t k = 0; k < count; ++k) {
            PyTuple_SET_ITEM(keywords, 2 * k, Py_NewRef(PyTuple_GET_ITEM(names, k)));
            PyTuple_SET_ITEM(keywords, 2 * k + 1, Py_NewRef(args[n + static_cast<size_t>(k)]));
        }
    }
    struct Drop {
        PyObject* o;
        ~Drop() { Py_XDECREF(o); }
    } drop{keywords};
    SN_PY_TRY
    Recorder::current().make_room();
    return call(f, args, n, keywords);
    SN_PY_CATCH(nullptr)
}

// x.add_(y): x.add(y), written into x by the rules of x += y. A view of x that comes out (x.t_())
// takes the place of x.
PyObject* in_place_vectorcall(PyObject* self, PyObject* const* args, size_t nargsf,
                              PyObject* names) {
    const char* name = reinterpret_cast<PyFunction*>(self)->in_place->c_str();
    if (symbols_exist) {
        PyObject* made =
            call_with_symbols(self, args, static_cast<size_t>(PyVectorcall_NARGS(nargsf)), names);
        if (made || PyErr_Occurred()) return made;
    }
    SN_PY_TRY
    if (PyVectorcall_NARGS(nargsf) == 0 || !is_tensor(args[0]))
        fail(ErrorKind::kType, name, "this is a method of sn.Tensor; call it as x.%s(...)", name);
    struct Drop {
        PyObject* o;
        ~Drop() { Py_XDECREF(o); }
    } result{function_vectorcall(self, args, nargsf, names)};
    if (!result.o) return nullptr;
    if (result.o != args[0] && as_py(result.o)->cell)
        take_view(args[0], name, result.o);
    else
        assign(args[0], name, get(result.o));
    return Py_NewRef(args[0]);
    SN_PY_CATCH(nullptr)
}

PyObject* function_get(PyObject* self, PyObject* instance, PyObject*) {
    if (!instance || instance == Py_None) return Py_NewRef(self);
    return PyMethod_New(self, instance);
}
std::string full_name(PyObject* self) {
    const auto* f = reinterpret_cast<PyFunction*>(self);
    return f->in_place ? "Tensor." + *f->in_place : f->function->name;
}
PyObject* function_repr(PyObject* self) {
    return PyUnicode_FromFormat("<function sennit.%s>", full_name(self).c_str());
}
PyObject* get_doc(PyObject* self, void*) {
    const Function& f = *reinterpret_cast<PyFunction*>(self)->function;
    const std::string* in_place = reinterpret_cast<PyFunction*>(self)->in_place;
    if (in_place && !f.name.ends_with('_')) {
        const std::string plain = in_place->substr(0, in_place->size() - 1);
        return PyUnicode_FromFormat(
            "%s%s\n\nThe same as %s, written into the tensor, which is returned.\n\n"
            "The result must have the tensor's shape, and is converted to its dtype; a view writes "
            "through to its base. Arguments as of sn.%s.\n\nRaises\n------\nShapeError\n    When "
            "the result has another shape.\nDTypeError\n    When the result is a float and the "
            "tensor an integer, or the result is complex and the tensor is not.\nGradError\n    "
            "When the tensor is a leaf that requires a gradient, outside of sn.no_grad().\n",
            in_place->c_str(), call_text(f).c_str() + f.name.size(), plain.c_str(), f.name.c_str());
    }
    return PyUnicode_FromFormat("%s\n\n%s", call_text(f).c_str(), f.def->doc);
}
PyObject* get_function_name(PyObject* self, void*) {
    const std::string name = full_name(self);
    const size_t dot = name.rfind('.');
    return PyUnicode_FromString(name.c_str() + (dot == std::string::npos ? 0 : dot + 1));
}
PyObject* get_full_name(PyObject* self, void*) {
    return PyUnicode_FromString(full_name(self).c_str());
}
PyObject* get_module(PyObject*, void*) { return PyUnicode_FromString("sennit"); }
PyObject* get_registry_signature(PyObject* self, void*) {
    return PyUnicode_FromString(reinterpret_cast<PyFunction*>(self)->function->def->signature);
}
PyObject* get_text_signature(PyObject* self, void*) {
    const std::string text = call_text(*reinterpret_cast<PyFunction*>(self)->function);
    return PyUnicode_FromString(text.c_str() + text.find('('));
}
// For inspect.signature(), which asks for it.
PyObject* get_signature(PyObject* self, void*) {
    PyObject* module = PyImport_ImportModule("sennit._results");
    if (!module) return nullptr;
    PyObject* made = PyObject_CallMethod(module, "signature_of", "O", self);
    Py_DECREF(module);
    return made;
}
PyObject* function_reduce(PyObject* self, PyObject*) { return get_full_name(self, nullptr); }

PyGetSetDef getset[] = {
    {"__doc__", get_doc, nullptr, nullptr, nullptr},
    {"__name__", get_function_name, nullptr, nullptr, nullptr},
    {"__qualname__", get_full_name, nullptr, nullptr, nullptr},
    {"__module__", get_module, nullptr, nullptr, nullptr},
    {"__text_signature__", get_text_signature, nullptr, nullptr, nullptr},
    {"__signature__", get_signature, nullptr, nullptr, nullptr},
    {"registry_signature", get_registry_signature, nullptr, "The typed signature of the registry.",
     nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyMethodDef function_methods[] = {
    {"__reduce__", function_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(PyFunction, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyType_Slot slots[] = {
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_descr_get, reinterpret_cast<void*>(function_get)},
    {Py_tp_repr, reinterpret_cast<void*>(function_repr)},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    {Py_tp_methods, function_methods},
    {0, nullptr},
};
PyType_Spec spec = {"sennit._core.Function", sizeof(PyFunction), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
                        Py_TPFLAGS_DISALLOW_INSTANTIATION,
                    slots};

PyObject* make_function(Function* f, const std::string* in_place) {
    auto* object = PyObject_New(PyFunction, function_type);
    if (!object) raise_python();
    object->vectorcall = in_place ? in_place_vectorcall : function_vectorcall;
    object->function = f;
    object->in_place = in_place;
    return reinterpret_cast<PyObject*>(object);
}

// A name that ends in an underscore is a method only, which writes its result into the tensor.
void add_name(PyObject* functions, const std::string& name, PyObject* object, bool method) {
    PyObject* dict = tensor_type->tp_dict;
    if (name.ends_with('_')) {
        Function* f = reinterpret_cast<PyFunction*>(object)->function;
        PyObject* in_place = make_function(f, new std::string(name));
        PyDict_SetItemString(dict, name.c_str(), in_place);
        Py_DECREF(in_place);
        return;
    }
    if (name.starts_with("Tensor.")) {
        PyDict_SetItemString(dict, name.c_str() + 7, object);
        return;
    }
    PyDict_SetItemString(functions, name.c_str(), object);
    if (!method || name.find('.') != std::string::npos) return;
    if (!PyDict_GetItemString(dict, name.c_str())) PyDict_SetItemString(dict, name.c_str(), object);
}

}  // namespace

void init_functions(PyObject* module) {
    function_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
    op_count();  // fills the registry
    PyObject* all = PyDict_New();
    for (const FunctionDef& def : functions()) {
        Function* f = parse_signature(def);
        PyObject* o = make_function(f, nullptr);
        const bool method =
            def.method && !f->params.empty() &&
            (f->params[0].type == ParamType::kTensor || f->params[0].type == ParamType::kOperand);
        add_name(all, f->name, o, method);
        const std::string prefix =
            f->name.find('.') == std::string::npos ? "" : f->name.substr(0, f->name.find('.') + 1);
        std::string_view rest = def.aliases;
        while (!rest.empty()) {
            const size_t space = rest.find(' ');
            const std::string alias(rest.substr(0, space));
            if (!alias.empty())
                add_name(all, alias.find('.') == std::string::npos ? prefix + alias : alias, o,
                         method);
            rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
        }
        Py_DECREF(o);
    }
    PyType_Modified(tensor_type);
    PyModule_AddObjectRef(module, "functions", all);
    Py_DECREF(all);
}

}  // namespace sn::py
