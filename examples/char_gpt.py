"""Train a character GPT on tiny Shakespeare and let it write.

    python examples/char_gpt.py [--root FOLDER] [--steps 2000] [--sample 300]

The configuration is nanoGPT's for a CPU (4 layers, 4 heads, 128 wide, 64 characters of context,
batches of 12, 2,000 steps), whose published validation loss is 1.88; the rate is twice nanoGPT's.
The loss is taken over the whole held-out tenth of the text.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np

import sennit as sn
from sennit import nn
from sennit.train import parameter_hash

F = nn.functional
LAYERS, HEADS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12
RATE, LEAST_RATE, WARM_UP = 2e-3, 1e-4, 100
GOAL = 1.90


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: sn.Tensor) -> sn.Tensor:
        batch, length, width = x.shape
        heads = self.qkv(x).reshape(batch, length, 3, HEADS, width // HEADS)
        q, k, v = (heads[:, :, i].transpose(1, 2) for i in range(3))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, bias=False)
        self.attention = Attention()
        self.norm2 = nn.LayerNorm(WIDTH, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.GELU(),
            nn.Linear(4 * WIDTH, WIDTH, bias=False),
        )  # fmt: skip

    def forward(self, x: sn.Tensor) -> sn.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.token = nn.Embedding(symbols, WIDTH)
        self.position = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                last = name.endswith(("attention.out.weight", "mlp.2.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * LAYERS) if last else 0.02)

    def forward(self, tokens: sn.Tensor) -> sn.Tensor:
        x = self.token(tokens) + self.position(sn.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.token.weight.T  # the embedding is the output layer, too


def loss_of(model: nn.Module, windows: sn.Tensor) -> sn.Tensor:
    logits = model(windows[:, :-1])
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), windows[:, 1:].reshape(-1))


def rate(step: int, steps: int) -> float:
    """Rises for WARM_UP steps, then half a cosine."""
    if step < WARM_UP:
        return RATE * (step + 1) / (WARM_UP + 1)
    part = (step - WARM_UP) / max(steps - WARM_UP, 1)
    return LEAST_RATE + 0.5 * (1 + math.cos(math.pi * part)) * (RATE - LEAST_RATE)


def evaluate(model: nn.Module, text: np.ndarray) -> float:
    """The mean loss over the text, cut into windows that do not overlap."""
    count = (len(text) - 1) // CONTEXT
    windows = np.stack([text[i * CONTEXT : i * CONTEXT + CONTEXT + 1] for i in range(count)])
    total = 0.0
    with sn.no_grad():
        for i in range(0, count, 128):
            part = windows[i : i + 128]
            total += float(loss_of(model, sn.asarray(part))) * len(part)
    return total / count


def write(model: nn.Module, symbols: str, length: int, draw: np.random.Generator) -> str:
    tokens = [symbols.index("\n")]
    with sn.no_grad():
        for _ in range(length):
            context = np.array([tokens[-CONTEXT:]])
            p = F.softmax(model(sn.asarray(context))[0, -1], dim=-1).numpy().astype(float)
            tokens.append(int(draw.choice(len(p), p=p / p.sum())))
    return "".join(symbols[t] for t in tokens[1:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of input.txt")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--sample", type=int, default=300, help="characters to write at the end")
    options = parser.parse_args()

    text = sn.data.tiny_shakespeare(options.root)
    symbols = "".join(sorted(set(text)))
    numbers = {c: i for i, c in enumerate(symbols)}
    data = np.array([numbers[c] for c in text], dtype=np.int64)
    train, held_out = data[: int(0.9 * len(data))], data[int(0.9 * len(data)) :]

    sn.random.seed(options.seed)
    draw = np.random.default_rng(options.seed)
    model = GPT(len(symbols))
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = sn.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99))
    begin = time.perf_counter()
    for step in range(options.steps):
        starts = draw.integers(0, len(train) - CONTEXT, BATCH)
        windows = np.stack([train[s : s + CONTEXT + 1] for s in starts])
        loss = loss_of(model, sn.asarray(windows))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate(step, options.steps)
        optimizer.step()
        if step % 250 == 0:
            print(f"step {step:5d}: loss {float(loss):.4f}", flush=True)
    seconds = time.perf_counter() - begin
    result = evaluate(model, held_out)
    print(f"validation loss {result:.4f} after {options.steps} steps, {seconds:.1f} s")
    print(f"parameters {parameter_hash(model)}")
    print(write(model, symbols, options.sample, draw))
    return 0 if result <= GOAL or options.steps < 2000 else 1


if __name__ == "__main__":
    raise SystemExit(main())
