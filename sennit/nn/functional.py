"""The functions behind the layers, with PyTorch's names, argument orders and defaults.

Losses never broadcast: input and target must have one shape.
"""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from ..autograd import Function, no_grad
from ._activations import *  # noqa: F403
from ._activations import __all__ as _activations
from ._attention import *  # noqa: F403
from ._attention import __all__ as _attention
from ._distance import *  # noqa: F403
from ._distance import __all__ as _distance
from ._dropout import *  # noqa: F403
from ._dropout import __all__ as _noise
from ._embedding_bag import *  # noqa: F403
from ._embedding_bag import __all__ as _embedding_bag
from ._folding import *  # noqa: F403
from ._folding import __all__ as _folding
from ._losses import *  # noqa: F403
from ._losses import __all__ as _losses
from ._losses_extra import *  # noqa: F403
from ._losses_extra import __all__ as _losses_extra
from ._pooling import *  # noqa: F403
from ._pooling import __all__ as _pooling
from ._resampling import *  # noqa: F403
from ._resampling import __all__ as _resampling

_f = _core.functions
_where = _f["where"]
_softmax, _log_softmax = _f["softmax"], _f["log_softmax"]
_dropout, _embedding = _f["dropout"], _f["embedding"]

# The same in both worlds: these are the registry's functions themselves.
linear = _f["linear"]
scaled_dot_product_attention = _f["scaled_dot_product_attention"]
layer_norm = _f["layer_norm"]
group_norm = _f["group_norm"]
cross_entropy = _f["cross_entropy"]
nll_loss = _f["nll_loss"]
smooth_l1_loss = _f["smooth_l1_loss"]
binary_cross_entropy = _f["binary_cross_entropy"]
binary_cross_entropy_with_logits = _f["binary_cross_entropy_with_logits"]
normalize = _f["normalize"]
one_hot = _f["one_hot"]
pad = _f["pad"]
tanh = _f["tanh"]
sigmoid = _f["sigmoid"]
logsigmoid = _f["logsigmoid"]
conv_transpose1d = _f["conv_transpose1d"]
conv_transpose2d = _f["conv_transpose2d"]
conv_transpose3d = _f["conv_transpose3d"]

_OTHERS = [
    *_activations,
    *_attention,
    *_distance,
    *_noise,
    *_embedding_bag,
    *_folding,
    *_losses,
    *_losses_extra,
    *_pooling,
    *_resampling,
]
_REEXPORTED = [name for name in list(globals()) if name in _f and name not in _OTHERS]


def softmax(input: Any, dim: int = -1, dtype: Any = None) -> Any:
    """Exponentials that sum to one along `dim`; `dtype` converts the input first.

    Examples
    --------
    >>> sn.nn.functional.softmax(sn.tensor([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    return _softmax(input if dtype is None else input.astype(dtype), dim)


def log_softmax(input: Any, dim: int = -1, dtype: Any = None) -> Any:
    """Logarithm of `softmax`.

    Examples
    --------
    >>> sn.nn.functional.log_softmax(sn.tensor([[3.0]]), 1).tolist()
    [[0.0]]
    """
    return _log_softmax(input if dtype is None else input.astype(dtype), dim)


def softmin(input: Any, dim: int = -1, dtype: Any = None) -> Any:
    """`softmax` of ``-x``; `dtype` converts the input first.

    Examples
    --------
    >>> sn.nn.functional.softmin(sn.tensor([1.0, 1.0])).tolist()
    [0.5, 0.5]
    """
    return _softmax(-(input if dtype is None else input.astype(dtype)), dim)


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero with probability p, else ``x / (1 - p)``, when training.

    Examples
    --------
    >>> sn.nn.functional.dropout(sn.ones(2), 0.5, training=False).tolist()
    [1.0, 1.0]
    """
    return _dropout(input, p, training)


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows of a table, by integers.

    Parameters
    ----------
    input : Tensor
        Integers of any shape, 0 or more.
    weight : Tensor
        (rows, features).
    padding_idx : int, optional
        This row gets no gradient.
    max_norm : float, optional
        Rows that are looked up and have a larger norm are first scaled down to it, in `weight`.
    norm_type : float
        Of the p-norm of `max_norm`.
    scale_grad_by_freq : bool
        Gradients of a row are divided by how often it is looked up.
    sparse : bool
        Accepted for PyTorch's sake: gradients are dense.

    Examples
    --------
    >>> sn.nn.functional.embedding(sn.tensor([1]), sn.eye(2)).tolist()
    [[0.0, 1.0]]
    """
    if padding_idx is not None and padding_idx < 0:
        padding_idx += weight.shape[0]
    if max_norm is not None:
        with no_grad():
            _renormalize(weight, input, max_norm, norm_type)
    if scale_grad_by_freq and weight.requires_grad:
        flat = input.reshape(-1)
        count = _f["index_add"](
            _f["zeros"]((weight.shape[0],), dtype=weight.dtype, device=weight.device),
            0,
            flat,
            _f["ones"](flat.shape, dtype=weight.dtype, device=weight.device),
        )
        share = (1.0 / count[input])[..., None]
        rows = _embedding(input, weight, padding_idx)
        # The value of the rows, the gradient of the rows times their share.
        return rows.detach() + (rows * share - (rows * share).detach())
    return _embedding(input, weight, padding_idx)


def _renormalize(weight: Any, rows: Any, max_norm: float, norm_type: float) -> None:
    """Scales the rows that are named and too long down to `max_norm`, as PyTorch does."""
    if norm_type == float("inf"):
        norm = weight.abs().max(-1)
    else:
        norm = (weight.abs() ** norm_type).sum(-1) ** (1.0 / norm_type)
    flat = rows.reshape(-1)
    named = _f["index_add"](
        _f["zeros"]((weight.shape[0],), dtype=_core.int64, device=weight.device),
        0,
        flat,
        _f["ones"](flat.shape, dtype=_core.int64, device=weight.device),
    )
    scale = _where((named > 0) & (norm > max_norm), max_norm / (norm + 1e-7), 1.0)
    weight.assign_(weight.detach() * scale[:, None])


class _ChunkedLosses(Function):
    """Losses of rows of `linear(x, w, b)`, whose logits exist for some rows at a time only.

    Backward makes the logits again; it consists of ordinary operations, so it can be
    differentiated again (and then holds what it needs).
    """

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, b: Any, target: Any, size: int, options: Any) -> Any:
        ctx.save_for_backward(x, w)
        ctx.rest = (b, target, size, options)
        rows = [
            cross_entropy(linear(x[i : i + size], w, b), target[i : i + size], **options)
            for i in range(0, x.shape[0], size)
        ]
        return _f["concat"](rows, 0)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        b, target, size, options = ctx.rest
        classes, smoothing = w.shape[0], options["label_smoothing"]
        each = options["weight"]
        dtype = _core.float64 if x.dtype == _core.float64 else _core.float32
        dx, dw, db = [], None, None
        for i in range(0, x.shape[0], size):
            part, label = x[i : i + size], target[i : i + size]
            p = _softmax(linear(part, w, b).astype(dtype), -1)
            own = label[:, None] == _f["arange"](classes, dtype=label.dtype)
            counted = (label != options["ignore_index"])[:, None]
            wanted = own.astype(dtype) * (1.0 - smoothing)
            if each is not None:
                wanted = wanted * each.astype(dtype)
            if smoothing:
                share = smoothing / classes
                wanted = wanted + (share if each is None else each.astype(dtype) * share)
            wanted = _where(counted, wanted, 0.0)
            d = (p * wanted.sum(-1, keepdims=True) - wanted) * g[i : i + size, None].astype(dtype)
            d = d.astype(x.dtype)
            dx.append(d @ w)
            more = d.T @ part
            dw = more if dw is None else dw + more
            if b is not None:
                more = d.sum(0)
                db = more if db is None else db + more
        return _f["concat"](dx, 0), dw, db, None, None, None


def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    chunk: int | None = None,
) -> Any:
    """``cross_entropy(linear(input, linear_weight, linear_bias), target)`` without all logits.

    Only the logits of `chunk` rows exist at a time, in forward and in backward, which makes them
    again: a vocabulary of 50,000 costs megabytes instead of gigabytes.

    Parameters
    ----------
    input : Tensor
        (N, in_features), or (in_features,).
    linear_weight : Tensor
        (C, in_features).
    target : Tensor
        (N,) class numbers; or (N, C) probabilities, which takes the plain way.
    linear_bias : Tensor, optional
        (C,).
    weight : Tensor, optional
        (C,): the weight of each class.
    reduction : str
        "mean" (weighted), "sum" or "none".
    ignore_index : int, optional
        Rows of this class do not count; -100 by default.
    label_smoothing : float
    chunk : int, optional
        Rows at a time; by default as many as make about a million logits.

    Examples
    --------
    >>> x, w = sn.random.normal(shape=(4, 8)), sn.random.normal(shape=(10, 8))
    >>> sn.nn.functional.linear_cross_entropy(x, w, sn.tensor([1, 2, 3, 4])).shape
    ()
    """
    ignore = -100 if ignore_index is None else ignore_index
    options: dict[str, Any] = {
        "weight": weight,
        "ignore_index": ignore,
        "label_smoothing": label_smoothing,
    }
    if chunk is not None and chunk < 1:
        raise error(
            _core.InvalidValue, "linear_cross_entropy", f"chunk is {chunk}; it must be 1 or more"
        )
    size = chunk or max(1, (1 << 20) // max(1, linear_weight.shape[0]))
    labels = input.ndim == 2 and target.ndim == 1 and linear_weight.ndim == 2
    if not labels or input.shape[0] != target.shape[0] or input.shape[0] <= size:
        logits = linear(input, linear_weight, linear_bias)
        return cross_entropy(logits, target, reduction=reduction, **options)
    options["reduction"] = "none"
    rows = _ChunkedLosses.apply(input, linear_weight, linear_bias, target, size, options)
    if reduction == "none":
        return rows
    if reduction == "sum":
        return rows.sum()
    if reduction != "mean":
        raise error(
            _core.InvalidValue,
            "linear_cross_entropy",
            f"reduction is {reduction!r}; it must be 'mean', 'sum' or 'none'",
        )
    counted = target != ignore
    if weight is None:
        return rows.sum() / counted.sum().astype(rows.dtype)
    own = weight[_where(counted, target, 0)]
    return rows.sum() / _where(counted, own, 0.0).sum()


def rms_norm(
    input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Any:
    """``x / sqrt(mean(x**2) + eps)`` over the trailing dimensions (Zhang, Sennrich 2019).

    Examples
    --------
    >>> sn.nn.functional.rms_norm(sn.tensor([[2.0, 2.0]]), 2, eps=0.0).tolist()
    [[1.0, 1.0]]
    """
    if eps is None:
        eps = 2.0**-52 if input.dtype == _core.float64 else 2.0**-23
    return _f["rms_norm"](input, normalized_shape, weight, eps)


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Batch normalisation; in training, running statistics that are given are updated.

    Examples
    --------
    >>> mean, var = sn.zeros(1), sn.ones(1)
    >>> sn.nn.functional.batch_norm(sn.tensor([[2.0]]), mean, var, eps=0.0).tolist()
    [[2.0]]
    """
    if not training:
        return _f["batch_norm_inference"](input, running_mean, running_var, weight, bias, eps)
    y, mean, var = _f["batch_norm_train"](input, weight, bias, eps)
    if running_mean is not None:
        track_statistics(
            running_mean, running_var, mean, var, input.size // input.shape[1], momentum
        )
    return y


def track_statistics(
    running_mean: Any, running_var: Any, mean: Any, var: Any, count: int, rate: Any
) -> None:
    """Moves running statistics toward those of a batch of `count` values per channel.

    The variance of the batch is biased; what is tracked is not.

    Examples
    --------
    >>> mean, var = sn.zeros(1), sn.ones(1)
    >>> batch = sn.ones(1), sn.ones(1)
    >>> sn.nn.functional.track_statistics(mean, var, *batch, 2, 0.5)
    >>> mean.item(), var.item()
    (0.5, 1.5)
    """
    unbiased = count / (count - 1)
    with no_grad():
        new_mean = running_mean + (mean.detach() - running_mean) * rate
        new_var = running_var + (var.detach() * unbiased - running_var) * rate
        running_mean.assign_(new_mean.to(running_mean.dtype))
        running_var.assign_(new_var.to(running_var.dtype))


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of each sample by its own mean and variance (Ulyanov et al. 2016).

    Parameters
    ----------
    input : Tensor
        (N, C, ...), floating.
    running_mean, running_var : Tensor or None
        (C,). Moved toward the means over the batch, or, without `use_input_stats`, used instead.
    weight, bias : Tensor or None
        (C,).
    use_input_stats : bool
    momentum, eps : float

    Returns
    -------
    Tensor
        The shape and dtype of `input`.

    Raises
    ------
    ShapeError
        When a sample has fewer than two values per channel, which have no variance.

    Examples
    --------
    >>> y = sn.nn.functional.instance_norm(sn.tensor([[[1.0, 3.0]]]))
    >>> [round(v, 3) for v in y.flatten().tolist()]
    [-1.0, 1.0]
    """
    if not use_input_stats:
        return _f["batch_norm_inference"](input, running_mean, running_var, weight, bias, eps)
    axes = tuple(range(2, input.ndim))
    count = 1
    for axis in axes:
        count *= input.shape[axis]
    if count == 1:
        raise error(
            _core.ShapeError,
            "instance_norm",
            f"the input has shape {input.shape}, one value per channel of a sample; at least two "
            "are required, since one has no variance; use larger images",
        )
    if running_mean is not None and input.size:
        with no_grad():
            x = input.detach()
            mean = _f["mean"](_f["mean"](x, axes), 0)
            var = _f["mean"](_f["var"](x, axes), 0)
        track_statistics(running_mean, running_var, mean, var, count, momentum)
    return group_norm(input, input.shape[1], weight, bias, eps)


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """``x / (k + alpha * mean of x**2 over `size` neighbouring channels) ** beta``.

    Channels that are not there count as zeros in the mean (Krizhevsky et al. 2012).

    Parameters
    ----------
    input : Tensor
        (N, C, ...), floating, with one dimension or more behind the channels.
    size : int
        Channels per mean: ``size // 2`` before the one in question, the others from there on.
    alpha, beta, k : float

    Returns
    -------
    Tensor
        The shape and dtype of `input`.

    Raises
    ------
    ShapeError
        For an input of fewer than three dimensions.
    InvalidValue
        For a size below one.

    Examples
    --------
    >>> sn.nn.functional.local_response_norm(sn.ones((1, 1, 1)), 1, alpha=3.0, beta=0.5).item()
    0.5
    """
    if input.ndim < 3:
        raise error(
            _core.ShapeError,
            "local_response_norm",
            f"the input has shape {input.shape}; (N, C, ...) with at least three dimensions is "
            "required; add dimensions of size one",
        )
    if size < 1:
        raise error(
            _core.InvalidValue,
            "local_response_norm",
            f"size is {size}; it must be 1 or more; 5 is usual",
        )
    if input.size == 0:
        return input * 1.0
    n, channels = input.shape[:2]
    squares = (input * input).reshape((n, 1, channels, -1))
    padded = pad(squares, (0, 0, size // 2, (size - 1) // 2))
    means = _f["avg_pool2d"](padded, (size, 1), 1).reshape(input.shape)
    return input / (means * alpha + k) ** beta


def _convolution(rank: int) -> Any:
    function = _f[f"conv{rank}d"]

    def conv(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Any:
        if isinstance(padding, str):
            return function(input, weight, bias, stride, 0, dilation, groups, padding)
        return function(input, weight, bias, stride, padding, dilation, groups)

    conv.__name__ = conv.__qualname__ = f"conv{rank}d"
    conv.__doc__ = function.__doc__
    return conv


conv1d = _convolution(1)
conv2d = _convolution(2)
conv3d = _convolution(3)


def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Any:
    """`conv1d` of sequences (steps, batch, channels).

    Parameters
    ----------
    input : Tensor
        (T, B, C).
    weight : Tensor
        (kernel, C, O).
    bias : Tensor
        (O,).
    pad : int
        Steps of zeros on both sides.

    Examples
    --------
    >>> F = sn.nn.functional
    >>> F.conv_tbc(sn.ones((5, 2, 3)), sn.ones((3, 3, 4)), sn.zeros(4), pad=1).shape
    (5, 2, 4)
    """
    if input.ndim != 3 or weight.ndim != 3:
        raise error(
            _core.ShapeError,
            "conv_tbc",
            f"the input has shape {input.shape} and the weight {weight.shape}; (steps, batch, "
            "channels) and (kernel, channels, outputs) are required",
        )
    y = conv1d(input.permute_dims((1, 2, 0)), weight.permute_dims((2, 1, 0)), bias, padding=pad)
    return y.permute_dims((2, 0, 1))


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """Kullback-Leibler divergence of log-probabilities `input` from `target`.

    Parameters
    ----------
    reduction : str
        "mean", "sum", "none", or "batchmean": the sum divided by the batch size.
    log_target : bool
        Whether `target` holds logarithms too.

    Examples
    --------
    >>> p = sn.tensor([[0.5, 0.5]])
    >>> sn.nn.functional.kl_div(p.log(), p, reduction="batchmean").item()
    0.0
    """
    return _f["kl_div"](input, target, reduction, log_target)


__all__ = [  # noqa: PLE0604
    *_OTHERS,
    *_REEXPORTED,
    "batch_norm",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "dropout",
    "embedding",
    "instance_norm",
    "kl_div",
    "local_response_norm",
    "linear_cross_entropy",
    "log_softmax",
    "rms_norm",
    "softmax",
    "softmin",
    "track_statistics",
]
