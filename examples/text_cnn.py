"""Train a convolutional network on sentences from film reviews (Kim's CNN-rand).

    python examples/text_cnn.py [--root FOLDER] [--folds 10] [--epochs 4]

Words start from random vectors; windows of three, four and five words, 100 filters each, the
largest response of each over the sentence, dropout, one linear layer. The published accuracy of
the method is 76.1 % (ten-fold cross-validation, as here). A tenth of what is left for training is
the development part: the weights of the epoch that does best there are the ones that are tested.

Y. Kim: Convolutional neural networks for sentence classification. EMNLP 2014.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import numpy as np

import sennit as sn
from sennit import nn
from sennit.train import parameter_hash

F = nn.functional
WIDTH, FILTERS, SIZES, BATCH = 128, 100, (3, 4, 5), 50
GOAL = 0.75


class TextCNN(nn.Module):
    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, WIDTH, padding_idx=0)
        with sn.no_grad():
            self.embedding.weight *= 0.06  # so that a word that is rare says little
        self.convolutions = nn.ModuleList([nn.Conv1d(WIDTH, FILTERS, n) for n in SIZES])
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(FILTERS * len(SIZES), 2)

    def forward(self, tokens: sn.Tensor) -> sn.Tensor:
        x = self.dropout(self.embedding(tokens)).transpose(1, 2)
        found = [F.relu(convolution(x)).amax(dim=-1) for convolution in self.convolutions]
        return self.out(self.dropout(sn.cat(found, dim=-1)))


def words_of(sentence: str) -> list[str]:
    return re.findall(r"[a-z0-9]+|'[a-z]+|[!?,.]", sentence.replace("n't", " 'not"))


def encode(sentences: list[list[str]], numbers: dict[str, int], length: int) -> np.ndarray:
    """(sentences, length): 0 behind the end, 1 for a word that training did not see."""
    tokens = np.zeros((len(sentences), length), np.int64)
    for row, words in zip(tokens, sentences):
        for i, word in enumerate(words[:length]):
            row[i] = numbers.get(word, 1)
    return tokens


def batch(tokens: np.ndarray, rows: np.ndarray) -> sn.Tensor:
    """These rows, without the columns that are 0 in all of them; room for the largest window."""
    chosen = tokens[rows]
    longest = int((chosen != 0).sum(axis=1).max())
    return sn.asarray(np.ascontiguousarray(chosen[:, : max(longest, *SIZES)]))


def accuracy(model: nn.Module, tokens: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> float:
    model.eval()
    hits = 0
    with sn.no_grad():
        for part in np.array_split(rows, -(-len(rows) // 256)):
            guess = model(batch(tokens, part)).argmax(dim=-1).numpy()
            hits += int((guess == labels[part]).sum())
    model.train()
    return hits / len(rows)


def train(
    tokens: np.ndarray, labels: np.ndarray, parts: list[np.ndarray], epochs: int, seed: int
) -> tuple[float, str]:
    """The accuracy on the test part, and the hash of the weights, of the epoch that is best on the
    development part. `parts`: the rows to learn from, of the development and of the test part."""
    learn, develop, test = parts
    sn.random.seed(seed)
    draw = np.random.default_rng(seed)
    model = TextCNN(int(tokens.max()) + 1)
    optimizer = sn.optim.Adam(model.parameters(), lr=1e-3)
    best, found = -1.0, (0.0, "")
    for _ in range(epochs):
        order = draw.permutation(learn)
        for i in range(0, len(order), BATCH):
            chosen = order[i : i + BATCH]
            loss = F.cross_entropy(model(batch(tokens, chosen)), sn.asarray(labels[chosen]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        score = accuracy(model, tokens, labels, develop)
        if score > best:
            best, found = score, (accuracy(model, tokens, labels, test), parameter_hash(model))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of rt-polarity.neg and rt-polarity.pos")
    parser.add_argument("--folds", type=int, default=10, help="of ten, how many to try")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()

    texts, label_list = sn.data.movie_reviews(options.root)
    sentences, labels = [words_of(t) for t in texts], np.array(label_list)
    length = max(map(len, sentences))
    order = np.random.default_rng(0).permutation(len(sentences))
    begin, scores = time.perf_counter(), []
    for fold in range(options.folds):
        test, rest = order[fold::10], np.concatenate([order[f::10] for f in range(10) if f != fold])
        develop, learn = rest[::10], np.delete(rest, np.s_[::10])
        known = sorted({w for i in learn for w in sentences[i]})
        numbers = {w: i + 2 for i, w in enumerate(known)}
        tokens = encode(sentences, numbers, length)
        score, fingerprint = train(tokens, labels, [learn, develop, test], options.epochs, fold)
        scores.append(score)
        print(f"fold {fold}: {score:.2%}  {fingerprint}", flush=True)
    mean = sum(scores) / len(scores)
    print(f"accuracy {mean:.2%} over {len(scores)} folds, {time.perf_counter() - begin:.1f} s")
    return 0 if mean >= GOAL or options.folds < 10 else 1


if __name__ == "__main__":
    raise SystemExit(main())
