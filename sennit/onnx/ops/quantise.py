"""Quantised operators: whole numbers with a scale and a zero point.

Products of integers are exact: sums that fit 24 bits run in float32, others in float64 (53 bits).
"""

from __future__ import annotations

from typing import Any

import sennit as sn

from .._interpret import Call
from .._registry import op
from .._values import Known, has_dtype, to_tensor
from ._common import axis_of, dtype_of, numpy_dtype, product
from .conv import convolution
from .elementwise import element_type

_LIMITS = {2: (0, 255), 3: (-128, 127), 4: (0, 65535), 5: (-32768, 32767), 21: (0, 15),
           22: (-8, 7), 25: (0, 3), 26: (-2, 1)}  # fmt: skip


def _spread(c: Call, v: Any, shape: tuple[int, ...], axis: int, block: int) -> Any:
    """A scale or zero point over an input: per tensor, per axis, or per block of an axis."""
    if v.size == 1 and v.ndim <= 1:
        return v.reshape(())
    axis = axis_of(c, axis, len(shape))
    if block:
        return sn.narrow(sn.repeat(v, block, axis=axis), axis, 0, shape[axis])
    if v.ndim == 1:
        sizes = [1] * len(shape)
        sizes[axis] = v.shape[0]
        return v.reshape(sizes)
    return v


@op("QuantizeLinear", raw=True)
def _quantize(
    c: Call,
    x: Any,
    scale: Any,
    zero: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Any:
    to = output_dtype or (2 if zero is None else element_type(zero))
    xt, st = c.tensor(x), c.tensor(scale)
    if precision:
        working = dtype_of(c, precision)
        xt, st = xt.astype(working), st.astype(working)
    elif xt.dtype not in (sn.float32, sn.float16, sn.bfloat16, sn.float64):
        xt = xt.astype(sn.float32)
    shape = xt.shape
    scaled = xt / _spread(c, st.astype(xt.dtype), shape, axis, block_size)
    if to not in _LIMITS:  # the small floats: on the host
        from ._small import cast_small

        values = scaled.astype(sn.float32)
        if zero is not None:
            offset = to_tensor(c.host(zero, "the zero point").astype("float32"))
            values = values + _spread(c, offset, shape, axis, block_size)
        return Known(cast_small(c.host(values, "the operand"), to, bool(saturate)))
    low, high = _LIMITS[to]
    rounded = sn.round(scaled)
    if rounded.dtype in (sn.float16, sn.bfloat16):
        rounded = rounded.astype(sn.float32)
    if zero is not None:
        rounded = rounded + _zero_point(c, zero, rounded.dtype, shape, axis, block_size)
    whole = sn.clip(rounded, low, high)
    if to <= 5:
        return whole.astype(dtype_of(c, to))
    return Known(
        c.host(whole, "the operand").astype("int8" if low else "uint8").astype(numpy_dtype(to))
    )


def _zero_point(
    c: Call, zero: Any, dtype: Any, shape: tuple[int, ...], axis: int, block: int
) -> Any:
    if isinstance(zero, Known) and not has_dtype(zero.array):
        return _spread(c, to_tensor(zero.array.astype("float32")).astype(dtype), shape, axis, block)
    return _spread(c, c.tensor(zero).astype(dtype), shape, axis, block)


@op("DequantizeLinear", raw=True)
def _dequantize(
    c: Call,
    x: Any,
    scale: Any,
    zero: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Any:
    st = c.tensor(scale)
    result = dtype_of(c, output_dtype) if output_dtype else st.dtype
    small = isinstance(x, Known) and not has_dtype(x.array)
    xt = to_tensor(x.array.astype("float32")) if small else c.tensor(x)
    shape = xt.shape
    if zero is not None:
        if not small and xt.dtype != sn.int64:
            # The difference is exact in 32 bits, and only then rounded.
            xt = xt.astype(sn.int32) - _zero_point(c, zero, sn.int32, shape, axis, block_size)
        else:
            xt = xt - _zero_point(c, zero, xt.dtype, shape, axis, block_size)
    working = sn.float32 if st.dtype in (sn.float16, sn.bfloat16) else st.dtype
    y = xt.astype(working) * _spread(c, st.astype(working), shape, axis, block_size)
    return y.astype(result)


@op("DynamicQuantizeLinear")
def _dynamic_quantize(c: Call, x: Any) -> Any:
    low = sn.minimum(sn.min(x), 0)
    high = sn.maximum(sn.max(x), 0)
    scale = (high - low) / 255
    safe = sn.where(scale == 0, 1, scale)
    zero = sn.clip(sn.round(-low / safe), 0, 255)
    y = sn.clip(sn.round(x / safe) + zero, 0, 255)
    return y.astype(sn.uint8), scale, zero.astype(sn.uint8)


def _exact_float(count: int) -> Any:
    """The float that holds sums of `count` products of bytes."""
    return sn.float32 if count * 255 * 255 < 2**24 else sn.float64


def _rows(v: Any, rank: int) -> Any:
    """A zero point or scale of the first operand: a number, or one for each row."""
    return v.reshape((-1, 1)) if v.ndim == 1 and v.size > 1 and rank > 1 else v


def _integer_matmul(a: Any, b: Any, a_zero: Any, b_zero: Any) -> Any:
    exact = _exact_float(a.shape[-1] * 4)
    x, y = a.astype(exact), b.astype(exact)
    if a_zero is not None:
        x = x - _rows(a_zero.astype(exact), a.ndim)
    if b_zero is not None:
        y = y - b_zero.astype(exact)
    return sn.matmul(x, y)


@op("MatMulInteger")
def _matmul_integer(c: Call, a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
    return _integer_matmul(a, b, a_zero, b_zero).astype(sn.int32)


def _requantize(total: Any, scale: Any, zero: Any) -> Any:
    low, high = (-128, 127) if zero.dtype == sn.int8 else (0, 255)
    rounded = sn.round(total.astype(sn.float32) * scale) + zero.astype(sn.float32)
    return sn.clip(rounded, low, high).astype(zero.dtype)


@op("QLinearMatMul")
def _qlinear_matmul(
    c: Call, a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any, y_scale: Any,
    y_zero: Any,
) -> Any:  # fmt: skip
    total = _integer_matmul(a, b, a_zero, b_zero)
    sa, sb, sy = (s.astype(sn.float32) for s in (a_scale, b_scale, y_scale))
    return _requantize(total, _rows(sa, a.ndim) * sb / _rows(sy, a.ndim), _rows(y_zero, a.ndim))


def _integer_conv(
    c: Call, x: Any, w: Any, x_zero: Any, w_zero: Any, options: dict[str, Any]
) -> Any:
    exact = _exact_float(4 * product(w.shape[1:]))
    xs, ws = x.astype(exact), w.astype(exact)
    if x_zero is not None:
        xs = xs - x_zero.astype(exact).reshape(())
    if w_zero is not None:
        z = w_zero.astype(exact)
        ws = ws - (z.reshape((-1,) + (1,) * (w.ndim - 1)) if z.size > 1 else z.reshape(()))
    return convolution(c, xs, ws, None, **options)


@op("ConvInteger")
def _conv_integer(
    c: Call, x: Any, w: Any, x_zero: Any = None, w_zero: Any = None, **options: Any
) -> Any:
    return _integer_conv(c, x, w, x_zero, w_zero, options).astype(sn.int32)


@op("QLinearConv")
def _qlinear_conv(
    c: Call, x: Any, x_scale: Any, x_zero: Any, w: Any, w_scale: Any, w_zero: Any, y_scale: Any,
    y_zero: Any, bias: Any = None, **options: Any,
) -> Any:  # fmt: skip
    total = _integer_conv(c, x, w, x_zero, w_zero, options)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    if bias is not None:
        total = total + bias.astype(total.dtype).reshape(shape)
    scale = x_scale.reshape(()) * w_scale / y_scale.reshape(())
    scale = scale.reshape(shape) if scale.size > 1 else scale.reshape(())
    return _requantize(total, scale, y_zero.reshape(()))
