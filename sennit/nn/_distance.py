"""Functions of `sennit.nn.functional` on pairs of vectors."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error

_f = _core.functions
_linear = _f["linear"]

__all__ = ["bilinear", "cosine_similarity", "pairwise_distance", "pdist"]


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """``input1 @ weight[k] @ input2 + bias[k]`` for each output k.

    Parameters
    ----------
    input1 : Tensor
        (..., in1_features).
    input2 : Tensor
        (..., in2_features), with the same leading sizes.
    weight : Tensor
        (out_features, in1_features, in2_features).
    bias : Tensor, optional
        (out_features,).

    Returns
    -------
    Tensor
        (..., out_features).

    Examples
    --------
    >>> a, b = sn.tensor([[1.0, 2.0]]), sn.tensor([[3.0, 4.0]])
    >>> sn.nn.functional.bilinear(a, b, sn.eye(2)[None]).tolist()
    [[11.0]]
    """
    fits = (
        weight.ndim == 3
        and input1.ndim > 0
        and input2.ndim > 0
        and input1.shape[:-1] == input2.shape[:-1]
        and (input1.shape[-1], input2.shape[-1]) == weight.shape[1:]
        and (bias is None or bias.shape == weight.shape[:1])
    )
    if not fits:
        raise error(
            _core.ShapeError,
            "bilinear",
            f"the inputs have shapes {input1.shape} and {input2.shape}, the weight {weight.shape} "
            f"and the bias {None if bias is None else bias.shape}; (..., a), (..., b), (o, a, b) "
            "and (o,) with one `...` are required",
        )
    outputs, first, second = weight.shape
    left = _linear(input1, weight.permute_dims((0, 2, 1)).reshape(outputs * second, first))
    left = left.reshape(*input1.shape[:-1], outputs, second)
    y = (left * input2[..., None, :]).sum(-1)
    return y if bias is None else y + bias


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """Cosine of the angle between vectors along `dim`; norms below `eps` count as `eps`.

    Parameters
    ----------
    x1, x2 : Tensor
        Of one shape, or what broadcasts to one another.
    dim : int
    eps : float

    Examples
    --------
    >>> a, b = sn.tensor([[1.0, 0.0]]), sn.tensor([[0.0, 2.0]])
    >>> sn.nn.functional.cosine_similarity(a, b).tolist()
    [0.0]
    """
    return _f["cosine_similarity"](x1, x2, dim, eps)


def _p_norm(x: Any, p: float, keepdim: bool) -> Any:
    """The p-norm along the last axis."""
    return _f["vector_norm"](x, axis=-1, keepdims=keepdim, ord=float(p))


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """The p-norm of ``x1 - x2 + eps`` along the last axis.

    Parameters
    ----------
    x1, x2 : Tensor
        (N, D) or (D,), or what broadcasts to one another.
    p : float
    eps : float
        Added to each difference, so that the distance of equal vectors has a gradient.
    keepdim : bool
        Whether the last axis stays, with size one.

    Examples
    --------
    >>> F = sn.nn.functional
    >>> F.pairwise_distance(sn.tensor([[3.0, 4.0]]), sn.zeros((1, 2)), eps=0.0).tolist()
    [5.0]
    """
    if x1.ndim == 0 or x2.ndim == 0:
        raise error(
            _core.ShapeError,
            "pairwise_distance",
            f"x1 has shape {x1.shape} and x2 {x2.shape}; vectors along a last axis are required",
        )
    return _p_norm(x1 - x2 + eps, p, keepdim)


def pdist(input: Any, p: float = 2.0) -> Any:
    """The p-norm distances of all pairs of rows, as one vector: (0, 1), (0, 2) ... (N-2, N-1).

    Parameters
    ----------
    input : Tensor
        (N, D).
    p : float
        0 or more; ``sn.inf`` is the largest difference.

    Returns
    -------
    Tensor
        (N (N - 1) / 2,).

    Examples
    --------
    >>> sn.nn.functional.pdist(sn.tensor([[0.0], [1.0], [4.0]])).tolist()
    [1.0, 4.0, 3.0]
    """
    if input.ndim != 2 or not p >= 0:
        raise error(
            _core.ShapeError if input.ndim != 2 else _core.InvalidValue,
            "pdist",
            f"the input has shape {input.shape} and p is {p}; a matrix and p of 0 or more are "
            "required",
        )
    n = input.shape[0]
    first = [i for i in range(n) for _ in range(i + 1, n)]
    second = [j for i in range(n) for j in range(i + 1, n)]
    if not first:
        return _f["zeros"]((0,), input.dtype, input.device)
    take = _f["take"]
    i, j = (_core.asarray(rows, None, input.device, None) for rows in (first, second))
    difference = take(input, i, 0) - take(input, j, 0)
    return _p_norm(difference, p, False)
