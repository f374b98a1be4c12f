"""Graphs as pictures: SVG that stands still, and pages whose modules fold. See docs/pictures.md."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

from .. import _core
from .._core import InvalidType, InvalidValue
from .._errors import error
from .._graph import Graph, GraphNode, GraphValue
from .._profile import Profile
from .layout import Box, Item, arrange, doors, module_paths, tree_of

__all__ = ["draw"]

# A page begins with as many folded modules as it takes to show no more operations than this.
SHOWN_AT_FIRST = 120


def size_text(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def time_text(seconds: float) -> str:
    """Seconds for people."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1 or unit == "µs":
            return f"{seconds * scale:.3g} {unit}"
    raise AssertionError


def _shape(value: GraphValue) -> str:
    kind = "" if value.dtype.name == "float32" else f"{value.dtype.name} "
    return kind + ("×".join(str(s) for s in value.shape) or "number")


def _bytes(value: GraphValue) -> int | None:
    count = value.dtype.itemsize
    for s in value.shape:
        if not isinstance(s, int):
            return None
        count *= s
    return count


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _attributes(node: GraphNode) -> str:
    """Those that say most, in few words."""
    said = []
    for name, value in node.attributes.items():
        if name == "device" or value in (False, (), -1, 0):
            continue
        if isinstance(value, tuple) and (set(value) == {1} or set(value) == {0}):
            continue  # steps, dilations and paddings that do nothing
        if isinstance(value, float):
            value = f"{value:.4g}"
        if isinstance(value, _core.dtype):
            value = value.name
        if isinstance(value, tuple):
            value = "×".join(str(v) for v in value)
        said.append(f"{name} {value}" if value is not True else name)
    return ", ".join(said)


def times_of(graph: Graph, profile: Profile) -> dict[int, float]:
    """Seconds of one call by operation: what the kernels took that begin with it.

    A kernel knows the source line, the module and the first operation. Where a line runs several
    times, its kernels and its operations are matched in order; of several calls this is the mean.
    """
    nodes = graph.nodes
    at_place: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        at_place.setdefault(node.where, []).append(i)
    kernels: dict[tuple[str, str], list[Any]] = {}
    for event in sorted(profile.events, key=lambda e: e.start):
        if event.category == "kernel" and event.place in at_place:
            kernels.setdefault((event.place, event.name), []).append(event)
    found: dict[int, float] = {}
    for (place, name), events in kernels.items():
        first = name.split(" + ")[0].split(" ")[0]
        own = [i for i in at_place[place] if nodes[i].op == first]
        own = own or [i for i in at_place[place] if nodes[i].op not in ("reshape", "permute")]
        own = own or at_place[place]
        if len(events) % len(own):
            own = own[:1]
        calls = len(events) // len(own)
        for k, event in enumerate(events):
            i = own[k % len(own)]
            found[i] = found.get(i, 0.0) + event.duration / calls
    return found


class _Facts:
    """What a picture says of the operations and values of a graph."""

    def __init__(self, graph: Graph, profile: Profile | None) -> None:
        self.graph, self.nodes = graph, graph.nodes
        self.times = times_of(graph, profile) if profile is not None else {}
        self.total = sum(self.times.values())
        tensors: Mapping[str, Any] = {**graph._parameters, **graph._constants}
        self.values = {v.name: v for v in graph.inputs}
        for node in self.nodes:
            self.values.update({v.name: v for v in node.outputs})
        for v in (*graph.outputs, *graph.updates.values()):
            self.values.setdefault(v.name, v)
        self.makers = {v.name: i for i, n in enumerate(self.nodes) for v in n.outputs}
        self.lines: list[list[str]] = []
        self.weights: list[bool] = []
        _, labels = module_paths(self.nodes)
        for i, node in enumerate(self.nodes):
            names = [v.name for v in node.inputs if isinstance(v, GraphValue) and v.name in tensors]
            names.sort(key=lambda n: not n.endswith(("weight", "bias")))
            lines = [node.op]
            second = ", ".join(n.rpartition(".")[2] for n in names) or _attributes(node)
            if labels[i] and labels[i] != node.op:
                second = f"{labels[i]}: {second}" if second else labels[i]
            if second:
                lines.append(_short(second, 28))
            if profile is not None:
                memory = [_bytes(v) for v in node.outputs]
                kept = size_text(sum(m or 0 for m in memory))
                lines.append(f"{time_text(self.times[i])} · {kept}" if i in self.times else kept)
            self.lines.append(lines)
            self.weights.append(bool(names))

    def size(self, kind: str, key: Any) -> tuple[float, float]:
        """Of an operation by its number, or of something that stands for a value."""
        if kind == "op":
            lines = self.lines[key]
            width = max(7.4 * len(lines[0]), *(6.2 * len(t) for t in lines), 40.0) + 24
            return width, 14.0 + 15.0 * len(lines)
        if kind in ("input", "output"):
            return max(7.2 * len(self.title(kind, key)) + 26, 60.0), 28.0
        return 8.0, 0.0

    def title(self, kind: str, value: str) -> str:
        """What an argument or a result is called."""
        if kind == "input":
            return value
        places = [str(k) for k, v in enumerate(self.graph.outputs) if v.name == value]
        said = []
        if places:
            said.append("result" if len(self.graph.outputs) == 1 else f"result {', '.join(places)}")
        said += [f"new {name}" for name, v in self.graph.updates.items() if v.name == value]
        return ", ".join(said)

    def shape(self, value: str) -> str:
        return _shape(self.values[value]) if value in self.values else ""

    def tip(self, i: int) -> str:
        node = self.nodes[i]
        place, middle, module = node.where.partition(" in module ")
        where = f"{os.path.basename(place)}{middle}{module}"
        more = f"\n{time_text(self.times[i])} of {time_text(self.total)}" if i in self.times else ""
        return f"{node!r}\n{where}{more}"

    def heat(self, i: int) -> float:
        """Share of the longest operation."""
        most = max(self.times.values(), default=0.0)
        return self.times.get(i, 0.0) / most if most else 0.0

    def box_title(self, box: Box) -> str:
        return f"{box.name}: {_count(box)} operations"


def _boxes(root: Box) -> list[Box]:
    """All boxes, the inner ones first."""
    found, todo = [], [root]
    while todo:
        box = todo.pop()
        found.append(box)
        todo += [item.box for item in box.items if item.box is not None]
    return found[::-1]


def _count(box: Box) -> int:
    return sum(item.kind == "op" for inner in _boxes(box) for item in inner.items)


# ---------------------------------------------------------------- SVG

STYLE = """
:root { --paper: #ffffff; --ink: #1c2330; --soft: #5b6675; --line: #9aa5b4; --op: #f4f6f9;
  --weight: #e3edfb; --edge: #7b8796; --box: #8fa2bd22; --border: #b9c4d3; --port: #7b8796;
  --heat: 18 90% 58%; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161d; --ink: #e7ecf3; --soft: #9aa7b8;
  --line: #5e6b7d; --op: #1d2430; --weight: #1d3353; --edge: #77869b; --box: #7d95b81c;
  --border: #3a475a; --port: #77869b; --heat: 18 80% 42%; } }
text { font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
.sub, .shape { font-size: 10.5px; fill: var(--soft); }
.shape { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
.op rect { fill: var(--op); stroke: var(--line); }
.op.weight rect { fill: var(--weight); }
.op .name { font-weight: 600; }
.port { fill: var(--port); }
.value rect { fill: var(--ink); }
.value text { fill: var(--paper); font-weight: 600; }
.box > rect { fill: var(--box); stroke: var(--border); }
.box .head { font-weight: 600; }
.edge { fill: none; stroke: var(--edge); stroke-width: 1.2; }
"""


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    bend = max((y2 - y1) / 2, 4)
    return f"M{x1:.1f},{y1:.1f}C{x1:.1f},{y1 + bend:.1f} {x2:.1f},{y2 - bend:.1f} {x2:.1f},{y2:.1f}"


def _write_item(out: list[str], item: Item, x: float, y: float, facts: _Facts) -> None:
    left, middle = x - item.width / 2, y + item.height / 2
    if item.kind == "op":
        lines = facts.lines[item.node]
        kind = "op weight" if facts.weights[item.node] else "op"
        heat = facts.heat(item.node)
        fill = f' style="fill: hsl(var(--heat) / {0.12 + 0.7 * heat:.2f})"' if heat else ""
        out.append(f'<g class="{kind}"><title>{escape(facts.tip(item.node))}</title>')
        out.append(
            f'<rect x="{left:.1f}" y="{y:.1f}" width="{item.width:.1f}" height="{item.height:.1f}" '
            f'rx="5"{fill}/>'
        )
        for k, text in enumerate(lines):
            kind = "name" if k == 0 else "sub"
            out.append(
                f'<text class="{kind}" x="{x:.1f}" y="{y + 18 + 15 * k:.1f}" '
                f'text-anchor="middle">{escape(text)}</text>'
            )
        out.append("</g>")
    elif item.kind in ("input", "output"):
        text = escape(facts.title(item.kind, item.value))
        tip = escape(repr(facts.values[item.value]))
        out.append(
            f'<g class="value"><title>{tip}</title><rect x="{left:.1f}" y="{y:.1f}" '
            f'width="{item.width:.1f}" height="{item.height:.1f}" rx="14"/>'
            f'<text x="{x:.1f}" y="{middle + 4:.1f}" text-anchor="middle">{text}</text></g>'
        )
    elif item.kind in ("in", "out"):
        out.append(f'<circle class="port" cx="{x:.1f}" cy="{middle:.1f}" r="2"/>')


def _door(item: Item, kind: str, value: str) -> float:
    """Where an edge meets an item, in the box around it."""
    if item.box is None:
        return item.x
    inside = doors(item.box).get((kind, value))
    return item.x if inside is None else item.x - item.width / 2 + inside


def _write_box(out: list[str], root: Box, facts: _Facts) -> None:
    todo: list[tuple[Box, float, float]] = [(root, 0.0, 0.0)]
    while todo:
        box, left, top = todo.pop()
        if box.path:
            out.append(
                f'<g class="box"><title>{escape(facts.box_title(box))}</title><rect x="{left:.1f}" '
                f'y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="9"/>'
                f'<text class="head" x="{left + 12:.1f}" y="{top + 19:.1f}">{escape(box.name)}'
                "</text></g>"
            )
            if box.folded:
                continue
        labelled: set[tuple[int, str]] = set()
        for a, b, value in box.edges:
            s, t = box.items[a], box.items[b]
            x1, y1 = left + _door(s, "out", value), top + s.y + s.height
            x2, y2 = left + _door(t, "in", value), top + t.y
            straight = f"V{y2 + t.height:.1f}" if t.kind == "way" else ""
            out.append(f'<path class="edge" d="{_curve(x1, y1, x2, y2)}{straight}"/>')
            shown = s.kind in ("op", "input") or (s.box is not None and s.box.folded)
            if shown and (a, value) not in labelled:
                labelled.add((a, value))
                out.append(
                    f'<text class="shape" x="{x1 + 5:.1f}" y="{y1 + 13:.1f}">'
                    f"{escape(facts.shape(value))}</text>"
                )
        for item in box.items:
            if item.box is not None:
                todo.append((item.box, left + item.x - item.width / 2, top + item.y))
            else:
                _write_item(out, item, left + item.x, top + item.y, facts)


def svg_of(root: Box, facts: _Facts) -> str:
    """The picture of boxes that have their positions."""
    pad = 12.0
    width, height = root.width + 2 * pad, root.height + 2 * pad
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{-pad:.0f} {-pad:.0f} {width:.0f} {height:.0f}" role="img" '
        f'aria-label="graph {escape(facts.graph.name, quote=True)}">',
        f"<style>{STYLE}</style>",
        f'<rect x="{-pad}" y="{-pad}" width="{width:.0f}" height="{height:.0f}" '
        'style="fill: var(--paper)"/>',
    ]
    _write_box(out, root, facts)
    return "\n".join([*out, "</svg>\n"])


# ---------------------------------------------------------------- pages


def _page_data(root: Box, facts: _Facts) -> dict[str, Any]:
    """What the page's script arranges and draws."""
    boxes = _boxes(root)
    place = {id(box): k for k, box in enumerate(boxes)}
    return {
        "name": facts.graph.name,
        "nodes": [
            {
                "lines": facts.lines[i],
                "tip": facts.tip(i),
                "weight": facts.weights[i],
                "heat": round(facts.heat(i), 3),
            }
            for i in range(len(facts.nodes))
        ],
        "values": {name: {"shape": _shape(v), "tip": repr(v)} for name, v in facts.values.items()},
        "boxes": [
            {
                "name": box.name,
                "path": box.path,
                "title": facts.box_title(box),
                "folded": box.folded,
                "time": time_text(t) if (t := _time(box, facts)) else "",
                "items": [
                    {
                        "kind": item.kind,
                        "w": round(item.width, 1),
                        "h": round(item.height, 1),
                        "node": item.node,
                        "value": item.value,
                        "title": facts.title(item.kind, item.value)
                        if item.kind in ("input", "output")
                        else "",
                        "box": place[id(item.box)] if item.box is not None else -1,
                    }
                    for item in box.items
                ],
                "edges": box.edges,
                "layers": box.layers,
            }
            for box in boxes
        ],
    }


def _time(box: Box, facts: _Facts) -> float:
    return sum(
        facts.times.get(item.node, 0.0)
        for inner in _boxes(box)
        for item in inner.items
        if item.kind == "op"
    )


def page_of(root: Box, facts: _Facts) -> str:
    """A page that needs nothing but itself."""
    data = json.dumps(_page_data(root, facts), separators=(",", ":"), ensure_ascii=False)
    template = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    # The end of a script is looked for before its text is read.
    data = data.replace("</", "<\\/").replace("<!--", "<\\!--")
    name = escape(facts.graph.name)
    return template.replace("{{title}}", name).replace("{{style}}", STYLE).replace("{{data}}", data)


def _fold(root: Box, depth: int | None, most: int | None) -> None:
    """Folds modules below a depth, or the innermost and largest until no more than `most`
    operations show."""
    levels: list[list[Box]] = [[root]]
    while True:
        below = [i.box for box in levels[-1] for i in box.items if i.box is not None]
        if not below:
            break
        levels.append(below)
    if depth is None:
        if most is None:
            return
        depth = len(levels)
        shown = [sum(i.kind == "op" for box in level for i in box.items) for level in levels]
        while depth > 1:
            folded = len(levels[depth]) if depth < len(levels) else 0
            if sum(shown[:depth]) + folded <= most:
                break
            depth -= 1
    for level in levels[max(depth, 1) :]:
        for box in level:
            box.folded = True


def draw(
    graph: Graph,
    path: str | os.PathLike[str],
    profile: Profile | None = None,
    depth: int | None = None,
) -> None:
    """Draws a graph; see `Graph.draw`."""
    target = os.fspath(path)
    if not isinstance(graph, Graph):
        raise error(InvalidType, "draw", f"a {type(graph).__name__} is given; trace it first")
    if profile is not None and not isinstance(profile, Profile):
        raise error(
            InvalidType,
            "draw",
            f"profile is a {type(profile).__name__}; it must be what sn.profile() gave",
        )
    if depth is not None and (not isinstance(depth, int) or depth < 0):
        raise error(InvalidValue, "draw", f"depth is {depth!r}; it must be an int of 0 or more")
    page = target.endswith((".html", ".htm"))
    if not page and not target.endswith(".svg"):
        raise error(
            InvalidValue,
            "draw",
            f"the path is {target!r}; it must end in .svg (a picture) or .html (a page whose "
            "modules fold)",
        )
    facts = _Facts(graph, profile)
    root = tree_of(graph, facts.size)
    _fold(root, None if depth is None else depth + 1, SHOWN_AT_FIRST if page else None)
    from .._files import _write

    if page:
        text = page_of(root, facts)
    else:
        for box in _boxes(root):
            arrange(box)
        text = svg_of(root, facts)
    _write(target, [text.encode("utf-8")])
