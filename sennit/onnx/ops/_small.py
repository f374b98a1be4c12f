"""Conversions from and to the dtypes that tensors do not have: text aside, ONNX's small floats and
integers. They are held as NumPy arrays of `ml_dtypes`, and computed on the host.
"""

from __future__ import annotations

from typing import Any

from ._common import numpy_dtype

_SMALL_INTS = {21: (0, 15), 22: (-8, 7), 25: (0, 3), 26: (-2, 1)}
_FLOAT8 = (17, 18, 19, 20)
_EXPONENT = 24  # eight bits of exponent, nothing else


def cast_small(array: Any, to: int, saturate: bool = True, round_mode: str = "up") -> Any:
    """`array` in the dtype with ONNX's number `to`; `saturate` is for the small floats."""
    import numpy as np

    from .._model import onnx_package

    helper = onnx_package().numpy_helper
    if to in _SMALL_INTS and array.dtype.kind in "iuf":
        low, high = _SMALL_INTS[to]
        whole = np.trunc(array.astype(np.float64)).astype(np.int64)
        wrapped = ((whole - low) & (high - low)) + low
        return wrapped.astype(numpy_dtype(to))
    with np.errstate(all="ignore"):
        if to in _FLOAT8 and saturate:
            return helper.saturate_cast(array, numpy_dtype(to))
        if to == _EXPONENT:
            return helper.to_float8e8m0(array, saturate, round_mode).astype(numpy_dtype(to))
        return array.astype(numpy_dtype(to))
