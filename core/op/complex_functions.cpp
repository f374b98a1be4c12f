// The public functions of complex numbers.
#include "op/api.h"
#include "op/function.h"
#include "op/rules.h"

namespace sn {

namespace {

void require_complex(const char* op, const Tensor& x) {
    if (is_complex(x.dtype())) return;
    fail(ErrorKind::kDType, op,
         "x has dtype %s; complex64 or complex128 is required; convert with "
         ".astype(sn.complex64)",
         dtype_name(x.dtype()));
}

// A part for the user: a view.
Tensor shown(const Tensor& x, int part) {
    if (is_complex(x.dtype())) return part_view(x, part);
    return part == 0 ? x : imag(x);
}

Tensor angle(const Tensor& x) {
    if (is_complex(x.dtype())) return atan2(imag(x), real(x));
    const Tensor f = is_float(x.dtype()) ? x : cast(x, DType::kF32);
    return where(isnan(f), f, where(less(f, 0.0), 3.141592653589793, 0.0));
}

}  // namespace

void register_complex_functions() {
    register_function({
        .signature = "real(x: Tensor) -> Tensor",
        .doc = R"(The real part of each element; a view, through which x can be written.

A real tensor is its own real part.

Examples
--------
>>> z = sn.tensor([1 + 2j, 3 - 4j])
>>> sn.real(z).tolist()
[1.0, 3.0]
)",
        .call = [](const Args& a) { return shown(a.tensor(0), 0); },
        .method = false,
    });
    register_function({
        .signature = "imag(x: Tensor) -> Tensor",
        .doc = R"(The imaginary part of each element; a view, through which x can be written.

Zeros for a real tensor.

Examples
--------
>>> z = sn.tensor([1 + 2j, 3 - 4j])
>>> sn.imag(z).tolist()
[2.0, -4.0]
)",
        .call = [](const Args& a) { return shown(a.tensor(0), 1); },
        .method = false,
    });
    register_function({
        .signature = "conj(x: Tensor) -> Tensor",
        .doc = R"(The complex conjugate of each element; a real tensor is its own.

Examples
--------
>>> sn.conj(sn.tensor([1 + 2j])).tolist()
[(1-2j)]
)",
        .call = [](const Args& a) { return conj(a.tensor(0)); },
        .aliases = "conjugate conj_physical conj_physical_",
    });
    register_function({
        .signature = "resolve_conj(x: Tensor) -> Tensor",
        .doc = R"(The tensor itself: a conjugate is never put off here, as it may be in PyTorch.

Examples
--------
>>> sn.resolve_conj(sn.conj(sn.tensor([1 + 2j]))).tolist()
[(1-2j)]
)",
        .call = [](const Args& a) { return a.tensor(0); },
    });
    register_function({
        .signature = "complex(real: Tensor, imag: Tensor) -> Tensor",
        .doc = R"(Complex numbers of real and imaginary parts, which broadcast.

Returns
-------
Tensor
    complex128 when a part is float64, else complex64.

Raises
------
DTypeError
    When a part is complex.

Examples
--------
>>> sn.complex(sn.tensor([1.0]), sn.tensor([2.0])).tolist()
[(1+2j)]
)",
        .call = [](const Args& a) { return complex(a.tensor(0), a.tensor(1)); },
        .method = false,
    });
    register_function({
        .signature = "polar(abs: Tensor, angle: Tensor) -> Tensor",
        .doc = R"(Complex numbers of a magnitude and an angle in radians.

Examples
--------
>>> sn.polar(sn.tensor([2.0]), sn.tensor([0.0])).tolist()
[(2+0j)]
)",
        .call =
            [](const Args& a) {
                const Tensor &size = a.tensor(0), &turn = a.tensor(1);
                return complex(size * cos(turn), size * sin(turn));
            },
        .method = false,
    });
    register_function({
        .signature = "angle(x: Tensor) -> Tensor",
        .doc = R"(The angle of each complex number with the positive real axis, in radians, in
[-pi, pi]; of real numbers 0, or pi below zero.

Examples
--------
>>> sn.angle(sn.tensor([1j, -1.0])).tolist()
[1.5707963705062866, 3.1415927410125732]
)",
        .call = [](const Args& a) { return angle(a.tensor(0)); },
    });
    register_function({
        .signature = "view_as_real(x: Tensor) -> Tensor",
        .doc = R"(The parts of complex numbers along a new last dimension of size 2.

Examples
--------
>>> sn.view_as_real(sn.tensor([1 + 2j])).tolist()
[[1.0, 2.0]]
)",
        .call =
            [](const Args& a) {
                require_complex("view_as_real", a.tensor(0));
                const Tensor parts[2] = {real(a.tensor(0)), imag(a.tensor(0))};
                return stack(parts, -1);
            },
        .method = false,
    });
    register_function({
        .signature = "view_as_complex(x: Tensor) -> Tensor",
        .doc = R"(Complex numbers of pairs along the last dimension, which must have size 2.

Raises
------
ShapeError
    When the last dimension has another size.

Examples
--------
>>> sn.view_as_complex(sn.tensor([[1.0, 2.0]])).tolist()
[(1+2j)]
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                require_float("view_as_complex", "x", x.dtype());
                if (x.rank() == 0 || x.size(-1) != 2) {
                    fail(ErrorKind::kShape, "view_as_complex",
                         "x has shape %s; a last dimension of size 2 (real and imaginary part) is "
                         "required",
                         format_shape(x.shape()).c_str());
                }
                const int last = x.rank() - 1;
                const int64_t axes[1] = {last};
                return complex(squeeze(narrow(x, last, 0, 1), axes),
                               squeeze(narrow(x, last, 1, 1), axes));
            },
        .method = false,
    });
    register_function({
        .signature = "positive(x: Tensor) -> Tensor",
        .doc = R"(x itself: what ``+x`` means.

Examples
--------
>>> sn.positive(sn.tensor([-1.0, 2.0])).tolist()
[-1.0, 2.0]
)",
        .call = [](const Args& a) { return a.tensor(0); },
    });
}

}  // namespace sn
