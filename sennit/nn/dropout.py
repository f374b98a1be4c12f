"""Layers that add noise in training and do nothing in inference."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from . import _dropout as functions
from .module import Module

__all__ = [
    "AlphaDropout",
    "DropPath",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    "GaussianNoise",
    "StochasticDepth",
]

_plain = _core.functions["dropout"]


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        if not 0.0 <= p <= 1.0:
            raise error(
                _core.InvalidValue, type(self).__name__, f"p is {p}; it must be between 0 and 1"
            )
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Zero with probability p, else x / (1 - p), in training; nothing in inference.

    Parameters
    ----------
    p : float
    inplace : bool
        Accepted for PyTorch's sake; values never change here.

    Examples
    --------
    >>> sn.nn.Dropout(0.5).eval()(sn.ones(2)).tolist()
    [1.0, 1.0]
    """

    def forward(self, input: Any) -> Any:
        return _plain(input, self.p) if self.training and self.p > 0 else input


class Dropout1d(_Dropout):
    """Dropout of whole channels of sequences (N, C, L) or (C, L).

    Examples
    --------
    >>> sn.nn.Dropout1d(1.0)(sn.ones((1, 2, 3))).sum().item()
    0.0
    """

    def forward(self, input: Any) -> Any:
        return functions.dropout1d(input, self.p, self.training)


class Dropout2d(_Dropout):
    """Dropout of whole channels of images (N, C, H, W).

    Examples
    --------
    >>> sn.nn.Dropout2d(1.0)(sn.ones((1, 2, 3, 3))).sum().item()
    0.0
    """

    def forward(self, input: Any) -> Any:
        return functions.dropout2d(input, self.p, self.training)


class Dropout3d(_Dropout):
    """Dropout of whole channels of volumes (N, C, D, H, W) or (C, D, H, W).

    Examples
    --------
    >>> sn.nn.Dropout3d(1.0)(sn.ones((1, 2, 3, 3, 3))).sum().item()
    0.0
    """

    def forward(self, input: Any) -> Any:
        return functions.dropout3d(input, self.p, self.training)


class AlphaDropout(_Dropout):
    """Dropout for networks of `SELU`, that keeps mean and variance (Klambauer et al. 2017).

    Examples
    --------
    >>> sn.nn.AlphaDropout(1.0)(sn.ones(2)).tolist()
    [0.0, 0.0]
    """

    def forward(self, input: Any) -> Any:
        return functions.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels of (N, C, ...).

    Examples
    --------
    >>> sn.nn.FeatureAlphaDropout(1.0)(sn.ones((1, 2, 2))).sum().item()
    0.0
    """

    def forward(self, input: Any) -> Any:
        return functions.feature_alpha_dropout(input, self.p, self.training)


class DropPath(Module):
    """Zeroes the results of a branch for samples at random, in training (Huang et al. 2016), with
    the names of timm.

    Parameters
    ----------
    drop_prob : float
        The probability that a sample of (N, ...) becomes zeros.
    scale_by_keep : bool
        Whether the others are divided by ``1 - drop_prob``.

    Examples
    --------
    >>> sn.nn.DropPath(1.0)(sn.ones((2, 3))).sum().item()
    0.0
    """

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        if not 0.0 <= drop_prob <= 1.0:
            raise error(
                _core.InvalidValue,
                "DropPath",
                f"drop_prob is {drop_prob}; it must be between 0 and 1",
            )
        self.drop_prob = drop_prob
        self.scale_by_keep = scale_by_keep

    def forward(self, x: Any) -> Any:
        return functions.drop_path(x, self.drop_prob, self.training, self.scale_by_keep)

    def extra_repr(self) -> str:
        return f"drop_prob={round(self.drop_prob, 3):0.3f}"


class StochasticDepth(Module):
    """Zeroes the results of a branch at random, in training (Huang et al. 2016), with the names of
    torchvision.

    Parameters
    ----------
    p : float
        The probability of zeros; other results are divided by ``1 - p``.
    mode : str
        "row": each sample of (N, ...) by itself; "batch": all or none.

    Examples
    --------
    >>> sn.nn.StochasticDepth(1.0, "batch")(sn.ones((2, 3))).sum().item()
    0.0
    """

    def __init__(self, p: float, mode: str) -> None:
        functions.stochastic_depth(_core.functions["zeros"]((1,)), p, mode)  # refuses bad values
        self.p = p
        self.mode = mode

    def forward(self, input: Any) -> Any:
        return functions.stochastic_depth(input, self.p, self.mode, self.training)

    def __repr__(self) -> str:
        return f"StochasticDepth(p={self.p}, mode={self.mode})"


class GaussianNoise(Module):
    """Adds normally distributed numbers of mean zero in training.

    Parameters
    ----------
    std : float
        Their standard deviation.

    Examples
    --------
    >>> sn.nn.GaussianNoise(0.1).eval()(sn.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, std: float = 1.0) -> None:
        if not std >= 0:
            raise error(_core.InvalidValue, "GaussianNoise", f"std is {std}; it must be 0 or more")
        self.std = std

    def forward(self, input: Any) -> Any:
        return functions.gaussian_noise(input, self.std, self.training)

    def extra_repr(self) -> str:
        return f"std={self.std}"
