"""ONNX models as functions and as graphs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import _core
from .._core import DTypeError, InvalidType, InvalidValue, ShapeError, Tensor
from .._errors import error
from .._graph import Graph
from .._sizes import Dim
from .._tracing import TensorSpec, trace
from ..nn.module import Module
from ..nn.parameter import Parameter
from ._compile import Block, Compiler, Step
from ._fold import fold_batch_norm as fold_batch_norm_
from ._interpret import Run, Scope
from ._model import Source, bad, onnx_package
from ._values import ABSENT, Known, has_dtype, to_tensor

__all__ = ["Model", "load", "to_function"]

_DAMAGE = (
    TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, RuntimeError,
)  # fmt: skip


class _Weights:
    """The module that holds a model's tensors under their ONNX names.

    A name of a file may be any text, also that of an attribute of modules. So the tensors have a
    table of their own, which stands where a module keeps its attributes.
    """

    __slots__ = ("table", "trained", "training")
    # What methods of `Module` ask of a module.
    _optional_state: frozenset[str] = frozenset()
    _older_names: Mapping[str, str] = {}

    def __init__(self) -> None:
        self.table: dict[str, Tensor] = {}
        self.trained: set[str] = set()
        self.training = False

    @property
    def __dict__(self) -> dict[str, Tensor]:  # type: ignore[override]
        return self.table

    def _own(self, *roles: str) -> list[tuple[str, Any]]:
        return [
            (name, x)
            for name, x in self.table.items()
            if ("parameter" if name in self.trained else "buffer") in roles
        ]


class Model(Module):
    """An ONNX model as a function: made by `to_function`.

    Called with tensors (or arrays) for the model's inputs, in order or by name, it gives a dict of
    the outputs by name. It is a `sn.nn.Module`: initialisers of real numbers are its parameters,
    under their ONNX names, and do not require gradients until asked to.

    Attributes
    ----------
    name : str
        The name of the model's graph.
    input_names, output_names : list of str

    Examples
    --------
    >>> import onnx.parser
    >>> text = '''<ir_version: 8, opset_import: ["": 17]>
    ... double (float[n] x) => (float[n] y) { y = Add(x, x) }'''
    >>> model = sn.onnx.to_function(onnx.parser.parse_model(text))
    >>> model(sn.ones(2))["y"].tolist()
    [2.0, 2.0]
    """

    def __init__(
        self, source: Any, fixed: Mapping[str, Any] | None = None, fold: bool = False
    ) -> None:
        self._weights = _Weights()
        try:
            found = source if isinstance(source, Source) else Source(source)
            self._compiler = Compiler(found)
            self._block = self._compiler.graph(found.model.graph, found.opsets, frozenset())
            self.name = str(found.model.graph.name) or "onnx"
        except _core.SennitError:
            raise
        except _DAMAGE as cause:  # what protobuf lets through: text that is none, absurd numbers
            raise bad(f"the model is damaged ({type(cause).__name__}: {cause})") from cause
        found.model = None  # its weights are arrays by now, and its functions are written out
        self._compiler.functions.clear()
        if fold:
            fold_batch_norm_(self._block, self._compiler)
        self._fixed = self._check_fixed(dict(fixed or {}))
        self.input_names = [
            n for n in self._block.inputs
            if n not in self._block.constants and n not in self._fixed
        ]  # fmt: skip
        self.output_names = list(self._block.outputs)
        self._collect()

    # ------------------------------------------------------------ weights

    def _collect(self) -> None:
        """Makes tensors of the arrays that some node takes as a tensor."""
        weights: _Weights = self._weights
        for unique in _used(self._block):
            array = self._compiler.arrays[unique]
            one = array.size <= 1 and not (
                unique in self._compiler.initialisers and array.dtype.kind == "f"
            )
            if one or array.ndim == 0 or not has_dtype(array):
                continue  # a number, which is part of the operations
            tensor = to_tensor(array)
            if tensor.dtype.is_floating_point:
                weights.trained.add(unique)
                tensor = Parameter(tensor, requires_grad=False)
            weights.table[unique] = tensor

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """The one module that holds the tensors."""
        yield prefix, self._weights

    def _own(self, *roles: str) -> list[tuple[str, Any]]:
        weights: _Weights = self._weights
        return weights._own(*roles)

    # ------------------------------------------------------------ calling

    def _check_fixed(self, fixed: dict[str, Any]) -> dict[str, Known]:
        import numpy as np

        for name in fixed:
            if name not in self._block.inputs:
                raise error(
                    InvalidValue,
                    "onnx",
                    f"fixed has {name!r}; the model's inputs are {self._block.inputs}",
                )
        return {
            name: Known(self._array(np.asarray(value), self._block.types[name]))
            for name, value in fixed.items()
        }

    @staticmethod
    def _array(array: Any, declared: Any) -> Any:
        """An array in the dtype that the model declares, where it says one."""
        kind = declared.tensor_type.elem_type if declared.HasField("tensor_type") else 0
        if not kind or array.dtype.kind in "OUS":
            return array
        wanted = onnx_package().helper.tensor_dtype_to_np_dtype(kind)
        return array if array.dtype == wanted else array.astype(wanted)

    def forward(self, *inputs: Any, **named: Any) -> dict[str, Any]:
        """Runs the model.

        Parameters
        ----------
        *inputs, **named : Tensor, array, list of them (a sequence), or None (an empty optional)
            The model's inputs, in the order of `input_names`, or by name.

        Returns
        -------
        dict of str to Tensor
            The outputs by name. A sequence is a list, text is a NumPy array, and an empty optional
            is None.

        Raises
        ------
        InvalidType, DTypeError, ShapeError
            When the inputs are not those that the model declares.
        """
        names = self.input_names
        if len(inputs) > len(names):
            raise error(
                InvalidType,
                "onnx",
                f"{len(inputs)} inputs are given; the model has {len(names)}: {names}",
            )
        given = dict(zip(names, inputs, strict=False))
        for name, value in named.items():
            if name in given or name not in self._block.inputs:
                raise error(
                    InvalidType,
                    "onnx",
                    f"the input {name!r} is given twice, or there is none; the inputs are {names}",
                )
            given[name] = value
        values: list[Any] = []
        for name in self._block.inputs:
            if name in given:
                values.append(self._input(name, given[name]))
            elif name in self._fixed:
                values.append(self._fixed[name])
            elif name in self._block.constants:
                values.append(None)
            else:
                raise error(
                    InvalidType, "onnx", f"the input {name!r} is missing; the inputs are {names}"
                )
        run = Run(self._compiler, self._weights.table)
        results = run.block(self._block, values, Scope())
        return {
            name: _output(value) for name, value in zip(self.output_names, results, strict=True)
        }

    def _input(self, name: str, value: Any) -> Any:
        import numpy as np

        declared = self._block.types[name]
        if isinstance(value, list | tuple) and not declared.HasField("tensor_type"):
            inner = declared
            while inner.HasField("optional_type"):
                inner = inner.optional_type.elem_type
            element = inner.sequence_type.elem_type if inner.HasField("sequence_type") else inner
            return [self._element(v, element) for v in value]
        if value is None:
            return ABSENT
        if not isinstance(value, Tensor):
            array = np.asarray(value)
            if array.dtype.kind in "US":
                array = array.astype(object)
            value = Known(array) if not has_dtype(array) else _core.asarray(array)
        self._check_input(name, value, declared)
        return value

    @staticmethod
    def _element(value: Any, declared: Any) -> Any:
        import numpy as np

        if isinstance(value, Tensor):
            return value
        array = np.asarray(value)
        return _core.asarray(array) if has_dtype(array) else Known(array)

    def _check_input(self, name: str, value: Any, declared: Any) -> None:
        inner = declared
        while inner.HasField("optional_type"):
            inner = inner.optional_type.elem_type
        if not inner.HasField("tensor_type"):
            return
        kind = inner.tensor_type
        if kind.elem_type and kind.elem_type != 8:
            wanted = onnx_package().helper.tensor_dtype_to_np_dtype(kind.elem_type).name
            has = value.array.dtype.name if isinstance(value, Known) else value.dtype.name
            if has != wanted:
                raise error(
                    DTypeError,
                    "onnx",
                    f"the input {name!r} is {has}; the model takes {wanted}; convert it with "
                    f".astype(sn.{wanted})",
                )
        if not kind.HasField("shape"):
            return
        shape = [_size(d) for d in kind.shape.dim]
        given = tuple(value.shape)
        fits = len(given) == len(shape)
        if fits:
            # Equal names need no equal sizes: exporters reuse them for what is merely open.
            fits = all(
                size == want or not isinstance(want, int)
                for size, want in zip(given, shape, strict=True)
            )
        if not fits:
            raise error(
                ShapeError,
                "onnx",
                f"the input {name!r} has shape {given}; the model takes "
                f"({', '.join('?' if s is None else str(s) for s in shape)})",
            )


def _size(dim: Any) -> int | str | None:
    """A declared size: a number, a name, or None where the file says nothing."""
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return str(dim.dim_param) or None if dim.HasField("dim_param") else None


def _used(block: Block) -> list[str]:
    """Names of arrays that a node of the block, or of one inside of it, takes as a tensor."""
    found: dict[str, None] = {}

    def walk(block: Block, outer: dict[str, str]) -> None:
        names = {**outer, **block.constants}
        for name in block.outputs:
            if name in names:
                found[names[name]] = None
        for step in block.steps:
            numbers = step.record.numbers if step.record is not None else frozenset()
            for k, name in enumerate(step.inputs):
                if name in names and k not in numbers:
                    found[names[name]] = None
            for inner in _inner(step):
                walk(inner, names)
            if step.body is not None:
                walk(step.body, {})

    walk(block, {})
    return list(found)


def _inner(step: Step) -> list[Block]:
    return [v for v in step.attributes.values() if isinstance(v, Block)]


def _output(value: Any) -> Any:
    if isinstance(value, list):
        return [_output(v) for v in value]
    if value is ABSENT:
        return None
    if isinstance(value, Known):
        return value.tensor if has_dtype(value.array) else value.array
    return value


def to_function(
    source: str | os.PathLike[str] | bytes | Any,
    fixed: Mapping[str, Any] | None = None,
    fold_batch_norm: bool = False,
) -> Model:
    """An ONNX model as a function that runs it, operation by operation.

    It runs every model whose operators Sennit has, also those whose shapes or branches depend on
    values (`NonZero`, `Loop`, `If`, `NonMaxSuppression`), and takes inputs of any size that the
    model allows. `load` makes a graph of a model instead, which can be planned, saved and exported.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
        External data may only lie inside the folder of the path.
    fixed : mapping of str to value, optional
        Inputs that are no arguments but have these values always.
    fold_batch_norm : bool
        Whether to scale the weights of convolutions by the batch normalisation behind them. It
        saves operations, and results differ in their last bits.

    Returns
    -------
    Model
        Takes the inputs, gives a dict of the outputs by name.

    Raises
    ------
    FileError
        When the file is damaged, has a cycle, or refers to data outside of its folder.
    UnsupportedOp
        When it uses an operator that Sennit does not run: the message names operator and node.

    References
    ----------
    The standard: https://onnx.ai/onnx/operators/

    Examples
    --------
    >>> import onnx.parser
    >>> text = '''<ir_version: 8, opset_import: ["": 17]>
    ... above (float[n] x) => (int64[1, m] y) <float zero = {0.0}>
    ... { b = Greater(x, zero)  y = NonZero(b) }'''
    >>> model = sn.onnx.to_function(onnx.parser.parse_model(text))
    >>> model(sn.tensor([1.0, -1.0, 2.0]))["y"].tolist()
    [[0, 2]]
    """
    return Model(source, fixed, fold_batch_norm)


def load(
    source: str | os.PathLike[str] | bytes | Any,
    sizes: Mapping[str, int | Dim] | None = None,
    shapes: Mapping[str, Sequence[int | str | Dim | None]] | None = None,
    fixed: Mapping[str, Any] | None = None,
    fold_batch_norm: bool = False,
) -> Graph:
    """A graph of an ONNX model: `sn.trace` of it, on the shapes that it declares.

    Initialisers become the graph's parameters under their ONNX names, its inputs keep theirs, and
    a call gives a dict of the outputs by name.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
        External data may only lie inside the folder of the path.
    sizes : mapping of str to int or Dim, optional
        Values or limits for sizes that the model leaves open under a name: ``{"batch": 4}``. What
        stays open is open in the graph, which then serves any size.
    shapes : mapping of str to sequence of int, str, Dim or None, optional
        Shapes of inputs by name in place of the model's, to narrow them or to open them further.
    fixed : mapping of str to value, optional
        Inputs that are no arguments of the graph but have these values always, such as a sampling
        rate on which the model branches.
    fold_batch_norm : bool
        Whether to scale the weights of convolutions by the batch normalisation behind them. It
        saves operations, and results differ in their last bits.

    Returns
    -------
    Graph

    Raises
    ------
    FileError
        When the file is damaged, has a cycle, or refers to data outside of its folder.
    UnsupportedOp
        When it uses an operator that Sennit does not run: the message names operator and node.
    InvalidValue
        When shapes or branches depend on the values of inputs; `to_function` runs such models.

    Examples
    --------
    >>> import onnx.parser
    >>> text = '''<ir_version: 8, opset_import: ["": 17]>
    ... scaled (float[batch, 2] x) => (float[batch, 2] y)
    ... <float[2] w = {2.0, 3.0}> { y = Mul(x, w) }'''
    >>> graph = sn.onnx.load(onnx.parser.parse_model(text))
    >>> graph.inputs, list(graph.parameters)
    ([x: float32[batch, 2]], ['w'])
    >>> graph(sn.ones((1, 2)))["y"].tolist()
    [[2.0, 3.0]]
    """
    model = Model(source, fixed, fold_batch_norm)
    given = dict(sizes or {}), dict(shapes or {})
    specs = [_spec(model, name, *given) for name in model.input_names]
    try:
        graph = trace(model, *specs)
    except _core.SennitError as failure:
        if any(not isinstance(size, int) for spec in specs for size in spec.shape):
            failure.add_note(
                f"the model leaves sizes open ({', '.join(map(repr, specs))}); where it is not for "
                "all of them, sn.onnx.load takes sizes={name: ...} and shapes={input: (...)}"
            )
        raise
    return _without_unused(graph, model.name)


def _spec(
    model: Model, name: str, sizes: dict[str, Any], shapes: dict[str, Sequence[Any]]
) -> TensorSpec:
    from .ops._common import DTYPES

    declared = model._block.types[name]
    if not declared.HasField("tensor_type"):
        raise error(
            InvalidValue,
            "onnx",
            f"the input {name!r} is a sequence or optional, which no argument of a graph can be; "
            "run the model with sn.onnx.to_function",
        )
    kind = declared.tensor_type
    if kind.elem_type not in DTYPES:
        raise error(
            DTypeError,
            "onnx",
            f"the input {name!r} has the data type {kind.elem_type}, which tensors do not have; "
            "run the model with sn.onnx.to_function",
        )
    dtype = DTYPES[kind.elem_type]
    if name in shapes:
        return TensorSpec(tuple(shapes[name]), dtype, name)
    if not kind.HasField("shape"):
        raise error(
            InvalidValue,
            "onnx",
            f"the model does not say which shape the input {name!r} has; give it with "
            f"shapes={{{name!r}: (...)}}",
        )
    shape: list[int | str | Dim | None] = []
    for dim in kind.shape.dim:
        size = _size(dim)
        if isinstance(size, str):
            found = sizes.get(size, size)
            size = _identifier(found) if isinstance(found, str) else found
        shape.append(size)
    return TensorSpec(tuple(shape), dtype, name)


def _identifier(name: str) -> str | None:
    """The name of an open size as graphs write it; None for one that says nothing."""
    plain = "".join(c if c.isalnum() else "_" for c in name)
    if not plain.strip("_"):
        return None
    return plain if plain.isidentifier() else f"_{plain}"


def _without_unused(graph: Graph, name: str) -> Graph:
    """The graph without parameters that nothing reads."""
    program = graph._program
    outputs = program.outputs()
    if outputs:
        program, _ = program.cut(list(outputs))
    left = {n for n, _, _, _ in program.inputs()}
    return Graph._made(
        program,
        {**graph._signature, "name": name},
        {n: x for n, x in graph.parameters.items() if n in left},
        {n: x for n, x in graph.constants.items() if n in left},
    )
