"""The C++ runtime gives the bits that Python gives."""

from __future__ import annotations

import ctypes as c
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit._tree import flatten

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "graph")]

from capi import LIBRARY, SHAPE, Failure, Model, Session, lib, run_program  # noqa: E402
from graph_models import MODELS, draw  # noqa: E402

pytestmark = pytest.mark.bits


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = lib.sn_threads()
    yield
    lib.sn_set_threads(before)


def saved(name: str, folder: Path) -> tuple[Path, list[np.ndarray], list[np.ndarray]]:
    """The file of a model, arguments, and what Python makes of them."""
    sn.random.seed(3)
    make, specs = MODELS[name]
    graph = sn.trace(make(), *specs)
    path = folder / f"{name}.sn"
    graph.save(path)
    args = draw(specs)
    results = [x.detach().numpy() for x in flatten(graph(*args))]
    return path, [x.numpy() for x in args], results


def same(made: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    assert len(made) == len(wanted)
    for a, b in zip(made, wanted, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == np.ascontiguousarray(b).tobytes()


@pytest.mark.parametrize("name", list(MODELS))
def test_the_library_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    path, args, wanted = saved(name, tmp_path)
    session = Session(Model(path))
    for threads in (1, 2):
        assert lib.sn_set_threads(threads) == 0
        for _ in range(3):  # the first call plans, the second finds the plan
            same(session.run(*args), wanted)
    same(Session(Model(path.read_bytes())).run(*args), wanted)


@pytest.mark.parametrize("name", list(MODELS))
def test_the_program_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    path, args, wanted = saved(name, tmp_path)
    words: list[Any] = [path, "--repeat", 3]
    for i, x in enumerate(args):
        np.save(tmp_path / f"x{i}.npy", x)
        words += ["--input", tmp_path / f"x{i}.npy"]
    for threads in (1, 2):
        for k in range(len(wanted)):
            words += ["--output", tmp_path / f"y{k}.npy"] if threads == 1 else []
        text = run_program(*words, "--threads", threads)
        assert f"3 runs on {threads} threads" in text and "memory: " in text
        same([np.load(tmp_path / f"y{k}.npy") for k in range(len(wanted))], wanted)


def test_random_numbers_are_those_of_python(tmp_path: Path) -> None:
    model = sn.nn.Sequential(sn.nn.Linear(4, 8), sn.nn.Dropout(0.5))
    graph = sn.trace(model, sn.TensorSpec((3, 4)))
    graph.save(tmp_path / "m.sn")
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    sn.random.seed(11)
    wanted = [graph(sn.asarray(x)).detach().numpy() for _ in range(3)]
    assert (wanted[0] != wanted[1]).any()
    handle = Model(tmp_path / "m.sn")
    one, other = Session(handle, seed=11), Session(handle, seed=11)
    for y in wanted:
        same(one.run(x), [y])
        same(other.run(x), [y])  # a session's generator is its own
    assert lib.sn_session_set_generator(one.handle, c.c_uint64(11), c.c_uint64(0)) == 0
    same(one.run(x), [wanted[0]])
    np.save(tmp_path / "x.npy", x)
    words = [tmp_path / "m.sn", "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy"]
    run_program(*words, "--seed", 11, "--repeat", 2)
    same([np.load(tmp_path / "y.npy")], [wanted[1]])


def test_every_dtype_passes_through(tmp_path: Path) -> None:
    for dtype in (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64", "complex64", "complex128",
    ):  # fmt: skip
        x = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
        spec = sn.TensorSpec((2, 3), getattr(sn, dtype))
        graph = sn.trace(lambda x: (x, x.T, sn.concat([x, x])), spec)
        graph.save(tmp_path / "m.sn")
        wanted = [x, x.T, np.concatenate([x, x])]
        same(Session(Model(tmp_path / "m.sn")).run(x), wanted)
        np.save(tmp_path / "x.npy", np.asfortranarray(x))
        words = [tmp_path / "m.sn", "--input", tmp_path / "x.npy"]
        for k in range(3):
            words += ["--output", tmp_path / f"{k}.npy"]
        run_program(*words)
        same([np.load(tmp_path / f"{k}.npy") for k in range(3)], wanted)


def test_threads_may_run_their_own_sessions(tmp_path: Path) -> None:
    loads = {name: saved(name, tmp_path) for name in MODELS}
    shared = {name: Model(path) for name, (path, _, _) in loads.items()}
    failures: list[BaseException] = []

    def work(order: list[str]) -> None:
        try:
            sessions = {name: Session(shared[name]) for name in order}
            for _ in range(5):
                for name in order:
                    same(sessions[name].run(*loads[name][1]), loads[name][2])
        except BaseException as failure:
            failures.append(failure)

    names = list(loads)
    threads = [threading.Thread(target=work, args=(names[i:] + names[:i],)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[0]


def test_calls_that_come_back(tmp_path: Path) -> None:
    """More shapes than a session keeps prepared, in and out of order, across other threads' counts;
    each call draws its own numbers."""
    dropout = sn.nn.Dropout(0.5)
    graph = sn.trace(lambda x: (dropout(x) + sn.ones(3), x[:1]), sn.TensorSpec(("n", 3)))
    graph.save(tmp_path / "m.sn")
    session = Session(Model(tmp_path / "m.sn"), seed=3)
    sn.random.seed(3)
    sizes = [*range(1, 13), 12, 1, 5, 1, *range(12, 0, -1)]
    before = lib.sn_threads()
    try:
        for i, n in enumerate(sizes):
            if i % 7 == 3:
                assert lib.sn_set_threads(1 + i % 2) == 0
            x = np.random.default_rng(n).standard_normal((n, 3)).astype(np.float32)
            wanted = [y.detach().numpy() for y in graph(sn.asarray(x))]
            same(session.run(x), wanted)
            with pytest.raises(Failure):
                session.run(x[:, :2])
            with pytest.raises(Failure):
                session.run(x.astype(np.float64))
    finally:
        lib.sn_set_threads(before)


def test_versions_agree() -> None:
    assert lib.sn_version().decode() == sn.__version__
    assert lib.sn_numerics_version() == sn.numerics_version
    assert lib.sn_abi_version() == 1
    assert Path(sn.get_library_dir()) == LIBRARY.parent
    assert (Path(sn.get_include()) / "sennit" / "sennit.h").is_file()


def test_open_sizes(tmp_path: Path) -> None:
    """One file for any batch and length."""
    sn.random.seed(5)
    model = sn.nn.LSTM(5, 8, bidirectional=True)

    def f(x: Any) -> Any:
        y, _ = model(x)
        return {"y": y, "flat": y.reshape(-1, 16), "both": sn.concat([x, x], axis=1)}

    graph = sn.trace(f, sn.TensorSpec(("length", "n", 5)))
    graph.save(tmp_path / "m.sn")
    handle = Model(tmp_path / "m.sn")
    assert handle.infos("input") == [("x", "float32", [-1, -1, 5], ["length", "n", None])]
    shapes = {name: (shape, dims) for name, _, shape, dims in handle.infos("output")}
    assert shapes["y"] == ([-1, -1, 16], ["length", "n", None])
    assert shapes["flat"][0] == [-1, 16] and "length" in (shapes["flat"][1][0] or "")
    assert shapes["both"] == ([-1, -1, 5], ["length", "2*n", None])
    assert "input x: float32[length, n, 5]" in run_program(tmp_path / "m.sn", "--inspect")
    session = Session(handle)
    for length, n in ((1, 1), (7, 2), (3, 5), (7, 2)):
        x = np.random.default_rng(n).standard_normal((length, n, 5)).astype(np.float32)
        wanted = [y.detach().numpy() for y in flatten(graph(sn.asarray(x)))]
        told = [list(t.shape[: t.rank]) for t in session.shapes(x)]
        assert told == [list(y.shape) for y in wanted]
        same(session.run(x), wanted)
    with pytest.raises(Failure, match="x") as caught:
        session.run(np.zeros((3, 2, 4), np.float32))
    assert caught.value.status == SHAPE
