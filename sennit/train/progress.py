"""A live progress bar, or plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

__all__ = ["Progress"]


def _duration(seconds: float) -> str:
    whole = max(int(seconds + 0.5), 0)
    return f"{whole // 60}:{whole % 60:02d}"


class Progress:
    """Shows how far a training is: items per second, time left, and any values.

    With rich on a terminal it is one live line; else a plain line is printed for each epoch.

    Parameters
    ----------
    total : int
        Items (such as images) until the end.
    unit : str
        What an item is called.
    plain : bool, optional
        True prints plain lines even on a terminal.

    Examples
    --------
    >>> with sn.train.Progress(total=128, unit="images", plain=True) as progress:
    ...     progress.advance(64, loss=0.5)
    >>> progress.done
    64
    """

    def __init__(self, total: int, unit: str = "items", plain: bool | None = None) -> None:
        self.total = total
        self.unit = unit
        self.done = 0
        self._values: dict[str, str] = {}
        self._start = time.perf_counter()
        self._live: Any = None
        self._task: Any = None
        if plain is None:
            plain = not sys.stdout.isatty()
        if not plain:
            self._live = self._make_live()

    def _make_live(self) -> Any:
        try:
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar
        except ImportError:
            return None
        return Bar(
            TextColumn("{task.percentage:3.0f}%"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[text]}"),
            TextColumn("time left"),
            TimeRemainingColumn(),
        )

    def __enter__(self) -> Progress:
        self._start = time.perf_counter()
        if self._live is not None:
            self._live.start()
            self._task = self._live.add_task("", total=self.total, text="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def rate(self) -> float:
        """Items per second so far."""
        return self.done / max(time.perf_counter() - self._start, 1e-9)

    def _text(self) -> str:
        shown = [f"{name} {value}" for name, value in self._values.items()]
        return ", ".join([*shown, f"{self.rate:,.0f} {self.unit}/s"])

    def advance(self, count: int, **values: float | str) -> None:
        """Notes that `count` items are done, and the values to show."""
        self.done += count
        for name, value in values.items():
            self._values[name] = value if isinstance(value, str) else f"{float(value):.4f}"
        if self._live is not None:
            self._live.update(self._task, completed=self.done, text=self._text())

    def line(self, text: str) -> None:
        """Prints a line that stays, such as at the end of an epoch.

        Examples
        --------
        >>> progress = sn.train.Progress(total=10, plain=True)
        >>> progress.line("epoch 1")  # doctest: +ELLIPSIS
        epoch 1, 0 items/s, time left ...
        """
        if self._live is not None:
            self._live.console.print(text, highlight=False)
            return
        shown = _duration((self.total - self.done) / self.rate) if self.done else "unknown"
        print(f"{text}, {self.rate:,.0f} {self.unit}/s, time left {shown}", flush=True)
