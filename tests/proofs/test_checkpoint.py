"""Recomputation: the same bits for less memory, and no effect twice."""

from __future__ import annotations

import numpy as np
import pytest

import sennit as sn
from sennit import nn


def same(a: sn.Tensor, b: sn.Tensor) -> bool:
    return a.shape == b.shape and a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


def plain(function, *args, **kwargs):
    return function(*args, **kwargs)


@pytest.fixture(params=[4096, 7, 1])
def window(request):
    before = sn.config.window
    sn.config.window = request.param
    yield request.param
    sn.config.window = before


def deep(seed: int = 0) -> nn.Sequential:
    sn.random.seed(seed)
    return nn.Sequential(
        *(
            nn.Sequential(
                nn.Linear(16, 64), nn.BatchNorm1d(64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, 16)
            )
            for _ in range(4)
        )
    )


def step(call, x):
    """Gradients and state after two passes; the blocks also have residual connections."""
    model = deep()
    sn.random.seed(5)
    for _ in range(2):
        y = x
        for block in model:
            y = y + call(block, y)
        (y * y).mean().backward()
    noise = sn.random.normal(shape=(3,))
    return [p.grad for p in model.parameters()], [b.clone() for b in model.buffers()], noise


def test_gradients_statistics_and_random_numbers_are_the_same(window):
    x = sn.random.normal(shape=(8, 16)).requires_grad_()
    want = step(plain, x)
    gx, x.grad = x.grad, None
    got = step(sn.checkpoint, x)
    assert same(x.grad, gx)
    for a, b in zip(want, got):
        assert all(same(u, v) for u, v in zip(a, b))


def test_a_weight_used_often_adds_up_in_the_same_order():
    sn.random.seed(0)
    w = sn.random.normal(shape=(16, 16)).requires_grad_()
    x = sn.random.normal(shape=(8, 16)).requires_grad_()

    def block(x):
        return sn.tanh(sn.tanh(x @ w) @ w) * x + sn.sin(x)

    found = []
    for call in (plain, sn.checkpoint):
        y = call(block, call(block, x * 1) @ w)
        found.append(sn.gradients([(y**2).sum()], [w, x]))
    assert all(same(a, b) for a, b in zip(*found))


def peak(run) -> int:
    run()
    sn.synchronize()
    sn.memory.release_cached()
    sn.memory.reset_peak()
    before = sn.memory.stats()["in_use"]
    run()
    sn.synchronize()
    return sn.memory.stats()["peak"] - before


@pytest.mark.parametrize("limit", [4096, 1])
def test_memory_falls(limit):
    sn.random.seed(0)
    blocks = [nn.Sequential(nn.Linear(64, 512), nn.GELU(), nn.Linear(512, 64)) for _ in range(12)]
    x = sn.random.normal(shape=(256, 64))

    def run(call):
        y = x
        for b in blocks:
            y = y + call(b, y)
        (y * y).mean().backward()
        sn.synchronize()
        for b in blocks:
            b.zero_grad()

    before = sn.config.window
    sn.config.window = limit
    try:
        assert 0 < 2 * peak(lambda: run(sn.checkpoint)) < peak(lambda: run(plain))
    finally:
        sn.config.window = before


def test_the_function_is_called_again_and_nothing_is_merged():
    """One product forward, one again, two for gradients: not three, as merging would make."""
    w = sn.random.normal(shape=(16, 16)).requires_grad_()
    x = sn.random.normal(shape=(8, 16)).requires_grad_()
    sn.synchronize()
    with sn.explain() as e:
        y = sn.checkpoint(lambda x: sn.tanh(x @ w), x)
        gradients = sn.gradients([(y * y).sum()], [w, x])
        sn.synchronize()
    products = sum(s["ops"].count("matmul") for wd in e.windows for s in wd["steps"])
    assert products == 4
    assert len(gradients) == 2


def test_in_every_transform():
    sn.random.seed(0)
    w = sn.random.normal(shape=(3, 3))
    x = sn.random.normal(shape=(2, 3))

    def f(x, w):
        return (sn.tanh(x @ w) * x).sum()

    def g(x, w):
        return sn.checkpoint(f, x, w)

    def closed(x, w):
        return sn.checkpoint(lambda x: f(x, w), x)

    for use in (
        lambda f: sn.grad(f, argnums=(0, 1))(x[0], w),
        lambda f: sn.jacrev(f)(x[0], w),
        lambda f: sn.jvp(f, (x[0], w), (x[1], w)),
        lambda f: sn.hessian(f)(x[0], w),
        lambda f: sn.hessian(f, argnums=1)(x[0], w),
        lambda f: sn.vmap(f, in_dims=(0, None))(x, w),
        lambda f: sn.vmap(sn.grad(f, argnums=1), in_dims=(0, None))(x, w),
        lambda f: sn.grad(lambda w: sn.vmap(f, in_dims=(0, None))(x, w).sum())(w),
        lambda f: sn.grad(lambda w: (sn.grad(f)(x[0], w) ** 2).sum())(w),
    ):
        want = sn._tree.flatten(use(f))
        for variant in (g, closed):
            for a, b in zip(sn._tree.flatten(use(variant)), want):
                np.testing.assert_allclose(
                    a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6
                )


def test_structures_other_arguments_and_results():
    x = sn.ones(3).requires_grad_()

    def f(tree, n, *, flag, name="x"):
        a, (b,) = tree["a"], tree["b"]
        assert flag is True
        assert name == "y"
        return {"sum": (a * b * n, [a.detach()]), "n": n, "mask": a > 0}

    out = sn.checkpoint(f, {"a": x * 2, "b": (sn.ones(3),)}, 3, flag=True, name="y")
    assert out["n"] == 3
    assert out["mask"].dtype == sn.bool
    assert not out["sum"][1][0].requires_grad
    out["sum"][0].sum().backward()
    assert x.grad.tolist() == [6.0, 6.0, 6.0]


def test_without_gradients_it_is_a_call():
    calls = []

    def f(x):
        return calls.append(1) or x * 2

    with sn.no_grad():
        assert sn.checkpoint(f, sn.ones(2, requires_grad=True)).tolist() == [2.0, 2.0]
    assert not sn.checkpoint(f, sn.ones(2)).requires_grad
    assert len(calls) == 2
    with pytest.raises(sn.InvalidType, match="a function or a module is required"):
        sn.checkpoint(3, sn.ones(2))


def test_random_numbers_that_are_not_preserved_differ():
    x = sn.ones(1000).requires_grad_()
    y = sn.checkpoint(lambda x: sn.dropout(x, 0.5), x, preserve_rng_state=False)
    y.sum().backward()
    assert not same(x.grad, y)
    x.grad = None
    y = sn.checkpoint(lambda x: sn.dropout(x, 0.5), x)
    y.sum().backward()
    assert same(x.grad, y)


def test_state_that_the_function_reads_and_writes():
    """The second call starts from the state of the first, and its writes are undone."""
    count, x = sn.zeros(()), sn.ones(3).requires_grad_()

    def f(x):
        count.copy_(count + 1)
        return x * count * x

    y = sn.checkpoint(f, x) + sn.checkpoint(f, x)
    assert count.item() == 2
    y.sum().backward()
    assert count.item() == 2
    assert x.grad.tolist() == [6.0, 6.0, 6.0]


def test_errors_in_the_second_call_leave_everything_as_it_was():
    bn, x = nn.BatchNorm1d(3), sn.random.normal(shape=(4, 3)).requires_grad_()
    calls = []

    def f(x):
        y = bn(x)
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("second")
        return y * y

    y = sn.checkpoint(f, x)
    state = sn._core.random_state()
    mean = bn.running_mean.clone()
    with pytest.raises(RuntimeError, match="second"):
        y.sum().backward()
    assert sn._core.random_state() == state
    assert same(bn.running_mean, mean)


def test_sequential_parts():
    model = nn.Sequential(*(nn.Linear(5, 5) for _ in range(7)))
    x = sn.random.normal(shape=(2, 5))
    grads = []
    for run in (model, lambda x: sn.checkpoint_sequential(model, 3, x, use_reentrant=False)):
        run(x).sum().backward()
        grads.append([p.grad for p in model.parameters()])
        model.zero_grad()
    assert all(same(a, b) for a, b in zip(*grads))
    with pytest.raises(sn.InvalidValue, match="between 1 and 7"):
        sn.checkpoint_sequential(model, 8, x)


def test_after_the_optimizer_has_stepped():
    w = nn.Parameter(sn.ones(3))
    y = sn.checkpoint(lambda w: sn.tanh(w) * w, w)
    y.sum().backward()
    sn.optim.SGD([w], lr=0.1).step()
    with pytest.raises(sn.GradError, match="given up by"):
        y.sum().backward()
