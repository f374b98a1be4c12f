"""Reductions, cumulative sums, and what finds the largest elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sennit as sn

from .._interpret import Call
from .._registry import op
from ._common import axes_of, axis_of, exact, highest, ints, lowest, product

_Axes = tuple[int, ...]


def _reduction(
    name: str, compute: Callable[[Call, Any, _Axes, bool], Any], alone: Callable[..., Any] | None
) -> None:
    @op(name, numbers=(1,), host=name in ("ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin"))
    def reduce(
        c: Call,
        x: Any,
        given: Any = None,
        *,
        axes: list[int] | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Any:
        chosen = ints(given) if given is not None else axes
        if not chosen:
            if noop_with_empty_axes:
                return x if alone is None else alone(c, x)
            chosen = list(range(x.ndim))
        where = tuple(sorted(set(axes_of(c, chosen, x.ndim))))
        return exact(compute(c, x, where, bool(keepdims)), x.dtype)


def _kept(x: Any, axes: _Axes, keepdims: bool) -> tuple[int, ...]:
    sizes = [1 if k in axes else n for k, n in enumerate(x.shape)]
    return tuple(sizes) if keepdims else tuple(n for k, n in enumerate(x.shape) if k not in axes)


def _extreme(largest: bool) -> Callable[..., Any]:
    def compute(c: Call, x: Any, axes: _Axes, keepdims: bool) -> Any:
        if product([x.shape[k] for k in axes]) == 0:
            dtype = getattr(sn, "bool" if x.dtype == "bool" else x.dtype.name)
            value = lowest(dtype) if largest else highest(dtype)
            return sn.full(_kept(x, axes, keepdims), value, dtype=dtype)
        return (c.xp.max if largest else c.xp.min)(x, axis=axes, keepdims=keepdims)

    return compute


def _sum(c: Call, x: Any, axes: _Axes, keepdims: bool) -> Any:
    return c.xp.sum(x, axis=axes, keepdims=keepdims)


def _log_sum_exp(c: Call, x: Any, axes: _Axes, keepdims: bool) -> Any:
    if product([x.shape[k] for k in axes]) == 0:
        return sn.full(_kept(x, axes, keepdims), float("-inf"), dtype=x.dtype)
    if "float" not in x.dtype.name:
        return sn.logsumexp(x.astype(sn.float64), axis=axes, keepdims=keepdims)
    return sn.logsumexp(x, axis=axes, keepdims=keepdims)


def _root(x: Any) -> Any:
    return sn.sqrt(x if "float" in x.dtype.name else x.astype(sn.float64))


def _log(x: Any) -> Any:
    return sn.log(x if "float" in x.dtype.name else x.astype(sn.float64))


def _average(c: Call, x: Any, axes: _Axes, keepdims: bool) -> Any:
    if "float" in x.dtype.name:
        return sn.mean(x, axis=axes, keepdims=keepdims)
    count = product([x.shape[k] for k in axes])
    return sn.divide(sn.sum(x, axis=axes, keepdims=keepdims), max(count, 1), rounding_mode="trunc")


_reduction("ReduceSum", _sum, None)
_reduction("ReduceMean", _average, None)
_reduction("ReduceMax", _extreme(True), None)
_reduction("ReduceMin", _extreme(False), None)
_reduction("ReduceProd", lambda c, x, a, k: c.xp.prod(x, axis=a, keepdims=k), None)
_reduction("ReduceL1", lambda c, x, a, k: sn.sum(sn.abs(x), axis=a, keepdims=k),
           lambda c, x: sn.abs(x))  # fmt: skip
_reduction("ReduceL2", lambda c, x, a, k: _root(sn.sum(x * x, axis=a, keepdims=k)),
           lambda c, x: sn.abs(x))  # fmt: skip
_reduction("ReduceLogSum", lambda c, x, a, k: _log(sn.sum(x, axis=a, keepdims=k)),
           lambda c, x: exact(_log(x), x.dtype))  # fmt: skip
_reduction("ReduceLogSumExp", _log_sum_exp, None)
_reduction("ReduceSumSquare", lambda c, x, a, k: sn.sum(x * x, axis=a, keepdims=k),
           lambda c, x: x * x)  # fmt: skip


def _arg(name: str, largest: bool) -> None:
    @op(name)
    def compute(
        c: Call, x: Any, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
    ) -> Any:
        axis = axis_of(c, axis, x.ndim)
        find = sn.argmax if largest else sn.argmin
        if not select_last_index:
            return find(x, axis=axis, keepdims=bool(keepdims))
        last = find(sn.flip(x, (axis,)), axis=axis, keepdims=bool(keepdims))
        return x.shape[axis] - 1 - last


_arg("ArgMax", True)
_arg("ArgMin", False)


def _cumulative(name: str, function: Callable[..., Any], start: int) -> None:
    @op(name, numbers=(1,))
    def compute(c: Call, x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Any:
        k = axis_of(c, int(axis.item()), x.ndim)
        if reverse:
            x = sn.flip(x, (k,))
        result = exact(function(x, k), x.dtype)
        if exclusive and x.shape[k]:
            first = sn.full([1 if i == k else n for i, n in enumerate(x.shape)], start, x.dtype)
            result = sn.concat([first, sn.narrow(result, k, 0, x.shape[k] - 1)], axis=k)
        return sn.flip(result, (k,)) if reverse else result


_cumulative("CumSum", sn.cumsum, 0)
_cumulative("CumProd", sn.cumprod, 1)


@op("TopK", numbers=(1,))
def _top_k(
    c: Call,
    x: Any,
    count: Any = None,
    *,
    k: int = 0,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,
) -> Any:
    wanted = ints(count)[0] if count is not None else k
    axis = axis_of(c, axis, x.ndim)
    if not 0 <= wanted <= x.shape[axis]:
        raise c.invalid(f"k is {wanted}, and axis {axis} has {x.shape[axis]} elements")
    if wanted == 0:
        shape = [0 if i == axis else n for i, n in enumerate(x.shape)]
        return sn.zeros(shape, dtype=x.dtype), sn.zeros(shape, dtype=sn.int64)
    return tuple(sn.topk(x, wanted, axis, bool(largest), bool(sorted)))
