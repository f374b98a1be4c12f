"""Optimisers that are a rule for one tensor: counting, decay, dtypes and state are here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import _core
from .._errors import error
from .optimizer import Optimizer

__all__ = ["RuleOptimizer"]

_zeros = _core.functions["zeros"]
_zeros_like = _core.functions["zeros_like"]
_Tensor = _core.Tensor
_f32, _f64 = _core.float32, _core.float64
_NARROW = (_core.float16, _core.bfloat16)

State = dict[str, Any]


class _Cohort:
    """Parameters that have made the same steps, and so share their counts."""

    __slots__ = ("members", "shared", "size")

    def __init__(self, shared: State) -> None:
        self.shared = shared
        self.size = 0
        self.members: list[tuple[Any, Any, State]] = []


class RuleOptimizer(Optimizer):
    """Base of optimisers that update each tensor by a rule of its own.

    A subclass defines ``_rule(group, numbers, p, g, s)``: from a parameter, its gradient and its
    state it computes the new parameter and the state that changes. ``_numbers(group, shared)``
    computes what does not depend on the tensor (rates, bias corrections), once for all tensors that
    have made the same steps. ``_names(group)`` lists the state that starts at zero.

    The count of steps is a tensor of state, computed in the window of the step: a window that fails
    leaves it, like all state, as it was. Parameters that were always updated together share it, so
    a step counts once. Bias corrections are computed from it in float64. float16 and bfloat16 are
    computed in float32, and rounded once when parameters and state are stored.

    Examples
    --------
    >>> from sennit.optim.rule import RuleOptimizer
    >>> class SignDescent(RuleOptimizer):
    ...     def __init__(self, params, lr):
    ...         super().__init__(params, {"lr": lr})
    ...
    ...     def _numbers(self, group, shared):
    ...         return (group["lr"] / shared["step"],)
    ...
    ...     def _rule(self, group, numbers, p, g, s):
    ...         return p - numbers[0] * sn.sign(g), {}
    >>> w = sn.tensor([1.0, -1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> SignDescent([w], lr=0.25).step()
    >>> w.tolist()
    [0.75, -0.75]
    """

    # State that all members of a cohort share, as float64 tensors of rank 0 that start at these
    # values; "step" is advanced here.
    _shared: Mapping[str, float] = {"step": 0.0}

    def _shared_of(self, group: dict[str, Any]) -> Mapping[str, float]:
        return self._shared

    def _complete(self, group: dict[str, Any], values: State) -> None:
        """Adds what a parameter's state lacks of what is shared."""
        missing = [k for k in self._shared_of(group) if k not in values]
        raise error(
            _core.InvalidValue,
            type(self).__name__,
            f"a parameter's state has no {missing[0]!r}; it has {', '.join(map(repr, values))}; "
            "load the state of the same optimizer",
        )

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ()

    def _initial(self, group: dict[str, Any], p: _core.Tensor) -> State:
        """The state of a parameter before its first step."""
        return {name: _zeros_like(p) for name in self._names(group)}

    def _numbers(self, group: dict[str, Any], shared: State) -> tuple[Any, ...]:
        raise NotImplementedError(f"{type(self).__name__} defines no _numbers(group, shared)")

    def _rule(
        self, group: dict[str, Any], numbers: tuple[Any, ...], p: Any, g: Any, s: State
    ) -> tuple[Any, State]:
        raise NotImplementedError(
            f"{type(self).__name__} defines no _rule(group, numbers, p, g, s)"
        )

    def _coupled_decay(self, group: dict[str, Any]) -> Any:
        """What times the parameter is added to the gradient."""
        return 0.0 if group.get("decoupled_weight_decay") else group.get("weight_decay", 0.0)

    def _cohorts(self, group: dict[str, Any]) -> list[_Cohort]:
        """Parameters by the counts that they share, with their gradients."""
        names, state = self._shared_of(group), self.state
        cohorts: dict[int, _Cohort] = {}
        fresh: State | None = None
        for p in group["params"]:
            g, values = p.grad, state.get(p)
            if values is None:
                if g is None:
                    continue
                if fresh is None:
                    fresh = {k: _zeros((), dtype=_f64) + v for k, v in names.items()}
                values = state[p] = {**fresh, **self._initial(group, p)}
            if names and "step" not in values:
                self._complete(group, values)
            key = id(values["step"]) if names else 0
            cohort = cohorts.get(key)
            if cohort is None:
                cohort = cohorts[key] = _Cohort({k: values[k] for k in names})
            cohort.size += 1
            if g is not None:
                cohort.members.append((p, g, values))
        return [cohort for cohort in cohorts.values() if cohort.members]

    def _update(self, group: dict[str, Any]) -> None:
        maximize, decay = group.get("maximize"), self._coupled_decay(group)
        decays = is_active(decay)
        for cohort in self._cohorts(group):
            shared, members = cohort.shared, cohort.members
            if shared and len(members) < cohort.size:
                # Some sit this step out: the others count for themselves from now on.
                shared = cohort.shared = {k: v.detach() for k, v in shared.items()}
                for _, _, values in members:
                    values.update(shared)
            now = dict(shared)
            if "step" in now:
                now["step"] = now["step"] + 1.0
            numbers = (*self._numbers(group, now), decay)
            for name, value in now.items():
                if value is not shared[name]:
                    shared[name].assign_(value)
            cast: dict[Any, tuple[Any, ...]] = {}
            for p, g, values in members:
                dtype = p.dtype
                narrow = dtype in _NARROW
                # Numbers of rank 0 that were computed in float64 must not widen what they meet.
                given = cast.get(dtype)
                if given is None:
                    to = _f32 if narrow else dtype
                    given = tuple(n.to(to) if isinstance(n, _Tensor) else n for n in numbers)
                    cast[dtype] = given
                x, s = p, values
                if narrow:
                    x, g = p.to(_f32), g.to(_f32)
                    s = {
                        k: v.to(_f32) if isinstance(v, _Tensor) and v.dtype == dtype else v
                        for k, v in values.items()
                    }
                if maximize:
                    g = -g
                if decays:
                    g = g + x * given[-1]
                x, new = self._rule(group, given, x, g, s)
                for name, value in new.items():
                    values[name].assign_(value.to(dtype) if narrow else value)
                p.assign_(x.to(dtype) if narrow else x)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            names = self._shared_of(group)
            known: dict[tuple[float, ...], State] = {}
            for p in group["params"]:
                values = self.state.get(p)
                if values is None or not names:
                    continue
                if any(k not in values for k in names):
                    self._complete(group, values)
                # Equal counts are shared again, so that a step still counts once.
                counts = tuple(float(values[k]) for k in names)
                shared = known.get(counts)
                if shared is None:
                    shared = known[counts] = {
                        k: _core.asarray(v, dtype=_f64) for k, v in zip(names, counts, strict=True)
                    }
                values.update(shared)

    load_state_dict.__doc__ = Optimizer.load_state_dict.__doc__


def is_active(value: Any) -> bool:
    """Whether a hyperparameter has an effect; a scheduled one always may."""
    return isinstance(value, _Tensor) or bool(value)
