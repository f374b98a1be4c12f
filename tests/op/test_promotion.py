"""The dtype of every pair of operands: the Array API's table, PyTorch's rule across kinds."""

from __future__ import annotations

import numpy as np
import pytest
from engine import ANY, FLOATS, INTS, SIGNED, UNSIGNED, numpy_dtype

import sennit as sn

BITS = {name: int("".join(c for c in name if c.isdigit())) for name in SIGNED + UNSIGNED}


def expected(a: str, b: str) -> str | None:
    """The common dtype; None where there is none."""
    if a == b:
        return a
    if "bool" in (a, b):
        return b if a == "bool" else a
    if a in FLOATS and b in FLOATS:
        if {a, b} == {"float16", "bfloat16"}:
            return "float32"  # neither holds the other's values
        return max(a, b, key=lambda n: numpy_dtype(n).itemsize)
    if a in FLOATS or b in FLOATS:
        return a if a in FLOATS else b
    if (a in SIGNED) == (b in SIGNED):
        return max(a, b, key=BITS.__getitem__)
    signed, unsigned = (a, b) if a in SIGNED else (b, a)
    if BITS[signed] > BITS[unsigned]:
        return signed
    return None if unsigned == "uint64" else f"int{2 * BITS[unsigned]}"


def of(name: str) -> sn.Tensor:
    return sn.asarray(np.ones(3, dtype=numpy_dtype(name)))


@pytest.mark.parametrize("a", ANY)
def test_pairs(a):
    for b in ANY:
        want = expected(a, b)
        if want is None:
            with pytest.raises(sn.DTypeError, match="uint64"):
                sn.maximum(of(a), of(b))
            with pytest.raises(sn.DTypeError):
                sn.promote_types(getattr(sn, a), getattr(sn, b))
            continue
        assert str(sn.promote_types(getattr(sn, a), getattr(sn, b))).endswith(want)
        got = sn.where(sn.asarray(np.ones(3, bool)), of(a), of(b))
        assert str(got.dtype) == want, (a, b, got.dtype)


@pytest.mark.parametrize("name", ANY)
def test_weak_scalars(name):
    """A Python number takes the tensor's dtype; a float makes integers float32."""
    x = of(name)
    arithmetic = "int64" if name == "bool" else name
    assert str((x + 1).dtype) == arithmetic
    assert str((1 + x).dtype) == arithmetic
    assert str((x * 2.0).dtype) == (name if name in FLOATS else "float32")
    assert str(sn.maximum(x, True).dtype) in (name, arithmetic)
    assert str(sn.where(of("bool"), x, 0).dtype) == arithmetic
    assert str((x == 1).dtype) == "bool"


@pytest.mark.parametrize("name", (*INTS, "bool"))
def test_integers_given_to_functions_of_floats(name):
    assert str(sn.sin(of(name)).dtype) == "float32"
    assert str((of(name) / of(name)).dtype) == "float32"
    assert str(sn.mean(of(name)).dtype) == "float32"


@pytest.mark.parametrize("name", FLOATS)
def test_bit_operations_refuse_floats(name):
    with pytest.raises(sn.DTypeError, match="integers or bool"):
        sn.bitwise_and(of(name), of(name))


def test_weak_scalars_do_not_round_twice():
    """0.1 converts to the compute type, float32, for half types: not to float16 first."""
    x = sn.asarray(np.full(3, 1000.0, dtype=np.float16))
    want = (np.float32(1000.0) * np.float32(0.1)).astype(np.float16)
    assert (x * 0.1).numpy()[0] == want


@pytest.mark.parametrize(
    ("call", "dtype"),
    [
        (lambda m: sn.where(m, 1.0, 0.0), "float32"),
        (lambda m: sn.where(m, 1, 0.5), "float32"),
        (lambda m: sn.where(m, 1, 0), "int64"),
        (lambda m: sn.where(m, True, False), "bool"),
        (lambda m: sn.where(m, 1j, 0), "complex64"),
        (lambda m: sn.add(1.0, 2), "float32"),
        (lambda m: sn.divide(1, 2), "float32"),
        (lambda m: sn.maximum(1, 2), "int64"),
        (lambda m: sn.sin(1), "float32"),
        (lambda m: sn.sqrt(-1 + 0j), "complex64"),
        (lambda m: sn.atan2(1.0, 2.0), "float32"),
        (lambda m: sn.less(1, 2), "bool"),
        (lambda m: sn.linalg.vecdot(sn.where(m, 1.0, 0.0), sn.where(m, 1.0, 0.0)), "float32"),
    ],
)  # fmt: skip
def test_functions_of_python_numbers_alone(call, dtype):
    """Their results have the dtype that sn.asarray gives such numbers, and keep it."""
    x = call(sn.asarray([True, False]))
    assert str(x.dtype) == dtype
    assert str(sn.where(True, x, x).dtype) == dtype
    if dtype == "float32":
        assert str((x + sn.ones(2, dtype=sn.float16)).dtype) == "float32"
        assert str((x * 2).dtype) == str(sn.mean(x).dtype) == "float32"
