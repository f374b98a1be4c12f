"""VGG (Simonyan, Zisserman, "Very Deep Convolutional Networks", 2014)."""

from __future__ import annotations

from typing import Any

from .. import nn

__all__ = [
    "VGG",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]

# Convolutions per resolution.
_LAYERS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_CHANNELS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """3x3 convolutions and max pooling: (N, 3, H, W) to (N, num_classes).

    Modules are called as in torchvision, so that its `state_dict` loads.

    Parameters
    ----------
    depth : int
        11, 13, 16 or 19 layers with weights.
    num_classes : int
    batch_norm : bool
        Whether each convolution is followed by batch normalisation.
    dropout : float
        Between the layers of the classifier.

    Examples
    --------
    >>> sum(p.size for p in sn.models.VGG(11).parameters())
    132863336
    """

    def __init__(
        self, depth: int, num_classes: int = 1000, batch_norm: bool = False, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if depth not in _LAYERS:
            raise ValueError(f"[VGG] depth is {depth}; it must be 11, 13, 16 or 19")
        layers: list[Any] = []
        channels = 3
        for planes, count in zip(_CHANNELS, _LAYERS[depth], strict=True):
            for _ in range(count):
                layers.append(nn.Conv2d(channels, planes, 3, padding=1))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(planes))
                layers.append(nn.ReLU(inplace=True))
                channels = planes
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.01)
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def vgg11(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 11 layers: 132,863,336 parameters.

    Examples
    --------
    >>> sum(isinstance(m, sn.nn.Conv2d) for m in sn.models.vgg11().features)
    8
    """
    return VGG(11, num_classes, **options)


def vgg11_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 11 layers with batch normalisation: 132,868,840 parameters.

    Examples
    --------
    >>> sum(isinstance(m, sn.nn.BatchNorm2d) for m in sn.models.vgg11_bn().features)
    8
    """
    return VGG(11, num_classes, batch_norm=True, **options)


def vgg13(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 13 layers: 133,047,848 parameters.

    Examples
    --------
    >>> sum(isinstance(m, sn.nn.Conv2d) for m in sn.models.vgg13().features)
    10
    """
    return VGG(13, num_classes, **options)


def vgg13_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 13 layers with batch normalisation: 133,053,736 parameters.

    Examples
    --------
    >>> sum(isinstance(m, sn.nn.BatchNorm2d) for m in sn.models.vgg13_bn().features)
    10
    """
    return VGG(13, num_classes, batch_norm=True, **options)


def vgg16(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 16 layers: 138,357,544 parameters.

    Examples
    --------
    >>> sum(isinstance(m, sn.nn.Conv2d) for m in sn.models.vgg16().features)
    13
    """
    return VGG(16, num_classes, **options)


def vgg16_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 16 layers with batch normalisation: 138,365,992 parameters.

    Examples
    --------
    >>> sum(isinstance(m, sn.nn.BatchNorm2d) for m in sn.models.vgg16_bn().features)
    13
    """
    return VGG(16, num_classes, batch_norm=True, **options)


def vgg19(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 19 layers: 143,667,240 parameters.

    Examples
    --------
    >>> sum(isinstance(m, sn.nn.Conv2d) for m in sn.models.vgg19().features)
    16
    """
    return VGG(19, num_classes, **options)


def vgg19_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """`VGG` of 19 layers with batch normalisation: 143,678,248 parameters.

    Examples
    --------
    >>> sum(isinstance(m, sn.nn.BatchNorm2d) for m in sn.models.vgg19_bn().features)
    16
    """
    return VGG(19, num_classes, batch_norm=True, **options)
