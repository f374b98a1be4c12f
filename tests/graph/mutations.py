"""Damaged graphs: what a file may hold that no version of ours has written."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

import sennit as sn

NUMBERS = (0, 1, -1, 2, 3, 7, 64, 2**31, 2**48 - 1, 2**62, -(2**63), 2**63 - 1)
DTYPES = ("bool", "int8", "int32", "int64", "uint64", "float16", "float32", "float64", "complex64")
MOST_ELEMENTS = 1 << 16


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of a tree where a value or a list stands."""
    yield path
    children = tree.items() if isinstance(tree, dict) else enumerate(tree)
    if isinstance(tree, dict | list):
        for key, child in children:
            if isinstance(child, dict | list):
                yield from leaves(child, (*path, key))
            else:
                yield (*path, key)


def parent(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        tree = tree[key]
    return tree


def other(value: Any, rng: random.Random, ops: list[str]) -> Any:
    """Something else of the same kind, mostly."""
    if rng.random() < 0.05:
        return rng.choice([None, [], {}, "", 1.5, True, "x", [1, 2], {"a": 1}])
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = value + rng.choice((-1, 1, 2, -2))
        return rng.choice((near, near, rng.choice(NUMBERS)))
    if isinstance(value, float):
        return rng.choice((0.0, -value, 1e300, "inf", "nan", -1.0))
    if isinstance(value, str):
        return rng.choice(DTYPES) if value in DTYPES else rng.choice(ops)
    if isinstance(value, list):
        made = list(value)
        what = rng.randrange(4)
        if what == 0 and made:
            made.pop(rng.randrange(len(made)))
        elif what == 1 and made:
            made.insert(rng.randrange(len(made) + 1), copy.deepcopy(rng.choice(made)))
        elif what == 2:
            rng.shuffle(made)
        else:
            made.append(0)
        return made
    return value


def mutated(graph: Any, rng: random.Random, ops: list[str]) -> str:
    """A graph with one to three things changed."""
    made = copy.deepcopy(graph)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = [p for p in leaves(made) if p and p[0] != "sites"]
        nodes = [p for p in places if p[0] in ("nodes", "numbers", "blocks") and len(p) > 2]
        path = rng.choice(nodes if nodes and rng.random() < 0.8 else places)
        parent(made, path)[path[-1]] = other(parent(made, path)[path[-1]], rng, ops)
    # What a result has to be is known to who damages a file on purpose.
    return json.dumps(made)


def try_graph(text: str, rng: random.Random) -> bool:
    """Reads a graph, and runs it where it can be read; whether it ran."""
    try:
        program = sn._core.read_graph(text.encode())
    except sn.FileError:
        return False
    sizes = program.sizes()
    if sizes:  # other sizes than those that were checked when it was read
        try:
            tried = [min(rng.choice((0, 1, 2, 5, 9)), most) for _, _, most, _, _ in sizes]
            bound = program.at(tried)
            if rng.random() < 0.5:
                program = bound
        except sn.SennitError as e:
            if isinstance(e, sn.InternalError):
                raise
    values = program.values()
    elements = sum(int(np.prod(shape, dtype=object)) for _, shape, _ in values)
    if elements > MOST_ELEMENTS:
        return False
    given = []
    for _, _, v, _ in program.inputs():
        _, shape, dtype = values[v]
        high = rng.choice((1, 2, 100))
        given.append(sn.asarray(np.random.default_rng(0).integers(0, high, shape)).to(dtype))
    sn._core.set_most_steps(50)  # of a loop that has no end any more
    try:
        for x in program.call(given):
            x.numpy()
        program.plan()
    except sn.SennitError as e:
        if isinstance(e, sn.InternalError):
            raise
    finally:
        sn._core.set_most_steps(0)
    return True


def repaired(text: str) -> Iterator[str]:
    """The text with the shapes that the error asks for, again and again: ill-typed calls that the
    rules of shapes accept are found only so."""
    for _ in range(6):
        yield text
        try:
            sn._core.read_graph(text.encode())
            return
        except sn.FileError as e:
            message = str(e)
        if "by its rules and" not in message:
            return
        is_, was = message.split(" is ", 2)[2].split(" by its rules and ")
        was = was.split(" by the file")[0]
        text = text.replace(json.dumps(_meta(was)), json.dumps(_meta(is_)))


def _meta(text: str) -> dict[str, Any]:
    name, _, shape = text.partition("(")
    sizes = [int(s) for s in shape.rstrip(")").split(",") if s.strip()]
    return {"dtype": name, "shape": sizes}
