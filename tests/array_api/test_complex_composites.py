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
    "logaddexp": lambda m, f, x, y: m.logaddexp(x * 3, y * 3),
    "logcumsumexp": lambda m, f, x, y: m.logcumsumexp(x, 1),
    "logcumsumexp of large ones": lambda m, f, x, y: m.logcumsumexp(x * 300, 0),
    "sinc": lambda m, f, x, y: m.sinc(x),
    "l1_loss": lambda m, f, x, y: f.l1_loss(x, y),
    "poisson_nll_loss": lambda m, f, x, y: f.poisson_nll_loss(x, y),
    "poisson_nll_loss of counts": lambda m, f, x, y: f.poisson_nll_loss(x, y, log_input=False),
    "gaussian_nll_loss": lambda m, f, x, y: f.gaussian_nll_loss(x, y, abs(y).detach(), True),
    "triplet_margin_loss": lambda m, f, x, y: f.triplet_margin_loss(x, y, x * y, swap=True),
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
            np.testing.assert_allclose(
                mine.grad.numpy(), other.grad.resolve_conj().numpy(), **close
            )


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


def draw(dtype: str, *shape: int) -> np.ndarray:
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["conv", "conv_transpose"])
def test_convolution(torch: Any, kind: str, rank: int, groups: int, dtype: str) -> None:
    name = f"{kind}{rank}d"
    ends = (6, 4 // groups) if kind == "conv" else (4, 6 // groups)
    values = (
        draw(dtype, 2, 4, *(7, 6, 5)[:rank]),
        draw(dtype, *ends, *(3, 2, 2)[:rank]),
        draw(dtype, 6),
    )
    options = {"stride": 2, "padding": 1, "groups": groups}
    ours = [sn.tensor(v, requires_grad=True) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    got = getattr(sn.nn.functional, name)(*ours, **options)
    want = getattr(torch.nn.functional, name)(*theirs, **options)
    close = {"rtol": 1e-3, "atol": 2e-3} if dtype == "complex64" else {"rtol": 1e-9, "atol": 1e-9}
    assert got.dtype.name == dtype
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), **close)
    found = sn.autograd.gradients((sn.abs(got) ** 2).sum(), ours, create_graph=True)
    wanted = torch.autograd.grad((want.abs() ** 2).sum(), theirs, create_graph=True)
    for mine, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), **close)
    sum((sn.abs(g[0]) ** 2).sum() for g in found).backward()
    sum((g[0].abs() ** 2).sum() for g in wanted).backward()
    for mine, other in zip(ours, theirs, strict=True):
        scale = float(other.grad.abs().max())
        np.testing.assert_allclose(mine.grad.numpy() / scale, other.grad.numpy() / scale, **close)


def test_convolution_of_real_and_complex() -> None:
    x, w = draw("complex64", 1, 2, 9), draw("complex64", 3, 2, 3)
    f = sn.nn.functional.conv1d
    whole = f(sn.asarray(x), sn.asarray(w.real.copy())).numpy()
    parts = [f(sn.asarray(v.copy()), sn.asarray(w.real.copy())).numpy() for v in (x.real, x.imag)]
    np.testing.assert_array_equal(whole, parts[0] + 1j * parts[1])
    whole = f(sn.asarray(x.real.copy()), sn.asarray(w)).numpy()
    parts = [f(sn.asarray(x.real.copy()), sn.asarray(v.copy())).numpy() for v in (w.real, w.imag)]
    np.testing.assert_array_equal(whole, parts[0] + 1j * parts[1])
    layer = sn.nn.Conv1d(2, 3, 3, dtype=sn.complex64)
    assert layer(sn.asarray(x)).dtype is sn.complex64


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_random_numbers(dtype: str) -> None:
    sn.random.seed(0)
    kind = getattr(sn, dtype)
    x = sn.random.randn((20000,), dtype=kind).numpy()
    assert x.dtype == dtype and abs(x.mean()) < 0.03
    assert abs(x.real.var() - 0.5) < 0.03 and abs(x.imag.var() - 0.5) < 0.03
    assert abs(np.mean(x.real * x.imag)) < 0.03
    y = sn.random.normal(2.0, 3.0, (20000,), dtype=kind).numpy()
    assert abs(y.mean() - 2) < 0.1 and abs(y.var() - 9) < 0.4
    z = sn.random.rand((20000,), dtype=kind).numpy()
    for part in (z.real, z.imag):
        assert part.min() >= 0 and part.max() < 1 and abs(part.mean() - 0.5) < 0.02
    assert sn.nn.Linear(3, 2, dtype=kind)(sn.ones((1, 3), dtype=kind)).dtype is kind


def test_log_of_sums_at_the_edges() -> None:
    inf = float("inf")
    none = sn.asarray([complex(-inf, 0), complex(-inf, 1)])
    x = sn.asarray([1 + 2j, 3 - 1j])
    assert sn.logaddexp(none, x).tolist() == sn.logaddexp(x, none).tolist() == x.tolist()
    assert sn.logaddexp(none, none).real.tolist() == [-inf, -inf]
    empty = sn.zeros((2, 0), dtype=sn.complex64)
    assert sn.logcumsumexp(empty, 1).shape == (2, 0)
    assert sn.logcumsumexp(sn.tensor(2j), 0).item() == 2j


def test_silu_has_a_gradient() -> None:
    # PyTorch has the value alone: the reference is x * sigmoid(x).
    x = sn.tensor(X, requires_grad=True)
    y = sn.tensor(X, requires_grad=True)
    (sn.abs(sn.nn.functional.silu(x)) ** 2).sum().backward()
    (sn.abs(y * sn.sigmoid(y)) ** 2).sum().backward()
    assert x.grad.tolist() == y.grad.tolist()


FLOWS = {
    "abs": sn.abs,
    "exp": lambda z: sn.exp(z).imag,
    "product": lambda z: (z * z).real,
    "var": sn.var,
    "matmul": lambda z: (z.reshape(1, -1) @ z.reshape(-1, 1)).imag,
    "pow": lambda z: sn.abs(z**1.5),
    "cumsum": lambda z: sn.cumsum(z, 0).real,
}


@pytest.mark.parametrize("name", FLOWS)
def test_gradients_flow_through_mapped_functions(name: str) -> None:
    def loss(a: Any) -> Any:
        return (FLOWS[name](a * w) ** 2).sum()

    rows = rng.normal(size=(3, 4))
    w = sn.tensor(1.5 - 0.5j, dtype=sn.complex128, requires_grad=True)
    results = []
    for mapped in (True, False):
        x = sn.tensor(rows, requires_grad=True)
        total = sn.vmap(loss)(x) if mapped else sn.stack([loss(r) for r in x])
        w.grad = None
        total.sum().backward()
        results.append((x.grad.numpy(), w.grad.numpy()))
    for mine, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-9, atol=1e-12)
    with sn.no_grad():
        assert not sn.vmap(loss)(x).requires_grad


@pytest.mark.parametrize("name", FLOWS)
def test_second_derivatives(name: str) -> None:
    def loss(a: Any) -> Any:
        return (FLOWS[name](a * (1.5 - 0.5j)) ** 2).sum()

    x = rng.normal(size=3)
    got = sn.hessian(loss)(sn.asarray(x)).numpy()
    step = 1e-5
    slopes = [sn.grad(loss)(sn.asarray(x + s * step * e)).numpy() for e in np.eye(3)
              for s in (1, -1)]  # fmt: skip
    want = np.stack([(a - b) / (2 * step) for a, b in zip(slopes[::2], slopes[1::2], strict=True)])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
