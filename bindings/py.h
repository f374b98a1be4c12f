#pragma once
// What the binding's files share. The tensor type and the registry's functions use the C API
// directly: they are the fast path of every op call; everything else goes through nanobind.
#include <Python.h>
#include <structmember.h>

#include <memory>
#include <string>
#include <vector>

#include "op/function.h"
#include "record/tape.h"
#include "record/tensor.h"
#include "record/view.h"

namespace sn::py {

struct PyTensor {
    PyObject_HEAD Tensor tensor;  // unused while `cell` is set
    Ref<Cell> cell;               // set once the tensor has views or is one
    PyObject* dict;
    PyObject* weakrefs;
    uint64_t born;  // in which recording of sn.compile; 0: outside of any
};

extern PyTypeObject* tensor_type;

inline bool is_tensor(PyObject* o) { return PyObject_TypeCheck(o, tensor_type); }
inline PyTensor* as_py(PyObject* o) { return reinterpret_cast<PyTensor*>(o); }

// While sn.compile records a call (compiled.cpp), handles are noted as they were before it, and
// those that are made in it are counted.
extern bool noting;
void note_handle(PyObject* o);  // about to be read or written
void note_birth(PyTensor* p);
void note_death(const PyTensor* p);
bool made_in_recording(const PyTensor* p);

// The current tensor of a handle (a view follows its base).
const Tensor& get(PyObject* o);
// Binds the handle to a new value: what writing in place means. Views write through to their base.
void rebind(PyObject* o, Tensor value);
// A new Python tensor. `source`: the handle that the call read; when the result is a view of its
// value, the new handle becomes a view of that handle.
PyObject* wrap(Tensor tensor, PyObject* source = nullptr);
PyObject* wrap_all(Results results, bool as_tuple);

// A Python object that may be let go of without the GIL held.
std::shared_ptr<PyObject> hold(PyObject* o);

// The in-place writes of a function call, so that they can be undone: recomputation must change
// nothing.
struct Writes {
    struct Write {
        PyObject* handle;
        Ref<Cell> root;  // of a view, or of a tensor that has views
        Tensor before;
        bool reshaped = false;  // the handle became a view of what `root` now holds
    };
    std::vector<Write> list;
    Writes() = default;
    Writes(const Writes&) = delete;
    Writes& operator=(const Writes&) = delete;
    ~Writes();
    void note(PyObject* o);
    void note_reshaped(PyObject* o);
    void undo();                         // swaps: a second call does them again
    void keep_outer(PyObject* results);  // forgets tensors that nobody else holds, and results
};
Writes* watch_writes(Writes* writes);  // from now on, on this thread; returns who watched before
bool watching_writes();

// Conversions. They throw sn::Error (or PythonError after a Python exception has been set).
struct PythonError {};
[[noreturn]] inline void raise_python() { throw PythonError{}; }
bool to_scalar(PyObject* o, Scalar* out);  // Python bool, int and float
bool to_number(PyObject* o, Tensor* out);  // ... and complex: a weak tensor of rank 0
Tensor to_operand(const char* op, const char* name, PyObject* o);
Tensor to_tensor(const char* op, const char* name, PyObject* o);  // tensors only
int64_t to_int(const char* op, const char* name, PyObject* o);
bool to_ints(PyObject* o, Dims* out, bool* single);
DType to_dtype(const char* op, PyObject* o);
Device to_device(const char* op, PyObject* o);
PyObject* from_dtype(DType dtype);
PyObject* from_shape(const Dims& shape);
std::string type_name(PyObject* o);

// Anything array-like: numbers, nested sequences, NumPy arrays, objects with __dlpack__ or a
// buffer. `copy`: 1 always, 0 never (fails when one is needed), -1 when needed.
Tensor array_like(PyObject* data, const DType* dtype, const Device* device, int copy);
// Arrays of others, whose elements may change: no part of a recording of sn.compile.
void watch_foreign(const Tensor& made);
// A tensor made from data inside a trace belongs to the trace, which may write it in place.
Tensor lifted(Tensor made);
PyObject* to_numpy(PyObject* tensor);
Tensor from_dlpack(PyObject* o, int copy);
// The tensor's methods __dlpack__ and __dlpack_device__.
PyObject* dlpack_method(PyObject* tensor, PyObject* args, PyObject* keywords);
PyObject* dlpack_device_method(PyObject* tensor, PyObject*);
// A tensor over memory of another library on a GPU, which `release(owner)` gives back; on errors,
// too. Takes no copy but for copy == 1.
Tensor share_cuda(int index, void* data, DimSpan shape, DimSpan strides, DType dtype, int copy,
                  void* owner, void (*release)(void*));
std::pair<int, int> dlpack_place(Device device);  // DLPack's device type and ordinal

// Turns the exception in flight into a Python one. Call inside catch (...).
void set_python_error();
void init_errors(PyObject* module);
void init_dtypes(PyObject* module);
void init_tensor_type(PyObject* module);
void init_functions(PyObject* module);
void init_sites(PyObject* module);
void init_compiled(PyObject* module);
void init_symbols(PyObject* module);
PyObject* wrap_hook(std::shared_ptr<GradHook> hook);

// Whether there are symbols (symbols.cpp). A call that gets one is handed over; null without an
// error: there is none among the arguments.
extern bool symbols_exist;
bool any_symbols(PyObject* const* args, size_t n);
PyObject* call_with_symbols(PyObject* function, PyObject* const* args, size_t n, PyObject* names);

// Ctrl-C, queued releases of borrowed memory: called with the GIL held, now and then.
void service();

#define SN_PY_TRY try {
#define SN_PY_CATCH(result)           \
    }                                 \
    catch (...) {                     \
        ::sn::py::set_python_error(); \
        return result;                \
    }

}  // namespace sn::py
