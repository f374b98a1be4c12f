"""Trains a small convolutional network on handwritten digits and saves it for classify.cpp.

python save_digits.py digits.sn
"""

from __future__ import annotations

import sys

import sennit as sn
from sennit import nn


def main(path: str, epochs: int = 15) -> float:
    """Saves the network, with probabilities as its results; returns its accuracy."""
    sn.random.seed(0)
    train, test = sn.data.digits()
    images, labels = train.tensors
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = sn.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for at in range(0, len(labels), 64):
            loss = nn.functional.cross_entropy(model(images[at : at + 64]), labels[at : at + 64])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    deployed = nn.Sequential(model, nn.Softmax(-1)).eval()
    sn.trace(deployed, sn.TensorSpec((1, 1, 8, 8))).save(path)
    images, labels = test.tensors
    return float((model(images).argmax(-1) == labels).astype(sn.float32).mean())


if __name__ == "__main__":
    print(f"accuracy {main(sys.argv[1]):.3f}")
