"""What a library costs before it computes: time of its import, its modules, its size on disk."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import statistics
from benchmarks.driver import ROOT, Settings, environment
from benchmarks.libraries import LIBRARIES

# Runs in the library's own Python: NumPy and Sennit's checkout need not be there.
SURVEY = """
import sys
name = sys.argv[1]
bare = len(sys.modules)
module = __import__(name)
modules = len(sys.modules) - bare

import importlib.metadata as metadata, json, re
from pathlib import Path

def closure(start):
    found, left = {}, [start]
    while left:
        one = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if one in found:
            continue
        try:
            found[one] = metadata.distribution(one)
        except metadata.PackageNotFoundError:
            continue
        for need in found[one].requires or ():
            if "extra ==" not in need and "extra==" not in need:
                left.append(re.match(r"[\\w.-]+", need).group(0))
    return found

def size(path):
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0

owners = metadata.packages_distributions().get(name, [])
known = closure(owners[0]) if owners else {}
total = sum(size(Path(f.locate())) for d in known.values() for f in d.files or ()
            if not str(f).endswith(".pyc"))
own = {Path(f.locate()).resolve() for d in known.values() for f in d.files or ()}
folder = Path(module.__file__).resolve().parent
if Path(module.__file__).resolve() not in own:  # a checkout: its folder, and what it needs
    total += sum(size(p) for p in folder.rglob("*") if p.suffix != ".pyc")
    if "numpy" not in known:
        needs = closure("numpy")
        total += sum(size(Path(f.locate())) for d in needs.values() for f in d.files or ()
                     if not str(f).endswith(".pyc"))
version = str(getattr(module, "__version__", "?")).split("-")[0]
print(json.dumps({"version": version, "modules": modules, "bytes": total}))
"""


def survey(library: str, python: str, settings: Settings) -> dict[str, Any]:
    """Version, modules and bytes on disk with all that the library requires, or why not."""
    package = LIBRARIES[library].package
    done = subprocess.run(
        [python, "-c", SURVEY, package], capture_output=True, text=True, cwd=ROOT,
        env=environment(settings.threads), check=False, timeout=settings.patience,
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        return {"skipped": f"`import {package}` failed: {lines[-1]}"}
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def start_seconds(python: str, code: str, settings: Settings) -> float:
    begin = time.perf_counter()
    subprocess.run([python, "-c", code], check=True, cwd=ROOT, capture_output=True,
                   env=environment(settings.threads))  # fmt: skip
    return time.perf_counter() - begin


def measure(
    libraries: Sequence[str],
    settings: Settings,
    python_of: Callable[[str], str],
    start: Callable[[str, str, Settings], float] = start_seconds,
) -> dict[str, dict[str, Any]]:
    """By package, the time of a process with the import less that of a bare one, interleaved."""
    chosen: dict[str, str] = {}  # one library of each package
    for library in libraries:
        chosen.setdefault(LIBRARIES[library].package, library)
    found: dict[str, dict[str, Any]] = {}
    for package, library in chosen.items():
        answer = survey(library, python_of(library), settings)
        if "skipped" not in answer:
            found[package] = answer | {"title": LIBRARIES[library].title, "seconds": []}
    for _ in range(min(settings.rounds, 5)):
        for package, record in found.items():
            python = python_of(chosen[package])
            bare = start(python, "pass", settings)
            record["seconds"].append(start(python, f"import {package}", settings) - bare)
    for record in found.values():
        record["median"] = statistics.median(record["seconds"])
    return found
