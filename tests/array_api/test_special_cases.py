"""The standard's special cases of real numbers where libraries differ; others are in tests/op."""

from __future__ import annotations

import itertools
import math
import operator

import numpy as np
import pytest

import sennit as sn

INF, NAN = math.inf, math.nan
VALUES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, -4.0, 1e30, -1e-30, INF, -INF, NAN]


def quotient(x: float, y: float) -> float:
    """x // y after the standard: infinities and zeros divide as x / y does."""
    with np.errstate(all="ignore"):
        exact = float(np.float64(x) / np.float64(y))
        if math.isinf(x) or math.isinf(y) or y == 0 or x == 0:
            return exact
        return float(np.float64(x) // np.float64(y))


@pytest.mark.parametrize("copies", [1, 37])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["function", "operator", "in place"])
def test_floor_divide(form: str, dtype: str, copies: int) -> None:
    pairs = list(itertools.product(VALUES, VALUES)) * copies
    a, b = (np.asarray(v).astype(dtype) for v in zip(*pairs))
    x, y = sn.asarray(a), sn.asarray(b)
    if form == "function":
        got = sn.floor_divide(x, y)
    elif form == "operator":
        got = x // y
    else:
        got = operator.ifloordiv(x.clone(), y)
    with np.errstate(all="ignore"):
        want = np.asarray([quotient(float(p), float(q)) for p, q in zip(a, b)]).astype(dtype)
    np.testing.assert_array_equal(got.numpy(), want)
    np.testing.assert_array_equal(np.signbit(got.numpy()[want == 0]), np.signbit(want[want == 0]))
