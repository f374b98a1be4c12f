"""Tensors that a module trains."""

from __future__ import annotations

from typing import Any

from .. import _core

__all__ = ["Parameter"]


class Parameter(_core.Tensor):
    """A tensor that becomes a parameter of the module to which it is assigned.

    Parameters
    ----------
    data : Tensor or array-like
        The first value, of a floating-point dtype when `requires_grad` is true.
    requires_grad : bool
        Whether gradients flow to it.

    Examples
    --------
    >>> p = sn.nn.Parameter(sn.zeros(2))
    >>> p.requires_grad, isinstance(p, sn.Tensor)
    (True, True)
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Parameter:
        return super().__new__(cls, data, requires_grad=requires_grad)

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        # Everything is done in __new__; this keeps object.__init__ from seeing the arguments.
        pass
