"""Functions that a symbolic program notes as one call, not by what they call."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from . import _core

F = TypeVar("F", bound=Callable[..., Any])


def whole(function: F) -> F:
    """For functions that do more than call operations on their arguments: that draw random numbers
    of a shape, or call a function of the user."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if _core.has_symbols((args, kwargs)):
            from ._noted import dispatch

            return dispatch(function, args, kwargs)
        return function(*args, **kwargs)

    return cast(F, wrapped)
