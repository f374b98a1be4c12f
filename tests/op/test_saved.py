"""Every row of the op table as a graph that is written and read again: the same bits."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from engine import Row, bits
from table import ROWS
from test_batching import BY_VALUE, cases_of, dtypes_of, shape_of

import sennit as sn

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def arguments(row: Row, c, dtype: str) -> list[sn.Tensor]:
    rng = np.random.default_rng(zlib.crc32(f"{row.name} {c} {dtype}".encode()))
    drawn = []
    for i, arg in enumerate(c.args):
        own = bool(arg) and isinstance(arg[0], tuple)
        domain = arg[1] if own else row.domains[min(i, len(row.domains) - 1)]
        drawn.append(sn.asarray(domain.draw(rng, shape_of(arg), dtype)))
    return drawn


@pytest.mark.parametrize("row", [pytest.param(r, id=r.name) for r in ROWS])
def test_a_saved_call_keeps_its_bits(row, full):
    for dtype in dtypes_of(row, full):
        for c in cases_of(row, full):
            args = arguments(row, c, dtype)
            note = f"{row.name}({c}) {dtype}"

            def call(*tensors, c=c):
                return tuple(row.run(list(tensors), c.attrs))

            if row.name in BY_VALUE:
                if any(a.size == 0 for a in args):
                    continue
                with pytest.raises(sn.InvalidValue, match="elements"):
                    sn.trace(call, *args)
                continue
            state = sn._core.random_state()
            want = call(*args)
            graph = sn.trace(call, *args)
            text = graph._program.write()
            program = sn._core.read_graph(text.encode())
            assert program.write() == text, note
            for run in (lambda: graph(*args), lambda: program.call(given)):  # noqa: B023
                given = [*args, *graph.constants.values()]
                sn._core.set_random_state(*state)
                for x, y in zip(run(), want, strict=True):
                    assert x.dtype == y.dtype and bits(x) == bits(y), note
