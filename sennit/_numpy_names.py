"""Functions that users of NumPy look for under these names, made of others.

Loaded when first asked for; arguments are NumPy's, in its order.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import _core
from ._api import asarray
from ._errors import error

Tensor = _core.Tensor
_f: dict[str, Any] = _core.functions
_where, _isnan, _concat, _reshape = _f["where"], _f["isnan"], _f["concat"], _f["reshape"]
_arange, _full = _f["arange"], _f["full"]

__all__ = [
    "append", "argpartition", "array_equal", "average", "cbrt", "compress", "convolve",
    "correlate", "delete", "digitize", "divmod", "ediff1d", "extract", "flatnonzero", "geomspace",
    "identity", "insert", "interp", "intersect1d", "modf", "nanargmax", "nanargmin", "nancumprod",
    "nancumsum", "nanmax", "nanmin", "nanpercentile", "nanprod", "nanstd", "nanvar", "percentile",
    "polyval", "ptp", "ravel_multi_index", "rint", "setdiff1d", "setxor1d", "tri", "union1d",
    "unwrap",
]  # fmt: skip


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else asarray(x)


def _floats(x: Any) -> Tensor:
    x = _tensor(x)
    inexact = x.dtype.is_floating_point or x.dtype.is_complex
    return x if inexact else x.astype(_core.float32)


# ---- reductions, by NumPy's names ----------------------------------------------------------------


def percentile(x: Any, q: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """`sn.quantile` with q from 0 to 100; linear between two elements.

    Examples
    --------
    >>> sn.percentile(sn.tensor([1.0, 2.0, 4.0]), 75).item()
    3.0
    """
    return _f["quantile"](_floats(x), _hundredth(q, x), axis, keepdims)


def nanpercentile(x: Any, q: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """`sn.nanquantile` with q from 0 to 100.

    Examples
    --------
    >>> sn.nanpercentile(sn.tensor([1.0, sn.nan, 3.0]), 50).item()
    2.0
    """
    return _f["nanquantile"](_floats(x), _hundredth(q, x), axis, keepdims)


def _hundredth(q: Any, x: Any) -> Any:
    return q / 100.0 if isinstance(q, (int, float)) else _tensor(q).astype(_floats(x).dtype) / 100.0


def average(x: Any, axis: Any = None, weights: Any = None, keepdims: bool = False) -> Tensor:
    """The mean, or the weighted mean: the sum of ``x * weights`` over that of the weights.

    Parameters
    ----------
    x : Tensor
    axis : int or tuple of int, optional
        All by default.
    weights : Tensor, optional
        Of the shape of x, or (with one axis) a vector of that axis.
    keepdims : bool

    Examples
    --------
    >>> sn.average(sn.tensor([1.0, 4.0]), weights=sn.tensor([2.0, 1.0])).item()
    2.0
    """
    x = _floats(x)
    if weights is None:
        return x.mean(axis, keepdims=keepdims)
    w = _tensor(weights)
    if w.shape != x.shape:
        if not isinstance(axis, int) or w.ndim != 1 or w.shape[0] != x.shape[axis]:
            raise error(
                _core.ShapeError,
                "average",
                f"weights have shape {w.shape} and x {x.shape} (axis {axis}); they need the shape "
                "of x, or the length of the one axis that is given",
            )
        sizes = [1] * x.ndim
        sizes[axis] = -1
        w = _f["broadcast_to"](w.reshape(tuple(sizes)), x.shape)
    total = w.astype(x.dtype).sum(axis, keepdims=keepdims)
    return (x * w).sum(axis, keepdims=keepdims) / total


def _without_nan(x: Any, value: float) -> tuple[Tensor, Tensor]:
    x = _tensor(x)
    absent = _isnan(x)
    return (_where(absent, value, x) if x.dtype.is_floating_point else x), absent


def _extreme(name: str, x: Any, axis: Any, keepdims: bool) -> Tensor:
    filled, absent = _without_nan(x, -math.inf if name == "max" else math.inf)
    found = _f[name](filled, axis, keepdims=keepdims)
    if not filled.dtype.is_floating_point:
        return found
    return _where(_f["all"](absent, axis, keepdims=keepdims), math.nan, found)


def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest element that is not NaN; NaN where all are.

    Examples
    --------
    >>> sn.nanmax(sn.tensor([1.0, sn.nan, 3.0])).item()
    3.0
    """
    return _extreme("max", x, axis, keepdims)


def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest element that is not NaN; NaN where all are.

    Examples
    --------
    >>> sn.nanmin(sn.tensor([1.0, sn.nan, 3.0])).item()
    1.0
    """
    return _extreme("min", x, axis, keepdims)


def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the largest element is that is not NaN; 0 where all are.

    Examples
    --------
    >>> sn.nanargmax(sn.tensor([1.0, sn.nan, 3.0])).item()
    2
    """
    return _f["argmax"](_without_nan(x, -math.inf)[0], axis, keepdims=keepdims)


def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the smallest element is that is not NaN; 0 where all are.

    Examples
    --------
    >>> sn.nanargmin(sn.tensor([sn.nan, 1.0, 3.0])).item()
    1
    """
    return _f["argmin"](_without_nan(x, math.inf)[0], axis, keepdims=keepdims)


def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The product of the elements that are not NaN.

    Examples
    --------
    >>> sn.nanprod(sn.tensor([2.0, sn.nan, 3.0])).item()
    6.0
    """
    return _f["prod"](_without_nan(x, 1.0)[0], axis, keepdims=keepdims)


def nancumsum(x: Any, axis: int | None = None) -> Tensor:
    """Running sums in which NaN counts 0; of the flattened tensor by default.

    Examples
    --------
    >>> sn.nancumsum(sn.tensor([1.0, sn.nan, 2.0])).tolist()
    [1.0, 1.0, 3.0]
    """
    filled = _without_nan(x, 0.0)[0]
    return _f["cumsum"](_reshape(filled, -1), 0) if axis is None else _f["cumsum"](filled, axis)


def nancumprod(x: Any, axis: int | None = None) -> Tensor:
    """Running products in which NaN counts 1; of the flattened tensor by default.

    Examples
    --------
    >>> sn.nancumprod(sn.tensor([2.0, sn.nan, 3.0])).tolist()
    [2.0, 2.0, 6.0]
    """
    filled = _without_nan(x, 1.0)[0]
    return _f["cumprod"](_reshape(filled, -1), 0) if axis is None else _f["cumprod"](filled, axis)


def nanvar(x: Any, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance of the elements that are not NaN; NaN where none is left.

    Parameters
    ----------
    x : Tensor
    axis : int or tuple of int, optional
        All by default.
    correction : float
        What is taken off the number of elements (NumPy's ``ddof``).
    keepdims : bool

    Examples
    --------
    >>> sn.nanvar(sn.tensor([1.0, sn.nan, 3.0])).item()
    1.0
    """
    x = _floats(x)
    present = _f["logical_not"](_isnan(x))
    count = present.astype(x.dtype).sum(axis, keepdims=keepdims)
    away = _where(present, x - _f["nanmean"](x, axis, keepdims=True), 0.0)
    left = count - correction
    return _where(left > 0, (away * away).sum(axis, keepdims=keepdims) / left, math.nan)


def nanstd(x: Any, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The standard deviation of the elements that are not NaN; see `nanvar`.

    Examples
    --------
    >>> sn.nanstd(sn.tensor([1.0, sn.nan, 3.0])).item()
    1.0
    """
    return _f["sqrt"](nanvar(x, axis, correction, keepdims))


def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest element minus the smallest ("peak to peak").

    Examples
    --------
    >>> sn.ptp(sn.tensor([3, 1, 7])).item()
    6
    """
    x = _tensor(x)
    return _f["max"](x, axis, keepdims=keepdims) - _f["min"](x, axis, keepdims=keepdims)


def array_equal(a: Any, b: Any, equal_nan: bool = False) -> bool:
    """Whether two tensors have one shape and equal elements; waits for them.

    Examples
    --------
    >>> sn.array_equal(sn.arange(2), [0, 1])
    True
    """
    a, b = _tensor(a), _tensor(b)
    if a.shape != b.shape:
        return False
    same = a == b
    if equal_nan:
        same = _f["logical_or"](same, _f["logical_and"](_isnan(a), _isnan(b)))
    return bool(same.all())


# ---- elementwise ---------------------------------------------------------------------------------


def cbrt(x: Any) -> Tensor:
    """Cube roots, negative ones of negative numbers.

    Examples
    --------
    >>> sn.cbrt(sn.tensor([-8.0, 27.0])).round(decimals=5).tolist()
    [-2.0, 3.0]
    """
    x = _floats(x)
    return _f["copysign"](_f["pow"](_f["abs"](x), 1.0 / 3.0), x)


def rint(x: Any) -> Tensor:
    """Rounded to the next integer, halves to the even one; integers become float32.

    Examples
    --------
    >>> sn.rint(sn.tensor([0.5, 1.5])).tolist()
    [0.0, 2.0]
    """
    return _f["round"](_floats(x))


def divmod(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """``x // y`` and ``x % y``.

    Examples
    --------
    >>> [part.item() for part in sn.divmod(sn.tensor(-7), 3)]
    [-3, 2]
    """
    return _f["floor_divide"](x, y), _f["remainder"](x, y)


def modf(x: Any) -> tuple[Tensor, Tensor]:
    """What is behind the point, and the integers before it; both have the sign of x.

    Examples
    --------
    >>> [part.item() for part in sn.modf(sn.tensor(-2.5))]
    [-0.5, -2.0]
    """
    x = _floats(x)
    whole = _f["trunc"](x)
    rest = _where(_f["isinf"](x), 0.0, x - whole)
    return _f["copysign"](rest, x), whole


def unwrap(
    p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi
) -> Tensor:
    """Angles without jumps: multiples of the period are added where two neighbours along the axis
    are further apart than `discont` (half of the period, by default and at least).

    Examples
    --------
    >>> sn.unwrap(sn.tensor([0.0, 3.0, -3.0])).round(decimals=4).tolist()
    [0.0, 3.0, 3.2832...]
    """
    p = _floats(p)
    step, half = _f["diff"](p, 1, axis), period / 2
    turned = _f["remainder"](step + half, period) - half
    turned = _where(_f["logical_and"](turned == -half, step > 0), half, turned)
    least = half if discont is None else max(discont, half)
    jumps = _where(_f["abs"](step) < least, 0.0, turned - step)
    first = _f["zeros_like"](_f["narrow"](p, axis, 0, min(1, p.shape[axis])))
    return p + _f["cumsum"](_concat([first, jumps], axis), axis)


def polyval(p: Any, x: Any) -> Tensor:
    """The polynomial with the coefficients p (of the highest power first) at x.

    Examples
    --------
    >>> sn.polyval(sn.tensor([1.0, 0.0, 2.0]), sn.tensor([3.0])).tolist()
    [11.0]
    """
    p, x = _tensor(p), _tensor(x)
    value = _f["zeros_like"](x)
    for i in range(p.shape[0]):
        value = value * x + p[i]
    return value


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Tensor:
    """Values at x of the lines that join the points (xp, fp).

    Parameters
    ----------
    x : Tensor
        Of any shape.
    xp, fp : Tensor
        Vectors of one length; xp increases.
    left, right : float, optional
        Values outside of xp; those of its ends by default.

    Examples
    --------
    >>> xp, fp = sn.tensor([0.0, 1.0, 3.0]), sn.tensor([0.0, 10.0, 0.0])
    >>> sn.interp(sn.tensor([-1.0, 0.5, 2.0]), xp, fp).tolist()
    [0.0, 5.0, 5.0]
    """
    x, xp, fp = _floats(x), _floats(xp), _floats(fp)
    n = xp.shape[0] if xp.ndim == 1 else 0
    if n == 0 or fp.shape != xp.shape:
        raise error(
            _core.ShapeError,
            "interp",
            f"xp has shape {xp.shape} and fp {fp.shape}; vectors of one length, 1 or more, are "
            "required",
        )
    last = max(n - 2, 0)
    at = (_f["searchsorted"](xp, x.detach(), right=True) - 1).clip(0, last)
    after = (at + 1).clip(0, n - 1)
    width = xp[after] - xp[at]
    part = (x - xp[at]) / _where(width == 0, 1.0, width)
    value = fp[at] + part * (fp[after] - fp[at])
    value = _where(x < xp[0], fp[0] if left is None else left, value)
    value = _where(x > xp[-1], fp[-1] if right is None else right, value)
    return _where(x == xp[-1], fp[-1], value)


# ---- making, joining and choosing ----------------------------------------------------------------


def identity(n: int, dtype: Any = None) -> Tensor:
    """The n x n identity matrix, float32 by default.

    Examples
    --------
    >>> sn.identity(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return _f["eye"](n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Tensor:
    """Ones on and below the k-th diagonal of an N x M matrix, zeros above; float32 by default.

    Examples
    --------
    >>> sn.tri(2, 3).tolist()
    [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    """
    return _f["tril"](_f["ones"]((N, N if M is None else M), dtype=dtype), k)


def geomspace(start: float, stop: float, num: int = 50, dtype: Any = None) -> Tensor:
    """Numbers of which each is a fixed multiple of the one before, both ends included.

    Examples
    --------
    >>> sn.geomspace(1, 100, 3).round(decimals=3).tolist()
    [1.0, 10.0, 100.0]
    """
    if start == 0 or stop == 0 or (start < 0) != (stop < 0):
        raise error(
            _core.InvalidValue,
            "geomspace",
            f"start is {start} and stop {stop}; both must be above 0, or both below",
        )
    kind = _core.float32 if dtype is None else dtype
    exact = _full((2,), abs(start), dtype=_core.float64)
    ends = _f["log"](_where(_arange(2) == 0, exact, abs(stop)))
    part = _f["linspace"](0.0, 1.0, num, dtype=_core.float64)
    values = _f["exp"](ends[0] + part * (ends[1] - ends[0]))
    if num > 0:
        values[0] = abs(start)
    if num > 1:
        values[-1] = abs(stop)
    return (values if start > 0 else -values).astype(kind)


def append(x: Any, values: Any, axis: int | None = None) -> Tensor:
    """Two tensors one after the other; flattened unless an axis is given.

    Examples
    --------
    >>> sn.append(sn.tensor([1, 2]), sn.tensor([[3], [4]])).tolist()
    [1, 2, 3, 4]
    """
    x, values = _tensor(x), _tensor(values)
    if axis is None:
        return _concat([_reshape(x, -1), _reshape(values, -1)], 0)
    return _concat([x, values], axis)


def _places(op: str, obj: Any, size: int) -> list[int]:
    if isinstance(obj, slice):
        return list(range(size)[obj])
    if isinstance(obj, Tensor):
        obj = obj.tolist()
    given = [obj] if isinstance(obj, int) and not isinstance(obj, bool) else list(obj)
    if given and all(isinstance(i, bool) for i in given):
        given = [i for i, keep in enumerate(given) if keep]
    limit = size + 1 if op == "insert" else size
    for i in given:
        if not -size <= i < limit:
            raise error(
                _core.IndexOutOfRange,
                op,
                f"index {i} is out of range for an axis of size {size}",
            )
    return [i + size if i < 0 else i for i in given]


def delete(x: Any, obj: Any, axis: int | None = None) -> Tensor:
    """The tensor without some of the indices of an axis, or of the flattened tensor.

    Parameters
    ----------
    x : Tensor
    obj : int, slice, sequence of int or of bool
        What is left out.
    axis : int, optional

    Examples
    --------
    >>> sn.delete(sn.arange(5), [0, -1]).tolist()
    [1, 2, 3]
    """
    x = _tensor(x)
    if axis is None:
        x, axis = _reshape(x, -1), 0
    size = x.shape[axis]
    gone = set(_places("delete", obj, size))
    kept = asarray([i for i in range(size) if i not in gone], _core.int64)
    return _f["index_select"](x, axis, kept)


def insert(x: Any, obj: Any, values: Any, axis: int | None = None) -> Tensor:
    """The tensor with values put before some indices of an axis, or of the flattened tensor.

    Parameters
    ----------
    x : Tensor
    obj : int or sequence of int
        Before which indices of x.
    values : Tensor or number
        Broadcast to one slice for each index; converted to the dtype of x.
    axis : int, optional

    Examples
    --------
    >>> sn.insert(sn.tensor([1, 2, 3]), 1, 9).tolist()
    [1, 9, 2, 3]
    """
    x = _tensor(x)
    if axis is None:
        x, axis = _reshape(x, -1), 0
    axis %= x.ndim
    size, single = x.shape[axis], isinstance(obj, int)
    before = _places("insert", obj, size)
    shape = [*x.shape[:axis], len(before), *x.shape[axis + 1 :]]
    values = _tensor(values).astype(x.dtype)
    if single and values.ndim == x.ndim - 1 and values.ndim > 0:
        values = values.unsqueeze(axis)
    elif single and values.ndim == x.ndim:
        before = before * values.shape[axis]
        shape[axis] = len(before)
    fresh = _f["broadcast_to"](values, tuple(shape))
    places = sorted(
        range(size + len(before)), key=lambda i: (i, 1) if i < size else (before[i - size], 0)
    )
    return _f["index_select"](_concat([x, fresh], axis), axis, asarray(places, _core.int64))


def extract(condition: Any, x: Any) -> Tensor:
    """The elements where a condition holds, in the order of their indices: a vector.

    Examples
    --------
    >>> x = sn.arange(4)
    >>> sn.extract(x % 2 == 0, x).tolist()
    [0, 2]
    """
    return _reshape(_tensor(x), -1)[_reshape(_tensor(condition), -1) != 0]


def compress(condition: Any, x: Any, axis: int | None = None) -> Tensor:
    """The slices along an axis for which a condition holds; of the flattened tensor by default.

    Examples
    --------
    >>> sn.compress([False, True], sn.tensor([[1, 2], [3, 4]]), 0).tolist()
    [[3, 4]]
    """
    x, chosen = _tensor(x), flatnonzero(condition)
    if axis is None:
        x, axis = _reshape(x, -1), 0
    return _f["index_select"](x, axis, chosen)


def flatnonzero(x: Any) -> Tensor:
    """Indices of the elements of the flattened tensor that are not zero.

    Examples
    --------
    >>> sn.flatnonzero(sn.tensor([[0, 3], [5, 0]])).tolist()
    [1, 2]
    """
    return _f["argwhere"](_reshape(_tensor(x), -1))[:, 0]


def argpartition(x: Any, kth: int, axis: int = -1) -> Tensor:
    """Indices in an order in which the kth element stands where sorting puts it, with none larger
    before it and none smaller behind; here all are sorted.

    Examples
    --------
    >>> sn.argpartition(sn.tensor([3, 1, 2]), 1)[1].item()
    2
    """
    x = _tensor(x)
    size = x.shape[axis]
    if not -size <= kth < size:
        raise error(
            _core.IndexOutOfRange,
            "argpartition",
            f"kth is {kth} for an axis of size {size}; it must be in [{-size}, {size - 1}]",
        )
    return _f["argsort"](x, axis)


def ravel_multi_index(multi_index: Sequence[Any], dims: Sequence[int]) -> Tensor:
    """Indices of the flattened tensor of shape `dims`, from one tensor of indices for each axis.

    Examples
    --------
    >>> sn.ravel_multi_index((sn.tensor([0, 1]), sn.tensor([2, 0])), (2, 3)).tolist()
    [2, 3]
    """
    if len(multi_index) != len(dims):
        raise error(
            _core.ShapeError,
            "ravel_multi_index",
            f"{len(multi_index)} tensors of indices are given for the shape {tuple(dims)}",
        )
    flat: Any = 0
    for index, size in zip(multi_index, dims, strict=True):
        flat = flat * size + _tensor(index)
    return _tensor(flat)


def digitize(x: Any, bins: Any, right: bool = False) -> Tensor:
    """The number of the bin that each element is in: i for ``bins[i-1] <= x < bins[i]``, or with
    `right` for ``bins[i-1] < x <= bins[i]``. Bins increase or decrease.

    Examples
    --------
    >>> sn.digitize(sn.tensor([0.5, 2.0]), sn.tensor([0.0, 1.0, 2.0])).tolist()
    [1, 3]
    """
    x, bins = _tensor(x), _tensor(bins)
    n = bins.shape[0]
    if n > 1 and bool(bins[0] > bins[-1]):
        return n - _f["searchsorted"](_f["flip"](bins, 0), x, right=not right)
    return _f["searchsorted"](bins, x, right=not right)


def ediff1d(x: Any, to_end: Any = None, to_begin: Any = None) -> Tensor:
    """Differences of neighbours in the flattened tensor, between what is put at its ends.

    Examples
    --------
    >>> sn.ediff1d(sn.tensor([1, 4, 9]), to_begin=0).tolist()
    [0, 3, 5]
    """
    steps = _f["diff"](_reshape(_tensor(x), -1))
    parts = [steps]
    if to_begin is not None:
        parts.insert(0, _reshape(_tensor(to_begin), -1).astype(steps.dtype))
    if to_end is not None:
        parts.append(_reshape(_tensor(to_end), -1).astype(steps.dtype))
    return _concat(parts, 0)


# ---- sets of elements ----------------------------------------------------------------------------


def union1d(a: Any, b: Any) -> Tensor:
    """The elements of two tensors, each once, sorted.

    Examples
    --------
    >>> sn.union1d(sn.tensor([3, 1]), sn.tensor([1, 2])).tolist()
    [1, 2, 3]
    """
    return _f["unique"](append(a, b))


def intersect1d(a: Any, b: Any) -> Tensor:
    """The elements that are in both tensors, each once, sorted.

    Examples
    --------
    >>> sn.intersect1d(sn.tensor([3, 1]), sn.tensor([1, 2])).tolist()
    [1]
    """
    found = _f["unique"](_tensor(a))
    return found[_f["isin"](found, _tensor(b))]


def setdiff1d(a: Any, b: Any) -> Tensor:
    """The elements of a that are not in b, each once, sorted.

    Examples
    --------
    >>> sn.setdiff1d(sn.tensor([3, 1]), sn.tensor([1, 2])).tolist()
    [3]
    """
    found = _f["unique"](_tensor(a))
    return found[_f["isin"](found, _tensor(b), invert=True)]


def setxor1d(a: Any, b: Any) -> Tensor:
    """The elements that are in one of the tensors only, each once, sorted.

    Examples
    --------
    >>> sn.setxor1d(sn.tensor([3, 1]), sn.tensor([1, 2])).tolist()
    [2, 3]
    """
    return union1d(setdiff1d(a, b), setdiff1d(b, a))


# ---- products of neighbours ----------------------------------------------------------------------


def convolve(a: Any, v: Any, mode: str = "full") -> Tensor:
    """The convolution of two vectors: sums of ``a[i] * v[n - i]``.

    Parameters
    ----------
    a, v : Tensor
        (n,) and (m,), 1 or more elements each.
    mode : str
        "full": n + m - 1 elements; "same": max(n, m), from the middle; "valid": those to which all
        of the shorter vector contributes.

    Examples
    --------
    >>> sn.convolve(sn.tensor([1.0, 2.0, 3.0]), sn.tensor([0.0, 1.0, 0.5])).tolist()
    [0.0, 1.0, 2.5, 4.0, 1.5]
    """
    a, v = _floats(a), _floats(v)
    if a.ndim != 1 or v.ndim != 1 or a.size == 0 or v.size == 0:
        raise error(
            _core.ShapeError,
            "convolve",
            f"the operands have shapes {a.shape} and {v.shape}; vectors of 1 element or more are "
            "required",
        )
    if mode not in ("full", "same", "valid"):
        raise error(
            _core.InvalidValue,
            "convolve",
            f"mode is {mode!r}; it must be 'full', 'same' or 'valid'",
        )
    kind = _core.promote_types(a.dtype, v.dtype)
    a, v = a.astype(kind), v.astype(kind)
    if a.shape[0] < v.shape[0]:
        a, v = v, a
    n, m = a.shape[0], v.shape[0]
    pad = 0 if mode == "valid" else m - 1
    from .nn.functional import conv1d

    whole = conv1d(a.reshape(1, 1, n), _f["flip"](v, 0).reshape(1, 1, m), padding=pad).reshape(-1)
    if mode == "same":
        start = (m - 1) // 2
        whole = whole[start : start + n]
    return whole


def correlate(a: Any, v: Any, mode: str = "valid") -> Tensor:
    """The correlation of two vectors: the convolution of a with v conjugated and reversed.

    Examples
    --------
    >>> sn.correlate(sn.tensor([1.0, 2.0, 3.0]), sn.tensor([0.0, 1.0])).tolist()
    [2.0, 3.0]
    """
    v = _floats(v)
    return convolve(a, _f["flip"](_f["conj"](v) if v.dtype.is_complex else v, 0), mode)
