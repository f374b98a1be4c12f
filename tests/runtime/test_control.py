"""Control flow in the C++ runtime: the bits and the random numbers of Python."""

from __future__ import annotations

import ctypes as c
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import sennit as sn

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "graph")]

from capi import VALUE, Failure, Model, Session, lib  # noqa: E402
from graph_models import OPEN_MODELS  # noqa: E402

pytestmark = pytest.mark.bits


def noisy(x: sn.Tensor, n: sn.Tensor) -> tuple[sn.Tensor, ...]:
    def step(carry):
        k, total = carry
        total = total + sn.cond(
            k % 2 == 0,
            lambda: sn.random.uniform(shape=(2,)) + sn.random.normal(shape=(2,)),
            lambda: sn.random.normal(shape=(2,)),
        )
        return k + 1, total

    _, total = sn.while_loop(lambda c: c[0] < n, step, (0, x))
    return total, sn.random.normal(shape=(2,))


def test_random_numbers_and_threads_that_call(tmp_path: Path) -> None:
    graph = sn.trace(noisy, sn.TensorSpec((2,)), sn.TensorSpec((), sn.int64))
    graph.save(tmp_path / "m.sn")
    handle = Model(tmp_path / "m.sn")
    x, counts = np.ones(2, np.float32), [0, 5, 1, 30, 2]
    wanted = []
    sn.random.seed(9)
    for n in counts:
        wanted.append([y.numpy() for y in graph(sn.tensor(x), sn.tensor(n))])
    failures: list[BaseException] = []

    def run() -> None:
        try:
            session = Session(handle, seed=9)
            for n, want in zip(counts, wanted, strict=True):
                made = session.run(x, np.array(n))
                for a, b in zip(made, want, strict=True):
                    assert a.tobytes() == b.tobytes()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[0]


@pytest.mark.parametrize("name", ["writer", "router"])
def test_open_sizes(name: str, tmp_path: Path) -> None:
    sn.random.seed(3)
    make, specs = OPEN_MODELS[name]
    graph = sn.trace(make(), *specs)
    graph.save(tmp_path / "m.sn")
    session = Session(Model(tmp_path / "m.sn"))
    for t, n in ((1, 1), (5, 2), (9, 4)):
        if name == "writer":
            args = [sn.random.integers(0, 17, (n,)), sn.random.randn((n, 8))]
        else:
            args = [sn.random.randn((t, n, 4))]
        from sennit._tree import flatten

        want = [y.detach().numpy() for y in flatten(graph(*args))]
        made = session.run(*[x.numpy() for x in args])
        for a, b in zip(made, want, strict=True):
            assert a.shape == b.shape and a.tobytes() == np.ascontiguousarray(b).tobytes()


def test_a_loop_without_an_end_has_a_limit(tmp_path: Path) -> None:
    graph = sn.trace(
        lambda x: sn.while_loop(lambda c: c >= 0, lambda c: (c + 1) % 1000, x),
        sn.TensorSpec((), sn.int64),
    )
    graph.save(tmp_path / "m.sn")
    session = Session(Model(tmp_path / "m.sn"))
    assert lib.sn_set_loop_limit(c.c_int64(-1)) == VALUE
    assert lib.sn_set_loop_limit(c.c_int64(500)) == 0
    try:
        with pytest.raises(Failure, match="500 steps"):
            session.run(np.array(0))
    finally:
        assert lib.sn_set_loop_limit(c.c_int64(0)) == 0
