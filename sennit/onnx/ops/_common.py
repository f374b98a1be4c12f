"""What several families need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sennit as sn

from ... import _core
from ..._errors import error
from ..._sizes import TracedSize, tracing_sizes
from .._interpret import Call
from .._model import onnx_package

# ONNX's numbers of dtypes that tensors have.
DTYPES = {
    1: _core.float32,
    2: _core.uint8,
    3: _core.int8,
    4: _core.uint16,
    5: _core.int16,
    6: _core.int32,
    7: _core.int64,
    9: _core.bool,
    10: _core.float16,
    11: _core.float64,
    12: _core.uint32,
    13: _core.uint64,
    14: _core.complex64,
    15: _core.complex128,
    16: _core.bfloat16,
}
_MOST_NUMBERS = 1 << 24
FLOATS = (_core.float16, _core.bfloat16, _core.float32, _core.float64)


def dtype_of(c: Call, number: int) -> _core.dtype:
    """The dtype with ONNX's number."""
    if number not in DTYPES:
        name = onnx_package().TensorProto.DataType.Name(number) if 0 < number < 29 else str(number)
        raise c.unsupported(f"tensors cannot hold elements of the data type {name}")
    return DTYPES[number]


def numpy_dtype(number: int) -> Any:
    """NumPy's dtype with ONNX's number; the small floats are those of `ml_dtypes`."""
    import numpy as np

    return np.dtype(onnx_package().helper.tensor_dtype_to_np_dtype(number))


def ints(array: Any) -> list[int]:
    """The elements of an array as Python ints: ones that remember what they are compared with,
    while a graph with open sizes is traced."""
    kind = TracedSize if tracing_sizes() else int
    return [kind(x) for x in array.reshape(-1)]


def axis_of(c: Call, axis: int, rank: int) -> int:
    """An axis from 0 to rank - 1."""
    if not -rank <= axis < rank:
        raise c.invalid(
            f"axis {axis} is out of range for rank {rank}; it must be in [{-rank}, {rank - 1}]"
        )
    return axis % rank


def axes_of(c: Call, axes: Sequence[int], rank: int) -> list[int]:
    return [axis_of(c, int(a), rank) for a in axes]


def product(sizes: Sequence[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def limited(numbers: int) -> int:
    """So many numbers of a table that NumPy makes; what a file asks for beyond that is an error."""
    if numbers > _MOST_NUMBERS:
        raise error(
            _core.OutOfMemory,
            "table",
            f"the model asks for a table of {int(numbers):,} numbers; at most {_MOST_NUMBERS:,} "
            "are made; check its sizes and scales",
        )
    return numbers


def is_float(x: Any) -> bool:
    """Whether a tensor or array has a real floating-point dtype."""
    name: str = x.dtype.name
    return "float" in name


def lowest(dtype: _core.dtype) -> Any:
    """The smallest value of a dtype: minus infinity for floats."""
    if dtype in FLOATS:
        return float("-inf")
    return False if dtype == _core.bool else sn.iinfo(dtype).min


def highest(dtype: _core.dtype) -> Any:
    """The largest value of a dtype: infinity for floats."""
    if dtype in FLOATS:
        return float("inf")
    return True if dtype == _core.bool else sn.iinfo(dtype).max


def exact(x: Any, dtype: Any) -> Any:
    """A result in the dtype that the standard gives it."""
    return x if x.dtype == dtype else x.astype(dtype)
