"""sn.vmap of every row of the op table against a Python loop: the same bits."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from engine import FLOATS, Case, Row, bits, project
from table import ROWS

import sennit as sn

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

SIZE = 3
# Functions whose result's shape depends on elements, which a traced argument does not have.
BY_VALUE = {
    "masked_select",
    "nonzero",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
}


def dtypes_of(row: Row, full: bool) -> tuple[str, ...]:
    if full:
        return row.dtypes
    first = "float32" if "float32" in row.dtypes else row.dtypes[0]
    half = ("float16",) if "float16" in row.dtypes else ()
    return (first, *half)


def cases_of(row: Row, full: bool) -> list[Case]:
    small = [c for c in row.cases if all(np.prod(shape_of(a)) <= 4000 for a in c.args)]
    step = 1 if full else max(1, -(-len(small) // 4))
    return small[::step]


def shape_of(arg: tuple) -> tuple:
    return arg[0] if arg and isinstance(arg[0], tuple) else arg


def examples(row: Row, c: Case, dtype: str) -> list[list[np.ndarray]]:
    """The arguments of SIZE examples."""
    found = []
    for k in range(SIZE):
        rng = np.random.default_rng(zlib.crc32(f"{row.name} {c} {dtype} {k}".encode()))
        drawn = []
        for i, arg in enumerate(c.args):
            own = bool(arg) and isinstance(arg[0], tuple)
            domain = arg[1] if own else row.domains[min(i, len(row.domains) - 1)]
            drawn.append(domain.draw(rng, shape_of(arg), dtype))
        found.append(drawn)
    return found


def choices(ranks: list[int]) -> list[tuple[int | None, ...]]:
    """The mapped dimension of each argument: every axis, and each argument alone or left out."""
    found: list[tuple[int | None, ...]] = []
    for axis in range(max(ranks) + 1):
        found.append(tuple(min(axis, r) for r in ranks))
    for i in range(len(ranks)) if len(ranks) > 1 else ():
        found.append(tuple(0 if k == i else None for k in range(len(ranks))))
        found.append(tuple(None if k == i else -1 for k in range(len(ranks))))
    return list(dict.fromkeys(found))


def batched(all_args: list[list[np.ndarray]], dims: tuple[int | None, ...]) -> list[sn.Tensor]:
    made = []
    for i, d in enumerate(dims):
        if d is None:
            made.append(sn.asarray(all_args[0][i]))
        else:
            stacked = np.stack([args[i] for args in all_args], axis=d)
            made.append(sn.asarray(stacked))
    return made


def alone(
    all_args: list[list[np.ndarray]], dims: tuple[int | None, ...], k: int
) -> list[sn.Tensor]:
    return [sn.asarray(all_args[0 if d is None else k][i]) for i, d in enumerate(dims)]


def cross(full: bool) -> list:
    return [pytest.param(r, id=r.name) for r in ROWS]


@pytest.mark.parametrize("row", cross(False))
def test_vmap_equals_a_loop(row, full):
    for dtype in dtypes_of(row, full):
        for c in cases_of(row, full):
            args = examples(row, c, dtype)
            if not args[0]:
                continue
            for dims in choices([a.ndim for a in args[0]]):
                note = f"{row.name}({c}) {dtype} in_dims={dims}"

                def call(*tensors, c=c):
                    return tuple(row.run(list(tensors), c.attrs))

                if row.name in BY_VALUE and (None not in dims):
                    if any(a.size == 0 for a in args[0]):
                        continue  # there is nothing to ask for
                    with pytest.raises(sn.InvalidValue, match="elements"):
                        sn.vmap(call, in_dims=dims)(*batched(args, dims))
                if row.name in BY_VALUE:
                    continue
                got = sn.vmap(call, in_dims=dims)(*batched(args, dims))
                want = [row.run(alone(args, dims, k), c.attrs) for k in range(SIZE)]
                for j, whole in enumerate(got):
                    assert whole.shape == (SIZE, *want[0][j].shape), note
                    for k in range(SIZE):
                        assert whole.dtype == want[k][j].dtype, note
                        assert bits(whole[k]) == bits(want[k][j]), f"{note}, result {j}"


@pytest.mark.parametrize("row", [r for r in cross(False) if r.values[0].gradient])
def test_gradients_of_examples_equal_a_loop(row, full):
    """vmap of a gradient, and the gradient of a vmap in what each example has of its own."""
    dtype = next(d for d in ("float32", *FLOATS) if d in row.dtypes)
    for c in cases_of(row, full):
        args = examples(row, c, dtype)
        wanted = tuple(i for i in row.gradient if i < len(args[0]) and args[0][i].dtype.kind == "f")
        if not wanted or row.name in BY_VALUE:
            continue

        def value(*tensors, c=c):
            return project(row.run(list(tensors), c.attrs), 1)

        gradient = sn.grad(value, argnums=wanted)
        ranks = [a.ndim for a in args[0]]
        for dims in choices(ranks)[:: 1 if full else 2]:
            note = f"{row.name}({c}) in_dims={dims}"
            want = [gradient(*alone(args, dims, k)) for k in range(SIZE)]
            got = sn.vmap(gradient, in_dims=dims)(*batched(args, dims))
            for j in range(len(wanted)):
                for k in range(SIZE):
                    assert bits(got[j][k]) == bits(want[k][j]), f"{note}: vmap(grad), {j}"
            if None in dims:
                continue
            total = sn.grad(
                lambda *ts, dims=dims: sn.vmap(value, in_dims=dims)(*ts).sum(), argnums=wanted
            )(*batched(args, dims))
            for j, i in enumerate(wanted):
                moved = sn.moveaxis(total[j], dims[i], 0)
                for k in range(SIZE):
                    assert bits(moved[k]) == bits(want[k][j]), f"{note}: grad(vmap), {j}"


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"window": 2}, {"enable_gqa": True}])
@pytest.mark.parametrize("masked", [None, "bool", "float"])
@pytest.mark.parametrize(
    "dims", [(0, 0, 0, 0), (0, None, None, None), (None, 1, 2, None), (None, None, None, 0)]
)
def test_attention(options, masked, dims):
    rng = np.random.default_rng(0)
    heads = 4 if "enable_gqa" in options else 2
    shapes = [(heads, 5, 4), (2, 6, 4), (2, 6, 3)]

    def draw(shape):
        return rng.standard_normal(shape).astype(np.float32)

    args = [[draw(s) for s in shapes] for _ in range(SIZE)]
    if masked:
        for a in args:
            a.append(draw((heads, 5, 6)) if masked == "float" else draw((5, 6)) > -0.5)
    dims = dims[: len(args[0])]
    if set(dims) == {None}:
        return

    def attend(q, k, v, mask=None):
        return sn.scaled_dot_product_attention(q, k, v, mask, **options)

    wanted = (0, 1, 2, 3) if masked == "float" else (0, 1, 2)
    gradient = sn.grad(lambda *ts: (attend(*ts) ** 2).sum(), argnums=wanted)
    got = sn.vmap(attend, in_dims=dims)(*batched(args, dims))
    each = sn.vmap(gradient, in_dims=dims)(*batched(args, dims))
    for k in range(SIZE):
        assert bits(got[k]) == bits(attend(*alone(args, dims, k)))
        for a, b in zip(each, gradient(*alone(args, dims, k))):
            assert bits(a[k]) == bits(b)


def ints(*shape: int, below: int) -> tuple:
    return ("ints", shape, below)


# Functions without a row in the table, or with operands that it does not map: the op, the function,
# the shapes of an example's arguments (or integers below a number), and which have gradients.
RULES = [
    ("running_max", lambda x: sn.cummax(x, 1)[0], [(3, 5)], (0,)),
    ("running_min", lambda x: sn.cummin(x, 0)[0], [(3, 5)], (0,)),
    ("logcumsumexp", lambda x: sn.logcumsumexp(x, 1), [(3, 5)], (0,)),
    ("searchsorted", lambda s, v: sn.searchsorted(sn.sort(s), v), [(6,), (2, 4)], ()),
    ("searchsorted", lambda s, v: sn.searchsorted(sn.sort(s), v, right=True), [(2, 6), (2, 3)], ()),
    ("searchsorted", lambda s, v: sn.searchsorted(sn.sort(s), v), [(6,), ()], ()),
    ("scatter_reduce", lambda x, i, v: sn.scatter_reduce(x, 1, i, v, "amax"),
     [(2, 5), ints(2, 4, below=5), (2, 4)], (0, 2)),
    ("scatter_reduce", lambda x, i, v: sn.scatter_reduce(x, 0, i, v, "prod", include_self=False),
     [(5, 2), ints(4, 2, below=5), (4, 2)], (0, 2)),
    ("embedding", lambda w, i: sn.nn.functional.embedding(i, w, 2),
     [(4, 3), ints(2, 5, below=4)], (0,)),
    ("batch_norm_inference", lambda x, m, v, w, b: sn.batch_norm_inference(x, m, v * v + 1, w, b),
     [(4, 3, 2), (3,), (3,), (3,), (3,)], (0, 1, 2, 3, 4)),
    ("ctc_loss", lambda x, y: sn.ctc_loss(sn.log_softmax(x, -1), y + 1, sn.tensor([6, 5]),
                                          sn.tensor([3, 2]), reduction="none"),
     [(6, 2, 4), ints(2, 3, below=3)], (0,)),
    ("complex", lambda x, y: sn.complex(x, y).real * 2 + sn.complex(y, x).imag, [(2, 3), (2, 3)],
     (0, 1)),
]  # fmt: skip


def test_every_op_has_a_rule():
    """But those without an operand that an example could have, and where its elements say how much
    there is to compute. Nodes with blocks are mapped by calling their blocks (sn.vmap of control
    flow: tests/graph)."""
    without = {name for name, (_, batch) in sn._core.op_rules().items() if not batch}
    assert without == {"arange", "linspace", "nonzero", "cond", "while_loop", "scan"}


def calls_of(op, function, *args):
    """What a call gives, and how often it has recorded an op (0 in a window of one op)."""
    sn.synchronize()
    result = function(*args)
    return result, sn._core.recorded_graph().count(f"= {op}(")


@pytest.mark.parametrize("op, function, shapes, wanted", RULES)
def test_rules_are_one_call_and_equal_a_loop(op, function, shapes, wanted):
    rng = np.random.default_rng(0)

    def draw(shape):
        if shape[:1] == ("ints",):
            return rng.integers(0, shape[2], shape[1])
        return rng.standard_normal(shape).astype(np.float32)

    def value(*tensors):
        return project([function(*tensors)], 1)

    args = [[draw(s) for s in shapes] for _ in range(SIZE)]
    gradient = sn.grad(value, argnums=wanted) if wanted else None
    for dims in choices([a.ndim for a in args[0]]):
        note, given = f"{op} {dims}", batched(args, dims)
        one = calls_of(op, function, *alone(args, dims, 0))[1]
        got, calls = calls_of(op, sn.vmap(function, in_dims=dims), *given)
        assert calls <= one, f"{note}: {calls} calls instead of {one}"
        for k in range(SIZE):
            assert bits(got[k]) == bits(function(*alone(args, dims, k))), note
        if gradient is None:
            continue
        want = [gradient(*alone(args, dims, k)) for k in range(SIZE)]
        got = sn.vmap(gradient, in_dims=dims)(*given)
        for k, j in np.ndindex(SIZE, len(wanted)):
            assert bits(got[j][k]) == bits(want[k][j]), f"{note}: vmap(grad)"
        if None in dims:
            continue
        mapped = sn.vmap(value, in_dims=dims)
        total = sn.grad(lambda *ts, f=mapped: f(*ts).sum(), argnums=wanted)(*given)
        for k, j in np.ndindex(SIZE, len(wanted)):
            moved = sn.moveaxis(total[j], dims[wanted[j]], 0)
            assert bits(moved[k]) == bits(want[k][j]), f"{note}: grad(vmap)"
