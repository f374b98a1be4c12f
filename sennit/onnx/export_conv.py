"""Rules of convolutions and poolings, with their adjoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._graph import GraphNode, GraphValue
from .export_builder import Call, product, rule
from .export_movement import LAST
from .export_plan import Fused, Plan, same_shape
from .export_products import bias_of
from .export_sizes import Poly

__all__ = ["PATTERNS"]

# ---------------------------------------------------------------- convolution


def _with_bias(plan: Plan, node: GraphNode) -> Fused | None:
    """A convolution and what is added to each channel."""
    if node.op != "add":
        return None
    for i in (0, 1):
        result, bias = node.inputs[i], node.inputs[1 - i]
        made = plan.made_by(result, "conv") or plan.made_by(result, "conv_data_grad")
        if made is None or not isinstance(bias, GraphValue) or not plan.alone(result):
            continue
        shape = node.outputs[0].shape
        vector = bias_of(plan, bias, shape[1], len(shape))
        if vector is not None and same_shape(result.shape, shape):
            return Fused(_write_with_bias, [*made.inputs, vector], {"node": made})
    return None


def _write_with_bias(c: Call, f: Fused) -> str:
    inner = Call(c.b, f.facts["node"], c.plan)
    write = _write_conv if inner.node.op == "conv" else _write_data_grad
    return write(inner, c.b.name(f.reads[2]))


def _cropped(c: Call, x: str, rank: int, high: Sequence[int]) -> str:
    """x without what negative padding takes away at the high ends."""
    axes = [d for d, n in enumerate(high) if n < 0]
    if not axes:
        return x
    return str(
        c.op(
            "Slice",
            x,
            c.b.ints([0] * len(axes)),
            c.b.ints([high[d] for d in axes]),
            c.b.ints([rank + d - len(high) for d in axes]),
        )
    )


@rule("conv")
def _conv(c: Call) -> str:
    return _write_conv(c, "")


def _write_conv(c: Call, bias: str) -> str:
    low, high = list(c.attr("pad_low")), list(c.attr("pad_high"))
    x = _cropped(c, c.x(0), c.rank(), high)
    pads = low + [max(n, 0) for n in high]
    return str(
        c.op(
            "Conv", x, c.x(1), bias,
            strides=list(c.attr("stride")), dilations=list(c.attr("dilation")), pads=pads,
            group=c.attr("groups"), kernel_shape=list(c.shape(1)[2:]),
        )
    )  # fmt: skip


@rule("conv_data_grad")
def _conv_data_grad(c: Call) -> str:
    return _write_data_grad(c, "")


def _write_data_grad(c: Call, bias: str) -> str:
    return transposed(
        c, c.x(0), c.shape(0), c.x(1), c.shape(1)[2:], list(c.attr("stride")),
        list(c.attr("pad_low")), list(c.attr("pad_high")), list(c.attr("dilation")),
        c.attr("groups"), list(c.attr("spatial")), bias,
    )  # fmt: skip


def transposed(
    c: Call, g: str, shape: Sequence[Any], weight: str, kernel: Sequence[int],
    stride: list[int], low: list[int], high: list[int], dilation: list[int], groups: int,
    spatial: list[Any], bias: str = "",
) -> str:  # fmt: skip
    """The adjoint of a convolution with respect to its input of these spatial sizes."""
    n = len(stride)
    full = [
        (Poly.of(shape[d + 2]) - 1) * stride[d] + dilation[d] * (kernel[d] - 1) + 1
        for d in range(n)
    ]
    extra = [(Poly.of(spatial[d]) - (full[d] - low[d] - high[d])).constant for d in range(n)]
    geometry: dict[str, Any] = {
        "strides": stride, "dilations": dilation, "group": groups, "kernel_shape": list(kernel),
    }  # fmt: skip
    direct = all(
        e is not None and 0 <= e < max(stride[d], dilation[d]) and high[d] >= 0
        for d, e in enumerate(extra)
    )
    if direct:
        if any(extra):
            geometry["output_padding"] = extra
        return str(c.op("ConvTranspose", g, weight, bias, pads=low + high, **geometry))
    # All of it, with zeros behind it, and of that the part that was there before the padding.
    y = str(c.op("ConvTranspose", g, weight, bias, **geometry))
    behind = []
    for d in range(n):
        more = (Poly.of(spatial[d]) + low[d] - full[d]).constant
        behind.append(stride[d] - 1 + max(0, -high[d]) if more is None else max(more, 0))
    if any(behind):
        if bias:
            raise c.cannot("its output padding is larger than its stride; add the bias apart")
        y = str(c.op("Pad", y, c.b.ints([0] * (n + 2) + [0, 0, *behind])))
    stops = [Poly.of(low[d]) + spatial[d] for d in range(n)]
    axes = c.b.ints(list(range(2, n + 2)))
    return str(c.op("Slice", y, c.b.ints(low), c.b.sizes(stops), axes))


@rule("conv_weight_grad")
def _conv_weight_grad(c: Call) -> str:
    """A convolution of the input with the gradient, in which batch and channels change places."""
    x, g = c.x(0), c.x(1)
    n, groups = c.rank() - 2, c.attr("groups")
    stride, dilation = list(c.attr("stride")), list(c.attr("dilation"))
    low, high = list(c.attr("pad_low")), list(c.attr("pad_high"))
    kernel = list(c.attr("kernel"))
    batch, channels, *spatial = c.shape(0)
    x = _cropped(c, x, c.rank(), high)
    spatial = [Poly.of(s) + min(h, 0) for s, h in zip(spatial, high, strict=True)]
    high = [max(h, 0) for h in high]
    # What the last windows do not reach would give further rows of the kernel: they are cut off.
    rest = list(range(3, n + 3))
    x = c.b.reshape(x, [batch, groups, channels // groups, *spatial])
    x = c.op("Transpose", x, perm=[2, 1, 0, *rest])
    x = c.b.reshape(x, [channels // groups, Poly.of(batch) * groups, *spatial])
    g = c.op("Transpose", g, perm=[1, 0, *range(2, n + 2)])
    y = c.op("Conv", x, g, strides=dilation, dilations=stride, pads=low + high, group=groups)
    axes = c.b.ints(list(range(2, n + 2)))
    y = c.op("Slice", y, c.b.ints([0] * n), c.b.ints(kernel), axes)
    return str(c.op("Transpose", y, perm=[1, 0, *range(2, n + 2)]))


# ---------------------------------------------------------------- pooling


@rule("max_pool")
def _max_pool(c: Call) -> tuple[str, str]:
    pad, x, dtype = list(c.attr("pad")), c.x(0), c.dtype()
    wide = {"int16": "float32", "int32": "float64", "uint16": "float32", "uint32": "float64",
            "bfloat16": "float32"}.get(dtype, dtype)  # fmt: skip
    if wide in ("int64", "uint64"):
        raise c.cannot(f"ONNX has no MaxPool of {dtype}; convert to another dtype before it")
    x = x if wide == dtype else c.cast(x, wide)
    kernel, stride, dilation = (list(c.attr(k)) for k in ("kernel", "stride", "dilation"))
    high, ceil = list(pad), c.attr("ceil")
    if ceil:  # as much padding behind as the windows reach: versions of ceil_mode differ
        reach = [
            (Poly.of(out) - 1) * s + d * (k - 1) + 1 - Poly.of(size) - p
            for out, size, k, s, d, p in zip(
                c.out_shape()[2:], c.shape()[2:], kernel, stride, dilation, pad, strict=True
            )
        ]
        behind = [LAST if r.constant is None else max(r.constant, 0) for r in reach]
        if all(n < k for n, k in zip(behind, kernel, strict=True)):  # as ONNX wants it
            high, ceil = behind, False
    geometry: dict[str, Any] = {
        "kernel_shape": kernel, "strides": stride, "pads": pad + high, "dilations": dilation,
        "ceil_mode": int(ceil),
    }  # fmt: skip
    first = c.b.ints([0] * len(kernel)), c.b.sizes(c.out_shape()[2:]) if ceil else ""
    axes = c.b.ints(list(range(2, len(kernel) + 2)))
    if not c.used(1):
        y = str(c.op("MaxPool", x, **geometry))
        y = c.op("Slice", y, *first, axes) if ceil else y
        return (y if wide == dtype else c.cast(y, dtype)), ""
    y, index = c.op("MaxPool", x, outputs=2, **geometry)
    if ceil:  # a window that begins behind the end may be there, or not
        y, index = (c.op("Slice", t, *first, axes) for t in (y, index))
    # ONNX counts through all images and channels.
    index = c.op("Mod", index, c.b.size(product(c.shape()[2:])))
    return (y if wide == dtype else c.cast(y, dtype)), index


@rule("max_pool_grad")
def _max_pool_grad(c: Call) -> str:
    batch, channels = c.shape(0)[:2]
    spatial = list(c.attr("spatial"))
    flat = [batch, channels, product(c.shape(0)[2:])]
    zeros = c.op("Expand", c.const(0.0, c.dtype()), c.b.sizes([batch, channels, product(spatial)]))
    y = c.op(
        "ScatterElements", zeros, c.b.reshape(c.x(1), flat), c.b.reshape(c.x(0), flat),
        axis=2, reduction="add",
    )  # fmt: skip
    return c.b.reshape(y, [batch, channels, *spatial])


def _sums(c: Call, x: str, pads: Sequence[int], sizes: Sequence[Any]) -> str:
    """Means over whole windows of x with zeros around it; the first `sizes` of them."""
    n = len(c.attr("kernel"))
    if any(pads):
        x = c.op("Pad", x, c.b.ints([0, 0, *pads[:n], 0, 0, *pads[n:]]))
    y = c.op("AveragePool", x, kernel_shape=list(c.attr("kernel")), strides=list(c.attr("stride")))
    axes = c.b.ints(list(range(2, n + 2)))
    return str(c.op("Slice", y, c.b.ints([0] * n), c.b.sizes(sizes), axes))


def _shares(c: Call, spatial: Sequence[Any], out: Sequence[Any], dtype: str) -> str:
    """Which share of each window counts, (1, 1, out...)."""
    pad, stride = list(c.attr("pad")), list(c.attr("stride"))
    around = pad if c.attr("include_pad") else [0] * len(pad)
    ones = [1, 1, *(Poly.of(s) + 2 * a for s, a in zip(spatial, around, strict=True))]
    left = [p - a for p, a in zip(pad, around, strict=True)]
    right = [n + s - 1 for n, s in zip(left, stride, strict=True)]
    one = c.op("Expand", c.const(1.0, dtype), c.b.sizes(ones))
    return _sums(c, one, left + right, out)


@rule("avg_pool")
def _avg_pool(c: Call) -> str:
    pad, kernel = list(c.attr("pad")), list(c.attr("kernel"))
    include, divisor = c.attr("include_pad"), c.attr("divisor")
    if not c.attr("ceil"):
        y = c.op(
            "AveragePool", c.x(0), kernel_shape=kernel, strides=list(c.attr("stride")),
            pads=pad + pad, count_include_pad=int(include or divisor != 0),
        )  # fmt: skip
        return str(c.op("Mul", y, c.num(float(np.prod(kernel)) / divisor)) if divisor else y)
    # Runtimes differ in what windows that hang over count: this is written out.
    stride, out = list(c.attr("stride")), c.out_shape()[2:]
    right = [p + s - 1 for p, s in zip(pad, stride, strict=True)]
    y = _sums(c, c.x(0), pad + right, out)
    if divisor:
        return str(c.op("Mul", y, c.num(float(np.prod(kernel)) / divisor)))
    return str(c.op("Div", y, _shares(c, c.shape()[2:], out, c.dtype())))


@rule("avg_pool_grad")
def _avg_pool_grad(c: Call) -> str:
    kernel, spatial, dtype = list(c.attr("kernel")), list(c.attr("spatial")), c.dtype()
    pad, divisor = list(c.attr("pad")), c.attr("divisor")
    channels = c.shape()[1]
    if not isinstance(channels, int):
        raise c.cannot("the number of channels is an open size; make it a number")
    g = c.x(0)
    size = float(np.prod(kernel))
    if divisor:
        g = c.op("Div", g, c.num(float(divisor)))
    elif c.attr("include_pad") and not c.attr("ceil"):
        g = c.op("Div", g, c.num(size))
    else:
        share = _shares(c, spatial, c.shape()[2:], dtype)
        g = c.op("Div", g, c.op("Mul", share, c.num(size)))
    ones = c.const(np.ones((channels, 1, *kernel)), dtype)
    n = len(kernel)
    return transposed(
        c, g, c.shape(), ones, kernel, list(c.attr("stride")), pad, pad, [1] * n, channels, spatial
    )


PATTERNS = [_with_bias]
