"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import _core
from .optimizer import Number, Params, check_hints, is_number, need, not_negative
from .rule import RuleOptimizer, State, is_active

__all__ = ["SGD"]

_addcmul = _core.functions["addcmul"]
_zeros = _core.functions["zeros"]
_Tensor = _core.Tensor


class SGD(RuleOptimizer):
    """Stochastic gradient descent, with momentum if wanted.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups of them.
    lr : float or Schedule
        Learning rate. Like every number here it may be a schedule (`sennit.optim.schedule`).
    momentum : float
        Part of the former direction that is kept.
    dampening : float
        Part of the gradient that is left out of the momentum.
    weight_decay : float
        Times the parameter, added to the gradient.
    nesterov : bool
        Looks ahead; needs a momentum and no dampening.
    maximize : bool
        Goes up instead of down.
    foreach, fused : optional
        Taken for PyTorch's sake, without effect: an update is one kernel per tensor.

    Raises
    ------
    InvalidValue
        When a hyperparameter is out of range.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item()
    0.5
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        momentum: Number = 0,
        dampening: Number = 0,
        weight_decay: Number = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **hints: Any,
    ) -> None:
        check_hints(self, hints)
        not_negative(self, lr=lr, momentum=momentum, weight_decay=weight_decay)
        moves = not is_number(momentum) or momentum > 0
        need(
            self,
            not nesterov or (moves and is_number(dampening) and dampening == 0),
            "nesterov",
            nesterov,
            f"False unless momentum is positive ({momentum}) and dampening 0 ({dampening})",
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def _shared_of(self, group: dict[str, Any]) -> Mapping[str, float]:
        # The first direction is the whole gradient: only dampening has to know which is the first.
        return super()._shared_of(group) if is_active(group["dampening"]) else {}

    def _complete(self, group: dict[str, Any], values: State) -> None:
        values["step"] = _zeros((), dtype=_core.float64) + 1.0  # it has a momentum already

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if is_active(group["momentum"]) else ()

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        keep = 1.0 - group["dampening"]
        if shared:
            keep = 1.0 - (shared["step"] > 1.0).to(_core.float64) * group["dampening"]
        return -group["lr"], group["momentum"], keep

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rate, momentum, keep = numbers
        if not is_active(momentum):
            return _addcmul(p, g, rate), {}
        direction = s["momentum_buffer"] * momentum + (g * keep if is_active(keep - 1.0) else g)
        step = _addcmul(g, direction, momentum) if group["nesterov"] else direction
        return _addcmul(p, step, rate), {"momentum_buffer": direction}

    def _update(self, group: dict[str, Any]) -> None:
        lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
        if _Tensor in (type(lr), type(momentum), type(decay)) or momentum or decay:
            super()._update(group)
            return
        if group["maximize"]:
            lr = -lr
        for p in group["params"]:
            g = p.grad
            if g is not None:
                p.assign_(p - g * lr)
