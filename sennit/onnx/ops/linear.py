"""Matrix products and what is defined with them."""

from __future__ import annotations

from typing import Any

import sennit as sn

from .._interpret import Call
from .._registry import op


@op("MatMul")
def _matmul(c: Call, a: Any, b: Any) -> Any:
    return sn.matmul(a, b)


@op("Gemm")
def _gemm(
    c: Call,
    a: Any,
    b: Any,
    bias: Any = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    broadcast: int = 0,
    transA: int = 0,
    transB: int = 0,
) -> Any:
    if transA:
        a = sn.matrix_transpose(a)
    if alpha == 1 and beta == 1 and (bias is None or bias.shape == (b.shape[0 if transB else 1],)):
        return sn.linear(a, b if transB else sn.matrix_transpose(b), bias)
    y = sn.matmul(a, sn.matrix_transpose(b) if transB else b)
    if alpha != 1:
        y = y * alpha if "float" in y.dtype.name else (y * alpha).astype(y.dtype)
    if bias is None:
        return y
    return (y + (bias if beta == 1 else bias * beta)).astype(a.dtype)


@op("Einsum")
def _einsum(c: Call, *operands: Any, equation: str) -> Any:
    return sn.einsum(equation.replace(" ", ""), *operands)


@op("Det")
def _det(c: Call, x: Any) -> Any:
    if x.shape[-1] == 2 and x.shape[-2] == 2:
        return x[..., 0, 0] * x[..., 1, 1] - x[..., 0, 1] * x[..., 1, 0]
    return sn.linalg.det(x)
