"""tools/budget.py holds the numbers; here they are enforced."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def budget(repository: Path) -> dict[str, Any]:
    return runpy.run_path(str(repository / "tools" / "budget.py"))


def test_lines_per_folder(budget: dict[str, Any]) -> None:
    over = [f"{name}: {count} of {most}" for name, count, most in budget["lines"]() if count > most]
    assert not over, "look for what is written twice before raising a budget: " + "; ".join(over)


def test_import_loads_few_modules(budget: dict[str, Any]) -> None:
    _, modules = budget["measure_import"](runs=1)
    assert len(modules) <= budget["IMPORT_MODULES"], modules
    assert "numpy" not in modules, "NumPy is imported when it is first needed"


def test_import_is_quick(budget: dict[str, Any]) -> None:
    seconds, _ = budget["measure_import"](runs=7)
    if seconds > budget["IMPORT_SECONDS"]:  # a busy machine: once more, with more tries
        seconds = min(seconds, budget["measure_import"](runs=20)[0])
    assert seconds <= budget["IMPORT_SECONDS"]


def test_wheel_is_small(budget: dict[str, Any]) -> None:
    pytest.importorskip("sennit")
    assert budget["wheel_bytes"]() <= budget["WHEEL_BYTES"], sys.version
