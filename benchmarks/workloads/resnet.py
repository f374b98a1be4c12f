"""Training of ResNet-20 (He et al., 2015) on 32×32 images, batch 128, SGD with momentum."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.arrays import integers, normal, weights
from benchmarks.optimizers import sgd
from benchmarks.workload import Program, Workload
from benchmarks.workloads.networks import loss_jax, loss_tensorflow

BATCH = 128
WIDTHS = (16, 32, 64)
BLOCKS = 3


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(normal("images", 2, BATCH, 3, 32, 32), integers("labels", 10, 2, BATCH)))


def layers() -> list[tuple[str, int, int, int, int]]:
    """(name, inputs, outputs, stride, side of the output) of each 3x3 convolution."""
    found = [("stem", 3, 16, 1, 32)]
    inputs, side = 16, 32
    for stage, width in enumerate(WIDTHS):
        for block in range(BLOCKS):
            stride = 2 if stage and not block else 1
            side //= stride
            place = f"blocks.{stage * BLOCKS + block}"
            found.append((f"{place}.first", inputs, width, stride, side))
            found.append((f"{place}.second", width, width, 1, side))
            inputs = width
    return found


def model(t: Any) -> Any:
    nn = t.nn

    class Unit(nn.Module):
        """A convolution and its batch norm."""

        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(outputs)

        def forward(self, x: Any) -> Any:
            return self.norm(self.conv(x))

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.first = Unit(inputs, outputs, stride)
            self.second = Unit(outputs, outputs, 1)
            self.stride, self.more = stride, outputs - inputs

        def forward(self, x: Any) -> Any:
            y = self.second(t.F.relu(self.first(x)))
            if self.more:  # the shortcut without parameters: every second pixel, zero channels
                x = t.F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.more))
            return t.F.relu(x + y)

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = Unit(3, 16, 1)
            shapes = [row[1:4] for row in layers()[1::2]]
            self.blocks = nn.Sequential(*(Block(*shape) for shape in shapes))
            self.head = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            x = self.blocks(t.F.relu(self.stem(x)))
            return self.head(x.mean(dim=(2, 3)))

    return t.filled(ResNet())


def torch(t: Any) -> Program:
    network, images = t.images(model(t), [x for x, _ in batches()])
    data = [(x, t.tensor(y)) for x, (_, y) in zip(images, batches())]
    optimizer = t.optimizer("SGD", network, lr=0.05, momentum=0.9)
    return t.training(lambda x, y: t.F.cross_entropy(network(x), y), optimizer, data)


# --- JAX and TensorFlow: channels last, running statistics carried along --------------------------
def shapes() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for name, inputs, outputs, _, _ in layers():
        found[f"{name}.conv.weight"] = (outputs, inputs, 3, 3)
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.norm.{part}"] = (outputs,)
    return found | {"head.weight": (10, 64), "head.bias": (10,)}


def params() -> dict[str, np.ndarray]:
    return {
        k: np.ascontiguousarray(v.transpose(2, 3, 1, 0)) if v.ndim == 4 else v
        for k, v in weights(shapes()).items()
    }


def last() -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.ascontiguousarray(np.moveaxis(x, 1, -1)), y) for x, y in batches()]


def forward(
    p: Any, x: Any, conv: Any, norm: Any, relu: Any, pad: Any
) -> tuple[Any, dict[str, Any]]:
    """Logits and new running statistics, with the library's functions for the parts."""
    kept: dict[str, Any] = {}

    def unit(name: str, x: Any, stride: int) -> Any:
        x = conv(x, p[f"{name}.conv.weight"], stride)
        x, mean, variance = norm(x, p[f"{name}.norm.weight"], p[f"{name}.norm.bias"])
        count = BATCH * x.shape[1] * x.shape[2]
        for part, value in (("mean", mean), ("var", variance * (count / (count - 1)))):
            key = f"{name}.norm.running_{part}"
            kept[key] = 0.9 * p[key] + 0.1 * value
        return x

    rows = layers()
    x = relu(unit("stem", x, 1))
    for (first, inputs, outputs, stride, _), (second, *_) in zip(rows[1::2], rows[2::2]):
        y = unit(second, relu(unit(first, x, stride)), 1)
        x = x if inputs == outputs else pad(x[:, ::2, ::2], outputs - inputs)
        x = relu(x + y)
    return x, kept


def jax(t: Any) -> Program:
    def conv(x: Any, w: Any, stride: int) -> Any:
        return t.lax.conv_general_dilated(
            x, w, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def norm(x: Any, w: Any, b: Any) -> Any:
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        return (x - mean) * (w * t.lax.rsqrt(variance + 1e-5)) + b, mean, variance

    def pad(x: Any, more: int) -> Any:
        return t.np.pad(x, ((0, 0), (0, 0), (0, 0), (0, more)))

    def loss_of(p: Any, x: Any, labels: Any) -> Any:
        x, kept = forward(p, x, conv, norm, t.nn.relu, pad)
        logits = x.mean(axis=(1, 2)) @ p["head.weight"].T + p["head.bias"]
        return loss_jax(t, logits, labels), kept

    return t.training(loss_of, params(), sgd(0.05, 0.9), last())


def tensorflow(t: Any) -> Program:
    tf = t.lib

    def conv(x: Any, w: Any, stride: int) -> Any:
        # TensorFlow's SAME of stride 2 pads on one side only.
        return tf.nn.conv2d(x, w, stride, [[0, 0], [1, 1], [1, 1], [0, 0]])

    def norm(x: Any, w: Any, b: Any) -> Any:
        y, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(x, w, b, epsilon=1e-5)
        count = BATCH * x.shape[1] * x.shape[2]
        return y, mean, variance * ((count - 1) / count)  # it gives the unbiased one

    def pad(x: Any, more: int) -> Any:
        return tf.pad(x, ((0, 0), (0, 0), (0, 0), (0, more)))

    def loss_of(p: Any, x: Any, labels: Any) -> Any:
        x, kept = forward(p, x, conv, norm, tf.nn.relu, pad)
        x = tf.reduce_mean(x, axis=(1, 2))
        logits = tf.matmul(x, p["head.weight"], transpose_b=True) + p["head.bias"]
        return loss_tensorflow(t, logits, labels), kept

    return t.training(loss_of, params(), sgd(0.05, 0.9), last())


def products() -> float:
    """Multiply-adds of an image; the first layer's counts two thirds, for it needs no gradient
    of its input."""
    total = 64.0 * 10
    for name, inputs, outputs, _, side in layers():
        total += side * side * outputs * inputs * 9 * (2 / 3 if name == "stem" else 1)
    return total


WORKLOADS = [
    Workload(
        "train-resnet20", "training", "ResNet-20 on 32×32 images, batch 128, SGD step",
        {"torch": torch, "jax": jax, "tensorflow": tensorflow},
        flops=6.0 * BATCH * products(), checks=3, tolerance=1e-3, featured=True,
    ),
]  # fmt: skip
