"""Every operator of PyTorch's database that Sennit has: results, gradients, errors.

`pytest --op-db=all` takes both halves; the default is the even one. See op_db.py.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
pytest.importorskip("expecttest", reason="PyTorch's operator database needs the package expecttest")

import op_db
from adapters import ADAPTERS, DIFFERENT, MISSING, adapter_of, percentages, status

LEAST = 0.9  # of the even half
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "op" not in metafunc.fixturenames:
        return
    wanted = metafunc.config.getoption("--op-db", default="even")
    ops = [
        op
        for name, each in op_db.database().items()
        if wanted in ("all", op_db.half(name)) and status(name)[0] == "covered"
        for op in each
    ]
    metafunc.parametrize("op", ops, ids=op_db.title)


def test_results_and_gradients(op) -> None:
    if op_db.check_op(op, adapter_of(op)) == 0:
        assert len(op_db.database()[op.name]) > 1, "no sample was compared"
        pytest.skip("every sample is random, or of a dtype that Sennit has not")


def test_errors(op) -> None:
    op_db.check_errors(op, adapter_of(op))


def test_tables_are_about_operators() -> None:
    names = op_db.database()
    variants = {op_db.title(op) for each in names.values() for op in each}
    assert set(ADAPTERS) <= {*names, *variants}
    assert set(DIFFERENT) <= set(names)
    assert set(MISSING) <= set(names)
    assert all(a.reason for a in ADAPTERS.values())


def test_share_of_operators() -> None:
    covered, counted = percentages()["even"]
    assert covered >= LEAST * counted, f"{covered} of {counted}"


def test_published_table(repository) -> None:
    """docs/op_coverage.md says what these tests assert."""
    done = subprocess.run(
        [sys.executable, "tools/op_coverage.py", "--check"],
        cwd=repository, env={**os.environ, "PYTHONPATH": str(repository)},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
