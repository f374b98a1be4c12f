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


def test_what_cannot_be_mapped_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[det\].*NumPy"):
        sn.vmap(sn.linalg.det)(A[:0])
