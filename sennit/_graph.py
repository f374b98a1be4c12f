"""Graphs that stand by themselves: traced functions, to be looked at, planned, called and saved.

See docs/graphs.md and docs/design/011-graphs.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from . import _core
from ._core import Tensor
from ._graph_edited import _EditedGraph
from ._signature import build, gather
from ._sizes import note_conditions, tracing_sizes
from .autograd import no_grad

__all__ = ["Graph"]


class Graph(_EditedGraph):
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

    __slots__ = ()

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
        self._note_conditions(given)
        if not self._updates:
            return build(self._signature["result"], self._program.call(given + self._stand))
        with no_grad():
            made = self._program.call(given + self._stand)
            kept = len(made) - len(self._updates)
            for name, value in zip(self._updates, made[kept:], strict=True):
                self._parameters[name].assign_(value)
        _core.flush()  # as a step of an optimizer does: it runs while Python goes on
        return build(self._signature["result"], made[:kept])

    def _note_conditions(self, given: Sequence[Tensor]) -> None:
        """In a function that is traced at examples of open sizes, what holds of the sizes here is a
        condition of the graph that comes out, too."""
        if tracing_sizes() and (conditions := self._program.conditions()):
            note_conditions(conditions, self.inputs, given)

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
