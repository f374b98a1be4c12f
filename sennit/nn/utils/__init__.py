"""Functions on the gradients, parameters and layers of a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ... import _core
from ..._errors import error
from ...autograd import no_grad
from . import parametrizations, parametrize, rnn
from .fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)

__all__ = [
    "clip_grad_adaptive_",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "rnn",
    "vector_to_parameters",
]

_f = _core.functions
_norm = _f["vector_norm"]


def _with_gradients(parameters: Any) -> list[_core.Tensor]:
    listed = [parameters] if isinstance(parameters, _core.Tensor) else list(parameters)
    return [p for p in listed if p.grad is not None]


def get_total_norm(
    tensors: Iterable[_core.Tensor] | _core.Tensor,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> _core.Tensor:
    """The norm of all tensors together, as if they were one vector.

    Parameters
    ----------
    tensors : Tensor or iterable of Tensor
    norm_type : float
        The p of the norm; ``sn.inf`` takes the largest element.
    error_if_nonfinite : bool
        Whether a norm that is infinite or NaN raises; this waits for the value.
    foreach : bool, optional
        Accepted for PyTorch's sake.

    Returns
    -------
    Tensor
        Of rank 0; zero when there are none.

    Examples
    --------
    >>> sn.nn.utils.get_total_norm([sn.tensor([3.0]), sn.tensor([4.0])]).item()
    5.0
    """
    listed: list[Any] = [tensors] if isinstance(tensors, _core.Tensor) else list(tensors)
    if not listed:
        nothing: _core.Tensor = _f["zeros"](())
        return nothing
    norms = [_norm(t.reshape(-1), ord=norm_type) for t in listed]
    total: _core.Tensor = _norm(_f["stack"](norms), ord=norm_type)
    if error_if_nonfinite and not bool(_f["isfinite"](total)):
        raise error(
            _core.NumericError,
            "clip_grad_norm_",
            f"the gradients' norm is {total.item()}; it must be finite",
        )
    return total


def clip_grads_with_norm_(
    parameters: Iterable[_core.Tensor] | _core.Tensor,
    max_norm: float,
    total_norm: _core.Tensor,
    foreach: bool | None = None,
) -> None:
    """Scales the gradients by ``max_norm / total_norm``, where that is less than one.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    max_norm : float
    total_norm : Tensor
        Of rank 0, as `get_total_norm` gives it, perhaps for more gradients than these.
    foreach : bool, optional
        Accepted for PyTorch's sake.

    Examples
    --------
    >>> w = sn.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> sn.nn.utils.clip_grads_with_norm_(w, 1.0, sn.tensor(10.0))
    >>> [round(g, 3) for g in w.grad.tolist()]
    [0.3, 0.4]
    """
    with no_grad():
        scale: Any = _f["minimum"](float(max_norm) / (total_norm + 1e-6), 1.0)
        for p in _with_gradients(parameters):
            g: Any = p.grad
            p.grad = g * scale.to(g.dtype)


def clip_grad_norm_(
    parameters: Iterable[_core.Tensor] | _core.Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> _core.Tensor:
    """Scales the gradients down so that the norm of all of them together is at most `max_norm`.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    max_norm : float
    norm_type : float
        The p of the norm; ``sn.inf`` takes the largest element.
    error_if_nonfinite : bool
        Whether a norm that is infinite or NaN raises; this waits for the value.
    foreach : bool, optional
        Accepted for PyTorch's sake.

    Returns
    -------
    Tensor
        The norm before scaling, of rank 0.

    Examples
    --------
    >>> w = sn.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> sn.optim.clip_grad_norm_([w], 1.0).item()
    5.0
    >>> [round(g, 3) for g in w.grad.tolist()]
    [0.6, 0.8]
    """
    chosen = _with_gradients(parameters)
    with no_grad():
        gradients: list[Any] = [p.grad for p in chosen]
        total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(chosen, max_norm, total)
    return total


def clip_grad_value_(
    parameters: Iterable[_core.Tensor] | _core.Tensor,
    clip_value: float,
    foreach: bool | None = None,
) -> None:
    """Limits every element of the gradients to [-clip_value, clip_value]; `foreach` is accepted for
    PyTorch's sake.

    Examples
    --------
    >>> w = sn.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> sn.optim.clip_grad_value_([w], 3.5)
    >>> w.grad.tolist()
    [3.0, 3.5]
    """
    with no_grad():
        for p in _with_gradients(parameters):
            p.grad = _f["clip"](p.grad, -float(clip_value), float(clip_value))


def clip_grad_adaptive_(
    parameters: Iterable[_core.Tensor] | _core.Tensor, clip_factor: float = 0.01, eps: float = 1e-3
) -> None:
    """Limits the gradient of each unit to a part of the norm of the unit's weights.

    A unit is a row of a weight (what leads to one output), or a whole bias or scale.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    clip_factor : float
        The largest norm of a unit's gradient, as a part of the norm of its weights.
    eps : float
        The smallest norm that weights count for, so that zeros can move.

    References
    ----------
    Brock et al., "High-Performance Large-Scale Image Recognition Without Normalization", 2021.

    Examples
    --------
    >>> w = sn.tensor([[3.0, 4.0], [0.6, 0.8]], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> sn.optim.clip_grad_adaptive_([w], 0.1)
    >>> [[round(v, 3) for v in row] for row in w.grad.tolist()]
    [[0.3, 0.4], [0.06, 0.08]]
    """
    with no_grad():
        for p in _with_gradients(parameters):
            g: Any = p.grad
            largest = _f["maximum"](_unit_norm(p.detach()), float(eps)) * float(clip_factor)
            norm = _unit_norm(g)
            scale = _f["where"](norm > largest, largest / norm, 1.0)
            p.grad = g * scale.to(g.dtype)


def _unit_norm(x: Any) -> Any:
    axes = tuple(range(1, x.ndim)) if x.ndim > 1 else None
    return _f["sqrt"](_f["sum"](x * x, axis=axes, keepdims=True))


def parameters_to_vector(parameters: Iterable[_core.Tensor]) -> _core.Tensor:
    """All parameters behind one another in one vector.

    Examples
    --------
    >>> sn.nn.utils.parameters_to_vector(sn.nn.Linear(2, 3).parameters()).shape
    (9,)
    """
    flat: _core.Tensor = _f["concat"]([p.reshape(-1) for p in parameters], 0)
    return flat


def vector_to_parameters(vec: _core.Tensor, parameters: Iterable[_core.Tensor]) -> None:
    """Sets parameters from the vector that `parameters_to_vector` made.

    Examples
    --------
    >>> layer = sn.nn.Linear(2, 1, bias=False)
    >>> sn.nn.utils.vector_to_parameters(sn.tensor([1.0, 2.0]), layer.parameters())
    >>> layer.weight.tolist()
    [[1.0, 2.0]]
    """
    listed = list(parameters)
    needed = sum(p.size for p in listed)
    if vec.shape != (needed,):
        raise error(
            _core.ShapeError,
            "vector_to_parameters",
            f"the vector has shape {vec.shape}; the parameters have {needed} elements together",
        )
    at = 0
    with no_grad():
        for p in listed:
            part = vec.detach()[at : at + p.size].reshape(p.shape)
            p.assign_(part.to(p.dtype))
            at += p.size
