"""`python -m benchmarks gpu`: everything that needs a GPU, in one command of bounded length.

It says what the machine has (sn.doctor), runs the tests marked `gpu`, then the workloads below on
the GPU, Sennit beside the peers that can use it, and writes one JSON. Time that is left decides how
many workloads run; what was not run is named.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from benchmarks import driver, machine, report
from benchmarks.driver import ROOT, Settings
from benchmarks.workload import MODULES, Workload, collect

# The most telling first: the time may end.
WORKLOADS = (
    "chain-16777216", "softmax", "layer-norm", "product-4096x4096x4096-NN", "train-mlp",
    "train-tiny", "train-gpt", "train-resnet20", "train-cnn", "train-lstm", "sum-4096x2-0",
    "sum-4096x2-all", "product-1024x1024x1024-NN", "layer-norm-gradient", "embedding", "sort",
    "product-4096-bf16", "product-4096-tf32", "train-gpt2-bf16", "train-resnet50-bf16",
    "random-normal", "attention-causal-1024", "3x3-64x56", "3x3-64x56-gradients", "resnet50-16",
    "op-overhead",
)  # fmt: skip
GPU_MODULES = (*MODULES, "mixed")  # and what only a GPU does in bounded time
TEST_SHARE = 0.5  # of the time, at most


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--minutes", type=float, default=9, help="the whole takes at most this")
    command.add_argument("--peers", default="torch,torch-compile,jax")
    command.add_argument("--only", default=",".join(WORKLOADS), help="workloads, comma-separated")
    command.add_argument("--device", default="cuda")
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--seconds", type=float, default=0.15)
    command.add_argument("--modules", default=",".join(GPU_MODULES), help=argparse.SUPPRESS)
    command.add_argument("--no-tests", action="store_true", help="the workloads alone")
    command.add_argument(
        "--out", type=Path, help="JSON; default benchmarks/results/<time>-gpu.json"
    )


def run_tests(seconds: float) -> dict[str, Any]:
    """The tests marked `gpu`: how many passed, and what those that failed said."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider",
                   f"--junitxml={file}", str(ROOT / "tests")]  # fmt: skip
        begin = time.monotonic()
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False,
                                  timeout=seconds)  # fmt: skip
            said, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired as stopped:
            said, code = (stopped.stdout or b"").decode(errors="replace"), None
        found: dict[str, Any] = {"seconds": time.monotonic() - begin, "status": code}
        if not file.exists():  # it was stopped: what its dots say
            dots = re.sub(r"\[.*?\]", "", "".join(re.findall(r"^[.FEsx]+ .*$", said, re.M)))
            return found | {"passed": dots.count("."), "failed": dots.count("F") + dots.count("E"),
                            "stopped": code is None, "said": said[-4000:]}  # fmt: skip
        suite = ET.parse(file).getroot().find("testsuite")
        assert suite is not None
        count = {k: int(suite.get(k, 0)) for k in ("tests", "failures", "errors", "skipped")}
        wrong = count["failures"] + count["errors"]
        problems = []
        for case in suite.iter("testcase"):
            for kind in ("failure", "error"):
                trouble = case.find(kind)
                if trouble is not None:
                    name = f"{case.get('classname')}::{case.get('name')}"
                    problems.append({"test": name, "text": (trouble.text or "")[-1500:]})
        return found | {"passed": count["tests"] - wrong - count["skipped"], "failed": wrong,
                        "skipped": count["skipped"], "problems": problems[:50]}  # fmt: skip


def chosen(only: str, modules: str) -> list[Workload]:
    known = collect(modules.split(","))
    names = [n for n in only.split(",") if n]
    if unknown := [n for n in names if n not in known]:
        raise SystemExit(f"no workload {', '.join(unknown)}: python -m benchmarks list")
    return [known[n] for n in names]


def command(options: argparse.Namespace, libraries: list[str]) -> int:
    import sennit as sn
    from benchmarks.command import RESULTS, installed, write

    end = time.monotonic() + 60 * options.minutes
    workloads = chosen(options.only, options.modules)
    diagnosis = sn.doctor()
    print(diagnosis)
    kind = options.device.partition(":")[0]
    if kind == "cuda" and not diagnosis.cuda.available:
        print(f"\nnothing was measured: {diagnosis.cuda.problem}")
        return 1
    settings = Settings(
        modules=options.modules.split(","), rounds=options.rounds, seconds=options.seconds,
        patience=120, device=options.device,
    )  # fmt: skip
    record: dict[str, Any] = {
        "machine": machine.facts() | {"device": options.device, "doctor": str(diagnosis)},
        "settings": dataclasses.asdict(settings) | {"pythons": None},
        "tests": None, "rows": [], "not_run": [w.name for w in workloads], "startup": {},
    }  # fmt: skip
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path = options.out or RESULTS / f"{stamp}-gpu.json"
    if not options.no_tests:
        record["tests"] = run_tests(TEST_SHARE * (end - time.monotonic()))
        shown = {k: v for k, v in record["tests"].items() if k not in ("said", "problems")}
        print(f"tests marked gpu: {shown}", flush=True)
        write(path, record)
    present, skipped, versions = installed(libraries, settings)
    record |= {"versions": versions, "skipped": skipped}
    probe = driver.Worker("machine", "", settings)
    longest = 0.0
    try:
        record["machine"]["isa"] = probe.ask("build")["version"]
        for workload in workloads:
            begin = time.monotonic()
            if end - begin < 1.5 * longest:
                break
            row = driver.measure(workload, present, settings, probe)
            longest = max(longest, time.monotonic() - begin)
            record["rows"].append(row)
            record["not_run"].remove(workload.name)
            print(report.line(row), flush=True)
            write(path, record)
    finally:
        probe.close()
    if record["not_run"]:
        print(f"the time was over before: {', '.join(record['not_run'])}")
    write(path, record)
    print(f"written: {path}")
    tests = record["tests"] or {"failed": 0, "status": 0}
    bad = [r["name"] for r in record["rows"] if r["disagree"] or "failed" in r["sides"]["sennit"]]
    return 1 if bad or tests["failed"] or tests["status"] not in (0, 5) else 0
