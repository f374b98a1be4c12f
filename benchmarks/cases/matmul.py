"""f32 products of square matrices, plain and transposed, against the peak and PyTorch."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from benchmarks.harness import Row, Settings, Side, duration, measure, peak_row, ratio_row
from benchmarks.machine import multiply_add_peak
from benchmarks.peers import Peer, Sennit, Torch


def product(peer: Peer, size: int, form: str) -> Side:
    """`form`: a letter per operand, N as stored, T transposed."""
    rng = np.random.default_rng(0)
    a, b = (peer.tensor(rng.standard_normal((size, size), dtype=np.float32)) for _ in range(2))
    a = a.T if form[0] == "T" else a
    b = b.T if form[1] == "T" else b

    def side(count: int) -> None:
        result: Any = None
        for _ in range(count):
            result = a @ b
            peer.wait()
        del result

    return side


def run(settings: Settings, skipped: dict[str, str]) -> list[Row]:
    rows = []
    peers: list[Peer] = [Sennit()] + ([Torch()] if settings.torch else [])
    for threads in settings.threads:
        for peer in peers:
            peer.set_threads(threads)
        for size in (512, 1024, 2048, 4096):
            flops = 2.0 * size**3
            sides: dict[str, Side] = {}
            for form in ("NN", "NT", "TN"):
                sides[form] = product(peers[0], size, form)
            if settings.torch:
                sides["torch"] = product(peers[1], size, "NN")
            peaks: list[float] = []
            sides["peak"] = lambda _count, peaks=peaks: peaks.append(multiply_add_peak())
            times = measure(sides, settings)
            goal = 82 if size == 4096 else 85
            rows.append(
                peak_row("matmul", f"{size}", threads, flops, times["NN"], peaks, target=goal)
            )
            for form in ("NT", "TN"):
                ratio = statistics.median(times[form].rounds) / times["NN"].median
                rows.append(
                    Row(
                        "matmul", f"{size} {form}", threads, duration(times[form].median),
                        duration(times["NN"].median), "NN", ratio, target=1.1, at_most=True,
                        seconds={"sennit": times[form].rounds},
                    )
                )  # fmt: skip
            if settings.torch:
                rows.append(
                    ratio_row("matmul", f"{size}", threads, times["NN"], times["torch"], "torch",
                              target=1.8)
                )  # fmt: skip
    return rows
