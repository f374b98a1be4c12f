"""The base class of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .. import _core
from .._errors import error
from ..autograd import no_grad

__all__ = ["Metric"]

_f = _core.functions
_M = TypeVar("_M", bound="Metric")


class Metric:
    """A number (or several) over all batches since the last reset.

    `update` takes a batch and waits for nothing; `compute` gives the value so far. States are
    sums, or lists of what came, so two metrics that saw different parts of the data merge into one
    that saw all of it. Sums of counts are exact, so they merge in any order to the same bits.

    Subclasses give their states in ``_initial()``, add to ``self._state`` in ``_update(pred,
    target)`` and read it in ``compute()``.

    Examples
    --------
    >>> class Positives(sn.metrics.Metric):
    ...     def _initial(self):
    ...         return {"count": sn.tensor(0)}
    ...
    ...     def _update(self, pred, target):
    ...         self._add(count=(pred > 0).sum())
    ...
    ...     def compute(self):
    ...         return self._state["count"]
    >>> metric = Positives()
    >>> metric.update(sn.tensor([1.0, -2.0, 3.0]), None)
    >>> metric.compute().item()
    2
    """

    _state: dict[str, Any]

    def __init__(self) -> None:
        self.reset()

    def _initial(self) -> dict[str, Any]:
        raise NotImplementedError(f"{type(self).__name__} defines no _initial()")

    def _update(self, pred: Any, target: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} defines no _update(pred, target)")

    def compute(self) -> Any:
        """The value over all batches so far, as a tensor."""
        raise NotImplementedError(f"{type(self).__name__} defines no compute()")

    def _config(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k[0] != "_"}

    def _add(self, **parts: Any) -> None:
        for name, part in parts.items():
            held = self._state[name]
            if isinstance(held, list):
                held.append(part.detach())
            else:  # states move to where the batches are
                part = part.detach()
                self._state[name] = held.to(part.device) + part.to(held.dtype)

    def reset(self) -> None:
        """Starts again from nothing.

        Examples
        --------
        >>> metric = sn.metrics.MeanSquaredError()
        >>> metric.update(sn.ones(2), sn.zeros(2))
        >>> metric.reset()
        >>> metric.compute().item()
        nan
        """
        self._state = self._initial()

    def update(self, pred: Any, target: Any) -> None:
        """Adds a batch of predictions and what they should have been.

        Examples
        --------
        >>> metric = sn.metrics.MeanSquaredError()
        >>> metric.update(sn.ones(2), sn.zeros(2))
        >>> metric.compute().item()
        1.0
        """
        with no_grad():
            self._update(pred, target)

    def __call__(self: _M, pred: Any, target: Any) -> Any:
        """Adds a batch, and gives the value of this batch alone."""
        alone = type(self).__new__(type(self))
        alone.__dict__.update(self.__dict__)
        alone.reset()
        alone.update(pred, target)
        self.merge(alone)
        return alone.compute()

    def merge(self: _M, other: _M) -> _M:
        """Adds what another metric of the same kind has seen; returns this one.

        Examples
        --------
        >>> a, b = sn.metrics.MeanSquaredError(), sn.metrics.MeanSquaredError()
        >>> a.update(sn.ones(2), sn.zeros(2))
        >>> b.update(sn.zeros(2), sn.zeros(2))
        >>> a.merge(b).compute().item()
        0.5
        """
        if type(other) is not type(self) or other._config() != self._config():
            raise error(
                _core.InvalidValue,
                "Metric.merge",
                f"{other!r} is merged into {self!r}; both must be of one class, with the same "
                "arguments",
            )
        for name, part in other._state.items():
            held = self._state[name]
            if isinstance(held, list):
                held.extend(p.to(held[0].device) if held else p for p in part)
            else:
                self._state[name] = held + part.to(held.device)
        return self

    def state_dict(self) -> dict[str, _core.Tensor]:
        """The states by name, each as one tensor: to save, or to send to another worker.

        Examples
        --------
        >>> list(sn.metrics.MeanSquaredError().state_dict())
        ['total', 'count']
        """
        state = {}
        for name, value in self._state.items():
            if isinstance(value, list):
                if not value:
                    continue
                value = _f["concat"](value, 0)
                self._state[name] = [value]
            state[name] = value
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over the states that `state_dict` gave.

        Examples
        --------
        >>> a, b = sn.metrics.MeanSquaredError(), sn.metrics.MeanSquaredError()
        >>> a.update(sn.ones(2), sn.zeros(2))
        >>> b.load_state_dict(a.state_dict())
        >>> b.compute().item()
        1.0
        """
        from .._api import asarray

        fresh = self._initial()
        needed = {k for k, v in fresh.items() if not isinstance(v, list)}
        if not needed <= set(state_dict) or not set(state_dict) <= set(fresh):
            raise error(
                _core.InvalidValue,
                "Metric.load_state_dict",
                f"the states are {list(state_dict)}; {type(self).__name__} has {list(fresh)}",
            )
        for name, value in state_dict.items():
            given = value if isinstance(value, _core.Tensor) else asarray(value)
            if isinstance(fresh[name], list):
                fresh[name] = [given]
                continue
            if given.shape != fresh[name].shape:
                raise error(
                    _core.ShapeError,
                    "Metric.load_state_dict",
                    f"state '{name}' has shape {given.shape}; {self!r} needs {fresh[name].shape}",
                )
            fresh[name] = given.to(fresh[name].dtype)
        self._state = fresh

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self._config().items())
        return f"{type(self).__name__}({shown})"


def zeros(*shape: int, dtype: Any = _core.int64, device: Any = None) -> Any:
    """A state that begins at zero."""
    return _f["zeros"](shape, dtype=dtype, device=device)


def count_of(like: Any, n: int) -> Any:
    """A number of things as a tensor, where `like` is."""
    return _f["full"]((), n, dtype=_core.int64, device=like.device)


def ratio(numerator: Any, denominator: Any, empty: float = 0.0) -> Any:
    """The quotient in float64; `empty` where the denominator is 0."""
    a, b = numerator.astype(_core.float64), denominator.astype(_core.float64)
    none = b == 0
    return _f["where"](none, empty, a / _f["where"](none, 1.0, b))
