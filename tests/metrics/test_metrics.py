"""Metrics against their definitions, written with NumPy, and scikit-learn where it is installed."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import metrics as M

rng = np.random.default_rng(0)


def feed(metric: M.Metric, *batches: tuple[Any, Any]) -> Any:
    for pred, target in batches:
        metric.update(sn.tensor(pred), sn.tensor(target))
    return np.asarray(metric.compute().numpy())


def parts(pred: np.ndarray, target: np.ndarray, count: int = 3) -> list[tuple[Any, Any]]:
    return list(zip(np.array_split(pred, count), np.array_split(target, count), strict=True))


# ---- classes, from the definitions


def counts_of(pred: np.ndarray, target: np.ndarray, n: int) -> list[np.ndarray]:
    tp = np.array([((pred == c) & (target == c)).sum() for c in range(n)])
    fp = np.array([((pred == c) & (target != c)).sum() for c in range(n)])
    fn = np.array([((pred != c) & (target == c)).sum() for c in range(n)])
    return [tp, fp, fn]


def divide(a: Any, b: Any) -> np.ndarray:
    a, b = np.asarray(a, float), np.asarray(b, float)
    return np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b))


SCORES = {
    "Precision": lambda tp, fp, fn: divide(tp, tp + fp),
    "Recall": lambda tp, fp, fn: divide(tp, tp + fn),
    "F1Score": lambda tp, fp, fn: divide(2 * tp, 2 * tp + fp + fn),
    "JaccardIndex": lambda tp, fp, fn: divide(tp, tp + fp + fn),
}


def averaged(score: Any, counts: list[np.ndarray], average: str, every: bool) -> np.ndarray:
    tp, fp, fn = counts
    each = score(tp, fp, fn)
    if average == "none":
        return each
    if average == "micro":
        return score(tp.sum(), fp.sum(), fn.sum())
    if average == "weighted":
        return divide((each * (tp + fn)).sum(), (tp + fn).sum())
    there = np.ones(len(tp), bool) if every else tp + fp + fn > 0
    return divide(each[there].sum(), there.sum())


AVERAGES = ("micro", "macro", "weighted", "none")


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("form", ["labels", "scores", "images", "ignored"])
def test_multiclass(name: str, average: str, form: str) -> None:
    n = 5
    target = rng.integers(0, 4, (40, 3, 2) if form == "images" else 40)  # class 4 never occurs
    pred = np.where(rng.random(target.shape) < 0.6, target, rng.integers(0, 4, target.shape))
    given: np.ndarray = pred
    options: dict[str, Any] = {}
    kept = np.ones(target.shape, bool)
    if form in ("scores", "images"):
        given = np.moveaxis(np.eye(n)[pred] + rng.random((*target.shape, n)) * 0.5, -1, 1)
        given = np.ascontiguousarray(given)
    if form == "ignored":
        target = np.where(rng.random(target.shape) < 0.3, -1, target)
        kept, options = target != -1, {"ignore_index": -1}
    metric = getattr(M, name)(num_classes=n, average=average, **options)
    got = feed(metric, *parts(given, target))
    counts = counts_of(pred[kept], target[kept], n)
    np.testing.assert_allclose(got, averaged(SCORES[name], counts, average, False), rtol=1e-12)


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("name", SCORES)
def test_multilabel_and_binary(name: str, average: str) -> None:
    target = (rng.random((50, 4)) < [0.5, 0.2, 0.8, 0.0]).astype(np.int64)
    scores = rng.random((50, 4)).astype(np.float32)
    said = scores > 0.6
    counts = [
        (said & (target == 1)).sum(0),
        (said & (target == 0)).sum(0),
        (~said & (target == 1)).sum(0),
    ]
    metric = getattr(M, name)("multilabel", 4, average=average, threshold=0.6)
    got = feed(metric, *parts(scores, target))
    np.testing.assert_allclose(got, averaged(SCORES[name], counts, average, True), rtol=1e-12)
    binary = getattr(M, name)("binary", threshold=0.6, average=average)
    got = feed(binary, *parts(scores[:, 0], target[:, 0]))
    np.testing.assert_allclose(got, SCORES[name](*(c[0] for c in counts)), rtol=1e-12)
    same = feed(getattr(M, name)("binary"), (said[:, 0], target[:, 0]))
    np.testing.assert_array_equal(got, same)


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_f_beta(beta: float) -> None:
    target, pred = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    tp, fp, fn = counts_of(pred, target, 3)
    p, r = tp / (tp + fp), tp / (tp + fn)
    expected = (1 + beta**2) * p * r / (beta**2 * p + r)
    metric = M.FBetaScore(beta, num_classes=3, average="none")
    np.testing.assert_allclose(feed(metric, (pred, target)), expected, rtol=1e-12)


def test_accuracy() -> None:
    target = rng.integers(0, 6, 200)
    scores = rng.normal(size=(200, 6)) + np.eye(6)[target]
    best = np.argsort(-scores, 1)
    for k in (1, 2, 4):
        hit = (best[:, :k] == target[:, None]).any(1)
        got = feed(M.Accuracy(num_classes=6, top_k=k), *parts(scores, target))
        assert got == hit.mean()
        macro = feed(M.Accuracy(num_classes=6, top_k=k, average="macro"), (scores, target))
        np.testing.assert_allclose(macro, np.mean([hit[target == c].mean() for c in range(6)]))
    labels = (rng.random((30, 3)) < 0.5).astype(np.int64)
    said = np.where(rng.random(labels.shape) < 0.8, labels, 1 - labels)
    assert feed(M.Accuracy("multilabel", 3), (said, labels)) == (said == labels).mean()
    each = feed(M.Accuracy("multilabel", 3, average="none"), (said, labels))
    np.testing.assert_allclose(each, (said == labels).mean(0))
    subset = feed(M.Accuracy("multilabel", 3, subset=True), *parts(said, labels))
    assert subset == (said == labels).all(1).mean()
    assert feed(M.Accuracy("binary"), (said[:, 0], labels[:, 0])) == (said == labels)[:, 0].mean()
    assert np.isnan(M.Accuracy(num_classes=3).compute().item())


@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
def test_confusion_matrix(normalize: str | None) -> None:
    target, pred = rng.integers(0, 4, 80), rng.integers(0, 3, 80)
    target[:5] = 9
    counts = np.zeros((4, 4), np.int64)
    for t, p in zip(target[5:], pred[5:], strict=True):
        counts[t, p] += 1
    axis = {"true": 1, "pred": 0}.get(normalize or "")
    expected = counts if normalize is None else divide(counts, counts.sum(axis, keepdims=True))
    metric = M.ConfusionMatrix(4, normalize=normalize, ignore_index=9)
    got = feed(metric, *parts(pred, target))
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected)
    binary = M.ConfusionMatrix(task="binary")
    got = feed(binary, (np.array([0.2, 0.7, 0.9], np.float32), np.array([1, 1, 0])))
    assert got.tolist() == [[0, 1], [1, 1]]


# ---- scores


def area(scores: np.ndarray, target: np.ndarray) -> float:
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p, n in itertools.product(scores[target == 1], scores[target == 0])
    ]
    return float(np.mean(pairs)) if pairs else math.nan


def precision_mean(scores: np.ndarray, target: np.ndarray) -> float:
    total = 0.0
    positives = scores[target == 1]
    for s in positives:
        total += (positives >= s).sum() / (scores >= s).sum()
    return total / len(positives) if len(positives) else math.nan


@pytest.mark.parametrize(("kind", "rule"), [(M.ROCAUC, area), (M.AveragePrecision, precision_mean)])
def test_ranking(kind: Any, rule: Any) -> None:
    scores = rng.integers(0, 12, (90, 4)) / 8.0  # many ties
    target = (rng.random((90, 4)) < [0.5, 0.2, 0.7, 0.4]).astype(np.int64)
    got = feed(kind(), *parts(scores[:, 0], target[:, 0]))
    np.testing.assert_allclose(got, rule(scores[:, 0], target[:, 0]), rtol=1e-12)
    each = np.array([rule(scores[:, k], target[:, k]) for k in range(4)])
    for average, expected in (
        ("none", each),
        ("macro", each.mean()),
        ("weighted", (each * target.sum(0)).sum() / target.sum()),
        ("micro", rule(scores.ravel(), target.ravel())),
    ):
        got = feed(kind("multilabel", 4, average), *parts(scores, target))
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    labels = rng.integers(0, 3, 90)  # class 3 never occurs
    each = np.array([rule(scores[:, k], (labels == k).astype(int)) for k in range(4)])
    got = feed(kind("multiclass", 4, "none"), *parts(scores, labels))
    np.testing.assert_allclose(got, each, rtol=1e-12)
    got = feed(kind("multiclass", 4), *parts(scores, labels))
    np.testing.assert_allclose(got, np.nanmean(each), rtol=1e-12)
    assert np.isnan(kind().compute().item())


@pytest.mark.oracle
def test_as_scikit_learn() -> None:
    sk = pytest.importorskip("sklearn.metrics")
    target, pred = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    for average in ("micro", "macro", "weighted"):
        options = {"num_classes": 5, "average": average}
        for ours, theirs in (
            (M.Precision(**options), sk.precision_score),
            (M.Recall(**options), sk.recall_score),
            (M.F1Score(**options), sk.f1_score),
            (M.JaccardIndex(**options), sk.jaccard_score),
        ):
            expected = theirs(target, pred, average=average)
            np.testing.assert_allclose(feed(ours, (pred, target)), expected, rtol=1e-12)
    np.testing.assert_allclose(
        feed(M.Accuracy(num_classes=5, average="macro"), (pred, target)),
        sk.balanced_accuracy_score(target, pred),
    )
    np.testing.assert_array_equal(
        feed(M.ConfusionMatrix(5), (pred, target)), sk.confusion_matrix(target, pred)
    )
    scores, binary = rng.integers(0, 20, 300) / 7.0, rng.integers(0, 2, 300)
    np.testing.assert_allclose(feed(M.ROCAUC(), (scores, binary)), sk.roc_auc_score(binary, scores))
    np.testing.assert_allclose(
        feed(M.AveragePrecision(), (scores, binary)), sk.average_precision_score(binary, scores)
    )
    p, t = rng.normal(size=(50, 3)), rng.normal(size=(50, 3)) * [1, 5, 0.1]
    for multioutput in ("uniform_average", "variance_weighted", "raw_values"):
        got = feed(M.R2Score(3, multioutput), *parts(p, t))
        np.testing.assert_allclose(got, sk.r2_score(t, p, multioutput=multioutput), rtol=1e-10)
    flat = np.ones(5)
    assert feed(M.R2Score(), (flat, flat)) == sk.r2_score(flat, flat)
    assert feed(M.R2Score(), (flat + 1, flat)) == sk.r2_score(flat, flat + 1)


# ---- numbers and text


def test_regression() -> None:
    p, t = rng.normal(size=(60, 2)) + 1e4, rng.normal(size=(60, 2)) + 1e4
    d = p - t
    for metric, expected in (
        (M.MeanAbsoluteError(), np.abs(d).mean()),
        (M.MeanSquaredError(), (d**2).mean()),
        (M.RootMeanSquaredError(), np.sqrt((d**2).mean())),
    ):
        np.testing.assert_allclose(feed(metric, *parts(p, t)), expected, rtol=1e-12)
    expected = 1 - (d**2).sum(0) / ((t - t.mean(0)) ** 2).sum(0)
    got = feed(M.R2Score(2, "raw_values"), *parts(p, t))
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    got = feed(M.R2Score(), *parts(p[:, 0], t[:, 0]))
    np.testing.assert_allclose(got, expected[0], rtol=1e-9)
    assert np.isnan(M.R2Score().compute().item())


def test_perplexity() -> None:
    x, y = rng.normal(size=(6, 5, 9)), rng.integers(0, 9, (6, 5))
    y[0] = -100
    logp = x - np.log(np.exp(x).sum(-1, keepdims=True))
    own = np.take_along_axis(logp, np.where(y < 0, 0, y)[..., None], -1)[..., 0]
    got = feed(M.Perplexity(), *parts(x, y))
    np.testing.assert_allclose(got, np.exp(-own[y >= 0].mean()), rtol=1e-12)


def bleu(pred: list[str], refs: list[list[str]], n: int, smooth: bool) -> float:
    right, said, length, wanted = [0] * n, [0] * n, 0, 0
    for sentence, many in zip(pred, refs, strict=True):
        tokens, others = sentence.split(), [r.split() for r in many]
        length += len(tokens)
        wanted += sorted((abs(len(o) - len(tokens)), len(o)) for o in others)[0][1]
        for k in range(1, n + 1):
            grams = [tuple(tokens[i : i + k]) for i in range(len(tokens) - k + 1)]
            said[k - 1] += len(grams)
            for g in set(grams):
                most = max(
                    sum(tuple(o[i : i + k]) == g for i in range(len(o) - k + 1)) for o in others
                )
                right[k - 1] += min(grams.count(g), most)
    plus = [int(smooth and k > 0) for k in range(n)]
    if any(r + s == 0 for r, s in zip(right, plus, strict=True)):
        return 0.0
    logs = [math.log((r + s) / (d + s)) for r, d, s in zip(right, said, plus, strict=True)]
    penalty = 1.0 if length >= wanted else math.exp(1 - wanted / length)
    return penalty * math.exp(sum(logs) / n)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_bleu(n: int, smooth: bool) -> None:
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "it"]
    refs = [[" ".join(rng.choice(words, rng.integers(5, 9))) for _ in range(2)] for _ in range(12)]
    pred = [
        " ".join(w if rng.random() < 0.9 else "dog" for w in r[0].split()[: rng.integers(4, 9)])
        for r in refs
    ]
    whole, a, b = (M.BLEUScore(n, smooth) for _ in range(3))
    whole.update(pred, refs)
    np.testing.assert_allclose(whole.compute().item(), bleu(pred, refs, n, smooth), rtol=1e-12)
    a.update(pred[:5], refs[:5])
    b.update([p.split() for p in pred[5:]], [[r.split() for r in many] for many in refs[5:]])
    assert a.merge(b).compute().item() == whole.compute().item()
    assert M.BLEUScore().compute().item() == 0
    letters = M.BLEUScore(1, tokenize=list)
    letters.update(["ab"], ["ac"])
    assert letters.compute().item() == 0.5


# ---- what all share

EVERY: list[tuple[Any, Any, Any]] = [
    (lambda: M.Accuracy(num_classes=4), rng.integers(0, 4, 40), rng.integers(0, 4, 40)),
    (
        lambda: M.Accuracy("multilabel", 2, subset=True),
        rng.random((40, 2)) < 0.5, rng.random((40, 2)) < 0.5,
    ),
    (lambda: M.F1Score(num_classes=4), rng.normal(size=(40, 4)), rng.integers(0, 4, 40)),
    (lambda: M.ConfusionMatrix(4), rng.integers(0, 4, 40), rng.integers(0, 4, 40)),
    (M.ROCAUC, rng.random(40), rng.integers(0, 2, 40)),
    (lambda: M.AveragePrecision("multiclass", 3), rng.random((40, 3)), rng.integers(0, 3, 40)),
    (M.MeanSquaredError, rng.normal(size=40), rng.normal(size=40)),
    (M.R2Score, rng.normal(size=40), rng.normal(size=40)),
    (M.Perplexity, rng.normal(size=(40, 5)), rng.integers(0, 5, 40)),
]  # fmt: skip


@pytest.mark.parametrize("make", [e[0] for e in EVERY], ids=lambda m: type(m()).__name__)
def test_merging_saving_and_starting_again(make: Any) -> None:
    _, pred, target = next(e for e in EVERY if e[0] is make)
    whole, workers = make(), [make() for _ in range(3)]
    whole.update(sn.tensor(pred), sn.tensor(target))
    for worker, (p, t) in zip(workers, parts(pred, target), strict=True):
        worker.update(sn.tensor(p), sn.tensor(t))
    expected = whole.compute().numpy()
    # By the states, as they would be sent, and into a metric that has seen nothing.
    total = make()
    for worker in workers:
        received = make()
        received.load_state_dict({k: v.numpy() for k, v in worker.state_dict().items()})
        assert total.merge(received) is total
    np.testing.assert_allclose(total.compute().numpy(), expected, rtol=1e-12)
    # A call gives the value of its batch, and counts.
    called = make()
    first = called(sn.tensor(pred), sn.tensor(target))
    np.testing.assert_array_equal(first.numpy(), expected)
    np.testing.assert_allclose(called.compute().numpy(), expected, rtol=1e-12)
    whole.reset()
    whole.update(sn.tensor(pred[:10]), sn.tensor(target[:10]))
    again = make()
    again.update(sn.tensor(pred[:10]), sn.tensor(target[:10]))
    np.testing.assert_array_equal(whole.compute().numpy(), again.compute().numpy())
    assert repr(whole).startswith(type(whole).__name__)


def test_states_have_no_gradients() -> None:
    x = sn.tensor([1.0, 2.0], requires_grad=True)
    metric = M.MeanSquaredError()
    metric.update(x * 2, sn.zeros(2))
    assert not metric.compute().requires_grad


def test_errors() -> None:
    with pytest.raises(sn.InvalidValue, match="task"):
        M.Accuracy("regression", 3)
    with pytest.raises(sn.InvalidValue, match="number of classes"):
        M.Precision()
    with pytest.raises(sn.InvalidValue, match="top_k"):
        M.Accuracy(num_classes=3, top_k=4)
    with pytest.raises(sn.InvalidValue, match="average"):
        M.F1Score(num_classes=3, average="median")
    with pytest.raises(sn.InvalidValue, match="beta"):
        M.FBetaScore(0.0, num_classes=3)
    with pytest.raises(sn.InvalidValue, match="subset"):
        M.Accuracy(num_classes=3, subset=True)
    with pytest.raises(sn.InvalidValue, match="normalize"):
        M.ConfusionMatrix(3, normalize="rows")
    with pytest.raises(sn.InvalidValue, match="merged"):
        M.Accuracy(num_classes=3).merge(M.Accuracy(num_classes=4))
    with pytest.raises(sn.InvalidValue, match="merged"):
        M.R2Score().merge(M.MeanSquaredError())
    with pytest.raises(sn.InvalidValue, match="states"):
        M.MeanSquaredError().load_state_dict({"total": 1.0})
    with pytest.raises(sn.ShapeError, match="state 'tp'"):
        M.Recall(num_classes=3).load_state_dict(M.Recall(num_classes=4).state_dict())
    a = sn.tensor([0, 1, 2])
    with pytest.raises(sn.ShapeError, match="one shape"):
        M.Accuracy(num_classes=3).update(a, a[:2])
    with pytest.raises(sn.ShapeError, match="scores"):
        M.Accuracy(num_classes=3).update(sn.ones((3, 4)), a)
    with pytest.raises(sn.DTypeError, match="integers"):
        M.Accuracy(num_classes=3).update(sn.ones((3, 3)), sn.ones(3))
    with pytest.raises(sn.DTypeError, match="floating"):
        M.ROCAUC().update(a, a)
    with pytest.raises(sn.ShapeError, match="one shape"):
        M.MeanSquaredError().update(sn.ones((3, 1)), sn.ones(3))
    with pytest.raises(sn.ShapeError, match="classes"):
        M.Perplexity().update(sn.ones((3, 4)), sn.ones((2, 3), dtype=sn.int64))
    with pytest.raises(sn.InvalidValue, match="one length"):
        M.BLEUScore().update(["a"], [])
    for kind in (M.Accuracy, M.ConfusionMatrix):
        bad = kind(num_classes=3)
        bad.update(a, sn.tensor([0, 1, 3]))
        with pytest.raises(sn.IndexOutOfRange):
            bad.compute().numpy()
