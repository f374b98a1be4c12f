"""Activation layers. `inplace` is accepted for PyTorch's sake: values never change here."""

from __future__ import annotations

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
    """What the activations share: the repr shows the arguments."""

    def extra_repr(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name, value in self.__dict__.items()
            if name not in ("training", "inplace") and name[0] != "_"
        ]
        return ", ".join(shown)


class ReLU(_Activation):
    """``max(x, 0)``.

    Examples
    --------
    >>> sn.nn.ReLU()(sn.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return _relu(x)


class ReLU6(_Activation):
    """``min(max(x, 0), 6)``.

    Examples
    --------
    >>> sn.nn.ReLU6()(sn.tensor([-1.0, 9.0])).tolist()
    [0.0, 6.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return F.relu6(x)


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


class SiLU(_Activation):
    """``x * sigmoid(x)``, also called swish.

    Examples
    --------
    >>> sn.nn.SiLU()(sn.tensor(0.0)).item()
    0.0
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return _silu(x)


class Mish(_Activation):
    """``x * tanh(softplus(x))`` (Misra 2019).

    Examples
    --------
    >>> sn.nn.Mish()(sn.tensor(0.0)).item()
    0.0
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return F.mish(x)


class Tanh(_Activation):
    """Hyperbolic tangent.

    Examples
    --------
    >>> sn.nn.Tanh()(sn.tensor(0.0)).item()
    0.0
    """

    def forward(self, x: Any) -> Any:
        return _tanh(x)


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> sn.nn.Sigmoid()(sn.tensor(0.0)).item()
    0.5
    """

    def forward(self, x: Any) -> Any:
        return _sigmoid(x)


class LogSigmoid(_Activation):
    """``log(sigmoid(x))``, without overflow.

    Examples
    --------
    >>> round(sn.nn.LogSigmoid()(sn.tensor(0.0)).item(), 4)
    -0.6931
    """

    def forward(self, x: Any) -> Any:
        return F.logsigmoid(x)


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


class ELU(_Activation):
    """x above zero, ``alpha * (exp(x) - 1)`` below (Clevert et al. 2015).

    Examples
    --------
    >>> sn.nn.ELU()(sn.tensor(2.0)).item()
    2.0
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return F.elu(x, self.alpha)


class SELU(_Activation):
    """Scaled ELU, which keeps mean 0 and variance 1 (Klambauer et al. 2017).

    Examples
    --------
    >>> sn.nn.SELU()(sn.tensor(0.0)).item()
    0.0
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return F.selu(x)


class CELU(_Activation):
    """ELU with a continuous slope for every alpha (Barron 2017).

    Examples
    --------
    >>> sn.nn.CELU()(sn.tensor(2.0)).item()
    2.0
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return F.celu(x, self.alpha)


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

    def forward(self, x: Any) -> Any:
        return F.softsign(x)


class Softshrink(_Activation):
    """x moved toward zero by `lambd`, and zero within.

    Examples
    --------
    >>> sn.nn.Softshrink()(sn.tensor(1.0)).item()
    0.5
    """

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd

    def forward(self, x: Any) -> Any:
        return F.softshrink(x, self.lambd)


class Hardshrink(_Activation):
    """x, and zero within `lambd` of zero.

    Examples
    --------
    >>> sn.nn.Hardshrink()(sn.tensor(0.25)).item()
    0.0
    """

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd

    def forward(self, x: Any) -> Any:
        return F.hardshrink(x, self.lambd)


class Tanhshrink(_Activation):
    """``x - tanh(x)``.

    Examples
    --------
    >>> sn.nn.Tanhshrink()(sn.tensor(0.0)).item()
    0.0
    """

    def forward(self, x: Any) -> Any:
        return F.tanhshrink(x)


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


class Hardswish(_Activation):
    """``x * min(max(x + 3, 0), 6) / 6`` (Howard et al. 2019).

    Examples
    --------
    >>> sn.nn.Hardswish()(sn.tensor(3.0)).item()
    3.0
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return F.hardswish(x)


class Hardsigmoid(_Activation):
    """``min(max(x + 3, 0), 6) / 6``.

    Examples
    --------
    >>> sn.nn.Hardsigmoid()(sn.tensor(0.0)).item()
    0.5
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        return F.hardsigmoid(x)


class GLU(_Activation):
    """First half times the sigmoid of the second half (Dauphin et al. 2016).

    Examples
    --------
    >>> sn.nn.GLU()(sn.tensor([2.0, 0.0])).tolist()
    [1.0]
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        return F.glu(x, self.dim)


class SwiGLU(_Activation):
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

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        return F.swiglu(x, self.dim)


class GeGLU(_Activation):
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

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        return F.geglu(x, self.dim)


class ReGLU(_Activation):
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

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        return F.reglu(x, self.dim)


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


class Softmax(_Activation):
    """Exponentials that sum to one along `dim`.

    Examples
    --------
    >>> sn.nn.Softmax()(sn.tensor([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        return _softmax(x, self.dim)


class LogSoftmax(_Activation):
    """Logarithm of the softmax along `dim`.

    Examples
    --------
    >>> sn.nn.LogSoftmax()(sn.tensor([3.0])).tolist()
    [0.0]
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        return _log_softmax(x, self.dim)


class Softmin(_Activation):
    """Softmax of ``-x`` along `dim`.

    Examples
    --------
    >>> sn.nn.Softmin()(sn.tensor([1.0, 1.0])).tolist()
    [0.5, 0.5]
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        return F.softmin(x, self.dim)


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
