"""Symbolic programs: written down before there is data, they are the graphs that tracing gives."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
import graph_models as models


def same(a: Any, b: Any) -> bool:
    if isinstance(a, sn.Tensor):
        return a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))


def nodes_text(graph: sn.Graph) -> list[str]:
    return [repr(node) for node in graph.nodes]


def float_input(*shape: int) -> sn.Tensor:
    return sn.random.randn(shape)


def tokens(*shape: int) -> sn.Tensor:
    return sn.random.integers(0, 17, shape)


NETWORKS = {
    "mlp": (models.mlp, ("n", 6), sn.float32, [(1, 6), (5, 6), (64, 6)]),
    "cnn": (models.cnn, ("n", 2, "h", "w"), sn.float32, [(1, 2, 9, 8), (3, 2, 16, 21)]),
    "lstm": (models.Tagger, ("t", "n", 5), sn.float32, [(1, 1, 5), (7, 3, 5)]),
    "gpt": (models.GPT, ("n", sn.Dim("t", max=32)), sn.int64, [(1, 1), (2, 9), (5, 32)]),
    "fixed": (models.mlp, (3, 6), sn.float32, [(3, 6)]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_those_of_tracing(name: str, tmp_path: Any) -> None:
    make, shape, dtype, sizes = NETWORKS[name]
    net = make().eval()
    x = sn.symbol("x", shape, dtype)
    graph = sn.Graph(x, net(x))
    traced = sn.trace(net, sn.TensorSpec(shape, dtype, "x"))
    assert nodes_text(graph) == nodes_text(traced)
    assert list(graph.parameters) == list(traced.parameters)
    assert all(graph.parameters[k] is v for k, v in traced.parameters.items())
    assert list(graph.sizes) == list(traced.sizes)
    graph.save(tmp_path / "net.sn")
    loaded = sn.load(tmp_path / "net.sn")
    for given in sizes:
        data = tokens(*given) if dtype == sn.int64 else float_input(*given)
        want = net(data)
        assert same(graph(data), want)
        assert same(loaded(data), want)


def test_written_out_it_is_the_same_too() -> None:
    layer, other = nn.Linear(6, 8), nn.Linear(8, 8)

    def program(x: Any) -> Any:
        n = x.shape[0]
        h = sn.relu(layer(x))
        for _ in range(2):
            h = h + nn.functional.gelu(other(h))
        h = h.reshape(n, 2, -1).permute_dims((0, 2, 1)) * 0.5
        parts = sn.concatenate([h, h[:, :, :1]], axis=2)
        steps = sn.arange(n, dtype=sn.float32) / 2.0
        mask = (sn.arange(parts.shape[1]) < 3)[None, :, None]
        y = sn.where(mask, parts, 0.0).sum((1, 2)) + steps
        return {"loss": (y**2).mean(), "pair": (y.T if y.ndim > 1 else -y, parts.max(-1))}

    x = sn.symbol("x", ("n", 6))
    graph = sn.Graph([x], program(x), module={"0": layer, "1": other})
    assert len(graph.constants) == 1  # the mask depends on no symbol: it is computed at once
    assert list(graph.parameters) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    for n in (1, 2, 7, 40):
        data = float_input(n, 6)
        assert same(graph(data), program(data))


def test_sizes_are_computed_with() -> None:
    x = sn.symbol("x", (None, "t", 4))
    n, t, four = x.shape
    assert four == 4 and isinstance(four, int)
    assert repr(t) == "t" and repr(n * 2) == "(x_0 * 2)"
    y = x[:, : t // 2].reshape(n * (t // 2), 2, -1)
    graph = sn.Graph(x, [y, sn.zeros((n + 1, t - 1)), sn.arange(3 * t)])
    for shape in ((3, 8, 4), (1, 5, 4), (2, 2, 4)):
        data = float_input(*shape)
        cut, zeros, count = graph(data)
        assert same(cut, data[:, : shape[1] // 2].reshape(-1, 2, 2))
        assert zeros.shape == (shape[0] + 1, shape[1] - 1)
        assert count.tolist() == list(range(3 * shape[1]))


def test_an_expression_is_not_mistaken_for_another_one() -> None:
    """Sizes that are equal, or fixed, at some examples alone."""
    x = sn.symbol("x", ("n", 2))
    n = x.shape[0]
    graph = sn.Graph(x, [sn.arange(n // 4), sn.arange((3 * n + 1) // 8), sn.arange(n * n + 1)])
    for k in (1, 4, 5, 9, 31, 100):
        a, b, c = graph(float_input(k, 2))
        assert (a.size, b.size, c.size) == (k // 4, (3 * k + 1) // 8, k * k + 1)
    for count in (n % 3, n // 7 + n % 2, (n * n + n) // 2):
        with pytest.raises(sn.InvalidValue, match="no expression of the sizes was found") as e:
            sn.Graph(x, sn.arange(count))
        assert "test_symbols.py" in e.value.where


def test_a_comparison_is_a_condition_of_the_graph() -> None:
    x = sn.symbol("x", ("n", 4))
    y = x[0] if x.shape[0] == 1 else x.mean(0)
    graph = sn.Graph(x, y)
    data = float_input(3, 4)
    assert same(graph(data), data.mean(0))
    with pytest.raises(sn.ShapeError, match="another way") as e:
        graph(sn.ones((1, 4)))
    assert "test_symbols.py" in e.value.where


def test_a_comparison_with_two_outcomes_is_refused() -> None:
    x = sn.symbol("x", ("n", 4))
    with pytest.raises(sn.InvalidValue, match=r"n > 50 holds for some sizes"):
        _ = x.shape[0] > 50


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (lambda n: list(range(n)), "asks for a number"),
        (np.zeros, "asks for a number"),
        (lambda n: 1.0 / n, "asks for a float"),
        (float, "asks for a float"),
        (lambda n: {n: 1}, "asks for a hash"),
    ],
)
def test_open_sizes_do_not_become_numbers_unseen(use: Any, what: str) -> None:
    x = sn.symbol("x", ("n", 4))
    with pytest.raises(sn.InvalidValue, match=what) as e:
        use(x.shape[0])
    assert "sn.trace" in str(e.value)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x.item(),
        lambda x: x.numpy(),
        lambda x: x.tolist(),
        np.asarray,
        lambda x: bool((x > 0).all()),
        lambda x: float(x.sum()),
        lambda x: x.sum().backward(),
        lambda x: x.requires_grad_(),
        lambda x: "yes" if x.sum() > 0 else "no",
        lambda x: x.data,
    ],
)
def test_elements_are_not_there(use: Any) -> None:
    x = sn.symbol("x", ("n", 4)) * 2
    with pytest.raises(sn.InvalidValue, match="no elements") as e:
        use(x)
    assert "sn.Graph" in str(e.value)


def test_errors_come_at_the_call_that_they_concern() -> None:
    x, y = sn.symbol("x", ("n", 4)), sn.symbol("y", ("m", 4))
    with pytest.raises(sn.ShapeError, match="matmul"):
        _ = x @ x
    with pytest.raises(sn.ShapeError):
        _ = x + y  # two sizes that need not agree
    with pytest.raises(sn.ShapeError):
        nn.Linear(5, 2)(x)
    with pytest.raises(sn.DTypeError):
        _ = nn.Embedding(4, 2)(x)


def test_images_that_are_too_small_at_first_are_tried_larger() -> None:
    net = nn.Sequential(
        *[nn.Conv2d(1 if k == 0 else 2, 2, 3, stride=2) for k in range(5)], nn.Flatten()
    )
    x = sn.symbol("x", ("n", 1, "s", "s"))
    graph = sn.Graph(x, net(x) * 2)
    data = float_input(2, 1, 70, 70)
    assert same(graph(data), net(data) * 2)


def test_what_python_took_for_fixed_is_checked_at_other_sizes() -> None:
    x = sn.symbol("x", (sn.Dim("n", min=1, max=20), 4))
    n = x.shape[0]
    cut = sn.arange(n // 19)  # of 0 or 1 elements
    with pytest.raises(sn.InvalidValue):
        sn.Graph(x, [sn.zeros(3) + sn.ones(cut.shape[0] + 3).sum(), x])


def test_writing_in_place() -> None:
    x = sn.symbol("x", ("n", 4))
    h = x * 2
    h += 1
    h[:, 0] = 7.0
    h.mul_(3)
    k = h
    k -= x
    assert k is h
    graph = sn.Graph(x, [h])

    def imperative(x: Any) -> Any:
        h = x * 2
        h += 1
        h[:, 0] = 7.0
        h.mul_(3)
        h -= x
        return [h]

    data = float_input(3, 4)
    assert same(graph(data), imperative(data))
    with pytest.raises(sn.InvalidValue, match="its input 'x' in place"):
        x += 1
    row = h[0]
    with pytest.raises(sn.InvalidValue, match="view"):
        row += 1
    with pytest.raises(sn.InvalidValue, match="view"):
        h += 1
    buffer = sn.zeros((3, 4))
    with pytest.raises(sn.InvalidValue, match=r"a symbol \(sn.symbol\)"):
        buffer[0] = x[0]


def test_random_numbers_are_drawn_at_every_call() -> None:
    x = sn.symbol("x", ("n", 8))
    state = sn.random.get_state().tolist()
    y = nn.functional.dropout(x, 0.5)
    fixed = sn.symbol("fixed", (4, 3, 5))
    z = nn.functional.dropout1d(fixed, 0.5)
    g = nn.functional.gaussian_noise(x)
    assert sn.random.get_state().tolist() == state
    noisy = sn.Graph(x, [y, g])
    channels = sn.Graph(fixed, z)
    sn.random.seed(3)
    data = sn.ones((50, 8))
    first, second = noisy(data), noisy(data)
    assert not same(first, second)
    sn.random.seed(3)
    assert same(first, [nn.functional.dropout(data, 0.5), nn.functional.gaussian_noise(data)])
    ones = sn.ones((4, 3, 5))
    drawn = {tuple(channels(ones)[:, :, 0].reshape(-1).tolist()) for _ in range(8)}
    assert len(drawn) > 1


def test_parameters_are_found_and_named() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    w = nn.Parameter(sn.ones((4, 4)))
    x = sn.symbol("x", ("n", 4))
    y = second(first(x)) @ w
    graph = sn.Graph(x, y)
    assert list(graph.parameters) == [
        "0.weight", "0.bias", "1.weight", "1.bias", "parameter.0",
    ]  # fmt: skip
    graph = sn.Graph(x, y, module={"a": first, "b": second, "w": w}, name="both")
    assert list(graph.parameters) == ["a.weight", "a.bias", "b.weight", "b.bias", "w"]
    assert graph.name == "both"
    data = float_input(3, 4)
    before = graph(data)
    with sn.no_grad():
        w *= 2
    assert same(graph(data), before * 2)
    assert graph.parameters["w"] is w
    graph(data).sum().backward()
    assert w.grad is not None and first.weight.grad is not None
    with pytest.raises(sn.GradError, match="outside of the symbolic program"):
        _ = x @ w.T
    assert (x @ w.T.detach()).shape[1] == 4


def test_tensors_are_constants() -> None:
    mean = sn.tensor([1.0, 2.0])
    x = sn.symbol("x", ("n", 2))
    graph = sn.Graph(x, (x - mean, mean * 2, 3, "text", None))
    y, twice, three, text, nothing = graph(sn.ones((1, 2)))
    assert y.tolist() == [[0.0, -1.0]] and twice.tolist() == [2.0, 4.0]
    assert (three, text, nothing) == (3, "text", None)
    array = np.ones(2, np.float32)
    z = x * array
    array[:] = 5
    assert sn.Graph(x, z)(sn.ones((1, 2))).tolist() == [[1.0, 1.0]]
    assert sn.Graph(x, np.float32(2) * x + np.ones(2, np.float32))(sn.ones((1, 2))).shape == (1, 2)


def test_inputs_by_name_and_nested() -> None:
    a, b = sn.symbol("a", ("n",)), sn.symbol("b", ("n",))
    graph = sn.Graph({"b": b, "a": a}, a - b)
    assert graph(a=sn.ones(2), b=sn.zeros(2)).tolist() == [1.0, 1.0]
    graph = sn.Graph([(a, {"other": b})], a - b)
    assert graph((sn.ones(2), {"other": sn.zeros(2)})).tolist() == [1.0, 1.0]


def test_bad_inputs_and_outputs() -> None:
    x, y = sn.symbol("x", ("n",)), sn.symbol("y", ("n",))
    with pytest.raises(sn.InvalidValue, match="depends on the symbol 'y'"):
        sn.Graph([x], x + y)
    with pytest.raises(sn.InvalidValue, match="result of a call"):
        sn.Graph([x + 1], x)
    with pytest.raises(sn.InvalidType, match="must be symbols"):
        sn.Graph([sn.ones(3)], x)
    with pytest.raises(sn.InvalidValue, match="two inputs"):
        sn.Graph([x, sn.symbol("x", ("n",))], x)
    with pytest.raises(sn.InvalidType, match="outputs hold a set"):
        sn.Graph([x], {1, 2})
    with pytest.raises(sn.InvalidValue, match="-1"):
        sn.symbol("x", (-1,))
    with pytest.raises(sn.InvalidType, match="name"):
        sn.symbol(3, (1,))  # type: ignore[arg-type]
    with pytest.raises(sn.InvalidValue, match="empty"):
        sn.symbol("", (1,))


def test_modules_in_training_mode_are_refused_and_stay_as_they_are() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = net.state_dict()["1.running_mean"].numpy().copy()
    x = sn.symbol("x", ("n", 4))
    with pytest.raises(sn.InvalidValue, match=r"running_.*eval\(\)"):
        net(x)
    assert np.array_equal(net.state_dict()["1.running_mean"].numpy(), before)
    y = net.eval()(x)
    data = float_input(3, 4)
    assert same(sn.Graph(x, y)(data), net(data))


def test_gradients_of_functions_of_symbols() -> None:
    net = models.mlp()
    x, y = sn.symbol("x", ("n", 6)), sn.symbol("y", ("n", 3))

    def loss(x: Any, y: Any) -> Any:
        return ((net(x) - y) ** 2).mean()

    value, slope = sn.value_and_grad(loss)(x, y)
    graph = sn.Graph([x, y], {"value": value, "slope": slope, "again": sn.grad(loss)(x, y) * 2})
    for n in (1, 5):
        data, target = float_input(n, 6), float_input(n, 3)
        want, gradient = sn.value_and_grad(loss)(data, target)
        made = graph(data, target)
        assert same(made["value"], want) and same(made["slope"], gradient)
        assert same(made["again"], gradient * 2)


def test_functions_may_refer_to_symbols() -> None:
    x, w = sn.symbol("x", ("n", 3)), sn.symbol("w", (3,))
    g = sn.grad(lambda w: (x * w).sum() + x.shape[0])(w)
    each = sn.vmap(lambda row: (row * w).sum())(x)
    graph = sn.Graph([x, w], [g, each])
    data, weights = float_input(4, 3), float_input(3)
    g_made, each_made = graph(data, weights)
    assert same(g_made, sn.grad(lambda w: (data * w).sum() + 4)(weights))
    assert same(each_made, sn.vmap(lambda row: (row * weights).sum())(data))


def test_graphs_compose() -> None:
    net = models.mlp()
    inner = sn.trace(net, sn.TensorSpec(("n", 6)))
    x = sn.symbol("x", ("n", 6))
    graph = sn.Graph(x, sn.softmax(inner(x), -1))
    assert list(graph.parameters) == list(inner.parameters)
    data = float_input(3, 6)
    assert same(graph(data), sn.softmax(net(data), -1))


def test_the_line_of_the_user_stands_at_every_node() -> None:
    x = sn.symbol("x", ("n", 4))
    y = x * 2
    z = sn.relu(y)
    nodes = sn.Graph(x, z).nodes
    lines = [int(node.where.rpartition(":")[2]) for node in nodes]
    assert lines[1] == lines[0] + 1
    assert all(os.path.basename(__file__) in node.where for node in nodes)


def test_parts_that_are_not_asked_for_are_left_out() -> None:
    x = sn.symbol("x", ("n", 4))
    y = sn.exp(x)
    _ = sn.sin(y).sum()
    assert [n.op for n in sn.Graph(x, y).nodes] == ["exp"]


def test_a_long_program_is_no_deep_one() -> None:
    x = sn.symbol("x", (2,))
    y = x
    for _ in range(3000):
        y = y + 1
    graph = sn.Graph(x, y)
    assert graph(sn.zeros(2)).tolist() == [3000.0, 3000.0]
    del x, y, graph


def test_tensors_that_have_nothing_to_do_with_symbols_are_computed_as_ever() -> None:
    x = sn.symbol("x", ("n", 4))
    a = sn.ones(3)
    a += 1
    assert a.tolist() == [2.0, 2.0, 2.0]
    assert (x + a.sum()).ndim == 2
    assert len({x, x}) == 1 and x in [x]
