"""sn.fft: values against NumPy, gradients of two orders against PyTorch, dtypes and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import check_gradients

import sennit as sn

rng = np.random.default_rng(0)
Z = rng.normal(size=(3, 4, 5)) + 1j * rng.normal(size=(3, 4, 5))
X = rng.normal(size=(3, 4, 5))
slow = pytest.mark.slow  # the full cross of cases
NORMS = ("backward", pytest.param("ortho", marks=slow), pytest.param("forward", marks=slow))
SEVERAL = [((3, 6), None), (None, (2, 0)), pytest.param(None, None, marks=slow),
           pytest.param((4, 3), (0, 2), marks=slow),
           pytest.param((5, 2, -1), (0, 1, 2), marks=slow)]  # fmt: skip


def squared(f: Any) -> Any:
    """So that the gradient depends on the input."""
    return lambda m, x: f(m, x) ** 2


@pytest.mark.oracle
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", [None, 3, 8, pytest.param(5, marks=slow)])
@pytest.mark.parametrize("axis", [0, pytest.param(-1, marks=slow)])
@pytest.mark.parametrize("name", ["fft", "ifft", "irfft", "hfft", "rfft", "ihfft"])
def test_one_axis(name: str, axis: int, n: int | None, norm: str) -> None:
    x = X if name in ("rfft", "ihfft") else Z
    want = getattr(np.fft, name)(x, n, axis, norm)
    got = getattr(sn.fft, name)(sn.asarray(x), n=n, axis=axis, norm=norm)
    assert got.dtype.name == want.dtype.name
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-13)
    check_gradients(squared(lambda m, x: getattr(m.fft, name)(x, n, axis, norm)), x)


@pytest.mark.oracle
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("s", "axes"), SEVERAL)
@pytest.mark.parametrize("name", ["fftn", "ifftn", "irfftn", "hfftn", "rfftn", "ihfftn"])
def test_several_axes(name: str, s: Any, axes: Any, norm: str) -> None:
    x = X if name in ("rfftn", "ihfftn") else Z
    check_gradients(squared(lambda m, x: getattr(m.fft, name)(x, s, axes, norm)), x)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["fft", "ifft", "irfft", "hfft", "rfft", "ihfft"])
def test_norm_and_its_gradient(name: str) -> None:
    x = X if name in ("rfft", "ihfft") else Z
    for norm in ("ortho", "forward"):
        check_gradients(squared(lambda m, x, norm=norm: getattr(m.fft, name)(x, norm=norm)), x[0])


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["fft2", "ifft2", "irfft2", "hfft2", "rfft2", "ihfft2"])
def test_two_axes(name: str) -> None:
    x = X if name in ("rfft2", "ihfft2") else Z
    check_gradients(squared(lambda m, x: getattr(m.fft, name)(x)), x)
    check_gradients(squared(lambda m, x: getattr(m.fft, name)(x, dim=(0, 1))), x)


@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
@pytest.mark.parametrize("axes", [None, 1, (0, 2)])
def test_shift(name: str, axes: Any) -> None:
    want = getattr(np.fft, name)(X, axes)
    np.testing.assert_array_equal(getattr(sn.fft, name)(sn.asarray(X), axes=axes).numpy(), want)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies(n: int) -> None:
    for dtype in (None, sn.float64):
        kind = "float32" if dtype is None else "float64"
        for name in ("fftfreq", "rfftfreq"):
            got = getattr(sn.fft, name)(n, d=0.3, dtype=dtype)
            assert got.dtype.name == kind
            want = getattr(np.fft, name)(n, 0.3).astype(kind)
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


def test_precision_follows_the_input() -> None:
    x = sn.ones((4,))
    for kind, want in ((sn.float32, "complex64"), (sn.float64, "complex128"),
                       (sn.complex64, "complex64"), (sn.complex128, "complex128"),
                       (sn.int8, "complex64"), (sn.bool, "complex64")):  # fmt: skip
        assert sn.fft.fft(x.astype(kind)).dtype.name == want
    assert sn.fft.rfft(x.astype(sn.float64)).dtype is sn.complex128
    assert sn.fft.irfft(x.astype(sn.complex64)).dtype is sn.float32
    assert sn.fft.hfft(x.astype(sn.complex128)).dtype is sn.float64
    for shape in ((0, 4), (2, 0, 4)):
        assert sn.fft.fft(sn.ones(shape)).shape == shape
        assert sn.fft.rfft(sn.ones(shape)).shape == (*shape[:-1], 3)
        assert sn.fft.irfft(sn.ones(shape, dtype=sn.complex64)).shape == (*shape[:-1], 6)


def test_errors() -> None:
    x = sn.ones((2, 3))
    with pytest.raises(ValueError, match="norm"):
        sn.fft.fft(x, norm="both")
    with pytest.raises(ValueError, match="length 0"):
        sn.fft.fft(x, n=0)
    with pytest.raises(IndexError, match="axis 2"):
        sn.fft.fft(x, axis=2)
    with pytest.raises(TypeError, match="complex64"):
        sn.fft.rfft(x.astype(sn.complex64))
    with pytest.raises(TypeError, match="float16"):
        sn.fft.fft(x.astype(sn.float16))
    with pytest.raises(ValueError, match="one size each"):
        sn.fft.fftn(x, s=(2,), axes=(0, 1))
    with pytest.raises(ValueError, match="each once"):
        sn.fft.fftn(x, axes=(0, 0))
    with pytest.raises(ValueError, match="n is 0"):
        sn.fft.fftfreq(0)
