"""Initial values of parameters. Numbers come from ``sn.random``: the same bits on every machine.

Each function fills a tensor in place, outside the tape, and returns it. Semantics are those of
``torch.nn.init``.
"""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._errors import error

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_f = _core.functions
_uniform = _f["random.uniform"]
_normal = _f["random.normal"]


def _set(tensor: _core.Tensor, value: _core.Tensor) -> _core.Tensor:
    tensor.assign_(value.detach().to(tensor.dtype))
    return tensor


def uniform_(tensor: _core.Tensor, a: float = 0.0, b: float = 1.0) -> _core.Tensor:
    """Numbers spread evenly over [a, b).

    Examples
    --------
    >>> w = sn.nn.init.uniform_(sn.empty((3, 3)), -1.0, 1.0)
    >>> bool((w.abs() <= 1).all())
    True
    """
    return _set(tensor, _uniform(float(a), float(b), tensor.shape, tensor.dtype))


def normal_(tensor: _core.Tensor, mean: float = 0.0, std: float = 1.0) -> _core.Tensor:
    """Normally distributed numbers.

    Examples
    --------
    >>> sn.nn.init.normal_(sn.empty(4), mean=5.0, std=0.0).tolist()
    [5.0, 5.0, 5.0, 5.0]
    """
    return _set(tensor, _normal(float(mean), float(std), tensor.shape, tensor.dtype))


def constant_(tensor: _core.Tensor, val: float) -> _core.Tensor:
    """The same number everywhere.

    Examples
    --------
    >>> sn.nn.init.constant_(sn.empty(2), 0.5).tolist()
    [0.5, 0.5]
    """
    return _set(tensor, _f["full"](tensor.shape, val, dtype=tensor.dtype))


def zeros_(tensor: _core.Tensor) -> _core.Tensor:
    """Zeros.

    Examples
    --------
    >>> sn.nn.init.zeros_(sn.ones(2)).tolist()
    [0.0, 0.0]
    """
    return constant_(tensor, 0)


def ones_(tensor: _core.Tensor) -> _core.Tensor:
    """Ones.

    Examples
    --------
    >>> sn.nn.init.ones_(sn.zeros(2)).tolist()
    [1.0, 1.0]
    """
    return constant_(tensor, 1)


def eye_(tensor: _core.Tensor) -> _core.Tensor:
    """The identity matrix, cut to the shape of a matrix.

    Examples
    --------
    >>> sn.nn.init.eye_(sn.empty((2, 3))).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    if tensor.ndim != 2:
        raise error(
            _core.ShapeError,
            "init.eye_",
            f"the tensor has shape {tensor.shape}; it must be a matrix",
        )
    return _set(tensor, _f["eye"](tensor.shape[0], tensor.shape[1], dtype=tensor.dtype))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity makes the deviation smaller.

    Parameters
    ----------
    nonlinearity : str
        "linear", "sigmoid", "conv1d" ..., "tanh", "relu", "leaky_relu" (`param`: its slope, 0.01 by
        default), "selu".

    Examples
    --------
    >>> sn.nn.init.calculate_gain("relu") == 2**0.5
    True
    """
    plain = {"linear", "sigmoid", *(f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3))}
    if nonlinearity in plain:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3.0
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1.0 + slope * slope))
    if nonlinearity == "selu":
        return 0.75
    raise error(
        _core.InvalidValue,
        "init.calculate_gain",
        f"the nonlinearity is '{nonlinearity}'; it must be linear, sigmoid, tanh, relu, "
        "leaky_relu, selu or a convolution",
    )


def _fans(tensor: _core.Tensor, op: str) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise error(
            _core.ShapeError,
            f"init.{op}",
            f"the tensor has shape {tensor.shape}; fan-in and fan-out need two dimensions or more",
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _fan(tensor: _core.Tensor, mode: str, op: str) -> int:
    fans = dict(zip(("fan_in", "fan_out"), _fans(tensor, op), strict=True))
    if mode not in fans:
        raise error(
            _core.InvalidValue, f"init.{op}", f"mode is '{mode}'; it must be 'fan_in' or 'fan_out'"
        )
    return max(fans[mode], 1)


def kaiming_uniform_(
    tensor: _core.Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> _core.Tensor:
    """Uniform numbers that keep the deviation through rectified layers (He et al. 2015).

    Parameters
    ----------
    a : float
        Slope of the leaky rectifier behind the layer.
    mode : str
        "fan_in" keeps the forward deviation, "fan_out" the backward one.

    Examples
    --------
    >>> w = sn.nn.init.kaiming_uniform_(sn.empty((8, 6)), nonlinearity="relu")
    >>> bool((w.abs() <= 1.0).all())
    True
    """
    fan = _fan(tensor, mode, "kaiming_uniform_")
    bound = math.sqrt(3.0) * (calculate_gain(nonlinearity, a) / math.sqrt(fan))
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: _core.Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> _core.Tensor:
    """Normal numbers that keep the deviation through rectified layers (He et al. 2015).

    Examples
    --------
    >>> sn.nn.init.kaiming_normal_(sn.empty((8, 6))).shape
    (8, 6)
    """
    fan = _fan(tensor, mode, "kaiming_normal_")
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan))


def xavier_uniform_(tensor: _core.Tensor, gain: float = 1.0) -> _core.Tensor:
    """Uniform numbers that keep the deviation both ways (Glorot, Bengio 2010).

    Examples
    --------
    >>> w = sn.nn.init.xavier_uniform_(sn.empty((3, 3)))
    >>> bool((w.abs() <= 1.0).all())
    True
    """
    fan_in, fan_out = _fans(tensor, "xavier_uniform_")
    bound = math.sqrt(3.0) * (gain * math.sqrt(2.0 / max(fan_in + fan_out, 1)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: _core.Tensor, gain: float = 1.0) -> _core.Tensor:
    """Normal numbers that keep the deviation both ways (Glorot, Bengio 2010).

    Examples
    --------
    >>> sn.nn.init.xavier_normal_(sn.empty((3, 3))).shape
    (3, 3)
    """
    fan_in, fan_out = _fans(tensor, "xavier_normal_")
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(fan_in + fan_out, 1)))


def trunc_normal_(
    tensor: _core.Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> _core.Tensor:
    """Normal numbers, those outside [a, b] drawn anew.

    Raises
    ------
    InvalidValue
        When [a, b] is empty or so far from the mean that hardly a number falls into it.

    Examples
    --------
    >>> w = sn.nn.init.trunc_normal_(sn.empty(100), std=2.0)
    >>> bool((w.abs() <= 2).all())
    True
    """
    chance = 0.0
    if std > 0 and a < b:
        scale = std * math.sqrt(2.0)
        chance = (math.erf((b - mean) / scale) - math.erf((a - mean) / scale)) / 2
    if chance < 0.01:
        raise error(
            _core.InvalidValue,
            "init.trunc_normal_",
            f"[{a}, {b}] holds {chance:.2%} of a normal distribution of mean {mean} and deviation "
            f"{std}; it must hold at least 1 %",
        )
    shape, where = tensor.shape, _f["where"]
    x = _normal(float(mean), float(std), shape, tensor.dtype)
    while True:
        outside = (x < a) | (x > b)
        if not bool(outside.any()):
            return _set(tensor, x)
        x = where(outside, _normal(float(mean), float(std), shape, tensor.dtype), x)


def orthogonal_(tensor: _core.Tensor, gain: float = 1.0) -> _core.Tensor:
    """A random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).

    Dimensions after the first count as one. Gram-Schmidt, twice, in float64.

    Examples
    --------
    >>> q = sn.nn.init.orthogonal_(sn.empty((2, 5)))
    >>> bool(((q @ q.T - sn.eye(2)).abs() < 1e-5).all())
    True
    """
    if tensor.ndim < 2:
        raise error(
            _core.ShapeError,
            "init.orthogonal_",
            f"the tensor has shape {tensor.shape}; it must have two dimensions or more",
        )
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    count, length = min(rows, columns), max(rows, columns)
    if count == 0:
        return tensor
    start = _normal(0.0, 1.0, (count, length), _core.float64)
    done: Any = None
    for i in range(count):
        v = start[i]
        for _ in range(2 if done is not None else 0):
            v = v - done.T @ (done @ v)
        v = (v / (v * v).sum().sqrt())[None]
        done = v if done is None else _f["concat"]([done, v], 0)
        _core.flush()
    q = done if rows <= columns else done.T
    return _set(tensor, (q * gain).reshape(tensor.shape))


def dirac_(tensor: _core.Tensor, groups: int = 1) -> _core.Tensor:
    """Weights of a convolution that passes its input on, as many channels as there are on both
    sides; with groups, within each group.

    Parameters
    ----------
    tensor : Tensor
        (out_channels, in_channels / groups, kernel...), with one to three kernel dimensions.
    groups : int

    Examples
    --------
    >>> sn.nn.init.dirac_(sn.empty((2, 2, 3))).tolist()
    [[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    shape = tensor.shape
    if tensor.ndim not in (3, 4, 5) or groups < 1 or shape[0] % groups:
        raise error(
            _core.ShapeError,
            "init.dirac_",
            f"the tensor has shape {shape} and groups is {groups}; required are three to five "
            "dimensions and groups that divide the first",
        )
    value = _f["zeros"](shape, dtype=tensor.dtype)
    middle = tuple(n // 2 for n in shape[2:])
    each = shape[0] // groups
    for group in range(groups):
        for channel in range(min(each, shape[1])):
            value[(group * each + channel, channel, *middle)] = 1
    return _set(tensor, value)


def sparse_(tensor: _core.Tensor, sparsity: float, std: float = 0.01) -> _core.Tensor:
    """Normal numbers, of which a part in each column is set to zero (Martens 2010).

    Parameters
    ----------
    tensor : Tensor
        (rows, columns).
    sparsity : float
        The part of each column that is zero, rounded up to a whole number.
    std : float
        Deviation of the others.

    Examples
    --------
    >>> w = sn.nn.init.sparse_(sn.empty((10, 3)), 0.5)
    >>> (w == 0).sum(0).tolist()
    [5, 5, 5]
    """
    if tensor.ndim != 2 or not 0 <= sparsity <= 1:
        raise error(
            _core.ShapeError if tensor.ndim != 2 else _core.InvalidValue,
            "init.sparse_",
            f"the tensor has shape {tensor.shape} and sparsity is {sparsity}; required are two "
            "dimensions and a part between 0 and 1",
        )
    # The rank of each element among random numbers of its column: so many are zero.
    draw = _uniform(0.0, 1.0, tensor.shape)
    rank = _f["argsort"](_f["argsort"](draw, 0), 0)
    kept = rank >= math.ceil(sparsity * tensor.shape[0])
    return _set(tensor, _f["where"](kept, _normal(0.0, float(std), tensor.shape), 0.0))
