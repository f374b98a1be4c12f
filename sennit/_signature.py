"""How the arguments and results of a graph are nested: as data, so that a file can hold it.

A structure is a dict with one member: ``{"tuple": [...]}``, ``{"list": [...]}``,
``{"dict": [[key, structure], ...]}``, ``{"input": k}``, ``{"output": k}``, ``{"value": number or
text}`` or ``{"none": True}``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import _core
from ._core import InvalidType, InvalidValue, Tensor
from ._errors import error

Structure = dict[str, Any]


def encode(
    tree: Any, names: Sequence[str] | None, leaf: Callable[[Any, str], Structure], op: str
) -> Structure:
    """The structure of a tree. `names` are those of its children; paths are made of them."""

    def walk(x: Any, path: str, names: Sequence[str] | None = None) -> Structure:
        if x is None:
            return {"none": True}
        if isinstance(x, dict):
            for key in x:
                if not isinstance(key, str):
                    raise error(
                        InvalidType, op, f"a dict has the key {key!r}; keys must be strings"
                    )
            return {"dict": [[k, walk(v, f"{path}.{k}" if path else k)] for k, v in x.items()]}
        if isinstance(x, list | tuple):
            paths = names or [f"{path}.{i}" for i in range(len(x))]
            kind = "list" if isinstance(x, list) else "tuple"
            return {kind: [walk(v, p) for v, p in zip(x, paths, strict=True)]}
        return leaf(x, path)

    return walk(tree, "", names)


def build(structure: Structure, tensors: Sequence[Tensor]) -> Any:
    """A tree of this structure with these tensors at its inputs or outputs."""
    ((kind, inner),) = structure.items()
    if kind == "tuple":
        return tuple(build(x, tensors) for x in inner)
    if kind == "list":
        return [build(x, tensors) for x in inner]
    if kind == "dict":
        return {key: build(x, tensors) for key, x in inner}
    if kind == "value":
        return inner
    return None if kind == "none" else tensors[inner]


def gather(structure: Structure, tree: Any, path: str, found: list[Tensor]) -> None:
    """Appends the tensors at the inputs, in order; fails where a tree has another structure."""

    def differs(wanted: str) -> Exception:
        return error(
            InvalidType,
            "graph",
            f"{path} is {_text(tree)}; this graph was traced with {wanted} there",
        )

    ((kind, inner),) = structure.items()
    if kind == "input":
        if not isinstance(tree, Tensor):
            import numpy as np

            if not isinstance(tree, np.ndarray | np.generic):
                raise differs("a tensor")
            tree = _core.asarray(tree)
        found.append(tree)
    elif kind in ("tuple", "list"):
        if not isinstance(tree, tuple if kind == "tuple" else list) or len(tree) != len(inner):
            raise differs(f"a {kind} of {len(inner)}")
        for i, x in enumerate(inner):
            gather(x, tree[i], f"{path}[{i}]", found)
    elif kind == "dict":
        keys = [key for key, _ in inner]
        if not isinstance(tree, dict) or set(tree) != set(keys):
            raise differs(f"a dict with the keys {keys}")
        for key, x in inner:
            gather(x, tree[key], f"{path}[{key!r}]", found)
    elif kind == "none":
        if tree is not None:
            raise differs("None")
    elif type(tree) is not type(inner) or tree != inner:
        raise error(
            InvalidValue,
            "graph",
            f"{path} is {_text(tree)}; this graph was traced with {inner!r}, which is part of it; "
            "trace the function again for another value",
        )


def _text(x: Any) -> str:
    if isinstance(x, list | tuple):
        return f"a {type(x).__name__} of {len(x)}"
    if isinstance(x, dict):
        return f"a dict with the keys {list(x)}"
    if isinstance(x, bool | int | float | str) or x is None:
        return repr(x)
    return f"a {type(x).__name__}"


def argument_names(function: Callable[..., Any], args: Sequence[Any]) -> list[str]:
    """What the function calls its positional arguments."""
    import inspect

    plain = [f"arg{i}" for i in range(len(args))]
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return plain
    found = []
    for i, name in enumerate(plain):
        given = parameters[i] if i < len(parameters) else None
        by_position = given is not None and given.kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        found.append(given.name if given is not None and by_position else name)
    return found


def check_signature(text: str, inputs: int, outputs: int) -> dict[str, Any]:
    """A signature from a file; ValueError when it is not one for so many inputs and outputs."""
    import json

    signature = json.loads(text)
    wanted = {"name": str, "args": dict, "kwargs": dict, "result": dict}
    if not isinstance(signature, dict) or set(signature) != set(wanted):
        raise ValueError(f"its members must be {', '.join(wanted)}")
    for name, kind in wanted.items():
        if not isinstance(signature[name], kind):
            raise ValueError(f"{name} is no {kind.__name__}")
    seen: list[int] = []

    def walk(x: Any, leaf: str) -> None:
        if not isinstance(x, dict) or len(x) != 1:
            raise ValueError("a structure has not one member")
        ((kind, inner),) = x.items()
        if kind in ("tuple", "list") and isinstance(inner, list):
            for child in inner:
                walk(child, leaf)
        elif kind == "dict" and isinstance(inner, list):
            for pair in inner:
                if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
                    raise ValueError("an item of a dict is no pair of a text and a structure")
                walk(pair[1], leaf)
            if len({pair[0] for pair in inner}) != len(inner):
                raise ValueError("a dict has a key twice")
        elif kind == leaf and isinstance(inner, int) and not isinstance(inner, bool):
            seen.append(inner)
        elif kind == "value" and isinstance(inner, bool | int | float | str):
            return
        elif kind != "none" or inner is not True:
            raise ValueError(f"a structure is {str(x)[:80]}")

    if list(signature["args"]) != ["tuple"] or list(signature["kwargs"]) != ["dict"]:
        raise ValueError("arguments are no tuple, or named ones no dict")
    walk(signature["args"], "input")
    walk(signature["kwargs"], "input")
    if seen != list(range(inputs)):
        raise ValueError("it does not name every argument once, in order")
    seen.clear()
    walk(signature["result"], "output")
    if any(not 0 <= k < outputs for k in seen):
        raise ValueError("a result does not exist")
    return signature
