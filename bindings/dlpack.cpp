// DLPack, both ways (https://dmlc.github.io/dlpack). The structures are the standard's.
#include "backend/backend.h"
#include "base/error.h"
#include "op/api.h"
#include "py.h"
#include "record/read.h"
#include "record/trace.h"

namespace sn::py {

namespace {

struct DLDevice {
    int32_t type;
    int32_t id;
};
struct DLDataType {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
};
struct DLTensor {
    void* data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t* shape;
    int64_t* strides;
    uint64_t byte_offset;
};
struct DLManagedTensor {
    DLTensor tensor;
    void* context;
    void (*deleter)(DLManagedTensor*);
};
struct DLVersion {
    uint32_t major, minor;
};
struct DLManagedTensorVersioned {
    DLVersion version;
    void* context;
    void (*deleter)(DLManagedTensorVersioned*);
    uint64_t flags;
    DLTensor tensor;
};
constexpr uint64_t kReadOnly = 1, kCopied = 2;
enum Code : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kComplex = 5, kBool = 6 };

DLDataType dl_dtype(DType d) {
    const uint8_t bits = static_cast<uint8_t>(dtype_size(d) * 8);
    if (is_bool(d)) return {kBool, 8, 1};
    if (d == DType::kBF16) return {kBfloat, 16, 1};
    if (is_complex(d)) return {kComplex, bits, 1};
    if (is_float(d)) return {kFloat, bits, 1};
    return {is_signed_int(d) ? kInt : kUInt, bits, 1};
}

bool from_dl(const DLDataType& t, DType* out) {
    if (t.lanes != 1) return false;
    for (int i = 0; i < kNumDTypes; ++i) {
        const DLDataType mine = dl_dtype(static_cast<DType>(i));
        if (mine.code == t.code && mine.bits == t.bits) {
            *out = static_cast<DType>(i);
            return true;
        }
    }
    return false;
}

struct Context {
    HeldBuffer buffer;
    Dims shape, strides;
};

void fill(DLTensor& t, const Value& v, Context& context) {
    context.buffer = v.buffer;
    context.shape = v.meta.shape;
    context.strides = v.strides;
    t.data = static_cast<char*>(v.buffer->data()) +
             v.offset * static_cast<int64_t>(dtype_size(v.meta.dtype));
    const auto [type, index] = dlpack_place(v.meta.device);
    t.device = {type, index};
    t.ndim = static_cast<int32_t>(v.meta.shape.size());
    t.dtype = dl_dtype(v.meta.dtype);
    t.shape = context.shape.data();
    t.strides = context.strides.data();
    t.byte_offset = 0;
}

template <class Managed>
void delete_managed(Managed* m) {
    delete static_cast<Context*>(m->context);
    delete m;
}

template <class Managed>
void delete_capsule(PyObject* capsule, const char* name) {
    if (!PyCapsule_IsValid(capsule, name)) return;  // consumed
    auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule, name));
    if (m && m->deleter) m->deleter(m);
}

// What keeps a foreign tensor's memory alive.
template <class Managed>
void release_managed(void* owner) {
    auto* m = static_cast<Managed*>(owner);
    if (m->deleter) m->deleter(m);
}

template <class Managed>
Tensor import_tensor(Managed* m, bool read_only, int copy) {
    const DLTensor& t = m->tensor;
    DType dtype;
    const bool ok = from_dl(t.dtype, &dtype);
    if (!ok || (t.device.type != 1 && t.device.type != 3)) {
        release_managed<Managed>(m);
        if (ok)
            fail(ErrorKind::kDevice, "from_dlpack",
                 "a tensor on DLPack device type %d cannot be read; move it to "
                 "the CPU first",
                 t.device.type);
        fail(ErrorKind::kDType, "from_dlpack",
             "DLPack type code %d with %d bits is no dtype of Sennit; tensors hold "
             "bool, integers, real and complex floats",
             t.dtype.code, t.dtype.bits);
    }
    Dims shape(DimSpan(t.shape, static_cast<size_t>(t.ndim)));
    Dims strides = t.strides ? Dims(DimSpan(t.strides, static_cast<size_t>(t.ndim)))
                             : contiguous_strides(shape);
    char* data = static_cast<char*>(t.data) + t.byte_offset;
    if (read_only && copy != 1) {
        size_t bytes = static_cast<size_t>(numel(shape)) * dtype_size(dtype);
        return from_buffer(Buffer::borrow(data, bytes, m, release_managed<Managed>, true), 0, shape,
                           strides, dtype, {});
    }
    if (copy == 0) {
        release_managed<Managed>(m);
        fail(ErrorKind::kValue, "from_dlpack",
             "copy=False, but the other side may write to its memory, and values "
             "never change; leave copy out, or export it read-only");
    }
    Tensor made = from_memory(data, shape, strides, dtype, {});
    release_managed<Managed>(m);
    return made;
}

}  // namespace

std::pair<int, int> dlpack_place(Device device) {
    constexpr int kCpu = 1, kCuda = 2;
    if (host_visible(device)) return {kCpu, 0};
    return {kCuda, device.index};
}

PyObject* to_dlpack(PyObject* o, PyObject* max_version, PyObject* copy) {
    const Tensor& source = get(o);
    if (source.requires_grad() && grad_enabled()) {
        fail(ErrorKind::kGrad, "__dlpack__",
             "the tensor of shape %s requires a gradient, which the other side "
             "cannot follow; export x.detach()",
             format_shape(source.shape()).c_str());
    }
    Tensor t = source.detach();
    long major = 0;
    if (max_version != Py_None && PyTuple_Check(max_version))
        major = PyLong_AsLong(PyTuple_GetItem(max_version, 0));
    // Without versions there is no read-only flag: the other side gets memory of its own, unless it
    // insists on ours, which it must not write then.
    const bool copied = copy == Py_True || (major < 1 && copy != Py_False);
    if (copied) t = clone(t);
    t = readable(t);
    wait_ready(t);
    // The other side's stream need not wait for ours: everything is finished.
    backend(t.device()).synchronize(t.device().index);
    auto* context = new Context;
    if (major >= 1) {
        auto* m = new DLManagedTensorVersioned{{1, 0},
                                               context,
                                               delete_managed<DLManagedTensorVersioned>,
                                               copied ? kCopied : kReadOnly,
                                               {}};
        fill(m->tensor, *t.value(), *context);
        return PyCapsule_New(m, "dltensor_versioned", [](PyObject* c) {
            delete_capsule<DLManagedTensorVersioned>(c, "dltensor_versioned");
        });
    }
    auto* m = new DLManagedTensor{{}, context, delete_managed<DLManagedTensor>};
    fill(m->tensor, *t.value(), *context);
    return PyCapsule_New(m, "dltensor",
                         [](PyObject* c) { delete_capsule<DLManagedTensor>(c, "dltensor"); });
}

Tensor from_dlpack(PyObject* o, int copy) {
    PyObject* method = PyObject_GetAttrString(o, "__dlpack__");
    if (!method) {
        PyErr_Clear();
        fail(ErrorKind::kType, "from_dlpack", "%s has no __dlpack__ method; use sn.asarray",
             type_name(o).c_str());
    }
    PyObject* none = PyTuple_New(0);
    PyObject* keywords = Py_BuildValue("{s:(ii)}", "max_version", 1, 0);
    PyObject* capsule = PyObject_Call(method, none, keywords);
    if (!capsule && PyErr_ExceptionMatches(PyExc_TypeError)) {  // an exporter from before versions
        PyErr_Clear();
        capsule = PyObject_CallNoArgs(method);
    }
    Py_DECREF(method);
    Py_DECREF(none);
    Py_DECREF(keywords);
    if (!capsule) raise_python();
    struct Drop {
        PyObject* o;
        ~Drop() { Py_DECREF(o); }
    } drop{capsule};
    if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        auto* m = static_cast<DLManagedTensorVersioned*>(
            PyCapsule_GetPointer(capsule, "dltensor_versioned"));
        PyCapsule_SetName(capsule, "used_dltensor_versioned");
        return import_tensor(m, (m->flags & kReadOnly) != 0, copy);
    }
    auto* m = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
    if (!m) raise_python();
    PyCapsule_SetName(capsule, "used_dltensor");
    return import_tensor(m, false, copy);
}

}  // namespace sn::py
