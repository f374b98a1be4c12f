"""Tiny workloads that do what a workload can do wrong."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from benchmarks.libraries import Missing
from benchmarks.workload import Program, Workload, kernel


def squares(name: str, numpy: Any, **rest: Any) -> Workload:
    return kernel(
        name, "toys", f"squares ({name})", lambda: {"x": np.arange(8, dtype=np.float32)},
        torch=lambda t, x: x * x, numpy=numpy, **rest,
    )  # fmt: skip


def crash(t: Any, x: Any) -> Any:
    os.write(2, b"out of luck\n")
    os._exit(7)


def crash_later() -> Any:
    calls = 0

    def function(t: Any, x: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 3:  # the check and the calibration are over
            os._exit(9)
        return x * x

    return function


def hang(t: Any, x: Any) -> Any:
    time.sleep(60)


def missing(t: Any, x: Any) -> Any:
    return t.lib.no_such_layer(x)


def refused(t: Any) -> Program:
    raise Missing("no such layer here")


def talkative(t: Any, x: Any) -> Any:
    print("this must not reach the protocol")
    os.write(1, b"nor this\n")
    return x * x


def big(t: Any, x: Any) -> Any:
    return [np.ones(1 << 23, np.float32), x * x][1]


def slow(t: Any, x: Any) -> Any:
    time.sleep(0.01)
    return x * x


WORKLOADS = [
    squares("good", lambda t, x: x * x, flops=8.0, bytes=1e12, featured=True,
            targets={"numpy": 1e9, "floor": 1e-9}),
    squares("wrong", lambda t, x: x * x + 1),
    squares("infinite", lambda t, x: x / np.float32(0)),
    squares("shape", lambda t, x: (x * x)[:4]),
    squares("crash", crash),
    squares("crash-later", crash_later()),
    squares("hang", hang),
    squares("missing", missing),
    squares("talkative", talkative),
    squares("big", big),
    squares("slow", slow),
    Workload("refused", "toys", "refused", {"torch": refused, "numpy": refused}),
]  # fmt: skip
