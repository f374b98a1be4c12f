"""Functions of `sennit.nn.functional` that add noise in training."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._errors import error
from .._whole import whole

_f = _core.functions
_dropout, _ones, _zeros, _where = _f["dropout"], _f["ones"], _f["zeros"], _f["where"]
_full = _f["full"]
_uniform, _normal = _f["random.rand"], _f["random.normal"]

__all__ = [
    "alpha_dropout",
    "drop_path",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
    "gaussian_noise",
    "stochastic_depth",
]


def _check(name: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise error(_core.InvalidValue, name, f"p is {p}; it must be between 0 and 1")


def _mask(shape: tuple[int, ...], p: float, device: str) -> Any:
    """True where something is kept, with probability 1 - p."""
    return _uniform(shape, _core.float32, device) >= p


def _of_channels(x: Any, unbatched: bool = False) -> tuple[int, ...]:
    """The shape of one number per channel."""
    leading = 1 if unbatched else 2
    return (*x.shape[:leading], *(1,) * (x.ndim - leading))


def _drop_channels(name: str, x: Any, p: float, training: bool, ranks: tuple[int, ...]) -> Any:
    _check(name, p)
    if x.ndim not in ranks:
        shown = " or ".join(str(r) for r in ranks)
        raise error(
            _core.ShapeError,
            name,
            f"the input has shape {x.shape}; {shown} dimensions are required: (N, C, ...), or "
            "(C, ...) for one sample",
        )
    if not training or p == 0:
        return x
    return x * _dropout(_ones(_of_channels(x, x.ndim == ranks[0]), x.dtype, x.device), p)


@whole
def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, L) or (C, L).

    Examples
    --------
    >>> sn.nn.functional.dropout1d(sn.ones((1, 2, 3)), 1.0).sum().item()
    0.0
    """
    return _drop_channels("dropout1d", input, p, training, (2, 3))


@whole
def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, H, W).

    Three dimensions are read as (N, C, L), as PyTorch does; use `dropout1d` for them, and add a
    dimension to a single image.

    Examples
    --------
    >>> sn.nn.functional.dropout2d(sn.ones((1, 2, 3, 3)), 1.0).sum().item()
    0.0
    """
    if input.ndim == 3:
        return _drop_channels("dropout2d", input, p, training, (2, 3))
    return _drop_channels("dropout2d", input, p, training, (3, 4))


@whole
def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W).

    Examples
    --------
    >>> sn.nn.functional.dropout3d(sn.ones((1, 2, 3, 3, 3)), 1.0).sum().item()
    0.0
    """
    return _drop_channels("dropout3d", input, p, training, (4, 5))


# What SELU's values tend to: -scale * alpha of that function.
_SATURATION = -1.7580993408473766


def _alpha(name: str, x: Any, p: float, training: bool, shape: tuple[int, ...]) -> Any:
    _check(name, p)
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0.0
    scale = 1.0 / math.sqrt((1.0 - p) * (1.0 + p * _SATURATION**2))
    kept = _mask(shape, p, x.device)
    # Dropped values become the saturation; both keep mean zero and variance one.
    middle = scale * p * _SATURATION
    factor = _where(kept, _full((), scale, x.dtype, x.device), 0.0)
    shift = _where(kept, _full((), -middle, x.dtype, x.device), scale * _SATURATION - middle)
    return x * factor + shift


@whole
def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout for `selu`: keeps mean zero and variance one (Klambauer et al. 2017).

    Parameters
    ----------
    input : Tensor
        Of any shape, floating.
    p : float
        The probability that an element is set to what SELU tends to.
    training : bool
    inplace : bool
        Accepted for PyTorch's sake; values never change here.

    Examples
    --------
    >>> sn.nn.functional.alpha_dropout(sn.ones(2), 0.5, training=False).tolist()
    [1.0, 1.0]
    """
    return _alpha("alpha_dropout", input, p, training, input.shape)


@whole
def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Any:
    """`alpha_dropout` of whole channels of (N, C, ...).

    Examples
    --------
    >>> x = sn.nn.functional.feature_alpha_dropout(sn.ones((1, 1, 3)), 0.5, training=True)
    >>> len(set(x.flatten().tolist()))
    1
    """
    if input.ndim < 2:
        raise error(
            _core.ShapeError,
            "feature_alpha_dropout",
            f"the input has shape {input.shape}; (N, C, ...) with two dimensions or more is "
            "required",
        )
    return _alpha("feature_alpha_dropout", input, p, training, _of_channels(input))


@whole
def stochastic_depth(input: Any, p: float, mode: str, training: bool = True) -> Any:
    """Zeroes the results of a branch of a network at random, else divides them by 1 - p
    (Huang et al. 2016; names of torchvision).

    Parameters
    ----------
    input : Tensor
        (N, ...).
    p : float
        The probability of zeros.
    mode : str
        "row": each sample by itself; "batch": all or none.
    training : bool

    Examples
    --------
    >>> sn.nn.functional.stochastic_depth(sn.ones((1, 2)), 1.0, "row").tolist()
    [[0.0, 0.0]]
    """
    _check("stochastic_depth", p)
    if mode not in ("batch", "row"):
        raise error(
            _core.InvalidValue,
            "stochastic_depth",
            f"mode is {mode!r}; it must be 'batch' or 'row'",
        )
    if not training or p == 0:
        return input
    first = input.shape[:1] if mode == "row" else (1,) * min(1, input.ndim)
    shape = (*first, *(1,) * (input.ndim - 1))
    return input * _dropout(_ones(shape, input.dtype, input.device), p)


@whole
def drop_path(
    x: Any, drop_prob: float = 0.0, training: bool = False, scale_by_keep: bool = True
) -> Any:
    """Zeroes the results of a branch for samples at random (Huang et al. 2016; names of timm).

    Parameters
    ----------
    x : Tensor
        (N, ...).
    drop_prob : float
        The probability that a sample becomes zeros.
    training : bool
    scale_by_keep : bool
        Whether the others are divided by ``1 - drop_prob``.

    Examples
    --------
    >>> sn.nn.functional.drop_path(sn.ones((2, 1)), 0.5).tolist()
    [[1.0], [1.0]]
    """
    _check("drop_path", drop_prob)
    if scale_by_keep:
        return stochastic_depth(x, drop_prob, "row", training)
    if not training or drop_prob == 0:
        return x
    kept = _mask((*x.shape[:1], *(1,) * (x.ndim - 1)), drop_prob, x.device)
    return x * kept.astype(x.dtype)


@whole
def gaussian_noise(input: Any, std: float = 1.0, training: bool = True) -> Any:
    """Adds normally distributed numbers of mean zero and deviation `std`, when training.

    Examples
    --------
    >>> sn.nn.functional.gaussian_noise(sn.ones(2), 0.1, training=False).tolist()
    [1.0, 1.0]
    """
    if not std >= 0:
        raise error(_core.InvalidValue, "gaussian_noise", f"std is {std}; it must be 0 or more")
    if not training or std == 0:
        return input
    return input + _normal(0.0, float(std), input.shape, input.dtype, input.device)
