"""Training of an MLP and of a small CNN on digits, batch 128, Adam."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.arrays import integers, normal, weights
from benchmarks.optimizers import adam
from benchmarks.workload import Program, Workload

BATCH = 128
SHAPES = {"mlp": (784,), "cnn": (1, 28, 28)}
MLP = {"0.weight": (512, 784), "0.bias": (512,), "2.weight": (512, 512), "2.bias": (512,),
       "4.weight": (10, 512), "4.bias": (10,)}  # fmt: skip
CNN = {"0.weight": (32, 1, 3, 3), "0.bias": (32,), "2.weight": (64, 32, 3, 3), "2.bias": (64,),
       "6.weight": (128, 64 * 144), "6.bias": (128,), "8.weight": (10, 128),
       "8.bias": (10,)}  # fmt: skip


def batches(kind: str) -> list[tuple[np.ndarray, np.ndarray]]:
    images = normal("images", 4, BATCH, *SHAPES[kind])
    labels = integers("labels", 10, 4, BATCH)
    return list(zip(images, labels))


def mlp(nn: Any) -> Any:
    return nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )


def cnn(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 144, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def torch(kind: str) -> Any:
    def make(t: Any) -> Program:
        model = t.filled({"mlp": mlp, "cnn": cnn}[kind](t.nn))
        images = [b[0] for b in batches(kind)]
        if kind == "cnn":
            model, images = t.images(model, images)
        else:
            images = [t.tensor(i) for i in images]
        data = [(i, t.tensor(b[1])) for i, b in zip(images, batches(kind))]
        optimizer = t.optimizer("Adam", model, lr=1e-3)
        return t.training(lambda x, y: t.F.cross_entropy(model(x), y), optimizer, data)

    return make


def last(params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The CNN's weights for channels last: filters (h, w, in, out), the first product reordered."""
    found = {k: v.transpose(2, 3, 1, 0) if v.ndim == 4 else v for k, v in params.items()}
    found["6.weight"] = (
        params["6.weight"].reshape(128, 64, 12, 12).transpose(0, 2, 3, 1).reshape(128, -1)
    )
    return {k: np.ascontiguousarray(v) for k, v in found.items()}


def batches_last() -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.ascontiguousarray(np.moveaxis(x, 1, -1)), y) for x, y in batches("cnn")]


def loss_jax(t: Any, logits: Any, labels: Any) -> Any:
    picked = t.np.take_along_axis(t.nn.log_softmax(logits), labels[..., None], axis=-1)
    return -picked.mean()


def loss_tensorflow(t: Any, logits: Any, labels: Any) -> Any:
    nn = t.lib.nn
    return t.lib.reduce_mean(
        nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )


def mlp_jax(t: Any) -> Program:
    def loss_of(p: Any, x: Any, labels: Any) -> Any:
        x = t.nn.relu(x @ p["0.weight"].T + p["0.bias"])
        x = t.nn.relu(x @ p["2.weight"].T + p["2.bias"])
        return loss_jax(t, x @ p["4.weight"].T + p["4.bias"], labels)

    return t.training(loss_of, weights(MLP), adam(1e-3), batches("mlp"))


def mlp_tensorflow(t: Any) -> Program:
    tf = t.lib

    def loss_of(p: Any, x: Any, labels: Any) -> Any:
        for layer in "024":
            x = tf.matmul(x, p[f"{layer}.weight"], transpose_b=True) + p[f"{layer}.bias"]
            x = tf.nn.relu(x) if layer != "4" else x
        return loss_tensorflow(t, x, labels)

    return t.training(loss_of, weights(MLP), adam(1e-3), batches("mlp"))


def cnn_jax(t: Any) -> Program:
    def conv(x: Any, w: Any) -> Any:
        order = ("NHWC", "HWIO", "NHWC")
        return t.lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=order)

    def loss_of(p: Any, x: Any, labels: Any) -> Any:
        x = t.nn.relu(conv(x, p["0.weight"]) + p["0.bias"])
        x = t.nn.relu(conv(x, p["2.weight"]) + p["2.bias"])
        x = t.lax.reduce_window(x, -np.inf, t.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = x.reshape(x.shape[0], -1)
        x = t.nn.relu(x @ p["6.weight"].T + p["6.bias"])
        return loss_jax(t, x @ p["8.weight"].T + p["8.bias"], labels)

    return t.training(loss_of, last(weights(CNN)), adam(1e-3), batches_last())


def cnn_tensorflow(t: Any) -> Program:
    tf = t.lib

    def loss_of(p: Any, x: Any, labels: Any) -> Any:
        for layer in "02":
            x = tf.nn.conv2d(x, p[f"{layer}.weight"], 1, "VALID")
            x = tf.nn.relu(tf.nn.bias_add(x, p[f"{layer}.bias"]))
        x = tf.reshape(tf.nn.max_pool2d(x, 2, 2, "VALID"), (BATCH, -1))
        x = tf.nn.relu(tf.matmul(x, p["6.weight"], transpose_b=True) + p["6.bias"])
        x = tf.matmul(x, p["8.weight"], transpose_b=True) + p["8.bias"]
        return loss_tensorflow(t, x, labels)

    return t.training(loss_of, last(weights(CNN)), adam(1e-3), batches_last())


# MXNet adds epsilon before the bias is corrected: at the first steps this equals 1e-8 elsewhere.
EPSILON_MXNET = 5e-10


def mxnet(kind: str) -> Any:
    def make(t: Any) -> Program:
        gluon = t.lib.gluon.nn
        if kind == "mlp":
            model, names = t.dense((512, 512, 10), "relu", 784), {"0": "0", "1": "2", "2": "4"}
        else:
            model, names = gluon.HybridSequential(), {"0": "0", "1": "2", "4": "6", "5": "8"}
            model.add(
                gluon.Conv2D(32, 3, activation="relu", in_channels=1),
                gluon.Conv2D(64, 3, activation="relu", in_channels=32), gluon.MaxPool2D(2),
                gluon.Flatten(), gluon.Dense(128, activation="relu", in_units=64 * 144),
                gluon.Dense(10, in_units=128),
            )  # fmt: skip
        loss = t.lib.gluon.loss.SoftmaxCrossEntropyLoss()
        return t.training(
            model, names, MLP if kind == "mlp" else CNN, lambda out, y: loss(out, y).mean(),
            "adam", {"learning_rate": 1e-3, "epsilon": EPSILON_MXNET}, batches(kind),
        )  # fmt: skip

    return make


MLP_PRODUCTS = 784 * 512 + 512 * 512 + 512 * 10
CNN_PRODUCTS = 26 * 26 * 9 * 32, 24 * 24 * 9 * 32 * 64 + 64 * 144 * 128 + 1280

WORKLOADS = [
    Workload(
        "train-mlp", "training", "MLP 784-512-512-10, batch 128, Adam step",
        {"torch": torch("mlp"), "jax": mlp_jax, "tensorflow": mlp_tensorflow,
         "mxnet": mxnet("mlp")},
        # The images need no gradient.
        flops=2.0 * BATCH * (3 * MLP_PRODUCTS - 784 * 512), checks=5, targets={"torch": 1.7},
        featured=True,
    ),
    Workload(
        "train-cnn", "training", "CNN of MNIST (32 and 64 3×3, 128, 10), batch 128, Adam step",
        {"torch": torch("cnn"), "jax": cnn_jax, "tensorflow": cnn_tensorflow,
         "mxnet": mxnet("cnn")},
        flops=2.0 * BATCH * (2 * CNN_PRODUCTS[0] + 3 * CNN_PRODUCTS[1]), checks=5,
        targets={"torch": 1.7}, featured=True,
    ),
]  # fmt: skip
