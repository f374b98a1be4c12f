"""Attention gives the same bits alone and in company, on every engine, and on the reference."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

import sennit as sn

CASES = {
    "plain": ((2, 4, 150, 24), (2, 4, 300, 24), {}),
    "causal": ((1, 2, 300, 64), (1, 2, 300, 64), {"is_causal": True}),
    "window": ((1, 2, 300, 9), (1, 2, 280, 9), {"window": (70, 11)}),
    "grouped": ((1, 6, 140, 16), (1, 2, 129, 16), {"enable_gqa": True, "is_causal": True}),
    "dropout": ((1, 2, 130, 8), (1, 2, 200, 8), {"dropout_p": 0.3}),
    "negative": ((1, 2, 33, 8), (1, 2, 140, 8), {"scale": -0.5}),
}


def operands(name: str, dtype: str = "float32") -> list[sn.Tensor]:
    rng = np.random.default_rng(7)
    q, k, _ = CASES[name]
    return [
        sn.tensor(rng.normal(size=s).astype("float32")).astype(getattr(sn, dtype)).detach()
        for s in (q, k, k, q)
    ]


def results(name: str, tensors: list[sn.Tensor], mask: sn.Tensor | None = None) -> list[np.ndarray]:
    sn.random.seed(3)
    q, k, v = tensors[:3]
    leaves = [q, k, v] + ([mask] if mask is not None and mask.dtype != sn.bool else [])
    for x in leaves:
        x.requires_grad = True
        x.grad = None
    y = sn.scaled_dot_product_attention(q, k, v, mask, **CASES[name][2])
    (y * tensors[3]).sum().backward()
    return [x.to("cpu").astype(sn.float64).numpy() for x in (y.detach(), *(x.grad for x in leaves))]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_threads_and_windows(name: str, threads) -> None:
    found = []
    before = sn.config.window
    try:
        for count, limit in ((1, before), (2, before), (3, 1), (7, before)):
            threads(count)
            sn.config.window = limit
            found.append(results(name, operands(name)))
    finally:
        sn.config.window = before
    assert all(same(found[0], other) for other in found[1:])


@pytest.mark.bits
@pytest.mark.parametrize("mask", ["none", "bool", "numbers"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_the_reference(name: str, dtype: str, mask: str) -> None:
    rng = np.random.default_rng(8)
    shape = (CASES[name][0][2], CASES[name][1][2])
    values = rng.random(shape) < 0.8 if mask == "bool" else rng.normal(size=shape)
    found = []
    for device in ("cpu", "reference"):
        tensors = [x.to(device).detach() for x in operands(name, dtype)]
        m = None
        if mask != "none":
            m = sn.tensor(values if mask == "bool" else values.astype("float32")).to(device)
            m = m.detach() if mask == "bool" else m.astype(getattr(sn, dtype)).detach()
        found.append(results(name, tensors, m))
    assert same(*found)


def test_a_query_alone() -> None:
    q, k, v, _ = operands("plain")
    together = sn.scaled_dot_product_attention(q, k, v).numpy()
    for i in (0, 1, 31, 127, 128, 149):
        alone = sn.scaled_dot_product_attention(q[:, :, i : i + 1], k, v).numpy()
        assert alone.tobytes() == together[:, :, i : i + 1].tobytes()
    part = sn.scaled_dot_product_attention(q[:, :, 5:50], k, v).numpy()
    assert part.tobytes() == together[:, :, 5:50].tobytes()


def test_a_query_that_sees_only_the_keys_before_it() -> None:
    # What a decoder with a cache of keys computes, step by step.
    q, k, v, _ = operands("causal")
    together = sn.scaled_dot_product_attention(q, k, v, is_causal=True).numpy()
    for i in (0, 1, 12, 127, 128, 200, 299):
        alone = sn.scaled_dot_product_attention(
            q[:, :, i : i + 1], k[:, :, : i + 1], v[:, :, : i + 1]
        )
        assert alone.numpy().tobytes() == together[:, :, i : i + 1].tobytes()


def test_a_batch_entry_and_a_head_alone() -> None:
    tensors = operands("plain")
    together = results("plain", tensors)
    alone = results("plain", [x[1:, 2:3].detach() for x in tensors])
    assert same(alone, [x[1:, 2:3] for x in together])


def test_a_mask_that_says_what_is_causal_says() -> None:
    q, k, v, _ = operands("causal")
    inside = sn.tril(sn.ones((300, 300), dtype=sn.bool))
    a = sn.scaled_dot_product_attention(q, k, v, is_causal=True).numpy()
    b = sn.scaled_dot_product_attention(q, k, v, inside).numpy()
    assert a.tobytes() == b.tobytes()


def test_heads_split_from_a_row_by_views(threads) -> None:
    x = sn.random.normal(shape=(2, 150, 3, 4, 24)).detach()
    q, k, v = (x[:, :, i].permute_dims((0, 2, 1, 3)) for i in range(3))
    a = sn.scaled_dot_product_attention(q, k, v).numpy()
    copies = [sn.tensor(np.ascontiguousarray(y.numpy())) for y in (q, k, v)]
    assert sn.scaled_dot_product_attention(*copies).numpy().tobytes() == a.tobytes()


def digest() -> str:
    h = hashlib.sha256()
    for name in CASES:
        for dtype in ("float32", "float64"):
            for x in results(name, operands(name, dtype)):
                h.update(x.tobytes())
    return h.hexdigest()


@pytest.mark.bits
@pytest.mark.parametrize(
    "environment",
    [
        {"SENNIT_ISA": "avx2"},
        {"SENNIT_ISA": "avx512"},
        {"SENNIT_ENGINE": "serial", "SENNIT_NUM_THREADS": "3"},
        {"SENNIT_WINDOW": "1", "SENNIT_VERIFY": "1"},
    ],
    ids=lambda e: " ".join(f"{k[7:].lower()}={v}" for k, v in e.items()),
)
def test_other_environments(environment: dict[str, str], fresh_python) -> None:
    if not set(environment.get("SENNIT_ISA", "").split()) <= set(available()):
        pytest.skip("this CPU does not have the level")
    assert fresh_python(__file__, **environment).strip() == digest()


def available() -> list[str]:
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    return [isa for isa, flag in (("avx2", " avx2"), ("avx512", " avx512vl")) if flag in text]


if __name__ == "__main__":
    sys.stdout.write(digest() + "\n")
