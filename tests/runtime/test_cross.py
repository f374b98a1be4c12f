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
from test_training_steps import make as training_step  # noqa: E402

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


@pytest.mark.parametrize("machine", list(MACHINES))
def test_it_trains_as_python_does(machine: str, repository: Path, tmp_path: Path) -> None:
    """Saved steps of the networks: losses and everything that is written, after imperative steps
    here and the saved step's there."""
    name, emulator = MACHINES[machine]
    program = repository / "build" / machine / name
    if not program.is_file() or not shutil.which(emulator[0]):
        pytest.skip(f"needs build/{machine}/{name} and {emulator[0]}")
    env = {k: v for k, v in os.environ.items() if not k.startswith("SENNIT_")}
    steps = 3
    for model in ("mlp adamw scheduled", "cnn", "lstm", "gpt"):
        imperative, specs, draw_batch = training_step(model)
        traced, _, _ = training_step(model)
        graph = sn.trace(traced.step, *specs, mutable=[traced.model, traced.optimizer])
        graph.save(tmp_path / "step.sn")
        sn.random.seed(0)
        batch = draw_batch(4)
        sn.random.seed(11)
        losses = [imperative.step(*batch).numpy() for _ in range(steps)]
        sn.random.seed(11)
        for _ in range(steps):
            graph(*batch)
        words = ["step.sn", "--threads", "2", "--seed", "11", "--output", "loss.npy"]
        for i, x in enumerate(batch):
            np.save(tmp_path / f"b{i}.npy", x.numpy())
            words += ["--input", f"b{i}.npy"]
        words += ["--repeat", str(steps), "--save", "trained.sn"]
        done = subprocess.run(
            [*emulator, str(program), *words], cwd=tmp_path, env=env, check=False,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len({x.tobytes() for x in losses}) > 1  # it learns
        assert np.load(tmp_path / "loss.npy").tobytes() == losses[-1].tobytes(), model
        trained = sn.load(tmp_path / "trained.sn").parameters
        assert set(trained) == set(graph.parameters)
        learnt = dict(imperative.model.named_parameters())
        for key, value in graph.parameters.items():
            made = trained[key].detach().numpy().tobytes()
            assert made == value.detach().numpy().tobytes(), (model, key)
            if key in learnt:
                assert made == learnt[key].detach().numpy().tobytes(), (model, key)
        assert set(learnt) <= set(trained)


@pytest.mark.parametrize("machine", ["aarch64"])
def test_the_library_is_small(machine: str, repository: Path) -> None:
    """Three megabytes, as on x86-64 (docs/runtime.md); it is linked without symbols."""
    library = repository / "build" / machine / "libsennit.so"
    if not library.is_file():
        pytest.skip(f"build/{machine} holds no libsennit.so (make cross)")
    assert library.stat().st_size <= 3_000_000


@pytest.mark.parametrize("machine", list(MACHINES))
def test_a_step_of_training_and_a_path(machine: str, repository: Path, tmp_path: Path) -> None:
    """Files are written there too, under any name."""
    name, emulator = MACHINES[machine]
    program = repository / "build" / machine / name
    if not program.is_file() or not shutil.which(emulator[0]):
        pytest.skip(f"needs build/{machine}/{name} and {emulator[0]}")
    total = sn.zeros(3)

    def add(x: sn.Tensor) -> sn.Tensor:
        total.assign_(total + x)
        return total * 2

    graph = sn.trace(add, sn.TensorSpec((3,)), mutable={"total": total})
    model, saved = "schritt-ä-日.sn", "danach-ü.sn"
    graph.save(tmp_path / model)
    np.save(tmp_path / "x.npy", np.float32([1, 2, 3]))
    env = {k: v for k, v in os.environ.items() if not k.startswith("SENNIT_")} | {
        "LC_ALL": "C.UTF-8"
    }
    words = [model, "--input", "x.npy", "--output", "y.npy", "--repeat", "3", "--save", saved]
    for _ in range(2):  # the second time, over a file that is there
        done = subprocess.run(
            [*emulator, str(program), *words], cwd=tmp_path, env=env, check=False,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert np.load(tmp_path / "y.npy").tolist() == [6, 12, 18]
        assert sn.load(tmp_path / saved).parameters["total"].tolist() == [3, 6, 9]
    assert not list(tmp_path.glob("*.tmp"))
    done = subprocess.run(
        [*emulator, str(program), "fehlt-ß.sn"], cwd=tmp_path, env=env, check=False,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 1 and "[load] fehlt-ß.sn: cannot be read" in done.stderr
