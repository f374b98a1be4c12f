"""Functions made of others, on complex numbers: PyTorch is the oracle, gradients included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn

rng = np.random.default_rng(4)
X = rng.normal(size=(3, 5)) + 1j * rng.normal(size=(3, 5))
Y = rng.normal(size=(3, 5)) + 1j * rng.normal(size=(3, 5))

# Name: a function of a module (sennit or torch), its functional namespace, and two matrices.
CASES: dict[str, Any] = {
    "dot": lambda m, f, x, y: m.dot(x[0], y[0]),
    "vdot": lambda m, f, x, y: m.vdot(x[0], y[0]),
    "cov": lambda m, f, x, y: m.cov(x),
    "cov of a vector": lambda m, f, x, y: m.cov(x[0]),
    "corrcoef": lambda m, f, x, y: m.corrcoef(x),
    "float_power": lambda m, f, x, y: m.float_power(x, y),
    "float_power of a number": lambda m, f, x, y: m.float_power(x, 2),
    "gradient": lambda m, f, x, y: m.gradient(x)[1],
    "ldexp": lambda m, f, x, y: m.ldexp(x, y),
    "logsumexp": lambda m, f, x, y: m.logsumexp(x * 50, 1),
    "logsumexp of both": lambda m, f, x, y: m.logsumexp(x, (0, 1), True),
    "sinc": lambda m, f, x, y: m.sinc(x),
    "l1_loss": lambda m, f, x, y: f.l1_loss(x, y),
    "l1_loss unreduced": lambda m, f, x, y: f.l1_loss(x, y, reduction="none"),
}


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient(torch: Any, name: str, dtype: str) -> None:
    f = CASES[name]
    ours = [sn.tensor(v.astype(dtype), requires_grad=True) for v in (X, Y)]
    theirs = [torch.tensor(v.astype(dtype), requires_grad=True) for v in (X, Y)]
    got, want = f(sn, sn.nn.functional, *ours), f(torch, torch.nn.functional, *theirs)
    close = {"rtol": 2e-4, "atol": 2e-5} if dtype == "complex64" else {"rtol": 1e-9, "atol": 1e-11}
    assert str(got.dtype) == str(want.dtype).removeprefix("torch.")
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), **close)
    (sn.abs(got) ** 2).sum().backward()
    (want.abs() ** 2).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        if other.grad is None:
            assert mine.grad is None or not sn.any(mine.grad != 0).item()
        else:
            np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), **close)


def test_closeness() -> None:
    x = sn.asarray([1 + 1j, complex("nan"), complex("inf"), 1j])
    y = sn.asarray([1 + 1j * (1 + 1e-7), complex("nan"), complex("inf"), 2j])
    assert sn.isclose(x, y).tolist() == [True, False, True, False]
    assert sn.isclose(x, y, equal_nan=True).tolist() == [True, True, True, False]
    assert sn.allclose(x[:1], y[:1]) and not sn.allclose(x, y)


def test_parts_and_conjugates() -> None:
    x = sn.asarray([1 + 1j, 2, -0.0 + 0j, complex("nan")])
    assert sn.isreal(x).tolist() == [False, True, True, True]
    assert sn.isreal(sn.arange(2)).tolist() == [True, True]
    assert sn.resolve_conj(x)[0].item() == 1 + 1j
    assert sn.resolve_conj(sn.conj(x))[0].item() == 1 - 1j
    assert sn.logsumexp(sn.zeros((2, 0), dtype=sn.complex64), 1).tolist() == [complex("-inf")] * 2
    weights = {"fweights": sn.asarray([1, 2, 0, 1, 3]), "aweights": sn.asarray([0.5, 1, 1, 2, 1])}
    np.testing.assert_allclose(
        sn.cov(sn.asarray(X), **weights).numpy(),
        np.cov(X, **{k: v.numpy() for k, v in weights.items()}),
    )
