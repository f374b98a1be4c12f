"""Averages and fingerprints."""

from __future__ import annotations

import hashlib
from typing import Any

from .. import _core
from ..autograd import no_grad

__all__ = ["Average", "accuracy", "parameter_hash"]


class Average:
    """A weighted mean of values that come one by one. Tensors are not waited for until it is read.

    Examples
    --------
    >>> loss = sn.train.Average()
    >>> loss.add(1.0, weight=3)
    >>> loss.add(sn.tensor(2.0), weight=1)
    >>> loss.value
    1.25
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Starts again from nothing."""
        self._sum: Any = 0.0
        self.weight = 0.0

    def add(self, value: Any, weight: float = 1) -> None:
        """Adds a number, or a tensor of one element."""
        if isinstance(value, _core.Tensor):
            value = value.detach()
        self._sum = self._sum + value * weight
        self.weight += weight

    @property
    def value(self) -> float:
        """The mean so far; NaN without any value."""
        return float(self._sum) / self.weight if self.weight else float("nan")


def accuracy(logits: _core.Tensor, labels: _core.Tensor) -> _core.Tensor:
    """Share of rows whose largest logit is that of the label, as a tensor.

    Examples
    --------
    >>> sn.train.accuracy(sn.tensor([[0.0, 1.0], [1.0, 0.0]]), sn.tensor([1, 1])).item()
    0.5
    """
    with no_grad():
        hits: _core.Tensor = _core.functions["argmax"](logits, -1) == labels
        return hits.to(_core.float32).mean()


def parameter_hash(module: Any) -> str:
    """sha256 of all parameters in order: names, dtypes, shapes and bits.

    Two runs that give the same hash have computed the same numbers.

    Examples
    --------
    >>> layer = sn.nn.Linear(2, 1)
    >>> sn.train.parameter_hash(layer) == sn.train.parameter_hash(layer)
    True
    """
    digest = hashlib.sha256()
    for name, p in module.named_parameters():
        digest.update(f"{name} {p.dtype.name} {p.shape}\n".encode())
        if p.size:
            digest.update(memoryview(_core.functions["contiguous"](p.detach().to("cpu"))).cast("B"))
    return digest.hexdigest()
