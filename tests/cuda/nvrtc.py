"""NVRTC, NVIDIA's compiler at run time, through ctypes: kernels compile without a GPU."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("core/backend/cuda/kernels", "core/op")  # as the library holds them: by file name

OPTIONS = (
    "--std=c++20",
    "--fmad=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "--ftz=false",
    "--device-int128",
    "--device-as-default-execution-space",
)


@functools.cache
def library() -> ctypes.CDLL | None:
    """The library of the wheel nvidia-cuda-nvrtc, or of a folder in SENNIT_CUDA_PATH."""
    folders = [Path(p) for p in os.environ.get("SENNIT_CUDA_PATH", "").split(os.pathsep) if p]
    spec = importlib.util.find_spec("nvidia") if importlib.util.find_spec("nvidia") else None
    for place in spec.submodule_search_locations or [] if spec else []:
        folders += [*Path(place).glob("cu*/lib"), *Path(place).glob("cuda_nvrtc/lib")]
    for folder in folders:
        for file in sorted(folder.glob("libnvrtc.so*")):
            # Its helper is not on the search path.
            for helper in folder.glob("libnvrtc-builtins.so*"):
                ctypes.CDLL(str(helper), ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(file))
    return None


@functools.cache
def source_text(name: str) -> str | None:
    for folder in FOLDERS:
        path = ROOT / folder / name
        if path.exists():
            return path.read_text()
    return None


def headers_of(text: str, known: dict[str, str] | None = None) -> dict[str, str]:
    """What a source includes in quotes, and what that includes, by the names in the directives."""
    known = {} if known is None else known
    for name in re.findall(r'#include "([^"]+)"', text):
        found = source_text(Path(name).name)
        if found is not None and name not in known:
            known[name] = found
            headers_of(found, known)
    return known


class Result:
    """What came of a source: `error` is 0 when it compiled; `log` has errors and warnings."""

    def __init__(self, error: int, log: str, code: bytes) -> None:
        self.error, self.log, self.code = error, log, code


def compile_source(
    text: str, architecture: str, definitions: Sequence[str] = (), name: str = "source.cu"
) -> Result:
    """PTX for "compute_80", code of the device for "sm_90"."""
    nvrtc = library()
    assert nvrtc is not None
    headers = headers_of(text)
    array = ctypes.c_char_p * max(len(headers), 1)
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(
        ctypes.byref(program),
        text.encode(),
        name.encode(),
        len(headers),
        array(*[body.encode() for body in headers.values()]),
        array(*[header.encode() for header in headers]),
    )
    options = [f"--gpu-architecture={architecture}", *OPTIONS]
    options += [f"--define-macro={d}" for d in definitions]
    encoded = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    error = nvrtc.nvrtcCompileProgram(program, len(options), encoded)

    def read(kind: str) -> bytes:
        size = ctypes.c_size_t()
        getattr(nvrtc, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(nvrtc, f"nvrtcGet{kind}")(program, buffer)
        return buffer.raw

    log = read("ProgramLog").rstrip(b"\0").decode()
    code = b"" if error else read("CUBIN" if architecture.startswith("sm_") else "PTX")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return Result(error, log, code)
