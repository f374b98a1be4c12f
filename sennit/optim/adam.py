"""Adam and AdamW."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .optimizer import Optimizer, Params, need, power

__all__ = ["Adam", "AdamW"]

_zeros_like = _core.functions["zeros_like"]
_maximum = _core.functions["maximum"]
_sqrt = _core.functions["sqrt"]


class Adam(Optimizer):
    """Adam: steps by the mean of gradients over the root of the mean of their squares
    (Kingma, Ba 2014).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups of them.
    lr : float
        Learning rate.
    betas : (float, float)
        How long gradients and their squares are remembered.
    eps : float
        Added to the root.
    weight_decay : float
        Times the parameter, added to the gradient.
    amsgrad : bool
        Divides by the largest mean of squares so far (Reddi et al. 2018).
    maximize : bool
        Goes up instead of down.

    Raises
    ------
    InvalidValue
        When a hyperparameter is out of range.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.Adam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.75
    """

    _decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        need(self, lr >= 0, "lr", lr, "0 or more")
        need(self, eps >= 0, "eps", eps, "0 or more")
        need(self, all(0 <= b < 1 for b in betas), "betas", betas, "two numbers in [0, 1)")
        need(self, weight_decay >= 0, "weight_decay", weight_decay, "0 or more")
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
        )

    def _update(self, group: dict[str, Any]) -> None:
        lr, eps, decay, amsgrad = group["lr"], group["eps"], group["weight_decay"], group["amsgrad"]
        beta1, beta2 = group["betas"]
        rest1, rest2 = 1.0 - beta1, 1.0 - beta2
        state, maximize = self.state, group["maximize"]
        shrink = 1.0 - lr * decay if decay and self._decoupled else 1.0
        added = 0.0 if self._decoupled else decay
        last, rate, root = 0, 0.0, 1.0
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            values = state.get(p)
            if values is None:
                values = state[p] = {
                    "step": 0,
                    "exp_avg": _zeros_like(p),
                    "exp_avg_sq": _zeros_like(p),
                }
                if amsgrad:
                    values["max_exp_avg_sq"] = _zeros_like(p)
            step = values["step"] = int(values["step"]) + 1
            if step != last:
                last = step
                rate = lr / (1.0 - power(beta1, step))
                root = math.sqrt(1.0 - power(beta2, step))
            if maximize:
                g = -g
            if added:
                g = g + p * added
            first, second = values["exp_avg"], values["exp_avg_sq"]
            mean = first * beta1 + g * rest1
            squares = second * beta2 + g * g * rest2
            first.assign_(mean)
            second.assign_(squares)
            if amsgrad:
                largest = values["max_exp_avg_sq"]
                squares = _maximum(largest, squares)
                largest.assign_(squares)
            start = p if shrink == 1.0 else p * shrink
            p.assign_(start - mean * rate / (_sqrt(squares) / root + eps))


class AdamW(Adam):
    """Adam with weight decay on the parameter itself (Loshchilov, Hutter 2017).

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize
        As for `Adam`.
    weight_decay : float
        Times the learning rate: the part of a parameter that is lost at each step.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.AdamW([w], lr=0.25, weight_decay=1.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.5
    """

    _decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
