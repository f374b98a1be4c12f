// Reading and writing parts of a sennit.Tensor: x[key], len(x), iteration, and the buffer protocol.
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"
#include "op/api.h"
#include "record/read.h"
#include "record/recorder.h"
#include "record/tape.h"
#include "record/trace.h"
#include "tensor_type.h"

namespace sn::py {

// ---- indexing

namespace {

// Lets a sequence of items be read as NumPy reads it. Lists and arrays come to lie on `where`.
void read_items(PyObject* key, Device where, std::vector<IndexItem>& items) {
    const auto one = [&](PyObject* o) {
        IndexItem it;
        if (o == Py_None) {
            it.kind = IndexItem::kNewaxis;
        } else if (o == Py_Ellipsis) {
            it.kind = IndexItem::kEllipsis;
        } else if (PySlice_Check(o)) {
            auto* s = reinterpret_cast<PySliceObject*>(o);
            it.kind = IndexItem::kSlice;
            const auto bound = [](PyObject* v, bool* has, int64_t* out) {
                if (v == Py_None) return;
                *has = true;
                *out = to_int("getitem", "slice", v);
            };
            bound(s->start, &it.has_start, &it.start);
            bound(s->stop, &it.has_stop, &it.stop);
            bound(s->step, &it.has_step, &it.step);
        } else if (PyLong_Check(o) && !PyBool_Check(o)) {
            it.kind = IndexItem::kInteger;
            it.start = PyLong_AsLongLong(o);
            if (it.start == -1 && PyErr_Occurred()) raise_python();
        } else if (is_tensor(o)) {
            it.kind = IndexItem::kTensor;
            it.tensor = get(o);
        } else if (PyList_Check(o) || PyTuple_Check(o) || PyBool_Check(o) ||
                   PyObject_CheckBuffer(o)) {
            it.kind = IndexItem::kTensor;
            const bool list = PyList_Check(o) || PyTuple_Check(o);
            if (list && PySequence_Size(o) == 0) {
                const DType d = DType::kI64;
                it.tensor = array_like(o, &d, &where, 1);
            } else {
                it.tensor = array_like(o, nullptr, &where, -1);
            }
        } else if (PyIndex_Check(o)) {
            it.kind = IndexItem::kInteger;
            it.start = to_int("getitem", "index", o);
        } else {
            fail(ErrorKind::kType, "getitem",
                 "%s cannot index a tensor; use integers, slices, None, ..., "
                 "integer tensors or bool masks",
                 type_name(o).c_str());
        }
        items.push_back(std::move(it));
    };
    if (PyTuple_Check(key)) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(key); ++i) one(PyTuple_GET_ITEM(key, i));
    } else {
        one(key);
    }
}

}  // namespace

PyObject* get_item(PyObject* self, PyObject* key) {
    SN_PY_TRY
    Recorder::current().make_room();
    std::vector<IndexItem> items;
    read_items(key, get(self).device(), items);
    return wrap(index(get(self), items.data(), static_cast<int>(items.size())), self);
    SN_PY_CATCH(nullptr)
}

int set_item(PyObject* self, PyObject* key, PyObject* value) {
    SN_PY_TRY
    if (!value) fail(ErrorKind::kType, "setitem", "elements of a tensor cannot be deleted");
    const Tensor& x = get(self);
    if (grad_enabled() && x.node() && x.node()->leaf) {
        fail(ErrorKind::kGrad, "setitem",
             "a leaf of shape %s that requires a gradient is written in place; do it "
             "inside `with sn.no_grad():`, or work on a copy (x.clone())",
             format_shape(x.shape()).c_str());
    }
    std::vector<IndexItem> items;
    read_items(key, x.device(), items);
    Tensor v;
    if (!operand(value, &v)) v = array_like(value, nullptr, nullptr, -1);
    if (!is_tensor(value)) place_beside(x, &v);
    Tensor result = index_update(x, items.data(), static_cast<int>(items.size()), v);
    if (!grad_enabled() && x.node() && x.node()->leaf)
        result = Tensor(result.value(), x.node(), x.output());
    rebind(self, std::move(result));
    return 0;
    SN_PY_CATCH(-1)
}

Py_ssize_t length(PyObject* self) {
    const Tensor& t = get(self);
    if (t.rank() == 0) {
        PyErr_SetString(PyExc_TypeError, "len() of a tensor of rank 0");
        return -1;
    }
    return static_cast<Py_ssize_t>(t.size(0));
}

PyObject* sequence_item(PyObject* self, Py_ssize_t i) {
    SN_PY_TRY
    const Tensor& t = get(self);
    if (t.rank() == 0)
        fail(ErrorKind::kShape, "getitem", "a tensor of rank 0 cannot be iterated over");
    if (i < 0 || i >= t.size(0)) {
        PyErr_SetNone(PyExc_IndexError);  // ends an iteration
        return nullptr;
    }
    IndexItem it;
    it.kind = IndexItem::kInteger;
    it.start = i;
    return wrap(index(t, &it, 1), self);
    SN_PY_CATCH(nullptr)
}

// ---- buffer protocol: read-only, zero-copy; the view holds the buffer

namespace {

struct Export {
    HeldBuffer buffer;
    SmallVec<Py_ssize_t, 8> shape, strides;
};

const char* buffer_format(DType d) {
    switch (d) {
        case DType::kBool: return "?";
        case DType::kI8: return "b";
        case DType::kI16: return "h";
        case DType::kI32: return "i";
        case DType::kI64: return "q";
        case DType::kU8: return "B";
        case DType::kU16: return "H";
        case DType::kU32: return "I";
        case DType::kU64: return "Q";
        case DType::kF16: return "e";
        case DType::kBF16: return "H";  // as bits: no format letter exists
        case DType::kF32: return "f";
        case DType::kF64: return "d";
        case DType::kC64: return "Zf";
        case DType::kC128: return "Zd";
    }
    return "B";
}

}  // namespace

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
    SN_PY_TRY
    if (flags & PyBUF_WRITABLE) {
        PyErr_SetString(PyExc_BufferError, "a tensor's memory is read-only");
        return -1;
    }
    if (get(self).requires_grad() && grad_enabled()) {
        fail(ErrorKind::kGrad, "buffer",
             "the tensor of shape %s requires a gradient, which NumPy and others "
             "cannot follow; use x.detach()",
             format_shape(get(self).shape()).c_str());
    }
    Tensor t = readable(get(self));
    require_host_memory("buffer", t);
    wait_ready(t);
    if ((flags & PyBUF_STRIDES) != PyBUF_STRIDES && !is_contiguous(t.shape(), t.value()->strides)) {
        Tensor keep;
        read_values(t, &keep);
        t = keep;
    }
    const Value& v = *t.value();
    auto* e = new Export;
    e->buffer = v.buffer;
    const Py_ssize_t size = static_cast<Py_ssize_t>(dtype_size(v.meta.dtype));
    for (size_t i = 0; i < v.meta.shape.size(); ++i) {
        e->shape.push_back(v.meta.shape[i]);
        e->strides.push_back(v.strides[i] * size);
    }
    view->obj = Py_NewRef(self);
    view->buf = static_cast<char*>(v.buffer->data()) + v.offset * size;
    view->len = static_cast<Py_ssize_t>(t.numel()) * size;
    view->readonly = 1;
    view->itemsize = size;
    view->format = flags & PyBUF_FORMAT ? const_cast<char*>(buffer_format(v.meta.dtype)) : nullptr;
    view->ndim = t.rank();
    view->shape = flags & PyBUF_ND ? e->shape.data() : nullptr;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? e->strides.data() : nullptr;
    view->suboffsets = nullptr;
    view->internal = e;
    return 0;
    SN_PY_CATCH(-1)
}

void release_buffer(PyObject*, Py_buffer* view) { delete static_cast<Export*>(view->internal); }

}  // namespace sn::py
