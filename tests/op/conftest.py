"""The op tests share modules that lie beside them: table, engine, references."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

pytest.importorskip("ml_dtypes", reason="NumPy has no bfloat16 of its own")


@pytest.fixture(autouse=True)
def verified() -> Iterator[None]:
    """Every graph and plan of these tests passes the independent verifier."""
    import sennit as sn

    before = sn.config.verify
    sn.config.verify = True
    yield
    sn.config.verify = before
