"""Operators that read and write at indices."""

from __future__ import annotations

from typing import Any

import sennit as sn

from .._interpret import Call
from .._registry import op
from .._values import Known, to_tensor
from ._common import axis_of, ints, product


def _wrapped(indices: Any, size: int) -> Any:
    """Indices with negative ones counted from the end."""
    if indices.dtype != sn.int64:
        indices = indices.astype(sn.int64)
    return sn.where(indices < 0, indices + size, indices)


@op("Gather", host=True)
def _gather(c: Call, x: Any, indices: Any, *, axis: int = 0) -> Any:
    axis = axis_of(c, axis, x.ndim)
    if c.xp is not sn:
        return c.xp.take(x, indices, axis=axis)
    known = c.scope[c.step.inputs[1]]
    if isinstance(known, Known) and known.array.ndim == 0 and not known.sized:
        return sn.select(x, axis, int(known.array))
    if axis == 0 and x.ndim == 2 and indices.ndim >= 1 and not isinstance(known, Known):
        # The rows of a table; the checks of bounds are the embedding's.
        return sn.take(x, indices, axis=0)
    return sn.take(x, indices, axis=axis)


@op("GatherElements", host=True)
def _gather_elements(c: Call, x: Any, indices: Any, *, axis: int = 0) -> Any:
    axis = axis_of(c, axis, x.ndim)
    if c.xp is not sn:
        for k, n in enumerate(indices.shape):
            if k != axis and n < x.shape[k]:
                x = x[tuple(slice(n) if i == k else slice(None) for i in range(x.ndim))]
        return c.xp.take_along_axis(x, indices, axis)
    return sn.gather(x, axis, _wrapped(indices, x.shape[axis]))


@op("GatherND")
def _gather_nd(c: Call, x: Any, indices: Any, *, batch_dims: int = 0) -> Any:
    depth = indices.shape[-1]
    if not 0 < depth <= x.ndim - batch_dims:
        raise c.invalid(
            f"indices of shape {tuple(indices.shape)} do not address an input of rank {x.ndim}"
        )
    index = []
    outer = indices.ndim - 1
    for k in range(batch_dims):
        shape = [1] * outer
        shape[k] = x.shape[k]
        index.append(sn.broadcast_to(sn.arange(x.shape[k]).reshape(shape), indices.shape[:-1]))
    for k in range(depth):
        index.append(_wrapped(indices[..., k], x.shape[batch_dims + k]))
    return x[tuple(index)]


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@op("ScatterElements", "Scatter")
def _scatter_elements(
    c: Call, x: Any, indices: Any, updates: Any, *, axis: int = 0, reduction: str = "none"
) -> Any:
    axis = axis_of(c, axis, x.ndim)
    where = _wrapped(indices, x.shape[axis])
    if reduction == "none":
        return sn.scatter(x, axis, where, updates)
    if reduction not in _REDUCTIONS:
        raise c.invalid(f"the reduction is {reduction!r}; none, add, mul, max or min are known")
    return sn.scatter_reduce(x, axis, where, updates, _REDUCTIONS[reduction])


@op("ScatterND")
def _scatter_nd(c: Call, x: Any, indices: Any, updates: Any, *, reduction: str = "none") -> Any:
    depth = indices.shape[-1]
    if depth > x.ndim:
        raise c.invalid(f"indices of depth {depth} do not address an input of rank {x.ndim}")
    if product(indices.shape[:-1]) == 0:
        return x
    lead, rest = x.shape[:depth], x.shape[depth:]
    flat = None
    for k in range(depth):
        part = _wrapped(indices[..., k], lead[k])
        flat = part if flat is None else flat * lead[k] + part
    count = product(indices.shape[:-1])
    where = sn.zeros((count,), dtype=sn.int64) if flat is None else flat.reshape((count,))
    table = x.reshape((product(lead), product(rest)))
    rows = updates.reshape((count, product(rest)))
    if reduction == "none":
        result = sn.index_copy(table, 0, where, rows)
    elif reduction == "add":
        result = sn.index_add(table, 0, where, rows)
    elif reduction in _REDUCTIONS:
        result = sn.index_reduce(table, 0, where, rows, _REDUCTIONS[reduction])
    else:
        raise c.invalid(f"the reduction is {reduction!r}; none, add, mul, max or min are known")
    return result.reshape(x.shape)


@op("TensorScatter")
def _tensor_scatter(
    c: Call, past: Any, update: Any, indices: Any = None, *, axis: int = -2, mode: str = "linear"
) -> Any:
    """Writes new entries into a cache, for each batch row from a position of its own."""
    axis = axis_of(c, axis, past.ndim)
    length, count = past.shape[axis], update.shape[axis]
    batch = past.shape[0]
    start = sn.zeros((batch,), dtype=sn.int64) if indices is None else indices.astype(sn.int64)
    where = start.reshape((batch, 1)) + sn.arange(count).reshape((1, count))
    if mode == "circular":
        where = sn.remainder(where, length)
    shape = [1] * past.ndim
    shape[0], shape[axis] = batch, count
    return sn.scatter(past, axis, sn.broadcast_to(where.reshape(shape), update.shape), update)


@op("OneHot", numbers=(1,))
def _one_hot(c: Call, indices: Any, depth: Any, values: Any, *, axis: int = -1) -> Any:
    count = ints(depth)[0]
    axis = axis_of(c, axis, indices.ndim + 1)
    if indices.dtype != sn.int64:
        indices = indices.astype(sn.int64)
    where = sn.expand_dims(_wrapped(indices, count), axis)
    shape = [1] * where.ndim
    shape[axis] = count
    return sn.where(sn.arange(count).reshape(shape) == where, values[1], values[0])


@op("NonZero", raw=True)
def _nonzero(c: Call, x: Any) -> Any:
    import numpy as np

    if isinstance(x, Known):
        array = x.array if x.array.ndim else x.array.reshape(1)
        found = np.stack(np.nonzero(array)).astype(np.int64)
        return Known(found if x.array.ndim else found[:0])
    c.host(x, "the operand")  # in a trace: the error that says so
    return sn.matrix_transpose(sn.argwhere(x))


@op("Compress", numbers=(1,))
def _compress(c: Call, x: Any, condition: Any, *, axis: int | None = None) -> Any:
    import numpy as np

    where = np.nonzero(condition)[0].astype(np.int64)
    if axis is None:
        return sn.take(x.reshape((-1,)), to_tensor(where), axis=0)
    return sn.take(x, to_tensor(where), axis=axis_of(c, axis, x.ndim))


@op("Unique", raw=True)
def _unique(c: Call, x: Any, *, axis: int | None = None, sorted: int = 1) -> Any:
    import numpy as np

    array = c.host(x, "the operand")
    values, first, inverse, counts = np.unique(
        array, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    inverse = inverse.reshape(-1)
    if not sorted:
        order = np.argsort(first, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        values = np.take(values, order, axis=0 if axis is None else axis)
        first, counts, inverse = first[order], counts[order], rank[inverse]
    return tuple(
        Known(np.ascontiguousarray(a))
        for a in (values, *(v.astype(np.int64) for v in (first, inverse, counts)))
    )
