"""Errors of the Python side, in the form that the core's errors have."""

from __future__ import annotations

from ._core import InvalidValue, SennitError


def error(kind: type[SennitError], op: str, text: str) -> SennitError:
    """An error to raise: ``[op] text (code)``, with the attributes that the core sets.

    Examples
    --------
    >>> from sennit._errors import error
    >>> str(error(sn.InvalidValue, "demo", "lr is -1; it must be positive"))
    '[demo] lr is -1; it must be positive (SN104)'
    """
    made = kind(f"[{op}] {text} ({kind.code})")
    made.op = op
    made.where = ""
    return made


class NeedsValues(InvalidValue):
    """A host operation met a tensor of a trace, which has no elements: what traces a function may
    call it for each example instead."""
