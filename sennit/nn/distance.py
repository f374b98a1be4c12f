"""Layers that compare vectors."""

from __future__ import annotations

from typing import Any

from .. import _core
from ._distance import pairwise_distance
from .module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]

_cosine = _core.functions["cosine_similarity"]


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along an axis.

    Parameters
    ----------
    dim : int
    eps : float
        The smallest product of norms that is divided by.

    Examples
    --------
    >>> sn.nn.CosineSimilarity()(sn.tensor([[3.0, 0.0]]), sn.tensor([[2.0, 0.0]])).tolist()
    [1.0]
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Any, x2: Any) -> Any:
        return _cosine(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of ``x1 - x2 + eps`` along the last axis.

    Parameters
    ----------
    p : float
    eps : float
        Added to each difference, so that the distance of equal vectors has a gradient.
    keepdim : bool
        Whether the last axis stays, with size one.

    Examples
    --------
    >>> sn.nn.PairwiseDistance(eps=0.0)(sn.tensor([[3.0, 4.0]]), sn.zeros((1, 2))).tolist()
    [5.0]
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Any, x2: Any) -> Any:
        return pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
