"""Train a graph convolutional network on Cora: which of seven subjects a paper is about.

    python examples/gcn.py [--root FOLDER] [--seeds 10]

Two layers, 16 wide, half of everything dropped, 200 steps of Adam, 140 labelled papers of 2,708;
the published accuracy is 81.5 %.

T. Kipf, M. Welling: Semi-supervised classification with graph convolutional networks. ICLR 2017.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import sennit as sn
from sennit import nn
from sennit.train import parameter_hash

F = nn.functional
WIDTH, STEPS, CLASSES = 16, 200, 7
GOAL = 0.805


class GCN(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        # The graph is the same at every step: its normalisation is computed once.
        self.first = nn.graph.GCNConv(features, WIDTH, cached=True)
        self.second = nn.graph.GCNConv(WIDTH, CLASSES, cached=True)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: sn.Tensor, edges: sn.Tensor) -> sn.Tensor:
        x = F.relu(self.first(self.dropout(x), edges))
        return self.second(self.dropout(x), edges)


def train(graph: sn.data.CitationGraph, x: sn.Tensor, seed: int) -> tuple[float, str]:
    """The share of test papers that are right, and the hash of the weights."""
    sn.random.seed(seed)
    model = GCN(x.shape[1])
    groups = [
        {"params": model.first.parameters(), "weight_decay": 5e-4},
        {"params": model.second.parameters(), "weight_decay": 0.0},
    ]
    optimizer = sn.optim.Adam(groups, lr=0.01)
    for _ in range(STEPS):
        logits = model(x, graph.edges)
        loss = F.cross_entropy(logits[graph.train], graph.labels[graph.train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with sn.no_grad():
        guess = model(x, graph.edges).argmax(dim=-1)[graph.test]
    right = (guess == graph.labels[graph.test]).to(sn.float32).mean()
    return float(right), parameter_hash(model)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of cora.npz")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()

    graph = sn.data.cora(options.root)
    x = graph.features / graph.features.sum(dim=1, keepdim=True).clip(1)
    begin, scores = time.perf_counter(), []
    for seed in range(options.seeds):
        accuracy, fingerprint = train(graph, x, seed)
        scores.append(accuracy)
        print(f"seed {seed}: {accuracy:.1%}  {fingerprint}", flush=True)
    mean = sum(scores) / len(scores)
    print(f"accuracy {mean:.2%} over {len(scores)} seeds, {time.perf_counter() - begin:.1f} s")
    return 0 if mean >= GOAL or options.seeds < 10 else 1


if __name__ == "__main__":
    raise SystemExit(main())
