"""Pooling layers."""

from __future__ import annotations

from typing import Any

from .. import _core
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
]

_f = _core.functions
_Size = int | tuple[int, ...]


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        dilation: _Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def _pool(self, plain: Any, indexed: Any, x: Any) -> Any:
        function = indexed if self.return_indices else plain
        return function(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """Largest element in each window of sequences (N, C, L). See `MaxPool2d`.

    Examples
    --------
    >>> sn.nn.MaxPool1d(2)(sn.tensor([[[1.0, 3.0, 2.0, 5.0]]])).tolist()
    [[[3.0, 5.0]]]
    """

    def forward(self, x: Any) -> Any:
        return self._pool(_max1, _max1_indexed, x)


class MaxPool2d(_MaxPool):
    """Largest element in each window of images (N, C, H, W).

    Parameters
    ----------
    kernel_size : int or tuple of int
    stride : int or tuple of int, optional
        The kernel size by default.
    padding, dilation : int or tuple of int
    return_indices : bool
        Whether to give the positions too, in the flattened plane.
    ceil_mode : bool
        Whether windows that only partly lie inside count.

    Examples
    --------
    >>> sn.nn.MaxPool2d(2)(sn.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    def forward(self, x: Any) -> Any:
        return self._pool(_max2, _max2_indexed, x)


class MaxPool3d(_MaxPool):
    """Largest element in each window of volumes (N, C, D, H, W). See `MaxPool2d`.

    Examples
    --------
    >>> sn.nn.MaxPool3d(2)(sn.ones((1, 3, 4, 4, 4))).shape
    (1, 3, 2, 2, 2)
    """

    def forward(self, x: Any) -> Any:
        return self._pool(_max3, _max3_indexed, x)


class _AvgPool(Module):
    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def _pool(self, function: Any, x: Any) -> Any:
        return function(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """Mean of each window of sequences (N, C, L). See `AvgPool2d`.

    Examples
    --------
    >>> sn.nn.AvgPool1d(2)(sn.tensor([[[1.0, 3.0, 2.0, 4.0]]])).tolist()
    [[[2.0, 3.0]]]
    """

    def forward(self, x: Any) -> Any:
        return self._pool(_avg1, x)


class AvgPool2d(_AvgPool):
    """Mean of each window of images (N, C, H, W).

    Parameters
    ----------
    kernel_size : int or tuple of int
    stride : int or tuple of int, optional
        The kernel size by default.
    padding : int or tuple of int
    ceil_mode : bool
    count_include_pad : bool
        Whether padding counts in the divisor.
    divisor_override : int, optional
        A divisor instead of the window's size.

    Examples
    --------
    >>> sn.nn.AvgPool2d(2)(sn.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    def forward(self, x: Any) -> Any:
        return self._pool(_avg2, x)


class AvgPool3d(_AvgPool):
    """Mean of each window of volumes (N, C, D, H, W). See `AvgPool2d`.

    Examples
    --------
    >>> sn.nn.AvgPool3d(2)(sn.ones((1, 3, 4, 4, 4))).shape
    (1, 3, 2, 2, 2)
    """

    def forward(self, x: Any) -> Any:
        return self._pool(_avg3, x)


class _Adaptive(Module):
    _rank: int
    _function: str

    def __init__(self, output_size: int | tuple[int | None, ...]) -> None:
        self.output_size = output_size

    def forward(self, x: Any) -> Any:
        sizes = self.output_size
        if isinstance(sizes, tuple | list):
            # None keeps the size of that dimension.
            pairs = zip(sizes, x.shape[-self._rank :], strict=False)
            sizes = tuple(have if want is None else want for want, have in pairs)
        return _f[self._function](x, sizes)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """Means over windows that cut a sequence into a given number of parts.

    Examples
    --------
    >>> sn.nn.AdaptiveAvgPool1d(2)(sn.tensor([[[1.0, 3.0, 2.0, 4.0]]])).tolist()
    [[[2.0, 3.0]]]
    """

    _rank, _function = 1, "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_Adaptive):
    """Means over windows that cut an image into a given number of rows and columns.

    Parameters
    ----------
    output_size : int or tuple of (int or None)
        None keeps a size.

    Examples
    --------
    >>> sn.nn.AdaptiveAvgPool2d(1)(sn.ones((2, 3, 7, 5))).shape
    (2, 3, 1, 1)
    """

    _rank, _function = 2, "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_Adaptive):
    """Means over windows that cut a volume into a given number of parts.

    Examples
    --------
    >>> sn.nn.AdaptiveAvgPool3d((1, 2, None))(sn.ones((2, 3, 4, 4, 4))).shape
    (2, 3, 1, 2, 4)
    """

    _rank, _function = 3, "adaptive_avg_pool3d"


class AdaptiveMaxPool1d(_Adaptive):
    """Largest elements in windows that cut a sequence into a given number of parts.

    Examples
    --------
    >>> sn.nn.AdaptiveMaxPool1d(2)(sn.tensor([[[1.0, 3.0, 2.0, 4.0]]])).tolist()
    [[[3.0, 4.0]]]
    """

    _rank, _function = 1, "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_Adaptive):
    """Largest elements in windows that cut an image into a given number of rows and columns.

    Examples
    --------
    >>> sn.nn.AdaptiveMaxPool2d((1, 2))(sn.ones((2, 3, 7, 5))).shape
    (2, 3, 1, 2)
    """

    _rank, _function = 2, "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_Adaptive):
    """Largest elements in windows that cut a volume into a given number of parts.

    Examples
    --------
    >>> sn.nn.AdaptiveMaxPool3d(1)(sn.ones((2, 3, 4, 4, 4))).shape
    (2, 3, 1, 1, 1)
    """

    _rank, _function = 3, "adaptive_max_pool3d"


_max1, _max1_indexed = _f["max_pool1d"], _f["max_pool1d_with_indices"]
_max2, _max2_indexed = _f["max_pool2d"], _f["max_pool2d_with_indices"]
_max3, _max3_indexed = _f["max_pool3d"], _f["max_pool3d_with_indices"]
_avg1, _avg2, _avg3 = _f["avg_pool1d"], _f["avg_pool2d"], _f["avg_pool3d"]
