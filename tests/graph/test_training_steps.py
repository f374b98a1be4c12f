"""Steps of training as graphs: the bits of a traced step, and of one from a file, are those of the
imperative step, whatever is state."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sennit as sn
from sennit import nn
from sennit._tree import flatten

sys.path.insert(0, str(Path(__file__).resolve().parent))

from graph_models import GPT, Tagger, mlp

schedule = sn.optim.schedule
STEPS = 6


class Task:
    """A model, an optimizer and how they meet a batch."""

    def __init__(self, model: nn.Module, optimizer: Any, loss: Callable[..., sn.Tensor]):
        self.model, self.optimizer, self.loss = model, optimizer, loss

    def step(self, *batch: sn.Tensor) -> sn.Tensor:
        loss = self.loss(self.model, *batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def state(self) -> list[sn.Tensor]:
        return flatten(self.model.state_dict()) + flatten(self.optimizer.state_dict()["state"])


def classify(model: nn.Module, x: sn.Tensor, y: sn.Tensor) -> sn.Tensor:
    return nn.functional.cross_entropy(model(x), y)


def next_token(model: nn.Module, tokens: sn.Tensor) -> sn.Tensor:
    logits = model(tokens[:, :-1])
    return nn.functional.cross_entropy(logits.reshape(-1, 17), tokens[:, 1:].reshape(-1))


def tag(model: nn.Module, x: sn.Tensor) -> sn.Tensor:
    return model(x)["tags"].square().mean()


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.LazyLinear(4),
    )  # fmt: skip


def make(name: str) -> tuple[Task, list[sn.TensorSpec], Callable[[int], tuple[sn.Tensor, ...]]]:
    sn.random.seed(5)
    optim = sn.optim
    if name.startswith("mlp"):
        model = mlp()
        params = model.parameters()
        optimizer: Any = {
            "mlp sgd": lambda: optim.SGD(params, lr=0.1),
            "mlp momentum": lambda: optim.SGD(params, 0.1, momentum=0.9, nesterov=True),
            "mlp adam": lambda: optim.Adam(params, lr=0.01),
            "mlp adamw scheduled": lambda: optim.AdamW(
                params, lr=schedule.warmup(schedule.cosine(0.01, 10), 2), weight_decay=0.1
            ),
            "mlp groups": lambda: optim.Adam(
                [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters()}]
            ),
            "mlp lookahead": lambda: optim.Lookahead(optim.SGD(params, lr=0.1), k=2),
            "mlp adafactor": lambda: optim.Adafactor(params),
            "mlp schedule-free": lambda: optim.AdamWScheduleFree(params, lr=0.01),
        }[name]()
        specs = [sn.TensorSpec(("n", 6)), sn.TensorSpec(("n",), sn.int64)]
        return Task(model, optimizer, classify), specs, lambda n: (
            sn.random.randn((n, 6)), sn.random.integers(0, 3, (n,)))  # fmt: skip
    if name == "cnn":
        model = cnn()
        model(sn.ones((1, 2, 8, 8)))
        optimizer = optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-3)
        specs = [sn.TensorSpec((4, 2, 8, 8)), sn.TensorSpec((4,), sn.int64)]
        return Task(model, optimizer, classify), specs, lambda n: (
            sn.random.randn((4, 2, 8, 8)), sn.random.integers(0, 4, (4,)))  # fmt: skip
    if name == "lstm":
        model = Tagger()
        optimizer = optim.RMSprop(model.parameters(), 0.01)
        specs = [sn.TensorSpec(("t", "n", 5))]
        return Task(model, optimizer, tag), specs, lambda n: (sn.random.randn((3 + n, n, 5)),)
    model = GPT()
    optimizer = optim.AdamW(model.parameters(), 1e-3)
    specs = [sn.TensorSpec(("n", 9), sn.int64)]
    return Task(model, optimizer, next_token), specs, lambda n: (
        sn.random.integers(0, 17, (n, 9)),)  # fmt: skip


NAMES = ["mlp sgd", "mlp momentum", "mlp adam", "mlp adamw scheduled", "mlp groups",
         "mlp lookahead", "mlp adafactor", "mlp schedule-free", "cnn", "lstm", "gpt"]  # fmt: skip


def bits(tensors: list[sn.Tensor]) -> list[bytes]:
    return [x.detach().numpy().tobytes() for x in tensors]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_traced_step_trains_as_the_imperative_one(
    name: str, threads: int, tmp_path: Path
) -> None:
    imperative, specs, draw = make(name)
    traced, _, _ = make(name)
    before = bits(traced.state()[: len(flatten(traced.model.state_dict()))])
    graph = sn.trace(traced.step, *specs, mutable=[traced.model, traced.optimizer])
    assert bits(flatten(traced.model.state_dict())) == before  # tracing has trained nothing
    graph.save(tmp_path / "step.sn")
    loaded = sn.load(tmp_path / "step.sn")
    assert list(loaded.updates) == list(graph.updates) and graph.updates
    threads_before = sn.num_threads()
    sn.set_num_threads(threads)
    try:
        for k in range(STEPS):
            sn.random.seed(100 + k)
            batch = draw(1 + k)
            losses = []
            for step in (imperative.step, graph, loaded):
                sn.random.seed(k)
                losses.append(step(*batch))
            assert len(set(bits(losses))) == 1, k
    finally:
        sn.set_num_threads(threads_before)
    assert bits(imperative.state()) == bits(traced.state())
    named = {k: x.detach() for k, x in imperative.model.named_parameters()}
    named |= dict(imperative.model.named_buffers())
    for key, value in named.items():
        assert loaded.parameters[key].detach().numpy().tobytes() == value.numpy().tobytes(), key
    # What was trained in the file's graph goes on from a file.
    loaded.save(tmp_path / "later.sn")
    again = sn.load(tmp_path / "later.sn")
    sn.random.seed(99)
    batch = draw(2)
    sn.random.seed(7)
    want = imperative.step(*batch)
    sn.random.seed(7)
    assert bits([again(*batch)]) == bits([want])


def test_names() -> None:
    task, specs, _ = make("mlp adam")
    graph = sn.trace(task.step, *specs, mutable=[task.model, task.optimizer])
    names = list(graph.parameters)
    assert names[:2] == ["0.weight", "0.bias"]
    assert "optimizer.state.0.weight.exp_avg" in names
    assert sum(name.endswith(".step") for name in names) == 1  # shared by all
    assert set(graph.updates) == set(names)
    assert "  0.weight <- %" in str(graph)
    named = sn.trace(task.step, *specs, mutable={"net": task.model, "adam": task.optimizer})
    assert "net.0.weight" in named.parameters
    assert "adam.state.net.0.weight.exp_avg" in named.parameters


def test_averages_of_weights() -> None:
    def build() -> tuple[Task, Any, Callable[..., sn.Tensor]]:
        task, _, _ = make("mlp adam")
        ema = sn.optim.EMA(task.model.parameters(), decay=0.9)

        def step(x: sn.Tensor, y: sn.Tensor) -> sn.Tensor:
            loss = task.step(x, y)
            ema.update()
            return loss

        return task, ema, step

    _, specs, draw = make("mlp adam")
    _, ema, step = build()
    task, other, traced = build()
    graph = sn.trace(traced, *specs, mutable={"m": task.model, "o": task.optimizer, "ema": other})
    for k in range(3):
        batch = draw(k + 1)
        assert bits([step(*batch)]) == bits([graph(*batch)])
    assert bits(ema.averages) == bits(other.averages)


def test_two_optimizers() -> None:
    def build() -> tuple[Any, ...]:
        sn.random.seed(3)
        g, d = nn.Linear(2, 4), nn.Linear(4, 1)
        return g, d, sn.optim.Adam(g.parameters(), 0.01), sn.optim.Adam(d.parameters(), 0.02)

    def step_of(g: Any, d: Any, og: Any, od: Any) -> Callable[..., Any]:
        def step(real: sn.Tensor) -> Any:
            fake = g(sn.random.randn((real.shape[0], 2)))
            real_loss = nn.functional.softplus(-d(real)).mean()
            loss_d = real_loss + nn.functional.softplus(d(fake.detach())).mean()
            od.zero_grad()
            loss_d.backward()
            od.step()
            loss_g = nn.functional.softplus(-d(fake)).mean()
            og.zero_grad()
            loss_g.backward()
            og.step()
            return loss_d.detach(), loss_g.detach()

        return step

    first, second = build(), build()
    names = dict(zip(("g", "d", "og", "od"), second, strict=True))
    graph = sn.trace(step_of(*second), sn.TensorSpec(("n", 4)), mutable=names)
    imperative = step_of(*first)
    for n in (1, 3, 8):
        x = sn.random.randn((n, 4))
        sn.random.seed(n)
        want = imperative(x)
        sn.random.seed(n)
        assert bits(list(graph(x))) == bits(list(want))
    assert bits(list(first[0].parameters())) == bits(list(second[0].parameters()))


def test_a_failed_step_changes_nothing() -> None:
    task, specs, _ = make("mlp adam")
    graph = sn.trace(task.step, *specs, mutable=[task.model, task.optimizer])
    graph(sn.ones((2, 6)), sn.tensor([0, 2])).item()
    before = bits(list(graph.parameters.values()))
    with pytest.raises(sn.SennitError):
        graph(sn.ones((2, 6)), sn.tensor([0, 7])).item()
    assert bits(list(graph.parameters.values())) == before


def test_counters_and_totals() -> None:
    total, seen = sn.zeros(3), sn.zeros((), dtype=sn.int64)

    def add(x: sn.Tensor) -> sn.Tensor:
        nonlocal total, seen
        total.assign_(total + x.sum(0))
        seen.assign_(seen + x.shape[0])
        return total / seen

    graph = sn.trace(add, sn.TensorSpec(("n", 3)), mutable={"total": total, "seen": seen})
    assert graph(sn.ones((2, 3))).tolist() == [1.0, 1.0, 1.0]
    assert graph(sn.zeros((2, 3))).tolist() == [0.5, 0.5, 0.5]
    assert seen.item() == 4 and total.tolist() == [2.0, 2.0, 2.0]
    part = graph.cut("%0")
    assert not part.updates and part(sn.ones((2, 3))).shape == (3,)
    assert seen.item() == 4


def test_what_a_step_may_not_do() -> None:
    task, specs, _ = make("mlp sgd")
    task.model.count = 0

    def counts(x: sn.Tensor, y: sn.Tensor) -> sn.Tensor:
        task.model.count += 1
        return task.step(x, y)

    both = [task.model, task.optimizer]
    with pytest.raises(sn.InvalidValue, match="sets 'count' to 1"):
        sn.trace(counts, *specs, mutable=both)
    assert task.model.count == 0

    def slows(x: sn.Tensor, y: sn.Tensor) -> sn.Tensor:
        task.optimizer.param_groups[0]["lr"] *= 0.5
        return task.step(x, y)

    with pytest.raises(sn.InvalidValue, match="lr"):
        sn.trace(slows, *specs, mutable=both)
    assert task.optimizer.param_groups[0]["lr"] == 0.1
    with pytest.raises(sn.InvalidValue, match="made outside of a traced function"):
        sn.trace(task.step, *specs)
    with pytest.raises(sn.InvalidValue, match="two tensors of mutable"):
        sn.trace(lambda: None, mutable=[nn.Linear(1, 1), nn.Linear(1, 1)])
    with pytest.raises(sn.InvalidType, match="mutable has a int"):
        sn.trace(lambda: None, mutable=[3])
    with pytest.raises(sn.InvalidValue, match="the function is a module"):
        sn.trace(task.model, specs[0], mutable=task.optimizer)
    with pytest.raises(sn.InvalidValue, match="asked for"):
        lbfgs = sn.optim.LBFGS(task.model.parameters())
        sn.trace(lambda: lbfgs.step(lambda: task.loss(task.model, sn.ones((1, 6)), sn.tensor([0]))),
                 mutable=[task.model, lbfgs])  # fmt: skip


def test_the_model_of_the_caller_is_as_it_was() -> None:
    task, specs, draw = make("cnn")
    before = copy.deepcopy({k: v.numpy() for k, v in task.model.state_dict().items()})
    task.model[0].weight.grad = sn.ones_like(task.model[0].weight)
    sn.trace(task.step, *specs, mutable=[task.model, task.optimizer])
    for key, value in task.model.state_dict().items():
        assert value.numpy().tobytes() == before[key].tobytes()
    assert task.model[0].weight.grad.sum().item() == task.model[0].weight.size
    assert task.model[0].weight.requires_grad and task.model[0].weight.is_leaf
    task.step(*draw(4)).item()  # and it can still be trained
