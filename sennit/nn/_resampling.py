"""Functions of `sennit.nn.functional` that resample images: `interpolate`, `grid_sample` and their
kin, with PyTorch's names, argument orders and defaults.

`interpolate` goes axis by axis: each element of the result is a weighted sum of a few elements
along the axis, gathered by a table that depends on the sizes alone. So gradients of every order are
those of gathering and adding.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from typing import Any

from .. import _core
from .._errors import error
from .._sizes import tracing_sizes

_f = _core.functions
_take, _where = _f["take"], _f["where"]

__all__ = [
    "affine_grid",
    "grid_sample",
    "interpolate",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]

# How often a mode's name stands for an interpolation along one axis, and for which inputs.
_MODES = {
    "nearest": (3, 4, 5),
    "nearest-exact": (3, 4, 5),
    "area": (3, 4, 5),
    "linear": (3,),
    "bilinear": (4,),
    "bicubic": (4,),
    "trilinear": (5,),
}


def _cubic(t: Any, a: float) -> list[Any]:
    """The four weights of cubic convolution (Keys 1981) at t in [0, 1] behind the second point."""

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


@lru_cache(maxsize=128)
def _table(
    n: int, m: int, mode: str, align: bool, scale: float | None, antialias: bool, double: bool
) -> tuple[Any, Any]:
    """Positions (m, taps) and weights (m, taps) that make m elements of n; weights None: one tap
    as it is. In PyTorch's precision, so that positions next to a boundary fall on the same side."""
    import numpy as np  # here: the package imports it when it is needed

    number: Any = np.float64 if double and not mode.startswith("nearest") else np.float32
    i = np.arange(m, dtype=number)
    if align:
        step = number(n - 1) / number(m - 1) if m > 1 else number(0)
    else:
        step = number(1.0 / scale) if scale is not None else number(n) / number(m)
    if mode.startswith("nearest"):
        if mode == "nearest" and m in (n, 2 * n):  # PyTorch does not look at the scale then
            return (np.arange(m) // (m // n))[:, None], None
        at = i * step if mode == "nearest" else (i + number(0.5)) * step
        return np.minimum(np.floor(at).astype(np.int64), n - 1)[:, None], None
    if antialias and n == m:
        return np.arange(n)[:, None], None
    if antialias:
        return _filter_table(n, i, step, cubic=mode == "cubic")
    at = step * i if align else step * (i + number(0.5)) - number(0.5)
    if mode == "cubic":
        first = np.minimum(np.floor(at), n - 1)
        t = np.clip(at - first, 0, 1).astype(number)
        index = first.astype(np.int64)[:, None] + np.arange(-1, 3)
        weights = np.stack(_cubic(t, number(-0.75)), 1)
    elif n == m:
        index, weights = np.arange(n)[:, None], None
    else:
        at = np.maximum(at, 0)
        first = np.minimum(np.floor(at), n - 1)
        t = np.clip(at - first, 0, 1)
        index = first.astype(np.int64)[:, None] + np.arange(2)
        weights = np.stack([1 - t, t], 1)
    index = np.clip(index, 0, n - 1)
    return index, None if weights is None else weights.astype(number)


def _filter_table(n: int, i: Any, step: Any, cubic: bool) -> tuple[Any, Any]:
    """Weights of a filter that is as wide as the step, where that is larger than one."""
    import numpy as np

    number = i.dtype.type
    support = number(2 if cubic else 1) * max(step, number(1))
    narrow = number(1) / step if step >= 1 else number(1)
    centre = step * (i + number(0.5))
    begin = np.maximum((centre - support + number(0.5)).astype(np.int64), 0)
    count = np.minimum((centre + support + number(0.5)).astype(np.int64), n) - begin
    tap = np.arange(int(count.max(initial=1)))
    inside = tap < count[:, None]
    x = np.abs((tap + begin[:, None] - centre[:, None] + number(0.5)) * narrow).astype(number)
    if cubic:
        a = -0.5
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    else:
        weights = np.maximum(1 - x, 0)
    weights = np.where(inside, weights, 0)
    weights = weights / weights.sum(1, keepdims=True)
    # A tap outside reads an element that counts already, so that a NaN elsewhere stays there.
    index = np.where(inside, tap + begin[:, None], begin[:, None])
    return index, weights.astype(number)


def _constant(values: Any, like: Any) -> Any:
    return _core.asarray(values, None, like.device, None)


def _repeated(x: Any, axis: int, times: int) -> Any:
    """Each element along an axis several times, by operations alone: for graphs of any size."""
    index = _f["arange"](x.shape[axis] * times, device=x.device) // times
    return _take(x, index, axis)


def _is_repetition(index: Any, n: int) -> bool:
    import numpy as np

    m = len(index)
    return n > 0 and m % n == 0 and bool((index[:, 0] == np.arange(m) // (m // n)).all())


def _along(x: Any, axis: int, index: Any, weights: Any) -> Any:
    """One axis replaced by weighted sums of its elements."""
    if weights is None:
        return _take(x, _constant(index[:, 0], x), axis)
    shape = (-1, *(1,) * (x.ndim - 1 - axis))
    if weights.shape[1] > 4:
        taps = _take(x, _constant(index, x), axis)
        each = _constant(weights, x).astype(x.dtype)
        return (taps * each.reshape((*weights.shape, *shape[1:]))).sum(axis + 1)
    total: Any = None
    for k in range(weights.shape[1]):
        each = _constant(weights[:, k], x).astype(x.dtype).reshape(shape)
        part = _take(x, _constant(index[:, k], x), axis) * each
        total = part if total is None else total + part
    return total


def _output_sizes(
    spatial: tuple[int, ...], size: Any, scale_factor: Any
) -> tuple[tuple[int, ...], list[float] | None]:
    rank = len(spatial)
    if (size is None) == (scale_factor is None):
        raise error(
            _core.InvalidValue,
            "interpolate",
            f"size is {size} and scale_factor {scale_factor}; one of them is required",
        )
    name, given = ("size", size) if scale_factor is None else ("scale_factor", scale_factor)
    listed = list(given) if isinstance(given, tuple | list) else [given] * rank
    if len(listed) != rank or not all(s > 0 for s in listed):
        raise error(
            _core.InvalidValue,
            "interpolate",
            f"{name} is {given}; one positive number or {rank}, for the spatial dimensions "
            f"{spatial}, are required",
        )
    if scale_factor is None:
        return tuple(int(s) for s in listed), None
    scales = [float(s) for s in listed]
    sizes = tuple(math.floor(n * s) for n, s in zip(spatial, scales, strict=True))
    if not all(sizes):
        raise error(
            _core.InvalidValue,
            "interpolate",
            f"scale_factor {scale_factor} makes {spatial} to {sizes}; sizes must be 1 or more",
        )
    return sizes, scales


def _check_mode(x: Any, mode: str, align_corners: Any, antialias: bool) -> None:
    if mode not in _MODES:
        raise error(
            _core.InvalidValue,
            "interpolate",
            f"mode is {mode!r}; it must be one of {', '.join(_MODES)}",
        )
    if x.ndim not in _MODES[mode]:
        fit = [m for m, ranks in _MODES.items() if x.ndim in ranks]
        raise error(
            _core.ShapeError,
            "interpolate",
            f"the input has shape {x.shape} and mode is {mode!r}, which needs "
            f"{' or '.join(str(r) for r in _MODES[mode])} dimensions (N, C, ...); modes for "
            f"{x.ndim} dimensions: {', '.join(fit) or 'none'}",
        )
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise error(
            _core.InvalidValue,
            "interpolate",
            f"align_corners is {align_corners} and mode {mode!r}; it must be None there; it "
            "belongs to linear, bilinear, bicubic and trilinear",
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise error(
            _core.InvalidValue,
            "interpolate",
            f"antialias is True and mode {mode!r}; antialiasing needs 'bilinear' or 'bicubic'",
        )
    if any(n == 0 for n in x.shape[1:]):
        raise error(
            _core.ShapeError,
            "interpolate",
            f"the input has shape {x.shape}; only the batch may be empty",
        )
    if mode not in ("nearest", "nearest-exact") and not x.dtype.is_floating_point:
        raise error(
            _core.DTypeError,
            "interpolate",
            f"the input is {x.dtype!r} and mode {mode!r}; a floating-point dtype is required; "
            "convert with .astype(sn.float32), or use mode='nearest'",
        )


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Sequences, images or volumes in another size.

    Parameters
    ----------
    input : Tensor
        (N, C, L), (N, C, H, W) or (N, C, D, H, W).
    size : int or tuple of int, optional
        The spatial sizes of the result.
    scale_factor : float or tuple of float, optional
        Result over input; this or `size`. Sizes are rounded down.
    mode : str
        "nearest" (of the element whose cell begins before), "nearest-exact" (of the nearest
        centre), "linear" (sequences), "bilinear", "bicubic" (images; cubic convolution with
        a = -0.75), "trilinear" (volumes), or "area" (means of windows). All but the nearest need a
        floating-point dtype; halves compute in float32 and round once.
    align_corners : bool, optional
        Whether the centres of corner elements fall on one another, instead of the edges.
    recompute_scale_factor : bool, optional
        Whether positions follow from the sizes even where `scale_factor` is given.
    antialias : bool
        Whether a filter as wide as the reduction is used (bilinear and bicubic, whose a is then
        -0.5), as Pillow does.

    Returns
    -------
    Tensor
        (N, C, sizes...), of the input's dtype.

    Raises
    ------
    InvalidValue, ShapeError, DTypeError
        When mode, sizes, dimensions or dtype do not fit one another.

    Examples
    --------
    >>> x = sn.tensor([[[1.0, 3.0]]])
    >>> sn.nn.functional.interpolate(x, scale_factor=2).tolist()
    [[[1.0, 1.0, 3.0, 3.0]]]
    >>> sn.nn.functional.interpolate(x, 3, mode="linear", align_corners=True).tolist()
    [[[1.0, 2.0, 3.0]]]
    """
    _check_mode(input, mode, align_corners, antialias)
    spatial = input.shape[2:]
    sizes, scales = _output_sizes(spatial, size, scale_factor)
    if recompute_scale_factor:
        if scales is None:
            raise error(
                _core.InvalidValue,
                "interpolate",
                "recompute_scale_factor is True and size is given; it goes with scale_factor",
            )
        scales = None
    if mode == "area":
        return _f[f"adaptive_avg_pool{len(spatial)}d"](input, sizes)
    halves = input.dtype not in (_core.float32, _core.float64) and not mode.startswith("nearest")
    x = input.astype(_core.float32) if halves else input
    kind = mode if mode.startswith("nearest") else "cubic" if mode == "bicubic" else "linear"
    axes = range(len(spatial))
    # Shrinking axes first, and the last axis, where gathering is slowest, while there is least.
    order = [a for a in axes if sizes[a] < spatial[a]]
    order += [a for a in reversed(axes) if sizes[a] >= spatial[a]]
    double = x.dtype == _core.float64
    for a in order:
        scale = None if scales is None else scales[a]
        index, weights = _table(
            spatial[a], sizes[a], kind, bool(align_corners), scale, antialias, double
        )
        if weights is None and tracing_sizes() and _is_repetition(index, spatial[a]):
            x = _repeated(x, a + 2, len(index) // spatial[a])
        elif weights is not None or len(index) != spatial[a] or (index[1:] <= index[:-1]).any():
            x = _along(x, a + 2, index, weights)
    if x is input:
        return input.clone()
    return x.astype(input.dtype) if halves else x


def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """The older name of `interpolate`.

    Examples
    --------
    >>> sn.nn.functional.upsample(sn.tensor([[[1.0, 3.0]]]), 4).tolist()
    [[[1.0, 1.0, 3.0, 3.0]]]
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` with mode "nearest".

    Examples
    --------
    >>> sn.nn.functional.upsample_nearest(sn.tensor([[[1.0, 3.0]]]), 4).tolist()
    [[[1.0, 1.0, 3.0, 3.0]]]
    """
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` of images with mode "bilinear" and aligned corners.

    Examples
    --------
    >>> x = sn.tensor([[[[1.0, 3.0]]]])
    >>> sn.nn.functional.upsample_bilinear(x, (1, 3)).tolist()
    [[[[1.0, 2.0, 3.0]]]]
    """
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


# ---- grids --------------------------------------------------------------------------------------


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """Where the elements of transformed images come from, for `grid_sample`.

    Parameters
    ----------
    theta : Tensor
        (N, 2, 3) for images or (N, 3, 4) for volumes: affine maps from positions in the result to
        positions in the input, both in [-1, 1], x before y before z.
    size : tuple of int
        (N, C, H, W) or (N, C, D, H, W) of the result.
    align_corners : bool, optional
        Whether -1 and 1 are the centres of the corner elements, instead of the edges.

    Returns
    -------
    Tensor
        (N, H, W, 2) or (N, D, H, W, 3).

    Examples
    --------
    >>> theta = sn.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> sn.nn.functional.affine_grid(theta, (1, 1, 1, 2), align_corners=True).tolist()
    [[[[-1.0, 0.0], [1.0, 0.0]]]]
    """
    sizes = tuple(size)
    rank = len(sizes) - 2
    if rank not in (2, 3) or theta.shape != (sizes[0], rank, rank + 1) or min(sizes[1:]) < 1:
        raise error(
            _core.ShapeError,
            "affine_grid",
            f"theta has shape {theta.shape} and size is {sizes}; (N, 2, 3) with (N, C, H, W), or "
            "(N, 3, 4) with (N, C, D, H, W), are required",
        )
    if not theta.dtype.is_floating_point:
        raise error(
            _core.DTypeError,
            "affine_grid",
            f"theta is {theta.dtype!r}; a floating-point dtype is required",
        )
    spatial = sizes[2:]
    place = {"dtype": theta.dtype, "device": theta.device}
    ones = _f["ones"]((*spatial, 1), **place)
    parts = []
    for axis in reversed(range(rank)):  # x is the last axis
        n = spatial[axis]
        at = _f["linspace"](-1.0, 1.0, n, **place) if n > 1 else ones.reshape(-1)[:1] * 0
        if not align_corners:
            at = at * ((n - 1) / n)
        shape = [1] * (rank + 1)
        shape[axis] = n
        parts.append(at.reshape(shape).broadcast_to((*spatial, 1)))
    base = _f["concat"]([*parts, ones], -1).reshape((math.prod(spatial), rank + 1))
    return (base @ theta.permute_dims((0, 2, 1))).reshape((sizes[0], *spatial, rank))


def _inside(at: Any, n: int) -> Any:
    return (at >= 0.0) & (at <= float(n - 1))


def _clip(at: Any, n: int) -> Any:
    """Limited to the elements; what is limited has no gradient, and NaN becomes 0."""
    last = float(n - 1)
    return _where(at > 0.0, _where(at < last, at, last), 0.0)


def _reflect(at: Any, n: int, align: bool) -> Any:
    """Reflected at the centres (aligned) or the edges of the first and the last element."""
    low, span = (0.0, float(n - 1)) if align else (-0.5, float(n))
    if span == 0:
        return at * 0.0
    distance = (at - low).abs()
    flips = _f["floor"](distance.detach() / span)
    rest = distance - flips * span
    odd = _f["remainder"](flips, 2.0) == 1.0
    return _clip(_where(odd, span - rest, rest) + low, n)


def _pad_positions(at: Any, n: int, padding_mode: str, align: bool) -> Any:
    if padding_mode == "border":
        return _clip(at, n)
    return _reflect(at, n, align) if padding_mode == "reflection" else at


_GRID_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def _check_grid(x: Any, grid: Any, mode: str, padding_mode: str) -> None:
    fits = (
        x.ndim in (4, 5)
        and grid.ndim == x.ndim
        and grid.shape[0] == x.shape[0]
        and grid.shape[-1] == x.ndim - 2
        and 0 not in x.shape[2:]
    )
    if not fits:
        raise error(
            _core.ShapeError,
            "grid_sample",
            f"the input has shape {x.shape} and the grid {grid.shape}; (N, C, H, W) with "
            "(N, H', W', 2), or (N, C, D, H, W) with (N, D', H', W', 3), are required, and spatial "
            "sizes of one or more",
        )
    if mode not in _GRID_MODES or padding_mode not in _PADDINGS or (mode, x.ndim) == ("bicubic", 5):
        raise error(
            _core.InvalidValue,
            "grid_sample",
            f"mode is {mode!r} and padding_mode {padding_mode!r}; they must be one of "
            f"{_GRID_MODES} (bicubic for images only) and one of {_PADDINGS}",
        )
    if not x.dtype.is_floating_point or grid.dtype != x.dtype:
        raise error(
            _core.DTypeError,
            "grid_sample",
            f"the input is {x.dtype!r} and the grid {grid.dtype!r}; one floating-point dtype is "
            "required; convert with .astype",
        )


def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """Images or volumes read at given positions (Jaderberg et al. 2015).

    Parameters
    ----------
    input : Tensor
        (N, C, H, W) or (N, C, D, H, W), floating.
    grid : Tensor
        (N, H', W', 2) or (N, D', H', W', 3), of the same dtype: positions (x, y) or (x, y, z),
        where -1 and 1 are the sides of the input.
    mode : str
        "bilinear" (for volumes trilinear), "nearest" (ties go to the even position), or "bicubic"
        (images; a = -0.75).
    padding_mode : str
        What stands outside: "zeros", "border" (the nearest element), or "reflection".
    align_corners : bool, optional
        Whether -1 and 1 are the centres of the corner elements, instead of the edges.

    Returns
    -------
    Tensor
        (N, C, H', W') or (N, C, D', H', W'). Gradients go to the input and to the grid.

    Examples
    --------
    >>> x = sn.tensor([[[[1.0, 3.0]]]])
    >>> grid = sn.tensor([[[[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]]])
    >>> sn.nn.functional.grid_sample(x, grid, align_corners=True).tolist()
    [[[[1.0, 2.0, 3.0]]]]
    """
    _check_grid(input, grid, mode, padding_mode)
    rank = input.ndim - 2
    align = bool(align_corners)
    halves = input.dtype not in (_core.float32, _core.float64)
    x, at = (v.astype(_core.float32) if halves else v for v in (input, grid))
    count, channels, *spatial = x.shape
    points = math.prod(grid.shape[1:-1])
    # Rows of channels, so that an index fetches all of them.
    rows = x.permute_dims((0, *range(2, x.ndim), 1)).reshape((-1, channels))
    first = _f["arange"](count, device=x.device).reshape((count, 1)) * math.prod(spatial)
    axes: list[list[tuple[Any, Any]]] = []  # for each axis its taps: (positions, weights)
    for axis, n in enumerate(spatial):
        place = at[..., rank - 1 - axis].reshape((count, points))
        place = (place + 1.0) * (0.5 * (n - 1)) if align else ((place + 1.0) * n - 1.0) * 0.5
        if mode == "bicubic":
            low = _f["floor"](place.detach())
            weights = _cubic(place - low, -0.75)
            taps = [_pad_positions(low + (k - 1.0), n, padding_mode, align) for k in range(4)]
            axes.append(list(zip(taps, weights, strict=True)))
            continue
        place = _pad_positions(place, n, padding_mode, align)
        if mode == "nearest":
            axes.append([(_f["round"](place.detach()), None)])
            continue
        low = _f["floor"](place.detach())
        share = place - low
        axes.append([(low, 1.0 - share), (low + 1.0, share)])
    y: Any = None
    for chosen in product(*axes):
        index: Any = first
        weight: Any = None
        inside: Any = None
        for (position, part), n in zip(chosen, spatial, strict=True):
            here = _inside(position, n)
            inside = here if inside is None else inside & here
            if part is not None:
                weight = part if weight is None else weight * part
        stride = math.prod(spatial)
        for (position, _), n in zip(chosen, spatial, strict=True):
            stride //= n
            index = index + _where(inside, position, 0.0).astype(_core.int64) * stride
        values = _take(rows, index.reshape(-1), 0)
        # Chosen, not multiplied: an infinite position has no weight that is a number.
        factor = _where(inside, 1.0 if weight is None else weight, 0.0).astype(x.dtype)
        part = values * factor.reshape((count * points, 1))
        y = part if y is None else y + part
    y = y.reshape((count, *grid.shape[1:-1], channels))
    y = y.permute_dims((0, rank + 1, *range(1, rank + 1)))
    return y.astype(input.dtype) if halves else y
