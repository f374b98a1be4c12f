"""A batch normalisation at inference is an affine map: it can be part of the layer before it."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from ... import _core
from ..._errors import error
from ..module import Module
from ..parameter import Parameter

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]

_rsqrt = _core.functions["rsqrt"]
_Layer = TypeVar("_Layer", bound=Module)


def _fused(
    w: Any, b: Any, mean: Any, var: Any, eps: float, scale: Any, shift: Any, shape: tuple[int, ...]
) -> tuple[Parameter, Parameter]:
    trained = w.requires_grad, b is not None and b.requires_grad
    w, mean, var = (v.detach() for v in (w, mean, var))
    factor = _rsqrt(var + eps)
    if scale is not None:
        factor = factor * scale.detach()
    bias = (-mean if b is None else b.detach() - mean) * factor
    if shift is not None:
        bias = bias + shift.detach()
    dtype = w.dtype if b is None else b.dtype
    weight = (w * factor.reshape(shape)).to(w.dtype)
    return Parameter(weight, trained[0]), Parameter(bias.to(dtype), trained[1])


def fuse_conv_bn_weights(
    conv_w: Any,
    conv_b: Any,
    bn_rm: Any,
    bn_rv: Any,
    bn_eps: float,
    bn_w: Any,
    bn_b: Any,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution that includes the batch normalisation behind it.

    Parameters
    ----------
    conv_w, conv_b : Tensor
        Weight and bias of the convolution; the bias may be None.
    bn_rm, bn_rv : Tensor
        Running mean and variance.
    bn_eps : float
    bn_w, bn_b : Tensor or None
        Weight and bias of the normalisation.
    transpose : bool
        Whether the weight is that of a transposed convolution, (inputs, outputs, ...).

    Examples
    --------
    >>> one = sn.ones(1)
    >>> args = sn.ones((1, 1, 1)), None, one, one, 0.0, 2 * one, one
    >>> w, b = sn.nn.utils.fuse_conv_bn_weights(*args)
    >>> w.item(), b.item()
    (2.0, -1.0)
    """
    rest = (1,) * (conv_w.ndim - 2)
    shape = (1, -1, *rest) if transpose else (-1, 1, *rest)
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a linear layer that includes the batch normalisation behind it. See
    `fuse_conv_bn_weights`.

    Examples
    --------
    >>> one = sn.ones(1)
    >>> args = sn.ones((1, 1)), None, one, one, 0.0, 2 * one, one
    >>> w, b = sn.nn.utils.fuse_linear_bn_weights(*args)
    >>> w.item(), b.item()
    (2.0, -1.0)
    """
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, (-1, 1))


def _check(function: str, layer: Module, bn: Any) -> None:
    if layer.training or bn.training:
        raise error(
            _core.InvalidValue,
            function,
            "a layer is in training mode, where statistics change; call .eval() on both before",
        )
    if bn.running_mean is None or bn.running_var is None:
        raise error(
            _core.InvalidValue,
            function,
            "the normalisation has no running statistics; make it with track_running_stats=True",
        )


def fuse_conv_bn_eval(conv: _Layer, bn: Any, transpose: bool = False) -> _Layer:
    """A copy of a convolution that includes the batch normalisation behind it.

    Parameters
    ----------
    conv : Module
        A convolution, or, with `transpose`, a transposed one; in inference mode.
    bn : Module
        With running statistics, in inference mode.

    Examples
    --------
    >>> conv, bn = sn.nn.Conv2d(3, 4, 3).eval(), sn.nn.BatchNorm2d(4).eval()
    >>> x = sn.random.normal(shape=(1, 3, 5, 5))
    >>> fused = sn.nn.utils.fuse_conv_bn_eval(conv, bn)
    >>> bool(((fused(x) - bn(conv(x))).abs() < 1e-5).all())
    True
    """
    _check("fuse_conv_bn_eval", conv, bn)
    fused: Any = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight,
        fused.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
        transpose,
    )
    return fused  # type: ignore[no-any-return]


def fuse_linear_bn_eval(linear: _Layer, bn: Any) -> _Layer:
    """A copy of a linear layer that includes the batch normalisation behind it.

    Examples
    --------
    >>> linear, bn = sn.nn.Linear(3, 4).eval(), sn.nn.BatchNorm1d(4).eval()
    >>> x = sn.random.normal(shape=(2, 3))
    >>> fused = sn.nn.utils.fuse_linear_bn_eval(linear, bn)
    >>> bool(((fused(x) - bn(linear(x))).abs() < 1e-5).all())
    True
    """
    _check("fuse_linear_bn_eval", linear, bn)
    fused: Any = copy.deepcopy(linear)
    if bn.num_features not in (1, fused.out_features):
        raise error(
            _core.ShapeError,
            "fuse_linear_bn_eval",
            f"the linear layer has {fused.out_features} outputs and the normalisation "
            f"{bn.num_features} features; they must be equal, or the latter one",
        )
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight,
        fused.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
    )
    return fused  # type: ignore[no-any-return]
