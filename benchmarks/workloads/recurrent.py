"""LSTM and GRU: a bidirectional LSTM, and training of two-layer models of characters."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.arrays import integers, normal, weights
from benchmarks.optimizers import adam
from benchmarks.workload import Function, Program, Workload

VOCABULARY, EMBEDDING, WIDTH, LENGTH, BATCH = 65, 256, 512, 64, 64


# --- JAX: cells and a scan over time --------------------------------------------------------------
def lstm_jax(
    t: Any, p: dict[str, Any], prefix: str, suffix: str, x: Any, reverse: bool = False
) -> Any:
    """(T, N, C) -> (T, N, width); the products with the inputs are one product for all times."""
    w_ih, w_hh, b_ih, b_hh = (p[f"{prefix}{n}{suffix}"] for n in PARTS)
    gates = x @ w_ih.T + (b_ih + b_hh)
    width = w_hh.shape[1]
    start = t.np.zeros((x.shape[1], width), x.dtype)

    def cell(carry: Any, row: Any) -> Any:
        h, c = carry
        i, f, g, o = t.np.split(row + h @ w_hh.T, 4, axis=-1)
        c = t.nn.sigmoid(f) * c + t.nn.sigmoid(i) * t.np.tanh(g)
        h = t.nn.sigmoid(o) * t.np.tanh(c)
        return (h, c), h

    return t.lax.scan(cell, (start, start), gates, reverse=reverse)[1]


def gru_jax(t: Any, p: dict[str, Any], prefix: str, suffix: str, x: Any) -> Any:
    w_ih, w_hh, b_ih, b_hh = (p[f"{prefix}{n}{suffix}"] for n in PARTS)
    gates = x @ w_ih.T + b_ih

    def cell(h: Any, row: Any) -> Any:
        r, z, n = t.np.split(row, 3, axis=-1)
        hr, hz, hn = t.np.split(h @ w_hh.T + b_hh, 3, axis=-1)
        n = t.np.tanh(n + t.nn.sigmoid(r + hr) * hn)
        z = t.nn.sigmoid(z + hz)
        h = (1 - z) * n + z * h
        return h, h

    return t.lax.scan(cell, t.np.zeros((x.shape[1], w_hh.shape[1]), x.dtype), gates)[1]


PARTS = ("weight_ih_", "weight_hh_", "bias_ih_", "bias_hh_")


def layer_shapes(prefix: str, suffix: str, gates: int, inputs: int, width: int) -> dict[str, Any]:
    rows = gates * width
    shapes = ((rows, inputs), (rows, width), (rows,), (rows,))
    return {f"{prefix}{n}{suffix}": s for n, s in zip(PARTS, shapes)}


# --- training -------------------------------------------------------------------------------------
def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    tokens = integers("tokens", VOCABULARY, 4, BATCH, LENGTH + 1)
    return [(part[:, :-1], part[:, 1:]) for part in tokens]


def torch_model(t: Any, kind: str) -> Any:
    nn = t.nn

    class Characters(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(VOCABULARY, EMBEDDING)
            self.rnn = getattr(nn, kind)(EMBEDDING, WIDTH, num_layers=2, batch_first=True)
            self.head = nn.Linear(WIDTH, VOCABULARY)

        def forward(self, tokens: Any) -> Any:
            return self.head(self.rnn(self.embed(tokens))[0])

    return t.filled(Characters())


def training_torch(kind: str) -> Any:
    def make(t: Any) -> Program:
        model = torch_model(t, kind)

        def loss_of(tokens: Any, targets: Any) -> Any:
            logits = model(tokens)
            return t.F.cross_entropy(logits.reshape(-1, VOCABULARY), targets.reshape(-1))

        data = [tuple(t.tensor(a) for a in batch) for batch in batches()]
        return t.training(loss_of, t.optimizer("Adam", model, lr=1e-3), data)

    return make


def training_jax(kind: str, gates: int) -> Any:
    shapes = {
        "embed.weight": (VOCABULARY, EMBEDDING),
        **layer_shapes("rnn.", "l0", gates, EMBEDDING, WIDTH),
        **layer_shapes("rnn.", "l1", gates, WIDTH, WIDTH),
        "head.weight": (VOCABULARY, WIDTH), "head.bias": (VOCABULARY,),
    }  # fmt: skip
    layer = lstm_jax if kind == "LSTM" else gru_jax

    def make(t: Any) -> Program:
        def loss_of(p: Any, tokens: Any, targets: Any) -> Any:
            x = p["embed.weight"][tokens.T]
            for suffix in ("l0", "l1"):
                x = layer(t, p, "rnn.", suffix, x)
            logits = t.nn.log_softmax(x @ p["head.weight"].T + p["head.bias"])
            return -t.np.take_along_axis(logits, targets.T[..., None], axis=-1).mean()

        return t.training(loss_of, weights(shapes), adam(1e-3), batches())

    return make


def training_tensorflow(kind: str, gates: int) -> Any:
    """Keras's layers, which are a loop over time on a CPU."""

    def make(t: Any) -> Program:
        tf = t.lib
        made = weights({
            "embed.weight": (VOCABULARY, EMBEDDING),
            **layer_shapes("rnn.", "l0", gates, EMBEDDING, WIDTH),
            **layer_shapes("rnn.", "l1", gates, WIDTH, WIDTH),
            "head.weight": (VOCABULARY, WIDTH), "head.bias": (VOCABULARY,),
        })  # fmt: skip

        def layer(p: Any, suffix: str, x: Any) -> Any:
            w_ih, w_hh, b_ih, b_hh = (p[f"rnn.{n}{suffix}"] for n in PARTS)
            gated = tf.matmul(x, w_ih, transpose_b=True) + b_ih
            start = tf.zeros((BATCH, WIDTH))

            def lstm(carry: Any, row: Any) -> Any:
                h, c = carry
                i, f, g, o = tf.split(row + tf.matmul(h, w_hh, transpose_b=True) + b_hh, 4, -1)
                c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
                return tf.sigmoid(o) * tf.tanh(c), c

            def gru(h: Any, row: Any) -> Any:
                r, z, n = tf.split(row, 3, -1)
                hr, hz, hn = tf.split(tf.matmul(h, w_hh, transpose_b=True) + b_hh, 3, -1)
                n = tf.tanh(n + tf.sigmoid(r + hr) * hn)
                z = tf.sigmoid(z + hz)
                return (1 - z) * n + z * h

            if kind == "LSTM":
                return tf.scan(lstm, gated, (start, start))[0]
            return tf.scan(gru, gated, start)

        def loss_of(p: Any, tokens: Any, targets: Any) -> Any:
            x = tf.gather(p["embed.weight"], tf.transpose(tokens))
            for suffix in ("l0", "l1"):
                x = layer(p, suffix, x)
            logits = tf.matmul(x, p["head.weight"], transpose_b=True) + p["head.bias"]
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=tf.transpose(targets), logits=logits))  # fmt: skip

        return t.training(loss_of, made, adam(1e-3), batches())

    return make


def training(kind: str, gates: int) -> Workload:
    per_token = gates * WIDTH * (EMBEDDING + 3 * WIDTH) + WIDTH * VOCABULARY
    return Workload(
        f"train-{kind.lower()}", "training",
        f"2-layer {kind} of 512, {BATCH} × {LENGTH} characters, Adam step",
        {"torch": training_torch(kind), "jax": training_jax(kind, gates),
         "tensorflow": training_tensorflow(kind, gates)},
        flops=6.0 * BATCH * LENGTH * per_token, checks=4, featured=True,
    )  # fmt: skip


# --- bidirectional --------------------------------------------------------------------------------
TIMES, ROWS, INPUTS, HIDDEN = 64, 32, 256, 256


def both_ways_torch(t: Any) -> Program:
    class Tagger(t.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = t.nn.LSTM(INPUTS, HIDDEN, bidirectional=True)

        def forward(self, x: Any) -> Any:
            return self.rnn(x)[0]

    model = t.filled(Tagger())
    return t.inference(model, [t.tensor(normal("x", TIMES, ROWS, INPUTS))])


def both_ways_jax(t: Any) -> Program:
    shapes = layer_shapes("rnn.", "l0", 4, INPUTS, HIDDEN)
    shapes |= layer_shapes("rnn.", "l0_reverse", 4, INPUTS, HIDDEN)
    names = list(shapes)

    def function(t: Any, x: Any, *values: Any) -> Any:
        p = dict(zip(names, values))
        ahead = lstm_jax(t, p, "rnn.", "l0", x)
        return t.np.concatenate([ahead, lstm_jax(t, p, "rnn.", "l0_reverse", x, True)], axis=-1)

    x = normal("x", TIMES, ROWS, INPUTS)
    return t.kernel(Function(function, {"x": x, **weights(shapes)}))


WORKLOADS = [
    training("LSTM", 4),
    training("GRU", 3),
    Workload(
        "lstm-both-ways", "recurrent", "bidirectional LSTM of 256, 64 times × 32 rows",
        {"torch": both_ways_torch, "jax": both_ways_jax},
        flops=2.0 * TIMES * ROWS * 2 * 4 * HIDDEN * (INPUTS + HIDDEN),
    ),
]  # fmt: skip
