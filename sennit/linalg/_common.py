"""What the files of this folder say the same way."""

from __future__ import annotations

from typing import Any

from .. import _api as ops
from .._core import Tensor


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose of the last two axes."""
    return x.mH


def conj(x: Tensor) -> Tensor:
    return ops.conj(x) if x.dtype.is_complex else x


def real(x: Tensor) -> Tensor:
    return ops.real(x) if x.dtype.is_complex else x


def identity(n: int, like: Tensor) -> Tensor:
    return ops.eye(n, dtype=like.dtype, device=like.device)


def diagonal_of(x: Tensor) -> Tensor:
    return ops.diagonal(x, 0, -2, -1)


def from_diagonal(d: Tensor) -> Tensor:
    """Square matrices with the given diagonals."""
    return d.unsqueeze(-1) * ops.eye(d.shape[-1], dtype=d.dtype, device=d.device)


def lower(x: Tensor, k: int = 0) -> Tensor:
    return ops.tril(x, k)


def upper(x: Tensor, k: int = 0) -> Tensor:
    return ops.triu(x, k)


def tensor(x: Any) -> Tensor:
    return ops.asarray(x)


def axes_or_dim(axis: Any, dim: Any) -> Any:
    return axis if dim is None else dim
