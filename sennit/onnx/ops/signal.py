"""Fourier transforms and what goes with them.

A transform is a product with the matrix of cosines and sines, so that it can be traced; long ones
outside of a trace run as `sn.fft`.
"""

from __future__ import annotations

from typing import Any

import sennit as sn

from ... import _core
from .._interpret import Call
from .._registry import op
from .._values import to_tensor
from ._common import axis_of, dtype_of, limited, numpy_dtype

_MATRIX = 1024  # longer transforms run as an FFT where they can


def _matrix(rows: int, n: int, inverse: bool, dtype: Any) -> tuple[Any, Any]:
    """Cosines and sines of 2πkt/n, for k < rows; with the inverse's sign and factor."""
    import numpy as np

    limited(n * rows)
    angle = 2 * np.pi * (np.outer(np.arange(n), np.arange(rows)) % n) / n
    cosine, sine = np.cos(angle), np.sin(angle) if inverse else -np.sin(angle)
    factor = 1 / n if inverse else 1.0
    return tuple(  # type: ignore[return-value]
        to_tensor((part * factor).astype(dtype)) for part in (cosine, sine)
    )


def _transform(real: Any, imaginary: Any, rows: int, inverse: bool) -> tuple[Any, Any]:
    """The transform over the last axis: real and imaginary part."""
    n = real.shape[-1]
    wide = real.dtype if real.dtype == sn.float64 else sn.float32
    kept = real.dtype
    real = real.astype(wide)
    imaginary = None if imaginary is None else imaginary.astype(wide)
    if n > _MATRIX and not _core.tracing():
        z = sn.complex(real, sn.zeros_like(real) if imaginary is None else imaginary)
        y = sn.fft.ifft(z) if inverse else sn.fft.fft(z)
        y = y[..., :rows]
        return sn.real(y).astype(kept), sn.imag(y).astype(kept)
    cosine, sine = _matrix(rows, n, inverse, wide.name)
    a, b = sn.matmul(real, cosine), sn.matmul(real, sine)
    if imaginary is not None:
        a, b = a - sn.matmul(imaginary, sine), b + sn.matmul(imaginary, cosine)
    return a.astype(kept), b.astype(kept)


def _resized(x: Any, n: int) -> Any:
    """The last axis cut or padded with zeros."""
    have = x.shape[-1]
    return x if have == n else (x[..., :n] if have > n else sn.pad(x, (0, n - have)))


@op("DFT", numbers=(1, 2))
def _dft(
    c: Call,
    x: Any,
    length: Any = None,
    where: Any = None,
    *,
    axis: int = 1,
    inverse: int = 0,
    onesided: int = 0,
) -> Any:
    if c.version >= 20:
        axis = int(where.reshape(-1)[0]) if where is not None else -2
    k = axis_of(c, axis, x.ndim)
    if k == x.ndim - 1:
        raise c.invalid("the last axis holds real and imaginary parts and cannot be transformed")
    moved = sn.moveaxis(x, k, -2)  # (..., n, parts)
    n = int(length.reshape(-1)[0]) if length is not None else moved.shape[-2]
    real = moved[..., 0]
    imaginary = moved[..., 1] if x.shape[-1] == 2 else None
    if onesided and inverse:
        # Half of a spectrum gives a real signal of length n (by default, of 2 (bins - 1)).
        n = int(length.reshape(-1)[0]) if length is not None else 2 * (moved.shape[-2] - 1)
        real = _resized(real, n // 2 + 1)
        imaginary = sn.zeros_like(real) if imaginary is None else _resized(imaginary, n // 2 + 1)
        mirror = slice(1, n - n // 2)
        real = sn.concat([real, sn.flip(real[..., mirror], (-1,))], axis=-1)
        imaginary = sn.concat([imaginary, -sn.flip(imaginary[..., mirror], (-1,))], axis=-1)
        result, _ = _transform(real, imaginary, n, True)
        return sn.moveaxis(sn.expand_dims(result, -1), -2, k)
    real = _resized(real, n)
    imaginary = None if imaginary is None else _resized(imaginary, n)
    rows = n // 2 + 1 if onesided else n
    a, b = _transform(real, imaginary, rows, bool(inverse))
    return sn.moveaxis(sn.stack([a, b], axis=-1), -2, k)


@op("STFT", numbers=(1, 3))
def _stft(
    c: Call, x: Any, step: Any, window: Any = None, length: Any = None, *, onesided: int = 1
) -> Any:
    hop = int(step.reshape(-1)[0])
    if length is not None:
        n = int(length.reshape(-1)[0])
    elif window is not None:
        n = window.shape[0]
    else:
        raise c.invalid("neither a window nor a frame length is given")
    parts = [x] if x.ndim == 2 else [x[..., k] for k in range(x.shape[-1])]
    if window is not None and window.shape[0] != n:
        left = (n - window.shape[0]) // 2
        window = sn.pad(window, (left, n - window.shape[0] - left))
    frames = []
    for part in parts:
        cut = sn.unfold(part, 1, n, hop)  # (batch, frames, n)
        frames.append(cut if window is None else cut * window)
    rows = n // 2 + 1 if onesided else n
    a, b = _transform(frames[0], frames[1] if len(frames) == 2 else None, rows, False)
    return sn.stack([a, b], axis=-1)


@op("MelWeightMatrix", numbers=(0, 1, 2, 3, 4))
def _mel_weight_matrix(
    c: Call, bins: Any, length: Any, rate: Any, low: Any, high: Any, *, output_datatype: int = 1
) -> Any:
    import numpy as np

    count, n, sampling = (int(v.reshape(-1)[0]) for v in (bins, length, rate))
    first, last = (float(v.reshape(-1)[0]) for v in (low, high))
    spectrum = n // 2 + 1
    limited(max(count, 1) * max(spectrum, 1))

    def mel(f: float) -> float:
        return 2595 * float(np.log10(1 + f / 700))

    step = (mel(last) - mel(first)) / (count + 2)
    edges = np.arange(count + 2) * step + mel(first)
    edges = 700 * (10 ** (edges / 2595) - 1)
    places = ((n + 1) * edges // sampling).astype(int)
    matrix = np.zeros((spectrum, count))
    for i in range(count):
        a, b, z = places[i : i + 3]
        if b == a:
            if 0 <= b < spectrum:
                matrix[b, i] = 1
        else:
            for j in range(max(a, 0), min(b + 1, spectrum)):
                matrix[j, i] = (j - a) / (b - a)
        if z > b:
            for j in range(max(b, 0), min(z, spectrum)):
                matrix[j, i] = (z - j) / (z - b)
    dtype_of(c, output_datatype)
    return to_tensor(matrix.astype(numpy_dtype(output_datatype)))


def _window(name: str, terms: tuple[float, ...]) -> None:
    """Sums of cosines (Harris 1978)."""

    @op(name, numbers=(0,))
    def window(c: Call, size: Any, *, output_datatype: int = 1, periodic: int = 1) -> Any:
        import numpy as np

        n = int(size.reshape(-1)[0])
        if n < 0:
            raise c.invalid(f"the size is {n}; it must be 0 or more")
        limited(n)
        angle = 2 * np.pi * np.arange(n) / max(n if periodic else n - 1, 1)
        values = sum(t * (-1) ** k * np.cos(k * angle) for k, t in enumerate(terms))
        return to_tensor(np.asarray(values).astype(numpy_dtype(output_datatype)))


_window("HannWindow", (0.5, 0.5))
_window("HammingWindow", (25 / 46, 21 / 46))
_window("BlackmanWindow", (0.42, 0.5, 0.08))
