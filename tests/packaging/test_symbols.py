"""The built module needs nothing but the C library, and no instruction set leaks into another."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import sennit

pytest.importorskip("elftools", reason="needs pyelftools")


@pytest.fixture(scope="module")
def check(repository: Path) -> dict[str, Any]:
    return runpy.run_path(str(repository / "tools" / "check_symbols.py"))


def test_module_imports_nothing_inexact(check: dict[str, Any]) -> None:
    (module,) = Path(sennit.__file__).parent.glob("_core.*.so")
    assert check["check_module"](module) == []


def test_kernels_share_no_weak_function(check: dict[str, Any], repository: Path) -> None:
    build = repository / "build" / "dev"
    if not list(build.glob("CMakeFiles/sn_kernels_avx512.dir/**/*.o")):
        pytest.skip("build/dev holds no AVX-512 objects")
    assert check["check_kernels"](build) == []


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("g++") or shutil.which("clang++")
    if not found:
        pytest.skip("needs a compiler")
    return found


def test_the_check_sees_a_weak_function(
    check: dict[str, Any], compiler: str, tmp_path: Path
) -> None:
    folder = tmp_path / "CMakeFiles" / "sn_kernels_avx2.dir"
    folder.mkdir(parents=True)
    source = tmp_path / "k.cpp"
    source.write_text(
        "template <class T> __attribute__((noinline)) T twice(T x) { return x + x; }\n"
        "namespace sn::cpu::avx2 {\n"
        "template <class T> __attribute__((noinline)) T thrice(T x) { return x + x + x; }\n"
        "float f(float x) { return twice(x) + thrice(x); }\n"
        "}\n"
    )
    subprocess.run([compiler, "-c", source, "-o", folder / "k.o"], check=True)
    (problem,) = check["check_kernels"](tmp_path)
    assert "twice" in problem


def test_the_check_sees_libm(check: dict[str, Any], compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "m.cpp"
    source.write_text("#include <cmath>\ndouble f(double x) { return std::tanh(std::floor(x)); }\n")
    module = tmp_path / "m.so"
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", module], check=True)
    (problem,) = check["check_module"](module)
    assert "tanh" in problem
