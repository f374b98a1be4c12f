"""Functions of `sennit.nn.functional` that move the elements of images: windows as columns and
back, and channels as pixels and back."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._errors import error

_f = _core.functions
_arange = _f["arange"]

__all__ = [
    "channel_shuffle",
    "fold",
    "native_channel_shuffle",
    "pixel_shuffle",
    "pixel_unshuffle",
    "unfold",
]


def _pair(function: str, name: str, value: Any, least: int) -> tuple[int, int]:
    sizes = (value, value) if isinstance(value, int) else tuple(value)
    if len(sizes) == 1:
        sizes *= 2
    if len(sizes) != 2 or not all(isinstance(s, int) and s >= least for s in sizes):
        raise error(
            _core.InvalidValue,
            function,
            f"{name} is {value!r}; an int of {least} or more, or two of them, are required",
        )
    return sizes


class _Windows:
    """The geometry of `fold` and `unfold`: along each axis the window's size, what is added around
    the image, and where the elements of windows stand."""

    def __init__(
        self,
        function: str,
        image: tuple[int, ...],
        kernel_size: Any,
        dilation: Any,
        padding: Any,
        stride: Any,
        device: str,
    ) -> None:
        self.kernel = _pair(function, "kernel_size", kernel_size, 1)
        self.padding = _pair(function, "padding", padding, 0)
        dilations = _pair(function, "dilation", dilation, 1)
        strides = _pair(function, "stride", stride, 1)
        self.padded = tuple(n + 2 * p for n, p in zip(image, self.padding, strict=True))
        extents = [d * (k - 1) + 1 for d, k in zip(dilations, self.kernel, strict=True)]
        if any(n < e for n, e in zip(self.padded, extents, strict=True)):
            raise error(
                _core.ShapeError,
                function,
                f"windows cover {tuple(extents)} (kernel {self.kernel}, dilation {dilations}) and "
                f"the padded image has {self.padded}; use smaller windows or more padding",
            )
        each = zip(self.padded, extents, strides, strict=True)
        self.counts = tuple((n - e) // s + 1 for n, e, s in each)
        # (kernel, windows) along each axis
        self.places = [
            _arange(k, device=device).reshape((k, 1)) * d + _arange(m, device=device) * s
            for k, m, d, s in zip(self.kernel, self.counts, dilations, strides, strict=True)
        ]


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """The windows of images as columns ("im2col").

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W).
    kernel_size, dilation, padding, stride : int or tuple of int
        As in `conv2d`.

    Returns
    -------
    Tensor
        (N, C * kernel elements, windows): each column is a window, channel by channel.

    Examples
    --------
    >>> x = sn.arange(6.0).reshape(1, 1, 2, 3)
    >>> sn.nn.functional.unfold(x, 2).tolist()
    [[[0.0, 1.0], [1.0, 2.0], [3.0, 4.0], [4.0, 5.0]]]
    """
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise error(
            _core.ShapeError,
            "unfold",
            f"the input has shape {input.shape}; (N, C, H, W) or (C, H, W) is required, and only "
            "the batch may be empty",
        )
    w = _Windows("unfold", input.shape[-2:], kernel_size, dilation, padding, stride, input.device)
    x = input if input.ndim == 4 else input[None]
    rows, columns = w.padding
    if rows or columns:
        x = _f["pad"](x, (columns, columns, rows, rows))
    # (N, C, kernel rows, rows of windows, kernel columns, columns of windows)
    x = _f["take"](_f["take"](x, w.places[0], 2), w.places[1], 4)
    elements = x.shape[1] * math.prod(w.kernel)
    y = x.permute_dims((0, 1, 2, 4, 3, 5)).reshape((x.shape[0], elements, math.prod(w.counts)))
    return y if input.ndim == 4 else y[0]


def fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Images from windows that are columns; where windows overlap, they are added ("col2im").

    Parameters
    ----------
    input : Tensor
        (N, C * kernel elements, windows), or without N: what `unfold` gives.
    output_size : int or tuple of int
        Height and width of the images.
    kernel_size, dilation, padding, stride : int or tuple of int
        Those of the windows.

    Returns
    -------
    Tensor
        (N, C, H, W).

    Examples
    --------
    >>> F = sn.nn.functional
    >>> F.fold(F.unfold(sn.ones((1, 1, 2, 3)), 2), (2, 3), 2).tolist()
    [[[[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]]]
    """
    size = _pair("fold", "output_size", output_size, 1)
    w = _Windows("fold", size, kernel_size, dilation, padding, stride, input.device)
    elements, windows = math.prod(w.kernel), math.prod(w.counts)
    if (
        input.ndim not in (2, 3)
        or input.shape[-2] == 0
        or input.shape[-2] % elements
        or input.shape[-1] != windows
    ):
        raise error(
            _core.ShapeError,
            "fold",
            f"the input has shape {input.shape}; with windows of {w.kernel} over an image of "
            f"{size} it must be (N, a multiple of {elements}, {windows}), or without N",
        )
    x = input if input.ndim == 3 else input[None]
    count, channels = x.shape[0], x.shape[1] // elements
    (kh, kw), (oh, ow), (height, width) = w.kernel, w.counts, w.padded
    x = x.reshape((count, channels, kh, kw, oh, ow)).permute_dims((0, 1, 2, 4, 3, 5))
    x = x.reshape((count, channels, kh * oh, kw * ow))
    for axis, n in ((3, width), (2, height)):
        zeros = _f["zeros"]((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype, x.device)
        x = _f["index_add"](zeros, axis, w.places[axis - 2].reshape(-1), x)
    rows, columns = w.padding
    y = x[:, :, rows : height - rows, columns : width - columns]
    return y if input.ndim == 3 else y[0]


def _check_factor(function: str, name: str, factor: Any, x: Any, fits: bool, need: str) -> None:
    if not isinstance(factor, int) or factor < 1:
        raise error(
            _core.InvalidValue, function, f"{name} is {factor!r}; it must be an int of 1 or more"
        )
    if not fits:
        raise error(
            _core.ShapeError,
            function,
            f"the input has shape {x.shape} and {name} is {factor}; {need} is required",
        )


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Blocks of r * r channels as blocks of r * r pixels (Shi et al. 2016).

    Parameters
    ----------
    input : Tensor
        (..., C * r * r, H, W).
    upscale_factor : int
        The r.

    Returns
    -------
    Tensor
        (..., C, H * r, W * r).

    Examples
    --------
    >>> x = sn.arange(4).reshape(4, 1, 1)
    >>> sn.nn.functional.pixel_shuffle(x, 2).tolist()
    [[[0, 1], [2, 3]]]
    """
    r = upscale_factor
    fits = isinstance(r, int) and r > 0 and input.ndim >= 3 and input.shape[-3] % (r * r) == 0
    need = "(..., a multiple of its square, height, width)"
    _check_factor("pixel_shuffle", "upscale_factor", r, input, fits, need)
    *lead, channels, height, width = input.shape
    n = len(lead)
    x = input.reshape((*lead, channels // (r * r), r, r, height, width))
    x = x.permute_dims((*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return x.reshape((*lead, channels // (r * r), height * r, width * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Blocks of r * r pixels as blocks of r * r channels: undoes `pixel_shuffle`.

    Parameters
    ----------
    input : Tensor
        (..., C, H * r, W * r).
    downscale_factor : int
        The r.

    Returns
    -------
    Tensor
        (..., C * r * r, H, W).

    Examples
    --------
    >>> x = sn.arange(4).reshape(1, 2, 2)
    >>> sn.nn.functional.pixel_unshuffle(x, 2).flatten().tolist()
    [0, 1, 2, 3]
    """
    r = downscale_factor
    fits = isinstance(r, int) and r > 0 and input.ndim >= 3
    fits = fits and input.shape[-1] % r == 0 and input.shape[-2] % r == 0
    need = "(..., channels, a multiple of it, a multiple of it)"
    _check_factor("pixel_unshuffle", "downscale_factor", r, input, fits, need)
    *lead, channels, height, width = input.shape
    n = len(lead)
    x = input.reshape((*lead, channels, height // r, r, width // r, r))
    x = x.permute_dims((*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return x.reshape((*lead, channels * r * r, height // r, width // r))


def channel_shuffle(input: Any, groups: int) -> Any:
    """Channels of g groups interleaved: the first of each group, the second of each, and so on
    (Zhang et al. 2018).

    Parameters
    ----------
    input : Tensor
        (N, C, ...), with C a multiple of `groups`.
    groups : int

    Examples
    --------
    >>> sn.nn.functional.channel_shuffle(sn.arange(4).reshape(1, 4, 1), 2).flatten().tolist()
    [0, 2, 1, 3]
    """
    g = groups
    fits = isinstance(g, int) and g > 0 and input.ndim >= 3 and input.shape[1] % g == 0
    need = "(N, a multiple of it, ...) with three dimensions or more"
    _check_factor("channel_shuffle", "groups", g, input, fits, need)
    count, channels, *rest = input.shape
    x = input.reshape((count, g, channels // g, *rest))
    x = x.permute_dims((0, 2, 1, *range(3, x.ndim)))
    return x.reshape(input.shape)


native_channel_shuffle = channel_shuffle
