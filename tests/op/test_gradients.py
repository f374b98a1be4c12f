"""Gradients of every row: against finite differences in float64, once and twice, and in layouts."""

from __future__ import annotations

import numpy as np
import pytest
from engine import (
    LAYOUTS,
    bits,
    check_differences,
    gradient_cases,
    gradients_of,
    lay_out,
    leaves,
    project,
)
from table import ROWS

import sennit as sn

# The references meet empty means, infinities and NaN on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

DIFFERENTIABLE = [pytest.param(r, id=r.name) for r in ROWS if r.gradient]
TWICE = [pytest.param(r, id=r.name) for r in ROWS if r.gradient and r.second]


def as_arrays(found, positions, arrays):
    """Gradients by position; None says that nothing depends on the argument."""
    return {
        i: np.zeros(arrays[i].shape) if g is None else g.numpy() for i, g in zip(positions, found)
    }


@pytest.mark.parametrize("row", DIFFERENTIABLE)
def test_gradient_agrees_with_differences(row, full):
    for c in gradient_cases(row, full):
        arrays = row.arrays(c, "float64")
        positions = [i for i in row.gradient if i < len(arrays) and arrays[i].dtype.kind == "f"]

        def value(xs, c=c):
            return project(row.run([sn.asarray(x) for x in xs], c.attrs), 1).item()

        found = as_arrays(gradients_of(row, c, arrays), positions, arrays)
        check_differences(value, arrays, found, f"{row.name}({c})")


def slope(row, c, arrays):
    """A random projection of the gradients, its leaves, and whether it depends on them."""
    tensors, wanted = leaves(row, arrays)
    first = sn.gradients(project(row.run(tensors, c.attrs), 1), wanted, create_graph=True)
    return project([g for g in first if g is not None], 3), wanted


@pytest.mark.parametrize("row", TWICE)
def test_second_gradient_agrees_with_differences(row, full):
    cases = gradient_cases(row, full)
    for c in cases if full else cases[:: max(1, len(cases) // 3)]:
        arrays = row.arrays(c, "float64")
        positions = [i for i in row.gradient if i < len(arrays) and arrays[i].dtype.kind == "f"]
        projected, wanted = slope(row, c, arrays)
        if projected is None:
            continue  # the first gradient depends on nothing either
        if projected.requires_grad:
            second = sn.gradients(projected, wanted)
        else:
            second = [None] * len(wanted)  # linear: the gradient is a constant
        check_differences(
            lambda xs, c=c: slope(row, c, xs)[0].item(),
            arrays,
            as_arrays(second, positions, arrays),
            f"{row.name}({c}), twice",
        )


@pytest.mark.parametrize("row", DIFFERENTIABLE)
def test_float32_gradient_is_near_that_of_float64(row, full):
    if "float32" not in row.dtypes:
        pytest.skip("the row has no float32")
    for c in gradient_cases(row, full):
        arrays = row.arrays(c, "float32")
        wide = [a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays]
        for got, want in zip(gradients_of(row, c, arrays), gradients_of(row, c, wide)):
            assert (got is None) == (want is None)
            if got is None:
                continue
            want = want.numpy()
            # The projection's weights are rounded to float32 as well, so this is no test of ulps.
            room = 1e-5 * max(1.0, float(np.abs(want).max()))
            assert got.dtype == sn.float32
            error = np.abs(got.numpy() - want).max(initial=0)
            assert error <= room, f"{row.name}({c}): {error} off"


@pytest.mark.parametrize("row", DIFFERENTIABLE)
def test_layouts_give_the_same_gradient_bits(row, full):
    dtype = "float32" if "float32" in row.dtypes else row.dtypes[0]
    for c in gradient_cases(row, full)[:3]:
        arrays = row.arrays(c, dtype)
        want = [bits(g) for g in gradients_of(row, c, arrays)]
        for layout in LAYOUTS:
            tensors, wanted = leaves(row, arrays)
            laid = [lay_out(a, layout) for a in arrays]
            for t, w in zip(tensors, laid):
                if t.requires_grad:
                    w.requires_grad_(True)
            wanted = [w for t, w in zip(tensors, laid) if t.requires_grad]
            got = sn.gradients(project(row.run(laid, c.attrs), 1), wanted)
            assert [bits(g) for g in got] == want, f"{row.name}({c}), {layout}"
