"""Training programs that are run twice: imperatively and compiled.

Each builds its own model and returns (step, batches, state): a function of one batch, the batches,
and a function that gives every tensor of state. Everything is seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import sennit as sn
from sennit import nn

Program = tuple[Callable[..., Any], list[tuple[Any, ...]], Callable[[], list[Any]]]
F = nn.functional


def floats(rng: np.random.Generator, *shape: int) -> sn.Tensor:
    return sn.tensor(rng.standard_normal(shape).astype(np.float32))


def state_of(*owners: Any) -> list[Any]:
    """Parameters, buffers, gradients, and what optimizers remember."""
    found: list[Any] = []
    for owner in owners:
        if isinstance(owner, nn.Module):
            found += list(owner.state_dict().values())
            found += [p.grad for p in owner.parameters()]
        else:
            for values in owner.state.values():
                found += [v for _, v in sorted(values.items())]
            found.append(owner.steps)
    return found


def mlp(optimizer: Callable[[Any], Any]) -> Program:
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)
    )
    opt = optimizer(model.parameters())

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    batches = [(floats(rng, 8, 6), sn.tensor(rng.integers(0, 3, 8))) for _ in range(12)]
    return step, batches, lambda: state_of(model, opt)


def sgd() -> Program:
    return mlp(lambda p: sn.optim.SGD(p, lr=0.1))


def momentum() -> Program:
    return mlp(lambda p: sn.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3))


def adam_scheduled() -> Program:
    schedule = sn.optim.schedule
    return mlp(lambda p: sn.optim.Adam(p, lr=schedule.cosine(0.02, 12)))


def adamw_amsgrad() -> Program:
    return mlp(lambda p: sn.optim.AdamW(p, lr=0.01, amsgrad=True))


def rmsprop() -> Program:
    return mlp(lambda p: sn.optim.RMSprop(p, lr=0.01, momentum=0.5))


def clipped() -> Program:
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    opt = sn.optim.NAdam(model.parameters(), lr=0.01)

    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        opt.step()
        opt.zero_grad()
        return {"loss": loss.detach(), "norm": norm}

    batches = [(floats(rng, 8, 6), sn.tensor(rng.integers(0, 3, 8))) for _ in range(12)]
    return step, batches, lambda: state_of(model, opt)


def cnn() -> Program:
    rng = np.random.default_rng(1)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.2),
        nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(6 * 3 * 3, 5),
    )  # fmt: skip
    opt = sn.optim.AdamW(model.parameters(), lr=0.01)

    def step(x: Any, y: Any) -> Any:
        out = model(x)
        loss = F.cross_entropy(out, y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss, (out.argmax(1) == y).sum()

    batches = [(floats(rng, 4, 1, 12, 12), sn.tensor(rng.integers(0, 5, 4))) for _ in range(11)]
    return step, batches, lambda: state_of(model, opt)


def lstm() -> Program:
    rng = np.random.default_rng(2)

    class Tagger(nn.Module):
        def __init__(self) -> None:
            self.embed = nn.Embedding(11, 6)
            self.rnn = nn.LSTM(6, 8, num_layers=2, batch_first=True, dropout=0.3)
            self.head = nn.Linear(8, 11)

        def forward(self, x: Any) -> Any:
            out, _ = self.rnn(self.embed(x))
            return self.head(out)

    model = Tagger()
    opt = sn.optim.Adagrad(model.parameters(), lr=0.05)

    def step(x: Any) -> Any:
        loss = F.cross_entropy(model(x[:, :-1]).reshape(-1, 11), x[:, 1:].reshape(-1))
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss

    batches = [(sn.tensor(rng.integers(0, 11, (3, 7))),) for _ in range(11)]
    return step, batches, lambda: state_of(model, opt)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=0.1)
        x = x + self.drop(self.proj(mixed.permute(0, 2, 1, 3).reshape(n, t, c)))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))


class GPT(nn.Module):
    def __init__(self, symbols: int, width: int = 16, length: int = 10, depth: int = 2) -> None:
        self.tokens, self.places = nn.Embedding(symbols, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, symbols, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, x: Any) -> Any:
        h = self.tokens(x) + self.places(sn.arange(x.shape[1]))
        return self.head(self.norm(self.blocks(h)))


def gpt() -> Program:
    rng = np.random.default_rng(3)
    model = GPT(13)
    schedule = sn.optim.schedule
    opt = sn.optim.AdamW(model.parameters(), lr=schedule.cosine(0.01, 20))

    def step(x: Any) -> Any:
        logits = model(x[:, :-1])
        loss = F.cross_entropy(logits.reshape(-1, 13), x[:, 1:].reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
        return loss

    batches = [(sn.tensor(rng.integers(0, 13, (2, 9))),) for _ in range(11)]
    return step, batches, lambda: state_of(model, opt)


def gan() -> Program:
    rng = np.random.default_rng(4)
    maker = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    judge = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(8, 1))
    opt_m = sn.optim.Adam(maker.parameters(), lr=0.01, betas=(0.5, 0.9))
    opt_j = sn.optim.Adam(judge.parameters(), lr=0.02, betas=(0.5, 0.9))
    loss_of = nn.BCEWithLogitsLoss()

    def step(real: Any) -> Any:
        n = real.shape[0]
        fake = maker(sn.randn(n, 3))
        opt_j.zero_grad()
        judged = loss_of(judge(real), sn.ones(n, 1)) + loss_of(judge(fake.detach()), sn.zeros(n, 1))
        judged.backward()
        opt_j.step()
        opt_m.zero_grad()
        made = loss_of(judge(fake), sn.ones(n, 1))
        made.backward()
        opt_m.step()
        return judged.detach(), made.detach()

    batches = [(floats(rng, 5, 2),) for _ in range(12)]
    return step, batches, lambda: state_of(maker, judge, opt_m, opt_j)


def ema() -> Program:
    import copy

    rng = np.random.default_rng(5)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    shadow = copy.deepcopy(model)
    opt = sn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        loss = F.mse_loss(model(x), y)
        loss.backward()
        opt.step()
        opt.zero_grad()
        with sn.no_grad():
            for average, now in zip(shadow.parameters(), model.parameters(), strict=True):
                average.copy_(average * 0.9 + now * 0.1)
            for average, now in zip(shadow.buffers(), model.buffers(), strict=True):
                average.copy_(now)
        return loss

    batches = [(floats(rng, 6, 4), floats(rng, 6, 2)) for _ in range(12)]
    return step, batches, lambda: state_of(model, shadow, opt)


def accumulation() -> Program:
    """Two backward passes for each step: functions of their own, called in turn."""
    rng = np.random.default_rng(6)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    opt = sn.optim.Adam(model.parameters(), lr=0.01)

    def step(x: Any, y: Any, last: bool) -> Any:
        loss = F.mse_loss(model(x), y) / 2
        loss.backward()
        if last:
            opt.step()
            opt.zero_grad()
        return loss.detach()

    batches = [(floats(rng, 6, 4), floats(rng, 6, 2), i % 2 == 1) for i in range(16)]
    return step, batches, lambda: state_of(model, opt)


def averaged() -> Program:
    rng = np.random.default_rng(8)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    opt = sn.optim.Adamax(model.parameters(), lr=0.01)
    average = sn.optim.EMA(model.parameters(), decay=0.9)

    def step(x: Any, y: Any) -> Any:
        loss = F.mse_loss(model(x), y)
        loss.backward()
        opt.step()
        opt.zero_grad()
        average.update()
        return loss

    batches = [(floats(rng, 6, 4), floats(rng, 6, 2)) for _ in range(12)]
    return step, batches, lambda: [*state_of(model, opt), average.state_dict()]


PROGRAMS: dict[str, Callable[[], Program]] = {
    f.__name__: f
    for f in (
        sgd, momentum, adam_scheduled, adamw_amsgrad, rmsprop, clipped, cnn, lstm, gpt, gan, ema,
        accumulation, averaged,
    )
}  # fmt: skip


def as_bytes(x: Any) -> Any:
    if isinstance(x, sn.Tensor):
        return (str(x.dtype), x.shape, x.detach().numpy().tobytes())
    if isinstance(x, tuple | list):
        return [as_bytes(v) for v in x]
    if isinstance(x, dict):
        return {k: as_bytes(v) for k, v in x.items()}
    return x


def run(name: str, compiled: bool) -> tuple[list[Any], Any]:
    """What each call returned, and the state at the end; and the compiled function."""
    sn.random.seed(7)
    step, batches, state = PROGRAMS[name]()
    call = sn.compile(step) if compiled else step
    results = [as_bytes(call(*batch)) for batch in batches]
    results.append(as_bytes(state()))
    results.append(sn._core.random_state())
    return results, call
