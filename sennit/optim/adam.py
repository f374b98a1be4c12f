"""The family of Adam: a step by the mean of gradients over the root of the mean of squares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .. import _core
from .optimizer import Number, Params, check_hints, in_unit_interval, not_negative
from .rule import RuleOptimizer, State

__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"]

_f = _core.functions
_abs, _sqrt, _square, _where = _f["abs"], _f["sqrt"], _f["square"], _f["where"]
_lerp, _addcdiv, _maximum, _minimum = _f["lerp"], _f["addcdiv"], _f["maximum"], _f["minimum"]


class _AdamFamily(RuleOptimizer):
    """What the family shares: arguments, both means, and decay apart from the gradient."""

    def __init__(
        self,
        params: Params,
        lr: Number,
        betas: tuple[Number, Number],
        eps: Number,
        weight_decay: Number,
        more: dict[str, Any],
        hints: dict[str, Any],
    ) -> None:
        check_hints(self, hints)
        not_negative(self, lr=lr, eps=eps, weight_decay=weight_decay)
        in_unit_interval(self, betas=tuple(betas))
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, **more})

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group.get("amsgrad") else names

    def _kept(self, group: dict[str, Any]) -> Any:
        """The part of a parameter that decay leaves, where it does not go by the gradient."""
        decay = group["weight_decay"]
        if not group.get("decoupled_weight_decay") or (
            isinstance(decay, float | int) and not decay
        ):
            return None
        return 1.0 - group["lr"] * decay


class Adam(_AdamFamily):
    """Adam: steps by the mean of gradients over the root of the mean of their squares.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups of them.
    lr : float or Schedule
        Learning rate. Like every number here it may be a schedule (`sennit.optim.schedule`).
    betas : (float, float)
        How long gradients and their squares are remembered.
    eps : float
        Added to the root.
    weight_decay : float
        Times the parameter, added to the gradient.
    amsgrad : bool
        Divides by the largest mean of squares so far (Reddi et al., "On the Convergence of Adam
        and Beyond", 2018).
    maximize : bool
        Goes up instead of down.
    decoupled_weight_decay : bool
        Whether decay acts on the parameter itself, as in `AdamW`.
    foreach, fused, capturable : optional
        Taken for PyTorch's sake, without effect: an update is one kernel per tensor.

    Raises
    ------
    InvalidValue
        When a hyperparameter is out of range.

    References
    ----------
    Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2014.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.Adam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.75
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        **hints: Any,
    ) -> None:
        more = {
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, lr, betas, eps, weight_decay, more, hints)

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        beta1, beta2 = group["betas"]
        t = shared["step"]
        # Both corrections are brought to where they cost one number each: numerator and eps.
        root = _sqrt(1.0 - beta2**t)
        rate = (-group["lr"]) * root / (1.0 - beta1**t)
        return 1.0 - beta1, 1.0 - beta2, rate, group["eps"] * root, self._kept(group)

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rest1, rest2, rate, eps, kept = numbers
        mean = _lerp(s["exp_avg"], g, rest1)
        squares = _lerp(s["exp_avg_sq"], g * g, rest2)
        new = {"exp_avg": mean, "exp_avg_sq": squares}
        if group["amsgrad"]:
            new["max_exp_avg_sq"] = squares = _maximum(s["max_exp_avg_sq"], squares)
        start = p if kept is None else p * kept
        return _addcdiv(start, mean * rate, _sqrt(squares) + eps), new


class AdamW(Adam):
    """Adam with weight decay on the parameter itself.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize, foreach, fused, capturable
        As for `Adam`.
    weight_decay : float
        Times the learning rate: the part of a parameter that is lost at each step.

    References
    ----------
    Loshchilov, Hutter, "Decoupled Weight Decay Regularization", 2017.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.AdamW([w], lr=0.25, weight_decay=1.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.5
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **hints: Any,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
            **hints,
        )


class NAdam(_AdamFamily):
    """Adam that looks ahead, as Nesterov's momentum does.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, maximize, decoupled_weight_decay, foreach, capturable
        As for `Adam`.
    momentum_decay : float
        How fast the momentum rises to ``betas[0]``.

    References
    ----------
    Dozat, "Incorporating Nesterov Momentum into Adam", 2016.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.NAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item() < 1
    True
    """

    _shared: ClassVar[Mapping[str, float]] = {"step": 0.0, "mu_product": 1.0}

    def __init__(
        self,
        params: Params,
        lr: Number = 2e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 0,
        momentum_decay: Number = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **hints: Any,
    ) -> None:
        not_negative(self, momentum_decay=momentum_decay)
        more = {
            "momentum_decay": momentum_decay,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, lr, betas, eps, weight_decay, more, hints)

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        beta1, beta2 = group["betas"]
        t, slow = shared["step"], group["momentum_decay"]
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (t * slow))
        following = beta1 * (1.0 - 0.5 * 0.96 ** ((t + 1.0) * slow))
        shared["mu_product"] = product = shared["mu_product"] * mu
        root = _sqrt(1.0 - beta2**t)
        rate = (-group["lr"]) * root
        of_gradient = rate * (1.0 - mu) / (1.0 - product)
        of_mean = rate * following / (1.0 - product * following)
        kept = self._kept(group)
        return 1.0 - beta1, 1.0 - beta2, of_gradient, of_mean, group["eps"] * root, kept

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rest1, rest2, of_gradient, of_mean, eps, kept = numbers
        mean = _lerp(s["exp_avg"], g, rest1)
        squares = _lerp(s["exp_avg_sq"], g * g, rest2)
        start = p if kept is None else p * kept
        direction = g * of_gradient + mean * of_mean
        p = _addcdiv(start, direction, _sqrt(squares) + eps)
        return p, {"exp_avg": mean, "exp_avg_sq": squares}


class RAdam(_AdamFamily):
    """Adam that waits with its adaptive rate until the variance of it is small.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, maximize, decoupled_weight_decay, foreach, capturable
        As for `Adam`.

    References
    ----------
    Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2019.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.RAdam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item()
    0.5
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **hints: Any,
    ) -> None:
        more = {"maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, lr, betas, eps, weight_decay, more, hints)

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        beta1, beta2 = group["betas"]
        t = shared["step"]
        power = beta2**t
        longest = 2.0 / (1.0 - beta2) - 1.0
        length = longest - 2.0 * t * power / (1.0 - power)
        rectified = length > 5.0
        rest = (length - 4.0) * (length - 2.0) * longest
        rest = rest / ((longest - 4.0) * (longest - 2.0) * length)
        rate = group["lr"] / (1.0 - beta1**t)
        # One of the two rates is 0, so that early and late steps have the same form.
        adaptive = _where(rectified, rate * _sqrt(_maximum(rest, 0.0)) * _sqrt(1.0 - power), 0.0)
        plain = _where(rectified, 0.0, rate)
        return 1.0 - beta1, 1.0 - beta2, plain, adaptive, group["eps"], self._kept(group)

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rest1, rest2, plain, adaptive, eps, kept = numbers
        mean = _lerp(s["exp_avg"], g, rest1)
        squares = _lerp(s["exp_avg_sq"], g * g, rest2)
        start = p if kept is None else p * kept
        p = start - mean * (plain + adaptive / (_sqrt(squares) + eps))
        return p, {"exp_avg": mean, "exp_avg_sq": squares}


class Adamax(_AdamFamily):
    """Adam with the largest gradient, faded, in the place of the root.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, maximize, foreach, capturable
        As for `Adam`.

    References
    ----------
    Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2014, section 7.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.Adamax([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.75
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 2e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        **hints: Any,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, {"maximize": maximize}, hints)

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        beta1, beta2 = group["betas"]
        rate = (-group["lr"]) / (1.0 - beta1 ** shared["step"])
        return 1.0 - beta1, beta2, rate, group["eps"]

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rest1, beta2, rate, eps = numbers
        mean = _lerp(s["exp_avg"], g, rest1)
        largest = _maximum(s["exp_inf"] * beta2, _abs(g) + eps)
        return _addcdiv(p, mean * rate, largest), {"exp_avg": mean, "exp_inf": largest}
