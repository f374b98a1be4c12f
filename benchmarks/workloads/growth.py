"""Training steps that grow along one axis: length, channels, depth, batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.arrays import integers, normal
from benchmarks.workload import Function, Program, Workload
from benchmarks.workloads import convolutions, language, networks


@dataclass(frozen=True)
class Axis:
    name: str
    title: str
    points: tuple[int, ...]
    make: Callable[[Any, int], Program]

    def workload(self, point: int) -> Workload:
        return Workload(
            f"growth-{self.name}-{point}", f"growth-{self.name}", f"{self.title}: {point}",
            {"torch": lambda t: self.make(t, point)}, checks=2,
        )  # fmt: skip


def by_length(t: Any, length: int) -> Program:
    model = language.gpt(t, layers=2, length=length)
    tokens = t.tensor(integers("tokens", language.VOCABULARY, 4, length))
    targets = t.tensor(integers("targets", language.VOCABULARY, 4 * length))

    def loss_of(tokens: Any, targets: Any) -> Any:
        return t.F.cross_entropy(model(tokens).reshape(-1, language.VOCABULARY), targets)

    return t.training(loss_of, t.optimizer("AdamW", model, lr=1e-3), [(tokens, targets)])


def by_channels(t: Any, channels: int) -> Program:
    arrays = {
        "x": normal("x", 16, channels, 28, 28),
        "w": convolutions.filters("w", channels, channels, 3, 3),
        "g": normal("g", 16, channels, 28, 28),
    }
    return t.kernel(Function(lambda t, x, w: t.F.conv2d(x, w, padding=1), arrays, ("x", "w"), True))


def by_depth(t: Any, depth: int) -> Program:
    nn = t.nn
    layers = [part for _ in range(depth) for part in (nn.Linear(128, 128), nn.ReLU())]
    return classify(t, nn.Sequential(*layers, nn.Linear(128, 10)), normal("x", 64, 128))


def by_batch(t: Any, batch: int) -> Program:
    return classify(t, networks.mlp(t.nn), normal("x", batch, 784))


def classify(t: Any, model: Any, x: np.ndarray) -> Program:
    model = t.filled(model)
    data = [(t.tensor(x), t.tensor(integers("labels", 10, len(x))))]
    optimizer = t.optimizer("Adam", model, lr=1e-3)
    return t.training(lambda x, y: t.F.cross_entropy(model(x), y), optimizer, data)


AXES = [
    Axis("length", "GPT of 2 layers, batch 4, characters of context", (64, 128, 256, 512, 1024),
         by_length),
    Axis("channels", "3×3 convolution with gradients, 16×28×28, channels",
         (16, 32, 64, 128, 256, 512), by_channels),
    Axis("depth", "MLP 128 wide, batch 64, layers", (10, 25, 50, 100, 200), by_depth),
    Axis("batch", "MLP 784-512-512-10, batch", (1, 4, 16, 64, 128, 256, 512), by_batch),
]  # fmt: skip
WORKLOADS = [axis.workload(point) for axis in AXES for point in axis.points]
