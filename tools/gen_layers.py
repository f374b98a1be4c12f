"""Fills the column "here" of docs/layers.md, which compares sn.nn with torch.nn.

    python tools/gen_layers.py            # writes the page
    python tools/gen_layers.py --check    # fails when it is stale

The names and the notes are kept by hand; a test compares the names with PyTorch's where that is
installed.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

PAGE = ROOT / "docs" / "layers.md"
ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<here>[\w ]*) \| (?P<note>.*?) *\|")


def rows(text: str) -> dict[str, dict[str, tuple[str, str]]]:
    """What the page says: for each namespace (its heading) the names, with column and note."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    names: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        if line.startswith("## `"):
            names = found.setdefault(line.split("`")[1], {})
        match = ROW.fullmatch(line)
        if match:
            names[match["name"]] = (match["here"], match["note"])
    return found


def namespace(heading: str) -> Any:
    """`torch.nn.functional` here."""
    import sennit as sn

    value: Any = sn
    for part in heading.split(".")[1:]:
        value = getattr(value, part)
    return value


def filled(text: str) -> str:
    """The page with the column as it is now."""
    lines, place = [], None
    for line in text.splitlines():
        if line.startswith("## `"):
            place = namespace(line.split("`")[1])
        match = ROW.fullmatch(line)
        if match and place is not None:
            here = "yes" if hasattr(place, match["name"]) else "no"
            note = f"{match['note']} " if match["note"] else ""
            line = f"| `{match['name']}` | {here} | {note}|"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    old = PAGE.read_text()
    new = filled(old)
    if parser.parse_args().check:
        if new != old:
            raise SystemExit("docs/layers.md is stale: run python tools/gen_layers.py")
        return
    PAGE.write_text(new)


if __name__ == "__main__":
    main()
