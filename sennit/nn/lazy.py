"""Layers that learn the size of their input from the first input."""

from __future__ import annotations

import itertools
from typing import Any

from .. import _core
from .._errors import error
from .conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    _Conv,
    _Size,
)
from .linear import Linear, _positive
from .module import Module
from .normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    _BatchNorm,
)
from .parameter import UninitializedParameter, is_lazy

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LazyLinear",
    "LazyModuleMixin",
]


class LazyModuleMixin(Module):
    """Base of layers with parameters whose shapes the first call decides.

    A subclass makes `UninitializedParameter` and `UninitializedBuffer` attributes, and defines
    ``initialize_parameters(*args, **kwargs)``, which the first call runs, with its arguments, to
    ``materialize`` them. Then the layer becomes one of the class ``cls_to_become``, where that is
    named. A state dict that is loaded before decides the shapes too.

    Parameters keep their identity, so an optimizer may be made before the first call.

    Examples
    --------
    >>> layer = sn.nn.LazyLinear(3)
    >>> layer.has_uninitialized_params()
    True
    >>> _ = layer(sn.ones((2, 5)))
    >>> layer
    Linear(in_features=5, out_features=3, bias=True)
    """

    cls_to_become: type[Module] | None = None
    _lazy = True
    _seen_input = False

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Gives the parameters their shapes; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no initialize_parameters(...)")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this layer has no shape yet."""
        own = itertools.chain(
            self.named_parameters(recurse=False), self.named_buffers(recurse=False)
        )
        return any(is_lazy(value) for _, value in own)

    def reset_parameters(self) -> None:
        """Draws the parameters anew, when they have shapes."""
        if not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._seen_input:
            before = _core.enter_scope(self._name)
            try:
                self.initialize_parameters(*args, **kwargs)
            finally:
                _core.leave_scope(before)
            if self.has_uninitialized_params():
                raise error(
                    _core.InvalidValue,
                    type(self).__name__,
                    "initialize_parameters left parameters without a shape; it must materialize "
                    "all of them",
                )
            if self.cls_to_become is not None:
                self.__class__ = self.cls_to_become  # type: ignore[assignment]
                return self(*args, **kwargs)
            self.__dict__["_seen_input"] = True
        return super().__call__(*args, **kwargs)


def _need_channels(layer: Module, x: Any, ranks: tuple[int, ...]) -> int:
    """The channels of (N, C, ...), or of (C, ...)."""
    if x.ndim not in ranks:
        shown = " or ".join(str(r) for r in ranks)
        raise error(
            _core.ShapeError,
            type(layer).__name__,
            f"the input has shape {x.shape}; it must have {shown} dimensions",
        )
    channels: int = x.shape[0 if x.ndim != ranks[-1] else 1]
    return channels


class LazyLinear(LazyModuleMixin, Linear):
    """`Linear` whose ``in_features`` is the last size of the first input.

    Parameters
    ----------
    out_features : int
    bias : bool
    device, dtype : optional

    Examples
    --------
    >>> layer = sn.nn.LazyLinear(2)
    >>> layer(sn.ones((3, 4))).shape
    (3, 2)
    >>> layer.weight.shape
    (2, 4)
    """

    cls_to_become = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        _positive("LazyLinear", out_features=out_features)
        self.in_features = 0
        self.out_features = out_features
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.register_parameter(
            "bias", UninitializedParameter(device=device, dtype=dtype) if bias else None
        )

    def initialize_parameters(self, input: Any) -> None:
        """Takes ``in_features`` from the input."""
        if input.ndim == 0:
            raise error(
                _core.ShapeError, "LazyLinear", "the input is a scalar; (..., features) is required"
            )
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            for value, shape in (
                (self.weight, (self.out_features, self.in_features)),
                (self.bias, (self.out_features,)),
            ):
                if is_lazy(value):
                    value.materialize(shape)  # type: ignore[union-attr]
            self.reset_parameters()
        self.in_features = self.weight.shape[1]


class _LazyConv(LazyModuleMixin, _Conv):
    def initialize_parameters(self, input: Any, *_: Any, **__: Any) -> None:
        """Takes ``in_channels`` from the input."""
        channels = _need_channels(self, input, (self._rank + 1, self._rank + 2))
        if self.has_uninitialized_params():
            if channels < 1 or channels % self.groups:
                raise error(
                    _core.ShapeError,
                    type(self).__name__,
                    f"the input has shape {input.shape}, with {channels} channels; groups, which "
                    f"is {self.groups}, must divide them",
                )
            self.in_channels = channels
            for value, shape in (
                (self.weight, self._weight_shape()),
                (self.bias, (self.out_channels,)),
            ):
                if is_lazy(value):
                    value.materialize(shape)  # type: ignore[union-attr]
            self.reset_parameters()
        shape = self.weight.shape
        self.in_channels = shape[0] if self.transposed else shape[1] * self.groups


class _LazyPlainConv(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: _Size,
        stride: _Size = 1,
        padding: _Size | str = 0,
        dilation: _Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _Conv.__init__(self, 0, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype)  # fmt: skip


class _LazyTransposedConv(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: _Size,
        stride: _Size = 1,
        padding: _Size = 0,
        output_padding: _Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: _Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _Conv.__init__(self, 0, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype, output_padding)  # fmt: skip


class LazyConv1d(_LazyPlainConv, Conv1d):
    """`Conv1d` whose ``in_channels`` are those of the first input.

    Examples
    --------
    >>> sn.nn.LazyConv1d(8, 5, padding=2)(sn.ones((2, 3, 20))).shape
    (2, 8, 20)
    """

    cls_to_become = Conv1d


class LazyConv2d(_LazyPlainConv, Conv2d):
    """`Conv2d` whose ``in_channels`` are those of the first input.

    Examples
    --------
    >>> layer = sn.nn.LazyConv2d(8, 3)
    >>> layer(sn.ones((2, 3, 8, 8))).shape
    (2, 8, 6, 6)
    >>> layer
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyPlainConv, Conv3d):
    """`Conv3d` whose ``in_channels`` are those of the first input.

    Examples
    --------
    >>> sn.nn.LazyConv3d(2, 3)(sn.ones((1, 1, 4, 5, 6))).shape
    (1, 2, 2, 3, 4)
    """

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyTransposedConv, ConvTranspose1d):
    """`ConvTranspose1d` whose ``in_channels`` are those of the first input.

    Examples
    --------
    >>> sn.nn.LazyConvTranspose1d(2, 4, stride=2, padding=1)(sn.ones((1, 4, 5))).shape
    (1, 2, 10)
    """

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyTransposedConv, ConvTranspose2d):
    """`ConvTranspose2d` whose ``in_channels`` are those of the first input.

    Examples
    --------
    >>> sn.nn.LazyConvTranspose2d(2, 2, stride=2)(sn.ones((1, 4, 5, 5))).shape
    (1, 2, 10, 10)
    """

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyTransposedConv, ConvTranspose3d):
    """`ConvTranspose3d` whose ``in_channels`` are those of the first input.

    Examples
    --------
    >>> sn.nn.LazyConvTranspose3d(1, 2, stride=2)(sn.ones((1, 1, 2, 2, 2))).shape
    (1, 1, 4, 4, 4)
    """

    cls_to_become = ConvTranspose3d


class _LazyNorm(LazyModuleMixin, _BatchNorm):
    _default_affine = _default_tracking = True

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        _BatchNorm.__init__(
            self, 0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def initialize_parameters(self, input: Any) -> None:
        """Takes ``num_features`` from the input."""
        unbatched = isinstance(self, InstanceNorm1d | InstanceNorm2d | InstanceNorm3d)
        if unbatched:
            channels = _need_channels(self, input, self._ranks)
        elif input.ndim in self._ranks:
            channels = input.shape[1]
        else:
            channels = _need_channels(self, input, self._ranks)  # raises
        for value in (self.weight, self.bias, self.running_mean, self.running_var):
            if value is not None and is_lazy(value):
                value.materialize((channels,))  # type: ignore[attr-defined]
                self.num_features = channels
        if self.num_features:
            self.reset_parameters()
        else:  # there was nothing to wait for, or a state dict was loaded
            loaded = self.weight if self.weight is not None else self.running_mean
            self.num_features = channels if loaded is None else loaded.shape[0]


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """`BatchNorm1d` whose ``num_features`` are the channels of the first input.

    Examples
    --------
    >>> sn.nn.LazyBatchNorm1d()(sn.random.normal(shape=(4, 3))).shape
    (4, 3)
    """

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """`BatchNorm2d` whose ``num_features`` are the channels of the first input.

    Parameters
    ----------
    eps, momentum, affine, track_running_stats, device, dtype, bias
        As in `BatchNorm2d`.

    Examples
    --------
    >>> layer = sn.nn.LazyBatchNorm2d()
    >>> layer(sn.random.normal(shape=(4, 3, 2, 2))).shape
    (4, 3, 2, 2)
    >>> layer.num_features
    3
    """

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """`BatchNorm3d` whose ``num_features`` are the channels of the first input.

    Examples
    --------
    >>> sn.nn.LazyBatchNorm3d()(sn.random.normal(shape=(4, 3, 2, 2, 2))).shape
    (4, 3, 2, 2, 2)
    """

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """`InstanceNorm1d` whose ``num_features`` are the channels of the first input.

    As in PyTorch there are `weight`, `bias` and running statistics by default, which
    `InstanceNorm1d` has only on demand.

    Examples
    --------
    >>> sn.nn.LazyInstanceNorm1d()(sn.ones((2, 3, 5))).shape
    (2, 3, 5)
    """

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """`InstanceNorm2d` whose ``num_features`` are the channels of the first input. See
    `LazyInstanceNorm1d`.

    Examples
    --------
    >>> sn.nn.LazyInstanceNorm2d()(sn.ones((2, 3, 5, 5))).shape
    (2, 3, 5, 5)
    """

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """`InstanceNorm3d` whose ``num_features`` are the channels of the first input. See
    `LazyInstanceNorm1d`.

    Examples
    --------
    >>> sn.nn.LazyInstanceNorm3d()(sn.ones((2, 3, 5, 5, 5))).shape
    (2, 3, 5, 5, 5)
    """

    cls_to_become = InstanceNorm3d
