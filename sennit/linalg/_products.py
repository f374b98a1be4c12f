"""Products, norms and functions of matrices: ordinary operations, and some decompositions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import _api as ops
from .._core import DTypeError, InvalidValue, ShapeError, Tensor
from .._errors import error
from .._host import require_inexact, require_matrices, values
from ._common import axes_or_dim, identity, tensor
from ._decompositions import svdvals

matmul = ops.matmul
matrix_transpose = ops.matrix_transpose
tensordot = ops.tensordot


def vecdot(x1: Tensor, x2: Tensor, axis: int = -1, *, dim: int | None = None) -> Tensor:
    """Dot products of vectors along an axis; the first ones are conjugated, as in `sn.vecdot`.

    Examples
    --------
    >>> sn.linalg.vecdot(sn.tensor([1.0, 2.0]), sn.tensor([3.0, 4.0])).item()
    11.0
    """
    return ops.vecdot(x1, x2, axes_or_dim(axis, dim))


def outer(x1: Tensor, x2: Tensor) -> Tensor:
    """Every product of an element of one vector with an element of another, as `sn.outer`.

    Examples
    --------
    >>> sn.linalg.outer(sn.tensor([1.0, 2.0]), sn.tensor([3.0])).tolist()
    [[3.0], [6.0]]
    """
    return ops.outer(x1, x2)


def diagonal(x: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Diagonals of matrices, along a new last axis; a view.

    Parameters
    ----------
    x : Tensor
        (..., m, n).
    offset : int
        Above (positive) or below the main diagonal.
    dim1, dim2 : int
        Which axes are those of the matrices.

    Examples
    --------
    >>> sn.linalg.diagonal(sn.eye(2)).tolist()
    [1.0, 1.0]
    """
    require_matrices("diagonal", x)
    return ops.diagonal(x, offset, dim1, dim2)


def trace(x: Tensor, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Sums of diagonals.

    Parameters
    ----------
    x : Tensor
        (..., m, n).
    offset : int
        Which diagonal; see `diagonal`.
    dtype : dtype, optional
        As for `sn.sum`.

    Examples
    --------
    >>> sn.linalg.trace(sn.eye(3)).item()
    3.0
    """
    return ops.sum(diagonal(x, offset=offset), -1, dtype)


def cross(x1: Tensor, x2: Tensor, axis: int = -1, *, dim: int | None = None) -> Tensor:
    """Cross products of vectors of three elements along an axis; the other axes broadcast.

    Raises
    ------
    ShapeError
        When the axis has another size.

    Examples
    --------
    >>> sn.linalg.cross(sn.tensor([1.0, 0.0, 0.0]), sn.tensor([0.0, 1.0, 0.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    a, b = tensor(x1), tensor(x2)
    at = axes_or_dim(axis, dim)
    for x in (a, b):
        if x.ndim == 0 or not -x.ndim <= at < x.ndim or x.shape[at] != 3:
            raise error(
                ShapeError,
                "cross",
                f"operands have shapes {a.shape} and {b.shape}; both need size 3 along axis {at}",
            )
    if at >= 0:
        if a.ndim != b.ndim:
            at -= max(a.ndim, b.ndim)
            if not all(-x.ndim <= at and x.shape[at] == 3 for x in (a, b)):
                raise error(
                    ShapeError, "cross", f"shapes {a.shape} and {b.shape} do not broadcast beside "
                    f"axis {axis}; use a negative axis"
                )  # fmt: skip
        else:
            at -= a.ndim

    def turned(x: Tensor, by: int) -> Tensor:
        return ops.roll(x, -by, at)

    return turned(a, 1) * turned(b, 2) - turned(a, 2) * turned(b, 1)


# ---- norms --------------------------------------------------------------------------------------


def _number(op: str, order: Any) -> float:
    try:
        return float(order)
    except (TypeError, ValueError):
        raise error(
            InvalidValue, op, f"ord is {order!r}; for vectors it must be a number or infinity"
        ) from None


def vector_norm(
    x: Tensor,
    ord: float = 2,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
) -> Tensor:
    """Norms of vectors: ``sum(abs(x)**ord)**(1/ord)`` over one, several or all axes.

    Parameters
    ----------
    x : Tensor
    ord : float
        inf and -inf are the largest and smallest magnitude, 0 counts what is not zero.
    axis : int, tuple of int or None
        None takes all elements as one vector.
    keepdims : bool
    dtype : dtype, optional
        Convert to it first.

    Returns
    -------
    Tensor
        Real.

    Examples
    --------
    >>> sn.linalg.vector_norm(sn.tensor([3.0, 4.0])).item()
    5.0
    """
    x = tensor(x)
    if dtype is not None:
        x = x.astype(dtype)
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        raise error(
            DTypeError,
            "vector_norm",
            f"x has dtype {x.dtype.name}; a floating-point or complex one is required; convert it "
            "with x.astype(sn.float32)",
        )
    return ops.vector_norm(
        x, axes_or_dim(axis, dim), keepdims or keepdim, _number("vector_norm", ord)
    )


def matrix_norm(
    x: Tensor,
    ord: Any = "fro",
    axis: Sequence[int] = (-2, -1),
    keepdims: bool = False,
    *,
    dtype: Any = None,
    dim: Sequence[int] | None = None,
    keepdim: bool = False,
) -> Tensor:
    """Norms of matrices.

    Parameters
    ----------
    x : Tensor
        (..., m, n).
    ord : number or str
        "fro": root of the sum of squares; "nuc": sum of singular values; inf, -inf: largest,
        smallest sum of a row; 1, -1: of a column; 2, -2: largest, smallest singular value.
    axis : two ints
        Which axes are those of the matrices.
    keepdims : bool
    dtype : dtype, optional
        Convert to it first.

    Examples
    --------
    >>> sn.linalg.matrix_norm(sn.tensor([[3.0, 0.0], [0.0, 4.0]])).item()
    5.0
    """
    x = tensor(x)
    if dtype is not None:
        x = x.astype(dtype)
    require_inexact("matrix_norm", x)
    require_matrices("matrix_norm", x)
    first, second = (a % x.ndim for a in axes_or_dim(axis, dim))
    if first == second:
        raise error(InvalidValue, "matrix_norm", f"the axes are both {first}; they must differ")
    keep = keepdims or keepdim
    if ord == "fro":
        return ops.vector_norm(x, (first, second), keep)
    if ord not in ("nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise error(
            InvalidValue,
            "matrix_norm",
            f"ord is {ord!r}; it must be 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2",
        )
    m = ops.moveaxis(x, (first, second), (-2, -1))
    if ord == "nuc":
        out = svdvals(m).sum(-1)
    elif ord in (2, -2):
        s = svdvals(m)
        if s.shape[-1] == 0 and ord == 2:
            out = s.sum(-1)
        else:
            out = s.max(-1) if ord == 2 else s.min(-1)
    else:
        sums = abs(m).sum(-1 if ord in (math.inf, -math.inf) else -2)
        if ord > 0 and sums.shape[-1] == 0:
            out = sums.sum(-1)
        else:
            out = sums.max(-1) if ord > 0 else sums.min(-1)
    if keep:
        for at in sorted((first, second)):
            out = out.unsqueeze(at)
    return out


def norm(
    x: Tensor,
    ord: Any = None,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
) -> Tensor:
    """`vector_norm` or `matrix_norm`, as ``torch.linalg.norm`` chooses.

    Parameters
    ----------
    x : Tensor
    ord : number or str, optional
        None is the 2-norm of all elements (along `axis`, when it is given).
    axis : int or two ints, optional
        One axis for vectors, two for matrices; without, `ord` decides by the rank of x.
    keepdims : bool
    dtype : dtype, optional

    Examples
    --------
    >>> sn.linalg.norm(sn.tensor([[3.0, 0.0], [0.0, 4.0]]), ord=2).item()
    4.0
    """
    x = tensor(x)
    axes = axes_or_dim(axis, dim)
    keep = keepdims or keepdim
    if ord is None:
        return vector_norm(x, 2, axes, keep, dtype=dtype)
    if axes is None and x.ndim > 2:
        raise error(
            InvalidValue,
            "norm",
            f"ord is {ord!r} for shape {x.shape} without axes; with an order x must have one or "
            "two dimensions; give axis",
        )
    count = x.ndim if axes is None else 1 if isinstance(axes, int) else len(axes)
    if count == 2:
        return matrix_norm(x, ord, (-2, -1) if axes is None else axes, keep, dtype=dtype)
    return vector_norm(x, ord, axes, keep, dtype=dtype)


def cond(x: Tensor, p: Any = None) -> Tensor:
    """Condition numbers: the norm of a matrix times that of its inverse.

    Parameters
    ----------
    x : Tensor
        (..., n, n); (..., m, n) for p None, 2 and -2.
    p : number or str, optional
        The norm, as for `matrix_norm`; None is 2.

    Examples
    --------
    >>> sn.linalg.cond(sn.tensor([[2.0, 0.0], [0.0, 1.0]])).item()
    2.0
    """
    from ._solvers import inv_ex

    x = tensor(x)
    require_inexact("cond", x)
    order = 2 if p is None else p
    require_matrices("cond", x, square=order not in (2, -2))
    if order in (2, -2):
        s = svdvals(x)
        largest, smallest = s[..., 0], s[..., -1]
        return largest / smallest if order == 2 else smallest / largest
    inverse, info = inv_ex(x)
    size = matrix_norm(x, order) * matrix_norm(inverse, order)
    return ops.where(info != 0, math.inf, size)


# ---- powers and chains --------------------------------------------------------------------------


def matrix_power(x: Tensor, n: int) -> Tensor:
    """Powers of square matrices, by squaring; of the inverse for a negative n.

    Examples
    --------
    >>> sn.linalg.matrix_power(sn.tensor([[1.0, 1.0], [0.0, 1.0]]), 3).tolist()
    [[1.0, 3.0], [0.0, 1.0]]
    """
    from ._solvers import inv

    x = tensor(x)
    require_matrices("matrix_power", x, square=True)
    if n < 0:
        return matrix_power(inv(x), -n)
    if n == 0:
        return ops.broadcast_to(identity(x.shape[-1], x), x.shape).clone()
    result = None
    while n:
        if n % 2:
            result = x if result is None else result @ x
        n //= 2
        if n:
            x = x @ x
    assert result is not None
    return result


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of several matrices, in the order of the fewest multiplications.

    Parameters
    ----------
    tensors : sequence of Tensor
        Two or more; the first and the last may be vectors.

    Examples
    --------
    >>> sn.linalg.multi_dot([sn.ones((2, 3)), sn.ones((3, 4)), sn.ones(4)]).tolist()
    [12.0, 12.0]
    """
    items = [tensor(x) for x in tensors]
    if len(items) < 2:
        raise error(
            InvalidValue, "multi_dot", f"{len(items)} tensors are given; two or more are required"
        )
    row, column = items[0].ndim == 1, items[-1].ndim == 1
    if row:
        items[0] = items[0].unsqueeze(0)
    if column:
        items[-1] = items[-1].unsqueeze(1)
    for x in items:
        if x.ndim != 2:
            raise error(
                ShapeError,
                "multi_dot",
                f"a tensor has shape {x.shape}; matrices are required (vectors at the ends)",
            )
    sizes = [items[0].shape[0], *(x.shape[1] for x in items)]
    count = len(items)
    # cost[i][j]: fewest multiplications for the product of items i to j, which cut[i][j] splits.
    cost = [[0.0] * count for _ in range(count)]
    cut = [[0] * count for _ in range(count)]
    for span in range(1, count):
        for i in range(count - span):
            j = i + span
            cost[i][j], cut[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Tensor:
        return items[i] if i == j else product(i, cut[i][j]) @ product(cut[i][j] + 1, j)

    out = product(0, count - 1)
    if column:
        out = out.squeeze(1)
    return out.squeeze(0) if row else out


# Coefficients of the diagonal Pade approximant of degree 13 to exp (Higham 2005, table 2.3), and
# the norm up to which it is accurate in double precision.
_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
    129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
    40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_PADE_NORM = 5.371920351148152


def matrix_exp(x: Tensor) -> Tensor:
    """Exponentials of square matrices, by scaling, a Pade approximant and squaring.

    N. Higham, "The scaling and squaring method for the matrix exponential revisited" (2005).

    Examples
    --------
    >>> sn.linalg.matrix_exp(sn.zeros((2, 2))).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    from ._solvers import solve

    x = tensor(x)
    require_inexact("matrix_exp", x)
    require_matrices("matrix_exp", x, square=True)
    if x.size == 0:
        return x * 1
    size = float(values("matrix_exp", matrix_norm(x.detach(), 1).max())[0])
    if not math.isfinite(size):
        return x * math.nan
    doublings = max(0, math.ceil(math.log2(size / _PADE_NORM))) if size > 0 else 0
    a = x * 2.0**-doublings
    eye = identity(x.shape[-1], x)
    b = [c / _PADE[0] for c in _PADE]
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    high = a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2)
    u = a @ (high + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * eye)
    high = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2)
    v = high + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * eye
    out = solve(v - u, v + u)
    for _ in range(doublings):
        out = out @ out
    return out


def householder_product(x: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of a product of Householder reflections ``I - tau v v^H``.

    Parameters
    ----------
    x : Tensor
        (..., m, n), m >= n: below the diagonal of column i lies v_i, whose element i is 1.
    tau : Tensor
        (..., k), k <= n.

    Returns
    -------
    Tensor
        (..., m, n).

    Examples
    --------
    >>> sn.linalg.householder_product(sn.zeros((2, 1)), sn.tensor([2.0])).tolist()
    [[-1.0], [0.0]]
    """
    x, tau = tensor(x), tensor(tau)
    require_inexact("householder_product", x, tau)
    require_matrices("householder_product", x)
    m, n = x.shape[-2:]
    k = tau.shape[-1] if tau.ndim else -1
    if m < n or not 0 <= k <= n or tau.shape[:-1] != x.shape[:-2]:
        raise error(
            ShapeError,
            "householder_product",
            f"x has shape {x.shape} and tau {tau.shape}; (..., m, n) with m >= n and (..., k) with "
            "k <= n are required",
        )
    vectors = ops.tril(x, -1) + ops.eye(m, n, dtype=x.dtype, device=x.device)
    out = ops.broadcast_to(ops.eye(m, n, dtype=x.dtype, device=x.device), x.shape)
    for i in range(k - 1, -1, -1):
        v = vectors[..., :, i : i + 1]
        out = out - tau[..., i : i + 1].unsqueeze(-1) * (v @ (v.mH @ out))
    return out


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """Vandermonde matrices: powers 0 to N - 1 of each element along a new last axis.

    Examples
    --------
    >>> sn.linalg.vander(sn.tensor([1.0, 2.0])).tolist()
    [[1.0, 1.0], [1.0, 2.0]]
    """
    x = tensor(x)
    count = x.shape[-1] if N is None else int(N)
    if count < 0:
        raise error(InvalidValue, "vander", f"N is {count}; it must be 0 or more")
    columns = [ops.ones_like(x)]
    for _ in range(count - 1):
        columns.append(columns[-1] * x)
    if count == 0:
        return ops.zeros((*x.shape, 0), dtype=x.dtype)
    return ops.stack(columns, -1)
