"""Metrics of language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from .. import _core
from .._errors import error
from .metric import Metric, ratio, zeros

_f = _core.functions


class Perplexity(Metric):
    """The exponential of the mean cross-entropy of tokens.

    Parameters
    ----------
    ignore_index : int
        Targets that do not count.

    Examples
    --------
    >>> metric = sn.metrics.Perplexity()
    >>> metric.update(sn.zeros((1, 3, 8)), sn.tensor([[1, 2, 3]]))
    >>> round(metric.compute().item(), 4)
    8.0
    """

    def __init__(self, ignore_index: int = -100) -> None:
        self.ignore_index = ignore_index
        super().__init__()

    def _initial(self) -> dict[str, Any]:
        return {"total": zeros(dtype=_core.float64), "count": zeros()}

    def _update(self, pred: Any, target: Any) -> None:
        """pred: logits (..., C); target: (...)."""
        if pred.ndim < 1 or pred.shape[:-1] != target.shape:
            raise error(
                _core.ShapeError,
                "Perplexity",
                f"logits have shape {pred.shape} and targets {target.shape}; required are (..., "
                "classes) and (...)",
            )
        rows = pred.reshape(-1, pred.shape[-1])
        labels = target.reshape(-1)
        loss = _f["cross_entropy"](rows, labels, None, self.ignore_index, "none")
        counted = (labels != self.ignore_index).astype(_core.int64)
        self._add(total=loss.astype(_core.float64).sum(), count=counted.sum())

    def compute(self) -> Any:
        """The perplexity so far, in float64; NaN before any token."""
        return _f["exp"](ratio(self._state["total"], self._state["count"], float("nan")))


def _grams(tokens: Sequence[Any], n: int) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


class BLEUScore(Metric):
    """BLEU of a corpus (Papineni et al. 2002): the geometric mean of the precisions of n-grams,
    times a penalty for what is too short.

    Parameters
    ----------
    n_gram : int
        The longest n-grams.
    smooth : bool
        Whether one is added to the counts of n-grams longer than 1 (Lin, Och 2004); otherwise the
        score is 0 as soon as no n-gram of some length is right.
    weights : sequence of float, optional
        Of the lengths; all alike by default.
    tokenize : callable, optional
        From a string to tokens; by default it is cut at white space. Sentences may also come as
        lists of tokens.

    Examples
    --------
    >>> metric = sn.metrics.BLEUScore()
    >>> references = ["there is a cat on the mat", "a cat is on the mat"]
    >>> metric.update(["the cat is on the mat"], [references])
    >>> round(metric.compute().item(), 4)
    0.7598
    """

    def __init__(
        self,
        n_gram: int = 4,
        smooth: bool = False,
        weights: Sequence[float] | None = None,
        tokenize: Callable[[str], Sequence[Any]] | None = None,
    ) -> None:
        if n_gram < 1 or (weights is not None and len(weights) != n_gram):
            raise error(
                _core.InvalidValue,
                "BLEUScore",
                f"n_gram is {n_gram} and weights {weights}; required are 1 or more, and a weight "
                "for each length",
            )
        self.n_gram = n_gram
        self.smooth = smooth
        self.weights = None if weights is None else tuple(weights)
        self.tokenize = tokenize
        super().__init__()

    def _initial(self) -> dict[str, Any]:
        return {
            "right": zeros(self.n_gram),
            "said": zeros(self.n_gram),
            "length": zeros(),
            "wanted": zeros(),
        }

    def _tokens(self, sentence: Any) -> Sequence[Any]:
        if not isinstance(sentence, str):
            return list(sentence)
        return sentence.split() if self.tokenize is None else list(self.tokenize(sentence))

    def _update(self, pred: Any, target: Any) -> None:
        """pred: sentences; target: for each a sentence or a list of them."""
        from .._api import tensor

        if isinstance(pred, str) or isinstance(target, str) or len(pred) != len(target):
            raise error(
                _core.InvalidValue,
                "BLEUScore",
                f"{'a string' if isinstance(pred, str) else f'{len(pred)} sentences'} and "
                f"{'a string' if isinstance(target, str) else f'{len(target)} references'} are "
                "given; lists of one length are required",
            )
        right, said = [0] * self.n_gram, [0] * self.n_gram
        length = wanted = 0
        for sentence, references in zip(pred, target, strict=True):
            if isinstance(references, str):
                references = [references]
            tokens, others = self._tokens(sentence), [self._tokens(r) for r in references]
            if not others:
                raise error(
                    _core.InvalidValue,
                    "BLEUScore",
                    "a sentence has no reference; one at least is required",
                )
            length += len(tokens)
            # The reference whose length is nearest; of two, the shorter one.
            wanted += min((abs(len(o) - len(tokens)), len(o)) for o in others)[1]
            for n in range(1, self.n_gram + 1):
                own = _grams(tokens, n)
                most: Counter[tuple[Any, ...]] = Counter()
                for other in others:
                    most |= _grams(other, n)
                right[n - 1] += sum((own & most).values())
                said[n - 1] += sum(own.values())
        int64 = _core.int64
        self._add(
            right=tensor(right, dtype=int64), said=tensor(said, dtype=int64),
            length=tensor(length, dtype=int64), wanted=tensor(wanted, dtype=int64),
        )  # fmt: skip

    def compute(self) -> Any:
        """The score so far, in float64; 0 before any sentence."""
        from .._api import tensor

        wide, where = _core.float64, _f["where"]
        right, said = self._state["right"].astype(wide), self._state["said"].astype(wide)
        if self.smooth:
            more = (_f["arange"](self.n_gram) > 0).astype(wide)
            right, said = right + more, said + more
        share = [1.0 / self.n_gram] * self.n_gram if self.weights is None else list(self.weights)
        none = (right == 0).any()
        logs = _f["log"](where(right == 0, 1.0, right) / where(said == 0, 1.0, said))
        mean = _f["exp"]((logs * tensor(share, dtype=wide)).sum())
        length, wanted = self._state["length"].astype(wide), self._state["wanted"].astype(wide)
        short = _f["exp"](1.0 - wanted / where(length == 0, 1.0, length))
        return where(none | (length == 0), 0.0, where(length >= wanted, 1.0, short) * mean)
