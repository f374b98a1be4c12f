"""Graphs with open sizes: one graph gives, at every size, the bits that the function gives."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn
from sennit._tree import flatten

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from graph_models import GPT, Tagger, cnn, mlp  # noqa: E402


def same_bits(a: Any, b: Any) -> None:
    ours, theirs = flatten(a), flatten(b)
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs, strict=True):
        assert x.shape == y.shape and x.dtype == y.dtype
        assert x.detach().numpy().tobytes() == y.detach().numpy().tobytes()


def given(spec: sn.TensorSpec, sizes: dict[str, int]) -> sn.Tensor:
    shape = [sizes[str(s)] if not isinstance(s, int) else s for s in spec.shape]
    if spec.dtype == sn.int64:
        return sn.random.integers(0, 17, shape)
    return sn.random.randn(shape)


def check(
    function: Callable[..., Any],
    specs: Sequence[sn.TensorSpec],
    folder: Path,
    **sizes: Sequence[int],
) -> sn.Graph:
    """At all combinations of sizes: the function, its graph, the graph from a file, and the graph
    with its sizes bound give the same bits."""
    graph = sn.trace(function, *specs)
    graph.save(folder / "open.sn")
    loaded = sn.load(folder / "open.sn")
    assert set(graph.sizes) == set(sizes) and loaded.sizes == graph.sizes
    assert [n.attributes for n in graph.nodes] == [n.attributes for n in loaded.nodes]
    for row in itertools.product(*sizes.values()):
        named = dict(zip(sizes, row, strict=True))
        args = [given(s, named) for s in specs]
        want = function(*args)
        for other in (graph, loaded, graph.bind(**named), loaded.bind(**named).optimize()):
            same_bits(other(*args), want)
    return graph


def test_mlp(tmp_path: Path) -> None:
    graph = check(mlp(), [sn.TensorSpec(("n", 6))], tmp_path, n=(0, 1, 2, 7, 300))
    assert str(graph.inputs[0]) == "input: float32[n, 6]"
    assert str(graph.outputs[0]).endswith("float32[n, 3]")


def test_cnn_of_any_image(tmp_path: Path) -> None:
    specs = [sn.TensorSpec(("n", 2, "h", "w"))]
    check(cnn(), specs, tmp_path, n=(1, 3), h=(6, 9, 12), w=(7, 8))


def test_flattened_images(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(2))
    graph = check(net, [sn.TensorSpec(("n", 1, "h", "w"))], tmp_path, n=(1, 2), h=(5, 8), w=(6, 33))
    assert str(graph.nodes[0].outputs[0].shape[2]) == "(h - 1) // 2"
    (reshape,) = [n for n in graph.nodes if n.op == "reshape" and len(n.inputs[0].shape) == 4]
    (term,) = reshape.attributes["shape"][2].terms
    assert term[0] == 1 and [axis for _, axis in term[1]] == [2, 3]


def test_recurrent_network(tmp_path: Path) -> None:
    check(Tagger(), [sn.TensorSpec(("t", "n", 5))], tmp_path, t=(1, 7, 12), n=(1, 3))


def test_gpt(tmp_path: Path) -> None:
    spec = sn.TensorSpec(("n", sn.Dim("t", min=1, max=32)), sn.int64)
    check(GPT(), [spec], tmp_path, n=(1, 3), t=(1, 2, 11, 32))


def test_training_step(tmp_path: Path) -> None:
    model = mlp()
    params = {k: p.detach() for k, p in model.named_parameters()}

    def loss(p: Any, x: sn.Tensor, y: sn.Tensor) -> sn.Tensor:
        return nn.functional.cross_entropy(sn.functional_call(model, p, (x,)), y)

    step = sn.value_and_grad(loss)
    graph = sn.trace(step, params, sn.TensorSpec(("n", 6)), sn.TensorSpec(("n",), sn.int64))
    graph.save(tmp_path / "step.sn")
    for n in (1, 5, 64):
        x, y = sn.random.randn((n, 6)), sn.random.integers(0, 3, (n,))
        for other in (graph, sn.load(tmp_path / "step.sn")):
            same_bits(other(params, x, y), step(params, x, y))


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Sequence[int]]]] = {
    "product of sizes": (lambda x: x.reshape(x.shape[0] * x.shape[1], 4) * 2, ("n", "t", 4),
                         {"n": (1, 5), "t": (1, 3)}),
    "number": (lambda x: x / x.shape[0] + (x.shape[1] - 1), ("n", "t"), {"n": (1, 4), "t": (2, 9)}),
    "reciprocal": (lambda x: x * (1.0 / x.shape[0]), ("n", 3), {"n": (1, 3, 7)}),
    "root": (lambda x: x * (1 / math.sqrt(x.shape[1])), (2, "d"), {"d": (1, 2, 10)}),
    "half": (lambda x: x[:, : x.shape[1] // 2] + x.shape[1] // 2, (2, "d"), {"d": (1, 2, 5, 8)}),
    "last": (lambda x: x[-1] - x[x.shape[0] // 2], ("n", 3), {"n": (1, 2, 9)}),
    "arange": (lambda x: x + sn.arange(x.shape[0]), ("n",), {"n": (0, 1, 6)}),
    "mask": (lambda x: sn.tril(sn.ones((x.shape[1], x.shape[1]))) @ x, (2, "t", 3),
             {"t": (1, 2, 8)}),
    "strided": (lambda x: x[::2].sum(0), ("n", 3), {"n": (1, 2, 7)}),
    "flip": (lambda x: sn.flip(x, 0), ("n", 3), {"n": (1, 2, 7)}),
    "repeat": (lambda x: sn.tile(x, (3, 1)), ("n", 3), {"n": (1, 4)}),
    "outer": (lambda x: x[:, None] * x[None, :], ("n",), {"n": (1, 4)}),
    "pad": (lambda x: nn.functional.pad(x, (1, 2)), ("n", "t"), {"n": (1, 2), "t": (1, 4)}),
    "upsample": (lambda x: nn.functional.interpolate(x, scale_factor=2, mode="nearest"),
                 (1, 2, "h", "w"), {"h": (1, 5), "w": (2, 4)}),
    "scan": (lambda x: sn.cumulative_sum(x, axis=1), ("n", "t"), {"n": (1, 2), "t": (1, 20)}),
    "sort": (lambda x: sn.sort(x, axis=1), ("n", "t"), {"n": (1, 2), "t": (1, 20)}),
    "variance": (lambda x: x.var(0, correction=1), ("n", 3), {"n": (2, 9)}),
    "softmax": (lambda x: sn.softmax(x, axis=0).sum(1), ("n", 3), {"n": (1, 9)}),
    "none": (lambda x: x + 1, ("a", "b"), {"a": (0, 2), "b": (1, 3)}),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_programs_make_of_sizes(name: str, tmp_path: Path) -> None:
    function, shape, sizes = FUNCTIONS[name]
    check(function, [sn.TensorSpec(shape)], tmp_path, **sizes)


def test_two_arguments_share_a_size(tmp_path: Path) -> None:
    specs = [sn.TensorSpec(("n", 3)), sn.TensorSpec(("m", 3)), sn.TensorSpec(("n",))]

    def f(x: sn.Tensor, y: sn.Tensor, z: sn.Tensor) -> Any:
        both = sn.concatenate([x, y])
        return both.reshape(-1), both[: x.shape[0]] * z[:, None]

    graph = check(f, specs, tmp_path, n=(1, 4), m=(1, 6))
    assert str(graph.nodes[0].outputs[0].shape[0]) in ("n + m", "m + n")
    with pytest.raises(sn.ShapeError, match="sizes of one name must be equal"):
        graph(sn.ones((2, 3)), sn.ones((1, 3)), sn.ones(3))


def test_gradients_and_batches_flow_through(tmp_path: Path) -> None:
    net = mlp()
    graph = sn.trace(net, sn.TensorSpec(("n", 6)))
    x = sn.random.randn((5, 6))
    graph(x).square().sum().backward()
    ours = [p.grad.clone() for p in net.parameters()]
    for p in net.parameters():
        p.grad = None
    net(x).square().sum().backward()
    same_bits(ours, [p.grad for p in net.parameters()])
    xs = sn.random.randn((4, 5, 6))
    same_bits(sn.vmap(graph)(xs), sn.vmap(net)(xs))


def test_random_numbers_are_drawn_as_in_the_function() -> None:
    def f(x: sn.Tensor) -> sn.Tensor:
        return nn.functional.dropout(x, 0.5) + sn.random.randn(x.shape)

    graph = sn.trace(f, sn.TensorSpec(("n", 4)))
    for n in (1, 3, 100):
        x = sn.ones((n, 4))
        sn.random.seed(n)
        want = [f(x), f(x)]
        sn.random.seed(n)
        same_bits([graph(x), graph(x)], want)


def test_cut_keeps_the_sizes(tmp_path: Path) -> None:
    def f(x: sn.Tensor) -> Any:
        y = nn.functional.max_pool1d(x, 3)
        z = sn.exp(x).reshape(y.shape[0] * 4, -1)
        return sn.zeros((y.shape[2],)) + 1, z

    graph = sn.trace(f, sn.TensorSpec(("n", 4, "t")))
    x = sn.random.randn((2, 4, 10))
    for k in range(2):
        part = graph.cut(graph.outputs[k])
        part.save(tmp_path / "part.sn")
        same_bits(part(x), f(x)[k])
        same_bits(sn.load(tmp_path / "part.sn")(x), f(x)[k])


# ---------------------------------------------------------------- limits


def test_limits_are_checked() -> None:
    length = sn.Dim("t", min=2, max=24, multiple=4)
    graph = sn.trace(lambda x: x.reshape(-1, 4).sum(0), sn.TensorSpec((length,)))
    assert graph.sizes == {"t": length} and repr(length) == "Dim('t', min=2, max=24, multiple=4)"
    assert graph(sn.ones(12)).tolist() == [3.0] * 4
    with pytest.raises(sn.ShapeError, match="'t' is 6; this graph was made for multiples of 4"):
        graph(sn.ones(6))
    with pytest.raises(sn.ShapeError, match="'t' is 28; this graph was made for 2 to 24"):
        graph(sn.ones(28))
    with pytest.raises(sn.ShapeError, match=r"this graph was made for \(t\)"):
        graph(sn.ones((2, 4)))
    with pytest.raises(sn.DTypeError):
        graph(sn.ones(12, dtype=sn.float64))


def test_sizes_must_be_bound_for_plans() -> None:
    graph = sn.trace(lambda x: sn.exp(x).sum(0), sn.TensorSpec(("n", 4)))
    with pytest.raises(sn.InvalidValue, match=r"graph.bind\(n="):
        graph.memory_plan()
    with pytest.raises(sn.InvalidValue, match=r"graph.bind\(n="):
        graph.optimize(["lower"])
    assert graph.bind(n=10).memory_plan().arguments == 160
    with pytest.raises(sn.InvalidValue, match="open sizes of this graph are n"):
        graph.bind(m=3)
    with pytest.raises(sn.ShapeError):
        graph.bind(n=-1)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: sn.Dim("a b"), "identifier"),
        (lambda: sn.Dim("a", min=-1), "no size fits"),
        (lambda: sn.Dim("a", min=5, max=7, multiple=8), "no size fits"),
        (lambda: sn.Dim("a", multiple=0), "no size fits"),
        (lambda: sn.TensorSpec((2.5,)), "every size must be an int"),
        (lambda: sn.TensorSpec((-1,)), "every size must be an int"),
        (lambda: sn.trace(lambda x, y: x, sn.TensorSpec((sn.Dim("a", max=3),)),
                          sn.TensorSpec((sn.Dim("a", max=4),))), "different limits"),
    ],
)  # fmt: skip
def test_bad_sizes(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(sn.InvalidValue, match=match):
        make()


def test_a_bare_name_takes_the_limits() -> None:
    specs = [sn.TensorSpec(("a",)), sn.TensorSpec((sn.Dim("a", max=9),))]
    assert sn.trace(lambda x, y: x + y, *specs).sizes["a"].max == 9


# ---------------------------------------------------------------- what has no graph


def test_a_loop_over_a_size_is_refused_with_its_line() -> None:
    def f(x: sn.Tensor) -> sn.Tensor:
        total = x[0]
        for i in range(1, x.shape[0]):
            total = sn.sin(total) + x[i]
        return total

    with pytest.raises(sn.InvalidValue, match="depends on an open size") as info:
        sn.trace(f, sn.TensorSpec(("n", 2)))
    assert "test_open_sizes.py" in str(info.value) and "n = " in str(info.value)


def test_a_constant_made_of_a_size_is_refused() -> None:
    with pytest.raises(sn.InvalidValue, match="make it with sennit's functions"):
        sn.trace(lambda x: x + sn.asarray(np.arange(x.shape[0])), sn.TensorSpec(("n",)))
    with pytest.raises(sn.InvalidValue, match="make it with sennit's functions"):
        sn.trace(lambda x: x + sn.tensor([float(x.shape[0])]), sn.TensorSpec(("n",)))


def test_numbers_that_follow_no_rule_are_refused() -> None:
    with pytest.raises(sn.InvalidValue, match="no expression of the sizes was found"):
        sn.trace(lambda x: x * math.log(x.shape[0]), sn.TensorSpec(("n",)))
    with pytest.raises(sn.InvalidValue, match=r"no expression of the sizes was found.*sn.Dim"):
        sn.trace(lambda x: x[: x.shape[0].bit_length()], sn.TensorSpec(("n",)))
    with pytest.raises(sn.InvalidValue, match="what the function returns depends"):
        sn.trace(lambda x: (x, x.shape[0]), sn.TensorSpec(("n",)))
    with pytest.raises(sn.InvalidValue, match="depends on an open size"):
        sn.trace(lambda x: [x] * (x.shape[0] % 3), sn.TensorSpec(("n",)))


def test_the_reason_is_that_of_the_function() -> None:
    with pytest.raises(sn.ShapeError) as info:
        sn.trace(lambda x: x @ sn.ones((3, 2)), sn.TensorSpec(("n", 4)))
    assert any("traced with n = " in note for note in info.value.__notes__)


# ---------------------------------------------------------------- ways that depend on sizes


def branching(x: sn.Tensor) -> sn.Tensor:
    if x.shape[0] == 1:
        return x * 2
    if x.shape[1] > 1000:
        return x * 3
    return x * 4


def test_a_call_that_takes_another_way_is_refused(tmp_path: Path) -> None:
    graph = sn.trace(branching, sn.TensorSpec(("n", "t")))
    graph.save(tmp_path / "m.sn")
    for g in (graph, sn.load(tmp_path / "m.sn")):
        for n, t in ((2, 1), (0, 4), (300, 1000)):
            x = sn.ones((n, t))
            same_bits(g(x), branching(x))
        with pytest.raises(sn.ShapeError, match=r"n = 1, t = 4.*n - 1 != 0") as info:
            g(sn.ones((1, 4)))
        assert "test_open_sizes.py" in str(info.value)
        with pytest.raises(sn.ShapeError, match="t - 1000 <= 0"):
            g(sn.ones((2, 1001)))
        with pytest.raises(sn.ShapeError, match="another way"):
            g.bind(n=1, t=4)
    limited = sn.trace(branching, sn.TensorSpec((sn.Dim("n", min=2), sn.Dim("t", max=64))))
    assert 'conditions":[]' in limited._program.write()


def test_ways_to_the_same_graph_need_no_condition() -> None:
    seen = set()

    def f(x: sn.Tensor) -> sn.Tensor:
        if x.shape[0] % 2:
            seen.add("odd")
        return x * 2

    graph = sn.trace(f, sn.TensorSpec(("n",)))
    for n in (1, 2, 5, 8):
        same_bits(graph(sn.ones(n)), f(sn.ones(n)))


def test_smallest_and_largest_sizes_are_ways_too() -> None:
    def f(x: sn.Tensor) -> sn.Tensor:
        return x[: min(x.shape[0], 512)] * max(1, x.shape[0] - 4)

    graph = sn.trace(f, sn.TensorSpec(("n",)))
    for n in (6, 100, 512):
        same_bits(graph(sn.ones(n)), f(sn.ones(n)))
    for n in (3, 513):
        with pytest.raises(sn.ShapeError, match="another way"):
            graph(sn.ones(n))


def test_a_way_that_no_expression_describes_is_refused() -> None:
    def f(x: sn.Tensor) -> sn.Tensor:
        return x * 2 if (x.shape[0] * 7919) % 104729 == 5 else x

    with pytest.raises(sn.InvalidValue, match="the function compares sizes"):
        sn.trace(f, sn.TensorSpec(("n",)))


def test_sizes_are_plain_ints_again_afterwards() -> None:
    kept = []
    sn.trace(lambda x: kept.append(x.shape[0]) or x + 1, sn.TensorSpec(("n",)))  # type: ignore[func-returns-value]
    assert isinstance(kept[0], int) and kept[0] != 1 and kept[0] + 1 > kept[0]
    assert type(sn.ones(3).shape[0]) is int and type(sn.ones(3).size) is int
