"""Layers that add a border to sequences, images and volumes, or crop it."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from .module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]

_pad = _core.functions["pad"]


class _Pad(Module):
    _rank: int
    _mode = "constant"
    _fill: Any = None

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        count = 2 * self._rank
        widths = (padding,) * count if isinstance(padding, int) else tuple(padding)
        if len(widths) != count or not all(isinstance(w, int) for w in widths):
            raise error(
                _core.InvalidValue,
                type(self).__name__,
                f"padding is {padding!r}; an int or {count} ints are required: pairs (before, "
                "behind), the last dimension first",
            )
        self.padding = widths

    def forward(self, input: Any) -> Any:
        if input.ndim not in (self._rank + 1, self._rank + 2):
            raise error(
                _core.ShapeError,
                type(self).__name__,
                f"the input has shape {input.shape}; {self._rank + 1} or {self._rank + 2} "
                "dimensions are required: (C, ...) or (N, C, ...)",
            )
        return _pad(input, self.padding, self._mode, self._fill)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: int | tuple[int, ...], value: float) -> None:
        super().__init__(padding)
        self.value = value

    @property
    def _fill(self) -> Any:
        return self.value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_Pad):
    value = 0.0


class _ReflectionPad(_Pad):
    _mode = "reflect"


class _ReplicationPad(_Pad):
    _mode = "replicate"


class _CircularPad(_Pad):
    _mode = "circular"


class ConstantPad1d(_ConstantPad):
    """A number around sequences (N, C, L) or (C, L).

    See `ConstantPad2d`; the widths are (left, right).

    Examples
    --------
    >>> sn.nn.ConstantPad1d(1, 9.0)(sn.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[9.0, 1.0, 2.0, 3.0, 9.0]]
    """

    _rank = 1


class ConstantPad2d(_ConstantPad):
    """A number around images (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom); negative ones crop.
    value : float

    Examples
    --------
    >>> sn.nn.ConstantPad2d((1, 2, 0, 1), 9.0)(sn.ones((1, 3, 4))).shape
    (1, 4, 7)
    """

    _rank = 2


class ConstantPad3d(_ConstantPad):
    """A number around volumes (N, C, D, H, W) or (C, D, H, W).

    See `ConstantPad2d`; the widths are (left, right, top, bottom, front, back).

    Examples
    --------
    >>> sn.nn.ConstantPad3d((1, 2, 0, 1, 1, 0), 9.0)(sn.ones((1, 3, 4, 5))).shape
    (1, 4, 5, 8)
    """

    _rank = 3


class ZeroPad1d(_ZeroPad):
    """Zeros around sequences (N, C, L) or (C, L).

    See `ZeroPad2d`; the widths are (left, right).

    Examples
    --------
    >>> sn.nn.ZeroPad1d(1)(sn.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[0.0, 1.0, 2.0, 3.0, 0.0]]
    """

    _rank = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around images (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom); negative ones crop.

    Examples
    --------
    >>> sn.nn.ZeroPad2d((1, 2, 0, 1))(sn.ones((1, 3, 4))).shape
    (1, 4, 7)
    """

    _rank = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around volumes (N, C, D, H, W) or (C, D, H, W).

    See `ZeroPad2d`; the widths are (left, right, top, bottom, front, back).

    Examples
    --------
    >>> sn.nn.ZeroPad3d((1, 2, 0, 1, 1, 0))(sn.ones((1, 3, 4, 5))).shape
    (1, 4, 5, 8)
    """

    _rank = 3


class ReflectionPad1d(_ReflectionPad):
    """Sequences (N, C, L) or (C, L) with a border that mirrors the inside.

    See `ReflectionPad2d`; the widths are (left, right).

    Examples
    --------
    >>> sn.nn.ReflectionPad1d(1)(sn.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[2.0, 1.0, 2.0, 3.0, 2.0]]
    """

    _rank = 1


class ReflectionPad2d(_ReflectionPad):
    """Images (N, C, H, W) or (C, H, W) with a border that mirrors the inside.

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom); negative ones crop. Each is less
        than the size of its dimension.

    Examples
    --------
    >>> sn.nn.ReflectionPad2d((1, 2, 0, 1))(sn.ones((1, 3, 4))).shape
    (1, 4, 7)
    """

    _rank = 2


class ReflectionPad3d(_ReflectionPad):
    """Volumes (N, C, D, H, W) or (C, D, H, W) with a border that mirrors the inside.

    See `ReflectionPad2d`; the widths are (left, right, top, bottom, front, back).

    Examples
    --------
    >>> sn.nn.ReflectionPad3d((1, 2, 0, 1, 1, 0))(sn.ones((1, 3, 4, 5))).shape
    (1, 4, 5, 8)
    """

    _rank = 3


class ReplicationPad1d(_ReplicationPad):
    """Sequences (N, C, L) or (C, L) with a border that repeats the outermost elements.

    See `ReplicationPad2d`; the widths are (left, right).

    Examples
    --------
    >>> sn.nn.ReplicationPad1d(1)(sn.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[1.0, 1.0, 2.0, 3.0, 3.0]]
    """

    _rank = 1


class ReplicationPad2d(_ReplicationPad):
    """Images (N, C, H, W) or (C, H, W) with a border that repeats the outermost elements.

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom); negative ones crop.

    Examples
    --------
    >>> sn.nn.ReplicationPad2d((1, 2, 0, 1))(sn.ones((1, 3, 4))).shape
    (1, 4, 7)
    """

    _rank = 2


class ReplicationPad3d(_ReplicationPad):
    """Volumes (N, C, D, H, W) or (C, D, H, W) with a border that repeats the outermost elements.

    See `ReplicationPad2d`; the widths are (left, right, top, bottom, front, back).

    Examples
    --------
    >>> sn.nn.ReplicationPad3d((1, 2, 0, 1, 1, 0))(sn.ones((1, 3, 4, 5))).shape
    (1, 4, 5, 8)
    """

    _rank = 3


class CircularPad1d(_CircularPad):
    """Sequences (N, C, L) or (C, L) with a border that repeats the other side.

    See `CircularPad2d`; the widths are (left, right).

    Examples
    --------
    >>> sn.nn.CircularPad1d(1)(sn.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 1.0, 2.0, 3.0, 1.0]]
    """

    _rank = 1


class CircularPad2d(_CircularPad):
    """Images (N, C, H, W) or (C, H, W) with a border that repeats the other side.

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom); negative ones crop. Each is at
        most the size of its dimension.

    Examples
    --------
    >>> sn.nn.CircularPad2d((1, 2, 0, 1))(sn.ones((1, 3, 4))).shape
    (1, 4, 7)
    """

    _rank = 2


class CircularPad3d(_CircularPad):
    """Volumes (N, C, D, H, W) or (C, D, H, W) with a border that repeats the other side.

    See `CircularPad2d`; the widths are (left, right, top, bottom, front, back).

    Examples
    --------
    >>> sn.nn.CircularPad3d((1, 2, 0, 1, 1, 0))(sn.ones((1, 3, 4, 5))).shape
    (1, 4, 5, 8)
    """

    _rank = 3
