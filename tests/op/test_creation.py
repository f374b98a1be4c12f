"""Functions that make tensors out of numbers: arange, linspace, eye, full, zeros, ones, empty."""

from __future__ import annotations

import numpy as np
import pytest
from engine import ANY, FLOATS, check, numpy_dtype

import sennit as sn

SHAPES = [(), (0,), (1,), (7,), (3, 0, 2), (2, 1, 3, 1, 5), (1025,)]


@pytest.mark.parametrize("dtype", ANY)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_filled(shape, dtype):
    kind, np_kind = getattr(sn, dtype), numpy_dtype(dtype)
    for name, value in (("zeros", 0), ("ones", 1), ("empty", 0)):
        want = np.full(shape, value, np_kind)
        check(getattr(sn, name)(shape, dtype=kind), want, dtype, 0, note=name)
        like = getattr(sn, f"{name}_like")(sn.ones(shape, dtype=kind))
        check(like, want, dtype, 0, note=f"{name}_like")
    check(sn.full(shape, 1, dtype=kind), np.full(shape, 1, np_kind), dtype, 0)
    check(sn.full_like(sn.zeros(shape, dtype=kind), 1), np.full(shape, 1, np_kind), dtype, 0)


def test_names_of_like_functions():
    """zeros_like, ones_like, empty_like and full_like take another dtype too."""
    x = sn.zeros((2,), dtype=sn.int8)
    for made in (
        sn.zeros_like(x, dtype=sn.float64),
        sn.ones_like(x, dtype=sn.float64),
        sn.empty_like(x, dtype=sn.float64),
        sn.full_like(x, 2, dtype=sn.float64),
    ):
        assert made.dtype == sn.float64


@pytest.mark.parametrize(
    ("value", "dtype"), [(True, "bool"), (3, "int64"), (1.5, "float32")], ids=str
)
def test_full_takes_the_numbers_dtype(value, dtype):
    assert str(sn.full((2,), value).dtype) == dtype


@pytest.mark.parametrize(
    "arguments",
    [(5,), (0,), (2, 9), (2, 9, 3), (9, 2, -2), (5, 5), (3, 9, -1), (-4, 4, 2)],
    ids=str,
)
def test_arange_of_integers(arguments):
    check(sn.arange(*arguments), np.arange(*arguments), "int64", 0)
    for dtype in ("int8", "int32", "float32", "float64"):
        want = np.arange(*arguments).astype(dtype)
        check(sn.arange(*arguments, dtype=getattr(sn, dtype)), want, dtype, 0)


@pytest.mark.parametrize(
    "arguments", [(0.0, 1.0, 0.25), (0.0, 1.0, 0.1), (1.0, -1.0, -0.3), (2.5,)], ids=str
)
def test_arange_of_floats(arguments):
    start, stop, step = arguments if len(arguments) == 3 else (0.0, arguments[0], 1.0)
    count = int(np.ceil((stop - start) / step))
    want = start + np.arange(count) * step
    check(sn.arange(*arguments), want, "float32", 0.5001)
    check(sn.arange(*arguments, dtype=sn.float64), want, "float64", 1)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize(
    ("start", "stop", "num"),
    [(0, 1, 5), (-2, 3, 17), (5, -5, 1025), (1, 1, 3), (0, 1, 1), (0, 1, 0)],
)
def test_linspace(start, stop, num, endpoint, dtype):
    want = np.linspace(start, stop, num, endpoint=endpoint)
    got = sn.linspace(start, stop, num, endpoint=endpoint, dtype=getattr(sn, dtype))
    check(got, want, dtype, 2, scale=np.maximum(np.abs(want), abs(stop - start)))
    if num > 1:
        assert got[0].item() == start
        assert not endpoint or got[-1].item() == stop


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("num", [0, 1, 2, 3, 7, 100, 1025])
def test_linspace_without_the_endpoint_has_the_bits_of_one_more(num, dtype):
    kind = getattr(sn, dtype)
    got = sn.linspace(0.1, -1.3, num, endpoint=False, dtype=kind)
    want = sn.linspace(0.1, -1.3, num + 1, dtype=kind)[:-1]
    assert got.numpy().tobytes() == want.numpy().tobytes()


def test_linspace_over_the_whole_range():
    big = 1.7e308
    want = [-big, -big / 2, 0.0, big / 2, big]
    assert sn.linspace(-big, big, 5, dtype=sn.float64).tolist() == want


@pytest.mark.parametrize("k", [-2, 0, 1, 5])
@pytest.mark.parametrize("shape", [(3, None), (3, 4), (4, 2), (0, 3)], ids=str)
def test_eye(shape, k):
    rows, columns = shape
    for dtype in ("float32", "int32", "bool"):
        want = np.eye(rows, columns, k, dtype=dtype)
        check(sn.eye(rows, columns, k, dtype=getattr(sn, dtype)), want, dtype, 0)


@pytest.mark.parametrize("call", [
    lambda: sn.zeros((-1,)), lambda: sn.arange(0, 1, 0), lambda: sn.arange(0.0, float("inf"), 1.0),
    lambda: sn.linspace(0, 1, -1),
], ids=["negative size", "step of 0", "infinite", "negative count"])  # fmt: skip
def test_mistakes(call):
    with pytest.raises(sn.SennitError):
        call()
