"""Pickling of tensors, for multiprocessing. Sennit's own files never use it."""

from __future__ import annotations

from typing import Any

from . import _core


def rebuild(
    kind: type[_core.Tensor],
    data: bytes,
    shape: tuple[int, ...],
    dtype: str,
    device: str,
    requires_grad: bool,
    attributes: dict[str, Any] | None,
) -> _core.Tensor:
    """The inverse of `reduce_tensor`."""
    import numpy as np

    wanted = _core.dtype(dtype)
    stored = "uint16" if dtype == "bfloat16" else dtype
    array = np.frombuffer(data, dtype=stored).reshape(shape)
    if dtype == "bfloat16":
        import ml_dtypes

        array = array.view(ml_dtypes.bfloat16)
    x = _core.asarray(array, wanted, device, True)
    # The subclasses of the package take other arguments; what they keep is in `attributes`.
    result = x
    if kind is not _core.Tensor:
        result = _core.Tensor.__new__(kind, x, requires_grad=requires_grad)
    if requires_grad:
        result.requires_grad_(True)
    if attributes:
        result.__dict__.update(attributes)
    return result


def reduce_tensor(x: _core.Tensor) -> tuple[Any, ...]:
    """Elements as bytes; the history is not kept."""
    if x.requires_grad and not x.is_leaf:
        raise TypeError(
            "a tensor with a history cannot be pickled or deep-copied; use x.detach() or x.clone()"
        )
    plain = x.detach().to("cpu")
    if plain.dtype.is_complex:  # memory views have no format for complex numbers
        plain = _core.functions["view_as_real"](plain)
    data = bytes(memoryview(_core.functions["contiguous"](plain)).cast("B")) if x.size else b""
    return rebuild, (
        type(x),
        data,
        x.shape,
        x.dtype.name,
        x.device,
        x.requires_grad,
        dict(x.__dict__) or None,
    )
