"""Pooling."""

from __future__ import annotations

from typing import Any

import sennit as sn

from .._interpret import Call
from .._registry import op, refuse
from ._common import FLOATS, exact, ints, lowest, product
from .conv import per_axis, spatial_pads
from .shape import pad_constant

_MAX: tuple[Any, ...] = (None, sn.max_pool1d, sn.max_pool2d, sn.max_pool3d)
_MAX_INDICES: tuple[Any, ...] = (
    None, sn.max_pool1d_with_indices, sn.max_pool2d_with_indices, sn.max_pool3d_with_indices,
)  # fmt: skip
_AVERAGE: tuple[Any, ...] = (None, sn.avg_pool1d, sn.avg_pool2d, sn.avg_pool3d)
_CONV: tuple[Any, ...] = (None, sn.conv1d, sn.conv2d, sn.conv3d)


class _Windows:
    """Where the windows of a pooling lie."""

    def __init__(
        self,
        c: Call,
        x: Any,
        kernel: list[int],
        strides: list[int] | None,
        dilations: list[int] | None,
        auto_pad: str,
        pads: list[int] | None,
        ceil_mode: int,
    ) -> None:
        self.rank = x.ndim - 2
        if not 1 <= self.rank <= 3:
            raise c.unsupported(f"pooling has 1 to 3 spatial axes, and the input has {self.rank}")
        if len(kernel) != self.rank or min(kernel) < 1:
            raise c.invalid(f"kernel_shape is {kernel}, and the input has {self.rank} spatial axes")
        self.kernel = list(kernel)
        self.strides = per_axis(c, "strides", strides, self.rank)
        self.dilations = per_axis(c, "dilations", dilations, self.rank)
        self.ceil = bool(ceil_mode) and auto_pad in ("NOTSET", "")
        self.sizes = list(x.shape[2:])
        self.pads = spatial_pads(
            c, auto_pad, pads, self.sizes, self.kernel, self.strides, self.dilations
        )
        for i in range(self.rank):
            reach, padded = self._reach(i), self.sizes[i] + sum(self.pads[i])
            if int(padded) < reach and not ceil_mode:
                raise c.invalid(
                    f"a window of {reach} does not fit {padded} elements of axis {i + 2}"
                )
        # What pooling in Sennit takes itself: equal padding on both sides, of half a window.
        self.plain = all(
            a == z and 2 * a <= k for (a, z), k in zip(self.pads, self.kernel, strict=True)
        )

    @property
    def padding(self) -> list[int]:
        return [a for a, _ in self.pads]

    def _reach(self, i: int) -> int:
        return (self.kernel[i] - 1) * self.dilations[i] + 1

    @property
    def over(self) -> list[int]:
        """What the last windows reach beyond the padded input, with sizes rounded up."""
        found = [0] * self.rank
        for i in range(self.rank if self.ceil else 0):
            reach, padded = self._reach(i), self.sizes[i] + sum(self.pads[i])
            count = -(-(padded - reach) // self.strides[i]) + 1
            # A window that would start in the padding behind the input is left out.
            if (count - 1) * self.strides[i] >= self.sizes[i] + self.pads[i][0]:
                count -= 1
            found[i] = max((count - 1) * self.strides[i] + reach - padded, 0)
        return found

    def padded(self, x: Any, value: Any) -> Any:
        """The input with everything that windows reach."""
        pairs = [(a, z + o) for (a, z), o in zip(self.pads, self.over, strict=True)]
        return pad_constant(x, [(0, 0), (0, 0), *pairs], value)


@op("MaxPool")
def _max_pool(
    c: Call,
    x: Any,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    storage_order: int = 0,
    strides: list[int] | None = None,
) -> Any:
    w = _Windows(c, x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    dtype = x.dtype
    if dtype not in FLOATS:
        x = x.astype(sn.float32 if dtype.itemsize < 4 else sn.float64)
    if not c.wants(1):
        if w.plain:
            y = _MAX[w.rank](x, w.kernel, w.strides, w.padding, w.dilations, w.ceil)
        else:
            y = _MAX[w.rank](w.padded(x, lowest(x.dtype)), w.kernel, w.strides, 0, w.dilations)
        return exact(y, dtype)
    wide = w.padded(x, lowest(x.dtype))
    y, where = _MAX_INDICES[w.rank](wide, w.kernel, w.strides, 0, w.dilations)
    return exact(y, dtype), _flat_indices(where, wide.shape[2:], x.shape, w, bool(storage_order))


def _flat_indices(
    where: Any, wide: tuple[int, ...], shape: tuple[int, ...], w: _Windows, columns: bool
) -> Any:
    """Indices into the whole unpadded input, of indices into padded planes."""
    places: list[Any] = []
    for k in reversed(range(w.rank)):
        places.insert(0, sn.remainder(where, wide[k]) - w.pads[k][0])
        where = sn.floor_divide(where, wide[k])
    flat: Any = None
    order = range(w.rank) if not columns else reversed(range(w.rank))
    for k in order:
        flat = places[k] if flat is None else flat * shape[2 + k] + places[k]
    plane = product(shape[2:])
    planes = sn.arange(shape[0] * shape[1]).reshape((shape[0], shape[1]) + (1,) * w.rank)
    return flat + planes * plane


def _sums(x: Any, w: _Windows) -> Any:
    """Sums over the windows of a padded input."""
    if all(d == 1 for d in w.dilations):
        return _AVERAGE[w.rank](x, w.kernel, w.strides, 0, False, True, 1)
    n, channels = x.shape[:2]
    ones = sn.ones((1, 1, *w.kernel), dtype=x.dtype)
    flat = x.reshape((n * channels, 1, *x.shape[2:]))
    y = _CONV[w.rank](flat, ones, None, w.strides, 0, w.dilations)
    return y.reshape((n, channels, *y.shape[2:]))


@op("AveragePool")
def _average_pool(
    c: Call,
    x: Any,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Any:
    w = _Windows(c, x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    dense = all(d == 1 for d in w.dilations)
    if w.plain and dense:
        include = bool(count_include_pad)
        return _AVERAGE[w.rank](x, w.kernel, w.strides, w.padding, w.ceil, include)
    counted = sn.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    if count_include_pad:
        counted = pad_constant(counted, [(0, 0), (0, 0), *w.pads], 1)
        beyond = [(0, o) for o in w.over]
        counted = pad_constant(counted, [(0, 0), (0, 0), *beyond], 0)
    else:
        counted = w.padded(counted, 0)
    return _sums(w.padded(x, 0), w) / _sums(counted, w)


@op("LpPool")
def _lp_pool(
    c: Call,
    x: Any,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    p: int = 2,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Any:
    w = _Windows(c, x, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    return sn.pow(_sums(w.padded(sn.pow(sn.abs(x), p), 0), w), 1 / p)


def _all_axes(x: Any) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


@op("GlobalAveragePool")
def _global_average_pool(c: Call, x: Any) -> Any:
    return sn.mean(x, axis=_all_axes(x), keepdims=True)


@op("GlobalMaxPool")
def _global_max_pool(c: Call, x: Any) -> Any:
    return sn.max(x, axis=_all_axes(x), keepdims=True)


@op("GlobalLpPool")
def _global_lp_pool(c: Call, x: Any, *, p: int = 2) -> Any:
    return sn.pow(sn.sum(sn.pow(sn.abs(x), p), axis=_all_axes(x), keepdims=True), 1 / p)


@op("MaxUnpool", numbers=(2,))
def _max_unpool(
    c: Call,
    x: Any,
    where: Any,
    shape: Any = None,
    *,
    kernel_shape: list[int],
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Any:
    rank = x.ndim - 2
    steps = per_axis(c, "strides", strides, rank)
    given = pads or [0] * (2 * rank)
    natural = [
        (n - 1) * s + k - given[i] - given[rank + i]
        for i, (n, s, k) in enumerate(zip(x.shape[2:], steps, kernel_shape, strict=True))
    ]
    sizes = [*x.shape[:2], *natural]
    flat = sn.scatter(sn.zeros((product(sizes),), dtype=x.dtype), 0, where.reshape((-1,)),
                      x.reshape((-1,)))  # fmt: skip
    y = flat.reshape(sizes)
    if shape is None:
        return y
    wanted = ints(shape)
    return pad_constant(y, [(0, b - a) for a, b in zip(sizes, wanted, strict=True)])


@op("MaxRoiPool", numbers=(1,))
def _max_roi_pool(
    c: Call, x: Any, rois: Any, *, pooled_shape: list[int], spatial_scale: float = 1.0
) -> Any:
    """Maxima over a grid of cells in each region (Girshick 2015)."""
    import numpy as np

    ph, pw = pooled_shape
    h, w = x.shape[2:]
    outputs = []
    for roi in rois:
        image = int(roi[0])
        x0, y0, x1, y1 = (int(np.floor(v * spatial_scale + 0.5)) for v in roi[1:])
        rows = _cells(y0, y1, ph, h)
        columns = _cells(x0, x1, pw, w)
        cells = [
            sn.max(x[image, :, a:b, l:r], axis=(1, 2)) if a < b and l < r
            else sn.zeros((x.shape[1],), dtype=x.dtype)
            for a, b in rows
            for l, r in columns
        ]  # fmt: skip
        outputs.append(sn.stack(cells, axis=1).reshape((x.shape[1], ph, pw)))
    if not outputs:
        return sn.zeros((0, x.shape[1], ph, pw), dtype=x.dtype)
    return sn.stack(outputs, axis=0)


def _cells(first: int, last: int, count: int, size: int) -> list[tuple[int, int]]:
    import math

    length = max(last - first + 1, 1)
    step = length / count
    return [
        (
            min(max(math.floor(k * step) + first, 0), size),
            min(max(math.ceil((k + 1) * step) + first, 0), size),
        )
        for k in range(count)
    ]


refuse("ImageDecoder", "pictures are decoded before a model is called (pillow, sn.data)")
