"""The example scripts run: a few steps of each on the real data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = {
    "char_gpt": ["--steps", "3", "--sample", "5"],
    "char_rnn": ["--steps", "3"],
    "char_rnn-gru": ["--kind", "gru", "--steps", "3"],
    "text_cnn": ["--folds", "1", "--epochs", "0"],
    "names_transformer": ["--steps", "3"],
    "gcn": ["--seeds", "1"],
    "vae": ["--epochs", "0", "--output", "OUT.png"],
    "gan": ["--steps", "2", "--output", "OUT.png"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_script_runs(name: str, tmp_path: Path, data_dir: Path, repository: Path) -> None:
    if name in ("vae", "gan"):
        pytest.importorskip("PIL", reason="pictures need Pillow")
    script = repository / "examples" / f"{name.split('-', maxsplit=1)[0]}.py"
    picture = tmp_path / "out.png"
    options = [o.replace("OUT.png", str(picture)) for o in EXAMPLES[name]]
    done = subprocess.run(
        [sys.executable, script, *options], capture_output=True, text=True, check=False,
        env=os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "SENNIT_DATA": str(data_dir),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"\b[0-9a-f]{64}\b", done.stdout), "the parameters' hash is printed"
    assert name not in ("vae", "gan") or picture.read_bytes().startswith(b"\x89PNG")
