"""Activations, embeddings and initial values against PyTorch, and positions against formulae."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn

oracle = pytest.mark.oracle
rng = np.random.default_rng(0)
F = nn.functional

ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [
    ("CELU", {"alpha": 0.7}), ("ELU", {"alpha": 1.3}), ("GELU", {}),
    ("GELU", {"approximate": "tanh"}),
    ("GLU", {"dim": -1}), ("GLU", {"dim": 1}), ("Hardshrink", {"lambd": 0.3}), ("Hardsigmoid", {}),
    ("Hardswish", {}), ("Hardtanh", {"min_val": -0.4, "max_val": 0.9}), ("LeakyReLU", {}),
    ("LogSigmoid", {}), ("LogSoftmax", {"dim": 1}), ("Mish", {}), ("ReLU", {}), ("ReLU6", {}),
    ("SELU", {}), ("SiLU", {}), ("Sigmoid", {}), ("Softmax", {"dim": 0}), ("Softmax2d", {}),
    ("Softmin", {"dim": 2}), ("Softplus", {}), ("Softplus", {"beta": 3.0, "threshold": 2.0}),
    ("Softshrink", {"lambd": 0.3}), ("Softsign", {}), ("Tanh", {}), ("Tanhshrink", {}),
    ("Threshold", {"threshold": 0.2, "value": -1.5}), ("PReLU", {}),
    ("PReLU", {"num_parameters": 4}),
]  # fmt: skip


@oracle
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), ACTIVATIONS, ids=str)
def test_activation(torch: Any, name: str, options: dict, dtype: str) -> None:
    theirs, ours = getattr(torch.nn, name)(**options), getattr(nn, name)(**options)
    if dtype == "float64":
        theirs, ours = theirs.double(), ours.to(sn.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    data = (rng.standard_normal((2, 4, 6, 8)) * 2).astype(dtype)
    x, z = torch.tensor(data, requires_grad=True), sn.tensor(data, requires_grad=True)
    a, b = theirs(x), ours(z)
    rtol, atol = (1e-5, 2e-6) if dtype == "float32" else (1e-9, 1e-12)
    if name in ("CELU", "Hardsigmoid"):
        rtol = max(rtol, 1e-6)  # PyTorch keeps 1 / alpha and 1 / 6 in float32
    np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol, atol)
    w = rng.standard_normal(b.shape).astype(dtype)
    a.backward(torch.tensor(w))
    b.backward(sn.tensor(w))
    np.testing.assert_allclose(z.grad.numpy(), x.grad.numpy(), rtol, atol * 4)


def test_every_activation_of_torch_is_there() -> None:
    torch = pytest.importorskip("torch")
    missing = [n for n in torch.nn.modules.activation.__all__ if not hasattr(nn, n)]
    assert not missing


@pytest.mark.parametrize(
    ("name", "gate"), [("SwiGLU", F.silu), ("GeGLU", F.gelu), ("ReGLU", F.relu), ("GLU", F.sigmoid)]
)
def test_gated_units(name: str, gate: Any) -> None:
    x = sn.random.normal(shape=(3, 8, 4))
    for dim in (-1, 1):
        a, b = sn.chunk(x, 2, dim)
        assert (getattr(nn, name)(dim)(x) == a * gate(b)).all().item()
    with pytest.raises(sn.ShapeError, match="even size"):
        getattr(nn, name)(0)(x)


def test_rrelu() -> None:
    layer = nn.RReLU(0.1, 0.5)
    x = sn.tensor(np.concatenate([-np.ones(2000), np.ones(10)]), requires_grad=True)
    y = layer(x)
    slopes = -y.detach().numpy()[:2000]
    assert slopes.min() >= 0.1
    assert slopes.max() < 0.5
    assert abs(slopes.mean() - 0.3) < 0.01
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy()[:2000], slopes)
    assert (y[2000:] == 1).all().item()
    layer.eval()
    np.testing.assert_allclose(layer(x).detach().numpy()[:2000], -0.3)
    with pytest.raises(sn.InvalidValue, match="lower"):
        F.rrelu(x, 0.5, 0.1)


def test_gumbel_softmax() -> None:
    sn.random.seed(3)
    p = np.array([0.2, 0.5, 0.3])
    logits = sn.tensor(np.tile(np.log(p), (20000, 1)), requires_grad=True)
    y = F.gumbel_softmax(logits, tau=0.5, hard=True)
    assert sorted(set(y.detach().numpy().ravel().round(9))) == [0.0, 1.0]
    np.testing.assert_allclose(y.detach().numpy().mean(0), p, atol=0.015)
    (y * sn.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert np.abs(logits.grad.numpy()).sum() > 0
    soft = F.gumbel_softmax(logits, dim=0)
    np.testing.assert_allclose(soft.detach().numpy().sum(0), 1.0)
    with pytest.raises(sn.InvalidValue, match="tau"):
        F.gumbel_softmax(logits, tau=0)


# ---- embeddings


def bags(kind: str) -> tuple[np.ndarray, np.ndarray | None]:
    if kind == "rows":
        return rng.integers(0, 7, (4, 5)), None
    index = rng.integers(0, 7, 11)
    # The second bag is empty, and so is the last.
    return index, np.array([0, 3, 3, 8, 11] if kind == "offsets" else [0, 3, 3, 8, 11, 11])


BAGS = [
    (mode, kind, padding, weights, freq, norm)
    for mode, kind, padding, weights, freq, norm in itertools.product(
        ("sum", "mean", "max"), ("rows", "offsets", "last"), (None, 2), (False, True),
        (False, True), (None, 1.2),
    )
    if (not weights or mode == "sum") and not (freq and mode == "max")
]  # fmt: skip


@oracle
@pytest.mark.parametrize("case", BAGS, ids=str)
def test_embedding_bag(torch: Any, case: tuple) -> None:
    mode, kind, padding, weighted, freq, norm = case
    options = {
        "mode": mode, "padding_idx": padding, "max_norm": norm,
        "include_last_offset": kind == "last",
    }  # fmt: skip
    # PyTorch's scale_grad_by_freq divides by the wrong counts: a row that is looked up once gets a
    # third of its gradient when others come before it. So gradients are divided here.
    theirs = torch.nn.EmbeddingBag(7, 3, dtype=torch.float64, **options)
    ours = nn.EmbeddingBag(7, 3, dtype=sn.float64, scale_grad_by_freq=freq, **options)
    if padding is not None:
        assert not ours.weight[padding].detach().numpy().any()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    index, offsets = bags(kind)
    weights = rng.standard_normal(index.shape) if weighted else None

    def call(lib: Any, layer: Any) -> tuple[Any, Any]:
        w = None if weights is None else lib.tensor(weights, requires_grad=True)
        o = None if offsets is None else lib.tensor(offsets)
        return layer(lib.tensor(index), o, w), w

    (a, wa), (b, wb) = call(torch, theirs), call(sn, ours)
    np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), 1e-6, 1e-12)
    np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), 1e-6)
    g = rng.standard_normal(b.shape)
    a.backward(torch.tensor(g))
    b.backward(sn.tensor(g))
    expected = theirs.weight.grad.numpy()
    if freq:
        expected = expected / np.maximum(np.bincount(index.ravel(), minlength=7), 1)[:, None]
    np.testing.assert_allclose(ours.weight.grad.numpy(), expected, 1e-6, 1e-12)
    if weighted:
        np.testing.assert_allclose(wb.grad.numpy(), wa.grad.numpy(), 1e-6, 1e-9)


def test_embedding_bag_errors() -> None:
    table, index = sn.ones((4, 2)), sn.tensor([0, 1, 2])
    bag = F.embedding_bag
    with pytest.raises(sn.ShapeError, match="offsets"):
        bag(index, table)
    with pytest.raises(sn.ShapeError, match="offsets"):
        bag(index[None], table, sn.tensor([0]))
    with pytest.raises(sn.InvalidValue, match="not descend"):
        bag(index, table, sn.tensor([0, 2, 1]))
    with pytest.raises(sn.InvalidValue, match="begin with 0"):
        bag(index, table, sn.tensor([1]))
    with pytest.raises(sn.InvalidValue, match="number of indices"):
        bag(index, table, sn.tensor([0, 2]), include_last_offset=True)
    with pytest.raises(sn.InvalidValue, match="mode 'sum'"):
        bag(index, table, sn.tensor([0]), per_sample_weights=sn.ones(3))
    with pytest.raises(sn.InvalidValue, match="mode"):
        bag(index, table, sn.tensor([0]), mode="median")
    with pytest.raises(sn.IndexOutOfRange):
        bag(sn.tensor([9]), table, sn.tensor([0])).numpy()
    assert bag(index[:0], table, sn.tensor([0, 0]), mode="max").tolist() == [[0.0, 0.0]] * 2


@oracle
@pytest.mark.parametrize("padding", [None, 2, -1])
@pytest.mark.parametrize("norm", [None, 1.0])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf")])
@pytest.mark.parametrize("freq", [False, True])
def test_embedding(torch: Any, padding: Any, norm: Any, norm_type: float, freq: bool) -> None:
    options = {
        "padding_idx": padding, "max_norm": norm, "norm_type": norm_type,
        "scale_grad_by_freq": freq,
    }  # fmt: skip
    theirs = torch.nn.Embedding(7, 3, dtype=torch.float64, **options)
    ours = nn.Embedding(7, 3, dtype=sn.float64, **options)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    index = rng.integers(0, 7, (4, 5))
    a, b = theirs(torch.tensor(index)), ours(sn.tensor(index))
    np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), 1e-6)
    g = rng.standard_normal(b.shape)
    a.backward(torch.tensor(g))
    b.backward(sn.tensor(g))
    np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), 1e-6, 1e-12)


# ---- positions


@pytest.mark.parametrize("d", [6, 7])
def test_sinusoidal(d: int) -> None:
    p, i = np.arange(5, 25)[:, None], np.arange(d)[None]
    angle = p / 10000.0 ** (2 * (i // 2) / d)
    expected = np.where(i % 2 == 0, np.sin(angle), np.cos(angle))
    layer = nn.SinusoidalPositionalEncoding(d)
    np.testing.assert_allclose(layer.encoding(20, 5).numpy(), expected, atol=2e-6)
    x = sn.random.normal(shape=(2, 20, d))
    np.testing.assert_allclose(layer(x, 5).numpy(), x.numpy() + expected, atol=2e-6)
    turned = nn.SinusoidalPositionalEncoding(d, batch_first=False)(x.swapaxes(0, 1), 5)
    assert (turned.swapaxes(0, 1) == layer(x, 5)).all().item()
    assert layer(x.astype(sn.float16)).dtype == sn.float16
    with pytest.raises(sn.ShapeError, match="length"):
        layer(sn.ones((3, d + 1)))


def test_learned_positions() -> None:
    layer = nn.LearnedPositionalEmbedding(10, 4)
    x = sn.zeros((2, 3, 4))
    assert (layer(x, 5)[1] == layer.weight[5:8]).all().item()
    assert abs(layer.weight.detach().numpy().std() - 0.02) < 0.01
    with pytest.raises(sn.IndexOutOfRange, match="there are 10"):
        layer(x, 8)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary(interleaved: bool) -> None:
    dim, length = 6, 9
    x = rng.standard_normal((2, 3, length, 8))
    rope = nn.RotaryEmbedding(dim, base=500.0, interleaved=interleaved)
    y = rope(sn.tensor(x), offset=4).numpy()
    angle = (np.arange(4, 4 + length)[:, None]) / 500.0 ** (2 * np.arange(3) / dim)
    turn = np.exp(1j * angle)
    pairs = (x[..., 0:6:2], x[..., 1:6:2]) if interleaved else (x[..., :3], x[..., 3:6])
    z = (pairs[0] + 1j * pairs[1]) * turn
    got = (y[..., 0:6:2], y[..., 1:6:2]) if interleaved else (y[..., :3], y[..., 3:6])
    np.testing.assert_allclose(got[0], z.real, atol=1e-6)
    np.testing.assert_allclose(got[1], z.imag, atol=1e-6)
    np.testing.assert_array_equal(y[..., 6:], x[..., 6:])
    # Products depend on the distance only.
    full = nn.RotaryEmbedding(8, interleaved=interleaved)
    q, k = sn.tensor(x[0, 0, :1]), sn.tensor(x[0, 0, 1:2])
    near = (full(q, 3) * full(k, 1)).sum().item()
    far = (full(q, 103) * full(k, 101)).sum().item()
    assert abs(near - far) < 1e-4
    halved = nn.RotaryEmbedding(dim, interleaved=interleaved, scale=2.0)
    plain = nn.RotaryEmbedding(dim, interleaved=interleaved)
    a = halved(sn.tensor(x), positions=sn.arange(0, 2 * length, 2))
    assert (a == plain(sn.tensor(x))).all().item()
    with pytest.raises(sn.InvalidValue, match="even"):
        nn.RotaryEmbedding(5)
    with pytest.raises(sn.ShapeError, match="pairs"):
        rope(sn.ones((3, 4)))


def test_alibi() -> None:
    assert nn.ALiBi(4).slopes.tolist() == [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8]

    # The paper's rule for other numbers of heads, written as in its program.
    def rule(n: int) -> list[float]:
        if math.log2(n).is_integer():
            start = 2 ** (-(2 ** -(math.log2(n) - 3)))
            return [start * start**i for i in range(n)]
        near = 2 ** math.floor(math.log2(n))
        return rule(near) + rule(2 * near)[0::2][: n - near]

    for heads in (1, 2, 3, 6, 8, 12, 16):
        np.testing.assert_allclose(nn.ALiBi(heads).slopes.numpy(), rule(heads), rtol=1e-6)
    bias = nn.ALiBi(2)(2, 5, offset=3).numpy()
    assert bias[1].tolist()[0] == [v * 2.0**-8 for v in (-3, -2, -1, 0)] + [-np.inf]
    both = nn.ALiBi(2, causal=False)(3).numpy()
    np.testing.assert_array_equal(both[0], both[0].T)
    assert not nn.ALiBi(2).state_dict()


@oracle
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("count", "longest"), [(32, 128), (20, 77), (8, 50)])
def test_t5_buckets(torch: Any, bidirectional: bool, count: int, longest: int) -> None:
    distance = np.arange(-300, 301)
    side = np.zeros_like(distance)
    n = count
    d = torch.tensor(distance)
    if bidirectional:
        n //= 2
        side = (distance > 0) * n
        d = d.abs()
    else:
        d = torch.clamp(-d, min=0)
    exact = n // 2
    far = exact + (
        torch.log(d.double() / exact) / math.log(longest / exact) * (n - exact) + 1e-9
    ).clamp(min=-1e6).to(torch.int64)
    expected = torch.where(d < exact, d, torch.clamp(far, max=n - 1)).numpy() + side
    layer = nn.RelativePositionBias(3, count, longest, bidirectional)
    np.testing.assert_array_equal(layer.buckets(sn.tensor(distance)).numpy(), expected)
    assert list(layer.state_dict()) == ["relative_attention_bias.weight"]
    bias = layer(4, 9, offset=5)
    assert bias.shape == (3, 4, 9)
    table = layer.relative_attention_bias.weight
    at = layer.buckets(sn.tensor([8 - 6])).item()
    assert bias[2, 1, 8].item() == table[at, 2].item()


# ---- initial values


@oracle
@pytest.mark.parametrize("shape", [(6, 2, 3), (4, 6, 3, 4), (6, 3, 2, 3, 5), (2, 5, 1)])
@pytest.mark.parametrize("groups", [1, 2])
def test_dirac(torch: Any, shape: tuple, groups: int) -> None:
    ours = nn.init.dirac_(sn.ones(shape), groups).numpy()
    theirs = torch.nn.init.dirac_(torch.ones(shape), groups).numpy()
    np.testing.assert_array_equal(ours, theirs)


def test_sparse() -> None:
    w = nn.init.sparse_(sn.empty((50, 40)), 0.33, std=2.0).numpy()
    assert ((w == 0).sum(0) == 17).all()
    assert len({tuple(c) for c in (w == 0).T}) > 30
    assert abs(w[w != 0].std() - 2.0) < 0.15
    for bad in (
        lambda: nn.init.sparse_(sn.empty(3), 0.5),
        lambda: nn.init.dirac_(sn.empty((3, 3))),
    ):
        with pytest.raises(sn.ShapeError):
            bad()
    with pytest.raises(sn.InvalidValue, match="between 0 and 1"):
        nn.init.sparse_(sn.empty((3, 3)), 1.5)


@oracle
def test_every_initialiser_of_torch_is_there(torch: Any) -> None:
    wanted = [n for n in dir(torch.nn.init) if n.endswith("_") and n[0] != "_"]
    assert not [n for n in [*wanted, "calculate_gain"] if not hasattr(nn.init, n)]
