"""Rules of elementwise operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .export_builder import FLOATS, Call, rule, without

# ---------------------------------------------------------------- one ONNX operator each

ONE = {
    "negative": "Neg", "abs": "Abs", "sqrt": "Sqrt", "reciprocal": "Reciprocal",
    "exp": "Exp", "log": "Log", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin",
    "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh",
    "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "erf": "Erf", "sigmoid": "Sigmoid",
    "softplus": "Softplus", "relu": "Relu", "hardswish": "HardSwish",
    "isnan": "IsNaN",
}  # fmt: skip
TWO = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div",
    "maximum": "Max", "minimum": "Min",
}  # fmt: skip
# Rounding changes no integer.
ROUNDING = {"floor": "Floor", "ceil": "Ceil", "round": "Round"}
COMPARISONS = {
    "equal": "Equal", "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
}  # fmt: skip


def _one(kind: str) -> Callable[[Call], str]:
    def write(c: Call) -> str:
        if c.dtype().startswith("uint") and kind in ("Neg", "Relu"):  # which take signed ones
            return str(c.op("Sub", c.num(0), c.x(0)) if kind == "Neg" else c.op("Identity", c.x(0)))
        if kind == "IsNaN" and c.dtype() not in FLOATS:
            return str(c.op("Less", c.x(0), c.x(0)))  # false everywhere
        return str(c.op(kind, c.x(0)))

    return write


def _two(kind: str) -> Callable[[Call], str]:
    def write(c: Call) -> str:
        if c.dtype(None) == "bool":  # arithmetic of bools is logic
            logic = {"Add": "Or", "Max": "Or", "Mul": "And", "Min": "And", "Sub": "Xor"}
            return str(c.op(logic[kind], c.x(0), c.x(1)))
        return str(c.op(kind, c.x(0), c.x(1)))

    return write


for _name, _kind in ONE.items():
    rule(_name)(_one(_kind))
for _name, _kind in TWO.items():
    rule(_name)(_two(_kind))


def _rounding(kind: str) -> Callable[[Call], str]:
    return lambda c: str(c.op(kind if c.dtype() in FLOATS else "Identity", c.x(0)))


for _name, _kind in ROUNDING.items():
    rule(_name)(_rounding(_kind))


def _compare(c: Call, kind: str) -> str:
    x, y = c.x(0), c.x(1)
    if c.dtype(None) == "bool" and kind != "Equal":
        x, y = c.cast(x, "int32"), c.cast(y, "int32")
    return str(c.op(kind, x, y))


def _comparison(kind: str) -> Callable[[Call], str]:
    return lambda c: _compare(c, kind)


for _name, _kind in COMPARISONS.items():
    rule(_name)(_comparison(_kind))


@rule("not_equal")
def _not_equal(c: Call) -> str:
    return str(c.op("Not", _compare(c, "Equal")))


# ---------------------------------------------------------------- made of several


@rule("sign")
def _sign(c: Call) -> str:
    sign = str(c.op("Sign", c.x(0)))
    if c.dtype() not in FLOATS:
        return sign
    return str(c.op("Where", c.op("IsNaN", c.x(0)), c.x(0), sign))  # runtimes differ at NaN


@rule("square")
def _square(c: Call) -> str:
    return str(c.op("Mul", c.x(0), c.x(0)))


@rule("rsqrt")
def _rsqrt(c: Call) -> str:
    return str(c.op("Reciprocal", c.op("Sqrt", c.x(0))))


@rule("exp2")
def _exp2(c: Call) -> str:
    return str(c.op("Pow", c.num(2.0), c.x(0)))


def expm1(c: Call, x: str, dtype: str) -> str:
    """exp(x) - 1; near zero 2 tanh(x / 2) / (1 - tanh(x / 2)), which loses no digits."""
    one = c.num(1.0, dtype)
    near = c.op("Less", c.op("Abs", x), one)
    small = c.op("Where", near, x, c.num(0.0, dtype))
    t = c.op("Tanh", c.op("Mul", small, c.num(0.5, dtype)))
    accurate = c.op("Div", c.op("Add", t, t), c.op("Sub", one, t))
    return str(c.op("Where", near, accurate, c.op("Sub", c.op("Exp", x), one)))


def log1p(c: Call, x: str, dtype: str) -> str:
    """log(u) x / (u - 1) with u = 1 + x as it is rounded, or x where u is 1 (W. Kahan)."""
    one = c.num(1.0, dtype)
    u = c.op("Add", x, one)
    d = c.op("Sub", u, one)
    tiny = c.op("Equal", d, c.num(0.0, dtype))
    # An infinite u is its own logarithm's.
    usual = c.op("And", c.op("Not", tiny), c.op("Less", u, c.num(math.inf, dtype)))
    ratio = c.op("Where", usual, c.op("Div", x, c.op("Where", tiny, one, d)), one)
    return str(c.op("Where", tiny, x, c.op("Mul", c.op("Log", u), ratio)))


@rule("expm1")
def _expm1(c: Call) -> str:
    return expm1(c, c.x(0), c.dtype())


@rule("log1p")
def _log1p(c: Call) -> str:
    return log1p(c, c.x(0), c.dtype())


@rule("log2")
def _log2(c: Call) -> str:
    return str(c.op("Mul", c.op("Log", c.x(0)), c.num(1 / math.log(2))))


@rule("log10")
def _log10(c: Call) -> str:
    return str(c.op("Mul", c.op("Log", c.x(0)), c.num(1 / math.log(10))))


@rule("erfc")
def _erfc(c: Call) -> str:
    return str(c.op("Sub", c.num(1.0), c.op("Erf", c.x(0))))


def ndtr(c: Call, x: str) -> str:
    """Cumulative distribution of the standard normal."""
    erf = c.op("Erf", c.op("Mul", x, c.num(math.sqrt(0.5))))
    return str(c.op("Mul", c.op("Add", erf, c.num(1.0)), c.num(0.5)))


@rule("ndtr")
def _ndtr(c: Call) -> str:
    return ndtr(c, c.x(0))


@rule("logsigmoid")
def _logsigmoid(c: Call) -> str:
    return str(c.op("Neg", c.op("Softplus", c.op("Neg", c.x(0)))))


@rule("silu")
def _silu(c: Call) -> str:
    # Opset 24 has Swish, which runtimes do not all have yet.
    return str(c.op("Mul", c.x(0), c.op("Sigmoid", c.x(0))))


@rule("mish")
def _mish(c: Call) -> str:
    return str(c.op("Mish", c.x(0)))


@rule("hardsigmoid")
def _hardsigmoid(c: Call) -> str:
    return str(c.op("HardSigmoid", c.x(0), alpha=1 / 6, beta=0.5))


@rule("gelu")
def _gelu(c: Call) -> str:
    if c.opset >= 20:
        return str(c.op("Gelu", c.x(0)))
    return str(c.op("Mul", c.x(0), ndtr(c, c.x(0))))


_TANH_SCALE, _TANH_CUBE = math.sqrt(2 / math.pi), 0.044715


def _gelu_inner(c: Call, x: str) -> tuple[str, str]:
    """tanh(sqrt(2 / pi) (x + 0.044715 x³)), and x²."""
    square = str(c.op("Mul", x, x))
    inner = c.op("Mul", x, c.op("Add", c.op("Mul", square, c.num(_TANH_CUBE)), c.num(1.0)))
    return str(c.op("Tanh", c.op("Mul", inner, c.num(_TANH_SCALE)))), square


@rule("gelu_tanh")
def _gelu_tanh(c: Call) -> str:
    if c.opset >= 20:
        return str(c.op("Gelu", c.x(0), approximate="tanh"))
    t, _ = _gelu_inner(c, c.x(0))
    return str(c.op("Mul", c.op("Mul", c.x(0), c.num(0.5)), c.op("Add", t, c.num(1.0))))


@rule("silu_slope")
def _silu_slope(c: Call) -> str:
    s = c.op("Sigmoid", c.x(0))
    rest = c.op("Mul", c.x(0), c.op("Sub", c.num(1.0), s))
    return str(c.op("Mul", s, c.op("Add", rest, c.num(1.0))))


@rule("gelu_slope")
def _gelu_slope(c: Call) -> str:
    x = c.x(0)
    density = c.op("Exp", c.op("Mul", c.op("Mul", x, x), c.num(-0.5)))
    density = c.op("Mul", density, c.num(1 / math.sqrt(2 * math.pi)))
    return str(c.op("Add", ndtr(c, x), c.op("Mul", x, density)))


@rule("gelu_tanh_slope")
def _gelu_tanh_slope(c: Call) -> str:
    x = c.x(0)
    t, square = _gelu_inner(c, x)
    one = c.num(1.0)
    inner = c.op("Add", c.op("Mul", square, c.num(3 * _TANH_CUBE)), one)
    rest = c.op("Mul", c.op("Sub", one, c.op("Mul", t, t)), c.op("Mul", x, inner))
    rest = c.op("Mul", rest, c.num(_TANH_SCALE))
    return str(c.op("Mul", c.op("Add", c.op("Add", t, one), rest), c.num(0.5)))


@rule("special_entr")
def _entr(c: Call) -> str:
    x, zero = c.x(0), c.num(0.0)
    usual = c.op("Neg", c.op("Mul", x, c.op("Log", x)))
    below = c.op("Where", c.op("Less", x, zero), c.num(-math.inf), usual)
    return str(c.op("Where", c.op("Equal", x, zero), zero, below))


@rule("special_spherical_bessel_j0")
def _spherical_j0(c: Call) -> str:
    x = c.x(0)
    at_zero = c.op("Equal", x, c.num(0.0))
    safe = c.op("Where", at_zero, c.num(1.0), x)
    ratio = c.op("Div", c.op("Sin", safe), safe)
    ratio = c.op("Where", isinf(c, x), c.num(0.0), ratio)
    return str(c.op("Where", at_zero, c.num(1.0), ratio))


@rule("trunc")
def _trunc(c: Call) -> str:
    x = c.x(0)
    if c.dtype() not in FLOATS:
        return str(c.op("Identity", x))
    return truncated(c, x)


def truncated(c: Call, x: str) -> str:
    """The nearest integer towards zero."""
    return str(c.op("Where", c.op("Less", x, c.num(0.0)), c.op("Ceil", x), c.op("Floor", x)))


def isinf(c: Call, x: str) -> str:
    """Whether elements are infinite; before opset 20, IsInf does not take halves."""
    dtype = c.dtype(None)
    if dtype in ("float16", "bfloat16") and c.opset < 20:
        return str(c.op("Equal", c.op("Abs", x), c.num(math.inf)))
    return str(c.op("IsInf", x))


@rule("isinf")
def _isinf(c: Call) -> str:
    if c.dtype() not in FLOATS:
        return str(c.op("Less", c.x(0), c.x(0)))  # false everywhere
    return isinf(c, c.x(0))


@rule("isfinite")
def _isfinite(c: Call) -> str:
    if c.dtype() not in FLOATS:
        return str(c.op("Equal", c.x(0), c.x(0)))
    return str(c.op("Not", c.op("Or", c.op("IsNaN", c.x(0)), isinf(c, c.x(0)))))


def signbit(c: Call, x: str) -> str:
    """Whether x is below zero or -0, of which the reciprocal is below zero."""
    zero = c.num(0.0)
    return str(c.op("Or", c.op("Less", x, zero), c.op("Less", c.op("Reciprocal", x), zero)))


@rule("signbit")
def _signbit(c: Call) -> str:
    return signbit(c, c.x(0))


def truth(c: Call, x: str, dtype: str) -> str:
    """Whether elements are not zero."""
    return x if dtype == "bool" else str(c.op("Not", c.op("Equal", x, c.num(0, dtype))))


@rule("logical_not")
def _logical_not(c: Call) -> str:
    if c.dtype() == "bool":
        return str(c.op("Not", c.x(0)))
    return str(c.op("Equal", c.x(0), c.num(0)))


@rule("bitwise_invert")
def _bitwise_invert(c: Call) -> str:
    return str(c.op("Not" if c.dtype() == "bool" else "BitwiseNot", c.x(0)))


def _logic(kind: str) -> Callable[[Call], str]:
    def write(c: Call) -> str:
        dtype = c.dtype(None)
        return str(c.op(kind, truth(c, c.x(0), dtype), truth(c, c.x(1), dtype)))

    return write


def _bits(kind: str) -> Callable[[Call], str]:
    def write(c: Call) -> str:
        op = kind if c.dtype(None) == "bool" else f"Bitwise{kind}"
        return str(c.op(op, c.x(0), c.x(1)))

    return write


for _kind in ("And", "Or", "Xor"):
    rule(f"logical_{_kind.lower()}")(_logic(_kind))
    rule(f"bitwise_{_kind.lower()}")(_bits(_kind))


def _shift(c: Call, direction: str) -> str:
    """ONNX shifts unsigned integers, by less than their width."""
    dtype = c.dtype(None)
    width = int(dtype.removeprefix("u").removeprefix("int"))
    unsigned = dtype if dtype.startswith("u") else f"u{dtype}"
    x, y = c.x(0), c.x(1)
    inside = c.op("Less", y, c.num(width, dtype))
    if dtype != unsigned:
        inside = c.op("And", inside, c.op("GreaterOrEqual", y, c.num(0, dtype)))
    zero = c.num(0, dtype)
    by = c.cast(c.op("Where", inside, y, zero), unsigned)
    if direction == "RIGHT" and dtype != unsigned:
        # Of a negative number the complement is shifted: what comes in from the left are ones.
        negative = c.op("Less", x, c.num(0, dtype))
        positive = c.cast(c.op("Where", negative, c.op("BitwiseNot", x), x), unsigned)
        moved = c.cast(c.op("BitShift", positive, by, direction=direction), dtype)
        moved = c.op("Where", inside, moved, zero)
        return str(c.op("Where", negative, c.op("BitwiseNot", moved), moved))
    moved = c.op("BitShift", c.cast(x, unsigned), by, direction=direction)
    return str(c.op("Where", inside, c.cast(moved, dtype), zero))


@rule("bitwise_left_shift")
def _left_shift(c: Call) -> str:
    return _shift(c, "LEFT")


@rule("bitwise_right_shift")
def _right_shift(c: Call) -> str:
    return _shift(c, "RIGHT")


# ---------------------------------------------------------------- division


def _safe_divisor(c: Call, y: str, dtype: str) -> tuple[str, str | None]:
    """A divisor without zeros, at which runtimes may stop, and where they were."""
    number = c.number(1)
    if number is not None and number != 0:
        return y, None
    zero = str(c.op("Equal", y, c.num(0, dtype)))
    return str(c.op("Where", zero, c.num(1, dtype), y)), zero


@rule("remainder")
def _remainder(c: Call) -> str:
    dtype = c.dtype(None)
    x, y = c.x(0), c.x(1)
    if dtype in FLOATS:
        return _float_remainder(c, x, y)
    safe, zero = _safe_divisor(c, y, dtype)
    r = c.op("Mod", x, safe)
    return str(r if zero is None else c.op("Where", zero, c.num(0, dtype), r))


def _float_remainder(c: Call, x: str, y: str) -> str:
    r = c.op("Mod", x, y, fmod=1)
    zero = c.num(0.0)
    other_sign = c.op("Xor", c.op("Less", r, zero), c.op("Less", y, zero))
    inexact = c.op("Not", c.op("Equal", r, zero))
    return str(c.op("Where", c.op("And", other_sign, inexact), c.op("Add", r, y), r))


@rule("floor_divide")
def _floor_divide(c: Call) -> str:
    dtype = c.dtype(None)
    x, y = c.x(0), c.x(1)
    if dtype in FLOATS:
        # What is left without the remainder is a multiple, but for the rounding of the division.
        exact = c.op("Round", c.op("Div", c.op("Sub", x, _float_remainder(c, x, y)), y))
        at_zero = c.op("Equal", y, c.num(0.0))
        return str(c.op("Where", at_zero, c.op("Div", x, y), exact))
    safe, zero = _safe_divisor(c, y, dtype)
    q = c.op("Div", c.op("Sub", x, c.op("Mod", x, safe)), safe)
    return str(q if zero is None else c.op("Where", zero, c.num(0, dtype), q))


@rule("fmod")
def _fmod(c: Call) -> str:
    dtype = c.dtype(None)
    if dtype in FLOATS:
        return str(c.op("Mod", c.x(0), c.x(1), fmod=1))
    safe, zero = _safe_divisor(c, c.x(1), dtype)
    r = c.op("Mod", c.x(0), safe, fmod=1)
    return str(r if zero is None else c.op("Where", zero, c.num(0, dtype), r))


# ---------------------------------------------------------------- other pairs and triples


@rule("pow")
def _pow(c: Call) -> str:
    dtype = c.dtype(None)
    if c.number(1) == 2:
        return str(c.op("Mul", c.x(0), c.x(0)))
    if dtype in FLOATS or dtype in ("int32", "int64"):
        return str(c.op("Pow", c.x(0), c.x(1)))
    wide = [c.cast(c.x(i), "int64") for i in (0, 1)]
    return c.cast(c.op("Pow", *wide), dtype)


@rule("atan2")
def _atan2(c: Call) -> str:
    """atan(x / y), turned by pi where y is negative."""
    dtype = c.dtype(None)
    x, y, zero = c.x(0), c.x(1), c.num(0.0)
    # Two infinities stand for the diagonal between them, and two zeros for their signs.
    both = c.op("And", isinf(c, x), isinf(c, y))
    p = c.op("Where", both, c.op("Sign", x), x)
    q = c.op("Where", both, c.op("Sign", y), y)
    none = c.op("And", c.op("Equal", x, zero), c.op("Equal", y, zero))
    angle = c.op("Where", none, zero, c.op("Atan", c.op("Div", p, c.op("Where", none, p, q))))
    pi = c.num(math.pi, dtype)
    turn = c.op("Where", signbit(c, x), c.op("Neg", pi), pi)
    turned = c.op("Where", none, turn, c.op("Add", angle, turn))
    return str(c.op("Where", signbit(c, y), turned, angle))


@rule("hypot")
def _hypot(c: Call) -> str:
    a, b = c.op("Abs", c.x(0)), c.op("Abs", c.x(1))
    most = c.op("Max", a, b)
    plain = c.op("Or", c.op("Equal", most, c.num(0.0)), isinf(c, most))
    scale = c.op("Where", plain, c.num(1.0), most)
    a, b = c.op("Div", a, scale), c.op("Div", b, scale)
    root = c.op("Sqrt", c.op("Add", c.op("Mul", a, a), c.op("Mul", b, b)))
    return str(c.op("Mul", scale, root))


@rule("logaddexp")
def _logaddexp(c: Call) -> str:
    x, y = c.x(0), c.x(1)
    # Equal infinities have no difference.
    apart = c.op("Where", c.op("Equal", x, y), c.num(0.0), c.op("Abs", c.op("Sub", x, y)))
    return str(c.op("Add", c.op("Max", x, y), c.op("Softplus", c.op("Neg", apart))))


def _number_wins(kind: str) -> Callable[[Call], str]:
    def write(c: Call) -> str:
        x, y = c.x(0), c.x(1)
        if c.dtype(None) not in FLOATS:
            return _two(kind)(c)
        both = c.op(kind, x, y)
        other = c.op("Where", c.op("IsNaN", y), x, both)
        return str(c.op("Where", c.op("IsNaN", x), y, other))

    return write


rule("fmax")(_number_wins("Max"))
rule("fmin")(_number_wins("Min"))


@rule("copysign")
def _copysign(c: Call) -> str:
    size = c.op("Abs", c.x(0))
    return str(c.op("Where", signbit(c, c.x(1)), c.op("Neg", size), size))


@rule("leaky_relu")
def _leaky_relu(c: Call) -> str:
    slope = c.number(1)
    if slope is not None:
        return str(c.op("LeakyRelu", c.x(0), alpha=float(slope)))
    steep = c.op("Mul", c.x(0), c.x(1))
    return str(c.op("Where", c.op("Greater", c.x(0), c.num(0.0)), c.x(0), steep))


@rule("elu")
def _elu(c: Call) -> str:
    alpha = c.number(1)
    if alpha is not None:
        return str(c.op("Elu", c.x(0), alpha=float(alpha)))
    below = c.op("Mul", c.x(1), expm1(c, c.op("Min", c.x(0), c.num(0.0)), c.dtype(None)))
    return str(c.op("Where", c.op("Greater", c.x(0), c.num(0.0)), c.x(0), below))


@rule("where")
def _where(c: Call) -> str:
    dtype = c.out_dtype()
    test, yes, no = c.x(0, "bool"), c.x(1, dtype), c.x(2, dtype)
    if dtype == "bool":  # which runtimes leave out
        return str(c.op("Or", c.op("And", test, yes), c.op("And", c.op("Not", test), no)))
    return str(c.op("Where", test, yes, no))


@rule("clip")
def _clip(c: Call) -> str:
    if all(c.number(i) is not None for i in (1, 2)):
        return str(c.op("Clip", c.x(0), c.x(1), c.x(2)))
    return str(c.op("Min", c.op("Max", c.x(0), c.x(1)), c.x(2)))


@rule("lerp")
def _lerp(c: Call) -> str:
    x, y, z = c.x(0), c.x(1), c.x(2)
    d = c.op("Sub", y, x)
    from_x = c.op("Add", x, c.op("Mul", z, d))
    from_y = c.op("Sub", y, c.op("Mul", d, c.op("Sub", c.num(1.0), z)))
    return str(c.op("Where", c.op("Less", z, c.num(0.5)), from_x, from_y))


@rule("fma")
def _fma(c: Call) -> str:
    return str(c.op("Add", c.op("Mul", c.x(0), c.x(1)), c.x(2)))


@rule("addcmul")
def _addcmul(c: Call) -> str:
    return str(c.op("Add", c.x(0), c.op("Mul", c.x(1), c.x(2))))


@rule("addcdiv")
def _addcdiv(c: Call) -> str:
    return str(c.op("Add", c.x(0), c.op("Div", c.x(1), c.x(2))))


@rule("cast")
def _cast(c: Call) -> Any:
    to = c.attr("dtype")
    if to not in FLOATS and to != "bool" and c.dtype() in FLOATS and to.startswith("u"):
        return c.cast(c.cast(c.x(0), "int64"), to)  # negative numbers wrap, as in the cast here
    return c.cast(c.x(0), to)


without(
    "ONNX has no such special function, and none that it could be made of with its accuracy; "
    "compute it outside of the exported model",
    "lgamma", "digamma", "erfinv", "special_erfcx", "special_ndtri", "special_log_ndtr", "i0",
    "special_i0e", "special_i1", "special_i1e", "special_modified_bessel_k0",
    "special_modified_bessel_k1", "special_scaled_modified_bessel_k0",
    "special_scaled_modified_bessel_k1", "special_bessel_j0", "special_bessel_j1",
    "special_bessel_y0", "special_bessel_y1", "special_airy_ai", "igamma", "igammac",
    "special_zeta", "special_polygamma",
)  # fmt: skip
without(
    "ONNX has no orthogonal polynomials, and the degree is a tensor, so they cannot be unrolled; "
    "write the polynomial of a fixed degree with its coefficients",
    "special_chebyshev_polynomial_t", "special_chebyshev_polynomial_u",
    "special_chebyshev_polynomial_v", "special_chebyshev_polynomial_w",
    "special_shifted_chebyshev_polynomial_t", "special_shifted_chebyshev_polynomial_u",
    "special_shifted_chebyshev_polynomial_v", "special_shifted_chebyshev_polynomial_w",
    "special_hermite_polynomial_h", "special_hermite_polynomial_he",
    "special_laguerre_polynomial_l", "special_legendre_polynomial_p",
)  # fmt: skip
without(
    "ONNX does not look at the bits of a number; compute neighbours outside of the exported model",
    "nextafter",
)
