"""Derivatives of activations that are one operation each: values, limits and curvature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import sennit as sn


def silu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    s = special.expit(x)
    return s * (1 + x * (1 - s)), s * (1 - s) * (2 + x * (1 - 2 * s))


def gelu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    return special.ndtr(x) + x * density, density * (2 - x * x)


def gelu_tanh(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.sqrt(8 / np.pi), np.sqrt(8 / np.pi) * 0.044715
    u, du = a * x + b * x**3, a + 3 * b * x * x
    s, rest = special.expit(u), special.expit(-u)
    return s * (1 + x * du * rest), s * rest * (2 * du + 6 * b * x * x + x * du * du * (rest - s))


@pytest.mark.parametrize("activation", [silu, gelu, gelu_tanh])
@pytest.mark.parametrize(("dtype", "close"), [("float32", 2e-6), ("float64", 2e-14)])
def test_slope_and_curvature(activation, dtype, close):
    x = np.linspace(-12, 12, 4001).astype(dtype)
    slope, curvature = activation(x.astype("float64"))
    f = getattr(sn, activation.__name__)
    first = sn.grad(lambda x: f(x).sum())
    second = sn.grad(lambda x: first(x).sum())
    np.testing.assert_allclose(first(sn.asarray(x)).numpy(), slope, rtol=0, atol=close)
    np.testing.assert_allclose(second(sn.asarray(x)).numpy(), curvature, rtol=0, atol=10 * close)


@pytest.mark.parametrize("activation", [silu, gelu, gelu_tanh])
def test_slope_far_out(activation):
    x = sn.asarray([-np.inf, -1e30, 1e30, np.inf, np.nan], dtype=sn.float32).requires_grad_()
    getattr(sn, activation.__name__)(x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0, 1, 1, np.nan])
