// Attributes of a sennit.Tensor.
#include "base/error.h"
#include "op/api.h"
#include "record/tape.h"
#include "record/trace.h"
#include "tensor_type.h"

namespace sn::py {

namespace {
// While a function is traced at example sizes: the class of the sizes of its tensors (an int that
// remembers what it is compared with).
thread_local PyObject* size_class = nullptr;

}  // namespace

PyObject* set_size_class(PyObject* type) {
    PyObject* before = size_class ? size_class : Py_None;
    size_class = type == Py_None ? nullptr : Py_NewRef(type);
    return before == Py_None ? Py_NewRef(before) : before;  // its reference is given back
}

void set_requires(PyObject* self, bool on) {
    const Tensor& t = get(self);
    if (on == t.requires_grad()) return;
    if (on) {
        if (!is_inexact(t.dtype())) {
            fail(ErrorKind::kGrad, "requires_grad",
                 "a tensor of dtype %s cannot require a gradient; only "
                 "floating-point tensors can; convert it with x.astype(sn.float32)",
                 dtype_name(t.dtype()));
        }
        const Tensor leaf(t.value(), make_leaf(t.value()->meta), 0);
        PyTensor* p = as_py(self);
        if (p->cell)
            p->cell->current = leaf;
        else
            p->tensor = leaf;
        return;
    }
    if (!t.node()->leaf) {
        fail(ErrorKind::kGrad, "requires_grad",
             "only leaves can stop requiring a gradient; use x.detach()");
    }
    PyTensor* p = as_py(self);
    const Tensor plain = t.detach();
    if (p->cell)
        p->cell->current = plain;
    else
        p->tensor = plain;
}

namespace {

PyObject* size_of(const Tensor& t, int64_t n) {
    PyObject* plain = PyLong_FromLongLong(n);
    if (!size_class || !plain || !trace_of(t)) return plain;
    PyObject* made = PyObject_CallOneArg(size_class, plain);
    Py_DECREF(plain);
    return made;
}

PyObject* get_shape(PyObject* self, void*) {
    const Tensor& t = get(self);
    if (!size_class) return from_shape(t.shape());
    const Dims shape = t.shape();
    PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(shape.size()));
    for (size_t k = 0; tuple && k < shape.size(); ++k) {
        PyObject* n = size_of(t, shape[k]);
        if (!n) Py_CLEAR(tuple);
        if (n) PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(k), n);
    }
    return tuple;
}
PyObject* get_dtype(PyObject* self, void*) { return from_dtype(get(self).dtype()); }
PyObject* get_ndim(PyObject* self, void*) { return PyLong_FromLong(get(self).rank()); }
PyObject* get_size(PyObject* self, void*) { return size_of(get(self), get(self).numel()); }
PyObject* get_itemsize(PyObject* self, void*) {
    return PyLong_FromSize_t(dtype_size(get(self).dtype()));
}
PyObject* get_nbytes(PyObject* self, void*) {
    return PyLong_FromLongLong(get(self).numel() *
                               static_cast<int64_t>(dtype_size(get(self).dtype())));
}
PyObject* get_device(PyObject* self, void*) {
    return PyUnicode_FromString(device_name(get(self).device()).c_str());
}
PyObject* get_requires_grad(PyObject* self, void*) {
    return PyBool_FromLong(get(self).requires_grad());
}
PyObject* get_is_leaf(PyObject* self, void*) {
    const Tensor& t = get(self);
    return PyBool_FromLong(!t.node() || t.node()->leaf);
}

int set_requires_grad(PyObject* self, PyObject* value, void*) {
    SN_PY_TRY
    const int on = value ? PyObject_IsTrue(value) : 0;
    if (on < 0) return -1;
    set_requires(self, on != 0);
    return 0;
    SN_PY_CATCH(-1)
}

constexpr const char* kRetained = "_retained_grad";

PyObject* get_grad(PyObject* self, void*) {
    const Tensor& t = get(self);
    PyObject* dict = as_py(self)->dict;
    if (PyObject* kept = dict ? PyDict_GetItemString(dict, kRetained) : nullptr)
        return Py_NewRef(kept);
    if (!t.node() || !t.node()->extra || !t.node()->extra->grad) Py_RETURN_NONE;
    return wrap(t.node()->extra->grad);
}

int set_grad(PyObject* self, PyObject* value, void*) {
    SN_PY_TRY
    const Tensor& t = get(self);
    if (!t.node() || !t.node()->leaf) {
        fail(ErrorKind::kGrad, "grad",
             "only a leaf that requires a gradient has one; this tensor of shape %s "
             "does not",
             format_shape(t.shape()).c_str());
    }
    if (!value || value == Py_None) {
        t.node()->extra->grad = Tensor();
        return 0;
    }
    const Tensor g = to_tensor("grad", "value", value);
    if (!(g.shape() == t.shape())) {
        fail(ErrorKind::kShape, "grad",
             "the gradient has shape %s, the tensor %s; they must be equal",
             format_shape(g.shape()).c_str(), format_shape(t.shape()).c_str());
    }
    t.node()->extra->grad = cast(g, t.dtype());
    return 0;
    SN_PY_CATCH(-1)
}

PyObject* get_transposed(PyObject* self, void*) {
    SN_PY_TRY
    const Tensor& t = get(self);
    Dims axes;
    for (int i = t.rank(); i-- > 0;) axes.push_back(i);
    return wrap(permute(t, axes), self);
    SN_PY_CATCH(nullptr)
}
PyObject* get_matrix_transposed(PyObject* self, void*) {
    SN_PY_TRY
    return wrap(transpose(get(self), -2, -1), self);
    SN_PY_CATCH(nullptr)
}

PyObject* get_adjoint(PyObject* self, void*) {
    SN_PY_TRY
    return wrap(conj(transpose(get(self), -2, -1)), self);
    SN_PY_CATCH(nullptr)
}

// Views of a complex tensor, so that `z.real[0] = 1` changes z; of a real one the first is all.
PyObject* get_real(PyObject* self, void*) {
    SN_PY_TRY
    if (!is_complex(get(self).dtype())) return Py_NewRef(self);
    return wrap(part_view(get(self), 0), self);
    SN_PY_CATCH(nullptr)
}
PyObject* get_imag(PyObject* self, void*) {
    SN_PY_TRY
    const Tensor& x = get(self);
    return wrap(is_complex(x.dtype()) ? part_view(x, 1) : imag(x), self);
    SN_PY_CATCH(nullptr)
}
int set_part(PyObject* self, PyObject* value, bool imaginary) {
    SN_PY_TRY
    const Tensor x = get(self);
    if (!value || (imaginary && !is_complex(x.dtype()))) {
        fail(ErrorKind::kDType, "imag",
             "the imaginary part of a %s tensor cannot be set; only complex tensors have one",
             dtype_name(x.dtype()));
    }
    if (grad_enabled() && x.node() && x.node()->leaf) {
        fail(ErrorKind::kGrad, "in place",
             "a part of a leaf of shape %s that requires a gradient is written; do it inside `with "
             "sn.no_grad():`, or work on a copy (x.clone())",
             format_shape(x.shape()).c_str());
    }
    const Tensor part =
        expand(cast(to_operand("part", "value", value), real_dtype(x.dtype())), x.shape());
    if (!is_complex(x.dtype()))
        rebind(self, part);
    else
        rebind(self, imaginary ? Parts(real(x), part).join(x.dtype())
                               : Parts(part, imag(x)).join(x.dtype()));
    return 0;
    SN_PY_CATCH(-1)
}
int set_real(PyObject* self, PyObject* value, void*) { return set_part(self, value, false); }
int set_imag(PyObject* self, PyObject* value, void*) { return set_part(self, value, true); }

// `data`: the value without its history; assigning it replaces the value (a parameter stays one).
PyObject* get_data(PyObject* self, void*) {
    SN_PY_TRY
    return wrap(detached(get(self)));
    SN_PY_CATCH(nullptr)
}
int set_data(PyObject* self, PyObject* value, void*) {
    SN_PY_TRY
    const Tensor& t = get(self);
    const Tensor v = to_tensor("data", "value", value);
    rebind(self, t.node() && t.node()->leaf ? Tensor(v.value(), t.node(), 0) : v.detach());
    return 0;
    SN_PY_CATCH(-1)
}

PyObject* get_is_cpu(PyObject* self, void*) {
    return PyBool_FromLong(get(self).device().backend == Device().backend);
}
PyObject* get_is_cuda(PyObject* self, void*) {
    return PyBool_FromLong(device_name(get(self).device()).rfind("cuda", 0) == 0);
}
PyObject* get_retains_grad(PyObject* self, void*) {
    PyObject* dict = as_py(self)->dict;
    return PyBool_FromLong(dict && PyDict_GetItemString(dict, kRetained));
}

// Numba's, which CuPy and PyTorch read, too.
PyObject* get_cuda_array_interface(PyObject* self, void*) {
    SN_PY_TRY
    if (host_visible(get(self).device())) {
        PyErr_SetString(PyExc_AttributeError,
                        "a tensor on the CPU has no __cuda_array_interface__");
        return nullptr;
    }
    PyObject* module = PyImport_ImportModule("sennit._cuda_memory");
    if (!module) raise_python();
    PyObject* made = PyObject_CallMethod(module, "array_interface", "O", self);
    Py_DECREF(module);
    return made;
    SN_PY_CATCH(nullptr)
}

}  // namespace

// Methods that ask for what attributes say, by PyTorch's names.
PyObject* dim(PyObject* self, PyObject*) { return get_ndim(self, nullptr); }
PyObject* numel(PyObject* self, PyObject*) { return get_size(self, nullptr); }
PyObject* element_size(PyObject* self, PyObject*) { return get_itemsize(self, nullptr); }
PyObject* is_floating_point(PyObject* self, PyObject*) {
    return PyBool_FromLong(is_float(get(self).dtype()));
}
PyObject* is_complex_method(PyObject* self, PyObject*) {
    return PyBool_FromLong(is_complex(get(self).dtype()));
}
PyObject* is_signed(PyObject* self, PyObject*) {
    const DType d = get(self).dtype();
    const bool without =
        is_bool(d) || d == DType::kU8 || d == DType::kU16 || d == DType::kU32 || d == DType::kU64;
    return PyBool_FromLong(!without);
}

// The gradient of a tensor that is no leaf is kept in the handle's __dict__.
PyObject* retain_grad(PyObject* self, PyObject*) {
    SN_PY_TRY
    const Tensor& t = get(self);
    if (!t.node()) {
        fail(ErrorKind::kGrad, "retain_grad",
             "the tensor of shape %s requires no gradient; set requires_grad=True on it, or on "
             "what it is computed from",
             format_shape(t.shape()).c_str());
    }
    PyObject* dict = PyObject_GenericGetDict(self, nullptr);
    if (!dict) raise_python();
    struct Drop {
        PyObject* o;
        ~Drop() { Py_XDECREF(o); }
    } drop{dict};
    if (t.node()->leaf || PyDict_GetItemString(dict, kRetained)) Py_RETURN_NONE;
    PyDict_SetItemString(dict, kRetained, Py_None);
    Drop weak{PyWeakref_NewRef(self, nullptr)};
    if (!weak.o) raise_python();
    add_hook(t, {[held = hold(weak.o)](const Tensor& g) -> Tensor {
                 PyObject* handle = PyWeakref_GetObject(held.get());
                 PyObject* kept = handle == Py_None ? nullptr : as_py(handle)->dict;
                 PyObject* before = kept ? PyDict_GetItemString(kept, kRetained) : nullptr;
                 if (!before) return Tensor();
                 Drop now{wrap(before == Py_None ? g : get(before) + g)};
                 PyDict_SetItemString(kept, kRetained, now.o);
                 return Tensor();
             }});
    Py_RETURN_NONE;
    SN_PY_CATCH(nullptr)
}

PyGetSetDef tensor_getset[] = {
    {"shape", get_shape, nullptr, "Sizes of the dimensions, a tuple of ints.", nullptr},
    {"dtype", get_dtype, nullptr, "Type of the elements.", nullptr},
    {"device", get_device, nullptr, "Where the tensor lives: 'cpu', 'cpu:1', 'cuda:0'.", nullptr},
    {"ndim", get_ndim, nullptr, "Number of dimensions.", nullptr},
    {"size", get_size, nullptr, "Number of elements.", nullptr},
    {"itemsize", get_itemsize, nullptr, "Bytes of one element.", nullptr},
    {"nbytes", get_nbytes, nullptr, "Bytes of all elements.", nullptr},
    {"T", get_transposed, nullptr, "The tensor with its dimensions reversed, a view.", nullptr},
    {"mT", get_matrix_transposed, nullptr,
     "The tensor with its last two dimensions swapped, a view.", nullptr},
    {"mH", get_adjoint, nullptr,
     "The tensor with its last two dimensions swapped, and conjugated when complex.", nullptr},
    {"real", get_real, set_real, "The real part: a view of a complex tensor.", nullptr},
    {"imag", get_imag, set_imag, "The imaginary part: a view of a complex tensor.", nullptr},
    {"requires_grad", get_requires_grad, set_requires_grad,
     "Whether gradients flow to this tensor.", nullptr},
    {"is_leaf", get_is_leaf, nullptr, "Whether the user made the tensor (no op on the tape did).",
     nullptr},
    {"grad", get_grad, set_grad, "The gradient that backward() accumulated, or None.", nullptr},
    {"retains_grad", get_retains_grad, nullptr,
     "Whether retain_grad() was called on this tensor, which is no leaf.", nullptr},
    {"__cuda_array_interface__", get_cuda_array_interface, nullptr,
     "Where the elements of a tensor on a GPU lie, for CuPy, Numba and PyTorch.", nullptr},
    {"is_cpu", get_is_cpu, nullptr, "Whether the tensor lives on a CPU.", nullptr},
    {"is_cuda", get_is_cuda, nullptr, "Whether the tensor lives on a GPU.", nullptr},
    {"data", get_data, set_data, "The value without its history; assigning replaces the value.",
     nullptr},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace sn::py
