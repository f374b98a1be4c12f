"""Linear algebra, under the names of the Array API standard and of ``torch.linalg``.

Everything works on stacks of matrices: the last two axes are those of the matrix, the others are
batches. Products and norms are ordinary operations. Decompositions and solvers run in NumPy's
LAPACK at the call: their bits are LAPACK's, outside of the promise on equal bits. All of them have
gradients of every order (for complex numbers by PyTorch's convention), where the decomposition has:
eigenvectors and singular vectors need distinct values.

They take float32, float64, complex64 and complex128.
"""

from __future__ import annotations

from ._decompositions import (
    cholesky,
    cholesky_ex,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    lu,
    lu_factor,
    qr,
    svd,
    svdvals,
)
from ._products import (
    cond,
    cross,
    diagonal,
    householder_product,
    matmul,
    matrix_exp,
    matrix_norm,
    matrix_power,
    matrix_transpose,
    multi_dot,
    norm,
    outer,
    tensordot,
    trace,
    vander,
    vecdot,
    vector_norm,
)
from ._solvers import (
    det,
    inv,
    inv_ex,
    lstsq,
    lu_solve,
    matrix_rank,
    pinv,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
)

__all__ = [
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vander",
    "vecdot",
    "vector_norm",
]
