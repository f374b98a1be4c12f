"""Rules of reductions, running results, sorting and searching."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import numpy_helper

from .export_builder import FLOATS, Call, numpy_dtype, product, rule
from .export_sizes import Poly

# ---------------------------------------------------------------- reductions


def _reduction(kind: str) -> Callable[[Call], str]:
    def write(c: Call) -> str:
        x = c.x(0)
        if c.dtype() != c.out_dtype():
            x = c.cast(x, c.out_dtype())
        if kind == "ReduceMean" and nothing(c):
            return not_a_number(c)
        if not c.attr("axes"):
            return str(c.op("Identity", x)) if kind != "ReduceL2" else str(c.op("Abs", x))
        return str(c.b.reduce(kind, x, c.attr("axes"), c.attr("keepdims")))

    return write


for _name, _kind in {
    "sum": "ReduceSum", "sum_wide": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax",
    "min": "ReduceMin", "mean": "ReduceMean", "norm2": "ReduceL2",
}.items():  # fmt: skip
    rule(_name)(_reduction(_kind))


@rule("logsumexp")
def _logsumexp(c: Call) -> str:
    axes = c.attr("axes")
    if not axes:
        return str(c.op("Identity", c.x(0)))
    return str(c.b.reduce("ReduceLogSumExp", c.x(0), axes, c.attr("keepdims")))


@rule("any")
def _any(c: Call) -> str:
    x = c.cast(c.x(0), "int64")  # a sum, since no elements are false
    total = c.b.reduce("ReduceSum", x, c.attr("axes"), c.attr("keepdims"))
    return str(c.op("Greater", total, c.const(0, "int64")))


@rule("all")
def _all(c: Call) -> str:
    x = c.cast(c.x(0), "int32")
    return c.cast(c.b.reduce("ReduceMin", x, c.attr("axes"), c.attr("keepdims")), "bool")


def nothing(c: Call) -> bool:
    """Whether the axes of a reduction have no elements."""
    return any(c.shape()[axis] == 0 for axis in c.attr("axes"))


def not_a_number(c: Call) -> str:
    """A result of NaN: what a mean of nothing is."""
    nan = c.const(math.nan, c.out_dtype())
    return str(c.op("Expand", nan, c.b.sizes(c.out_shape())))


def centred(c: Call, x: str, axes: Sequence[int]) -> tuple[str, str]:
    """x without its mean over axes, and the mean (with the axes as ones)."""
    mean = c.b.reduce("ReduceMean", x, axes)
    return str(c.op("Sub", x, mean)), mean


def _variance(c: Call, x: str, correction: float) -> str:
    axes, keep = c.attr("axes"), c.attr("keepdims")
    if nothing(c):
        return not_a_number(c)
    apart, _ = centred(c, x, axes)
    square = c.op("Mul", apart, apart)
    if not axes:  # of a number: 0 / (1 - correction)
        return str(c.op("Div", square, c.num(max(1.0 - correction, 0.0))))
    if correction == 0:
        return str(c.b.reduce("ReduceMean", square, axes, keep))
    total = c.b.reduce("ReduceSum", square, axes, keep)
    count = product([c.shape()[a] for a in axes])
    if count.constant is not None:
        return str(c.op("Div", total, c.num(max(count.constant - correction, 0.0))))
    n = c.cast(c.b.squeeze(c.b.size(count), 0), c.dtype())
    n = c.op("Max", c.op("Sub", n, c.num(correction)), c.num(0.0))
    return str(c.op("Div", total, n))


@rule("var")
def _var(c: Call) -> str:
    correction = c.attr("correction") if "correction" in c.node.attributes else 0.0
    return _variance(c, c.x(0), correction)


@rule("std")
def _std(c: Call) -> str:
    return str(c.op("Sqrt", _variance(c, c.x(0), c.attr("correction"))))


@rule("var_mean")
def _var_mean(c: Call) -> tuple[str, str]:
    axes, keep = c.attr("axes"), c.attr("keepdims")
    x = c.x(0) if c.dtype() == c.out_dtype() else c.cast(c.x(0), c.out_dtype())
    apart, mean = centred(c, x, axes)
    var = c.b.reduce("ReduceMean", c.op("Mul", apart, apart), axes, keep)
    return var, mean if keep or not axes else c.b.squeeze(mean, *axes)


def _arg(kind: str) -> Callable[[Call], str]:
    def write(c: Call) -> str:
        return str(c.op(kind, c.x(0), axis=c.attr("axis"), keepdims=int(c.attr("keepdims"))))

    return write


rule("argmax")(_arg("ArgMax"))
rule("argmin")(_arg("ArgMin"))

# ---------------------------------------------------------------- running results


@rule("cumsum")
def _cumsum(c: Call) -> str:
    if not c.shape():
        return str(c.op("Identity", c.x(0)))
    return str(c.op("CumSum", c.x(0), c.const(c.attr("axis"), "int64")))


def running(c: Call, x: str, start: float, step: str) -> str:
    """A result after each element along the axis, by a Scan over it."""
    shape, axis = list(c.shape()), c.attr("axis")
    if not shape:
        return str(c.op("Identity", x))
    x, dtype = _wide(c, x)
    slab = [*shape[:axis], *shape[axis + 1 :]]
    first = (
        c.op("Expand", c.const(start, dtype), c.b.sizes(slab)) if slab else c.const(start, dtype)
    )
    _, made = c.b.scan(
        axis, False, [first], [(x, tuple(slab))], dtype, slab,
        lambda write, state, new: _both(write(step, state[0], new[0])),
    )  # fmt: skip
    return made if dtype == c.dtype() else c.cast(made, c.dtype())


def _both(x: str) -> tuple[str, str]:
    """The state is the result of a step."""
    return x, x


def _wide(c: Call, x: str) -> tuple[str, str]:
    """x and the dtype in which running results are computed: halves are rounded once."""
    dtype = c.dtype()
    return (c.cast(x, "float32"), "float32") if dtype in ("float16", "bfloat16") else (x, dtype)


@rule("cumprod")
def _cumprod(c: Call) -> str:
    return running(c, c.x(0), 1, "Mul")


def _lowest(dtype: str) -> float:
    return -math.inf if dtype in FLOATS else int(np.iinfo(dtype).min)


def _highest(dtype: str) -> float:
    return math.inf if dtype in FLOATS else int(np.iinfo(dtype).max)


@rule("running_max")
def _running_max(c: Call) -> str:
    return running(c, c.x(0), _lowest(c.dtype()), "Max")


@rule("running_min")
def _running_min(c: Call) -> str:
    return running(c, c.x(0), _highest(c.dtype()), "Min")


@rule("logcumsumexp")
def _logcumsumexp(c: Call) -> str:
    """Running sums of exponentials of what is left of the largest element up to each."""
    shape, axis = list(c.shape()), c.attr("axis")
    if not shape:
        return str(c.op("Identity", c.x(0)))
    x, dtype = _wide(c, c.x(0))
    slab = [*shape[:axis], *shape[axis + 1 :]]
    low = c.const(-math.inf, dtype)
    first = c.op("Expand", low, c.b.sizes(slab)) if slab else low
    none = numpy_helper.from_array(np.zeros((), numpy_dtype(dtype)))

    def step(write: Callable[..., str], state: list[str], new: list[str]) -> tuple[str, str]:
        s, t = state[0], new[0]
        zero = write("Constant", value=none)
        apart = write("Where", write("Equal", s, t), zero, write("Abs", write("Sub", s, t)))
        more = write("Softplus", write("Neg", apart))
        return _both(write("Add", write("Max", s, t), more))

    _, made = c.b.scan(axis, False, [first], [(x, tuple(slab))], dtype, slab, step)
    return made if dtype == c.dtype() else c.cast(made, c.dtype())


@rule("linear_scan")
def _linear_scan(c: Call) -> str:
    """out[j] = a[j] * out[j - 1] + b[j]."""
    shape, axis, dtype = list(c.shape()), c.attr("axis"), c.dtype()
    slab = [*shape[:axis], *shape[axis + 1 :]]
    zero = c.const(0.0, dtype)
    first = c.op("Expand", zero, c.b.sizes(slab)) if slab else zero
    inputs = [(c.x(0), tuple(slab)), (c.x(1), tuple(slab))]
    return c.b.scan(
        axis, False, [first], inputs, dtype, slab,
        lambda write, state, new: _both(write("Add", write("Mul", new[0], state[0]), new[1])),
    )[1]  # fmt: skip


# ---------------------------------------------------------------- sorting

# What runtimes sort; other dtypes go through one that holds them.
_SORTED = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "int32", "uint16": "int32",
           "uint32": "int64", "float16": "float32", "bfloat16": "float32"}  # fmt: skip


def _sorted(c: Call, k: Any, axis: int, largest: bool) -> tuple[str, str]:
    dtype = c.dtype()
    wide = _SORTED.get(dtype, dtype)
    x = c.x(0) if wide == dtype else c.cast(c.x(0), wide)
    if not c.shape():
        return c.x(0), c.const(0, "int64")
    values, index = c.op(
        "TopK", x, c.b.size(k), outputs=2, axis=axis, largest=int(largest), sorted=1
    )
    return (values if wide == dtype else c.cast(values, dtype)), index


@rule("sort")
def _sort(c: Call) -> str:
    axis = c.attr("axis")
    return _sorted(c, c.shape()[axis] if c.shape() else 1, axis, c.attr("descending"))[0]


@rule("argsort")
def _argsort(c: Call) -> str:
    axis = c.attr("axis")
    return _sorted(c, c.shape()[axis] if c.shape() else 1, axis, c.attr("descending"))[1]


@rule("topk")
def _topk(c: Call) -> tuple[str, str]:
    return _sorted(c, c.attr("k"), c.attr("axis"), c.attr("largest"))


@rule("searchsorted")
def _searchsorted(c: Call) -> str:
    """How many sorted elements stand before each value."""
    kind = "LessOrEqual" if c.attr("right") else "Less"
    rows, values = c.x(0), c.x(1)
    values = c.b.unsqueeze(values, c.rank(1))
    if c.rank(0) > 1:  # each row of values has its own vector
        rows = c.b.unsqueeze(rows, c.rank(0) - 1)
    before = c.cast(c.op(kind, rows, values), "int64")
    return str(c.b.reduce("ReduceSum", before, [c.rank(1)], keepdims=False))


__all__ = ["Poly", "centred", "running"]
