"""NumPy: forward functions only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Program


class NumPy:
    name = "numpy"
    lib = np
    version = np.__version__

    def __init__(self, threads: int) -> None:
        pass  # OPENBLAS_NUM_THREADS, which the driver sets

    def kernel(
        self,
        function: Callable[..., Any],
        arrays: dict[str, np.ndarray],
        grads: tuple[str, ...],
        channels_last: bool = False,
    ) -> Program:
        def once() -> list[np.ndarray]:
            result = function(self, *arrays.values())
            return list(result) if isinstance(result, (tuple, list)) else [result]

        def run(count: int) -> None:
            for _ in range(count):
                function(self, *arrays.values())

        return Program(once, run)
