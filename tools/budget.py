"""Budgets: lines per folder, import time and modules, size of the wheel.

    python tools/budget.py

A test runs the same checks. Raising a number here takes a line of reason in
docs/design/000-overview.md, which has one for each that was raised.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A reader should get through the first six in a weekend: 10,500 lines together at most.
LINES = {
    "core/base": 2300,
    "core/ir": 900,
    "core/record": 2500,
    "core/pass": 1500,
    "core/plan": 2900,
    "core/engine": 2250,
    "core/op": 19500,
    "core/memory": 600,
    "core/backend/cpu": 16000,
    "core/backend/reference": 2750,
    "core/runtime": 5500,
    "runtime": 2000,
    "bindings": 7500,
    "sennit": 52000,
}
TOTAL_LINES = 115_000
# Counted apart from the total: large, and not needed to understand the rest.
LINES_APART = {"core/backend/cuda": 9400, "sennit/distributed": 2500}
SUFFIXES = {".py", ".h", ".cpp", ".inc", ".cu"}  # generated .pyi stubs are not read by people

IMPORT_SECONDS = 0.100
IMPORT_MODULES = 80
WHEEL_BYTES = 15_000_000


def count_lines(folder: Path, without: tuple[Path, ...] = ()) -> int:
    total = 0
    for path in folder.rglob("*"):
        apart = any(path.is_relative_to(other) for other in without)
        if path.suffix in SUFFIXES and path.is_file() and not apart:
            with path.open("rb") as file:
                total += sum(1 for _ in file)
    return total


def lines() -> list[tuple[str, int, int]]:
    """Rows of (folder, lines, budget); the last row is the total."""
    apart = tuple(ROOT / name for name in LINES_APART)
    rows = [(name, count_lines(ROOT / name, apart), most) for name, most in LINES.items()]
    total = sum(count for _, count, _ in rows)
    rows += [(name, count_lines(ROOT / name), most) for name, most in LINES_APART.items()]
    return [*rows, ("total without the last two", total, TOTAL_LINES)]


IMPORT_PROGRAM = """
import sys, time
before = set(sys.modules)
start = time.perf_counter()
import sennit
seconds = time.perf_counter() - start
import json
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before - {"json"})}))
"""


def measure_import(runs: int = 7) -> tuple[float, list[str]]:
    """The shortest time of `import sennit` in a new process, and the modules that it loads."""
    best, modules = float("inf"), []
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-c", IMPORT_PROGRAM], check=True, capture_output=True, text=True
        )
        result = json.loads(done.stdout)
        best, modules = min(best, result["seconds"]), result["modules"]
    return best, modules


def wheel_bytes() -> int:
    """What the installed package takes as a wheel, which is a deflated zip."""
    import sennit

    files = (path for path in Path(sennit.__file__).parent.rglob("*") if path.is_file())
    return sum(len(zlib.compress(path.read_bytes())) for path in files if path.suffix != ".pyc")


def main() -> int:
    over = False
    print(f"{'folder':32}{'lines':>8}{'budget':>8}")
    for name, count, most in lines():
        over |= count > most
        print(f"{name:32}{count:8}{most:8}{'   OVER' if count > most else ''}")
    seconds, modules = measure_import()
    size = wheel_bytes()
    for what, value, most in (
        ("import time, ms", seconds * 1e3, IMPORT_SECONDS * 1e3),
        ("modules imported", len(modules), IMPORT_MODULES),
        ("wheel, kB", size / 1e3, WHEEL_BYTES / 1e3),
    ):
        over |= value > most
        print(f"{what:32}{value:8.0f}{most:8.0f}{'   OVER' if value > most else ''}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
