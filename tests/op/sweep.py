"""Runs every row of the op table in this process's mode and prints a digest per row as JSON.

Rows run with larger inputs too, forward and backward, and a row's results are read together, so
that windows hold many operations and kernels many chunks. With --check the results are compared
with the references instead: that is for the baseline instruction set, which has no fused
multiply-add and so is outside of the same-bits promise.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from engine import Row, bits, check_case, leaves, project
from table import ROWS

import sennit as sn


def digest(row: Row, checked: bool) -> str:
    """The bits of all results and gradients of a row."""
    results = []
    for dtype in row.dtypes:
        cases = [*row.cases, row.large] if row.large and not checked else row.cases
        for c in cases:
            arrays = row.arrays(c, dtype)
            tensors, wanted = leaves(row, arrays)
            outs = row.run(tensors, c.attrs)
            results += outs
            if wanted and dtype in ("float32", "float64") and not checked:
                found = sn.gradients(project(outs, 1), wanted)
                results += [g for g in found if g is not None]
            if checked:
                check_case(row, c, dtype, arrays, outs)
    whole = hashlib.sha256()
    for r in results:
        whole.update(bits(r))
    return whole.hexdigest()[:16]


def main() -> None:
    checked = "--check" in sys.argv
    found, failures = {}, []
    for row in ROWS:
        try:
            found[row.name] = digest(row, checked)
        except (AssertionError, sn.SennitError) as error:
            failures.append(f"{row.name}: {error}")
            with contextlib.suppress(sn.SennitError):
                sn.synchronize()  # the next row starts with nothing pending
    json.dump({"isa": sn._core.isa(), "digests": found, "failures": failures}, sys.stdout)


if __name__ == "__main__":
    main()
