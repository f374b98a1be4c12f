"""NumPy: forward functions only."""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Function, Program


class NumPy:
    name = "numpy"
    lib = np
    version = np.__version__

    def __init__(self, threads: int) -> None:
        pass  # OPENBLAS_NUM_THREADS, which the driver sets

    def kernel(self, task: Function) -> Program:
        def once() -> list[np.ndarray]:
            return task.results(task.call(self, *task.arrays.values()))

        def run(count: int) -> None:
            for _ in range(count):
                task.call(self, *task.arrays.values())

        return Program(once, run)
