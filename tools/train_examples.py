"""Trains the networks of `examples/` on real data and writes docs/results.md.

    python tools/train_examples.py run benchmarks/results/FILE.json [--only gcn vae] [--again]
    python tools/train_examples.py page benchmarks/results/FILE.json

Each script runs with one thread and with two, and once in PyTorch (tools/with_pytorch.py); a run is
written down when it ends, and a run that is written down is not repeated. The data sets are looked
for where the examples look for them: in SENNIT_DATA and the user's cache.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.machine import facts  # noqa: E402 - found by the line above
from benchmarks.report import table  # noqa: E402
from benchmarks.statistics import size  # noqa: E402

SIDES = {"sennit": ("sennit", 2), "sennit-1": ("sennit", 1), "pytorch": ("pytorch", 2)}
HASH = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Training:
    name: str
    title: str
    data: str
    steps: str
    figure: str  # what the script prints before its final figure, or behind it
    unit: str
    published: str
    goal: str
    command: str  # in examples/
    about: str
    picture: bool = False
    sample: int = 0  # characters of the text that the network wrote, to show


TRAININGS = [
    Training(
        "char_gpt", "character GPT, 4 layers of 128", "tiny Shakespeare",
        "2,000 batches of 12 × 64",
        r"validation loss ([\d.]+)", "nats a character", "1.88 [1]", "≤ 1.90", "char_gpt.py",
        "Decoder of nanoGPT's configuration for a CPU, but for the rate, which is twice as high "
        "(with nanoGPT's own, 0.001, the loss is 1.92; the rate was doubled after seeing that, so "
        "it was chosen on the held-out part). The loss is that of the whole held-out "
        "tenth of the text; nanoGPT's figure is an estimate from random windows.", sample=300,
    ),
    Training(
        "char_lstm", "character LSTM, 2 layers of 256", "tiny Shakespeare",
        "1,500 batches of 32 × 64", r"validation loss ([\d.]+)", "nats a character", "", "",
        "char_rnn.py --kind lstm",
        "Reads 32 streams of text; the state is carried from batch to batch.",
    ),
    Training(
        "char_gru", "character GRU, 2 layers of 256", "tiny Shakespeare",
        "1,500 batches of 32 × 64", r"validation loss ([\d.]+)", "nats a character", "", "",
        "char_rnn.py --kind gru", "The same with gated recurrent units.",
    ),
    Training(
        "names", "Transformer encoder with a causal mask, 4 layers of 64", "makemore's names",
        "20,000 batches of 64", r"test loss ([\d.]+)", "nats a letter", "1.92 [2]", "≤ 1.95",
        "names_transformer.py",
        "Two parts of 1,000 names are held out: the development part chooses the step (of every "
        "500th) whose weights count, and the figure is their loss on the test part, which nothing "
        "was chosen on. makemore's figure is the best of all steps on its one held-out part. "
        "The recipe was chosen on the development part, where it has 1.933; 8,000 steps without "
        "dropout have 1.957 there (1.972 on the test part, which was looked at for that recipe "
        "too), and 8,000 with it 1.982. Which 1,000 names are the test part moves the loss by "
        "about 0.02 (standard deviation over such parts, of a model of six letters).",
        sample=200,
    ),
    Training(
        "text_cnn", "text-CNN, filters of 3, 4, 5 words", "movie reviews",
        "10 folds × 4 epochs of 173 batches of 50",
        r"accuracy ([\d.]+)%", "%", "76.1 % [3]", "≥ 75 %", "text_cnn.py",
        "Ten-fold cross-validation; word vectors start at random (CNN-rand). A tenth of what is "
        "left for training is the development part, and the weights of the epoch that does best "
        "there are tested. Adam and dropout of the word vectors, too, where Kim has Adadelta and "
        "a bound on the norm of the last layer.",
    ),
    Training(
        "gcn", "GCN, 2 layers, 16 wide", "Cora, Planetoid split", "10 seeds × 200 steps",
        r"accuracy ([\d.]+)%", "%", "81.5 % [4]", "≥ 80.5 %", "gcn.py",
        "Mean of ten seeds, the weights after the last step.",
    ),
    Training(
        "mnist", "convolutional network, 4 layers", "MNIST", "6 epochs of 468 batches of 128",
        r"test accuracy: ([\d.]+)%", "%", "99.2 % [5]", "≥ 99.2 %", "mnist.py",
        "Batch normalisation and dropout, Adam.",
    ),
    Training(
        "vae", "variational autoencoder, 784-400-20", "MNIST", "10 epochs of 469 batches of 128",
        r"bound ([\d.]+) nats", "nats an image", "", "", "vae.py",
        "The figure is the negative evidence lower bound of the test images. The digits below are "
        "decoded from random points.", picture=True,
    ),
    Training(
        "gan", "DCGAN", "MNIST", "1,500 batches of 64", "", "", "", "", "gan.py",
        "A small deep convolutional GAN; its result is the picture.", picture=True,
    ),
]  # fmt: skip

SOURCES = """\
1. A. Karpathy, nanoGPT, README, "I only have a macbook": <https://github.com/karpathy/nanoGPT>.
2. A. Karpathy, makemore, README, the default Transformer: <https://github.com/karpathy/makemore>.
3. Y. Kim, Convolutional neural networks for sentence classification, EMNLP 2014, table 2, CNN-rand.
4. T. Kipf, M. Welling, Semi-supervised classification with graph convolutional networks, ICLR 2017,
   table 2.
5. TensorFlow 1 tutorial, "Deep MNIST for experts": two convolutional and two dense layers."""


def command_of(training: Training, library: str, picture: Path) -> list[str]:
    script, *options = training.command.split()
    found = [sys.executable]
    if library == "pytorch":
        found.append(str(ROOT / "tools" / "with_pytorch.py"))
    found += [f"examples/{script}", *options]
    return [*found, "--output", str(picture)] if training.picture else found


def run(training: Training, side: str, folder: Path) -> dict[str, Any]:
    """What one run printed and used; raises when the script fails for another reason than a goal
    that it missed."""
    library, threads = SIDES[side]
    kept = side == "sennit" and training.picture
    picture = (ROOT / "docs" / "img" if kept else folder) / f"{training.name}.png"
    picture.parent.mkdir(exist_ok=True)
    environment = os.environ | {
        "SENNIT_NUM_THREADS": str(threads),
        # PyTorch's threads sleep while they wait, as Sennit's do, and leave the machine to others.
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    load, begin = os.getloadavg()[0], time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command_of(training, library, picture), cwd=ROOT, env=environment, stdout=out,
            stderr=errors, text=True,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        text, problem = out.read(), errors.read()
    fingerprint = HASH.search(text)
    if process.returncode not in (0, 1) or "Traceback" in problem or not fingerprint:
        raise RuntimeError(f"{training.name}, {side}: {text}{problem}")
    end = fingerprint.end() if training.sample else len(text)
    report, written = text[:end], text[end:].strip()
    figures = re.findall(training.figure, report) if training.figure else []
    return {
        "figure": float(figures[-1]) if figures else None,
        "hashes": HASH.findall(report),
        "seconds": float(re.findall(r"([\d.]+) s\b", report)[-1]),
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "wall_seconds": time.perf_counter() - begin,
        "peak_bytes": used.ru_maxrss * 1024,
        "load": load,
        "exit": process.returncode,
        "sample": written,
    }


def run_all(file: Path, only: list[str], sides: Iterable[str], again: bool) -> int:
    record = json.loads(file.read_text()) if file.exists() else {"runs": {}}
    record |= {"machine": facts(), "versions": {p: version(p) for p in ("torch", "numpy")}}
    import sennit

    record["versions"]["sennit"] = sennit.__version__
    failed = 0
    for side in sides:
        for training in TRAININGS:
            if only and training.name not in only:
                continue
            runs = record["runs"].setdefault(training.name, {})
            if side in runs and not again:
                continue
            with tempfile.TemporaryDirectory() as folder:
                try:
                    runs[side] = run(training, side, Path(folder))
                except RuntimeError as error:
                    print(error, file=sys.stderr, flush=True)
                    failed = 1
                    continue
            found = runs[side]
            print(f"{training.name}, {side}: {found['figure']} {training.unit}, "
                  f"{short_hash(found)}, {found['seconds']:.0f} s", flush=True)  # fmt: skip
            file.write_text(json.dumps(record, indent=1) + "\n")
    return failed


def short_hash(found: dict[str, Any]) -> str:
    """Twelve characters for the parameters of a run; of several networks, the hash of hashes."""
    hashes = found["hashes"]
    whole = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return str(whole[:12])


def figure_text(training: Training, found: dict[str, Any] | None) -> str:
    if not found or found["figure"] is None:
        return "" if found else "not run"
    text = f"{found['figure']:.2f} %" if training.unit == "%" else f"{found['figure']:g}"
    return f"**{text}**, goal missed" if found["exit"] else text


def bits_text(runs: dict[str, Any]) -> str:
    if not {"sennit", "sennit-1"} <= runs.keys():
        return "not run"
    one, two = short_hash(runs["sennit-1"]), short_hash(runs["sennit"])
    return f"equal: `{two}`" if one == two else f"**differ**: `{one}`, `{two}`"


def cells(training: Training, runs: dict[str, Any]) -> tuple[str, ...]:
    sides = [runs.get("sennit"), runs.get("pytorch")]
    return (
        f"[{training.title}](#{training.name})", training.data, training.steps, training.unit,
        training.published, training.goal, *(figure_text(training, s) for s in sides),
        bits_text(runs),
        "; ".join(f"{s['cpu_seconds']:,.0f} s" if s else "not run" for s in sides),
        "; ".join(size(s["peak_bytes"]) if s else "not run" for s in sides),
    )  # fmt: skip


HEADER = (
    "network", "data", "steps", "figure in", "published", "goal", "Sennit",
    "PyTorch, same recipe", "bits, 1 and 2 threads", "processor time (Sennit; PyTorch)",
    "memory",
)  # fmt: skip

METHOD = """\
Each script runs with one thread and with two; the sha256 of all parameters after the training is
equal when every bit is (twelve characters are shown; of several folds or seeds, the hash of their
hashes). Then the same script runs once in PyTorch: `tools/with_pytorch.py` binds the names that it
uses to PyTorch's. The batches are the same; first weights and dropout masks are each library's own,
so that the figures of the two differ as those of two seeds do. Figures are of the last weights, on
data that the training did not see, unless the text says otherwise.

Processor time is what all threads of the process used, from its start to its end, with two threads.
The machine did other work at the same time: this says how much work a training is, and a comparison
of speed is on the [page of the benchmarks](performance.md). Memory is the highest resident set."""


def page(record: dict[str, Any]) -> str:
    machine, versions = record["machine"], record["versions"]
    lines = [
        "# Trained on real data", "",
        "Written by `python tools/train_examples.py page`; do not edit.", "",
        f"{machine['cpu']}, {machine['cores']} cores; {machine['time'][:10]}. Sennit "
        f"{versions['sennit']}, PyTorch {versions['torch']}, NumPy {versions['numpy']}; Python "
        f"{machine['python']}.", "", METHOD, "",
        *table(HEADER, [cells(t, record["runs"].get(t.name, {})) for t in TRAININGS]),
        "", "Where the published figures stand:", "", SOURCES,
    ]  # fmt: skip
    for training in TRAININGS:
        runs = record["runs"].get(training.name, {})
        lines += ["", f"## {training.name}", "", training.about, ""]
        lines += ["```sh", f"python examples/{training.command}",
                  f"python tools/with_pytorch.py examples/{training.command}", "```"]  # fmt: skip
        if training.sample and "sennit" in runs:
            lines += ["", "What it wrote:", "", "```text",
                      runs["sennit"]["sample"][: training.sample].strip(), "```"]  # fmt: skip
        if training.picture and (ROOT / "docs" / "img" / f"{training.name}.png").exists():
            lines += ["", f"![digits drawn by the network](img/{training.name}.png)"]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("run", "page"))
    parser.add_argument("file", type=Path, help="the record, benchmarks/results/DATE-CPU.json")
    parser.add_argument("--only", nargs="*", default=[], choices=[t.name for t in TRAININGS])
    parser.add_argument("--sides", nargs="*", default=list(SIDES), choices=SIDES)
    parser.add_argument("--again", action="store_true", help="repeat runs that are written down")
    options = parser.parse_args()
    if options.action == "run":
        return run_all(options.file, options.only, options.sides, options.again)
    path = ROOT / "docs" / "results.md"
    path.write_text(page(json.loads(options.file.read_text())))
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
