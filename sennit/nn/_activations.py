"""Activations of `sennit.nn.functional`, with PyTorch's names, argument orders and defaults."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from .._whole import whole

_f = _core.functions
_relu, _leaky_relu, _elu, _softplus = _f["relu"], _f["leaky_relu"], _f["elu"], _f["softplus"]
_silu, _gelu, _gelu_tanh = _f["silu"], _f["gelu"], _f["gelu_tanh"]
_hardswish, _hardsigmoid, _mish = _f["hardswish"], _f["hardsigmoid"], _f["mish"]
_clip, _where, _tanh, _sigmoid = _f["clip"], _f["where"], _f["tanh"], _f["sigmoid"]

__all__ = [
    "celu",
    "elu",
    "geglu",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "mish",
    "prelu",
    "reglu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "swiglu",
    "tanhshrink",
    "threshold",
]


def relu(input: Any, inplace: bool = False) -> Any:
    """``max(x, 0)``. `inplace` is accepted for PyTorch's sake: values never change here.

    Examples
    --------
    >>> sn.nn.functional.relu(sn.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return _relu(input)


def relu6(input: Any, inplace: bool = False) -> Any:
    """``min(max(x, 0), 6)``.

    Examples
    --------
    >>> sn.nn.functional.relu6(sn.tensor([-1.0, 2.0, 9.0])).tolist()
    [0.0, 2.0, 6.0]
    """
    return _clip(input, 0.0, 6.0)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """``min(max(x, min_val), max_val)``.

    Examples
    --------
    >>> sn.nn.functional.hardtanh(sn.tensor([-3.0, 0.5])).tolist()
    [-1.0, 0.5]
    """
    if min_val > max_val:
        raise error(
            _core.InvalidValue,
            "hardtanh",
            f"min_val is {min_val} and max_val {max_val}; the first must not be larger",
        )
    return _clip(input, min_val, max_val)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x above zero, ``negative_slope * x`` below.

    Examples
    --------
    >>> sn.nn.functional.leaky_relu(sn.tensor([-2.0, 2.0]), 0.5).tolist()
    [-1.0, 2.0]
    """
    return _leaky_relu(input, negative_slope)


def prelu(input: Any, weight: Any) -> Any:
    """`leaky_relu` with slopes that are learnt: one, or one per channel (dimension 1).

    Examples
    --------
    >>> sn.nn.functional.prelu(sn.tensor([[-2.0, 2.0]]), sn.tensor([0.5])).tolist()
    [[-1.0, 2.0]]
    """
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.size not in (1, channels):
        raise error(
            _core.ShapeError,
            "prelu",
            f"the input has shape {input.shape} and weight {weight.shape}; one slope or one for "
            f"each channel (dimension 1) is required, ({channels},)",
        )
    if weight.ndim == 1:
        many = weight.size != 1 and input.ndim > 1
        weight = weight.reshape((-1,) + (1,) * (input.ndim - 2) if many else ())
    return _where(input > 0, input, input * weight)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x above zero, ``alpha * (exp(x) - 1)`` below (Clevert et al. 2015).

    Examples
    --------
    >>> sn.nn.functional.elu(sn.tensor([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return _elu(input, alpha)


def selu(input: Any, inplace: bool = False) -> Any:
    """Scaled `elu`, which keeps mean 0 and variance 1 (Klambauer et al. 2017).

    Examples
    --------
    >>> round(sn.nn.functional.selu(sn.tensor(1.0)).item(), 4)
    1.0507
    """
    return 1.0507009873554805 * _elu(input, 1.6732632423543772)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """``max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))`` (Barron 2017).

    Examples
    --------
    >>> sn.nn.functional.celu(sn.tensor([0.0, 2.0]), 2.0).tolist()
    [0.0, 2.0]
    """
    return _elu(input / alpha, 1.0) * alpha


def gelu(input: Any, approximate: str = "none") -> Any:
    """Gaussian error linear unit, ``x * P(X <= x)`` (Hendrycks, Gimpel 2016).

    Parameters
    ----------
    approximate : str
        "none", or "tanh" for the approximation by a hyperbolic tangent.

    Examples
    --------
    >>> round(sn.nn.functional.gelu(sn.tensor(1.0)).item(), 4)
    0.8413
    """
    if approximate == "none":
        return _gelu(input)
    if approximate == "tanh":
        return _gelu_tanh(input)
    raise error(
        _core.InvalidValue, "gelu", f"approximate is '{approximate}'; it must be 'none' or 'tanh'"
    )


def silu(input: Any, inplace: bool = False) -> Any:
    """``x * sigmoid(x)``, also called swish.

    Examples
    --------
    >>> sn.nn.functional.silu(sn.tensor(0.0)).item()
    0.0
    """
    return _silu(input)


def mish(input: Any, inplace: bool = False) -> Any:
    """``x * tanh(softplus(x))`` (Misra 2019).

    Examples
    --------
    >>> sn.nn.functional.mish(sn.tensor(0.0)).item()
    0.0
    """
    return _mish(input)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """``x * min(max(x + 3, 0), 6) / 6`` (Howard et al. 2019).

    Examples
    --------
    >>> sn.nn.functional.hardswish(sn.tensor([-3.0, 3.0])).abs().tolist()
    [0.0, 3.0]
    """
    return _hardswish(input)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """``min(max(x + 3, 0), 6) / 6``.

    Examples
    --------
    >>> sn.nn.functional.hardsigmoid(sn.tensor([-3.0, 0.0, 3.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return _hardsigmoid(input)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """``log(1 + exp(beta * x)) / beta``, and x itself where ``beta * x > threshold``.

    Examples
    --------
    >>> round(sn.nn.functional.softplus(sn.tensor(0.0)).item(), 4)
    0.6931
    """
    if beta == 1.0 and threshold >= 17.0:
        return _softplus(input)  # exact there already: log(1 + exp(x)) rounds to x
    scaled = input * beta
    return _where(scaled > threshold, input, _softplus(scaled) / beta)


def softsign(input: Any) -> Any:
    """``x / (1 + abs(x))``.

    Examples
    --------
    >>> sn.nn.functional.softsign(sn.tensor(1.0)).item()
    0.5
    """
    return input / (1.0 + _f["abs"](input))


def tanhshrink(input: Any) -> Any:
    """``x - tanh(x)``.

    Examples
    --------
    >>> sn.nn.functional.tanhshrink(sn.tensor(0.0)).item()
    0.0
    """
    return input - _tanh(input)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved toward zero by `lambd`, and zero within.

    Examples
    --------
    >>> sn.nn.functional.softshrink(sn.tensor([-1.0, 0.2, 1.0])).tolist()
    [-0.5, 0.0, 0.5]
    """
    if lambd < 0:
        raise error(
            _core.InvalidValue, "softshrink", f"lambd is {lambd}; a number of 0 or more is required"
        )
    return input - _clip(input, -lambd, lambd)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x, and zero within `lambd` of zero.

    Examples
    --------
    >>> sn.nn.functional.hardshrink(sn.tensor([-1.0, 0.2])).tolist()
    [-1.0, 0.0]
    """
    return _where(_f["abs"](input) > lambd, input, 0.0)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x above the threshold, `value` elsewhere.

    Examples
    --------
    >>> sn.nn.functional.threshold(sn.tensor([1.0, 3.0]), 2.0, -1.0).tolist()
    [-1.0, 3.0]
    """
    return _where(input > threshold, input, float(value))


def _halves(op: str, input: Any, dim: int) -> tuple[Any, Any]:
    if input.ndim == 0 or input.shape[dim] % 2:
        raise error(
            _core.ShapeError,
            op,
            f"the input has shape {input.shape}; dimension {dim} is cut into two halves and must "
            "have an even size; make the layer before it twice as wide",
        )
    a, b = _f["chunk"](input, 2, dim)
    return a, b


def glu(input: Any, dim: int = -1) -> Any:
    """First half times the sigmoid of the second half (Dauphin et al. 2016).

    Examples
    --------
    >>> sn.nn.functional.glu(sn.tensor([2.0, 0.0])).tolist()
    [1.0]
    """
    a, b = _halves("glu", input, dim)
    return a * _sigmoid(b)


def swiglu(input: Any, dim: int = -1) -> Any:
    """First half times `silu` of the second half (Shazeer, "GLU variants improve transformer",
    2020).

    Examples
    --------
    >>> sn.nn.functional.swiglu(sn.tensor([2.0, 0.0])).tolist()
    [0.0]
    """
    a, b = _halves("swiglu", input, dim)
    return a * _silu(b)


def geglu(input: Any, dim: int = -1) -> Any:
    """First half times `gelu` of the second half (Shazeer 2020).

    Examples
    --------
    >>> sn.nn.functional.geglu(sn.tensor([2.0, 0.0])).tolist()
    [0.0]
    """
    a, b = _halves("geglu", input, dim)
    return a * _gelu(b)


def reglu(input: Any, dim: int = -1) -> Any:
    """First half times `relu` of the second half (Shazeer 2020).

    Examples
    --------
    >>> sn.nn.functional.reglu(sn.tensor([2.0, 3.0])).tolist()
    [6.0]
    """
    a, b = _halves("reglu", input, dim)
    return a * _relu(b)


@whole
def rrelu(
    input: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Any:
    """x above zero, ``a * x`` below: in training with a slope drawn from [lower, upper) for each
    element, else with their mean (Xu et al. 2015).

    Examples
    --------
    >>> sn.nn.functional.rrelu(sn.tensor([-2.0, 2.0]), 0.25, 0.75).tolist()
    [-1.0, 2.0]
    """
    if not lower <= upper:
        raise error(
            _core.InvalidValue,
            "rrelu",
            f"lower is {lower} and upper {upper}; lower must not be the larger one",
        )
    if not training:
        return _leaky_relu(input, (lower + upper) / 2)
    slope = _f["random.uniform"](float(lower), float(upper), input.shape, input.dtype, input.device)
    return _where(input > 0, input, input * slope)


@whole
def gumbel_softmax(
    logits: Any, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Any:
    """Samples of classes that have gradients: the softmax of logits with Gumbel noise (Jang et al.
    2017; Maddison et al. 2017).

    Parameters
    ----------
    tau : float
        Temperature: the smaller, the nearer to one class.
    hard : bool
        Whether one class is exactly 1; gradients are those of the soft sample.
    eps : float
        Accepted for PyTorch's sake.
    dim : int

    Examples
    --------
    >>> y = sn.nn.functional.gumbel_softmax(sn.zeros((2, 3)), hard=True)
    >>> y.sum(-1).tolist()
    [1.0, 1.0]
    """
    if not tau > 0:
        raise error(_core.InvalidValue, "gumbel_softmax", f"tau is {tau}; it must be positive")
    # -log(uniform) is exponential. Uniform numbers may be 0, whose noise is -inf: never chosen.
    draw = _f["random.uniform"](0.0, 1.0, logits.shape, logits.dtype, logits.device)
    noise = -_f["log"](-_f["log"](draw))
    soft = _f["softmax"]((logits + noise) / tau, dim)
    if not hard:
        return soft
    axis = dim % logits.ndim
    shape = (-1,) + (1,) * (logits.ndim - 1 - axis)
    place = _f["arange"](logits.shape[axis], device=logits.device).reshape(shape)
    one = (place == _f["argmax"](soft.detach(), dim, True)).astype(soft.dtype)
    return one - soft.detach() + soft
