"""sn.trace: the bits of a graph are those of the function; what cannot be traced says why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit._tree import flatten

sys.path.insert(0, str(Path(__file__).resolve().parent))

from graph_models import MODELS, cnn, draw, mlp, spec


def same_bits(a: Any, b: Any) -> None:
    ours, theirs = flatten(a), flatten(b)
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs, strict=True):
        assert x.shape == y.shape and x.dtype == y.dtype
        assert x.detach().numpy().tobytes() == y.detach().numpy().tobytes()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("threads", [1, 2])
def test_models_keep_their_bits(name: str, threads: int, tmp_path: Path) -> None:
    make, specs = MODELS[name]
    sn.random.seed(3)
    model = make()
    before = sn.num_threads()
    sn.set_num_threads(threads)
    try:
        graph = sn.trace(model, *specs)
        graph.save(tmp_path / "model.sn")
        others = [sn.load(tmp_path / "model.sn"), graph.optimize(),
                  graph.optimize(["lower", "simplify", "fold", "simplify"])]  # fmt: skip
        for _ in range(2):
            args = draw(specs)
            wanted = model(*args)
            for other in (graph, *others):
                same_bits(other(*args), wanted)
    finally:
        sn.set_num_threads(before)


def test_parameters_are_named_and_live() -> None:
    model = mlp()
    graph = sn.trace(model, spec(2, 6))
    assert list(graph.parameters) == list(model.state_dict())
    assert graph.name == "Sequential" and [v.name for v in graph.inputs] == ["input"]
    x = sn.random.randn((2, 6))
    with sn.no_grad():
        model[0].weight += 1.0
    same_bits(graph(x), model(x))
    assert graph.parameters["0.weight"] is model[0].weight


def test_gradients_flow_as_through_the_function(tmp_path: Path) -> None:
    model = mlp()
    graph = sn.trace(model, spec(2, 6))
    x = sn.random.randn((2, 6))
    model(x).square().sum().backward()
    wanted = [p.grad for p in model.parameters()]
    model.zero_grad()
    graph(x).square().sum().backward()
    same_bits([p.grad for p in model.parameters()], wanted)
    graph.save(tmp_path / "m.sn")
    loaded = sn.load(tmp_path / "m.sn")
    loaded(x).square().sum().backward()
    same_bits([p.grad for p in loaded.parameters.values()], wanted)
    frozen = sn.trace(lambda x: (x * 2).detach() + x, spec(2))
    y = sn.ones(2, requires_grad=True)
    frozen(y).sum().backward()
    assert y.grad.tolist() == [1.0, 1.0]


def test_a_gradient_is_a_graph(tmp_path: Path) -> None:
    model = mlp()
    params = {k: p.detach() for k, p in model.named_parameters()}

    def loss(params: Any, x: sn.Tensor) -> sn.Tensor:
        return sn.functional_call(model, params, (x,)).square().mean()

    step = sn.value_and_grad(loss)
    graph = sn.trace(step, params, spec(5, 6))
    x = sn.random.randn((5, 6))
    same_bits(graph(params, x), step(params, x))
    graph.save(tmp_path / "step.sn")
    same_bits(sn.load(tmp_path / "step.sn")(params, x), step(params, x))


def test_graphs_are_functions_for_transforms() -> None:
    graph = sn.trace(lambda x, w: sn.tanh(x @ w), spec(3), spec(3, 2))
    x, w = sn.random.randn((4, 3)), sn.random.randn((3, 2))
    same_bits(sn.vmap(graph, (0, None))(x, w), sn.tanh(x @ w))
    inner = sn.trace(lambda x: graph(x, w) + 1, spec(3))
    same_bits(inner(x[0]), sn.tanh(x[0] @ w) + 1)


def test_random_numbers_are_drawn_anew(tmp_path: Path) -> None:
    def f(x: sn.Tensor) -> sn.Tensor:
        return sn.dropout(x, 0.5) + sn.random.normal(shape=(64,))

    sn.random.seed(5)
    graph = sn.trace(f, spec(64))
    assert sn.random.get_state().tolist() == [5, 0]
    graph.save(tmp_path / "m.sn")
    x = sn.ones(64)
    for g in (graph, sn.load(tmp_path / "m.sn"), graph.optimize()):
        sn.random.seed(9)
        wanted = [f(x), f(x), sn.random.uniform(shape=(3,))]
        sn.random.seed(9)
        same_bits([g(x), g(x), sn.random.uniform(shape=(3,))], wanted)
    assert not bool((graph(x) == graph(x)).all())
    with pytest.raises(sn.InvalidValue, match="randomness"):
        sn.vmap(graph)(sn.ones((2, 64)))


def test_structures(tmp_path: Path) -> None:
    def f(batch: dict, scale: float, *, flip: bool, extra: Any = None) -> Any:
        y = batch["a"] * scale + batch["b"][0]
        return {"y": -y if flip else y, "rest": (extra, [batch["b"][0]], "done", 3)}

    batch = {"a": spec(2), "b": (spec(2),)}
    graph = sn.trace(f, batch, 2.0, flip=True)
    assert [v.name for v in graph.inputs] == ["batch.a", "batch.b.0"]
    given = {"b": (sn.ones(2),), "a": sn.ones(2)}
    graph.save(tmp_path / "m.sn")
    for g in (graph, sn.load(tmp_path / "m.sn")):
        result = g(given, 2.0, flip=True)
        assert result["y"].tolist() == [-3.0, -3.0]
        assert result["rest"][0] is None and result["rest"][2:] == ("done", 3)
        assert result["rest"][1][0].tolist() == [1.0, 1.0]
    for args, kwargs, kind in [
        ((given, 3.0), {"flip": True}, sn.InvalidValue),
        ((given, 2.0), {"flip": False}, sn.InvalidValue),
        ((given, 2.0), {}, sn.InvalidType),
        ((given,), {"flip": True}, sn.InvalidType),
        (({"a": sn.ones(2)}, 2.0), {"flip": True}, sn.InvalidType),
        (({"a": [1.0], "b": (sn.ones(2),)}, 2.0), {"flip": True}, sn.InvalidType),
        (({"a": sn.ones(3), "b": (sn.ones(2),)}, 2.0), {"flip": True}, sn.ShapeError),
        (({"a": sn.ones(2, dtype=sn.float64), "b": (sn.ones(2),)}, 2.0), {"flip": True},
         sn.DTypeError),
    ]:  # fmt: skip
        with pytest.raises(kind):
            graph(*args, **kwargs)
    with pytest.raises(sn.ShapeError, match=r"'batch.a' has shape \(3,\).*\(2,\)"):
        graph({"a": sn.ones(3), "b": (sn.ones(2),)}, 2.0, flip=True)
    numpy = sn.trace(lambda x: x + 1, spec(2))
    assert numpy(np.zeros(2, np.float32)).tolist() == [1.0, 1.0]


def test_results_that_are_no_new_values() -> None:
    c = sn.ones(2)
    graph = sn.trace(lambda x: (x, c, sn.tensor(2.0), x.T, x), spec(3, 2))
    x = sn.random.randn((3, 2))
    same_bits(graph(x), (x, c, sn.tensor(2.0), x.T, x))
    assert sn.trace(lambda: None)() is None
    empty = sn.trace(lambda x: x * 2, spec(0, 3))
    assert empty(sn.zeros((0, 3))).shape == (0, 3)


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if text in line and "line_of" not in line)


def test_reading_a_value_names_op_and_line() -> None:
    def f(x: sn.Tensor) -> sn.Tensor:
        total = sn.cumsum(x, 0)[-1]  # made here
        return x if total > 0 else -x  # read here

    with pytest.raises(sn.InvalidValue, match=r"sn\.where") as caught:
        sn.trace(f, spec(3))
    text = str(caught.value)
    assert f"test_tracing.py:{line_of('# read here')}" in text and "'greater'" in text
    for read in (lambda x: x.item(), lambda x: x.numpy(), lambda x: sn.zeros(int(x)), bool, float):
        with pytest.raises(sn.InvalidValue, match=r"asked for"):
            sn.trace(read, sn.TensorSpec((), sn.float32))
    # What depends on no argument has elements.
    c = sn.tensor(3)
    assert sn.trace(lambda x: x + int(c * 2), spec(2))(sn.zeros(2)).tolist() == [6.0, 6.0]
    model = sn.nn.Linear(2, 2)
    with pytest.raises(sn.InvalidValue, match="asked for"):  # parameters may change
        sn.trace(HasBranch(model), spec(2))


class HasBranch(sn.nn.Module):
    def __init__(self, inner: sn.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: sn.Tensor) -> sn.Tensor:
        return self.inner(x) if self.inner.bias.sum() > 100 else x


def test_host_operations_are_refused_by_name() -> None:
    with pytest.raises(sn.InvalidValue, match=r"^\[inv\].*NumPy.*sn\.trace"):
        sn.trace(sn.linalg.inv, spec(3, 3))
    with pytest.raises(sn.InvalidValue, match=r"^\[fft\.?\w*\].*NumPy"):
        sn.trace(sn.fft.fft, spec(4))
    known = sn.eye(2)
    graph = sn.trace(lambda x: x @ sn.linalg.inv(known), spec(2, 2))
    assert graph(sn.eye(2)).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_effects_are_refused() -> None:
    def writes(x: sn.Tensor) -> sn.Tensor:
        x += 1
        return x

    with pytest.raises(sn.InvalidValue, match=r"writes 'x' in place.*clone"):
        sn.trace(writes, spec(2))

    outer = sn.zeros(2)

    def writes_outside(x: sn.Tensor) -> sn.Tensor:
        outer[0] = x[0]
        return x

    with pytest.raises(sn.InvalidValue, match="in place"):
        sn.trace(writes_outside, spec(2))
    model = cnn().train()
    kept = {k: v.tolist() for k, v in model.state_dict().items()}
    with pytest.raises(sn.InvalidValue, match=r"eval\(\)"):
        sn.trace(model, spec(2, 2, 9, 9))
    assert {k: v.tolist() for k, v in model.state_dict().items()} == kept
    with pytest.raises(sn.InvalidValue, match="seeds"):
        sn.trace(lambda x: (sn.random.seed(1), x)[1], spec(2))

    class Own(sn.Function):
        @staticmethod
        def forward(ctx: Any, x: sn.Tensor) -> sn.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: sn.Tensor) -> sn.Tensor:
            return g * 3

    with pytest.raises(sn.InvalidValue, match="no_grad"):
        sn.trace(Own.apply, spec(2))
    with sn.no_grad():
        assert sn.trace(Own.apply, spec(2))(sn.ones(2)).tolist() == [2.0, 2.0]


def trace_inside(x: sn.Tensor) -> sn.Tensor:
    graph = sn.trace(lambda y: y + 1, spec(2))
    return graph(x)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: sn.trace(3, spec(2)), sn.InvalidType),
        (lambda: sn.trace(lambda x: object(), spec(2)), sn.InvalidType),
        (lambda: sn.trace(lambda x: x, object()), sn.InvalidType),
        (lambda: sn.trace(lambda x: {1: x}, spec(2)), sn.InvalidType),
        (lambda: sn.TensorSpec((-1,)), sn.InvalidValue),
        (lambda: sn.trace(sn.nn.LazyLinear(3), spec(2, 2)), sn.InvalidValue),
        (lambda: sn.trace(trace_inside, spec(2)), sn.InvalidValue),
        (lambda: sn.vmap(trace_inside)(sn.ones((2, 2))), sn.InvalidValue),
        (lambda: sn.trace(lambda x: x, spec(2)).cut(), sn.InvalidValue),
        (lambda: sn.trace(lambda x: x, spec(2)).cut("%9"), sn.InvalidValue),
        (lambda: sn.trace(lambda x: x, spec(2)).optimize(["magic"]), sn.InvalidValue),
    ],
)  # fmt: skip
def test_mistakes(call: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        call()


def test_failures_inside_leave_everything_as_it_was() -> None:
    model = mlp()
    weight, state = model[0].weight, sn.random.get_state().tolist()

    class Fails(sn.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: sn.Tensor) -> sn.Tensor:
            sn.random.normal(shape=(2,))
            return self.inner(x) @ sn.ones((9, 9))

    with pytest.raises(sn.ShapeError):
        sn.trace(Fails(), spec(2, 6))
    assert model[0].weight is weight and sn.random.get_state().tolist() == state
    assert sn.linalg.inv(sn.eye(2)).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_print() -> None:
    c = sn.ones(2)
    text = str(sn.trace(lambda x: sn.sum(x * 0.5 - c, axis=0), spec(3, 2)))
    line = line_of("text = str(sn.trace(lambda x")
    lines = text.splitlines()
    assert lines[0] == "graph <lambda>(x: float32[3, 2])"
    assert lines[1] == "  constant constant.0: float32[2]"
    where = f"# test_tracing.py:{line}"
    assert [" ".join(x.split()) for x in lines[2:]] == [
        f"%0: float32[3, 2] = multiply(x, 0.5) {where}",
        f"%1: float32[3, 2] = subtract(%0, constant.0) {where}",
        f"%2: float32[2] = sum(%1, axes=(0,), keepdims=False) {where}",
        "return %2",
    ]


def test_nodes() -> None:
    graph = sn.trace(mlp(), spec(2, 6))
    node = next(n for n in graph.nodes if n.op == "matmul")
    assert node.inputs[0] == graph.inputs[0] and node.outputs[0].shape == (2, 32)
    assert "Sequential.0" in node.where and node.differentiable
    assert graph.outputs[0] == graph.nodes[-1].outputs[0]


def test_optimize_shows_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: sn.Tensor) -> sn.Tensor:
        dead = sn.exp(x)
        del dead
        mask = sn.arange(4) * 2 + 1
        return sn.sin(x) * sn.sin(x) + mask + x.reshape(4)

    graph = sn.trace(f, spec(4))
    small = graph.optimize(show=True)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("simplify: ") and "-1 exp" in out[0] and "-1 sin" in out[0]
    assert "-1 arange" in " ".join(out) and len(out) == 3
    assert len(small.nodes) < len(graph.nodes) and len(small.constants) == 1
    x = sn.random.randn((4,))
    same_bits(small(x), f(x))
    y = sn.ones(4, requires_grad=True)
    assert not small(y).requires_grad


def test_cut() -> None:
    model = mlp()
    graph = sn.trace(model, spec(2, 6))
    hidden = next(n for n in graph.nodes if n.op == "gelu" or "gelu" in n.op).outputs[0]
    part = graph.cut(hidden)
    x = sn.random.randn((2, 6))
    same_bits(part(x), model[1](model[0](x)))
    assert list(part.parameters) == ["0.weight", "0.bias"]
    both = graph.cut(hidden, graph.outputs[0])
    same_bits(both(x), (part(x), model(x)))


def test_bad_values_are_told_with_their_line(tmp_path: Path) -> None:
    table = sn.random.randn((5, 2))
    graph = sn.trace(lambda i: sn.take(table, i, axis=0) * 2, spec(3, dtype=sn.int64))
    line = line_of("graph = sn.trace(lambda i: sn.take")
    graph.save(tmp_path / "m.sn")
    for g in (graph, sn.load(tmp_path / "m.sn")):
        assert g(sn.tensor([0, 1, 4])).shape == (3, 2)
        with pytest.raises(sn.IndexOutOfRange, match=rf"test_tracing.py:{line}"):
            g(sn.tensor([0, 5, 1])).tolist()


@pytest.mark.parametrize("name", ["wide", "lenet", "gpt"])
def test_memory_plan_is_what_a_call_takes(name: str) -> None:
    if sn.config.window == 1:
        pytest.skip("op by op there is no plan of a whole graph")
    if name == "wide":
        model: Any = sn.nn.Sequential(
            sn.nn.Linear(256, 512), sn.nn.GELU(), sn.nn.Linear(512, 512), sn.nn.Softmax(-1),
            sn.nn.Linear(512, 256),
        )  # fmt: skip
        specs: Any = (spec(512, 256),)
    elif name == "lenet":
        model, specs = sn.models.LeNet5(), (spec(64, 1, 28, 28),)
    else:
        make, _ = MODELS["gpt"]
        model, specs = make(width=64, depth=3), (spec(16, 32, dtype=sn.int64),)
    graph = sn.trace(model, *specs)
    plan = graph.memory_plan()
    args = draw(specs)
    sn.synchronize()

    def taken() -> int:
        sn._core.release_cached()
        before = sn._core.memory_stats()["in_use"]
        sn._core.reset_peak()
        y = graph(*args)
        sn.synchronize()
        assert y.shape == graph.outputs[0].shape
        return sn._core.memory_stats()["peak"] - before

    with sn.no_grad():
        assert taken() == pytest.approx(plan.peak, rel=0.05)
        graph(*args).tolist()  # the second call of a weight makes what kernels keep of it
        assert taken() == pytest.approx(plan.peak, rel=0.05)
    assert plan.peak == plan.arena + plan.outputs + plan.folded
    assert plan.unplanned >= plan.arena > 0
    assert plan.parameters == sum({id(p): p.nbytes for p in graph.parameters.values()}.values())
