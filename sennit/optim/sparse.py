"""Adam for tables of which a step touches few rows."""

from __future__ import annotations

from typing import Any

from .. import _core
from .adam import _AdamFamily
from .optimizer import Number, Params
from .rule import State

__all__ = ["SparseAdam"]

_f = _core.functions
_lerp, _sqrt, _where = _f["lerp"], _f["sqrt"], _f["where"]


class SparseAdam(_AdamFamily):
    """Adam in which only rows with a gradient move: parameters and both means of all other rows
    stay as they are. For embeddings, of which a batch looks up few rows.

    Gradients are dense tensors here; a row (of the first dimension) whose gradient is zero in every
    element has none. The step counts for all rows.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups of them.
    lr : float or Schedule
        Learning rate.
    betas : (float, float)
        How long gradients and their squares are remembered.
    eps : float
        Added to the root of the mean of squares, which has no bias correction itself.
    maximize : bool
        Goes up instead of down.
    foreach, fused, capturable : optional
        Taken for PyTorch's sake, without effect.

    Raises
    ------
    InvalidValue
        When a hyperparameter is out of range.

    References
    ----------
    Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2014.

    Examples
    --------
    >>> table = sn.nn.Embedding(3, 2)
    >>> before = table.weight.detach().clone()
    >>> optimizer = sn.optim.SparseAdam(table.parameters(), lr=0.1)
    >>> table(sn.tensor([1])).sum().backward()
    >>> optimizer.step()
    >>> (table.weight != before).any(1).tolist()
    [False, True, False]
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        maximize: bool = False,
        **hints: Any,
    ) -> None:
        super().__init__(params, lr, betas, eps, 0.0, {"maximize": maximize}, hints)

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        beta1, beta2 = group["betas"]
        t = shared["step"]
        rate = (-group["lr"]) * _sqrt(1.0 - beta2**t) / (1.0 - beta1**t)
        return 1.0 - beta1, 1.0 - beta2, rate, group["eps"]

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rest1, rest2, rate, eps = numbers
        there = g != 0
        if g.ndim > 1:
            there = there.any(tuple(range(1, g.ndim)), keepdims=True)
        mean = _where(there, _lerp(s["exp_avg"], g, rest1), s["exp_avg"])
        squares = _where(there, _lerp(s["exp_avg_sq"], g * g, rest2), s["exp_avg_sq"])
        moved = p + mean * rate / (_sqrt(squares) + eps)
        return _where(there, moved, p), {"exp_avg": mean, "exp_avg_sq": squares}
