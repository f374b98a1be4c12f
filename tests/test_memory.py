"""Memory of models, and of steady training loops."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sennit as sn
from sennit import nn


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(100, 200), nn.ReLU(), nn.Dropout(0.1), nn.Linear(200, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 8 * 8, 10),
    )


def trainer(model: nn.Module, shape: tuple[int, ...]):
    optimizer = sn.optim.AdamW(model.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    x = sn.tensor(rng.standard_normal(shape).astype(np.float32))
    y = sn.tensor(rng.integers(0, 10, shape[0]))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        sn.synchronize()

    return step, optimizer, x


def bytes_of(tensors) -> int:
    return sum(t.nbytes for t in tensors)


@pytest.mark.parametrize(("make", "shape"), [(mlp, (64, 100)), (cnn, (16, 3, 16, 16))])
def test_by_module_accounts_for_every_tensor(make, shape) -> None:
    model = make()
    step, optimizer, _ = trainer(model, shape)
    before = sn.memory.by_module(model, optimizer)
    assert before.total("gradients") == before.total("optimizer") == 0
    step()
    report = sn.memory.by_module(model, optimizer)
    parameters = bytes_of(model.parameters())
    assert report.total("parameters") == parameters
    assert report.total("gradients") == parameters
    assert report.total("optimizer") == 2 * parameters + 8  # both moments, and the count of steps
    assert report.total("buffers") == bytes_of(model.buffers())
    assert report.total() == 4 * parameters + 8 + report.total("buffers")
    assert list(report) == [path for path, _ in model.named_modules()]
    for path, module in model.named_modules():
        assert report[path]["parameters"] == bytes_of(module.parameters(recurse=False))


def test_shared_parameters_count_once() -> None:
    a, b = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
    b.weight = a.weight
    (a.weight * 2.0).sum().backward()
    report = sn.memory.by_module(nn.Sequential(a, b))
    assert report["0"]["parameters"] == report["0"]["gradients"] == 144
    assert report["1"]["parameters"] == report["1"]["gradients"] == 0


def test_activations_are_those_of_the_module() -> None:
    small, large = nn.Linear(32, 16), nn.Linear(16, 4096)
    model = nn.Sequential(small, nn.Tanh(), large)
    x = sn.ones((256, 32))
    report = sn.memory.by_module(model, inputs=(x,))
    assert report["2"]["activations"] >= 256 * 4096 * 4
    assert 256 * 16 * 4 <= report["0"]["activations"] < 256 * 4096
    assert not model._hooks and not large._hooks  # none left behind
    with sn.no_grad():  # nothing is kept for gradients
        assert sn.memory.by_module(model, inputs=(x,))["1"]["activations"] <= 256 * 16 * 4


def test_printing_is_a_table() -> None:
    lines = str(sn.memory.by_module(mlp())).splitlines()
    assert lines[0].split() == [
        "module", "parameters", "gradients", "buffers", "optimizer", "activations",
    ]  # fmt: skip
    assert lines[1].split()[0] == "(model)"
    assert lines[-1].split()[:2] == ["total", "88,840"]


def test_by_module_rejects_what_is_no_module() -> None:
    with pytest.raises(sn.InvalidType, match=r"pass an sn\.nn\.Module"):
        sn.memory.by_module(sn.ones(3))
    with pytest.raises(sn.InvalidType, match=r"pass \(x,\) for one"):
        sn.memory.by_module(mlp(), inputs=sn.ones((1, 100)))


# In an interpreter of its own: after a long test run the system moves pages about.
STEADY = """
import resource
import test_memory
import sennit as sn

step, _, _ = test_memory.trainer(test_memory.{make}(), {shape})
for _ in range(20):
    step()
for _ in range(5):
    before = sn.memory.stats()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        step()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    after = sn.memory.stats()
    print(faults, *(after[k] - before[k] for k in ("system_allocations", "in_use")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts Linux page faults")
@pytest.mark.parametrize(("make", "shape"), [(mlp, (64, 100)), (cnn, (16, 3, 16, 16))])
def test_a_steady_step_asks_the_system_for_nothing(make, shape) -> None:
    here = Path(__file__).resolve().parent
    paths = [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", STEADY.format(make=make.__name__, shape=shape)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    windows = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(windows) == 5
    # The interpreter has a burst of its own now and then; a fault in every step shows in all.
    assert all(from_system == 0 for _, from_system, _ in windows), windows
    assert min(faults for faults, _, _ in windows) <= 5, windows
    assert sorted(in_use for _, _, in_use in windows)[2] == 0, windows


def test_a_finished_window_lets_go_of_its_results() -> None:
    # The gradients of a step are results of its window. They are free when it is over, not when
    # the thread that records submits the next one: there is one set of them at a time.
    threads = sn.get_num_threads()
    sn.set_num_threads(2)
    try:
        weight = nn.Parameter(sn.ones((1 << 22,)))
        optimizer = sn.optim.SGD([weight], lr=1e-3)

        def step() -> None:
            (weight * weight).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

        for _ in range(5):
            step()
        sn.synchronize()
        before = sn.memory.stats()["in_use"] - 4 * weight.size
        sn.memory.reset_peak()
        for _ in range(30):
            step()
        sn.synchronize()
        assert sn.memory.stats()["peak"] - before < 2.1 * 4 * weight.size
    finally:
        sn.set_num_threads(threads)
