"""Files that hold graphs: what is written is read, and what is damaged is refused."""

from __future__ import annotations

import json
import random
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit._tree import flatten

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from graph_models import GPT, MODELS, OPEN_MODELS, Tagger, draw, spec  # noqa: E402
from mutations import mutated, repaired, try_graph  # noqa: E402


def small() -> sn.Graph:
    sn.random.seed(1)
    layer = sn.nn.Linear(3, 2)
    return sn.trace(layer, spec(4, 3))


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def rewrite(path: Path, change: Any) -> None:
    """Changes the graph inside of a file as somebody would who wants it to be believed: the
    checksum, which finds accidents, is left out."""
    head, data = parts(path)
    head["__metadata__"].pop("sha256", None)
    graph = json.loads(head["__metadata__"]["sennit.graph"])
    change(graph, head)
    head["__metadata__"]["sennit.graph"] = json.dumps(graph)
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_the_file_is_a_safetensors_file(tmp_path: Path) -> None:
    numpy_side = pytest.importorskip("safetensors.numpy")
    graph = small()
    graph.save(tmp_path / "m.sn")
    weights = numpy_side.load_file(tmp_path / "m.sn")
    assert set(weights) == {"weight", "bias"}
    np.testing.assert_array_equal(weights["weight"], graph.parameters["weight"].detach().numpy())
    loaded, metadata = sn.load(tmp_path / "m.sn", with_metadata=True)
    assert isinstance(loaded, sn.Graph) and metadata == {}
    layer = sn.nn.Linear(3, 2)
    layer.load_state_dict(loaded.parameters)


def test_saving_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, (make, specs) in MODELS.items():
        sn.trace(make(), *specs).save(tmp_path / "a.sn")
        loaded = sn.load(tmp_path / "a.sn")
        loaded.save(tmp_path / "b.sn")
        assert (tmp_path / "a.sn").read_bytes() == (tmp_path / "b.sn").read_bytes(), name
        assert str(sn.load(tmp_path / "b.sn")) == str(loaded)
        trained = [k for k, p in loaded.parameters.items() if p.requires_grad]
        assert trained == [k for k in loaded.parameters if "running" not in k and "num" not in k]


def test_what_is_trained_is_what_was_when_it_was_saved(tmp_path: Path) -> None:
    graph = small()
    graph.parameters["bias"].requires_grad_(False)
    graph.save(tmp_path / "m.sn")
    loaded = sn.load(tmp_path / "m.sn")
    assert {k: p.requires_grad for k, p in loaded.parameters.items()} == {
        "weight": True, "bias": False}  # fmt: skip


def test_no_folder_of_the_machine_is_saved(tmp_path: Path) -> None:
    small().save(tmp_path / "m.sn")
    head, _ = parts(tmp_path / "m.sn")
    sites = json.loads(head["__metadata__"]["sennit.graph"])["sites"]
    assert sites and all(s.startswith("test_graph_files.py:") for s in sites), sites


def test_numbers_keep_their_bits(tmp_path: Path) -> None:
    values = [0.1, -0.0, 1e-310, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"),
              float("nan"), 3, -7, 2**62, True]  # fmt: skip

    def f(x: sn.Tensor) -> Any:
        return [x + v if v is not True else sn.where(x > 0, v, x > 1) for v in values]

    graph = sn.trace(f, sn.TensorSpec((2,), sn.float64))
    graph.save(tmp_path / "m.sn")
    x = sn.asarray(np.array([0.0, 1.0]))
    for a, b in zip(sn.load(tmp_path / "m.sn")(x), f(x), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def loss_of(model: sn.nn.Module) -> Any:
    """A loss as a function of parameters and arguments."""

    def loss(params: Any, *args: sn.Tensor) -> sn.Tensor:
        result = sn.functional_call(model, params, args)
        parts = flatten(result)
        return sum((x.square().mean() for x in parts), sn.tensor(0.0))

    return loss


@pytest.mark.parametrize("name", ["mlp", "lstm", "gru", "rnn", "gpt"])
def test_gradients_are_saved_too(name: str, tmp_path: Path) -> None:
    if name in MODELS:
        make, specs = MODELS[name]
        model = make()
    else:
        model = {"gru": sn.nn.GRU, "rnn": sn.nn.RNN}[name](5, 4)
        specs = (spec(6, 2, 5),)
    params = {k: p.detach() for k, p in model.named_parameters()}
    step = sn.value_and_grad(loss_of(model))
    sn.trace(step, params, *specs).save(tmp_path / "step.sn")
    args = draw(specs)
    got, want = sn.load(tmp_path / "step.sn")(params, *args), step(params, *args)
    for x, y in zip(flatten(got), flatten(want), strict=True):
        assert x.detach().numpy().tobytes() == y.detach().numpy().tobytes()


def test_the_gradient_of_max_pooling_is_saved(tmp_path: Path) -> None:
    slope = sn.grad(lambda x: sn.nn.functional.max_pool1d(x, 2).sum())
    sn.trace(slope, spec(1, 2, 6)).save(tmp_path / "m.sn")
    x = sn.random.randn((1, 2, 6))
    assert sn.load(tmp_path / "m.sn")(x).tolist() == slope(x).tolist()


def test_what_files_cannot_hold_is_refused_when_saving(tmp_path: Path) -> None:
    def loss(x: sn.Tensor) -> sn.Tensor:
        lengths = sn.tensor([4]), sn.tensor([2])
        return sn.nn.functional.ctc_loss(x, sn.tensor([[1, 2]]), *lengths)

    graph = sn.trace(loss, spec(4, 1, 3))
    x = sn.log_softmax(sn.random.randn((4, 1, 3)), -1)
    assert graph(x).tolist() == loss(x).tolist()
    with pytest.raises(sn.InvalidValue, match="ctc"):
        graph.save(tmp_path / "m.sn")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.sn"
    small().save(path)
    before = path.read_bytes()

    def no_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", no_disk)
    with pytest.raises(sn.FileError, match="no space left"):
        small().save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_every_truncation_and_flip_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m.sn"
    graph = small()
    graph.save(path)
    whole, text = path.read_bytes(), str(sn.load(path))
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(sn.FileError):
            sn.load(path)
    x = sn.random.randn((4, 3))
    wanted = graph(x).tolist()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << (at % 7)
        path.write_bytes(bytes(changed))
        try:
            loaded = sn.load(path)
        except sn.FileError:
            continue
        # Only blanks, or the name of the checksum or of the graph, may differ.
        if isinstance(loaded, sn.Graph):
            assert str(loaded) == text and loaded(x).tolist() == wanted, at


def test_a_header_that_is_too_large_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "m.sn"
    for length in (2**63, 2**40, 10**9):
        path.write_bytes(struct.pack("<Q", length) + b"{}")
        with pytest.raises(sn.FileError):
            sn.load(path)


def node(graph: dict[str, Any], op: str) -> dict[str, Any]:
    return next(n for n in graph["nodes"] if n["op"] == op)


DAMAGES: dict[str, tuple[Any, str]] = {
    "cycle": (lambda g, h: node(g, "permute").update({"in": [len(g["nodes"]) + 2]}), "made later"),
    "self": (lambda g, h: node(g, "matmul").update({"in": [0, 4]}), "made later"),
    "missing operand": (lambda g, h: node(g, "add")["in"].pop(), "operands"),
    "one more operand": (lambda g, h: node(g, "add")["in"].append(0), "operands"),
    "negative operand": (lambda g, h: node(g, "add")["in"].__setitem__(0, -1), "operand is -1"),
    "unknown op": (lambda g, h: node(g, "add").update(op="launch"), "no operation 'launch'"),
    "axis": (lambda g, h: node(g, "permute")["attrs"].update(axes=[1, 9]), "axis is out of range"),
    "axes twice": (lambda g, h: node(g, "permute")["attrs"].update(axes=[1, 1]), "appear once"),
    "huge axis": (lambda g, h: node(g, "permute")["attrs"].update(axes=[0, 2**62]), "too large"),
    "attribute": (lambda g, h: node(g, "permute").update(attrs={}), "'axes' is missing"),
    "more attributes": (lambda g, h: node(g, "permute")["attrs"].update(b=1), "'b' is unknown"),
    "attribute type": (lambda g, h: node(g, "permute")["attrs"].update(axes="x"), "is missing"),
    "result shape": (lambda g, h: node(g, "add")["out"][0].update(shape=[4, 3]), "by its rules"),
    "result dtype": (lambda g, h: node(g, "add")["out"][0].update(dtype="int8"), "by its rules"),
    "result count": (lambda g, h: node(g, "add")["out"].append({}), "too many results"),
    "no dtype": (lambda g, h: node(g, "add")["out"][0].update(dtype="float31"), "is no dtype"),
    "two dtypes": (lambda g, h: g["arguments"][0].update(dtype="float64"), "different dtypes"),
    "size": (lambda g, h: g["arguments"][0].update(shape=[-4, 3]), "a size is -4"),
    "elements": (lambda g, h: g["arguments"][0].update(shape=[2**40, 2**40]), "too many elements"),
    "dimensions": (lambda g, h: g["arguments"][0].update(shape=[1] * 40), "too many dimensions"),
    "float size": (lambda g, h: g["arguments"][0].update(shape=[4.5, 3]), "no 64-bit integer"),
    "big size": (lambda g, h: g["arguments"][0].update(shape=[2**64, 3]), "no 64-bit integer"),
    "result": (lambda g, h: g.update(results=[99]), "does not exist"),
    "name twice": (lambda g, h: g["parameters"][1].update(name="weight"), "two inputs"),
    "parameter shape": (lambda g, h: g["parameters"][1].update(shape=[3]), "broadcast"),
    "other tensor": (lambda g, h: g["parameters"][1].update(name="scale"), "'scale' as float32"),
    "tensor too many": (
        lambda g, h: h.update(z={"dtype": "U8", "shape": [0], "data_offsets": [32, 32]}),
        "does not use 'z'"),
    "future": (lambda g, h: g.update(version=99), "version 99"),
    "format": (lambda g, h: g.update(format="other"), "no graph of Sennit"),
    "site": (lambda g, h: node(g, "add").update(site=9), "a site is out of range"),
    "signature": (lambda g, h: g["signature"].update(args={"tuple": []}), "every argument"),
    "signature twice": (
        lambda g, h: g["signature"].update(args={"tuple": [{"input": 0}, {"input": 0}]}),
        "every argument"),
    "signature result": (lambda g, h: g["signature"].update(result={"output": 4}), "not exist"),
    "signature member": (lambda g, h: g["signature"].pop("name"), "members"),
    "signature kind": (lambda g, h: g["signature"].update(result={"call": "x"}), "structure"),
    "more members": (lambda g, h: g.update(code="x"), "unknown"),
    "no nodes": (lambda g, h: g.pop("nodes"), "'nodes' is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_graphs_that_cannot_be_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.sn"
    small().save(path)
    rewrite(path, lambda g, h: None)
    assert sn.load(path)(sn.ones((4, 3))).shape == (4, 2)
    change, reason = DAMAGES[name]
    rewrite(path, change)
    with pytest.raises(sn.FileError, match=reason) as caught:
        sn.load(path)
    assert str(path) in str(caught.value) and caught.value.code == "SN109"


TEXTS = [
    ("", "'{' is missing"), ("[]", "'{' is missing"), ('{"a":1}', "'format' is missing"),
    ('{"format":"\\ud800"}', "surrogate"), ('{"format":"\\x"}', "escape"),
    ('{"format":"\n"}', "control"), (b'{"format":"\xff"}', "UTF-8"), ('{"format', "does not end"),
    ('{"format":"sennit graph","version":1 2}', "',' is missing"),
    ('{"format":"sennit graph","version":1e0}', "no 64-bit integer"),
    ('{"format":"sennit graph","version":-}', "a number is expected"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), TEXTS, ids=range(len(TEXTS)))
def test_bad_json(text: str | bytes, reason: str) -> None:
    with pytest.raises(sn.FileError, match=reason):
        sn._core.read_graph(text if isinstance(text, bytes) else text.encode())


def test_deep_nesting_is_refused() -> None:
    text = small()._program.write()
    for bad in ("[" * 100_000, '{"a":' * 100_000):
        with pytest.raises(sn.FileError, match="nested too deeply"):
            sn._core.read_graph(text.replace('"signature":null', f'"signature":{bad}').encode())


@pytest.mark.parametrize(
    ("start", "reason"),
    [(5, "start is out of range"), (3, "leaves the tensor"), (-1, "leaves the tensor")],
)
def test_slices_stay_inside(start: int, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "m.sn"
    sn.trace(lambda x: x[1:3], spec(4)).save(path)
    rewrite(path, lambda g, h: g["numbers"][0].update(int=start))
    with pytest.raises(sn.FileError, match=reason):
        sn.load(path)


def test_draws_are_no_other_numbers(tmp_path: Path) -> None:
    path = tmp_path / "m.sn"
    sn.trace(lambda x: x[1:3] + sn.random.normal(shape=(2,)), spec(4)).save(path)

    def use_draw(graph: dict[str, Any], _: Any) -> None:
        (draw,) = (i for i, n in enumerate(graph["numbers"]) if "draw" in n)
        node(graph, "slice")["in"][1] = 1 + draw

    rewrite(path, use_draw)
    with pytest.raises(sn.FileError, match="a draw is an operand of 'slice'"):
        sn.load(path)


def test_noise_never_does_more_than_raise(full: bool) -> None:
    """Graphs of several networks with a few things changed; those that can be read are run."""
    rng = random.Random(0)
    graphs = []
    for make, specs in MODELS.values():
        model = make()
        graphs.append(sn.trace(model, *specs))
        params = {k: p.detach() for k, p in model.named_parameters()}
        graphs.append(sn.trace(sn.grad(loss_of(model)), params, *specs))
    for make, specs in OPEN_MODELS.values():
        graphs.append(sn.trace(make(), *specs))
    graphs = [json.loads(g._program.write()) for g in graphs]
    ops = sorted({n["op"] for g in graphs for n in g["nodes"]})
    for _ in range(5_000 if full else 600):
        for text in repaired(mutated(rng.choice(graphs), rng, ops)):
            try_graph(text, rng)


# ---------------------------------------------------------------- golden files

GOLDEN = HERE / "golden"


def golden_graph(name: str) -> tuple[sn.Graph, tuple[sn.Tensor, ...]]:
    sn.random.seed(20)
    if name == "gpt":
        specs: Any = (spec(2, 5, dtype=sn.int64),)
        return sn.trace(GPT(width=8, depth=1), *specs), draw(specs)
    specs = (spec(3, 2, 5),)
    if name == "open_lstm":
        open_spec = sn.TensorSpec((sn.Dim("t", min=1), "n", 5))
        return sn.trace(Tagger(), open_spec), draw(specs)
    return sn.trace(Tagger(), *specs), draw(specs)


@pytest.mark.parametrize("name", ["writer", "router"])
def test_golden_control_flow(name: str) -> None:
    """Written and never written again, as the graphs above; at two sizes."""
    graph = sn.load(GOLDEN / f"{name}_v3.sn")
    recorded = sn.load(GOLDEN / f"{name}_v3.safetensors")
    for k in range(2):
        args = [recorded[f"{k}.{v.name}"] for v in graph.inputs]
        for i, x in enumerate(flatten(graph(*args))):
            assert x.detach().numpy().tobytes() == recorded[f"{k}.result.{i}"].numpy().tobytes()


def test_a_golden_step_still_trains() -> None:
    """Written and never written again, as the graphs above; two steps from its weights."""
    step = sn.load(GOLDEN / "step_v2.sn")
    recorded = sn.load(GOLDEN / "step_v2.safetensors")
    losses = [step(recorded["x"], recorded["y"]) for _ in range(2)]
    assert sn.stack(losses).numpy().tobytes() == recorded["losses"].numpy().tobytes()
    for name, value in step.parameters.items():
        want = recorded[f"after.{name}"].numpy().tobytes()
        assert value.detach().numpy().tobytes() == want, name


@pytest.mark.parametrize("name", ["gpt_v1", "lstm_v1", "open_lstm_v2"])
def test_golden_files_are_read_by_every_later_version(name: str) -> None:
    """Written once, by the version in which the format became what it is; never written again."""
    graph = sn.load(GOLDEN / f"{name}.sn")
    recorded = sn.load(GOLDEN / f"{name}.safetensors")
    result = graph(recorded.pop("input"))
    result = {"logits": result} if name.startswith("gpt") else {
        "tags": result["tags"], "h": result["state"][0], "c": result["state"][1]}  # fmt: skip
    assert set(result) == set(recorded)
    for key, x in result.items():
        assert x.detach().numpy().tobytes() == recorded[key].numpy().tobytes(), key
