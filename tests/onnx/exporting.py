"""What the tests of the exporter share: a graph and its ONNX model get the same arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

import sennit as sn

TOLERANCE = 1e-5
onnxruntime.set_default_logger_severity(4)


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path: Path, graph: sn.Graph, args: Sequence[sn.Tensor]) -> list[np.ndarray]:
    """What onnxruntime gives for the tensors among the arguments of a call."""
    model = session(path)
    names = [v.name for v in graph.inputs]
    assert [i.name for i in model.get_inputs()] == names
    feed = {n: np.asarray(a.detach().numpy()) for n, a in zip(names, args, strict=True)}
    return model.run(None, feed)


def results(graph: sn.Graph, args: Sequence[sn.Tensor]) -> list[np.ndarray]:
    """What the graph gives, in the order of its outputs."""
    return [x.detach().numpy() for x in graph._program.call([*args, *graph._stand])]


def close(
    got: np.ndarray, want: np.ndarray, tolerance: float, note: str, scaled: bool = False
) -> None:
    """Equal to a tolerance, of each number or 1; `scaled`: or of the largest number, if less."""
    assert got.dtype == want.dtype, f"{note}: {got.dtype}, not {want.dtype}"
    assert got.shape == want.shape, f"{note}: shape {got.shape}, not {want.shape}"
    if want.dtype.kind == "f":
        got, want = got.astype(np.float64), want.astype(np.float64)
        largest = np.abs(want[np.isfinite(want)]).max(initial=0.0) if scaled else 1.0
        least = tolerance * min(1.0, largest)
        np.testing.assert_allclose(got, want, tolerance, least, err_msg=note)
    else:
        np.testing.assert_array_equal(got, want, err_msg=note)


def compare(
    graph: sn.Graph,
    args: Sequence[sn.Tensor],
    path: Path,
    opset: int = 18,
    tolerance: float = TOLERANCE,
) -> onnx.ModelProto:
    """Exports a graph, runs both, and gives the model."""
    graph.to_onnx(path, opset=opset)
    model = onnx.load(path)
    assert {o.domain for o in model.opset_import} == {""}
    assert {n.domain for n in model.graph.node} <= {""}
    got, want = run(path, graph, args), results(graph, args)
    for value, a, b in zip(model.graph.output, got, want, strict=True):
        close(a, b, tolerance, value.name, scaled=True)
    return model


def traced(function: Callable[..., Any], args: Sequence[sn.Tensor]) -> sn.Graph:
    """The graph for arguments like these."""
    return sn.trace(function, *(sn.TensorSpec(a.shape, a.dtype) for a in args))


def kinds(model: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in model.graph.node]
