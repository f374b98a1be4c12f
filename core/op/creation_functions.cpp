// The public functions that make tensors out of numbers.
#include <cmath>

#include "op/api.h"
#include "op/function.h"
#include "op/rules.h"
#include "record/tape.h"

namespace sn {

namespace {

DType number_dtype(const Tensor& value) {
    if (value.weak() && is_complex(value.dtype())) return DType::kC64;
    if (!value.is_scalar()) return value.dtype();
    switch (value.value()->scalar.kind) {
        case ScalarKind::kBool: return DType::kBool;
        case ScalarKind::kInt: return DType::kI64;
        default: break;
    }
    return DType::kF32;
}

// dtype and device stand at i and i + 1 in all of these signatures.
Tensor filled(const Args& a, const Tensor& value, int i) {
    return full(a.ints(0), value, a.has(i) ? a.dtype(i) : DType::kF32,
                a.has(i + 1) ? a.device(i + 1) : Device());
}

Tensor filled_like(const Args& a, const Tensor& value, int i) {
    const Tensor& x = a.tensor(0);
    return full(x.shape(), value, a.has(i) ? a.dtype(i) : x.dtype(),
                a.has(i + 1) ? a.device(i + 1) : x.device());
}

Tensor arange_function(const Args& a) {
    const bool two = a.has(1);
    const Scalar start = two ? read_number("arange", a.tensor(0)) : Scalar::of_int(0);
    const Scalar stop = read_number("arange", a.tensor(two ? 1 : 0));
    const Scalar step = read_number("arange", a.tensor(2));
    const bool real = start.kind == ScalarKind::kFloat || stop.kind == ScalarKind::kFloat ||
                      step.kind == ScalarKind::kFloat;
    const DType dtype = a.has(3) ? a.dtype(3) : real ? DType::kF32 : DType::kI64;
    const double from = start.as_double(), to = stop.as_double(), by = step.as_double();
    if (by == 0 || !std::isfinite(from) || !std::isfinite(to) || std::isnan(by)) {
        fail(ErrorKind::kValue, "arange",
             "start is %g, stop %g and step %g; they must be finite and step must not be 0", from,
             to, by);
    }
    double count = std::ceil((to - from) / by);
    if (!real) {  // exact beyond 2**53
        const __int128 span = static_cast<__int128>(stop.as_int()) - start.as_int();
        const int64_t s = step.as_int();
        count = static_cast<double>((span + s - (s > 0 ? 1 : -1)) / s);
    }
    if (count > 9e15) {
        fail(ErrorKind::kMemory, "arange",
             "%g elements from %g to %g in steps of %g do not fit in "
             "memory; check the step",
             count, from, to, by);
    }
    return arange(real || is_float(dtype) ? Tensor(from) : Tensor(start),
                  real || is_float(dtype) ? Tensor(by) : Tensor(step),
                  count > 0 ? static_cast<int64_t>(count) : 0, dtype,
                  a.has(4) ? a.device(4) : Device());
}

Tensor linspace_function(const Args& a) {
    const int64_t count = a.integer(2);
    if (count < 0) {
        fail(ErrorKind::kValue, "linspace", "num is %lld; it must be 0 or more", ll(count));
    }
    const bool parts = is_complex(a.tensor(0).dtype()) || is_complex(a.tensor(1).dtype());
    const DType dtype = a.has(4) ? a.dtype(4) : parts ? DType::kC64 : DType::kF32;
    if (parts && !is_complex(dtype)) {
        fail(ErrorKind::kDType, "linspace",
             "start or stop is complex and dtype is %s; a complex dtype is required",
             dtype_name(dtype));
    }
    const auto line = [&](Tensor (*part)(const Tensor&)) {
        return linspace(Tensor(read_number("linspace", part(a.tensor(0))).as_double()),
                        Tensor(read_number("linspace", part(a.tensor(1))).as_double()), count,
                        a.flag(3), real_dtype(dtype), a.has(5) ? a.device(5) : Device());
    };
    if (parts) return complex(line(real), line(imag));
    return cast(line(real), dtype);
}

Tensor eye_function(const Args& a) {
    const int64_t rows = a.integer(0), columns = a.has(1) ? a.integer(1) : rows;
    if (rows < 0 || columns < 0) {
        fail(ErrorKind::kShape, "eye",
             "%lld rows and %lld columns are asked for; both must be 0 or "
             "more",
             ll(rows), ll(columns));
    }
    const Device device = a.has(4) ? a.device(4) : Device();
    const Tensor row = reshape(arange(a.integer(2), 1, rows, DType::kI64, device), Dims{rows, 1});
    return cast(equal(arange(0, 1, columns, DType::kI64, device), row),
                a.has(3) ? a.dtype(3) : DType::kF32);
}

Results meshgrid_function(const Args& a) {
    const std::vector<Tensor>& xs = a.tensors(0);
    const std::string_view indexing = a.text(1);
    if (indexing != "xy" && indexing != "ij") {
        fail(ErrorKind::kValue, "meshgrid", "indexing is '%.*s'; it must be 'xy' or 'ij'",
             static_cast<int>(indexing.size()), indexing.data());
    }
    const size_t n = xs.size();
    Dims place(n, 0), shape(n, 1);  // of the i-th tensor among the dimensions
    for (size_t i = 0; i < n; ++i) place[i] = static_cast<int64_t>(i);
    if (indexing == "xy" && n >= 2) std::swap(place[0], place[1]);
    for (size_t i = 0; i < n; ++i) {
        if (xs[i].rank() > 1) {
            fail(ErrorKind::kShape, "meshgrid", "tensor %zu has shape %s; vectors are required", i,
                 format_shape(xs[i].shape()).c_str());
        }
        shape[place[i]] = xs[i].numel();
    }
    Results out;
    for (size_t i = 0; i < n; ++i) {
        Dims line(n, 1);
        line[place[i]] = xs[i].numel();
        out.push_back(expand(reshape(xs[i], line), shape));
    }
    return out;
}

}  // namespace

void register_creation_functions() {
    register_function({
        .signature = "zeros(shape: Ints, dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(Zeros, float32 by default.

>>> sn.zeros((2,)).tolist()
[0.0, 0.0]
)",
        .call = [](const Args& a) { return filled(a, 0, 1); },
        .method = false,
    });
    register_function({
        .signature = "ones(shape: Ints, dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(Ones, float32 by default.

>>> sn.ones((2,)).tolist()
[1.0, 1.0]
)",
        .call = [](const Args& a) { return filled(a, 1, 1); },
        .method = false,
    });
    register_function({
        .signature = "empty(shape: Ints, dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(Zeros: Sennit never shows what memory held before, so that every run is the same.

>>> sn.empty((2, 3)).shape
(2, 3)
)",
        .call = [](const Args& a) { return filled(a, 0, 1); },
        .method = false,
    });
    register_function({
        .signature = "full(shape: Ints, fill_value: Operand, dtype: DType? = None, "
                     "device: Device? = None) -> Tensor",
        .doc = R"(One number in every element; the dtype is the number's by default.

>>> sn.full((2,), 7).tolist()
[7, 7]
)",
        .call =
            [](const Args& a) {
                return full(a.ints(0), a.tensor(1),
                            a.has(2) ? a.dtype(2) : number_dtype(a.tensor(1)),
                            a.has(3) ? a.device(3) : a.tensor(1).device());
            },
        .method = false,
    });
    register_function({
        .signature =
            "zeros_like(x: Tensor, dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(Zeros of the shape, dtype and device of x.

>>> sn.zeros_like(sn.arange(2)).tolist()
[0, 0]
)",
        .call = [](const Args& a) { return filled_like(a, 0, 1); },
        .method = false,
    });
    register_function({
        .signature = "ones_like(x: Tensor, dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(Ones of the shape, dtype and device of x.

>>> sn.ones_like(sn.arange(2)).tolist()
[1, 1]
)",
        .call = [](const Args& a) { return filled_like(a, 1, 1); },
        .method = false,
    });
    register_function({
        .signature =
            "empty_like(x: Tensor, dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(Zeros of the shape, dtype and device of x (see empty).

>>> sn.empty_like(sn.zeros((2, 3))).shape
(2, 3)
)",
        .call = [](const Args& a) { return filled_like(a, 0, 1); },
        .method = false,
    });
    register_function({
        .signature = "full_like(x: Tensor, fill_value: Operand, dtype: DType? = None, "
                     "device: Device? = None) -> Tensor",
        .doc = R"(One number in every element, with the shape, dtype and device of x.

>>> sn.full_like(sn.arange(2), 5).tolist()
[5, 5]
)",
        .call = [](const Args& a) { return filled_like(a, a.tensor(1), 2); },
        .method = false,
    });
    register_function({
        .signature = "arange(start: Operand, stop|end: Operand? = None, step: Operand = 1, "
                     "dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(start, start + step, ... up to but without stop; arange(n) starts at 0.

int64 when all numbers are ints, else float32. Element i is start + i * step, rounded once.

Raises
------
ValueError : step is 0, or a number is not finite.

>>> sn.arange(1, 7, 2).tolist()
[1, 3, 5]
)",
        .call = arange_function,
        .method = false,
    });
    register_function({
        .signature =
            "linspace(start: Operand, stop: Operand, num: int = 50, endpoint: bool = True, "
            "dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(num numbers from start to stop at equal distances; without stop if not endpoint.

>>> sn.linspace(0, 1, 5).tolist()
[0.0, 0.25, 0.5, 0.75, 1.0]
)",
        .call = linspace_function,
        .method = false,
    });
    register_function({
        .signature = "eye(n_rows: int, n_cols: int? = None, k: int = 0, dtype: DType? = None, "
                     "device: Device? = None) -> Tensor",
        .doc = R"(Ones on the k-th diagonal, zeros elsewhere.

>>> sn.eye(2).tolist()
[[1.0, 0.0], [0.0, 1.0]]
)",
        .call = eye_function,
        .method = false,
    });
    register_function({
        .signature = "meshgrid(*tensors: Tensors, indexing: str = \"xy\") -> list[Tensor]",
        .doc = R"(Coordinate tensors of the grid that vectors span; views.

indexing : "xy" (as in NumPy: the first vector runs along the columns) or "ij".

>>> [t.tolist() for t in sn.meshgrid(sn.arange(2), sn.arange(2))]
[[[0, 1], [0, 1]], [[0, 0], [1, 1]]]
)",
        .call_many = meshgrid_function,
        .method = false,
    });
}

}  // namespace sn
