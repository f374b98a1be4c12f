"""Train a convolutional GAN on MNIST and draw digits that nobody wrote.

    python examples/gan.py [--root FOLDER] [--steps 1500] [--output gan.png]

A small DCGAN: transposed convolutions from noise to 28 x 28, and a network of strided convolutions
that tells drawn from written digits.

A. Radford, L. Metz, S. Chintala: Unsupervised representation learning with deep convolutional
generative adversarial networks. ICLR 2016.
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
NOISE, BATCH = 64, 64


def make_generator() -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(NOISE, 128, 7, bias=False), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, stride=2, padding=1), nn.Tanh(),
    )  # fmt: skip


def make_critic() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(128 * 7 * 7, 1),
    )  # fmt: skip


def start(model: nn.Module) -> nn.Module:
    """DCGAN's first weights: normal, 0.02 wide; the scales of the norms around 1."""
    for name, p in model.named_parameters():
        if p.ndim > 1:
            nn.init.normal_(p, std=0.02)
        elif name.endswith("weight"):
            nn.init.normal_(p, mean=1.0, std=0.02)
    return model


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of MNIST's four idx files")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--output", type=Path, default=Path("gan.png"))
    options = parser.parse_args()

    images = sn.data.mnist(options.root)[0].tensors[0].numpy() * 2 - 1
    sn.random.seed(0)
    draw = np.random.default_rng(0)
    generator, critic = start(make_generator()), start(make_critic())
    optimizers = [
        sn.optim.Adam(model.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for model in (generator, critic)
    ]

    def noise(count: int) -> sn.Tensor:
        return sn.asarray(draw.standard_normal((count, NOISE, 1, 1)).astype(np.float32))

    def judged(x: sn.Tensor, real: bool) -> sn.Tensor:
        score = critic(x)
        target = sn.ones_like(score) if real else sn.zeros_like(score)
        return F.binary_cross_entropy_with_logits(score, target)

    still = noise(100)
    begin = time.perf_counter()
    for step in range(options.steps):
        written = sn.asarray(images[draw.integers(0, len(images), BATCH)])
        drawn = generator(noise(BATCH))
        critic_loss = judged(written, True) + judged(drawn.detach(), False)
        optimizers[1].zero_grad()
        critic_loss.backward()
        optimizers[1].step()

        loss = judged(drawn, True)  # the generator's aim: to be taken for real
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        if step % 100 == 0:
            print(f"step {step:5d}: critic {float(critic_loss):.3f}, generator {float(loss):.3f}",
                  flush=True)  # fmt: skip
    print(f"{options.steps} steps, {time.perf_counter() - begin:.1f} s")
    print(f"parameters {parameter_hash(generator)}")
    generator.eval()
    with sn.no_grad():
        picture = generator(still).numpy().reshape(-1, 28, 28)
    from vae import save_grid

    save_grid(picture / 2 + 0.5, options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
