"""Graphs that stand by themselves: traced functions, to be looked at, planned, called and saved.

See docs/graphs.md and docs/design/011-graphs.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import _core
from ._core import InvalidValue, Tensor
from ._errors import error
from ._graph_parts import GraphNode, GraphValue, MemoryPlan, block_lines, float_text
from ._signature import build, gather
from ._sizes import MOST, Dim, Size
from .autograd import no_grad

__all__ = ["Graph"]


class Graph:
    """A program as data: what a function did with its arguments, without the function.

    `sn.trace` makes it from a function, `sn.load` from a file; ``Graph(inputs, outputs)`` makes it
    from a program that is written with symbols (`sn.symbol`). Calling it gives the bits that the
    function gives, on arguments of the same shapes and dtypes, and gradients flow through it as
    through the function. Parameters are the module's own tensors: a graph sees what training does
    to them.

    Parameters
    ----------
    inputs : symbol, or list, tuple or dict of them
        What calls give: by position, or by the names of a dict.
    outputs : symbol, or nested structure of them
        What calls return; numbers and strings may stand in it, and tensors, which are constants.
    module : sn.nn.Module, or dict of str to Module or Tensor, optional
        Where parameters have their names from. By default the names in the one module or graph that
        the program calls; with several, the names begin with "0.", "1." ... in the order of their
        first calls. Parameters that stand by themselves are "parameter.0", ...
    name : str, optional

    Raises
    ------
    InvalidType, InvalidValue
        When an input is no symbol, or an output depends on one that is no input. When a call of
        the program is another one at other sizes; the error names it and its line.

    Examples
    --------
    >>> graph = sn.trace(lambda x, y: sn.relu(x @ y), sn.TensorSpec((2, 3)), sn.TensorSpec((3, 1)))
    >>> graph(sn.ones((2, 3)), sn.ones((3, 1))).tolist()
    [[3.0], [3.0]]

    >>> a, b = sn.symbol("a", ("n",)), sn.symbol("b", ("n",))
    >>> graph = sn.Graph([a, b], {"sum": a + b, "dot": a @ b})
    >>> graph(sn.ones(3), sn.ones(3))["dot"].item()
    3.0
    """

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

    def __new__(
        cls, inputs: Any, outputs: Any, *, module: Any = None, name: str | None = None
    ) -> Graph:
        from ._symbol_graphs import graph_of

        return graph_of(inputs, outputs, module, name)

    @classmethod
    def _made(
        cls,
        program: _core.Program,
        signature: dict[str, Any],
        parameters: Mapping[str, Tensor],
        constants: Mapping[str, Tensor],
    ) -> Graph:
        self = object.__new__(cls)
        self._program = program
        self._signature = signature
        self._parameters = dict(parameters)
        self._constants = dict(constants)
        self._stand = [*self._parameters.values(), *self._constants.values()]
        names = [name for name, _, _, _ in program.inputs()]
        self._updates = [names[i] for i in program.updates()]
        self.name = signature["name"]
        return self

    # ------------------------------------------------------------ calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the graph.

        Parameters
        ----------
        *args, **kwargs
            As the function was traced with: the same structure, shapes and dtypes.

        Returns
        -------
        What the function returned, with tuples for named tuples.

        Raises
        ------
        InvalidType
            When the structure is another one.
        ShapeError, DTypeError, DeviceError
            When a tensor has another shape, dtype or device than the one that was traced.

        Examples
        --------
        >>> graph = sn.trace(lambda x: {"twice": x * 2}, sn.TensorSpec((2,)))
        >>> graph(sn.ones(2))["twice"].tolist()
        [2.0, 2.0]
        """
        if _core.has_symbols((args, kwargs)):
            from ._noted import dispatch

            return dispatch(self, args, kwargs)
        given: list[Tensor] = []
        gather(self._signature["args"], args, "args", given)
        gather(self._signature["kwargs"], kwargs, "kwargs", given)
        if not self._updates:
            return build(self._signature["result"], self._program.call(given + self._stand))
        with no_grad():
            made = self._program.call(given + self._stand)
            kept = len(made) - len(self._updates)
            for name, value in zip(self._updates, made[kept:], strict=True):
                self._parameters[name].assign_(value)
        _core.flush()  # as a step of an optimizer does: it runs while Python goes on
        return build(self._signature["result"], made[:kept])

    # ------------------------------------------------------------ looking at it

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
        program = self._program.at([sizes[name] for name in names])
        return Graph._made(program, self._signature, self._parameters, self._constants)

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
        )

    # ------------------------------------------------------------ other graphs made of it

    def optimize(
        self, passes: Sequence[str] = ("simplify", "fold", "simplify"), show: bool = False
    ) -> Graph:
        """A graph that computes the same bits with less, for inference.

        What runs is optimised anyway, when it is planned; this shows what is left, and makes files
        smaller. Gradients do not flow through the result: values that were kept apart for their
        sake (a detached tensor and the tensor) may have become one.

        Parameters
        ----------
        passes : sequence of str
            In order; each may come several times. "lower" replaces composite operations by those
            that have kernels; "simplify" removes dead code, equal operations and operations that
            do nothing; "fold" computes what depends on numbers of the program alone.
        show : bool
            Whether to print what each pass changed.

        Returns
        -------
        Graph

        Raises
        ------
        InvalidValue
            When there is no such pass.

        Examples
        --------
        >>> graph = sn.trace(lambda x: sn.exp(x) + sn.exp(x), sn.TensorSpec((2,)))
        >>> _ = graph.optimize(["simplify"], show=True)
        simplify: 3 -> 2 nodes; -1 exp
        """
        program, constants = self._program, list(self._constants.values())
        for name in passes:
            before = program
            program, constants = program.apply(name, constants)
            if show:
                print(_difference(name, before, program))
        names = [name for name, role, _, _ in program.inputs() if role == "constant"]
        made = dict(zip(names, constants, strict=True))
        return Graph._made(program, self._signature, self._parameters, made)

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
            name = value if isinstance(value, str) else value.name
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
        return Graph._made(
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
        from ._rewriting import rewritten

        return rewritten(self, rule, "rewrite")

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
            made = function(*inputs)
            if len(node.outputs) == 1:
                return made
            results = list(node(*inputs))
            results[found[0]] = made
            return results

        return self.rewrite(rule)

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

        return self.rewrite(rule)

    def _result_name(self, value: GraphValue | str, op: str) -> str:
        name = value if isinstance(value, str) else value.name
        if all(name != x.name for node in self.nodes for x in node.outputs):
            raise error(
                InvalidValue,
                op,
                f"{value!r} is no result of a node of this graph; see graph.nodes",
            )
        return name

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

        return with_batch_norm_folded(self)

    # ------------------------------------------------------------ files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the graph and its tensors to one file, which `sn.load` reads.

        The file is a safetensors file whose metadata holds the graph: other programs can read the
        weights from it. It holds no code. It appears complete or not at all, and has a checksum.

        Parameters
        ----------
        path : path
            Usually ending in ``.sn``.

        Raises
        ------
        InvalidValue
            When the graph holds an operation that files cannot hold yet.
        FileError
            When the file cannot be written; an older one is still there.

        Examples
        --------
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.sn")
        >>> sn.trace(sn.nn.Linear(2, 1), sn.TensorSpec((4, 2))).save(path)
        >>> sn.load(path)(sn.ones((4, 2))).shape
        (4, 1)
        """
        import json

        from ._files import GRAPH, save

        trained = [name for name, x in self._parameters.items() if x.requires_grad]
        text = self._program.write(json.dumps(self._signature, separators=(",", ":")), trained)
        save({**self._parameters, **self._constants}, path, {GRAPH: text})

    def to_onnx(
        self,
        path: str | os.PathLike[str],
        opset: int = 18,
        external_data: bool | None = None,
        check: bool = True,
    ) -> None:
        """Writes the graph as an ONNX model, which other runtimes run (``pip install
        sennit[onnx]``).

        Arguments keep their names, results are called after their place in what a call returns
        ("output", "output.0", "tags"), and parameters are initialisers under their own names. Open
        sizes stay open. See docs/export.md.

        Parameters
        ----------
        path : path
            Usually ending in ``.onnx``. It appears complete or not at all.
        opset : int
            The version of ONNX's operators: 18 to 28.
        external_data : bool, optional
            Whether tensors go to a file beside the model, ``path + ".data"``; by default when they
            have more than the 2 GiB that a model file can hold.
        check : bool
            Whether ONNX's own checker and its inference of shapes go over the model.

        Raises
        ------
        InvalidValue
            When an operation has no expression in ONNX; the error names it, its node, the line and
            what to do. `sn.onnx.unsupported` lists such operations.
        ImportError
            When the package onnx is missing.

        Examples
        --------
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "model.onnx")
        >>> sn.trace(sn.nn.Linear(2, 1), sn.TensorSpec((4, 2))).to_onnx(path)
        >>> os.path.getsize(path) > 0
        True
        """
        from .onnx.export import write

        write(self, path, opset, external_data, check)

    def draw(
        self, path: str | os.PathLike[str], profile: Any = None, depth: int | None = None
    ) -> None:
        """Draws the graph: modules in modules, with the shapes of the values between operations.

        A picture (``.svg``) stands still. A page (``.html``) needs nothing but itself, and its
        modules fold, by click or key; it begins with so many folded that at most 120 operations
        show. See docs/pictures.md.

        Parameters
        ----------
        path : path
            Ends in ``.svg`` or ``.html``.
        profile : sn.Profile, optional
            Of calls of this graph: operations show their time (the mean of the calls) and the
            memory of their results. The time of a kernel stands at the first of its operations.
        depth : int, optional
            Modules that lie deeper are folded.

        Raises
        ------
        InvalidValue
            When the path ends otherwise.
        FileError
            When the file cannot be written.

        Examples
        --------
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "net.svg")
        >>> net = sn.nn.Sequential(sn.nn.Linear(8, 4), sn.nn.ReLU())
        >>> sn.trace(net, sn.TensorSpec(("batch", 8))).draw(path)
        >>> os.path.getsize(path) > 0
        True
        """
        from .viz.drawing import draw

        draw(self, path, profile, depth)


def _difference(name: str, before: _core.Program, after: _core.Program) -> str:
    counts: dict[str, int] = {}
    for program, sign in ((before, -1), (after, 1)):
        for node in program.nodes():
            counts[node[0]] = counts.get(node[0], 0) + sign
    changed = ", ".join(f"{n:+d} {op}" for op, n in sorted(counts.items()) if n)
    nodes = f"{name}: {len(before.nodes())} -> {len(after.nodes())} nodes"
    return f"{nodes}; {changed}" if changed else nodes
