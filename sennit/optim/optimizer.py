"""What all optimisers share: parameter groups, state, and the frame of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

from .. import _core
from .._errors import error
from .schedule import Schedule

__all__ = ["Optimizer"]

_release_consumed = _core.release_consumed
_flush = _core.flush
_set_grad_enabled = _core.set_grad_enabled
_grad_enabled = _core.grad_enabled
_zeros = _core.functions["zeros"]
_Tensor = _core.Tensor
_PLAIN = frozenset((float, int, bool, list, str, type(None)))  # no schedule, at a glance


class Optimizer:
    """Base class of optimisers.

    A subclass passes its defaults to ``super().__init__`` and defines ``_update(group)``, which
    computes new values with ordinary operations and assigns them with ``p.assign_(value)``.
    Learning rates and other numbers are plain floats of the group: changing them costs nothing.
    Any of them may be a schedule (`sennit.optim.schedule`); ``_update`` then finds its value at
    this step in the group, a tensor of rank 0 and dtype float64.

    Attributes
    ----------
    param_groups : list of dict
        Each with "params" and its own hyperparameters.
    state : dict of Tensor to dict
        What is remembered of each parameter.
    steps : Tensor or None
        How many steps were made since a schedule was first used, which is where schedules are
        evaluated. It is state of the window: a step whose window fails does not count.

    Examples
    --------
    >>> class Plain(sn.optim.Optimizer):
    ...     def __init__(self, params, lr):
    ...         super().__init__(params, {"lr": lr})
    ...
    ...     def _update(self, group):
    ...         for p in group["params"]:
    ...             p.assign_(p - group["lr"] * p.grad)
    >>> w = sn.tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> Plain([w], lr=0.25).step()
    >>> w.item()
    0.5
    """

    param_groups: list[dict[str, Any]]
    state: dict[_core.Tensor, dict[str, Any]]
    steps: _core.Tensor | None

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups = []
        self.state = {}
        self.steps = None
        if isinstance(params, _core.Tensor):
            raise error(
                _core.InvalidType,
                type(self).__name__,
                "params is a tensor; it must be an iterable of parameters, or of dicts with "
                "'params'; pass [tensor]",
            )
        listed = list(params)
        if not listed:
            raise error(
                _core.InvalidValue,
                type(self).__name__,
                "there are no parameters; pass model.parameters()",
            )
        groups = listed if isinstance(listed[0], dict) else [{"params": listed}]
        for group in groups:
            self.add_param_group(group)
        # Initial values are computed in a window of their own: a first step that fails must not
        # take them back too.
        _flush()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters, with hyperparameters of their own.

        Parameters
        ----------
        param_group : dict
            "params" (a tensor or an iterable of them; pairs of name and tensor are fine) and
            hyperparameters that differ from the defaults.

        Examples
        --------
        >>> a, b = sn.nn.Linear(2, 2), sn.nn.Linear(2, 2)
        >>> optimizer = sn.optim.SGD(a.parameters(), lr=0.1)
        >>> optimizer.add_param_group({"params": b.parameters(), "lr": 0.01})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.01]
        """
        group = dict(param_group)
        params = group["params"]
        params = [params] if isinstance(params, _core.Tensor) else list(params)
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            self._check_parameter(p)
            if id(p) in known:
                raise error(
                    _core.InvalidValue,
                    type(self).__name__,
                    f"a parameter of shape {p.shape} is given twice; each belongs to one group",
                )
            known.add(id(p))
        unknown = [k for k in group if k != "params" and k not in self.defaults]
        if unknown:
            raise error(
                _core.InvalidValue,
                type(self).__name__,
                f"a group has {', '.join(map(repr, unknown))}; the hyperparameters are "
                f"{', '.join(self.defaults)}",
            )
        self.param_groups.append({**self.defaults, **group, "params": params})

    def _check_parameter(self, p: Any) -> None:
        if not isinstance(p, _core.Tensor):
            raise error(
                _core.InvalidType,
                type(self).__name__,
                f"a parameter is a {type(p).__name__}; it must be a tensor",
            )
        if not p.is_leaf:
            raise error(
                _core.InvalidValue,
                type(self).__name__,
                f"a parameter of shape {p.shape} is the result of operations; only leaves can be "
                "trained; pass model.parameters()",
            )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients (or sets them to zero).

        Examples
        --------
        >>> w = sn.tensor([1.0], requires_grad=True)
        >>> optimizer = sn.optim.SGD([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.zero_grad()
        >>> w.grad is None
        True
        """
        if set_to_none:
            for group in self.param_groups:
                for p in group["params"]:
                    if p.requires_grad:
                        p.grad = None
            return
        zeros_like = _core.functions["zeros_like"]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = zeros_like(p.grad)

    def _update(self, group: dict[str, Any]) -> None:
        """Assigns new values to the parameters of a group; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no _update(group)")

    def _updates(self) -> None:
        """Records the update of every group: all of it is one window with what came before."""
        at = None
        for group in self.param_groups:
            changed = None
            for name, value in group.items():
                if type(value) not in _PLAIN and _has_schedule(value):
                    if at is None:
                        at = self._next_step()
                    at = at.to(group["params"][0].device)
                    changed = dict(group) if changed is None else changed
                    changed[name] = (
                        tuple(v(at) if isinstance(v, Schedule) else v for v in value)
                        if isinstance(value, tuple)
                        else value(at)
                    )
            self._update(group if changed is None else changed)

    def _begin(self, params: Iterable[_core.Tensor], counted: bool) -> None:
        """Makes the state of parameters as their first step would (`counted`: the count of steps
        that schedules read, too), so that a step can be traced."""
        if counted and self.steps is None:
            self.steps = _zeros((), dtype=_core.float64)
        if list(params):
            raise error(
                _core.InvalidValue,
                "trace",
                f"{type(self).__name__} makes its state at its first step; call step() once before "
                "tracing",
            )

    def _next_step(self) -> _core.Tensor:
        """How many steps were made before this one, which is counted."""
        if self.steps is None:
            self.steps = _zeros((), dtype=_core.float64)
        before = self.steps.detach()
        self.steps.assign_(before + 1.0)
        return before

    def _evaluate(self, closure: Callable[[], Any]) -> Any:
        before = _grad_enabled()
        _set_grad_enabled(True)
        try:
            return closure()
        finally:
            _set_grad_enabled(before)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters from their gradients, and starts the computation.

        Does not wait for it. When it fails later, parameters and state, step counts included, keep
        their former values.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and the gradients anew; its value is returned.
        """
        loss = None if closure is None else self._evaluate(closure)
        # What backward has used is given up first, so that the window that is about to run needs no
        # memory of its own for it.
        _release_consumed()
        before = _grad_enabled()
        _set_grad_enabled(False)
        try:
            self._updates()
        finally:
            _set_grad_enabled(before)
        _flush()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Hyperparameters and state, with parameters numbered in order: a snapshot.

        Schedules are code, not state: they are left out, and the optimizer that loads the state
        keeps its own. `flatten_state` turns the result into what `sennit.save` takes.

        Examples
        --------
        >>> w = sn.tensor([1.0], requires_grad=True)
        >>> sorted(sn.optim.SGD([w], lr=0.1).state_dict())
        ['param_groups', 'state']
        """
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers[id(p)] = len(numbers)
            packed = {k: v for k, v in group.items() if k != "params" and not _has_schedule(v)}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {
            numbers[id(p)]: {
                k: v.detach() if isinstance(v, _Tensor) else v for k, v in values.items()
            }
            for p, values in self.state.items()
        }
        made: dict[str, Any] = {"state": state, "param_groups": groups}
        if self.steps is not None:
            made["steps"] = self.steps.detach()
        return made

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave. Nothing changes when it does not fit.

        Raises
        ------
        InvalidValue
            When groups or shapes do not agree.
        """
        groups = state_dict["param_groups"]
        have = [len(g["params"]) for g in self.param_groups]
        given = [len(g["params"]) for g in groups]
        if have != given:
            raise error(
                _core.InvalidValue,
                f"{type(self).__name__}.load_state_dict",
                f"the state has groups of {given} parameters, the optimizer of {have}; they must "
                "agree",
            )
        targets: dict[int, _core.Tensor] = {}
        for mine, packed in zip(self.param_groups, groups, strict=True):
            targets.update(zip(packed["params"], mine["params"], strict=True))
        state: dict[_core.Tensor, dict[str, Any]] = {}
        for number, values in state_dict["state"].items():
            p = targets[int(number)]
            made: dict[str, Any] = {}
            for k, v in values.items():
                if isinstance(v, _Tensor):
                    expected = self._state_shape(k, p)
                    if v.ndim and v.shape != expected:
                        raise error(
                            _core.InvalidValue,
                            f"{type(self).__name__}.load_state_dict",
                            f"'{k}' of parameter {number} has shape {v.shape}; for a parameter "
                            f"of shape {p.shape} it must be {expected}",
                        )
                    # A handle of our own: a later step must not change what was loaded from.
                    v = v.detach().to(p.device)
                made[k] = v
            state[p] = made
        before = self.state, self.steps, [dict(group) for group in self.param_groups]
        try:
            self._take(state, groups, state_dict.get("steps"))
        except BaseException:
            self.state, self.steps, own = before
            for mine, values in zip(self.param_groups, own, strict=True):
                mine.clear()
                mine.update(values)
            raise

    def _take(self, state: dict[_core.Tensor, dict[str, Any]], groups: Any, steps: Any) -> None:
        self.state = state
        self.steps = None if steps is None else _core.asarray(steps).to(_core.float64).detach()
        for mine, packed in zip(self.param_groups, groups, strict=True):
            mine.update(
                {
                    # A file has lists where a group has tuples.
                    k: tuple(v) if isinstance(v, list) and isinstance(mine.get(k), tuple) else v
                    for k, v in packed.items()
                    if k != "params" and not _has_schedule(mine.get(k))
                }
            )

        self._loaded()

    def _loaded(self) -> None:
        """Looks at state that was loaded, and brings it to the form that steps need."""

    def _state_shape(self, name: str, p: _core.Tensor) -> tuple[int, ...]:
        """The shape of what is remembered of a parameter under a name."""
        return p.shape

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return "\n".join([*lines, ")"])


def _has_schedule(value: object) -> bool:
    if type(value) is tuple:
        for v in value:  # a generator would cost more than it finds, in every step  # noqa: SIM110
            if isinstance(v, Schedule):
                return True
        return False
    return isinstance(value, Schedule)


def need(optimizer: object, ok: bool, name: str, value: object, rule: str) -> None:
    """Raises when a hyperparameter is out of range."""
    if not ok:
        raise error(
            _core.InvalidValue, type(optimizer).__name__, f"{name} is {value}; it must be {rule}"
        )


def is_number(value: object) -> TypeGuard[float]:
    """Whether a hyperparameter is known now: not a schedule, and not a tensor."""
    return not isinstance(value, Schedule | _Tensor)


def not_negative(optimizer: object, **values: Any) -> None:
    """Checks that hyperparameters are 0 or more, where they are numbers."""
    for name, value in values.items():
        need(optimizer, not is_number(value) or value >= 0, name, value, "0 or more")


def in_unit_interval(optimizer: object, **values: Any) -> None:
    """Checks that hyperparameters (or all elements of them) are in [0, 1)."""
    for name, value in values.items():
        several = isinstance(value, tuple | list)
        ok = all(not is_number(v) or 0 <= v < 1 for v in (value if several else (value,)))
        need(optimizer, ok, name, value, "two numbers in [0, 1)" if several else "in [0, 1)")


def check_hints(optimizer: object, hints: dict[str, Any]) -> None:
    """Takes PyTorch's choices of an implementation, of which there is only one here."""
    for name, value in hints.items():
        if name not in ("foreach", "fused", "capturable", "differentiable"):
            raise TypeError(
                f"{type(optimizer).__name__}() got an unexpected keyword argument {name!r}"
            )
        need(
            optimizer,
            name != "differentiable" or not value,
            name,
            value,
            "False: a step is not put on the tape",
        )


Params = Iterable[_core.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, _core.Tensor]]
Number = float | Schedule | _core.Tensor
