// A tensor of one element as a Python number.
#include "base/error.h"
#include "op/api.h"
#include "py.h"
#include "record/read.h"
#include "tensor_type.h"

namespace sn::py {

namespace {

void require_one(const Tensor& t, const char* op) {
    if (t.numel() != 1) {
        fail(ErrorKind::kShape, op,
             "a tensor of shape %s has %lld elements; only one element becomes a Python "
             "number; reduce it first, or use x.tolist()",
             format_shape(t.shape()).c_str(), static_cast<long long>(t.numel()));
    }
}

Scalar read_item(PyObject* self, const char* op) {
    const Tensor& t = get(self);
    require_one(t, op);
    if (is_complex(t.dtype())) {
        fail(ErrorKind::kDType, op,
             "a %s number is no real one; use complex(x), or %s(x.real) for its real part",
             dtype_name(t.dtype()), op);
    }
    return read_number(op, t.detach());
}

// A scalar holds the bits of a uint64 as int64.
PyObject* int_object(DType dtype, const Scalar& s) {
    if (dtype == DType::kU64) return PyLong_FromUnsignedLongLong(static_cast<uint64_t>(s.i));
    return PyLong_FromLongLong(s.i);
}
double real_number(DType dtype, const Scalar& s) {
    return dtype == DType::kU64 ? static_cast<double>(static_cast<uint64_t>(s.i)) : s.as_double();
}

PyObject* read_complex(const Tensor& x) {
    const Tensor t = x.detach();
    const double re = real_number(t.dtype(), read_number("complex", real(t)));
    return PyComplex_FromDoubles(re, read_number("complex", imag(t)).as_double());
}

}  // namespace

PyObject* item(PyObject* self, PyObject*) {
    SN_PY_TRY
    service();
    require_one(get(self), "item");
    if (is_complex(get(self).dtype())) return read_complex(get(self));
    const Scalar s = read_item(self, "item");
    if (s.kind == ScalarKind::kFloat) return PyFloat_FromDouble(s.f);
    return is_bool(get(self).dtype()) ? PyBool_FromLong(s.i != 0)
                                      : int_object(get(self).dtype(), s);
    SN_PY_CATCH(nullptr)
}
PyObject* to_float(PyObject* self) {
    SN_PY_TRY
    return PyFloat_FromDouble(real_number(get(self).dtype(), read_item(self, "float")));
    SN_PY_CATCH(nullptr)
}
PyObject* to_complex(PyObject* self, PyObject*) {
    SN_PY_TRY
    require_one(get(self), "complex");
    return read_complex(get(self));
    SN_PY_CATCH(nullptr)
}
PyObject* to_long(PyObject* self) {
    SN_PY_TRY
    const Scalar s = read_item(self, "int");
    if (s.kind == ScalarKind::kFloat) return PyLong_FromDouble(s.f);
    return int_object(get(self).dtype(), s);
    SN_PY_CATCH(nullptr)
}
PyObject* to_index(PyObject* self) {
    if (!is_int(get(self).dtype()) || get(self).rank() > 0) {
        PyErr_SetString(PyExc_TypeError,
                        "only integer tensors of one element and rank 0 can be an index");
        return nullptr;
    }
    return to_long(self);
}
int truth(PyObject* self) {
    SN_PY_TRY
    const Tensor& t = get(self);
    if (t.numel() != 1) {
        fail(ErrorKind::kValue, "bool",
             "the truth of a tensor of shape %s is ambiguous; use x.any() or x.all()",
             format_shape(t.shape()).c_str());
    }
    if (is_complex(t.dtype())) {
        const Tensor x = t.detach();
        return read_number("bool", real(x)).as_double() != 0 ||
               read_number("bool", imag(x)).as_double() != 0;
    }
    return read_item(self, "bool").as_double() != 0;
    SN_PY_CATCH(-1)
}

}  // namespace sn::py
