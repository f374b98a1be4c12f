"""Gradients of sn.cond, sn.while_loop and sn.scan, and what they are under sn.vmap."""

import sys
from pathlib import Path

import numpy as np
import pytest

import sennit as sn

sys.path.insert(0, str(Path(__file__).resolve().parent))

from control_helpers import rand, same

w0 = rand(3, 3, seed=7)


def a_cond(x, w):
    return sn.cond(
        x.sum() > 0, lambda x: (sn.tanh(x @ w) * x).sum(), lambda x: (x**3 @ w).mean() + w.sum(), x
    )


def a_scan(x, w):
    def step(h, r):
        h = sn.tanh(h @ w + r) + (r * h) @ w
        return h, (h * h).sum()

    last, ys = sn.scan(step, x, sn.stack([x * 0.3, x * x, -x]))
    return last.sum() + (ys * ys).sum()


def a_backward_scan(x, w):
    last, ys = sn.scan(
        lambda c, r: ((c[0] @ w + r, c[1] + 1), c[0]), (x, 0), sn.stack([x, w[0]]), reverse=True
    )
    return (last[0] * ys[1]).sum()


def a_loop(x, w):
    def body(c):
        k, h = c
        return k + 1, sn.sin(h @ w + x) + h @ w

    def going(c):
        return (c[0] < 4) & (c[1].abs().sum() < 50.0)

    _, h = sn.while_loop(going, body, (0, x), max_steps=6)
    return (h * h).sum()


def all_of_them(x, w):
    def step(h, r):
        def grow(h):
            return sn.while_loop(
                lambda c: c.abs().max() < 2.0, lambda c: c * 1.3 + (c @ w) * 0.1, h, max_steps=8
            )

        h = sn.cond((h * r).sum() > 0, grow, lambda h: sn.sin(h @ w) + r, h)
        return h, h.sum()

    last, ys = sn.scan(step, x, sn.stack([x, x @ w, w[1]]))
    return (last * last).sum() + ys.sum()


FUNCTIONS = [a_cond, a_scan, a_backward_scan, a_loop, all_of_them]
specs = sn.TensorSpec((3,)), sn.TensorSpec((3, 3))


def points(dtype=np.float32):
    for seed in (0, 1):
        yield rand(3, seed=seed, dtype=dtype), rand(3, 3, seed=5 + seed, dtype=dtype) * 0.5


@pytest.mark.parametrize("f", FUNCTIONS)
def test_traced_gradients_have_the_bits_of_imperative_ones(f, tmp_path):
    g = sn.value_and_grad(f, argnums=(0, 1))
    graph = sn.trace(g, *specs)
    graph.save(tmp_path / "grad.sn")
    loaded = sn.load(tmp_path / "grad.sn")
    for x, w in points():
        want = g(x, w)
        same(graph(x, w), want)
        same(loaded(x, w), want)


def numerical(f, args, direction, eps=1e-5):
    up = f(*[a + eps * d for a, d in zip(args, direction, strict=True)])
    down = f(*[a - eps * d for a, d in zip(args, direction, strict=True)])
    return (up - down).item() / (2 * eps)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("f", FUNCTIONS)
def test_numerical_gradients_of_both_orders(f, traced):
    specs64 = [sn.TensorSpec(s.shape, sn.float64) for s in specs]
    first = sn.grad(f, argnums=(0, 1))

    def slope(x, w):  # its gradient is of second order
        a, b = first(x, w)
        return (sn.sin(a)).sum() + (b * b).sum()

    second = sn.grad(slope, argnums=(0, 1))
    if traced:
        first_, second_ = sn.trace(first, *specs64), sn.trace(second, *specs64)
    else:
        first_, second_ = first, second
    for x, w in points(np.float64):
        direction = rand(3, seed=11, dtype=np.float64), rand(3, 3, seed=12, dtype=np.float64)
        for function, gradient in ((f, first_), (slope, second_)):
            got = sum((d * g).sum().item() for d, g in zip(direction, gradient(x, w), strict=True))
            want = numerical(function, (x, w), direction)
            assert got == pytest.approx(want, rel=2e-5, abs=1e-6)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_forward_mode_and_hessians(f):
    for x, w in points(np.float64):
        g = lambda x: f(x, w)  # noqa: E731, B023
        tangent = rand(3, seed=3, dtype=np.float64)
        _, out = sn.jvp(g, (x,), (tangent,))
        assert out.item() == pytest.approx(numerical(g, (x,), (tangent,)), rel=1e-5, abs=1e-7)
        full = sn.hessian(g)(x)
        rows = sn.jacrev(sn.grad(g))(x)
        np.testing.assert_allclose(full.numpy(), rows.numpy(), rtol=1e-9, atol=1e-9)
        traced = sn.trace(sn.grad(lambda x: sn.jvp(g, (x,), (tangent,))[1]), specs64(x))  # noqa: B023
        np.testing.assert_allclose(
            traced(x).numpy(), (full @ tangent).numpy(), rtol=1e-8, atol=1e-9
        )


def specs64(x):
    return sn.TensorSpec(x.shape, x.dtype)


@pytest.mark.parametrize("f", [a_cond, a_scan, a_backward_scan, a_loop, all_of_them])
@pytest.mark.parametrize("way", ["call", "grad", "shared"])
def test_vmap_is_a_loop(f, way):
    xs, ws = rand(5, 3), rand(5, 3, 3, seed=4) * 0.5
    g = f if way == "call" else sn.grad(f, argnums=(0, 1))
    if way == "shared":
        want = [g(x, ws[0]) for x in xs]
        got = sn.vmap(g, in_dims=(0, None))(xs, ws[0])
        traced = sn.trace(sn.vmap(g, in_dims=(0, None)),
                          sn.TensorSpec((5, 3)), sn.TensorSpec((3, 3)))(xs, ws[0])  # fmt: skip
    else:
        want = [g(x, w) for x, w in zip(xs, ws, strict=True)]
        got = sn.vmap(g)(xs, ws)
        traced = sn.trace(sn.vmap(g), sn.TensorSpec((5, 3)), sn.TensorSpec((5, 3, 3)))(xs, ws)
    if isinstance(want[0], tuple):
        want = tuple(sn.stack([r[k] for r in want]) for k in range(2))
    else:
        want = sn.stack(want)
    same(got, want)
    same(traced, want)


def test_a_branch_not_taken_reaches_no_gradient():
    def root(x):
        return sn.cond(x > 0, lambda x: sn.sqrt(x) + sn.log(x), lambda x: x * 2, x)

    xs = sn.tensor([4.0, 0.0, -1.0, 1.0])
    want = sn.stack([sn.grad(root)(x) for x in xs])
    assert np.isfinite(want.numpy()).all()
    same(sn.vmap(sn.grad(root))(xs), want)
    same(sn.grad(lambda xs: sn.vmap(root)(xs).sum())(xs), want)

    def shared(w, x):
        return sn.cond(x > 0, lambda x: sn.log(x) * w, lambda x: x * w, x)

    g = sn.grad(lambda w: sn.vmap(shared, in_dims=(None, 0))(w, xs).sum())(sn.tensor(2.0))
    assert g.item() == pytest.approx(np.log(4.0) + 0.0 - 1.0 + 0.0)


def test_a_loop_that_is_done_reaches_no_gradient():
    def f(x):
        return sn.while_loop(lambda c: c > 1.0, lambda c: sn.sqrt(c - 1.0), x, max_steps=9)

    xs = sn.tensor([1.0, 1.5, 3.0, 0.2, 9.0])
    want = sn.stack([sn.grad(f)(x) for x in xs])
    assert np.isfinite(want.numpy()).all()
    same(sn.vmap(f)(xs), sn.stack([f(x) for x in xs]))
    same(sn.vmap(sn.grad(f))(xs), want)
    same(sn.grad(lambda xs: sn.vmap(f)(xs).sum())(xs), want)


def test_an_empty_batch():
    assert sn.vmap(lambda x: a_cond(x, w0))(sn.zeros((0, 3))).shape == (0,)
    assert sn.vmap(lambda x: a_loop(x, w0))(sn.zeros((0, 3))).shape == (0,)
    assert sn.vmap(lambda x: a_scan(x, w0))(sn.zeros((0, 3))).shape == (0,)


def test_training_steps_through_control_flow():
    class Net(sn.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = sn.nn.Linear(6, 4)
            self.out = sn.nn.Linear(4, 1)

        def forward(self, xs):
            def step(h, x):
                new = sn.tanh(self.cell(sn.concat([x, h], axis=-1)))
                h = sn.cond(new.mean() > 0, lambda: new, lambda: new * 0.5 + h)
                return h, h

            h, hs = sn.scan(step, sn.zeros(xs.shape[1], 4), xs)
            return self.out(h + hs.mean(0))

    def made():
        sn.random.seed(1)
        net = Net()
        optimizer = sn.optim.Adam(net.parameters(), lr=0.05)

        def step(xs, y):
            loss = ((net(xs) - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return net, optimizer, step

    xs, y = rand(7, 5, 2), rand(5, 1, seed=1)
    net, _, step = made()
    want = [step(xs, y) for _ in range(8)]
    net2, optimizer2, step2 = made()
    graph = sn.trace(
        step2, sn.TensorSpec(("t", "n", 2)), sn.TensorSpec(("n", 1)), mutable=[net2, optimizer2]
    )
    same([graph(xs, y) for _ in range(8)], want)
    same(dict(net2.named_parameters()), dict(net.named_parameters()))
    assert want[-1].item() < want[0].item()


def test_gradients_that_cannot_be():
    spec = sn.TensorSpec((3,))
    endless = lambda x: sn.while_loop(lambda c: c.sum() < 9, lambda c: c * 2, x).sum()  # noqa: E731
    assert sn.grad(endless)(sn.ones(3)).tolist() == [4.0, 4.0, 4.0]  # line by line
    with pytest.raises(sn._core.GradError, match="max_steps"):
        sn.trace(sn.grad(endless), spec)
    noisy = lambda x: sn.scan(  # noqa: E731
        lambda c, r: (c * sn.random.normal(shape=()), r), x.sum(), x
    )[0]
    with pytest.raises(sn._core.GradError, match="random"):
        sn.trace(sn.grad(noisy), spec)


def test_random_numbers_under_vmap():
    noisy = lambda x: sn.cond(x > 0, lambda: x + sn.random.normal(shape=()), lambda: x)  # noqa: E731
    for randomness in ("same", "different"):
        with pytest.raises(sn._core.InvalidValue, match=r"cond.*random"):
            sn.vmap(noisy, randomness=randomness)(sn.ones(3))
    with pytest.raises(sn._core.InvalidValue, match="random"):
        sn.vmap(noisy)(sn.ones(3))
