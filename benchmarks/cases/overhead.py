"""Tiny operations: what a call costs when there is nothing to compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import Row, Settings, Side, measure, ratio_row
from benchmarks.peers import Peer, Sennit, Torch

LENGTH = 10_000


def chain(peer: Peer, backward: bool) -> Side:
    """x = x + y, each needing the one before; then, if asked for, the gradient of y."""
    start = peer.tensor(np.zeros(16, np.float32))
    y = peer.tensor(np.full(16, 1e-3, np.float32))
    if backward:
        y.requires_grad_()

    def side(count: int) -> None:
        for _ in range(count):
            x = start
            for _ in range(LENGTH):
                x = x + y
            if backward:
                x.sum().backward()
                gradient = float(y.grad[0])
                if gradient != LENGTH:
                    raise AssertionError(f"the gradient is {gradient}, not {LENGTH}")
                y.grad = None
            else:
                peer.wait()
                float(x[0])

    return side


def small_network(peer: Peer) -> Side:
    rng = np.random.default_rng(0)
    nn = peer.nn
    model = nn.Sequential(
        nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
    )
    optimizer = peer.optim.SGD(model.parameters(), lr=0.05)
    x = peer.tensor(rng.standard_normal((32, 2), dtype=np.float32))
    y = peer.tensor(rng.standard_normal((32, 1), dtype=np.float32))
    loss_of = peer.F.mse_loss

    def side(count: int) -> None:
        loss: Any = None
        for _ in range(count):
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimizer.step()
        peer.wait()
        float(loss.detach())

    return side


def run(settings: Settings, skipped: dict[str, str]) -> list[Row]:
    rows = []
    peers: list[Peer] = [Sennit()] + ([Torch()] if settings.torch else [])
    cases = (
        ("addition of 16 elements, per op", lambda p: chain(p, False), LENGTH, 0.5),
        ("addition forward and backward, per op", lambda p: chain(p, True), LENGTH, 0.5),
        ("2-16-16-1 network, SGD step", small_network, 1, 0.35),
    )
    for threads in settings.threads:
        for peer in peers:
            peer.set_threads(threads)
        for name, make, work, goal in cases:
            sides = {p.name: make(p) for p in peers}
            times = measure(sides, settings, work)
            if "torch" in times:
                rows.append(
                    ratio_row("overhead", name, threads, times["sennit"], times["torch"],
                              "torch eager", target=goal, at_most=True)
                )  # fmt: skip
            else:
                rows.append(alone("overhead", name, threads, times["sennit"].median))
    return rows


def alone(group: str, name: str, threads: int, seconds: float) -> Row:
    from benchmarks.harness import duration

    return Row(group, name, threads, duration(seconds))
