"""Reduced precision on a GPU: products in bf16 and TF32, and training through autocast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.arrays import integers, normal
from benchmarks.workload import Function, Program, Workload
from benchmarks.workloads import language

SIZE = 4096
# GPT-2 small (Radford et al. 2019) and ResNet-50 (He et al. 2015).
VOCABULARY, WIDTH, HEADS, LAYERS, LENGTH, ROWS = 50257, 768, 12, 12, 1024, 4
STAGES, IMAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)), 64
SIDES = (224, 224)


def factors() -> dict[str, np.ndarray]:
    return {name: normal(name, SIZE, SIZE) for name in ("a", "b")}


def product_bf16(t: Any) -> Program:
    a, b = (t.tensor(x).to(t.lib.bfloat16) for x in factors().values())
    return t.kernel(Function(lambda t, *_: a @ b, {}))


def product_tf32(t: Any) -> Program:
    t.lib.set_float32_matmul_precision("high")
    return t.kernel(Function(lambda t, a, b: a @ b, factors()))


def trained(
    t: Any, model: Any, data: list[tuple[Any, ...]], loss: Callable[..., Any], name: str
) -> Program:
    """Steps whose forward pass is under autocast; AdamW or SGD on float32 parameters."""
    kind = "cpu" if t.device == "cpu" else "cuda"

    def loss_of(x: Any, y: Any) -> Any:
        with t.lib.autocast(kind, dtype=t.lib.bfloat16):
            return loss(model(x), y)

    return t.training(loss_of, t.optimizer(name, model, lr=1e-3), data)


def gpt2(t: Any) -> Program:
    model = language.gpt(t, LAYERS, LENGTH, width=WIDTH, heads=HEADS, vocabulary=VOCABULARY)
    tokens = integers("tokens", VOCABULARY, 2, ROWS, LENGTH + 1)
    data = [(t.tensor(part[:, :-1]), t.tensor(part[:, 1:])) for part in tokens]

    def loss(out: Any, targets: Any) -> Any:
        return t.F.cross_entropy(out.reshape(-1, VOCABULARY), targets.reshape(-1))

    return trained(t, model, data, loss, "AdamW")


def resnet50(t: Any) -> Any:
    nn = t.nn

    class Unit(nn.Module):
        def __init__(self, inputs: int, outputs: int, size: int, stride: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
            self.norm = nn.BatchNorm2d(outputs)

        def forward(self, x: Any) -> Any:
            return self.norm(self.conv(x))

    class Block(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            self.a = Unit(inputs, width, 1, 1)
            self.b = Unit(width, width, 3, stride)
            self.c = Unit(width, 4 * width, 1, 1)
            same = inputs == 4 * width and stride == 1
            self.shortcut = nn.Identity() if same else Unit(inputs, 4 * width, 1, stride)

        def forward(self, x: Any) -> Any:
            y = self.c(t.F.relu(self.b(t.F.relu(self.a(x)))))
            return t.F.relu(y + self.shortcut(x))

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, blocks, inputs = Unit(3, 64, 7, 2), [], 64
            for width, count, stride in STAGES:
                for i in range(count):
                    blocks.append(Block(inputs, width, stride if i == 0 else 1))
                    inputs = 4 * width
            self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(inputs, 1000)

        def forward(self, x: Any) -> Any:
            x = t.F.max_pool2d(t.F.relu(self.stem(x)), 3, 2, 1)
            return self.head(self.blocks(x).mean(dim=(2, 3)))

    return t.filled(ResNet())


def images(t: Any) -> Program:
    model, (x,) = t.images(resnet50(t), [normal("images", IMAGES, 3, *SIDES)])
    labels = t.tensor(integers("labels", 1000, IMAGES))
    return trained(t, model, [(x, labels)], t.F.cross_entropy, "SGD")


# Of a token: the products with weights, and causal attention's two products of half the length.
TOKEN = LAYERS * (12 * WIDTH * WIDTH + LENGTH * WIDTH) + WIDTH * VOCABULARY
IMAGE = 4.09e9  # multiply-adds of a forward pass

WORKLOADS = [
    Workload(
        "product-4096-bf16", "products", "4096³ in bfloat16", {"torch": product_bf16},
        flops=2.0 * SIZE**3, bytes=6.0 * SIZE * SIZE, tolerance=1e-2,
    ),
    Workload(
        "product-4096-tf32", "products", "4096³ in float32, TF32 allowed", {"torch": product_tf32},
        flops=2.0 * SIZE**3, bytes=12.0 * SIZE * SIZE, tolerance=1e-2,
    ),
    Workload(
        "train-gpt2-bf16", "training",
        f"GPT-2 small, {ROWS} × {LENGTH} tokens, autocast to bfloat16, AdamW step",
        {"torch": gpt2}, flops=6.0 * ROWS * LENGTH * TOKEN, tolerance=1e-1,
    ),
    Workload(
        "train-resnet50-bf16", "training",
        f"ResNet-50, {IMAGES} images of 224 × 224, autocast to bfloat16, SGD step",
        {"torch": images}, flops=6.0 * IMAGES * IMAGE, tolerance=1e-1,
    ),
]  # fmt: skip
