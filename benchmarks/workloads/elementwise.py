"""Chains of elementwise operations, softmax and layer norm: bound by memory when fused."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.arrays import normal
from benchmarks.workload import Workload, kernel


def three(count: int) -> dict[str, np.ndarray]:
    return {name: normal(f"chain {name}", count) for name in "xab"}


def chain(title: str, count: int, targets: dict[str, float]) -> Workload:
    def tensorflow(t: Any, x: Any, a: Any, b: Any) -> Any:
        return t.lib.nn.gelu(x * a + b, approximate=True) * t.lib.sigmoid(x)

    def numpy(t: Any, x: Any, a: Any, b: Any) -> Any:
        y = x * a + b
        gelu = 0.5 * y * (1 + np.tanh(np.float32(0.7978845608) * (y + 0.044715 * y * y * y)))
        return gelu / (1 + np.exp(-x))

    return kernel(
        f"chain-{count}", "elementwise", f"gelu_tanh(x·a + b)·sigmoid(x), {title}",
        lambda: three(count),
        torch=lambda t, x, a, b: t.F.gelu(x * a + b, approximate="tanh") * t.lib.sigmoid(x),
        jax=lambda t, x, a, b: t.nn.gelu(x * a + b, approximate=True) * t.nn.sigmoid(x),
        tensorflow=tensorflow, numpy=numpy,
        mxnet=lambda t, x, a, b: gelu_tanh_mxnet(t.nd, x * a + b) * t.nd.sigmoid(x),
        bytes=16.0 * count, targets=targets, featured=count == 1 << 24,
    )  # fmt: skip


def gelu_tanh_mxnet(nd: Any, y: Any) -> Any:
    return 0.5 * y * (1 + nd.tanh(0.7978845608 * (y + 0.044715 * y * y * y)))


def softmax_numpy(t: Any, x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm_jax(t: Any, x: Any, w: Any, b: Any) -> Any:
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) * t.lax.rsqrt(variance + 1e-5) * w + b


def layer_norm_tensorflow(t: Any, x: Any, w: Any, b: Any) -> Any:
    mean, variance = t.lib.nn.moments(x, axes=[-1], keepdims=True)
    return t.lib.nn.batch_normalization(x, mean, variance, b, w, 1e-5)


def layer_norm_numpy(t: Any, x: Any, w: Any, b: Any) -> Any:
    mean = x.mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(x.var(axis=-1, keepdims=True) + np.float32(1e-5)) * w + b


def norm_arrays() -> dict[str, np.ndarray]:
    return {"x": normal("x", 8192, 1024), "w": normal("w", 1024), "b": normal("b", 1024)}


def with_g(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return arrays | {"g": normal("g", *arrays["x"].shape)}


WORKLOADS = [
    chain("16 Mi elements", 1 << 24, {"torch": 8, "torch-compile": 2}),
    chain("64 Ki elements", 1 << 16, {"torch": 1.8}),
    kernel(
        "softmax", "elementwise", "softmax of 4096 × 4096", lambda: {"x": normal("x", 4096, 4096)},
        torch=lambda t, x: t.F.softmax(x, dim=-1), jax=lambda t, x: t.nn.softmax(x, axis=-1),
        tensorflow=lambda t, x: t.lib.nn.softmax(x), numpy=softmax_numpy,
        mxnet=lambda t, x: t.nd.softmax(x),
        bytes=8.0 * (1 << 24), targets={"torch": 4}, featured=True,
    ),
    kernel(
        "layer-norm", "elementwise", "layer norm of 8192 × 1024", norm_arrays,
        torch=lambda t, x, w, b: t.F.layer_norm(x, (1024,), w, b),
        jax=layer_norm_jax, tensorflow=layer_norm_tensorflow, numpy=layer_norm_numpy,
        mxnet=lambda t, x, w, b: t.nd.LayerNorm(x, w, b, axis=-1, eps=1e-5),
        bytes=8.0 * (1 << 23), targets={"torch": 4}, featured=True,
    ),
    kernel(
        "layer-norm-gradient", "elementwise", "layer norm of 8192 × 1024, with its gradients",
        lambda: with_g(norm_arrays()), grads=("x", "w", "b"),
        torch=lambda t, x, w, b: t.F.layer_norm(x, (1024,), w, b),
        jax=layer_norm_jax, tensorflow=layer_norm_tensorflow, bytes=16.0 * (1 << 23),
    ),
]  # fmt: skip
