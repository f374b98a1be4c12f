"""Short-time Fourier transforms: against the formula, there and back, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

import sennit as sn

windows = sn.signal.windows


def signal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape)


@pytest.mark.parametrize("n_fft, hop, win", [(8, 2, 8), (7, 3, 5), (16, 16, 16), (6, 1, 3)])
@pytest.mark.parametrize("onesided", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_formula(n_fft, hop, win, onesided, center):
    x, window = signal(2, 40), np.hanning(win + 2)[1:-1]
    got = sn.stft(sn.asarray(x), n_fft, hop, win, sn.asarray(window), center, onesided=onesided)
    border = n_fft // 2 if center else 0
    padded = np.pad(x, ((0, 0), (border, border)), "reflect")
    wide = np.zeros(n_fft)
    before = (n_fft - win) // 2
    wide[before : before + win] = window
    frames = range(0, padded.shape[1] - n_fft + 1, hop)
    whole = np.stack([np.fft.fft(padded[:, t : t + n_fft] * wide) for t in frames], -1)
    want = whole[:, : n_fft // 2 + 1] if onesided else whole
    assert got.dtype == sn.complex128
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-12)
    single = sn.stft(sn.asarray(x[1]), n_fft, hop, win, sn.asarray(window), center,
                     onesided=onesided, normalized=True)  # fmt: skip
    np.testing.assert_allclose(single.numpy() * n_fft**0.5, want[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"normalized": True}, {"onesided": False}])
@pytest.mark.parametrize("length", [None, 50, 70])
def test_there_and_back(options, length):
    x = signal(3, 60)
    window = windows.hann(16, sym=False, dtype=sn.float64)
    y = sn.stft(sn.asarray(x), 16, 4, window=window, **options)
    back = sn.istft(y, 16, 4, window=window, length=length, **options).numpy()
    assert back.shape == (3, length or 60)
    n = min(length or 60, 60)
    np.testing.assert_allclose(back[:, :n], x[:, :n], rtol=0, atol=1e-12)
    assert not back[:, 68:].any()  # behind the last frame


def test_complex_signals():
    x = signal(2, 60) + 1j * signal(60, 2).T
    window = windows.hann(16, sym=False, dtype=sn.float64)
    y = sn.stft(sn.asarray(x), 16, window=window)
    assert y.shape == (2, 16, 16)
    back = sn.istft(y, 16, window=window, return_complex=True)
    np.testing.assert_allclose(back.numpy(), x, rtol=0, atol=1e-12)
    parts = sn.stft(sn.asarray(x.real), 16, window=window, return_complex=False)
    assert parts.shape == (2, 9, 16, 2)


def test_gradient_is_that_of_the_energy():
    """By Parseval's theorem the gradient of the squared norm is 2 n_fft x times the windows."""
    x = sn.asarray(signal(32)).requires_grad_()
    y = sn.stft(x, 8, 8, center=False, onesided=False)
    (y.real**2 + y.imag**2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 16 * x.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("call, error, text", [
    (lambda: sn.stft(sn.ones(()), 4), sn.ShapeError, r"\[stft\] the input has shape \(\)"),
    (lambda: sn.stft(sn.ones(9), 0), sn.InvalidValue, r"n_fft is 0"),
    (lambda: sn.stft(sn.ones(9), 4, 0), sn.InvalidValue, r"hop_length 0"),
    (lambda: sn.stft(sn.ones(9), 4, 1, 5), sn.InvalidValue, r"win_length 5"),
    (lambda: sn.stft(sn.ones(9), 4, window=sn.ones(3)), sn.ShapeError, r"shape \(3,\); \(4,\)"),
    (lambda: sn.stft(sn.ones(3), 4, center=False), sn.ShapeError, r"at least n_fft, 4"),
    (lambda: sn.stft(sn.ones(9, dtype=sn.int64), 4), sn.DTypeError, r"int64; floats"),
    (lambda: sn.stft(sn.ones(9, dtype=sn.complex64), 4, onesided=True), sn.InvalidValue, "one"),
    (lambda: sn.istft(sn.ones((3, 2)), 4), sn.DTypeError, r"\[istft\] .* complex numbers"),
    (lambda: sn.istft(sn.stft(sn.ones(9), 4), 6), sn.ShapeError, r"\[batch,\] 4, frames"),
    (lambda: sn.istft(sn.stft(sn.ones(9), 4), 4, return_complex=True), sn.InvalidValue, "all"),
    (lambda: sn.istft(sn.stft(sn.ones(30), 4, 4), 4, 8), sn.InvalidValue, "leave steps"),
])  # fmt: skip
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
