"""Build the wheel, repair it to manylinux, and run the quick suite on it with no compiler around.

    make wheel                     # or: .venv/bin/python tools/make_wheel.py [pytest options]

The result lies in dist/. The suite runs in build/wheel-test, away from the checkout, in an empty
environment whose PATH holds nothing but that environment: what passes there needs neither a
compiler nor anything of this checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PLAIN, DIST, TRIAL = ROOT / "build" / "wheel-plain", ROOT / "dist", ROOT / "build" / "wheel-test"


def run(*command: str | Path, cwd: Path = ROOT, path: str | None = None, log: bool = False) -> None:
    """Runs a command; `log` keeps its output for the case that it fails."""
    env = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1")
    env["PATH"] = path if path is not None else f"{BIN}{os.pathsep}{env['PATH']}"
    for name in ("PYTHONPATH", "CC", "CXX") if path is not None else ("PYTHONPATH",):
        env.pop(name, None)
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, check=False, text=True,
        stdout=subprocess.PIPE if log else None, stderr=subprocess.STDOUT if log else None,
    )  # fmt: skip
    if done.returncode:
        sys.exit((done.stdout or "") + f"make_wheel.py: {command[0]} failed")


def the_one_wheel(folder: Path) -> Path:
    wheels = list(folder.glob("sennit-*.whl"))
    if len(wheels) != 1:
        sys.exit(f"make_wheel.py: expected one wheel in {folder.name}/, found {len(wheels)}")
    return wheels[0]


def build() -> Path:
    for folder in (PLAIN, DIST):
        shutil.rmtree(folder, ignore_errors=True)
    # build/dev holds the objects of `make build`; with the same flags they serve here too.
    run(sys.executable, "-m", "pip", "wheel", "-qq", "--no-build-isolation", "--no-deps",
        "--config-settings=build-dir=build/dev", "--wheel-dir", PLAIN, ".")  # fmt: skip
    run(BIN / "auditwheel", "repair", "--wheel-dir", DIST, the_one_wheel(PLAIN), log=True)
    wheel = the_one_wheel(DIST)
    print(f"== {wheel.relative_to(ROOT)}: {wheel.stat().st_size / 1e6:.2f} MB", flush=True)
    return wheel


def try_out(wheel: Path, options: list[str]) -> None:
    shutil.rmtree(TRIAL, ignore_errors=True)
    TRIAL.mkdir(parents=True)
    shutil.copytree(ROOT / "tests", TRIAL / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", TRIAL)  # pytest's settings
    run(sys.executable, "-m", "venv", TRIAL / "venv")
    inner = TRIAL / "venv" / "bin"
    print("== installing it in an empty environment", flush=True)
    run(inner / "python", "-m", "pip", "install", "-qq", f"{wheel}[test]")
    print("== quick suite on the installed wheel, no compiler on PATH", flush=True)
    beside = ROOT.parent / "shared" / "data"
    if beside.is_dir():  # the checkout's neighbour is not the trial folder's
        os.environ.setdefault("SENNIT_DATA", str(beside))
    run(inner / "python", "-m", "pytest", "-q", *options, cwd=TRIAL, path=str(inner))


if __name__ == "__main__":
    try_out(build(), sys.argv[1:])
