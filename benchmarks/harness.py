"""Timing of two sides in one run: interleaved rounds, medians, ratios with their spread.

A side is a function of a count that does its work so many times and returns when the work is done.
Rounds go A B A B ..., so that a machine that slows down slows both. Each round of a side starts
with a pause, in which the other side's spinning threads go to sleep, and with untimed work.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Side = Callable[[int], None]


@dataclass
class Settings:
    """What the command line asks for."""

    rounds: int = 7
    seconds: float = 0.15  # a side's timed work in one round
    threads: tuple[int, ...] = (1, 2)
    torch: bool = True
    compile: bool = True


@dataclass
class Timing:
    """Seconds for one unit of work, one figure per round."""

    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def best(self) -> float:
        return min(self.rounds)


@dataclass
class Row:
    """One line of the report."""

    group: str
    name: str
    threads: int
    sennit: str  # as printed: "1.03 us", "241 GFLOP/s"
    other: str = ""
    against: str = ""  # what `other` is: "torch eager", "multiply-add peak"
    figure: float | None = None  # what the target speaks of, usually a ratio
    low: float | None = None  # quartiles of the figure over rounds
    high: float | None = None
    target: float | None = None
    at_most: bool = False  # the target is an upper bound
    unit: str = "x"
    note: str = ""
    seconds: dict[str, list[float]] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        if self.target is None or self.figure is None:
            return None
        return self.figure <= self.target if self.at_most else self.figure >= self.target

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"met": self.met}


def measure(sides: Mapping[str, Side], settings: Settings, work: int = 1) -> dict[str, Timing]:
    """Times every side; `work` units of work are done by side(1)."""
    counts: dict[str, int] = {}
    for name, side in sides.items():
        side(1)
        begin = time.perf_counter()
        side(1)
        once = time.perf_counter() - begin
        # The estimate may hold a slow first run: once more with what it gives.
        count = max(1, min(10_000, int(settings.seconds / 4 / max(once, 1e-7))))
        begin = time.perf_counter()
        side(count)
        once = (time.perf_counter() - begin) / count
        counts[name] = max(1, min(100_000, int(settings.seconds / max(once, 1e-7))))
    timings: dict[str, list[float]] = {name: [] for name in sides}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(settings.rounds):
            for name, side in sides.items():
                gc.collect(0)
                time.sleep(0.02)
                side(max(1, counts[name] // 10))
                begin = time.perf_counter()
                side(counts[name])
                timings[name].append((time.perf_counter() - begin) / counts[name] / work)
    finally:
        if collecting:
            gc.enable()
    return {name: Timing(rounds) for name, rounds in timings.items()}


def spread(values: list[float]) -> tuple[float, float]:
    """The quartiles."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def ratio_row(
    group: str,
    name: str,
    threads: int,
    sennit: Timing,
    other: Timing,
    against: str,
    *,
    target: float | None = None,
    at_most: bool = False,
    note: str = "",
) -> Row:
    """How many times faster Sennit is; with `at_most`, its time as a part of the other's."""
    first, second = (sennit, other) if at_most else (other, sennit)
    low, high = spread([a / b for a, b in zip(first.rounds, second.rounds)])
    return Row(
        group, name, threads, duration(sennit.median), duration(other.median), against,
        first.median / second.median, low, high, target, at_most, "x", note,
        {"sennit": sennit.rounds, against: other.rounds},
    )  # fmt: skip


def peak_row(
    group: str,
    name: str,
    threads: int,
    flops: float,
    sennit: Timing,
    peaks: list[float],
    *,
    target: float | None = None,
    note: str = "",
) -> Row:
    """GFLOP/s as a part of the multiply-add peak that the same rounds measured."""
    rates = [1e-9 * flops / t for t in sennit.rounds]
    peak = statistics.median(peaks)
    low, high = spread([100 * r / peak for r in rates])
    rate = 1e-9 * flops / sennit.median
    return Row(
        group, name, threads, f"{rate:.0f} GFLOP/s", f"{peak:.0f} GFLOP/s", "multiply-add peak",
        100 * rate / peak, low, high, target, False, "%", note, {"sennit": sennit.rounds},
    )  # fmt: skip


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
