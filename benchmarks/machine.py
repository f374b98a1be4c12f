"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def cpu_name() -> str:
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return name


def multiply_add_peak() -> float:
    """GFLOP/s of a register loop of multiply-adds on the threads of Sennit's pool."""
    from sennit import _core

    return float(_core.fma_peak())


def describe(threads: tuple[int, ...], torch: bool) -> dict[str, Any]:
    import sennit as sn
    from sennit import _core

    info: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": sys.version.split()[0],
        "sennit": sn.__version__,
        "isa": _core.isa(),
        "numpy": np.__version__,
        "peak_gflops": {},
    }
    before = sn.num_threads()
    for count in threads:
        sn.set_num_threads(count)
        info["peak_gflops"][str(count)] = round(max(multiply_add_peak() for _ in range(3)), 1)
    sn.set_num_threads(before)
    if torch:
        import torch as library

        info["torch"] = library.__version__
    return info
