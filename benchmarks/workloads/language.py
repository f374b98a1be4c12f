"""Training of a small GPT: 4 layers, 128 wide, 4 heads, 128 characters of context, AdamW."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.arrays import integers, weights
from benchmarks.optimizers import adam
from benchmarks.workload import Program, Workload
from benchmarks.workloads.networks import loss_jax, loss_tensorflow

VOCABULARY, WIDTH, HEADS, LAYERS, LENGTH, BATCH = 65, 128, 4, 4, 128, 32


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    tokens = integers("tokens", VOCABULARY, 4, BATCH, LENGTH + 1)
    return [(part[:, :-1], part[:, 1:]) for part in tokens]


def gpt(
    t: Any,
    layers: int = LAYERS,
    length: int = LENGTH,
    causal: bool = True,
    width: int = WIDTH,
    heads: int = HEADS,
    vocabulary: int = VOCABULARY,
) -> Any:
    nn, F = t.nn, t.F

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            batch, times, _ = x.shape
            qkv = self.qkv(self.norm1(x)).reshape(batch, times, 3, heads, -1)
            q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
            x = x + self.out(y.transpose(1, 2).reshape(batch, times, width))
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.embed_place = (
                nn.Embedding(vocabulary, width),
                nn.Embedding(length, width),
            )
            self.blocks = nn.Sequential(*(Block() for _ in range(layers)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

        def forward(self, tokens: Any) -> Any:
            x = self.embed(tokens) + self.embed_place.weight
            return self.head(self.norm(self.blocks(x)))

    return t.filled(GPT())


def torch(t: Any) -> Program:
    model = gpt(t)

    def loss_of(tokens: Any, targets: Any) -> Any:
        return t.F.cross_entropy(model(tokens).reshape(-1, VOCABULARY), targets.reshape(-1))

    data = [tuple(t.tensor(a) for a in batch) for batch in batches()]
    optimizer = t.optimizer("AdamW", model, lr=1e-3, weight_decay=0.01)
    return t.training(loss_of, optimizer, data)


def params() -> dict[str, np.ndarray]:
    shapes: dict[str, tuple[int, ...]] = {
        "embed.weight": (VOCABULARY, WIDTH), "embed_place.weight": (LENGTH, WIDTH),
        "norm.weight": (WIDTH,), "norm.bias": (WIDTH,),
        "head.weight": (VOCABULARY, WIDTH), "head.bias": (VOCABULARY,),
    }  # fmt: skip
    for layer in range(LAYERS):
        for name, outputs, inputs in (("qkv", 3, 1), ("out", 1, 1), ("up", 4, 1), ("down", 1, 4)):
            shapes[f"blocks.{layer}.{name}.weight"] = (outputs * WIDTH, inputs * WIDTH)
            shapes[f"blocks.{layer}.{name}.bias"] = (outputs * WIDTH,)
        for name in ("norm1", "norm2"):
            shapes[f"blocks.{layer}.{name}.weight"] = (WIDTH,)
            shapes[f"blocks.{layer}.{name}.bias"] = (WIDTH,)
    return weights(shapes)


def jax(t: Any) -> Program:
    np_, nn = t.np, t.nn
    mask = np.tril(np.ones((LENGTH, LENGTH), bool))

    def linear(p: Any, name: str, x: Any) -> Any:
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def norm(p: Any, name: str, x: Any) -> Any:
        x = x - x.mean(axis=-1, keepdims=True)
        scale = t.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5)
        return x * scale * p[f"{name}.weight"] + p[f"{name}.bias"]

    def loss_of(p: Any, tokens: Any, targets: Any) -> Any:
        x = p["embed.weight"][tokens] + p["embed_place.weight"]
        for layer in range(LAYERS):
            at = f"blocks.{layer}."
            qkv = linear(p, at + "qkv", norm(p, at + "norm1", x))
            q, k, v = np_.moveaxis(qkv.reshape(BATCH, LENGTH, 3, HEADS, -1), 2, 0)
            scores = np_.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(WIDTH // HEADS)
            scores = nn.softmax(np_.where(mask, scores, -1e30), axis=-1)
            y = np_.einsum("bhqk,bkhd->bqhd", scores, v).reshape(BATCH, LENGTH, WIDTH)
            x = x + linear(p, at + "out", y)
            y = nn.gelu(linear(p, at + "up", norm(p, at + "norm2", x)), approximate=True)
            x = x + linear(p, at + "down", y)
        return loss_jax(t, linear(p, "head", norm(p, "norm", x)), targets)

    return t.training(loss_of, params(), adam(1e-3, 0.01), batches())


def tensorflow(t: Any) -> Program:
    tf = t.lib
    mask = np.tril(np.ones((LENGTH, LENGTH), bool))

    def linear(p: Any, name: str, x: Any) -> Any:
        return tf.matmul(x, p[f"{name}.weight"], transpose_b=True) + p[f"{name}.bias"]

    def norm(p: Any, name: str, x: Any) -> Any:
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        return tf.nn.batch_normalization(
            x, mean, variance, p[f"{name}.bias"], p[f"{name}.weight"], 1e-5
        )

    def loss_of(p: Any, tokens: Any, targets: Any) -> Any:
        x = tf.gather(p["embed.weight"], tokens) + p["embed_place.weight"]
        x = tf.reshape(x, (-1, WIDTH))
        for layer in range(LAYERS):
            at = f"blocks.{layer}."
            qkv = linear(p, at + "qkv", norm(p, at + "norm1", x))
            qkv = tf.reshape(qkv, (BATCH, LENGTH, 3, HEADS, -1))
            q, k, v = tf.unstack(tf.transpose(qkv, (2, 0, 3, 1, 4)))
            scores = tf.matmul(q, k, transpose_b=True) / math.sqrt(WIDTH // HEADS)
            y = tf.matmul(tf.nn.softmax(tf.where(mask, scores, -1e30)), v)
            y = tf.reshape(tf.transpose(y, (0, 2, 1, 3)), (-1, WIDTH))
            x = x + linear(p, at + "out", y)
            y = tf.nn.gelu(linear(p, at + "up", norm(p, at + "norm2", x)), approximate=True)
            x = x + linear(p, at + "down", y)
        logits = linear(p, "head", norm(p, "norm", x))
        return loss_tensorflow(t, logits, tf.reshape(targets, (-1,)))

    return t.training(loss_of, params(), adam(1e-3, 0.01), batches())


# Of a token: the products with weights, and causal attention's two products of half the length.
PRODUCTS = LAYERS * (12 * WIDTH * WIDTH + LENGTH * WIDTH) + WIDTH * VOCABULARY

WORKLOADS = [
    Workload(
        "train-gpt", "training",
        f"GPT of {LAYERS} layers, {WIDTH} wide, {BATCH} × {LENGTH} characters, AdamW step",
        {"torch": torch, "jax": jax, "tensorflow": tensorflow},
        flops=6.0 * BATCH * LENGTH * PRODUCTS, checks=5, featured=True,
    ),
]  # fmt: skip
