"""Writes docs/op_coverage.md: which operators of PyTorch's database Sennit covers.

    python tools/op_coverage.py            # writes the page
    python tools/op_coverage.py --check    # fails when the page is out of step

The page repeats what tests/oracle/ asserts: an operator is listed as covered when the test of that
folder compares every sample of it. It needs PyTorch and the package expecttest.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "oracle")]

INTRODUCTION = """# Operators of PyTorch that Sennit covers

PyTorch keeps a database of its operators (`op_db`, {version}) with the inputs that its own tests
use. `tests/oracle/test_op_db.py` gives the same inputs to the function that Sennit has under the
same name, in float32 and float64 (integers where an operator has no float). An operator is
*covered* when every sample agrees in values, dtype, shape and gradients, within the tolerances of
`torch.testing` or the operator's own, and every input that must raise does. {capped}

Left out of the count: {categories}.

| operators | covered | counted | |
|---|---|---|---|
{shares}

A hash of the name deals the operators to two halves; the quick tests run the even one, `pytest
tests/oracle --op-db=all` both. This page is written by `tools/op_coverage.py`.
"""


def page() -> str:
    import op_db
    import torch
    from adapters import percentages, status

    names = sorted(op_db.database(), key=str.lower)
    states = {name: status(name) for name in names}

    def listed(state: str, why: str | None = None) -> list[str]:
        return [n for n in names if states[n][0] == state and why in (None, states[n][1])]

    shares = []
    for group, (covered, counted) in percentages().items():
        what = {"all": "all"}.get(group, f"the {group} half")
        shares.append(f"| {what} | {covered} | {counted} | {100 * covered / counted:.1f} % |")
    categories = ", ".join(f"{why} ({len(listed('excluded', why))})" for why in op_db.CATEGORIES)
    text = INTRODUCTION.format(
        version=torch.__version__.partition("+")[0],
        categories=categories,
        shares="\n".join(shares),
        capped=f"Of operators with more than {op_db.MOST_SAMPLES} samples, which are crosses of "
        "options, every k-th is taken.",
    )
    text += "\n## Covered with the same call\n\n"
    text += ", ".join(f"`{n}`" for n in listed("covered", "")) + "\n"
    text += "\n## Covered with another call\n\nSee [Deliberate differences](differences.md).\n\n"
    text += "| operator | what differs |\n|---|---|\n"
    for n in listed("covered"):
        if states[n][1]:
            text += f"| `{n}` | {states[n][1]} |\n"
    text += "\n## Missing\n\n| why | operators |\n|---|---|\n"
    for why in sorted({states[n][1] for n in listed("missing")}):
        text += f"| {why} | " + ", ".join(f"`{n}`" for n in listed("missing", why)) + " |\n"
    text += "\n## Not counted\n\n| why | operators |\n|---|---|\n"
    for why in op_db.CATEGORIES:
        text += f"| {why} | " + ", ".join(f"`{n}`" for n in listed("excluded", why)) + " |\n"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes docs/op_coverage.md.")
    parser.add_argument("--check", action="store_true", help="fail when the page is out of step")
    check = parser.parse_args().check
    path, text = ROOT / "docs" / "op_coverage.md", page()
    if check:
        if not path.exists() or path.read_text() != text:
            print("docs/op_coverage.md is out of step: run python tools/op_coverage.py")
            return 1
        return 0
    path.write_text(text)
    print(text[text.index("| operators") : text.index("A hash")])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
