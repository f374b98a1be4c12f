"""Writes docs/onnx-support.md: what of the ONNX backend test suite passes, beside onnxruntime.

    python tools/onnx_coverage.py [--write]

Needs the packages `onnx` and `onnxruntime`. Without --write it prints the counts.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "onnx")]

import onnx  # noqa: E402
import onnx_cases  # noqa: E402
import onnxruntime  # noqa: E402

TITLES = {
    "1-17": "nodes, opsets up to 17",
    "18-20": "nodes, opsets 18 to 20",
    "21-23": "nodes, opsets 21 to 23",
    "24-": "nodes, opsets from 24",
    "simple": "simple",
    "pytorch-converted": "PyTorch-converted",
    "pytorch-operator": "PyTorch operators",
}


def run_onnxruntime(case: onnx_cases.Case) -> None:
    """Runs a case with onnxruntime and compares as for Sennit."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [i.name for i in session.get_inputs()]
    for inputs, wanted in onnx_cases.data_sets(case):
        given = session.run(None, dict(zip(names, inputs, strict=False)))
        onnx_cases.check(wanted, given, case.rtol, case.atol)


def passes(run: Any, case: onnx_cases.Case) -> bool:
    """Whether a case runs and gives what is wanted."""
    try:
        run(case)
    except Exception:
        return False
    return True


def main() -> None:
    """Counts, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    warnings.simplefilter("ignore")
    onnxruntime.set_default_logger_severity(4)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    failed, only_theirs = [], []
    for kind in onnx_cases.KINDS:
        for case in onnx_cases.cases(kind):
            mine, theirs = passes(onnx_cases.run, case), passes(run_onnxruntime, case)
            row = counts[case.group]
            row[0] += 1
            row[1] += mine
            row[2] += theirs
            if not mine:
                failed.append(case.name)
                if theirs:
                    only_theirs.append(case.name)
    for group, row in counts.items():
        print(group, row)
    print("failed here:", failed)
    print("... and passed by onnxruntime:", only_theirs)
    if write:
        (ROOT / "docs" / "onnx-support.md").write_text(page(counts, failed), encoding="utf-8")


def page(counts: dict[str, list[int]], failed: list[str]) -> str:
    """The page: counts, what fails and why, and the operators."""
    from sennit.onnx._registry import table

    lines = [
        "# ONNX: what is supported",
        "",
        "This page is written by `tools/onnx_coverage.py`.",
        "",
        f"Cases of the backend test suite in the package `onnx` {onnx.__version__} that pass, here "
        f"and with onnxruntime {onnxruntime.__version__} (CPU). Of the node tests those count of "
        "the default domain with ordinary dtypes that are not expanded into functions.",
        "",
        "| group | cases | Sennit | onnxruntime |",
        "|---|---:|---:|---:|",
    ]
    total = [0, 0, 0]
    for group, title in TITLES.items():
        row = counts[group]
        total = [a + b for a, b in zip(total, row, strict=True)]
        lines.append(f"| {title} | {row[0]:,} | {row[1]:,} | {row[2]:,} |")
    lines.append(f"| all | {total[0]:,} | {total[1]:,} | {total[2]:,} |")
    lines += ["", "## Cases that do not pass", "", "| case | why |", "|---|---|"]
    for name in failed:
        lines.append(f"| `{name}` | {onnx_cases.EXPECTED_FAILURES.get(name, 'not known')} |")
    lines += ["", "## Operators of the default domain", ""]
    lines += [
        "*graph*: can be part of a graph (`sn.onnx.load`) as well as run (`sn.onnx.to_function`). "
        "*values*: its shape or result needs values on the host, so a graph can hold it only where "
        "these are known. *function*: run as the function by which the standard defines it.",
        "",
        "| operator | opsets | runs as |",
        "|---|---|---|",
    ]
    ops = table()
    newest: dict[str, Any] = {}
    oldest: dict[str, int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain:
            continue
        name = schema.name
        oldest[name] = min(oldest.get(name, 1000), schema.since_version)
        if name not in newest or schema.since_version > newest[name].since_version:
            newest[name] = schema
    for name in sorted(newest):
        schema, record = newest[name], ops.get(("", name))
        if record is not None:
            how = (
                f"not run: {record.why}"
                if record.why
                else ("values" if name in onnx_cases.NEEDS_VALUES else "graph")
            )
        elif schema.has_function or schema.has_context_dependent_function:
            how = "function"
        else:
            how = "not run"
        until = (
            f"{oldest[name]} to {schema.since_version - 1}"
            if schema.deprecated
            else (f"from {oldest[name]}")
        )
        lines.append(f"| {name} | {until} | {how} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
