"""The table and the JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.harness import Row

RESULTS = Path(__file__).parent / "results"


def figure_text(row: Row) -> str:
    if row.figure is None:
        return ""
    digits = 0 if row.unit in {"", "%"} and row.figure >= 20 else 2
    text = f"{row.figure:.{digits}f}{' ' if len(row.unit) > 1 else ''}{row.unit}"
    if row.low is not None and row.high is not None and row.high > row.low:
        text += f" [{row.low:.{digits}f}, {row.high:.{digits}f}]"
    return text


def target_text(row: Row) -> str:
    if row.target is None:
        return ""
    verdict = "met" if row.met else "MISSED"
    return f"{'<=' if row.at_most else '>='} {row.target:g} {verdict}"


HEADER = ("case", "threads", "sennit", "other", "against", "figure", "target", "")


def cells(row: Row) -> tuple[str, ...]:
    threads = str(row.threads) if row.threads else ""
    return (
        row.name, threads, row.sennit, row.other, row.against, figure_text(row), target_text(row),
        row.note,
    )  # fmt: skip


def print_rows(rows: list[Row]) -> None:
    table = [HEADER, *(cells(r) for r in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADER))]
    for line in table:
        print("  " + "  ".join(text.ljust(w) for text, w in zip(line, widths)).rstrip())
    print(flush=True)


def machine_text(machine: dict[str, Any]) -> str:
    peaks = ", ".join(
        f"{value:.0f} GFLOP/s on {count} thread{'s' * (count != '1')}"
        for count, value in machine["peak_gflops"].items()
    )
    return (
        f"{machine['cpu']}, {machine['cores']} cores, level {machine['isa']}, load "
        f"{machine['load']:.1f}\nf32 multiply-add peak: {peaks}\nPython {machine['python']}, "
        f"Sennit {machine['sennit']}, PyTorch {machine.get('torch', 'not used')}\n"
    )


def write(path: Path, machine: dict[str, Any], rows: list[Row], skipped: dict[str, str]) -> None:
    record = {"machine": machine, "rows": [r.record() for r in rows], "skipped": skipped}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def markdown(machine: dict[str, Any], rows: list[Row]) -> str:
    """The table as the documentation shows it."""
    lines = [machine_text(machine).strip().replace("\n", "  \n"), ""]
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines += ["", f"**{group}**", "", "| " + " | ".join(HEADER[:-1]) + " |"]
            lines.append("|" + "---|" * (len(HEADER) - 1))
        lines.append("| " + " | ".join(cells(row)[:-1]) + " |")
    return "\n".join(lines) + "\n"
