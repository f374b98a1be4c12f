"""Floats that remember how they were computed, for `sn.compile`: learning rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from . import _core

_Formula = tuple[Any, ...]  # ("source", k), ("constant", v), or an operation and its operands


class Number(float):
    """A learning rate while a call is recorded: it remembers what is computed from it.

    It stands in the groups of optimizers of this package, whose code adds, multiplies and compares.
    Anything else that is done with it is a leak: its value is then part of the recording.
    """

    __slots__ = ("formula",)
    formula: _Formula
    conditions: ClassVar[list[tuple[int, _Formula, _Formula, bool]]] = []
    leaked: ClassVar[bool] = False

    @staticmethod
    def make(value: float, formula: _Formula) -> Number:
        number = Number(value)
        number.formula = formula
        return number

    def __neg__(self) -> Number:
        return Number.make(float.__neg__(self), ("neg", self.formula))

    def __pos__(self) -> Number:
        return self

    def __bool__(self) -> bool:
        return self._decide(_NE, 0.0, float.__bool__(self))

    def _decide(self, op: int, other: float, outcome: bool) -> bool:
        Number.conditions.append((op, self.formula, _formula_of(other) or (), outcome))
        return outcome


_LT, _LE, _EQ, _NE, _GT, _GE = range(6)  # as Python's C API numbers them


def _formula_of(x: Any) -> _Formula | None:
    if type(x) is Number:
        return x.formula
    return ("constant", float(x)) if type(x) in (float, int, bool) else None


def _operation(name: str, op: str, swapped: bool) -> Callable[[Any, Any], Any]:
    plain = getattr(float, name)

    def method(self: Number, other: Any) -> Any:
        formula = _formula_of(other)
        if formula is None:
            return NotImplemented
        value = plain(self, other)
        divisor = self if swapped else other
        if op == "div" and type(divisor) is Number:
            divisor._decide(_NE, 0.0, True)
        pair = (formula, self.formula) if swapped else (self.formula, formula)
        return Number.make(value, (op, *pair))

    return method


def _comparison(name: str, op: int) -> Callable[[Any, Any], Any]:
    plain = getattr(float, name)

    def method(self: Number, other: Any) -> Any:
        if _formula_of(other) is None:
            return NotImplemented
        return self._decide(op, other, plain(self, other))

    return method


def _leak(name: str) -> Callable[..., Any]:
    plain = getattr(float, name)

    def method(self: Number, *args: Any) -> Any:
        Number.leaked = True
        return plain(self, *args)

    return method


def _complete() -> None:
    """Fills in the operations of `Number`."""
    done = set(vars(Number))
    for op, word in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div")):
        for swapped in (False, True):
            name = f"__{'r' if swapped else ''}{op}__"
            setattr(Number, name, _operation(name, word, swapped))
            done.add(name)
    for number, name in enumerate(("__lt__", "__le__", "__eq__", "__ne__", "__gt__", "__ge__")):
        setattr(Number, name, _comparison(name, number))
        done.add(name)
    done |= set(dir(object)) - {"__hash__", "__repr__", "__str__", "__format__"}
    done |= {"__getformat__", "__setformat__", "__getnewargs__", "fromhex"}
    for name in set(dir(float)) - done:
        if callable(getattr(float, name)):
            setattr(Number, name, _leak(name))
    _core.set_number_type(Number)


_complete()


class Followed:
    """While a call is recorded, numbers in groups of optimizers are followed."""

    def __init__(self, rates: list[tuple[dict[str, Any], str]]) -> None:
        self._rates = rates

    def __enter__(self) -> None:
        Number.conditions, Number.leaked = [], False
        self._before = [group[key] for group, key in self._rates]
        self._put: list[Number] = []
        for k, (group, key) in enumerate(self._rates):
            number = Number.make(group[key], ("source", k))
            self._put.append(number)
            group[key] = number

    def __exit__(self, *_: object) -> None:
        for (group, key), put, value in zip(self._rates, self._put, self._before, strict=True):
            if group.get(key) is put:
                group[key] = value
