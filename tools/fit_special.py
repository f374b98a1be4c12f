"""Writes core/op/math_special_tables.h: Chebyshev series of special functions. Needs mpmath.

    python tools/fit_special.py > core/op/math_special_tables.h

Each series interpolates a smooth part of a function at Chebyshev nodes in high precision; terms
below the last place of f64 are dropped. How the parts make the functions is in math_special.h.
"""

from collections.abc import Callable

from mpmath import (
    airyai,
    besseli,
    besselj,
    besseljzero,
    besselk,
    bessely,
    cos,
    exp,
    expj,
    log,
    loggamma,
    mp,
    mpf,
    pi,
    sqrt,
)

mp.dps = 50
NODES = 64
WIDTH = 100


def series(f: Callable[[mpf], mpf], low: float, high: float, nodes: int = NODES) -> list[float]:
    """Coefficients on [low, high], the first one halved."""
    angles = [pi * (2 * i + 1) / (2 * nodes) for i in range(nodes)]
    middle, half = (mpf(low) + high) / 2, (mpf(high) - low) / 2
    values = [f(middle + half * cos(a)) for a in angles]
    found = [
        2 * sum(v * cos(k * a) for v, a in zip(values, angles, strict=True)) / nodes
        for k in range(nodes)
    ]
    found[0] /= 2
    largest = max(abs(c) for c in found)
    while abs(found[-1]) < largest * mpf(2) ** -57:
        found.pop()
    return [float(c) for c in found]


def zeros(order: int) -> list[mpf]:
    return [besseljzero(order, k) ** 2 for k in (1, 2)]


def small_j(order: int) -> Callable[[mpf], mpf]:
    """J(x) / x^order without its first two zeros, in z = x^2."""
    a, b = zeros(order)

    def f(z: mpf) -> mpf:
        x = sqrt(z)
        return besselj(order, x) / x**order / ((z - a) * (z - b))

    return f


def phase(order: int, part: int) -> Callable[[mpf], mpf]:
    """P, and Q x, of J + iY = sqrt(2 / (pi x)) (P + iQ) e^(i(x - (2n + 1) pi / 4)), in 1/x^2."""

    def f(u: mpf) -> mpf:
        x = 1 / sqrt(u)
        whole = (besselj(order, x) + 1j * bessely(order, x)) * sqrt(pi * x / 2)
        whole *= expj(-(x - (2 * order + 1) * pi / 4))
        return whole.imag * x if part else whole.real

    return f


def small_y(order: int) -> Callable[[mpf], mpf]:
    def f(z: mpf) -> mpf:
        x = sqrt(z)
        rest = bessely(order, x) - 2 / pi * log(x) * besselj(order, x)
        return (rest + 2 / pi / x) / x if order else rest

    return f


def small_k(order: int) -> Callable[[mpf], mpf]:
    def f(z: mpf) -> mpf:
        x = sqrt(z)
        if order:
            return x * (besselk(1, x) - log(x / 2) * besseli(1, x))
        return besselk(0, x) + log(x / 2) * besseli(0, x)

    return f


def airy_phase(part: int) -> Callable[[mpf], mpf]:
    """Ai(-x) = (P cos(s - pi/4) + Q sin(s - pi/4)) / (sqrt(pi) x^(1/4)), s = x^(3/2) 2/3."""

    def f(u: mpf) -> mpf:
        from mpmath import airybi

        s = 1 / sqrt(u)
        x = (s * 3 / 2) ** (mpf(2) / 3)
        scale = sqrt(pi) * sqrt(sqrt(x))
        a, b = airyai(-x) * scale, airybi(-x) * scale  # Bi: -P sin + Q cos
        c, d = cos(s - pi / 4), cos(s - 3 * pi / 4)
        return (a * d + b * c) * s if part else a * c - b * d

    return f


def airy_tail(u: mpf) -> mpf:
    s = 1 / u
    x = (s * 3 / 2) ** (mpf(2) / 3)
    return airyai(x) * exp(s) * sqrt(sqrt(x))


NEAR_ZERO = mpf(10) ** -30
TABLES: dict[str, tuple[Callable[[mpf], mpf], float, float]] = {
    "kLogGamma": (lambda x: loggamma(x) / ((x - 1) * (x - 2)), 0.5, 3),
    "kI0Small": (lambda x: exp(-x) * besseli(0, x), 0, 8),
    "kI0Large": (lambda u: exp(-1 / u) * besseli(0, 1 / u) / sqrt(u), NEAR_ZERO, 1 / 8),
    "kI1Small": (lambda x: exp(-x) * besseli(1, x) / x, NEAR_ZERO, 8),
    "kI1Large": (lambda u: exp(-1 / u) * besseli(1, 1 / u) / sqrt(u), NEAR_ZERO, 1 / 8),
    "kK0Small": (small_k(0), NEAR_ZERO, 1),
    "kK1Small": (small_k(1), NEAR_ZERO, 1),
    "kK0Middle": (lambda u: exp(1 / u) * besselk(0, 1 / u) / sqrt(u), 1 / 8, 1),
    "kK1Middle": (lambda u: exp(1 / u) * besselk(1, 1 / u) / sqrt(u), 1 / 8, 1),
    "kK0Large": (lambda u: exp(1 / u) * besselk(0, 1 / u) / sqrt(u), NEAR_ZERO, 1 / 8),
    "kK1Large": (lambda u: exp(1 / u) * besselk(1, 1 / u) / sqrt(u), NEAR_ZERO, 1 / 8),
    "kJ0Small": (small_j(0), NEAR_ZERO, 64),
    "kJ1Small": (small_j(1), NEAR_ZERO, 64),
    "kY0Small": (small_y(0), NEAR_ZERO, 64),
    "kY1Small": (small_y(1), NEAR_ZERO, 64),
    "kP0": (phase(0, 0), NEAR_ZERO, 1 / 64),
    "kQ0": (phase(0, 1), NEAR_ZERO, 1 / 64),
    "kP1": (phase(1, 0), NEAR_ZERO, 1 / 64),
    "kQ1": (phase(1, 1), NEAR_ZERO, 1 / 64),
    "kAirySmall": (airyai, -6, 2),
    "kAiryTail": (airy_tail, NEAR_ZERO, 0.54),
    "kAiryP": (airy_phase(0), NEAR_ZERO, 0.0105),
    "kAiryQ": (airy_phase(1), NEAR_ZERO, 0.0105),
}


def main() -> None:
    print("#pragma once")
    print("// Written by tools/fit_special.py. Included by math_special.h only.")
    print('#include "op/math_core.h"\n\nSN_MATH_BEGIN\n\n// clang-format off')
    for order in (0, 1):
        for k, z in enumerate(zeros(order)):
            high = float(z)
            print(f"inline constexpr double kJ{order}Zero{k} = {high.hex()}, "
                  f"kJ{order}Zero{k}Low = {float(z - mpf(high)).hex()};")  # fmt: skip
    for name, (f, low, high) in TABLES.items():
        items = [c.hex() for c in series(f, low, high)]
        print(f"inline constexpr double {name}[] = {{  // on [{float(low):.6g}, {float(high):.6g}]")
        line = "   "
        for item in items:
            if len(line) + len(item) + 2 > WIDTH:
                print(line)
                line = "   "
            line += f" {item},"
        print(line + "\n};")
    print("// clang-format on\n\nSN_MATH_END")


if __name__ == "__main__":
    main()
