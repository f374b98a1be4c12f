"""Sorts, sums, gathers and scatters in the sizes and layouts that have loops of their own."""

from __future__ import annotations

import numpy as np
import pytest

import sennit as sn

SORTED = ["float32", "float64", "float16", "bfloat16", "int8", "uint16", "int32", "int64", "uint64"]


def numbers(rng: np.random.Generator, shape, dtype: str) -> np.ndarray:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype) if dtype == "bfloat16" else dtype)
    if dtype in ("float32", "float64", "float16", "bfloat16"):
        x = rng.integers(-20, 20, shape).astype(np.float64) / 4  # with ties
        x[rng.random(shape) < 0.05] = np.nan
        x[rng.random(shape) < 0.05] = -0.0
        x[rng.random(shape) < 0.05] = np.inf
        return x.astype(kind)
    info = np.iinfo(kind)
    low = max(info.min, -50)
    x = rng.integers(low, 50, shape).astype(kind)
    x[rng.random(shape) < 0.05] = info.min
    x[rng.random(shape) < 0.05] = info.max
    return x


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


# Rows that the network sorts, whole groups of sixteen and not, and the longest that it takes.
@pytest.mark.parametrize("dtype", SORTED)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((33, 1), 1), ((40, 2), 1), ((17, 31), 1), ((9, 64), 1), ((8, 512), 1), ((16, 1024), 1),
     ((8, 1025), 1), ((70, 21), 0), ((3, 50, 7), 1)],
)  # fmt: skip
@pytest.mark.parametrize("descending", [False, True])
def test_sorts_of_rows(dtype, shape, axis, descending) -> None:
    x = numbers(np.random.default_rng(hash((shape, axis)) % 1000), shape, dtype)
    t = sn.tensor(x)
    got = sn.argsort(t, axis, descending=descending).numpy()
    # Stable, NaN above all: a float of the keys, from the back for descending.
    key = x.astype(np.float64) if x.dtype.itemsize < 8 else x
    if descending:
        flipped = np.flip(key, axis)
        order = np.flip(np.argsort(flipped, axis, kind="stable"), axis)
        want = x.shape[axis] - 1 - order
    else:
        want = np.argsort(key, axis, kind="stable")
    np.testing.assert_array_equal(got, want)
    values = sn.sort(t, axis, descending=descending)
    rows = np.take_along_axis(x, want, axis)
    mine = values.numpy().copy()
    nan = np.isnan(rows.astype(np.float64))
    np.testing.assert_array_equal(np.isnan(mine.astype(np.float64)), nan)
    assert same_bits(np.where(nan, 0, mine), np.where(nan, 0, rows))
    # A row alone is a row among others.
    moved = np.ascontiguousarray(np.moveaxis(x, axis, -1)).reshape(-1, x.shape[axis])
    alone = sn.sort(sn.tensor(moved[0]), descending=descending).numpy()
    all_rows = np.moveaxis(mine, axis, -1).reshape(moved.shape)
    assert same_bits(alone, np.ascontiguousarray(all_rows[0]))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_sums_of_many_integers_are_exact(dtype, axis) -> None:
    rng = np.random.default_rng(1)
    if dtype == "bool":
        x = rng.random((9, 70, 130)) < 0.7
    else:
        info = np.iinfo(dtype)
        x = rng.integers(info.min, info.max, (9, 70, 130), endpoint=True).astype(dtype)
        x[:, :, ::3] = info.max
    for view in (lambda a: a, lambda a: a.transpose(2, 0, 1), lambda a: a[:, ::-1, ::2]):
        source = view(x)
        t = sn.tensor(x)
        t = sn.permute(t, (2, 0, 1)) if source.shape[0] == 130 else t
        if source.shape[2] == 65:
            t = sn.flip(t, 1)[:, :, ::2]
        got = sn.sum(t) if axis is None else sn.sum(t, axis=axis)
        want = source.sum(axis, dtype=np.uint64 if dtype[0] == "u" else np.int64)
        np.testing.assert_array_equal(got.numpy(), want)
        assert got.numpy().dtype == want.dtype


@pytest.mark.parametrize("shape", [(3000, 70), (70, 3000), (1025, 64), (5, 40, 300)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int16"])
def test_reductions_of_turned_layouts_are_those_of_their_copies(shape, dtype) -> None:
    x = numbers(np.random.default_rng(2), shape, dtype)
    turned = sn.permute(sn.tensor(x), tuple(reversed(range(len(shape)))))
    copy = sn.tensor(np.ascontiguousarray(x.T))
    for op in (sn.sum, sn.max, sn.argmax) + ((sn.var, sn.mean) if dtype != "int16" else ()):
        assert same_bits(op(turned).numpy(), op(copy).numpy()), op
        for axis in range(len(shape)):
            assert same_bits(op(turned, axis=axis).numpy(), op(copy, axis=axis).numpy()), op


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32"])
def test_scatters_of_many_numbers_keep_their_order(threads, dtype) -> None:
    rng = np.random.default_rng(3)
    n, size = 40_000, 777
    indices = rng.integers(-size, size, n)
    values = (rng.standard_normal(n) * 100).astype(dtype)
    before = sn.num_threads()
    sn.set_num_threads(threads)
    try:
        out = sn.index_add(sn.zeros((size,), dtype=dtype), 0, sn.tensor(indices), sn.tensor(values))
        out = out.numpy()
        x = rng.standard_normal(size).astype(dtype)
        taken = sn.take(sn.tensor(x), sn.tensor(indices), axis=0).numpy()
    finally:
        sn.set_num_threads(before)
    want = np.zeros(size, np.float32 if dtype == "float16" else dtype)
    np.add.at(want, indices, values.astype(want.dtype))  # one after the other
    assert same_bits(out, want.astype(dtype))
    assert same_bits(taken, x[indices])


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("wrong", [(-11, 5), (10, 39_000)])
def test_a_wrong_index_among_many_is_named(dtype, wrong) -> None:
    indices = np.zeros(40_000, dtype)
    index, position = wrong
    indices[position] = index
    with pytest.raises(sn.IndexOutOfRange, match=str(index)):
        sn.take(sn.ones((10,)), sn.tensor(indices), axis=0).numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bool"])
def test_elementwise_on_transposed_operands(dtype) -> None:
    rng = np.random.default_rng(4)
    x = (rng.standard_normal((131, 131)) * 4).astype(dtype)
    y = np.where(x == x.T, x, x.T)
    got = sn.where(sn.tensor(x) == sn.tensor(x).T, sn.tensor(x), sn.tensor(x).T).numpy()
    assert same_bits(got, y)
