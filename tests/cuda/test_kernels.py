"""The CUDA back-end's own kernels through the fakes: the CPU's bits, errors, and no detour."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import faked
import kernel_cases
import pytest

pytestmark = faked.needs_fakes

CASES = Path(kernel_cases.__file__)


def run(family: str, **settings: str) -> None:
    done = subprocess.run(
        [sys.executable, str(CASES), family], env=faked.environment(**settings),
        capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-4000:]
    assert "equal bits" in done.stdout


@pytest.mark.parametrize("family", kernel_cases.FAMILIES)
def test_kernels(family: str) -> None:
    run(family)


@pytest.mark.slow
@pytest.mark.parametrize("family", kernel_cases.FAMILIES)
def test_order_of_threads_is_no_matter(family: str) -> None:
    run(family, SENNIT_SHIM_REVERSE="1")
