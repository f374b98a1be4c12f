"""Matrix products: every pair of layouts, vectors, batches, and sizes at the borders of blocks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from engine import LAYOUTS, bits, check, lay_out, numpy_dtype

import sennit as sn

ALL = ("contiguous", *LAYOUTS)
SHAPES = [((17, 33), (33, 9)), ((2, 5, 7), (2, 7, 3)), ((3, 1, 4, 6), (2, 6, 5)), ((40, 70), (70,)),
          ((70,), (70, 40)), ((65, 129), (129, 67))]  # fmt: skip


def numbers(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype.startswith(("int", "uint")):
        return rng.integers(0, 100, shape).astype(dtype)
    return rng.uniform(-1, 1, shape).astype(numpy_dtype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int32", "uint8"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_every_pair_of_layouts(shapes, dtype):
    a, b = (numbers(s, dtype, i) for i, s in enumerate(shapes))
    want = bits(sn.matmul(sn.asarray(a), sn.asarray(b)))
    for left, right in product(ALL, ALL):
        got = sn.matmul(lay_out(a, left), lay_out(b, right))
        assert bits(got) == want, f"{left} with {right}"


@pytest.mark.parametrize("shapes", SHAPES[:3], ids=str)
def test_transposed_views_of_the_last_two(shapes):
    """x.mT of a stored transpose, batched too: how weights and attention scores come."""
    a, b = (numbers(s, "float32", i) for i, s in enumerate(shapes))
    want = bits(sn.matmul(sn.asarray(a), sn.asarray(b)))
    turned = [
        sn.matrix_transpose(sn.asarray(np.ascontiguousarray(np.swapaxes(v, -1, -2))))
        for v in (a, b)
    ]
    assert bits(sn.matmul(turned[0], turned[1])) == want
    assert bits(sn.matmul(turned[0], sn.asarray(b))) == want
    assert bits(sn.matmul(sn.asarray(a), turned[1])) == want


@pytest.mark.parametrize("k", [1, 2, 15, 16, 17, 255, 256, 1023, 1024, 1025, 2049, 5000])
def test_long_inner_dimensions(k):
    """Across the borders of cache blocks and of the segments of the sum."""
    a, b = numbers((3, k), "float32", 1), numbers((k, 5), "float32", 2)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    check(sn.matmul(sn.asarray(a), sn.asarray(b)), wide_a @ wide_b, "float32", 24,
          scale=np.abs(wide_a) @ np.abs(wide_b))  # fmt: skip


@pytest.mark.parametrize("m", [1, 2, 11, 12, 13, 25])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 31, 33, 65])
def test_edges_of_the_register_tile(m, n):
    """Every element is that of the product of its row and column alone."""
    a, b = numbers((m, 19), "float32", 3), numbers((19, n), "float32", 4)
    whole = sn.matmul(sn.asarray(a), sn.asarray(b)).numpy()
    for i, j in {(0, 0), (m - 1, n - 1), (m // 2, n // 3)}:
        alone = sn.matmul(sn.asarray(a[i]), sn.asarray(b[:, j])).numpy()
        assert whole[i, j] == alone


def test_values_that_are_not_finite_stay_in_their_row_and_column():
    a, b = np.ones((13, 40), np.float32), np.ones((40, 37), np.float32)
    a[3, 7], b[5, 20] = np.inf, np.nan
    got = sn.matmul(sn.asarray(a), sn.asarray(b)).numpy()
    want = np.full((13, 37), 40.0, np.float32)
    want[3, :], want[:, 20] = np.inf, np.nan
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("left", "right"), [((3, 4), (5, 6)), ((4,), (3,)), ((2, 3, 4), (3, 4, 5)), ((), (3,))], ids=str
)
def test_mistakes(left, right):
    with pytest.raises(sn.SennitError, match="matmul"):
        sn.matmul(sn.zeros(left), sn.zeros(right)).numpy()
