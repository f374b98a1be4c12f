"""Looking at and steering the machinery: explain, config, threads."""

from __future__ import annotations

from typing import Any

from . import _core
from ._memory import memory

__all__ = [
    "config",
    "device_count",
    "explain",
    "memory",
    "num_threads",
    "set_num_threads",
    "synchronize",
]


def synchronize() -> None:
    """Waits for all that has been recorded or is running, on all devices; raises what failed.

    Examples
    --------
    >>> y = sn.ones(3) + 1
    >>> sn.synchronize()
    """
    _core.synchronize()


def device_count(kind: str = "cpu") -> int:
    """Number of devices of a kind ("cpu", "cuda") in this process.

    Examples
    --------
    >>> sn.device_count() >= 1
    True
    """
    return _core.device_count(kind)


def num_threads() -> int:
    """Threads that work on an operation, the caller included.

    Examples
    --------
    >>> sn.num_threads() >= 1
    True
    """
    return _core.num_threads()


def set_num_threads(count: int) -> None:
    """Sets the number of threads. No result changes by a bit.

    Examples
    --------
    >>> before = sn.num_threads()
    >>> sn.set_num_threads(1)
    >>> sn.set_num_threads(before)
    """
    _core.synchronize()
    _core.set_num_threads(count)


class _Config:
    """Switches, each with a documented default.

    Attributes
    ----------
    window : int
        Most operations recorded before they run; 1 runs op by op (`SENNIT_WINDOW`).
    verify : bool
        Checks every graph and plan with an independent verifier (for tests).
    plan_cache : int
        Most plans kept.
    detect_nan : bool
        Looks for NaN after every operation and raises NumericError, naming operation and line.
    engine : str
        "threaded", or "serial": everything runs in the caller, in order (`SENNIT_ENGINE`).
    matmul_precision : str
        How products of float32 may be computed: "highest" (float32 throughout), "high" ("tf32") or
        "medium" ("bf16"); see `set_float32_matmul_precision`.

    Examples
    --------
    >>> before = sn.config.window
    >>> sn.config.window = 1
    >>> sn.config.window = before
    """

    __slots__ = ("_verify",)

    def __init__(self) -> None:
        self._verify = False

    @property
    def window(self) -> int:
        """Most operations recorded before they run; 1 runs op by op (`SENNIT_WINDOW`)."""
        return _core.window_limit()

    @window.setter
    def window(self, nodes: int) -> None:
        _core.set_window_limit(int(nodes))

    @property
    def verify(self) -> bool:
        """Whether every graph and plan is checked by an independent verifier."""
        return self._verify

    @verify.setter
    def verify(self, on: bool) -> None:
        self._verify = bool(on)
        _core.set_verify_plans(self._verify)

    @property
    def detect_nan(self) -> bool:
        """Whether a NaN that an operation makes raises `NumericError`, with the line of that op."""
        return _core.detect_nan()

    @detect_nan.setter
    def detect_nan(self, on: bool) -> None:
        _core.set_detect_nan(bool(on))

    @property
    def engine(self) -> str:
        """Either "threaded" or "serial": all in the caller, in order (`SENNIT_ENGINE`)."""
        return _core.engine_mode()

    @engine.setter
    def engine(self, mode: str) -> None:
        _core.set_engine_mode(mode)

    @property
    def matmul_precision(self) -> str:
        """How products of float32 may be computed; see `set_float32_matmul_precision`."""
        from ._autocast import get_float32_matmul_precision

        return get_float32_matmul_precision()

    @matmul_precision.setter
    def matmul_precision(self, precision: str) -> None:
        from ._autocast import set_float32_matmul_precision

        set_float32_matmul_precision(precision)

    @property
    def plan_cache(self) -> int:
        """Most plans kept; the least recently used goes first."""
        return _core.plan_cache_stats()["limit"]

    @plan_cache.setter
    def plan_cache(self, plans: int) -> None:
        _core.set_plan_cache_limit(int(plans))


config = _Config()


class _Explanation:
    """What windows did. Printing it gives a table; `windows` holds the figures.

    To be timed, the kernels of a window run in order here. ``windows[i]["order"]`` holds the pairs
    (before, after) of kernels that depend on each other where others run at the same time; it is
    empty where they always run in order.
    """

    def __init__(self, windows: list[dict[str, Any]]) -> None:
        self.windows = windows

    @property
    def kernels(self) -> int:
        """Kernels run, over all windows."""
        return sum(len(w["steps"]) for w in self.windows)

    @property
    def recorded(self) -> int:
        """Operations recorded, over all windows."""
        return sum(w["recorded"] for w in self.windows)

    def __repr__(self) -> str:
        lines = []
        for number, w in enumerate(self.windows):
            plan = "plan found" if w["hit"] else "planned"
            lines.append(
                f"window {number}: {w['recorded']} ops recorded, {len(w['steps'])} kernels, "
                f"{w['run_us']:.1f} us ({plan} in {w['plan_us']:.1f} us), "
                f"arena {w['arena_bytes']:,} bytes"
                + (", independent kernels at the same time" if w["order"] else "")
            )
            for step in w["steps"]:
                ops = step["ops"]
                names = ", ".join(ops[:6]) + (f", ... ({len(ops)} ops)" if len(ops) > 6 else "")
                places = list(dict.fromkeys(s.removeprefix("at ") for s in step["sites"] if s))
                place = places[0] if places else ""
                if len(places) > 1:
                    place += f" and {len(places) - 1} more lines"
                lines.append(
                    f"  {step['us']:9.1f} us  {step['bytes']:>12,} B  {step['kind']:<15} "
                    f"{step['dtype']}{list(step['shape'])}  {names}   {place}"
                )
        return "\n".join(lines) or "nothing was recorded"


class _Explain:
    """Context manager: collects what the windows inside do."""

    def __enter__(self) -> _Explanation:
        _core.synchronize()
        _core.set_reports(10_000)
        _core.clear_reports()
        self._explanation = _Explanation([])
        return self._explanation

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            _core.synchronize()
        self._explanation.windows = _core.reports()
        _core.set_reports(0)


def explain() -> _Explain:
    """Shows what runs: ops recorded, kernels, bytes, and time by kernel with source lines.

    Returns
    -------
    context manager
        Its value prints as a table after the block; ``.windows`` holds the figures, ``.kernels``
        and ``.recorded`` the totals.

    Examples
    --------
    >>> x = sn.ones(4)
    >>> with sn.explain() as e:
    ...     y = sn.exp(x) * 2 + 1
    >>> e.recorded, e.kernels
    (3, 1)
    """
    return _Explain()
