"""What the figures were measured on: facts, multiply-add peak and memory bandwidth."""

from __future__ import annotations

import os
import platform
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STREAM = 1 << 26  # bytes of each array of the bandwidth loop and of each thread


def cpu_name() -> str:
    name = platform.processor() or platform.machine()
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        return name
    return found.group(1).strip() if found else name


def last_level_cache() -> int:
    """Bytes of the largest cache of the first processor; 32 MiB where the system does not say."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        scale = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KM")) * scale)
    return max(sizes, default=32 << 20)


def facts() -> dict[str, Any]:
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "cache": last_level_cache(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": sys.version.split()[0],
    }


class Probe:
    """The machine's floor, measured in the rounds of every workload by a process of its own."""

    def __init__(self, threads: int) -> None:
        import sennit
        from sennit import _core

        sennit.set_num_threads(threads)
        self.isa = _core.isa()
        self._peak = _core.fma_peak
        self._pairs = [
            (np.ones(STREAM // 4, np.float32), np.zeros(STREAM // 4, np.float32))
            for _ in range(threads)
        ]
        self.bandwidth()  # touches the pages

    def peak(self) -> float:
        """Operations per second of a register loop of f32 multiply-adds on all threads."""
        return 1e9 * float(self._peak())

    def bandwidth(self) -> float:
        """Bytes per second of large copies (read and written) or of large reads by all threads at
        the same time, whichever are faster."""
        copied = self._together([lambda p=p: np.copyto(p[1], p[0]) for p in self._pairs])
        read = self._together([p[0].max for p in self._pairs])
        return STREAM * len(self._pairs) * max(2 / copied, 1 / read)

    @staticmethod
    def _together(tasks: list[Callable[[], Any]]) -> float:
        threads = [threading.Thread(target=task) for task in tasks]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begin


class DeviceProbe:
    """The floor of a GPU: its memory bandwidth, by copies of a large array within it. PyTorch makes
    them where it can use the device, so that the floor is not of our own making."""

    BYTES = 1 << 30
    ROUNDS = 10
    cache = 64 << 20  # data below this may stay in a GPU's last-level cache

    def __init__(self, device: str) -> None:
        count = int(os.environ.get("BENCHMARKS_COPY_BYTES", self.BYTES)) // 4
        self.bytes = 4 * count
        import sennit

        self.isa = sennit.cuda.get_device_name(device)
        self.copy, self.wait = self._torch(count, device) or self._sennit(count, device)
        self.bandwidth()

    @staticmethod
    def _torch(count: int, device: str) -> tuple[Callable[[], Any], Callable[[], Any]] | None:
        try:
            import torch

            source, target = torch.ones(count, device=device), torch.empty(count, device=device)
        except Exception:
            return None
        return (lambda: target.copy_(source)), torch.cuda.synchronize

    @staticmethod
    def _sennit(count: int, device: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
        import sennit

        source = sennit.ones((count,), device=device)

        def copy() -> None:
            held = -source  # until it is computed: nothing may be left out
            sennit.synchronize()
            del held

        return copy, sennit.synchronize

    def peak(self) -> float:
        """Not known: what the arithmetic of a GPU allows depends on the number format."""
        return 0.0

    def bandwidth(self) -> float:
        """Bytes read and written per second."""
        self.wait()
        begin = time.perf_counter()
        for _ in range(self.ROUNDS):
            self.copy()
        self.wait()
        return 2 * self.bytes * self.ROUNDS / (time.perf_counter() - begin)
