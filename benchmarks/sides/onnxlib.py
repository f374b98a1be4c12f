"""ONNX Runtime and OpenVINO, on graphs that the `onnx` package builds with the same weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.arrays import weight
from benchmarks.workload import Program

OPSET = 20


class OnnxBuilder:
    """The layers of `benchmarks/workloads/inference.py` as nodes; a value is its name."""

    def __init__(self, data: np.ndarray, width: int, heads: int, vocabulary: int) -> None:
        import onnx

        self.onnx = onnx
        self.data = data
        self.width, self.heads_, self.vocabulary = width, heads, vocabulary
        self.image = "input"
        self.nodes: list[Any] = []
        self.held: dict[str, Any] = {}

    def constant(self, name: str, array: np.ndarray) -> str:
        if name not in self.held:
            self.held[name] = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def weight(self, name: str, *shape: int) -> str:
        return self.constant(name, weight(f"parts.{name}", shape))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def conv(
        self, name: str, x: str, inputs: int, outputs: int, size: int, stride: int,
        groups: int = 1, relu: bool = False, relu6: bool = False,
    ) -> str:  # fmt: skip
        w = self.weight(f"{name}_conv.weight", outputs, inputs // groups, size, size)
        x = self.node("Conv", x, w, kernel_shape=[size] * 2, strides=[stride] * 2,
                      pads=[size // 2] * 4, group=groups)  # fmt: skip
        parts = ("weight", "bias", "running_mean", "running_var")
        values = [self.weight(f"{name}_norm.{part}", outputs) for part in parts]
        x = self.node("BatchNormalization", x, *values, epsilon=1e-5)
        if relu6:
            ends = [self.constant(f"clip{v}", np.float32(v)) for v in (0, 6)]
            return self.node("Clip", x, *ends)
        return self.node("Relu", x) if relu else x

    def linear(self, name: str, x: str, inputs: int, outputs: int) -> str:
        w = weight(f"parts.{name}.weight", (outputs, inputs)).T
        x = self.node("MatMul", x, self.constant(f"{name}.weight", w))
        return self.node("Add", x, self.weight(f"{name}.bias", outputs))

    def norm(self, name: str, x: str) -> str:
        scale, bias = (self.weight(f"{name}.{part}", self.width) for part in ("weight", "bias"))
        return self.node("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-5)

    def embedded(self, name: str, place: str) -> str:
        table = self.weight(f"{name}.weight", self.vocabulary, self.width)
        x = self.node("Gather", table, self.image, axis=0)
        return self.node("Add", x, self.weight(f"{place}.weight", self.data.shape[1], self.width))

    def reshaped(self, x: str, *shape: int) -> str:
        name = "shape" + "_".join(map(str, shape))
        return self.node("Reshape", x, self.constant(name, np.array(shape, np.int64)))

    def heads(self, x: str) -> str:
        rows, length = self.data.shape
        x = self.reshaped(x, rows, length, self.heads_, self.width // self.heads_)
        return self.node("Transpose", x, perm=[0, 2, 1, 3])

    def merged(self, x: str) -> str:
        x = self.node("Transpose", x, perm=[0, 2, 1, 3])
        return self.reshaped(x, *self.data.shape, self.width)

    def attention(self, q: str, k: str, v: str) -> str:
        scale = np.float32(1 / math.sqrt(self.width // self.heads_))
        scores = self.node("MatMul", q, self.node("Transpose", k, perm=[0, 1, 3, 2]))
        scores = self.node("Mul", scores, self.constant("scale", scale))
        return self.node("MatMul", self.node("Softmax", scores, axis=-1), v)

    def add(self, x: str, y: str) -> str:
        return self.node("Add", x, y)

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def gelu(self, x: str) -> str:
        return self.node("Gelu", x)

    def max_pool(self, x: str) -> str:
        return self.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)

    def average(self, x: str) -> str:
        return self.node("Flatten", self.node("GlobalAveragePool", x))

    def mean(self, x: str) -> str:
        axes = self.constant("axes1", np.array([1], np.int64))
        return self.node("ReduceMean", x, axes, keepdims=0)

    def model(self, output: str) -> bytes:
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        kind = kinds.FLOAT if self.data.dtype == np.float32 else kinds.INT64
        graph = helper.make_graph(
            self.nodes, "network",
            [helper.make_tensor_value_info("input", kind, self.data.shape)],
            [helper.make_tensor_value_info(output, kinds.FLOAT, None)],
            list(self.held.values()),
        )  # fmt: skip
        versions = [helper.make_opsetid("", OPSET)]
        made = helper.make_model(graph, opset_imports=versions, ir_version=9)
        return bytes(made.SerializeToString())


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, threads: int) -> None:
        import onnxruntime

        self.lib = onnxruntime
        self.threads = threads

    @property
    def version(self) -> str:
        return str(self.lib.__version__)

    def inference(self, model: bytes, data: np.ndarray) -> Program:
        options = self.lib.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = self.lib.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        def run(count: int) -> None:
            for _ in range(count):
                session.run(None, {"input": data})

        return Program(lambda: session.run(None, {"input": data}), run)


class OpenVino:
    name = "openvino"

    def __init__(self, threads: int) -> None:
        import openvino

        self.lib = openvino
        self.threads = threads

    @property
    def version(self) -> str:
        return str(self.lib.__version__).split("-", maxsplit=1)[0]

    def inference(self, model: bytes, data: np.ndarray) -> Program:
        core = self.lib.Core()
        settings = {
            "INFERENCE_NUM_THREADS": self.threads, "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }  # fmt: skip
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
        request = compiled.create_infer_request()
        request.set_input_tensor(self.lib.Tensor(data, shared_memory=True))
        held = [model, data]  # OpenVINO reads both where they lie

        def once() -> list[np.ndarray]:
            assert held
            request.infer()
            return [np.array(request.get_output_tensor(0).data)]

        def run(count: int) -> None:
            for _ in range(count):
                request.infer()

        return Program(once, run)
