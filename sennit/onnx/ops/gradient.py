"""The derivative of a value of the graph: the operator of ONNX's domain for training."""

from __future__ import annotations

from typing import Any

import sennit as sn

from .._compile import Block
from .._interpret import Call
from .._registry import op


@op("Gradient", domain="ai.onnx.preview.training", raw=True)
def _gradient(
    c: Call, *given: Any, xs: list[str], y: str, block: Block, zs: list[str] | None = None
) -> Any:
    """The derivatives of the sum of y with respect to xs, where xs and zs have these values;
    `block` computes y from them (`Compiler.derived`)."""
    values = [c.tensor(v) for v in given]
    count = len(xs)

    def function(*args: Any) -> Any:
        return c.tensor(c.block(block, [*args, *values[count:]])[0])

    made, pull = sn.vjp(function, *values[:count])
    return tuple(pull(sn.ones_like(made)))
