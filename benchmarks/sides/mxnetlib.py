"""MXNet (Gluon, hybridized). Version 1.9.1, the last one, needs NumPy older than 1.24."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.arrays import weight
from benchmarks.workload import Function, Program


class MXNet:
    name = "mxnet"

    def __init__(self, threads: int) -> None:
        import mxnet

        self.lib = mxnet
        self.nd = mxnet.nd

    @property
    def version(self) -> str:
        return str(self.lib.__version__)

    def array(self, array: np.ndarray) -> Any:
        return self.nd.array(array, dtype=array.dtype)

    def kernel(self, task: Function) -> Program:
        inputs = [self.array(a) for a in task.arrays.values()]

        def run(count: int) -> None:
            for _ in range(count):
                task.call(self, *inputs).wait_to_read()

        return Program(lambda: [task.call(self, *inputs).asnumpy()], run)

    def dense(self, widths: Sequence[int], activation: str, inputs: int) -> Any:
        nn = self.lib.gluon.nn
        model = nn.HybridSequential()
        for place, width in enumerate(widths):
            last = place == len(widths) - 1
            model.add(nn.Dense(width, activation=None if last else activation, in_units=inputs))
            inputs = width
        return model

    def training(
        self,
        model: Any,
        names: dict[str, str],
        shapes: dict[str, tuple[int, ...]],
        loss_of: Callable[..., Any],
        optimizer: str,
        options: dict[str, Any],
        batches: Sequence[tuple[np.ndarray, ...]],
    ) -> Program:
        """`names` gives for each of the model's layers the name of its weights elsewhere."""
        mx = self.lib
        model.initialize()
        model.hybridize(static_alloc=True, static_shape=True)
        for layer, name in names.items():
            for part in ("weight", "bias"):
                value = weight(f"{name}.{part}", shapes[f"{name}.{part}"])
                getattr(model[int(layer)], part).set_data(self.nd.array(value))
        trainer = mx.gluon.Trainer(model.collect_params(), optimizer, options)
        held = [tuple(self.nd.array(a) for a in batch) for batch in batches]
        done = 0

        def step() -> Any:
            nonlocal done
            x, y = held[done % len(held)]
            done += 1
            with mx.autograd.record():
                loss = loss_of(model(x), y)
            loss.backward()
            trainer.step(1)
            return loss

        def run(count: int) -> None:
            loss: Any = None
            for _ in range(count):
                loss = step()
            loss.wait_to_read()
            self.nd.waitall()

        return Program(lambda: [float(step().asscalar())], run)
