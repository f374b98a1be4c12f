"""Runs an example in PyTorch: the same lines, with the names of `sennit` bound to PyTorch's.

    python tools/with_pytorch.py examples/char_gpt.py --steps 2000

The examples use only what both have, draw their batches with NumPy, and so are the same recipe; the
first weights are each library's own. Data sets come from Sennit, as NumPy arrays.
"""

from __future__ import annotations

import hashlib
import runpy
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import sennit

ROOT = Path(__file__).resolve().parent.parent


class Items:
    """What the examples use of a TensorDataset."""

    def __init__(self, data: Any) -> None:
        self.tensors = tuple(torch.from_numpy(t.numpy().copy()) for t in data.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


def converted(found: Any) -> Any:
    if isinstance(found, sennit.Tensor):
        return torch.from_numpy(found.numpy().copy())
    if hasattr(found, "tensors"):
        return Items(found)
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
    data = Names("sennit.data", lambda name: lambda *a: converted(getattr(load, name)(*a)))
    random = Names("sennit.random", {"seed": torch.manual_seed}.__getitem__)
    train = Names("sennit.train", {"parameter_hash": parameter_hash}.__getitem__)
    own = {"nn": torch.nn, "random": random, "data": data, "train": train}
    top = Names("sennit", lambda name: own[name] if name in own else getattr(torch, name))
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
