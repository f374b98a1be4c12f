"""What the proofs share: the random programs, and a fresh interpreter with other settings."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import sennit as sn

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs.py"


def run_in_fresh_python(*arguments: str, timeout: float = 300, **environment: str) -> str:
    """Runs Python with this Sennit and the given environment variables; returns what it printed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SENNIT_")}
    package_root = str(Path(sn.__file__).resolve().parent.parent)
    env["PYTHONPATH"] = os.pathsep.join([package_root, env.get("PYTHONPATH", "")]).rstrip(":")
    env.update(environment)
    done = subprocess.run(
        [sys.executable, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def fresh_python() -> Callable[..., str]:
    return run_in_fresh_python


@pytest.fixture(scope="session")
def programs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sennit_proof_programs", PROGRAMS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def threads():
    """Sets the number of threads, and the former number afterwards."""
    before = sn.num_threads()
    yield sn.set_num_threads
    sn.set_num_threads(before)


@pytest.fixture
def window():
    """Sets the window limit, and the former limit afterwards."""
    before = sn.config.window

    def limit(nodes: int) -> None:
        sn.config.window = nodes

    yield limit
    sn.config.window = before
