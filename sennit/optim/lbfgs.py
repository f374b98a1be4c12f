"""L-BFGS, with a line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .. import _core
from .._errors import error
from ..autograd import no_grad
from .optimizer import Optimizer, Params, is_number, need, not_negative

__all__ = ["LBFGS"]

_f = _core.functions
_concat, _sum, _abs, _zeros_like = _f["concat"], _f["sum"], _f["abs"], _f["zeros_like"]
_pairs, _joined = _f["view_as_real"], _f["view_as_complex"]

Point = tuple[float, Any, float]  # loss, flat gradient, slope along the direction


class LBFGS(Optimizer):
    """L-BFGS: steps by an approximate inverse of the second derivative, from recent gradients.

    A step evaluates the closure several times, and waits for each loss. For problems whose loss is
    computed on all data.

    Parameters
    ----------
    params : iterable of Tensor
        Parameters; one group. Complex ones count as the pairs of their parts, as in PyTorch.
    lr : float
        Length of a step, or of the first one that the line search tries.
    max_iter : int
        Most iterations in a step.
    max_eval : int, optional
        Most evaluations in a step; ``max_iter * 5 / 4`` by default.
    tolerance_grad : float
        Stops when no element of the gradient is larger.
    tolerance_change : float
        Stops when loss and parameters change by less.
    history_size : int
        How many differences of gradients are remembered.
    line_search_fn : {"strong_wolfe"}, optional
        How the length of a step is found; none by default, as in PyTorch.

    Raises
    ------
    InvalidValue
        When there are several groups, or `step` is called without a closure.

    References
    ----------
    Nocedal, Wright, "Numerical Optimization", 2nd edition, algorithms 7.4, 3.5 and 3.6.

    Examples
    --------
    >>> w = sn.tensor([-1.0, 2.0], requires_grad=True)
    >>> optimizer = sn.optim.LBFGS([w], line_search_fn="strong_wolfe", max_iter=50)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> [round(v, 3) for v in w.tolist()]
    [1.0, 1.0]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        need(self, is_number(lr), "lr", lr, "a number: a step has many iterations")
        not_negative(self, lr=lr, tolerance_grad=tolerance_grad, tolerance_change=tolerance_change)
        need(self, max_iter >= 1, "max_iter", max_iter, "1 or more")
        need(self, history_size >= 1, "history_size", history_size, "1 or more")
        known = (None, "strong_wolfe")
        need(self, line_search_fn in known, "line_search_fn", line_search_fn, f"one of {known}")
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        need(self, not self.param_groups, "the number of groups", 2, "1")
        super().add_param_group(param_group)

    add_param_group.__doc__ = Optimizer.add_param_group.__doc__

    def _state_shape(self, name: str, p: _core.Tensor) -> tuple[int, ...]:
        return (sum(_numbers(q) for q in self.param_groups[0]["params"]),)

    def state_dict(self) -> dict[str, Any]:
        made = super().state_dict()
        for values in made["state"].values():
            for name in ("old_dirs", "old_stps"):
                values[name] = [v.detach() for v in values[name]]
            values["ro"] = list(values["ro"])
        return made

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for values in self.state.values():
            for name in ("old_dirs", "old_stps", "ro"):
                values[name] = list(values.get(name, []))

    state_dict.__doc__ = Optimizer.state_dict.__doc__
    load_state_dict.__doc__ = Optimizer.load_state_dict.__doc__

    # ---- the parameters as one vector

    def _parts(self) -> list[Any]:
        return self.param_groups[0]["params"]  # type: ignore[no-any-return]

    def _flat_gradient(self) -> Any:
        parts = [_zeros_like(p) if p.grad is None else p.grad for p in self._parts()]
        parts = [_pairs(g) if g.dtype.is_complex else g for g in parts]
        return _concat([g.reshape(-1) for g in parts], 0)

    def _move(self, origin: list[Any], t: float, d: Any) -> None:
        """Puts the parameters at ``origin + t * d``."""
        at = 0
        with no_grad():
            for p, start in zip(self._parts(), origin, strict=True):
                part = d[at : at + _numbers(p)]
                at += _numbers(p)
                if p.dtype.is_complex:
                    part = _joined(part.astype(p.dtype.to_real).reshape(*p.shape, 2))
                p.assign_((start + part.reshape(p.shape) * t).to(p.dtype))

    def _measure(self, closure: Callable[[], Any]) -> tuple[float, Any]:
        loss = float(self._evaluate(closure))
        with no_grad():
            return loss, self._flat_gradient().detach()

    # ---- the direction

    @staticmethod
    def _direction(values: dict[str, Any], g: Any) -> Any:
        """``-H @ g``: the two loops over what is remembered."""
        changes, moves, ro = values["old_dirs"], values["old_stps"], values["ro"]
        q = -g
        weights: list[Any] = []
        for y, s, r in reversed(list(zip(changes, moves, ro, strict=True))):
            weight = _sum(s * q) * r
            weights.append(weight)
            q = q - y * weight
        q = q * values["H_diag"]
        for y, s, r in zip(changes, moves, ro, strict=True):
            q = q + s * (weights.pop() - _sum(y * q) * r)
        return q

    @staticmethod
    def _remember(values: dict[str, Any], y: Any, s: Any, size: int) -> None:
        """Adds a pair of differences, if the function curves upwards there."""
        curvature = float(_sum(y * s))
        if curvature > 1e-10:
            for name, value in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / curvature)):
                values[name].append(value)
                del values[name][:-size]
            values["H_diag"] = curvature / float(_sum(y * y))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Runs up to `max_iter` iterations.

        Parameters
        ----------
        closure : callable
            Clears the gradients, computes the loss and the gradients, and returns the loss.

        Returns
        -------
        Tensor
            The loss before the step.
        """
        if closure is None:
            raise error(
                _core.InvalidValue,
                "LBFGS.step",
                "there is no closure; pass a function that clears the gradients, computes the "
                "loss, calls backward() and returns the loss",
            )
        group = self.param_groups[0]
        parts, owner = self._parts(), self._parts()[0]
        points = [p.detach() for p in parts]
        known = self.state.get(owner)
        kept = known and {k: list(v) if isinstance(v, list) else v for k, v in known.items()}
        try:
            first = self._evaluate(closure)
            with no_grad():
                self._iterate(closure, group, float(first))
        except BaseException:
            # Nothing is left of a step that fails: not the point where it was, not its history.
            for p, point in zip(parts, points, strict=True):
                p.assign_(point)
            self.state.pop(owner, None)
            if kept:
                self.state[owner] = kept
            raise
        _core.release_consumed()
        _core.flush()
        return first

    def _iterate(self, closure: Callable[[], Any], group: dict[str, Any], loss: float) -> None:
        g = self._flat_gradient().detach()
        values = self.state.setdefault(
            self._parts()[0],
            {"func_evals": 0, "n_iter": 0, "old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1.0},
        )
        values["func_evals"] += 1
        evaluations, tolerance = 1, group["tolerance_change"]
        if _largest(g) <= group["tolerance_grad"]:
            return
        for iteration in range(1, group["max_iter"] + 1):
            values["n_iter"] += 1
            if values["n_iter"] == 1:
                d = -g
                t = min(1.0, 1.0 / float(_sum(_abs(g)))) * group["lr"]
            else:
                change = g - values["prev_flat_grad"]
                moved = values["d"] * values["t"]
                self._remember(values, change, moved, group["history_size"])
                d, t = self._direction(values, g), float(group["lr"])
            d = d.detach()
            slope = float(_sum(g * d))
            values["d"], values["prev_flat_grad"], before = d, g, loss
            if slope > -tolerance:
                values["t"] = t
                return
            count = 0
            if group["line_search_fn"] is not None:
                t, (loss, g, _), count = self._search(closure, t, d, (loss, g, slope), tolerance)
            else:
                self._move([p.detach() for p in self._parts()], t, d)
                if iteration < group["max_iter"]:
                    loss, g = self._measure(closure)
                    count = 1
            values["t"] = t
            evaluations += count
            values["func_evals"] += count
            if (
                evaluations >= group["max_eval"]
                or _largest(g) <= group["tolerance_grad"]
                or _largest(d) * t <= tolerance
                or abs(loss - before) < tolerance
                or not math.isfinite(loss)
            ):
                return

    def _search(
        self, closure: Callable[[], Any], t: float, d: Any, start: Point, tolerance: float
    ) -> tuple[float, Point, int]:
        """A length with the strong Wolfe conditions; leaves the parameters there."""
        origin = [p.detach() for p in self._parts()]

        def measure(length: float) -> Point:
            self._move(origin, length, d)
            loss, g = self._measure(closure)
            return loss, g, float(_sum(g * d))

        t, point, count = strong_wolfe(measure, t, start, _largest(d), tolerance)
        self._move(origin, t, d)
        return t, point, count


def _numbers(p: _core.Tensor) -> int:
    return p.size * 2 if p.dtype.is_complex else p.size


def _largest(x: Any) -> float:
    return float(_abs(x).max()) if x.size else 0.0


def _cubic(a: tuple[float, Point], b: tuple[float, Point], low: float, high: float) -> float:
    """The minimum, in [low, high], of the cubic through two points with their slopes."""
    (x1, (f1, _, g1)), (x2, (f2, _, g2)) = (a, b) if a[0] <= b[0] else (b, a)
    middle = (low + high) / 2.0
    if x1 == x2:
        return middle
    d1 = g1 + g2 - 3.0 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if not square >= 0.0:
        return middle
    d2 = math.sqrt(square)
    under = g2 - g1 + 2.0 * d2
    if under == 0.0:
        return middle
    return min(max(x2 - (x2 - x1) * ((g2 + d2 - d1) / under), low), high)


def strong_wolfe(
    measure: Callable[[float], Point],
    t: float,
    start: Point,
    scale: float,
    tolerance: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    most: int = 25,
) -> tuple[float, Point, int]:
    """Finds a length where the loss has fallen enough and the slope is flat enough.

    `measure` gives loss, gradient and slope at a length; `start` is that at 0. Returns the length,
    what was measured there, and the number of measurements.
    """
    loss, _, slope = start
    zero = (0.0, start)

    def enough(x: float, point: Point) -> bool:
        return point[0] <= loss + c1 * x * slope

    # First, an interval that holds such a length.
    before, here = zero, (t, measure(t))
    count = 1
    low = high = None
    while count <= most:
        x, point = here
        if not math.isfinite(point[0]):
            # Over the edge of where the loss is finite: back half the way.
            here = ((before[0] + x) / 2.0, measure((before[0] + x) / 2.0))
            count += 1
            continue
        if not enough(x, point) or (count > 1 and point[0] >= before[1][0]):
            low, high = before, here
            break
        if abs(point[2]) <= -c2 * slope:
            return x, point, count
        if point[2] >= 0.0:
            low, high = here, before
            break
        least, greatest = x + 0.01 * (x - before[0]), x * 10.0
        x = _cubic(before, here, least, greatest)
        before, here = here, (x, measure(x))
        count += 1
    if low is None or high is None:
        best = here if here[1][0] <= loss else zero
        return best[0], best[1], count
    # Then the interval shrinks; `low` is the end with the smaller loss.
    if high[1][0] < low[1][0] and enough(*high):
        low, high = high, low
    stuck = False
    while count < most:
        left, right = min(low[0], high[0]), max(low[0], high[0])
        if (right - left) * scale < tolerance:
            break
        x = _cubic(low, high, left, right)
        # Away from the ends, or the interval would not shrink.
        margin = 0.1 * (right - left)
        if min(right - x, x - left) < margin:
            if stuck or x >= right or x <= left:
                x = right - margin if abs(x - right) < abs(x - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        point = measure(x)
        count += 1
        if not enough(x, point) or point[0] >= low[1][0]:
            high = (x, point)
        else:
            if abs(point[2]) <= -c2 * slope:
                return x, point, count
            if point[2] * (high[0] - low[0]) >= 0.0:
                high = low
            low = (x, point)
    return low[0], low[1], count
