#pragma once
#include "record/tensor.h"

namespace sn {

// Complex numbers are stored interleaved, as NumPy does, and computed on by parts: `real` and
// `imag` are views with strides of twice as many floats, `complex` joins two parts. Every op that
// has a meaning on complex numbers has a rule made of these (complex.cpp, complex_math.cpp), and
// real(complex(a, b)) is a, so that chains fuse as real ones do.
Tensor complex(const Tensor& re, const Tensor& im);  // parts broadcast; a number is a part, too
Tensor real(const Tensor& x);                        // of a real tensor: itself
Tensor imag(const Tensor& x);                        // of a real tensor: zeros
Tensor conj(const Tensor& x);                        // of a real tensor: itself
// Part 0 or 1 of a complex tensor as a view of it, through which it can be written; `real` and
// `imag` may give what `complex` has joined.
Tensor part_view(const Tensor& x, int part);
Tensor cast_complex(const Tensor& x, DType dtype);  // from or to a complex dtype

// An operand of a rule: a real one has no imaginary part.
struct Parts {
    Tensor re, im;
    bool is_real() const { return !im; }
    explicit Parts(const Tensor& x);
    Parts(Tensor r, Tensor i) : re(std::move(r)), im(std::move(i)) {}
    Tensor im_or_zero() const { return im ? im : Tensor(0.0); }
    Tensor join(DType dtype) const;  // parts converted to those of `dtype`
};
Parts operator+(const Parts& x, const Parts& y);
Parts operator-(const Parts& x, const Parts& y);
Parts operator*(const Parts& x, const Parts& y);
Parts operator/(const Parts& x, const Parts& y);

void register_complex_functions();

}  // namespace sn
