"""The tensor namespace: functions of the core's registry, dtypes, constructors, constants."""

from __future__ import annotations

import math as _math
from typing import Any

from . import _core
from ._core import (
    DeviceError,
    DTypeError,
    FileError,
    GradError,
    IndexOutOfRange,
    InternalError,
    InvalidType,
    InvalidValue,
    NumericError,
    OutOfMemory,
    SennitError,
    ShapeError,
    Tensor,
    bfloat16,
    bool,
    complex64,
    complex128,
    dtype,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)

e = _math.e
inf = _math.inf
nan = _math.nan
pi = _math.pi
newaxis = None


def tensor(
    data: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: Any = False,
) -> Tensor:
    """A tensor with a copy of the given data.

    Parameters
    ----------
    data : number, nested sequence of numbers, NumPy array or tensor
        Python floats become float32, ints int64, bools bool; arrays keep their dtype.
    dtype : dtype, optional
        What to convert to.
    device : str, optional
        "cpu" by default.
    requires_grad : bool
        Whether gradients flow to it.

    Returns
    -------
    Tensor

    Raises
    ------
    InvalidType
        When `data` cannot become a tensor.

    Examples
    --------
    >>> sn.tensor([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 2)
    >>> sn.tensor(3, dtype=sn.float64)
    tensor(3., dtype=sennit.float64)
    """
    x = _core.asarray(data, dtype, device, None)
    if isinstance(data, Tensor):
        x = x.detach().clone()
    return x.requires_grad_(True) if requires_grad else x


def asarray(obj: Any, dtype: Any = None, device: Any = None, copy: Any = None) -> Tensor:
    """The object as a tensor; a tensor stays itself.

    Parameters
    ----------
    obj : array-like
        A number, nested sequence, NumPy array, tensor, or object with the buffer protocol or
        ``__cuda_array_interface__``, whose memory is shared as by `from_dlpack`.
    dtype, device : optional
        What to convert to and where to put it.
    copy : bool, optional
        True always copies; False fails where a copy is needed; None copies when needed. Read-only
        arrays are shared, writable ones copied, because values never change.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import numpy as np
    >>> sn.asarray(np.arange(3)).tolist()
    [0, 1, 2]
    """
    if isinstance(obj, Tensor) and not copy:
        same = dtype is None or _core.dtype(dtype) is obj.dtype
        if same and (device is None or device == obj.device):
            return obj
    return _core.asarray(obj, dtype, device, copy)


def from_numpy(array: Any) -> Tensor:
    """A tensor from a NumPy array; the same as ``asarray(array)``.

    Examples
    --------
    >>> import numpy as np
    >>> sn.from_numpy(np.ones(2, dtype=np.float32)).dtype
    sennit.float32
    """
    return _core.asarray(array, None, None, None)


def from_dlpack(x: Any, /, *, device: Any = None, copy: Any = None) -> Tensor:
    """A tensor from any object with ``__dlpack__``: PyTorch, NumPy, CuPy, JAX.

    Memory that the other side declares read-only is shared, and so is memory of a GPU, which
    nobody must write while the tensor lives; other memory is copied.

    Parameters
    ----------
    x : object with ``__dlpack__``
    device : str, optional
        Where the tensor goes; where it is, by default.
    copy : bool, optional
        True always copies; False fails where a copy is needed; None copies when needed.

    Examples
    --------
    >>> import numpy as np
    >>> sn.from_dlpack(np.arange(3.0)).tolist()
    [0.0, 1.0, 2.0]
    """
    made = _core.from_dlpack(x, copy)
    if device is None or device == made.device:
        return made
    if copy is False:
        raise _core.InvalidValue(
            f"[from_dlpack] copy=False, but the data must be copied from {made.device} to "
            f"{device}; leave copy out (SN104)"
        )
    return made.to(device)


def is_complex(x: Tensor) -> Any:
    """Whether a tensor holds complex numbers.

    Examples
    --------
    >>> sn.is_complex(sn.tensor([1j])), sn.is_complex(sn.ones(2))
    (True, False)
    """
    return x.dtype.is_complex


def is_tensor(x: object) -> Any:
    """Whether `x` is a tensor.

    Examples
    --------
    >>> sn.is_tensor(sn.ones(2)), sn.is_tensor([1, 1])
    (True, False)
    """
    return isinstance(x, Tensor)


def broadcast_shapes(*shapes: Any) -> tuple[Any, ...]:
    """The shape that tensors of these shapes broadcast to; an int is a shape of one dimension.

    Examples
    --------
    >>> sn.broadcast_shapes((2, 1), 3)
    (2, 3)
    """
    tensors = [_functions["zeros"](shape) for shape in shapes]
    return _functions["broadcast_tensors"](tensors)[0].shape if shapes else ()


def promote_types(a: Any, b: Any) -> dtype:
    """The dtype of an operation between two dtypes.

    Examples
    --------
    >>> sn.promote_types(sn.int8, sn.uint8)
    sennit.int16
    """
    return _core.promote_types(a, b)


_functions = _core.functions
# Names with a dot belong to other namespaces; `trace` is in _tracing.py, and traces too.
_here = [name for name in _functions if "." not in name and name != "trace"]
globals().update({name: _functions[name] for name in _here})


def _creator(name: str) -> Any:
    """A creation function that also takes requires_grad, as PyTorch's do."""
    function = _functions[name]

    def create(*args: Any, requires_grad: Any = False, **kwargs: Any) -> Tensor:
        x = function(*args, **kwargs)
        return x.requires_grad_(True) if requires_grad else x

    create.__name__ = create.__qualname__ = name
    create.__doc__ = function.__doc__
    create.registry_signature = function.registry_signature  # type: ignore[attr-defined]
    create.__wrapped__ = function  # type: ignore[attr-defined]  # for inspect.signature
    return create


for _name in ("zeros", "ones", "empty", "full", "arange", "linspace", "logspace", "eye",
              "full_like", "zeros_like", "ones_like", "scalar_tensor"):  # fmt: skip
    globals()[_name] = _creator(_name)
for _name in ("rand", "randn"):
    globals()[_name] = _creator(f"random.{_name}")

__all__ = [  # noqa: PLE0604, F822 - some are set in globals() above
    "DTypeError", "DeviceError", "FileError", "GradError", "IndexOutOfRange", "InternalError",
    "InvalidType", "InvalidValue", "NumericError", "OutOfMemory", "SennitError", "ShapeError",
    "Tensor", "asarray", "bfloat16", "bool", "broadcast_shapes", "complex64", "complex128", "dtype",
    "e", "float16", "float32", "float64", "from_dlpack", "from_numpy", "inf", "int8", "int16",
    "int32", "int64", "is_complex", "is_tensor", "nan",
    "newaxis", "pi", "promote_types", "rand", "randn", "tensor", "uint8", "uint16", "uint32",
    "uint64", *_here,
]  # fmt: skip
