"""Pooling layers."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from . import _pooling as functions
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
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

_Size = int | tuple[int, ...]


class _Pool(Module):
    """A layer around the function of `_pooling` that `_function` names."""

    _function: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_function" in cls.__dict__:
            cls._call = staticmethod(getattr(functions, cls._function))

    _call: Any


class _MaxPool(_Pool):
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

    def forward(self, input: Any) -> Any:
        return self._call(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
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

    _function = "max_pool1d"


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

    _function = "max_pool2d"


class MaxPool3d(_MaxPool):
    """Largest element in each window of volumes (N, C, D, H, W). See `MaxPool2d`.

    Examples
    --------
    >>> sn.nn.MaxPool3d(2)(sn.ones((1, 3, 4, 4, 4))).shape
    (1, 3, 2, 2, 2)
    """

    _function = "max_pool3d"


class _AvgPool(_Pool):
    divisor_override: int | None = None

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

    def forward(self, input: Any) -> Any:
        return self._call(
            input,
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

    _function = "avg_pool1d"

    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        # PyTorch prints tuples here.
        first = (kernel_size,) if isinstance(kernel_size, int) else kernel_size
        steps = (stride,) if isinstance(stride, int) else stride
        pads = (padding,) if isinstance(padding, int) else padding
        super().__init__(first, steps, pads, ceil_mode, count_include_pad)


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

    _function = "avg_pool2d"


class AvgPool3d(_AvgPool):
    """Mean of each window of volumes (N, C, D, H, W). See `AvgPool2d`.

    Examples
    --------
    >>> sn.nn.AvgPool3d(2)(sn.ones((1, 3, 4, 4, 4))).shape
    (1, 3, 2, 2, 2)
    """

    _function = "avg_pool3d"


class _Adaptive(_Pool):
    def __init__(self, output_size: int | tuple[int | None, ...]) -> None:
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        return self._call(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveMax(_Adaptive):
    def __init__(
        self, output_size: int | tuple[int | None, ...], return_indices: bool = False
    ) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Any) -> Any:
        return self._call(input, self.output_size, self.return_indices)


class AdaptiveAvgPool1d(_Adaptive):
    """Means over windows that cut a sequence into a given number of parts.

    Examples
    --------
    >>> sn.nn.AdaptiveAvgPool1d(2)(sn.tensor([[[1.0, 3.0, 2.0, 4.0]]])).tolist()
    [[[2.0, 3.0]]]
    """

    _function = "adaptive_avg_pool1d"


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

    _function = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_Adaptive):
    """Means over windows that cut a volume into a given number of parts.

    Examples
    --------
    >>> sn.nn.AdaptiveAvgPool3d((1, 2, None))(sn.ones((2, 3, 4, 4, 4))).shape
    (2, 3, 1, 2, 4)
    """

    _function = "adaptive_avg_pool3d"


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Largest elements in windows that cut a sequence into a given number of parts.

    Examples
    --------
    >>> sn.nn.AdaptiveMaxPool1d(2)(sn.tensor([[[1.0, 3.0, 2.0, 4.0]]])).tolist()
    [[[3.0, 4.0]]]
    """

    _function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Largest elements in windows that cut an image into a given number of rows and columns.

    Parameters
    ----------
    output_size : int or tuple of (int or None)
        None keeps a size.
    return_indices : bool
        Whether to give the positions too, in the flattened plane.

    Examples
    --------
    >>> sn.nn.AdaptiveMaxPool2d((1, 2))(sn.ones((2, 3, 7, 5))).shape
    (2, 3, 1, 2)
    """

    _function = "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_AdaptiveMax):
    """Largest elements in windows that cut a volume into a given number of parts.

    Examples
    --------
    >>> sn.nn.AdaptiveMaxPool3d(1)(sn.ones((2, 3, 4, 4, 4))).shape
    (2, 3, 1, 1, 1)
    """

    _function = "adaptive_max_pool3d"


class _LPPool(_Pool):
    def __init__(
        self,
        norm_type: float,
        kernel_size: _Size,
        stride: _Size | None = None,
        ceil_mode: bool = False,
    ) -> None:
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Any) -> Any:
        return self._call(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """``(sum of x ** p) ** (1 / p)`` over windows of sequences (N, C, L). See `LPPool2d`.

    Examples
    --------
    >>> sn.nn.LPPool1d(2, 2)(sn.tensor([[[3.0, 4.0]]])).tolist()
    [[[5.0]]]
    """

    _function = "lp_pool1d"


class LPPool2d(_LPPool):
    """``(sum of x ** p) ** (1 / p)`` over windows of images (N, C, H, W).

    Parameters
    ----------
    norm_type : float
        The p: 1 gives sums, a large one nearly maxima.
    kernel_size : int or tuple of int
    stride : int or tuple of int, optional
        The kernel size by default.
    ceil_mode : bool

    Examples
    --------
    >>> sn.nn.LPPool2d(2, (1, 2))(sn.tensor([[[[3.0, 4.0]]]])).item()
    5.0
    """

    _function = "lp_pool2d"


class LPPool3d(_LPPool):
    """``(sum of x ** p) ** (1 / p)`` over windows of volumes (N, C, D, H, W). See `LPPool2d`.

    Examples
    --------
    >>> sn.nn.LPPool3d(1, 2)(sn.ones((1, 1, 2, 2, 2))).item()
    8.0
    """

    _function = "lp_pool3d"


class _Unpool(_Pool):
    _rank: int

    def __init__(self, kernel_size: _Size, stride: _Size | None = None, padding: _Size = 0) -> None:
        name, rank = type(self).__name__, self._rank
        sizes = functions._sizes
        self.kernel_size = sizes(name, "kernel_size", kernel_size, rank)
        self.stride = sizes(name, "stride", kernel_size if stride is None else stride, rank)
        self.padding = sizes(name, "padding", padding, rank)

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        return self._call(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_Unpool):
    """Puts values back to where `MaxPool1d` took them from. See `MaxUnpool2d`.

    Examples
    --------
    >>> y, at = sn.nn.MaxPool1d(2, return_indices=True)(sn.tensor([[[1.0, 4.0, 3.0, 2.0]]]))
    >>> sn.nn.MaxUnpool1d(2)(y, at).tolist()
    [[[0.0, 4.0, 3.0, 0.0]]]
    """

    _rank, _function = 1, "max_unpool1d"


class MaxUnpool2d(_Unpool):
    """Puts values back to where `MaxPool2d` took them from, with zeros elsewhere.

    Parameters
    ----------
    kernel_size, stride, padding : int or tuple of int
        Those of the pooling.

    Examples
    --------
    >>> y, at = sn.nn.MaxPool2d(2, return_indices=True)(sn.ones((1, 3, 5, 4)))
    >>> sn.nn.MaxUnpool2d(2)(y, at, output_size=(5, 4)).shape
    (1, 3, 5, 4)
    """

    _rank, _function = 2, "max_unpool2d"


class MaxUnpool3d(_Unpool):
    """Puts values back to where `MaxPool3d` took them from. See `MaxUnpool2d`.

    Examples
    --------
    >>> y, at = sn.nn.MaxPool3d(2, return_indices=True)(sn.ones((1, 3, 4, 4, 4)))
    >>> sn.nn.MaxUnpool3d(2)(y, at).shape
    (1, 3, 4, 4, 4)
    """

    _rank, _function = 3, "max_unpool3d"


class _Fractional(_Pool):
    _rank: int

    def __init__(
        self,
        kernel_size: _Size,
        output_size: _Size | None = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:
        name, rank = type(self).__name__, self._rank
        if (output_size is None) == (output_ratio is None):
            raise error(
                _core.InvalidValue,
                name,
                f"output_size is {output_size} and output_ratio {output_ratio}; one of them is "
                "required",
            )
        sizes = functions._sizes
        self.kernel_size = sizes(name, "kernel_size", kernel_size, rank)
        self.output_size: Any = None
        self.output_ratio: Any = None
        if output_size is not None:
            self.output_size = sizes(name, "output_size", output_size, rank)
        else:
            self.output_ratio = sizes(name, "output_ratio", output_ratio, rank, float)
            if not all(0 < r < 1 for r in self.output_ratio):
                raise error(
                    _core.InvalidValue,
                    name,
                    f"output_ratio is {output_ratio}; it must be between 0 and 1",
                )
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Any) -> Any:
        return self._call(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )


class FractionalMaxPool2d(_Fractional):
    """Max pooling of images (N, C, H, W) over windows that begin at random (Graham 2014).

    Parameters
    ----------
    kernel_size : int or tuple of int
    output_size : int or tuple of int, optional
    output_ratio : float or tuple of float, optional
        The output's size as a part of the input's; this or `output_size`.
    return_indices : bool
        Whether to give the positions too, in the flattened plane.

    Examples
    --------
    >>> sn.nn.FractionalMaxPool2d(2, output_ratio=0.7)(sn.ones((1, 3, 10, 10))).shape
    (1, 3, 7, 7)
    """

    _rank, _function = 2, "fractional_max_pool2d"


class FractionalMaxPool3d(_Fractional):
    """Max pooling of volumes over windows that begin at random. See `FractionalMaxPool2d`.

    Examples
    --------
    >>> sn.nn.FractionalMaxPool3d(2, output_size=(3, 4, 4))(sn.ones((1, 2, 6, 6, 6))).shape
    (1, 2, 3, 4, 4)
    """

    _rank, _function = 3, "fractional_max_pool3d"
