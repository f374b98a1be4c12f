"""Normalisation."""

from __future__ import annotations

from typing import Any

import sennit as sn

from .._interpret import Call
from .._registry import op
from ._common import axis_of, dtype_of, product


def _channels(v: Any, rank: int) -> Any:
    """A vector over channels, to be combined with (N, C, ...)."""
    return v.reshape((1, -1) + (1,) * (rank - 2))


@op("BatchNormalization")
def _batch_norm(
    c: Call,
    x: Any,
    scale: Any,
    bias: Any,
    mean: Any,
    var: Any,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
    spatial: int = 1,
    is_test: int = 1,
    consumed_inputs: list[int] | None = None,
) -> Any:
    if not spatial:
        raise c.unsupported("spatial=0 (statistics of every position) was withdrawn in version 9")
    if not training_mode:
        y = sn.batch_norm_inference(
            x, mean.astype(x.dtype), var.astype(x.dtype), scale.astype(x.dtype),
            bias.astype(x.dtype), epsilon,
        )  # fmt: skip
        # Before version 14 further outputs were for training: of no use here, but there.
        return (y, mean, var, mean, var)[: max(len(c.outputs), 1)]
    axes = (0, *range(2, x.ndim))
    wide = x.astype(sn.float32) if x.dtype in (sn.float16, sn.bfloat16) else x
    new_mean = sn.mean(wide, axis=axes)
    new_var = sn.var(wide, axis=axes)
    y = sn.batch_norm_inference(
        x, new_mean.astype(x.dtype), new_var.astype(x.dtype), scale.astype(x.dtype),
        bias.astype(x.dtype), epsilon,
    )  # fmt: skip
    running = mean * momentum + new_mean.astype(mean.dtype) * (1 - momentum)
    spread = var * momentum + new_var.astype(var.dtype) * (1 - momentum)
    return (y, running, spread, new_mean, new_var)[: max(len(c.outputs), 1)]


@op("InstanceNormalization")
def _instance_norm(c: Call, x: Any, scale: Any, bias: Any, *, epsilon: float = 1e-5) -> Any:
    channels = x.shape[1]
    return sn.group_norm(x, channels, scale, bias, epsilon)


@op("GroupNormalization")
def _group_norm(
    c: Call,
    x: Any,
    scale: Any,
    bias: Any,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Any:
    if c.version < 21:  # one number for each group
        scale, bias = (sn.repeat(v, x.shape[1] // num_groups) for v in (scale, bias))
    return sn.group_norm(x, num_groups, scale, bias, epsilon)


@op("LayerNormalization")
def _layer_norm(
    c: Call,
    x: Any,
    scale: Any,
    bias: Any = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Any:
    axis = axis_of(c, axis, x.ndim)
    shape = x.shape[axis:]
    plain = tuple(scale.shape) == shape and (bias is None or tuple(bias.shape) == shape)
    y = sn.layer_norm(x, shape, scale if plain else None, bias if plain else None, epsilon)
    if not plain:
        y = y * scale if bias is None else y * scale + bias
    if not c.wants(1) and not c.wants(2):
        return y
    wide = x.astype(dtype_of(c, stash_type))
    axes = tuple(range(axis, x.ndim))
    mean = sn.mean(wide, axis=axes, keepdims=True)
    return y, mean, sn.rsqrt(sn.var(wide, axis=axes, keepdims=True) + epsilon)


@op("RMSNormalization")
def _rms_norm(
    c: Call, x: Any, scale: Any, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    axis = axis_of(c, axis, x.ndim)
    shape = x.shape[axis:]
    if tuple(scale.shape) == shape:
        return sn.rms_norm(x, shape, scale.astype(x.dtype), epsilon).astype(scale.dtype)
    return sn.rms_norm(x, shape, None, epsilon).astype(scale.dtype) * scale


@op("LRN")
def _lrn(
    c: Call, x: Any, *, size: int, alpha: float = 0.0001, beta: float = 0.75, bias: float = 1.0
) -> Any:
    n, channels = x.shape[:2]
    squares = (x * x).reshape((n, 1, channels, product(x.shape[2:])))
    before = (size - 1) // 2
    wide = sn.pad(squares, (0, 0, before, size - 1 - before))
    sums = sn.avg_pool2d(wide, (size, 1), (1, 1), 0, False, True, 1).reshape(x.shape)
    return x / sn.pow(sums * (alpha / size) + bias, beta)


@op("LpNormalization")
def _lp_norm(c: Call, x: Any, *, axis: int = -1, p: int = 2) -> Any:
    if p == 1:
        norm = sn.sum(sn.abs(x), axis=axis, keepdims=True)
    else:
        norm = sn.sqrt(sn.sum(x * x, axis=axis, keepdims=True))
    return sn.where(norm == 0, 0, x / sn.where(norm == 0, 1, norm)).astype(x.dtype)


@op("MeanVarianceNormalization")
def _mean_variance_norm(c: Call, x: Any, *, axes: list[int] | None = None) -> Any:
    where = tuple(axes or (0, 2, 3))
    centred = x - sn.mean(x, axis=where, keepdims=True)
    return centred / (sn.sqrt(sn.mean(centred * centred, axis=where, keepdims=True)) + 1e-9)
