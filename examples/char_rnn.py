"""Train a character LSTM or GRU on tiny Shakespeare.

    python examples/char_rnn.py [--kind lstm|gru] [--root FOLDER] [--steps 1500]

Two layers of 256, batches of 32 streams that are read on from step to step: the state at the end of
64 characters is where the next 64 begin. The loss is taken over the whole held-out tenth of the
text.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

import sennit as sn
from sennit import nn
from sennit.train import parameter_hash

F = nn.functional
WIDTH, LAYERS, LENGTH, BATCH = 256, 2, 64, 32


class Model(nn.Module):
    def __init__(self, kind: str, symbols: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, 128)
        layer = nn.LSTM if kind == "lstm" else nn.GRU
        self.recurrent = layer(128, WIDTH, num_layers=LAYERS, batch_first=True)
        self.out = nn.Linear(WIDTH, symbols)

    def forward(self, tokens: sn.Tensor, state: Any = None) -> tuple[sn.Tensor, Any]:
        y, state = self.recurrent(self.embedding(tokens), state)
        return self.out(y), state


def detached(state: Any) -> Any:
    return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


def loss_of(model: nn.Module, windows: sn.Tensor, state: Any) -> tuple[sn.Tensor, Any]:
    logits, state = model(windows[:, :-1], state)
    loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), windows[:, 1:].reshape(-1))
    return loss, detached(state)


def streams(data: np.ndarray, batch: int) -> np.ndarray:
    """(batch, length): the text cut into as many pieces of equal length."""
    length = len(data) // batch
    return data[: batch * length].reshape(batch, length)


def evaluate(model: nn.Module, data: np.ndarray) -> float:
    rows = streams(data, 8)
    total, count, state = 0.0, 0, None
    with sn.no_grad():
        for i in range(0, rows.shape[1] - 1, 512):
            windows = rows[:, i : i + 513]
            if windows.shape[1] < 2:
                break
            loss, state = loss_of(model, sn.asarray(np.ascontiguousarray(windows)), state)
            total += float(loss) * (windows.shape[1] - 1)
            count += windows.shape[1] - 1
    return total / count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=("lstm", "gru"), default="lstm")
    parser.add_argument("--root", type=Path, help="folder of input.txt")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    text = sn.data.tiny_shakespeare(options.root)
    numbers = {c: i for i, c in enumerate(sorted(set(text)))}
    data = np.array([numbers[c] for c in text], dtype=np.int64)
    train, held_out = data[: int(0.9 * len(data))], data[int(0.9 * len(data)) :]

    sn.random.seed(options.seed)
    model = Model(options.kind, len(numbers))
    optimizer = sn.optim.Adam(model.parameters(), lr=2e-3)
    rows = streams(train, BATCH)
    each = (rows.shape[1] - 1) // LENGTH  # steps until the streams end
    begin, state = time.perf_counter(), None
    for step in range(options.steps):
        at = step % each * LENGTH
        if at == 0:
            state = None
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / options.steps)
        windows = np.ascontiguousarray(rows[:, at : at + LENGTH + 1])
        loss, state = loss_of(model, sn.asarray(windows), state)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 250 == 0:
            print(f"step {step:5d}: loss {float(loss):.4f}", flush=True)
    seconds = time.perf_counter() - begin
    result = evaluate(model, held_out)
    print(f"validation loss {result:.4f} after {options.steps} steps, {seconds:.1f} s")
    print(f"parameters {parameter_hash(model)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
