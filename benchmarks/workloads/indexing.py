"""Embedding with its gradient, sort, top-k, random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.arrays import integers, normal
from benchmarks.workload import Program, Workload, kernel

ROWS, WIDTH, TOKENS = 32768, 256, 16384


def embedding_arrays() -> dict[str, np.ndarray]:
    return {
        "w": normal("w", ROWS, WIDTH),
        "index": integers("index", ROWS, TOKENS),
        "g": normal("g", TOKENS, WIDTH),
    }


def sort_arrays() -> dict[str, np.ndarray]:
    return {"x": normal("x", 1024, 4096)}


def values(result: Any) -> Any:
    """Of a function that returns values and indices, in PyTorch, or values alone."""
    return result[0] if isinstance(result, tuple) else result


# --- random numbers: no side can give the others' figures; the moments are compared ---------------
COUNT = 1 << 22


def moments(x: np.ndarray) -> list[np.ndarray]:
    x = x.astype(np.float64)
    return [np.array([1 + x.mean(), x.std(), (x**4).mean() ** 0.25])]


def random_program(draw: Any, read: Any, wait: Any) -> Program:
    def run(count: int) -> None:
        x: Any = None
        for _ in range(count):
            x = draw()
            wait(x)
        del x

    return Program(lambda: moments(read(draw())), run)


def random_torch(t: Any) -> Program:
    return random_program(lambda: t.lib.randn(COUNT), t.numpy, lambda x: t.wait())


def random_jax(t: Any) -> Program:
    key = t.lib.random.key(0)

    def draw_of(key: Any) -> Any:
        key, used = t.lib.random.split(key)
        return key, t.lib.random.normal(used, (COUNT,))

    jitted = t.lib.jit(draw_of)

    def draw() -> Any:
        nonlocal key
        key, x = jitted(key)
        return x

    return random_program(draw, np.asarray, lambda x: x.block_until_ready())


def random_tensorflow(t: Any) -> Program:
    draw = t.compiled(lambda: t.lib.random.normal((COUNT,)))
    return random_program(draw, np.asarray, lambda x: None)


def random_numpy(t: Any) -> Program:
    source = np.random.default_rng(0)
    return random_program(
        lambda: source.standard_normal(COUNT, dtype=np.float32), np.asarray, lambda x: None
    )


WORKLOADS = [
    kernel(
        "embedding", "indexing", "embedding of 16,384 tokens, 32,768 × 256, with its gradient",
        embedding_arrays, grads=("w",),
        torch=lambda t, w, index: t.F.embedding(index, w), jax=lambda t, w, index: w[index],
        tensorflow=lambda t, w, index: t.lib.gather(w, index),
        bytes=4.0 * (TOKENS * WIDTH * 3 + ROWS * WIDTH),
    ),
    kernel(
        "sort", "indexing", "sort of 1,024 rows of 4,096", sort_arrays,
        torch=lambda t, x: values(t.lib.sort(x, dim=-1)), jax=lambda t, x: t.np.sort(x, axis=-1),
        tensorflow=lambda t, x: t.lib.sort(x, axis=-1), numpy=lambda t, x: np.sort(x, axis=-1),
    ),
    kernel(
        "top-k", "indexing", "top 32 of 1,024 rows of 4,096", sort_arrays,
        torch=lambda t, x: t.lib.topk(x, 32)[0], jax=lambda t, x: t.lax.top_k(x, 32)[0],
        tensorflow=lambda t, x: t.lib.math.top_k(x, 32)[0],
        numpy=lambda t, x: -np.sort(np.partition(-x, 32, axis=-1)[:, :32], axis=-1),
    ),
    Workload(
        "random-normal", "indexing", "4 Mi normal random numbers",
        {"torch": random_torch, "jax": random_jax, "tensorflow": random_tensorflow,
         "numpy": random_numpy},
        tolerance=0.01,
    ),
]  # fmt: skip
