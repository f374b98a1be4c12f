"""What `make` says on a machine where something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UTILITIES = ("cat", "grep", "mktemp", "rm", "sh")


class Machine:
    """A machine whose PATH holds the plain utilities and what a test adds."""

    def __init__(self, folder: Path, script: Path) -> None:
        self.folder, self.script = folder, script
        for name in UTILITIES:
            found = shutil.which(name)
            if found is None:
                pytest.skip(f"needs {name}")
            (folder / name).symlink_to(found)

    def add(self, name: str, program: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{program}\n")
        path.chmod(0o755)

    def run(self, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(self.script)], capture_output=True, text=True, check=False,
            env={"PATH": str(self.folder), "TMPDIR": os.environ.get("TMPDIR", "/tmp"), **env},
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path, repository: Path) -> Machine:
    return Machine(tmp_path, repository / "tools" / "prerequisites.sh")


GOOD_PYTHON = "echo ok /usr/bin/python3"
GOOD_COMPILER = "exit 0"


def test_everything_is_there(machine: Machine) -> None:
    machine.add("python3", GOOD_PYTHON)
    machine.add("g++", GOOD_COMPILER)
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["/usr/bin/python3", str(machine.folder / "g++")]


def test_nothing_is_there(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 1 and done.stdout == ""
    assert "Python 3.11 or newer" in done.stderr
    assert "a C++20 compiler: GCC 12 or newer" in done.stderr


def test_only_the_compiler_is_missing(machine: Machine) -> None:
    machine.add("python3", GOOD_PYTHON)
    done = machine.run()
    assert done.returncode == 1
    assert "a C++20 compiler" in done.stderr and "Python 3.11" not in done.stderr


def test_an_old_python_is_named(machine: Machine) -> None:
    machine.add("python3", "echo 'is version 3.9; 3.11 or newer is needed'")
    machine.add("g++", GOOD_COMPILER)
    done = machine.run()
    assert done.returncode == 1
    assert "python3 is version 3.9; 3.11 or newer is needed" in done.stderr


def test_a_second_python_is_taken(machine: Machine) -> None:
    machine.add("python3", "echo 'is version 3.9; 3.11 or newer is needed'")
    machine.add("python3.12", "echo ok /usr/local/bin/python3.12")
    machine.add("g++", GOOD_COMPILER)
    done = machine.run()
    assert done.returncode == 0
    assert done.stdout.startswith("/usr/local/bin/python3.12\n")


def test_an_old_compiler_is_named(machine: Machine) -> None:
    machine.add("python3", GOOD_PYTHON)
    machine.add(
        "g++", "echo 'x.cpp:8: error: #error too old: GCC 12 or newer is needed' >&2; exit 1"
    )
    done = machine.run()
    assert done.returncode == 1
    assert "g++: too old: GCC 12 or newer is needed" in done.stderr


def test_the_named_ones_are_the_only_candidates(machine: Machine) -> None:
    machine.add("python3", GOOD_PYTHON)
    machine.add("g++", GOOD_COMPILER)
    done = machine.run(PYTHON="python9", CXX="clang++-99")
    assert done.returncode == 1
    assert "python9" in done.stderr


def test_this_python_passes(machine: Machine) -> None:
    machine.add("g++", GOOD_COMPILER)
    done = machine.run(PYTHON=sys.executable)
    if "no C headers" in done.stderr or "ensurepip" in done.stderr:
        pytest.skip("this interpreter cannot build extensions")
    assert done.stdout.splitlines()[0] == sys.executable
