"""Runs an example in PyTorch: the same lines, with the names of `sennit` bound to PyTorch's.

    python tools/with_pytorch.py examples/char_gpt.py --steps 2000

The examples draw their batches with NumPy or Sennit's `DataLoader`, whose order is the same here,
and so are the same recipe; the first weights and the dropout masks are each library's own. Data
sets come from Sennit, as NumPy arrays. What PyTorch itself lacks (a graph convolution, the helpers
around a training loop) is written here with its operators.
"""

from __future__ import annotations

import hashlib
import runpy
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import sennit

ROOT = Path(__file__).resolve().parent.parent


class Items:
    """What the examples use of a TensorDataset."""

    def __init__(self, *tensors: torch.Tensor) -> None:
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])


class Loader:
    """Sennit's loader over the row numbers, which picks the rows with PyTorch."""

    def __init__(self, data: Items, *arguments: Any, **options: Any) -> None:
        self.tensors = data.tensors
        rows = sennit.data.TensorDataset(sennit.arange(len(data)))
        self.rows = sennit.data.DataLoader(rows, *arguments, **options)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        for (chosen,) in self.rows:
            index = torch.tensor(chosen.numpy())
            yield tuple(t[index] for t in self.tensors)


class GCNConv(torch.nn.Module):
    """Kipf & Welling's layer: neighbours and the node itself, weighted by 1 / sqrt(degrees)."""

    def __init__(self, inputs: int, outputs: int, cached: bool = False) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(outputs))
        self.lin = torch.nn.Linear(inputs, outputs, bias=False)
        torch.nn.init.xavier_uniform_(self.lin.weight)
        self.cached, self.found = cached, None

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        found = self.found
        if found is None:
            itself = torch.arange(len(x))
            start, end = torch.cat([edges, torch.stack([itself, itself])], dim=1)
            root = torch.bincount(end, minlength=len(x)).to(x.dtype).rsqrt()
            found = start, end, (root[start] * root[end])[:, None]
            if self.cached:
                self.found = found
        start, end, weight = found
        y = self.lin(x)
        return torch.zeros_like(y).index_add(0, end, y[start] * weight) + self.bias


class Average(sennit.train.Average):
    def add(self, value: Any, weight: float = 1) -> None:
        super().add(value.detach() if isinstance(value, torch.Tensor) else value, weight)


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (logits.argmax(-1) == labels).float().mean()


def converted(found: Any) -> Any:
    if isinstance(found, sennit.Tensor):
        return torch.from_numpy(found.numpy().copy())
    if hasattr(found, "tensors"):
        return Items(*map(converted, found.tensors))
    if hasattr(found, "_fields"):
        return type(found)(*map(converted, found))
    return tuple(map(converted, found)) if isinstance(found, tuple) else found


def parameter_hash(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, p in module.named_parameters():
        digest.update(f"{name} {p.dtype} {tuple(p.shape)}\n".encode())
        digest.update(p.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Names(types.ModuleType):
    """A module whose names are found by a function."""

    def __init__(self, name: str, find: Callable[[str], Any]) -> None:
        super().__init__(name)
        self._find = find

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._find(name)


def stand_in() -> dict[str, types.ModuleType]:
    """Modules by the names under which the examples import them."""
    load = sennit.data
    graph = types.SimpleNamespace(GCNConv=GCNConv)
    nn = Names("sennit.nn", lambda name: graph if name == "graph" else getattr(torch.nn, name))
    sets = {"DataLoader": Loader, "TensorDataset": Items}
    data = Names(
        "sennit.data",
        lambda name: sets.get(name) or (lambda *a: converted(getattr(load, name)(*a))),
    )
    random = Names("sennit.random", {"seed": torch.manual_seed}.__getitem__)
    helpers = {
        "parameter_hash": parameter_hash, "Average": Average, "accuracy": accuracy,
        "Progress": sennit.train.Progress,
    }  # fmt: skip
    train = Names("sennit.train", helpers.__getitem__)
    averages = torch.optim.swa_utils  # the one module of torch.optim that Sennit has not apart
    optim = Names(
        "sennit.optim", lambda name: getattr(torch.optim, name, None) or getattr(averages, name)
    )
    own: dict[str, Any] = {
        "nn": nn, "random": random, "data": data, "train": train, "optim": optim,
    }  # fmt: skip
    # What the top of the package has and PyTorch calls otherwise or lacks.
    renamed = {"num_threads": torch.get_num_threads, "summary": lambda *_: ""}
    top = Names("sennit", lambda name: (own | renamed).get(name) or getattr(torch, name))
    return {"sennit": top, **{f"sennit.{name}": module for name, module in own.items()}}


def main() -> None:
    script, sys.argv = sys.argv[1], sys.argv[1:]
    torch.set_num_threads(sennit.num_threads())
    sennit.data.names, sennit.nn  # noqa: B018 - loaded before their names are taken over
    sys.path.insert(0, str(ROOT / "examples"))
    sys.modules.update(stand_in())
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
