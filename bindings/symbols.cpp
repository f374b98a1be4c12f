// Symbols of programs that are not run (sennit/_symbols.py): a function that gets one is not called,
// but handed over as it is.
#include "py.h"

namespace sn::py {

bool symbols_exist = false;

namespace {

PyTypeObject *symbol_type = nullptr, *size_type = nullptr;
PyObject* dispatch = nullptr;

bool involves(PyObject* o, int depth) {
    if (Py_TYPE(o) == symbol_type || Py_TYPE(o) == size_type) return true;
    if (depth > 8) return false;
    const auto any = [&](PyObject* const* items, Py_ssize_t n) {
        for (Py_ssize_t i = 0; i < n; ++i)
            if (involves(items[i], depth + 1)) return true;
        return false;
    };
    if (PyTuple_Check(o)) return any(&PyTuple_GET_ITEM(o, 0), PyTuple_GET_SIZE(o));
    if (PyList_Check(o)) return any(PySequence_Fast_ITEMS(o), PyList_GET_SIZE(o));
    if (PySlice_Check(o)) {
        const auto* s = reinterpret_cast<PySliceObject*>(o);
        return involves(s->start, depth) || involves(s->stop, depth) || involves(s->step, depth);
    }
    if (PyDict_Check(o)) {
        PyObject *key = nullptr, *value = nullptr;
        Py_ssize_t at = 0;
        while (PyDict_Next(o, &at, &key, &value))
            if (involves(value, depth + 1)) return true;
    }
    return false;
}

PyObject* set_symbols(PyObject*, PyObject* args) {
    PyObject *symbol = nullptr, *size = nullptr, *function = nullptr;
    if (!PyArg_ParseTuple(args, "O!O!O", &PyType_Type, &symbol, &PyType_Type, &size, &function))
        return nullptr;
    symbol_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(symbol));
    size_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(size));
    dispatch = Py_NewRef(function);
    symbols_exist = true;
    Py_RETURN_NONE;
}

PyObject* has_symbols(PyObject*, PyObject* tree) {
    return PyBool_FromLong(symbols_exist && involves(tree, 0));
}

// Whether a handle is a view or has views.
PyObject* is_shared(PyObject*, PyObject* tensor) {
    return PyBool_FromLong(is_tensor(tensor) && as_py(tensor)->cell);
}

PyMethodDef symbol_methods[] = {
    {"set_symbols", set_symbols, METH_VARARGS,
     "The types of symbols and of their sizes, and what is called in the place of functions."},
    {"has_symbols", has_symbols, METH_O, "Whether a nested structure holds a symbol or a size."},
    {"is_shared", is_shared, METH_O, "Whether a tensor is a view or has views."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* call_with_symbols(PyObject* function, PyObject* const* args, size_t n, PyObject* names) {
    const size_t named = names ? static_cast<size_t>(PyTuple_GET_SIZE(names)) : 0;
    bool found = false;
    for (size_t i = 0; i < n + named && !found; ++i) found = involves(args[i], 0);
    if (!found) return nullptr;
    PyObject* positional = PyTuple_New(static_cast<Py_ssize_t>(n));
    PyObject* keywords = PyDict_New();
    PyObject* made = nullptr;
    if (positional && keywords) {
        bool filled = true;
        for (size_t i = 0; i < n; ++i)
            PyTuple_SET_ITEM(positional, static_cast<Py_ssize_t>(i), Py_NewRef(args[i]));
        for (size_t i = 0; i < named; ++i) {
            PyObject* name = PyTuple_GET_ITEM(names, static_cast<Py_ssize_t>(i));
            filled &= PyDict_SetItem(keywords, name, args[n + i]) == 0;
        }
        if (filled)
            made = PyObject_CallFunctionObjArgs(dispatch, function, positional, keywords, nullptr);
    }
    Py_XDECREF(positional);
    Py_XDECREF(keywords);
    return made;
}

void init_symbols(PyObject* module) { PyModule_AddFunctions(module, symbol_methods); }

}  // namespace sn::py
