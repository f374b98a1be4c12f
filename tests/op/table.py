"""The op table: one row for each public function, with its inputs, its reference and its tolerance.

A row is run in every dtype and layout, differentiated, and repeated in all modes of execution (see
test_table.py and test_modes.py). A function that has no row stands in ELSEWHERE with the file that
tests it; test_ops_listed.py sees to it that nothing is left out.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import references as ref
import table_special
from engine import (
    ANY,
    BOOL,
    EXACT,
    FLOATS,
    INTS,
    NUMERIC,
    TIGHT,
    Case,
    Index,
    Mask,
    Probabilities,
    Real,
    Row,
    Shuffled,
    Sorted,
    case,
    ulps,
)
from tensor_functions import COMPOSITES

import sennit as sn

# The formatter would make five lines of most rows; a table reads better as one.
# fmt: off

ROWS: list[Row] = []

# Where errors of several roundings meet, and halves are still rounded once at the end.
SUMS = "sums of n terms: half an ulp of the terms' magnitude for each level of the tree"
CHAIN = "a chain of fused multiply-adds: its error is measured against the sum of |terms|"
COMPOSED = "made of several rounded steps"


def row(name: str, reference: Any, cases: Any, *domains: Any, **options: Any) -> None:
    if domains:
        options["domains"] = domains
    ROWS.append(Row(name, reference, tuple(cases), **options))


# ---------------------------------------------------------------- elementwise, one argument

SHAPES = ((), (1,), (7,), (17,), (33,), (1025,), (5, 7), (2, 1, 3, 1, 5), (0,), (3, 0, 2))
ONE = tuple(case(s) for s in SHAPES)
LARGE_ONE = case((130_003,))
FLOAT_CLASS = (*FLOATS, "int8", "int32", "uint16", "bool")


def unary(name: str, reference: Any, domain: Real | None = None, **options: Any) -> None:
    options.setdefault("gradient", (0,))
    options.setdefault("large", LARGE_ONE)
    row(name, reference, ONE, domain or Real(), **options)


def of_float(name: str, reference: Any, domain: Real | None = None, **options: Any) -> None:
    unary(name, reference, domain, dtypes=FLOAT_CLASS, result="float", **options)


POSITIVE = Real(0.1, 9.0, ints=(1, 9))
INSIDE = Real(-0.9, 0.9, ints=(0, 0))

unary("negative", np.negative, dtypes=NUMERIC, tolerance=EXACT)
unary("positive", np.positive, dtypes=NUMERIC, tolerance=EXACT, large=None)
unary("abs", np.abs, Real(kinks=(0,)), dtypes=NUMERIC, tolerance=EXACT)
unary("sign", np.sign, Real(kinks=(0,)), dtypes=NUMERIC, tolerance=EXACT, gradient=())
unary("square", np.square, dtypes=NUMERIC, tolerance=EXACT)
of_float("sqrt", np.sqrt, POSITIVE, tolerance=EXACT)
of_float("rsqrt", lambda x: 1 / np.sqrt(x), POSITIVE)
of_float("reciprocal", np.reciprocal, POSITIVE, tolerance=EXACT)
of_float("exp", np.exp)
of_float("exp2", np.exp2)
of_float("expm1", np.expm1)
of_float("log", np.log, POSITIVE)
of_float("log2", np.log2, POSITIVE)
of_float("log10", np.log10, POSITIVE)
of_float("log1p", np.log1p, Real(-0.9, 3.0, ints=(0, 9)))
of_float("sin", np.sin, Real(-7, 7))
of_float("cos", np.cos, Real(-7, 7))
of_float("tan", np.tan, Real(-1.4, 1.4))
of_float("asin", np.arcsin, INSIDE)
of_float("acos", np.arccos, INSIDE)
of_float("atan", np.arctan, Real(-7, 7))
of_float("sinh", np.sinh)
of_float("cosh", np.cosh)
of_float("tanh", np.tanh)
of_float("asinh", np.arcsinh, Real(-7, 7))
of_float("acosh", np.arccosh, Real(1.1, 7.0, ints=(2, 9)))
of_float("atanh", np.arctanh, INSIDE)
of_float("erf", ref.erf)
of_float("erfc", ref.erfc, Real(-2, 4, ints=(-3, 4)))
of_float("ndtr", ref.ndtr, tolerance=ulps(3, 10), why="the argument's rounding grows in the tail")
of_float("sigmoid", ref.sigmoid, Real(-9, 9))
of_float("logsigmoid", lambda x: -ref.softplus(-x), Real(-9, 9))
of_float("softplus", ref.softplus, Real(-9, 9))
unary("relu", lambda x: np.where(x < 0, np.zeros_like(x), x), Real(kinks=(0,)), dtypes=NUMERIC,
      tolerance=EXACT)
of_float("silu", lambda x: ref.gated(x, ref.sigmoid(x)))
of_float("gelu", lambda x: ref.gated(x, ref.ndtr(x)), tolerance=ulps(3, 10), why="as ndtr")
of_float("gelu_tanh", ref.gelu_tanh, tolerance=ulps(8, 8), why=COMPOSED)
of_float("mish", lambda x: ref.gated(x, np.tanh(ref.softplus(x))), tolerance=ulps(4, 6),
         why=COMPOSED)
of_float(
    "hardswish",
    lambda x: ref.gated(x, np.clip(x + 3, 0, 6) / 6),
    Real(-5, 5, kinks=(-3, 3)),
    tolerance=ulps(3, 4),
    why=COMPOSED,
)
of_float(
    "hardsigmoid",
    lambda x: np.clip(x + 3, 0, 6) / 6,
    Real(-5, 5, kinks=(-3, 3)),
    scale="largest",
    why="x + 3 is rounded, so the error is that of a result near 1",
)
for name, f in (("floor", np.floor), ("ceil", np.ceil), ("trunc", np.trunc), ("round", np.round)):
    unary(name, f, Real(-9, 9, kinks=range(-9, 10)), dtypes=NUMERIC, tolerance=EXACT, gradient=())
for name, f in (("isnan", np.isnan), ("isinf", np.isinf), ("isfinite", np.isfinite)):
    unary(name, f, dtypes=NUMERIC, result="bool", gradient=())
unary("signbit", np.signbit, dtypes=FLOATS, result="bool", gradient=())
unary("logical_not", np.logical_not, dtypes=ANY, result="bool", gradient=())
unary("bitwise_invert", np.invert, dtypes=INTS + BOOL, gradient=())

# ---------------------------------------------------------------- elementwise, two arguments

PAIRS = (
    *(case(s, s) for s in SHAPES),
    case((3, 1), (4,)),
    case((), (5,)),
    case((2, 3, 1, 5), (3, 4, 1)),
    case((0, 3), (1, 3)),
)
LARGE_TWO = case((130_003,), (130_003,))


def binary(name: str, reference: Any, *domains: Any, **options: Any) -> None:
    options.setdefault("gradient", (0, 1))
    options.setdefault("large", LARGE_TWO)
    row(name, reference, PAIRS, *(domains or (Real(),)), **options)


NONZERO = Real(0.3, 3.0, ints=(1, 9))
SHIFTS = Real(ints=(0, 7))

binary("add", np.add, dtypes=NUMERIC, tolerance=EXACT)
binary("subtract", np.subtract, dtypes=NUMERIC, tolerance=EXACT)
binary("multiply", np.multiply, dtypes=NUMERIC, tolerance=EXACT)
binary("divide", np.divide, Real(), NONZERO, dtypes=FLOAT_CLASS, result="float", tolerance=EXACT)
binary("floor_divide", ref.floor_divide, Real(-9, 9), NONZERO, dtypes=NUMERIC, gradient=(),
       tolerance=EXACT)
binary("remainder", np.remainder, Real(0, 0.25), NONZERO, dtypes=NUMERIC, tolerance=EXACT)
binary("fmod", np.fmod, Real(0, 0.25), NONZERO, dtypes=NUMERIC, tolerance=EXACT)
binary("pow", np.power, POSITIVE, Real(ints=(0, 5)), dtypes=NUMERIC)
binary("atan2", np.arctan2, Real(0.2, 3, ints=(0, 9)), Real(-3, 3, kinks=(0,), ints=(1, 9)),
       dtypes=FLOAT_CLASS, result="float")
binary("hypot", np.hypot, NONZERO, NONZERO, dtypes=FLOAT_CLASS, result="float")
binary("logaddexp", np.logaddexp, Real(ints=(1, 9)), dtypes=FLOAT_CLASS, result="float",
       tolerance=ulps(2, 4, 1), scale="largest", why="max + log1p(...) may cancel near zero")
for name in ("maximum", "minimum", "fmax", "fmin"):
    binary(name, getattr(np, name), dtypes=NUMERIC, tolerance=EXACT)
binary("copysign", np.copysign, Real(kinks=(0,)), gradient=(0,), tolerance=EXACT)
binary("nextafter", np.nextafter, Real(0.5, 2), gradient=(), native=True, tolerance=ulps(0, 0, 0))
binary("leaky_relu", lambda x, y: np.where(x > 0, x, x * y), Real(kinks=(0,)), tolerance=EXACT)
binary("elu", ref.elu, Real(kinks=(0,)), NONZERO, tolerance=ulps(2.5, 4),
       why="the product with the slope is rounded once more")
for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    binary(name, getattr(np, name), Real(-2, 2, ints=(-3, 3)), dtypes=ANY, result="bool",
           gradient=())
for name in ("logical_and", "logical_or", "logical_xor"):
    binary(name, getattr(np, name), Real(ints=(-1, 1)), dtypes=ANY, result="bool", gradient=())
for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    binary(name, getattr(np, name), Real(ints=(-128, 127)), dtypes=INTS + BOOL, gradient=())
binary("bitwise_left_shift", ref.left_shift, Real(), SHIFTS, dtypes=INTS, gradient=())
binary("bitwise_right_shift", ref.right_shift, Real(ints=(-128, 127)), SHIFTS, dtypes=INTS,
       gradient=())

# ---------------------------------------------------------------- elementwise, three arguments

TRIPLES = (*(case(s, s, s) for s in SHAPES), case((3, 1), (4,), ()), case((), (2, 1, 5), (3, 1)))


def ternary(name: str, reference: Any, *domains: Any, **options: Any) -> None:
    options.setdefault("gradient", (0, 1, 2))
    row(name, reference, TRIPLES, *(domains or (Real(),)), large=case(*[(50_001,)] * 3), **options)


ternary("where", np.where, Mask(), Real(), dtypes=ANY, gradient=(1, 2), tolerance=EXACT)
ternary("clip", lambda x, y, z: np.minimum(np.maximum(x, y), z), Real(-3, 3), Real(-2, -1),
        Real(1, 2, ints=(3, 9)), dtypes=NUMERIC, tolerance=EXACT)
ternary("lerp", lambda x, y, z: x + z * (y - x), tolerance=ulps(2, 2, 1), scale="largest",
        why="x and z * (y - x) may cancel")
ternary("fma", lambda x, y, z: x * y + z, tolerance=ulps(0.51, 1), scale="largest",
        why="the float64 reference is rounded twice")
ternary("addcmul", lambda x, y, z: x + y * z, dtypes=NUMERIC, tolerance=ulps(1.5), scale="largest",
        why="rounded twice, and the terms may cancel")
ternary("addcdiv", lambda x, y, z: x + y / z, Real(), Real(), NONZERO, tolerance=ulps(1.5),
        scale="largest", why="rounded twice, and the terms may cancel")
row("masked_fill", lambda x, m, value: np.where(m, np.asarray(value, x.dtype), x),
    [case(s, s, value=3) for s in SHAPES] + [case((4, 3), (3,), value=2)], Real(), Mask(),
    dtypes=NUMERIC, gradient=(0,), tolerance=EXACT)
row("astype", lambda x, dtype: x.astype(np.float64),
    [case(s, dtype=sn.float64) for s in SHAPES], dtypes=ANY, result="float64", gradient=(0,),
    tolerance=EXACT)

# ---------------------------------------------------------------- reductions

SHAPE_AXES = (
    ((), None), ((1,), 0), ((7,), 0), ((17, 3), 0), ((17, 3), -1), ((2, 3, 4), (0, 2)),
    ((2, 3, 4), None), ((33, 33), (0, 1)), ((2, 1, 3, 1, 5), (1, -1)), ((2, 3, 2, 3, 2), (0, 2, 4)),
    ((1025,), 0), ((3, 1025), 1), ((1025, 3), 0), ((3, 0), 0), ((0, 3), 1),
)
NONEMPTY = tuple(
    case(s, axis=a, keepdims=bool(i % 2)) for i, (s, a) in enumerate(SHAPE_AXES)
)
EMPTY = (case((0,), axis=0), case((3, 0), axis=1), case((0, 4), axis=None))
LARGE_SUM = case((131, 1031), axis=1)


def reduction(name: str, reference: Any, *domains: Any, **options: Any) -> None:
    cases = options.pop("cases", NONEMPTY + EMPTY)
    options.setdefault("gradient", (0,))
    options.setdefault("large", LARGE_SUM)
    row(name, reference, cases, *domains, **options)


reduction("sum", np.sum, dtypes=ANY, result="wide", tolerance=ulps(3, 3, 1), scale="magnitude",
          why=SUMS)
reduction("mean", np.mean, dtypes=ANY, result="float", tolerance=ulps(3, 3, 1),
          scale="magnitude", why=SUMS)
reduction("prod", np.prod, Real(0.9, 1.1, ints=(-2, 2)), dtypes=ANY, result="wide",
          tolerance=ulps(600, 600, 1), why="each of up to 1,025 factors adds half an ulp")
reduction("max", np.max, cases=NONEMPTY, dtypes=NUMERIC, tolerance=EXACT)
reduction("min", np.min, cases=NONEMPTY, dtypes=NUMERIC, tolerance=EXACT)
reduction("all", np.all, Real(-1, 1, ints=(0, 9)), dtypes=ANY, result="bool", gradient=())
reduction("any", np.any, Real(-1, 1, ints=(0, 1)), dtypes=ANY, result="bool", gradient=())
reduction("count_nonzero", np.count_nonzero, Real(ints=(0, 2)), dtypes=ANY, result="int64",
          gradient=())
reduction("logsumexp", ref.logsumexp, Real(-5, 5), cases=NONEMPTY, tolerance=ulps(4, 4, 1),
          scale="largest", why="max + log(sum) may cancel near zero")
reduction("var", ref.variance, cases=(*NONEMPTY, case((17, 3), axis=0, correction=1.0)),
          tolerance=ulps(6, 6, 1), scale="largest", why=SUMS)
reduction("std", np.std, Real(0.5, 2),
          cases=tuple(c for c in NONEMPTY if c.args[0] not in ((), (1,))),
          tolerance=ulps(6, 6, 1), scale="largest", why=SUMS)
row("var_mean", lambda x, axis: (np.var(x, axis=axis), np.mean(x, axis=axis)),
    [case((17, 3), axis=0), case((2, 3, 4), axis=(0, 2)), case((1025,), axis=None)],
    gradient=(0,), tolerance=ulps(6, 6, 1), scale="largest", why=SUMS)
reduction("nansum", np.nansum, tolerance=ulps(3, 3, 1), scale="magnitude", why=SUMS)
reduction("nanmean", np.nanmean, cases=NONEMPTY, tolerance=ulps(3, 3, 1), scale="magnitude",
          why=SUMS)
VECTOR_NORM = [
    Case(c.args, {**c.attrs, "ord": o}) for c in NONEMPTY if c.args[0] not in ((3, 0), (0, 3))
    for o in (2.0, 1.0, 3.0, math.inf, -math.inf, 0.0)
]
row("vector_norm", ref.vector_norm, VECTOR_NORM, Real(0.2, 2), gradient=(0,),
    tolerance=ulps(8, 8, 1), scale="largest", why=SUMS)
ARG_CASES = [
    case((1,), axis=0), case((), axis=None), case((7, 5), axis=None), case((7, 5), axis=0),
    case((7, 5), axis=-1, keepdims=True), case((2, 3, 4), axis=1), case((1025,), axis=0),
    case((3, 0), axis=0),
]
for name in ("argmax", "argmin"):
    row(name, getattr(np, name), ARG_CASES, Real(-2, 2, ints=(-3, 3)), dtypes=NUMERIC,
        result="int64", large=LARGE_SUM)
row("sum_to", ref.sum_to,
    [case((4, 3), shape=(1, 3)), case((4, 3), shape=(3,)), case((4, 3), shape=()),
     case((2, 3, 4), shape=(3, 1)), case((4, 3), shape=(4, 3)), case((0, 3), shape=(1, 3))],
    gradient=(0,), tolerance=ulps(3, 3, 1), scale="magnitude", why=SUMS)
SCANS = [
    case((7,), axis=0), case((17, 3), axis=0), case((17, 3), axis=-1), case((2, 3, 4), axis=1),
    case((1025,), axis=0), case((0,), axis=0), case((3, 0, 2), axis=1),
]
row("cumsum", np.cumsum, SCANS, dtypes=NUMERIC, result="wide", gradient=(0,),
    tolerance=ulps(6, 6, 1), scale="magnitude", why=SUMS, large=case((3, 40_001), axis=1))
row("cumprod", np.cumprod, SCANS, Real(0.9, 1.1, ints=(-2, 2)), dtypes=NUMERIC, result="wide",
    gradient=(0,), tolerance=ulps(600, 600, 1), why="each of up to 1,025 factors adds half an ulp")
CUMULATIVE = [case((7,)), case((7,), axis=0, include_initial=True), case((3, 5), axis=1),
              case((3, 5), axis=0, include_initial=True)]
row("cumulative_sum",
    lambda x, axis=None, include_initial=False: ref.cumulative(
        np.cumsum, x, axis, 0, include_initial),
    CUMULATIVE, dtypes=NUMERIC, result="wide", gradient=(0,), tolerance=ulps(4, 4, 1),
    scale="magnitude", why=SUMS)
row("cumulative_prod",
    lambda x, axis=None, include_initial=False: ref.cumulative(
        np.cumprod, x, axis, 1, include_initial),
    CUMULATIVE, Real(0.5, 1.5, ints=(-2, 2)), dtypes=NUMERIC, result="wide", gradient=(0,),
    tolerance=ulps(5, 5, 1), why="a chain of products")
row("diff", lambda x, axis=-1: np.diff(x, axis=axis),
    [case((7,)), case((3, 5), axis=0), case((3, 5)), case((1,))],
    dtypes=NUMERIC, gradient=(0,), tolerance=EXACT)

# ---------------------------------------------------------------- matrices

MATMUL_SHAPES = (
    ((3, 4), (4, 5)), ((1, 1), (1, 1)), ((17, 33), (33, 7)), ((4,), (4,)), ((3, 4), (4,)),
    ((4,), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)),
    ((4,), (2, 4, 3)), ((2, 3, 4), (4,)), ((0, 4), (4, 3)), ((3, 0), (0, 2)),
    ((0, 3, 4), (0, 4, 2)), ((1, 1025), (1025, 3)), ((65, 2), (2, 65)),
)


def product_row(name: str, reference: Any, cases: Any, **options: Any) -> None:
    row(name, reference, cases, gradient=options.pop("gradient", (0, 1)),
        tolerance=options.pop("tolerance", ulps(8, 8, 1)), scale="magnitude", why=CHAIN, **options)


product_row("matmul", np.matmul, [case(*s) for s in MATMUL_SHAPES], dtypes=NUMERIC,
            large=case((129, 257), (257, 131)))
product_row("dot", np.dot, [case((n,), (n,)) for n in (0, 1, 7, 1025)], dtypes=NUMERIC)
product_row("vecdot", lambda x, y, axis=-1: np.sum(x * y, axis=axis),
            [case((3, 4), (3, 4)), case((3, 4), (4,)), case((4, 3), (4, 3), axis=-2)])
product_row("outer", np.outer, [case((3,), (4,)), case((1,), (7,)), case((0,), (3,))],
            dtypes=NUMERIC)
product_row("tensordot",
            lambda x, y, axes=2, other_axes=None: np.tensordot(
                x, y, axes if other_axes is None else (axes, other_axes)),
            [case((2, 3, 4), (3, 4, 5)), case((2, 3), (3, 2), axes=1), case((2,), (3,), axes=0),
             case((2, 3, 4), (4, 5, 2), axes=(0, 2), other_axes=(2, 0))])
product_row("linear", lambda x, w, *b: x @ w.T + (b[0] if b else 0.0),
            [case((3, 4), (5, 4)), case((3, 4), (5, 4), (5,)), case((4,), (5, 4), (5,)),
             case((2, 3, 4), (5, 4), (5,)), case((0, 4), (5, 4), (5,)), case((3, 0), (5, 0), (5,))],
            gradient=(0, 1, 2), large=case((67, 129), (70, 129), (70,)))
product_row("addmm", lambda x, a, b, beta=1.0, alpha=1.0: beta * x + alpha * (a @ b),
            [case((5,), (3, 4), (4, 5)), case((3, 5), (3, 4), (4, 5), beta=0.5, alpha=2.0)],
            gradient=(0, 1, 2), tolerance=ulps(8, 8, 2.5))

# ---------------------------------------------------------------- convolution and pooling

CONV2D = [
    Case(((2, 4, 7, 6), (6, 4 // groups, *kernel), (6,)),
         {"stride": s, "padding": p, "dilation": d, "groups": groups})
    for kernel, s, p, d, groups in product(
        ((3, 3), (1, 1), (2, 3)), (1, 2, (2, 1)), (0, 1, (2, 1)), (1, 2), (1, 2))
]
CONV2D += [
    case((4, 5, 5), (2, 4, 3, 3)), case((1, 3, 5, 5), (3, 1, 3, 3), groups=3, padding=1),
    case((2, 3, 5, 5), (6, 1, 3, 3), (6,), groups=3, stride=2),
    case((1, 17, 6, 6), (33, 17, 3, 3), padding=1), case((0, 3, 5, 5), (2, 3, 3, 3)),
    case((2, 3, 5, 5), (4, 3, 3, 3), (4,), auto_pad="same"),
    case((2, 3, 5, 5), (4, 3, 3, 3), auto_pad="valid"), case((1, 1, 1, 1), (1, 1, 1, 1)),
]
CONV1D = [
    Case(((2, 4, 9), (6, 4 // g, k), (6,)), {"stride": s, "padding": p, "dilation": d, "groups": g})
    for k, s, p, d, g in product((1, 3), (1, 2, 3), (0, 2), (1, 2), (1, 2))
] + [case((3, 7), (2, 3, 3)), case((2, 3, 1025), (1, 3, 5))]
CONV3D = [
    Case(((2, 2, 5, 4, 6), (4, 2 // g, 2, 3, 3)),
         {"stride": s, "padding": p, "dilation": d, "groups": g})
    for s, p, d, g in product((1, 2), (0, 1, (1, 0, 1)), (1, (2, 1, 2)), (1, 2))
]
for name, cases, large in (
    ("conv1d", CONV1D, case((3, 20, 130), (33, 20, 3), padding=1)),
    ("conv2d", CONV2D, case((3, 20, 17, 19), (33, 20, 3, 3), padding=1)),
    ("conv3d", CONV3D, case((1, 8, 7, 9, 8), (20, 8, 3, 3, 3), padding=1)),
):
    product_row(name, ref.conv, cases, gradient=(0, 1, 2), large=large)

TRANSPOSE2D = [
    Case(((2, 4, 4, 3), (4, 6 // g, 3, 2)),
         {"stride": s, "padding": p, "output_padding": o, "groups": g, "dilation": d})
    for s, p, o, g, d in product((1, 2, (2, 3)), (0, 1), (0, 1), (1, 2), (1, 2))
    if o == 0 or s != 1
] + [case((1, 3, 4, 4), (3, 2, 2, 2), (2,), stride=2)]
TRANSPOSE1D = [
    Case(((2, 4, 5), (4, 3, 3), (3,)), {"stride": s, "padding": p})
    for s, p in product((1, 2), (0, 1))
]
TRANSPOSE3D = [
    Case(((1, 2, 3, 2, 3), (2, 3, 2, 2, 3)), {"stride": s, "padding": p})
    for s, p in product((1, 2), (0, 1))
]
for name, cases in (("conv_transpose1d", TRANSPOSE1D), ("conv_transpose2d", TRANSPOSE2D),
                    ("conv_transpose3d", TRANSPOSE3D)):
    product_row(name, ref.conv_transpose, cases, gradient=(0, 1, 2), tolerance=ulps(8, 8, 2.5))

PLANES = {1: (9,), 2: (7, 6), 3: (5, 4, 6)}


def pool_cases(n: int, dilations: tuple[int, ...]) -> list[Case]:
    cases = []
    for k, s, p, d, c in product((2, 3), (None, 1, 2), (0, 1), dilations, (False, True)):
        if d == 2 and n == 3 and k == 3:
            continue  # the window would not fit
        attrs = {"kernel_size": k, "stride": s, "padding": p, "ceil_mode": c}
        cases.append(Case(((2, 3, *PLANES[n]),), attrs | ({"dilation": d} if d != 1 else {})))
    return [*cases, Case(((3, *PLANES[n]),), {"kernel_size": 2})]


for n in (1, 2, 3):
    avg_extra = [
        Case(((2, 3, *PLANES[n]),), {"kernel_size": 3, "stride": 2, "padding": 1, **extra})
        for extra in ({"count_include_pad": False}, {"divisor_override": 5},
                      {"count_include_pad": False, "ceil_mode": True})
    ]
    row(f"max_pool{n}d", lambda x, n=n, **k: ref.max_pool(x, n=n, **k)[0], pool_cases(n, (1, 2)),
        gradient=(0,), tolerance=EXACT)
    row(f"max_pool{n}d_with_indices", lambda x, n=n, **k: ref.max_pool(x, n=n, **k),
        pool_cases(n, (1, 2)), gradient=(0,), tolerance=EXACT)
    row(f"avg_pool{n}d", lambda x, n=n, **k: ref.avg_pool(x, n=n, **k),
        pool_cases(n, (1,)) + avg_extra, gradient=(0,), tolerance=ulps(4, 4, 1), scale="magnitude",
        why=SUMS)
    sizes = [Case(((2, 3, *PLANES[n]),), {"output_size": s}) for s in (1, 2, 3)]
    row(f"adaptive_avg_pool{n}d",
        lambda x, output_size, n=n: ref.adaptive_pool(np.mean, x, output_size, n), sizes,
        gradient=(0,), tolerance=ulps(4, 4, 1.5), scale="magnitude", why=SUMS)
    row(f"adaptive_max_pool{n}d",
        lambda x, output_size, n=n: ref.adaptive_pool(np.max, x, output_size, n), sizes,
        gradient=(0,), tolerance=EXACT)
    row(f"adaptive_max_pool{n}d_with_indices",
        lambda x, output_size, n=n: ref.adaptive_max_pool(x, output_size, n), sizes,
        gradient=(0,), tolerance=EXACT)

# ---------------------------------------------------------------- moving elements: always exact


def mover(name: str, reference: Any, cases: Any, *domains: Any, **options: Any) -> None:
    options.setdefault("dtypes", ANY)
    options.setdefault("gradient", (0,))
    row(name, reference, cases, *domains, tolerance=ulps(0, 0, 0), **options)


def listed(name: str, reference: Any, cases: Any, **options: Any) -> None:
    """A function of a list of tensors."""
    mover(name, lambda *xs, **k: reference(list(xs), **k), cases,
          call=lambda *xs, **k: getattr(sn, name)(list(xs), **k),
          gradient=(0, 1, 2), **options)


mover("reshape", lambda x, shape: x.reshape(shape),
      [case((2, 6), shape=(3, 4)), case((12,), shape=(2, -1)), case((), shape=(1, 1)),
       case((0, 3), shape=(3, 0)), case((2, 3, 4), shape=(24,)), case((1,), shape=())])
mover("view", lambda x, shape: x.reshape(shape), [case((2, 6), shape=(3, -1))])
mover("flatten", lambda x, start_dim=0, end_dim=-1: x.reshape(
          x.shape[:start_dim] + (-1,) + x.shape[end_dim % x.ndim + 1:]),
      [case((2, 3, 4)), case((2, 3, 4), start_dim=1), case((2, 3, 4, 5), start_dim=1, end_dim=2)])
mover("unflatten", lambda x, axis, sizes: x.reshape(x.shape[:axis] + sizes + x.shape[axis + 1:]),
      [case((2, 12), axis=1, sizes=(3, 4)), case((6, 2), axis=0, sizes=(2, 3))])
mover("permute_dims", np.transpose,
      [case((2, 3, 4), axes=(2, 0, 1)), case((3,), axes=(0,)), case((), axes=()),
       case((2, 1, 3, 1, 5), axes=(4, 1, 0, 3, 2)), case((17, 33), axes=(1, 0)),
       case((2, 3, 4), axes=(-1, 0, -2))])
mover("transpose",
      lambda x, dim0=None, dim1=None: x.T if dim0 is None else np.swapaxes(x, dim0, dim1),
      [case((2, 3, 4)), case((2, 3, 4), dim0=0, dim1=-1), case((3, 0), dim0=0, dim1=1)])
mover("swapaxes", np.swapaxes, [case((2, 3, 4), axis1=0, axis2=2), case((2, 3), axis1=-1, axis2=0)])
mover("moveaxis", np.moveaxis, [case((2, 3, 4), source=0, destination=-1),
                                case((2, 3, 4, 5), source=(0, 1), destination=(-1, 0))])
mover("matrix_transpose", lambda x: np.swapaxes(x, -1, -2), [case((2, 3)), case((5, 2, 3))])
mover("squeeze", np.squeeze,
      [case((1, 3, 1)), case((1, 3, 1), axis=0), case((1, 3, 1), axis=(0, -1))])
mover("expand_dims", np.expand_dims,
      [case((3,), axis=0), case((3,), axis=(0, 2)), case((), axis=0), case((2, 3), axis=-1)])
mover("broadcast_to", np.broadcast_to,
      [case((3,), shape=(2, 3)), case((3, 1), shape=(2, 3, 4)), case((), shape=(3,)),
       case((1, 3), shape=(0, 3)), case((2, 1), shape=(2, 33))])
mover("expand_as", lambda x, y: np.broadcast_to(x, y.shape), [case((1, 3), (2, 3)), case((), (2,))])
listed("broadcast_tensors", lambda xs: list(np.broadcast_arrays(*xs)), [case((3, 1), (2,), (1, 1))])
listed("meshgrid", lambda xs, indexing="xy": np.meshgrid(*xs, indexing=indexing),
       [case((3,), (2,)), case((3,), (2,), (4,), indexing="ij")])
for name, f in (("hstack", np.hstack), ("vstack", np.vstack), ("dstack", np.dstack)):
    listed(name, f, [case((2,), (2,)), case((2, 3), (2, 3), (2, 3))])
listed("concat", np.concatenate,
       [case((2, 3), (4, 3)), case((2, 3), (2, 1), (2, 0), axis=-1), case((2,), (2, 2), axis=None),
        case((17, 3), (33, 3))])
listed("stack", np.stack,
       [case((2, 3), (2, 3)), case((2, 3), (2, 3), (2, 3), axis=-1), case((), ())])
mover("split", lambda x, split_size_or_sections, axis=0: np.split(
          x, range(2, x.shape[axis], 2) if split_size_or_sections == 2
          else np.cumsum(split_size_or_sections)[:-1], axis),
      [case((5,), split_size_or_sections=2),
       case((3, 6), split_size_or_sections=(1, 0, 5), axis=1)])
mover("chunk", lambda x, chunks, axis=0: np.array_split(x, [2, 4], axis),
      [case((5,), chunks=3), case((3, 5), chunks=3, axis=1)])
mover("unstack", lambda x, axis=0: [np.take(x, i, axis) for i in range(x.shape[axis])],
      [case((3, 2)), case((3, 2), axis=-1)])
mover("narrow", lambda x, axis, start, length: np.take(x, range(start, start + length), axis),
      [case((5,), axis=0, start=1, length=3), case((3, 5), axis=-1, start=0, length=0)])
mover("flip", np.flip,
      [case((7,)), case((3, 4)), case((3, 4), axis=0), case((2, 3, 4), axis=(0, -1))])
mover("roll", np.roll, [case((7,), shift=2), case((3, 4), shift=-1, axis=1), case((3, 4), shift=5),
                        case((3, 4), shift=(1, 2), axis=(0, 1))])
mover("tile", lambda x, **k: np.tile(x, k["repetitions"]),
      [case((3,), repetitions=(2,)), case((2, 3), repetitions=(2, 1, 2))])
mover("repeat", np.repeat, [case((3,), repeats=2), case((2, 3), repeats=3, axis=1),
                            case((2, 3), repeats=2), case((3, 2), repeats=0, axis=0)])
mover("pad", ref.torch_pad,
      [case((3,), pad=(1, 2)), case((2, 3), pad=(1, 0, 2, 1), value=3), case((2, 5), pad=(-1, 2)),
       case((2, 5), pad=(2, 1), mode="reflect"), case((2, 5), pad=(2, 1, 1, 1), mode="replicate"),
       case((4, 5), pad=(2, 1), mode="circular"), case((0, 3), pad=(0, 0, 1, 1)),
       case((2, 5), pad=(-1, 2), mode="reflect"), case((2, 5), pad=(2, -3), mode="replicate"),
       case((4, 5), pad=(-2, 1, 2, -1), mode="circular")],
      dtypes=NUMERIC)
mover("diag", np.diag, [case((3,)), case((3, 4)), case((3, 4), k=1), case((3,), k=-1)])
mover("diagonal", np.diagonal, [case((3, 4)), case((3, 4), offset=1), case((3, 4), offset=-2),
                                case((2, 3, 4), offset=0, axis1=0, axis2=2)])
mover("tril", np.tril, [case((3, 4)), case((3, 4), k=1), case((2, 3, 3), k=-1)])
mover("triu", np.triu, [case((3, 4)), case((3, 4), k=1), case((2, 3, 3), k=-1)])
for name in ("clone", "contiguous"):
    mover(name, np.copy, [case(s) for s in SHAPES], large=LARGE_ONE)

# ---------------------------------------------------------------- indexing, sorting, searching


def at(shape: tuple[int, ...], high: int, low: int = 0) -> Any:
    return (shape, Index(high, low))


mover("take", lambda x, i, axis=None: np.take(x, i, axis),
      [case((5,), at((3,), 5)), case((4, 5), at((2, 3), 5, -5), axis=1), case((4, 5), at((3,), 20)),
       case((4, 5), at((), 4), axis=0), case((4, 5), at((0,), 4), axis=0)])
mover("take_along_axis", np.take_along_axis,
      [case((4, 5), at((4, 2), 5), axis=1), case((4, 5), at((6, 5), 4), axis=0)])
mover("index_select", np.take,
      [case((4, 5), at((3,), 5), axis=1), case((4, 5), at((7,), 4), axis=0)],
      call=lambda x, i, axis: sn.index_select(x, axis, i))
mover("gather", lambda x, i, axis: ref.gather(x, axis, i),
      [case((4, 5), at((4, 2), 5), axis=1), case((4, 5), at((7, 3), 4), axis=0),
       case((2, 3, 4), at((1, 3, 2), 4), axis=-1)],
      call=lambda x, i, axis: sn.gather(x, axis, i))
mover("gather_nd", lambda x, *i: x[i],
      [case((4, 5), at((3,), 4)), case((4, 5), at((2, 1), 4), at((3,), 5)),
       case((3, 4, 5), at((6,), 3), at((6,), 4, -4))],
      call=lambda x, *i: sn.gather_nd(x, list(i)))
mover("embedding", lambda i, w: w[i], [case(at((3, 2), 7), (7, 4)), case(at((0,), 7), (7, 4))],
      dtypes=FLOATS, gradient=(1,))
for name, add in (("scatter", False), ("scatter_add", True)):
    row(name, lambda x, i, src, axis, add=add: ref.put_along(x, axis, i, src, add),
        [case((4, 5), at((4, 1), 5), (4, 1), axis=1),
         case((9,), ((6,), Shuffled()), (6,), axis=0)],
        dtypes=NUMERIC, gradient=(0, 2), tolerance=ulps(1, 1, 1), scale="largest", why=SUMS,
        call=lambda x, i, src, axis, name=name: getattr(sn, name)(x, axis, i, src))
for name, add in (("index_add", True), ("index_copy", False)):
    row(name, lambda x, i, src, axis, add=add: ref.index_rows(x, axis, i, src, add),
        [case((4, 5), ((3,), Shuffled()), (3, 5), axis=0),
         case((4, 5), ((2,), Shuffled()), (4, 2), axis=1)]
        + ([case((4, 5), at((9,), 4), (9, 5), axis=0)] if add else []),
        dtypes=NUMERIC, gradient=(0, 2), tolerance=ulps(4, 4, 3), scale="largest", why=SUMS,
        call=lambda x, i, src, axis, name=name: getattr(sn, name)(x, axis, i, src))


def put_reference(x: np.ndarray, i: np.ndarray, v: np.ndarray, accumulate: bool = False) -> Any:
    out = x.copy()
    if accumulate:
        np.add.at(out, i, v)
    else:
        out[i] = v
    return out


row("index_put", put_reference,
    [case((5,), ((3,), Shuffled()), (3,)), case((5, 4), ((3,), Shuffled()), (3, 4)),
     case((5, 4), at((9,), 5), (9, 4), accumulate=True)],
    dtypes=NUMERIC, gradient=(0, 2), tolerance=ulps(4, 4, 3), scale="largest", why=SUMS,
    call=lambda x, i, v, accumulate=False: sn.index_put(x, [i], v, accumulate))
row("one_hot", lambda i, num_classes: np.eye(num_classes, dtype=np.int64)[i],
    [case(at((3, 2), 5), num_classes=5), case(at((), 3), num_classes=3),
     case(at((0,), 3), num_classes=3)],
    dtypes=("int64",), result="int64")
ORDERED = [case((7,)), case((1,)), case((3, 33)), case((33, 3), axis=0), case((2, 3, 4), axis=1),
           case((1025,)), case((0,)), case((3, 0)), case((17,), descending=True),
           case((5, 9), axis=0, descending=True)]
TIES = Real(-2, 2, ints=(-3, 3))
mover("sort", lambda x, axis=-1, descending=False: np.flip(np.sort(x, axis=axis), axis)
      if descending else np.sort(x, axis=axis), ORDERED, TIES)
mover("argsort", ref.argsort, ORDERED, TIES, dtypes=NUMERIC, result="int64", gradient=())
mover("topk", ref.topk,
      [case((7,), k=3), case((3, 33), k=5), case((33, 3), k=4, axis=0), case((9,), k=0),
       case((9,), k=9, largest=False), case((4, 9), k=2, largest=False)],
      TIES, dtypes=NUMERIC)
mover("searchsorted", lambda s, v, side="left": np.searchsorted(s, v, side=side),
      [case((9,), (5,)), case((9,), (2, 3), side="right"), case((0,), (3,)), case((9,), ())],
      Sorted(), Real(), dtypes=NUMERIC, result="int64", gradient=())
mover("nonzero", lambda x: list(np.nonzero(x)), [case((7,)), case((3, 4)), case((0,))],
      Real(ints=(0, 2)), result="int64", gradient=())
mover("masked_select", lambda x, m: x[m], [case((7,), (7,)), case((3, 4), (3, 4))], Real(), Mask())
for name, options in (
    ("unique_values", {}), ("unique_counts", {"return_counts": True}),
    ("unique_inverse", {"return_inverse": True}),
    ("unique_all", {"return_index": True, "return_inverse": True, "return_counts": True}),
):
    mover(name, lambda x, options=options: np.unique(x, **options),
          [case((17,)), case((3, 5)), case((1,)), case((0,))], TIES, gradient=())

# ---------------------------------------------------------------- normalisation and losses

AXES = [case((7,)), case((17, 33)), case((5, 7), axis=0), case((2, 3, 4), axis=1), case((3, 1025)),
        case((0, 3)), case((1,)), case((2, 1, 3, 1, 5), axis=-3)]
row("softmax", ref.softmax, AXES, Real(-5, 5), dtypes=(*FLOATS, "int32"), result="float",
    gradient=(0,), tolerance=ulps(12, 4, 1), large=case((67, 1031)),
    why="x - max is rounded, and an exponent: half an ulp of 10 is 10 half ulps of the result")
row("log_softmax", ref.log_softmax, AXES, Real(-5, 5), dtypes=(*FLOATS, "int32"), result="float",
    gradient=(0,), tolerance=ulps(4, 4, 1), scale="largest", why=COMPOSED, large=case((67, 1031)))


def affine(name: str, reference: Any, cases: Any, call: Any, **options: Any) -> None:
    row(name, reference, cases, Real(), Real(0.5, 1.5), gradient=(0, 1, 2),
        tolerance=ulps(8, 8, 1), scale="largest", why=COMPOSED, call=call, **options)


LAST = [case((7, 33), normalized_shape=33), case((5, 17), (17,), normalized_shape=17),
        case((2, 3, 4), (3, 4), (3, 4), normalized_shape=(3, 4)),
        case((3, 1025), normalized_shape=1025), case((0, 4), (4,), (4,), normalized_shape=4)]
affine("layer_norm", ref.layer_norm, LAST,
       lambda x, *a, normalized_shape: sn.layer_norm(x, normalized_shape, *a),
       large=case((67, 1031), (1031,), (1031,), normalized_shape=1031))
affine("rms_norm", ref.rms_norm, [Case(c.args[:2], c.attrs) for c in LAST],
       lambda x, *a, normalized_shape: sn.rms_norm(x, normalized_shape, *a))
affine("group_norm", ref.group_norm,
       [case((2, 6, 5), num_groups=3), case((2, 6, 3, 3), (6,), (6,), num_groups=2),
        case((3, 4), (4,), (4,), num_groups=1)],
       lambda x, *a, num_groups: sn.group_norm(x, num_groups, *a))
row("batch_norm_train", ref.batch_norm_train,
    [case((5, 3)), case((4, 3), (3,), (3,)), case((2, 3, 5, 4), (3,), (3,)),
     case((33, 17), (17,), (17,))],
    Real(), Real(0.5, 1.5), dtypes=("float32", "float64"), gradient=(0, 1, 2),
    tolerance=ulps(8, 8), scale="largest", why=COMPOSED, large=case((17, 33, 11, 7), (33,), (33,)))
row("batch_norm_inference", ref.batch_norm_inference,
    [case((5, 3), (3,), (3,)), case((2, 3, 5, 4), (3,), (3,), (3,), (3,))],
    Real(), Real(), Real(0.5, 1.5), gradient=(0, 1, 2, 3, 4), tolerance=ulps(8, 8, 3),
    scale="largest", why=COMPOSED)
row("normalize", ref.normalize,
    [case((3, 4)), case((3, 4), axis=0), case((3, 4), p=1.0), case((2, 3, 4), axis=-1)],
    Real(0.2, 2), gradient=(0,), tolerance=ulps(6, 6, 2), scale="largest", why=COMPOSED)
row("cosine_similarity", ref.cosine_similarity,
    [case((3, 4), (3, 4)), case((3, 4), (3, 4), axis=0)],
    Real(0.2, 2), gradient=(0, 1), tolerance=ulps(8, 8, 2), scale="largest", why=COMPOSED)

REDUCTIONS = ("mean", "sum", "none")


def loss(name: str, reference: Any, cases: Any, *domains: Any, **options: Any) -> None:
    options.setdefault("gradient", (0, 1))
    row(name, reference, cases, *domains, tolerance=ulps(8, 8, 1.5), scale="largest",
        why=COMPOSED, **options)


def two(*more: Any, **attrs: Any) -> list[Case]:
    return [Case(((5, 7), (5, 7), *more), {"reduction": r, **attrs}) for r in REDUCTIONS]


loss("mse_loss", lambda x, t, reduction: ref.reduced((x - t) ** 2, reduction),
     [*two(), case((1025,), (1025,), reduction="mean"), case((), (), reduction="sum")])
loss("l1_loss", lambda x, t, reduction: ref.reduced(np.abs(x - t), reduction), two(),
     Real(1, 2), Real(-1, 0.9))
loss("smooth_l1_loss", ref.smooth_l1, two() + two(beta=0.5), Real(1.4, 2), Real(-1, 0.2))
loss("huber_loss", ref.huber, two() + two(delta=0.3), Real(1.4, 2), Real(-1, 0.2))
loss("kl_div", ref.kl_div,
     [*two(), case((5, 7), ((5, 7), Real(-2, -0.1)), reduction="batchmean", log_target=True)],
     Real(-3, -0.1), Real(0.1, 0.9))
loss("binary_cross_entropy", ref.bce,
     [*two(), case((5, 7), (5, 7), (7,), reduction="sum")],
     Real(0.1, 0.9), Real(0.1, 0.9), Real(0.5, 2),
     call=lambda x, t, *w, reduction: sn.binary_cross_entropy(x, t, *w, reduction=reduction))
loss("binary_cross_entropy_with_logits", ref.bce_with_logits,
     [*two(), case((5, 7), (5, 7), (7,), (7,), reduction="mean")],
     Real(-4, 4), Real(0.1, 0.9), Real(0.5, 2),
     call=lambda x, t, *w, reduction: sn.binary_cross_entropy_with_logits(
         x, t, w[0] if w else None, reduction, w[1] if w else None))


def labelled(*more: Any, **attrs: Any) -> list[Case]:
    shapes = (((5, 7), at((5,), 7)), ((7,), at((), 7)), ((2, 4, 3, 2), at((2, 3, 2), 4)))
    return [
        Case((*s, *((s[0][0 if len(s[0]) == 1 else 1],) for _ in more)), {"reduction": r, **attrs})
        for s in shapes for r in REDUCTIONS
    ]


loss("nll_loss", ref.nll_loss, labelled() + labelled("weight") + labelled(ignore_index=1)[3:],
     Real(-4, -0.1), Real(), Real(0.5, 2), gradient=(0,))
loss("cross_entropy", ref.cross_entropy,
     labelled() + labelled("weight") + labelled(ignore_index=1)[:3] + labelled(label_smoothing=0.1)
     + labelled("weight", label_smoothing=0.2)
     + [case((5, 7), ((5, 7), Probabilities()), reduction=r) for r in REDUCTIONS]
     + [case((5, 7), ((5, 7), Probabilities()), (7,), reduction="mean", label_smoothing=0.1)],
     Real(-4, 4), Real(), Real(0.5, 2), gradient=(0,),
     large=case((67, 1031), at((67,), 1031), reduction="mean"))

# ---------------------------------------------------------------- recurrent layers


def layer(gates: int, steps: int, batch: int, inputs: int, hidden: int, more: int = 0,
          projected: int = 0, **attrs: Any) -> Case:
    """`more` of the optional arguments: two biases, h0, then c0 and the projection of an LSTM."""
    rows, state = gates * hidden, projected or hidden
    optional = ((rows,), (rows,), (batch, state), (batch, hidden), (state, hidden))
    return Case(((steps, batch, inputs), (rows, inputs), (rows, state), *optional[:more]), attrs)


def recurrent(name: str, reference: Any, gates: int, *more: Case, states: int) -> None:
    row(name, reference,
        [layer(gates, 3, 2, 4, 5), layer(gates, 4, 3, 2, 3, 2 + states, reverse=True),
         layer(gates, 1, 2, 3, 4, 2 + states), layer(gates, 3, 1, 5, 2, 2),
         layer(gates, 2, 3, 1, 17, 2, reverse=True), layer(gates, 3, 0, 2, 3, 2), *more],
        Real(-1, 1), gradient=tuple(range(8)), tolerance=ulps(16, 16, 1.5), scale="largest",
        why=COMPOSED, large=layer(gates, 9, 70, 31, 45, 2 + states))


recurrent("rnn_sequence", ref.rnn_sequence, 1,
          layer(1, 3, 2, 3, 4, 3, nonlinearity="relu"), states=1)
recurrent("lstm_sequence", ref.lstm_sequence, 4, layer(4, 3, 2, 3, 5, 5, projected=3), states=2)
recurrent("gru_sequence", ref.gru_sequence, 3, states=1)

# ---------------------------------------------------------------- functions without a row

table_special.add_scans(row)
table_special.add_rows(row)

ELSEWHERE = {
    **({} if table_special.sc else dict.fromkeys(table_special.names(), "table_special.py")),
    **dict.fromkeys(
        ("arange", "linspace", "eye", "full", "full_like", "ones", "ones_like", "zeros",
         "zeros_like", "empty", "empty_like"),
        "test_creation.py",  # they take no tensor whose elements matter
    ),
    **dict.fromkeys(
        ("random.uniform", "random.normal", "random.integers", "random.bernoulli",
         "random.permutation", "random.rand", "random.randn", "random.seed", "random.get_state",
         "random.set_state", "rand_like", "randn_like", "dropout"),
        "test_random.py",  # their reference is the generator's definition and statistics
    ),
    **dict.fromkeys(("random.multinomial", "is_nonzero", "take_along_dim"), "test_names.py"),
    "ctc_loss": "../nn/test_ctc.py",  # all alignments, lengths, the reference's bits
    **dict.fromkeys(
        ("adjoint", "real", "imag", "conj", "resolve_conj", "complex", "polar", "angle",
         "view_as_real", "view_as_complex"),
        "../array_api/test_complex.py",  # against NumPy, PyTorch and the reference back-end
    ),
    "scaled_dot_product_attention": "../nn/test_attention.py",  # masks, heads, windows, dropout
    # Made of ops that have rows: compared with NumPy there, with PyTorch in tests/oracle.
    **dict.fromkeys(COMPOSITES, "tensor_functions.py"),
}

BY_NAME = {r.name: r for r in ROWS}
__all__ = ["BY_NAME", "ELSEWHERE", "ROWS", "TIGHT"]
