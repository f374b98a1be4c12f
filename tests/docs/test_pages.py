"""The programs on the pages run, and print what the pages show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = [
    "README.md",
    "docs/tour.md",
    "docs/optim.md",
    "docs/transforms.md",
    "docs/graphs.md",
    "docs/control-flow.md",
    "docs/deploy.md",
    "docs/onnx.md",
    "docs/export.md",
    "docs/pictures.md",
    "docs/runtime.md",
    "docs/compile.md",
    "docs/gpu.md",
    "docs/mixed_precision.md",
    "docs/losses_and_metrics.md",
    "docs/array_api.md",
    "docs/differences.md",
    "docs/design/000-overview.md",
]
# Pages show what happens by default.
SWITCHES = ("SENNIT_WINDOW", "SENNIT_ENGINE", "SENNIT_ISA", "SENNIT_NUM_THREADS", "SENNIT_VERIFY")


@pytest.mark.parametrize("page", PAGES)
def test_page(page: str, repository: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in SWITCHES}
    environment["PYTHONPATH"] = str(repository)
    done = subprocess.run(
        [sys.executable, "tools/run_pages.py", page],
        cwd=repository, env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_links_lead_somewhere(repository: Path) -> None:
    broken = []
    pages = [*repository.glob("*.md"), *(repository / "docs").rglob("*.md")]
    for page in pages:
        if (repository / "docs" / "api") in page.parents:
            continue
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            generated = "api/" in target
            if "://" in target or target.startswith("mailto:") or generated:
                continue
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(repository)}: {target}")
    assert not broken


def test_paths_exist(repository: Path) -> None:
    """Files that the pages name in `code` are there."""
    missing = []
    folders = "core|sennit|tests|tools|docs|bindings|benchmarks|examples|cmake"
    for page in [*repository.glob("*.md"), *(repository / "docs").rglob("*.md")]:
        for name in re.findall(rf"`((?:{folders})/[\w./-]+\.\w+)`", page.read_text()):
            if not (repository / name).exists():
                missing.append(f"{page.relative_to(repository)}: {name}")
    assert not missing
