"""TensorFlow: everything in a `tf.function`, once as it is and once compiled by XLA."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.optimizers import Rule
from benchmarks.workload import Function, Program


class TensorFlow:
    name = "tensorflow"
    xla = False

    def __init__(self, threads: int) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        import tensorflow as tf

        self.lib = tf
        tf.config.threading.set_intra_op_parallelism_threads(threads)

    @property
    def version(self) -> str:
        return str(self.lib.__version__)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.lib.function(function, autograph=False, jit_compile=True if self.xla else None)

    def kernel(self, task: Function) -> Program:
        tf = self.lib
        inputs = {name: tf.constant(array) for name, array in task.stored().items()}
        names = task.arguments

        def forward(*operands: Any) -> Any:
            return task.call(self, *operands)

        def both(g: Any, *operands: Any) -> Any:
            wanted = [operands[names.index(n)] for n in task.grads]
            with tf.GradientTape() as tape:
                for w in wanted:
                    tape.watch(w)
                y = task.call(self, *operands)
            found = tape.gradient(y, wanted, output_gradients=g)
            return [y, *(tf.convert_to_tensor(f) for f in found)]

        call = self.compiled(both if task.grads else forward)
        given = ([inputs["g"]] if task.grads else []) + [inputs[n] for n in names]

        def once() -> list[np.ndarray]:
            return task.results(call(*given))

        def run(count: int) -> None:
            for _ in range(count):
                call(*given)

        return Program(once, run)

    def training(
        self,
        loss_of: Callable[..., Any],
        params: dict[str, np.ndarray],
        rule: Rule,
        batches: Sequence[tuple[np.ndarray, ...]],
    ) -> Program:
        """As in `Jax.training`."""
        tf = self.lib
        slots, update = rule
        held = [tuple(tf.constant(a) for a in batch) for batch in batches]
        values = {k: tf.Variable(v, trainable="running_" not in k) for k, v in params.items()}
        some = [k for k in values if "running_" not in k]
        state = {k: [tf.Variable(tf.zeros_like(values[k])) for _ in range(slots)] for k in some}
        steps = tf.Variable(0.0)

        def step(*batch: Any) -> Any:
            t = steps.assign_add(1.0)
            with tf.GradientTape() as tape:
                result = loss_of(values, *batch)
                loss, kept = result if isinstance(result, tuple) else (result, {})
            gradients = tape.gradient(loss, [values[k] for k in some])
            for k, g in zip(some, gradients):
                new, moved = update(values[k], tf.convert_to_tensor(g), state[k], t, tf.sqrt)
                values[k].assign(new)
                for slot, value in zip(state[k], moved):
                    slot.assign(value)
            for k, value in kept.items():
                values[k].assign(value)
            return loss

        call = self.compiled(step)
        done = 0

        def advance() -> Any:
            nonlocal done
            batch = held[done % len(held)]
            done += 1
            return call(*batch)

        def run(count: int) -> None:
            loss: Any = None
            for _ in range(count):
                loss = advance()
            float(loss)

        return Program(lambda: [float(advance())], run)


class TensorFlowXla(TensorFlow):
    name = "tensorflow-xla"
    xla = True
