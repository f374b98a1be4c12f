"""Optimisers that need no schedule: an average of the steps takes its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .. import _core
from ..autograd import no_grad
from .optimizer import Number, Params, in_unit_interval, is_number, need, not_negative
from .rule import RuleOptimizer, State, is_active

__all__ = ["AdamWScheduleFree", "SGDScheduleFree"]

_f = _core.functions
_lerp, _sqrt, _pow, _addcmul = _f["lerp"], _f["sqrt"], _f["pow"], _f["addcmul"]
_minimum, _maximum, _where = _f["minimum"], _f["maximum"], _f["where"]


class _ScheduleFree(RuleOptimizer):
    """Three sequences: z steps, x is the average of z, and gradients are taken between both, at y.

    The parameters are y while training and x otherwise; z is state.
    """

    _shared: ClassVar[Mapping[str, float]] = {"step": 0.0, "weight_sum": 0.0, "lr_max": 0.0}

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        names = ("lr", "weight_decay", "eps", "warmup_steps")
        not_negative(self, **{k: v for k, v in defaults.items() if k in names})
        self._training = True
        super().__init__(params, defaults)

    def _momentum(self, group: dict[str, Any]) -> Any:
        """How much of y is x."""
        raise NotImplementedError

    def _coupled_decay(self, group: dict[str, Any]) -> Any:
        return 0.0

    def _initial(self, group: dict[str, Any], p: _core.Tensor) -> State:
        return {**super()._initial(group, p), "z": p.detach()}

    def _updates(self) -> None:
        need(self, self._training, "the mode", "eval", "train: call optimizer.train() before step")
        super()._updates()

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        t, lr, beta = shared["step"], group["lr"], self._momentum(group)
        if is_active(group["warmup_steps"]):
            lr = lr * _minimum(t / group["warmup_steps"], 1.0)
        shared["lr_max"] = largest = _maximum(shared["lr_max"], lr)
        weight = _pow(t, group["r"]) * _pow(largest, group["weight_lr_power"])
        shared["weight_sum"] = total = shared["weight_sum"] + weight
        part = _where(total > 0.0, weight / total, 0.0)
        return part, 1.0 - beta * (1.0 - part), -lr, group["weight_decay"]

    def _move(self, group: dict[str, Any], numbers: tuple[Any, ...], y: Any, d: Any, z: Any) -> Any:
        """y and z after a step along a direction."""
        part, share, rate, decay = numbers[:4]
        if is_active(group["weight_decay"]):
            d = d + y * decay
        moved = d * rate
        return _addcmul(_lerp(y, z, part), moved, share), z + moved

    def _between(self, weight: Any) -> None:
        """Moves each parameter towards its z, by what `weight(group)` says."""
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    values = self.state.get(p)
                    if values is not None:
                        p.assign_(_lerp(p, values["z"].to(p.dtype), float(weight(group))))
        _core.flush()

    def train(self) -> None:
        """Puts the parameters where gradients are to be taken. Before training goes on."""
        if not self._training:
            self._between(lambda group: 1.0 - self._momentum(group))
            self._training = True

    def eval(self) -> None:
        """Puts the parameters at the average, the result. Before they are used or saved."""
        if self._training:
            self._between(lambda group: 1.0 - 1.0 / self._momentum(group))
            self._training = False

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "training": self._training}

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self._training = bool(state_dict.get("training", True))

    state_dict.__doc__ = RuleOptimizer.state_dict.__doc__
    load_state_dict.__doc__ = RuleOptimizer.load_state_dict.__doc__


class SGDScheduleFree(_ScheduleFree):
    """Stochastic gradient descent with averaging in the place of a schedule.

    Call ``optimizer.eval()`` before the parameters are used or saved, and ``optimizer.train()``
    before training goes on.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups of them.
    lr : float
        Learning rate; larger than with a schedule.
    momentum : float
        How near to the average gradients are taken.
    weight_decay : float
        Times the parameter, added to the gradient.
    warmup_steps : int
        The rate rises in a line for so many steps.
    r : float
        Steps weigh in the average with this power of their number.
    weight_lr_power : float
        Steps weigh in the average with this power of the largest rate so far.
    maximize : bool
        Goes up instead of down.

    References
    ----------
    Defazio et al., "The Road Less Scheduled", 2024.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.SGDScheduleFree([w], lr=0.25)
    >>> for _ in range(40):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> optimizer.eval()
    >>> abs(w.item()) < 0.1
    True
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 1.0,
        momentum: Number = 0.9,
        weight_decay: Number = 0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
    ) -> None:
        need(self, is_number(momentum) and 0 < momentum < 1, "momentum", momentum, "in (0, 1)")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "warmup_steps": warmup_steps,
                "r": r,
                "weight_lr_power": weight_lr_power,
                "maximize": maximize,
            },
        )

    def _momentum(self, group: dict[str, Any]) -> Any:
        return group["momentum"]

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        p, z = self._move(group, numbers, p, g, s["z"])
        return p, {"z": z}


class AdamWScheduleFree(_ScheduleFree):
    """AdamW with averaging in the place of a schedule.

    Call ``optimizer.eval()`` before the parameters are used or saved, and ``optimizer.train()``
    before training goes on.

    Parameters
    ----------
    params, weight_decay, warmup_steps, r, weight_lr_power, maximize
        As for `SGDScheduleFree`.
    lr : float
        Learning rate.
    betas : (float, float)
        How near to the average gradients are taken, and how long squares are remembered.
    eps : float
        Added to the root.

    References
    ----------
    Defazio et al., "The Road Less Scheduled", 2024.

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.AdamWScheduleFree([w], lr=0.1)
    >>> for _ in range(60):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> optimizer.eval()
    >>> abs(w.item()) < 0.2
    True
    """

    def __init__(
        self,
        params: Params,
        lr: Number = 2.5e-3,
        betas: tuple[float, Number] = (0.9, 0.999),
        eps: Number = 1e-8,
        weight_decay: Number = 0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
    ) -> None:
        in_unit_interval(self, betas=tuple(betas))
        need(self, is_number(betas[0]) and betas[0] > 0, "betas[0]", betas[0], "in (0, 1)")
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "warmup_steps": warmup_steps,
                "r": r,
                "weight_lr_power": weight_lr_power,
                "maximize": maximize,
            },
        )

    def _momentum(self, group: dict[str, Any]) -> Any:
        return group["betas"][0]

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg_sq",)

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        beta2 = group["betas"][1]
        root = _sqrt(1.0 - beta2 ** shared["step"])
        rest = super()._numbers(group, shared)
        return (*rest, root, group["eps"] * root, 1.0 - beta2)

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        root, eps, rest2 = numbers[4:]
        squares = _lerp(s["exp_avg_sq"], g * g, rest2)
        p, z = self._move(group, numbers, p, g * root / (_sqrt(squares) + eps), s["z"])
        return p, {"exp_avg_sq": squares, "z": z}
