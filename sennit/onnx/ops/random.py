"""Random numbers. They come from Sennit's generator: the attribute `seed` decides on nothing, so
that `sn.random.seed` makes a run of a model repeatable as a whole.
"""

from __future__ import annotations

from typing import Any

import sennit as sn

from .._interpret import Call
from .._registry import op
from ._common import dtype_of


def _drawn(c: Call, normal: bool, shape: Any, dtype: Any, a: float, b: float) -> Any:
    if normal:
        return (sn.random.randn(shape) * b + a).astype(dtype)
    return (sn.random.rand(shape) * (b - a) + a).astype(dtype)


def _random(name: str, normal: bool) -> None:
    @op(name)
    def draw(
        c: Call,
        *,
        shape: list[int],
        dtype: int = 1,
        seed: float | None = None,
        mean: float = 0.0,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = 1.0,
    ) -> Any:
        a, b = (mean, scale) if normal else (low, high)
        return _drawn(c, normal, tuple(shape), dtype_of(c, dtype), a, b)

    @op(f"{name}Like", raw=True)
    def draw_like(
        c: Call,
        x: Any,
        *,
        dtype: int | None = None,
        seed: float | None = None,
        mean: float = 0.0,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = 1.0,
    ) -> Any:
        kind = dtype_of(c, dtype) if dtype else c.tensor(x).dtype
        a, b = (mean, scale) if normal else (low, high)
        return _drawn(c, normal, tuple(x.shape), kind, a, b)


_random("RandomNormal", True)
_random("RandomUniform", False)


@op("Bernoulli")
def _bernoulli(c: Call, p: Any, *, dtype: int | None = None, seed: float | None = None) -> Any:
    kind = dtype_of(c, dtype) if dtype else p.dtype
    return (sn.random.rand(p.shape) < p.astype(sn.float32)).astype(kind)


@op("Multinomial")
def _multinomial(
    c: Call, logits: Any, *, dtype: int = 6, sample_size: int = 1, seed: float | None = None
) -> Any:
    """Samples of classes by the Gumbel trick: the largest of logits plus Gumbel noise."""
    batch, classes = logits.shape
    uniform = sn.random.rand((batch, sample_size, classes))
    noise = -sn.log(-sn.log(sn.clip(uniform, 1e-20, 1 - 1e-7)))
    scores = sn.expand_dims(logits.astype(sn.float32), 1) + noise
    return sn.argmax(scores, axis=-1).astype(dtype_of(c, dtype))
