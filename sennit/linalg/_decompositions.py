"""Decompositions by LAPACK, and their gradients.

The gradient rules follow from differentiating the defining equations; a survey is M. Giles, "An
extended collection of matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008). For complex matrices, g stands for dL/dRe + i dL/dIm, as in PyTorch.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .. import _api as ops
from .. import _core
from .._core import GradError, InvalidValue, Tensor
from .._errors import error
from .._host import apply, require_inexact, require_matrices, values
from ._common import (
    adjoint,
    conj,
    diagonal_of,
    from_diagonal,
    identity,
    lower,
    real,
    tensor,
    upper,
)


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """What `eig` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """What `qr` returns."""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """What `svd` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class LUResult(NamedTuple):
    """What `lu` returns."""

    P: Tensor
    L: Tensor
    U: Tensor


class LUFactorResult(NamedTuple):
    """What `lu_factor` returns."""

    LU: Tensor
    pivots: Tensor


class CholeskyExResult(NamedTuple):
    """What `cholesky_ex` returns."""

    L: Tensor
    info: Tensor


def _matrices(op: str, given: Any, square: bool = False) -> Tensor:
    x = tensor(given)
    require_inexact(op, x)
    require_matrices(op, x, square)
    return x


def _half_diagonal(x: Tensor) -> Tensor:
    """The lower triangle with half of the diagonal, which is real: that of the factor is."""
    return lower(x, -1) + 0.5 * from_diagonal(real(diagonal_of(x))).astype(x.dtype)


# ---- Cholesky -----------------------------------------------------------------------------------


def _cholesky_gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
    from ._solvers import solve_triangular

    (factor,), (g,) = outputs, grads
    inner = _half_diagonal(adjoint(factor) @ lower(g))
    # L^-H inner L^-1, made Hermitian.
    left = solve_triangular(adjoint(factor), inner, upper=True)
    whole = adjoint(solve_triangular(adjoint(factor), adjoint(left), upper=True))
    return (0.5 * (whole + adjoint(whole)),)


def cholesky(x: Tensor, *, upper: bool = False) -> Tensor:
    """The Cholesky factor of Hermitian positive-definite matrices: ``x = L @ L.mH``.

    Parameters
    ----------
    x : Tensor
        (..., n, n); only the lower triangle is read.
    upper : bool
        Return ``L.mH``.

    Returns
    -------
    Tensor
        (..., n, n), lower triangular.

    Raises
    ------
    NumericError
        When a matrix is not positive-definite.

    Examples
    --------
    >>> sn.linalg.cholesky(sn.tensor([[4.0, 2.0], [2.0, 5.0]])).tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    import numpy as np

    a = _matrices("cholesky", x, square=True)
    (factor,) = apply("cholesky", (a,), lambda m: (np.linalg.cholesky(m),), _cholesky_gradient)
    return adjoint(factor) if upper else factor


def cholesky_ex(x: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyExResult:
    """`cholesky`, but with a code for each matrix instead of an error.

    Returns
    -------
    L, info : Tensor
        info (...,), int32: 0 where the factor is right, else the order of the leading minor that is
        not positive-definite; the factor there is NaN.

    Examples
    --------
    >>> sn.linalg.cholesky_ex(sn.tensor([[1.0, 2.0], [2.0, 1.0]])).info.item()
    2
    """
    import numpy as np

    a = _matrices("cholesky_ex", x, square=True)
    n = a.shape[-1]
    (flat,) = values("cholesky_ex", a)
    flat = flat.reshape(math.prod(a.shape[:-2]), n, n)
    info = np.zeros(len(flat), np.int32)
    for i, matrix in enumerate(flat):
        try:
            np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            for k in range(1, n + 1):
                try:
                    np.linalg.cholesky(matrix[:k, :k])
                except np.linalg.LinAlgError:
                    info[i] = k
                    break
    codes = _core.asarray(info.reshape(a.shape[:-2]), None, a.device, None)
    if check_errors or not info.any():
        return CholeskyExResult(cholesky(a, upper=upper), codes)
    bad = (codes != 0).reshape((*codes.shape, 1, 1))
    factor = cholesky(ops.where(bad, identity(n, a), a), upper=upper)
    return CholeskyExResult(ops.where(bad, float("nan"), factor), codes)


# ---- eigenvalues --------------------------------------------------------------------------------


def _differences(w: Tensor) -> Tensor:
    """w[j] - w[i] at (i, j), and 1 on the diagonal."""
    return w.unsqueeze(-2) - w.unsqueeze(-1) + identity(w.shape[-1], w)


def _eigh_gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
    w, v = outputs
    gw, gv = grads
    n = w.shape[-1]
    inner = None
    if gv is not None:
        off = (1.0 - identity(n, w)) / _differences(w)
        inner = (adjoint(v) @ gv) * off
    if gw is not None:
        straight = from_diagonal(gw)
        inner = straight if inner is None else inner + straight
    if inner is None:
        return (None,)
    g = v @ inner.astype(v.dtype) @ adjoint(v)
    return (0.5 * (g + adjoint(g)),)


def eigh(x: Tensor, UPLO: str = "L") -> EighResult:
    """Eigenvalues and eigenvectors of symmetric or Hermitian matrices.

    Parameters
    ----------
    x : Tensor
        (..., n, n).
    UPLO : str
        Which triangle is read: "L" or "U".

    Returns
    -------
    eigenvalues : Tensor
        (..., n), real, ascending.
    eigenvectors : Tensor
        (..., n, n), in columns. Their signs (phases) are LAPACK's; a gradient through them needs
        eigenvalues that differ, and a function that does not depend on the phases.

    Examples
    --------
    >>> w, v = sn.linalg.eigh(sn.tensor([[2.0, 0.0], [0.0, 1.0]]))
    >>> w.tolist()
    [1.0, 2.0]
    """
    import numpy as np

    a = _matrices("eigh", x, square=True)
    which: Any = UPLO.upper() if isinstance(UPLO, str) else UPLO
    if which not in ("L", "U"):
        raise error(InvalidValue, "eigh", f"UPLO is {UPLO!r}; it must be 'L' or 'U'")
    made = apply("eigh", (a,), lambda m: tuple(np.linalg.eigh(m, which)), _eigh_gradient)
    return EighResult(*made)


def eigvalsh(x: Tensor, UPLO: str = "L") -> Tensor:
    """Eigenvalues of symmetric or Hermitian matrices, ascending; see `eigh`.

    Examples
    --------
    >>> sn.linalg.eigvalsh(sn.tensor([[2.0, 0.0], [0.0, 1.0]])).tolist()
    [1.0, 2.0]
    """
    return eigh(x, UPLO).eigenvalues


def _eig_gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
    from ._solvers import solve

    (a,), (w, v), (gw, gv) = inputs, outputs, grads
    n = w.shape[-1]
    inner = None
    if gv is not None:
        # Eigenvectors have length 1: what would change that is taken out.
        vh_g = adjoint(v) @ gv
        lengths = from_diagonal(real(diagonal_of(vh_g)).astype(w.dtype))
        off = (1.0 - identity(n, w)) / conj(_differences(w))
        inner = (vh_g - adjoint(v) @ (v @ lengths)) * off
    if gw is not None:
        straight = from_diagonal(gw)
        inner = straight if inner is None else inner + straight
    if inner is None:
        return (None,)
    g = solve(adjoint(v), inner @ adjoint(v))
    return (g if a.dtype.is_complex else real(g),)


def eig(x: Tensor) -> EigResult:
    """Eigenvalues and eigenvectors of square matrices, complex.

    Returns
    -------
    eigenvalues : Tensor
        (..., n), complex, in LAPACK's order.
    eigenvectors : Tensor
        (..., n, n), complex, in columns of length 1.

    Examples
    --------
    >>> w, v = sn.linalg.eig(sn.tensor([[0.0, -1.0], [1.0, 0.0]]))
    >>> sorted(w.imag.tolist())
    [-1.0, 1.0]
    """
    import numpy as np

    a = _matrices("eig", x, square=True)
    kind = a.dtype.to_complex.name

    def compute(m: Any) -> Any:
        w, v = np.linalg.eig(m)
        return w.astype(kind, copy=False), v.astype(kind, copy=False)

    return EigResult(*apply("eig", (a,), compute, _eig_gradient))


def eigvals(x: Tensor) -> Tensor:
    """Eigenvalues of square matrices, complex; see `eig`.

    Examples
    --------
    >>> sn.linalg.eigvals(sn.tensor([[2.0]])).tolist()
    [(2+0j)]
    """
    import numpy as np

    a = _matrices("eigvals", x, square=True)
    if a.requires_grad:
        return eig(a).eigenvalues
    kind = a.dtype.to_complex.name
    return apply("eigvals", (a,), lambda m: (np.linalg.eigvals(m).astype(kind, copy=False),))[0]


# ---- QR -----------------------------------------------------------------------------------------


def _qr_square_gradient(q: Tensor, r: Tensor, gq: Tensor | None, gr: Tensor | None) -> Tensor:
    """Of a QR decomposition with a square R."""
    from ._solvers import solve_triangular

    m = None
    if gr is not None:
        m = r @ adjoint(gr)
    if gq is not None:
        part = adjoint(gq) @ q
        m = -part if m is None else m - part
    assert m is not None
    # The lower triangle, mirrored to the upper one.
    below = lower(m, -1)
    hermitian = below + adjoint(below) + from_diagonal(real(diagonal_of(m)).astype(m.dtype))
    right = q @ hermitian if gq is None else gq + q @ hermitian
    # right R^-H
    return adjoint(solve_triangular(r, adjoint(right), upper=True))


def _qr_gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
    (a,), (q, r), (gq, gr) = inputs, outputs, grads
    m, n = a.shape[-2:]
    if gq is None and gr is None:
        return (None,)
    if q.shape[-1] > n:
        raise error(
            GradError,
            "qr",
            f"mode 'complete' of a matrix of shape {a.shape} has no gradient: the last columns of "
            "Q are any orthonormal ones; use mode='reduced'",
        )
    if m >= n:
        return (_qr_square_gradient(q, r, gq, gr),)
    # A = [X, Y], R = [U, V] with U square and V = Q^H Y.
    right = a[..., :, m:]
    gu = gv = None
    if gr is not None:
        gu, gv = gr[..., :, :m], gr[..., :, m:]
        through = right @ adjoint(gv)
        gq = through if gq is None else gq + through
    gx = _qr_square_gradient(q, r[..., :, :m], gq, gu)
    gy = ops.zeros_like(right) if gv is None else q @ gv
    return (ops.concat([gx, gy], -1),)


def qr(x: Tensor, mode: str = "reduced") -> QRResult:
    """QR decomposition: ``x = Q @ R`` with orthonormal columns and a triangle.

    Parameters
    ----------
    x : Tensor
        (..., m, n).
    mode : str
        "reduced": Q (..., m, k), R (..., k, n) with k = min(m, n); "complete": Q (..., m, m),
        R (..., m, n); "r": R of the reduced mode, and an empty Q.

    Examples
    --------
    >>> q, r = sn.linalg.qr(sn.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> abs((q @ r)[1, 0].item() - 4.0) < 1e-5
    True
    """
    import numpy as np

    a = _matrices("qr", x)
    if mode not in ("reduced", "complete", "r"):
        raise error(
            InvalidValue, "qr", f"mode is {mode!r}; it must be 'reduced', 'complete' or 'r'"
        )
    how: Any = "complete" if mode == "complete" else "reduced"
    q, r = apply("qr", (a,), lambda m: tuple(np.linalg.qr(m, how)), _qr_gradient)
    return QRResult(ops.zeros((0,), dtype=a.dtype) if mode == "r" else q, r)


# ---- singular values ----------------------------------------------------------------------------


def _svd_gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
    u, s, vh = outputs
    gu, gs, gvh = grads
    m, n, k = u.shape[-2], vh.shape[-1], s.shape[-1]
    if gu is None and gvh is None:
        return (None if gs is None else (u * gs.astype(u.dtype).unsqueeze(-2)) @ vh,)
    row, column = s.unsqueeze(-2), s.unsqueeze(-1)
    squares = row * row - column * column + identity(k, s)
    off = (1.0 - identity(k, s)) / squares
    inner = None
    skew_u = None
    if gu is not None:
        skew_u = adjoint(u) @ gu
        skew_u = skew_u - adjoint(skew_u)
        inner = (skew_u * off) * row
    if gvh is not None:
        skew_v = gvh @ adjoint(vh)
        skew_v = adjoint(skew_v) - skew_v
        part = column * (skew_v * off)
        inner = part if inner is None else inner + part
    assert inner is not None
    if gs is not None:
        inner = inner + from_diagonal(gs).astype(u.dtype)
    if u.dtype.is_complex and skew_u is not None and gvh is not None:
        inner = inner + from_diagonal(diagonal_of(skew_u) / (2.0 * s))
    g = u @ inner
    if gu is not None and m > k:
        g = g + (gu - u @ (adjoint(u) @ gu)) / row
    g = g @ vh
    if gvh is not None and n > k:
        g = g + (u / row) @ (gvh - (gvh @ adjoint(vh)) @ vh)
    return (g,)


def svd(x: Tensor, full_matrices: bool = True) -> SVDResult:
    """Singular value decomposition: ``x = U @ diag(S) @ Vh``.

    Parameters
    ----------
    x : Tensor
        (..., m, n).
    full_matrices : bool
        U (..., m, m) and Vh (..., n, n), else (..., m, k) and (..., k, n) with k = min(m, n).

    Returns
    -------
    U, S, Vh : Tensor
        S (..., k) is real and descending. A gradient through U or Vh needs singular values that
        differ and are not zero, and (for the columns beyond k) ``full_matrices=False``.

    Examples
    --------
    >>> u, s, vh = sn.linalg.svd(sn.tensor([[3.0, 0.0], [0.0, 4.0]]))
    >>> s.tolist()
    [4.0, 3.0]
    """
    import numpy as np

    a = _matrices("svd", x)
    full = full_matrices and a.shape[-2] != a.shape[-1]

    def gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
        if not full:
            return _svd_gradient(inputs, outputs, grads)
        if grads[0] is not None or grads[2] is not None:
            raise error(
                GradError,
                "svd",
                f"with full_matrices=True the vectors of a matrix of shape {a.shape} have no "
                "gradient: the last ones are any orthonormal ones; use full_matrices=False",
            )
        k = outputs[1].shape[-1]
        reduced = (outputs[0][..., :, :k], outputs[1], outputs[2][..., :k, :])
        return _svd_gradient(inputs, reduced, grads)

    made = apply("svd", (a,), lambda m: tuple(np.linalg.svd(m, full_matrices=full)), gradient)
    return SVDResult(*made)


def svdvals(x: Tensor) -> Tensor:
    """Singular values, descending; see `svd`.

    Examples
    --------
    >>> sn.linalg.svdvals(sn.tensor([[3.0, 0.0], [0.0, 4.0]])).tolist()
    [4.0, 3.0]
    """
    import numpy as np

    a = _matrices("svdvals", x)
    if a.requires_grad:
        return svd(a, full_matrices=False).S
    return apply("svdvals", (a,), lambda m: (np.linalg.svd(m, compute_uv=False),))[0]


# ---- LU -----------------------------------------------------------------------------------------


def _factor(matrix: Any) -> tuple[Any, Any, Any]:
    """LU with partial pivoting of a stack of matrices, by columns: factors, pivots (from 1) and the
    row that each row of the factors comes from. NumPy has no LU of its own."""
    import numpy as np

    m, n = matrix.shape[-2:]
    work = matrix.reshape(math.prod(matrix.shape[:-2]), m, n).copy()
    count = min(m, n)
    stack = np.arange(len(work))
    pivots = np.empty((len(work), count), np.int32)
    order = np.tile(np.arange(m), (len(work), 1))
    for j in range(count):
        at = j + np.abs(work[:, j:, j]).argmax(1)
        pivots[:, j] = at + 1
        for table in (work, order):
            held = table[stack, at].copy()
            table[stack, at] = table[:, j]
            table[:, j] = held
        top = work[:, j, j]
        safe = np.where(top == 0, 1, top)
        work[:, j + 1 :, j] = np.where(
            (top == 0)[:, None], work[:, j + 1 :, j], work[:, j + 1 :, j] / safe[:, None]
        )
        work[:, j + 1 :, j + 1 :] -= work[:, j + 1 :, j, None] * work[:, j, None, j + 1 :]
    lead = matrix.shape[:-2]
    return work.reshape(matrix.shape), pivots.reshape(*lead, count), order.reshape(*lead, m)


def _unpack(factors: Tensor) -> tuple[Tensor, Tensor]:
    m, n = factors.shape[-2:]
    k = min(m, n)
    left = lower(factors[..., :, :k], -1) + ops.eye(
        m, k, dtype=factors.dtype, device=factors.device
    )
    return left, upper(factors[..., :k, :])


def _lu_gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
    from ._solvers import solve_triangular

    factors, _, order = outputs
    g = grads[0]
    if g is None:
        return (None,)
    left, right = _unpack(factors)
    m, n = factors.shape[-2:]
    k = min(m, n)
    gl, gu = lower(g[..., :, :k], -1), upper(g[..., :k, :])
    below = beside = None
    top, square = left[..., :k, :], right[..., :, :k]
    if m > k:  # rows below: L2 = B2 U^-1
        below = adjoint(solve_triangular(square, adjoint(gl[..., k:, :]), upper=True))
        gu = gu - upper(adjoint(left[..., k:, :]) @ below)
        gl = gl[..., :k, :]
    if n > k:  # columns beside: U2 = L^-1 B2
        beside = solve_triangular(adjoint(top), gu[..., :, k:], upper=True, unitriangular=True)
        gl = gl - lower(beside @ adjoint(right[..., :, k:]), -1)
        gu = gu[..., :, :k]
    inner = lower(adjoint(top) @ gl, -1) + upper(gu @ adjoint(square))
    core = solve_triangular(adjoint(top), inner, upper=True, unitriangular=True)
    core = adjoint(solve_triangular(square, adjoint(core), upper=True))
    if below is not None:
        core = ops.concat([core, below], -2)
    if beside is not None:
        core = ops.concat([core, beside], -1)
    # Row i of the factors was row order[i] of the matrix.
    back = ops.argsort(order, -1)
    rows = ops.broadcast_to(back.unsqueeze(-1), core.shape)
    return (ops.take_along_axis(core, rows, -2),)


def _lu(op: str, x: Any) -> tuple[Tensor, Tensor, Tensor]:
    a = _matrices(op, x)
    made = apply(op, (a,), _factor, _lu_gradient)
    return made[0], made[1], made[2]


def lu_factor(x: Tensor, *, pivot: bool = True) -> LUFactorResult:
    """LU decomposition with partial pivoting, packed as LAPACK packs it.

    Returns
    -------
    LU : Tensor
        (..., m, n): U in the upper triangle, L (whose diagonal is 1) below.
    pivots : Tensor
        (..., min(m, n)), int32, from 1: row i was exchanged with row pivots[i] - 1.

    Examples
    --------
    >>> sn.linalg.lu_factor(sn.tensor([[1.0, 2.0], [4.0, 4.0]])).LU.tolist()
    [[4.0, 4.0], [0.25, 1.0]]
    """
    if not pivot:
        raise error(
            InvalidValue, "lu_factor", "pivot is False; only decompositions with pivoting are there"
        )
    factors, pivots, _ = _lu("lu_factor", x)
    return LUFactorResult(factors, pivots)


def lu(x: Tensor, *, pivot: bool = True) -> LUResult:
    """LU decomposition with partial pivoting: ``x = P @ L @ U``.

    Returns
    -------
    P, L, U : Tensor
        A permutation (..., m, m), a lower triangle with ones on the diagonal (..., m, k) and an
        upper triangle (..., k, n), k = min(m, n).

    Examples
    --------
    >>> p, l, u = sn.linalg.lu(sn.tensor([[1.0, 2.0], [4.0, 4.0]]))
    >>> (p @ l @ u).tolist()
    [[1.0, 2.0], [4.0, 4.0]]
    """
    if not pivot:
        raise error(
            InvalidValue, "lu", "pivot is False; only decompositions with pivoting are there"
        )
    factors, _, order = _lu("lu", x)
    left, right = _unpack(factors)
    rows = ops.arange(order.shape[-1], device=order.device)
    permutation = (order.unsqueeze(-2) == rows.unsqueeze(-1)).astype(factors.dtype)
    return LUResult(permutation, left, right)
