"""What a graph shows of itself: its values, its nodes and its memory.

See docs/graphs.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _core
from ._core import InvalidValue
from ._errors import error
from ._sizes import Size

if TYPE_CHECKING:
    from ._graph import Graph

__all__ = ["GraphNode", "GraphValue", "MemoryPlan"]


def type_text(shape: Sequence[Any], dtype: _core.dtype) -> str:
    """A type as printed graphs show it: ``float32[2, 3]``."""
    return f"{dtype.name}[{', '.join(map(str, shape))}]"


@dataclass(frozen=True)
class GraphValue:
    """A value of a graph: an argument, parameter or constant, or a result of a node.

    Attributes
    ----------
    name : str
        As the printed graph shows it: ``%3`` for the results of nodes.
    shape : tuple of int or Size
        A `Size` where it follows from an open size.
    dtype : dtype

    Examples
    --------
    >>> graph = sn.trace(lambda x: sn.exp(x), sn.TensorSpec((2,)))
    >>> graph.outputs[0]
    %0: float32[2]
    """

    name: str
    shape: tuple[int | Size, ...]
    dtype: _core.dtype
    _id: int = field(repr=False, compare=False, default=-1)

    def __repr__(self) -> str:
        return f"{self.name}: {type_text(self.shape, self.dtype)}"


@dataclass(frozen=True)
class GraphNode:
    """One operation of a graph.

    Attributes
    ----------
    op : str
    inputs : tuple of GraphValue, number or str
        Numbers are Python numbers; "seed" and "draw 0", "draw 1" ... stand for the random numbers
        of a call; a `Size` or a text is computed from open sizes.
    attributes : dict of str to object
        What decides on shapes: axes, strides, dtypes. A `Size` where it follows from an open size.
    outputs : tuple of GraphValue
    where : str
        The user's source line and the path of the module.
    differentiable : bool
        Whether gradients flow through it: not inside ``sn.no_grad()`` and `detach`.

    Examples
    --------
    >>> graph = sn.trace(lambda x: sn.exp(x) * 2, sn.TensorSpec((2,)))
    >>> [node.op for node in graph.nodes]
    ['exp', 'multiply']
    >>> graph.nodes[1].inputs
    (%0: float32[2], 2)
    """

    op: str
    inputs: tuple[Any, ...]
    attributes: dict[str, Any]
    outputs: tuple[GraphValue, ...]
    where: str
    differentiable: bool
    _program: Any = field(repr=False, compare=False, default=None)
    _index: int = field(repr=False, compare=False, default=-1)
    _first_draw: int | None = field(repr=False, compare=False, default=None)

    @property
    def blocks(self) -> tuple[Graph, ...]:
        """What a control node calls, as graphs: of `cond` the branches (if true, if false), of
        `while_loop` condition and body, of `scan` the body. Empty for other operations.

        Their arguments are the node's operands (without the condition of `cond`, and with rows for
        what `scan` takes apart).

        Examples
        --------
        >>> f = lambda x: sn.cond(x.sum() > 0, sn.exp, sn.negative, x)
        >>> node = sn.trace(f, sn.TensorSpec((2,))).nodes[-1]
        >>> [[inner.op for inner in block.nodes] for block in node.blocks]
        [['exp'], ['negative']]
        """
        from ._graph import Graph

        made = []
        for program in self._program.blocks(self._index):
            names = [name for name, _, _, _ in program.inputs()]
            signature = {
                "name": self.op,
                "args": {"tuple": [{"input": k} for k in range(len(names))]},
                "kwargs": {"dict": []},
                "result": {"tuple": [{"output": k} for k in range(len(program.outputs()))]},
            }
            made.append(Graph(program, signature, {}, {}))
        return tuple(made)

    def __call__(self, *inputs: Any) -> Any:
        """Calls the operation with its attributes on other operands; for `Graph.rewrite`.

        Returns
        -------
        Tensor or tuple of Tensor

        Raises
        ------
        InvalidValue
            When sizes of the graph are open, or the operands do not fit.

        Examples
        --------
        >>> graph = sn.trace(lambda x: x.sum(1), sn.TensorSpec((2, 3)))
        >>> graph.nodes[0](sn.ones((5, 4))).shape
        (5,)
        """
        if self._program.sizes():
            raise error(
                InvalidValue,
                self.op,
                "the node is of a graph with open sizes; call nodes of graph.bind(...), or in a "
                "rule of graph.rewrite",
            )
        made = self._program.call_node(self._index, inputs, self._first_draw)
        return made[0] if len(made) == 1 else tuple(made)

    def __repr__(self) -> str:
        operands = [x.name if isinstance(x, GraphValue) else str(x) for x in self.inputs]
        operands += [f"{k}={_attribute_text(v)}" for k, v in self.attributes.items()]
        return f"{', '.join(map(repr, self.outputs))} = {self.op}({', '.join(operands)})"


def block_lines(node: GraphNode, indent: str) -> list[str]:
    """The blocks of a control node, as printed graphs show them below it."""
    lines = []
    for k, block in enumerate(node.blocks):
        lines.append(f"{indent}block {k} ({', '.join(map(repr, block.inputs))})")
        for inner in block.nodes:
            lines.append(f"{indent}  {inner!r}")
            lines += block_lines(inner, f"{indent}    ")
        lines.append(f"{indent}  return {', '.join(v.name for v in block.outputs)}")
    return lines


def float_text(form: int, scale: float, size: Size) -> str:
    """A float that is made of a size (core/runtime/size.h, SizeForm)."""
    if form == 4:
        return f"({size}) / ({size} - {scale:g})"
    text = f"sqrt({size})" if form >= 2 else str(size) if str(size).isidentifier() else f"({size})"
    if form % 2:
        return f"{scale:g}/{text}"
    return text if scale == 1 else f"{scale:g}*{text}"


def _attribute_text(value: Any) -> str:
    return value.name if isinstance(value, _core.dtype) else str(value)


@dataclass(frozen=True)
class MemoryPlan:
    """The memory of one call, known before anything has run. All figures are bytes.

    Attributes
    ----------
    peak : int
        What a call allocates at most: `arena`, `outputs` and `folded`.
    arena : int
        One block for everything between arguments and results; pieces are used again as soon as
        they are free.
    outputs : int
        Results, which live on.
    folded : int
        What depends on numbers of the program alone: computed once, when it is planned.
    arguments, parameters, constants : int
        What is there before the call.
    kernels : int
        How many kernels run.
    unplanned : int
        What the values in the arena would take without use of the same memory twice.
    lifetimes : tuple of (int, int, int, int)
        The pieces of the arena: offset, bytes, first and last kernel that uses it.

    Examples
    --------
    >>> model = sn.nn.Sequential(sn.nn.Linear(8, 64), sn.nn.ReLU(), sn.nn.Linear(64, 4))
    >>> plan = sn.trace(model, sn.TensorSpec((32, 8))).memory_plan()
    >>> plan.outputs, plan.arena, plan.kernels
    (512, 8192, 2)
    """

    peak: int
    arena: int
    outputs: int
    folded: int
    arguments: int
    parameters: int
    constants: int
    kernels: int
    unplanned: int
    lifetimes: tuple[tuple[int, int, int, int], ...] = field(repr=False)

    def __str__(self) -> str:
        rows = [
            ("arena", self.arena),
            ("outputs", self.outputs),
            ("folded", self.folded),
            ("peak of a call", self.peak),
            ("arguments", self.arguments),
            ("parameters", self.parameters),
            ("constants", self.constants),
        ]
        lines = [f"{name:<15}{value:>16,} bytes" for name, value in rows]
        lines.append(
            f"{self.kernels} kernels; {len(self.lifetimes)} values share the arena and would take "
            f"{self.unplanned:,} bytes without"
        )
        return "\n".join(lines)
