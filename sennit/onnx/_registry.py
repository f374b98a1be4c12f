"""The table of ONNX operators: one record for each, beside the function that computes it.

A function takes the context of the call (`Call`), the node's inputs in order (None where one is
left out) and its attributes by name, with the defaults of the standard. It returns the first
output, or a tuple of outputs. What it may be given is what its record says: see `op`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._interpret import Call

Function = Callable[..., Any]


@dataclass(frozen=True)
class Record:
    """What the interpreter has to know of an operator.

    Attributes
    ----------
    function : callable
    numbers : frozenset of int
        Positions of inputs that decide on shapes (axes, pads, target shapes): the function gets
        them as NumPy arrays.
    host : bool
        Whether the function is written for both namespaces (`Call.xp`): where all inputs are known
        numbers it computes in NumPy, and the result is known too.
    scalars : bool
        Whether constants of one element may come as Python numbers.
    raw : bool
        Whether the function takes values as the interpreter holds them.
    why : str
        Non-empty: why there is no function, for the error.
    attributes : frozenset of str
        Names of attributes that the function takes.
    any_attributes : bool
        Whether it takes others too.
    """

    function: Function
    numbers: frozenset[int] = frozenset()
    host: bool = False
    scalars: bool = False
    raw: bool = False
    why: str = ""
    attributes: frozenset[str] = frozenset()
    any_attributes: bool = False


OPS: dict[tuple[str, str], Record] = {}


def op(
    *names: str,
    numbers: tuple[int, ...] = (),
    host: bool = False,
    scalars: bool = False,
    raw: bool = False,
    domain: str = "",
) -> Callable[[Function], Function]:
    """Enters a function into the table, under one name or several."""

    def enter(function: Function) -> Function:
        code = function.__code__
        first = code.co_argcount
        keywords = code.co_varnames[first : first + code.co_kwonlyargcount]
        for name in names:
            OPS[domain, name] = Record(
                function,
                frozenset(numbers),
                host,
                scalars,
                raw,
                attributes=frozenset(keywords),
                any_attributes=bool(code.co_flags & 0x08),
            )
        return function

    return enter


def refuse(name: str, why: str, domain: str = "") -> None:
    """Enters the reason why an operator is not there."""

    def function(c: Call, *_: Any, **__: Any) -> Any:
        raise c.unsupported(why)

    OPS[domain, name] = Record(function, why=why)


def table() -> dict[tuple[str, str], Record]:
    """The whole table; the families are imported when it is first asked for."""
    from . import ops

    ops.load()
    return OPS
