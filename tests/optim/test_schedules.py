"""Schedules: against PyTorch over 200 steps, against their formulas, and inside optimisers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import optim
from sennit.optim import lr_scheduler, schedule

STEPS = 200
SCHEDULERS: list[tuple[str, dict[str, Any]]] = [
    ("StepLR", {"step_size": 7, "gamma": 0.8}),
    ("MultiStepLR", {"milestones": [120, 5, 50, 50], "gamma": 0.3}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.3, "total_iters": 90}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.7, "total_iters": 133}),
    ("ExponentialLR", {"gamma": 0.98}),
    ("PolynomialLR", {}),
    ("PolynomialLR", {"total_iters": 150, "power": 1.7}),
    ("CosineAnnealingLR", {"T_max": 60, "eta_min": 0.01}),
    ("CosineAnnealingLR", {"T_max": 300}),
    ("CosineAnnealingWarmRestarts", {"T_0": 13}),
    ("CosineAnnealingWarmRestarts", {"T_0": 10, "T_mult": 2, "eta_min": 0.001}),
    ("CosineAnnealingWarmRestarts", {"T_0": 1, "T_mult": 3}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 13, "step_size_down": 20}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 13, "mode": "triangular2"}),
    (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 9, "mode": "exp_range", "gamma": 0.99},
    ),
    (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 9, "scale_fn": lambda c: 1 / c},
    ),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": STEPS + 1}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": STEPS + 1, "pct_start": 0.0}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": STEPS + 1, "pct_start": 1.0}),
    ("OneCycleLR", {"max_lr": 0.5, "epochs": 3, "steps_per_epoch": 67, "pct_start": 0.1}),
    (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": 201, "anneal_strategy": "linear", "three_phase": True},
    ),
    ("LambdaLR", {"lr_lambda": lambda k: 0.95**k}),
    ("MultiplicativeLR", {"lr_lambda": lambda k: 1 - 1 / (k + 5)}),
]


def pair(torch: Any, kind: str = "SGD", **kwargs: Any) -> tuple[Any, Any]:
    settings = {"lr": 0.1, **({"momentum": 0.9} if kind == "SGD" else {}), **kwargs}
    theirs = getattr(torch.optim, kind)([torch.ones(1, requires_grad=True)], **settings)
    return theirs, getattr(optim, kind)([sn.ones(1, requires_grad=True)], **settings)


def same(theirs: Any, ours: Any, a: Any, b: Any, tolerance: float = 1e-12) -> None:
    for k in range(STEPS):
        for g, h in zip(theirs.param_groups, ours.param_groups, strict=True):
            for name in ("lr", "momentum", "betas"):
                if name in g:
                    np.testing.assert_allclose(h[name], g[name], tolerance, 1e-15, err_msg=str(k))
        assert b.get_last_lr() == [g["lr"] for g in ours.param_groups]
        theirs.step()
        a.step()
        b.step()


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "kwargs"), SCHEDULERS, ids=str)
def test_agrees_with_torch(torch, name: str, kwargs: dict, kind: str) -> None:  # type: ignore[no-untyped-def, type-arg]
    theirs, ours = pair(torch, kind)
    a = getattr(torch.optim.lr_scheduler, name)(theirs, **kwargs)
    b = getattr(lr_scheduler, name)(ours, **kwargs)
    same(theirs, ours, a, b)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_joined_and_chained_agree_with_torch(torch) -> None:  # type: ignore[no-untyped-def]
    for chained in (False, True):
        theirs, ours = pair(torch)
        ends = []
        for module, optimizer in ((torch.optim.lr_scheduler, theirs), (lr_scheduler, ours)):
            parts = [
                module.LinearLR(optimizer, 0.1, total_iters=20),
                module.CosineAnnealingLR(optimizer, 300),
                module.ExponentialLR(optimizer, 0.9),
            ]
            if chained:
                ends.append(module.ChainedScheduler(parts))
            else:
                ends.append(module.SequentialLR(optimizer, parts, [20, 90]))
        same(theirs, ours, *ends, tolerance=1e-11)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "patience": 2, "cooldown": 3},
        {"factor": 0.5, "patience": 1, "min_lr": 0.01},
    ],
)
def test_plateau_agrees_with_torch(torch, kwargs: dict) -> None:  # type: ignore[no-untyped-def, type-arg]
    theirs, ours = pair(torch)
    a = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **kwargs)
    b = lr_scheduler.ReduceLROnPlateau(ours, **kwargs)
    rng = np.random.default_rng(0)
    for k in range(STEPS):
        figure = 1 / (1 + k // 30) + 0.02 * rng.standard_normal()
        a.step(figure)
        b.step(figure)
        assert b.get_last_lr() == pytest.approx([g["lr"] for g in theirs.param_groups], rel=1e-12)
        if k == 100:
            tensors, text = optim.flatten_state(b.state_dict())
            b = lr_scheduler.ReduceLROnPlateau(ours, factor=0.9)
            b.load_state_dict(optim.unflatten_state(tensors, text))


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_swalr_goes_where_torch_goes(torch, strategy: str) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = pair(torch)
    a = torch.optim.swa_utils.SWALR(theirs, 0.01, 10, strategy)
    b = lr_scheduler.SWALR(ours, 0.01, 10, strategy)
    for _ in range(15):
        np.testing.assert_allclose(ours.param_groups[0]["lr"], theirs.param_groups[0]["lr"], 1e-9)
        theirs.step()
        a.step()
        b.step()


CLOSED: list[tuple[Any, Any]] = [
    (schedule.constant(0.3), lambda t: 0.3),
    (schedule.step(0.3, 7, 0.5), lambda t: 0.3 * 0.5 ** (t // 7)),
    (
        schedule.multi_step(0.3, [9, 4], 0.5),
        lambda t: 0.3 * 0.5 ** ((t >= 4) + (t >= 9)),
    ),
    (schedule.exponential(0.3, 0.97), lambda t: 0.3 * 0.97**t),
    (schedule.linear(0.1, 0.7, 50), lambda t: 0.1 + 0.6 * min(t, 50) / 50),
    (schedule.polynomial(0.3, 60, 2.5, 0.1), lambda t: 0.1 + 0.2 * (1 - min(t, 60) / 60) ** 2.5),
    (
        schedule.cosine(0.3, 60, 0.1),
        lambda t: 0.1 + 0.1 * (1 + math.cos(math.pi * min(t, 60) / 60)),
    ),
    (
        schedule.warmup(schedule.exponential(0.3, 0.9), 10, 0.1),
        lambda t: 0.1 + 0.2 * t / 10 if t < 10 else 0.3 * 0.9 ** (t - 10),
    ),
    (
        schedule.wsd(0.3, 10, 30, 40, 0.1, 0.05, "sqrt"),
        lambda t: (
            0.1 + 0.02 * t
            if t < 10
            else 0.05 + 0.25 * (1 - math.sqrt(min(max(t - 40, 0), 40) / 40))
        ),
    ),
    (
        schedule.noam(64, 30, 2.0),
        lambda t: 2 * 64**-0.5 * min((t + 1) ** -0.5, (t + 1) * 30**-1.5),
    ),
    (
        schedule.join([schedule.linear(0, 1, 5), 0.5, schedule.exponential(2, 0.5)], [5, 9]),
        lambda t: t / 5 if t < 5 else 0.5 if t < 9 else 2 * 0.5 ** (t - 9),
    ),
    (
        schedule.product([schedule.linear(0, 1, 5), schedule.exponential(2, 0.5), 3]),
        lambda t: min(t, 5) / 5 * 2 * 0.5**t * 3,
    ),
    (schedule.from_function(lambda t: t * 0.5) + 1.0, lambda t: t * 0.5 + 1),
]


@pytest.mark.parametrize(("made", "formula"), CLOSED, ids=lambda v: repr(v)[:30])
def test_closed_forms(made: Any, formula: Any) -> None:
    got = [made(t) for t in range(STEPS)]
    np.testing.assert_allclose(got, [formula(t) for t in range(STEPS)], 1e-12, 1e-300)
    # One number at a time, as an optimizer evaluates it, has the same bits.
    assert [made(sn.tensor(float(t), dtype=sn.float64)).item() for t in range(0, STEPS, 7)] == got[
        ::7
    ]
    assert made(sn.arange(20).reshape(4, 5)).tolist() == np.reshape(got[:20], (4, 5)).tolist()
    assert made(1000) == made(sn.tensor(1000)).item()


def test_one_cycle_and_cyclic_by_hand() -> None:
    s = schedule.one_cycle(1.0, 11, 0.5, "cos", 0.2, 0.1)
    assert (
        s(0) == pytest.approx(0.2) and s(10) == pytest.approx(0.1) and s(50) == pytest.approx(0.1)
    )
    assert s(4) < s(5) < 1.0 and s(5) > s(6)
    c = schedule.cyclic(0.0, 8.0, 2, 1, "triangular2")
    assert [c(t) for t in range(7)] == pytest.approx([0, 4, 8, 0, 2, 4, 0])


@pytest.mark.parametrize("period", [1, 3, 10])
@pytest.mark.parametrize("factor", [2, 3, 10])
def test_restarts_start_where_they_should(period: int, factor: int) -> None:
    s = schedule.cosine_restarts(1.0, period, factor)
    starts = {sum(period * factor**i for i in range(n)) for n in range(14)}
    assert {t for t in range(5000) if s(t) == 1.0} == {t for t in starts if t < 5000}


@pytest.mark.parametrize(
    "make",
    [
        lambda: schedule.cosine(1.0, 0),
        lambda: schedule.step(1.0, 0),
        lambda: schedule.cosine_restarts(1.0, 2, 1.5),  # type: ignore[arg-type]
        lambda: schedule.one_cycle(1.0, 10, 2.0),
        lambda: schedule.cyclic(0.0, 1.0, 2, mode="square"),
        lambda: schedule.wsd(1.0, 1, 1, 1, shape="square"),
        lambda: schedule.join([1.0, 2.0], []),
        lambda: schedule.constant(1.0)(-1),
        lambda: lr_scheduler.ConstantLR(sgd(), 2.0),
        lambda: lr_scheduler.OneCycleLR(sgd(), 1.0),
        lambda: lr_scheduler.StepLR(sgd(lr=schedule.constant(1.0)), 1),
        lambda: lr_scheduler.StepLR(sgd(), 1, last_epoch=4),
        lambda: lr_scheduler.LambdaLR(sgd(), [lambda k: 1.0] * 2),
        lambda: lr_scheduler.SequentialLR(sgd(), [lr_scheduler.StepLR(sgd(), 1)], []),
        lambda: lr_scheduler.ReduceLROnPlateau(sgd(), "least"),
        lambda: lr_scheduler.CyclicLR(optim.Adagrad([sn.ones(1, requires_grad=True)]), 0.1, 1.0),
    ],
)
def test_mistakes_are_named(make: Any) -> None:
    with pytest.raises(sn.InvalidValue, match=r"^\["):
        make()


def sgd(**kwargs: Any) -> Any:
    return optim.SGD([sn.ones(1, requires_grad=True)], **kwargs)


def test_an_optimizer_follows_schedules_by_its_own_count() -> None:
    """The same bits as setting each number by hand, in every hyperparameter."""
    rates = schedule.cosine(0.3, 20)
    decays = schedule.linear(0.1, 0.0, 10)
    betas = schedule.warmup(0.9, 5, 0.5)
    a = sn.ones((3, 3), requires_grad=True)
    b = sn.ones((3, 3), requires_grad=True)
    one = optim.AdamW([{"params": [a], "betas": (betas, 0.99)}], lr=rates, weight_decay=decays)
    two = optim.AdamW([b])
    for k in range(12):
        two.param_groups[0].update(lr=rates(k), weight_decay=decays(k), betas=(betas(k), 0.99))
        for p, o in ((a, one), (b, two)):
            p.grad = sn.full((3, 3), 0.5 + k)
            o.step()
        assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes(), k
    assert one.steps.item() == 12


def test_a_function_of_the_step_and_a_tensor_as_a_rate() -> None:
    w = sn.zeros(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=schedule.from_function(lambda k: 1.0 if k < 2 else 0.25))
    for _ in range(4):
        w.grad = sn.ones(1)
        optimizer.step()
    assert w.item() == -2.5
    optimizer.param_groups[0]["lr"] = sn.tensor(2.0)
    optimizer.step()
    assert w.item() == -4.5


def test_schedules_are_code_and_counts_are_state() -> None:
    def make() -> tuple[Any, Any]:
        w = sn.zeros(2, requires_grad=True)
        return w, optim.SGD([w], lr=schedule.exponential(1.0, 0.5))

    w, optimizer = make()
    for _ in range(3):
        w.grad = sn.ones(2)
        optimizer.step()
    state = optimizer.state_dict()
    assert "lr" not in state["param_groups"][0] and state["steps"].item() == 3
    v, again = make()
    again.load_state_dict(state)
    v.grad = sn.ones(2)
    again.step()
    assert v.tolist() == [-0.125] * 2
    assert optimizer.steps.item() == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda o: lr_scheduler.StepLR(o, 3),
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, 20),
        lambda o: lr_scheduler.MultiplicativeLR(o, lambda k: 0.9),
        lambda o: lr_scheduler.ChainedScheduler(
            [lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.LinearLR(o)]
        ),
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.LinearLR(o)], [4]
        ),
    ],
)
def test_schedulers_resume(make: Any) -> None:
    first = sgd(lr=0.5, momentum=0.9)
    scheduler = make(first)
    for _ in range(6):
        scheduler.step()
    parts = optim.flatten_state(scheduler.state_dict())
    second = sgd(lr=0.1, momentum=0.9)
    resumed = make(second)
    resumed.load_state_dict(optim.unflatten_state(*parts))
    for _ in range(5):
        assert second.param_groups[0]["lr"] == first.param_groups[0]["lr"]
        assert second.param_groups[0]["momentum"] == first.param_groups[0]["momentum"]
        scheduler.step()
        resumed.step()
