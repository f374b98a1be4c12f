"""Functions made of other ops against NumPy: dtypes, strided and empty inputs, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tensor_functions import COMPOSITES

import sennit as sn

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

# Composites round several times; halves are rounded once at the end of each op.
TOLERANCE = {"float64": 1e-12, "float32": 2e-6, "float16": 2e-2, "bfloat16": 1e-1}
CASES = [
    pytest.param(c, id=f"{name}-{i}")
    for name, cases in COMPOSITES.items()
    for i, c in enumerate(cases)
]


def arrays(inputs: tuple[Any, ...], dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    made = []
    for given in inputs:
        if isinstance(given, np.ndarray):
            x = given
        elif given[0] == "float":
            x = rng.uniform(-2, 2, given[1])
        elif given[0] == "int":
            x = rng.integers(-30, 30, given[1])
        else:
            x = rng.random(given[1]) < 0.5
        if x.dtype.kind == "f":
            x = x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        made.append(x)
    return made


def flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple | list) else [value]


def numbers(x: Any) -> np.ndarray:
    return np.asarray(x.numpy() if isinstance(x, sn.Tensor) else x).astype(np.float64)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("c", CASES)
def test_values(c: tuple[Any, ...], dtype: str) -> None:
    call, reference, *inputs = c
    given = arrays(tuple(inputs), dtype)
    if dtype != "float32" and not any(a.dtype == a.dtype for i, a in enumerate(given)):
        pytest.skip("takes no floats")
    got = flat(call(*(sn.asarray(a) for a in given)))
    wide = [a.astype(np.float64) if a.dtype.kind in "fV" else a for a in given]
    want = flat(reference(*wide))
    assert len(got) == len(want)
    for g, w in zip(got, want):
        w = np.asarray(w)
        assert g.shape == w.shape
        scale = max(1.0, float(np.max(np.abs(w[np.isfinite(w)]), initial=0)))
        limit = TOLERANCE[dtype] * scale
        np.testing.assert_allclose(numbers(g), w.astype(np.float64), rtol=0, atol=limit)


@pytest.mark.parametrize("c", CASES)
def test_strided_inputs_give_the_same_bits(c: tuple[Any, ...]) -> None:
    call, _, *inputs = c
    given = arrays(tuple(inputs), "float32")
    plain = flat(call(*(sn.asarray(a) for a in given)))

    def strided(a: np.ndarray) -> sn.Tensor:
        wide = sn.asarray(np.repeat(np.repeat(a, 2, -1), 1, -1) if a.ndim else a)
        x = wide[..., ::2] if a.ndim else wide
        return x.mT.contiguous().mT if a.ndim >= 2 else x

    for g, w in zip(flat(call(*(strided(a) for a in given))), plain):
        assert g.dtype == w.dtype
        np.testing.assert_array_equal(g.numpy(), w.numpy())


def test_halves_are_rounded_after_each_op() -> None:
    x = sn.tensor([1.0, 2.0, 3.0], dtype=sn.bfloat16)
    assert sn.logcumsumexp(x, 0).dtype == sn.bfloat16
    i = sn.tensor([0, 0, 0])
    product = sn.scatter_reduce(sn.ones(1, dtype=sn.float16), 0, i, x.astype(sn.float16), "prod")
    assert product.dtype == sn.float16
    assert product.item() == 6.0


def test_running_extremes_pass_nan_on() -> None:
    x = sn.tensor([1.0, float("nan"), 3.0])
    values, at = sn.cummax(x, 0)
    assert at.tolist() == [0, 1, 1]
    assert np.isnan(values.numpy()[1:]).all()


def test_segments_of_integers_and_nothing() -> None:
    x = sn.zeros((0, 3))
    out = sn.segment_reduce(x, "sum", lengths=sn.tensor([0, 0]))
    assert out.shape == (2, 3)
    assert sn.segment_reduce(x, "max", lengths=sn.tensor([0]), initial=4.0).tolist() == [[4.0] * 3]


def test_isin_and_unique_of_nothing() -> None:
    assert sn.isin(sn.arange(3), sn.zeros(0, dtype=sn.int64)).tolist() == [False] * 3
    assert sn.unique(sn.zeros(0)).shape == (0,)
    assert sn.unique_consecutive(sn.zeros((0, 2)), axis=0).shape == (0, 2)


ERRORS: list[tuple[str, Callable[[], Any], type[sn.SennitError], str]] = [
    ("einsum", lambda: sn.einsum("ij,jk", sn.ones((2, 3))), sn.InvalidValue, "2 subscripts for 1"),
    ("einsum size", lambda: sn.einsum("ij,jk", sn.ones((2, 3)), sn.ones((2, 3))), sn.ShapeError,
     "sizes 3 and 2"),
    ("einsum result", lambda: sn.einsum("ij->k", sn.ones((2, 3))), sn.InvalidValue, "no operand"),
    ("bmm", lambda: sn.bmm(sn.ones((2, 3)), sn.ones((2, 3))), sn.ShapeError, "3 dimensions"),
    ("kthvalue", lambda: sn.kthvalue(sn.ones(3), 4), sn.InvalidValue, "1 to 3"),
    ("quantile", lambda: sn.quantile(sn.ones(3), 1.5), sn.InvalidValue, "[0, 1]"),
    ("bincount", lambda: sn.bincount(sn.tensor([-1])), sn.InvalidValue, "negative"),
    ("histc", lambda: sn.histc(sn.ones(3), 0), sn.InvalidValue, "1 or more"),
    ("gcd", lambda: sn.gcd(sn.ones(2), sn.ones(2)), sn.DTypeError, "integers"),
    ("scatter_reduce", lambda: sn.scatter_reduce(sn.ones(2), 0, sn.tensor([0]), sn.ones(1), "max2"),
     sn.InvalidValue, "amax"),
    ("scatter_reduce index",
     lambda: sn.scatter_reduce(sn.ones(2), 0, sn.tensor([5]), sn.ones(1), "amax").numpy(),
     sn.IndexOutOfRange, "5"),
    ("as_strided", lambda: sn.as_strided(sn.ones(3), (2,), (5,)), sn.IndexOutOfRange, "inside"),
    ("masked_scatter",
     lambda: sn.masked_scatter(sn.ones(3), sn.tensor([True] * 3), sn.ones(2)), sn.ShapeError,
     "3 true"),
    ("segment_reduce", lambda: sn.segment_reduce(sn.ones(3), "sum", lengths=sn.tensor([1])),
     sn.InvalidValue, "add up"),
    ("tensor_split", lambda: sn.tensor_split(sn.ones(3), 0), sn.InvalidValue, "1 or more"),
    ("hsplit", lambda: sn.hsplit(sn.ones(3), 2), sn.InvalidValue, "divide"),
    ("igamma", lambda: sn.igamma(sn.ones(1, requires_grad=True), sn.ones(1)).sum().backward(),
     sn.GradError, "first operand"),
    ("isclose", lambda: sn.isclose(sn.ones(1), sn.ones(1), rtol=-1), sn.InvalidValue, "0 or more"),
    ("cov", lambda: sn.cov(sn.ones((2, 3)), aweights=sn.ones(2)), sn.ShapeError, "aweights"),
    ("unfold", lambda: sn.unfold(sn.ones(3), 0, 5, 1), sn.InvalidValue, "0 to 3"),
    ("polygamma", lambda: sn.polygamma(-1, sn.ones(1)), sn.InvalidValue, "0 or more"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "text"), [e[1:] for e in ERRORS], ids=[e[0] for e in ERRORS]
)
def test_errors_say_what_is_wrong(
    call: Callable[[], Any], kind: type[sn.SennitError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


def f64(x: float) -> sn.Tensor:
    return sn.tensor(x, dtype=sn.float64)


SPECIAL_VALUES: list[tuple[Callable[[], sn.Tensor], float]] = [
    (lambda: sn.special.zeta(f64(2.0), f64(-1e9 - 0.5)), math.pi**2 - 1e-9),
    (lambda: sn.special.zeta(f64(3.0), f64(-0.5)), 0.41439832211716),
    (lambda: sn.special.zeta(f64(2.0), f64(-3.0)), math.inf),
    (lambda: sn.special.chebyshev_polynomial_t(f64(0.5), f64(1000.0)), -0.5),
    (lambda: sn.special.chebyshev_polynomial_t(f64(-0.5), f64(1001.0)), -0.5),
    (lambda: sn.special.chebyshev_polynomial_u(f64(1.0), f64(1000.0)), 1001.0),
    (lambda: sn.special.chebyshev_polynomial_v(f64(-1.0), f64(101.0)), -203.0),
    (lambda: sn.special.chebyshev_polynomial_w(f64(1.0), f64(1e15)), 2e15 + 1),
    (lambda: sn.special.chebyshev_polynomial_t(f64(1.5), f64(1e300)), math.inf),
    (lambda: sn.special.hermite_polynomial_h(f64(0.5), f64(1e300)), math.nan),
    (lambda: sn.special.legendre_polynomial_p(f64(0.5), f64(-3.0)), 0.0),
    (lambda: sn.lgamma(f64(-1e-300)), 690.7755278982137),
    (lambda: sn.lgamma(f64(-2.0)), math.inf),
    (lambda: sn.digamma(f64(-0.0)), math.inf),
    (lambda: sn.digamma(f64(-3.0)), math.nan),
    (lambda: sn.special.erfcx(f64(1e10)), 5.641895835477563e-11),
    (lambda: sn.special.erfcx(f64(-30.0)), math.inf),
    (lambda: sn.erfinv(f64(1.0)), math.inf),
    (lambda: sn.special.ndtri(f64(1e-300)), -37.0470962993612),
    (lambda: sn.igamma(f64(1e12), f64(1e12)), 0.50000013298076013),
    (lambda: sn.igammac(f64(0.0), f64(1.0)), 0.0),
    (lambda: sn.special.bessel_j0(f64(2.404825557695773)), 0.0),
    (lambda: sn.special.modified_bessel_k0(f64(0.0)), math.inf),
    (lambda: sn.special.airy_ai(f64(-2.338107410459767)), 0.0),
]


@pytest.mark.parametrize(("call", "want"), SPECIAL_VALUES)
def test_special_values(call: Callable[[], sn.Tensor], want: float) -> None:
    """Poles, limits, zeros, and arguments for which a loop would never end."""
    np.testing.assert_allclose(call().numpy(), want, rtol=1e-10, atol=1e-15)
