"""Sums, maxima, variances over each axis; argmax; cumulative sums; log-sum-exp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.arrays import normal
from benchmarks.workload import Workload, kernel

ASCII = {ord("²"): "x2", ord("³"): "x3"}


def square() -> dict[str, np.ndarray]:
    return {"x": normal("x", 4096, 4096) + np.float32(0.5)}


def cube() -> dict[str, np.ndarray]:
    return {"x": normal("x", 256, 256, 256) + np.float32(0.5)}


def of_square(
    name: str, title: str, arrays: Any = square, **functions: Callable[..., Any]
) -> Workload:
    return kernel(name, "reductions", title, arrays, bytes=4.0 * (1 << 24), **functions)


def total(axis: int | None, where: str, arrays: Any, shape: str) -> Workload:
    return of_square(
        f"sum-{shape.translate(ASCII)}-{'all' if axis is None else axis}",
        f"sum of {shape} over {where}", arrays,
        torch=lambda t, x: x.sum() if axis is None else x.sum(dim=axis),
        jax=lambda t, x: x.sum(axis=axis), numpy=lambda t, x: x.sum(axis=axis),
        tensorflow=lambda t, x: t.lib.reduce_sum(x, axis=axis),
        mxnet=lambda t, x: x.sum().reshape(()) if axis is None else x.sum(axis=axis),
    )  # fmt: skip


WORKLOADS = [
    total(0, "axis 0", square, "4096²"),
    total(1, "axis 1", square, "4096²"),
    total(None, "all", square, "4096²"),
    *(total(axis, f"axis {axis}", cube, "256³") for axis in range(3)),
    of_square(
        "max-0", "maximum of 4096² over axis 0",
        torch=lambda t, x: t.lib.amax(x, dim=0), jax=lambda t, x: x.max(axis=0),
        numpy=lambda t, x: x.max(axis=0), tensorflow=lambda t, x: t.lib.reduce_max(x, axis=0),
    ),
    of_square(
        "argmax-1", "argmax of 4096² over axis 1",
        torch=lambda t, x: x.argmax(dim=1), jax=lambda t, x: x.argmax(axis=1),
        numpy=lambda t, x: x.argmax(axis=1), tensorflow=lambda t, x: t.lib.argmax(x, axis=1),
    ),
    of_square(
        "variance-1", "variance of 4096² over axis 1",
        torch=lambda t, x: t.lib.var(x, dim=1, correction=0), jax=lambda t, x: x.var(axis=1),
        numpy=lambda t, x: x.var(axis=1),
        tensorflow=lambda t, x: t.lib.math.reduce_variance(x, axis=1),
    ),
    of_square(
        "variance-0", "variance of 4096² over axis 0",
        torch=lambda t, x: t.lib.var(x, dim=0, correction=0), jax=lambda t, x: x.var(axis=0),
        numpy=lambda t, x: x.var(axis=0),
        tensorflow=lambda t, x: t.lib.math.reduce_variance(x, axis=0),
    ),
    of_square(
        "logsumexp-1", "log-sum-exp of 4096² over axis 1",
        torch=lambda t, x: t.lib.logsumexp(x, dim=1),
        jax=lambda t, x: t.nn.logsumexp(x, axis=1),
        tensorflow=lambda t, x: t.lib.reduce_logsumexp(x, axis=1),
    ),
    kernel(
        "cumulative-sum-1", "reductions", "cumulative sum of 4096² along axis 1", square,
        torch=lambda t, x: t.lib.cumsum(x, dim=1), jax=lambda t, x: t.np.cumsum(x, axis=1),
        numpy=lambda t, x: np.cumsum(x, axis=1),
        tensorflow=lambda t, x: t.lib.cumsum(x, axis=1), bytes=8.0 * (1 << 24),
    ),
]  # fmt: skip
