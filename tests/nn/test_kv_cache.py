"""Decoding step by step gives the bits of the whole sequence at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "grouped": {"num_kv_heads": 2},
    "one head of keys": {"num_kv_heads": 1, "bias": False},
    "rotary": {"rotary": lambda: nn.RotaryEmbedding(8)},
    "neighbours turned": {"rotary": lambda: nn.RotaryEmbedding(4, interleaved=True)},
    "window": {"window": 3},
    "window of one": {"window": 0, "num_kv_heads": 2},
}


def make(name: str, dtype: Any = None) -> nn.CausalSelfAttention:
    options = {k: v() if callable(v) else v for k, v in VARIANTS[name].items()}
    sn.random.seed(1)
    return nn.CausalSelfAttention(32, 4, dtype=dtype, **options)


@pytest.mark.parametrize("dtype", [sn.float32, sn.float64, sn.bfloat16])
@pytest.mark.parametrize("pieces", [[1] * 21, [10, 1, 1, 5, 4], [21], [7, 7, 7]])
@pytest.mark.parametrize("name", VARIANTS)
def test_steps_have_the_bits_of_the_whole(name: str, pieces: list[int], dtype: Any) -> None:
    layer = make(name, dtype)
    x = sn.random.normal(shape=(2, 21, 32)).astype(dtype)
    cache = nn.KVCache(24)
    with sn.no_grad():
        whole = layer(x)
        begin, found = 0, []
        for n in pieces:
            found.append(layer(x[:, begin : begin + n], cache))
            begin += n
        got = sn.concat(found, 1)
    assert cache.length == 21
    assert (got == whole).all().item()


def test_long_sequences_too() -> None:
    """Beyond the blocks of the attention kernel."""
    layer = make("rotary")
    x = sn.random.normal(shape=(1, 300, 32))
    cache = nn.KVCache(300)
    with sn.no_grad():
        whole = layer(x)
        head = layer(x[:, :260], cache)
        tail = [layer(x[:, i : i + 1], cache) for i in range(260, 300)]
        assert (sn.concat([head, *tail], 1) == whole).all().item()


@pytest.mark.parametrize("name", ["plain", "grouped", "window"])
def test_against_the_definition(name: str) -> None:
    layer = make(name, sn.float64)
    x = np.random.default_rng(0).normal(size=(2, 6, 32))
    q, k, v = (
        (x @ p.weight.detach().numpy().T + p.bias.detach().numpy()).reshape(2, 6, -1, 8)
        for p in (layer.q_proj, layer.k_proj, layer.v_proj)
    )
    k, v = (np.repeat(t, 4 // t.shape[2], 2) for t in (k, v))
    s = np.einsum("blhd,bshd->bhls", q, k) / np.sqrt(8)
    i, j = np.arange(6)[:, None], np.arange(6)
    inside = (j <= i) & (j >= i - (100 if layer.window is None else layer.window))
    s = np.where(inside, s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    y = np.einsum("bhls,bshd->blhd", p, v).reshape(2, 6, 32)
    y = y @ layer.out_proj.weight.detach().numpy().T + layer.out_proj.bias.detach().numpy()
    np.testing.assert_allclose(layer(sn.tensor(x)).detach().numpy(), y, rtol=1e-10)


@pytest.mark.parametrize("batch_first", [False, True])
def test_multihead_attention_with_a_cache(batch_first: bool) -> None:
    sn.random.seed(0)
    layer = nn.MultiheadAttention(16, 4, batch_first=batch_first)
    x = sn.random.normal(shape=(2, 9, 16))
    x = x if batch_first else x.swapaxes(0, 1)
    axis = 1 if batch_first else 0
    with sn.no_grad():
        whole, _ = layer(x, x, x, need_weights=False, is_causal=True)
        cache, found, begin = nn.KVCache(9), [], 0
        for n in (3, 1, 1, 4):
            part = x[:, begin : begin + n] if batch_first else x[begin : begin + n]
            found.append(
                layer(part, part, part, need_weights=False, is_causal=True, cache=cache)[0]
            )
            begin += n
        assert (sn.concat(found, axis) == whole).all().item()
        _, weights = layer(x, x, x, is_causal=True)
        cache.crop(8)
        last = x[:, 8:] if batch_first else x[8:]
        y, one = layer(last, last, last, is_causal=True, cache=cache)
    np.testing.assert_allclose(one[:, 0].numpy(), weights[:, 8].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        y.numpy(), (whole[:, 8:] if batch_first else whole[8:]).numpy(), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(sn.InvalidValue, match="extra keys"):
        extra = nn.MultiheadAttention(16, 4, add_zero_attn=True, batch_first=True)
        extra(x, x, x, cache=nn.KVCache(20))


def test_gradients_flow_through_a_cache() -> None:
    layer = make("plain", sn.float64)
    x = sn.random.normal(shape=(1, 5, 32), dtype=sn.float64)

    def gradients(pieces: list[int]) -> list[Any]:
        layer.zero_grad()
        cache, begin, loss = nn.KVCache(5), 0, sn.tensor(0.0, dtype=sn.float64)
        for n in pieces:
            loss = loss + (layer(x[:, begin : begin + n], cache) ** 2).sum()
            begin += n
        loss.backward()
        return [p.grad.numpy() for p in layer.parameters()]

    for a, b in zip(gradients([5]), gradients([2, 1, 2]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_the_cache_itself() -> None:
    cache = nn.KVCache(4)
    assert cache.keys is None
    assert cache.values is None
    k, v = sn.random.normal(shape=(2, 3, 2, 5)), sn.random.normal(shape=(2, 3, 2, 6))
    first, _ = cache.update(k, v)
    cache.update(-k, -v)
    assert (first == k).all().item()  # what was handed out stays as it was
    assert (cache.keys == sn.concat([k, -k], 2)).all().item()
    assert (cache.values == sn.concat([v, -v], 2)).all().item()
    with pytest.raises(sn.ShapeError, match="4 steps that holds 4 steps"):
        cache.update(k, v)
    cache.crop(2)
    cache.reorder(sn.tensor([1, 1]))
    assert (cache.keys == sn.stack([k[1], k[1]])).all().item()
    cache.update(k, v)
    with pytest.raises(sn.InvalidValue, match="cannot grow"):
        cache.crop(5)
    cache.reset()
    assert cache.length == 0
    cache.update(sn.ones((1, 1, 1, 1)), sn.ones((1, 1, 1, 1)))
    for bad in (sn.ones((2, 1, 1, 1)), sn.ones((1, 1, 1, 2)), sn.ones((1, 1, 1))):
        with pytest.raises(sn.ShapeError, match="same batch"):
            cache.update(bad, bad)
    for size in (0, -1, 1.5):
        with pytest.raises(sn.InvalidValue, match="max_len"):
            nn.KVCache(size)  # type: ignore[arg-type]
    with pytest.raises(sn.InvalidValue, match="heads"):
        nn.CausalSelfAttention(32, 4, num_kv_heads=3)
    with pytest.raises(sn.InvalidValue, match="window"):
        nn.CausalSelfAttention(32, 4, window=-1)
    with pytest.raises(sn.ShapeError, match="batch, steps"):
        make("plain")(sn.ones((3, 32)))


@pytest.mark.oracle
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("masked", [None, "bool", "float", "per head"])
def test_functional_form_as_pytorch(
    torch: Any, masked: str | None, extra: bool, separate: bool, need_weights: bool
) -> None:
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(5, 3, 8)), rng.normal(size=(7, 3, 6)), rng.normal(size=(7, 3, 4))
    if not separate:
        k, v = rng.normal(size=(2, 7, 3, 8))
    weights: dict[str, Any] = {
        "in_proj_weight": None if separate else rng.normal(size=(24, 8)),
        "in_proj_bias": rng.normal(size=24),
        "bias_k": rng.normal(size=(1, 1, 8)) if extra else None,
        "bias_v": rng.normal(size=(1, 1, 8)) if extra else None,
        "out_proj_weight": rng.normal(size=(8, 8)),
        "out_proj_bias": rng.normal(size=8),
        "q_proj_weight": rng.normal(size=(8, 8)) if separate else None,
        "k_proj_weight": rng.normal(size=(8, k.shape[2])) if separate else None,
        "v_proj_weight": rng.normal(size=(8, v.shape[2])) if separate else None,
        "attn_mask": {
            None: None, "bool": rng.random((5, 7)) < 0.3, "float": rng.normal(size=(5, 7)),
            "per head": rng.normal(size=(6, 5, 7)),
        }[masked],
        "key_padding_mask": np.arange(7)[None] >= np.array([[7], [5], [6]]),
    }  # fmt: skip
    if masked in ("float", "per head"):
        weights["key_padding_mask"] = np.where(weights["key_padding_mask"], -np.inf, 0.0)

    def run(lib: Any) -> tuple[Any, Any]:
        given = {n: None if a is None else lib.tensor(a) for n, a in weights.items()}
        return lib.nn.functional.multi_head_attention_forward(
            *(lib.tensor(a) for a in (q, k, v)), 8, 2, dropout_p=0.0, add_zero_attn=extra,
            use_separate_proj_weight=separate, need_weights=need_weights,
            average_attn_weights=False, **given,
        )  # fmt: skip

    (y, w), (z, u) = run(sn), run(torch)
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-9, atol=1e-11)
    assert (w is None) == (u is None)
    if w is not None:
        np.testing.assert_allclose(w.numpy(), u.numpy(), rtol=1e-9, atol=1e-12)


def test_masks_that_do_not_fit() -> None:
    layer, x = nn.MultiheadAttention(8, 2, batch_first=True), sn.ones((3, 5, 8))
    with pytest.raises(sn.ShapeError, match=r"\(L, S\) = \(5, 5\)"):
        layer(x, x, x, attn_mask=sn.zeros((5, 4)))
    with pytest.raises(sn.ShapeError, match=r"batch \* num_heads"):
        layer(x, x, x, attn_mask=sn.zeros((3, 5, 5)))
    with pytest.raises(sn.ShapeError, match="key_padding_mask"):
        layer(x, x, x, key_padding_mask=sn.zeros((5, 3), dtype=sn.bool))
