"""The tables of a run: one line on the terminal, docs/performance.md, the block of the README."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.libraries import LIBRARIES
from benchmarks.statistics import duration, size, three

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- benchmarks: written by python -m benchmarks report FILE --readme -->"
END = "<!-- benchmarks: end -->"
FAR = 0.6  # of the floor: what stays below is explained
FAR_TEXT = """\
The workloads below 60 % of their floor. *Threads at work* is the part of the time of all threads
that they spent in kernels; the rest is waiting for each other, for Python, or for the next piece
of work."""
HEADER = ("", "Sennit", "best peer", "ratio", "of the floor", "memory", "first call", "other peers")

Row = dict[str, Any]


def title(library: str) -> str:
    return LIBRARIES[library].title


def ours(library: str) -> bool:
    return LIBRARIES[library].package == "sennit"


def best_peer(row: Row) -> str | None:
    """The fastest of the peers whose results agree."""
    able = [n for n, s in row["sides"].items() if not ours(n) and "median" in s]
    able = [n for n in able if n not in row["disagree"]] or able
    return min(able, key=lambda n: row["sides"][n]["median"], default=None)


def time_text(side: dict[str, Any]) -> str:
    for kind in ("missing", "failed"):
        if kind in side:
            return f"{kind}: {side[kind]}"
    return duration(side["median"])


def ratio_text(found: dict[str, float]) -> str:
    low, high = three(found["low"]), three(found["high"])
    return f"{three(found['median'])} × [{low}, {high}]"


def missed(row: Row) -> list[str]:
    """The targets that this row does not reach."""
    found = []
    for against, least in row["targets"].items():
        if against == "floor":
            reached = row["sides"].get("sennit", {}).get("of_floor")
        else:
            reached = row["ratios"].get(against, {}).get("median")
        if reached is not None and reached < least:
            found.append(f"{three(reached)} of {against}, target {least:g}")
    return found


def line(row: Row) -> str:
    """What the terminal shows when a workload is done."""
    times = [f"{name} {time_text(side)}" for name, side in row["sides"].items()]
    text = f"{row['name']}: {' · '.join(times)}"
    best = best_peer(row)
    if best in row["ratios"]:
        text += f" · {ratio_text(row['ratios'][best])} the speed of {best}"
    for name, how in row["disagree"].items():
        text += f"\n  DISAGREES: {name} {how}"
    return text + "".join(f"\n  missed: {m}" for m in missed(row))


def floor_text(row: Row) -> str:
    part = row["sides"].get("sennit", {}).get("of_floor")
    return f"{100 * part:.0f} % ({row['floor']['kind']})" if part else ""


def memory_text(row: Row, best: str | None) -> str:
    sides = row["sides"]
    shown = [n for n in ("sennit", best) if n and "peak_bytes" in sides.get(n, {})]
    return "; ".join(size(sides[n]["peak_bytes"]) for n in shown)


def cells(row: Row) -> tuple[str, ...]:
    sides, best = row["sides"], best_peer(row)
    own = sides.get("sennit", {"missing": "not measured"})
    others = [f"{title(n)} {time_text(s)}" for n, s in sides.items() if not ours(n) and n != best]
    first = [duration(sides[n]["first_seconds"]) for n in ("sennit", best)
             if n and "first_seconds" in sides.get(n, {})]  # fmt: skip
    return (
        row["title"], time_text(own),
        f"{title(best)} {time_text(sides[best])}" if best else "",
        ratio_text(row["ratios"][best]) if best in row["ratios"] else "",
        floor_text(row), memory_text(row, best), "; ".join(first), "; ".join(others),
    )  # fmt: skip


def table(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> list[str]:
    rows = [header, ("---",) * len(header), *lines]
    return ["| " + " | ".join(text.replace("|", "\\|") for text in r) + " |" for r in rows]


def with_the_machine(record: dict[str, Any]) -> dict[str, Any]:
    """The record with one floor for all rows: the highest peak and bandwidth of any row.

    A row's own probe is a few short loops, and what disturbs one makes the floor too low; what the
    machine has reached once it can reach.
    """
    floors = [r["floor"] for r in record["rows"] if r["floor"]]
    if not floors:
        return record
    peak = max(f["peak"] for f in floors)
    bandwidth = max(f["bandwidth"] for f in floors)
    rows = []
    for row in record["rows"]:
        floor = row["floor"]
        if floor:
            own = floor["peak"] if floor["kind"] == "arithmetic" else floor["bandwidth"]
            best = peak if floor["kind"] == "arithmetic" else bandwidth
            part = own / best
            sides = {
                name: {**side, "of_floor": side["of_floor"] * part} if "of_floor" in side else side
                for name, side in row["sides"].items()
            }
            seconds = floor["seconds"] * part
            floor = {**floor, "seconds": seconds, "peak": peak, "bandwidth": bandwidth}
            row = {**row, "sides": sides, "floor": floor}
        rows.append(row)
    return {**record, "rows": rows}


def machine_text(record: dict[str, Any]) -> str:
    about, threads = record["machine"], record["settings"]["threads"]
    floors = [r["floor"] for r in record["rows"] if r["floor"]]
    measured = ""
    if floors:
        measured = (
            f", {floors[0]['peak'] / 1e9:.0f} GFLOP/s of f32 multiply-adds,"
            f" {floors[0]['bandwidth'] / 1e9:.0f} GB/s of memory"
        )
    packages: dict[str, str] = {}  # several sides may be one package
    for name, version in record["versions"].items():
        packages.setdefault(LIBRARIES[name].package, f"{title(name)} {version}")
    versions = ", ".join(packages.values())
    return (
        f"{about['cpu']}, {threads} thread{'s' * (threads != 1)}{measured}; "
        f"{about['time'][:10]}. {versions}; Python {about['python']}."
    )


METHOD = """\
Medians of {rounds} interleaved rounds, each library in a process of its own; the brackets are the
quartiles of the round-by-round ratios. *Ratio* is how many times faster Sennit is than the best
peer. *Memory* (Sennit; best peer) is the highest resident set of the workload above what the
import takes; *first call* is the time of the first unit of work, compiling included.

*The floor* is the least time that this machine allows: either the multiply-adds of the
mathematics at the peak that a register loop of f32 multiply-adds reached (arithmetic), or, when
the data are larger than the last-level cache, the bytes that must be read and written once at the
bandwidth that large copies or reads by all threads reached (memory), whichever is longer. Both are
measured with every row; the highest counts for all. A kernel that a library runs from its cache,
or an algorithm with fewer multiply-adds (Winograd's), can exceed 100 %.
[How it is measured](benchmarks.md)."""


def page(record: dict[str, Any]) -> str:
    """docs/performance.md."""
    record = with_the_machine(record)
    lines = ["# Performance", "", "Written by `python -m benchmarks report`; do not edit.", ""]
    lines += [machine_text(record), "", METHOD.format(rounds=record["settings"]["rounds"]), ""]
    for library, reason in record["skipped"].items():
        lines.append(f"- {title(library)} was skipped: {reason}")
    for row in record["rows"]:
        for name, how in row["disagree"].items():
            lines.append(f"- **{row['title']}: {title(name)} disagrees**, {how}")
    slower = [r for r in record["rows"] if (b := best_peer(r)) in r["ratios"]
              and r["ratios"][b]["median"] < 1]  # fmt: skip
    if slower:
        lines += [
            "",
            "Sennit is slower than the best peer in: "
            + "; ".join(
                f"{r['title']} ({three(r['ratios'][best_peer(r)]['median'])} ×)" for r in slower
            )
            + ".",
        ]
    groups = dict.fromkeys(r["group"] for r in record["rows"])
    for group in groups:
        rows = [cells(r) for r in record["rows"] if r["group"] == group]
        lines += ["", f"## {group.capitalize()}", "", *table(HEADER, rows)]
    lines += where_the_time_goes(record["rows"]) + second_thread(record["rows"])
    lines += plain_code(record["rows"])
    if record["startup"]:
        lines += ["", "## Startup", "", *startup_table(record["startup"])]
    misses = [f"- {r['title']}: {m}" for r in record["rows"] for m in missed(r)]
    if misses:
        lines += ["", "## Targets missed", "", *misses]
    return "\n".join(lines) + "\n"


def where_the_time_goes(rows: list[Row]) -> list[str]:
    """The longest kernels of what stays below FAR of its floor, from the profile of the run."""
    lines = []
    for row in rows:
        side = row["sides"].get("sennit", {})
        if side.get("of_floor", 1.0) >= FAR or "kernels" not in side:
            continue
        found = side["kernels"]
        kernels = "; ".join(
            f"`{name}` {100 * part:.0f} %" for name, part in found["longest"] if part >= 0.03
        )
        lines.append(
            (
                row["title"],
                f"{100 * side['of_floor']:.0f} %",
                f"{100 * found['busy']:.0f} %",
                kernels,
            )
        )
    if not lines:
        return []
    header = ("", "of the floor", "threads at work", "kernels, by their part of the time")
    return ["", "## Where the time goes", "", FAR_TEXT, "", *table(header, lines)]


def beside_itself(rows: list[Row], other: str, title: str, names: tuple[str, str]) -> list[str]:
    """Sennit beside Sennit in another setting."""
    lines = []
    for row in rows:
        side, main = row["sides"].get(other, {}), row["sides"].get("sennit", {})
        if "median" in side and "median" in main:
            ratio = ratio_text(row["ratios"][other])
            lines.append((row["title"], duration(side["median"]), duration(main["median"]), ratio))
    if not lines:
        return []
    return ["", f"## {title}", "", *table(("", *names, "speed-up"), lines)]


def second_thread(rows: list[Row]) -> list[str]:
    title, names = "What the second thread brings", ("one thread", "all threads")
    return beside_itself(rows, "sennit-1", title, names)


def plain_code(rows: list[Row]) -> list[str]:
    title, names = "Plain code beside sn.compile", ("compiled", "plain")
    return beside_itself(rows, "sennit-compile", title, names)


def startup_table(found: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        (r["title"], duration(max(r["median"], 0)), f"{r['modules']:,}", size(r["bytes"]))
        for r in found.values()
    ]
    return table(("", "import", "modules", "installed, with what it requires"), lines)


def readme_block(record: dict[str, Any]) -> str:
    """The featured rows, Sennit beside PyTorch and the best of all peers."""
    record = with_the_machine(record)
    lines = []
    for row in (r for r in record["rows"] if r["featured"]):
        sides, best = row["sides"], best_peer(row)
        if "median" not in sides.get("sennit", {}):
            continue
        torch = duration(sides["torch"]["median"]) if "median" in sides.get("torch", {}) else ""
        part = sides["sennit"].get("of_floor")
        lines.append((
            row["title"], f"{100 * part:.0f} %" if part else "",
            duration(sides["sennit"]["median"]), torch,
            f"{duration(sides[best]['median'])} ({title(best)})" if best else "",
            f"{three(row['ratios'][best]['median'])} ×" if best in row["ratios"] else "",
            memory_text(row, best),
        ))  # fmt: skip
    starts = {name: duration(max(r["median"], 0)) for name, r in record["startup"].items()}
    if "sennit" in starts:
        lines.append(("`import`", "", starts["sennit"], starts.get("torch", ""), "", "", ""))
    header = (
        "plain imperative code",
        "of the machine's limit",
        "Sennit",
        "PyTorch",
        "best peer",
        "ratio",
        "peak memory",
    )
    return "\n".join([machine_text(record), "", *table(header, lines)])


def replace_block(text: str, block: str) -> str:
    """`text` with what stands between the two comments replaced."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the page must have {BEGIN} and then {END}, once each")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{block}\n{END}{rest.split(END)[1]}"


def command(file: Path, readme: bool, out: Path | None) -> int:
    record = json.loads(file.read_text())
    if readme:
        path = out or ROOT / "README.md"
        path.write_text(replace_block(path.read_text(), readme_block(record)))
    else:
        path = out or ROOT / "docs" / "performance.md"
        path.write_text(page(record))
    print(f"written: {path}")
    return 0
