"""Optimisers: against PyTorch, and what a step promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn, optim

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.05, "maximize": True}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}),
]


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=str)
def test_agrees_with_torch(torch, name, kwargs) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(s) for s in ((3, 4), (4,), ())]
    theirs = [torch.tensor(a, requires_grad=True) for a in start]
    ours = [sn.tensor(a, requires_grad=True) for a in start]
    a, b = getattr(torch.optim, name)(theirs, **kwargs), getattr(optim, name)(ours, **kwargs)
    for step in range(6):
        for p, q in zip(theirs, ours, strict=True):
            if step == 2 and p.ndim == 1:
                continue  # a parameter without a gradient is passed over
            ((p - 1.5) ** 2).sum().backward()
            ((q - 1.5) ** 2).sum().backward()
        a.step()
        b.step()
        a.zero_grad()
        b.zero_grad()
        for p, q in zip(theirs, ours, strict=True):
            np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), 1e-9, 1e-11)


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


def train(steps: int, kind: str, resume_at: int | None = None) -> list[float]:
    sn.random.seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    kwargs = {"momentum": 0.9} if kind == "SGD" else {}
    optimizer = getattr(optim, kind)(net.parameters(), lr=0.05, **kwargs)
    rng = np.random.default_rng(0)
    for step in range(steps):
        if step == resume_at:
            state, weights = optimizer.state_dict(), net.state_dict()
            net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
            net.load_state_dict(weights)
            optimizer = getattr(optim, kind)(net.parameters(), lr=1.0)
            optimizer.load_state_dict(state)
        x = sn.tensor(rng.standard_normal((16, 3)).astype(np.float32))
        loss = nn.functional.mse_loss(net(x), x.sum(1, keepdims=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [float(v) for p in net.parameters() for v in p.detach().numpy().ravel()]


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_resumes_to_the_same_bits(kind: str) -> None:
    assert train(12, kind) == train(12, kind, resume_at=5)


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


def test_whole_update_is_one_kernel_per_parameter() -> None:
    if sn.config.window < 32:
        pytest.skip("op by op, nothing is fused")
    for make in (
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
        lambda p: optim.AdamW(p, lr=0.1),
    ):
        w = sn.ones((64, 64), requires_grad=True)
        optimizer = make([w])
        for _ in range(3):
            w.grad = sn.ones((64, 64))
            w.grad.numpy()
            with sn.explain() as seen:
                optimizer.step()
        assert seen.kernels == 1, str(seen)


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
