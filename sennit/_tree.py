"""Nested tuples, lists and dicts of tensors: taken apart, and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["flatten", "tree_map", "unflatten"]


def _children(tree: Any) -> list[Any] | None:
    """What a node holds; None for a leaf."""
    if isinstance(tree, dict):
        return list(tree.values())
    if isinstance(tree, list | tuple):
        return list(tree)
    return [] if tree is None else None


def _rebuilt(tree: Any, children: list[Any]) -> Any:
    """A node like `tree` with other children."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        made = dict(zip(tree, children, strict=True))
        return made if type(tree) is dict else type(tree)(made)
    if hasattr(tree, "_fields"):  # a named tuple
        return type(tree)(*children)
    return type(tree)(children)


def flatten(tree: Any) -> list[Any]:
    """The leaves of a tree, in order. None is a tree without leaves.

    Examples
    --------
    >>> from sennit._tree import flatten
    >>> flatten({"a": 1, "b": (2, [3, None])})
    [1, 2, 3]
    """
    children = _children(tree)
    if children is None:
        return [tree]
    return [leaf for child in children for leaf in flatten(child)]


def unflatten(tree: Any, leaves: Iterator[Any]) -> Any:
    """A tree like `tree` whose leaves are taken from `leaves`.

    Examples
    --------
    >>> from sennit._tree import unflatten
    >>> unflatten({"a": 1, "b": (2, [3])}, iter("xyz"))
    {'a': 'x', 'b': ('y', ['z'])}
    """
    children = _children(tree)
    if children is None:
        return next(leaves)
    return _rebuilt(tree, [unflatten(child, leaves) for child in children])


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """A tree of the results of `function` on each leaf.

    Examples
    --------
    >>> from sennit._tree import tree_map
    >>> tree_map(lambda x: x + 1, (1, [2, 3]))
    (2, [3, 4])
    """
    children = _children(tree)
    if children is None:
        return function(tree)
    return _rebuilt(tree, [tree_map(function, child) for child in children])


def broadcast_prefix(prefix: Any, tree: Any, is_leaf: Callable[[Any], bool]) -> list[Any] | None:
    """For each leaf of `tree` what `prefix`, a tree that may end earlier, says of it; None when the
    two do not fit."""
    if is_leaf(prefix):
        return [prefix] * len(flatten(tree))
    have, want = _children(prefix), _children(tree)
    if have is None or want is None or len(have) != len(want):
        return None
    if isinstance(prefix, dict) != isinstance(tree, dict):
        return None
    if isinstance(prefix, dict):
        if prefix.keys() != tree.keys():
            return None
        have = [prefix[key] for key in tree]
    found: list[Any] = []
    for p, t in zip(have, want, strict=True):
        part = broadcast_prefix(p, t, is_leaf)
        if part is None:
            return None
        found += part
    return found
