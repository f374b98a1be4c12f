"""Drives the workers of a workload round by round: A B C A B C ..., the others sleep meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import agreement, statistics
from benchmarks.libraries import LIBRARIES
from benchmarks.workload import MODULES, Workload

ROOT = Path(__file__).resolve().parent.parent
COUNTS = ("SENNIT", "OMP", "OPENBLAS", "MKL", "TF_INTRAOP", "NUMEXPR")


class WorkerFailed(Exception):
    """A worker that says what failed, died, or did not answer in time."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


@dataclass
class Settings:
    rounds: int = 7
    seconds: float = 0.15  # of a side's work in one round
    threads: int = 2
    patience: float = 300  # seconds until a silent worker is given up
    pythons: Mapping[str, str] = field(default_factory=dict)  # by library; this one otherwise
    modules: Sequence[str] = MODULES
    device: str = "cpu"


def environment(threads: int, device: str = "cpu") -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    return inherited | {f"{name}_NUM_THREADS": str(threads) for name in COUNTS} | {
        "PYTHONPATH": path, "TF_NUM_INTRAOP_THREADS": str(threads), "PYTHONWARNINGS": "ignore",
        "BENCHMARKS_DEVICE": device,
    }  # fmt: skip


class Worker:
    """The driver's end of a worker process."""

    def __init__(self, library: str, workload: str, settings: Settings) -> None:
        self.library = library
        self.patience = settings.patience
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        self.buffer = b""
        python = settings.pythons.get(library, sys.executable)
        threads = (LIBRARIES[library].threads if library in LIBRARIES else 0) or settings.threads
        command = [python, "-m", "benchmarks.worker", library, workload, str(threads)]
        self.process = subprocess.Popen(
            [*command, ",".join(settings.modules), settings.device],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.errors, cwd=ROOT, env=environment(threads, settings.device),
        )  # fmt: skip
        self.ready = False

    def ask(self, what: str, **rest: Any) -> dict[str, Any]:
        if not self.ready:
            self._receive()
            self.ready = True
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # reading says why
            self.process.stdin.write(json.dumps({"do": what, **rest}).encode() + b"\n")
            self.process.stdin.flush()
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        assert self.process.stdout
        channel = self.process.stdout.fileno()
        end = time.monotonic() + self.patience
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([channel], [], [], left)[0]:
                raise WorkerFailed("failed", f"no answer in {self.patience:g} s")
            piece = os.read(channel, 1 << 16)
            if not piece:
                code = self.process.wait()
                how = f"signal {-code}" if code < 0 else f"status {code}"
                raise WorkerFailed("failed", f"the process ended with {how}; {self._last_words()}")
            self.buffer += piece
        line, _, self.buffer = self.buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        for kind in ("missing", "failed"):
            if kind in answer:
                raise WorkerFailed(kind, answer[kind])
        return answer

    def _last_words(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def measure(
    workload: Workload, libraries: Sequence[str], settings: Settings, probe: Worker | None = None
) -> dict[str, Any]:
    """The row of a workload: every side's rounds, memory and first call, ratios, the floor.

    A side that lacks the layer, fails or dies is reported in its place; the others go on.
    """
    names = [n for n in libraries if LIBRARIES[n].key in workload.sides]
    sides: dict[str, dict[str, Any]] = {name: {} for name in names}
    workers: dict[str, Worker] = {}
    samples: dict[str, list[dict[str, Any]]] = {}
    floors: list[dict[str, float]] = []

    def attempt(name: str, what: str, **rest: Any) -> dict[str, Any]:
        try:
            return workers[name].ask(what, **rest)
        except WorkerFailed as failed:
            sides[name] = {failed.kind: failed.reason}
            workers.pop(name).close()
            return {}

    try:
        for name in names:
            workers[name] = Worker(name, workload.name, settings)
            for what, rest in (("build", {}), ("check", {}),
                               ("calibrate", {"seconds": settings.seconds})):  # fmt: skip
                answer = attempt(name, what, **rest)
                if name not in workers:
                    break
                samples.update({name: answer.pop("sample")} if "sample" in answer else {})
                sides[name] |= answer
            samples = {n: s for n, s in samples.items() if n in workers}
        plans = {n: {k: sides[n].pop(k) for k in ("count", "once")} for n in workers}
        rounds: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(settings.rounds):
            if probe:
                floors.append(probe.ask("round"))
            for name in list(workers):
                answer = attempt(name, "round", **plans[name])
                if name in workers:
                    rounds[name].append(answer["seconds"])
        for name in list(workers):
            answer = attempt(name, "finish")
            if name in workers:
                sides[name] |= answer | summary(rounds[name])
    finally:
        for worker in workers.values():
            worker.close()
    return row(workload, sides, agreement.differences(samples, workload.tolerance), floors)


def summary(rounds: list[float]) -> dict[str, Any]:
    low, high = statistics.quartiles(rounds)
    return {"seconds": rounds, "median": statistics.median(rounds), "low": low, "high": high}


def row(
    workload: Workload,
    sides: dict[str, dict[str, Any]],
    disagree: dict[str, str],
    floors: list[dict[str, float]],
    cache: float | None = None,
) -> dict[str, Any]:
    """What is written of a workload, from what its workers answered."""
    result: dict[str, Any] = {
        "name": workload.name, "group": workload.group, "title": workload.title,
        "featured": workload.featured, "targets": workload.targets, "sides": sides,
        "disagree": disagree, "ratios": {}, "floor": None, "work": workload.work,
    }  # fmt: skip
    ours = sides.get("sennit", {}).get("seconds")
    if ours:
        for name, side in sides.items():
            if name != "sennit" and "seconds" in side:
                result["ratios"][name] = statistics.ratio(ours, side["seconds"])
    if floors:
        result["floor"] = floor(workload, floors, cache or floors[0].get("cache"))
        if result["floor"]:
            for side in sides.values():
                if "median" in side:
                    side["of_floor"] = result["floor"]["seconds"] / side["median"]
    return result


def floor(
    workload: Workload, floors: list[dict[str, float]], cache: float | None = None
) -> dict[str, Any] | None:
    """The least time that the machine allows: its multiply-adds at their peak or, when the data
    do not fit the last-level cache, its bytes at the bandwidth of memory, whichever is longer."""
    from benchmarks.machine import last_level_cache

    peak = statistics.median([f["peak"] for f in floors])
    bandwidth = statistics.median([f["bandwidth"] for f in floors])
    cache = last_level_cache() if cache is None else cache
    arithmetic = workload.flops / peak / workload.work if peak else 0.0  # 0: not known
    memory = workload.bytes / bandwidth / workload.work if workload.bytes > cache else 0.0
    if max(arithmetic, memory) == 0:
        return None
    kind = "arithmetic" if arithmetic >= memory else "memory"
    return {
        "kind": kind, "seconds": max(arithmetic, memory), "peak": peak, "bandwidth": bandwidth,
        "flops": workload.flops, "bytes": workload.bytes,
    }  # fmt: skip
