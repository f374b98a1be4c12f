"""Sizes that graphs leave open: their names, what is made of them, and example sizes for tracing.

See docs/graphs.md and docs/design/011-graphs.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _core
from ._core import InvalidType, InvalidValue
from ._errors import error

__all__ = ["Dim", "Size"]

MOST = 2**48
_PACKAGE = str(Path(__file__).resolve().parent)


@dataclass(frozen=True)
class Dim:
    """A size that a traced graph leaves open, and what calls may give for it.

    In the shape of a `TensorSpec`; a plain name there is ``Dim(name)``. Arguments that name the
    same size must agree in it.

    Parameters
    ----------
    name : str
    min, max : int
        The least and the largest size; 0 and none by default.
    multiple : int
        Sizes must be multiples of it.

    Raises
    ------
    InvalidValue
        When no size fits.

    Examples
    --------
    >>> length = sn.Dim("length", min=1, max=64)
    >>> graph = sn.trace(lambda x: x.sum(axis=1), sn.TensorSpec(("batch", length)))
    >>> graph
    <Graph <lambda>: 1 nodes>
    >>> graph.inputs
    [x: float32[batch, length]]
    >>> graph(sn.ones((3, 5))).shape
    (3,)
    """

    name: str
    min: int = 0
    max: int | None = None
    multiple: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise error(
                InvalidType, "Dim", f"name is a {type(self.name).__name__}; it must be a string"
            )
        if not self.name.isidentifier():
            raise error(
                InvalidValue,
                "Dim",
                f"the name is {self.name!r}; it must be an identifier, such as 'batch'",
            )
        first = -(-self.min // self.multiple) * self.multiple if self.multiple > 0 else -1
        if self.min < 0 or self.multiple < 1 or first > self._most:
            raise error(
                InvalidValue,
                "Dim",
                f"no size fits min={self.min}, max={self.max}, multiple={self.multiple}; sizes are "
                "0 or more, and multiple is 1 or more",
            )

    @property
    def _most(self) -> int:
        return MOST if self.max is None else self.max

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        limits = [("min", self.min, 0), ("max", self.max, None), ("multiple", self.multiple, 1)]
        text = "".join(f", {name}={value}" for name, value, usual in limits if value != usual)
        return f"Dim({self.name!r}{text})"


@dataclass(frozen=True)
class Size:
    """A size that follows from the open sizes of a graph: a sum of products, perhaps divided.

    Attributes
    ----------
    terms : tuple of (int, tuple)
        Coefficients and factors. A factor is the name of an open size, or a pair of a
        `GraphValue` and an axis: the size of that value along that axis.
    divisor : int
        What the sum is divided by (rounded down).

    Examples
    --------
    >>> spec = sn.TensorSpec(("n", 4))
    >>> graph = sn.trace(lambda x: sn.concatenate([x, x]).reshape(-1), spec)
    >>> graph.outputs[0].shape[0]
    8*n
    >>> graph.outputs[0].shape[0].terms
    ((8, ('n',)),)
    """

    terms: tuple[tuple[int, tuple[Any, ...]], ...]
    divisor: int = 1

    def __str__(self) -> str:
        text = ""
        for coefficient, factors in self.terms:
            names = [f if isinstance(f, str) else f"{f[0].name}.shape[{f[1]}]" for f in factors]
            size = abs(coefficient)
            parts = names if names and size == 1 else [str(size), *names]
            sign = (
                ("-" if coefficient < 0 else "")
                if not text
                else " - "
                if coefficient < 0
                else " + "
            )
            text += sign + "*".join(parts)
        return f"({text}) // {self.divisor}" if self.divisor != 1 else text

    __repr__ = __str__


def dims_of(shapes: Sequence[tuple[str, Sequence[Any]]]) -> tuple[list[Dim], list[list[Any]]]:
    """The open sizes of arguments (name and shape), and the shapes with them in their places."""
    known: dict[str, Dim] = {}
    made = []
    for name, shape in shapes:
        row: list[Any] = []
        for axis, size in enumerate(shape):
            if size is None:
                fresh = "".join(c if c.isalnum() else "_" for c in f"{name}_{axis}")
                while fresh in known or not fresh.isidentifier():
                    fresh = f"_{fresh}"
                size = Dim(fresh)
            elif isinstance(size, str):
                size = known.get(size) or Dim(size)
            if isinstance(size, Dim):
                plain = Dim(size.name)
                before = known.setdefault(size.name, size)
                if before == plain:
                    known[size.name] = size  # a bare name and one with limits are one size
                elif size not in (before, plain):
                    raise error(
                        InvalidValue,
                        "trace",
                        f"the size {size.name!r} has different limits in two arguments: {before!r} "
                        f"and {size!r}; use one sn.Dim for both",
                    )
            row.append(size)
        made.append(row)
    rows = [[known[s.name] if isinstance(s, Dim) else s for s in row] for row in made]
    return list(known.values()), rows


# Steps between example sizes: with these, sizes have every remainder that roundings may depend on.
_STEPS = (0, 5, 11, 18, 26, 35, 45, 56)
# Where examples begin, and what they are multiples of: large enough for most networks, not equal to
# what is usually in a program, then rounder and smaller ones.
FAMILIES = ((37, 1), (296, 8), (224, 32), (11, 1), (3, 1), (1, 1))


def examples(dims: Sequence[Dim]) -> Iterator[list[tuple[int, ...]]]:
    """Lists of example sizes, in the order in which they are worth trying."""
    seen = []
    count = min(6 + len(dims), len(_STEPS))
    for start, unit in FAMILIES:
        columns = []
        for i, dim in enumerate(dims):
            columns.append(_column(dim, i, start, unit, count))
        rows = list(dict.fromkeys(zip(*columns, strict=True)))
        if rows not in seen:
            seen.append(rows)
            yield rows


def _column(dim: Dim, i: int, start: int, unit: int, count: int) -> list[int]:
    """Examples of the i-th open size."""
    step = unit * dim.multiple
    base = max(start, dim.min)
    base = -(-base // step) * step + i * 2 * step
    column = [base + step * ((k * (1 + i)) % 59) for k in _STEPS[:count]]
    return _within(dim, i, count) if max(column) > dim._most else column


def example_pair(dim: Dim, index: int, family: int) -> tuple[int, int]:
    """Two examples of the open size of this index."""
    column = _column(dim, index, *FAMILIES[family], len(_STEPS))
    return column[0], next((n for n in reversed(column) if n != column[0]), column[0])


def _within(dim: Dim, offset: int, count: int) -> list[int]:
    """Sizes between narrow limits, in an order that differs from that of other open sizes."""
    first = -(-dim.min // dim.multiple) * dim.multiple
    room = (dim._most - first) // dim.multiple + 1
    # Not the ends, where there are others: the whole of something, one and none are special.
    skip = 1 if room > 8 else 0
    room -= 2 * skip
    picks = [skip + room - 1 - (k * (2 * offset + 3)) % room for k in range(count)]
    return [first + dim.multiple * p for p in picks]


# ---------------------------------------------------------------- what a function does with sizes

# In the order of SizeRelation in core/runtime/size.h; what holds when one of them does not.
_RELATIONS = ("<", "<=", "==", "!=", ">", ">=")
OTHERWISE = {"<": ">=", "<=": ">", "==": "!=", "!=": "==", ">": "<=", ">=": "<"}


class TracedSize(int):
    """A size while a function is traced at examples of its open sizes: an int that writes down what
    it is compared with, since the function may take another way at other sizes."""

    compared: list[tuple[str, str, int]] | None = None  # where, relation that held, left less right

    def _compare(self, other: Any, relation: str, outcome: Any) -> Any:
        if outcome is NotImplemented or TracedSize.compared is None:
            return outcome
        frame = sys._getframe(2)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.f_back
        where = f"at {frame.f_code.co_filename}:{frame.f_lineno}"
        held = relation if outcome else OTHERWISE[relation]
        difference = int(self) - int(other) if isinstance(other, int) else 0
        TracedSize.compared.append((where, held, difference))
        return outcome

    def __bool__(self) -> bool:
        return bool(self._compare(0, "!=", int(self) != 0))

    __hash__ = int.__hash__


def _comparison(name: str, relation: str) -> Any:
    plain = getattr(int, name)

    def method(self: TracedSize, other: Any) -> Any:
        return self._compare(other, relation, plain(self, other))

    return method


def _arithmetic(name: str) -> Any:
    plain = getattr(int, name)

    def method(self: TracedSize, *others: Any) -> Any:
        made = plain(self, *others)
        return TracedSize(made) if type(made) is int else made

    return method


for _name, _relation in zip(("lt", "le", "eq", "ne", "gt", "ge"), _RELATIONS, strict=True):
    setattr(TracedSize, f"__{_name}__", _comparison(f"__{_name}__", _relation))
for _name in ("add", "sub", "mul", "floordiv", "mod"):
    setattr(TracedSize, f"__{_name}__", _arithmetic(f"__{_name}__"))
    setattr(TracedSize, f"__r{_name}__", _arithmetic(f"__r{_name}__"))
for _name in ("neg", "pos", "abs"):
    setattr(TracedSize, f"__{_name}__", _arithmetic(f"__{_name}__"))


def tracing_sizes() -> bool:
    """Whether a function is being traced at examples of open sizes: tables that depend on a size
    must then be made by operations."""
    return TracedSize.compared is not None


def note_comparison(where: str, relation: str, difference: int) -> None:
    """A comparison of sizes that is made in the place of a function's."""
    if TracedSize.compared is not None:
        TracedSize.compared.append((where, relation, difference))


@contextmanager
def watched() -> Iterator[list[tuple[str, str, int]]]:
    """Sizes of traced tensors are `TracedSize`; gives the list of what they are compared with."""
    outer = TracedSize.compared
    before = _core.set_size_class(TracedSize)
    TracedSize.compared = []
    try:
        yield TracedSize.compared
    finally:
        TracedSize.compared = outer
        _core.set_size_class(before)


def comparisons(probes: Sequence[list[tuple[str, str, int]]]) -> list[tuple[int, list[int], str]]:
    """What had one outcome at all examples although its sides differ in different ways: the
    relation's number, left less right by probe, and where."""
    by_place: list[dict[str, list[tuple[str, int]]]] = []
    for made in probes:
        places: dict[str, list[tuple[str, int]]] = {}
        for where, relation, difference in made:
            places.setdefault(where, []).append((relation, difference))
        by_place.append(places)
    found = []
    for where, first in by_place[0].items():
        others = [places.get(where, []) for places in by_place]
        if any(len(other) != len(first) for other in others):
            continue  # it took several ways already, to the same graph
        for row in zip(*others, strict=True):
            relations = {relation for relation, _ in row}
            differences = [difference for _, difference in row]
            if len(relations) == 1 and len(set(differences)) > 1:
                found.append((_RELATIONS.index(relations.pop()), differences, where))
    return list({(r, tuple(d)): (r, d, w) for r, d, w in found}.values())
