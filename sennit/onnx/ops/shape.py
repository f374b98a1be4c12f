"""Operators that move elements: shapes, axes, slices, joins."""

from __future__ import annotations

from typing import Any

import sennit as sn

from .._interpret import Call, shape_tensor
from .._registry import op
from .._values import Known, to_tensor
from ._common import axes_of, axis_of, dtype_of, ints, limited, numpy_dtype, product

_LARGE = 65536  # elements: more than that is made as a tensor
_ENDLESS = 2**31 - 1  # a place in a tensor that stands for its end


@op("Identity", raw=True)
def _identity(c: Call, x: Any) -> Any:
    return x


@op("Constant", raw=True)
def _constant(
    c: Call,
    *,
    value: Any = None,
    sparse_value: Any = None,
    value_float: float | None = None,
    value_floats: list[float] | None = None,
    value_int: int | None = None,
    value_ints: list[int] | None = None,
    value_string: str | None = None,
    value_strings: list[str] | None = None,
) -> Any:
    import numpy as np

    for given in (value, sparse_value):
        if given is not None:
            return Known(given)
    for numbers, dtype in (
        (value_float, np.float32), (value_floats, np.float32), (value_int, np.int64),
        (value_ints, np.int64), (value_string, object), (value_strings, object),
    ):  # fmt: skip
        if numbers is not None:
            return Known(np.asarray(numbers, dtype))
    raise c.invalid("it has no value")


@op("Shape", raw=True)
def _shape(c: Call, x: Any, *, start: int = 0, end: int | None = None) -> Any:
    import numpy as np

    rank = len(x.shape)
    first = min(max(start + rank if start < 0 else start, 0), rank)
    last = rank if end is None else min(max(end + rank if end < 0 else end, 0), rank)
    sizes = np.asarray(x.shape[first:last], np.int64)
    if isinstance(x, Known) and not x.sized:
        return Known(sizes)
    return Known(sizes, lambda: shape_tensor(c.tensor(x), first, last), number=False, sized=True)


@op("Size", raw=True)
def _size(c: Call, x: Any) -> Any:
    import numpy as np

    size = np.asarray(product(x.shape), np.int64)
    if isinstance(x, Known) and not x.sized:
        return Known(size)
    return Known(size, lambda: sn.prod(shape_tensor(c.tensor(x), 0, len(x.shape))), False, True)


@op("Reshape", numbers=(1,), host=True)
def _reshape(
    c: Call, x: Any, target: Any = None, *, allowzero: int = 0, shape: list[int] | None = None
) -> Any:
    sizes = ints(target) if target is not None else list(shape or [])
    if not allowzero:
        for k, size in enumerate(sizes):
            if int(size) == 0:
                if k >= x.ndim:
                    raise c.invalid(f"the shape {sizes} copies axis {k} of an input of {x.shape}")
                sizes[k] = x.shape[k]
    plain = [int(s) for s in sizes]
    if plain.count(-1) > 1 or min(plain, default=0) < -1:
        raise c.invalid(f"the shape is {plain}; one size may be -1, the others 0 or more")
    if -1 in plain:
        at = plain.index(-1)
        rest = product(sizes[:at] + sizes[at + 1 :])
        count = product(x.shape)
        if int(rest) == 0 or int(count) % int(rest):
            raise c.invalid(f"an input of shape {tuple(x.shape)} has no shape {plain}")
        sizes[at] = count // rest
    return c.xp.reshape(x, tuple(sizes))


@op("Flatten", host=True)
def _flatten(c: Call, x: Any, *, axis: int = 1) -> Any:
    k = axis + x.ndim if axis < 0 else axis
    return c.xp.reshape(x, (product(x.shape[:k]), product(x.shape[k:])))


@op("Squeeze", numbers=(1,), host=True)
def _squeeze(c: Call, x: Any, given: Any = None, *, axes: list[int] | None = None) -> Any:
    chosen = ints(given) if given is not None else axes
    if chosen is None:
        where = [k for k, n in enumerate(x.shape) if n == 1]
    else:
        where = axes_of(c, chosen, x.ndim)
    for k in where:
        if x.shape[k] != 1:
            raise c.invalid(f"axis {k} of shape {tuple(x.shape)} is squeezed; its size must be 1")
    return c.xp.reshape(x, tuple(n for k, n in enumerate(x.shape) if k not in where))


@op("Unsqueeze", numbers=(1,), host=True)
def _unsqueeze(c: Call, x: Any, given: Any = None, *, axes: list[int] | None = None) -> Any:
    chosen = ints(given) if given is not None else list(axes or [])
    where = axes_of(c, chosen, x.ndim + len(chosen))
    if len(set(where)) != len(where):
        raise c.invalid(f"the axes {chosen} name one twice")
    sizes = list(x.shape)
    for k in sorted(where):
        sizes.insert(k, 1)
    return c.xp.reshape(x, tuple(sizes))


@op("Transpose", host=True)
def _transpose(c: Call, x: Any, *, perm: list[int] | None = None) -> Any:
    axes = list(range(x.ndim))[::-1] if perm is None else perm
    return c.xp.permute_dims(x, tuple(axes))


@op("Concat", host=True)
def _concat(c: Call, *values: Any, axis: int = 1) -> Any:
    return c.xp.concat(list(values), axis=axis_of(c, axis, values[0].ndim))


@op("Split", numbers=(1,), host=True)
def _split(
    c: Call,
    x: Any,
    given: Any = None,
    *,
    axis: int = 0,
    split: list[int] | None = None,
    num_outputs: int | None = None,
) -> Any:
    axis = axis_of(c, axis, x.ndim)
    total = x.shape[axis]
    sizes = ints(given) if given is not None else split
    if sizes is None:
        count = num_outputs or len(c.outputs)
        part = -(-total // count)
        sizes = [max(min(part, total - k * part), 0) for k in range(count)]
    if sum(sizes) != total or min(sizes, default=0) < 0:
        raise c.invalid(f"the parts {sizes} do not add up to size {total} of axis {axis}")
    parts = []
    start = 0
    for size in sizes:
        index = [slice(None)] * axis + [slice(start, start + size)]
        parts.append(x[tuple(index)])
        start += size
    return tuple(parts)


@op("Slice", numbers=(1, 2, 3, 4), host=True)
def _slice(
    c: Call,
    x: Any,
    first: Any = None,
    last: Any = None,
    where: Any = None,
    step: Any = None,
    *,
    starts: list[int] | None = None,
    ends: list[int] | None = None,
    axes: list[int] | None = None,
) -> Any:
    begin = ints(first) if first is not None else list(starts or [])
    stop = ints(last) if last is not None else list(ends or [])
    chosen = ints(where) if where is not None else (axes or list(range(len(begin))))
    steps = ints(step) if step is not None else [1] * len(begin)
    if not len(begin) == len(stop) == len(chosen) == len(steps):
        raise c.invalid(
            f"{len(begin)} starts, {len(stop)} ends, {len(chosen)} axes and {len(steps)} steps are "
            "given; they must be as many"
        )
    index: list[Any] = [slice(None)] * x.ndim
    for k, a, b, s in zip(axes_of(c, chosen, x.ndim), begin, stop, steps, strict=True):
        if s == 0:
            raise c.invalid("a step is 0")
        n = x.shape[k]
        a, b = _within(a, n), _within(b, n)
        if s > 0:
            index[k] = slice(min(max(a, 0), n), min(max(b, 0), n), s)
        else:
            a, b = min(max(a, -1), n - 1), min(max(b, -1), n - 1)
            index[k] = slice(a, None if b < 0 else b, s) if a >= 0 else slice(0, 0, 1)
    return x[tuple(index)]


def _within(place: int, size: int) -> int:
    """A start or end, counted from the front. Exporters write the largest int for the end."""
    if int(place) >= _ENDLESS:
        return size
    if int(place) <= -_ENDLESS:
        return -1
    return place + size if place < 0 else place


@op("Expand", numbers=(1,), host=True)
def _expand(c: Call, x: Any, shape: Any) -> Any:
    sizes = ints(shape)
    given = list(x.shape)
    rank = max(len(sizes), len(given))
    given = [1] * (rank - len(given)) + given
    sizes = [1] * (rank - len(sizes)) + sizes
    result = []
    for a, b in zip(given, sizes, strict=True):
        # No size decides which of the two it is: equal ones are equal, and 1 gives way.
        if int(a) == int(b) or int(b) == 1:
            result.append(a)
        elif int(a) == 1:
            result.append(b)
        else:
            raise c.invalid(f"shape {tuple(x.shape)} does not expand to {tuple(sizes)}")
    if c.xp is not sn:
        if int(product(result)) <= _LARGE:
            return c.xp.broadcast_to(x, tuple(map(int, result)))
        x = to_tensor(x)
    return sn.broadcast_to(x, tuple(result))


@op("Tile", numbers=(1,), host=True)
def _tile(c: Call, x: Any, repeats: Any) -> Any:
    counts = ints(repeats)
    if len(counts) != x.ndim:
        raise c.invalid(f"{len(counts)} repeats are given for rank {x.ndim}")
    if c.xp is not sn:
        if int(product(counts) * product(x.shape)) <= _LARGE:
            return c.xp.tile(x, tuple(map(int, counts)))
        x = to_tensor(x)
    return sn.tile(x, tuple(counts))


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@op("Pad", numbers=(1, 3), host=False)
def _pad(
    c: Call,
    x: Any,
    given: Any = None,
    fill: Any = None,
    where: Any = None,
    *,
    mode: str = "constant",
    pads: list[int] | None = None,
    paddings: list[int] | None = None,
    value: float = 0.0,
) -> Any:
    amounts = ints(given) if given is not None else list(pads or paddings or [])
    axes = axes_of(c, ints(where), x.ndim) if where is not None else list(range(x.ndim))
    if len(amounts) != 2 * len(axes):
        raise c.invalid(f"{len(amounts)} pads are given for {len(axes)} axes")
    if mode not in _PAD_MODES:
        raise c.invalid(f"the mode is {mode!r}; it must be one of {', '.join(_PAD_MODES)}")
    pairs = {k: (amounts[i], amounts[i + len(axes)]) for i, k in enumerate(axes)}
    if mode == "constant":
        return pad_constant(
            x, [pairs.get(k, (0, 0)) for k in range(x.ndim)], value if fill is None else fill
        )
    least = {"reflect": 1, "edge": 0, "wrap": 0}[mode]
    fits = all(
        min(before, after) >= 0 and (mode == "edge" or max(before, after) + least <= x.shape[k])
        for k, (before, after) in pairs.items()
    )
    if fits and product(x.shape):
        order = _torch_order([pairs.get(k, (0, 0)) for k in range(x.ndim)])
        return sn.pad(x, order, _PAD_MODES[mode]) if order else x
    for k, (before, after) in pairs.items():
        if before or after:
            x = _pad_axis(c, x, k, before, after, mode)
    return x


def pad_constant(x: Any, pairs: list[tuple[int, int]], value: Any = 0) -> Any:
    """Pads (or cuts, where negative) each axis; `value` may be a tensor of one element."""
    if not any(a or b for a, b in pairs):
        return x
    if not isinstance(value, int | float | bool):
        if value.size != 1:
            raise ValueError(f"the value to pad with has shape {tuple(value.shape)}")
        full = sn.pad(sn.ones(x.shape, dtype=sn.bool), _torch_order(pairs), "constant", False)
        plain = sn.pad(x, _torch_order(pairs), "constant", 0)
        return sn.where(full, plain, value.reshape(()).astype(x.dtype))
    return sn.pad(x, _torch_order(pairs), "constant", value)


def _torch_order(pairs: list[tuple[int, int]]) -> list[int]:
    """The last axis first, without leading axes that keep their size."""
    kept = pairs
    while kept and kept[0] == (0, 0):
        kept = kept[1:]
    return [n for pair in reversed(kept) for n in pair]


def _pad_axis(c: Call, x: Any, axis: int, before: int, after: int, mode: str) -> Any:
    """Other modes are a choice of indices."""
    import numpy as np

    n = x.shape[axis]
    limited(before + int(n) + after)
    where = np.arange(-before, n + after)
    if n == 0 and len(where):
        raise c.invalid(f"axis {axis} of shape {tuple(x.shape)} is empty and cannot be padded")
    if mode == "edge":
        where = where.clip(0, n - 1)
    elif mode == "wrap":
        where %= max(n, 1)
    elif n > 1:
        period = 2 * (n - 1)
        where %= period
        where = np.where(where >= n, period - where, where)
    else:
        where[:] = 0
    return sn.take(x, to_tensor(where), axis=axis)


@op("ConstantOfShape", numbers=(0,), host=True)
def _constant_of_shape(c: Call, shape: Any, *, value: Any = None) -> Any:
    import numpy as np

    sizes = tuple(ints(shape))
    if min(map(int, sizes), default=0) < 0:
        raise c.invalid(f"the shape is {sizes}; sizes must be 0 or more")
    array = np.zeros(1, np.float32) if value is None else value
    if c.xp is not sn and int(product(sizes)) <= _LARGE:
        return np.full(tuple(map(int, sizes)), array.reshape(-1)[0], array.dtype)
    number = array.reshape(-1)[0].item()
    return sn.full(sizes, number, dtype=getattr(sn, array.dtype.name))


@op("Range", numbers=(0, 1, 2), host=True)
def _range(c: Call, start: Any, limit: Any, delta: Any, *, stash_type: int = 1) -> Any:
    import numpy as np

    dtype = start.dtype
    whole = "float" not in dtype.name
    if whole:
        a, b, d = (ints(v)[0] for v in (start, limit, delta))
    else:
        a, b, d = (v.reshape(-1)[0].astype(np.float64).item() for v in (start, limit, delta))
    if d == 0:
        raise c.invalid("the step of a range is 0")
    count = max(-(-(b - a) // d) if whole else int(np.ceil((b - a) / d)), 0)
    if c.xp is not sn and int(count) <= _LARGE:
        steps = np.arange(int(count))
        first, step = (int(a), int(d)) if whole else (a, d)
        return (first + (steps if whole else steps.astype(np.float64)) * step).astype(dtype)
    if whole:
        return sn.arange(a, a + count * d, d, dtype=getattr(sn, dtype.name))
    return (sn.arange(count, dtype=sn.float64) * d + a).astype(getattr(sn, dtype.name))


@op("EyeLike", raw=True)
def _eye_like(c: Call, x: Any, *, dtype: int | None = None, k: int = 0) -> Any:
    if len(x.shape) != 2:
        raise c.invalid(f"the input has shape {tuple(x.shape)}; it must be a matrix")
    kind = dtype_of(c, dtype) if dtype else c.tensor(x).dtype
    return sn.eye(x.shape[0], x.shape[1], k, dtype=kind)


@op("Trilu", numbers=(1,))
def _trilu(c: Call, x: Any, k: Any = None, *, upper: int = 1) -> Any:
    offset = 0 if k is None else int(k.item())
    bound = x.shape[-1] + x.shape[-2]
    offset = min(max(offset, -bound), bound)
    return sn.triu(x, offset) if upper else sn.tril(x, offset)


@op("DepthToSpace")
def _depth_to_space(c: Call, x: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    n, depth, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        parts = x.reshape((n, b, b, depth // (b * b), h, w)).permute_dims((0, 3, 4, 1, 5, 2))
    else:
        parts = x.reshape((n, depth // (b * b), b, b, h, w)).permute_dims((0, 1, 4, 2, 5, 3))
    return parts.reshape((n, depth // (b * b), h * b, w * b))


@op("SpaceToDepth")
def _space_to_depth(c: Call, x: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    n, depth, h, w = x.shape
    b = blocksize
    parts = x.reshape((n, depth, h // b, b, w // b, b))
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return parts.permute_dims(order).reshape((n, depth * b * b, h // b, w // b))


@op("ReverseSequence")
def _reverse_sequence(
    c: Call, x: Any, lengths: Any, *, batch_axis: int = 1, time_axis: int = 0
) -> Any:
    batch_axis, time_axis = axis_of(c, batch_axis, x.ndim), axis_of(c, time_axis, x.ndim)
    steps = [1] * x.ndim
    steps[time_axis] = x.shape[time_axis]
    rows = [1] * x.ndim
    rows[batch_axis] = x.shape[batch_axis]
    time = sn.arange(x.shape[time_axis]).reshape(steps)
    ends = lengths.astype(sn.int64).reshape(rows)
    index = sn.where(time < ends, ends - 1 - time, time)
    return sn.take_along_axis(x, sn.broadcast_to(index, x.shape), time_axis)


def empty_of(dtype: int, shape: tuple[int, ...]) -> Any:
    """An array of no elements in the dtype with ONNX's number."""
    import numpy as np

    return np.zeros(shape, numpy_dtype(dtype))
