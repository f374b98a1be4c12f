"""float16 and bfloat16: values are rounded after every operation, fused or not."""

from __future__ import annotations

import numpy as np
import pytest
from engine import bits, numpy_dtype

import sennit as sn

HALVES = ("float16", "bfloat16")


def numbers(dtype: str, seed: int, n: int = 4099) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, n).astype(numpy_dtype(dtype))


def rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    """float32 arithmetic's result, as the half type holds it."""
    with np.errstate(all="ignore"):
        return x.astype(numpy_dtype(dtype)).astype(np.float32)


@pytest.mark.parametrize("dtype", HALVES)
def test_each_step_of_a_chain_rounds(dtype):
    a, b, c = (numbers(dtype, s) for s in range(3))
    x, y, z = (v.astype(np.float32) for v in (a, b, c))
    step = rounded(x * y, dtype)
    step = rounded(step + z, dtype)
    step = rounded(step * step, dtype)
    step = rounded(np.sqrt(step), dtype)
    want = rounded(step - x, dtype)
    p, q, r = sn.asarray(a), sn.asarray(b), sn.asarray(c)
    t = p * q + r
    got = sn.sqrt(t * t) - p
    assert got.dtype == p.dtype
    found = got.numpy().astype(np.float32)
    same = (found == want) | (np.isnan(found) & np.isnan(want))
    assert same.all()


@pytest.mark.parametrize("dtype", HALVES)
def test_fused_and_stepwise_agree(dtype):
    x, y = sn.asarray(numbers(dtype, 4)), sn.asarray(numbers(dtype, 5))

    def chain() -> sn.Tensor:
        u = sn.sigmoid(x * y + 1.5) * sn.tanh(y)
        return sn.gelu_tanh(u) - sn.exp(-abs(u)) / (1 + x * x)

    fused = bits(chain())
    before = sn.config.window
    sn.config.window = 1
    try:
        assert bits(chain()) == fused
    finally:
        sn.config.window = before


@pytest.mark.parametrize("dtype", HALVES)
def test_reductions_accumulate_in_float32(dtype):
    """4,096 ones summed in float16 would stop at 2,048 and in bfloat16 at 256."""
    ones = sn.ones((4096,), dtype=getattr(sn, dtype))
    assert float(ones.sum()) == 4096.0
    assert float(ones.mean()) == 1.0
    assert float(sn.matmul(ones, ones)) == 4096.0


def test_overflow_to_infinity():
    x = sn.asarray(np.asarray([60000.0, -60000.0], np.float16))
    assert (x + x).tolist() == [np.inf, -np.inf]


@pytest.mark.parametrize("dtype", HALVES)
def test_ties_round_to_even(dtype):
    one = 1.0
    step = 2.0 ** (-10 if dtype == "float16" else -7)
    x = sn.asarray(np.asarray([one, one + step], numpy_dtype(dtype)))
    half = sn.asarray(np.asarray([step / 2], numpy_dtype(dtype)))
    assert (x + half).tolist() == [one, one + 2 * step]
