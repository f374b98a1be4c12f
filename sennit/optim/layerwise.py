"""Optimisers of large models: by sign, by the norms of layers, by factors, by orthogonal steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from .. import _core
from .adam import _AdamFamily
from .optimizer import Number, Params, check_hints, in_unit_interval, need, not_negative
from .rule import RuleOptimizer, State, is_active

__all__ = ["LAMB", "LARS", "Adafactor", "Lion", "Muon"]

_f = _core.functions
_sign, _sqrt, _rsqrt, _where, _sum = _f["sign"], _f["sqrt"], _f["rsqrt"], _f["where"], _f["sum"]
_lerp, _addcdiv, _addcmul, _mean = _f["lerp"], _f["addcdiv"], _f["addcmul"], _f["mean"]
_maximum, _minimum, _matmul = _f["maximum"], _f["minimum"], _f["matmul"]


def _norm(x: Any) -> Any:
    return _sqrt(_sum(x * x))


class Lion(RuleOptimizer):
    """Steps by the sign of a mean of gradients: one number of state for each parameter.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups of them.
    lr : float or Schedule
        Learning rate; three to ten times smaller than for `AdamW`.
    betas : (float, float)
        The mean's weight in the direction, and how long it remembers.
    weight_decay : float
        Times the learning rate: the part of a parameter that is lost at each step.
    maximize : bool
        Goes up instead of down.

    References
    ----------
    Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.Lion([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item()
    0.75
    """

    _shared: ClassVar[Mapping[str, float]] = {}

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-4,
        betas: tuple[Number, Number] = (0.9, 0.99),
        weight_decay: Number = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        not_negative(self, lr=lr, weight_decay=weight_decay)
        in_unit_interval(self, betas=tuple(betas))
        defaults = {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "maximize": maximize})

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg",)

    def _coupled_decay(self, group: dict[str, Any]) -> Any:
        return 0.0

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        (beta1, beta2), lr = group["betas"], group["lr"]
        return 1.0 - beta1, 1.0 - beta2, -lr, 1.0 - lr * group["weight_decay"]

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rest1, rest2, rate, kept = numbers
        mean = s["exp_avg"]
        way = g - mean  # shared by both means, which makes one kernel of the update
        direction = _sign(_addcmul(mean, way, rest1))
        start = p * kept if is_active(group["weight_decay"]) else p
        return _addcmul(start, direction, rate), {"exp_avg": _addcmul(mean, way, rest2)}


class LAMB(_AdamFamily):
    """Adam with steps in proportion to the norm of each layer, for very large batches.

    Parameters
    ----------
    params, lr, betas, eps, maximize
        As for `Adam`.
    weight_decay : float
        Times the parameter, added to Adam's direction.
    clamp_norm : float, optional
        The most that the norm of a parameter counts for.

    References
    ----------
    You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", 2019.

    Examples
    --------
    >>> w = sn.tensor([3.0, 4.0], requires_grad=True)
    >>> optimizer = sn.optim.LAMB([w], lr=0.1)
    >>> w.sum().backward()
    >>> optimizer.step()
    >>> [round(v, 3) for v in w.tolist()]
    [2.646, 3.646]
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: Number = 1e-6,
        weight_decay: Number = 0.0,
        clamp_norm: float | None = None,
        *,
        maximize: bool = False,
    ) -> None:
        more = {"clamp_norm": clamp_norm, "maximize": maximize}
        super().__init__(params, lr, betas, eps, weight_decay, more, {})

    def _coupled_decay(self, group: dict[str, Any]) -> Any:
        return 0.0

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        beta1, beta2 = group["betas"]
        t = shared["step"]
        root = _sqrt(1.0 - beta2**t)
        scale = root / (1.0 - beta1**t)
        decay = group["weight_decay"]
        return 1.0 - beta1, 1.0 - beta2, scale, group["eps"] * root, decay, -group["lr"]

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rest1, rest2, scale, eps, decay, rate = numbers
        mean = _lerp(s["exp_avg"], g, rest1)
        squares = _lerp(s["exp_avg_sq"], g * g, rest2)
        direction = mean * scale / (_sqrt(squares) + eps)
        if is_active(decay):
            direction = direction + p * decay
        size, length = _norm(p), _norm(direction)
        if group["clamp_norm"] is not None:
            size = _minimum(size, float(group["clamp_norm"]))
        trust = _where((size > 0.0).logical_and(length > 0.0), size / length, 1.0)
        new = {"exp_avg": mean, "exp_avg_sq": squares}
        return _addcmul(p, direction, trust * rate), new


class LARS(RuleOptimizer):
    """Momentum with a rate for each layer, from the norms of its parameters and gradients.

    Parameters
    ----------
    params, lr, maximize
        As for `Lion`.
    momentum : float
        Part of the former step that is kept.
    weight_decay : float
        Times the parameter, added to the gradient.
    trust_coefficient : float
        A step's norm, as a part of the parameter's, at a rate of 1.
    eps : float
        Added to the norm of the gradient.
    nesterov : bool
        Looks ahead.
    adapt : bool
        Whether a group has rates by layer; biases and norms are usually left out
        (see `decay_groups`).

    References
    ----------
    You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", 2017.

    Examples
    --------
    >>> w = sn.tensor([3.0, 4.0], requires_grad=True)
    >>> optimizer = sn.optim.LARS([w], lr=1.0, trust_coefficient=0.1)
    >>> (w * w / 2).sum().backward()
    >>> optimizer.step()
    >>> [round(v, 3) for v in w.tolist()]
    [2.7, 3.6]
    """

    _shared: ClassVar[Mapping[str, float]] = {}

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        momentum: Number = 0.9,
        weight_decay: Number = 0.0,
        trust_coefficient: Number = 1e-3,
        eps: Number = 1e-8,
        nesterov: bool = False,
        adapt: bool = True,
        *,
        maximize: bool = False,
    ) -> None:
        not_negative(
            self,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            trust_coefficient=trust_coefficient,
            eps=eps,
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "trust_coefficient": trust_coefficient,
                "eps": eps,
                "nesterov": nesterov,
                "adapt": adapt,
                "maximize": maximize,
            },
        )

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def _coupled_decay(self, group: dict[str, Any]) -> Any:
        return 0.0

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        names = ("lr", "momentum", "weight_decay", "trust_coefficient", "eps")
        return tuple(group[name] for name in names)

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        lr, momentum, decay, coefficient, eps = numbers
        direction = g + p * decay if is_active(decay) else g
        if group["adapt"]:
            size, length = _norm(p), _norm(g)
            trust = coefficient * size / (length + decay * size + eps)
            rate = lr * _where((size > 0.0).logical_and(length > 0.0), trust, 1.0)
        else:
            rate = lr
        step = _addcmul(s["momentum_buffer"] * momentum, direction, rate)
        p = p - _addcmul(direction * rate, step, momentum) if group["nesterov"] else p - step
        return p, {"momentum_buffer": step}


class Adafactor(RuleOptimizer):
    """Adam with the mean of squares kept as one row and one column: little memory for matrices.

    Parameters
    ----------
    params, maximize, foreach
        As for `Lion`.
    lr : float or Schedule
        The largest relative step.
    beta2_decay : float
        Squares are remembered with ``1 - step ** beta2_decay``.
    eps : (float, float)
        The smallest root of a mean of squares (that of the dtype by default), and the smallest
        root mean square of a parameter that its steps are in proportion to.
    d : float
        The largest root mean square of a step, before it is scaled.
    weight_decay : float
        Times the learning rate: the part of a parameter that is lost at each step.

    References
    ----------
    Shazeer, Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018.

    Examples
    --------
    >>> w = sn.ones((2, 3), requires_grad=True)
    >>> optimizer = sn.optim.Adafactor([w], lr=0.1)
    >>> w.sum().backward()
    >>> optimizer.step()
    >>> optimizer.state[w]["row_var"].shape, optimizer.state[w]["col_var"].shape
    ((2, 1), (1, 3))
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: Number = 0.0,
        *,
        maximize: bool = False,
        **hints: Any,
    ) -> None:
        check_hints(self, hints)
        not_negative(self, lr=lr, weight_decay=weight_decay)
        need(self, beta2_decay <= 0, "beta2_decay", beta2_decay, "0 or less")
        need(self, d >= 1, "d", d, "1 or more")
        fits = (eps[0] is None or eps[0] >= 0) and eps[1] >= 0
        need(self, fits, "eps", eps, "two numbers, 0 or more; the first may be None")
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": tuple(eps),
                "d": d,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def _state_shape(self, name: str, p: _core.Tensor) -> tuple[int, ...]:
        if name == "row_var":
            return (*p.shape[:-1], 1)
        return (*p.shape[:-2], 1, p.shape[-1]) if name == "col_var" else p.shape

    def _initial(self, group: dict[str, Any], p: _core.Tensor) -> State:
        names = ("row_var", "col_var") if p.ndim > 1 else ("variance",)
        zeros = _f["zeros"]
        return {k: zeros(self._state_shape(k, p), dtype=p.dtype, device=p.device) for k in names}

    def _coupled_decay(self, group: dict[str, Any]) -> Any:
        return 0.0

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        t, lr = shared["step"], group["lr"]
        rest = t ** group["beta2_decay"]
        return rest, _minimum(lr, 1.0 / _sqrt(t)), 1.0 - lr * group["weight_decay"]

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rest, rate, kept = numbers
        eps1, eps2 = group["eps"]
        if eps1 is None:
            eps1 = 2.0**-52 if p.dtype == _core.float64 else 2.0**-23
        many = math.sqrt(max(p.size, 1))
        rate = rate * _maximum(_norm(p) / many, eps2)
        if is_active(group["weight_decay"]):
            p = p * kept
        if g.ndim > 1:
            squares = g * g
            row = _lerp(s["row_var"], _mean(squares, axis=-1, keepdims=True), rest)
            col = _lerp(s["col_var"], _mean(squares, axis=-2, keepdims=True), rest)
            new = {"row_var": row, "col_var": col}
            estimate = row * col / _maximum(_mean(row, axis=-2, keepdims=True), eps1)
        else:
            estimate = _lerp(s["variance"], g * g, rest)
            new = {"variance": estimate}
        update = _rsqrt(_maximum(estimate, eps1 * eps1)) * g
        scale = rate / _maximum(_norm(update) / (many * group["d"]), 1.0)
        return p - update * scale, new


class Muon(RuleOptimizer):
    """Momentum whose step is made orthogonal: for the matrices of hidden layers.

    Embeddings, the last layer, biases and norms are better trained by `AdamW`.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Matrices.
    lr : float or Schedule
        Learning rate.
    weight_decay : float
        Times the learning rate: the part of a parameter that is lost at each step.
    momentum : float
        How long gradients are remembered.
    nesterov : bool
        Looks ahead.
    ns_coefficients : (float, float, float)
        Of the odd polynomial of degree 5 that is iterated.
    eps : float
        The smallest norm that a step is divided by.
    ns_steps : int
        How often the polynomial is applied.
    adjust_lr_fn : {"original", "match_rms_adamw"}, optional
        The rate is multiplied with ``sqrt(max(1, rows / columns))``, or with
        ``0.2 * sqrt(max(rows, columns))``, with which rates of AdamW fit.

    Raises
    ------
    InvalidValue
        When a parameter is no matrix.

    Notes
    -----
    PyTorch iterates in bfloat16; here the iteration has the dtype of the parameter (float32 for
    float16 and bfloat16).

    References
    ----------
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; Liu et al.,
    "Muon is Scalable for LLM Training", 2025.

    Examples
    --------
    >>> w = sn.zeros((2, 2), requires_grad=True)
    >>> optimizer = sn.optim.Muon([w], lr=0.1, weight_decay=0.0)
    >>> (w * sn.tensor([[3.0, 0.0], [0.0, 2.0]])).sum().backward()
    >>> optimizer.step()
    >>> [round(v, 1) for v in (-w).diagonal().tolist()]
    [0.1, 0.1]
    """

    _shared: ClassVar[Mapping[str, float]] = {}

    def __init__(
        self,
        params: Params,
        lr: Number = 1e-3,
        weight_decay: Number = 0.1,
        momentum: Number = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        not_negative(self, lr=lr, weight_decay=weight_decay, momentum=momentum, eps=eps)
        known = (None, "original", "match_rms_adamw")
        need(self, adjust_lr_fn in known, "adjust_lr_fn", adjust_lr_fn, f"one of {known}")
        need(self, 0 <= ns_steps < 100, "ns_steps", ns_steps, "in [0, 100)")
        need(self, len(ns_coefficients) == 3, "ns_coefficients", ns_coefficients, "three numbers")
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": tuple(ns_coefficients),
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )

    def _check_parameter(self, p: Any) -> None:
        super()._check_parameter(p)
        need(
            self,
            p.ndim == 2,
            "a parameter's shape",
            p.shape,
            "that of a matrix; AdamW takes others",
        )

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def _coupled_decay(self, group: dict[str, Any]) -> Any:
        return 0.0

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        lr = group["lr"]
        return 1.0 - group["momentum"], group["momentum"], -lr, 1.0 - lr * group["weight_decay"]

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        rest, momentum, rate, kept = numbers
        buffer = _lerp(s["momentum_buffer"], g, rest)
        step = _lerp(g, buffer, momentum) if group["nesterov"] else buffer
        step = _orthogonal(step, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = p.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            rate = rate * (0.2 * math.sqrt(max(rows, columns)))
        else:
            rate = rate * math.sqrt(max(1.0, rows / max(columns, 1)))
        start = p * kept if is_active(group["weight_decay"]) else p
        return _addcmul(start, step, rate), {"momentum_buffer": buffer}


def _orthogonal(x: Any, coefficients: tuple[float, float, float], steps: int, eps: float) -> Any:
    """About the orthogonal factor of a matrix: all singular values near 1 (Newton-Schulz)."""
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / _maximum(_norm(x), eps)
    for _ in range(steps):
        gram = _matmul(x, x.T)
        x = x * a + _matmul(gram * b + _matmul(gram, gram) * c, x)
    return x.T if tall else x
