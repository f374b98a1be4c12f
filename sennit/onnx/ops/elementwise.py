"""Operators that work element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sennit as sn
from sennit.nn import functional as F

from .._interpret import Call
from .._registry import op
from .._values import Known, has_dtype
from ._common import dtype_of, exact, is_float, numpy_dtype


def _unary(name: str, function: str, host: bool = False) -> None:
    @op(name, host=host)
    def compute(c: Call, x: Any) -> Any:
        return getattr(c.xp, function)(x)


for _name, _function in (
    ("Abs", "abs"), ("Ceil", "ceil"), ("Exp", "exp"), ("Floor", "floor"), ("Log", "log"),
    ("Neg", "negative"), ("Round", "round"), ("Sign", "sign"), ("Sqrt", "sqrt"),
    ("Not", "logical_not"), ("Relu", "relu"), ("IsNaN", "isnan"), ("BitwiseNot", "bitwise_invert"),
    ("Reciprocal", "reciprocal"), ("Sin", "sin"), ("Cos", "cos"),
):  # fmt: skip
    _unary(_name, _function, host=True)
for _name, _function in (
    ("Acos", "acos"), ("Acosh", "acosh"), ("Asin", "asin"), ("Asinh", "asinh"), ("Atan", "atan"),
    ("Atanh", "atanh"), ("Cosh", "cosh"), ("Erf", "erf"), ("HardSwish", "hardswish"),
    ("Mish", "mish"), ("Sigmoid", "sigmoid"), ("Sinh", "sinh"), ("Softplus", "softplus"),
    ("Tan", "tan"), ("Tanh", "tanh"),
):  # fmt: skip
    _unary(_name, _function)


def aligned(c: Call, x: Any, y: Any, axis: int | None, broadcast: int) -> Any:
    """The second operand as versions before 7 broadcast it: from the first one's `axis` on."""
    if c.version >= 7 or not broadcast or axis is None or not hasattr(y, "dtype"):
        return y
    rank = x.ndim - (axis % x.ndim) - y.ndim
    return c.xp.reshape(y, (*y.shape, *(1,) * rank)) if rank > 0 else y


def _binary(name: str, function: str) -> None:
    @op(name, host=True, scalars=True)
    def compute(c: Call, x: Any, y: Any, *, axis: int | None = None, broadcast: int = 0) -> Any:
        return getattr(c.xp, function)(x, aligned(c, x, y, axis, broadcast))


for _name, _function in (
    ("Add", "add"), ("Sub", "subtract"), ("Mul", "multiply"), ("Equal", "equal"),
    ("Greater", "greater"), ("Less", "less"), ("GreaterOrEqual", "greater_equal"),
    ("LessOrEqual", "less_equal"), ("And", "logical_and"), ("Or", "logical_or"),
    ("Xor", "logical_xor"), ("BitwiseAnd", "bitwise_and"), ("BitwiseOr", "bitwise_or"),
    ("BitwiseXor", "bitwise_xor"),
):  # fmt: skip
    _binary(_name, _function)


@op("Div", host=True, scalars=True)
def _divide(c: Call, x: Any, y: Any, *, axis: int | None = None, broadcast: int = 0) -> Any:
    y = aligned(c, x, y, axis, broadcast)
    tensor = x if hasattr(x, "dtype") else y
    if is_float(tensor):
        return c.xp.divide(x, y)
    return c.xp.divide(x, y, rounding_mode="trunc")


@op("Mod", host=True, scalars=True)
def _mod(c: Call, x: Any, y: Any, *, fmod: int = 0) -> Any:
    return c.xp.fmod(x, y) if fmod else c.xp.remainder(x, y)


@op("Pow", host=True, scalars=True)
def _pow(c: Call, x: Any, y: Any, *, axis: int | None = None, broadcast: int = 0) -> Any:
    y = aligned(c, x, y, axis, broadcast)
    if not hasattr(x, "dtype"):  # a constant base: the result has its dtype
        known = c.scope[c.step.inputs[0]]
        return exact(sn.pow(known.tensor, y), known.tensor.dtype)
    if not is_float(x) and not hasattr(y, "dtype") and isinstance(y, float) and y.is_integer():
        y = int(y)
    if not is_float(x) and (isinstance(y, float) or (hasattr(y, "dtype") and is_float(y))):
        # A power of integers with a real exponent, as exact as the conversions allow.
        real = sn.float64 if c.xp is sn else "float64"
        wide = c.xp.astype(x, real)
        exponent = y if isinstance(y, float) else c.xp.astype(y, real)
        return exact(c.xp.pow(wide, exponent), x.dtype)
    return exact(c.xp.pow(x, y), x.dtype)


def _variadic(name: str, function: str) -> None:
    @op(name, host=True, scalars=True)
    def compute(c: Call, *values: Any) -> Any:
        result = values[0]
        if len(values) == 1:
            return c.xp.asarray(result)
        for value in values[1:]:
            result = getattr(c.xp, function)(result, value)
        return result


_variadic("Max", "maximum")
_variadic("Min", "minimum")
_variadic("Sum", "add")


@op("Mean")
def _mean(c: Call, *values: Any) -> Any:
    result = values[0]
    for value in values[1:]:
        result = result + value
    return result / len(values)


@op("BitShift", host=True, scalars=True)
def _bit_shift(c: Call, x: Any, y: Any, *, direction: str) -> Any:
    if direction not in ("LEFT", "RIGHT"):
        raise c.invalid(f"the direction is {direction!r}; it must be LEFT or RIGHT")
    shift = c.xp.bitwise_left_shift if direction == "LEFT" else c.xp.bitwise_right_shift
    return shift(x, y)


@op("Where", host=True, scalars=True)
def _where(c: Call, condition: Any, x: Any, y: Any) -> Any:
    if not hasattr(condition, "dtype"):
        condition = sn.tensor(bool(condition))
    if not hasattr(x, "dtype") and not hasattr(y, "dtype"):
        x = c.tensor(c.scope[c.step.inputs[1]])
    return c.xp.where(condition, x, y)


@op("IsInf")
def _is_inf(c: Call, x: Any, *, detect_negative: int = 1, detect_positive: int = 1) -> Any:
    if detect_negative and detect_positive:
        return sn.isinf(x)
    if detect_positive:
        return sn.equal(x, float("inf"))
    return sn.equal(x, float("-inf")) if detect_negative else sn.zeros_like(x, dtype=sn.bool)


# ---------------------------------------------------------------- activations


@op("LeakyRelu")
def _leaky_relu(c: Call, x: Any, *, alpha: float = 0.01) -> Any:
    return sn.leaky_relu(x, alpha)


@op("PRelu")
def _prelu(c: Call, x: Any, slope: Any) -> Any:
    if c.version < 7 and slope.ndim == 1 and slope.size > 1:
        slope = slope.reshape((-1,) + (1,) * (x.ndim - 2))
    return sn.where(x < 0, x * slope, x)


@op("Elu")
def _elu(c: Call, x: Any, *, alpha: float = 1.0) -> Any:
    return sn.elu(x, alpha)


@op("Celu")
def _celu(c: Call, x: Any, *, alpha: float = 1.0) -> Any:
    return F.celu(x, alpha)


_SELU = (1.67326319217681884765625, 1.05070102214813232421875)  # the standard's defaults


@op("Selu")
def _selu(c: Call, x: Any, *, alpha: float = _SELU[0], gamma: float = _SELU[1]) -> Any:
    return gamma * sn.where(x > 0, x, alpha * sn.expm1(x))


@op("HardSigmoid")
def _hard_sigmoid(c: Call, x: Any, *, alpha: float = 0.2, beta: float = 0.5) -> Any:
    return sn.clip(x * alpha + beta, 0, 1)


@op("ThresholdedRelu")
def _thresholded_relu(c: Call, x: Any, *, alpha: float = 1.0) -> Any:
    return sn.where(x > alpha, x, 0)


@op("Shrink")
def _shrink(c: Call, x: Any, *, bias: float = 0.0, lambd: float = 0.5) -> Any:
    if not is_float(x):
        wide = x.astype(sn.float32)
        return _shrink(c, wide, bias=bias, lambd=lambd).astype(x.dtype)
    return sn.where(x < -lambd, x + bias, sn.where(x > lambd, x - bias, 0))


@op("Softsign")
def _softsign(c: Call, x: Any) -> Any:
    return F.softsign(x)


@op("Gelu")
def _gelu(c: Call, x: Any, *, approximate: str = "none") -> Any:
    return sn.gelu_tanh(x) if approximate == "tanh" else sn.gelu(x)


@op("Swish")
def _swish(c: Call, x: Any, *, alpha: float = 1.0) -> Any:
    return sn.silu(x) if alpha == 1.0 else x * sn.sigmoid(x * alpha)


@op("Clip", host=True, scalars=True)
def _clip(
    c: Call, x: Any, low: Any = None, high: Any = None, *, min: Any = None, max: Any = None
) -> Any:
    low, high = (min if low is None else low), (max if high is None else high)
    if not hasattr(x, "dtype"):
        x = c.tensor(c.scope[c.step.inputs[0]])
    if low is not None:
        x = c.xp.maximum(x, low)
    return x if high is None else c.xp.minimum(x, high)


def _softmax_like(name: str, function: Callable[..., Any]) -> None:
    @op(name)
    def compute(c: Call, x: Any, *, axis: int | None = None) -> Any:
        if c.version >= 13:
            return function(x, -1 if axis is None else axis)
        # Older versions see a matrix: rows are the axes before `axis`.
        axis = (1 if axis is None else axis) % x.ndim if x.ndim else 0
        rows = 1
        for size in x.shape[:axis]:
            rows *= size
        columns = 1
        for size in x.shape[axis:]:
            columns *= size
        if columns == x.shape[-1]:
            return function(x, -1)
        return function(x.reshape((rows, columns)), -1).reshape(x.shape)


def _hardmax(x: Any, axis: int) -> Any:
    top = sn.argmax(x, axis=axis, keepdims=True)
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    return sn.equal(sn.arange(x.shape[axis]).reshape(shape), top).astype(x.dtype)


_softmax_like("Softmax", sn.softmax)
_softmax_like("LogSoftmax", sn.log_softmax)
_softmax_like("Hardmax", _hardmax)


@op("Dropout", numbers=(1, 2))
def _dropout(
    c: Call, x: Any, share: Any = None, training: Any = None, *, ratio: float = 0.5, seed: int = 0
) -> Any:
    p = float(share.item()) if share is not None else ratio
    if training is None or not bool(training.item()) or p == 0:
        mask = sn.ones(x.shape, dtype=sn.bool if c.version >= 10 else x.dtype)
        return (x, mask) if c.wants(1) else x
    kept = sn.random.rand(x.shape) >= p
    return sn.where(kept, x / (1 - p), 0).astype(x.dtype), kept


# ---------------------------------------------------------------- conversions


def convert(c: Call, x: Any, to: int, saturate: bool = True, round_mode: str = "up") -> Any:
    """A value (as the interpreter holds it) in another dtype."""
    import numpy as np

    text = isinstance(x, Known) and x.array.dtype.kind in "OUS"
    if isinstance(x, Known) and text:
        return Known(_from_text(c, x.array, to))
    if to == 8:
        return Known(_to_text(c.host(x, "the operand")))
    from ._common import DTYPES

    if to in DTYPES and not (isinstance(x, Known) and not has_dtype(x.array)):
        dtype = dtype_of(c, to)
        if not isinstance(x, Known):
            return x if x.dtype == dtype else x.astype(dtype)
        if x.array.dtype.name == dtype.name:
            return x
        with np.errstate(all="ignore"):
            array = x.array.astype(numpy_dtype(to))
        make = (lambda: x.tensor.astype(dtype)) if x.sized or not x.number else None
        return Known(array, make, x.number, x.sized)
    from ._small import cast_small

    return Known(cast_small(c.host(x, "the operand"), to, saturate, round_mode))


def _from_text(c: Call, array: Any, to: int) -> Any:
    import numpy as np

    flat = [str(v) for v in array.reshape(-1)]
    dtype = numpy_dtype(to)
    try:
        if to == 8:
            return array
        values = [float(v) for v in flat] if dtype.kind not in "iu" else [int(v) for v in flat]
    except ValueError as cause:
        raise c.invalid(f"a text is no number of {dtype.name} ({cause})") from cause
    return np.asarray(values).astype(dtype).reshape(array.shape)


def _float_text(number: Any) -> str:
    import numpy as np

    if np.isnan(number):
        return "NaN"
    if np.isinf(number):
        return "INF" if number > 0 else "-INF"
    if number == 0 or 1e-4 <= abs(float(number)) < 1e8:
        return np.format_float_positional(number, trim="-")
    return str(number)


def _to_text(array: Any) -> Any:
    import numpy as np

    out = np.empty(array.size, object)
    for k, value in enumerate(array.reshape(-1)):
        if array.dtype.kind == "f" or "float" in array.dtype.name:
            wide = np.float32 if array.dtype.itemsize <= 4 else np.float64
            out[k] = _float_text(wide(value))
        else:
            out[k] = str(value)
    return out.reshape(array.shape)


@op("Cast", raw=True)
def _cast(c: Call, x: Any, *, to: int, saturate: int = 1, round_mode: str = "up") -> Any:
    return convert(c, x, to, bool(saturate), round_mode)


@op("CastLike", raw=True)
def _cast_like(c: Call, x: Any, like: Any, *, saturate: int = 1, round_mode: str = "up") -> Any:
    return convert(c, x, element_type(like), bool(saturate), round_mode)


def element_type(value: Any) -> int:
    """ONNX's number of the dtype of a value."""
    from .._model import onnx_package

    helper = onnx_package().helper
    array = value.array if isinstance(value, Known) else None
    if array is not None and array.dtype.kind in "OUS":
        return 8
    name = array.dtype.name if array is not None else value.dtype.name
    for number in onnx_package().TensorProto.DataType.values():
        if number not in (0, 8) and helper.tensor_dtype_to_np_dtype(number).name == name:
            return int(number)
    raise ValueError(f"ONNX has no dtype {name}")


@op("BitCast", raw=True)
def _bit_cast(c: Call, x: Any, *, to: int) -> Any:
    array = c.host(x, "the operand")
    target = numpy_dtype(to)
    if target.itemsize != array.dtype.itemsize:
        raise c.invalid(f"{array.dtype.name} and {target.name} have not the same width")
    import numpy as np

    return Known(np.ascontiguousarray(array).view(target).reshape(array.shape))
