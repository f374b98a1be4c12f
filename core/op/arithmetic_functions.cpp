// Public functions of element-by-element arithmetic that are made of the elementwise ops: those
// with more arguments than operands, and compositions.
#include <algorithm>
#include <cstdlib>
#include <limits>

#include "op/api.h"
#include "op/function.h"
#include "op/rules.h"
#include "record/read.h"

namespace sn {

namespace {

constexpr double kPi = 3.14159265358979323846;

bool is_one(const Tensor& t) { return t.is_scalar() && t.value()->scalar.as_double() == 1; }
bool real_number(const Tensor& t) {
    return t.is_scalar() && t.value()->scalar.kind == ScalarKind::kFloat;
}
bool all_float(const Tensor& x) { return is_float(x.dtype()); }

// y * alpha for add and subtract; a fraction does not fit integers.
Tensor scaled(const char* op, const Tensor& x, const Tensor& y, const Tensor& alpha) {
    if (is_one(alpha)) return y;
    if (real_number(alpha) && !all_float(x) && !all_float(y)) {
        fail(ErrorKind::kDType, op,
             "alpha is a float for operands of dtypes %s and %s; integers need an integer",
             dtype_name(x.dtype()), dtype_name(y.dtype()));
    }
    return multiply(y, alpha);
}

Tensor floated(const Tensor& x) { return is_inexact(x.dtype()) ? x : cast(x, DType::kF32); }

Tensor divide_function(const Args& a) {
    const Tensor &x = a.tensor(0), &y = a.tensor(1);
    if (!a.has(2)) return divide(x, y);
    if (a.text(2) == "floor") return floor_divide(x, y);
    if (a.text(2) != "trunc") {
        fail(ErrorKind::kValue, "divide",
             "rounding_mode is '%.*s'; it must be None, 'trunc' or 'floor'",
             static_cast<int>(a.text(2).size()), a.text(2).data());
    }
    if (all_float(x) || all_float(y)) return trunc(divide(x, y));
    return floor_divide(x - fmod(x, y), y);
}

Tensor round_function(const Args& a) {
    const Tensor& x = a.tensor(0);
    const int64_t decimals = a.integer(1);
    if (decimals == 0 || !all_float(x)) return round(x);
    double ten = 1;  // exact up to 22 decimals
    for (int64_t i = 0; i < std::min<int64_t>(std::abs(decimals), 400); ++i) ten *= 10;
    return decimals > 0 ? round(x * ten) / ten : round(x / ten) * ten;
}

Tensor clip_one(const Args& a, bool low) {
    const Tensor &x = a.tensor(0), &limit = a.tensor(1);
    constexpr double inf = std::numeric_limits<double>::infinity();
    if (!all_float(x) && !all_float(limit)) return low ? maximum(x, limit) : minimum(x, limit);
    return low ? clip(x, limit, inf) : clip(x, -inf, limit);
}

// The largest and smallest finite number of a float dtype.
double largest(DType d) {
    switch (d) {
        case DType::kF16: return 65504;
        case DType::kBF16: return 3.3895313892515355e38;
        case DType::kF32: return std::numeric_limits<float>::max();
        default: return std::numeric_limits<double>::max();
    }
}

Tensor nan_to_num(const Args& a) {
    const Tensor& x = a.tensor(0);
    if (!all_float(x)) return clone(x);
    const double nan = a.has(1) ? a.real(1) : 0;
    const double high = a.has(2) ? a.real(2) : largest(x.dtype());
    const double low = a.has(3) ? a.real(3) : -largest(x.dtype());
    constexpr double inf = std::numeric_limits<double>::infinity();
    return where(isnan(x), nan, where(equal(x, inf), high, where(equal(x, -inf), low, x)));
}

Tensor close(const Tensor& x, const Tensor& y, double rtol, double atol, bool equal_nan) {
    if (rtol < 0 || atol < 0) {
        fail(ErrorKind::kValue, "isclose", "rtol is %g and atol %g; both must be 0 or more", rtol,
             atol);
    }
    if (!x.weak() && !y.weak() && x.dtype() != y.dtype()) {
        fail(ErrorKind::kDType, "isclose",
             "the operands have dtypes %s and %s; they must be equal; convert one with .astype",
             dtype_name(x.dtype()), dtype_name(y.dtype()));
    }
    Tensor near = equal(x, y);
    if (equal_nan && is_inexact(x.dtype()))
        near = logical_or(near, logical_and(isnan(x), isnan(y)));
    if (rtol == 0 && atol == 0) return near;
    // Integers in f64: differences of large ones count.
    const Tensor p = is_inexact(x.dtype()) ? x : cast(x, DType::kF64);
    const Tensor q = is_inexact(y.dtype()) ? y : cast(y, DType::kF64);
    const Tensor within =
        logical_and(less_equal(abs(p - q), abs(q) * rtol + atol), isfinite(p - q));
    return logical_or(near, within);
}

// Greatest common divisors by Euclid's algorithm: at most as many steps as 64-bit numbers allow,
// all elements together; ends when every remainder is 0.
Tensor gcd(const char* op, const Tensor& a, const Tensor& b) {
    const DType dtype = promote(a.dtype(), b.dtype());
    if (!is_int(dtype)) {
        fail(ErrorKind::kDType, op, "the operands have dtypes %s and %s; integers are required",
             dtype_name(a.dtype()), dtype_name(b.dtype()));
    }
    Tensor x = abs(cast(a, dtype)), y = abs(cast(b, dtype));
    for (;;) {
        const Tensor busy = not_equal(y, 0);
        if (read_number(op, any(busy, {}, false)).as_int() == 0) break;
        const Tensor next = where(busy, remainder(x, where(busy, y, 1)), 0);
        x = where(busy, y, x);
        y = next;
    }
    return x + zeros_like(y);
}

Results frexp_function(const Args& a) {
    // mantissa in [1/2, 1) and exponent, through exact scaling by powers of two.
    const Tensor& x = a.tensor(0);
    require_float("frexp", "x", x.dtype());
    const Tensor whole = cast(x.detach(), DType::kF64);
    const Tensor size = abs(whole);
    const Tensor plain = logical_and(isfinite(whole), not_equal(whole, 0.0));
    const Tensor safe = where(plain, size, 1.0);
    Tensor e = floor(log2(safe)) + 1.0;        // off by one next to a power of two at most
    const auto scale = [&](const Tensor& k) {  // 2^-k in two factors that do not overflow
        const Tensor first = floor(k * 0.5);
        return safe * exp2(negative(first)) * exp2(first - k);
    };
    Tensor m = scale(e);
    e = where(greater_equal(m, 1.0), e + 1.0, where(less(m, 0.5), e - 1.0, e));
    e = where(plain, e, 0.0);
    const Tensor exponent = cast(e, DType::kI32);
    const Tensor down = floor(e * 0.5);
    // The mantissa of x itself, so that gradients flow: two exact products.
    const Tensor f1 = cast(exp2(negative(down)), DType::kF64);
    const Tensor f2 = cast(exp2(down - e), DType::kF64);
    const Tensor mantissa = cast(cast(x, DType::kF64) * f1 * f2, x.dtype());
    return {mantissa, exponent};
}

Tensor ldexp(const Tensor& x, const Tensor& y) { return floated(x) * exp2(floated(y)); }

Tensor logaddexp2(const Tensor& x, const Tensor& y) {
    constexpr double ln2 = 0.693147180559945309417;
    return logaddexp(floated(x) * ln2, floated(y) * ln2) / ln2;
}

Tensor heaviside(const Tensor& x, const Tensor& at_zero) {
    if (!x.weak() && !at_zero.weak() && x.dtype() != at_zero.dtype()) {
        fail(ErrorKind::kDType, "heaviside",
             "x has dtype %s and values %s; they must be equal; convert one with .astype",
             dtype_name(x.dtype()), dtype_name(at_zero.dtype()));
    }
    const Tensor y = at_zero.detach(), z = x.detach();
    return where(equal(z, 0), y, where(greater(z, 0), 1, 0));
}

Tensor float_power(const Tensor& x, const Tensor& y) {
    const auto wide = [](const Tensor& t) {
        return cast(t, is_complex(t.dtype()) ? DType::kC128 : DType::kF64);
    };
    return pow(wide(x), y.is_scalar() ? y : wide(y));
}

Tensor product_with_log(const Tensor& x, const Tensor& y, bool plus_one) {
    const Tensor p = floated(x), q = floated(y);
    // Where x is 0 the product is 0 whatever y is, unless y is NaN.
    const Tensor zero = logical_and(equal(p, 0.0), logical_not(isnan(q)));
    const Tensor safe = where(zero, 1.0, q);
    const Tensor product = p * (plus_one ? log1p(safe) : log(safe));
    return where(zero, p * 0.0, product);
}

Tensor logit(const Tensor& x, bool limited, double eps) {
    Tensor p = floated(x);
    if (limited) p = clip(p, eps, 1 - eps);
    return log(p / (1.0 - p));
}

Tensor sinc(const Tensor& x) {
    const Tensor t = floated(x) * kPi;
    const Tensor zero = equal(t, 0.0);
    const Tensor safe = where(zero, 1.0, t);
    // Near 0 the series, whose derivative at 0 is exact: 1 - t^2/6.
    return where(zero, 1.0 - t * t / 6.0, sin(safe) / safe);
}

}  // namespace

void register_arithmetic_functions() {
    register_function({
        .signature = "add(x: Operand, y: Operand, *, alpha: Operand = 1) -> Tensor",
        .doc = R"(x + alpha * y; integers wrap. Operands broadcast and are promoted.

Raises
------
ShapeError : the shapes do not broadcast.
DTypeError : alpha is a float and the operands are integers.

>>> sn.add(sn.arange(3), 1, alpha=2).tolist()
[2, 3, 4]
)",
        .call =
            [](const Args& a) {
                return add(a.tensor(0), scaled("add", a.tensor(0), a.tensor(1), a.tensor(2)));
            },
        .aliases = "add_",
    });
    register_function({
        .signature = "subtract(x: Operand, y: Operand, *, alpha: Operand = 1) -> Tensor",
        .doc = R"(x - alpha * y; integers wrap. Operands broadcast and are promoted.

Raises
------
ShapeError : the shapes do not broadcast.
DTypeError : alpha is a float and the operands are integers, or both are bool.

>>> sn.subtract(sn.arange(3), 1, alpha=2).tolist()
[-2, -1, 0]
)",
        .call =
            [](const Args& a) {
                return subtract(a.tensor(0),
                                scaled("subtract", a.tensor(0), a.tensor(1), a.tensor(2)));
            },
        .aliases = "sub sub_ subtract_",
    });
    register_function({
        .signature = "rsub(x: Operand, y: Operand, *, alpha: Operand = 1) -> Tensor",
        .doc = R"(y - alpha * x: subtraction with the operands exchanged.

>>> sn.rsub(sn.arange(3), 5).tolist()
[5, 4, 3]
)",
        .call =
            [](const Args& a) {
                return subtract(a.tensor(1), scaled("rsub", a.tensor(1), a.tensor(0), a.tensor(2)));
            },
    });
    register_function({
        .signature = "divide(x: Operand, y: Operand, *, rounding_mode: str? = None) -> Tensor",
        .doc = R"(x / y; integers are computed in float32.

rounding_mode : None for the quotient, "trunc" to round it towards zero, "floor" for floor_divide.
    Both keep integers integers.

Raises
------
ShapeError : the shapes do not broadcast.
ValueError : another rounding mode.

>>> sn.divide(sn.tensor([7, -7]), 2, rounding_mode="trunc").tolist()
[3, -3]
)",
        .call = divide_function,
        .aliases = "div true_divide div_ divide_ true_divide_",
    });
    register_function({
        .signature =
            "addcmul(x: Operand, tensor1|y: Operand, tensor2|z: Operand, *, value: Operand = 1) "
            "-> Tensor",
        .doc = R"(x + value * tensor1 * tensor2.

>>> sn.addcmul(sn.ones(2), sn.ones(2), sn.ones(2), value=3).tolist()
[4.0, 4.0]
)",
        .call =
            [](const Args& a) {
                if (is_one(a.tensor(3))) return addcmul(a.tensor(0), a.tensor(1), a.tensor(2));
                return addcmul(a.tensor(0), a.tensor(1) * a.tensor(3), a.tensor(2));
            },
        .aliases = "addcmul_",
    });
    register_function({
        .signature =
            "addcdiv(x: Operand, tensor1|y: Operand, tensor2|z: Operand, *, value: Operand = 1) "
            "-> Tensor",
        .doc = R"(x + value * tensor1 / tensor2.

>>> sn.addcdiv(sn.ones(2), sn.ones(2), sn.full((2,), 2.0), value=3).tolist()
[2.5, 2.5]
)",
        .call =
            [](const Args& a) {
                if (is_one(a.tensor(3))) return addcdiv(a.tensor(0), a.tensor(1), a.tensor(2));
                return addcdiv(a.tensor(0), a.tensor(1) * a.tensor(3), a.tensor(2));
            },
        .aliases = "addcdiv_",
    });
    register_function({
        .signature = "round(x: Operand, *, decimals: int = 0) -> Tensor",
        .doc = R"(The nearest number with so many decimals (negative: of tens, hundreds ...).

Halves go to the even neighbour. Integers stay what they are.

>>> sn.round(sn.tensor([0.5, 1.5, 2.345]), decimals=0).tolist()
[0.0, 2.0, 2.0]
)",
        .call = round_function,
        .aliases = "around round_",
    });
    register_function({
        .signature = "clamp_min(x: Operand, min: Operand) -> Tensor",
        .doc = R"(x where it is at least min, min elsewhere.

>>> sn.clamp_min(sn.arange(3), 1).tolist()
[1, 1, 2]
)",
        .call = [](const Args& a) { return clip_one(a, true); },
        .aliases = "clamp_min_",
    });
    register_function({
        .signature = "clamp_max(x: Operand, max: Operand) -> Tensor",
        .doc = R"(x where it is at most max, max elsewhere.

>>> sn.clamp_max(sn.arange(3), 1).tolist()
[0, 1, 1]
)",
        .call = [](const Args& a) { return clip_one(a, false); },
        .aliases = "clamp_max_",
    });
    register_function({
        .signature = "positive(x: Tensor) -> Tensor",
        .doc = R"(+x: x itself. Not defined on bool.

>>> sn.positive(sn.arange(2)).tolist()
[0, 1]
)",
        .call =
            [](const Args& a) {
                if (is_bool(a.tensor(0).dtype())) {
                    fail(ErrorKind::kDType, "positive",
                         "x has dtype bool; numbers are required; use logical_not or .astype");
                }
                return alias(a.tensor(0));
            },
    });
    register_function({
        .signature = "frac(x: Tensor) -> Tensor",
        .doc = R"(The fractional part x - trunc(x), with the sign of x.

>>> sn.frac(sn.tensor([1.5, -2.25])).tolist()
[0.5, -0.25]
)",
        .call =
            [](const Args& a) {
                require_float("frac", "x", a.tensor(0).dtype());
                return a.tensor(0) - trunc(a.tensor(0));
            },
        .aliases = "frac_",
    });
    register_function({
        .signature = "deg2rad(x: Tensor) -> Tensor",
        .doc = R"(Degrees to radians.

>>> round(sn.deg2rad(sn.tensor(180.0)).item(), 4)
3.1416
)",
        .call = [](const Args& a) { return floated(a.tensor(0)) * (kPi / 180); },
        .aliases = "radians deg2rad_",
    });
    register_function({
        .signature = "rad2deg(x: Tensor) -> Tensor",
        .doc = R"(Radians to degrees.

>>> round(sn.rad2deg(sn.tensor(3.14159265)).item())
180
)",
        .call = [](const Args& a) { return floated(a.tensor(0)) * (180 / kPi); },
        .aliases = "degrees rad2deg_",
    });
    register_function({
        .signature = "nan_to_num(x: Tensor, nan: float? = None, posinf: float? = None, "
                     "neginf: float? = None) -> Tensor",
        .doc = R"(x with NaN and infinities replaced.

nan : what NaN becomes, 0 by default.
posinf, neginf : what infinities become; the largest and smallest finite number by default.

>>> sn.nan_to_num(sn.tensor([1.0, float("nan"), float("inf")]), posinf=9.0).tolist()
[1.0, 0.0, 9.0]
)",
        .call = nan_to_num,
        .aliases = "nan_to_num_",
    });
    register_function({
        .signature = "isclose(x: Tensor, other: Operand, rtol: float = 1e-5, atol: float = 1e-8, "
                     "equal_nan: bool = False) -> Tensor",
        .doc = R"(True where abs(x - other) <= atol + rtol * abs(other), or both are equal.

>>> sn.isclose(sn.tensor([1.0, 2.0]), sn.tensor([1.000001, 2.1])).tolist()
[True, False]
)",
        .call =
            [](const Args& a) {
                return close(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.flag(4));
            },
    });
    register_function({
        .signature = "allclose(x: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, "
                     "equal_nan: bool = False) -> bool",
        .doc = R"(Whether isclose holds for all elements; waits for the values.

>>> sn.allclose(sn.tensor([1.0]), sn.tensor([1.000001]))
True
)",
        .call =
            [](const Args& a) {
                const NoGrad off;
                return all(close(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.flag(4)), {},
                           false);
            },
    });
    register_function({
        .signature = "isposinf(x: Tensor) -> Tensor",
        .doc = R"(True where x is +inf.

>>> sn.isposinf(sn.tensor([1.0, float("inf")])).tolist()
[False, True]
)",
        .call =
            [](const Args& a) {
                return equal(a.tensor(0), std::numeric_limits<double>::infinity());
            },
    });
    register_function({
        .signature = "isneginf(x: Tensor) -> Tensor",
        .doc = R"(True where x is -inf.

>>> sn.isneginf(sn.tensor([1.0, float("-inf")])).tolist()
[False, True]
)",
        .call =
            [](const Args& a) {
                return equal(a.tensor(0), -std::numeric_limits<double>::infinity());
            },
    });
    register_function({
        .signature = "isreal(x: Tensor) -> Tensor",
        .doc = R"(True where the imaginary part is zero: everywhere, for real dtypes.

>>> sn.isreal(sn.arange(2)).tolist()
[True, True]
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                return equal(is_complex(x.dtype()) ? imag(x) : zeros_like(x), 0);
            },
    });
    register_function({
        .signature = "gcd(x: Tensor, other: Operand) -> Tensor",
        .doc = R"(Greatest common divisors of integers, never negative; gcd(0, 0) is 0.

Waits for the values, since the number of steps depends on them.

>>> sn.gcd(sn.tensor([12, 18]), sn.tensor([8, 27])).tolist()
[4, 9]
)",
        .call = [](const Args& a) { return gcd("gcd", a.tensor(0), a.tensor(1)); },
        .aliases = "gcd_",
    });
    register_function({
        .signature = "lcm(x: Tensor, other: Operand) -> Tensor",
        .doc = R"(Least common multiples of integers, never negative; 0 where one is 0.

>>> sn.lcm(sn.tensor([4, 6]), sn.tensor([6, 0])).tolist()
[12, 0]
)",
        .call =
            [](const Args& a) {
                const Tensor d = gcd("lcm", a.tensor(0), a.tensor(1));
                const Tensor x = cast(a.tensor(0), d.dtype()), y = cast(a.tensor(1), d.dtype());
                return abs(floor_divide(x, where(equal(d, 0), 1, d)) * y);
            },
        .aliases = "lcm_",
    });
    register_function({
        .signature = "frexp(x: Tensor) -> tuple[Tensor, Tensor]",
        .doc = R"(Mantissas in [1/2, 1) and int32 exponents: x = mantissa * 2**exponent.

Zeros, infinities and NaN are their own mantissa, with exponent 0.

>>> [t.tolist() for t in sn.frexp(sn.tensor([6.0, 0.25]))]
[[0.75, 0.5], [3, -1]]
)",
        .call_many = frexp_function,
    });
    register_function({
        .signature = "ldexp(x: Tensor, other: Tensor) -> Tensor",
        .doc = R"(x * 2**other.

>>> sn.ldexp(sn.tensor([1.0, 3.0]), sn.tensor([2, 0])).tolist()
[4.0, 3.0]
)",
        .call = [](const Args& a) { return ldexp(a.tensor(0), a.tensor(1)); },
        .aliases = "ldexp_",
    });
    register_function({
        .signature = "logaddexp2(x: Operand, other: Operand) -> Tensor",
        .doc = R"(log2(2**x + 2**other), without overflow.

>>> sn.logaddexp2(sn.tensor([3.0]), sn.tensor([3.0])).tolist()
[4.0]
)",
        .call = [](const Args& a) { return logaddexp2(a.tensor(0), a.tensor(1)); },
    });
    register_function({
        .signature = "heaviside(x: Tensor, values: Tensor) -> Tensor",
        .doc = R"(The step function: 0 below zero, 1 above, `values` at zero.

>>> sn.heaviside(sn.tensor([-1.0, 0.0, 2.0]), sn.tensor([0.5])).tolist()
[0.0, 0.5, 1.0]
)",
        .call = [](const Args& a) { return heaviside(a.tensor(0), a.tensor(1)); },
        .aliases = "heaviside_",
    });
    register_function({
        .signature = "float_power(x: Operand, exponent: Operand) -> Tensor",
        .doc = R"(x ** exponent, computed in float64.

>>> sn.float_power(sn.tensor([2, 3]), 2).tolist()
[4.0, 9.0]
)",
        .call = [](const Args& a) { return float_power(a.tensor(0), a.tensor(1)); },
        .aliases = "float_power_",
    });
    register_function({
        .signature = "xlogy(x: Operand, y: Operand) -> Tensor",
        .doc = R"(x * log(y), and 0 where x is 0 (NaN where y is).

>>> sn.xlogy(sn.tensor([0.0, 2.0]), sn.tensor([0.0, 1.0])).tolist()
[0.0, 0.0]
)",
        .call = [](const Args& a) { return product_with_log(a.tensor(0), a.tensor(1), false); },
        .aliases = "special.xlogy xlogy_",
    });
    register_function({
        .signature = "special.xlog1py(x: Operand, y: Operand) -> Tensor",
        .doc = R"(x * log1p(y), and 0 where x is 0 (NaN where y is).

>>> sn.special.xlog1py(sn.tensor([0.0, 2.0]), sn.tensor([-1.0, 0.0])).tolist()
[0.0, 0.0]
)",
        .call = [](const Args& a) { return product_with_log(a.tensor(0), a.tensor(1), true); },
    });
    register_function({
        .signature = "logit(x: Tensor, eps: float? = None) -> Tensor",
        .doc = R"(log(x / (1 - x)), the inverse of sigmoid.

eps : limits x to [eps, 1 - eps] first; None leaves it as it is (NaN outside [0, 1]).

>>> sn.logit(sn.tensor([0.5])).tolist()
[0.0]
)",
        .call =
            [](const Args& a) { return logit(a.tensor(0), a.has(1), a.has(1) ? a.real(1) : 0); },
        .aliases = "special.logit logit_",
    });
    register_function({
        .signature = "sinc(x: Tensor) -> Tensor",
        .doc = R"(sin(pi x) / (pi x), and 1 at 0.

>>> sn.sinc(sn.tensor([0.0, 0.5])).tolist()
[1.0, 0.6366...]
)",
        .call = [](const Args& a) { return sinc(a.tensor(0)); },
        .aliases = "special.sinc sinc_",
    });
}

}  // namespace sn
