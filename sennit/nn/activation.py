"""Activation layers. `inplace` is accepted for PyTorch's sake: values never change here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core
from .._errors import error
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "GeGLU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReGLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "SwiGLU",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]

_f = _core.functions
_relu, _silu, _tanh, _sigmoid = _f["relu"], _f["silu"], _f["tanh"], _f["sigmoid"]
_softmax, _log_softmax = _f["softmax"], _f["log_softmax"]


class _Activation(Module):
    """A layer around `_function`. The repr shows the arguments."""

    _function: Callable[..., Any]

    def forward(self, x: Any) -> Any:
        return self._function(x)

    def extra_repr(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name, value in self.__dict__.items()
            if name not in ("training", "inplace") and name[0] != "_"
        ]
        return ", ".join(shown)


class _InPlace(_Activation):
    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class _Alpha(_Activation):
    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return self._function(x, self.alpha)


class _Shrink(_Activation):
    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd

    def forward(self, x: Any) -> Any:
        return self._function(x, self.lambd)


class _Along(_Activation):
    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        return self._function(x, self.dim)


class ReLU(_InPlace):
    """``max(x, 0)``.

    Examples
    --------
    >>> sn.nn.ReLU()(sn.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    _function = staticmethod(_relu)


class ReLU6(_InPlace):
    """``min(max(x, 0), 6)``.

    Examples
    --------
    >>> sn.nn.ReLU6()(sn.tensor([-1.0, 9.0])).tolist()
    [0.0, 6.0]
    """

    _function = staticmethod(F.relu6)


class GELU(_Activation):
    """Gaussian error linear unit (Hendrycks, Gimpel 2016).

    Parameters
    ----------
    approximate : str
        "none", or "tanh" for the approximation by a hyperbolic tangent.

    Examples
    --------
    >>> round(sn.nn.GELU()(sn.tensor(1.0)).item(), 4)
    0.8413
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        return F.gelu(x, self.approximate)


class SiLU(_InPlace):
    """``x * sigmoid(x)``, also called swish.

    Examples
    --------
    >>> sn.nn.SiLU()(sn.tensor(0.0)).item()
    0.0
    """

    _function = staticmethod(_silu)


class Mish(_InPlace):
    """``x * tanh(softplus(x))`` (Misra 2019).

    Examples
    --------
    >>> sn.nn.Mish()(sn.tensor(0.0)).item()
    0.0
    """

    _function = staticmethod(F.mish)


class Tanh(_Activation):
    """Hyperbolic tangent.

    Examples
    --------
    >>> sn.nn.Tanh()(sn.tensor(0.0)).item()
    0.0
    """

    _function = staticmethod(_tanh)


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> sn.nn.Sigmoid()(sn.tensor(0.0)).item()
    0.5
    """

    _function = staticmethod(_sigmoid)


class LogSigmoid(_Activation):
    """``log(sigmoid(x))``, without overflow.

    Examples
    --------
    >>> round(sn.nn.LogSigmoid()(sn.tensor(0.0)).item(), 4)
    -0.6931
    """

    _function = staticmethod(F.logsigmoid)


class LeakyReLU(_Activation):
    """x above zero, ``negative_slope * x`` below.

    Examples
    --------
    >>> sn.nn.LeakyReLU(0.5)(sn.tensor([-2.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return F.leaky_relu(x, self.negative_slope)


class ELU(_Alpha):
    """x above zero, ``alpha * (exp(x) - 1)`` below (Clevert et al. 2015).

    Examples
    --------
    >>> sn.nn.ELU()(sn.tensor(2.0)).item()
    2.0
    """

    _function = staticmethod(F.elu)


class SELU(_InPlace):
    """Scaled ELU, which keeps mean 0 and variance 1 (Klambauer et al. 2017).

    Examples
    --------
    >>> sn.nn.SELU()(sn.tensor(0.0)).item()
    0.0
    """

    _function = staticmethod(F.selu)


class CELU(_Alpha):
    """ELU with a continuous slope for every alpha (Barron 2017).

    Examples
    --------
    >>> sn.nn.CELU()(sn.tensor(2.0)).item()
    2.0
    """

    _function = staticmethod(F.celu)


class Softplus(_Activation):
    """``log(1 + exp(beta * x)) / beta``; x itself where ``beta * x > threshold``.

    Examples
    --------
    >>> round(sn.nn.Softplus()(sn.tensor(0.0)).item(), 4)
    0.6931
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = beta
        self.threshold = threshold

    def forward(self, x: Any) -> Any:
        return F.softplus(x, self.beta, self.threshold)


class Softsign(_Activation):
    """``x / (1 + abs(x))``.

    Examples
    --------
    >>> sn.nn.Softsign()(sn.tensor(1.0)).item()
    0.5
    """

    _function = staticmethod(F.softsign)


class Softshrink(_Shrink):
    """x moved toward zero by `lambd`, and zero within.

    Examples
    --------
    >>> sn.nn.Softshrink()(sn.tensor(1.0)).item()
    0.5
    """

    _function = staticmethod(F.softshrink)


class Hardshrink(_Shrink):
    """x, and zero within `lambd` of zero.

    Examples
    --------
    >>> sn.nn.Hardshrink()(sn.tensor(0.25)).item()
    0.0
    """

    _function = staticmethod(F.hardshrink)


class Tanhshrink(_Activation):
    """``x - tanh(x)``.

    Examples
    --------
    >>> sn.nn.Tanhshrink()(sn.tensor(0.0)).item()
    0.0
    """

    _function = staticmethod(F.tanhshrink)


class Threshold(_Activation):
    """x above the threshold, `value` elsewhere.

    Examples
    --------
    >>> sn.nn.Threshold(2.0, -1.0)(sn.tensor([1.0, 3.0])).tolist()
    [-1.0, 3.0]
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return F.threshold(x, self.threshold, self.value)


class Hardtanh(_Activation):
    """``min(max(x, min_val), max_val)``.

    Examples
    --------
    >>> sn.nn.Hardtanh()(sn.tensor([-3.0, 0.5])).tolist()
    [-1.0, 0.5]
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return F.hardtanh(x, self.min_val, self.max_val)


class Hardswish(_InPlace):
    """``x * min(max(x + 3, 0), 6) / 6`` (Howard et al. 2019).

    Examples
    --------
    >>> sn.nn.Hardswish()(sn.tensor(3.0)).item()
    3.0
    """

    _function = staticmethod(F.hardswish)


class Hardsigmoid(_InPlace):
    """``min(max(x + 3, 0), 6) / 6``.

    Examples
    --------
    >>> sn.nn.Hardsigmoid()(sn.tensor(0.0)).item()
    0.5
    """

    _function = staticmethod(F.hardsigmoid)


class GLU(_Along):
    """First half times the sigmoid of the second half (Dauphin et al. 2016).

    Examples
    --------
    >>> sn.nn.GLU()(sn.tensor([2.0, 0.0])).tolist()
    [1.0]
    """

    _function = staticmethod(F.glu)


class SwiGLU(_Along):
    """First half times `silu` of the second half (Shazeer, "GLU variants improve
    transformer", 2020).

    Parameters
    ----------
    dim : int
        The dimension that is halved.

    Examples
    --------
    >>> sn.nn.SwiGLU()(sn.ones((2, 6))).shape
    (2, 3)
    """

    _function = staticmethod(F.swiglu)


class GeGLU(_Along):
    """First half times `gelu` of the second half (Shazeer, "GLU variants improve
    transformer", 2020).

    Parameters
    ----------
    dim : int
        The dimension that is halved.

    Examples
    --------
    >>> sn.nn.GeGLU()(sn.ones((2, 6))).shape
    (2, 3)
    """

    _function = staticmethod(F.geglu)


class ReGLU(_Along):
    """First half times `relu` of the second half (Shazeer, "GLU variants improve
    transformer", 2020).

    Parameters
    ----------
    dim : int
        The dimension that is halved.

    Examples
    --------
    >>> sn.nn.ReGLU()(sn.ones((2, 6))).shape
    (2, 3)
    """

    _function = staticmethod(F.reglu)


class RReLU(_Activation):
    """x above zero, below a slope drawn anew for each element in training (Xu et al. 2015).

    Parameters
    ----------
    lower, upper : float
        Slopes are uniform between them; outside of training they are their mean.

    Examples
    --------
    >>> sn.nn.RReLU(0.25, 0.75).eval()(sn.tensor([-2.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return F.rrelu(x, self.lower, self.upper, self.training)


class Softmax2d(_Activation):
    """Softmax over the channels of images, (N, C, H, W) or (C, H, W).

    Examples
    --------
    >>> sn.nn.Softmax2d()(sn.zeros((1, 2, 1, 1))).flatten().tolist()
    [0.5, 0.5]
    """

    def forward(self, x: Any) -> Any:
        if x.ndim not in (3, 4):
            raise error(
                _core.ShapeError,
                "Softmax2d",
                f"the input has shape {x.shape}; required is (N, C, H, W) or (C, H, W)",
            )
        return _softmax(x, -3)


class Softmax(_Along):
    """Exponentials that sum to one along `dim`.

    Examples
    --------
    >>> sn.nn.Softmax()(sn.tensor([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """

    _function = staticmethod(_softmax)


class LogSoftmax(_Along):
    """Logarithm of the softmax along `dim`.

    Examples
    --------
    >>> sn.nn.LogSoftmax()(sn.tensor([3.0])).tolist()
    [0.0]
    """

    _function = staticmethod(_log_softmax)


class Softmin(_Along):
    """Softmax of ``-x`` along `dim`.

    Examples
    --------
    >>> sn.nn.Softmin()(sn.tensor([1.0, 1.0])).tolist()
    [0.5, 0.5]
    """

    _function = staticmethod(F.softmin)


class PReLU(Module):
    """Leaky rectifier whose slopes are learnt (He et al. 2015).

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels (dimension 1).
    init : float
        First value of the slopes.

    Examples
    --------
    >>> sn.nn.PReLU()(sn.tensor([-4.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: Any = None) -> None:
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(_f["full"]((num_parameters,), float(init), dtype=dtype))

    def reset_parameters(self) -> None:
        """Sets the slopes to their first value."""
        init.constant_(self.weight, self.init)

    def forward(self, x: Any) -> Any:
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
