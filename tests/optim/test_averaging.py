"""Averages of weights, L-BFGS, and clipping by units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizer_cases import network

import sennit as sn
from sennit import nn, optim


@pytest.mark.oracle
@pytest.mark.parametrize("ema", [False, True])
@pytest.mark.parametrize("use_buffers", [False, True])
def test_averaged_model_agrees_with_torch(torch, ema: bool, use_buffers: bool) -> None:  # type: ignore[no-untyped-def]
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    ours = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = torch.optim.swa_utils.get_ema_avg_fn(0.8) if ema else None
    a = torch.optim.swa_utils.AveragedModel(theirs, avg_fn=average, use_buffers=use_buffers)
    b = optim.AveragedModel(
        ours, avg_fn=optim.get_ema_avg_fn(0.8) if ema else None, use_buffers=use_buffers
    )
    rng = np.random.default_rng(0)
    for _ in range(5):
        for (_, p), q in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
            value = np.asarray(rng.standard_normal(p.shape) * 5).astype(q.numpy().dtype)
            p.copy_(torch.as_tensor(value))
        ours.load_state_dict(
            {k: sn.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()}
        )
        a.update_parameters(theirs)
        b.update_parameters(ours)
    assert list(b.state_dict()) != [] and b.n_averaged.item() == 5
    for (name, p), (_, q) in zip(
        a.module.state_dict().items(), b.module.state_dict().items(), strict=True
    ):
        if "num_batches" not in name:
            np.testing.assert_allclose(q.numpy(), p.numpy(), 1e-5, 1e-5, err_msg=name)
    x = rng.standard_normal((4, 3)).astype(np.float32)
    a.eval()
    b.eval()
    with torch.no_grad():
        expected = a(torch.tensor(x)).numpy()
    variance = a.module[1].running_var.numpy()
    if (variance > 0).all():
        np.testing.assert_allclose(b(sn.tensor(x)).detach().numpy(), expected, 1e-3, 1e-4)


@pytest.mark.oracle
def test_update_bn_agrees_with_torch(torch) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = torch.nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm1d(3))
    rng = np.random.default_rng(0)
    data = [rng.standard_normal((8, 3)).astype(np.float32) for _ in range(4)]
    torch.optim.swa_utils.update_bn([torch.tensor(x) for x in data], theirs)
    ours.eval()
    optim.update_bn([(sn.tensor(x), None) for x in data], ours)
    assert not ours.training and ours[0].momentum == 0.1
    np.testing.assert_allclose(
        ours[0].running_mean.numpy(), theirs.running_mean.numpy(), 1e-5, 1e-6
    )
    np.testing.assert_allclose(ours[0].running_var.numpy(), theirs.running_var.numpy(), 1e-5, 1e-6)


@pytest.mark.parametrize("warmup", [False, True])
def test_ema(warmup: bool, tmp_path: Any) -> None:
    net = network()
    ema = optim.EMA(net, 0.9, warmup=warmup)
    expected = [p.detach().numpy().astype(np.float64) for p in net.parameters()]
    rng = np.random.default_rng(0)
    for k in range(6):
        decay = min(0.9, (1 + k) / (10 + k)) if warmup else 0.9
        for i, p in enumerate(net.parameters()):
            value = rng.standard_normal(p.shape).astype(np.float32)
            p.assign_(sn.tensor(value))
            expected[i] = decay * expected[i] + (1 - decay) * value
        ema.update()
    last = [p.detach().numpy() for p in net.parameters()]
    with ema.applied():
        for p, e in zip(net.parameters(), expected, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), e, 1e-5, 1e-6)
    for p, e in zip(net.parameters(), last, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), e)
    tensors, text = optim.flatten_state(ema.state_dict())
    sn.save(tensors, tmp_path / "ema.safetensors", metadata=text)
    again = optim.EMA(network(), 0.5)
    again.load_state_dict(
        optim.unflatten_state(*sn.load(tmp_path / "ema.safetensors", with_metadata=True))
    )
    ema.update()
    again.parameters = ema.parameters
    again.update()
    for a, b in zip(ema.averages, again.averages, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_ema_keeps_what_it_has_when_a_later_window_fails() -> None:
    net = network()
    optimizer, ema = optim.Adam(net.parameters(), lr=0.1), optim.EMA(net, 0.5)

    def step(label: int) -> Any:
        optimizer.zero_grad()
        loss = sn.cross_entropy(net(sn.ones((2, 3))), sn.tensor([1, label]))
        loss.backward()
        optimizer.step()
        return loss

    step(2)
    ema.update()
    expected = [a.numpy() for a in ema.averages]
    with pytest.raises(sn.IndexOutOfRange):
        step(9).item()
    for a, e in zip(ema.averages, expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), e)


def test_lookahead_by_hand() -> None:
    w = sn.tensor([1.0, -2.0], requires_grad=True)
    optimizer = optim.Lookahead(optim.SGD([w], lr=0.1), k=3, alpha=0.25)
    fast = slow = np.array([1.0, -2.0])
    for k in range(1, 10):
        w.grad = w.detach() * 1.0
        optimizer.step()
        fast = fast - 0.1 * fast
        if k % 3 == 0:
            fast = slow = slow + 0.25 * (fast - slow)
        np.testing.assert_allclose(w.detach().numpy(), fast, 1e-6)
    v = sn.ones(1, requires_grad=True)
    optimizer.add_param_group({"params": [v], "lr": 1.0})
    assert len(optimizer.param_groups) == 2 and "Lookahead" in repr(optimizer)


def rosenbrock(w: Any) -> Any:
    return ((1 - w[:-1]) ** 2).sum() + 100 * ((w[1:] - w[:-1] ** 2) ** 2).sum()


@pytest.mark.oracle
@pytest.mark.parametrize("history", [100, 3])
@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_takes_the_steps_of_torch(torch, search: str | None, history: int) -> None:  # type: ignore[no-untyped-def]
    start = np.array([-1.2, 1.0, 0.3, -0.7])
    kwargs = {"lr": 1 if search else 0.01, "line_search_fn": search, "history_size": history}
    kwargs["max_iter"] = 8
    ends = []
    for module, w in (
        (torch.optim, torch.tensor(start, requires_grad=True)),
        (optim, sn.tensor(start, requires_grad=True)),
    ):
        optimizer = module.LBFGS([w], **kwargs)

        def closure(optimizer: Any = optimizer, w: Any = w) -> Any:
            optimizer.zero_grad()
            loss = rosenbrock(w)
            loss.backward()
            return loss

        path = []
        for _ in range(6):
            path += [float(optimizer.step(closure).detach()), *w.detach().numpy()]
        path += [optimizer.state[w]["func_evals"], optimizer.state[w]["n_iter"]]
        ends.append(path)
    np.testing.assert_allclose(ends[1], ends[0], 1e-7, 1e-9)


def test_lbfgs_resumes_and_undoes_what_fails(tmp_path: Any) -> None:
    fails = [0]  # the call after which the closure fails

    calls = [0]

    def make(start: Any) -> tuple[Any, Any, Any]:
        a = start[:2].detach().requires_grad_()
        b = start[2:].detach().reshape(1, 2).requires_grad_()
        optimizer = optim.LBFGS([a, b], max_iter=4, line_search_fn="strong_wolfe")

        def closure() -> Any:
            calls[0] += 1
            if fails[0] and calls[0] > fails[0]:
                raise RuntimeError("no batch")
            optimizer.zero_grad()
            loss = rosenbrock(sn.concat([a, b.reshape(-1)], 0))
            loss.backward()
            return loss

        def point() -> Any:
            return sn.concat([a.detach(), b.detach().reshape(-1)], 0)

        return optimizer, closure, point

    first, closure, point = make(sn.tensor(np.array([-1.2, 1.0, 0.3, -0.7])))
    for _ in range(2):
        first.step(closure)
    before, parts = point().numpy().tobytes(), optim.flatten_state(first.state_dict())
    fails[0] = calls[0] + 2  # in the middle of a line search
    with pytest.raises(RuntimeError, match="no batch"):
        first.step(closure)
    fails[0] = 0
    assert point().numpy().tobytes() == before
    again = optim.flatten_state(first.state_dict())
    assert again[1] == parts[1]
    for name, value in parts[0].items():
        np.testing.assert_array_equal(again[0][name].numpy(), value.numpy())
    sn.save(parts[0], tmp_path / "lbfgs.safetensors", metadata=parts[1])
    second, closure2, point2 = make(sn.asarray(np.frombuffer(before, np.float64)))
    second.load_state_dict(
        optim.unflatten_state(*sn.load(tmp_path / "lbfgs.safetensors", with_metadata=True))
    )
    third, closure3, point3 = make(sn.asarray(np.frombuffer(before, np.float64)))
    third.load_state_dict(optim.unflatten_state(*parts))
    for o, c in ((second, closure2), (third, closure3)):
        for _ in range(2):
            o.step(c)
    assert point2().numpy().tobytes() == point3().numpy().tobytes() != before


def test_adaptive_clipping_by_hand() -> None:
    rng = np.random.default_rng(0)
    for shape in ((4, 3), (2, 3, 2, 2), (5,), ()):
        w = np.asarray(rng.standard_normal(shape))
        g = np.asarray(rng.standard_normal(shape))
        p = sn.tensor(w, requires_grad=True)
        p.grad = sn.tensor(g)
        optim.clip_grad_adaptive_(p, 0.5, 0.1)
        axes = tuple(range(1, w.ndim)) if w.ndim > 1 else None

        def norm(x: Any, axes: Any = axes) -> Any:
            return np.sqrt((x * x).sum(axes, keepdims=True))

        most = np.maximum(norm(w), 0.1) * 0.5
        expected = np.where(norm(g) > most, g * most / norm(g), g)
        np.testing.assert_allclose(p.grad.numpy(), expected, 1e-12)


def test_lbfgs_with_two_dtypes() -> None:
    a = sn.tensor([2.0], requires_grad=True)
    b = sn.tensor([[3.0]], dtype=sn.float64, requires_grad=True)
    optimizer = optim.LBFGS([a, b], line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (a.to(sn.float64) - 1).square().sum() + (b - 2).square().sum() * 3
        loss.backward()
        return loss

    optimizer.step(closure)
    assert abs(a.item() - 1) < 1e-5 and abs(b.item() - 2) < 1e-5
    assert a.dtype == sn.float32 and b.dtype == sn.float64
