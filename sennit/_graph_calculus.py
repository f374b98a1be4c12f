"""Gradients of graphs, as graphs. See docs/graphs.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from ._core import GradError, InvalidValue, Tensor
from ._errors import error
from ._graph_edited import name_of
from ._signature import build, gather
from ._tracing import TensorSpec, trace
from .autograd import enable_grad, pull_back

if TYPE_CHECKING:
    from ._graph import Graph


def specs_of(graph: Graph) -> list[Any]:
    """What the arguments of a graph are, for `trace`."""
    sizes = graph.sizes
    return [
        TensorSpec(
            [sizes[str(n)] if not isinstance(n, int) else n for n in value.shape],
            value.dtype,
            value.name,
        )
        for value in graph.inputs
    ]


def gradient_of(graph: Graph, wrt: tuple[Any, ...], value: bool) -> Graph:
    """See `Graph.gradient`."""
    outputs = graph.outputs
    if len(outputs) != 1 or any(size != 1 for size in outputs[0].shape) or graph._updates:
        found = ", ".join(map(repr, outputs)) or "nothing"
        raise error(
            GradError,
            "gradient",
            f"the graph returns {found}"
            + (" and writes parameters" if graph._updates else "")
            + "; a gradient is that of one tensor of one element: cut the graph at it, or trace a "
            "function that calls the graph and reduces its results",
        )
    names = [name for name, role, _, _ in graph._program.inputs() if role != "constant"]
    kinds = {x.name: x.dtype for x in (*graph.inputs, *graph._inputs("parameter"))}
    wanted = [name_of("gradient", x) for x in wrt]
    if not wanted:
        wanted = [name for name, x in graph._parameters.items() if x.requires_grad]
    if not wanted:
        wanted = [x.name for x in graph.inputs if x.dtype.is_floating_point]
    real = [n for n in names if kinds[n].is_floating_point]
    for name in wanted:
        if name not in real:
            raise error(
                InvalidValue,
                "gradient",
                f"a gradient in {name!r} is asked for; there is one in arguments and parameters of "
                f"floating-point dtypes: {', '.join(real) or 'none here'}",
            )
    places = [names.index(name) for name in wanted]
    specs = specs_of(graph)
    signature = graph._signature
    args, kwargs = build(signature["args"], specs), build(signature["kwargs"], specs)

    def run(*positional: Any, **named: Any) -> Any:
        given: list[Tensor] = []
        gather(signature["args"], positional, "args", given)
        gather(signature["kwargs"], named, "kwargs", given)
        tensors = [*given, *graph._stand]
        graph._note_conditions(given)
        with enable_grad():
            for place in places:
                tensors[place] = _core.make_relay(tensors[place])
            made = graph._program.call(tensors)
            grads = pull_back(made, [tensors[place] for place in places], None)
        by_name = dict(zip(wanted, grads, strict=True))
        return (build(signature["result"], made), by_name) if value else by_name

    run.__name__ = f"gradient of {graph.name}"
    return trace(run, *args, mutable=graph._parameters or None, **kwargs)
