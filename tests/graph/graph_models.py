"""Networks of the kinds that graphs are tested with."""

from __future__ import annotations

from typing import Any

import sennit as sn
from sennit import nn


class GPT(nn.Module):
    """A small causal language model: embeddings, pre-norm blocks, tied weights of the head."""

    def __init__(self, vocabulary: int = 17, width: int = 16, heads: int = 2, depth: int = 2):
        super().__init__()
        self.heads = heads
        self.embed = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(sn.random.randn((32, width)))
        self.blocks = nn.ModuleList()
        for _ in range(depth):
            block = nn.Module()
            block.norm1, block.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            block.qkv, block.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            block.up, block.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.blocks.append(block)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: sn.Tensor) -> sn.Tensor:
        n, length = tokens.shape
        x = self.embed(tokens) + self.positions[:length]
        for b in self.blocks:
            q, k, v = sn.split(b.qkv(b.norm1(x)), x.shape[-1], -1)
            q, k, v = (
                t.reshape(n, length, self.heads, -1).permute_dims((0, 2, 1, 3)) for t in (q, k, v)
            )
            a = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + b.out(a.permute_dims((0, 2, 1, 3)).reshape(n, length, -1))
            x = x + b.down(nn.functional.gelu(b.up(b.norm2(x))))
        return self.head(self.norm(x))


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 8, num_layers=2, bidirectional=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: sn.Tensor, state: Any = None) -> Any:
        y, (h, c) = self.lstm(x, state)
        return {"tags": self.head(y), "state": (h, c)}


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 32), nn.GELU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3)
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=2), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4), nn.Softmax(-1),
    ).eval()  # fmt: skip


class Writer(nn.Module):
    """Greedy decoding: a recurrent cell writes tokens until all rows have ended."""

    END, LONGEST = 3, 12

    def __init__(self, vocabulary: int = 17, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.cell = nn.GRUCell(width, width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, first: sn.Tensor, h: sn.Tensor) -> Any:
        n = first.shape[0]
        places = sn.arange(self.LONGEST)

        def step(carry: Any) -> Any:
            k, token, h, done, written = carry
            h = self.cell(self.embed(token), h)
            token = sn.where(done, self.END, sn.argmax(self.head(h), -1))
            written = sn.where(places == k, token.reshape((n, 1)), written)
            return k + 1, token, h, done | (token == self.END), written

        def going(carry: Any) -> sn.Tensor:
            return (carry[0] < self.LONGEST) & ~carry[3].all()

        written = sn.full((n, self.LONGEST), self.END, dtype=sn.int64)
        begin = (0, first, h, sn.zeros(n, dtype=sn.bool), written)
        steps, _, h, _, written = sn.while_loop(going, step, begin, max_steps=self.LONGEST)
        return {"steps": steps, "tokens": written, "state": h}


class Router(nn.Module):
    """Each step of a sequence goes through one of two layers, some of them several times."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, xs: sn.Tensor) -> Any:
        def grow(h: sn.Tensor) -> sn.Tensor:
            return sn.while_loop(
                lambda h: h.abs().max() < 1.5, lambda h: sn.tanh(self.far(h)) + h * 1.2, h,
                max_steps=5,
            )  # fmt: skip

        def step(h: sn.Tensor, x: sn.Tensor) -> Any:
            h = sn.cond((h * x).sum() > 0, grow, lambda h: sn.tanh(self.near(h) + x), h)
            return h, h.mean(-1)

        return sn.scan(step, xs.mean(0) + 0.1, xs, reverse=True)


def spec(*shape: int, dtype: Any = sn.float32) -> sn.TensorSpec:
    return sn.TensorSpec(shape, dtype)


def draw(specs: Any) -> tuple[sn.Tensor, ...]:
    """Arguments of these specs."""
    return tuple(
        sn.random.integers(0, 17, s.shape) if s.dtype == sn.int64 else sn.random.randn(s.shape)
        for s in specs
    )


MODELS = {
    "mlp": (mlp, (spec(4, 6),)),
    "cnn": (cnn, (spec(3, 2, 9, 9),)),
    "lstm": (Tagger, (spec(7, 2, 5),)),
    "gpt": (GPT, (spec(2, 11, dtype=sn.int64),)),
    "lenet": (sn.models.LeNet5, (spec(2, 1, 28, 28),)),
    "writer": (Writer, (spec(3, dtype=sn.int64), spec(3, 8))),
    "router": (Router, (spec(6, 2, 4),)),
}

_T = sn.Dim("t", min=1, max=32)
OPEN_MODELS = {
    "mlp": (mlp, (sn.TensorSpec(("n", 6)),)),
    "cnn": (cnn, (sn.TensorSpec(("n", 2, "h", "w")),)),
    "lstm": (Tagger, (sn.TensorSpec((_T, "n", 5)),)),
    "gpt": (GPT, (sn.TensorSpec(("n", _T), sn.int64),)),
    "writer": (Writer, (sn.TensorSpec(("n",), sn.int64), sn.TensorSpec(("n", 8)))),
    "router": (Router, (sn.TensorSpec((_T, "n", 4)),)),
}
