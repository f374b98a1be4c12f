"""Connectionist temporal classification: all alignments, PyTorch, finite differences, reference."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn

F = nn.functional


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def by_enumeration(logp: np.ndarray, target: list[int], blank: int) -> float:
    """The sum over all sequences of classes that collapse to the target."""
    total = 0.0
    for path in itertools.product(range(logp.shape[1]), repeat=logp.shape[0]):
        merged = [c for i, c in enumerate(path) if i == 0 or c != path[i - 1]]
        if [c for c in merged if c != blank] == target:
            total += np.exp(sum(logp[t, c] for t, c in enumerate(path)))
    return -np.log(total) if total else np.inf


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("target", [[], [1], [1, 1], [3, 1], [1, 3, 1], [1, 1, 1]])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_all_alignments(steps: int, target: list[int], blank: int) -> None:
    logp = log_softmax(np.random.default_rng(0).normal(size=(steps, 4)))
    y = sn.tensor(np.array(target, dtype=np.int64))
    loss = F.ctc_loss(sn.tensor(logp), y, steps, len(target), blank, "none")
    np.testing.assert_allclose(loss.item(), by_enumeration(logp, target, blank), rtol=1e-12)


CASES: dict[str, dict[str, Any]] = {
    "small": {"shape": (7, 3, 5), "longest": 3},
    "long": {"shape": (60, 4, 20), "longest": 21},
    "short of steps": {"shape": (5, 4, 5), "longest": 5},
    "no targets": {"shape": (4, 2, 3), "longest": 0},
    "one class": {"shape": (9, 3, 2), "longest": 4},
}


def operands(name: str, blank: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    (t, n, c), longest = CASES[name]["shape"], CASES[name]["longest"]
    others = np.array([k for k in range(c) if k != blank])
    y = rng.choice(others, (n, longest))
    inputs = rng.integers(t // 2, t + 1, n)
    inputs[0] = t
    lengths = rng.integers(0, longest + 1, n)
    lengths[0] = longest
    return rng.normal(size=(t, n, c)) * 2, y, inputs, lengths


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("form", ["padded", "joined"])
@pytest.mark.parametrize("blank", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(
    torch: Any, name: str, blank: int, form: str, reduction: str, dtype: str
) -> None:
    x, y, inputs, lengths = operands(name, blank)
    x = x.astype(dtype)
    if form == "joined":
        y = np.concatenate([row[:n] for row, n in zip(y, lengths, strict=True)])

    def run(lib: Any, zero: bool = True) -> list[np.ndarray]:
        logits = lib.tensor(x, requires_grad=True)
        logp = (lib.nn.functional.log_softmax)(logits, -1)
        layer = lib.nn.CTCLoss(blank=blank, reduction=reduction, zero_infinity=zero)
        given = [lib.tensor(v) for v in (y, inputs, lengths)]
        loss = layer(logp, *given)
        weight = np.arange(1, loss.numel() + 1) if lib is not sn else np.arange(1, loss.size + 1)
        (loss.reshape(-1) * lib.tensor(weight.astype(dtype))).sum().backward()
        return [loss.detach().numpy(), logits.grad.numpy()]

    rtol, atol = (2e-4, 2e-5) if dtype == "float32" else (1e-9, 1e-11)
    for a, b in zip(run(sn), run(torch), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol, atol)


@pytest.mark.parametrize("name", ["small", "short of steps", "one class"])
def test_gradients_are_partial_derivatives(name: str) -> None:
    x, y, inputs, lengths = operands(name, 0)
    logp = log_softmax(x)
    rest = (sn.tensor(y), sn.tensor(inputs), sn.tensor(lengths), 0, "sum", True)

    def loss(a: Any) -> Any:
        return F.ctc_loss(a, *rest)

    def second(a: Any) -> Any:
        g = sn.grad(loss)(a)
        return (g * g * 0.5).sum()

    rng = np.random.default_rng(1)
    direction = rng.normal(size=x.shape)
    for f in (loss, second):
        got = (sn.grad(f)(sn.tensor(logp)).detach().numpy() * direction).sum()
        h = 1e-5
        up, down = (f(sn.tensor(logp + s * h * direction)).item() for s in (1, -1))
        np.testing.assert_allclose(got, (up - down) / (2 * h), rtol=1e-6, atol=1e-8)


def test_gradients_with_a_graph_have_the_same_bits() -> None:
    x, y, inputs, lengths = operands("long", 1)
    a = sn.tensor(log_softmax(x), requires_grad=True)
    loss = F.ctc_loss(a, *map(sn.tensor, (y, inputs, lengths)), 1, "none", True)
    (graph,) = sn.gradients([loss.sum()], [a], create_graph=True)
    (plain,) = sn.gradients([loss.sum()], [a])
    np.testing.assert_array_equal(graph.detach().numpy(), plain.numpy())


@pytest.mark.bits
@pytest.mark.parametrize("dtype", [sn.float32, sn.float64])
@pytest.mark.parametrize("name", CASES)
def test_reference_has_the_same_bits(name: str, dtype: Any) -> None:
    x, y, inputs, lengths = operands(name, 0)
    results = []
    for device in ("cpu", "reference"):
        a = sn.tensor(log_softmax(x)).astype(dtype).to(device).detach()
        a.requires_grad = True
        given = [sn.tensor(v).to(device) for v in (y, inputs, lengths)]
        loss = F.ctc_loss(a, *given, reduction="none", zero_infinity=True)
        loss.sum().backward()
        results.append((loss.detach().to("cpu").numpy(), a.grad.to("cpu").numpy()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours.view(np.uint8), theirs.view(np.uint8))


def test_a_sequence_has_the_same_bits_alone_and_with_any_threads() -> None:
    x, y, inputs, lengths = operands("long", 0)
    logp = log_softmax(x).astype(np.float32)
    loss = F.ctc_loss(*map(sn.tensor, (logp, y, inputs, lengths)), reduction="none").numpy()
    before = sn.num_threads()
    for threads in (1, 2):
        sn.set_num_threads(threads)
        again = F.ctc_loss(*map(sn.tensor, (logp, y, inputs, lengths)), reduction="none").numpy()
        np.testing.assert_array_equal(loss, again)
    sn.set_num_threads(before)
    for n in range(len(lengths)):
        steps = int(inputs[n])
        alone = F.ctc_loss(
            sn.tensor(logp[:steps, n]), sn.tensor(y[n, : lengths[n]]), steps, int(lengths[n]),
            reduction="none",
        )  # fmt: skip
        assert alone.item() == loss[n]


def test_halves_compute_in_float32() -> None:
    x, y, inputs, lengths = operands("small", 0)
    a = sn.tensor(log_softmax(x)).astype(sn.float16)
    rest = [sn.tensor(v) for v in (y, inputs, lengths)]
    got = F.ctc_loss(a, *rest)
    assert got.dtype == sn.float16
    assert got.item() == F.ctc_loss(a.astype(sn.float32), *rest).astype(sn.float16).item()


def test_infinite_losses() -> None:
    x = sn.tensor(log_softmax(np.zeros((2, 2, 3))), requires_grad=True)
    given = (sn.tensor([[1, 1], [1, 2]]), (2, 2), (2, 2))
    loss = F.ctc_loss(x, *given, reduction="none")
    assert loss[0].item() == np.inf
    loss.sum().backward()
    g = x.grad.numpy()
    assert np.isnan(g[:, 0]).any()
    assert np.isfinite(g[:, 1]).all()
    x.grad = None
    loss = F.ctc_loss(x, *given, reduction="none", zero_infinity=True)
    assert loss[0].item() == 0
    loss.sum().backward()
    assert not x.grad.numpy()[:, 0].any()
    # Nothing to say in no time is certain; something is impossible.
    none = F.ctc_loss(x, sn.tensor([[1], [1]]), (0, 0), (0, 1), reduction="none")
    assert none.tolist() == [0.0, np.inf]


@pytest.mark.parametrize("sizes", [(0, 2, 0), (0, 2, 1), (3, 0, 2), (0, 0, 0)])
def test_nothing_to_align(sizes: tuple[int, int, int]) -> None:
    steps, batch, longest = sizes
    x = sn.zeros((steps, batch, 4), requires_grad=True)
    n, s = (sn.full((batch,), k, dtype=sn.int64) for k in (steps, longest))
    y = sn.ones((batch, longest), dtype=sn.int64)
    loss = sn.ctc_loss(x, y, n, s, reduction="none")
    expected = np.inf if longest > steps else 0.0
    assert loss.tolist() == [expected] * batch
    loss.sum().backward()
    assert x.grad.shape == x.shape


def test_strides_do_not_matter() -> None:
    x, y, inputs, lengths = operands("small", 0)
    logp = log_softmax(x)
    rest = [sn.tensor(v) for v in (inputs, lengths)]
    plain = sn.ctc_loss(sn.tensor(logp), sn.tensor(y), *rest)
    turned = sn.tensor(np.ascontiguousarray(logp.transpose(1, 2, 0))).permute_dims((2, 0, 1))
    assert sn.ctc_loss(turned, sn.tensor(y.T.copy()).T, *rest).item() == plain.item()


def test_errors() -> None:
    x = sn.log_softmax(sn.zeros((4, 2, 3)), -1)
    y, n, s = sn.tensor([[1, 2], [2, 1]]), sn.tensor([4, 4]), sn.tensor([2, 1])
    with pytest.raises(sn.ShapeError, match=r"\(T, N, C\)"):
        sn.ctc_loss(x, y[:1], n, s)
    with pytest.raises(sn.ShapeError, match="input_lengths"):
        sn.ctc_loss(x, y, n[:1], s)
    with pytest.raises(sn.ShapeError, match="add up to 3"):
        sn.ctc_loss(x, sn.tensor([1, 2]), n, s)
    with pytest.raises(sn.DTypeError, match="integers"):
        sn.ctc_loss(x, y.astype(sn.float32), n, s)
    with pytest.raises(sn.DTypeError):
        sn.ctc_loss(x.astype(sn.int64), y, n, s)
    with pytest.raises(sn.InvalidValue, match="blank is 3"):
        sn.ctc_loss(x, y, n, s, blank=3)
    with pytest.raises(sn.InvalidValue, match="reduction"):
        sn.ctc_loss(x, y, n, s, reduction="median")
    with pytest.raises(sn.IndexOutOfRange, match="target 1 of sequence 0 is 7"):
        sn.ctc_loss(x, sn.tensor([[1, 7], [2, 1]]), n, s).item()
    with pytest.raises(sn.InvalidValue, match="is the blank"):
        sn.ctc_loss(x, sn.tensor([[1, 0], [2, 1]]), n, s).item()
    with pytest.raises(sn.InvalidValue, match="sequence 1 has 5 steps"):
        sn.ctc_loss(x, y, sn.tensor([4, 5]), s).item()
    # What stands behind a target is not looked at.
    assert sn.ctc_loss(x, sn.tensor([[1, 2], [2, 99]]), n, s).item() > 0
