"""LSTMs with projected states, in both of the ways in which they run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn


def operands(hidden: int, steps: int = 5, batch: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    inputs, state = 4, 6
    shapes = [
        (steps, batch, inputs), (4 * hidden, inputs), (4 * hidden, state), (4 * hidden,),
        (4 * hidden,), (batch, state), (batch, hidden), (state, hidden),
    ]  # fmt: skip
    return [rng.normal(size=s) * 0.4 for s in shapes]


def by_steps(arrays: list[np.ndarray], reverse: bool, lengths: Any) -> list[np.ndarray]:
    x, wi, wh, bi, bh, h, c, r = arrays
    y, hs, cs = np.zeros((*x.shape[:2], len(r))), [h], [c]
    for t in range(len(x))[:: -1 if reverse else 1]:
        i, f, g, o = np.split(x[t] @ wi.T + bi + h @ wh.T + bh, 4, -1)
        i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = (o * np.tanh(c)) @ r.T
        y[t] = h
        hs.append(h)
        cs.append(c)
    if lengths is None:
        return [y, h, c]
    rows = np.arange(x.shape[1])
    return [y, np.stack(hs)[lengths, rows], np.stack(cs)[lengths, rows]]


@pytest.mark.parametrize("hidden", [20, 770])  # below and above where the weights are joined
@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("how", ["forward", "reverse", "lengths"])
def test_against_the_definition(hidden: int, initial: bool, how: str) -> None:
    arrays = operands(hidden)
    if not initial:
        arrays[5], arrays[6] = arrays[5] * 0, arrays[6] * 0
    lengths = np.array([5, 2, 0]) if how == "lengths" else None
    made = [sn.tensor(a, requires_grad=True) for a in arrays]
    x, wi, wh, bi, bh, h0, c0, r = made
    options: dict[str, Any] = {"weight_hr": r, "reverse": how == "reverse"}
    if lengths is not None:
        options["lengths"] = sn.tensor(lengths)
    states = (h0, c0) if initial else (None, None)
    got = sn.lstm_sequence(x, wi, wh, bi, bh, *states, **options)
    expected = by_steps(arrays, how == "reverse", lengths)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-9, atol=1e-11)
    # The gradient along a random direction, by central differences.
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=b.shape) for b in expected]
    sum_of = sum((a * sn.tensor(w)).sum() for a, w in zip(got, weights, strict=True))
    sum_of.backward()
    moved = [k for k in range(8) if initial or k not in (5, 6)]
    directions = {k: rng.normal(size=arrays[k].shape) for k in moved}
    slope = sum((made[k].grad.numpy() * directions[k]).sum() for k in moved)

    def value(step: float) -> float:
        at = [a + step * directions.get(k, 0 * a) for k, a in enumerate(arrays)]
        results = by_steps(at, how == "reverse", lengths)
        return sum((b * w).sum() for b, w in zip(results, weights, strict=True))

    h = 2e-6
    np.testing.assert_allclose(slope, (value(h) - value(-h)) / (2 * h), rtol=1e-6, atol=1e-7)


def test_one_step_and_one_row() -> None:
    for steps, batch in ((1, 3), (4, 1)):
        arrays = operands(20, steps, batch)
        for reverse in (False, True):
            x, wi, wh, bi, bh, h0, c0, r = map(sn.tensor, arrays)
            got = sn.lstm_sequence(x, wi, wh, bi, bh, h0, c0, r, reverse)
            for a, b in zip(got, by_steps(arrays, reverse, None), strict=True):
                np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("hidden", [20, 770])
def test_a_row_has_the_same_bits_alone(hidden: int) -> None:
    arrays = [a.astype(np.float32) for a in operands(hidden)]
    x, wi, wh, bi, bh, h0, c0, r = map(sn.tensor, arrays)
    whole = sn.lstm_sequence(x, wi, wh, bi, bh, h0, c0, r)
    alone = sn.lstm_sequence(x[:, 1:2], wi, wh, bi, bh, h0[1:2], c0[1:2], r)
    assert (whole[0][:, 1:2] == alone[0]).all().item()
    for a, b in zip(whole[1:], alone[1:], strict=True):
        assert (a[1:2] == b).all().item()
