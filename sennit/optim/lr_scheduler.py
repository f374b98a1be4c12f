"""Schedulers with PyTorch's names: objects that set the rate of an optimizer when they are stepped.

They are a habit rather than a need: a schedule given as ``lr=`` needs no steps of its own and
counts with the optimizer. These compute their rates with the same functions
(`sennit.optim.schedule`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import schedule
from .lr_base import LRScheduler, by_step, per_group
from .lr_cycles import CyclicLR, OneCycleLR
from .optimizer import Optimizer, need
from .schedule import Schedule

__all__ = [
    "SWALR",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


class LambdaLR(LRScheduler):
    """The first rate times a function of the step.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = per_group(optimizer, lr_lambda, self, "lr_lambda")
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        return by_step(lambda step: base * self.lr_lambdas[index](step))


class MultiplicativeLR(LRScheduler):
    """The rate before, times a function of the step.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda step: 0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = per_group(optimizer, lr_lambda, self, "lr_lambda")
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        products = [base]

        def at(step: int) -> float:
            while len(products) <= step:
                products.append(products[-1] * self.lr_lambdas[index](len(products)))
            return products[step]

        return by_step(at)


class StepLR(LRScheduler):
    """The rate times `gamma` after every `step_size` steps.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        return schedule.step(base, self.step_size, self.gamma)


class MultiStepLR(LRScheduler):
    """The rate times `gamma` from each milestone on.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1], gamma=0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = list(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        return schedule.multi_step(base, self.milestones, self.gamma)


class ConstantLR(LRScheduler):
    """The rate times `factor` for `total_iters` steps, then the whole rate.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        need(self, 0 <= factor <= 1, "factor", factor, "in [0, 1]")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        return schedule.join([base * self.factor, base], [self.total_iters])


class LinearLR(LRScheduler):
    """The rate times a factor that goes from `start_factor` to `end_factor` in `total_iters` steps.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        need(self, 0 < start_factor <= 1, "start_factor", start_factor, "in (0, 1]")
        need(self, 0 <= end_factor <= 1, "end_factor", end_factor, "in [0, 1]")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        return base * schedule.linear(self.start_factor, self.end_factor, self.total_iters)


class ExponentialLR(LRScheduler):
    """The rate times `gamma` at each step.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        return schedule.exponential(base, self.gamma)


class PolynomialLR(LRScheduler):
    """From the rate to zero in `total_iters` steps, as ``(1 - step / total_iters) ** power``.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        return schedule.polynomial(base, self.total_iters, self.power)


class CosineAnnealingLR(LRScheduler):
    """From the rate to `eta_min` in `T_max` steps along half a cosine, and back, again and again.

    References
    ----------
    Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        return schedule.cosine(base, self.T_max, self.eta_min, periodic=True)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines of `T_0` steps, each next one `T_mult` times longer. Steps may be fractions.

    References
    ----------
    Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> for _ in range(2):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        return schedule.cosine_restarts(base, self.T_0, self.T_mult, self.eta_min)


class SWALR(LRScheduler):
    """From the rate to `swa_lr` in `anneal_epochs` steps; for averages of weights.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.SWALR(optimizer, swa_lr=0.5, anneal_epochs=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        known = ("cos", "linear")
        need(self, anneal_strategy in known, "anneal_strategy", anneal_strategy, f"one of {known}")
        need(self, anneal_epochs >= 0, "anneal_epochs", anneal_epochs, "0 or more")
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        self.swa_lrs = per_group(optimizer, swa_lr, self, "swa_lr")
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        end, steps = self.swa_lrs[index], self.anneal_epochs
        if not steps:
            return schedule.constant(end)
        make = schedule.cosine if self.anneal_strategy == "cos" else None
        return make(base, steps, end) if make else schedule.linear(base, end, steps)


class SequentialLR(LRScheduler):
    """One scheduler after the other; each counts from its own beginning.

    Parameters
    ----------
    optimizer : Optimizer
    schedulers : list of LRScheduler
        All of the same optimizer.
    milestones : list of int
        The steps at which the second, the third, … begin.

    Examples
    --------
    >>> from sennit.optim import lr_scheduler
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> first = lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=9)
    >>> second = lr_scheduler.ExponentialLR(optimizer, gamma=0.25)
    >>> scheduler = lr_scheduler.SequentialLR(optimizer, [first, second], milestones=[1])
    >>> rates = [scheduler.get_last_lr()[0]]
    >>> for _ in range(2):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.5, 1.0, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        _check_same(self, optimizer, schedulers)
        fits = len(milestones) + 1 == len(schedulers) and list(milestones) == sorted(milestones)
        rule = "ascending, and one fewer than schedulers"
        need(self, fits, "milestones", list(milestones), rule)
        self.milestones = list(milestones)
        self._schedulers = list(schedulers)
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        return schedule.constant(base)  # the parts have their own

    def _set(self) -> None:
        which = bisect_right(self.milestones, self.last_epoch)
        start = self.milestones[which - 1] if which else 0
        part = self._schedulers[which]
        part.step(self.last_epoch - start)
        self._last_lr = part.get_last_lr()

    def get_lr(self) -> list[float]:
        return self._last_lr

    get_lr.__doc__ = LRScheduler.get_lr.__doc__

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": _states(self._schedulers)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _load_states(self._schedulers, state_dict)
        super().load_state_dict(state_dict)

    state_dict.__doc__ = LRScheduler.state_dict.__doc__
    load_state_dict.__doc__ = LRScheduler.load_state_dict.__doc__


class ChainedScheduler(LRScheduler):
    """Several schedulers at once: the first rate times the factor of each.

    Examples
    --------
    >>> from sennit.optim import lr_scheduler
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> parts = [lr_scheduler.ConstantLR(optimizer, factor=0.5),
    ...          lr_scheduler.ExponentialLR(optimizer, gamma=0.5)]
    >>> scheduler = lr_scheduler.ChainedScheduler(parts)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        need(self, len(schedulers) > 0, "the number of schedulers", 0, "1 or more")
        chosen = schedulers[0].optimizer if optimizer is None else optimizer
        _check_same(self, chosen, schedulers)
        self._schedulers = list(schedulers)
        super().__init__(chosen)

    def _schedule(self, base: float, index: int) -> Schedule:
        return schedule.constant(base)

    def _values(self, epoch: int) -> list[float]:
        rates = list(self.base_lrs)
        for part in self._schedulers:
            part.last_epoch = epoch
            part._last_lr = part._values(epoch)
            for i, (lr, base) in enumerate(zip(part._last_lr, self.base_lrs, strict=True)):
                rates[i] *= lr / base if base else 0.0
        return rates

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": _states(self._schedulers)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _load_states(self._schedulers, state_dict)
        super().load_state_dict(state_dict)

    state_dict.__doc__ = LRScheduler.state_dict.__doc__
    load_state_dict.__doc__ = LRScheduler.load_state_dict.__doc__


def _check_same(owner: object, optimizer: Optimizer, parts: Sequence[LRScheduler]) -> None:
    for i, part in enumerate(parts):
        same = getattr(part, "optimizer", None) is optimizer
        need(owner, same, f"the optimizer of scheduler {i}", "another", "the same as that of all")
        plain = isinstance(part, LRScheduler)
        need(owner, plain, f"scheduler {i}", type(part).__name__, "a function of the step")


def _states(parts: Sequence[LRScheduler]) -> list[dict[str, Any]]:
    return [part.state_dict() for part in parts]


def _load_states(parts: Sequence[LRScheduler], state_dict: dict[str, Any]) -> None:
    for part, state in zip(parts, state_dict["_schedulers"], strict=True):
        part.load_state_dict(state)


class ReduceLROnPlateau:
    """The rate times `factor` when a figure has not become better for a while.

    Not a function of the step, but of the figures: its state is in `state_dict`.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}
        Whether less is better, or more.
    factor : float
        What the rate is multiplied with.
    patience : int
        So many figures may be no better; the next reduces.
    threshold : float
        By how much a figure must be better than the best.
    threshold_mode : {"rel", "abs"}
        Whether that is a part of the best, or a difference.
    cooldown : int
        Figures that do not count after a reduction.
    min_lr : float or list of float
        The smallest rate.
    eps : float
        Smaller changes of the rate are not made.
    name : str
        The hyperparameter that is reduced.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = sn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    >>> for loss in (1.0, 0.5, 0.5):
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
        name: str = "lr",
    ) -> None:
        need(self, mode in ("min", "max"), "mode", mode, "'min' or 'max'")
        rule = "'rel' or 'abs'"
        need(self, threshold_mode in ("rel", "abs"), "threshold_mode", threshold_mode, rule)
        need(self, 0 <= factor < 1, "factor", factor, "in [0, 1)")
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps, self.name = cooldown, eps, name
        self.min_lrs = per_group(optimizer, min_lr, self, "min_lr")
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        self.last_epoch = 0
        self._last_lr = [group[name] for group in optimizer.param_groups]

    def is_better(self, a: float, best: float) -> bool:
        """Whether a figure is better than the best by the threshold."""
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "abs":
            return sign * a > sign * best + self.threshold
        return sign * a > sign * (best * (1.0 + sign * self.threshold))

    def step(self, metrics: Any, epoch: int | None = None) -> None:
        """Takes the next figure, and reduces the rate if it is time."""
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(current, self.best):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, smallest in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                before = float(group[self.name])
                after = max(before * self.factor, smallest)
                if before - after > self.eps:
                    group[self.name] = after
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group[self.name] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The rates after the last figure, by group."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave; the rates themselves are the optimizer's state."""
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "optimizer"})
