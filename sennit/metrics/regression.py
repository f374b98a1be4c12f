"""Metrics of numbers."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from .classification import _shape_error
from .metric import Metric, count_of, ratio, zeros

_f = _core.functions


class _MeanOfErrors(Metric):
    def _initial(self) -> dict[str, Any]:
        return {"total": zeros(dtype=_core.float64), "count": zeros()}

    def _error(self, difference: Any) -> Any:
        raise NotImplementedError

    def _update(self, pred: Any, target: Any) -> None:
        if pred.shape != target.shape:
            raise _shape_error(type(self).__name__, pred, target, "one shape")
        difference = pred.astype(_core.float64) - target.astype(_core.float64)
        self._add(
            total=self._error(difference).sum(),
            count=count_of(difference, difference.size),
        )

    def compute(self) -> Any:
        """The value so far, in float64; NaN before any batch."""
        return ratio(self._state["total"], self._state["count"], float("nan"))


class MeanAbsoluteError(_MeanOfErrors):
    """The mean of ``abs(pred - target)`` over all elements.

    Examples
    --------
    >>> metric = sn.metrics.MeanAbsoluteError()
    >>> metric.update(sn.tensor([1.0, 4.0]), sn.tensor([1.0, 1.0]))
    >>> metric.compute().item()
    1.5
    """

    def _error(self, difference: Any) -> Any:
        return _f["abs"](difference)


class MeanSquaredError(_MeanOfErrors):
    """The mean of ``(pred - target)**2`` over all elements.

    Examples
    --------
    >>> metric = sn.metrics.MeanSquaredError()
    >>> metric.update(sn.tensor([1.0, 4.0]), sn.tensor([1.0, 2.0]))
    >>> metric.compute().item()
    2.0
    """

    def _error(self, difference: Any) -> Any:
        return difference * difference


class RootMeanSquaredError(MeanSquaredError):
    """The square root of `MeanSquaredError`.

    Examples
    --------
    >>> metric = sn.metrics.RootMeanSquaredError()
    >>> metric.update(sn.tensor([3.0, 4.0]), sn.tensor([0.0, 0.0]))
    >>> round(metric.compute().item(), 4)
    3.5355
    """

    def compute(self) -> Any:
        """The value so far, in float64; NaN before any batch."""
        return _f["sqrt"](super().compute())


class R2Score(Metric):
    """The part of the variance of the targets that predictions explain: ``1 - sum((target -
    pred)**2) / sum((target - mean)**2)``.

    Parameters
    ----------
    num_outputs : int
        Columns of predictions (N, num_outputs); with 1 also (N,).
    multioutput : str
        "uniform_average", "variance_weighted", or "raw_values" for each column.

    Examples
    --------
    >>> metric = sn.metrics.R2Score()
    >>> metric.update(sn.tensor([2.5, 0.0, 2.0, 8.0]), sn.tensor([3.0, -0.5, 2.0, 7.0]))
    >>> round(metric.compute().item(), 4)
    0.9486
    """

    def __init__(self, num_outputs: int = 1, multioutput: str = "uniform_average") -> None:
        if num_outputs < 1 or multioutput not in (
            "uniform_average",
            "variance_weighted",
            "raw_values",
        ):
            raise error(
                _core.InvalidValue,
                "R2Score",
                f"num_outputs is {num_outputs} and multioutput {multioutput!r}; required are 1 or "
                "more and 'uniform_average', 'variance_weighted' or 'raw_values'",
            )
        self.num_outputs = num_outputs
        self.multioutput = multioutput
        super().__init__()

    def _initial(self) -> dict[str, Any]:
        n, wide = self.num_outputs, _core.float64
        return {
            "count": zeros(),
            "mean": zeros(n, dtype=wide),
            "spread": zeros(n, dtype=wide),
            "residual": zeros(n, dtype=wide),
        }

    def _update(self, pred: Any, target: Any) -> None:
        if pred.ndim == 1 and self.num_outputs == 1:
            pred, target = pred[:, None], target.reshape(-1, 1) if target.ndim == 1 else target
        if pred.shape != target.shape or pred.ndim != 2 or pred.shape[1] != self.num_outputs:
            raise _shape_error("R2Score", pred, target, f"(N, {self.num_outputs}) both")
        if pred.shape[0] == 0:
            return
        p, t = pred.astype(_core.float64), target.astype(_core.float64)
        mean = t.mean(0)
        batch = {
            "count": count_of(t, t.shape[0]),
            "mean": mean,
            "spread": ((t - mean) ** 2).sum(0),
            "residual": ((t - p) ** 2).sum(0),
        }
        self._state = _joined({k: v.to(t.device) for k, v in self._state.items()}, batch)

    def merge(self, other: Any) -> Any:
        """Adds what another metric of the same kind has seen; returns this one."""
        if type(other) is not type(self) or other._config() != self._config():
            super().merge(other)
        device = self._state["mean"].device
        theirs = {k: v.to(device) for k, v in other._state.items()}
        self._state = _joined(self._state, theirs)
        return self

    def compute(self) -> Any:
        """The score so far, in float64; NaN with fewer than two values."""
        spread, residual = self._state["spread"], self._state["residual"]
        where, exact = _f["where"], residual == 0
        # Targets that are all equal: 1 when they are met, 0 otherwise.
        flat = exact.astype(_core.float64)
        score = where(spread == 0, flat, 1.0 - ratio(residual, spread))
        score = where(self._state["count"] < 2, float("nan"), score)
        if self.multioutput == "raw_values":
            return score
        if self.multioutput == "variance_weighted":
            total = spread.sum()
            weighted = (score * spread).sum() / where(total == 0, 1.0, total)
            return where(total == 0, score.mean(), weighted)
        return score.mean()


def _joined(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Both parts: means and sums of squares about them, by Chan et al. (1979)."""
    n, m = a["count"].astype(_core.float64), b["count"].astype(_core.float64)
    total = _f["maximum"](n + m, 1.0)
    gap = b["mean"] - a["mean"]
    return {
        "count": a["count"] + b["count"],
        "mean": a["mean"] + gap * (m / total),
        "spread": a["spread"] + b["spread"] + gap * gap * (n * m / total),
        "residual": a["residual"] + b["residual"],
    }
