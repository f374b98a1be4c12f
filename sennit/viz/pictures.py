"""Curves and grids of images, written as PNG files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _core
from .._errors import error

__all__ = ["curves", "image_grid"]

_GOOD, _BAD, _GREY = "#1b7837", "#b2182b", "#555555"


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as cause:
        raise ImportError(
            "pictures need matplotlib; install it with: pip install 'sennit[viz]'"
        ) from cause
    figure = Figure(figsize=(width, height), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)  # draws to memory: no window, and pyplot's state stays untouched
    return figure


def _array(values: Any) -> Any:
    import numpy as np

    if isinstance(values, _core.Tensor):
        return values.detach().to("cpu").numpy()
    return np.asarray(values)


def curves(
    path: str | os.PathLike[str],
    series: Mapping[str, Sequence[float] | tuple[Sequence[float], Sequence[float]]],
    title: str = "",
    x_label: str = "step",
    y_label: str = "",
    log: bool = False,
) -> None:
    """Draws curves into a PNG file.

    Parameters
    ----------
    path : path
    series : dict of str to values, or to (x, values)
        A curve each; a name that starts with "_" is drawn pale and without legend.
    title, x_label, y_label : str
    log : bool
        Whether the vertical axis is logarithmic.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "loss.png")
    >>> sn.viz.curves(path, {"loss": [3.0, 1.0, 0.5]}, y_label="loss")
    >>> os.path.getsize(path) > 0
    True
    """
    figure = _figure(6.4, 4.0)
    axes = figure.add_subplot()
    for name, given in series.items():
        if isinstance(given, tuple):
            x, y = _array(given[0]), _array(given[1])
        else:
            y = _array(given)
            x = range(1, len(y) + 1)
        if name.startswith("_"):
            axes.plot(x, y, color="#b8c4d6", linewidth=0.8, zorder=1)
        else:
            axes.plot(x, y, label=name, linewidth=1.8, zorder=2)
    if log:
        axes.set_yscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if any(not name.startswith("_") for name in series):
        axes.legend(frameon=False)
    figure.savefig(path)


def image_grid(
    path: str | os.PathLike[str],
    images: Any,
    titles: Sequence[str] | None = None,
    good: Sequence[bool] | None = None,
    columns: int = 5,
    title: str = "",
) -> None:
    """Draws grey images in a grid into a PNG file.

    Parameters
    ----------
    path : path
    images : Tensor or array, (count, height, width) or (count, 1, height, width)
    titles : sequence of str, optional
        One per image.
    good : sequence of bool, optional
        Titles of images that are not good are red, the others green.
    columns : int
    title : str
        Of the whole picture.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "digits.png")
    >>> sn.viz.image_grid(path, sn.zeros((2, 8, 8)), titles=["0", "1"])
    >>> os.path.getsize(path) > 0
    True
    """
    array = _array(images)
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 3 or len(array) == 0:
        raise error(
            _core.ShapeError,
            "image_grid",
            f"the images have shape {array.shape}; (count, height, width) or (count, 1, height, "
            "width) is required",
        )
    rows = -(-len(array) // columns)
    figure = _figure(1.5 * columns, 1.8 * rows + (0.4 if title else 0))
    for i, image in enumerate(array):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.imshow(image, cmap="gray_r", interpolation="nearest")
        axes.set_axis_off()
        if titles is not None:
            color = _GREY if good is None else _GOOD if good[i] else _BAD
            axes.set_title(titles[i], fontsize=9, color=color)
    if title:
        figure.suptitle(title, fontsize=11)
    figure.savefig(path)
