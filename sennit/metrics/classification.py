"""Metrics of classes that are decided on: counts of right and wrong."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from .metric import Metric, count_of, ratio, zeros

_f = _core.functions
_where, _index_add = _f["where"], _f["index_add"]
_FLOATS = (_core.float16, _core.bfloat16, _core.float32, _core.float64)
TASKS = ("binary", "multiclass", "multilabel")


def check_task(metric: str, task: str, num_classes: int | None) -> None:
    """An error unless the task is known and the number of classes is there when it is needed."""
    if task not in TASKS or (task != "binary" and (num_classes is None or num_classes < 1)):
        raise error(
            _core.InvalidValue,
            metric,
            f"task is {task!r} and num_classes {num_classes}; required is one of {TASKS}, and a "
            "number of classes (of labels, for multilabel) but for binary",
        )


def _shape_error(metric: str, pred: Any, target: Any, form: str) -> Exception:
    return error(
        _core.ShapeError,
        metric,
        f"predictions have shape {pred.shape} and targets {target.shape}; required are {form}",
    )


class _Counts(Metric):
    """Of each class (or label): true and false positives, false and true negatives."""

    def __init__(
        self,
        task: str = "multiclass",
        num_classes: int | None = None,
        average: str | None = "macro",
        threshold: float = 0.5,
        top_k: int = 1,
        ignore_index: int | None = None,
    ) -> None:
        name = type(self).__name__
        check_task(name, task, num_classes)
        if average not in ("micro", "macro", "weighted", "none", None):
            raise error(
                _core.InvalidValue,
                name,
                f"average is {average!r}; it must be 'micro', 'macro', 'weighted' or 'none'",
            )
        if top_k < 1 or (top_k > 1 and (task != "multiclass" or top_k > (num_classes or 0))):
            raise error(
                _core.InvalidValue,
                name,
                f"top_k is {top_k} for task {task!r} and {num_classes} classes; it must be between "
                "1 and the number of classes, and 1 but for multiclass",
            )
        self.task = task
        self.num_classes = 1 if task == "binary" else num_classes
        self.average = "none" if average is None else average
        self.threshold = threshold
        self.top_k = top_k
        self.ignore_index = ignore_index
        super().__init__()

    def _initial(self) -> dict[str, Any]:
        n = self.num_classes or 1
        return {name: zeros(n) for name in ("tp", "fp", "fn", "tn")}

    def _update(self, pred: Any, target: Any) -> None:
        if self.task == "multiclass":
            self._multiclass(pred, target)
        else:
            self._binary(pred, target)

    def _binary(self, pred: Any, target: Any) -> None:
        labels = self.num_classes or 1
        name = type(self).__name__
        if pred.shape != target.shape:
            raise _shape_error(name, pred, target, "one shape")
        if self.task == "multilabel" and (pred.ndim < 2 or pred.shape[1] != labels):
            raise _shape_error(name, pred, target, f"(N, {labels}, ...)")
        said = pred > self.threshold if pred.dtype in _FLOATS else pred != 0
        true = target == 1
        counted = None if self.ignore_index is None else target != self.ignore_index
        axes = None
        if self.task == "multilabel":
            axes = (0, *range(2, pred.ndim))

        def count(mask: Any) -> Any:
            mask = mask if counted is None else mask & counted
            return mask.astype(_core.int64).sum(axes).reshape(-1)

        self._add(
            tp=count(said & true), fp=count(said & ~true),
            fn=count(~said & true), tn=count(~said & ~true),
        )  # fmt: skip

    def _multiclass(self, pred: Any, target: Any) -> None:
        n = self.num_classes or 1
        chosen, labels = decided(type(self).__name__, pred, target, n, self.top_k)
        # Counts by class, in slot n what does not count; a number that is no class is an error.
        own = slots(labels, n, self.ignore_index)
        total = _index_add(
            zeros(n + 1, device=own.device),
            0,
            own,
            _f["ones"](own.shape, dtype=_core.int64, device=own.device),
        )[:n]
        counted = own != n
        tp, said = zeros(n, device=own.device), zeros(n, device=own.device)
        for k in range(self.top_k):
            guess = slots(chosen[:, k], n, None)
            guess = _where(counted, guess, n)
            one = _f["ones"](guess.shape, dtype=_core.int64, device=guess.device)
            said = said + _index_add(zeros(n + 1, device=own.device), 0, guess, one)[:n]
            hit = (guess == own) & counted
            tp = (
                tp
                + _index_add(zeros(n + 1, device=own.device), 0, own, hit.astype(_core.int64))[:n]
            )
        fp, fn = said - tp, total - tp
        self._add(tp=tp, fp=fp, fn=fn, tn=counted.astype(_core.int64).sum() - tp - fp - fn)

    def _average(self, score: Any, of_sums: Any) -> Any:
        """Scores of classes as one number; `of_sums` is the score of all classes' counts."""
        tp, fp, fn = (self._state[k] for k in ("tp", "fp", "fn"))
        if self.task == "binary":
            return score[0]
        if self.average == "none":
            return score
        if self.average == "micro":
            return of_sums
        if self.average == "weighted":
            return ratio((score * (tp + fn)).sum(), (tp + fn).sum())
        if self.task == "multilabel":
            return score.mean()
        # A class that neither occurs nor is ever said does not count.
        there = (tp + fp + fn) > 0
        return ratio(_where(there, score, 0.0).sum(), there.astype(_core.int64).sum())

    def _by_counts(self, function: Any) -> Any:
        counts = [self._state[k] for k in ("tp", "fp", "fn", "tn")]
        return self._average(function(*counts), function(*(c.sum() for c in counts)))


def decided(metric: str, pred: Any, target: Any, classes: int, top_k: int) -> tuple[Any, Any]:
    """Classes that were chosen, (count, top_k), and labels, (count,)."""
    labels = target.reshape(-1)
    if target.dtype in _FLOATS:
        raise error(
            _core.DTypeError,
            metric,
            f"targets have dtype {target.dtype.name}; class numbers must be integers",
        )
    if pred.dtype not in _FLOATS:
        if pred.shape != target.shape or top_k != 1:
            raise _shape_error(metric, pred, target, "one shape, or scores (N, classes, ...)")
        return pred.reshape(-1, 1), labels
    shape = target.shape
    want = (*shape[:1], classes, *shape[1:]) if shape else (classes,)
    if pred.shape != want:
        raise _shape_error(metric, pred, target, f"scores {want}, or class numbers {shape}")
    scores = _f["moveaxis"](pred, 1 if shape else 0, -1).reshape(-1, classes)
    if top_k == 1:
        return _f["argmax"](scores, -1)[:, None], labels
    return _f["topk"](scores, top_k, -1)[1], labels


def slots(labels: Any, classes: int, ignore_index: int | None) -> Any:
    """Labels as places of ``classes + 1`` counts, the last one for what is ignored; a number that
    is no class becomes a place that is not there."""
    labels = labels.astype(_core.int64)
    bad = (labels < 0) | (labels >= classes)
    place = _where(bad, classes + 1, labels)
    return place if ignore_index is None else _where(labels == ignore_index, classes, place)


class Accuracy(_Counts):
    """The part of predictions that are right.

    Parameters
    ----------
    task : str
        "multiclass": scores (N, C, ...) or class numbers (N, ...), and targets (N, ...); "binary":
        scores or 0 and 1, of the targets' shape; "multilabel": the same, (N, labels, ...).
    num_classes : int, optional
        Classes, or labels of "multilabel".
    average : str
        "micro": of all predictions; "macro": the mean over classes of the part of each that is
        found; "weighted": the same, by how often classes occur; "none": of each class.
    threshold : float
        Scores above it are positive, for "binary" and "multilabel"; 0 for logits.
    top_k : int
        A prediction is right when the target is among so many best classes.
    ignore_index : int, optional
        Targets that do not count.
    subset : bool
        For "multilabel": whether a prediction is right only when all its labels are.

    Examples
    --------
    >>> metric = sn.metrics.Accuracy(num_classes=3)
    >>> metric.update(sn.tensor([0, 1, 2, 2]), sn.tensor([0, 1, 1, 2]))
    >>> metric.compute().item()
    0.75
    """

    def __init__(
        self,
        task: str = "multiclass",
        num_classes: int | None = None,
        average: str | None = "micro",
        threshold: float = 0.5,
        top_k: int = 1,
        ignore_index: int | None = None,
        subset: bool = False,
    ) -> None:
        if subset and task != "multilabel":
            raise error(
                _core.InvalidValue,
                "Accuracy",
                f"subset is given for task {task!r}; it goes with 'multilabel'",
            )
        self.subset = subset
        super().__init__(task, num_classes, average, threshold, top_k, ignore_index)

    def _initial(self) -> dict[str, Any]:
        if self.subset:
            return {"right": zeros(), "count": zeros()}
        return super()._initial()

    def _update(self, pred: Any, target: Any) -> None:
        if not self.subset:
            super()._update(pred, target)
            return
        if pred.shape != target.shape or pred.ndim < 2 or pred.shape[1] != self.num_classes:
            raise _shape_error("Accuracy", pred, target, f"(N, {self.num_classes}, ...)")
        said = pred > self.threshold if pred.dtype in _FLOATS else pred != 0
        same = said == (target == 1)
        if self.ignore_index is not None:
            same = same | (target == self.ignore_index)
        every = same.all(1)
        self._add(right=every.astype(_core.int64).sum(), count=count_of(every, every.size))

    def compute(self) -> Any:
        """The accuracy so far; NaN before any batch."""
        if self.subset:
            return ratio(self._state["right"], self._state["count"], float("nan"))
        tp, fp, fn, tn = (self._state[k] for k in ("tp", "fp", "fn", "tn"))
        if self.task != "multiclass":
            return self._average(
                ratio(tp + tn, tp + fp + fn + tn, float("nan")),
                ratio((tp + tn).sum(), (tp + fp + fn + tn).sum(), float("nan")),
            )
        return self._average(ratio(tp, tp + fn), ratio(tp.sum(), (tp + fn).sum(), float("nan")))


class Precision(_Counts):
    """Of what was said to be a class, the part that is.

    Parameters
    ----------
    task, num_classes, threshold, top_k, ignore_index
        As in `Accuracy`.
    average : str
        "macro": the mean over classes; "micro": of all counts together; "weighted": by how often
        classes occur; "none": of each class.

    Examples
    --------
    >>> metric = sn.metrics.Precision("binary")
    >>> metric.update(sn.tensor([1, 1, 0, 0]), sn.tensor([1, 0, 1, 0]))
    >>> metric.compute().item()
    0.5
    """

    def compute(self) -> Any:
        """The precision so far; 0 where nothing was said to be the class."""
        return self._by_counts(lambda tp, fp, fn, tn: ratio(tp, tp + fp))


class Recall(_Counts):
    """Of what is a class, the part that was said to be; the arguments are those of `Precision`.

    Examples
    --------
    >>> metric = sn.metrics.Recall("binary")
    >>> metric.update(sn.tensor([1, 1, 0, 0]), sn.tensor([1, 0, 1, 1]))
    >>> round(metric.compute().item(), 4)
    0.3333
    """

    def compute(self) -> Any:
        """The recall so far; 0 where the class does not occur."""
        return self._by_counts(lambda tp, fp, fn, tn: ratio(tp, tp + fn))


class FBetaScore(_Counts):
    """The harmonic mean of precision and recall, recall counting `beta` times as much.

    Parameters
    ----------
    beta : float
    task, num_classes, average, threshold, top_k, ignore_index
        As in `Precision`.

    Examples
    --------
    >>> metric = sn.metrics.FBetaScore(2.0, "binary")
    >>> metric.update(sn.tensor([1, 1, 0, 0]), sn.tensor([1, 0, 1, 1]))
    >>> round(metric.compute().item(), 4)
    0.3571
    """

    def __init__(self, beta: float = 1.0, *args: Any, **kwargs: Any) -> None:
        if not beta > 0:
            raise error(
                _core.InvalidValue, type(self).__name__, f"beta is {beta}; it must be positive"
            )
        self.beta = beta
        super().__init__(*args, **kwargs)

    def compute(self) -> Any:
        """The score so far; 0 where a class neither occurs nor is said."""
        b = self.beta**2

        def score(tp: Any, fp: Any, fn: Any, tn: Any) -> Any:
            right = tp.astype(_core.float64) * (1 + b)
            return ratio(right, right + fn.astype(_core.float64) * b + fp)

        return self._by_counts(score)


class F1Score(FBetaScore):
    """`FBetaScore` with beta 1.

    Examples
    --------
    >>> metric = sn.metrics.F1Score("binary")
    >>> metric.update(sn.tensor([1, 1, 0, 0]), sn.tensor([1, 0, 1, 0]))
    >>> metric.compute().item()
    0.5
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(1.0, *args, **kwargs)


class JaccardIndex(_Counts):
    """Intersection over union of each class, as for segmentation; the arguments are those of
    `Precision`.

    Examples
    --------
    >>> metric = sn.metrics.JaccardIndex(num_classes=2)
    >>> metric.update(sn.tensor([[0, 1], [1, 1]]), sn.tensor([[0, 1], [0, 1]]))
    >>> round(metric.compute().item(), 4)
    0.5833
    """

    def compute(self) -> Any:
        """The index so far; 0 where a class neither occurs nor is said."""
        return self._by_counts(lambda tp, fp, fn, tn: ratio(tp, tp + fp + fn))


class ConfusionMatrix(Metric):
    """How often each class was taken for which: rows are true classes, columns what was said.

    Parameters
    ----------
    num_classes : int
    task : str
        "multiclass", or "binary" with scores or 0 and 1.
    normalize : str, optional
        "true": rows add up to one; "pred": columns do; "all": all does.
    threshold : float
        Of "binary".
    ignore_index : int, optional

    Examples
    --------
    >>> metric = sn.metrics.ConfusionMatrix(2)
    >>> metric.update(sn.tensor([0, 1, 1]), sn.tensor([0, 0, 1]))
    >>> metric.compute().tolist()
    [[1, 1], [0, 1]]
    """

    def __init__(
        self,
        num_classes: int = 2,
        task: str = "multiclass",
        normalize: str | None = None,
        threshold: float = 0.5,
        ignore_index: int | None = None,
    ) -> None:
        binary = task == "binary"
        if (
            (task != "multiclass" and not binary)
            or num_classes < 1
            or (binary and num_classes != 2)
        ):
            raise error(
                _core.InvalidValue,
                "ConfusionMatrix",
                f"num_classes is {num_classes} and task {task!r}; 'multiclass', or 'binary' with 2 "
                "classes, is required",
            )
        if normalize not in (None, "true", "pred", "all"):
            raise error(
                _core.InvalidValue,
                "ConfusionMatrix",
                f"normalize is {normalize!r}; it must be None, 'true', 'pred' or 'all'",
            )
        self.num_classes = num_classes
        self.task = task
        self.normalize = normalize
        self.threshold = threshold
        self.ignore_index = ignore_index
        super().__init__()

    def _initial(self) -> dict[str, Any]:
        return {"counts": zeros(self.num_classes, self.num_classes)}

    def _update(self, pred: Any, target: Any) -> None:
        n = self.num_classes
        if self.task == "binary":
            if pred.shape != target.shape:
                raise _shape_error("ConfusionMatrix", pred, target, "one shape")
            said = pred > self.threshold if pred.dtype in _FLOATS else pred
            pred = said.astype(_core.int64)
        chosen, labels = decided("ConfusionMatrix", pred, target, n, 1)
        own, guess = slots(labels, n, self.ignore_index), slots(chosen[:, 0], n, None)
        # Places that are not there stay so in the flat matrix.
        place = _where(guess > n, (n + 1) * (n + 1), own * (n + 1) + guess)
        one = _f["ones"](place.shape, dtype=_core.int64, device=place.device)
        flat = _index_add(zeros((n + 1) * (n + 1), device=place.device), 0, place, one)
        self._add(counts=flat.reshape(n + 1, n + 1)[:n, :n])

    def compute(self) -> Any:
        """The matrix so far, of int64, or of float64 when it is normalised."""
        counts = self._state["counts"]
        if self.normalize is None:
            return counts
        axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
        return ratio(counts, counts.sum(axis, keepdims=True))
