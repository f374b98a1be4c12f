"""Solvers, inverses and determinants by LAPACK, and their gradients."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .. import _api as ops
from .. import _core
from .._core import InvalidValue, ShapeError, Tensor
from .._errors import error
from .._host import all_true, apply, require_inexact, require_matrices, values
from ._common import (
    adjoint,
    axes_or_dim,
    conj,
    from_diagonal,
    identity,
    lower,
    real,
    tensor,
)
from ._common import upper as upper_triangle
from ._decompositions import eigh, svd, svdvals


class SlogdetResult(NamedTuple):
    """What `slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


class InvExResult(NamedTuple):
    """What `inv_ex` returns."""

    inverse: Tensor
    info: Tensor


class SolveExResult(NamedTuple):
    """What `solve_ex` returns."""

    result: Tensor
    info: Tensor


class LstsqResult(NamedTuple):
    """What `lstsq` returns."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def _square(op: str, given: Any) -> Tensor:
    x = tensor(given)
    require_inexact(op, x)
    require_matrices(op, x, square=True)
    return x


def _common_dtype(*tensors: Tensor) -> list[Tensor]:
    kind = tensors[0].dtype
    for x in tensors[1:]:
        kind = _core.promote_types(kind, x.dtype)
    return [x.astype(kind) for x in tensors]


# ---- inverse and solve --------------------------------------------------------------------------


def _inv_gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
    back = adjoint(outputs[0])
    return (-(back @ grads[0] @ back),)


def inv(x: Tensor) -> Tensor:
    """Inverses of square matrices.

    Parameters
    ----------
    x : Tensor
        (..., n, n).

    Raises
    ------
    NumericError
        When a matrix is singular.

    Examples
    --------
    >>> sn.linalg.inv(sn.tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    import numpy as np

    a = _square("inv", x)
    return apply("inv", (a,), lambda m: (np.linalg.inv(m),), _inv_gradient)[0]


def _singular(a: Tensor) -> Any:
    """For each matrix: 0, or the number (from 1) of a pivot that is exactly zero."""
    import numpy as np

    from ._decompositions import _factor

    (matrix,) = values("inv_ex", a)
    factors, _, _ = _factor(matrix)
    zero = np.diagonal(factors, axis1=-2, axis2=-1) == 0
    first = zero.argmax(-1) + 1 if zero.shape[-1] else np.zeros(zero.shape[:-1], np.int64)
    return np.where(zero.any(-1), first, 0).astype(np.int32)


def _guarded(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The matrices with singular ones replaced by the identity, which those are, and the codes."""
    codes = _core.asarray(_singular(a), None, a.device, None)
    bad = (codes != 0).reshape((*codes.shape, 1, 1))
    return ops.where(bad, identity(a.shape[-1], a), a), bad, codes


def inv_ex(x: Tensor, *, check_errors: bool = False) -> InvExResult:
    """`inv`, but with a code for each matrix instead of an error.

    Returns
    -------
    inverse, info : Tensor
        info (...,), int32: 0, or the number of the pivot that is zero; the inverse there is NaN.

    Examples
    --------
    >>> sn.linalg.inv_ex(sn.zeros((2, 2))).info.item()
    1
    """
    a = _square("inv_ex", x)
    safe, bad, codes = _guarded(a)
    if check_errors:
        return InvExResult(inv(a), codes)
    return InvExResult(ops.where(bad, float("nan"), inv(safe)), codes)


def _solve_gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
    (a, _), (x,), (g,) = inputs, outputs, grads
    gb = solve(adjoint(a), g)
    return -(gb @ adjoint(x)), gb


def _solve(op: str, a: Tensor, b: Tensor) -> Tensor:
    import numpy as np

    return apply(op, (a, b), lambda m, v: (np.linalg.solve(m, v),), _solve_gradient)[0]


def solve(x1: Tensor, x2: Tensor, *, left: bool = True) -> Tensor:
    """Solves ``x1 @ x = x2`` (or ``x @ x1 = x2``) for square matrices.

    Parameters
    ----------
    x1 : Tensor
        (..., n, n).
    x2 : Tensor
        (n,) for one right-hand side, else (..., n, k). Batches broadcast.
    left : bool
        False solves ``x @ x1 = x2``.

    Raises
    ------
    NumericError
        When a matrix is singular.

    Examples
    --------
    >>> sn.linalg.solve(sn.tensor([[2.0, 0.0], [0.0, 4.0]]), sn.tensor([2.0, 4.0])).tolist()
    [1.0, 1.0]
    """
    a, b = _square("solve", x1), tensor(x2)
    require_inexact("solve", b)
    a, b = _common_dtype(a, b)
    if not left:
        if b.ndim == 1:
            return solve(a.mT, b)
        return solve(a.mT, b.mT).mT
    vector = b.ndim == 1
    if vector:
        b = b.unsqueeze(-1)
    _require_rows("solve", a, b)
    out = _solve("solve", a, b)
    return out.squeeze(-1) if vector else out


def _require_rows(op: str, a: Tensor, b: Tensor) -> None:
    if b.ndim < 2 or b.shape[-2] != a.shape[-1]:
        raise error(
            ShapeError,
            op,
            f"the matrix has shape {a.shape} and the right-hand side {b.shape}; it needs "
            f"{a.shape[-1]} rows",
        )


def solve_ex(
    x1: Tensor, x2: Tensor, *, left: bool = True, check_errors: bool = False
) -> SolveExResult:
    """`solve`, but with a code for each matrix instead of an error, as `inv_ex` gives it.

    Examples
    --------
    >>> sn.linalg.solve_ex(sn.eye(2), sn.ones(2)).info.item()
    0
    """
    a = _square("solve_ex", x1)
    safe, bad, codes = _guarded(a)
    if check_errors:
        return SolveExResult(solve(a, x2, left=left), codes)
    out = solve(safe, x2, left=left)
    return SolveExResult(ops.where(bad.squeeze(-1) if x2.ndim == 1 else bad, float("nan"), out),
                         codes)  # fmt: skip


def solve_triangular(
    x1: Tensor, x2: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """Solves ``x1 @ x = x2`` (or ``x @ x1 = x2``) for triangular matrices.

    Parameters
    ----------
    x1 : Tensor
        (..., n, n); the other triangle is not read.
    x2 : Tensor
        (..., n, k), or (..., k, n) with ``left=False``.
    upper : bool
        Which triangle it is.
    left : bool
        False solves ``x @ x1 = x2``.
    unitriangular : bool
        Take the diagonal to be ones, whatever it holds.

    Examples
    --------
    >>> a = sn.tensor([[2.0, 9.0], [1.0, 1.0]])
    >>> sn.linalg.solve_triangular(a, sn.tensor([[2.0], [2.0]]), upper=False).tolist()
    [[1.0], [1.0]]
    """
    a, b = _square("solve_triangular", x1), tensor(x2)
    require_inexact("solve_triangular", b)
    a, b = _common_dtype(a, b)
    if unitriangular:
        part = upper_triangle(a, 1) if upper else lower(a, -1)
        a = part + identity(a.shape[-1], a)
    else:
        a = upper_triangle(a) if upper else lower(a)
    if not left:
        return solve(a.mT, b.mT).mT
    _require_rows("solve_triangular", a, b)
    return _solve("solve_triangular", a, b)


def lu_solve(factors: Tensor, pivots: Tensor, x2: Tensor, *, left: bool = True,
             adjoint: bool = False) -> Tensor:  # fmt: skip
    """Solves ``a @ x = x2`` with what `lu_factor` made of ``a``.

    Parameters
    ----------
    factors, pivots : Tensor
        (..., n, n) and (..., n), from `lu_factor`.
    x2 : Tensor
        (..., n, k).
    left : bool
        False solves ``x @ a = x2``.
    adjoint : bool
        Solve with ``a.mH`` in place of ``a``.

    Examples
    --------
    >>> packed = sn.linalg.lu_factor(sn.tensor([[0.0, 2.0], [4.0, 0.0]]))
    >>> sn.linalg.lu_solve(*packed, sn.tensor([[2.0], [4.0]])).tolist()
    [[1.0], [1.0]]
    """
    import numpy as np

    f = _square("lu_solve", factors)
    if not left:  # x a = b is a^H x^H = b^H
        return lu_solve(f, pivots, x2.mH, adjoint=not adjoint).mH
    n = f.shape[-1]
    exchanges = values("lu_solve", pivots)[0] - 1
    order = np.tile(np.arange(n), (math.prod(exchanges.shape[:-1]), 1))
    for row, swaps in zip(order, exchanges.reshape(order.shape), strict=True):
        for i, j in enumerate(swaps):
            row[i], row[j] = row[j], row[i]
    rows = _core.asarray(order.reshape(exchanges.shape), None, f.device, None)
    batch = ops.broadcast_to
    lead = np.broadcast_shapes(f.shape[:-2], x2.shape[:-2])

    def permuted(b: Tensor, at: Tensor) -> Tensor:
        whole = (*lead, *b.shape[-2:])
        return ops.take_along_axis(batch(b, whole), batch(at.unsqueeze(-1), whole), -2)

    if adjoint:
        y = solve_triangular(f.mH, x2, upper=False)
        y = solve_triangular(f.mH, y, upper=True, unitriangular=True)
        return permuted(y, ops.argsort(rows, -1))
    y = solve_triangular(f, permuted(x2, rows), upper=False, unitriangular=True)
    return solve_triangular(f, y, upper=True)


# ---- determinants -------------------------------------------------------------------------------


def _det_gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
    (a,), (d,), (g,) = inputs, outputs, grads
    if all_true(abs(d) > 0):
        return ((g * conj(d)).unsqueeze(-1).unsqueeze(-1) * adjoint(inv(a)),)
    # A singular matrix has no inverse, but cofactors: from the products of all but one of the
    # singular values.
    u, s, vh = svd(a, full_matrices=False)
    n = s.shape[-1]
    others = ops.where(identity(n, s) > 0, 1.0, s.unsqueeze(-2)).prod(-1)
    phase = det(u @ vh)
    cofactors = (u * others.astype(u.dtype).unsqueeze(-2)) @ vh
    return ((g * conj(phase)).unsqueeze(-1).unsqueeze(-1) * cofactors,)


def det(x: Tensor) -> Tensor:
    """Determinants of square matrices.

    Examples
    --------
    >>> round(sn.linalg.det(sn.tensor([[1.0, 2.0], [3.0, 4.0]])).item(), 5)
    -2.0
    """
    import numpy as np

    a = _square("det", x)
    return apply("det", (a,), lambda m: (np.asarray(np.linalg.det(m)),), _det_gradient)[0]


def _slogdet_gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
    (a,), (sign, _), (g_sign, g_log) = inputs, outputs, grads
    weight = None if g_log is None else g_log.astype(a.dtype)
    if g_sign is not None and a.dtype.is_complex:
        turn = ops.imag(conj(g_sign) * sign)
        part = ops.complex(ops.zeros_like(turn), -turn)
        weight = part if weight is None else weight + part
    if weight is None:
        return (None,)
    return (weight.unsqueeze(-1).unsqueeze(-1) * adjoint(inv(a)),)


def slogdet(x: Tensor) -> SlogdetResult:
    """Sign (phase) and logarithm of the absolute value of determinants.

    Returns
    -------
    sign, logabsdet : Tensor
        ``det = sign * exp(logabsdet)``; 0 and -inf for a singular matrix.

    Examples
    --------
    >>> sn.linalg.slogdet(sn.tensor([[1.0, 0.0], [0.0, -1.0]])).sign.item()
    -1.0
    """
    import numpy as np

    a = _square("slogdet", x)

    def compute(m: Any) -> Any:
        sign, log = np.linalg.slogdet(m)
        return np.asarray(sign), np.asarray(log)

    return SlogdetResult(*apply("slogdet", (a,), compute, _slogdet_gradient))


# ---- least squares and rank ---------------------------------------------------------------------


def _tolerance(op: str, a: Tensor, rtol: Any, atol: Any, largest: Tensor, floor: float) -> Tensor:
    """Below which singular values count as zero, per matrix."""
    eps = 2.0**-23 if a.dtype.to_real == _core.float32 else 2.0**-52
    if rtol is None:
        rtol = floor * eps if atol is None else 0.0
    relative = rtol if isinstance(rtol, Tensor) else float(rtol)
    limit = largest * relative
    if atol is not None:
        limit = ops.maximum(limit, atol if isinstance(atol, Tensor) else float(atol))
    return limit


def _pinv_gradient(inputs: Any, outputs: Any, grads: Any) -> Any:
    (a,), (p,), (g,) = inputs, outputs, grads
    ph, gh = adjoint(p), adjoint(g)
    m, n = a.shape[-2:]
    out = -(ph @ g @ ph)
    out = out + (identity(m, a) - a @ p) @ (gh @ p @ ph)
    return (out + (ph @ p @ gh) @ (identity(n, a) - p @ a),)


def pinv(
    x: Tensor, rtol: Any = None, *, atol: Any = None, hermitian: bool = False, rcond: Any = None
) -> Tensor:
    """Moore-Penrose pseudo-inverses.

    Parameters
    ----------
    x : Tensor
        (..., m, n).
    rtol : float or Tensor, optional
        Singular values not above ``max(atol, rtol * largest)`` count as zero. By default
        ``max(m, n)`` times the machine epsilon (0 when `atol` is given). `rcond` is another name.
    atol : float or Tensor, optional
    hermitian : bool
        The matrices are Hermitian: only the lower triangle is read.

    Returns
    -------
    Tensor
        (..., n, m).

    Examples
    --------
    >>> sn.linalg.pinv(sn.tensor([[2.0, 0.0], [0.0, 0.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.0]]
    """
    import numpy as np

    a = tensor(x)
    require_inexact("pinv", a)
    require_matrices("pinv", a, square=hermitian)
    relative = rcond if rtol is None else rtol
    if a.size == 0:
        return ops.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), dtype=a.dtype)
    floor = float(max(a.shape[-2:]))
    if hermitian:  # so that the other triangle does not matter
        below = lower(a, -1)
        a = below + adjoint(below) + from_diagonal(real(ops.diagonal(a, 0, -2, -1)).astype(a.dtype))

    def compute(m: Any) -> Any:
        u, s, vh = np.linalg.svd(m, full_matrices=False)
        largest = _core.asarray(s[..., :1])
        limit = _tolerance("pinv", a, _column(relative), _column(atol), largest, floor).numpy()
        kept = s > limit
        inverse = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(s.dtype)
        vectors = vh.conj().swapaxes(-1, -2) * inverse[..., None, :]
        return (vectors @ u.conj().swapaxes(-1, -2),)

    return apply("pinv", (a,), compute, _pinv_gradient)[0]


def _column(tolerance: Any) -> Any:
    """A tolerance per matrix, beside the singular values."""
    if isinstance(tolerance, Tensor) and tolerance.ndim > 0:
        return tolerance.detach().unsqueeze(-1)
    return tolerance


def matrix_rank(
    x: Tensor, rtol: Any = None, *, atol: Any = None, hermitian: bool = False, tol: Any = None
) -> Tensor:
    """Numerical ranks: how many singular values are above ``max(atol, rtol * largest)``.

    Parameters
    ----------
    x : Tensor
        (..., m, n).
    rtol : float or Tensor, optional
        By default ``max(m, n)`` times the machine epsilon (0 when `atol` is given).
    atol : float or Tensor, optional
        `tol` is another name.
    hermitian : bool
        The matrices are Hermitian.

    Returns
    -------
    Tensor
        (...,), int64.

    Examples
    --------
    >>> sn.linalg.matrix_rank(sn.tensor([[1.0, 1.0], [1.0, 1.0]])).item()
    1
    """
    a = tensor(x)
    require_inexact("matrix_rank", a)
    require_matrices("matrix_rank", a, square=hermitian)
    a = a.detach()
    if 0 in a.shape[-2:]:
        return ops.zeros(a.shape[:-2], dtype=_core.int64)
    s = abs(eigh(a).eigenvalues) if hermitian else svdvals(a)
    largest = s.max(-1, keepdims=True)
    floor = float(max(a.shape[-2:]))
    absolute = tol if atol is None else atol
    limit = _tolerance("matrix_rank", a, _column(rtol), _column(absolute), largest, floor)
    return (s > limit).sum(-1)


def lstsq(
    x1: Tensor, x2: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> LstsqResult:
    """Least-squares solutions of ``x1 @ x = x2``, of least norm where there are several.

    Parameters
    ----------
    x1 : Tensor
        (..., m, n).
    x2 : Tensor
        (..., m, k), or (m,).
    rcond : float, optional
        Singular values not above ``rcond * largest`` count as zero; by default max(m, n) times the
        machine epsilon.
    driver : str, optional
        Accepted and not used: the singular value decomposition does it.

    Returns
    -------
    solution : Tensor
        (..., n, k), or (n,). It has a gradient where the rank does not change.
    residuals : Tensor
        (..., k): sums of squared differences; empty unless m > n and all ranks are n.
    rank : Tensor
        (...,), int64.
    singular_values : Tensor
        (..., min(m, n)).

    Examples
    --------
    >>> a = sn.tensor([[1.0], [1.0]])
    >>> round(sn.linalg.lstsq(a, sn.tensor([1.0, 3.0])).solution.item(), 5)
    2.0
    """
    a, b = tensor(x1), tensor(x2)
    require_inexact("lstsq", a, b)
    require_matrices("lstsq", a)
    a, b = _common_dtype(a, b)
    vector = b.ndim == 1
    if vector:
        b = b.unsqueeze(-1)
    if b.ndim < 2 or b.shape[-2] != a.shape[-2]:
        raise error(
            ShapeError,
            "lstsq",
            f"the matrix has shape {a.shape} and the right-hand side {x2.shape}; it needs "
            f"{a.shape[-2]} rows",
        )
    m, n = a.shape[-2:]
    solution = pinv(a, rcond) @ b
    s = svdvals(a.detach())
    rank = matrix_rank(a, rcond)
    if m > n and a.size and all_true(rank == n):
        miss = abs(a @ solution - b)
        residuals = (miss * miss).sum(-2)
    else:
        residuals = ops.zeros((0,), dtype=a.dtype.to_real)
    if vector:
        solution = solution.squeeze(-1)
    return LstsqResult(solution, residuals, rank, s)


# ---- tensors as matrices ------------------------------------------------------------------------


def _product(sizes: Any) -> int:
    total = 1
    for n in sizes:
        total *= n
    return total


def tensorinv(x: Tensor, ind: int = 2) -> Tensor:
    """The inverse of a tensor as a map: of ``tensordot`` over its last axes.

    Parameters
    ----------
    x : Tensor
        The product of the first `ind` sizes is that of the others.
    ind : int
        How many axes are those of the result of the map.

    Examples
    --------
    >>> sn.linalg.tensorinv(sn.eye(4).reshape((2, 2, 2, 2))).shape
    (2, 2, 2, 2)
    """
    x = tensor(x)
    if ind <= 0 or ind > x.ndim:
        raise error(
            InvalidValue,
            "tensorinv",
            f"ind is {ind} for shape {x.shape}; it must be in [1, {x.ndim}]",
        )
    rows, columns = x.shape[:ind], x.shape[ind:]
    if _product(rows) != _product(columns):
        raise error(
            ShapeError,
            "tensorinv",
            f"the sizes {rows} and {columns} of shape {x.shape} have different products; they must "
            "be equal",
        )
    n = _product(rows)
    return inv(x.reshape((n, n))).reshape((*columns, *rows))


def tensorsolve(x1: Tensor, x2: Tensor, axes: Any = None, *, dims: Any = None) -> Tensor:
    """Solves ``tensordot(x1, x, x.ndim) = x2``.

    Parameters
    ----------
    x1 : Tensor
        Of the shape of x2 followed by that of x.
    x2 : Tensor
    axes : sequence of int, optional
        Axes of x1 to move to its end first. PyTorch's `dims` is another name.

    Examples
    --------
    >>> a = sn.eye(6).reshape((2, 3, 2, 3))
    >>> sn.linalg.tensorsolve(a, sn.ones((2, 3))).shape
    (2, 3)
    """
    a, b = tensor(x1), tensor(x2)
    given = axes_or_dim(axes, dims)
    if given is not None:
        moved = [k % a.ndim for k in given]
        a = ops.moveaxis(a, moved, list(range(a.ndim - len(moved), a.ndim)))
    shape = a.shape[b.ndim :]
    n = b.size
    if a.size != n * n or _product(shape) != n:
        raise error(
            ShapeError,
            "tensorsolve",
            f"shapes {a.shape} and {b.shape} do not fit: the first must be that of the second and "
            f"then sizes with the product {n}",
        )
    return solve(a.reshape((n, n)), b.reshape((n,))).reshape(shape)
