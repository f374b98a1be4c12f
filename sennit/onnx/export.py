"""Graphs as ONNX models. See docs/export.md and docs/design/015-export-and-pictures.md."""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .. import _core
from .._core import InvalidType, InvalidValue
from .._errors import error
from .._graph import Graph
from .._graph_parts import GraphNode, GraphValue

if TYPE_CHECKING:
    from .export_builder import Builder
    from .export_plan import Plan

__all__ = ["OPSETS", "export_model", "unsupported", "write"]

# Versions of ONNX's operators that are written; 18 is from December 2022.
OPSETS = range(18, 29)
# Protocol buffers end at 2 GiB; beyond that, tensors stand in a file beside the model.
MOST_INSIDE = 2**31 - 2**26


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as cause:
        raise ImportError(
            "exporting needs the package onnx; install it with: pip install 'sennit[onnx]'"
        ) from cause
    return onnx


def _rules() -> Any:
    from . import (  # noqa: F401 - each registers its rules
        export_builder,
        export_control,
        export_conv,
        export_ctc,
        export_elementwise,
        export_indexing,
        export_movement,
        export_products,
        export_recurrent,
        export_reduce,
    )

    return export_builder


rules_of = _rules


def patterns() -> list[Any]:
    """What finds nodes that are written as one."""
    from . import export_conv, export_products, export_recurrent

    modules = (export_recurrent, export_conv, export_products)
    return [pattern for module in modules for pattern in module.PATTERNS]


def unsupported() -> dict[str, str]:
    """The operations that have no expression in ONNX, with the reason and what to do instead.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> "lgamma" in sn.onnx.unsupported()
    True
    """
    _onnx()
    return dict(sorted(_rules().WITHOUT.items()))


def _result_names(structure: dict[str, Any], path: str = "") -> dict[int, str]:
    """A name for each result, by its place in what the function returned."""
    ((kind, inner),) = structure.items()
    if kind == "output":
        return {inner: path or "output"}
    found: dict[int, str] = {}
    children = []
    if kind in ("tuple", "list"):
        children = [(str(k), x) for k, x in enumerate(inner)]
    elif kind == "dict":
        children = inner
    for name, child in children:
        base = path or ("" if kind == "dict" else "output")
        found.update(_result_names(child, f"{base}.{name}" if base else name))
    return found


def _module(node: GraphNode) -> str:
    return node.where.partition(" in module ")[2]


def _shown(node: GraphNode) -> GraphNode:
    """The node with the name of its file alone: models show nothing of folders."""
    place, middle, module = node.where.partition(" in module ")
    where = f"{os.path.basename(place)}{middle}{module}"
    return GraphNode(
        node.op, node.inputs, node.attributes, node.outputs, where, node.differentiable
    )


def _check_ops(plan: Plan, rules: Any) -> None:
    """Everything that cannot be written, before anything is."""
    from .export_plan import Plan

    bad = []
    for node in plan.nodes:
        for block in node.blocks:
            _check_ops(Plan(block, patterns()), rules)
        written = node.outputs[0]._id in plan.fused
        reason = None if written else rules.WITHOUT.get(node.op)
        if reason is None and not written and node.op not in rules.RULES:
            reason = f"there is no rule for it; operations with one: {', '.join(rules.RULES)}"
        for value in (*node.inputs, *node.outputs):
            if isinstance(value, GraphValue) and value.dtype.name not in rules.ONNX_DTYPES:
                reason = rules.WITHOUT["complex"]
        if reason is not None:
            bad.append((node, reason))
    if not bad:
        return
    node, reason = bad[0]
    names = sorted({n.op for n, _ in bad[1:]} - {node.op})
    more = f" (also without an expression in ONNX: {', '.join(names)})" if names else ""
    raise error(
        InvalidValue, "to_onnx", f"'{node.op}' in {rules.describe(_shown(node))}: {reason}{more}"
    )


def _bind_open_sizes(builder: Builder, graph: Graph) -> None:
    """Where each open size can be read: an argument that has it along an axis."""
    from .export_sizes import Poly

    for value in graph.inputs:
        for axis, size in enumerate(value.shape):
            terms = Poly.of(size).terms
            if len(terms) == 1:
                ((factors, coefficient),) = terms.items()
                if coefficient == 1 and len(factors) == 1 and isinstance(factors[0], str):
                    builder.open.setdefault(factors[0], (builder.names[value._id], axis))


def _type(name: str, value: GraphValue, rules: Any) -> Any:
    from onnx import helper

    shape = [s if isinstance(s, int) else str(s).replace(" ", "") for s in value.shape]
    return helper.make_tensor_value_info(name, rules.ONNX_DTYPES[value.dtype.name], shape)


def _write_nodes(builder: Builder, plan: Plan, rules: Any) -> None:
    for node in plan.nodes:
        builder.current, builder.module = _shown(node), _module(node)
        call = rules.Call(builder, node, plan)
        fused = plan.fused.get(node.outputs[0]._id)
        if all(0 in value.shape for value in node.outputs):  # nothing is to be computed
            made: Any = tuple(call.empty(k) for k in range(len(node.outputs)))
        else:
            made = fused.rule(call, fused) if fused else rules.RULES[node.op](call)
        names = made if isinstance(made, tuple) else (made,)
        for value, name in zip(node.outputs, names, strict=False):
            if name:
                builder.names[value._id] = name


def _nested_too(nodes: Iterable[Any]) -> Iterator[Any]:
    """The nodes, and those of the graphs that they hold."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nested_too(attribute.g.node)


def export_model(graph: Graph, opset: int = 18) -> tuple[Any, dict[str, Any]]:
    """The model of a graph without its tensors, and the tensors by name.

    Parameters
    ----------
    graph : Graph
    opset : int

    Returns
    -------
    onnx.ModelProto, dict of str to array
    """
    onnx = _onnx()
    if isinstance(opset, bool) or not isinstance(opset, int) or opset not in OPSETS:
        raise error(
            InvalidValue,
            "to_onnx",
            f"opset is {opset!r}; it must be an int from {OPSETS.start} to {OPSETS.stop - 1}",
        )
    rules = _rules()
    from .export_plan import Plan

    plan = Plan(graph, patterns())
    _check_ops(plan, rules)
    stands = [v for role in ("parameter", "constant") for v in graph._inputs(role)]
    arguments = graph.inputs
    for value in (*arguments, *stands):
        if value.dtype.name not in rules.ONNX_DTYPES:
            raise error(InvalidValue, "to_onnx", f"{value!r}: {rules.WITHOUT['complex']}")
    names = {v.name for v in (*arguments, *stands)}
    wanted = _result_names(graph._signature["result"])
    builder = rules.Builder(opset, set(names))
    for value in (*arguments, *stands):
        builder.names[value._id] = value.name
        builder.values[value._id] = value
    for node in plan.all:
        for value in node.outputs:
            builder.values[value._id] = value
    _bind_open_sizes(builder, graph)
    tensors = plan.tensors
    for value in stands:
        builder.initializers[value.name] = tensors[value.name]
    _write_nodes(builder, plan, rules)

    builder.current, builder.module = None, ""
    outputs, produced = [], {name for node in builder.nodes for name in node.output}
    renamed: dict[str, str] = {}
    wanted |= {
        k: f"{name}.new"
        for k, name in enumerate(plan.updates, len(plan.results) - len(plan.updates))
    }
    for k, value in enumerate(plan.results):
        name = builder.name(value)
        out = builder.unique(wanted.get(k, f"output.{k}"))
        if name in produced and name not in renamed:
            renamed[name] = out
        else:  # an argument, a parameter, or a value that is a result twice
            builder.op("Identity", renamed.get(name, name))
            builder.nodes[-1].output[0] = out
        outputs.append((out, value))
    every = list(_nested_too(builder.nodes))
    for node in every:
        for names_ in (node.input, node.output):
            for i, name in enumerate(names_):
                if name in renamed:
                    names_[i] = renamed[name]
    read = {name for node in every for name in node.input}
    kept = {name: x for name, x in builder.initializers.items() if name in read}

    shown = {out for out, _ in outputs} | {v.name for v in arguments}
    types = []
    for v, name in builder.names.items():
        name = renamed.get(name, name)
        if name not in shown and name in produced | set(renamed.values()) and name not in kept:
            shown.add(name)
            types.append(_type(name, builder.values[v], rules))
    # What a call writes is given and taken by the caller; where it is not given, it is as it was.
    written = [v for v in stands if v.name in plan.updates and v.name in kept]
    made = onnx.helper.make_graph(
        builder.nodes,
        re.sub(r"[^\w.]", "_", graph.name) or "graph",
        [_type(v.name, v, rules) for v in (*arguments, *written)],
        [_type(name, v, rules) for name, v in outputs],
        value_info=types,
    )
    opsets = [onnx.helper.make_opsetid("", opset)]
    from .. import __version__

    model = onnx.helper.make_model(
        made,
        opset_imports=opsets,
        ir_version=max(10, onnx.helper.find_min_ir_version_for(opsets, True)),
        producer_name="sennit",
        producer_version=__version__,
    )
    return model, kept


def _array(x: Any) -> Any:
    """Elements in row-major order."""
    import numpy as np

    if isinstance(x, _core.Tensor):
        from .export_builder import numpy_dtype

        x = x.detach().to("cpu")
        if x.dtype.name == "bfloat16":  # NumPy has no such dtype: its bits
            x = np.asarray(x.astype("float32").numpy()).astype(numpy_dtype("bfloat16"))
        else:
            x = x.numpy()
    return np.asarray(x, order="C")


def write(
    graph: Graph,
    path: str | os.PathLike[str],
    opset: int = 18,
    external_data: bool | None = None,
    check: bool = True,
) -> None:
    """Writes a graph as an ONNX model; see `Graph.to_onnx`."""
    onnx = _onnx()
    from onnx import TensorProto

    from .._files import _write
    from .export_builder import ONNX_DTYPES

    if not isinstance(graph, Graph):
        raise error(InvalidType, "to_onnx", f"a {type(graph).__name__} is given; trace it first")
    target = os.fspath(path)
    model, tensors = export_model(graph, opset)
    total = sum(
        math.prod(x.shape) * x.dtype.itemsize if isinstance(x, _core.Tensor) else x.nbytes
        for x in tensors.values()
    )
    outside = total > MOST_INSIDE if external_data is None else bool(external_data)
    if total > MOST_INSIDE and not outside:
        raise error(
            InvalidValue,
            "to_onnx",
            f"the tensors have {total:,} bytes, and a model file holds at most {MOST_INSIDE:,}; "
            "leave out external_data=False",
        )
    data = f"{os.path.basename(target)}.data"
    parts: list[Any] = []
    offset = 0
    for name, x in tensors.items():
        array = _array(x)
        dtype = "bfloat16" if array.dtype.name == "bfloat16" else array.dtype.name
        proto = TensorProto(name=name, data_type=ONNX_DTYPES[dtype], dims=array.shape)
        if outside and array.nbytes >= 1024:
            proto.data_location = TensorProto.EXTERNAL
            gap = -offset % 4096  # pages, so that a runtime may map the file into memory
            parts += [bytes(gap), array.reshape(-1).view("uint8")]
            offset += gap
            for key, text in (("location", data), ("offset", offset), ("length", array.nbytes)):
                proto.external_data.add(key=key, value=str(text))
            offset += array.nbytes
        else:
            proto.raw_data = array.tobytes()
        model.graph.initializer.append(proto)
    if not parts:
        if check:
            _check(onnx, model)
        _write(target, [model.SerializeToString()])
        return
    # Both files are made and checked in a folder beside the place, and then moved there.
    folder = os.path.dirname(os.path.abspath(target))
    try:
        made = tempfile.mkdtemp(prefix=f".{os.path.basename(target)}.", dir=folder)
    except OSError as cause:
        raise error(
            _core.FileError, "to_onnx", f"{target}: cannot be written ({cause}); check the folder"
        ) from cause
    try:
        inside = os.path.join(made, os.path.basename(target))
        _write(os.path.join(made, data), parts)
        _write(inside, [model.SerializeToString()])
        if check:
            _check(onnx, inside)
        os.replace(os.path.join(made, data), os.path.join(folder, data))
        os.replace(inside, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check(onnx: Any, model: Any) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as cause:
        raise error(
            _core.InternalError,
            "to_onnx",
            f"ONNX's checker refuses the model: {cause}; this is a mistake of a rule in "
            "sennit/onnx: please report it (check=False writes the model all the same)",
        ) from cause
