#include <cmath>
#include <cstring>

#include "backend/backend.h"
#include "base/error.h"
#include "compiled.h"
#include "op/api.h"
#include "py.h"
#include "record/read.h"
#include "record/recorder.h"

namespace sn::py {

std::string type_name(PyObject* o) {
    std::string name = Py_TYPE(o)->tp_name;
    if (PyLong_CheckExact(o) || PyFloat_CheckExact(o) || PyUnicode_CheckExact(o)) {
        PyObject* text = PyObject_Repr(o);
        if (text) name += " " + std::string(PyUnicode_AsUTF8(text)).substr(0, 60);
        Py_XDECREF(text);
    }
    return name;
}

bool to_scalar(PyObject* o, Scalar* out) {
    if (PyFloat_Check(o)) {
        if (is_traced_number(o)) note_leak();
        *out = Scalar::of_float(PyFloat_AS_DOUBLE(o));
        return true;
    }
    if (PyBool_Check(o)) {
        *out = Scalar::of_bool(o == Py_True);
        return true;
    }
    if (PyLong_Check(o)) {
        int overflow = 0;
        const long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
        if (overflow) {
            const unsigned long long u = overflow > 0 ? PyLong_AsUnsignedLongLong(o) : 0;
            if (overflow < 0 || PyErr_Occurred()) {
                PyErr_Clear();
                fail(ErrorKind::kValue, "scalar",
                     "the Python int %s does not fit in 64 bits; give it as a "
                     "float",
                     type_name(o).c_str());
            }
            *out = Scalar::of_int(static_cast<int64_t>(u));
            return true;
        }
        *out = Scalar::of_int(v);
        return true;
    }
    return false;
}

bool to_number(PyObject* o, Tensor* out) {
    Scalar s;
    if (is_traced_number(o)) {
        *out = Tensor(PyFloat_AS_DOUBLE(o));
        note_number(o, *out);
        return true;
    }
    if (to_scalar(o, &s)) {
        *out = Tensor(s);
        return true;
    }
    if (!PyComplex_Check(o)) return false;
    const Py_complex z = PyComplex_AsCComplex(o);
    *out = complex(Tensor(z.real), Tensor(z.imag));
    return true;
}

namespace {

// NumPy's scalars and arrays of rank 0, without importing NumPy.
bool has_attribute(PyObject* o, const char* name) {
    PyObject* found = PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(o)), name);
    if (!found) PyErr_Clear();
    Py_XDECREF(found);
    return found != nullptr;
}

}  // namespace

Tensor to_operand(const char* op, const char* name, PyObject* o) {
    if (is_tensor(o)) return get(o);
    Tensor number;
    if (to_number(o, &number)) return number;
    if (has_attribute(o, "__array__") || has_attribute(o, "__dlpack__") || PyObject_CheckBuffer(o))
        return array_like(o, nullptr, nullptr, -1);
    fail(ErrorKind::kType, op, "argument '%s' is %s; it must be a tensor or a number", name,
         type_name(o).c_str());
}

Tensor to_tensor(const char* op, const char* name, PyObject* o) {
    if (is_tensor(o)) return get(o);
    if (has_attribute(o, "__array__") || has_attribute(o, "__dlpack__"))
        return array_like(o, nullptr, nullptr, -1);
    fail(ErrorKind::kType, op,
         "argument '%s' is %s; it must be a tensor; make one with sn.tensor(...)", name,
         type_name(o).c_str());
}

int64_t to_int(const char* op, const char* name, PyObject* o) {
    PyObject* index = PyFloat_Check(o) ? nullptr : PyNumber_Index(o);
    if (!index) {
        PyErr_Clear();
        fail(ErrorKind::kType, op, "argument '%s' is %s; it must be an int", name,
             type_name(o).c_str());
    }
    const long long v = PyLong_AsLongLong(index);
    Py_DECREF(index);
    if (v == -1 && PyErr_Occurred()) raise_python();
    return v;
}

bool to_ints(PyObject* o, Dims* out, bool* single) {
    out->clear();
    *single = false;
    if (PyTuple_CheckExact(o) || PyList_CheckExact(o)) {
        const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
        for (Py_ssize_t i = 0; i < n; ++i) {
            PyObject* item = PySequence_Fast_GET_ITEM(o, i);
            PyObject* index = PyNumber_Index(item);
            if (!index) {
                PyErr_Clear();
                return false;
            }
            out->push_back(PyLong_AsLongLong(index));
            Py_DECREF(index);
        }
        return true;
    }
    if (PyIndex_Check(o)) {
        PyObject* index = PyNumber_Index(o);
        if (index) {
            out->push_back(PyLong_AsLongLong(index));
            Py_DECREF(index);
            *single = true;
            return true;
        }
        PyErr_Clear();
    }
    if (is_tensor(o) || !PySequence_Check(o) || PyUnicode_Check(o)) return false;
    PyObject* list = PySequence_Tuple(o);
    if (!list) {
        PyErr_Clear();
        return false;
    }
    const bool ok = to_ints(list, out, single);
    Py_DECREF(list);
    return ok;
}

Device to_device(const char* op, PyObject* o) {
    if (PyUnicode_Check(o)) return parse_device(PyUnicode_AsUTF8(o));
    PyObject* text = PyObject_Str(o);
    if (!text) raise_python();
    const std::string name = PyUnicode_AsUTF8(text);
    Py_DECREF(text);
    (void)op;
    return parse_device(name);
}

PyObject* from_shape(const Dims& shape) {
    PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(shape.size()));
    for (size_t i = 0; i < shape.size(); ++i)
        PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), PyLong_FromLongLong(shape[i]));
    return tuple;
}

namespace {

bool buffer_dtype(const Py_buffer& b, DType* out) {
    const char* f = b.format ? b.format : "B";
    while (*f == '@' || *f == '=' || *f == '<') ++f;
    if (f[0] == 'Z' && f[1] != '\0' && f[2] == '\0') {
        *out = f[1] == 'f' ? DType::kC64 : DType::kC128;
        return f[1] == 'f' || f[1] == 'd';
    }
    if (f[0] == '\0' || f[1] != '\0') return false;
    const auto sized = [&](bool is_signed) {
        switch (b.itemsize) {
            case 1: return is_signed ? DType::kI8 : DType::kU8;
            case 2: return is_signed ? DType::kI16 : DType::kU16;
            case 4: return is_signed ? DType::kI32 : DType::kU32;
            default: return is_signed ? DType::kI64 : DType::kU64;
        }
    };
    switch (*f) {
        case '?': *out = DType::kBool; return true;
        case 'b':
        case 'h':
        case 'i':
        case 'l':
        case 'q':
        case 'n': *out = sized(true); return true;
        case 'B':
        case 'H':
        case 'I':
        case 'L':
        case 'Q':
        case 'N': *out = sized(false); return true;
        case 'e': *out = DType::kF16; return true;
        case 'f': *out = DType::kF32; return true;
        case 'd': *out = DType::kF64; return true;
        default: return false;
    }
}

void release_view(void* owner) {
    auto* view = static_cast<Py_buffer*>(owner);
    PyBuffer_Release(view);
    delete view;
}

Tensor from_view(Py_buffer* view, DType dtype, Device device, int copy) {
    Dims shape, strides;
    bool whole = true;
    for (int i = 0; i < view->ndim; ++i) shape.push_back(view->shape[i]);
    if (!view->strides) {  // ctypes gives none, though they are asked for: row-major
        strides = contiguous_strides(shape);
    } else {
        for (int i = 0; i < view->ndim; ++i) {
            whole &= view->strides[i] % view->itemsize == 0;
            strides.push_back(view->strides[i] / view->itemsize);
        }
    }
    if (!whole) {
        PyBuffer_Release(view);
        delete view;
        fail(ErrorKind::kValue, "asarray",
             "the array's strides are not a multiple of its element size; copy it "
             "first with numpy.ascontiguousarray");
    }
    // Arrays that may be written are copied at once: later edits must not change a value.
    if (copy != 1 && view->readonly && backend(device).host_visible()) {
        BufferRef buffer =
            Buffer::borrow(view->buf, static_cast<size_t>(view->len), view, release_view, true);
        return from_buffer(std::move(buffer), 0, shape, strides, dtype, device);
    }
    if (copy == 0) {
        PyBuffer_Release(view);
        delete view;
        fail(ErrorKind::kValue, "asarray",
             "copy=False, but the array is writable and must be copied, because "
             "values never change; make it read-only with a.flags.writeable = False");
    }
    Tensor t = from_memory(view->buf, shape, strides, dtype, device);
    PyBuffer_Release(view);
    delete view;
    return t;
}

PyObject* numpy_call(const char* name, PyObject* argument, const char* dtype) {
    PyObject* numpy = PyImport_ImportModule("numpy");
    if (!numpy) raise_python();
    PyObject* function = PyObject_GetAttrString(numpy, name);
    Py_DECREF(numpy);
    if (!function) raise_python();
    PyObject* result = dtype ? PyObject_CallFunction(function, "Os", argument, dtype)
                             : PyObject_CallOneArg(function, argument);
    Py_DECREF(function);
    if (!result) raise_python();
    return result;
}

// What a nested sequence holds: 0 bool, 1 int, 2 float, 3 complex, 4 tensors inside, -1 something
// else.
int sequence_kind(PyObject* o, int depth) {
    if (PyBool_Check(o)) return 0;
    if (PyLong_Check(o)) return 1;
    if (PyFloat_Check(o)) return 2;
    if (PyComplex_Check(o)) return 3;
    if (is_tensor(o)) return 4;
    if ((PyList_Check(o) || PyTuple_Check(o)) && depth < kMaxRank) {
        int kind = -2;
        for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i) {
            const int k = sequence_kind(PySequence_Fast_GET_ITEM(o, i), depth + 1);
            if (k == -1) return -1;
            kind = std::max(kind, k);
        }
        return kind == -2 ? 2 : kind;  // empty: float
    }
    return -1;
}

// Of a Python number that becomes a tensor.
DType number_dtype(const Tensor& number) {
    const DType d = number.dtype();
    return is_complex(d) ? DType::kC64 : is_float(d) ? DType::kF32 : is_bool(d) ? d : DType::kI64;
}

Tensor stack_sequence(PyObject* o) {
    if (is_tensor(o)) return get(o);
    if (Tensor number; to_number(o, &number))
        return full({}, number, number_dtype(number), Device{});
    std::vector<Tensor> items;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i)
        items.push_back(stack_sequence(PySequence_Fast_GET_ITEM(o, i)));
    return stack(items, 0);
}

Tensor from_numpy_like(PyObject* array, Device device, int copy) {
    auto* view = new Py_buffer;
    if (PyObject_GetBuffer(array, view, PyBUF_STRIDES | PyBUF_FORMAT) != 0) {
        PyErr_Clear();
        delete view;
        // bfloat16 of ml_dtypes has no buffer format; its bits do.
        PyObject* dtype = PyObject_GetAttrString(array, "dtype");
        PyObject* name = dtype ? PyObject_GetAttrString(dtype, "name") : nullptr;
        PyErr_Clear();
        const bool bf16 =
            name && PyUnicode_Check(name) && std::strcmp(PyUnicode_AsUTF8(name), "bfloat16") == 0;
        const std::string text =
            name && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : type_name(array);
        Py_XDECREF(dtype);
        Py_XDECREF(name);
        if (!bf16) {
            fail(ErrorKind::kDType, "asarray",
                 "an array of dtype %s cannot become a tensor; tensors hold bool, "
                 "integers, real and complex floats",
                 text.c_str());
        }
        PyObject* bits = PyObject_CallMethod(array, "view", "s", "uint16");
        if (!bits) raise_python();
        view = new Py_buffer;
        const int failed = PyObject_GetBuffer(bits, view, PyBUF_STRIDES | PyBUF_FORMAT);
        Py_DECREF(bits);
        if (failed) {
            delete view;
            raise_python();
        }
        return from_view(view, DType::kBF16, device, copy);
    }
    DType dtype;
    if (!buffer_dtype(*view, &dtype)) {
        const std::string format = view->format ? view->format : "?";
        PyBuffer_Release(view);
        delete view;
        fail(ErrorKind::kDType, "asarray",
             "an array with elements of format '%s' cannot become a tensor; tensors "
             "hold bool, integers, real and complex floats of native byte order",
             format.c_str());
    }
    return from_view(view, dtype, device, copy);
}

// Whether an array of another library lies on a GPU: its type has the attribute, and it has it,
// too.
bool on_gpu(PyObject* o) {
    constexpr const char* kName = "__cuda_array_interface__";
    if (!has_attribute(o, kName)) return false;
    PyObject* found = PyObject_GetAttrString(o, kName);
    if (!found && !PyErr_ExceptionMatches(PyExc_AttributeError)) raise_python();
    PyErr_Clear();
    Py_XDECREF(found);
    return found != nullptr;
}

Tensor shared_from_gpu(PyObject* o, const Device* device, int copy) {
    PyObject* module = PyImport_ImportModule("sennit._cuda_memory");
    if (!module) raise_python();
    PyObject* made = PyObject_CallMethod(module, "from_array_interface", "OO", o,
                                         copy == 1 ? Py_True : Py_False);
    Py_DECREF(module);
    if (!made) raise_python();
    Tensor t = get(made);
    Py_DECREF(made);
    if (!device || t.device() == *device) return t;
    if (copy == 0) {
        fail(ErrorKind::kValue, "asarray",
             "copy=False, but the array is on %s and must be copied to %s; leave copy out",
             device_name(t.device()).c_str(), device_name(*device).c_str());
    }
    return copy_to_device(t, *device);
}

}  // namespace

void watch_foreign(const Tensor& made) {
    if (noting && made.rank() > 0) stop_watch("it takes over an array as", made.value()->meta);
}

Tensor array_like(PyObject* data, const DType* dtype, const Device* device, int copy) {
    const Device where = device ? *device : Device{};
    Tensor t, number;
    if (is_tensor(data)) {
        t = get(data);
        if (device && !(t.device() == where))
            t = copy_to_device(t, where);
        else if (copy == 1)
            t = clone(t);
    } else if (!(PyFloat_Check(data) && !PyFloat_CheckExact(data) && !is_traced_number(data)) &&
               !(PyComplex_Check(data) && !PyComplex_CheckExact(data)) &&
               to_number(data, &number)) {
        // (NumPy's float64 and complex128 are Python numbers, too, but have a dtype.)
        const DType own = number_dtype(number);
        if (!dtype || *dtype == own || !is_complex(own)) {
            return full({}, number, dtype ? *dtype : own, where);
        }
        return cast(full({}, number, DType::kC128, where), *dtype);
    } else if (PyList_Check(data) || PyTuple_Check(data)) {
        if (copy == 0) {
            fail(ErrorKind::kValue, "asarray",
                 "copy=False, but a list must be copied; leave copy out");
        }
        const int kind = sequence_kind(data, 0);
        if (kind == 4) {
            t = stack_sequence(data);
        } else {
            // Numbers go through NumPy at the precision in which they are wanted.
            const bool as_double = dtype && (*dtype == DType::kF64 || *dtype == DType::kC128);
            PyObject* array =
                numpy_call("array", data,
                           kind == 3   ? (as_double ? "complex128" : "complex64")
                           : kind == 2 ? (as_double ? "float64" : "float32")
                           : kind == 1 ? (dtype && *dtype == DType::kU64 ? "uint64" : "int64")
                           : kind == 0 ? "bool"
                                       : nullptr);
            struct Drop {
                PyObject* o;
                ~Drop() { Py_DECREF(o); }
            } drop{array};
            t = from_numpy_like(array, where, 1);
        }
    } else if (PyObject_CheckBuffer(data) || has_attribute(data, "__array_interface__")) {
        t = from_numpy_like(data, where, copy);
        watch_foreign(t);
    } else if (on_gpu(data)) {
        t = shared_from_gpu(data, device, copy);
        watch_foreign(t);
    } else if (has_attribute(data, "__array__")) {
        PyObject* array = numpy_call("asarray", data, nullptr);
        struct Drop {
            PyObject* o;
            ~Drop() { Py_DECREF(o); }
        } drop{array};
        t = from_numpy_like(array, where, copy);
        watch_foreign(t);
    } else {
        fail(ErrorKind::kType, "tensor",
             "%s cannot become a tensor; give a number, a nested list of numbers, a "
             "NumPy array or an object with __dlpack__ or the buffer protocol",
             type_name(data).c_str());
    }
    return dtype ? cast(t, *dtype) : t;
}

PyObject* to_numpy(PyObject* o) {
    const Tensor& t = get(o);
    if (t.requires_grad() && grad_enabled()) {
        fail(ErrorKind::kGrad, "numpy",
             "the tensor of shape %s requires a gradient, which NumPy cannot follow; "
             "call x.detach().numpy()",
             format_shape(t.shape()).c_str());
    }
    PyObject* view = PyMemoryView_FromObject(o);
    if (!view) raise_python();
    PyObject* array = numpy_call("asarray", view, nullptr);
    Py_DECREF(view);
    if (t.dtype() == DType::kBF16) {
        PyObject* ml_dtypes = PyImport_ImportModule("ml_dtypes");
        if (!ml_dtypes) {
            PyErr_Clear();
            Py_DECREF(array);
            fail(ErrorKind::kDType, "numpy",
                 "NumPy has no bfloat16; convert first with x.astype(sn.float32), or "
                 "install the package ml_dtypes");
        }
        PyObject* dtype = PyObject_GetAttrString(ml_dtypes, "bfloat16");
        PyObject* typed = PyObject_CallMethod(array, "view", "O", dtype);
        Py_XDECREF(dtype);
        Py_DECREF(ml_dtypes);
        Py_DECREF(array);
        if (!typed) raise_python();
        return typed;
    }
    return array;
}

}  // namespace sn::py
