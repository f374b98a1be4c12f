"""Modules: registration, walking, state, hooks, modes, copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import sennit as sn
from sennit import nn


class Net(nn.Module):
    def __init__(self) -> None:
        self.a = nn.Linear(4, 3)
        self.blocks = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])
        self.norm = nn.BatchNorm1d(3)
        self.scale = nn.Parameter(sn.ones(3))
        self.register_buffer("shift", sn.zeros(3))
        self.register_buffer("cache", sn.zeros(1), persistent=False)

    def forward(self, x: sn.Tensor) -> sn.Tensor:
        x = self.a(x)
        for block in self.blocks:
            x = block(x).relu()
        return self.norm(x) * self.scale + self.shift


def same(a: sn.Tensor, b: sn.Tensor) -> bool:
    return bool(np.array_equal(a.detach().numpy(), b.detach().numpy()))


def test_names_and_keys() -> None:
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale",
        "a.weight",
        "a.bias",
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.weight",
        "blocks.1.bias",
        "norm.weight",
        "norm.bias",
    ]
    assert "cache" not in net.state_dict()
    assert "norm.num_batches_tracked" in net.state_dict()
    assert [n for n, _ in net.named_buffers()][:2] == ["shift", "cache"]
    assert [n for n, _ in net.named_children()] == ["a", "blocks", "norm"]
    assert net.get_submodule("blocks.1") is net.blocks[1]
    assert net.get_parameter("a.weight") is net.a.weight
    assert len(list(net.modules())) == 6


@pytest.mark.oracle
def test_state_dict_keys_are_those_of_torch(torch) -> None:  # type: ignore[no-untyped-def]
    t = torch.nn
    theirs = t.Sequential(
        t.Conv2d(1, 4, 3), t.BatchNorm2d(4), t.Sequential(t.Linear(4, 4), t.LayerNorm(4)),
        t.Embedding(5, 4), t.PReLU(), t.GroupNorm(2, 4), t.ConvTranspose2d(4, 2, 2),
    )  # fmt: skip
    ours = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)),
        nn.Embedding(5, 4), nn.PReLU(), nn.GroupNorm(2, 4), nn.ConvTranspose2d(4, 2, 2),
    )  # fmt: skip
    expected = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in ours.state_dict().items()} == expected
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    assert np.array_equal(ours[0].weight.detach().numpy(), theirs[0].weight.detach().numpy())


def test_state_dict_is_a_snapshot() -> None:
    net = Net()
    before = net.state_dict()
    kept = before["a.weight"].numpy().copy()
    with sn.no_grad():
        net.a.weight += 1
    assert np.array_equal(before["a.weight"].numpy(), kept)
    net.load_state_dict(before)
    assert np.array_equal(net.a.weight.detach().numpy(), kept)
    assert net.a.weight.requires_grad and net.a.weight.is_leaf


def test_load_is_strict_and_all_or_nothing() -> None:
    net, state = Net(), Net().state_dict()
    before = net.state_dict()
    broken = dict(state)
    del broken["a.bias"]
    broken["extra"] = sn.zeros(1)
    broken["norm.weight"] = sn.zeros(7)
    with pytest.raises(sn.InvalidValue) as caught:
        net.load_state_dict(broken)
    for part in ("missing: a.bias", "unexpected: extra", "norm.weight has shape (7,)", "(3,)"):
        assert part in str(caught.value)
    assert all(same(before[k], v) for k, v in net.state_dict().items())
    broken["norm.weight"] = state["norm.weight"]
    result = net.load_state_dict(broken, strict=False)
    assert result.missing_keys == ["a.bias"] and result.unexpected_keys == ["extra"]
    assert same(net.a.weight, state["a.weight"])


def test_shared_parameters_count_once() -> None:
    shared = nn.Linear(3, 3)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    assert len(list(net.parameters())) == 2
    assert len(net.state_dict()) == 4
    twin = copy.deepcopy(net)
    assert twin[0] is twin[2]


def test_assignment_rules() -> None:
    net = Net()
    with pytest.raises(sn.InvalidType, match=r"sn\.nn\.Parameter"):
        net.scale = sn.ones(3)
    with pytest.raises(sn.InvalidType, match=r"sn\.nn\.Module"):
        net.a = 3
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    net.scale = nn.Parameter(sn.zeros(3))
    assert "scale" in dict(net.named_parameters())
    net.shift = sn.ones(3)
    assert net.state_dict()["shift"].tolist() == [1.0, 1.0, 1.0]
    del net.scale
    with pytest.raises(AttributeError, match="scale"):
        _ = net.scale
    with pytest.raises(sn.InvalidValue, match="dots"):
        net.register_buffer("a.b", sn.zeros(1))
    with pytest.raises(sn.InvalidValue, match="attribute already"):
        net.register_parameter("forward", nn.Parameter(sn.zeros(1)))
    net.later = None
    net.later = nn.ReLU()
    assert "later" in dict(net.named_children())


def test_hooks() -> None:
    layer, seen = nn.Linear(2, 2), []
    first = layer.register_forward_pre_hook(lambda m, args: seen.append("pre"))
    second = layer.register_forward_hook(lambda m, args, out: out * 0)
    assert layer(sn.ones((1, 2))).tolist() == [[0.0, 0.0]]
    assert seen == ["pre"]
    first.remove()
    first.remove()
    assert layer._hooks
    second.remove()
    assert not layer._hooks
    assert layer(sn.ones((1, 2))).tolist() != [[0.0, 0.0]]


def test_modes_and_gradients() -> None:
    net = Net()
    assert net.eval() is net
    assert not net.norm.training and not net.blocks[0].training
    net.train()
    assert net.norm.training
    net(sn.random.normal(shape=(5, 4))).sum().backward()
    assert net.a.weight.grad is not None
    net.zero_grad(set_to_none=False)
    assert net.a.weight.grad.abs().sum().item() == 0
    net.zero_grad()
    assert net.a.weight.grad is None
    net.requires_grad_(False)
    assert not net(sn.ones((5, 4))).requires_grad


def test_conversion_keeps_identity_and_training() -> None:
    net = Net()
    weight = net.a.weight
    net.double()
    assert net.a.weight is weight and weight.dtype == sn.float64
    assert weight.requires_grad and weight.is_leaf
    assert net.norm.num_batches_tracked.dtype == sn.int64
    net(sn.ones((5, 4), dtype=sn.float64)).sum().backward()
    assert weight.grad.dtype == sn.float64
    net.float()
    assert weight.grad.dtype == sn.float32
    with pytest.raises(sn.DTypeError):
        net.to(sn.int32)


def test_copies_and_pickles() -> None:
    net = Net()
    x = sn.random.normal(shape=(5, 4))
    net.eval()
    expected = net(x)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert same(twin(x), expected)
        assert isinstance(twin.a.weight, nn.Parameter) and twin.a.weight.requires_grad
        with sn.no_grad():
            twin.a.weight += 1
    assert same(net(x), expected)


def test_containers() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert isinstance(net[-1], nn.Linear) and len(net[:2]) == 2 and len(net) == 3
    net.insert(1, nn.Tanh())
    assert [type(m).__name__ for m in net] == ["Linear", "Tanh", "ReLU", "Linear"]
    del net[1]
    net[1] = nn.Sigmoid()
    net.append(nn.Flatten())
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    with pytest.raises(sn.IndexOutOfRange):
        _ = net[9]
    named = nn.Sequential({"first": nn.Linear(2, 2), "second": nn.ReLU()})
    assert list(named.state_dict()) == ["first.weight", "first.bias"]
    table = nn.ModuleDict({"a": nn.ReLU()})
    table["b"] = nn.Linear(1, 1)
    assert list(table) == ["a", "b"] and "b" in table and len(table) == 2
    del table["a"]
    assert list(table.keys()) == ["b"]
    with pytest.raises(KeyError):
        _ = table["a"]


def test_errors_name_the_module_path() -> None:
    net = Net()
    with pytest.raises(sn.SennitError) as caught:
        net(sn.ones((5, 7)))
    assert "Net.a" in str(caught.value)
    assert "test_module.py" in str(caught.value)


def test_repr_and_forward_missing() -> None:
    assert repr(nn.Sequential(nn.Linear(2, 1, bias=False), nn.Sequential(nn.GELU("tanh")))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=1, bias=False)\n"
        "  (1): Sequential(\n"
        "    (0): GELU(approximate='tanh')\n"
        "  )\n"
        ")"
    )
    with pytest.raises(NotImplementedError, match="Module"):
        nn.Module()(1)


def test_summary() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, groups=1), nn.BatchNorm2d(4), nn.Flatten(),
                        nn.Linear(4 * 36, 10))  # fmt: skip
    net.train()
    made = sn.summary(net, (2, 1, 8, 8))
    assert made.rows[0]["output_shape"] == (2, 4, 6, 6)
    assert made.rows[0]["multiply_adds"] == 2 * 4 * 36 * 9
    assert made.parameters == sum(p.size for p in net.parameters())
    assert "multiply-adds" in str(made)
    assert net.training and net[1].num_batches_tracked.item() == 0
    up = sn.summary(nn.ConvTranspose2d(4, 2, 2, stride=2), (1, 4, 5, 5))
    assert up.multiply_adds == 4 * 25 * 4 * 2
    with pytest.raises(sn.InvalidType):
        sn.summary(3, (1,))
