"""A step of training that was saved trains in the C++ runtime: the bits of Python's."""

from __future__ import annotations

import ctypes as c
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "graph")]

from capi import (  # noqa: E402
    BUFFER,
    INDEX,
    Failure,
    Model,
    Session,
    TensorStruct,
    array_of,
    check,
    lib,
    run_program,
)  # fmt: skip

pytestmark = pytest.mark.bits


class Step:
    """A classifier with dropout and batch norm, an optimizer, and a step."""

    def __init__(self) -> None:
        sn.random.seed(4)
        self.model = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.25), nn.Linear(16, 3)
        )
        self.optimizer = sn.optim.AdamW(self.model.parameters(), lr=0.02)

    def __call__(self, x: Any, labels: Any) -> Any:
        loss = nn.functional.cross_entropy(self.model(x), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def save(self, path: Path) -> None:
        specs = sn.TensorSpec((8, 6)), sn.TensorSpec((8,), sn.int64)
        mutable = [self.model, self.optimizer]
        sn.trace(self.__call__, *specs, mutable=mutable).save(path)


def batches(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(9)
    made = []
    for _ in range(n):
        x = rng.standard_normal((8, 6)).astype(np.float32)
        made.append((x, (x[:, :3].argmax(axis=1)).astype(np.int64)))
    return made


def parameters(model: Model, session: Session) -> dict[str, np.ndarray]:
    found = {}
    for i, (name, *_) in enumerate(model.infos("parameter")):
        t = TensorStruct()
        check(lib.sn_session_parameter(session.handle, c.c_size_t(i), c.byref(t)))
        found[name] = array_of(t)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Step().save(tmp_path / "step.sn")
    return tmp_path / "step.sn"


def python(steps: int) -> tuple[list[bytes], dict[str, np.ndarray]]:
    """Losses and parameters of imperative training."""
    step = Step()
    sn.random.seed(21)
    losses = [step(sn.asarray(x), sn.asarray(y)).numpy().tobytes() for x, y in batches(steps)]
    return losses, {k: v.detach().numpy() for k, v in step.model.state_dict().items()}


def test_it_trains_as_python_does(path: Path) -> None:
    losses, wanted = python(12)
    for threads in (1, 2):
        check(lib.sn_set_threads(threads))
        model = Model(path)
        assert len(model.infos("output")) == 1
        session, other = Session(model, seed=21), Session(model, seed=21)
        for (x, y), loss in zip(batches(12), losses, strict=True):
            assert session.run(x, y)[0].tobytes() == loss
        made = parameters(model, session)
        for name, value in wanted.items():
            (key,) = [k for k in made if k == name or k.endswith(f".{name}")]
            assert made[key].tobytes() == np.ascontiguousarray(value).tobytes(), key
        # Another session of the same model begins with the file's parameters.
        assert other.run(*batches(1)[0])[0].tobytes() == losses[0]


def test_it_goes_on_from_what_was_saved(path: Path, tmp_path: Path) -> None:
    losses, _ = python(12)
    session = Session(Model(path), seed=21)
    for x, y in batches(12)[:5]:
        session.run(x, y)
    seed, draws = c.c_uint64(), c.c_uint64()
    check(lib.sn_session_generator(session.handle, c.byref(seed), c.byref(draws)))
    check(lib.sn_session_save(session.handle, os.fsencode(tmp_path / "later.sn")))
    resumed = Session(Model(tmp_path / "later.sn"))
    check(lib.sn_session_set_generator(resumed.handle, seed, draws))
    for (x, y), loss in zip(batches(12)[5:], losses[5:], strict=True):
        assert resumed.run(x, y)[0].tobytes() == loss
    # ... and in Python, which checks the checksum that the runtime has written.
    graph = sn.load(tmp_path / "later.sn")
    now = parameters(model := Model(tmp_path / "later.sn"), Session(model))
    assert set(graph.parameters) | set(graph.constants) == set(now)
    for name, value in graph.parameters.items():
        assert value.detach().numpy().tobytes() == now[name].tobytes()


def test_the_program_trains(path: Path, tmp_path: Path) -> None:
    x, y = batches(1)[0]
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    session = Session(model := Model(path), seed=3)
    for _ in range(4):
        session.run(x, y)
    run_program(
        path, "--input", tmp_path / "x.npy", "--input", tmp_path / "y.npy", "--repeat", 4,
        "--seed", 3, "--save", tmp_path / "trained.sn",
    )  # fmt: skip
    trained = Model(tmp_path / "trained.sn")
    wanted, made = parameters(model, session), parameters(trained, Session(trained))
    assert {k: v.tobytes() for k, v in made.items()} == {k: v.tobytes() for k, v in wanted.items()}


def test_a_step_that_fails_changes_nothing(path: Path) -> None:
    losses, _ = python(6)
    model = Model(path)
    session = Session(model, seed=21)
    for k, (x, y) in enumerate(batches(6)):
        if k in (0, 3):
            before = parameters(model, session)
            seed, draws = c.c_uint64(), c.c_uint64()
            check(lib.sn_session_generator(session.handle, c.byref(seed), c.byref(draws)))
            with pytest.raises(Failure) as caught:
                session.run(x, np.full(8, 7))
            assert caught.value.status == INDEX, caught.value
            check(lib.sn_session_set_generator(session.handle, seed, draws))
            after = parameters(model, session)
            assert {n: v.tobytes() for n, v in before.items()} == {
                n: v.tobytes() for n, v in after.items()
            }
        assert session.run(x, y)[0].tobytes() == losses[k]


def test_wrong_calls(path: Path) -> None:
    session = Session(Model(path))
    t = TensorStruct()
    assert lib.sn_session_parameter(session.handle, c.c_size_t(10**6), c.byref(t)) == INDEX
    block = np.zeros(1, np.uint8)
    t.data, t.bytes = block.ctypes.data, 1
    assert lib.sn_session_parameter(session.handle, c.c_size_t(0), c.byref(t)) == BUFFER
    assert t.bytes > 1 and block[0] == 0
    assert lib.sn_session_save(session.handle, b"/no/such/folder/m.sn") == 109
    assert b"cannot be written" in lib.sn_last_error()
