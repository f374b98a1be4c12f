"""Memory of a GPU that other libraries show through ``__cuda_array_interface__``, both ways.

The interface is Numba's (version 3); CuPy and PyTorch have it, too.
https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html
"""

from __future__ import annotations

import weakref
from typing import Any

from . import _core
from ._core import DeviceError, DTypeError, GradError, InvalidValue, Tensor
from ._errors import error

_KINDS = {"bool": "|b1", "int8": "|i1", "uint8": "|u1"}
_LETTERS = {"int": "i", "uint": "u", "float": "f", "complex": "c"}

# By the id of a tensor that has been shown: what keeps the memory that others may still read, which
# the tensor itself leaves when it is written in place.
_shown: dict[int, dict[int, Any]] = {}


def _type_text(dtype: Any) -> str | None:
    """NumPy's name of a dtype, such as '<f4'; None for bfloat16, which has none."""
    name = str(dtype)
    if name in _KINDS:
        return _KINDS[name]
    kind = name.rstrip("0123456789")
    return None if kind not in _LETTERS else f"<{_LETTERS[kind]}{dtype.itemsize}"


def _dtypes() -> dict[str, Any]:
    """The dtypes by NumPy's names of them."""
    known = [d for d in vars(_core).values() if isinstance(d, _core.dtype)]
    return {text: d for d in known if (text := _type_text(d))}


def array_interface(x: Tensor) -> dict[str, Any]:
    """The interface of a tensor on a GPU, whose work has been issued.

    Its memory lives as long as the tensor, even when that is written in place: values never change,
    so others may read it and not write.

    Raises
    ------
    GradError
        When the tensor requires a gradient, which the other side cannot follow.
    AttributeError
        For bfloat16, for which the interface has no name.

    Examples
    --------
    >>> from sennit._cuda_memory import array_interface
    >>> if sn.cuda.is_available():
    ...     print(array_interface(sn.ones(3, device="cuda"))["shape"])
    """
    if x.requires_grad:
        raise error(
            GradError,
            "__cuda_array_interface__",
            f"the tensor of shape {x.shape} requires a gradient, which the other side cannot "
            "follow; show x.detach()",
        )
    kind = _type_text(x.dtype)
    if kind is None:
        raise AttributeError(
            f"__cuda_array_interface__ has no name for {x.dtype}; use DLPack (from_dlpack(x)), or "
            "x.astype(sn.float32)"
        )
    at, strides, stream, keep = _core.cuda_export(x)
    held = _shown.get(id(x))
    if held is None:
        held = _shown[id(x)] = {}
        weakref.finalize(x, _shown.pop, id(x), None).atexit = False
    held.setdefault(at, keep)
    return {
        "shape": x.shape,
        "typestr": kind,
        "data": (at if x.size else 0, True),
        "version": 3,
        "strides": tuple(s * x.itemsize for s in strides),
        "stream": stream,
    }


def from_array_interface(owner: Any, copy: bool) -> Tensor:
    """A tensor over the memory of an object with ``__cuda_array_interface__``, which it keeps.

    Raises
    ------
    DTypeError
        When the elements are no dtype of Sennit.
    DeviceError
        When the memory is on no GPU that this process can use.
    InvalidValue
        When the description is broken, or says what tensors cannot be: a mask, strides that are no
        multiple of the element.

    Examples
    --------
    >>> from sennit._cuda_memory import from_array_interface
    >>> if sn.cuda.is_available():
    ...     print(from_array_interface(sn.ones(3, device="cuda"), False).tolist())
    """
    shown = owner.__cuda_array_interface__
    what = type(owner).__name__
    try:
        shape = tuple(int(n) for n in shown["shape"])
        kind, (at, _) = shown["typestr"], shown["data"]
        strides, stream = shown.get("strides"), shown.get("stream")
        at = int(at or 0)
    except (KeyError, TypeError, ValueError) as cause:
        raise error(
            InvalidValue,
            "asarray",
            f"{what}'s __cuda_array_interface__ is {shown!r}; it must have 'shape', 'typestr' and "
            "'data', a pair of an address and a bool",
        ) from cause
    dtype = _dtypes().get(kind)
    if dtype is None:
        raise error(
            DTypeError,
            "asarray",
            f"{what} has elements of type {kind!r}, which are no dtype of Sennit; tensors hold "
            "bool, integers, real and complex floats of native byte order",
        )
    if shown.get("mask") is not None:
        raise error(InvalidValue, "asarray", f"{what} has a mask; fill masked elements first")
    if any(n < 0 for n in shape):
        raise error(InvalidValue, "asarray", f"{what}'s shape is {shape}; sizes are 0 or more")
    width = dtype.itemsize
    if strides is None:
        strides, step = [], width
        for n in reversed(shape):
            strides.insert(0, step)
            step *= max(n, 1)
    if len(strides) != len(shape) or any(s % width for s in strides):
        raise error(
            InvalidValue,
            "asarray",
            f"{what}'s strides are {tuple(strides)} bytes; one multiple of the element's {width} "
            f"bytes is required for each of its {len(shape)} dimensions: copy it first",
        )
    if stream == 0 or (stream is not None and int(stream) < 0):
        raise error(
            InvalidValue, "asarray", f"{what} names stream {stream}; it must be None, 1, 2 or a "
            "stream's handle"
        )  # fmt: skip
    if 0 in shape:
        empty: Tensor = _core.functions["zeros"](shape, dtype=dtype, device="cuda")
        return empty
    device = _core.cuda_device_of(at)
    if device < 0:
        raise error(
            DeviceError,
            "asarray",
            f"the memory of {what} at {at:#x} is on no GPU that this process can use",
        )
    steps = tuple(s // width for s in strides)
    return _core.cuda_import(owner, device, at, shape, steps, dtype, copy, int(stream or 0))
