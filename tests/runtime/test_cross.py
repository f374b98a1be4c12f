"""The runtime for other machines, under emulation: the bits of this one. `make cross` builds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sennit as sn
from sennit._tree import flatten

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "graph"))

from graph_models import MODELS, draw  # noqa: E402

pytestmark = pytest.mark.bits

# Folder of the build, program, what runs it.
MACHINES = {
    "aarch64": ("sennit-run", ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]),
    "windows": ("sennit-run.exe", ["wine"]),
}


@pytest.mark.parametrize("machine", list(MACHINES))
def test_the_same_bits(machine: str, repository: Path, tmp_path: Path) -> None:
    name, emulator = MACHINES[machine]
    program = repository / "build" / machine / name
    if not program.is_file():
        pytest.skip(f"build/{machine} holds no {name} (make cross, make windows)")
    if not shutil.which(emulator[0]):
        pytest.skip(f"needs {emulator[0]}")
    env = {k: v for k, v in os.environ.items() if not k.startswith("SENNIT_")}
    for model, (make, specs) in MODELS.items():
        sn.random.seed(3)
        graph = sn.trace(make(), *specs)
        graph.save(tmp_path / f"{model}.sn")
        args = draw(specs)
        wanted = [x.detach().numpy() for x in flatten(graph(*args))]
        words = [f"{model}.sn", "--threads", "2"]
        for i, x in enumerate(args):
            np.save(tmp_path / f"x{i}.npy", x.numpy())
            words += ["--input", f"x{i}.npy"]
        for k in range(len(wanted)):
            words += ["--output", f"{model}{k}.npy"]
        done = subprocess.run(
            [*emulator, str(program), *words], cwd=tmp_path, env=env, check=False,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for k, y in enumerate(wanted):
            made = np.load(tmp_path / f"{model}{k}.npy")
            assert made.tobytes() == np.ascontiguousarray(y).tobytes(), (model, k)
        bad = (tmp_path / f"{model}.sn").read_bytes()[:-1]
        (tmp_path / "bad.sn").write_bytes(bad)
        done = subprocess.run(
            [*emulator, str(program), "bad.sn"], cwd=tmp_path, env=env, check=False,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 1 and "[load] bad.sn" in done.stderr
