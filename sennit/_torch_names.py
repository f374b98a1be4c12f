"""Functions that users of PyTorch look for under these names, made of others.

Loaded when first asked for; arguments are PyTorch's.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _core
from ._api import asarray
from ._errors import error
from ._whole import whole
from .autograd import enable_grad, grad_enabled, no_grad

Tensor = _core.Tensor
_f: dict[str, Any] = _core.functions

__all__ = [
    "as_tensor", "bernoulli", "blackman_window", "get_num_threads", "get_rng_state",
    "hamming_window", "hann_window", "inference_mode", "initial_seed", "inverse",
    "is_floating_point", "is_grad_enabled", "manual_seed", "multinomial", "normal", "numel",
    "pinverse", "randint", "randint_like", "randperm", "set_rng_state",
]  # fmt: skip


# ---- random numbers, by PyTorch's names ----------------------------------------------------------


def manual_seed(seed: int) -> None:
    """Starts the random numbers anew: `sn.random.seed`.

    Examples
    --------
    >>> sn.manual_seed(0)
    >>> a = sn.rand(2)
    >>> sn.manual_seed(0)
    >>> bool((a == sn.rand(2)).all())
    True
    """
    _f["random.seed"](seed)


def initial_seed() -> int:
    """The seed that the random numbers were last started from.

    Examples
    --------
    >>> sn.manual_seed(5)
    >>> sn.initial_seed()
    5
    """
    return int(_f["random.get_state"]()[0])


def get_rng_state() -> Tensor:
    """The state of the random numbers: `sn.random.get_state`.

    Examples
    --------
    >>> state = sn.get_rng_state()
    >>> a = sn.rand(2)
    >>> sn.set_rng_state(state)
    >>> bool((a == sn.rand(2)).all())
    True
    """
    return _f["random.get_state"]()


def set_rng_state(new_state: Tensor) -> None:
    """Goes back to a state of the random numbers: `sn.random.set_state`.

    Examples
    --------
    >>> sn.set_rng_state(sn.get_rng_state())
    """
    _f["random.set_state"](new_state)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Integers spread evenly over [low, high); ``randint(high, size)`` begins at 0.

    Parameters
    ----------
    low, high : int
    size : sequence of int
    dtype : dtype, optional
        int64 by default.
    device : str, optional

    Examples
    --------
    >>> sn.randint(3, 4, (2,)).tolist()
    [3, 3]
    >>> bool((sn.randint(10, (100,)) < 10).all())
    True
    """
    if size is None and not isinstance(high, int):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise error(
            _core.InvalidType, "randint", "there is no size; the call is randint(low, high, size)"
        )
    shape = (size,) if isinstance(size, int) else tuple(size)
    return _f["random.integers"](low, high, shape, dtype=dtype, device=device)


def randint_like(input: Tensor, low: int, high: int | None = None, *, dtype: Any = None) -> Tensor:
    """Integers spread evenly over [low, high), or [0, low), with the shape of a tensor and, unless
    another is given, its dtype.

    Examples
    --------
    >>> sn.randint_like(sn.ones(2), 3, 4).tolist()
    [3.0, 3.0]
    """
    bounds = (0, low) if high is None else (low, high)
    made = randint(*bounds, input.shape, device=input.device)
    return made.astype(input.dtype if dtype is None else dtype)


def randperm(n: int, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The numbers 0 to n - 1 in random order, int64 by default.

    Examples
    --------
    >>> sorted(sn.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    made = _f["random.permutation"](n)
    if dtype is not None:
        made = made.astype(dtype)
    return made if device is None else made.to(device)


@whole
def bernoulli(input: Tensor, p: float | None = None) -> Tensor:
    """1 with the probability that each element says (or with probability p), else 0.

    Examples
    --------
    >>> sn.bernoulli(sn.tensor([0.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    if p is None:
        return input.bernoulli()
    return _f["random.bernoulli"](p, input.shape, dtype=input.dtype)


def multinomial(input: Tensor, num_samples: int, replacement: bool = False) -> Tensor:
    """Indices drawn with the probabilities of their weights: `sn.random.multinomial`.

    Examples
    --------
    >>> sn.multinomial(sn.tensor([0.0, 3.0]), 1).tolist()
    [1]
    """
    return _f["random.multinomial"](input, num_samples, replacement)


def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, dtype: Any = None) -> Tensor:
    """Normally distributed numbers, of the shape of means and deviations or of `size`.

    Examples
    --------
    >>> sn.normal(sn.tensor([1.0, 2.0]), 0.0).tolist()
    [1.0, 2.0]
    >>> sn.normal(2.0, 0.0, (2,)).tolist()
    [2.0, 2.0]
    """
    return _f["random.normal"](mean, std, size, dtype=dtype)


# ---- questions and modes -------------------------------------------------------------------------


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The data as a tensor; a tensor of the dtype and on the device stays itself: `sn.asarray`.

    Examples
    --------
    >>> sn.as_tensor([1, 2]).tolist()
    [1, 2]
    """
    return asarray(data, dtype, device)


def numel(input: Tensor) -> int:
    """The number of elements: ``x.size``.

    Examples
    --------
    >>> sn.numel(sn.ones((2, 3)))
    6
    """
    return input.size


def is_floating_point(input: Tensor) -> bool:
    """Whether the elements of a tensor are floats.

    Examples
    --------
    >>> sn.is_floating_point(sn.ones(2)), sn.is_floating_point(sn.arange(2))
    (True, False)
    """
    return input.dtype.is_floating_point


def is_grad_enabled() -> bool:
    """Whether op calls go on the tape: `sn.grad_enabled`.

    Examples
    --------
    >>> with sn.no_grad():
    ...     sn.is_grad_enabled()
    False
    """
    return grad_enabled()


def inference_mode(mode: Any = True) -> Any:
    """`sn.no_grad` by PyTorch's other name (or, with ``mode=False``, `sn.enable_grad`): a context
    and a decorator. Its results can be used in training as any others.

    Examples
    --------
    >>> w = sn.ones(2, requires_grad=True)
    >>> with sn.inference_mode():
    ...     (w * 2).requires_grad
    False
    >>> @sn.inference_mode
    ... def double(x):
    ...     return x * 2
    >>> double(w).requires_grad
    False
    """
    if isinstance(mode, Callable):  # type: ignore[arg-type]
        return no_grad()(mode)
    return no_grad() if mode else enable_grad()


def get_num_threads() -> int:
    """How many threads work on an operation: `sn.num_threads`.

    Examples
    --------
    >>> sn.get_num_threads() == sn.num_threads()
    True
    """
    return _core.num_threads()


def inverse(input: Tensor) -> Tensor:
    """Inverses of square matrices: `sn.linalg.inv`.

    Examples
    --------
    >>> sn.inverse(sn.tensor([[2.0]])).tolist()
    [[0.5]]
    """
    from .linalg import inv

    return inv(input)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """Pseudoinverses: `sn.linalg.pinv` with a limit on singular values relative to the largest.

    Examples
    --------
    >>> sn.pinverse(sn.tensor([[2.0], [0.0]])).tolist()
    [[0.5, 0.0]]
    """
    from .linalg import pinv

    return pinv(input, rcond)


def _window(name: str, length: int, periodic: bool, dtype: Any, device: Any) -> Tensor:
    from .signal import windows

    return getattr(windows, name)(length, sym=not periodic, dtype=dtype, device=device)


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Hann's window; periodic ones are for spectra. See `sn.signal.windows.hann`.

    Examples
    --------
    >>> sn.hann_window(4).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    return _window("hann", window_length, periodic, dtype, device)


def hamming_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Hamming's window; periodic ones are for spectra. See `sn.signal.windows.hamming`.

    Examples
    --------
    >>> sn.hamming_window(2).shape
    (2,)
    """
    return _window("hamming", window_length, periodic, dtype, device)


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Blackman's window; periodic ones are for spectra. See `sn.signal.windows.blackman`.

    Examples
    --------
    >>> sn.blackman_window(2).shape
    (2,)
    """
    return _window("blackman", window_length, periodic, dtype, device)
