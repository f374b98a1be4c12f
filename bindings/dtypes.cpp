#include "base/error.h"
#include "py.h"

namespace sn::py {

namespace {

// A dtype is an immutable object, one per type: sn.float32 is x.dtype.
struct PyDType {
    PyObject_HEAD DType dtype;
};
PyTypeObject* dtype_type = nullptr;
PyObject* dtype_objects[kNumDTypes] = {};

DType as_dtype(PyObject* o) { return reinterpret_cast<PyDType*>(o)->dtype; }

PyObject* dtype_repr(PyObject* self) {
    return PyUnicode_FromFormat("sennit.%s", dtype_name(as_dtype(self)));
}
PyObject* dtype_str(PyObject* self) { return PyUnicode_FromString(dtype_name(as_dtype(self))); }
PyObject* get_name(PyObject* self, void*) { return dtype_str(self); }
PyObject* get_itemsize(PyObject* self, void*) {
    return PyLong_FromSize_t(dtype_size(as_dtype(self)));
}
PyObject* get_is_float(PyObject* self, void*) { return PyBool_FromLong(is_float(as_dtype(self))); }
PyObject* get_is_complex(PyObject* self, void*) {
    return PyBool_FromLong(is_complex(as_dtype(self)));
}
PyObject* get_to_real(PyObject* self, void*) { return from_dtype(real_dtype(as_dtype(self))); }
PyObject* get_to_complex(PyObject* self, void*) {
    return from_dtype(complex_dtype(as_dtype(self)));
}
PyObject* get_kind(PyObject* self, void*) {
    const DType d = as_dtype(self);
    return PyUnicode_FromString(is_bool(d)         ? "b"
                                : is_signed_int(d) ? "i"
                                : is_int(d)        ? "u"
                                : is_complex(d)    ? "c"
                                                   : "f");
}
PyObject* dtype_reduce(PyObject* self, PyObject*) {
    PyObject* module = PyImport_ImportModule("sennit");
    if (!module) return nullptr;
    PyObject* find = PyObject_GetAttrString(module, "dtype");
    Py_DECREF(module);
    if (!find) return nullptr;
    return Py_BuildValue("(N(s))", find, dtype_name(as_dtype(self)));
}
PyObject* dtype_new(PyTypeObject*, PyObject* args, PyObject*) {
    PyObject* name = nullptr;
    if (!PyArg_ParseTuple(args, "O", &name)) return nullptr;
    SN_PY_TRY
    return from_dtype(to_dtype("dtype", name));
    SN_PY_CATCH(nullptr)
}

PyGetSetDef getset[] = {
    {"name", get_name, nullptr, "The name, as in NumPy.", nullptr},
    {"itemsize", get_itemsize, nullptr, "Bytes of one element.", nullptr},
    {"kind", get_kind, nullptr,
     "'b' bool, 'i' signed, 'u' unsigned, 'f' floating point, 'c' complex.", nullptr},
    {"is_floating_point", get_is_float, nullptr, "Whether it is a real floating-point type.",
     nullptr},
    {"is_complex", get_is_complex, nullptr, "Whether it is a type of complex numbers.", nullptr},
    {"to_real", get_to_real, nullptr, "The type of a complex number's parts; itself when real.",
     nullptr},
    {"to_complex", get_to_complex, nullptr, "The complex type whose parts hold its values.",
     nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyMethodDef dtype_methods[] = {
    {"__reduce__", dtype_reduce, METH_NOARGS, "Pickling gives the one object of the type."},
    {nullptr, nullptr, 0, nullptr},
};
PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>("The type of a tensor's elements: sn.float32, sn.int64, ...\n\n"
                       "``dtype(name)`` finds one by its name, or by NumPy's dtype.\n\n"
                       "Examples\n--------\n>>> sn.dtype('float32') is sn.float32\nTrue\n"
                       ">>> sn.int16.itemsize\n2\n")},
    {Py_tp_repr, reinterpret_cast<void*>(dtype_repr)},
    {Py_tp_str, reinterpret_cast<void*>(dtype_str)},
    {Py_tp_getset, getset},
    {Py_tp_methods, dtype_methods},
    {Py_tp_new, reinterpret_cast<void*>(dtype_new)},
    {0, nullptr},
};
PyType_Spec spec = {"sennit.dtype", sizeof(PyDType), 0, Py_TPFLAGS_DEFAULT, slots};

}  // namespace

PyObject* from_dtype(DType dtype) { return Py_NewRef(dtype_objects[static_cast<int>(dtype)]); }

DType to_dtype(const char* op, PyObject* o) {
    if (Py_TYPE(o) == dtype_type) return as_dtype(o);
    if (o == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::kBool;
    if (o == reinterpret_cast<PyObject*>(&PyLong_Type)) return DType::kI64;
    if (o == reinterpret_cast<PyObject*>(&PyFloat_Type)) return DType::kF32;
    if (o == reinterpret_cast<PyObject*>(&PyComplex_Type)) return DType::kC64;
    std::string name;
    if (PyUnicode_Check(o)) {
        name = PyUnicode_AsUTF8(o);
    } else {
        // NumPy's dtypes and scalar types carry their name.
        PyObject* text = PyObject_GetAttrString(o, "name");
        if (!text) {
            PyErr_Clear();
            text = PyObject_GetAttrString(o, "__name__");
        }
        if (text && PyUnicode_Check(text)) name = PyUnicode_AsUTF8(text);
        if (!text) PyErr_Clear();
        Py_XDECREF(text);
    }
    if (name == "half")
        name = "float16";
    else if (name == "float")
        name = "float32";
    else if (name == "double")
        name = "float64";
    else if (name == "long")
        name = "int64";
    else if (name == "int")
        name = "int64";
    else if (name == "bool_")
        name = "bool";
    else if (name == "cfloat")
        name = "complex64";
    else if (name == "cdouble")
        name = "complex128";
    DType dtype;
    if (!name.empty() && parse_dtype(name.c_str(), &dtype)) return dtype;
    fail(ErrorKind::kType, op,
         "%s is not a dtype (%s); dtypes are sn.float32, sn.int64, sn.bool, ... or "
         "their names",
         name.empty() ? "the argument" : ("'" + name + "'").c_str(), type_name(o).c_str());
}

void init_dtypes(PyObject* module) {
    dtype_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
    PyModule_AddObjectRef(module, "dtype", reinterpret_cast<PyObject*>(dtype_type));
    for (int i = 0; i < kNumDTypes; ++i) {
        auto* object = PyObject_New(PyDType, dtype_type);
        object->dtype = static_cast<DType>(i);
        dtype_objects[i] = reinterpret_cast<PyObject*>(object);
        PyModule_AddObjectRef(module, dtype_name(object->dtype), dtype_objects[i]);
    }
}

}  // namespace sn::py
