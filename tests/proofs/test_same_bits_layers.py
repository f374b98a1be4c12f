"""Alignment losses, graph layers, experts, projected LSTMs, metrics, random draws, complex numbers
and control flow: the same bits in every way of running."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import metrics, nn


def filled(layer: nn.Module) -> nn.Module:
    rng = np.random.default_rng(2)
    for p in layer.parameters():
        p.assign_(sn.asarray(rng.uniform(-0.4, 0.4, p.shape).astype(np.float32)))
    return layer


def floats(*shape: int) -> sn.Tensor:
    rng = np.random.default_rng(sum(shape))
    return sn.tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True)


def ids(n: int, *shape: int) -> sn.Tensor:
    return sn.tensor(np.random.default_rng(n).integers(0, n, shape))


def with_gradients(call: Callable[..., Any], x: sn.Tensor, *rest: Any) -> list[sn.Tensor]:
    y = call(x, *rest)
    y = y[0] if isinstance(y, tuple) else y
    (y * y).sum().backward()
    more = (
        [p.grad for p in call.parameters() if p.grad is not None]
        if isinstance(call, nn.Module)
        else []
    )
    return [y, x.grad, *more]  # type: ignore[list-item]


def alignment() -> list[sn.Tensor]:
    lengths = sn.tensor([70, 51, 64, 3, 70]), sn.tensor([21, 9, 30, 5, 0])
    logits, targets = floats(70, 5, 23), ids(22, 5, 30) + 1

    def loss(x: Any) -> Any:
        return sn.ctc_loss(sn.log_softmax(x, -1), targets, *lengths, reduction="none",
                           zero_infinity=True)  # fmt: skip

    return with_gradients(loss, logits)


def draws() -> list[sn.Tensor]:
    sn.random.seed(5)
    return [
        sn.rand(70, 61),
        sn.randn(4099),
        sn.random.normal(2.0, 3.0, shape=(33,), dtype=sn.float64),
        sn.random.integers(-4, 90, shape=(1000,)),
        sn.random.permutation(500),
        sn.dropout(sn.ones(3001), 0.3),
        sn.linspace(-1.0, 2.0, 1001),
    ]


def complex_numbers() -> list[sn.Tensor]:
    def product(x: Any) -> Any:
        z = sn.complex(x, sn.cos(x))
        y = sn.exp(z @ z.mT / 20) / (z.sum() + 3)
        return y.real * y.imag

    return with_gradients(product, floats(37, 29))


def measures() -> list[sn.Tensor]:
    scores, labels = floats(500, 6), ids(6, 500)
    found = []
    for metric in (
        metrics.F1Score(num_classes=6),
        metrics.ROCAUC("multiclass", 6, "none"),
        metrics.AveragePrecision("multiclass", 6),
        metrics.Perplexity(),
    ):
        for part in range(0, 500, 90):
            metric.update(scores[part : part + 90], labels[part : part + 90])
        found.append(metric.compute())
    return found


def control_flow() -> list[sn.Tensor]:
    def loss(x: Any, w: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            c = sn.tanh(c @ w + row)
            return sn.cond(c.sum() > 0, lambda c: c * 0.9, lambda c: c - 0.1, c), c.mean(axis=1)

        c, rows = sn.scan(step, sn.zeros((70, 33)), x)
        c = sn.while_loop(lambda c: (c * c).sum() > 1, lambda c: c * 0.7, c, max_steps=40)
        return (c * sn.exp(c)).sum() + (rows * rows).sum()

    x, w = floats(9, 70, 33), floats(33, 33)
    graph = sn.trace(loss, x, w)  # gradients of what ran
    inside = sn.trace(sn.grad(loss, argnums=(0, 1)), x, w)  # gradients that are blocks of a graph
    assert {"scan", "while_loop"} <= {node.op for node in graph.nodes}
    assert graph(x, w).item() == loss(x, w).item()
    graph(x, w).backward()
    return [graph(x, w), x.grad, w.grad, *inside(x, w)]  # type: ignore[list-item]


EDGES = np.random.default_rng(0).integers(0, 50, (2, 400))

PROGRAMS: dict[str, Callable[[], list[sn.Tensor]]] = {
    "alignment": alignment,
    "convolution of graphs": lambda: with_gradients(
        filled(nn.graph.GCNConv(12, 9)), floats(50, 12), sn.tensor(EDGES)
    ),
    "largest neighbour": lambda: with_gradients(
        filled(nn.graph.SAGEConv(12, 9, "max")), floats(50, 12), sn.tensor(EDGES)
    ),
    "attention on graphs": lambda: with_gradients(
        filled(nn.graph.GATConv(12, 9, 3)), floats(50, 12), sn.tensor(EDGES)
    ),
    "experts": lambda: with_gradients(
        filled(nn.MixtureOfExperts(10, 20, 5, capacity_factor=0.8)), floats(60, 10)
    ),
    "projected": lambda: with_gradients(
        filled(nn.LSTM(6, 40, proj_size=11, bidirectional=True)), floats(9, 7, 6)
    ),
    "complex numbers": complex_numbers,
    "draws": draws,
    "bags": lambda: with_gradients(
        lambda w: nn.functional.embedding_bag(ids(30, 200), w, sn.arange(0, 200, 7)), floats(30, 8)
    ),
    "measures": measures,
    "control flow": control_flow,
}


def bits_of(name: str) -> list[bytes]:
    return [np.asarray(t.detach().numpy()).tobytes() for t in PROGRAMS[name]()]


@pytest.mark.parametrize("name", PROGRAMS)
def test_threads_and_windows_do_not_change_bits(name: str, threads: Any, window: Any) -> None:
    found = []
    for count, nodes in [(1, 4096), (2, 4096), (7, 4096), (1, 1), (3, 1), (2, 5)]:
        threads(count)
        window(nodes)
        found.append(bits_of(name))
    assert all(f == found[0] for f in found[1:])


@pytest.mark.bits
@pytest.mark.parametrize(
    "environment",
    [{"SENNIT_ISA": "avx2"}, {"SENNIT_ENGINE": "serial"}, {"SENNIT_VERIFY": "1"}],
    ids=["avx2", "serial engine", "verified"],
)
def test_other_environments_do_not_change_bits(environment: dict[str, str], fresh_python) -> None:
    if "SENNIT_ISA" in environment and sn._core.isa() not in ("avx2", "avx512"):
        pytest.skip("not an x86 CPU with AVX2")
    assert json.loads(fresh_python(__file__, **environment)) == digests()


def digests() -> list[str]:
    return [hashlib.sha256(b"".join(bits_of(name))).hexdigest() for name in PROGRAMS]


if __name__ == "__main__":
    print(json.dumps(digests()))
