"""Reductions over the elements that a mask lets through, under the names of ``torch.masked``.

`mask` is a bool tensor that broadcasts to `input`: True lets an element take part. Without a mask
all take part. Where nothing takes part the result is what the reduction gives of nothing: 0, 1, an
infinity or NaN. `dim` None or () takes all dimensions; `dtype` converts first.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import sennit as _sn

from ._core import DTypeError, Tensor
from ._errors import error

__all__ = [
    "amax",
    "amin",
    "argmax",
    "argmin",
    "cumprod",
    "cumsum",
    "log_softmax",
    "logaddexp",
    "logsumexp",
    "mean",
    "median",
    "norm",
    "normalize",
    "prod",
    "softmax",
    "softmin",
    "std",
    "sum",
    "var",
]

_Dims = int | tuple[int, ...] | None


def _filled(op: str, x: Tensor, mask: Tensor | None, value: Any, dtype: Any) -> Tensor:
    """x with the elements that are masked out set to a number."""
    if dtype is not None:
        x = x.astype(dtype)
    if mask is None:
        return x
    if mask.dtype != _sn.bool:
        raise error(DTypeError, op, f"the mask has dtype {mask.dtype}; bool is required")
    if value in (inf, -inf) and not x.dtype.is_floating_point:
        largest = (1 << (8 * x.itemsize - (x.dtype.kind == "i"))) - 1
        lowest = -largest - 1 if x.dtype.kind == "i" else 0
        value = largest if value > 0 else lowest
    return _sn.where(mask, x, value)


def _dims(dim: _Dims) -> _Dims:
    return None if dim == () else dim


def _count(x: Tensor, dim: _Dims, keepdim: bool, mask: Tensor | None) -> Tensor:
    """How many elements take part, as floats."""
    on = _sn.ones_like(x) if mask is None else _sn.broadcast_to(mask, x.shape).astype(x.dtype)
    return _sn.sum(on, axis=dim, keepdims=keepdim)


def sum(
    input: Tensor,
    dim: _Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Sum of the elements that take part.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.sum(sn.tensor([1.0, 2.0, 4.0]), mask=mask).item()
    5.0
    """
    x = _filled("sum", input, mask, 0, dtype)
    return _sn.sum(x, axis=_dims(dim), keepdims=keepdim)


def prod(
    input: Tensor,
    dim: _Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Product of the elements that take part.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.prod(sn.tensor([1.0, 2.0, 4.0]), mask=mask).item()
    4.0
    """
    x = _filled("prod", input, mask, 1, dtype)
    return _sn.prod(x, axis=_dims(dim), keepdims=keepdim)


def amax(
    input: Tensor,
    dim: _Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Largest of the elements that take part.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.amax(sn.tensor([1.0, 9.0, 4.0]), mask=mask).item()
    4.0
    """
    x = _filled("amax", input, mask, -inf, dtype)
    return _sn.max(x, axis=_dims(dim), keepdims=keepdim)


def amin(
    input: Tensor,
    dim: _Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Smallest of the elements that take part.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.amin(sn.tensor([1.0, 0.0, 4.0]), mask=mask).item()
    1.0
    """
    x = _filled("amin", input, mask, inf, dtype)
    return _sn.min(x, axis=_dims(dim), keepdims=keepdim)


def mean(
    input: Tensor,
    dim: _Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean of the elements that take part.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.mean(sn.tensor([1.0, 2.0, 4.0]), mask=mask).item()
    2.5
    """
    x = _filled("mean", input, mask, 0, dtype)
    if not x.dtype.is_floating_point:
        x = x.astype(_sn.float32)
    total = _sn.sum(x, axis=_dims(dim), keepdims=keepdim)
    return total / _count(x, _dims(dim), keepdim, mask)


def logsumexp(
    input: Tensor,
    dim: _Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Logarithm of the sum of exponentials of the elements that take part.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.logsumexp(sn.tensor([0.0, 9.0, 0.0]), mask=mask).item()
    0.6931...
    """
    x = _filled("logsumexp", input, mask, -inf, dtype)
    return _sn.logsumexp(x, axis=_dims(dim), keepdims=keepdim)


def argmax(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Position of the largest of the elements that take part.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.argmax(sn.tensor([1.0, 9.0, 4.0]), mask=mask).item()
    2
    """
    x = _filled("argmax", input, mask, -inf, dtype)
    return _sn.argmax(x, axis=dim, keepdims=keepdim)


def argmin(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Position of the smallest of the elements that take part.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.argmin(sn.tensor([1.0, 0.0, 4.0]), mask=mask).item()
    0
    """
    x = _filled("argmin", input, mask, inf, dtype)
    return _sn.argmin(x, axis=dim, keepdims=keepdim)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Running sums of the elements that take part.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.cumsum(sn.tensor([1.0, 2.0, 4.0]), 0, mask=mask).tolist()
    [1.0, 1.0, 5.0]
    """
    return _sn.cumsum(_filled("cumsum", input, mask, 0, dtype), dim)


def cumprod(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Running products of the elements that take part.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.cumprod(sn.tensor([1.0, 2.0, 4.0]), 0, mask=mask).tolist()
    [1.0, 1.0, 4.0]
    """
    return _sn.cumprod(_filled("cumprod", input, mask, 1, dtype), dim)


def softmax(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Softmax over the elements that take part; the others are 0.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.softmax(sn.tensor([1.0, 2.0, 1.0]), 0, mask=mask).shape
    (3,)
    """
    return _sn.softmax(_filled("softmax", input, mask, -inf, dtype), dim)


def log_softmax(
    input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """Logarithm of softmax over the elements that take part; the others are -inf.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.log_softmax(sn.tensor([1.0, 2.0, 1.0]), 0, mask=mask).shape
    (3,)
    """
    return _sn.log_softmax(_filled("log_softmax", input, mask, -inf, dtype), dim)


def softmin(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Softmax of -input over the elements that take part; the others are 0.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.softmin(sn.tensor([1.0, 2.0, 1.0]), 0, mask=mask).shape
    (3,)
    """
    return _sn.softmax(-_filled("softmin", input, mask, inf, dtype), dim)


def median(
    input: Tensor,
    dim: int = -1,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Median of the elements that take part; of two middle ones the lower. Floats only.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.median(sn.tensor([1.0, 2.0, 4.0]), mask=mask).item()
    1.0
    """
    x = _filled("median", input, mask, nan, dtype)
    if not x.dtype.is_floating_point:
        raise error(DTypeError, "median", f"the input has dtype {x.dtype}; floats are required")
    find = _sn.median if mask is None else _sn.nanmedian
    values: Tensor = find(x, dim, keepdim)[0]
    return values


def norm(
    input: Tensor,
    ord: float = 2.0,
    dim: _Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Vector norm of order `ord` of the elements that take part.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.norm(sn.tensor([3.0, 9.0, 4.0]), mask=mask).item()
    5.0
    """
    x = _filled("norm", input, mask, inf if ord < 0 else 0, dtype)
    return _sn.vector_norm(x, axis=_dims(dim), keepdims=keepdim, ord=ord)


def normalize(
    input: Tensor,
    ord: float,
    dim: int,
    *,
    eps: float = 1e-12,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The elements that take part, divided by their norm along `dim` (at least `eps`).

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.normalize(sn.tensor([3.0, 9.0, 4.0]), 2.0, 0, mask=mask).tolist()
    [0.6..., 0.0, 0.8...]
    """
    x = _filled("normalize", input, mask, 0, dtype)
    length = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return x / _sn.clip(length, min=eps)


def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: Any = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """log(exp(input) + exp(other)), where an operand that is masked out counts as exp(-inf).

    Examples
    --------
    >>> mask = sn.tensor([True, False])
    >>> sn.masked.logaddexp(sn.zeros(2), sn.zeros(2), other_mask=mask).tolist()
    [0.6931..., 0.0]
    """
    x = _filled("logaddexp", input, input_mask, -inf, dtype)
    return _sn.logaddexp(x, _filled("logaddexp", other, other_mask, -inf, dtype))


def _spread(op: str, root: Callable[[Tensor], Tensor] | None, input: Tensor, dim: _Dims,
            unbiased: bool | None, correction: float | None, keepdim: bool, dtype: Any,
            mask: Tensor | None) -> Tensor:  # fmt: skip
    if correction is None:
        correction = 0.0 if unbiased is False else 1.0
    x = input if dtype is None else input.astype(dtype)
    if not x.dtype.is_floating_point:
        x = x.astype(_sn.float32)
    dims = _dims(dim)
    count = _count(x, dims, True, mask)
    average = _sn.sum(_filled(op, x, mask, 0, None), axis=dims, keepdims=True) / count
    distance = _filled(op, _sn.square(x - average), mask, 0, None)
    total = _sn.sum(distance, axis=dims, keepdims=keepdim)
    whole = _count(x, dims, keepdim, mask)
    result = total / _sn.clip(whole - correction, min=0)
    return root(result) if root else result


def var(
    input: Tensor,
    dim: _Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Variance of the elements that take part, divided by their number - correction.

    `correction` is 1 by default (`unbiased` False: 0), as in PyTorch.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.var(sn.tensor([1.0, 9.0, 3.0]), mask=mask).item()
    2.0
    """
    return _spread("var", None, input, dim, unbiased, correction, keepdim, dtype, mask)


def std(
    input: Tensor,
    dim: _Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Standard deviation of the elements that take part: the root of `var`.

    Examples
    --------
    >>> mask = sn.tensor([True, False, True])
    >>> sn.masked.std(sn.tensor([1.0, 9.0, 3.0]), correction=0, mask=mask).item()
    1.0
    """
    return _spread("std", _sn.sqrt, input, dim, unbiased, correction, keepdim, dtype, mask)
