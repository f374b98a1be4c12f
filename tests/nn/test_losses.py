"""Losses that PyTorch has not, against their formulae; and what all losses refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn

F = nn.functional
rng = np.random.default_rng(0)


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def reduced(x: np.ndarray, reduction: str) -> Any:
    return {"mean": x.mean, "sum": x.sum, "none": lambda: x}[reduction]()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("alpha", [-1.0, 0.25, 0.8])
@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_sigmoid_focal(gamma: float, alpha: float, reduction: str) -> None:
    x, t = rng.normal(size=(5, 4)) * 3, rng.random((5, 4)).round(1)
    p = 1 / (1 + np.exp(-x))
    ce = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    loss = ce * (1 - (p * t + (1 - p) * (1 - t))) ** gamma
    if alpha >= 0:
        loss *= alpha * t + (1 - alpha) * (1 - t)
    got = F.sigmoid_focal_loss(sn.tensor(x), sn.tensor(t), alpha, gamma, reduction)
    np.testing.assert_allclose(got.numpy(), reduced(loss, reduction), rtol=1e-9)
    layer = nn.SigmoidFocalLoss(alpha, gamma, reduction)
    assert (layer(sn.tensor(x), sn.tensor(t)) == got).all().item()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_softmax_focal(gamma: float, weighted: bool, reduction: str) -> None:
    x, y = rng.normal(size=(8, 5)) * 2, rng.integers(0, 5, 8)
    y[1] = -100
    w = rng.uniform(0.5, 2, 5) if weighted else np.ones(5)
    counted = y >= 0
    logp = np.where(counted, log_softmax(x)[np.arange(8), np.maximum(y, 0)], 0.0)
    own = np.where(counted, w[np.maximum(y, 0)], 0.0)
    loss = -((1 - np.exp(logp)) ** gamma) * logp * own
    expected = loss.sum() / own.sum() if reduction == "mean" else reduced(loss, reduction)
    given = sn.tensor(w) if weighted else None
    a = sn.tensor(x, requires_grad=True)
    got = nn.SoftmaxFocalLoss(gamma, given, reduction=reduction)(a, sn.tensor(y))
    np.testing.assert_allclose(got.detach().numpy(), expected, rtol=1e-9, atol=1e-12)
    if gamma == 0:
        plain = F.cross_entropy(sn.tensor(x), sn.tensor(y), given, reduction=reduction)
        np.testing.assert_allclose(got.detach().numpy(), plain.numpy(), rtol=1e-12)
    got.sum().backward()
    assert np.isfinite(a.grad.numpy()).all()


def test_softmax_focal_of_images() -> None:
    x, y = rng.normal(size=(2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    rows = F.softmax_focal_loss(
        sn.tensor(np.moveaxis(x, 1, -1).reshape(-1, 3)), sn.tensor(y.ravel())
    )
    got = F.softmax_focal_loss(sn.tensor(x), sn.tensor(y))
    np.testing.assert_allclose(got.item(), rows.item(), rtol=1e-12)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_dice(reduction: str, squared: bool) -> None:
    p, t = rng.random((2, 3, 4, 5)), (rng.random((2, 3, 4, 5)) < 0.4).astype(float)
    both = (p * t).sum((2, 3))
    each = (p**2 + t**2 if squared else p + t).sum((2, 3))
    loss = 1 - (2 * both + 0.5) / (each + 0.5)
    got = nn.DiceLoss(0.5, squared, reduction)(sn.tensor(p), sn.tensor(t))
    np.testing.assert_allclose(got.numpy(), reduced(loss, reduction), rtol=1e-10)
    empty = sn.zeros((1, 1, 4))
    assert F.dice_loss(empty, empty).item() == 0
    with pytest.raises(sn.ShapeError, match="N, C"):
        F.dice_loss(sn.ones((3, 4)), sn.ones((3, 4)))


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("form", ["batch", "symmetric", "shared", "own"])
def test_info_nce(form: str) -> None:
    q, k = rng.normal(size=(2, 6, 4))
    others: Any = None
    if form in ("batch", "symmetric"):
        logits = unit(q) @ unit(k).T / 0.2
        loss = -np.diag(log_softmax(logits))
        if form == "symmetric":
            loss = (loss - np.diag(log_softmax(logits.T))) / 2
    else:
        others = rng.normal(size=(5, 4) if form == "shared" else (6, 5, 4))
        wide = np.broadcast_to(others, (6, 5, 4))
        negative = np.einsum("nd,nmd->nm", unit(q), unit(wide))
        positive = (unit(q) * unit(k)).sum(1, keepdims=True)
        loss = -log_softmax(np.concatenate([positive, negative], 1) / 0.2)[:, 0]
    layer = nn.InfoNCELoss(0.2, form == "symmetric", "none")
    given = () if others is None else (sn.tensor(others),)
    got = layer(sn.tensor(q), sn.tensor(k), *given)
    np.testing.assert_allclose(got.numpy(), loss, rtol=1e-9)


def test_smooth_labels_are_what_cross_entropy_smooths() -> None:
    x, y = sn.tensor(rng.normal(size=(6, 5))), sn.tensor(rng.integers(0, 5, 6))
    a = F.cross_entropy(x, F.smooth_labels(y, 5, 0.3, sn.float64))
    b = F.cross_entropy(x, y, label_smoothing=0.3)
    np.testing.assert_allclose(a.item(), b.item(), rtol=1e-12)
    assert F.smooth_labels(y.reshape(2, 3), 5).shape == (2, 3, 5)
    with pytest.raises(sn.InvalidValue, match="smoothing"):
        F.smooth_labels(y, 5, 1.5)


# ---- what is refused

A, B, T = sn.ones((4, 1)), sn.ones((4,)), sn.ones((4, 3))
PAIRS = [
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss", "kl_div",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "hinge_embedding_loss",
    "soft_margin_loss", "multilabel_soft_margin_loss", "sigmoid_focal_loss", "dice_loss",
]  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_losses_never_broadcast(name: str) -> None:
    for x, y in ((A, B), (A, T), (T, T[:1]), (T, sn.ones(()))):
        with pytest.raises(sn.ShapeError, match=name):
            getattr(F, name)(x, y)


def test_nor_do_losses_of_three_tensors() -> None:
    for name in ("margin_ranking_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss"):
        for given in ((T, T, A), (T, A, T), (A, T, T)):
            with pytest.raises(sn.ShapeError, match="do not broadcast"):
                getattr(F, name)(*given)
    with pytest.raises(sn.ShapeError, match="do not broadcast"):
        F.gaussian_nll_loss(A, B, A)
    with pytest.raises(sn.ShapeError, match="var has shape"):
        F.gaussian_nll_loss(T, T, sn.ones((3,)))
    with pytest.raises(sn.ShapeError, match="do not broadcast"):
        F.cosine_embedding_loss(T, T[:1], sn.ones(4))
    with pytest.raises(sn.ShapeError, match=r"\(N,\)"):
        F.cosine_embedding_loss(T, T, A)
    with pytest.raises(sn.ShapeError, match="do not broadcast"):
        F.info_nce_loss(T, T[:1])
    with pytest.raises(sn.ShapeError, match="negative_keys"):
        F.info_nce_loss(T, T, sn.ones((5, 2)))
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        with pytest.raises(sn.ShapeError, match="weight"):
            getattr(F, name)(T, T, weight=sn.ones(3))


@pytest.mark.parametrize("name", [*PAIRS, "multi_margin_loss", "multilabel_margin_loss"])
def test_reductions_are_checked(name: str) -> None:
    x = sn.full((2, 3, 1) if name == "dice_loss" else (2, 3), 0.5)
    y: Any = x
    if "margin_loss" in name and "soft" not in name:
        y = sn.zeros((2, 3) if "label" in name else (2,), dtype=sn.int64)
    with pytest.raises(sn.InvalidValue, match="reduction"):
        getattr(F, name)(x, y, reduction="median")


def test_values_are_checked() -> None:
    with pytest.raises(sn.InvalidValue, match="least variance is -1"):
        F.gaussian_nll_loss(T, T, -T)
    with pytest.raises(sn.InvalidValue, match="eps"):
        F.gaussian_nll_loss(T, T, T, eps=0.0)
    with pytest.raises(sn.InvalidValue, match="margin"):
        nn.TripletMarginLoss(margin=0)
    with pytest.raises(sn.InvalidValue, match="margin"):
        F.triplet_margin_loss(T, T, T, margin=-1)
    with pytest.raises(sn.InvalidValue, match="p is 3"):
        nn.MultiMarginLoss(p=3)
    with pytest.raises(sn.InvalidValue, match="temperature"):
        F.info_nce_loss(T, T, temperature=0.0)
    with pytest.raises(sn.InvalidValue, match="symmetric"):
        F.info_nce_loss(T, T, T, symmetric=True)
    y = sn.tensor([0, 2, 1, 0])
    for bad in (3, -1):
        with pytest.raises(sn.IndexOutOfRange):
            F.multi_margin_loss(T, sn.tensor([0, bad, 1, 0])).item()
    for bad in (3, -2):
        with pytest.raises(sn.IndexOutOfRange):
            F.multilabel_margin_loss(T, sn.tensor([[0, bad, -1]] * 4)).item()
    with pytest.raises(sn.DTypeError, match="integers"):
        F.multi_margin_loss(T, sn.ones(4))
    with pytest.raises(sn.ShapeError, match="classes"):
        F.multi_margin_loss(T, y, weight=sn.ones(4))
    with pytest.raises(sn.ShapeError, match="classes"):
        F.multilabel_soft_margin_loss(T, T, weight=sn.ones(4))
    with pytest.raises(sn.ShapeError, match="classes"):
        F.softmax_focal_loss(T, y, weight=sn.ones(4))
    with pytest.raises(sn.ShapeError, match="a matrix"):
        F.pdist(sn.ones(3))
    with pytest.raises(sn.ShapeError, match="the weight"):
        F.bilinear(T, T, sn.ones((2, 3, 4)))
    for cutoffs in ([], [5, 3], [0, 3], [3, 9], [2.5]):
        with pytest.raises(sn.InvalidValue, match="ascending"):
            nn.AdaptiveLogSoftmaxWithLoss(16, 9, cutoffs)
    with pytest.raises(sn.InvalidValue, match="to none"):
        nn.AdaptiveLogSoftmaxWithLoss(8, 9, [3, 6])


def test_losses_without_overflow() -> None:
    x = sn.tensor([200.0, -200.0], requires_grad=True)
    loss = F.soft_margin_loss(x, sn.tensor([-1.0, -1.0]), reduction="none")
    assert loss.tolist() == [200.0, 0.0]
    loss.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
    for target in ([0.0, 1.0], [1.0, 0.0]):
        for gamma in (0.0, 0.5, 2.0):
            x.grad = None
            focal = F.sigmoid_focal_loss(x, sn.tensor(target), gamma=gamma)
            assert np.isfinite(focal.detach().numpy()).all()
            focal.sum().backward()
            assert np.isfinite(x.grad.numpy()).all()


def test_losses_that_read_values_do_without_in_a_graph():
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 10, 14], div_value=1.5).requires_grad_(False)
    x, labels = sn.random.normal(shape=(9, 16)), sn.tensor([0, 6, 19, 3, 13, 14, 11, 5, 2])
    graph = sn.trace(layer, sn.TensorSpec(("n", 16)), sn.TensorSpec(("n",), sn.int64))
    for got, want in zip(graph(x, labels), layer(x, labels), strict=True):
        assert np.array_equal(got.numpy(), want.numpy())
    rows = graph(x[:3], sn.tensor([-1, 2, 20]))[0].numpy()
    assert np.isnan(rows).tolist() == [True, False, True]

    loss = nn.GaussianNLLLoss(reduction="none")
    spec = sn.TensorSpec(("n", 16))
    graph = sn.trace(loss, spec, spec, spec)
    var = sn.random.uniform(shape=(9, 16))
    assert np.array_equal(graph(x, x * 2, var).numpy(), loss(x, x * 2, var).numpy())
    assert np.isnan(graph(x, x, -var - 1).numpy()).all()
