"""Train a convolutional network on handwritten digits, and prove what Sennit promises.

    python examples/demo.py [--epochs 30] [--output demo_output]

Writes the weights (safetensors), the loss curve and a picture of ten test digits with predictions.
The same program gives the same parameter hash on any machine, with any number of threads.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import sennit as sn
from sennit import nn
from sennit.train import Average, Progress, accuracy, parameter_hash

GOAL = 0.98


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def predict(model: nn.Module, images: sn.Tensor) -> sn.Tensor:
    model.eval()
    with sn.no_grad():
        logits = model(images)
    model.train()
    return logits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    sn.random.seed(0)
    train, test = sn.data.digits()
    images, labels = test.tensors
    model = make_model()
    print(sn.summary(model, (1, 1, 8, 8)))
    print(f"{len(train)} digits to learn from, {len(test)} held out, {sn.num_threads()} threads")

    loader = sn.data.DataLoader(train, batch_size=64, shuffle=True, seed=0)
    optimizer = sn.optim.AdamW(model.parameters(), lr=2e-3)
    loss_of = nn.CrossEntropyLoss()
    steps, losses, epoch_losses = len(loader) * options.epochs, [], []
    with Progress(len(train) * options.epochs, unit="images") as progress:
        for epoch in range(1, options.epochs + 1):
            mean = Average()
            for x, y in loader:
                # The rate falls in a straight line to zero.
                optimizer.param_groups[0]["lr"] = 2e-3 * (1 - len(losses) / steps)
                loss = loss_of(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                mean.add(losses[-1], len(y))
                progress.advance(len(y), loss=losses[-1])
            epoch_losses.append(mean.value)
            held_out = accuracy(predict(model, images), labels).item()
            progress.advance(0, accuracy=f"{held_out:.2%}")
            if epoch % 5 == 0 or epoch == options.epochs:
                progress.line(f"epoch {epoch}: loss {mean.value:.4f}, held-out {held_out:.2%}")

    logits = predict(model, images)
    held_out = accuracy(logits, labels).item()

    weights = options.output / "digits.safetensors"
    sn.save(model.state_dict(), weights, metadata={"accuracy": f"{held_out:.4f}"})
    restored = make_model()
    restored.load_state_dict(sn.load(weights))
    same = bytes(memoryview(predict(restored, images))) == bytes(memoryview(logits))

    curve, picture = options.output / "loss.png", options.output / "predictions.png"
    try:
        ends = [len(loader) * (i + 1) for i in range(options.epochs)]
        series = {"_each step": losses, "mean of the epoch": (ends, epoch_losses)}
        sn.viz.curves(curve, series, title="Digits: cross-entropy", y_label="loss", log=True)
        found = logits.argmax(-1).tolist()
        true = labels.tolist()
        # Ten to look at: the mistakes first.
        shown = sorted(range(len(true)), key=lambda i: (found[i] == true[i], i))[:10]
        sn.viz.image_grid(
            picture,
            images[sn.tensor(shown)],
            titles=[f"{found[i]} (is {true[i]})" for i in shown],
            good=[found[i] == true[i] for i in shown],
            title="Predictions, mistakes first",
        )
        print(f"wrote {weights}, {curve}, {picture}")
    except ImportError as missing:
        print(f"wrote {weights}; no pictures: {missing}")

    print(f"saved and loaded weights give the same bits: {'yes' if same else 'NO'}")
    print(f"test accuracy: {held_out:.2%} of {len(test)} (at least {GOAL:.1%} is required)")
    print(f"parameter hash: {parameter_hash(model)}")
    return 0 if same and held_out >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
