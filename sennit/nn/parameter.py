"""Tensors that belong to a module: parameters, buffers, and those whose shape is not known yet."""

from __future__ import annotations

from typing import Any, NoReturn

from .. import _core
from .._errors import error

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "is_lazy",
]

_empty = _core.functions["empty"]


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


class Buffer(_core.Tensor):
    """A tensor that becomes a buffer of the module to which it is assigned.

    Parameters
    ----------
    data : Tensor or array-like
    persistent : bool
        Whether it is part of `state_dict`.

    Examples
    --------
    >>> m = sn.nn.Module()
    >>> m.mean = sn.nn.Buffer(sn.zeros(2))
    >>> list(m.state_dict())
    ['mean']
    """

    persistent: bool

    def __new__(cls, data: Any, persistent: bool = True) -> Buffer:
        made = super().__new__(cls, data)
        made.persistent = persistent
        return made

    def __init__(self, data: Any, persistent: bool = True) -> None:
        pass


class _Uninitialized(_core.Tensor):
    """What has a dtype and a device, and gets a shape by `materialize`. A tensor of shape (0,)
    holds its place."""

    _becomes: type[_core.Tensor]

    def _refuse(self, what: str) -> NoReturn:
        raise error(
            _core.InvalidValue,
            type(self).__name__,
            f"{what} was asked for, and its shape is not known yet; call the layer once, or "
            "materialize(shape), before",
        )

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Makes it an ordinary parameter or buffer, of this shape; the values are anything.

        Examples
        --------
        >>> p = sn.nn.UninitializedParameter()
        >>> p.materialize((2, 3))
        >>> type(p).__name__, p.shape
        ('Parameter', (2, 3))
        """
        trained = self.requires_grad
        value = _empty(
            shape,
            dtype=self.dtype if dtype is None else dtype,
            device=self.device if device is None else device,
        )
        # The tape's entry of a leaf knows its dtype and shape, so the tensor gets a new one.
        self.requires_grad_(False)
        self.data = value
        self.__class__ = self._becomes  # type: ignore[assignment]
        self.requires_grad_(trained)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.dtype!r}>"


# What can be said or set before there is a shape; the rest of a tensor's attributes refuses.
_KNOWN = {*dir(object), "__dict__", "__weakref__", "data", "detach", "device", "dtype", "grad"}
_KNOWN |= {"is_leaf", "register_hook", "requires_grad", "requires_grad_"}


def _refusing(name: str) -> Any:
    def refuse(self: _Uninitialized, *_: Any, **__: Any) -> NoReturn:
        """Not before there is a shape."""
        self._refuse(name)

    refuse.__name__ = refuse.__qualname__ = name
    return refuse if callable(getattr(_core.Tensor, name)) else property(refuse)


for _name in set(dir(_core.Tensor)) - _KNOWN:
    setattr(_Uninitialized, _name, _refusing(_name))


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape is not known yet: what lazy layers hold before their first call.

    Dtype, device and `requires_grad` are known; asking for anything else is an error.

    Examples
    --------
    >>> layer = sn.nn.LazyLinear(3)
    >>> type(layer.weight).__name__
    'UninitializedParameter'
    >>> _ = layer(sn.ones((2, 5)))
    >>> layer.weight.shape
    (3, 5)
    """

    _becomes = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Any = None, dtype: Any = None
    ) -> UninitializedParameter:
        value = _empty((0,), dtype=dtype, device=device)
        return _core.Tensor.__new__(cls, value, requires_grad=requires_grad)

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        pass

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad, self.device, self.dtype)


class UninitializedBuffer(_Uninitialized, Buffer):
    """A buffer whose shape is not known yet. See `UninitializedParameter`.

    Examples
    --------
    >>> layer = sn.nn.LazyBatchNorm1d()
    >>> type(layer.running_mean).__name__
    'UninitializedBuffer'
    >>> _ = layer(sn.random.normal(shape=(4, 3)))
    >>> layer.running_mean.shape
    (3,)
    """

    _becomes = Buffer

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> UninitializedBuffer:
        value = _empty((0,), dtype=dtype, device=device)
        made = _core.Tensor.__new__(cls, value, requires_grad=requires_grad)
        made.persistent = persistent
        return made

    def __init__(
        self,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        pass

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad, self.device, self.dtype, self.persistent)


def is_lazy(param: Any) -> bool:
    """Whether it is a parameter or buffer whose shape is not known yet.

    Examples
    --------
    >>> sn.nn.parameter.is_lazy(sn.nn.LazyLinear(2).weight)
    True
    """
    return isinstance(param, _Uninitialized)
