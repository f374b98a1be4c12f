"""LeNet-5 (LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998)."""

from __future__ import annotations

from typing import Any

from .. import nn

__all__ = ["LeNet5"]


class LeNet5(nn.Module):
    """LeNet-5 as it is used today, with ReLU and max pooling: (N, C, 28, 28) to (N, num_classes).

    Parameters
    ----------
    num_classes : int
    in_channels : int
        1 for grey images.

    Examples
    --------
    >>> net = sn.models.LeNet5()
    >>> net(sn.ones((2, 1, 28, 28))).shape
    (2, 10)
    >>> sum(p.size for p in net.parameters())
    61706
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU()
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Any) -> Any:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.relu(self.fc1(x.flatten(1)))
        return self.fc3(self.relu(self.fc2(x)))
