"""Passes over graphs, one by one, and what each of them changes. See docs/graphs.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from ._graph import Graph


def optimized(graph: Graph, passes: Sequence[str], show: bool) -> Graph:
    """See `Graph.optimize`."""
    program, constants = graph._program, list(graph._constants.values())
    for name in passes:
        before = program
        program, constants = program.apply(name, constants)
        if show:
            print(_difference(name, before, program))
    names = [name for name, role, _, _ in program.inputs() if role == "constant"]
    made = dict(zip(names, constants, strict=True))
    return graph._made(program, graph._signature, graph._parameters, made)


def _difference(name: str, before: _core.Program, after: _core.Program) -> str:
    counts: dict[str, int] = {}
    for program, sign in ((before, -1), (after, 1)):
        for node in program.nodes():
            counts[node[0]] = counts.get(node[0], 0) + sign
    changed = ", ".join(f"{n:+d} {op}" for op, n in sorted(counts.items()) if n)
    text = f"{name}: {len(before.nodes())} -> {len(after.nodes())} nodes"
    if changed:
        text += f"; {changed}"
    if changed and not before.sizes() and not _has_blocks(before):
        old, new = before.plan(), after.plan()
        rows = (("kernels", "kernels"), ("bytes of arena", "arena"))
        for what, key in rows:
            if old[key] != new[key]:
                text += f"; {old[key]:,} -> {new[key]:,} {what}"
    return text


def _has_blocks(program: _core.Program) -> bool:
    """Whether it has control flow, for which there is no plan."""
    return any(program.blocks(k) for k in range(len(program.nodes())))
