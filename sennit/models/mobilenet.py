"""MobileNetV2 (Sandler et al., "Inverted Residuals and Linear Bottlenecks", 2018)."""

from __future__ import annotations

from typing import Any

from .. import nn

__all__ = ["InvertedResidual", "MobileNetV2", "mobilenet_v2"]


def _divisible(value: float, divisor: int = 8) -> int:
    """The nearest multiple that does not lose more than a tenth of the channels."""
    near = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * value else near


def _conv_bn_relu6(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """A 1x1 convolution to more channels, a depthwise 3x3, and a linear 1x1 back to fewer.

    Parameters
    ----------
    inp, oup : int
        Channels of the input and of the result.
    stride : int
        1 or 2. The input is added to the result when both have one shape.
    expand_ratio : int
        How many times more channels there are inside; 1 leaves the first convolution out.

    Examples
    --------
    >>> sn.models.InvertedResidual(8, 8, 1, 6)(sn.ones((1, 8, 4, 4))).shape
    (1, 8, 4, 4)
    """

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(
                f"[InvertedResidual] stride is {stride}; it must be 1 or 2; use another block"
            )
        self.stride = stride
        self.use_res_connect = stride == 1 and inp == oup
        hidden = round(inp * expand_ratio)
        layers: list[Any] = []
        if expand_ratio != 1:
            layers.append(_conv_bn_relu6(inp, hidden))
        layers += [
            _conv_bn_relu6(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, oup, 1, bias=False),
            nn.BatchNorm2d(oup),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Any) -> Any:
        return self.conv(x) + x if self.use_res_connect else self.conv(x)


# Expansion, channels, blocks and stride of the first block, per stage: table 2 of the paper.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV2(nn.Module):
    """MobileNetV2: (N, 3, H, W) to (N, num_classes), for images of about 224 x 224.

    Modules are called as in torchvision, so that its `state_dict` loads.

    Parameters
    ----------
    num_classes : int
    width_mult : float
        Factor on the channels of all layers.
    dropout : float
        Before the classifier.

    Examples
    --------
    >>> sn.models.MobileNetV2(10, width_mult=0.25).eval()(sn.ones((2, 3, 32, 32))).shape
    (2, 10)
    """

    def __init__(
        self, num_classes: int = 1000, width_mult: float = 1.0, dropout: float = 0.2
    ) -> None:
        super().__init__()
        channels = _divisible(32 * width_mult)
        self.last_channel = _divisible(1280 * max(1.0, width_mult))
        features: list[Any] = [_conv_bn_relu6(3, channels, 3, 2)]
        for expand, planes, count, stride in _STAGES:
            outputs = _divisible(planes * width_mult)
            for i in range(count):
                features.append(
                    InvertedResidual(channels, outputs, stride if i == 0 else 1, expand)
                )
                channels = outputs
        features.append(_conv_bn_relu6(channels, self.last_channel))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.last_channel, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x).mean((2, 3)))


def mobilenet_v2(num_classes: int = 1000, **options: Any) -> MobileNetV2:
    """`MobileNetV2`: 3,504,872 parameters, 0.3 billion multiply-adds at 224 x 224.

    Examples
    --------
    >>> sum(p.size for p in sn.models.mobilenet_v2().parameters())
    3504872
    """
    return MobileNetV2(num_classes, **options)
