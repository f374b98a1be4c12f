"""Random tensors: counter-based (Philox 4x32-10), the same bits on any machine and thread count."""

from __future__ import annotations

from typing import Any

from . import _core

_functions = {
    name.removeprefix("random."): f
    for name, f in _core.functions.items()
    if name.startswith("random.")
}
globals().update(_functions)

__all__ = list(_functions)


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'sennit.random' has no attribute {name!r}")
