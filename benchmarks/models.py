"""The networks of the training benchmarks, written once for both libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import Side
from benchmarks.peers import Peer, Torch

BATCH = 128


def mlp(peer: Peer) -> Any:
    nn = peer.nn
    return nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )


def cnn(peer: Peer) -> Any:
    nn = peer.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


SHAPES = {"mlp": (784,), "cnn": (1, 28, 28)}


def training_step(peer: Peer, kind: str, channels_last: bool = False) -> Side:
    """An Adam step on a batch of random digits; `channels_last` is PyTorch's choice only."""
    model = {"mlp": mlp, "cnn": cnn}[kind](peer)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((4, BATCH, *SHAPES[kind]), dtype=np.float32)
    batches = [peer.tensor(i) for i in images]
    labels = [peer.tensor(rng.integers(0, 10, BATCH)) for _ in batches]
    if channels_last and isinstance(peer, Torch):
        last = peer.lib.channels_last
        model = model.to(memory_format=last)
        batches = [b.to(memory_format=last) for b in batches]
    optimizer = peer.optim.Adam(model.parameters(), lr=1e-3)
    loss_of = peer.F.cross_entropy

    def side(count: int) -> None:
        loss: Any = None
        for step in range(count):
            optimizer.zero_grad()
            loss = loss_of(model(batches[step % 4]), labels[step % 4])
            loss.backward()
            optimizer.step()
        peer.wait()
        float(loss.detach())

    return side
