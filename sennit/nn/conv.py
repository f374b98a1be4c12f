"""Convolutions and their transposes."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._errors import error
from . import init
from .linear import _positive
from .module import Module
from .parameter import Parameter, UninitializedParameter

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]

_f = _core.functions
_empty = _f["empty"]
_Size = int | tuple[int, ...]


def _spatial(layer: str, name: str, value: _Size, rank: int) -> tuple[int, ...]:
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(sizes) != rank or not all(isinstance(s, int) for s in sizes):
        raise error(
            _core.InvalidValue,
            layer,
            f"{name} is {value!r}; it must be an int or {rank} ints",
        )
    return sizes


class _Conv(Module):
    """What all convolutions share: parameters, their initial values and the repr."""

    _rank: int
    _transposed = False
    _lazy = False  # whether the channels of the input become known at the first call
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Size,
        stride: _Size,
        padding: _Size | str,
        dilation: _Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
        output_padding: _Size = 0,
    ) -> None:
        layer, rank = type(self).__name__, self._rank
        _positive(layer, out_channels=out_channels, groups=groups)
        if not self._lazy:
            _positive(layer, in_channels=in_channels)
        if in_channels % groups or out_channels % groups:
            raise error(
                _core.InvalidValue,
                layer,
                f"in_channels is {in_channels} and out_channels {out_channels}; both must be "
                f"divisible by groups, which is {groups}",
            )
        modes = ("zeros",) if self._transposed else ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise error(
                _core.InvalidValue,
                layer,
                f"padding_mode is '{padding_mode}'; it must be {' or '.join(modes)}",
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _spatial(layer, "kernel_size", kernel_size, rank)
        self.stride = _spatial(layer, "stride", stride, rank)
        self.dilation = _spatial(layer, "dilation", dilation, rank)
        self.output_padding = _spatial(layer, "output_padding", output_padding, rank)
        self.transposed = self._transposed
        self.groups = groups
        self.padding_mode = padding_mode
        self._auto_pad = "explicit"
        if isinstance(padding, str):
            if padding not in ("same", "valid") or self._transposed:
                raise error(
                    _core.InvalidValue,
                    layer,
                    f"padding is '{padding}'; it must be ints"
                    + ("" if self._transposed else ", 'same' or 'valid'"),
                )
            if padding == "same" and any(s != 1 for s in self.stride):
                raise error(
                    _core.InvalidValue,
                    layer,
                    f"padding is 'same' and the stride {self.stride}; 'same' needs stride 1",
                )
            self.padding: tuple[int, ...] | str = padding
            self._auto_pad = padding
        else:
            self.padding = _spatial(layer, "padding", padding, rank)
        if self._lazy:
            self.weight = UninitializedParameter(device=device, dtype=dtype)
            self.register_parameter(
                "bias", UninitializedParameter(device=device, dtype=dtype) if bias else None
            )
            return
        self.weight = Parameter(_empty(self._weight_shape(), dtype=dtype, device=device))
        self.register_parameter(
            "bias", Parameter(_empty((out_channels,), dtype=dtype, device=device)) if bias else None
        )
        self.reset_parameters()

    def _weight_shape(self) -> tuple[int, ...]:
        first, second = self.out_channels, self.in_channels
        if self._transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in = math.prod(self.weight.shape[1:])
        if self.bias is not None and fan_in:
            bound = 1 / math.sqrt(fan_in)
            init.uniform_(self.bias, -bound, bound)

    def _padded(self, x: Any) -> Any:
        """The input with a border that is not zeros."""
        pads: list[int] = []
        for d in reversed(range(self._rank)):
            if self.padding == "same":
                total = self.dilation[d] * (self.kernel_size[d] - 1)
                pads += [total // 2, total - total // 2]
            elif self.padding == "valid":
                pads += [0, 0]
            else:
                pads += [int(self.padding[d])] * 2
        return _f["pad"](x, pads, self.padding_mode)

    def _convolve(self, function: Any, x: Any) -> Any:
        if self.padding_mode != "zeros":
            x = self._padded(x)
            return function(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
        if self._auto_pad == "explicit":
            return function(
                x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
            )
        return function(
            x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups, self._auto_pad
        )

    def extra_repr(self) -> str:
        rank = self._rank
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0,) * rank:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * rank:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * rank:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _PlainConv(_Conv):
    def __init__(
        self,
        in_channels: int,
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
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
            bias, padding_mode, device, dtype)  # fmt: skip


class Conv1d(_PlainConv):
    """Convolution over sequences: (N, C, L) to (N, O, L').

    See `Conv2d` for the arguments.

    Examples
    --------
    >>> sn.nn.Conv1d(3, 8, 5, padding=2)(sn.ones((2, 3, 20))).shape
    (2, 8, 20)
    """

    _rank = 1

    def forward(self, input: Any) -> Any:
        return self._convolve(_conv1d, input)


class Conv2d(_PlainConv):
    """Convolution over images: (N, C, H, W) to (N, O, H', W').

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or a tuple with one int per spatial dimension
    padding : int, tuple of int, "same" or "valid"
        Rows and columns added on each side; "same" keeps the size (stride 1 only).
    groups : int
        Blocks of channels that are convolved on their own.
    bias : bool
    padding_mode : str
        "zeros", "reflect", "replicate" or "circular".
    device, dtype : optional
        Of the parameters; the CPU and float32 by default.

    Attributes
    ----------
    weight : Parameter, (out_channels, in_channels / groups, height, width)
    bias : Parameter, (out_channels,), or None
        Both start uniform in ±1 / sqrt(fan-in).

    Examples
    --------
    >>> sn.nn.Conv2d(3, 8, 3, stride=2, padding=1)(sn.ones((2, 3, 8, 8))).shape
    (2, 8, 4, 4)
    """

    _rank = 2

    def forward(self, input: Any) -> Any:
        return self._convolve(_conv2d, input)


class Conv3d(_PlainConv):
    """Convolution over volumes: (N, C, D, H, W) to (N, O, D', H', W').

    See `Conv2d` for the arguments.

    Examples
    --------
    >>> sn.nn.Conv3d(1, 2, 3)(sn.ones((1, 1, 4, 5, 6))).shape
    (1, 2, 2, 3, 4)
    """

    _rank = 3

    def forward(self, input: Any) -> Any:
        return self._convolve(_conv3d, input)


class _TransposedConv(_Conv):
    _transposed = True

    def __init__(
        self,
        in_channels: int,
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
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
            bias, padding_mode, device, dtype, output_padding)  # fmt: skip

    def _spread(self, function: Any, x: Any, output_size: Any) -> Any:
        extra = self.output_padding
        if output_size is not None:
            extra = self._extra(x.shape[-self._rank :], tuple(output_size)[-self._rank :])
        return function(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            extra,
            self.groups,
            self.dilation,
        )

    def _extra(self, sizes: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
        """The output padding that gives the wanted sizes."""
        extra = []
        for d, size in enumerate(sizes):
            least = (
                (size - 1) * self.stride[d]
                - 2 * int(self.padding[d])
                + self.dilation[d] * (self.kernel_size[d] - 1)
                + 1
            )
            extra.append(wanted[d] - least)
            if not 0 <= extra[-1] < max(self.stride[d], self.dilation[d]):
                raise error(
                    _core.ShapeError,
                    type(self).__name__,
                    f"output_size is {wanted}; spatial dimension {d} can become {least} to "
                    f"{least + self.stride[d] - 1}",
                )
        return tuple(extra)


class ConvTranspose1d(_TransposedConv):
    """Transposed convolution over sequences. See `ConvTranspose2d`.

    Examples
    --------
    >>> sn.nn.ConvTranspose1d(4, 2, 4, stride=2, padding=1)(sn.ones((1, 4, 5))).shape
    (1, 2, 10)
    """

    _rank = 1

    def forward(self, input: Any, output_size: Any = None) -> Any:
        return self._spread(_conv_transpose1d, input, output_size)


class ConvTranspose2d(_TransposedConv):
    """Transposed convolution: the gradient of `Conv2d`, often used to enlarge images.

    Parameters
    ----------
    output_padding : int or tuple of int
        Added to one side of the output's size, of which a stride leaves several possible.

    Attributes
    ----------
    weight : Parameter, (in_channels, out_channels / groups, height, width)
    bias : Parameter, (out_channels,), or None

    Examples
    --------
    >>> sn.nn.ConvTranspose2d(4, 2, 2, stride=2)(sn.ones((1, 4, 5, 5))).shape
    (1, 2, 10, 10)
    """

    _rank = 2

    def forward(self, input: Any, output_size: Any = None) -> Any:
        return self._spread(_conv_transpose2d, input, output_size)


class ConvTranspose3d(_TransposedConv):
    """Transposed convolution over volumes. See `ConvTranspose2d`.

    Examples
    --------
    >>> sn.nn.ConvTranspose3d(1, 1, 2, stride=2)(sn.ones((1, 1, 2, 2, 2))).shape
    (1, 1, 4, 4, 4)
    """

    _rank = 3

    def forward(self, input: Any, output_size: Any = None) -> Any:
        return self._spread(_conv_transpose3d, input, output_size)


_conv1d = _f["conv1d"]
_conv2d = _f["conv2d"]
_conv3d = _f["conv3d"]
_conv_transpose1d = _f["conv_transpose1d"]
_conv_transpose2d = _f["conv_transpose2d"]
_conv_transpose3d = _f["conv_transpose3d"]
