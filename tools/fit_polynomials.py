"""Prints the polynomials of core/op/math_exp.h and math_trig.h. Needs mpmath and numpy.

Each is the interpolant at Chebyshev nodes, computed in high precision, then rounded to the type
that it is evaluated in. That is within a few bits of the minimax polynomial, and has no iteration
that could fail; the error printed is the largest on a grid, before and after rounding.
"""

import numpy as np
from mpmath import (
    asin,
    atan,
    cos,
    erf,
    erfc,
    exp,
    expm1,
    log,
    log1p,
    lu_solve,
    matrix,
    mp,
    mpf,
    pi,
    sin,
    sqrt,
    tanh,
)

mp.prec = 500
TINY = mpf(10) ** -20  # stands for 0 where the quotient is 0 / 0


def fit(f, low, high, degree):
    n = degree + 1
    middle, half = (mpf(low) + high) / 2, (mpf(high) - low) / 2
    nodes = [middle + half * cos(pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    vandermonde, values = matrix(n, n), matrix(n, 1)
    for i, x in enumerate(nodes):
        values[i] = f(x)
        for j in range(n):
            vandermonde[i, j] = x**j
    return list(lu_solve(vandermonde, values))


def error(f, coefficients, low, high):
    worst = mpf(0)
    for i in range(401):
        x = mpf(low) + (mpf(high) - low) * i / 400
        value = mpf(0)
        for c in reversed(coefficients):
            value = value * x + c
        worst = max(worst, abs(value - f(x)))
    return float(worst)


def show(name, f, low, high, degree, kind):
    exact = fit(f, low, high, degree)
    if kind == "f32":
        rounded = [float(np.float32(float(c))) for c in exact]
    else:
        rounded = [float(c) for c in exact]
    before = error(f, exact, low, high)
    after = error(f, [mpf(c) for c in rounded], low, high)
    print(f"// {name}, {kind}, degree {degree}: error {before:.2g}, rounded {after:.2g}")
    print(", ".join(c.hex() for c in rounded))


def of_square(f):
    """A function of z = x^2 from one of x."""
    return lambda z: f(sqrt(max(z, TINY)))


def away_from_zero(f):
    return lambda x: f(x if abs(x) > TINY else TINY)


def erfcx_times(k):
    """(1 + 2t) exp(t^2) erfc(t) in q = (t - k) / (t + k)."""

    def f(q):
        t = k * (1 + q) / (1 - q)
        return (1 + 2 * t) * exp(t * t) * erfc(t)

    return f


def normal_tail(k):
    """Q(a) exp(a^2 / 2) (a + k) in q = 1 - 2k / (a + k), Q the upper tail of the normal."""

    def f(q):
        a = 2 * k / (1 - q) - k
        return exp(a * a / 2) * erfc(a / sqrt(mpf(2))) / 2 * (a + k)

    return f


if __name__ == "__main__":
    exp_part = away_from_zero(lambda r: (expm1(r) - r) / r**2)
    show("exp", exp_part, -0.347, 0.347, 4, "f32")
    show("exp", exp_part, -0.347, 0.347, 10, "f64")
    log_part = away_from_zero(lambda f: (log1p(f) - f) / f**2)
    show("log", log_part, sqrt(mpf(0.5)) - 1, sqrt(mpf(2)) - 1, 8, "f32")
    ratio = of_square(lambda s: (log((1 + s) / (1 - s)) - 2 * s) / s**3)
    show("log", ratio, 0, 0.02945, 6, "f64")
    rest = of_square(lambda s: (log((1 + s) / (1 - s)) - 2 * s - 2 * s**3 / 3) / s**5)
    show("log, doubled", rest, 0, 0.02945, 6, "f64")
    show("tanh", of_square(lambda x: (tanh(x) - x) / x**3), 0, 0.4, 4, "f32")
    show("erf", of_square(lambda x: erf(x) / x - 1), 0, 0.9, 6, "f32")
    show("erf, tail", lambda t: -log(erfc(t)) / t, 0.9, 4, 8, "f32")
    show("erf", of_square(lambda x: erf(x) / x - 1), 0, 1, 13, "f64")
    show("erfc", erfcx_times(mpf(4)), -mpf(7) / 9, (27.5 - mpf(4)) / (27.5 + mpf(4)), 22, "f64")
    k = mpf(2.75)
    show("ndtr", normal_tail(k), -1 + TINY, 1 - 2 * k / (14.5 + k), 9, "f32")
    sin_part = of_square(lambda x: (sin(x) - x) / x**3)
    show("sin", sin_part, 0, 0.62, 6, "f64")
    show("sin, half turn", sin_part, 0, (pi / 2) ** 2 * 1.0005, 5, "f64")
    show("cos", of_square(lambda x: (cos(x) - 1 + x * x / 2) / x**4), 0, 0.62, 5, "f64")
    show("asin", of_square(lambda x: (asin(x) - x) / x**3), 0, 0.2501, 12, "f64")
    show("atan", of_square(lambda x: (atan(x) - x) / x**3), 0, 0.17158, 11, "f64")
