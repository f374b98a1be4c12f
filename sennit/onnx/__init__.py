"""Exchange of models with other frameworks and runtimes: ONNX (``pip install sennit[onnx]``)."""

from __future__ import annotations

from .export import unsupported

__all__ = ["unsupported"]
