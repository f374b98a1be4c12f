"""PyTorch as a second opinion where its conventions hold: values and gradients in float64."""

from __future__ import annotations

import numpy as np
import pytest

import sennit as sn

pytestmark = pytest.mark.oracle


def labels(shape: tuple[int, ...], classes: int) -> np.ndarray:
    y = np.random.default_rng(5).integers(0, classes, shape)
    y.reshape(-1)[0] = 1
    return y


LABELS, PIXELS = labels((5,), 7), labels((2, 3, 4), 6)

# name: (shapes of the arguments, Sennit, PyTorch); both get the modules, then the tensors.
CALLS = {
    "conv2d": (
        [(2, 4, 9, 8), (6, 2, 3, 3), (6,)],
        lambda f, x, w, b: f.conv2d(x, w, b, stride=(2, 1), padding=(1, 2), dilation=2, groups=2),
    ),
    "conv1d": ([(2, 4, 11), (6, 4, 3)], lambda f, x, w: f.conv1d(x, w, stride=2, padding=1)),
    "conv3d": ([(1, 2, 5, 6, 4), (3, 2, 2, 3, 2)], lambda f, x, w: f.conv3d(x, w, padding=1)),
    "conv_transpose2d": (
        [(2, 4, 4, 5), (4, 3, 3, 2), (6,)],
        lambda f, x, w, b: f.conv_transpose2d(
            x, w, b, stride=2, padding=1, output_padding=1, groups=2, dilation=1
        ),
    ),
    "max_pool2d": (
        [(2, 3, 9, 8)],
        lambda f, x: f.max_pool2d(x, 3, stride=2, padding=1, dilation=1, ceil_mode=True),
    ),
    "max_pool1d dilated": (
        [(2, 3, 17)],
        lambda f, x: f.max_pool1d(x, 3, stride=2, padding=1, dilation=2),
    ),
    "avg_pool2d": (
        [(2, 3, 9, 8)],
        lambda f, x: f.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True),
    ),
    "avg_pool2d without padding": (
        [(2, 3, 9, 8)],
        lambda f, x: f.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
    ),
    "adaptive_avg_pool2d": ([(2, 3, 9, 8)], lambda f, x: f.adaptive_avg_pool2d(x, (4, 3))),
    "adaptive_max_pool2d": ([(2, 3, 9, 8)], lambda f, x: f.adaptive_max_pool2d(x, (4, 3))),
    "layer_norm": (
        [(5, 3, 7), (3, 7), (3, 7)],
        lambda f, x, w, b: f.layer_norm(x, (3, 7), w, b, eps=1e-5),
    ),
    "group_norm": (
        [(2, 6, 5, 4), (6,), (6,)],
        lambda f, x, w, b: f.group_norm(x, 3, w, b, eps=1e-5),
    ),
    "linear": ([(5, 3, 7), (4, 7), (4,)], lambda f, x, w, b: f.linear(x, w, b)),
    "gelu": ([(5, 7)], lambda f, x: f.gelu(x)),
    "silu": ([(5, 7)], lambda f, x: f.silu(x)),
    "mish": ([(5, 7)], lambda f, x: f.mish(x)),
    "softplus": ([(5, 7)], lambda f, x: f.softplus(x)),
    "smooth_l1_loss": ([(5, 7), (5, 7)], lambda f, x, t: f.smooth_l1_loss(x, t, beta=0.7)),
    "huber_loss": ([(5, 7), (5, 7)], lambda f, x, t: f.huber_loss(x, t, delta=0.7)),
    "mse_loss": ([(5, 7), (5, 7)], lambda f, x, t: f.mse_loss(x, t)),
    "l1_loss": ([(5, 7), (5, 7)], lambda f, x, t: f.l1_loss(x, t, reduction="sum")),
    "pad reflect": ([(2, 3, 9)], lambda f, x: f.pad(x, (2, 3), mode="reflect")),
    "pad replicate": ([(2, 3, 9)], lambda f, x: f.pad(x, (2, 3), mode="replicate")),
    "pad circular": ([(2, 3, 9)], lambda f, x: f.pad(x, (2, 3), mode="circular")),
    "normalize": ([(5, 7)], lambda f, x: f.normalize(x, p=3.0)),
}


def compare(torch, shapes, run_sennit, run_torch):
    rng = np.random.default_rng(8)
    arrays = [rng.normal(size=s) for s in shapes]
    ours = [sn.asarray(a).requires_grad_(True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = run_sennit(*ours), run_torch(*theirs)
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=1e-11, atol=1e-11)
    seed = np.asarray(rng.normal(size=tuple(y.shape)))
    t.backward(torch.tensor(seed))
    gradients = sn.gradients([y], ours, [sn.asarray(seed)])
    for g, other in zip(gradients, theirs):
        np.testing.assert_allclose(g.numpy(), other.grad.numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", CALLS)
def test_same_as_pytorch(torch, name):
    shapes, call = CALLS[name]
    f = torch.nn.functional
    compare(torch, shapes, lambda *xs: call(sn, *xs), lambda *xs: call(f, *xs))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignored", [-100, 1])
@pytest.mark.parametrize("target", [LABELS, PIXELS], ids=["vector", "pixels"])
def test_cross_entropy(torch, target, ignored, smoothing, reduction):
    shape = (5, 7) if target is LABELS else (2, 6, 3, 4)
    options = {"ignore_index": ignored, "label_smoothing": smoothing, "reduction": reduction}
    compare(
        torch,
        [shape],
        lambda x: sn.cross_entropy(x, sn.asarray(target), **options),
        lambda x: torch.nn.functional.cross_entropy(x, torch.tensor(target), **options),
    )


def test_batch_norm(torch):
    f = torch.nn.functional
    compare(
        torch,
        [(4, 3, 5, 6), (3,), (3,)],
        lambda x, w, b: sn.batch_norm_train(x, w, b)[0],
        lambda x, w, b: f.batch_norm(x, None, None, w, b, training=True),
    )


def test_ties_of_max_pooling_go_to_the_first(torch):
    x = np.zeros((1, 1, 4, 4))
    ours, theirs = sn.asarray(x).requires_grad_(True), torch.tensor(x, requires_grad=True)
    (g,) = sn.gradients(sn.max_pool2d(ours, 2).sum(), ours)
    torch.nn.functional.max_pool2d(theirs, 2).sum().backward()
    assert (g.numpy() == theirs.grad.numpy()).all()
