"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from .optimizer import Optimizer, Params, need

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted (Sutskever et al. 2013).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups of them.
    lr : float
        Learning rate.
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

    Raises
    ------
    InvalidValue
        When a hyperparameter is out of range.

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
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        need(self, lr >= 0, "lr", lr, "0 or more")
        need(self, momentum >= 0, "momentum", momentum, "0 or more")
        need(self, weight_decay >= 0, "weight_decay", weight_decay, "0 or more")
        need(
            self,
            not nesterov or (momentum > 0 and dampening == 0),
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

    def _update(self, group: dict[str, Any]) -> None:
        lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
        if group["maximize"]:
            lr, decay = -lr, -decay
        if not momentum and not decay:
            for p in group["params"]:
                g = p.grad
                if g is not None:
                    p.assign_(p - g * lr)
            return
        keep, nesterov, state = 1.0 - group["dampening"], group["nesterov"], self.state
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            if decay:
                g = g + p * decay
            if momentum:
                values = state.get(p)
                if values is None:
                    state[p] = {"momentum_buffer": g.detach()}
                    direction = g
                else:
                    buffer = values["momentum_buffer"]
                    direction = buffer * momentum + (g if keep == 1.0 else g * keep)
                    buffer.assign_(direction)
                g = g + direction * momentum if nesterov else direction
            p.assign_(p - g * lr)
