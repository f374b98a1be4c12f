"""Add up the tests of the CI steps' logs: ci_summary.py LOG_FOLDER [FAILED_STEP ...]."""

from __future__ import annotations

import re
import sys
from pathlib import Path

PYTEST = re.compile(r"^=*\s*(?:\d+ \w+, )*\d+ \w+(?:, \d+ \w+)* in [\d.]+s.*$", re.MULTILINE)
CTEST = re.compile(r"^\d+% tests passed(?:, (\d+) tests? failed)? out of (\d+)$", re.MULTILINE)


def count(text: str) -> tuple[int, int, int]:
    """Passed, failed and skipped tests of one log."""
    passed = failed = skipped = 0
    for line in PYTEST.findall(text):
        found = {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", line)}
        passed += found.get("passed", 0)
        failed += found.get("failed", 0) + found.get("error", 0) + found.get("errors", 0)
        skipped += found.get("skipped", 0)
    for bad, total in CTEST.findall(text):
        passed += int(total) - int(bad or 0)
        failed += int(bad or 0)
    return passed, failed, skipped


def main() -> int:
    folder, broken_steps = Path(sys.argv[1]), sys.argv[2:]
    passed = failed = 0
    for log in sorted(folder.glob("*.log")):
        good, bad, skipped = count(log.read_text(errors="replace"))
        # A step that broke without naming a test (a compile error, a style rule) counts as one.
        if log.stem in broken_steps and bad == 0:
            bad = 1
        note = " (FAILED)" if log.stem in broken_steps else ""
        print(f"{log.stem}: {good} passed, {bad} failed, {skipped} skipped{note}")
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or broken_steps else 0


if __name__ == "__main__":
    sys.exit(main())
