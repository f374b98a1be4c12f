"""Rules of operations that place elements, and of those that make tensors from numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import numpy_helper

from .export_builder import FLOATS, Call, numpy_dtype, product, rule, without
from .export_plan import same_shape
from .export_sizes import OpenFloat, Poly

LAST, FIRST = 2**63 - 1, -(2**63)  # where a slice means "to the end", forwards and backwards
# Ranges of at most so many numbers are written as constants.
LISTED = 4096


@rule("reshape")
def _reshape(c: Call) -> str:
    return reshaped(c, c.x(0), c.shape(), c.out_shape())


def reshaped(c: Call, x: str, before: Sequence[Any], after: Sequence[Any]) -> str:
    """A reshape that runs for all open sizes, with as little arithmetic on sizes as there can be:
    one open size is a -1, and others are copied (0) where they stand in the same place."""
    polys = [Poly.of(s) for s in after]
    open_ones = [i for i, p in enumerate(polys) if p.constant is None]
    if len(open_ones) <= 1 or any(p.constant == 0 for p in polys):
        return c.b.reshape(x, after)
    wanted: list[Any] = list(polys)
    left = []
    for i in open_ones:
        if i < len(before) and Poly.of(before[i]) == polys[i]:
            wanted[i] = 0
        else:
            left.append(i)
    if len(left) > 1:
        return c.b.reshape(x, after)
    if left:
        wanted[left[0]] = -1
    return str(c.op("Reshape", x, c.b.sizes(wanted)))


@rule("permute")
def _permute(c: Call) -> str:
    return str(c.op("Transpose", c.x(0), perm=list(c.attr("axes"))))


@rule("expand")
def _expand(c: Call) -> str:
    return expanded(c, c.x(0), c.shape(), c.out_shape())


def expanded(c: Call, x: str, before: Sequence[Any], after: Sequence[Any]) -> str:
    """x repeated; sizes that stay are written as 1, which keeps them."""
    wanted: list[Any] = list(after)
    shift = len(after) - len(before)
    for i, size in enumerate(before):
        if Poly.of(size) == Poly.of(after[shift + i]):
            wanted[shift + i] = 1
    return str(c.op("Expand", x, c.b.sizes(wanted)))


@rule("contiguous", "barrier")
def _same(c: Call) -> str:
    return str(c.op("Identity", c.x(0)))


# ---------------------------------------------------------------- parts


def region(c: Call, first: int, shape: Sequence[Any]) -> list[tuple[int, Any, Any, int]]:
    """Axis, start, size and step where a box is not all of the axis; starts are the operands from
    `first` on."""
    found = []
    steps, sizes = c.attr("steps"), c.attr("sizes")
    for axis, (size, step, whole) in enumerate(zip(sizes, steps, shape, strict=True)):
        start = c.raw(first + axis)
        if step == 1 and Poly.of(size) == Poly.of(whole):
            continue
        found.append((axis, start, size, step))
    return found


@rule("slice")
def _slice(c: Call) -> str:
    parts = region(c, 1, c.shape())
    if not parts:
        return str(c.op("Identity", c.x(0)))
    starts, stops = [], []
    for axis, start, size, step in parts:
        from_, stop = slice_ends(start, size, step, c.shape()[axis])
        starts.append(from_)
        stops.append(stop)
    axes, steps = [p[0] for p in parts], [p[3] for p in parts]
    more = (c.b.ints(steps),) if any(s != 1 for s in steps) else ()
    return str(c.op("Slice", c.x(0), c.b.sizes(starts), c.b.sizes(stops), c.b.ints(axes), *more))


def slice_ends(start: Any, size: Any, step: int, whole: Any) -> tuple[Any, Any]:
    """Start and stop as ONNX takes them: negative ones count from the end."""
    if Poly.of(size).constant == 0:
        return 0, 0
    after = Poly.of(start) + (Poly.of(size) - 1) * step + (1 if step > 0 else -1)
    if step > 0:
        return start, LAST if after == Poly.of(whole) else after
    if after.constant is not None:
        return start, FIRST if after.constant < 0 else after
    return start, after - Poly.of(whole)  # -1 would be the last element; below that, it is clamped


@rule("slice_update")
def _slice_update(c: Call) -> str:
    x, shape = c.x(0), list(c.shape())
    parts = region(c, 2, shape)
    box = list(shape)
    for axis, _, size, _ in parts:
        box[axis] = size
    dtype = c.dtype()
    if any(Poly.of(size).constant == 0 for size in box):
        return str(c.op("Identity", x))
    part = c.x(1, dtype)
    given = c.shape(1) if c.is_tensor(1) else ()
    if not same_shape(given, box):
        part = expanded(c, part, given, box)
    return _updated(c, x, shape, part, parts)


def _updated(
    c: Call, x: str, shape: list[Any], part: str, parts: list[tuple[int, Any, Any, int]]
) -> str:
    """Axis by axis: the slab that the box lies in is updated, and joined to what is around it."""
    if not parts:
        return part
    (axis, start, size, step), rest = parts[0], parts[1:]
    slab_shape = [*shape[:axis], size, *shape[axis + 1 :]]
    if rest:
        from_, stop = slice_ends(start, size, step, shape[axis])
        slab = c.op("Slice", x, c.b.size(from_), c.b.size(stop), c.b.ints([axis]), c.b.ints([step]))
        part = _updated(c, slab, slab_shape, part, rest)
    if step == 1:
        pieces = [part]
        if Poly.of(start).constant != 0:
            pieces.insert(0, c.b.slice(x, axis, 0, start))
        after = Poly.of(start) + size
        if after != Poly.of(shape[axis]):
            pieces.append(c.b.slice(x, axis, after, LAST))
        return str(c.op("Concat", *pieces, axis=axis)) if len(pieces) > 1 else part
    places = integers(c, start, step, size)
    index = c.b.reshape(places, [size if i == axis else 1 for i in range(len(shape))])
    index = str(c.op("Expand", index, c.b.sizes(slab_shape)))
    return str(c.op("ScatterElements", x, index, part, axis=axis))


@rule("concat")
def _concat(c: Call) -> str:
    return str(c.op("Concat", *(c.x(i) for i in range(c.count)), axis=c.attr("axis")))


@rule("pad")
def _pad(c: Call) -> str:
    return str(c.op("Pad", c.x(0), c.b.sizes([*c.attr("low"), *c.attr("high")]), c.x(1)))


# ---------------------------------------------------------------- from numbers


def integers(c: Call, start: Any, step: Any, count: Any) -> str:
    """start + i * step for i in [0, count), int64; any of the three may be open."""
    parts = [Poly.of(v).constant for v in (start, step, count)]
    if None not in parts and parts[2] <= LISTED:  # type: ignore[operator]
        return c.b.ints([parts[0] + i * parts[1] for i in range(parts[2])])  # type: ignore
    zero, one = c.const(0, "int64"), c.const(1, "int64")
    made = c.op("Range", zero, c.b.squeeze(c.b.size(count), 0), one)
    if parts[1] != 1:
        made = c.op("Mul", made, c.b.size(step))
    return str(made if parts[0] == 0 else c.op("Add", made, c.b.size(start)))


@rule("full")
def _full(c: Call) -> str:
    dtype, shape = c.out_dtype(), c.out_shape()
    value = c.number(0)
    if not shape:
        return c.cast(c.x(0), dtype) if c.is_tensor(0) else c.x(0, dtype)
    if value is None:
        one = c.cast(c.x(0), dtype) if c.is_tensor(0) and c.dtype() != dtype else c.x(0, dtype)
        return str(c.op("Expand", one, c.b.sizes(shape)))
    array = np.asarray([value]).astype(numpy_dtype(dtype))
    return str(c.op("ConstantOfShape", c.b.sizes(shape), value=numpy_helper.from_array(array)))


def _line(c: Call, count: Any, dtype: str, start: Any, step: Any) -> str:
    """start + i * step in float64, rounded once; or in int64."""
    numbers = all(isinstance(v, int | float) for v in (start, step))
    exact = dtype not in FLOATS
    if numbers and isinstance(count, int) and count <= LISTED:
        i = np.arange(count, dtype=np.int64 if exact else np.float64)
        return c.const(start + i * step, dtype)
    if exact:
        made = integers(c, start, step, count)
        return made if dtype == "int64" else c.cast(made, dtype)
    i64 = c.cast(integers(c, 0, 1, count), "float64")

    def number(v: Any) -> str:
        if isinstance(v, int | float):
            return c.const(v, "float64")
        return (
            c.b.real(v, "float64") if isinstance(v, OpenFloat) else c.cast(c.b.size(v), "float64")
        )

    made = c.op("Add", c.op("Mul", i64, number(step)), number(start))
    return made if dtype == "float64" else c.cast(made, dtype)


@rule("arange")
def _arange(c: Call) -> str:
    count = c.attr("count")
    return _line(c, count, c.out_dtype(), c.raw(0), c.raw(1))


@rule("linspace")
def _linspace(c: Call) -> str:
    count, end = c.attr("count"), c.attr("endpoint")
    start, stop, dtype = c.raw(0), c.raw(1), c.out_dtype()
    if isinstance(count, int) and isinstance(start, int | float) and isinstance(stop, int | float):
        return c.const(np.linspace(start, stop, count, endpoint=end), dtype)
    span = c.b.squeeze(c.b.size(Poly.of(count) - (1 if end else 0)), 0)
    span = c.op("Max", c.cast(span, "float64"), c.const(1.0, "float64"))
    i64 = c.cast(integers(c, 0, 1, count), "float64")
    share = c.op("Div", i64, span)
    if not isinstance(start, int | float) or not isinstance(stop, int | float):
        raise c.cannot("its ends depend on open sizes; give them as numbers")
    # Both ends are exact: the nearer one is where it counts from.
    near = c.op("Less", share, c.const(0.5, "float64"))
    width = c.const(stop - start, "float64")
    from_start = c.op("Add", c.op("Mul", share, width), c.const(start, "float64"))
    back = c.op("Mul", c.op("Sub", c.const(1.0, "float64"), share), width)
    from_stop = c.op("Sub", c.const(stop, "float64"), back)
    return c.cast(c.op("Where", near, from_start, from_stop), dtype)


# ---------------------------------------------------------------- random numbers


def _drawn(c: Call, kind: str, dtype: str, shape: Sequence[Any], **attributes: Any) -> str:
    """A draw: of ONNX's own generator, so other numbers than here, of the same distribution."""
    from .export_builder import ONNX_DTYPES

    sizes = [Poly.of(s).constant for s in shape]
    if None not in sizes:
        return str(c.op(kind, shape=sizes, dtype=ONNX_DTYPES[dtype], **attributes))
    like = c.op("ConstantOfShape", c.b.sizes(shape))
    return str(c.op(f"{kind}Like", like, dtype=ONNX_DTYPES[dtype], **attributes))


def _between(c: Call, kind: str, ends: tuple[str, str]) -> str:
    """With ends that are numbers, as attributes; else of the standard distribution, and moved."""
    dtype = c.out_dtype()
    drawn = "float32" if dtype == "bfloat16" else dtype
    a, b = c.number(0), c.number(1)
    numbers = all(isinstance(v, int | float) for v in (a, b))
    given = dict(zip(ends, (float(a), float(b)), strict=True)) if numbers else {}
    x = _drawn(c, kind, drawn, c.out_shape(), **given)
    x = x if drawn == dtype else c.cast(x, dtype)
    if numbers:
        return x
    scale = c.x(1, dtype)
    if kind == "RandomUniform":
        scale = c.op("Sub", scale, c.x(0, dtype))
    return str(c.op("Add", c.op("Mul", x, scale), c.x(0, dtype)))


@rule("random_uniform")
def _uniform(c: Call) -> str:
    return _between(c, "RandomUniform", ("low", "high"))


@rule("random_normal")
def _normal(c: Call) -> str:
    return _between(c, "RandomNormal", ("mean", "scale"))


@rule("random_integers")
def _integers(c: Call) -> str:
    """The floor of a number between the ends; in float64 no integer up to 2**53 is left out."""
    low, high = c.x(0, "float64"), c.x(1, "float64")
    low, high = (
        c.cast(name, "float64") if c.is_tensor(i) else name for i, name in enumerate((low, high))
    )
    x = _drawn(c, "RandomUniform", "float64", c.out_shape(), low=0.0, high=1.0)
    x = c.op("Floor", c.op("Mul", x, c.op("Sub", high, low)))
    top = c.op("Sub", c.op("Sub", high, low), c.const(1.0, "float64"))
    return c.cast(c.op("Add", c.op("Min", x, top), low), c.out_dtype())


@rule("dropout_mask")
def _dropout_mask(c: Call) -> str:
    x = _drawn(c, "RandomUniform", "float32", c.out_shape(), low=0.0, high=1.0)
    p = c.cast(c.x(0), "float32") if c.is_tensor(0) else c.x(0, "float32")
    return str(c.op("GreaterOrEqual", x, p))


without(
    "ONNX has no operator that computes with complex numbers; export the real and the imaginary "
    "part as tensors of their own",
    "real", "imag", "complex",
)  # fmt: skip

__all__ = ["expanded", "integers", "product", "reshaped", "slice_ends"]
