"""Time and memory against size: a table and a picture for each axis; planning against nodes."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import driver, report
from benchmarks.driver import ROOT, Settings
from benchmarks.statistics import duration, size, three
from benchmarks.workload import collect
from benchmarks.workloads.growth import AXES

INTRODUCTION = """\
Written by `python -m benchmarks growth`; do not edit. Training steps, medians; memory is the peak
above what the import takes."""
NODES = (100, 1_000, 10_000, 100_000)

# A chain whose window holds all of it: the first run plans, the second finds the plan.
PLANNING = """
import sys, time
import sennit as sn

count = int(sys.argv[1])
sn.config.window = 2 * count + 16
x, y = sn.ones(64), sn.ones((8, 64))

def run():
    begin = time.perf_counter()
    z = x
    for i in range(count // 4):
        z = sn.softmax(sn.tanh(z * x) + y.sum(dim=0))
    sn.synchronize()
    return time.perf_counter() - begin

sn.ones(3) + 1
sn.synchronize()
first = run()
print(first, min(run() for _ in range(3)))
"""


def planning(settings: Settings) -> list[tuple[str, ...]]:
    rows = []
    for count in NODES:
        done = subprocess.run(
            [settings.pythons.get("sennit", sys.executable), "-c", PLANNING, str(count)],
            capture_output=True, text=True, check=True, cwd=ROOT,
            env=driver.environment(settings.threads),
        )  # fmt: skip
        first, again = (float(v) for v in done.stdout.split())
        each = max(first - again, 0) / count
        rows.append((f"{count:,}", duration(first), duration(again), duration(each)))
    return rows


def draw(path: Path, title: str, points: Sequence[int], rows: list[dict[str, Any]]) -> None:
    """Time and memory of every side over the axis, both logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for panel, key, unit, scale in (
        (panels[0], "median", "ms", 1e3), (panels[1], "peak_bytes", "MB", 1e-6),
    ):  # fmt: skip
        for name in rows[0]["sides"]:
            found = [(p, r["sides"][name][key] * scale) for p, r in zip(points, rows)
                     if key in r["sides"][name]]  # fmt: skip
            if found:
                panel.plot(*zip(*found), marker="o", label=report.title(name))
        panel.set(
            xscale="log", yscale="log", xlabel=title.rsplit(", ", maxsplit=1)[-1], ylabel=unit
        )
        panel.set_xticks(points, [str(p) for p in points], minor=False)
        panel.set_xticks([], minor=True)
        panel.grid(alpha=0.3)
    if panels[0].get_lines():
        panels[0].legend()
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def table(points: Sequence[int], rows: list[dict[str, Any]]) -> list[str]:
    names = list(rows[0]["sides"])
    lines = []
    for point, row in zip(points, rows):
        texts = [f"{point:,}"]
        for name in names:
            side = row["sides"][name]
            memory = f", {size(side['peak_bytes'])}" if "peak_bytes" in side else ""
            texts.append(report.time_text(side) + memory)
        best = report.best_peer(row)
        ratio = row["ratios"].get(best)
        lines.append((*texts, f"{three(ratio['median'])} ×" if ratio else ""))
    return report.table(("", *map(report.title, names), "ratio to the best"), lines)


def command(options: argparse.Namespace, libraries: list[str], pythons: dict[str, str]) -> int:
    settings = Settings(
        rounds=options.rounds, threads=options.threads, pythons=pythons, modules=("growth",)
    )
    wanted = [name for name in options.axes.split(",") if name]
    known = [axis.name for axis in AXES] + ["nodes"]
    if unknown := sorted(set(wanted) - set(known)):
        raise SystemExit(f"no axis {', '.join(unknown)}; the axes are {', '.join(known)}")
    out = options.out or ROOT / "docs" / "growth.md"
    text = ["# Growth", "", INTRODUCTION, ""]
    workloads = collect(("growth",))
    for axis in AXES:
        if wanted and axis.name not in wanted:
            continue
        rows = []
        for point in axis.points:
            row = driver.measure(workloads[f"growth-{axis.name}-{point}"], libraries, settings)
            print(report.line(row), flush=True)
            rows.append(row)
        picture = out.parent / "img" / f"growth-{axis.name}.png"
        draw(picture, axis.title, axis.points, rows)
        text += [f"## {axis.title}", "", *table(axis.points, rows), "",
                 f"![{axis.title}](img/{picture.name})", ""]  # fmt: skip
    if not wanted or "nodes" in wanted:
        header = ("operations in one window", "first run", "again", "planning, per operation")
        text += ["## Planning", "", *report.table(header, planning(settings)), ""]
    out.write_text("\n".join(text))
    print(f"written: {out}")
    return 0
