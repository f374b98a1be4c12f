"""Bundles give the bits that Python gives, and hold what their models need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import _bundle, nn
from sennit._tree import flatten
from sennit.cli import main

ROOT = Path(__file__).resolve().parent
PARTS = Path(sn.__file__).parent / "lib" / "bundle" / "parts.txt"
if not PARTS.exists():
    pytest.skip("this build has no parts for bundles", allow_module_level=True)
if not all(map(shutil.which, ("cc", "c++", "ar", "objcopy"))):
    pytest.skip("there are no compilers to link bundles with", allow_module_level=True)

sys.path[:0] = [str(ROOT.parent / "graph")]
from graph_models import MODELS, draw  # noqa: E402

pytestmark = pytest.mark.bits

# A program that reads raw files, runs the model, and writes raw files. It does what one in C would
# do, so it includes nothing but the header.
PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "{name}.h"

static void* read_all(const char* path, size_t bytes) {{
    void* data = calloc(1, bytes + 1);
    FILE* file = fopen(path, "rb");
    if (!file || fread(data, 1, bytes, file) != bytes) exit(3);
    fclose(file);
    return data;
}}
static void write_all(const char* path, const void* data, size_t bytes) {{
    FILE* file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes) exit(4);
    fclose(file);
}}
int main(int argc, char** argv) {{
    {name}_session* session = NULL;
    if (argc > 1 && {name}_set_threads(atoi(argv[1]))) return 5;
    if ({name}_open(&session)) {{
        fprintf(stderr, "%s\\n", {name}_error());
        return 1;
    }}
    {setup}
    {reads}
    for (int i = 0; i < {repeat}; ++i) {{
        if ({name}_run(session{arguments})) {{
            fprintf(stderr, "%s\\n", {name}_error());
            return 1;
        }}
    }}
    {writes}
    {name}_close(session);
    return 0;
}}
"""


class Program:
    """A program around a bundle, linked with it statically and stripped."""

    def __init__(self, made: sn.Bundle, folder: Path, *, inputs: list[Any], outputs: list[Any],
                 sizes: str = "", setup: str = "", repeat: int = 3) -> None:  # fmt: skip
        self.folder, self.inputs, self.outputs = folder, inputs, outputs
        reads = [
            f'void* x{i} = read_all("x{i}.bin", {x.nbytes});' for i, x in enumerate(inputs)
        ] + [f"void* y{k} = calloc(1, {y.nbytes} + 1);" for k, y in enumerate(outputs)]
        writes = [f'write_all("y{k}.bin", y{k}, {y.nbytes});' for k, y in enumerate(outputs)]
        names = [f"x{i}" for i in range(len(inputs))] + [f"y{k}" for k in range(len(outputs))]
        source = folder / "main.c"
        source.write_text(
            PROGRAM.format(
                name=made.name, setup=setup, reads="\n    ".join(reads), repeat=repeat,
                writes="\n    ".join(writes), arguments="".join(f", {n}" for n in [*sizes.split(),
                *names]),
            ),
            encoding="utf-8",
        )  # fmt: skip
        self.path = folder / "program"
        include = os.path.dirname(made.header)
        link = ["-Wl,--gc-sections", "-s", "-pthread"]
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-I", include, "-c", source,
                        "-o", folder / "main.o"], check=True)  # fmt: skip
        subprocess.run(["c++", folder / "main.o", made.library, *link, "-o", self.path], check=True)

    def run(self, threads: int, *, check: bool = True) -> tuple[list[bytes], str]:
        for i, x in enumerate(self.inputs):
            np.ascontiguousarray(x).tofile(self.folder / f"x{i}.bin")
        done = subprocess.run([self.path, str(threads)], cwd=self.folder, check=False,
                              capture_output=True, text=True)  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        results = [self.folder / f"y{k}.bin" for k in range(len(self.outputs))]
        return [p.read_bytes() if p.exists() else b"" for p in results], done.stderr


def plain(tensors: Any) -> list[np.ndarray]:
    return [np.ascontiguousarray(x.detach().numpy()) for x in flatten(tensors)]


def build(graph: sn.Graph, args: Any, folder: Path, **options: Any) -> tuple[Program, list[bytes]]:
    """A program of a graph, and the bytes that Python gives."""
    wanted = plain(graph(*args))
    made = sn.bundle(graph, folder / "bundle", name="model", **options)
    program = Program(made, folder, inputs=[x.numpy() for x in args], outputs=wanted)
    return program, [y.tobytes() for y in wanted]


# kB of a stripped program apart from its tensors, with libstdc++ and libc shared. What a change
# adds to every bundle, or what a kernel brings along that its model does not need, shows here.
BUDGETS = {"mlp": 300, "cnn": 480, "lstm": 360, "gpt": 390, "lenet": 400}


@pytest.mark.parametrize("name", list(BUDGETS))
def test_a_bundle_gives_the_same_bits(name: str, tmp_path: Path, record_property: Any) -> None:
    sn.random.seed(3)
    make, specs = MODELS[name]
    model = make().eval()
    graph = sn.trace(model, *specs)
    program, wanted = build(graph, draw(specs), tmp_path)
    for threads in (1, 2):
        assert program.run(threads)[0] == wanted
    tensors = sum(x.nbytes for x in [*graph.parameters.values(), *graph.constants.values()])
    size = program.path.stat().st_size - tensors
    record_property("kB", size // 1000)
    print(f"{name}: program {size:,} bytes without its {tensors:,} bytes of tensors")
    assert size <= BUDGETS[name] * 1000


@pytest.mark.parametrize("name", [name for name in MODELS if name not in BUDGETS])
def test_control_flow_is_an_error(name: str, tmp_path: Path) -> None:
    make, specs = MODELS[name]
    graph = sn.trace(make(), *specs)
    with pytest.raises(sn.InvalidValue, match=r"control flow \('\w+'\).*use the C\+\+ runtime"):
        sn.bundle(graph, tmp_path)


def mnist() -> nn.Module:
    """Two small convolutions and a linear layer: a network for digits of 28 by 28."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=2, padding=2), nn.ReLU(),
        nn.Conv2d(4, 8, 5, stride=2, padding=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 7 * 7, 10),
    ).eval()  # fmt: skip


def test_a_program_for_digits_is_small_and_starts_soon(
    tmp_path: Path, record_property: Any
) -> None:
    """The promise of a bundled MNIST network: 400 kB with its weights, some ms to the result."""
    sn.random.seed(0)
    spec = sn.TensorSpec((1, 1, 28, 28), name="image")
    program, wanted = build(sn.trace(mnist(), spec), draw((spec,)), tmp_path)
    assert program.run(1)[0] == wanted
    size = program.path.stat().st_size
    times = []
    for _ in range(11):
        start = time.perf_counter()
        assert program.run(1)[0] == wanted
        times.append(time.perf_counter() - start)
    record_property("kB", size // 1000)
    record_property("ms", round(1e3 * sorted(times)[5], 2))
    print(f"{size:,} bytes, {1e3 * sorted(times)[5]:.2f} ms from start to end")
    assert size <= 400_000


def test_sizes_are_chosen_at_each_call(tmp_path: Path) -> None:
    sn.random.seed(1)
    model = nn.Sequential(nn.Linear(6, 5), nn.Softmax(-1))
    graph = sn.trace(model, sn.TensorSpec(("n", 6), name="x"))
    made = sn.bundle(graph, tmp_path / "b", name="net", sizes=[{"n": 1}, {"n": 4}])
    text = Path(made.header).read_text(encoding="utf-8")
    assert "int64_t n, const float* x, float* output" in text and "n = 1; n = 4" in text
    for n in (1, 4):
        x = sn.random.randn((n, 6))
        wanted = plain(graph(x))
        program = Program(made, tmp_path, inputs=[x.numpy()], outputs=wanted, sizes=str(n))
        assert program.run(2)[0] == [y.tobytes() for y in wanted]
    program = Program(made, tmp_path, inputs=[x.numpy()], outputs=wanted, sizes="3")
    assert "n=3; the bundle was made for n=1; n=4" in program.run(1, check=False)[1]


def test_one_choice_of_sizes_is_no_argument(tmp_path: Path) -> None:
    graph = sn.trace(lambda x: x + 1, sn.TensorSpec(("n", 2), name="x"))
    made = sn.bundle(graph, tmp_path, name="net", sizes={"n": 3})
    text = Path(made.header).read_text(encoding="utf-8")
    assert "net_run(net_session* session, const float* x, float* output)" in text
    assert "x: float32[3, 2]" in text
    with pytest.raises(sn.InvalidValue, match=r"open sizes of this model are n"):
        sn.bundle(graph, tmp_path)
    with pytest.raises(sn.InvalidValue, match=r"sizes are given for m"):
        sn.bundle(graph, tmp_path, sizes={"m": 1})


def test_every_dtype_passes_through(tmp_path: Path) -> None:
    names = [
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64", "complex64",
    ]  # fmt: skip
    specs = [sn.TensorSpec((2, 3), getattr(sn, dtype)) for dtype in names]
    graph = sn.trace(lambda *xs: tuple(y for x in xs for y in (x, x.T, sn.concat([x, x]))), *specs)
    args = [sn.asarray(np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)) for dtype in names]
    program, wanted = build(graph, args, tmp_path)
    assert program.run(1)[0] == wanted


def test_reductions_sorts_and_scans(tmp_path: Path) -> None:
    sn.random.seed(5)

    def f(x: sn.Tensor, k: sn.Tensor) -> Any:
        return (
            sn.sum(x), sn.sum(x, 0), sn.mean(x, 1), sn.var(x, 1), sn.max(x, 0), sn.argmax(x, 1),
            sn.sum(k), sn.prod(k, 0), sn.any(k > 2), sn.sort(x, 1), sn.cumulative_sum(x, axis=1),
            sn.take(x, k[0] % 4, axis=0), sn.where(x > 0, x, -x), sn.softmax(x, -1),
            x.astype(sn.float16) * 2, sn.logsumexp(x.astype(sn.float64), 1), k // 3, x[1:, ::2] * 1,
        )  # fmt: skip

    specs = (sn.TensorSpec((4, 3000)), sn.TensorSpec((5, 7), sn.int64))
    args = (sn.random.randn((4, 3000)), sn.random.integers(0, 9, (5, 7)))
    program, wanted = build(sn.trace(f, *specs), args, tmp_path)
    for threads in (1, 2):
        assert program.run(threads)[0] == wanted


def test_double_precision_takes_other_parts(tmp_path: Path) -> None:
    sn.random.seed(6)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
    )
    net = net.to(sn.float64)
    spec = sn.TensorSpec((2, 1, 8, 8), sn.float64)
    program, wanted = build(sn.trace(net, spec), (sn.random.randn((2, 1, 8, 8), dtype=sn.float64),),
                            tmp_path)  # fmt: skip
    assert program.run(1)[0] == wanted


def test_random_numbers_are_those_of_python(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5))
    graph = sn.trace(model, sn.TensorSpec((3, 4)))
    x = sn.asarray(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))
    sn.random.seed(11)
    wanted = [plain(graph(x)) for _ in range(3)]
    made = sn.bundle(graph, tmp_path / "b", name="net")
    for repeat, draws in ((1, 0), (2, 0), (1, 1), (3, 0)):
        program = Program(made, tmp_path, inputs=[x.numpy()], outputs=wanted[0], repeat=repeat,
                          setup=f"net_set_generator(session, 11, {draws});")  # fmt: skip
        expected = wanted[repeat + draws - 1]
        assert program.run(1)[0] == [y.tobytes() for y in expected]


def test_a_step_of_training(tmp_path: Path) -> None:
    sn.random.seed(2)
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = sn.optim.Adam(net.parameters(), lr=0.05)

    def step(x: sn.Tensor, y: sn.Tensor) -> sn.Tensor:
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x, y = sn.random.randn((8, 6)), sn.random.integers(0, 3, (8,))
    specs = (sn.TensorSpec((8, 6)), sn.TensorSpec((8,), sn.int64))
    graph = sn.trace(step, *specs, mutable=[net, optimizer])
    made = sn.bundle(graph, tmp_path / "b", name="net")
    name = next(n for n, p in graph.parameters.items() if p.shape == (16, 6))
    weight = graph.parameters[name]
    setup = (
        f'static float w[96]; if (net_get(session, "{name}", w, sizeof w)) return 6;\n'
        f'    if (net_set(session, "{name}", w, sizeof w)) return 7;\n'
        '    if (!net_get(session, "nothing", w, sizeof w)) return 8;\n'
        f'    if (net_get(session, "{name}", w, 4) != 104) return 9;'
    )
    losses = [plain(graph(x, y))[0] for _ in range(5)]
    program = Program(made, tmp_path, inputs=[x.numpy(), y.numpy()], outputs=[losses[0]], repeat=5,
                      setup=setup)  # fmt: skip
    source = (tmp_path / "main.c").read_text(encoding="utf-8")
    source = source.replace(
        "    net_close(session);",
        f'    net_get(session, "{name}", w, sizeof w);\n'
        '    write_all("w.bin", w, sizeof w);\n    net_close(session);',
    )
    (tmp_path / "main.c").write_text(source, encoding="utf-8")
    subprocess.run(["cc", "-I", tmp_path / "b", "-c", tmp_path / "main.c", "-o",
                    tmp_path / "main.o"], check=True)  # fmt: skip
    subprocess.run(["c++", tmp_path / "main.o", made.library, "-pthread", "-o", program.path],
                   check=True)  # fmt: skip
    # The loop of the whole update comes along (kTileChains in core/backend/cpu/tile_kernels.h).
    parts = _bundle._Parts()
    _, _, needs = graph._program.freeze([[]], graph._stand, _bundle._result_labels(graph))
    members = subprocess.run(["ar", "t", parts.archive], check=True, capture_output=True, text=True)
    chain = next(m for m in members.stdout.split() if m.endswith("_tile_chain.cpp.o"))
    assert f"sn_{chain.partition('_')[0]}_" in parts.source(needs, str(tmp_path))
    for threads in (1, 2):
        assert program.run(threads)[0] == [losses[4].tobytes()]
        assert (tmp_path / "w.bin").read_bytes() == weight.detach().numpy().tobytes()


def test_errors_come_as_codes_with_texts(tmp_path: Path) -> None:
    graph = sn.trace(nn.Embedding(5, 2), sn.TensorSpec((3,), sn.int64, name="ids"))
    made = sn.bundle(graph, tmp_path / "b", name="net")
    bad = np.array([0, 7, 1])
    program = Program(made, tmp_path, inputs=[bad], outputs=[np.zeros((3, 2), np.float32)])
    assert "7" in program.run(1, check=False)[1] and "SN103" in program.run(1, check=False)[1]


def test_two_bundles_in_one_program(tmp_path: Path) -> None:
    spec = sn.TensorSpec((3,), name="x")
    for name, factor in (("one", 2.0), ("other", 3.0)):
        sn.bundle(sn.trace(lambda x, f=factor: sn.tanh(x) * f, spec), tmp_path, name=name)
    (tmp_path / "main.cpp").write_text(
        """
        #include <cstdio>
        #include <string>
        #include <vector>
        #include "one.h"
        #include "other.h"
        int main() {
            one_session* a = nullptr;
            other_session* b = nullptr;
            if (one_open(&a) || other_open(&b)) return 1;
            float x[3] = {1, 2, 3}, y[3], z[3];
            if (one_run(a, x, y) || other_run(b, x, z)) return 2;
            std::vector<std::string> words(3, std::to_string(z[0] / y[0]));
            std::puts(words[2].c_str());
            one_close(a);
            other_close(b);
        }
        """,
        encoding="utf-8",
    )
    program = tmp_path / "program"
    subprocess.run(["c++", tmp_path / "main.cpp", tmp_path / "libone.a", tmp_path / "libother.a",
                    "-pthread", "-o", program], check=True)  # fmt: skip
    done = subprocess.run([program], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("1.5000")


def test_the_library_shows_its_interface_alone(tmp_path: Path) -> None:
    made = sn.bundle(sn.trace(sn.exp, sn.TensorSpec((2,))), tmp_path, name="net")
    symbols = subprocess.run(["nm", "--defined-only", "-g", made.library], check=True,
                             capture_output=True, text=True).stdout.split()  # fmt: skip
    names = {word for word in symbols if word.startswith(("net_", "_Z", "sn"))}
    assert names == {"net_open", "net_close", "net_run", "net_error", "net_set_threads"}


def test_names_and_tools_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = sn.trace(lambda x: x, sn.TensorSpec((2,)))
    with pytest.raises(sn.InvalidValue, match="identifier of C"):
        sn.bundle(graph, tmp_path, name="a-b")
    with pytest.raises(sn.InvalidValue, match="threads is -1"):
        sn.bundle(graph, tmp_path, name="a", threads=-1)
    with pytest.raises(sn.FileError, match="there is no 'no-such-compiler'"):
        sn.bundle(graph, tmp_path, name="a", compiler="no-such-compiler")
    with pytest.raises(sn.FileError, match="false failed with status 1"):
        sn.bundle(graph, tmp_path, name="a", compiler="false")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(sn.FileError, match=r"a C\+\+ compiler .* is required"):
        sn.bundle(graph, tmp_path, name="a")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small net.sn"
    sn.trace(nn.Linear(3, 2), sn.TensorSpec(("n", 3), name="x")).save(path)
    words = ["bundle", str(path), "-o", str(tmp_path / "out")]
    assert main([*words, "--sizes", "n=2", "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert "libsmall_net.a" in said and "32 of them tensors" in said
    assert (tmp_path / "out" / "small_net.h").exists()
    assert main(words) == 1 and "open sizes" in capsys.readouterr().err
    assert main([*words, "--sizes", "n"]) == 2
    sn.save({"w": sn.ones(2)}, tmp_path / "w.safetensors")
    assert main(["bundle", str(tmp_path / "w.safetensors")]) == 1
