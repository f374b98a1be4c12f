"""Pictures of graphs and plans, the command that opens models, and TensorBoard's graph tab."""

from __future__ import annotations

import json
import re
import sys
import time
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

import sennit as sn
from sennit import nn
from sennit.cli import main
from sennit.viz import drawing, layout

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "graph"))

from chromium import open_page  # noqa: E402
from graph_models import GPT, spec  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def encoder(depth=2):
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    net = nn.TransformerEncoder(layer, depth).eval()
    return sn.trace(net, sn.TensorSpec((2, 5, 16), name="words"))


def texts(path):
    return [t.text for t in ET.parse(path).getroot().iter(f"{SVG}text")]


# ---------------------------------------------------------------- layout


def boxes_of(graph):
    facts = drawing._Facts(graph, None)
    root = layout.tree_of(graph, facts.size)
    return root, drawing._boxes(root)


def test_every_operation_has_one_place():
    graph = encoder()
    _, boxes = boxes_of(graph)
    places = [item.node for box in boxes for item in box.items if item.kind == "op"]
    assert sorted(places) == list(range(len(graph.nodes)))


def test_edges_go_down_by_one_layer():
    for graph in (encoder(), sn.trace(GPT(), spec(2, 11, dtype=sn.int64))):
        _, boxes = boxes_of(graph)
        for box in boxes:
            level = {i: k for k, layer in enumerate(box.layers) for i in layer}
            assert sorted(level) == list(range(len(box.items)))
            assert all(level[b] - level[a] == 1 for a, b, _ in box.edges), box.path


def test_edges_are_those_of_the_graph():
    """Followed through borders and long ways, edges join what reads a value to what makes it."""
    graph = sn.trace(GPT(depth=2), spec(2, 11, dtype=sn.int64))
    _, boxes = boxes_of(graph)
    after: dict[tuple[int, str], set[int]] = {}
    holder = {id(i.box): (b, k) for b in boxes for k, i in enumerate(b.items) if i.box is not None}

    def readers(box, item, value):
        found = set()
        for a, b, v in box.edges:
            if a != item or v != value:
                continue
            target = box.items[b]
            if target.kind == "op":
                found.add(target.node)
            elif target.kind == "way":
                found |= readers(box, b, value)
            elif target.kind == "out":
                found |= readers(*holder[id(box)], value)
            elif target.box is not None:
                inner = target.box
                k = next(
                    k for k, i in enumerate(inner.items) if i.kind == "in" and i.value == value
                )
                found |= readers(inner, k, value)
        return found

    for box in boxes:
        for k, item in enumerate(box.items):
            if item.kind == "op":
                for v in graph.nodes[item.node].outputs:
                    after[item.node, v.name] = readers(box, k, v.name)
    wanted: dict[tuple[int, str], set[int]] = {
        (i, v.name): set() for i, n in enumerate(graph.nodes) for v in n.outputs
    }
    makers = {v.name: (i, v.name) for i, n in enumerate(graph.nodes) for v in n.outputs}
    for j, node in enumerate(graph.nodes):
        for v in node.inputs:
            if isinstance(v, sn.GraphValue) and v.name in makers:
                wanted[makers[v.name]].add(j)
    assert after == wanted


def test_nothing_overlaps():
    root, boxes = boxes_of(encoder())
    for box in boxes:
        layout.arrange(box)
    for box in boxes:
        for layer in box.layers:
            spans = sorted((box.items[i].x, box.items[i].width) for i in layer)
            for (x, w), (x2, w2) in pairwise(spans):
                assert x2 - x >= (w + w2) / 2 + layout.GAP - 1e-6
        for item in box.items:
            assert item.x - item.width / 2 >= -1e-6
            assert item.x + item.width / 2 <= box.width + 1e-6
            assert item.y >= -1e-6
            assert item.y + item.height <= box.height + 1e-6
    assert root.width > 0


def test_pooling_gives_the_nearest_sequence_that_never_falls():
    assert layout.pooled([1, 2, 3]) == [1, 2, 3]
    assert layout.pooled([3, 1, 2]) == [2, 2, 2]
    assert layout.pooled([1, 5, 3, 4]) == [1, 4, 4, 4]
    assert layout.pooled([]) == []


def test_a_module_that_is_called_twice_is_two_boxes():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x):
            return self.a(sn.relu(self.a(x)))

    _, boxes = boxes_of(sn.trace(Twice(), sn.TensorSpec((2, 4))))
    assert [b.name for b in boxes].count("a") == 2


# ---------------------------------------------------------------- pictures


def test_svg(tmp_path):
    path = tmp_path / "net.svg"
    graph = encoder()
    graph.draw(path)
    found = texts(path)
    assert {"words", "result", "layers", "self_attn", "attention", "2×5×16"} <= set(found)
    assert found.count("attention") == 2
    tips = [t.text for t in ET.parse(path).getroot().iter(f"{SVG}title")]
    assert any("test_pictures_of_graphs.py:" in t for t in tips), "the source line on hover"
    assert str(HERE) not in path.read_text("utf-8")


def test_depth_folds(tmp_path):
    graph = encoder()
    graph.draw(tmp_path / "a.svg", depth=0)
    assert "attention" not in texts(tmp_path / "a.svg")
    assert "layers" in texts(tmp_path / "a.svg")
    graph.draw(tmp_path / "b.svg", depth=2)
    assert "self_attn" in texts(tmp_path / "b.svg")
    assert "attention" not in texts(tmp_path / "b.svg")


def test_open_sizes_and_several_results(tmp_path):
    def function(x, y):
        return x @ y, {"a": x.sum(0)}, x

    graph = sn.trace(function, sn.TensorSpec(("n", 3)), sn.TensorSpec((3, 2)))
    graph.draw(tmp_path / "m.svg")
    assert {"n×3", "n×2", "result 0", "result 1", "result 2"} <= set(texts(tmp_path / "m.svg"))


def test_a_graph_without_operations(tmp_path):
    for name in ("m.svg", "m.html"):
        sn.trace(lambda x: x, sn.TensorSpec((2,))).draw(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 500


def test_time_and_memory(tmp_path):
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    graph = sn.trace(net, sn.TensorSpec((32, 64)))
    x = sn.random.randn((32, 64))
    with sn.no_grad():
        graph(x).numpy()
    with sn.profile() as p, sn.no_grad():
        for _ in range(3):
            graph(x).numpy()
    times = drawing.times_of(graph, p)
    ops = {graph.nodes[i].op for i in times}
    assert "matmul" in ops
    total = sum(e.duration for e in p.events if e.category == "kernel")
    assert sum(times.values()) == pytest.approx(total / 3, rel=1e-6)
    graph.draw(tmp_path / "p.svg", profile=p)
    assert any(
        re.fullmatch(r"[\d.]+ (ms|µs|s) · 8\.0 KiB", t or "") for t in texts(tmp_path / "p.svg")
    )


def test_a_thousand_operations_take_seconds(tmp_path):
    def function(x):
        held = [x]
        for k in range(1000):
            held.append(held[-1] * 2 if k % 3 else held[-1] + held[max(0, k - 50)])
        return held[-1]

    graph = sn.trace(function, sn.TensorSpec((4,)))
    assert len(graph.nodes) == 1000
    start = time.perf_counter()
    graph.draw(tmp_path / "m.svg")
    graph.draw(tmp_path / "m.html")
    assert time.perf_counter() - start < 60, "it hangs"


def test_refusals(tmp_path):
    graph = encoder(1)
    with pytest.raises(sn.InvalidValue, match=r"must end in \.svg"):
        graph.draw(tmp_path / "m.png")
    with pytest.raises(sn.InvalidValue, match="depth is -1"):
        graph.draw(tmp_path / "m.svg", depth=-1)
    with pytest.raises(sn.InvalidType, match=r"sn\.profile"):
        graph.draw(tmp_path / "m.svg", profile=3)
    with pytest.raises(sn.InvalidType, match="trace it first"):
        drawing.draw(nn.ReLU(), tmp_path / "m.svg")
    with pytest.raises(sn.InvalidValue, match="must end in"):
        sn.viz.plan(graph, tmp_path / "m.png")
    with pytest.raises(sn.FileError):
        graph.draw(tmp_path / "no" / "m.svg")


def test_names_cannot_break_the_page(tmp_path):
    net = nn.Module()
    bad = "</script><img src=x onerror=alert(1)>"
    net.weight = nn.Parameter(sn.ones(3))
    graph = sn.trace(lambda x: x * 2, sn.TensorSpec((3,), name=bad))
    graph.draw(tmp_path / "m.html")
    page = (tmp_path / "m.html").read_text("utf-8")
    assert page.count("</script>") == 2
    assert "<img" not in page.replace("<\\/script><img", "")
    graph.draw(tmp_path / "m.svg")
    assert bad in texts(tmp_path / "m.svg")


# ---------------------------------------------------------------- plans


def test_a_plan(tmp_path):
    graph = encoder()
    plan = graph.memory_plan()
    sn.viz.plan(graph, tmp_path / "plan.svg")
    root = ET.parse(tmp_path / "plan.svg").getroot()
    drawn = [r for r in root.iter(f"{SVG}rect") if r.get("class") == "value"]
    assert len(drawn) == len(plan.lifetimes)
    scale = {float(r.get("height")) / size for r, (_, size, _, _) in zip(drawn, plan.lifetimes)
             if float(r.get("height")) > 1}  # fmt: skip
    assert max(scale) - min(scale) < 0.02 * max(scale), "heights are bytes"
    sn.viz.plan(graph, tmp_path / "plan.html")


def test_bytes_in_use_never_exceed_the_arena():
    from sennit.viz import plans

    plan = encoder().memory_plan()
    live = plans._live(plan)
    assert len(live) == plan.kernels
    assert max(live) <= plan.arena
    assert min(live) >= 0


def test_round_steps():
    from sennit.viz import plans

    assert plans._steps(0, 6, True) == [0.0]
    for most in (1, 7, 1000, 196608, 3 << 30):
        steps = plans._steps(most, 6, True)
        assert 2 <= len(steps) <= 8
        assert steps[-1] <= most


def test_open_sizes_are_bound_first(tmp_path):
    graph = sn.trace(lambda x: sn.exp(x).sum(0), sn.TensorSpec(("n", 4)))
    with pytest.raises(sn.SennitError, match="bind"):
        sn.viz.plan(graph, tmp_path / "plan.svg")
    sn.viz.plan(graph.bind(n=10), tmp_path / "plan.svg")


# ---------------------------------------------------------------- the command


def test_view_draws_a_saved_graph(tmp_path, capsys):
    saved = tmp_path / "net.sn"
    encoder().save(saved)
    page, plan = tmp_path / "net.html", tmp_path / "plan.svg"
    assert main(["view", str(saved), "--draw", str(page), "--plan", str(plan)]) == 0
    assert page.exists()
    assert plan.exists()
    assert str(page) in capsys.readouterr().out


def test_view_opens_netron_on_the_onnx_form(tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    saved = tmp_path / "net.sn"
    encoder(1).save(saved)
    opened = []

    class Netron:
        @staticmethod
        def start(path, address, browse):
            opened.append((Path(path).name, Path(path).read_bytes()[:1], address, browse))

        @staticmethod
        def wait():
            pass

    monkeypatch.setitem(sys.modules, "netron", Netron)
    assert main(["view", str(saved), "--no-browser", "--port", "8123"]) == 0
    assert opened == [("net.onnx", b"\x08", ("localhost", 8123), False)]
    (tmp_path / "other.onnx").write_bytes(b"\x08")
    assert main(["view", str(tmp_path / "other.onnx")]) == 0
    assert opened[-1] == ("other.onnx", b"\x08", None, True)


def test_view_without_netron(tmp_path, monkeypatch, capsys):
    saved = tmp_path / "net.sn"
    encoder(1).save(saved)
    monkeypatch.setitem(sys.modules, "netron", None)
    assert main(["view", str(saved)]) == 1
    said = capsys.readouterr().err
    assert "sennit[view]" in said
    assert "--draw" in said


def test_view_of_what_is_not_there(tmp_path, capsys):
    assert main(["view", str(tmp_path / "no.sn")]) == 1
    assert "no.sn" in capsys.readouterr().err


def test_view_draws_no_foreign_models(tmp_path, capsys):
    model = tmp_path / "m.onnx"
    model.write_bytes(b"")
    assert main(["view", str(model), "--draw", str(tmp_path / "m.html")]) == 2
    assert "saved graphs" in capsys.readouterr().err


def test_doctor(capsys):
    assert main(["doctor"]) == 0
    assert "threads" in capsys.readouterr().out


# ---------------------------------------------------------------- TensorBoard


def test_graph_tab(tmp_path):
    tensorboard_x = pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.graph_pb2 import GraphDef

    graph = encoder()
    with tensorboard_x.SummaryWriter(str(tmp_path)) as writer:
        sn.viz.add_graph(writer, graph)
    (file,) = tmp_path.glob("events*")
    data, found = file.read_bytes(), None
    while data:
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        data = data[16 + size :]
        if event.graph_def:
            found = GraphDef.FromString(event.graph_def)
    assert found is not None
    names = {n.name for n in found.node}
    assert len(names) == len(found.node)
    assert all(i.split(":")[0] in names for n in found.node for i in n.input)
    assert "arguments/words" in names
    assert "layers/0/self_attn/attention" in names
    assert "layers/0/self_attn/in_proj_weight" in names
    attention = next(n for n in found.node if n.name == "layers/0/self_attn/attention")
    shape = attention.attr["_output_shapes"].list.shape[0]
    assert [d.size for d in shape.dim] == [2, 2, 5, 8]


def test_graph_tab_is_read_by_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    tensorboard_x = pytest.importorskip("tensorboardX")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard_x.SummaryWriter(str(tmp_path)) as writer:
        sn.viz.add_graph(writer, encoder(1))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["graph"]
    assert any("attention" in n.name for n in events.Graph().node)


def test_graph_tab_needs_a_writer():
    with pytest.raises(sn.InvalidType, match="SummaryWriter"):
        sn.viz.add_graph(3, encoder(1))


# ---------------------------------------------------------------- in a browser


def check_positions(page, graph):
    """The page's script puts everything where the static picture has it."""
    root, boxes = boxes_of(graph)
    for box in boxes:
        layout.arrange(box)
    assert page["box"] == pytest.approx([root.width, root.height], abs=0.5)


def test_a_page_in_a_browser(tmp_path):
    graph = encoder()
    path = tmp_path / "net.html"
    graph.draw(path, depth=9)
    found = open_page(
        path,
        """
        const count = kind => document.querySelectorAll(kind).length;
        const root_box = boxes[root];
        const first = {
            ops: count(".op"), boxes: count(".box"), box: [root_box.width, root_box.height]};
        const self = [...document.querySelectorAll(".box")].find(
            g => g.dataset.path.endsWith("self_attn"));
        self.dispatchEvent(new MouseEvent("click", {bubbles: true}));
        const folded = {ops: count(".op"), state: document.querySelector(
            `[data-box="${self.dataset.box}"]`).getAttribute("aria-expanded")};
        const again = document.querySelector(`[data-box="${self.dataset.box}"]`);
        again.focus();
        again.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
        const opened = {
            ops: count(".op"), focus: document.activeElement.dataset.box === self.dataset.box};
        setAll(true);
        const closed = {ops: count(".op"), boxes: count(".box")};
        const before = all.getAttribute("transform");
        picture.dispatchEvent(
            new WheelEvent("wheel", {deltaY: -200, bubbles: true, cancelable: true}));
        window.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"}));
        const moved = before !== all.getAttribute("transform");
        setAll(false);
        const tips = [...document.querySelectorAll(".op title")].map(t => t.textContent);
        return {...first, folded, opened, closed, moved, tips};
    """,
    )
    assert found["ops"] == len(graph.nodes)
    assert found["folded"]["state"] == "false"
    assert found["folded"]["ops"] < found["ops"]
    assert found["opened"] == {"ops": found["ops"], "focus": True}
    assert found["closed"]["boxes"] == 1
    assert found["moved"]
    assert any("test_pictures_of_graphs.py:" in t for t in found["tips"])
    check_positions(found, graph)


def test_a_large_page_begins_folded(tmp_path):
    graph = encoder(6)
    assert len(graph.nodes) > drawing.SHOWN_AT_FIRST
    graph.draw(tmp_path / "net.html")
    data = re.search(
        r'<script id="data"[^>]*>(.*?)</script>', (tmp_path / "net.html").read_text("utf-8"), re.S
    )
    boxes = json.loads(data.group(1))["boxes"]
    assert any(b["folded"] for b in boxes)
    found = open_page(
        tmp_path / "net.html", "return {ops: document.querySelectorAll('.op').length};"
    )
    assert found["ops"] <= drawing.SHOWN_AT_FIRST


def test_a_plan_in_a_browser(tmp_path):
    graph = encoder()
    sn.viz.plan(graph, tmp_path / "plan.html")
    found = open_page(
        tmp_path / "plan.html",
        """
        const value = document.querySelector(".value");
        value.focus();
        return {values: document.querySelectorAll(".value").length,
                said: document.getElementById("said").textContent};
    """,
    )
    assert found["values"] == len(graph.memory_plan().lifetimes)
    assert "bytes at" in found["said"]
