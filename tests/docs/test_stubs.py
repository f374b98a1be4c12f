"""The committed stubs are those that the generator writes, and they type-check."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load_tool(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, repository / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run(arguments: list[str], folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_stubs_are_fresh(repository: Path) -> None:
    generated = load_tool(repository, "gen_stubs").stubs()
    stale = [name for name, text in generated.items() if (repository / name).read_text() != text]
    assert not stale, f"{stale} differ: run python tools/gen_stubs.py"


def test_stubs_name_everything_public(repository: Path) -> None:
    import sennit as sn

    text = (repository / "sennit" / "__init__.pyi").read_text()
    missing = [name for name in sn.__all__ if hasattr(sn, name) and f'"{name}"' not in text]
    assert not missing


def test_typed_program_runs(repository: Path) -> None:
    run(["tests/docs/typed_program.py"], repository)


def test_typed_program_type_checks(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy comes with the lint tools")
    run(
        ["-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "tests/docs/typed_program.py"],
        repository,
    )


def test_package_type_checks(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy comes with the lint tools")
    run(["-m", "mypy", "--cache-dir", str(tmp_path)], repository)
