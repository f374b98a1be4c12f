"""What the files of this folder say the same way."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor

F = _core.functions


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose of the last two axes."""
    return x.mH


def conj(x: Tensor) -> Tensor:
    return F["conj"](x) if x.dtype.is_complex else x


def real(x: Tensor) -> Tensor:
    return F["real"](x) if x.dtype.is_complex else x


def identity(n: int, like: Tensor) -> Tensor:
    return F["eye"](n, dtype=like.dtype, device=like.device)


def diagonal_of(x: Tensor) -> Tensor:
    return F["diagonal"](x, 0, -2, -1)


def from_diagonal(d: Tensor) -> Tensor:
    """Square matrices with the given diagonals."""
    return d.unsqueeze(-1) * F["eye"](d.shape[-1], dtype=d.dtype, device=d.device)


def lower(x: Tensor, k: int = 0) -> Tensor:
    return F["tril"](x, k)


def upper(x: Tensor, k: int = 0) -> Tensor:
    return F["triu"](x, k)


def tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else _core.asarray(x)


def axes_or_dim(axis: Any, dim: Any) -> Any:
    return axis if dim is None else dim
