"""Fourier transforms, under the names of the Array API standard and of ``torch.fft``.

They run in NumPy (pocketfft) at the call, so their bits are NumPy's and outside of the promise on
equal bits. Gradients are Fourier transforms again, of any order. Everywhere:

``n`` (``s`` for several axes)
    The length of the transform: the input is cut off or filled with zeros at its end.
``axis`` (``axes``)
    Along which it runs; PyTorch's ``dim`` is accepted too.
``norm``
    Which direction is divided: ``"backward"`` (the inverse by n), ``"ortho"`` (both by the root of
    n), ``"forward"`` (the forward transform by n).

float64 and complex128 are computed in double precision, float32 and complex64 in single; integers
become float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _api as ops
from . import _core
from ._core import DTypeError, InvalidValue, Tensor
from ._errors import error
from ._host import apply

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "hfft2",
    "hfftn",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

# The transform back, undivided, has the other's division: ``norm`` of the adjoint.
_ADJOINT = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _norm(op: str, norm: Any) -> str:
    chosen = "backward" if norm is None else norm
    if chosen not in _ADJOINT:
        raise error(
            InvalidValue, op, f"norm is {norm!r}; it must be 'backward', 'ortho' or 'forward'"
        )
    return str(chosen)


def _operand(op: str, given: Any, real: bool = False) -> Tensor:
    """The input in a dtype that NumPy transforms."""
    x = ops.asarray(given)
    if x.dtype.is_complex:
        if real:
            raise error(
                DTypeError,
                op,
                f"the input is {x.dtype.name}; a real one is required; use fft for complex input",
            )
        return x
    if x.dtype.is_floating_point and x.dtype.itemsize < 4:
        raise error(
            DTypeError,
            op,
            f"the input is {x.dtype.name}; float32 or float64 is required; convert it with "
            "x.astype(sn.float32)",
        )
    floats = x if x.dtype.is_floating_point else x.astype(_core.float32)
    return floats if real else floats.astype(floats.dtype.to_complex)


def _resize(op: str, x: Tensor, n: int, axis: int) -> Tensor:
    """The input cut off or filled with zeros to length n along the axis."""
    if n < 1:
        raise error(
            InvalidValue,
            op,
            f"the transform along axis {axis} has length {n}; it must be 1 or more",
        )
    have = x.shape[axis]
    if have > n:
        return ops.narrow(x, axis, 0, n)
    if have < n:
        return ops.pad(x, [0, 0] * (x.ndim - 1 - axis % x.ndim) + [0, n - have])
    return x


def _axis(op: str, x: Tensor, axis: int) -> int:
    if x.ndim == 0 or not -x.ndim <= axis < x.ndim:
        raise error(
            _core.IndexOutOfRange,
            op,
            f"axis {axis} is out of range for shape {x.shape}; it must be in [{-x.ndim}, "
            f"{x.ndim - 1}]",
        )
    return axis % x.ndim


def _sizes(op: str, x: Tensor, s: Any, axes: Any, last: int | None = None) -> list[tuple[int, int]]:
    """Axes with lengths, in order. `last`: how many values stand for the last axis by default."""
    if axes is None:
        chosen = list(range(x.ndim)) if s is None else list(range(x.ndim - len(s), x.ndim))
    else:
        chosen = [axes] if isinstance(axes, int) else list(axes)
    if s is not None and len(s) != len(chosen):
        raise error(
            InvalidValue, op, f"s is {tuple(s)} for axes {tuple(chosen)}; one size each is required"
        )
    chosen = [_axis(op, x, a) for a in chosen]
    if len(set(chosen)) != len(chosen) or not chosen:
        raise error(
            InvalidValue, op, f"axes are {tuple(chosen)}; one or more, each once, is required"
        )
    lengths = [x.shape[a] for a in chosen] if s is None else [int(n) for n in s]
    if s is None and last is not None:
        lengths[-1] = last
    lengths = [x.shape[a] if n == -1 else n for a, n in zip(chosen, lengths, strict=True)]
    return list(zip(chosen, lengths, strict=True))


def _numpy(name: str, x: Any, wide: bool, *args: Any, **kwargs: Any) -> Any:
    """NumPy's transform, in the input's precision (NumPy before version 2 only knows double)."""
    import numpy as np

    out = getattr(np.fft, name)(x, *args, **kwargs)
    kind = {("c", True): "complex128", ("c", False): "complex64", ("f", True): "float64",
            ("f", False): "float32"}[out.dtype.kind, wide]  # fmt: skip
    return out.astype(kind, copy=False)


def _wide(x: Tensor) -> bool:
    return x.dtype in (_core.float64, _core.complex128)


def _complex(op: str, x: Tensor, axes: Sequence[int], norm: str, inverse: bool) -> Tensor:
    """Complex to complex over axes of the lengths that they have. These and the other axes are
    counted from the end, so that a batch (`sn.vmap`) may stand in front."""
    name, back = ("ifftn", "fftn") if inverse else ("fftn", "ifftn")
    if x.size == 0:
        return x * 1
    over = tuple(a % x.ndim - x.ndim for a in axes)

    def gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
        return (_complex(back, grads[0], over, _ADJOINT[norm], not inverse),)

    return apply(op, (x,), lambda a: (_numpy(name, a, _wide(x), axes=over, norm=norm),), gradient)[
        0
    ]


def _to_half(op: str, x: Tensor, axis: int, norm: str) -> Tensor:
    """Real to the half spectrum, along one axis of the length that it has."""
    n = x.shape[axis]
    if x.size == 0:
        shape = list(x.shape)
        shape[axis] = n // 2 + 1
        return ops.zeros(tuple(shape), x.dtype.to_complex)
    axis = axis % x.ndim - x.ndim

    def gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
        spectrum = _resize(op, grads[0], n, axis)  # the rest of it is not there: zeros
        return (ops.real(_complex("ifft", spectrum, (axis,), _ADJOINT[norm], True)),)

    return apply(
        op, (x,), lambda a: (_numpy("rfft", a, _wide(x), axis=axis, norm=norm),), gradient
    )[0]


def _from_half(op: str, x: Tensor, n: int, axis: int, norm: str) -> Tensor:
    """The half spectrum (of n // 2 + 1 values) to n real values."""
    if x.size == 0:
        shape = list(x.shape)
        shape[axis] = n
        return ops.zeros(tuple(shape), x.dtype.to_real)
    axis = axis % x.ndim - x.ndim

    def gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
        # All but the first value, and the last of an even length, stand for two of the spectrum.
        count = n // 2 + 1
        k = ops.arange(count, device=x.device)
        twice = ops.logical_and(k > 0, ops.logical_or(k < count - 1, n % 2 == 1))
        weights = ops.where(twice, 2.0, 1.0).astype(x.dtype.to_real)
        shape = [1] * x.ndim
        shape[axis] = count
        return (_to_half("rfft", grads[0], axis, _ADJOINT[norm]) * weights.reshape(shape),)

    return apply(
        op, (x,), lambda a: (_numpy("irfft", a, _wide(x), n, axis=axis, norm=norm),), gradient
    )[0]


def _single(x: Tensor, n: Any, axis: int) -> int:
    return x.shape[axis] if n is None else int(n)


def _chosen(axis: Any, dim: Any) -> Any:
    return axis if dim is None else dim


def _half_length(x: Tensor, axis: int) -> int:
    return 2 * (x.shape[axis] - 1)


def fft(
    x: Tensor, n: int | None = None, axis: int = -1, norm: str | None = "backward", *,
    dim: int | None = None,
) -> Tensor:  # fmt: skip
    """Discrete Fourier transform along one axis.

    Parameters
    ----------
    x : Tensor
        Complex; real input is converted.
    n, axis, norm
        See the module.

    Returns
    -------
    Tensor
        Complex, of length n along the axis, frequencies in the order of `fftfreq`.

    Examples
    --------
    >>> sn.fft.fft(sn.tensor([1.0, 0.0, 0.0, 0.0])).tolist()
    [(1+0j), (1+0j), (1+0j), (1+0j)]
    """
    z = _operand("fft", x)
    at = _axis("fft", z, _chosen(axis, dim))
    z = _resize("fft", z, _single(z, n, at), at)
    return _complex("fft", z, (at,), _norm("fft", norm), False)


def ifft(
    x: Tensor, n: int | None = None, axis: int = -1, norm: str | None = "backward", *,
    dim: int | None = None,
) -> Tensor:  # fmt: skip
    """Inverse of `fft`, with its parameters.

    Examples
    --------
    >>> sn.fft.ifft(sn.fft.fft(sn.tensor([1.0, 2.0]))).real.tolist()
    [1.0, 2.0]
    """
    z = _operand("ifft", x)
    at = _axis("ifft", z, _chosen(axis, dim))
    z = _resize("ifft", z, _single(z, n, at), at)
    return _complex("ifft", z, (at,), _norm("ifft", norm), True)


def rfft(
    x: Tensor, n: int | None = None, axis: int = -1, norm: str | None = "backward", *,
    dim: int | None = None,
) -> Tensor:  # fmt: skip
    """Fourier transform of real input: the n // 2 + 1 values that are not conjugates of others.

    Examples
    --------
    >>> sn.fft.rfft(sn.tensor([1.0, 1.0, 1.0, 1.0])).tolist()
    [(4+0j), 0j, 0j]
    """
    z = _operand("rfft", x, real=True)
    at = _axis("rfft", z, _chosen(axis, dim))
    z = _resize("rfft", z, _single(z, n, at), at)
    return _to_half("rfft", z, at, _norm("rfft", norm))


def irfft(
    x: Tensor, n: int | None = None, axis: int = -1, norm: str | None = "backward", *,
    dim: int | None = None,
) -> Tensor:  # fmt: skip
    """Inverse of `rfft`: real output of length n, by default ``2 * (m - 1)`` for m values.

    Examples
    --------
    >>> sn.fft.irfft(sn.fft.rfft(sn.tensor([1.0, 2.0, 3.0])), n=3).tolist()
    [1.0, 2.0, 3.0]
    """
    z = _operand("irfft", x)
    at = _axis("irfft", z, _chosen(axis, dim))
    length = _half_length(z, at) if n is None else int(n)
    z = _resize("irfft", z, length // 2 + 1 if length > 0 else 0, at)
    return _from_half("irfft", z, length, at, _norm("irfft", norm))


def hfft(
    x: Tensor, n: int | None = None, axis: int = -1, norm: str | None = "backward", *,
    dim: int | None = None,
) -> Tensor:  # fmt: skip
    """Fourier transform of a signal that is Hermitian in time: its spectrum is real.

    Examples
    --------
    >>> sn.fft.hfft(sn.tensor([1 + 0j, 0j])).tolist()
    [1.0, 1.0]
    """
    return irfft(ops.conj(_operand("hfft", x)), n, axis, _ADJOINT[_norm("hfft", norm)], dim=dim)


def ihfft(
    x: Tensor, n: int | None = None, axis: int = -1, norm: str | None = "backward", *,
    dim: int | None = None,
) -> Tensor:  # fmt: skip
    """Inverse of `hfft`: the half of a Hermitian signal with the given real spectrum.

    Examples
    --------
    >>> sn.fft.ihfft(sn.tensor([1.0, 1.0])).real.tolist()
    [1.0, 0.0]
    """
    z = _operand("ihfft", x, real=True)
    return ops.conj(rfft(z, n, axis, _ADJOINT[_norm("ihfft", norm)], dim=dim))


def fftn(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Fourier transform over several axes (all by default; with `s` the last ones).

    Examples
    --------
    >>> sn.fft.fftn(sn.ones((2, 2))).real.tolist()
    [[4.0, 0.0], [0.0, 0.0]]
    """
    return _several("fftn", x, s, _chosen(axes, dim), norm, False)


def ifftn(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Inverse of `fftn`.

    Examples
    --------
    >>> sn.fft.ifftn(sn.ones((2, 2))).real.tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    return _several("ifftn", x, s, _chosen(axes, dim), norm, True)


def _several(op: str, x: Any, s: Any, axes: Any, norm: Any, inverse: bool) -> Tensor:
    z = _operand(op, x)
    plan = _sizes(op, z, s, axes)
    for at, n in plan:
        z = _resize(op, z, n, at)
    return _complex(op, z, [at for at, _ in plan], _norm(op, norm), inverse)


def rfftn(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Fourier transform of real input over several axes; the last of them is halved.

    Examples
    --------
    >>> sn.fft.rfftn(sn.ones((2, 2))).shape
    (2, 2)
    """
    z = _operand("rfftn", x, real=True)
    chosen = _norm("rfftn", norm)
    plan = _sizes("rfftn", z, s, _chosen(axes, dim))
    for at, n in plan:
        z = _resize("rfftn", z, n, at)
    z = _to_half("rfftn", z, plan[-1][0], chosen)
    rest = [at for at, _ in plan[:-1]]
    return _complex("rfftn", z, rest, chosen, False) if rest else z


def irfftn(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Inverse of `rfftn`: real output; `s` gives its sizes.

    Examples
    --------
    >>> sn.fft.irfftn(sn.fft.rfftn(sn.ones((2, 4)))).tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    z = _operand("irfftn", x)
    chosen = _norm("irfftn", norm)
    given = _chosen(axes, dim)
    plan = _sizes("irfftn", z, s, given)
    at, n = plan[-1]
    if s is None or s[-1] == -1:
        n = _half_length(z, at)
    for other, size in plan[:-1]:
        z = _resize("irfftn", z, size, other)
    z = _resize("irfftn", z, n // 2 + 1 if n > 0 else 0, at)
    rest = [other for other, _ in plan[:-1]]
    if rest:
        z = _complex("irfftn", z, rest, chosen, True)
    return _from_half("irfftn", z, n, at, chosen)


def hfftn(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """`hfft` over several axes; the last of them is the halved one.

    Examples
    --------
    >>> sn.fft.hfftn(sn.ones((2, 2)) + 0j).shape
    (2, 2)
    """
    back = _ADJOINT[_norm("hfftn", norm)]
    return irfftn(ops.conj(_operand("hfftn", x)), s, axes, back, dim=dim)


def ihfftn(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] | None = None,
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Inverse of `hfftn`.

    Examples
    --------
    >>> sn.fft.ihfftn(sn.ones((2, 2))).shape
    (2, 2)
    """
    z = _operand("ihfftn", x, real=True)
    return ops.conj(rfftn(z, s, axes, _ADJOINT[_norm("ihfftn", norm)], dim=dim))


def fft2(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1),
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """`fftn` over two axes, the last ones by default.

    Examples
    --------
    >>> sn.fft.fft2(sn.ones((3, 2, 2))).shape
    (3, 2, 2)
    """
    return fftn(x, s, _chosen(axes, dim), norm)


def ifft2(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1),
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """`ifftn` over two axes.

    Examples
    --------
    >>> sn.fft.ifft2(sn.ones((3, 2, 2))).shape
    (3, 2, 2)
    """
    return ifftn(x, s, _chosen(axes, dim), norm)


def rfft2(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1),
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """`rfftn` over two axes.

    Examples
    --------
    >>> sn.fft.rfft2(sn.ones((3, 2, 4))).shape
    (3, 2, 3)
    """
    return rfftn(x, s, _chosen(axes, dim), norm)


def irfft2(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1),
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """`irfftn` over two axes.

    Examples
    --------
    >>> sn.fft.irfft2(sn.ones((3, 2, 3)) + 0j).shape
    (3, 2, 4)
    """
    return irfftn(x, s, _chosen(axes, dim), norm)


def hfft2(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1),
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """`hfftn` over two axes.

    Examples
    --------
    >>> sn.fft.hfft2(sn.ones((3, 2, 3)) + 0j).shape
    (3, 2, 4)
    """
    return hfftn(x, s, _chosen(axes, dim), norm)


def ihfft2(
    x: Tensor, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1),
    norm: str | None = "backward", *, dim: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """`ihfftn` over two axes.

    Examples
    --------
    >>> sn.fft.ihfft2(sn.ones((3, 2, 4))).shape
    (3, 2, 3)
    """
    return ihfftn(x, s, _chosen(axes, dim), norm)


def _frequencies(op: str, n: int, d: float, dtype: Any, device: Any, half: bool) -> Tensor:
    if n < 1:
        raise error(InvalidValue, op, f"n is {n}; it must be 1 or more")
    kind = _core.float32 if dtype is None else _core.dtype(dtype)
    if not kind.is_floating_point:
        raise error(DTypeError, op, f"dtype is {kind.name}; a real floating-point one is required")
    k = ops.arange(n // 2 + 1 if half else n, dtype=_core.float64, device=device)
    if not half:
        k = ops.where(k < (n + 1) // 2, k, k - n)
    return (k / (n * d)).astype(kind)


def fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of `fft` for n samples at distance d: 0, 1, ..., then the negative ones, by
    ``n * d``.

    Parameters
    ----------
    n : int
        The length of the transform.
    d : float
        Distance of the samples, in the unit whose reciprocal the frequencies have.
    dtype : dtype, optional
        float32 by default.
    device : str, optional

    Examples
    --------
    >>> sn.fft.fftfreq(4).tolist()
    [0.0, 0.25, -0.5, -0.25]
    """
    return _frequencies("fftfreq", n, d, dtype, device, False)


def rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of `rfft`; see `fftfreq`.

    Examples
    --------
    >>> sn.fft.rfftfreq(4).tolist()
    [0.0, 0.25, 0.5]
    """
    return _frequencies("rfftfreq", n, d, dtype, device, True)


def _shift(x: Tensor, axes: Any, dim: Any, back: bool) -> Tensor:
    chosen = _chosen(axes, dim)
    if chosen is None:
        chosen = range(x.ndim)
    over = [chosen] if isinstance(chosen, int) else list(chosen)
    if not over:
        return x
    by = [-(x.shape[a] // 2) if back else x.shape[a] // 2 for a in over]
    return ops.roll(x, by, over)


def fftshift(
    x: Tensor, axes: int | Sequence[int] | None = None, *, dim: int | Sequence[int] | None = None
) -> Tensor:
    """Moves the frequency 0 to the middle of the axes (all by default).

    Examples
    --------
    >>> sn.fft.fftshift(sn.fft.fftfreq(4)).tolist()
    [-0.5, -0.25, 0.0, 0.25]
    """
    return _shift(x, axes, dim, False)


def ifftshift(
    x: Tensor, axes: int | Sequence[int] | None = None, *, dim: int | Sequence[int] | None = None
) -> Tensor:
    """Inverse of `fftshift`.

    Examples
    --------
    >>> sn.fft.ifftshift(sn.tensor([-0.5, -0.25, 0.0, 0.25])).tolist()
    [0.0, 0.25, -0.5, -0.25]
    """
    return _shift(x, axes, dim, True)
