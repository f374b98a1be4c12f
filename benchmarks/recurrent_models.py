"""The recurrent networks of the training benchmarks, written once for both libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import Side
from benchmarks.peers import Peer

BATCH, STEPS, VOCABULARY, EMBEDDING, HIDDEN, LAYERS = 64, 64, 65, 256, 512, 2


def lstm(peer: Peer) -> tuple[Any, ...]:
    """Embedding, recurrent layers, head: a language model over characters."""
    return _parts(peer, peer.nn.LSTM)


def gru(peer: Peer) -> tuple[Any, ...]:
    return _parts(peer, peer.nn.GRU)


def _parts(peer: Peer, layer: Any) -> tuple[Any, ...]:
    nn = peer.nn
    return (
        nn.Embedding(VOCABULARY, EMBEDDING),
        layer(EMBEDDING, HIDDEN, LAYERS),
        nn.Linear(HIDDEN, VOCABULARY),
    )


MODELS = {"lstm": lstm, "gru": gru}


def recurrent_step(peer: Peer, kind: str) -> Side:
    """An Adam step on sequences of random tokens, with the loss over all of them."""
    embedding, layers, head = MODELS[kind](peer)
    parameters = [p for part in (embedding, layers, head) for p in part.parameters()]
    optimizer = peer.optim.Adam(parameters, lr=1e-3)
    rng = np.random.default_rng(0)
    tokens = [peer.tensor(rng.integers(0, VOCABULARY, (STEPS + 1, BATCH))) for _ in range(4)]
    loss_of = peer.F.cross_entropy

    def side(count: int) -> None:
        loss: Any = None
        for step in range(count):
            batch = tokens[step % 4]
            optimizer.zero_grad()
            states, _ = layers(embedding(batch[:-1]))
            scores = head(states).reshape(-1, VOCABULARY)
            loss = loss_of(scores, batch[1:].reshape(-1))
            loss.backward()
            optimizer.step()
        peer.wait()
        float(loss.detach())

    return side


def main() -> None:
    """Times both networks beside PyTorch: python -m benchmarks.recurrent_models"""
    from benchmarks.harness import Settings, measure, ratio_row
    from benchmarks.peers import Sennit, Torch

    settings = Settings(seconds=1.0)
    for threads in settings.threads:
        peers: list[Peer] = [Sennit(), Torch()]
        for kind in MODELS:
            for peer in peers:
                peer.set_threads(threads)
            times = measure({p.name: recurrent_step(p, kind) for p in peers}, settings)
            row = ratio_row(
                "training", kind, threads, times["sennit"], times["torch"], "torch eager"
            )
            print(row.name, row.threads, row.sennit, row.other, f"{row.figure:.2f}x", flush=True)


if __name__ == "__main__":
    main()
