"""Layers against PyTorch: values and gradients, with PyTorch's parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn

pytestmark = pytest.mark.oracle

# Layer, arguments, keyword arguments, input shape.
LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("Linear", (5, 3), {}, (4, 5)),
    ("Linear", (5, 3), {"bias": False}, (2, 4, 5)),
    ("Conv1d", (3, 4, 3), {"padding": 1, "stride": 2}, (2, 3, 9)),
    ("Conv2d", (4, 6, 3), {"padding": 1}, (2, 4, 7, 6)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "dilation": (1, 2), "groups": 2}, (2, 4, 9, 8)),
    ("Conv2d", (2, 3, 4), {"padding": "same"}, (1, 2, 6, 7)),
    ("Conv2d", (2, 3, 3), {"padding": "valid", "bias": False}, (1, 2, 6, 7)),
    ("Conv2d", (2, 3, 3), {"padding": 1, "padding_mode": "reflect"}, (1, 2, 6, 7)),
    ("Conv2d", (2, 3, 3), {"padding": (1, 2), "padding_mode": "circular"}, (1, 2, 6, 7)),
    ("Conv2d", (2, 3, 3), {"padding": 1, "padding_mode": "replicate"}, (1, 2, 6, 7)),
    ("Conv3d", (2, 3, 2), {"stride": 2}, (1, 2, 4, 5, 6)),
    ("ConvTranspose1d", (4, 2, 4), {"stride": 2, "padding": 1}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 2, 3), {"stride": 2, "output_padding": 1}, (2, 4, 5, 4)),
    ("ConvTranspose2d", (4, 4, 3), {"groups": 2, "dilation": 2}, (2, 4, 5, 4)),
    ("ConvTranspose3d", (2, 2, 2), {"stride": 2}, (1, 2, 2, 3, 2)),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, (2, 3, 9)),
    ("MaxPool2d", (2,), {}, (2, 3, 7, 6)),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, (2, 3, 8, 7)),
    ("MaxPool3d", (2,), {}, (1, 2, 4, 5, 4)),
    ("AvgPool1d", (2,), {}, (2, 3, 8)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1}, (2, 3, 8, 7)),
    ("AvgPool2d", (3,), {"padding": 1, "count_include_pad": False}, (2, 3, 8, 7)),
    ("AvgPool3d", (2,), {}, (1, 2, 4, 5, 4)),
    ("AdaptiveAvgPool1d", (3,), {}, (2, 3, 7)),
    ("AdaptiveAvgPool2d", (1,), {}, (2, 3, 7, 5)),
    ("AdaptiveAvgPool2d", ((3, None),), {}, (2, 3, 7, 5)),
    ("AdaptiveMaxPool2d", ((3, 2),), {}, (2, 3, 7, 5)),
    ("BatchNorm1d", (5,), {}, (6, 5)),
    ("BatchNorm1d", (5,), {"affine": False}, (6, 5, 3)),
    ("BatchNorm2d", (3,), {}, (4, 3, 5, 5)),
    ("BatchNorm2d", (3,), {"momentum": None, "eps": 1e-3}, (4, 3, 5, 5)),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, (4, 3, 5, 5)),
    ("BatchNorm3d", (3,), {}, (2, 3, 2, 3, 4)),
    ("LayerNorm", (6,), {}, (4, 6)),
    ("LayerNorm", ((3, 6),), {"bias": False}, (4, 3, 6)),
    ("LayerNorm", (6,), {"elementwise_affine": False}, (4, 6)),
    ("RMSNorm", (6,), {}, (4, 6)),
    ("RMSNorm", (6,), {"eps": 1e-3}, (4, 6)),
    ("GroupNorm", (2, 6), {}, (3, 6, 4, 4)),
    ("InstanceNorm1d", (3,), {"affine": True}, (2, 3, 5)),
    ("InstanceNorm1d", (3,), {}, (3, 5)),
    ("InstanceNorm2d", (3,), {}, (2, 3, 5, 4)),
    ("InstanceNorm2d", (3, 1e-3, 0.3, True, True), {}, (2, 3, 5, 4)),
    ("InstanceNorm3d", (2,), {"track_running_stats": True}, (2, 2, 3, 5, 4)),
    ("LocalResponseNorm", (2,), {"alpha": 0.5}, (2, 7, 5)),
    ("LocalResponseNorm", (5,), {"alpha": 0.5, "beta": 0.6, "k": 2.0}, (2, 7, 4, 3)),
    ("LocalResponseNorm", (3,), {}, (1, 2, 2, 4, 3)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Unflatten", (1, (3, 4)), {}, (2, 12)),
    ("PReLU", (3,), {}, (2, 3, 4)),
]
ACTIVATIONS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("ReLU", (), {}), ("ReLU6", (), {}), ("GELU", (), {}), ("GELU", (), {"approximate": "tanh"}),
    ("SiLU", (), {}), ("Mish", (), {}), ("Tanh", (), {}), ("Sigmoid", (), {}),
    ("LogSigmoid", (), {}), ("LeakyReLU", (0.2,), {}), ("ELU", (1.5,), {}), ("SELU", (), {}),
    ("CELU", (2.0,), {}), ("Softplus", (), {}), ("Softplus", (2.0, 3.0), {}), ("Softsign", (), {}),
    ("Softshrink", (0.3,), {}), ("Hardshrink", (0.3,), {}), ("Tanhshrink", (), {}),
    ("Threshold", (0.1, -2.0), {}), ("Hardtanh", (-0.5, 0.7), {}), ("Hardswish", (), {}),
    ("Hardsigmoid", (), {}), ("GLU", (-1,), {}), ("Softmax", (-1,), {}), ("LogSoftmax", (1,), {}),
    ("Softmin", (-1,), {}),
]  # fmt: skip


def compare(
    torch: Any, theirs: Any, ours: nn.Module, shape: tuple[int, ...], steps: int = 2
) -> None:
    """Same parameters, same inputs: same outputs, gradients, and state after `steps` calls."""
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    rng = np.random.default_rng(0)
    for _ in range(steps):
        data = (rng.standard_normal(shape) * 2).astype(np.float32)
        x = torch.tensor(data, requires_grad=True)
        z = sn.tensor(data, requires_grad=True)
        expected, got = theirs(x), ours(z)
        assert got.shape == tuple(expected.shape)
        np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), 2e-4, 2e-5)
        weights = rng.standard_normal(got.shape).astype(np.float32)
        expected.backward(torch.tensor(weights))
        got.backward(sn.tensor(weights))
        np.testing.assert_allclose(z.grad.numpy(), x.grad.numpy(), 1e-3, 1e-4)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(
            p.grad.numpy(), q.grad.numpy(), 1e-3, 2e-4, err_msg=f"gradient of {name}"
        )
    for (name, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), 1e-4, 1e-5, err_msg=name)
    theirs.eval()
    ours.eval()
    data = rng.standard_normal(shape).astype(np.float32)
    with torch.no_grad(), sn.no_grad():
        np.testing.assert_allclose(
            ours(sn.tensor(data)).numpy(), theirs(torch.tensor(data)).numpy(), 2e-4, 2e-5
        )


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "shape"), LAYERS, ids=lambda v: v if isinstance(v, str) else None
)
def test_layer(torch, name, args, kwargs, shape) -> None:  # type: ignore[no-untyped-def]
    compare(
        torch, getattr(torch.nn, name)(*args, **kwargs), getattr(nn, name)(*args, **kwargs), shape
    )


@pytest.mark.parametrize(("name", "args", "kwargs"), ACTIVATIONS, ids=str)
def test_activation(torch, name, args, kwargs) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = getattr(torch.nn, name)(*args, **kwargs), getattr(nn, name)(*args, **kwargs)
    compare(torch, theirs, ours, (5, 6), steps=1)


def test_embedding(torch) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = torch.nn.Embedding(7, 3, padding_idx=2), nn.Embedding(7, 3, padding_idx=2)
    assert ours.weight[2].tolist() == [0.0, 0.0, 0.0]
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    index = np.array([[0, 2, 2], [6, 0, 1]])
    expected, got = theirs(torch.tensor(index)), ours(sn.tensor(index))
    np.testing.assert_array_equal(got.detach().numpy(), expected.detach().numpy())
    (expected**2).sum().backward()
    (got**2).sum().backward()
    np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), 1e-6)
    with pytest.raises(sn.IndexOutOfRange):
        ours(sn.tensor([7])).tolist()


def test_bilinear(torch) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = torch.nn.Bilinear(3, 4, 2), nn.Bilinear(3, 4, 2)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    a, b = np.random.default_rng(0).standard_normal((2, 5, 4)).astype(np.float32)
    expected = theirs(torch.tensor(a[:, :3]), torch.tensor(b))
    got = ours(sn.tensor(a[:, :3].copy()), sn.tensor(b))
    np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), 1e-4, 1e-5)


def test_max_pool_indices(torch) -> None:  # type: ignore[no-untyped-def]
    data = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)
    expected = torch.nn.MaxPool2d(2, return_indices=True)(torch.tensor(data))
    got = nn.MaxPool2d(2, return_indices=True)(sn.tensor(data))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


LOSSES: list[tuple[str, dict[str, Any], str]] = [
    ("MSELoss", {}, "real"),
    ("MSELoss", {"reduction": "sum"}, "real"),
    ("L1Loss", {}, "real"),
    ("SmoothL1Loss", {"beta": 0.5}, "real"),
    ("HuberLoss", {"delta": 0.5}, "real"),
    ("HuberLoss", {"reduction": "none"}, "real"),
    ("CrossEntropyLoss", {}, "label"),
    ("CrossEntropyLoss", {"label_smoothing": 0.1, "ignore_index": 1}, "label"),
    ("CrossEntropyLoss", {"reduction": "none"}, "label"),
    ("NLLLoss", {}, "label"),
    ("BCEWithLogitsLoss", {}, "chance"),
    ("BCELoss", {}, "chances"),
    ("KLDivLoss", {"reduction": "batchmean"}, "chance"),
    ("KLDivLoss", {"reduction": "sum", "log_target": True}, "real"),
]


@pytest.mark.parametrize(("name", "kwargs", "kind"), LOSSES, ids=str)
def test_loss(torch, name, kwargs, kind) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    data = rng.standard_normal((6, 4)).astype(np.float32)
    target: Any = rng.standard_normal((6, 4)).astype(np.float32)
    if kind == "label":
        target = rng.integers(0, 4, 6)
    elif kind in ("chance", "chances"):
        target = rng.random((6, 4)).astype(np.float32)
    if kind == "chances":
        data = rng.random((6, 4)).astype(np.float32)
    x, z = torch.tensor(data, requires_grad=True), sn.tensor(data, requires_grad=True)
    expected = getattr(torch.nn, name)(**kwargs)(x, torch.tensor(target))
    got = getattr(nn, name)(**kwargs)(z, sn.tensor(target))
    np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), 1e-5, 1e-6)
    expected.sum().backward()
    got.sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), x.grad.numpy(), 1e-4, 1e-6)


def test_weighted_losses(torch) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    data, labels = rng.standard_normal((6, 4)).astype(np.float32), rng.integers(0, 4, 6)
    weight = rng.random(4).astype(np.float32)
    for name in ("CrossEntropyLoss", "NLLLoss"):
        expected = getattr(torch.nn, name)(torch.tensor(weight))(
            torch.tensor(data), torch.tensor(labels)
        )
        got = getattr(nn, name)(sn.tensor(weight))(sn.tensor(data), sn.tensor(labels))
        assert abs(got.item() - expected.item()) < 1e-5
    chances = rng.random((6, 4)).astype(np.float32)
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight))(
        torch.tensor(data), torch.tensor(chances)
    )
    got = nn.BCEWithLogitsLoss(pos_weight=sn.tensor(weight))(sn.tensor(data), sn.tensor(chances))
    assert abs(got.item() - expected.item()) < 1e-5


def test_losses_never_broadcast() -> None:
    for name in ("mse_loss", "l1_loss", "huber_loss", "binary_cross_entropy_with_logits"):
        with pytest.raises(sn.ShapeError):
            getattr(nn.functional, name)(sn.ones((4, 1)), sn.ones(4))


def test_functional_batch_norm(torch) -> None:  # type: ignore[no-untyped-def]
    data = np.random.default_rng(0).standard_normal((4, 3, 5)).astype(np.float32)
    mean, var = torch.zeros(3), torch.ones(3)
    ours_mean, ours_var = sn.zeros(3), sn.ones(3)
    expected = torch.nn.functional.batch_norm(torch.tensor(data), mean, var, training=True)
    got = nn.functional.batch_norm(sn.tensor(data), ours_mean, ours_var, training=True)
    np.testing.assert_allclose(got.numpy(), expected.numpy(), 1e-4, 1e-5)
    np.testing.assert_allclose(ours_mean.numpy(), mean.numpy(), 1e-5, 1e-6)
    np.testing.assert_allclose(ours_var.numpy(), var.numpy(), 1e-5, 1e-6)


def test_dropout() -> None:
    sn.random.seed(1)
    x = sn.ones((200, 50))
    y = nn.Dropout(0.25)(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    y = nn.Dropout2d(0.5)(sn.ones((10, 20, 3, 3))).numpy()
    assert all(len(np.unique(plane)) == 1 for plane in y.reshape(-1, 9))
    assert nn.Dropout(0.5).eval()(x) is x
    with pytest.raises(sn.InvalidValue):
        nn.Dropout(1.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(0, 3),
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        lambda: nn.Conv2d(3, 4, (3, 3, 3)),
        lambda: nn.Conv2d(3, 4, 3, padding="same", stride=2),
        lambda: nn.Conv2d(3, 4, 3, padding="full"),
        lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"),
        lambda: nn.GroupNorm(2, 3),
        lambda: nn.Embedding(3, 2, padding_idx=3),
        lambda: nn.BatchNorm2d(3)(sn.ones((2, 3, 4))),
        lambda: nn.functional.gelu(sn.ones(1), approximate="maybe"),
        lambda: nn.functional.glu(sn.ones(3)),
    ],
)
def test_mistakes_are_named(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(sn.SennitError, match=r"^\[\w+"):
        make()


def test_instance_norm_refuses_what_has_no_variance_or_other_channels() -> None:
    with pytest.raises(sn.SennitError, match="one value per channel") as caught:
        nn.InstanceNorm2d(3)(sn.ones((2, 3, 1, 1)))
    assert "at least two" in str(caught.value)
    with pytest.raises(sn.SennitError, match="with 4 channels; the layer was made for 3"):
        nn.InstanceNorm1d(3, affine=True)(sn.ones((2, 4, 5)))
    assert nn.InstanceNorm1d(3)(sn.ones((2, 4, 5))).shape == (2, 4, 5)  # as in PyTorch
    with pytest.raises(sn.SennitError, match="3 or 4 dimensions"):
        nn.InstanceNorm2d(3)(sn.ones((2, 3)))


def test_local_response_norm_refuses() -> None:
    with pytest.raises(sn.SennitError, match=r"shape \(2, 3\)"):
        nn.LocalResponseNorm(2)(sn.ones((2, 3)))
    with pytest.raises(sn.SennitError, match="size is 0"):
        nn.LocalResponseNorm(0)(sn.ones((2, 3, 4)))
    assert nn.LocalResponseNorm(2)(sn.ones((0, 3, 4))).shape == (0, 3, 4)


@pytest.mark.parametrize("layer", [nn.LocalResponseNorm(3, 0.5), nn.InstanceNorm1d(4)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_normalisation_in_other_dtypes(layer: nn.Module, dtype: str) -> None:
    x = sn.random.normal(shape=(2, 4, 7), dtype=getattr(sn, dtype))
    y = layer(x)
    assert y.dtype == x.dtype
    wanted = layer(x.astype(sn.float32)).numpy()
    rtol = {"float16": 4e-3, "bfloat16": 4e-2, "float64": 1e-4}[dtype]
    np.testing.assert_allclose(y.astype(sn.float32).numpy(), wanted, rtol=rtol, atol=rtol)
