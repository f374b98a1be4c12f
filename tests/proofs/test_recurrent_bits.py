"""Recurrent layers give the same bits for all threads, windows, batches and instruction sets."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn


def as_bytes(x: Any) -> bytes:
    return np.asarray(x.detach().numpy()).tobytes()


def bits_of(kind: str, sizes: tuple[int, int, int, int], rows: slice = slice(None)) -> list[bytes]:
    """Results and the input's gradient of some rows of a batch."""
    steps, batch, inputs, hidden = sizes
    rng = np.random.default_rng(6)
    layer = getattr(nn, kind)(inputs, hidden, num_layers=2, bidirectional=True)
    for p in layer.parameters():
        p.assign_(sn.asarray(rng.uniform(-0.3, 0.3, p.shape).astype(np.float32)))
    x = sn.asarray(rng.standard_normal((steps, batch, inputs)).astype(np.float32)[:, rows])
    x.requires_grad = True
    y, last = layer(x)
    (y * y).sum().backward()
    parts = [y, *(last if isinstance(last, tuple) else [last]), x.grad]
    parameters = [] if rows != slice(None) else [p.grad for p in layer.parameters()]
    # One row after the other, so that rows of a batch can be cut out.
    return [as_bytes(p[:, i]) for p in parts for i in range(p.shape[1])] + [
        as_bytes(p) for p in parameters
    ]


KINDS = ("RNN", "LSTM", "GRU")
SIZES = ((5, 33, 7, 40), (20, 3, 5, 70), (2, 1, 3, 5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [*SIZES, (3, 5, 4, 300)])
def test_threads_and_windows_do_not_change_bits(
    kind: str, sizes: Any, threads: Any, window: Any
) -> None:
    found = []
    for count, nodes in [(1, 4096), (2, 4096), (3, 4096), (7, 4096), (1, 1), (3, 1), (2, 5)]:
        threads(count)
        window(nodes)
        found.append(bits_of(kind, sizes))
    assert all(f == found[0] for f in found[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_alone_is_a_row_of_the_batch(kind: str) -> None:
    for sizes in SIZES[:2]:
        batch = sizes[1]
        together = bits_of(kind, sizes)
        for row in (0, batch // 2, batch - 1):
            alone = bits_of(kind, sizes, slice(row, row + 1))
            assert alone == together[row : len(alone) * batch : batch]


@pytest.mark.bits
@pytest.mark.parametrize(
    "environment",
    [{"SENNIT_ISA": "avx2"}, {"SENNIT_ENGINE": "serial"}, {"SENNIT_VERIFY": "1"}],
    ids=["avx2", "serial engine", "verified"],
)
def test_other_environments_do_not_change_bits(environment: dict[str, str], fresh_python) -> None:
    if "SENNIT_ISA" in environment and sn._core.isa() not in ("avx2", "avx512"):
        pytest.skip("not an x86 CPU with AVX2")
    want = [digest(kind, sizes) for kind in KINDS for sizes in SIZES]
    assert json.loads(fresh_python(__file__, **environment)) == want


def digest(kind: str, sizes: Any) -> str:
    return hashlib.sha256(b"".join(bits_of(kind, sizes))).hexdigest()


if __name__ == "__main__":
    print(json.dumps([digest(kind, sizes) for kind in KINDS for sizes in SIZES]))
