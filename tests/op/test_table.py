"""Every row of the op table, in every dtype and layout, against its reference."""

from __future__ import annotations

import pytest
from engine import LAYOUTS, bits, check_case, expanded, lay_out
from table import ROWS

import sennit as sn

# The references meet empty means, infinities and NaN on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

EACH = [pytest.param(r, d, id=f"{r.name}-{d}") for r in ROWS for d in r.dtypes]


@pytest.mark.parametrize(("row", "dtype"), EACH)
def test_values(row, dtype):
    for c in row.cases:
        arrays = row.arrays(c, dtype)
        got = row.run([sn.asarray(a) for a in arrays], c.attrs)
        check_case(row, c, dtype, arrays, got)


@pytest.mark.parametrize(("row", "dtype"), EACH)
def test_layouts_give_the_same_bits(row, dtype):
    for c in row.cases:
        arrays = row.arrays(c, dtype)
        want = [bits(o) for o in row.run([sn.asarray(a) for a in arrays], c.attrs)]
        for layout in LAYOUTS:
            got = row.run([lay_out(a, layout) for a in arrays], c.attrs)
            assert [bits(o) for o in got] == want, f"{row.name}({c}) {dtype}, {layout}"


@pytest.mark.parametrize(("row", "dtype"), EACH)
def test_expanded_inputs(row, dtype):
    """Stride 0 along the last dimension: values may differ from the row's, so both are computed."""
    for c in row.cases:
        pairs = [expanded(a) for a in row.arrays(c, dtype)]
        got = row.run([t for t, _ in pairs], c.attrs)
        want = row.run([sn.asarray(a) for _, a in pairs], c.attrs)
        assert [bits(o) for o in got] == [bits(o) for o in want], f"{row.name}({c}) {dtype}"
