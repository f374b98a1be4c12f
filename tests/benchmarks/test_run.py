"""The protocol with real worker processes, on tiny workloads, Sennit and NumPy only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("benchmarks", reason="needs the source checkout")

import sennit as sn
from benchmarks import command, driver
from benchmarks.driver import Settings
from benchmarks.workload import collect

MODULES = ("tests.benchmarks.toy",)
SETTINGS = Settings(rounds=2, seconds=0.002, threads=1, patience=30, modules=MODULES)


def measure(
    name: str, libraries: tuple[str, ...] = ("sennit", "numpy"), **rest: Any
) -> dict[str, Any]:
    settings = Settings(**(vars(SETTINGS) | rest))
    return driver.measure(collect(MODULES)[name], libraries, settings)


def test_a_row() -> None:
    row = measure("good")
    assert not row["disagree"]
    for side in row["sides"].values():
        assert len(side["seconds"]) == 2 and side["low"] <= side["median"] <= side["high"]
        assert side["first_seconds"] > 0 and side["version"] and side["peak_bytes"] >= 0
    assert row["ratios"]["numpy"]["median"] > 0
    assert row["sides"]["sennit"]["explain"]["kernels"] == 1
    assert row["sides"]["sennit"]["statistics"]["peak"] > 0


@pytest.mark.parametrize(
    ("name", "text"),
    [("wrong", "off by"), ("infinite", "NaN"), ("shape", "shapes")],
)
def test_disagreement(name: str, text: str) -> None:
    row = measure(name)
    assert "numpy" in row["disagree"] and text in row["disagree"]["numpy"]


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("crash", "failed", "status 7; out of luck"),
        ("crash-later", "failed", "status 9"),
        ("missing", "missing", "no_such_layer"),
    ],
)
def test_one_side_may_fail_and_the_others_go_on(name: str, kind: str, text: str) -> None:
    row = measure(name)
    assert text in row["sides"]["numpy"][kind]
    assert len(row["sides"]["sennit"]["seconds"]) == 2
    assert not row["disagree"] and not row["ratios"]


def test_a_silent_side_is_given_up() -> None:
    row = measure("hang", ("numpy",), patience=1)
    assert row["sides"]["numpy"] == {"failed": "no answer in 1 s"}


def test_all_sides_may_lack_it() -> None:
    row = measure("refused")
    assert {s["missing"] for s in row["sides"].values()} == {"no such layer here"}


def test_prints_do_not_reach_the_protocol() -> None:
    assert len(measure("talkative", ("numpy",))["sides"]["numpy"]["seconds"]) == 2


def test_time_and_memory_are_what_the_workload_takes() -> None:
    assert 0.01 <= measure("slow", ("numpy",))["sides"]["numpy"]["median"] < 1
    peak = measure("big", ("numpy",))["sides"]["numpy"]["peak_bytes"]
    assert 0.9 * (4 << 23) <= peak < 8 << 23


def test_the_whole_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    code = command.main([
        "run", "--peers", "numpy,torch,mxnet", "--only", "good,startup", "--threads", "1",
        "--rounds", "2", "--seconds", "0.002", "--modules", *MODULES, "--out", str(path),
        "--python", "torch=/nonexistent/python", "--python", "mxnet=/bin/false",
    ])  # fmt: skip
    assert code == 0
    record = json.loads(path.read_text())
    assert (
        record["skipped"]["torch"] == "/nonexistent/python cannot be run: No such file or directory"
    )
    assert "import mxnet" in record["skipped"]["mxnet"]
    (row,) = record["rows"]
    assert set(row["sides"]) == {"sennit", "numpy"} and row["floor"]["kind"] == "memory"
    assert 1e9 < row["floor"]["peak"] < 1e13 and 1e8 < row["floor"]["bandwidth"] < 1e13
    assert record["startup"]["sennit"]["modules"] > 10
    assert record["startup"]["sennit"]["bytes"] > 1e6
    assert "missed: " in capsys.readouterr().out  # nothing is 1e9 times as fast as NumPy


def test_a_run_with_a_disagreement_says_so_in_its_status(tmp_path: Path) -> None:
    code = command.main([
        "run", "--peers", "numpy", "--only", "wrong", "--threads", "1", "--rounds", "1",
        "--seconds", "0.001", "--modules", *MODULES, "--out", str(tmp_path / "run.json"),
    ])  # fmt: skip
    assert code == 1


def test_the_command_for_gpus_on_a_cpu(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    code = command.main([
        "gpu", "--device", "cpu", "--no-tests", "--only", "good,slow", "--peers", "numpy",
        "--rounds", "2", "--seconds", "0.002", "--modules", *MODULES, "--out", str(path),
    ])  # fmt: skip
    assert code == 0
    record = json.loads(path.read_text())
    assert [r["name"] for r in record["rows"]] == ["good", "slow"] and not record["not_run"]
    assert record["machine"]["device"] == "cpu" and "cuda: " in record["machine"]["doctor"]


def test_the_command_for_gpus_keeps_to_its_time(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    code = command.main([
        "gpu", "--device", "cpu", "--no-tests", "--only", "good,slow", "--peers", "numpy",
        "--minutes", "0", "--modules", *MODULES, "--out", str(path),
    ])  # fmt: skip
    assert code == 0
    assert json.loads(path.read_text())["not_run"] == ["good", "slow"]


def test_without_a_gpu_nothing_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    if sn.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert command.main(["gpu"]) == 1
    assert "nothing was measured: " in capsys.readouterr().out
