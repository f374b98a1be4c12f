"""JAX: everything under `jit`, training with donated buffers."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.libraries import Missing
from benchmarks.optimizers import Rule
from benchmarks.workload import Function, Program


class Jax:
    name = "jax"

    def __init__(self, threads: int) -> None:
        os.environ.setdefault("JAX_PLATFORMS", os.environ.get("BENCHMARKS_DEVICE", "cpu"))
        import jax
        import jax.numpy as jnp

        self.lib = jax
        self.np = jnp
        self.nn = jax.nn
        self.lax = jax.lax
        jax.config.update("jax_default_matmul_precision", "highest")

    @property
    def version(self) -> str:
        return str(self.lib.__version__)

    def use(self, device: str) -> None:
        """Everything is on the default device already."""
        found = self.lib.default_backend()
        if found not in (device, "gpu"):
            raise Missing(f"its default device is {found}, not {device}")

    def kernel(self, task: Function) -> Program:
        inputs = {name: self.np.asarray(array) for name, array in task.stored().items()}
        names = task.arguments
        wanted = tuple(names.index(n) for n in task.grads)

        def forward(*operands: Any) -> Any:
            return task.call(self, *operands)

        def both(g: Any, *operands: Any) -> Any:
            def of(*some: Any) -> Any:
                full = list(operands)
                for place, value in zip(wanted, some):
                    full[place] = value
                return task.call(self, *full)

            y, pull = self.lib.vjp(of, *(operands[i] for i in wanted))
            return [y, *pull(g)]

        call = self.lib.jit(both if task.grads else forward)
        given = ([inputs["g"]] if task.grads else []) + [inputs[n] for n in names]

        def once() -> list[np.ndarray]:
            return task.results(call(*given))

        def run(count: int) -> None:
            for _ in range(count):
                self.lib.block_until_ready(call(*given))

        return Program(once, run)

    def training(
        self,
        loss_of: Callable[..., Any],
        params: dict[str, np.ndarray],
        rule: Rule,
        batches: Sequence[tuple[np.ndarray, ...]],
    ) -> Program:
        """`loss_of(params, *batch)` gives a loss, or a loss and new values of parameters.

        Values that come back (running statistics) are kept and get no gradient.
        """
        jax = self.lib
        slots, update = rule
        held = [tuple(self.np.asarray(a) for a in batch) for batch in batches]
        fixed = {k for k in params if "running_" in k}
        values = {k: self.np.asarray(v) for k, v in params.items()}
        state = {k: [self.np.zeros_like(v)] * slots for k, v in values.items() if k not in fixed}
        state = jax.tree.map(lambda a: a.copy(), state)  # donated: each its own buffer

        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def step(values: Any, state: Any, t: Any, *batch: Any) -> Any:
            rest = {k: v for k, v in values.items() if k in fixed}

            def of(some: Any) -> Any:
                result = loss_of(some | rest, *batch)
                return result if isinstance(result, tuple) else (result, rest)

            some = {k: v for k, v in values.items() if k not in fixed}
            (loss, kept), gradients = jax.value_and_grad(of, has_aux=True)(some)
            new, slots = dict(kept), {}
            for k, p in some.items():
                new[k], slots[k] = update(p, gradients[k], state[k], t, self.np.sqrt)
            return new, slots, loss

        done = 0

        def advance() -> Any:
            nonlocal values, state, done
            batch = held[done % len(held)]
            done += 1
            values, state, loss = step(values, state, np.float32(done), *batch)
            return loss

        def run(count: int) -> None:
            loss: Any = None
            for _ in range(count):
                loss = advance()
            float(loss)
            jax.block_until_ready(values)

        return Program(lambda: [float(advance())], run)
