"""Optimisers that are a rule for one tensor: counting, decay, dtypes and state are here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from .. import _core
from .._errors import error
from .optimizer import Optimizer

__all__ = ["RuleOptimizer"]

_full = _core.functions["full"]
_zeros_like = _core.functions["zeros_like"]
_Tensor = _core.Tensor
_f32, _f64 = _core.float32, _core.float64
_NARROW = (_core.float16, _core.bfloat16)
_COMPLEX = (_core.complex64, _core.complex128)
_parts, _joined = _core.functions["view_as_real"], _core.functions["view_as_complex"]

State = dict[str, Any]


Member = tuple[Any, Any, State]  # a parameter, its gradient, its state


class RuleOptimizer(Optimizer):
    """Base of optimisers that update each tensor by a rule of its own.

    A subclass defines ``_rule(group, numbers, p, g, s)``: from a parameter, its gradient and its
    state it computes the new parameter and the state that changes. ``_numbers(group, shared)``
    computes what does not depend on the tensor (rates, bias corrections), once for all tensors that
    have made the same steps. ``_names(group)`` lists the state that starts at zero.

    The count of steps is a tensor of state, computed in the window of the step: a window that fails
    leaves it, like all state, as it was. Parameters that were always updated together share it, so
    a step counts once. Bias corrections are computed from it in float64. float16 and bfloat16 are
    computed in float32, and rounded once when parameters and state are stored. A complex parameter
    is updated as the pairs of its parts, as in PyTorch; its state is complex too.

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
    _shared: ClassVar[Mapping[str, float]] = {"step": 0.0}

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

    def _start(self, group: dict[str, Any], p: _core.Tensor) -> State:
        if p.dtype not in _COMPLEX:
            return self._initial(group, p)
        pairs = _parts(p.detach())
        return {
            k: _joined(v) if v.shape == pairs.shape else v
            for k, v in self._initial(group, pairs).items()
        }

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

    def _cohorts(self, group: dict[str, Any]) -> list[tuple[State, list[Member]]]:
        """Parameters that have a gradient, by the counts that they share."""
        names, state, params = self._shared_of(group), self.state, group["params"]
        members: list[Member] = []
        step = None
        for p in params:
            g, values = p.grad, state.get(p)
            if g is None or values is None:
                break
            if names:
                own = values.get("step")
                if own is None or (own is not step and step is not None):
                    break
                step = own
            members.append((p, g, values))
        else:  # as in nearly every step: all take part, and all have made the same steps
            values = members[0][2] if members else {}
            return [({k: values[k] for k in names}, members)] if members else []
        return self._split(group, names)

    def _fresh(self, group: dict[str, Any], p: Any, starts: dict[Any, State]) -> State:
        """Makes the state of a parameter; `starts`: by device, what is shared in its group."""
        shared = starts.get(p.device)
        if shared is None:
            shared = starts[p.device] = {
                k: _full((), v, dtype=_f64, device=p.device)
                for k, v in self._shared_of(group).items()
            }
        values = self.state[p] = {**shared, **self._start(group, p)}
        return values

    def _begin(self, params: Iterable[_Tensor], counted: bool) -> None:
        super()._begin((), counted)
        wanted = {id(p) for p in params}
        for group in self.param_groups:
            starts: dict[Any, State] = {}
            for p in group["params"]:
                if id(p) in wanted:
                    self._fresh(group, p, starts)

    def _split(
        self, group: dict[str, Any], names: Mapping[str, float]
    ) -> list[tuple[State, list[Member]]]:
        """The general case of `_cohorts`; makes the state of parameters that are new."""
        sizes: dict[int, int] = {}
        found: dict[int, list[Member]] = {}
        starts: dict[Any, State] = {}  # by device
        for p in group["params"]:
            g, values = p.grad, self.state.get(p)
            if values is None:
                if g is None:
                    continue
                values = self._fresh(group, p, starts)
            if names and "step" not in values:
                self._complete(group, values)
            key = id(values["step"]) if names else 0
            sizes[key] = sizes.get(key, 0) + 1
            if g is not None:
                found.setdefault(key, []).append((p, g, values))
        cohorts = []
        for key, members in found.items():
            shared = {k: members[0][2][k] for k in names}
            if names and len(members) < sizes[key]:
                # Some sit this step out: the others count for themselves from now on.
                shared = {k: v.detach() for k, v in shared.items()}
                for _, _, values in members:
                    values.update(shared)
            cohorts.append((shared, members))
        return cohorts

    def _update(self, group: dict[str, Any]) -> None:
        maximize, decay = group.get("maximize"), self._coupled_decay(group)
        decays, rule = is_active(decay), self._rule
        for shared, members in self._cohorts(group):
            now = dict(shared)
            if "step" in now:
                now["step"] = now["step"] + 1.0
            numbers = self._numbers(group, now)
            for name, value in now.items():
                if value is not shared[name]:
                    shared[name].assign_(value)
            # Numbers of rank 0 that were computed in float64 must not widen what they meet.
            casts: dict[Any, tuple[bool, bool, tuple[Any, ...], Any]] = {}
            for p, g, values in members:
                dtype = p.dtype
                known = casts.get(dtype)
                if known is None:
                    narrow, pairs = dtype in _NARROW, dtype in _COMPLEX
                    to = _f32 if narrow else dtype.to_real if pairs else dtype
                    given = tuple([n.to(to) if type(n) is _Tensor else n for n in numbers])
                    own_decay = decay.to(to) if type(decay) is _Tensor else decay
                    known = casts[dtype] = (narrow, pairs, given, own_decay)
                narrow, pairs, given, own_decay = known
                x, s = p, values
                if narrow:
                    x, g, s = p.to(_f32), g.to(_f32), _widen(values, dtype)
                if pairs:
                    x, g = _parts(p), _parts(g)
                    s = {k: _parts(v) if _is(v, dtype) else v for k, v in values.items()}
                if maximize:
                    g = -g
                if decays:
                    g = g + x * own_decay
                x, new = rule(group, given, x, g, s)
                if narrow:
                    x, new = x.to(dtype), {k: v.to(dtype) for k, v in new.items()}
                if pairs:
                    x = _joined(x)
                    new = {k: _joined(v) if _is(values[k], dtype) else v for k, v in new.items()}
                for name, value in new.items():
                    values[name].assign_(value)
                p.assign_(x)

    def _loaded(self) -> None:
        for group in self.param_groups:
            names = self._shared_of(group)
            known: dict[Any, State] = {}
            for p in group["params"] if names else ():
                values = self.state.get(p)
                if values is None:
                    continue
                if any(k not in values for k in names):
                    self._complete(group, values)
                # Equal counts are shared again, so that a step still counts once.
                counts = [float(values[k]) for k in names]
                key = (p.device, *counts)
                if key not in known:
                    known[key] = {
                        k: _core.asarray(v, dtype=_f64, device=p.device)
                        for k, v in zip(names, counts, strict=True)
                    }
                values.update(known[key])


def _is(value: Any, dtype: Any) -> bool:
    return isinstance(value, _Tensor) and value.dtype == dtype


def _widen(values: State, dtype: Any) -> State:
    """State of a narrow dtype in float32."""
    return {k: v.to(_f32) if _is(v, dtype) else v for k, v in values.items()}


def is_active(value: Any) -> bool:
    """Whether a hyperparameter has an effect; a scheduled one always may."""
    return isinstance(value, _Tensor) or bool(value)
