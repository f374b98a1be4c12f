"""Special functions, under the names of ``torch.special``."""

from __future__ import annotations

from typing import Any

from . import _core

_functions = {
    name.removeprefix("special."): f
    for name, f in _core.functions.items()
    if name.startswith("special.")
}
globals().update(_functions)

__all__ = list(_functions)


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'sennit.special' has no attribute {name!r}")
