"""Times what compiling a step of training costs, beside torch.compile.

    python tools/compile_cost.py [--only NAME ...] [--threads 2] [--without-torch]

Each side runs in a process of its own, `torch.compile` with an empty cache of its own. *First*: all
calls until one runs compiled, less as many executions (Sennit records its second and third call as
well). *New batch*: the first call with a batch size that was not there before, less an execution at
that size; the median over several sizes. `torch.compile` gets the network, as its users write it,
and Sennit the whole step. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

# Network -> batch sizes: the first one, and those that are new later.
BATCHES = {
    "mlp": (128, 96, 64, 48, 32, 160),
    "cnn": (32, 24, 16, 12, 8, 40),
    "lstm": (32, 24, 16, 12, 8, 40),
    "gpt": (8, 6, 4, 3, 2, 5),
}
VOCABULARY, LENGTH = 64, 128


def networks(nn: Any) -> dict[str, Any]:
    """The same networks of either library's modules."""

    class Block(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            n, t, c = x.shape
            qkv = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, c // self.heads)
            q, k, v = (y.permute(0, 2, 1, 3) for y in (qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]))
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.permute(0, 2, 1, 3).reshape(n, t, c))
            return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self, width: int = 128, depth: int = 4) -> None:
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, width)
            self.places = nn.Embedding(LENGTH, width)
            self.blocks = nn.Sequential(*(Block(width, 4) for _ in range(depth)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY)

        def forward(self, x: Any) -> Any:
            h = self.tokens(x) + self.places.weight[: x.shape[1]]
            return self.head(self.norm(self.blocks(h))).reshape(-1, VOCABULARY)

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(32, 64, batch_first=True), nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    return {
        "mlp": lambda: nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        ),
        "cnn": lambda: nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
        ),
        "lstm": Last,
        "gpt": GPT,
    }  # fmt: skip


def batch(name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    if name == "gpt":
        tokens = rng.integers(0, VOCABULARY, (n, LENGTH + 1))
        return tokens[:, :-1].copy(), tokens[:, 1:].reshape(-1).copy()
    shape = {"mlp": (n, 784), "cnn": (n, 1, 28, 28), "lstm": (n, 16, 32)}[name]
    return rng.standard_normal(shape).astype(np.float32), rng.integers(0, 10, n)


def measured(name: str, call: Callable[..., float], batches: list[Any], calls: int) -> Any:
    """Milliseconds of the first calls and of new batches, less executions, and of an execution."""

    def timed(pair: Any) -> float:
        begin = time.perf_counter()
        call(*pair)
        return (time.perf_counter() - begin) * 1e3

    def execution(pair: Any) -> float:
        return statistics.median(timed(pair) for _ in range(15))

    first = sum(timed(batches[0]) for _ in range(calls))
    once = execution(batches[0])
    new = []
    for pair in batches[1:]:
        took = timed(pair)
        new.append(took - execution(pair))
    return {"first": first - calls * once, "new": statistics.median(new), "all": new, "step": once}


def sennit_side(name: str, threads: int) -> Any:
    import sennit as sn

    sn.set_num_threads(threads)
    sn.random.seed(0)
    net = networks(sn.nn)[name]()
    optimizer = sn.optim.AdamW(net.parameters(), lr=1e-3)

    def step(x: Any, y: Any) -> Any:
        loss = sn.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    compiled = sn.compile(step)
    batches = [tuple(map(sn.tensor, batch(name, n))) for n in BATCHES[name]]
    return measured(name, lambda x, y: compiled(x, y).item(), batches, 4)


def torch_side(name: str, threads: int) -> Any:
    import torch

    torch._dynamo.config.allow_rnn = True  # by default it leaves recurrent layers uncompiled
    torch.backends.mkldnn.enabled = name != "lstm"  # its recurrent layer fails in inductor
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = networks(torch.nn)[name]()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    forward = torch.compile(net)

    def step(x: Any, y: Any) -> float:
        loss = torch.nn.functional.cross_entropy(forward(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    batches = [tuple(map(torch.tensor, batch(name, n))) for n in BATCHES[name]]
    return measured(name, step, batches, 1)


def run(side: str, name: str, threads: int) -> Any:
    with tempfile.TemporaryDirectory() as cache:
        env = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache, "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(
            [sys.executable, __file__, "--side", side, "--only", name, "--threads", str(threads)],
            env=env, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(BATCHES), default=list(BATCHES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="processes for Sennit's side")
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("--side", choices=["sennit", "torch"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side = sennit_side if given.side == "sennit" else torch_side
        print(json.dumps(side(given.only[0], given.threads)))
        return
    print(
        "| step | execution | first | new batch "
        "| torch.compile: first | new batch | first / first |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in given.only:
        rounds = [run("sennit", name, given.threads) for _ in range(given.rounds)]
        first, new, step = (
            statistics.median(r[k] for r in rounds) for k in ("first", "new", "step")
        )
        other = "| | |"
        if not given.without_torch:
            peer = run("torch", name, given.threads)
            share = first / peer["first"]
            other = f"{peer['first']:,.0f} ms | {peer['new']:,.0f} ms | {share:.2%}"
        print(f"| {name} | {step:.2f} ms | {first:.1f} ms | {new:.1f} ms | {other} |", flush=True)


if __name__ == "__main__":
    main()
