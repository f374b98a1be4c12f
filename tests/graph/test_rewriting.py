"""Graphs with other operations in the place of some: rewrite, replace, insert, fold_batch_norm."""

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

from graph_models import _T, MODELS, OPEN_MODELS, draw, mlp


def same_bits(a: Any, b: Any) -> None:
    ours, theirs = flatten(a), flatten(b)
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs, strict=True):
        assert x.detach().numpy().tobytes() == y.detach().numpy().tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_a_rule_that_keeps_everything_gives_the_same_graph(name: str) -> None:
    make, specs = MODELS[name]
    graph = sn.trace(make(), *specs)
    same = graph.rewrite(lambda node, *inputs: None)
    assert [(n.op, n.attributes, n.where) for n in same.nodes if n.op != "permute"] == [
        (n.op, n.attributes, n.where) for n in graph.nodes if n.op != "permute"
    ]
    assert list(same.parameters) == [k for k in graph.parameters if k in same.parameters]
    assert all(same.parameters[k] is graph.parameters[k] for k in same.parameters)
    args = draw(specs)
    same_bits(same(*args), graph(*args))


@pytest.mark.parametrize("name", OPEN_MODELS)
def test_open_sizes_stay_open(name: str, tmp_path: Path) -> None:
    make, specs = OPEN_MODELS[name]
    graph = sn.trace(make(), *specs)
    same = graph.rewrite(lambda node, *inputs: None)
    assert same.sizes == graph.sizes
    assert str(same.inputs) == str(graph.inputs)
    same.save(tmp_path / "m.sn")
    args = []
    for spec in specs:
        shape = [n if isinstance(n, int) else 5 if n == _T else 9 for n in spec.shape]
        whole = spec.dtype == sn.int64
        args.append(sn.random.integers(0, 17, shape) if whole else sn.random.randn(shape))
    same_bits(same(*args), graph(*args))
    same_bits(sn.load(tmp_path / "m.sn")(*args), graph(*args))


def test_conditions_stay() -> None:
    graph = sn.trace(lambda x: x * 2 if x.shape[0] > 4 else x, sn.TensorSpec(("n",)))
    same = graph.rewrite(lambda node, *inputs: None)
    with pytest.raises(sn.ShapeError, match="another way"):
        same(sn.ones(3))


def test_rewrite_replaces_nodes() -> None:
    model = mlp()
    graph = sn.trace(model, sn.TensorSpec(("n", 6)))

    def rule(node: sn.GraphNode, *inputs: Any) -> Any:
        if node.op == "gelu":
            return sn.tanh(inputs[0])
        if node.op == "matmul":
            return node(inputs[0], inputs[1]) * 1.0
        return None

    made = graph.rewrite(rule)
    assert "gelu" not in [n.op for n in made.nodes] and "tanh" in [n.op for n in made.nodes]
    model[1] = nn.Tanh()
    x = sn.random.randn((4, 6))
    same_bits(made(x), model(x))


def test_replace_and_insert() -> None:
    def f(x: sn.Tensor) -> sn.Tensor:
        values, index = sn.topk(sn.exp(x), 2)
        return values * 2 + index

    graph = sn.trace(f, sn.TensorSpec(("n", 5)))
    x = sn.random.randn((3, 5))
    halved = graph.insert(graph.nodes[0].outputs[0], lambda y: y / 2)
    values, index = sn.topk(sn.exp(x) / 2, 2)
    same_bits(halved(x), values * 2 + index)
    node = next(n for n in graph.nodes if n.op == "exp")
    other = graph.replace(node.outputs[0], sn.sin)
    values, index = sn.topk(sn.sin(x), 2)
    same_bits(other(x), values * 2 + index)


def test_a_graph_that_is_called_in_another_is_part_of_it() -> None:
    first = sn.trace(mlp(), sn.TensorSpec(("n", 6)))
    second = sn.trace(lambda y: sn.softmax(y, -1), sn.TensorSpec(("n", 3)))
    both = sn.trace(lambda x: second(first(x)), sn.TensorSpec(("m", 6)))
    assert both.nodes[-1].op == "softmax"
    x = sn.random.randn((5, 6))
    same_bits(both(x), second(first(x)))


def test_parameters_of_graphs_that_are_called() -> None:
    """Constants of the graph around them, unless `mutable` names the graphs."""
    first = sn.trace(nn.Linear(6, 5), sn.TensorSpec(("n", 6)))
    second = sn.trace(nn.Linear(5, 2), sn.TensorSpec(("n", 5)))

    def loss(x: sn.Tensor) -> sn.Tensor:
        return second(first(x)).square().mean()

    frozen = sn.trace(loss, sn.TensorSpec(("n", 6)))
    assert not frozen.parameters and len(frozen.constants) == 4
    both = sn.trace(loss, sn.TensorSpec(("n", 6)), mutable={"a": first, "b": second})
    assert list(both.parameters) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    assert both.parameters["a.weight"] is first.parameters["weight"] and not both.updates
    x = sn.random.randn((4, 6))
    same_bits(both(x), loss(x))
    loss(x).backward()
    slopes = both.gradient()(x)
    for name, graph in (("a", first), ("b", second)):
        for key, parameter in graph.parameters.items():
            same_bits(slopes[f"{name}.{key}"], parameter.grad)
    alone = sn.trace(lambda x: first(x) * 1, sn.TensorSpec(("n", 6)), mutable=first)
    assert list(alone.parameters) == ["weight", "bias"]


def test_steps_can_be_rewritten() -> None:
    model = nn.Linear(3, 1)
    optimizer = sn.optim.SGD(model.parameters(), lr=0.5)

    def step(x: sn.Tensor) -> sn.Tensor:
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    graph = sn.trace(step, sn.TensorSpec(("n", 3)), mutable=[model, optimizer])
    same = graph.rewrite(lambda node, *inputs: None)
    assert list(same.updates) == list(graph.updates)
    x = sn.random.randn((4, 3))
    before = {k: p.clone() for k, p in graph.parameters.items()}
    want = graph(x)
    after = {k: p.detach() for k, p in graph.parameters.items()}
    for k, p in graph.parameters.items():
        p.assign_(before[k].detach())
    same_bits(same(x), want)
    for k, p in graph.parameters.items():
        same_bits(p, after[k])


def test_draws_are_those_of_the_graph() -> None:
    graph = sn.trace(lambda x: nn.functional.dropout(x, 0.5) + x, sn.TensorSpec((100,)))
    made = graph.rewrite(lambda node, *inputs: None)
    x = sn.ones(100)
    sn.random.seed(1)
    want = [graph(x), graph(x)]
    sn.random.seed(1)
    same_bits([made(x), made(x)], want)


def test_mistakes() -> None:
    graph = sn.trace(lambda x: sn.exp(x).sum(1), sn.TensorSpec((2, 3)))
    with pytest.raises(sn.InvalidType, match="the rule returned a float"):
        graph.rewrite(lambda node, x: 1.0)
    with pytest.raises(sn.InvalidValue, match="needs the same shape and dtype"):
        graph.rewrite(lambda node, x: x if node.op == "sum" else None)
    with pytest.raises(sn.InvalidValue, match="no result of a node"):
        graph.replace("x", lambda x: x)
    with pytest.raises(sn.InvalidValue, match="2 values"):
        graph.rewrite(lambda node, x: (x, x))
    with pytest.raises(sn.InvalidValue, match="open sizes"):
        sn.trace(sn.exp, sn.TensorSpec(("n",))).nodes[0](sn.ones(2))
    with pytest.raises(sn.SennitError):
        graph.nodes[1](sn.ones((2, 3)), sn.ones((2, 3)))
    # The error is that of the method which was called, and shows the sizes as they are: open.
    graph = sn.trace(lambda x: sn.exp(x).sum(1), sn.TensorSpec(("n", 3)))
    with pytest.raises(
        sn.InvalidValue, match=r"\[insert\] the function .* for %0: float32\[n, 3\]"
    ):
        graph.insert("%0", lambda y: y.sum())
    with pytest.raises(sn.InvalidType, match=r"\[replace\] the function returned a NoneType"):
        graph.replace("%0", lambda x: None)
    total = sn.trace(lambda x: sn.exp(x).sum(), sn.TensorSpec((2,)))
    for value in (3, graph.nodes[0]):
        for call in (graph.cut, total.gradient, lambda v: graph.insert(v, sn.sin)):
            with pytest.raises(sn.InvalidType, match="a value of the graph or its name"):
                call(value)
    for call in (graph.rewrite, lambda f: graph.insert("%0", f), lambda f: graph.replace("%0", f)):
        with pytest.raises(sn.InvalidType, match="it must be a function"):
            call(3)
    with pytest.raises(sn.InvalidType, match=r"n is 4\.5; a size must be an int"):
        graph.bind(n=4.5)
    twice = sn.trace(lambda x: sn.exp(x) + sn.exp(x), sn.TensorSpec((2,)))
    assert [n.op for n in twice.optimize("simplify").nodes] == ["exp", "add"]


# ---------------------------------------------------------------- batch norm


def trained(*layers: nn.Module) -> nn.Module:
    net = nn.Sequential(*layers)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            m.running_mean.assign_(sn.random.randn(m.running_mean.shape))
            m.running_var.assign_(sn.random.rand(m.running_var.shape) + 0.5)
            if m.weight is not None:
                m.weight.assign_(sn.random.randn(m.weight.shape))
                m.bias.assign_(sn.random.randn(m.bias.shape))
    return net.eval()


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        (lambda: (nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
                  nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8)), (3, 9, 9)),
        (lambda: (nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4, affine=False)), (3, 9)),
        (lambda: (nn.Conv3d(1, 4, 2), nn.BatchNorm3d(4)), (1, 5, 5, 5)),
    ],
)  # fmt: skip
def test_batch_norm_is_folded(layers: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    net = trained(*layers())
    graph = sn.trace(net, sn.TensorSpec(("n", *shape)))
    folded = graph.fold_batch_norm()
    assert "batch_norm_inference" not in [n.op for n in folded.nodes]
    assert [n.op for n in folded.nodes].count("conv") == [n.op for n in graph.nodes].count("conv")
    assert not any("running" in name for name in folded.parameters)
    assert "0.weight" in folded.parameters and "0.bias" in folded.parameters
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    x = sn.random.randn((2, *shape))
    np.testing.assert_allclose(folded(x).detach().numpy(), net(x).detach().numpy(), 1e-4, 1e-4)
    for k, v in net.state_dict().items():
        assert v.numpy().tobytes() == before[k].tobytes()
    folded.save(tmp_path / "m.sn")
    same_bits(sn.load(tmp_path / "m.sn")(x), folded(x))


def test_what_is_read_twice_is_not_folded() -> None:
    conv, norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2).eval()

    def f(x: sn.Tensor) -> sn.Tensor:
        y = conv(x)
        return norm(y) + y

    graph = sn.trace(f, sn.TensorSpec((1, 1, 5, 5)))
    assert graph.fold_batch_norm() is graph


def test_a_weight_of_two_convolutions_keeps_its_name() -> None:
    conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)
    a, b = trained(nn.BatchNorm2d(2))[0], trained(nn.BatchNorm2d(2))[0]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.a, self.b = conv, a, b

        def forward(self, x: sn.Tensor) -> sn.Tensor:
            return self.b(self.conv(self.a(self.conv(x))))

    net = Net().eval()
    folded = sn.trace(net, sn.TensorSpec((1, 2, 5, 5))).fold_batch_norm()
    x = sn.random.randn((1, 2, 5, 5))
    np.testing.assert_allclose(folded(x).detach().numpy(), net(x).detach().numpy(), 1e-4, 1e-4)
    assert sum(n.op == "batch_norm_inference" for n in folded.nodes) == 0


@pytest.mark.parametrize("make", [sn.models.resnet20, sn.models.mobilenet_v2])
def test_models_of_the_package(make: Any) -> None:
    sn.random.seed(0)
    net = make().eval()
    size = 32 if type(net).__name__.startswith("Res") else 64
    graph = sn.trace(net, sn.TensorSpec(("n", 3, size, size)))
    folded = graph.fold_batch_norm()
    assert all(n.op != "batch_norm_inference" for n in folded.nodes)
    x = sn.random.randn((2, 3, size, size))
    np.testing.assert_allclose(folded(x).detach().numpy(), net(x).detach().numpy(), 1e-3, 1e-4)
