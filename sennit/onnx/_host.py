"""NumPy under the names that Sennit's functions have: for shape arithmetic on known numbers."""

from __future__ import annotations

from typing import Any

from .._sizes import TracedSize, tracing_sizes


def _compared(x: Any, y: Any, relation: str) -> None:
    """Compares elements that may be sizes one by one: a graph with open sizes remembers how."""
    import numpy as np

    if not tracing_sizes():
        return
    a, b = np.broadcast_arrays(x, y)
    if a.dtype.kind not in "iu" or b.dtype.kind not in "iu":
        return
    for left, right in zip(a.reshape(-1), b.reshape(-1), strict=True):
        getattr(TracedSize(left), relation)(TracedSize(right))


class _Host:
    """The functions that operators of the table call through `Call.xp`."""

    def __getattr__(self, name: str) -> Any:
        import numpy as np

        return getattr(np, name)

    @staticmethod
    def concat(arrays: Any, axis: int = 0) -> Any:
        import numpy as np

        return np.concatenate(arrays, axis)

    @staticmethod
    def permute_dims(x: Any, axes: Any) -> Any:
        import numpy as np

        return np.transpose(x, axes)

    @staticmethod
    def astype(x: Any, dtype: Any) -> Any:
        import numpy as np

        return np.asarray(x).astype(np.dtype(getattr(dtype, "name", dtype)))

    @staticmethod
    def divide(x: Any, y: Any, rounding_mode: str | None = None) -> Any:
        import numpy as np

        if rounding_mode is None:
            return np.divide(x, y)
        x, y = np.asarray(x), np.asarray(y)
        if x.dtype.kind == "f":
            return np.trunc(np.divide(x, y))
        safe = np.where(y == 0, np.ones_like(y), y)
        quotient = np.floor_divide(x, safe)
        inexact = quotient * safe != x
        return quotient + (inexact & ((x < 0) != (safe < 0))).astype(quotient.dtype)

    @staticmethod
    def pow(x: Any, y: Any) -> Any:
        import numpy as np

        base, exponent = np.asarray(x), np.asarray(y)
        if base.dtype.kind in "iu" and exponent.dtype.kind == "i" and (exponent < 0).any():
            return np.power(base.astype(np.float64), exponent)
        return np.power(x, y)

    @staticmethod
    def relu(x: Any) -> Any:
        import numpy as np

        return np.maximum(x, np.zeros((), np.asarray(x).dtype))

    @staticmethod
    def sigmoid(x: Any) -> Any:
        import numpy as np

        return 1 / (1 + np.exp(-x))

    @staticmethod
    def bitwise_invert(x: Any) -> Any:
        import numpy as np

        return np.invert(x)

    @staticmethod
    def bitwise_left_shift(x: Any, y: Any) -> Any:
        import numpy as np

        return np.left_shift(x, y)

    @staticmethod
    def bitwise_right_shift(x: Any, y: Any) -> Any:
        import numpy as np

        return np.right_shift(x, y)


def _comparing(name: str, relation: str) -> None:
    def function(self: _Host, x: Any, y: Any) -> Any:
        import numpy as np

        _compared(x, y, relation)
        return getattr(np, name)(x, y)

    setattr(_Host, name, function)


for _name, _relation in (
    ("equal", "__eq__"), ("greater", "__gt__"), ("greater_equal", "__ge__"), ("less", "__lt__"),
    ("less_equal", "__le__"), ("maximum", "__ge__"), ("minimum", "__le__"),
):  # fmt: skip
    _comparing(_name, _relation)

HOST = _Host()
