"""Hygiene of the checkout: file lengths, nobody's machine, no leftovers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MOST_LINES = 800
CODE = {".py", ".cpp", ".h", ".cu", ".inc"}
# [x] in a pattern matches x, and keeps this file from matching itself.
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(?:root|home|Users|work|opt)/\w")
REGISTRIES = re.compile(r"py[p]i\.org|python[h]osted|ana[c]onda\.org|npm[j]s")
LEFTOVERS = re.compile(r"\b(?:[T]ODO|[F]IXME|[X]XX|[H]ACK)\b")


@pytest.fixture(scope="module")
def texts(repository: Path) -> dict[str, str]:
    """Every file of the checkout that is text and not ignored, by its path."""
    git = shutil.which("git")
    if git is None or not (repository / ".git").exists():
        pytest.skip("needs git, which knows what belongs to the checkout")
    listing = subprocess.run(
        [git, "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=repository, check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = {}
    for name in filter(None, listing.stdout.split("\0")):
        path = repository / name
        if path.is_file() and path.stat().st_size < 4_000_000:
            data = path.read_bytes()
            if b"\0" not in data:
                found[name] = data.decode("utf-8", errors="replace")
    return found


def matches(texts: dict[str, str], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_files_are_short(texts: dict[str, str]) -> None:
    counts = {name: text.count("\n") for name, text in texts.items() if Path(name).suffix in CODE}
    assert not {name: count for name, count in counts.items() if count > MOST_LINES}


def test_no_path_of_a_machine(texts: dict[str, str], repository: Path) -> None:
    assert not matches(texts, MACHINE_PATHS)
    if len(repository.parts) > 2:  # a checkout right under the root has too common a name
        assert not matches(texts, re.compile(re.escape(str(repository)) + r"\b"))


def test_no_package_registry_is_named(texts: dict[str, str]) -> None:
    assert not matches(texts, REGISTRIES)


def test_no_leftovers(texts: dict[str, str]) -> None:
    code = {name: text for name, text in texts.items() if Path(name).suffix in CODE}
    assert not matches(code, LEFTOVERS)


def test_headers_are_included_once(texts: dict[str, str]) -> None:
    headers = {name: text for name, text in texts.items() if name.endswith(".h")}
    assert not [name for name, text in headers.items() if "#pragma once" not in text]


def test_no_fast_math(texts: dict[str, str]) -> None:
    build = {n: t for n, t in texts.items() if n.endswith(("CMakeLists.txt", ".cmake", "Makefile"))}
    assert not matches(build, re.compile(r"-(ffast-math|Ofast|funsafe-math\w*|fassociative-math)"))
