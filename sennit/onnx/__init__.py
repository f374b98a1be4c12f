"""Exchange of models with other frameworks and runtimes through ONNX (``pip install sennit[onnx]``)."""

from __future__ import annotations

from .export import OPSETS, unsupported

__all__ = ["OPSETS", "unsupported"]
