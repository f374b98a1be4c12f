"""Programs outside of the tree that are built against the installed package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sennit as sn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import capi  # noqa: E402  (skips without the runtime)

ENV = {k: v for k, v in os.environ.items() if not k.startswith("SENNIT_")}


def tool(*names: str) -> str:
    beside = Path(sys.executable).parent
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=str(beside))
        if found:
            return found
    pytest.skip(f"needs {' or '.join(names)}")


def run(*words: object, **more: object) -> str:
    done = subprocess.run(
        [str(w) for w in words], capture_output=True, text=True, check=False,
        env={**ENV, **{k: str(v) for k, v in more.items()}},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def example(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = repository / "examples" / "cpp"
    if not folder.is_dir():
        pytest.skip("needs the checkout's examples/cpp")
    copy = tmp_path_factory.mktemp("project") / "cpp"
    shutil.copytree(folder, copy)
    return copy


@pytest.fixture(scope="module")
def digits(example: Path) -> Path:
    sys.path.insert(0, str(example))
    try:
        import save_digits
    finally:
        sys.path.remove(str(example))
    assert save_digits.main(str(example / "digits.sn"), epochs=10) > 0.9
    return example / "digits.sn"


def check(classify: Path, inspect: Path, model: Path) -> None:
    assert "says 7" in run(classify, model)
    text = run(inspect, model)
    assert "input input: float32[1, 1, 8, 8]" in text
    assert "output output: float32[1, 10]" in text
    done = subprocess.run([classify, inspect], capture_output=True, text=True, check=False, env=ENV)
    assert done.returncode == 1 and "[load]" in done.stderr  # a program is no model


def test_a_cmake_project(example: Path, digits: Path) -> None:
    cmake = tool("cmake")
    tool("c++", "g++", "clang++")
    tool("make")
    build = example / "build"
    found = Path(sn.get_library_dir()) / "cmake" / "sennit"
    run(cmake, "-S", example, "-B", build, "-G", "Unix Makefiles", f"-Dsennit_DIR={found}")
    run(cmake, "--build", build)
    check(build / "classify", build / "inspect", digits)


def test_the_package_may_be_moved(example: Path, digits: Path, tmp_path: Path) -> None:
    """pkg-config on a copy of the folders elsewhere."""
    pkg_config, cxx, cc = tool("pkg-config", "pkgconf"), tool("g++", "c++"), tool("gcc", "cc")
    for folder in (sn.get_include(), sn.get_library_dir()):
        shutil.copytree(folder, tmp_path / "moved" / Path(folder).name)
    lib = tmp_path / "moved" / "lib"
    flags = run(
        pkg_config, "--cflags", "--libs", "sennit", PKG_CONFIG_PATH=lib / "pkgconfig"
    ).split()
    assert str(Path(sn.__file__).parent) not in " ".join(flags)
    rpath = f"-Wl,-rpath,{lib}"
    for compiler, source, standard in ((cxx, "classify.cpp", "17"), (cc, "inspect.c", "99")):
        language = "c++" if source.endswith("cpp") else "c"
        run(
            compiler, f"-std={language}{standard}", "-Wall", "-Wextra", "-Werror", "-pedantic",
            example / source, "-o", tmp_path / source.partition(".")[0], *flags, rpath,
        )  # fmt: skip
    check(tmp_path / "classify", tmp_path / "inspect", digits)


def test_the_headers_stand_alone(tmp_path: Path) -> None:
    cc, cxx = tool("gcc", "cc"), tool("g++", "c++")
    for compiler, name, standards in (
        (cc, "t.c", ("c99", "c11")),
        (cxx, "t.cpp", ("c++17", "c++20")),
    ):
        header = "sennit.hpp" if name.endswith("cpp") else "sennit.h"
        (tmp_path / name).write_text(
            f"#include <sennit/{header}>\nint main(void) {{ return 0; }}\n"
        )
        for standard in standards:
            run(
                compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-pedantic",
                "-fsyntax-only", f"-I{sn.get_include()}", tmp_path / name,
            )  # fmt: skip


def test_the_library_asks_for_the_c_library_alone(repository: Path) -> None:
    import runpy

    pytest.importorskip("elftools", reason="needs pyelftools")
    script = repository / "tools" / "check_symbols.py"
    if not script.is_file():
        pytest.skip("needs the checkout's tools")
    module = runpy.run_path(str(script))
    assert module["check_module"](capi.LIBRARY) == []
    visible = {
        name for name, defined, binding, kind in module["symbols"](capi.LIBRARY)
        if defined and binding == "STB_GLOBAL" and kind == "STT_FUNC"
    }  # fmt: skip
    header = (Path(sn.get_include()) / "sennit" / "sennit.h").read_text()
    assert visible and all(name.startswith("sn_") for name in visible)
    assert all(f"{name}(" in header for name in visible)


def test_the_library_is_small() -> None:
    """Three megabytes (docs/runtime.md): what a phone or an installer carries."""
    assert capi.LIBRARY.stat().st_size <= 3_000_000
