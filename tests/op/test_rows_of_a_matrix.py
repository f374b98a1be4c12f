"""Gradients of rows taken from a matrix: each row's sources in order, whatever runs it."""

from __future__ import annotations

import numpy as np
import pytest

import sennit as sn

# rows, columns, indices: nothing, one row, more columns than a piece, an output that is streamed.
SHAPES = [(0, 16, 0), (5, 16, 0), (1, 64, 9), (7, 17, 40), (300, 33, 1000), (40, 3, 100),
          (90, 1500, 77), (6000, 1030, 5000)]  # fmt: skip


def gradient(take, rows: int, columns: int, count: int, dtype: sn.DType, index_dtype: sn.DType):
    """The gradient of `take(weight, index)`, and what adding up in order gives."""
    rng = np.random.default_rng(rows + columns)
    index = rng.integers(0, max(rows, 1), count)
    g = sn.asarray(rng.standard_normal((count, columns)).astype(np.float32)).astype(dtype)
    weight = sn.zeros((rows, columns), dtype=dtype).requires_grad_()
    (take(weight, sn.asarray(index).astype(index_dtype)) * g).sum().backward()
    wide = sn.float64 if dtype == sn.float64 else sn.float32
    wanted = np.zeros((rows, columns), np.float64 if dtype == sn.float64 else np.float32)
    np.add.at(wanted, index, g.astype(wide).numpy())
    return weight.grad, sn.asarray(wanted).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [sn.float32, sn.float64, sn.float16, sn.bfloat16], ids=str)
def test_embedding(shape: tuple[int, int, int], dtype: sn.DType) -> None:
    before = sn.num_threads()
    try:
        for threads in (1, 2):
            sn.set_num_threads(threads)
            found, wanted = gradient(
                lambda w, i: sn.embedding(i, w),
                *shape,
                dtype,
                sn.int64 if threads == 1 else sn.int32,
            )
            assert bool((found == wanted).all()) and found.shape == wanted.shape
    finally:
        sn.set_num_threads(before)


def test_take_of_the_last_rows_and_along_other_axes() -> None:
    found, wanted = gradient(
        lambda w, i: sn.take(w, i - 300, axis=0), 300, 33, 1000, sn.float32, sn.int64
    )
    assert bool((found == wanted).all())
    found, wanted = gradient(
        lambda w, i: sn.take(w.T, i, axis=1).T, 300, 33, 1000, sn.float32, sn.int64
    )
    assert bool((found == wanted).all())


def test_a_negative_zero_meets_the_zero_that_a_sum_starts_from() -> None:
    weight = sn.zeros((3, 16)).requires_grad_()
    sn.embedding(sn.asarray([1]), weight).backward(sn.full((1, 16), -0.0))
    assert not np.signbit(weight.grad.numpy()).any()
