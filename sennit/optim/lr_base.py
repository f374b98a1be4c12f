"""The base of schedulers with PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core
from .._errors import error
from . import schedule
from .optimizer import Optimizer, need
from .schedule import Schedule

__all__ = ["LRScheduler"]


class LRScheduler:
    """Base of schedulers. A subclass defines ``_schedule(base, index)``.

    Rates are functions of the number of calls of `step`, not of the rates before: a rate that is
    changed by hand between two steps is set again.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups' rates are set, now and at each `step`.
    last_epoch : int
        The number of steps made before, minus one; the rate at step 0 is then found in the groups
        under "initial_lr".

    Examples
    --------
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> optimizer = sn.optim.SGD([w], lr=1.0)
    >>> class Halving(sn.optim.lr_scheduler.LRScheduler):
    ...     def _schedule(self, base, index):
    ...         return sn.optim.schedule.exponential(base, 0.5)
    >>> scheduler = Halving(optimizer)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise error(
                _core.InvalidType,
                type(self).__name__,
                f"the optimizer is a {type(optimizer).__name__}; it must be an Optimizer",
            )
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            need(
                self,
                not isinstance(group["lr"], Schedule),
                f"the rate of group {i}",
                group["lr"],
                "a number, not a schedule that the optimizer follows by itself",
            )
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            else:
                need(
                    self,
                    "initial_lr" in group,
                    f"'initial_lr' of group {i}",
                    None,
                    "set when last_epoch is given; load the optimizer's state first",
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._schedules = [self._schedule(base, i) for i, base in enumerate(self.base_lrs)]
        self.last_epoch = last_epoch
        self._last_lr: list[float] = []
        self.step()

    def _schedule(self, base: float, index: int) -> Schedule:
        """The rates of a group, from its rate at first and its number."""
        raise NotImplementedError(f"{type(self).__name__} defines no _schedule(base, index)")

    def _values(self, epoch: int) -> list[float]:
        return [s(epoch) for s in self._schedules]

    def _set(self) -> None:
        self._last_lr = self._values(self.last_epoch)
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = lr

    def step(self, epoch: int | None = None) -> None:
        """Sets the next rates; those of step `epoch` where it is given."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._set()

    def get_last_lr(self) -> list[float]:
        """The rates that were set last, by group."""
        return self._last_lr

    def get_lr(self) -> list[float]:
        """The rates of the present step."""
        return self._values(self.last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """What changes from step to step; functions and settings are code."""
        return {
            "last_epoch": self.last_epoch,
            "base_lrs": list(self.base_lrs),
            "_last_lr": list(self._last_lr),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave, and sets the rates."""
        self.base_lrs = list(state_dict["base_lrs"])
        self._schedules = [self._schedule(base, i) for i, base in enumerate(self.base_lrs)]
        self.last_epoch = state_dict["last_epoch"]
        self._set()


def per_group(optimizer: Optimizer, value: Any, owner: object, name: str) -> list[Any]:
    """A setting for each group, from one or a list."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    need(owner, len(value) == count, f"the length of {name}", len(value), f"{count}, as of groups")
    return list(value)


class by_step(Schedule):  # noqa: N801 - a function in all but name
    """A schedule from a function, called for one step at a time and not ahead."""

    def __init__(self, function: Callable[[int], float]) -> None:
        super().__init__(schedule.from_function(function)._at)
        self._function = function

    def __call__(self, step: Any) -> Any:
        return super().__call__(step) if isinstance(step, _core.Tensor) else self._function(step)
