"""Normalisation layers."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from . import init
from .functional import instance_norm, local_response_norm, track_statistics
from .module import Module
from .parameter import Parameter, UninitializedBuffer, UninitializedParameter

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
    "SyncBatchNorm",
]

_f = _core.functions
_empty, _zeros, _ones = _f["empty"], _f["zeros"], _f["ones"]
_layer_norm, _rms_norm, _group_norm = _f["layer_norm"], _f["rms_norm"], _f["group_norm"]
_train, _infer = _f["batch_norm_train"], _f["batch_norm_inference"]


def _need_rank(layer: Module, x: _core.Tensor, ranks: tuple[int, ...]) -> None:
    if x.ndim not in ranks:
        shown = " or ".join(str(r) for r in ranks)
        raise error(
            _core.ShapeError,
            type(layer).__name__,
            f"the input has shape {x.shape}; it must have {shown} dimensions",
        )


class _Affine(Module):
    """What normalisations with a weight and a bias share."""

    weight: Parameter | None
    bias: Parameter | None
    _lazy = False  # whether sizes become known at the first call

    def _register(self, shape: tuple[int, ...], weight: bool, bias: bool, **kind: Any) -> None:
        for name, there in (("weight", weight), ("bias", bias)):
            value: Parameter | None = None
            if there and self._lazy:
                value = UninitializedParameter(**kind)
            elif there:
                value = Parameter(_empty(shape, **kind))
            self.register_parameter(name, value)

    def reset_parameters(self) -> None:
        """Weights of one and biases of zero."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _BatchNorm(_Affine):
    _ranks: tuple[int, ...]
    # PyTorch's old files do not have it.
    _optional_state = frozenset({"num_batches_tracked"})
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
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        kind = {"device": device, "dtype": dtype}
        self._register((num_features,), affine, affine and bias, **kind)
        for name in ("running_mean", "running_var"):
            value: Any = None
            if track_running_stats and self._lazy:
                value = UninitializedBuffer(**kind)
            elif track_running_stats:
                value = _empty((num_features,), **kind)
            self.register_buffer(name, value)
        count = _zeros((), dtype=_core.int64, device=device) if track_running_stats else None
        self.register_buffer("num_batches_tracked", count)
        if not self._lazy:
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
        super().reset_parameters()

    def _batch_statistics(self, x: Any) -> tuple[Any, Any, Any, int]:
        """The normalised batch, its mean and biased variance per channel, and how many values
        these are made of. What several processes share goes here; see `SyncBatchNorm`."""
        y, mean, var = _train(x, self.weight, self.bias, self.eps)
        return y, mean, var, x.size // x.shape[1]

    def _check(self, x: Any) -> None:
        _need_rank(self, x, self._ranks)

    def forward(self, input: Any) -> Any:
        self._check(input)
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None:
            return _infer(input, mean, var, self.weight, self.bias, self.eps)
        tracked = self.num_batches_tracked if self.training else None
        if tracked is not None:
            tracked.assign_(tracked + 1)
        if input.size == 0 and input.shape[1] == self.num_features:
            # Nothing to normalise, and no statistics; what is trained gets gradients of zero.
            ones, zeros = (
                f(input.shape[1:2], _core.float32, input.device) for f in (_ones, _zeros)
            )
            return _infer(input, zeros, ones, self.weight, self.bias, self.eps)
        y, batch_mean, batch_var, count = self._batch_statistics(input)
        if tracked is not None and mean is not None and var is not None:
            rate: Any = self.momentum
            if rate is None:  # the average over all batches
                wide = _core.float64 if mean.dtype == _core.float64 else _core.float32
                rate = (1.0 / tracked.to(wide)).to(mean.dtype)
            track_statistics(mean, var, batch_mean, batch_var, count, rate)
        return y

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
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
    device, dtype : optional
        Of the parameters and statistics; the CPU and float32 by default.
    bias : bool
        Whether an affine layer has a `bias`.

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


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation of (N, C, ...) by the statistics of all processes' batches.

    In one process this is batch normalisation of any number of dimensions. A subclass that
    overrides ``_batch_statistics`` decides over which batches statistics are taken.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        As in `BatchNorm2d`.
    process_group : optional
        The processes that share statistics; all by default.

    Examples
    --------
    >>> model = sn.nn.Sequential(sn.nn.Conv2d(3, 8, 3), sn.nn.BatchNorm2d(8))
    >>> type(sn.nn.SyncBatchNorm.convert_sync_batchnorm(model)[1]).__name__
    'SyncBatchNorm'
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def _check(self, x: Any) -> None:
        if x.ndim < 2:
            raise error(
                _core.ShapeError,
                type(self).__name__,
                f"the input has shape {x.shape}; (N, C, ...) with at least two dimensions is "
                "required",
            )

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Any:
        """The module with its batch normalisations replaced by this class; parameters and
        statistics are the same objects. A module that is one itself gives a new one.

        Examples
        --------
        >>> layer = sn.nn.BatchNorm1d(3)
        >>> sync = sn.nn.SyncBatchNorm.convert_sync_batchnorm(layer)
        >>> sync.weight is layer.weight
        True
        """
        result = module
        if isinstance(module, _BatchNorm) and not isinstance(module, _InstanceNorm):
            made = cls(
                module.num_features,
                module.eps,
                module.momentum,
                False,
                False,
                process_group,
            )
            made.affine = module.affine
            made.track_running_stats = module.track_running_stats
            made.weight, made.bias = module.weight, module.bias
            made.running_mean, made.running_var = module.running_mean, module.running_var
            made.num_batches_tracked = module.num_batches_tracked
            made.train(module.training)
            result = made
        for name, child in list(module.named_children()):
            changed = cls.convert_sync_batchnorm(child, process_group)
            if changed is not child:
                result.add_module(name, changed)
        return result


class LayerNorm(_Affine):
    """Layer normalisation (Ba, Kiros, Hinton 2016) over the trailing dimensions.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The trailing dimensions.
    eps : float
    elementwise_affine, bias : bool
        Whether there are `weight` and `bias`.
    device, dtype : optional
        Of the parameters; the CPU and float32 by default.

    Examples
    --------
    >>> y = sn.nn.LayerNorm(2)(sn.tensor([[1.0, 3.0]]))
    >>> [round(v, 3) for v in y.flatten().tolist()]
    [-1.0, 1.0]
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        affine = elementwise_affine
        self._register(self.normalized_shape, affine, affine and bias, device=device, dtype=dtype)
        self.reset_parameters()

    def forward(self, input: Any) -> Any:
        return _layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
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
    device, dtype : optional
        Of the weight; the CPU and float32 by default.

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
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        value = None
        if elementwise_affine:
            value = Parameter(_empty(self.normalized_shape, dtype=dtype, device=device))
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


class GroupNorm(_Affine):
    """Group normalisation (Wu, He 2018): statistics over groups of channels of each sample.

    Parameters
    ----------
    num_groups, num_channels : int
    eps : float
    affine : bool
        Whether there are `weight` and `bias`.
    device, dtype : optional
        Of the parameters; the CPU and float32 by default.
    bias : bool
        Whether an affine layer has a `bias`.

    Examples
    --------
    >>> sn.nn.GroupNorm(2, 6)(sn.ones((1, 6, 4, 4))).shape
    (1, 6, 4, 4)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
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
        self._register((num_channels,), affine, affine and bias, device=device, dtype=dtype)
        self.reset_parameters()

    def forward(self, input: Any) -> Any:
        return _group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class _InstanceNorm(_BatchNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Any) -> Any:
        _need_rank(self, input, self._ranks)
        batched = input if input.ndim == self._ranks[1] else input[None]
        sized = self.affine or self.track_running_stats
        if sized and batched.shape[1] != self.num_features:
            raise error(
                _core.ShapeError,
                type(self).__name__,
                f"the input has shape {input.shape}, with {batched.shape[1]} channels; the layer "
                f"was made for {self.num_features}; check num_features",
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
        return y if input.ndim == self._ranks[1] else y[0]


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

    def forward(self, input: Any) -> Any:
        return local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
