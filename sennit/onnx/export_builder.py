"""What the rules of the exporter write with: nodes, constants and sizes of an ONNX graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .. import _core
from .._core import InvalidValue
from .._errors import error
from .._graph_parts import GraphNode, GraphValue
from .export_sizes import OpenFloat, Poly

__all__ = ["RULES", "WITHOUT", "Builder", "Call", "rule", "without"]

# By the names of ops: what writes them, and why they cannot be written.
RULES: dict[str, Callable[[Call], Any]] = {}
WITHOUT: dict[str, str] = {}

# What a dtype is called in ONNX.
ONNX_DTYPES = {
    "bool": TensorProto.BOOL,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}
FLOATS = ("float16", "bfloat16", "float32", "float64")


def rule(*ops: str) -> Callable[[Callable[[Call], Any]], Callable[[Call], Any]]:
    """Makes a function the rule of some ops."""

    def register(function: Callable[[Call], Any]) -> Callable[[Call], Any]:
        for op in ops:
            assert op not in RULES, op
            RULES[op] = function
        return function

    return register


def without(reason: str, *ops: str) -> None:
    """Says why ops have no rule, and what a user can do."""
    for op in ops:
        WITHOUT[op] = reason


def numpy_dtype(name: str) -> Any:
    """NumPy's dtype of this name; bfloat16 is that of ml_dtypes, on which onnx depends."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def describe(node: GraphNode) -> str:
    """A node as an error shows it: its printed form and where it comes from."""
    return f"{node!r}" + (f" at {node.where}" if node.where else "")


class Builder:
    """Collects nodes and initialisers. Values of the graph are known by their ids."""

    def __init__(self, opset: int, names: set[str]) -> None:
        self.opset = opset
        self.taken = names
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, Any] = {}  # name: array
        self.names: dict[int, str] = {}  # value id: name
        self.lazy: dict[int, Callable[[], str]] = {}  # value id: writes it when somebody asks
        self.values: dict[int, GraphValue] = {}
        self.recurrent: dict[int, Any] = {}  # layers: their results
        self.reverse_states: dict[int, str] = {}  # of layers in both directions: the second h0
        self.open: dict[str, tuple[str, int]] = {}  # open size: value name and axis
        self.current: GraphNode | None = None
        self.module = ""
        self._constants: dict[tuple[Any, ...], str] = {}
        self._sizes: dict[tuple[Any, ...], str] = {}
        self._counts: dict[str, int] = {}

    # ------------------------------------------------------------ names

    def unique(self, wanted: str) -> str:
        """A name that nothing has yet."""
        name, k = wanted, 1
        while name in self.taken:
            name, k = f"{wanted}_{k}", k + 1
        self.taken.add(name)
        return name

    def name(self, value: GraphValue) -> str:
        """The ONNX name of a value of the graph."""
        v = value._id
        if v not in self.names and v in self.lazy:
            self.names[v] = self.lazy.pop(v)()
        return self.names[v]

    # ------------------------------------------------------------ nodes and constants

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Writes a node; the name of its result, or a tuple of names for several."""
        count = self._counts[kind] = self._counts.get(kind, -1) + 1
        name = self.unique(f"{self.module}/{kind}_{count}" if self.module else f"{kind}_{count}")
        outs = [
            self.unique(f"{name}:{k}" if outputs > 1 else f"{name}:out") for k in range(outputs)
        ]
        given = list(inputs)
        while given and given[-1] == "":
            given.pop()
        node = helper.make_node(kind, given, outs, name=name, **attributes)
        if self.current is not None:
            node.doc_string = describe(self.current)
            facts = {"sennit.op": self.current.op, "sennit.module": self.module}
            for key, text in facts.items():
                if text:
                    node.metadata_props.add(key=key, value=text)
        self.nodes.append(node)
        return tuple(outs) if outputs > 1 else outs[0]

    def constant(self, value: Any, dtype: str) -> str:
        """An initialiser with this number or array, one for equal ones."""
        array = np.asarray(value).astype(numpy_dtype(dtype))
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.unique(f"constant_{len(self._constants)}")
            self._constants[key] = name
            self.initializers[name] = array
        return self._constants[key]

    def initializer(self, wanted: str, array: Any) -> str:
        """An initialiser under a name of its own."""
        name = self.unique(wanted)
        self.initializers[name] = array
        return name

    def ints(self, values: Sequence[int]) -> str:
        """A vector of int64."""
        return self.constant(np.array(list(values), np.int64), "int64")

    def cast(self, x: str, dtype: str) -> str:
        """A conversion."""
        return str(self.op("Cast", x, to=ONNX_DTYPES[dtype]))

    # ------------------------------------------------------------ sizes

    def size(self, size: Any) -> str:
        """A vector of one int64: a size."""
        poly = Poly.of(size)
        number = poly.constant
        if number is not None:
            return self.ints([number])
        if poly.key not in self._sizes:
            total = ""
            for factors, coefficient in sorted(poly.terms.items(), key=repr):
                term = "" if factors and coefficient == 1 else self.ints([coefficient])
                for factor in factors:
                    one = self._factor(factor)
                    term = self.op("Mul", term, one) if term else one
                total = self.op("Add", total, term) if total else term
            self._sizes[poly.key] = total
        return self._sizes[poly.key]

    def _factor(self, factor: Any) -> str:
        if isinstance(factor, str):
            return self.size_of(*self.open[factor])
        if isinstance(factor[0], tuple):
            key = ("//", *factor)
            if key not in self._sizes:
                whole = self.size(Poly(dict(factor[0])))
                self._sizes[key] = self.op("Div", whole, self.ints([factor[1]]))
            return self._sizes[key]
        return self.size_of(self.name(self.values[factor[0]]), factor[1])

    def real(self, number: OpenFloat, dtype: str) -> str:
        """A number that is made of a size."""
        wide = "float64"
        x = self.cast(self.squeeze(self.size(number.size), 0), wide)
        scale = self.constant(number.scale, wide)
        if number.form == 4:
            x = self.op("Div", x, self.op("Sub", x, scale))
        else:
            x = self.op("Sqrt", x) if number.form >= 2 else x
            x = self.op("Div", scale, x) if number.form % 2 else self.op("Mul", scale, x)
        return x if dtype == wide else self.cast(x, dtype)

    def size_of(self, name: str, axis: int) -> str:
        """The size of a named tensor along an axis, as a vector of one int64."""
        key = (name, axis)
        if key not in self._sizes:
            self._sizes[key] = self.op("Shape", name, start=axis, end=axis + 1)
        return self._sizes[key]

    def sizes(self, sizes: Sequence[Any]) -> str:
        """A vector of int64: a shape."""
        polys = [Poly.of(s) for s in sizes]
        if all(p.constant is not None for p in polys):
            return self.ints([p.constant or 0 for p in polys])
        parts: list[Any] = []
        for p in polys:  # neighbours that are numbers stand in one constant
            if p.constant is None:
                parts.append(self.size(p))
            elif parts and isinstance(parts[-1], list):
                parts[-1].append(p.constant)
            else:
                parts.append([p.constant])
        names = [self.ints(p) if isinstance(p, list) else p for p in parts]
        return names[0] if len(names) == 1 else self.op("Concat", *names, axis=0)

    # ------------------------------------------------------------ common shapes

    def reshape(self, x: str, sizes: Sequence[Any]) -> str:
        """The elements of x under another shape, of which one size is left to ONNX where it is
        open."""
        polys = [Poly.of(s) for s in sizes]
        wanted: list[Any] = list(polys)
        open_ones = [i for i, p in enumerate(polys) if p.constant is None]
        # A -1 is ambiguous beside a 0, which a tensor without elements has.
        if len(open_ones) == 1 and all(p.constant != 0 for p in polys):
            wanted[open_ones[0]] = -1
        return str(self.op("Reshape", x, self.sizes(wanted), allowzero=self._zero(wanted)))

    @staticmethod
    def _zero(sizes: Sequence[Any]) -> int:
        return int(any(Poly.of(s).constant == 0 or Poly.of(s).constant is None for s in sizes))

    def squeeze(self, x: str, *axes: int) -> str:
        """Without axes of size 1."""
        return str(self.op("Squeeze", x, self.ints(axes)))

    def unsqueeze(self, x: str, *axes: int) -> str:
        """With new axes of size 1."""
        return str(self.op("Unsqueeze", x, self.ints(axes)))

    def reduce(self, kind: str, x: str, axes: Sequence[int], keepdims: bool = True) -> str:
        """A reduction over axes."""
        return str(self.op(kind, x, self.ints(axes), keepdims=int(keepdims))) if axes else x

    def slice(self, x: str, axis: int, start: Any, stop: Any, step: int = 1) -> str:
        """A part of one axis."""
        ends = self.size(start), self.size(stop)
        return str(self.op("Slice", x, *ends, self.ints([axis]), self.ints([step])))

    def scan(
        self,
        axis: int,
        reverse: bool,
        starts: Sequence[str],
        inputs: Sequence[tuple[str, tuple[Any, ...]]],
        dtype: str,
        state: Sequence[Any],
        body: Callable[[Callable[..., str], list[str], list[str]], tuple[str, str]],
    ) -> tuple[str, str]:
        """A Scan with one state: its last value, and the results of all steps along `axis`.

        `inputs` are names with the shapes of one step; `body` gets a function that writes nodes,
        the state and the elements of a step, and gives the next state and the result.
        """
        kind = ONNX_DTYPES[dtype]
        nodes: list[Any] = []

        def write(op: str, *given: str, **attributes: Any) -> str:
            out = self.unique(f"step/{op}")  # names in a body must not be those around it
            nodes.append(helper.make_node(op, list(given), [out], **attributes))
            return out

        open_shape = [p.constant for p in map(Poly.of, state)]
        before = helper.make_tensor_value_info(self.unique("step/state"), kind, open_shape)
        steps = [
            helper.make_tensor_value_info(
                self.unique("step/x"), kind, [p.constant for p in map(Poly.of, shape)]
            )
            for _, shape in inputs
        ]
        after, made = body(write, [before.name], [x.name for x in steps])
        if after == made:
            made = write("Identity", made)
        results = [helper.make_tensor_value_info(x, kind, open_shape) for x in (after, made)]
        graph = helper.make_graph(nodes, "step", [before, *steps], results)
        n = len(inputs)
        last, each = self.op(
            "Scan",
            *starts,
            *(name for name, _ in inputs),
            outputs=2,
            body=graph,
            num_scan_inputs=n,
            scan_input_axes=[axis] * n,
            scan_output_axes=[axis],
            scan_input_directions=[int(reverse)] * n,
            scan_output_directions=[int(reverse)],
        )
        return str(last), str(each)


class Call:
    """A node of the graph to a rule: its operands as ONNX names, its attributes, its results."""

    def __init__(self, builder: Builder, node: GraphNode, plan: Any) -> None:
        self.b = builder
        self.node = node
        self.plan = plan
        self.op = builder.op
        self.const = builder.constant
        self.opset = builder.opset

    # operands

    @property
    def count(self) -> int:
        return len(self.node.inputs)

    def value(self, i: int) -> GraphValue:
        """Operand i, which is a tensor."""
        found = self.node.inputs[i]
        assert isinstance(found, GraphValue), (self.node.op, i)
        return found

    def number(self, i: int) -> Any:
        """Operand i where it is always the same number, else None."""
        found = self.node.inputs[i]
        return found if isinstance(found, bool | int | float) else None

    def raw(self, i: int) -> Any:
        """Operand i: a value, a number, or what is made of open sizes."""
        return self.node.inputs[i]

    def is_tensor(self, i: int) -> bool:
        return isinstance(self.node.inputs[i], GraphValue)

    def x(self, i: int, dtype: str | None = None) -> str:
        """The name of operand i; a number becomes a constant of `dtype`, by default that of the
        first tensor among the operands."""
        found = self.node.inputs[i]
        if isinstance(found, GraphValue):
            return self.b.name(found)
        dtype = dtype or self.dtype(None)
        if hasattr(found, "terms"):
            return self.b.cast(self.b.squeeze(self.b.size(found), 0), dtype)
        if isinstance(found, OpenFloat):
            return self.b.real(found, dtype)
        return self.const(found, dtype)

    def dtype(self, i: int | None = 0) -> str:
        """The dtype of operand i; without a number, of the first tensor among them."""
        if i is None:
            for found in self.node.inputs:
                if isinstance(found, GraphValue):
                    return found.dtype.name
            return self.out_dtype()
        return self.value(i).dtype.name

    def shape(self, i: int = 0) -> tuple[Any, ...]:
        return tuple(self.value(i).shape)

    def rank(self, i: int = 0) -> int:
        return len(self.shape(i))

    # attributes and results

    def attr(self, name: str) -> Any:
        found = self.node.attributes[name]
        return found.name if isinstance(found, _core.dtype) else found

    def out_dtype(self, k: int = 0) -> str:
        return self.node.outputs[k].dtype.name

    def out_shape(self, k: int = 0) -> tuple[Any, ...]:
        return tuple(self.node.outputs[k].shape)

    def empty(self, k: int = 0) -> str:
        """Result k, when it has no elements."""
        dtype = self.out_dtype(k)
        empty = np.zeros([1], numpy_dtype(dtype))
        shape = self.b.sizes(self.out_shape(k))
        return str(self.op("ConstantOfShape", shape, value=numpy_helper.from_array(empty)))

    def used(self, k: int) -> bool:
        """Whether anything reads result k."""
        return self.node.outputs[k]._id in self.plan.read

    def dims(self, i: int) -> list[str]:
        """Sizes of operand i, each as a vector of one int64."""
        return [self.b.size(s) for s in self.shape(i)]

    # arithmetic on names, of the dtype of the first operand unless said otherwise

    def num(self, value: float, dtype: str | None = None) -> str:
        return self.const(value, dtype or self.dtype(None))

    def cast(self, x: str, dtype: str) -> str:
        return self.b.cast(x, dtype)

    def cannot(self, reason: str) -> Exception:
        """An error that says what this call has that ONNX has not."""
        return error(InvalidValue, "to_onnx", f"{describe(self.node)}: {reason}")


def product(sizes: Sequence[Any]) -> Poly:
    """The number of elements of a shape."""
    return math.prod((Poly.of(s) for s in sizes), start=Poly.of(1))
