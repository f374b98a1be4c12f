"""Runs the Python blocks of a Markdown page and compares what they print with what it shows.

    python tools/run_pages.py README.md docs/tour.md            # fails on a difference
    python tools/run_pages.py --update docs/tour.md             # writes the real output instead

Blocks marked `python` share one namespace and run in order; a `text` block right behind one is its
output. Times, the instruction set and other figures of the machine are left out of the comparison.
A block marked `cpp` whose first line is `// path` must stand in that file word for word.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

BLOCK = re.compile(r"^```(python|text|cpp)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)
# What differs between machines and runs.
VARIABLE = [
    (re.compile(r"\b\d[\d,.]* us\b"), "N us"),
    (re.compile(r"0x[0-9a-f]{6,}"), "0xN"),
    (re.compile(r"\b(avx512|avx2|v2|neon)\b"), "ISA"),
    (re.compile(r"tile \d+ x \d+, \d+ tiles, \d+ slots of \d+ bytes"), "tiles"),
    (re.compile(r"[ \t]+"), " "),
]


def normal(text: str) -> str:
    for pattern, replacement in VARIABLE:
        text = pattern.sub(replacement, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


def words(text: str) -> str:
    return " ".join(text.split())


def run_page(path: Path, update: bool = False) -> list[str]:
    """What is wrong with a page; with `update` its outputs are rewritten."""
    page = path.read_text()
    # From here on the page is like a script beside the reader: relative names of its lines.
    namespace: dict[str, Any] = {"__name__": "__main__"}
    problems, out, end = [], [], 0
    printed: str | None = None
    line = 0
    for block in BLOCK.finditer(page):
        kind, code = block[1], block[2]
        between = page[end : block.start()]
        out.append(between)
        text = block[0]
        where = f"{path.name}:{page.count(chr(10), 0, block.start()) + 1}"
        if kind == "python":
            shown = io.StringIO()
            padded = "\n" * line + code
            with contextlib.redirect_stdout(shown):
                exec(compile(padded, path.with_suffix(".py").name, "exec"), namespace)
            line += code.count("\n")
            printed = shown.getvalue()
            following = page[block.end() :].lstrip("\n")
            if printed.strip() and not following.startswith("```text\n"):
                problems.append(f"{where}: the block prints something that the page does not show")
        elif kind == "text" and printed is not None and not between.strip():
            if normal(printed) != normal(code):
                problems.append(f"{where}: shown is\n{code}\nreal is\n{printed}")
            if update:
                text = f"```text\n{printed.rstrip()}\n```\n"
            printed = None
        elif kind == "cpp" and code.startswith("// "):
            name, _, quoted = code.partition("\n")
            source = ROOT / name.removeprefix("// ").strip()
            parts = re.split(r"^\s*// \.\.\.\s*$", quoted, flags=re.MULTILINE)
            if not all(words(part) in words(source.read_text()) for part in parts):
                problems.append(f"{where}: {source.relative_to(ROOT)} does not say this")
        out.append(text)
        end = block.end()
    if update:
        path.write_text("".join(out) + page[end:])
        return []
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_args()
    bad = 0
    for page in arguments.pages:
        if len(arguments.pages) > 1:  # a process each: what one does must not show in another
            update = " --update" if arguments.update else ""
            bad |= os.system(f"'{sys.executable}' '{__file__}'{update} '{page}'")
            continue
        problems = run_page(page, arguments.update)
        print("\n".join(problems) or f"{page}: ok")
        bad |= bool(problems)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
