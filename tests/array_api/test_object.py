"""The array object: operators, indexing, exchange; NumPy 2 is the oracle."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import sennit as sn

INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
rng = np.random.default_rng(0)

ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]
BITS = ["and_", "or_", "xor", "lshift", "rshift"]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]


def values(dtype: str, low: int = 1) -> tuple[np.ndarray, np.ndarray]:
    x = rng.integers(low, 7, (3, 4)).astype(dtype)
    return x, rng.integers(1, 4, (3, 4)).astype(dtype)


@pytest.mark.parametrize("dtype", [*INTS, *FLOATS])
@pytest.mark.parametrize("name", [*ARITHMETIC, *COMPARISONS])
def test_operator(name: str, dtype: str) -> None:
    if name == "truediv" and dtype in INTS:
        pytest.skip("true division is for floats")
    x, y = values(dtype)
    f = getattr(operator, name)
    want = f(x, y)
    a, b = sn.asarray(x), sn.asarray(y)
    for got in (f(a, b), f(a, y), f(x, b) if name not in COMPARISONS else f(a, b)):
        assert isinstance(got, sn.Tensor) and got.dtype.name == want.dtype.name
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    number = 3.0 if dtype in FLOATS else 3
    np.testing.assert_allclose(f(a, number).numpy(), f(x, number), rtol=1e-6)
    np.testing.assert_allclose(f(number, a).numpy(), f(number, x), rtol=1e-6)
    assert f(a, number).dtype.name == ("bool" if name in COMPARISONS else dtype)
    if name in ARITHMETIC:
        c = a.clone()
        before = c
        c = getattr(operator, f"i{name}")(c, b)
        assert c is before and c.dtype.name == dtype
        np.testing.assert_allclose(c.numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["bool", *INTS])
@pytest.mark.parametrize("name", BITS)
def test_bit_operator(name: str, dtype: str) -> None:
    if dtype == "bool" and "shift" in name:
        pytest.skip("shifts are for integers")
    x, y = values(dtype, 0)
    f = getattr(operator, name)
    np.testing.assert_array_equal(f(sn.asarray(x), sn.asarray(y)).numpy(), f(x, y))
    number = True if dtype == "bool" else 2
    np.testing.assert_array_equal(f(number, sn.asarray(x)).numpy(), f(x.dtype.type(number), x))
    c = sn.asarray(x)
    c = getattr(operator, "i" + name.rstrip("_"))(c, sn.asarray(y))
    np.testing.assert_array_equal(c.numpy(), f(x, y))
    np.testing.assert_array_equal((~sn.asarray(x)).numpy(), ~x)


def test_unary_and_matrix_operators() -> None:
    x = rng.normal(size=(3, 3))
    a = sn.asarray(x)
    assert +a is a
    np.testing.assert_array_equal((-a).numpy(), -x)
    np.testing.assert_array_equal(abs(a).numpy(), abs(x))
    np.testing.assert_allclose((a @ a).numpy(), x @ x)
    b = a.clone()
    b @= a
    np.testing.assert_allclose(b.numpy(), x @ x)
    with pytest.raises(ValueError, match="dimension"):
        a @ 2
    with pytest.raises(TypeError):
        sn.arange(3).__ior__(1.5)


def test_python_numbers() -> None:
    assert int(sn.asarray(3)) == 3 and float(sn.asarray(3)) == 3.0 and complex(sn.asarray(3)) == 3
    assert bool(sn.asarray(3)) and not bool(sn.asarray(0.0)) and bool(sn.asarray(float("nan")))
    assert sn.asarray(True).item() is True and (sn.ones(1) > 2).item() is False
    assert operator.index(sn.asarray(3)) == 3 and range(5)[sn.asarray(2)] == 2
    assert int(sn.asarray(-2.7)) == -2 and float(sn.asarray(float("inf"))) == float("inf")
    for bad in (1.0, True):
        with pytest.raises(TypeError):
            operator.index(sn.asarray(bad))
    with pytest.raises(ValueError, match="ambiguous"):
        bool(sn.ones(2))
    with pytest.raises(OverflowError):
        int(sn.asarray(float("inf")))


X = rng.integers(0, 100, (3, 4, 5))
I, J = np.array([2, 0, -1]), np.array([[1], [3]])
MASK = X[..., 0] > 40
KEYS: list[Any] = [
    0, -1, (1, 2), (1, 2, 3), ..., (..., 0), (0, ...), None, (None, 0, None), (..., None),
    slice(None), slice(1, None), slice(None, None, -1), slice(2, 0, -1), slice(-2, None),
    slice(5, 9), slice(None, None, 2), (slice(None), slice(1, 4, 2)), (0, slice(None), -1),
    (slice(0, 0), 1), (slice(None), ..., slice(None, None, -2)), (),
    I, (I, I), (I, 0), (0, I), (slice(None), I), (I, slice(None), I), (slice(None), I, I),
    (I, J), (None, I), (..., I), (slice(1, None), I, slice(None, None, 2)), (I, ..., J),
    MASK, (MASK, 1), (0, X[0] > 50), X > 50, X > 1000, (slice(None), X[0, :, 0] > 30),
    (MASK, slice(1, 3)), np.zeros((3,), bool), (np.array([True, False, True]), None, 2),
    np.array(1), np.zeros((0,), np.int64), (np.zeros((2, 0), np.int32),), [0, 2], [[0], [1]],
]  # fmt: skip


def ours(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(ours(k) for k in key)
    return sn.asarray(key) if isinstance(key, np.ndarray) else key


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_getitem_and_setitem(key: Any) -> None:
    want = X[key]
    got = sn.asarray(X)[ours(key)]
    assert isinstance(got, sn.Tensor) and got.shape == want.shape and got.dtype is sn.int64
    np.testing.assert_array_equal(got.numpy(), want)
    for value in (7, rng.integers(0, 9, want.shape), np.array(3, np.int8)):
        changed, tensor = X.copy(), sn.asarray(X)
        changed[key] = value
        tensor[ours(key)] = sn.asarray(value) if isinstance(value, np.ndarray) else value
        np.testing.assert_array_equal(tensor.numpy(), changed)


@pytest.mark.parametrize("dtype", INTS)
def test_index_dtypes(dtype: str) -> None:
    index = np.array([2, 0], dtype)
    np.testing.assert_array_equal(sn.asarray(X)[sn.asarray(index)].numpy(), X[index])
    np.testing.assert_array_equal(
        sn.take(sn.asarray(X), sn.asarray(index), axis=1).numpy(), X[:, index]
    )


def test_bad_indices() -> None:
    x = sn.asarray(X)
    for key in (
        3,
        -4,
        (0, 4),
        (0, 0, 0, 0),
        sn.asarray([3]),
        (..., ...),
        sn.zeros((4,), dtype=sn.bool),
    ):
        with pytest.raises(IndexError):
            x[key].numpy()
    for key in (1.5, "a", sn.asarray([0.5])):
        with pytest.raises(TypeError):
            x[key]
    with pytest.raises(ValueError, match="shape"):
        x[0] = sn.ones((7,))
    zero = sn.asarray(3)
    assert zero[()].item() == 3 and zero[...].item() == 3 and zero[None].shape == (1,)
    assert zero[sn.asarray(True)].shape == (1,) and zero[sn.asarray(False)].shape == (0,)


@pytest.mark.parametrize("mask", [(0,), (3, 0), (0, 4), (0, 0)])
def test_empty_mask(mask: tuple[int, ...]) -> None:
    """As in NumPy: a dimension of size 0 of a mask goes with any size."""
    key = np.zeros(mask, bool)
    x = sn.asarray(X)
    assert x[sn.asarray(key)].shape == X[key].shape
    x[sn.asarray(key)] = 9
    np.testing.assert_array_equal(x.numpy(), X)


def test_dlpack() -> None:
    x = sn.asarray(X)
    assert x.__dlpack_device__() == (1, 0)
    for keywords in ({}, {"max_version": (1, 0)}, {"max_version": (1, 0), "copy": True},
                     {"dl_device": (1, 0)}, {"max_version": (0, 8)}, {"copy": True},
                     {"stream": None}, {"copy": False}):  # fmt: skip
        assert "dltensor" in repr(x.__dlpack__(**keywords))
    assert "versioned" in repr(x.__dlpack__(max_version=(1, 0)))
    with pytest.raises(BufferError):
        x.__dlpack__(dl_device=(2, 0))
    with pytest.raises(ValueError, match="stream"):
        x.__dlpack__(stream=1)
    for copy in (None, True):
        y = sn.from_dlpack(x, copy=copy, device="cpu")
        np.testing.assert_array_equal(y.numpy(), X)
    shared = sn.from_dlpack(x)
    assert shared.numpy().__array_interface__["data"] == x.numpy().__array_interface__["data"]
    shared += 1
    np.testing.assert_array_equal(x.numpy(), X)
    with pytest.raises(ValueError, match="copy=False"):
        sn.from_dlpack(X, copy=False)
    for a in (X[::2, ::-1], X.T, X[:0], X.astype(bool), X.astype("uint16")[..., 1]):
        np.testing.assert_array_equal(sn.from_dlpack(a).numpy(), a)
        np.testing.assert_array_equal(np.from_dlpack(sn.asarray(a)), a)


def test_asarray_copy() -> None:
    x = np.arange(3.0)
    x.flags.writeable = False
    assert sn.asarray(x, copy=False).tolist() == [0, 1, 2]
    y = sn.asarray(x)
    z = sn.asarray(y, copy=True)
    z += 1
    assert y.tolist() == [0, 1, 2] and sn.asarray(y) is y and sn.asarray(y, copy=False) is y
    with pytest.raises(ValueError, match="copy=False"):
        sn.asarray(np.arange(3.0), copy=False)
    with pytest.raises(ValueError, match="copy=False"):
        sn.asarray([1, 2], copy=False)


def test_reshape_copy() -> None:
    x = sn.arange(6).reshape((2, 3))
    assert sn.reshape(x, (3, 2), copy=False).tolist() == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ValueError, match="copy=False"):
        sn.reshape(x.T, (6,), copy=False)
    y = sn.reshape(x, (6,), copy=True)
    y += 1
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    view = sn.reshape(x, (6,))
    view[0] = 9
    assert x[0, 0].item() == 9


def test_manipulation_forms() -> None:
    x = sn.asarray(X)
    assert isinstance(sn.unstack(x, axis=1), tuple) and len(sn.unstack(x, axis=1)) == 4
    assert isinstance(sn.nonzero(x), tuple) and isinstance(sn.broadcast_arrays(x, x[0]), list)
    grids = sn.meshgrid(sn.arange(2), sn.arange(3), indexing="ij")
    assert [g.shape for g in grids] == [(2, 3)] * 2 and sn.meshgrid() == []
    assert [g.shape for g in sn.meshgrid([sn.arange(2), sn.arange(3)])] == [(3, 2)] * 2
    assert sn.broadcast_arrays(sn.ones((3, 1)), sn.ones((2,)))[1].shape == (3, 2)
    assert (
        sn.moveaxis(x, 0, -1).shape == (4, 5, 3)
        and sn.roll(x, (1, 2), axis=(0, 1)).shape == x.shape
    )
    assert sn.expand_dims(x, axis=1).shape == (3, 1, 4, 5)
    with pytest.raises(IndexError):
        sn.expand_dims(x, axis=5)
    np.testing.assert_array_equal(
        sn.repeat(x, sn.asarray([1, 0, 2]), axis=0).numpy(), np.repeat(X, [1, 0, 2], 0)
    )
    np.testing.assert_array_equal(
        sn.tensordot(x, x, axes=((0, 2), (0, 2))).numpy(), np.tensordot(X, X, ((0, 2), (0, 2)))
    )
    np.testing.assert_array_equal(sn.tensordot(x, sn.asarray(X[0]), axes=2).numpy(),
                                  np.tensordot(X, X[0], 2))  # fmt: skip
    with pytest.raises(TypeError, match="axes"):
        sn.tensordot(x, x, axes=((0, 1), (0,)))
    np.testing.assert_array_equal(
        sn.diff(x, axis=0, prepend=x[:1], append=sn.zeros((2, 4, 5), dtype=sn.int64)).numpy(),
        np.diff(X, axis=0, prepend=X[:1], append=np.zeros((2, 4, 5), int)),
    )
    for n in range(8):  # beyond the axis nothing is left
        np.testing.assert_array_equal(sn.diff(x, n=n).numpy(), np.diff(X, n=n))
    with pytest.raises(ValueError, match="n is -1"):
        sn.diff(x, n=-1)


@pytest.mark.parametrize("dtype", ["bool", *INTS, *FLOATS])
def test_statistics(dtype: str) -> None:
    x = rng.integers(0, 2 if dtype == "bool" else 5, (2, 3, 4)).astype(dtype)
    a = sn.asarray(x)
    wide = {"b": "int64", "i": "int64", "u": "uint64"}.get(x.dtype.kind, dtype)
    for axis in (None, 0, -1, (0, 2), ()):
        for keepdims in (False, True):
            how = {"axis": axis, "keepdims": keepdims}
            for name in ("sum", "prod", "max", "min", "all", "any"):
                if dtype == "bool" and name in ("sum", "prod", "max", "min"):
                    continue
                got = getattr(sn, name)(a, **how)
                want = getattr(np, name)(x, **how)
                kind = wide if name in ("sum", "prod") else want.dtype.name
                assert got.dtype.name == kind and got.shape == want.shape
                np.testing.assert_allclose(got.numpy(), want, rtol=1e-5)
            if dtype in FLOATS:
                for name in ("mean", "var", "std"):
                    got, want = getattr(sn, name)(a, **how), getattr(np, name)(x, **how)
                    assert got.dtype.name == dtype and got.shape == want.shape
                    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-6)
    for axis in (None, 1):
        for keepdims in (False, True):
            np.testing.assert_array_equal(
                sn.count_nonzero(a, axis=axis, keepdims=keepdims).numpy(),
                np.count_nonzero(x, axis=axis, keepdims=keepdims),
            )
            if dtype != "bool":
                np.testing.assert_array_equal(
                    sn.argmax(a, axis=axis, keepdims=keepdims).numpy(),
                    np.argmax(x, axis=axis, keepdims=keepdims),
                )
    assert sn.sum(a, dtype=sn.float64).dtype is sn.float64
    if dtype != "bool":
        with pytest.raises(ValueError, match="hold no"):
            sn.max(a[:0], axis=0)
    np.testing.assert_allclose(
        sn.std(sn.asarray([1.0, 3.0]), correction=1).item(), np.sqrt(2), rtol=1e-6
    )
    if dtype in FLOATS:
        assert np.isnan(sn.mean(a[:0]).item()) and sn.sum(a[:0]).item() == 0
        special = sn.asarray(np.array([1, np.nan, np.inf], dtype))
        for name in ("sum", "prod", "max", "min", "mean", "var", "std"):
            assert np.isnan(getattr(sn, name)(special).item())


def test_searching_and_sorting() -> None:
    x = rng.integers(0, 5, (3, 8))
    a = sn.asarray(x)
    for axis in (0, -1):
        for descending in (False, True):
            got = sn.argsort(a, axis=axis, descending=descending)
            key = -x if descending else x
            np.testing.assert_array_equal(got.numpy(), np.argsort(key, axis, kind="stable"))
            np.testing.assert_array_equal(
                sn.sort(a, axis=axis, descending=descending, stable=True).numpy(),
                np.take_along_axis(x, got.numpy(), axis),
            )
    line, sorter = x[0], np.argsort(x[0], kind="stable")
    for side in ("left", "right"):
        np.testing.assert_array_equal(
            sn.searchsorted(sn.asarray(line), a, side=side, sorter=sn.asarray(sorter)).numpy(),
            np.searchsorted(line, x, side, sorter),
        )
    np.testing.assert_array_equal(sn.where(a > 2, a, 0).numpy(), np.where(x > 2, x, 0))
    assert sn.where(sn.asarray(True), 1.0, sn.asarray(2.0)).item() == 1
    nan = sn.asarray([np.nan, 1.0, np.nan, 1.0])
    found = sn.unique_all(nan)
    assert found.counts.tolist() == [2, 1, 1] and found.values.shape == (3,)
    assert sn.unique_values(sn.asarray([-0.0, 0.0])).shape == (1,)


CLIP = [(1, 3), (None, 2), (2, None), (None, None), (3, 1)]


@pytest.mark.parametrize("dtype", [*INTS, *FLOATS])
def test_clip(dtype: str) -> None:
    x = np.arange(6).astype(dtype)
    for low, high in CLIP:
        want = np.clip(x, low, high) if (low, high) != (None, None) else x
        for kind in (lambda v: v, lambda v: None if v is None else sn.asarray(v, dtype=dtype)):
            got = sn.clip(sn.asarray(x), kind(low), kind(high))
            assert got.dtype.name == dtype
            np.testing.assert_array_equal(got.numpy(), want)
    if dtype in FLOATS:
        nan = sn.asarray(np.array([np.nan, np.inf, -np.inf], dtype))
        np.testing.assert_array_equal(sn.clip(nan, 0, 1).numpy(), [np.nan, 1, 0])
        np.testing.assert_array_equal(sn.clip(nan, min=0.0).numpy(), [np.nan, np.inf, 0])


@pytest.mark.parametrize("value", [2**63 - 1, 2**63, 2**63 + 2049, 2**64 - 1])
def test_large_unsigned_numbers(value: int) -> None:
    x = sn.asarray(value, dtype=sn.uint64)
    assert int(x) == operator.index(x) == x.item() == x.tolist() == value
    assert float(x) == float(value) and complex(x) == complex(value) and bool(x)
    assert int(sn.asarray([0, value], dtype=sn.uint64)[1]) == value
