"""Optimisers: against PyTorch, and what a step promises."""

from __future__ import annotations

import numpy as np
import pytest

import sennit as sn
from sennit import nn, optim


def test_groups() -> None:
    a, b = sn.tensor([1.0], requires_grad=True), sn.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.01}], lr=0.1)
    (a + b).sum().backward()
    optimizer.step()
    assert abs(a.item() - 0.9) < 1e-6 and abs(b.item() - 0.99) < 1e-6
    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step()
    assert abs(a.item() - -0.1) < 1e-6
    assert "Parameter Group 1" in repr(optimizer)


def test_named_parameters_are_taken() -> None:
    layer = nn.Linear(2, 2)
    assert len(optim.SGD(layer.named_parameters(), lr=0.1).param_groups[0]["params"]) == 2


def test_state_dict_is_a_snapshot() -> None:
    w = sn.tensor([1.0], requires_grad=True)
    optimizer = optim.Adam([w], lr=0.1)
    w.sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    kept = state["state"][0]["exp_avg"].item()
    optimizer.step()
    assert state["state"][0]["exp_avg"].item() == kept
    assert state["state"][0]["step"] == 1


def test_learning_rates_do_not_make_new_plans() -> None:
    w = sn.ones((8, 8), requires_grad=True)
    optimizer = optim.Adam([w], lr=0.1)
    plans = 0
    for step in range(20):
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        w.grad = sn.full((8, 8), float(step))
        optimizer.step()
        if step == 4:
            plans = sn.memory.plan_cache()["misses"]
    assert sn.memory.plan_cache()["misses"] == plans


def test_closure() -> None:
    w = sn.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.25)

    def closure() -> sn.Tensor:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert w.item() == 0.5


def test_gradient_accumulation_and_zeroing() -> None:
    w = sn.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.25)
    for _ in range(2):
        (w * 2).sum().backward()
    assert w.grad.item() == 4.0
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.item() == 0.0
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.step()
    assert w.item() == 1.0


@pytest.mark.oracle
@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf")])
def test_clip_grad_norm(torch, norm_type: float) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(s) for s in ((3, 4), (4,))]
    theirs = [torch.tensor(a, requires_grad=True) for a in start]
    ours = [sn.tensor(a, requires_grad=True) for a in start]
    for p, q in zip(theirs, ours, strict=True):
        (p**3).sum().backward()
        (q**3).sum().backward()
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.5, norm_type)
    got = optim.clip_grad_norm_(ours, 0.5, norm_type)
    assert abs(got.item() - expected.item()) < 1e-6 * expected.item()
    for p, q in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), 1e-6)


def test_clip_refuses_infinite_norms_when_asked() -> None:
    w = sn.tensor([1.0], requires_grad=True)
    assert optim.clip_grad_norm_([w], 1.0).item() == 0.0
    w.grad = sn.tensor([float("inf")])
    with pytest.raises(sn.NumericError):
        optim.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda w: optim.SGD(w, lr=0.1),
        lambda w: optim.SGD([], lr=0.1),
        lambda w: optim.SGD([w], lr=-1),
        lambda w: optim.SGD([w], lr=1, nesterov=True),
        lambda w: optim.SGD([w, w], lr=1),
        lambda w: optim.SGD([w * 2], lr=1),
        lambda w: optim.SGD([3], lr=1),
        lambda w: optim.SGD([{"params": [w], "rate": 1}], lr=1),
        lambda w: optim.Adam([w], betas=(1.0, 0.9)),
        lambda w: optim.Adam([w]).load_state_dict({"state": {}, "param_groups": []}),
    ],
)
def test_mistakes_are_named(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(sn.SennitError, match=r"^\[(SGD|Adam)"):
        make(sn.tensor([1.0], requires_grad=True))
