"""Runs the steps of a model with Sennit's public functions.

Called with tensors, it computes; called by `sn.trace`, it is traced. The two differ in one point:
while a function is traced there are no elements, so what needs them for a shape or a branch is an
error that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sennit as sn

from .. import _core
from .._core import InvalidValue, SennitError, Tensor
from .._errors import error
from .._sizes import tracing_sizes
from ._compile import Block, Compiler, Step
from ._host import HOST
from ._model import UnsupportedOp, bad
from ._values import ABSENT, Known, has_dtype, to_tensor

_HOST_ELEMENTS = 65536  # more than that is computed as tensors
_SMALL_WEIGHT = 4  # elements of a float initialiser that may take part in host arithmetic
_FOREIGN = (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError)


class Scope(dict[str, Any]):
    """Values by name; what is not here is in the enclosing graph."""

    __slots__ = ("outer",)

    def __init__(self, outer: Scope | None = None) -> None:
        super().__init__()
        self.outer = outer

    def __missing__(self, name: str) -> Any:
        if self.outer is None:
            raise bad(f"the value {name!r} is read before it is made")
        return self.outer[name]


class Call:
    """What a function of the table sees of the node that it computes.

    Attributes
    ----------
    xp : namespace
        Where the functions are: `sennit`, or NumPy under the same names.
    version : int
        The version of the operator (the opset in which it was last changed).
    outputs : list of str
        Names of the outputs; "" for one that nobody reads.
    """

    __slots__ = ("run", "scope", "step", "xp")

    def __init__(self, run: Run, step: Step, scope: Scope, xp: Any) -> None:
        self.run = run
        self.step = step
        self.scope = scope
        self.xp = xp

    @property
    def version(self) -> int:
        return self.step.version

    @property
    def outputs(self) -> list[str]:
        return self.step.outputs

    def wants(self, k: int) -> bool:
        """Whether somebody reads output `k`."""
        return len(self.step.outputs) > k and bool(self.step.outputs[k])

    def invalid(self, text: str) -> Exception:
        """The error about inputs that do not fit."""
        return error(InvalidValue, "onnx", f"{self.step.label}: {text}")

    def unsupported(self, text: str) -> Exception:
        """The error about what Sennit does not have."""
        return error(
            UnsupportedOp,
            "onnx",
            f"{self.step.label} cannot be run: {text}; replace it in the model (docs/onnx.md)",
        )

    def tensor(self, value: Any) -> Tensor:
        """A value as a tensor."""
        if isinstance(value, Tensor):
            return value
        if isinstance(value, Known):
            return value.tensor
        if isinstance(value, list) or value is ABSENT or value is None:
            raise self.invalid("a sequence or an empty optional stands where a tensor is needed")
        return to_tensor(value)

    def host(self, value: Any, what: str = "an input") -> Any:
        """The elements of a value, as a NumPy array."""
        if isinstance(value, Known):
            return value.array
        if not isinstance(value, Tensor):
            raise self.invalid("a sequence or an empty optional stands where a tensor is needed")
        try:
            return value.detach().to("cpu").numpy()
        except InvalidValue as cause:
            raise error(
                InvalidValue,
                "onnx",
                f"{self.step.label} needs the elements of {what}, which depend on the model's "
                "inputs, and a traced graph has none; run the model with sn.onnx.to_function, or "
                "fix the input that decides with load(..., fixed={name: value})",
            ) from cause

    def block(self, block: Block, values: Sequence[Any]) -> list[Any]:
        """Runs a graph that the node holds."""
        return self.run.block(block, values, Scope(self.scope))

    def standard(self, *values: Any) -> tuple[Any, ...]:
        """Computes the node by the function with which the standard defines its operator."""
        step = self.step
        if step.schema is None:
            defs = self.run.compiler.onnx.defs
            step.schema = defs.get_schema(step.op, step.opset, step.domain)
        given = list(values)[: len(step.inputs)]
        body = self.run.expanded(step, given)
        return tuple(self.run.block(body, self.run.padded(given, body), Scope()))


def shape_tensor(x: Tensor, start: int, stop: int) -> Tensor:
    """The sizes of a tensor as a tensor."""
    import numpy as np

    sizes = x.shape[start:stop]
    if tracing_sizes() and sizes:
        return sn.stack([sn.full((), size, dtype=sn.int64) for size in sizes])
    return to_tensor(np.asarray(sizes, np.int64))


class Run:
    """One call of a model."""

    def __init__(self, compiler: Compiler, weights: dict[str, Tensor]) -> None:
        self.compiler = compiler
        self.weights = weights

    def constant(self, unique: str) -> Known:
        """An initialiser, or the value of a `Constant` node."""
        array = self.compiler.arrays[unique]
        if not has_dtype(array):
            return Known(array)

        def make() -> Tensor:
            found = self.weights.get(unique)
            return found if found is not None else to_tensor(array)

        weight = unique in self.weights
        return Known(array, make, number=not weight or array.ndim == 0)

    def block(self, block: Block, values: Sequence[Any], scope: Scope) -> list[Any]:
        """Runs a block on the values of its inputs; those of its outputs."""
        for name, unique in block.constants.items():
            scope[name] = self.constant(unique)
        for name, value in zip(block.inputs, values, strict=False):
            if value is not None or name not in scope:
                scope[name] = value
        for step in block.steps:
            given = [scope[n] if n else None for n in step.inputs]
            try:
                results = self.step(step, given, scope)
            except SennitError as cause:
                if cause.op == "onnx":
                    raise
                raise self._named(step, cause) from cause
            except _FOREIGN as cause:
                raise error(InvalidValue, "onnx", f"{step.label}: {cause}") from cause
            for name, value in zip(step.outputs, results, strict=False):
                if name:
                    scope[name] = value
            for name in step.dead:
                scope.pop(name, None)
        return [scope[name] if name not in block.missing else None for name in block.outputs]

    @staticmethod
    def _named(step: Step, cause: SennitError) -> Exception:
        """The same error, with the node before the text."""
        text = str(cause).split("\n")[0].removesuffix(f"({cause.code})").rstrip()
        return error(type(cause), "onnx", f"{step.label}: {text}")

    def step(self, step: Step, given: list[Any], scope: Scope) -> Sequence[Any]:
        """Computes one node."""
        if step.body is not None:
            return self.block(step.body, self.padded(given, step.body), Scope())
        if step.record is None:
            body = self.expanded(step, given)
            return self.block(body, self.padded(given, body), Scope())
        record = step.record
        call = Call(self, step, scope, sn)
        if record.raw:
            return _several(record.function(call, *given, **step.attributes))
        known = record.host
        size = 0
        for k, value in enumerate(given):
            if value is None or k in record.numbers:
                continue
            if not isinstance(value, Known):
                known = False
                break
            size += value.array.size
        if known and self._on_host(given, size, record.numbers):
            return self._host_step(step, call, given)
        return self._tensor_step(step, call, given)

    @staticmethod
    def _on_host(given: list[Any], size: int, numbers: frozenset[int]) -> bool:
        values = [v for k, v in enumerate(given) if v is not None and k not in numbers]
        if any(not has_dtype(v.array) for v in values):
            return True
        weight = any(
            not v.number and v.array.dtype.kind == "f" and v.array.size > _SMALL_WEIGHT
            for v in values
        )
        return size <= _HOST_ELEMENTS and not weight

    def _host_step(self, step: Step, call: Call, given: list[Any]) -> Sequence[Any]:
        import numpy as np

        assert step.record is not None
        call.xp = HOST
        arrays = [
            None if v is None else call.host(v, f"{step.inputs[k]!r}") for k, v in enumerate(given)
        ]
        with np.errstate(all="ignore"):
            results = _several(step.record.function(call, *arrays, **step.attributes))
        sized = any(isinstance(v, Known) and v.sized for v in given)
        made: list[Any] = []

        def again(k: int) -> Tensor:
            if not made:
                made.extend(self._tensor_step(step, Call(self, step, call.scope, sn), given))
            tensor = made[k]
            return tensor.tensor if isinstance(tensor, Known) else tensor

        out: list[Any] = []
        for k, result in enumerate(results):
            if result is None or isinstance(result, Tensor | Known):
                out.append(result)
                continue
            make = (lambda k=k: again(k)) if sized else None
            out.append(Known(np.asarray(result), make, number=not sized, sized=sized))
        return out

    def _tensor_step(self, step: Step, call: Call, given: list[Any]) -> Sequence[Any]:
        record = step.record
        assert record is not None
        args: list[Any] = []
        rank = 0
        for k, value in enumerate(given):
            if k in record.numbers and value is not None:
                args.append(call.host(value, f"{step.inputs[k]!r}"))
                continue
            if isinstance(value, Tensor):
                rank = max(rank, value.ndim)
            args.append(value)
        for k, value in enumerate(args):
            if value is None or isinstance(value, Tensor) or k in record.numbers:
                continue
            if (
                record.scalars
                and rank
                and isinstance(value, Known)
                and value.number
                and value.array.size == 1
                and value.array.ndim <= rank
                and has_dtype(value.array)
            ):
                args[k] = value.array.item()
            else:
                args[k] = call.tensor(value)
        return _several(record.function(call, *args, **step.attributes))

    # ------------------------------------------------------------ operators that are functions

    @staticmethod
    def padded(given: list[Any], body: Block) -> list[Any]:
        return given + [None] * (len(body.inputs) - len(given))

    def expanded(self, step: Step, given: list[Any]) -> Block:
        """The body of an operator that the standard defines by a function."""
        onnx = self.compiler.onnx
        schema = step.schema
        types = b""
        listed = []
        if schema.has_context_dependent_function:
            listed = [self._type(v).SerializeToString() for v in given]
            types = b"|".join(listed)
        found = step.cache.get(types)
        if found is not None:
            body: Block = found
            return body
        node = step.node
        text = b""
        tensors = all(v is None or isinstance(v, Tensor | Known) for v in given)
        tensors = tensors and node is not None
        if schema.has_context_dependent_function and tensors:
            text = schema.get_context_dependent_function_with_opset_version(
                step.opset, node.SerializeToString(), listed
            )
        if not text and schema.has_function:
            text = schema.get_function_with_opset_version(step.opset)
        if not text:
            raise error(
                UnsupportedOp,
                "onnx",
                f"{step.label} cannot be run: Sennit has no such operation, and ONNX no function "
                f"for it in version {step.opset}; export the model with another opset",
            )
        function = onnx.FunctionProto()
        function.ParseFromString(text)
        attributes = {a.name: a for a in node.attribute} if node is not None else {}
        for name, attribute in schema.attributes.items():
            if name not in attributes and attribute.default_value.name:
                attributes[name] = attribute.default_value
        body = self.compiler.function(function, attributes, {"": step.opset})
        step.cache[types] = body
        return body

    def _type(self, value: Any) -> Any:
        onnx = self.compiler.onnx
        proto = onnx.TypeProto()
        if isinstance(value, Tensor | Known):
            name = value.dtype.name if isinstance(value, Tensor) else value.array.dtype.name
            kinds = {
                onnx.helper.tensor_dtype_to_np_dtype(t).name: t
                for t in onnx.TensorProto.DataType.values()
                if t
            }
            kinds["object"] = onnx.TensorProto.STRING
            proto.tensor_type.elem_type = kinds[name]
            for size in value.shape:
                proto.tensor_type.shape.dim.add().dim_value = size
        return proto


def _several(result: Any) -> Sequence[Any]:
    return result if isinstance(result, tuple) else (result,)


def is_tracing() -> bool:
    """Whether a function is being traced."""
    return _core.tracing()
