"""Optimisers against PyTorch, and where it has none, against their papers in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from optimizer_cases import MUON, WITH_TORCH, WITHOUT_TORCH

import sennit as sn
from sennit import optim

SHAPES = [(3, 4), (4,), ()]
STEPS = 10


def gradient(p: Any, step: int) -> Any:
    """Of a bowl that moves and turns, so that signs change; in float64."""
    return (p - 1.5) * (step % 3 - 0.7) * 2


def sits_out(step: int, ndim: int) -> bool:
    return ndim == 1 and step in (2, 5)


def run(make: Any, start: list[Any]) -> tuple[list[Any], Any]:
    ours = [sn.tensor(a, requires_grad=True) for a in start]
    optimizer = make(ours)
    for step in range(STEPS):
        for q in ours:
            if not sits_out(step, q.ndim):
                ((q - 1.5) ** 2 * (step % 3 - 0.7)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return ours, optimizer


def starts(dtype: Any, shapes: Any = SHAPES) -> list[Any]:
    rng = np.random.default_rng(0)
    return [np.asarray(rng.standard_normal(s), dtype=dtype) for s in shapes]


def close(got: Any, expected: Any, dtype: Any, name: str = "") -> None:
    # PyTorch keeps NAdam's product and ASGD's rates in float32, whatever the parameters are.
    exact = 1e-6 if name in ("NAdam", "ASGD") else 1e-12
    tolerance = exact if dtype == np.float64 else 3e-6
    for q, p in zip(got, expected, strict=True):
        q = q.detach().numpy()
        assert q.dtype == dtype
        np.testing.assert_allclose(q, np.asarray(p), tolerance, tolerance)


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
@pytest.mark.parametrize(("name", "kwargs"), WITH_TORCH, ids=str)
def test_agrees_with_torch(torch, name: str, kwargs: dict, dtype: Any) -> None:  # type: ignore[no-untyped-def, type-arg]
    start = starts(dtype)
    theirs = [torch.tensor(a, requires_grad=True) for a in start]
    oracle = getattr(torch.optim, name)(theirs, **kwargs)
    for step in range(STEPS):
        for p in theirs:
            if not sits_out(step, p.ndim):
                ((p - 1.5) ** 2 * (step % 3 - 0.7)).sum().backward()
        oracle.step()
        oracle.zero_grad()
    ours, optimizer = run(lambda ps: getattr(optim, name)(ps, **kwargs), start)
    close(ours, [p.detach() for p in theirs], dtype, name)
    # What PyTorch remembers is there under the same names (rates that are functions of the step
    # are not remembered).
    for p, q in zip(theirs, ours, strict=True):
        names = {k for k, v in oracle.state[p].items() if v is not None}
        assert names - {"eta", "mu"} - set(optimizer.state.get(q, {})) <= set(), names
        if "step" in names:
            assert optimizer.state[q]["step"].item() == float(oracle.state[p]["step"])


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "NAdam", "Adagrad", "Adafactor"])
def test_groups_agree_with_torch(torch, name: str) -> None:  # type: ignore[no-untyped-def]
    start = starts(np.float64)

    def groups(ps: list[Any]) -> list[dict[str, Any]]:
        return [{"params": ps[:1], "lr": 0.3, "weight_decay": 0.1}, {"params": ps[1:]}]

    theirs = [torch.tensor(a, requires_grad=True) for a in start]
    oracle = getattr(torch.optim, name)(groups(theirs), lr=0.05)
    ours = [sn.tensor(a, requires_grad=True) for a in start]
    mine = getattr(optim, name)(groups(ours), lr=0.05)
    extra = np.array([0.3, -0.4])
    for step in range(STEPS):
        if step == 4:
            theirs.append(torch.tensor(extra, requires_grad=True))
            ours.append(sn.tensor(extra, requires_grad=True))
            oracle.add_param_group({"params": theirs[-1], "lr": 0.2})
            mine.add_param_group({"params": ours[-1], "lr": 0.2})
        if step == 7:
            for one in (oracle, mine):
                one.param_groups[1]["lr"] = 0.01
        for p, q in zip(theirs, ours, strict=True):
            p.grad, q.grad = gradient(p.detach(), step), gradient(q.detach(), step)
        oracle.step()
        mine.step()
    close(ours, [p.detach() for p in theirs], np.float64, name)


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "kwargs"), MUON, ids=str)
def test_muon_is_near_torch(torch, name: str, kwargs: dict) -> None:  # type: ignore[no-untyped-def, type-arg]
    start = starts(np.float32, [(3, 4), (6, 2)])
    theirs = [torch.tensor(a, requires_grad=True) for a in start]
    oracle = torch.optim.Muon(theirs, **kwargs)
    ours = [sn.tensor(a, requires_grad=True) for a in start]
    mine = optim.Muon(ours, **kwargs)
    for step in range(STEPS):
        for p, q in zip(theirs, ours, strict=True):
            p.grad, q.grad = gradient(p.detach(), step), gradient(q.detach(), step)
        oracle.step()
        mine.step()
    for p, q in zip(theirs, ours, strict=True):  # PyTorch iterates in bfloat16
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), atol=0.05)


# ---- the papers, in NumPy: from the parameter and its state to the new parameter


def lion(x, g, s, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):  # type: ignore[no-untyped-def]
    m = s.setdefault("m", np.zeros_like(x))
    c = betas[0] * m + (1 - betas[0]) * g
    s["m"] = betas[1] * m + (1 - betas[1]) * g
    return x - lr * (np.sign(c) + weight_decay * x)


def sparseadam(x, g, s, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):  # type: ignore[no-untyped-def]
    t = s["t"] = s.get("t", 0) + 1
    row = (g != 0).reshape(len(g), -1).any(1) if g.ndim else g != 0
    row = row.reshape(-1, *(1,) * (g.ndim - 1)) if g.ndim else row
    m, v = s.get("m", 0 * x), s.get("v", 0 * x)
    m = s["m"] = np.where(row, betas[0] * m + (1 - betas[0]) * g, m)
    v = s["v"] = np.where(row, betas[1] * v + (1 - betas[1]) * g * g, v)
    rate = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    return np.where(row, x - rate * m / (np.sqrt(v) + eps), x)


def lamb(x, g, s, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0, clamp_norm=None):  # type: ignore[no-untyped-def]
    t = s["t"] = s.get("t", 0) + 1
    m = s["m"] = betas[0] * s.get("m", 0 * x) + (1 - betas[0]) * g
    v = s["v"] = betas[1] * s.get("v", 0 * x) + (1 - betas[1]) * g * g
    r = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps) + weight_decay * x
    size, length = math.sqrt((x * x).sum()), math.sqrt((r * r).sum())
    if clamp_norm is not None:
        size = min(size, clamp_norm)
    return x - lr * (size / length if size > 0 and length > 0 else 1.0) * r


def lars(  # type: ignore[no-untyped-def]
    x, g, s, lr=1e-3, momentum=0.9, weight_decay=0.0, trust_coefficient=1e-3, eps=1e-8,
    nesterov=False, adapt=True,
):  # fmt: skip
    size, length = math.sqrt((x * x).sum()), math.sqrt((g * g).sum())
    trust = 1.0
    if adapt and size > 0 and length > 0:
        trust = trust_coefficient * size / (length + weight_decay * size + eps)
    step = lr * trust * (g + weight_decay * x)
    v = s["v"] = momentum * s.get("v", 0 * x) + step
    return x - (momentum * v + step if nesterov else v)


def ftrl(x, g, s, lr=1e-3, lr_power=-0.5, initial_accumulator_value=0.1, l1=0.0, l2=0.0, beta=0.0):  # type: ignore[no-untyped-def]
    n = s.get("n", np.full_like(x, initial_accumulator_value))
    new = n + g * g
    z = s.get("z", 0 * x) + g - (new**-lr_power - n**-lr_power) / lr * x
    s["n"], s["z"] = new, z
    rate = (beta + new**-lr_power) / lr + l2
    return np.where(np.abs(z) <= l1, 0.0, -(z - np.sign(z) * l1) / rate)


def schedule_free(x, s, d, lr, beta, weight_decay, warmup_steps, r, weight_lr_power):  # type: ignore[no-untyped-def]
    """Here x is y, where the gradient was taken."""
    t = s["t"]
    lr = lr * min(t / warmup_steps, 1.0) if warmup_steps else lr
    s["max"] = max(s.get("max", 0.0), lr)
    weight = t**r * s["max"] ** weight_lr_power
    s["sum"] = s.get("sum", 0.0) + weight
    c = weight / s["sum"]
    z, mean = s.get("z", x), s.get("x", x)
    z = s["z"] = z - lr * (d + weight_decay * x)
    mean = s["x"] = (1 - c) * mean + c * z
    return (1 - beta) * z + beta * mean


def sgdschedulefree(  # type: ignore[no-untyped-def]
    x, g, s, lr=1.0, momentum=0.9, weight_decay=0, warmup_steps=0, r=0.0, weight_lr_power=2.0
):
    s["t"] = s.get("t", 0) + 1
    rest = (weight_decay, warmup_steps, r, weight_lr_power)
    return schedule_free(x, s, g, lr, momentum, *rest)


def adamwschedulefree(  # type: ignore[no-untyped-def]
    x, g, s, lr=2.5e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, warmup_steps=0, r=0.0,
    weight_lr_power=2.0,
):  # fmt: skip
    t = s["t"] = s.get("t", 0) + 1
    v = s["v"] = betas[1] * s.get("v", 0 * x) + (1 - betas[1]) * g * g
    d = g / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    rest = (weight_decay, warmup_steps, r, weight_lr_power)
    return schedule_free(x, s, d, lr, betas[0], *rest)


def muon(  # type: ignore[no-untyped-def]
    x, g, s, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True, adjust_lr_fn=None
):
    b = s["b"] = momentum * s.get("b", 0 * x) + (1 - momentum) * g
    u = (1 - momentum) * g + momentum * b if nesterov else b
    left, sizes, right = np.linalg.svd(u, full_matrices=False)
    sizes = sizes / math.sqrt((sizes**2).sum())
    for _ in range(5):  # the polynomial acts on the singular values alone
        sizes = 3.4445 * sizes - 4.775 * sizes**3 + 2.0315 * sizes**5
    rows, columns = x.shape
    scale = (
        0.2 * math.sqrt(max(rows, columns)) if adjust_lr_fn else math.sqrt(max(1, rows / columns))
    )
    return x * (1 - lr * weight_decay) - lr * scale * (left * sizes) @ right


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
@pytest.mark.parametrize(("name", "kwargs"), [*WITHOUT_TORCH, *MUON], ids=str)
def test_agrees_with_its_paper(name: str, kwargs: dict[str, Any], dtype: Any) -> None:
    paper = globals()[name.lower()]
    start = starts(dtype, [(3, 4), (6, 2)] if name == "Muon" else SHAPES)
    settings = {k: v for k, v in kwargs.items() if k != "maximize"}
    sign = -1.0 if kwargs.get("maximize") else 1.0
    expected, averages = [], []
    for a in start:
        x, s = a.astype(np.float64), {}
        for step in range(STEPS):
            if not sits_out(step, a.ndim):
                x = paper(x, sign * gradient(x, step), s, **settings)
        expected.append(x)
        averages.append(s.get("x"))
    ours, optimizer = run(lambda ps: getattr(optim, name)(ps, **kwargs), start)
    tolerance = 1e-10 if dtype == np.float64 else 2e-5
    for q, x in zip(ours, expected, strict=True):
        np.testing.assert_allclose(q.detach().numpy(), x, tolerance, tolerance)
    if name.endswith("Free"):  # eval gives the average, train brings back y
        before = [q.detach().numpy() for q in ours]
        optimizer.eval()
        for q, average in zip(ours, averages, strict=True):
            np.testing.assert_allclose(q.detach().numpy(), average, 1e-4, 1e-4)
        with pytest.raises(sn.InvalidValue, match="train"):
            optimizer.step()
        optimizer.train()
        for q, b in zip(ours, before, strict=True):
            np.testing.assert_allclose(q.detach().numpy(), b, 1e-5, 1e-5)


@pytest.mark.parametrize("dtype", [sn.float16, sn.bfloat16], ids=str)
@pytest.mark.parametrize(("name", "kwargs"), [*WITH_TORCH, *WITHOUT_TORCH], ids=str)
def test_narrow_dtypes_are_computed_in_float32(
    name: str, kwargs: dict[str, Any], dtype: Any
) -> None:
    """One step from the same values is the float32 step, rounded once."""
    # State starts with numbers that the narrow dtype has.
    kwargs = {**kwargs, "lr": 0.125} if name == "Rprop" else kwargs
    kwargs = {**kwargs, "initial_accumulator_value": 0.125} if name == "Ftrl" else kwargs
    rng = np.random.default_rng(0)
    results = []
    for to in (dtype, sn.float32):
        values = sn.tensor(rng.standard_normal((3, 5)).astype(np.float32)).to(dtype)
        rng = np.random.default_rng(0)
        p = values.to(to).detach().requires_grad_()
        optimizer = getattr(optim, name)([p], **kwargs)
        p.grad = (values * 0.5).to(to)
        optimizer.step()
        assert p.dtype == to
        results.append(p.detach().to(dtype).to(sn.float32).numpy())
    np.testing.assert_array_equal(results[0], results[1])
