"""Gradients of every row: against finite differences in float64, once and twice, and in layouts."""

from __future__ import annotations

import re
from pathlib import Path

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


@pytest.mark.parametrize("row", DIFFERENTIABLE)
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


# Ops with a gradient rule that the rows do not meet, and where their second gradient is checked.
TWICE_ELSEWHERE = {
    "attention": "nn/test_attention.py",
    "attention_grad": "nn/test_attention.py",
    "barrier": "proofs/test_checkpoint.py",
    "complex": "array_api/test_complex.py",
    "ctc_loss": "nn/test_ctc.py",
    "ctc_loss_grad": "nn/test_ctc.py",
    "imag": "array_api/test_complex.py",
    "real": "array_api/test_complex.py",
}
STEPS = {"ceil": 0.0, "floor": 0.0, "round": 0.0, "nextafter": 1.0}  # the gradient is a constant
INTEGERS = {  # there is no gradient to begin with
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
}


@pytest.fixture
def long_window():
    before, sn.config.window = sn.config.window, 100_000
    yield
    sn.config.window = before


@pytest.mark.usefixtures("long_window")
def test_every_gradient_rule_is_differentiated():
    """Ops with a gradient rule are met, forward or backward, by rows, which are checked twice."""
    met = set()

    def meet():
        met.update(re.findall(r"= ([\w.]+)\(", sn._core.recorded_graph()))

    for param in DIFFERENTIABLE:
        (row,) = param.values
        for c in gradient_cases(row, False):
            sn.synchronize()
            tensors, wanted = leaves(row, row.arrays(c, "float64"))
            out = row.run(tensors, c.attrs)
            meet()
            sn.gradients(project(out, 1), wanted, create_graph=True)
            meet()
    rules = {name for name, (gradient, _) in sn._core.op_rules().items() if gradient}
    unmet = rules - met
    assert unmet == {*TWICE_ELSEWHERE, *STEPS, *INTEGERS}, "check their second gradients too"
    for name, file in TWICE_ELSEWHERE.items():
        assert (Path(__file__).parents[1] / file).exists(), name


@pytest.mark.parametrize("name", STEPS)
def test_gradients_of_steps_are_constant(name):
    function = getattr(sn, name)
    x = sn.asarray(np.linspace(-2.3, 2.4, 7))
    more = (sn.zeros(7, dtype=sn.float64),) if name == "nextafter" else ()
    found = sn.grad(lambda x: function(x, *more).sum())(x)
    assert (found.numpy() == STEPS[name]).all()


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
