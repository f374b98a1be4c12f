"""Short-time Fourier transforms, with the arguments and conventions of ``torch.stft``."""

from __future__ import annotations

import sennit as _sn

from ._core import DTypeError, InvalidValue, ShapeError, Tensor
from ._errors import error

__all__ = ["istft", "stft"]

_COMPLEX = {"float32": "complex64", "float64": "complex128"}


def _is_complex(x: Tensor | None) -> bool:
    return x is not None and x.dtype.kind == "c"


def _steps(op: str, n_fft: int, hop: int | None, win: int | None) -> tuple[int, int]:
    """The hop and the length of the window, with their defaults."""
    hop = n_fft // 4 if hop is None else hop
    win = n_fft if win is None else win
    if n_fft < 1 or hop < 1 or not 1 <= win <= n_fft:
        raise error(
            InvalidValue,
            op,
            f"n_fft is {n_fft}, hop_length {hop} and win_length {win}; required are n_fft and "
            "hop_length of 1 or more, and win_length from 1 to n_fft",
        )
    return hop, win


def _window(op: str, window: Tensor | None, win: int, n_fft: int, like: Tensor) -> Tensor:
    """The window in the middle of n_fft zeros."""
    if window is None:
        real = like.real if _is_complex(like) else like
        window = _sn.ones(win, dtype=real.dtype, device=like.device)
    elif window.shape != (win,):
        raise error(
            ShapeError,
            op,
            f"the window has shape {window.shape}; ({win},) is required, by win_length (n_fft "
            "without it)",
        )
    before = (n_fft - win) // 2
    return _sn.pad(window, (before, n_fft - win - before)) if win < n_fft else window


def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
) -> Tensor:
    """Fourier transforms of overlapping windows of a signal.

    Parameters
    ----------
    input : Tensor
        (L,) or (batch, L), real or complex.
    n_fft : int
        Size of each transform.
    hop_length : int, optional
        Steps from one window to the next; n_fft // 4 by default.
    win_length : int, optional
        Size of the window, which zeros on both sides extend to n_fft; n_fft by default.
    window : Tensor, (win_length,), optional
        Ones by default, which leaks; `sennit.signal.windows.hann` is the usual choice.
    center : bool
        Whether frame t is centred at ``t * hop_length``, for which the signal is padded by
        ``n_fft // 2`` on both sides; otherwise it begins there.
    pad_mode : str
        As in `sennit.pad`.
    normalized : bool
        Whether to divide by ``sqrt(n_fft)``.
    onesided : bool, optional
        Whether only the n_fft // 2 + 1 frequencies from 0 up are given, of which those of a real
        signal are mirror images; so for real ones by default.
    return_complex : bool, optional
        False gives real and imaginary parts in a last dimension of 2.

    Returns
    -------
    Tensor
        ([batch,] frequencies, frames), complex.

    Raises
    ------
    ShapeError
        When the signal has not one or two dimensions or is shorter than a frame.

    Examples
    --------
    >>> x = sn.cos(sn.arange(64) * (2 * 3.141592653589793 / 8))  # 1/8 of the sampling rate
    >>> y = sn.stft(x, 16, window=sn.signal.windows.hann(16, sym=False))
    >>> y.shape
    (9, 17)
    >>> abs(y)[:, 8].argmax().item()
    2
    """
    op = "stft"
    hop, win = _steps(op, n_fft, hop_length, win_length)
    if input.ndim not in (1, 2):
        raise error(
            ShapeError, op, f"the input has shape {input.shape}; (L,) or (batch, L) is required"
        )
    if input.dtype.kind not in "fc":
        raise error(DTypeError, op, f"the input has dtype {input.dtype}; floats are required")
    mixed = _is_complex(input) or _is_complex(window)
    onesided = not mixed if onesided is None else onesided
    if onesided and mixed:
        raise error(
            InvalidValue,
            op,
            "onesided is True for a complex signal or window, whose frequencies are not mirrored; "
            "leave it out",
        )
    x = input if input.ndim == 2 else input[None]
    if center:
        # One more dimension, since a mirrored border is one of (batch, channels, length).
        x = _sn.pad(x[None], (n_fft // 2, n_fft // 2), pad_mode)[0]
    if x.shape[-1] < n_fft:
        raise error(
            ShapeError,
            op,
            f"the input has shape {input.shape}, "
            + (f"{x.shape[-1]} steps with its border; " if center else "")
            + f"at least n_fft, {n_fft}, are required",
        )
    frames = x.unfold(-1, n_fft, hop) * _window(op, window, win, n_fft, input)
    transform = _sn.fft.rfft if onesided else _sn.fft.fft
    y: Tensor = transform(frames, norm="ortho" if normalized else "backward").mT
    y = y if input.ndim == 2 else y[0]
    return _sn.view_as_real(y) if return_complex is False else y


def _overlapped(frames: Tensor, hop: int) -> Tensor:
    """The sum of frames (..., T, n), each `hop` behind the one before it."""
    count, n = frames.shape[-2:]
    step = _sn.arange(count, device=frames.device) * hop
    at = step[:, None] + _sn.arange(n, device=frames.device)
    shape = (*frames.shape[:-2], n + hop * (count - 1))
    zeros = _sn.zeros(shape, dtype=frames.dtype, device=frames.device)
    return _sn.index_add(zeros, -1, at.flatten(), frames.flatten(-2))


def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal whose `stft` is nearest to `input` (Griffin, Lim, "Signal estimation from modified
    short-time Fourier transform", 1984): windowed inverse transforms, added where they overlap and
    divided by the sum of the squared windows.

    Parameters
    ----------
    input : Tensor, complex
        ([batch,] frequencies, frames).
    n_fft, hop_length, win_length, window, center, normalized : optional
        As in the `stft` that it undoes.
    onesided : bool, optional
        Whether there are n_fft // 2 + 1 frequencies; by default read off the shape.
    length : int, optional
        Of the signal, which is cut or filled up with zeros; by default what the frames reach (with
        `center` up to the centre of the last one).
    return_complex : bool
        Whether the signal is complex, for which all frequencies are needed.

    Raises
    ------
    InvalidValue
        When the windows leave a step of the signal out, so that nothing is known of it.

    Examples
    --------
    >>> x, window = sn.random.normal(shape=(50,)), sn.signal.windows.hann(16, sym=False)
    >>> y = sn.istft(sn.stft(x, 16, window=window), 16, window=window, length=50)
    >>> bool(sn.all(abs(y - x) < 1e-5))
    True
    """
    op = "istft"
    hop, win = _steps(op, n_fft, hop_length, win_length)
    if not _is_complex(input):
        raise error(
            DTypeError, op, f"the input has dtype {input.dtype}; complex numbers are required"
        )
    half = n_fft // 2 + 1
    count = input.shape[-2] if input.ndim in (2, 3) else 0
    onesided = count != n_fft if onesided is None else onesided
    if input.ndim not in (2, 3) or 0 in input.shape or count != (half if onesided else n_fft):
        raise error(
            ShapeError,
            op,
            f"the input has shape {input.shape}; ([batch,] {half if onesided else n_fft}, frames) "
            "is required, none of them 0",
        )
    if return_complex and onesided:
        raise error(
            InvalidValue,
            op,
            "return_complex is True for an input of one side, which means a real signal; give all "
            f"n_fft, {n_fft}, frequencies",
        )
    if not return_complex and _is_complex(window):
        raise error(
            InvalidValue, op, "the window is complex and so is the signal: set return_complex=True"
        )
    x = (input if input.ndim == 3 else input[None]).mT
    norm = "ortho" if normalized else "backward"
    if return_complex:
        frames = _sn.fft.ifft(x, norm=norm)
    else:
        frames = _sn.fft.irfft(x[..., :half], n_fft, norm=norm)
    weights = _window(op, window, win, n_fft, input)
    total = _overlapped(frames * weights, hop)
    square = weights * weights
    envelope = _overlapped(_sn.broadcast_to(square, (frames.shape[-2], n_fft)), hop)
    first = n_fft // 2 if center else 0
    end = envelope.shape[-1] - first if length is None else first + length
    total, envelope = total[..., first:end], envelope[first:end]
    if envelope.size and not bool(_sn.all(abs(envelope) > 1e-11)):
        raise error(
            InvalidValue,
            op,
            f"the windows, {hop} steps apart, leave steps of the signal out, of which nothing is "
            "known; take a shorter hop_length, center=True, or a window without zeros",
        )
    y: Tensor = total / envelope
    if length is not None and y.shape[-1] < length:
        y = _sn.pad(y, (0, length - y.shape[-1]))
    return y if input.ndim == 3 else y[0]
