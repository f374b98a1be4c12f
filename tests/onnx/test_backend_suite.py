"""The backend test suite of the `onnx` package: every case that runs, and the list of the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the package 'onnx' is not installed")

sys.path.insert(0, str(Path(__file__).resolve().parent))

from onnx_cases import EXPECTED_FAILURES, GROUPS, KINDS, cases, data_sets, run

import sennit as sn

ALL = [case for kind in KINDS for case in cases(kind)]


@pytest.mark.parametrize("case", ALL, ids=[f"{c.kind}:{c.name}" for c in ALL])
def test_case(case):
    reason = EXPECTED_FAILURES.get(case.name)
    if reason is None:
        run(case)
        return
    with pytest.raises((AssertionError, sn.SennitError)):
        run(case)


def test_the_list_of_failures_names_cases():
    assert set(EXPECTED_FAILURES) <= {case.name for case in ALL}


def test_as_many_cases_pass_as_with_onnxruntime():
    """Counts of the ordinary node tests that onnxruntime 1.32 passes, by group of opsets."""
    for group, theirs in GROUPS.items():
        mine = [c for c in ALL if c.group == group]
        passed = [c for c in mine if c.name not in EXPECTED_FAILURES]
        assert len(passed) >= theirs, group


def test_the_package_is_a_backend():
    case = next(c for c in ALL if c.name == "test_add")
    inputs, wanted = data_sets(case)[0]
    backend = sn.onnx.backend
    assert backend.supports_device("CPU") and not backend.supports_device("CUDA:1")
    assert backend.is_compatible(case.model)
    (given,) = backend.run_model(case.model, inputs)
    assert (given == wanted[0]).all()
    (given,) = backend.prepare(case.model).run({"x": inputs[0], "y": inputs[1]})
    assert (given == wanted[0]).all()


def test_a_backend_says_what_it_cannot_run():
    case = next(c for c in ALL if c.name == "test_image_decoder_decode_png_rgb")
    assert not sn.onnx.backend.is_compatible(case.model)


TRACED = ("pytorch-converted", "pytorch-operator")


@pytest.mark.parametrize("case", [c for c in ALL if c.kind in TRACED], ids=lambda c: c.name)
def test_graphs_give_the_same_bits(case):
    inputs, _ = data_sets(case)[0]
    model = sn.onnx.to_function(case.model)
    shapes = {n: x.shape for n, x in zip(model.input_names, inputs, strict=True)}
    graph = sn.onnx.load(case.model, shapes=shapes)
    wanted = model(*inputs)
    for name, value in graph(*inputs).items():
        assert np.array_equal(value.numpy(), wanted[name].numpy(), equal_nan=True)


def test_the_page_lists_what_does_not_pass(repository):
    """docs/onnx-support.md is written by tools/onnx_coverage.py."""
    text = (repository / "docs" / "onnx-support.md").read_text()
    for name, reason in EXPECTED_FAILURES.items():
        assert f"| `{name}` | {reason} |" in text, name
    for group in GROUPS:
        mine = [c for c in ALL if c.group == group]
        passed = [c for c in mine if c.name not in EXPECTED_FAILURES]
        assert f"| {len(mine):,} | {len(passed):,} | {GROUPS[group]:,} |" in text, group
