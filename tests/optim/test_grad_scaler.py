"""GradScaler against torch.amp.GradScaler on a CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import sennit as sn

SETTINGS: dict[str, Any] = {
    "init_scale": 8.0, "growth_factor": 3.0, "backoff_factor": 0.25, "growth_interval": 2
}  # fmt: skip
# What the gradient of each iteration is multiplied with.
FACTORS = [1.0, 1.0, 1.0, float("inf"), 1.0, 1.0, float("nan"), float("inf"), 1.0, 1.0, 1.0, 1.0]


def run(m: Any, scaler: Any, clip: bool) -> list[tuple[Any, ...]]:
    w = m.tensor([1.0, -2.0, 3.0], requires_grad=True)
    v = m.tensor([0.5], requires_grad=True)
    optimizers = [m.optim.SGD([w], lr=0.1, momentum=0.9), m.optim.Adam([v], lr=0.1)]
    seen = []
    for i, factor in enumerate(FACTORS):
        for o in optimizers:
            o.zero_grad()
        loss = (w * w).sum() * (factor if i % 2 else 1.0) + (v * v).sum() * factor
        scaled = scaler.scale([loss])[0]
        scaled.backward()
        if clip:
            scaler.unscale_(optimizers[0])
            m.nn.utils.clip_grad_norm_([w], 0.5)
        for o in optimizers:
            scaler.step(o)
        scaler.update()
        seen.append((w.tolist(), v.tolist(), scaler.state_dict()))
    return seen


@pytest.mark.parametrize("clip", [False, True])
def test_iterations_are_those_of_torch(clip: bool) -> None:
    ours = run(sn, sn.optim.GradScaler("cpu", **SETTINGS), clip)
    theirs = run(torch, torch.amp.GradScaler("cpu", **SETTINGS), clip)
    for (w, v, state), (w2, v2, state2) in zip(ours, theirs, strict=True):
        assert state == state2
        assert w == pytest.approx(w2, rel=1e-5) and v == pytest.approx(v2, rel=1e-5)


def test_state_moves_to_torch_and_back() -> None:
    ours = sn.optim.GradScaler("cpu", **SETTINGS)
    theirs = torch.amp.GradScaler("cpu")
    run(sn, ours, False)
    theirs.load_state_dict(ours.state_dict())
    assert theirs.state_dict() == ours.state_dict()
    fresh = sn.optim.GradScaler("cpu")
    fresh.load_state_dict(theirs.state_dict())
    assert fresh.state_dict() == ours.state_dict()
    assert (fresh.get_growth_factor(), fresh.get_backoff_factor()) == (3.0, 0.25)
    assert fresh.get_growth_interval() == 2 and fresh.get_scale() == ours.get_scale()


def test_scaling_of_half_losses_and_of_nests() -> None:
    scaler = sn.optim.GradScaler("cpu")
    loss = scaler.scale(sn.tensor(2.0, dtype=sn.float16))
    assert loss.dtype == sn.float32 and loss.item() == 2.0**17
    got = scaler.scale((sn.ones(2), [sn.ones(1)]))
    assert isinstance(got, tuple) and isinstance(got[1], list)
    assert got[0].tolist() == [65536.0] * 2 and got[1][0].tolist() == [65536.0]
    assert [x.item() for x in scaler.scale(iter([sn.ones(1)]))] == [65536.0]
    with pytest.raises(sn.InvalidType, match="float"):
        scaler.scale(1.0)


def test_a_new_scale_and_the_order_of_calls() -> None:
    w = sn.tensor([1.0], requires_grad=True)
    o = sn.optim.SGD([w], lr=1.0)
    scaler = sn.optim.GradScaler("cpu", init_scale=4.0)
    with pytest.raises(sn.InvalidValue, match="no gradients were looked at"):
        scaler.update()
    with pytest.raises(sn.InvalidValue, match="has a gradient"):
        scaler.step(o)
    scaler.update()
    scaler.scale((w * 2).sum()).backward()
    scaler.unscale_(o)
    assert w.grad.tolist() == [2.0]
    with pytest.raises(sn.InvalidValue, match="already been called"):
        scaler.unscale_(o)
    scaler.step(o)
    with pytest.raises(sn.InvalidValue, match="already been called"):
        scaler.step(o)
    with pytest.raises(sn.InvalidValue, match="already been called"):
        scaler.unscale_(o)
    scaler.update(16.0)
    assert scaler.get_scale() == 16.0 and w.tolist() == [-1.0]
    with pytest.raises(sn.InvalidValue, match="closure"):
        scaler.step(o, closure=lambda: None)
    half = sn.tensor([1.0], dtype=sn.float16, requires_grad=True)
    half.sum().backward()
    with pytest.raises(sn.DTypeError, match="float16"):
        scaler.step(sn.optim.SGD([half], lr=1.0))


def test_off() -> None:
    w = sn.tensor([1.0], requires_grad=True)
    o = sn.optim.SGD([w], lr=1.0)
    scaler = sn.optim.GradScaler("cpu", enabled=False)
    loss = w.sum()
    assert scaler.scale(loss) is loss and scaler.get_scale() == 1.0
    loss.backward()
    scaler.unscale_(o)
    scaler.step(o)
    scaler.update()
    assert w.tolist() == [0.0] and scaler.state_dict() == {} and not scaler.is_enabled()
    scaler.load_state_dict({})
    if not sn.cuda.is_available():
        assert not sn.optim.GradScaler().is_enabled()
    with pytest.raises(sn.InvalidValue, match="is empty"):
        sn.optim.GradScaler("cpu").load_state_dict({})


@pytest.mark.parametrize(
    ("name", "value"),
    [("growth_factor", 1.0), ("backoff_factor", 1.0), ("backoff_factor", 0.0),
     ("growth_interval", 0), ("device", "tpu")],
)  # fmt: skip
def test_bad_settings(name: str, value: Any) -> None:
    with pytest.raises(sn.InvalidValue, match="must be"):
        sn.optim.GradScaler(**({"device": "cpu"} | {name: value}))
