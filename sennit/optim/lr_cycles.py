"""Schedulers that go up and down, and move the momentum the other way."""

from __future__ import annotations

from collections.abc import Callable

from . import schedule
from .lr_base import LRScheduler, by_step, per_group
from .optimizer import Optimizer, need
from .schedule import Schedule

__all__ = ["CyclicLR", "OneCycleLR"]


class _WithMomentum(LRScheduler):
    """Schedulers that move the momentum (or the first beta) against the rate."""

    _momenta: list[Schedule]

    def _set(self) -> None:
        super()._set()
        for group, s in zip(self.optimizer.param_groups, self._momenta, strict=False):
            if "betas" in group:
                group["betas"] = (s(self.last_epoch), *group["betas"][1:])
            else:
                group["momentum"] = s(self.last_epoch)

    def _check_momentum(self, optimizer: Optimizer) -> None:
        have = optimizer.defaults
        need(
            self,
            "momentum" in have or "betas" in have,
            "cycle_momentum",
            True,
            "False: the optimizer has neither momentum nor betas",
        )


class CyclicLR(_WithMomentum):
    """Up from `base_lr` to `max_lr` and down, again and again; momentum the other way.

    Parameters
    ----------
    optimizer : Optimizer
    base_lr, max_lr : float or list of float
        The lowest and the highest rate.
    step_size_up, step_size_down : int
        Lengths of the ways.
    mode : {"triangular", "triangular2", "exp_range"}
        How the height changes; see `schedule.cyclic`.
    gamma : float
        For "exp_range".
    scale_fn : callable, optional
        The height as a function of the cycle or of the step, instead of `mode`.
    scale_mode : {"cycle", "iterations"}
        What `scale_fn` is a function of.
    cycle_momentum : bool
        Whether momentum (or the first beta) goes from `max_momentum` to `base_momentum`.
    base_momentum, max_momentum : float or list of float

    References
    ----------
    Smith, "Cyclical Learning Rates for Training Neural Networks", 2015.

    Examples
    --------
    >>> optimizer = sn.optim.SGD([sn.ones(1, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> scheduler = sn.optim.lr_scheduler.CyclicLR(optimizer, 0.5, 1.0, step_size_up=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        need(self, scale_mode in ("cycle", "iterations"), "scale_mode", scale_mode, "one of them")
        if last_epoch == -1:
            lows = per_group(optimizer, base_lr, self, "base_lr")
            for group, low in zip(optimizer.param_groups, lows, strict=True):
                group["lr"] = group["initial_lr"] = low
        self.max_lrs = per_group(optimizer, max_lr, self, "max_lr")
        self._settings = (step_size_up, step_size_down, mode, gamma)
        self._scale = (scale_fn, scale_mode)
        self._momenta = []
        if cycle_momentum:
            self._check_momentum(optimizer)
            highs = per_group(optimizer, max_momentum, self, "max_momentum")
            lows = per_group(optimizer, base_momentum, self, "base_momentum")
            self._momenta = [self._cycle(a, b) for a, b in zip(highs, lows, strict=True)]
        super().__init__(optimizer, last_epoch)

    def _cycle(self, start: float, top: float) -> Schedule:
        up, down, mode, gamma = self._settings
        function, scale_mode = self._scale
        if function is None:
            return schedule.cyclic(start, top, up, down, mode, gamma)
        total = up + (up if down is None else down)
        height = schedule.cyclic(0.0, 1.0, up, down)

        def at(step: int) -> float:
            cycle = 1 + step // total
            scale = function(cycle if scale_mode == "cycle" else step)
            return start + (top - start) * float(height(step)) * scale

        return by_step(at)

    def _schedule(self, base: float, index: int) -> Schedule:
        return self._cycle(base, self.max_lrs[index])


class OneCycleLR(_WithMomentum):
    """Up to `max_lr` and down to almost nothing, in `total_steps` steps; momentum the other way.

    Parameters
    ----------
    optimizer : Optimizer
    max_lr : float or list of float
        The highest rate.
    total_steps : int, optional
        Length of all of it; ``epochs * steps_per_epoch`` by default.
    epochs, steps_per_epoch : int, optional
    pct_start : float
        The part of the steps that goes up.
    anneal_strategy : {"cos", "linear"}
        How it goes.
    cycle_momentum : bool
        Whether momentum (or the first beta) goes from `max_momentum` to `base_momentum` and back.
    base_momentum, max_momentum : float or list of float
    div_factor : float
        The first rate is ``max_lr / div_factor``.
    final_div_factor : float
        The last rate is the first divided by this.
    three_phase : bool
        Whether it goes down to the first rate as it came, and on from there.

    References
    ----------
    Smith, Topin, "Super-Convergence", 2017.

    Examples
    --------
    >>> optimizer = sn.optim.Adam([sn.ones(1, requires_grad=True)])
    >>> scheduler = sn.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> round(scheduler.get_last_lr()[0], 3)
    0.04
    >>> scheduler.step(2)
    >>> round(scheduler.get_last_lr()[0], 3), round(optimizer.param_groups[0]["betas"][0], 3)
    (1.0, 0.85)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            given = epochs is not None and steps_per_epoch is not None
            need(self, given, "total_steps", None, "given, or epochs and steps_per_epoch")
            total_steps = (epochs or 0) * (steps_per_epoch or 0)
        self.total_steps = total_steps
        self.max_lrs = per_group(optimizer, max_lr, self, "max_lr")
        self._settings = (pct_start, anneal_strategy)
        self._rest = (div_factor, final_div_factor, three_phase)
        self._momenta = []
        if cycle_momentum:
            self._check_momentum(optimizer)
            highs = per_group(optimizer, max_momentum, self, "max_momentum")
            lows = per_group(optimizer, base_momentum, self, "base_momentum")
            self._momenta = [
                schedule.one_cycle(low, total_steps, *self._settings, high, high, three_phase)
                for high, low in zip(highs, lows, strict=True)
            ]
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, self.max_lrs, strict=True):
                group["initial_lr"] = top / div_factor
        super().__init__(optimizer, last_epoch)

    def _schedule(self, base: float, index: int) -> Schedule:
        _, divisor, three_phase = self._rest
        top, total = self.max_lrs[index], self.total_steps
        return schedule.one_cycle(top, total, *self._settings, base, base / divisor, three_phase)

    def step(self, epoch: int | None = None) -> None:
        at = self.last_epoch + 1 if epoch is None else epoch
        need(self, at <= self.total_steps, "the step", at, f"at most {self.total_steps}")
        super().step(epoch)

    step.__doc__ = LRScheduler.step.__doc__
