"""Programs whose bits must not depend on how they run: random graphs, and two short trainings.

The tests import this file; fresh interpreters with other settings run it as a script:

    python programs.py random 0 40     prints a digest per program
    python programs.py training        prints a digest per training
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Callable

import numpy as np

import sennit as sn

# ---- digests


def digest(tensors: list[sn.Tensor]) -> str:
    """A hash of dtypes, shapes and bytes. All NaNs are alike: their payloads are not promised."""
    h = hashlib.sha256()
    for t in tensors:
        h.update(f"{t.dtype} {t.shape};".encode())
        a = t.detach()
        if t.dtype == sn.bfloat16:
            a = a.astype(sn.float32)  # exact
        array = np.array(a.numpy())
        if array.dtype.kind == "f":
            array[np.isnan(array)] = np.nan
        h.update(array.tobytes())
    return h.hexdigest()[:16]


# ---- random programs

Unary = Callable[[sn.Tensor], sn.Tensor]


def write_row(x: sn.Tensor) -> sn.Tensor:
    y = x * 1
    y[0] = y[-1] * 2
    return y


UNARY: dict[str, Unary] = {
    "neg": lambda x: -x,
    "exp": lambda x: sn.exp(sn.minimum(x, 3.0)),
    "tanh": sn.tanh,
    "sigmoid": sn.sigmoid,
    "gelu": sn.gelu,
    "relu": sn.relu,
    "silu": sn.silu,
    "erf": sn.erf,
    "sin": sn.sin,
    "sqrt": lambda x: sn.sqrt(sn.abs(x) + 0.5),
    "log": lambda x: sn.log(sn.abs(x) + 1),
    "square": lambda x: sn.square(sn.tanh(x)),
    "softmax": lambda x: sn.softmax(x, axis=-1),
    "log_softmax": lambda x: sn.log_softmax(x, axis=0),
    "layer_norm": lambda x: sn.layer_norm(x, (x.shape[-1],)),
    "cumsum": lambda x: sn.cumsum(x, axis=1) / x.shape[1],
    "transpose": lambda x: x.T,
    "reshape": lambda x: x.reshape(x.shape[1], x.shape[0]),
    "flip": lambda x: x[::-1, ::-1],
    "drop row": lambda x: x[1:] if x.shape[0] > 1 else x,
    "even columns": lambda x: x[:, ::2],
    "sum rows": lambda x: x.sum(axis=0, keepdims=True),
    "mean columns": lambda x: x.mean(axis=1, keepdims=True),
    "max columns": lambda x: x.max(axis=1, keepdims=True),
    "var": lambda x: x.var(axis=1, keepdims=True),
    "logsumexp": lambda x: sn.logsumexp(x, axis=1, keepdims=True),
    "sort": lambda x: sn.sort(x, axis=-1),
    "pick rows": lambda x: x[sn.tensor([0, x.shape[0] - 1, 0])],
    "write row": write_row,
    "half and back": lambda x: x.astype(sn.bfloat16).astype(x.dtype),
}

BINARY: dict[str, Callable[[sn.Tensor, sn.Tensor], sn.Tensor]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * sn.tanh(b),
    "div": lambda a, b: a / (sn.abs(b) + 1),
    "maximum": sn.maximum,
    "where": lambda a, b: sn.where(a > b, a, b * 0.5),
    "matmul": lambda a, b: (a @ b.T) / a.shape[1],
    "linear": lambda a, b: sn.linear(a, b) * 0.1,
    "outer": lambda a, b: sn.matmul(a.T, b) / a.shape[0],
    "concat": lambda a, b: sn.concat([a, b], axis=0),
}

# Odd sizes, sizes at and around the vector width, one above the grain of a parallel loop.
SHAPES = [(1, 1), (3, 5), (7, 16), (16, 17), (33, 31), (2, 257), (65, 129), (300, 1), (130, 515)]
DTYPES = ["float32", "float32", "float64", "bfloat16", "float16"]
MAX_ELEMENTS = 200_000


def _fits(name: str, a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    if name in ("matmul", "linear"):
        return a[1] == b[1] and a[0] * b[0] <= MAX_ELEMENTS
    if name == "outer":
        return a[0] == b[0] and a[1] * b[1] <= MAX_ELEMENTS
    if name == "concat":
        return a[1] == b[1] and (a[0] + b[0]) * a[1] <= MAX_ELEMENTS
    return all(m == n or 1 in (m, n) for m, n in zip(a, b)) and (
        max(a[0], b[0]) * max(a[1], b[1]) <= MAX_ELEMENTS
    )


def random_program(choose: random.Random) -> dict[str, object]:
    """A program as data: leaves, and steps that name an op and its operands."""
    shape = choose.choice(SHAPES)
    other = choose.choice([shape, (1, shape[1]), (shape[0], 1), choose.choice(SHAPES)])
    return {
        "dtype": choose.choice(DTYPES),
        "shapes": [shape, other, shape],
        "seed": choose.randrange(1000),
        "steps": [
            (choose.randrange(1000), choose.randrange(1000), choose.randrange(1000))
            for _ in range(choose.randint(2, 14))
        ],
    }


def run_program(program: dict[str, object]) -> list[sn.Tensor]:
    """The last values, and the gradients of all leaves."""
    values = np.random.default_rng(program["seed"])
    dtype = getattr(sn, program["dtype"])
    leaves = [
        sn.tensor(values.standard_normal(s), dtype=dtype, requires_grad=True)
        for s in program["shapes"]
    ]
    made: list[sn.Tensor] = list(leaves)
    unary, binary = list(UNARY), list(BINARY)
    for op, first, second in program["steps"]:
        # Later values are likelier operands, so that the graphs are deep as well as wide.
        a = made[max(first % len(made), first % 7 % len(made))]
        b = made[second % len(made)]
        name = (unary + binary * 2)[op % (len(unary) + 2 * len(binary))]
        if name in UNARY:
            made.append(UNARY[name](a))
        elif _fits(name, a.shape, b.shape):
            made.append(BINARY[name](a, b))
        else:
            made.append(a + a)
    loss = sum((y.astype(sn.float32).mean() for y in made[-3:]), sn.tensor(0.0))
    loss.backward()
    return [loss, made[-1], *(x.grad for x in leaves if x.grad is not None)]


# ---- trainings


def train_mlp(steps: int = 100) -> list[sn.Tensor]:
    """A small perceptron with Adam; returns its parameters."""
    from sennit import nn, optim

    sn.random.seed(7)
    model = nn.Sequential(
        nn.Linear(37, 50),
        nn.GELU(),
        nn.LayerNorm(50),
        nn.Linear(50, 19),
        nn.Tanh(),
        nn.Linear(19, 10),
    )
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    data = np.random.default_rng(1)
    images = data.standard_normal((5, 33, 37), dtype=np.float32)
    labels = data.integers(0, 10, (5, 33))
    for step in range(steps):
        x, y = sn.tensor(images[step % 5]), sn.tensor(labels[step % 5])
        optimizer.zero_grad()
        sn.cross_entropy(model(x), y).backward()
        optimizer.step()
    return list(model.parameters())


def train_cnn(steps: int = 100) -> list[sn.Tensor]:
    """A small convolutional network with batch norm, dropout and momentum; returns its state."""
    from sennit import nn, optim

    sn.random.seed(11)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 10, 3, padding=1), nn.BatchNorm2d(10), nn.ReLU(), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(160, 10),
    )  # fmt: skip
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    data = np.random.default_rng(2)
    images = data.standard_normal((4, 21, 1, 8, 8), dtype=np.float32)
    labels = data.integers(0, 10, (4, 21))
    for step in range(steps):
        x, y = sn.tensor(images[step % 4]), sn.tensor(labels[step % 4])
        optimizer.zero_grad()
        sn.cross_entropy(model(x), y).backward()
        optimizer.step()
    return list(model.state_dict().values())


def random_digests(begin: int, end: int) -> list[str]:
    return [digest(run_program(random_program(random.Random(s)))) for s in range(begin, end)]


def training_digests(steps: int = 100) -> list[str]:
    return [digest(train_mlp(steps)), digest(train_cnn(steps))]


if __name__ == "__main__":
    if sys.argv[1] == "random":
        print(json.dumps(random_digests(int(sys.argv[2]), int(sys.argv[3]))))
    else:
        print(json.dumps(training_digests()))
