"""Networks of `sennit.models`: sizes, names, against PyTorch, and that they learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import models, nn

# Parameters as torchvision's networks have them; ResNet-20 as in section 4.2 of its paper, with
# 1x1 convolutions where the resolution changes.
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "mobilenet_v2": 3_504_872,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "resnet20": 272_474,
    "LeNet5": 61_706,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters(name: str) -> None:
    made = getattr(models, name)()
    assert sum(p.size for p in made.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(
    "name, image, classes",
    [("resnet18", 64, 7), ("resnet50", 32, 5), ("mobilenet_v2", 64, 3), ("vgg11_bn", 32, 4),
     ("resnet20", 32, 10)],
)  # fmt: skip
def test_shapes(name: str, image: int, classes: int) -> None:
    net = getattr(models, name)(num_classes=classes).eval()
    with sn.no_grad():
        y = net(sn.ones((2, 3, image, image)))
    assert y.shape == (2, classes)
    assert np.isfinite(y.numpy()).all()


def test_names_of_published_weights() -> None:
    names = models.resnet50().state_dict().keys()
    for name in (
        "conv1.weight", "bn1.running_mean", "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.num_batches_tracked", "layer4.2.conv3.weight", "fc.bias",
    ):  # fmt: skip
        assert name in names
    assert len(names) == 320
    names = models.mobilenet_v2().state_dict().keys()
    for name in (
        "features.0.0.weight", "features.0.1.bias", "features.1.conv.0.0.weight",
        "features.1.conv.1.weight", "features.2.conv.0.0.weight", "features.2.conv.1.1.running_var",
        "features.17.conv.3.weight", "features.18.0.weight", "classifier.1.weight",
    ):  # fmt: skip
        assert name in names
    assert len(names) == 314
    assert list(models.vgg16().state_dict())[:2] == ["features.0.weight", "features.0.bias"]
    assert "classifier.6.weight" in models.vgg16().state_dict()


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="depth is 12"):
        models.VGG(12)
    with pytest.raises(ValueError, match="stride is 3"):
        models.InvertedResidual(4, 4, 3, 6)


def test_zero_init_residual_starts_as_the_identity() -> None:
    net = models.resnet20(zero_init_residual=True)
    block = net.layer1[0].eval()
    x = sn.random.uniform(shape=(2, 16, 8, 8))
    assert (block(x) == x).all().item()


@pytest.mark.parametrize(
    "name, rate", [("resnet20", 0.02), ("mobilenet_v2", 0.02), ("LeNet5", 0.1)]
)
def test_training_steps_lower_the_loss(name: str, rate: float) -> None:
    sn.random.seed(0)
    net = getattr(models, name)(num_classes=4)
    shape = (8, 1, 28, 28) if name == "LeNet5" else (8, 3, 32, 32)
    x, labels = sn.random.normal(shape=shape), sn.tensor([0, 1, 2, 3] * 2)
    optimizer = sn.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        sn.random.seed(1)  # one mask of dropout for all steps
        loss = nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] * 0.9


# ---- against PyTorch


def twin(torch: Any, name: str) -> Any:
    """A block, written by hand with PyTorch's layers and the same names."""
    tn = torch.nn

    class Basic(tn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = tn.Conv2d(6, 8, 3, 2, 1, bias=False)
            self.bn1 = tn.BatchNorm2d(8)
            self.conv2 = tn.Conv2d(8, 8, 3, 1, 1, bias=False)
            self.bn2 = tn.BatchNorm2d(8)
            self.downsample = tn.Sequential(tn.Conv2d(6, 8, 1, 2, bias=False), tn.BatchNorm2d(8))

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.bn1(self.conv1(x)))
            return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))

    class Bottle(tn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = tn.Conv2d(16, 4, 1, bias=False)
            self.bn1 = tn.BatchNorm2d(4)
            self.conv2 = tn.Conv2d(4, 4, 3, 1, 1, bias=False)
            self.bn2 = tn.BatchNorm2d(4)
            self.conv3 = tn.Conv2d(4, 16, 1, bias=False)
            self.bn3 = tn.BatchNorm2d(16)

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.bn1(self.conv1(x)))
            y = torch.relu(self.bn2(self.conv2(y)))
            return torch.relu(self.bn3(self.conv3(y)) + x)

    class Inverted(tn.Module):
        def __init__(self) -> None:
            super().__init__()

            def part(i: int, o: int, k: int, g: int) -> Any:
                conv = tn.Conv2d(i, o, k, 1, k // 2, groups=g, bias=False)
                return tn.Sequential(conv, tn.BatchNorm2d(o), tn.ReLU6())

            self.conv = tn.Sequential(
                part(6, 36, 1, 1), part(36, 36, 3, 36),
                tn.Conv2d(36, 6, 1, bias=False), tn.BatchNorm2d(6),
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            return x + self.conv(x)

    return {"basic": Basic, "bottleneck": Bottle, "inverted": Inverted}[name]()


@pytest.mark.oracle
@pytest.mark.parametrize("name, channels", [("basic", 6), ("bottleneck", 16), ("inverted", 6)])
def test_block_against_pytorch(name: str, channels: int) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = twin(torch, name)
    ours: Any
    if name == "basic":
        down = nn.Sequential(nn.Conv2d(6, 8, 1, 2, bias=False), nn.BatchNorm2d(8))
        ours = models.BasicBlock(6, 8, 2, down)
    elif name == "bottleneck":
        ours = models.Bottleneck(16, 4)
    else:
        ours = models.InvertedResidual(6, 6, 1, 6)
    found = ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    assert not found.missing_keys and not found.unexpected_keys
    data = np.random.default_rng(0).standard_normal((3, channels, 9, 7)).astype(np.float32)
    for training in (True, False):
        theirs.train(training)
        ours.train(training)
        a = torch.tensor(data, requires_grad=True)
        b = sn.tensor(data, requires_grad=True)
        want, have = theirs(a), ours(b)
        want.square().sum().backward()
        (have * have).sum().backward()
        np.testing.assert_allclose(
            have.detach().numpy(), want.detach().numpy(), rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), rtol=1e-3, atol=1e-3)
    for (key, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        scale = float(q.grad.abs().max())
        np.testing.assert_allclose(
            p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-3 * scale, err_msg=key
        )
