"""The rows in every mode of execution: the same bits, forward and backward."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from engine import bits, gradients_of, leaves, project
from table import ROWS

import sennit as sn

# The references meet empty means, infinities and NaN on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

SWEEP = Path(__file__).resolve().parent / "sweep.py"
PACKAGE = Path(sn.__file__).resolve().parent.parent
EACH = [pytest.param(r, id=r.name) for r in ROWS]

# (instruction set, engine, window) in pairs, each with another number of threads.
PAIRWISE = [
    ("avx512", "threaded", None, 2),
    ("avx2", "serial", None, 1),
    ("avx512", "serial", 1, 3),
    ("avx2", "threaded", 1, 7),
]
CROSS = list(product(("avx512", "avx2"), ("threaded", "serial"), (None, 1), (1, 2, 3, 7)))


def levels() -> list[str]:
    """The instruction sets that this CPU can be told to use."""
    names = ["v2", "avx2", "avx512"]
    best = sn._core.isa()
    return names[: names.index(best) + 1] if best in names else [best]


def sweep(isa: str, engine: str, window: int | None, threads: int, *flags: str) -> dict:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")]),
        "SENNIT_ISA": isa,
        "SENNIT_ENGINE": engine,
        "SENNIT_NUM_THREADS": str(threads),
    }
    environment.pop("SENNIT_WINDOW", None)
    if window is not None:
        environment["SENNIT_WINDOW"] = str(window)
    done = subprocess.run(
        [sys.executable, str(SWEEP), *flags],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def base() -> dict[str, str]:
    """Digests of this machine's best instruction set in the plainest mode: one op at a time."""
    found = sweep(levels()[-1], "serial", 1, 1)
    assert not found["failures"], "\n".join(found["failures"])
    return found["digests"]


def compare(base: dict[str, str], mode: tuple[str, str, int | None, int]) -> None:
    isa = mode[0]
    if isa not in levels():
        pytest.skip(f"this CPU has no {isa}")
    found = sweep(*mode)
    assert found["isa"] == isa
    assert not found["failures"], "\n".join(found["failures"])
    wrong = sorted(name for name, digest in base.items() if found["digests"][name] != digest)
    assert not wrong, f"other bits in {mode}: {wrong}"


def name_of(mode: tuple[str, str, int | None, int]) -> str:
    isa, engine, window, threads = mode
    return f"{isa}-{engine}-{'default' if window is None else f'window{window}'}-{threads}threads"


@pytest.mark.parametrize("mode", PAIRWISE, ids=name_of)
def test_same_bits(base, mode):
    compare(base, mode)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [m for m in CROSS if m not in PAIRWISE], ids=name_of)
def test_same_bits_in_the_full_cross(base, mode):
    compare(base, mode)


# Ops that the rows do not meet, and which test of tests/proofs runs them in all modes. The last two
# are what `lower` makes of ops that the rows do meet.
ELSEWHERE = {
    "attention": "test_same_bits_attention.py",
    "attention_grad": "test_same_bits_attention.py",
    "barrier": "test_checkpoint.py",
    "complex": "test_same_bits_layers.py",
    "ctc_loss": "test_same_bits_layers.py",
    "ctc_loss_grad": "test_same_bits_layers.py",
    "cond": "test_same_bits_layers.py",
    "dropout_mask": "test_same_bits_layers.py",
    "imag": "test_same_bits_layers.py",
    "linspace": "test_same_bits_layers.py",
    "random_integers": "test_same_bits_layers.py",
    "random_normal": "test_same_bits_layers.py",
    "random_uniform": "test_same_bits_layers.py",
    "real": "test_same_bits_layers.py",
    "scan": "test_same_bits_layers.py",
    "while_loop": "test_same_bits_layers.py",
    "sum_wide": "",
    "var_mean": "",
}


def test_every_op_runs_in_every_mode():
    met = set()
    before, sn.config.window = sn.config.window, 100_000
    try:
        for row in ROWS:
            dtype = "float32" if "float32" in row.dtypes else row.dtypes[0]
            for c in row.cases:
                sn.synchronize()
                tensors, wanted = leaves(row, row.arrays(c, dtype))
                outs = row.run(tensors, c.attrs)
                met.update(re.findall(r"= ([\w.]+)\(", sn._core.recorded_graph()))
                if wanted and dtype == "float32":
                    sn.gradients(project(outs, 1), wanted)
                    met.update(re.findall(r"= ([\w.]+)\(", sn._core.recorded_graph()))
    finally:
        sn.config.window = before
    assert set(sn._core.op_rules()) - met == set(ELSEWHERE), "run these in all modes"
    folder = Path(__file__).resolve().parent.parent / "proofs"
    assert all((folder / name).exists() for name in ELSEWHERE.values())


def test_baseline_is_accurate():
    """The baseline has no fused multiply-add: other bits, but within three times the tolerance."""
    if "v2" not in levels():
        pytest.skip("not x86-64")
    found = sweep("v2", "threaded", None, 2, "--check")
    assert found["isa"] == "v2"
    assert not found["failures"], "\n".join(found["failures"])


def alone(results: Callable[[], list[sn.Tensor]]) -> list[bytes]:
    """The bits of what is computed one operation at a time."""
    before = sn.config.window
    sn.config.window = 1
    try:
        return [bits(o) for o in results()]
    finally:
        sn.config.window = before


@pytest.mark.parametrize("row", EACH)
def test_window_of_one(row):
    """All calls of a row in one window give the bits that they give one at a time."""
    cases = [(d, c, row.arrays(c, d)) for d in row.dtypes for c in row.cases]

    def results() -> list[sn.Tensor]:
        outs = []
        for dtype, c, arrays in cases:
            outs += row.run([sn.asarray(a) for a in arrays], c.attrs)
            if row.gradient and dtype == "float32":
                outs += [g for g in gradients_of(row, c, arrays) if g is not None]
        return outs

    together = [bits(o) for o in results()]
    assert together == alone(results)


@pytest.mark.parametrize("row", [p for p in EACH if "float32" in p.values[0].dtypes])
def test_results_that_several_operations_read(row):
    """What is fused around a row's function, before it and behind it, changes no bit."""
    cases = [(c, row.arrays(c, "float32")) for c in row.cases]

    def results() -> list[sn.Tensor]:
        outs = []
        for c, arrays in cases:
            tensors = [sn.asarray(a) for a in arrays]
            for i in row.gradient:
                if i < len(arrays) and arrays[i].dtype == np.float32:
                    tensors[i] = tensors[i] * 1.5
            for o in row.run(tensors, c.attrs):
                if o.dtype != sn.bool:
                    more = sn.asarray(np.full(o.shape, 3), dtype=o.dtype)
                    turned = sn.flip(o)
                    outs += [o * 2, o + more, o + o - 1, turned - o, sn.abs(turned)]
                    outs += [sn.maximum(more, o).sum(), sn.minimum(turned, 1).sum()]
        return outs

    together = [bits(o) for o in results()]
    assert together == alone(results)
