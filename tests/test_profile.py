"""sn.profile(): what ran when, on which thread."""

from __future__ import annotations

import json

import numpy as np
import pytest

import sennit as sn


@pytest.fixture
def two_threads():
    before = sn.num_threads()
    sn.set_num_threads(2)
    yield
    sn.set_num_threads(before)


def matrix(seed: int, size: int = 64) -> sn.Tensor:
    values = np.random.default_rng(seed).standard_normal((size, size), dtype=np.float32)
    return sn.asarray(values / np.float32(size**0.5))


def two_branches() -> list[sn.Tensor]:
    ends = []
    for seed in (1, 2):
        x, w = matrix(0), matrix(seed)
        for _ in range(100):
            x = sn.tanh(x @ w)
        ends.append(x)
    return ends


def test_kernels_have_names_times_and_places():
    with sn.profile() as p:
        y = sn.exp(matrix(0)) * 2.0 + 1.0
        sn.synchronize()
    assert y.shape == (64, 64)
    kernels = [e for e in p.events if e.category == "kernel"]
    assert kernels and any("exp" in e.name for e in kernels)
    assert all(e.duration >= 0 and e.start >= 0 for e in p.events)
    assert any("test_profile.py" in e.place for e in kernels)
    assert "exp" in repr(p) and "busy" in repr(p)


def test_nothing_is_collected_outside():
    with sn.profile() as p:
        pass
    before = len(p.events)
    (matrix(0) + 1.0).numpy()
    assert len(p.events) == before
    with sn.profile() as again:
        pass
    assert not [e for e in again.events if e.category == "kernel"]


def test_branches_overlap_in_time(two_threads):
    """Independent branches run at the same time; in the serial engine they cannot."""
    if sn.config.window == 1 or sn.config.engine == "serial":
        pytest.skip("op by op, and in the serial engine, everything runs in order")
    two_branches()
    sn.synchronize()
    for _ in range(300):  # a busy machine may keep the second thread away for a while
        with sn.profile() as p:
            ends = two_branches()
            sn.synchronize()
        assert len(ends) == 2
        threads = {e.thread for e in p.events if e.category == "kernel"}
        if p.overlap() > 0 and len(threads) == 2:
            break
    assert p.overlap() > 0
    assert len(threads) == 2
    sn.config.engine = "serial"
    try:
        with sn.profile() as p:
            ends = two_branches()
            sn.synchronize()
    finally:
        sn.config.engine = "threaded"
    assert p.overlap() == 0.0


def test_overlap_counts_a_thread_once():
    p = sn.Profile()
    p.events = [
        sn.ProfileEvent("kernel", "a", "one", 0.0, 4.0, ""),
        sn.ProfileEvent("pieces", "", "one", 1.0, 2.0, ""),  # inside the kernel
        sn.ProfileEvent("pieces", "", "two", 2.0, 1.0, ""),
    ]
    assert p.overlap() == pytest.approx(0.25)
    assert p.busy() == {"one": pytest.approx(4.0), "two": pytest.approx(1.0)}


def test_saved_traces_are_chromes_format(tmp_path):
    with sn.profile() as p:
        (matrix(0) @ matrix(1)).numpy()
    p.save(tmp_path / "trace.json")
    rows = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    names = {row["args"]["name"] for row in rows if row["ph"] == "M"}
    assert names == {e.thread for e in p.events}
    spans = [row for row in rows if row["ph"] == "X"]
    assert len(spans) == len(p.events)
    assert any("matmul" in row["name"] and row["cat"] == "kernel" for row in spans)


def test_a_failing_block_turns_it_off():
    with pytest.raises(ZeroDivisionError), sn.profile() as p:
        1 / 0  # noqa: B018
    before = len(p.events)
    (matrix(0) + 1.0).numpy()
    assert len(p.events) == before
