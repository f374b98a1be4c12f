"""The families of ONNX operators."""

from __future__ import annotations

_FAMILIES = (
    "attention", "control", "conv", "elementwise", "gradient", "image", "indexing", "linear",
    "norm", "pool", "quantise", "random", "recurrent", "reduce", "sequence", "shape", "signal",
    "text",
)  # fmt: skip


def load() -> None:
    """Imports every family, which enters its operators into the table."""
    from importlib import import_module

    for family in _FAMILIES:
        import_module(f"{__name__}.{family}")
