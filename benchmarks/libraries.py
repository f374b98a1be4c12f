"""The libraries behind one face: how tensors are made, how work is waited for, how a function of
arrays and a training step become programs at the library's best setting.

Each library's class lives in `benchmarks/sides/`; importing one imports that library and NumPy,
nothing else: a worker may run where Sennit is not installed.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    title: str
    package: str  # what is imported
    module: str  # in benchmarks/sides/
    cls: str
    key: str  # which of a workload's sides it runs
    threads: int | None = None  # not those of the run


LIBRARIES = {
    "sennit": Entry("Sennit", "sennit", "torchlike", "Sennit", "torch"),
    # Not a peer: what the second thread brings.
    "sennit-1": Entry("Sennit, one thread", "sennit", "torchlike", "Sennit", "torch", threads=1),
    # Not a peer either: what sn.compile brings to plain code.
    "sennit-compile": Entry("sn.compile", "sennit", "torchlike", "SennitCompile", "torch"),
    "torch": Entry("PyTorch", "torch", "torchlike", "Torch", "torch"),
    "torch-compile": Entry("torch.compile", "torch", "torchlike", "TorchCompile", "torch"),
    "jax": Entry("JAX", "jax", "jaxlib", "Jax", "jax"),
    "tensorflow": Entry("TensorFlow", "tensorflow", "tensorflowlib", "TensorFlow", "tensorflow"),
    "tensorflow-xla": Entry(
        "TensorFlow XLA", "tensorflow", "tensorflowlib", "TensorFlowXla", "tensorflow"
    ),
    "mxnet": Entry("MXNet", "mxnet", "mxnetlib", "MXNet", "mxnet"),
    "onnxruntime": Entry("ONNX Runtime", "onnxruntime", "onnxlib", "OnnxRuntime", "onnx"),
    "openvino": Entry("OpenVINO", "openvino", "onnxlib", "OpenVino", "onnx"),
    "numpy": Entry("NumPy", "numpy", "numpylib", "NumPy", "numpy"),
}

# What one name on the command line stands for.
PEERS = {
    "torch": ("torch",), "torch-compile": ("torch-compile",), "jax": ("jax",),
    "tensorflow": ("tensorflow", "tensorflow-xla"), "mxnet": ("mxnet",),
    "onnxruntime": ("onnxruntime",), "openvino": ("openvino",), "numpy": ("numpy",),
    "one-thread": ("sennit-1",), "compile": ("sennit-compile",),
}  # fmt: skip


class Missing(Exception):
    """The library has no such layer or function."""


def load(name: str, threads: int) -> Any:
    entry = LIBRARIES[name]
    module = importlib.import_module(f"benchmarks.sides.{entry.module}")
    return getattr(module, entry.cls)(threads)
