"""Graphs made of graphs: every node is called again, or something else in its place.

See docs/graphs.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import _core
from ._core import InvalidType, InvalidValue, Tensor
from ._errors import error
from ._signature import build, gather
from ._sizes import Dim

if TYPE_CHECKING:
    from ._graph import Graph
    from ._graph_parts import GraphNode, GraphValue

Rule = Callable[..., Any]


def rewritten(
    graph: Graph,
    rule: Rule,
    op: str,
    parameters: Mapping[str, Tensor] | None = None,
) -> Graph:
    """The graph with ``rule(node, *inputs)`` in the place of each node; None keeps it.
    `parameters`: further ones, or others in the place of its own."""
    from ._graph import Graph
    from ._tracing import TensorSpec, trace

    program, signature = graph._program, graph._signature
    sizes = graph.sizes
    specs: list[Any] = [
        TensorSpec(
            [sizes[str(n)] if not isinstance(n, int) else n for n in value.shape],
            value.dtype,
            value.name,
        )
        for value in graph.inputs
    ]
    args, kwargs = build(signature["args"], specs), build(signature["kwargs"], specs)
    shown = graph.nodes
    # Its own tensors keep their names, but for those whose place others take.
    held = dict(parameters or {})
    for name, x in graph._parameters.items():
        held[name if name not in held else f"{name}.before"] = x

    def run(*positional: Any, **named: Any) -> Any:
        given: list[Tensor] = []
        gather(signature["args"], positional, "args", given)
        gather(signature["kwargs"], named, "kwargs", given)
        fixed = program
        if sizes:
            known = {
                str(size): x.shape[axis]
                for x, spec in zip(given, specs, strict=True)
                for axis, size in enumerate(spec.shape)
                if isinstance(size, Dim)
            }
            fixed = program.at([int(known[name]) for name in sizes])
        plain = Graph._made(fixed, signature, graph._parameters, graph._constants)
        stand = [*graph._parameters.values(), *graph._constants.values()]
        values: dict[int, Any] = {}
        for (_, _, v, _), x in zip(fixed.inputs(), given + stand, strict=True):
            values[v] = x
        first_draw = _core.random_state()[1]
        for (v, _), number in zip(fixed.numbers(), fixed.numbers_of_call(), strict=True):
            values[v] = number
        for k, (node, row) in enumerate(zip(plain.nodes, fixed.nodes(), strict=True)):
            node = replace(node, _first_draw=first_draw)
            inputs = [values[v] for v in row[1]]
            made = rule(node, *inputs)
            if made is None:
                results = fixed.call_node(k, inputs, first_draw)
            else:
                results = list(made) if isinstance(made, tuple | list) else [made]
            check_results(op, node, results, shown[k].outputs)
            values.update(zip(row[3], results, strict=True))
        outputs = [values[v] for v in fixed.outputs()]
        kept = len(outputs) - len(graph._updates)
        for name, value in zip(graph._updates, outputs[kept:], strict=True):
            graph._parameters[name].assign_(value)
        return build(signature["result"], outputs[:kept])

    run.__name__ = graph.name
    before = _core.set_control_tape(False)
    try:
        made = trace(run, *args, mutable=held or None, **kwargs)
    finally:
        _core.set_control_tape(before)
    if sizes:
        made._program.take_conditions(program)
    # Without what nobody reads any more.
    pruned, _ = made._program.cut(made._program.outputs())
    left = {name for name, _, _, _ in pruned.inputs()}
    return Graph._made(
        pruned,
        made._signature,
        {k: v for k, v in made._parameters.items() if k in left},
        {k: v for k, v in made._constants.items() if k in left},
    )


def with_batch_norm_folded(graph: Graph) -> Graph:
    """See `Graph.fold_batch_norm`."""
    nodes = graph.nodes
    maker = {value.name: k for k, node in enumerate(nodes) for value in node.outputs}
    read = [*(x for node in nodes for x in node.inputs), *graph._all_outputs()]
    uses = Counter(x.name for x in read if hasattr(x, "name"))
    tensors = {**graph._parameters, **graph._constants}
    parameters: dict[str, Tensor] = {}
    weights: dict[str, Tensor] = {}  # by the result of a convolution
    shifts: dict[str, Tensor] = {}  # by the result of a normalisation
    skipped: set[str] = set()  # results of the addition of a bias

    def only(x: Any, op: str) -> GraphNode | None:
        """The node that made a value which nobody else reads, if it is such an op."""
        node = nodes[maker[x.name]] if getattr(x, "name", "") in maker else None
        return node if node is not None and node.op == op and uses[x.name] == 1 else None

    def keep(name: str, value: Tensor) -> Tensor:
        while name in parameters or (name in tensors and uses[name]):
            name += "_"
        parameters[name] = value
        return value

    for node in nodes:
        if node.op != "batch_norm_inference":
            continue
        conv, bias = only(node.inputs[0], "conv"), None
        if conv is None and (added := only(node.inputs[0], "add")) is not None:
            conv, bias = only(added.inputs[0], "conv"), only(added.inputs[1], "reshape")
            if bias is None:
                continue
        if conv is None:
            continue
        names = [conv.inputs[1].name, *(value.name for value in node.inputs[1:])]
        names += [bias.inputs[0].name] if bias is not None else []
        if any(name not in tensors for name in names):
            continue
        kernel, mean, var, *rest = [tensors[name].detach() for name in names]
        scale = (var + node.attributes["eps"]) ** -0.5
        if node.attributes["weight"]:
            scale = scale * rest.pop(0)
        beta = rest.pop(0) if node.attributes["bias"] else 0.0
        shift = ((rest.pop(0) if bias is not None else 0.0) - mean) * scale + beta
        ones = (1,) * (kernel.ndim - 2)
        before = names[0].removesuffix("weight")
        uses[names[0]] -= 1
        weights[conv.outputs[0].name] = keep(names[0], kernel * scale.reshape((-1, 1, *ones)))
        if bias is not None:
            skipped.add(node.inputs[0].name)
            uses[names[-1]] -= 1
        shifts[node.outputs[0].name] = keep(f"{before}bias", shift.reshape((-1, *ones)).clone())

    def rule(node: GraphNode, *inputs: Any) -> Any:
        name = node.outputs[0].name
        if name in weights:
            return node(inputs[0], weights[name])
        if name in skipped:
            return inputs[0]
        return inputs[0] + shifts[name] if name in shifts else None

    return rewritten(graph, rule, "fold_batch_norm", parameters) if shifts else graph


def check_results(
    op: str, node: GraphNode, results: list[Any], shown: Sequence[GraphValue]
) -> None:
    """`shown`: the node's results as the graph prints them, with its open sizes."""
    if len(results) != len(node.outputs):
        raise error(
            InvalidValue,
            op,
            f"the rule returned {len(results)} values for {node!r}, which has {len(node.outputs)}",
        )
    rule = "the rule" if op == "rewrite" else "the function"
    keep = ", or None to keep the node" if op == "rewrite" else ""
    for x, want, known in zip(results, node.outputs, shown, strict=True):
        if not isinstance(x, Tensor):
            raise error(
                InvalidType,
                op,
                f"{rule} returned a {type(x).__name__} for {known!r}; it must return a tensor, or "
                f"a tuple of them for several results{keep}",
            )
        if x.shape != want.shape or x.dtype != want.dtype:
            raise error(
                InvalidValue,
                op,
                f"{rule} returned {x.dtype.name}{list(x.shape)} for {known!r}"
                + (f", here {want!r}" if known != want else "")
                + "; what reads it needs the same shape and dtype",
            )
