"""Damaged files: a clear error, and Python's reader and the runtime's agree on what is one."""

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

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "graph")]

from capi import FILE, Failure, Model, Session, lib, run_program  # noqa: E402
from graph_models import MODELS  # noqa: E402

COPY, SKIP_CHECKSUM = 1, 2


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    sn.random.seed(2)
    make, specs = MODELS["mlp"]
    path = tmp_path_factory.mktemp("models") / "m.sn"
    sn.trace(make(), *specs).save(path)
    return path.read_bytes()


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(head: Any, rest: bytes, keep_checksum: bool = False) -> bytes:
    """A file that wants to be believed: without the checksum, which finds accidents."""
    if not keep_checksum:
        head["__metadata__"].pop("sha256", None)
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + rest


def refused(data: bytes) -> str:
    with pytest.raises(Failure) as caught:
        Model(data)
    assert caught.value.status == FILE, caught.value
    return str(caught.value)


def test_truncated_files(good: bytes) -> None:
    for size in [*range(12), 100, 1000, len(good) // 2, len(good) - 1]:
        text = refused(good[:size])
        assert "[load]" in text and "SN109" in text
    assert "and the file has" in refused(good + b"\0")


def test_flipped_bits_are_found_by_the_checksum(good: bytes) -> None:
    head, rest = split(good)
    start = len(good) - len(rest)
    for at in random.Random(1).sample(range(start, len(good)), 30):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        assert "checksum" in refused(bytes(bad))
        Model(bytes(bad), SKIP_CHECKSUM)
    assert head["__metadata__"]["sha256"]


def test_headers_that_lie(good: bytes) -> None:
    head, rest = split(good)
    for length in (2**63, 2**64 - 1, 100_000_001, len(good), 0):
        refused(struct.pack("<Q", length) + good[8:])

    def changed(change: Any) -> str:
        copy = json.loads(json.dumps(head))
        change(copy)
        return refused(join(copy, rest))

    name = next(n for n in head if n != "__metadata__")
    assert "dtype" in changed(lambda h: h[name].update(dtype="F33"))
    assert "bytes" in changed(lambda h: h[name].update(shape=[2**40, 2**40]))
    assert "takes" in changed(lambda h: h[name].update(shape=[1]))
    assert "dimensions" in changed(lambda h: h[name].update(shape=[1] * 33))
    assert "-1" in changed(lambda h: h[name].update(shape=[-1]))
    assert "overlaps" in changed(
        lambda h: h.update({"more": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}})
    )
    assert "not just" in changed(lambda h: h[name].update(more=1))
    assert "not just" in changed(lambda h: h[name].pop("shape"))
    assert "graph needs" in changed(lambda h: h.update({"other": h.pop(name)}))
    assert "no graph" in changed(lambda h: h["__metadata__"].pop("sennit.graph"))
    twice = json.dumps(head)[:-1] + f', "{name}": {json.dumps(head[name])}}}'
    assert "twice" in refused(join(twice.encode(), rest, True))


def test_graphs_that_are_ill_typed(good: bytes) -> None:
    head, rest = split(good)

    def changed(change: Any) -> str:
        copy = json.loads(json.dumps(head))
        graph = json.loads(copy["__metadata__"]["sennit.graph"])
        change(graph)
        copy["__metadata__"]["sennit.graph"] = json.dumps(graph)
        return refused(join(copy, rest))

    assert "no operation" in changed(lambda g: g["nodes"][0].update(op="system"))
    assert "made later" in changed(lambda g: g["nodes"][0].update({"in": [99, 0]}))
    assert "by its rules" in changed(lambda g: g["nodes"][-1]["out"][0].update(shape=[4, 9]))
    assert "version" in changed(lambda g: g.update(version=99))
    assert "result does not exist" in changed(lambda g: g.update(results=[10**6]))
    for signature in (
        {"name": "f"},
        {"name": "f", "args": {"tuple": []}, "kwargs": {"dict": []}, "result": {"output": 0}},
        {"name": "f", "args": {"list": []}, "kwargs": {"dict": []}, "result": {"output": 0}},
        {
            "name": "f",
            "args": {"tuple": [{"input": 0}]},
            "kwargs": {"dict": []},
            "result": {"output": 1},
        },
        {
            "name": "f",
            "args": {"tuple": [{"input": 0}]},
            "kwargs": {"dict": []},
            "result": {"none": False},
        },
    ):
        assert "signature" in changed(lambda g, s=signature: g.update(signature=s))


def test_files_that_are_no_files(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.sn", tmp_path):
        with pytest.raises(Failure, match=r"cannot be read") as caught:
            Model(path)
        assert caught.value.status == FILE and str(path) in str(caught.value)
        assert str(path) in run_program(path, ok=False)
    (tmp_path / "empty.sn").write_bytes(b"")
    with pytest.raises(Failure, match="a header takes 8"):
        Model(tmp_path / "empty.sn")


def test_metadata_and_names_in_any_script(tmp_path: Path) -> None:
    """The checksum is that of Python's text, whatever stands in it."""
    graph = sn.trace(lambda x: {"größe": x + 1, "梯度": (x, x * 2)}, sn.TensorSpec((2,)))
    graph.save(tmp_path / "m.sn")
    loaded, _ = sn.load(tmp_path / "m.sn", with_metadata=True)
    assert isinstance(loaded, sn.Graph)
    from sennit._files import GRAPH, save

    text = split((tmp_path / "m.sn").read_bytes())[0]["__metadata__"][GRAPH]
    odd = {"ключ": 'a"b\\c\n\t\r\b\f\x01\x7f/é\U0001f600', GRAPH: text}
    save({}, tmp_path / "odd.sn", odd)
    model = Model(tmp_path / "odd.sn")
    assert lib.sn_model_metadata(model.handle, "ключ".encode()).decode() == odd["ключ"]
    assert lib.sn_model_metadata(model.handle, b"other") is None
    assert [name for name, *_ in model.infos("output")] == ["größe", "梯度.0", "梯度.1"]


def both(data: bytes, path: Path) -> tuple[str, str]:
    """What the two readers say: "" where one takes the file."""
    path.write_bytes(data)
    try:
        loaded = sn.load(path)
        python = "" if isinstance(loaded, sn.Graph) else "no graph"
    except sn.FileError as failure:
        python = str(failure)
    try:
        Model(data)
        runtime = ""
    except Failure as failure:
        assert failure.status == FILE, failure
        runtime = str(failure)
    return python, runtime


@pytest.mark.parametrize("seed", range(4))
def test_both_readers_agree(seed: int, good: bytes, tmp_path: Path, request: Any) -> None:
    rng = random.Random(seed)
    head, rest = split(good)
    head["__metadata__"].pop("sha256")
    text = json.dumps(head).encode()
    taken = 0
    for _ in range(3000 if request.config.getoption("--full") else 150):
        bad = bytearray(text)
        for _ in range(rng.randrange(1, 3)):
            at = rng.randrange(len(bad))
            what = rng.randrange(4)
            if what == 0:
                bad[at] = rng.randrange(256)
            elif what == 1:
                bad[at : at + rng.randrange(1, 8)] = b""
            elif what == 2:
                bad[at:at] = rng.choice([b"0", b"-", b" ", b"[", b"}", b'"', b",", b"1e5", b"null"])
            else:  # digits, which stand in shapes and offsets
                places = [i for i, b in enumerate(bad) if 48 <= b <= 57]
                bad[rng.choice(places)] = rng.randrange(48, 58)
        data = join(bytes(bad), rest, True)
        if b"\\ud" in bytes(bad).lower():  # half a surrogate pair: Python's json takes it
            continue
        python, runtime = both(data, tmp_path / "m.sn")
        assert bool(python) == bool(runtime), (bytes(bad)[:200], python, runtime)
        taken += not python
    assert taken < 140 * 20


def test_weights_that_do_not_lie_aligned(good: bytes) -> None:
    head, rest = split(good)
    text = json.dumps(
        {**head, "__metadata__": {"sennit.graph": head["__metadata__"]["sennit.graph"]}}
    )
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)
    (wanted,) = Session(Model(good)).run(x)
    for pad in range(4):
        (made,) = Session(Model(join((text + " " * pad).encode(), rest, True))).run(x)
        assert made.tobytes() == wanted.tobytes()
