"""What a row of the op table is, and what is done with one: inputs, layouts, comparison."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

import sennit as sn

# Times each tolerance: the baseline instruction set rounds products before it adds them.
SLACK = 3.0 if sn._core.isa() == "v2" else 1.0

FLOATS = ("float16", "bfloat16", "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTS = SIGNED + UNSIGNED
BOOL = ("bool",)
NUMERIC = FLOATS + INTS
ANY = NUMERIC + BOOL

# Mantissa bits (the hidden one included) and the exponent of the smallest normal, as frexp has it.
PRECISION = {
    "float16": (11, -13),
    "bfloat16": (8, -125),
    "float32": (24, -125),
    "float64": (53, -1021),
}


def numpy_dtype(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


# ---------------------------------------------------------------- inputs


@dataclass(frozen=True)
class Real:
    """Numbers of the row's dtype, none nearer than `gap` to a kink."""

    low: float = -2.0
    high: float = 2.0
    kinks: tuple[float, ...] = ()
    gap: float = 0.05
    ints: tuple[int, int] = (-9, 9)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        if dtype == "bool":
            return rng.random(shape) < 0.5
        if dtype in INTS:
            low, high = self.ints
            return rng.integers(max(low, 0) if dtype in UNSIGNED else low, high + 1, shape).astype(
                dtype
            )
        x = np.asarray(rng.uniform(self.low, self.high, shape))
        for kink in self.kinks:
            near = np.abs(x - kink) < self.gap
            x = np.where(near, x + np.where(x < kink, -self.gap, self.gap), x)
        return x.astype(numpy_dtype(dtype))


@dataclass(frozen=True)
class Index:
    """Integers in [low, high), of their own dtype whatever the row's."""

    high: int
    low: int = 0
    dtype: str = "int64"

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], _: str) -> np.ndarray:
        return rng.integers(self.low, self.high, shape).astype(self.dtype)


@dataclass(frozen=True)
class Shuffled:
    """A permutation of 0 .. n-1: indices that never repeat."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], _: str) -> np.ndarray:
        return rng.permutation(int(np.prod(shape))).reshape(shape)


@dataclass(frozen=True)
class Mask:
    """Booleans."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], _: str) -> np.ndarray:
        return rng.random(shape) < 0.5


@dataclass(frozen=True)
class Sorted:
    """Ascending numbers of the row's dtype."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        return np.sort(Real().draw(rng, shape, dtype), axis=-1)


@dataclass(frozen=True)
class Probabilities:
    """Positive numbers that sum to one along an axis."""

    axis: int = 1

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        x = rng.uniform(0.1, 1.0, shape)
        return (x / x.sum(self.axis, keepdims=True)).astype(numpy_dtype(dtype))


Domain = Real | Index | Shuffled | Mask | Sorted | Probabilities
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One call: the tensors' shapes (with a domain where it is not the row's) and attributes."""

    args: tuple[Shape | tuple[Shape, Domain], ...]
    attrs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join([str(a) for a in self.args] + [f"{k}={v}" for k, v in self.attrs.items()])


def case(*args: Any, **attrs: Any) -> Case:
    return Case(args, attrs)


# ---------------------------------------------------------------- rows

# Elementwise functions of one rounding (bit-equal to IEEE 754 in f32 and f64); half types are
# computed in f32 and rounded once, which adds the little over a half that double rounding can.
EXACT = {"float16": 0.51, "bfloat16": 0.51, "float32": 0.5001, "float64": 0.0}
# The promise on transcendental functions; float64 is compared with a libm that errs too.
TIGHT = {"float16": 0.51, "bfloat16": 0.51, "float32": 2.0, "float64": 4.0}


def ulps(f32: float, f64: float | None = None, half: float = 0.51) -> dict[str, float]:
    """A tolerance per dtype in units in the last place."""
    f64 = f32 if f64 is None else f64
    return {"float16": half, "bfloat16": half, "float32": f32, "float64": f64}


@dataclass(frozen=True)
class Row:
    """One function: how to call it, what it must give, and how exactly.

    reference  gets float64 arrays for floating dtypes (and where integers become float32),
               integers and bools as they are; with `native` the arrays in the row's dtype
    result     "same", a dtype's name, "float" (integers become float32) or "wide" (integers and
               bools become 64 bits wide)
    gradient   positions of the tensors that it is differentiable in
    scale      what errors are measured against: "value" (the result itself), "largest" (the
               result's largest element, at least 1) or "magnitude" (the reference of the absolute
               values, for sums in which terms cancel)
    why        the reason for a tolerance looser than TIGHT
    everywhere whether the reference holds for numbers of any size
    """

    name: str
    reference: Callable[..., Any]
    cases: tuple[Case, ...]
    domains: tuple[Domain, ...] = (Real(),)
    dtypes: tuple[str, ...] = FLOATS
    result: str = "same"
    gradient: tuple[int, ...] = ()
    tolerance: dict[str, float] = field(default_factory=lambda: TIGHT)
    scale: str = "value"
    why: str = ""
    native: bool = False
    everywhere: bool = True
    call: Callable[..., Any] | None = None
    large: Case | None = None

    def function(self) -> Callable[..., Any]:
        return self.call or getattr(sn, self.name)

    def run(self, tensors: list[sn.Tensor], attrs: dict[str, Any]) -> list[sn.Tensor]:
        out = self.function()(*tensors, **attrs)
        return list(out) if isinstance(out, (tuple, list)) else [out]

    def arrays(self, c: Case, dtype: str) -> list[np.ndarray]:
        """The inputs of a case: the same ones every time, others for other cases."""
        rng = np.random.default_rng(zlib.crc32(f"{self.name} {c} {dtype}".encode()))
        drawn = []
        for i, arg in enumerate(c.args):
            own = bool(arg) and isinstance(arg[0], tuple)
            shape = arg[0] if own else arg
            domain = arg[1] if own else self.domains[min(i, len(self.domains) - 1)]
            drawn.append(domain.draw(rng, shape, dtype))
        return drawn

    def expected_dtype(self, dtype: str) -> str:
        if self.result == "same" or (self.result in ("float", "wide") and dtype in FLOATS):
            return dtype
        if self.result == "float":
            return "float32"
        if self.result == "wide":
            return "uint64" if dtype in UNSIGNED else "int64"
        return self.result

    def expect(self, arrays: list[np.ndarray], attrs: dict[str, Any], dtype: str) -> list[Any]:
        widen = dtype in FLOATS or self.expected_dtype(dtype) in FLOATS
        with np.errstate(all="ignore"):
            if self.native:
                args = arrays
            elif widen:
                args = [
                    a.astype(np.float64) if a.dtype == numpy_dtype(dtype) else a for a in arrays
                ]
            else:
                args = arrays
            out = self.reference(*args, **attrs)
        return list(out) if isinstance(out, (tuple, list)) else [out]


# ---------------------------------------------------------------- layouts

LAYOUTS = ("transposed", "sliced", "flipped")


def lay_out(a: np.ndarray, layout: str) -> sn.Tensor:
    """A tensor with these elements and the named strides."""
    if a.ndim == 0 and layout != "sliced":
        return sn.asarray(a)
    if layout == "transposed":
        return sn.permute_dims(sn.asarray(np.ascontiguousarray(a.T)), tuple(range(a.ndim))[::-1])
    if layout == "sliced":  # every second element from an odd one on: nothing is aligned
        if a.ndim == 0:
            return sn.asarray(np.stack([a, a, a]))[1]
        around = np.zeros([2 * n + 1 for n in a.shape], a.dtype)
        every = tuple(slice(1, None, 2) for _ in a.shape)
        around[every] = a
        return sn.asarray(around)[every]
    if layout == "flipped":
        return sn.flip(sn.asarray(np.ascontiguousarray(np.flip(a))))
    return sn.asarray(a)


def expanded(a: np.ndarray) -> tuple[sn.Tensor, np.ndarray]:
    """A tensor with stride 0 along its last dimension, and the same elements as an array."""
    if a.ndim == 0 or a.shape[-1] == 0:
        return sn.asarray(a), a
    first = np.ascontiguousarray(a[..., :1])
    return sn.broadcast_to(sn.asarray(first), a.shape), np.broadcast_to(first, a.shape).copy()


# ---------------------------------------------------------------- comparison


def bits(t: sn.Tensor) -> bytes:
    """The elements' bytes with every NaN made the same: payloads are exempt from the promise."""
    a = t.detach().numpy()
    if a.dtype.kind not in "biu":
        a = np.where(np.isnan(a), np.asarray(np.nan, a.dtype), a)
    return np.ascontiguousarray(a).tobytes()


def ulp(x: np.ndarray, dtype: str) -> np.ndarray:
    """The distance between neighbours of the dtype at x."""
    precision, smallest = PRECISION[dtype]
    exponent = np.frexp(np.where(np.isfinite(x), x, 0.0))[1]
    return np.ldexp(1.0, np.maximum(exponent, smallest) - precision)


def ulp_errors(got: np.ndarray, want: np.ndarray, dtype: str, scale: Any) -> np.ndarray:
    """Errors in units in the last place at `scale`; 0 where equal, inf where only one is finite."""
    with np.errstate(all="ignore"):
        rounded = np.asarray(want).astype(numpy_dtype(dtype)).astype(np.float64)
        got = got.astype(np.float64)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        error = np.abs(got - want) / ulp(np.asarray(scale, dtype=np.float64), dtype)
        error = np.where(np.isfinite(got) & np.isfinite(rounded), error, np.inf)
    return np.where(same, 0.0, error)


def check(
    got: sn.Tensor, want: Any, dtype: str, tolerance: float, scale: Any = None, note: str = ""
) -> None:
    """Fails unless the tensor has the dtype, the shape and the numbers of `want`."""
    want = np.asarray(want)
    assert got.shape == want.shape, f"{note}: shape {got.shape}, expected {want.shape}"
    assert str(got.dtype).removeprefix("sennit.") == dtype, f"{note}: {got.dtype}, not {dtype}"
    found = got.detach().numpy()
    if dtype not in FLOATS:
        wrong = found != want
        assert not wrong.any(), _report(note, found, want, wrong, "differs")
        return
    want = want.astype(np.float64)
    error = ulp_errors(found, want, dtype, want if scale is None else scale)
    wrong = error > tolerance
    assert not wrong.any(), _report(
        note, found, want, wrong, f"{error.max():.4g} ulp off, {tolerance} allowed"
    )


def _report(note: str, got: np.ndarray, want: np.ndarray, wrong: np.ndarray, what: str) -> str:
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{note}: {what}; at {at} got {got[at]!r}, expected {want[at]!r} ({wrong.sum()} wrong)"


def scale_of(row: Row, want: Any, arrays: list[np.ndarray], attrs: dict[str, Any], i: int) -> Any:
    if row.scale == "value":
        return None
    if row.scale == "largest":
        finite = np.where(np.isfinite(want), np.abs(want), 0.0)
        return max(1.0, float(finite.max(initial=0.0)))
    magnitudes = [np.abs(a.astype(np.float64)) if a.dtype.kind in "fV" else a for a in arrays]
    out = row.reference(*magnitudes, **attrs)
    return out[i] if isinstance(out, (tuple, list)) else out


def check_case(row: Row, c: Case, dtype: str, arrays: list[np.ndarray], got: list[Any]) -> None:
    want = row.expect(arrays, c.attrs, dtype)
    assert len(got) == len(want), f"{row.name}({c}): {len(got)} results, expected {len(want)}"
    for i, (g, w) in enumerate(zip(got, want)):
        w = np.asarray(w)
        kind = row.expected_dtype(dtype)
        if w.dtype.kind in "biu" and (kind in FLOATS or len(got) > 1):
            kind = str(w.dtype)  # positions and counts beside values
        tolerance = SLACK * row.tolerance.get(kind, 0.0)
        scale = scale_of(row, w, arrays, c.attrs, i) if kind in FLOATS else None
        check(g, w, kind, tolerance, scale, f"{row.name}({c}) {dtype}")


# ---------------------------------------------------------------- gradients


def project(outs: list[sn.Tensor], seed: int) -> sn.Tensor | None:
    """The sum of the floating results with random weights: a scalar that all of them matter to."""
    rng = np.random.default_rng(seed)
    total = None
    for o in outs:
        if o.dtype in (sn.float32, sn.float64):
            weights = sn.asarray(np.asarray(rng.uniform(0.5, 1.5, o.shape)), dtype=o.dtype)
            term = (o * weights).sum()
            total = term if total is None else total + term
    return total


def leaves(row: Row, arrays: list[np.ndarray]) -> tuple[list[sn.Tensor], list[sn.Tensor]]:
    """The inputs as tensors, and those among them that are differentiated."""
    tensors = [sn.asarray(a) for a in arrays]
    wanted = [i for i in row.gradient if i < len(arrays) and arrays[i].dtype.kind == "f"]
    for i in wanted:
        tensors[i] = tensors[i].requires_grad_(True)
    return tensors, [tensors[i] for i in wanted]


def gradients_of(row: Row, c: Case, arrays: list[np.ndarray]) -> list[sn.Tensor | None]:
    """Gradients of the projected result with respect to the row's differentiable inputs."""
    tensors, wanted = leaves(row, arrays)
    return sn.gradients(project(row.run(tensors, c.attrs), 1), wanted)


def directional(
    f: Callable[[list[np.ndarray]], float], arrays: list[np.ndarray], i: int, way: np.ndarray
) -> float:
    """Central difference of f in one direction of one argument."""
    step = 1e-5
    ahead, behind = list(arrays), list(arrays)
    ahead[i] = np.asarray(arrays[i] + step * way)  # NumPy makes scalars of rank 0
    behind[i] = np.asarray(arrays[i] - step * way)
    return (f(ahead) - f(behind)) / (2 * step)


def directions(shape: Shape, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Each axis of a small space, four random directions of a large one."""
    size = int(np.prod(shape))
    if size <= 8:
        for j in range(size):
            way = np.zeros(size)
            way[j] = 1.0
            yield way.reshape(shape)
    else:
        for _ in range(4):
            yield rng.uniform(-1, 1, shape)


def check_differences(
    f: Callable[[list[np.ndarray]], float],
    arrays: list[np.ndarray],
    found: dict[int, np.ndarray],
    note: str,
) -> None:
    """Fails unless `found` (gradient by position) agrees with differences of f."""
    rng = np.random.default_rng(2)
    for i, gradient in found.items():
        assert gradient.shape == arrays[i].shape, f"{note}: gradient {i} has {gradient.shape}"
        for way in directions(arrays[i].shape, rng):
            want = directional(f, arrays, i, way)
            got = float((gradient * way).sum())
            room = 2e-6 * (1.0 + abs(want) + float(np.abs(gradient).max()))
            assert abs(got - want) <= room, f"{note}: argument {i}: {got}, differences say {want}"


def gradient_cases(row: Row, full: bool) -> list[Case]:
    """Cases small enough for finite differences; six of them unless everything is wanted."""
    small = []
    for c in row.cases:
        sizes = [np.prod(a[0] if a and isinstance(a[0], tuple) else a) for a in c.args]
        if all(0 < s <= 400 for s in sizes):
            small.append(c)
    step = 1 if full else max(1, -(-len(small) // 6))
    return small[::step]
