"""Inference with random weights: ResNet-50, MobileNetV2 and an encoder of MiniLM's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.arrays import integers, normal
from benchmarks.workload import Program, Workload

# Of the stages: (width, blocks, stride), and (expansion, outputs, blocks, stride).
RESNET = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
MOBILE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
          (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
VOCABULARY, WIDTH, HEADS, LAYERS, INNER, LENGTH, ROWS = 30522, 384, 12, 6, 1536, 128, 8


def resnet50(b: Any) -> Any:
    """With a builder `b` of layers, so that one text gives the module and the ONNX graph."""
    x = b.conv("stem", b.image, 3, 64, 7, 2, relu=True)
    x = b.max_pool(x)
    inputs = 64
    for stage, (width, blocks, stride) in enumerate(RESNET):
        for block in range(blocks):
            at, step = f"stage{stage}_{block}", stride if block == 0 else 1
            y = b.conv(f"{at}_a", x, inputs, width, 1, 1, relu=True)
            y = b.conv(f"{at}_b", y, width, width, 3, step, relu=True)
            y = b.conv(f"{at}_c", y, width, 4 * width, 1, 1)
            if block == 0:
                x = b.conv(f"{at}_shortcut", x, inputs, 4 * width, 1, step)
            x = b.relu(b.add(x, y))
            inputs = 4 * width
    return b.linear("head", b.average(x), 2048, 1000)


def mobilenet_v2(b: Any) -> Any:
    x = b.conv("stem", b.image, 3, 32, 3, 2, relu6=True)
    inputs = 32
    for stage, (expansion, outputs, blocks, stride) in enumerate(MOBILE):
        for block in range(blocks):
            at, step = f"stage{stage}_{block}", stride if block == 0 else 1
            inner, y = inputs * expansion, x
            if expansion > 1:
                y = b.conv(f"{at}_expand", y, inputs, inner, 1, 1, relu6=True)
            y = b.conv(f"{at}_depth", y, inner, inner, 3, step, groups=inner, relu6=True)
            y = b.conv(f"{at}_project", y, inner, outputs, 1, 1)
            x = b.add(x, y) if step == 1 and inputs == outputs else y
            inputs = outputs
    x = b.conv("last", x, 320, 1280, 1, 1, relu6=True)
    return b.linear("head", b.average(x), 1280, 1000)


def encoder(b: Any) -> Any:
    """Post-norm, as BERT; the mean over the tokens is what such a model is used for."""
    x = b.norm("norm", b.embedded("embed", "embed_place"))
    for layer in range(LAYERS):
        at = f"layer{layer}_"
        q, k, v = (b.heads(b.linear(at + n, x, WIDTH, WIDTH)) for n in ("q", "k", "v"))
        y = b.linear(at + "out", b.merged(b.attention(q, k, v)), WIDTH, WIDTH)
        x = b.norm(at + "norm1", b.add(x, y))
        y = b.linear(at + "down", b.gelu(b.linear(at + "up", x, WIDTH, INNER)), INNER, WIDTH)
        x = b.norm(at + "norm2", b.add(x, y))
    return b.mean(x)


class TorchBuilder:
    """Runs the layers on tensors, keeping each under its name; the first run makes them."""

    def __init__(self, t: Any) -> None:
        self.t = t
        self.image: Any = None
        self.modules: Any = t.nn.ModuleDict()

    def layer(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.modules:
            self.modules[name] = make()
        return self.modules[name]

    def conv(
        self, name: str, x: Any, inputs: int, outputs: int, size: int, stride: int,
        groups: int = 1, relu: bool = False, relu6: bool = False,
    ) -> Any:  # fmt: skip
        nn, F = self.t.nn, self.t.F
        x = self.layer(f"{name}_conv", lambda: nn.Conv2d(
            inputs, outputs, size, stride, size // 2, groups=groups, bias=False))(x)  # fmt: skip
        x = self.layer(f"{name}_norm", lambda: nn.BatchNorm2d(outputs))(x)
        return F.relu(x) if relu else F.relu6(x) if relu6 else x

    def linear(self, name: str, x: Any, inputs: int, outputs: int) -> Any:
        return self.layer(name, lambda: self.t.nn.Linear(inputs, outputs))(x)

    def norm(self, name: str, x: Any) -> Any:
        return self.layer(name, lambda: self.t.nn.LayerNorm(WIDTH))(x)

    def embedded(self, name: str, place: str) -> Any:
        nn = self.t.nn
        tokens = self.layer(name, lambda: nn.Embedding(VOCABULARY, WIDTH))(self.image)
        return tokens + self.layer(place, lambda: nn.Embedding(LENGTH, WIDTH)).weight

    def attention(self, q: Any, k: Any, v: Any) -> Any:
        return self.t.F.scaled_dot_product_attention(q, k, v)

    def heads(self, x: Any) -> Any:
        return x.reshape(ROWS, LENGTH, HEADS, WIDTH // HEADS).transpose(1, 2)

    def merged(self, x: Any) -> Any:
        return x.transpose(1, 2).reshape(ROWS, LENGTH, WIDTH)

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def relu(self, x: Any) -> Any:
        return self.t.F.relu(x)

    def gelu(self, x: Any) -> Any:
        return self.t.F.gelu(x)

    def max_pool(self, x: Any) -> Any:
        return self.t.F.max_pool2d(x, 3, 2, 1)

    def average(self, x: Any) -> Any:
        return x.mean(dim=(2, 3))

    def mean(self, x: Any) -> Any:
        return x.mean(dim=1)


def torch_program(t: Any, network: Callable[[Any], Any], data: np.ndarray) -> Program:
    builder = TorchBuilder(t)

    class Network(t.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = builder.modules

        def forward(self, x: Any) -> Any:
            builder.image = x
            return network(builder)

    model = Network()
    builder.image = t.tensor(data[:1] if data.ndim == 4 else data)
    with t.lib.no_grad():
        network(builder)  # makes the layers
    model = t.filled(model)
    if data.ndim == 4:
        model, (x,) = t.images(model, [data])
    else:
        x = t.tensor(data)
    return t.inference(model, [x])


def onnx_program(t: Any, network: Callable[[Any], Any], data: np.ndarray) -> Program:
    from benchmarks.sides.onnxlib import OnnxBuilder

    builder = OnnxBuilder(data, WIDTH, HEADS, VOCABULARY)
    return t.inference(builder.model(network(builder)), data)


def images(batch: int) -> np.ndarray:
    return normal("images", batch, 3, 224, 224)


def workload(
    name: str, title: str, network: Callable[[Any], Any], data: Callable[[], np.ndarray],
    flops: float,
) -> Workload:  # fmt: skip
    return Workload(
        name, "inference", title,
        {"torch": lambda t: torch_program(t, network, data()),
         "onnx": lambda t: onnx_program(t, network, data())},
        flops=flops, tolerance=2e-4, featured=True,
    )  # fmt: skip


def conv_flops(network: Callable[[Any], Any]) -> float:
    """Of one image of 224 × 224: a builder that counts, whose values are (side, operations)."""

    class Counter:
        image = 224
        total = 0.0

        def conv(
            self, name: str, x: int, inputs: int, outputs: int, size: int, stride: int,
            groups: int = 1, **rest: Any,
        ) -> int:  # fmt: skip
            side = (x + stride - 1) // stride
            self.total += 2.0 * side * side * size * size * inputs * outputs / groups
            return side

        def linear(self, name: str, x: int, inputs: int, outputs: int) -> int:
            self.total += 2.0 * inputs * outputs
            return x

        def max_pool(self, x: int) -> int:
            return (x + 1) // 2

        def add(self, x: int, y: int) -> int:
            return y

        def relu(self, x: int) -> int:
            return x

        average = relu

    counter = Counter()
    network(counter)
    return counter.total


ENCODER_FLOPS = 2.0 * ROWS * LENGTH * LAYERS * (
    4 * WIDTH * WIDTH + 2 * WIDTH * INNER + 2 * LENGTH * WIDTH
)  # fmt: skip

WORKLOADS = [
    *(
        workload(f"{name}-{batch}", f"{title}, batch {batch}", network,
                 lambda batch=batch: images(batch), batch * conv_flops(network))
        for name, title, network in (("resnet50", "ResNet-50", resnet50),
                                     ("mobilenet", "MobileNetV2", mobilenet_v2))
        for batch in (1, 16)
    ),
    workload(
        "encoder", "encoder of MiniLM's size, 8 × 128 tokens", encoder,
        lambda: integers("tokens", VOCABULARY, ROWS, LENGTH), ENCODER_FLOPS,
    ),
]  # fmt: skip
