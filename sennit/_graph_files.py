"""Graphs that are read from files. See docs/graphs.md."""

from __future__ import annotations

from . import _core
from ._core import Tensor
from ._errors import error
from ._graph import Graph
from ._graph_parts import type_text
from ._signature import check_signature


def read_graph(path: str, text: str, tensors: dict[str, Tensor]) -> Graph:
    """The graph of a file whose tensors have been read; everything in it is checked."""
    try:
        program = _core.read_graph(text.encode("utf-8", "surrogatepass"))
    except _core.FileError as cause:
        what = str(cause).split("\n")[0].removeprefix("[load] ").rpartition(" (SN")[0] or str(cause)
        raise error(_core.FileError, "load", f"{path}: {what}") from None
    values = program.values()
    kept: dict[str, dict[str, Tensor]] = {"parameter": {}, "constant": {}}
    arguments = 0
    for name, role, v, requires_grad in program.inputs():
        if role == "argument":
            arguments += 1
            continue
        x = tensors.pop(name, None)
        want = (values[v][1], values[v][2])
        if x is None or (x.shape, x.dtype) != want:
            has = "missing" if x is None else type_text(x.shape, x.dtype)
            raise error(
                _core.FileError,
                "load",
                f"{path}: the graph needs {name!r} as {type_text(*want)}, and the file has it as "
                f"{has}; fetch or save the file again",
            )
        kept[role][name] = x.requires_grad_(True) if requires_grad else x
    if tensors:
        raise error(
            _core.FileError,
            "load",
            f"{path}: the graph does not use {', '.join(map(repr, list(tensors)[:5]))}; fetch or "
            "save the file again",
        )
    try:
        results = len(program.outputs()) - len(program.updates())
        signature = check_signature(program.signature(), arguments, results)
    except (ValueError, RecursionError) as cause:
        raise error(
            _core.FileError,
            "load",
            f"{path}: the signature of the graph is damaged ({cause}); fetch or save the file "
            "again",
        ) from cause
    return Graph._made(program, signature, kept["parameter"], kept["constant"])
