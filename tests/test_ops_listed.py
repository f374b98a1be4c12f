"""One op, one place: the op table covers every function, and op names stay in their folder."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import sennit as sn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "op"))

pytest.importorskip("ml_dtypes")

from table import ELSEWHERE, ROWS  # noqa: E402

# Folders that must treat ops alike, by the facts in their records.
GENERIC = ("pass", "plan", "record", "ir", "engine", "memory", "runtime")
# What is allowed all the same, and why.
ALLOWED = {
    ("pass/layout.cpp", "contiguous"): "the pass inserts copies where a kernel wants dense strides",
    ("record/call.cpp", "cast"): "promotion of operands is part of every call",
}


def functions() -> dict[str, list[str]]:
    """The public functions, each with the names that it goes by."""
    by_signature: dict[str, list[str]] = {}
    for name, function in sn._core.functions.items():
        by_signature.setdefault(function.registry_signature, []).append(name)
    return by_signature


def test_every_function_has_a_row():
    listed = {r.name for r in ROWS} | set(ELSEWHERE)
    missing = [names for names in functions().values() if not listed & set(names)]
    assert not missing, f"give these a row in tests/op/table.py: {missing}"


def test_rows_name_functions():
    known = set(sn._core.functions)
    assert {r.name for r in ROWS} | set(ELSEWHERE) <= known
    names = [r.name for r in ROWS]
    assert len(names) == len(set(names)), "one row per function"


def test_functions_without_a_row_are_tested_where_the_table_says():
    for name, file in ELSEWHERE.items():
        text = (HERE / "op" / file).read_text(encoding="utf-8")
        assert name.removeprefix("random.") in text, f"{file} never mentions {name}"


def test_loose_tolerances_have_a_reason():
    for r in ROWS:
        loose = r.tolerance.get("float32", 0) > 2 or r.scale != "value"
        assert r.why or not loose, f"{r.name} is looser than 2 ulp and does not say why"


def op_names(repository: Path) -> set[str]:
    """Names of ops: those of the elementwise lists, and every name that core/op registers."""
    names = set(sn._core.functions)
    for path in (repository / "core" / "op").glob("*.inc"):
        names |= set(re.findall(r"^SN_EW[123]\((\w+),", path.read_text("utf-8"), re.MULTILINE))
    for path in (repository / "core" / "op").glob("*.cpp"):
        text = path.read_text("utf-8")
        names |= set(re.findall(r'find_op\("([\w.]+)"\)', text))
        names |= set(re.findall(r'\.name = "([\w.]+)"', text))
    return names


def test_op_names_stay_in_their_folder(repository):
    names = op_names(repository)
    used = set()
    for folder in GENERIC:
        for path in sorted((repository / "core" / folder).rglob("*")):
            if path.suffix not in (".h", ".cpp"):
                continue
            where = path.relative_to(repository / "core").as_posix()
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.lstrip().startswith(("#include", "//")):
                    continue
                for name in re.findall(r'find_op\("([^"]+)"\)', line):
                    used.add((where, name))
                # A literal that is compared or looked up; the op argument of fail() names a place.
                for name in re.findall(r'(?:==|!=|strcmp\([^"]*)\s*"(\w+)"', line):
                    if name in names:
                        used.add((where, name))
    assert len(ALLOWED) <= 2
    assert used <= set(ALLOWED), f"facts about ops belong in their records: {used - set(ALLOWED)}"
    assert set(ALLOWED) <= used, f"no longer needed: {set(ALLOWED) - used}"


def test_an_elementwise_op_is_at_most_twelve_lines(repository):
    """The promise of DESIGN: a new elementwise op is at most 12 lines in one file."""
    for path in sorted((repository / "core" / "op").glob("elementwise_*.inc")):
        entry: list[str] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("SN_EW"):
                entry = [line]
            elif entry and line.startswith(" "):
                entry.append(line)
            else:
                entry = []
            assert len(entry) <= 12, f"{path.name}: {entry[0]} has more than 12 lines"
