// DLPack, both ways (https://dmlc.github.io/dlpack). The structures are the standard's.
#include "backend/backend.h"
#include "backend/cuda/exchange.h"
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
constexpr int kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13;  // kinds of device
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
    int device = -1;  // number of the GPU, when it is one
};

void fill(DLTensor& t, const Value& v, Context& context) {
    context.buffer = v.buffer;
    context.shape = v.meta.shape;
    context.strides = v.strides;
    t.data = static_cast<char*>(v.buffer->data()) +
             v.offset * static_cast<int64_t>(dtype_size(v.meta.dtype));
    const auto [type, index] = dlpack_place(v.meta.device);
    t.device = {type, index};
    if (type == kCuda) context.device = index;
    t.ndim = static_cast<int32_t>(v.meta.shape.size());
    t.dtype = dl_dtype(v.meta.dtype);
    t.shape = context.shape.data();
    t.strides = context.strides.data();
    t.byte_offset = 0;
}

// The other side's work may not be done yet: what takes the memory next runs after it. Its work on
// streams that do not order themselves with the default stream is its own to wait for.
template <class Managed>
void delete_managed(Managed* m) {
    auto* context = static_cast<Context*>(m->context);
    if (context->device >= 0) {
        try {
            cuda::wait_for_stream(context->device, cuda::kLegacyStream);
        } catch (const Error&) {
            // The device is lost, and nothing runs on it.
        }
    }
    delete context;
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

// A view of `shape` and `strides` from `data` on: where its memory begins, how many bytes it has,
// and how many elements after the beginning `data` is.
struct Extent {
    char* begin;
    size_t bytes;
    int64_t offset;
};
Extent extent_of(char* data, DimSpan shape, DimSpan strides, size_t size) {
    int64_t low = 0, high = 0;
    for (size_t d = 0; d < shape.size(); ++d) {
        if (shape[d] == 0) return {data, 0, 0};
        (strides[d] < 0 ? low : high) += strides[d] * (shape[d] - 1);
    }
    const auto width = static_cast<int64_t>(size);
    return {data + low * width, static_cast<size_t>((high - low + 1) * width), -low};
}

// Memory of a GPU is shared whatever the other side says of writing: Sennit writes none that it
// does not own, and a copy would cost what sharing is for.
template <class Managed>
Tensor import_cuda(Managed* m, DimSpan shape, DimSpan strides, DType dtype, int copy) {
    const int index = m->tensor.device.id;
    char* data = static_cast<char*>(m->tensor.data) + m->tensor.byte_offset;
    return share_cuda(index, data, shape, strides, dtype, copy, m, release_managed<Managed>);
}

template <class Managed>
Tensor import_tensor(Managed* m, bool read_only, int copy) {
    const DLTensor& t = m->tensor;
    DType dtype;
    const bool ok = from_dl(t.dtype, &dtype);
    const bool on_gpu = t.device.type == kCuda || t.device.type == kCudaManaged;
    if (!ok || (t.device.type != kCpu && t.device.type != kCudaHost && !on_gpu)) {
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
    if (on_gpu) return import_cuda(m, shape, strides, dtype, copy);
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

// The number of the stream on which an exporter's memory must be ready, for memory of a GPU; 0 for
// other memory.
int64_t stream_for(PyObject* o) {
    PyObject* place = PyObject_CallMethod(o, "__dlpack_device__", nullptr);
    int type = 0, index = 0;
    const bool told = place && PyTuple_Check(place) && PyTuple_GET_SIZE(place) == 2;
    if (told) {
        type = static_cast<int>(PyLong_AsLong(PyTuple_GET_ITEM(place, 0)));
        index = static_cast<int>(PyLong_AsLong(PyTuple_GET_ITEM(place, 1)));
    }
    Py_XDECREF(place);
    PyErr_Clear();  // an exporter that does not tell is asked as one on the CPU
    if (type != kCuda && type != kCudaManaged) return 0;
    return cuda::stream_number(parse_device("cuda:" + std::to_string(index)).index);
}

}  // namespace

std::pair<int, int> dlpack_place(Device device) {
    if (host_visible(device)) return {kCpu, 0};
    return {kCuda, device.index};
}

Tensor share_cuda(int index, void* data, DimSpan shape, DimSpan strides, DType dtype, int copy,
                  void* owner, void (*release)(void*)) {
    Tensor made;
    try {
        const Device device = parse_device("cuda:" + std::to_string(index));
        const size_t size = dtype_size(dtype);
        if (reinterpret_cast<uintptr_t>(data) % (size > 8 ? size / 2 : size) != 0) {
            fail(ErrorKind::kValue, "from_dlpack",
                 "the memory at %p is not aligned for elements of dtype %s, of %zu bytes; copy it "
                 "on the other side first",
                 data, dtype_name(dtype), size);
        }
        const Extent extent = extent_of(static_cast<char*>(data), shape, strides, size);
        made = from_buffer(cuda::adopt(index, extent.begin, extent.bytes, owner, release),
                           extent.offset, shape, strides, dtype, device);
    } catch (...) {
        release(owner);
        throw;
    }
    if (copy != 1) return made;
    // Done when this returns: the other side may write to its memory then.
    made = clone(made);
    wait_ready(made);
    backend(made.device()).synchronize(index);
    return made;
}

// The stream that a consumer names for memory of a GPU: DLPack's numbers, None for the legacy
// default stream, -1 for none that would have to wait.
static int64_t consumer_stream(PyObject* stream) {
    if (stream == Py_None) return cuda::kLegacyStream;
    const int64_t number = to_int("__dlpack__", "stream", stream);
    if (number == 0 || number < -1) {
        fail(ErrorKind::kValue, "__dlpack__",
             "stream is %lld; it must be 1 (the legacy default stream), 2 (the thread's), a "
             "stream's handle, or -1 for no waiting",
             static_cast<long long>(number));
    }
    return number;
}

static PyObject* to_dlpack(PyObject* o, PyObject* max_version, PyObject* copy, PyObject* stream) {
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
    if (!host_visible(t.device())) {
        const int64_t waits = consumer_stream(stream);
        if (waits > 0) cuda::let_stream_wait(t.device().index, waits);
    }
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
    struct Release {
        PyObject *a, *b, *c;
        ~Release() {
            Py_XDECREF(a);
            Py_XDECREF(b);
            Py_XDECREF(c);
        }
    } release{method, none, keywords};
    if (const int64_t stream = stream_for(o)) {
        PyObject* number = PyLong_FromLongLong(stream);
        PyDict_SetItemString(keywords, "stream", number);
        Py_XDECREF(number);
    }
    PyObject* capsule = PyObject_Call(method, none, keywords);
    if (!capsule && PyErr_ExceptionMatches(PyExc_TypeError)) {  // an exporter from before versions
        PyErr_Clear();
        PyDict_DelItemString(keywords, "max_version");
        capsule = PyObject_Call(method, none, keywords);
    }
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

PyObject* dlpack_method(PyObject* self, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"stream", "max_version", "dl_device", "copy", nullptr};
    PyObject *stream = Py_None, *version = Py_None, *device = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$OOOO", const_cast<char**>(names), &stream,
                                     &version, &device, &copy))
        return nullptr;
    SN_PY_TRY
    const auto [type, ordinal] = dlpack_place(get(self).device());
    const bool on_cpu = type == dlpack_place(Device{}).first;
    if (stream != Py_None && on_cpu) {
        fail(ErrorKind::kValue, "__dlpack__", "stream is %s; a tensor on the CPU has none",
             type_name(stream).c_str());
    }
    if (device != Py_None) {
        int kind = 0, index = 0;
        if (!PyArg_ParseTuple(device, "ii", &kind, &index)) return nullptr;
        if (!on_cpu && kind == 1 && index == 0) {
            PyObject* moved = wrap(copy_to_device(get(self).detach(), Device{}));
            PyObject* capsule = to_dlpack(moved, version, copy, Py_None);
            Py_DECREF(moved);
            return capsule;
        }
        if (kind != type || index != ordinal) {
            PyErr_Format(PyExc_BufferError,
                         "[__dlpack__] dl_device is (%d, %d); a tensor is exported to (1, 0), the "
                         "CPU%s",
                         kind, index, on_cpu ? "" : ", or to its own device");
            return nullptr;
        }
    }
    return to_dlpack(self, version, copy, stream);
    SN_PY_CATCH(nullptr)
}

PyObject* dlpack_device_method(PyObject* self, PyObject*) {
    const auto [type, index] = dlpack_place(get(self).device());
    return Py_BuildValue("(ii)", type, index);
}

}  // namespace sn::py
