"""Sennit and PyTorch, which share the text of every workload: Sennit has PyTorch's names."""

from __future__ import annotations

import contextlib
import importlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.arrays import weight
from benchmarks.libraries import Missing
from benchmarks.workload import Function, Program


def plain_step(loss_of: Callable[..., Any], optimizer: Any) -> Callable[..., Any]:
    def step(*batch: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(*batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


class TorchLike:
    lib: ModuleType
    nn: ModuleType
    F: ModuleType
    optim: ModuleType
    name: str
    device = "cpu"

    def use(self, device: str) -> None:
        """Makes tensors and models on this device from now on."""
        self.device = device

    def placed(self, thing: Any) -> Any:
        return thing if self.device == "cpu" else thing.to(self.device)

    @property
    def version(self) -> str:
        return str(self.lib.__version__)

    def tensor(self, array: np.ndarray) -> Any:
        raise NotImplementedError

    def channels_last(self, array: np.ndarray) -> Any:
        """A tensor of logical shape (N, C, H, W) whose memory has the channels last."""
        raise NotImplementedError

    def numpy(self, tensor: Any) -> np.ndarray:
        short = tensor.dtype in (self.lib.bfloat16, self.lib.float16)
        return np.asarray((tensor.float() if short else tensor).detach().to("cpu").numpy())

    def wait(self) -> None:
        """Returns when all work is done."""

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def optimizer(self, name: str, model: Any, **options: Any) -> Any:
        return getattr(self.optim, name)(model.parameters(), **options)

    def filled(self, model: Any) -> Any:
        """The model with weights that follow from their names."""
        state = {
            name: self.tensor(weight(name, tuple(value.shape)))
            for name, value in model.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
        model.load_state_dict(state, strict=False)
        return self.placed(model)

    def images(self, model: Any, arrays: Sequence[np.ndarray]) -> tuple[Any, list[Any]]:
        """A convolutional model and its inputs in the library's fastest memory format."""
        return model, [self.tensor(a) for a in arrays]

    def kernel(self, task: Function) -> Program:
        def make(array: np.ndarray) -> Any:
            image = task.channels_last and array.ndim == 4
            return self.channels_last(array) if image else self.tensor(array)

        inputs = {name: make(array) for name, array in task.arrays.items()}
        wanted = [inputs[name].requires_grad_() for name in task.grads]
        operands = [inputs[name] for name in task.arguments]
        call = self.compiled(lambda *a: task.call(self, *a))

        def forward() -> Any:
            with self.lib.no_grad():
                return call(*operands)

        def both() -> Any:
            for w in wanted:
                w.grad = None
            y = call(*operands)
            y.backward(inputs["g"])
            return y

        step = both if task.grads else forward

        def once() -> list[np.ndarray]:
            result = step()
            results = list(result) if isinstance(result, (tuple, list)) else [result]
            return [self.numpy(r) for r in [*results, *(w.grad for w in wanted)]]

        def run(count: int) -> None:
            result: Any = None
            for _ in range(count):
                result = step()
                self.wait()
            del result

        return Program(once, run)

    def training(
        self, loss_of: Callable[..., Any], optimizer: Any, batches: Sequence[tuple[Any, ...]]
    ) -> Program:
        """Steps over the batches in turn, timed as a user writes them: many, then one wait."""
        step = self.step(loss_of, optimizer)
        done = 0

        def next_step() -> Any:
            nonlocal done
            done += 1
            return step(*batches[(done - 1) % len(batches)])

        def run(count: int) -> None:
            loss: Any = None
            for _ in range(count):
                loss = next_step()
            self.wait()
            float(loss)

        return Program(lambda: [float(next_step())], run)

    def step(self, loss_of: Callable[..., Any], optimizer: Any) -> Callable[..., Any]:
        """A training step on a batch."""
        return plain_step(self.compiled(loss_of), optimizer)

    def inference(self, model: Any, inputs: Sequence[Any]) -> Program:
        model.eval()
        call = self.compiled(model)

        def forward() -> Any:
            with self.lib.no_grad():
                return call(*inputs)

        def run(count: int) -> None:
            result: Any = None
            for _ in range(count):
                result = forward()  # held until it is computed: nothing may be left out
                self.wait()
            del result

        return Program(lambda: [self.numpy(forward())], run)


class Sennit(TorchLike):
    name = "sennit"

    def __init__(self, threads: int) -> None:
        import sennit

        self.lib = sennit
        self.nn = importlib.import_module("sennit.nn")
        self.F = importlib.import_module("sennit.nn.functional")
        self.optim = importlib.import_module("sennit.optim")
        sennit.set_num_threads(threads)
        sennit.memory.reset_peak()

    def tensor(self, array: np.ndarray) -> Any:
        return self.placed(self.lib.asarray(array))

    def channels_last(self, array: np.ndarray) -> Any:
        stored = np.ascontiguousarray(np.moveaxis(array, 1, -1))
        return self.tensor(stored).permute_dims((0, 3, 1, 2))

    def wait(self) -> None:
        self.lib.synchronize()

    def statistics(self) -> dict[str, Any]:
        found = dict(self.lib.memory.stats(self.device))
        if self.device != "cpu":
            found["fallbacks"] = dict(self.lib.cuda.fallbacks())
        return found

    def device_peak(self) -> int:
        return int(self.lib.cuda.max_memory_allocated())

    def explain(self, run: Callable[[int], None]) -> dict[str, int]:
        """Operations recorded and kernels run in one unit of work."""
        self.wait()
        with self.lib.explain() as did:
            run(1)
            self.wait()
        return {"ops": did.recorded, "kernels": did.kernels}

    def kernels(self, run: Callable[[int], None]) -> dict[str, Any]:
        """Where the time of a few units of work goes: the longest kernels, with the part that each
        has of the time of all, and the part of the time in which all threads were at work."""
        self.wait()
        begin = time.perf_counter()
        run(1)
        count = max(1, min(20, int(0.1 / max(time.perf_counter() - begin, 1e-6))))
        begin = time.perf_counter()
        with self.lib.profile() as seen:
            run(count)
            self.wait()
        seconds = time.perf_counter() - begin
        times: dict[str, float] = {}
        for event in seen.events:
            if event.category == "kernel":
                times[event.name] = times.get(event.name, 0.0) + event.duration
        total = sum(times.values())
        longest = sorted(times.items(), key=lambda item: -item[1])[:6]
        return {
            "longest": [(name, spent / total) for name, spent in longest],
            "busy": sum(seen.busy().values()) / (seconds * self.lib.num_threads()),
        }


class SennitCompile(Sennit):
    """Whole training steps and models through sn.compile."""

    name = "sennit-compile"

    def kernel(self, task: Function) -> Program:
        raise Missing("single operations are not compiled")

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = self.lib.compile(function)
        return compiled

    def step(self, loss_of: Callable[..., Any], optimizer: Any) -> Callable[..., Any]:
        return self.compiled(plain_step(loss_of, optimizer))


class Torch(TorchLike):
    name = "torch"

    def __init__(self, threads: int) -> None:
        import torch

        self.lib = torch
        self.nn = torch.nn
        self.F = torch.nn.functional
        self.optim = torch.optim
        torch.set_num_threads(threads)

    def tensor(self, array: np.ndarray) -> Any:
        return self.placed(self.lib.tensor(array))

    def channels_last(self, array: np.ndarray) -> Any:
        return self.tensor(array).to(memory_format=self.lib.channels_last)

    def wait(self) -> None:
        if self.device != "cpu":
            self.lib.cuda.synchronize()

    def device_peak(self) -> int:
        return int(self.lib.cuda.max_memory_allocated())

    def optimizer(self, name: str, model: Any, **options: Any) -> Any:
        return super().optimizer(name, model, fused=True, **options)

    def images(self, model: Any, arrays: Sequence[np.ndarray]) -> tuple[Any, list[Any]]:
        last = self.lib.channels_last
        return model.to(memory_format=last), [self.channels_last(a) for a in arrays]


class TorchCompile(Torch):
    name = "torch-compile"

    def __init__(self, threads: int) -> None:
        # A cache of its own: the first call is what a user sees the first time.
        self.cache = tempfile.TemporaryDirectory(prefix="benchmarks-inductor-")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = self.cache.name
        super().__init__(threads)
        with contextlib.suppress(Exception):
            self.lib.set_float32_matmul_precision("highest")

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.lib.compile(function)
