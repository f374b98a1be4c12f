"""Compiles kernel sources for the CPU, through the thread-block shim, and calls their kernels."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
FLAGS = [
    "-std=c++20",
    "-O1",
    "-fPIC",
    "-shared",
    "-x",
    "c++",
    "-DSN_SHIM",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-trapping-math",
    "-w",
]
INCLUDES = [ROOT / "tests/cuda/shim", ROOT / "core", ROOT / "core/backend/cuda/kernels"]


class Launch(ctypes.Structure):
    _fields_ = [
        ("blocks", ctypes.c_uint32 * 3),
        ("threads", ctypes.c_uint32 * 3),
        ("shared_bytes", ctypes.c_uint32),
    ]


def command(source: Path, library: Path, definitions: Sequence[str] = ()) -> list[str]:
    assert COMPILER is not None
    machine = ["-mfma"] if platform.machine() == "x86_64" else []
    includes = [f"-I{path}" for path in INCLUDES]
    names = [f"-D{d}" for d in definitions]
    return [COMPILER, *FLAGS, *machine, *includes, *names, str(source), "-o", str(library)]


def build(text: str, directory: Path, definitions: Sequence[str] = ()) -> ctypes.CDLL:
    """The library of a source; made once for each text and definitions in a directory."""
    name = hashlib.sha256("\0".join([text, *definitions]).encode()).hexdigest()[:16]
    source, library = directory / f"{name}.cu", directory / f"{name}.so"
    if not library.exists():
        source.write_text(text)
        done = subprocess.run(
            command(source, library, definitions), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[:4000]
    return ctypes.CDLL(str(library))


def launch(
    library: ctypes.CDLL,
    entry: str,
    args: ctypes.Structure,
    blocks: Sequence[int],
    threads: Sequence[int],
    shared_bytes: int = 0,
) -> None:
    """Runs a kernel; grid and block may give fewer than three sizes."""
    shape = Launch()
    shape.blocks[:] = (*blocks, 1, 1)[:3]
    shape.threads[:] = (*threads, 1, 1)[:3]
    shape.shared_bytes = shared_bytes
    getattr(library, entry)(ctypes.byref(shape), ctypes.byref(args))
