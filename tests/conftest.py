"""What every test may use: the full-suite switch, the data folder, and fixed randomness."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # the property tests import hypothesis themselves and are then skipped
    settings = None
else:
    # Derandomised, so that a red test is red again; no deadline, because CI machines are shared.
    common = {
        "deadline": None,
        "derandomize": True,
        "print_blob": True,
        "suppress_health_check": [HealthCheck.too_slow],
    }
    settings.register_profile("quick", max_examples=25, **common)
    settings.register_profile("full", max_examples=300, **common)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the slow tests and more examples too")
    parser.addoption(
        "--op-db",
        choices=("even", "odd", "all"),
        default="even",
        help="which half of PyTorch's operators to compare with, by the hash of the name",
    )


def pytest_configure(config: pytest.Config) -> None:
    if settings is not None:
        settings.load_profile("full" if config.getoption("--full") else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    promised = [item for item in items if "bits" in item.keywords]
    if promised:
        import sennit as sn

        if sn._core.isa() == "v2":
            skip = pytest.mark.skip(reason="no fused multiply-add: outside the bit guarantee")
            for item in promised:
                item.add_marker(skip)
    on_gpu = [item for item in items if "gpu" in item.keywords]
    if on_gpu:
        import sennit as sn

        if not sn.cuda.is_available():
            skip = pytest.mark.skip(reason=f"needs a GPU: {sn.doctor().cuda.problem}")
            for item in on_gpu:
                item.add_marker(skip)
    if config.getoption("--full"):
        return
    skip = pytest.mark.skip(reason="slow: run with --full (make test-full)")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the full cross of cases is wanted."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout. Tests of an installed wheel run away from it, and skip what needs it."""
    if not (ROOT / "CMakeLists.txt").exists():
        pytest.skip("needs the source checkout")
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of public data sets: $SENNIT_DATA, or ../shared/data beside the checkout."""
    named = os.environ.get("SENNIT_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the data sets: set SENNIT_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def torch():  # type: ignore[no-untyped-def]
    """PyTorch as an oracle, one thread; skips where it is not installed."""
    module = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    module.set_num_threads(1)
    return module
