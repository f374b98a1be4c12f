"""The memory plan of a graph as a picture: which part of the arena holds a value, and how long."""

from __future__ import annotations

import os
from html import escape

from .._core import InvalidType, InvalidValue
from .._errors import error
from .._graph import Graph, MemoryPlan
from .drawing import size_text

__all__ = ["plan"]

_STYLE = """
:root { --paper: #ffffff; --ink: #1c2330; --soft: #5b6675; --grid: #e3e8ee; --edge: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161d; --ink: #e7ecf3; --soft: #9aa7b8;
  --grid: #262e3a; --edge: #12161d; } }
text { font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
.soft { fill: var(--soft); font-size: 11px; }
.title { font-size: 15px; font-weight: 600; }
.grid { stroke: var(--grid); }
.value { stroke: var(--edge); stroke-width: 1; }
.value:hover, .value:focus { opacity: .7; outline: none; stroke: var(--ink); }
.inside { fill: #ffffff; font-size: 10.5px; pointer-events: none; }
.used { fill: none; stroke: var(--ink); stroke-width: 1.6; stroke-dasharray: 5 4; }
"""
# Of one lightness, so that neighbours differ by hue alone.
_COLORS = ("#3d76b8", "#c7733b", "#3f8f5c", "#8a63b3", "#b5545f", "#5a7d8c", "#a0803a", "#4f6fc9")
_WIDTH, _HEIGHT = 900.0, 420.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 86.0, 74.0, 24.0, 56.0


def _steps(most: float, count: int, binary: bool) -> list[float]:
    """Round numbers from 0 to `most`, about `count` of them."""
    if most <= 0:
        return [0.0]
    base = 2.0 if binary else 10.0
    step = 1.0
    while most / step > count * (base if binary else 5):
        step *= base
    for factor in (1, 2, 4, 8) if binary else (1, 2, 5, 10):
        if most / (step * factor) <= count:
            step *= factor
            break
    return [k * step for k in range(int(most / step) + 1)]


def _live(plan: MemoryPlan) -> list[int]:
    """Bytes of the arena that hold a value, by kernel."""
    change = [0] * (plan.kernels + 2)
    for _, size, first, last in plan.lifetimes:
        change[first] += size
        change[min(last, plan.kernels) + 1] -= size
    live, total = [], 0
    for k in range(max(plan.kernels, 1)):
        total += change[k]
        live.append(total)
    return live


def _svg(name: str, plan: MemoryPlan) -> str:
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    kernels, arena = max(plan.kernels, 1), max(plan.arena, 1)

    def x(kernel: float) -> float:
        return _LEFT + wide * kernel / kernels

    def y(offset: float) -> float:
        return _TOP + high * (1 - offset / arena)

    live = _live(plan)
    saved = 1 - plan.arena / plan.unplanned if plan.unplanned else 0.0
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" '
        f'viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" '
        f'aria-label="memory plan of {escape(name, quote=True)}">',
        f"<style>{_STYLE}</style>",
        '<rect width="100%" height="100%" style="fill: var(--paper)"/>',
        f'<text class="title" x="{_LEFT}" y="28">{escape(name)}: memory of one call</text>',
        f'<text class="soft" x="{_LEFT}" y="48">arena {size_text(plan.arena)} for '
        f"{len(plan.lifetimes)} values, which would take {size_text(plan.unplanned)} side by side "
        f"({100 * saved:.0f} % saved) · results {size_text(plan.outputs)} · parameters "
        f"{size_text(plan.parameters)} · {plan.kernels} kernels</text>",
    ]
    for offset in _steps(arena, 6, binary=True):
        out.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(offset):.1f}" '
            f'y2="{y(offset):.1f}"/><text class="soft" x="{_LEFT - 8}" y="{y(offset) + 4:.1f}" '
            f'text-anchor="end">{size_text(offset)}</text>'
        )
    for kernel in _steps(kernels, 12, binary=False):
        if kernel < kernels:
            out.append(
                f'<text class="soft" x="{x(kernel + 0.5):.1f}" y="{_HEIGHT - _BOTTOM + 18:.1f}" '
                f'text-anchor="middle">{kernel:.0f}</text>'
            )
    for k, (offset, size, first, last) in enumerate(plan.lifetimes):
        last = min(last, kernels - 1)
        w, h = x(last + 1) - x(first), high * size / arena
        runs = f"kernel {first}" if first == last else f"kernels {first} to {last}"
        tip = f"{size:,} bytes at {offset:,}, {runs}"
        out.append(
            f'<rect class="value" tabindex="0" x="{x(first):.1f}" y="{y(offset + size):.1f}" '
            f'width="{w:.1f}" height="{max(h, 0.5):.1f}" rx="2" fill="{_COLORS[k % len(_COLORS)]}">'
            f"<title>{tip}</title></rect>"
        )
        text = size_text(size)
        if w > 6.4 * len(text) + 6 and h > 15:
            out.append(
                f'<text class="inside" x="{x(first) + w / 2:.1f}" '
                f'y="{y(offset + size / 2) + 4:.1f}" text-anchor="middle">{text}</text>'
            )
    path = f"M{x(0):.1f},{y(0):.1f}"
    for kernel, used in enumerate(live):
        path += f"V{y(used):.1f}H{x(kernel + 1):.1f}"
    out.append(f'<path class="used" d="{path}"><title>bytes in use</title></path>')
    out.append(
        f'<text class="soft" x="{_LEFT + wide / 2:.1f}" y="{_HEIGHT - 16:.1f}" '
        'text-anchor="middle">kernel, in the order in which they start '
        "(dashed: bytes in use)</text>"
    )
    out.append(
        f'<text class="soft" transform="translate(18 {_TOP + high / 2:.1f}) rotate(-90)" '
        'text-anchor="middle">place in the arena</text>'
    )
    return "\n".join([*out, "</svg>\n"])


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ --paper: #ffffff; --ink: #1c2330; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #12161d; --ink: #e7ecf3; }} }}
body {{ margin: 0; padding: 16px; background: var(--paper); color: var(--ink);
  font: 13px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }}
svg {{ width: 100%; max-width: 1400px; height: auto; display: block; margin: 0 auto; }}
#said {{ max-width: 1400px; margin: 8px auto 0; min-height: 1.4em; }}
</style>
</head>
<body>
{svg}
<div id="said" aria-live="polite">Point at a value, or reach it by Tab.</div>
<script>
"use strict";
const said = document.getElementById("said");
for (const value of document.querySelectorAll(".value"))
  for (const kind of ["pointerenter", "focus"])
    value.addEventListener(kind, () => {{ said.textContent = value.textContent; }});
</script>
</body>
</html>
"""


def plan(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Draws the memory plan of a graph: a rectangle for each value of the arena, by the kernels
    between which it lives and the bytes that it has.

    Parameters
    ----------
    graph : Graph
        Of fixed sizes: ``graph.bind(n=32)`` gives one of a graph with open ones.
    path : path
        Ends in ``.svg`` or ``.html``.

    Raises
    ------
    InvalidValue
        When the path ends otherwise.
    FileError
        When the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "plan.svg")
    >>> net = sn.nn.Sequential(sn.nn.Linear(8, 64), sn.nn.ReLU(), sn.nn.Linear(64, 4))
    >>> sn.viz.plan(sn.trace(net, sn.TensorSpec((32, 8))), path)
    >>> os.path.getsize(path) > 0
    True
    """
    target = os.fspath(path)
    if not isinstance(graph, Graph):
        raise error(InvalidType, "plan", f"a {type(graph).__name__} is given; trace it first")
    if not target.endswith((".svg", ".html", ".htm")):
        raise error(
            InvalidValue,
            "plan",
            f"the path is {target!r}; it must end in .svg (a picture) or .html (a page)",
        )
    text = _svg(graph.name, graph.memory_plan())
    if not target.endswith(".svg"):
        text = _PAGE.format(title=f"{escape(graph.name)}: memory", svg=text)
    from .._files import _write

    _write(target, [text.encode("utf-8")])
