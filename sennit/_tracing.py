"""Tracing: functions become graphs by being called once, on tensors without elements.

See docs/graphs.md and docs/design/011-graphs.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from . import _core
from ._core import InvalidType, InvalidValue, Tensor
from ._errors import error
from ._graph import Graph
from ._graph_parts import type_text
from ._mutable import Mutable
from ._signature import argument_names, build, encode
from ._sizes import Dim, comparisons, dims_of, examples, watched

__all__ = ["TensorSpec", "trace"]


def _is_size(x: Any) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x >= 0


class TensorSpec:
    """What is known of an argument before there is one: shape and dtype, for `sn.trace`.

    Parameters
    ----------
    shape : sequence of int, str, Dim or None
        Sizes that are ints are fixed. A name (or a `Dim`, which may have limits) leaves a size
        open: the graph serves every size, and arguments that have the same name in their shapes
        must agree in it. None leaves a size open that no other argument has.
    dtype : dtype
        float32 by default.
    name : str, optional
        What the graph calls the argument; by default the name of the function's parameter.
    device : str
        Where the argument will be; "cpu" by default.

    Raises
    ------
    InvalidValue
        When a size is negative, or something else.

    Examples
    --------
    >>> sn.TensorSpec((32, 784))
    TensorSpec(float32[32, 784])
    >>> sn.TensorSpec(("batch", 784))
    TensorSpec(float32[batch, 784])
    """

    __slots__ = ("device", "dtype", "name", "shape")

    def __init__(
        self,
        shape: Sequence[int | str | Dim | None],
        dtype: Any = _core.float32,
        name: str | None = None,
        device: str = "cpu",
    ) -> None:
        self.shape = tuple(shape)
        self.dtype = _core.dtype(dtype)
        self.name = name
        self.device = device
        for size in self.shape:
            if isinstance(size, str):
                Dim(size)
            elif not (size is None or isinstance(size, Dim) or _is_size(size)):
                raise error(
                    InvalidValue,
                    "TensorSpec",
                    f"the shape {self.shape} has the size {size!r}; every size must be an int, 0 "
                    "or more, or a name, a sn.Dim or None for a size that is left open",
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
def trace(
    function: Callable[..., Any], *specs: Any, mutable: Any = None, **named: Any
) -> Graph: ...
def trace(function: Any, *specs: Any, mutable: Any = None, **named: Any) -> Any:
    """The graph of what a function does with its arguments.

    The function is called once, with tensors that have shapes and dtypes but no elements. What it
    calls is recorded; Python itself (loops, branches on shapes) is over afterwards. Random numbers
    are drawn anew at every call of the graph, as in the function.

    With open sizes the function is called several times, at example sizes. Everything that differs
    between the graphs must follow from the sizes (sums, products, quotients of sizes); then one
    graph serves all sizes.

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
    mutable : module, graph, optimizer, tensor, or list or dict of them, optional
        What the function may write: parameters, statistics and the state of optimizers. They become
        parameters of the graph, and every call writes them as the function does: a whole step of
        training is a graph. Gradients begin as None in each call. Of a graph, it is its parameters.
        In a dict, names begin with the
        keys.

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
        (`sn.Function`). When the operations themselves depend on an open size.
    InvalidType
        When arguments or results are something else.

    Examples
    --------
    >>> layer = sn.nn.Linear(3, 2)
    >>> graph = sn.trace(lambda x: sn.relu(layer(x)), sn.TensorSpec((4, 3)))
    >>> graph(sn.ones((4, 3))).shape
    (4, 2)

    A graph for any batch:

    >>> graph = sn.trace(lambda x: sn.relu(layer(x)), sn.TensorSpec(("batch", 3)))
    >>> graph(sn.ones((7, 3))).shape
    (7, 2)

    Gradients are graphs too:

    >>> slope = sn.trace(sn.grad(lambda x: (x**3).sum()), sn.TensorSpec((2,)))
    >>> slope(sn.tensor([1.0, 2.0])).tolist()
    [3.0, 12.0]

    A step of training is one when it may write the model and the optimizer's state:

    >>> optimizer = sn.optim.Adam(layer.parameters(), lr=0.1)
    >>> def step(x, y):
    ...     loss = (layer(x) - y).square().mean()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> batch = sn.TensorSpec(("batch", 3)), sn.TensorSpec(("batch", 2))
    >>> graph = sn.trace(step, *batch, mutable=[layer, optimizer])
    >>> losses = [graph(sn.ones((4, 3)), sn.zeros((4, 2))).item() for _ in range(20)]
    >>> losses[-1] < losses[0]
    True

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
        inputs.append((name, False, tuple(leaf.shape), leaf.dtype, leaf.device))
        chosen.append(leaf)
        return {"input": len(inputs) - 1}

    args = encode(specs, names, take, "trace")
    kwargs = encode(named, None, take, "trace")
    count = len(inputs)
    if mutable is not None and module is not None:
        raise error(
            InvalidValue,
            "trace",
            "mutable is given and the function is a module; trace a function that calls it",
        )
    dims, shapes = dims_of([(name, shape) for name, _, shape, _, _ in inputs])
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

    def traced(handles: Mutable | None) -> tuple[_core.Program, list[Tensor]]:
        tensors = handles.tensors if handles else {}
        for name in tensors:
            if name in taken:
                raise error(
                    InvalidValue,
                    "trace",
                    f"an argument and a tensor of mutable are named '{name}'; rename the argument: "
                    f"sn.TensorSpec(..., name='...')",
                )
        extra = [(name, True, x.shape, x.dtype, x.device) for name, x in tensors.items()]
        all_inputs = inputs + extra
        return trace_open(
            run, all_inputs, list(tensors.values()), shapes, dims, lambda: result, handles
        )

    handles = None
    if mutable is not None:
        fresh = Mutable(mutable)
        handles = fresh.begun(lambda: traced(fresh))
    program, constants = traced(handles)
    kind = type(module).__name__ if module is not None else None
    name = kind or getattr(function, "__name__", type(function).__name__)
    signature = {"name": name, "args": args, "kwargs": kwargs, "result": result}
    called = [n for n, role, _, _ in program.inputs() if role == "constant"]
    kept = handles.tensors if handles else parameters
    return Graph._made(program, signature, kept, dict(zip(called, constants, strict=True)))


def trace_open(
    run: Callable[[list[Tensor]], list[Tensor]],
    inputs: list[tuple[Any, ...]],
    tensors: list[Tensor],
    shapes: list[list[Any]],
    dims: list[Dim],
    result: Callable[[], dict[str, Any]],
    handles: Mutable | None,
) -> tuple[_core.Program, list[Tensor]]:
    """Traces once, or with open sizes at examples of them. `shapes`: of the arguments; `tensors`:
    what the last inputs stand for, when the function may write it."""

    def once(inputs: list[tuple[Any, ...]]) -> tuple[_core.Program, list[Tensor]]:
        try:
            return _core.trace_graph(run, inputs, tensors)
        finally:
            if handles is not None:
                handles.after_trace()

    if not dims:
        return once(inputs)
    index = {dim.name: k for k, dim in enumerate(dims)}

    def at(sizes: Sequence[int]) -> list[tuple[Any, ...]]:
        fixed = []
        for (name, parameter, _, dtype, device), shape in zip(inputs, shapes, strict=False):
            known = tuple(sizes[index[s.name]] if isinstance(s, Dim) else s for s in shape)
            fixed.append((name, parameter, known, dtype, device))
        return fixed + inputs[len(shapes) :]

    first_failure: Exception | None = None
    for rows in examples(dims):
        probes, compared = [], []
        structure = None
        try:
            for sizes in rows:
                with watched() as made:
                    probes.append((list(sizes), *once(at(sizes))))
                compared.append(made)
                if structure not in (None, result()):
                    raise error(
                        InvalidValue,
                        "trace",
                        "what the function returns depends on an open size: a number, or how many "
                        "tensors; return a tensor of it, or fix that size",
                    )
                structure = result()
        except _core.SennitError as failure:
            # The function may not be for such sizes; others are tried.
            if first_failure is None:
                text = ", ".join(f"{d.name} = {n}" for d, n in zip(dims, sizes, strict=True))
                failure.add_note(
                    f"traced with {text}; sn.Dim('{dims[0].name}', min=..., max=..., multiple=...) "
                    "says which sizes the function is for"
                )
                first_failure = failure
            continue
        limits = [(d.name, d.min, d._most, d.multiple) for d in dims]
        where = [
            (i, axis, index[s.name])
            for i, shape in enumerate(shapes)
            for axis, s in enumerate(shape)
            if isinstance(s, Dim)
        ]
        return _core.open_graph(probes, limits, where, comparisons(compared)), probes[0][2]
    assert first_failure is not None
    raise first_failure
