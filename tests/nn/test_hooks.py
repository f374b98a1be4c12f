"""Hooks of modules, against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import sennit as sn
from sennit import nn


def build(lib, net):
    class Net(lib.Module):
        def __init__(self):
            super().__init__()
            self.a = lib.Linear(3, 4)
            self.b = lib.Linear(4, 2)

        def forward(self, x, scale=1.0):
            return self.b(self.a(x) * scale)

    return Net()


@pytest.fixture
def pair(torch):
    ours, theirs = build(nn, None), build(torch.nn, None)
    theirs.load_state_dict(
        {k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()}
    )
    return ours, theirs, torch


def numbers(x):
    if isinstance(x, (tuple, list)):
        return [numbers(i) for i in x]
    return None if x is None else np.round(np.asarray(x.detach().numpy(), np.float64), 4).tolist()


def drive(net, x, attach):
    events = []
    handles = attach(net, events)
    y = net(x)
    y.sum().backward()
    grads = [numbers(p.grad) for p in net.parameters()]
    for h in handles:
        h.remove()
    count = len(events)
    net(x).sum().backward()
    assert len(events) == count, "removed hooks are called"
    return events, grads, numbers(x.grad)


def backward_hooks(net, events):
    def full(name):
        return lambda m, gi, go: events.append((name, type(m).__name__, numbers(gi), numbers(go)))

    def pre(m, go):
        events.append(("pre", numbers(go)))
        return (go[0] * 2,)

    def change(m, gi, go):
        events.append(("change", numbers(gi), numbers(go)))
        return (gi[0] * 3,)

    return [
        net.register_full_backward_hook(full("net")),
        net.a.register_full_backward_hook(full("a")),
        net.b.register_full_backward_hook(full("b")),
        net.b.register_full_backward_hook(change),
        net.b.register_full_backward_hook(full("first"), prepend=True),
        net.b.register_full_backward_pre_hook(pre),
    ]


def forward_hooks(net, events):
    def pre(m, args, kwargs):
        events.append(("pre", numbers(args), sorted(kwargs)))
        return (args[0] * 2,), {"scale": 0.5}

    def post(m, args, kwargs, out):
        events.append(("post", numbers(args), sorted(kwargs), numbers(out)))
        return out + 1

    return [
        net.register_forward_pre_hook(pre, with_kwargs=True),
        net.register_forward_pre_hook(lambda m, a: (a[0] + 1,), prepend=True),
        net.register_forward_hook(post, with_kwargs=True),
        net.register_forward_hook(lambda m, a, o: events.append(numbers(o)), prepend=True),
    ]


@pytest.mark.parametrize("attach", [backward_hooks, forward_hooks])
@pytest.mark.parametrize("needs", [True, False])
def test_against_torch(pair, attach, needs):
    ours, theirs, torch = pair
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    a = sn.asarray(x)
    a.requires_grad = needs
    b = torch.from_numpy(x.copy()).requires_grad_(needs)
    assert drive(ours, a, attach) == drive(theirs, b, attach)


def test_always_called():
    events = []

    class Bad(nn.Module):
        def forward(self, x):
            raise RuntimeError("no")

    m = Bad()
    m.register_forward_hook(lambda m, a, o: events.append(o), always_call=True)
    m.register_forward_hook(lambda m, a, o: events.append("not this"))
    with pytest.raises(RuntimeError, match="no"):
        m(sn.ones(1))
    assert events == [None]


def test_mistakes():
    layer = nn.Linear(2, 2)
    bad = layer.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True)
    with bad, pytest.raises(sn.InvalidType, match=r"\(args, kwargs\)"):
        layer(sn.ones((1, 2)))
    with layer.register_full_backward_hook(lambda m, gi, go: (None, None)):
        y = layer(sn.ones((1, 2), requires_grad=True))
        with pytest.raises(sn.GradError, match="2 gradients where 1"):
            y.sum().backward()
    assert layer(sn.ones((1, 2))).shape == (1, 2)


def test_hooks_inside_of_transforms():
    layer, seen = nn.Linear(3, 2), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append(go[0].shape))
    x = sn.random.normal(shape=(4, 3))
    got = sn.vmap(sn.grad(lambda x: (layer(x) ** 2).sum()))(x)
    layer._hooks = ()
    assert (got == sn.vmap(sn.grad(lambda x: (layer(x) ** 2).sum()))(x)).all()
    assert seen == [(2,)]
