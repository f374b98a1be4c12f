"""A timeline of what ran when, on which thread."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import _core

__all__ = ["Profile", "ProfileEvent", "profile"]


@dataclass(frozen=True)
class ProfileEvent:
    """Something that took time on a thread.

    Attributes
    ----------
    category : str
        "kernel"; "pieces" (a share of a kernel of another thread); "task" (a window or other work
        of the engine, kernels included); "plan".
    name : str
        The operations of a kernel.
    thread : str
        Name of the thread.
    start, duration : float
        Seconds, from the beginning of the profile.
    place : str
        Source line and module of a kernel's first operation.

    Examples
    --------
    >>> sn.ProfileEvent("kernel", "matmul", "sennit-1", 0.0, 1e-3, "").name
    'matmul'
    """

    category: str
    name: str
    thread: str
    start: float
    duration: float
    place: str


def _covered(spans: list[tuple[float, float]], depth: int = 1) -> float:
    """Seconds in which at least `depth` of the spans are under way."""
    edges = sorted([(s, 1) for s, _ in spans] + [(e, -1) for _, e in spans])
    total, level, since = 0.0, 0, 0.0
    for at, step in edges:
        before, level = level, level + step
        if before < depth <= level:
            since = at
        elif level < depth <= before:
            total += at - since
    return total


class Profile:
    """What `profile` collected: the events, and what they add up to.

    Attributes
    ----------
    events : list of ProfileEvent
        In the order in which they ended.

    Examples
    --------
    >>> with sn.profile() as p:
    ...     y = (sn.ones((64, 64)) @ sn.ones((64, 64))).sum()
    >>> any("matmul" in e.name for e in p.events)
    True
    """

    def __init__(self) -> None:
        self.events: list[ProfileEvent] = []

    def _working(self) -> dict[str, list[tuple[float, float]]]:
        threads: dict[str, list[tuple[float, float]]] = {}
        for e in self.events:
            if e.category in ("kernel", "pieces"):
                threads.setdefault(e.thread, []).append((e.start, e.start + e.duration))
        return threads

    def busy(self) -> dict[str, float]:
        """Seconds that each thread spent in kernels or in pieces of them.

        Returns
        -------
        dict of str to float

        Examples
        --------
        >>> with sn.profile() as p:
        ...     y = (sn.ones((64, 64)) @ sn.ones((64, 64))).sum()
        >>> sum(p.busy().values()) > 0
        True
        """
        return {thread: _covered(spans) for thread, spans in self._working().items()}

    def overlap(self) -> float:
        """Part of the working time in which at least two threads worked: 0 to 1.

        Returns
        -------
        float

        Examples
        --------
        >>> sn.Profile().overlap()
        0.0
        """
        merged: list[tuple[float, float]] = []
        for spans in self._working().values():
            end = float("-inf")
            for start, stop in sorted(spans):  # one thread's nested events count once
                if stop > end:
                    merged.append((max(start, end), stop))
                    end = stop
        working = _covered(merged)
        return _covered(merged, 2) / working if working else 0.0

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes Chrome's trace event format, which Perfetto and chrome://tracing open.

        Parameters
        ----------
        path : str or path-like
            The file, conventionally ``*.json``.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> with sn.profile() as p:
        ...     y = sn.ones(3).sum()
        >>> folder = tempfile.TemporaryDirectory()
        >>> p.save(pathlib.Path(folder.name) / "trace.json")
        """
        threads = {name: i for i, name in enumerate(dict.fromkeys(e.thread for e in self.events))}
        rows: list[dict[str, Any]] = [
            {"ph": "M", "pid": 1, "tid": i, "name": "thread_name", "args": {"name": name}}
            for name, i in threads.items()
        ]
        rows += [
            {
                "ph": "X",
                "pid": 1,
                "tid": threads[e.thread],
                "cat": e.category,
                "name": e.name or e.category,
                "ts": e.start * 1e6,
                "dur": e.duration * 1e6,
                "args": {"place": e.place},
            }
            for e in self.events
        ]
        from ._files import _write

        text = json.dumps({"traceEvents": rows, "displayTimeUnit": "ms"})
        _write(os.fspath(path), [text.encode()])

    def __repr__(self) -> str:
        kernels: dict[str, list[float]] = {}
        for e in self.events:
            if e.category == "kernel":
                kernels.setdefault(e.name, []).append(e.duration)
        total = sum(sum(times) for times in kernels.values())
        lines = [f"{'seconds':>10} {'part':>6} {'calls':>7}  kernel"]
        for name, times in sorted(kernels.items(), key=lambda row: -sum(row[1]))[:20]:
            lines.append(
                f"{sum(times):10.6f} {100 * sum(times) / max(total, 1e-12):5.1f}% {len(times):>7}  "
                f"{name}"
            )
        lines += [f"{seconds:10.6f} busy: {thread}" for thread, seconds in self.busy().items()]
        lines.append(f"at least two threads at work: {100 * self.overlap():.0f} % of the time")
        return "\n".join(lines)


@contextmanager
def profile() -> Iterator[Profile]:
    """Records when each kernel ran, on which thread, while the program runs as always.

    Unlike `explain`, which runs the kernels of a window in order to time them, this leaves windows
    in the background and independent kernels at the same time.

    Yields
    ------
    Profile
        Filled when the block ends. Printing it gives a table; ``save`` writes a trace to look at.

    Examples
    --------
    >>> with sn.profile() as p:
    ...     y = (sn.ones((64, 64)) @ sn.ones((64, 64))).sum()
    >>> sorted({e.category for e in p.events} & {"kernel"})
    ['kernel']
    """
    result = Profile()
    _core.synchronize()
    _core.start_trace()
    try:
        yield result
        _core.synchronize()
    finally:
        rows = _core.stop_trace()
        first = min((row[3] for row in rows), default=0)
        result.events = [
            ProfileEvent(kind, name, thread, (begin - first) * 1e-9, (end - begin) * 1e-9,
                         place.removeprefix("at "))
            for kind, name, thread, begin, end, place in rows
        ]  # fmt: skip
