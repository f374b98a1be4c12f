"""Sampling of pictures: resizing, grids, regions, and the choice of boxes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import sennit as sn
from sennit.nn import functional as F

from ..._sizes import tracing_sizes
from .._interpret import Call
from .._registry import op
from .._values import Known, to_tensor
from ._common import FLOATS, axes_of, exact, ints, limited

_MATRIX_TAPS = 4  # more taps than that are a product with a matrix
_FRACTIONS = 64  # scales with such a denominator are exact on sizes


class _Axis:
    """One axis of a resize: sizes, scale, and the region of `tf_crop_and_resize`."""

    def __init__(
        self,
        size: int,
        scale: float,
        wanted: int,
        start: float = 0.0,
        end: float = 1.0,
        by_size: bool = False,
    ) -> None:
        self.size, self.scale, self.wanted = size, scale, wanted
        self.start, self.end = start, end
        self.by_size = by_size  # the scale is the ratio of the sizes

    def coordinates(self, c: Call, mode: str) -> Any:
        """Where each output element lies in the input."""
        import numpy as np

        n, m = int(self.size), int(self.wanted)
        limited(8 * m)  # places and weights for several
        return self._at(c, mode, np.arange(m, dtype=np.float64), n, m, self.scale)

    def traced_coordinates(self, c: Call, mode: str) -> Any:
        """The same by operations on tensors, for sizes that may be open."""

        def number(size: int) -> Any:
            return sn.full((), size, dtype=sn.float64)

        n, m = number(self.size), number(self.wanted)
        x = sn.arange(self.wanted, dtype=sn.float64)
        return self._at(c, mode, x, n, m, m / n if self.by_size else self.scale)

    def _at(self, c: Call, mode: str, x: Any, n: Any, m: Any, s: Any) -> Any:
        if mode == "half_pixel" or (mode == "pytorch_half_pixel" and self.wanted > 1):
            return (x + 0.5) / s - 0.5
        if mode == "pytorch_half_pixel":
            return x * 0.0
        if mode == "half_pixel_symmetric":
            adjustment = m / (n * s)
            return n / 2 * (1 - adjustment) + (x + 0.5) / s - 0.5
        if mode == "align_corners":
            exact = n * s  # what the scale asks for, before it is rounded down
            return x * (n - 1) / (exact - 1) if self.wanted > 1 else x * 0.0
        if mode == "asymmetric":
            return x / s
        if mode == "tf_half_pixel_for_nn":
            return (x + 0.5) / s
        if mode == "tf_crop_and_resize":
            if self.wanted > 1:
                return self.start * (n - 1) + x * (self.end - self.start) * (n - 1) / (m - 1)
            return x * 0.0 + 0.5 * (self.start + self.end) * (n - 1)
        raise c.invalid(f"coordinate_transformation_mode is {mode!r}, which does not exist")


def _nearest(c: Call, xp: Any, at: Any, mode: str) -> Any:
    functions: dict[str, Callable[[Any], Any]] = {
        "round_prefer_floor": lambda v: xp.ceil(v - 0.5),
        "round_prefer_ceil": lambda v: xp.floor(v + 0.5),
        "floor": xp.floor,
        "ceil": xp.ceil,
    }
    if mode not in functions:
        raise c.invalid(f"nearest_mode is {mode!r}; {', '.join(functions)} exist")
    return functions[mode](at).astype(xp.int64)


def _kernel(xp: Any, mode: str, a: float) -> tuple[Any, int]:
    """The interpolation's kernel and half of its width."""
    if mode == "linear":
        return lambda t: xp.clip(1 - xp.abs(t), 0, 1), 1

    def cubic(t: Any) -> Any:  # Keys 1981
        t = xp.abs(t)
        inner = ((a + 2) * t - (a + 3)) * t * t + 1
        outer = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
        return xp.where(t <= 1, inner, xp.where(t < 2, outer, 0.0))

    return cubic, 2


def _taps(
    xp: Any, at: Any, axis: _Axis, mode: str, a: float, antialias: bool, exclude: bool
) -> tuple[Any, Any]:
    """Indices and weights of the inputs of every output: (outputs, taps) each."""
    function, half = _kernel(xp, mode, a)
    stretch = min(axis.scale, 1.0) if antialias else 1.0
    first = math.floor(-half / stretch) + 1
    offsets = xp.arange(first, 2 - first)
    base = xp.floor(at)
    places = base[:, None] + offsets[None, :]
    weights = function((places - at[:, None]) * stretch)
    outside = (places < 0) | (places >= axis.size)
    if exclude:
        weights = xp.where(outside, 0.0, weights)
    if exclude or stretch < 1:
        total = weights[:, :1]  # one after the other: tables of tensors have the same bits
        for t in range(1, weights.shape[1]):
            total = total + weights[:, t : t + 1]
        weights = weights / total
    return xp.clip(places, 0, axis.size - 1).astype(xp.int64), weights


def _apply(x: Any, k: int, where: Any, weights: Any) -> Any:
    """Weighted sums along axis `k`."""
    import numpy as np

    count, taps = where.shape
    if taps <= _MATRIX_TAPS:
        used = [t for t in range(taps) if np.any(weights[:, t])] or [0]  # of no outputs, too
        shape = [1] * x.ndim
        shape[k] = count
        total = None
        for t in used:
            part = sn.take(x, to_tensor(np.ascontiguousarray(where[:, t])), axis=k)
            if not np.all(weights[:, t] == 1):
                factor = weights[:, t].astype(_weight_dtype(x).name)
                part = part * to_tensor(factor.reshape(shape)).astype(x.dtype)
            total = part if total is None else total + part
        return total
    limited(count * int(x.shape[k]))
    matrix = np.zeros((count, x.shape[k]), np.float64)
    np.add.at(matrix, (np.arange(count)[:, None], where), weights)
    return _times(x, k, to_tensor(matrix.astype(np.float32)))


def _apply_traced(x: Any, k: int, where: Any, weights: Any) -> Any:
    """The same where a size is open, so that the tables are tensors."""
    count, taps = where.shape
    if taps > _MATRIX_TAPS:
        matrix = sn.zeros((count, x.shape[k]), dtype=sn.float64)
        return _times(x, k, sn.scatter_add(matrix, 1, where, weights).astype(sn.float32))
    shape = [1] * x.ndim
    shape[k] = -1
    total = None
    for t in range(taps):
        factor = weights[:, t].astype(_weight_dtype(x)).reshape(shape).astype(x.dtype)
        part = sn.take(x, where[:, t], axis=k) * factor
        total = part if total is None else total + part
    return total


def _weight_dtype(x: Any) -> Any:
    return x.dtype if x.dtype in (sn.float32, sn.float64) else sn.float32


def _times(x: Any, k: int, matrix: Any) -> Any:
    moved = sn.moveaxis(x, k, -1)
    dense = sn.matrix_transpose(matrix.astype(x.dtype))
    return sn.moveaxis(sn.matmul(moved, dense), -1, k)


@op("Resize", numbers=(1, 2, 3))
def _resize(
    c: Call,
    x: Any,
    second: Any = None,
    third: Any = None,
    sizes: Any = None,
    *,
    antialias: int = 0,
    axes: list[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Any:
    roi, scales = (second, third) if c.version >= 11 else (None, second)
    if c.version < 11:
        coordinate_transformation_mode, nearest_mode = "asymmetric", "floor"
    where = axes_of(c, axes, x.ndim) if axes is not None else list(range(x.ndim))
    factors = [] if scales is None else [float(v) for v in scales.reshape(-1)]
    wanted = [] if sizes is None else ints(sizes)
    by_size = bool(wanted) and keep_aspect_ratio_policy == "stretch"
    if len(wanted or factors) != len(where):
        raise c.invalid(
            f"{len(factors)} scales and {len(wanted)} sizes are given for {len(where)} axes"
        )
    if wanted:
        factors = [m / n if n else 1.0 for m, n in zip(wanted, (x.shape[k] for k in where),
                                                       strict=True)]  # fmt: skip
        if keep_aspect_ratio_policy != "stretch":
            choose = min if keep_aspect_ratio_policy == "not_larger" else max
            factors = [choose(factors)] * len(where)
            wanted = [math.floor(x.shape[k] * factors[0] + 0.5) for k in where]
    else:
        wanted = [_scaled(x.shape[k], f) for k, f in zip(where, factors, strict=True)]
    region = [float(v) for v in roi.reshape(-1)] if roi is not None and roi.size else []
    crop = coordinate_transformation_mode == "tf_crop_and_resize"
    if crop and len(region) != 2 * len(where):
        raise c.invalid(f"tf_crop_and_resize needs {2 * len(where)} numbers of a region")
    dtype = x.dtype
    y = x if dtype in FLOATS or mode == "nearest" else x.astype(sn.float32)
    outside = None
    for i, k in enumerate(where):
        start, end = (region[i], region[len(where) + i]) if crop else (0.0, 1.0)
        axis = _Axis(x.shape[k], factors[i], wanted[i], start, end, by_size)
        if not crop and axis.scale == 1 and axis.size == axis.wanted:
            continue
        at, y = _along(
            c, y, k, axis, coordinate_transformation_mode, mode, nearest_mode, cubic_coeff_a,
            bool(antialias), bool(exclude_outside),
        )  # fmt: skip
        if crop:
            bad = (at < 0) | (at > axis.size - 1)
            shape = [1] * x.ndim
            shape[k] = axis.wanted
            flag = (
                bad.reshape(shape) if isinstance(bad, sn.Tensor) else to_tensor(bad.reshape(shape))
            )
            outside = flag if outside is None else outside | flag
    if outside is not None:
        y = sn.where(outside, extrapolation_value, y)
    return exact(y, dtype)


def _scaled(size: int, factor: float) -> int:
    """A size times a scale, rounded down; with a plain fraction an open size stays one."""
    over, under = float(factor).as_integer_ratio()
    return size * over // under if under <= _FRACTIONS else math.floor(size * factor)


def _along(
    c: Call,
    y: Any,
    k: int,
    axis: _Axis,
    coordinates: str,
    mode: str,
    nearest_mode: str,
    a: float,
    antialias: bool,
    exclude: bool,
) -> tuple[Any, Any]:
    """Where the elements lie, and y with axis `k` resized."""
    import numpy as np

    if mode not in ("nearest", "linear", "cubic"):
        raise c.invalid(f"the mode is {mode!r}; nearest, linear and cubic exist")
    at = axis.coordinates(c, coordinates)
    index = None
    if mode == "nearest":
        size, wanted = int(axis.size), int(axis.wanted)
        index = _nearest(c, np, at, nearest_mode).clip(0, max(size - 1, 0))
        times, rest = divmod(wanted, size) if size else (0, 1)
        if times >= 1 and rest == 0 and np.array_equal(index, np.arange(wanted) // times):
            return at, sn.repeat(y, times, axis=k)
    if not tracing_sizes():
        if index is not None:
            return at, sn.take(y, to_tensor(index), axis=k)
        return at, _apply(y, k, *_taps(np, at, axis, mode, a, antialias, exclude))
    # The size may be open: the tables are made by operations.
    at = axis.traced_coordinates(c, coordinates)
    if mode == "nearest":
        index = sn.clip(_nearest(c, sn, at, nearest_mode), 0, axis.size - 1)
        return at, sn.take(y, index, axis=k)
    return at, _apply_traced(y, k, *_taps(sn, at, axis, mode, a, antialias, exclude))


@op("Upsample", numbers=(1,))
def _upsample(
    c: Call, x: Any, given: Any = None, *, mode: str = "nearest", scales: list[float] | None = None
) -> Any:
    factors = [float(v) for v in given.reshape(-1)] if given is not None else list(scales or [])
    if len(factors) != x.ndim:
        raise c.invalid(f"{len(factors)} scales are given for rank {x.ndim}")
    y = x
    for k, factor in enumerate(factors):
        if factor == 1:
            continue
        axis = _Axis(x.shape[k], factor, _scaled(x.shape[k], factor))
        kind = "linear" if mode == "bilinear" else mode
        _, y = _along(c, y, k, axis, "asymmetric", kind, "floor", -0.75, False, False)
    return y


_GRID_MODES = {"linear": "bilinear", "bilinear": "bilinear", "nearest": "nearest",
               "cubic": "bicubic", "bicubic": "bicubic"}  # fmt: skip


@op("GridSample")
def _grid_sample(
    c: Call,
    x: Any,
    grid: Any,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Any:
    if mode not in _GRID_MODES:
        raise c.invalid(f"the mode is {mode!r}; linear, nearest and cubic exist")
    if x.ndim not in (4, 5):
        raise c.unsupported(f"sampling has 2 or 3 spatial axes, and the input has {x.ndim - 2}")
    return F.grid_sample(x, grid.astype(x.dtype), _GRID_MODES[mode], padding_mode,
                         bool(align_corners))  # fmt: skip


@op("RoiAlign", numbers=(1, 2))
def _roi_align(
    c: Call,
    x: Any,
    rois: Any,
    images: Any,
    *,
    coordinate_transformation_mode: str | None = None,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Any:
    """Means (or maxima) of points sampled in the cells of regions (He et al. 2017)."""
    import numpy as np

    default = "half_pixel" if c.version >= 16 else "output_half_pixel"
    half = (coordinate_transformation_mode or default) == "half_pixel"
    h, w = x.shape[2:]
    planes = x.reshape((x.shape[0], x.shape[1], h * w))
    outputs = []
    for roi, image in zip(rois.astype(np.float64), images.reshape(-1), strict=True):
        x0, y0, x1, y1 = roi * spatial_scale - (0.5 if half else 0.0)
        height, width = y1 - y0, x1 - x0
        if not half:
            height, width = max(height, 1.0), max(width, 1.0)
        ys, yc = _samples(y0, height, output_height, sampling_ratio, h)
        xs, xc = _samples(x0, width, output_width, sampling_ratio, w)
        parts = []
        for yi, yw in ys:
            for xi, xw in xs:
                where = (yi[:, None] * w + xi[None, :]).reshape(-1)
                weight = (yw[:, None] * xw[None, :]).reshape(-1)
                found = sn.take(planes[int(image)], to_tensor(where), axis=1)
                parts.append(found * to_tensor(weight.astype(np.float32)).astype(x.dtype))
        shape = (x.shape[1], output_height, yc, output_width, xc)
        if mode == "max":
            value = parts[0]
            for part in parts[1:]:
                value = sn.maximum(value, part)
            cell = sn.max(value.reshape(shape), axis=(2, 4))
        else:
            value = parts[0] + parts[1] + parts[2] + parts[3]
            cell = sn.mean(value.reshape(shape), axis=(2, 4))
        outputs.append(cell)
    if not outputs:
        return sn.zeros((0, x.shape[1], output_height, output_width), dtype=x.dtype)
    return sn.stack(outputs, axis=0)


def _samples(
    start: float, length: float, cells: int, ratio: int, size: int
) -> tuple[list[tuple[Any, Any]], int]:
    """Both neighbours of every sampled coordinate, with their weights; and samples per cell."""
    import numpy as np

    count = ratio if ratio > 0 else max(math.ceil(length / cells), 1)
    limited(cells * count)
    step = length / cells
    at = (start + np.arange(cells)[:, None] * step
          + (np.arange(count)[None, :] + 0.5) * step / count).reshape(-1)  # fmt: skip
    inside = (at >= -1) & (at <= size)
    at = np.maximum(at, 0)
    low = np.minimum(np.floor(at).astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    part = np.where(low >= size - 1, 0.0, at - low)
    return [(low, np.where(inside, 1 - part, 0)), (high, np.where(inside, part, 0))], count


@op("NonMaxSuppression", raw=True)
def _non_max_suppression(
    c: Call,
    boxes: Any,
    scores: Any,
    most: Any = None,
    overlap: Any = None,
    least: Any = None,
    *,
    center_point_box: int = 0,
) -> Any:
    """Greedy choice of boxes by score, without those that overlap a chosen one."""
    import numpy as np

    corners = c.host(boxes, "the boxes").astype(np.float32)
    values = c.host(scores, "the scores")
    count = 0 if most is None else int(c.host(most).reshape(-1)[0])
    limit = 0.0 if overlap is None else float(c.host(overlap).reshape(-1)[0])
    floor = None if least is None else float(c.host(least).reshape(-1)[0])
    if center_point_box:
        x, y, w, h = (corners[..., k] for k in range(4))
        corners = np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=-1)
    low = np.minimum(corners[..., :2], corners[..., 2:])
    high = np.maximum(corners[..., :2], corners[..., 2:])
    area = np.prod(high - low, axis=-1)
    found = []
    for batch in range(values.shape[0]):
        for label in range(values.shape[1]):
            row = values[batch, label]
            order = np.argsort(-row, kind="stable")
            if floor is not None:
                order = order[row[order] > floor]
            chosen = 0
            while len(order) and chosen < count:
                best, order = order[0], order[1:]
                found.append((batch, label, int(best)))
                chosen += 1
                sides = np.minimum(high[batch, best], high[batch, order]) - np.maximum(
                    low[batch, best], low[batch, order]
                )
                shared = np.prod(np.maximum(sides, 0), axis=-1)
                union = area[batch, best] + area[batch, order] - shared
                with np.errstate(all="ignore"):
                    order = order[~(shared / union > limit)]
    return Known(np.asarray(found, np.int64).reshape((-1, 3)))
