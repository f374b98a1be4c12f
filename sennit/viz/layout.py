"""Where the nodes of a graph stand in a picture: modules in modules, each laid out in layers.

Within a module, its operations, the modules that it calls and the values that come in and go out
are nodes of a small graph of their own. These nodes get layers (the longest way from a source),
long edges get a place in each layer that they pass (K. Sugiyama, S. Tagawa and M. Toda, "Methods
for visual understanding of hierarchical system structures", 1981), the order within a layer comes
from barycentres, and positions are the nearest to the neighbours' that keep order and distance (a
regression on monotone sequences by pooling of neighbours). A page whose modules fold repeats the
last step alone, in the browser: layers and order do not depend on what is folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .._graph import Graph, GraphNode, GraphValue

__all__ = ["Box", "Item", "arrange", "pooled", "tree_of"]

# Longer edges than so many layers pass straight, and more places than so many are not made.
MOST_PLACES = 20_000


@dataclass
class Item:
    """Something with a place: an operation, a module, a value that enters or leaves, or the way of
    a long edge through a layer."""

    kind: str  # "op", "box", "in", "out", "way", "input", "output"
    width: float
    height: float
    node: int = -1  # of an op: its number
    value: str = ""  # of "in", "out", "way", "input", "output": the value
    box: Box | None = None
    x: float = 0.0  # centre, within the box around it
    y: float = 0.0  # top


@dataclass
class Box:
    """A call of a module: a run of the graph's operations."""

    name: str
    path: str
    items: list[Item] = field(default_factory=list)
    edges: list[tuple[int, int, str]] = field(default_factory=list)
    layers: list[list[int]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0
    folded: bool = False
    number: int = -1


def module_path(node: GraphNode) -> list[str]:
    """The names from the traced module to the one that called the operation."""
    path = node.where.partition(" in module ")[2]
    return path.split(".") if path else []


def module_paths(nodes: Sequence[GraphNode]) -> tuple[list[list[str]], list[str]]:
    """By operation: the modules that get a box around it, and the name of one that would hold this
    operation alone, and gets none."""
    paths = [module_path(node) for node in nodes]
    if paths and all(p[:1] == paths[0][:1] for p in paths):
        paths = [p[1:] for p in paths]
    labels = [""] * len(paths)
    kept = []
    for i, path in enumerate(paths):
        near = [paths[j] for j in (i - 1, i + 1) if 0 <= j < len(paths)]
        depth = len(path)
        while depth and not any(other[:depth] == path[:depth] for other in near):
            depth -= 1
        labels[i] = ".".join(path[depth:])
        kept.append(path[:depth])
    return kept, labels


def tree_of(graph: Graph, sizes: Any) -> Box:
    """The boxes of a graph. `sizes` gives (width, height) of an op by its number, and of a value.

    A module that is called twice is two boxes, so that boxes have an order like operations do.
    """
    nodes = graph.nodes
    paths, _ = module_paths(nodes)
    root = Box(graph.name, "")
    makers: dict[str, int] = {v.name: i for i, n in enumerate(nodes) for v in n.outputs}
    readers: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        for v in {v.name for v in node.inputs if isinstance(v, GraphValue)}:
            readers.setdefault(v, []).append(i)
    results = list(dict.fromkeys(v.name for v in (*graph.outputs, *graph.updates.values())))
    arguments = [v.name for v in graph.inputs]

    # Boxes, by runs of operations with the same path; made without recursion.
    where: list[tuple[Box, int]] = []  # by op: its box and its place there
    closed: list[Box] = []
    parents: dict[int, tuple[Box, int]] = {}
    numbers = 0
    open_boxes: list[Box] = [root]
    for i, path in enumerate(paths):
        depth = 0
        while depth < len(path) and depth + 1 < len(open_boxes):
            if open_boxes[depth + 1].name != path[depth]:
                break
            depth += 1
        while len(open_boxes) > depth + 1:
            closed.append(open_boxes.pop())
        for k in range(depth, len(path)):
            parent = open_boxes[-1]
            box = Box(path[k], ".".join(path[: k + 1]), number=numbers)
            numbers += 1
            parent.items.append(Item("box", 0, 0, box=box))
            parents[id(box)] = (parent, len(parent.items) - 1)
            open_boxes.append(box)
        own = open_boxes[-1]
        width, height = sizes("op", i)
        own.items.append(Item("op", width, height, node=i))
        where.append((own, len(own.items) - 1))
    while open_boxes:
        closed.append(open_boxes.pop())

    ports: dict[tuple[int, str, str], int] = {}

    def port(box: Box, kind: str, value: str) -> int:
        key = (id(box), kind, value)
        if key not in ports:
            width, height = sizes(kind, value)
            box.items.append(Item(kind, width, height, value=value))
            ports[key] = len(box.items) - 1
        return ports[key]

    def chain(box: Box, place: int) -> list[tuple[Box, int]]:
        """The box and the boxes around it, with the place in each."""
        found = [(box, place)]
        while id(box) in parents:
            box, place = parents[id(box)]
            found.append((box, place))
        return found

    drawn: set[tuple[int, int, int, str]] = set()

    def connect(box: Box, a: int, b: int, value: str) -> None:
        key = (id(box), a, b, value)
        if key not in drawn:
            drawn.add(key)
            box.edges.append((a, b, value))

    def link(value: str, source: tuple[Box, int], target: tuple[Box, int]) -> None:
        up, down = chain(*source), chain(*target)
        known = {id(box): k for k, (box, _) in enumerate(up)}
        at = next(k for k, (box, _) in enumerate(down) if id(box) in known)
        common = known[id(down[at][0])]
        for k in range(common):  # out of the boxes of the source
            connect(up[k][0], up[k][1], port(up[k][0], "out", value), value)
        for k in range(at):  # into the boxes of the target
            connect(down[k][0], port(down[k][0], "in", value), down[k][1], value)
        connect(up[common][0], up[common][1], down[at][1], value)

    for name in arguments:
        source = (root, port(root, "input", name))
        for i in readers.get(name, []):
            link(name, source, where[i])
    for name, i in makers.items():
        for j in readers.get(name, []):
            link(name, where[i], where[j])
    for name in results:
        width, height = sizes("output", name)
        root.items.append(Item("output", width, height, value=name))
        target = (root, len(root.items) - 1)
        if name in makers:
            link(name, where[makers[name]], target)
        elif name in arguments:
            link(name, (root, ports[(id(root), "input", name)]), target)
    for box in closed:
        _layer(box)
    return root


def _layer(box: Box) -> None:
    """Layers and order. Places of long edges become items."""
    count = len(box.items)
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for a, b, _ in box.edges:
        after[a].append(b)
        before[b].append(a)
    level = [0] * count
    left = [len(x) for x in before]
    ready = [i for i in range(count) if left[i] == 0]
    for i in ready:
        for j in after[i]:
            level[j] = max(level[j], level[i] + 1)
            left[j] -= 1
            if left[j] == 0:
                ready.append(j)
    # Sources other than what comes in stand beside their first reader, not at the top.
    for i in reversed(ready):
        if not before[i] and after[i] and box.items[i].kind not in ("in", "input"):
            level[i] = min(level[j] for j in after[i]) - 1
    # What comes in and goes out has the first and the last layer for itself, on the border.
    if any(item.kind == "in" for item in box.items):
        level = [k if box.items[i].kind == "in" else k + 1 for i, k in enumerate(level)]
    last = max((k for i, k in enumerate(level) if box.items[i].kind != "out"), default=0)
    for i, item in enumerate(box.items):
        if item.kind == "out":
            level[i] = last + 1
    last = max(level, default=0)
    # Long edges: one chain of places for each value from one source.
    chains: dict[tuple[int, str], list[int]] = {}
    edges: list[tuple[int, int, str]] = []
    places = sum(max(level[b] - level[a] - 1, 0) for a, b, _ in box.edges)
    for a, b, value in sorted(box.edges, key=lambda e: level[e[1]]):
        if level[b] - level[a] <= 1 or places > MOST_PLACES:
            edges.append((a, b, value))
            continue
        way = chains.setdefault((a, value), [a])
        while level[way[-1]] < level[b] - 1:
            box.items.append(Item("way", 8, 0, value=value))
            level.append(level[way[-1]] + 1)
            edges.append((way[-1], len(box.items) - 1, value))
            way.append(len(box.items) - 1)
        edges.append((way[level[b] - 1 - level[a]], b, value))
    box.edges = edges
    layers: list[list[int]] = [[] for _ in range(last + 1)]
    for i, k in enumerate(level):
        layers[k].append(i)
    box.layers = [layer for layer in layers if layer]
    _order(box)


def _order(box: Box) -> None:
    """A few sweeps: each item goes to the mean place of what it is joined to one layer before."""
    up: dict[int, list[int]] = {}
    down: dict[int, list[int]] = {}
    for a, b, _ in box.edges:
        up.setdefault(b, []).append(a)
        down.setdefault(a, []).append(b)
    for sweep in range(4):
        joined = up if sweep % 2 == 0 else down
        layers = box.layers if sweep % 2 == 0 else box.layers[::-1]
        place = {i: k for layer in box.layers for k, i in enumerate(layer)}
        for layer in layers:
            wanted = {}
            for i in layer:
                near = [place[j] for j in joined.get(i, ())]
                wanted[i] = sum(near) / len(near) if near else float(place[i])
            layer.sort(key=wanted.__getitem__)
            place.update({i: k for k, i in enumerate(layer)})


# ---------------------------------------------------------------- positions

GAP, LAYER_GAP, MARGIN, HEAD = 22.0, 34.0, 16.0, 36.0


def pooled(wanted: Sequence[float]) -> list[float]:
    """The sequence nearest to the wanted one (least squares) that nowhere falls."""
    blocks: list[tuple[float, int]] = []
    for w in wanted:
        total, count = w, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            t, n = blocks.pop()
            total, count = total + t, count + n
        blocks.append((total, count))
    return [total / count for total, count in blocks for _ in range(count)]


def arrange(box: Box) -> None:
    """Positions in a box whose inner boxes have their sizes; then its own size."""
    if box.folded or not box.items:
        box.width, box.height = folded_size(box)
        return
    for item in box.items:
        if item.box is not None:
            item.width, item.height = item.box.width, item.box.height
    y = HEAD if box.path else MARGIN
    for layer in box.layers:
        if box.items[layer[0]].kind == "out":  # on the border
            y -= LAYER_GAP - MARGIN
        rigid = [box.items[i].height for i in layer if box.items[i].kind != "way"]
        height = max(rigid, default=0.0)
        border = box.items[layer[0]].kind == "in"
        for i in layer:
            item = box.items[i]
            if item.kind == "way":  # a long edge goes straight past what stands in the layer
                item.height = height
            item.y = 0.0 if border else y + (height - item.height) / 2
        y += 0.0 if border else height + LAYER_GAP
    ends = bool(box.layers) and box.items[box.layers[-1][0]].kind == "out"
    near: dict[int, list[int]] = {}
    for a, b, _ in box.edges:
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    for layer in box.layers:
        x = 0.0
        for i in layer:
            box.items[i].x = x + box.items[i].width / 2
            x += box.items[i].width + GAP
        for i in layer:
            box.items[i].x -= (x - GAP) / 2
    for sweep in range(6):
        for layer in box.layers if sweep % 2 == 0 else box.layers[::-1]:
            _settle(box, layer, near)
    low = min(i.x - i.width / 2 for i in box.items)
    high = max(i.x + i.width / 2 for i in box.items)
    head = 7.0 * len(box.name) + 40 if box.path else 0.0
    box.width = max(high - low, head) + 2 * MARGIN
    shift = box.width / 2 - (low + high) / 2
    for item in box.items:
        item.x += shift
    box.height = y - LAYER_GAP + (0.0 if ends else MARGIN)


def _settle(box: Box, layer: list[int], near: dict[int, list[int]]) -> None:
    """The items of a layer as near as can be to the mean of what they are joined to."""
    offsets, offset = [], 0.0
    for k, i in enumerate(layer):
        if k:
            offset += (box.items[layer[k - 1]].width + box.items[i].width) / 2 + GAP
        offsets.append(offset)
    wanted = []
    for i, off in zip(layer, offsets, strict=True):
        joined = near.get(i)
        at = sum(box.items[j].x for j in joined) / len(joined) if joined else box.items[i].x
        wanted.append(at - off)
    for i, off, x in zip(layer, offsets, pooled(wanted), strict=True):
        box.items[i].x = x + off


def doors(box: Box) -> dict[tuple[str, str], float]:
    """Where values cross the border of an open box, from its left: by "in" or "out" and value."""
    if box.folded:
        return {}
    return {(i.kind, i.value): i.x for i in box.items if i.kind in ("in", "out")}


def folded_size(box: Box) -> tuple[float, float]:
    """Of a box that shows its name alone."""
    return max(7.4 * len(box.name) + 44, 90.0), 34.0
