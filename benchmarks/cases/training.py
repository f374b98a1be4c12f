"""Training steps with Adam, batch 128, in plain imperative code: time and peak memory."""

from __future__ import annotations

from benchmarks.footprint import measure_footprint
from benchmarks.harness import Row, Settings, duration, measure, ratio_row
from benchmarks.models import training_step
from benchmarks.peers import Peer, Sennit, Torch

NAMES = {"mlp": "MLP 784-512-512-10", "cnn": "MNIST CNN"}


def run(settings: Settings, skipped: dict[str, str]) -> list[Row]:
    rows: list[Row] = []
    peers: list[Peer] = [Sennit()] + ([Torch()] if settings.torch else [])
    for threads in settings.threads:
        for peer in peers:
            peer.set_threads(threads)
        for kind, name in NAMES.items():
            sides = {p.name: training_step(p, kind) for p in peers}
            if settings.torch and kind == "cnn":
                sides["torch channels last"] = training_step(peers[1], kind, channels_last=True)
            times = measure(sides, settings)
            others = [n for n in times if n != "sennit"]
            if not others:
                step = f"{name}, Adam step"
                rows.append(Row("training", step, threads, duration(times["sennit"].median)))
                continue
            better = min(others, key=lambda n: times[n].median)
            rows.append(
                ratio_row("training", f"{name}, Adam step", threads, times["sennit"],
                          times[better], better.replace("torch", "torch eager"), target=1.7)
            )  # fmt: skip
            # The format that was the faster one: its memory is what is compared.
            library = "torch-last" if better.endswith("last") else "torch"
            ours = sorted(measure_footprint("sennit", kind, threads) for _ in range(3))[1]
            theirs = sorted(measure_footprint(library, kind, threads) for _ in range(3))[1]
            rows.append(
                Row(
                    "training", f"{name}, peak memory", threads, f"{ours / 1e6:.1f} MB",
                    f"{theirs / 1e6:.1f} MB", better.replace("torch", "torch eager"),
                    ours / theirs, target=0.7, at_most=True,
                )
            )  # fmt: skip
    return rows
