"""Metrics of scores by their order: exact, so all scores are kept."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from .classification import _FLOATS, _shape_error, check_task
from .metric import Metric

_f = _core.functions
_searchsorted, _where = _f["searchsorted"], _f["where"]


class _Ranking(Metric):
    """Scores and targets of all batches; a value for each class or label, and their average."""

    def __init__(
        self, task: str = "binary", num_classes: int | None = None, average: str | None = "macro"
    ) -> None:
        name = type(self).__name__
        check_task(name, task, num_classes)
        micro = average == "micro" and task == "multilabel"
        if average not in ("macro", "weighted", "none", None) and not micro:
            raise error(
                _core.InvalidValue,
                name,
                f"average is {average!r} for task {task!r}; it must be 'macro', 'weighted' or "
                "'none', or 'micro' for multilabel",
            )
        self.task = task
        self.num_classes = 1 if task == "binary" else num_classes
        self.average = "none" if average is None else average
        super().__init__()

    def _initial(self) -> dict[str, Any]:
        return {"scores": [], "targets": []}

    def _update(self, pred: Any, target: Any) -> None:
        name, n = type(self).__name__, self.num_classes or 1
        if pred.dtype not in _FLOATS:
            raise error(
                _core.DTypeError,
                name,
                f"predictions have dtype {pred.dtype.name}; scores must be floating point",
            )
        if self.task == "multiclass":
            if pred.ndim != 2 or pred.shape != (*target.shape, n):
                raise _shape_error(name, pred, target, f"(N, {n}) and (N,)")
        elif pred.shape != target.shape or (self.task == "multilabel" and pred.shape[1:] != (n,)):
            form = "one shape" if self.task == "binary" else f"(N, {n})"
            raise _shape_error(name, pred, target, form)
        if self.task == "binary":
            pred, target = pred.reshape(-1), target.reshape(-1)
        # In float64, so that batches of any dtype are one.
        self._add(scores=pred.astype(_core.float64), targets=target.astype(_core.int64))

    def _of(self, positive: Any, negative: Any) -> Any:
        """The value, of scores in ascending order; there is one at least of each."""
        raise NotImplementedError

    def _needs_negatives(self) -> bool:
        return True

    def _one(self, scores: Any, positive: Any) -> Any:
        pick = _f["masked_select"]
        above, below = pick(scores, positive), pick(scores, ~positive)
        if above.size == 0 or (below.size == 0 and self._needs_negatives()):
            return _f["full"]((), float("nan"), dtype=_core.float64, device=scores.device)
        return self._of(_f["sort"](above), _f["sort"](below))

    def compute(self) -> Any:
        """The value so far; NaN where there are no positives (or, for the area under a curve, no
        negatives). Waits for the scores."""
        held = self.state_dict()
        nan = float("nan")
        if not held:
            shape = (self.num_classes,) if self.average == "none" and self.task != "binary" else ()
            return _f["full"](shape, nan, dtype=_core.float64)
        scores, targets = held["scores"], held["targets"]
        if self.task == "binary" or self.average == "micro":
            return self._one(scores.reshape(-1), targets.reshape(-1) == 1)
        n = self.num_classes or 1
        own = targets == 1
        if self.task == "multiclass":
            own = targets[:, None] == _f["arange"](n, device=targets.device)
        values = _f["stack"]([self._one(scores[:, k], own[:, k]) for k in range(n)])
        if self.average == "none":
            return values
        there = ~_f["isnan"](values)
        weight = there.astype(_core.float64)
        if self.average == "weighted":
            weight = weight * own.astype(_core.float64).sum(0)
        total = weight.sum()
        mean = (_where(there, values, 0.0) * weight).sum() / _where(total == 0, 1.0, total)
        return _where(total == 0, nan, mean)


class ROCAUC(_Ranking):
    """The area under the receiver operating characteristic: the probability that a positive has a
    higher score than a negative, ties counting half.

    Parameters
    ----------
    task : str
        "binary": scores and targets of one shape; "multiclass": scores (N, C) and class numbers,
        each class against the others; "multilabel": (N, labels) both.
    num_classes : int, optional
        Classes, or labels.
    average : str
        "macro": the mean over classes for which it is defined; "weighted": by how often they occur;
        "none": of each; "micro", for "multilabel": of all scores together.

    Examples
    --------
    >>> metric = sn.metrics.ROCAUC()
    >>> metric.update(sn.tensor([0.1, 0.4, 0.35, 0.8]), sn.tensor([0, 0, 1, 1]))
    >>> metric.compute().item()
    0.75
    """

    def _of(self, positive: Any, negative: Any) -> Any:
        below = _searchsorted(negative, positive, side="left")
        upto = _searchsorted(negative, positive, side="right")
        # Halves of whole numbers: the sum is exact.
        twice = (below + upto).sum().astype(_core.float64)
        return twice / (2.0 * positive.size * negative.size)


class AveragePrecision(_Ranking):
    """The mean over positives of the precision among all that score as high or higher; the
    arguments are those of `ROCAUC`.

    Examples
    --------
    >>> metric = sn.metrics.AveragePrecision()
    >>> metric.update(sn.tensor([0.1, 0.4, 0.35, 0.8]), sn.tensor([0, 0, 1, 1]))
    >>> round(metric.compute().item(), 4)
    0.8333
    """

    def _needs_negatives(self) -> bool:
        return False

    def _of(self, positive: Any, negative: Any) -> Any:
        right = positive.size - _searchsorted(positive, positive, side="left")
        right = right.astype(_core.float64)
        wrong = right * 0.0
        if negative.size:
            wrong = negative.size - _searchsorted(negative, positive, side="left")
        return (right / (right + wrong)).mean()
