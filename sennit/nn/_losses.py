"""Losses of `sennit.nn.functional` that are built from tensor functions, with PyTorch's names,
argument orders and defaults.

None broadcasts. They compute in float32 for the half types and round once, after the reduction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import _core
from .._api import asarray
from .._errors import error
from ._distance import pairwise_distance

_f = _core.functions
_where, _maximum, _log, _exp = _f["where"], _f["maximum"], _f["log"], _f["exp"]
_softplus, _logsigmoid = _f["softplus"], _f["logsigmoid"]
_arange, _gather = _f["arange"], _f["gather"]

__all__ = [
    "cosine_embedding_loss",
    "ctc_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "poisson_nll_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _hinge(x: Any) -> Any:
    """max(x, 0), with the gradient of PyTorch's clamp_min: 1 at 0."""
    return _f["clip"](x, 0.0)


_HALVES = (_core.float16, _core.bfloat16)
_FLOATS = (_core.float32, _core.float64, *_HALVES)


def _autocasting(x: Any) -> bool:
    enabled: bool = _core.autocast_mode(str(x.device).startswith("cpu"))[0]
    return enabled


def result_dtype(*tensors: Any) -> Any:
    """The floating dtype of a loss of these tensors; integers alone give float32, and so do short
    floats inside of `sn.autocast`."""
    kinds = {x.dtype for x in tensors if x.dtype in _FLOATS}
    if len(kinds) == 1 and not (kinds.issubset(_HALVES) and _autocasting(tensors[0])):
        return kinds.pop()
    return _core.float64 if _core.float64 in kinds else _core.float32


def wide_dtype(*tensors: Any) -> Any:
    """`result_dtype`, or the complex dtype when one of the tensors is complex."""
    real = result_dtype(*(x for x in tensors if not x.dtype.is_complex))
    given = [x.dtype for x in tensors if x.dtype.is_complex]
    if not given:
        return real
    parts = {x.to_real for x in given} | {x.dtype for x in tensors if x.dtype in _FLOATS}
    return (_core.float64 if _core.float64 in parts else _core.float32).to_complex


def in_compute(dtype: Any, *tensors: Any) -> list[Any]:
    """The tensors in the dtype in which losses of `dtype` compute."""
    compute = _core.float32 if dtype in _HALVES else dtype
    return [x if x.dtype == compute else x.astype(compute) for x in tensors]


def reduce_loss(op: str, loss: Any, reduction: str, dtype: Any) -> Any:
    """The mean, the sum or the loss itself, rounded to `dtype`."""
    if reduction == "mean":
        loss = loss.mean()
    elif reduction == "sum":
        loss = loss.sum()
    elif reduction != "none":
        raise error(
            _core.InvalidValue,
            op,
            f"reduction is {reduction!r}; it must be 'mean', 'sum' or 'none'",
        )
    return loss if loss.dtype == dtype else loss.astype(dtype)


def same_shape(op: str, **tensors: Any) -> None:
    """An error unless all have one shape."""
    shapes = {name: x.shape for name, x in tensors.items()}
    if len(set(shapes.values())) == 1:
        return
    listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    counts = {math.prod(shape) for shape in shapes.values()}
    raise error(
        _core.ShapeError,
        op,
        f"the shapes are {listed}; losses do not broadcast, so they must be equal; "
        + ("reshape one of them" if len(counts) == 1 else "check what the last layer returns"),
    )


def mse_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """Squared error ``(input - target)**2``.

    Parameters
    ----------
    input, target : Tensor
        Of one shape.
    reduction : str
        "mean", "sum" or "none".
    weight : Tensor, optional
        Of the same shape: multiplies each error, and the mean divides by its sum.

    Examples
    --------
    >>> sn.nn.functional.mse_loss(sn.tensor([1.0, 2.0]), sn.tensor([1.0, 4.0])).item()
    2.0
    """
    if weight is None:
        return _f["mse_loss"](input, target, reduction)
    return _weighted("mse_loss", input, target, weight, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """Absolute error ``abs(input - target)``; the arguments are those of `mse_loss`.

    Examples
    --------
    >>> sn.nn.functional.l1_loss(sn.tensor([1.0, 2.0]), sn.tensor([1.0, 4.0])).item()
    1.0
    """
    if weight is None:
        return _f["l1_loss"](input, target, reduction)
    return _weighted("l1_loss", input, target, weight, reduction)


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """Half the squared error up to `delta`, linear beyond it (Huber 1964).

    Parameters
    ----------
    input, target, reduction
        As in `mse_loss`.
    delta : float
    weight : Tensor, optional
        Of the same shape: multiplies each error; as in PyTorch, the mean divides by the count.

    Examples
    --------
    >>> sn.nn.functional.huber_loss(sn.tensor([0.0]), sn.tensor([3.0]), delta=2.0).item()
    4.0
    """
    if weight is None:
        return _f["huber_loss"](input, target, reduction, delta)
    same_shape("huber_loss", input=input, target=target, weight=weight)
    dtype = result_dtype(input, target, weight)
    x, t, w = in_compute(dtype, input, target, weight)
    return reduce_loss("huber_loss", _f["huber_loss"](x, t, "none", delta) * w, reduction, dtype)


def _weighted(op: str, input: Any, target: Any, weight: Any, reduction: str) -> Any:
    same_shape(op, input=input, target=target, weight=weight)
    dtype = result_dtype(input, target, weight)
    x, t, w = in_compute(dtype, input, target, weight)
    loss = _f[op](x, t, "none") * w
    if reduction != "mean":
        return reduce_loss(op, loss, reduction, dtype)
    return (loss.sum() / w.sum()).astype(dtype)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    """Negative log-likelihood of counts under a Poisson distribution.

    Parameters
    ----------
    input : Tensor
        The logarithm of the expected count, or with ``log_input=False`` the count itself.
    target : Tensor
        Counts, of the same shape.
    log_input : bool
    full : bool
        Whether to add Stirling's approximation of ``log(target!)`` for targets above 1.
    eps : float
        Keeps the logarithm of `input` finite.
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> sn.nn.functional.poisson_nll_loss(sn.tensor([0.0]), sn.tensor([3.0])).item()
    1.0
    """
    op = "poisson_nll_loss"
    same_shape(op, input=input, target=target)
    dtype = wide_dtype(input, target)
    x, t = in_compute(dtype, input, target)
    loss = _exp(x) - t * x if log_input else x - t * _log(x + eps)
    if full:
        large = t > 1
        t = _where(large, t, 1.0)
        stirling = t * _log(t) - t + 0.5 * _log(t * (2 * math.pi))
        loss = loss + _where(large, stirling, 0.0)
    return reduce_loss(op, loss, reduction, dtype)


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """Negative log-likelihood under normal distributions of given means and variances (Nix,
    Weigend 1994).

    Parameters
    ----------
    input, target : Tensor
        Expected and true values, of one shape.
    var : Tensor or float
        Variances: of the same shape, with a last dimension of 1, or without the last dimension.
        They are read, since a negative one is an error; gradients see no limit by `eps`. In a graph
        (`sn.trace`), where nothing can be read, a negative one makes the loss NaN.
    full : bool
        Whether to add ``log(2 pi) / 2``.
    eps : float
        The least variance.
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> gaussian_nll_loss = sn.nn.functional.gaussian_nll_loss
    >>> gaussian_nll_loss(sn.tensor([1.0]), sn.tensor([3.0]), sn.tensor([1.0])).item()
    2.0
    """
    op = "gaussian_nll_loss"
    same_shape(op, input=input, target=target)
    if not isinstance(var, _core.Tensor):
        var = _f["full"](input.shape, float(var), dtype=result_dtype(input), device=input.device)
    shape = input.shape
    if var.shape != shape:
        if var.shape == shape[:-1]:
            var = var[..., None]
        elif var.shape != (*shape[:-1], 1):
            raise error(
                _core.ShapeError,
                op,
                f"var has shape {var.shape} and input {shape}; required is the shape of the "
                "input, or one with a last dimension of 1 or without the last dimension",
            )
    if not eps > 0:
        raise error(_core.InvalidValue, op, f"eps is {eps}; it must be positive")
    traced = _core.is_traced(var)
    if not traced and bool((var.detach() < 0).any()):
        raise error(
            _core.InvalidValue,
            op,
            f"the least variance is {var.detach().min().item()}; variances must be 0 or more; "
            "let the layer that makes them end in softplus or exp",
        )
    dtype = wide_dtype(input, target, var)
    x, t = in_compute(dtype, input, target)
    (v,) = in_compute(dtype.to_real, var)
    known = v.detach()
    v = v + (_maximum(known, eps) - known)
    if traced:
        v = _f["where"](known < 0, float("nan"), v)
    loss = 0.5 * (_log(v) + (x - t) ** 2 / v)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduce_loss(op, loss, reduction, dtype)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """``max(0, margin - target * (input1 - input2))``: with a target of 1 the first input should
    be larger, with -1 the second.

    Examples
    --------
    >>> a, b = sn.tensor([1.0]), sn.tensor([3.0])
    >>> sn.nn.functional.margin_ranking_loss(a, b, sn.tensor([1.0])).item()
    2.0
    """
    op = "margin_ranking_loss"
    same_shape(op, input1=input1, input2=input2, target=target)
    dtype = result_dtype(input1, input2, target)
    a, b, t = in_compute(dtype, input1, input2, target)
    return reduce_loss(op, _hinge(margin - t * (a - b)), reduction, dtype)


def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, reduction: str = "mean"
) -> Any:
    """The distance where the target is 1, ``max(0, margin - distance)`` where it is -1.

    Examples
    --------
    >>> x, target = sn.tensor([0.5, 0.25]), sn.tensor([1, -1])
    >>> sn.nn.functional.hinge_embedding_loss(x, target, reduction="none").tolist()
    [0.5, 0.75]
    """
    op = "hinge_embedding_loss"
    same_shape(op, input=input, target=target)
    dtype = result_dtype(input)
    (x,) = in_compute(dtype, input)
    near = _where(target != -1, x, 0.0)
    far = _where(target != 1, _hinge(margin - x), 0.0)
    return reduce_loss(op, near + far, reduction, dtype)


def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """``log(1 + exp(-target * input))`` for targets of 1 and -1, without overflow.

    Examples
    --------
    >>> x, target = sn.tensor([0.0]), sn.tensor([1.0])
    >>> round(sn.nn.functional.soft_margin_loss(x, target).item(), 4)
    0.6931
    """
    op = "soft_margin_loss"
    same_shape(op, input=input, target=target)
    dtype = result_dtype(input, target)
    x, t = in_compute(dtype, input, target)
    return reduce_loss(op, _softplus(-(t * x)), reduction, dtype)


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Any:
    """Binary cross-entropy of logits, averaged over the classes (the last dimension).

    Parameters
    ----------
    input, target : Tensor
        (..., C), of one shape; targets are 0 or 1.
    weight : Tensor, optional
        (C,): the weight of each class; or of each element, in a shape that broadcasts to the
        input's.
    reduction : str
        "mean", "sum" or "none", over what is not the class.

    Examples
    --------
    >>> x, target = sn.zeros((1, 3)), sn.tensor([[1.0, 0.0, 1.0]])
    >>> round(sn.nn.functional.multilabel_soft_margin_loss(x, target).item(), 4)
    0.6931
    """
    op = "multilabel_soft_margin_loss"
    same_shape(op, input=input, target=target)
    dtype = result_dtype(input, target)
    x, t = in_compute(dtype, input, target)
    loss = -(t * _logsigmoid(x) + (1.0 - t) * _logsigmoid(-x))
    if weight is not None:
        if weight.ndim < 2:
            _check_class_weight(op, input, weight)
        loss = loss * _f["broadcast_to"](weight, loss.shape).astype(loss.dtype)
    return reduce_loss(op, loss.sum(-1) / input.shape[-1], reduction, dtype)


def _check_class_weight(op: str, input: Any, weight: Any) -> None:
    if weight.shape != (input.shape[-1],):
        raise error(
            _core.ShapeError,
            op,
            f"weight has shape {weight.shape}; input of shape {input.shape} has "
            f"{input.shape[-1]} classes and needs ({input.shape[-1]},)",
        )


def _rows(op: str, input: Any, target: Any, per_class: bool) -> tuple[Any, Any]:
    """(N, C) and (N, C) or (N,) of what may come without a batch. A number is one class."""
    if input.ndim == 0:
        input = input.reshape(1)
        target = target.reshape(1) if per_class and target.ndim == 0 else target
    ok = input.ndim in (1, 2) and input.shape[-1] > 0
    want = input.shape if per_class else input.shape[:-1]
    if not ok or (target.shape != want and not (input.ndim == 1 and target.shape == (1,))):
        raise error(
            _core.ShapeError,
            op,
            f"input has shape {input.shape} and target {target.shape}; required are (N, C) and "
            + ("(N, C), or (C,) and (C,)" if per_class else "(N,), or (C,) and ()"),
        )
    if target.dtype in _FLOATS:
        raise error(
            _core.DTypeError,
            op,
            f"target has dtype {target.dtype.name}; class numbers must be integers; convert with "
            ".astype(sn.int64)",
        )
    if input.ndim == 2:
        return input, target
    return input[None], target[None] if per_class else target.reshape(1)


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
) -> Any:
    """Hinge loss of many classes: the mean over all classes of ``max(0, margin - x[target] +
    x[i])**p``, i running over the others.

    Parameters
    ----------
    input : Tensor
        (N, C), or (C,).
    target : Tensor
        (N,) class numbers, or ().
    p : int
        1 or 2.
    margin : float
    weight : Tensor, optional
        (C,): multiplies the loss of each target class.
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> x = sn.tensor([[0.1, 0.2, 0.4, 0.8]])
    >>> round(sn.nn.functional.multi_margin_loss(x, sn.tensor([3])).item(), 4)
    0.325
    """
    op = "multi_margin_loss"
    if p not in (1, 2):
        raise error(_core.InvalidValue, op, f"p is {p!r}; it must be 1 or 2")
    rows, classes = _rows(op, input, target, False)
    if weight is not None:
        _check_class_weight(op, rows, weight)
    dtype = result_dtype(input)
    (x,) = in_compute(dtype, rows)
    # A negative class is a mistake, not counted from the end.
    count = x.shape[-1]
    index = _where(classes < 0, count, classes)[:, None]
    loss = _hinge(margin - _gather(x, 1, index) + x)
    if p == 2:
        loss = loss * loss
    others = _arange(count, dtype=index.dtype, device=index.device) != index
    loss = _where(others, loss, 0.0).sum(-1) / count
    if weight is not None:
        loss = loss * weight.astype(x.dtype)[index[:, 0]]
    return reduce_loss(op, loss if input.ndim == 2 else loss[0], reduction, dtype)


def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Hinge loss between each class of a set and each class outside of it.

    Parameters
    ----------
    input : Tensor
        (N, C), or (C,).
    target : Tensor
        Of the same shape: class numbers, ended by -1; what stands behind it is not looked at.
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> x, y = sn.tensor([[0.1, 0.2, 0.4, 0.8]]), sn.tensor([[3, 0, -1, 1]])
    >>> round(sn.nn.functional.multilabel_margin_loss(x, y).item(), 4)
    0.85
    """
    op = "multilabel_margin_loss"
    rows, classes = _rows(op, input, target, True)
    dtype = result_dtype(input)
    (x,) = in_compute(dtype, rows)
    count = x.shape[-1]
    classes = classes.astype(_core.int64)
    there = _f["cumprod"]((classes != -1).astype(_core.int64), -1) > 0
    index = _where(there, _where(classes < 0, count, classes), 0)
    own = (index[..., None] == _arange(count, dtype=index.dtype, device=index.device)) & there[
        ..., None
    ]
    outside = ~own.any(-2)
    pairs = there[..., None] & outside[:, None, :]
    hinge = _hinge(1.0 - (_gather(x, 1, index)[..., None] - x[:, None, :]))
    loss = _where(pairs, hinge, 0.0).sum((-2, -1)) / count
    return reduce_loss(op, loss if input.ndim == 2 else loss[0], reduction, dtype)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1.

    Parameters
    ----------
    input1, input2 : Tensor
        (N, D), or (D,).
    target : Tensor
        (N,), or (): 1 or -1.

    Examples
    --------
    >>> a, b = sn.tensor([[1.0, 0.0]]), sn.tensor([[0.0, 2.0]])
    >>> sn.nn.functional.cosine_embedding_loss(a, b, sn.tensor([1])).item()
    1.0
    """
    op = "cosine_embedding_loss"
    same_shape(op, input1=input1, input2=input2)
    if input1.ndim not in (1, 2) or target.shape != input1.shape[:-1]:
        raise error(
            _core.ShapeError,
            op,
            f"the inputs have shape {input1.shape} and target {target.shape}; required are "
            "(N, D) and (N,), or (D,) and ()",
        )
    dtype = result_dtype(input1, input2)
    a, b = in_compute(dtype, input1, input2)
    tiny = 1e-12  # as in PyTorch
    squares = ((a * a).sum(-1) + tiny) * ((b * b).sum(-1) + tiny)
    cos = (a * b).sum(-1) / _f["sqrt"](squares)
    loss = _where(target == 1, 1.0 - cos, 0.0)
    loss = loss + _where(target == -1, _hinge(cos - margin), 0.0)
    return reduce_loss(op, loss, reduction, dtype)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with `pairwise_distance`.

    Parameters
    ----------
    anchor, positive, negative : Tensor
        (N, D), or (D,), of one shape.
    margin, p, eps : float
    swap : bool
        Whether the distance of the positive to the negative counts when it is the smaller one
        (Balntas et al. 2016).
    reduction : str
        "mean", "sum" or "none".

    Examples
    --------
    >>> a, b, c = (sn.tensor([[v]]) for v in (0.0, 1.0, 1.5))
    >>> round(sn.nn.functional.triplet_margin_loss(a, b, c).item(), 4)
    0.5
    """
    return _triplet(
        "triplet_margin_loss",
        (anchor, positive, negative),
        lambda a, b: pairwise_distance(a, b, p, eps),
        margin,
        swap,
        reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """`triplet_margin_loss` with any distance; `pairwise_distance` by default.

    Examples
    --------
    >>> def distance(a, b):
    ...     return 1.0 - sn.nn.functional.cosine_similarity(a, b)
    >>> a, b, c = sn.ones((1, 2)), sn.ones((1, 2)), -sn.ones((1, 2))
    >>> loss = sn.nn.functional.triplet_margin_with_distance_loss
    >>> round(loss(a, b, c, distance_function=distance, margin=2.5).item(), 4)
    0.5
    """
    op = "triplet_margin_with_distance_loss"
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(op, (anchor, positive, negative), distance, margin, swap, reduction)


def _triplet(
    op: str,
    inputs: tuple[Any, Any, Any],
    distance: Callable[[Any, Any], Any],
    margin: float,
    swap: bool,
    reduction: str,
) -> Any:
    anchor, positive, negative = inputs
    same_shape(op, anchor=anchor, positive=positive, negative=negative)
    if not margin > 0:
        raise error(_core.InvalidValue, op, f"margin is {margin}; it must be positive")
    dtype = wide_dtype(*inputs)
    anchor, positive, negative = in_compute(dtype, *inputs)
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = _f["minimum"](far, distance(positive, negative))
    return reduce_loss(op, _hinge(margin + near - far), reduction, dtype.to_real)


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """Connectionist temporal classification (Graves et al. 2006): `sennit.ctc_loss`, whose lengths
    may also be tuples or lists of int.

    Examples
    --------
    >>> x = sn.log_softmax(sn.zeros((2, 1, 3)), -1)
    >>> round(sn.nn.functional.ctc_loss(x, sn.tensor([[1]]), (2,), (1,)).item(), 4)
    1.0986
    """
    lengths = [
        n if isinstance(n, _core.Tensor) else asarray(n, device=log_probs.device)
        for n in (input_lengths, target_lengths)
    ]
    return _f["ctc_loss"](log_probs, targets, *lengths, blank, reduction, zero_infinity)
