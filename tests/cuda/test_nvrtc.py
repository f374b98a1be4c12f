"""Every source compiles with NVIDIA's own compiler, without a warning and without a GPU."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nvrtc
import pytest

KERNELS = nvrtc.ROOT / "core/backend/cuda/kernels"

pytestmark = [
    pytest.mark.skipif(not KERNELS.exists(), reason="needs the source checkout"),
    pytest.mark.skipif(
        nvrtc.library() is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc"
    ),
]

GOLDEN = sorted((nvrtc.ROOT / "tests/cuda/golden").glob("*.cu"))
ARCHITECTURES = ("sm_80", "sm_90")
# To NVIDIA's virtual machine code, without the assembler, which takes longest.
QUICK = ("compute_80", "compute_90")

COVERED = 1

Unit = tuple[Path, tuple[str, ...], str]


def problem(unit: Unit) -> str:
    """What is wrong with a source, or nothing."""
    path, definitions, architecture = unit
    result = nvrtc.compile_source(path.read_text(), architecture, definitions, path.name)
    if result.error or result.log or not result.code:
        return f"{path.name} {' '.join(definitions)} for {architecture}: {result.log[:1500]}"
    return ""


def check(units: list[Unit]) -> None:
    assert units
    with ThreadPoolExecutor(2) as pool:  # NVRTC runs without the interpreter's lock
        problems = [text for text in pool.map(problem, units) if text]
    assert not problems, f"{len(problems)} of {len(units)}:\n" + "\n".join(problems[:5])


def test_representative_programs() -> None:
    check([(path, (), arch) for path in GOLDEN for arch in ARCHITECTURES])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources and lists that the C++ tests know."""
    found = sorted(nvrtc.ROOT.glob("build/*/tests/cpp/cuda_source_test"))
    if not found:
        pytest.skip("needs the C++ tests, which write the sources: SENNIT_TESTS=ON")
    newest = max(found, key=lambda path: path.stat().st_mtime)
    folder = tmp_path_factory.mktemp("sources")
    subprocess.run([str(newest), "--write", str(folder)], check=True)
    return folder


def test_every_elementwise_operation_on_every_dtype(written: Path) -> None:
    sources = sorted(written.glob("operations_*.cu"))
    # The front end is the same for both: one is enough for what is no architecture's own.
    check([(path, (), QUICK[k % 2]) for k, path in enumerate(sources)])


def covering(variants: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Some of the sets of definitions: each definition is in at least one of them."""
    seen: dict[str, int] = {}
    kept = []
    for variant in variants:
        if not variant or any(seen.get(d, 0) < COVERED for d in variant):
            kept.append(variant)
            for d in variant:
                seen[d] = seen.get(d, 0) + 1
    return kept


@pytest.mark.parametrize("file", sorted(path.name for path in KERNELS.glob("*.cu")))
def test_kernel_sources(file: str, written: Path, request: pytest.FixtureRequest) -> None:
    lines = [line.split() for line in (written / "kernels.txt").read_text().splitlines()]
    variants = sorted({tuple(line[1:]) for line in lines if line[0] == file})
    assert variants, f"no wrapper compiles {file}"
    if request.config.getoption("--full"):
        check([(KERNELS / file, v, arch) for v in variants for arch in ARCHITECTURES])
    else:
        check([(KERNELS / file, v, QUICK[k % 2]) for k, v in enumerate(covering(variants))])


def test_an_error_is_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.cu"
    shutil.copy(GOLDEN[0], wrong)
    wrong.write_text(wrong.read_text().replace("SN_KERNEL", "SN_KERNAL", 1))
    assert "wrong.cu" in problem((wrong, (), "sm_80"))
    wrong.write_text(GOLDEN[0].read_text() + "\nSN_DEVICE void f() { int unused = 1; }\n")
    assert "unused" in problem((wrong, (), "sm_80"))


def test_contraction_is_off() -> None:
    source = (
        '#include "device.cuh"\nstruct Args { float* x; };\n'
        "SN_KERNEL(k, Args) { args.x[0] = args.x[1] * args.x[2] + args.x[3]; }\n"
    )
    code = nvrtc.compile_source(source, "compute_80").code.decode()
    assert "fma.rn.f32" not in code and "mul" in code
