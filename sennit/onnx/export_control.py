"""Control nodes as If, Loop and Scan, whose graphs read the names around them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from onnx import helper

from .._graph import Graph
from .export_builder import ONNX_DTYPES, Builder, Call, rule
from .export_sizes import Poly


def _info(name: str, value: Any) -> Any:
    """A name in a nested graph, with the type of a value."""
    shape = [p.constant if p.constant is not None else None for p in map(Poly.of, value.shape)]
    return helper.make_tensor_value_info(name, ONNX_DTYPES[value.dtype.name], shape)


def _nested(builder: Builder) -> Builder:
    """A builder of a graph inside of the one around it: what is there is known inside, and nothing
    of what is made inside is known outside. Tensors stand in the model's own graph."""
    inner = copy.copy(builder)
    inner.nodes = []
    # Of sizes, those of named tensors: ids of values mean something else in another graph.
    inner._sizes = {k: v for k, v in builder._sizes.items() if _is_named(k)}
    return inner


def _is_named(key: tuple[Any, ...]) -> bool:
    return isinstance(key[0], str) and key[0] != "//"


def _write(builder: Builder, block: Graph, given: Sequence[str]) -> list[str]:
    """Writes the nodes of a block on these operands; the names of its results."""
    from .export import _write_nodes, patterns, rules_of
    from .export_plan import Plan

    rules = rules_of()
    plan = Plan(block, patterns())
    outside = builder.names, builder.lazy, builder.values, builder.recurrent
    states, current, module = builder.reverse_states, builder.current, builder.module
    kept = builder._sizes
    builder.names, builder.lazy, builder.values, builder.recurrent = {}, {}, {}, {}
    builder.reverse_states = {}
    builder._sizes = {k: v for k, v in kept.items() if _is_named(k)}
    for value, name in zip(block.inputs, given, strict=True):
        builder.names[value._id] = name
        builder.values[value._id] = value
    for node in plan.all:
        for value in node.outputs:
            builder.values[value._id] = value
    _write_nodes(builder, plan, rules)
    results = [builder.name(v) for v in block.outputs]
    builder.names, builder.lazy, builder.values, builder.recurrent = outside
    builder.reverse_states, builder.current, builder.module = states, current, module
    builder._sizes = {**kept, **{k: v for k, v in builder._sizes.items() if _is_named(k)}}
    return results


def _graph(
    inner: Builder, name: str, inputs: Sequence[Any], results: Sequence[tuple[str, Any]]
) -> Any:
    """The nested graph of what has been written. Each result gets a name of its own."""
    outputs = []
    for result, value in results:
        out = inner.op("Identity", result)
        outputs.append(_info(out, value))
    return helper.make_graph(inner.nodes, name, inputs, outputs)


def _several(made: Any) -> tuple[str, ...]:
    return made if isinstance(made, tuple) else (made,)


def _fresh(c: Call, what: str, values: Sequence[Any]) -> list[tuple[str, Any]]:
    return [(c.b.unique(f"{c.node.op}/{what}"), v) for v in values]


@rule("cond")
def _cond(c: Call) -> Any:
    given = [c.x(i) for i in range(1, c.count)]
    branches = []
    for block in c.node.blocks:
        inner = _nested(c.b)
        results = _write(inner, block, given)
        named = list(zip(results, block.outputs, strict=True))
        branches.append(_graph(inner, "branch", [], named))
    return c.op(
        "If", c.x(0), outputs=len(c.node.outputs), then_branch=branches[0], else_branch=branches[1]
    )


@rule("while_loop")
def _while(c: Call) -> Any:
    test, body = c.node.blocks
    count = len(body.outputs)
    given = [c.x(i) for i in range(c.count)]
    start = _write(c.b, test, given)[0]
    most = c.attr("max_steps")
    limit = "" if isinstance(most, int) and most < 0 else c.b.squeeze(c.b.size(most), 0)
    inner = _nested(c.b)
    carries = _fresh(c, "carry", [c.value(i) for i in range(count)])
    around = [
        helper.make_tensor_value_info(c.b.unique("while_loop/step"), ONNX_DTYPES["int64"], []),
        helper.make_tensor_value_info(c.b.unique("while_loop/go"), ONNX_DTYPES["bool"], []),
    ]
    made = _write(inner, body, [name for name, _ in carries] + given[count:])
    again = _write(inner, test, made + given[count:])
    results = [(again[0], test.outputs[0])]
    results += list(zip(made, (v for _, v in carries), strict=True))
    graph = _graph(inner, "body", [*around, *(_info(*x) for x in carries)], results)
    return c.op("Loop", limit, start, *given[:count], outputs=count, body=graph)


class _Row:
    """The type of a row of a value."""

    def __init__(self, value: Any) -> None:
        self.shape, self.dtype = tuple(value.shape)[1:], value.dtype


@rule("scan")
def _scan(c: Call) -> Any:
    (body,) = c.node.blocks
    carries, xs, reverse = (c.attr(k) for k in ("carries", "xs", "reverse"))
    given = [c.x(i) for i in range(c.count)]
    inner = _nested(c.b)
    states = _fresh(c, "carry", [c.value(i) for i in range(carries)])
    rows = _fresh(c, "row", [_Row(c.value(i)) for i in range(carries, carries + xs)])
    names = [name for name, _ in (*states, *rows)]
    made = _write(inner, body, names + given[carries + xs :])
    types = [v for _, v in states] + [_Row(v) for v in c.node.outputs[carries:]]
    results = list(zip(made, types, strict=True))
    inputs = [_info(*x) for x in (*states, *rows)]
    outputs = len(c.node.outputs)
    if xs:
        back = int(reverse)
        graph = _graph(inner, "body", inputs, results)
        return c.op(
            "Scan", *given[: carries + xs], outputs=outputs, body=graph, num_scan_inputs=xs,
            scan_input_directions=[back] * xs, scan_output_directions=[back] * (outputs - carries),
        )  # fmt: skip
    # ONNX's Scan takes at least one tensor apart.
    around = [
        helper.make_tensor_value_info(c.b.unique("scan/step"), ONNX_DTYPES["int64"], []),
        helper.make_tensor_value_info(c.b.unique("scan/go"), ONNX_DTYPES["bool"], []),
    ]
    go = inner.op("Identity", around[1].name)
    graph = helper.make_graph(
        inner.nodes, "body", [*around, *inputs],
        [helper.make_tensor_value_info(go, ONNX_DTYPES["bool"], []),
         *(_info(inner.op("Identity", name), v) for name, v in results)],
    )  # fmt: skip
    limit = c.b.squeeze(c.b.size(c.attr("length")), 0)
    found = list(_several(c.op("Loop", limit, "", *given[:carries], outputs=outputs, body=graph)))
    if reverse:
        flip = [c.b.ints([x]) for x in (-1, -(2**62), 0, -1)]
        for k in range(carries, outputs):
            found[k] = c.op("Slice", found[k], *flip)
    return tuple(found)
