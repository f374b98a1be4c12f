"""Graphs of symbolic programs: traces of the calls that were noted.

See docs/design/018-symbols-and-passes.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from . import _core
from ._core import InvalidType, InvalidValue, Tensor
from ._errors import error
from ._graph_parts import type_text
from ._mutable import Mutable
from ._noted import (
    Call,
    Leaf,
    Ref,
    ancestors,
    filled,
    flatten_all,
    make,
    owners,
    refuse_updates,
)  # fmt: skip
from ._sizes import OTHERWISE, TracedSize, dims_of, note_comparison
from ._symbols import Symbol
from ._tree import flatten

if TYPE_CHECKING:
    from ._graph import Graph


def graph_of(inputs: Any, outputs: Any, module: Any, name: str | None) -> Graph:
    """See `Graph`."""
    from ._graph import Graph
    from ._signature import encode
    from ._tracing import trace_open

    roots: list[Call] = []
    taken: set[str] = set()

    def take(leaf: Any, path: str) -> dict[str, Any]:
        if not isinstance(leaf, Symbol):
            raise error(
                InvalidType,
                "Graph",
                f"the inputs hold a {type(leaf).__name__}; they must be symbols "
                "(sn.symbol(name, shape)), or tuples, lists or dicts of them",
            )
        root = leaf._ref.call
        if root.function is not None:
            raise error(
                InvalidValue,
                "Graph",
                f"the inputs hold {leaf!r}, the result of a call noted {root.where}; inputs are "
                "what sn.symbol has made; for a part of a program use graph.cut, or call what is "
                "behind it on symbols of its own",
            )
        if root in roots or root.name in taken:
            raise error(
                InvalidValue, "Graph", f"two inputs are called '{root.name}'; name them differently"
            )
        taken.add(root.name)
        roots.append(root)
        return {"input": len(roots) - 1}

    named = inputs if isinstance(inputs, dict) else {}
    positional = () if isinstance(inputs, dict) else inputs
    if isinstance(positional, Tensor):
        positional = (positional,)
    args = encode(tuple(positional), None, take, "Graph")
    kwargs = encode(named, None, take, "Graph")
    kept: list[Any] = []

    def give(leaf: Any, path: str) -> dict[str, Any]:
        if isinstance(leaf, Tensor):
            kept.append(leaf)
            return {"output": len(kept) - 1}
        if isinstance(leaf, bool | int | float | str):
            return {"value": leaf}
        raise error(
            InvalidType,
            "Graph",
            f"the outputs hold a {type(leaf).__name__}; they must be symbols, tensors, numbers, "
            "strings, None, or tuples, lists or dicts of them",
        )

    result = encode(outputs, None, give, "Graph")
    refs = [x._ref for x in kept if isinstance(x, Symbol)]
    ends = [ref.call for ref in refs]
    for ref in refs:
        for root in sorted(ref.call.roots - set(roots), key=lambda c: c.order):
            raise error(
                InvalidValue,
                "Graph",
                f"an output depends on the symbol '{root.name}', which is not among the inputs; "
                "add it to them",
            )
    facts = [fact for root in roots for fact in root.facts if fact.roots <= set(roots)]
    calls = sorted(ancestors([*ends, *facts]), key=lambda c: c.order)
    calls = [c for c in calls if c.function is not None]
    handles = Mutable(_all_owned(calls, module, taken))
    dims, shapes = dims_of([(root.name, root.shape) for root in roots])
    specs = [
        (root.name, False, root.shape, root.leaves[0].dtype, root.leaves[0].device)
        for root in roots
    ]
    tensors = handles.tensors
    specs += [(n, True, x.shape, x.dtype, x.device) for n, x in tensors.items()]

    def run(given: list[Tensor]) -> list[Tensor]:
        lane: dict[tuple[Call, int], Any] = {
            (root, 0): x for root, x in zip(roots, given, strict=True)
        }
        for call in calls:
            _replay(call, lane)
        return [lane[x._ref.key] if isinstance(x, Symbol) else x for x in kept]

    program, constants = trace_open(
        run, specs, list(tensors.values()), shapes, dims, lambda: result, handles
    )
    if program.updates():
        refuse_updates(program)
    if name is None:
        from .nn.module import Module

        names = {type(c.function).__name__ for c in calls if isinstance(c.function, Module)}
        name = names.pop() if len(names) == 1 else "graph"
    signature = {"name": name, "args": args, "kwargs": kwargs, "result": result}
    met = [n for n, role, _, _ in program.inputs() if role == "constant"]
    return Graph._made(program, signature, tensors, dict(zip(met, constants, strict=True)))


def _all_owned(calls: list[Call], module: Any, taken: set[str]) -> list[Any]:
    """What the program has parameters of, for `Mutable`: named by `module`, by the one module or
    graph that is called, or by numbers before their names."""
    roots: list[Any] = [module] if module is not None else []
    known = {id(x) for x in Mutable(roots).tensors.values()}
    found: list[tuple[Any, dict[str, Tensor]]] = []
    for owner in [owner for call in calls for owner in owners(call)]:
        tensors = Mutable(owner).tensors
        if any(id(x) not in known for x in tensors.values()):
            known.update(map(id, tensors.values()))
            found.append((owner, tensors))
    for number, (owner, tensors) in enumerate(found):
        alone = len(found) == 1 and not roots and not taken & tensors.keys()
        roots.append(owner if alone else {str(number): owner})
    free: dict[str, Tensor] = {}
    for call in calls:
        for x in flatten_all((call.args, call.kwargs)):
            if isinstance(x, Tensor) and x.requires_grad and id(x) not in known:
                known.add(id(x))
                free[f"parameter.{len(free)}"] = x
    return [*roots, free] if free else roots


def _replay(call: Call, lane: dict[tuple[Call, int], Any]) -> None:
    """Makes a call in a trace. What Python took for fixed must be so at these sizes, too."""
    if call.outcome is not None:
        left, right = filled(call.args, lane)
        held = bool(call.function(int(left), int(right)))
        note_comparison(
            call.where, call.text if held else OTHERWISE[call.text], int(left) - int(right)
        )
        if held != call.outcome:
            _differs(call, f"a comparison of sizes ({call.text}) has another outcome")
        return
    try:
        result = make(call, lane)
    except _core.SennitError as failure:
        raise _at_line(call, failure) from None
    leaves = flatten(result)
    if len(leaves) != len(call.leaves):
        _differs(call, "how many results there are")
    for k, (x, known) in enumerate(zip(leaves, call.leaves, strict=True)):
        if isinstance(known, Ref):
            continue
        if not isinstance(known, Leaf):
            if x != known:
                _differs(call, f"a result ({x!r} instead of {known!r})")
            continue
        if known.dtype is None:
            if known.at[0] == known.at[1] and x != known.at[0]:
                _differs(call, f"an int ({x} instead of {known.at[0]})")
            lane[call, k] = x if isinstance(x, TracedSize) else TracedSize(x)
            continue
        fixed = [(a, n) for a, b, n in zip(*known.at, x.shape, strict=True) if a == b]
        if x.dtype != known.dtype or any(a != n for a, n in fixed):
            want = type_text(known.at[0], known.dtype)
            _differs(call, f"a tensor ({type_text(x.shape, x.dtype)} instead of {want})")
        lane[call, k] = x


def _differs(call: Call, what: str) -> NoReturn:
    raise _at_line(
        call,
        error(
            InvalidValue,
            "Graph",
            f"{what} is another one at other sizes than when the program was written down, where "
            "Python took it as fixed; say which sizes it is for: sn.Dim(..., min=..., max=..., "
            "multiple=...), or trace a function",
        ),
    )


def _at_line(call: Call, failure: Exception) -> Exception:
    """The failure, with the line of the call where no other is known."""
    if call.where and call.where not in str(failure):
        failure.add_note(f"in a call noted {call.where}")
    return failure
