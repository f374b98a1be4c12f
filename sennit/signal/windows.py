"""Window functions, under the names and arguments of ``torch.signal.windows``.

Each gives a vector of `m` numbers, float32 by default. `sym` True gives a symmetric window, for the
design of filters; False a periodic one, for spectra: the symmetric window of m + 1 without its last
number. `m` 0 gives an empty vector, 1 the number 1. They are computed in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi

import sennit as _sn

from .._core import DTypeError, InvalidType, InvalidValue, Tensor
from .._errors import error

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]

_Shape = Callable[[Tensor, int], Tensor]


def _window(op: str, m: int, shape: _Shape, sym: bool, dtype: _sn.dtype | None,
            device: str | None, requires_grad: bool) -> Tensor:  # fmt: skip
    """What all windows share. `shape` gets 0, 1, ..., and the number of steps of a whole window."""
    if not isinstance(m, int) or m < 0:
        raise error(InvalidValue, op, f"M is {m!r}; an int of 0 or more is required")
    kind = _sn.float32 if dtype is None else dtype
    if kind not in (_sn.float32, _sn.float64):
        raise error(DTypeError, op, f"dtype is {kind}; float32 or float64 is required")
    k = _sn.arange(m, dtype=_sn.float64)
    x = shape(k, m - 1 if sym else m) if m > 1 else _sn.ones(m)
    x = x.astype(kind)
    if device is not None:
        x = x.to(device)
    return x.requires_grad_(True) if requires_grad else x


def _cosines(op: str, m: int, a: Sequence[float], sym: bool, dtype: _sn.dtype | None,
             device: str | None, requires_grad: bool) -> Tensor:  # fmt: skip
    def shape(k: Tensor, steps: int) -> Tensor:
        angle = k * (2 * pi / steps)
        total = _sn.zeros(m, dtype=_sn.float64)
        for i, weight in enumerate(a):
            total = total + (-weight if i % 2 else weight) * _sn.cos(angle * i)
        return total

    return _window(op, m, shape, sym, dtype, device, requires_grad)


def bartlett(
    m: int,
    *,
    sym: bool = True,
    dtype: _sn.dtype | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A triangle that starts and ends at 0.

    Examples
    --------
    >>> sn.signal.windows.bartlett(5).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def shape(k: Tensor, steps: int) -> Tensor:
        return 1 - _sn.abs(k * (2 / steps) - 1)

    return _window("bartlett", m, shape, sym, dtype, device, requires_grad)


def blackman(
    m: int,
    *,
    sym: bool = True,
    dtype: _sn.dtype | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Three cosines with weights 0.42, 0.5 and 0.08.

    Examples
    --------
    >>> sn.signal.windows.blackman(3).shape
    (3,)
    """
    return _cosines("blackman", m, (0.42, 0.5, 0.08), sym, dtype, device, requires_grad)


def cosine(
    m: int,
    *,
    sym: bool = True,
    dtype: _sn.dtype | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Half a period of the sine, also called the sine window.

    Examples
    --------
    >>> sn.signal.windows.cosine(3).tolist()
    [0.5, 1.0, 0.5]
    """

    def shape(k: Tensor, steps: int) -> Tensor:
        return _sn.sin((k + 0.5) * (pi / (steps + 1)))

    return _window("cosine", m, shape, sym, dtype, device, requires_grad)


def exponential(
    m: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
    dtype: _sn.dtype | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """exp(-abs(k - center) / tau); a symmetric window has its centre in the middle.

    Examples
    --------
    >>> sn.signal.windows.exponential(3).tolist()
    [0.3678..., 1.0, 0.3678...]
    """
    if not tau > 0:
        raise error(InvalidValue, "exponential", f"tau is {tau}; a number above 0 is required")
    if sym and center is not None:
        raise error(
            InvalidValue,
            "exponential",
            f"center is {center} for a symmetric window, which has it in the middle; leave it out, "
            "or give sym=False",
        )

    def shape(k: Tensor, steps: int) -> Tensor:
        return _sn.exp(-_sn.abs(k - (steps / 2 if center is None else center)) / tau)

    return _window("exponential", m, shape, sym, dtype, device, requires_grad)


def gaussian(
    m: int,
    *,
    std: float = 1.0,
    sym: bool = True,
    dtype: _sn.dtype | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """exp(-((k - middle) / std) ** 2 / 2).

    Examples
    --------
    >>> sn.signal.windows.gaussian(3).tolist()
    [0.6065..., 1.0, 0.6065...]
    """
    if not std > 0:
        raise error(InvalidValue, "gaussian", f"std is {std}; a number above 0 is required")

    def shape(k: Tensor, steps: int) -> Tensor:
        return _sn.exp(-0.5 * ((k - steps / 2) / std) ** 2)

    return _window("gaussian", m, shape, sym, dtype, device, requires_grad)


def general_cosine(
    m: int,
    *,
    a: Sequence[float],
    sym: bool = True,
    dtype: _sn.dtype | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Cosines of 0, 1, 2, ... periods with the given weights and alternating signs.

    Examples
    --------
    >>> sn.signal.windows.general_cosine(3, a=[0.5, 0.5]).tolist()
    [0.0, 1.0, 0.0]
    """
    if not isinstance(a, list | tuple) or not a:
        raise error(
            InvalidType, "general_cosine", f"a is {a!r}; a list of at least one weight is required"
        )
    return _cosines("general_cosine", m, a, sym, dtype, device, requires_grad)


def general_hamming(
    m: int,
    *,
    alpha: float = 0.54,
    sym: bool = True,
    dtype: _sn.dtype | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """alpha - (1 - alpha) * cosine.

    Examples
    --------
    >>> sn.signal.windows.general_hamming(3, alpha=0.5).tolist()
    [0.0, 1.0, 0.0]
    """
    weights = (alpha, 1 - alpha)
    return _cosines("general_hamming", m, weights, sym, dtype, device, requires_grad)


def hamming(
    m: int,
    *,
    sym: bool = True,
    dtype: _sn.dtype | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """0.54 - 0.46 * cosine.

    Examples
    --------
    >>> sn.signal.windows.hamming(3).tolist()
    [0.0799..., 1.0, 0.0799...]
    """
    return _cosines("hamming", m, (0.54, 0.46), sym, dtype, device, requires_grad)


def hann(
    m: int,
    *,
    sym: bool = True,
    dtype: _sn.dtype | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """0.5 - 0.5 * cosine.

    Examples
    --------
    >>> sn.signal.windows.hann(3).tolist()
    [0.0, 1.0, 0.0]
    """
    return _cosines("hann", m, (0.5, 0.5), sym, dtype, device, requires_grad)


def kaiser(
    m: int,
    *,
    beta: float = 12.0,
    sym: bool = True,
    dtype: _sn.dtype | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """i0(beta * sqrt(1 - t ** 2)) / i0(beta) for t from -1 to 1.

    Examples
    --------
    >>> sn.signal.windows.kaiser(3, beta=0.0).tolist()
    [1.0, 1.0, 1.0]
    """
    if beta < 0:
        raise error(InvalidValue, "kaiser", f"beta is {beta}; a number of 0 or more is required")

    def shape(k: Tensor, steps: int) -> Tensor:
        t = k * (2 / steps) - 1
        height = _sn.i0(_sn.tensor(beta, dtype=_sn.float64))
        return _sn.i0(beta * _sn.sqrt(_sn.clip(1 - t * t, 0))) / height

    return _window("kaiser", m, shape, sym, dtype, device, requires_grad)


def nuttall(
    m: int,
    *,
    sym: bool = True,
    dtype: _sn.dtype | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Four cosines: the minimal window with continuous first derivative (Nuttall 1981).

    Examples
    --------
    >>> sn.signal.windows.nuttall(3).shape
    (3,)
    """
    weights = (0.3635819, 0.4891775, 0.1365995, 0.0106411)
    return _cosines("nuttall", m, weights, sym, dtype, device, requires_grad)
