"""Where there is little to compute: the cost of an op, of a tiny network's step, of a batch."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from benchmarks.arrays import integers, normal, weights
from benchmarks.optimizers import sgd
from benchmarks.workload import Program, Workload

LENGTH = 10_000


# --- 10,000 additions, each needing the one before ------------------------------------------------
def zeros_and_step() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(16, np.float32), np.full(16, 2.0**-10, np.float32)


def additions(start: Any, y: Any, read: Any) -> Program:
    def once() -> list[np.ndarray]:
        x = start
        for _ in range(LENGTH):
            x = x + y
        return [read(x)]

    def run(count: int) -> None:
        for _ in range(count):
            once()

    return Program(once, run)


def chain_torch(t: Any) -> Program:
    start, y = (t.tensor(a) for a in zeros_and_step())
    return additions(start, y, t.numpy)


def chain_jax(t: Any) -> Program:
    start, y = (t.np.asarray(a) for a in zeros_and_step())
    return additions(start, y, np.asarray)


def chain_tensorflow(t: Any) -> Program:
    start, y = (t.lib.constant(a) for a in zeros_and_step())
    return additions(start, y, np.asarray)


def chain_mxnet(t: Any) -> Program:
    start, y = (t.array(a) for a in zeros_and_step())
    return additions(start, y, lambda x: x.asnumpy())


def chain_numpy(t: Any) -> Program:
    return additions(*zeros_and_step(), np.asarray)


def chain_gradient_torch(t: Any) -> Program:
    start, y = (t.tensor(a) for a in zeros_and_step())
    y.requires_grad_()

    def once() -> list[np.ndarray]:
        x = start
        for _ in range(LENGTH):
            x = x + y
        x.sum().backward()
        gradient = t.numpy(y.grad)
        y.grad = None
        return [gradient]

    def run(count: int) -> None:
        for _ in range(count):
            once()

    return Program(once, run)


# --- a network of 337 parameters ------------------------------------------------------------------
def tiny_data() -> tuple[np.ndarray, np.ndarray]:
    return normal("x", 32, 2), normal("y", 32, 1)


TINY = {"0.weight": (16, 2), "0.bias": (16,), "2.weight": (16, 16), "2.bias": (16,),
        "4.weight": (1, 16), "4.bias": (1,)}  # fmt: skip


def tiny_torch(t: Any) -> Program:
    nn = t.nn
    model = t.filled(
        nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    )
    data = [tuple(t.tensor(a) for a in tiny_data())]
    return t.training(
        lambda x, y: t.F.mse_loss(model(x), y), t.optimizer("SGD", model, lr=0.05), data
    )


def tiny_jax(t: Any) -> Program:
    def loss_of(p: Any, x: Any, y: Any) -> Any:
        for layer in "024":
            x = x @ p[f"{layer}.weight"].T + p[f"{layer}.bias"]
            x = t.np.tanh(x) if layer != "4" else x
        return ((x - y) ** 2).mean()

    return t.training(loss_of, weights(TINY), sgd(0.05), [tiny_data()])


def tiny_tensorflow(t: Any) -> Program:
    tf = t.lib

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        for layer in "024":
            x = tf.matmul(x, p[f"{layer}.weight"], transpose_b=True) + p[f"{layer}.bias"]
            x = tf.tanh(x) if layer != "4" else x
        return tf.reduce_mean((x - y) ** 2)

    return t.training(loss_of, weights(TINY), sgd(0.05), [tiny_data()])


def tiny_mxnet(t: Any) -> Program:
    return t.training(
        t.dense((16, 16, 1), "tanh", 2), {"0": "0", "1": "2", "2": "4"}, TINY,
        lambda out, y: ((out - y) ** 2).mean(), "sgd", {"learning_rate": 0.05}, [tiny_data()],
    )  # fmt: skip


# --- batches of a data set, in a shuffled order ---------------------------------------------------
ROWS, BATCH = 16_384, 128


def dataset() -> tuple[np.ndarray, np.ndarray]:
    return normal("rows", ROWS, 784), integers("labels", 10, ROWS)


def loader_torch(t: Any) -> Program:
    data = importlib.import_module("sennit.data" if t.name == "sennit" else "torch.utils.data")
    held = data.TensorDataset(*(t.tensor(a) for a in dataset()))
    loader = data.DataLoader(held, batch_size=BATCH, shuffle=True)

    def once() -> list[np.ndarray]:
        total = np.zeros(2)
        for rows, labels in loader:
            rows, labels = t.numpy(rows), t.numpy(labels)
            total += [np.abs(rows).sum(dtype=np.float64), labels.sum()]
        return [total[:1], total[1:]]

    def run(count: int) -> None:
        for _ in range(count):
            for _batch in loader:
                t.wait()

    return Program(once, run)


def loader_tensorflow(t: Any) -> Program:
    tf = t.lib
    held = tf.data.Dataset.from_tensor_slices(dataset())
    held = held.shuffle(ROWS).batch(BATCH).prefetch(tf.data.AUTOTUNE)

    def once() -> list[np.ndarray]:
        total = np.zeros(2)
        for rows, labels in held:
            total += [np.abs(rows.numpy()).sum(dtype=np.float64), labels.numpy().sum()]
        return [total[:1], total[1:]]

    def run(count: int) -> None:
        for _ in range(count):
            for _batch in held:
                pass

    return Program(once, run)


WORKLOADS = [
    Workload(
        "op-overhead", "overhead", "addition of 16 numbers, per op",
        {"torch": chain_torch, "jax": chain_jax, "tensorflow": chain_tensorflow,
         "mxnet": chain_mxnet, "numpy": chain_numpy},
        work=LENGTH, targets={"torch": 2}, featured=True,
    ),
    Workload(
        "op-overhead-gradient", "overhead", "addition of 16 numbers with its gradient, per op",
        {"torch": chain_gradient_torch}, work=LENGTH, targets={"torch": 2}, featured=True,
    ),
    Workload(
        "train-tiny", "training", "2-16-16-1 network, batch 32, SGD step",
        {"torch": tiny_torch, "jax": tiny_jax, "tensorflow": tiny_tensorflow, "mxnet": tiny_mxnet},
        checks=5, targets={"torch": 2.8}, featured=True,
    ),
    Workload(
        "data-loader", "overhead", "shuffled batch of 128 × 784 from a data set in memory",
        {"torch": loader_torch, "tensorflow": loader_tensorflow}, work=ROWS // BATCH,
    ),
]  # fmt: skip
