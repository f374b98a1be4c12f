"""Convolutions, channels last in memory where the library has a choice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.arrays import normal
from benchmarks.workload import Workload, kernel


def filters(name: str, *shape: int) -> np.ndarray:
    return normal(name, *shape) / np.float32(math.sqrt(math.prod(shape[1:])))


def conv_jax(stride: int = 1, groups: int = 1, pad: int = 1) -> Any:
    def conv(t: Any, x: Any, w: Any) -> Any:  # w comes as (out, h, w, in)
        return t.lax.conv_general_dilated(
            x, w, (stride, stride), [(pad, pad)] * 2, feature_group_count=groups,
            dimension_numbers=("NHWC", "OHWI", "NHWC"),
        )  # fmt: skip

    return conv


def conv_tensorflow(pad: str = "SAME", depthwise: bool = False) -> Any:
    def conv(t: Any, x: Any, w: Any) -> Any:
        if depthwise:
            w = t.lib.transpose(w, (1, 2, 0, 3))
            return t.lib.nn.depthwise_conv2d(x, w, (1, 1, 1, 1), pad)
        return t.lib.nn.conv2d(x, t.lib.transpose(w, (1, 2, 3, 0)), 1, pad)

    return conv


def layer(
    kind: str, batch: int, inputs: int, outputs: int, side: int, size: int = 3, groups: int = 1,
    gradient: bool = False, targets: dict[str, float] | None = None,
) -> Workload:  # fmt: skip
    pad = size // 2

    def arrays() -> dict[str, np.ndarray]:
        found = {
            "x": normal("x", batch, inputs, side, side),
            "w": filters("w", outputs, inputs // groups, size, size),
        }
        return found | ({"g": normal("g", batch, outputs, side, side)} if gradient else {})

    return kernel(
        f"{kind.replace('×', 'x').replace(' ', '-')}-{inputs}x{side}"
        + ("-gradients" if gradient else ""), "convolutions",
        f"{kind}, {inputs} channels, {batch}×{side}×{side}"
        + (", with gradients" if gradient else ""),
        arrays, grads=("x", "w") if gradient else (), channels_last=True,
        torch=lambda t, x, w: t.F.conv2d(x, w, padding=pad, groups=groups),
        jax=conv_jax(groups=groups, pad=pad),
        tensorflow=conv_tensorflow(depthwise=groups > 1),
        flops=2.0 * batch * side * side * outputs * inputs // groups * size * size
        * (3 if gradient else 1), targets=targets or {},
        bytes=4.0 * batch * side * side * (inputs + outputs) * (2.5 if gradient else 1),
    )  # fmt: skip


# VGG's pyramid of 3x3 convolutions, at a quarter of its image and channels up to 256.
STACK = (64, "pool", 128, "pool", 256, 256, "pool")


def stack_weights() -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    channels = 3
    for step in STACK:
        if isinstance(step, int):
            name = f"w{len(found)}"
            found[name] = math.sqrt(2) * filters(name, step, channels, 3, 3)
            channels = step
    return {name: w.astype(np.float32) for name, w in found.items()}


def stack_flops(batch: int, side: int) -> float:
    total, channels = 0.0, 3
    for step in STACK:
        if step == "pool":
            side //= 2
        else:
            total += 2.0 * batch * side * side * channels * int(step) * 9
            channels = int(step)
    return total


def stacked(conv: Any, relu: Any, pool: Any) -> Any:
    def network(t: Any, x: Any, *filters: Any) -> Any:
        rest = list(filters)
        for step in STACK:
            x = pool(t, x) if step == "pool" else relu(t, conv(t, x, rest.pop(0)))
        return x

    return network


def pool_jax(t: Any, x: Any) -> Any:
    return t.lax.reduce_window(x, -np.inf, t.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def transposed_jax(t: Any, x: Any, w: Any) -> Any:  # w comes as (in, h, w, out)
    w = w.transpose(1, 2, 0, 3)
    return t.lax.conv_transpose(x, w[::-1, ::-1], (2, 2), ((2, 2), (2, 2)),
                                dimension_numbers=("NHWC", "HWIO", "NHWC"))  # fmt: skip


def transposed_tensorflow(t: Any, x: Any, w: Any) -> Any:
    w = t.lib.transpose(w, (1, 2, 3, 0))
    return t.lib.nn.conv2d_transpose(x, w, (16, 56, 56, 64), 2, "SAME")


WORKLOADS = [
    *(
        layer("3×3", 16, channels, channels, side, gradient=gradient,
              targets={"floor": 0.7 if gradient else 0.8})
        for channels, side in ((64, 56), (128, 28), (256, 14), (512, 7))
        for gradient in (False, True)
    ),
    layer("1×1", 16, 256, 256, 28, size=1),
    layer("1×1", 16, 256, 256, 28, size=1, gradient=True),
    layer("depthwise 3×3", 16, 128, 128, 56, groups=128),
    layer("depthwise 3×3", 16, 128, 128, 56, groups=128, gradient=True),
    kernel(
        "transposed", "convolutions", "transposed 4×4 of stride 2, 128 to 64 channels, 16×28×28",
        lambda: {"x": normal("x", 16, 128, 28, 28), "w": filters("w", 128, 64, 4, 4)},
        channels_last=True,
        torch=lambda t, x, w: t.F.conv_transpose2d(x, w, stride=2, padding=1),
        jax=transposed_jax, tensorflow=transposed_tensorflow,
        flops=2.0 * 16 * 28 * 28 * 128 * 64 * 16,
    ),
    kernel(
        "vgg-stack", "convolutions", "VGG-like stack of 3×3, 8 images of 64×64",
        lambda: {"x": normal("x", 8, 3, 64, 64), **stack_weights()}, channels_last=True,
        torch=stacked(lambda t, x, w: t.F.conv2d(x, w, padding=1), lambda t, x: t.F.relu(x),
                      lambda t, x: t.F.max_pool2d(x, 2)),
        jax=stacked(conv_jax(), lambda t, x: t.nn.relu(x), pool_jax),
        tensorflow=stacked(conv_tensorflow(), lambda t, x: t.lib.nn.relu(x),
                           lambda t, x: t.lib.nn.max_pool2d(x, 2, 2, "VALID")),
        flops=stack_flops(8, 64),
    ),
]  # fmt: skip
