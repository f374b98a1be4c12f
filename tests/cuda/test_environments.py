"""What Sennit says of machines where something of CUDA is missing, old or broken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import faked
import pytest

pytestmark = faked.needs_fakes

ASK = """
try:
    sn.ones(3).to("cuda")
    print("TO: works")
except sn.SennitError as error:
    print("TO:", type(error).__name__, error)
report = sn.doctor()
print(report)
assert report.cuda.available == sn.cuda.is_available(), report.cuda
assert report.cuda.available == (sn.cuda.device_count() > 0)
assert bool(report.cuda.problem) != report.cuda.available
"""


def place(tmp_path: Path, **libraries: str | Path) -> str:
    """A search path with one folder: libcuda="" leaves a library out, a path links to it."""
    for kind, name in (("libcuda", "libcuda.so.1"), ("libnvrtc", "libnvrtc.so.13")):
        source = libraries.get(kind, faked.folder() / name)
        if source:
            (tmp_path / str(libraries.get(f"{kind}_name", name))).symlink_to(source)
    return f"{tmp_path}:none"


class Machine(NamedTuple):
    words: tuple[str, ...]  # of the error and of the report
    settings: Mapping[str, str] = MappingProxyType({})
    libraries: Mapping[str, str] = MappingProxyType({})


WITHOUT = {
    "no driver": Machine(("was not found", "libcuda.so.1", "--gpus all"), {}, {"libcuda": ""}),
    "old driver": Machine(("for CUDA 11.4", "update the driver"), {"SENNIT_FAKE_VERSION": "11040"}),
    "no GPU": Machine(("sees no GPU", "CUDA_VISIBLE_DEVICES"), {"SENNIT_FAKE_DEVICES": "0"}),
    "driver and module differ": Machine(
        ("do not fit each other", "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "reboot"),
        {"SENNIT_FAKE_INIT": "803"},
    ),
    "driver does not start": Machine(
        ("cannot be started", "CUDA_ERROR_UNKNOWN", "nvidia-smi"), {"SENNIT_FAKE_INIT": "999"}
    ),
    "driver fails with what it does not know itself": Machine(
        ("cannot be started", "does not know"), {"SENNIT_FAKE_INIT": "12345"}
    ),
    "no NVRTC": Machine(
        ("was not found", "libnvrtc.so.13 or libnvrtc.so.12", "pip install 'sennit[cuda]'"),
        {},
        {"libnvrtc": ""},
    ),
    "no NVRTC for an older driver": Machine(
        ("libnvrtc.so.12)", "pip install 'sennit[cuda12]'"), {"SENNIT_FAKE_VERSION": "12040"}
    ),
    "NVRTC newer than the driver": Machine(
        ("is version 13.0", "the driver is for CUDA 12.4", "cannot load"),
        {"SENNIT_FAKE_VERSION": "12040"},
        {"libnvrtc_name": "libnvrtc.so.12"},
    ),
    "old NVRTC": Machine(("is version 11.8", "12.0 or later"), {"SENNIT_FAKE_NVRTC": "11.8"}),
    "NVRTC without architectures": Machine(
        ("does not work", "architectures"), {"SENNIT_FAKE_ARCHS": ""}
    ),
}  # fmt: skip


@pytest.mark.parametrize("machine", WITHOUT.values(), ids=WITHOUT.keys())
def test_what_is_missing_is_said(machine: Machine, tmp_path: Path) -> None:
    path = place(tmp_path, **machine.libraries)
    text = faked.run(ASK, path, **machine.settings)
    told, report = text.split("\nsennit ", 1)
    assert "TO: DeviceError" in told and "sn.doctor()" in told and "use 'cpu' instead" in told
    for word in machine.words:
        assert word in told, told
        assert word in report, report


@pytest.mark.parametrize("library", ["libcuda", "libnvrtc"])
def test_a_file_that_is_no_library(library: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("this is no library\n" * 100)
    (tmp_path / "lib").mkdir()
    text = faked.run(ASK, place(tmp_path / "lib", **{library: broken}))
    assert "not found" in text and "looked at" in text
    assert "invalid ELF header" in text or "file too short" in text


@pytest.mark.parametrize(
    ("function", "library"), [("cuLaunchKernel", "driver"), ("nvrtcGetCUBIN", "NVRTC")]
)
def test_a_missing_function_is_named(function: str, library: str) -> None:
    text = faked.run(ASK, f"{faked.folder(f'{function}=other')}:none")
    assert f"has no function {function}" in text and "update" in text
    assert library in text


def test_a_folder_that_is_not_there() -> None:
    text = faked.run(ASK, "/no/such/folder:none")
    assert "looked at /no/such/folder/libcuda.so.1: No such file or directory" in text


def test_cuda_can_be_switched_off() -> None:
    assert "driver was not found" in faked.run(ASK, "none")


def test_the_first_folder_wins(tmp_path: Path) -> None:
    text = faked.run(ASK, f"/no/such/folder:{place(tmp_path)}")
    assert f"driver: CUDA 13.0, {tmp_path}/libcuda.so.1" in text and "TO: works" in text


def test_wheels_are_found_beside_packages(tmp_path: Path) -> None:
    """NVIDIA's wheels hold libraries in nvidia/cu13/lib of a folder of packages."""
    lib = tmp_path / "nvidia/cu13/lib"
    lib.mkdir(parents=True)
    (lib / "libnvrtc.so.13").symlink_to(faked.folder() / "libnvrtc.so.13")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nprint(sn.doctor())"
    text = faked.run(code, "/no/such/folder")
    assert f"NVRTC: 13.0, {lib}/libnvrtc.so.13" in text


def test_nothing_is_looked_for_before_it_is_asked_for() -> None:
    text = faked.run(
        "print(sn.ones(3).sum().item(), 'libcuda' in open('/proc/self/maps').read())\n"
        "sn.synchronize(); sn.ones(3, device='cpu')\n"
        "import sys\n"
        "print('libcuda' in open('/proc/self/maps').read(), 'sennit.cuda' in sys.modules)\n"
        "sn.cuda.is_available()\n"
        "print('libcuda' in open('/proc/self/maps').read())"
    )
    assert text.split() == ["3.0", "False", "False", "False", "True"]


def test_a_working_machine() -> None:
    text = faked.run(ASK, SENNIT_FAKE_DEVICES="2", SENNIT_FAKE_VERSION="13010")
    for words in (
        "TO: works", "cuda: available", "driver: CUDA 13.1", "NVRTC: 13.0", "cuBLASLt: not found",
        "own kernels", "cuda:1: Fake GPU, compute capability 9.0, 4 multiprocessors, 0.2 GiB",
        "compiled kernels are kept in",
    ):  # fmt: skip
        assert words in text, text


def test_functions_of_the_module() -> None:
    text = faked.run(
        "print(sn.cuda.is_available(), sn.cuda.device_count(), sn.cuda.get_device_name('cuda:1'))\n"
        "print(sn.cuda.get_device_capability(), sn.cuda.current_device())\n"
        "x = sn.ones(1000).to('cuda:1')\n"
        "print(*map(sn.cuda.memory_allocated, (1, 0)), sn.cuda.memory_reserved(1))\n"
        "free, total = sn.cuda.mem_get_info(1); print(total - free, total)\n"
        "sn.cuda.synchronize('cuda:1')\n"
        "del x\n"
        "print(sn.cuda.memory_allocated('cuda:1'), sn.cuda.max_memory_allocated(1))\n"
        "peak = sn.memory.stats('cuda:1')['peak']\n"
        "print(sn.cuda.empty_cache(1), sn.cuda.memory_reserved(1), peak)\n"
        "sn.cuda.reset_peak_memory_stats(1); print(sn.cuda.max_memory_allocated(1))\n"
        "x = sn.ones(2)\n"
        "print(x.cuda().device, x.cuda(1).device, x.cuda('cuda:1').device)\n"
        "layer = sn.nn.Linear(2, 1).cuda(1)\n"
        "print(layer.weight.device, layer.cuda().weight.device, layer.cpu().bias.device)\n",
        SENNIT_FAKE_DEVICES="2",
    )
    assert text.splitlines() == [
        "True 2 Fake GPU",
        "(9, 0) 0",
        f"4096 0 {2 << 20}",
        f"{(2 << 20) + 512} {256 << 20}",
        "0 4096",
        f"{2 << 20} 0 4096",
        "0",
        "cuda:0 cuda:1 cuda:1",
        "cuda:1 cuda:0 cpu",
    ]


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("'cuda:2'", "there is no device 'cuda:2'; this process has 1 of kind 'cuda'"),
        ("'cuda:x'", "'cuda:x' is not a device; write it as 'cuda:0'"),
        ("'gpu'", "'gpu' is not a kind of device; 'cpu' and 'cuda' are"),
    ],
)
def test_devices_that_are_not_there(device: str, words: str) -> None:
    text = faked.run(
        f"try:\n    sn.ones(3, device={device})\nexcept sn.DeviceError as e:\n    print(e)"
    )
    assert words in text


def test_a_gpu_that_is_too_old() -> None:
    text = faked.run(ASK, SENNIT_FAKE_CAPABILITY="61")
    assert "cuda:0 (Fake GPU) has compute capability 6.1" in text
    assert "NVRTC 13.0 compiles for 7.5 and later" in text


OUT_OF_MEMORY = """
kept = [sn.ones(16 << 20).to("cuda") for _ in range(3)]
del kept[-1]
try:
    x = sn.ones(40 << 20).to("cuda")
    print("fits")
except sn.SennitError as error:
    print(type(error).__name__, isinstance(error, MemoryError), error)
print(sn.cuda.memory_stats()["in_use"] >> 20, kept[0].sum().item(), sn.doctor().cuda.available)
"""


def test_out_of_memory_frees_the_cache_and_says_what_is_held() -> None:
    text = faked.run(OUT_OF_MEMORY, SENNIT_FAKE_MEMORY="320")
    assert text.startswith("fits")  # in what the cache gave back
    text = faked.run(OUT_OF_MEMORY, SENNIT_FAKE_MEMORY="256")
    assert "True [allocate] 160.00 MiB were asked for on cuda:0" in text
    assert "128.00 MiB are in use by tensors and 0 bytes are cached" in text
    assert "the device has 256.00 MiB" in text and "smaller batches" in text
    assert text.splitlines()[-1] == "128 16777216.0 True"


def test_memory_can_be_capped() -> None:
    code = "sn.cuda.set_per_process_memory_fraction(0.25)\n" + OUT_OF_MEMORY
    done = faked.start(code, SENNIT_FAKE_MEMORY="256")
    assert "of which this process may have 64.00 MiB" in done.stderr
    assert "MemoryError" in done.stderr or "OutOfMemory" in done.stderr
    text = faked.run(
        "for f in (0, 1.5):\n"
        "    try: sn.cuda.set_per_process_memory_fraction(f)\n"
        "    except sn.SennitError as e: print(e)"
    )
    assert text.count("more than 0 and at most 1") == 2


def test_page_locked_memory_that_cannot_be_had() -> None:
    code = (
        "x = sn.arange(3000000).to('cuda'); print((x.to('cpu') == sn.arange(3000000)).all().item())"
    )
    assert faked.run(code, SENNIT_FAKE_NO_PINNED="1") == "True\n"


def test_a_forked_process_is_told_to_spawn() -> None:
    text = faked.run(
        "import os\n"
        "x = sn.ones(3).to('cuda')\n"
        "if os.fork() == 0:\n"
        "    try: x.to('cpu')\n"
        "    except sn.DeviceError as e: print(e, flush=True)\n"
        "    print((sn.ones(2) + 1).tolist(), flush=True)\n"
        "    os._exit(0)\n"
        "os.wait(); print(x.tolist())"
    )
    assert "forked" in text and "spawn" in text and "[2.0, 2.0]" in text
    assert text.splitlines()[-1] == "[1.0, 1.0, 1.0]"
