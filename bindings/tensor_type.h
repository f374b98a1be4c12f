#pragma once
// What the files of sennit.Tensor share: tensor_type.cpp fills the type's slots with these.
#include "py.h"
#include "record/read.h"

namespace sn::py {

// An operand of an operator; false: not ours (the other side's operator is tried).
bool operand(PyObject* o, Tensor* out);
// An array, or a complex number, that operand() has made a tensor of comes to lie on the device of
// the other operand; a number stays one, which adopts the other's dtype.
inline void place_beside(const Tensor& other, Tensor* made) {
    if (made->value()->kind == ValueState::kScalar || made->device() == other.device()) return;
    const bool weak = made->weak();
    *made = copy_to_device(*made, other.device());
    made->value()->weak = weak;
}

// Makes the tensor a leaf that requires a gradient, or a leaf no longer.
void set_requires(PyObject* self, bool on);
extern PyGetSetDef tensor_getset[];

PyObject* dim(PyObject* self, PyObject*);
PyObject* numel(PyObject* self, PyObject*);
PyObject* element_size(PyObject* self, PyObject*);
PyObject* is_floating_point(PyObject* self, PyObject*);
PyObject* is_complex_method(PyObject* self, PyObject*);
PyObject* is_signed(PyObject* self, PyObject*);
PyObject* retain_grad(PyObject* self, PyObject*);

// x op= y: binds the handle to a new value of the same shape and dtype.
void assign(PyObject* self, const char* op, const Tensor& result);
// x.op_() of a view op: the handle reads its place as the view does from now on; writes go through.
void take_view(PyObject* self, const char* op, PyObject* view);
PyObject* copy_(PyObject* self, PyObject* other);
PyObject* assign_(PyObject* self, PyObject* other);

// The class of the sizes that traced tensors of this thread have, or None; returns the one before.
PyObject* set_size_class(PyObject* type);

PyObject* get_item(PyObject* self, PyObject* key);
int set_item(PyObject* self, PyObject* key, PyObject* value);
Py_ssize_t length(PyObject* self);
PyObject* sequence_item(PyObject* self, Py_ssize_t i);

// Of a tensor of one element.
PyObject* item(PyObject* self, PyObject*);
PyObject* to_float(PyObject* self);
PyObject* to_complex(PyObject* self, PyObject*);
PyObject* to_long(PyObject* self);
PyObject* to_index(PyObject* self);
int truth(PyObject* self);

int get_buffer(PyObject* self, Py_buffer* view, int flags);
void release_buffer(PyObject*, Py_buffer* view);

}  // namespace sn::py
