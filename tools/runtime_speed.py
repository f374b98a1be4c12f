"""Times the C++ runtime beside onnxruntime, model by model.

    python tools/runtime_speed.py FILE.json [--models DIR] [--only NAME ...] [--rounds 3]

The nets are this package's own (ResNet-50, MobileNetV2, and BERT of MiniLM's size: 6 layers of
384, 128 tokens), exported to ONNX for the other side; `--models` adds the ONNX files of a folder,
each with the inputs recorded beside it (NAME.golden.npz, in0, in1 ...). Both sides get tensors that
were bound before, run in a process of their own (threads that wait for work would disturb the other
side), and take turns; figures are medians. Batch norms are folded on both sides. Prints a Markdown
table.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "runtime")]

SECONDS = 1.0  # of one turn
NETS = ("resnet50", "mobilenet_v2", "minilm")


def seconds_of_a_run(run: Callable[[], Any]) -> float:
    run()
    run()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def time_sennit(model: str, feeds: dict[str, np.ndarray], threads: int) -> float:
    import capi

    capi.lib.sn_set_threads(threads)
    loaded = capi.Model(Path(model))
    session = capi.Session(loaded)
    order = [feeds[name] for name, *_ in loaded.infos("input")]
    inputs = (capi.TensorStruct * len(order))(*[capi.struct_of(x) for x in order])
    outputs = (capi.TensorStruct * session.outputs)()
    call, handle = capi.lib.sn_run, session.handle
    counts = ctypes.c_size_t(len(order)), ctypes.c_size_t(session.outputs)

    def run() -> None:
        capi.check(call(handle, inputs, counts[0], outputs, counts[1]))

    return seconds_of_a_run(run)


def time_onnxruntime(model: str, feeds: dict[str, np.ndarray], threads: int) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, x in feeds.items():
        binding.bind_cpu_input(name, x)
    for out in session.get_outputs():
        binding.bind_output(out.name)
    return seconds_of_a_run(lambda: session.run_with_iobinding(binding))


def make_net(name: str, folder: Path) -> dict[str, Any]:
    import sennit as sn

    sn.random.seed(0)
    draw = np.random.default_rng(0)
    if name == "minilm":
        net = sn.models.Bert(30522, 384, 6, 12, 1536).eval()
        specs = [sn.TensorSpec(("n", 128), sn.int64, name=n) for n in ("ids", "mask")]
        graph = sn.trace(lambda ids, mask: net(ids, mask)[0], *specs)
        one = {"ids": draw.integers(0, 30000, (1, 128)), "mask": np.ones((1, 128), np.int64)}
    else:
        net = getattr(sn.models, name)().eval()
        graph = sn.trace(net, sn.TensorSpec(("n", 3, 224, 224), name="x"))
        one = {"x": draw.standard_normal((1, 3, 224, 224)).astype(np.float32)}
    graph.to_onnx(folder / f"{name}.onnx")
    graph.fold_batch_norm().save(folder / f"{name}.sn")
    many = {k: np.concatenate([x] * 16) for k, x in one.items()}
    return {"onnx": str(folder / f"{name}.onnx"), "feeds": {1: one, 16: many}}


# Inputs that some file records under a name of its own: a sequence of them, or the first.
RECORDED_AS = {"input": "in_frames", "state": "state0"}


def record_of(recorded: Any, k: int, name: str) -> np.ndarray:
    if f"in{k}" in recorded:
        return recorded[f"in{k}"]
    if name in RECORDED_AS:
        found = recorded[RECORDED_AS[name]]
        return found[:1] if RECORDED_AS[name].startswith("in_") else found
    return recorded[name]


def import_model(path: Path, folder: Path) -> dict[str, Any]:
    import onnxruntime

    import sennit as sn

    recorded = np.load(path.with_suffix(".golden.npz"))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    one = {i.name: record_of(recorded, k, i.name) for k, i in enumerate(inputs)}
    feeds = {1: one}
    if all(isinstance(i.shape[0], str) for i in inputs) and all(len(x) == 1 for x in one.values()):
        feeds[16] = {k: np.concatenate([x] * 16) for k, x in one.items()}
    try:
        graph = sn.onnx.load(path, fold_batch_norm=True)
    except sn.SennitError:  # it is not for all sizes, or a number chooses a branch
        numbers = {k: x for k, x in one.items() if x.ndim == 0}
        shapes = {k: x.shape for k, x in one.items() if x.ndim}
        graph = sn.onnx.load(path, fold_batch_norm=True, shapes=shapes, fixed=numbers)
        feeds = {1: one}
    graph.save(folder / f"{path.stem}.sn")
    return {"onnx": str(path), "feeds": feeds}


def turn(side: str, model: str, feeds: Path, threads: int) -> float:
    out = subprocess.run(
        [sys.executable, __file__, "--turn", side, model, str(feeds), str(threads)],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if out.returncode:
        raise RuntimeError(f"{side}, {model}: {out.stderr[-400:]}")
    return float(out.stdout)


def measure(name: str, made: dict[str, Any], folder: Path, rounds: int) -> list[dict[str, Any]]:
    rows = []
    for batch, feeds in made["feeds"].items():
        file = folder / f"{name}-{batch}.npz"
        np.savez(file, **feeds)
        for threads in (1, 2):
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(turn("sennit", str(folder / f"{name}.sn"), file, threads))
                theirs.append(turn("onnxruntime", made["onnx"], file, threads))
            a, b = statistics.median(ours), statistics.median(theirs)
            rows.append({"model": name, "batch": batch, "threads": threads, "sennit": a,
                         "onnxruntime": b, "ratio": b / a, "rounds": [ours, theirs]})  # fmt: skip
            print(f"{name}, batch {batch}, {threads} threads: {a * 1e3:.3g} ms, "
                  f"{b / a:.2f} x", file=sys.stderr, flush=True)  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| model | 1 thread | 2 threads |", "|---|---|---|"]
    names = dict.fromkeys((r["model"], r["batch"]) for r in rows)
    for name, batch in names:
        cells = [
            f"{r['sennit'] * 1e3:.3g} ms, {r['ratio']:.2f} ×"
            for r in rows
            if (r["model"], r["batch"]) == (name, batch)
        ]
        lines.append(f"| {name}, batch {batch} | " + " | ".join(cells) + " |")
    ratios = [r["ratio"] for r in rows]
    lines.append(f"\ngeometric mean {statistics.geometric_mean(ratios):.3f}, "
                 f"least {min(ratios):.3f}")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--turn"]:
        side, model, file, threads = sys.argv[2:]
        with np.load(file) as data:
            feeds = {k: np.ascontiguousarray(data[k]) for k in data.files}
        work = time_sennit if side == "sennit" else time_onnxruntime
        print(work(model, feeds, int(threads)))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    from benchmarks.machine import facts

    rows = json.loads(args.file.read_text())["rows"] if args.file.exists() else []
    done = {r["model"] for r in rows}
    files = {p.stem: p for p in sorted(args.models.glob("*.onnx"))} if args.models else {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in [*NETS, *files]:
            if name in done or (args.only and name not in args.only):
                continue
            if name in files and not files[name].with_suffix(".golden.npz").exists():
                continue
            made = import_model(files[name], folder) if name in files else make_net(name, folder)
            rows += measure(name, made, folder, args.rounds)
            args.file.write_text(json.dumps({"machine": facts(), "rows": rows}, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
