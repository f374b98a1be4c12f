"""Attention of 4 heads of 64, plain, causal and with a mask, at several lengths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.arrays import normal
from benchmarks.workload import Workload, kernel

HEADS, WIDTH = 4, 64


def scores_mask(kind: str, length: int) -> np.ndarray:
    """Added to the scores: nothing, the causal triangle, or a band of a quarter of the length."""
    row, column = np.arange(length)[:, None], np.arange(length)[None]
    allowed = column <= row
    if kind == "masked":
        allowed &= column > row - max(1, length // 4)
    return np.where(allowed, 0, -1e30).astype(np.float32)


def attention(kind: str, length: int, gradient: bool = False) -> Workload:
    batch = max(1, 2048 // length)

    def arrays() -> dict[str, np.ndarray]:
        shape = (batch, HEADS, length, WIDTH)
        found = {name: normal(name, *shape) for name in "qkv"}
        if kind == "masked":
            found["mask"] = scores_mask(kind, length)
        return found | ({"g": normal("g", *shape)} if gradient else {})

    def torch(t: Any, q: Any, k: Any, v: Any, mask: Any = None) -> Any:
        return t.F.scaled_dot_product_attention(q, k, v, mask, is_causal=kind == "causal")

    def jax(t: Any, q: Any, k: Any, v: Any, mask: Any = None) -> Any:
        scores = t.np.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(WIDTH)
        if kind == "causal":
            scores = scores + scores_mask(kind, length)
        scores = scores if mask is None else scores + mask
        return t.np.einsum("bhqk,bhkd->bhqd", t.nn.softmax(scores, axis=-1), v)

    def tensorflow(t: Any, q: Any, k: Any, v: Any, mask: Any = None) -> Any:
        scores = t.lib.matmul(q, k, transpose_b=True) / math.sqrt(WIDTH)
        if kind == "causal":
            scores = scores + scores_mask(kind, length)
        scores = scores if mask is None else scores + mask
        return t.lib.matmul(t.lib.nn.softmax(scores), v)

    products = 2.0 * batch * HEADS * length * length * WIDTH
    part = 1.0 if kind == "plain" else 0.5 if kind == "causal" else 0.25
    return kernel(
        f"attention-{kind}-{length}" + ("-gradients" if gradient else ""), "attention",
        f"{kind} attention, {batch} × {HEADS} heads × {length} × {WIDTH}"
        + (", with gradients" if gradient else ""),
        arrays, grads=("q", "k", "v") if gradient else (),
        torch=torch, jax=jax, tensorflow=tensorflow,
        flops=products * part * (6 if gradient else 2),
    )  # fmt: skip


WORKLOADS = [
    *(attention("causal", length) for length in (128, 256, 512, 1024, 2048)),
    *(attention("causal", length, True) for length in (128, 512, 2048)),
    attention("masked", 512),
    attention("masked", 2048),
    attention("plain", 512),
]
