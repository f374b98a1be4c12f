"""The example scripts run: a few steps of each on the real data, with Sennit and with PyTorch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = {
    "char_gpt": ["--steps", "3", "--sample", "5"],
    "char_rnn": ["--steps", "3"],
    "char_rnn-gru": ["--kind", "gru", "--steps", "3"],
    "text_cnn": ["--root", "FEW", "--folds", "1", "--epochs", "2"],
    "names_transformer": ["--steps", "3"],
    "gcn": ["--seeds", "1"],
    "mnist": ["--epochs", "1", "--images", "512"],
    "vae": ["--epochs", "1", "--images", "512", "--output", "OUT.png"],
    "gan": ["--steps", "2", "--output", "OUT.png"],
}


def few_reviews(data_dir: Path, folder: Path) -> Path:
    """The first 100 sentences of each kind."""
    for name in ("rt-polarity.neg", "rt-polarity.pos"):
        lines = (data_dir / "text" / "rt-polarity" / name).read_bytes().splitlines(keepends=True)
        (folder / name).write_bytes(b"".join(lines[:100]))
    return folder


def check(name: str, program: list[str], data_dir: Path, repository: Path, folder: Path) -> None:
    if name in ("vae", "gan"):
        pytest.importorskip("PIL", reason="pictures need Pillow")
    picture = folder / "out.png"
    values = {"OUT.png": str(picture), "FEW": str(folder)}
    if name == "text_cnn":
        few_reviews(data_dir, folder)
    script = str(repository / "examples" / f"{name.split('-', maxsplit=1)[0]}.py")
    done = subprocess.run(
        [sys.executable, *program, script, *(values.get(o, o) for o in EXAMPLES[name])],
        capture_output=True, text=True, check=False,
        env=os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "SENNIT_DATA": str(data_dir),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"\b[0-9a-f]{64}\b", done.stdout), "the parameters' hash is printed"
    assert name not in ("vae", "gan") or picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_script_runs(name: str, tmp_path: Path, data_dir: Path, repository: Path) -> None:
    check(name, [], data_dir, repository, tmp_path)


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_script_runs_in_pytorch(
    name: str, torch: Any, tmp_path: Path, data_dir: Path, repository: Path
) -> None:
    program = [str(repository / "tools" / "with_pytorch.py")]
    check(name, program, data_dir, repository, tmp_path)
