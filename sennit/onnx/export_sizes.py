"""Sizes of an exported graph: integers, or polynomials in sizes that a call brings along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["OpenFloat", "Poly"]

# A factor is the name of an open size; (value id, axis): the size of that value along that axis; or
# (terms, divisor): a sum of products, divided and rounded down.
Factor = Any


class Poly:
    """An integer polynomial in open sizes: a sum of integers times products of factors.

    Examples
    --------
    >>> from sennit.onnx.export_sizes import Poly
    >>> n = Poly({("n",): 1})
    >>> (n + 2 - n).constant, (2 * n == n + n)
    (2, True)
    """

    __slots__ = ("terms",)

    def __init__(self, terms: dict[tuple[Factor, ...], int]) -> None:
        self.terms = {k: c for k, c in terms.items() if c != 0}

    @staticmethod
    def of(size: Any) -> Poly:
        """From an int, or from an open size (`sennit.Graph` calls it a `Size`)."""
        if isinstance(size, Poly):
            return size
        if hasattr(size, "terms"):
            found: dict[tuple[Factor, ...], int] = {}
            for coefficient, factors in size.terms:
                key = _ordered(f if isinstance(f, str) else (f[0]._id, int(f[1])) for f in factors)
                found[key] = found.get(key, 0) + int(coefficient)
            return Poly(found).divided(getattr(size, "divisor", 1))
        return Poly({(): int(size)})

    @property
    def constant(self) -> int | None:
        """The number that this is, whatever the open sizes are; None when it depends on them."""
        if not self.terms:
            return 0
        return self.terms[()] if list(self.terms) == [()] else None

    def divided(self, by: int) -> Poly:
        """This divided by a positive number and rounded down."""
        if by == 1:
            return self
        whole = Poly({k: c // by for k, c in self.terms.items() if c % by == 0})
        rest = Poly({k: c for k, c in self.terms.items() if c % by != 0})
        number = rest.constant
        if number is not None:
            return whole + number // by
        return whole + Poly({((rest.key, by),): 1})

    def reads(self) -> Iterator[int]:
        """Ids of the values whose sizes this depends on."""
        for factors in self.terms:
            for factor in factors:
                if isinstance(factor, str):
                    continue
                if isinstance(factor[0], tuple):
                    yield from Poly(dict(factor[0])).reads()
                else:
                    yield factor[0]

    def __add__(self, other: Any) -> Poly:
        made = dict(self.terms)
        for key, c in Poly.of(other).terms.items():
            made[key] = made.get(key, 0) + c
        return Poly(made)

    __radd__ = __add__

    def __neg__(self) -> Poly:
        return Poly({k: -c for k, c in self.terms.items()})

    def __sub__(self, other: Any) -> Poly:
        return self + (-Poly.of(other))

    def __rsub__(self, other: Any) -> Poly:
        return Poly.of(other) - self

    def __mul__(self, other: Any) -> Poly:
        made: dict[tuple[Factor, ...], int] = {}
        for a, x in self.terms.items():
            for b, y in Poly.of(other).terms.items():
                key = _ordered((*a, *b))
                made[key] = made.get(key, 0) + x * y
        return Poly(made)

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return self.terms == Poly.of(other).terms

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def key(self) -> tuple[Any, ...]:
        """What is equal for equal polynomials."""
        return tuple(sorted(self.terms.items(), key=repr))


def _ordered(factors: Iterable[Factor]) -> tuple[Factor, ...]:
    return tuple(sorted(factors, key=repr))


@dataclass(frozen=True)
class OpenFloat:
    """A number that is made of a size: `form` as SizeForm in core/runtime/size.h counts."""

    form: int
    scale: float
    size: Any
