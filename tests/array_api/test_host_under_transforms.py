"""Operations that run in NumPy, inside of functions that are mapped or differentiated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn

rng = np.random.default_rng(5)
STACK = (rng.normal(size=(4, 3, 3)) + 3 * np.eye(3)).astype(np.float32)
A = sn.asarray(STACK)


def symmetric(x: Any) -> Any:
    return x + x.mT


FUNCTIONS = {
    "det": sn.linalg.det,
    "inv": sn.linalg.inv,
    "solve": lambda x: sn.linalg.solve(x, x[0]),
    "cholesky": lambda x: sn.linalg.cholesky(x @ x.mT),
    "cholesky_ex": lambda x: sn.linalg.cholesky_ex(x @ x.mT),
    "inv_ex": sn.linalg.inv_ex,
    "lu_factor": sn.linalg.lu_factor,
    "lu_solve": lambda x: sn.linalg.lu_solve(*sn.linalg.lu_factor(x), x),
    "eigvalsh": lambda x: sn.linalg.eigvalsh(symmetric(x)),
    "svdvals": sn.linalg.svdvals,
    "pinv": sn.linalg.pinv,
    "qr": sn.linalg.qr,
    "rfft": lambda x: sn.fft.rfft(x * 2)[..., 1:],
    "matrix_exp": sn.linalg.matrix_exp,
}


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def parts(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_vmap_has_the_bits_of_a_loop(name: str, chunk: int | None) -> None:
    f = FUNCTIONS[name]
    got = sn.vmap(f, chunk_size=chunk)(A)
    each = [parts(f(a)) for a in A]
    assert type(got) is type(f(A[0]))
    for mine, wanted in zip(parts(got), zip(*each, strict=True), strict=True):
        same(mine, sn.stack(list(wanted)))


def test_structure_and_places() -> None:
    b = sn.asarray(rng.normal(size=(3, 4)).astype(np.float32))
    got = sn.vmap(lambda x, y: {"x": sn.linalg.solve(x, y), "n": 1 * y[0]}, in_dims=(0, 1),
                  out_dims=1)  # fmt: skip
    with pytest.raises(ValueError, match="dimensions"):
        got(A, b)
    found = sn.vmap(lambda x, y: {"x": sn.linalg.solve(x, y)}, in_dims=(0, 1), out_dims=1)(A, b)
    same(found["x"], sn.stack([sn.linalg.solve(A[i], b[:, i]) for i in range(4)], axis=1))
    shared = sn.vmap(sn.linalg.solve, in_dims=(None, 1))(A[0], b)
    same(shared, sn.stack([sn.linalg.solve(A[0], b[:, i]) for i in range(4)]))


def test_nested_and_differentiated() -> None:
    pairs = A.reshape((2, 2, 3, 3))
    same(sn.vmap(sn.vmap(sn.linalg.det))(pairs).reshape((4,)), sn.vmap(sn.linalg.det)(A))

    def logdet(x: Any) -> Any:
        return sn.linalg.slogdet(x).logabsdet

    same(sn.vmap(sn.grad(logdet))(A), sn.stack([sn.grad(logdet)(a) for a in A]))
    x = sn.tensor(STACK, requires_grad=True)
    sn.vmap(sn.linalg.det)(x).sum().backward()
    y = sn.tensor(STACK, requires_grad=True)
    sn.linalg.det(y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("jacobian", [sn.jacrev, sn.jacfwd])
def test_jacobians(jacobian: Any) -> None:
    a = sn.asarray(STACK[0].astype(np.float64))
    b = sn.asarray(rng.normal(size=3))
    got = jacobian(sn.linalg.solve, argnums=1)(a, b)
    np.testing.assert_allclose(got.numpy(), np.linalg.inv(a.numpy()), rtol=1e-9, atol=1e-12)
    cross = jacobian(sn.linalg.inv)(a).numpy()
    inverse = np.linalg.inv(a.numpy())
    want = -np.einsum("ik,lj->ijkl", inverse, inverse)
    np.testing.assert_allclose(cross, want, rtol=1e-8, atol=1e-10)


def test_hessian() -> None:
    a = sn.asarray(STACK[1].astype(np.float64))
    got = sn.hessian(lambda x: sn.linalg.slogdet(x).logabsdet)(a).numpy()
    inverse = np.linalg.inv(a.numpy())
    want = -np.einsum("jk,li->ijkl", inverse, inverse)
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)


def test_random_numbers() -> None:
    def noisy(x: Any) -> Any:
        return sn.linalg.det(x) + sn.random.randn(())

    with pytest.raises(ValueError, match="random"):
        sn.vmap(noisy)(A)
    equal = sn.vmap(noisy, randomness="same")(A) - sn.linalg.det(A)
    assert np.ptp(equal.numpy()) < 1e-5
    apart = sn.vmap(noisy, randomness="different")(A) - sn.linalg.det(A)
    assert np.unique(apart.numpy().round(4)).size == 4


def test_no_examples() -> None:
    assert sn.vmap(sn.linalg.det)(A[:0]).shape == (0,)
    values, vectors = sn.vmap(sn.linalg.eigh)(A[:0])
    assert values.shape == (0, 3) and vectors.shape == (0, 3, 3)
    assert sn.vmap(lambda x: sn.fft.fft(x, 4))(A[:0]).shape == (0, 3, 4)


def test_what_cannot_be_mapped_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[matrix_exp\].*NumPy"):
        sn.vmap(sn.linalg.matrix_exp)(A[:0])


ONE_CALL = {
    "solve": lambda x: sn.linalg.solve(x, x[0]),
    "solve many": lambda x: sn.linalg.solve(x, sn.stack([x, 2 * x])),
    "cholesky": lambda x: sn.linalg.cholesky(x @ x.mT),
    "eigh": lambda x: sn.linalg.eigh(symmetric(x)),
    "eig": sn.linalg.eig,
    "eigvals": sn.linalg.eigvals,
    "svd": lambda x: sn.linalg.svd(x, full_matrices=False),
    "slogdet": sn.linalg.slogdet,
    "lu": sn.linalg.lu,
    "inv of a sum": lambda x: sn.linalg.inv(x + x.sum()).sum(0),
    "two in a row": lambda x: sn.linalg.det(sn.linalg.inv(x)),
    "fft2": sn.fft.fft2,
    "fft along the first axis": lambda x: sn.fft.fft(x, 5, 0),
    "irfft": lambda x: sn.fft.irfft(x + 0j, 5, 0),
    "hfft": lambda x: sn.fft.hfft(x, 7, -2),
    "rfftn": lambda x: sn.fft.rfftn(x, (2, 4)),
    "of what all share": lambda x: sn.linalg.inv(A[0]) @ x,
}


def calls_of_numpy(monkeypatch: Any) -> list[str]:
    from sennit import _host

    names: list[str] = []
    run = _host._run

    def counted(name: str, *rest: Any) -> Any:
        names.append(name)
        return run(name, *rest)

    monkeypatch.setattr(_host, "_run", counted)
    return names


@pytest.mark.parametrize("name", ONE_CALL)
def test_one_call_serves_all_examples(name: str, monkeypatch: Any) -> None:
    f = ONE_CALL[name]
    each = [parts(f(a)) for a in A]
    calls = calls_of_numpy(monkeypatch)
    got = parts(sn.vmap(f)(A))
    assert len(calls) == (2 if name in ("two in a row", "rfftn") else 1)
    for mine, wanted in zip(got, zip(*each, strict=True), strict=True):
        same(mine, sn.stack(list(wanted)))
    pairs = A.reshape((2, 2, 3, 3))
    calls.clear()
    nested = parts(sn.vmap(sn.vmap(f))(pairs))
    assert len(calls) == (2 if name in ("two in a row", "rfftn") else 1)
    for mine, wanted in zip(nested, got, strict=True):
        same(mine.reshape(wanted.shape), wanted)


# Without svd, whose vectors have a sign of their own: slogdet and eigh go the same way.
@pytest.mark.parametrize("name", sorted(set(ONE_CALL) - {"eig", "eigvals", "lu", "svd"}))
def test_gradients_through_the_batch(name: str, monkeypatch: Any) -> None:
    def loss(x: Any) -> Any:
        return sum((sn.abs(y) ** 2).sum() for y in parts(ONE_CALL[name](x)))

    wide = A.astype(sn.float64)
    calls = calls_of_numpy(monkeypatch)
    inside = sn.vmap(sn.grad(loss))(wide)
    assert len(calls) <= 8
    x = sn.tensor(wide, requires_grad=True)
    sn.vmap(loss)(x).sum().backward()
    y = sn.tensor(wide, requires_grad=True)
    sn.stack([loss(a) for a in y]).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(inside.numpy(), y.grad.numpy(), rtol=1e-9, atol=1e-9)


def test_choices_by_value_are_made_for_all_examples(monkeypatch: Any) -> None:
    singular = np.array([[[1.0, 2.0], [2.0, 4.0]], [[2.0, 0.0], [0.0, 3.0]]])
    got = sn.vmap(sn.grad(sn.linalg.det))(sn.asarray(singular))
    np.testing.assert_allclose(
        got.numpy(), [[[4, -2], [-2, 1]], [[3, 0], [0, 2]]], rtol=1e-12, atol=1e-12
    )
    nested = sn.vmap(sn.vmap(sn.grad(sn.linalg.det)))(sn.asarray(singular[None]))
    np.testing.assert_array_equal(nested[0].numpy(), got.numpy())
    tall, b = sn.asarray(rng.normal(size=(4, 5, 2))), sn.asarray(rng.normal(size=(4, 5)))
    calls = calls_of_numpy(monkeypatch)
    found = sn.vmap(sn.linalg.lstsq)(tall, b)
    assert len(calls) == len(set(calls)) or len(calls) < 8
    for i in range(4):
        one = sn.linalg.lstsq(tall[i], b[i])
        for mine, wanted in zip(found, one, strict=True):
            np.testing.assert_allclose(mine[i].numpy(), wanted.numpy(), rtol=1e-12)
