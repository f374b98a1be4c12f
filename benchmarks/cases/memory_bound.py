"""Chains of elementwise operations, softmax and layer norm, in plain imperative code."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Row, Settings, Side, Timing, measure, ratio_row
from benchmarks.peers import Peer, Sennit, Torch

# (name, shape, at least x times torch eager, at least x times torch.compile)
CASES: tuple[tuple[str, tuple[int, ...], float, float | None], ...] = (
    ("gelu_tanh(x*a+b)*sigmoid(x), 16 Mi", (1 << 24,), 8, 2),
    ("gelu_tanh(x*a+b)*sigmoid(x), 64 Ki", (1 << 16,), 1.8, None),
    ("softmax, 4096x4096", (4096, 4096), 4, None),
    ("layer norm, 8192x1024", (8192, 1024), 4, None),
)


def function(peer: Peer, name: str, shape: tuple[int, ...]) -> tuple[Callable[..., Any], list[Any]]:
    rng = np.random.default_rng(0)
    x = peer.tensor(rng.standard_normal(shape, dtype=np.float32))
    if name.startswith("softmax"):
        return lambda x: peer.F.softmax(x, dim=-1), [x]
    if name.startswith("layer"):
        weight, bias = (
            peer.tensor(rng.standard_normal(shape[-1:], dtype=np.float32)) for _ in range(2)
        )
        return lambda x, w, b: peer.F.layer_norm(x, shape[-1:], w, b), [x, weight, bias]
    a, b = (peer.tensor(rng.standard_normal(shape, dtype=np.float32)) for _ in range(2))
    gelu = functools.partial(peer.F.gelu, approximate="tanh")
    sigmoid = peer.lib.sigmoid
    return lambda x, a, b: gelu(x * a + b) * sigmoid(x), [x, a, b]


def repeat(peer: Peer, call: Callable[..., Any], operands: list[Any]) -> Side:
    def side(count: int) -> None:
        result: Any = None
        for _ in range(count):
            result = call(*operands)
            peer.wait()
        del result

    return side


def run(settings: Settings, skipped: dict[str, str]) -> list[Row]:
    rows = []
    peers: list[Peer] = [Sennit()] + ([Torch()] if settings.torch else [])
    for threads in settings.threads:
        for peer in peers:
            peer.set_threads(threads)
        for name, shape, eager_goal, compile_goal in CASES:
            sides = {p.name: repeat(p, *function(p, name, shape)) for p in peers}
            if settings.torch and settings.compile and compile_goal is not None:
                call, operands = function(peers[1], name, shape)
                try:
                    compiled = repeat(peers[1], peers[1].lib.compile(call), operands)
                    compiled(1)
                    sides["torch.compile"] = compiled
                except Exception as error:
                    reason = (str(error).strip().splitlines() or [""])[0]
                    skipped["torch.compile"] = f"{type(error).__name__}: {reason}"
            times: dict[str, Timing] = measure(sides, settings)
            for other, against, goal in (
                ("torch", "torch eager", eager_goal),
                ("torch.compile", "torch.compile", compile_goal),
            ):
                if other in times:
                    rows.append(
                        ratio_row("memory-bound", name, threads, times["sennit"], times[other],
                                  against, target=goal)
                    )  # fmt: skip
    return rows
