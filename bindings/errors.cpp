#include <new>

#include "base/error.h"
#include "engine/engine.h"
#include "py.h"
#include "record/recorder.h"

namespace sn::py {

namespace {

constexpr int kKinds = static_cast<int>(ErrorKind::kInternal) + 1;
PyObject* exception_types[kKinds] = {};

struct KindInfo {
    ErrorKind kind;
    const char* name;
    PyObject** base;
    const char* doc;
};

PyObject* make_type(PyObject* module, PyObject* root, const KindInfo& info) {
    PyObject* bases = PyTuple_Pack(2, root, *info.base);
    const std::string full = std::string("sennit.") + info.name;
    PyObject* type = PyErr_NewExceptionWithDoc(full.c_str(), info.doc, bases, nullptr);
    Py_DECREF(bases);
    if (!type) raise_python();
    PyObject* code = PyUnicode_FromString(error_code(info.kind));
    PyObject_SetAttrString(type, "code", code);
    Py_DECREF(code);
    PyModule_AddObjectRef(module, info.name, type);
    return type;
}

void set_attribute(PyObject* exception, const char* name, const std::string& text) {
    PyObject* value =
        PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
    PyObject_SetAttrString(exception, name, value);
    Py_XDECREF(value);
}

}  // namespace

void init_errors(PyObject* module) {
    PyObject* root = PyErr_NewExceptionWithDoc("sennit.SennitError",
                                               "Base of every error that Sennit raises. `code` is "
                                               "stable, `op` names the operation, `where` the "
                                               "user's source line and module path (or is empty).",
                                               nullptr, nullptr);
    PyModule_AddObjectRef(module, "SennitError", root);
    const KindInfo kinds[] = {
        {ErrorKind::kShape, "ShapeError", &PyExc_ValueError, "Shapes do not fit (SN101)."},
        {ErrorKind::kDType, "DTypeError", &PyExc_TypeError, "A dtype does not fit (SN102)."},
        {ErrorKind::kIndex, "IndexOutOfRange", &PyExc_IndexError,
         "An index or axis is out of range (SN103)."},
        {ErrorKind::kValue, "InvalidValue", &PyExc_ValueError, "A value is not allowed (SN104)."},
        {ErrorKind::kDevice, "DeviceError", &PyExc_RuntimeError,
         "A device is missing or devices are mixed (SN105)."},
        {ErrorKind::kGrad, "GradError", &PyExc_RuntimeError,
         "A gradient cannot be computed (SN106)."},
        {ErrorKind::kMemory, "OutOfMemory", &PyExc_MemoryError,
         "There is not enough memory (SN107)."},
        {ErrorKind::kType, "InvalidType", &PyExc_TypeError,
         "An argument has the wrong type (SN108)."},
        {ErrorKind::kFile, "FileError", &PyExc_OSError,
         "A file cannot be read or written (SN109)."},
        {ErrorKind::kNumeric, "NumericError", &PyExc_ArithmeticError,
         "A NaN appeared while sn.config.detect_nan is on (SN110)."},
        {ErrorKind::kInternal, "InternalError", &PyExc_RuntimeError, "A bug in Sennit (SN199)."},
    };
    for (const KindInfo& info : kinds)
        exception_types[static_cast<int>(info.kind)] = make_type(module, root, info);
}

void set_python_error() {
    try {
        throw;
    } catch (const PythonError&) {
        // The Python exception is set already.
    } catch (Error& error) {
        // Work that ran later knows the site of its op; what fails at the call, the current one.
        if (error.where().empty())
            error.set_where(site_text(error.site() ? error.site() : current_site()));
        PyObject* type = exception_types[static_cast<int>(error.kind())];
        PyObject* exception = PyObject_CallFunction(type, "s", error.what());
        if (!exception) return;
        set_attribute(exception, "op", error.op());
        set_attribute(exception, "where", error.where());
        PyErr_SetObject(type, exception);
        Py_DECREF(exception);
    } catch (const Interrupted&) {
        if (!PyErr_Occurred()) PyErr_SetNone(PyExc_KeyboardInterrupt);
    } catch (const std::bad_alloc&) {
        PyErr_SetString(exception_types[static_cast<int>(ErrorKind::kMemory)],
                        "[memory] the system has no memory left (SN107)");
    } catch (const std::exception& error) {
        PyErr_SetString(exception_types[static_cast<int>(ErrorKind::kInternal)], error.what());
    }
}

}  // namespace sn::py
