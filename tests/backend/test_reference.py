"""The CPU's kernels against the reference back-end, bit for bit.

The reference computes every op element by element, in plain loops; the CPU in tiles, with vectors
and threads. The numerics (docs/design/001) fix every result, so the two must agree in every bit
(NaN payloads excepted).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import _core

pytestmark = pytest.mark.skipif(
    _core.isa() == "v2",
    reason="the v2 level has no fused multiply-add: outside the bit guarantee",
)

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
CLASSES = {
    "FLOAT": FLOATS,
    "NUMERIC": FLOATS + INTS,
    "INT": INTS,
    "INTBOOL": (*INTS, "bool"),
    "BOOL": ("bool",),
    "ANY": (*FLOATS, *INTS, "bool"),
}
SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1e30, -1e30, 0.5, -2.5)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["window", "op by op"])
def windows(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fused, and one op at a time."""
    before = sn.config.window
    if request.param == "op by op":
        sn.config.window = 1
    yield
    sn.config.window = before


@pytest.fixture(autouse=True)
def verified() -> Iterator[None]:
    """Graphs and plans pass the independent verifier, on both devices."""
    before = sn.config.verify
    sn.config.verify = True
    yield
    sn.config.verify = before


def tensors(value: Any) -> Iterator[sn.Tensor]:
    if isinstance(value, sn.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)


def bits(x: sn.Tensor) -> np.ndarray:
    """An integer per element; every NaN is the same one. Half floats go through f32, exactly."""
    if str(x.dtype).removeprefix("sennit.") in ("bfloat16", "float16"):
        x = x.to("cpu").astype(sn.float32)
    a = np.asarray(x.to("cpu").numpy())
    if a.dtype.kind != "f":
        return a
    word = a.view(f"uint{a.itemsize * 8}") if a.ndim else a.reshape(1).view(f"uint{a.itemsize * 8}")
    return np.where(np.isnan(a), np.iinfo(word.dtype).max, word)


def check(f: Callable[..., Any], *inputs: Any) -> None:
    """f of CPU tensors and f of the same tensors on the reference device give the same bits."""
    given = [sn.asarray(x) if isinstance(x, np.ndarray) else x for x in inputs]
    moved = [x.to("reference") if isinstance(x, sn.Tensor) else x for x in given]
    ours, theirs = list(tensors(f(*given))), list(tensors(f(*moved)))
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert str(b.device) == "reference:0"
        assert a.dtype == b.dtype and a.shape == b.shape
        p, q = bits(a), bits(b)
        wrong = np.argwhere(p != q)
        assert not len(wrong), (
            f"{len(wrong)} of {p.size} elements differ; the first at {wrong[0]}: "
            f"cpu {a.to('cpu').numpy()[tuple(wrong[0])] if a.ndim else a}, "
            f"reference {b.to('cpu').numpy()[tuple(wrong[0])] if b.ndim else b}"
        )


def draw(shape: tuple[int, ...], dtype: str = "float32", seed: int = 0, scale: float = 2.0) -> Any:
    rng = np.random.default_rng(seed + zlib.crc32(repr((shape, dtype)).encode()))
    if dtype == "bool":
        return sn.asarray(rng.random(shape) < 0.5)
    if dtype in INTS:
        low = 0 if dtype.startswith("u") else -100
        return sn.asarray(rng.integers(low, 100, shape).astype(dtype))
    wide = sn.asarray(rng.standard_normal(shape) * scale)
    return wide.astype(getattr(sn, dtype))


def edges(dtype: str, seed: int) -> Any:
    """About 700 numbers: special ones, and magnitudes from tiny to huge."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return sn.asarray(rng.random(700) < 0.5)
    if dtype in INTS:
        limits = np.iinfo(dtype)
        few = rng.integers(0 if limits.min == 0 else -9, 10, 400)
        wide = rng.integers(limits.min, limits.max, 296, dtype=dtype, endpoint=True)
        ends = np.array([limits.min, limits.max, 0, 1], dtype=dtype)
        x = np.concatenate([few.astype(dtype), wide, ends])
        rng.shuffle(x)
        return sn.asarray(x)
    x = rng.standard_normal(700) * 10.0 ** rng.integers(-6, 7, 700)
    x[rng.permutation(700)[:91]] = np.tile(SPECIAL, 7)
    return sn.asarray(x).astype(getattr(sn, dtype))


# ---------------------------------------------------------------- the table of kernels


def registered(folder: Path) -> set[str]:
    found: set[str] = set()
    for path in folder.rglob("*.cpp"):
        found.update(re.findall(r'table\.add\("(\w+)"', path.read_text()))
    return found


def test_reference_has_every_kernel_of_the_cpu(repository: Path) -> None:
    cpu = registered(repository / "core/backend/cpu")
    assert len(cpu) > 40
    assert cpu - registered(repository / "core/backend/reference") == set()


# ---------------------------------------------------------------- elementwise


def elementwise_ops() -> list[tuple[str, int, str]]:
    found = []
    for arity, kind in enumerate(("unary", "binary", "ternary"), 1):
        path = ROOT / f"core/op/elementwise_{kind}.inc"
        text = path.read_text() if path.exists() else ""  # an installed wheel: nothing to read
        for name, cls in re.findall(r"^SN_EW\d\((\w+), (\w+),", text, re.MULTILINE):
            found.append((name, arity, cls))
    return found


def slope_of(activation: Any) -> Any:
    """The derivative at every element: these operations have no public function."""

    def slope(x: sn.Tensor) -> sn.Tensor:
        x = x.detach().requires_grad_()
        activation(x).sum().backward()
        return x.grad

    return slope


@pytest.mark.parametrize(("name", "arity", "cls"), elementwise_ops())
def test_elementwise(name: str, arity: int, cls: str) -> None:
    special = name.startswith("special_")
    if name.endswith("_slope"):
        f = slope_of(getattr(sn, name.removesuffix("_slope")))
    else:
        f = getattr(sn.special if special else sn, name.removeprefix("special_"))
    if name == "special_polygamma":  # its public function takes the degree as a number
        f, arity = (lambda x: sn.special.polygamma(2, x)), 1
    for dtype in CLASSES[cls]:
        args = [edges(dtype, seed) for seed in range(arity)]
        if name == "where":
            args[0] = edges("bool", 0)
        check(f, *args)


def test_casts() -> None:
    for of in CLASSES["ANY"]:
        x = edges(of, 5)
        check(lambda x: [x.astype(getattr(sn, to)) for to in CLASSES["ANY"]], x)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("dtype", FLOATS)
def test_fused_chains(dtype: str) -> None:
    x, y, row = draw((7, 130), dtype), draw((7, 130), dtype, 1), draw((130,), dtype, 2)
    check(lambda x, y, row: sn.gelu(x * y + row) * sn.sigmoid(x - 0.5) / 3, x, y, row)
    check(
        lambda x, y, row: [(x.T * 2 - y.T).exp(), x + row[::-1], x[:, 3:9] * y[:, 5:11]], x, y, row
    )
    check(lambda x, y, row: (x > y).logical_and(row < 0), x, y, row)


# ---------------------------------------------------------------- reductions

LENGTHS = (1, 2, 15, 16, 17, 100, 1023, 1024, 1025, 5000, 70001)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean", "var", "argmax", "argmin"])
def test_reductions(name: str) -> None:
    f = getattr(sn, name)
    for dtype in FLOATS:
        for n in LENGTHS if dtype == "float32" else LENGTHS[::3]:
            check(f, draw((n,), dtype))
        x = draw((5, 33, 40), dtype)
        for axis in (0, 1, 2):
            check(lambda x, axis: f(x, axis=axis), x, axis)
            check(lambda x, axis: f(x.transpose(0, 2), axis=axis), x, axis)
        if not name.startswith("arg"):
            check(lambda x: f(x, axis=(0, 2), keepdims=True), x)
    if name in ("mean", "var"):
        return
    for dtype in INTS:
        check(lambda x: f(x, axis=1), draw((3, 1100), dtype))


def test_extremes_with_nan() -> None:
    for dtype in FLOATS:
        check(lambda x: [x.max(), x.min(), x.argmax(), x.argmin()], edges(dtype, 3))


def test_any_all() -> None:
    for dtype in CLASSES["ANY"]:
        x = draw((9, 50), dtype)
        check(lambda x: [sn.any(x, axis=1), sn.all(x, axis=0), sn.any(x), sn.all(x)], x)


def test_reductions_of_nothing() -> None:
    x = np.zeros((3, 0), np.float32)
    check(lambda x: [x.sum(axis=1), x.prod(axis=1), x.mean(axis=1), sn.any(x), sn.all(x)], x)
    with pytest.raises(sn.SennitError):
        sn.asarray(x).to("reference").max(axis=1).numpy()


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [10, 1024, 3000])
def test_row_programs(dtype: str, columns: int) -> None:
    x, w, b = draw((6, columns), dtype), draw((columns,), dtype, 1), draw((columns,), dtype, 2)
    check(lambda x, w, b: sn.softmax(x, axis=-1), x, w, b)
    check(lambda x, w, b: sn.log_softmax(x, axis=-1), x, w, b)
    check(lambda x, w, b: sn.layer_norm(x, (columns,), w, b), x, w, b)
    check(lambda x, w, b: sn.rms_norm(x, (columns,), w), x, w, b)
    check(lambda x, w, b: sn.logsumexp(x, axis=1), x, w, b)
    check(lambda x, w, b: sn.var_mean(x, axis=1), x, w, b)
    check(lambda x, w, b: (x - x.mean(axis=1, keepdims=True)).square().mean(axis=1), x, w, b)


# ---------------------------------------------------------------- products


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("dtype", [*FLOATS, "int32", "uint8"])
def test_matmul(dtype: str) -> None:
    for m, k, n in ((1, 1, 1), (3, 5, 7), (1, 300, 40), (33, 17, 65), (5, 1024, 3), (4, 2500, 9)):
        check(sn.matmul, draw((m, k), dtype), draw((k, n), dtype))
        check(lambda a, b: sn.matmul(a.T, b.T), draw((k, m), dtype), draw((n, k), dtype))
    check(sn.matmul, draw((4, 3, 6, 5), dtype), draw((3, 5, 8), dtype))
    check(sn.matmul, draw((6, 5), dtype), draw((2, 5, 8), dtype))
    check(sn.matmul, draw((2, 3, 0), dtype), draw((0, 8), dtype))


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("dtype", FLOATS)
def test_matmul_with_epilogue(dtype: str) -> None:
    x, w, b = draw((21, 70), dtype), draw((35, 70), dtype), draw((35,), dtype)
    check(lambda x, w, b: sn.relu(sn.linear(x, w, b)), x, w, b)
    check(lambda x, w, b: [(y := sn.linear(x, w)), sn.tanh(y + b), (y * 2).sum(axis=1)], x, w, b)
    stack = draw((3, 21, 70), dtype)
    check(lambda x, w, b: sn.gelu(sn.linear(x, w, b)) + 1, stack, w, b)


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 9, 8), (5, 3, 3, 3), {}),
    ((2, 3, 9, 8), (5, 3, 3, 3), {"stride": 2, "padding": 1}),
    ((1, 16, 7, 7), (24, 16, 1, 1), {}),
    ((1, 4, 10, 9), (6, 4, 3, 2), {"dilation": 2, "padding": 2, "stride": (1, 2)}),
    ((2, 8, 6, 6), (8, 1, 3, 3), {"groups": 8, "padding": 1}),
    ((1, 6, 6, 5), (4, 3, 3, 3), {"groups": 2, "padding": 1}),
    ((1, 130, 5, 5), (3, 130, 3, 3), {"padding": 1}),
    ((3, 2, 40, 45), (3, 2, 3, 3), {"padding": 1}),
]


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("x_shape", "w_shape", "options"), CONVOLUTIONS)
def test_convolution(
    dtype: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    def all_passes(x: Any, w: Any, b: Any) -> Any:
        x, w = x.detach().clone(), w.detach().clone()
        x.requires_grad = w.requires_grad = True
        y = sn.conv2d(x, w, b, **options)
        z = sn.relu(y)
        return [y.detach(), z.detach(), *sn.gradients([z * z], [x, w])]

    check(all_passes, draw(x_shape, dtype), draw(w_shape, dtype), draw(w_shape[:1], dtype))


def test_convolution_of_other_ranks() -> None:
    check(lambda x, w: sn.conv1d(x, w, padding=2), draw((2, 3, 30)), draw((4, 3, 5)))
    check(lambda x, w: sn.conv3d(x, w, padding=1), draw((1, 2, 5, 6, 4)), draw((3, 2, 3, 3, 3)))
    options = {"stride": 2, "padding": 1, "output_padding": 1}
    check(lambda x, w: sn.conv_transpose2d(x, w, **options), draw((2, 4, 5, 6)), draw((4, 3, 3, 3)))


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("dtype", FLOATS)
def test_pooling(dtype: str) -> None:
    def passes(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            x = x.detach().clone()
            x.requires_grad = True
            y = f(x)
            return [y.detach(), *sn.gradients([y * y], [x])]

        return run

    x = draw((2, 5, 11, 9), dtype)
    check(passes(lambda x: sn.max_pool2d(x, 3, stride=2, padding=1)), x)
    check(passes(lambda x: sn.max_pool2d(x, 2, dilation=2, ceil_mode=True)), x)
    check(lambda x: sn.max_pool2d_with_indices(x, 3, stride=1), x)
    check(passes(lambda x: sn.avg_pool2d(x, 3, stride=2, padding=1)), x)
    check(passes(lambda x: sn.avg_pool2d(x, 3, 2, 1, True, False)), x)
    check(passes(lambda x: sn.adaptive_avg_pool2d(x, (3, 4))), x)
    check(passes(lambda x: sn.adaptive_max_pool2d(x, (3, 4))), x)
    check(lambda x: sn.adaptive_max_pool2d_with_indices(x, (4, 1)), x)
    check(lambda x: sn.max_pool1d(x, 3), draw((2, 5, 20), dtype))
    check(lambda x: sn.avg_pool3d(x, 2), draw((1, 3, 6, 5, 4), dtype))


def test_numbers_go_where_the_tensors_are() -> None:
    """What an op or a gradient rule makes of Python numbers alone meets tensors of any device."""
    x = sn.tensor([0.5, 2.0, 3.0])
    for f in (lambda x: x**2.3, lambda x: sn.lerp(x, x * 2.0, 0.3), lambda x: x**3):

        def both(x: Any, f: Any = f) -> Any:
            z = x.detach().clone()
            z.requires_grad = True
            (first,) = sn.gradients([f(z).sum()], [z], create_graph=True)
            (second,) = sn.gradients([(first * first).sum()], [z])
            return [first.detach(), second]

        check(both, x)
    check(lambda x: sn.where(x > 1.0, 1.5, 0.0).astype(sn.float32) * x, x)
    check(lambda x: (sn.where(x > 1.0, 1.5, 0.0) - 0.25).astype(sn.float64), x)


GATES = {"rnn_sequence": 1, "lstm_sequence": 4, "gru_sequence": 3}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("sizes", [(3, 5, 4, 7), (1, 3, 2, 5), (5, 26, 3, 33), (9, 2, 3, 18)])
@pytest.mark.parametrize("reverse", [False, True])
def test_recurrent_layers(
    name: str, dtype: str, sizes: tuple[int, int, int, int], reverse: bool
) -> None:
    steps, batch, inputs, hidden = sizes
    rows = GATES[name] * hidden
    states = 2 if name == "lstm_sequence" else 1

    def all_passes(*given: Any) -> Any:
        made = [x.detach().clone() for x in given]
        for x in made:
            x.requires_grad = True
        results = getattr(sn, name)(*made, reverse=reverse)
        loss = [(r * r).sum() for r in results]
        return [*(r.detach() for r in results), *sn.gradients(loss, made)]

    shapes = [(steps, batch, inputs), (rows, inputs), (rows, hidden), (rows,), (rows,)]
    given = [draw(s, dtype, seed=i, scale=0.6) for i, s in enumerate(shapes)]
    check(all_passes, *given)
    check(all_passes, *given, *(draw((batch, hidden), dtype, seed=9 + i) for i in range(states)))


def test_recurrent_layers_of_more_than_one_segment() -> None:
    # The chains of a product restart every 1,024 terms: one of LSTM's gradient, one of the state.
    def passes(x: Any, w: Any, u: Any) -> Any:
        x = x.detach().clone()
        x.requires_grad = True
        y, _, c = sn.lstm_sequence(x, w, u)
        return [y.detach(), *sn.gradients([y * y, c], [x])]

    for hidden in (260, 1030):
        check(
            passes,
            draw((2, 9, 1)),
            draw((4 * hidden, 1)),
            draw((4 * hidden, hidden), scale=0.05),
        )


# ---------------------------------------------------------------- moving, indexing, sorting


@pytest.mark.parametrize("dtype", CLASSES["ANY"])
def test_movement(dtype: str) -> None:
    def written(x: Any, y: Any) -> Any:
        z = x.clone()
        z[1:5:2, ::-1] = y[:2]
        z[0] = 1
        return z

    x, y = draw((6, 10), dtype), draw((6, 10), dtype, 1)
    check(lambda x, y: [x.T.reshape(-1), sn.concat([x, y[::-1]], axis=1), sn.stack([x, y])], x, y)
    check(lambda x, y: [sn.roll(x, 3), sn.flip(y), sn.tril(x, -1), sn.tile(y, (2, 2))], x, y)
    check(
        lambda x, y: [sn.pad(x, (1, 2, 3, 0), value=1), x[1:4, ::3], sn.repeat(y, 2, axis=0)], x, y
    )
    check(written, x, y)


def test_creation() -> None:
    for device_dtype in (*FLOATS, "int32", "uint8"):
        dtype = getattr(sn, device_dtype)

        def made(x: Any, dtype: Any = dtype) -> Any:
            on = {"dtype": dtype, "device": x.device}
            return [sn.arange(2, 90, 3, **on), sn.full((2, 3), 7, **on), sn.ones((3,), **on)]

        check(made, draw((1,)))
    for dtype in (sn.float32, sn.float64, sn.bfloat16):
        check(lambda x: sn.linspace(-0.3, 1.7, 101, dtype=dtype, device=x.device), draw((1,)))  # noqa: B023
        check(lambda x: sn.arange(0.1, 9, 0.37, dtype=dtype, device=x.device), draw((1,)))  # noqa: B023


@pytest.mark.parametrize("dtype", CLASSES["ANY"])
def test_indexing(dtype: str) -> None:
    rng = np.random.default_rng(1)
    x = draw((40, 7), dtype)
    rows = rng.integers(-40, 40, 90)
    each = rng.integers(0, 40, (13, 7))
    columns = rng.integers(0, 7, 90)
    check(lambda x, i: [sn.take(x, i, axis=0), x[i]], x, rows)
    check(lambda x, i: sn.take_along_axis(x, i, axis=0), x, each)
    check(lambda x, i, j: x[i, j], x, rows, columns)
    check(lambda x, i, v: sn.index_add(x, 0, i, v), x, rows, draw((90, 7), dtype))
    check(
        lambda x, i, v: [sn.scatter(x, 0, i, v), sn.scatter_add(x, 0, i, v)],
        x,
        each,
        draw((13, 7), dtype),
    )
    new = draw((90,), dtype)
    for add in (False, True):
        check(lambda x, i, j, v, add: sn.index_put(x, (i, j), v, add), x, rows, columns, new, add)
    check(lambda x: [sn.nonzero(x != 0), x[x != 0]], x)


def test_embedding_and_one_hot() -> None:
    i = np.random.default_rng(0).integers(0, 20, (4, 6))
    check(sn.embedding, i, draw((20, 5)))
    check(lambda i: sn.one_hot(i, 20), i)
    with pytest.raises(sn.IndexOutOfRange, match=r"\[embedding\] index 20 at position"):
        sn.embedding(
            sn.asarray(np.array([1, 20])).to("reference"), draw((20, 5)).to("reference")
        ).numpy()


@pytest.mark.parametrize("dtype", CLASSES["ANY"])
def test_sorting(dtype: str) -> None:
    x = edges(dtype, 4).reshape(7, 100)
    for axis in (0, 1):
        check(lambda x, a: [sn.sort(x, axis=a), sn.argsort(x, axis=a)], x, axis)
        check(lambda x, a: [sn.sort(x, axis=a, descending=True)], x, axis)
        check(lambda x, a: sn.argsort(x, axis=a, descending=True), x, axis)
        check(lambda x, a: [*sn.topk(x, 5, axis=a), *sn.topk(x, 7, axis=a, largest=False)], x, axis)
    check(lambda x, v: sn.searchsorted(sn.sort(x.reshape(-1)), v), x, draw((50,), dtype))
    check(
        lambda x, v: sn.searchsorted(sn.sort(x.reshape(-1)), v, side="right"), x, draw((50,), dtype)
    )


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS])
def test_scans(dtype: str) -> None:
    for n in (1, 100, 1024, 1025, 5000, 40000):
        check(lambda x: [sn.cumsum(x, 0), sn.cumprod(x, 0)], draw((n,), dtype))
    x = draw((3, 1500, 4), dtype)
    for axis in range(3):
        check(sn.cumsum, x, axis)


# ---------------------------------------------------------------- random numbers


@pytest.mark.parametrize("n", [1, 31, 33, 64, 1000])
def test_random(n: int) -> None:
    def drawn(x: Any) -> Any:
        sn.random.manual_seed(7)
        on = {"device": x.device}
        result = [sn.random.integers(-5, 99, (n,), **on)]
        for dtype in (sn.float32, sn.float64, sn.float16, sn.bfloat16):
            result.append(sn.random.rand((n,), dtype=dtype, **on))
            result.append(sn.random.normal(1.0, 3.0, (n,), dtype=dtype, **on))
            result.append(sn.random.uniform(-2.0, 5.0, (n,), dtype=dtype, **on))
        return [*result, sn.dropout(x, 0.3)]

    check(drawn, draw((n,)))


# ---------------------------------------------------------------- composites, and a training run


def with_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """f and the gradient of the sum of its squares, for the first argument."""

    def run(x: Any, *rest: Any) -> Any:
        x = x.detach().clone()
        x.requires_grad = True
        y = f(x, *rest)
        return [y.detach(), *sn.gradients([y * y], [x])]

    return run


@pytest.mark.usefixtures("windows")
def test_composites_and_their_gradients() -> None:
    image, scale, shift = draw((5, 6, 9, 8)), draw((6,)), draw((6,), seed=1)
    check(with_gradient(lambda x, w, b: sn.batch_norm_train(x, w, b)[0]), image, scale, shift)
    check(with_gradient(lambda x, w, b: sn.group_norm(x, 3, w, b)), image, scale, shift)
    labels = np.random.default_rng(3).integers(0, 6, 40)

    def loss(x: Any, t: Any, w: Any) -> Any:
        return sn.cross_entropy(x, t, weight=w, ignore_index=2, label_smoothing=0.1)

    check(with_gradient(loss), draw((40, 6)), labels, scale * scale)
    rows = draw((2000, 33))
    check(with_gradient(lambda x: sn.softmax(x, axis=0)), rows)
    check(with_gradient(lambda x: sn.std(x, axis=0)), rows)
    check(with_gradient(lambda x: sn.cumprod(x, 1)), draw((4, 50), "float64"))
    check(
        lambda x: [sn.vector_norm(x), sn.var(x, axis=0, correction=1.0), sn.unique(x.round())], rows
    )
    with pytest.raises(sn.IndexOutOfRange, match=r"label 5 at position \(0,\) names no class"):
        x = sn.tensor([[1.0, 2.0]], device="reference")
        sn.cross_entropy(x, sn.tensor([5], device="reference")).numpy()


@pytest.mark.usefixtures("windows")
def test_training_gives_the_same_bits() -> None:
    labels = np.random.default_rng(2).integers(0, 10, 8)

    def train(x: Any, y: Any, *start: Any) -> Any:
        parameters = [p.detach().clone() for p in start]
        momenta = [sn.zeros_like(p) for p in parameters]
        losses = []
        for _ in range(3):
            for p in parameters:
                p.requires_grad = True
            w1, b1, w2, b2 = parameters
            h = sn.max_pool2d(sn.relu(sn.conv2d(x, w1, b1, padding=1)), 2)
            loss = sn.cross_entropy(sn.linear(h.reshape(8, -1), w2, b2), y)
            gradients = sn.gradients([loss], parameters)
            losses.append(loss.detach())
            momenta = [0.9 * m + g for m, g in zip(momenta, gradients, strict=True)]
            parameters = [(p.detach() - 0.1 * m) for p, m in zip(parameters, momenta, strict=True)]
        return [*losses, *parameters]

    start = (
        draw((6, 3, 3, 3), scale=0.2),
        draw((6,), scale=0.1),
        draw((10, 96), scale=0.1),
        draw((10,)),
    )
    check(train, draw((8, 3, 8, 8)), labels, *start)
