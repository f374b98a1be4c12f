"""python -m benchmarks run | report | growth | gpu | list: see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import driver, gpu, machine, report, startup
from benchmarks.driver import Settings
from benchmarks.libraries import LIBRARIES, PEERS
from benchmarks.workload import MODULES, Workload, collect

RESULTS = Path(__file__).parent / "results"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="measure Sennit and its peers")
    run.add_argument("--peers", default=",".join(PEERS), help="default: %(default)s")
    run.add_argument("--only", default="", help="workloads or groups, comma-separated")
    run.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
    run.add_argument("--rounds", type=int, default=7)
    run.add_argument("--seconds", type=float, default=0.15, help="of a side's work in a round")
    run.add_argument("--patience", type=float, default=300, help="seconds until a side is given up")
    run.add_argument("--quick", action="store_true", help="3 short rounds, to see that it works")
    run.add_argument("--python", action="append", default=[], metavar="PEER=PATH",
                     help="the peer's own Python, e.g. jax=jax-env/bin/python")  # fmt: skip
    run.add_argument("--out", type=Path, help="JSON; default benchmarks/results/<time>.json")
    run.add_argument("--modules", default=",".join(MODULES), help=argparse.SUPPRESS)

    written = commands.add_parser("report", help="write the tables of a run")
    written.add_argument("file", type=Path)
    written.add_argument("--readme", action="store_true", help="replace the block in README.md")
    written.add_argument("--out", type=Path, help="default docs/performance.md, or README.md")

    grown = commands.add_parser("growth", help="time and memory against size")
    grown.add_argument("--axes", default="", help="default: all")
    grown.add_argument("--peers", default="torch")
    grown.add_argument("--python", action="append", default=[], metavar="PEER=PATH")
    grown.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
    grown.add_argument("--rounds", type=int, default=5)
    grown.add_argument("--out", type=Path, help="default docs/growth.md")

    gpu.add_options(commands.add_parser("gpu", help="all that needs a GPU, in one short run"))

    listed = commands.add_parser("list", help="the workloads and which libraries have them")
    listed.add_argument("--modules", default=",".join(MODULES), help=argparse.SUPPRESS)
    return top


def pythons(options: Sequence[str]) -> dict[str, str]:
    """`jax=/path` for each; a peer of several sides gives its Python to all of them."""
    found: dict[str, str] = {}
    for option in options:
        peer, equals, path = option.partition("=")
        if not equals or peer not in PEERS:
            raise SystemExit(f"--python {option}: PEER=PATH with a peer of {', '.join(PEERS)}")
        found |= dict.fromkeys(PEERS[peer], path)
    return found


def sides(peers: str) -> list[str]:
    """Sennit and the sides of the named peers."""
    names = [p for p in peers.split(",") if p]
    unknown = sorted(set(names) - set(PEERS))
    if unknown:
        raise SystemExit(f"no peer {', '.join(unknown)}; the peers are {', '.join(PEERS)}")
    return ["sennit", *(side for name in names for side in PEERS[name])]


def select(workloads: dict[str, Workload], only: str) -> list[Workload]:
    wanted = [name for name in only.split(",") if name]
    groups = {w.group for w in workloads.values()} | {"startup"}
    unknown = sorted(set(wanted) - set(workloads) - groups)
    if unknown:
        raise SystemExit(f"no workload or group {', '.join(unknown)}: python -m benchmarks list")
    return [w for w in workloads.values() if not wanted or {w.name, w.group} & set(wanted)]


def installed(
    libraries: Sequence[str], settings: Settings
) -> tuple[list[str], dict[str, str], dict[str, Any]]:
    """Who can take part, why the others cannot, and what each package is."""
    answers: dict[tuple[str, str], dict[str, Any]] = {}
    present, skipped, found = [], {}, {}
    for library in libraries:
        package = LIBRARIES[library].package
        python = settings.pythons.get(library, sys.executable)
        try:
            if (package, python) not in answers:
                answers[package, python] = startup.survey(library, python, settings)
            answer = answers[package, python]
        except OSError as error:
            answer = {"skipped": f"{python} cannot be run: {error.strerror}"}
        if "skipped" in answer:
            skipped[library] = answer["skipped"]
        else:
            present.append(library)
            found[library] = answer["version"]
    return present, skipped, found


def run(options: argparse.Namespace) -> int:
    settings = Settings(
        rounds=3 if options.quick else options.rounds,
        seconds=0.03 if options.quick else options.seconds,
        threads=options.threads, patience=options.patience, pythons=pythons(options.python),
        modules=options.modules.split(","),
    )  # fmt: skip
    chosen = select(collect(settings.modules), options.only)
    libraries, skipped, versions = installed(sides(options.peers), settings)
    if "sennit" in skipped:
        raise SystemExit(skipped["sennit"])
    record: dict[str, Any] = {
        "machine": machine.facts(), "versions": versions, "skipped": skipped,
        "settings": dataclasses.asdict(settings) | {"pythons": None}, "rows": [], "startup": {},
    }  # fmt: skip
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path = options.out or RESULTS / f"{stamp}.json"
    for library, reason in skipped.items():
        print(f"skipped: {library}: {reason}", flush=True)
    probe = driver.Worker("machine", "", settings)
    try:
        record["machine"]["isa"] = probe.ask("build")["version"]
        for workload in chosen:
            row = driver.measure(workload, libraries, settings, probe)
            record["rows"].append(row)
            print(report.line(row), flush=True)
            write(path, record)  # after each: a run that is stopped has not run in vain
    finally:
        probe.close()
    if not options.only or "startup" in options.only.split(","):
        record["startup"] = startup.measure(
            libraries, settings, lambda name: settings.pythons.get(name, sys.executable)
        )
    write(path, record)
    print("\n" + report.page(record))
    print(f"written: {path}")
    bad = [r["name"] for r in record["rows"] if r["disagree"] or "failed" in r["sides"]["sennit"]]
    return 1 if bad else 0


def write(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.command == "run":
        return run(options)
    if options.command == "report":
        return report.command(options.file, options.readme, options.out)
    if options.command == "growth":
        from benchmarks import growth

        return growth.command(options, sides(options.peers), pythons(options.python))
    if options.command == "gpu":
        return gpu.command(options, sides(options.peers))
    for workload in collect(options.modules.split(",")).values():
        names = [n for n, entry in LIBRARIES.items() if entry.key in workload.sides]
        print(f"{workload.group:14}{workload.name:36}{', '.join(names)}")
    return 0
