"""Kernels from source to launch, on fakes: the cache on disk, failures of the compiler and of the
device."""

from __future__ import annotations

from pathlib import Path

import faked
import pytest

pytestmark = faked.needs_fakes

# A program of its own: nobody else's cache has it.
COMPUTE = """
x = sn.arange(5, dtype=sn.float32).to("cuda")
print((x * 3 - 1).tolist())
print(sn._core.cuda_code_stats())
"""
RESULT = "[-1.0, 2.0, 5.0, 8.0, 11.0]"


def stats(text: str) -> tuple[int, int, int]:
    result, found = text.splitlines()
    assert result == RESULT
    counts = eval(found)
    return counts["compiled"], counts["from_disk"], counts["damaged"]


def test_compiled_once_and_then_read(tmp_path: Path) -> None:
    cache = {"SENNIT_CACHE": str(tmp_path)}
    compiled, read, damaged = stats(faked.run(COMPUTE, **cache))
    assert compiled > 0 and read == 0 and damaged == 0
    files = sorted((tmp_path / "cuda").iterdir())
    assert len(files) == compiled and all(f.suffix == ".code" for f in files)
    assert stats(faked.run(COMPUTE, **cache)) == (0, compiled, 0)


def test_other_architectures_and_versions_have_code_of_their_own(tmp_path: Path) -> None:
    cache = {"SENNIT_CACHE": str(tmp_path)}
    faked.run(COMPUTE, **cache)
    for change in ({"SENNIT_FAKE_CAPABILITY": "80"}, {"SENNIT_FAKE_NVRTC": "12.9"}):
        assert stats(faked.run(COMPUTE, **cache, **change))[1] == 0


@pytest.mark.parametrize("how", ["cut short", "a bit", "empty", "another file"])
def test_a_damaged_entry_is_compiled_anew(how: str, tmp_path: Path) -> None:
    cache = {"SENNIT_CACHE": str(tmp_path)}
    compiled, _, _ = stats(faked.run(COMPUTE, **cache))
    for file in (tmp_path / "cuda").iterdir():
        data = bytearray(file.read_bytes())
        if how == "cut short":
            data = data[: len(data) // 2]
        elif how == "a bit":
            data[len(data) // 2] ^= 1
        else:
            data = bytearray() if how == "empty" else bytearray(b"x" * 1000)
        file.write_bytes(bytes(data))
    assert stats(faked.run(COMPUTE, **cache)) == (compiled, 0, compiled)
    assert stats(faked.run(COMPUTE, **cache)) == (0, compiled, 0)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = {"SENNIT_CACHE": str(tmp_path / "file")}
    assert stats(faked.run(COMPUTE, **cache))[0] > 0
    assert "cannot be written: each process compiles" in faked.run("print(sn.doctor())", **cache)


def test_a_gpu_that_is_newer_than_the_compiler(tmp_path: Path) -> None:
    """Gets code of the newest architecture that the compiler knows, through the driver."""
    settings = {"SENNIT_CACHE": str(tmp_path), "SENNIT_FAKE_CAPABILITY": "103"}
    assert stats(faked.run(COMPUTE, **settings))[0] > 0


def test_a_compiler_that_fails(tmp_path: Path) -> None:
    done = faked.start(COMPUTE, SENNIT_CACHE=str(tmp_path), SENNIT_FAKE_BROKEN="1")
    assert done.returncode != 0
    assert "NVRTC 13.0 does not compile a fused program" in done.stderr
    assert "error: this compiler is broken" in done.stderr


def test_a_lost_device_is_told_and_the_cpu_goes_on() -> None:
    text = faked.run(
        """
x = sn.arange(5, dtype=sn.float32).to("cuda")
for i in range(10):
    try:
        y = x * 3 - 1
        y.tolist()
    except sn.DeviceError as e:
        print(i, e)
        break
try: sn.synchronize()
except sn.DeviceError as e: print("still lost" if "is lost" in str(e) else e)
print((sn.ones(2) + 1).tolist())
""",
        SENNIT_FAKE_LOST_AFTER="3",
    )
    lines = text.splitlines()
    assert lines[0][0].isdigit() and "the device is lost: CUDA_ERROR_LAUNCH_FAILED" in lines[0]
    assert "last checkpoint" in lines[0]
    assert lines[-2:] == ["still lost", "[2.0, 2.0]"]


def test_threads_that_want_the_same_code_compile_it_once(tmp_path: Path) -> None:
    text = faked.run(
        """
import threading
x = sn.arange(5, dtype=sn.float32).to("cuda")
found = []
def work(): found.append((x * 3 - 1).tolist())
threads = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert len(found) == 8 and all(f == found[0] for f in found)
print(found[0])
print(sn._core.cuda_code_stats())
""",
        SENNIT_CACHE=str(tmp_path),
    )
    assert stats(text)[0] == len(list((tmp_path / "cuda").iterdir()))
