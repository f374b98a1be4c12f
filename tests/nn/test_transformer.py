"""Attention layers, transformers, embeddings and the fused loss against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn

F = sn.nn.functional


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-8, atol=1e-10
    )


def carry(layer: Any, theirs: Any) -> None:
    """The state of the one into the other; the keys are the same."""
    state = theirs.state_dict()
    assert list(layer.state_dict()) == list(state)
    layer.load_state_dict({k: sn.tensor(v.numpy()) for k, v in state.items()})


def close_gradients(layer: Any, theirs: Any) -> None:
    named = dict(theirs.named_parameters())
    for name, p in layer.named_parameters():
        close(p.grad, named[name].grad)


KINDS: list[dict[str, Any]] = [
    {},
    {"batch_first": True},
    {"kdim": 6, "vdim": 5},
    {"bias": False},
    {"add_bias_kv": True, "add_zero_attn": True},
]
MASKS = ["none", "padding", "mask", "both", "numbers", "numbers and padding", "each head"]


@pytest.mark.oracle
@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: " ".join(k) or "plain")
@pytest.mark.parametrize("masks", MASKS)
def test_multihead_attention(kind: dict, masks: str, weights: bool, torch: Any) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(8, 2, dtype=torch.float64, **kind)
    ours = sn.nn.MultiheadAttention(8, 2, dtype=sn.float64, **kind)
    carry(ours, theirs)
    rng = np.random.default_rng(0)
    kdim, vdim = kind.get("kdim", 8), kind.get("vdim", 8)

    def sequence(n: int, d: int) -> np.ndarray:
        return rng.normal(size=(3, n, d) if kind.get("batch_first") else (n, 3, d))

    arrays = [sequence(5, 8), sequence(7, kdim), sequence(7, vdim)]
    padding, mask = rng.random((3, 7)) < 0.3, rng.random((5, 7)) < 0.3
    padding[:, 0] = mask[:, 0] = False
    given: dict[str, np.ndarray] = {}
    if "padding" in masks or masks == "both":
        given["key_padding_mask"] = padding
    if masks in ("mask", "both"):
        given["attn_mask"] = mask
    if "numbers" in masks:
        given["attn_mask"] = rng.normal(size=(5, 7))
        if "key_padding_mask" in given:
            given["key_padding_mask"] = np.where(padding, -np.inf, 0.0)
    if masks == "each head":
        given["attn_mask"] = rng.normal(size=(6, 5, 7))
    a = [sn.tensor(x, requires_grad=True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, w = ours(*a, need_weights=weights, **{k: sn.tensor(v) for k, v in given.items()})
    z, u = theirs(*b, need_weights=weights, **{k: torch.tensor(v) for k, v in given.items()})
    close(y, z)
    if weights:
        close(w, u)
    else:
        assert w is None
    y.sin().sum().backward()
    z.sin().sum().backward()
    for p, q in zip(a, b, strict=True):
        close(p.grad, q.grad)
    close_gradients(ours, theirs)


@pytest.mark.oracle
def test_one_sequence_and_weights_of_each_head(torch: Any) -> None:
    theirs = torch.nn.MultiheadAttention(8, 2, dtype=torch.float64)
    ours = sn.nn.MultiheadAttention(8, 2, dtype=sn.float64)
    carry(ours, theirs)
    x = np.random.default_rng(0).normal(size=(5, 8))
    y, w = ours(*[sn.tensor(x)] * 3, average_attn_weights=False)
    z, u = theirs(*[torch.tensor(x)] * 3, average_attn_weights=False)
    close(y, z)
    close(w, u)


def test_causal_without_a_mask() -> None:
    layer = sn.nn.MultiheadAttention(8, 2, batch_first=True, dtype=sn.float64)
    x = sn.random.normal(shape=(2, 6, 8)).astype(sn.float64)
    mask = sn.triu(sn.ones((6, 6), dtype=sn.bool), 1)
    for weights in (True, False):
        y, _ = layer(x, x, x, need_weights=weights, is_causal=True)
        z, _ = layer(x, x, x, need_weights=weights, attn_mask=mask)
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("arguments", [(8, 3), (0, 1), (8, 0)])
def test_heads_that_do_not_fit(arguments: tuple[int, int]) -> None:
    with pytest.raises(sn.InvalidValue, match="num_heads"):
        sn.nn.MultiheadAttention(*arguments)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "kind",
    [{}, {"norm_first": True, "activation": "gelu", "batch_first": True}, {"bias": False}],
    ids=["plain", "norm first", "no bias"],
)
def test_transformer(kind: dict, torch: Any) -> None:
    torch.manual_seed(0)
    sizes = (8, 2, 2, 2, 16)
    theirs = torch.nn.Transformer(*sizes, dropout=0.0, dtype=torch.float64, **kind)
    ours = sn.nn.Transformer(*sizes, dropout=0.0, dtype=sn.float64, **kind)
    carry(ours, theirs)
    rng = np.random.default_rng(0)
    first = kind.get("batch_first")
    src, tgt = (rng.normal(size=(3, n, 8) if first else (n, 3, 8)) for n in (6, 4))
    mask = torch.nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
    own = sn.nn.Transformer.generate_square_subsequent_mask(4, dtype=sn.float64)
    assert (own.numpy() == mask.numpy()).all()
    z = theirs(torch.tensor(src), torch.tensor(tgt), tgt_mask=mask)
    y = ours(sn.tensor(src), sn.tensor(tgt), tgt_mask=own)
    close(y, z)
    close(ours(sn.tensor(src), sn.tensor(tgt), tgt_is_causal=True), z)
    y.sin().sum().backward()
    z.sin().sum().backward()
    close_gradients(ours, theirs)


def test_transformer_errors() -> None:
    with pytest.raises(sn.InvalidValue, match="activation"):
        sn.nn.TransformerEncoderLayer(8, 2, activation="tanh")
    with pytest.raises(sn.ShapeError, match="d_model"):
        sn.nn.Transformer(8, 2, 1, 1, 16)(sn.zeros((2, 3, 7)), sn.zeros((2, 3, 8)))


def test_copies_of_a_layer_share_nothing() -> None:
    layer = sn.nn.TransformerEncoderLayer(8, 2, 16)
    stack = sn.nn.TransformerEncoder(layer, 2)
    weights = [p for name, p in stack.named_parameters() if name.endswith("linear1.weight")]
    assert len(weights) == 2
    assert weights[0] is not weights[1]
    assert (weights[0] == weights[1]).all().item()


LOSSES: list[dict[str, Any]] = [
    {},
    {"label_smoothing": 0.1},
    {"ignore_index": 3},
    {"reduction": "sum"},
    {"reduction": "none"},
    {"weight": True, "label_smoothing": 0.2},
    {"bias": False, "ignore_index": 0},
]


@pytest.mark.oracle
@pytest.mark.parametrize("chunk", [1, 10, 37, None])
@pytest.mark.parametrize("kind", LOSSES, ids=lambda k: " ".join(k) or "plain")
def test_linear_cross_entropy(kind: dict, chunk: int | None, torch: Any) -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(37, 5)), rng.normal(size=(11, 5)), rng.normal(size=11)
    target, each = rng.integers(0, 11, 37), rng.random(11)
    ours = [sn.tensor(v, requires_grad=True) for v in (x, w, b)]
    theirs = [torch.tensor(v, requires_grad=True) for v in (x, w, b)]
    kind = dict(kind)
    count = 3 if kind.pop("bias", True) else 2
    weighted = kind.pop("weight", False)
    bias = ours[2] if count == 3 else None
    y = F.linear_cross_entropy(
        ours[0],
        ours[1],
        sn.tensor(target),
        linear_bias=bias,
        weight=sn.tensor(each) if weighted else None,
        chunk=chunk,
        **kind,
    )
    z = torch.nn.functional.cross_entropy(
        torch.nn.functional.linear(*theirs[:count]),
        torch.tensor(target),
        weight=torch.tensor(each) if weighted else None,
        **kind,
    )
    close(y, z)
    (y * y).sum().backward()
    (z * z).sum().backward()
    for p, q in zip(ours[:count], theirs[:count], strict=True):
        close(p.grad, q.grad)


def test_linear_cross_entropy_twice_differentiated() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in ((9, 4), (6, 4))]
    target = sn.tensor(rng.integers(0, 6, 9))
    found = []
    for chunk in (2, 9):
        x, w = (sn.tensor(a, requires_grad=True) for a in arrays)
        loss = F.linear_cross_entropy(x, w, target, chunk=chunk)
        gx, gw = sn.gradients(loss, [x, w], create_graph=True)
        found.append(sn.gradients((gx * gx).sum() + (gw * gw * gw).sum(), [x, w]))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


def test_linear_cross_entropy_never_holds_all_logits() -> None:
    x = sn.random.normal(shape=(2048, 16)).detach()  # 2048 x 16384 logits are 128 MiB
    w = sn.random.normal(shape=(16384, 16)).detach()
    x.requires_grad = w.requires_grad = True
    target = sn.random.integers(0, 16384, (2048,))
    sn.synchronize()
    before = sn.memory.stats()["in_use"]
    sn.memory.reset_peak()
    F.linear_cross_entropy(x, w, target, chunk=64).backward()
    sn.synchronize()
    assert w.grad.shape == w.shape
    assert sn.memory.stats()["peak"] - before < 40 << 20


EMBEDDINGS: list[dict[str, Any]] = [
    {"padding_idx": -1},
    {"max_norm": 1.0},
    {"max_norm": 0.5, "norm_type": 1.0},
    {"max_norm": 0.5, "norm_type": float("inf")},
    {"scale_grad_by_freq": True},
]


@pytest.mark.oracle
@pytest.mark.parametrize("kind", EMBEDDINGS, ids=lambda k: " ".join(map(str, k.items())))
def test_embedding(kind: dict, torch: Any) -> None:
    rng = np.random.default_rng(0)
    table, rows = rng.normal(size=(6, 4)), rng.integers(0, 5, (3, 5))
    theirs = torch.nn.Embedding(6, 4, dtype=torch.float64, **kind)
    ours = sn.nn.Embedding(6, 4, dtype=sn.float64, **kind)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(table))
    ours.weight.assign_(sn.tensor(table))
    y, z = ours(sn.tensor(rows)), theirs(torch.tensor(rows))
    close(y, z)
    close(ours.weight, theirs.weight)
    y.sin().sum().backward()
    z.sin().sum().backward()
    close(ours.weight.grad, theirs.weight.grad)


def test_embedding_from_a_table() -> None:
    layer = sn.nn.Embedding.from_pretrained(sn.eye(3))
    assert not layer.weight.requires_grad
    assert layer(sn.tensor([2])).tolist() == [[0.0, 0.0, 1.0]]
    assert sn.nn.Embedding.from_pretrained(sn.eye(3), freeze=False).weight.requires_grad
    with pytest.raises(sn.ShapeError, match="two dimensions"):
        sn.nn.Embedding.from_pretrained(sn.ones(3))
