"""Runs the benchmarks: a table on the terminal, JSON under benchmarks/results/.

python -m benchmarks                 everything, at 1 and 2 threads
python -m benchmarks matmul training     some groups
python -m benchmarks --quick         few rounds, to see that it works
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback
from pathlib import Path

# Found when run as a file (make bench) as well as with -m.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# A thread of PyTorch's that spins after its work would slow the other side's round; the pauses
# between rounds are longer than this.
os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))

from benchmarks import machine, report
from benchmarks.harness import Row, Settings
from benchmarks.peers import why_no_torch

GROUPS = ("matmul", "conv", "memory_bound", "overhead", "training", "kernels", "startup")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("groups", nargs="*", help="of " + ", ".join(GROUPS))
    parser.add_argument("--threads", default="", help="comma-separated; default 1,2")
    parser.add_argument("--rounds", type=int, default=7, help="of each side; default 7")
    parser.add_argument("--seconds", type=float, default=0.15, help="of a side's work in a round")
    parser.add_argument("--quick", action="store_true", help="3 short rounds")
    parser.add_argument("--no-torch", action="store_true", help="measure Sennit only")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", type=Path, default=None, help="JSON file")
    parser.add_argument("--markdown", type=Path, default=None, help="also write the table there")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.groups) - set(GROUPS))
    if unknown:
        parser.error(f"no group {', '.join(unknown)}; the groups are {', '.join(GROUPS)}")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    cores = len(os.sched_getaffinity(0))
    counts = [int(n) for n in options.threads.split(",") if n] or [1, 2]
    settings = Settings(
        rounds=3 if options.quick else options.rounds,
        seconds=0.03 if options.quick else options.seconds,
        threads=tuple(n for n in counts if n <= cores),
        torch=not options.no_torch,
        compile=not options.no_compile and not options.quick,
    )
    skipped: dict[str, str] = {}
    if settings.torch:
        reason = why_no_torch()
        if reason:
            settings.torch = False
            skipped["torch"] = reason
            print(f"{reason}: Sennit is measured alone\n")
    facts = machine.describe(settings.threads, settings.torch)
    print(report.machine_text(facts), flush=True)
    rows: list[Row] = []
    failed = False
    for group in options.groups or GROUPS:
        module = importlib.import_module(f"benchmarks.cases.{group}")
        print(f"{group}: {module.__doc__.strip().splitlines()[0]}", flush=True)
        begin = time.perf_counter()
        try:
            found = module.run(settings, skipped)
        except Exception:  # one broken group must not hide the others
            traceback.print_exc()
            skipped[group] = traceback.format_exc(limit=1)
            failed = True
            continue
        report.print_rows(found)
        rows += found
        print(f"  ({time.perf_counter() - begin:.0f} s)\n", flush=True)
    missed = [r for r in rows if r.met is False]
    judged = [r for r in rows if r.met is not None]
    print(f"{len(judged) - len(missed)} of {len(judged)} targets met")
    for row in missed:
        print(f"  missed: {row.name}, {row.threads} threads: {report.figure_text(row)}, "
              f"target {row.target:g}")  # fmt: skip
    for what, why in skipped.items():
        print(f"  skipped: {what}: {why}")
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path = options.out or report.RESULTS / f"{stamp}.json"
    report.write(path, facts, rows, skipped)
    print(f"written: {path}")
    if options.markdown:
        options.markdown.write_text(report.markdown(facts, rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
