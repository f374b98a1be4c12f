"""Named results of functions of the registry, and their signatures for ``inspect.signature``."""

from __future__ import annotations

import ast
import inspect
from typing import Any, NamedTuple

from ._core import Tensor


class UniqueAllResult(NamedTuple):
    """What `unique_all` returns."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCountsResult(NamedTuple):
    """What `unique_counts` returns."""

    values: Tensor
    counts: Tensor


class UniqueInverseResult(NamedTuple):
    """What `unique_inverse` returns."""

    values: Tensor
    inverse_indices: Tensor


def signature_of(function: Any) -> inspect.Signature:
    """The parameters of a function of the registry.

    Examples
    --------
    >>> import inspect
    >>> str(inspect.signature(sn.flip))
    '(x, axis=None)'
    """
    tree = ast.parse(f"def f{function.__text_signature__}: pass").body[0]
    assert isinstance(tree, ast.FunctionDef)
    arguments = tree.args
    parameters = []
    if arguments.vararg is not None:
        parameters.append(inspect.Parameter(arguments.vararg.arg, inspect.Parameter.VAR_POSITIONAL))
    for names, defaults, kind in (
        (arguments.args, arguments.defaults, inspect.Parameter.POSITIONAL_OR_KEYWORD),
        (arguments.kwonlyargs, arguments.kw_defaults, inspect.Parameter.KEYWORD_ONLY),
    ):
        missing = len(names) - len(defaults)
        for i, name in enumerate(names):
            node = defaults[i - missing] if i >= missing else None
            default = inspect.Parameter.empty if node is None else ast.literal_eval(node)
            parameters.append(inspect.Parameter(name.arg, kind, default=default))
    return inspect.Signature(parameters)
