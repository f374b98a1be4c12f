"""Whole training steps: compiled and imperative give the same bits."""

from __future__ import annotations

import pytest
from programs import PROGRAMS, run

import sennit as sn


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("threads", [1, 2])
def test_same_bits(name: str, threads: int) -> None:
    before = sn.num_threads()
    sn.set_num_threads(threads)
    try:
        wanted, _ = run(name, compiled=False)
        found, call = run(name, compiled=True)
    finally:
        sn.set_num_threads(before)
    assert found == wanted
    calls, runs = sn._core.compiled_runs(call)
    assert runs >= calls - (6 if name == "accumulation" else 3), call.explain()
