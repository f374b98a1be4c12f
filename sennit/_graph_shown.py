"""What a graph shows: its arguments, parameters, nodes and results, its text, and its memory plan.

See docs/graphs.md and docs/design/011-graphs.md.
"""

from __future__ import annotations

import os
from typing import Any

from . import _core
from ._core import Tensor
from ._graph_parts import (
    GraphNode,
    GraphValue,
    MemoryPlan,
    block_lines,
    float_text,
    plan_step,
)
from ._sizes import MOST, Dim, Size


class _ShownGraph:
    """The part of `Graph` that looks at it."""

    __slots__ = (
        "_constants", "_parameters", "_program", "_signature", "_stand", "_updates", "name",
    )  # fmt: skip

    name: str
    _program: _core.Program
    _signature: dict[str, Any]
    _parameters: dict[str, Tensor]
    _constants: dict[str, Tensor]
    _stand: list[Tensor]
    _updates: list[str]

    def _inputs(self, role: str) -> list[GraphValue]:
        values = self._values()
        return [values[v] for _, kind, v, _ in self._program.inputs() if kind == role]

    def _values(self) -> list[Any]:
        """By value id: what stands for it in the printed graph."""
        program = self._program
        plain = program.values()
        found: list[Any] = []
        results = 0
        numbers = dict(program.numbers())
        for v, (name, shape, dtype) in enumerate(plain):
            if v in numbers:
                found.append(numbers[v])
                continue
            if not name:
                name, results = f"%{results}", results + 1
            found.append(GraphValue(name, shape, dtype, v))
        for v, axis, expression in program.open_shapes():
            x = found[v]
            size = self._size(expression, found)
            found[v] = GraphValue(x.name, (*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype, v)
        for v, form, scale, expression in program.open_numbers():
            size = self._size(expression, found)
            found[v] = size if scale is None else float_text(form, scale, size)
        return found

    @staticmethod
    def _size(expression: Any, values: list[Any]) -> Size:
        divisor, terms = expression
        made = tuple(
            (
                coefficient,
                tuple(f if isinstance(f, str) else (values[f[0]], f[1]) for f in factors),
            )
            for coefficient, factors in terms
        )
        return Size(made, divisor)

    @property
    def sizes(self) -> dict[str, Dim]:
        """The open sizes by name.

        Examples
        --------
        >>> spec = sn.TensorSpec(("n", sn.Dim("t", max=8)))
        >>> sn.trace(lambda x: x + 1, spec).sizes
        {'n': Dim('n'), 't': Dim('t', max=8)}
        """
        return {
            name: Dim(name, least, None if most == MOST else most, multiple)
            for name, least, most, multiple, _ in self._program.sizes()
        }

    @property
    def inputs(self) -> list[GraphValue]:
        """The arguments, in order.

        Examples
        --------
        >>> sn.trace(lambda x, y: x + y, sn.TensorSpec(()), sn.TensorSpec((3,))).inputs
        [x: float32[], y: float32[3]]
        """
        return self._inputs("argument")

    @property
    def outputs(self) -> list[GraphValue]:
        """The results, in the order in which they stand in what a call returns.

        Examples
        --------
        >>> sn.trace(lambda x: (x, x + 1), sn.TensorSpec((2,))).outputs
        [x: float32[2], %0: float32[2]]
        """
        return self._all_outputs()[: len(self._program.outputs()) - len(self._updates)]

    def _all_outputs(self) -> list[GraphValue]:
        values = self._values()
        return [values[v] for v in self._program.outputs()]

    @property
    def updates(self) -> dict[str, GraphValue]:
        """What a call writes: the new values of parameters, by name.

        Examples
        --------
        >>> total = sn.zeros(2)
        >>> def add(x):
        ...     total.assign_(total + x)
        >>> graph = sn.trace(add, sn.TensorSpec((2,)), mutable={"total": total})
        >>> graph.updates
        {'total': %0: float32[2]}
        >>> graph(sn.ones(2))
        >>> total.tolist()
        [1.0, 1.0]
        """
        new = self._all_outputs()[len(self._program.outputs()) - len(self._updates) :]
        return dict(zip(self._updates, new, strict=True))

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Parameters and buffers of the traced module by their paths, as in its `state_dict`, and
        what `sn.trace` was given as `mutable`: the state of optimizers too.

        They are the tensors that the graph computes with: writing into them changes what it gives.

        Examples
        --------
        >>> graph = sn.trace(sn.nn.Linear(2, 1), sn.TensorSpec((4, 2)))
        >>> list(graph.parameters)
        ['weight', 'bias']
        """
        return dict(self._parameters)

    @property
    def constants(self) -> dict[str, Tensor]:
        """Tensors that the function met and that are neither arguments nor parameters.

        Examples
        --------
        >>> mean = sn.ones(3)
        >>> list(sn.trace(lambda x: x - mean, sn.TensorSpec((3,))).constants)
        ['constant.0']
        """
        return dict(self._constants)

    @property
    def nodes(self) -> list[GraphNode]:
        """The operations, in the order in which they were called.

        Examples
        --------
        >>> sn.trace(lambda x: sn.exp(-x), sn.TensorSpec((2,))).nodes
        [%0: float32[2] = negative(x), %1: float32[2] = exp(%0)]
        """
        values = self._values()
        nodes = [
            GraphNode(
                op,
                tuple(values[v] for v in inputs),
                attributes,
                tuple(values[v] for v in outputs),
                where.removeprefix("at "),
                differentiable,
                self._program,
                k,
            )
            for k, (op, inputs, attributes, outputs, where, differentiable) in enumerate(
                self._program.nodes()
            )
        ]
        for node, name, position, expression in self._program.open_attributes():
            size = self._size(expression, values)
            attributes = nodes[node].attributes
            if position is None:
                attributes[name] = size
            else:
                old = attributes[name]
                attributes[name] = (*old[:position], size, *old[position + 1 :])
        return nodes

    def __repr__(self) -> str:
        return f"<Graph {self.name}: {len(self._program.nodes())} nodes>"

    def __str__(self) -> str:
        lines = [f"graph {self.name}({', '.join(map(repr, self.inputs))})"]
        for role in ("parameter", "constant"):
            values = self._inputs(role)
            lines += [f"  {role} {value!r}" for value in values]
        nodes = self.nodes
        texts = [f"  {node!r}" for node in nodes]
        width = min(max(map(len, texts), default=0), 72)
        for text, node in zip(texts, nodes, strict=True):
            where = node.where
            place, _, line = where.partition(":")
            note = f"  # {os.path.basename(place)}:{line}" if where else ""
            lines.append(f"{text:<{width}}{note}".rstrip())
            lines += block_lines(node, "    ")
        lines += [f"  {name} <- {value.name}" for name, value in self.updates.items()]
        lines.append(f"  return {', '.join(v.name for v in self.outputs)}".rstrip())
        return "\n".join(lines)

    def memory_plan(self) -> MemoryPlan:
        """What memory a call takes, before anything runs.

        The figures are those of a call without gradients that starts with an empty window (after
        ``sn.synchronize()``). A graph of more operations than `sn.config.window` runs in several
        windows, and takes more than one window would.

        Returns
        -------
        MemoryPlan

        Examples
        --------
        >>> graph = sn.trace(lambda x: sn.sort(sn.exp(x)).sum(), sn.TensorSpec((1000, 1000)))
        >>> graph.memory_plan().arena
        8000000
        """
        plan = self._program.plan()
        sizes = {"argument": 0, "parameter": 0, "constant": 0}
        values = self._program.values()
        for _, role, v, _ in self._program.inputs():
            count = 1
            for size in values[v][1]:
                count *= size
            sizes[role] += count * values[v][2].itemsize
        return MemoryPlan(
            peak=plan["arena"] + plan["outputs"] + plan["folded"],
            arena=plan["arena"],
            outputs=plan["outputs"],
            folded=plan["folded"],
            arguments=sizes["argument"],
            parameters=sizes["parameter"],
            constants=sizes["constant"],
            kernels=plan["kernels"],
            unplanned=sum(bytes for _, bytes, _, _ in plan["buffers"]),
            lifetimes=tuple(plan["buffers"]),
            steps=tuple(map(plan_step, plan["steps"])),
            order=tuple(plan["order"]),
        )
