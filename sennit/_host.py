"""Operations that run in NumPy, at the call: decompositions (LAPACK) and Fourier transforms.

A host operation reads its operands, calls a function on NumPy arrays and wraps what that returns.
Its gradient is written with ordinary operations (and other host operations), so that it can be
differentiated again. Host operations are outside of the promise on equal bits: theirs are those of
the library that NumPy was built with. All of them come through `apply`, which knows their names:
what traces or exports programs can refuse them there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import _core
from ._core import DTypeError, InvalidValue, NumericError, ShapeError, Tensor
from ._errors import NeedsValues, error

Arrays = tuple[Any, ...]
Gradient = Callable[[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Any, ...]], Sequence[Any]]


def require_inexact(op: str, *tensors: Tensor, real: bool = False) -> None:
    """Fails unless the dtypes are float32 or float64 (or complex, unless `real`)."""
    allowed: tuple[_core.dtype, ...] = (_core.float32, _core.float64)
    if not real:
        allowed += (_core.complex64, _core.complex128)
    for x in tensors:
        if x.dtype not in allowed:
            names = ", ".join(d.name for d in allowed)
            raise error(
                DTypeError,
                op,
                f"an operand has dtype {x.dtype.name}; it must be one of {names}; convert it with "
                "x.astype(sn.float32)",
            )


def require_matrices(op: str, x: Tensor, square: bool = False) -> None:
    """Fails unless `x` has two dimensions or more (and the last two of one size)."""
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        kind = "square matrices (..., n, n)" if square else "matrices (..., m, n)"
        raise error(ShapeError, op, f"an operand has shape {x.shape}; it must hold {kind}")


def values(name: str, *tensors: Tensor) -> list[Any]:
    """The tensors as read-only NumPy arrays.

    In a trace that is an error for what depends on a traced argument, and for what has a gradient:
    a replay would take the result for a constant.
    """
    cause = None
    if not (_core.tracing() and any(x.requires_grad for x in tensors)):
        try:
            return [x.detach().to("cpu").numpy() for x in tensors]
        except InvalidValue as found:
            cause = found
    shapes = ", ".join(str(x.shape) for x in tensors)
    raise error(
        NeedsValues,
        name,
        "this operation runs in NumPy when it is called; it cannot be recorded in a traced "
        f"function (operands of shapes {shapes}); call it outside of what is traced",
    ) from cause


def _run(name: str, inputs: Sequence[Tensor], compute: Callable[..., Arrays]) -> list[Tensor]:
    """What `compute` makes of the operands' values."""
    import numpy as np

    given = values(name, *inputs)
    try:
        arrays = compute(*given)
    except np.linalg.LinAlgError as cause:
        shapes = ", ".join(str(x.shape) for x in inputs)
        raise error(
            NumericError,
            name,
            f"{str(cause).rstrip('.').lower()} (operands of shapes {shapes}); check the operands "
            "for singular or ill-conditioned matrices and for NaN",
        ) from cause
    device, outputs = inputs[0].device, []
    for array in arrays:
        owned = np.ascontiguousarray(array)
        owned = owned.reshape(np.shape(array))  # ascontiguousarray makes rank 0 a vector
        if owned.flags.writeable and owned.base is None:
            owned.flags.writeable = False  # nobody else has it: it is shared, not copied
        outputs.append(_core.asarray(owned, None, device, None))
    return outputs


def _batch(
    name: str,
    inputs: list[Tensor],
    batched: list[bool],
    size: int,
    compute: Callable[..., Arrays],
    gradient: Gradient | None,
) -> tuple[Tensor, ...]:
    """One call for all examples of `sn.vmap`: their batch is one more leading dimension."""
    if any(batched):
        rank = max(x.ndim - f for x, f in zip(inputs, batched, strict=True))
        for i, (x, f) in enumerate(zip(inputs, batched, strict=True)):
            shape = x.shape[1:] if f else x.shape
            x = x.reshape((size if f else 1, *[1] * (rank - len(shape)), *shape))
            inputs[i] = x if f else _core.functions["broadcast_to"](x, (size, *x.shape[1:]))
    return apply(name, inputs, compute, gradient)


def all_true(condition: Tensor) -> bool:
    """Whether all elements are true: of all examples, inside of `sn.vmap`."""
    found = []

    def look(whole: list[Tensor], flags: list[bool], size: int) -> list[Tensor]:
        found.append(all_true(whole[0]))
        return []

    if _core.call_for_all([condition], look) is None:
        return bool(condition.all())
    return found[0]


def apply(
    name: str,
    inputs: Sequence[Tensor],
    compute: Callable[..., Arrays],
    gradient: Gradient | None = None,
) -> tuple[Tensor, ...]:
    """Runs `compute` on the operands as NumPy arrays, and puts the call on the tape.

    Parameters
    ----------
    name : str
        For errors, and for what traces programs.
    inputs : sequence of Tensor
        The operands.
    compute : callable
        Takes the operands as read-only arrays; returns a tuple of arrays of its own. More leading
        dimensions than the operands have are a batch (`sn.vmap`), with the same number in each.
    gradient : callable, optional
        ``gradient(inputs, outputs, gradients)``: one gradient (or None) per operand, written with
        differentiable operations, and for a batch too. An output's gradient is None when nothing
        depends on it.

    Returns
    -------
    tuple of Tensor

    Raises
    ------
    InvalidValue
        Inside of `sn.trace`.
    NumericError
        When LAPACK finds no answer: a singular matrix, no convergence.
    """
    if _core.in_graph_trace(inputs):
        raise error(
            _core.InvalidValue,
            name,
            "it runs in NumPy, at the call, and cannot be part of a graph (sn.trace); compute it "
            "outside, and pass the result as an argument",
        )
    device = inputs[0].device
    for x in inputs:
        if x.device != device:
            raise error(
                _core.DeviceError,
                name,
                f"operands are on {device} and {x.device}; all must be on one; use x.to(device)",
            )
    outputs = _core.call_for_all(
        inputs, lambda whole, flags, size: _batch(name, whole, flags, size, compute, gradient)
    )
    if outputs is None:
        outputs = _run(name, inputs, compute)
    if gradient is None or not any(x.requires_grad for x in inputs):
        return tuple(outputs)
    count = len(inputs)

    def backward(saved: Sequence[Tensor], *given: Any) -> Sequence[Any]:
        return tuple(gradient(tuple(saved[:count]), tuple(saved[count:]), given))

    return tuple(
        _core.custom_function(inputs, outputs, backward, name, [*inputs, *outputs], None, 0)
    )
