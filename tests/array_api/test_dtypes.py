"""Promotion, questions about dtypes, and conversion; NumPy 2 is the oracle."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import sennit as sn

NAMES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
REALS = [n for n in NAMES if not n.startswith("complex")]
PAIRS = list(product(NAMES, NAMES))


def kind_of(name: str) -> int:
    return next(i for i, k in enumerate(("bool", "int", "uint", "float", "complex"))
                if name.startswith(k))  # fmt: skip


def promoted(a: str, b: str) -> str | None:
    """The standard's table, with floats winning over integers and bools over nothing."""
    kinds = {kind_of(a), kind_of(b)}
    if kinds == {1, 2} and "uint64" in (a, b):
        return None
    if kinds <= {1, 2} or kinds == {3} or 0 in kinds:
        return np.promote_types(a, b).name
    if kinds <= {3, 4}:
        return np.promote_types(a, b).name
    return a if kind_of(a) > kind_of(b) else b


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_promotion(a: str, b: str) -> None:
    want = promoted(a, b)
    x, y = sn.ones((2,), dtype=a), sn.ones((2,), dtype=b)
    if want is None:
        for call in (lambda: sn.result_type(x, y), lambda: sn.result_type(sn.dtype(a), y)):
            with pytest.raises(TypeError, match="uint64"):
                call()
        assert not sn.can_cast(sn.dtype(a), sn.dtype(b))
        return
    assert sn.result_type(x, y).name == want == sn.result_type(sn.dtype(a), sn.dtype(b)).name
    assert sn.can_cast(sn.dtype(a), sn.dtype(want)) and sn.can_cast(x, sn.dtype(want))
    assert sn.equal(x, y).dtype is sn.bool
    joined = sn.concat([x, y])
    assert joined.dtype.name == want and joined.shape == (4,)
    if want != "bool":
        assert (x + y).dtype.name == (y * x).dtype.name == want
        assert (x + y).tolist() == [2, 2]
        assert sn.where(sn.asarray([True, False]), x, y).dtype.name == want


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [True, 2, 1.5, 1 + 2j])
def test_python_numbers(name: str, number: Any) -> None:
    x = sn.ones((2,), dtype=name)
    got = sn.result_type(x, number)
    if isinstance(number, bool):
        want = name
    elif isinstance(number, int):
        want = "int64" if name == "bool" else name
    elif isinstance(number, float):
        want = "float32" if kind_of(name) < 3 else name
    else:
        want = {"float64": "complex128", "complex128": "complex128"}.get(name, "complex64")
    assert got.name == want
    if want != "bool":
        assert (x + number).dtype.name == (number + x).dtype.name == want
        assert (number * x).tolist() == (np.ones(2, want) * np.asarray(number, want)).tolist()


@pytest.mark.parametrize("name", [n for n in NAMES if kind_of(n) >= 3])
def test_finfo(name: str) -> None:
    mine, theirs = sn.finfo(getattr(sn, name)), np.finfo(name)
    for field in ("bits", "eps", "max", "min", "smallest_normal"):
        assert getattr(mine, field) == getattr(theirs, field), field
        assert isinstance(getattr(mine, field), int if field == "bits" else float)
    assert mine.dtype.name == theirs.dtype.name
    assert sn.finfo(sn.zeros((1,), dtype=name)) == mine
    with pytest.raises(TypeError, match="integer"):
        sn.iinfo(getattr(sn, name))


@pytest.mark.parametrize("name", [n for n in NAMES if kind_of(n) in (1, 2)])
def test_iinfo(name: str) -> None:
    mine, theirs = sn.iinfo(getattr(sn, name)), np.iinfo(name)
    assert (mine.bits, mine.max, mine.min) == (theirs.bits, theirs.max, theirs.min)
    assert mine.dtype.name == name
    with pytest.raises(TypeError, match="floating"):
        sn.finfo(getattr(sn, name))


def test_isdtype_rejects() -> None:
    with pytest.raises(ValueError, match="floating"):
        sn.isdtype(sn.float32, "floating")
    assert sn.isdtype(sn.float32, sn.float32) and not sn.isdtype(sn.float32, sn.float64)
    assert sn.isdtype(sn.int8, (sn.float32, "integral"))
    with pytest.raises(TypeError, match="nothing"):
        sn.result_type()


SAMPLES = {0: [True, False], 1: [-3, 0, 7], 2: [0, 3, 200], 3: [-1.5, 0.0, 2.75],
           4: [1.5 - 2j, 0j, 3j]}  # fmt: skip


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_astype(a: str, b: str) -> None:
    values = np.asarray(SAMPLES[kind_of(a)], dtype=a)
    x = sn.asarray(values)
    assert x.dtype.name == a
    if kind_of(a) == 4 and kind_of(b) not in (0, 4):
        with pytest.raises(TypeError, match="real"):
            sn.astype(x, getattr(sn, b))
        return
    y = sn.astype(x, getattr(sn, b))
    assert y.dtype.name == b
    if kind_of(a) == 3 and kind_of(b) == 2:
        values = np.maximum(values, 0)
        y = sn.maximum(y, 0) if b != "bool" else y
        x = sn.maximum(x, 0)
        y = sn.astype(x, getattr(sn, b))
    np.testing.assert_array_equal(y.numpy(), values.astype(b))


def test_astype_gives_another_tensor() -> None:
    x = sn.zeros((3,))
    y = sn.astype(x, sn.float32)
    y += 1
    assert x.tolist() == [0, 0, 0] and y.tolist() == [1, 1, 1]
    assert sn.astype(x, sn.float64, copy=False, device="cpu").dtype is sn.float64


@pytest.mark.parametrize("name", NAMES)
def test_creation(name: str) -> None:
    kind = getattr(sn, name)
    for made, want in (
        (sn.zeros((2, 3), dtype=kind), np.zeros((2, 3), name)),
        (sn.ones(4, dtype=kind), np.ones(4, name)),
        (sn.full((2,), 1, dtype=kind), np.ones(2, name)),
        (sn.eye(3, 4, k=1, dtype=kind), np.eye(3, 4, k=1, dtype=name)),
        (sn.zeros((), dtype=kind), np.zeros((), name)),
        (sn.asarray([[1, 0], [0, 1]], dtype=kind), np.eye(2, dtype=name)),
        (sn.full_like(sn.zeros((2,)), 1, dtype=kind), np.ones(2, name)),
        (sn.tril(sn.ones((3, 3), dtype=kind), k=-1), np.tril(np.ones((3, 3), name), -1)),
    ):
        assert made.dtype is kind
        np.testing.assert_array_equal(made.numpy(), want)


def test_default_dtypes() -> None:
    assert sn.asarray(1).dtype is sn.int64 and sn.asarray(1.0).dtype is sn.float32
    assert sn.asarray(1j).dtype is sn.complex64 and sn.asarray(True).dtype is sn.bool
    assert sn.asarray([1, 2.0]).dtype is sn.float32 and sn.asarray([1, 1j]).dtype is sn.complex64
    assert sn.full((2,), 1j).dtype is sn.complex64 and sn.full((2,), 3).dtype is sn.int64
    assert sn.arange(3).dtype is sn.int64 and sn.arange(3.0).dtype is sn.float32
    assert sn.linspace(0, 1, 3).dtype is sn.float32
    assert sn.linspace(0, 1 + 1j, 3).tolist() == [0j, 0.5 + 0.5j, 1 + 1j]
    assert sn.asarray(2**63, dtype=sn.uint64).tolist() == 2**63
    assert sn.asarray([2**63, 1], dtype=sn.uint64).tolist() == [2**63, 1]
    assert sn.asarray(np.complex128(1j)).dtype is sn.complex128
    assert sn.asarray([0.1], dtype=sn.complex128).tolist() == [0.1 + 0j]
