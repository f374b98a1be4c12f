"""ONNX models: `load` makes a graph of a file, `to_function` a function that runs it; graphs become
models by `Graph.to_onnx`.

The package ``onnx``, which reads the format, is an optional dependency: ``pip install
sennit[onnx]``. See docs/onnx.md, and docs/onnx-support.md for the operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._load import Model, load, to_function
    from ._model import UnsupportedOp
    from .export import unsupported

__all__ = ["Model", "UnsupportedOp", "load", "to_function", "unsupported"]

_WHERE = {
    "Model": "_load",
    "UnsupportedOp": "_model",
    "load": "_load",
    "to_function": "_load",
    "unsupported": "export",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "backend":
        return import_module(f"{__name__}.backend")
    if name in _WHERE:
        value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sennit.onnx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
