"""Schedules: numbers that are pure functions of the step.

Any hyperparameter of any optimizer may be one: ``AdamW(params, lr=schedule.cosine(1e-3, 1000))``.
The optimizer evaluates it inside the window of the step, at its own count of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .. import _core
from .._errors import error

__all__ = [
    "Schedule",
    "constant",
    "cosine",
    "cosine_restarts",
    "cyclic",
    "exponential",
    "from_function",
    "join",
    "linear",
    "multi_step",
    "noam",
    "one_cycle",
    "polynomial",
    "product",
    "step",
    "warmup",
    "wsd",
]

_f = _core.functions
_where, _cos, _floor, _log, _pow = _f["where"], _f["cos"], _f["floor"], _f["log"], _f["pow"]
_minimum, _maximum, _sqrt = _f["minimum"], _f["maximum"], _f["sqrt"]
_f64 = _core.float64
_BLOCK = 256  # steps evaluated at once for calls with an int


class Schedule:
    """A number that depends on the step alone.

    Called with an int, it returns a float; with a tensor of steps, the numbers as a float64 tensor
    of the same shape. Both have the same bits on every machine: they come from the core's
    functions. Schedules can be added and multiplied with numbers and with one another.

    Parameters
    ----------
    at : callable
        From a float64 tensor of steps to a tensor of the same shape.
    text : str
        How it prints.

    Examples
    --------
    >>> s = sn.optim.schedule.linear(1.0, 0.0, 4)
    >>> [s(k) for k in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    >>> (2 * s)(1)
    1.5
    >>> s(sn.tensor([0.0, 2.0])).tolist()
    [1.0, 0.5]
    """

    def __init__(self, at: Callable[[Any], Any], text: str = "Schedule(...)") -> None:
        self._at = at
        self._text = text
        self._blocks: dict[int, list[float]] = {}

    def __call__(self, step: Any) -> Any:
        if isinstance(step, _core.Tensor):
            return self._at(step.to(_f64))
        if step < 0:
            raise error(_core.InvalidValue, "schedule", f"the step is {step}; it must be 0 or more")
        if step != int(step):
            return float(self._at(_core.asarray(float(step), dtype=_f64)))
        # Reading a tensor waits for what runs: once for many steps.
        block, at = divmod(int(step), _BLOCK)
        values = self._blocks.get(block)
        if values is None:
            steps = _f["arange"](block * _BLOCK, (block + 1) * _BLOCK, dtype=_f64)
            values = self._at(steps).tolist()
            if len(self._blocks) > 64:
                self._blocks.clear()
            self._blocks[block] = values
        return values[at]

    def __mul__(self, other: Schedule | float) -> Schedule:
        return _combine(self, other, "*", lambda a, b: a * b)

    def __add__(self, other: Schedule | float) -> Schedule:
        return _combine(self, other, "+", lambda a, b: a + b)

    __rmul__ = __mul__
    __radd__ = __add__

    def __repr__(self) -> str:
        return self._text


def _combine(
    a: Schedule, other: Schedule | float, sign: str, apply: Callable[[Any, Any], Any]
) -> Schedule:
    b = other if isinstance(other, Schedule) else constant(other)
    return Schedule(lambda t: apply(a._at(t), b._at(t)), f"({a} {sign} {b})")


def _positive(op: str, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise error(
                _core.InvalidValue,
                f"schedule.{op}",
                f"{name} is {value}; it must be more than 0",
            )


def _half_cosine(part: Any) -> Any:
    """From 1 at part = 0 to 0 at part = 1, along a cosine."""
    return 0.5 * (1.0 + _cos(math.pi * part))


def constant(value: float) -> Schedule:
    """The same number at every step.

    Examples
    --------
    >>> sn.optim.schedule.constant(0.5)(100)
    0.5
    """
    return Schedule(lambda t: _f["full_like"](t, float(value)), f"constant({value})")


def step(value: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """`value`, times `gamma` after every `step_size` steps.

    Examples
    --------
    >>> s = sn.optim.schedule.step(1.0, 2, gamma=0.5)
    >>> [s(k) for k in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    _positive("step", step_size=step_size)
    return Schedule(
        lambda t: value * _pow(float(gamma), _floor(t / step_size)),
        f"step({value}, {step_size}, {gamma})",
    )


def multi_step(value: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """`value`, times `gamma` from each of the `milestones` on.

    Examples
    --------
    >>> s = sn.optim.schedule.multi_step(1.0, [1, 3], gamma=0.5)
    >>> [s(k) for k in range(5)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """
    marks = sorted(milestones)

    def at(t: Any) -> Any:
        passed = 0.0 * t
        for mark in marks:
            passed = passed + (t >= mark).to(_f64)
        return value * _pow(float(gamma), passed)

    return Schedule(at, f"multi_step({value}, {marks}, {gamma})")


def exponential(value: float, gamma: float) -> Schedule:
    """`value`, times `gamma` after each step.

    Examples
    --------
    >>> sn.optim.schedule.exponential(1.0, 0.5)(3)
    0.125
    """
    return Schedule(lambda t: value * _pow(float(gamma), t), f"exponential({value}, {gamma})")


def linear(start: float, end: float, steps: int) -> Schedule:
    """From `start` to `end` in a straight line of `steps` steps; `end` from then on.

    Examples
    --------
    >>> s = sn.optim.schedule.linear(0.0, 1.0, 4)
    >>> [s(k) for k in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    """
    _positive("linear", steps=steps)
    return Schedule(
        lambda t: start + (end - start) * (_minimum(t, float(steps)) / steps),
        f"linear({start}, {end}, {steps})",
    )


def warmup(schedule: Schedule | float, steps: int, start: float = 0.0) -> Schedule:
    """Rises in a straight line from `start` for `steps` steps, then follows `schedule`.

    Parameters
    ----------
    schedule : Schedule or float
        What follows; its own step 0 is the step after the warm-up.
    steps : int
        Length of the warm-up.
    start : float
        The number at step 0.

    References
    ----------
    Goyal et al., "Accurate, Large Minibatch SGD", 2017.

    Examples
    --------
    >>> s = sn.optim.schedule.warmup(sn.optim.schedule.exponential(1.0, 0.5), 2)
    >>> [s(k) for k in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
    """
    after = schedule if isinstance(schedule, Schedule) else constant(schedule)
    return join([linear(start, after(0), steps), after], [steps])


def polynomial(value: float, steps: int, power: float = 1.0, end: float = 0.0) -> Schedule:
    """From `value` to `end` in `steps` steps, as ``(1 - step / steps) ** power``.

    Examples
    --------
    >>> s = sn.optim.schedule.polynomial(1.0, 4, power=2.0)
    >>> [s(k) for k in range(6)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """
    _positive("polynomial", steps=steps)
    return Schedule(
        lambda t: end + (value - end) * _pow(1.0 - _minimum(t, float(steps)) / steps, float(power)),
        f"polynomial({value}, {steps}, {power}, {end})",
    )


def cosine(value: float, steps: int, end: float = 0.0, periodic: bool = False) -> Schedule:
    """From `value` to `end` in `steps` steps, along half a cosine.

    Parameters
    ----------
    value, end : float
        The numbers at step 0 and at step `steps`.
    steps : int
        Length of the way down.
    periodic : bool
        Whether it goes up and down again afterwards, instead of staying at `end`.

    References
    ----------
    Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016.

    Examples
    --------
    >>> s = sn.optim.schedule.cosine(1.0, 4)
    >>> [round(s(k), 3) for k in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    _positive("cosine", steps=steps)

    def at(t: Any) -> Any:
        until = t if periodic else _minimum(t, float(steps))
        return end + (value - end) * _half_cosine(until / steps)

    return Schedule(at, f"cosine({value}, {steps}, {end}, periodic={periodic})")


def cosine_restarts(value: float, period: int, factor: int = 1, end: float = 0.0) -> Schedule:
    """Half cosines from `value` to `end`, one after the other.

    Parameters
    ----------
    value, end : float
        Where each half cosine starts, and what it goes to.
    period : int
        Length of the first.
    factor : int
        How many times longer than the one before each next one is.

    References
    ----------
    Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016.

    Examples
    --------
    >>> s = sn.optim.schedule.cosine_restarts(1.0, 2, factor=2)
    >>> [round(s(k), 3) for k in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """
    _positive("cosine_restarts", period=period)
    if factor < 1 or factor != int(factor):
        raise error(
            _core.InvalidValue,
            "schedule.cosine_restarts",
            f"factor is {factor}; it must be a whole number, 1 or more",
        )

    def at(t: Any) -> Any:
        if factor == 1:
            start, length = _floor(t / period) * period, period
        else:
            # The logarithm may be off by a place just at a restart: look one further on both sides.
            def first(n: Any) -> Any:
                return period * (_pow(float(factor), n) - 1.0) / (factor - 1)

            n = _floor(_log(t * (factor - 1) / period + 1.0) / _log(_f["full_like"](t, factor)))
            n = _where(first(n) > t, n - 1.0, n)
            n = _where(first(n + 1.0) <= t, n + 1.0, n)
            start, length = first(n), period * _pow(float(factor), n)
        return end + (value - end) * _half_cosine((t - start) / length)

    return Schedule(at, f"cosine_restarts({value}, {period}, {factor}, {end})")


def one_cycle(
    max_value: float,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    initial: float | None = None,
    final: float | None = None,
    three_phase: bool = False,
) -> Schedule:
    """Up to `max_value`, and down to almost nothing.

    Parameters
    ----------
    max_value : float
        The number at the top.
    total_steps : int
        Length of all of it; `final` from then on.
    pct_start : float
        The part of the steps that goes up.
    anneal_strategy : {"cos", "linear"}
        How it goes.
    initial : float, optional
        The number at step 0; ``max_value / 25`` by default.
    final : float, optional
        The last number; ``initial / 10000`` by default.
    three_phase : bool
        Whether it goes down to `initial` as it came, and to `final` only then.

    References
    ----------
    Smith, Topin, "Super-Convergence", 2017.

    Examples
    --------
    >>> s = sn.optim.schedule.one_cycle(1.0, 11, pct_start=0.5, anneal_strategy="linear",
    ...                                 initial=0.1, final=0.0)
    >>> [round(s(k), 2) for k in (0, 4, 5, 10)]
    [0.1, 0.9, 0.91, 0.0]
    """
    _positive("one_cycle", total_steps=total_steps)
    if not 0 <= pct_start <= 1 or anneal_strategy not in ("cos", "linear"):
        raise error(
            _core.InvalidValue,
            "schedule.one_cycle",
            f"pct_start is {pct_start} and anneal_strategy {anneal_strategy!r}; they must be in "
            "[0, 1], and 'cos' or 'linear'",
        )
    low = max_value / 25.0 if initial is None else initial
    last = low / 1e4 if final is None else final
    top = float(pct_start * total_steps) - 1.0
    ends = [top, 2.0 * top, total_steps - 1.0] if three_phase else [top, total_steps - 1.0]
    levels = [low, max_value, low, last] if three_phase else [low, max_value, last]

    def at(t: Any) -> Any:
        result, start = None, 0.0
        for k, until in enumerate(ends):
            # A phase may be empty (pct_start of 0 or 1): it is never looked at then.
            part = _minimum((t - start) / (until - start if until != start else 1.0), 1.0)
            a, b = levels[k], levels[k + 1]
            here = (
                b + (a - b) * _half_cosine(part) if anneal_strategy == "cos" else a + (b - a) * part
            )
            result = here if result is None else _where(t > start, here, result)
            start = until
        return result

    return Schedule(at, f"one_cycle({max_value}, {total_steps}, {pct_start}, ...)")


def cyclic(
    base: float,
    max_value: float,
    steps_up: int = 2000,
    steps_down: int | None = None,
    mode: str = "triangular",
    gamma: float = 1.0,
) -> Schedule:
    """Up and down between two numbers, again and again.

    Parameters
    ----------
    base, max_value : float
        The lowest and the highest number.
    steps_up, steps_down : int
        Length of the way up and of the way down (as long as the way up, by default).
    mode : {"triangular", "triangular2", "exp_range"}
        Cycles of the same height, each half as high as the one before, or lower by `gamma` at
        every step.
    gamma : float
        For "exp_range".

    References
    ----------
    Smith, "Cyclical Learning Rates for Training Neural Networks", 2015.

    Examples
    --------
    >>> s = sn.optim.schedule.cyclic(0.0, 1.0, 2)
    >>> [s(k) for k in range(6)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]
    """
    down = steps_up if steps_down is None else steps_down
    _positive("cyclic", steps_up=steps_up, steps_down=down)
    if mode not in ("triangular", "triangular2", "exp_range"):
        raise error(
            _core.InvalidValue,
            "schedule.cyclic",
            f"mode is {mode!r}; it must be 'triangular', 'triangular2' or 'exp_range'",
        )
    total = steps_up + down

    def at(t: Any) -> Any:
        cycle = _floor(t / total)
        x = t - cycle * total
        height = _where(x <= steps_up, x / steps_up, (total - x) / down) * (max_value - base)
        if mode == "triangular2":
            height = height * _pow(0.5, cycle)
        elif mode == "exp_range":
            height = height * _pow(float(gamma), t)
        return base + height

    return Schedule(at, f"cyclic({base}, {max_value}, {steps_up}, {down}, {mode!r}, {gamma})")


def wsd(
    value: float,
    warmup_steps: int,
    stable_steps: int,
    decay_steps: int,
    start: float = 0.0,
    end: float = 0.0,
    shape: str = "linear",
) -> Schedule:
    """Warm-up, a long stable stretch, and a decay.

    Parameters
    ----------
    value : float
        The number of the stable stretch.
    warmup_steps, stable_steps, decay_steps : int
        How long each stretch is; the first two may be 0.
    start, end : float
        The first number and the last.
    shape : {"linear", "cosine", "sqrt"}
        How it decays; "sqrt" is ``1 - sqrt(part)``.

    References
    ----------
    Hu et al., "MiniCPM", 2024; Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond
    Fixed Training Durations", 2024.

    Examples
    --------
    >>> s = sn.optim.schedule.wsd(1.0, 2, 3, 2)
    >>> [s(k) for k in range(9)]
    [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    _positive("wsd", decay_steps=decay_steps)
    falls: dict[str, Callable[[Any], Any]] = {
        "linear": lambda part: 1.0 - part,
        "cosine": _half_cosine,
        "sqrt": lambda part: 1.0 - _sqrt(part),
    }
    if shape not in falls or warmup_steps < 0 or stable_steps < 0:
        raise error(
            _core.InvalidValue,
            "schedule.wsd",
            f"shape is {shape!r}, warmup_steps {warmup_steps} and stable_steps {stable_steps}; "
            f"they must be one of {', '.join(map(repr, falls))}, and 0 or more",
        )
    fall = falls[shape]

    def at(t: Any) -> Any:
        part = (t - float(warmup_steps + stable_steps)) / decay_steps
        part = _minimum(_maximum(part, 0.0), 1.0)
        result = end + (value - end) * fall(part)
        if not warmup_steps:
            return result
        return _where(t < warmup_steps, start + (value - start) * (t / warmup_steps), result)

    return Schedule(
        at, f"wsd({value}, {warmup_steps}, {stable_steps}, {decay_steps}, shape={shape!r})"
    )


def noam(d_model: int, warmup_steps: int, factor: float = 1.0) -> Schedule:
    """The schedule of the first Transformer: up in a line, down with one over the square root.

    Its first step counts as 1: ``factor * d_model**-0.5 * min(s**-0.5, s * warmup_steps**-1.5)``
    with ``s = step + 1``.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", 2017.

    Examples
    --------
    >>> s = sn.optim.schedule.noam(4, 4)
    >>> s(0), s(3), s(15)
    (0.0625, 0.25, 0.125)
    """
    _positive("noam", d_model=d_model, warmup_steps=warmup_steps)
    # Square roots are exactly rounded everywhere.
    scale = factor / math.sqrt(d_model)
    slope = 1.0 / (warmup_steps * math.sqrt(warmup_steps))

    def at(t: Any) -> Any:
        s = t + 1.0
        return scale * _minimum(1.0 / _sqrt(s), s * slope)

    return Schedule(at, f"noam({d_model}, {warmup_steps}, {factor})")


def join(schedules: Sequence[Schedule | float], milestones: Sequence[int]) -> Schedule:
    """One schedule after the other; each counts from its own beginning.

    Parameters
    ----------
    schedules : sequence of Schedule or float
    milestones : sequence of int
        The steps at which the second, the third, … begin.

    Examples
    --------
    >>> schedule = sn.optim.schedule
    >>> s = schedule.join([schedule.constant(1.0), schedule.linear(0.5, 0.0, 2)], [2])
    >>> [s(k) for k in range(5)]
    [1.0, 1.0, 0.5, 0.25, 0.0]
    """
    parts = [s if isinstance(s, Schedule) else constant(s) for s in schedules]
    marks = list(milestones)
    if len(marks) + 1 != len(parts) or marks != sorted(marks):
        raise error(
            _core.InvalidValue,
            "schedule.join",
            f"there are {len(parts)} schedules and the milestones {marks}; there must be one "
            "milestone fewer than schedules, in ascending order",
        )

    def at(t: Any) -> Any:
        result = parts[0]._at(t)
        for mark, part in zip(marks, parts[1:], strict=True):
            result = _where(t >= mark, part._at(_maximum(t - float(mark), 0.0)), result)
        return result

    return Schedule(at, f"join({parts}, {marks})")


def product(schedules: Sequence[Schedule | float]) -> Schedule:
    """Several schedules multiplied: what "chained" means for factors.

    Examples
    --------
    >>> schedule = sn.optim.schedule
    >>> schedule.product([schedule.exponential(1.0, 0.5), schedule.constant(3.0)])(1)
    1.5
    """
    result = constant(1.0)
    for each in schedules:
        result = result * each
    return result


def from_function(function: Callable[[int], float]) -> Schedule:
    """A schedule from any function of the step.

    The function is called with an int, so an optimizer has to read its count first: that waits for
    the step before. The other schedules need not.

    Examples
    --------
    >>> s = sn.optim.schedule.from_function(lambda step: 1.0 if step < 2 else 0.5)
    >>> [s(k) for k in range(4)]
    [1.0, 1.0, 0.5, 0.5]
    """

    def at(t: Any) -> Any:
        values = [float(function(int(k))) for k in t.reshape(-1).tolist()]
        return _core.asarray(values, dtype=_f64).reshape(t.shape)

    return Schedule(at, f"from_function({function!r})")
