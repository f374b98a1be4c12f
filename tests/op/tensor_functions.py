"""Tensor functions that are made of other ops, with what NumPy makes of the same inputs.

Each line: Sennit's call, NumPy's, and the shapes of the inputs (of floats; "int" and "bool" name
others). test_tensor_functions.py runs them in every dtype that fits, on strided inputs too.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

import sennit as sn

trapezoid = getattr(np, "trapezoid", None) or np.trapz  # the name before NumPy 2
LOG_PI = math.log(math.pi)
F, I, B = "float", "int", "bool"


def mode_of(x: Any, axis: int = -1) -> Any:
    def one(line: Any) -> Any:
        values, counts = np.unique(line, return_counts=True)
        best = values[np.argmax(counts)]
        return np.array([best, np.nonzero(line == best)[0][-1]], dtype=float)

    both = np.apply_along_axis(one, axis, x)
    return np.take(both, 0, axis), np.take(both, 1, axis)


def put(x: Any, i: Any, v: Any) -> Any:
    out = x.copy()
    out.reshape(-1)[i] = v
    return out


def reduced(x: Any, i: Any, v: Any, f: Any) -> Any:
    out = x.copy()
    for k, at in enumerate(i):
        out[at] = f(out[at], v[k])
    return out


def lower_median(x: Any, axis: Any = None) -> Any:
    x = x.reshape(-1) if axis is None else x
    return np.take(np.sort(x, -1), (x.shape[-1] - 1) // 2, -1)


def windows(x: Any, size: int, step: int) -> Any:
    return np.stack([x[..., i : i + size] for i in range(0, x.shape[-1] - size + 1, step)], -2)


def embedded(x: Any) -> Any:
    out = np.zeros((*x.shape, x.shape[-1]), x.dtype)
    for i in range(x.shape[-1]):
        out[..., i, i] = x[..., i]
    return out


def scattered(x: Any, v: Any, key: Any) -> Any:
    out = x.copy()
    out[key] = v
    return out


def distances(x: Any, y: Any) -> Any:
    return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))


def limited(x: Any) -> Any:
    norm = np.sqrt((x**2).sum(1, keepdims=True))
    return np.where(norm > 1, x / (norm + 1e-7), x)


def segments(x: Any) -> Any:
    return np.stack([x[:2].sum(0), x[2:].sum(0)])


# name: [(call, reference, *inputs)]; an input is (kind, shape) or an array.
IDS = np.array([0, 2, 2, 1])
MASK = np.array([True, False, True, True])
COMPOSITES: dict[str, list[tuple[Any, ...]]] = {
    "rsub": [(sn.rsub, lambda x, y: y - x, (F, (3, 4)), (F, (4,)))],
    "clamp_min": [(lambda x: sn.clamp_min(x, 0.5), lambda x: np.maximum(x, 0.5), (F, (7,)))],
    "clamp_max": [(lambda x: sn.clamp_max(x, 0.5), lambda x: np.minimum(x, 0.5), (F, (7,)))],
    "positive": [(sn.positive, lambda x: x, (F, (3, 2)))],
    "frac": [(lambda x: sn.frac(x * 4), lambda x: x * 4 - np.trunc(x * 4), (F, (9,)))],
    "deg2rad": [(sn.deg2rad, np.deg2rad, (F, (5,)))],
    "rad2deg": [(sn.rad2deg, np.rad2deg, (F, (5,)))],
    "nan_to_num": [
        (lambda x: sn.nan_to_num(sn.log(x), neginf=-9.0),
         lambda x: np.nan_to_num(np.log(x), neginf=-9.0), np.array([-1.0, 0.0, 1.0, np.nan])),
    ],
    "isclose": [(lambda x: sn.isclose(x, x + 1e-9), lambda x: np.ones(x.shape, bool), (F, (4,)))],
    "allclose": [(lambda x: sn.asarray(sn.allclose(x, x)), lambda x: np.array(True), (F, (4,)))],
    "isposinf": [(sn.isposinf, np.isposinf, np.array([1.0, np.inf, -np.inf]))],
    "isneginf": [(sn.isneginf, np.isneginf, np.array([1.0, np.inf, -np.inf]))],
    "isreal": [(sn.isreal, np.isreal, (F, (3,)))],
    "gcd": [(sn.gcd, np.gcd, (I, (40,)), (I, (40,))), (sn.gcd, np.gcd, (I, (0,)), (I, (1,)))],
    "lcm": [(sn.lcm, np.lcm, (I, (40,)), (I, (40,)))],
    "frexp": [(sn.frexp, np.frexp, (F, (33,))),
              (sn.frexp, np.frexp, np.array([0.0, 0.5, 1.0, -8.0, np.inf]))],
    "ldexp": [(sn.ldexp, np.ldexp, (F, (9,)), np.arange(-4, 5))],
    "logaddexp2": [(sn.logaddexp2, np.logaddexp2, (F, (9,)), (F, (9,)))],
    "heaviside": [(sn.heaviside, np.heaviside, np.array([-1.0, 0, 2]), np.array([0.5]))],
    "float_power": [(lambda x: sn.float_power(x, 2), lambda x: np.float_power(x, 2), (I, (4,)))],
    "xlogy": [(sn.xlogy, lambda x, y: np.where(x == 0, 0, x * np.log(y)),
               np.array([0.0, 2.0, 1.5]), np.array([0.0, 0.5, 3.0]))],
    "special.xlog1py": [(sn.special.xlog1py, lambda x, y: np.where(x == 0, 0, x * np.log1p(y)),
                         np.array([0.0, 2.0, 1.5]), np.array([-1.0, 0.5, 3.0]))],
    "logit": [(lambda x: sn.logit(sn.sigmoid(x)), lambda x: x, (F, (7,)))],
    "sinc": [(sn.sinc, np.sinc, (F, (9,))), (sn.sinc, np.sinc, np.zeros(3))],
    "einsum": [
        (lambda a, b: sn.einsum("ij,jk->ki", a, b), lambda a, b: (a @ b).T,
         (F, (3, 4)), (F, (4, 5))),
        (lambda a, b, c: sn.einsum("...a,ab,cb->...c", a, b, c),
         lambda a, b, c: a @ b @ c.T, (F, (2, 3, 4)), (F, (4, 5)), (F, (6, 5))),
        (lambda a: sn.einsum("iij->j", a), lambda a: np.einsum("iij->j", a), (F, (3, 3, 4))),
        (lambda a, b: sn.einsum("i,j", a, b), np.outer, (F, (0,)), (F, (4,))),
    ],
    "bmm": [(sn.bmm, np.matmul, (F, (2, 3, 4)), (F, (2, 4, 5)))],
    "mm": [(sn.mm, np.matmul, (F, (3, 4)), (F, (4, 0)))],
    "mv": [(sn.mv, np.matmul, (F, (3, 4)), (F, (4,)))],
    "inner": [(sn.inner, np.inner, (F, (2, 3, 4)), (F, (5, 4)))],
    "vdot": [(sn.vdot, np.vdot, (F, (6,)), (F, (6,)))],
    "kron": [(sn.kron, np.kron, (F, (2, 3)), (F, (4,)))],
    "trace": [(sn.trace, np.trace, (F, (3, 5)))],
    "addbmm": [(sn.addbmm, lambda x, a, b: x + (a @ b).sum(0), (F, (3, 5)), (F, (2, 3, 4)),
                (F, (2, 4, 5)))],
    "baddbmm": [(lambda x, a, b: sn.baddbmm(x, a, b, beta=2, alpha=3),
                 lambda x, a, b: 2 * x + 3 * (a @ b), (F, (5,)), (F, (2, 3, 4)), (F, (2, 4, 5)))],
    "addmv": [(sn.addmv, lambda x, a, b: x + a @ b, (F, (3,)), (F, (3, 4)), (F, (4,)))],
    "addr": [(sn.addr, lambda x, a, b: x + np.outer(a, b), (F, (3, 4)), (F, (3,)), (F, (4,)))],
    "cdist": [(sn.cdist, distances, (F, (3, 4)), (F, (5, 4))),
              (sn.cdist, distances, (F, (0, 4)), (F, (5, 4)))],
    "pdist": [(sn.pdist, lambda x: distances(x, x)[np.triu_indices(4, 1)], (F, (4, 3)))],
    "dist": [(sn.dist, lambda x, y: np.sqrt(((x - y) ** 2).sum()), (F, (4,)), (F, (4,)))],
    "norm": [(sn.norm, lambda x: np.sqrt((x**2).sum()), (F, (3, 4))),
             (lambda x: sn.norm(x, 3, 1), lambda x: (np.abs(x) ** 3).sum(1) ** (1 / 3),
              (F, (3, 4)))],
    "renorm": [(lambda x: sn.renorm(x, 2, 0, 1.0),
                limited,
                (F, (4, 5)))],
    "atleast_1d": [(sn.atleast_1d, np.atleast_1d, (F, ()))],
    "atleast_2d": [(sn.atleast_2d, np.atleast_2d, (F, (3,)))],
    "atleast_3d": [(sn.atleast_3d, np.atleast_3d, (F, (3, 2)))],
    "tensor_split": [
        (lambda x: sn.tensor_split(x, 3), lambda x: np.array_split(x, 3), (F, (7, 2))),
        (lambda x: sn.tensor_split(x, (1, 4), 1), lambda x: np.split(x, (1, 4), 1), (F, (2, 6))),
    ],
    "hsplit": [(lambda x: sn.hsplit(x, 2), lambda x: np.hsplit(x, 2), (F, (3, 4)))],
    "vsplit": [(lambda x: sn.vsplit(x, (1,)), lambda x: np.vsplit(x, (1,)), (F, (3, 4)))],
    "dsplit": [(lambda x: sn.dsplit(x, 2), lambda x: np.dsplit(x, 2), (F, (1, 3, 4)))],
    "split_with_sizes": [(lambda x: sn.split_with_sizes(x, (1, 2)),
                          lambda x: np.split(x, (1,)), (F, (3, 2)))],
    "column_stack": [(lambda x, y: sn.column_stack([x, y]), lambda x, y: np.column_stack([x, y]),
                      (F, (3,)), (F, (3, 2)))],
    "block_diag": [(sn.block_diag,
                    lambda x, y: np.block([[x, np.zeros((2, 1))], [np.zeros((1, 3)), y]]),
                    (F, (2, 3)), (F, (1, 1)))],
    "cartesian_prod": [(sn.cartesian_prod,
                        lambda x, y: np.array(list(itertools.product(x, y))),
                        (F, (2,)), (F, (3,)))],
    "combinations": [(lambda x: sn.combinations(x, 3),
                      lambda x: np.array(list(itertools.combinations(x, 3))), (F, (5,)))],
    "tril_indices": [(lambda: sn.tril_indices(3, 4, 1),
                      lambda: np.array(np.tril_indices(3, 1, 4)))],
    "triu_indices": [(lambda: sn.triu_indices(3, 4, 1),
                      lambda: np.array(np.triu_indices(3, 1, 4)))],
    "rot90": [(sn.rot90, np.rot90, (F, (2, 3))),
              (lambda x: sn.rot90(x, -1), lambda x: np.rot90(x, -1), (F, (2, 3, 2)))],
    "fliplr": [(sn.fliplr, np.fliplr, (F, (2, 3)))],
    "flipud": [(sn.flipud, np.flipud, (F, (3,)))],
    "vander": [(sn.vander, np.vander, (F, (4,)))],
    "diag_embed": [(sn.diag_embed, embedded, (F, (2, 3))), (sn.diag_embed, embedded, (F, (0, 2)))],
    "diagflat": [(lambda x: sn.diagflat(x, 1), lambda x: np.diagflat(x, 1), (F, (2, 2)))],
    "unfold": [(lambda x: sn.unfold(x, -1, 3, 2), lambda x: windows(x, 3, 2), (F, (2, 7)))],
    "as_strided": [(lambda x: sn.as_strided(x, (2, 3), (1, 2), 1),
                    lambda x: x.reshape(-1)[1 + np.array([[0, 2, 4], [1, 3, 5]])], (F, (2, 5)))],
    "as_strided_scatter": [(lambda x, v: sn.as_strided_scatter(x, v, (3,), (2,)),
                            lambda x, v: scattered(x, v, slice(0, 6, 2)), (F, (7,)), (F, (3,)))],
    "select_scatter": [(lambda x, v: sn.select_scatter(x, v, 1, -1),
                        lambda x, v: scattered(x, v, (slice(None), -1)), (F, (3, 4)), (F, (3,)))],
    "slice_scatter": [(lambda x, v: sn.slice_scatter(x, v, 0, 1, 6, 2),
                       lambda x, v: scattered(x, v, slice(1, 6, 2)), (F, (7, 2)), (F, (3, 2)))],
    "diagonal_scatter": [(lambda x, v: sn.diagonal_scatter(x, v, -1),
                          lambda x, v: scattered(x, v, (np.arange(1, 4), np.arange(3))),
                          (F, (4, 5)), (F, (3,)))],
    "select": [(lambda x: sn.select(x, 1, -2), lambda x: x[:, -2], (F, (3, 4)))],
    "t": [(sn.t, np.transpose, (F, (3, 4)))],
    "reshape_as": [(sn.reshape_as, lambda x, y: x.reshape(y.shape), (F, (3, 4)), (F, (2, 6)))],
    "new_zeros": [(lambda x: x.new_zeros((2,)), lambda x: np.zeros(2, x.dtype), (F, (1,)))],
    "new_ones": [(lambda x: x.new_ones((2,)), lambda x: np.ones(2, x.dtype), (F, (1,)))],
    "new_full": [(lambda x: x.new_full((2,), 3), lambda x: np.full(2, 3, x.dtype), (F, (1,)))],
    "fill": [(lambda x: sn.fill(x, 3), lambda x: np.full_like(x, 3), (F, (2, 0)))],
    "scalar_tensor": [(lambda: sn.scalar_tensor(3), lambda: np.float32(3))],
    "logspace": [(lambda: sn.logspace(0, 3, 4), lambda: np.logspace(0, 3, 4).astype("f4"))],
    "index_reduce": [
        (lambda x, v: sn.index_reduce(x, 0, sn.asarray(IDS), v, "amax"),
         lambda x, v: reduced(x, IDS, v, np.maximum), (F, (3, 2)), (F, (4, 2))),
    ],
    "index_fill": [(lambda x: sn.index_fill(x, 1, sn.tensor([0, -1]), 2),
                    lambda x: scattered(x, 2, (slice(None), [0, -1])), (F, (2, 4)))],
    "masked_scatter": [(lambda x, v: sn.masked_scatter(x, sn.asarray(MASK), v),
                        lambda x, v: scattered(x, v[:3], MASK), (F, (4,)), (F, (5,)))],
    "put": [(lambda x, v: sn.put(x, sn.tensor([0, 3]), v), lambda x, v: put(x, [0, 3], v),
             (F, (2, 3)), (F, (2,)))],
    "segment_reduce": [(lambda x: sn.segment_reduce(x, "sum", lengths=sn.tensor([2, 3])), segments,
                        (F, (5, 2)))],
    "argwhere": [(sn.argwhere, np.argwhere, (B, (3, 4))), (sn.argwhere, np.argwhere, (B, (0, 2)))],
    "nonzero_static": [(lambda x: sn.nonzero_static(x, size=2), lambda x: np.argwhere(x)[:2],
                        np.array([1, 0, 2, 3]))],
    "unravel_index": [(lambda x: sn.unravel_index(x, (3, 4)), lambda x: np.unravel_index(x, (3, 4)),
                       np.array([0, 5, 11]))],
    "kthvalue": [(lambda x: sn.kthvalue(x, 2)[0], lambda x: np.sort(x, -1)[..., 1], (F, (3, 5)))],
    "median": [(sn.median, lower_median, (F, (3, 4))),
               (lambda x: sn.median(x, 1)[0], lambda x: lower_median(x, 1), (F, (3, 4)))],
    "nanmedian": [(sn.nanmedian, lambda x: np.float64(2), np.array([np.nan, 1.0, 2.0, 3.0]))],
    "mode": [(sn.mode, mode_of, np.array([[1.0, 2, 2, 1], [3, 0, 3, 3]]))],
    "quantile": [(lambda x: sn.quantile(x, 0.3, axis=1), lambda x: np.quantile(x, 0.3, axis=1),
                  (F, (3, 7)))],
    "nanquantile": [(lambda x: sn.nanquantile(x, 0.5), np.nanmedian,
                     np.array([1.0, np.nan, 4.0, 2.0]))],
    "msort": [(sn.msort, lambda x: np.sort(x, 0), (F, (4, 2)))],
    "aminmax": [(lambda x: sn.aminmax(x, axis=0), lambda x: (x.min(0), x.max(0)), (F, (4, 2)))],
    "bincount": [(sn.bincount, np.bincount, np.array([0, 3, 3, 1])),
                 (sn.bincount, np.bincount, np.array([0, 3, 3, 1]), (F, (4,)))],
    "histc": [(lambda x: sn.histc(x, 4, -2, 2), lambda x: np.histogram(x, 4, (-2, 2))[0],
               (F, (50,)))],
    "histogram": [(lambda x: sn.histogram(x, 4, (-2.0, 2.0)), lambda x: np.histogram(x, 4, (-2, 2)),
                   (F, (50,)))],
    "bucketize": [(lambda x: sn.bucketize(x, sn.tensor([-1.0, 0.0, 1.0], dtype=x.dtype)),
                   lambda x: np.digitize(x, [-1, 0, 1], right=True), (F, (20,)))],
    "unique": [
        (lambda x: sn.unique(x, return_inverse=True, return_counts=True),
         lambda x: np.unique(x, return_inverse=True, return_counts=True), np.array([3, 1, 3, 2])),
        (lambda x: sn.unique(x, axis=0), lambda x: np.unique(x, axis=0),
         np.array([[1, 2], [0, 3], [1, 2]])),
    ],
    "unique_consecutive": [(sn.unique_consecutive, lambda x: np.array([1, 2, 1]),
                            np.array([1, 1, 2, 1]))],
    "isin": [(sn.isin, np.isin, (I, (20,)), np.array([1, 3, 5]))],
    "diff": [(lambda x: sn.diff(x, 2, 0), lambda x: np.diff(x, 2, 0), (F, (5, 2))),
             (lambda x: sn.diff(x, prepend=0), lambda x: np.diff(x, prepend=0), (I, (5,)))],
    "trapezoid": [(sn.trapezoid, trapezoid, (F, (3, 5))),
                  (sn.trapezoid, trapezoid, (F, (3, 5)), np.array([0.0, 1, 3, 4, 8]))],
    "cumulative_trapezoid": [(sn.cumulative_trapezoid,
                              lambda x: np.cumsum((x[..., 1:] + x[..., :-1]) / 2, -1),
                              (F, (3, 5)))],
    "gradient": [(sn.gradient, np.gradient, (F, (4, 5))),
                 (lambda x: sn.gradient(x, edge_order=2), lambda x: [np.gradient(x, edge_order=2)],
                  (F, (6,)))],
    "cov": [(sn.cov, np.cov, (F, (3, 8)))],
    "corrcoef": [(sn.corrcoef, np.corrcoef, (F, (3, 8)))],
    "std_mean": [(sn.std_mean, lambda x: (x.std(), x.mean()), (F, (3, 8)))],
    "searchsorted": [(lambda s, v: sn.searchsorted(sn.sort(s), v),
                      lambda s, v: np.stack([np.searchsorted(np.sort(a), b) for a, b in zip(s, v)]),
                      (F, (2, 6)), (F, (2, 3)))],
    "polygamma": [(lambda x: sn.polygamma(1, x), lambda x: np.full(x.shape, math.pi**2 / 6),
                   np.ones(3))],
    "special.polygamma": [(lambda x: sn.special.polygamma(1, x),
                           lambda x: np.full(x.shape, math.pi**2 / 6), np.ones(3))],
    "mvlgamma": [(lambda x: sn.mvlgamma(x, 2),
                  lambda x: np.full(x.shape, math.lgamma(3) + math.lgamma(2.5) + LOG_PI / 2),
                  np.full(2, 3.0))],
    "special.softmax": [(lambda x: sn.special.softmax(x, 1),
                         lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True), (F, (3, 4)))],
    "special.log_softmax": [(lambda x: sn.special.log_softmax(x, 1),
                             lambda x: x - np.log(np.exp(x).sum(1, keepdims=True)), (F, (3, 4)))],
    "special.logsumexp": [(lambda x: sn.special.logsumexp(x, 1),
                           lambda x: np.log(np.exp(x).sum(1)), (F, (3, 4)))],
}  # fmt: skip
