"""Sennit as a backend of the `onnx` package: what `onnx.backend.base` defines.

The module itself is the backend, as the package's test runner and other tools expect:
``sennit.onnx.backend.run_model(model, inputs)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._load import Model
from ._model import Source, UnsupportedOp, onnx_package

onnx_package()
from onnx.backend import base as _base  # noqa: E402 - the error above says how to install it

__all__ = [
    "Backend", "BackendRep", "is_compatible", "prepare", "run_model", "run_node", "supports_device",
]  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.numpy() if hasattr(value, "numpy") else value


class BackendRep(_base.BackendRep):
    """A model that has been prepared.

    Examples
    --------
    >>> import numpy as np, onnx.parser
    >>> text = '''<ir_version: 8, opset_import: ["": 17]>
    ... double (float[n] x) => (float[n] y) { y = Add(x, x) }'''
    >>> model = sn.onnx.backend.prepare(onnx.parser.parse_model(text))
    >>> model.run([np.ones(2, np.float32)])[0].tolist()
    [2.0, 2.0]
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Runs the model.

        Parameters
        ----------
        inputs : sequence of array, or dict of them by name

        Returns
        -------
        tuple of array
            The outputs in order.
        """
        if isinstance(inputs, dict):
            found = self.model(**inputs)
        else:
            found = self.model(*(inputs if isinstance(inputs, list | tuple) else [inputs]))
        return tuple(_plain(v) for v in found.values())


class Backend(_base.Backend):
    """Prepares and runs ONNX models with Sennit, on the CPU.

    Examples
    --------
    >>> import numpy as np, onnx.helper
    >>> node = onnx.helper.make_node("Neg", ["x"], ["y"])
    >>> sn.onnx.backend.Backend.run_node(node, [np.ones(2, np.float32)])[0].tolist()
    [-1.0, -1.0]
    """

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether Sennit has all operators of a model."""
        try:
            Model(Source(model))
        except UnsupportedOp:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> BackendRep:
        """A model that can be run several times."""
        return BackendRep(Model(Source(model)))

    @classmethod
    def run_model(
        cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[Any, ...]:
        """Runs a model once."""
        return cls.prepare(model, device).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: Any,
        inputs: Sequence[Any],
        device: str = "CPU",
        outputs_info: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Runs one node of the newest opset (or of ``opset_version=``)."""
        import numpy as np

        onnx = onnx_package()
        arrays = [np.asarray(x) for x in inputs]
        names = [n for n in node.input if n]
        given = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape
            )
            for name, x in zip(names, arrays, strict=True)
        ]
        wanted = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], "node", given, wanted)
        version = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        opset = onnx.helper.make_opsetid(node.domain, version)
        model = onnx.helper.make_model(graph, opset_imports=[opset])
        return cls.run_model(model, arrays, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models run on a device ("CPU")."""
        return device.split(":", maxsplit=1)[0] == "CPU"


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device
