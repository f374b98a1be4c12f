"""Attention against PyTorch, finite differences and the reference back-end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sennit as sn

F = sn.nn.functional
SIZES = [(1, 1, 1, 1), (5, 7, 3, 4), (37, 130, 8, 5), (129, 257, 40, 24)]
# Of batch 2 and 4 heads; `keys` heads of keys and values.
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"is_causal": True},
    "bool": {"mask": lambda r, n, s: r.random((n, s)) < 0.7},
    "padding": {"mask": lambda r, n, s: r.random((2, 1, 1, s)) < 0.7},
    "blind rows": {"mask": lambda r, n, s: (np.arange(n) % 3 > 0)[:, None] & np.ones(s, bool)},
    "numbers": {"mask": lambda r, n, s: r.normal(size=(4, n, s))},
    "numbers for rows": {"mask": lambda r, n, s: r.normal(size=(n, 1))},
    "scale": {"scale": -0.3},
    "grouped": {"keys": 2, "enable_gqa": True, "is_causal": True},
    "one head of keys": {"keys": 1, "enable_gqa": True},
}


def operands(case: dict[str, Any], size: tuple[int, ...], seed: int = 0) -> tuple[list, Any, dict]:
    rng = np.random.default_rng(seed)
    n, s, d, v = size
    options = dict(case)
    heads = options.pop("keys", 4)
    make: Callable | None = options.pop("mask", None)
    arrays = [
        rng.normal(size=shape)
        for shape in ((2, 4, n, d), (2, heads, s, d), (2, heads, s, v), (2, 4, n, v))
    ]
    return arrays, None if make is None else make(rng, n, s), options


def run(lib: Any, attend: Any, tensor: Any, case: dict[str, Any], size: tuple[int, ...]) -> list:
    arrays, mask, options = operands(case, size)
    q, k, v = (tensor(a, True) for a in arrays[:3])
    m = None if mask is None else tensor(mask, mask.dtype != bool)
    y = attend(q, k, v, m, **options)
    (y * tensor(arrays[3], False)).sum().backward()
    leaves = [q, k, v] + ([m] if mask is not None and mask.dtype != bool else [])
    return [y.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]


@pytest.mark.oracle
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(name: str, size: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    ours = run(
        sn,
        F.scaled_dot_product_attention,
        lambda a, grad: sn.tensor(a, requires_grad=grad),
        CASES[name],
        size,
    )
    theirs = run(
        torch,
        torch.nn.functional.scaled_dot_product_attention,
        lambda a, grad: torch.tensor(a, requires_grad=grad),
        CASES[name],
        size,
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", [((0, 3), (5, 3), (5, 2)), ((4, 3), (0, 3), (0, 2))])
def test_nothing_to_ask_or_to_see(shape: tuple) -> None:
    q, k, v = (sn.ones((2, *s)).detach() for s in shape)
    for x in (q, k, v):
        x.requires_grad = True
    y = F.scaled_dot_product_attention(q, k, v)
    assert y.shape == (2, shape[0][0], 2)
    assert not y.detach().numpy().any()
    y.sum().backward()
    assert [x.grad.shape for x in (q, k, v)] == [x.shape for x in (q, k, v)]
    assert not any(x.grad.numpy().any() for x in (q, k, v))


def test_two_dimensions_and_broadcast_batches() -> None:
    rng = np.random.default_rng(1)
    q, k, v = (sn.tensor(rng.normal(size=s)) for s in ((5, 3), (7, 3), (7, 2)))
    alone = F.scaled_dot_product_attention(q, k, v)
    assert alone.shape == (5, 2)
    wide = F.scaled_dot_product_attention(q, k.expand((2, 3, 7, 3)), v[None])
    assert wide.shape == (2, 3, 5, 2)
    assert all((wide[i, j] == alone).all().item() for i in range(2) for j in range(3))


def plain(q: Any, k: Any, v: Any, inside: np.ndarray) -> np.ndarray:
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    s = np.where(inside, s, -np.inf)
    e = np.exp(s - np.where(inside.any(-1, keepdims=True), s.max(-1, keepdims=True), 0.0))
    total = e.sum(-1, keepdims=True)
    return (e / np.where(total == 0, 1, total)) @ v


@pytest.mark.parametrize("window", [0, 3, (0, 140), (200, 0), (-1, 5), (5, -1)])
@pytest.mark.parametrize("causal", [False, True])
def test_window(window: Any, causal: bool) -> None:
    rng = np.random.default_rng(2)
    q, k, v = (rng.normal(size=(2, n, 8)) for n in (270, 300, 300))
    before, after = window if isinstance(window, tuple) else (window, window)
    after = 0 if causal else after
    i, j = np.arange(270)[:, None], np.arange(300)
    inside = ((before < 0) | (j >= i - before)) & ((after < 0) | (j <= i + after))
    y = F.scaled_dot_product_attention(
        sn.tensor(q), sn.tensor(k), sn.tensor(v), is_causal=causal, window=window
    )
    np.testing.assert_allclose(y.numpy(), plain(q, k, v, inside), rtol=1e-9, atol=1e-11)


def numeric(f: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    grad = np.zeros_like(x)
    for at in np.ndindex(*x.shape):
        values = []
        for step in (1e-5, -1e-5):
            moved = x.copy()
            moved[at] += step
            values.append(f(moved))
        grad[at] = (values[0] - values[1]) / 2e-5
    return grad


SECOND = {**CASES, "window": {"window": (1, 2)}, "dropout": {"dropout_p": 0.4}}


@pytest.mark.parametrize("name", SECOND)
def test_both_orders_of_the_gradient(name: str) -> None:
    arrays, mask, options = operands(SECOND[name], (3, 4, 2, 3), seed=3)
    rng = np.random.default_rng(4)
    soft = mask is not None and mask.dtype != bool
    inputs = [a[:1] for a in arrays[:3]] + ([mask] if soft else [])
    if mask is not None and not soft:
        mask = mask[:1] if mask.ndim == 4 else mask
    weights = [rng.normal(size=a.shape) for a in inputs]
    g = rng.normal(size=(1, 4, 3, 3))

    def attend(tensors: list) -> Any:
        sn.random.seed(5)
        m = tensors[3] if soft else None if mask is None else sn.tensor(mask)
        return (F.scaled_dot_product_attention(*tensors[:3], m, **options) * sn.tensor(g)).sum()

    def first(arrays: list, graph: bool = False) -> tuple[list, list]:
        tensors = [sn.tensor(a, requires_grad=True) for a in arrays]
        return tensors, sn.gradients(attend(tensors), tensors, create_graph=graph)

    tensors, grads = first(inputs, graph=True)
    mixed = sum((x * sn.tensor(w)).sum() for x, w in zip(grads, weights, strict=True))
    second = sn.gradients(mixed, tensors)
    for k, x in enumerate(inputs):

        def value(moved: np.ndarray, k: int = k) -> float:
            return attend([sn.tensor(moved if j == k else a) for j, a in enumerate(inputs)]).item()

        def slope(moved: np.ndarray, k: int = k) -> float:
            _, at = first([moved if j == k else a for j, a in enumerate(inputs)])
            return sum(float((p.numpy() * w).sum()) for p, w in zip(at, weights, strict=True))

        np.testing.assert_allclose(
            grads[k].detach().numpy(), numeric(value, x), rtol=1e-5, atol=1e-7
        )
        np.testing.assert_allclose(second[k].numpy(), numeric(slope, x), rtol=1e-5, atol=1e-7)


def test_dropout_keeps_the_mean_and_repeats() -> None:
    q = sn.zeros((1, 1, 64, 8))
    v = sn.ones((1, 1, 512, 8))
    k = sn.zeros((1, 1, 512, 8))
    sn.random.seed(1)
    y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.25)
    sn.random.seed(1)
    assert (F.scaled_dot_product_attention(q, k, v, dropout_p=0.25) == y).all().item()
    assert (F.scaled_dot_product_attention(q, k, v, dropout_p=0.25) != y).any().item()
    assert abs(y.mean().item() - 1) < 0.01
    assert not F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).numpy().any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_round_once(dtype: str) -> None:
    rng = np.random.default_rng(6)
    half = [
        sn.tensor(rng.normal(size=(2, 4, 150, 24)).astype("float32")).astype(getattr(sn, dtype))
        for _ in range(3)
    ]
    y = F.scaled_dot_product_attention(*half, is_causal=True)
    wide = F.scaled_dot_product_attention(*(x.astype(sn.float32) for x in half), is_causal=True)
    assert y.dtype == getattr(sn, dtype)
    assert (wide.astype(y.dtype) == y).all().item()


@pytest.mark.parametrize(
    ("kwargs", "kind", "words"),
    [
        ({"dropout_p": 1.5}, "InvalidValue", "dropout_p is 1.5"),
        ({"window": -2}, "InvalidValue", "window"),
        ({"window": (1, 2, 3)}, "InvalidValue", "window"),
        ({"attn_mask": (4, 9)}, "ShapeError", "attn_mask has shape"),
        ({"key": (2, 7, 4)}, "ShapeError", "one D"),
        ({"key": (3, 7, 3), "value": (3, 7, 3)}, "ShapeError", "broadcast"),
        ({"key": (3, 7, 3), "value": (3, 7, 3), "enable_gqa": True}, "ShapeError", "heads"),
    ],
)
def test_errors(kwargs: dict[str, Any], kind: str, words: str) -> None:
    made = {
        name: sn.zeros(value, dtype=sn.bool if name == "attn_mask" else sn.float32)
        if name in ("attn_mask", "key", "value")
        else value
        for name, value in {"key": (2, 7, 3), "value": (2, 7, 3), **kwargs}.items()
    }
    with pytest.raises(getattr(sn, kind), match=words):
        F.scaled_dot_product_attention(sn.zeros((2, 5, 3)), **made)


def test_integers_are_refused() -> None:
    x = sn.ones((2, 3), dtype=sn.int64)
    with pytest.raises(sn.DTypeError, match="float"):
        F.scaled_dot_product_attention(x, x, x)


def test_the_matrix_of_scores_is_never_held() -> None:
    # Scores of 4096 x 4096 are 64 MiB; everything that is wanted is below 2 MiB.
    q, k, v = (sn.random.normal(shape=(1, 1, 4096, 16)).detach() for _ in range(3))
    for x in (q, k, v):
        x.requires_grad = True
    sn.synchronize()
    before = sn.memory.stats()["in_use"]
    sn.memory.reset_peak()
    F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()
    sn.synchronize()
    assert q.grad.shape == q.shape
    assert sn.memory.stats()["peak"] - before < 16 << 20
