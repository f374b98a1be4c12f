"""Mixture of experts, low-rank adaptation and convolutional LSTMs against their definitions."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn

rng = np.random.default_rng(0)


def array(p: Any) -> np.ndarray:
    return np.asarray(p.detach().numpy())


# ---- mixture of experts


def dense_mixture(layer: nn.MixtureOfExperts, x: np.ndarray, capacity: int | None) -> np.ndarray:
    """Token by token, expert by expert."""
    act = {"relu": nn.functional.relu, "gelu": nn.functional.gelu, "silu": nn.functional.silu}
    gates = {"swiglu": "silu", "geglu": "gelu", "reglu": "relu"}
    name = gates.get(layer.activation, layer.activation)
    logits = x @ array(layer.router.weight).T
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    best = np.argsort(-p, 1, kind="stable")[:, : layer.top_k]
    used = np.zeros(layer.num_experts, int)
    y = np.zeros_like(x)
    for k in range(layer.top_k):
        for i in range(len(x)):
            e = best[i, k]
            used[e] += 1
            if capacity is not None and used[e] > capacity:
                continue
            h = x[i] @ array(layer.w1)[e] + (0 if layer.b1 is None else array(layer.b1)[e, 0])
            h = act[name](sn.tensor(h)).numpy()
            if layer.w3 is not None:
                h = h * (x[i] @ array(layer.w3)[e])
            out = h @ array(layer.w2)[e] + (0 if layer.b2 is None else array(layer.b2)[e, 0])
            weight = p[i, e] / (p[i, best[i]].sum() if layer.normalize else 1)
            y[i] += weight * out
    return y


@pytest.mark.parametrize(
    "options",
    [
        {}, {"top_k": 1, "normalize": False}, {"capacity_factor": 0.6}, {"activation": "swiglu"},
        {"capacity_factor": 1.0, "activation": "relu", "bias": False}, {"top_k": 4},
        {"activation": "reglu", "bias": False},
    ],
)  # fmt: skip
def test_mixture(options: dict[str, Any]) -> None:
    layer = nn.MixtureOfExperts(6, 10, 4, dtype=sn.float64, **options)
    x = rng.normal(size=(23, 6))
    factor = options.get("capacity_factor")
    capacity = None if factor is None else int(np.ceil(factor * 23 * layer.top_k / 4))
    y = layer(sn.tensor(x))
    np.testing.assert_allclose(array(y), dense_mixture(layer, x, capacity), rtol=1e-9, atol=1e-12)
    assert layer(sn.tensor(x.reshape(23, 1, 6))).shape == (23, 1, 6)
    ((y**2).sum() + layer.aux_loss + layer.z_loss).backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())
    assert np.abs(layer.router.weight.grad.numpy()).sum() > 0


def test_mixture_is_copied_after_a_pass() -> None:
    layer, x = nn.MixtureOfExperts(4, 8, 3), sn.ones((5, 4))
    y = layer(x)
    twin = copy.deepcopy(layer)
    assert twin.aux_loss is None
    assert layer.aux_loss is not None
    assert (twin(x) == y).all().item()


def test_mixture_gradients() -> None:
    layer = nn.MixtureOfExperts(3, 4, 3, top_k=2, dtype=sn.float64)
    x = sn.tensor(rng.normal(size=(5, 3)), requires_grad=True)

    def loss(a: Any) -> Any:
        return (layer(a) ** 2).sum() + layer.aux_loss + layer.z_loss

    loss(x).backward()
    direction = rng.normal(size=(5, 3))
    h = 1e-6
    up, down = (loss(sn.tensor(array(x) + s * h * direction)).item() for s in (1, -1))
    np.testing.assert_allclose((x.grad.numpy() * direction).sum(), (up - down) / (2 * h), rtol=1e-5)


def test_router_losses_and_places() -> None:
    logits = rng.normal(size=(40, 5))
    routing = nn.top_k_routing(sn.tensor(logits), 2, capacity=9)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(routing.probabilities.numpy(), p, rtol=1e-12)
    experts, places = routing.experts.numpy(), routing.places.numpy()
    for e in range(5):
        own = np.sort(places[(experts == e) & (places < 9)])
        np.testing.assert_array_equal(own, np.arange(len(own)))  # each place once
    assert (routing.weights.numpy()[places == 9] == 0).all()
    part = np.bincount(experts.ravel(), minlength=5) / 80
    got = nn.load_balancing_loss(routing.probabilities, routing.experts).item()
    np.testing.assert_allclose(got, 5 * (part * p.mean(0)).sum(), rtol=1e-12)
    lse = np.log(np.exp(logits).sum(1))
    np.testing.assert_allclose(nn.router_z_loss(sn.tensor(logits)).item(), (lse**2).mean())
    free = nn.top_k_routing(sn.tensor(logits), 2)
    assert free.capacity == np.bincount(experts.ravel(), minlength=5).max()


def test_mixture_errors() -> None:
    for bad in ({"top_k": 5}, {"activation": "sine"}, {"capacity_factor": 0.0}, {"jitter": 1.0}):
        with pytest.raises(sn.InvalidValue):
            nn.MixtureOfExperts(6, 10, 4, **bad)
    with pytest.raises(sn.ShapeError, match="6"):
        nn.MixtureOfExperts(6, 10, 4)(sn.ones((3, 5)))
    with pytest.raises(sn.ShapeError, match="tokens, experts"):
        nn.top_k_routing(sn.ones(3), 1)
    with pytest.raises(sn.InvalidValue, match="capacity"):
        nn.top_k_routing(sn.ones((3, 2)), 1, capacity=0)
    assert nn.MixtureOfExperts(6, 10, 4)(sn.ones((0, 6))).shape == (0, 6)
    noisy = nn.MixtureOfExperts(6, 10, 4, jitter=0.3)
    x = sn.ones((4, 6))
    noisy.eval()
    assert (noisy(x) == noisy(x)).all().item()


# ---- low-rank adaptation


def layers() -> list[tuple[nn.Module, Any, Any]]:
    ids = sn.tensor(rng.integers(0, 9, (4, 5)))
    x = sn.tensor(rng.normal(size=(4, 6)))
    image = sn.tensor(rng.normal(size=(2, 3, 6, 7)))
    f64 = {"dtype": sn.float64}
    return [
        (nn.Linear(6, 5, **f64), nn.LoRALinear, x),
        (nn.Linear(6, 5, bias=False, **f64), nn.LoRALinear, x),
        (nn.Embedding(9, 6, **f64), nn.LoRAEmbedding, ids),
        (nn.Embedding(9, 6, padding_idx=2, **f64), nn.LoRAEmbedding, ids),
        (nn.Conv2d(3, 8, 3, padding=1, stride=2, **f64), nn.LoRAConv2d, image),
        (
            nn.Conv2d(3, 8, (3, 1), padding="same", padding_mode="reflect", bias=False, **f64),
            nn.LoRAConv2d, image,
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("which", range(6))
def test_low_rank_layers(which: int) -> None:
    base, kind, x = layers()[which]
    before, keys = array(base(x)), list(base.state_dict())
    weight = array(base.weight)
    layer = kind(base, r=2, lora_alpha=6.0)
    assert list(layer.state_dict()) == [*keys, "lora_A", "lora_B"]
    assert layer.scaling == 3.0
    np.testing.assert_array_equal(array(layer(x)), before)  # it starts as it was
    nn.init.normal_(layer.lora_A)
    nn.init.normal_(layer.lora_B)
    update = array(layer.lora_B) @ array(layer.lora_A) * 3.0
    update = update.T if kind is nn.LoRAEmbedding else update.reshape(weight.shape)
    if getattr(base, "padding_idx", None) is not None:
        update[base.padding_idx] = 0
    plain = copy.deepcopy(base)
    plain.weight.assign_(sn.tensor(weight + update))
    got = layer(x)
    np.testing.assert_allclose(array(got), array(plain(x)), rtol=1e-9, atol=1e-11)
    (got**2).sum().backward()
    trained = {n for n, p in layer.named_parameters() if p.grad is not None}
    assert trained == {"lora_A", "lora_B"}
    layer.merge()
    layer.merge()
    assert layer.merged
    np.testing.assert_allclose(array(layer(x)), array(plain(x)), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(array(layer.weight), weight + update, rtol=1e-12)
    layer.unmerge()
    np.testing.assert_array_equal(array(layer.weight), weight)
    assert not layer.merged
    assert "r=2" in repr(layer)
    twin = copy.deepcopy(layer)
    assert (twin(x) == layer(x)).all().item()


def test_a_model_with_adapters() -> None:
    sn.random.seed(0)
    model = nn.Sequential(
        nn.Embedding(9, 6), nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3)
    )
    x, y = sn.tensor(rng.integers(0, 9, (20, 2))), sn.tensor(rng.integers(0, 3, 20))
    before = {k: array(v) for k, v in model.state_dict().items()}
    outputs = model(x).detach()
    assert nn.add_lora(model, r=4, lora_dropout=0.1, targets=["2", "4"]) == ["2", "4"]
    assert isinstance(model[2], nn.LoRALinear)
    model.eval()
    assert (model(x) == outputs).all().item()
    model.train()
    optimizer = sn.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.03)
    for _ in range(150):
        loss = sn.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.6
    state = model.state_dict()
    for key, value in before.items():
        np.testing.assert_array_equal(array(state[key]), value, err_msg=key)
    part = nn.lora_state_dict(model)
    assert sorted(part) == ["2.lora_A", "2.lora_B", "4.lora_A", "4.lora_B"]
    # The adapter alone goes to another copy of the model.
    other = nn.Sequential(
        nn.Embedding(9, 6), nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3)
    )
    other.load_state_dict(before)
    nn.add_lora(other, r=4, targets=["2", "4"])
    other.load_state_dict(part, strict=False)
    model.eval()
    other.eval()
    assert (other(x) == model(x)).all().item()
    nn.merge_lora(other)
    np.testing.assert_allclose(array(other(x)), array(model(x)), rtol=1e-4, atol=1e-4)
    nn.unmerge_lora(other)
    assert (other(x) == model(x)).all().item()
    nn.mark_only_lora_as_trainable(model, "all")
    assert model[4].bias.requires_grad
    assert not model[0].weight.requires_grad
    nn.mark_only_lora_as_trainable(model, "none")
    assert not model[4].bias.requires_grad


def test_all_kinds_are_found() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten())
    model.add_module("q_proj", nn.Linear(8, 4))
    model.add_module("table", nn.Embedding(3, 4))
    assert nn.add_lora(model, r=1, lora_dropout=0.5) == ["0", "q_proj", "table"]
    with pytest.raises(sn.InvalidValue, match="name no Linear"):
        nn.add_lora(nn.Sequential(nn.Linear(2, 2)), targets=["k_proj"])
    with pytest.raises(sn.InvalidValue, match="groups"):
        nn.LoRAConv2d(nn.Conv2d(4, 4, 3, groups=2))
    with pytest.raises(sn.InvalidValue, match="r is 0"):
        nn.LoRALinear(nn.Linear(2, 2), r=0)
    with pytest.raises(sn.InvalidValue, match="no input"):
        nn.LoRAEmbedding(nn.Embedding(2, 2), lora_dropout=0.1)
    with pytest.raises(sn.InvalidValue, match="bias is"):
        nn.mark_only_lora_as_trainable(model, "some")


# ---- convolutional LSTM


def test_conv_lstm_with_one_pixel_is_an_lstm() -> None:
    lstm = nn.LSTM(3, 5, dtype=sn.float64)
    conv = nn.ConvLSTM(3, 5, 1, dtype=sn.float64)
    cell = conv.cells[0]
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        own = getattr(cell, name)
        own.assign_(getattr(lstm, name + "_l0").detach().reshape(own.shape))
    x = sn.tensor(rng.normal(size=(6, 2, 3)))
    h0, c0 = (sn.tensor(rng.normal(size=(1, 2, 5))) for _ in range(2))
    y, (h, c) = lstm(x, (h0, c0))
    z, (i, d) = conv(x[..., None, None], (h0[..., None, None], c0[..., None, None]))
    for a, b in ((y, z), (h, i), (c, d)):
        np.testing.assert_allclose(array(b)[..., 0, 0], array(a), rtol=1e-9, atol=1e-12)
    assert (conv(x[..., None, None])[0] == conv(x[..., None, None], None)[0]).all().item()


@pytest.mark.oracle
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_conv_lstm_against_pytorch_ops(torch: Any, bias: bool, dims: int) -> None:
    size = (4, 3, 2)[:dims]
    layer = nn.ConvLSTM(2, 3, 3, num_layers=2, bias=bias, dims=dims, dtype=sn.float64)
    x = rng.normal(size=(4, 2, 2, *size))
    z = sn.tensor(x, requires_grad=True)
    y, (h, c) = layer(z)
    convolve = getattr(torch.nn.functional, f"conv{dims}d")
    t = torch.tensor(x, requires_grad=True)
    rows, last = list(t), []
    for cell in layer.cells:
        w = {k: torch.tensor(array(v)) for k, v in cell.state_dict().items()}
        a = b = torch.zeros(2, 3, *size, dtype=torch.float64)
        out = []
        for row in rows:
            g = convolve(row, w["weight_ih"], w.get("bias_ih"), padding=1)
            g = g + convolve(a, w["weight_hh"], w.get("bias_hh"), padding=1)
            i, f, u, o = g.chunk(4, 1)
            b = f.sigmoid() * b + i.sigmoid() * u.tanh()
            a = o.sigmoid() * b.tanh()
            out.append(a)
        rows = out
        last.append((a, b))
    expected = torch.stack(rows)
    np.testing.assert_allclose(array(y), expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(array(h)[1], last[1][0].detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(array(c)[0], last[0][1].detach().numpy(), rtol=1e-9, atol=1e-12)
    weight = rng.normal(size=y.shape)
    (y * sn.tensor(weight)).sum().backward()
    (expected * torch.tensor(weight)).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), t.grad.numpy(), rtol=1e-8, atol=1e-11)
    first = nn.ConvLSTM(2, 3, 3, batch_first=True, dims=dims)
    assert first(sn.ones((2, 4, 2, *size)))[0].shape == (2, 4, 3, *size)


def test_conv_lstm_cell_and_errors() -> None:
    cell = nn.ConvLSTMCell(2, 3, (3, 5))
    x = sn.random.normal(shape=(2, 2, 4, 6))
    pair = cell(x)
    h, c = cell(x, pair)
    assert h.shape == c.shape == (2, 3, 4, 6)
    zeros = sn.zeros((2, 3, 4, 6))
    np.testing.assert_allclose(array(cell(x, (zeros, zeros))[0]), array(pair[0]), atol=1e-6)
    with pytest.raises(sn.ShapeError, match="state h"):
        cell(x, (h[:1], c))
    with pytest.raises(sn.ShapeError, match="2 channels"):
        cell(sn.ones((2, 3, 4, 6)))
    with pytest.raises(sn.InvalidValue, match="odd"):
        nn.ConvLSTM(2, 3, 4)
    with pytest.raises(sn.InvalidValue, match="dims"):
        nn.ConvLSTM(2, 3, 3, dims=4)
    with pytest.raises(sn.ShapeError, match="one step"):
        nn.ConvLSTM(2, 3, 3)(sn.ones((0, 1, 2, 4, 4)))
