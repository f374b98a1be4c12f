"""3x3 convolutions, channels last in memory, forward and with both gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import Row, Settings, Side, measure, peak_row, ratio_row
from benchmarks.machine import multiply_add_peak
from benchmarks.peers import Peer, Sennit, Torch

# (batch, channels in, channels out, side): the shapes of a residual network.
SHAPES = ((16, 64, 64, 56), (16, 128, 128, 28), (16, 256, 256, 14), (16, 512, 512, 7))


def convolution(peer: Peer, shape: tuple[int, int, int, int], backward: bool) -> Side:
    batch, channels_in, channels_out, size = shape
    rng = np.random.default_rng(0)

    def random(*dims: int) -> np.ndarray:
        return rng.standard_normal(dims, dtype=np.float32)

    x = peer.channels_last(random(batch, channels_in, size, size))
    w = peer.channels_last(random(channels_out, channels_in, 3, 3))
    g = peer.channels_last(random(batch, channels_out, size, size))
    conv = peer.F.conv2d
    if backward:
        x.requires_grad_()
        w.requires_grad_()

    def side(count: int) -> None:
        y: Any = None
        for _ in range(count):
            y = conv(x, w, padding=1)
            if backward:
                y.backward(g)
                peer.wait()
                x.grad = None
                w.grad = None
            peer.wait()
        del y

    return side


def run(settings: Settings, skipped: dict[str, str]) -> list[Row]:
    rows = []
    peers: list[Peer] = [Sennit()] + ([Torch()] if settings.torch else [])
    for threads in settings.threads:
        for peer in peers:
            peer.set_threads(threads)
        for shape in SHAPES:
            batch, channels_in, channels_out, size = shape
            name = f"{channels_in} channels, {batch}x{size}x{size}"
            flops = 2.0 * batch * size * size * channels_in * channels_out * 9
            for backward, goal in ((False, 80), (True, 70)):
                sides: dict[str, Side] = {"sennit": convolution(peers[0], shape, backward)}
                if settings.torch:
                    sides["torch"] = convolution(peers[1], shape, backward)
                peaks: list[float] = []
                sides["peak"] = lambda _count, peaks=peaks: peaks.append(multiply_add_peak())
                times = measure(sides, settings)
                label = f"{name}, {'both gradients too' if backward else 'forward'}"
                rows.append(
                    peak_row("conv", label, threads, flops * (3 if backward else 1),
                             times["sennit"], peaks, target=goal)
                )  # fmt: skip
                if settings.torch:
                    rows.append(
                        ratio_row("conv", label, threads, times["sennit"], times["torch"],
                                  "torch channels last")
                    )  # fmt: skip
    return rows
