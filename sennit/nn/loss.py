"""Loss layers: they call the functions of ``sn.nn.functional``. Losses never broadcast."""

from __future__ import annotations

from typing import Any

from .. import _core
from .module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]

_f = _core.functions
_mse_loss = _f["mse_loss"]
_l1_loss = _f["l1_loss"]
_smooth_l1_loss = _f["smooth_l1_loss"]
_huber_loss = _f["huber_loss"]
_kl_div = _f["kl_div"]
_cross_entropy = _f["cross_entropy"]
_nll_loss = _f["nll_loss"]
_bce = _f["binary_cross_entropy"]
_bce_with_logits = _f["binary_cross_entropy_with_logits"]


class MSELoss(Module):
    """Mean squared error.

    Parameters
    ----------
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> sn.nn.MSELoss()(sn.tensor([1.0, 3.0]), sn.tensor([1.0, 1.0])).item()
    2.0
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return _mse_loss(x, target, self.reduction)


class L1Loss(Module):
    """Mean absolute error.

    Parameters
    ----------
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> sn.nn.L1Loss()(sn.tensor([1.0, 3.0]), sn.tensor([1.0, 1.0])).item()
    1.0
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return _l1_loss(x, target, self.reduction)


class SmoothL1Loss(Module):
    """Squared error below `beta`, absolute error above (Girshick 2015).

    Parameters
    ----------
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> sn.nn.SmoothL1Loss()(sn.tensor([3.0]), sn.tensor([0.0])).item()
    2.5
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        self.reduction = reduction
        self.beta = beta

    def forward(self, x: Any, target: Any) -> Any:
        return _smooth_l1_loss(x, target, self.reduction, self.beta)


class HuberLoss(Module):
    """Half the squared error up to `delta`, linear beyond (Huber 1964).

    Parameters
    ----------
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> sn.nn.HuberLoss()(sn.tensor([3.0]), sn.tensor([0.0])).item()
    2.5
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        self.reduction = reduction
        self.delta = delta

    def forward(self, x: Any, target: Any) -> Any:
        return _huber_loss(x, target, self.reduction, self.delta)


class KLDivLoss(Module):
    """Kullback-Leibler divergence of log-probabilities; ``reduction="batchmean"`` is the
    divergence proper.

    Parameters
    ----------
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> sn.nn.KLDivLoss()(sn.tensor([[0.0]]), sn.tensor([[1.0]])).item()
    0.0
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, x: Any, target: Any) -> Any:
        return _kl_div(x, target, self.reduction, self.log_target)


class CrossEntropyLoss(Module):
    """Cross-entropy between logits (N, classes, ...) and labels, or probabilities, of classes.

    Parameters
    ----------
    weight : Tensor, (classes,), optional
        Weight of each class.
    ignore_index : int
        A label that does not count.
    reduction : str
        "mean", "sum" or "none".
    label_smoothing : float
        Probability spread over all classes (Szegedy et al. 2016).

    Examples
    --------
    >>> loss = sn.nn.CrossEntropyLoss()(sn.zeros((2, 4)), sn.tensor([0, 3]))
    >>> round(loss.item(), 4)
    1.3863
    """

    weight: _core.Tensor | None

    def __init__(
        self,
        weight: _core.Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    def forward(self, x: Any, target: Any) -> Any:
        return _cross_entropy(
            x, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class NLLLoss(Module):
    """Negative log-likelihood: `CrossEntropyLoss` for log-probabilities.

    Examples
    --------
    >>> sn.nn.NLLLoss()(sn.tensor([[-1.0, -2.0]]), sn.tensor([1])).item()
    2.0
    """

    weight: _core.Tensor | None

    def __init__(
        self,
        weight: _core.Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return _nll_loss(x, target, self.weight, self.ignore_index, self.reduction)


class BCELoss(Module):
    """Binary cross-entropy of probabilities with targets in [0, 1].

    Examples
    --------
    >>> loss = sn.nn.BCELoss()(sn.tensor([0.5]), sn.tensor([1.0]))
    >>> round(loss.item(), 4)
    0.6931
    """

    weight: _core.Tensor | None

    def __init__(self, weight: _core.Tensor | None = None, reduction: str = "mean") -> None:
        self.register_buffer("weight", weight)
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return _bce(x, target, self.weight, self.reduction)


class BCEWithLogitsLoss(Module):
    """Binary cross-entropy of ``sigmoid(x)``, computed from the logits without overflow.

    Parameters
    ----------
    weight : Tensor, optional
        Weight of each element.
    pos_weight : Tensor, optional
        Weight of positive targets.

    Examples
    --------
    >>> loss = sn.nn.BCEWithLogitsLoss()(sn.tensor([0.0]), sn.tensor([1.0]))
    >>> round(loss.item(), 4)
    0.6931
    """

    weight: _core.Tensor | None
    pos_weight: _core.Tensor | None

    def __init__(
        self,
        weight: _core.Tensor | None = None,
        reduction: str = "mean",
        pos_weight: _core.Tensor | None = None,
    ) -> None:
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return _bce_with_logits(x, target, self.weight, self.reduction, self.pos_weight)
