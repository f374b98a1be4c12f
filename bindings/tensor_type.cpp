// sennit.Tensor: the type, its operators and its methods. Attributes are in tensor_attributes.cpp,
// indexing and the buffer protocol in tensor_access.cpp, single numbers in tensor_numbers.cpp;
// methods that are functions of the registry are added by functions.cpp.
#include <cmath>
#include <cstring>
#include <utility>

#include "backend/backend.h"
#include "base/error.h"
#include "op/api.h"
#include "py.h"
#include "record/read.h"
#include "record/recorder.h"
#include "record/tape.h"
#include "record/trace.h"
#include "tensor_type.h"

namespace sn::py {

PyTypeObject* tensor_type = nullptr;

const Tensor& get(PyObject* o) {
    if (noting) note_handle(o);
    PyTensor* p = as_py(o);
    return p->cell ? read(*p->cell) : p->tensor;
}

namespace {

// Freed objects of exactly our type, kept for the next op call.
constexpr int kMaxFree = 4096;
PyObject* free_objects[kMaxFree];
int n_free = 0;

PyTensor* allocate(PyTypeObject* type) {
    PyTensor* p;
    if (type == tensor_type && n_free > 0) {
        p = as_py(free_objects[--n_free]);
        PyObject_Init(reinterpret_cast<PyObject*>(p), type);
    } else {
        p = as_py(type->tp_alloc(type, 0));
        if (!p) raise_python();
    }
    new (&p->tensor) Tensor;
    new (&p->cell) Ref<Cell>;
    p->dict = nullptr;
    p->weakrefs = nullptr;
    p->born = 0;
    if (noting) note_birth(p);
    return p;
}

void tensor_dealloc(PyObject* self) {
    PyTensor* p = as_py(self);
    PyTypeObject* type = Py_TYPE(self);
    if (noting && p->born) note_death(p);
    if (p->weakrefs) PyObject_ClearWeakRefs(self);
    Py_CLEAR(p->dict);
    p->tensor.~Tensor();
    p->cell.~Ref<Cell>();
    if (type == tensor_type && n_free < kMaxFree)
        free_objects[n_free++] = self;
    else
        type->tp_free(self);
    Py_DECREF(type);
}

Ref<Cell>& cell_of(PyTensor* p) {
    if (!p->cell) {
        p->cell = Ref<Cell>(new Cell);
        p->cell->current = std::move(p->tensor);
        p->tensor = Tensor();
    }
    return p->cell;
}

// What was made of Python numbers alone has the dtype that a tensor of such numbers has.
Tensor settled(const Tensor& x) {
    const DType d = x.dtype();
    return cast(x, d == DType::kF64 ? DType::kF32 : d == DType::kC128 ? DType::kC64 : d);
}

}  // namespace

PyObject* wrap(Tensor tensor, PyObject* source) {
    if (tensor.weak()) tensor = settled(tensor);
    PyTensor* p = allocate(tensor_type);
    if (source) {
        // Only a value that a view op has just made can be a view.
        const Value* v = tensor.value().get();
        if (v->kind == ValueState::kPending && v->recorder) {
            const Graph& g = v->recorder->graph;
            const NodeId n = g.producer(v->id);
            if (n != kNone && op_def(g.nodes[n].op).view) {
                PyTensor* base = as_py(source);
                const Tensor from = get(source);
                const auto bottom = [&]() -> Ref<Cell>& { return cell_of(base); };
                if (Ref<Cell> cell = link_view(tensor, from, bottom)) {
                    p->cell = std::move(cell);
                    return reinterpret_cast<PyObject*>(p);
                }
            }
        }
    }
    p->tensor = std::move(tensor);
    return reinterpret_cast<PyObject*>(p);
}

PyObject* wrap_all(Results results, bool as_tuple) {
    const Py_ssize_t n = static_cast<Py_ssize_t>(results.size());
    PyObject* list = as_tuple ? PyTuple_New(n) : PyList_New(n);
    for (Py_ssize_t i = 0; i < n; ++i) {
        PyObject* item = wrap(std::move(results[static_cast<size_t>(i)]));
        if (as_tuple)
            PyTuple_SET_ITEM(list, i, item);
        else
            PyList_SET_ITEM(list, i, item);
    }
    return list;
}

bool operand(PyObject* o, Tensor* out) {
    if (is_tensor(o)) {
        *out = get(o);
        return true;
    }
    if (to_number(o, out)) return true;
    // NumPy's scalars and arrays.
    if (PyObject_CheckBuffer(o) && !PyBytes_Check(o) && !PyByteArray_Check(o)) {
        *out = array_like(o, nullptr, nullptr, -1);
        return true;
    }
    return false;
}

namespace {

// ---- operators

using Binary = Tensor (*)(const Tensor&, const Tensor&);
using Unary = Tensor (*)(const Tensor&);

template <Binary op>
PyObject* binary(PyObject* a, PyObject* b) {
    SN_PY_TRY
    Tensor x, y;
    if (!operand(a, &x) || !operand(b, &y)) Py_RETURN_NOTIMPLEMENTED;
    if (!is_tensor(a)) place_beside(y, &x);
    if (!is_tensor(b)) place_beside(x, &y);
    return wrap(op(x, y));
    SN_PY_CATCH(nullptr)
}

// What sn.autocast does with a function it does with its operator.
template <Binary op>
Tensor autocast_as(const char* function, const Tensor& x, const Tensor& y) {
    if (!autocasting()) return op(x, y);
    const Autocast rule = autocast_of(function);
    return op(autocast(x, rule), autocast(y, rule));
}
Tensor matmul_operator(const Tensor& x, const Tensor& y) {
    return autocast_as<matmul>("matmul", x, y);
}
Tensor pow_operator(const Tensor& x, const Tensor& y) { return autocast_as<pow>("pow", x, y); }

template <Binary op>
PyObject* in_place(PyObject* a, PyObject* b) {
    SN_PY_TRY
    Tensor y;
    if (!operand(b, &y)) Py_RETURN_NOTIMPLEMENTED;
    assign(a, "in place", op(get(a), y));
    return Py_NewRef(a);
    SN_PY_CATCH(nullptr)
}

template <Unary op>
PyObject* unary(PyObject* a) {
    SN_PY_TRY
    return wrap(op(get(a)));
    SN_PY_CATCH(nullptr)
}

PyObject* positive(PyObject* a) { return Py_NewRef(a); }

PyObject* power(PyObject* a, PyObject* b, PyObject*) {
    // Squares are so common that they have their own op.
    if (PyLong_CheckExact(b) && is_tensor(a) && PyLong_AsLong(b) == 2) {
        SN_PY_TRY
        return wrap(square(autocast(get(a), autocasting() ? autocast_of("pow") : Autocast::kKeep)));
        SN_PY_CATCH(nullptr)
    }
    return binary<pow_operator>(a, b);
}
PyObject* in_place_power(PyObject* a, PyObject* b, PyObject*) {
    return in_place<pow_operator>(a, b);
}

PyObject* compare(PyObject* a, PyObject* b, int op) {
    switch (op) {
        case Py_LT: return binary<less>(a, b);
        case Py_LE: return binary<less_equal>(a, b);
        case Py_GT: return binary<greater>(a, b);
        case Py_GE: return binary<greater_equal>(a, b);
        case Py_NE: return binary<not_equal>(a, b);
        default: return binary<equal>(a, b);
    }
}

Py_hash_t identity_hash(PyObject* self) {
    return static_cast<Py_hash_t>(reinterpret_cast<size_t>(self) >> 4);
}

// ---- methods

PyObject* detach(PyObject* self, PyObject*) {
    SN_PY_TRY
    return wrap(detached(get(self)));
    SN_PY_CATCH(nullptr)
}
PyObject* detach_(PyObject* self, PyObject*) {
    SN_PY_TRY
    PyTensor* p = as_py(self);
    if (p->cell && p->cell->base) {
        fail(ErrorKind::kValue, "detach_",
             "the tensor of shape %s is a view, whose history is that of its base; use x.detach()",
             format_shape(get(self).shape()).c_str());
    }
    (p->cell ? p->cell->current : p->tensor) = detached(get(self));
    return Py_NewRef(self);
    SN_PY_CATCH(nullptr)
}
PyObject* numpy(PyObject* self, PyObject*) {
    SN_PY_TRY
    service();
    return to_numpy(self);
    SN_PY_CATCH(nullptr)
}

PyObject* array(PyObject* self, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"dtype", "copy", nullptr};
    PyObject *dtype = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OO", const_cast<char**>(names), &dtype,
                                     &copy))
        return nullptr;
    SN_PY_TRY
    PyObject* made = to_numpy(self);
    if (dtype != Py_None) {
        PyObject* typed = PyObject_CallMethod(made, "astype", "O", dtype);
        Py_DECREF(made);
        return typed;
    }
    if (copy == Py_True) {
        PyObject* copied = PyObject_CallMethod(made, "copy", nullptr);
        Py_DECREF(made);
        return copied;
    }
    return made;
    SN_PY_CATCH(nullptr)
}

PyObject* nested_list(PyObject* flat, const Dims& shape, size_t depth, Py_ssize_t* at) {
    if (depth == shape.size()) return Py_NewRef(PyList_GET_ITEM(flat, (*at)++));
    PyObject* list = PyList_New(static_cast<Py_ssize_t>(shape[depth]));
    for (Py_ssize_t i = 0; i < shape[depth]; ++i)
        PyList_SET_ITEM(list, i, nested_list(flat, shape, depth + 1, at));
    return list;
}

template <class T>
struct Pair {
    T re, im;
};

PyObject* to_list(PyObject* self, PyObject*) {
    SN_PY_TRY
    service();
    Tensor keep;
    const Tensor t = get(self).detach();
    const Tensor wide =
        t.dtype() == DType::kBF16 || t.dtype() == DType::kF16 ? cast(t, DType::kF32) : t;
    const char* data = static_cast<const char*>(read_values(wide, &keep));
    const Py_ssize_t n = static_cast<Py_ssize_t>(t.numel());
    PyObject* flat = PyList_New(n);
    for (Py_ssize_t i = 0; i < n; ++i) {
        PyObject* o = nullptr;
        const auto at = [&]<class T>(T) {
            T v;
            std::memcpy(&v, data + static_cast<size_t>(i) * sizeof(T), sizeof(T));
            return v;
        };
        switch (wide.dtype()) {
            case DType::kBool: o = PyBool_FromLong(at(uint8_t{})); break;
            case DType::kI8: o = PyLong_FromLong(at(int8_t{})); break;
            case DType::kI16: o = PyLong_FromLong(at(int16_t{})); break;
            case DType::kI32: o = PyLong_FromLong(at(int32_t{})); break;
            case DType::kI64: o = PyLong_FromLongLong(at(int64_t{})); break;
            case DType::kU8: o = PyLong_FromLong(at(uint8_t{})); break;
            case DType::kU16: o = PyLong_FromLong(at(uint16_t{})); break;
            case DType::kU32: o = PyLong_FromUnsignedLong(at(uint32_t{})); break;
            case DType::kU64: o = PyLong_FromUnsignedLongLong(at(uint64_t{})); break;
            case DType::kF64: o = PyFloat_FromDouble(at(double{})); break;
            case DType::kC64: {
                const auto z = at(Pair<float>{});
                o = PyComplex_FromDoubles(static_cast<double>(z.re), static_cast<double>(z.im));
                break;
            }
            case DType::kC128: {
                const auto z = at(Pair<double>{});
                o = PyComplex_FromDoubles(z.re, z.im);
                break;
            }
            default: o = PyFloat_FromDouble(static_cast<double>(at(float{}))); break;
        }
        PyList_SET_ITEM(flat, i, o);
    }
    if (t.rank() == 0) {
        PyObject* only = Py_NewRef(PyList_GET_ITEM(flat, 0));
        Py_DECREF(flat);
        return only;
    }
    Py_ssize_t at = 0;
    PyObject* nested = nested_list(flat, t.shape(), 0, &at);
    Py_DECREF(flat);
    return nested;
    SN_PY_CATCH(nullptr)
}

PyObject* backward_method(PyObject* self, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"gradient", "retain_graph", "create_graph", nullptr};
    PyObject* gradient = Py_None;
    int retain = 0, create = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|Opp", const_cast<char**>(names), &gradient,
                                     &retain, &create))
        return nullptr;
    SN_PY_TRY
    const Tensor root = get(self);
    Tensor g;
    if (gradient == Py_None) {
        if (root.numel() != 1) {
            fail(ErrorKind::kGrad, "backward",
                 "the tensor has shape %s; without an argument only a scalar has a "
                 "gradient; reduce it first (x.sum(), x.mean()) or pass a gradient of that shape",
                 format_shape(root.shape()).c_str());
        }
        if (is_complex(root.dtype())) {
            fail(ErrorKind::kGrad, "backward",
                 "the tensor is %s; without an argument only a real scalar has a gradient; take "
                 "x.real or sn.abs(x), or pass a gradient",
                 dtype_name(root.dtype()));
        }
        if (root.requires_grad()) g = ones_like(root.detach());
    } else {
        g = to_tensor("backward", "gradient", gradient);
        if (!(g.shape() == root.shape())) {
            fail(ErrorKind::kShape, "backward",
                 "the gradient has shape %s, the tensor %s; they must be equal",
                 format_shape(g.shape()).c_str(), format_shape(root.shape()).c_str());
        }
    }
    BackwardOptions options;
    options.create_graph = create != 0;
    backward({&root, 1}, {&g, 1}, options);
    Py_RETURN_NONE;
    SN_PY_CATCH(nullptr)
}

PyObject* requires_grad_(PyObject* self, PyObject* args) {
    int on = 1;
    if (!PyArg_ParseTuple(args, "|p", &on)) return nullptr;
    SN_PY_TRY
    set_requires(self, on != 0);
    return Py_NewRef(self);
    SN_PY_CATCH(nullptr)
}

PyObject* to(PyObject* self, PyObject* args, PyObject* keywords) {
    SN_PY_TRY
    Tensor t = get(self);
    // The third of what is given by position, as PyTorch has it, or by name.
    const auto truth = [](PyObject* o) {
        const int on = PyObject_IsTrue(o);
        if (on < 0) raise_python();
        return on == 1;
    };
    bool later = false;
    if (PyObject* o = keywords ? PyDict_GetItemString(keywords, "non_blocking") : nullptr)
        later = truth(o);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); ++i) {
        if (!PyBool_Check(PyTuple_GET_ITEM(args, i))) continue;
        later = PyTuple_GET_ITEM(args, i) == Py_True;
        break;
    }
    const auto apply = [&](PyObject* o) {
        if (o == Py_None || PyBool_Check(o)) return;
        if (is_tensor(o)) {
            t = cast(copy_to_device(t, get(o).device(), later), get(o).dtype());
            return;
        }
        if (PyUnicode_Check(o)) {
            DType d;
            const char* text = PyUnicode_AsUTF8(o);
            if (parse_dtype(text, &d))
                t = cast(t, d);
            else
                t = copy_to_device(t, parse_device(text), later);
            return;
        }
        t = cast(t, to_dtype("to", o));
    };
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); ++i) apply(PyTuple_GET_ITEM(args, i));
    if (keywords) {
        PyObject *name, *value;
        Py_ssize_t at = 0;
        while (PyDict_Next(keywords, &at, &name, &value)) apply(value);
    }
    if (t.value() == get(self).value()) return Py_NewRef(self);
    return wrap(std::move(t));
    SN_PY_CATCH(nullptr)
}

PyObject* pin_memory_method(PyObject* self, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"device", nullptr};
    PyObject* device = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O", const_cast<char**>(names), &device))
        return nullptr;
    SN_PY_TRY
    Tensor pinned = pin_memory(
        get(self), device == Py_None ? parse_device("cuda") : to_device("pin_memory", device));
    if (pinned.value() == get(self).value()) return Py_NewRef(self);
    return wrap(std::move(pinned));
    SN_PY_CATCH(nullptr)
}

PyObject* is_pinned_method(PyObject* self, PyObject*) {
    SN_PY_TRY
    return PyBool_FromLong(is_pinned(get(self)));
    SN_PY_CATCH(nullptr)
}

// x.to_device(device, stream=None), the standard's name.
PyObject* to_device_method(PyObject* self, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"device", "stream", nullptr};
    PyObject *device = nullptr, *stream = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$O", const_cast<char**>(names), &device,
                                     &stream))
        return nullptr;
    SN_PY_TRY
    if (stream != Py_None) {
        fail(ErrorKind::kValue, "to_device",
             "stream is %s; tensors are not tied to streams; leave it out",
             type_name(stream).c_str());
    }
    const Device where = to_device("to_device", device);
    if (get(self).device() == where) return Py_NewRef(self);
    return wrap(copy_to_device(get(self), where));
    SN_PY_CATCH(nullptr)
}

PyObject* cpu(PyObject* self, PyObject*) {
    SN_PY_TRY
    if (get(self).device() == Device()) return Py_NewRef(self);
    return wrap(copy_to_device(get(self), Device()));
    SN_PY_CATCH(nullptr)
}

PyObject* cuda(PyObject* self, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"device", nullptr};
    PyObject* device = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O", const_cast<char**>(names), &device))
        return nullptr;
    SN_PY_TRY
    const Device where =
        device == Py_None ? parse_device("cuda")
        : PyLong_Check(device)
            ? parse_device("cuda:" + std::to_string(to_int("cuda", "device", device)))
            : to_device("cuda", device);
    if (get(self).device() == where) return Py_NewRef(self);
    return wrap(copy_to_device(get(self), where));
    SN_PY_CATCH(nullptr)
}

PyObject* is_contiguous_method(PyObject* self, PyObject*) {
    SN_PY_TRY
    const Tensor t = readable(get(self));
    materialize(t);
    return PyBool_FromLong(is_contiguous(t.shape(), t.value()->strides));
    SN_PY_CATCH(nullptr)
}

// x.new_tensor(data): a leaf with the dtype and device of x unless others are given.
PyObject* new_tensor(PyObject* self, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"data", "dtype", "device", "requires_grad", nullptr};
    PyObject *data = nullptr, *dtype = Py_None, *device = Py_None;
    int requires_grad = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|OO$p", const_cast<char**>(names), &data,
                                     &dtype, &device, &requires_grad))
        return nullptr;
    SN_PY_TRY
    const DType d = dtype == Py_None ? get(self).dtype() : to_dtype("new_tensor", dtype);
    const Device where = device == Py_None ? get(self).device() : to_device("new_tensor", device);
    Tensor made = array_like(data, &d, &where, -1).detach();
    if (is_tensor(data)) made = clone(made);
    PyObject* o = wrap(std::move(made));
    if (requires_grad) set_requires(o, true);
    return o;
    SN_PY_CATCH(nullptr)
}

PyObject* array_namespace(PyObject*, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"api_version", nullptr};
    PyObject* version = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$O", const_cast<char**>(names), &version))
        return nullptr;
    SN_PY_TRY
    if (version != Py_None) {
        const char* known[] = {"2021.12", "2022.12", "2023.12", "2024.12"};
        bool found = false;
        for (const char* k : known)
            found |= PyUnicode_Check(version) && PyUnicode_CompareWithASCIIString(version, k) == 0;
        if (!found) {
            fail(ErrorKind::kValue, "__array_namespace__",
                 "api_version is %s; the versions up to '2024.12' are there",
                 type_name(version).c_str());
        }
    }
    return PyImport_ImportModule("sennit");
    SN_PY_CATCH(nullptr)
}

PyObject* register_hook(PyObject* self, PyObject* hook) {
    SN_PY_TRY
    const Tensor& t = get(self);
    if (!t.node()) {
        fail(ErrorKind::kGrad, "register_hook",
             "the tensor of shape %s requires no gradient, so that no hook could be called; set "
             "requires_grad=True on it, or on what it is computed from",
             format_shape(t.shape()).c_str());
    }
    if (!PyCallable_Check(hook)) {
        fail(ErrorKind::kType, "register_hook", "the hook is %s; a function is required",
             type_name(hook).c_str());
    }
    const std::shared_ptr<PyObject> held = hold(hook);
    return wrap_hook(add_hook(t, {[held](const Tensor& g) -> Tensor {
                                  PyObject* argument = wrap(g);
                                  PyObject* result = PyObject_CallOneArg(held.get(), argument);
                                  Py_DECREF(argument);
                                  if (!result) raise_python();
                                  Tensor changed;
                                  if (result != Py_None)
                                      changed = to_tensor("register_hook", "result", result);
                                  Py_DECREF(result);
                                  return changed;
                              }}));
    SN_PY_CATCH(nullptr)
}

PyObject* strides_method(PyObject* self, PyObject*) {
    SN_PY_TRY
    const Tensor t = readable(get(self));
    materialize(t);
    return from_shape(t.value()->strides);
    SN_PY_CATCH(nullptr)
}

PyObject* reduce_ex(PyObject* self, PyObject*) {
    SN_PY_TRY
    PyObject* module = PyImport_ImportModule("sennit._pickle");
    if (!module) return nullptr;
    PyObject* result = PyObject_CallMethod(module, "reduce_tensor", "O", self);
    Py_DECREF(module);
    return result;
    SN_PY_CATCH(nullptr)
}

PyObject* python_text(PyObject* self, const char* function, PyObject* argument) {
    PyObject* module = PyImport_ImportModule("sennit._text");
    if (!module) return nullptr;
    PyObject* result = argument ? PyObject_CallMethod(module, function, "OO", self, argument)
                                : PyObject_CallMethod(module, function, "O", self);
    Py_DECREF(module);
    return result;
}
PyObject* repr(PyObject* self) { return python_text(self, "tensor_repr", nullptr); }
PyObject* html(PyObject* self, PyObject*) { return python_text(self, "tensor_html", nullptr); }
PyObject* format(PyObject* self, PyObject* spec) {
    return python_text(self, "tensor_format", spec);
}

PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"data", "dtype", "device", "requires_grad", nullptr};
    PyObject *data = nullptr, *dtype = Py_None, *device = Py_None;
    int requires_grad = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|OOp", const_cast<char**>(names), &data,
                                     &dtype, &device, &requires_grad))
        return nullptr;
    SN_PY_TRY
    DType d{};
    Device where{};
    if (dtype != Py_None) d = to_dtype("tensor", dtype);
    if (device != Py_None) where = to_device("tensor", device);
    Tensor t =
        array_like(data, dtype != Py_None ? &d : nullptr, device != Py_None ? &where : nullptr, -1);
    PyTensor* p = allocate(type);
    p->tensor = lifted(t.detach());
    PyObject* o = reinterpret_cast<PyObject*>(p);
    if (requires_grad) {
        try {
            set_requires(o, true);
        } catch (...) {
            Py_DECREF(o);
            throw;
        }
    }
    return o;
    SN_PY_CATCH(nullptr)
}

#define SN_KEYWORDS(f) reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(f))
PyMethodDef methods[] = {
    {"__complex__", to_complex, METH_NOARGS, "The only element as a Python complex number."},
    {"item", item, METH_NOARGS, "The only element as a Python number."},
    {"tolist", to_list, METH_NOARGS, "The elements as (nested lists of) Python numbers."},
    {"numpy", numpy, METH_NOARGS, "A read-only NumPy array over the same memory."},
    {"detach", detach, METH_NOARGS, "The same value without its history."},
    {"detach_", detach_, METH_NOARGS, "Forgets the history of the tensor; returns it."},
    {"backward", SN_KEYWORDS(backward_method), METH_VARARGS | METH_KEYWORDS,
     "backward(gradient=None, retain_graph=False, create_graph=False)\n\nAdds the gradient of this "
     "tensor to "
     "the `grad` of every leaf it depends on. A tensor of one element needs no `gradient`; others "
     "take one of "
     "their shape. `retain_graph` is accepted and not needed: saved values are given up by "
     "optimizer.step(), "
     "not by backward()."},
    {"requires_grad_", requires_grad_, METH_VARARGS, "Sets requires_grad; returns the tensor."},
    {"copy_", copy_, METH_O,
     "Replaces the elements by those of another tensor, broadcast and converted."},
    {"assign_", assign_, METH_O,
     "Replaces the value by one of the same shape and dtype; for training state."},
    {"to", SN_KEYWORDS(to), METH_VARARGS | METH_KEYWORDS,
     "Converts to a dtype, a device, or both."},
    {"pin_memory", SN_KEYWORDS(pin_memory_method), METH_VARARGS | METH_KEYWORDS,
     "pin_memory(device=None)\n\nThe tensor in page-locked memory, which a GPU copies while it "
     "works; itself when it lies there. Without CUDA: an error that says what is missing."},
    {"is_pinned", is_pinned_method, METH_NOARGS, "Whether the memory is page-locked."},
    {"cpu", cpu, METH_NOARGS, "The tensor on the CPU; itself when it is there."},
    {"cuda", SN_KEYWORDS(cuda), METH_VARARGS | METH_KEYWORDS,
     "The tensor on a GPU (the first, or that of a number or name); itself when it is there."},
    {"dim", dim, METH_NOARGS, "Number of dimensions: the attribute `ndim`."},
    {"ndimension", dim, METH_NOARGS, "Number of dimensions: the attribute `ndim`."},
    {"numel", numel, METH_NOARGS, "Number of elements: the attribute `size`."},
    {"nelement", numel, METH_NOARGS, "Number of elements: the attribute `size`."},
    {"element_size", element_size, METH_NOARGS, "Bytes of one element: `itemsize`."},
    {"is_floating_point", is_floating_point, METH_NOARGS, "Whether the elements are floats."},
    {"is_complex", is_complex_method, METH_NOARGS, "Whether the elements are complex numbers."},
    {"is_signed", is_signed, METH_NOARGS, "Whether the dtype has negative numbers."},
    {"is_contiguous", is_contiguous_method, METH_NOARGS,
     "Whether the elements lie in memory in the order of their indices; waits for the tensor."},
    {"new_tensor", SN_KEYWORDS(new_tensor), METH_VARARGS | METH_KEYWORDS,
     "new_tensor(data, dtype=None, device=None, *, requires_grad=False)\n\nA tensor with a copy of "
     "the data, and with the dtype and device of this one unless others are given."},
    {"retain_grad", retain_grad, METH_NOARGS,
     "Has backward() keep the gradient of this tensor, which is no leaf, in its `grad`."},
    {"to_device", SN_KEYWORDS(to_device_method), METH_VARARGS | METH_KEYWORDS,
     "to_device($self, device, /, *, stream=None)\n--\n\nThe tensor on a device; itself when it is "
     "there."},
    {"__array_namespace__", SN_KEYWORDS(array_namespace), METH_VARARGS | METH_KEYWORDS,
     "__array_namespace__($self, /, *, api_version=None)\n--\n\nThe module sennit: the namespace "
     "of "
     "the Array API standard."},
    {"register_hook", register_hook, METH_O,
     "register_hook(hook)\n\nCalls ``hook(gradient)`` whenever the gradient of this tensor has "
     "been computed; a tensor that it returns replaces the gradient. Returns a handle, whose "
     "remove() takes the hook away. Hooks run in the order in which they were added."},
    {"stride", strides_method, METH_NOARGS, "Strides in elements."},
    {"__array__", SN_KEYWORDS(array), METH_VARARGS | METH_KEYWORDS, "As a NumPy array."},
    {"__dlpack__", SN_KEYWORDS(dlpack_method), METH_VARARGS | METH_KEYWORDS,
     "__dlpack__($self, /, *, stream=None, max_version=None, dl_device=None, copy=None)\n--\n\nAs "
     "a "
     "DLPack capsule."},
    {"__dlpack_device__", dlpack_device_method, METH_NOARGS,
     "__dlpack_device__($self, /)\n--\n\nDLPack's device type and ordinal."},
    {"__reduce_ex__", reduce_ex, METH_O, "Pickling, for multiprocessing."},
    {"__format__", format, METH_O, "Formats a single element as a number."},
    {"_repr_html_", html, METH_NOARGS, "As a table, for notebooks."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(PyTensor, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PyTensor, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

#define SN_SLOT(slot, function) {slot, reinterpret_cast<void*>(function)}
PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>(
         "A multi-dimensional array of one dtype on one device.\n\nMake one with sn.tensor, "
         "sn.asarray, sn.zeros and "
         "so on. Values never change: `x += 1` and `x[i] = v` bind the tensor (and its views and "
         "base) to a new "
         "value, computed in place when nobody else holds the old one.\n\nExamples\n--------\n"
         ">>> x = sn.tensor([[1.0, 2.0], [3.0, 4.0]])\n>>> x[0] += 10\n>>> (x @ "
         "x.T).sum().item()\n452.0\n")},
    SN_SLOT(Py_tp_new, tensor_new),
    SN_SLOT(Py_tp_dealloc, tensor_dealloc),
    SN_SLOT(Py_tp_repr, repr),
    SN_SLOT(Py_tp_hash, identity_hash),
    SN_SLOT(Py_tp_richcompare, compare),
    {Py_tp_getset, tensor_getset},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    SN_SLOT(Py_nb_add, binary<add>),
    SN_SLOT(Py_nb_subtract, binary<subtract>),
    SN_SLOT(Py_nb_multiply, binary<multiply>),
    SN_SLOT(Py_nb_true_divide, binary<divide>),
    SN_SLOT(Py_nb_floor_divide, binary<floor_divide>),
    SN_SLOT(Py_nb_remainder, binary<remainder>),
    SN_SLOT(Py_nb_power, power),
    SN_SLOT(Py_nb_matrix_multiply, binary<matmul_operator>),
    SN_SLOT(Py_nb_and, binary<bitwise_and>),
    SN_SLOT(Py_nb_or, binary<bitwise_or>),
    SN_SLOT(Py_nb_xor, binary<bitwise_xor>),
    SN_SLOT(Py_nb_lshift, binary<bitwise_left_shift>),
    SN_SLOT(Py_nb_rshift, binary<bitwise_right_shift>),
    SN_SLOT(Py_nb_positive, positive),
    SN_SLOT(Py_nb_negative, unary<negative>),
    SN_SLOT(Py_nb_absolute, unary<abs>),
    SN_SLOT(Py_nb_invert, unary<bitwise_invert>),
    SN_SLOT(Py_nb_inplace_add, in_place<add>),
    SN_SLOT(Py_nb_inplace_subtract, in_place<subtract>),
    SN_SLOT(Py_nb_inplace_multiply, in_place<multiply>),
    SN_SLOT(Py_nb_inplace_true_divide, in_place<divide>),
    SN_SLOT(Py_nb_inplace_floor_divide, in_place<floor_divide>),
    SN_SLOT(Py_nb_inplace_remainder, in_place<remainder>),
    SN_SLOT(Py_nb_inplace_power, in_place_power),
    SN_SLOT(Py_nb_inplace_and, in_place<bitwise_and>),
    SN_SLOT(Py_nb_inplace_or, in_place<bitwise_or>),
    SN_SLOT(Py_nb_inplace_xor, in_place<bitwise_xor>),
    SN_SLOT(Py_nb_inplace_lshift, in_place<bitwise_left_shift>),
    SN_SLOT(Py_nb_inplace_rshift, in_place<bitwise_right_shift>),
    SN_SLOT(Py_nb_inplace_matrix_multiply, in_place<matmul_operator>),
    SN_SLOT(Py_nb_bool, truth),
    SN_SLOT(Py_nb_float, to_float),
    SN_SLOT(Py_nb_int, to_long),
    SN_SLOT(Py_nb_index, to_index),
    SN_SLOT(Py_mp_length, length),
    SN_SLOT(Py_mp_subscript, get_item),
    SN_SLOT(Py_mp_ass_subscript, set_item),
    SN_SLOT(Py_sq_item, sequence_item),
    SN_SLOT(Py_sq_length, length),
    SN_SLOT(Py_bf_getbuffer, get_buffer),
    SN_SLOT(Py_bf_releasebuffer, release_buffer),
    {0, nullptr},
};
PyType_Spec spec = {"sennit.Tensor", sizeof(PyTensor), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                    slots};

}  // namespace

void init_tensor_type(PyObject* module) {
    PyObject* type = PyType_FromSpec(&spec);
    if (!type) raise_python();
    tensor_type = reinterpret_cast<PyTypeObject*>(type);
    // NumPy leaves operators between its values and tensors to the tensor.
    PyObject* priority = PyFloat_FromDouble(1000.0);
    PyDict_SetItemString(tensor_type->tp_dict, "__array_priority__", priority);
    Py_DECREF(priority);
    PyModule_AddObjectRef(module, "Tensor", type);
}

}  // namespace sn::py
