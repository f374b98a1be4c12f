"""Residual networks (He et al., "Deep Residual Learning for Image Recognition", 2015)."""

from __future__ import annotations

from typing import Any

from .. import nn

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "CifarResNet",
    "ResNet",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
]


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


def _conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input goes: (N, C, H, W) to (N, planes, H', W').

    Parameters
    ----------
    inplanes, planes : int
        Channels of the input and of the result.
    stride : int
        Of the first convolution.
    downsample : Module or None
        What brings the input to the result's shape, where that differs.

    Examples
    --------
    >>> sn.models.BasicBlock(8, 8)(sn.ones((1, 8, 4, 4))).shape
    (1, 8, 4, 4)
    """

    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: Any = None) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inplanes, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + identity)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around which the input goes; the result has 4 `planes`.

    The stride stands at the 3x3 convolution, as in torchvision ("ResNet v1.5").

    Parameters
    ----------
    inplanes, planes : int
        Channels of the input, and of the narrow part.
    stride : int
    downsample : Module or None

    Examples
    --------
    >>> sn.models.Bottleneck(16, 4)(sn.ones((1, 16, 4, 4))).shape
    (1, 16, 4, 4)
    """

    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: Any = None) -> None:
        super().__init__()
        self.conv1 = _conv1x1(inplanes, planes)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv3x3(planes, planes, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = _conv1x1(planes, planes * self.expansion)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + identity)


def _stage(block: Any, inplanes: int, planes: int, count: int, stride: int) -> nn.Sequential:
    """Blocks of one resolution; the first one takes the stride and the change of channels."""
    outputs = planes * block.expansion
    downsample = None
    if stride != 1 or inplanes != outputs:
        downsample = nn.Sequential(_conv1x1(inplanes, outputs, stride), nn.BatchNorm2d(outputs))
    first = block(inplanes, planes, stride, downsample)
    return nn.Sequential(first, *(block(outputs, planes) for _ in range(count - 1)))


def _initialise(model: nn.Module, zero_init_residual: bool) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if not zero_init_residual:
        return
    for module in model.modules():
        if isinstance(module, BasicBlock | Bottleneck):
            last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            if last.weight is not None:
                nn.init.zeros_(last.weight)


class ResNet(nn.Module):
    """A residual network for images of about 224 x 224: (N, 3, H, W) to (N, num_classes).

    Modules are called as in torchvision, so that its `state_dict` loads.

    Parameters
    ----------
    block : type
        `BasicBlock` or `Bottleneck`.
    layers : sequence of four ints
        Blocks per resolution.
    num_classes : int
    zero_init_residual : bool
        Whether each block starts as the identity (Goyal et al. 2017).

    Examples
    --------
    >>> net = sn.models.ResNet(sn.models.BasicBlock, (1, 1, 1, 1), num_classes=10)
    >>> net(sn.ones((2, 3, 32, 32))).shape
    (2, 10)
    """

    def __init__(
        self,
        block: Any,
        layers: tuple[int, int, int, int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        wide = block.expansion
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(block, 64, 64, layers[0], 1)
        self.layer2 = _stage(block, 64 * wide, 128, layers[1], 2)
        self.layer3 = _stage(block, 128 * wide, 256, layers[2], 2)
        self.layer4 = _stage(block, 256 * wide, 512, layers[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * wide, num_classes)
        _initialise(self, zero_init_residual)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class CifarResNet(nn.Module):
    """A residual network for images of 32 x 32, section 4.2 of the paper: 6 n + 2 layers.

    Parameters
    ----------
    blocks : int
        n, blocks per resolution: 3 for ResNet-20, 9 for ResNet-56.
    num_classes : int
    zero_init_residual : bool

    Examples
    --------
    >>> sn.models.CifarResNet(1)(sn.ones((2, 3, 32, 32))).shape
    (2, 10)
    """

    def __init__(
        self, blocks: int, num_classes: int = 10, zero_init_residual: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(3, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(BasicBlock, 16, 16, blocks, 1)
        self.layer2 = _stage(BasicBlock, 16, 32, blocks, 2)
        self.layer3 = _stage(BasicBlock, 32, 64, blocks, 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(64, num_classes)
        _initialise(self, zero_init_residual)

    def forward(self, x: Any) -> Any:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """`ResNet` of 18 layers: 11,689,512 parameters, 1.8 billion multiply-adds at 224 x 224.

    Examples
    --------
    >>> sum(p.size for p in sn.models.resnet18().parameters())
    11689512
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """`ResNet` of 34 layers: 21,797,672 parameters, 3.7 billion multiply-adds at 224 x 224.

    Examples
    --------
    >>> len(sn.models.resnet34().layer3)
    6
    """
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """`ResNet` of 50 layers: 25,557,032 parameters, 4.1 billion multiply-adds at 224 x 224.

    Examples
    --------
    >>> sum(p.size for p in sn.models.resnet50().parameters())
    25557032
    """
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, **options)


def resnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """`ResNet` of 101 layers: 44,549,160 parameters, 7.8 billion multiply-adds at 224 x 224.

    Examples
    --------
    >>> len(sn.models.resnet101().layer3)
    23
    """
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, **options)


def resnet152(num_classes: int = 1000, **options: Any) -> ResNet:
    """`ResNet` of 152 layers: 60,192,808 parameters, 11.5 billion multiply-adds at 224 x 224.

    Examples
    --------
    >>> len(sn.models.resnet152().layer2)
    8
    """
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, **options)


def resnet20(num_classes: int = 10, **options: Any) -> CifarResNet:
    """`CifarResNet` of 20 layers for CIFAR: 41 million multiply-adds at 32 x 32.

    Changes of resolution go through a 1x1 convolution ("option B" of the paper).

    Examples
    --------
    >>> sn.models.resnet20()(sn.ones((1, 3, 32, 32))).shape
    (1, 10)
    """
    return CifarResNet(3, num_classes, **options)
