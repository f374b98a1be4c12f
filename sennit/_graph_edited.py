"""Graphs that are made of a graph: for fixed sizes, optimised, cut, edited, differentiated.

See docs/graphs.md and docs/design/011-graphs.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import TYPE_CHECKING, Any, cast

from ._core import InvalidType, InvalidValue
from ._errors import error
from ._graph_parts import GraphNode, GraphValue
from ._graph_shown import _ShownGraph

if TYPE_CHECKING:
    from ._graph import Graph


def name_of(op: str, value: Any) -> str:
    """The name of a value that is given as itself or by its name."""
    if isinstance(value, str):
        return value
    if isinstance(value, GraphValue):
        return value.name
    raise error(
        InvalidType,
        op,
        f"{value!r} is a {type(value).__name__}; it must be a value of the graph or its name, such "
        "as graph.nodes[3].outputs[0] or '%3'",
    )


def check_function(op: str, name: str, function: Any) -> None:
    if not callable(function):
        raise error(
            InvalidType, op, f"{name} is a {type(function).__name__}; it must be a function"
        )


class _EditedGraph(_ShownGraph):
    """The part of `Graph` that makes others of it."""

    __slots__ = ()

    def _whole(self) -> Graph:
        return cast("Graph", self)

    def bind(self, **sizes: int) -> Graph:
        """The graph for these sizes alone, which can be planned and optimised.

        Parameters
        ----------
        **sizes : int
            All open sizes by name.

        Returns
        -------
        Graph

        Raises
        ------
        InvalidValue
            When a size is missing, or there is none of that name.
        ShapeError
            When the graph was not made for the size.

        Examples
        --------
        >>> graph = sn.trace(lambda x: sn.exp(x).sum(0), sn.TensorSpec(("n", 4)))
        >>> graph.bind(n=10).inputs
        [x: float32[10, 4]]
        """
        names = [name for name, *_ in self._program.sizes()]
        if set(sizes) != set(names):
            raise error(
                InvalidValue,
                "bind",
                f"sizes are given for {', '.join(sizes) or 'nothing'}; the open sizes of this "
                f"graph are {', '.join(names) or 'none'}",
            )
        for name, size in sizes.items():
            if isinstance(size, bool) or not hasattr(size, "__index__"):
                raise error(
                    InvalidType, "bind", f"{name} is {size!r}; a size must be an int of 0 or more"
                )
        program = self._program.at([index(sizes[name]) for name in names])
        return self._whole()._made(program, self._signature, self._parameters, self._constants)

    def optimize(
        self, passes: str | Sequence[str] = ("simplify", "fold", "simplify"), show: bool = False
    ) -> Graph:
        """A graph that computes the same bits with less, for inference.

        What runs is optimised anyway; this shows what is left, and makes files smaller. Gradients
        do not flow through the result: values that were apart for their sake may have become one.

        Parameters
        ----------
        passes : str or sequence of str
            One, or several in order. "dead_code" removes what nobody needs,
            "common_subexpressions" makes equal operations one, "identities" removes those that do
            nothing; "simplify" is all three.
            "fold" computes what depends on numbers of the program alone. For fixed sizes also:
            "lower" replaces composite operations by those that have kernels, and "recompute"
            computes cheap values again where they are read much later, if that takes less memory.
        show : bool
            Whether to print what each pass changed: nodes, and with fixed sizes the kernels and the
            bytes that a call takes.

        Returns
        -------
        Graph

        Raises
        ------
        InvalidValue
            When there is no such pass, or a size is open that it must know.

        Examples
        --------
        >>> graph = sn.trace(lambda x: sn.exp(x) + sn.exp(x), sn.TensorSpec(("n",)))
        >>> _ = graph.optimize(["simplify"], show=True)
        simplify: 3 -> 2 nodes; -1 exp
        """
        from ._graph_passes import optimized

        return optimized(self._whole(), [passes] if isinstance(passes, str) else passes, show)

    def cut(self, *values: GraphValue | str) -> Graph:
        """The part of the graph that computes some of its values.

        Parameters
        ----------
        *values : GraphValue or str
            Values of this graph, or their names; they become the results.

        Returns
        -------
        Graph
            It takes the same arguments, and returns the value, or a tuple of them.

        Raises
        ------
        InvalidValue
            When a value is none of this graph's.

        Examples
        --------
        >>> graph = sn.trace(lambda x: sn.exp(x * 2) + 1, sn.TensorSpec(()))
        >>> graph.cut("%0")(sn.tensor(3.0)).item()
        6.0
        """
        mine = {v.name: v for v in self._values() if isinstance(v, GraphValue)}
        wanted = []
        for value in values:
            name = name_of("cut", value)
            if name not in mine or (isinstance(value, GraphValue) and value != mine[name]):
                raise error(
                    InvalidValue,
                    "cut",
                    f"{value!r} is no value of this graph; values are its arguments, parameters "
                    "and constants, and the outputs of its nodes",
                )
            wanted.append(mine[name]._id)
        if not wanted:
            raise error(InvalidValue, "cut", "no value is given; at least one is required")
        program, _ = self._program.cut(wanted)
        left = {name for name, _, _, _ in program.inputs()}
        leaves: list[Any] = [{"output": k} for k in range(len(wanted))]
        result = leaves[0] if len(leaves) == 1 else {"tuple": leaves}
        return self._whole()._made(
            program,
            {**self._signature, "result": result},
            {k: v for k, v in self._parameters.items() if k in left},
            {k: v for k, v in self._constants.items() if k in left},
        )

    def rewrite(self, rule: Callable[..., Any]) -> Graph:
        """A graph with other operations in the place of some nodes.

        Parameters
        ----------
        rule : callable
            ``rule(node, *inputs)`` is called for each `GraphNode`, in order, with tensors and
            numbers for its operands. It returns what takes the place of the node's results (a
            tensor, or a tuple of several, of the same shapes and dtypes), computed by any
            functions, or None to keep the node. ``node(*inputs)`` calls the node's own operation.
            Tensors that it uses from outside become constants.

        Returns
        -------
        Graph
            With the same arguments, parameters, open sizes and updates. Nodes that nobody reads any
            more are left out.

        Raises
        ------
        InvalidType, InvalidValue
            When the rule returns something else.

        Examples
        --------
        >>> model = sn.nn.Sequential(sn.nn.Linear(4, 4), sn.nn.ReLU())
        >>> graph = sn.trace(model, sn.TensorSpec(("n", 4)))
        >>> smooth = graph.rewrite(lambda node, x, *_: sn.silu(x) if node.op == "relu" else None)
        >>> [node.op for node in smooth.nodes]
        ['permute', 'matmul', 'add', 'silu']
        """
        return self._rewritten(rule, "rewrite", "the rule", rule)

    def _rewritten(self, rule: Callable[..., Any], op: str, name: str, function: Any) -> Graph:
        from ._rewriting import rewritten

        check_function(op, name, function)
        return rewritten(self._whole(), rule, op)

    def replace(self, value: GraphValue | str, function: Callable[..., Any]) -> Graph:
        """A graph in which a value is computed by a function of the operands of its node.

        Parameters
        ----------
        value : GraphValue or str
            The result of a node, or its name.
        function : callable
            Takes the node's operands, and returns a tensor of the value's shape and dtype.

        Returns
        -------
        Graph

        Examples
        --------
        >>> graph = sn.trace(lambda x: sn.exp(x) + 1, sn.TensorSpec(()))
        >>> graph.replace("%0", lambda x: x * 2)(sn.tensor(3.0)).item()
        7.0
        """
        name = self._result_name(value, "replace")

        def rule(node: GraphNode, *inputs: Any) -> Any:
            found = [k for k, x in enumerate(node.outputs) if x.name == name]
            if not found:
                return None
            if len(node.outputs) == 1:
                return [function(*inputs)]
            results = list(node(*inputs))
            results[found[0]] = function(*inputs)
            return results

        return self._rewritten(rule, "replace", "the function", function)

    def insert(self, value: GraphValue | str, function: Callable[..., Any]) -> Graph:
        """A graph in which whoever reads a value reads a function of it.

        Parameters
        ----------
        value : GraphValue or str
            The result of a node, or its name.
        function : callable
            Takes the value, and returns a tensor of the same shape and dtype.

        Returns
        -------
        Graph

        Examples
        --------
        >>> graph = sn.trace(lambda x: sn.exp(x) + 1, sn.TensorSpec(()))
        >>> graph.insert("%0", lambda x: sn.clip(x, 0.0, 5.0))(sn.tensor(3.0)).item()
        6.0
        """
        name = self._result_name(value, "insert")

        def rule(node: GraphNode, *inputs: Any) -> Any:
            if all(x.name != name for x in node.outputs):
                return None
            made = node(*inputs)
            results = list(made) if isinstance(made, tuple) else [made]
            return [
                function(x) if known.name == name else x
                for x, known in zip(results, node.outputs, strict=True)
            ]

        return self._rewritten(rule, "insert", "the function", function)

    def _result_name(self, value: GraphValue | str, op: str) -> str:
        name = name_of(op, value)
        if all(name != x.name for node in self.nodes for x in node.outputs):
            raise error(
                InvalidValue,
                op,
                f"{value!r} is no result of a node of this graph; see graph.nodes. (To change an "
                "argument or a parameter, trace a function that calls the graph)",
            )
        return name

    def gradient(self, *wrt: GraphValue | str, value: bool = False) -> Graph:
        """A graph that computes the gradient of this one's result.

        Parameters
        ----------
        *wrt : GraphValue or str
            Arguments and parameters, or their names. By default the parameters that require a
            gradient; when there are none, the arguments of floating-point dtypes.
        value : bool
            Whether it returns ``(result, gradients)``.

        Returns
        -------
        Graph
            With the same arguments, parameters and open sizes. It returns a dict from names to
            gradients.

        Raises
        ------
        GradError
            When the graph does not return one tensor of one element.
        InvalidValue
            When there is no such argument or parameter.

        Examples
        --------
        >>> x, w = sn.symbol("x", ("n",)), sn.symbol("w", ("n",))
        >>> graph = sn.Graph([x, w], (x * w).sum())
        >>> slope = graph.gradient("w")
        >>> slope(sn.tensor([1.0, 2.0]), sn.ones(2))["w"].tolist()
        [1.0, 2.0]
        """
        from ._graph_calculus import gradient_of

        return gradient_of(self._whole(), wrt, value)

    def fold_batch_norm(self) -> Graph:
        """A graph for inference in which batch norms that follow a convolution are part of it.

        The weights of the convolution are scaled, once, and what is left is a bias. Results differ
        from those of the graph by rounding, so it is never done unasked. Parameters of the result
        are new tensors, under the convolution's names.

        Returns
        -------
        Graph

        Examples
        --------
        >>> net = sn.nn.Sequential(sn.nn.Conv2d(1, 4, 3, bias=False), sn.nn.BatchNorm2d(4)).eval()
        >>> graph = sn.trace(net, sn.TensorSpec(("n", 1, 8, 8))).fold_batch_norm()
        >>> [node.op for node in graph.nodes], list(graph.parameters)
        (['conv', 'add'], ['0.weight', '0.bias'])
        """
        from ._rewriting import with_batch_norm_folded

        return with_batch_norm_folded(self._whole())
