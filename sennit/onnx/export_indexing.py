"""Rules of operations that read and write by index."""

from __future__ import annotations

from typing import Any

import numpy as np

from .export_builder import Call, product, rule


def _index(c: Call, i: int) -> str:
    """Operand i as indices: ONNX takes int32 and int64."""
    return c.x(i) if c.dtype(i) in ("int32", "int64") else c.cast(c.x(i), "int64")


@rule("take")
def _take(c: Call) -> str:
    return str(c.op("Gather", c.x(0), _index(c, 1), axis=c.attr("axis")))


@rule("embedding")
def _embedding(c: Call) -> str:
    return str(c.op("Gather", c.x(0), _index(c, 1)))


@rule("take_along_axis")
def _take_along_axis(c: Call) -> str:
    return str(c.op("GatherElements", c.x(0), _index(c, 1), axis=c.attr("axis")))


@rule("index_add")
def _index_add(c: Call) -> str:
    axis, shape, rank = c.attr("axis"), c.shape(0), c.rank(1)
    values, index = c.x(2), _index(c, 1)
    slab = [*shape[:axis], product(c.shape(1)), *shape[axis + 1 :]]
    if rank != 1:
        index, values = c.b.reshape(index, slab[axis : axis + 1]), c.b.reshape(values, slab)
    around = [i for i in range(len(slab)) if i != axis]
    if around:
        index = c.b.unsqueeze(index, *around)
    index = c.op("Expand", index, c.b.sizes(slab))
    return str(c.op("ScatterElements", c.x(0), index, values, axis=axis, reduction="add"))


@rule("scatter")
def _scatter(c: Call) -> str:
    more: dict[str, Any] = {"reduction": "add"} if c.attr("accumulate") else {}
    return str(c.op("ScatterElements", c.x(0), _index(c, 1), c.x(2), axis=c.attr("axis"), **more))


@rule("scatter_reduce")
def _scatter_reduce(c: Call) -> str:
    kind = ("mul", "max", "min")[c.attr("kind")]  # as ScatterKind of the core counts
    return str(
        c.op("ScatterElements", c.x(0), _index(c, 1), c.x(2), axis=c.attr("axis"), reduction=kind)
    )


def _places(c: Call, first: int) -> str:
    """Index tensors of one shape, joined along a new last dimension."""
    parts = []
    for i in range(first, c.count):
        index = c.x(i) if c.dtype(i) == "int64" else c.cast(c.x(i), "int64")
        parts.append(c.b.unsqueeze(index, c.rank(i)))
    return parts[0] if len(parts) == 1 else str(c.op("Concat", *parts, axis=-1))


@rule("gather_nd")
def _gather_nd(c: Call) -> str:
    return str(c.op("GatherND", c.x(0), _places(c, 1)))


@rule("scatter_nd")
def _scatter_nd(c: Call) -> str:
    more: dict[str, Any] = {"reduction": "add"} if c.attr("accumulate") else {}
    return str(c.op("ScatterND", c.x(0), _places(c, 2), c.x(1), **more))


@rule("nonzero")
def _nonzero(c: Call) -> str:
    return str(c.op("NonZero", c.x(0)))


@rule("one_hot")
def _one_hot(c: Call) -> str:
    values = c.const(np.array([0, 1]), c.attr("dtype"))
    depth = c.b.squeeze(c.b.size(c.attr("classes")), 0)
    if c.rank() > 0:
        return str(c.op("OneHot", _index(c, 0), depth, values, axis=-1))
    index = c.b.unsqueeze(_index(c, 0), 0)  # ONNX takes vectors and more
    return c.b.squeeze(c.op("OneHot", index, depth, values, axis=-1), 0)
