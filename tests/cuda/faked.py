"""Runs programs against a CUDA driver and an NVRTC that need no GPU (tests/cuda/fake)."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAKES = ROOT / "tests/cuda/fake"
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
NAMES = {"libcuda": "libcuda.so.1", "libnvrtc": "libnvrtc.so.13"}
BLAS = {"libcublasLt": "libcublasLt.so.13"}  # apart: most tests are of Sennit's own kernels

needs_fakes = pytest.mark.skipif(
    COMPILER is None or sys.platform != "linux",
    reason="the fakes are built for Linux by a C++ compiler",
)


@functools.cache
def folder(*definitions: str, blas: bool = False) -> Path:
    """The fakes of the driver and NVRTC, or that of cuBLASLt, compiled; kept between sessions under
    a hash of what they are made of."""
    names = BLAS if blas else NAMES
    digest = hashlib.sha256("\0".join(("soname", *definitions)).encode())
    for name in names:
        digest.update((FAKES / f"{name}.cpp").read_bytes())
    made = Path(tempfile.gettempdir()) / f"sennit-fake-cuda-{os.getuid()}-{digest.hexdigest()[:16]}"
    if made.exists():
        return made
    building = Path(tempfile.mkdtemp(dir=tempfile.gettempdir()))
    for name, library in names.items():
        command = [
            str(COMPILER), "-std=c++20", "-O1", "-g", "-shared", "-fPIC", "-fvisibility=hidden",
            f"-Wl,-soname,{library}", *(f"-D{d}" for d in definitions), str(FAKES / f"{name}.cpp"),
            "-o", str(building / library),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:4000]
    try:
        building.rename(made)
    except OSError:  # another process was faster
        shutil.rmtree(building)
    return made


def with_blas() -> str:
    """A search path with all three."""
    return f"{folder()}:{folder(blas=True)}:none"


def environment(path: str | None = None, **settings: str) -> dict[str, str]:
    """Of a process that finds the fakes, or what else `path` names, and nothing of the system's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SENNIT_FAKE")}
    kept["SENNIT_CUDA_PATH"] = f"{folder()}:none" if path is None else path
    kept["SENNIT_FAKE_SHIM"] = str(ROOT / "tests/cuda/shim")
    kept["SENNIT_FAKE_CXX"] = str(COMPILER)
    kept.setdefault(
        "SENNIT_CACHE", str(Path(tempfile.gettempdir()) / f"sennit-fake-cache-{os.getuid()}")
    )
    kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | settings


def start(code: str, path: str | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs a program with `sn` and `np` imported."""
    program = "import numpy as np\nimport sennit as sn\n" + code
    return subprocess.run(
        [sys.executable, "-c", program], env=environment(path, **settings),
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


def run(code: str, path: str | None = None, **settings: str) -> str:
    """What a program prints that must end well."""
    done = start(code, path, **settings)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
