"""sn.linalg: values against NumPy, gradients of two orders against PyTorch, shapes and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import check_gradients

import sennit as sn

rng = np.random.default_rng(0)
COMPLEX = rng.normal(size=(2, 3, 3)) + 1j * rng.normal(size=(2, 3, 3)) + 2 * np.eye(3)
REAL = rng.normal(size=(2, 3, 3)) + 2 * np.eye(3)
INF = float("inf")


def positive(m: Any, x: Any) -> Any:
    """Hermitian and positive-definite."""
    return x @ x.mH


def pair(f: Any) -> Any:
    return lambda m, x, y: f(m, x, y[..., :2])


# Name: (function of a module and matrices, how many matrices).
CASES: dict[str, tuple[Any, int]] = {
    "inv": (lambda m, x: m.linalg.inv(x), 1),
    "det": (lambda m, x: m.linalg.det(x), 1),
    "slogdet": (lambda m, x: m.linalg.slogdet(x)[1], 1),
    "phase": (lambda m, x: m.linalg.slogdet(x)[0] * m.linalg.det(x), 1),
    "cholesky": (lambda m, x: abs(m.linalg.cholesky(positive(m, x))), 1),
    "cholesky upper": (lambda m, x: abs(m.linalg.cholesky(positive(m, x), upper=True)), 1),
    "solve": (pair(lambda m, x, y: m.linalg.solve(x, y)), 2),
    "solve right": (lambda m, x, y: m.linalg.solve(x, y[:, :2], left=False), 2),
    "solve vector": (lambda m, x, y: m.linalg.solve(x[0], y[1, 0]), 2),
    "solve broadcast": (lambda m, x, y: m.linalg.solve(x, y[0]), 2),
    "triangular": (pair(lambda m, x, y: m.linalg.solve_triangular(x, y, upper=True)), 2),
    "triangular right": (
        lambda m, x, y: m.linalg.solve_triangular(
            x, y[:, :2], upper=False, left=False, unitriangular=True
        ),
        2,
    ),
    "eigh": (lambda m, x: m.linalg.eigh(positive(m, x))[0], 1),
    "eigh vectors": (
        lambda m, x: (
            abs(m.linalg.eigh(positive(m, x))[1]) ** 2
            * m.linalg.eigh(positive(m, x))[0][..., None, :]
        ),
        1,
    ),
    "eigvalsh": (lambda m, x: m.linalg.eigvalsh(positive(m, x)), 1),
    "svdvals": (lambda m, x: m.linalg.svdvals(x), 1),
    "matrix_exp": (lambda m, x: m.linalg.matrix_exp(x), 1),
    "matrix_power": (lambda m, x: m.linalg.matrix_power(x, 5), 1),
    "matrix_power -2": (lambda m, x: m.linalg.matrix_power(x, -2), 1),
    "cond": (lambda m, x: m.linalg.cond(x), 1),
    "multi_dot": (lambda m, x, y: m.linalg.multi_dot([x[0], y[0], x[1], y[1, 0]]), 2),
    "householder": (lambda m, x, t: m.linalg.householder_product(x, t[:, 0, :2]), 2),
    "cross": (lambda m, x, y: m.linalg.cross(x, y), 2),
    "tensorinv": (lambda m, x: m.linalg.tensorinv(x[0], 1), 1),
    "tensorsolve": (lambda m, x, y: m.linalg.tensorsolve(x[0], y[0, 0]), 2),
    "vander": (lambda m, x: m.linalg.vander(x[0], N=4), 1),
    "vecdot": (lambda m, x, y: m.linalg.vecdot(x, y), 2),
    "lstsq": (lambda m, x, y: m.linalg.lstsq(x[..., :2], y)[0], 2),
    "lu_solve": (pair(lambda m, x, y: m.linalg.lu_solve(*m.linalg.lu_factor(x), y)), 2),
    "lu_solve adjoint": (
        pair(lambda m, x, y: m.linalg.lu_solve(*m.linalg.lu_factor(x), y, adjoint=True)),
        2,
    ),
    "lu_solve right": (
        lambda m, x, y: m.linalg.lu_solve(*m.linalg.lu_factor(x), y[:, :2], left=False),
        2,
    ),
    "inv_ex": (lambda m, x: m.linalg.inv_ex(x)[0], 1),
    "solve_ex": (pair(lambda m, x, y: m.linalg.solve_ex(x, y)[0]), 2),
    "cholesky_ex": (lambda m, x: abs(m.linalg.cholesky_ex(positive(m, x))[0]), 1),
}


def corner(u: Any, s: Any, v: Any) -> Any:
    """What does not depend on the phases of singular vectors."""
    return abs(u)[..., :1, :1] * s[..., :1, None] + abs(v)[..., :1, 1:]


def isometry(u: Any, s: Any, v: Any) -> Any:
    return u @ v


def first_row(q: Any, r: Any) -> Any:
    return q[..., :1, :] @ r


for _shape, _part in {"square": np.s_[..., :], "tall": np.s_[..., :2],
                      "wide": np.s_[..., :2, :]}.items():  # fmt: skip
    _cut = lambda x, part=_part: x[part]  # noqa: E731
    CASES |= {
        f"svd {_shape}": (
            lambda m, x, cut=_cut: corner(*m.linalg.svd(cut(x), full_matrices=False)), 1),
        f"polar {_shape}": (
            lambda m, x, cut=_cut: isometry(*m.linalg.svd(cut(x), full_matrices=False)),
            1,
        ),
        f"qr {_shape}": (lambda m, x, cut=_cut: first_row(*m.linalg.qr(cut(x))), 1),
        f"qr R {_shape}": (lambda m, x, cut=_cut: abs(m.linalg.qr(cut(x))[1]), 1),
        f"qr Q {_shape}": (lambda m, x, cut=_cut: abs(m.linalg.qr(cut(x))[0]), 1),
        f"pinv {_shape}": (lambda m, x, cut=_cut: m.linalg.pinv(cut(x)), 1),
        f"lu {_shape}": (
            lambda m, x, cut=_cut: m.linalg.lu(cut(x))[1].sum(-1)
            * m.linalg.lu(cut(x))[2].sum((-1, -2))[..., None], 1),
        f"lu_factor {_shape}": (lambda m, x, cut=_cut: m.linalg.lu_factor(cut(x))[0], 1),
    }  # fmt: skip
    for _order in ("fro", "nuc", 1, -1, 2, -2, INF, -INF):
        CASES[f"matrix_norm {_order} {_shape}"] = (
            lambda m, x, cut=_cut, order=_order: m.linalg.matrix_norm(cut(x) * 1.0, order),
            1,
        )
for _order in (2, 3, 1, INF, -INF, 0.5, -2):
    CASES[f"vector_norm {_order}"] = (
        lambda m, x, order=_order: m.linalg.vector_norm(x, order, -1), 1)  # fmt: skip


def heavy(name: str) -> Any:
    """The full cross of shapes and orders is left to the full suite."""
    norm = "norm" in name and ("square" in name or name.startswith("matrix_norm -"))
    other = name in ("cholesky upper", "eigvalsh", "lu_solve right", "solve_ex", "cholesky_ex")
    return pytest.param(name, marks=pytest.mark.slow) if norm or other else name


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("name", [heavy(name) for name in CASES])
def test_gradients(name: str, kind: str) -> None:
    f, count = CASES[name]
    x = REAL if kind == "real" else COMPLEX
    check_gradients(f, *(x, x[::-1].swapaxes(-1, -2).copy())[:count])


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_gradients_of_eig(kind: str) -> None:
    """LAPACK's order of eigenvalues is the same in both for these."""
    x = REAL if kind == "real" else COMPLEX
    check_gradients(lambda m, x: m.linalg.eigvals(x), x)
    check_gradients(
        lambda m, x: abs(m.linalg.eig(x)[1]) * m.linalg.eig(x)[0][..., None, :], x)  # fmt: skip


def test_gradient_of_a_singular_determinant() -> None:
    x = sn.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=sn.float64, requires_grad=True)
    sn.linalg.det(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [[4, -2], [-2, 1]], atol=1e-12)  # type: ignore[union-attr]


# ---- values against NumPy, in all four dtypes


DTYPES = ["float32", "float64", "complex64", "complex128"]


def sample(dtype: str, *shape: int) -> np.ndarray:
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if dtype.startswith("c") else x).astype(dtype)


def close(got: sn.Tensor, want: Any, dtype: str) -> None:
    want = np.asarray(want)
    assert got.shape == want.shape and got.dtype.name == want.dtype.name, (got.dtype, want.dtype)
    loose = dtype in ("float32", "complex64")
    np.testing.assert_allclose(got.numpy(), want, rtol=2e-3 if loose else 1e-9,
                               atol=2e-4 if loose else 1e-10)  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lead", [(), (2,), (2, 1), (0,)])
def test_values(lead: tuple[int, ...], dtype: str) -> None:
    x = sample(dtype, *lead, 4, 4) + 3 * np.eye(4, dtype=dtype)
    tall, wide = x[..., :, :2].copy(), x[..., :3, :].copy()
    b = sample(dtype, *lead, 4, 2)
    hermitian = x @ x.conj().swapaxes(-1, -2)
    t = sn.asarray
    la, ln = sn.linalg, np.linalg
    close(la.inv(t(x)), ln.inv(x), dtype)
    close(la.det(t(x)), ln.det(x), dtype)
    for got, want in zip(la.slogdet(t(x)), ln.slogdet(x), strict=True):
        close(got, np.asarray(want), dtype)
    close(la.solve(t(x), t(b)), ln.solve(x, b), dtype)
    close(la.cholesky(t(hermitian)), ln.cholesky(hermitian), dtype)
    close(la.eigvalsh(t(hermitian)), ln.eigvalsh(hermitian), dtype)
    w, v = la.eigh(t(hermitian))
    close(v @ (w.unsqueeze(-1) * v.mH), hermitian, dtype)
    w, v = la.eig(t(x))
    close(t(x) @ v, (v * w.unsqueeze(-2)).numpy(), dtype)
    for a in (x, tall, wide):
        for full in (False, True):
            u, s, vh = la.svd(t(a), full_matrices=full)
            for got, want in zip((u, s, vh), ln.svd(a, full_matrices=full), strict=True):
                assert got.shape == want.shape and got.dtype.name == want.dtype.name
            k = s.shape[-1]
            close((u[..., :, :k] * s.unsqueeze(-2)) @ vh[..., :k, :], a, dtype)
        close(la.svdvals(t(a)), ln.svd(a, compute_uv=False), dtype)
        for mode in ("reduced", "complete"):
            q, r = la.qr(t(a), mode=mode)
            close(q @ r, a, dtype)
            close(q.mH @ q, np.broadcast_to(np.eye(q.shape[-1], dtype=dtype), (*lead, q.shape[-1],
                  q.shape[-1])), dtype)  # fmt: skip
            assert (sn.tril(r, k=-1) == 0).all()
        p, left, right = la.lu(t(a))
        close(p @ left @ right, a, dtype)
        close(la.pinv(t(a)), ln.pinv(a) if a.size else np.zeros((*lead, a.shape[-1], a.shape[-2]),
              dtype), dtype)  # fmt: skip
        assert la.matrix_rank(t(a)).tolist() == ln.matrix_rank(a).tolist()
        for order in ("fro", "nuc", 1, -1, 2, -2, INF, -INF):
            want = ln.norm(a, order, axis=(-2, -1)) if a.size else np.zeros(lead, a.real.dtype)
            close(la.matrix_norm(t(a), ord=order), np.asarray(want), dtype)
            kept = la.matrix_norm(t(a), ord=order, keepdims=True)
            assert kept.shape == (*lead, 1, 1)
    close(la.matrix_power(t(x), 3), x @ x @ x, dtype)
    close(la.matrix_power(t(x), 0), np.broadcast_to(np.eye(4, dtype=dtype), x.shape), dtype)
    close(la.trace(t(x), offset=1), np.trace(x, 1, -2, -1), dtype)
    close(la.diagonal(t(x), offset=-1), np.diagonal(x, -1, -2, -1), dtype)


def test_matrix_exp() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    for scale in (1e-3, 1.0, 30.0):
        x = sample("float64", 4, 4) * scale
        np.testing.assert_allclose(sn.linalg.matrix_exp(sn.asarray(x)).numpy(), linalg.expm(x),
                                   rtol=1e-8, atol=1e-8 * np.exp(abs(x).sum(1).max()))  # fmt: skip
    assert sn.linalg.matrix_exp(sn.zeros((0, 2, 2))).shape == (0, 2, 2)


def test_norms_of_all_kinds() -> None:
    x = sample("float64", 3, 4)
    t = sn.asarray(x)
    for order in (None, "fro", "nuc", 1, -1, 2, -2, INF, -INF):
        np.testing.assert_allclose(
            sn.linalg.norm(t, order).item(), np.linalg.norm(x, order), rtol=1e-12
        )
    for order in (None, 0, 1, 2, 3, INF, -INF):
        np.testing.assert_allclose(
            sn.linalg.norm(t, order, axis=1).numpy(), np.linalg.norm(x, order, axis=1), rtol=1e-12
        )
    assert sn.linalg.vector_norm(t, axis=(0, 1), keepdims=True).shape == (1, 1)
    assert sn.linalg.vector_norm(t, dim=0, keepdim=True).shape == (1, 4)
    assert sn.linalg.vector_norm(sn.zeros((0, 3)), axis=0).tolist() == [0, 0, 0]
    assert sn.linalg.vector_norm(sn.asarray(3 - 4j)).item() == 5
    for p in (None, 1, -1, 2, -2, INF, -INF, "fro", "nuc"):
        square = x[:, :3]
        np.testing.assert_allclose(sn.linalg.cond(sn.asarray(square), p).item(),
                                   np.linalg.cond(square, p), rtol=1e-10)  # fmt: skip
    assert sn.linalg.cond(sn.zeros((2, 2)), 1).item() == INF


def test_cross_trace_outer() -> None:
    a, b = sample("float64", 5, 3), sample("float64", 3)
    np.testing.assert_allclose(
        sn.linalg.cross(sn.asarray(a), sn.asarray(b)).numpy(), np.cross(a, b)
    )
    np.testing.assert_allclose(
        sn.linalg.cross(sn.asarray(a.T), sn.asarray(a.T), axis=0).numpy(),
        np.cross(a.T, a.T, axis=0),
    )
    assert sn.linalg.cross(sn.arange(3), sn.arange(3, 6)).dtype is sn.int64
    assert sn.linalg.trace(sn.ones((2, 2), dtype=sn.int8)).dtype is sn.int64
    assert sn.linalg.trace(sn.ones((2, 2)), dtype=sn.float64).dtype is sn.float64
    assert sn.linalg.outer(sn.arange(2), sn.arange(3)).tolist() == [[0, 0, 0], [0, 1, 2]]
    assert sn.linalg.matmul is sn.matmul and sn.linalg.matrix_transpose is sn.matrix_transpose
    with pytest.raises(ValueError, match="size 3"):
        sn.linalg.cross(sn.ones((2, 2)), sn.ones((2, 2)))


def test_ranks_and_tolerances() -> None:
    x = sn.asarray(np.diag([1.0, 1e-3, 0.0]))
    assert sn.linalg.matrix_rank(x).item() == 2
    assert sn.linalg.matrix_rank(x, rtol=1e-2).item() == 1
    assert sn.linalg.matrix_rank(x, atol=1e-2).item() == 1
    assert sn.linalg.matrix_rank(x, rtol=sn.asarray(1e-2)).item() == 1
    assert sn.linalg.matrix_rank(-x, hermitian=True).item() == 2
    both = sn.stack([x, x])
    assert sn.linalg.matrix_rank(both, rtol=sn.asarray([1e-6, 1e-2])).tolist() == [2, 1]
    np.testing.assert_allclose(sn.linalg.pinv(both, rtol=sn.asarray([1e-6, 1e-2])).numpy()[:, 1, 1],
                               [1000, 0])  # fmt: skip
    np.testing.assert_allclose(sn.linalg.pinv(x, hermitian=True).numpy(), np.diag([1, 1000, 0]),
                               rtol=1e-12, atol=1e-12)  # fmt: skip


def test_lstsq() -> None:
    a, b = sample("float64", 6, 3), sample("float64", 6, 2)
    want = np.linalg.lstsq(a, b, rcond=None)
    got = sn.linalg.lstsq(sn.asarray(a), sn.asarray(b))
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-9)
    assert sn.linalg.lstsq(sn.asarray(a.T), sn.asarray(b[:3])).residuals.shape == (0,)


def test_codes_in_place_of_errors() -> None:
    x = sn.asarray([[[1.0, 2.0], [2.0, 4.0]], [[2.0, 0.0], [0.0, 1.0]]])
    inverse, info = sn.linalg.inv_ex(x)
    assert info.tolist() == [2, 0] and info.dtype is sn.int32
    assert np.isnan(inverse[0].numpy()).all() and inverse[1].tolist() == [[0.5, 0], [0, 1]]
    result, info = sn.linalg.solve_ex(x, sn.ones((2, 2, 1)))
    assert info.tolist() == [2, 0] and np.isnan(result[0].numpy()).all()
    info = sn.linalg.cholesky_ex(-x).info
    assert info.tolist() == [1, 1]
    for call in (sn.linalg.inv, sn.linalg.cholesky,
                 lambda y: sn.linalg.inv_ex(y, check_errors=True),
                 lambda y: sn.linalg.solve(y, sn.ones((2, 2, 1)))):  # fmt: skip
        with pytest.raises(sn.NumericError, match=r"\[\w+\].*shapes"):
            call(x)


def test_errors() -> None:
    x, square = sn.ones((2, 3)), sn.eye(2)
    for f in (sn.linalg.inv, sn.linalg.det, sn.linalg.cholesky, sn.linalg.eigh, sn.linalg.eig,
              sn.linalg.slogdet, sn.linalg.matrix_exp, lambda y: sn.linalg.matrix_power(y, 2),
              lambda y: sn.linalg.solve(y, y)):  # fmt: skip
        with pytest.raises(sn.ShapeError, match="square"):
            f(x)
    for f in (sn.linalg.inv, sn.linalg.svd, sn.linalg.qr, sn.linalg.eigh, sn.linalg.pinv,
              sn.linalg.matrix_norm, sn.linalg.lu):  # fmt: skip
        for kind in (sn.int64, sn.float16, sn.bool):
            with pytest.raises(TypeError, match=r"float32"):
                f(square.astype(kind))
        with pytest.raises(sn.ShapeError, match="matri"):
            f(sn.ones(3))
    with pytest.raises(ValueError, match="2 rows"):
        sn.linalg.solve(square, sn.ones(3))
    with pytest.raises(ValueError, match="mode"):
        sn.linalg.qr(square, mode="raw")
    with pytest.raises(ValueError, match="ord"):
        sn.linalg.matrix_norm(square, ord=3)
    with pytest.raises(ValueError, match="UPLO"):
        sn.linalg.eigh(square, "X")
    with pytest.raises(RuntimeError, match="full_matrices=False"):
        sn.linalg.svd(sn.ones((2, 3), requires_grad=True)).U.sum().backward()
    with pytest.raises(RuntimeError, match="reduced"):
        sn.linalg.qr(sn.ones((3, 2), requires_grad=True), mode="complete").Q.sum().backward()
    with pytest.raises(ValueError, match="two or more"):
        sn.linalg.multi_dot([square])
    with pytest.raises(ValueError, match="ind"):
        sn.linalg.tensorinv(square, 0)


def test_named_results() -> None:
    x = sn.eye(2)
    assert sn.linalg.eigh(x)._fields == ("eigenvalues", "eigenvectors")
    assert sn.linalg.qr(x)._fields == ("Q", "R")
    assert sn.linalg.slogdet(x)._fields == ("sign", "logabsdet")
    assert sn.linalg.svd(x)._fields == ("U", "S", "Vh")


def test_results_are_inputs_of_further_work() -> None:
    """A training step through a decomposition, with the update behind it."""
    w = sn.tensor(np.eye(3, dtype=np.float32) * 2, requires_grad=True)
    for _ in range(5):
        w.grad = None
        loss = ((sn.linalg.inv(w) - sn.eye(3)) ** 2).sum()
        loss.backward()
        with sn.no_grad():
            w -= 0.5 * w.grad  # type: ignore[operator]
    assert loss.item() < 0.5


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("shape", [(0, 2, 2), (0, 0), (3, 0, 0), (0, 0, 0), (2, 0, 1, 1)], ids=str)
def test_functions_with_codes_of_empty_stacks(shape: tuple[int, ...], dtype: str) -> None:
    x = sn.zeros(shape, dtype=getattr(sn, dtype))
    lead = shape[:-2]
    for f in (sn.linalg.cholesky_ex, sn.linalg.inv_ex):
        result, info = f(x)
        assert result.shape == shape and result.dtype == x.dtype
        assert (
            info.shape == lead
            and info.dtype is sn.int32
            and info.tolist() == np.zeros(lead, np.int32).tolist()
        )
    solved, info = sn.linalg.solve_ex(x, x)
    assert solved.shape == shape and info.shape == lead
    factors, pivots = sn.linalg.lu_factor(x)
    assert factors.shape == shape and pivots.shape == shape[:-1]
    assert sn.linalg.lu_solve(factors, pivots, x).shape == shape
