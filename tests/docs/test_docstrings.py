"""Every public name is documented, and every example in a docstring gives what it shows."""

from __future__ import annotations

import doctest
import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

if not (ROOT / "tools" / "gen_api_docs.py").exists():
    pytest.skip("needs the source checkout", allow_module_level=True)
sys.path.insert(0, str(ROOT / "tools"))

import gen_api_docs  # noqa: E402

ENTRIES = gen_api_docs.public_entries()
DOCUMENTED = [e for e in ENTRIES if not e.is_constant]
OWN = [e for e in DOCUMENTED if not e.alias_of]


def run_examples(name: str, doc: str) -> int:
    """Runs the examples of a docstring with `sn` in scope; returns how many there are."""
    import sennit as sn

    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(doc, {"sn": sn}, name, None, 0)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test, out=report.append)
    assert not report, "\n".join(report)
    return len(test.examples)


@pytest.mark.parametrize("entry", DOCUMENTED, ids=lambda e: e.name)
def test_has_docstring(entry: gen_api_docs.Entry) -> None:
    assert len(entry.doc.strip()) > 10, f"sn.{entry.name} has no docstring"


@pytest.mark.parametrize("entry", OWN, ids=lambda e: e.name)
def test_examples(entry: gen_api_docs.Entry) -> None:
    import sennit as sn

    if entry.name == "explain" and sn.config.window == 1:
        pytest.skip("shows what is fused, and op by op nothing is")
    assert run_examples(entry.name, entry.doc) > 0, f"sn.{entry.name} has no example"


def methods() -> list[tuple[str, Any]]:
    found = {}
    for entry in OWN:
        kind = entry.value if isinstance(entry.value, type) else type(entry.value)
        if str(kind.__module__).startswith("sennit"):
            for name, value in gen_api_docs.members(kind):
                if not hasattr(value, "registry_signature"):
                    found[f"{entry.name}.{name}"] = value
    return list(found.items())


METHODS = methods()


@pytest.mark.parametrize(("name", "value"), METHODS, ids=[name for name, _ in METHODS])
def test_methods(name: str, value: Any) -> None:
    doc = inspect.getdoc(value) or ""
    overridden = name.rpartition(".")[2] in ("forward", "extra_repr")  # the class describes it
    assert doc.strip() or overridden, f"sn.{name} has no docstring"
    run_examples(name, doc)


def test_reference_names_everything(tmp_path: Path) -> None:
    text = "\n".join(gen_api_docs.pages().values())
    missing = [e.name for e in ENTRIES if f"sn.{e.name}" not in text]
    assert not missing
