"""The calls of the C interface: what they say of models, and of what is given wrongly."""

from __future__ import annotations

import ctypes as c
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from capi import (  # noqa: E402
    BUFFER,
    DEVICE,
    DTYPE,
    INDEX,
    MEMORY,
    SHAPE,
    VALUE,
    Failure,
    LoadOptions,
    MemoryStats,
    Model,
    Session,
    SessionOptions,
    TensorStruct,
    ValueInfo,
    array_of,
    check,
    lib,
    run_program,
    struct_of,
)  # fmt: skip


def f(x: Any, y: Any, *, scale: Any) -> Any:
    return {"sum": (x + y) * scale, "parts": [x, sn.argmax(y, axis=0)]}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models") / "f.sn"
    spec = sn.TensorSpec((2, 3))
    sn.trace(f, spec, spec, scale=sn.TensorSpec((), sn.float32)).save(made)
    return made


ARGS = (
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.ones((2, 3), np.float32),
    np.array(2, np.float32),
)


def refused(status: int, code: int) -> str:
    assert status == code, (status, lib.sn_last_error())
    return str(lib.sn_last_error().decode())


def test_what_a_model_takes_and_gives(path: Path) -> None:
    model = Model(path)
    assert lib.sn_model_name(model.handle) == b"f"
    assert model.infos("input") == [
        ("x", "float32", [2, 3], [None, None]),
        ("y", "float32", [2, 3], [None, None]),
        ("scale", "float32", [], []),
    ]
    assert model.infos("output") == [
        ("sum", "float32", [2, 3], [None, None]),
        ("parts.0", "float32", [2, 3], [None, None]),
        ("parts.1", "int64", [3], [None]),
    ]
    assert model.infos("parameter") == []
    index = c.c_size_t(9)
    assert lib.sn_model_find_output(model.handle, b"parts.1", c.byref(index)) == 0
    assert index.value == 2
    text = refused(lib.sn_model_find_input(model.handle, b"z", c.byref(index)), VALUE)
    assert "'z'" in text and "'x', 'y', 'scale'" in text
    info = ValueInfo(c.sizeof(ValueInfo))
    text = refused(lib.sn_model_input(model.handle, c.c_size_t(3), c.byref(info)), INDEX)
    assert "3" in text
    short = ValueInfo(16)  # a program that knows the first members only
    assert lib.sn_model_input(model.handle, c.c_size_t(0), c.byref(short)) == 0
    assert short.name == b"x" and not short.shape
    refused(lib.sn_model_input(model.handle, c.c_size_t(0), c.byref(ValueInfo())), VALUE)


def test_buffers_of_the_caller(path: Path) -> None:
    session = Session(Model(path))
    shapes = session.shapes(*ARGS)
    assert [list(t.shape[: t.rank]) for t in shapes] == [[2, 3], [2, 3], [3]]
    assert [t.bytes for t in shapes] == [24, 24, 24]
    wanted = session.run(*ARGS)
    given, made = session.structs(ARGS)
    blocks = [np.full(40, 255, np.uint8) for _ in range(3)]
    for t, block in zip(made, blocks, strict=True):
        t.data, t.bytes = block.ctypes.data, block.nbytes
    check(lib.sn_run(session.handle, given, c.c_size_t(3), made, c.c_size_t(3)))
    for t, block, y in zip(made, blocks, wanted, strict=True):
        assert array_of(t).tobytes() == y.tobytes()
        assert (block[24:] == 255).all()  # nothing beyond the result is written
    made[1].bytes = 23
    before = blocks[1].copy()
    text = refused(lib.sn_run(session.handle, given, c.c_size_t(3), made, c.c_size_t(3)), BUFFER)
    assert "'parts.0' has 23 bytes and takes 24" in text and made[1].bytes == 24
    assert (blocks[1] == before).all()


def test_a_result_that_is_an_argument_is_a_copy(path: Path) -> None:
    session = Session(Model(path))
    args = tuple(x.copy() for x in ARGS)
    given, made = session.structs(args)
    check(lib.sn_run(session.handle, given, c.c_size_t(3), made, c.c_size_t(3)))
    args[0][:] = -1
    assert (array_of(made[1]) == ARGS[0]).all()


def test_arguments_that_do_not_lie_aligned(path: Path) -> None:
    session = Session(Model(path))
    block = np.zeros(25, np.uint8)
    block[1:] = np.frombuffer(ARGS[0].tobytes(), np.uint8)
    odd = struct_of(ARGS[0])
    odd.data = block.ctypes.data + 1
    given, made = session.structs(ARGS)
    given[0] = odd
    check(lib.sn_run(session.handle, given, c.c_size_t(3), made, c.c_size_t(3)))
    assert (array_of(made[0]) == (ARGS[0] + 1) * 2).all()


def test_wrong_arguments(path: Path) -> None:
    session = Session(Model(path))

    def run(code: int, *args: np.ndarray, change: Any = None) -> str:
        given, made = session.structs(args)
        if change:
            change(given)
        return refused(
            lib.sn_run(session.handle, given, c.c_size_t(len(args)), made, c.c_size_t(3)), code
        )

    x, y, scale = ARGS
    assert "2 inputs and 3 outputs" in run(VALUE, x, y)
    assert "(3, 2)" in run(SHAPE, x.T, y, scale)
    assert "float64" in run(DTYPE, x.astype(np.float64), y, scale)

    def member(name: str, value: Any) -> Any:
        return lambda given: setattr(given[0], name, value)

    assert "99" in run(DTYPE, x, y, scale, change=member("dtype", 99))
    assert "rank 33" in run(SHAPE, x, y, scale, change=member("rank", 33))
    assert "rank -1" in run(SHAPE, x, y, scale, change=member("rank", -1))
    assert "23 bytes" in run(VALUE, x, y, scale, change=member("bytes", 23))
    assert "is NULL" in run(VALUE, x, y, scale, change=member("data", None))

    def negative(given: Any) -> None:
        given[0].shape[0] = -2

    assert "-2" in run(SHAPE, x, y, scale, change=negative)

    def huge(given: Any) -> None:
        given[0].shape[:2] = [2**62, 2**62]

    assert "2**63" in run(MEMORY, x, y, scale, change=huge)
    (total, *_) = session.run(*ARGS)  # and it works as before
    assert (total == (x + y) * 2).all()
    assert refused(lib.sn_run(None, None, c.c_size_t(0), None, c.c_size_t(0)), VALUE)


def test_a_failure_while_it_runs(tmp_path: Path) -> None:
    table = sn.nn.Embedding(5, 2)
    sn.trace(table, sn.TensorSpec((3,), sn.int64)).save(tmp_path / "m.sn")
    session = Session(Model(tmp_path / "m.sn"))
    good = np.array([0, 4, 1])
    (wanted,) = session.run(good)
    for _ in range(3):
        with pytest.raises(Failure, match="7") as caught:
            session.run(np.array([0, 7, 1]))
        assert caught.value.status == INDEX
        (made,) = session.run(good)
        assert made.tobytes() == wanted.tobytes()


def test_pointers_and_options(path: Path) -> None:
    handle = c.c_void_p()
    assert "path is NULL" in refused(lib.sn_model_load(None, None, c.byref(handle)), VALUE)
    assert refused(lib.sn_model_load(str(path).encode(), None, None), VALUE)
    assert refused(lib.sn_model_load_memory(None, c.c_size_t(0), None, c.byref(handle)), VALUE)
    bad = LoadOptions(c.sizeof(LoadOptions), 64)
    assert "0x40" in refused(
        lib.sn_model_load(str(path).encode(), c.byref(bad), c.byref(handle)), VALUE
    )
    assert not handle.value
    model = Model(path, 1)
    options = SessionOptions(c.sizeof(SessionOptions), 0, b"cuda", 0)
    text = refused(lib.sn_session_create(model.handle, c.byref(options), c.byref(handle)), DEVICE)
    assert "'cuda'" in text and "'cpu'" in text
    assert "0" in refused(lib.sn_set_threads(0), VALUE)
    lib.sn_model_free(None)
    lib.sn_session_free(None)
    assert lib.sn_dtype_name(11) == b"float32" and lib.sn_dtype_name(15) is None
    assert lib.sn_dtype_size(12) == 8 and lib.sn_dtype_size(-1) == 0


def test_a_session_outlives_its_model(path: Path) -> None:
    model = Model(path)
    session = Session(model)
    del model
    assert (session.run(*ARGS)[0] == (ARGS[0] + ARGS[1]) * 2).all()


def test_memory_is_counted_and_given_back(tmp_path: Path) -> None:
    sn.trace(lambda x: sn.sort(x * 2).sum(), sn.TensorSpec((1 << 20,))).save(tmp_path / "m.sn")
    stats = MemoryStats(c.sizeof(MemoryStats))
    session = Session(Model(tmp_path / "m.sn"))
    x = np.zeros(1 << 20, np.float32)
    session.run(x)
    check(lib.sn_memory(c.byref(stats)))
    before = stats.in_use
    lib.sn_reset_peak()
    for _ in range(5):
        session.run(x)
    check(lib.sn_memory(c.byref(stats)))
    assert stats.in_use == before and stats.peak >= before
    assert refused(lib.sn_memory(None), VALUE)


def test_empty_arrays_and_rank_0(tmp_path: Path) -> None:
    spec = sn.TensorSpec((0, 3))
    sn.trace(lambda x: (x + 1, x.sum(), x.sum(axis=0)), spec).save(tmp_path / "m.sn")
    made = Session(Model(tmp_path / "m.sn")).run(np.empty((0, 3), np.float32))
    assert [y.shape for y in made] == [(0, 3), (), (3,)]
    assert made[1] == 0 and (made[2] == 0).all()
    sn.trace(
        lambda: sn.arange(3),
    ).save(tmp_path / "none.sn")
    (made_alone,) = Session(Model(tmp_path / "none.sn")).run()
    assert made_alone.tolist() == [0, 1, 2]


def test_the_program_inspects(path: Path) -> None:
    text = run_program(path, "--inspect")
    assert "model f" in text and "input y: float32[2, 3]" in text
    assert "output parts.1: int64[3]" in text
    assert sn.__version__ in run_program("--version") and "usage" in run_program("--help")


def test_the_program_complains(path: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ARGS[0])
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "b.npy", ARGS[0].astype(">f4"))
    (tmp_path / "t.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    x = tmp_path / "x.npy"
    for words, what in (
        ([], "no model is given"),
        ([path, "--fast"], "no option '--fast'"),
        ([path, "--repeat", "0"], "whole number from 1"),
        ([path, "--repeat", "1x"], "whole number"),
        ([path, "--threads"], "needs a value"),
        ([path, path], "two models"),
        ([path, "--input", x], "'y', which is float32[2, 3]"),
        ([path, "--input", f"z={x}"], "no 'z'"),
        ([path, "--input", f"x={x}", "--input", f"x={x}"], "given twice"),
        ([path, *["--input", x] * 4], "more files"),
        ([path, *["--input", x] * 3], "'scale' has shape (2, 3)"),
        ([path, "--input", tmp_path / "none.npy", *["--input", x] * 2], "cannot be read"),
        ([path, "--input", tmp_path / "o.npy", *["--input", x] * 2], "'|O'"),
        ([path, "--input", tmp_path / "b.npy", *["--input", x] * 2], "'>f4'"),
        ([path, "--input", tmp_path / "t.npy", *["--input", x] * 2], "bytes of elements"),
        ([path, "--input", path, *["--input", x] * 2], "no .npy file"),
    ):
        assert what in run_program(*words, ok=False), words


def test_shapes_need_no_data(path: Path) -> None:
    session = Session(Model(path))
    given, made = session.structs(ARGS)
    for t in given:
        t.data, t.bytes = None, 0
    check(lib.sn_output_shapes(session.handle, given, c.c_size_t(3), made, c.c_size_t(3)))
    assert made[0].bytes == 24
    assert TensorStruct.shape.offset == 24  # the layout that every program was compiled with
