"""Loss layers that ``torch.nn`` has not: focal, dice, contrastive; and the adaptive softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import _core
from .._errors import error
from . import functional as F
from .containers import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = [
    "AdaptiveLogSoftmaxWithLoss",
    "DiceLoss",
    "InfoNCELoss",
    "SigmoidFocalLoss",
    "SoftmaxFocalLoss",
]

_f = _core.functions


class SigmoidFocalLoss(Module):
    """Binary cross-entropy in which what is well classified counts little; see
    `sn.nn.functional.sigmoid_focal_loss`.

    Parameters
    ----------
    alpha : float
        Weight of positives; below 0 all count alike.
    gamma : float
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> loss = sn.nn.SigmoidFocalLoss(alpha=-1, gamma=0)(sn.tensor([0.0]), sn.tensor([1.0]))
    >>> round(loss.item(), 4)
    0.6931
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        self.alpha = alpha
        self.gamma = gamma
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return F.sigmoid_focal_loss(x, target, self.alpha, self.gamma, self.reduction)


class SoftmaxFocalLoss(Module):
    """Cross-entropy in which rows that are well classified count little; see
    `sn.nn.functional.softmax_focal_loss`.

    Parameters
    ----------
    gamma : float
    weight : Tensor, (C,), optional
        Weight of each class.
    ignore_index : int
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> round(sn.nn.SoftmaxFocalLoss()(sn.zeros((1, 2)), sn.tensor([1])).item(), 4)
    0.1733
    """

    weight: _core.Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        weight: _core.Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        self.gamma = gamma
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return F.softmax_focal_loss(
            x, target, self.gamma, self.weight, self.ignore_index, self.reduction
        )


class DiceLoss(Module):
    """One minus the overlap of two masks (N, C, ...); see `sn.nn.functional.dice_loss`.

    Parameters
    ----------
    smooth : float
    squared : bool
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> mask = sn.tensor([[[1.0, 0.0, 1.0]]])
    >>> sn.nn.DiceLoss()(mask, mask).item()
    0.0
    """

    def __init__(self, smooth: float = 1.0, squared: bool = False, reduction: str = "mean") -> None:
        self.smooth = smooth
        self.squared = squared
        self.reduction = reduction

    def forward(self, x: Any, target: Any) -> Any:
        return F.dice_loss(x, target, self.smooth, self.squared, self.reduction)


class InfoNCELoss(Module):
    """Cross-entropy of finding the key of each query among others; see
    `sn.nn.functional.info_nce_loss`.

    Parameters
    ----------
    temperature : float
    symmetric : bool
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> x = sn.eye(4)
    >>> sn.nn.InfoNCELoss(0.01)(x, x).item() < 1e-6
    True
    """

    def __init__(
        self, temperature: float = 0.1, symmetric: bool = False, reduction: str = "mean"
    ) -> None:
        self.temperature = temperature
        self.symmetric = symmetric
        self.reduction = reduction

    def forward(self, query: Any, positive_key: Any, negative_keys: Any = None) -> Any:
        return F.info_nce_loss(
            query, positive_key, negative_keys, self.temperature, self.symmetric, self.reduction
        )


class AdaptiveLogSoftmaxResult(NamedTuple):
    """What `AdaptiveLogSoftmaxWithLoss` gives: log-probabilities of the targets and their loss."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """Softmax over many classes, rare ones in clusters that are computed only when they occur
    (Grave et al., "Efficient softmax approximation for GPUs", 2017).

    Which rows belong to a cluster is read from the targets, so this layer waits for them. In a
    graph (`sn.trace`), where nothing can be read, every cluster is computed for all rows, which
    gives the same bits; a target outside the classes makes its row NaN there.

    Parameters
    ----------
    in_features, n_classes : int
        Classes are numbered by frequency, the most frequent first.
    cutoffs : sequence of int
        Where clusters begin, ascending; classes below the first belong to the head.
    div_value : float
        Each cluster projects to so many times fewer features than the one before.
    head_bias : bool
        Whether the head has a bias.
    dtype : dtype, optional

    Attributes
    ----------
    head : Linear
        To the frequent classes and one score for each cluster.
    tail : ModuleList
        Two linear maps for each cluster.

    Examples
    --------
    >>> layer = sn.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 10])
    >>> output, loss = layer(sn.random.normal(shape=(4, 16)), sn.tensor([0, 6, 19, 3]))
    >>> output.shape, loss.shape, layer.log_prob(sn.ones((2, 16))).shape
    ((4,), (), (2, 20))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        dtype: Any = None,
    ) -> None:
        listed = list(cutoffs)
        ints = all(isinstance(c, int) for c in listed)
        if not listed or not ints or sorted(set(listed)) != listed or listed[0] < 1:
            ok = False
        else:
            ok = listed[-1] < n_classes
        if not ok:
            raise error(
                _core.InvalidValue,
                "AdaptiveLogSoftmaxWithLoss",
                f"cutoffs are {listed} for {n_classes} classes; ascending integers between 1 and "
                f"{n_classes - 1} are required",
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*listed, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = listed[0]
        self.n_clusters = len(listed)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, dtype=dtype)
        tail = []
        for i in range(self.n_clusters):
            hidden = int(in_features // div_value ** (i + 1))
            if hidden < 1:
                raise error(
                    _core.InvalidValue,
                    "AdaptiveLogSoftmaxWithLoss",
                    f"cluster {i} would project {in_features} features to none; take fewer "
                    f"cutoffs or a div_value below {div_value}",
                )
            classes = self.cutoffs[i + 1] - self.cutoffs[i]
            tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, dtype=dtype),
                    Linear(hidden, classes, bias=False, dtype=dtype),
                )
            )
        self.tail = ModuleList(tail)

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cluster.children():
                layer.reset_parameters()

    def forward(self, input: Any, target: Any) -> AdaptiveLogSoftmaxResult:
        """Log-probabilities of the targets, (N,), and their mean loss.

        Parameters
        ----------
        input : Tensor
            (N, in_features), or (in_features,).
        target : Tensor
            (N,) class numbers, or ().
        """
        name = "AdaptiveLogSoftmaxWithLoss"
        if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
            raise error(
                _core.ShapeError,
                name,
                f"input has shape {input.shape} and target {target.shape}; required are (N, "
                "in_features) and (N,), or (in_features,) and ()",
            )
        single = input.ndim == 1
        x, labels = (input[None], target[None]) if single else (input, target)
        if _core.is_traced(labels):
            output = self._of_all_rows(x, labels)
            return AdaptiveLogSoftmaxResult(output[0] if single else output, -output.mean())
        if bool(((labels < 0) | (labels >= self.n_classes)).any()):
            raise error(
                _core.IndexOutOfRange,
                name,
                f"targets lie between {labels.min().item()} and {labels.max().item()}; there are "
                f"{self.n_classes} classes, 0 to {self.n_classes - 1}",
            )
        own = labels  # the column of each row in the head
        output = None
        for i in range(self.n_clusters):
            low, high = self.cutoffs[i], self.cutoffs[i + 1]
            inside = (labels >= low) & (labels < high)
            own = _f["where"](inside, self.shortlist_size + i, own)
            (rows,) = _f["nonzero"](inside)
            if rows.size == 0:
                continue
            logp = F.log_softmax(self.tail[i](_f["take"](x, rows, 0)), 1)
            place = _f["take"](labels, rows, 0)[:, None] - low
            if output is None:
                output = _f["zeros"](labels.shape, dtype=logp.dtype, device=logp.device)
            output = _f["index_add"](output, 0, rows, _f["gather"](logp, 1, place)[:, 0])
        head = F.log_softmax(self.head(x), 1)
        chosen = _f["gather"](head, 1, own[:, None])[:, 0]
        output = chosen if output is None else chosen + output
        return AdaptiveLogSoftmaxResult(output[0] if single else output, -output.mean())

    def _of_all_rows(self, x: Any, labels: Any) -> Any:
        """What `forward` gives, without a look at the targets."""
        where = _f["where"]
        head = F.log_softmax(self.head(x), 1)
        own, tail = labels, None
        for i in range(self.n_clusters):
            low, high = self.cutoffs[i], self.cutoffs[i + 1]
            inside = (labels >= low) & (labels < high)
            own = where(inside, self.shortlist_size + i, own)
            logp = F.log_softmax(self.tail[i](x), 1)
            place = where(inside, labels - low, 0)
            part = where(inside, _f["gather"](logp, 1, place[:, None])[:, 0], 0.0)
            tail = part if tail is None else tail + part
        known = (labels >= 0) & (labels < self.n_classes)
        chosen = _f["gather"](head, 1, where(known, own, 0)[:, None])[:, 0]
        return where(known, chosen + tail, float("nan"))

    def log_prob(self, input: Any) -> Any:
        """Log-probabilities of all classes, (N, n_classes).

        Examples
        --------
        >>> layer = sn.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 10])
        >>> round(layer.log_prob(sn.ones((1, 16))).exp().sum().item(), 4)
        1.0
        """
        head = F.log_softmax(self.head(input), -1)
        parts = [head[..., : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            at = self.shortlist_size + i
            parts.append(F.log_softmax(cluster(input), -1) + head[..., at : at + 1])
        return _f["concat"](parts, -1)

    def predict(self, input: Any) -> Any:
        """The most probable class of each row.

        Examples
        --------
        >>> layer = sn.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 10])
        >>> layer.predict(sn.ones((3, 16))).shape
        (3,)
        """
        return _f["argmax"](self.log_prob(input), -1)
