"""The programs of this folder can be imported, and a fresh interpreter can run them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def fresh_python() -> Callable[..., str]:
    """Runs Python with this Sennit and the given environment; returns what it printed."""
    import sennit as sn

    def run(*arguments: str, **environment: str) -> str:
        env = {k: v for k, v in os.environ.items() if not k.startswith("SENNIT_")}
        root = str(Path(sn.__file__).resolve().parent.parent)
        env["PYTHONPATH"] = os.pathsep.join([root, env.get("PYTHONPATH", "")]).rstrip(":")
        env.update(environment)
        done = subprocess.run(
            [sys.executable, *arguments], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
