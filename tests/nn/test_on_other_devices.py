"""Layers, losses and metrics on the reference device: all stays there, with the same bits.

SENNIT_TEST_DEVICE names another device."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import metrics, nn

DEVICE = os.environ.get("SENNIT_TEST_DEVICE", "reference")
rng = np.random.default_rng(0)
F = nn.functional


def floats(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def ids(n: int, *shape: int) -> np.ndarray:
    return rng.integers(0, n, shape)


EDGES = np.array([[0, 1, 1, 2], [1, 2, 1, 0]])


def decode(layer: Any, x: Any) -> Any:
    cache = nn.KVCache(6)
    return sn.concat([layer(x[:, :3], cache), layer(x[:, 3:], cache)], 1)


# What makes the layer or function, and its operands; a function may take the layer first.
CASES: dict[str, tuple[Callable[[], Any], list[np.ndarray]]] = {
    "embedding bag": (lambda: nn.EmbeddingBag(7, 3), [ids(7, 8), np.array([0, 3, 5])]),
    "bag, max": (
        lambda: nn.EmbeddingBag(7, 3, mode="max", padding_idx=1), [ids(7, 8), np.array([0, 3, 3])],
    ),
    "embedding": (
        lambda: nn.Embedding(7, 3, max_norm=1.0, scale_grad_by_freq=True), [ids(7, 8)],
    ),
    "sines": (lambda: nn.SinusoidalPositionalEncoding(8), [floats(2, 5, 8)]),
    "rotary": (lambda: nn.RotaryEmbedding(8), [floats(2, 5, 8)]),
    "alibi": (lambda: nn.ALiBi(4), []),
    "relative": (lambda: nn.RelativePositionBias(4), []),
    "attention": (
        lambda: nn.MultiheadAttention(8, 2, add_zero_attn=True, add_bias_kv=True),
        [floats(5, 3, 8), floats(4, 3, 8), floats(4, 3, 8), ids(2, 3, 4) == 5],
    ),
    "causal": (lambda: nn.CausalSelfAttention(8, 2, window=2), [floats(2, 6, 8)]),
    "experts": (lambda: nn.MixtureOfExperts(6, 8, 4), [floats(10, 6)]),
    "gcn": (lambda: nn.graph.GCNConv(4, 3), [floats(3, 4), EDGES]),
    "sage": (lambda: nn.graph.SAGEConv(4, 3, "max"), [floats(3, 4), EDGES]),
    "gat": (lambda: nn.graph.GATConv(4, 3, 2, edge_dim=2), [floats(3, 4), EDGES, floats(4, 2)]),
    "convolutional": (lambda: nn.ConvLSTM(2, 3, 3), [floats(3, 2, 2, 4, 5)]),
    "projected": (lambda: nn.LSTM(4, 6, proj_size=3), [floats(5, 2, 4)]),
    "lora": (lambda: nn.LoRALinear(nn.Linear(4, 3)), [floats(2, 4)]),
    "adaptive": (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 9]), [floats(6, 16), ids(20, 6)],
    ),
    "margins": (nn.MultiMarginLoss, [floats(4, 5), ids(5, 4)]),
    "label sets": (nn.MultiLabelMarginLoss, [floats(4, 5), ids(5, 4, 5)]),
    "gaussian": (nn.GaussianNLLLoss, [floats(4, 5), floats(4, 5), floats(4, 5) ** 2]),
    "poisson": (lambda: nn.PoissonNLLLoss(full=True), [floats(4, 5), floats(4, 5) ** 2]),
    "info": (nn.InfoNCELoss, [floats(4, 5), floats(4, 5), floats(6, 5)]),
    "focal": (nn.SoftmaxFocalLoss, [floats(4, 5), ids(5, 4)]),
    "pairs": (lambda: F.pdist, [floats(4, 5)]),
    "smooth": (lambda: lambda y: F.smooth_labels(y, 5), [ids(5, 4)]),
    "rrelu": (lambda: nn.RReLU().eval(), [floats(4, 5)]),
}  # fmt: skip


def flat(result: Any) -> list[Any]:
    if isinstance(result, sn.Tensor):
        return [result]
    return [] if result is None else [t for part in result for t in flat(part)]


@pytest.mark.bits
@pytest.mark.parametrize("name", CASES)
def test_layer(name: str) -> None:
    make, arrays = CASES[name]
    results = []
    for device in ("cpu", DEVICE):
        sn.random.seed(0)
        layer = make()
        call = layer
        if isinstance(layer, nn.Module):
            layer.to(device)
            layer.train(layer.training)
        given: list[Any] = [sn.tensor(a).to(device) for a in arrays] or [5]
        if name == "causal":
            call = lambda x, layer=layer: decode(layer, x)  # noqa: E731
        found = flat(call(*given))
        assert all(str(t.device).startswith(device) for t in found)
        if isinstance(layer, nn.Module) and any(t.requires_grad for t in found):
            sum((t**2).sum() for t in found if t.requires_grad).backward()
            found += [p.grad for p in layer.parameters() if p.grad is not None]
        results.append([t.detach().to("cpu").numpy() for t in found])
    assert len(results[0]) == len(results[1]) > 0
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_choices_between_numbers_stay_where_the_mask_is() -> None:
    mask = sn.tensor([True, False]).to(DEVICE)
    y = sn.where(mask, 1.0, 0.0)
    for z in (y, y.astype(sn.float16), y * 2, -y, sn.where(mask, y, 0.5)):
        assert str(z.device) == f"{DEVICE}:0"
    assert (y * sn.ones(2).to(DEVICE)).tolist() == [1.0, 0.0]
    with pytest.raises(sn.DeviceError, match="different devices"):
        y + sn.ones(2)


@pytest.mark.parametrize(
    ("make", "pred", "target"),
    [
        (lambda: metrics.F1Score(num_classes=4), floats(20, 4), ids(4, 20)),
        (lambda: metrics.Accuracy("multilabel", 3, subset=True), floats(20, 3), ids(2, 20, 3)),
        (lambda: metrics.ConfusionMatrix(4), ids(4, 20), ids(4, 20)),
        (lambda: metrics.ROCAUC("multiclass", 3), floats(20, 3), ids(3, 20)),
        (metrics.AveragePrecision, floats(20), ids(2, 20)),
        (metrics.R2Score, floats(20), floats(20)),
        (metrics.MeanAbsoluteError, floats(20), floats(20)),
        (metrics.Perplexity, floats(20, 5), ids(5, 20)),
    ],
)
def test_metric(make: Any, pred: np.ndarray, target: np.ndarray) -> None:
    here, there = make(), make()
    for _ in range(2):
        here.update(sn.tensor(pred), sn.tensor(target))
        there.update(sn.tensor(pred).to(DEVICE), sn.tensor(target).to(DEVICE))
    assert all(str(v.device) == f"{DEVICE}:0" for v in there.state_dict().values())
    expected = here.compute().numpy()
    np.testing.assert_array_equal(there.compute().to("cpu").numpy(), expected)
    # Merged across devices, it stays where it was.
    both = make()
    both.merge(there)
    np.testing.assert_array_equal(both.compute().to("cpu").numpy(), expected)
