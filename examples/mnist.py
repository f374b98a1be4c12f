"""Train a convolutional network on MNIST to at least 99.2 % on the 10,000 test digits.

    python examples/mnist.py [--root FOLDER] [--epochs 6]

The four idx files are looked for in --root, SENNIT_DATA or the user's cache, and else downloaded.
The same parameter hash comes out for any SENNIT_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import sennit as sn
from sennit import nn
from sennit.train import Average, Progress, accuracy, parameter_hash

GOAL = 0.992


def make_model() -> nn.Module:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *block(1, 32),
        *block(32, 32),
        nn.MaxPool2d(2),
        *block(32, 64),
        *block(64, 64),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def evaluate(model: nn.Module, data: sn.data.TensorDataset) -> float:
    model.eval()
    hits = Average()
    with sn.no_grad():
        for x, y in sn.data.DataLoader(data, batch_size=1000):
            hits.add(accuracy(model(x), y), len(y))
    model.train()
    return hits.value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of the four idx files")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=60_000, help="to learn from, of 60,000")
    parser.add_argument("--output", type=Path, help="where to save the weights (safetensors)")
    options = parser.parse_args()

    sn.random.seed(0)
    train, test = sn.data.mnist(options.root)
    train = sn.data.TensorDataset(*(t[: options.images] for t in train.tensors))
    model = make_model()
    print(sn.summary(model, (1, 1, 28, 28)))
    loader = sn.data.DataLoader(train, options.batch_size, shuffle=True, drop_last=True, seed=0)
    optimizer = sn.optim.Adam(model.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    start, step, steps = time.perf_counter(), 0, len(loader) * options.epochs
    with Progress(steps * options.batch_size, unit="images") as progress:
        for epoch in range(1, options.epochs + 1):
            mean = Average()
            for x, y in loader:
                # The rate falls in a straight line to zero.
                optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / steps)
                loss = loss_of(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
                # Reading a value waits for it, so it is done now and then only.
                if step % 20 == 0:
                    progress.advance(20 * options.batch_size, loss=loss.item())
                mean.add(loss)
            held_out = evaluate(model, test)
            progress.line(f"epoch {epoch}: loss {mean.value:.4f}, test accuracy {held_out:.2%}")
    seconds = time.perf_counter() - start

    if options.output is not None:
        sn.save(model.state_dict(), options.output, metadata={"accuracy": f"{held_out:.4f}"})
        print(f"wrote {options.output}")
    print(f"{options.epochs} epochs in {seconds:.1f} s with {sn.num_threads()} threads")
    print(f"test accuracy: {held_out:.2%} of {len(test)} (at least {GOAL:.1%} is required)")
    print(f"parameter hash: {parameter_hash(model)}")
    return 0 if held_out >= GOAL or options.epochs < 6 else 1


if __name__ == "__main__":
    sys.exit(main())
