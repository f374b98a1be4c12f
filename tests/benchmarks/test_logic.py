"""Statistics, agreement, the floor and the reports, without any process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="needs the source checkout")

from benchmarks import agreement, command, driver, growth, report, statistics
from benchmarks.arrays import weight
from benchmarks.libraries import LIBRARIES, PEERS
from benchmarks.workload import Workload, collect
from benchmarks.workloads.growth import AXES


def test_quartiles_and_ratios() -> None:
    assert statistics.quartiles([3.0]) == (3.0, 3.0)
    assert statistics.quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 4.0)
    found = statistics.ratio([1.0, 2.0, 1.0], [4.0, 4.0, 2.0])
    assert found == {"median": 4.0, "low": 2.0, "high": 3.0}  # of 4, 2 and 2; medians 4 and 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (5e-6, "5 µs"), (1.234e-8, "12.3 ns"), (2000, "2,000 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert statistics.duration(seconds) == text


def test_sizes() -> None:
    assert [statistics.size(n) for n in (12, 4096, 5e7, 2.5e9)] == [
        "12 B", "4.1 kB", "50 MB", "2.5 GB",
    ]  # fmt: skip


# --- agreement ------------------------------------------------------------------------------------
def samples(**sides: Any) -> dict[str, Any]:
    return {name: agreement.sample([np.asarray(value)]) for name, value in sides.items()}


def test_the_side_that_differs_is_named() -> None:
    x = np.linspace(-3, 3, 1000)
    found = agreement.differences(samples(a=x, b=x + 1e-6, c=x + 1e-2), 1e-4)
    assert list(found) == ["c"] and "off by" in found["c"]


def test_of_two_sides_both_are_named() -> None:
    found = agreement.differences(samples(a=[1.0], b=[1.001]), 1e-4)
    assert set(found) == {"a", "b"} and "1.0e-03" in found["a"]


def test_equal_sides_agree_whatever_the_layout_and_dtype() -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert not agreement.differences(samples(a=x, b=np.asfortranarray(x), c=x.astype(int)), 1e-6)


def test_a_difference_away_from_the_sampled_places_is_seen() -> None:
    x = np.ones(100_000)
    y = x.copy()
    y[1:500:2] = 3
    assert set(agreement.differences(samples(a=x, b=x, c=y), 1e-4)) == {"c"}


def test_shapes_and_infinities() -> None:
    found = agreement.differences(
        samples(a=[1.0, 2.0], b=[1.0, 2.0], c=[1.0], d=[1.0, np.inf]), 1e-4
    )
    assert set(found) == {"c", "d"} and "shapes" in found["c"] and "NaN" in found["d"]
    assert agreement.differences(samples(a=[np.nan]), 1e-4)
    assert not agreement.differences(samples(a=[1.0]), 1e-4)
    assert not agreement.differences(samples(a=np.zeros((0, 3)), b=np.zeros((0, 3))), 1e-4)


# --- the floor ------------------------------------------------------------------------------------
FLOORS = [{"peak": 1e11, "bandwidth": 1e10}] * 3


def test_floor_is_the_longer_of_both_and_memory_only_counts_beyond_the_cache() -> None:
    def floor(**sizes: float) -> Any:
        return driver.floor(Workload("w", "g", "t", {}, **sizes), FLOORS, cache=1 << 20)

    assert floor() is None
    assert floor(bytes=1000.0) is None
    assert floor(flops=1e9, bytes=1e6)["kind"] == "arithmetic"
    assert floor(flops=1e9, bytes=1e9)["kind"] == "memory"
    assert floor(flops=1e9, bytes=1e9)["seconds"] == pytest.approx(0.1)
    assert floor(flops=1e9, work=10)["seconds"] == pytest.approx(0.001)


# --- workloads ------------------------------------------------------------------------------------
def test_workloads_have_names_of_their_own_and_known_libraries() -> None:
    found = collect()
    keys = {entry.key for entry in LIBRARIES.values()}
    assert len(found) > 60
    for workload in found.values():
        assert set(workload.sides) <= keys and workload.sides
        assert set(workload.targets) <= set(LIBRARIES) | {"floor"}
    assert {side for sides in PEERS.values() for side in sides} | {"sennit"} == set(LIBRARIES)


def test_weights_follow_from_their_names() -> None:
    first, again = weight("a.weight", (4, 3)), weight("a.weight", (4, 3))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, weight("b.weight", (4, 3)))
    assert weight("n.running_var", (9,)).min() > 0 and first.dtype == np.float32


def test_selection() -> None:
    found = collect()
    assert next(w.name for w in command.select(found, "softmax,training")) == "softmax"
    assert {w.group for w in command.select(found, "training")} == {"training"}
    assert command.select(found, "") == list(found.values())
    with pytest.raises(SystemExit, match="no workload or group nothing"):
        command.select(found, "nothing")
    with pytest.raises(SystemExit, match="no peer caffe"):
        command.sides("torch,caffe")
    assert command.sides("tensorflow") == ["sennit", "tensorflow", "tensorflow-xla"]
    assert command.pythons(["tensorflow=p"]) == {"tensorflow": "p", "tensorflow-xla": "p"}
    with pytest.raises(SystemExit, match="PEER=PATH"):
        command.pythons(["jax"])


# --- reports --------------------------------------------------------------------------------------
def side(*seconds: float, **rest: Any) -> dict[str, Any]:
    return driver.summary(list(seconds)) | {"first_seconds": 0.5, "peak_bytes": 3_000_000} | rest


KERNELS = {"longest": [("matmul + tanh", 0.9), ("sum", 0.02)], "busy": 0.5}


@pytest.fixture
def record() -> dict[str, Any]:
    good = Workload("good", "toys", "a | b", {}, flops=1e8, targets={"torch": 2.5}, featured=True)
    gap = Workload("gap", "toys", "gap", {})
    wrong = Workload("wrong", "other", "wrong", {})
    rows = [
        driver.row(good, {
            "sennit": side(0.002, 0.002, 0.002, kernels=KERNELS),
            "sennit-1": side(0.003, 0.003, 0.003), "torch": side(0.004, 0.004, 0.004),
            "sennit-compile": side(0.0018, 0.0018, 0.0018),
            "jax": side(0.001, 0.001, 0.001), "numpy": {"failed": "it broke"},
        }, {}, FLOORS, cache=1),
        driver.row(gap, {"sennit": {"missing": "no nn.LSTM"}, "torch": side(1.0)}, {}, []),
        driver.row(wrong, {"sennit": side(1.0), "torch": side(2.0), "jax": side(0.1)},
                   {"jax": "is off"}, []),
    ]  # fmt: skip
    return {
        "machine": {"cpu": "CPU", "time": "2030-01-02T00:00:00Z", "python": "3.11"},
        "versions": {"sennit": "1", "torch": "2"}, "skipped": {"mxnet": "not installed"},
        "settings": {"threads": 2, "rounds": 3}, "rows": rows,
        "startup": {"sennit": {"title": "Sennit", "median": 0.02, "modules": 33, "bytes": 5e6}},
    }  # fmt: skip


def test_page_says_everything(record: dict[str, Any]) -> None:
    text = report.page(json.loads(json.dumps(record)))
    assert "a \\| b | 2 ms | JAX 1 ms | 0.5 × [0.5, 0.5] | 50 % (arithmetic) | 3 MB; 3 MB" in text
    assert "NumPy failed: it broke" in text and "PyTorch 4 ms" in text
    assert "missing: no nn.LSTM" in text
    assert "MXNet was skipped: not installed" in text
    assert "JAX disagrees**, is off" in text
    assert "slower than the best peer in: a | b (0.5 ×)" in text
    assert "a | b: 2 of torch, target 2.5" in text
    assert "100 GFLOP/s" in text and "10 GB/s" in text
    assert "| Sennit | 20 ms | 33 | 5 MB |" in text
    assert "| a \\| b | 50 % | 50 % | `matmul + tanh` 90 % |" in text  # where the time goes
    assert "| a \\| b | 3 ms | 2 ms | 1.5 × [1.5, 1.5] |" in text  # the second thread
    assert "| a \\| b | 1.8 ms | 2 ms | 0.9 × [0.9, 0.9] |" in text  # plain code beside compiled
    assert "Sennit, one thread" not in text  # it is no peer


def test_a_side_that_disagrees_is_not_the_best_peer(record: dict[str, Any]) -> None:
    assert report.best_peer(record["rows"][2]) == "torch"


def test_readme_block_is_replaced_and_nothing_else(record: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    file = tmp_path / "run.json"
    file.write_text(json.dumps(record))
    for _ in range(2):  # again: the same
        assert command.main(["report", str(file), "--readme", "--out", str(page)]) == 0
        text = page.read_text()
        assert text.startswith(f"before\n{report.BEGIN}\nCPU") and text.endswith(
            f"{report.END}\nafter\n"
        )
        assert "old" not in text
        assert "| a \\| b | 50 % | 2 ms | 4 ms | 1 ms (JAX) | 0.5 × | 3 MB; 3 MB |" in text
        assert "gap" not in text
    with pytest.raises(ValueError, match="once each"):
        report.replace_block("no block", "new")


def test_the_readme_has_the_block(repository: Path) -> None:
    report.replace_block((repository / "README.md").read_text(), "new")


# --- growth ---------------------------------------------------------------------------------------
def test_growth_table_and_picture(record: dict[str, Any], tmp_path: Path) -> None:
    rows = [record["rows"][2], record["rows"][1]]
    for row in rows:
        row["sides"] = {name: row["sides"][name] for name in ("sennit", "torch")}
    text = "\n".join(growth.table((64, 1024), rows))
    assert "| 64 | 1 s, 3 MB | 2 s, 3 MB | 2 × |" in text
    assert "| 1,024 | missing: no nn.LSTM | 1 s, 3 MB |  |" in text
    pytest.importorskip("matplotlib")
    growth.draw(tmp_path / "img" / "a.png", "a, length", (64, 1024), rows)
    assert (tmp_path / "img" / "a.png").read_bytes().startswith(b"\x89PNG")


def test_growth_has_a_workload_for_every_point() -> None:
    found = collect(("growth",))
    assert {axis.workload(point).name for axis in AXES for point in axis.points} == set(found)
    with pytest.raises(SystemExit, match="no axis width"):
        command.main(["growth", "--axes", "width"])


def test_planning_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "NODES", (100,))
    ((count, first, again, each),) = growth.planning(driver.Settings(threads=1))
    assert count == "100" and all(t.endswith("s") for t in (first, again, each))


def test_one_floor_for_all_rows() -> None:
    """A row whose probe was disturbed is held against what the machine reached elsewhere."""

    def row(peak: float, seconds: float) -> dict[str, Any]:
        floor = {"kind": "arithmetic", "peak": peak, "bandwidth": 1.0, "seconds": 100.0 / peak}
        return {"sides": {"sennit": {"of_floor": 100.0 / peak / seconds}}, "floor": floor}

    rows = report.with_the_machine({"rows": [row(100.0, 2.0), row(50.0, 2.0)]})["rows"]
    assert [r["sides"]["sennit"]["of_floor"] for r in rows] == pytest.approx([0.5, 0.5])
    assert [r["floor"]["seconds"] for r in rows] == pytest.approx([1.0, 1.0])
