"""One program, whichever way it is run: line by line, compiled, as a graph, from a file, and in the
C++ runtime. The losses of its training have the same bits, and so has what it has learnt."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import sennit as sn

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
