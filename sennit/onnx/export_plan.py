"""What of a graph is written, and which nodes become one: a product and a bias are a Gemm.

Nodes are looked at from the results back to the arguments, so that what reads a value is known
before what makes it. A pattern takes a node and says which rule writes it, and which values that
rule reads; nodes in between are written only where somebody else reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from .._graph import Graph, GraphNode, GraphValue
from .export_sizes import OpenFloat, Poly

__all__ = ["Fused", "Plan", "same_shape"]


@dataclass
class Fused:
    """How a node is written: a rule that gets these operands in place of its own."""

    rule: Callable[..., Any]
    reads: list[GraphValue]
    facts: dict[str, Any] = field(default_factory=dict)


def same_shape(a: Any, b: Any) -> bool:
    """Whether two shapes are equal whatever their open sizes are."""
    return len(a) == len(b) and all(Poly.of(x) == Poly.of(y) for x, y in zip(a, b, strict=True))


class Plan:
    """Which nodes are written, in order, and how.

    Attributes
    ----------
    nodes : list of GraphNode
        Those that are written.
    read : set of int
        Ids of the values that something written, or the caller, reads.
    fused : dict of int to Fused
        By the id of a node's first result: what is written in place of the node alone.
    """

    def __init__(self, graph: Graph, patterns: list[Callable[[Plan, GraphNode], Fused | None]]):
        self.graph = graph
        self.all = _nodes(graph)
        self.maker: dict[int, GraphNode] = {}
        self.place: dict[int, int] = {}
        self.uses: dict[int, int] = {}
        for i, node in enumerate(self.all):
            for v in node.outputs:
                self.maker[v._id] = node
                self.place[v._id] = i
        # An argument has no place: it is there before every node.
        self.results = [*graph.outputs, *graph.updates.values()]
        self.read = {v._id for v in self.results}
        live = self._live()
        for i in live:
            for v in self.all[i].inputs:
                if isinstance(v, GraphValue):
                    self.uses[v._id] = self.uses.get(v._id, 0) + 1
        for v in self.results:
            self.uses[v._id] = self.uses.get(v._id, 0) + 1
        self.fused: dict[int, Fused] = {}
        self.facts: dict[int, dict[str, Any]] = {}  # by node (first result): what patterns found
        kept = []
        for i in reversed(live):
            node = self.all[i]
            if not any(v._id in self.read for v in node.outputs):
                continue
            kept.append(node)
            found = next((f for f in (p(self, node) for p in patterns) if f is not None), None)
            if found is not None:
                self.fused[node.outputs[0]._id] = found
            reads = found.reads if found else [v for v in node.inputs if isinstance(v, GraphValue)]
            self.read.update(v._id for v in reads)
            for size in _sizes(node):
                self.read.update(Poly.of(size).reads())
        self.nodes = kept[::-1]

    def _live(self) -> list[int]:
        """Positions of the nodes that results depend on."""
        wanted = set(self.read)
        live = []
        for i in range(len(self.all) - 1, -1, -1):
            node = self.all[i]
            if any(v._id in wanted for v in node.outputs):
                live.append(i)
                wanted.update(v._id for v in node.inputs if isinstance(v, GraphValue))
                for size in _sizes(node):
                    wanted.update(Poly.of(size).reads())
        return live[::-1]

    # what patterns ask

    def made_by(self, value: Any, op: str) -> GraphNode | None:
        """The node that makes a value, if it is one of this op."""
        node = self.maker.get(value._id) if isinstance(value, GraphValue) else None
        return node if node is not None and node.op == op else None

    def alone(self, value: GraphValue) -> bool:
        """Whether one node alone reads a value."""
        return self.uses.get(value._id, 0) == 1

    def stands(self, value: GraphValue) -> bool:
        """Whether a value is a parameter or constant."""
        return value._id not in self.maker and value.name in self.tensors

    @property
    def tensors(self) -> dict[str, Any]:
        return {**self.graph._parameters, **self.graph._constants}


def _sizes(node: GraphNode) -> list[Any]:
    """The open sizes among the operands and attributes of a node."""
    found: list[Any] = [v for v in node.inputs if hasattr(v, "terms")]
    found += [v.size for v in node.inputs if isinstance(v, OpenFloat)]
    for value in node.attributes.values():
        each = value if isinstance(value, tuple | list) else (value,)
        found += [v for v in each if hasattr(v, "terms")]
    return found


def _nodes(graph: Graph) -> list[GraphNode]:
    """The nodes, in which numbers that are made of sizes stand as such, not as a text."""
    values = graph._values()
    made = {
        v: OpenFloat(form, scale, graph._size(expression, values))
        for v, form, scale, expression in graph._program.open_numbers()
        if scale is not None
    }
    nodes = graph.nodes
    if not made:
        return nodes
    for k, (_, inputs, *_) in enumerate(graph._program.nodes()):
        if any(v in made for v in inputs):
            given = tuple(made.get(v, x) for v, x in zip(inputs, nodes[k].inputs, strict=True))
            nodes[k] = replace(nodes[k], inputs=given)
    return nodes
