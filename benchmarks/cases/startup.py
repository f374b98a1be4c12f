"""Importing: time and modules beyond bare Python's."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness import Row, Settings, duration, spread

ROOT = Path(__file__).resolve().parent.parent.parent


def start(code: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    return time.perf_counter() - begin


def modules(code: str) -> int:
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(len(sys.modules))"]
    return int(subprocess.run(command, check=True, cwd=ROOT, capture_output=True).stdout)


def run(settings: Settings, skipped: dict[str, str]) -> list[Row]:
    programs = {"python": "pass", "sennit": "import sennit"}
    if settings.torch:
        programs["torch"] = "import torch"
    times: dict[str, list[float]] = {name: [] for name in programs}
    for code in programs.values():
        start(code)  # byte-compiles and fills the page cache
    for _ in range(settings.rounds):
        for name, code in programs.items():
            times[name].append(start(code))
    bare = statistics.median(times["python"])
    own = [t - bare for t in times["sennit"]]
    low, high = spread(own)
    against = "bare Python"
    rows = [
        Row("startup", "import sennit", 0, duration(statistics.median(own)), duration(bare),
            against, statistics.median(own), low, high, 0.1, True, "s",
            seconds=times)
    ]  # fmt: skip
    base = modules("pass")
    count = modules("import sennit") - base
    rows.append(
        Row("startup", "modules of import sennit", 0, str(count), str(base), against, float(count),
            target=80, at_most=True, unit="modules")
    )  # fmt: skip
    if settings.torch:
        theirs = statistics.median(times["torch"]) - bare
        ours = max(statistics.median(own), 1e-4)
        rows.append(
            Row("startup", "import", 0, duration(ours), duration(theirs), "torch", theirs / ours)
        )
        rows.append(
            Row("startup", "modules", 0, str(count), str(modules("import torch") - base), "torch")
        )
    return rows
