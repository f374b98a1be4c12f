"""Passes that are chosen one by one: what each changes in nodes and bytes, and that bits stay."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn
from sennit._tree import flatten

sys.path.insert(0, str(Path(__file__).resolve().parent))

from graph_models import MODELS, OPEN_MODELS, draw

SIZES = {
    "mlp": [{"n": 1}, {"n": 9}],
    "cnn": [{"n": 2, "h": 9, "w": 8}, {"n": 1, "h": 16, "w": 21}],
    "lstm": [{"t": 1, "n": 3}, {"t": 7, "n": 2}],
    "gpt": [{"n": 1, "t": 5}, {"n": 3, "t": 20}],
}
SIZE_FREE = ("simplify", "dead_code", "common_subexpressions", "identities", "fold")


def same_bits(a: Any, b: Any) -> None:
    ours, theirs = flatten(a), flatten(b)
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs, strict=True):
        assert x.detach().numpy().tobytes() == y.detach().numpy().tobytes()


def ops(graph: sn.Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def wasteful(x: Any) -> Any:
    sn.cos(x)  # nobody reads it
    table = sn.arange(4) * 2.0 + 1.0
    y = sn.exp(x).astype(sn.float32).reshape(x.shape)
    return y * sn.exp(x) + table


@pytest.mark.parametrize("shape", [(3, 4), ("n", 4)])
def test_each_pass_does_its_own_work(shape: Any) -> None:
    graph = sn.trace(wasteful, sn.TensorSpec(shape))
    whole = ops(graph)
    assert whole.count("exp") == 2 and "cos" in whole

    alive = graph.optimize(["dead_code"])
    assert "cos" not in ops(alive) and ops(alive).count("exp") == 2

    once = graph.optimize(["common_subexpressions"])
    assert ops(once).count("exp") == 1 and "cos" in ops(once)

    plain = graph.optimize(["identities"])
    assert ops(plain).count("exp") == 2 and len(plain.nodes) <= len(graph.nodes)

    folded = graph.optimize(["fold"])
    assert "arange" not in ops(folded) and len(folded.constants) == 1
    assert folded.constants["constant.0"].tolist() == [1.0, 3.0, 5.0, 7.0]

    best = graph.optimize()
    assert ops(best) == ["exp", "multiply", "add"]
    assert best.inputs == graph.inputs and list(best.sizes) == list(graph.sizes)
    for n in (3,) if shape[0] == 3 else (1, 3, 37, 50):
        x = sn.random.randn((n, 4))
        for made in (alive, once, plain, folded, best):
            same_bits(made(x), graph(x))


@pytest.mark.parametrize("name", OPEN_MODELS)
@pytest.mark.parametrize("passes", [*[(p,) for p in SIZE_FREE], SIZE_FREE])
def test_graphs_with_open_sizes_stay_open(name: str, passes: Any, tmp_path: Any) -> None:
    make, open_specs = OPEN_MODELS[name]
    graph = sn.trace(make().eval(), *open_specs)
    made = graph.optimize(passes)
    assert len(made.nodes) <= len(graph.nodes) and made.sizes == graph.sizes
    assert made.inputs == graph.inputs
    made.save(tmp_path / "made.sn")
    loaded = sn.load(tmp_path / "made.sn")
    for given in SIZES.get(name) or [dict.fromkeys(graph.sizes, k) for k in (1, 4)]:
        bound = graph.bind(**given)
        data = draw(bound.inputs)
        sn.random.seed(1)
        want = graph(*data)
        for other in (made, loaded):
            sn.random.seed(1)
            same_bits(other(*data), want)


def test_an_operation_that_does_nothing_at_the_example_alone_stays() -> None:
    """37 is the first example of an open size."""

    def cut(x: Any) -> Any:
        return sn.concatenate([x, x])[:37].exp(), sn.concatenate([x[:1], x[:36]])[:37] * 2.0

    graph = sn.trace(cut, sn.TensorSpec((sn.Dim("n", min=37), 4)))
    made = graph.optimize()
    for n in (37, 40):
        x = sn.random.randn((n, 4))
        same_bits(made(x), graph(x))


def test_passes_that_look_at_sizes_say_so() -> None:
    graph = sn.trace(nn.Linear(4, 2), sn.TensorSpec(("n", 4)))
    for name in ("lower", "recompute"):
        with pytest.raises(sn.InvalidValue, match=r"graph.bind\(n="):
            graph.optimize([name])
    with pytest.raises(sn.InvalidValue, match="the passes are simplify, dead_code"):
        graph.optimize(["fuse"])


@pytest.mark.parametrize("name", MODELS)
def test_all_passes_keep_the_bits_of_models(name: str) -> None:
    make, specs = MODELS[name]
    graph = sn.trace(make().eval(), *specs)
    made = graph.optimize(["simplify", "fold", "recompute", "lower", "simplify"])
    data = draw(specs)
    sn.random.seed(1)
    want = graph(*data)
    sn.random.seed(1)
    same_bits(made(*data), want)


class Deep(nn.Module):
    def __init__(self, width: int = 256, depth: int = 4) -> None:
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = nn.functional.gelu(layer(x))
        return x


def test_recomputation_takes_less_memory_and_keeps_the_bits() -> None:
    net = Deep()
    params = dict(net.named_parameters())

    def loss(params: Any, x: Any) -> Any:
        return (sn.functional_call(net, params, (x,)) ** 2).mean()

    specs = {k: sn.TensorSpec(v.shape) for k, v in params.items()}
    graph = sn.trace(sn.value_and_grad(loss), specs, sn.TensorSpec((1024, 256)))
    made = graph.optimize(["recompute"])
    before, after = graph.memory_plan(), made.memory_plan()
    assert after.arena < before.arena
    assert ops(made).count("gelu") > ops(graph).count("gelu")
    x = sn.random.randn((1024, 256))
    same_bits(made(params, x), graph(params, x))
    # It stays computed twice whatever runs after it.
    assert made.optimize().memory_plan().arena == after.arena


def test_recomputation_leaves_alone_what_gains_nothing() -> None:
    graph = sn.trace(Deep(), sn.TensorSpec((1024, 256)))
    assert ops(graph.optimize(["recompute"])) == ops(graph)


def test_what_changed_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    graph = sn.trace(wasteful, sn.TensorSpec((300, 4)))
    graph.optimize(["dead_code", "common_subexpressions", "fold"], show=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["dead_code", "common_subexpressions", "fold"]
    assert "-1 cos" in lines[0] and "-1 exp" in lines[1] and "-1 arange" in lines[2]


def test_the_plan_shows_groups_and_places() -> None:
    net = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8), nn.Softmax(-1)).eval()
    plan = sn.trace(net, sn.TensorSpec((64, 8))).memory_plan()
    kinds = [step.kind for step in plan.steps]
    assert kinds.count("kernel+epilogue") == 2
    assert plan.steps[0].ops[:3] == ("matmul", "add", "gelu")
    assert len(plan.steps) == plan.kernels
    assert plan.steps[-1].writes[0][0] == "output 0"
    assert "test_passes.py" in plan.steps[0].where and "kernel+epilogue: matmul" in str(
        plan.steps[0]
    )


def test_the_plan_shows_what_is_done_in_place_and_at_the_same_time() -> None:
    graph = sn.trace(lambda x: sn.sort(sn.exp(sn.sort(x))), sn.TensorSpec((4096,)))
    steps = graph.memory_plan().steps
    assert [step.in_place for step in steps] == [False, True, False]
    assert steps[1].reads == steps[1].writes == (("arena 0", 4 * 4096),)


def test_gradients_of_graphs_are_graphs() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x, y = sn.symbol("x", ("n", 4)), sn.symbol("y", ("n", 1))
    graph = sn.Graph([x, y], ((net(x) - y) ** 2).mean())
    slopes = graph.gradient(value=True)
    assert slopes.sizes == graph.sizes and list(slopes.parameters) == list(graph.parameters)
    for n in (1, 6):
        data, target = sn.random.randn((n, 4)), sn.random.randn((n, 1))
        value, grads = slopes(data, target)
        for p in net.parameters():
            p.grad = None
        loss = ((net(data) - target) ** 2).mean()
        loss.backward()
        same_bits(value, loss)
        assert list(grads) == ["0.weight", "0.bias", "2.weight", "2.bias"]
        for name, p in net.named_parameters():
            same_bits(grads[name], p.grad)
        inputs = graph.gradient("x", graph.inputs[1])(data, target)
        want = sn.grad(lambda a, b: ((net(a) - b) ** 2).mean(), (0, 1))(data, target)
        same_bits([inputs["x"], inputs["y"]], list(want))


def test_second_derivatives_of_graphs() -> None:
    x = sn.symbol("x", (3,))
    first = sn.Graph([x], (x**3).sum()).gradient()
    total = sn.trace(lambda x: first(x)["x"].sum(), sn.TensorSpec((3,), name="x"))
    data = sn.tensor([1.0, 2.0, 3.0])
    assert total.gradient("x")(data)["x"].tolist() == [6.0, 12.0, 18.0]


def test_gradients_that_there_are_not() -> None:
    x, k = sn.symbol("x", (3,)), sn.symbol("k", (3,), sn.int64)
    with pytest.raises(sn.GradError, match=r"returns %0: float32\[3\]"):
        sn.Graph([x], x * 2).gradient()
    graph = sn.Graph([x, k], (x * k).sum())
    for name in ("k", "nothing"):
        with pytest.raises(sn.InvalidValue, match=rf"'{name}'.*: x"):
            graph.gradient(name)


def test_a_graph_that_is_called_brings_its_conditions() -> None:
    """A function that calls a graph takes one way where the graph does."""

    def head(x: Any) -> Any:
        return x[0] if x.shape[0] == 1 else x.mean(0)

    spec = sn.TensorSpec(("n", 4))
    inner = sn.trace(head, spec)
    outer = sn.trace(lambda x: inner(x) * 2, spec)
    data = sn.random.randn((3, 4))
    same_bits(outer(data), head(data) * 2)
    with pytest.raises(sn.ShapeError, match="another way"):
        outer(sn.ones((1, 4)))
    x = sn.symbol("x", ("n", 4))
    with pytest.raises(sn.ShapeError, match="another way"):
        sn.Graph(x, inner(x))(sn.ones((1, 4)))


def test_steps_of_training_can_be_recomputed() -> None:
    def made() -> Any:
        sn.random.seed(5)
        net = Deep()
        optimizer = sn.optim.AdamW(net.parameters(), lr=0.01)

        def step(x: Any) -> Any:
            loss = (net(x) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return sn.trace(step, sn.TensorSpec((1024, 256)), mutable=[net, optimizer])

    plain, less = made(), made().optimize(["recompute"])
    assert less.memory_plan().arena < plain.memory_plan().arena
    data = sn.random.randn((1024, 256))
    losses = [[graph(data).item() for _ in range(4)] for graph in (plain, less)]
    assert losses[0] == losses[1] and np.isfinite(losses[0]).all()
    for name, p in plain.parameters.items():
        same_bits(p, less.parameters[name])
