"""What depends on constants alone is computed when a window is planned, once."""

from __future__ import annotations

import numpy as np
import pytest

import sennit as sn
from sennit import nn


@pytest.fixture(autouse=True)
def verified():
    sn.config.verify = True
    yield
    sn.config.verify = False


def kernels_of(window: dict) -> list[list[str]]:
    return [step["ops"] for step in window["steps"]]


def test_the_class_numbers_of_a_loss_are_folded():
    """cross_entropy compares labels with arange(classes), which its own rule makes of constants."""
    if sn.config.window == 1:
        pytest.skip("op by op, a composite op may run as several kernels")
    logits = sn.tensor(np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32))
    labels = sn.tensor(np.arange(8) % 5)
    sn.synchronize()
    with sn.explain() as e:
        loss = nn.functional.cross_entropy(logits, labels)
        sn.synchronize()
    assert all("arange" not in ops for w in e.windows for ops in kernels_of(w))
    x = logits.numpy().astype(np.float64)
    log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    expected = -log_p[np.arange(8), np.arange(8) % 5].mean()
    assert abs(loss.item() - expected) < 1e-6


def test_runtime_numbers_are_not_constants():
    """A number of the program is an argument of the plan: it may change from call to call."""
    results = []
    for start in (0, 3):
        x = sn.arange(start, start + 4, dtype=sn.float32)
        results.append((x * 2.0 + sn.ones(4)).tolist())
    assert results == [[1.0, 3.0, 5.0, 7.0], [7.0, 9.0, 11.0, 13.0]]


def test_folded_plans_are_found_again_and_give_the_same():
    labels = sn.tensor([1, 0, 2])
    values = []
    for k in range(4):
        logits = sn.tensor(np.full((3, 3), float(k), np.float32)) * sn.tensor([1.0, 2.0, 3.0])
        values.append(nn.functional.cross_entropy(logits, labels).item())
    again = []
    for k in range(4):
        logits = sn.tensor(np.full((3, 3), float(k), np.float32)) * sn.tensor([1.0, 2.0, 3.0])
        again.append(nn.functional.cross_entropy(logits, labels).item())
    assert values == again
    assert len(set(values)) == 4
