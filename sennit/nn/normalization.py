"""Normalisation and dropout layers."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from . import init
from .functional import instance_norm, local_response_norm, track_statistics
from .module import Module
from .parameter import Parameter

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]

_f = _core.functions
_empty, _zeros, _ones = _f["empty"], _f["zeros"], _f["ones"]
_layer_norm, _rms_norm, _group_norm = _f["layer_norm"], _f["rms_norm"], _f["group_norm"]
_train, _infer = _f["batch_norm_train"], _f["batch_norm_inference"]
_dropout = _f["dropout"]


def _need_rank(layer: Module, x: _core.Tensor, ranks: tuple[int, ...]) -> None:
    if x.ndim not in ranks:
        shown = " or ".join(str(r) for r in ranks)
        raise error(
            _core.ShapeError,
            type(layer).__name__,
            f"the input has shape {x.shape}; it must have {shown} dimensions",
        )


class _BatchNorm(Module):
    _ranks: tuple[int, ...]
    weight: Parameter | None
    bias: Parameter | None
    running_mean: _core.Tensor | None
    running_var: _core.Tensor | None
    num_batches_tracked: _core.Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = None,
    ) -> None:
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        shape = (num_features,)
        for name in ("weight", "bias"):
            self.register_parameter(name, Parameter(_empty(shape, dtype=dtype)) if affine else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", _zeros(shape, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", _ones(shape, dtype=dtype) if tracked else None)
        self.register_buffer(
            "num_batches_tracked", _zeros((), dtype=_core.int64) if tracked else None
        )
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forgets what has been tracked."""
        if self.running_mean is not None:
            assert self.running_var is not None and self.num_batches_tracked is not None
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weights of one, biases of zero, and no statistics."""
        self.reset_running_stats()
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, x: Any) -> Any:
        _need_rank(self, x, self._ranks)
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None:
            return _infer(x, mean, var, self.weight, self.bias, self.eps)
        y, batch_mean, batch_var = _train(x, self.weight, self.bias, self.eps)
        if self.training and mean is not None and var is not None:
            tracked = self.num_batches_tracked
            assert tracked is not None
            tracked.assign_(tracked + 1)
            rate: Any = self.momentum
            if rate is None:  # the average over all batches
                rate = (1.0 / tracked.to(_core.float32)).to(mean.dtype)
            track_statistics(mean, var, batch_mean, batch_var, x.size // x.shape[1], rate)
        return y

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L). See `BatchNorm2d`.

    Examples
    --------
    >>> y = sn.nn.BatchNorm1d(1)(sn.tensor([[1.0], [3.0]]))
    >>> [round(v, 3) for v in y.flatten().tolist()]
    [-1.0, 1.0]
    """

    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images (N, C, H, W) (Ioffe, Szegedy 2015).

    In training each channel is normalised by its mean and variance over the batch, and running
    statistics are kept, which inference uses.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance.
    momentum : float or None
        Weight of a new batch in the running statistics; None keeps the plain average.
    affine : bool
        Whether there are `weight` and `bias`.
    track_running_stats : bool
        Whether there are running statistics; without, inference uses the batch's.

    Attributes
    ----------
    weight, bias : Parameter, (num_features,), or None
    running_mean, running_var : Tensor, (num_features,), or None
    num_batches_tracked : Tensor, int64, or None

    Examples
    --------
    >>> layer = sn.nn.BatchNorm2d(3)
    >>> layer(sn.random.normal(shape=(4, 3, 5, 5))).shape
    (4, 3, 5, 5)
    >>> layer.num_batches_tracked.item()
    1
    """

    _ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of volumes (N, C, D, H, W). See `BatchNorm2d`.

    Examples
    --------
    >>> sn.nn.BatchNorm3d(3).eval()(sn.ones((1, 3, 2, 2, 2))).shape
    (1, 3, 2, 2, 2)
    """

    _ranks = (5,)


class LayerNorm(Module):
    """Layer normalisation (Ba, Kiros, Hinton 2016) over the trailing dimensions.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The trailing dimensions.
    eps : float
    elementwise_affine, bias : bool
        Whether there are `weight` and `bias`.

    Examples
    --------
    >>> y = sn.nn.LayerNorm(2)(sn.tensor([[1.0, 3.0]]))
    >>> [round(v, 3) for v in y.flatten().tolist()]
    [-1.0, 1.0]
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        made = {"weight": elementwise_affine, "bias": elementwise_affine and bias}
        for name, there in made.items():
            value = Parameter(_empty(self.normalized_shape, dtype=dtype)) if there else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights of one and biases of zero."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Any) -> Any:
        return _layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class RMSNorm(Module):
    """Root-mean-square normalisation (Zhang, Sennrich 2019) over the trailing dimensions.

    Parameters
    ----------
    normalized_shape : int or tuple of int
    eps : float, optional
        The dtype's machine epsilon by default.
    elementwise_affine : bool
        Whether there is a `weight`.

    Examples
    --------
    >>> y = sn.nn.RMSNorm(2)(sn.tensor([[3.0, 3.0]]))
    >>> [round(v, 3) for v in y.flatten().tolist()]
    [1.0, 1.0]
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: Any = None,
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        value = (
            Parameter(_empty(self.normalized_shape, dtype=dtype)) if elementwise_affine else None
        )
        self.register_parameter("weight", value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights of one."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Any) -> Any:
        eps = self.eps
        if eps is None:
            eps = 2.0**-52 if x.dtype == _core.float64 else 2.0**-23
        return _rms_norm(x, self.normalized_shape, self.weight, eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    """Group normalisation (Wu, He 2018): statistics over groups of channels of each sample.

    Parameters
    ----------
    num_groups, num_channels : int
    eps : float
    affine : bool
        Whether there are `weight` and `bias`.

    Examples
    --------
    >>> sn.nn.GroupNorm(2, 6)(sn.ones((1, 6, 4, 4))).shape
    (1, 6, 4, 4)
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: Any = None,
    ) -> None:
        if num_groups < 1 or num_channels % num_groups:
            raise error(
                _core.InvalidValue,
                "GroupNorm",
                f"num_channels is {num_channels}; it must be divisible by num_groups, which is "
                f"{num_groups}",
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        for name in ("weight", "bias"):
            value = Parameter(_empty((num_channels,), dtype=dtype)) if affine else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights of one and biases of zero."""
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, x: Any) -> Any:
        return _group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class _InstanceNorm(_BatchNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x: Any) -> Any:
        _need_rank(self, x, self._ranks)
        batched = x if x.ndim == self._ranks[1] else x[None]
        sized = self.affine or self.track_running_stats
        if sized and batched.shape[1] != self.num_features:
            raise error(
                _core.ShapeError,
                type(self).__name__,
                f"the input has shape {x.shape}, with {batched.shape[1]} channels; the layer was "
                f"made for {self.num_features}; check num_features",
            )
        y = instance_norm(
            batched,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            self.momentum or 0.0,
            self.eps,
        )
        return y if x.ndim == self._ranks[1] else y[0]


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of sequences (N, C, L) or (C, L). See `InstanceNorm2d`.

    Examples
    --------
    >>> sn.nn.InstanceNorm1d(3)(sn.ones((2, 3, 5))).shape
    (2, 3, 5)
    """

    _ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of images (N, C, H, W) or (C, H, W) (Ulyanov et al. 2016).

    Each channel of each sample is normalised by its own mean and variance, in inference too,
    unless running statistics are kept.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance.
    momentum : float
        Weight of a new batch in the running statistics.
    affine : bool
        Whether there are `weight` and `bias`.
    track_running_stats : bool
        Whether there are running statistics, which inference then uses.

    Attributes
    ----------
    weight, bias : Parameter, (num_features,), or None
    running_mean, running_var : Tensor, (num_features,), or None
    num_batches_tracked : Tensor, int64, or None
        Stays zero, as in PyTorch.

    Examples
    --------
    >>> sn.nn.InstanceNorm2d(3)(sn.ones((2, 3, 5, 5))).shape
    (2, 3, 5, 5)
    """

    _ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of volumes (N, C, D, H, W) or (C, D, H, W). See `InstanceNorm2d`.

    Examples
    --------
    >>> sn.nn.InstanceNorm3d(3)(sn.ones((2, 3, 5, 5, 5))).shape
    (2, 3, 5, 5, 5)
    """

    _ranks = (4, 5)


class LocalResponseNorm(Module):
    """Each element by the mean square of its neighbouring channels (Krizhevsky et al. 2012).

    See `functional.local_response_norm`.

    Parameters
    ----------
    size : int
        Channels per mean.
    alpha, beta, k : float
        The result is ``x / (k + alpha * mean) ** beta``.

    Examples
    --------
    >>> sn.nn.LocalResponseNorm(5)(sn.ones((2, 8, 4, 4))).shape
    (2, 8, 4, 4)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, x: Any) -> Any:
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        if not 0.0 <= p <= 1.0:
            raise error(
                _core.InvalidValue, type(self).__name__, f"p is {p}; it must be between 0 and 1"
            )
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Dropout):
    """Zero with probability p, else x / (1 - p), in training; nothing in inference.

    Parameters
    ----------
    p : float
    inplace : bool
        Accepted for PyTorch's sake; values never change here.

    Examples
    --------
    >>> sn.nn.Dropout(0.5).eval()(sn.ones(2)).tolist()
    [1.0, 1.0]
    """

    def forward(self, x: Any) -> Any:
        return _dropout(x, self.p) if self.training and self.p > 0 else x


class _ChannelDropout(_Dropout):
    _rank: int

    def forward(self, x: Any) -> Any:
        if not self.training or self.p == 0:
            return x
        _need_rank(self, x, (self._rank + 2,))
        return x * _dropout(_ones((*x.shape[:2], *(1,) * self._rank), dtype=x.dtype), self.p)


class Dropout1d(_ChannelDropout):
    """Dropout of whole channels of sequences (N, C, L).

    Examples
    --------
    >>> sn.nn.Dropout1d(1.0)(sn.ones((1, 2, 3))).sum().item()
    0.0
    """

    _rank = 1


class Dropout2d(_ChannelDropout):
    """Dropout of whole channels of images (N, C, H, W).

    Examples
    --------
    >>> sn.nn.Dropout2d(1.0)(sn.ones((1, 2, 3, 3))).sum().item()
    0.0
    """

    _rank = 2


class Dropout3d(_ChannelDropout):
    """Dropout of whole channels of volumes (N, C, D, H, W).

    Examples
    --------
    >>> sn.nn.Dropout3d(1.0)(sn.ones((1, 2, 3, 3, 3))).sum().item()
    0.0
    """

    _rank = 3
