"""Tracing: functions become graphs by being called once, on tensors without elements.

See docs/graphs.md and docs/design/011-graphs.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from . import _core
from ._core import InvalidType, InvalidValue, Tensor
from ._errors import error
from ._graph import Graph, type_text
from ._signature import argument_names, build, encode

__all__ = ["TensorSpec", "trace"]


class TensorSpec:
    """What is known of an argument before there is one: shape and dtype, for `sn.trace`.

    Parameters
    ----------
    shape : sequence of int
        Sizes are fixed: a graph serves the shapes that it was traced with.
    dtype : dtype
        float32 by default.
    name : str, optional
        What the graph calls the argument; by default the name of the function's parameter.
    device : str
        Where the argument will be; "cpu" by default.

    Raises
    ------
    InvalidValue
        When a size is negative or left open (None or a name).

    Examples
    --------
    >>> sn.TensorSpec((32, 784))
    TensorSpec(float32[32, 784])
    """

    __slots__ = ("device", "dtype", "name", "shape")

    def __init__(
        self,
        shape: Sequence[int],
        dtype: Any = _core.float32,
        name: str | None = None,
        device: str = "cpu",
    ) -> None:
        self.shape = tuple(shape)
        self.dtype = _core.dtype(dtype)
        self.name = name
        self.device = device
        for size in self.shape:
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise error(
                    InvalidValue,
                    "TensorSpec",
                    f"the shape {self.shape} has the size {size!r}; every size must be an int, 0 "
                    "or more (sizes cannot be left open: trace once for each shape)",
                )

    def __repr__(self) -> str:
        name = f", name={self.name!r}" if self.name else ""
        return f"TensorSpec({type_text(self.shape, self.dtype)}{name})"


def _module_tensors(module: Any) -> tuple[dict[str, Tensor], list[tuple[dict[str, Any], str, str]]]:
    """Parameters and buffers by path (a shared one once), and every place where one stands."""
    from .nn.parameter import is_lazy

    found: dict[str, Tensor] = {}
    known: dict[int, str] = {}
    places: list[tuple[dict[str, Any], str, str]] = []
    for path, owner in module.named_modules(remove_duplicate=False):
        for attribute, value in owner._own("parameter", "buffer"):
            full = f"{path}.{attribute}" if path else attribute
            if is_lazy(value):
                raise error(
                    InvalidValue,
                    "trace",
                    f"'{full}' has no shape yet; call the module once on real data before tracing",
                )
            if id(value) not in known:
                known[id(value)] = full
                found[full] = value
            places.append((owner.__dict__, attribute, known[id(value)]))
    return found, places


@overload
def trace(function: Tensor) -> Tensor: ...
@overload
def trace(function: Callable[..., Any], *specs: Any, **named: Any) -> Graph: ...
def trace(function: Any, *specs: Any, **named: Any) -> Any:
    """The graph of what a function does with its arguments.

    The function is called once, with tensors that have shapes and dtypes but no elements. What it
    calls is recorded; Python itself (loops, branches on shapes) is over afterwards. Random numbers
    are drawn anew at every call of the graph, as in the function.

    Parameters
    ----------
    function : callable or sn.nn.Module
        Takes and returns tensors, or nested tuples, lists and dicts of them. A module's parameters
        and buffers become the graph's, under their names in the `state_dict`; other tensors that
        the function meets become constants. (Of a matrix in its place: the sum of the diagonal, as
        in PyTorch and NumPy.)
    *specs, **named : TensorSpec, Tensor, number, str, None, or nested structure
        The arguments. A tensor stands for its shape and dtype. Numbers, strings and None are fixed:
        calls must give the same.

    Returns
    -------
    Graph

    Raises
    ------
    InvalidValue
        When elements of a tensor are read that depend on an argument (``if x > 0``, ``.item()``):
        the error names the operation and the line. When the function writes an argument, parameter
        or buffer in place (layers in training mode may: call ``eval()``), seeds the random numbers,
        or calls what runs in NumPy (`sn.linalg`, `sn.fft`) or has a gradient written in Python
        (`sn.Function`).
    InvalidType
        When arguments or results are something else.

    Examples
    --------
    >>> layer = sn.nn.Linear(3, 2)
    >>> graph = sn.trace(lambda x: sn.relu(layer(x)), sn.TensorSpec((4, 3)))
    >>> graph(sn.ones((4, 3))).shape
    (4, 2)

    Gradients are graphs too:

    >>> slope = sn.trace(sn.grad(lambda x: (x**3).sum()), sn.TensorSpec((2,)))
    >>> slope(sn.tensor([1.0, 2.0])).tolist()
    [3.0, 12.0]

    Of a matrix:

    >>> sn.trace(sn.eye(3)).item()
    3.0
    """
    if isinstance(function, Tensor):
        return _core.functions["trace"](function, *specs, **named)
    from .nn.module import Module

    if not callable(function):
        raise error(
            InvalidType,
            "trace",
            f"the first argument is a {type(function).__name__}; it must be a function or a module",
        )
    module = function if isinstance(function, Module) else None
    names = argument_names(module.forward if module is not None else function, specs)
    parameters, places = _module_tensors(module) if module is not None else ({}, [])
    taken = set(parameters)
    inputs: list[tuple[Any, ...]] = []
    chosen: list[Tensor | TensorSpec] = []

    def take(leaf: Any, path: str) -> dict[str, Any]:
        if not isinstance(leaf, Tensor | TensorSpec):
            if isinstance(leaf, bool | int | float | str):
                return {"value": leaf}
            raise error(
                InvalidType,
                "trace",
                f"the argument {path} is a {type(leaf).__name__}; it must be a sn.TensorSpec, a "
                "tensor, a number, a string, None, or a tuple, list or dict of them",
            )
        name = getattr(leaf, "name", None) or path
        while name in taken:
            name += "_"
        taken.add(name)
        inputs.append((name, False, leaf.shape, leaf.dtype, leaf.device))
        chosen.append(leaf)
        return {"input": len(inputs) - 1}

    args = encode(specs, names, take, "trace")
    kwargs = encode(named, None, take, "trace")
    count = len(inputs)
    inputs += [(name, True, x.shape, x.dtype, x.device) for name, x in parameters.items()]
    result: dict[str, Any] = {}

    def run(given: list[Tensor]) -> list[Tensor]:
        nonlocal result
        positional, keywords = build(args, given), build(kwargs, given)
        stand_in = dict(zip(parameters, given[count:], strict=True))
        kept = [d[attribute] for d, attribute, _ in places]
        try:
            for d, attribute, name in places:
                d[attribute] = stand_in[name]
            returned = function(*positional, **keywords)
            for d, attribute, name in places:
                if d.get(attribute) is not stand_in[name]:
                    raise error(
                        InvalidValue,
                        "trace",
                        f"the module replaces '{name}' while it is called; a graph has no effects "
                        "on its parameters; call model.eval() first",
                    )
        finally:
            for (d, attribute, _), value in zip(places, kept, strict=True):
                d[attribute] = value
        outputs: list[Tensor] = []

        def give(leaf: Any, path: str) -> dict[str, Any]:
            if isinstance(leaf, Tensor):
                outputs.append(leaf)
                return {"output": len(outputs) - 1}
            if isinstance(leaf, bool | int | float | str):
                return {"value": leaf}
            raise error(
                InvalidType,
                "trace",
                f"the function returned a {type(leaf).__name__}; it must return a tensor, a "
                "number, a string, None, or a tuple, list or dict of them",
            )

        result = encode(returned, None, give, "trace")
        return outputs

    program, constants = _core.trace_graph(run, inputs)
    kind = type(module).__name__ if module is not None else None
    name = kind or getattr(function, "__name__", type(function).__name__)
    signature = {"name": name, "args": args, "kwargs": kwargs, "result": result}
    called = [n for n, role, _, _ in program.inputs() if role == "constant"]
    return Graph(program, signature, parameters, dict(zip(called, constants, strict=True)))
