"""One program, whichever way it is run: line by line, compiled, as a graph, from a file, and in the
C++ runtime. The losses of its training have the same bits, and so has what it has learnt."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import sennit as sn
from sennit import nn

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "graph"), str(TESTS / "runtime")]

from capi import Model, Session, lib  # noqa: E402
from test_training_steps import make  # noqa: E402

pytestmark = pytest.mark.bits
STEPS = 5


@pytest.mark.parametrize("name", ["mlp adamw scheduled", "cnn", "lstm", "gpt"])
@pytest.mark.parametrize("threads", [1, 2])
def test_five_ways_to_train(name: str, threads: int, tmp_path: Path) -> None:
    imperative, specs, draw = make(name)
    compiled, _, _ = make(name)
    traced, _, _ = make(name)
    graph = sn.trace(traced.step, *specs, mutable=[traced.model, traced.optimizer])
    graph.save(tmp_path / "step.sn")
    loaded = sn.load(tmp_path / "step.sn")
    model = Model(tmp_path / "step.sn")
    native = Session(model, seed=3)
    sn.random.seed(0)
    batches = [draw(4) for _ in range(STEPS)]

    def losses(step: Any) -> list[bytes]:
        sn.random.seed(3)
        return [step(*batch).numpy().tobytes() for batch in batches]

    before = sn.num_threads(), lib.sn_threads()
    sn.set_num_threads(threads)
    assert lib.sn_set_threads(threads) == 0
    try:
        wanted = losses(imperative.step)
        assert len(set(wanted)) == STEPS  # it learns
        step = sn.compile(compiled.step)
        assert losses(step) == wanted
        assert losses(graph) == wanted
        assert losses(loaded) == wanted
        in_c = [native.run(*[x.numpy() for x in batch])[0].tobytes() for batch in batches]
        assert in_c == wanted
    finally:
        sn.set_num_threads(before[0])
        lib.sn_set_threads(before[1])
    calls, compiled_calls = map(int, re.findall(r"(\d+) (?:calls|of them)", step.explain())[:2])
    assert calls == STEPS and compiled_calls >= 1, step.explain()
    learnt = {k: x.detach().numpy().tobytes() for k, x in imperative.model.named_parameters()}
    for other in (compiled.model, traced.model):
        assert {k: x.detach().numpy().tobytes() for k, x in other.named_parameters()} == learnt
    assert {k: loaded.parameters[k].detach().numpy().tobytes() for k in learnt} == learnt


class Mixed:
    """A step whose parts are run in different ways: a compiled function with gradients through it,
    a decision of Python's on a value, one of a graph's, and a graph called by a compiled function.
    With `plain`, all of it line by line."""

    def __init__(self, plain: bool) -> None:
        sn.random.seed(6)
        self.body = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Dropout(0.2))
        self.near, self.far = nn.Linear(12, 3), nn.Linear(12, 3)
        self.modules = nn.ModuleList([self.body, self.near, self.far])
        self.optimizer = sn.optim.AdamW(self.modules.parameters(), lr=0.05)
        self.taken: list[bool] = []

        def route(h: sn.Tensor) -> sn.Tensor:
            return sn.cond((h * h).mean() > 0.2, self.far, lambda h: self.near(h) * 2, h)

        def grown(x: sn.Tensor) -> sn.Tensor:
            return sn.while_loop(lambda x: x.abs().max() < 2, lambda x: x * 1.5, x)

        def scaled(x: sn.Tensor) -> sn.Tensor:
            return double(x) - 0.5

        def double(x: sn.Tensor) -> sn.Tensor:
            return x * 2

        graph = sn.trace(double, sn.TensorSpec(("n", 6)))
        self.scaled = scaled if plain else sn.compile(lambda x: graph(x) - 0.5)
        self.encode = self.body if plain else sn.compile(self.body)
        self.grown = grown if plain else sn.trace(grown, sn.TensorSpec(("n", 6)))
        held = {"near": self.near, "far": self.far}
        spec = sn.TensorSpec(("n", 12))
        self.route = route if plain else sn.trace(route, spec, mutable=held)

    def step(self, x: sn.Tensor, y: sn.Tensor) -> sn.Tensor:
        x = self.grown(self.scaled(x))
        h = self.encode(x)
        self.taken.append(bool(h.sum() > 0))
        if self.taken[-1]:
            h = h * 0.5
        loss = nn.functional.cross_entropy(self.route(h), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


@pytest.mark.parametrize("threads", [1, 2])
def test_parts_that_are_run_in_different_ways(threads: int) -> None:
    sn.random.seed(0)
    batches = [(sn.random.randn((n, 6)), sn.random.integers(0, 3, (n,))) for n in (4, 5) * 8]
    before = sn.num_threads()
    sn.set_num_threads(threads)
    found = []
    try:
        for plain in (True, False):
            mixed = Mixed(plain)
            sn.random.seed(3)
            losses = [mixed.step(*batch).numpy().tobytes() for batch in batches]
            learnt = [p.detach().numpy().tobytes() for p in mixed.modules.parameters()]
            found.append((losses, learnt, mixed.taken))
    finally:
        sn.set_num_threads(before)
    assert found[0] == found[1]
    assert len(set(found[0][2])) == 2  # both ways were taken
    for part in (mixed.scaled, mixed.encode):
        assert sn._core.compiled_runs(part)[1] > 8, part.explain()
