"""Losses of `sennit.nn.functional` that ``torch.nn`` has not: focal, dice, contrastive."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from ._losses import in_compute, reduce_loss, result_dtype, same_shape

_f = _core.functions
_where, _sigmoid = _f["where"], _f["sigmoid"]

__all__ = [
    "dice_loss",
    "info_nce_loss",
    "sigmoid_focal_loss",
    "smooth_labels",
    "softmax_focal_loss",
]


def sigmoid_focal_loss(
    inputs: Any,
    targets: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    reduction: str = "none",
) -> Any:
    """Binary cross-entropy in which what is well classified counts little (Lin et al., "Focal loss
    for dense object detection", 2017), with the arguments of torchvision.

    Parameters
    ----------
    inputs, targets : Tensor
        Logits and targets in [0, 1], of one shape.
    alpha : float
        Weight of positives, ``1 - alpha`` that of negatives; below 0 all count alike.
    gamma : float
        The loss is multiplied by ``(1 - p)**gamma``, p being the probability of the target.
    reduction : str
        "none", "mean" or "sum".

    Returns
    -------
    Tensor
        Of the shape of `inputs`, or a scalar.

    Examples
    --------
    >>> x, t = sn.tensor([0.0]), sn.tensor([1.0])
    >>> loss = sn.nn.functional.sigmoid_focal_loss(x, t, alpha=-1, gamma=0)
    >>> [round(v, 4) for v in loss.tolist()]
    [0.6931]
    """
    op = "sigmoid_focal_loss"
    same_shape(op, inputs=inputs, targets=targets)
    dtype = result_dtype(inputs, targets)
    x, t = in_compute(dtype, inputs, targets)
    p = _sigmoid(x)
    miss = p * (1.0 - t) + (1.0 - p) * t  # 1 - p of the target, without cancellation near 1
    # A certain and right answer has no loss; its power might have an infinite slope.
    miss = _where(miss > 0, miss, 1.0)
    loss = _f["binary_cross_entropy_with_logits"](x, t, None, "none") * miss**gamma
    if alpha >= 0:
        loss = loss * (alpha * t + (1.0 - alpha) * (1.0 - t))
    return reduce_loss(op, loss, reduction, dtype)


def softmax_focal_loss(
    input: Any,
    target: Any,
    gamma: float = 2.0,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """Cross-entropy in which rows that are well classified count little: `cross_entropy` times
    ``(1 - p)**gamma``, p being the probability of the row's class (Lin et al. 2017).

    Parameters
    ----------
    input : Tensor
        Logits: (N, C, d1, ...) or (C,).
    target : Tensor
        Class numbers: (N, d1, ...) or ().
    gamma : float
        With 0 this is `cross_entropy`.
    weight : Tensor, optional
        (C,): the weight of each class; the mean divides by the weights of the targets.
    ignore_index : int
        Targets of this number count neither in the loss nor in the mean.
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> x, y = sn.zeros((1, 2)), sn.tensor([1])
    >>> round(sn.nn.functional.softmax_focal_loss(x, y).item(), 4)
    0.1733
    """
    op = "softmax_focal_loss"
    dtype = result_dtype(input)
    (x,) = in_compute(dtype, input)
    each = _f["cross_entropy"](x, target, None, ignore_index, "none")
    # p = exp(-loss), so 1 - p = -expm1(-loss): exact where the row is nearly right.
    # Where the loss is zero (or ignored), the power might have an infinite slope.
    loss = _where(each > 0, -_f["expm1"](-each), 1.0) ** gamma * each
    counted = target != ignore_index
    own = None
    if weight is not None:
        classes = input.shape[0 if input.ndim == 1 else 1]
        if weight.shape != (classes,):
            raise error(
                _core.ShapeError,
                op,
                f"weight has shape {weight.shape}; input of shape {input.shape} has {classes} "
                f"classes and needs ({classes},)",
            )
        own = _where(counted, weight.astype(loss.dtype)[_where(counted, target, 0)], 0.0)
        loss = loss * own
    if reduction != "mean":
        return reduce_loss(op, loss, reduction, dtype)
    total = counted.sum().astype(loss.dtype) if own is None else own.sum()
    return (loss.sum() / total).astype(dtype)


def dice_loss(
    input: Any,
    target: Any,
    smooth: float = 1.0,
    squared: bool = False,
    reduction: str = "mean",
) -> Any:
    """One minus the overlap of two masks: ``1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) +
    smooth)`` for each sample and class (Milletari et al., "V-Net", 2016).

    Parameters
    ----------
    input, target : Tensor
        Probabilities, not logits, and targets in [0, 1]: (N, C, d1, ...), of one shape. Sums run
        over d1 and what follows.
    smooth : float
        Keeps empty masks finite; two empty masks overlap fully.
    squared : bool
        Whether squares are summed in the denominator, as in the paper.
    reduction : str
        "mean" or "sum" over samples and classes, or "none" for (N, C).

    Examples
    --------
    >>> mask = sn.tensor([[[1.0, 0.0, 1.0]]])
    >>> sn.nn.functional.dice_loss(mask, mask).item()
    0.0
    """
    op = "dice_loss"
    same_shape(op, input=input, target=target)
    if input.ndim < 3:
        raise error(
            _core.ShapeError,
            op,
            f"the shapes are {input.shape}; (N, C, d1, ...) is required; a mask alone needs "
            "x[None, None]",
        )
    dtype = result_dtype(input, target)
    x, t = in_compute(dtype, input, target)
    axes = tuple(range(2, input.ndim))
    both = (x * t).sum(axes)
    each = (x * x).sum(axes) + (t * t).sum(axes) if squared else x.sum(axes) + t.sum(axes)
    return reduce_loss(op, 1.0 - (2.0 * both + smooth) / (each + smooth), reduction, dtype)


def info_nce_loss(
    query: Any,
    positive_key: Any,
    negative_keys: Any = None,
    temperature: float = 0.1,
    symmetric: bool = False,
    reduction: str = "mean",
) -> Any:
    """Cross-entropy of finding the key that belongs to each query among others, by cosine
    similarity (van den Oord et al., "Representation learning with contrastive predictive coding",
    2018).

    Parameters
    ----------
    query, positive_key : Tensor
        (N, D). Row i belongs to row i.
    negative_keys : Tensor, optional
        (M, D), for all queries, or (N, M, D), for each its own. Without them the other rows of
        `positive_key` are the negatives.
    temperature : float
        Divides similarities.
    symmetric : bool
        Whether keys look for queries as well, and both losses are averaged (Radford et al. 2021);
        only without `negative_keys`.
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> x = sn.eye(4)
    >>> sn.nn.functional.info_nce_loss(x, x, temperature=0.01).item() < 1e-6
    True
    """
    op = "info_nce_loss"
    same_shape(op, query=query, positive_key=positive_key)
    n, d = query.shape if query.ndim == 2 else (-1, -1)
    bad = query.ndim != 2
    if negative_keys is not None and not bad:
        bad = negative_keys.shape[-1] != d or not (
            negative_keys.ndim == 2 or (negative_keys.ndim == 3 and negative_keys.shape[0] == n)
        )
    if bad:
        others = "" if negative_keys is None else f" and negative_keys {negative_keys.shape}"
        raise error(
            _core.ShapeError,
            op,
            f"query has shape {query.shape}{others}; required are (N, D) and (M, D) or (N, M, D)",
        )
    if not temperature > 0 or (symmetric and negative_keys is not None):
        raise error(
            _core.InvalidValue,
            op,
            f"temperature is {temperature} and symmetric {symmetric}; the temperature must be "
            "positive, and symmetric goes without negative_keys",
        )
    dtype = result_dtype(query, positive_key)
    q, k = (_f["normalize"](x, 2.0, -1) for x in in_compute(dtype, query, positive_key))
    cross_entropy = _f["cross_entropy"]
    if negative_keys is None:
        logits = (q @ k.T) / temperature
        labels = _f["arange"](n, device=q.device)
        loss = cross_entropy(logits, labels, reduction="none")
        if symmetric:
            loss = (loss + cross_entropy(logits.T, labels, reduction="none")) * 0.5
    else:
        (negative,) = in_compute(dtype, negative_keys)
        negative = _f["normalize"](negative, 2.0, -1)
        positive = (q * k).sum(-1, keepdims=True)
        if negative.ndim == 2:
            rest = q @ negative.T
        else:
            rest = (negative @ q[..., None])[..., 0]
        logits = _f["concat"]([positive, rest], 1) / temperature
        loss = cross_entropy(
            logits, _f["zeros"]((n,), dtype=_core.int64, device=q.device), reduction="none"
        )
    return reduce_loss(op, loss, reduction, dtype)


def smooth_labels(target: Any, num_classes: int, smoothing: float = 0.1, dtype: Any = None) -> Any:
    """Class numbers as probabilities: ``1 - smoothing`` for the class, the rest spread evenly over
    all classes (Szegedy et al., "Rethinking the Inception architecture", 2016).

    `cross_entropy` does the same with ``label_smoothing``, without holding the probabilities; here
    they can be mixed further (mixup, distillation).

    Parameters
    ----------
    target : Tensor
        Class numbers of any shape; the classes become the last dimension.
    num_classes : int
    smoothing : float
        Between 0 and 1.
    dtype : dtype, optional
        float32 by default.

    Examples
    --------
    >>> sn.nn.functional.smooth_labels(sn.tensor([1]), 4, 0.5).tolist()
    [[0.125, 0.625, 0.125, 0.125]]
    """
    if not 0 <= smoothing <= 1:
        raise error(
            _core.InvalidValue,
            "smooth_labels",
            f"smoothing is {smoothing}; it must be between 0 and 1",
        )
    own = _f["one_hot"](target, num_classes).astype(dtype or _core.float32)
    return own * (1.0 - smoothing) + smoothing / num_classes
