"""Control flow: If, Loop and Scan.

They run as Python does: a branch is taken, a loop is written out. While a function is traced and
the condition or the number of rounds depends on values, they become `sn.cond`, `sn.while_loop` and
`sn.scan`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sennit as sn

from ... import _core
from ..._core import InvalidValue, SennitError, Tensor
from ..._sizes import tracing_sizes
from .._compile import Block
from .._interpret import Call
from .._registry import op
from .._values import Known, has_dtype
from ._common import axis_of
from .shape import empty_of

_MAX_UNROLLED = 10_000
_MOST_ROWS = 64  # a traced scan of more is no longer written out


@op("If", raw=True)
def _if(c: Call, condition: Any, *, then_branch: Block, else_branch: Block) -> Any:
    try:
        taken = bool(c.host(condition, "the condition").reshape(-1)[0])
    except InvalidValue:
        if not _core.tracing():
            raise
        return _both(c, condition, then_branch, else_branch)
    return tuple(c.block(then_branch if taken else else_branch, []))


def _both(c: Call, condition: Any, then_branch: Block, else_branch: Block) -> Any:
    """A node of the traced graph, which holds both branches."""

    def run(branch: Block) -> Callable[[], Any]:
        return lambda: tuple(c.tensor(x) for x in c.block(branch, []))

    _settle(c, then_branch, else_branch)
    try:
        return sn.cond(c.tensor(condition), run(then_branch), run(else_branch))
    except SennitError as cause:
        raise c.invalid(
            "the branch depends on the model's inputs, and its two sides do not agree "
            f"({_line(cause)}); run the model with sn.onnx.to_function, or fix the input that "
            "decides with load(..., fixed={name: value})"
        ) from cause


def _line(cause: Exception) -> str:
    return str(cause).split("\n")[0]


def _settle(c: Call, *blocks: Block) -> None:
    """Makes the tensors of known values that blocks read: outside, where all can see them."""
    for name in sorted(set().union(*(block.captured for block in blocks))):
        value = c.scope[name]
        if isinstance(value, Known) and has_dtype(value.array):
            _ = value.tensor


@op("Loop", raw=True)
def _loop(c: Call, count: Any = None, condition: Any = None, *states: Any, body: Block) -> Any:
    import numpy as np

    if _core.tracing() and not all(x is None or isinstance(x, Known) for x in (count, condition)):
        return _traced_loop(c, count, condition, states, body)
    most = int(c.host(count, "the number of rounds").reshape(-1)[0]) if count is not None else None
    if most is not None and most > _MAX_UNROLLED and _core.tracing():
        return _traced_loop(c, count, condition, states, body)
    go = True if condition is None else bool(c.host(condition, "the condition").reshape(-1)[0])
    carried = list(states)
    scans: list[list[Any]] = [[] for _ in range(len(body.outputs) - 1 - len(carried))]
    k = 0
    while go and (most is None or k < most):
        if k >= _MAX_UNROLLED and _core.tracing():
            return _traced_loop(c, count, condition, states, body)
        results = c.block(body, [Known(np.asarray(k)), Known(np.asarray(True)), *carried])
        if k == 0 and isinstance(results[0], Tensor) and _core.is_traced(results[0]):
            return _traced_loop(c, count, condition, states, body)
        go = bool(c.host(results[0], "the condition").reshape(-1)[0])
        carried = results[1 : 1 + len(carried)]
        for scan, value in zip(scans, results[1 + len(carried) :], strict=True):
            scan.append(value)
        k += 1
    return (*carried, *(_stacked(c, s, body, i + 1 + len(carried), 0) for i, s in enumerate(scans)))


def _traced_loop(
    c: Call, count: Any, condition: Any, states: tuple[Any, ...], body: Block
) -> tuple[Any, ...]:
    """A loop of the traced graph. How often it runs is known only at a call."""
    if len(body.outputs) - 1 > len(states):
        raise c.invalid(
            "how often the loop runs depends on the model's inputs, and so does the size of what "
            "it collects, which no graph can know; run the model with sn.onnx.to_function, or fix "
            "the input that decides with load(..., fixed={name: value})"
        )
    _settle(c, body)
    most = None if count is None else c.tensor(count).reshape(())
    go = True if condition is None else c.tensor(condition).reshape(())

    def going(carry: Any) -> Any:
        return carry[1] if most is None else carry[1] & (carry[0] < most)

    def step(carry: Any) -> Any:
        k, go, values = carry
        results = c.block(body, [k, go, *values])
        made = tuple(c.tensor(x) for x in results[1:])
        return k + 1, c.tensor(results[0]).reshape(()), made

    start = (sn.zeros((), dtype=sn.int64), go, tuple(c.tensor(x) for x in states))
    try:
        return tuple(sn.while_loop(going, step, start)[2])
    except SennitError as cause:
        raise c.invalid(
            f"how often the loop runs depends on the model's inputs, and it cannot be traced "
            f"({_line(cause)}); run the model with sn.onnx.to_function, or fix the input that "
            "decides with load(..., fixed={name: value})"
        ) from cause


def _stacked(c: Call, values: list[Any], body: Block, output: int, axis: int) -> Any:
    """The values of all rounds along a new axis."""
    import numpy as np

    if not values:
        return Known(empty_of(*_declared(c, body, output)))
    if all(isinstance(v, Known) for v in values) and sum(v.array.size for v in values) <= 65536:
        return Known(np.stack([v.array for v in values], axis=axis))
    return sn.stack([c.tensor(v) for v in values], axis=axis)


def _declared(c: Call, body: Block, output: int) -> tuple[int, tuple[int, ...]]:
    """What the file says of an output of a body that never ran."""
    proto = body.declared.get(body.outputs[output])
    kind = proto.tensor_type if proto is not None else None
    sizes = [d.dim_value for d in kind.shape.dim] if kind is not None else []
    return (kind.elem_type or 1) if kind is not None else 1, (0, *sizes)


@op("Scan", raw=True)
def _scan(
    c: Call,
    *values: Any,
    body: Block,
    num_scan_inputs: int,
    scan_input_axes: list[int] | None = None,
    scan_input_directions: list[int] | None = None,
    scan_output_axes: list[int] | None = None,
    scan_output_directions: list[int] | None = None,
    directions: list[int] | None = None,
) -> Any:
    if c.version < 9:
        return _scan_batched(c, values, body, num_scan_inputs, directions)
    count = len(values) - num_scan_inputs
    return _scan_one(
        c, list(values[:count]), [c.tensor(v) for v in values[count:]], body,
        scan_input_axes, scan_input_directions, scan_output_axes, scan_output_directions,
    )  # fmt: skip


def _scan_one(
    c: Call,
    states: list[Any],
    given: list[Tensor],
    body: Block,
    in_axes: list[int] | None,
    in_directions: list[int] | None,
    out_axes: list[int] | None,
    out_directions: list[int] | None,
) -> Any:
    axes = [axis_of(c, a, x.ndim) for a, x in zip(in_axes or [0] * len(given), given, strict=True)]
    lengths = {x.shape[a] for a, x in zip(axes, given, strict=True)}
    if len(lengths) > 1:
        raise c.invalid(f"the scanned inputs have lengths {sorted(lengths)}; they must agree")
    length = lengths.pop() if lengths else 0
    backward = in_directions or [0] * len(given)
    if _core.tracing() and (tracing_sizes() or length > _MOST_ROWS):
        try:
            return _traced_scan(
                c, states, given, axes, backward, length, body, out_axes, out_directions
            )
        except SennitError:
            if tracing_sizes():
                raise
    outputs: list[list[Any]] = [[] for _ in range(len(body.outputs) - len(states))]
    for k in range(length):
        parts = [
            sn.select(x, a, length - 1 - k if back else k)
            for x, a, back in zip(given, axes, backward, strict=True)
        ]
        results = c.block(body, [*states, *parts])
        states = results[: len(states)]
        for out, value in zip(outputs, results[len(states) :], strict=True):
            out.append(value)
    reversed_ = out_directions or [0] * len(outputs)
    stacked = []
    for i, out in enumerate(outputs):
        values = out[::-1] if reversed_[i] else out
        axis = (out_axes or [0] * len(outputs))[i]
        stacked.append(_stacked(c, values, body, len(states) + i, axis))
    return (*states, *stacked)


def _traced_scan(
    c: Call,
    states: list[Any],
    given: list[Tensor],
    axes: list[int],
    backward: list[int],
    length: int,
    body: Block,
    out_axes: list[int] | None,
    out_directions: list[int] | None,
) -> Any:
    """One node of the traced graph."""
    _settle(c, body)
    rows = []
    for x, axis, back in zip(given, axes, backward, strict=True):
        x = sn.moveaxis(x, axis, 0)
        rows.append(sn.flip(x, 0) if back else x)

    def step(carry: Any, parts: Any) -> Any:
        results = [c.tensor(x) for x in c.block(body, [*carry, *parts])]
        return results[: len(carry)], results[len(carry) :]

    last, made = sn.scan(step, [c.tensor(x) for x in states], rows, length=length)
    placed = []
    for k, x in enumerate(made):
        x = sn.flip(x, 0) if out_directions and out_directions[k] else x
        placed.append(sn.moveaxis(x, 0, out_axes[k] if out_axes else 0))
    return (*last, *placed)


def _scan_batched(
    c: Call, values: tuple[Any, ...], body: Block, num_scan_inputs: int, directions: Any
) -> Any:
    """Version 8: a batch axis in front, and lengths of the rows."""
    lengths, *rest = values
    count = len(rest) - num_scan_inputs
    batch = rest[0].shape[0]
    rows = []
    for b in range(batch):
        states = [sn.select(c.tensor(v), 0, b) for v in rest[:count]]
        given = [sn.select(c.tensor(v), 0, b) for v in rest[count:]]
        if lengths is not None:
            n = int(c.host(lengths, "the lengths")[b])
            given = [sn.narrow(x, 0, 0, n) for x in given]
        rows.append(_scan_one(c, states, given, body, None, directions, None, None))
    return tuple(sn.stack([c.tensor(r[k]) for r in rows], axis=0) for k in range(len(rows[0])))
