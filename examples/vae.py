"""Train a variational autoencoder on MNIST and draw digits that nobody wrote.

    python examples/vae.py [--root FOLDER] [--epochs 10] [--output vae.png]

784-400-20-400-784, as in the paper's example; the figure is the bound on the negative logarithm of
the likelihood per test image, in nats.

D. Kingma, M. Welling: Auto-encoding variational Bayes. ICLR 2014.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import sennit as sn
from sennit import nn
from sennit.train import parameter_hash

F = nn.functional
LATENT, BATCH = 20, 128


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 400), nn.ReLU())
        self.mean = nn.Linear(400, LATENT)
        self.log_variance = nn.Linear(400, LATENT)
        self.decoder = nn.Sequential(nn.Linear(LATENT, 400), nn.ReLU(), nn.Linear(400, 784))

    def loss(self, x: sn.Tensor) -> sn.Tensor:
        """The bound, summed over the batch."""
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + sn.randn_like(mean) * sn.exp(0.5 * log_variance)
        wrong = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        far = -0.5 * (1 + log_variance - mean * mean - sn.exp(log_variance)).sum()
        return wrong + far


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of MNIST's four idx files")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, default=60_000, help="to learn from, of 60,000")
    parser.add_argument("--output", type=Path, default=Path("vae.png"))
    options = parser.parse_args()

    train_data, test_data = sn.data.mnist(options.root)
    images = train_data.tensors[0].numpy().reshape(-1, 784)[: options.images]
    held_out = test_data.tensors[0].numpy().reshape(-1, 784)
    sn.random.seed(0)
    draw = np.random.default_rng(0)
    model = VAE()
    optimizer = sn.optim.Adam(model.parameters(), lr=1e-3)
    begin = time.perf_counter()
    for epoch in range(options.epochs):
        order = draw.permutation(len(images))
        total = 0.0
        for i in range(0, len(order), BATCH):
            x = sn.asarray(images[order[i : i + BATCH]])
            loss = model.loss(x) / x.shape[0]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total = total + loss.detach() * x.shape[0]
        print(f"epoch {epoch + 1}: {float(total) / len(images):.2f} nats", flush=True)
    seconds = time.perf_counter() - begin
    with sn.no_grad():
        parts = range(0, len(held_out), 1000)
        bound = sum(float(model.loss(sn.asarray(held_out[i : i + 1000]))) for i in parts)
        z = sn.asarray(draw.standard_normal((100, LATENT)).astype(np.float32))
        picture = sn.sigmoid(model.decoder(z)).numpy()
    print(f"bound {bound / len(held_out):.2f} nats on the test images, {seconds:.1f} s")
    print(f"parameters {parameter_hash(model)}")
    save_grid(picture.reshape(-1, 28, 28), options.output)
    return 0


def save_grid(images: np.ndarray, path: Path, columns: int = 10) -> None:
    from PIL import Image

    rows = len(images) // columns
    grid = images[: rows * columns].reshape(rows, columns, 28, 28).swapaxes(1, 2)
    pixels = np.clip(255 * grid.reshape(rows * 28, columns * 28), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).resize((columns * 56, rows * 56), Image.Resampling.NEAREST).save(path)
    print(f"written: {path}")


if __name__ == "__main__":
    raise SystemExit(main())
