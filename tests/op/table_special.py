"""Rows of the op table for scans, scatters, and special functions, whose reference is SciPy.

Functions are computed in float64, one number after the other, and rounded once: float32 is tight;
float64 is a few units in the last place from a reference that errs too, measured against the
largest result where a function oscillates through zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from engine import EXACT, FLOATS, NUMERIC, Index, Real, case, ulps

import sennit as sn

try:
    from scipy import special as sc
except ImportError:
    sc = None

WHY = "series in float64 against SciPy's: both err by a few units in the last place"
DEGREES = Real(0, 9, ints=(0, 9))
SHAPES = tuple(case(s) for s in ((), (1,), (17,), (33,), (5, 7), (0,)))
PAIRS = tuple(case(s, s) for s in ((), (1,), (17,), (33,), (5, 7), (0,))) + (case((5, 1), (7,)),)


def whole(name: str) -> Callable[[Any, Any], Any]:
    """A polynomial of SciPy's: degree first, truncated."""
    return lambda x, n: getattr(sc, name)(np.trunc(n).astype(int), x)


def third(sign: int, shifted: bool = False) -> Callable[[Any, Any], Any]:
    def f(x: Any, n: Any) -> Any:
        x = 2 * x - 1 if shifted else x
        n = np.trunc(n).astype(int)
        before = np.where(n > 0, sc.eval_chebyu(np.maximum(n - 1, 0), x), 0)
        return sc.eval_chebyu(n, x) + sign * before

    return f


# Where SciPy's own values are wrong: limits at infinity, signs of zeros, Bessel functions of large
# numbers (whose angle it does not reduce exactly).


def log_gamma(x: Any) -> Any:
    def one(v: float) -> float:
        e = v - round(v) if 0.5 < v < 3 else 1.0
        if abs(e) < 1e-3 and v < 2.5:  # the series at 1; C's function loses digits there
            terms = (sc.zeta(k) / k * (-e) ** k for k in range(2, 8))
            return sum(terms) - np.euler_gamma * e + (math.log1p(e) if round(v) == 2 else 0)
        try:
            return math.lgamma(v)
        except (ValueError, OverflowError):  # a pole, and the largest numbers
            return math.inf

    return np.vectorize(one, otypes=[float])(x)


def odd(name: str) -> Callable[[Any], Any]:
    return lambda x: np.where((x == 0) | np.isinf(x), x, getattr(sc, name)(x))


def bessel(name: str) -> Callable[[Any], Any]:
    """Beyond 10,000 by the first terms of Hankel's expansion, which are exact there."""
    order, second = int(name[1]), name[0] == "y"

    def f(x: Any) -> Any:
        near = getattr(sc, name)(np.where(np.abs(x) > 1e4, 1.0, x))
        a = np.where(np.isinf(x) | np.isnan(x), 1.0, np.abs(x))
        p, q = (1 + 15 / 128 / a**2, 3 / 8 / a) if order else (1 - 9 / 128 / a**2, -1 / 8 / a)
        plus, minus = (np.cos(a) + np.sin(a)) / 2**0.5, (np.sin(a) - np.cos(a)) / 2**0.5
        c, s = (minus, -plus) if order else (plus, minus)
        far = np.sqrt(2 / (np.pi * a)) * (p * s + q * c if second else p * c - q * s)
        if second:
            far = np.where(x < 0, np.nan, far)
        elif order:
            far = np.where(x < 0, -far, far)
        far = np.where(np.isinf(x) & ~np.isnan(far), 0.0, far)
        near = np.where(x == 0, x, near) if order and not second else near
        return np.where(np.abs(x) > 1e4, far, near)

    return f


def names() -> list[str]:
    """What has a row here, so that nothing is missed where SciPy is not installed."""
    found: list[str] = []
    add_rows(lambda name, *_, **__: found.append(name), everything=True)
    return found


def reduce_at(x: Any, i: Any, src: Any, axis: int, reduce: str) -> Any:
    f = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}[reduce]
    out = x.copy()
    for at in np.ndindex(*i.shape):
        to = list(at)
        to[axis] = i[at]
        out[tuple(to)] = f(out[tuple(to)], src[at])
    return out


def add_scans(row: Callable[..., None]) -> None:
    scans = [case((7,), axis=0), case((1,), axis=0), case((3, 5), axis=1), case((3, 5), axis=0),
             case((1500,), axis=0), case((0,), axis=0), case((3, 0, 2), axis=1)]  # fmt: skip
    large = case((3, 40_001), axis=1)
    for name, f in (("cummax", np.maximum), ("cummin", np.minimum)):
        row(name, lambda x, axis, f=f: f.accumulate(x, axis), scans, dtypes=NUMERIC, gradient=(0,),
            tolerance=EXACT, large=large,
            call=lambda x, axis, name=name: getattr(sn, name)(x, axis)[0])  # fmt: skip
    row("logcumsumexp", np.logaddexp.accumulate, scans, gradient=(0,),
        tolerance=ulps(64, 256, 2), scale="largest", why="a chain of up to 1,024 roundings",
        large=large)  # fmt: skip
    places = [case((4, 5), ((6, 5), Index(4)), (6, 5), axis=0, reduce=r) for r in
              ("prod", "amax", "amin")]  # fmt: skip
    places.append(case((40,), ((30_000,), Index(40)), (30_000,), axis=0, reduce="amax"))
    row("scatter_reduce", reduce_at, places, Real(0.5, 1.5, ints=(1, 3)), dtypes=NUMERIC,
        gradient=(0, 2), tolerance=ulps(8, 8, 1), scale="largest",
        why="a product of several factors",
        call=lambda x, i, v, axis, reduce: sn.scatter_reduce(x, axis, i, v, reduce))  # fmt: skip


def add_rows(row: Callable[..., None], everything: bool = False) -> None:
    if sc is None and not everything:
        return

    def one(name: str, reference: Any, domain: Real, **options: Any) -> None:
        if isinstance(reference, str):
            reference = getattr(sc, reference, None)
        options.setdefault("tolerance", ulps(2, 40))
        options.setdefault("gradient", (0,))
        row(
            name,
            reference,
            SHAPES,
            domain,
            dtypes=(*FLOATS, "int32", "bool"),
            result="float",
            why=WHY,
            call=sn._core.functions[name],
            **options,
        )

    positive, wide = Real(0.1, 12, ints=(1, 9)), Real(-12, 12)
    one("lgamma", log_gamma, positive, scale="largest")
    one("digamma", "digamma", positive, scale="largest")
    one("erfinv", lambda x: np.where(x == 0, x, sc.erfinv(x)), Real(-0.99, 0.99, ints=(0, 0)))
    one("special.erfcx", "erfcx", Real(-4, 20))
    one("special.ndtri", "ndtri", Real(0.01, 0.99, ints=(0, 1)), scale="largest")
    one("special.log_ndtr", "log_ndtr", Real(-12, 4))
    one("special.entr", "entr", Real(0.1, 9, ints=(1, 9)), scale="largest")
    for name, reference in (
        ("i0", lambda x: np.where(np.isinf(x), np.inf, sc.i0(x))), ("special.i0e", "i0e"),
        ("special.i1", odd("i1")),
        ("special.i1e", lambda x: np.where(x == 0, x, sc.i1e(x))),
    ):  # fmt: skip
        one(name, reference, Real(-12, 12, kinks=(0,)))
    for name, reference in (
        ("special.modified_bessel_k0", "k0"), ("special.modified_bessel_k1", "k1"),
        ("special.scaled_modified_bessel_k0", "k0e"), ("special.scaled_modified_bessel_k1", "k1e"),
    ):  # fmt: skip
        one(name, reference, positive)
    one("special.bessel_j0", bessel("j0"), wide, scale="largest")
    one("special.bessel_j1", bessel("j1"), wide, scale="largest")
    one("special.bessel_y0", bessel("y0"), positive, scale="largest")
    one("special.bessel_y1", bessel("y1"), positive, scale="largest")

    def other(name: str, reference: Any, cases: Any, *domains: Real, **options: Any) -> None:
        row(
            name, reference, cases, *domains, result="float", why=WHY, scale="largest",
            tolerance=ulps(2, 64), call=sn._core.functions[name], **options,
        )  # fmt: skip

    other(
        "special.spherical_bessel_j0", lambda x: sc.spherical_jn(0, x), SHAPES, wide, gradient=(0,)
    )
    other("special.airy_ai", lambda x: sc.airy(x)[0], SHAPES, wide, everywhere=False)
    for name, f in (
        ("igamma", getattr(sc, "gammainc", None)), ("igammac", getattr(sc, "gammaincc", None)),
    ):  # fmt: skip
        other(name, f, PAIRS, positive, positive, gradient=(1,))
    other(
        "special.zeta", getattr(sc, "zeta", None), PAIRS, Real(1.5, 9), Real(0.5, 9), gradient=(1,)
    )
    inside, unit = Real(-1.2, 1.2), Real(-0.1, 1.1)
    for name, f, domain in (
        ("chebyshev_polynomial_t", whole("eval_chebyt"), inside),
        ("chebyshev_polynomial_u", whole("eval_chebyu"), inside),
        ("chebyshev_polynomial_v", third(-1), inside),
        ("chebyshev_polynomial_w", third(1), inside),
        ("shifted_chebyshev_polynomial_t", whole("eval_sh_chebyt"), unit),
        ("shifted_chebyshev_polynomial_u", whole("eval_sh_chebyu"), unit),
        ("shifted_chebyshev_polynomial_v", third(-1, True), unit),
        ("shifted_chebyshev_polynomial_w", third(1, True), unit),
        ("hermite_polynomial_h", whole("eval_hermite"), Real()),
        ("hermite_polynomial_he", whole("eval_hermitenorm"), Real()),
        ("laguerre_polynomial_l", whole("eval_laguerre"), Real()),
        ("legendre_polynomial_p", whole("eval_legendre"), inside),
    ):
        other(f"special.{name}", f, PAIRS, domain, DEGREES)
