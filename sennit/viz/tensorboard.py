"""Graphs for TensorBoard's graph tab, as GraphDef in its own event files."""

from __future__ import annotations

from typing import Any

from .._core import InvalidType
from .._errors import error
from .._graph import Graph, GraphNode, GraphValue
from .layout import module_path

__all__ = ["add_graph"]

# Numbers of DataType in TensorFlow's types.proto.
_DTYPES = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "complex64": 8,
    "int64": 9, "bool": 10, "bfloat16": 14, "uint16": 17, "complex128": 18, "float16": 19,
    "uint32": 22, "uint64": 23,
}  # fmt: skip


def _names(graph: Graph) -> tuple[dict[str, str], list[str]]:
    """By value and by operation: names whose parts are the scopes that TensorBoard folds."""
    values: dict[str, str] = {}
    for role, scope in (("argument", "arguments"), ("parameter", ""), ("constant", "constants")):
        for v in graph._inputs(role):
            plain = v.name.replace("/", "_")
            values[v.name] = f"{scope}/{plain}" if scope else plain.replace(".", "/")
    taken = set(values.values())
    operations = []
    for node in graph.nodes:
        path = module_path(node)[1:]
        base = "/".join([*path, node.op])
        name, k = base, 1
        while name in taken:
            name, k = f"{base}_{k}", k + 1
        taken.add(name)
        operations.append(name)
        for k, v in enumerate(node.outputs):
            values[v.name] = name if k == 0 else f"{name}:{k}"
    return values, operations


def _shape(proto: Any, value: GraphValue) -> Any:
    made = proto()
    for size in value.shape:
        made.dim.add(size=size if isinstance(size, int) else -1)
    return made


def graph_def(graph: Graph) -> Any:
    """The graph as a GraphDef; open sizes are -1."""
    try:
        from tensorboardX.proto.attr_value_pb2 import AttrValue
        from tensorboardX.proto.graph_pb2 import GraphDef
        from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboardX.proto.versions_pb2 import VersionDef
    except ImportError as cause:
        raise ImportError(
            "TensorBoard's files need tensorboardX; install it with: pip install 'sennit[viz]'"
        ) from cause
    values, operations = _names(graph)
    made = GraphDef(versions=VersionDef(producer=22))

    def add(name: str, op: str, value: GraphValue) -> Any:
        node = made.node.add(name=name, op=op)
        node.attr["dtype"].type = _DTYPES.get(value.dtype.name, 0)
        shapes = AttrValue.ListValue(shape=[_shape(TensorShapeProto, value)])
        node.attr["_output_shapes"].list.CopyFrom(shapes)
        return node

    for role, op in (("argument", "Placeholder"), ("parameter", "Variable"), ("constant", "Const")):
        for v in graph._inputs(role):
            add(values[v.name], op, v)
    for name, node in zip(operations, graph.nodes, strict=True):
        written = add(name, node.op, node.outputs[0])
        written.input.extend(values[v.name] for v in node.inputs if isinstance(v, GraphValue))
        for key, text in _facts(node):
            written.attr[key].s = text.encode()
    for k, v in enumerate(graph.outputs):
        out = "result" if len(graph.outputs) == 1 else f"results/{k}"
        add(out, "Identity", v).input.append(values[v.name])
    return made


def _facts(node: GraphNode) -> list[tuple[str, str]]:
    found = [
        (key, getattr(value, "name", None) or str(value)) for key, value in node.attributes.items()
    ]
    if node.where:
        found.append(("where", node.where))
    return found


def add_graph(writer: Any, graph: Graph) -> None:
    """Writes a graph for TensorBoard's graph tab.

    Parameters
    ----------
    writer : tensorboardX.SummaryWriter
        Or that of ``torch.utils.tensorboard``.
    graph : Graph
        Its modules are the scopes that the tab folds.

    Raises
    ------
    InvalidType
        When `writer` is none.
    ImportError
        When tensorboardX is missing.

    Examples
    --------
    >>> import tempfile
    >>> from tensorboardX import SummaryWriter
    >>> net = sn.nn.Sequential(sn.nn.Linear(8, 4), sn.nn.ReLU())
    >>> with SummaryWriter(tempfile.mkdtemp()) as writer:
    ...     sn.viz.add_graph(writer, sn.trace(net, sn.TensorSpec((32, 8))))
    """
    if not isinstance(graph, Graph):
        raise error(InvalidType, "add_graph", f"a {type(graph).__name__} is given; trace it first")
    files = getattr(writer, "_get_file_writer", None)
    if files is None:
        raise error(
            InvalidType,
            "add_graph",
            f"writer is a {type(writer).__name__}; it must be a tensorboardX.SummaryWriter",
        )
    made = graph_def(graph)
    from tensorboardX.proto.event_pb2 import Event

    event = Event(graph_def=made.SerializeToString())
    files().event_writer.add_event(event)
