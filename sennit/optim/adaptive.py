"""Optimisers with a rate for each element, other than Adam's family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .. import _core
from .optimizer import Number, Params, check_hints, is_number, need, not_negative
from .rule import RuleOptimizer, State, is_active

__all__ = ["ASGD", "Adadelta", "Adagrad", "Ftrl", "RMSprop", "Rprop"]

_f = _core.functions
_abs, _sign, _sqrt, _where, _clip = _f["abs"], _f["sign"], _f["sqrt"], _f["where"], _f["clip"]
_lerp, _addcdiv, _addcmul = _f["lerp"], _f["addcdiv"], _f["addcmul"]
_maximum, _pow, _full_like = _f["maximum"], _f["pow"], _f["full_like"]


class Adagrad(RuleOptimizer):
    """Divides by the root of the sum of all squared gradients so far.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups of them.
    lr : float or Schedule
        Learning rate.
    lr_decay : float
        The rate is divided by ``1 + lr_decay * steps``.
    weight_decay : float
        Times the parameter, added to the gradient.
    initial_accumulator_value : float
        What the sum starts with.
    eps : float
        Added to the root.
    maximize : bool
        Goes up instead of down.
    foreach, fused : optional
        Taken for PyTorch's sake, without effect.

    References
    ----------
    Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", 2011.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.Adagrad([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item()
    0.75
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-2,
        lr_decay: Number = 0,
        weight_decay: Number = 0,
        initial_accumulator_value: float = 0,
        eps: Number = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        **hints: Any,
    ) -> None:
        check_hints(self, hints)
        not_negative(
            self,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )

    def _initial(self, group: dict[str, Any], p: _core.Tensor) -> State:
        return {"sum": _full_like(p, float(group["initial_accumulator_value"]))}

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        rate, slower = -group["lr"], group["lr_decay"]
        if is_active(slower):
            rate = rate / (1.0 + (shared["step"] - 1.0) * slower)
        return rate, group["eps"]

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rate, eps = numbers
        total = _addcmul(s["sum"], g, g)
        return _addcdiv(p, g * rate, _sqrt(total) + eps), {"sum": total}


class Adadelta(RuleOptimizer):
    """Steps as large as earlier steps were, relative to the gradients.

    Parameters
    ----------
    params, lr, weight_decay, maximize, foreach, capturable
        As for `Adagrad`.
    rho : float
        How long squares are remembered.
    eps : float
        Added under both roots.

    References
    ----------
    Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.Adadelta([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item() < 1
    True
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1.0,
        rho: Number = 0.9,
        eps: Number = 1e-6,
        weight_decay: Number = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        **hints: Any,
    ) -> None:
        check_hints(self, hints)
        not_negative(self, lr=lr, eps=eps, weight_decay=weight_decay)
        need(self, not is_number(rho) or 0 <= rho <= 1, "rho", rho, "in [0, 1]")
        super().__init__(
            params,
            {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize},
        )

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        return 1.0 - group["rho"], group["eps"], -group["lr"]

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rest, eps, rate = numbers
        squares = _lerp(s["square_avg"], g * g, rest)
        delta = _sqrt(s["acc_delta"] + eps) / _sqrt(squares + eps) * g
        new = {"square_avg": squares, "acc_delta": _lerp(s["acc_delta"], delta * delta, rest)}
        return _addcmul(p, delta, rate), new


class RMSprop(RuleOptimizer):
    """Divides by the root of the mean of squared gradients.

    Parameters
    ----------
    params, lr, weight_decay, maximize, foreach, capturable
        As for `Adagrad`.
    alpha : float
        How long squares are remembered.
    eps : float
        Added to the root.
    momentum : float
        Part of the former direction that is kept.
    centered : bool
        Whether the mean of gradients is taken off: their variance instead of their squares.

    References
    ----------
    Hinton, Srivastava, Swersky, "Neural Networks for Machine Learning", lecture 6, 2012; centered:
    Graves, "Generating Sequences With Recurrent Neural Networks", 2013.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.RMSprop([w], lr=0.01)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.9
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-2,
        alpha: Number = 0.99,
        eps: Number = 1e-8,
        weight_decay: Number = 0,
        momentum: Number = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_hints(self, {"differentiable": differentiable})
        not_negative(
            self, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        momentum = ("momentum_buffer",) if is_active(group["momentum"]) else ()
        return ("square_avg", *momentum, *(("grad_avg",) if group["centered"] else ()))

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        return 1.0 - group["alpha"], group["eps"], -group["lr"], group["momentum"]

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rest, eps, rate, momentum = numbers
        new = {"square_avg": _lerp(s["square_avg"], g * g, rest)}
        squares = new["square_avg"]
        if group["centered"]:
            new["grad_avg"] = mean = _lerp(s["grad_avg"], g, rest)
            squares = squares - mean * mean
        root = _sqrt(squares) + eps
        if not is_active(momentum):
            return _addcdiv(p, g * rate, root), new
        new["momentum_buffer"] = direction = _addcdiv(s["momentum_buffer"] * momentum, g, root)
        return _addcmul(p, direction, rate), new


class Rprop(RuleOptimizer):
    """Steps by the signs of gradients; sizes grow while a sign stays and shrink when it turns.

    For gradients of the whole data set.

    Parameters
    ----------
    params, maximize, foreach, capturable
        As for `Adagrad`.
    lr : float
        The first size.
    etas : (float, float)
        What sizes are multiplied with, when a sign turns and when it stays.
    step_sizes : (float, float)
        The smallest and the largest size.

    References
    ----------
    Riedmiller, Braun, "A direct adaptive method for faster backpropagation learning: the RPROP
    algorithm", 1993.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.Rprop([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item()
    0.75
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-2,
        etas: tuple[Number, Number] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
        **hints: Any,
    ) -> None:
        check_hints(self, hints)
        not_negative(self, lr=lr)
        low, high = etas
        fits = (not is_number(low) or 0 < low < 1) and (not is_number(high) or high > 1)
        need(self, fits, "etas", etas, "two numbers, one in (0, 1) and one over 1")
        defaults = {"lr": lr, "etas": tuple(etas), "step_sizes": tuple(step_sizes)}
        super().__init__(params, {**defaults, "maximize": maximize})

    def _initial(self, group: dict[str, Any], p: _core.Tensor) -> State:
        lr = group["lr"]
        size = _full_like(p, 1.0) * (lr.to(p.dtype) if isinstance(lr, _core.Tensor) else lr)
        return {"prev": _f["zeros_like"](p), "step_size": size}

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        return (*group["etas"], *group["step_sizes"])

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        less, more, smallest, largest = numbers
        same = g * s["prev"]
        turned = same < 0.0
        size = s["step_size"]
        size = _where(turned, size * less, _where(same > 0.0, size * more, size))
        size = _clip(size, float(smallest), float(largest))
        g = _where(turned, 0.0, g)
        return p - _sign(g) * size, {"prev": g, "step_size": size}


class ASGD(RuleOptimizer):
    """Stochastic gradient descent with an average of the parameters, which is in the state "ax".

    Parameters
    ----------
    params, lr, weight_decay, maximize, foreach, capturable
        As for `Adagrad`.
    lambd : float
        Decay of the parameters, times the rate.
    alpha : float
        The rate is ``lr / (1 + lambd * lr * steps) ** alpha``.
    t0 : float
        The step at which averaging begins; before it, the average is the parameter.

    References
    ----------
    Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", 1992.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.ASGD([w], lr=0.25, lambd=0.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item(), optimizer.state[w]["ax"].item()
    (0.5, 0.5)
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-2,
        lambd: Number = 1e-4,
        alpha: Number = 0.75,
        t0: float = 1e6,
        weight_decay: Number = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_hints(self, {"differentiable": differentiable})
        not_negative(self, lr=lr, weight_decay=weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("ax",)

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        lr, lambd, before = group["lr"], group["lambd"], shared["step"] - 1.0
        eta = lr / _pow(1.0 + lambd * lr * before, group["alpha"])
        return -eta, 1.0 - lambd * eta, 1.0 / _maximum(before - group["t0"], 1.0)

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rate, kept, part = numbers
        p = _addcmul(p * kept, g, rate)
        return p, {"ax": _lerp(s["ax"], p, part)}


class Ftrl(RuleOptimizer):
    """Follow the regularised leader, by coordinate: with `l1`, small parameters are exactly zero.

    Parameters
    ----------
    params, lr, maximize
        As for `Adagrad`.
    lr_power : float
        The rate falls with this power of the sum of squares; 0 or less.
    initial_accumulator_value : float
        What the sum of squared gradients starts with.
    l1, l2 : float
        Penalties on the absolute values and on the squares of the parameters.
    beta : float
        Added to the root: a slower start.

    References
    ----------
    McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013.

    Examples
    --------
    >>> w = sn.tensor([1.0, 0.01], requires_grad=True)
    >>> optimizer = sn.optim.Ftrl([w], lr=0.1, l1=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()[1]
    0.0
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        lr_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1: Number = 0.0,
        l2: Number = 0.0,
        beta: Number = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        need(self, not is_number(lr) or lr > 0, "lr", lr, "more than 0")
        need(self, lr_power <= 0, "lr_power", lr_power, "0 or less")
        not_negative(
            self, initial_accumulator_value=initial_accumulator_value, l1=l1, l2=l2, beta=beta
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_power": lr_power,
                "initial_accumulator_value": initial_accumulator_value,
                "l1": l1,
                "l2": l2,
                "beta": beta,
                "maximize": maximize,
            },
        )

    _shared: ClassVar[Mapping[str, float]] = {}

    def _initial(self, group: dict[str, Any], p: _core.Tensor) -> State:
        start = float(group["initial_accumulator_value"])
        return {"accumulator": _full_like(p, start), "linear": _f["zeros_like"](p)}

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        lr = group["lr"]
        return 1.0 / lr, group["l1"], group["l2"] + group["beta"] / lr

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        inverse, l1, l2 = numbers
        power = -group["lr_power"]

        def root(x: Any) -> Any:
            return _sqrt(x) if power == 0.5 else _pow(x, power)

        before = s["accumulator"]
        total = _addcmul(before, g, g)
        now = root(total) * inverse
        linear = s["linear"] + g - (now - root(before) * inverse) * p
        p = (_clip(linear, -l1, l1) - linear) / (now + l2)
        return p, {"accumulator": total, "linear": linear}
