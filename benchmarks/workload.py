"""What a workload is: one task, written for each library, with what its floor is computed from."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Program:
    """A workload built in one library.

    `once` does one unit of work and returns what it computed, for the comparison of the sides.
    `run` does so many units and returns when all of it is finished.
    """

    once: Callable[[], Sequence[np.ndarray | float]]
    run: Callable[[int], None]


@dataclass(frozen=True)
class Function:
    """A function of a library and arrays, which a library makes a program of.

    `grads` names the arrays whose gradients belong to the work; the array `g` is the gradient that
    comes in, and is no argument. With `channels_last`, arrays of four axes are (N, C, H, W) here
    and have their channels last in memory there.
    """

    call: Callable[..., Any]
    arrays: dict[str, np.ndarray]
    grads: tuple[str, ...] = ()
    channels_last: bool = False

    @property
    def arguments(self) -> list[str]:
        return [name for name in self.arrays if name != "g"]

    def stored(self) -> dict[str, np.ndarray]:
        """The arrays for a library whose images are (N, H, W, C)."""
        if not self.channels_last:
            return self.arrays
        return {
            name: np.ascontiguousarray(np.moveaxis(a, 1, -1)) if a.ndim == 4 else a
            for name, a in self.arrays.items()
        }

    def results(self, found: Any) -> list[np.ndarray]:
        """What such a library computed, as the others give it."""
        arrays = [np.asarray(f) for f in (found if isinstance(found, (tuple, list)) else [found])]
        return [np.moveaxis(a, -1, 1) if self.channels_last and a.ndim == 4 else a for a in arrays]


@dataclass(frozen=True)
class Workload:
    name: str
    group: str
    title: str
    # By library; the key `torch` serves Sennit, PyTorch and torch.compile: one text for all three.
    sides: dict[str, Callable[[Any], Program]]
    flops: float = 0.0  # multiply-adds count as two
    bytes: float = 0.0  # read and written at least, when nothing stays in a cache
    work: int = 1  # a unit of work is so many of what the figure is given for
    checks: int = 1  # units of work whose results are compared
    tolerance: float = 1e-4  # of the largest value
    # At least so many times as fast as a peer, at least this part of the floor.
    targets: dict[str, float] = field(default_factory=dict)
    featured: bool = False  # also in the README


MODULES = (
    "elementwise", "matmul", "reductions", "convolutions", "attention", "recurrent", "indexing",
    "small", "networks", "resnet", "language", "inference",
)  # fmt: skip


def collect(modules: Sequence[str] = MODULES) -> dict[str, Workload]:
    """All workloads by name. Their modules import no library but NumPy."""
    found: dict[str, Workload] = {}
    for name in modules:
        module = importlib.import_module(name if "." in name else f"benchmarks.workloads.{name}")
        for workload in module.WORKLOADS:
            assert workload.name not in found, workload.name
            found[workload.name] = workload
    return found


def kernel(
    name: str,
    group: str,
    title: str,
    arrays: Callable[[], dict[str, np.ndarray]],
    *,
    grads: Sequence[str] = (),
    channels_last: bool = False,
    torch: Callable[..., Any] | None = None,
    jax: Callable[..., Any] | None = None,
    tensorflow: Callable[..., Any] | None = None,
    numpy: Callable[..., Any] | None = None,
    mxnet: Callable[..., Any] | None = None,
    **rest: Any,
) -> Workload:
    """A workload that is one function `f(library, *arrays)`, and gradients of `grads`."""
    functions = {
        "torch": torch, "jax": jax, "tensorflow": tensorflow, "numpy": numpy, "mxnet": mxnet,
    }  # fmt: skip

    def maker(function: Callable[..., Any]) -> Callable[[Any], Program]:
        return lambda library: library.kernel(
            Function(function, arrays(), tuple(grads), channels_last)
        )

    sides = {key: maker(f) for key, f in functions.items() if f is not None}
    return Workload(name, group, title, sides, **rest)
