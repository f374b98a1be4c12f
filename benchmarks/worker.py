"""One workload in one library, in a process that lives through all rounds.

    python -m benchmarks.worker LIBRARY WORKLOAD THREADS [MODULES [DEVICE]]

It reads one JSON request a line and answers each with one line; what the library prints goes to
standard error. Needs NumPy and the library, nothing else.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import agreement
from benchmarks.libraries import LIBRARIES, Missing, load
from benchmarks.workload import MODULES, Program, Workload, collect

PAUSE = 0.02  # the other sides' spinning threads go to sleep
WARM_UP = 0.1  # of a round's work, untimed, unless a unit takes longer than this in seconds


def memory(field: str) -> int:
    """Bytes of a field of this process's memory: VmRSS, or VmHWM since the last reset."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{field}:\s+(\d+) kB", text, re.M)
    return int(found.group(1)) * 1024 if found else 0


def reset_peak() -> None:
    """The high-water mark starts here; arrays that building needed are given back first."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        pass


class Worker:
    def __init__(self, library: str, workload: Workload, threads: int, device: str) -> None:
        begin = time.perf_counter()
        self.library = load(library, threads, device)
        self.device = device
        self.import_seconds = time.perf_counter() - begin
        self.after_import = memory("VmRSS")
        self.workload = workload
        self.program: Program
        self.name = library

    def build(self) -> dict[str, Any]:
        side = self.workload.sides[LIBRARIES[self.name].key]
        begin = time.perf_counter()
        self.program = side(self.library)
        seconds = time.perf_counter() - begin
        reset_peak()
        return {
            "version": self.library.version,
            "import_seconds": self.import_seconds,
            "build_seconds": seconds,
        }

    def check(self) -> dict[str, Any]:
        begin = time.perf_counter()
        results = list(self.program.once())
        first = time.perf_counter() - begin
        for _ in range(self.workload.checks - 1):
            results += self.program.once()
        return {"first_seconds": first, "sample": agreement.sample(results)}

    def calibrate(self, seconds: float) -> dict[str, Any]:
        """How many units fill a round."""
        once = self._time(1)
        # The first guess may hold a slow run: once more with what it gives.
        once = self._time(max(1, min(10_000, int(seconds / 4 / max(once, 1e-7)))))
        return {"count": max(1, min(1_000_000, int(seconds / max(once, 1e-7)))), "once": once}

    def round(self, count: int, once: float) -> dict[str, Any]:
        gc.collect(0)
        gc.disable()
        time.sleep(PAUSE)
        if once < WARM_UP:
            self.program.run(max(1, int(count * WARM_UP)))
        seconds = self._time(count)
        gc.enable()
        return {"seconds": seconds / self.workload.work}

    def finish(self) -> dict[str, Any]:
        """Peak memory above what the import needed, and what the library says of itself."""
        answer: dict[str, Any] = {"peak_bytes": max(0, memory("VmHWM") - self.after_import)}
        if self.device != "cpu" and hasattr(self.library, "device_peak"):
            answer["device_peak_bytes"] = self.library.device_peak()
        if hasattr(self.library, "statistics"):
            answer["statistics"] = self.library.statistics()
            answer["explain"] = self.library.explain(self.program.run)
            answer["kernels"] = self.library.kernels(self.program.run)
        return answer

    def _time(self, count: int) -> float:
        begin = time.perf_counter()
        self.program.run(count)
        return (time.perf_counter() - begin) / count


class ProbeWorker:
    """`machine` in place of a library: the floor."""

    def __init__(self, threads: int, device: str) -> None:
        from benchmarks.machine import DeviceProbe, Probe

        self.probe: Any = Probe(threads) if device == "cpu" else DeviceProbe(device)

    def build(self) -> dict[str, Any]:
        return {"version": self.probe.isa}

    def round(self) -> dict[str, Any]:
        time.sleep(PAUSE)
        found = {"peak": self.probe.peak(), "bandwidth": self.probe.bandwidth()}
        return found | ({"cache": self.probe.cache} if hasattr(self.probe, "cache") else {})


def failure(error: BaseException) -> dict[str, str]:
    """`missing` when the library lacks what the workload needs, otherwise `failed`."""
    text = (str(error).strip().splitlines() or [""])[0]
    lacks = isinstance(error, AttributeError) and re.match(
        r"module '[\w.]+' has no attribute", text
    )
    if isinstance(error, Missing) or lacks:
        return {"missing": text}
    return {"failed": f"{type(error).__name__}: {text}"}


def serve(worker: Any, requests: Any, answer: Callable[[dict[str, Any]], None]) -> None:
    for line in requests:
        request = json.loads(line)
        name = request.pop("do")
        if name == "quit":
            return
        try:
            answer(getattr(worker, name)(**request))
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer(failure(error))


def main(arguments: list[str]) -> int:
    library, name, threads = arguments[:3]
    modules = arguments[3].split(",") if len(arguments) > 3 else MODULES
    device = arguments[4] if len(arguments) > 4 else "cpu"
    # The protocol keeps the real standard output for itself.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    allowed = sorted(os.sched_getaffinity(0))[: int(threads)]
    os.sched_setaffinity(0, allowed)  # for the libraries that can only be told this way

    def answer(record: dict[str, Any]) -> None:
        channel.write(json.dumps(record) + "\n")
        channel.flush()

    try:
        worker: Any = (
            ProbeWorker(int(threads), device)
            if library == "machine"
            else Worker(library, collect(modules)[name], int(threads), device)
        )
    except Exception as error:
        import traceback

        traceback.print_exc()
        answer(failure(error))
        return 1
    answer({"ready": True})
    serve(worker, sys.stdin, answer)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # some libraries' threads do not end
