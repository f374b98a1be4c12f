"""docs/results.md is what its tool writes from the newest record, and tells what went wrong."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def tool(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "train_examples", repository / "tools" / "train_examples.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def record(repository: Path) -> dict[str, Any]:
    files = sorted((repository / "benchmarks" / "results").glob("*-training-*.json"))
    found: dict[str, Any] = json.loads(files[-1].read_text())
    return found


def test_the_page_is_of_the_record(
    tool: ModuleType, record: dict[str, Any], repository: Path
) -> None:
    assert (repository / "docs" / "results.md").read_text() == tool.page(record)


def test_every_recorded_run_has_equal_bits(tool: ModuleType, record: dict[str, Any]) -> None:
    for training in tool.TRAININGS:
        runs = record["runs"].get(training.name, {})
        if {"sennit", "sennit-1"} <= runs.keys():
            assert runs["sennit"]["hashes"] == runs["sennit-1"]["hashes"], training.name
            assert runs["sennit"]["figure"] == runs["sennit-1"]["figure"], training.name


def test_the_page_shows_different_bits_and_missing_runs(tool: ModuleType) -> None:
    two, one = {"hashes": ["b" * 64]}, {"hashes": ["a" * 64]}
    assert tool.bits_text({"sennit": two, "sennit-1": two}) == f"equal: `{'b' * 12}`"
    differ = tool.bits_text({"sennit": two, "sennit-1": one})
    assert differ == f"**differ**: `{'a' * 12}`, `{'b' * 12}`"
    assert tool.bits_text({"sennit": two}) == "not run"
    folds = [tool.short_hash({"hashes": h}) for h in (["a", "b"], ["b", "a"])]
    assert folds[0] != folds[1]


def test_the_page_says_where_a_goal_is_missed(tool: ModuleType) -> None:
    training = next(t for t in tool.TRAININGS if t.name == "gcn")
    assert tool.figure_text(training, {"figure": 81.05, "exit": 0}) == "81.05 %"
    assert tool.figure_text(training, {"figure": 80.0, "exit": 1}) == "**80.00 %**, goal missed"
    assert tool.figure_text(training, None) == "not run"


def test_each_training_runs_a_script_that_is_there(tool: ModuleType, repository: Path) -> None:
    for training in tool.TRAININGS:
        command = tool.command_of(training, "pytorch", Path("out.png"))
        assert (repository / command[2]).exists()
        assert ("--output" in command) == training.picture
