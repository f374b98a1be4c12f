"""The two libraries behind one face, so that a case is written once.

Sennit's `nn`, `optim` and tensor methods have PyTorch's names; what is left to bridge is how
tensors are made, how memory formats are asked for and how work is waited for.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np


class Sennit:
    name = "sennit"

    def __init__(self) -> None:
        import sennit

        self.lib: ModuleType = sennit

    @property
    def nn(self) -> ModuleType:
        return importlib.import_module("sennit.nn")

    @property
    def optim(self) -> ModuleType:
        return importlib.import_module("sennit.optim")

    @property
    def F(self) -> ModuleType:
        return importlib.import_module("sennit.nn.functional")

    def tensor(self, array: np.ndarray) -> Any:
        return self.lib.asarray(array)

    def channels_last(self, array: np.ndarray) -> Any:
        """A tensor of logical shape (N, C, H, W) whose memory has the channels last."""
        stored = np.ascontiguousarray(np.moveaxis(array, 1, -1))
        return self.lib.asarray(stored).permute_dims((0, 3, 1, 2))

    def set_threads(self, count: int) -> None:
        self.lib.set_num_threads(count)

    def wait(self) -> None:
        self.lib.synchronize()


class Torch:
    name = "torch"

    def __init__(self) -> None:
        import torch

        self.lib: ModuleType = torch
        self.nn: ModuleType = torch.nn
        self.optim: ModuleType = torch.optim
        self.F: ModuleType = torch.nn.functional

    def tensor(self, array: np.ndarray) -> Any:
        return self.lib.tensor(array)

    def channels_last(self, array: np.ndarray) -> Any:
        return self.lib.tensor(array).to(memory_format=self.lib.channels_last)

    def set_threads(self, count: int) -> None:
        self.lib.set_num_threads(count)

    def wait(self) -> None:
        pass  # eager on a CPU is done when it returns


Peer = Sennit | Torch


def why_no_torch() -> str:
    """Empty when PyTorch can be used."""
    try:
        import torch  # noqa: F401
    except Exception as error:  # a broken installation is as good as none
        return f"PyTorch cannot be imported ({error})"
    return ""
