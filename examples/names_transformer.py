"""Train a small Transformer on first names and let it make up new ones.

    python examples/names_transformer.py [--root FOLDER] [--steps 20000]

Four layers, four heads, 64 wide, as in makemore; its published loss is about 1.92 a letter on
names that it has not seen, the best of all steps. Here 1,000 names are the development part, which
chooses the step, and 1,000 others the test. The weights that are judged are averages over the last
steps (each counts 0.998 times as much as the next).
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
LAYERS, HEADS, WIDTH, BATCH = 4, 4, 64, 64
LETTERS = ".abcdefghijklmnopqrstuvwxyz"  # the first begins and ends a name
RISE, EVERY = 200, 500  # steps of the rate's rise, and between two looks at the development part
GOAL = 1.95


class Model(nn.Module):
    def __init__(self, length: int) -> None:
        super().__init__()
        self.letter = nn.Embedding(len(LETTERS), WIDTH)
        self.position = nn.Embedding(length, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.1, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, len(LETTERS), bias=False)
        for p in self.parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, letters: sn.Tensor) -> sn.Tensor:
        length = letters.shape[1]
        x = self.letter(letters) + self.position(sn.arange(length))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        return self.out(self.norm(self.layers(x, mask=mask, is_causal=True)))


def encode(names: list[str], length: int) -> tuple[np.ndarray, np.ndarray]:
    """What goes in, and what comes next; -1 behind the end of a name counts nothing."""
    x = np.zeros((len(names), length), np.int64)
    y = np.full((len(names), length), -1, np.int64)
    for i, name in enumerate(names):
        numbers = [LETTERS.index(c) for c in name]
        x[i, 1 : len(name) + 1] = numbers
        y[i, : len(name) + 1] = [*numbers, 0]
    return x, y


def loss_of(model: nn.Module, x: np.ndarray, y: np.ndarray, reduction: str = "mean") -> sn.Tensor:
    logits = model(sn.asarray(x)).reshape(-1, len(LETTERS))
    return F.cross_entropy(logits, sn.asarray(y.reshape(-1)), ignore_index=-1, reduction=reduction)


def evaluate(model: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    model.eval()
    with sn.no_grad():
        parts = range(0, len(x), 256)
        total = sum(float(loss_of(model, x[i : i + 256], y[i : i + 256], "sum")) for i in parts)
    model.train()
    return total / int((y >= 0).sum())


def invent(model: nn.Module, length: int, count: int, draw: np.random.Generator) -> list[str]:
    letters = np.zeros((count, length + 1), np.int64)
    model.eval()
    with sn.no_grad():
        for i in range(length):
            p = F.softmax(model(sn.asarray(letters[:, : i + 1].copy()))[:, -1], dim=-1).numpy()
            edges = p.astype(float).cumsum(axis=1)
            letters[:, i + 1] = (draw.random((count, 1)) * edges[:, -1:] > edges).sum(axis=1)
    texts = ["".join(LETTERS[c] for c in row[1:]) for row in letters]
    return [text.split(".")[0] for text in texts]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of names.txt")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    names = sn.data.names(options.root)
    draw = np.random.default_rng(options.seed)
    order = draw.permutation(len(names))
    length = max(map(len, names)) + 1
    x, y = encode([names[i] for i in order], length)
    development, test = (x[:1000], y[:1000]), (x[1000:2000], y[1000:2000])
    x, y = x[2000:], y[2000:]

    sn.random.seed(options.seed)
    model = Model(length)
    optimizer = sn.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.99), weight_decay=0.1)
    rise = sn.optim.lr_scheduler.LinearLR(optimizer, 1 / RISE, 1.0, RISE)
    fall = sn.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(options.steps - RISE, 1))
    rate = sn.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], [RISE])
    average = sn.optim.AveragedModel(model, avg_fn=sn.optim.get_ema_avg_fn(0.998))
    best, chosen, weights = float("inf"), 0, {}
    begin = time.perf_counter()
    for step in range(1, options.steps + 1):
        some = draw.integers(0, len(x), BATCH)
        loss = loss_of(model, x[some], y[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        average.update_parameters(model)
        if step % EVERY == 0 or step == options.steps:
            found = evaluate(average.module, *development)
            print(f"step {step:5d}: loss {float(loss):.4f}, development {found:.4f}", flush=True)
            if found < best:
                best, chosen = found, step
                weights = {k: v.clone() for k, v in average.module.state_dict().items()}
    seconds = time.perf_counter() - begin
    model.load_state_dict(weights)
    result = evaluate(model, *test)
    print(f"test loss {result:.4f} of step {chosen} of {options.steps}, {seconds:.1f} s")
    print(f"parameters {parameter_hash(model)}")
    print(", ".join(invent(model, length, 20, draw)))
    return 0 if result <= GOAL or options.steps < 20000 else 1


if __name__ == "__main__":
    raise SystemExit(main())
