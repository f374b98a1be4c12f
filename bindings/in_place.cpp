// Writing in place: what `x op= y`, `x.op_(y)`, copy_ and assign_ share. Values never change; a
// handle is bound to a new value, and a view writes through to its base (core/record/view.h).
#include <utility>

#include "base/error.h"
#include "op/api.h"
#include "py.h"
#include "record/recorder.h"
#include "record/trace.h"
#include "tensor_type.h"

namespace sn::py {

namespace {

thread_local Writes* watching = nullptr;

// What a write through this handle changes: the base of a view.
Tensor& base_of(PyTensor* p) {
    if (!p->cell) return p->tensor;
    Cell* root = p->cell.get();
    while (root->base) root = root->base.get();
    return root->current;
}

void check_traced(PyTensor* p) {
    const Trace* trace = current_trace();
    const Tensor& base = base_of(p);
    if (!trace || trace_of(base) == trace || base.is_scalar()) return;
    fail(ErrorKind::kValue, "in place",
         "a tensor of shape %s that was made outside of a traced function (sn.vmap, sn.jacfwd ...) "
         "is written in place inside of it; a traced function may change only what it made; work "
         "on a copy (x.clone()) and return it; state such as the running statistics of batch norm "
         "is an argument (sn.functional_call), or not updated (model.eval())",
         format_shape(base.shape()).c_str());
}

}  // namespace

Writes* watch_writes(Writes* writes) { return std::exchange(watching, writes); }
bool watching_writes() { return watching != nullptr; }

void Writes::note(PyObject* o) {
    PyTensor* p = as_py(o);
    Tensor& base = base_of(p);
    Cell* root = nullptr;
    for (Cell* c = p->cell.get(); c; c = c->base.get()) root = c;
    for (const Write& w : list)
        if (!w.reshaped && (w.handle == o || (root && w.root.get() == root))) return;
    list.push_back({Py_NewRef(o), Ref<Cell>(root), base});
}

void Writes::note_reshaped(PyObject* o) {
    for (const Write& w : list)
        if (w.reshaped && w.handle == o) return;
    list.push_back({Py_NewRef(o), as_py(o)->cell, Tensor(), true});
}

void Writes::undo() {
    for (Write& w : list) {
        PyTensor* p = as_py(w.handle);
        if (w.reshaped) {
            std::swap(p->cell, w.root);
            continue;
        }
        std::swap(base_of(p), w.before);
        for (Cell* c = p->cell.get(); c; c = c->base.get()) ++c->version;
    }
}

void Writes::keep_outer(PyObject* results) {
    std::erase_if(list, [&](const Write& w) {
        bool inner = Py_REFCNT(w.handle) == 1;
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(results); ++i)
            inner |= PyList_GET_ITEM(results, i) == w.handle;
        if (inner) Py_DECREF(w.handle);
        return inner;
    });
}

Writes::~Writes() {
    for (Write& w : list) Py_DECREF(w.handle);
}

void rebind(PyObject* o, Tensor value) {
    if (noting) note_handle(o);
    PyTensor* p = as_py(o);
    check_traced(p);
    if (watching) watching->note(o);
    if (p->cell)
        write(*p->cell, std::move(value));
    else
        p->tensor = std::move(value);
}

namespace {

void check_no_leaf(const Tensor& x, const char* op) {
    if (!x.node() || !x.node()->leaf) return;
    fail(ErrorKind::kGrad, op,
         "a leaf of shape %s that requires a gradient is written in place; do it "
         "inside `with sn.no_grad():`, or work on a new tensor",
         format_shape(x.shape()).c_str());
}

}  // namespace

void assign(PyObject* self, const char* op, const Tensor& result) {
    const Tensor& x = get(self);
    if (grad_enabled()) check_no_leaf(x, op);
    if (!(result.shape() == x.shape())) {
        fail(ErrorKind::kShape, op,
             "the result has shape %s, but the tensor written has %s; an operation in "
             "place keeps the shape; write x = x ... instead",
             format_shape(result.shape()).c_str(), format_shape(x.shape()).c_str());
    }
    const auto kind = [](DType d) { return is_complex(d) ? 2 : is_float(d) ? 1 : 0; };
    if (kind(result.dtype()) > kind(x.dtype())) {
        fail(ErrorKind::kDType, op,
             "the result is %s, but the tensor written is %s; an operation in place keeps "
             "the dtype; convert it first with x.astype(sn.%s)",
             dtype_name(result.dtype()), dtype_name(x.dtype()), dtype_name(result.dtype()));
    }
    Tensor value = cast(result, x.dtype());
    if (!grad_enabled() && x.node() && x.node()->leaf)
        value =
            Tensor(value.value(), x.node(), x.output());  // a parameter stays the leaf that it is
    rebind(self, std::move(value));
}

void take_view(PyObject* self, const char* op, PyObject* view) {
    PyTensor* p = as_py(self);
    check_no_leaf(get(self), op);
    check_traced(p);
    // A call that sn.compile repeats gives handles values, not views.
    if (noting && !made_in_recording(p))
        stop_watch("it changes the dimensions in place of", get(self).value()->meta);
    if (watching) watching->note_reshaped(self);
    p->cell = as_py(view)->cell;
}

PyObject* copy_(PyObject* self, PyObject* other) {
    SN_PY_TRY
    Tensor v;
    if (!operand(other, &v)) v = array_like(other, nullptr, nullptr, -1);
    const Tensor& x = get(self);
    place_beside(x, &v);
    assign(self, "copy_", expand(cast(v, x.dtype()), x.shape()));
    return Py_NewRef(self);
    SN_PY_CATCH(nullptr)
}

// Rebinds a handle to a new value without any check of modes: for optimisers and buffers. When the
// window that computes it fails, the handle keeps its former value.
PyObject* assign_(PyObject* self, PyObject* other) {
    SN_PY_TRY
    const Tensor v = to_tensor("assign_", "value", other);
    const Tensor x = get(self);
    if (!(v.shape() == x.shape()) || v.dtype() != x.dtype()) {
        fail(ErrorKind::kShape, "assign_",
             "the new value is %s%s, the tensor %s%s; they must agree", dtype_name(v.dtype()),
             format_shape(v.shape()).c_str(), dtype_name(x.dtype()),
             format_shape(x.shape()).c_str());
    }
    if (v.value()->kind == ValueState::kPending && v.value() != x.value()) {
        const bool pending = x.value()->kind == ValueState::kPending;
        v.value()->former = pending && x.value()->former ? x.value()->former : x.value();
    }
    rebind(self, x.node() && x.node()->leaf ? Tensor(v.value(), x.node(), 0) : v.detach());
    return Py_NewRef(self);
    SN_PY_CATCH(nullptr)
}

}  // namespace sn::py
