"""Loss layers of distributions, margins and distances. Losses never broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core
from .._errors import error
from . import functional as F
from .linear import Linear
from .module import Module

__all__ = [
    "CTCLoss",
    "CosineEmbeddingLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "LinearCrossEntropyLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "PoissonNLLLoss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


class CTCLoss(Module):
    """Connectionist temporal classification: the negative log-likelihood of target sequences,
    whatever their alignment with the steps (Graves et al. 2006); see `sennit.ctc_loss`.

    Parameters
    ----------
    blank : int
        The class that stands for no class.
    reduction : str
        "mean", "sum" or "none".
    zero_infinity : bool
        Whether targets that are too long for their steps have loss and gradient zero.

    Examples
    --------
    >>> x = sn.log_softmax(sn.zeros((2, 1, 3)), -1)
    >>> round(sn.nn.CTCLoss()(x, sn.tensor([[1]]), (2,), (1,)).item(), 4)
    1.0986
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        self.blank = blank
        self.reduction = reduction
        self.zero_infinity = zero_infinity

    def forward(self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any) -> Any:
        return F.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )


class PoissonNLLLoss(Module):
    """Negative log-likelihood of counts under a Poisson distribution; see
    `sn.nn.functional.poisson_nll_loss`.

    Parameters
    ----------
    log_input : bool
        Whether the input is the logarithm of the expected count.
    full : bool
        Whether to add Stirling's approximation of ``log(target!)``.
    eps : float
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> sn.nn.PoissonNLLLoss()(sn.tensor([0.0]), sn.tensor([3.0])).item()
    1.0
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        self.log_input = log_input
        self.full = full
        self.eps = eps
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return F.poisson_nll_loss(x, target, self.log_input, self.full, self.eps, self.reduction)


class GaussianNLLLoss(Module):
    """Negative log-likelihood under normal distributions; see
    `sn.nn.functional.gaussian_nll_loss`.

    Parameters
    ----------
    full : bool
        Whether to add ``log(2 pi) / 2``.
    eps : float
        The least variance.
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> x, y, var = sn.tensor([1.0]), sn.tensor([3.0]), sn.tensor([1.0])
    >>> sn.nn.GaussianNLLLoss()(x, y, var).item()
    2.0
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        self.full = full
        self.eps = eps
        self.reduction = reduction

    def forward(self, x: Any, target: Any, var: Any) -> Any:
        return F.gaussian_nll_loss(x, target, var, self.full, self.eps, self.reduction)


class MarginRankingLoss(Module):
    """``max(0, margin - target * (x1 - x2))``.

    Examples
    --------
    >>> sn.nn.MarginRankingLoss()(sn.tensor([1.0]), sn.tensor([3.0]), sn.tensor([1.0])).item()
    2.0
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        self.margin = margin
        self.reduction = reduction

    def forward(self, x1: Any, x2: Any, target: Any) -> Any:
        return F.margin_ranking_loss(x1, x2, target, self.margin, self.reduction)


class HingeEmbeddingLoss(Module):
    """The distance where the target is 1, ``max(0, margin - distance)`` where it is -1.

    Examples
    --------
    >>> sn.nn.HingeEmbeddingLoss()(sn.tensor([0.5]), sn.tensor([1])).item()
    0.5
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        self.margin = margin
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return F.hinge_embedding_loss(x, target, self.margin, self.reduction)


class SoftMarginLoss(Module):
    """``log(1 + exp(-target * x))`` for targets of 1 and -1.

    Examples
    --------
    >>> round(sn.nn.SoftMarginLoss()(sn.tensor([0.0]), sn.tensor([1.0])).item(), 4)
    0.6931
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return F.soft_margin_loss(x, target, self.reduction)


class MultiLabelSoftMarginLoss(Module):
    """Binary cross-entropy of logits (..., C), averaged over the classes.

    Parameters
    ----------
    weight : Tensor, (C,), optional
        Weight of each class.
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> loss = sn.nn.MultiLabelSoftMarginLoss()(sn.zeros((1, 3)), sn.ones((1, 3)))
    >>> round(loss.item(), 4)
    0.6931
    """

    weight: _core.Tensor | None

    def __init__(self, weight: _core.Tensor | None = None, reduction: str = "mean") -> None:
        self.register_buffer("weight", weight)
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return F.multilabel_soft_margin_loss(x, target, self.weight, self.reduction)


class MultiLabelMarginLoss(Module):
    """Hinge loss between each class of a set and each class outside of it; see
    `sn.nn.functional.multilabel_margin_loss`.

    Examples
    --------
    >>> x, y = sn.tensor([[0.1, 0.2, 0.4, 0.8]]), sn.tensor([[3, 0, -1, 1]])
    >>> round(sn.nn.MultiLabelMarginLoss()(x, y).item(), 4)
    0.85
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return F.multilabel_margin_loss(x, target, self.reduction)


class MultiMarginLoss(Module):
    """Hinge loss of many classes; see `sn.nn.functional.multi_margin_loss`.

    Parameters
    ----------
    p : int
        1 or 2.
    margin : float
    weight : Tensor, (C,), optional
        Weight of each class.
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> loss = sn.nn.MultiMarginLoss()(sn.tensor([[0.1, 0.2, 0.4, 0.8]]), sn.tensor([3]))
    >>> round(loss.item(), 4)
    0.325
    """

    weight: _core.Tensor | None

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: _core.Tensor | None = None,
        reduction: str = "mean",
    ) -> None:
        if p not in (1, 2):
            raise error(_core.InvalidValue, "MultiMarginLoss", f"p is {p!r}; it must be 1 or 2")
        self.p = p
        self.margin = margin
        self.register_buffer("weight", weight)
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return F.multi_margin_loss(x, target, self.p, self.margin, self.weight, self.reduction)


class CosineEmbeddingLoss(Module):
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1.

    Examples
    --------
    >>> a, b = sn.tensor([[1.0, 0.0]]), sn.tensor([[0.0, 2.0]])
    >>> sn.nn.CosineEmbeddingLoss()(a, b, sn.tensor([1])).item()
    1.0
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        self.margin = margin
        self.reduction = reduction

    def forward(self, x1: Any, x2: Any, target: Any) -> Any:
        return F.cosine_embedding_loss(x1, x2, target, self.margin, self.reduction)


class TripletMarginLoss(Module):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with p-norms (Schroff et al.
    2015); see `sn.nn.functional.triplet_margin_loss`.

    Parameters
    ----------
    margin, p, eps : float
    swap : bool
        Whether the distance of positive and negative counts when it is the smaller one.
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> a, b, c = (sn.tensor([[v]]) for v in (0.0, 1.0, 1.5))
    >>> round(sn.nn.TripletMarginLoss()(a, b, c).item(), 4)
    0.5
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        if not margin > 0:
            raise error(
                _core.InvalidValue,
                "TripletMarginLoss",
                f"margin is {margin}; it must be positive",
            )
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap
        self.reduction = reduction

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, self.reduction
        )


class TripletMarginWithDistanceLoss(Module):
    """`TripletMarginLoss` with any distance.

    Parameters
    ----------
    distance_function : callable, optional
        Of two tensors (N, D); `sn.nn.functional.pairwise_distance` by default.
    margin : float
    swap : bool
    reduction : str

    Examples
    --------
    >>> def distance(a, b):
    ...     return (a - b).abs().max(-1)
    >>> a, b, c = (sn.tensor([[v]]) for v in (0.0, 1.0, 1.5))
    >>> sn.nn.TripletMarginWithDistanceLoss(distance_function=distance)(a, b, c).item()
    0.5
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Any, Any], Any] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        if not margin > 0:
            raise error(
                _core.InvalidValue,
                "TripletMarginWithDistanceLoss",
                f"margin is {margin}; it must be positive",
            )
        self.distance_function = distance_function or F.pairwise_distance
        self.margin = margin
        self.swap = swap
        self.reduction = reduction

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class LinearCrossEntropyLoss(Module):
    """A linear map to logits and their cross-entropy, which never holds all logits; see
    `sn.nn.functional.linear_cross_entropy`.

    Parameters
    ----------
    in_features, num_classes : int
    out_features : tuple of int
        Further dimensions of the logits, (N, num_classes, *out_features). Then the logits are held.
    bias : bool
    dtype : dtype, optional
    reduction : str
        "mean", "sum" or "none".
    weight : Tensor, (num_classes,), optional
        Weight of each class.
    ignore_index : int, optional
        -100 by default.
    label_smoothing : float
    chunk : int, optional
        Rows whose logits are held at a time.

    Attributes
    ----------
    linear : Linear

    Examples
    --------
    >>> head = sn.nn.LinearCrossEntropyLoss(8, 1000)
    >>> head(sn.random.normal(shape=(4, 8)), sn.tensor([1, 2, 3, 4])).shape
    ()
    """

    weight: _core.Tensor | None

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        dtype: Any = None,
        reduction: str = "mean",
        weight: _core.Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        chunk: int | None = None,
    ) -> None:
        size = num_classes
        for n in out_features:
            size *= n
        self.register_buffer("weight", weight)
        self.num_classes = num_classes
        self.out_features = tuple(out_features)
        self.linear = Linear(in_features, size, bias=bias, dtype=dtype)
        self.reduction = reduction
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.chunk = chunk

    def forward(self, x: Any, target: Any) -> Any:
        if self.out_features:
            shape = (*x.shape[:-1], self.num_classes, *self.out_features)
            return F.cross_entropy(
                self.linear(x).reshape(shape),
                target,
                self.weight,
                -100 if self.ignore_index is None else self.ignore_index,
                self.reduction,
                self.label_smoothing,
            )
        return F.linear_cross_entropy(
            x,
            self.linear.weight,
            target,
            linear_bias=self.linear.bias,
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            chunk=self.chunk,
        )
